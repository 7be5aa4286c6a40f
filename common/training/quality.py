"""Measuring the quality of the generated images during training.

The losses do not show it: each depends on how good the other network is at the same time.
"""

import math

from common import UserError
from common.data import facades
from common.judges import networks, scores
from common.models.generators import Generator
from common.training.checks import same_random_numbers

import numpy as np

N_SAMPLES = 2000  # generated images in a measurement
N_REAL = 10_000  # training images that they are compared with
# Drawing and judging one sample takes 0.4 to 0.6 times as long as training on one image (measured
# with clothes and digits). How often to measure is computed from this constant and not from the
# clock, so that it is the same on every machine, and in a run that was stopped and resumed.
COST_PER_SAMPLE = 0.6
MAX_COST = 0.03  # share of the training time, without --evaluate-every


def best(figures):
    """Epoch, name and value of the best score in a `Progress.quality`; None before the first.

    It is the largest mean IoU, which only label maps have, or else the smallest Fréchet distance.
    """
    for name, choose in (("mean_iou", max), ("frechet_distance", min)):
        row = enumerate(figures.get(name, ()), start=1)
        if found := {epoch: score for epoch, score in row if score is not None}:
            epoch = choose(found, key=found.get)
            return epoch, name, found[epoch]
    return None


def remarks(figures):
    """Sentences on the best score: none, or one, or two if the newest score is twice as bad."""
    if not (found := best(figures)):
        return []
    epoch, name, score = found
    newest = [value for value in figures[name] if value is not None][-1]
    words = {"mean_iou": "mean IoU", "frechet_distance": "Fréchet distance"}[name]
    lines = [f"Best {words}: {score:.3f}, after epoch {epoch}; that generator is best.keras."]
    smaller, larger = sorted((score, newest))
    if larger >= 2 * smaller > 0:
        what = "doubled" if newest > score else "fallen to half"
        lines.append(
            f"Since then it has {what}, {newest:.3f} now: the generator seems to have collapsed. "
            f"generate.py --best draws with that of epoch {epoch}."
        )
    return lines


class Quality:
    """Measures figures of generated images after an epoch.

    It uses its own random numbers, so the training is the same with and without it. The latents and
    labels are the same each time, so only the generator differs from one epoch to the next.

    `dataset` is the training data, a `Dataset` or `Facades`, and `about` what is saved with the
    generator. `every` is the number of epochs from one measurement to the next, 0 if nothing is
    measured. It is that of the command line. Without one, measuring takes about 3 % of the training
    time, and is left out if no judge for these images comes with this code.

    Raises UserError if the command line asks for it, but there is no judge for these images.
    """

    def __init__(self, dataset, about, arguments):
        self._dataset, self._about, self._seed = dataset, about, arguments.seed
        self._takes_label_maps = hasattr(dataset, "label_maps")
        self.every, self._measure = arguments.evaluate_every, None
        if self.every != 0:
            has_judge = networks.judge_path(dataset) is not None
            if has_judge and dataset.source not in ("full", "sample", "drawn"):
                # Numbers as labels may be taken for those of clothes or digits: it has to be tried.
                with same_random_numbers():
                    has_judge = networks.load_judge(dataset) is not None
            if self.every and not has_judge:
                raise UserError(
                    f"--evaluate-every {self.every}: no judge for images such as those from "
                    f"{dataset.source} comes with this code; leave the option out. After the "
                    "training, evaluate.py trains a judge"
                )
            if self.every is None:
                samples = len(dataset.images) // 5 if self._takes_label_maps else N_SAMPLES
                cost = samples * COST_PER_SAMPLE / len(dataset.images)
                self.every = math.ceil(cost / MAX_COST) if has_judge else 0

    def after(self, epoch, g_model):
        """A dict of the figures after an epoch. It is empty if this epoch is not to be measured."""
        if not self.every or epoch % self.every:
            return {}
        if self._measure is None:
            prepare = self._of_label_maps if self._takes_label_maps else self._of_classes
            with same_random_numbers():
                self._measure = prepare(g_model.output_shape[1])
        generator = Generator.of(g_model, self._about)
        return self._measure(generator, np.random.default_rng(self._seed))

    def _of_classes(self, _size):
        """A function that computes the Fréchet distance and, if labels exist, the accuracy."""
        dataset = self._dataset
        judge = networks.load_judge(dataset)
        chosen = np.random.default_rng(self._seed).permutation(len(dataset.images))[:N_REAL]
        reference = scores.Reference(judge, dataset.images[chosen], dataset.class_names)

        def measure(generator, rng):
            labels = None
            if generator.label_kind:
                labels = scores.proportional_labels(dataset.labels, N_SAMPLES)
            latents = generator.random_latents(N_SAMPLES, rng)
            figures = reference.figures(generator.draw(latents, labels), labels)
            recorded = ("label_accuracy", "frechet_distance")
            return {name: figures[name].value for name in recorded if name in figures}

        return measure

    def _of_label_maps(self, size):
        """A function that computes pixel accuracy and mean IoU of a sample of each label map."""
        judge = networks.load_judge(self._dataset)
        validation = facades.split(self._dataset, self._seed)[1]
        _photos, label_maps = facades.centre_crops(facades.fit(validation, size), size)

        def measure(generator, rng):
            latents = generator.random_latents(len(label_maps), rng)
            return scores.label_map_accuracy(judge, generator.draw(latents, label_maps), label_maps)

        return measure
