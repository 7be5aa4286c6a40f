"""Wasserstein GAN with gradient penalty on Fashion-MNIST: a critic instead of a discriminator.

    python wgan_gp_fashion.py                    # 20 epochs; Ctrl-C at any time, then --resume
    python generate.py --model wgan_gp           # a hundred pieces of clothing

A critic gives every image a score, which may be any number. It is trained to score real images high
and generated images low; the difference of the two means is what it reports. If the score nowhere
changes faster than the image does (if the critic is 1-Lipschitz), the largest difference that a
critic can reach is the Wasserstein distance of real and generated images (Arjovsky et al. 2017,
arXiv 1701.07875). The gradient penalty keeps the critic near that condition: it punishes gradients
whose norm is not 1 (Gulrajani et al. 2017, arXiv 1704.00028). Networks and settings are those of
the keras.io example "WGAN-GP overriding Model.train_step".
"""

import sys

# Import common before keras: it sets environment variables that TensorFlow reads once, on import.
from common import plotting
from common.arguments import add_image_options, training_parser
from common.data import datasets
from common.models.freezing import Frozen
from common.models.optimizers import Adam
from common.models.sizes import count_halvings
from common.training.run import Run

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

IMAGE_SHAPE = (28, 28, 1)
LATENT_DIM = 128
CRITIC_STEPS = 3
PENALTY_WEIGHT = 10.0


def count_doublings(image_shape):
    """How often the generator doubles its first feature map of 4 x 4 pixels: 28 and 32, 3 times.

    Raises UserError for sizes that are not 16, 28, 32, 56, 64, 112 or 128 pixels.
    """
    return count_halvings(image_shape) + 1


def define_critic(image_shape=IMAGE_SHAPE):
    """Critic of images. It is not compiled: `define_critic_trainer` has the model that trains it.

    Input: `image` (n, *image_shape) in [-1, 1]. Output: scores (n, 1), greater for real images.
    """
    n_doublings = count_doublings(image_shape)
    image = keras.Input(image_shape, name="image")
    x = pad(image, (4 << n_doublings) - image_shape[0])
    for halving in range(n_doublings + 1):  # 32 → 16 → 8 → 4 → 2
        x = layers.Conv2D(min(64 << halving, 512), 5, strides=2, padding="same")(x)
        x = leaky_relu(x)
        if 0 < halving < n_doublings:
            x = layers.Dropout(0.3)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.2)(x)
    # The last layer computes in float32 even with --mixed-precision, since the loss needs it.
    score = layers.Dense(1, dtype="float32")(x)
    return keras.Model(image, score, name="wgan_gp_fashion_critic")


def pad(image, n_pixels):
    """Make an image larger by so many pixels, half of them on each side: 28 to 32, say."""
    return layers.ZeroPadding2D(n_pixels // 2)(image) if n_pixels else image


def leaky_relu(x):
    """The function of `layers.LeakyReLU(0.2)`, written so that its second derivative is free.

    The gradient penalty needs second derivatives. That of a leaky ReLU is zero almost everywhere.
    TensorFlow computes it for its own LeakyReLU nevertheless, and sends the zeros back through all
    convolutions; a product with a constant slope has none to send.
    """
    slope = 0.6 + 0.4 * ops.sign(x)  # 1 where x is positive, 0.2 where it is negative
    return x * ops.stop_gradient(slope)


def define_generator(latent_dim=LATENT_DIM, image_shape=IMAGE_SHAPE):
    """Generator of images. It is not compiled: only the composite model trains it.

    Input: `latent` (n, latent_dim) from N(0, 1). Output: images (n, *image_shape) in [-1, 1].
    """
    n_doublings = count_doublings(image_shape)
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(4 * 4 * 256, use_bias=False)(latent)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((4, 4, 256))(x)
    for doubling in range(1, n_doublings + 1):  # 4 → 8 → 16 → 32
        is_last = doubling == n_doublings
        filters = image_shape[-1] if is_last else 256 >> doubling
        x = layers.UpSampling2D()(x)
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        if not is_last:
            x = layers.LeakyReLU(0.2)(x)
    image = layers.Activation("tanh", dtype="float32")(x)
    if border := ((4 << n_doublings) - image_shape[0]) // 2:
        image = layers.Cropping2D(border, dtype="float32")(image)
    return keras.Model(latent, image, name="wgan_gp_fashion_generator")


class GradientNorm(layers.Layer):
    """The norm of the gradient of the critic's score by the image: ‖∇ critic(image)‖₂.

    It can itself be differentiated, so the critic can be trained to keep it near 1.

    Args:
        critic: a model with one score an image. Its weights do not become weights of this layer.

    Input: images (n, H, W, C). Output: (n, 1).
    """

    def __init__(self, critic, **options):
        super().__init__(**options)
        self._get_critic = lambda: critic

    def call(self, images, training=None):
        with tf.GradientTape() as tape:
            tape.watch(images)
            # The score of an image depends on that image alone. So the gradient of the sum of all
            # scores by one image is the gradient of that image's own score.
            score = ops.sum(self._get_critic()(images, training=training))
        gradient = tape.gradient(score, images)
        squared = ops.sum(gradient**2, axis=(1, 2, 3))[:, np.newaxis]
        # The derivative of the square root is infinite at 0, and would make all gradients NaN.
        positive = squared > 0
        return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


def adam():
    """A new optimizer, since each model needs its own."""
    return Adam(learning_rate=2e-4, beta_1=0.5, beta_2=0.9)


def wasserstein_loss(sign, score):
    """The mean of sign times score. The target `sign` is 1 to lower a score and -1 to raise it."""
    return ops.mean(sign * score)


def mean_norm(_target, norm):
    """A metric: the mean gradient norm, which the penalty pulls to 1."""
    return ops.mean(norm)


def define_critic_trainer(critic, penalty_weight=PENALTY_WEIGHT):
    """Compiled model that trains the critic, and only the critic.

    Its loss is E[critic(generated)] - E[critic(real)] + weight * E[(norm - 1)^2], where the norm is
    that of the critic's gradient at a random point on the line from a real to a generated image
    (Gulrajani et al. 2017, algorithm 1). The last term is the mean squared error of the norm
    against the target 1.

    Inputs: `real` and `generated` images (n, H, W, C), `share` (n, 1, 1, 1) in [0, 1], the place of
    the point on the line, 0 being the real image. Outputs: a dict of `real_score`,
    `generated_score` and `gradient_norm`, each (n, 1).
    """
    image_shape = critic.input_shape[1:]
    real = keras.Input(image_shape, name="real")
    generated = keras.Input(image_shape, name="generated")
    share = keras.Input((1, 1, 1), name="share")
    point = real + share * (generated - real)
    outputs = {
        "real_score": critic(real),
        "generated_score": critic(generated),
        "gradient_norm": GradientNorm(critic, dtype="float32")(point),
    }
    model = keras.Model([real, generated, share], outputs, name="wgan_gp_fashion_critic_trainer")
    model.compile(
        loss={
            "real_score": wasserstein_loss,
            "generated_score": wasserstein_loss,
            "gradient_norm": "mse",
        },
        loss_weights={"real_score": 1.0, "generated_score": 1.0, "gradient_norm": penalty_weight},
        metrics={"gradient_norm": mean_norm},
        optimizer=adam(),
    )
    return model


def define_gan(g_model, critic):
    """Compiled composite model: the generator, followed by the frozen critic.

    `Frozen` calls the critic without making its weights part of the composite, so training the
    composite trains the generator only (common/models/freezing.py).

    Input: that of the generator. Output: scores (n, 1), which training raises.
    """
    score = Frozen(critic)(g_model.output)
    model = keras.Model(g_model.input, score, name="wgan_gp_fashion_composite")
    model.compile(loss=wasserstein_loss, optimizer=adam())
    return model


def define_training_generator(g_model):
    """The generator in training mode, which makes the images that the critic learns from.

    In training mode batch normalisation uses the statistics of the batch, otherwise its moving
    averages. The generator is used in three ways:

    - here, to make images for the critic: statistics of the batch, no moving average changes;
    - in the composite: statistics of the batch, and each step updates the moving averages;
    - for samples and in the saved file: moving averages.

    The keras.io example updates the moving averages in the critic's steps as well.
    """
    images = Frozen(g_model, training=True)(g_model.input)
    return keras.Model(g_model.input, images, name="wgan_gp_fashion_training_generator")


def generate_real_samples(dataset, n_samples, rng=None):
    """Draw real images, scaled to [-1, 1]. `dataset` starts with images, uint8 (N, H, W, C)."""
    rng = np.random.default_rng(rng)
    images = dataset[0]
    chosen = rng.integers(0, len(images), n_samples)
    return (images[chosen].astype("float32") - 127.5) / 127.5


def generate_latent_points(latent_dim, n_samples, rng=None):
    """Draw the generator's input: latents (n, latent_dim) from N(0, 1)."""
    rng = np.random.default_rng(rng)
    return rng.standard_normal((n_samples, latent_dim), dtype="float32")


def generate_fake_samples(training_generator, latent_dim, n_samples, rng=None):
    """Generate images in [-1, 1], with the generator in training mode."""
    return training_generator.predict_on_batch(generate_latent_points(latent_dim, n_samples, rng))


def train(g_model, critic_trainer, gan_model, dataset, latent_dim, n_batch, critic_steps, run):
    """Train in turn the critic, `critic_steps` times, and the generator, once.

    The critic learns more often than the generator, because the difference of its scores is close
    to the Wasserstein distance only when it has nearly finished learning. Each of its steps takes
    half a batch of real and half a batch of generated images.

    `run` (a `Run`) counts epochs and steps, shows the progress, and stops at Ctrl-C.
    """
    half_batch = n_batch // 2
    raise_score, lower_score = (
        -np.ones((half_batch, 1), "float32"),
        np.ones((half_batch, 1), "float32"),
    )
    targets = {
        "real_score": raise_score,
        "generated_score": lower_score,
        "gradient_norm": np.ones((half_batch, 1), "float32"),
    }
    training_generator = define_training_generator(g_model)
    sample_latents = generate_latent_points(latent_dim, 100, run.sample_rng)

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            for _critic_step in range(critic_steps):
                real = generate_real_samples(dataset, half_batch, run.rng)
                generated = generate_fake_samples(
                    training_generator, latent_dim, half_batch, run.rng
                )
                share = run.rng.random((half_batch, 1, 1, 1), dtype="float32")
                losses = critic_trainer.train_on_batch(
                    [real, generated, share], targets, return_dict=True
                )

            latents = generate_latent_points(latent_dim, n_batch, run.rng)
            g_loss = gan_model.train_on_batch(latents, -np.ones((n_batch, 1), "float32"))

            run.average.update()
            run.log(
                wasserstein=-losses["real_score_loss"] - losses["generated_score_loss"],
                gradient_penalty=losses["gradient_norm_loss"],
                gradient_norm=losses["gradient_norm_mean_norm"],
                g_loss=g_loss,
            )

        # Sample and save the average of the generator's weights over the last steps: its images
        # are better than those of the newest weights (common/models/averaging.py says why).
        images = run.average.of(g_model).predict_on_batch(sample_latents)
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
    add_image_options(parser)
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        dataset = run.load(
            datasets.load_fashion_mnist,
            image_size=run.arguments.image_size,
            channels=run.arguments.channels,
            n_batch=n_batch,
            labels_needed=False,
        )
        image_shape = dataset.images.shape[1:]
        critic = define_critic(image_shape)
        critic_trainer = define_critic_trainer(critic, run.arguments.penalty_weight)
        g_model = define_generator(latent_dim, image_shape)
        gan_model = define_gan(g_model, critic)
        run.begin(generator=g_model, critic=critic_trainer, gan=gan_model)
        critic_steps = run.arguments.critic_steps
        train(g_model, critic_trainer, gan_model, dataset, latent_dim, n_batch, critic_steps, run)


if __name__ == "__main__":
    sys.exit(main())
