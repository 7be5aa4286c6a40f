"""Writing files so that they are complete or absent: under a temporary name, then renamed."""

import contextlib
import os
import re
import time
from pathlib import Path

from common import UserError

import numpy as np

PICTURES = (".png", ".jpg", ".jpeg", ".webp")  # suffixes of the pictures that can be written


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    It keeps the suffix, since Keras and matplotlib choose the format by it. The folder is created
    if it does not exist. If the block fails, the temporary file is deleted, and `path` stays.
    Raises OSError, with `path` for its `filename`, if the file cannot be written or renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        _rename(temporary, path)
        _flush_folder(path.parent)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if cause := _os_error_behind(problem, temporary):
            raise OSError(cause.errno, cause.strerror or str(cause), str(path)) from problem
        raise


def _temporary(path):
    return path.with_name(f".{path.stem}.writing{path.suffix}")


def _rename(temporary, path):
    """Rename, if need be after some seconds: on Windows another program may have it open."""
    for pause in (0.1, 0.3, 1.0, 3.0):
        with contextlib.suppress(PermissionError):
            return os.replace(temporary, path)
        time.sleep(pause)
    return os.replace(temporary, path)


def _flush_folder(folder):
    """Flush a folder to disk, so that a file stays renamed after a power cut (not on Windows)."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        descriptor = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        os.fsync(descriptor)


def _os_error_behind(problem, temporary):
    """The OSError that `problem` is or comes from, unless it names another file than this one.

    On a full disk, zipfile raises an error that comes from it.
    """
    while problem and not isinstance(problem, OSError):
        problem = problem.__cause__ or problem.__context__
    return problem if problem and problem.filename in (None, str(temporary), temporary) else None


def write_text(path, text):
    """Replace the text file at `path` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_arrays(path, **arrays):
    """Replace the .npz file at `path` in one step. Arrays that are None are left out."""
    arrays = {name: array for name, array in arrays.items() if array is not None}
    # An open file, since numpy would add .npz to a name that ends otherwise, such as in .NPZ.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def sample_path(folder, epoch):
    """The path of an epoch's sample picture in a run folder."""
    return folder / "samples" / f"epoch_{epoch:04d}.png"


def find_samples(folder):
    """The numbers of the epochs that have a sample picture in a run folder, sorted."""
    names = [path.stem.removeprefix("epoch_") for path in (folder / "samples").glob("epoch_*.png")]
    epochs = [int(digits) for digits in names if digits.isdecimal()]
    return sorted(epoch for epoch in epochs if f"{epoch:04d}" in names)


def default_path(name):
    """A path in `generated/`, for when the user has not given one."""
    return Path("generated", re.sub(r"[^\w.+-]+", "-", name))


def check_writable(path, suffixes):
    """Raise UserError or OSError if a file cannot be written, before any slow work.

    Its name must end in one of `suffixes`. Its folder need not exist yet.
    """
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path} must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    check_parents(path)
    _temporary(path).exists()  # raises OSError if that name is too long


def check_parents(path):
    """Raise UserError if the folders in which a file is to be written do not allow it."""
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise UserError(f"cannot write {path}: {nearest} is a file")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"cannot write {path}: no permission in the folder {nearest}")
