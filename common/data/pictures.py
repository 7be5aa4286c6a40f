"""Reading pictures of any format and mode, turned upright, with 8 bits per channel, in sRGB."""

import contextlib
import io
import logging
import warnings

from common.data.converting import RESAMPLING, square, to_bytes
from common.data.reading import MAX_FILE_BYTES, kind_of

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # PIL raises an exception, too
# Texts in a PNG, such as those of microscopes and of Blender, may be as large as a file.
PngImagePlugin.MAX_TEXT_CHUNK = MAX_FILE_BYTES
Image.MAX_IMAGE_PIXELS = 60_000_000  # PIL refuses twice as many. Phones make 108 million

LONG_SIDE, SHORT_SIDE = 1024, 512  # pixels. Photos that exceed both are scaled down to one
SIXTEEN_BITS = "pixels of 16 bits are scaled to 8"  # as `to_bytes` says it

# Formats for which PIL calls other programs, or has no decoder of its own.
_NOT_READ = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS")
_NEARLY_WHITE = 240
_SRGB = ImageCms.createProfile("sRGB")


@contextlib.contextmanager
def opened(content):
    """Yield a PIL image of the bytes. PIL decodes it at its first use.

    Raises ValueError if the bytes are not a picture that can be read, or if it is too large.
    """
    if not content:
        raise ValueError("it is empty")
    # PIL reads a PNG even if its end is missing.
    if content.startswith(b"\x89PNG") and b"IEND\xaeB`\x82" not in content:
        raise ValueError("it is truncated")
    Image.init()
    known_formats = [name for name in Image.OPEN if name not in _NOT_READ]
    with warnings.catch_warnings(action="ignore"):  # of sizes that are not yet refused
        try:
            image = Image.open(io.BytesIO(content), formats=known_formats)
        except Image.UnidentifiedImageError:
            some = "JPEG, PNG, BMP, GIF, WebP, TIFF and others"
            what = kind_of(content) or f"not a picture in a format that can be read: {some}"
            raise ValueError(f"it is {what}") from None
    with image:
        yield image


def read_photo(content, remarks=None, white=65535):
    """Read a photo from the bytes of a file, and scale it down if it is large (see `flattened`).

    Returns uint8 (H, W, 3), and the size (width, height) before scaling.
    """
    with opened(content) as image:
        width, height = image.size
        # A JPEG is decoded faster at a lower resolution.
        image.draft(None, [2 * max(scaled_down(image.size))] * 2)
        photo = flattened(image, remarks, white)
    if (photo.width - photo.height) * (width - height) < 0:  # it was turned
        width, height = height, width
    photo = photo.resize(scaled_down((width, height)), RESAMPLING)
    return np.asarray(photo.convert("RGB")), (width, height)


def read_square(content, image_size, remarks=None, white=65535):
    """Read the largest square in the middle of a picture from the bytes of a file, and scale it.

    Returns a PIL image of `image_size` pixels in mode L or RGB (see `flattened`).
    """
    with opened(content) as image:
        image.draft(None, (4 * image_size, 4 * image_size))
        return square(flattened(image, remarks, white), image_size)


def scaled_down(size):
    """The size (width, height) to which a photo is scaled down; the same size if it is small."""
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

    To the set `remarks` is added what should be reported. `white` is the brightest value of a pixel
    of 16 bits; 4095 if only 12 of them are in use. Raises ValueError if the image cannot be
    decoded, or if its numbers are in an unknown range.
    """
    remarks = set() if remarks is None else remarks
    with contextlib.suppress(Exception):  # whatever is wrong with the other pages
        if getattr(image, "is_animated", False):
            remarks.add("of pictures with several pages or frames, the first is taken")
    image = upright(image)
    if image.mode == "F" or image.mode.startswith("I"):  # PIL would clip at 255
        shades, remark = to_bytes(np.asarray(image), white)
        remarks |= {remark} if (remark, white) == (SIXTEEN_BITS, 65535) else set()
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
    return (
        image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")
    )


def have_12_bits(images, remarks):
    """Whether images that were read from 16 bits have used 12 of these: `remarks` says so then."""
    if SIXTEEN_BITS not in remarks or max(map(np.max, images)) > 16:
        return False
    remarks.discard(SIXTEEN_BITS)
    remarks.add("pixels of 12 bits are scaled to 8")
    return True


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
