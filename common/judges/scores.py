"""Computing all figures of a set of images, and how much they vary between parts of the set.

The figures are in a dict by name: `label_accuracy`, `label_accuracy/dress` for one class, etc.
"""

import math
import warnings
from typing import NamedTuple

from common.judges import metrics, networks

import numpy as np

N_PARTS = 5  # disjoint parts of the images, to estimate the standard deviation of a figure
# Passes through the images to train on, or as many as 20,000 images take, if that is more.
CAS_EPOCHS, CAS_IMAGES = 10, 20_000


class Figure(NamedTuple):
    """A figure of all images, and the standard deviation of the same figure of the five parts."""

    value: float
    spread: float


def with_spread(figures_of, count):
    """Compute the figures of `count` images, and their spread over five parts of the images.

    `figures_of` is called with a slice of the images, and returns a dict of numbers. A part takes
    every fifth image. Returns a dict of `Figure`s.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns if a class is in no part
        parts = [figures_of(slice(start, None, N_PARTS)) for start in range(N_PARTS)]
        return {
            name: Figure(float(value), float(np.nanstd([part[name] for part in parts], ddof=1)))
            for name, value in figures_of(slice(None)).items()
        }


class Reference:
    """Statistics of real images, with which generated images are compared by a classifier.

    Images are (n, H, W, C), float32 in [0, 1] or uint8.
    """

    def __init__(self, judge, images, class_names):
        self._judge, self._class_names = judge, class_names
        features, found = networks.classify(judge, images)
        self._moments = metrics.moments(features)
        self._spreads = metrics.spreads(features, found, len(class_names))

    def figures(self, images, labels=None):
        """All figures: a dict of `Figure`s.

        With the labels that were asked for, integers (n,), they include the label accuracy, of all
        and of each class; without labels, the share of the images in which each class is found.
        """
        features, found = networks.classify(self._judge, images)

        def figures_of(part):
            here, figures = found[part], {}
            if labels is not None:
                figures["label_accuracy"] = np.mean(here == labels[part])
            for number, class_name in enumerate(self._class_names):
                if labels is None:
                    figures[f"class_share/{class_name}"] = np.mean(here == number)
                else:
                    asked = here[labels[part] == number]
                    figures[f"label_accuracy/{class_name}"] = np.mean(asked == number)
            moments = metrics.moments(features[part])
            figures["frechet_distance"] = metrics.frechet_distance(moments, self._moments)
            figures["variety"] = metrics.variety(features[part], found[part], self._spreads)
            return figures

        return with_spread(figures_of, len(images))


def proportional_labels(labels, count):
    """Choose `count` labels, sorted, with the same share of each class as in `labels`."""
    positions = (np.arange(count) + 0.5) * len(labels) / count
    return np.sort(labels)[positions.astype(int)]


def classification_accuracy_score(images, labels, held_out, seed):
    """The classification accuracy score of images (Ravuri and Vinyals 2019, arXiv 1905.10887).

    A classifier is trained on these images alone, and tested on `held_out`, a `Dataset` of real
    ones. Its accuracy is low if the images lack some of the variety of real images, or show what
    real images do not. Returns a dict of one `Figure`.
    """
    n_classes = len(held_out.class_names)

    def figures_of(part):
        epochs = max(CAS_EPOCHS, math.ceil(CAS_IMAGES / len(images[part])))
        judge = networks.train_classifier(images[part], labels[part], n_classes, seed, epochs)
        return {"cas": networks.accuracy(judge, held_out.images, held_out.labels)}

    return with_spread(figures_of, len(images))


def label_map_accuracy(judge, images, label_maps):
    """How well the classes that a segmenter finds agree with the label maps: a dict of floats.

    `images` are (n, H, W, 3), float32 in [0, 1] or uint8; `label_maps` are integers (n, H, W).
    """
    return metrics.agreement(networks.segment(judge, images), networks.scaled(label_maps))


def label_map_figures(judge, images, label_maps, n_maps):
    """The figures of `label_map_accuracy` and the variation of the colour: a dict of `Figure`s.

    `n_maps` is the number of different label maps. There must be equally many images of each, a
    multiple of five and at least ten, one label map after the other. For photos, which all have
    different ones, give 1: then `colour_variation` is that of all photos.
    """
    found, expected = networks.segment(judge, images), networks.scaled(label_maps)

    def figures_of(part):
        variation = metrics.colour_variation(images[part], n_maps)
        return metrics.agreement(found[part], expected[part]) | {"colour_variation": variation}

    return with_spread(figures_of, len(images))
