"""Photos with label maps in a folder or zip file: the CMP facades, or the user's own photos.

The files must be named in one of three ways, in upper or lower case:

    NAME.jpg and NAME.png                         in the same folder, like the CMP base set
    N_images.jpg and N_segmentation_labels.bmp    like the GauGAN example of keras.io
    train_img/NAME.jpg and train_label/NAME.png   like SPADE's data sets; `train_` may be missing,
                                                  and the folders may have the names of Pascal VOC's

Photos may be in any format that `pictures` reads; label maps are PNG or BMP (see label_map_files).
A file classes.txt may name the classes, one per line, in the order of their numbers. If the classes
are marked by colours, a file colours.txt lists them: `name red green blue` or `red green blue name`
in each line. Other files are ignored.
"""

import re
import sys
import unicodedata
from pathlib import PurePosixPath

from common import UserError
from common.data import label_map_files, memory, pictures
from common.data.cmp_classes import CLASS_NAMES as CMP_NAMES
from common.data.cmp_classes import COLOURS as CMP_COLOURS
from common.data.reading import (
    expand,
    files_in,
    natural_key,
    opened,
    read_bytes,
    reporting,
    with_progress,
)

import numpy as np

_PHOTO = r"\.(?:jpe?g|jfif|webp|tiff?|gif|avif)"
_ANY = r"\.(?:jpe?g|jfif|webp|tiff?|gif|avif|png|bmp)"  # a JPEG label map is refused later
_NAMINGS = (
    (f"(.+?)_images{_ANY}", f"(.+?)_segmentation_labels{_ANY}"),
    (
        f"(|.*[_/])(?:img|images?|photos?|jpegimages)/(.+){_ANY}",
        f"(|.*[_/])(?:labels?|annotations?|masks?|maps?|segmentationclass(?:png)?)/(.+){_ANY}",
    ),
    (f"(.+){_PHOTO}", r"(.+)\.(?:png|bmp)"),
)
_COLOUR = r"(?P<red>\d+)[\s,;]+(?P<green>\d+)[\s,;]+(?P<blue>\d+)"
_NAME = r"(?P<name>\S.*?)"
_COLOUR_LINE = (rf"{_NAME}[\s,:;]+{_COLOUR}", rf"{_COLOUR}[\s,:;]+{_NAME}")


def read(source, first=None):
    """Read all photos and label maps of a zip file or folder.

    Large photos and their label maps are scaled down. `first` is 0 or 1, the number that stands for
    the first class in maps whose pixels are class numbers; None to guess it from the numbers.

    Returns photos, a list of uint8 (H, W, 3); label_maps (label maps), a list of uint8 (H, W) with
    classes 0 to K - 1; their names; `label_map_files.Classes`; and a list of the assumptions that
    were made. Raises UserError, which names the file, if a file is missing or damaged, or if a
    photo and its label map do not match.
    """
    path = expand(source)
    with reporting(path):
        if not path.exists():
            raise ValueError("no such file or folder: give auto, full, drawn or a path")
        if path.is_dir() and (path / "base").is_dir():
            path = path / "base"
        with opened(path) as folder:
            files, _ = files_in(folder)
            pairs = _pair(files)
            names, colours = _classes_in(files, folder)
            photos, label_maps = _read_pairs(pairs, folder)
        label_maps, classes, assumed = label_map_files.to_classes(
            label_maps, names, colours, first, strict=colours is not None
        )
    return photos, label_maps, tuple(name for name, _, _ in pairs), classes, assumed


def read_layout(path, class_names=CMP_NAMES, first=None, colours=None):
    """Read one label map for a generator. What had to be guessed is printed on stderr.

    Args:
        path: the path of a PNG or BMP.
        class_names: the names of the K classes of the generator.
        first: see `read`.
        colours: the colours of the classes, uint8 (K, 3). None for the colours of the CMP set if
            its classes are given, else for no known colours.

    Returns uint8 (H, W), classes 0 to K - 1. Raises UserError if the file cannot be read, or has
    other classes.
    """
    path, class_names = expand(path), tuple(class_names)
    with reporting(path):
        label_map, _ = label_map_files.decode(read_bytes(path))
    may_be_cmp = all(map(str.isdecimal, class_names))  # these numbers may stand for its first ones
    if may_be_cmp and label_map_files.looks_like(label_map, CMP_COLOURS):
        colours = CMP_COLOURS[: len(class_names)]
    if colours is None and class_names == CMP_NAMES:
        colours = CMP_COLOURS
    is_near = colours is not None and label_map_files.looks_like(label_map, colours)
    try:
        (layout,), classes, assumed = label_map_files.to_classes(
            {path: label_map}, class_names, colours, first, strict=is_near and first is None
        )
        if len(classes.names) > len(class_names):
            raise ValueError(f"{path}: label {label_map_files.NO_CLASS} is none of the classes")
    except ValueError as problem:
        raise UserError(f"cannot read {problem}") from None
    if assumed:
        print(f"{path}: {'; '.join(assumed)}", file=sys.stderr)
    return layout


def read_photo(path):
    """Read one photo, turned upright: uint8 (H, W, 3). Raises UserError if it cannot be read."""
    path = expand(path)
    with reporting(path):
        return pictures.read_photo(read_bytes(path))[0]


def _pair(files):
    """Find the pairs of photos and label maps. Returns a list of (name, photo file, map file)."""
    for naming_of_photos, naming_of_maps in _NAMINGS:
        photos, maps = _find(files, naming_of_photos), _find(files, naming_of_maps)
        if photos and maps:
            break
    if photos.keys().isdisjoint(maps):
        raise ValueError(
            f"it holds no photos with label maps that match ({len(photos)} photos, {len(maps)} "
            "maps): NAME.jpg with NAME.png or .bmp, N_images.jpg with N_segmentation_labels.bmp, "
            "or train_img/NAME.jpg with train_label/NAME.png"
        )
    if training := [key for key in photos if _is_training(key)]:
        photos = {key: photos[key] for key in training}
        maps = {key: maps[key] for key in maps if _is_training(key)}
    for key, file in photos.items():
        if key not in maps:
            raise ValueError(f"the photo {file} has no label map")
    for key, file in maps.items():
        if key not in photos:
            raise ValueError(f"the label map {file} has no photo")
    ordered = sorted(photos, key=lambda key: natural_key(photos[key]))
    return [(_name(photos[key]), photos[key], maps[key]) for key in ordered]


def _name(photo_file):
    return re.sub("_images$", "", PurePosixPath(photo_file).stem, flags=re.IGNORECASE)


def _is_training(key):
    """Whether a file is in the training part of a data set in folders such as train_img/."""
    folders = "/".join([*key[:-1], str(PurePosixPath(key[-1]).parent)])
    return len(key) > 1 and not {"train", "training"}.isdisjoint(re.split("[/_]", folders))


def _find(files, pattern):
    """Find the files whose names match a pattern.

    Returns a dict. Its keys are the matched groups, which a photo and its label map have in common.
    """
    found = {}
    for file in files:
        comparable = unicodedata.normalize("NFC", file).casefold()
        if match := re.fullmatch(pattern, comparable):
            if match.groups() in found:
                raise ValueError(f"{file} is there twice, as {found[match.groups()]}")
            found[match.groups()] = file
    return found


def _read_pairs(pairs, folder):
    photos, label_maps, n_bytes = [], {}, 0
    for number, (_, photo_file, map_file) in enumerate(with_progress(pairs, "photos"), start=1):
        with reporting(photo_file):
            photo, size = pictures.read_photo(read_bytes(folder / photo_file))
        with reporting(map_file):
            content = read_bytes(folder / map_file)
            label_maps[map_file], (width, height) = label_map_files.decode(content)
            if (width, height) != size:
                raise ValueError(f"it is {width} x {height}, its photo {size[0]} x {size[1]}")
        photos.append(photo)
        n_bytes += photo.nbytes + photo.nbytes // 3
        if number >= 10:  # enough to estimate the memory for the others
            rest = n_bytes * (len(pairs) - number) // number
            memory.check(rest, f"the rest of {len(pairs):,} photos and label maps")
    return photos, label_maps


def _classes_in(files, folder):
    """Read the names of the classes and their colours, (K, 3). Each is None if no file lists it."""
    inner_first = sorted(files, key=lambda name: -name.count("/"))
    paths = {PurePosixPath(name.casefold()).name: name for name in inner_first}
    for file in ("colours.txt", "colors.txt", "classes.txt"):
        if file in paths:
            with reporting(paths[file]):
                lines = _lines(read_bytes(folder / paths[file]))
                return (tuple(lines), None) if file == "classes.txt" else _colours(lines)
    return None, None


def _lines(content):
    lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not 0 < len(lines) < label_map_files.NO_CLASS:
        raise ValueError(f"it lists {len(lines)} classes, but there must be 1 to 254")
    return lines


def _colours(lines):
    names, colours = [], []
    for line in lines:
        match = re.fullmatch(_COLOUR_LINE[0], line) or re.fullmatch(_COLOUR_LINE[1], line)
        colour = [int(match[channel]) for channel in ("red", "green", "blue")] if match else [256]
        if max(colour) > 255:
            raise ValueError(f"the line {line[:50]!r} does not have the form: name red green blue")
        if colour in colours:
            raise ValueError(
                f"{names[colours.index(colour)]} and {match['name']} have the same colour"
            )
        names.append(match["name"])
        colours.append(colour)
    return tuple(names), np.array(colours, "uint8")
