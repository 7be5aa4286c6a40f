"""Files in Keras's cache, downloaded into it if need be."""

import contextlib
import io
import os
import socket
import sys
from pathlib import Path

from common import UserError


def read_cached(addresses, folder, read):
    """Read files of Keras's cache, after downloading those that are not there.

    Files that turn out to be damaged are downloaded once more, beside, and then replaced.

    Args:
        addresses: where each can be downloaded.
        folder: in the cache, such as "datasets".
        read: a function of the path of the last one, which raises UserError for damaged files.

    Returns what `read` does. Raises UserError if a file is not to be had, or stays damaged.
    """
    paths = [fetch(address.rpartition("/")[2], address, folder) for address in addresses]
    try:
        return read(paths[-1])
    except UserError as problem:
        damaged = problem
    try:
        for path, address in zip(paths, addresses, strict=True):
            beside = path.with_name(f"{path.name}.new")
            beside.unlink(missing_ok=True)  # it may be half of one
            os.replace(_get(beside.name, address, folder), path)
    except Exception as problem:
        raise UserError(
            f"{damaged}; delete {' and '.join(map(str, paths))} to have it downloaded again "
            f"({_reason(problem)})"
        ) from None
    print(f"{damaged}: it was downloaded again", file=sys.stderr)
    return read(paths[-1])


def fetch(name, address, folder):
    """The path of a file in Keras's cache, where it is downloaded to if it is not there.

    Args:
        name: of the file.
        address: where it can be downloaded.
        folder: in the cache, such as "datasets".

    Raises UserError if it is neither there nor to be had.
    """
    try:
        return _get(name, address, folder)
    except Exception as problem:  # get_file raises nothing more specific
        raise UserError(
            f"{name} is not in Keras's cache and cannot be downloaded ({_reason(problem)})"
        ) from None


def _get(name, address, folder):
    from common.backend import keras

    # Keras sets no time limit, and a silent firewall would keep us waiting for minutes.
    time_limit = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    # Its progress bar is for a person; results have standard output to themselves.
    progress = sys.stderr if sys.stderr and sys.stderr.isatty() else io.StringIO()
    try:
        with contextlib.redirect_stdout(progress):
            return Path(keras.utils.get_file(name, address, cache_subdir=folder))
    finally:
        socket.setdefaulttimeout(time_limit)


def _reason(problem):
    return " ".join(str(problem).split()).split(" -- ")[-1]
