"""Conditional GAN on Fashion-MNIST: ask for a class, get a picture of it.

    python cgan_fashion.py                       # 100 epochs; Ctrl-C at any time, then --resume
    python generate.py --model cgan --class 3    # dresses

A generator turns 100 random numbers and a class into an image; a discriminator sees an image and
a class and says how likely it is that the image is a real one of that class. Both networks are
DCGANs (Radford et al. 2015, arXiv 1511.06434) that receive the class as one more channel
(conditional GAN: Mirza and Osindero 2014, arXiv 1411.1784). Sizes and settings are those of the
Machine Learning Mastery tutorial "How to Develop a Conditional GAN From Scratch".
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
from keras import layers, ops

IMAGE_SHAPE = (28, 28, 1)
N_CLASSES = 10
LATENT_DIM = 100
EMBEDDING_DIM = 50


def define_discriminator(embedding_dim=EMBEDDING_DIM):
    """Compiled classifier of images, given their class: real (1) or generated (0).

    Inputs: `image` (n, 28, 28, 1) in [-1, 1], `label` (n, 1) integers 0 to 9.
    Output: (n, 1), the probability that the image is real.
    """
    label = keras.Input((1,), dtype="int32", name="label")
    class_vector = embed(label, embedding_dim)
    plane = layers.Reshape(IMAGE_SHAPE)(layers.Dense(28 * 28)(class_vector))

    image = keras.Input(IMAGE_SHAPE, name="image")
    x = layers.Concatenate()([image, plane])
    for _ in range(2):  # 28 → 14 → 7
        x = layers.Conv2D(128, 3, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.4)(x)
    # float32 even with --mixed-precision: 16 bits are too coarse for the losses.
    probability = layers.Dense(1, activation="sigmoid", dtype="float32")(x)

    model = keras.Model([image, label], probability, name="cgan_fashion_discriminator")
    model.compile(loss="binary_crossentropy", optimizer=adam(), metrics=["accuracy"])
    return model


def define_generator(latent_dim=LATENT_DIM, embedding_dim=EMBEDDING_DIM):
    """Generator of images of a class. Not compiled: only the composite model trains it.

    Inputs: `latent` (n, latent_dim) from N(0, 1), `label` (n, 1) integers 0 to 9.
    Output: images (n, 28, 28, 1) in [-1, 1].
    """
    label = keras.Input((1,), dtype="int32", name="label")
    class_vector = embed(label, embedding_dim)
    plane = layers.Reshape((7, 7, 1))(layers.Dense(7 * 7)(class_vector))

    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(7 * 7 * 128)(latent)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((7, 7, 128))(x)
    x = layers.Concatenate()([x, plane])
    for _ in range(2):  # 7 → 14 → 28
        x = layers.Conv2DTranspose(128, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    # The tutorial has a Conv2D here. With stride 1 a Conv2DTranspose is the same function with the
    # kernel rotated by 180 degrees, and its gradient is faster on a CPU (common/models/steps.py).
    image = layers.Conv2DTranspose(1, 7, padding="same", activation="tanh", dtype="float32")(x)

    return keras.Model([latent, label], image, name="cgan_fashion_generator")


def embed(label, embedding_dim):
    """A learned vector for each class, (n, 1) integers to (n, 1, embedding_dim)."""
    # Keras starts embeddings within ±0.05, so small that both networks overlook them for epochs.
    # A classifier of real clothes found 11 % of the samples in the class asked for after epoch 1
    # and 21 % after epoch 2; from unit scale on, 56 % and 78 % (60,000 images, one run each).
    unit_scale = keras.initializers.RandomNormal(stddev=1.0)
    # Keras would take -1 for the last class. Row 10 is one that TensorFlow refuses to look up.
    label = ops.where(label < 0, N_CLASSES, label)
    return layers.Embedding(N_CLASSES, embedding_dim, embeddings_initializer=unit_scale)(label)


def adam():
    """A new optimizer: each model has its own."""
    return keras.optimizers.Adam(learning_rate=2e-4, beta_1=0.5)


def define_gan(g_model, d_model):
    """Compiled composite model: generator, then the frozen discriminator.

    Training it to answer "real" teaches the generator to deceive. The usual recipe freezes the
    discriminator by `d_model.trainable = False` before compiling. On Keras 3 that stops the
    discriminator's own training too, for good: `trainable` is now read when a training function
    is first traced, and no longer when `compile` runs. `Frozen` calls the discriminator without
    adopting its weights, so that each model updates its own and there is nothing to switch
    (common/models/freezing.py has the details).

    Inputs: those of the generator. Output: the discriminator's (n, 1).
    """
    latent, label = g_model.inputs
    probability = Frozen(d_model)([g_model.output, label])
    model = keras.Model([latent, label], probability, name="cgan_fashion_composite")
    model.compile(loss="binary_crossentropy", optimizer=adam())
    return model


def generate_real_samples(dataset, n_samples, rng=None):
    """Draw real images, scaled to [-1, 1], with their labels and the target 1.

    `dataset` starts with images, uint8 (N, 28, 28, 1), and labels, integers (N,).
    Raises ValueError for a label outside 0 to 9.
    """
    rng = np.random.default_rng(rng)
    images, labels = dataset[:2]
    chosen = rng.integers(0, len(images), n_samples)
    real_images = (images[chosen].astype("float32") - 127.5) / 127.5
    real_labels = datasets.check_labels(labels[chosen], N_CLASSES)
    return [real_images, real_labels.reshape(-1, 1)], np.ones((n_samples, 1), "float32")


def generate_latent_points(latent_dim, n_samples, rng=None):
    """Draw the generator's inputs: latents (n, latent_dim) from N(0, 1), labels (n, 1)."""
    rng = np.random.default_rng(rng)
    latents = rng.standard_normal((n_samples, latent_dim), dtype="float32")
    labels = rng.integers(0, N_CLASSES, (n_samples, 1), dtype="int32")
    return [latents, labels]


def generate_fake_samples(g_model, latent_dim, n_samples, rng=None):
    """Draw generated images in [-1, 1], with the labels asked for and the target 0."""
    latents, labels = generate_latent_points(latent_dim, n_samples, rng)
    # Not predict, which sets up a data pipeline for every call: that takes longer than the images.
    images = g_model.predict_on_batch([latents, labels])
    return [images, labels], np.zeros((n_samples, 1), "float32")


def train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run):
    """Alternate between the two models: discriminator on two half-batches, generator on one batch.

    Real and generated images go to the discriminator apart, half a batch each, so that it learns
    from as many of the one kind as of the other and reports a loss for each.

    `run` (a `Run`) counts the epochs, shows the progress, and saves after every epoch.
    """
    half_batch = n_batch // 2
    fixed_latents, _ = generate_latent_points(latent_dim, 100, run.sample_rng)
    one_column_per_class = np.tile(np.arange(N_CLASSES), 10).reshape(-1, 1)

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            inputs, real = generate_real_samples(dataset, half_batch, run.rng)
            d_loss_real, d_accuracy_real = d_model.train_on_batch(inputs, real)

            inputs, fake = generate_fake_samples(g_model, latent_dim, half_batch, run.rng)
            d_loss_fake, d_accuracy_fake = d_model.train_on_batch(inputs, fake)

            # The target is 1, "real", for images that are not: the generator's loss is small
            # where the discriminator is deceived (Goodfellow et al. 2014, section 3).
            inputs = generate_latent_points(latent_dim, n_batch, run.rng)
            g_loss = gan_model.train_on_batch(inputs, np.ones((n_batch, 1), "float32"))

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
        plotting.save_grid(
            (images + 1) / 2, run.sample_path(), columns=N_CLASSES, titles=dataset.class_names
        )
        run.save_epoch()


def main(argv=None):
    parser = training_parser(
        "cgan_fashion", __doc__, epochs=100, batch_size=128, latent_dim=LATENT_DIM
    )
    parser.add_integer(
        "--embedding-dim", 1, 10_000, EMBEDDING_DIM, "numbers in the learned vector of a class"
    )
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        embedding_dim = run.arguments.embedding_dim
        dataset = run.load(datasets.load_fashion_mnist)
        d_model = define_discriminator(embedding_dim)
        g_model = define_generator(latent_dim, embedding_dim)
        gan_model = define_gan(g_model, d_model)
        run.begin(generator=g_model, discriminator=d_model, gan=gan_model)
        train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
