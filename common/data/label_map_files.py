"""Reading label maps, in which a number or a colour marks the class of each pixel.

A label map is a PNG, BMP, GIF or TIFF: grey or with a palette, whose values are the numbers of the
classes, or in colours that are known. Known are those of the CMP facades, and those in the user's
own file `colours.txt`. Since image editors and optimisers renumber palettes, known colours count
for more than numbers. Numbers begin at 0, or at 1 as in the CMP set; 255 means none of the classes.
"""

from typing import NamedTuple

from common.data import pictures
from common.data.reading import listed, reporting

import numpy as np
from PIL import Image

CMP_NAMES = ("background", "facade", "window", "door", "cornice", "sill")
CMP_NAMES += ("balcony", "blind", "deco", "molding", "pillar", "shop")
CMP_COLOURS = np.array(
    [(0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (85, 255, 170)]
    + [(170, 255, 85), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (170, 0, 0)],
    "uint8",
)
NO_CLASS = 255  # in many data sets the number of pixels that belong to no class
CLOSE = 8  # in each channel, between a colour in a file and that of the class
MAX_SPARSE = 16  # with more unnamed classes, at least a quarter of the numbers must occur
HINT = "if they are those of your own classes, list them in a file colours.txt: name red green blue"
_GREYS = np.repeat(np.arange(256, dtype="uint8")[:, np.newaxis], 3, axis=1)


class LabelMap(NamedTuple):
    """The content of a file: values uint8 (H, W), and the colour of each value, uint8 (n, 3)."""

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
        rows = rows_of(self.colours[self.found()], colours)
        known = rows[rows >= 0]
        # Pure red, yellow, cyan and blue are in many palettes. So one mixed colour is required.
        return 2 * len(known) > len(rows) and bool((colours[known] % 255 > 0).any())


class Classes(NamedTuple):
    """What is known of the K classes of label maps."""

    names: tuple  # (): not known
    colours: np.ndarray  # uint8 (K, 3), or (0, 3): not known
    numbered_from: int | None  # number of the first class, 0 or 1, if they are read by numbers


def decode(content):
    """Decode a label map. If it is large, it is scaled down like a photo of the same size.

    `content` is the bytes of the file. Returns a `LabelMap`, and the size (width, height) before
    scaling. Raises ValueError if the bytes are not a label map.
    """
    with pictures.opened(content) as image:
        is_jpeg = image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")
        if is_jpeg or image.format not in ("PNG", "BMP", "GIF", "TIFF"):
            kind = "JPEG" if is_jpeg else image.format
            raise ValueError(
                f"it is a {kind}, whose compression may invent values between the classes: save "
                "the original as a PNG (converting this file does not remove these values)"
            )
        image = pictures.upright(image)
    size = image.size
    image = image.resize(pictures.scaled_down(size), Image.Resampling.NEAREST)
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if image.mode == "RGB":
        if np.ptp(values, axis=2).any():
            colours, values = unique_colours(values)
            if len(colours) > 256:
                raise ValueError(
                    "it has more than 256 colours: it is a photo, or its compression or smooth "
                    "edges have invented colours between those of the classes"
                )
            return LabelMap(values.astype("uint8"), colours, False), size
        values = values[..., 0]
    if content[:4] == b"\x89PNG" and content[25] == 0 and content[24] in (2, 4):
        values = values // (255 // (2 ** content[24] - 1))  # PIL multiplies greys of few bits
    if values.max() > 255 or values.min() < 0:
        raise ValueError(f"its values are {listed(np.unique(values).tolist())}: more than 255")
    label_map = LabelMap(values.astype("uint8"), _GREYS, True)
    if image.mode == "P":
        palette = np.zeros((256, 3), "uint8")
        palette.flat[: len(image.getpalette("RGB"))] = image.getpalette("RGB")
        label_map = label_map._replace(colours=palette)
        if not label_map.is_coloured() and palette[label_map.found()].max() < 64:
            # The greys in the palette are so dark that they must be class numbers.
            label_map = LabelMap(palette[values][..., 0], _GREYS, True)
    return label_map, size


def unique_colours(pixels):
    """The colours of pixels (H, W, 3), uint8 (n, 3), and which of them each has: (H, W)."""
    packed = pixels.astype("int32") @ np.array([1 << 16, 1 << 8, 1], "int32")
    found, values = np.unique(packed, return_inverse=True)
    colours = found[:, np.newaxis] >> np.array([16, 8, 0]) & 255
    return colours.astype("uint8"), values.reshape(packed.shape)


def halves(picture, colours, side=None):
    """Cut a picture of a photo beside its label map in the middle: uint8 (H, W, 3), `LabelMap`.

    The half on that side, "left" or "right", is the label map; if it is None, the half whose pixels
    are nearer to the `colours` of the classes, uint8 (K, 3), or the CMP's if there are none. Each
    pixel gets the nearest of them, since these pictures are often JPEGs, which changes colours.
    Raises ValueError if the half is not near to them, or if both are alike.
    """
    colours = colours if len(colours) else CMP_COLOURS
    found, values = unique_colours(picture)
    distances = np.abs(found[:, np.newaxis].astype(int) - colours).max(axis=2)
    classes = distances.argmin(axis=1).astype("uint8")[values]
    distance = distances.min(axis=1)[values]
    width = picture.shape[1] // 2
    places = {"left": np.s_[:, :width], "right": np.s_[:, -width:]}
    mean = {name: distance[half].mean() for name, half in places.items()}
    near = {name: np.mean(distance[half] <= 4 * CLOSE) for name, half in places.items()}
    if (near[side] if side else max(near.values())) < 0.5:
        what = "it looks like a photo beside its label map, as pix2pix has them"
        half = f"its {side} half" if side else "either half"
        raise ValueError(f"{what}, but most colours in {half} are those of no classes; {HINT}")
    if side is None and max(mean.values()) < 1.1 * min(mean.values()) + 1:
        raise ValueError("either half may be the label map: --pairs left or right says which is")
    label_map = places.pop(side or min(mean, key=mean.get))
    (photo,) = places.values()
    return picture[photo], LabelMap(classes[label_map], colours, False)


def rows_of(some, colours, close=CLOSE):
    """For each colour in `some`, uint8 (n, 3), the index of one so close in `colours`, or -1."""
    distances = np.abs(some[:, np.newaxis].astype(int) - colours).max(axis=2)
    return np.insert(distances, 0, close + 1, axis=1).argmin(axis=1) - 1  # 0: none is so close


def to_classes(label_maps, known, remarks, strict=True):
    """Find the class of each pixel in label maps, a dict of `LabelMap`s by file name.

    `known` are `Classes`: without names and colours, those of the CMP set are tried; without
    `numbered_from` it is guessed. To `remarks` a text of each assumption is appended. If it is not
    `strict`, a palette of other colours is passed over, unless most of its colours are known.

    Returns the classes of the pixels, a list of uint8 (H, W), and `Classes`. Raises UserError,
    which names the file, if a class is unknown.
    """
    names, colours, first = known
    coloured = {file: one for file, one in label_maps.items() if one.is_coloured()}
    are_like_the_cmps = sum(one.looks_like(CMP_COLOURS) for one in coloured.values())
    may_be = not len(colours) and len(names) in (0, len(CMP_NAMES))
    if may_be and 2 * are_like_the_cmps > len(coloured):
        names, colours = names or CMP_NAMES, CMP_COLOURS
    tables = {  # the class of each value, by its colour, or -1
        file: rows_of(one.colours, colours, CLOSE if file in coloured else 0)
        for file, one in label_maps.items()
    }
    numbered = {f: one for f, one in label_maps.items() if (tables[f][one.found()] < 0).any()}
    if numbered.keys() - coloured.keys():  # some greys are numbers, so all are
        numbered |= {file: one for file, one in label_maps.items() if file not in coloured}
    palette = {}
    for file, one in numbered.items():
        with reporting(file):
            is_wrong = first is None and len(colours) and (strict or one.looks_like(colours))
            if file in coloured and (is_wrong or not one.is_numbered):
                unknown = next(v for v in one.found() if tables[file][v] < 0)
                some = " ".join(map(str, one.colours[unknown]))
                text = f"it is in colours, such as {some}, which is none of the known ones"
                raise ValueError(f"{text}; {HINT}")
            for value in one.found() if one.colours is not _GREYS and first is None else ():
                colour = palette.setdefault(value, one.colours[value].astype(int))
                if np.abs(colour - one.colours[value]).max() > CLOSE:
                    hint = "if the numbers are right nevertheless, give --layout-from 0 or 1"
                    raise ValueError(f"its palette differs from another map's: {hint}; {HINT}")
    if numbered:
        names, first = _number(numbered, names, first, remarks)
        table = (np.arange(256) - first) % 256
        table[NO_CLASS] = names.index("none") if "none" in names else NO_CLASS
        tables |= dict.fromkeys(numbered, table)
        if not len(colours) and names[: len(CMP_NAMES)] == CMP_NAMES:
            colours = CMP_COLOURS
        elif not len(colours):  # those of a palette, if they differ from each other
            end = first + len(names) - ("none" in names)
            palettes = [one.colours[first:end] for one in numbered.values() if one.is_coloured()]
            colours = next((p for p in palettes if (rows_of(p, p) == range(len(p))).all()), ())
    classes = [tables[file].astype("uint8")[one.values] for file, one in label_maps.items()]
    colours = distinct_colours(len(names), colours)
    return classes, Classes(names, colours, first if numbered else None)


def _number(label_maps, names, first, remarks):
    """The names of the classes, and the number of the first: of maps that are read by numbers."""
    found = {file: one.found().tolist() for file, one in label_maps.items()}
    numbers = sorted(set().union(*found.values()) - {NO_CLASS}) or [0]
    if first is None:
        is_full = numbers[-1] == len(names)
        first = int(numbers[0] > 0 and (is_full or names in ((), CMP_NAMES)))
        if numbers[0] > 0 and not is_full:
            remarks.append(
                f"there is no 0 in it, so its classes are taken to be numbered from {first} "
                f"(--layout-from {1 - first} says otherwise)"
            )
    if not names:
        count = numbers[-1] - first + 1
        if count > MAX_SPARSE and count > 4 * len(numbers):
            raise ValueError(
                f"the numbers in the label maps are {listed(numbers)}: number the classes 0, 1, 2, "
                "..., or list their colours in colours.txt, or names of all numbers in classes.txt"
            )
        names = tuple(str(first + number) for number in range(count))
        if count == len(CMP_NAMES):
            names = CMP_NAMES
            remarks.append("twelve classes are taken to be the CMP's (classes.txt says otherwise)")
    last = first + len(names) - 1
    for file, values in found.items():
        with reporting(file):
            if others := [v for v in values if not first <= v <= last and v != NO_CLASS]:
                text = f"its values are {listed(values)}"
                raise ValueError(f"label {others[0]} is not between {first} and {last}; {text}")
    if "none" not in names and any(NO_CLASS in values for values in found.values()):
        names = (*names, "none")
        remarks.append(f"{NO_CLASS} is taken for a class of its own, none")
    return names, first


def distinct_colours(count, colours=()):
    """Extend colours to `count` that are easy to tell apart, without greys: uint8 (count, 3)."""
    steps = np.array([0, 51, 102, 153, 204, 255, 230])
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    candidates = candidates[np.ptp(candidates, axis=1) > 0]
    chosen = [*np.asarray(colours, int).reshape(-1, 3)] or [np.array((0, 0, 170))]
    while len(chosen) < count:
        distances = np.abs(candidates[:, np.newaxis] - np.array(chosen)).sum(axis=2)
        chosen.append(candidates[distances.min(axis=1).argmax()])
    return np.array(chosen[:count], "uint8")
