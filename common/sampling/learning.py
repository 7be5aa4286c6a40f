"""An animation of the sample pictures of a run, which shows how the generator has learned."""

from common import UserError, plotting
from common.data.reading import reporting
from common.files import find_samples, sample_path

import numpy as np
from PIL import Image

MAX_FRAMES = 60
MAX_SIZE = (600, 800)  # width and height of a picture without its heading, pixels
LAST_FRAME_MILLISECONDS = 3000  # how long the last frame is shown


def draw(folder, path, frames_per_second):
    """Write a GIF of the sample pictures in a run folder, each with the number of its epoch.

    If there are more than 60 pictures, 60 are shown, most of them from the first epochs, when the
    images change most. Raises UserError if there are none, or if one of them cannot be read.
    """
    epochs = find_samples(folder)
    if not epochs:
        where = f"of a training run in {folder / 'samples'}"
        raise UserError(f"there are no sample pictures {where}: give a run of your own")
    chosen = [epochs[index] for index in log_spaced(len(epochs), MAX_FRAMES)]
    frames = [_frame(sample_path(folder, epoch), epoch) for epoch in chosen]
    milliseconds = [1000 // frames_per_second] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
    plotting.save_gif(frames, path, milliseconds)


def log_spaced(count, most):
    """At most `most` of the numbers 0 to count - 1, evenly spaced on a log scale if not all."""
    if count <= most:
        return list(range(count))
    return sorted({round(number) - 1 for number in np.geomspace(1, count, most)})


def _frame(path, epoch):
    """Read a sample picture, add a heading, and reduce its colours to those of a GIF palette."""
    with reporting(path), Image.open(path) as image:
        image = image.convert("RGB")
    image.thumbnail(MAX_SIZE, Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    is_grey = np.all(pixels == pixels[..., :1])
    heading = plotting.draw_header(image.width, heading=f"epoch {epoch}")
    frame = Image.fromarray(np.concatenate([heading, pixels]))
    return frame.quantize(32 if is_grey else 128, dither=Image.Dither.NONE)
