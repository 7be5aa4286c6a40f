"""A script that a student might add: least squares GAN on small colour images, with other layers.

Used by test_sixth_script.py. It says nothing to `common` that the other scripts do not.
"""

import sys

from common.arguments import training_parser
from common.data import datasets
from common.models.freezing import Frozen
from common.training.run import Run

import keras
import numpy as np
from keras import layers, ops

IMAGE_SHAPE = (32, 32, 3)
CLASS_NAMES = ("red", "green", "blue")


def load_colours(source):
    """Images of one colour each, whatever the source."""
    labels = np.arange(96, dtype="int32") % 3
    images = np.zeros((96, *IMAGE_SHAPE), "uint8")
    images[np.arange(96), :, :, labels] = np.arange(160, 256, dtype="uint8")[:, None, None]
    return datasets.Dataset(images, labels, CLASS_NAMES, source)


def define_discriminator():
    image, label = keras.Input(IMAGE_SHAPE, name="image"), keras.Input((3,), name="label")
    x = layers.SpectralNormalization(layers.Conv2D(8, 3, strides=4, padding="same"))(image)
    x = layers.Dropout(0.2)(layers.ReLU()(x))
    x = layers.Concatenate()([layers.Flatten()(x), label])
    model = keras.Model([image, label], layers.Dense(1)(x))
    model.compile(loss="mse", optimizer="adam")
    return model


def define_generator(latent_dim):
    latent, label = keras.Input((latent_dim,), name="latent"), keras.Input((3,), name="label")
    x = layers.Dense(4 * 4 * 8, activation="gelu")(layers.Concatenate()([latent, label]))
    x = layers.LayerNormalization()(layers.Reshape((4, 4, 8))(x))
    for _ in range(3):  # 4 → 32
        x = layers.UpSampling2D(interpolation="bilinear")(x)
        x = ops.concatenate([ops.silu(x[..., :4]), layers.PReLU()(x[..., 4:])], axis=-1)
        x = layers.Dropout(0.1)(layers.SeparableConv2D(8, 3, padding="same")(x))
    image = ops.sigmoid(layers.Conv2D(3, 3, padding="same")(x))
    return keras.Model([latent, label], image, name="my_own_model")


def define_gan(g_model, d_model):
    score = Frozen(d_model)([g_model.output, g_model.inputs[1]])
    model = keras.Model(g_model.inputs, score)
    model.compile(loss="mse", optimizer="adam")
    return model


def generate_latent_points(latent_dim, n_samples, rng):
    latents = rng.standard_normal((n_samples, latent_dim), dtype="float32")
    return [latents, np.eye(3, dtype="float32")[rng.integers(0, 3, n_samples)]]


def train(g_model, d_model, gan_model, dataset, n_batch, run):
    half_batch, latent_dim = n_batch // 2, run.arguments.latent_dim
    ones, zeros = np.ones((half_batch, 1), "float32"), np.zeros((half_batch, 1), "float32")
    latents, _ = generate_latent_points(latent_dim, 30, run.sample_rng)
    fixed = [latents, np.eye(3, dtype="float32")[run.sample_labels]]
    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            chosen = run.rng.integers(0, len(dataset.images), half_batch)
            real = dataset.images[chosen].astype("float32") / 255
            labels = np.eye(3, dtype="float32")[dataset.labels[chosen]]
            d_loss_real = d_model.train_on_batch([real, labels], ones)
            inputs = generate_latent_points(latent_dim, half_batch, run.rng)
            images = g_model.predict_on_batch(inputs)
            d_loss_fake = d_model.train_on_batch([images, inputs[1]], zeros)
            inputs = generate_latent_points(latent_dim, n_batch, run.rng)
            g_loss = gan_model.train_on_batch(inputs, np.ones((n_batch, 1), "float32"))
            run.log(d_loss_real=d_loss_real, d_loss_fake=d_loss_fake, g_loss=g_loss)
        run.save_epoch(run.average.of(g_model).predict(fixed, verbose=0))


def main(argv=None):
    parser = training_parser(
        __file__, __doc__, epochs=2, batch_size=16, latent_dim=5, own_images=False
    )
    with Run(parser, argv) as run:
        dataset = run.load(load_colours)
        d_model, g_model = define_discriminator(), define_generator(run.arguments.latent_dim)
        gan_model = define_gan(g_model, d_model)
        run.begin(pixel_range=(0, 1), generator=g_model, discriminator=d_model, gan=gan_model)
        train(g_model, d_model, gan_model, dataset, run.arguments.batch_size, run)


if __name__ == "__main__":
    sys.exit(main())
