"""Building facades: photos, each with a label map of twelve classes (a layout).

    python -m common.data facades               # what is in it, and a picture of the first few
    python -m common.data facades --data drawn

A source is one of
    auto      the CMP base set from Keras's cache, or downloaded into it, or else drawn facades
              with a notice
    full      the CMP base set from Keras's cache, or downloaded into it, or else an error
    drawn     facades drawn by common/data/drawn_facades; never the network
    a path    the CMP archive, a folder of it, or a folder in the layout of the keras.io document
              on GauGAN (common/data/facade_files.py)

The CMP set is by Radim Tyleček and Radim Šára ("Spatial Pattern Templates for Recognition of
Objects with Regular Structure", GCPR 2013): 378 photos, straightened, up to 1024 pixels wide.
"""

import hashlib
import sys
from typing import NamedTuple

from common import UserError
from common.data import downloads, drawn_facades, facade_files
from common.data.facade_files import MOST_PIXELS_TOGETHER, N_CLASSES

import numpy as np
from PIL import Image

read_layout, read_photo = facade_files.read_layout, facade_files.read_photo

CLASS_NAMES = (
    "background",
    "facade",
    "window",
    "door",
    "cornice",
    "sill",
    "balcony",
    "blind",
    "deco",
    "molding",
    "pillar",
    "shop",
)
SOURCES = (
    "auto: the CMP facades from Keras's cache or a download, else drawn ones; full; drawn; "
    "or the path of the CMP archive or of a folder (default: auto)"
)

# The palette of the CMP's label maps.
_COLOURS = np.array(
    [
        (0, 0, 170),
        (0, 0, 255),
        (0, 85, 255),
        (0, 170, 255),
        (0, 255, 255),
        (85, 255, 170),
        (170, 255, 85),
        (255, 255, 0),
        (255, 170, 0),
        (255, 85, 0),
        (255, 0, 0),
        (170, 0, 0),
    ],
    "uint8",
)
_ARCHIVE = "CMP_facade_DB_base.zip"
_DOWNLOADS = "https://cmp.felk.cvut.cz/~tylecr1/facade/"


class Facades(NamedTuple):
    """Photos uint8 (H, W, 3), layouts uint8 (H, W) with classes 0 to 11, names; the source."""

    images: list
    layouts: list
    names: tuple
    source: str

    def first(self, n):
        """The first n facades, or all of them where n is None."""
        return Facades(self.images[:n], self.layouts[:n], self.names[:n], self.source)

    def sha256(self):
        """A digest of all pixels and labels, in hexadecimal digits."""
        digest = hashlib.sha256()
        for array in (*self.images, *self.layouts):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


def load_facades(source="auto"):
    """All facades of a source, in their own sizes.

    Returns `Facades`. Raises UserError, which names the file, if something is missing or damaged.
    """
    if source in ("auto", "full"):
        try:
            archive = downloads.fetch(_ARCHIVE, _DOWNLOADS + _ARCHIVE, "datasets")
            return Facades(*facade_files.read(archive), "full")
        except UserError as problem:
            if source == "full":
                raise
            print(f"Using drawn facades: {problem}", file=sys.stderr)
            source = "drawn"
    if source == "drawn":
        return Facades(*drawn_facades.draw_all(), "drawn")
    return Facades(*facade_files.read(source), str(source))


def split(facades, seed, n_batch=1):
    """Four fifths for training and the rest for validation, by a seed and the number of facades.

    Returns two `Facades`. Raises UserError if those for training do not fill a batch.
    """
    count = len(facades.images)
    check_count(count, n_batch, f"{count} facades from {facades.source}")
    shuffled = np.random.default_rng(seed).permutation(count)
    in_training, in_validation = np.split(shuffled, [count * 4 // 5])
    return _select(facades, np.sort(in_training)), _select(facades, np.sort(in_validation))


def check_count(count, n_batch, what):
    """Raise UserError, which calls them `what`, unless four fifths of the facades fill a batch."""
    if count * 4 // 5 < n_batch:
        raise UserError(
            f"of {what}, {count * 4 // 5} are for training: that does not fill one batch of "
            f"{n_batch}; give a smaller --batch-size"
        )


def _select(facades, chosen):
    images, layouts, names = ([values[i] for i in chosen] for values in facades[:3])
    return Facades(images, layouts, tuple(names), facades.source)


def fit(facades, image_size):
    """Scale photos and layouts so that square crops of `image_size` pixels fit into them.

    A crop then shows the same piece of a facade at every size: what 256 pixels show of the
    original. A facade that is smaller or narrower than that is scaled until it can be cropped.

    Returns `Facades`. Raises UserError if they would not fit into memory.
    """
    sizes = [_fitted_size(layout.shape, image_size) for layout in facades.layouts]
    pixels = sum(height * width for height, width in sizes)
    if pixels > MOST_PIXELS_TOGETHER:
        raise UserError(
            f"the facades from {facades.source} would have {pixels:,} pixels when scaled to "
            f"hold crops of {image_size}; at most {MOST_PIXELS_TOGETHER:,} are possible"
        )
    # Both kinds of resampling map the corners onto the corners, so nothing shifts.
    images = [
        _resize(image, size, Image.Resampling.HAMMING)
        for image, size in zip(facades.images, sizes, strict=True)
    ]
    layouts = [
        _resize(layout, size, Image.Resampling.NEAREST)
        for layout, size in zip(facades.layouts, sizes, strict=True)
    ]
    return Facades(images, layouts, facades.names, facades.source)


def _fitted_size(shape, image_size):
    scale = max(image_size / 256, image_size / min(shape))
    return tuple(max(image_size, round(side * scale)) for side in shape)


def _resize(array, size, resampling):
    if array.shape[:2] == size:
        return array
    return np.asarray(Image.fromarray(array).resize(size[::-1], resampling))


def random_crops(facades, chosen, image_size, rng):
    """Cut a square at a random place out of each chosen facade.

    Args:
        facades: `Facades` that fit `image_size`.
        chosen: their indices, n of them.
        image_size: height and width of a crop, pixels.
        rng: numpy Generator.

    Returns photos uint8 (n, image_size, image_size, 3), layouts uint8 (n, image_size, image_size).
    """
    corners = [
        [rng.integers(0, side - image_size + 1) for side in facades.layouts[i].shape]
        for i in chosen
    ]
    return _crops(facades, chosen, corners, image_size)


def centre_crops(facades, image_size):
    """Cut a square out of the middle of each facade; the result is that of `random_crops`."""
    corners = [[(side - image_size) // 2 for side in layout.shape] for layout in facades.layouts]
    return _crops(facades, range(len(corners)), corners, image_size)


def _crops(facades, chosen, corners, image_size):
    photos = np.empty((len(corners), image_size, image_size, 3), np.uint8)
    layouts = np.empty((len(corners), image_size, image_size), np.uint8)
    for number, (i, (top, left)) in enumerate(zip(chosen, corners, strict=True)):
        square = np.s_[top : top + image_size, left : left + image_size]
        photos[number], layouts[number] = facades.images[i][square], facades.layouts[i][square]
    return photos, layouts


def one_hot(layouts):
    """A channel for each class: float32 (..., 12) of integers 0 to 11."""
    return np.eye(N_CLASSES, dtype="float32")[layouts]


def colours(layouts):
    """Layouts in the CMP's colours: uint8 (..., 3) of integers 0 to 11."""
    return _COLOURS[layouts]


def side_by_side(facades, height=200, columns=3, gap=4):
    """Each layout in colours and its photo beside it, one picture: uint8 (H, W, 3) on white."""
    pairs = []
    for image, layout in zip(facades.images, facades.layouts, strict=True):
        size = (height, max(1, round(height * layout.shape[1] / layout.shape[0])))
        pairs += [
            colours(_resize(layout, size, Image.Resampling.NEAREST)),
            _resize(image, size, Image.Resampling.HAMMING),
        ]
    rows = [pairs[start : start + 2 * columns] for start in range(0, len(pairs), 2 * columns)]
    width = max(sum(picture.shape[1] + gap for picture in row) for row in rows) - gap
    canvas = np.full((len(rows) * (height + gap) - gap, width, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        top, left = number * (height + gap), 0
        for picture in row:
            canvas[top : top + height, left : left + picture.shape[1]] = picture
            left += picture.shape[1] + gap
    return canvas
