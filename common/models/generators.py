"""What draws images: a generator, either in a file or in training."""

import functools
import json
import re
import unicodedata
from pathlib import Path

from common import UserError
from common.data.reading import listed, one_line
from common.models import saved_models

import numpy as np

MAX_PIXELS = 400_000  # in a batch: 510 images of 28 x 28 pixels


class Generator:
    """A saved generator. Its inputs and classes are known before its model is loaded.

    Attributes:
        path: the `.keras` file; None for a model in training.
        name: the name of the script that trained it, or, if that is unknown, of the model.
        latent_shape: the shape of one latent, such as (100,).
        label_kind: the other input: None, "integer" (n, 1), "one-hot" (n, classes), or "label map",
            one-hot (n, H, W, classes).
        label_shape: the shape of that input for one image, or ().
        class_names: a tuple, () without classes to choose from; numbers if the file has no names.
        stored_names: the names of the classes of its training images that the file has, or ().
        colours: of the classes of label maps, a tuple of (red, green, blue), 0 to 255, or ().
        numbered_from: the number of the first class in the label maps that it was trained on, 0 or
            1, or None if they were read by colours.
        pixel_range: the smallest and the largest value of a pixel that the model outputs.
        latent_mean, latent_root: its latents are root · noise + mean, with noise from N(0, 1).
            None if they are the noise itself.
        model: the `keras.Model`, loaded when it is first used.

    Raises UserError if the file is not a generator; sometimes only when the model is loaded.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._describe(*saved_models.read(self.path))

    @classmethod
    def of(cls, model, about):
        """The generator that a model in training is.

        `model` is a functional `keras.Model` with an input named `latent` and perhaps another, as
        in `label_kind`. `about` is the dict that `saved_models.save` stores with it: `script`,
        `class_names` and `pixel_range`; for label maps also `colours` and `numbered_from`.
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
            shapes = _input_shapes(config)
            self.latent_shape, _ = shapes.pop("latent")
            self.label_shape, dtype = next(iter(shapes.values()), ((), None))
            self.label_kind = _label_kind(self.label_shape, dtype) if shapes else None
            self.stored_names = tuple(about.get("class_names") or ())
            n_classes = self.label_shape[-1] if self.label_shape else 0
            if self.label_kind == "integer":
                n_classes = len(self.stored_names) or _number_of_classes(config)
            names = self.stored_names if self.label_kind else ()
            self.class_names = names or tuple(map(str, range(n_classes)))
            if len(self.class_names) != n_classes:
                raise ValueError(f"it takes {n_classes} classes, but its class names are {names}")
            self.colours = tuple(map(tuple, about.get("colours") or ()))
            self.numbered_from = about.get("numbered_from")
            self.latent_mean = self.latent_root = None
            if latents := about.get("latents"):
                self.latent_mean, self.latent_root = (
                    np.array(latents[n]) for n in ("mean", "root")
                )
                shapes = self.latent_mean.shape, self.latent_root.shape
                if shapes != (self.latent_shape, 2 * self.latent_shape):
                    raise ValueError(f"its latents have mean and root of {shapes}")
            ends_in_sigmoid = "sigmoid" in json.dumps(config["config"]["layers"][-1])
            by_activation = (0, 1) if ends_in_sigmoid else (-1, 1)
            low, high = self.pixel_range = tuple(about.get("pixel_range") or by_activation)
            if not -np.inf < low < high < np.inf:
                raise ValueError(f"its pixels are said to range from {low} to {high}")
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{self} cannot be sampled: {one_line(problem)}") from None

    def _check_images(self, model):
        shapes = [tuple(output.shape) for output in model.outputs]
        _, *size, channels = shapes[0]
        if len(shapes) > 1 or len(size) != 2 or None in size or channels not in (1, 3):
            raise UserError(
                f"{self} is not a generator: its outputs are {listed(shapes)}, but must be "
                "grey or colour images of a fixed size, (n, H, W, 1) or (n, H, W, 3)"
            )
        if self.label_kind == "label map" and [*self.label_shape[:2]] != size:
            sizes = "images of {} x {} from label maps of {} x {}"
            sizes = sizes.format(*size, *self.label_shape)
            raise UserError(f"{self} outputs {sizes}: the sizes must be equal")

    @functools.cached_property
    def model(self):
        from common.models.steps import quicken

        model = saved_models.load(self.path)
        self._check_images(model)
        quicken(model)
        return model

    def load(self):
        """Load the model now, and not only when it is first used."""
        return self.model

    @property
    def image_shape(self):
        """The shape (H, W, C) of one image. Loads the model."""
        return tuple(self.model.outputs[0].shape[1:])

    def find_class(self, text):
        """The number of the class that `text` stands for.

        `text` is a name, a number, or a part of a name that occurs in no other name.
        Raises UserError if it fits no class, or several.
        """
        wanted, found = _folded(text), {}
        for number, name in enumerate(self.class_names):
            folded = _folded(name)
            fits = name == text, folded == wanted, str(number) == wanted, wanted in folded
            if wanted and any(fits):
                found.setdefault(fits.index(True), []).append(number)
        best = found[min(found)] if found else []
        if len(best) > 1:
            several = " or ".join(self.class_names[number] for number in best)
            raise UserError(f"class {text!r} may be {several}: give the whole name")
        if not best:
            known = ", ".join(f"{number} ({name})" for number, name in enumerate(self.class_names))
            raise UserError(f"unknown class {text!r}; known are {known}")
        return best[0]

    def random_latents(self, count, rng):
        """Draw latents with a numpy Generator: float32 (count, *latent_shape)."""
        return self.to_latents(self.noise(count, rng))

    def noise(self, count, rng):
        """Draw numbers from N(0, 1) for latents: float32 (count, *latent_shape)."""
        return rng.standard_normal((count, *self.latent_shape), dtype="float32")

    def to_latents(self, noise):
        """Latents that are distributed as those that the generator learnt from."""
        if self.latent_root is None:
            return noise
        return (self.latent_mean + noise @ self.latent_root.T).astype("float32")

    def draw(self, latents, labels=None):
        """Draw images, float32 (n, H, W, C) in [0, 1], in batches that fit into memory.

        Args:
            latents: (n, *latent_shape).
            labels: integers (n,); or mixtures of classes, float (n, classes), in which each row
                holds the shares of the classes; or, if the generator takes label maps, integers
                (n, H, W); or None, if it takes no labels.

        Raises UserError for a label that is none of its classes, and for pixels that are NaN.
        """
        from common.backend import tensorflow as tf

        model, to_inputs, n_classes = self.model, self._inputs, len(self.class_names)
        if labels is not None and labels.dtype.kind != "f":
            unknown = labels[(labels < 0) | (labels >= n_classes)]
            if unknown.size:
                raise UserError(
                    f"{self} has no class {unknown[0]}: its classes are 0 to {n_classes - 1}"
                )
        elif self.label_kind == "integer":
            if (labels.max(axis=1) == 1).all():  # each of one class, which needs no mixing
                labels = labels.argmax(axis=1)
            else:
                model, to_inputs = self._mixer

        low, high = self.pixel_range
        arrays, done = [latents] if labels is None else [latents, labels], 0
        images = np.empty((len(latents), *self.image_shape), "float32")
        try:
            for pixels in in_batches(model, arrays, self.image_shape, to_inputs):
                images[done : done + len(pixels)] = (pixels - low) / (high - low)
                done += len(pixels)
        except tf.errors.InvalidArgumentError as problem:
            raise UserError(
                f"{self} cannot draw, though it seems to have {n_classes} classes: "
                f"{one_line(problem)}"
            ) from None
        if np.isnan(images).any():
            raise UserError(f"{self} draws images in which pixels are NaN: train it anew")
        return images.clip(0, 1, out=images)

    def _inputs(self, latents, labels=None):
        """The inputs of the model, in its order."""
        if not self.label_kind:
            return latents
        if self.label_kind == "integer":
            labels = labels.reshape(-1, *self.label_shape)
        elif labels.dtype.kind != "f":
            labels = np.eye(self.label_shape[-1], dtype="float32")[labels]
        return [latents if tensor.name == "latent" else labels for tensor in self.model.inputs]

    @functools.cached_property
    def _mixer(self):
        """A model that draws mixtures of classes, and a function from latents and shares to inputs.

        No integer between 2 and 6 stands for a mixture of these two classes. But the embedding of a
        label is a vector, and vectors can be mixed. So the model takes embedded labels: the sum of
        all embedding vectors, each multiplied by the share of its class.
        """
        from common.backend import keras

        embedded = []  # what each call of an embedding returns; there may be several of one layer

        def call(layer, *args, **options):
            output = layer(*args, **options)
            embedded.extend([output] * isinstance(layer, keras.layers.Embedding))
            return output

        copy = keras.models.clone_model(
            self.model, clone_function=lambda layer: layer, call_function=call
        )
        latent, label = sorted(copy.inputs, key=lambda tensor: tensor.name != "latent")
        try:
            behind_embeddings = keras.Model([latent, *embedded], copy.outputs[0])
        except ValueError:
            raise UserError(
                f"{self} uses its labels outside their embedding as well, so they cannot be mixed"
            ) from None
        every_label = np.arange(len(self.class_names)).reshape(-1, *self.label_shape)
        vectors = keras.tree.flatten(keras.Model(label, embedded)(every_label))

        def to_inputs(latents, shares):
            return [latents, *[np.tensordot(shares, array, axes=1) for array in vectors]]

        return behind_embeddings, to_inputs


def normal_distribution(latents):
    """The mean of latents (n, d) and a root of their covariance: a dict, to be saved with a model.

    A small multiple of the identity makes sure that there is a root.
    """
    latents = np.asarray(latents)
    covariance = np.cov(latents, rowvar=False) + 1e-6 * np.eye(latents.shape[1])
    root = np.linalg.cholesky(covariance)
    return {"mean": latents.mean(axis=0).tolist(), "root": root.tolist()}


def in_batches(model, arrays, image_shape, to_inputs):
    """Call a model on a list of arrays of equal length, in batches that fit into memory.

    `image_shape` is the shape (H, W, C) of the images that the model takes or makes; `to_inputs`
    converts a batch of the arrays to inputs of the model. Yields the outputs for each batch.
    """
    from common.backend import keras

    size = min(len(arrays[0]), max(1, MAX_PIXELS // (image_shape[0] * image_shape[1])))
    for start in range(0, len(arrays[0]), size):
        batch = [array[start : start + size] for array in arrays]
        count = len(batch[0])
        # Fill up the last batch: for another size the model would be traced again, which is slow.
        batch = [np.resize(array, (size, *array.shape[1:])) for array in batch]
        outputs = model.predict_on_batch(to_inputs(*batch))
        yield keras.tree.map_structure(lambda output, count=count: output[:count], outputs)


def _input_shapes(config):
    """Shape and dtype of each input, by name, from Keras's config of a model."""
    inputs = {}
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "InputLayer":
            options = layer["config"]
            inputs[options["name"]] = tuple(options["batch_shape"][1:]), str(options["dtype"])
    if "latent" not in inputs or len(inputs) > 2:
        names = ", ".join(inputs) or "none"
        raise ValueError(
            f"its inputs are {names}, but one must be named latent, with at most one more"
        )
    for name, (shape, _) in inputs.items():
        if not all(isinstance(side, int) and side > 0 for side in shape):
            raise ValueError(f"its input {name} has no fixed shape: {shape}")
    return inputs


def _label_kind(shape, dtype):
    """The kind of a label, as in `Generator`, by the shape and the dtype of that input."""
    kinds = {0: "integer", 1: "integer" if "int" in dtype else "one-hot", 3: "label map"}
    kind = kinds.get(len(shape))
    if not kind or (kind == "integer" and shape not in ((), (1,))):
        raise ValueError(f"it takes {dtype} of shape {shape}, which is no label and no label map")
    return kind


def _number_of_classes(config):
    """The number of classes of a generator of integer labels that was saved without their names."""
    sizes = r'"(?:input_dim|num_tokens|num_classes)": (\d+)'  # of Embedding, CategoryEncoding, …
    counts = re.findall(sizes, json.dumps(config))
    if not counts:
        raise ValueError(
            "it does not say how many classes it has: save it with "
            'common.models.saved_models.save(model, path, {"class_names": [...]})'
        )
    return min(map(int, counts))


def _folded(text):
    return unicodedata.normalize("NFKC", text).casefold().strip()
