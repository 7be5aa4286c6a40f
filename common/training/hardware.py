"""What a run trains on, in words, and a warning where a GPU is there that is not used."""

import os
import shutil
from pathlib import Path

from common.backend import tensorflow as tf
from common.training.progress import warn

# Signs of an NVIDIA driver: two of Linux, and a program that comes with the driver everywhere.
DRIVER_FILES = ("/proc/driver/nvidia/version", "/dev/nvidiactl")


def describe(n_devices):
    """The devices of this machine in words, such as "2 CPU cores" or "NVIDIA A100-SXM4-40GB"."""
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        name = details.get("device_name", "a GPU")
        return f"{len(gpus)} x {name}" if len(gpus) > 1 else name
    try:
        n_cores = len(os.sched_getaffinity(0))  # those that this process may use
    except AttributeError:  # not on Linux
        n_cores = os.cpu_count()
    cores = f"{n_cores} CPU core{'' if n_cores == 1 else 's'}"
    return f"{n_devices} devices, here {cores}" if n_devices > 1 else cores


def warn_of_unused_gpu():
    """Print a warning if a driver for NVIDIA GPUs is installed and TensorFlow finds no GPU."""
    if tf.config.list_physical_devices("GPU") or "CUDA_VISIBLE_DEVICES" in os.environ:
        return
    if shutil.which("nvidia-smi") or any(Path(file).exists() for file in DRIVER_FILES):
        warn(
            "Warning: an NVIDIA driver is installed, but TensorFlow finds no GPU: "
            "pip install 'tensorflow[and-cuda]' (on Windows, in WSL2); `nvidia-smi` says whether "
            "the driver works"
        )
