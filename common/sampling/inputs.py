"""What a generator draws images from: latents and labels, interpolated or from a file.

A file holds an array `latent` and, if the generator takes labels, an array `label`, in the form
that `Generator.draw` takes.
"""

import zipfile
from typing import NamedTuple

from common import UserError
from common.data.reading import reporting
from common.files import write_arrays

import numpy as np

MAX_IMAGES = 1000


class Inputs(NamedTuple):
    """The inputs of a generator for `n` images, and how a picture of these is arranged."""

    latents: np.ndarray  # float32 (n, *latent_shape)
    labels: np.ndarray | None  # in the form that `Generator.draw` takes
    columns: int = 10
    titles: tuple = ()  # of the columns
    heading: str = ""
    each: int = 1  # images that follow one row of `beside`
    beside: np.ndarray | None = None  # pictures to show as well, uint8 (rows, pictures, H, W, 3)

    def with_beside(self, images):
        """Images (n, H, W, C), each `each` of them behind the pictures that belong to them."""
        if self.beside is None:
            return images
        beside = self.beside[: -(-len(images) // self.each)]
        places = np.repeat(self.each * np.arange(len(beside)), beside.shape[1])
        pictures = beside.reshape(-1, *images.shape[1:]).astype("float32") / 255
        return np.insert(images, places, pictures, axis=0)


def mix_classes(first, last, count, n_classes):
    """Mix two classes linearly: float32 (count, n_classes), from only `first` to only `last`."""
    share = np.linspace(0, 1, count, dtype="float32")[:, np.newaxis]
    one_hot = np.eye(n_classes, dtype="float32")
    return (1 - share) * one_hot[first] + share * one_hot[last]


def slerp(first, last, count):
    """Interpolate between two latents along a great circle: float32 (count, *shape).

    Points from N(0, 1) in many dimensions lie close to a sphere, and the generator knows only such
    points. A straight line between two of them leaves it (White 2016, arXiv 1609.04468, 2.1).
    """
    lengths = np.linalg.norm(first) * np.linalg.norm(last)
    cosine = np.vdot(first, last) / max(lengths, 1e-12)  # latents scaled by 0 have no length
    angle = np.arccos(np.clip(cosine, -1, 1))
    share = np.linspace(0, 1, count).reshape(-1, *[1] * first.ndim)
    if np.sin(angle) < 1e-6:  # parallel or opposite latents, which define no great circle
        points = (1 - share) * first + share * last
    else:
        points = np.sin((1 - share) * angle) * first + np.sin(share * angle) * last
        points /= np.sin(angle)
    return points.astype("float32")


def save(path, latents, labels=None):
    """Save latents, and labels if there are any. Raises OSError if writing fails."""
    write_arrays(path, latent=latents, label=labels)


def load(path, generator):
    """Load the `Inputs` of a `Generator` from a file, such as `save` writes.

    Raises UserError if the file is damaged, or if it was saved for another generator.
    """
    is_map = generator.label_kind == "label map"
    wanted = {"latent": (generator.latent_shape, "f")}
    if generator.label_kind:
        shape = generator.label_shape[:2] if is_map else (len(generator.class_names),)
        wanted["label"] = shape, "iu" if is_map else "f"
    arrays = []
    with reporting(path), zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
        for name, (shape, kinds) in wanted.items():
            if name not in archive:
                raise ValueError(f"it holds no array '{name}'")
            array = archive[name]
            if array.dtype.kind not in kinds or array.shape[1:] != shape or not array.size:
                raise ValueError(
                    f"'{name}' in it is {array.dtype} {array.shape}; this generator takes "
                    f"{'numbers' if kinds == 'f' else 'integers'} of shape {('n', *shape)}"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"'{name}' in it holds NaN or infinite numbers")
            arrays.append(array if is_map and name == "label" else array.astype("float32"))
    counts = [*map(len, arrays)]
    if max(counts) > MAX_IMAGES or min(counts) < max(counts):
        found = " and ".join(map("{} {}s".format, counts, wanted))
        most = f"at most {MAX_IMAGES} are drawn, each from a label of its own"
        raise UserError(f"{path} holds {found}: {most}")
    return Inputs(*[*arrays, None][:2], columns=min(counts[0], 10))
