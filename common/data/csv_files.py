"""Reading CSV tables: of images, one in a row, such as Kaggle's version of MNIST, and of labels."""

import contextlib
import csv
import json
import math
import re
import warnings

from common.data import memory
from common.data.reading import read_bytes

import numpy as np

_LABEL_COLUMNS = ("label", "labels", "class", "target", "y")
_LABEL_WORDS = re.compile("label|class|categor|target|species|breed", re.IGNORECASE)
_MAX_LINE = 1 << 22


def read(path):
    """Read images, uint8 or float32 (N, H * H) or (N, H, H, 3), and labels, (N,) or None.

    If the first line names the columns, the labels are in the column called `label` or the like;
    without such a column there are no labels. If the columns have no names, the labels are in the
    first one. A label is a number or a name. The other columns are the pixels, row by row.

    Raises ValueError if the table has another form.
    """
    memory.check(4 * path.stat().st_size, path.name)  # two numbers of four bytes for two characters
    with open(path, encoding="utf-8-sig", newline="") as file:
        names = [name.strip('" \r\n').casefold() for name in file.readline(_MAX_LINE).split(",")]
        label = next((i for i, name in enumerate(names) if name in _LABEL_COLUMNS), None)
        if label is None and all(map(_is_number, names[1:])):  # the columns have no names
            file.seek(0)
            label = 0
        count = len(names) - (label is not None)
        shape = (
            (count,) if math.isqrt(count) ** 2 == count else (math.isqrt(count // 3),) * 2 + (3,)
        )
        if math.prod(shape) != count or count < 4:
            raise ValueError(
                f"it has {len(names)} columns, where a label and the pixels of a square image are "
                "expected, label,pixel0,pixel1,... with commas and no column of row numbers: "
                "docs/own_images.md shows how to make an .npz of other tables"
            )
        labels = []
        keep = {} if label is None else {label: lambda text: labels.append(text.strip()) or 0}
        with warnings.catch_warnings(action="ignore"):  # numpy warns if there are no rows
            pixels = np.loadtxt(
                file, "float32", delimiter=",", quotechar='"', ndmin=2, converters=keep
            )
    if label is not None:
        pixels = np.delete(pixels, label, axis=1)
        labels = np.array([*map(float, labels)] if all(map(_is_number, labels)) else labels)
    with np.errstate(invalid="ignore"):
        whole = pixels.astype("uint8")
    pixels = whole if (whole == pixels).all() else pixels
    return pixels.reshape(-1, *shape), None if label is None else labels


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def labels_beside(folder, files, pictures):
    """Find a table that says of which class the pictures are, such as labels.csv.

    It is a .csv or .tsv file in which one column names at least half of the pictures, with or
    without folder and suffix, or StyleGAN's dataset.json.

    `files` are the names of the files in the folder, and `pictures` those that need a label.
    Returns the name of the table and a dict of the label of each picture; None and {} without it.
    """
    tables = [name for name in files if name.casefold().endswith((".csv", ".tsv", "dataset.json"))]
    for table in tables:
        with contextlib.suppress(ValueError, TypeError, LookupError, csv.Error):  # of another kind
            labels = _labels(_rows(folder / table), pictures)
            if len(labels) >= len(pictures) / 2:
                return table, labels
    return None, {}


def _rows(path):
    text = read_bytes(path).decode("utf-8-sig", "replace")
    if path.suffix.casefold() == ".json":
        return [("file", "label"), *json.loads(text)["labels"]]
    head = text.partition("\n")[0]
    return list(csv.reader(text.splitlines(), delimiter=max(",;\t", key=head.count)))


def _labels(rows, pictures):
    places = {}
    for name in pictures:  # by the whole name, and by the last part without its suffix
        for key in {name, _stem(name)}:
            places[key] = None if key in places else name  # None if two have it
    columns = list(zip(*(row for row in rows if len(row) == len(rows[0])), strict=True))
    found = [
        [places.get(str(value)) or places.get(_stem(str(value))) for value in column]
        for column in columns
    ]
    of_files = max(range(len(columns)), key=lambda i: sum(map(bool, found[i])))
    # Of the columns with values that repeat, one called label or the like; words before numbers.
    label = min(
        (i for i, column in enumerate(columns) if len(set(column[1:])) <= len(column) / 2),
        key=lambda i: (not _LABEL_WORDS.search(rows[0][i]), all(map(_is_number, columns[i][1:]))),
    )
    pairs = zip(found[of_files], columns[label], strict=True)
    return {picture: str(value).strip() for picture, value in pairs if picture}


def _stem(name):
    return re.sub(r".*[\\/]|\.\w{1,4}$", "", name.strip().casefold())
