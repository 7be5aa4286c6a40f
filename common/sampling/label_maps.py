"""Sampling a GauGAN: choosing label maps and latents, and drawing a picture of the results.

The user's files are read, and errors reported, before TensorFlow is imported, which takes seconds.
"""

import math
import sys
from typing import NamedTuple

from common import UserError
from common.arguments import add_label_map_option
from common.data import facades
from common.models import saved_models
from common.sampling import real_images

import numpy as np
from PIL import Image

# By default, 6 label maps of the validation set with 4 images each, or 8 images of one --layout.
N_MAPS, IMAGES_PER_MAP = 6, 4
IMAGES_OF_OWN_MAP = 8
MAX_IMAGES = 1000
MAX_DRAWN = 100  # images in the picture


class Subject(NamedTuple):
    """What to draw images from, in squares of the size of the images."""

    label_maps: np.ndarray  # uint8 (n, H, W)
    photos: np.ndarray | None  # their photos, uint8 (n, H, W, 3); None for the file of --layout
    style: np.ndarray | None  # the photo of --style, uint8 (H, W, 3)
    images_each: int  # images of each label map
    count: int  # images in all


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


def find_subject(generator, arguments):
    """Read the files of --layout and --style.

    Without --layout, the label maps are from the validation facades of the generator's run. Raises
    UserError if a file is missing or damaged, if the facades are not those of the run any more, or
    if there are fewer than --count needs.
    """
    style, size = None, generator.label_shape[0]
    if (arguments.count or 0) > MAX_IMAGES:
        raise UserError(
            f"--count {arguments.count} is more than {MAX_IMAGES}, the most for label maps"
        )
    if arguments.style:
        style = middle_square(facades.read_photo(arguments.style), size, facades.SMOOTH)
        if not encoder_path(generator).is_file():
            raise UserError(
                f"--style needs the encoder of the run, and there is no {encoder_path(generator)}"
            )
    if arguments.layout:
        own = read(generator, arguments.layout, arguments.layout_from)[np.newaxis]
        count = arguments.count or (1 if arguments.style else IMAGES_OF_OWN_MAP)
        return Subject(own, None, style, count, count)

    try:
        validation = real_images.load_validation_facades(generator)
    except UserError as problem:
        raise UserError(
            f"the run's facades cannot be read again: {problem}; "
            "draw a label map of your own with --layout FILE.png"
        ) from None
    n_maps = len(validation.label_maps)
    images_each = 1 if arguments.style else IMAGES_PER_MAP  # --style is a single latent
    count = arguments.count or images_each * min(N_MAPS, n_maps)
    if count > images_each * n_maps:
        raise UserError(
            f"--count {count} is more than {images_each} for each of the {n_maps} "
            "validation facades"
        )
    n_drawn = 1 if arguments.interpolate_latent else math.ceil(count / images_each)
    # As in training: a square shows the piece of a facade that 256 pixels of the original show.
    photos, label_maps = facades.centre_crops(facades.fit(validation.first(n_drawn), size), size)
    return Subject(label_maps, photos, style, images_each, count)


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
    return generator.path.with_name("encoder.keras")


def load_encoder(generator):
    """Load the encoder of a generator. It maps an image to mean and log-variance of a latent.

    Raises UserError if the file is not a model, or is for other images or latents.
    """
    path = encoder_path(generator)
    encoder = saved_models.load(path)
    image, latent = (None, *generator.image_shape), (None, *generator.latent_shape)
    inputs = [tuple(tensor.shape) for tensor in encoder.inputs]
    outputs = [tuple(tensor.shape) for tensor in encoder.outputs]
    if inputs != [image] or outputs != [latent, latent]:
        raise UserError(
            f"{path} is not an encoder for this generator: it maps {inputs} to {outputs}, "
            f"but must map {[image]} to {[latent, latent]}"
        )
    return encoder


def draw_label_maps(generator, subject, arguments):
    """Draw images from label maps, and write a picture of both.

    Each row has a label map, its photo if it has one, and the images drawn from it. Returns the
    images, float32 (count, H, W, 3) in [0, 1], those of the first label map first.
    """
    from common import plotting

    label_maps, _, _, images_each, count = subject
    latents = draw_latents(generator, subject.style, images_each, arguments)
    images = generator.draw(
        np.tile(latents, (len(label_maps), 1))[:count],
        np.repeat(label_maps, images_each, axis=0)[:count],
    )

    if count > MAX_DRAWN:
        print(f"generate.py: the picture shows the first {MAX_DRAWN} images", file=sys.stderr)
    references = {"label map": facades.colours(label_maps, class_colours(generator))}
    if subject.photos is not None:
        references["photo"] = subject.photos
    if subject.style is not None:
        references["style"] = np.repeat(subject.style[np.newaxis], len(label_maps), axis=0)
    cells = []
    for number, start in enumerate(range(0, min(count, MAX_DRAWN), images_each)):
        cells.extend(pictures[number].astype("float32") / 255 for pictures in references.values())
        cells.extend(images[start : min(start + images_each, MAX_DRAWN)])
    titles = (*references, *["generated"] * images_each)
    columns = min(len(titles), 10)
    titles = titles if len(titles) == columns else ()
    plotting.save_grid(np.stack(cells), arguments.out, columns, titles)
    return images


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
    if arguments.latent_scale is not None:
        noise *= arguments.latent_scale
    if style is None:
        return noise
    photo = (style.astype("float32") - 127.5) / 127.5
    mean, log_variance = load_encoder(generator).predict_on_batch(photo[np.newaxis])
    noise[0] = 0
    return mean + np.exp(0.5 * log_variance) * noise
