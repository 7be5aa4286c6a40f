"""Photos of building facades with label maps of twelve classes, or your own photos.

    python -m common.data facades               # prints the classes, draws the first facades
    python -m common.data facades --data drawn  # those that come with this code

`SOURCES` lists the sources; `common/data/pairs.py` says how the files of one's own may be named.
The CMP set is by Radim Tyleček and Radim Šára ("Spatial Pattern Templates for Recognition of
Objects with Regular Structure", GCPR 2013): 378 photos, straightened, up to 1024 pixels wide.
"""

import hashlib
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from common import UserError
from common.data import datasets, label_map_files, pairs, pictures, reading
from common.data.label_map_files import CMP_COLOURS as COLOURS
from common.data.label_map_files import CMP_NAMES as CLASS_NAMES
from common.data.label_map_files import Classes
from common.data.label_map_files import distinct_colours as distinct_colours
from common.data.reading import expand, read_bytes, reporting

import numpy as np
from PIL import Image

N_CLASSES = len(CLASS_NAMES)
DRAWN = Path(__file__).parent / "samples/facades.zip"
SOURCES = (
    "auto: the CMP facades from Keras's cache or a download, else drawn ones; full; drawn; "
    "or the path of a folder or zip file of photos with label maps (default: auto)"
)
# Both map corners to corners, so a photo and its label map stay aligned.
SMOOTH, NEAREST = Image.Resampling.HAMMING, Image.Resampling.NEAREST
_ARCHIVE = "https://cmp.felk.cvut.cz/~tylecr1/facade/CMP_facade_DB_base.zip"


class Facades(NamedTuple):
    """Photos with label maps.

    Attributes:
        images: photos, uint8 (H, W, 3).
        label_maps: their label maps, uint8 (H, W), with classes 0 to K - 1.
        source: what was given to `load_facades`; for "auto" it is "full" or "drawn".
        class_names: the names of the K classes.
        colours: uint8 (K, 3), the colour in which a class is shown.
        numbered_from: 0 or 1, the number of the first class in the files; None if the label maps
            were read by their colours.
    """

    images: list
    label_maps: list
    source: str
    class_names: tuple = CLASS_NAMES
    colours: np.ndarray = COLOURS
    numbered_from: int | None = None

    def first(self, n):
        """The first n facades; all of them if n is None."""
        return self.chosen(range(len(self.images))[:n])

    def limited(self, count, seed):
        """`count` of the facades, chosen at random; all of them if `count` is None."""
        return self.chosen(datasets.choose(len(self.images), count, seed))

    def chosen(self, indices):
        """`Facades` with only those at these indices."""
        images, label_maps = ([values[i] for i in indices] for values in self[:2])
        return self._replace(images=images, label_maps=label_maps)

    def sha256(self):
        """The SHA-256 of photos and label_maps, hexadecimal: equal if two sets are the same."""
        digest = hashlib.sha256()
        for array in (*self.images, *self.label_maps):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


def load_facades(source="auto", first=None, pairs=None, limit=None, seed=0):
    """Load the facades of a source. They keep their sizes, but large ones are scaled down.

    Args:
        source: "auto", "full", "drawn", or a path.
        first: 0 or 1, the number of the first class, if the pixels of the user's own label maps are
            numbers of classes. None to guess it from the numbers.
        pairs: "left" or "right" if each picture holds its label map in that half; None to see.
        limit, seed: as `Facades.limited` chooses them, but before pictures are read.

    Returns `Facades`. A line on stderr says what was assumed, and which pictures were passed over.
    Raises UserError, which names the file, if something is missing or damaged, or if a photo and
    its label map do not match.
    """
    otherwise = "drawn facades", "give --data drawn, or the path of files"

    def read(path):
        return _read(path, "full", limit, seed)

    if found := datasets.read_cached(str(source), [_ARCHIVE], "datasets", read, *otherwise):
        return found
    if source in ("auto", "drawn"):
        return _read(DRAWN, "drawn", limit, seed)
    return _read(expand(source), str(source), limit, seed, first, pairs)


def _read(path, source, limit, seed, first=None, side=None):
    with reporting(path):
        if not path.exists():
            raise ValueError("no such file or folder: give auto, full, drawn or a path")
        with reading.opened(path) as folder:
            files, left_over = reading.files_in(folder)
            known = Classes(*pairs.read_classes(folder, files), first)
            found, remarks = pairs.find_pairs(folder, files, side is not None)
            found = [found[i] for i in datasets.choose(len(found), limit, seed)]
            said = set()
            photos, sizes = _read_photos(folder, [photo for photo, _ in found], said)
            contents = {}
            for number, (photo_file, map_file) in enumerate(found):
                with reporting(map_file):
                    if map_file == photo_file:
                        halves = label_map_files.halves(photos[number], known.colours, side)
                        photos[number], contents[map_file] = halves
                        continue
                    contents[map_file], size = label_map_files.decode(read_bytes(folder / map_file))
                    if size != sizes[number]:
                        both = "it is {} x {}, its photo {} x {}".format(*size, *sizes[number])
                        raise ValueError(both)
        label_maps, classes = label_map_files.to_classes(contents, known, remarks)
    remarks += sorted(said)
    if left_over:
        remarks.append(f"passed over: {reading.listed(left_over, max_shown=3)}")
    if len({value for one in label_maps for value in (one.min(), one.max())}) == 1:
        remarks.append("warning: all pixels of its label maps have the same class")
    if classes.names != CLASS_NAMES:
        remarks.insert(0, f"{len(classes.names)} classes: {reading.listed(classes.names)}")
    if remarks:
        print(f"{path}: {'; '.join(remarks)}", file=sys.stderr)
    return Facades(photos, label_maps, source, *classes)


def _read_photos(folder, files, remarks, white=65535):
    """Read photos. Returns a list of them, and one of their sizes (see `pictures.read_photo`)."""
    photos, sizes = [], []

    def read_one(file):
        return pictures.read_photo(read_bytes(folder / file), remarks, white)

    for photo, size in reading.read_all(read_one, files, "photos"):
        if not photos:  # the others are likely to be as large
            needed = len(files) * photo.nbytes * 4 // 3
            reading.check_memory(needed, f"{len(files):,} photos and label maps")
        photos.append(photo)
        sizes.append(size)
    if pictures.have_12_bits(photos, remarks):
        return _read_photos(folder, files, remarks, white=4095)
    return photos, sizes


def drawn_label_map(number):
    """The label map of one of the drawn facades, 1 to 320: uint8 (H, W), classes 0 to 11."""
    with zipfile.ZipFile(DRAWN) as archive, archive.open(f"drawn_{number:04d}.png") as file:
        return np.asarray(Image.open(file))  # its palette has the colours of the classes


def read_label_map(path, class_names=CLASS_NAMES, first=None, colours=COLOURS):
    """Read one label map for a generator. What had to be guessed is printed on stderr.

    The file is a PNG, BMP, GIF or TIFF. `class_names` and `colours`, uint8 (K, 3), are those of the
    generator's K classes; for `first` see `load_facades`. Returns uint8 (H, W), classes 0 to K - 1.
    Raises UserError if the file cannot be read, or has other classes.
    """
    path, known, remarks = expand(path), Classes(tuple(class_names), colours, first), []
    with reporting(path):
        contents = {path: label_map_files.decode(read_bytes(path))[0]}
    (label_map,), found = label_map_files.to_classes(contents, known, remarks, strict=False)
    if len(found.names) > len(class_names):
        raise UserError(f"cannot read {path}: label 255 is none of the classes")
    if remarks:
        print(f"{path}: {'; '.join(remarks)}", file=sys.stderr)
    return label_map


def read_photo(path):
    """Read one photo, turned upright: uint8 (H, W, 3). Raises UserError if it cannot be read."""
    path = expand(path)
    with reporting(path):
        return pictures.read_photo(read_bytes(path))[0]


def split(facades, seed, n_batch=1):
    """Split facades into four fifths for training and the rest for validation: two `Facades`.

    The split depends only on the seed and the number of facades. Raises UserError if those for
    training do not fill a batch of `n_batch`.
    """
    count = len(facades.images)
    check_count(count, n_batch, f"{count} facades from {facades.source}")
    shuffled = np.random.default_rng(seed).permutation(count)
    in_training, in_validation = np.split(shuffled, [count * 4 // 5])
    return facades.chosen(np.sort(in_training)), facades.chosen(np.sort(in_validation))


def check_count(count, n_batch, what):
    """Raise UserError unless four fifths of `count` facades fill a batch; `what` describes them."""
    if count * 4 // 5 < n_batch:
        too_few = f"of {what}, {count * 4 // 5} are for training"
        hint = "give a smaller --batch-size"
        raise UserError(f"{too_few}: these do not fill one batch of {n_batch}; {hint}")


def fit(facades, image_size):
    """Scale photos and label maps so that square crops of `image_size` pixels fit into them.

    A crop shows the same part of a facade, whatever `image_size` is: a square of 256 pixels of the
    original photo. If the shorter side of a photo is less than 256 pixels, a crop shows all of it.
    Returns `Facades`. Raises UserError if the scaled photos would not fit into memory.
    """
    sizes = []
    for label_map in facades.label_maps:
        scale = max(image_size / 256, image_size / min(label_map.shape))
        sizes.append(tuple(max(image_size, round(side * scale)) for side in label_map.shape))
    what = f"the facades from {facades.source}, scaled to hold crops of {image_size} pixels,"
    reading.check_memory(4 * sum(height * width for height, width in sizes), what)
    images = [_resize(*pair, SMOOTH) for pair in zip(facades.images, sizes, strict=True)]
    label_maps = [_resize(*pair, NEAREST) for pair in zip(facades.label_maps, sizes, strict=True)]
    return facades._replace(images=images, label_maps=label_maps)


def _resize(array, size, resampling):
    if array.shape[:2] == size:
        return array
    return np.asarray(Image.fromarray(array).resize(size[::-1], resampling))


def random_crops(facades, chosen, image_size, rng):
    """Cut a square at a random place out of each facade whose index is in `chosen`.

    `fit` has scaled the facades for crops of `image_size` pixels; `rng` is a numpy Generator.
    Returns photos, uint8 (n, size, size, 3), and label maps, uint8 (n, size, size).
    """
    corners = [
        [rng.integers(0, side - image_size + 1) for side in facades.label_maps[i].shape]
        for i in chosen
    ]
    return _crops(facades, chosen, corners, image_size)


def centre_crops(facades, image_size):
    """Cut a square out of the middle of each facade. Returns arrays like `random_crops`."""
    corners = [[(side - image_size) // 2 for side in one.shape] for one in facades.label_maps]
    return _crops(facades, range(len(corners)), corners, image_size)


def _crops(facades, chosen, corners, image_size):
    squares = [np.s_[top : top + image_size, left : left + image_size] for top, left in corners]
    return tuple(
        np.stack([arrays[i][square] for i, square in zip(chosen, squares, strict=True)])
        for arrays in (facades.images, facades.label_maps)
    )


def colours(label_maps, palette=COLOURS):
    """Replace class numbers 0 to K - 1 by the colours of a palette (K, 3): uint8 (..., 3)."""
    return np.asarray(palette, "uint8")[label_maps]


def to_inputs(photos, label_maps, palette=COLOURS):
    """Convert photos uint8 (n, H, W, 3) and label maps, integers (n, H, W), to inputs of networks.

    `palette` has the colour of each class, uint8 (K, 3). Returns three float32 arrays: photos in
    [-1, 1], label maps in colours in [-1, 1], and one-hot label maps.
    """
    pictures = photos, colours(label_maps, palette)
    images = [(pixels.astype("float32") - 127.5) / 127.5 for pixels in pictures]
    return [*images, np.eye(len(palette), dtype="float32")[label_maps]]
