"""How much memory a training step takes, and whether the machine has it."""

import math
import sys

from common.backend import keras, tensorflow
from common.data.memory import available

OPTIONS = "--batch-size, --image-size or --width"


def warn_if_too_small(models, n_batch):
    """Say so on stderr where a step clearly needs more memory than is free.

    TensorFlow ends the process where it finds none, without a word of Python.

    Args:
        models: a dict of built models; those that are compiled are trained one after the other.
        n_batch: images in a batch.
    """
    needed, free = step_bytes(models.values(), n_batch), available()
    if needed > free and not tensorflow.config.list_physical_devices("GPU"):
        print(
            f"Warning: a training step needs {needed / 1e9:.1f} GB of memory or more, and "
            f"{free / 1e9:.1f} GB are free: give a smaller {OPTIONS}",
            file=sys.stderr,
        )


def step_bytes(models, n_batch):
    """A lower bound of what a training step takes, bytes.

    Each weight has a gradient and two moments of Adam beside it. What the layers make of a batch is
    kept until their gradients are computed.
    """
    weights = {id(weight): weight for model in models for weight in model.trainable_weights}
    made = [
        sum(math.prod(filter(None, tensor.shape)) for tensor in _outputs(model)) for model in models
    ]
    return 4 * (4 * sum(math.prod(w.shape) for w in weights.values()) + n_batch * max(made))


def _outputs(model):
    return keras.tree.flatten([operation.output for operation in model.operations])
