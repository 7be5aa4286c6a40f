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
from common.sampling.inputs import Inputs

import numpy as np
from PIL import Image

# By default, 6 label maps of the validation set with 4 images each, or 8 images of one --layout.
N_MAPS, IMAGES_PER_MAP = 6, 4
IMAGES_OF_OWN_MAP = 8
MAX_IMAGES = 1000


def add_options(parser):
    """Add the options for generators that take label maps."""
    parser.add_path(
        "--layout",
        "FILE.png",
        "GauGAN: use the middle square of this label map, a PNG or BMP in the colours of the "
        "classes or with their numbers (default: label maps not used in training)",
    )
    add_label_map_option(parser)
    parser.add_path(
        "--style",
        "FILE.jpg",
        "GauGAN: use the style of the middle square of this photo (default: random styles)",
    )
    parser.add_number(
        "--latent-scale", 0, 100, None, "GauGAN: multiply random latents by this (default: 1)"
    )


def choose(generator, arguments):
    """The label maps and latents that the command line asks for: `Inputs`.

    Without --layout, the label maps are from the validation facades of the generator's run. The
    picture has each label map, its photo if it has one, and the photo of --style beside the images.

    Raises UserError if a file is missing or damaged, if the facades are not those of the run any
    more, or if there are fewer than --count needs.
    """
    style, size, count = None, generator.label_shape[0], arguments.count
    if (count or 0) > MAX_IMAGES:
        raise UserError(f"--count {count} is more than {MAX_IMAGES}, the most for label maps")
    if arguments.style:
        style = middle_square(facades.read_photo(arguments.style), size, facades.SMOOTH)
        if not encoder_path(generator).is_file():
            raise UserError(
                f"--style needs the encoder of the run, and there is no {encoder_path(generator)}"
            )
    if arguments.layout:
        label_maps = read(generator, arguments.layout, arguments.layout_from)[np.newaxis]
        count = each = count or (1 if arguments.style else IMAGES_OF_OWN_MAP)
        photos = {}
    else:
        each = 1 if arguments.style else IMAGES_PER_MAP  # --style is a single latent
        photos, label_maps, count = _of_validation(generator, each, count)
        photos = {"photo": photos}

    pictures = {"label map": facades.colours(label_maps, class_colours(generator)), **photos}
    if style is not None:
        pictures["style"] = np.repeat(style[np.newaxis], len(label_maps), axis=0)
    titles = (*pictures, *["generated"] * each)
    columns = min(len(titles), 10)
    latents = draw_latents(generator, style, each, arguments)
    return Inputs(
        np.tile(latents, (len(label_maps), 1))[:count],
        np.repeat(label_maps, each, axis=0)[:count],
        columns,
        titles if len(titles) == columns else (),
        each=each,
        beside=np.stack([*pictures.values()], axis=1),
    )


def _of_validation(generator, each, count):
    """Photos and label maps for `count` images, `each` from a label map, and the count."""
    try:
        validation = real_images.load_validation_facades(generator)
    except UserError as problem:
        raise UserError(
            f"the run's facades cannot be read again: {problem}; "
            "draw a label map of your own with --layout FILE.png"
        ) from None
    n_maps, size = len(validation.label_maps), generator.label_shape[0]
    count = count or each * min(N_MAPS, n_maps)
    if count > each * n_maps:
        raise UserError(
            f"--count {count} is more than {each} for each of the {n_maps} validation facades"
        )
    # As in training: a square shows the piece of a facade that 256 pixels of the original show.
    some = facades.fit(validation.first(math.ceil(count / each)), size)
    return *facades.centre_crops(some, size), count


def read(generator, path, first=None):
    """Read the middle square of a label map of a generator's classes, scaled to its size.

    Args:
        generator: a `Generator` that takes label maps.
        path: the file.
        first: the number of the first class in it; None for that of the generator's training.

    Returns uint8 (H, W). Raises UserError if it is missing or damaged, or has other classes.
    """
    label_map = facades.read_label_map(
        path,
        generator.class_names,
        generator.numbered_from if first is None else first,
        class_colours(generator),
    )
    return middle_square(label_map, generator.label_shape[0], facades.NEAREST)


def encoder_path(generator):
    """The path of the encoder that was trained together with a generator."""
    return beside(generator.path, "encoder")


def load_encoder(generator):
    """Load the encoder of a generator. It maps an image to mean and log-variance of a latent.

    Raises UserError if the file is not a model, or is for other images or latents.
    """
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
    """Draw `count` latents with the seed of the command line.

    Without a style they are noise from N(0, 1), multiplied by --latent-scale. With a style, such
    noise is scaled and shifted to the distribution that the encoder computes from the photo, except
    that the first latent is the mean of that distribution.
    """
    noise = generator.random_latents(count, np.random.default_rng(arguments.seed))
    noise *= 1 if arguments.latent_scale is None else arguments.latent_scale
    if style is None:
        return noise
    photo = (style.astype("float32") - 127.5) / 127.5
    mean, log_variance = load_encoder(generator).predict_on_batch(photo[np.newaxis])
    noise[0] = 0
    return mean + np.exp(0.5 * log_variance) * noise
