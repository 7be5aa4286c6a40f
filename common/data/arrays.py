"""Reading arrays of images, labels and names of classes: .npz, .npy, IDX (MNIST's) and .csv files.

The name of an array of images says which are its labels, and of which part of a data set it is:
`x_test` belongs to `y_test`, and `t10k-images` to `t10k-labels`.
"""

import csv
import gzip
import math
import re
import warnings
import zipfile

from common.data.reading import check_memory, is_number, listed, reporting

import numpy as np

# What arrays of images and of labels are called. If a file has several, the first is taken.
_LABELS_OF = {"x": "y", "images": "labels", "data": "labels", "arr_0": "arr_1"}
_IMAGES = re.compile(r"(|.*[-._])(x|images|data|arr_0)(|_train|_test)")
_PARTS = {"train": ("train",), "test": ("test", "t10k")}
_CLASS_NAMES = ("class_names", "label_names", "classes")
# Such as train-images-idx3-ubyte.gz; some programs unpack it as train-images.idx3-ubyte.
_IDX_FILE = re.compile(r"(.*(?:images|labels))[-._]idx\d[-._]ubyte(\.gz)?")
_COLUMNS_OF_LABELS = ("label", "labels", "class", "target", "y")


def read(path, parts):
    """Read the arrays in a file, or in the files of a folder.

    Args:
        path: the `Path` of a file, or of a folder of .npy or IDX files, which may be in folders of
            their own. An .npy or IDX file is read with those beside it.
        parts: the parts to read if the data set is divided into parts: "train", "test" or both.

    Returns the images (the only array, whatever its name), the labels (None without any) and the
    names of the classes (() without any); None if there are no arrays of images. Raises ValueError
    if there are no images of the parts, or if a file cannot be read.
    """
    if path.suffix.lower() == ".csv" and path.is_file():
        return *_read_csv(path), ()
    arrays = _find(path)
    if len(arrays) == 1 and path.is_file():
        arrays = {"images": next(iter(arrays.values()))}
    sets = [name for name in arrays if _IMAGES.fullmatch(name)]
    if not sets and (path.is_dir() or not arrays):
        return None
    if not sets:
        hint = "name them x_train and y_train, or images and labels"
        raise ValueError(f"it holds the arrays {listed(list(arrays))}: {hint}")
    chosen = [name for part in parts if (name := _choose(sets, part))]
    if not chosen:
        raise ValueError("it holds no test part")
    of_labels = [_labels_of(name) for name in chosen]
    images = [arrays[name]() for name in chosen]
    labels = [arrays[name]() for name in of_labels if set(of_labels) <= arrays.keys()]
    images, labels = (
        np.concatenate(found) if len(found) > 1 else next(iter(found), None)
        for found in (images, labels)
    )
    names = next((arrays[name]().ravel() for name in _CLASS_NAMES if name in arrays), np.array(()))
    names = names.tolist() if names.dtype.kind in "US" else ()
    return images, labels, tuple(name if isinstance(name, str) else name.decode() for name in names)


def _find(path):
    """A dict of the arrays in a file or folder by name. Each is a function that reads it."""
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        if not all(name.endswith(".npy") for name in members):
            return {}
        return {name[:-4].casefold(): lambda name=name: _load(path, name) for name in members}
    own = None if path.is_dir() else _name_of(path)
    found = {}
    for folder in [path] if path.is_dir() else [path.parent, path.parent.parent] if own else []:
        # A plain file sorts before the same file with .gz, and is preferred.
        for file in [*sorted(folder.glob("*")), *sorted(folder.glob("*/*[iI][dD][xX]*"))]:
            name = _name_of(file)
            if name and (not own or _labels_of(name) == _labels_of(own)) and file.is_file():
                found.setdefault(name, lambda file=file: _load(file))
        if len(found) > 1 or path.suffix.lower() == ".npy":
            break
    return found


def _name_of(file):
    """The name of the array in an .npy or IDX file; None if it is another file."""
    match = _IDX_FILE.fullmatch(file.name.casefold())
    return match[1] if match else file.stem.casefold() if file.suffix.lower() == ".npy" else None


def _labels_of(name):
    """The name of the labels of the images of that name; the same name if these are no images."""
    match = _IMAGES.fullmatch(name)
    return f"{match[1]}{_LABELS_OF[match[2]]}{match[3]}" if match else name


def _choose(sets, part):
    """The name of the array of images of one part of a data set; None if it has no such part."""
    of_part = [name for name in sets if any(word in name for word in _PARTS[part])]
    if len(sets) == 1 or (part == "train" and not of_part):  # a single set is for training
        of_part = sets if part == "train" else []
    by_word = {word: [] for word in _LABELS_OF}
    for name in of_part:
        by_word[_IMAGES.fullmatch(name)[2]].append(name)
    chosen = next(filter(None, by_word.values()), [None])
    if len(chosen) > 1:
        hint = "give the file of one, or name its arrays x_train and y_train"
        raise ValueError(f"it holds several sets, {listed(chosen)}: {hint}")
    return chosen[0]


def _load(path, name=None):
    """The array in an .npy or IDX file, or that of the name in an .npz file."""
    with reporting(name or path.name):
        try:
            if name:
                with np.load(path) as arrays:
                    return arrays[name]
            return np.load(path) if path.suffix.lower() == ".npy" else _read_idx(path.read_bytes())
        except ValueError as problem:
            if "allow_pickle" not in str(problem):
                raise
            hint = "save numbers, or texts as np.array(texts, str)"
            raise ValueError(f"it holds Python objects, which are not read: {hint}") from None


def _read_idx(content):
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    # An IDX file begins with two zero bytes, an 8 for "unsigned bytes", and the number of
    # dimensions. The size of each dimension follows, in four bytes.
    if content[:3] != bytes((0, 0, 8)) or content[3:4] not in (b"\1", b"\3", b"\4"):
        raise ValueError("it is not an IDX file of bytes in 1, 3 or 4 dimensions")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    if len(content) - start != math.prod(shape):
        raise ValueError(f"it does not hold the {shape} values that its header promises")
    return np.frombuffer(content, "uint8", offset=start).reshape(shape)


def _read_csv(path):
    """Read images, one in a row, such as Kaggle's MNIST: (N, H * H) or (N, H, H, 3), and labels.

    If the first line names the columns, the labels are in the column called `label` or the like;
    without such a column there are no labels. If the columns have no names, the labels are in the
    first one. A label is a number or a name. A first column without a name, or called `index`, as
    pandas writes it, is left out. The other columns are the pixels, row by row.
    """
    check_memory(4 * path.stat().st_size, path.name)  # two numbers of four bytes for two characters
    with open(path, encoding="utf-8-sig", newline="") as file:
        line = file.readline()
        comma = ";" if ";" in line and "," not in line else ","  # as spreadsheets write it
        row = next(csv.reader([line], delimiter=comma), []) or [""]
        names = [name.strip().casefold() for name in row]
        label = next((i for i, name in enumerate(names) if name in _COLUMNS_OF_LABELS), None)
        unused = [0] if re.fullmatch("|index|id|unnamed.*", names[0]) and names[1:] else []
        if label is None and not unused and all(map(is_number, names[1:])):  # there are no names
            file.seek(0)
            label = 0
        unused += [label] if label is not None else []
        count = len(names) - len(unused)
        side = math.isqrt(count // 3)
        shape = (count,) if math.isqrt(count) ** 2 == count else (side, side, 3)
        if math.prod(shape) != count or count < 4:
            raise ValueError(
                f"it has {len(names)} columns, where a label and the pixels of a square image are "
                "expected, label,pixel0,pixel1,...: docs/own_images.md shows how to make an .npz"
            )
        labels = []
        keep = dict.fromkeys(unused, lambda _text: 0)
        if label is not None:
            keep[label] = lambda text: labels.append(text.strip()) or 0
        with warnings.catch_warnings(action="ignore"):  # numpy warns if there are no rows
            pixels = np.loadtxt(
                file, "float32", delimiter=comma, quotechar='"', ndmin=2, converters=keep
            )
    pixels = np.delete(pixels, unused, axis=1)
    labels = np.array([*map(float, labels)] if all(map(is_number, labels)) else labels)
    with np.errstate(invalid="ignore"):
        whole = pixels.astype("uint8")
    pixels = whole if (whole == pixels).all() else pixels
    return pixels.reshape(-1, *shape), None if label is None else labels
