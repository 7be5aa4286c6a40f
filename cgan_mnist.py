"""Conditional GAN on MNIST, with labels as one-hot vectors: digits, and mixtures of digits.

    python cgan_mnist.py                              # 20 epochs; Ctrl-C at any time, then --resume
    python generate.py --model cgan_mnist --class 7   # sevens

The model is that of the keras.io example "Conditional GAN". What differs from cgan_fashion.py: a
label is a vector of ten numbers that the networks receive as it is, without an embedding, so half
a 2 and half a 6 is a label as well; and the discriminator ends in a logit, the loss being computed
from that. As in the example, the target 1 means generated and 0 real: either way round will do.
"""

import sys

# common comes first: it settles what TensorFlow reads from the environment at import.
from common import plotting
from common.arguments import training_parser
from common.data import datasets
from common.models.freezing import Frozen
from common.training.run import Run

import keras
import numpy as np
from keras import layers

IMAGE_SHAPE = (28, 28, 1)
N_CLASSES = 10
LATENT_DIM = 128
REAL, FAKE = 0.0, 1.0


def define_discriminator():
    """Compiled classifier of images, given their class: real (0) or generated (1).

    Inputs: `image` (n, 28, 28, 1) in [0, 1], `label` (n, 10) one-hot.
    Output: (n, 1), the logit of the probability that the image is generated.
    """
    image = keras.Input(IMAGE_SHAPE, name="image")
    label = keras.Input((N_CLASSES,), name="label")
    # Each class has a plane of its own, constant over the image: (n, 10) → (n, 784, 10) → planes.
    # The keras.io example repeats every element 784 times and reshapes, which does not make planes:
    # about three image rows are lit, in all ten channels alike, and their height is the class.
    planes = layers.RepeatVector(28 * 28)(label)
    planes = layers.Reshape((28, 28, N_CLASSES), name="label_planes")(planes)

    x = layers.Concatenate()([image, planes])
    for filters in (64, 128):  # 28 → 14 → 7
        x = layers.Conv2D(filters, 3, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.GlobalMaxPooling2D()(x)
    # float32 even with --mixed-precision: 16 bits are too coarse for the losses.
    logit = layers.Dense(1, dtype="float32")(x)

    model = keras.Model([image, label], logit, name="cgan_mnist_discriminator")
    # Above 0, a logit means a probability above one half.
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    model.compile(loss=cross_entropy(), optimizer=adam(), metrics=[accuracy])
    return model


def define_generator(latent_dim=LATENT_DIM):
    """Generator of digits. Not compiled: only the composite model trains it.

    Inputs: `latent` (n, latent_dim) from N(0, 1), `label` (n, 10), one-hot or a mixture.
    Output: images (n, 28, 28, 1) in [0, 1].
    """
    latent = keras.Input((latent_dim,), name="latent")
    label = keras.Input((N_CLASSES,), name="label")
    channels = latent_dim + N_CLASSES
    x = layers.Concatenate()([latent, label])
    x = layers.Dense(7 * 7 * channels)(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((7, 7, channels))(x)
    for _ in range(2):  # 7 → 14 → 28
        x = layers.Conv2DTranspose(128, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    # The tutorial has a Conv2D here. With stride 1 a Conv2DTranspose is the same function with the
    # kernel rotated by 180 degrees, and its gradient is faster on a CPU (common/models/steps.py).
    image = layers.Conv2DTranspose(1, 7, padding="same", activation="sigmoid", dtype="float32")(x)
    return keras.Model([latent, label], image, name="cgan_mnist_generator")


def cross_entropy():
    """The loss of both models, from logits."""
    return keras.losses.BinaryCrossentropy(from_logits=True)


def adam():
    """A new optimizer: each model has its own."""
    return keras.optimizers.Adam(learning_rate=3e-4)


def define_gan(g_model, d_model):
    """Compiled composite model: generator, then the frozen discriminator.

    `Frozen` calls the discriminator without adopting its weights; why `trainable = False` no
    longer serves for this on Keras 3 is told in common/models/freezing.py.

    Inputs: those of the generator. Output: the discriminator's (n, 1).
    """
    latent, label = g_model.inputs
    logit = Frozen(d_model)([g_model.output, label])
    model = keras.Model([latent, label], logit, name="cgan_mnist_composite")
    model.compile(loss=cross_entropy(), optimizer=adam())
    return model


def one_hot(labels):
    """Integers (n,) to vectors, float32 (n, 10). Raises ValueError for a label outside 0 to 9."""
    return np.eye(N_CLASSES, dtype="float32")[datasets.check_labels(labels, N_CLASSES)]


def generate_real_samples(dataset, n_samples, rng=None):
    """Draw real images, scaled to [0, 1], with their one-hot labels and the target 0.

    `dataset` starts with images, uint8 (N, 28, 28, 1), and labels, integers (N,).
    Raises ValueError for a label outside 0 to 9.
    """
    rng = np.random.default_rng(rng)
    images, labels = dataset[:2]
    chosen = rng.integers(0, len(images), n_samples)
    real_images = images[chosen].astype("float32") / 255
    return [real_images, one_hot(labels[chosen])], np.full((n_samples, 1), REAL, "float32")


def generate_latent_points(latent_dim, n_samples, rng=None):
    """Draw the generator's inputs: latents (n, latent_dim) from N(0, 1), one-hot labels (n, 10)."""
    rng = np.random.default_rng(rng)
    latents = rng.standard_normal((n_samples, latent_dim), dtype="float32")
    return [latents, one_hot(rng.integers(0, N_CLASSES, n_samples))]


def generate_fake_samples(g_model, latent_dim, n_samples, rng=None):
    """Draw generated images in [0, 1], with the labels asked for and the target 1."""
    latents, labels = generate_latent_points(latent_dim, n_samples, rng)
    images = g_model.predict_on_batch([latents, labels])
    return [images, labels], np.full((n_samples, 1), FAKE, "float32")


def train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run):
    """Alternate between the two models: discriminator on two half-batches, generator on one batch.

    Real and generated images go to the discriminator apart, half a batch each, so that it learns
    from as many of the one kind as of the other and reports a loss for each.

    `run` (a `Run`) counts the epochs, shows the progress, and saves after every epoch.
    """
    half_batch = n_batch // 2
    fixed_latents, _ = generate_latent_points(latent_dim, 100, run.sample_rng)
    one_column_per_class = one_hot(np.tile(np.arange(N_CLASSES), 10))

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            inputs, targets = generate_real_samples(dataset, half_batch, run.rng)
            d_loss_real, d_accuracy_real = d_model.train_on_batch(inputs, targets)

            inputs, targets = generate_fake_samples(g_model, latent_dim, half_batch, run.rng)
            d_loss_fake, d_accuracy_fake = d_model.train_on_batch(inputs, targets)

            # The generator is to make the discriminator say "real" of images that are not.
            inputs = generate_latent_points(latent_dim, n_batch, run.rng)
            g_loss = gan_model.train_on_batch(inputs, np.full((n_batch, 1), REAL, "float32"))

            run.average.update()
            run.log(
                d_loss_real=d_loss_real,
                d_loss_fake=d_loss_fake,
                g_loss=g_loss,
                d_accuracy_real=d_accuracy_real,
                d_accuracy_fake=d_accuracy_fake,
            )

        # What is sampled and saved is the averaged generator (common/models/averaging.py says why).
        images = run.average.of(g_model).predict_on_batch([fixed_latents, one_column_per_class])
        plotting.save_grid(images, run.sample_path(), columns=N_CLASSES, titles=dataset.class_names)
        run.save_epoch()


def main(argv=None):
    parser = training_parser("cgan_mnist", __doc__, epochs=20, batch_size=64, latent_dim=LATENT_DIM)
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        dataset = run.load(datasets.load_mnist)
        d_model = define_discriminator()
        g_model = define_generator(latent_dim)
        gan_model = define_gan(g_model, d_model)
        run.begin(pixel_range=(0, 1), generator=g_model, discriminator=d_model, gan=gan_model)
        train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
