"""Functions for all readers of files: error messages, what a file is, and the files in a folder."""

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import UserError

MAX_FILE_BYTES = 1 << 26  # of a picture or label map
_CONTAINER = Path("/sys/fs/cgroup")  # the limits of the container, such as Docker's

# Files and folders that systems and programs leave beside pictures. Those whose names begin with a
# dot are hidden; the others are named in a line that says what has been passed over.
_SYSTEM_FILES = ("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "@eadir")
_LEFT_OVER = re.compile(r".*([:\uf03a]Zone\.Identifier|\.(part|crdownload|tmp))", re.IGNORECASE)

_CONVERT = "docs/own_images.md shows how to make an .npz of it"
_UNPACK = "unpack it, and give the folder"
_HEIC = "in the HEIC format, which cannot be read: convert it to JPEG"
# What a file is by its first bytes, and what to do with it.
_KINDS = (
    (rb"version https://git-lfs", "a pointer of Git LFS: git lfs pull fetches the file itself"),
    (rb"\.{0,2}[\w/\\. -]+\.\w{3,4}\s*\Z", "a text with a path, as some systems store a link"),
    (rb"(?i)\s*<(!doctype )?html", "an HTML page: download the file itself"),
    (rb".{4}ftyp(hei[cx]|hevc|mif1)", _HEIC),
    (rb"\x89HDF\r\n\x1a\n", f"an HDF5 file: {_CONVERT}"),
    (rb"\x80[\x02-\x05]", f"a pickle: {_CONVERT}"),
    (rb"MATLAB 5", f"a MAT file: {_CONVERT}"),
    (rb"PAR1", f"a parquet file: {_CONVERT}"),
    (rb".{4}\0{4}.{4}\n", f"a TFRecord file: {_CONVERT}"),
    (rb".{128}DICM", "a DICOM file: convert it to PNG"),
    (rb"PK\x03\x04", f"a zip file: {_UNPACK}"),
    (rb".{257}ustar|\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", f"an archive: {_UNPACK}"),
    (rb"\s*[\[{]", "JSON: outlines of objects are no pictures (labelme2voc.py draws labelme's)"),
)


def expand(path):
    """Replace `~` or `~user` by the home folder. Raises UserError if the user is unknown."""
    if not str(path):  # which would mean the current folder
        raise UserError("cannot read '': the path is empty")
    with reporting(path):
        return Path(path).expanduser()


@contextlib.contextmanager
def reporting(path):
    """Turn any exception while `path` is read into a UserError of one line that names the path.

    Within another one, it names a file of many: cannot read FOLDER: FILE: what was wrong.
    """
    try:
        yield
    except Exception as problem:  # zipfile, zlib, struct, tokenize and PIL raise many types
        reason = one_line(problem).removeprefix("cannot read ")
        raise UserError(f"cannot read {path}: {reason}") from None


def one_line(problem):
    """The text of an exception without line breaks, such as "no such file"."""
    if isinstance(problem, FileNotFoundError):
        return "no such file"
    text = getattr(problem, "strerror", None) or str(problem)
    return " ".join(text.split())[:300] or type(problem).__name__


def kind_of(content):
    """What a file is, such as "a pickle: what to do", by its first 300 bytes; None if unknown."""
    return next((what for start, what in _KINDS if re.match(start, content[:300], re.DOTALL)), None)


def listed(values, max_shown=12):
    """A text of the values, separated by commas. It ends in "and 5 more" if there are many."""
    shown = ", ".join(map(str, values[:max_shown]))
    return shown if len(values) <= max_shown else f"{shown} and {len(values) - max_shown} more"


def is_number(text):
    """Whether a text is a finite number."""
    return bool(re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", text, re.IGNORECASE))


def natural_key(name):
    """A key for sorting names so that `2` comes before `10`."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFC", name).casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name


def read_all(read, names, what):
    """Yield `read(name)` for each name of a file, several of which are read at a time.

    Prints how many are read after 2 seconds, 4 more, 8 more, ... UserError names the file.
    """

    def read_one(name):
        with reporting(name):
            return read(name)

    report = now_and_then()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(names), 256):
            results = pool.map(read_one, names[start : start + 256])
            for number, result in enumerate(results, start + 1):
                yield result
                report(f"{number:,} of {len(names):,} {what} are read")


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


def check_memory(n_bytes, what):
    """Raise UserError if so much memory is not free. `what` says what would take it."""
    if n_bytes > (free := free_memory()):
        sizes = f"{n_bytes / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} are free"
        raise UserError(f"{what} would take {sizes}")


def free_memory():
    """The bytes that this process can still allocate, roughly; infinite where nothing tells."""
    free = float("inf")
    with contextlib.suppress(OSError, TypeError):
        text = Path("/proc/meminfo").read_text()
        free = int(re.search(r"MemAvailable: *(\d+)", text)[1]) * 1024
    with contextlib.suppress(OSError, ValueError):  # no container, or without a limit
        texts = [(_CONTAINER / f"memory.{name}").read_text() for name in ("max", "current", "stat")]
        # Files that the system keeps in memory count as used, but make way.
        files = sum(map(int, re.findall(r"^(?:in)?active_file (\d+)", texts[2], re.MULTILINE)))
        free = min(free, int(texts[0]) - int(texts[1]) + files)
    return free


def read_bytes(path):
    """The content of a file. Raises ValueError if it has more than MAX_FILE_BYTES, or is none."""
    content = beginning(path, MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content


def beginning(path, size=300):
    """The first bytes of a file. Raises ValueError if the path is that of a folder or pipe."""
    if path.exists() and not path.is_file():
        raise ValueError(f"it is {'a folder' if path.is_dir() else 'neither a file nor a folder'}")
    with open(path, "rb") as file:
        return file.read(size)


@contextlib.contextmanager
def opened(path):
    """Yield the `Path` of a folder: `path` itself, or a temporary one of a zip file's members."""
    if path.is_dir():
        yield path
        return
    start = beginning(path)
    if not zipfile.is_zipfile(path):
        half = "not a zip file that is whole" if start.startswith(b"PK") else None
        raise ValueError(f"it is {half or kind_of(start) or 'not a zip file, nor a folder'}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                member.filename = member.filename.replace("\\", "/")  # as some programs write it
            size = sum(member.file_size for member in members)
            if size > shutil.disk_usage(folder).free // 2:
                raise ValueError(f"its files would take {size / 1e9:,.1f} GB of the disk")
            parts = {one: one.filename.split("/") for one in members}
            shown = [one for one in members if not any(map(_is_hidden, parts[one]))]
            try:
                archive.extractall(folder, shown)
            except RuntimeError as problem:  # of a password or an unknown compression method
                raise ValueError(f"{one_line(problem)}: {_UNPACK}") from None
        yield Path(folder)


def files_in(folder):
    """Find the files in a folder, in folders within, and where links lead, but for hidden ones.

    Returns two lists of names, such as `folder/name`, sorted naturally: of the files, and of what
    is none: links to nothing, unfinished downloads, and `NAME:Zone.Identifier` of Windows.
    """
    names, left_over = [], []

    def search(place, inside, above):
        here = os.path.realpath(place)
        if here in above:  # reached again through a link
            return
        with reporting(place):
            entries = list(os.scandir(place))
        for entry in entries:
            name = inside + entry.name
            if _is_hidden(entry.name):
                continue
            if entry.is_dir():
                search(entry.path, f"{name}/", {*above, here})
            elif entry.is_file() and not _LEFT_OVER.fullmatch(entry.name):
                names.append(name)
            else:
                left_over.append(name)

    search(folder, "", set())
    return sorted(names, key=natural_key), sorted(left_over, key=natural_key)


def _is_hidden(name):
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES
