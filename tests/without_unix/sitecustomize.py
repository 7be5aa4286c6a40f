"""Takes away what Python has on Unix alone, so that the tests show what would be missed on Windows.

    PYTHONPATH=tests/without_unix python -m pytest

Python imports a module of this name whenever it starts, so the processes that a test starts are
without these, too. What other people's code cannot do without on this system is left.
"""

import os
import signal
import subprocess
import sys

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
FUNCTIONS = (
    *("fork", "forkpty", "getloadavg", "killpg", "mkfifo", "openpty", "sched_getaffinity"),
    *("sched_setaffinity", "sysconf"),
)
WINDOWS_SIGNALS = ("SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM")

number = signal.SIGKILL
subprocess.Popen.kill = lambda process: process.send_signal(number)  # Windows has another way
for name in MODULES:
    sys.modules[name] = None
for name in FUNCTIONS:
    if hasattr(os, name):
        delattr(os, name)
for name in dir(signal):
    if name.startswith("SIG") and not name.startswith("SIG_") and name not in WINDOWS_SIGNALS:
        delattr(signal, name)
