"""A process of benchmark.py: times the steps of one recipe, as many as each line on stdin asks for.

python tests/benchmark_worker.py SCRIPT ours|mixed|document [quick]
"""

import contextlib
import importlib
import json
import math
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

from common.backend import keras, mixed_precision
from common.backend import tensorflow as tf
from common.data import datasets, facades
from common.models.averaging import MovingAverage
from common.models.steps import BLOCK, quicken
from common.training.devices import Devices

import numpy as np
import reference_recipes


class Clock:
    """Stands for a `training.Run` of one epoch, which lasts until stdin ends."""

    def __init__(self):
        self.rng, self.sample_rng = np.random.default_rng(0), np.random.default_rng(1)
        self.arguments = SimpleNamespace(epochs=1, sample_every=1)
        self.average = None  # of the models, once these are defined
        self.sample_labels = np.arange(10, dtype="int32")
        self.counting = contextlib.ExitStack()  # to be left after the first step

    def epochs(self):
        yield 1

    def steps(self, _count=None):
        """For each line on stdin yield as often as it says, and answer with the seconds taken."""
        for line in sys.stdin:
            seconds = []
            for step in range(int(line)):
                started = time.perf_counter()
                yield step
                if self.average:
                    self.average.update()
                self.counting.close()
                seconds.append(time.perf_counter() - started)
            print(json.dumps(seconds), flush=True)

    def log(self, *_images, **_losses):
        pass

    save_epoch = log


def gigaflop(graph):
    """Floating point operations of the convolutions and matrix products in a graph, in 1e9.

    A convolution, its gradients, and a transposed convolution multiply and add the same numbers:
    for each number of the small image, the `strides` times smaller one, a whole kernel. Products
    with zeros of the padding count, too.
    """
    total = 0
    for operation in graph.get_operations():
        inputs, (output, *_) = operation.inputs, operation.outputs or [None]
        if operation.type == "Conv2D":
            small, kernel = output.shape, inputs[1].shape
            if output.consumers()[:1] and output.consumers()[0].type == "DepthToSpace":
                # Blocks of pixels, with kernels that are mostly zeros (common/models/steps.py).
                kernel = [side - BLOCK + 1 for side in kernel[:2]] + [kernel[2]]
        elif operation.type == "Conv2DBackpropInput":
            small, kernel = inputs[2].shape, inputs[1].shape
        elif operation.type == "Conv2DBackpropFilter":
            small, kernel = inputs[2].shape, output.shape
        elif operation.type == "MatMul":
            small, kernel = output.shape, [inputs[0].shape[not operation.get_attr("transpose_a")]]
        else:
            continue
        total += 2 * math.prod(small) * math.prod(kernel[:3])
    return total / 1e9


def count_operations(counting):
    """Count them until the ExitStack is closed; returns a list, later of the GFLOP of each call."""
    counts = []

    def counted(call, name):
        def call_and_count(model, *data, **options):
            tensors = keras.tree.map_structure(tf.constant, data)
            step = tf.function(getattr(model, name), autograph=False)
            counts.append(gigaflop(step.get_concrete_function(tensors).graph))
            return call(model, *data, **options)

        return call_and_count

    for kind in ("train", "predict"):
        call, name = getattr(keras.Model, f"{kind}_on_batch"), f"{kind}_step"
        patch = mock.patch.object(keras.Model, f"{kind}_on_batch", counted(call, name))
        counting.enter_context(patch)
    return counts


def setting(script, quick):
    """Batch size and whatever else there is to choose; images that a discriminator learns from.

    `seen` is for a step of ours, and for one of the document's, which may have whole batches.
    """
    if script == "recipe":
        return SimpleNamespace(batch_size=2, text="no oneDNN", seen=(2, 2))
    if script in ("cgan_fashion", "gan_fashion"):
        return SimpleNamespace(batch_size=128, text="", seen=(128, 128))
    if script == "cgan_mnist":
        return SimpleNamespace(batch_size=64, text="", seen=(64, 128))
    if script.startswith("wgan_gp"):
        size = 64 if quick else 512
        return SimpleNamespace(batch_size=size, text=f"n={size}", seen=(3 * size, 6 * size))
    width, latent_dim = (0.25, 16) if script == "gaugan_quarter" else (1.0, 256)
    sizes = {"image_size": 64, "width": width}
    return SimpleNamespace(
        batch_size=4, text="64 px", seen=(4, 8), sizes=sizes, latent_dim=latent_dim
    )


def load(script, size):
    """As much data as the full set has: the embedded sample again and again."""
    if script.startswith("gaugan"):
        return facades.fit(facades.load_facades("drawn"), size.sizes["image_size"])
    if script == "cgan_mnist":
        sample, count = datasets.load_mnist("sample"), 70_000
    else:
        sample, count = datasets.load_fashion_mnist("sample"), 60_000
    again = np.arange(count) % len(sample.images)
    side = 4 if script == "recipe" else 28
    images = sample.images[again, :side, :side]
    return sample._replace(images=images, labels=sample.labels[again])


def define_models(script, module, size):
    """The models that the `train` of a script takes, in that order, and those that are averaged."""
    if script.startswith("gaugan"):
        encoder = module.define_encoder(latent_dim=size.latent_dim, **size.sizes)
        g_model = module.define_generator(latent_dim=size.latent_dim, **size.sizes)
        d_model = module.define_discriminator(**size.sizes)
        styled_generator = module.define_styled_generator(g_model, encoder)
        gan_model = module.define_gan(g_model, encoder, d_model)
        validation_model, _ = module.define_losses(g_model, encoder, d_model)
        models = g_model, encoder, styled_generator, d_model, gan_model, validation_model
        return models, (g_model, encoder)
    g_model = module.define_generator()
    if script.startswith("wgan_gp"):
        critic = module.define_critic()
        gan_model = module.define_gan(g_model, critic)
        training_generator = module.define_training_generator(g_model)
        models = g_model, training_generator, module.define_critic_trainer(critic), gan_model
        return models, (g_model,)
    d_model = module.define_discriminator()
    return (g_model, d_model, module.define_gan(g_model, d_model)), (g_model,)


def train_ours(script, module, dataset, size, clock):
    """A script's own `train`; in several processes if there is a TF_CONFIG. Returns its GFLOP."""
    counts = [] if os.environ.get("TF_CONFIG") else count_operations(clock.counting)
    devices, n_batch = Devices(), size.batch_size
    devices.enter()
    models, averaged = define_models(script, module, size)
    called = keras.tree.flatten(models)
    devices.prepare(called)
    quicken(*called)
    with devices.one_device():
        clock.average = MovingAverage(*averaged, decay=0.999)
    if script.startswith("gaugan"):
        module.train(models, (dataset, dataset.first(n_batch)), n_batch, clock)
    elif script.startswith("wgan_gp"):
        module.train(*models, dataset, n_batch, module.CRITIC_STEPS, clock)
    else:
        module.train(*models, dataset, module.LATENT_DIM, n_batch, clock)
    return sum(counts)


def train_document(script, module, dataset, size, clock):
    """The document's recipe."""
    if script == "cgan_mnist":
        step = reference_recipes.conditional_gan_train_step(dataset, size.batch_size)
    elif script.startswith("wgan_gp"):
        step = reference_recipes.wgan_gp_train_step(dataset, size.batch_size)
    elif script.startswith("gaugan"):
        step = reference_recipes.gaugan_train_step(
            dataset, size.batch_size, size.sizes, size.latent_dim
        )
    else:
        step = reference_recipes.machine_learning_mastery_loop(module, dataset, size.batch_size)
    for _ in clock.steps():
        step()


def matmul_rate(side=2048, seconds=1.5, dtype="float32"):
    """GFLOP/s of the multiplication of square matrices: the best, since others only disturb it."""
    factor = tf.cast(tf.random.stateless_normal((side, side), (0, 0)), dtype)
    multiply = tf.function(lambda: tf.reduce_sum(factor @ factor))
    multiply()
    fastest, ending = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ending:
        started = time.perf_counter()
        float(multiply())
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * side**3 / fastest / 1e9


def peak_mb():
    """The most memory that this process has had, in MB; NaN on Windows."""
    try:
        import resource
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def main(script, recipe, quick=""):
    if script == "matmul":
        print(json.dumps({"gigaflop_per_second": matmul_rate()}))
        return
    size, clock = setting(script, quick), Clock()
    if script == "recipe":
        module = reference_recipes.shrunk_cgan()
    else:
        module = importlib.import_module(script.replace("_quarter", "_facades"))
    if recipe == "mixed":
        keras.config.set_dtype_policy(mixed_precision())
    train = train_document if recipe == "document" else train_ours
    gigaflop = train(script, module, load(script, size), size, clock)
    facts = {"batch_size": size.batch_size, "setting": size.text, "gigaflop": gigaflop}
    facts["seen"] = size.seen[recipe == "document"]
    print(json.dumps(facts | {"peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
