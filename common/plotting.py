"""Pictures: grids of images, loss curves, animations. Only `show` needs a display."""

import contextlib
import functools
import math
import sys
import warnings

from common import MATPLOTLIB_BACKEND
from common.files import replacing

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import MaxNLocator
from PIL import Image

DOTS_PER_INCH = 100
QUALITY = {
    "label_accuracy": "label accuracy (1 is best)",
    "frechet_distance": "Fréchet distance (0 is best)",
    "pixel_accuracy": "pixel accuracy (1 is best)",
    "mean_iou": "mean IoU (1 is best)",
}


def save_grid(images, path, columns=10, titles=(), heading=""):
    """Write images (N, H, W, C) in [0, 1] into one picture, in rows.

    One channel is drawn in reversed grey, as the Fashion-MNIST tutorials do: dark clothes on white
    paper. Three are red, green and blue. `titles` are names for the columns, or (), and `heading`
    is a line at the top. `path` is a PNG, JPEG or WebP file, replaced in one step.
    """
    canvas = on_paper(tile(images, columns))
    # Enlarged by a whole number, so that no pixel becomes wider than its neighbour.
    enlarged = max(1, min(3, 256 // max(images.shape[1:3]), 4000 // max(canvas.shape[:2])))
    canvas = canvas.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    # Written by Pillow, since matplotlib's imshow takes some 250 MB for a thousand images.
    picture = np.concatenate([draw_header(canvas.shape[1], titles, heading), canvas])
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, quality=95)  # PNG ignores the quality


def spread(count, most=20):
    """Which of `count` classes to show: the numbers of at most `most`, spread over all."""
    return np.linspace(0, count - 1, min(count, most)).round().astype("int32")


def on_paper(pixels):
    """Convert (H, W, C) in [0, 1] to uint8 (H, W, 3), with grey reversed: dark on white."""
    pixels = np.rint(255 * pixels.clip(0, 1)).astype(np.uint8)
    return np.repeat(255 - pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def draw_header(width, titles=(), heading=""):
    """Draw a heading and a title for each column, black on white: uint8 (H, width, 3).

    What is too long for its place ends in "…". What no font here can write is drawn as a number,
    and a line on stderr says what it stands for.
    """
    height = (24 if titles else 0) + (30 if heading else 0)
    if not height:
        return np.empty((0, width, 3), np.uint8)
    dots = (width + 0.5, height + 0.5)  # matplotlib rounds them down
    figure = Figure([side / DOTS_PER_INCH for side in dots], DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    room = width / max(1, len(titles))
    lines = [((column + 0.5) * room, 8, 8, room, title) for column, title in enumerate(titles)]
    if heading:
        lines.append((0.5 * width, height - 20, 10, width, heading))
    without_font = {}
    with warnings.catch_warnings(action="ignore"):  # of fonts that lack a letter
        for number, (x, y, size, room, line) in enumerate(lines, start=1):
            font = _font_with("".join(sorted({*line} - {*" \t\n"})))
            if font is None:
                without_font[number], line = line, str(number)
            text = figure.text(x / width, y / height, line, ha="center", parse_math=False)
            text.set_font_properties(font_manager.FontProperties(fname=font))
            text.set_size(size)
            while line and text.get_window_extent().width > room - 4:
                line = line[: int(len(line) * (room - 4) / text.get_window_extent().width) - 1]
                text.set_text(f"{line}…")
        canvas.draw()
    if without_font:
        legend = ", ".join(f"{number} {line}" for number, line in without_font.items())
        print(f"No font of this machine has all letters of: {legend}", file=sys.stderr)
    return np.asarray(canvas.buffer_rgba())[..., :3]


@functools.cache
def _font_with(letters):
    """The path of a font with all of these letters: matplotlib's own, or else one of the system's.

    None if there is no such font.
    """
    others = sorted(font_manager.findSystemFonts(), key=lambda path: "Regular" not in path)
    for path in (font_manager.findfont("DejaVu Sans"), *others):
        with contextlib.suppress(RuntimeError, OSError):  # a font that matplotlib cannot read
            if set(map(ord, letters)) <= FT2Font(path).get_charmap().keys():
                return path
    return None


def tile(images, columns, gap=2):
    """Arrange (N, H, W, C) into one (rows * (H + gap), columns * (W + gap), C), padded white."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    white = 0 if channels == 1 else 1  # `save_grid` reverses grey
    cells = np.full((rows * columns, height + gap, width + gap, channels), white, images.dtype)
    cells[:count, gap // 2 : gap // 2 + height, gap // 2 : gap // 2 + width] = images
    cells = cells.reshape(rows, columns, *cells.shape[1:])
    return cells.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), channels)


def save_curves(rows, groups, path):
    """Plot `rows`, a dict of equally long lists, over the epochs, without those that are None.

    `groups` is a list of the names in each panel; `panels` gives those of losses. A panel with a
    figure of `QUALITY` begins at 0. Nothing is drawn if there are no groups.
    """
    if not groups:
        return
    columns = min(3, len(groups))
    n_rows = math.ceil(len(groups) / columns)
    size = (4.5 * columns, 3.2 * n_rows) if len(groups) > 1 else (8, 5)
    figure = Figure(size, DOTS_PER_INCH, layout="constrained")
    epochs = max(map(len, rows.values()))
    for number, names in enumerate(groups, start=1):
        axes = figure.add_subplot(n_rows, columns, number, xlabel="epoch", xlim=(0.5, epochs + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        for name in names:
            measured = [pair for pair in enumerate(rows[name], 1) if pair[1] is not None]
            axes.plot(*zip(*measured, strict=True), marker=".", label=name)
        if names[0] in QUALITY:
            axes.set_title(QUALITY[names[0]], fontsize=10)
            axes.set_ylim(bottom=0)
        else:
            axes.legend()
    save_figure(figure, path)


def panels(names):
    """Which curves share a panel: each loss NAME with its `val_NAME`, then all without a pair."""
    pairs = [[name, f"val_{name}"] for name in names if f"val_{name}" in names]
    others = [name for name in names if name not in sum(pairs, [])]
    return [*pairs, others] if others else pairs


def save_figure(figure, path):
    """Write a matplotlib figure as a PNG, replaced in one step."""
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def save_animation(sequences, path, frame_size, frames_per_second):
    """Write a GIF of image sequences that run side by side and repeat for ever.

    `sequences` are (sequences, frames, H, W, C) in [0, 1], shown `frame_size` pixels wide and high.
    """
    size = len(sequences) * frame_size, frame_size
    frames = [on_paper(np.concatenate(images, axis=1)) for images in sequences.swapaxes(0, 1)]
    frames = [Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR) for frame in frames]
    save_gif(frames, path, 1000 // frames_per_second)


def save_gif(frames, path, milliseconds):
    """Write PIL images to a GIF that repeats for ever. `milliseconds` are one number, or a list."""
    first, *others = frames
    with replacing(path) as temporary:
        first.save(temporary, save_all=True, append_images=others, duration=milliseconds, loop=0)


def use_backend_for_windows():
    """Let pyplot open windows, with the backend that MPLBACKEND names or one that it finds.

    Returns its name in lower case; it has no windows if there is no display. Raises ImportError or
    ValueError if the backend cannot be used.
    """
    from matplotlib import pyplot

    if MATPLOTLIB_BACKEND:
        matplotlib.use(MATPLOTLIB_BACKEND)
    pyplot.switch_backend(matplotlib.get_backend())
    return matplotlib.get_backend().lower()


def show(path):
    """Open a picture in a window and wait until it is closed. Without a display, say so instead."""
    from matplotlib import pyplot

    try:
        use_backend_for_windows()
    except (ImportError, ValueError) as problem:
        print(f"Cannot show {path}: MPLBACKEND={MATPLOTLIB_BACKEND}: {problem}", file=sys.stderr)
        return
    figure = pyplot.figure(layout="constrained")
    figure.add_subplot(frame_on=False, xticks=(), yticks=()).imshow(pyplot.imread(path))
    if figure.canvas.required_interactive_framework is None:
        print(f"There is no display to show {path} on.", file=sys.stderr)
    pyplot.show()
    pyplot.close(figure)
