"""A process of test_devices.py: trains some scripts one after another, without dropout.

python tests/devices_worker.py FOLDER N_CPUS SCRIPT,SCRIPT… [OPTION …]

In the folder, each script has a run folder of its own. With more than one CPU, TensorFlow is told
that this CPU is so many, and the training code takes these for GPUs.
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common.backend import tensorflow as tf
from common.training import devices

from keras import layers

TINY = ["--data", "sample", "--limit", "64", "--batch-size", "16", "--latent-dim", "6"]
TINY_GAUGAN = ["--data", "drawn", "--limit", "10", "--image-size", "64", "--width", "0.05"]
TINY_GAUGAN += ["--latent-dim", "6", "--vgg", "none"]


def main(folder, n_cpus, scripts, *options):
    if int(n_cpus) > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration() for _ in range(int(n_cpus))]
        tf.config.set_logical_device_configuration(cpu, logical)
        devices.gpu_names = lambda: [f"/cpu:{number}" for number in range(int(n_cpus))]
    layers.Dropout.call = lambda self, inputs, training=False: inputs
    for script in scripts.split(","):
        arguments = [] if "--resume" in options else TINY
        if script == "gaugan_facades" and arguments:
            arguments = TINY_GAUGAN
        out = ["--out", str(Path(folder, script))]
        importlib.import_module(script).main([*arguments, *out, *options])


if __name__ == "__main__":
    main(*sys.argv[1:])
