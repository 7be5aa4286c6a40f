"""What is said of a generator: figures of its samples, and of real images beside them."""

import sys
from typing import NamedTuple

from common import UserError
from common.data import facades
from common.drawing import real_images

import numpy as np

AT_A_TIME = 1000  # samples in memory as floats
FEWEST_OF_A_CLASS = 50  # for the classification accuracy score
FEWEST_OF_A_MAP, OF_A_MAP = 10, 20  # a fifth of them is to have a spread; by default


class Evaluation(NamedTuple):
    """What `evaluate_images` and `evaluate_label_maps` return."""

    of_samples: dict  # of `scores.Figure`s
    of_real: dict  # the same figures
    samples: np.ndarray  # uint8 (n, H, W, C)
    training_images: np.ndarray
    n_real: int
    source: str
    remark: str  # a sentence on the judge and the real images


def evaluate_images(generator, arguments):
    """Score a generator of images, with a class or without.

    Args:
        generator: a `Generator`.
        arguments: `data`, `count`, `seed` and `cas` of the command line.

    Returns an `Evaluation`. Raises UserError for real images that are not to be had or do not fit.
    """
    real = real_images.load_dataset(generator, arguments.data)
    training, unseen, _ = real
    count = arguments.count or 10_000
    if arguments.cas:
        check_cas(generator, count, training)

    from common.models.judges import scores

    labels = scores.in_proportion(training.labels, count) if generator.label_kind else None

    judge, remark = find_judge(real)
    samples = draw_samples(generator, count, labels, arguments.seed)
    reference = scores.Reference(judge, training.images, training.class_names)
    of_samples = reference.figures(samples, labels)
    of_real = reference.figures(unseen.images, None if labels is None else unseen.labels)
    if arguments.cas:
        chosen = np.random.default_rng(arguments.seed).permutation(len(training.images))[:count]
        chosen = chosen[np.argsort(training.labels[chosen], kind="stable")]
        for figures, images, classes in (
            (of_samples, samples, labels),
            (of_real, training.images[chosen], training.labels[chosen]),
        ):
            figures |= scores.classification_accuracy_score(images, classes, unseen, arguments.seed)
    return Evaluation(
        of_samples,
        of_real,
        samples,
        training.images,
        len(unseen.images),
        training.source,
        remark,
    )


def check_cas(generator, count, training):
    """Raise UserError where a classifier cannot learn from as few images, or without classes."""
    if not generator.label_kind:
        raise UserError(f"--cas needs samples of a class, and {generator.name} has no classes")
    n_classes = len(training.class_names)
    fewest = min(count, len(training.labels))
    if fewest < FEWEST_OF_A_CLASS * n_classes:
        raise UserError(
            f"--cas needs at least {FEWEST_OF_A_CLASS * n_classes:,} samples and as many real "
            f"images for {n_classes} classes, and here are {count:,} and "
            f"{len(training.labels):,}"
        )


def find_judge(real):
    """The judge for a `Real` of images with classes, trained if need be; and a sentence on it."""
    from common.models.judges import classifier

    training, unseen, kept_back = real
    judge = classifier.load_judge(training.class_names, training.images.shape[1:])
    if judge is None:
        n_classes = len(training.class_names)
        if len(np.unique(training.labels)) < 2:
            raise UserError(
                f"the images from {training.source} are not of several classes, and a judge has to "
                "learn from such"
            )
        print(
            f"There is no judge for these images: training one on {len(training.images):,} of them",
            file=sys.stderr,
        )
        judge = classifier.Judge(classifier.train(training.images, training.labels, n_classes))
    accuracy = judge.accuracy(unseen.images, unseen.labels)
    part = "a fifth of the training images" if kept_back else "the test part"
    return judge, (
        f"The judge finds the class of {accuracy:.1%} of the {len(unseen.images):,} real images, "
        f"which are {part}."
    )


def evaluate_label_maps(generator, arguments):
    """Score a generator that takes label maps; returns what `evaluate_images` does."""
    if arguments.cas:
        raise UserError(f"--cas needs images of a class, and {generator.name} takes label maps")
    training, validation, _ = real_images.load_facades(generator, arguments.data)

    from common.models.judges import scores, segmenter

    judge, which = segmenter.load_judge(training.source), "comes with this code"
    if judge is None:
        print(
            f"There is no judge for these facades: training one on {len(training.images)} of them",
            file=sys.stderr,
        )
        fitting = facades.fit(training, segmenter.SIZE)
        judge = segmenter.Judge(segmenter.train(fitting, len(generator.class_names)))
        which = f"was trained on {len(training.images)} photos"
    size = generator.image_shape[0]
    photos, layouts = facades.centre_crops(facades.fit(validation, size), size)
    count = arguments.count or OF_A_MAP * len(layouts)
    n_maps = min(len(layouts), count // FEWEST_OF_A_MAP)
    each = count // n_maps // scores.DRAWS * scores.DRAWS
    asked = np.repeat(layouts[:n_maps], each, axis=0)
    samples = draw_samples(generator, len(asked), asked, arguments.seed)
    return Evaluation(
        scores.label_map_figures(judge, samples, asked, n_maps),
        scores.label_map_figures(judge, photos, layouts, n_maps=1),
        samples,
        facades.centre_crops(facades.fit(training, size), size)[0],
        len(photos),
        training.source,
        f"The judge {which}. {n_maps} label maps that the training has not seen, {each} samples "
        f"of each; {len(photos)} photos.",
    )


def draw_samples(generator, count, labels, seed):
    """Draw images of labels, or of nothing where these are None: uint8 (count, H, W, C)."""
    rng = np.random.default_rng(seed)
    samples = np.empty((count, *generator.image_shape), np.uint8)
    for start in range(0, count, AT_A_TIME):
        part = samples[start : start + AT_A_TIME]
        latents = generator.random_latents(len(part), rng)
        images = generator.draw(latents, None if labels is None else labels[start:][: len(part)])
        part[:] = np.rint(255 * images)
    return samples
