"""Reading images from a folder, or from a zip file, that holds a folder for each class."""

import os
import re
import unicodedata
from pathlib import PurePosixPath

from common.data import memory, pictures, pixels
from common.data.reading import (
    files_in,
    listed,
    natural_key,
    opened,
    read_bytes,
    reporting,
    with_progress,
)

import numpy as np

GREY_SIZE, COLOUR_SIZE = 28, 32  # height and width in pixels, without --image-size
PARTS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}

# Files that may lie beside pictures, such as films and AAE files from a phone. Every other file has
# to be a picture, or is an error.
_NO_PICTURES = re.compile(
    r".*\.(3gp|aae|avi|csv|db|docx?|html?|info|ini|ipynb|json|lnk|log|m4v|mat|md|mkv|mov|mp4|np[yz]|pdf"
    r"|pkl|py|rst|tsv|txt|url|xml|xmp|ya?ml|zip)",
    re.IGNORECASE,
)


def read(path, parts, labels_needed, image_size=None, channels=None):
    """Read all pictures of a folder that holds a folder for each class.

    Pictures in subfolders of the folder of a class belong to that class. The folders of the classes
    may lie deeper: in a single outer folder, or in folders `train` and `test`.

    Args:
        path: the path of the folder or zip file.
        parts: the parts of the data set to read: "train", "test" or both.
        labels_needed: whether each picture must be in the folder of a class.
        image_size: height and width of the images in pixels. None for 28 if all pictures are grey,
            else 32.
        channels: 1 or 3; None for 1 if all pictures are grey, else 3.

    Returns the images, uint8 (N, H, H, C), class by class; an array of the N names of their
    classes, or None if there are no classes; and a list of remarks to be reported.

    Raises ValueError if a picture cannot be read; the text names the file.
    """
    with opened(path) as folder:
        files, left_over = files_in(folder)
        inside = {
            name: PurePosixPath(name).parts for name in files if not _NO_PICTURES.fullmatch(name)
        }
        inside = _within(inside, parts)
        classes = {
            name: _class_name(place[0]) if len(place) > 1 else None
            for name, place in inside.items()
        }
        loose = [name for name in classes if classes[name] is None]
        if len(loose) == len(classes) and (labels_needed or not loose):
            tables = [name for name in files if name.casefold().endswith((".npz", ".csv"))]
            hint = f": give the file itself, {path / min(tables)}" if tables else ""
            if loose and not tables:
                hint = ": sort the pictures into a folder for each class"
            raise ValueError(
                f"it holds {len(loose) or 'no'} pictures, and no folder of pictures for each class "
                f"nor IDX files{hint}"
            )
        if labels_needed:
            classes = {name: label for name, label in classes.items() if label is not None}
            loose = []
        ordered = sorted(
            classes, key=lambda name: (natural_key(classes[name] or ""), natural_key(name))
        )
        images = _read_all(folder, ordered, image_size, channels)
        left_out = sorted({*files, *left_over} - set(classes), key=natural_key)
    done = [f"passed over: {listed(left_out, max_shown=3)}"] if left_out else []
    return images, None if loose else np.array([classes[name] for name in ordered]), done


def _class_name(folder):
    """The name of a folder as text that can be printed, even if its bytes are not UTF-8."""
    return unicodedata.normalize("NFC", os.fsencode(folder).decode("utf-8", "replace"))


def _within(inside, parts):
    """Cut off the outer folders, which are not classes, and drop the parts that are not wanted.

    `inside` is a dict of path components by file name; so is the result.
    """
    wanted_parts = [name for part in parts for name in PARTS[part]]
    all_parts = [name for names in PARTS.values() for name in names]
    while wanted := {place[0] for place in inside.values() if len(place) > 1}:
        if len(wanted) > 1:
            are_parts = all(top.casefold() in all_parts for top in wanted)
            wanted = {top for top in wanted if are_parts and top.casefold() in wanted_parts}
        elif all(len(place) <= 2 for place in inside.values()):
            break  # it is the folder of the only class
        if not wanted:
            break
        inside = {name: place[1:] for name, place in inside.items() if place[0] in wanted}
    return inside


def _read_all(folder, names, image_size, channels):
    """Read pictures as images of one size.

    If `channels` is None, they are read as grey images. At the first picture in colour, reading
    starts again, in colour.
    """
    colour = channels == 3
    while True:
        size = image_size or (COLOUR_SIZE if colour else GREY_SIZE)
        n_bytes = len(names) * size * size * (channels or 3)
        memory.check(n_bytes, f"{len(names):,} images of {size} x {size}")
        images = np.empty((len(names), size, size, 3 if colour else 1), np.uint8)
        for number, name in enumerate(with_progress(names, "images")):
            with reporting(name):
                picture = pictures.read_square(read_bytes(folder / name), size)
            if channels is None and not colour:
                colour = pixels.is_coloured(np.asarray(picture.convert("RGB")))
                if colour:
                    break
            picture = picture.convert("RGB" if colour else "L")
            images[number] = np.asarray(picture).reshape(images.shape[1:])
        else:
            return images
