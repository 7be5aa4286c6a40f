"""Drawing any number of images with a generator, and calling models on batches that fit memory."""

import numpy as np

MAX_PIXELS = 400_000  # in a batch: 510 images of 28 x 28 pixels


class Sampler:
    """Draws images in [0, 1] with a generator.

    The labels are integers, even if the generator takes one-hot labels.

    Args:
        model: a generator. One input is `latent`. It may have a second one: labels, integers (n, 1)
            or one-hot (n, classes), or one-hot label maps (n, H, W, classes).
        pixel_range: the lowest and the highest pixel value of the images that the model makes.
    """

    def __init__(self, model, pixel_range):
        self._model, self._pixel_range = model, pixel_range
        self._order = [tensor.name == "latent" for tensor in model.inputs]
        self._latent = model.inputs[self._order.index(True)]
        others = [tensor for tensor in model.inputs if tensor is not self._latent]
        self._label = others[0] if others else None

    @property
    def takes_labels(self):
        """Whether the model takes labels or label maps."""
        return self._label is not None

    def random_latents(self, count, rng):
        """Draw latents from N(0, 1) with a numpy Generator: float32 (count, *shape)."""
        return rng.standard_normal((count, *self._latent.shape[1:]), dtype="float32")

    def draw(self, latents, labels=None):
        """Draw images, float32 (n, H, W, C) in [0, 1].

        Args:
            latents: (n, *shape), where `shape` is that of the model's latent.
            labels: class numbers (n,); or label maps (n, H, W) of class numbers, if the model takes
                label maps; or floats (n, classes), which are given to the model unchanged. None if
                the model takes no labels.
        """
        shape = tuple(self._model.output_shape[1:])
        images = np.empty((len(latents), *shape), "float32")
        arrays = [latents, labels] if self.takes_labels else [latents]
        low, high = self._pixel_range
        for part, pixels in in_batches(self._model, arrays, shape, self._inputs):
            images[part] = (pixels - low) / (high - low)
        return images.clip(0, 1, out=images)

    def _inputs(self, latents, labels=None):
        if not self.takes_labels:
            return latents
        if "int" in self._label.dtype:
            labels = labels.reshape(-1, *self._label.shape[1:])
        elif labels.dtype.kind != "f":
            labels = np.eye(self._label.shape[-1], dtype="float32")[labels]
        return [latents if is_latent else labels for is_latent in self._order]


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
        if isinstance(outputs, list):
            yield slice(start, start + count), [output[:count] for output in outputs]
        else:
            yield slice(start, start + count), outputs[:count]
