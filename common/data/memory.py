"""How much memory is free. Images that do not fit are refused before they are read."""

import contextlib
from pathlib import Path

from common import UserError

_SYSTEM = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")  # the limits of the container, such as Docker's


def available():
    """The number of bytes, roughly, that this process can still allocate.

    Infinite where the system is not Linux, and does not tell.
    """
    free = float("inf")
    with contextlib.suppress(OSError, ValueError, LookupError):
        lines = dict(line.split(":") for line in _SYSTEM.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError, LookupError):  # no container, or without a limit
        limit = int((_CONTAINER / "memory.max").read_text())
        used = int((_CONTAINER / "memory.current").read_text())
        parts = dict(line.split() for line in (_CONTAINER / "memory.stat").read_text().splitlines())
        # Files that the system keeps in memory count as used, but make way.
        free = min(free, limit - used + int(parts["inactive_file"]) + int(parts["active_file"]))
    return free


def check(n_bytes, what):
    """Raise UserError if `n_bytes` are not free. `what` says in its text what they are for."""
    free = available()
    if n_bytes > free:
        raise UserError(
            f"{what} would take {n_bytes / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} are free"
        )
