"""GauGAN on building facades: a map of walls, windows and doors becomes an image of the house.

    python gaugan_facades.py                     # 256 pixels, 15 epochs: this wants a GPU
    python gaugan_facades.py --image-size 64 --width 0.25 --latent-dim 16 --epochs 250    # a CPU
    python generate.py --model gaugan            # label maps that the training has not seen

The generator makes an image from a latent, 256 random numbers, and a label map (segmentation mask
in the paper, the input `layout` of the saved model), which says for each pixel which of twelve
classes it is to be. The label map enters every block of the generator through SPADE layers, which
scale and shift the normalised features pixel by pixel (Park et al. 2019, arXiv 1903.07291, section
3). The latent decides the style: in training an encoder reads it from the photo that belongs to the
label map. A loss keeps the encoder's latents close to N(0, 1), as in a variational autoencoder
(Kingma and Welling 2014, arXiv 1312.6114), so that a random latent is a style, too. The
discriminator scores patches of an image, given the label map.

Networks and settings are those of the keras.io example "GauGAN for conditional image generation".
What differs from it:
- the generator enlarges before each block, so that the label map enters at full size, and a SPADE
  multiplies by 1 + scale: both as in the authors' code (github.com/NVlabs/SPADE);
- outside training, batch normalisation uses moving averages (`spade`);
- the encoder is trained, and normalises all channels together (`define_encoder`);
- the KL loss is a mean over the batch, with a weight of 0.02 instead of 0.1 for its sum;
- the discriminator learns from half-batches, so in two steps for one of the generator.
What differs from the paper and its code, in the example as well:
- one discriminator instead of one for each of two scales, and no spectral normalisation;
- the discriminator sees the label map in colours, not one-hot;
- weights of 0.1 for the perceptual loss and 0.02 for the KL loss, where the paper has 10 and 0.05;
- a skip connection that changes the number of channels has a kernel of 3 x 3 and an activation.
"""

import math
import sys

# Import common before keras: it sets environment variables that TensorFlow reads once, on import.
from common.arguments import add_label_map_option, add_pairs_option, training_parser
from common.data import facades
from common.models import vgg
from common.models.freezing import Frozen
from common.training.run import Run

import keras
import numpy as np
from keras import layers, ops

IMAGE_SIZE = 256
LATENT_DIM = 256
N_CLASSES = len(facades.CLASS_NAMES)
# Channels at 256 pixels. For smaller images the generator leaves out its first blocks, and the
# encoder its last ones.
GENERATOR_CHANNELS = (1024, 1024, 1024, 512, 256, 128)
ENCODER_CHANNELS = (64, 128, 256, 512, 512)
DISCRIMINATOR_CHANNELS = (64, 128, 256, 512)
SPADE_CHANNELS = 128
N_SAMPLES = 6  # facades in a sample picture
N_STYLES = 256  # photos whose styles tell how styles are distributed
VGG_LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)  # deeper layers matter more


def define_generator(image_size=IMAGE_SIZE, latent_dim=LATENT_DIM, width=1.0, n_classes=N_CLASSES):
    """Generator of images from label maps. It is not compiled: only the composite trains it.

    Inputs: `latent` (n, latent_dim) from N(0, 1), `layout` (n, size, size, n_classes),
    one-hot.
    Output: images (n, size, size, 3) in [-1, 1]. `width` multiplies the numbers of channels.
    """
    latent = keras.Input((latent_dim,), name="latent")
    label_map = keras.Input((image_size, image_size, n_classes), name="layout")
    n_blocks = int(math.log2(image_size // 4))
    channels = [scaled(number, width) for number in GENERATOR_CHANNELS[-n_blocks:]]
    spade_channels = scaled(SPADE_CHANNELS, width)

    x = layers.Dense(4 * 4 * channels[0])(latent)
    x = layers.Reshape((4, 4, channels[0]))(x)
    for filters in channels:  # 4 → 8 → … → image_size
        x = layers.UpSampling2D()(x)
        x = spade_residual_block(x, label_map, filters, spade_channels)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Conv2D(3, 4, padding="same")(x)
    # Images are float32 even with --mixed-precision.
    image = layers.Activation("tanh", dtype="float32")(x)

    return keras.Model([latent, label_map], image, name="gaugan_facades_generator")


def spade_residual_block(x, label_map, filters, spade_channels):
    """Two convolutions and a skip connection, a SPADE first in each (Park et al., figure 4)."""
    label_map = ops.image.resize(label_map, x.shape[1:3], interpolation="nearest")

    def spade_convolution(x):
        x = layers.LeakyReLU(0.2)(spade(x, label_map, spade_channels))
        return layers.Conv2D(filters, 3, padding="same")(x)

    skip = x if x.shape[-1] == filters else spade_convolution(x)
    return skip + spade_convolution(spade_convolution(x))


def spade(x, label_map, spade_channels):
    """Normalise x, then scale and shift each pixel by its class (Park et al., equation 1).

    With 1 + scale, as in the authors' code, an untrained layer hardly changes what is normalised.

    Outside training, mean and variance are moving averages. The keras.io example computes them from
    the batch even then, so that an image depends on the others in its batch.
    """
    # Keras's default momentum is 0.99: the moving averages would lag hundreds of steps behind. The
    # authors' code has PyTorch's default of 0.1, which Keras calls 0.9.
    x = layers.BatchNormalization(center=False, scale=False, momentum=0.9, epsilon=1e-5)(x)
    hidden = layers.Conv2D(spade_channels, 3, padding="same", activation="relu")(label_map)
    scale = layers.Conv2D(x.shape[-1], 3, padding="same")(hidden)
    shift = layers.Conv2D(x.shape[-1], 3, padding="same")(hidden)
    return (1 + scale) * x + shift


def define_encoder(image_size=IMAGE_SIZE, latent_dim=LATENT_DIM, width=1.0):
    """Encoder of a photo's style. It is not compiled: only the composite model trains it.

    Input: `image` (n, size, size, 3) in [-1, 1]. Outputs: mean and logarithm of the variance of
    the latent, each (n, latent_dim).
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    n_blocks = int(math.log2(image_size // 8))
    x = image
    for block, channels in enumerate(ENCODER_CHANNELS[:n_blocks]):  # size → … → 8
        # All channels are normalised together. The example normalises each by itself, which takes
        # out of the features how bright and how red a photo is.
        x = downsample(x, scaled(channels, width), kernel_size=3, groups=1, normalise=block > 0)
    x = layers.Flatten()(x)
    mean = layers.Dense(latent_dim, dtype="float32", name="mean")(x)
    log_variance = layers.Dense(latent_dim, dtype="float32", name="log_variance")(x)
    return keras.Model(image, [mean, log_variance], name="gaugan_facades_encoder")


def define_discriminator(image_size=IMAGE_SIZE, width=1.0):
    """Compiled PatchGAN discriminator (Isola et al. 2017, arXiv 1611.07004): a score per patch.

    Inputs: `colours`, the label map in colours, and `image`, both (n, size, size, 3) in [-1, 1].
    Outputs: the features of four blocks, then a score for each patch. Only the scores have a
    target, 1 for real and -1 for generated; a target (n, 1, 1, 1) is for all patches of an image.
    """
    colours = keras.Input((image_size, image_size, 3), name="colours")
    image = keras.Input((image_size, image_size, 3), name="image")
    features = []
    x = layers.Concatenate()([colours, image])
    for block, channels in enumerate(DISCRIMINATOR_CHANNELS):
        strides = 1 if block == len(DISCRIMINATOR_CHANNELS) - 1 else 2
        x = downsample(x, scaled(channels, width), 4, strides=strides, normalise=block > 0)
        features.append(x)
    score = layers.Conv2D(1, 4, dtype="float32")(x)

    model = keras.Model([colours, image], [*features, score], name="gaugan_facades_discriminator")
    # Hinge loss: max(0, 1 - score) for real patches, max(0, 1 + score) for generated ones (Lim and
    # Ye 2017, arXiv 1705.02894). Four times the generator's learning rate: TTUR (Heusel et al.
    # 2017, arXiv 1706.08500).
    model.compile(loss=[None] * len(features) + ["hinge"], optimizer=adam(4e-4))
    return model


def downsample(x, filters, kernel_size, strides=2, groups=-1, normalise=True):
    """Convolution, group normalisation, leaky ReLU.

    The mean and variance of each image are normalised by groups of channels. With -1 each channel
    is a group, which is called instance normalisation.
    """
    options = {"padding": "same", "use_bias": False, "kernel_initializer": "glorot_normal"}
    x = layers.Conv2D(filters, kernel_size, strides, **options)(x)
    if normalise:
        x = layers.GroupNormalization(groups=groups)(x)
    return layers.LeakyReLU(0.2)(x)


def scaled(channels, width):
    """A number of channels, multiplied by `width`, and at least 1."""
    return max(1, round(channels * width))


def adam(learning_rate):
    """A new optimizer, since each model needs its own."""
    return keras.optimizers.Adam(learning_rate, beta_1=0.0, beta_2=0.999)


def draw_latent(mean, log_variance, noise):
    """Turn noise from N(0, 1) into latents from N(mean, variance): all (n, latent_dim).

    This is the reparameterisation trick. It gives the latents a gradient with respect to mean and
    variance, which trains the encoder (Kingma and Welling 2014, section 2.4).
    """
    return mean + ops.exp(0.5 * log_variance) * noise


def kl_divergence(mean, log_variance):
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), in nats: (n, d) to (n,).

    Source: Kingma and Welling 2014, appendix B. The keras.io example sums it over a batch. Here the
    loss is the mean: a quarter of that sum, at the example's batch size of 4.
    """
    return -0.5 * ops.sum(1 + log_variance - mean**2 - ops.exp(log_variance), axis=1)


def feature_distance(real, generated, weights):
    """Mean absolute difference of two lists of features, one per layer, as a weighted sum: (n,)."""
    total = 0.0
    for r, g, weight in zip(real, generated, weights, strict=True):
        difference = ops.cast(ops.abs(r - g), "float32")  # 16 bits with --mixed-precision
        total += weight * ops.mean(difference, axis=(1, 2, 3))
    return total


def define_losses(g_model, encoder, d_model, vgg_model=None):
    """Encoder and generator, followed by the frozen discriminator; the outputs are the losses.

    They are outputs because some compare features of several layers, which a Keras loss function
    does not see, and because `add_loss` takes no tensors of a functional model in Keras 3.

    Inputs: `image` and `colours` (n, size, size, 3) in [-1, 1], `layout` one-hot, `noise`
    (n, latent_dim) from N(0, 1). Outputs: a dict of the losses of each image, (n,): `g`, minus the
    mean score; `feature`, the feature matching loss (Wang et al. 2018, arXiv 1711.11585), and
    `vgg`, the perceptual loss (Johnson et al. 2016, arXiv 1603.08155), distances of the generated
    image from the photo in features of the discriminator and of VGG19, if there is one; `kl`.
    Returns the model, not compiled, and the weight of each loss.
    """
    colours, image = d_model.inputs
    latent, label_map = g_model.inputs
    noise = keras.Input(latent.shape[1:], name="noise")
    mean, log_variance = encoder(image)
    generated = g_model([draw_latent(mean, log_variance, noise), label_map])

    # `Frozen` keeps the weights of the discriminator and of VGG19 out of this model
    # (common/models/freezing.py).
    discriminator = Frozen(d_model)
    *real_features, _ = discriminator([colours, image])
    *features, score = discriminator([colours, generated])
    weighted = {
        "g": (1.0, -ops.mean(score, axis=(1, 2, 3))),
        "feature": (10.0, feature_distance(real_features, features, [1] * len(features))),
        "kl": (0.02, kl_divergence(mean, log_variance)),
    }
    if vgg_model:
        vgg_features = Frozen(vgg_model)
        real_features, features = vgg_features(image), vgg_features(generated)
        weighted["vgg"] = 0.1, feature_distance(real_features, features, VGG_LAYER_WEIGHTS)
    weights = {name: weight for name, (weight, _) in weighted.items()}
    losses = {name: loss for name, (_, loss) in weighted.items()}

    inputs = [image, colours, label_map, noise]
    return keras.Model(inputs, losses, name="gaugan_facades_composite"), weights


def define_gan(g_model, encoder, d_model, vgg_model=None):
    """Compiled composite model of `define_losses`. It trains the encoder and the generator.

    The encoder is part of the composite, so it is trained by the gradients of all losses.
    """
    model, weights = define_losses(g_model, encoder, d_model, vgg_model)
    model.compile(
        loss=dict.fromkeys(weights, lambda _unused_target, losses: losses),
        loss_weights=weights,
        optimizer=adam(1e-4),
    )
    return model


def define_styled_generator(g_model, encoder):
    """Encoder and generator in one model, which only makes images: its calls train nothing.

    They are the images that the discriminator learns from, so batch normalisation uses the
    statistics of the batch, as in the composite. Only steps of the composite update its averages.

    Inputs: `image`, `layout` and `noise` as for the composite. Output: images in [-1, 1].
    """
    image = encoder.inputs[0]
    latent, label_map = g_model.inputs
    noise = keras.Input(latent.shape[1:], name="noise")
    latent = draw_latent(*encoder(image), noise)
    generated = Frozen(g_model, training=True)([latent, label_map])
    return keras.Model([image, label_map, noise], generated, name="gaugan_facades_styled_generator")


def generate_real_samples(dataset, n_samples, image_size, rng):
    """Draw facades, and cut a square out of each.

    Returns photos and label maps in colours, float32 (n, size, size, 3) in [-1, 1], and label maps
    one-hot, float32 (n, size, size, classes).
    """
    chosen = rng.integers(0, len(dataset.images), n_samples)
    crops = facades.random_crops(dataset, chosen, image_size, rng)
    return facades.to_inputs(*crops, dataset.colours)


def generate_latent_points(latent_dim, n_samples, rng):
    """Draw latents, or the noise for `draw_latent`: (n, latent_dim) from N(0, 1)."""
    return rng.standard_normal((n_samples, latent_dim), dtype="float32")


def log_validation_losses(validation_model, inputs, n_batch, run):
    """Record the losses of the averaged networks for validation data, batch by batch."""
    n_batch = min(n_batch, len(inputs[0]))
    for start in range(0, len(inputs[0]) - n_batch + 1, n_batch):
        batch = [array[start : start + n_batch] for array in inputs]
        losses = validation_model.predict_on_batch(batch)
        run.log(**{f"val_{name}_loss": loss.mean() for name, loss in losses.items()})


def train(models, parts, n_batch, run):
    """Train in turn the discriminator, on two half-batches, and generator and encoder, on a batch.

    `models` are generator, encoder, and the models of `define_styled_generator`,
    `define_discriminator`, `define_gan`, and, for validation, of `define_losses`.
    `parts` are two `Facades` that fit the image size, for training and for validation. `run` (a
    `Run`) counts epochs and steps, shows the progress, and stops at Ctrl-C. Its `rng` is the source
    of all random numbers, so that a run can be repeated and resumed.
    """
    g_model, encoder, styled_generator, d_model, gan_model, validation_model = models
    (training_set, validation_set), half_batch, rng = parts, n_batch // 2, run.rng
    size, latent_dim = g_model.output_shape[1], g_model.input_shape[0][1]
    target = np.ones((half_batch, 1, 1, 1), "float32")
    unused_targets = dict.fromkeys(gan_model.output, np.zeros(n_batch, "float32"))

    crops = facades.to_inputs(*facades.centre_crops(validation_set, size), validation_set.colours)
    noise = generate_latent_points(latent_dim, len(crops[0]), run.sample_rng)
    validation_inputs = [*crops, noise]
    sample_images, sample_colours, sample_label_maps = (array[:N_SAMPLES] for array in crops)
    chosen = run.sample_rng.integers(0, len(training_set.images), N_STYLES)
    photos, _label_maps = facades.random_crops(training_set, chosen, size, run.sample_rng)
    styled_photos = (photos.astype("float32") - 127.5) / 127.5
    style_noise = generate_latent_points(latent_dim, N_STYLES, run.sample_rng)

    for epoch in run.epochs():
        for _step in run.steps(len(training_set.images) // n_batch):
            images, colours, label_maps = generate_real_samples(training_set, half_batch, size, rng)
            d_loss_real = d_model.train_on_batch([colours, images], target)

            # Generated from the label maps and in the styles of the real half-batch.
            noise = generate_latent_points(latent_dim, half_batch, rng)
            generated = styled_generator.predict_on_batch([images, label_maps, noise])
            d_loss_fake = d_model.train_on_batch([colours, generated], -target)

            images, colours, label_maps = generate_real_samples(training_set, n_batch, size, rng)
            noise = generate_latent_points(latent_dim, n_batch, rng)
            inputs = [images, colours, label_maps, noise]
            losses = gan_model.train_on_batch(inputs, unused_targets, return_dict=True)
            del losses["loss"]  # their weighted sum
            run.log(d_loss=(d_loss_real + d_loss_fake) / 2, **losses)

        # Validated, sampled and saved are the networks with the average of their weights over the
        # last steps: they draw better images than the current weights (common/models/averaging.py
        # says why).
        log_validation_losses(validation_model, validation_inputs, n_batch, run)
        # The latents of photos are not quite from N(0, 1): the KL loss only pulls them there, and
        # they are correlated. Latents that have their mean and covariance vary as photos do.
        mean, log_variance = run.average.of(encoder).predict(styled_photos, n_batch, verbose=0)
        styles = draw_latent(mean, log_variance, style_noise)
        picture, titles = None, ("label map", "photo", "generated")
        if epoch % run.arguments.sample_every == 0 or epoch == run.arguments.epochs:
            averaged = run.average.of(g_model)
            generated = averaged.predict(
                [styles[: len(sample_images)], sample_label_maps], verbose=0
            )
            rows = np.stack([sample_colours, sample_images, generated], axis=1)
            picture = np.concatenate(rows)
        run.save_epoch(picture, titles, styles)


def main(argv=None):
    defaults = {"epochs": 15, "batch_size": 4, "latent_dim": LATENT_DIM, "own_images": False}
    parser = training_parser(__file__, __doc__, **defaults, sources=facades.SOURCES)
    parser.add_choice("--image-size", (64, 128, 256), IMAGE_SIZE, "pixels of a side")
    parser.add_number("--width", 0.01, 4, 1.0, "multiplies the channels of all networks")
    parser.add_integer("--sample-every", 1, 1_000_000, 5, "epochs from one picture to the next")
    add_label_map_option(parser)
    add_pairs_option(parser)
    vgg.add_option(parser)
    with Run(parser, argv) as run:
        arguments = run.arguments
        image_size, width, n_batch = arguments.image_size, arguments.width, arguments.batch_size
        if arguments.limit is not None:  # said before reading the facades, which takes seconds
            facades.check_count(arguments.limit, n_batch, f"--limit {arguments.limit} facades")
        options = {"first": arguments.layout_from, "pairs": arguments.pairs}
        options |= {"limit": arguments.limit, "seed": arguments.seed}
        dataset = run.load(facades.load_facades, **options)
        parts = facades.split(dataset, arguments.seed, n_batch)
        parts = [facades.fit(part, image_size) for part in parts]
        # What "auto" has found goes into run.json, so that --resume does not look again.
        vgg_model, arguments.vgg = vgg.load(arguments.vgg, image_size)
        n_classes = len(dataset.class_names)
        g_model = define_generator(image_size, arguments.latent_dim, width, n_classes)
        encoder = define_encoder(image_size, arguments.latent_dim, width)
        d_model = define_discriminator(image_size, width)
        gan_model = define_gan(g_model, encoder, d_model, vgg_model)
        styled_generator = define_styled_generator(g_model, encoder)
        models = {"generator": g_model, "encoder": encoder, "discriminator": d_model}
        # This checks that the generator can be saved and drawn, and replaces the way in which Keras
        # calls these models by a faster one with the same results (--plain leaves Keras's own).
        run.begin(pixel_range=(-1, 1), **models, gan=gan_model, styled_generator=styled_generator)
        averaged = run.average.of(g_model), run.average.of(encoder)
        validation_model, _ = define_losses(*averaged, d_model, vgg_model)
        models = g_model, encoder, styled_generator, d_model, gan_model, validation_model
        train(models, parts, n_batch, run)


if __name__ == "__main__":
    sys.exit(main())
