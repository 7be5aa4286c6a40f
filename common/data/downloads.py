"""Files in Keras's cache, downloaded into it if need be."""

import contextlib
import io
import socket
import sys
from pathlib import Path

from common import UserError


def fetch(name, address, folder):
    """The path of a file in Keras's cache, where it is downloaded to if it is not there.

    Args:
        name: of the file.
        address: where it can be downloaded.
        folder: in the cache, such as "datasets".

    Raises UserError if it is neither there nor to be had.
    """
    from common.backend import keras

    # Keras sets no time limit, and a silent firewall would keep us waiting for minutes.
    time_limit = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    # Its progress bar is for a person; results have standard output to themselves.
    progress = sys.stderr if sys.stderr and sys.stderr.isatty() else io.StringIO()
    try:
        with contextlib.redirect_stdout(progress):
            return Path(keras.utils.get_file(name, address, cache_subdir=folder))
    except Exception as problem:  # get_file raises nothing more specific
        reason = " ".join(str(problem).split()).split(" -- ")[-1]
        raise UserError(
            f"{name} is not in Keras's cache and cannot be downloaded ({reason})"
        ) from None
    finally:
        socket.setdefaulttimeout(time_limit)
