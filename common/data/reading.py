"""Functions for all readers of files: paths, error messages, files in folders and in zip files.

No file is trusted. A zip file is never unpacked onto the disk, and sizes are checked before memory
is allocated.
"""

import contextlib
import os
import re
import stat
import sys
import time
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from common import UserError

MAX_FILE_BYTES = 1 << 26  # of a picture or label map
MAX_DIRECTORY_BYTES = 1 << 22  # of the list of members in a zip file (CMP set: 50,000)

# Files that operating systems create in folders, besides those whose names begin with a dot.
_SYSTEM_FILES = ("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "@eadir")


class MissingPart(ValueError):
    """A file does not hold the part of a data set that was asked for, such as the test part."""


class Files(NamedTuple):
    """The files in a folder or zip file.

    `names` are their names, such as `folder/name`; `read(name)` returns the bytes of a file.
    """

    names: list
    read: object


def expand(path):
    """Replace `~` or `~user` by the home folder. Raises UserError if the user is unknown.

    Raises UserError also for an empty path, which would mean the current folder.
    """
    if not str(path):
        raise UserError("cannot read '': the path is empty")
    try:
        return Path(path).expanduser()
    except RuntimeError as problem:
        raise UserError(f"cannot read {path}: {one_line(problem)}") from None


@contextlib.contextmanager
def reporting(path):
    """Turn any exception while `path` is read into a UserError whose text names the path."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ValueError("it is neither a file nor a folder")
        yield
    except FileNotFoundError:
        raise UserError(f"cannot read {path}: no such file") from None
    except OSError as problem:
        raise UserError(f"cannot read {path}: {problem.strerror or one_line(problem)}") from None
    except Exception as problem:  # zipfile, zlib, struct, tokenize and PIL raise many types
        raise UserError(f"cannot read {path}: {one_line(problem)}") from None


@contextlib.contextmanager
def naming(file):
    """Turn any exception into a ValueError whose text names the file, one of many."""
    try:
        yield
    except Exception as problem:
        raise ValueError(f"{file}: {one_line(problem)}") from None


def one_line(problem):
    """The text of an exception without line breaks."""
    return " ".join(str(problem).split())[:300] or type(problem).__name__


def listed(values, max_shown=12):
    """A text of the values, separated by commas. It ends in "and 5 more" if there are many."""
    shown = ", ".join(map(str, values[:max_shown]))
    return shown if len(values) <= max_shown else f"{shown} and {len(values) - max_shown} more"


def natural_key(name):
    """A key for sorting names so that `2` comes before `10`."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFC", name).casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name


def is_hidden(name):
    """Whether a file or one of its folders is hidden, or created by the operating system."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part.casefold() in _SYSTEM_FILES for part in parts)


def with_progress(items, what):
    """Yield the items. Print the number of items so far after 2 seconds, 4 more, 8 more, ..."""
    report = now_and_then()
    for number, item in enumerate(items, 1):
        yield item
        report(f"{number:,} of {len(items):,} {what} are read")


def now_and_then():
    """A function that prints a line on stderr if 2 seconds have passed, then 4 more, 8 more, ..."""
    pause, last = 2, time.monotonic()

    def report(line):
        nonlocal pause, last
        now = time.monotonic()
        if now - last > pause:
            print(line, file=sys.stderr, flush=True)
            pause, last = 2 * pause, now

    return report


def read_bytes(path):
    """The content of a file. Raises ValueError if it has more than MAX_FILE_BYTES."""
    if path.is_dir():
        raise ValueError("it is a folder")
    with open(path, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content


@contextlib.contextmanager
def open_files(path):
    """Yield the `Files` in a folder and its subfolders, or in a zip file, without hidden ones."""
    if path.is_dir():
        yield Files(_names_in(path), lambda name: read_bytes(path / name))
        return
    check_directory_size(path)
    with zipfile.ZipFile(path) as archive:
        members = _checked_members(archive.infolist())
        names = [name for name in members if not is_hidden(name)]
        yield Files(names, lambda name: archive.read(members[name]))


def _names_in(folder):
    def fail(problem):
        raise ValueError(f"{problem.filename}: {problem.strerror}")

    names, seen = [], set()
    for place, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        identity = os.stat(place)
        if (identity.st_dev, identity.st_ino) in seen:  # reached again through a symbolic link
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders[:] = [name for name in folders if not is_hidden(name)]
        inside = Path(place).relative_to(folder)
        names += [
            (inside / name).as_posix()
            for name in files
            if not is_hidden(name) and (folder / inside / name).is_file()
        ]
    return names


def check_directory_size(path):
    """Raise ValueError if a zip file has a very long list of members.

    `zipfile` would read all of the list into memory.
    """
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 22))  # its end record and a comment
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end >= 0 and (size > MAX_DIRECTORY_BYTES or b"PK\x06\x07" in tail[max(0, end - 20) : end]):
        raise ValueError("it has too many members: unpack it, and give the folder")


def _checked_members(members):
    """A dict of the files in a zip file by name, after checks that they are safe to read."""
    found = {}
    for member in members:
        name = member.filename.replace("\\", "/")  # some programs write backslashes
        if name.startswith("/") or ":" in name or ".." in PurePosixPath(name).parts:
            raise ValueError(f"its member {name} is outside the folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"its member {name} is a symbolic link")
        if member.file_size > MAX_FILE_BYTES:
            raise ValueError(f"its member {name} has more than {MAX_FILE_BYTES} bytes")
        # For other compression methods, zipfile does not limit the output to that size.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"its member {name} is neither stored nor deflated")
        if name in found:
            raise ValueError(f"its member {name} is there twice")
        if not name.endswith("/"):
            found[name] = member
    return found
