"""GAN on Fashion-MNIST, without classes: pictures of clothes, whichever come.

    python gan_fashion.py                    # 100 epochs; Ctrl-C at any time, then --resume
    python generate.py --model gan           # a hundred pieces

A generator turns 100 random numbers into an image; a discriminator says how likely it is that an
image is a real one (Goodfellow et al. 2014, arXiv 1406.2661). Both are DCGANs (Radford et al.
2015, arXiv 1511.06434), in the sizes and with the settings of the first half of the Machine
Learning Mastery tutorial "How to Develop a Conditional GAN From Scratch". cgan_fashion.py is the
same with a class to ask for.
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
LATENT_DIM = 100


def define_discriminator():
    """Compiled classifier of images: real (1) or generated (0).

    Input: `image` (n, 28, 28, 1) in [-1, 1]. Output: (n, 1), the probability that it is real.
    """
    image = keras.Input(IMAGE_SHAPE, name="image")
    x = image
    for _ in range(2):  # 28 → 14 → 7
        x = layers.Conv2D(128, 3, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.4)(x)
    # float32 even with --mixed-precision: 16 bits are too coarse for the losses.
    probability = layers.Dense(1, activation="sigmoid", dtype="float32")(x)

    model = keras.Model(image, probability, name="gan_fashion_discriminator")
    model.compile(loss="binary_crossentropy", optimizer=adam(), metrics=["accuracy"])
    return model


def define_generator(latent_dim=LATENT_DIM):
    """Generator of images. Not compiled: only the composite model trains it.

    Input: `latent` (n, latent_dim) from N(0, 1). Output: images (n, 28, 28, 1) in [-1, 1].
    """
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(7 * 7 * 128)(latent)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((7, 7, 128))(x)
    for _ in range(2):  # 7 → 14 → 28
        x = layers.Conv2DTranspose(128, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    # The tutorial has a Conv2D here. With stride 1 a Conv2DTranspose is the same function with the
    # kernel rotated by 180 degrees, and its gradient is faster on a CPU (common/models/steps.py).
    image = layers.Conv2DTranspose(1, 7, padding="same", activation="tanh", dtype="float32")(x)
    return keras.Model(latent, image, name="gan_fashion_generator")


def adam():
    """A new optimizer: each model has its own."""
    return keras.optimizers.Adam(learning_rate=2e-4, beta_1=0.5)


def define_gan(g_model, d_model):
    """Compiled composite model: generator, then the frozen discriminator.

    `Frozen` calls the discriminator without adopting its weights; why `trainable = False` no
    longer serves for this on Keras 3 is told in common/models/freezing.py.

    Input: the generator's. Output: the discriminator's (n, 1).
    """
    probability = Frozen(d_model)(g_model.output)
    model = keras.Model(g_model.input, probability, name="gan_fashion_composite")
    model.compile(loss="binary_crossentropy", optimizer=adam())
    return model


def generate_real_samples(dataset, n_samples, rng=None):
    """Draw real images, scaled to [-1, 1], with the target 1.

    `dataset` starts with images, uint8 (N, 28, 28, 1).
    """
    rng = np.random.default_rng(rng)
    images = dataset[0]
    chosen = rng.integers(0, len(images), n_samples)
    real_images = (images[chosen].astype("float32") - 127.5) / 127.5
    return real_images, np.ones((n_samples, 1), "float32")


def generate_latent_points(latent_dim, n_samples, rng=None):
    """Draw the generator's input: latents (n, latent_dim) from N(0, 1)."""
    rng = np.random.default_rng(rng)
    return rng.standard_normal((n_samples, latent_dim), dtype="float32")


def generate_fake_samples(g_model, latent_dim, n_samples, rng=None):
    """Draw generated images in [-1, 1], with the target 0."""
    latents = generate_latent_points(latent_dim, n_samples, rng)
    # Not predict, which sets up a data pipeline for every call: that takes longer than the images.
    images = g_model.predict_on_batch(latents)
    return images, np.zeros((n_samples, 1), "float32")


def train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run):
    """Alternate between the two models: discriminator on two half-batches, generator on one batch.

    Real and generated images go to the discriminator apart, half a batch each, so that it learns
    from as many of the one kind as of the other and reports a loss for each.

    `run` (a `Run`) counts the epochs, shows the progress, and saves after every epoch.
    """
    half_batch = n_batch // 2
    fixed_latents = generate_latent_points(latent_dim, 100, run.sample_rng)

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            images, real = generate_real_samples(dataset, half_batch, run.rng)
            d_loss_real, d_accuracy_real = d_model.train_on_batch(images, real)

            images, fake = generate_fake_samples(g_model, latent_dim, half_batch, run.rng)
            d_loss_fake, d_accuracy_fake = d_model.train_on_batch(images, fake)

            # The target is 1, "real", for images that are not: the generator's loss is small
            # where the discriminator is deceived (Goodfellow et al. 2014, section 3).
            latents = generate_latent_points(latent_dim, n_batch, run.rng)
            g_loss = gan_model.train_on_batch(latents, np.ones((n_batch, 1), "float32"))

            run.average.update()
            run.log(
                d_loss_real=d_loss_real,
                d_loss_fake=d_loss_fake,
                g_loss=g_loss,
                d_accuracy_real=d_accuracy_real,
                d_accuracy_fake=d_accuracy_fake,
            )

        # What is sampled and saved is the averaged generator (common/models/averaging.py says why).
        images = run.average.of(g_model).predict_on_batch(fixed_latents)
        plotting.save_grid((images + 1) / 2, run.sample_path())
        run.save_epoch()


def main(argv=None):
    parser = training_parser(
        "gan_fashion", __doc__, epochs=100, batch_size=128, latent_dim=LATENT_DIM
    )
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        dataset = run.load(datasets.load_fashion_mnist)
        d_model = define_discriminator()
        g_model = define_generator(latent_dim)
        gan_model = define_gan(g_model, d_model)
        run.begin(generator=g_model, discriminator=d_model, gan=gan_model)
        train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
