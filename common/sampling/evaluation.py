"""Evaluating a generator: the figures of its samples, and those of real images for comparison."""

import sys
from typing import NamedTuple

from common import UserError
from common.data import facades, reading
from common.models import saved_models
from common.sampling import real_images

import numpy as np

CHUNK = 1000  # samples to draw at a time, to save memory
MIN_PER_CLASS = 50  # images, on average, to train a classifier for --cas
MIN_PER_MAP = 10  # samples; a fifth of them, two, still has a standard deviation
SAMPLES_PER_MAP = 20  # without --count
N_NEAREST = 3  # training images to show beside a generated one
GROUPS_PER_ROW = 2  # in the picture; a group is a generated image and its nearest ones


class Evaluation(NamedTuple):
    """What `evaluate` returns."""

    of_samples: dict  # of `scores.Figure`s
    of_real: dict  # the same figures of real images
    samples: np.ndarray  # uint8 (n, H, W, C)
    training_images: np.ndarray
    real: real_images.Real  # `of_real` is of those held out
    remark: str  # a sentence on the judge and the real images


def evaluate(generator, arguments):
    """Evaluate a `Generator`, as `data`, `count`, `seed` and `cas` of the command line say.

    Returns an `Evaluation`. Raises UserError if there are no real images, or if they have another
    shape or other classes than those of the generator.
    """
    if arguments.cas and generator.label_kind not in ("integer", "one-hot"):
        raise UserError(f"--cas needs class labels, and {generator.name} has no classes")
    real = real_images.load(generator, arguments.data)
    of_kind = _of_label_maps if generator.label_kind == "label map" else _of_classes
    return of_kind(generator, real, arguments)


def _of_classes(generator, real, arguments):
    from common.judges import networks, scores

    training, held_out, seed = real.training, real.held_out, arguments.seed
    count, n_real = arguments.count or 10_000, len(training.images)
    n_classes = len(training.class_names)
    if arguments.cas and min(count, n_real) < MIN_PER_CLASS * n_classes:
        needed = f"{MIN_PER_CLASS * n_classes:,} samples and as many real images"
        there = f"there are {count:,} samples and {n_real:,} real images"
        raise UserError(f"--cas needs at least {needed} for {n_classes} classes, but {there}")
    for label, name in enumerate(training.class_names):
        if not all((part.labels == label).any() for part in (training, held_out)):
            few = f"too few images of {name} to learn from some and compare with others"
            print(f"warning: there are {few}: give more, or leave it out", file=sys.stderr)
    judge, seen_by_judge = find_judge(real)
    accuracy = networks.accuracy(judge, held_out.images, held_out.labels)
    part = "a fifth of the training images" if real.seen_by_generator else "the test part"
    if real.seen_by_generator and seen_by_judge:
        part += "; the judge may have learnt from them"
    remark = f"The judge finds the class of {accuracy:.1%} of the {len(held_out.images):,} real "
    remark += f"images, which are {part}."
    labels = scores.proportional_labels(training.labels, count) if generator.label_kind else None
    samples = draw_samples(generator, count, labels, seed)
    reference = scores.Reference(judge, training.images, training.class_names)
    of_samples = reference.figures(samples, labels)
    of_real = reference.figures(held_out.images, None if labels is None else held_out.labels)
    if arguments.cas:
        score = scores.classification_accuracy_score
        chosen = np.random.default_rng(seed).permutation(n_real)[:count]
        chosen = chosen[np.argsort(training.labels[chosen], kind="stable")]
        of_samples |= score(samples, labels, held_out, seed)
        of_real |= score(training.images[chosen], training.labels[chosen], held_out, seed)
    return Evaluation(of_samples, of_real, samples, training.images, real, remark)


def _of_label_maps(generator, real, arguments):
    from common.judges import scores

    judge, seen_by_judge = find_judge(real)
    origin = f"was trained on {len(real.training.images)} photos"
    if seen_by_judge is not None:
        origin = "comes with this code"
        origin += ", and may have learnt from the photos below" * seen_by_judge
    size = generator.image_shape[0]
    photos, label_maps = facades.centre_crops(facades.fit(real.held_out, size), size)
    count = arguments.count or SAMPLES_PER_MAP * len(label_maps)
    n_maps = min(len(label_maps), count // MIN_PER_MAP)
    each = count // n_maps // scores.N_PARTS * scores.N_PARTS
    remark = f"The judge {origin}. {n_maps} label maps that were not used in training, {each} "
    remark += f"samples of each; {len(photos)} photos."
    asked = np.repeat(label_maps[:n_maps], each, axis=0)
    samples = draw_samples(generator, len(asked), asked, arguments.seed)
    of_samples = scores.label_map_figures(judge, samples, asked, n_maps)
    of_real = scores.label_map_figures(judge, photos, label_maps, n_maps=1)
    training_images = facades.centre_crops(facades.fit(real.training, size), size)[0]
    return Evaluation(of_samples, of_real, samples, training_images, real, remark)


def find_judge(real):
    """Load the judge for the images of a `Real`, or train one.

    Returns it, and whether it may have learnt from the images held out, or None if it is new.
    """
    from common.judges import networks

    training = real.training
    judge = networks.load_judge(real.held_out)
    if judge:
        learnt_from = saved_models.read(networks.judge_path(training))[1].get("split_sha256")
        return judge, learnt_from is None or learnt_from != real.split_sha256
    if len(np.unique(getattr(training, "labels", (0, 1)))) < 2:
        problem = f"the images from {training.source} have no labels or are all of one class"
        hint = "training a judge takes several classes: give labelled images with --data"
        raise UserError(f"{problem}, but {hint}")
    count = f"{len(training.images):,}"
    print(f"There is no judge for these images: training one on {count} of them", file=sys.stderr)
    return networks.train(training, report=reading.now_and_then()), None


def draw_samples(generator, count, labels, seed):
    """Draw images, uint8 (count, H, W, C). `labels` are None if the generator takes none."""
    rng = np.random.default_rng(seed)
    samples = np.empty((count, *generator.image_shape), np.uint8)
    for start in range(0, count, CHUNK):
        part = samples[start : start + CHUNK]
        latents = generator.random_latents(len(part), rng)
        images = generator.draw(latents, None if labels is None else labels[start:][: len(part)])
        part[:] = np.rint(255 * images)
    return samples


def find_nearest(images, training_images):
    """Find the three training images nearest to each image: their indices, int64 (n, 3).

    The distance is the Euclidean one of all pixels. Distances between features of a classifier
    would not do: they are small between any two dresses, but only a copy has nearly the same
    pixels. `images` are uint8 (n, H, W, C), `training_images` uint8 (N, H, W, C).
    """
    flat = images.reshape(len(images), -1).astype("float32")
    distances = np.empty((len(flat), len(training_images)), "float32")
    for start in range(0, len(training_images), CHUNK):
        part = training_images[start : start + CHUNK]
        part = part.reshape(len(part), -1).astype("float32")
        # |a - b|² without |a|², which does not change the order.
        distances[:, start : start + len(part)] = (part**2).sum(axis=1) - 2 * flat @ part.T
    return distances.argsort(axis=1, kind="stable")[:, :N_NEAREST]


def draw_nearest(images, training_images, path):
    """Save a picture of the images, uint8, each beside the training images nearest to it."""
    from common import plotting

    nearest = training_images[find_nearest(images, training_images)]
    rows = np.concatenate([images[:, np.newaxis], nearest], axis=1)
    titles = ("generated", "nearest", "second", "third")[: rows.shape[1]]
    shown = rows.reshape(-1, *images.shape[1:]).astype("float32") / 255
    plotting.save_grid(shown, path, GROUPS_PER_ROW * len(titles), titles * GROUPS_PER_ROW)
