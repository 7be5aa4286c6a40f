"""Figures of many images at once, each with its spread over five disjoint parts of them.

Figures are dicts by name: `label_accuracy`, `label_accuracy/dress` for one class, and so on.
"""

import warnings
from typing import NamedTuple

from common.models.judges import classifier, metrics

import numpy as np

DRAWS = 5
CAS_EPOCHS = 10


class Figure(NamedTuple):
    """A figure of all images, and the standard deviation over the figures of the five parts."""

    value: float
    spread: float


def with_spread(figures_of, count):
    """Figures of `count` images, and their spread over five parts: every fifth, from each of five.

    `figures_of` makes a dict of numbers of a slice. Returns a dict of `Figure`s.
    """
    parts = [figures_of(slice(start, None, DRAWS)) for start in range(DRAWS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that is in no part
        return {
            name: Figure(value, float(np.nanstd([part[name] for part in parts], ddof=1)))
            for name, value in figures_of(slice(None)).items()
        }


class Reference:
    """What a judge sees in real images: what other images are compared with.

    Args:
        judge: a `classifier.Judge`.
        images: (N, H, W, C), float32 in [0, 1] or uint8.
        class_names: of the judge.
    """

    def __init__(self, judge, images, class_names):
        self._judge, self._class_names = judge, class_names
        features, found = judge.look(images)
        self._moments = metrics.moments(features)
        self._spreads = metrics.spreads(features, found, len(class_names))

    def quick_figures(self, images, labels=None):
        """The figures that are shown while a generator learns: a dict of plain numbers.

        Args:
            images: (n, H, W, C), float32 in [0, 1] or uint8.
            labels: integers (n,), the classes that were asked for; None where there are none.
        """
        features, found = self._judge.look(images)
        figures = {}
        if labels is not None:
            figures["label_accuracy"] = metrics.label_accuracy(found, labels)
        return figures | {"frechet_distance": self._distance(features)}

    def figures(self, images, labels=None):
        """All figures of images, a dict of `Figure`s; the arguments are those of `quick_figures`.

        Where there are labels, the accuracy of each class, else the share of each among the images.
        """
        features, found = self._judge.look(images)

        def figures_of(part):
            figures = {}
            if labels is None:
                name = "class_share"
                of_classes = metrics.class_shares(found[part], len(self._class_names))
            else:
                name = "label_accuracy"
                figures[name] = metrics.label_accuracy(found[part], labels[part])
                of_classes = metrics.class_accuracies(
                    found[part], labels[part], len(self._class_names)
                )
            for class_name, value in zip(self._class_names, of_classes, strict=True):
                figures[f"{name}/{class_name}"] = float(value)
            figures["frechet_distance"] = self._distance(features[part])
            figures["variety"] = metrics.variety(features[part], found[part], self._spreads)
            return figures

        return with_spread(figures_of, len(images))

    def _distance(self, features):
        return metrics.frechet_distance(metrics.moments(features), self._moments)


def in_proportion(labels, count):
    """So many labels, sorted, each class as often as among real ones: integers (count,)."""
    positions = (np.arange(count) + 0.5) * len(labels) / count
    return np.sort(labels)[positions.astype(int)]


def classification_accuracy_score(images, labels, unseen, seed):
    """How well real images are classified by one who has seen nothing but the images given.

    A classifier is trained on them alone and tested on real ones. Where the images lack what
    real ones have, or have what those lack, it shows here (Ravuri and Vinyals 2019, arXiv
    1905.10887).

    Args:
        images: (n, H, W, C), float32 in [0, 1] or uint8.
        labels: integers (n,).
        unseen: a `Dataset` of real images.
        seed: of the classifier's training.

    Returns a dict of one `Figure`, the share of real images whose class is found.
    """

    def figures_of(part):
        model = classifier.train(
            images[part], labels[part], len(unseen.class_names), seed, CAS_EPOCHS
        )
        judge = classifier.Judge(model)
        return {"cas": judge.accuracy(unseen.images, unseen.labels)}

    return with_spread(figures_of, len(images))


def label_map_figures(judge, images, layouts, n_maps):
    """What a segmenter sees in images, against their label maps: a dict of `Figure`s.

    Args:
        judge: a `segmenter.Judge`.
        images: (n, H, W, 3), float32 in [0, 1] or uint8.
        layouts: integers (n, H, W).
        n_maps: so many different label maps, for each of which equally many images follow each
            other: a multiple of five, at least ten. Photos, each of another label map, are 1: how
            much their colour varies is not asked for each map then, but for all of them together.
    """
    found, expected = judge.look(images), judge.scaled(layouts)

    def figures_of(part):
        counts = metrics.confusion(found[part], expected[part], judge.n_classes)
        return {
            "pixel_accuracy": metrics.pixel_accuracy(counts),
            "mean_iou": metrics.mean_iou(counts),
            "colour_variation": metrics.colour_variation(images[part], n_maps),
        }

    return with_spread(figures_of, len(images))
