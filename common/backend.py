"""Imports Keras and TensorFlow without showing TensorFlow's start-up messages.

TensorFlow writes these messages straight to file descriptor 2, before it reads any log level
(TensorFlow issue 100442). So the descriptor is redirected to a temporary file during the import. If
the import fails, the messages are shown.
"""

import contextlib
import os
import sys
import tempfile
import traceback
from pathlib import Path


@contextlib.contextmanager
def _without_messages():
    try:
        stderr = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except Exception as problem:
            os.dup2(stderr, 2)
            _check_settings(problem)
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _check_settings(problem):
    """Name the file, if it is Keras's reading of keras.json that has failed."""
    failed = Path(traceback.extract_tb(problem.__traceback__)[-1].filename)
    if failed.parts[-3:] == ("src", "backend", "config.py"):
        file = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
        print(f"{file}: {problem}; correct the file, or delete it", file=sys.stderr)
        raise SystemExit(2)


try:
    with _without_messages():
        import keras
        import tensorflow
except KeyboardInterrupt:
    raise SystemExit(130) from None  # Ctrl-C during the import, which takes seconds

# A user's keras.json or KERAS_FLOATX may say otherwise, for other programs. But convolutions on
# images with the channels first do not run on a CPU, and `common` expects float32 weights.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")


def mixed_precision():
    """The name of the Keras dtype policy that computes in 16 bits and keeps weights in 32.

    bfloat16 has the range of float32, so gradients need no scaling. GPUs support it from compute
    capability 8.0 (Ampere) on. For older ones the policy is float16, for which Keras scales losses.
    """
    for gpu in tensorflow.config.list_physical_devices("GPU"):
        details = tensorflow.config.experimental.get_device_details(gpu)
        if details.get("compute_capability", (0, 0)) < (8, 0):
            return "mixed_float16"
    return "mixed_bfloat16"


__all__ = ["keras", "mixed_precision", "tensorflow"]
