"""Building facades: photos, each with a label map of twelve classes (a layout), or of your own.

    python -m common.data facades               # what is in it, and a picture of the first few
    python -m common.data facades --data drawn

A source is one of
    auto      the CMP base set from Keras's cache, or downloaded into it, or else drawn facades
              with a notice
    full      the CMP base set from Keras's cache, or downloaded into it, or else an error
    drawn     facades drawn by common/data/drawn_facades; never the network
    a path    the CMP archive, or a folder or zip file of any photos with label maps
              (common/data/facade_files.py says how they are named)

The CMP set is by Radim Tyleček and Radim Šára ("Spatial Pattern Templates for Recognition of
Objects with Regular Structure", GCPR 2013): 378 photos, straightened, up to 1024 pixels wide.
"""

import hashlib
import sys
from typing import NamedTuple

from common import UserError
from common.data import cmp_classes, datasets, downloads, drawn_facades, facade_files, memory
from common.data.cmp_classes import CLASS_NAMES, COLOURS
from common.data.facade_files import read_photo as read_photo
from common.data.reading import listed

import numpy as np
from PIL import Image

N_CLASSES = len(CLASS_NAMES)
PALETTE = COLOURS  # of the twelve classes
SOURCES = (
    "auto: the CMP facades from Keras's cache or a download, else drawn ones; full; drawn; "
    "or the path of a folder or zip file of photos with label maps (default: auto)"
)
_ARCHIVE = "CMP_facade_DB_base.zip"
_DOWNLOADS = "https://cmp.felk.cvut.cz/~tylecr1/facade/"


class Facades(NamedTuple):
    """Photos uint8 (H, W, 3), layouts uint8 (H, W) with classes 0 to K - 1, names; the source.

    Then the names of the K classes and their colours, uint8 (K, 3); and by which number in the
    files the first class goes, 0 or 1, or None where colours or nothing had to be read.
    """

    images: list
    layouts: list
    names: tuple
    source: str
    class_names: tuple = CLASS_NAMES
    colours: np.ndarray = cmp_classes.COLOURS
    numbered_from: int | None = None

    def first(self, n):
        """The first n facades, or all of them where n is None."""
        return self.chosen(range(len(self.images))[:n])

    def limited(self, count, seed):
        """The same with `count` of the facades, chosen by a seed; None, or too many, for all."""
        return self.chosen(datasets.choose(len(self.images), count, seed))

    def chosen(self, indices):
        """The facades that have these numbers."""
        images, layouts, names = ([values[i] for i in indices] for values in self[:3])
        return self._replace(images=images, layouts=layouts, names=tuple(names))

    def sha256(self):
        """A digest of all pixels and labels, in hexadecimal digits."""
        digest = hashlib.sha256()
        for array in (*self.images, *self.layouts):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


def load_facades(source="auto", first=None):
    """All facades of a source, in their own sizes, unless those are large.

    `first` is 0 or 1, the number of the first class in label maps of one's own that are read by
    their numbers; None to find out, with a notice where it cannot be known.

    Returns `Facades`. Raises UserError, which names the file, if something is missing or damaged.
    """
    if source in ("auto", "full"):
        try:
            return downloads.read_cached(
                [_DOWNLOADS + _ARCHIVE], "datasets", lambda path: _read(path, "full", first)
            )
        except UserError as problem:
            if source == "full":
                raise
            print(f"Using drawn facades: {problem}", file=sys.stderr)
            source = "drawn"
    if source == "drawn":
        return Facades(*drawn_facades.draw_all(), "drawn")
    return _read(source, str(source), first)


def _read(path, source, first):
    photos, layouts, names, classes, assumed = facade_files.read(path, first)
    if classes.names != CLASS_NAMES:
        assumed = [f"{len(classes.names)} classes: {listed(classes.names)}", *assumed]
    if assumed:
        print(f"{path}: {'; '.join(assumed)}", file=sys.stderr)
    return Facades(photos, layouts, names, source, *classes)


def read_layout(path, class_names=CLASS_NAMES, first=None, colours=None):
    """Read one label map: its classes by the colours where these are known, else by numbers.

    Args:
        path: of a PNG or BMP (common/data/label_map_files.py says which).
        class_names: of the generator that it is for.
        first: 0 or 1, the number of the first class; None to find out, with a notice where it
            cannot be known: a map without any 0 is taken to be numbered from 1, as the CMP's, all
            of which hold background.
        colours: of the classes, uint8 (K, 3); None for the CMP's, if the classes are.

    Returns uint8 (H, W), classes 0 to K - 1. Raises UserError.
    """
    if colours is None and tuple(class_names) == CLASS_NAMES:
        colours = cmp_classes.COLOURS
    layout, assumed = facade_files.read_layout(path, class_names, colours, first)
    if assumed:
        print(f"{path}: {'; '.join(assumed)}", file=sys.stderr)
    return layout


def split(facades, seed, n_batch=1):
    """Four fifths for training and the rest for validation, by a seed and the number of facades.

    Returns two `Facades`. Raises UserError if those for training do not fill a batch.
    """
    count = len(facades.images)
    check_count(count, n_batch, f"{count} facades from {facades.source}")
    shuffled = np.random.default_rng(seed).permutation(count)
    in_training, in_validation = np.split(shuffled, [count * 4 // 5])
    return facades.chosen(np.sort(in_training)), facades.chosen(np.sort(in_validation))


def check_count(count, n_batch, what):
    """Raise UserError, which calls them `what`, unless four fifths of the facades fill a batch."""
    if count * 4 // 5 < n_batch:
        raise UserError(
            f"of {what}, {count * 4 // 5} are for training: that does not fill one batch of "
            f"{n_batch}; give a smaller --batch-size"
        )


def fit(facades, image_size):
    """Scale photos and layouts so that square crops of `image_size` pixels fit into them.

    A crop then shows the same piece of a facade at every size: what 256 pixels show of the
    original. A facade that is smaller or narrower than that is scaled until it can be cropped.

    Returns `Facades`. Raises UserError if they would not fit into memory.
    """
    sizes = [_fitted_size(layout.shape, image_size) for layout in facades.layouts]
    memory.check(
        4 * sum(height * width for height, width in sizes),
        f"the facades from {facades.source}, scaled to hold crops of {image_size} pixels,",
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
    return facades._replace(images=images, layouts=layouts)


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


def one_hot(layouts, n_classes=N_CLASSES):
    """A channel for each class: float32 (..., K) of integers 0 to K - 1."""
    return np.eye(n_classes, dtype="float32")[layouts]


def colours(layouts, palette=cmp_classes.COLOURS):
    """Layouts in colours: uint8 (..., 3) of integers 0 to K - 1; the palette is (K, 3)."""
    return np.asarray(palette, "uint8")[layouts]


def to_inputs(photos, layouts, palette=PALETTE):
    """Scale photos uint8 (n, H, W, 3), and encode label maps, integers (n, H, W), for networks.

    `palette` has the colour of each class, uint8 (classes, 3). Returns photos and label maps in
    colours, both in [-1, 1], and label maps one-hot; all float32.
    """
    pictures = photos, colours(layouts, palette)
    images = [(pixels.astype("float32") - 127.5) / 127.5 for pixels in pictures]
    return [*images, one_hot(layouts, len(palette))]


def side_by_side(facades, height=200, columns=3, gap=4):
    """Each layout in colours and its photo beside it, one picture: uint8 (H, W, 3) on white."""
    pairs = []
    for image, layout in zip(facades.images, facades.layouts, strict=True):
        size = (height, max(1, round(height * layout.shape[1] / layout.shape[0])))
        pairs += [
            colours(_resize(layout, size, Image.Resampling.NEAREST), facades.colours),
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
