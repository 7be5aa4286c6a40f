"""Wasserstein GAN with gradient penalty on Fashion-MNIST: a critic instead of a discriminator.

    python wgan_gp_fashion.py                    # 20 epochs; Ctrl-C at any time, then --resume
    python generate.py --model wgan_gp           # a hundred pieces of clothing

A critic gives every image a score, which may be any number. It is trained to score real images high
and generated images low. If it is 1-Lipschitz, that is, if its score never changes faster than the
image, then the largest possible difference of the two mean scores is the Wasserstein distance
between the distributions of real and of generated images (Arjovsky et al. 2017, arXiv 1701.07875).
The gradient penalty keeps the critic close to that condition: it grows as the norm of the score's
gradient departs from 1 (Gulrajani et al. 2017, arXiv 1704.00028). Networks and settings are those
of the keras.io example "WGAN-GP overriding Model.train_step", except that the critic learns from
half-batches.
"""

import sys

# Import common before keras: it sets environment variables that TensorFlow reads once, on import.
from common import plotting
from common.arguments import add_image_options, image_options, training_parser
from common.data import datasets
from common.models.freezing import Frozen
from common.models.sizes import count_halvings
from common.models.steps import quicken
from common.training.run import Run

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

IMAGE_SHAPE = (28, 28, 1)
LATENT_DIM = 128
CRITIC_STEPS = 3
PENALTY_WEIGHT = 10.0


def define_critic(image_shape=IMAGE_SHAPE):
    """Critic of images. It is not compiled: the model of `define_critic_trainer` trains it.

    Input: `image` (n, *image_shape) in [-1, 1]. Output: scores (n, 1), greater for real images.
    """
    n_blocks = count_halvings(image_shape) + 2
    padded_size = 2 * 2**n_blocks  # the blocks halve it to 2 pixels
    image = keras.Input(image_shape, name="image")
    x = layers.ZeroPadding2D((padded_size - image_shape[0]) // 2)(image)  # 28 → 32
    for block in range(n_blocks):  # 32 → 16 → 8 → 4 → 2
        x = layers.Conv2D(min(64 * 2**block, 512), 5, strides=2, padding="same")(x)
        x = leaky_relu(x)
        if 0 < block < n_blocks - 1:
            x = layers.Dropout(0.3)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.2)(x)
    # The last layer computes in float32 even with --mixed-precision, since the loss needs it.
    score = layers.Dense(1, dtype="float32")(x)
    return keras.Model(image, score, name="wgan_gp_fashion_critic")


def leaky_relu(x):
    """The same function as `layers.LeakyReLU(0.2)`, but cheaper in the gradient penalty.

    The penalty needs second derivatives. That of a leaky ReLU is zero, but TensorFlow computes the
    zeros and propagates them through all convolutions. With a constant slope there are none.
    """
    slope = 0.6 + 0.4 * ops.sign(x)  # 1 where x is positive, 0.2 where it is negative
    return x * ops.stop_gradient(slope)


def define_generator(latent_dim=LATENT_DIM, image_shape=IMAGE_SHAPE):
    """Generator of images. It is not compiled: only the composite model trains it.

    Input: `latent` (n, latent_dim) from N(0, 1). Output: images (n, *image_shape) in [-1, 1].
    """
    n_blocks = count_halvings(image_shape) + 1
    border = (4 * 2**n_blocks - image_shape[0]) // 2
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(4 * 4 * 256, use_bias=False)(latent)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((4, 4, 256))(x)
    for block in range(1, n_blocks + 1):  # 4 → 8 → 16 → 32
        filters = image_shape[-1] if block == n_blocks else 256 // 2**block
        x = layers.UpSampling2D()(x)
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        if block < n_blocks:
            x = layers.LeakyReLU(0.2)(x)
    x = layers.Activation("tanh", dtype="float32")(x)
    image = layers.Cropping2D(border, dtype="float32")(x)  # 32 → 28
    return keras.Model(latent, image, name="wgan_gp_fashion_generator")


class GradientNorm(layers.Layer):
    """The norm of the gradient of the critic's score with respect to the image: ‖∇ critic(image)‖₂.

    Its output can be differentiated again, so the critic can be trained to keep the norm near 1.
    The weights of the critic do not become weights of this layer.

    Input: images (n, H, W, C). Output: (n, 1).
    """

    def __init__(self, critic, **options):
        super().__init__(**options)
        self._get_critic = lambda: critic  # in a function, or Keras would take over its weights

    def call(self, images, training=None):
        with tf.GradientTape() as tape:
            tape.watch(images)
            # Each score depends on its own image only. So the gradient of the sum of all scores
            # with respect to one image is the gradient of the score of that image.
            score = ops.sum(self._get_critic()(images, training=training))
        gradient = tape.gradient(score, images)
        squared = ops.sum(gradient**2, axis=(1, 2, 3))[:, np.newaxis]
        # The derivative of the square root is infinite at 0. The inner `where` keeps 0 out of the
        # root; the outer one alone would multiply infinity by 0, and all gradients would be NaN.
        positive = squared > 0
        return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


def adam():
    """A new optimizer, since each model needs its own."""
    return keras.optimizers.Adam(learning_rate=2e-4, beta_1=0.5, beta_2=0.9)


def wasserstein_loss(sign, score):
    """Sign times score, of which Keras takes the mean over a batch.

    The target `sign` is 1 to lower a score and -1 to raise it.
    """
    return sign * score


def mean_norm(_target, norm):
    """A metric: the mean gradient norm, which the penalty pulls to 1."""
    return ops.mean(norm)


def define_critic_trainer(critic, penalty_weight=PENALTY_WEIGHT):
    """Compiled model that trains the critic, and only the critic.

    Its loss is E[critic(generated)] - E[critic(real)] + weight * E[(norm - 1)^2], where the norm is
    that of the critic's gradient at a random point on the line from a real to a generated image
    (Gulrajani et al. 2017, algorithm 1). The last term is the mean squared error of the norm
    against the target 1.

    Inputs: `real` and `generated` images (n, H, W, C), and `share` (n, 1, 1, 1) in [0, 1], the
    proportion of the generated image at the point (1 - ε in the paper). Outputs: a dict of
    `real_score`, `generated_score` and `gradient_norm`, each (n, 1).
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
    """The generator in training mode, but without learning: it makes images for the critic.

    Its batch normalisation uses the statistics of the batch, as in the composite. Only steps of the
    composite update the moving averages, which samples and the saved file use. The keras.io example
    updates them in the critic's steps as well.
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


def train(g_model, critic_trainer, gan_model, dataset, latent_dim, n_batch, critic_steps, run):
    """Train in turn the critic, `critic_steps` times, and the generator, once.

    The critic takes more steps than the generator, because the difference of its mean scores is
    close to the Wasserstein distance only when the critic is nearly optimal. A critic step takes
    half a batch of real and half a batch of generated images.

    `run` (a `Run`) counts epochs and steps, shows the progress, and stops at Ctrl-C. Its `rng` is
    the source of all random numbers, so that a run can be repeated and resumed.
    """
    half_batch = n_batch // 2
    ones = np.ones((half_batch, 1), "float32")
    targets = {"real_score": -ones, "generated_score": ones, "gradient_norm": ones}
    training_generator = define_training_generator(g_model)
    quicken(training_generator)  # the other models are given to `run.begin`
    sample_latents = generate_latent_points(latent_dim, 100, run.sample_rng)

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            for _critic_step in range(critic_steps):
                real = generate_real_samples(dataset, half_batch, run.rng)
                latents = generate_latent_points(latent_dim, half_batch, run.rng)
                generated = training_generator.predict_on_batch(latents)
                share = run.rng.random((half_batch, 1, 1, 1), dtype="float32")
                inputs = [real, generated, share]
                losses = critic_trainer.train_on_batch(inputs, targets, return_dict=True)

            latents = generate_latent_points(latent_dim, n_batch, run.rng)
            g_loss = gan_model.train_on_batch(latents, -np.ones((n_batch, 1), "float32"))

            run.average.update()
            run.log(  # the critic's losses are those of its last step
                wasserstein=-losses["real_score_loss"] - losses["generated_score_loss"],
                gradient_penalty=losses["gradient_norm_loss"],
                gradient_norm=losses["gradient_norm_mean_norm"],
                g_loss=g_loss,
            )

        # Sample and save the average of the generator's weights over the last steps: its images
        # are better than those of the current weights (common/models/averaging.py says why).
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
        options = image_options(run.arguments)
        dataset = run.load(datasets.load_fashion_mnist, **options, labels_needed=False)
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
