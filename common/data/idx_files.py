"""Reading IDX files, the format of http://yann.lecun.com/exdb/mnist, plain or gzipped."""

import gzip
import math
import re

from common.data import memory
from common.data.reading import MissingPart, reporting

import numpy as np

# Such as train-images-idx3-ubyte.gz; some programs unpack it as train-images.idx3-ubyte.
_NAME = re.compile(r"(.*?)(images|labels)[-._]idx\d[-._]ubyte(\.gz)?", re.IGNORECASE)
_PARTS = {"train": ("train",), "test": ("t10k", "test")}


def is_idx(path):
    """Whether a path is the path of an IDX file, or of a folder that holds IDX files."""
    return bool(find(path)) if path.is_dir() else bool(_NAME.fullmatch(path.name))


def find(folder):
    """Find the IDX files in a folder and in the folders inside it.

    Returns a dict by the beginning of the name, such as `train-`, and `images` or `labels`.
    """
    found = {}
    outer = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    inner = [file for path in outer if path.is_dir() for file in sorted(path.iterdir())]
    for path in [*outer, *inner]:
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            # A plain file sorts before the same file with .gz, and is preferred.
            found.setdefault((match[1].casefold(), match[2].casefold()), path)
    return found


def read_part(path, part):
    """Read one part of a data set of IDX files.

    `path` is the folder of the files, or one of the files; `part` is "train" or "test". Returns
    images, labels (or None), and (), since IDX files hold no class names. Raises MissingPart if
    there are no images of that part, and ValueError if the files are damaged.
    """
    if path.is_file():
        beginning = _NAME.fullmatch(path.name)[1].casefold()
        found = find(path.parent)
        if len(found) < 2:  # images and labels may be in two folders
            found = find(path.parent.parent) | found
        if part != "train":  # a single file is read as the training part, whatever its name
            raise MissingPart(path)
    else:
        found = find(path)
        beginnings = sorted(
            {start for start, _ in found if any(name in start for name in _PARTS[part])}
        )
        if not beginnings:
            raise MissingPart(f"it holds no {_PARTS[part][0]}-images-idx3-ubyte, plain or .gz")
        if len(beginnings) > 1:
            files = " or ".join(found[key].name for key in sorted(found) if key[1] == "images")
            raise ValueError(f"it holds several sets: name {files}")
        beginning = beginnings[0]
    if (beginning, "images") not in found:
        raise ValueError(f"there is no {beginning}images-idx3-ubyte, plain or .gz")
    images, labels = found[beginning, "images"], found.get((beginning, "labels"))
    return _read(images, (3, 4)), None if labels is None else _read(labels, (1,)), ()


def _read(path, dimensions):
    with reporting(path.name), _open(path) as file:
        start = file.read(4)
        # An IDX file begins with two zero bytes, an 8 for "unsigned bytes", and the number of
        # dimensions. The size of each dimension follows, in four bytes.
        if len(start) < 4 or start[:3] != bytes((0, 0, 8)) or start[3] not in dimensions:
            wanted = " or ".join(map(str, dimensions))
            raise ValueError(f"it is not an IDX file of bytes in {wanted} dimensions")
        header = file.read(4 * start[3])
        if len(header) < 4 * start[3]:
            raise ValueError("it ends within its header")
        shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
        size = math.prod(shape)
        if size > (max_bytes := memory.available()):
            raise ValueError(f"it claims to be {shape}, more than the free {max_bytes} bytes")
        content = file.read(size)
        if len(content) < size or file.read(1):
            raise ValueError(f"it does not hold the {size} values that its header promises")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _open(path):
    """Open a file that may be gzipped, whatever its name ends in."""
    with open(path, "rb") as file:
        is_zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if is_zipped else open(path, "rb")
