"""Finding saved generators by the names that people type."""

import contextlib
import json
import sys
from pathlib import Path

from common import UserError
from common.data.reading import expand

FOLDERS = (Path("runs"), Path(__file__).parents[2] / "trained")


def find(name):
    """Find a generator by its path or by a name, without importing TensorFlow.

    Args:
        name: the path of a `.keras` file or of a run folder. Or the name of a script or of a folder
            in `runs/`, or the part of such a name before an underscore (if that fits several names,
            scripts come before folders, and then the first in the alphabet is used). A name stands
            for the newest such run in `runs/`, or else for the generator in `trained/`.

    Returns the path of the `.keras` file. Raises UserError if there is no such generator.
    """
    path = expand(name)
    if path.suffix == ".keras":
        return path
    if (path / "generator.keras").is_file():
        return path / "generator.keras"
    if path.is_dir():
        raise UserError(f"there is no generator.keras in the folder {path}")

    own, trained = map(_runs, FOLDERS)
    names = set().union(*own.values(), *trained.values())
    scripts = {script for _folder, script in [*own.values(), *trained.values()]}
    beginning = [known for known in names if known.startswith(f"{name}_")]
    first = min(beginning, key=lambda known: (known not in scripts, known), default=None)
    meant = name if name in names else first
    if meant is None:
        known = f"one of {', '.join(sorted(names))}" if names else "a script that has been trained"
        raise UserError(
            f"there is no model {name!r}: give the path of a .keras file or run folder, or {known}"
        )
    for runs in (own, trained):
        if paths := [path for path in runs if meant in runs[path]]:
            path = max(paths, key=lambda path: path.stat().st_mtime)
            if runs is trained:
                print(f"Using the trained generator {path.parent.name}.", file=sys.stderr)
            return path


def _runs(folder):
    """The generators in a folder of run folders: a dict from path to two names for it.

    The names are those of its run folder and of its script, which if unknown are the same.
    """
    found = {}
    for path in folder.glob("*/generator.keras"):
        script = path.parent.name
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
            record = json.loads(path.with_name("run.json").read_text(encoding="utf-8"))
            script = str(record["script"])
        found[path] = path.parent.name, script
    return found
