"""Finding saved generators, and drawing images with them."""

import contextlib
import functools
import json
import math
import sys
import unicodedata
from pathlib import Path

from common import UserError
from common.data.reading import expand, listed, one_line
from common.models import saved_models

import numpy as np

FOLDERS = (Path("runs"), Path(__file__).parents[2] / "trained")


def find(name):
    """Find a generator by its path or by a name, without importing TensorFlow.

    Args:
        name: the path of a `.keras` file or of a run folder. Or the name of a script or of a folder
            in `runs/`, or the part of such a name before an underscore (if that fits several names,
            scripts come before folders, and then the first in the alphabet is used). A name stands
            for the newest such run in `runs/`, or else for the generator in `trained/`.

    Returns the path of the `.keras` file. Raises UserError if there is no such generator.
    """
    path = expand(name)
    if path.suffix == ".keras":
        return path
    if (path / "generator.keras").is_file():
        return path / "generator.keras"
    if path.is_dir():
        raise UserError(f"there is no generator.keras in the folder {path}")

    own, trained = map(_runs, FOLDERS)
    names = set().union(*own.values(), *trained.values())
    scripts = {script for _folder, script in [*own.values(), *trained.values()]}
    beginning = [known for known in names if known.startswith(f"{name}_")]
    first = min(beginning, key=lambda known: (known not in scripts, known), default=None)
    meant = name if name in names else first
    if meant is None:
        known = f"one of {', '.join(sorted(names))}" if names else "a script that has been trained"
        raise UserError(
            f"there is no model {name!r}: give the path of a .keras file or run folder, or {known}"
        )
    for runs in (own, trained):
        if paths := [path for path in runs if meant in runs[path]]:
            path = max(paths, key=lambda path: path.stat().st_mtime)
            if runs is trained:
                print(f"Using the trained generator {path.parent.name}.", file=sys.stderr)
            return path


def _runs(folder):
    """The generators in a folder of run folders: a dict from path to two names for it.

    The names are those of its run folder and of its script, which if unknown are the same.
    """
    found = {}
    for path in folder.glob("*/generator.keras"):
        script = path.parent.name
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
            record = json.loads(path.with_name("run.json").read_text(encoding="utf-8"))
            script = str(record["script"])
        found[path] = path.parent.name, script
    return found


class Generator:
    """A saved generator. Its inputs and classes are known before its model is loaded.

    Attributes:
        path: the `.keras` file.
        name: the name of the script that trained it, or, if that is unknown, of the model.
        label_kind: the input besides the latent: None, "integer" (n, 1), "one-hot" (n, classes), or
            "label map", one-hot (n, H, W, classes).
        label_shape: the shape of that input for one image, or ().
        class_names: a tuple, empty if there are no classes to choose from; numbers if the file
            holds no names.
        stored_names: the names of the classes of its training images that the file holds, or ().
        colours: a tuple of (red, green, blue), 0 to 255, for the classes of label maps, or ().
        numbered_from: the number of the first class in the label maps that it was trained on, 0 or
            1, or None if they were read by colours.
        pixel_range: the smallest and the largest value of a pixel that the model outputs.
        latent_shape: the shape of one latent, such as (100,).
        image_shape: (H, W, C) of one image. Loads the model.
        model: the `keras.Model`, loaded when it is first used.

    Raises UserError if the file is not a generator; sometimes only when the model is loaded.
    """

    def __init__(self, path):
        self.path = Path(path)
        config, about = saved_models.read(self.path)
        try:
            inputs = _inputs(config)
            self.latent_shape, _ = inputs.pop("latent")
            self.label_shape, _ = next(iter(inputs.values()), ((), None))
            self.label_kind, n_classes = _label(inputs, config, about)
            self.name = str(about.get("script") or config["config"]["name"])
            self.class_names = _class_names(about, n_classes)
            self.stored_names = tuple(about.get("class_names") or ())
            self.colours = tuple(map(tuple, about.get("colours") or ()))
            self.numbered_from = about.get("numbered_from")
            if self.numbered_from not in (0, 1, None):
                raise ValueError(f"its label maps are numbered from {self.numbered_from}")
            low, high = about.get("pixel_range") or _range_by_activation(config)
            self.pixel_range = float(low), float(high)
            if not -math.inf < low < high < math.inf:
                raise ValueError(f"its pixels are said to range from {low} to {high}")
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} cannot be sampled: {one_line(problem)}") from None

    @functools.cached_property
    def model(self):
        from common.models.sampling import Sampler
        from common.models.steps import quicken

        model = saved_models.load(self.path)
        shapes = [tuple(output.shape) for output in model.outputs]
        shape = shapes[0][1:]
        if len(shapes) > 1 or len(shape) != 3 or None in shape or shape[-1] not in (1, 3):
            raise UserError(
                f"{self.path} is not a generator: its outputs are {listed(shapes)}, but must be "
                "grey or colour images of a fixed size, (n, H, W, 1) or (n, H, W, 3)"
            )
        if self.label_kind == "label map" and self.label_shape[:2] != shape[:2]:
            raise UserError(
                f"{self.path} outputs images of {shape[0]} x {shape[1]} from label maps of "
                f"{self.label_shape[0]} x {self.label_shape[1]}: the sizes must be equal"
            )
        quicken(model)
        if self.label_kind == "integer":
            last = len(self.class_names) - 1  # may be a guess, and wrong
            latent = np.zeros((1, *self.latent_shape), "float32")
            try:
                Sampler(model, self.pixel_range).draw(latent, np.array([last]))
            except Exception as problem:  # TensorFlow raises one of its own
                raise UserError(
                    f"{self.path} does not take label {last}, though it seems to have "
                    f"{last + 1} classes: {one_line(problem)}"
                ) from None
        return model

    def load(self):
        """Load the model now, and not only when it is first used."""
        return self.model

    @property
    def image_shape(self):
        return tuple(self.model.outputs[0].shape[1:])

    def find_class(self, text):
        """The number of the class that `text` stands for.

        `text` is a name, a number, or a part of a name that occurs in no other name.
        Raises UserError if it fits no class, or several.
        """
        if not self.class_names or self.label_kind == "label map":
            raise UserError(
                f"{self.name} has no classes to choose from, so no {text!r}: leave out --class"
            )
        wanted = _folded(text)
        names = [_folded(name) for name in self.class_names]
        for found in (
            [number for number, name in enumerate(self.class_names) if name == text],
            [number for number, name in enumerate(names) if name == wanted],
            [number for number in range(len(names)) if str(number) == wanted],
            [number for number, name in enumerate(names) if wanted and wanted in name],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                several = " or ".join(self.class_names[number] for number in found)
                raise UserError(f"class {text!r} may be {several}: give the whole name")
        known = ", ".join(f"{number} ({name})" for number, name in enumerate(self.class_names))
        raise UserError(f"unknown class {text!r}; known are {known}")

    def random_latents(self, count, rng):
        """Draw latents from N(0, 1): float32 (count, *latent_shape)."""
        return rng.standard_normal((count, *self.latent_shape), dtype="float32")

    def draw(self, latents, labels=None):
        """Draw images, float32 (n, H, W, C) in [0, 1].

        Args:
            latents: (n, *latent_shape).
            labels: integers (n,); or mixtures of classes, float (n, classes), in which each row
                holds the shares of the classes; or, if the generator takes label maps, integers
                (n, H, W); or None, if it takes no labels.
        """
        from common.models.sampling import Sampler

        n_classes = len(self.class_names)
        if labels is not None and labels.dtype.kind != "f" and labels.max() >= n_classes:
            raise UserError(
                f"{self.path} has no class {labels.max()}: its classes are 0 to {n_classes - 1}"
            )
        mixed = self.label_kind == "integer" and labels.ndim == 2
        if mixed and (labels.max(axis=1) == 1).all():  # each of one class, which needs no mixing
            mixed, labels = False, labels.argmax(axis=1)
        model = self._mixing_model if mixed else self.model
        images = Sampler(model, self.pixel_range).draw(latents, labels)
        if np.isnan(images).any():
            raise UserError(f"{self.path} draws images in which pixels are NaN: train it anew")
        return images

    @functools.cached_property
    def _mixing_model(self):
        from common.sampling import interpolation

        return interpolation.accept_mixed_labels(self.model, len(self.class_names))


def _inputs(config):
    """Shape and dtype of each input, by name, from Keras's config of a model."""
    inputs = {}
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "InputLayer":
            stored = layer["config"]
            inputs[stored["name"]] = tuple(stored["batch_shape"][1:]), str(stored["dtype"])
    if "latent" not in inputs:
        raise ValueError(f"its inputs are {', '.join(inputs) or 'none'}, and none is named latent")
    for name, (shape, _) in inputs.items():
        if not all(isinstance(side, int) and side > 0 for side in shape):
            raise ValueError(f"its input {name} has no fixed shape: {shape}")
    return inputs


def _label(inputs, config, about):
    """The kind of the label, as in `Generator`, and the number of classes.

    `inputs` are those besides the latent.
    """
    if not inputs:
        return None, 0
    shape, dtype = next(iter(inputs.values()))
    if len(inputs) > 1 or len(shape) not in (0, 1, 3):
        raise ValueError(
            f"its inputs are latent, {', '.join(inputs)}, but must be `latent` and at most one "
            "label or label map"
        )
    if len(shape) == 3:
        return "label map", shape[-1]
    if "int" not in dtype:
        return "one-hot", shape[0]
    if shape not in ((), (1,)):
        raise ValueError(f"it takes integer labels of shape {shape}, not one per image")
    if names := about.get("class_names"):
        return "integer", len(names)
    counts = {
        value[key]
        for value in saved_models.nested_values(config)  # also of models within the model
        if isinstance(value, dict)
        for key in ("input_dim", "num_tokens", "num_classes")  # Embedding, CategoryEncoding, …
        if isinstance(value.get(key), int)
    }
    if not counts:
        raise ValueError(
            "it does not say how many classes it has: save it with "
            'common.models.saved_models.save(model, path, {"class_names": [...]})'
        )
    return "integer", min(counts)


def _class_names(about, n_classes):
    """The class names that were saved with a generator, or else the numbers of its classes."""
    if not n_classes:
        return ()
    names = about.get("class_names") or [str(number) for number in range(n_classes)]
    if not all(isinstance(name, str) for name in names) or len(names) != n_classes:
        raise ValueError(f"it takes {n_classes} classes, but its class names are {names}")
    return tuple(names)


def _range_by_activation(config):
    """The pixel range of a generator that was saved without one, by its last activation."""
    ends_in_sigmoid = "sigmoid" in json.dumps(config["config"]["layers"][-1]["config"])
    return (0, 1) if ends_in_sigmoid else (-1, 1)


def _folded(text):
    return unicodedata.normalize("NFKC", text).casefold().strip()
