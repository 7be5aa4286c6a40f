"""A whole training step of each script in one `tf.function`, and how much there is to compute.

The same models and the same mathematics as in the script's `train`, without `train_on_batch` and
without drawing new inputs. For benchmark.py.
"""

import math

from common.models.steps import BLOCK

import numpy as np
import tensorflow as tf


def define(script, module, models, dataset, n_batch):
    """A step and its inputs, drawn once."""
    rng, half_batch = np.random.default_rng(0), n_batch // 2
    if script.startswith("gaugan"):
        return _gaugan(module, *models, dataset, n_batch, rng)
    if script.startswith("wgan_gp"):
        return _wgan_gp(script, module, *models, dataset, n_batch, rng)
    g_model, d_model, gan_model = models
    latents = [
        module.generate_latent_points(module.LATENT_DIM, n, rng) for n in (half_batch, n_batch)
    ]
    real, real_target = module.generate_real_samples(dataset, half_batch, rng)
    _, fake_target = module.generate_fake_samples(g_model, module.LATENT_DIM, half_batch, rng)
    labelled = len(g_model.inputs) == 2
    # Keras makes a model's losses and metrics when it is first used.
    d_model.test_on_batch(real, real_target)
    whole_target = np.full((n_batch, 1), real_target[0], "float32")
    gan_model.test_on_batch(latents[1], whole_target)

    @tf.function
    def step(real, half, whole):
        d_model.train_step((real, real_target))
        images = g_model(half)
        d_model.train_step(([images, half[1]] if labelled else images, fake_target))
        gan_model.train_step((whole, whole_target))

    return step, _tensors([real, *latents])


def _wgan_gp(script, module, g_model, critic_trainer, gan_model, dataset, n_batch, rng):
    half_batch = n_batch // 2
    real = module.generate_real_samples(dataset, half_batch, rng)
    share = rng.random((half_batch, 1, 1, 1), dtype="float32")
    half, whole = (
        module.generate_latent_points(module.LATENT_DIM, n, rng) for n in (half_batch, n_batch)
    )
    low = np.ones((half_batch, 1), "float32")
    targets = {"real_score": -low, "generated_score": low, "gradient_norm": low}
    whole_target = -np.ones((n_batch, 1), "float32")
    critic_trainer.test_on_batch([real, real, share], targets)
    gan_model.test_on_batch(whole, whole_target)
    training_generator = module.define_training_generator(g_model)

    @tf.function
    def step(real, share, half, whole):
        for _ in range(module.CRITIC_STEPS):
            critic_trainer.train_step(([real, training_generator(half), share], targets))
        if script == "wgan_gp_fashion":
            gan_model.train_step((whole, whole_target))

    return step, _tensors([real, share, half, whole])


def _gaugan(module, g_model, encoder, d_model, gan_model, dataset, n_batch, rng):
    half_batch, size = n_batch // 2, g_model.output_shape[1]
    latent_dim = g_model.input_shape[0][1]
    images, colours, label_maps = module.generate_real_samples(dataset, n_batch, size, rng)
    noise = module.generate_latent_points(latent_dim, n_batch, rng)
    styled_generator = module.define_styled_generator(g_model, encoder, training=True)
    target = np.ones((half_batch, 1, 1, 1), "float32")
    nothing = module.unused_targets(gan_model, n_batch)
    d_model.test_on_batch([colours[:half_batch], images[:half_batch]], target)
    gan_model.test_on_batch([images, colours, label_maps, noise], nothing)

    @tf.function
    def step(images, colours, label_maps, noise):
        half = slice(half_batch)
        d_model.train_step(([colours[half], images[half]], target))
        generated = styled_generator([images[half], label_maps[half], noise[half]])
        d_model.train_step(([colours[half], generated], -target))
        gan_model.train_step(([images, colours, label_maps, noise], nothing))

    return step, _tensors([images, colours, label_maps, noise])


def _tensors(inputs):
    return tf.nest.map_structure(tf.constant, inputs)


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
