"""Label maps from files: the class of each pixel, by its number or by its colour.

A map is a PNG or BMP, of one of three kinds:

- grey, its shades the numbers of the classes;
- with a palette, its entries the numbers of the classes;
- in colours only (RGB), if each class has one.

Editors and optimisers renumber palettes, so where the colours are known, they decide: those of the
CMP facades (cmp_classes.py), or those in a file `colours.txt` of one's own. Classes are numbered
from 0, or from 1 as the CMP's; 255 stands for none.
"""

from typing import NamedTuple

from common.data import cmp_classes, pictures
from common.data.reading import listed

import numpy as np
from PIL import Image

NONE = 255  # the number of what has no class, in many data sets
CLOSE = 8  # so far may a colour, in each channel, be from the one that is meant
MAX_SPARSE = 16  # numbers may have gaps up to here, without names for the classes

_HINT = (
    "if classes of your own have colours, write a file colours.txt beside the maps, with a line "
    "for each: name red green blue"
)
_GREYS = np.repeat(np.arange(256, dtype="uint8")[:, np.newaxis], 3, axis=1)
# PIL spreads 2- and 4-bit greys over 0 to 255, where the numbers are classes.
_SPREAD = {"L;2": 85, "L;4": 17}


class LabelMap(NamedTuple):
    """What a file holds: values uint8 (H, W), and colours uint8 (256, 3), one for each value."""

    values: np.ndarray
    colours: np.ndarray
    is_numbered: bool  # else the values are no more than rows of `colours`

    def found(self):
        """The values that occur, in order."""
        return np.unique(self.values)

    def is_coloured(self):
        """Whether the pixels show more than greys."""
        return bool(np.ptp(self.colours[self.found()], axis=1).any())


class Classes(NamedTuple):
    """What label maps stand for: names of the K classes, their colours uint8 (K, 3)."""

    names: tuple
    colours: np.ndarray
    numbered_from: int | None  # 0 or 1; None if all maps were read by their colours


def decode(content):
    """The `LabelMap` of a file's bytes, scaled down as a photo would be, and its size before.

    Raises ValueError if they are none.
    """
    if content.startswith(b"\xff\xd8"):
        raise ValueError(
            "it is a JPEG, whose compression invents values between the classes: save it as a PNG"
        )
    with pictures.opened(content, ("PNG", "BMP")) as image:
        spread = _SPREAD.get(image.tile[0][3], 1) if image.tile else 1
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
        raise ValueError(f"it is {image.mode}: a label map is grey, RGB, or has a palette")
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
        # Too dark to be looked at: shades that are numbers, to which a palette was added.
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
    for start in range(0, len(pixels), 1 << 20):  # at a time, as it takes much memory
        part = slice(start, start + (1 << 20))
        values[part] = np.searchsorted(known, pixels[part] @ weights)
    return LabelMap(values.reshape(image.height, image.width), colours, False)


def to_classes(label_maps, names=None, colours=None, first=None, strict=False):
    """Read the classes of label maps that belong together.

    Args:
        label_maps: a dict of `LabelMap` by the name of the file.
        names: of the classes; None if they are not known.
        colours: of the classes, (K, 3); None if they are not known, and then maps may still be in
            the CMP's.
        first: 0 or 1, the number of the first class in maps that are read by their numbers; None
            to find out: maps without any 0 are taken to be numbered from 1.
        strict: whether a map in other colours than these is refused, even if it has numbers.

    Returns the classes of pixels, a list of uint8 (H, W); `Classes`; and a list of what was
    assumed. Raises ValueError, which names the file, if they cannot be known.
    """
    are_given = colours is not None
    if not are_given and (names is None or len(names) == len(cmp_classes.CLASS_NAMES)):
        coloured = [one for one in label_maps.values() if one.is_coloured()]
        if 2 * sum(looks_like(one, cmp_classes.COLOURS) for one in coloured) > len(coloured):
            names, colours = names or cmp_classes.CLASS_NAMES, cmp_classes.COLOURS
            strict = first is None
    tables = _tables(label_maps, colours)
    numbered = {file: one for file, one in label_maps.items() if file not in tables}
    for file, one in numbered.items():
        if one.is_coloured() and (strict or not one.is_numbered):
            hint = "" if are_given else f"; {_HINT}"
            raise ValueError(f"{file}: {_foreign_colour(one, colours)}{hint}")
    assumed = []
    if numbered:
        if first is None:
            _check_palettes(numbered)
        names, first = _number(numbered, names, first, assumed)
    table = (np.arange(256) - (first or 0)) % 256
    table[NONE] = names.index("none") if "none" in names else table[NONE]
    layouts = [
        tables.get(file, table).astype("uint8")[one.values] for file, one in label_maps.items()
    ]
    if colours is None:
        colours = _palette(names, numbered.values(), first)
    return layouts, Classes(names, separated(len(names), colours), first), assumed


def looks_like(label_map, colours):
    """Whether a map is in these colours, though perhaps in a few others, too."""
    rows = _rows(label_map.colours[label_map.found()], colours)
    # Pure red, yellow, cyan and blue are in many palettes.
    is_mixed = (np.asarray(colours) % 255 > 0).any(axis=1)
    known = rows[rows >= 0]
    return 2 * len(known) > len(rows) and bool(is_mixed[known].any())


def _rows(some, colours, close=CLOSE):
    """For each of `some`, uint8 (n, 3), the row of `colours` that it is, or -1."""
    distances = np.abs(some[:, np.newaxis].astype(int) - colours).max(axis=2)
    return np.where(distances.min(axis=1) <= close, distances.argmin(axis=1), -1)


def _tables(label_maps, colours):
    """The class of each value, (256,), for the files whose colours are all known.

    Greys may be numbers: they count as colours only where all greys of all grey maps are known.
    """
    if colours is None:
        return {}
    tables = {
        file: _rows(one.colours, colours, CLOSE if one.is_coloured() else 0)
        for file, one in label_maps.items()
    }
    known = {file for file, table in tables.items() if (table[label_maps[file].found()] >= 0).all()}
    greys = {file for file, one in label_maps.items() if not one.is_coloured()}
    if not greys <= known:
        known -= greys
    return {file: tables[file] for file in known}


def _foreign_colour(label_map, colours):
    found = label_map.colours[label_map.found()]
    foreign = found if colours is None else found[_rows(found, colours) < 0]
    known = "" if colours is None else f", which is none of the {len(colours)} known ones"
    return f"it is in colours, such as {' '.join(map(str, foreign[0]))}{known}"


def _check_palettes(label_maps):
    """Raise ValueError where a number has two colours: then it hardly is the number of a class."""
    seen = {}  # by number: a colour, and the file that has it
    for file, one in label_maps.items():
        for value in one.found().tolist() if one.colours is not _GREYS else ():
            colour, other = seen.setdefault(value, (one.colours[value], file))
            if np.abs(colour.astype(int) - one.colours[value]).max() > CLOSE:
                raise ValueError(
                    f"{file}: its palette is not that of {other}. Where the numbers are right all "
                    f"the same, say so by --layout-from 0 or 1; {_HINT}"
                )


def _number(label_maps, names, first, assumed):
    """Names of the classes, and the number of the first in maps that are read by their numbers."""
    found = sorted(set().union(*(one.found().tolist() for one in label_maps.values())))
    numbers = [number for number in found if number != NONE]
    if not numbers:
        raise ValueError(f"{next(iter(label_maps))}: it holds no class, only {NONE}")
    if first is None:
        first = 0 if numbers[0] == 0 else 1
        if numbers[0] > 0 and (names is None or numbers[-1] != len(names)):
            assumed.append(
                "no label map holds a 0: their classes are taken to be numbered from 1, unless you "
                "say --layout-from 0"
            )
    if names is None:
        count = numbers[-1] - first + 1
        if count > MAX_SPARSE and count > 4 * len(numbers):
            raise ValueError(
                f"{next(iter(label_maps))}: the numbers in the label maps are {listed(numbers)}: "
                "number the classes 0, 1, 2 and so on, or name all of them in a file classes.txt"
            )
        names = tuple(str(first + number) for number in range(count))
        if count == len(cmp_classes.CLASS_NAMES):
            names = cmp_classes.CLASS_NAMES
            assumed.append("twelve classes are taken to be the CMP's (a classes.txt says else)")
    for file, one in label_maps.items():
        last = first + len(names) - 1
        for value in one.found().tolist():
            if not first <= value <= last and value != NONE:
                raise ValueError(
                    f"{file}: label {value} is not between {first} and {last}; "
                    f"its values are {listed(one.found().tolist())}"
                )
    if NONE in found and "none" not in names:
        names = (*names, "none")
        assumed.append(f"{NONE} is taken for a class of its own, none")
    return names, first


def _palette(names, label_maps, first):
    """Colours for the first classes: the CMP's, or those of the palette, or none."""
    if names[:12] == cmp_classes.CLASS_NAMES:
        return cmp_classes.COLOURS
    for one in label_maps:
        if one.is_coloured():
            colours = one.colours[first : first + len(names) - ("none" in names)]
            if (_rows(colours, colours) == range(len(colours))).all():  # none is there twice
                return colours
    return ()


def separated(count, colours=()):
    """`count` colours that are far from each other, uint8 (count, 3), the first of them given.

    None of them is a grey, which might be a number.
    """
    steps = np.array([0, 51, 102, 153, 204, 255, 230])
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    candidates = candidates[np.ptp(candidates, axis=1) > 0]
    chosen = [*np.asarray(colours, int).reshape(-1, 3)] or [np.array((0, 0, 170))]
    while len(chosen) < count:
        distances = np.abs(candidates[:, np.newaxis] - np.array(chosen)).sum(axis=2)
        chosen.append(candidates[distances.min(axis=1).argmax()])
    return np.array(chosen[:count], "uint8")
