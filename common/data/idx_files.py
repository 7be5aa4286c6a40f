"""Reading IDX files, the format of http://yann.lecun.com/exdb/mnist, plain or gzipped."""

import gzip
import math
import re

from common.data import memory
from common.data.reading import MissingPart, beginning, reporting

import numpy as np

# Such as train-images-idx3-ubyte.gz; some programs unpack it as train-images.idx3-ubyte, or into
# a folder of its own.
_NAME = re.compile(r"(?:[^/]*/)?([^/]*?)(images|labels)[-._]idx\d[-._]ubyte(\.gz)?", re.IGNORECASE)
_PARTS = {"train": ("train",), "test": ("t10k", "test")}


def find(files):
    """Find the IDX files among names of files, at most one folder deep.

    Returns a dict by the beginning of the name, such as `train-`, and `images` or `labels`. Of a
    plain file and the same file with .gz, which comes later in the order of names, the plain one.
    """
    found = {}
    for name in files:
        if match := _NAME.fullmatch(name):
            found.setdefault((match[1].casefold(), match[2].casefold()), name)
    return found


def find_beside(path):
    """Find the other file of an IDX file, which may be in a folder beside its own.

    Returns the folder that they have in common, and a dict like that of `find`.
    """
    ((start, _),) = find([path.name])
    for folder in (path.parent, path.parent.parent):
        paths = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)]
        names = sorted(path.relative_to(folder).as_posix() for path in paths if path.is_file())
        found = {key: name for key, name in find(names).items() if key[0] == start}
        if len(found) == 2:
            break
    return folder, found


def read_part(folder, found, part):
    """Read one part of a data set of the IDX files that `find` has found in a folder.

    `part` is "train" or "test". Returns images, labels (or None), and (), since IDX files hold no
    class names. Raises MissingPart if there are no images of that part, and ValueError if the files
    are damaged.
    """
    starts = sorted({start for start, _ in found})
    if len(starts) > 1 or part != "train":  # a single set is for training, whatever its name
        words = _PARTS[part] if len(starts) > 1 else ()
        starts = [start for start in starts if any(word in start for word in words)]
    if not starts:
        raise MissingPart(f"it holds no {_PARTS[part][0]}-images-idx3-ubyte, plain or .gz")
    if len(starts) > 1:
        files = [found[start, "images"] for start in starts if (start, "images") in found]
        raise ValueError(f"it holds several sets: name {' or '.join(files)}")
    if (starts[0], "images") not in found:
        raise ValueError(f"there is no {starts[0]}images-idx3-ubyte, plain or .gz")
    images, labels = found[starts[0], "images"], found.get((starts[0], "labels"))
    return _read(folder / images, (3, 4)), labels and _read(folder / labels, (1,)), ()


def _read(path, dimensions):
    is_zipped = beginning(path, 2) == b"\x1f\x8b"  # whatever its name ends in
    with reporting(path.name), (gzip.open if is_zipped else open)(path, "rb") as file:
        start = file.read(4)
        # An IDX file begins with two zero bytes, an 8 for "unsigned bytes", and the number of
        # dimensions. The size of each dimension follows, in four bytes.
        if start[:3] != bytes((0, 0, 8)) or start[3:] not in map(bytes, zip(dimensions)):
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
