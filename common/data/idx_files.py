"""Reading IDX files, the format of http://yann.lecun.com/exdb/mnist, plain or gzipped."""

import gzip
import math
import re

from common.data import memory
from common.data.reading import MissingPart, beginning, reporting

import numpy as np

# Such as train-images-idx3-ubyte.gz; some programs unpack it as train-images.idx3-ubyte.
_NAME = re.compile(r"(.*?)(images|labels)[-._]idx\d[-._]ubyte(\.gz)?", re.IGNORECASE)
_PARTS = {"train": ("train",), "test": ("t10k", "test")}


def find(path):
    """Find the IDX files in a folder and in the folders inside it.

    If `path` is itself an IDX file, the files of the same set are found, which may be in a folder
    beside its own. Returns a dict of paths by the beginning of the name, such as `train-`, and
    `images` or `labels`; {} if there are none.
    """
    is_folder, own = path.is_dir(), _NAME.fullmatch(path.name)
    found = {}
    for folder in [path] if is_folder else [path.parent, path.parent.parent] if own else []:
        # A plain file sorts before the same file with .gz, and is preferred.
        for file in [*sorted(folder.glob("*")), *sorted(folder.glob("*/*"))]:
            match = _NAME.fullmatch(file.name)
            if match and file.is_file() and (is_folder or match[1].lower() == own[1].lower()):
                found.setdefault((match[1].lower(), match[2].lower()), file)
        if len(found) > 1:
            break
    return found


def read_part(found, part):
    """Read one part of a data set of the IDX files that `find` has found.

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
        files = [found[start, "images"].name for start in starts if (start, "images") in found]
        raise ValueError(f"it holds several sets: name {' or '.join(files)}")
    if (starts[0], "images") not in found:
        raise ValueError(f"there is no {starts[0]}images-idx3-ubyte, plain or .gz")
    labels = found.get((starts[0], "labels"))
    return _read(found[starts[0], "images"], (3, 4)), labels and _read(labels, (1,)), ()


def _read(path, dimensions):
    is_zipped = beginning(path, 2) == b"\x1f\x8b"  # whatever its name ends in
    with reporting(path.name), (gzip.open if is_zipped else open)(path, "rb") as file:
        start = file.read(4)
        # An IDX file begins with two zero bytes, an 8 for "unsigned bytes", and the number of
        # dimensions. The size of each dimension follows, in four bytes.
        if len(start) < 4 or start[:3] != bytes((0, 0, 8)) or start[3] not in dimensions:
            wanted = " or ".join(map(str, dimensions))
            raise ValueError(f"it is not an IDX file of bytes in {wanted} dimensions")
        shape = np.frombuffer(file.read(4 * start[3]), ">u4").tolist()
        size = math.prod(shape)
        if size > (max_bytes := memory.available()):
            raise ValueError(f"it claims to be {shape}, more than the free {max_bytes} bytes")
        content = file.read(size)
        if len(shape) < start[3] or len(content) < size or file.read(1):
            raise ValueError(f"it does not hold the {size} values that its header promises")
    return np.frombuffer(content, np.uint8).reshape(shape)
