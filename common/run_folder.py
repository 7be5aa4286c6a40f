"""The files of a run folder: which they are, whether a run is there, and its tables."""

import csv
import io
import json
import os
import platform

from common import UserError
from common.backend import keras, tensorflow
from common.files import write_text

import numpy as np

FILES = ("run.json", "checkpoint.npz", "generator.keras", "losses.csv", "losses.png")


def check(folder, may_hold_a_run):
    """Raise UserError where a run cannot be kept, or holds one that would be lost."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(f"--out {folder} cannot be a folder: {nearest} is a file")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"--out {folder}: no permission to write in {nearest}")
    if not may_hold_a_run and any((folder / name).exists() for name in FILES):
        go_on = "--resume goes on with it, " if (folder / "run.json").exists() else ""
        raise UserError(
            f"{folder} already holds a run: {go_on}--overwrite deletes it, "
            "--out DIR takes another folder"
        )


def delete_run(folder):
    """Delete the files that a run writes, and nothing else that may be in the folder."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    for picture in (folder / "samples").glob("epoch_*.png"):
        picture.unlink()
    for half_written in (*folder.glob(".*.writing.*"), *folder.glob("samples/.*.writing.png")):
        half_written.unlink()


def read_record(folder, script):
    """The run.json of a run of `script`. Raises UserError if there is none."""
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = record["script"]
        dict(record["arguments"]), record["data"]["source"], int(record["epochs_finished"])
    except FileNotFoundError:
        raise UserError(f"{folder} holds no run to resume") from None
    except (OSError, ValueError, TypeError, LookupError) as problem:
        raise UserError(f"{path} is damaged: {problem}") from None
    if found != script:
        raise UserError(f"{folder} holds a run of {found}.py, not of {script}.py")
    return record


def write_record(folder, record):
    """Write run.json, with the versions of what the run depends on."""
    versions = {package.__name__: package.__version__ for package in (keras, tensorflow, np)}
    record = record | {"versions": {"python": platform.python_version()} | versions}
    write_text(folder / "run.json", json.dumps(record, indent=2) + "\n")


def write_losses(folder, history):
    """Write losses.csv: a row for each epoch, a column for each list in `history`."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["epoch", *history])
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow([epoch, *(f"{value:.6f}" for value in values)])
    write_text(folder / "losses.csv", table.getvalue())
