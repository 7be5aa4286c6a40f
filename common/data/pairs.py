"""Photos with label maps in a folder or zip file: which pictures belong together.

Two groups of pictures belong together if their names agree once a folder, what the names of a group
end in, or the format is taken away: `images/1.jpg` and `masks/1.png`, `1_img.png` and `1_mask.png`,
`1.jpg` and `1.png`. Of all pairs of groups that with the most agreeing names is taken. If there is
none, pictures that are much wider than high are pairs side by side, as pix2pix has them.

A file classes.txt may name the classes, in the order of their numbers; a file colours.txt (or
labelmap.txt of CVAT, class_dict.csv of CamVid) names them with their colours.
"""

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import PurePosixPath

from common.data import pictures
from common.data.reading import beginning, kind_of, listed, natural_key, read_bytes, reporting

import numpy as np

MAX_GROUPS = 24  # that have a name in common: more are classes or scenes, each numbered from 1
_LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff")
_LOSSY = (".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".jp2")
_TRAINING = re.compile(r"(?<![a-z])train(ing|a|b)?(?![a-z])")
_CLASS_FILES = ("colours.txt", "colors.txt", "class_dict.csv", "labelmap.txt", "classes.txt")
_RGB = r"(?P<r>\d+)[\s,;]+(?P<g>\d+)[\s,;]+(?P<b>\d+)"
_COLOUR_LINES = rf"(?P<name>\S.*?)[\s,:;]+{_RGB}\s*(:.*)?", rf"{_RGB}[\s,:;]+(?P<name>\S.*)"


def find_pairs(folder, files, are_beside=False):
    """Find the photos and their label maps among the `files` in a folder.

    If names of folders speak of a training part, it alone is taken. With `are_beside`, each picture
    holds a photo and its label map. Returns a list of (photo, label map), which are the same file
    if it holds both, and a list of remarks. Raises ValueError if there are no pairs.
    """
    chosen = [file for file in files if _suffix(file) in (".jpg", *_LOSSLESS)]
    training = [file for file in chosen if _TRAINING.search(file.casefold().rpartition("/")[0])]
    found = {} if are_beside else _agreeing(training) or _agreeing(chosen)
    if not found and chosen:
        with reporting(chosen[0]), pictures.opened(read_bytes(folder / chosen[0])) as image:
            if are_beside or image.width > 1.5 * image.height:
                return [(file, file) for file in training or chosen], []
    if not found:
        hint = "images/1.jpg and masks/1.png, or 1.jpg and 1_mask.png; maps are PNG, BMP, GIF, TIFF"
        for file in files:  # such as JSON of outlines, or another zip file
            if not file.endswith((".md", ".txt")) and (kind := kind_of(beginning(folder / file))):
                hint = f"{file} is {kind}"
        what = f"no photos with label maps whose names agree ({len(chosen)} pictures)"
        raise ValueError(f"it holds {what}: {hint}")
    most = max(map(len, found.values()))
    n_maps, sizes = Counter(), {}  # of each group that may be the photos
    for (photos, _), pairs in found.items():
        n_maps[photos] = max(n_maps[photos], len(pairs))
        sizes[photos] = (folder / pairs[0][0]).stat().st_size

    def rank(group):  # maps of classes; other maps, such as of instances; others
        words = "label|class", "mask|seg|sem|annot", ""
        return next(i for i, some in enumerate(words) if re.search(some, "".join(group)))

    def order(groups):
        photos, maps = groups
        is_lossless = photos[-1] != ".jpg"  # among these, files of photos are the larger ones
        unlike_photos = rank(photos) < 2, -n_maps[photos], is_lossless, -sizes[photos]
        unlike_maps = rank(maps), -len(found[groups]), len("".join(maps)), maps
        return *unlike_photos, len("".join(photos)), photos, *unlike_maps

    likely = [groups for groups, pairs in found.items() if 2 * len(pairs) > most]
    pairs = sorted(found[min(likely, key=order)], key=lambda pair: natural_key(pair[0]))
    rest = set(chosen).difference(*pairs)
    kinds_of_photos = {_kind(photo) for photo, _ in pairs}
    lone = {file for file in rest if _kind(file) in kinds_of_photos}
    kinds = Counter(map(_kind, sorted(rest - lone, key=natural_key)))
    passed_over = [f"photos without a label map: {len(lone):,}"] if lone else []
    passed_over += [f"{count:,} {kind}" for kind, count in kinds.items()]
    return pairs, [f"passed over: {listed(passed_over)}"] if passed_over else []


def _agreeing(files):
    """Names that agree: a dict of lists of (photo, label map) by groups (folders, end, format)."""
    paths = {file: PurePosixPath(unicodedata.normalize("NFC", file).casefold()) for file in files}
    ends = Counter(end for path in paths.values() for end in _ends(path.stem))
    by_name = defaultdict(dict)
    for file, path in paths.items():
        end_of_most = max(_ends(path.stem), key=lambda end: (ends[end], len(end)), default="")
        *parents, _ = path.parts
        for start, stop in ((0, 0), *itertools.combinations(range(len(parents) + 1), 2)):
            for end in sorted({"", end_of_most}) if stop - start <= 2 else ():
                name = *parents[:start], *parents[stop:], path.stem.removesuffix(end)
                by_name[name]["/".join(parents[start:stop]), end, _suffix(file)] = file
    found = defaultdict(list)
    for members in by_name.values():
        for one, other in itertools.permutations(members if len(members) <= MAX_GROUPS else (), 2):
            if members[one] != members[other] and other[-1] != ".jpg":
                found[one, other].append((members[one], members[other]))
    return found


def _ends(stem):
    """What a name may have in common with its whole group: its last words that hold a letter."""
    words, ends = re.split("(?=[_. -])", stem)[1:], []
    while words and any(map(str.isalpha, words[-1])):
        ends.append(words.pop() + (ends[-1] if ends else ""))
    return ends


def _suffix(file):
    """The format of a picture by its name: .jpg for all that lose something, such as .webp."""
    suffix = PurePosixPath(file).suffix.casefold()
    return ".jpg" if suffix in _LOSSY else suffix


def _kind(file):
    """What pictures like this one are called in a line: folder/*_end.png."""
    path = PurePosixPath(file)
    return str(path.with_name(f"*{next(iter(_ends(path.stem)), '')}{_suffix(file)}"))


def read_classes(folder, files):
    """Read the names of the classes, and their colours, uint8 (K, 3), from a file that lists them.

    Returns a tuple and an array; they are empty if there is no such file. Raises UserError if it is
    damaged.
    """
    inner_first = sorted(files, key=lambda file: -file.count("/"))
    paths = {PurePosixPath(file.casefold()).name: file for file in inner_first}
    name = next(filter(paths.get, _CLASS_FILES), None)
    if name is None:
        return (), np.empty((0, 3), "uint8")
    with reporting(paths[name]):
        try:
            text = read_bytes(folder / paths[name]).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError("it is not in UTF-8: save it anew, with that encoding") from None
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not re.match("#|name,r", line)]
        if not 0 < len(lines) < 255:
            raise ValueError(f"it lists {len(lines)} classes, but there must be 1 to 254")
        if name == "classes.txt":
            return tuple(lines), np.empty((0, 3), "uint8")
        names, colours = [], []
        for line in lines:
            match = re.fullmatch(_COLOUR_LINES[0], line) or re.fullmatch(_COLOUR_LINES[1], line)
            colour = [int(match[channel]) for channel in "rgb"] if match else [256]
            if max(colour) > 255:
                form = "name red green blue"
                raise ValueError(f"the line {line[:50]!r} does not have the form: {form}")
            names.append(match["name"])
            colours.append(colour)
        return tuple(names), np.array(colours, "uint8")
