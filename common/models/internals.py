"""What `common.models` and `common.training` use of Keras and TensorFlow that is not documented.

All of it is looked for here, on import. Another version may have it no longer: then a line on
stderr says so, and what needs it is done the plain way.
"""

import functools
import sys

from common.backend import keras

try:
    from tensorflow.python.eager import context
except ImportError:
    context = None


def _has(thing, names, without):
    missing = [name for name in names if not hasattr(thing, name)]
    if missing:
        print(f"This TensorFlow or Keras has no {missing[0]}: {without}", file=sys.stderr)
    return not missing


# Keras's trainer keeps in these attributes the functions that it calls for each batch.
FUNCTIONS = ("train_function", "test_function", "predict_function")
HAS_FUNCTIONS = _has(
    keras.Sequential(name="example"), FUNCTIONS, "steps are slower, and on one device only"
)
_HAS_PATIENCE = _has(
    context and context.context(),
    ["configure_coordination_service"],
    "of several machines, one that is busy for 10 seconds is given up",
)


def set_patience(seconds):
    """Have TensorFlow give up another machine only when it has been silent for so many seconds."""
    if _HAS_PATIENCE:
        running = context.context()
        running.configure_coordination_service = functools.partial(
            running.configure_coordination_service, heartbeat_timeout_in_ms=1000 * seconds
        )
