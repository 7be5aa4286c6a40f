"""Wasserstein GAN with gradient penalty on Fashion-MNIST: a critic instead of a discriminator.

    python wgan_gp_fashion.py                    # 20 epochs; Ctrl-C at any time, then --resume
    python generate.py --model wgan_gp           # a hundred pieces of clothing

A critic gives every image a score, any number. The best critic whose score changes nowhere faster
than the image does (1-Lipschitz) tells how far the generated images are from the real ones: mean
score of the real minus mean score of the generated is the Wasserstein distance (Arjovsky et al.
2017, arXiv 1701.07875). The gradient penalty keeps the critic close to that condition (Gulrajani
et al. 2017, arXiv 1704.00028). Networks and settings are those of the keras.io example "WGAN-GP".
"""

import sys

# common comes first: it settles what TensorFlow reads from the environment at import.
from common import plotting
from common.arguments import training_parser
from common.data import datasets
from common.models.freezing import Frozen
from common.models.optimizers import Adam
from common.training.run import Run

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

IMAGE_SHAPE = (28, 28, 1)
LATENT_DIM = 128
CRITIC_STEPS = 3
PENALTY_WEIGHT = 10.0


def define_critic():
    """Critic of images. Not compiled: its trainer trains it.

    Input: `image` (n, 28, 28, 1) in [-1, 1]. Output: scores (n, 1), greater for real images.
    """
    image = keras.Input(IMAGE_SHAPE, name="image")
    x = layers.ZeroPadding2D(2)(image)  # to 32, which can be halved four times
    for filters, dropout in ((64, 0), (128, 0.3), (256, 0.3), (512, 0)):
        x = layers.Conv2D(filters, 5, strides=2, padding="same")(x)
        x = leaky_relu(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.2)(x)
    # float32 even with --mixed-precision: 16 bits are too coarse for the losses.
    score = layers.Dense(1, dtype="float32")(x)
    return keras.Model(image, score, name="wgan_gp_fashion_critic")


def leaky_relu(x):
    """`layers.LeakyReLU(0.2)`, as a product with the slope, for a network to be derived twice.

    The second derivative is zero. TensorFlow's own LeakyReLU sends these zeros back through all
    convolutions nevertheless, which takes a sixth of the critic's training.
    """
    slope = 0.6 + 0.4 * ops.sign(x)  # 1 or 0.2
    return x * ops.stop_gradient(slope)


def define_generator(latent_dim=LATENT_DIM):
    """Generator of images. Not compiled: only the composite model trains it.

    Input: `latent` (n, latent_dim) from N(0, 1). Output: images (n, 28, 28, 1) in [-1, 1].
    """
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(4 * 4 * 256, use_bias=False)(latent)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((4, 4, 256))(x)
    for filters in (128, 64, 1):  # 4 → 8 → 16 → 32
        x = layers.UpSampling2D()(x)
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        if filters > 1:
            x = layers.LeakyReLU(0.2)(x)
    x = layers.Activation("tanh", dtype="float32")(x)
    image = layers.Cropping2D(2, dtype="float32")(x)
    return keras.Model(latent, image, name="wgan_gp_fashion_generator")


class GradientNorm(layers.Layer):
    """How fast the critic's score changes with the image: ‖∇ critic(image)‖₂, differentiable.

    Args:
        critic: a model with one score an image. Its weights stay its own.

    Input: images (n, 28, 28, 1). Output: (n, 1).
    """

    def __init__(self, critic, **options):
        super().__init__(**options)
        self._get_critic = lambda: critic

    def call(self, images, training=None):
        with tf.GradientTape() as tape:
            tape.watch(images)
            # An image's score depends on that image alone, so the gradient of the sum holds the
            # gradient of each.
            score = ops.sum(self._get_critic()(images, training=training))
        gradient = tape.gradient(score, images)
        squared = ops.sum(gradient**2, axis=(1, 2, 3))[:, np.newaxis]
        # The square root has no finite derivative at 0, and NaN would spread from there.
        positive = squared > 0
        return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


def adam():
    """A new optimizer: each model has its own."""
    return Adam(learning_rate=2e-4, beta_1=0.5, beta_2=0.9)


def wasserstein(sign, score):
    """Mean score, times the sign given as target: 1 is for low scores, -1 for high ones."""
    return ops.mean(sign * score)


def mean_norm(_target, norm):
    """A metric to watch: the penalty pulls it to 1."""
    return ops.mean(norm)


def define_critic_trainer(critic, penalty_weight=PENALTY_WEIGHT):
    """Compiled model that trains the critic, and only the critic.

    Its loss is E[critic(generated)] - E[critic(real)] + weight * E[(norm - 1)^2], the norm being
    that of the critic's gradient at a random point between a real and a generated image
    (Gulrajani et al. 2017, algorithm 1). The last term is the mean squared error against 1.

    Inputs: `real` and `generated` (n, 28, 28, 1), `share` (n, 1, 1, 1) in [0, 1], how far the
    point between them is from the real image. Outputs: a dict of `real_score`,
    `generated_score` and `gradient_norm`, each (n, 1).
    """
    real = keras.Input(IMAGE_SHAPE, name="real")
    generated = keras.Input(IMAGE_SHAPE, name="generated")
    share = keras.Input((1, 1, 1), name="share")
    between = real + share * (generated - real)
    outputs = {
        "real_score": critic(real),
        "generated_score": critic(generated),
        "gradient_norm": GradientNorm(critic, dtype="float32")(between),
    }
    model = keras.Model([real, generated, share], outputs, name="wgan_gp_fashion_critic_trainer")
    model.compile(
        loss={"real_score": wasserstein, "generated_score": wasserstein, "gradient_norm": "mse"},
        loss_weights={"real_score": 1.0, "generated_score": 1.0, "gradient_norm": penalty_weight},
        metrics={"gradient_norm": mean_norm},
        optimizer=adam(),
    )
    return model


def define_gan(g_model, critic):
    """Compiled composite model: generator, then the frozen critic (common/models/freezing.py).

    Input: the generator's. Output: scores (n, 1), which training raises.
    """
    score = Frozen(critic)(g_model.output)
    model = keras.Model(g_model.input, score, name="wgan_gp_fashion_composite")
    model.compile(loss=wasserstein, optimizer=adam())
    return model


def define_fake_source(g_model):
    """The generator as the critic's training uses it: in training mode, and left as it is.

    Which statistics the generator's batch normalisation works with, and which it updates:

    - here, for the critic: those of the batch; nothing is updated;
    - in the composite: those of the batch; the moving averages are updated, once a step;
    - in samples and in the saved generator: the moving averages; nothing is updated.

    The keras.io example updates the moving averages in the critic's steps, too.
    """
    images = Frozen(g_model, training=True)(g_model.input)
    return keras.Model(g_model.input, images, name="wgan_gp_fashion_fake_source")


def generate_real_samples(dataset, n_samples, rng=None):
    """Draw real images, scaled to [-1, 1]. `dataset` starts with images, uint8 (N, 28, 28, 1)."""
    rng = np.random.default_rng(rng)
    images = dataset[0]
    chosen = rng.integers(0, len(images), n_samples)
    return (images[chosen].astype("float32") - 127.5) / 127.5


def generate_latent_points(latent_dim, n_samples, rng=None):
    """Draw the generator's input: latents (n, latent_dim) from N(0, 1)."""
    rng = np.random.default_rng(rng)
    return rng.standard_normal((n_samples, latent_dim), dtype="float32")


def generate_fake_samples(fake_source, latent_dim, n_samples, rng=None):
    """Draw generated images in [-1, 1], by the statistics of their batch."""
    return fake_source.predict_on_batch(generate_latent_points(latent_dim, n_samples, rng))


def train(g_model, critic_trainer, gan_model, dataset, latent_dim, n_batch, critic_steps, run):
    """Alternate: `critic_steps` updates of the critic, then one of the generator.

    The critic is to be near its best before the generator follows it: its scores are a distance
    only then. Each of its updates takes half a batch of real and half a batch of generated images.

    `run` (a `Run`) counts the epochs, shows the progress, and saves after every epoch.
    """
    half_batch = n_batch // 2
    high, low = -np.ones((half_batch, 1), "float32"), np.ones((half_batch, 1), "float32")
    targets = {"real_score": high, "generated_score": low, "gradient_norm": np.ones_like(low)}
    fake_source = define_fake_source(g_model)
    fixed_latents = generate_latent_points(latent_dim, 100, run.sample_rng)

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            for _critic_step in range(critic_steps):
                real = generate_real_samples(dataset, half_batch, run.rng)
                generated = generate_fake_samples(fake_source, latent_dim, half_batch, run.rng)
                share = run.rng.random((half_batch, 1, 1, 1), dtype="float32")
                critic = critic_trainer.train_on_batch(
                    [real, generated, share], targets, return_dict=True
                )

            latents = generate_latent_points(latent_dim, n_batch, run.rng)
            g_loss = gan_model.train_on_batch(latents, -np.ones((n_batch, 1), "float32"))

            run.average.update()
            run.log(
                wasserstein=-critic["real_score_loss"] - critic["generated_score_loss"],
                gradient_penalty=critic["gradient_norm_loss"],
                gradient_norm=critic["gradient_norm_mean_norm"],
                g_loss=g_loss,
            )

        # What is sampled and saved is the averaged generator (common/models/averaging.py says why).
        images = run.average.of(g_model).predict_on_batch(fixed_latents)
        plotting.save_grid((images + 1) / 2, run.sample_path())
        run.save_epoch()


def main(argv=None):
    parser = training_parser(
        "wgan_gp_fashion", __doc__, epochs=20, batch_size=512, latent_dim=LATENT_DIM
    )
    parser.add_integer(
        "--critic-steps", 1, 1000, CRITIC_STEPS, "updates of the critic for each of the generator"
    )
    parser.add_number("--penalty-weight", 0, 1e6, PENALTY_WEIGHT, "weight of the gradient penalty")
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        dataset = run.load(datasets.load_fashion_mnist)
        critic = define_critic()
        critic_trainer = define_critic_trainer(critic, run.arguments.penalty_weight)
        g_model = define_generator(latent_dim)
        gan_model = define_gan(g_model, critic)
        run.begin(generator=g_model, critic=critic_trainer, gan=gan_model)
        critic_steps = run.arguments.critic_steps
        train(g_model, critic_trainer, gan_model, dataset, latent_dim, n_batch, critic_steps, run)


if __name__ == "__main__":
    sys.exit(main())
