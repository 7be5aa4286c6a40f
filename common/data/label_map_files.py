"""Reading label maps, in which a number or a colour marks the class of each pixel.

A label map is a PNG, BMP, GIF or TIFF: grey or with a palette, whose values are the numbers of the
classes, or in colours that are known. Known are those of the CMP facades, and those in the user's
own file `colours.txt`. Since image editors and optimisers renumber palettes, known colours count
for more than numbers. Numbers begin at 0, or at 1 as in the CMP set; 255 means none of the classes.
"""

from typing import NamedTuple

from common.data import pictures
from common.data.reading import listed

import numpy as np
from PIL import Image

CMP_NAMES = ("background", "facade", "window", "door", "cornice", "sill")
CMP_NAMES += ("balcony", "blind", "deco", "molding", "pillar", "shop")
CMP_COLOURS = np.array(
    [(0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (85, 255, 170)]
    + [(170, 255, 85), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (170, 0, 0)],
    "uint8",
)
LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff")
NO_CLASS = 255  # in many data sets the number of pixels that belong to no class
CLOSE = 8  # in each channel, between a colour in a file and that of the class
MAX_SPARSE = 16  # with more unnamed classes, at least a quarter of the numbers must occur
HINT = (
    "if classes of your own have colours, write a file colours.txt beside the maps, with a line "
    "for each: name red green blue"
)
_GREYS = np.repeat(np.arange(256, dtype="uint8")[:, np.newaxis], 3, axis=1)


class LabelMap(NamedTuple):
    """The content of a file: values uint8 (H, W), and the colour of each value, uint8 (256, 3)."""

    values: np.ndarray
    colours: np.ndarray
    is_numbered: bool  # False: the values are not class numbers, only rows of `colours`

    def found(self):
        """The values that occur, sorted."""
        return np.flatnonzero(np.bincount(self.values.ravel()))

    def is_coloured(self):
        """Whether any pixel has a colour other than grey."""
        return bool(np.ptp(self.colours[self.found()], axis=1).any())

    def looks_like(self, colours):
        """Whether most of its colours are among `colours`, so that the others may be mistakes."""
        rows = _rows(self.colours[self.found()], colours)
        # Pure red, yellow, cyan and blue are in many palettes. So one mixed colour is required.
        is_mixed = (np.asarray(colours) % 255 > 0).any(axis=1)
        known = rows[rows >= 0]
        return 2 * len(known) > len(rows) and bool(is_mixed[known].any())


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
    lossy = content.startswith(b"\xff\xd8")
    with pictures.opened(content, () if lossy else ("PNG", "BMP", "GIF", "TIFF")) as image:
        if lossy or image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp"):
            raise ValueError(
                "it is a JPEG, whose compression invents values between the classes: save the "
                "original as a PNG (converting this file does not remove these values)"
            )
        image = pictures.upright(image)
        size = image.size
        image = image.resize(pictures.scaled_down(size), Image.Resampling.NEAREST)
        if image.mode in ("LA", "RGBA", "RGBX", "PA"):
            image = image.convert(image.mode[:-1])
        if image.mode == "RGB":
            return _of_colours(np.asarray(image)), size
        if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
            raise ValueError(f"its mode is {image.mode}: it must be grey, RGB, or have a palette")
        values = np.asarray(image)
        if content[:4] == b"\x89PNG" and content[25] == 0 and content[24] in (2, 4):
            values = values // (255 // (2 ** content[24] - 1))  # PIL multiplies greys of few bits
        if values.max() > 255 or values.min() < 0:
            raise ValueError(f"its values are {listed(np.unique(values).tolist())}: more than 255")
        values = values.astype("uint8")
        if image.mode != "P":
            return LabelMap(values, _GREYS, True), size
        palette = _padded(np.array(image.getpalette("RGB"), "uint8").reshape(-1, 3))
        label_map = LabelMap(values, palette, True)
        if not label_map.is_coloured() and palette[label_map.found()].max() < 64:
            # The greys in the palette are so dark that they must be class numbers.
            label_map = LabelMap(palette[values][..., 0], _GREYS, True)
        return label_map, size


def _padded(colours):
    return np.pad(colours, ((0, 256 - len(colours)), (0, 0)))


def _of_colours(pixels):
    if not np.ptp(pixels, axis=2).any():
        return LabelMap(pixels[..., 0], _GREYS, True)
    found, values = _unique_colours(pixels)
    if len(found) > 256:
        raise ValueError(
            "it has more than 256 colours: it is a photo, or its compression or smooth edges have "
            "invented colours between those of the classes"
        )
    return LabelMap(values.astype("uint8"), _padded(found), False)


def _unique_colours(pixels):
    """The colours of pixels (H, W, 3), uint8 (n, 3), and which of them each has: (H, W)."""
    packed = pixels.astype("int32") @ np.array([1 << 16, 1 << 8, 1], "int32")
    found, values = np.unique(packed, return_inverse=True)
    colours = found[:, np.newaxis] >> np.array([16, 8, 0]) & 255
    return colours.astype("uint8"), values.reshape(packed.shape)


def of_nearest(pixels, colours):
    """A label map of the nearest of the given colours, and how many are near: a share of pixels.

    `pixels` are uint8 (H, W, 3), `colours` uint8 (K, 3). Returns a `LabelMap` and a share.
    """
    found, values = _unique_colours(pixels)
    is_near = _rows(found, colours, 4 * CLOSE) >= 0
    classes = _rows(found, colours, 255).astype("uint8")
    return LabelMap(classes[values], _padded(colours), False), is_near[values].mean()


def to_classes(label_maps, names, colours, first, remarks, strict=False):
    """Find the class of each pixel in the label maps of a data set.

    Args:
        label_maps: a dict of `LabelMap`s by file name.
        names: the names of the classes; None if they are not known.
        colours: the colours of the classes, (K, 3); None if they are not known. Then the colours
            of the CMP set are tried.
        first: 0 or 1, the number that stands for the first class, in maps that are read by their
            numbers. None to guess it from the numbers.
        remarks: a list, to which a text of each assumption is appended.
        strict: whether a map with any other colour is refused. If False, it is refused only if
            most of its colours are known, or if it has no numbers.

    Returns the classes of the pixels, a list of uint8 (H, W), and `Classes`. Raises ValueError,
    which names the file, if a class is unknown.
    """
    hint = "" if strict else f"; {HINT}"
    if colours is None and (names is None or len(names) == len(CMP_NAMES)):
        coloured = [label_map for label_map in label_maps.values() if label_map.is_coloured()]
        if 2 * sum(one.looks_like(CMP_COLOURS) for one in coloured) > len(coloured):
            names, colours, strict = names or CMP_NAMES, CMP_COLOURS, first is None
    tables = {} if colours is None else _tables(label_maps, colours)
    numbered = {file: one for file, one in label_maps.items() if file not in tables}
    for file, one in numbered.items():
        is_near = colours is not None and first is None and one.looks_like(colours)
        if one.is_coloured() and (strict or is_near or not one.is_numbered):
            unknown, known = one.colours[one.found()], ""
            if colours is not None:
                unknown = unknown[_rows(unknown, colours) < 0]
                known = f", which is none of the {len(colours)} known ones"
            some = " ".join(map(str, unknown[0]))
            raise ValueError(f"{file}: it is in colours, such as {some}{known}{hint}")
    numbered_from = None
    if numbered:
        if first is None:
            _check_palettes(numbered)
        names, numbered_from = _number(numbered, names, first, remarks)
    table = (np.arange(256) - (numbered_from or 0)) % 256
    table[NO_CLASS] = names.index("none") if "none" in names else table[NO_CLASS]
    classes = [
        tables.get(file, table).astype("uint8")[label_map.values]
        for file, label_map in label_maps.items()
    ]
    if colours is None:
        colours = _palette(names, numbered.values(), numbered_from)
    return classes, Classes(names, distinct_colours(len(names), colours), numbered_from)


def _rows(some, colours, close=CLOSE):
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
    tables, is_grey_known = {}, True
    for file, one in label_maps.items():
        table = _rows(one.colours, colours, CLOSE if one.is_coloured() else 0)
        if (table[one.found()] >= 0).all():
            tables[file] = table
        elif not one.is_coloured():
            is_grey_known = False
    return {f: table for f, table in tables.items() if is_grey_known or label_maps[f].is_coloured()}


def _check_palettes(label_maps):
    """Raise ValueError if a number has different colours in two palettes: they were renumbered."""
    seen = {}  # a colour and the file that it is from, by number
    for file, one in label_maps.items():
        for value in one.found() if one.colours is not _GREYS else ():
            colour, other = seen.setdefault(value, (one.colours[value].astype(int), file))
            if np.abs(colour - one.colours[value]).max() > CLOSE:
                raise ValueError(
                    f"{file}: its palette differs from that of {other}. If the numbers are right "
                    f"nevertheless, give --layout-from 0 or 1; {HINT}"
                )


def _number(label_maps, names, first, remarks):
    """The names of the classes, and the number of the first: of maps that are read by numbers."""
    found = {file: one.found().tolist() for file, one in label_maps.items()}
    some_file = next(iter(found))
    numbers = sorted(set().union(*found.values()) - {NO_CLASS})
    if not numbers:
        raise ValueError(f"{some_file}: it holds no class, only {NO_CLASS}")
    if first is None:
        is_full = names is not None and numbers[-1] == len(names)
        first = int(numbers[0] > 0 and (is_full or names in (None, CMP_NAMES)))
        if numbers[0] > 0 and not is_full:
            remarks.append(
                f"there is no 0 in it, so its classes are taken to be numbered from {first} "
                f"(--layout-from {1 - first} says otherwise)"
            )
    if names is None:
        count = numbers[-1] - first + 1
        if count > MAX_SPARSE and count > 4 * len(numbers):
            raise ValueError(
                f"{some_file}: the numbers in the label maps are {listed(numbers)}: number the "
                "classes 0, 1, 2 and so on, or list their colours in a file colours.txt, or the "
                "names of all numbers in a file classes.txt"
            )
        names = tuple(str(first + number) for number in range(count))
        if count == len(CMP_NAMES):
            names = CMP_NAMES
            remarks.append("twelve classes are taken to be the CMP's (classes.txt says otherwise)")
    last = first + len(names) - 1
    for file, values in found.items():
        for value in values:
            if not first <= value <= last and value != NO_CLASS:
                raise ValueError(
                    f"{file}: label {value} is not between {first} and {last}; "
                    f"its values are {listed(values)}"
                )
    if "none" not in names and any(NO_CLASS in values for values in found.values()):
        names = (*names, "none")
        remarks.append(f"{NO_CLASS} is taken for a class of its own, none")
    return names, first


def _palette(names, label_maps, first):
    """Colours in which to show the first classes: the CMP's, those of a palette, or ()."""
    if names[:12] == CMP_NAMES:
        return CMP_COLOURS
    for label_map in label_maps:
        colours = label_map.colours[first : first + len(names) - ("none" in names)]
        if label_map.is_coloured() and (_rows(colours, colours) == range(len(colours))).all():
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
