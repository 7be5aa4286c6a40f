"""GauGAN on building facades: a map of walls, windows and doors becomes a picture of the house.

    python gaugan_facades.py                     # 256 pixels, 15 epochs: this wants a GPU
    python gaugan_facades.py --image-size 64 --width 0.25 --epochs 250    # an hour on two cores
    python generate.py --model gaugan            # paints layouts that the training has not seen

The generator grows an image from 256 random numbers, the latent, and a layout: which of twelve
classes each pixel is to be. The layout acts in every block, through SPADE: it scales and shifts
the normalised features, pixel by pixel (Park et al. 2019, arXiv 1903.07291, section 3). The latent
is the style. In training a variational encoder (Kingma and Welling 2014, arXiv 1312.6114) reads it
from the photo that belongs to the layout, and is kept close to N(0, 1), so that a random latent is
a style, too. The discriminator judges patches of an image, given the layout. Networks and settings
are those of the keras.io example "GauGAN for conditional image generation".
"""

import math
import sys

# common comes first: it settles what TensorFlow reads from the environment at import.
from common import plotting
from common.arguments import training_parser
from common.data import facades
from common.models import vgg
from common.models.freezing import Frozen
from common.models.optimizers import Adam
from common.training.run import Run

import keras
import numpy as np
from keras import layers, ops

IMAGE_SIZE = 256
LATENT_DIM = 256
N_CLASSES = len(facades.CLASS_NAMES)
# At full width, 256 px. Smaller images need the last blocks of the generator only, and the first
# ones of the encoder.
GENERATOR_CHANNELS = (1024, 1024, 1024, 512, 256, 128)
ENCODER_CHANNELS = (64, 128, 256, 512, 512)
DISCRIMINATOR_CHANNELS = (64, 128, 256, 512)
SPADE_CHANNELS = 128
LOSS_WEIGHTS = {"g": 1.0, "feature": 10.0, "vgg": 0.1, "kl": 0.1}
N_PICTURES = 6  # facades in a sample picture
VGG_LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)  # deeper layers matter more


def define_generator(image_size=IMAGE_SIZE, latent_dim=LATENT_DIM, width=1.0):
    """Painter of layouts. Not compiled: only the composite model trains it.

    Inputs: `latent` (n, latent_dim) from N(0, 1), `layout` (n, size, size, 12), one-hot.
    Output: images (n, size, size, 3) in [-1, 1]. `width` multiplies the numbers of channels.
    """
    latent = keras.Input((latent_dim,), name="latent")
    layout = keras.Input((image_size, image_size, N_CLASSES), name="layout")
    n_blocks = int(math.log2(image_size // 4))
    *channels, spade_channels = scaled((*GENERATOR_CHANNELS[-n_blocks:], SPADE_CHANNELS), width)

    x = layers.Dense(4 * 4 * channels[0])(latent)
    x = layers.Reshape((4, 4, channels[0]))(x)
    for filters in channels:  # 4 → 8 → … → image_size
        x = spade_residual_block(x, layout, filters, spade_channels)
        x = layers.UpSampling2D()(x)
    x = layers.LeakyReLU(0.2)(x)
    # float32 even with --mixed-precision: 16 bits are too coarse for the losses.
    image = layers.Conv2D(3, 4, padding="same", activation="tanh", dtype="float32")(x)

    return keras.Model([latent, layout], image, name="gaugan_facades_generator")


def spade_residual_block(x, layout, filters, spade_channels):
    """Two convolutions and a way around them, each convolution behind a SPADE (paper, figure 4)."""
    layout = ops.image.resize(layout, x.shape[1:3], interpolation="nearest")

    def spade_convolution(x):
        x = layers.LeakyReLU(0.2)(spade(x, layout, spade_channels))
        return layers.Conv2D(filters, 3, padding="same")(x)

    around = x if x.shape[-1] == filters else spade_convolution(x)
    return around + spade_convolution(spade_convolution(x))


def spade(x, layout, spade_channels):
    """Normalise x, then scale and shift every pixel by what the layout says (paper, equation 1).

    At inference the normalisation goes by moving averages. The keras.io example goes by the
    moments of the batch even then, and a painting depends on what else is painted with it.
    """
    # Keras's own momentum, 0.99, takes hundreds of steps to follow; the authors' code has 0.9.
    x = layers.BatchNormalization(center=False, scale=False, momentum=0.9, epsilon=1e-5)(x)
    hidden = layers.Conv2D(spade_channels, 3, padding="same", activation="relu")(layout)
    scale = layers.Conv2D(x.shape[-1], 3, padding="same")(hidden)
    shift = layers.Conv2D(x.shape[-1], 3, padding="same")(hidden)
    return scale * x + shift


def define_encoder(image_size=IMAGE_SIZE, latent_dim=LATENT_DIM, width=1.0):
    """Reader of styles. Not compiled: only the composite model trains it.

    Input: `image` (n, size, size, 3) in [-1, 1]. Outputs: mean and logarithm of the variance of
    the latent, each (n, latent_dim).
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    n_blocks = int(math.log2(image_size // 8))
    x = image
    for block, filters in enumerate(scaled(ENCODER_CHANNELS[:n_blocks], width)):  # size → … → 8
        x = downsample(x, filters, kernel_size=3, normalise=block > 0)
    x = layers.Flatten()(x)
    mean = layers.Dense(latent_dim, dtype="float32", name="mean")(x)
    log_variance = layers.Dense(latent_dim, dtype="float32", name="log_variance")(x)
    return keras.Model(image, [mean, log_variance], name="gaugan_facades_encoder")


def define_discriminator(image_size=IMAGE_SIZE, width=1.0):
    """Compiled judge of patches: its scores are high for real ones, low for generated ones.

    Inputs: `colours`, those of the layout, and `image`, both (n, size, size, 3) in [-1, 1].
    Outputs: the features of four blocks, then a score for each patch. The target, 1 for real and
    -1 for generated, is for the scores; (n, 1, 1, 1) is the same for all patches of an image.
    """
    colours = keras.Input((image_size, image_size, 3), name="colours")
    image = keras.Input((image_size, image_size, 3), name="image")
    features = []
    x = layers.Concatenate()([colours, image])
    for block, filters in enumerate(scaled(DISCRIMINATOR_CHANNELS, width)):
        strides = 1 if block == len(DISCRIMINATOR_CHANNELS) - 1 else 2
        x = downsample(x, filters, kernel_size=4, strides=strides, normalise=block > 0)
        features.append(x)
    score = layers.Conv2D(1, 4, dtype="float32")(x)

    outputs = [*features, score]
    model = keras.Model([colours, image], outputs, name="gaugan_facades_discriminator")
    # Hinge: it is enough to be right by 1 (Lim and Ye 2017, arXiv 1705.02894).
    model.compile(loss=[None] * len(features) + ["hinge"], optimizer=adam(4e-4))
    return model


def downsample(x, filters, kernel_size, strides=2, normalise=True):
    """Convolution, instance normalisation (a group for each channel), leaky ReLU."""
    options = {"padding": "same", "use_bias": False, "kernel_initializer": "glorot_normal"}
    x = layers.Conv2D(filters, kernel_size, strides, **options)(x)
    if normalise:
        x = layers.GroupNormalization(groups=-1)(x)
    return layers.LeakyReLU(0.2)(x)


def scaled(channels, width):
    """Numbers of channels, each multiplied by `width`, and at least 1."""
    return [max(1, round(number * width)) for number in channels]


def adam(learning_rate):
    """A new optimizer: each model has its own. Two learning rates: Heusel et al. 2017 (TTUR)."""
    return Adam(learning_rate, beta_1=0.0, beta_2=0.999)


def draw_latent(mean, log_variance, noise):
    """Noise from N(0, 1) to latents from the encoder's distribution: all (n, latent_dim).

    The gradients pass through to the encoder (Kingma and Welling 2014, section 2.4).
    """
    return mean + ops.exp(0.5 * log_variance) * noise


def kl_divergence(mean, log_variance):
    """How far the encoder's distributions are from N(0, 1), in nats: (n, latent_dim) to (n,).

    Kingma and Welling 2014, appendix B. The keras.io example adds up the images of a batch, too;
    here the mean over them is the loss, so that its weight does not depend on the batch size.
    """
    return -0.5 * ops.sum(1 + log_variance - mean**2 - ops.exp(log_variance), axis=1)


def feature_distance(real, generated, weights):
    """Weighted sum over the layers of the mean absolute difference: lists of features to (n,)."""
    return sum(
        weight * ops.mean(ops.cast(ops.abs(ops.stop_gradient(one) - other), "float32"), (1, 2, 3))
        for weight, one, other in zip(weights, real, generated, strict=True)
    )


def mean_output(_no_target, losses):
    """The composite's outputs are losses already: there is nothing to compare them with."""
    return ops.mean(losses)


def no_targets(gan_model, n_samples):
    """What the composite is given for targets, since Keras wants some."""
    return dict.fromkeys(gan_model.output, np.zeros(n_samples, "float32"))


def define_gan(g_model, encoder, d_model, vgg_model=None):
    """Compiled composite model: encoder and generator, judged by the frozen discriminator.

    The encoder is part of it, so the gradients of all losses reach it. `Frozen` keeps the weights
    of the discriminator and of VGG19 out (common/models/freezing.py).

    Inputs: `image` and `colours` (n, size, size, 3) in [-1, 1], `layout` one-hot, `noise`
    (n, latent_dim) from N(0, 1). Outputs: a dict of the losses of each image, (n,): `g`, minus the
    mean score; `feature` and `vgg`, how far the painting is from the photo in the features of the
    discriminator and of VGG19, if there is one; `kl`.
    """
    colours, image = d_model.inputs
    latent, layout = g_model.inputs
    noise = keras.Input(latent.shape[1:], name="noise")
    mean, log_variance = encoder(image)
    painting = g_model([draw_latent(mean, log_variance, noise), layout])

    discriminator = Frozen(d_model)
    *real_features, _ = discriminator([colours, image])
    *features, score = discriminator([colours, painting])
    outputs = {
        "g": -ops.mean(score, axis=(1, 2, 3)),
        "feature": feature_distance(real_features, features, [1] * len(features)),
        "kl": kl_divergence(mean, log_variance),
    }
    if vgg_model:
        see = Frozen(vgg_model)
        outputs["vgg"] = feature_distance(see(image), see(painting), VGG_LAYER_WEIGHTS)

    inputs = [image, colours, layout, noise]
    model = keras.Model(inputs, outputs, name="gaugan_facades_composite")
    model.compile(
        loss={name: mean_output for name in outputs},
        loss_weights={name: LOSS_WEIGHTS[name] for name in outputs},
        optimizer=adam(1e-4),
    )
    return model


def define_painter(g_model, encoder, training):
    """Encoder and generator, in a mode of one's choice, and left as they are.

    Which statistics the generator's batch normalisation works with, and which it updates:

    - painting for the discriminator to learn from: those of the batch; nothing is updated;
    - in the composite: those of the batch; the moving averages are updated, once a step;
    - in validation, samples and the saved generator: the moving averages; nothing is updated.

    Inputs: `image`, `layout` and `noise` as for the composite. Output: images in [-1, 1].
    """
    (image,), (latent, layout) = encoder.inputs, g_model.inputs
    noise = keras.Input(latent.shape[1:], name="noise")
    latent = draw_latent(*encoder(image), noise)
    painting = Frozen(g_model, training=training)([latent, layout])
    return keras.Model([image, layout, noise], painting, name="gaugan_facades_painter")


def to_inputs(photos, layouts):
    """Scale photos uint8 (n, size, size, 3), and encode their layouts (n, size, size), 0 to 11.

    Returns photos and colours of the layouts in [-1, 1], and the layouts one-hot; all float32.
    """
    colours = facades.colours(layouts)
    images = [(pixels.astype("float32") - 127.5) / 127.5 for pixels in (photos, colours)]
    return [*images, facades.one_hot(layouts)]


def generate_real_samples(dataset, n_samples, image_size, rng=None):
    """Draw facades, and a crop of each: what `to_inputs` returns. `dataset` is a `Facades`."""
    rng = np.random.default_rng(rng)
    chosen = rng.integers(0, len(dataset.images), n_samples)
    return to_inputs(*facades.random_crops(dataset, chosen, image_size, rng))


def generate_latent_points(latent_dim, n_samples, rng=None):
    """Draw latents, or the noise that becomes latents: (n, latent_dim) from N(0, 1)."""
    rng = np.random.default_rng(rng)
    return rng.standard_normal((n_samples, latent_dim), dtype="float32")


def generate_fake_samples(painter, dataset, n_samples, image_size, rng=None):
    """Draw facades, and paint a crop of each layout in the style of its photo.

    Returns the discriminator's inputs: colours of the layouts and paintings, both in [-1, 1].
    """
    rng = np.random.default_rng(rng)
    images, colours, layouts = generate_real_samples(dataset, n_samples, image_size, rng)
    noise = generate_latent_points(painter.input_shape[2][1], n_samples, rng)
    return [colours, painter.predict_on_batch([images, layouts, noise])]


def step_losses(d_loss_real, d_loss_fake, losses):
    """What is logged of a step: each loss by its name, without its weight."""
    names = [f"{name}_loss" for name in LOSS_WEIGHTS if f"{name}_loss" in losses]
    return {"d_loss": (d_loss_real + d_loss_fake) / 2} | {name: losses[name] for name in names}


def validation_losses(d_model, gan_model, painter, photos, layouts, noise, n_batch):
    """The losses of a training step as means over all full batches of crops. Changes no model.

    `painter` paints for inference; `photos`, `layouts` and `noise` are equally many.
    """
    n_batch = min(n_batch, len(noise))
    nothing = no_targets(gan_model, n_batch)
    rows = []
    for start in range(0, len(noise) - n_batch + 1, n_batch):
        batch = slice(start, start + n_batch)
        images, colours, one_hot = to_inputs(photos[batch], layouts[batch])
        paintings = painter.predict_on_batch([images, one_hot, noise[batch]])
        d_losses = [
            d_model.test_on_batch([colours, judged], np.full((n_batch, 1, 1, 1), target))
            for judged, target in ((images, 1.0), (paintings, -1.0))
        ]
        inputs = [images, colours, one_hot, noise[batch]]
        losses = gan_model.test_on_batch(inputs, nothing, return_dict=True)
        rows.append(step_losses(*d_losses, losses))
    return {f"val_{name}": float(np.mean([row[name] for row in rows])) for name in rows[0]}


def draw_samples(g_model, facades, latents, path):
    """Write rows of layout, photo and painting; `facades` is what `to_inputs` returns."""
    images, colours, layouts = facades
    paintings = g_model.predict_on_batch([latents, layouts])
    rows = np.stack([colours, images, paintings], axis=1).reshape(-1, *images.shape[1:])
    titles = ("layout", "photo", "painting")
    plotting.save_grid((rows + 1) / 2, path, columns=3, titles=titles)


def train(g_model, encoder, d_model, gan_model, training_set, validation_set, n_batch, run):
    """Alternate: the discriminator on two half-batches, then generator and encoder on one batch.

    `training_set` and `validation_set` are `Facades` that fit the image size. `run` (a
    `Run`) counts the epochs, shows the progress, and saves after every epoch.
    """
    half_batch, size, rng = n_batch // 2, g_model.output_shape[1], run.rng
    sample_every = run.arguments.sample_every
    latent_dim = g_model.input_shape[0][1]
    real = np.ones((half_batch, 1, 1, 1), "float32")
    nothing = no_targets(gan_model, n_batch)
    painter = define_painter(g_model, encoder, training=True)
    val_painter = define_painter(g_model, encoder, training=False)

    crops = facades.centre_crops(validation_set, size)
    val_noise = generate_latent_points(latent_dim, len(crops[0]), run.sample_rng)
    fixed = to_inputs(*(array[:N_PICTURES] for array in crops))
    fixed_latents = generate_latent_points(latent_dim, len(fixed[0]), run.sample_rng)

    for epoch in run.epochs():
        for _step in run.steps(len(training_set.images) // n_batch):
            images, colours, _ = generate_real_samples(training_set, half_batch, size, rng)
            d_loss_real = d_model.train_on_batch([colours, images], real)

            inputs = generate_fake_samples(painter, training_set, half_batch, size, rng)
            d_loss_fake = d_model.train_on_batch(inputs, -real)

            images, colours, layouts = generate_real_samples(training_set, n_batch, size, rng)
            noise = generate_latent_points(latent_dim, n_batch, rng)
            inputs = [images, colours, layouts, noise]
            losses = gan_model.train_on_batch(inputs, nothing, return_dict=True)
            run.average.update()
            run.log(**step_losses(d_loss_real, d_loss_fake, losses))

        losses = validation_losses(d_model, gan_model, val_painter, *crops, val_noise, n_batch)
        if epoch % sample_every == 0 or epoch == run.arguments.epochs:
            draw_samples(run.average.of(g_model), fixed, fixed_latents, run.sample_path())
        run.save_epoch(**losses)


def main(argv=None):
    defaults = {"epochs": 15, "batch_size": 4, "latent_dim": LATENT_DIM}
    parser = training_parser("gaugan_facades", __doc__, **defaults, sources=facades.SOURCES)
    parser.add_choice("--image-size", (64, 128, 256), IMAGE_SIZE, "pixels of a side")
    parser.add_number("--width", 0.01, 4, 1.0, "multiplies the channels of all networks")
    parser.add_integer("--sample-every", 1, 1_000_000, 5, "epochs from one picture to the next")
    vgg.add_option(parser)
    with Run(parser, argv) as run:
        arguments = run.arguments
        image_size, width, n_batch = arguments.image_size, arguments.width, arguments.batch_size
        if arguments.limit is not None:  # to be found before the facades are read
            facades.check_count(arguments.limit, n_batch, f"--limit {arguments.limit} facades")
        dataset = run.load(facades.load_facades)
        parts = facades.split(dataset, arguments.seed, n_batch)
        training_set, validation_set = (facades.fit(part, image_size) for part in parts)
        # What "auto" has found goes into run.json, so that --resume does not look again.
        vgg_model, arguments.vgg = vgg.load(arguments.vgg, image_size)
        g_model = define_generator(image_size, arguments.latent_dim, width)
        encoder = define_encoder(image_size, arguments.latent_dim, width)
        d_model = define_discriminator(image_size, width)
        gan_model = define_gan(g_model, encoder, d_model, vgg_model)
        run.begin(generator=g_model, encoder=encoder, discriminator=d_model, gan=gan_model)
        train(g_model, encoder, d_model, gan_model, training_set, validation_set, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
