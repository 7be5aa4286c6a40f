"""Evaluating a generator: the figures of its samples, and those of real images for comparison."""

import sys
from typing import NamedTuple

from common import UserError
from common.data import facades, reading
from common.sampling import real_images

import numpy as np

CHUNK = 1000  # samples to draw at a time, to save memory
MIN_PER_CLASS = 50  # images, on average, to train a classifier for --cas
MIN_PER_MAP = 10  # samples; a fifth of them, two, still has a standard deviation
SAMPLES_PER_MAP = 20  # without --count


class Evaluation(NamedTuple):
    """What `evaluate_images` and `evaluate_label_maps` return."""

    of_samples: dict  # of `scores.Figure`s
    of_real: dict  # the same figures of real images
    samples: np.ndarray  # uint8 (n, H, W, C)
    training_images: np.ndarray
    n_real: int  # the number of real images in `of_real`
    source: str  # of the real images
    remark: str  # a sentence on the judge and the real images


def evaluate_images(generator, arguments):
    """Evaluate a generator that takes class labels, or no labels.

    Args:
        generator: a `Generator`.
        arguments: the parsed command line; `data`, `count`, `seed` and `cas` are used.

    Returns an `Evaluation`. Raises UserError if there are no real images, or if they have another
    shape or other classes than those of the generator.
    """
    real = real_images.load_dataset(generator, arguments.data)
    training, held_out, *_ = real
    count = arguments.count or 10_000
    if arguments.cas:
        check_cas(generator, count, training)

    from common.judges import scores

    labels = scores.proportional_labels(training.labels, count) if generator.label_kind else None

    judge, remark = find_judge(real)
    samples = draw_samples(generator, count, labels, arguments.seed)
    reference = scores.Reference(judge, training.images, training.class_names)
    of_samples = reference.figures(samples, labels)
    of_real = reference.figures(held_out.images, None if labels is None else held_out.labels)
    if arguments.cas:
        chosen = np.random.default_rng(arguments.seed).permutation(len(training.images))[:count]
        chosen = chosen[np.argsort(training.labels[chosen], kind="stable")]
        for figures, images, classes in (
            (of_samples, samples, labels),
            (of_real, training.images[chosen], training.labels[chosen]),
        ):
            figures |= scores.classification_accuracy_score(
                images, classes, held_out, arguments.seed
            )
    return Evaluation(
        of_samples,
        of_real,
        samples,
        training.images,
        len(held_out.images),
        training.source,
        remark,
    )


def check_cas(generator, count, training):
    """Raise UserError if there are no classes, or too few images to train a classifier on."""
    if not generator.label_kind:
        raise UserError(f"--cas needs class labels, and {generator.name} has no classes")
    n_classes = len(training.class_names)
    n_images = min(count, len(training.labels))
    if n_images < MIN_PER_CLASS * n_classes:
        raise UserError(
            f"--cas needs at least {MIN_PER_CLASS * n_classes:,} samples and as many real "
            f"images for {n_classes} classes, but there are {count:,} samples "
            f"and {len(training.labels):,} real images"
        )


def find_judge(real):
    """Load the judge for the images of a `Real`, or train one. Also returns a sentence about it."""
    from common.judges import classifier

    training, held_out, seen_by_generator, seen_by_judge = real
    judge = classifier.load_judge(training.class_names, training.images.shape[1:])
    if judge and not judge.fits(held_out.images, held_out.labels):
        judge = None  # labels without names have been taken for those of clothes or digits
    seen_by_judge = seen_by_judge and judge
    if judge is None:
        n_classes = len(training.class_names)
        if len(np.unique(training.labels)) < 2:
            raise UserError(
                f"the images from {training.source} have no labels or are all of one class, but "
                "training a judge takes several classes: give labelled images with --data"
            )
        print(
            f"There is no judge for these images: training one on {len(training.images):,} of them",
            file=sys.stderr,
        )
        judge = classifier.Judge(
            classifier.train(
                training.images, training.labels, n_classes, report=reading.now_and_then()
            )
        )
    accuracy = judge.accuracy(held_out.images, held_out.labels)
    part = "a fifth of the training images" if seen_by_generator else "the test part"
    part += "; the judge may have learnt from them" * bool(seen_by_judge)
    return judge, (
        f"The judge finds the class of {accuracy:.1%} of the {len(held_out.images):,} real images, "
        f"which are {part}."
    )


def evaluate_label_maps(generator, arguments):
    """Evaluate a generator that takes label maps. See `evaluate_images`."""
    if arguments.cas:
        raise UserError(f"--cas needs class labels, and {generator.name} takes label maps")
    training, validation, _, seen_by_judge = real_images.load_facades(generator, arguments.data)

    from common.judges import scores, segmenter

    judge, origin = segmenter.load_judge(training.source), "comes with this code"
    origin += ", and may have learnt from the photos below" * seen_by_judge
    if judge is None:
        print(
            f"There is no judge for these facades: training one on {len(training.images)} of them",
            file=sys.stderr,
        )
        fitted = facades.fit(training, segmenter.SIZE)
        judge = segmenter.Judge(
            segmenter.train(fitted, len(generator.class_names), report=reading.now_and_then())
        )
        origin = f"was trained on {len(training.images)} photos"
    size = generator.image_shape[0]
    photos, label_maps = facades.centre_crops(facades.fit(validation, size), size)
    count = arguments.count or SAMPLES_PER_MAP * len(label_maps)
    n_maps = min(len(label_maps), count // MIN_PER_MAP)
    each = count // n_maps // scores.N_PARTS * scores.N_PARTS
    asked = np.repeat(label_maps[:n_maps], each, axis=0)
    samples = draw_samples(generator, len(asked), asked, arguments.seed)
    return Evaluation(
        scores.label_map_figures(judge, samples, asked, n_maps),
        scores.label_map_figures(judge, photos, label_maps, n_maps=1),
        samples,
        facades.centre_crops(facades.fit(training, size), size)[0],
        len(photos),
        training.source,
        f"The judge {origin}. {n_maps} label maps that were not used in training, {each} samples "
        f"of each; {len(photos)} photos.",
    )


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
