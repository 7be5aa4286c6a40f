"""Sampling a GauGAN: which label maps, which latents, and the picture of both.

The files of a person are read, and mistakes reported, before TensorFlow is needed.
"""

import json
import math
import sys
from typing import NamedTuple

from common import UserError
from common.arguments import add_label_map_option, path_of
from common.data import facades

import numpy as np
from PIL import Image

LAYOUTS, EACH = 6, 4  # by default so many label maps are drawn, each so many times
OF_ONE_LAYOUT = 8
MAX_IMAGES = 1000
MAX_DRAWN = 100  # of these in the picture


class Subject(NamedTuple):
    """The label maps to draw, and the style to draw them in."""

    facades: facades.Facades  # a label map of one's own has no photo
    is_own: bool
    style: np.ndarray | None  # a photo, uint8 (H, W, 3)


def add_options(parser):
    """Add the options that are for generators which take label maps."""
    parser.add_argument(
        "--layout",
        type=path_of,
        metavar="FILE.png",
        help="GauGAN: draw the middle square of this label map, a PNG or BMP in the colours of the "
        "classes or with their numbers (default: label maps that the training has not seen)",
    )
    add_label_map_option(parser)
    parser.add_argument(
        "--style",
        type=path_of,
        metavar="FILE.jpg",
        help="GauGAN: draw in the style of the middle square of this photo (default: any styles)",
    )
    parser.add_number(
        "--latent-scale", 0, 100, None, "GauGAN: what random latents are multiplied by (default: 1)"
    )


def check_options(arguments):
    """Fill in the defaults. Raises UserError for options that do not go together."""
    if arguments.interpolate_latent and arguments.style:
        raise UserError("--interpolate-latent walks between random latents: leave out --style")
    if arguments.count is None and arguments.layout:
        arguments.count = 1 if arguments.style else OF_ONE_LAYOUT
    if (arguments.count or 0) > MAX_IMAGES:
        raise UserError(
            f"--count {arguments.count} is more than the {MAX_IMAGES} that are drawn of label maps"
        )
    if arguments.latent_scale is None:
        arguments.latent_scale = 1.0


def find_subject(generator, arguments):
    """Read --layout and --style, or the validation facades of the run that trained a generator.

    Raises UserError if something is missing, damaged, or not what it was.
    """
    style = facades.read_photo(arguments.style) if arguments.style else None
    if style is not None and not encoder_path(generator).is_file():
        raise UserError(
            f"--style needs the encoder of the run, and there is no {encoder_path(generator)}"
        )
    if arguments.layout:
        layout = facades.read_layout(
            arguments.layout,
            generator.class_names,
            arguments.layout_from,
            np.array(generator.colours, "uint8") if generator.colours else None,
        )
        own = facades.Facades([], [layout], (arguments.layout.stem,), str(arguments.layout))
        return Subject(own, True, style)

    validation = validation_facades(generator.path.with_name("run.json"))
    if arguments.count is None:
        arguments.count = min(LAYOUTS, len(validation.layouts)) * _each(arguments)
    n_layouts = 1 if arguments.interpolate_latent else math.ceil(arguments.count / _each(arguments))
    if n_layouts > len(validation.layouts):
        raise UserError(
            f"--count {arguments.count} is more than {_each(arguments)} for each of the "
            f"{len(validation.layouts)} validation facades"
        )
    return Subject(validation.first(n_layouts), False, style)


def encoder_path(generator):
    """Where the encoder that was trained with a generator is."""
    return generator.path.with_name("encoder.keras")


def _each(arguments):
    """How often each label map is drawn: a style is one latent."""
    if arguments.layout:
        return arguments.count
    return 1 if arguments.style else EACH


def validation_facades(record_path):
    """The facades that a run has kept for validation; `record_path` is that of its run.json.

    Raises UserError if they are not there any more.
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
    """Draw images and write their picture: a row for each label map, with its photo if it has one.

    `encoder` is None where there is no style. Returns the images, float32 (count, H, W, 3) in
    [0, 1], label map by label map.
    """
    from common import plotting

    size = generator.image_shape[0]
    photos, layouts = _squares(subject, size)
    each, count = _each(arguments), arguments.count
    latents = _draw_latents(generator, encoder, subject, each, arguments)
    images = generator.draw(
        np.tile(latents, (len(layouts), 1))[:count], np.repeat(layouts, each, axis=0)[:count]
    )

    if count > MAX_DRAWN:
        print(f"generate.py: the picture shows the first {MAX_DRAWN} images", file=sys.stderr)
    beside = {"label map": facades.colours(layouts, generator.colours or facades.PALETTE)}
    if not subject.is_own:
        beside["photo"] = photos
    if subject.style is not None:
        style = middle_square(subject.style, size, Image.Resampling.HAMMING)
        beside["style"] = np.tile(style, (len(layouts), 1, 1, 1))
    cells = []
    for number, start in enumerate(range(0, min(count, MAX_DRAWN), each)):
        cells.extend(pictures[number].astype("float32") / 255 for pictures in beside.values())
        cells.extend(images[start : min(start + each, MAX_DRAWN)])
    titles = (*beside, *["generated"] * each)
    columns = min(len(titles), 10)
    titles = titles if len(titles) == columns else ()
    plotting.save_grid(np.stack(cells), arguments.out, columns, titles)
    return images


def draw_walk(generator, subject, arguments):
    """Draw one label map on the way from one random latent to another.

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
    """Photos, if there are any, and label maps of the generator's size."""
    if subject.is_own:
        layouts = [
            middle_square(layout, size, Image.Resampling.NEAREST)
            for layout in subject.facades.layouts
        ]
        return [], np.stack(layouts)
    # As in training. There a facade shows no more than what 256 pixels of the original do.
    return facades.centre_crops(facades.fit(subject.facades, size), size)


def _draw_latents(generator, encoder, subject, count, arguments):
    """Latents from N(0, 1), or around the one that the encoder reads from the style.

    The first of those is the encoder's mean, the others are from its distribution. Random ones
    are multiplied by --latent-scale.
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
