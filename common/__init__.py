"""What the scripts share; nothing here is needed to understand a model.

The rooms, from top to bottom: `training`, a run and its folder; `drawing`, pictures from saved
generators; `models`, what is built on Keras models; `data`, images to learn from. The modules
beside them are for all: errors, command lines, files, pictures, the import of Keras. A room imports
only from those below it.

Importing this package sets environment variables that TensorFlow and Keras read when they are
imported. So a script imports from `common` before it imports keras.
"""

import os
import sys
import warnings

if "tensorflow" in sys.modules or "keras" in sys.modules:
    warnings.warn(
        "import common before keras and tensorflow: its settings come too late now", stacklevel=2
    )

# TensorFlow leaves oneDNN off on x86 CPUs without AVX-512 VNNI, where a training step then takes
# about three times as long. A user's own setting is kept.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    print(
        f"These scripts need TensorFlow: KERAS_BACKEND={os.environ['KERAS_BACKEND']} is ignored.",
        file=sys.stderr,
    )
os.environ["KERAS_BACKEND"] = "tensorflow"

# A notebook leaves the name of its own backend in this variable for the programs that it starts.
# matplotlib cannot be imported where there is no such backend, and only a window needs one.
MATPLOTLIB_BACKEND = os.environ.pop("MPLBACKEND", None)


class UserError(ValueError):
    """A mistake that the person at the terminal can mend: one line says what and how."""
