"""Finding saved generators by the names that people type."""

import contextlib
import json
import sys
from pathlib import Path

from common import UserError
from common.data.reading import expand

PROJECT = Path(__file__).parents[2]
FOLDERS = (Path("runs"), PROJECT / "trained")


def find(name):
    """Find a generator by its path or by a name, without importing TensorFlow.

    `name` is the path of a `.keras` file or of a run folder, from the current folder or else from
    that of the scripts. Or it is the name of a script or of a folder in `runs/`, which stands for
    the newest such run, or else for the generator in `trained/`. Or the part of such a name before
    an underscore. If that fits several names in `runs/`, or else in `trained/`, scripts come before
    folders, and then the first in the alphabet is used.

    Returns the path of the `.keras` file. Raises UserError if there is no such generator.
    """
    path = expand(name)
    if not path.exists() and (PROJECT / path).exists():
        path = PROJECT / path
    if path.suffix == ".keras":
        return path
    if (path / "generator.keras").is_file():
        return path / "generator.keras"
    if path.is_dir():
        raise UserError(f"there is no generator.keras in the folder {path}")

    own, trained = map(_runs, FOLDERS)
    for fits in (lambda known: known == name, lambda known: known.startswith(f"{name}_")):
        for runs in (own, trained):
            scripts = {script for _folder, script in runs.values()}
            folders = {folder for folder, _script in runs.values()}
            names = sorted(filter(fits, scripts)) or sorted(filter(fits, folders))
            if names:
                meant = [path for path in runs if names[0] in runs[path]]
                path = max(meant, key=lambda path: path.stat().st_mtime)
                if runs is trained:
                    print(f"Using the trained generator {path.parent.name}.", file=sys.stderr)
                return path
    names = sorted(set().union(*own.values(), *trained.values()))
    known = f"one of {', '.join(names)}" if names else "a script that has been trained"
    raise UserError(
        f"there is no model {name!r}: give the path of a .keras file or run folder, or {known}"
    )


def _runs(folder):
    """The generators in a folder of run folders: a dict from path to names of folder and script."""
    found = {}
    for path in folder.glob("*/generator.keras"):
        script = path.parent.name
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
            record = json.loads(path.with_name("run.json").read_text(encoding="utf-8"))
            script = str(record["script"])
        found[path] = path.parent.name, script
    return found


def name_for_files(generator):
    """A name for what is drawn with a generator: that of its script and, if different, its run."""
    path = generator.path
    place = path.parent.name if path.name == "generator.keras" else path.stem
    return generator.name if place in ("", generator.name) else f"{generator.name}_{place}"
