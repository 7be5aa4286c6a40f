"""An estimate of the memory that a training step needs, and a warning if there is less."""

import math
import sys

from common.backend import keras, tensorflow
from common.data.memory import available

OPTIONS = "--batch-size, --image-size or --width"  # smaller values of these save memory


def warn_if_too_small(models, n_batch):
    """Print a warning on stderr if a training step needs more memory than is free.

    When the memory runs out, the process may be killed without any Python exception, so that
    nothing can be reported then.

    Args:
        models: a dict of built models, which are trained one after another.
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
    """A lower bound of the memory that a training step needs, in bytes.

    For each weight, its gradient and Adam's two moments are in memory, too. The outputs of all
    layers of one model for one batch stay in memory until the gradients have been computed.
    """
    weights = {id(weight): weight for model in models for weight in model.trainable_weights}
    output_sizes = []
    for model in models:
        tensors = keras.tree.flatten([operation.output for operation in model.operations])
        output_sizes.append(sum(math.prod(filter(None, tensor.shape)) for tensor in tensors))
    n_weights = sum(math.prod(weight.shape) for weight in weights.values())
    return 4 * (4 * n_weights + n_batch * max(output_sizes))
