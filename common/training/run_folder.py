"""The files of a run folder: their names, the lock on the folder, run.json and losses.csv."""

import contextlib
import csv
import errno
import io
import json
import os
import platform

from common import UserError
from common.backend import keras, tensorflow
from common.files import check_parents, sample_path, write_text

import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# What to do where a run cannot be resumed: the end of an error message.
START_ANEW = (
    "for a new run, replace --resume with --overwrite, which deletes this run, "
    "or with another --out"
)
FILES = (
    "run.json",
    "checkpoint.npz",
    "generator.keras",
    "encoder.keras",
    "losses.csv",
    "losses.png",
    "quality.png",
    "index.html",
)


def check(folder, may_hold_a_run):
    """Raise UserError if a run cannot be saved in `folder`, or would replace another run."""
    check_parents(sample_path(folder, 1))
    if not may_hold_a_run and _holds_a_run(folder):
        resume_option = "--resume continues it, " if (folder / "run.json").exists() else ""
        raise UserError(
            f"{folder} already holds a run: {resume_option}--overwrite deletes it, "
            "--out DIR chooses another folder"
        )


def _holds_a_run(folder):
    """Whether a run would be lost. A run that has not trained anything yet does not count."""
    files = {name for name in FILES if (folder / name).exists()}
    if files <= {"run.json", "index.html"}:
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            return record["epochs_finished"] != 0
    return bool(files)


def delete_run(folder):
    """Delete the files that a run writes, and nothing else that may be in the folder."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    for picture in (folder / "samples").glob("epoch_*.png"):
        picture.unlink()
    delete_half_written(folder)


def delete_half_written(folder):
    """Delete the temporary files of a process that was killed while it was writing."""
    for half_written in (*folder.glob(".*.writing.*"), *folder.glob("samples/.*.writing.png")):
        half_written.unlink()


@contextlib.contextmanager
def locked(folder):
    """Lock an existing folder during a `with` block, so that no other process trains in it.

    The lock is on the folder itself, and the operating system releases it when the process ends,
    even by a crash; so no lock file can be left behind. On Windows, and on some network file
    systems, there are no such locks: there the user must take care.

    Yields a function that raises OSError if the path now leads to another folder or to nothing.
    Raises UserError if another process has locked the folder.
    """
    if fcntl is None:
        yield lambda: None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is training in {folder}: wait until it ends, stop it, "
                "or choose another folder with --out DIR"
            ) from None
        except OSError:  # this file system has no locks
            pass

        def check_still_there():
            if not os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                raise FileNotFoundError(errno.ENOENT, "another folder has taken its place", folder)

        yield check_still_there
    finally:
        os.close(descriptor)


def origin(script):
    """The script and the versions of packages, as run.json and checkpoints record them: a dict."""
    versions = {package.__name__: package.__version__ for package in (keras, tensorflow, np)}
    return {"script": script, "versions": {"python": platform.python_version()} | versions}


def check_origin(record, script):
    """Raise UserError if `record` is of another script, or of another version of Keras."""
    if record["script"] != script:
        raise UserError(
            f"belongs to a run of {record['script']}.py, not of {script}.py: "
            "resume it with its own script, or choose another folder with --out"
        )
    found = record["versions"]["keras"]
    if found != keras.__version__:
        raise UserError(
            f"was saved with Keras {found}, and this is {keras.__version__}: "
            f"to resume the run, pip install keras=={found}"
        )


def read_record(folder, script):
    """Read the run.json of a run of `script`. Raises UserError if it is missing or damaged."""
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        check_origin(record, script)
        dict(record["arguments"]), record["data"]["source"], int(record["epochs_finished"])
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no run to resume: leave out --resume, or choose the folder with --out"
        ) from None
    except UserError as problem:
        raise UserError(f"{path} {problem}") from None
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as problem:
        raise UserError(f"{path} is damaged: {problem}; {START_ANEW}") from None
    return record


def write_record(folder, record):
    """Write run.json."""
    write_text(folder / "run.json", json.dumps(record, indent=2) + "\n")


def write_losses(folder, history):
    """Write losses.csv: a row for each epoch, a column for each list in `history`.

    The cell of a value that is None is empty.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["epoch", *history])
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow([epoch, *("" if value is None else f"{value:.6f}" for value in values)])
    write_text(folder / "losses.csv", table.getvalue())
