"""Reading pictures of any format and mode, turned upright, with 8 bits per channel.

It reads the user's own images, the photos of facades, and the photo for --style.
"""

import contextlib
import io
import logging
import re
import warnings

from common.data.pixels import to_bytes

import numpy as np
from PIL import Image

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # PIL raises an exception, too

MAX_PIXELS = 120_000_000  # of one picture: phones make 108 million
MAX_SCANS = 20  # of a JPEG. Progressive ones have about ten, and each takes time to decode
LONG_SIDE, SHORT_SIDE = 1024, 512  # pixels. Larger photos are scaled down as they are read
RESAMPLING = Image.Resampling.HAMMING

# Formats for which PIL calls other programs, or has no decoder of its own.
_NOT_READ = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS")
# The beginning of photos in the format of iPhones, after the four bytes of its length.
_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1")
# How to turn a picture upright, by the number for the orientation in its EXIF data.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# In a JPEG, the beginning of a segment whose length follows.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def formats():
    """The names of all picture formats that can be read."""
    Image.init()
    return tuple(name for name in Image.OPEN if name not in _NOT_READ)


@contextlib.contextmanager
def opened(content, known_formats=None):
    """Yield a PIL image of the bytes, after a check of its size. PIL decodes it at its first use.

    Raises ValueError if the bytes are not a picture in one of the formats, if the picture is too
    large, or if it is truncated.
    """
    if not content:
        raise ValueError("it is empty")
    if content.startswith(b"\xff\xd8") and _scans(content) > MAX_SCANS:
        raise ValueError(f"it is a JPEG of more than {MAX_SCANS} scans")
    # PIL reads a PNG even if its end is missing.
    if content.startswith(b"\x89PNG") and b"IEND\xaeB`\x82" not in content:
        raise ValueError("it is truncated")
    known_formats = known_formats or formats()
    with warnings.catch_warnings(action="ignore"):  # the size is checked below
        try:
            image = Image.open(io.BytesIO(content), formats=known_formats)
        except Image.DecompressionBombError:
            raise ValueError(
                f"it has more than {2 * Image.MAX_IMAGE_PIXELS} pixels: scale it down"
            ) from None
        except Image.UnidentifiedImageError:
            if content[4:12] in _HEIC:
                raise ValueError(
                    "it is in the HEIC format, which cannot be read: convert it to JPEG"
                ) from None
            some = "JPEG, PNG, BMP, GIF, WebP, TIFF and others"
            some = some if len(known_formats) > 3 else " and ".join(known_formats)
            raise ValueError(f"it is not a picture in a format that can be read: {some}") from None
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"it is {image.width} x {image.height}, more than {MAX_PIXELS} pixels"
                )
            yield image


def _scans(content):
    """The number of scans in a JPEG, without data after its end, such as a film from a phone."""
    count, position = 0, 2
    while count <= MAX_SCANS and (marker := _MARKER.search(content, position)):
        if marker[0] == b"\xff\xd9":
            break
        count += marker[0] == b"\xff\xda"
        position = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return count


def read_photo(content):
    """Read a photo, and scale it down if it is large.

    `content` is the bytes of the file. Returns uint8 (H, W, 3), and the size (width, height) before
    scaling. Raises ValueError if the bytes cannot be read.
    """
    with opened(content) as image:
        size = image.size
        # A JPEG is decoded faster at a lower resolution.
        image.draft(None, [2 * max(scaled_down(size))] * 2)
        photo = flattened(image)
        if _orientation(image) in (5, 6, 7, 8):
            size = size[::-1]
        if photo.size != scaled_down(size):
            photo = photo.resize(scaled_down(size), RESAMPLING)
        return np.asarray(photo.convert("RGB")), size


def read_square(content, image_size):
    """Read the largest square in the middle of a picture, and scale it to `image_size` pixels.

    `content` is the bytes of the file. Returns a PIL image in mode L or RGB. Raises ValueError if
    the bytes cannot be read.
    """
    with opened(content) as image:
        image.draft(None, (4 * image_size, 4 * image_size))
        return square(flattened(image), image_size)


def square(image, image_size):
    """The largest square in the middle of a PIL image, scaled to `image_size` pixels."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((image_size, image_size), RESAMPLING, (left, top, left + side, top + side))


def scaled_down(size):
    """The size (width, height) to which a photo is scaled down; the same size if it is small.

    Then the long side has at most 1024 pixels, or the short side at most 512.
    """
    scale = max(LONG_SIDE / max(size), SHORT_SIDE / min(size))
    return size if scale >= 1 else tuple(max(1, round(side * scale)) for side in size)


def upright(image):
    """Decode a PIL image, and turn it as its EXIF data says."""
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def flattened(image):
    """Convert a PIL image to mode L or RGB, upright, with white where it is transparent.

    Raises ValueError if it cannot be decoded, or if its numbers are in an unknown range.
    """
    image = upright(image)
    if image.mode == "F" or image.mode.startswith("I"):  # PIL would clip at 255
        shades, _ = to_bytes(np.asarray(image))
        return Image.fromarray(shades)
    if image.has_transparency_data:
        image = image.convert("RGBA") if image.mode != "RGBA" else image
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image)
        return paper
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _orientation(image):
    """The number for the orientation in the EXIF data of a picture; None if there is none."""
    image.load()  # PIL itself turns a TIFF upright when it is decoded
    with contextlib.suppress(Exception):
        return image.getexif().get(0x0112)
