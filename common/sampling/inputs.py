"""The inputs of a generator in an .npz file, from which the same images can be drawn again.

The file holds an array `latent` and, if the generator takes labels, an array `label`, in the form
that `Generator.draw` takes.
"""

import zipfile

from common import UserError
from common.data.reading import reporting
from common.files import write_arrays

import numpy as np

MAX_IMAGES = 1000
MAX_BYTES = 1 << 26  # in an array


def save(path, latents, labels=None):
    """Save latents, and labels if there are any. Raises OSError if writing fails."""
    write_arrays(path, latent=latents, label=labels)


def load(path, generator):
    """Load inputs for a `Generator`.

    Returns latents, float32 (n, *latent_shape), and labels. These are shares of the classes,
    float32 (n, classes), or label maps, integers (n, H, W), or None, as the generator requires.
    Raises UserError if the file is damaged, or if it was saved for another generator.
    """
    arrays = {}
    with reporting(path), zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
        for name in ["latent", *["label"] * bool(generator.label_kind)]:
            if name not in archive:
                raise ValueError(f"it holds no array '{name}'")
            if archive.zip.getinfo(f"{name}.npy").file_size > MAX_BYTES:
                raise ValueError(f"'{name}' in it is larger than {MAX_BYTES} bytes")
            arrays[name] = archive[name]
    latents, labels = arrays["latent"], arrays.get("label")
    _check(path, "latent", latents, generator.latent_shape, "f")
    if len(latents) > MAX_IMAGES:
        raise UserError(f"{path} holds {len(latents)} latents; at most {MAX_IMAGES} are drawn")
    if labels is None:
        return latents.astype("float32"), None
    n_classes, is_map = len(generator.class_names), generator.label_kind == "label map"
    shape = generator.image_shape[:2] if is_map else (n_classes,)
    _check(path, "label", labels, shape, "iu" if is_map else "f")
    if len(labels) != len(latents):
        raise UserError(f"{path} holds {len(latents)} latents and {len(labels)} labels")
    if is_map and not 0 <= labels.min() <= labels.max() < n_classes:
        raise UserError(f"the label maps in {path} have classes other than 0 to {n_classes - 1}")
    return latents.astype("float32"), labels if is_map else labels.astype("float32")


def _check(path, name, array, shape, kinds):
    if array.dtype.kind not in kinds or array.shape[1:] != shape or not array.size:
        kind = "numbers" if kinds == "f" else "integers"
        wanted = ", ".join(map(str, ("n", *shape)))
        raise UserError(
            f"`{name}` in {path} is {array.dtype} {array.shape}; "
            f"this generator takes {kind} of shape ({wanted})"
        )
    if not np.isfinite(array).all():
        raise UserError(f"`{name}` in {path} holds NaN or infinite numbers")
