"""What is looked at before the first step, so that nothing is trained that cannot be drawn."""

import contextlib
import random
import tempfile
from pathlib import Path

from common import UserError
from common.backend import keras
from common.models import saved_models
from common.models.generators import Generator
from common.training.progress import warn

import numpy as np


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
            latents = live.random_latents(1, np.random.default_rng(0))
            label = None
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
        if name in ranges:
            low, high = ranges[name]
            if tuple(pixel_range) != (low, high):
                warn(
                    f"Warning: the generator ends in {name}, from {low} to {high}, and run.begin "
                    f"is told pixel_range={tuple(pixel_range)}: its pictures will look wrong"
                )
            return
        if activation or getattr(operation, "weights", ()):
            return


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
