"""Reading images from a folder, or a zip file of one, that holds a folder for each class."""

import re
import unicodedata
from pathlib import PurePosixPath

from common.data import memory, pictures, pixels
from common.data.reading import listed, naming, natural, open_files, with_progress

import numpy as np

GREY_SIZE, COLOUR_SIZE = 28, 32  # pixels, unless one says otherwise
PARTS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}

# What may lie beside pictures. Whatever is none of these has to be one.
_NO_PICTURES = re.compile(
    r".*\.(csv|db|html?|ini|ipynb|json|log|mat|md|np[yz]|pdf|pkl|py|rst|tsv|txt|url|xml|ya?ml|zip)",
    re.IGNORECASE,
)


def read(path, parts, labels_needed, image_size=None, channels=None):
    """Read all pictures of a folder that holds a folder for each class.

    What else is in a class's folder belongs to the class, in folders within it, too. A folder that
    holds nothing but another one is passed through, and so is `train` beside `test`.

    Args:
        path: of the folder, or of a zip file.
        parts: "train", and perhaps "test".
        labels_needed: whether each picture must be in the folder of a class.
        image_size: pixels, height and width; None for 28 if all are grey, else 32.
        channels: 1 or 3; None for 1 if all are grey, else 3.

    Returns images, uint8 (N, H, H, C), class by class; the name of the class of each, or None if
    there are no classes; and a list of what was done.

    Raises ValueError, which names the file, for one that cannot be read.
    """
    with open_files(path) as files:
        done = []
        names = sorted(files.names, key=natural)
        left_out = [name for name in names if _NO_PICTURES.fullmatch(name)]
        inside = {name: PurePosixPath(name).parts for name in names if name not in left_out}
        inside = _within(inside, parts, done)
        loose = [name for name, place in inside.items() if len(place) == 1]
        if len(loose) == len(inside) and (labels_needed or not inside):
            raise ValueError(
                f"it holds {len(loose) or 'no'} pictures, and no folder of pictures for each class "
                "nor IDX files"
            )
        if labels_needed:
            left_out += loose
            loose = []
        if left_out:
            done.append(f"passed over: {listed(left_out, most=3)}")
        classes = {
            name: unicodedata.normalize("NFC", place[0])
            for name, place in inside.items()
            if name not in left_out
        }
        ordered = sorted(classes, key=lambda name: (natural(classes[name]), natural(name)))
        images = _read_all(files, ordered, image_size, channels)
    return images, None if loose else np.array([classes[name] for name in ordered]), done


def _within(inside, parts, done):
    """Places of files by their names, but within folders that are no classes."""
    while True:
        tops = sorted({place[0] for place in inside.values() if len(place) > 1})
        if not any(len(place) > 2 for place in inside.values()):
            return inside
        wanted = [top for top in tops if top.casefold() in sum((PARTS[part] for part in parts), ())]
        if len(tops) == 1:
            wanted = tops
        elif not wanted or not all(top.casefold() in sum(PARTS.values(), ()) for top in tops):
            return inside
        else:
            done.append(f"of {listed(tops)}, {listed(wanted)} was read")
        inside = {name: place[1:] for name, place in inside.items() if place[0] in wanted}


def _read_all(files, names, image_size, channels):
    """Images of one size. Where nobody says, they are grey until the first one in colour."""
    colour = channels == 3
    while True:
        size = image_size or (COLOUR_SIZE if colour else GREY_SIZE)
        n_bytes = len(names) * size * size * (channels or 3)
        memory.check(n_bytes, f"{len(names):,} images of {size} x {size}")
        images = np.empty((len(names), size, size, 3 if colour else 1), np.uint8)
        for number, name in enumerate(with_progress(names, "images")):
            with naming(name):
                picture = pictures.read_square(files.read(name), size)
            if channels is None and not colour:
                colour = pixels.is_coloured(np.asarray(picture.convert("RGB")))
                if colour:
                    break
            picture = picture.convert("RGB" if colour else "L")
            images[number] = np.asarray(picture).reshape(images.shape[1:])
        else:
            return images
