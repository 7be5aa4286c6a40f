"""Files that are complete or absent: written beside, flushed to disk, then renamed."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    The temporary name keeps the suffix, since Keras and matplotlib choose the format by it.
    If the block fails, the temporary file is removed and `path` stays as it was.

    Raises:
        OSError: the file cannot be written or renamed; its `filename` is `path`.
    """
    path = Path(path)
    beside = path.with_name(f".{path.stem}.writing{path.suffix}")
    try:
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise OSError(problem.errno, problem.strerror or str(problem), str(path)) from problem
        raise


def write_text(path, text):
    """Replace the text file at `path` in one step."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")
