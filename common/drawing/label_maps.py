"""Painting layouts with a saved GauGAN: which layouts, from which latents, and the picture of it.

The files of a person are read, and mistakes reported, before TensorFlow is needed.
"""

import json
import math
import sys
from pathlib import Path
from typing import NamedTuple

from common import UserError
from common.data import facades

import numpy as np
from PIL import Image

LAYOUTS, EACH = 6, 4  # what is painted by default: so many layouts, so many times each
OF_ONE_LAYOUT = 8
MOST = 1000  # paintings; a picture shows the first hundred
MOST_DRAWN = 100
BATCH = 8  # 256 pixels take much memory on their way


class Subject(NamedTuple):
    """What is to be painted."""

    facades: facades.Facades  # own layouts have no photos
    is_own: bool
    style: np.ndarray | None  # a photo, uint8 (H, W, 3)


def add_options(parser):
    """Add the options that only a GauGAN has."""
    parser.add_argument(
        "--layout",
        type=Path,
        metavar="FILE.png",
        help="GauGAN: paint the middle square of this label map; palette or grey, values 0 to 11, "
        "or 1 to 12 as the CMP's (default: layouts that the training has not seen)",
    )
    parser.add_argument(
        "--style",
        type=Path,
        metavar="FILE.jpg",
        help="GauGAN: paint in the style of the middle square of this photo (default: any styles)",
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
    if (arguments.count or 0) > MOST:
        raise UserError(f"--count {arguments.count} is more than the {MOST} that GauGAN paints")
    if arguments.latent_scale is None:
        arguments.latent_scale = 1.0


def find_subject(model_path, arguments):
    """Read --layout and --style, or the validation facades of the run that the model comes from.

    Raises UserError if something is missing, damaged, or not what it was.
    """
    style = facades.read_photo(arguments.style) if arguments.style else None
    if style is not None and not encoder_path(model_path).is_file():
        raise UserError(
            f"--style needs the encoder of the run, and there is no {encoder_path(model_path)}"
        )
    if arguments.layout:
        layout = facades.read_layout(arguments.layout)
        own = facades.Facades([], [layout], (arguments.layout.stem,), str(arguments.layout))
        return Subject(own, True, style)

    validation = _validation_facades(model_path.with_name("run.json"))
    if arguments.count is None:
        arguments.count = min(LAYOUTS, len(validation.layouts)) * _each(arguments)
    n_layouts = 1 if arguments.interpolate_latent else math.ceil(arguments.count / _each(arguments))
    if n_layouts > len(validation.layouts):
        raise UserError(
            f"--count {arguments.count} is more than {_each(arguments)} for each of the "
            f"{len(validation.layouts)} validation layouts"
        )
    return Subject(validation.first(n_layouts), False, style)


def encoder_path(model_path):
    """Where the encoder that was trained with a generator is."""
    return model_path.with_name("encoder.keras")


def _each(arguments):
    """How often each layout is painted: a style is one latent."""
    if arguments.layout:
        return arguments.count
    return 1 if arguments.style else EACH


def _validation_facades(record_path):
    hint = "paint a label map of your own with --layout FILE.png"
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        source, sha256 = str(record["data"]["source"]), record["data"]["sha256"]
        limit, seed = record["arguments"]["limit"], int(record["arguments"]["seed"])
        limit = None if limit is None else int(limit)
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as problem:
        reason = (
            "is missing" if isinstance(problem, FileNotFoundError) else f"is damaged: {problem}"
        )
        raise UserError(f"{record_path}, which names the run's facades, {reason}; {hint}") from None
    try:
        all_facades = facades.load_facades(source).limited(limit, seed)
    except UserError as problem:
        raise UserError(f"the facades of the run are not to be had: {problem}; {hint}") from None
    if all_facades.sha256() != sha256:
        raise UserError(f"the facades from {source} are not those of the run any more; {hint}")
    return facades.split(all_facades, seed)[1]


def draw_paintings(generator, encoder, subject, arguments):
    """Paint, and write the picture: for each layout a row, with the photos and the paintings of it.

    `encoder` is None where there is no style. Returns the paintings, float32 (count, H, W, 3) in
    [0, 1], layout by layout.
    """
    from common import plotting

    size = generator.output_shape[1]
    photos, layouts = _squares(subject, size)
    each, count = _each(arguments), arguments.count
    latents = _draw_latents(generator, encoder, subject, each, arguments)
    images = paint(
        generator,
        np.tile(latents, (len(layouts), 1))[:count],
        np.repeat(layouts, each, axis=0)[:count],
    )

    if count > MOST_DRAWN:
        print(f"generate.py: the picture shows the first {MOST_DRAWN} images", file=sys.stderr)
    beside = {"layout": facades.colours(layouts)}
    if not subject.is_own:
        beside["photo"] = photos
    if subject.style is not None:
        style = middle_square(subject.style, size, Image.Resampling.HAMMING)
        beside["style"] = np.tile(style, (len(layouts), 1, 1, 1))
    cells = []
    for number, start in enumerate(range(0, min(count, MOST_DRAWN), each)):
        cells.extend(pictures[number].astype("float32") / 255 for pictures in beside.values())
        cells.extend(images[start : min(start + each, MOST_DRAWN)])
    titles = (*beside, *["painting"] * each)
    columns = min(len(titles), 10)
    titles = titles if len(titles) == columns else ()
    plotting.save_grid(np.stack(cells), arguments.out, columns, titles)
    return images


def paint_walk(generator, subject, arguments):
    """Paint one layout on the way from one random latent to another.

    Returns images, float32 (1, frames, H, W, 3) in [0, 1].
    """
    from common.drawing import interpolation

    _, layouts = _squares(subject, generator.output_shape[1])
    first, last = _draw_latents(generator, None, subject, 2, arguments)
    latents = interpolation.slerp(first, last, arguments.frames)
    return paint(generator, latents, np.repeat(layouts[:1], len(latents), axis=0))[np.newaxis]


def paint(generator, latents, layouts):
    """Paint (n, H, W) layouts, classes 0 to 11, from (n, latent_dim): float32 in [0, 1]."""
    images = np.empty((len(layouts), *generator.output_shape[1:]), "float32")
    for start in range(0, len(images), BATCH):
        batch = slice(start, start + BATCH)
        inputs = [latents[batch], facades.one_hot(layouts[batch])]
        images[batch] = (generator.predict_on_batch(inputs) + 1) / 2
    return images


def middle_square(array, size, resampling):
    """The largest square in the middle of a photo or a layout, scaled to `size` pixels."""
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(array[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size), resampling))


def _squares(subject, size):
    """Photos, if there are any, and layouts of the generator's size."""
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
    rng = np.random.default_rng(arguments.seed)
    latent_dim = generator.inputs[0].shape[1]
    noise = rng.standard_normal((count, latent_dim), dtype="float32") * arguments.latent_scale
    if subject.style is None:
        return noise
    style = middle_square(subject.style, encoder.input_shape[1], Image.Resampling.HAMMING)
    photo = (style.astype("float32") - 127.5) / 127.5
    mean, log_variance = encoder.predict_on_batch(photo[np.newaxis])
    noise[0] = 0
    return mean + np.exp(0.5 * log_variance) * noise
