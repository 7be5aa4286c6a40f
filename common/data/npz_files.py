"""Reading arrays from .npz files that cannot be trusted."""

import math
import zipfile

from common.data import memory
from common.data.reading import MissingPart, listed

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
    """Whether a zip file holds arrays and nothing else, whatever its name ends in."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_part(path, part):
    """Read one part of the data set in an .npz file.

    `part` is "train" or "test". Returns the arrays of images and of labels as they are in the file
    (None if there are no labels), and the class names, () if there are none. Raises MissingPart if
    the file holds no images of that part, and ValueError if it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = {
            name.removesuffix(".npy").casefold(): name.removesuffix(".npy")
            for name in archive.namelist()
        }
        for images, labels in NAMES[part]:
            if images in names:
                labels = read_array(archive, names[labels]) if labels in names else None
                classes = [names[name] for name in _CLASS_NAMES if name in names]
                classes = read_array(archive, classes[0]) if classes else np.array([])
                return read_array(archive, names[images]), labels, _texts(classes)
    raise MissingPart(
        f"it holds the arrays {listed(list(names.values()))}: name them x_train and y_train, "
        "or images and labels"
    )


def _texts(names):
    """Class names as a tuple of texts; () if the array holds numbers, which are not names."""
    names = names.ravel().tolist() if names.dtype.kind in "US" else ()
    return tuple(name.decode() if isinstance(name, bytes) else name for name in names)


def read_array(archive, name, max_bytes=None):
    """Read the array `name` from an open `zipfile.ZipFile`.

    The size in the header of the array is checked before memory is allocated. Nothing is unpickled,
    since a pickle can run any code.

    Raises ValueError if there is no such array, if it is damaged, if it holds Python objects, or if
    it is larger than `max_bytes` (by default the free memory).
    """
    member = f"{name}.npy"
    if member not in archive.namelist():
        raise ValueError(f"it holds no array {name!r}")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"{name} has format version {version}")
        held = archive.getinfo(member).file_size - file.tell()
    if dtype.hasobject:
        raise ValueError(
            f"{name} holds Python objects, which are not read: save an array of numbers"
        )
    max_bytes = memory.available() if max_bytes is None else max_bytes
    if math.prod(shape) * dtype.itemsize > max_bytes:
        raise ValueError(f"{name} claims to be {shape}, more than {max_bytes} bytes")
    if math.prod(shape) * dtype.itemsize != held:
        raise ValueError(f"{name} does not hold the {shape} values that its header promises")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
