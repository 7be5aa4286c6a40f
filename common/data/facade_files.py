"""Facades from files: photos with their label maps, in a folder or in a zip file.

Nothing in a file is trusted. A zip file is read in memory and never unpacked, and everything that
could grow has a bound that is checked before it does.
"""

import contextlib
import io
import re
import stat
import warnings
import zipfile
from pathlib import Path, PurePosixPath

from common import UserError

import numpy as np
from PIL import Image, ImageOps

N_CLASSES = 12
MOST_BYTES = 1 << 26  # of one file
MOST_BYTES_TOGETHER = 1 << 28  # the real set has 38 million
MOST_PIXELS = 50_000_000  # of one picture
MOST_PIXELS_TOGETHER = 300_000_000  # the real set has 244 million; four bytes each in memory
MOST_SCANS = 20  # of a JPEG; progressive ones have ten, and each takes the time of a picture
MOST_DIRECTORY_BYTES = 1 << 22  # the list of members in a zip file; the real one has 50,000

_LAYOUT_MODES = ("1", "L", "P", "I", "I;16")
# PIL spreads 2- and 4-bit greys over 0 to 255, where the numbers are classes.
_SPREAD = {"L;2": 85, "L;4": 17}


def read(source):
    """Read all facades of a zip file or folder.

    Two ways of naming the files are known: `NAME.jpg` with the label map `NAME.png`, values 1 to
    12 (the CMP base set, whose folder `base` may be given or the one that holds it), and
    `N_images.jpg` or `.png` with the label map `N_segmentation_labels.bmp`, values 0 to 11 (the
    keras.io document on GauGAN). Other files are ignored.

    Returns photos, a list of uint8 (H, W, 3), layouts, a list of uint8 (H, W) with classes 0 to
    11, and their names. Raises UserError, which names the file, if anything is wrong with them.
    """
    path = Path(source)
    with _reporting(path), contextlib.ExitStack() as stack:
        if path.is_dir():
            folder = path / "base" if (path / "base").is_dir() else path
            names = [entry.name for entry in folder.iterdir() if entry.is_file()]

            def read_bytes(name):
                return _read_file(folder / name)

        elif path.is_file():
            _check_directory_size(path)
            archive = stack.enter_context(zipfile.ZipFile(path))
            _check_members(archive.infolist())
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
            read_bytes = archive.read
        else:
            raise ValueError("no such file or folder: give auto, full, drawn or a path")
        return _read_pairs(*_pair(names), read_bytes)


def read_layout(path):
    """Read one label map: a palette or grey PNG, its values 0 to 11, or 1 to 12 as in the CMP set.

    A map without any 0 is taken to count from 1: the CMP's own never hold a 0, and all of them
    hold background, so that one that counts from 0 would be all facade.

    Returns uint8 (H, W), classes 0 to 11. Raises UserError, which names the values found.
    """
    path = Path(path)
    with _reporting(path), _decoded(_read_file(path)) as image:
        values = _values(image)
        found = np.unique(values)
        first = 1 if found[0] > 0 else 0
        if not first <= found[0] <= found[-1] < first + N_CLASSES:
            raise ValueError(f"its values are {_list(found)}: give 0 to 11, or 1 to 12")
        return (values - first).astype("uint8")


def read_photo(path):
    """Read one photo, upright: uint8 (H, W, 3). Raises UserError if that cannot be done."""
    path = Path(path)
    with _reporting(path), _decoded(_read_file(path)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@contextlib.contextmanager
def _reporting(path):
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ValueError("it is neither a file nor a folder")
        yield
    except FileNotFoundError:
        raise UserError(f"cannot read {path}: no such file") from None
    except OSError as problem:
        raise UserError(f"cannot read {path}: {problem.strerror or _one_line(problem)}") from None
    except Exception as problem:  # zipfile, zlib, struct and PIL each have their own
        raise UserError(f"cannot read {path}: {_one_line(problem)}") from None


def _one_line(problem):
    return " ".join(str(problem).split())[:300] or type(problem).__name__


def _list(values, most=14):
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def _read_file(path):
    if path.is_dir():
        raise ValueError("it is a folder")
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return content


def _check_directory_size(path):
    """Look at a zip file's list of members before `zipfile` reads all of it into memory."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 22))  # a comment may follow it
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end >= 0 and (size > MOST_DIRECTORY_BYTES or b"PK\x06\x07" in tail[max(0, end - 20) : end]):
        raise ValueError("it has too many members")


def _check_members(members):
    for member in members:
        name = member.filename
        if name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
            raise ValueError(f"its member {name} is outside the folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"its member {name} is a symbolic link")
        if member.file_size > MOST_BYTES:
            raise ValueError(f"its member {name} has more than {MOST_BYTES} bytes")
        # The others that zipfile knows are decompressed without regard to that size.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"its member {name} is neither stored nor deflated")


def _pair(names):
    """Photos and their label maps: (name, photo file, label file) each, and the first value."""
    seen = [name for name in names if not PurePosixPath(name).name.startswith(".")]
    photos, first = _find(seen, r"_images\.(jpe?g|png)"), 0
    labels = _find(seen, r"_segmentation_labels\.bmp")
    if not photos and not labels:
        photos, labels, first = _find(seen, r"\.jpe?g"), _find(seen, r"\.png"), 1
    if not photos and not labels:
        raise ValueError("it holds no photos (.jpg) with their label maps (.png)")
    for name, file in photos.items():
        if name not in labels:
            raise ValueError(f"the photo {file} has no label map")
    for name, file in labels.items():
        if name not in photos:
            raise ValueError(f"the label map {file} has no photo")
    # Shorter first, so that 10_images comes after 9_images.
    ordered = sorted(photos, key=lambda name: (len(name), name))
    return [(PurePosixPath(name).name, photos[name], labels[name]) for name in ordered], first


def _find(files, ending):
    """The files whose name has this ending (a pattern), each by its name without it."""
    found = {}
    for file in files:
        if match := re.fullmatch(f"(.+?){ending}", file, re.IGNORECASE):
            if match[1] in found:
                raise ValueError(f"{file} is there twice, as {found[match[1]]}")
            found[match[1]] = file
    return found


def _read_pairs(pairs, first, read_bytes):
    sizes, pixels, photos, layouts = 0, 0, [], []
    for _, photo_file, label_file in pairs:
        with _naming(photo_file):
            content = read_bytes(photo_file)
            with _decoded(content) as photo:
                size = photo.size
                pixels += photo.width * photo.height
                if pixels > MOST_PIXELS_TOGETHER:
                    raise ValueError(f"with it there are more than {MOST_PIXELS_TOGETHER} pixels")
                photos.append(np.asarray(photo.convert("RGB")))
            sizes += len(content)
        with _naming(label_file):
            content = read_bytes(label_file)
            with _decoded(content) as image:
                layouts.append(_checked_layout(image, size, first))
            sizes += len(content)
            if sizes > MOST_BYTES_TOGETHER:
                raise ValueError(f"with it there are more than {MOST_BYTES_TOGETHER} bytes")
    return photos, layouts, tuple(name for name, _, _ in pairs)


def _checked_layout(image, size, first):
    if image.size != size:
        raise ValueError(f"it is {image.width} x {image.height}, its photo {size[0]} x {size[1]}")
    values = _values(image)
    outside = values[(values < first) | (values >= first + N_CLASSES)]
    if len(outside):
        raise ValueError(f"label {outside[0]} is not between {first} and {first + N_CLASSES - 1}")
    return (values - first).astype("uint8")


@contextlib.contextmanager
def _naming(file):
    try:
        yield
    except Exception as problem:
        raise ValueError(f"{file}: {_one_line(problem)}") from None


@contextlib.contextmanager
def _decoded(content):
    """A PIL image of the bytes, whose size is bounded; its pixels are decoded when asked for."""
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MOST_SCANS:
        raise ValueError(f"it is a JPEG of more than {MOST_SCANS} scans")
    # PIL does without the end of a PNG if it can.
    if content.startswith(b"\x89PNG") and b"IEND\xaeB`\x82" not in content:
        raise ValueError("it is truncated")
    with warnings.catch_warnings(action="ignore"):  # of much metadata: what counts is checked here
        try:
            image = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "BMP"))
        except Image.UnidentifiedImageError:
            raise ValueError("it is not a JPEG, PNG or BMP picture") from None
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(
                    f"it is {image.width} x {image.height}, more than {MOST_PIXELS} pixels"
                )
            yield image


def _values(image):
    """The numbers in a palette or grey picture, (H, W) integers, not its colours."""
    if image.mode not in _LAYOUT_MODES:
        raise ValueError(f"it is in colours ({image.mode}): a label map is a palette or grey PNG")
    raw_mode = image.tile[0][3] if image.tile else ""
    values = np.asarray(image)
    return values // _SPREAD[raw_mode] if raw_mode in _SPREAD else values
