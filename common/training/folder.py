"""The run folder: which files it has, and who writes them.

    run.json                        `write_record`, when a run begins and after each epoch
    samples/epoch_0001.png          `save_samples`, after an epoch
    generator.keras, encoder.keras  `save_models`, after an epoch
    best.keras, best_encoder.keras  `save_models`, after an epoch of the best score so far
    kept/epoch_0010.keras           `save_models`, after an epoch that --keep-every keeps
    losses.csv, losses.png          `save_figures`, after an epoch
    quality.png                     `save_figures`, once the quality has been measured
    checkpoint.npz                  `checkpoints.save`, after an epoch and within it
    index.html                      `page.write`, last of all

Every file is complete at every instant (`common.files.replacing`). A picture, a table or a page
that cannot be written is missed with a warning; a checkpoint or model that cannot be written ends
the run.
"""

import contextlib
import csv
import errno
import io
import json
import os
import platform

from common import UserError, plotting
from common.arguments import error_text
from common.backend import keras, tensorflow
from common.files import beside, check_parents, sample_path, write_text
from common.models import saved_models
from common.notebooks import show
from common.training.progress import warn

import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SAVED_MODELS = ("generator", "encoder")  # saved in files of their own, for generate.py
FILES = (
    *("run.json", "checkpoint.npz", "generator.keras", "encoder.keras"),
    *("best.keras", "best_encoder.keras"),
    *("losses.csv", "losses.png", "quality.png", "index.html"),
)
KEPT = "kept/epoch_*.keras"
# What to do where a run cannot be resumed: the end of an error message.
START_ANEW = (
    "for a new run, replace --resume with --overwrite, which deletes this run, "
    "or with another --out"
)


def check(folder, may_hold_a_run):
    """Raise UserError if a run cannot be saved in `folder`, or would replace another run.

    The folder need not exist. If it does, no other process may train in it.
    """
    check_parents(sample_path(folder, 1))
    if folder.exists():
        with locked(folder):
            pass
    if not may_hold_a_run and _holds_a_run(folder):
        resume_option = "--resume continues it, " if (folder / "run.json").exists() else ""
        raise UserError(
            f"{folder} already holds a run: {resume_option}--overwrite deletes it, "
            "--out DIR chooses another folder"
        )


def _holds_a_run(folder):
    """Whether a run would be lost. A run that has not trained anything yet does not count."""
    files = {name for name in FILES if (folder / name).exists()} | {*folder.glob(KEPT)}
    if files <= {"run.json", "index.html"}:
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            return record["epochs_finished"] != 0
    return bool(files)


def clear(folder, overwrite):
    """Delete what a killed process has left half written and, to overwrite it, an old run.

    Nothing else that may be in the folder is deleted.
    """
    left = [*folder.glob(".*.writing.*"), *folder.glob("samples/.*.writing.*")]
    left += folder.glob("kept/.*.writing.*")
    if overwrite:
        left += [folder / name for name in FILES]
        left += [*folder.glob("samples/epoch_*.png"), *folder.glob(KEPT)]
    for path in left:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there is none, or something else is in it
        (folder / "kept").rmdir()
    (folder / "samples").mkdir(exist_ok=True)


@contextlib.contextmanager
def locked(folder):
    """Lock an existing folder during a `with` block, so that no other process trains in it.

    The operating system releases it when the process ends, even by a crash. On Windows, and on some
    network file systems, there are no such locks: there the user must take care.

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
    """Read the run.json of a run of `script`. Raises UserError if it cannot be resumed."""
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        check_origin(record, script)
        finished = int(record["epochs_finished"])
        dict(record["arguments"]), record["data"]["source"]
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no run to resume: leave out --resume, or choose the folder with --out"
        ) from None
    except UserError as problem:
        raise UserError(f"{path} {problem}") from None
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as problem:
        raise UserError(f"{path} is damaged: {problem}; {START_ANEW}") from None
    if finished and not (folder / "checkpoint.npz").exists():
        raise UserError(
            f"cannot resume after epoch {finished}: {folder} has no checkpoint.npz; {START_ANEW}"
        )
    return record


def write_record(folder, record):
    """Write run.json."""
    write_text(folder / "run.json", json.dumps(record, indent=2, default=str) + "\n")


def save_models(path, models, about):
    """Write averaged models by name, the generator to `path`, and what generate.py has to know."""
    for name, model in models.items():
        saved_models.save(model, beside(path, name), about)


def save_samples(folder, epoch, images, about, titles):
    """Write the sample picture of an epoch: a title for each column, or ten columns.

    `about` is what is saved with the generator. In a notebook it is shown below the cell, too.
    """
    low, high = about["pixel_range"]
    images = (np.asarray(images) - low) / (high - low)
    with by_product():
        plotting.save_grid(images, sample_path(folder, epoch), len(titles) or 10, titles)
    show(sample_path(folder, epoch))


def save_figures(folder, history, quality):
    """Write losses.csv, a row for each epoch and a column for each value, and the curves."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["epoch", *history, *quality])
    rows = zip(*history.values(), *quality.values(), strict=True)
    for epoch, values in enumerate(rows, start=1):
        writer.writerow([epoch, *("" if value is None else f"{value:.6f}" for value in values)])
    with by_product():
        write_text(folder / "losses.csv", table.getvalue())
    with by_product():
        plotting.save_curves(history, plotting.panels(history), folder / "losses.png")
    with by_product():
        plotting.save_curves(quality, [[name] for name in quality], folder / "quality.png")


@contextlib.contextmanager
def by_product():
    """A `with` block for a file that a training can do without: OSError becomes a warning."""
    try:
        yield
    except OSError as problem:
        warn(f"Warning: {error_text(problem)}; the training goes on without this file")
