"""Reading arrays from .npz and .npy files that cannot be trusted."""

import math
import zipfile

from common.data import memory
from common.data.reading import MissingPart, listed, reporting

import numpy as np

# Usual names of the arrays of images and of labels, in the training part and in the test part.
NAMES = {
    "train": (
        ("x_train", "y_train"),
        ("train_images", "train_labels"),
        ("images", "labels"),
        ("x", "y"),
        ("data", "labels"),
        ("arr_0", "arr_1"),
    ),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
_CLASS_NAMES = ("class_names", "label_names", "classes")


def is_npz(path):
    """Whether a file is a zip file that holds arrays and nothing else, whatever its name."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return {name[-4:] for name in archive.namelist()} == {".npy"}


def find_npy(path):
    """The path of an .npy file of images: `path` itself, or one in the folder; else None."""
    if path.is_dir():
        files = [path / f"{images}.npy" for images, _ in NAMES["train"]]
        return next((file for file in files if file.exists()), None)
    return path if path.suffix.lower() == ".npy" else None


def read_part(path, part):
    """Read one part of the data set in an .npz file.

    `part` is "train" or "test". Returns the arrays of images and of labels as they are in the file
    (None if there are no labels), and the class names, () if there are none. Raises MissingPart if
    the file holds no images of that part, and ValueError if it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        found = {name.casefold(): name for name in names}
        for images, labels in NAMES[part]:
            if images in found:
                labels = _read_array(archive, found[labels]) if labels in found else None
                classes = [found[name] for name in _CLASS_NAMES if name in found]
                classes = _read_array(archive, classes[0]) if classes else np.array([])
                return _read_array(archive, found[images]), labels, _texts(classes)
    raise MissingPart(
        f"it holds the arrays {listed(names)}: name them x_train and y_train, or images and labels"
    )


def read_npy(path):
    """Read the images in an .npy file, and the labels in the file beside it, if it is there.

    The files are named like the arrays in an .npz file. Returns what `read_part` returns.
    """
    labels = dict(NAMES["test"] + NAMES["train"]).get(path.stem.casefold())
    labels = path.with_name(f"{labels}.npy")
    with reporting(path.name):
        images = np.load(path, "r", allow_pickle=False)  # mapped, so no memory is taken
    with reporting(labels.name):
        return images, np.load(labels, "r", allow_pickle=False) if labels.exists() else None, ()


def _texts(names):
    """Class names as a tuple of texts; () if the array holds numbers, which are not names."""
    names = names.ravel().tolist() if names.dtype.kind in "US" else ()
    return tuple(name.decode() if isinstance(name, bytes) else name for name in names)


def _read_array(archive, name):
    """Read the array `name` from an open `zipfile.ZipFile`.

    The size in the header of the array is checked before memory is allocated. Nothing is unpickled,
    since a pickle can run any code.

    Raises ValueError if it is damaged, holds Python objects, or is larger than the free memory.
    """
    member = f"{name}.npy"
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has format version {version}")
        shape, _, dtype = getattr(np.lib.format, f"read_array_header_{version[0]}_0")(file)
        if dtype.hasobject:
            raise ValueError(
                f"{name} holds Python objects, which are not read: save numbers, or texts as "
                f"np.array({name}, str)"
            )
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > (max_bytes := memory.available()):
            raise ValueError(f"{name} claims to be {shape}, more than {max_bytes} bytes")
        if n_bytes != archive.getinfo(member).file_size - file.tell():
            raise ValueError(f"{name} does not hold the {shape} values that its header promises")
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
