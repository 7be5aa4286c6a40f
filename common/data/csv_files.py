"""Reading images from a table: a row of numbers for each, as Kaggle has MNIST and its like."""

import math
import warnings

from common.data import memory

import numpy as np

_LABEL = ("label", "labels", "class", "target", "y")
_MAX_LINE = 1 << 22


def read(path):
    """Images (N, H, H) or (N, H, H, 3), uint8 or float32, and labels (N,) or None.

    The first line may name the columns. One of them is the label, a number or a name: the one that
    is called so, or the first where none has a name. The others are pixels, row by row.

    Raises ValueError for other tables.
    """
    # A pixel has two characters or more in the file, and at most four bytes in memory, for a while
    # twice.
    memory.check(4 * path.stat().st_size, path.name)
    with open(path, encoding="utf-8-sig", newline="") as file:
        names = [name.strip('" \r\n').casefold() for name in file.readline(_MAX_LINE).split(",")]
        has_names = not any(map(_is_number, names[1:]))
        label = next((i for i, name in enumerate(names) if name in _LABEL), None)
        if not has_names:
            file.seek(0)
            label = 0
        shape = _shape(len(names) - (label is not None))
        if shape is None:
            raise ValueError(
                f"it has {len(names)} columns, where a label and the pixels of a square image are "
                "expected: label,pixel0,pixel1,..."
            )
        pixels, labels = _numbers(file, label)
    if label is None:
        return pixels.reshape(-1, *shape), None
    pixels = np.delete(pixels, label, axis=1).reshape(-1, *shape)
    if all(map(_is_number, labels)):
        labels = list(map(float, labels))
    return pixels, np.array(labels)


def _numbers(file, label):
    """All columns as numbers, zeros for the label's, and the labels, which are texts."""
    beginning = file.tell()
    for dtype in (np.uint8, np.float32):
        file.seek(beginning)
        labels = []

        def keep(text, labels=labels):
            labels.append(text.strip())
            return 0

        options = {"delimiter": ",", "quotechar": '"', "ndmin": 2, "encoding": "utf-8"}
        options["converters"] = None if label is None else {label: keep}
        try:
            with warnings.catch_warnings(action="ignore"):  # where there are no rows
                return np.loadtxt(file, dtype, **options), labels
        except ValueError:
            if dtype == np.float32:
                raise


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _shape(count):
    """Of square images with so many numbers each, in grey or in colour, if there are such."""
    for channels in ((), (3,)):
        side = math.isqrt(count // math.prod(channels))
        if count and side * side * math.prod(channels) == count:
            return side, side, *channels
    return None
