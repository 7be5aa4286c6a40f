"""Reading pictures in folders: which are meant, of which class each is, and their pixels."""

import contextlib
import csv
import json
import os
import re
from pathlib import PurePosixPath

from common.data import converting, pictures, reading
from common.data.reading import listed, natural_key

import numpy as np

GREY_SIZE, COLOUR_SIZE = 28, 32  # height and width in pixels, without --image-size
# Words in the names of the folders for the parts of a data set, such as seg_train or Testing.
_PARTS = {"train": {"train", "training"}}
_PARTS["test"] = {"test", "testing", "val", "valid", "validation", "dev"}
_LABEL_COLUMNS = re.compile("label|class|categor|target|species|breed", re.IGNORECASE)

# Files that may lie beside pictures. Every other file has to be a picture, or is an error.
_NO_PICTURES = re.compile(
    r"(.*/)?(README|LICEN[CS]E|COPYING|.*\.(3gp|aae|avi|cache|csv|db|docx?|gz|h5|html?|info|ini|ipynb"
    r"|json|lnk|log|m4v|mat|md|mkv|mov|mp4|np[yz]|parquet|pdf|pkl|pt|py|rst|tar|tsv|txt|url|xml|xmp"
    r"|ya?ml|zip))",
    re.IGNORECASE,
)


def read(folder, parts, labels_needed, choose, image_size=None, channels=None):
    """Read the pictures of a folder that holds a folder for each class, or a table of the classes.

    The folders of the classes may lie deeper: in outer folders, or in one for each part of the data
    set, such as `train` and `test`. A folder within the folder of a class belongs to the class.
    For the arguments see `own_images.read`.

    Returns the images, uint8 (N, H, H, C), class by class; an array of the names of the classes of
    all pictures, also of those that were not chosen, or None if there are no classes; and a list of
    remarks to be reported. Raises ValueError, which names the file, if a picture cannot be read.
    """
    files, left_over = reading.files_in(folder)
    places = {name: PurePosixPath(name).parts for name in files if not _NO_PICTURES.fullmatch(name)}
    places, remarks = _within(places, parts)
    classes = {  # names as texts that can be printed, even if their bytes are not UTF-8
        name: os.fsencode(place[0]).decode("utf-8", "replace") if place[1:] else None
        for name, place in places.items()
    }
    table, labels = _table_of_labels(folder, files, classes) if labels_needed else (None, {})
    if table:
        classes = labels
        remarks.append(f"the labels are those in {table}")
    loose = [name for name in classes if classes[name] is None]
    if len(loose) == len(classes) and (labels_needed or not loose):
        hint = "no folder of pictures for each class nor arrays of images"
        raise ValueError(
            f"it holds {len(loose) or 'no'} pictures, and {hint}{_hint(folder, files, loose)}"
        )
    if labels_needed:
        classes = {name: label for name, label in classes.items() if label is not None}
        if len(set(classes.values())) == 1 and (kinds := _kinds_in_names(classes)):
            remarks.append(f"their names tell kinds apart: make a folder for each of {kinds}")
    keys = {name: (natural_key(label or ""), natural_key(name)) for name, label in classes.items()}
    ordered = sorted(classes, key=keys.get)
    chosen = [ordered[i] for i in choose(len(ordered))]
    if len(chosen) < len(ordered):
        remarks.append(f"chosen from {len(ordered):,}")
    said = set()
    images = _read(folder, chosen, image_size, channels, said)
    remarks += sorted(said)
    if unused := [*left_over, *(name for name in files if name not in classes and name != table)]:
        remarks.append(f"passed over: {listed(unused, max_shown=3)}")
    labels = [classes[name] for name in ordered]
    return images, None if None in labels else np.array(labels), remarks


def _within(places, parts):
    """Cut off the outer folders, which are not classes, and drop the parts that are not wanted.

    Folders are those of parts if one is named after training and another after testing (whatever
    lies beside them), or if all are named after parts. Folders that all hold folders of the same
    names are outer ones, too. `places` is a dict of path components by file name. Returns another,
    and a list of remarks.
    """
    remarks = []
    while tops := sorted({place[0] for place in places.values() if place[1:]}, key=natural_key):
        words = {top: set(re.split(r"[^a-z]+", top.casefold())) for top in tops}
        part_of = {
            top: next((part for part in _PARTS if words[top] & _PARTS[part]), None) for top in tops
        }
        found, wanted = set(part_of.values()), tops
        if found >= set(_PARTS) or (len(tops) > 1 and None not in found):
            wanted = [top for top in tops if part_of[top] in parts]
            are = "is" if len(wanted) == 1 else "are"
            remarks.append(f"of the folders {listed(tops)}, {listed(wanted)} {are} used")
        else:
            inner = {place[:2] for place in places.values() if place[2:]}
            kinds, *others = ({name for outer, name in inner if outer == top} for top in tops)
            if len(kinds) < min(2, len(tops)) or any(other != kinds for other in others):
                break
            if others:
                remarks.append(f"the folders {listed(tops)} hold the same ones")
        if not wanted:
            raise ValueError(f"none of its parts {listed(tops)} is for {parts[0]}ing")
        places = {name: place[1:] for name, place in places.items() if place[0] in wanted}
    return places, remarks


def _hint(folder, files, loose):
    """What to do with a folder in which no picture has a class."""
    tables = [name for name in files if name.casefold().endswith((".npz", ".csv"))]
    for name in loose[:1] or files:
        if (kind := reading.kind_of(reading.beginning(folder / name))) and name not in tables:
            return f": {name} is {kind}"
    if tables:
        return f": give the file itself, {folder / min(tables)}"
    kinds = f" of {kinds}" if (kinds := _kinds_in_names(loose)) else ""
    return f": sort the pictures into a folder for each class{kinds}" if loose else ""


def _kinds_in_names(names):
    """A list of the words that names such as cat.0.jpg and dog.1.jpg begin with; "" if only one."""
    words = [re.match(r"[^\W\d_]*", PurePosixPath(name).name)[0] for name in names]
    kinds = sorted(set(words))
    return listed(kinds) if "" not in kinds and 1 < len(kinds) <= len(words) / 2 else ""


def _table_of_labels(folder, files, names):
    """Find a table that says of which class the pictures of these names are, such as labels.csv.

    It is a .csv or .tsv file in which one column names at least half of the pictures, with or
    without folder and suffix, or StyleGAN's dataset.json. Returns its name and a dict of the label
    of each picture; None and {} without it.
    """
    for table in files:
        if table.casefold().endswith((".csv", ".tsv", "dataset.json")):
            # A table of another kind has no such columns.
            with contextlib.suppress(ValueError, TypeError, LookupError, csv.Error):
                text = reading.read_bytes(folder / table).decode("utf-8-sig", "replace")
                labels = _labels_in(text, names)
                if len(labels) >= len(names) / 2:
                    return table, labels
    return None, {}


def _labels_in(text, names):
    """The labels in the text of a table, a dict by the names of the pictures."""
    head = text.partition("\n")[0]
    if text.lstrip().startswith("{"):
        rows = [("file", "label"), *json.loads(text)["labels"]]
    else:
        rows = csv.reader(text.splitlines(), delimiter=max(",;\t", key=head.count))
    head, *rows = ([str(value).strip() for value in row] for row in rows)
    columns = list(zip(*(row for row in rows if len(row) == len(head)), strict=True))
    places = {}
    for name in names:  # by the whole name, and by the last part without its suffix
        for key in {name, _stem(name)}:
            places[key] = None if key in places else name  # None if two have it
    found = [[places.get(value) or places.get(_stem(value)) for value in of] for of in columns]
    files = max(found, key=lambda column: sum(map(bool, column)))
    # Of the columns with values that repeat, one called label or the like; words before numbers.
    label = min(
        (i for i, column in enumerate(columns) if len(set(column)) <= len(rows) / 2),
        key=lambda i: (not _LABEL_COLUMNS.search(head[i]), all(map(reading.is_number, columns[i]))),
    )
    return {file: value for file, value in zip(files, columns[label], strict=True) if file}


def _stem(name):
    return re.sub(r".*[\\/]|\.\w{1,4}$", "", name.casefold())


def _read(folder, names, image_size, channels, remarks, white=65535):
    """Read pictures as images of one size. Adds to the set `remarks` what is to be reported.

    If `channels` is None, they are grey; at the first in colour, reading starts again, in colour.
    So it does if only 12 of 16 bits are in use, with the brightest value of these for white.
    """
    mode, size = ("RGB", COLOUR_SIZE) if channels == 3 else ("L", GREY_SIZE)
    size = image_size or size
    n_bytes = len(names) * size * size * (channels or 3)
    reading.check_memory(n_bytes, f"{len(names):,} images of {size} x {size}")
    images = np.empty((len(names), size, size, len(mode)), np.uint8)

    def read_one(name):
        picture = pictures.read_square(reading.read_bytes(folder / name), size, remarks, white)
        if channels is None and converting.is_coloured(np.asarray(picture.convert("RGB"))):
            return None
        return np.asarray(picture.convert(mode)).reshape(images.shape[1:])

    for number, image in enumerate(reading.read_all(read_one, names, "images")):
        if image is None:
            break
        images[number] = image
    else:
        if not pictures.have_12_bits(images, remarks):
            return images
        white = 4095
    return _read(folder, names, image_size, 3 if image is None else channels, remarks, white)
