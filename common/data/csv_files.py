"""Reading images from a CSV table with one row per image, such as Kaggle's version of MNIST."""

import math
import warnings

from common.data import memory

import numpy as np

_LABEL_COLUMNS = ("label", "labels", "class", "target", "y")
_MAX_LINE = 1 << 22


def read(path):
    """Read images, (N, H, H) or (N, H, H, 3), uint8 or float32, and labels, (N,) or None.

    If the first line names the columns, the labels are in the column called `label` or the like;
    without such a column there are no labels. If the columns have no names, the labels are in the
    first one. A label is a number or a name. The other columns are the pixels, row by row.

    Raises ValueError if the table has another form.
    """
    # A pixel takes at least two characters in the file. In memory it takes at most four bytes, and
    # for a while there are two copies.
    memory.check(4 * path.stat().st_size, path.name)
    with open(path, encoding="utf-8-sig", newline="") as file:
        names = [name.strip('" \r\n').casefold() for name in file.readline(_MAX_LINE).split(",")]
        label = next((i for i, name in enumerate(names) if name in _LABEL_COLUMNS), None)
        has_names = label is not None or not any(map(_is_number, names[1:]))
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
    """Read all columns as numbers, and the labels as texts.

    In the array of numbers, the column of the labels holds zeros.
    """
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
            with warnings.catch_warnings(action="ignore"):  # numpy warns if there are no rows
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
    """The shape of a square image of `count` numbers, grey or in colour; None if there is none."""
    for channels in ((), (3,)):
        side = math.isqrt(count // math.prod(channels))
        if count and side * side * math.prod(channels) == count:
            return side, side, *channels
    return None
