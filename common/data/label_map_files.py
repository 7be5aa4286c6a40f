"""Reading label maps, in which a number or a colour marks the class of each pixel.

A label map is a PNG or BMP of one of three kinds:

- grey: the grey value of a pixel is the number of its class;
- with a palette: the index of a pixel in the palette is the number of its class;
- RGB: each class has a colour, which must be known.

Image editors and optimisers renumber palettes. So if the colours of the classes are known, the
colours are read and not the numbers. Known are the colours of the CMP facades (cmp_classes.py), and
those in the user's own file `colours.txt`. Classes are numbered from 0, or from 1 as in the CMP
set. A pixel of 255 belongs to no class.
"""

from typing import NamedTuple

from common.data import cmp_classes, pictures
from common.data.reading import listed

import numpy as np
from PIL import Image

NO_CLASS = 255  # in many data sets the number of pixels that belong to no class
MAX_COLOUR_DISTANCE = 8  # in each channel, between a colour in a file and that of the class
MAX_SPARSE = 16  # with more unnamed classes, at least a quarter of the numbers must occur

_HINT = (
    "if classes of your own have colours, write a file colours.txt beside the maps, with a line "
    "for each: name red green blue"
)
_GREYS = np.repeat(np.arange(256, dtype="uint8")[:, np.newaxis], 3, axis=1)
# PIL multiplies greys of 2 and 4 bits by these factors. Dividing gives the class numbers again.
_GREY_STEPS = {"L;2": 85, "L;4": 17}


class LabelMap(NamedTuple):
    """The content of a file: values uint8 (H, W), and the colour of each value, uint8 (256, 3)."""

    values: np.ndarray
    colours: np.ndarray
    is_numbered: bool  # False for RGB: the values are not class numbers, only rows of `colours`

    def found(self):
        """The values that occur, sorted."""
        return np.flatnonzero(np.bincount(self.values.ravel()))

    def is_coloured(self):
        """Whether any pixel has a colour other than grey."""
        return bool(np.ptp(self.colours[self.found()], axis=1).any())


class Classes(NamedTuple):
    """The names of the K classes of label maps, and their colours, uint8 (K, 3)."""

    names: tuple
    colours: np.ndarray
    numbered_from: int | None  # number of the first class, 0 or 1; None if only colours were read


def decode(content):
    """Decode a label map. If it is large, it is scaled down like a photo of the same size.

    `content` is the bytes of the file. Returns a `LabelMap`, and the size (width, height) before
    scaling. Raises ValueError if the bytes are not a label map.
    """
    if content.startswith(b"\xff\xd8"):
        raise ValueError(
            "it is a JPEG, whose compression invents values between the classes: save the original "
            "as a PNG (converting this file does not remove these values)"
        )
    with pictures.opened(content, ("PNG", "BMP")) as image:
        spread = _GREY_STEPS.get(image.tile[0][3], 1) if image.tile else 1
        image = pictures.upright(image)
        size = image.size
        image = image.resize(pictures.scaled_down(size), Image.Resampling.NEAREST)
        if image.mode in ("LA", "RGBA", "RGBX"):
            image = image.convert(image.mode[:-1])
        return _label_map(image, spread), size


def _label_map(image, spread):
    if image.mode == "RGB":
        return _coloured(image)
    if image.mode not in ("1", "L", "P", "I", "I;16"):
        raise ValueError(f"its mode is {image.mode}: a label map is grey, RGB, or has a palette")
    values = np.asarray(image) // spread if spread > 1 else np.asarray(image)
    if values.max() > 255 or values.min() < 0:
        raise ValueError(f"its values are {listed(np.unique(values).tolist())}: more than 255")
    values = values.astype("uint8")
    if image.mode != "P":
        return LabelMap(values, _GREYS, True)
    palette = np.zeros((256, 3), np.uint8)
    entries = np.array(image.getpalette("RGB"), "uint8").reshape(-1, 3)
    palette[: len(entries)] = entries
    label_map = LabelMap(values, palette, True)
    if not label_map.is_coloured() and palette[label_map.found()].max() < 64:
        # The greys in the palette are so dark that they must be class numbers.
        return LabelMap(palette[values][..., 0], _GREYS, True)
    return label_map


def _coloured(image):
    counted = image.getcolors(256)
    if counted is None:
        raise ValueError(
            "it has more than 256 colours: it is a photo, or its compression or smooth edges have "
            "invented colours between those of the classes"
        )
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(counted)] = sorted(colour for _, colour in counted)
    if not np.ptp(colours, axis=1).any():
        return LabelMap(np.asarray(image)[..., 0], _GREYS, True)
    weights = np.array([1 << 16, 1 << 8, 1])
    known, pixels = colours[: len(counted)] @ weights, np.asarray(image).reshape(-1, 3)
    values = np.empty(len(pixels), np.uint8)
    for start in range(0, len(pixels), 1 << 20):  # in parts, to save memory
        part = slice(start, start + (1 << 20))
        values[part] = np.searchsorted(known, pixels[part] @ weights)
    return LabelMap(values.reshape(image.height, image.width), colours, False)


def to_classes(label_maps, names=None, colours=None, first=None, strict=False):
    """Find the class of each pixel in the label maps of a data set.

    Args:
        label_maps: a dict of `LabelMap`s by file name.
        names: the names of the classes; None if they are not known.
        colours: the colours of the classes, (K, 3); None if they are not known. Then the colours
            of the CMP set are tried.
        first: 0 or 1, the number that stands for the first class, in maps that are read by their
            numbers. None to guess it: if no map holds a 0, the first class is taken to be 1.
        strict: whether a map with any other colour is refused. If False, it is read by its numbers
            if it has numbers.

    Returns the classes of the pixels, a list of uint8 (H, W); `Classes`; and a list of the
    assumptions that were made. Raises ValueError, which names the file, if a class is unknown.
    """
    are_given = colours is not None
    if not are_given and (names is None or len(names) == len(cmp_classes.CLASS_NAMES)):
        coloured = [label_map for label_map in label_maps.values() if label_map.is_coloured()]
        n_alike = sum(looks_like(label_map, cmp_classes.COLOURS) for label_map in coloured)
        if 2 * n_alike > len(coloured):
            names, colours = names or cmp_classes.CLASS_NAMES, cmp_classes.COLOURS
            strict = first is None
    tables = _tables(label_maps, colours)
    numbered = {file: label_map for file, label_map in label_maps.items() if file not in tables}
    for file, label_map in numbered.items():
        if label_map.is_coloured() and (strict or not label_map.is_numbered):
            hint = "" if are_given else f"; {_HINT}"
            raise ValueError(f"{file}: {_unknown_colour(label_map, colours)}{hint}")
    assumed = []
    if numbered:
        if first is None:
            _check_palettes(numbered)
        names, first = _number(numbered, names, first, assumed)
    table = (np.arange(256) - (first or 0)) % 256
    table[NO_CLASS] = names.index("none") if "none" in names else table[NO_CLASS]
    label_maps = [
        tables.get(file, table).astype("uint8")[label_map.values]
        for file, label_map in label_maps.items()
    ]
    if colours is None:
        colours = _palette(names, numbered.values(), first)
    return label_maps, Classes(names, distinct_colours(len(names), colours), first), assumed


def looks_like(label_map, colours):
    """Whether most colours of a map are among `colours`, so that the others may be mistakes."""
    rows = _rows(label_map.colours[label_map.found()], colours)
    # Pure red, yellow, cyan and blue are in many palettes. So one mixed colour is required.
    is_mixed = (np.asarray(colours) % 255 > 0).any(axis=1)
    known = rows[rows >= 0]
    return 2 * len(known) > len(rows) and bool(is_mixed[known].any())


def _rows(some, colours, close=MAX_COLOUR_DISTANCE):
    """For each colour in `some`, uint8 (n, 3), the index of the same one in `colours`, or -1.

    Two colours count as the same if no channel differs by more than `close`.
    """
    distances = np.abs(some[:, np.newaxis].astype(int) - colours).max(axis=2)
    return np.where(distances.min(axis=1) <= close, distances.argmin(axis=1), -1)


def _tables(label_maps, colours):
    """For each file whose colours are all known, the class of each value: a dict of (256,).

    A grey may also be a class number. So grey maps are read by their colours only if all greys in
    all of them are known colours.
    """
    if colours is None:
        return {}
    tables = {
        file: _rows(
            label_map.colours, colours, MAX_COLOUR_DISTANCE if label_map.is_coloured() else 0
        )
        for file, label_map in label_maps.items()
    }
    known = {file for file, table in tables.items() if (table[label_maps[file].found()] >= 0).all()}
    greys = {file for file, label_map in label_maps.items() if not label_map.is_coloured()}
    if not greys <= known:
        known -= greys
    return {file: tables[file] for file in known}


def _unknown_colour(label_map, colours):
    found = label_map.colours[label_map.found()]
    unknown = found if colours is None else found[_rows(found, colours) < 0]
    known = "" if colours is None else f", which is none of the {len(colours)} known ones"
    return f"it is in colours, such as {' '.join(map(str, unknown[0]))}{known}"


def _check_palettes(label_maps):
    """Raise ValueError if a number has different colours in two palettes.

    Then the palettes were renumbered, and the numbers are not those of classes.
    """
    seen = {}  # a colour and the file that it is from, by number
    for file, label_map in label_maps.items():
        for value in label_map.found().tolist() if label_map.colours is not _GREYS else ():
            colour, other = seen.setdefault(value, (label_map.colours[value], file))
            if np.abs(colour.astype(int) - label_map.colours[value]).max() > MAX_COLOUR_DISTANCE:
                raise ValueError(
                    f"{file}: its palette differs from that of {other}. If the numbers are right "
                    f"nevertheless, give --layout-from 0 or 1; {_HINT}"
                )


def _number(label_maps, names, first, assumed):
    """The names of the classes, and the number that stands for the first class.

    Appends to `assumed` what had to be guessed. `label_maps` are those that are read by numbers.
    """
    found = sorted(set().union(*(label_map.found().tolist() for label_map in label_maps.values())))
    numbers = [number for number in found if number != NO_CLASS]
    if not numbers:
        raise ValueError(f"{next(iter(label_maps))}: it holds no class, only {NO_CLASS}")
    if first is None:
        first = 0 if numbers[0] == 0 else 1
        if numbers[0] > 0 and (names is None or numbers[-1] != len(names)):
            assumed.append(
                "there is no 0 in it, so its classes are taken to be numbered from 1 "
                "(--layout-from 0 says otherwise)"
            )
    if names is None:
        count = numbers[-1] - first + 1
        if count > MAX_SPARSE and count > 4 * len(numbers):
            raise ValueError(
                f"{next(iter(label_maps))}: the numbers in the label maps are {listed(numbers)}: "
                "number the classes 0, 1, 2 and so on, or list their colours in a file "
                "colours.txt, or the names of all numbers in a file classes.txt"
            )
        names = tuple(str(first + number) for number in range(count))
        if count == len(cmp_classes.CLASS_NAMES):
            names = cmp_classes.CLASS_NAMES
            assumed.append("twelve classes are taken to be the CMP's (classes.txt says otherwise)")
    for file, label_map in label_maps.items():
        last = first + len(names) - 1
        for value in label_map.found().tolist():
            if not first <= value <= last and value != NO_CLASS:
                raise ValueError(
                    f"{file}: label {value} is not between {first} and {last}; "
                    f"its values are {listed(label_map.found().tolist())}"
                )
    if NO_CLASS in found and "none" not in names:
        names = (*names, "none")
        assumed.append(f"{NO_CLASS} is taken for a class of its own, none")
    return names, first


def _palette(names, label_maps, first):
    """Colours in which to show the first classes: the CMP's, those of a palette, or ()."""
    if names[:12] == cmp_classes.CLASS_NAMES:
        return cmp_classes.COLOURS
    for label_map in label_maps:
        if label_map.is_coloured():
            colours = label_map.colours[first : first + len(names) - ("none" in names)]
            if (_rows(colours, colours) == range(len(colours))).all():  # all are different
                return colours
    return ()


def distinct_colours(count, colours=()):
    """Extend the given colours to `count` colours that are easy to tell apart: uint8 (count, 3).

    No grey is added, since a grey in a label map may be a class number.
    """
    steps = np.array([0, 51, 102, 153, 204, 255, 230])
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    candidates = candidates[np.ptp(candidates, axis=1) > 0]
    chosen = [*np.asarray(colours, int).reshape(-1, 3)] or [np.array((0, 0, 170))]
    while len(chosen) < count:
        distances = np.abs(candidates[:, np.newaxis] - np.array(chosen)).sum(axis=2)
        chosen.append(candidates[distances.min(axis=1).argmax()])
    return np.array(chosen[:count], "uint8")
