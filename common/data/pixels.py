"""Converting pixels of any number type and range to uint8, and between grey and colour."""

import numpy as np

_GREY = 4  # in a JPEG the channels of a grey pixel can differ by as much as this
_LUMINANCE = np.array([0.299, 0.587, 0.114], "float32")  # ITU-R 601, as in PIL


def to_bytes(pixels, white=65535):
    """Convert pixels of any number type in one of the usual ranges to uint8, 0 to 255.

    The ranges are 0 or 1, [0, 1], [-1, 1], 0 to 255, and 0 to `white` for integers. Also returns a
    remark on the range that was assumed, or "" if there was no doubt. Raises ValueError for others.
    """
    kind = pixels.dtype.kind
    if kind not in "buif" or not pixels.size:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, not numbers")
    low, high = float(pixels.min()), float(pixels.max())
    slack = 1e-3 if kind == "f" else 0
    if low >= 0 and 0 < high <= 1 and kind != "f":
        return _scaled(pixels, 255), "pixels that are 0 or 1 are scaled to 0 and 255"
    if kind == "f" and low >= -slack and high <= 1 + slack:
        return _scaled(pixels, 255), "pixels are taken to be in [0, 1]"
    if kind == "f" and low >= -1 - slack and high <= 1 + slack:
        return _scaled(pixels, 127.5, shift=1), "pixels are taken to be in [-1, 1]"
    if pixels.dtype == np.uint8:
        return pixels, ""
    if low >= -slack and high <= 255 + 255 * slack:
        return _scaled(pixels, 1), "" if kind != "f" else "pixels are taken to be in [0, 255]"
    if kind != "f" and low >= 0 and high <= 65535:
        return _scaled(pixels, 255 / white), "pixels of 16 bits are scaled to 8"
    usual = "0 to 255, or 16 bits, or [0, 1], or [-1, 1]"
    raise ValueError(f"pixels go from {low:g} to {high:g}: give {usual}")


def _scaled(pixels, factor, shift=0):
    scaled = np.empty(pixels.shape, np.uint8)
    for values, result in zip(pixels, scaled, strict=True):  # one by one, to save memory
        result[...] = np.rint((values.astype("float32") + shift) * factor).clip(0, 255)
    return scaled


def with_channels(images, channels):
    """Convert images uint8 (N, H, W, C) to 1 or 3 `channels`; None keeps the channels."""
    if channels in (None, images.shape[3]):
        return np.ascontiguousarray(images)
    if channels == 3:
        return np.repeat(images, 3, axis=3)
    return np.stack([np.rint(image @ _LUMINANCE).astype("uint8")[..., None] for image in images])


def is_coloured(images):
    """Whether any pixel of images uint8 (..., C) is visibly not grey."""
    return any(np.ptp(image, axis=-1).max() > _GREY for image in images)
