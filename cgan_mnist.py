"""Conditional GAN on MNIST, with labels as one-hot vectors: digits, and mixtures of digits.

    python cgan_mnist.py                              # 20 epochs; Ctrl-C at any time, then --resume
    python generate.py --model cgan_mnist --class 7   # sevens
    python generate.py --model cgan_mnist --interpolate 2 6

Read cgan_fashion.py first. The main differences: A label is a one-hot vector, and the networks
receive it without an embedding. So a vector that is half a 2 and half a 6 is a label, too. The
discriminator outputs a logit, and the loss is computed from it. Pixels are scaled to [0, 1].
Networks and settings are those of the keras.io example "Conditional GAN", except that the label
channels are filled correctly and the discriminator learns from half-batches. As in that example,
the target 1 means generated and 0 means real. Either way works, if all targets follow the same one.
"""

import sys

# Import common before keras: it sets environment variables that TensorFlow reads once, on import.
from common.arguments import training_parser
from common.data import datasets
from common.models.freezing import Frozen
from common.models.sizes import count_halvings
from common.training.run import Run

import keras
import numpy as np
from keras import layers

IMAGE_SHAPE = (28, 28, 1)
N_CLASSES = 10
LATENT_DIM = 128
REAL, FAKE = 0.0, 1.0


def define_discriminator(image_shape=IMAGE_SHAPE, n_classes=N_CLASSES):
    """Compiled classifier of images, given their class: real (0) or generated (1).

    Inputs: `image` (n, *image_shape) in [0, 1], `label` (n, n_classes) one-hot.
    Output: (n, 1), the logit of the probability that the image is generated.
    """
    height, width, _channels = image_shape
    label = keras.Input((n_classes,), name="label")
    # One channel for each class, constant over the image: 1 for the class of the image, else 0.
    # The keras.io example repeats every number of the label and then reshapes, which mixes up
    # pixels and channels: about three rows are 1 in all of them, and only the place of these rows
    # tells the class.
    label_channels = layers.RepeatVector(height * width)(label)
    label_channels = layers.Reshape((height, width, n_classes), name="label_channels")(
        label_channels
    )

    image = keras.Input(image_shape, name="image")
    # Generated pixels are 0.5 ± 0.005 at the start, and numbers of 16 bits are 1/256 apart there:
    # rounding would hide how images differ. So this network computes in 32 bits even with
    # --mixed-precision. (Images in [-1, 1] start at 0, where such numbers are much closer.)
    float32 = {"dtype": "float32"}
    x = layers.Concatenate(**float32)([image, label_channels])
    for halving in range(count_halvings(image_shape)):  # 28 → 14 → 7
        filters = 64 if halving == 0 else 128
        x = layers.Conv2D(filters, 3, strides=2, padding="same", **float32)(x)
        x = layers.LeakyReLU(0.2, **float32)(x)
    x = layers.GlobalMaxPooling2D(**float32)(x)
    logit = layers.Dense(1, **float32)(x)

    model = keras.Model([image, label], logit, name="cgan_mnist_discriminator")
    # A logit above 0 is a probability above one half.
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    model.compile(loss=cross_entropy(), optimizer=adam(), metrics=[accuracy])
    return model


def define_generator(latent_dim=LATENT_DIM, image_shape=IMAGE_SHAPE, n_classes=N_CLASSES):
    """Generator of digits. It is not compiled: only the composite model trains it.

    Inputs: `latent` (n, latent_dim) from N(0, 1), `label` (n, n_classes), one-hot or a mixture.
    Output: images (n, *image_shape) in [0, 1].
    """
    n_doublings = count_halvings(image_shape)
    side = image_shape[0] // 2**n_doublings  # the first feature map has 7 or 8 pixels a side
    latent = keras.Input((latent_dim,), name="latent")
    label = keras.Input((n_classes,), name="label")
    channels = latent_dim + n_classes
    x = layers.Concatenate()([latent, label])
    x = layers.Dense(side * side * channels)(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((side, side, channels))(x)
    for _ in range(n_doublings):  # 7 → 14 → 28
        x = layers.Conv2DTranspose(128, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    # The example has a Conv2D here. With stride 1, Conv2DTranspose can learn the same functions
    # (its kernel is that of Conv2D, turned by 180 degrees), and trains faster on a CPU.
    x = layers.Conv2DTranspose(image_shape[-1], 7, padding="same")(x)
    # Images are float32 even with --mixed-precision.
    image = layers.Activation("sigmoid", dtype="float32")(x)
    return keras.Model([latent, label], image, name="cgan_mnist_generator")


def cross_entropy():
    """The loss of both models, from logits."""
    return keras.losses.BinaryCrossentropy(from_logits=True)


def adam():
    """A new optimizer, since each model needs its own."""
    return keras.optimizers.Adam(learning_rate=3e-4)


def define_gan(g_model, d_model):
    """Compiled composite model: the generator, followed by the frozen discriminator.

    `Frozen` calls the discriminator without making its weights part of the composite, so training
    the composite trains the generator only (common/models/freezing.py).

    Inputs: those of the generator. Output: that of the discriminator, (n, 1).
    """
    latent, label = g_model.inputs
    logit = Frozen(d_model)([g_model.output, label])
    model = keras.Model([latent, label], logit, name="cgan_mnist_composite")
    model.compile(loss=cross_entropy(), optimizer=adam())
    return model


def one_hot(labels, n_classes):
    """Integers (n,) to vectors, float32 (n, n_classes), with a 1 in the place of the class."""
    return np.eye(n_classes, dtype="float32")[labels]


def generate_real_samples(dataset, n_samples, n_classes, rng):
    """Draw real images, scaled to [0, 1], with their one-hot labels and the target 0, "real".

    `dataset.images` are uint8 (N, H, W, C), `dataset.labels` integers (N,), and `rng` is a numpy
    Generator.
    """
    chosen = rng.integers(0, len(dataset.images), n_samples)
    images = dataset.images[chosen].astype("float32") / 255
    labels = one_hot(dataset.labels[chosen], n_classes)
    return [images, labels], np.full((n_samples, 1), REAL, "float32")


def generate_latent_points(latent_dim, n_samples, n_classes, rng):
    """Draw the generator's inputs: latents (n, latent_dim) from N(0, 1), one-hot labels."""
    latents = rng.standard_normal((n_samples, latent_dim), dtype="float32")
    return [latents, one_hot(rng.integers(0, n_classes, n_samples), n_classes)]


def generate_fake_samples(g_model, latent_dim, n_samples, n_classes, rng):
    """Generate images in [0, 1]; return them with their labels and the target 1, "generated"."""
    latents, labels = generate_latent_points(latent_dim, n_samples, n_classes, rng)
    images = g_model.predict_on_batch([latents, labels])
    return [images, labels], np.full((n_samples, 1), FAKE, "float32")


def train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run):
    """Train in turn the discriminator, on two half-batches, and the generator, on one batch.

    `run` (a `Run`) counts epochs and steps, shows the progress, and stops at Ctrl-C. Its `rng` is
    the source of all random numbers, so that a run can be repeated and resumed.
    """
    half_batch, n_classes = n_batch // 2, len(dataset.class_names)
    sample_labels = one_hot(run.sample_labels, n_classes)  # ten of each class, a column for each
    sample_latents, _ = generate_latent_points(
        latent_dim, len(sample_labels), n_classes, run.sample_rng
    )

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            inputs, target = generate_real_samples(dataset, half_batch, n_classes, run.rng)
            d_loss_real, d_accuracy_real = d_model.train_on_batch(inputs, target)

            inputs, target = generate_fake_samples(
                g_model, latent_dim, half_batch, n_classes, run.rng
            )
            d_loss_fake, d_accuracy_fake = d_model.train_on_batch(inputs, target)

            # The target is "real" although the images are generated: the loss falls when the
            # discriminator is deceived.
            inputs = generate_latent_points(latent_dim, n_batch, n_classes, run.rng)
            g_loss = gan_model.train_on_batch(inputs, np.full((n_batch, 1), REAL, "float32"))

            run.log(
                d_loss_real=d_loss_real,
                d_loss_fake=d_loss_fake,
                g_loss=g_loss,
                d_accuracy_real=d_accuracy_real,
                d_accuracy_fake=d_accuracy_fake,
            )

        # Sampled and saved is the generator with the average of its weights over the last steps:
        # it draws better images than the current weights (common/models/averaging.py says why).
        images = run.average.of(g_model).predict([sample_latents, sample_labels], verbose=0)
        run.save_epoch(images)


def main(argv=None):
    parser = training_parser(__file__, __doc__, epochs=20, batch_size=64, latent_dim=LATENT_DIM)
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        dataset = run.load(datasets.load_mnist)
        image_shape, n_classes = dataset.images.shape[1:], len(dataset.class_names)
        d_model = define_discriminator(image_shape, n_classes)
        g_model = define_generator(latent_dim, image_shape, n_classes)
        gan_model = define_gan(g_model, d_model)
        # This checks that the generator can be saved and drawn, and replaces the way in which Keras
        # calls these models by a faster one with the same results (--plain leaves Keras's own).
        run.begin(pixel_range=(0, 1), generator=g_model, discriminator=d_model, gan=gan_model)
        train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
