"""Finding saved generators by the names that people type."""

import contextlib
import json
import sys
import zipfile
from pathlib import Path

from common import UserError
from common.data.reading import expand, one_line
from common.files import run_folder

PROJECT = Path(__file__).parents[2]
FOLDERS = (Path("runs"), PROJECT / "trained")


def find(name, best=False):
    """Find a generator by its path or by a name, without importing TensorFlow.

    `name` is the path of a `.keras` file or of a run folder, from the current folder or else from
    that of the scripts. Or it is the name of a script or of a folder in `runs/`, which stands for
    the newest such run, or else for the generator in `trained/`. Or the part of such a name before
    an underscore. If that fits several names in `runs/`, or else in `trained/`, scripts come before
    folders, and then the first in the alphabet is used. With `best` it is the best.keras of the run
    of that generator.

    Returns the path of the `.keras` file. Raises UserError if there is no such generator.
    """
    path = expand(name)
    if not path.exists() and (PROJECT / path).exists():
        path = PROJECT / path
    if (path / "generator.keras").is_file():
        path = path / "generator.keras"
    if path.suffix == ".keras":
        return _best_of(path) if best else path
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
                if best:
                    path = _best_of(path)
                if runs is trained:
                    print(f"Using the trained generator {path.parent.name}.", file=sys.stderr)
                return path
    names = sorted(set().union(*own.values(), *trained.values()))
    known = f"one of {', '.join(names)}" if names else "a script that has been trained"
    raise UserError(
        f"there is no model {name!r}: give the path of a .keras file or run folder, or {known}"
    )


def _best_of(path):
    """The best.keras of the run of a generator. Raises UserError if there is none that is whole."""
    best = run_folder(path) / "best.keras"
    try:
        with zipfile.ZipFile(best) as archive:
            changed = archive.testzip()
        problem = f"is damaged: {changed} in it has changed" if changed else ""
    except FileNotFoundError:
        problem = "is not there: no quality was measured in that run (--evaluate-every)"
    except Exception as error:  # zipfile and zlib raise many types of it
        problem = f"is damaged: {one_line(error)}"
    if problem:
        raise UserError(f"{best} {problem}; leave out --best for the newest generator")
    return best


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
    path, places = generator.path, []
    if path.stem in ("generator", "best") or path.parent.name == "kept":
        places.append(run_folder(path).name)
    if path.stem != "generator":
        places.append(path.stem)
    return "_".join(dict.fromkeys(name for name in (generator.name, *places) if name))
