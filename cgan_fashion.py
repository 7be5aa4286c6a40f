"""Conditional GAN on Fashion-MNIST: ask for a class, get an image of it.

    python cgan_fashion.py                       # 100 epochs; Ctrl-C at any time, then --resume
    python generate.py --model cgan --class 3    # dresses

A generator turns 100 random numbers and a class into an image. A discriminator sees an image and a
class, and says how likely it is that the image is a real one of that class. The two networks are
trained against each other (Goodfellow et al. 2014, arXiv 1406.2661). Both are convolutional, as in
DCGAN (Radford et al. 2015, arXiv 1511.06434). The class is one more channel of the discriminator's
input and of the generator's first feature map. Giving it to both networks is what makes the GAN
conditional (Mirza and Osindero 2014, arXiv 1411.1784). Layer sizes and settings are those of the
Machine Learning Mastery tutorial "How to Develop a Conditional GAN (cGAN) From Scratch", except for
the initial values of the embeddings (`embed`).
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
N_CLASSES = 10
LATENT_DIM = 100
EMBEDDING_DIM = 50


def define_discriminator(image_shape=IMAGE_SHAPE, n_classes=N_CLASSES, embedding_dim=EMBEDDING_DIM):
    """Compiled classifier of images, given their class: real (1) or generated (0).

    Inputs: `image` (n, *image_shape) in [-1, 1], `label` (n, 1), integers 0 to n_classes - 1.
    Output: (n, 1), the probability that the image is real.
    """
    height, width, _channels = image_shape
    label = keras.Input((1,), dtype="int32", name="label")
    # The class as one more channel: a learned number for each pixel.
    label_channel = layers.Dense(height * width)(embed(label, n_classes, embedding_dim))
    label_channel = layers.Reshape((height, width, 1))(label_channel)

    image = keras.Input(image_shape, name="image")
    x = layers.Concatenate()([image, label_channel])
    for _ in range(count_halvings(image_shape)):  # 28 → 14 → 7
        x = layers.Conv2D(128, 3, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.4)(x)
    # The last layer computes in float32 even with --mixed-precision, since the loss needs it.
    probability = layers.Dense(1, activation="sigmoid", dtype="float32")(x)

    model = keras.Model([image, label], probability, name="cgan_fashion_discriminator")
    model.compile(loss="binary_crossentropy", optimizer=adam(), metrics=["accuracy"])
    return model


def define_generator(
    latent_dim=LATENT_DIM,
    image_shape=IMAGE_SHAPE,
    n_classes=N_CLASSES,
    embedding_dim=EMBEDDING_DIM,
):
    """Generator of images of a class. It is not compiled: only the composite model trains it.

    Inputs: `latent` (n, latent_dim) from N(0, 1), `label` (n, 1), integers 0 to n_classes - 1.
    Output: images (n, *image_shape) in [-1, 1].
    """
    n_doublings = count_halvings(image_shape)
    side = image_shape[0] // 2**n_doublings  # the first feature map has 7 or 8 pixels a side
    label = keras.Input((1,), dtype="int32", name="label")
    label_channel = layers.Dense(side * side)(embed(label, n_classes, embedding_dim))
    label_channel = layers.Reshape((side, side, 1))(label_channel)

    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(side * side * 128)(latent)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Reshape((side, side, 128))(x)
    x = layers.Concatenate()([x, label_channel])
    for _ in range(n_doublings):  # 7 → 14 → 28
        x = layers.Conv2DTranspose(128, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    # The tutorial has a Conv2D here. With stride 1, Conv2DTranspose can learn the same functions
    # (its kernel is that of Conv2D, turned by 180 degrees), and trains faster on a CPU.
    x = layers.Conv2DTranspose(image_shape[-1], 7, padding="same")(x)
    # Images are float32 even with --mixed-precision.
    image = layers.Activation("tanh", dtype="float32")(x)

    return keras.Model([latent, label], image, name="cgan_fashion_generator")


def embed(label, n_classes, embedding_dim):
    """A learned vector for each class: integers (n, 1) to float (n, 1, embedding_dim)."""
    # Keras starts embeddings between -0.05 and 0.05. Then the label channel holds numbers of about
    # 0.03 beside 0.13 in the generator's other channels, and of 0.01 beside 0.8 in the image, and
    # the generator ignores the label for several epochs. With a standard deviation of 1 they are
    # about 1 and 0.35, and the generator follows the label within the first epoch.
    initializer = keras.initializers.RandomNormal(stddev=1.0)
    return layers.Embedding(n_classes, embedding_dim, embeddings_initializer=initializer)(label)


def adam():
    """A new optimizer, since each model needs its own."""
    return keras.optimizers.Adam(learning_rate=2e-4, beta_1=0.5)


def define_gan(g_model, d_model):
    """Compiled composite model: the generator, followed by the frozen discriminator.

    Training the composite to output "real" for generated images trains the generator to deceive
    the discriminator. The discriminator must not change meanwhile. The usual recipe sets
    `d_model.trainable = False` before compiling the composite. On Keras 3 that also stops the
    discriminator's own training, for good: Keras reads `trainable` not in `compile`, but when it
    takes the first training step and builds its graph. `Frozen` calls the discriminator without
    making its weights part of the composite, so there is nothing to switch on and off
    (common/models/freezing.py).

    Inputs: those of the generator. Output: that of the discriminator, (n, 1).
    """
    latent, label = g_model.inputs
    probability = Frozen(d_model)([g_model.output, label])
    model = keras.Model([latent, label], probability, name="cgan_fashion_composite")
    model.compile(loss="binary_crossentropy", optimizer=adam())
    return model


def generate_real_samples(dataset, n_samples, rng):
    """Draw real images, scaled to [-1, 1], with their labels and the target 1, "real".

    `dataset.images` are uint8 (N, H, W, C), `dataset.labels` integers (N,), and `rng` is a numpy
    Generator. The labels are distributed as in the data.
    """
    chosen = rng.integers(0, len(dataset.images), n_samples)
    images = (dataset.images[chosen].astype("float32") - 127.5) / 127.5
    labels = dataset.labels[chosen].reshape(-1, 1)
    return [images, labels], np.ones((n_samples, 1), "float32")


def generate_latent_points(latent_dim, n_samples, n_classes, rng):
    """Draw the generator's inputs: latents (n, latent_dim) from N(0, 1), labels (n, 1).

    Every class is equally likely, also where the data has more images of one than of another.
    """
    latents = rng.standard_normal((n_samples, latent_dim), dtype="float32")
    labels = rng.integers(0, n_classes, (n_samples, 1), dtype="int32")
    return [latents, labels]


def generate_fake_samples(g_model, latent_dim, n_samples, n_classes, rng):
    """Generate images in [-1, 1]; return them with their labels and the target 0, "generated"."""
    latents, labels = generate_latent_points(latent_dim, n_samples, n_classes, rng)
    # predict_on_batch and not predict, which builds a data pipeline on each call. Building it takes
    # longer than generating the images.
    images = g_model.predict_on_batch([latents, labels])
    return [images, labels], np.zeros((n_samples, 1), "float32")


def train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run):
    """Train in turn the discriminator, on two half-batches, and the generator, on one batch.

    Real and generated images come in separate half-batches, so each has a loss of its own. The
    discriminator takes two steps of its optimizer for each one that the generator takes.

    `run` (a `Run`) counts epochs and steps, shows the progress, and stops at Ctrl-C. Its `rng` is
    the source of all random numbers, so that a run can be repeated and resumed.
    """
    half_batch, n_classes = n_batch // 2, len(dataset.class_names)
    sample_labels = run.sample_labels.reshape(-1, 1)  # ten of each class, a column for each
    sample_latents, _ = generate_latent_points(
        latent_dim, len(sample_labels), n_classes, run.sample_rng
    )

    for _epoch in run.epochs():
        for _step in run.steps(len(dataset.images) // n_batch):
            inputs, target = generate_real_samples(dataset, half_batch, run.rng)
            d_loss_real, d_accuracy_real = d_model.train_on_batch(inputs, target)

            inputs, target = generate_fake_samples(
                g_model, latent_dim, half_batch, n_classes, run.rng
            )
            d_loss_fake, d_accuracy_fake = d_model.train_on_batch(inputs, target)

            # The target is "real" although the images are generated: the loss falls when the
            # discriminator is deceived (Goodfellow et al. 2014, section 3).
            inputs = generate_latent_points(latent_dim, n_batch, n_classes, run.rng)
            g_loss = gan_model.train_on_batch(inputs, np.ones((n_batch, 1), "float32"))

            run.log(
                d_loss_real=d_loss_real,
                d_loss_fake=d_loss_fake,
                g_loss=g_loss,
                d_accuracy_real=d_accuracy_real,
                d_accuracy_fake=d_accuracy_fake,
            )

        # Sampled and saved is the generator with the average of its weights over the last steps:
        # it draws better images than the current weights (common/models/averaging.py says why).
        images = run.average.of(g_model).predict([sample_latents, sample_labels], verbose=0)
        run.save_epoch(images)


def main(argv=None):
    parser = training_parser(__file__, __doc__, epochs=100, batch_size=128, latent_dim=LATENT_DIM)
    parser.add_integer(
        "--embedding-dim", 1, 10_000, EMBEDDING_DIM, "numbers in the learned vector of a class"
    )
    with Run(parser, argv) as run:
        latent_dim, n_batch = run.arguments.latent_dim, run.arguments.batch_size
        embedding_dim = run.arguments.embedding_dim
        dataset = run.load(datasets.load_fashion_mnist)
        image_shape, n_classes = dataset.images.shape[1:], len(dataset.class_names)
        d_model = define_discriminator(image_shape, n_classes, embedding_dim)
        g_model = define_generator(latent_dim, image_shape, n_classes, embedding_dim)
        gan_model = define_gan(g_model, d_model)
        # This checks that the generator can be saved and drawn, and replaces the way in which Keras
        # calls these models by a faster one with the same results (--plain leaves Keras's own).
        run.begin(pixel_range=(-1, 1), generator=g_model, discriminator=d_model, gan=gan_model)
        train(g_model, d_model, gan_model, dataset, latent_dim, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
