"""A segmentation network, trained on real photos, that finds the class of each pixel."""

from common.backend import keras
from common.data import facades
from common.judges.classifier import convolution, shipped_path, to_unit
from common.models.generators import in_batches
from common.models.steps import quicken

import numpy as np
from keras import layers

SIZE = 64  # height and width of its input in pixels; other images are scaled
BATCH, STEPS = 16, 1500


class Judge:
    """A trained segmenter."""

    def __init__(self, segmenter):
        self._segmenter = segmenter
        self.n_classes = segmenter.output_shape[-1]
        quicken(segmenter)

    def segment(self, images):
        """Find the class of each pixel: uint8 (n, 64, 64).

        `images` are (n, H, W, 3), either float32 in [0, 1] or uint8. They are scaled to 64 x 64.
        """
        found = np.empty((len(images), SIZE, SIZE), "uint8")
        for part, probabilities in in_batches(self._segmenter, [images], (SIZE, SIZE), prepare):
            found[part] = probabilities.argmax(axis=-1)
        return found

    def scaled(self, label_maps):
        """Scale label maps (n, H, W) to the size of those that `segment` returns: (n, 64, 64)."""
        pixels = ((np.arange(SIZE) + 0.5) * label_maps.shape[1] / SIZE).astype(int)
        return label_maps[:, pixels[:, np.newaxis], pixels]


def load_judge(source):
    """Load the judge that comes with this code for a source of facades; None if there is none."""
    path = judge_path(source)
    return path and Judge(keras.saving.load_model(path, compile=False))


def judge_path(source):
    """The path of the judge that `load_judge` loads, or None."""
    return shipped_path(facades=source)


def prepare(images):
    """Convert images to inputs of the network: (n, 64, 64, 3) in [0, 1]."""
    images = to_unit(images)
    if images.shape[1] == SIZE:
        return images
    return keras.ops.convert_to_numpy(keras.ops.image.resize(images, (SIZE, SIZE), antialias=True))


def define_segmenter(n_classes):
    """A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) with 207,000 parameters.

    Input: `image` (n, 64, 64, 3) in [0, 1]. Output: the probability of each class in each pixel,
    (n, 64, 64, n_classes).
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x, skips = image, []
    for filters in (16, 32, 64):  # 64 → 32 → 16 → 8
        x = convolution(x, filters)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = convolution(x, 96)
    for skip in reversed(skips):  # 8 → 16 → 32 → 64
        x = layers.Concatenate()([layers.UpSampling2D()(x), skip])
        x = convolution(x, skip.shape[-1])
    probabilities = layers.Conv2D(n_classes, 1, activation="softmax", name="probabilities")(x)
    return keras.Model(image, probabilities, name="segmenter")


def train(training_set, n_classes, seed=0, steps=STEPS, report=None):
    """Train a new segmenter on random crops. The same seed gives the same segmenter.

    Args:
        training_set: `Facades` that `facades.fit` has scaled for crops of 64 pixels.
        n_classes: the number of classes in their label_maps.
        seed: seed of the initial weights and of the crops.
        steps: the number of training steps, each with a batch of 16 crops.
        report: called with a line of text every 100 steps, or None.
    """
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    segmenter = define_segmenter(n_classes)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    # The optimizer belongs to a second model of the same layers, so it is not saved with the first.
    learner = keras.Model(segmenter.input, segmenter.output)
    learner.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    quicken(learner)
    losses = []
    for step in range(1, steps + 1):
        chosen = rng.integers(0, len(training_set.images), BATCH)
        photos, label_maps = facades.random_crops(training_set, chosen, SIZE, rng)
        losses.append(learner.train_on_batch(photos.astype("float32") / 255, label_maps))
        if report and step % 100 == 0:
            report(f"step {step}/{steps}: loss {np.mean(losses):.3f}")
            losses = []
    return segmenter
