"""Files that are complete or absent: written beside, flushed to disk, then renamed."""

import contextlib
import os
import re
from pathlib import Path

from common import UserError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    The temporary name keeps the suffix, since Keras and matplotlib choose the format by it. The
    folder is made if need be. If the block fails, the temporary file is removed and `path` stays
    as it was.

    Raises:
        OSError: the file cannot be written or renamed; its `filename` is `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
        _flush_folder(path.parent)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if cause := _os_error_behind(problem):
            raise OSError(cause.errno, cause.strerror or str(cause), str(path)) from problem
        raise


def _beside(path):
    return path.with_name(f".{path.stem}.writing{path.suffix}")


def _flush_folder(folder):
    """Have the disk know of a renamed file, where a system (not Windows) can be told."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _os_error_behind(problem):
    """The OSError that an exception is or comes from; on a full disk zipfile raises others."""
    while problem and not isinstance(problem, OSError):
        problem = problem.__cause__ or problem.__context__
    return problem


def write_text(path, text):
    """Replace the text file at `path` in one step."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def sample_path(folder, epoch):
    """Where the sample picture of an epoch is in a run folder."""
    return folder / "samples" / f"epoch_{epoch:04d}.png"


def find_samples(folder):
    """The epochs of which a run folder has a sample picture, sorted."""
    names = [path.stem.removeprefix("epoch_") for path in (folder / "samples").glob("epoch_*.png")]
    epochs = [int(digits) for digits in names if digits.isdecimal()]
    return sorted(epoch for epoch in epochs if f"{epoch:04d}" in names)


def default_path(name):
    """A path in `generated/` for a picture that was given none."""
    return Path("generated", re.sub(r"[^\w.+-]+", "-", name))


def check_writable(path, suffixes):
    """Raise UserError or OSError if a file cannot be written, before slow work is done for it.

    The name of the file must end in one of `suffixes`. Its folder is made when it is written.
    """
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path} must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise UserError(f"cannot write {path}: {nearest} is a file")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"cannot write {path}: no permission in the folder {nearest}")
    _beside(path).exists()  # raises OSError if that name is too long
