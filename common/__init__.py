"""What every script shares and no reader needs in order to understand a model.

Importing this package settles what TensorFlow and Keras read from the environment when they
are imported, so a script imports from `common` before it imports keras.
"""

import os
import sys

# TensorFlow leaves oneDNN off on x86 CPUs without AVX-512 VNNI; a training step takes about
# three times as long without it. Somebody who has set the variable knows why.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"


def _report_interrupt(kind, problem, traceback):
    """Ctrl-C while modules are still being imported is no reason for a page of traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print("Stopped before anything began.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, problem, traceback)


sys.excepthook = _report_interrupt


class UserError(ValueError):
    """A mistake that the person at the terminal can mend: one line says what and how."""
