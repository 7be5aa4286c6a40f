"""How much memory is free. Images that do not fit are refused before they are read."""

import os
from pathlib import Path

from common import UserError

_SYSTEM = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")  # the limits of the container, such as Docker's
_UNKNOWN = 1 << 33  # bytes; a guess for systems that do not tell


def available():
    """The number of bytes, roughly, that this process can still allocate."""
    try:
        lines = dict(line.split(":") for line in _SYSTEM.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, LookupError):
        try:
            free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):  # Windows
            free = _UNKNOWN
    try:
        limit = int((_CONTAINER / "memory.max").read_text())
        used = int((_CONTAINER / "memory.current").read_text())
        parts = dict(line.split() for line in (_CONTAINER / "memory.stat").read_text().splitlines())
        # Files that the system keeps in memory count as used, but make way.
        used -= int(parts["inactive_file"]) + int(parts["active_file"])
    except (OSError, ValueError, LookupError):  # no container, or one without a limit
        return free
    return max(0, min(free, limit - used))


def check(n_bytes, what):
    """Raise UserError if `n_bytes` are not free. `what` says in its text what they are for."""
    free = available()
    if n_bytes > free:
        raise UserError(
            f"{what} would take {n_bytes / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} are free"
        )
