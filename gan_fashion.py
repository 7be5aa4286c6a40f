"""GAN on Fashion-MNIST, without classes: images of clothes, left to chance.

    python gan_fashion.py                    # 100 epochs; Ctrl-C at any time, then --resume
    python generate.py --model gan           # a hundred pieces of clothing

A generator turns 100 random numbers into an image. A discriminator says how likely it is that an
image is a real one (Goodfellow et al. 2014, arXiv 1406.2661). Both are convolutional, as in DCGAN
(Radford et al. 2015, arXiv 1511.06434), with sizes and settings of the first half of the Machine
Learning Mastery tutorial "How to Develop a Conditional GAN (cGAN) From Scratch". cgan_fashion.py is
this script with a class to ask for.
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
LATENT_DIM = 100


def define_discriminator(image_shape=IMAGE_SHAPE):
    """Compiled classifier of images: real (1) or generated (0).

    Input: `image` (n, *image_shape) in [-1, 1]. Output: (n, 1), the probability that it is real.
    """
    image = keras.Input(image_shape, name="image")
    x = image
    for _ in range(count_halvings(image_shape)):  # 28 → 14 → 7
        x = layers.Conv2D(128, 3, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.4)(x)
    # The last layer computes in float32 even with --mixed-precision, since the loss needs it.
    probability = layers.Dense(1, activation="sigmoid", dtype="float32")(x)

    model = keras.Model(image, probability, name="gan_fashion_discriminator")
    model.compile(loss="binary_crossentropy", optimizer=adam(), metrics=["accuracy"])
    return model


def define_generator(latent_dim=LATENT_DIM, image_shape=IMAGE_SHAPE):
    """Generator of images. It is not compiled: only the composite model trains it.

    Input: `latent` (n, latent_dim) from N(0, 1). Output: images (n, *image_shape) in [-1, 1].
    """
    n_doublings = count_halvings(image_shape)
    side = image_shape[0] // 2**n_doublings  # the first feature map has 7 or 8 pixels a side
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(side * side * 128)(latent)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((side, side, 128))(x)
    for _ in range(n_doublings):  # 7 → 14 → 28
        x = layers.Conv2DTranspose(128, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    # The tutorial has a Conv2D here. With stride 1, Conv2DTranspose can learn the same functions
    # (its kernel is that of Conv2D, turned by 180 degrees), and trains faster on a CPU.
    x = layers.Conv2DTranspose(image_shape[-1], 7, padding="same")(x)
    # Images are float32 even with --mixed-precision.
    image = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(latent, image, name="gan_fashion_generator")


def adam():
    """A new optimizer, since each model needs its own."""
    return keras.optimizers.Adam(learning_rate=2e-4, beta_1=0.5)


def define_gan(g_model, d_model):
    """Compiled composite model: the generator, followed by the frozen discriminator.

    `Frozen` calls the discriminator without making its weights part of the composite, so training
    the composite trains the generator only. The usual `d_model.trainable = False` does too much on
    Keras 3: the discriminator's own training stops as well (common/models/freezing.py).

    Input: that of the generator. Output: that of the discriminator, (n, 1).
    """
    probability = Frozen(d_model)(g_model.output)
    model = keras.Model(g_model.input, probability, name="gan_fashion_composite")
    model.compile(loss="binary_crossentropy", optimizer=adam())
    return model


def generate_real_samples(dataset, n_samples, rng):
    """Draw real images, scaled to [-1, 1], with the target 1, "real".

    `dataset.images` are uint8 (N, H, W, C), and `rng` is a numpy Generator.
    """
    chosen = rng.integers(0, len(dataset.images), n_samples)
    images = (dataset.images[chosen].astype("float32") - 127.5) / 127.5
    return images, np.ones((n_samples, 1), "float32")


def generate_latent_points(latent_dim, n_samples, rng):
    """Draw the generator's input: latents (n, latent_dim) from N(0, 1)."""
    return rng.standard_normal((n_samples, latent_dim), dtype="float32")


def generate_fake_samples(g_model, latent_dim, n_samples, rng):
    """Generate images in [-1, 1]; return them with the target 0, "generated"."""
    latents = generate_latent_points(latent_dim, n_samples, rng)
    # predict_on_batch and not predict, which builds a data pipeline on each call. Building it takes
    # longer than generating the images.
    images = g_model.predict_on_batch(latents)
    return images, np.zeros((n_samples, 1), "float32")


def train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run):
    """Train in turn the discriminator, on two half-batches, and the generator, on one batch.

    Real and generated images come in separate half-batches, so each has a loss of its own. The
    discriminator takes two steps of its optimizer for each one that the generator takes.

    `run` (a `Run`) counts epochs and steps, shows the progress, and stops at Ctrl-C. Its `rng` is
    the source of all random numbers, so that a run can be repeated and resumed.
    """
    half_batch = n_batch // 2
    sample_latents = generate_latent_points(latent_dim, 100, run.sample_rng)

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            images, target = generate_real_samples(dataset, half_batch, run.rng)
            d_loss_real, d_accuracy_real = d_model.train_on_batch(images, target)

            images, target = generate_fake_samples(g_model, latent_dim, half_batch, run.rng)
            d_loss_fake, d_accuracy_fake = d_model.train_on_batch(images, target)

            # The target is "real" although the images are generated: the loss falls when the
            # discriminator is deceived (Goodfellow et al. 2014, section 3).
            latents = generate_latent_points(latent_dim, n_batch, run.rng)
            g_loss = gan_model.train_on_batch(latents, np.ones((n_batch, 1), "float32"))

            run.log(
                d_loss_real=d_loss_real,
                d_loss_fake=d_loss_fake,
                g_loss=g_loss,
                d_accuracy_real=d_accuracy_real,
                d_accuracy_fake=d_accuracy_fake,
            )

        # Sampled and saved is the generator with the average of its weights over the last steps:
        # it draws better images than the current weights (common/models/averaging.py says why).
        run.save_epoch(run.average.of(g_model).predict(sample_latents, verbose=0))


def main(argv=None):
    parser = training_parser(__file__, __doc__, epochs=100, batch_size=128, latent_dim=LATENT_DIM)
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        dataset = run.load(datasets.load_fashion_mnist, labels_needed=False)
        image_shape = dataset.images.shape[1:]
        d_model = define_discriminator(image_shape)
        g_model = define_generator(latent_dim, image_shape)
        gan_model = define_gan(g_model, d_model)
        # This checks that the generator can be saved and drawn, and replaces the way in which Keras
        # calls these models by a faster one with the same results (--plain leaves Keras's own).
        run.begin(pixel_range=(-1, 1), generator=g_model, discriminator=d_model, gan=gan_model)
        train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
