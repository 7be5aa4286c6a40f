"""What is checked before the first step, so that nothing is trained in vain, and after each."""

import contextlib
import math
import random
import tempfile
from pathlib import Path

from common import UserError
from common.backend import keras
from common.models import saved_models
from common.models.generators import Generator
from common.training import checkpoints
from common.training.progress import warn

import numpy as np


class Diverged(Exception):
    """Losses or weights have become NaN or infinite. Training cannot recover from that.

    `where` is a part of the message; `epochs` are finished, and saved in `folder`.
    """

    def __init__(self, where, epochs, folder):
        kept = f"the generator of epoch {epochs} stays in" if epochs else "nothing was saved in"
        super().__init__(
            f"the training has diverged {where}; {kept} {folder}; "
            "try another --seed or a larger --batch-size"
        )


def check_dataset(dataset, arguments, before):
    """Raise UserError if images do not fill a batch, have wrong labels, or are not those `before`.

    `before` is what run.json says of the images of a resumed run, or empty. Returns their SHA-256.
    """
    count, source = len(dataset.images), dataset.source
    if count < arguments.batch_size:
        raise UserError(
            f"{count} images from {source} do not fill one batch of {arguments.batch_size}: "
            "give a smaller --batch-size"
        )
    labels, n_classes = getattr(dataset, "labels", None), len(dataset.class_names)
    if labels is not None and n_classes and not np.isin(labels, np.arange(n_classes)).all():
        raise UserError(
            f"the labels from {source} go from {labels.min()} to {labels.max()}, and there are "
            f"{n_classes} classes: they must be integers from 0 to {n_classes - 1}"
        )
    digest = dataset.sha256()
    if before.get("sha256") not in (None, digest):
        raise UserError(
            f"the images from {source} are not those that the run in {arguments.out} began with: "
            f"{before.get('images')} from {before.get('source')}"
        )
    return digest


def known_of(dataset):
    """What is known of the classes of a data set, to be saved with a generator: a dict."""
    names = ("class_names", "colours", "numbered_from")
    return {
        name: np.asarray(getattr(dataset, name)).tolist()
        for name in names
        if hasattr(dataset, name)
    }


def check_values(values, where, epochs, folder):
    """Raise Diverged if one of the values of a run, a dict, is NaN or infinite."""
    if not all(map(math.isfinite, values.values())):
        found = ", ".join(f"{name} {value:g}" for name, value in values.items())
        raise Diverged(f"at {where}epoch {epochs + 1}: {found}", epochs, folder)


def check_weights(models, epochs, folder):
    """Raise Diverged if a weight is NaN or infinite.

    The losses of a step are computed before the step updates the weights, so the weights can be NaN
    while the losses are still finite.
    """
    variables = checkpoints.variables_of(models).values()
    if not all(np.isfinite(variable.numpy()).all() for variable in variables):
        where = f"in epoch {epochs + 1}: some weights are NaN or infinite"
        raise Diverged(where, epochs, folder)


def check_generator(model, about, compare=True):
    """Save a generator, load it and draw an image with it, as `generate.py` will do.

    `about` is what is saved with it. Returns its `label_kind`. Raises UserError if any of that
    fails or, with `compare`, if the loaded model draws another image. Where the folder for
    temporary files has no room for it, nothing is saved.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "generator.keras")
        try:
            live = Generator.of(model, about)
            saved_models.save(model, path, about)
            loaded = Generator(path)
            loaded.load()
            latents, label = live.random_latents(1, np.random.default_rng(0)), None
            if live.label_kind:
                shape = live.label_shape[:2] if live.label_kind == "label map" else ()
                label = np.zeros((1, *shape), "int32")
            drawn = loaded.draw(latents, label)
            difference = np.abs(drawn - live.draw(latents, label)).max() if compare else 0.0
        except OSError:
            return live.label_kind
        except Exception as problem:  # Keras raises many types of it for what it cannot save
            reason = " ".join(str(problem).replace(str(path), "it").split())
            raise UserError(f"generate.py could not draw with this generator: {reason}") from None
    # With --mixed-precision the saved generator computes in 32 bits, and the live one in 16.
    if difference > (1e-4 if keras.config.dtype_policy().name == "float32" else 1e-2):
        raise UserError(
            "generate.py could not draw with this generator: when it is saved and loaded, it draws "
            "other images, so something in it is not stored with the model"
        )
    return live.label_kind


def warn_of_pixel_range(model, pixel_range):
    """Print a warning if the last activation of a generator does not fit its pixel range.

    Layers behind it that only move pixels, such as a cropping, are passed over.
    """
    ranges = {"tanh": (-1, 1), "sigmoid": (0, 1)}
    for operation in reversed(model.operations):
        activation = getattr(operation, "activation", None)
        name = getattr(activation, "__name__", type(operation).__name__).lower()
        if name in ranges or activation or getattr(operation, "weights", ()):
            break
    low, high = ranges.get(name, pixel_range)
    if tuple(pixel_range) != (low, high):
        warn(
            f"Warning: the generator ends in {name}, from {low} to {high}, and run.begin "
            f"is told pixel_range={tuple(pixel_range)}: its pictures will look wrong"
        )


@contextlib.contextmanager
def same_random_numbers():
    """A `with` block after which Python's random numbers are as before it.

    Keras draws seeds from them when it builds a model, even one whose weights are loaded.
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
