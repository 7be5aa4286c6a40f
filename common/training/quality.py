"""How good the generator is while it learns. Its losses do not tell: they are those of a game."""

import math
import random

from common import UserError
from common.data import facades
from common.models.judges import classifier, metrics, scores, segmenter
from common.models.sampling import Sampler

import numpy as np

SAMPLES = 2000
REAL = 10_000  # training images to compare them with: seconds, once in a run
# Drawing and judging a sample takes 0.4 to 0.6 of the time of a training step for each of its
# images, measured with clothes and digits. Going by this figure and not by the clock, a command
# measures the same epochs on every machine, and whether it was stopped and resumed or not.
COST_OF_A_SAMPLE = 0.6
MOST_COST = 0.03  # of an epoch, unless --evaluate-every says otherwise


class Quality:
    """Figures of samples after an epoch.

    It has random numbers of its own and touches nothing that is trained. Each time the latents
    and labels are the same, so that what differs from epoch to epoch is the generator.

    Args:
        dataset: what the run is trained on, a `Dataset` or `Facades`.
        pixel_range: the least and the greatest value of a pixel that the generator makes.
        seed: that of the run.
        every: epochs from one measurement to the next; 0 for never; None for as many as keep its
            cost below 3 % of the training, and for never where no judge for the images comes with
            this code.

    Raises UserError if it is to measure, and there is no judge for the images.
    """

    def __init__(self, dataset, pixel_range, seed, every):
        kind = _OfLabelMaps if hasattr(dataset, "layouts") else _OfClasses
        if every is None:
            every = 0
            if kind.has_judge(dataset):
                cost = kind.samples(dataset) * COST_OF_A_SAMPLE / len(dataset.images)
                every = math.ceil(cost / MOST_COST)
        elif every and not kind.has_judge(dataset):
            raise UserError(
                f"--evaluate-every {every}: no judge for images such as those from "
                f"{dataset.source} comes with this code; leave it out, and when the training is "
                "done, evaluate.py trains one"
            )
        self._every, self._kind, self._figures_of = every, kind, None
        self._dataset, self._pixel_range, self._seed = dataset, pixel_range, seed

    def after(self, epoch, g_model):
        """The figures of a generator after an epoch, a dict, empty where none are due."""
        if not self._every or epoch % self._every:
            return {}
        if self._figures_of is None:
            # Keras draws the seeds of initial values from Python's random numbers, even where
            # weights are loaded.
            state = random.getstate()
            self._figures_of = self._kind(self._dataset, self._seed, g_model.output_shape[1])
            random.setstate(state)
        sampler = Sampler(g_model, self._pixel_range)
        return self._figures_of(sampler, np.random.default_rng(self._seed))


class _OfClasses:
    """Label accuracy, if there are labels, and Fréchet distance."""

    def __init__(self, dataset, seed, _size):
        judge = classifier.load_judge(dataset.class_names, dataset.images.shape[1:])
        chosen = np.random.default_rng(seed).permutation(len(dataset.images))[:REAL]
        self._reference = scores.Reference(judge, dataset.images[chosen], dataset.class_names)
        self._labels = scores.in_proportion(dataset.labels, SAMPLES)

    @staticmethod
    def has_judge(dataset):
        class_names, image_shape = getattr(dataset, "class_names", ()), dataset.images.shape[1:]
        return classifier.judge_path(class_names, image_shape) is not None

    @staticmethod
    def samples(_dataset):
        return SAMPLES

    def __call__(self, sampler, rng):
        labels = self._labels if sampler.takes_labels else None
        return self._reference.quick_figures(
            sampler.draw(sampler.random_latents(SAMPLES, rng), labels), labels
        )


class _OfLabelMaps:
    """Pixel accuracy and mean IoU of one sample of each validation label map."""

    def __init__(self, dataset, seed, size):
        self._judge = segmenter.load_judge(dataset.source)
        validation = facades.split(dataset, seed)[1]
        _photos, self._layouts = facades.centre_crops(facades.fit(validation, size), size)

    @staticmethod
    def has_judge(dataset):
        return segmenter.judge_path(dataset.source) is not None

    @staticmethod
    def samples(dataset):
        return len(dataset.images) // 5

    def __call__(self, sampler, rng):
        latents = sampler.random_latents(len(self._layouts), rng)
        found = self._judge.look(sampler.draw(latents, self._layouts))
        expected = self._judge.scaled(self._layouts)
        counts = metrics.confusion(found, expected, self._judge.n_classes)
        return {
            "pixel_accuracy": metrics.pixel_accuracy(counts),
            "mean_iou": metrics.mean_iou(counts),
        }
