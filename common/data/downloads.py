"""Files in Keras's cache, which are downloaded into it if they are not there."""

import contextlib
import io
import socket
import sys
from pathlib import Path

from common import UserError
from common.data.reading import one_line


def read_cached(addresses, folder, read):
    """Read files in Keras's cache. Those that are not there are downloaded first.

    Args:
        addresses: the URL of each file.
        folder: the folder in the cache, such as "datasets".
        read: a function that is called with the path of the last file, and raises UserError if the
            files are damaged.

    Returns what `read` returns. Raises UserError if a file cannot be downloaded, or is damaged.
    """
    paths = [_get(address, folder) for address in addresses]
    try:
        return read(paths[-1])
    except UserError as problem:
        files = " and ".join(map(str, paths))
        raise UserError(f"{problem}; delete {files} to have it downloaded again") from None


def _get(address, folder):
    """The path of a file in Keras's cache, which is downloaded if it is not there."""
    from common.backend import keras

    # Keras sets no time limit, so a firewall that drops packets would make us wait for minutes.
    time_limit = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    # Keras prints a progress bar on standard output, which is for the results of a script. So show
    # it on stderr, and only if a person is reading.
    progress = sys.stderr if sys.stderr and sys.stderr.isatty() else io.StringIO()
    name = address.rpartition("/")[2]
    try:
        with contextlib.redirect_stdout(progress):
            return Path(keras.utils.get_file(name, address, cache_subdir=folder))
    except Exception as problem:  # get_file raises nothing more specific
        reason = one_line(problem).split(" -- ")[-1]
        raise UserError(
            f"{name} is not in Keras's cache and cannot be downloaded ({reason})"
        ) from None
    finally:
        socket.setdefaulttimeout(time_limit)
