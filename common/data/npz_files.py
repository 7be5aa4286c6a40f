"""Reading arrays from .npz files that nobody vouches for."""

import math
import zipfile

from common.data import memory
from common.data.reading import MissingPart, check_directory_size, listed

import numpy as np

# What people call images and labels, of the training part and of the test part.
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
    """Whether a file is a zip file of arrays, whatever its name."""
    check_directory_size(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_part(path, part):
    """Images, labels or None, and class names if there are any, as they are in an .npz file.

    `part` is "train" or "test". Raises MissingPart if it holds no images of that part, and
    ValueError if it is damaged.
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
    """Names as an array of texts or bytes has them; numbers are no names."""
    names = names.ravel().tolist() if names.dtype.kind in "US" else ()
    return tuple(name.decode() if isinstance(name, bytes) else name for name in names)


def read_array(archive, name, most_bytes=None):
    """Read the array `name` from an open `zipfile.ZipFile`.

    What the array's header promises is checked before anything is allocated or unpacked for it,
    and there is no pickle.

    Raises ValueError if there is none, or it is damaged, of Python objects, or greater than
    `most_bytes`, by default the memory that is free.
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
    most_bytes = memory.available() if most_bytes is None else most_bytes
    if math.prod(shape) * dtype.itemsize > most_bytes:
        raise ValueError(f"{name} claims to be {shape}, more than {most_bytes} bytes")
    if math.prod(shape) * dtype.itemsize != held:
        raise ValueError(f"{name} does not hold the {shape} values that its header promises")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
