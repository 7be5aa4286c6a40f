"""Imports keras, and with it TensorFlow, without TensorFlow's start-up messages.

They are written straight to file descriptor 2 before any log level is read (TensorFlow issue
100442), so the descriptor itself points elsewhere meanwhile. Should the import fail, what it
wrote is shown.
"""

import contextlib
import os
import tempfile


@contextlib.contextmanager
def _without_messages():
    try:
        stderr = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except Exception:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


try:
    with _without_messages():
        import keras
        import tensorflow
except KeyboardInterrupt:
    raise SystemExit(130) from None  # TensorFlow takes seconds to import; nothing has begun yet

# What a user's keras.json or KERAS_FLOATX may say for other programs. Convolutions on images whose
# channels come first do not run on a CPU, and the optimizers here are for float32.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")


def mixed_precision():
    """The name of the dtype policy that computes in 16 bits and keeps weights in 32.

    bfloat16 has the range of float32, so gradients need no scaling. GPUs compute in it since
    compute capability 8.0 (Ampere); for older ones it is float16, with Keras's loss scaling.
    """
    for gpu in tensorflow.config.list_physical_devices("GPU"):
        details = tensorflow.config.experimental.get_device_details(gpu)
        if details.get("compute_capability", (0, 0)) < (8, 0):
            return "mixed_float16"
    return "mixed_bfloat16"


__all__ = ["keras", "mixed_precision", "tensorflow"]
