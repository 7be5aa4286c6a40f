"""What all readers of files share: paths, problems in one line, folders and zip files alike.

Nothing in a file is trusted. A zip file is read in memory and never unpacked, and everything that
could grow has a bound that is checked before it does.
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

MAX_FILE_BYTES = 1 << 26  # of a picture
MAX_DIRECTORY_BYTES = 1 << 22  # the list of members in a zip file; the CMP's has 50,000

# What systems and programs leave in folders, besides names that begin with a dot.
_LEFT_BEHIND = ("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r")


class MissingPart(ValueError):
    """A file holds nothing of a part of a data set, such as the test part."""


class Files(NamedTuple):
    """The files in a folder or zip file: their names, as `folder/name`, and a function for each.

    `read(name)` returns the bytes of one.
    """

    names: list
    read: object


def expand(path):
    """A path whose `~` or `~user` is the home folder. Raises UserError for an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as problem:
        raise UserError(f"cannot read {path}: {one_line(problem)}") from None


@contextlib.contextmanager
def reporting(path):
    """Whatever goes wrong while `path` is read becomes a UserError that names it."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ValueError("it is neither a file nor a folder")
        yield
    except FileNotFoundError:
        raise UserError(f"cannot read {path}: no such file") from None
    except OSError as problem:
        raise UserError(f"cannot read {path}: {problem.strerror or one_line(problem)}") from None
    except Exception as problem:  # zipfile, zlib, struct, tokenize and PIL each have their own
        raise UserError(f"cannot read {path}: {one_line(problem)}") from None


@contextlib.contextmanager
def naming(file):
    """Whatever goes wrong with one file of many becomes a ValueError that names it."""
    try:
        yield
    except Exception as problem:
        raise ValueError(f"{file}: {one_line(problem)}") from None


def one_line(problem):
    """The text of an exception without line breaks."""
    return " ".join(str(problem).split())[:300] or type(problem).__name__


def listed(values, most=12):
    """Values with commas between them, the first of them if there are many."""
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def natural(name):
    """A key to sort by in which 2 comes before 10."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFC", name).casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name


def is_left_behind(name):
    """Whether a file is hidden or in a hidden folder, or one that a system leaves in folders."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part.casefold() in _LEFT_BEHIND for part in parts)


def with_progress(items, what):
    """Yield the items; where that takes longer than two seconds, say now and then how many."""
    pause, last = 2, time.monotonic()
    for number, item in enumerate(items):
        now = time.monotonic()
        if number and now - last > pause:
            print(f"{number:,} of {len(items):,} {what} are read", file=sys.stderr, flush=True)
            pause, last = 2 * pause, now
        yield item


def read_bytes(path):
    """The content of a file. Raises ValueError for one of more than MAX_FILE_BYTES."""
    if path.is_dir():
        raise ValueError("it is a folder")
    with open(path, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content


@contextlib.contextmanager
def open_files(path):
    """Yield the `Files` of a folder and the folders in it, or of a zip file, but hidden ones."""
    if path.is_dir():
        yield Files(_names_in(path), lambda name: read_bytes(path / name))
        return
    check_directory_size(path)
    with zipfile.ZipFile(path) as archive:
        members = _checked_members(archive.infolist())
        names = [name for name in members if not is_left_behind(name)]
        yield Files(names, lambda name: archive.read(members[name]))


def _names_in(folder):
    def fail(problem):
        raise ValueError(f"{problem.filename}: {problem.strerror}")

    names, seen = [], set()
    for place, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        identity = os.stat(place)
        if (identity.st_dev, identity.st_ino) in seen:  # a link leads back here
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders[:] = [name for name in folders if not is_left_behind(name)]
        inside = Path(place).relative_to(folder)
        names += [
            (inside / name).as_posix()
            for name in files
            if not is_left_behind(name) and (folder / inside / name).is_file()
        ]
    return names


def check_directory_size(path):
    """Look at a zip file's list of members before `zipfile` reads all of it into memory."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 22))  # a comment may follow it
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end >= 0 and (size > MAX_DIRECTORY_BYTES or b"PK\x06\x07" in tail[max(0, end - 20) : end]):
        raise ValueError("it has too many members: unpack it, and give the folder")


def _checked_members(members):
    """The files in a zip file by their names; some programs write those with backslashes."""
    found = {}
    for member in members:
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or ":" in name or ".." in PurePosixPath(name).parts:
            raise ValueError(f"its member {name} is outside the folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"its member {name} is a symbolic link")
        if member.file_size > MAX_FILE_BYTES:
            raise ValueError(f"its member {name} has more than {MAX_FILE_BYTES} bytes")
        # The others that zipfile knows are decompressed without regard to that size.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"its member {name} is neither stored nor deflated")
        if name in found:
            raise ValueError(f"its member {name} is there twice")
        if not name.endswith("/"):
            found[name] = member
    return found
