"""A GAN of two numbers: generated points of the plane learn to lie where the real points are.

    python docs/course/plane.py                          # eight clusters on a ring, half a minute
    python docs/course/plane.py --generator-rate 0.02    # a generator that is too fast: collapse

The GAN is that of gan_fashion.py, with a point (two numbers) in the place of an image. A picture,
generated/plane.png, shows six moments of the training: the real points in black, the generated
ones in green, and the probability that the discriminator gives to each place of the plane, from
blue (generated) to red (real).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where common/ is
from common.arguments import ArgumentParser
from common.files import check_writable, default_path
from common.models.freezing import Frozen
from common.models.steps import quicken
from common.plotting import save_figure

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure

LATENT_DIM, N_BATCH, N_CLUSTERS = 2, 128, 8
SIDE = 1.6  # the picture shows -1.6 to 1.6 in both directions
MOMENTS = (100, 200, 400, 800, 1600, 3000)  # steps


def dense_layers(x):
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dense(64, activation="relu")(x)


def adam(rate):
    return keras.optimizers.Adam(rate, beta_1=0.5)


def define_discriminator():
    """Compiled classifier of points (n, 2): the probability, (n, 1), that a point is real."""
    point = keras.Input((2,), name="point")
    probability = layers.Dense(1, activation="sigmoid")(dense_layers(point))
    model = keras.Model(point, probability, name="plane_discriminator")
    model.compile(loss="binary_crossentropy", optimizer=adam(1e-3))
    return model


def define_generator():
    """Generator of points, (n, 2), from latents, (n, 2). Only the composite model trains it."""
    latent = keras.Input((LATENT_DIM,), name="latent")
    return keras.Model(latent, layers.Dense(2)(dense_layers(latent)), name="plane_generator")


def define_gan(g_model, d_model, rate):
    """Compiled composite model: the generator, followed by the frozen discriminator."""
    model = keras.Model(g_model.input, Frozen(d_model)(g_model.output), name="plane_composite")
    model.compile(loss="binary_crossentropy", optimizer=adam(rate))
    return model


def real_points(n, rng):
    """Draw points, (n, 2), near eight places on a circle of radius 1."""
    angles = 2 * np.pi * rng.integers(0, N_CLUSTERS, n) / N_CLUSTERS
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return centres + 0.05 * rng.standard_normal((n, 2))


def train(g_model, d_model, gan_model, rng):
    """Train as gan_fashion.py does. Yields the step and its three losses at each of `MOMENTS`."""
    half_batch = N_BATCH // 2
    real, fake = np.ones((half_batch, 1)), np.zeros((half_batch, 1))
    for step in range(1, MOMENTS[-1] + 1):
        d_loss_real = d_model.train_on_batch(real_points(half_batch, rng), real)
        latents = rng.standard_normal((half_batch, LATENT_DIM))
        d_loss_fake = d_model.train_on_batch(g_model.predict_on_batch(latents), fake)

        latents = rng.standard_normal((N_BATCH, LATENT_DIM))
        g_loss = gan_model.train_on_batch(latents, np.ones((N_BATCH, 1)))
        if step in MOMENTS:
            yield step, (d_loss_real, d_loss_fake, g_loss)


def found_clusters(points):
    """In how many of the eight clusters there are points, and the share of points in a cluster."""
    angles = np.arctan2(points[:, 1], points[:, 0]) * N_CLUSTERS / (2 * np.pi)
    nearest = np.rint(angles)
    centres = nearest * 2 * np.pi / N_CLUSTERS
    distances = np.hypot(points[:, 0] - np.cos(centres), points[:, 1] - np.sin(centres))
    is_in = distances < 0.2
    return len(set(nearest[is_in] % N_CLUSTERS)), is_in.mean()


def draw(axes, d_model, real, generated, title):
    """Draw the discriminator's probability as a coloured ground, and the points on it."""
    side = np.linspace(-SIDE, SIDE, 80)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    probability = d_model.predict_on_batch(grid).reshape(80, 80)
    place = (-SIDE, SIDE, -SIDE, SIDE)  # left, right, bottom, top
    axes.imshow(probability, "RdYlBu_r", vmin=0, vmax=1, origin="lower", extent=place)
    axes.scatter(*real.T, s=4, color="black", alpha=0.5)
    axes.scatter(*generated.T, s=8, color="lime", edgecolors="darkgreen", linewidths=0.4)
    axes.set(xlim=place[:2], ylim=place[2:], xticks=(), yticks=())
    axes.set_title(title, fontsize=10)


def main(argv=None):
    parser = ArgumentParser(description=__doc__)
    parser.add_number("--generator-rate", 1e-6, 1, 1e-3, "learning rate of the generator")
    parser.add_integer("--seed", 0, 2**32 - 1, 0, "of all random numbers")
    parser.add_path("--out", "FILE.png", "the picture", default_path("plane.png"))
    arguments = parser.parse_args(argv)
    check_writable(arguments.out, (".png",))
    keras.utils.set_random_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    g_model, d_model = define_generator(), define_discriminator()
    gan_model = define_gan(g_model, d_model, arguments.generator_rate)
    quicken(g_model, d_model, gan_model)  # the same steps in a third of the time
    figure = Figure((12, 8.4), layout="constrained")
    real, latents = real_points(500, rng), rng.standard_normal((500, LATENT_DIM))
    moments = train(g_model, d_model, gan_model, rng)
    for number, (step, losses) in enumerate(moments, start=1):
        generated = g_model.predict_on_batch(latents)
        count, share = found_clusters(generated)
        draw(figure.add_subplot(2, 3, number), d_model, real, generated, f"step {step}")
        text = "step {:4}: d_loss_real {:.2f}, d_loss_fake {:.2f}, g_loss {:.2f}"
        text += "; {:.0%} of the points are in a cluster, {} of 8 clusters have some"
        print(text.format(step, *losses, share, count))
    save_figure(figure, arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    sys.exit(main())
