"""The files of a run folder: which they are, whose they are, and its tables."""

import contextlib
import csv
import errno
import io
import json
import os
import platform

from common import UserError
from common.backend import keras, tensorflow
from common.files import write_text

import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

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
    """Raise UserError where a run cannot be kept, or holds one that would be lost."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(f"--out {folder} cannot be a folder: {nearest} is a file")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"--out {folder}: no permission to write in {nearest}")
    if (folder / "samples").exists() and not (folder / "samples").is_dir():
        raise UserError(f"{folder / 'samples'} is no folder: move it away")
    if not may_hold_a_run and _holds_a_run(folder):
        go_on = "--resume goes on with it, " if (folder / "run.json").exists() else ""
        raise UserError(
            f"{folder} already holds a run: {go_on}--overwrite deletes it, "
            "--out DIR takes another folder"
        )


def _holds_a_run(folder):
    """Whether there is anything to lose, which a run that has trained nothing has not."""
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
    """Delete what a process that was killed while it wrote has left behind."""
    for half_written in (*folder.glob(".*.writing.*"), *folder.glob("samples/.*.writing.png")):
        half_written.unlink()


@contextlib.contextmanager
def locked(folder):
    """Keep other processes from training in a folder that exists, for the length of a `with`.

    The lock is on the folder itself and goes with the process, however that ends, so there is no
    file of it that could be left over. Windows has no such lock, and neither have some network
    file systems: there it is for the user to take care.

    Yields a function that raises OSError once the folder is not the same any more.
    Raises UserError if another process has the lock.
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
                f"another process is training in {folder}: wait for its end or stop it, "
                "or take another folder with --out DIR"
            ) from None
        except OSError:
            pass

        def check_still_there():
            if not os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                raise FileNotFoundError(errno.ENOENT, "another folder has taken its place", folder)

        yield check_still_there
    finally:
        os.close(descriptor)


def origin(script):
    """What run.json and a checkpoint say of where they come from."""
    versions = {package.__name__: package.__version__ for package in (keras, tensorflow, np)}
    return {"script": script, "versions": {"python": platform.python_version()} | versions}


def check_origin(record, script):
    """Raise UserError for a record of another script or another Keras than this one."""
    if record["script"] != script:
        raise UserError(f"is of a run of {record['script']}.py, not of {script}.py")
    found = record["versions"]["keras"]
    if found != keras.__version__:
        raise UserError(
            f"was saved with Keras {found}, and this is {keras.__version__}: "
            f"to go on with it, pip install keras=={found}"
        )


def read_record(folder, script):
    """The run.json of a run of `script`. Raises UserError if there is none."""
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        check_origin(record, script)
        dict(record["arguments"]), record["data"]["source"], int(record["epochs_finished"])
    except FileNotFoundError:
        raise UserError(f"{folder} holds no run to resume") from None
    except UserError as problem:
        raise UserError(f"{path} {problem}") from None
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as problem:
        raise UserError(f"{path} is damaged: {problem}") from None
    return record


def write_record(folder, record):
    """Write run.json."""
    write_text(folder / "run.json", json.dumps(record, indent=2) + "\n")


def write_losses(folder, history):
    """Write losses.csv: a row for each epoch, a column for each list in `history`.

    The cells of values that are None are empty.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["epoch", *history])
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow([epoch, *("" if value is None else f"{value:.6f}" for value in values)])
    write_text(folder / "losses.csv", table.getvalue())
