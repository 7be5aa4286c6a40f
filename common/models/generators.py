"""What draws images: a generator, either in a file or in training."""

import functools
import json
import math
import unicodedata
from pathlib import Path

from common import UserError
from common.data.reading import listed, one_line
from common.models import saved_models

import numpy as np

MAX_PIXELS = 400_000  # in a batch: 510 images of 28 x 28 pixels


class Generator:
    """A saved generator. Its inputs and classes are known before its model is loaded.

    Args:
        path: the `.keras` file.

    Attributes:
        path: the `.keras` file, or None.
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
        self._describe(*saved_models.read(self.path))

    @classmethod
    def of(cls, model, about):
        """The generator that a model in training is.

        Args:
            model: a functional `keras.Model`. One input is named `latent`. It may have a second
                one: labels, integers (n, 1) or one-hot (n, classes), or one-hot label maps
                (n, H, W, classes).
            about: a dict of what `saved_models.save` stores with it: `script`, `class_names` and
                `pixel_range`; for label maps also `colours` and `numbered_from`.

        Raises UserError if its inputs or outputs are not those of a generator.
        """
        generator = cls.__new__(cls)
        generator.path = None
        generator._describe(json.loads(model.to_json()), about)
        generator._check_images(model)
        generator.model = model
        return generator

    def __str__(self):
        return str(self.path or f"the generator of {self.name}")

    def _describe(self, config, about):
        """Set the attributes, from Keras's config of the model and what was saved with it."""
        try:
            self.name = str(about.get("script") or config["config"]["name"])
            inputs = _inputs(config)
            self.latent_shape, _ = inputs.pop("latent")
            self.stored_names = tuple(about.get("class_names") or ())
            self.label_shape, dtype = next(iter(inputs.values()), ((), None))
            self.label_kind = _label_kind(self.label_shape, dtype) if inputs else None
            n_classes = self.label_shape[-1] if self.label_shape else 0
            if self.label_kind == "integer":
                n_classes = len(self.stored_names) or _number_of_classes(config)
            numbers = tuple(map(str, range(n_classes)))
            self.class_names = self.stored_names if self.stored_names and inputs else numbers
            if [*map(type, self.class_names)] != [str] * n_classes:
                raise ValueError(
                    f"it takes {n_classes} classes, but its class names are {self.class_names}"
                )
            self.colours = tuple(map(tuple, about.get("colours") or ()))
            self.numbered_from = about.get("numbered_from")
            if self.numbered_from not in (0, 1, None):
                raise ValueError(f"its label maps are numbered from {self.numbered_from}")
            ends_in_sigmoid = "sigmoid" in json.dumps(config["config"]["layers"][-1])
            by_activation = (0, 1) if ends_in_sigmoid else (-1, 1)
            low, high = about.get("pixel_range") or by_activation
            self.pixel_range = float(low), float(high)
            if not -math.inf < low < high < math.inf:
                raise ValueError(f"its pixels are said to range from {low} to {high}")
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{self} cannot be sampled: {one_line(problem)}") from None

    def _check_images(self, model):
        shapes = [tuple(output.shape) for output in model.outputs]
        shape = shapes[0][1:]
        if len(shapes) > 1 or len(shape) != 3 or None in shape or shape[-1] not in (1, 3):
            raise UserError(
                f"{self} is not a generator: its outputs are {listed(shapes)}, but must be "
                "grey or colour images of a fixed size, (n, H, W, 1) or (n, H, W, 3)"
            )
        if self.label_kind == "label map" and self.label_shape[:2] != shape[:2]:
            raise UserError(
                f"{self} outputs images of {shape[0]} x {shape[1]} from label maps of "
                f"{self.label_shape[0]} x {self.label_shape[1]}: the sizes must be equal"
            )

    @functools.cached_property
    def model(self):
        from common.models.steps import quicken

        model = saved_models.load(self.path)
        self._check_images(model)
        quicken(model)
        if self.label_kind == "integer":
            last = len(self.class_names) - 1  # may be a guess, and wrong
            try:
                self._draw(model, np.zeros((1, *self.latent_shape), "float32"), np.array([last]))
            except Exception as problem:  # TensorFlow raises one of its own
                raise UserError(
                    f"{self} does not take label {last}, though it seems to have "
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
        wanted = _folded(text)
        names = [_folded(name) for name in self.class_names]
        for fits in (
            lambda number: self.class_names[number] == text,
            lambda number: names[number] == wanted,
            lambda number: str(number) == wanted,
            lambda number: wanted and wanted in names[number],
        ):
            found = list(filter(fits, range(len(names))))
            if len(found) == 1:
                return found[0]
            if found:
                several = " or ".join(self.class_names[number] for number in found)
                raise UserError(f"class {text!r} may be {several}: give the whole name")
        known = ", ".join(f"{number} ({name})" for number, name in enumerate(self.class_names))
        raise UserError(f"unknown class {text!r}; known are {known}")

    def random_latents(self, count, rng):
        """Draw latents from N(0, 1) with a numpy Generator: float32 (count, *latent_shape)."""
        self.load()  # which refuses a file whose latents would not fit into memory
        return rng.standard_normal((count, *self.latent_shape), dtype="float32")

    def draw(self, latents, labels=None):
        """Draw images, float32 (n, H, W, C) in [0, 1], in batches that fit into memory.

        Args:
            latents: (n, *latent_shape).
            labels: integers (n,); or mixtures of classes, float (n, classes), in which each row
                holds the shares of the classes; or, if the generator takes label maps, integers
                (n, H, W); or None, if it takes no labels.

        Raises UserError for a label that is none of its classes, and for pixels that are NaN.
        """
        n_classes = len(self.class_names)
        if labels is not None and labels.dtype.kind != "f":
            for label in (labels.min(), labels.max()):
                if not 0 <= label < n_classes:
                    raise UserError(
                        f"{self} has no class {label}: its classes are 0 to {n_classes - 1}"
                    )
        mixed = self.label_kind == "integer" and labels.ndim == 2
        if mixed and (labels.max(axis=1) == 1).all():  # each of one class, which needs no mixing
            mixed, labels = False, labels.argmax(axis=1)
        images = self._draw(self._mixing_model if mixed else self.model, latents, labels)
        if np.isnan(images).any():
            raise UserError(f"{self} draws images in which pixels are NaN: train it anew")
        return images

    def _draw(self, model, latents, labels):
        shape = tuple(model.outputs[0].shape[1:])
        images = np.empty((len(latents), *shape), "float32")
        label = next((tensor for tensor in model.inputs if tensor.name != "latent"), None)

        def inputs(latents, labels=None):
            if label is None:
                return latents
            if "int" in label.dtype:
                labels = labels.reshape(-1, *label.shape[1:])
            elif labels.dtype.kind != "f":
                labels = np.eye(label.shape[-1], dtype="float32")[labels]
            return [labels if tensor is label else latents for tensor in model.inputs]

        low, high = self.pixel_range
        arrays = [latents] if label is None else [latents, labels]
        for part, pixels in in_batches(model, arrays, shape, inputs):
            images[part] = (pixels - low) / (high - low)
        return images.clip(0, 1, out=images)

    @functools.cached_property
    def _mixing_model(self):
        return accept_mixed_labels(self.model, len(self.class_names))


def in_batches(model, arrays, image_shape, prepare):
    """Call a model on arrays of equal length, batch by batch.

    Args:
        model: a Keras model. It is faster after a call of `steps.quicken`.
        arrays: a list of arrays (n, …).
        image_shape: the shape (H, W, C) of the images that the model takes or makes. The size of a
            batch depends on it, so that the batch fits into memory.
        prepare: a function that converts a batch of the arrays to inputs of the model.

    Yields a slice of the arrays, and the model's outputs for it.
    """
    size = min(len(arrays[0]), max(1, MAX_PIXELS // (image_shape[0] * image_shape[1])))
    for start in range(0, len(arrays[0]), size):
        batch = [array[start : start + size] for array in arrays]
        count = len(batch[0])
        # Fill up the last batch: for another size the model would be traced again, which is slow.
        batch = [np.resize(array, (size, *array.shape[1:])) for array in batch]
        outputs = model.predict_on_batch(prepare(*batch))
        is_list = isinstance(outputs, list)
        outputs = [output[:count] for output in outputs] if is_list else outputs[:count]
        yield slice(start, start + count), outputs


def accept_mixed_labels(model, n_classes):
    """Turn a generator of integer labels into one of class mixtures, float32 (n, n_classes).

    No integer between 2 and 6 stands for a mixture of these two classes. But the embedding of a
    label is a vector, and vectors can be mixed. So in the new model the sum of all embedding
    vectors, each multiplied by the share of its class, takes the place of the embedding.

    Raises UserError if the model has no `Embedding` layer, or uses its labels elsewhere as well.
    """
    from common.backend import keras

    embedded = []  # what each call of an embedding returns; there may be several of one layer

    def call(layer, *args, **options):
        output = layer(*args, **options)
        embedded.extend([output] * isinstance(layer, keras.layers.Embedding))
        return output

    copy = keras.models.clone_model(model, clone_function=lambda x: x, call_function=call)
    latent, label = sorted(copy.inputs, key=lambda tensor: tensor.name != "latent")
    if not embedded:
        raise UserError(f"{model.name} has no embedding of its labels, so they cannot be mixed")
    try:
        behind_embeddings = keras.Model([latent, *embedded], copy.output)
    except ValueError:
        raise UserError(
            f"{model.name} uses its labels outside their embedding as well, so they cannot be mixed"
        ) from None
    all_labels = np.arange(n_classes, dtype="int32").reshape(n_classes, *label.shape[1:])
    vectors = keras.tree.flatten(keras.Model(label, embedded)(all_labels))

    shares = keras.Input((n_classes,), name=label.name)
    mixed = []
    for tensor, rows in zip(embedded, vectors, strict=True):
        kernel = np.reshape(rows, (n_classes, -1))
        mix = keras.layers.Dense(kernel.shape[1], use_bias=False)
        mixed.append(keras.layers.Reshape(tensor.shape[1:])(mix(shares)))
        mix.kernel.assign(kernel)
    return keras.Model([latent, shares], behind_embeddings([latent, *mixed]), name=model.name)


def _inputs(config):
    """Shape and dtype of each input, by name, from Keras's config of a model."""
    inputs = {
        layer["config"]["name"]: (
            tuple(layer["config"]["batch_shape"][1:]),
            layer["config"]["dtype"],
        )
        for layer in config["config"]["layers"]
        if layer["class_name"] == "InputLayer"
    }
    if "latent" not in inputs:
        raise ValueError(f"its inputs are {', '.join(inputs) or 'none'}, and none is named latent")
    if len(inputs) > 2:
        raise ValueError(f"its inputs are {', '.join(inputs)}, more than latent and a label")
    for name, (shape, _) in inputs.items():
        if not all(isinstance(side, int) and side > 0 for side in shape):
            raise ValueError(f"its input {name} has no fixed shape: {shape}")
    return inputs


def _label_kind(shape, dtype):
    """The kind of a label, as in `Generator`, by the shape and the dtype of that input."""
    kinds = {0: "integer", 1: "integer" if "int" in str(dtype) else "one-hot", 3: "label map"}
    kind = kinds.get(len(shape))
    if not kind or (kind == "integer" and shape not in ((), (1,))):
        raise ValueError(f"it takes {dtype} of shape {shape}, which is no label and no label map")
    return kind


def _number_of_classes(config):
    """The number of classes of a generator of integer labels that was saved without their names."""
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
    return min(counts)


def _folded(text):
    return unicodedata.normalize("NFKC", text).casefold().strip()
