"""An animation of how a generator has learned: the sample pictures of its run, epoch by epoch."""

from common import UserError, plotting
from common.files import find_samples, replacing, sample_path

import numpy as np
from PIL import Image

MOST_FRAMES = 60
LARGEST = (600, 800)  # width and height of a frame without its heading, pixels
LAST_FRAME = 3000  # is held so long, milliseconds


def draw(folder, path, frames_per_second):
    """Write a GIF of the pictures in a run folder, each with the number of its epoch.

    Of more than 60 pictures it shows 60, and of those more from the beginning, where the most
    happens. The last is held for three seconds.

    Raises UserError if there are no pictures, or if one cannot be read.
    """
    epochs = find_samples(folder)
    if not epochs:
        raise UserError(f"there are no pictures of a training in {folder / 'samples'}")
    chosen = [epochs[index] for index in spread(len(epochs), MOST_FRAMES)]
    first, *others = (_frame(sample_path(folder, epoch), epoch) for epoch in chosen)
    durations = [1000 // frames_per_second] * len(others) + [LAST_FRAME]
    with replacing(path) as beside:
        first.save(beside, save_all=True, append_images=others, duration=durations, loop=0)


def spread(count, most):
    """At most so many of the numbers 0 to count - 1: the first, the last, evenly on a log scale.

    Where that is less than one apart, at the beginning, it takes one after the other.
    """
    chosen = [1]
    while len(chosen) < min(count, most):
        ratio = (count / chosen[-1]) ** (1 / (most - len(chosen)))
        chosen.append(max(chosen[-1] + 1, round(chosen[-1] * ratio)))
    return [number - 1 for number in chosen]


def _frame(path, epoch):
    """A picture with its heading, in the few colours that a GIF has."""
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as problem:
        raise UserError(f"cannot read {path}: {problem}") from None
    image.thumbnail(LARGEST, Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    is_grey = np.all(pixels == pixels[..., :1])
    heading = plotting.draw_header(image.width, heading=f"epoch {epoch}")
    frame = Image.fromarray(np.concatenate([heading, pixels]))
    return frame.quantize(32 if is_grey else 128, dither=Image.Dither.NONE)
