"""Photos with label maps in a folder or zip file: which pictures belong together.

Two groups of pictures belong together if their names agree once a folder, what the names of a group
end in, or the format is taken away: `images/1.jpg` and `masks/1.png`, `1_img.png` and `1_mask.png`,
`1.jpg` and `1.png`. Of all pairs of groups that with the most agreeing names is taken. If there is
none, pictures that are much wider than high are pairs side by side, as pix2pix has them.

A file classes.txt may name the classes, in the order of their numbers; a file colours.txt (or
labelmap.txt of CVAT, class_dict.csv of CamVid) names them with their colours.
"""

import contextlib
import itertools
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import PurePosixPath

from common import UserError
from common.data import label_map_files, memory, pictures
from common.data.label_map_files import LOSSLESS
from common.data.reading import (
    expand,
    files_in,
    listed,
    natural_key,
    opened,
    read_bytes,
    reporting,
    with_progress,
)

import numpy as np

MAX_GROUPS = 24  # that have a name in common: more are classes or scenes, each numbered from 1
_LOSSY = (".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".jp2")
_TRAINING = re.compile(r"(?<![a-z])train(ing|a|b)?(?![a-z])")
_CLASS_FILES = ("colours.txt", "colors.txt", "class_dict.csv", "labelmap.txt", "classes.txt")
_RGB = r"(?P<r>\d+)[\s,;]+(?P<g>\d+)[\s,;]+(?P<b>\d+)"
_COLOUR_LINES = rf"(?P<name>\S.*?)[\s,:;]+{_RGB}\s*(:.*)?", rf"{_RGB}[\s,:;]+(?P<name>\S.*)"


def read(source, first=None):
    """Read all photos and label maps of a zip file or folder. Large ones are scaled down.

    `first` is 0 or 1, the number that stands for the first class in maps whose pixels are class
    numbers; None to guess it from the numbers.

    Returns photos, a list of uint8 (H, W, 3); label maps, a list of uint8 (H, W) with classes 0 to
    K - 1; their names; and `label_map_files.Classes`. A line on stderr says what was assumed, and
    which pictures were passed over. Raises UserError, which names the file, if a file is damaged,
    if there are no pairs, or if a photo and its label map do not match.
    """
    path = expand(source)
    with reporting(path):
        if not path.exists():
            raise ValueError("no such file or folder: give auto, full, drawn or a path")
        with opened(path) as folder:
            files = files_in(folder)[0]
            names, colours = _read_classes(folder, files)
            pairs, remarks = find_pairs(folder, files)
            photos, label_maps = _read_pairs(folder, pairs, colours)
        label_maps, classes = label_map_files.to_classes(
            label_maps, names, colours, first, remarks, strict=colours is not None
        )
    if len({value for one in label_maps for value in (one.min(), one.max())}) == 1:
        remarks.append("warning: all pixels of its label maps have the same class")
    if classes.names != label_map_files.CMP_NAMES:
        remarks.insert(0, f"{len(classes.names)} classes: {listed(classes.names)}")
    if remarks:
        print(f"{path}: {'; '.join(remarks)}", file=sys.stderr)
    names = [re.sub("_images$", "", PurePosixPath(photo).stem, flags=re.I) for photo, _ in pairs]
    return photos, label_maps, tuple(names), classes


def find_pairs(folder, files):
    """Find the photos and their label maps.

    `files` are the names of files in the folder. If names of folders speak of a training part, it
    alone is taken. Returns a list of (photo, label map), which are the same file if it holds both
    side by side, and a list of remarks. Raises ValueError if there are no pairs.
    """
    chosen = [file for file in files if _suffix(file) in (".jpg", *LOSSLESS)]
    training = [file for file in chosen if _TRAINING.search(file.casefold().rpartition("/")[0])]
    found = _agreeing(training) or _agreeing(chosen)
    if not found and chosen:
        with reporting(chosen[0]), pictures.opened(read_bytes(folder / chosen[0])) as image:
            if image.width > 1.5 * image.height:
                return [(file, file) for file in training or chosen], []
    if not found:
        hint = "images/1.jpg and masks/1.png, or 1.jpg and 1_mask.png; maps are PNG, BMP, GIF, TIFF"
        if any(file.casefold().endswith(".json") for file in files):
            hint = "JSON files hold outlines: draw maps from them, labelme's with labelme2voc.py"
        raise ValueError(
            f"it holds no photos with label maps whose names agree ({len(chosen)} pictures): {hint}"
        )
    most = max(map(len, found.values()))
    found = {groups: pairs for groups, pairs in found.items() if 2 * len(pairs) > most}
    photos_of = defaultdict(list)
    for (photos, _), pairs in found.items():
        photos_of[photos] = max(photos_of[photos], pairs, key=len)

    def rank(group):  # maps of classes; other maps, such as of instances; others
        words = "label|class", "mask|seg|sem|annot", ""
        return next(i for i, some in enumerate(words) if re.search(some, "".join(group)))

    def unlike_photos(group):
        pairs = photos_of[group]
        colours = _count_colours(folder, pairs[0][0])
        return rank(group) < 2, -len(pairs), -colours, len("".join(group)), group

    def unlike_maps(group):
        return rank(group), -len(found[photos, group]), len("".join(group)), group

    photos = min(photos_of, key=unlike_photos)
    label_maps = min((maps for other, maps in found if other == photos), key=unlike_maps)
    pairs = sorted(found[photos, label_maps], key=lambda pair: natural_key(pair[0]))
    rest = set(chosen).difference(*pairs)
    kinds_of_photos = {_kind(photo) for photo, _ in pairs}
    lone = {file for file in rest if _kind(file) in kinds_of_photos}
    kinds = Counter(map(_kind, sorted(rest - lone, key=natural_key)))
    passed_over = [f"photos without a label map: {len(lone):,}"] if lone else []
    passed_over += [f"{count:,} {kind}" for kind, count in kinds.items()]
    return pairs, [f"passed over: {listed(passed_over)}"] if passed_over else []


def _agreeing(files):
    """Find names that agree: a dict of lists of (photo, label map) by (group, group)."""
    paths = {file: PurePosixPath(unicodedata.normalize("NFC", file).casefold()) for file in files}
    ends = Counter(end for path in paths.values() for end in _ends(path.stem))
    groups = defaultdict(lambda: defaultdict(dict))
    for file, path in paths.items():
        end_of_most = max(_ends(path.stem), key=lambda end: (ends[end], len(end)), default="")
        *parents, _ = path.parts
        for start, stop in ((0, 0), *itertools.combinations(range(len(parents) + 1), 2)):
            for end in sorted({"", end_of_most}) if stop - start <= 2 else ():
                name = *parents[:start], *parents[stop:], path.stem.removesuffix(end)
                groups["/".join(parents[start:stop]), end][name][_suffix(file)] = file
    by_name = defaultdict(dict)
    for (place, end), names in groups.items():
        is_mixed = max(map(len, names.values())) > 1  # 1.jpg and 1.png: a group for each format
        for name, members in names.items():
            for suffix, file in members.items():
                by_name[name][place, end, suffix if is_mixed else ""] = file
    found = defaultdict(list)
    for members in by_name.values():
        if len(members) > MAX_GROUPS:
            continue
        for (photos, photo), (maps, label_map) in itertools.permutations(members.items(), 2):
            if photo != label_map and _suffix(label_map) in LOSSLESS:
                found[photos, maps].append((photo, label_map))
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


def _count_colours(folder, file):
    with contextlib.suppress(Exception):  # if it is damaged, that is said when it is read
        photo, _ = pictures.read_photo(read_bytes(folder / file))
        return len(np.unique(photo.reshape(-1, 3), axis=0))
    return 0


def _read_pairs(folder, pairs, colours):
    """Returns photos, uint8 (H, W, 3), and a dict of `LabelMap`s by the names of their files."""
    photos, label_maps, n_bytes = [], {}, 0
    for number, (photo_file, map_file) in enumerate(with_progress(pairs, "photos"), start=1):
        with reporting(photo_file):
            photo, size = pictures.read_photo(read_bytes(folder / photo_file))
            if map_file == photo_file:
                photo, label_maps[map_file] = _halves(photo, colours)
        if map_file != photo_file:
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


def _halves(picture, colours):
    """Cut a picture of a photo beside its label map in the middle: uint8 (H, W, 3), `LabelMap`.

    The half whose pixels are nearer to the colours of the classes is the label map. Each pixel of
    it gets the nearest of them, since these pictures are often JPEGs, which changes colours.
    """
    colours = label_map_files.CMP_COLOURS if colours is None else colours
    width = picture.shape[1] // 2
    halves = picture[:, :width], picture[:, -width:]
    (left, left_share), (right, right_share) = (
        label_map_files.of_nearest(half, colours) for half in halves
    )
    if max(left_share, right_share) < 0.5:
        raise ValueError(
            "it looks like a photo beside its label map, as pix2pix has them, but most colours in "
            f"it are those of no classes; {label_map_files.HINT}"
        )
    return (halves[1], left) if left_share > right_share else (halves[0], right)


def _read_classes(folder, files):
    """Read the names of the classes and their colours, (K, 3). Each is None if no file lists it."""
    inner_first = sorted(files, key=lambda file: -file.count("/"))
    paths = {PurePosixPath(file.casefold()).name: file for file in inner_first}
    for name in filter(paths.get, _CLASS_FILES):
        with reporting(paths[name]):
            try:
                text = read_bytes(folder / paths[name]).decode("utf-8-sig")
            except UnicodeDecodeError:
                raise ValueError("it is not in UTF-8: save it anew, with that encoding") from None
            lines = [line.strip() for line in text.splitlines()]
            lines = [line for line in lines if line and not re.match("#|name,r", line)]
            if not 0 < len(lines) < label_map_files.NO_CLASS:
                raise ValueError(f"it lists {len(lines)} classes, but there must be 1 to 254")
            return (tuple(lines), None) if name == "classes.txt" else _colours_in(lines)
    return None, None


def _colours_in(lines):
    found = {}
    for line in lines:
        match = re.fullmatch(_COLOUR_LINES[0], line) or re.fullmatch(_COLOUR_LINES[1], line)
        colour = tuple(int(match[channel]) for channel in ("r", "g", "b")) if match else (256,)
        if max(colour) > 255:
            raise ValueError(f"the line {line[:50]!r} does not have the form: name red green blue")
        if colour in found:
            raise ValueError(f"{found[colour]} and {match['name']} have the same colour")
        found[colour] = match["name"]
    return tuple(found.values()), np.array(list(found), "uint8")


def read_label_map(path, class_names=label_map_files.CMP_NAMES, first=None, colours=None):
    """Read one label map for a generator. What had to be guessed is printed on stderr.

    Args:
        path: the path of a PNG, BMP, GIF or TIFF.
        class_names: the names of the K classes of the generator.
        first: see `read`.
        colours: the colours of the classes, uint8 (K, 3). None for the colours of the CMP set if
            its classes are given, else for no known colours.

    Returns uint8 (H, W), classes 0 to K - 1. Raises UserError if the file cannot be read, or has
    other classes.
    """
    path, class_names, remarks = expand(path), tuple(class_names), []
    with reporting(path):
        label_map, _ = label_map_files.decode(read_bytes(path))
        known = label_map_files.CMP_COLOURS
        may_be_cmp = all(map(str.isdecimal, class_names))  # the numbers may stand for its classes
        if may_be_cmp and label_map.looks_like(known):
            colours = known[: len(class_names)]
        elif colours is None and class_names == label_map_files.CMP_NAMES:
            colours = known
    try:
        (classes,), found = label_map_files.to_classes(
            {path: label_map}, class_names, colours, first, remarks
        )
        if len(found.names) > len(class_names):
            raise ValueError(f"{path}: label {label_map_files.NO_CLASS} is none of the classes")
    except ValueError as problem:
        raise UserError(f"cannot read {problem}") from None
    if remarks:
        print(f"{path}: {'; '.join(remarks)}", file=sys.stderr)
    return classes


def read_photo(path):
    """Read one photo, turned upright: uint8 (H, W, 3). Raises UserError if it cannot be read."""
    path = expand(path)
    with reporting(path):
        return pictures.read_photo(read_bytes(path))[0]
