"""Reading pictures of any format and mode, turned upright, with 8 bits per channel, in sRGB.

It reads the user's own images, the photos of facades, and the photo for --style.
"""

import contextlib
import io
import logging
import re
import warnings

from common.data.pixels import to_bytes
from common.data.reading import MAX_FILE_BYTES, kind_of

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # PIL raises an exception, too
# Texts in a PNG, such as those of microscopes and of Blender, may be as large as a file.
PngImagePlugin.MAX_TEXT_CHUNK = MAX_FILE_BYTES

MAX_PIXELS = 120_000_000  # of one picture: phones make 108 million
MAX_SCANS = 20  # of a JPEG. Progressive ones have about ten, and each takes time to decode
LONG_SIDE, SHORT_SIDE = 1024, 512  # pixels. Larger photos are scaled down as they are read
RESAMPLING = Image.Resampling.HAMMING
SIXTEEN_BITS = "pixels of 16 bits are scaled to 8"  # as `to_bytes` says it

# Formats for which PIL calls other programs, or has no decoder of its own.
_NOT_READ = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS")
_NEARLY_WHITE = 240
# In a JPEG, the beginning of a segment whose length follows.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_SRGB = ImageCms.createProfile("sRGB")


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
            some = "JPEG, PNG, BMP, GIF, WebP, TIFF and others"
            some = some if len(known_formats) > 4 else " and ".join(known_formats)
            what = kind_of(content) or f"not a picture in a format that can be read: {some}"
            raise ValueError(f"it is {what}") from None
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it is {image.width} x {image.height}, more than {MAX_PIXELS} pixels")
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
        image.load()
        if _orientation(image) in (5, 6, 7, 8):
            size = size[::-1]
        photo = flattened(image)
        if photo.size != scaled_down(size):
            photo = photo.resize(scaled_down(size), RESAMPLING)
        return np.asarray(photo.convert("RGB")), size


def read_square(content, image_size, remarks=None, white=65535):
    """Read the largest square in the middle of a picture, and scale it to `image_size` pixels.

    `content` is the bytes of the file; for the rest see `flattened`. Returns a PIL image in mode L
    or RGB. Raises ValueError if the bytes cannot be read.
    """
    with opened(content) as image:
        image.draft(None, (4 * image_size, 4 * image_size))
        picture = square(flattened(image, remarks, white), image_size)
        with contextlib.suppress(Exception):  # whatever is wrong with the other pages
            if remarks is not None and getattr(image, "is_animated", False):
                remarks.add("of pictures with several pages or frames, the first is taken")
        return picture


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
    image.load()  # PIL itself turns a TIFF upright when it is decoded
    with contextlib.suppress(Exception):  # of damaged EXIF data
        return ImageOps.exif_transpose(image)
    return image


def flattened(image, remarks=None, white=65535):
    """Convert a PIL image to mode L or RGB, upright, with white where it is transparent.

    Args:
        image: the PIL image.
        remarks: a set, to which is added what should be reported.
        white: the brightest value of a pixel of 16 bits; 4095 if only 12 of them are in use.

    Raises ValueError if it cannot be decoded, or if its numbers are in an unknown range.
    """
    remarks = set() if remarks is None else remarks
    image = upright(image)
    if image.mode == "F" or image.mode.startswith("I"):  # PIL would clip at 255
        shades, remark = to_bytes(np.asarray(image), white)
        remarks |= {remark} if remark == SIXTEEN_BITS else set()
        return Image.fromarray(shades)
    image = _in_srgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image)
        if min(low for low, _ in paper.getextrema()) < _NEARLY_WHITE or not image.getbbox():
            return paper
        remarks.add("white figures on transparent ground are put on black")
        return Image.composite(image, Image.new("RGBA", image.size, "black"), image).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _in_srgb(image):
    """Convert the colours of a PIL image as its ICC profile says, if that is not sRGB."""
    profile = image.info.get("icc_profile")
    is_srgb = not profile or b"sRGB" in profile.replace(b"\0", b"")
    if is_srgb or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    with contextlib.suppress(OSError, ValueError, ImageCms.PyCMSError):  # a damaged profile
        return ImageCms.profileToProfile(image, io.BytesIO(profile), _SRGB, outputMode=mode)
    return image


def _orientation(image):
    """The number for the orientation in the EXIF data of a picture; None if there is none."""
    with contextlib.suppress(Exception):
        return image.getexif().get(0x0112)
