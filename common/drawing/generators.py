"""Finding saved generators, and drawing images with them."""

import functools
import json
import sys
import unicodedata
from pathlib import Path

from common import UserError
from common.data.reading import expand
from common.models import saved_models

import numpy as np

FOLDERS = (Path("runs"), Path(__file__).parents[2] / "trained")


def find(name):
    """Find a generator by its path or by a name, without importing TensorFlow.

    Args:
        name: the path of a `.keras` file or of a run folder. Or the name of a script or of a folder
            in `runs/`, or the part of such a name before an underscore (if that fits several names,
            the first in the alphabet is used). A name stands for the newest such run in `runs/`, or
            else for the generator in `trained/`.

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
    names = {name for names in (own | trained).values() for name in names}
    meant = name if name in names else min(_beginning_with(name, names), default=None)
    if meant is None:
        known = f"one of {', '.join(sorted(names))}" if names else "a script that has been trained"
        raise UserError(
            f"there is no model {name!r}: give the path of a .keras file or run folder, or {known}"
        )
    for runs in (own, trained):
        if paths := [path for path, names in runs.items() if meant in names]:
            path = max(paths, key=lambda path: path.stat().st_mtime)
            if runs is trained:
                print(f"Using the trained generator {path.parent.name}.", file=sys.stderr)
            return path


def _runs(folder):
    """The generators in a folder of run folders: a dict from path to a set of names for it.

    The names are those of its run folder and of its script.
    """
    found = {}
    for path in folder.glob("*/generator.keras"):
        found[path] = {path.parent.name}
        try:
            record = json.loads(path.with_name("run.json").read_text(encoding="utf-8"))
            found[path].add(str(record["script"]))
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            pass  # the name of the run folder is enough
    return found


def _beginning_with(text, names):
    return [name for name in names if name.startswith(f"{text}_")]


class Generator:
    """A saved generator. Its inputs and classes are known before its model is loaded.

    Attributes:
        path: the `.keras` file.
        name: the name of the script that trained it, or, if that is unknown, of the model.
        label_kind: the input besides the latent: None, "integer" (n, 1), "one-hot" (n, classes), or
            "label map", one-hot (n, H, W, classes).
        class_names: a tuple, empty if there are no classes.
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
            self._inputs = _inputs(config)
            self.latent_shape = tuple(self._inputs["latent"]["shape"])
            self.label_kind, n_classes = self._label(config, about)
            self.name = str(about.get("script") or config["config"]["name"])
            self.class_names = _class_names(about, n_classes)
            self.colours = tuple(map(tuple, about.get("colours") or ()))
            self.numbered_from = about.get("numbered_from")
            if self.numbered_from not in (0, 1, None):
                raise ValueError(f"its label maps are numbered from {self.numbered_from}")
            low, high = about.get("pixel_range") or _range_by_activation(config)
            self.pixel_range = float(low), float(high)
        except UserError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(
                f"{path} is not a generator: {saved_models.one_line(problem)}"
            ) from None

    def _label(self, config, about):
        """The kind of label, and the number of classes."""
        others = [value for name, value in self._inputs.items() if name != "latent"]
        if not others:
            return None, 0
        shape = others[0]["shape"]
        if len(others) > 1 or len(shape) not in (0, 1, 3):
            raise UserError(
                f"{self.path} cannot be sampled: its inputs are {', '.join(self._inputs)}, "
                "but must be `latent` and at most one label or label map"
            )
        if len(shape) == 3:
            return "label map", shape[-1]
        if "int" not in str(others[0]["dtype"]):
            return "one-hot", shape[0]
        if shape not in ([], [1]):
            raise UserError(f"{self.path} takes integer labels of shape {shape}, not one per image")
        if names := about.get("class_names"):
            return "integer", len(names)
        # In layers and in models within the model.
        counts = {
            value[key]
            for value in saved_models.nested_values(config)
            if isinstance(value, dict)
            for key in ("input_dim", "num_tokens", "num_classes")  # Embedding, CategoryEncoding, …
            if isinstance(value.get(key), int)
        }
        if not counts:
            raise UserError(
                f"{self.path} does not say how many classes it has: save it with "
                'common.models.saved_models.save(model, path, {"class_names": [...]})'
            )
        return "integer", min(counts)

    @functools.cached_property
    def model(self):
        from common.models.steps import quicken

        model = saved_models.load(self.path)
        outputs = model.outputs
        if len(outputs) != 1 or len(outputs[0].shape) != 4 or outputs[0].shape[-1] not in (1, 3):
            shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
            raise UserError(
                f"{self.path} is not a generator: its outputs are {shapes}, but must be grey or "
                "colour images, (n, H, W, 1) or (n, H, W, 3)"
            )
        if None in outputs[0].shape[1:]:
            raise UserError(f"{self.path} outputs images of no fixed size: {outputs[0].shape}")
        height, width = outputs[0].shape[1:3]
        if self.label_kind == "label map" and not self._label_shape()[:2] == [height, width]:
            raise UserError(
                f"{self.path} outputs images of {height} x {width} from label maps of "
                f"{' x '.join(map(str, self._label_shape()[:2]))}: the sizes must be equal"
            )
        quicken(model)
        if self.label_kind == "integer":
            self._check_last_class(model)
        return model

    def _check_last_class(self, model):
        """Raise UserError if the model refuses the label that should be its last class."""
        inputs = {"latent": np.zeros((1, *self.latent_shape), "float32")}
        label = np.full((1, *self._label_shape()), self._n_classes - 1, "int32")
        try:
            model.predict_on_batch([inputs.get(tensor.name, label) for tensor in model.inputs])
        except Exception as problem:  # TensorFlow raises one of its own
            raise UserError(
                f"{self.path} does not take label {self._n_classes - 1}, though it seems to have "
                f"{self._n_classes} classes: {saved_models.one_line(problem)}"
            ) from None

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
            raise UserError(f"{self.name} has no classes to choose from, so no {text!r}")
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
        if labels is not None and labels.dtype.kind != "f" and labels.max() >= self._n_classes:
            raise UserError(
                f"{self.path} has no class {labels.max()}: "
                f"its classes are 0 to {self._n_classes - 1}"
            )
        mixed = self.label_kind == "integer" and labels.ndim == 2
        if mixed and (labels.max(axis=1) == 1).all():  # each of one class, which needs no mixing
            mixed, labels = False, labels.argmax(axis=1)
        return (self._mixing_sampler if mixed else self._sampler).draw(latents, labels)

    @property
    def _n_classes(self):
        return len(self.class_names)

    @functools.cached_property
    def _sampler(self):
        from common.models.sampling import Sampler

        return Sampler(self.model, self.pixel_range)

    @functools.cached_property
    def _mixing_sampler(self):
        from common.drawing import interpolation
        from common.models.sampling import Sampler

        model = interpolation.accept_mixed_labels(self.model, self._n_classes)
        return Sampler(model, self.pixel_range)

    def _label_shape(self):
        (shape,) = [value["shape"] for name, value in self._inputs.items() if name != "latent"]
        return shape


def _layers(config):
    return config["config"]["layers"]


def _inputs(config):
    """Shape and dtype of each input, by name, from Keras's config of a model."""
    inputs = {}
    for layer in _layers(config):
        if layer["class_name"] == "InputLayer":
            stored = layer["config"]
            inputs[stored["name"]] = {"shape": stored["batch_shape"][1:], "dtype": stored["dtype"]}
    if "latent" not in inputs:
        raise ValueError(f"its inputs are {', '.join(inputs) or 'none'}, and none is named latent")
    for name, stored in inputs.items():
        if not all(isinstance(side, int) and side > 0 for side in stored["shape"]):
            raise ValueError(f"its input {name} has no fixed shape: {stored['shape']}")
    return inputs


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
    ends_in_sigmoid = "sigmoid" in json.dumps(_layers(config)[-1]["config"])
    return (0, 1) if ends_in_sigmoid else (-1, 1)


def _folded(text):
    return unicodedata.normalize("NFKC", text).casefold().strip()
