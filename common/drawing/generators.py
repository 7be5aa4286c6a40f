"""Finding saved generators, and drawing images with them."""

import functools
import json
import sys
import unicodedata
from pathlib import Path

from common import UserError
from common.models import saved_models

import numpy as np

FOLDERS = (Path("runs"), Path(__file__).parents[2] / "trained")
BATCH = 100
MAX_BATCH_NUMBERS = 1 << 21  # in the images and label maps of a batch: 256 pixels take much memory


def find(name):
    """The path of the generator that is meant by a name or a path.

    A path is that of a `.keras` file or of a run folder. A name is that of a script or of a folder
    in `runs/`, or its beginning as far as an underscore (where several begin so, the first in the
    alphabet). It means the newest such run in `runs/`, or else the generator in `trained/`.

    Quick: TensorFlow is not needed. Raises UserError if there is no such generator.
    """
    path = Path(name).expanduser()
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
        raise UserError(
            f"there is no model {name!r}: give the path of a .keras file or run folder, "
            f"or one of {', '.join(sorted(names)) or 'the scripts once it has been trained'}"
        )
    for runs in (own, trained):
        if paths := [path for path, names in runs.items() if meant in names]:
            path = max(paths, key=lambda path: path.stat().st_mtime)
            if runs is trained:
                print(f"Using the trained generator {path.parent.name}.", file=sys.stderr)
            return path


def _runs(folder):
    """The generators in a folder of run folders, and the names of each: folder and script."""
    found = {}
    for path in folder.glob("*/generator.keras"):
        found[path] = {path.parent.name}
        try:
            record = json.loads(path.with_name("run.json").read_text(encoding="utf-8"))
            found[path].add(str(record["script"]))
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            pass  # its folder's name will do
    return found


def _beginning_with(text, names):
    return [name for name in names if name.startswith(f"{text}_")]


class Generator:
    """A saved generator: what it takes and makes is known before its model is loaded.

    Attributes:
        path: the `.keras` file.
        name: of the script that trained it, or of the model where no run has saved it.
        label_kind: what it takes besides a latent: None, "integer" (n, 1), "one-hot" (n, classes),
            or "label map", one-hot (n, H, W, classes).
        class_names: a tuple, empty where there are no classes.
        colours: a tuple of (red, green, blue), 0 to 255, for the classes of label maps, or ().
        pixel_range: the least and the greatest value of a pixel, two numbers.
        latent_shape: of one latent, such as (100,).
        image_shape: (H, W, C) of one image. Loads the model.
        model: the `keras.Model`, loaded when it is first asked for.

    Raises UserError if the file is no generator; where that shows only on loading, then.
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
            low, high = about.get("pixel_range") or _range_by_activation(config)
            self.pixel_range = float(low), float(high)
        except UserError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} is no generator: {saved_models.one_line(problem)}") from None

    def _label(self, config, about):
        """The kind of label, and the number of classes."""
        others = [value for name, value in self._inputs.items() if name != "latent"]
        if not others:
            return None, 0
        shape = others[0]["shape"]
        if len(others) > 1 or len(shape) not in (0, 1, 3):
            raise UserError(
                f"{self.path} is no generator that can be sampled: it takes "
                f"{', '.join(self._inputs)}, where a latent and one label or label map are known"
            )
        if len(shape) == 3:
            return "label map", shape[-1]
        if "int" not in str(others[0]["dtype"]):
            return "one-hot", shape[0]
        if shape not in ([], [1]):
            raise UserError(f"{self.path} takes integer labels of shape {shape}, not one an image")
        if names := about.get("class_names"):
            return "integer", len(names)
        embeddings = [layer for layer in _layers(config) if layer["class_name"] == "Embedding"]
        if not embeddings:
            raise UserError(f"{self.path} does not say how many classes it has")
        return "integer", min(layer["config"]["input_dim"] for layer in embeddings)

    @functools.cached_property
    def model(self):
        from common.models.steps import quicken

        model = saved_models.load(self.path)
        outputs = model.outputs
        if len(outputs) != 1 or len(outputs[0].shape) != 4 or outputs[0].shape[-1] not in (1, 3):
            made = ", ".join(str(tuple(output.shape)) for output in outputs)
            raise UserError(
                f"{self.path} is no generator: it makes {made}, where grey or colour images, "
                "(n, H, W, 1) or (n, H, W, 3), are needed"
            )
        if None in outputs[0].shape[1:]:
            raise UserError(f"{self.path} makes images of no fixed size: {outputs[0].shape}")
        height, width = outputs[0].shape[1:3]
        if self.label_kind == "label map" and not self._label_shape()[:2] == [height, width]:
            raise UserError(
                f"{self.path} makes images of {height} x {width} from label maps of "
                f"{' x '.join(map(str, self._label_shape()[:2]))}: they must be of one size"
            )
        quicken(model)
        return model

    def load(self):
        """Load the model now; otherwise that happens when it is first needed."""
        return self.model

    @property
    def image_shape(self):
        return tuple(self.model.outputs[0].shape[1:])

    def find_class(self, text):
        """The number of the class that `text` names or numbers; a part that only one has will do.

        Raises UserError if there is no such class, or more than one.
        """
        if not self.class_names or self.label_kind == "label map":
            raise UserError(f"{self.name} has no classes to choose from, so no {text!r}")
        wanted = _folded(text)
        names = [_folded(name) for name in self.class_names]
        for found in (
            [number for number, name in enumerate(names) if name == wanted],
            [number for number in range(len(names)) if str(number) == wanted],
            [number for number, name in enumerate(names) if wanted and wanted in name],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                several = " and ".join(self.class_names[number] for number in found)
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
            labels: integers (n,), or shares of the classes, float (n, classes), or label maps,
                integers (n, H, W), as the generator takes them; None where it takes none.
        """
        low, high = self.pixel_range
        model = self.model
        if self.label_kind == "integer" and labels.ndim == 2:
            model = self._mixing_model
        images = np.empty((len(latents), *self.image_shape), "float32")
        numbers = np.prod(self.image_shape)
        if self.label_kind == "label map":
            numbers *= len(self.class_names)
        size = int(np.clip(MAX_BATCH_NUMBERS // numbers, 1, BATCH))
        for start in range(0, len(images), size):
            batch = slice(start, start + size)
            inputs = {"latent": latents[batch]}
            if self.label_kind:
                inputs["label"] = self._encode(labels[batch])
            ordered = [inputs["latent" if t.name == "latent" else "label"] for t in model.inputs]
            pixels = model.predict_on_batch(ordered if len(ordered) > 1 else ordered[0])
            images[batch] = (pixels - low) / (high - low)
        return images.clip(0, 1, out=images)

    @functools.cached_property
    def _mixing_model(self):
        from common.drawing import interpolation

        return interpolation.accept_mixed_labels(self.model, len(self.class_names))

    def _label_shape(self):
        (shape,) = [value["shape"] for name, value in self._inputs.items() if name != "latent"]
        return shape

    def _encode(self, labels):
        """Labels as the model takes them."""
        if labels.dtype.kind == "f":
            return labels
        if self.label_kind == "integer":
            return labels.reshape(-1, *self._label_shape()).astype("int32")
        if labels.max() >= len(self.class_names):
            raise UserError(
                f"class {labels.max()} is none of {self.path}, "
                f"which has the classes 0 to {len(self.class_names) - 1}"
            )
        return np.eye(len(self.class_names), dtype="float32")[labels]


def load_encoder(path, generator):
    """Load the encoder, image to mean and log-variance of a latent, that belongs to a generator.

    Raises UserError if the file is no model, or one for other images or latents.
    """
    encoder = saved_models.load(path)
    image, latent = (None, *generator.image_shape), (None, *generator.latent_shape)
    takes = [tuple(tensor.shape) for tensor in encoder.inputs]
    makes = [tuple(tensor.shape) for tensor in encoder.outputs]
    if takes != [image] or makes != [latent, latent]:
        raise UserError(
            f"{path} is no encoder for this generator: it makes {makes} of {takes}, "
            f"where {[latent, latent]} of {[image]} are needed"
        )
    return encoder


def _layers(config):
    return config["config"]["layers"]


def _inputs(config):
    """Shape and type of each input of a model by its name, from the model's description."""
    inputs = {}
    for layer in _layers(config):
        if layer["class_name"] == "InputLayer":
            stored = layer["config"]
            inputs[stored["name"]] = {"shape": stored["batch_shape"][1:], "dtype": stored["dtype"]}
    if "latent" not in inputs:
        raise ValueError(f"it takes {', '.join(inputs) or 'nothing'}, and no latent")
    for name, stored in inputs.items():
        if not all(isinstance(side, int) and side > 0 for side in stored["shape"]):
            raise ValueError(f"its input {name} has no fixed shape: {stored['shape']}")
    return inputs


def _class_names(about, n_classes):
    """The names that were saved with a generator, or else the numbers of its classes."""
    if not n_classes:
        return ()
    names = about.get("class_names") or [str(number) for number in range(n_classes)]
    if not all(isinstance(name, str) for name in names) or len(names) != n_classes:
        raise ValueError(f"it takes {n_classes} classes and has the names {names}")
    return tuple(names)


def _range_by_activation(config):
    """Where no run has stored the range of pixels: that of the activation that comes last."""
    ends_in_sigmoid = "sigmoid" in json.dumps(_layers(config)[-1]["config"])
    return (0, 1) if ends_in_sigmoid else (-1, 1)


def _folded(text):
    return unicodedata.normalize("NFKC", text).casefold().strip()
