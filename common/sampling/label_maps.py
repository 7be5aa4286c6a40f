"""Sampling a GauGAN: choosing label maps and latents.

The user's files are read, and errors reported, before TensorFlow is imported, which takes seconds.
"""

import math

from common import UserError
from common.arguments import add_label_map_option
from common.data import facades
from common.files import beside
from common.models import saved_models
from common.sampling import real_images
from common.sampling.inputs import MAX_IMAGES, Inputs

import numpy as np
from PIL import Image

# By default, 6 label maps of the validation set with 4 images each, or 8 images of one --layout.
N_MAPS, IMAGES_PER_MAP = 6, 4
IMAGES_OF_OWN_MAP = 8


def add_options(parser):
    """Add the options for generators that take label maps."""
    help = "GauGAN: a label map to draw (default: label maps not used in training)"
    parser.add_path("--layout", "FILE.png", help)
    add_label_map_option(parser)
    help = "GauGAN: a photo whose style to use (default: random styles)"
    parser.add_path("--style", "FILE.jpg", help)
    help = "GauGAN: multiply random latents by this (default: 1)"
    parser.add_number("--latent-scale", 0, 100, None, help)


def choose(generator, arguments):
    """The label maps and latents that the command line asks for: `Inputs`.

    Without --layout, the label maps are from the validation facades of the generator's run. The
    picture has each label map, its photo if it has one, and the photo of --style beside the images.
    Raises UserError if a file is missing or damaged, or if there are too few facades.
    """
    style, size, count = None, generator.label_shape[0], arguments.count
    if (count or 0) > MAX_IMAGES:
        raise UserError(f"--count {count} is more than {MAX_IMAGES}, the most for label maps")
    if arguments.style:
        style = middle_square(facades.read_photo(arguments.style), size, facades.SMOOTH)
        encoder = encoder_path(generator)
        if not encoder.is_file():
            raise UserError(f"--style needs the encoder of the run, and there is no {encoder}")
    if arguments.layout:
        label_maps = read(generator, arguments.layout, arguments.layout_from)[np.newaxis]
        count = each = count or (1 if arguments.style else IMAGES_OF_OWN_MAP)
    else:
        each = 1 if arguments.style else IMAGES_PER_MAP  # --style is a single latent
        photos, label_maps, count = _of_validation(generator, each, count)

    pictures = {"label map": facades.colours(label_maps, class_colours(generator))}
    if not arguments.layout:
        pictures["photo"] = photos
    if style is not None:
        pictures["style"] = np.repeat(style[np.newaxis], len(label_maps), axis=0)
    titles = (*pictures, *["generated"] * each)
    columns = min(len(titles), 10)
    titles = titles if len(titles) == columns else ()
    latents = np.tile(draw_latents(generator, style, each, arguments), (len(label_maps), 1))
    label_maps = np.repeat(label_maps, each, axis=0)
    beside = np.stack([*pictures.values()], axis=1)
    return Inputs(latents[:count], label_maps[:count], columns, titles, each=each, beside=beside)


def _of_validation(generator, each, count):
    """Photos and label maps for `count` images, `each` from a label map, and the count."""
    try:
        validation = real_images.load_validation_facades(generator)
    except UserError as problem:
        hint = "draw a label map of your own with --layout FILE.png"
        raise UserError(f"the run's facades cannot be read again: {problem}; {hint}") from None
    n_maps, size = len(validation.label_maps), generator.label_shape[0]
    count = count or each * min(N_MAPS, n_maps)
    if count > each * n_maps:
        most = f"{each} for each of the {n_maps} validation facades"
        raise UserError(f"--count {count} is more than {most}")
    # As in training: a square shows the piece of a facade that 256 pixels of the original show.
    some = facades.fit(validation.first(math.ceil(count / each)), size)
    return *facades.centre_crops(some, size), count


def read(generator, path, first=None):
    """Read the middle square of a label map of a generator's classes, scaled to its size.

    `first` is the number of the first class in it; None for that of the generator's training.
    Returns uint8 (H, W). Raises UserError if it is missing or damaged, or has other classes.
    """
    first, names = generator.numbered_from if first is None else first, generator.class_names
    label_map = facades.read_label_map(path, names, first, class_colours(generator))
    return middle_square(label_map, generator.label_shape[0], facades.NEAREST)


def encoder_path(generator):
    """The path of the encoder that was trained together with a generator."""
    return beside(generator.path, "encoder")


def load_encoder(generator):
    """Load the encoder of a generator. It maps an image to mean and log-variance of a latent."""
    encoder = saved_models.load(encoder_path(generator))
    shapes = [tensor.shape[1:] for tensor in (*encoder.inputs, *encoder.outputs)]
    wanted = [generator.image_shape, generator.latent_shape, generator.latent_shape]
    if shapes != wanted:
        raise UserError(
            f"{encoder_path(generator)} is not an encoder for this generator: it has inputs and "
            f"outputs of {shapes}, not of {wanted}"
        )
    return encoder


def middle_square(array, size, resampling):
    """The largest square in the middle of a photo or a label map, scaled to `size` pixels."""
    side = min(array.shape[:2])
    top, left = (array.shape[0] - side) // 2, (array.shape[1] - side) // 2
    square = Image.fromarray(array[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size), resampling))


def class_colours(generator):
    """A colour for each class of a generator's label maps, uint8 (classes, 3)."""
    n_classes = len(generator.class_names)
    known = facades.COLOURS if n_classes == facades.N_CLASSES else ()
    return facades.distinct_colours(n_classes, generator.colours or known)


def draw_latents(generator, style, count, arguments):
    """Draw `count` latents with the seed and the --latent-scale of the command line.

    With a style, the noise is scaled and shifted to the distribution that the encoder computes from
    the photo, except that the first latent is the mean of that distribution.
    """
    noise = generator.noise(count, np.random.default_rng(arguments.seed))
    noise *= 1 if arguments.latent_scale is None else arguments.latent_scale
    if style is None:
        return generator.to_latents(noise)
    photo = (style.astype("float32") - 127.5) / 127.5
    mean, log_variance = load_encoder(generator).predict_on_batch(photo[np.newaxis])
    noise[0] = 0
    return mean + np.exp(0.5 * log_variance) * noise
