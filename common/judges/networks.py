"""The judges: a classifier and a segmenter, trained on real images, that judge generated ones."""

import math
from pathlib import Path

from common.backend import keras
from common.data import facades
from common.models import saved_models
from common.models.generators import in_batches
from common.models.steps import quicken

import numpy as np
from keras import layers

BATCH = 128
MIN_ACCURACY = 0.8  # for images of the kind that it was trained on it is 0.92 and more
SIZE = 64  # height and width of the segmenter's input in pixels; other images are scaled
SEGMENTER_BATCH, SEGMENTER_STEPS = 16, 1500


def judge_path(dataset):
    """The path of the judge that comes with this code for a data set, or None."""
    wanted = images_of(dataset).items()
    for path in sorted(Path(__file__).parent.glob("[!.]*.keras")):  # one with a dot is unfinished
        if saved_models.read(path)[1].items() >= wanted:
            return path
    return None


def images_of(dataset):
    """What is saved with a judge of a data set: the images that it is for."""
    names = {"class_names": list(dataset.class_names)}
    if hasattr(dataset, "label_maps"):
        return names | {"facades": dataset.source}
    return names | {"image_shape": list(dataset.images.shape[1:])}


def load_judge(dataset):
    """The judge that comes with this code for a data set, a `keras.Model`, or None.

    Images may have the names of its classes and show something else: then it would find the class
    of less than 0.8 of them, and is not returned.
    """
    path = judge_path(dataset)
    if not path:
        return None
    judge = keras.saving.load_model(path, compile=False)
    quicken(judge)
    if hasattr(dataset, "label_maps") or dataset.source in ("full", "sample"):
        return judge
    some = slice(None, None, math.ceil(len(dataset.images) / 1000))
    fits = accuracy(judge, dataset.images[some], dataset.labels[some]) >= MIN_ACCURACY
    return judge if fits else None


def classify(judge, images):
    """The features, float32 (n, d), and the classes, int64 (n,), that a classifier finds in images.

    `images` are (n, H, W, C), either float32 in [0, 1] or uint8.
    """
    batches = in_batches(judge, [images], images.shape[1:], to_unit)
    probabilities, features = map(np.concatenate, zip(*batches, strict=True))
    return features, probabilities.argmax(axis=1)


def accuracy(judge, images, labels):
    """The share of images whose label is the class that the classifier finds."""
    return float(np.mean(classify(judge, images)[1] == labels))


def segment(judge, images):
    """The class of each pixel, uint8 (n, 64, 64), in images that are scaled to that size."""

    def prepare(images):
        images = to_unit(images)
        if images.shape[1] == SIZE:
            return images
        return np.array(keras.ops.image.resize(images, (SIZE, SIZE), antialias=True))

    batches = in_batches(judge, [images], (SIZE, SIZE), prepare)
    return np.concatenate([output.argmax(axis=-1).astype("uint8") for output in batches])


def scaled(label_maps):
    """Scale label maps (n, H, W) to the size of those that `segment` returns: (n, 64, 64)."""
    pixels = ((np.arange(SIZE) + 0.5) * label_maps.shape[1] / SIZE).astype(int)
    return label_maps[:, pixels[:, np.newaxis], pixels]


def to_unit(images):
    """Scale uint8 images to float32 in [0, 1]; return others unchanged."""
    return images.astype("float32") / 255 if images.dtype == np.uint8 else images


def define_classifier(image_shape, n_classes):
    """A small convolutional network, with 157,954 parameters for ten classes of 28 x 28 pixels.

    Input: `image` (n, H, W, C) in [0, 1]. Outputs: the probability of each class (n, n_classes),
    and the features from which they are computed, at most 96: the means of the last feature maps.
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


def convolution(x, filters):
    """A block of convolution, batch normalisation and ReLU."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def train(dataset, seed=0, report=None):
    """Train the judge for a data set: a segmenter for `Facades`, a classifier for a `Dataset`."""
    n_classes = len(dataset.class_names)
    if hasattr(dataset, "label_maps"):
        return train_segmenter(facades.fit(dataset, SIZE), n_classes, seed, report=report)
    return train_classifier(dataset.images, dataset.labels, n_classes, seed, report=report)


def train_classifier(images, labels, n_classes, seed=0, epochs=None, report=None):
    """Train a new classifier. The same seed gives the same classifier.

    Args:
        images: (N, H, W, C), float32 in [0, 1] or uint8. In each epoch they are shifted at random
            by up to a 28th of their sides.
        labels: integers (N,), 0 to n_classes - 1.
        epochs: by default 8, or as many as 160,000 images take, if that is more.
        report: called with a line of text after each epoch, or None.
    """
    epochs = epochs or max(8, math.ceil(160_000 / len(images)))
    keras.utils.set_random_seed(seed)
    classifier = define_classifier(images.shape[1:], n_classes)
    image = keras.Input(images.shape[1:])
    unit = layers.Rescaling(1 / 255 if images.dtype == np.uint8 else 1)(image)
    shifted = layers.RandomTranslation(1 / 28, 1 / 28, "nearest", "nearest")(unit)
    learner = keras.Model(image, classifier(shifted)[0])
    batch = min(BATCH, len(images))
    steps = math.ceil(len(images) / batch)
    _fit(learner, epochs, steps, report, x=images, y=labels, batch_size=batch)
    return classifier


def train_segmenter(training_set, n_classes, seed=0, steps=SEGMENTER_STEPS, report=None):
    """Train a new segmenter on random crops. The same seed gives the same segmenter.

    `training_set` are `Facades` that `facades.fit` has scaled for crops of 64 pixels. Every 100
    `steps` are called an epoch; `report` is as in `train_classifier`.
    """
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    segmenter = define_segmenter(n_classes)
    # The optimizer belongs to a second model of the same layers, so it is not saved with the first.
    learner = keras.Model(segmenter.input, segmenter.output)

    def batches():
        while True:
            chosen = rng.integers(0, len(training_set.images), SEGMENTER_BATCH)
            photos, label_maps = facades.random_crops(training_set, chosen, SIZE, rng)
            yield photos.astype("float32") / 255, label_maps

    each = min(steps, 100)
    _fit(learner, steps // each, each, report, x=batches(), shuffle=False)
    return segmenter


def _fit(learner, epochs, steps, report, **data):
    """Train a model of probabilities on the integers in its data, in epochs of so many steps."""
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * steps)
    learner.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")

    def report_epoch(epoch, logs):
        if report:
            report(f"epoch {epoch + 1}/{epochs}: loss {logs['loss']:.3f}")

    callback = keras.callbacks.LambdaCallback(on_epoch_end=report_epoch)
    learner.fit(**data, epochs=epochs, steps_per_epoch=steps, verbose=0, callbacks=[callback])
