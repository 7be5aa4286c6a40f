"""Jupyter and Colab: pictures below a cell, and errors in plain words."""

import builtins
import contextlib
import sys


def in_notebook():
    """Whether a cell of a notebook runs this: IPython makes `display` a built-in function."""
    return hasattr(builtins, "display") and bool(sys.stdout) and not sys.stdout.isatty()


def show(path):
    """Show a PNG below the cell, if this is a notebook and the file is there."""
    if in_notebook():
        with contextlib.suppress(OSError):
            builtins.display({"image/png": path.read_bytes()}, raw=True)


class CellStopped(Exception):
    """Ends a cell as SystemExit ends a program: IPython shows the message without a traceback."""

    def _render_traceback_(self):  # IPython looks for this method
        return [str(self)]
