"""Imports Keras and TensorFlow without showing TensorFlow's start-up messages.

TensorFlow writes these messages straight to file descriptor 2, before it reads any log level
(TensorFlow issue 100442). So the descriptor is redirected to a temporary file during the import. If
the import fails, the messages are shown.
"""

import contextlib
import os
import tempfile


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
    raise SystemExit(130) from None  # Ctrl-C during the import, which takes seconds

# A user's keras.json or KERAS_FLOATX may say otherwise, for other programs. But convolutions on
# images with the channels first do not run on a CPU, and `common` expects float32 weights.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")

_tensorflow_bias_add = tensorflow.nn.bias_add


def _bias_add(value, bias, data_format=None, name=None):
    """`tensorflow.nn.bias_add`, which Keras's layers call, with the right gradient in bfloat16.

    On a CPU, TensorFlow adds up the gradient of the bias in bfloat16. Once the sum is 256 times as
    large as the next number, adding that number changes nothing: on two cores, 50,000 ones make
    512. The gradient of a plain addition is the same sum, but in float32, and it is faster.
    """
    is_bfloat16 = getattr(value, "dtype", None) == tensorflow.bfloat16
    channels_last = data_format in (None, "NHWC")
    if is_bfloat16 and channels_last and not tensorflow.config.list_physical_devices("GPU"):
        return value + bias
    return _tensorflow_bias_add(value, bias, data_format, name)


tensorflow.nn.bias_add = _bias_add


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
