"""What a run trains on, in words, and a warning where a GPU is there that is not used."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from common.backend import tensorflow as tf
from common.training.progress import warn

# Signs of an NVIDIA driver: two of Linux, and a program that comes with the driver everywhere.
DRIVER_FILES = ("/proc/driver/nvidia/version", "/dev/nvidiactl")
MEMORY = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]


def describe(n_devices):
    """The devices in words, such as "2 CPU cores" or "NVIDIA A100-SXM4-40GB (40 GB)".

    `n_devices` is their number on all machines that train together.
    """
    gpus = tf.config.get_visible_devices("GPU")
    n_here = min(max(1, len(gpus)), n_devices)
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        name = details.get("device_name", "a GPU")
        here = (f"{n_here} x " if n_here > 1 else "") + name + _memory(name)
    else:
        try:
            n_cores = len(os.sched_getaffinity(0))  # those that this process may use
        except AttributeError:  # not on Linux
            n_cores = os.cpu_count()
        here = f"{n_cores} CPU core{'' if n_cores == 1 else 's'}"
    return f"{n_devices} devices, here {here}" if n_devices > n_here else here


def _memory(name):
    """The memory of a GPU in words, " (16 GB)", or "" where `nvidia-smi` does not tell it.

    TensorFlow tells the names of GPUs, and not their memory.
    """
    try:
        done = subprocess.run(
            MEMORY, capture_output=True, encoding="utf-8", errors="replace", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    rows = re.findall(r"^(.*), *(\d+) MiB", done.stdout, re.MULTILINE)
    sizes = [int(size) for found, size in rows if found == name or len(rows) == 1]
    return f" ({sizes[0] / 1024:.0f} GB)" if sizes else ""


def warn_of_unused_gpu():
    """Print a warning if a driver for NVIDIA GPUs is installed and TensorFlow finds no GPU."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")  # the user wants none
    if hidden or tf.config.list_physical_devices("GPU"):
        return
    if shutil.which("nvidia-smi") or any(Path(file).exists() for file in DRIVER_FILES):
        warn(
            "Warning: an NVIDIA driver is installed, but TensorFlow finds no GPU: "
            "pip install 'tensorflow[and-cuda]' (on Windows, in WSL2); `nvidia-smi` says whether "
            "the driver works"
        )
