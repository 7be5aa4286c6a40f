"""Measuring the quality of the generated images during training.

The losses do not show it: each depends on how good the other network is at the same time.
"""

import contextlib
import math
import random

from common import UserError
from common.data import facades
from common.judges import networks, scores
from common.models.generators import Generator

import numpy as np

N_SAMPLES = 2000  # generated images in a measurement
N_REAL = 10_000  # training images that they are compared with
# Drawing and judging one sample takes 0.4 to 0.6 times as long as training on one image (measured
# with clothes and digits). How often to measure is computed from this constant and not from the
# clock, so that it is the same on every machine, and in a run that was stopped and resumed.
COST_PER_SAMPLE = 0.6
MAX_COST = 0.03  # share of the training time, without --evaluate-every


class Quality:
    """Measures figures of generated images after an epoch.

    It uses its own random numbers, so the training is the same with and without it. The latents and
    labels are the same each time, so only the generator differs from one epoch to the next.

    Args:
        dataset: the training data, a `Dataset` or `Facades`.
        pixel_range: the lowest and the highest pixel value of the images that the generator makes.
        seed: the seed of the run.
        every: number of epochs from one measurement to the next; 0 to measure nothing. With None,
            measuring takes about 3 % of the training time; nothing is measured if no judge for
            these images comes with this code.

    Raises UserError if `every` is 1 or more, but no judge for these images comes with this code.
    """

    def __init__(self, dataset, pixel_range, seed, every):
        kind = _OfLabelMaps if hasattr(dataset, "label_maps") else _OfClasses
        if every is None:
            every = 0
            if kind.has_judge(dataset):
                cost = kind.samples(dataset) * COST_PER_SAMPLE / len(dataset.images)
                every = math.ceil(cost / MAX_COST)
        elif every and not kind.has_judge(dataset):
            raise UserError(
                f"--evaluate-every {every}: no judge for images such as those from "
                f"{dataset.source} comes with this code; leave the option out. After the training, "
                "evaluate.py trains a judge"
            )
        self._every, self._kind, self._figures_of = every, kind, None
        self._dataset, self._pixel_range, self._seed = dataset, pixel_range, seed

    def after(self, epoch, g_model):
        """A dict of the figures after an epoch. It is empty if this epoch is not to be measured."""
        if not self._every or epoch % self._every:
            return {}
        if self._figures_of is None:
            with _same_random_numbers():
                self._figures_of = self._kind(self._dataset, self._seed, g_model.output_shape[1])
        names = getattr(self._dataset, "class_names", ())
        about = {"class_names": names, "pixel_range": self._pixel_range}
        generator = Generator.of(g_model, about)
        return self._figures_of(generator, np.random.default_rng(self._seed))


@contextlib.contextmanager
def _same_random_numbers():
    """A `with` block after which the training finds Python's random numbers as they were.

    When Keras builds a judge, it draws seeds for initial weights, although the weights are loaded.
    """
    state = random.getstate()
    yield
    random.setstate(state)


class _OfClasses:
    """The figures for images of classes: Fréchet distance, and label accuracy, if labels exist."""

    def __init__(self, dataset, seed, _size):
        judge = networks.load_judge(dataset)
        chosen = np.random.default_rng(seed).permutation(len(dataset.images))[:N_REAL]
        self._reference = scores.Reference(judge, dataset.images[chosen], dataset.class_names)
        self._labels = scores.proportional_labels(dataset.labels, N_SAMPLES)

    @staticmethod
    def has_judge(dataset):
        with _same_random_numbers():
            return networks.judge_path(dataset) and networks.load_judge(dataset) is not None

    @staticmethod
    def samples(_dataset):
        return N_SAMPLES

    def __call__(self, generator, rng):
        labels = self._labels if generator.label_kind else None
        return self._reference.quick_figures(
            generator.draw(generator.random_latents(N_SAMPLES, rng), labels), labels
        )


class _OfLabelMaps:
    """The figures for label maps: pixel accuracy and mean IoU, on one sample for each label map."""

    def __init__(self, dataset, seed, size):
        self._judge = networks.load_judge(dataset)
        validation = facades.split(dataset, seed)[1]
        _photos, self._layouts = facades.centre_crops(facades.fit(validation, size), size)

    @staticmethod
    def has_judge(dataset):
        return networks.judge_path(dataset) is not None

    @staticmethod
    def samples(dataset):
        return len(dataset.images) // 5

    def __call__(self, generator, rng):
        latents = generator.random_latents(len(self._layouts), rng)
        images = generator.draw(latents, self._layouts)
        return scores.label_map_accuracy(self._judge, images, self._layouts)
