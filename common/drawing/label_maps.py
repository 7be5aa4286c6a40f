"""Sampling a GauGAN: choosing label maps and latents, and drawing a picture of the results.

The user's files are read, and errors reported, before TensorFlow is imported, which takes seconds.
"""

import json
import math
import sys
from typing import NamedTuple

from common import UserError
from common.arguments import add_label_map_option, path_of
from common.data import facades
from common.models import saved_models

import numpy as np
from PIL import Image

# By default, 6 label maps of the validation set with 4 images each, or 8 images of one --layout.
N_LAYOUTS, IMAGES_PER_LAYOUT = 6, 4
IMAGES_OF_OWN_LAYOUT = 8
MAX_IMAGES = 1000
MAX_DRAWN = 100  # images in the picture


class Subject(NamedTuple):
    """The label maps to draw images from, and the photo whose style the images are to have."""

    facades: facades.Facades
    from_user: bool  # the label map is the file of --layout, and has no photo
    style: np.ndarray | None  # the photo of --style, uint8 (H, W, 3)


def add_options(parser):
    """Add the options for generators that take label maps."""
    parser.add_argument(
        "--layout",
        type=path_of,
        metavar="FILE.png",
        help="GauGAN: use the middle square of this label map, a PNG or BMP in the colours of the "
        "classes or with their numbers (default: label maps not used in training)",
    )
    add_label_map_option(parser)
    parser.add_argument(
        "--style",
        type=path_of,
        metavar="FILE.jpg",
        help="GauGAN: use the style of the middle square of this photo (default: random styles)",
    )
    parser.add_number(
        "--latent-scale", 0, 100, None, "GauGAN: multiply random latents by this (default: 1)"
    )


def check_options(arguments):
    """Fill in the defaults. Raises UserError for options that contradict each other."""
    if arguments.interpolate_latent and arguments.style:
        raise UserError("--interpolate-latent is between two random latents: leave out --style")
    if arguments.count is None and arguments.layout:
        arguments.count = 1 if arguments.style else IMAGES_OF_OWN_LAYOUT
    if (arguments.count or 0) > MAX_IMAGES:
        raise UserError(
            f"--count {arguments.count} is more than {MAX_IMAGES}, the most for label maps"
        )
    if arguments.latent_scale is None:
        arguments.latent_scale = 1.0


def find_subject(generator, arguments):
    """Read the files of --layout and --style.

    Without --layout, the label maps are from the validation facades of the generator's run. Raises
    UserError if a file is missing or damaged, or if the facades are not those of the run any more.
    """
    style = facades.read_photo(arguments.style) if arguments.style else None
    if style is not None and not encoder_path(generator).is_file():
        raise UserError(
            f"--style needs the encoder of the run, and there is no {encoder_path(generator)}"
        )
    if arguments.layout:
        layout = read_layout(generator, arguments.layout, arguments.layout_from)
        dataset = facades.Facades([], [layout], (arguments.layout.stem,), str(arguments.layout))
        return Subject(dataset, True, style)

    validation = validation_facades(generator.path.with_name("run.json"))
    images_each = _images_per_layout(arguments)
    if arguments.count is None:
        arguments.count = min(N_LAYOUTS, len(validation.layouts)) * images_each
    n_layouts = 1 if arguments.interpolate_latent else math.ceil(arguments.count / images_each)
    if n_layouts > len(validation.layouts):
        raise UserError(
            f"--count {arguments.count} is more than {images_each} for each of the "
            f"{len(validation.layouts)} validation facades"
        )
    return Subject(validation.first(n_layouts), False, style)


def read_layout(generator, path, first=None):
    """Read a label map of the classes of a generator: uint8 (H, W). Raises UserError.

    `first` is the number of the first class in it; None for that of the generator's training.
    """
    return facades.read_layout(
        path,
        generator.class_names,
        generator.numbered_from if first is None else first,
        np.array(generator.colours, "uint8") if generator.colours else None,
    )


def encoder_path(generator):
    """The path of the encoder that was trained together with a generator."""
    return generator.path.with_name("encoder.keras")


def load_encoder(path, generator):
    """Load the encoder of a generator. It maps an image to mean and log-variance of a latent.

    Raises UserError if the file is not a model, or is for other images or latents.
    """
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


def _images_per_layout(arguments):
    """How many images are drawn from each label map: one with --style, which is a single latent."""
    if arguments.layout:
        return arguments.count
    return 1 if arguments.style else IMAGES_PER_LAYOUT


def validation_facades(record_path):
    """The validation facades of a run. `record_path` is the path of its run.json.

    Raises UserError if the facades cannot be read any more, or have changed.
    """
    hint = "draw a label map of your own with --layout FILE.png"
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        source, sha256 = str(record["data"]["source"]), record["data"]["sha256"]
        limit, seed = record["arguments"]["limit"], int(record["arguments"]["seed"])
        limit = None if limit is None else int(limit)
        first = record["arguments"].get("layout-from")
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as problem:
        reason = (
            "is missing" if isinstance(problem, FileNotFoundError) else f"is damaged: {problem}"
        )
        raise UserError(f"{record_path}, which names the run's facades, {reason}; {hint}") from None
    try:
        all_facades = facades.load_facades(source, first).limited(limit, seed)
    except UserError as problem:
        raise UserError(f"the run's facades cannot be read again: {problem}; {hint}") from None
    if all_facades.sha256() != sha256:
        raise UserError(f"the facades from {source} are not those of the run any more; {hint}")
    return facades.split(all_facades, seed)[1]


def draw_label_maps(generator, encoder, subject, arguments):
    """Draw images from label maps, and write a picture of both.

    Each row has a label map, its photo if it has one, and the images drawn from it. `encoder` is
    None if there is no style. Returns the images, float32 (count, H, W, 3) in [0, 1], those of the
    first label map first.
    """
    from common import plotting

    size = generator.image_shape[0]
    photos, layouts = _squares(subject, size)
    images_each, count = _images_per_layout(arguments), arguments.count
    latents = _draw_latents(generator, encoder, subject, images_each, arguments)
    images = generator.draw(
        np.tile(latents, (len(layouts), 1))[:count], np.repeat(layouts, images_each, axis=0)[:count]
    )

    if count > MAX_DRAWN:
        print(f"generate.py: the picture shows the first {MAX_DRAWN} images", file=sys.stderr)
    references = {"label map": facades.colours(layouts, generator.colours or facades.PALETTE)}
    if not subject.from_user:
        references["photo"] = photos
    if subject.style is not None:
        style = middle_square(subject.style, size, Image.Resampling.HAMMING)
        references["style"] = np.tile(style, (len(layouts), 1, 1, 1))
    cells = []
    for number, start in enumerate(range(0, min(count, MAX_DRAWN), images_each)):
        cells.extend(pictures[number].astype("float32") / 255 for pictures in references.values())
        cells.extend(images[start : min(start + images_each, MAX_DRAWN)])
    titles = (*references, *["generated"] * images_each)
    columns = min(len(titles), 10)
    titles = titles if len(titles) == columns else ()
    plotting.save_grid(np.stack(cells), arguments.out, columns, titles)
    return images


def draw_walk(generator, subject, arguments):
    """Draw images of one label map, with latents between two random ones.

    Returns images, float32 (1, frames, H, W, 3) in [0, 1].
    """
    from common.drawing import interpolation

    _, layouts = _squares(subject, generator.image_shape[0])
    first, last = _draw_latents(generator, None, subject, 2, arguments)
    latents = interpolation.slerp(first, last, arguments.frames)
    return generator.draw(latents, np.repeat(layouts[:1], len(latents), axis=0))[np.newaxis]


def middle_square(array, size, resampling):
    """The largest square in the middle of a photo or a label map, scaled to `size` pixels."""
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(array[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size), resampling))


def _squares(subject, size):
    """Photos, if there are any, and label maps, as squares of `size` pixels."""
    if subject.from_user:
        layouts = [
            middle_square(layout, size, Image.Resampling.NEAREST)
            for layout in subject.facades.layouts
        ]
        return [], np.stack(layouts)
    # As in training: a square shows the piece of a facade that 256 pixels of the original show.
    return facades.centre_crops(facades.fit(subject.facades, size), size)


def _draw_latents(generator, encoder, subject, count, arguments):
    """Draw `count` latents.

    Without a style they are noise from N(0, 1), multiplied by --latent-scale. With a style, such
    noise is scaled and shifted to the distribution that the encoder computes from the photo, except
    that the first latent is the mean of that distribution.
    """
    noise = generator.random_latents(count, np.random.default_rng(arguments.seed))
    noise *= arguments.latent_scale
    if subject.style is None:
        return noise
    style = middle_square(subject.style, generator.image_shape[0], Image.Resampling.HAMMING)
    photo = (style.astype("float32") - 127.5) / 127.5
    mean, log_variance = encoder.predict_on_batch(photo[np.newaxis])
    noise[0] = 0
    return mean + np.exp(0.5 * log_variance) * noise
