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
from common import plotting
from common.arguments import add_image_options, image_options, training_parser
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
    # The tutorial has a Conv2D here. With stride 1 a Conv2DTranspose is the same function with the
    # kernel rotated by 180 degrees, and its gradient is faster on a CPU (common/models/steps.py).
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
    the composite trains the generator only. Why `trainable = False` is not enough on Keras 3 is
    explained in common/models/freezing.py.

    Input: that of the generator. Output: that of the discriminator, (n, 1).
    """
    probability = Frozen(d_model)(g_model.output)
    model = keras.Model(g_model.input, probability, name="gan_fashion_composite")
    model.compile(loss="binary_crossentropy", optimizer=adam())
    return model


def generate_real_samples(dataset, n_samples, rng=None):
    """Draw real images, scaled to [-1, 1], with the target 1, "real".

    The first entry of `dataset` is images, uint8 (N, H, W, C).
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
    """Generate images in [-1, 1]; return them with the target 0, "generated"."""
    latents = generate_latent_points(latent_dim, n_samples, rng)
    # predict_on_batch and not predict, which builds a data pipeline on each call. Building it takes
    # longer than generating the images.
    images = g_model.predict_on_batch(latents)
    return images, np.zeros((n_samples, 1), "float32")


def train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run):
    """Train in turn the discriminator, on two half-batches, and the generator, on one batch.

    The discriminator gets the real and the generated images in separate half-batches. So it learns
    from as many real as generated images, and reports a loss for each.

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

            run.average.update()
            run.log(
                d_loss_real=d_loss_real,
                d_loss_fake=d_loss_fake,
                g_loss=g_loss,
                d_accuracy_real=d_accuracy_real,
                d_accuracy_fake=d_accuracy_fake,
            )

        # Sample and save the average of the generator's weights over the last steps: its images
        # are better than those of the current weights (common/models/averaging.py says why).
        images = run.average.of(g_model).predict_on_batch(sample_latents)
        plotting.save_grid((images + 1) / 2, run.sample_path())
        run.save_epoch()


def main(argv=None):
    parser = training_parser(
        "gan_fashion", __doc__, epochs=100, batch_size=128, latent_dim=LATENT_DIM
    )
    add_image_options(parser)
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        options = image_options(run.arguments)
        dataset = run.load(datasets.load_fashion_mnist, **options, labels_needed=False)
        image_shape = dataset.images.shape[1:]
        d_model = define_discriminator(image_shape)
        g_model = define_generator(latent_dim, image_shape)
        gan_model = define_gan(g_model, d_model)
        run.begin(generator=g_model, discriminator=d_model, gan=gan_model)
        train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
