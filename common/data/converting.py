"""Converting arrays of any usual shape and range into images uint8 (N, H, H, C) and labels."""

import math
import unicodedata

from common.data.reading import natural_key

import numpy as np
from PIL import Image

MAX_CLASSES = 10_000
RESAMPLING = Image.Resampling.HAMMING
_GREY = 4  # in a JPEG the channels of a grey pixel can differ by as much as this
_LUMINANCE = np.array([0.299, 0.587, 0.114], "float32")  # ITU-R 601, as in PIL


def to_images(array, image_size=None, channels=None):
    """Convert images to uint8 (N, H, H, C). Also returns a list of the changes, to be reported.

    `array` is (N, H, W), (N, H, W, 1 or 3), (N, 1 or 3, H, W), or the same in rows, (N, H * H) or
    (N, 3 * H * H), of numbers in a range that `to_bytes` knows. Without `image_size` the images get
    the length of their shorter side, and without `channels` (1 or 3) they keep theirs.

    Raises ValueError if the array has another shape or other numbers.
    """
    for planes in (1, 3) if array.ndim == 2 else ():  # rows of pixels, as CIFAR has them
        side = math.isqrt(array.shape[1] // planes)
        if planes * side * side == array.shape[1]:
            array = array.reshape(-1, planes, side, side).transpose(0, 2, 3, 1)
            break
    if array.ndim == 3:
        array = array[..., np.newaxis]
    done = []
    if array.ndim == 4 and array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)
        done.append("channels came first")
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        usual = "(N, H, W), (N, H, W, 1) or (N, H, W, 3)"
        raise ValueError(f"images are {array.dtype} {array.shape}: give {usual}")
    if not array.size:
        raise ValueError("there are no images")
    images, taken_for = to_bytes(array)
    done += [taken_for] if taken_for else []

    count, height, width, planes = images.shape
    size = image_size or min(height, width)
    if (height, width) != (size, size):
        cut = "cut to squares and " if height != width else ""
        done.append(f"{cut}scaled from {height} x {width}")
        scaled = np.empty((count, size, size, planes), np.uint8)
        for image, result in zip(images, scaled, strict=True):
            image = Image.fromarray(image.squeeze(2) if planes == 1 else image)
            result[...] = np.asarray(square(image, size)).reshape(result.shape)
        images = scaled
    return with_channels(images, channels), done


def to_classes(labels, count, known_names=()):
    """Convert labels to int32 (N,) in 0 to K - 1. Also returns the names of the K classes.

    Only classes that occur are counted. `labels` are integers or names, (N,) or (N, 1), or one-hot
    rows, (N, classes), of `count` images. `known_names` are those of the classes 0, 1, ..., which
    are not used if the labels are names, or if one is not the number of such a class.

    Raises ValueError if the labels are of another kind or shape.
    """
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "buif":
        if not np.isin(labels, (0, 1)).all() or not (labels.sum(axis=1) == 1).all():
            raise ValueError(f"labels are {labels.shape}, but not one-hot: a 1 in each row, and 0s")
        labels = labels.argmax(axis=1)
    if labels.shape not in ((count,), (count, 1)):
        raise ValueError(f"the shape of the labels is {labels.shape}, but there are {count} images")
    are_names, labels = labels.dtype.kind in "US", labels.ravel()
    if are_names:
        labels = np.char.decode(labels) if labels.dtype.kind == "S" else labels
        labels = [unicodedata.normalize("NFC", name.strip()) for name in labels.tolist()]
    elif labels.dtype.kind not in "buif":
        raise ValueError("labels are neither integers nor names")
    elif (labels % 1 != 0).any():
        some = f"{labels[labels % 1 != 0][0]:g}"
        raise ValueError(f"labels are fractions, such as {some}: give integers or names")
    else:
        labels = [int(label) for label in labels]
    found = sorted(set(labels), key=natural_key if are_names else None)
    if len(found) > MAX_CLASSES:
        raise ValueError(f"there are {len(found)} different labels, more than {MAX_CLASSES}")
    number = {label: place for place, label in enumerate(found)}
    if not are_names and found[0] >= 0 and found[-1] < len(known_names):
        found = [known_names[label] for label in found]
    return np.array([number[label] for label in labels], "int32"), tuple(map(str, found))


def square(image, image_size):
    """The largest square in the middle of a PIL image, scaled to `image_size` pixels."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((image_size, image_size), RESAMPLING, (left, top, left + side, top + side))


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
