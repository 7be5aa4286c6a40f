"""Code that the scripts share. You can understand a model without it: a script shows all of that.

There are five subpackages, from top to bottom: `training` (a training run and its folder),
`sampling` (pictures from saved generators), `judges` (networks that score pictures), `models`
(helpers for Keras models) and `data` (the images to learn from). Each imports only from those below
it. The modules beside them serve all five: command lines in `arguments`, the import of Keras in
`backend`, `files`, `notebooks`, and `plotting`.

Importing this package sets environment variables that TensorFlow and Keras read only once, when
they are imported. So a script imports from `common` before it imports keras.
"""

import importlib.util
import os
import platform
import sys
import warnings

for package in ("keras", "tensorflow", "numpy", "matplotlib"):
    if not importlib.util.find_spec(package):
        print(
            f"{package} is not installed for {sys.executable}, Python {platform.python_version()}: "
            "pip install -r requirements.txt, with Python 3.11 to 3.13",
            file=sys.stderr,
        )
        raise SystemExit(2)

if "tensorflow" in sys.modules or "keras" in sys.modules:
    warnings.warn(
        "import common before keras and tensorflow: they do not read its settings any more",
        stacklevel=2,
    )

# TensorFlow leaves oneDNN off on x86 CPUs without AVX-512 VNNI, where a training step then takes
# about three times as long. If the user has set the variable, that value is kept.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    print(
        f"These scripts need TensorFlow: KERAS_BACKEND={os.environ['KERAS_BACKEND']} is ignored.",
        file=sys.stderr,
    )
os.environ["KERAS_BACKEND"] = "tensorflow"

# A notebook sets MPLBACKEND to a backend of its own, and the programs that it starts inherit that.
# Where this backend is not installed, importing matplotlib fails. Only a window needs a backend, so
# the variable is removed here, and `plotting.use_backend_for_windows` uses its value. If matplotlib
# is imported already, as in a notebook, it has read the variable, and may have been told otherwise.
MATPLOTLIB_BACKEND = None
if "matplotlib" not in sys.modules:
    MATPLOTLIB_BACKEND = os.environ.pop("MPLBACKEND", None)


class UserError(ValueError):
    """An error that the user can correct; its message, one line, says what to do."""
