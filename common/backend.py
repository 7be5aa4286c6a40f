"""Imports keras, and with it TensorFlow, without TensorFlow's start-up messages.

They are written straight to file descriptor 2 before any log level is read (TensorFlow issue
100442), so the descriptor itself points elsewhere meanwhile. Should the import fail, what it
wrote is shown.
"""

import os
import sys
import tempfile

sys.stderr.flush()
_stderr = os.dup(2)
with tempfile.TemporaryFile() as _messages:
    os.dup2(_messages.fileno(), 2)
    try:
        import keras
        import tensorflow
    except BaseException:
        _messages.seek(0)
        os.write(_stderr, _messages.read())
        raise
    finally:
        os.dup2(_stderr, 2)
        os.close(_stderr)

__all__ = ["keras", "tensorflow"]
