"""Many images from a generator, and many through a judge."""

import numpy as np

MAX_PIXELS = 400_000  # of a batch: 500 images of 28 pixels a side


class Sampler:
    """Draws images in [0, 1] with a model, of integer labels, whatever the model takes and makes.

    Args:
        model: its inputs are `latent` and perhaps one more: labels, integers (n, 1) or one-hot
            (n, classes), or label maps, one-hot (n, H, W, classes). Its output is images.
        pixel_range: the least and the greatest value of a pixel in these.
    """

    def __init__(self, model, pixel_range):
        self._model, self._pixel_range = model, pixel_range
        self._order = [tensor.name == "latent" for tensor in model.inputs]
        self._latent = model.inputs[self._order.index(True)]
        others = [tensor for tensor in model.inputs if tensor is not self._latent]
        self._label = others[0] if others else None

    @property
    def takes_labels(self):
        """Whether there are labels to ask for."""
        return self._label is not None

    def random_latents(self, count, rng):
        """Draw latents from N(0, 1), float32 (count, *shape), with a numpy Generator."""
        return rng.standard_normal((count, *self._latent.shape[1:]), dtype="float32")

    def draw(self, latents, labels=None):
        """Draw images, float32 (n, H, W, C) in [0, 1].

        Args:
            latents: (n, *shape).
            labels: integers (n,), or for a model of label maps (n, H, W); or what the model itself
                takes, floats (n, classes); None where it takes none.
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
    """Yield what a model makes of arrays of equal length, batch by batch.

    Args:
        model: a Keras model, one that `quicken` has seen if it is to be quick.
        arrays: each (n, …).
        image_shape: (H, W, C) of the images that go in or come out, by which memory goes.
        prepare: makes the model's inputs of a batch of the arrays.

    Yields a slice, and the model's outputs for that part of the arrays.
    """
    size = min(len(arrays[0]), max(1, MAX_PIXELS // (image_shape[0] * image_shape[1])))
    for start in range(0, len(arrays[0]), size):
        batch = [array[start : start + size] for array in arrays]
        count = len(batch[0])
        # The last batch is filled up: the model would have to be traced anew for another size.
        batch = [np.resize(array, (size, *array.shape[1:])) for array in batch]
        outputs = model.predict_on_batch(prepare(*batch))
        if isinstance(outputs, list):
            yield slice(start, start + count), [output[:count] for output in outputs]
        else:
            yield slice(start, start + count), outputs[:count]
