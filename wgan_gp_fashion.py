"""Wasserstein GAN with gradient penalty on Fashion-MNIST: a critic instead of a discriminator.

    python wgan_gp_fashion.py                    # 20 epochs; Ctrl-C at any time, then --resume
    python generate.py --model wgan_gp           # a hundred pieces of clothing

A critic gives every image a score, which may be any number. It is trained to score real images high
and generated images low. If it is 1-Lipschitz, that is, if its score never changes faster than the
image, then the largest possible difference of the two mean scores is the Wasserstein distance
between the distributions of real and of generated images (Arjovsky et al. 2017, arXiv 1701.07875).
The best such critic has a gradient of norm 1 almost everywhere between real and generated images.
So the gradient penalty grows as the norm departs from 1, in both directions (Gulrajani et al. 2017,
arXiv 1704.00028, proposition 1).

Networks and settings are those of the keras.io example "WGAN-GP overriding Model.train_step". What
differs from it: a step takes half a batch of real and half a batch of generated images, each critic
step draws new real images, the generator in a critic's step does not learn, and the moving averages
of batch normalisation do not lag (`batch_normalisation`). What differs from the paper, in the
example as well: 3 critic steps for 5, and Adam with a learning rate of 2e-4 and β₁ 0.5 for 1e-4 and
0.
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
import tensorflow as tf
from keras import layers, ops

IMAGE_SHAPE = (28, 28, 1)
LATENT_DIM = 128
CRITIC_STEPS = 3
PENALTY_WEIGHT = 10.0


def define_critic(image_shape=IMAGE_SHAPE):
    """Critic of images. It is not compiled: the model of `define_critic_trainer` trains it.

    It has no batch normalisation, which would make the score of an image depend on the others in
    its batch, while the penalty is on the gradient with respect to one image (section 4).

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
    x = batch_normalisation(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((4, 4, 256))(x)
    for block in range(1, n_blocks + 1):  # 4 → 8 → 16 → 32
        filters = image_shape[-1] if block == n_blocks else 256 // 2**block
        x = layers.UpSampling2D()(x)
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = batch_normalisation(x)
        if block < n_blocks:
            x = layers.LeakyReLU(0.2)(x)
    x = layers.Activation("tanh", dtype="float32")(x)
    image = layers.Cropping2D(border, dtype="float32")(x)  # 32 → 28
    return keras.Model(latent, image, name="wgan_gp_fashion_generator")


def batch_normalisation(x):
    """Batch normalisation, whose moving averages samples and the saved file use.

    They begin at mean 0 and variance 1, which is far from what they become. With Keras's default
    momentum, 0.99, 31 % of that is left after 117 steps, and the samples are grey, though training,
    which uses the statistics of each batch, goes well. In batches of 512 an epoch of 10,000 images
    has 19 steps: 0.9 would leave 14 %, and 0.7 leaves 0.1 %. So short an average is noisy, but what
    is saved is its mean over many steps (common/models/averaging.py).
    """
    return layers.BatchNormalization(momentum=0.7)(x)


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
        # The derivative of the square root is infinite at 0, and would make all weights NaN.
        return ops.sqrt(ops.maximum(squared, 1e-12))


def adam():
    """A new optimizer, since each model needs its own."""
    return keras.optimizers.Adam(learning_rate=2e-4, beta_1=0.5, beta_2=0.9)


def wasserstein_loss(sign, score):
    """Sign times score, of which Keras takes the mean over a batch.

    The target `sign` is 1 to lower a score and -1 to raise it.
    """
    return sign * score


def mean(_target, norm):
    """A metric. Keras names it after output and function: `gradient_norm_mean`."""
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
        metrics={"gradient_norm": mean},
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


def generate_real_samples(dataset, n_samples, rng):
    """Draw real images, scaled to [-1, 1]: `dataset.images` are uint8 (N, H, W, C)."""
    chosen = rng.integers(0, len(dataset.images), n_samples)
    return (dataset.images[chosen].astype("float32") - 127.5) / 127.5


def generate_latent_points(latent_dim, n_samples, rng):
    """Draw the generator's input: latents (n, latent_dim) from N(0, 1)."""
    return rng.standard_normal((n_samples, latent_dim), dtype="float32")


def train(
    g_model, training_generator, critic_trainer, gan_model, dataset, n_batch, critic_steps, run
):
    """Train in turn the critic, `critic_steps` times, and the generator, once.

    The critic takes more steps than the generator, because the difference of its mean scores is
    close to the Wasserstein distance only when the critic is nearly optimal. A critic step takes
    half a batch of real and half a batch of generated images, both drawn anew for each step.

    `run` (a `Run`) counts epochs and steps, shows the progress, and stops at Ctrl-C. Its `rng` is
    the source of all random numbers, so that a run can be repeated and resumed.
    """
    half_batch, latent_dim = n_batch // 2, g_model.input_shape[1]
    ones = np.ones((half_batch, 1), "float32")
    targets = {"real_score": -ones, "generated_score": ones, "gradient_norm": ones}
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

            run.log(  # the critic's losses are those of its last step
                wasserstein=-losses["real_score_loss"] - losses["generated_score_loss"],
                gradient_penalty=losses["gradient_norm_loss"],
                gradient_norm=losses["gradient_norm_mean"],
                g_loss=g_loss,
            )

        # Sampled and saved is the generator with the average of its weights over the last steps:
        # it draws better images than the current weights (common/models/averaging.py says why).
        run.save_epoch(run.average.of(g_model).predict(sample_latents, verbose=0))


def main(argv=None):
    parser = training_parser(__file__, __doc__, epochs=20, batch_size=512, latent_dim=LATENT_DIM)
    parser.add_integer(
        "--critic-steps", 1, 1000, CRITIC_STEPS, "updates of the critic for each of the generator"
    )
    parser.add_number("--penalty-weight", 0, 1e6, PENALTY_WEIGHT, "weight of the gradient penalty")
    with Run(parser, argv) as run:
        n_batch, critic_steps = run.arguments.batch_size, run.arguments.critic_steps
        dataset = run.load(datasets.load_fashion_mnist, labels_needed=False)
        image_shape = dataset.images.shape[1:]
        critic = define_critic(image_shape)
        critic_trainer = define_critic_trainer(critic, run.arguments.penalty_weight)
        g_model = define_generator(run.arguments.latent_dim, image_shape)
        training_generator = define_training_generator(g_model)
        gan_model = define_gan(g_model, critic)
        models = {"generator": g_model, "critic": critic_trainer, "gan": gan_model}
        # This checks that the generator can be saved and drawn, and replaces the way in which Keras
        # calls these models by a faster one with the same results (--plain leaves Keras's own).
        run.begin(pixel_range=(-1, 1), **models, training_generator=training_generator)
        train(
            g_model,
            training_generator,
            critic_trainer,
            gan_model,
            dataset,
            n_batch,
            critic_steps,
            run,
        )


if __name__ == "__main__":
    sys.exit(main())
