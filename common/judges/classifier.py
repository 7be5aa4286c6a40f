"""A classifier, trained on real images, that finds the classes and features of generated ones."""

import math
from pathlib import Path

from common.backend import keras
from common.models import saved_models
from common.models.generators import in_batches
from common.models.steps import quicken

import numpy as np
from keras import layers

BATCH = 128
MIN_ACCURACY = 0.8  # for images of the kind that it was trained on it is 0.92 and more


class Judge:
    """A trained classifier.

    Args:
        classifier: a model with the outputs of `define_classifier`.
    """

    def __init__(self, classifier):
        self._classifier = classifier
        quicken(classifier)

    def classify(self, images):
        """Find the features, float32 (n, d), and the classes, int64 (n,), of images.

        `images` are (n, H, W, C), either float32 in [0, 1] or uint8.
        """
        features = np.empty((len(images), self._classifier.outputs[1].shape[1]), "float32")
        found = np.empty(len(images), "int64")
        for part, outputs in in_batches(self._classifier, [images], images.shape[1:], to_unit):
            found[part], features[part] = outputs[0].argmax(axis=1), outputs[1]
        return features, found

    def accuracy(self, images, labels):
        """The share of images whose label is the class that the classifier finds."""
        return float(np.mean(self.classify(images)[1] == labels))

    def fits(self, images, labels):
        """Whether the classifier is right for at least MIN_ACCURACY of up to 1,000 real images."""
        some = slice(None, None, math.ceil(len(images) / 1000))
        return self.accuracy(images[some], labels[some]) >= MIN_ACCURACY


def load_judge(class_names, image_shape):
    """Load the judge that comes with this code for certain images; None if there is none.

    Args:
        class_names: the names of the classes of the images.
        image_shape: their shape, (H, W, C).
    """
    path = judge_path(class_names, image_shape)
    return path and Judge(keras.saving.load_model(path, compile=False))


def judge_path(class_names, image_shape):
    """The path of the judge that `load_judge` loads, or None."""
    return shipped_path(class_names=list(class_names), image_shape=list(image_shape))


def shipped_path(**wanted):
    """The path of a judge in this folder whose `about` has all these values, or None."""
    for path in sorted(Path(__file__).parent.glob("*.keras")):
        if path.name.startswith("."):  # left half written by a process that was killed
            continue
        _config, about = saved_models.read(path)
        if about.items() >= wanted.items():
            return path
    return None


def to_unit(images):
    """Scale uint8 images to float32 in [0, 1]; return others unchanged."""
    return images.astype("float32") / 255 if images.dtype == np.uint8 else images


def define_classifier(image_shape, n_classes):
    """A small convolutional network.

    After a first convolution, blocks of a pooling layer and two convolutions halve the image until
    its shorter side has at most 8 pixels.

    Input: `image` (n, H, W, C) in [0, 1]. Outputs: the probability of each class (n, n_classes),
    and the features from which they are computed, at most 96: the means of the last feature maps.
    For ten classes of grey images of 28 x 28 pixels it has 157,954 parameters.
    """
    image = keras.Input(image_shape, name="image")
    filters = 24
    x = convolution(image, filters)
    while min(x.shape[1:3]) > 8:  # 28 → 14 → 7
        filters = min(2 * filters, 96)
        x = layers.MaxPooling2D()(x)
        x = convolution(convolution(x, filters), filters)
    features = layers.GlobalAveragePooling2D(name="features")(x)
    probabilities = layers.Dense(n_classes, activation="softmax", name="probabilities")(features)
    return keras.Model(image, [probabilities, features], name="classifier")


def convolution(x, filters):
    """A block of convolution, batch normalisation and ReLU."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def train(images, labels, n_classes, seed=0, epochs=None, report=None):
    """Train a new classifier. The same seed gives the same classifier.

    Args:
        images: (N, H, W, C), float32 in [0, 1] or uint8.
        labels: integers (N,), 0 to n_classes - 1.
        n_classes: the number of classes.
        seed: seed of the initial weights, the order of the images, and the random shifts.
        epochs: passes through the images. By default 8, or as many as 160,000 images take, if
            that is more. Each time an image is shifted at random by up to a 28th of its sides.
        report: called with a line of text after each epoch, or None.
    """
    epochs = epochs or max(8, math.ceil(160_000 / len(images)))
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    classifier = define_classifier(images.shape[1:], n_classes)
    batch = min(BATCH, len(images))
    steps = len(images) // batch
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * steps)
    learner = keras.Model(classifier.input, classifier.outputs[0])
    learner.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    quicken(learner)
    for epoch in range(1, epochs + 1):
        order, losses = rng.permutation(len(images)), []
        for chosen in order[: steps * batch].reshape(steps, batch):
            shifted = to_unit(shift(images[chosen], rng))
            losses.append(learner.train_on_batch(shifted, labels[chosen]))
        if report:
            report(f"epoch {epoch}/{epochs}: loss {np.mean(losses):.3f}")
    return classifier


def shift(images, rng):
    """Shift each of the images (n, H, W, C) at random by up to a 28th of its height and width.

    The pixels at the edge are repeated to fill the gap.
    """
    count, height, width, _ = images.shape
    max_y, max_x = height // 28, width // 28
    padded = np.pad(images, ((0, 0), (max_y, max_y), (max_x, max_x), (0, 0)), mode="edge")
    tops, lefts = (rng.integers(0, 2 * largest + 1, count) for largest in (max_y, max_x))
    return np.stack(
        [
            image[top : top + height, left : left + width]
            for image, top, left in zip(padded, tops, lefts, strict=True)
        ]
    )
