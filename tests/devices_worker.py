"""A process of test_devices.py: trains some scripts one after another, without dropout.

python tests/devices_worker.py N_CPUS KILLED_AT_STEP COMMAND COMMAND …

A command is a script with its options, such as "cgan_fashion --epochs 2". With more than one CPU,
TensorFlow is told that this CPU is so many, and the training code takes these for GPUs. If
KILLED_AT_STEP is not 0, the process kills itself at that step.
"""

import functools
import importlib
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common.backend import keras
from common.backend import tensorflow as tf
from common.training import devices
from common.training.run import Run

TINY = ["--data", "sample", "--limit", "64", "--batch-size", "16", "--latent-dim", "6"]
TINY_GAUGAN = ["--data", "drawn", "--limit", "10", "--image-size", "64", "--width", "0.05"]
TINY_GAUGAN += ["--latent-dim", "6", "--vgg", "none"]


def main(n_cpus, killed_at_step, *commands):
    devices.SILENCE = 20  # so that a test takes less time
    if int(n_cpus) > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration() for _ in range(int(n_cpus))]
        tf.config.set_logical_device_configuration(cpu, logical)
        devices.gpu_names = lambda: [f"/cpu:{number}" for number in range(int(n_cpus))]
    keras.layers.Dropout.call = lambda self, inputs, training=False: inputs
    # Adam's first steps have the gradient's sign, even where the gradient is a rounding error. With
    # a large epsilon they are proportional to the gradient.
    make_adam = keras.optimizers.Adam.__init__
    keras.optimizers.Adam.__init__ = functools.partialmethod(make_adam, epsilon=0.1)
    if int(killed_at_step):
        kill_at(int(killed_at_step))
    for command in commands:
        script, *options = command.split()
        tiny = TINY_GAUGAN if script == "gaugan_facades" else TINY
        tiny = [] if "--resume" in options else tiny
        importlib.import_module(script).main([*tiny, *options])


def kill_at(step):
    """Have this process kill itself when it logs the losses of a step."""
    steps, log = iter(range(1, step + 1)), Run.log

    def log_or_die(self, **losses):
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        log(self, **losses)

    Run.log = log_or_die


if __name__ == "__main__":
    main(*sys.argv[1:])
