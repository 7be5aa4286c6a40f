"""Converting arrays of any usual shape into images uint8 (N, H, H, C) and labels 0 to K - 1."""

import math
import unicodedata

from common.data import pictures, pixels
from common.data.reading import natural_key

import numpy as np
from PIL import Image

MAX_CLASSES = 10_000


def to_images(array, image_size=None, channels=None):
    """Convert images to uint8 (N, H, H, C). Also returns a list of the changes, to be reported.

    Args:
        array: (N, H, W), (N, H, W, 1 or 3), (N, 1 or 3, H, W), or the same in rows, (N, H * H) or
            (N, 3 * H * H). The numbers must be in a range that `pixels.to_bytes` knows.
        image_size: height and width of the result; None for the shorter side of the images.
        channels: 1 or 3; None for as many as the images have.

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
        raise ValueError(
            f"images are {array.dtype} {array.shape}: give (N, H, W), (N, H, W, 1) or (N, H, W, 3)"
        )
    if not array.size:
        raise ValueError("there are no images")
    images, taken_for = pixels.to_bytes(array)
    done += [taken_for] if taken_for else []

    height, width = images.shape[1:3]
    size = image_size or min(height, width)
    if (height, width) != (size, size):
        cut = "cut to squares and " if height != width else ""
        done.append(f"{cut}scaled from {height} x {width}")
        images = _squares(images, size)
    return pixels.with_channels(images, channels), done


def _squares(images, size):
    scaled = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for number, image in enumerate(images):
        picture = Image.fromarray(image if image.shape[2] == 3 else image[..., 0])
        scaled[number] = np.asarray(pictures.square(picture, size)).reshape(scaled.shape[1:])
    return scaled


def to_classes(labels, count, known_names=()):
    """Convert labels to int32 (N,) in 0 to K - 1. Also returns the names of the K classes.

    Only classes that occur are counted.

    Args:
        labels: (N,) or (N, 1) integers or names, or one-hot rows (N, classes).
        count: N, the number of images.
        known_names: the names of the classes 0, 1, ...; not used if the labels are names, or if
            one of them is not the number of such a class.

    Raises ValueError if the labels are of another kind or shape.
    """
    kind = labels.dtype.kind
    if labels.ndim == 2 and labels.shape[1] > 1 and kind in "buif":
        if not np.isin(labels, (0, 1)).all() or not (labels.sum(axis=1) == 1).all():
            raise ValueError(
                f"labels are {labels.shape}, but not one-hot: each row must hold one 1 and zeros"
            )
        labels, kind = labels.argmax(axis=1), "i"
    if labels.shape not in ((count,), (count, 1)):
        raise ValueError(f"the shape of the labels is {labels.shape}, but there are {count} images")
    labels = labels.ravel().tolist()
    if kind == "f" and not all(map(float.is_integer, labels)):
        fraction = next(label for label in labels if not label.is_integer())
        raise ValueError(f"labels are fractions, such as {fraction:g}: give integers or names")
    if kind in "buif":
        labels = list(map(int, labels))
    elif kind in "US":
        texts = [name.decode() if kind == "S" else name for name in labels]
        labels = [unicodedata.normalize("NFC", text.strip()) for text in texts]
    else:
        raise ValueError("labels are neither integers nor names")
    found = sorted(set(labels), key=natural_key if kind in "US" else None)
    if len(found) > MAX_CLASSES:
        raise ValueError(
            f"there are {len(found)} different labels, but at most {MAX_CLASSES} are allowed"
        )
    number = {name: place for place, name in enumerate(found)}
    if kind not in "US" and found[0] >= 0 and found[-1] < len(known_names):
        found = [known_names[name] for name in found]
    return np.array([number[name] for name in labels], "int32"), tuple(map(str, found))
