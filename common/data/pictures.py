"""The one reader of photos: whatever the format and mode, upright and in eight bits.

Used for one's own images, for the photos of facades, and for --style.
"""

import contextlib
import io
import logging
import re
import warnings

from common.data.pixels import to_bytes

import numpy as np
from PIL import Image

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what it logs becomes an exception as well

MAX_PIXELS = 120_000_000  # of one picture: phones make 108 million
MAX_SCANS = 20  # of a JPEG; progressive ones have ten, and each takes the time of a picture
LONG_SIDE, SHORT_SIDE = 1024, 512  # a photo that has more is scaled down as it is read
RESAMPLING = Image.Resampling.HAMMING

# These call other programs, or have no decoder of their own.
_NOT_READ = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS")
# What turns a picture upright, by the number that its EXIF data has for the orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # of a JPEG, one that has a length


def formats():
    """The names of all picture formats that are read."""
    Image.init()
    return tuple(name for name in Image.OPEN if name not in _NOT_READ)


@contextlib.contextmanager
def opened(content, known_formats=None):
    """Yield a PIL image of the bytes, whose size is bounded; it is decoded when it is asked for.

    Raises ValueError if the bytes are not a picture in one of the formats, or are truncated.
    """
    if content.startswith(b"\xff\xd8") and _scans(content) > MAX_SCANS:
        raise ValueError(f"it is a JPEG of more than {MAX_SCANS} scans")
    # PIL does without the end of a PNG if it can.
    if content.startswith(b"\x89PNG") and b"IEND\xaeB`\x82" not in content:
        raise ValueError("it is truncated")
    known_formats = known_formats or formats()
    with warnings.catch_warnings(action="ignore"):  # of much metadata: what counts is checked here
        try:
            image = Image.open(io.BytesIO(content), formats=known_formats)
        except Image.UnidentifiedImageError:
            some = "JPEG, PNG, BMP, GIF, WebP, TIFF and others"
            some = some if len(known_formats) > 3 else " and ".join(known_formats)
            raise ValueError(f"it is not a picture in a format that is read: {some}") from None
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"it is {image.width} x {image.height}, more than {MAX_PIXELS} pixels"
                )
            yield image


def _scans(content):
    """How many scans a JPEG has. What phones append to one, such as a film, does not count."""
    count, position = 0, 2
    while count <= MAX_SCANS and (marker := _MARKER.search(content, position)):
        if marker[0] == b"\xff\xd9":
            break
        count += marker[0] == b"\xff\xda"
        position = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return count


def read_photo(content):
    """A photo, scaled down if it is large: uint8 (H, W, 3), and its size (width, height) before.

    `content` is the bytes of the file. Raises ValueError if they cannot be read.
    """
    with opened(content) as image:
        size = image.size
        image.draft(None, [2 * max(scaled_down(size))] * 2)  # decodes no more of a JPEG than needed
        photo = flattened(image)
        if _orientation(image) in (5, 6, 7, 8):
            size = size[::-1]
        if photo.size != scaled_down(size):
            photo = photo.resize(scaled_down(size), RESAMPLING)
        return np.asarray(photo.convert("RGB")), size


def read_square(content, image_size):
    """The largest square in the middle of a picture, scaled: a PIL image in mode L or RGB.

    `content` is the bytes of the file. Raises ValueError if they cannot be read.
    """
    with opened(content) as image:
        image.draft(None, (4 * image_size, 4 * image_size))
        return square(flattened(image), image_size)


def square(image, image_size, resampling=RESAMPLING):
    """The largest square in the middle of a PIL image, scaled to `image_size` pixels."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((image_size, image_size), resampling, (left, top, left + side, top + side))


def scaled_down(size):
    """The size of a photo, (width, height), whose sides are to be no longer than need be."""
    scale = max(LONG_SIDE / max(size), SHORT_SIDE / min(size))
    return size if scale >= 1 else tuple(max(1, round(side * scale)) for side in size)


def upright(image):
    """A PIL image, decoded and turned as its EXIF data says."""
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def flattened(image):
    """A PIL image upright, on white where it is transparent, in eight bits: in mode L or RGB.

    Raises ValueError if it cannot be decoded, or if its numbers are no shades.
    """
    image = upright(image)
    if image.has_transparency_data:
        image = image.convert("RGBA") if image.mode != "RGBA" else image
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image)
        return paper
    if image.mode == "F" or image.mode.startswith("I"):  # PIL's own conversion clips
        shades, _ = to_bytes(np.asarray(image))
        return Image.fromarray(shades)
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _orientation(image):
    """What the EXIF data of a picture says, if it can be read."""
    image.load()  # PIL turns a TIFF itself when it decodes it
    with contextlib.suppress(Exception):
        return image.getexif().get(0x0112)
