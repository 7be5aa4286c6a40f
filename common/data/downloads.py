"""Files in Keras's cache, which are downloaded into it if they are not there."""

import contextlib
import io
import os
import socket
import sys
from pathlib import Path

from common import UserError
from common.data.reading import one_line


def read_cached(addresses, folder, read):
    """Read files in Keras's cache. Those that are not there are downloaded first.

    If the files are damaged, they are downloaded again. The damaged files are deleted only when
    the download is complete.

    Args:
        addresses: the URL of each file.
        folder: the folder in the cache, such as "datasets".
        read: a function that is called with the path of the last file, and raises UserError if the
            files are damaged.

    Returns what `read` returns. Raises UserError if a file cannot be downloaded, or is damaged even
    after the second download.
    """
    paths = [_fetch(address, folder) for address in addresses]
    try:
        return read(paths[-1])
    except UserError as problem:
        damaged = problem
    try:
        for path, address in zip(paths, addresses, strict=True):
            temporary = path.with_name(f"{path.name}.new")
            temporary.unlink(missing_ok=True)  # left over from an interrupted download
            os.replace(_get(temporary.name, address, folder), path)
    except Exception as problem:
        raise UserError(
            f"{damaged}; delete {' and '.join(map(str, paths))} to have it downloaded again "
            f"({_reason(problem)})"
        ) from None
    print(f"{damaged}: it was downloaded again", file=sys.stderr)
    return read(paths[-1])


def _fetch(address, folder):
    """The path of a file in Keras's cache, which is downloaded if it is not there."""
    name = address.rpartition("/")[2]
    try:
        return _get(name, address, folder)
    except Exception as problem:  # get_file raises nothing more specific
        raise UserError(
            f"{name} is not in Keras's cache and cannot be downloaded ({_reason(problem)})"
        ) from None


def _get(name, address, folder):
    from common.backend import keras

    # Keras sets no time limit, so a firewall that drops packets would make us wait for minutes.
    time_limit = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    # Keras prints a progress bar on standard output, which is for the results of a script. So show
    # it on stderr, and only if a person is reading.
    progress = sys.stderr if sys.stderr and sys.stderr.isatty() else io.StringIO()
    try:
        with contextlib.redirect_stdout(progress):
            return Path(keras.utils.get_file(name, address, cache_subdir=folder))
    finally:
        socket.setdefaulttimeout(time_limit)


def _reason(problem):
    return one_line(problem).split(" -- ")[-1]
