"""What benchmark.py computes rather than measures."""

import importlib

from common.models.steps import quicken

import benchmark
import benchmark_worker
import numpy as np
import pytest
import reference_recipes
import tensorflow as tf
from conftest import exit_status, latent_points


def test_operations_are_counted_by_hand():
    """Two for each number of the small image and of the kernel that makes it."""

    @tf.function
    def step(image, kernel, left, right):
        with tf.GradientTape() as tape:
            tape.watch([image, kernel])
            small = tf.nn.conv2d(image, kernel, strides=2, padding="SAME")
        return tape.gradient(small, [image, kernel]), tf.matmul(left, right, transpose_a=True)

    shapes = (4, 8, 8, 3), (5, 5, 3, 7), (11, 2), (11, 13)
    graph = step.get_concrete_function(*map(tf.ones, shapes)).graph
    convolution = 2 * (4 * 4 * 4 * 7) * (5 * 5 * 3)
    assert benchmark_worker.gigaflop(graph) * 1e9 == 3 * convolution + 2 * 2 * 13 * 11


@pytest.mark.parametrize("name", ["cgan_fashion", "gan_fashion", "cgan_mnist"])
def test_operations_of_a_quick_generator_are_those_of_its_layers(name):
    script, counts = importlib.import_module(name), []
    for quick in (False, True):
        generator = script.define_generator(latent_dim=6)
        if quick:
            quicken(generator)
        inputs = latent_points(script, 6, 3, np.random.default_rng(0))
        graph = tf.function(generator.call).get_concrete_function(inputs).graph
        counts.append(benchmark_worker.gigaflop(graph))
    assert counts[0] == counts[1] > 0.01


def test_unknown_scripts_are_named(error_of):
    assert "unknown script 'gan': known are cgan_fashion," in error_of(benchmark.main, "gan")


def test_help_says_what_the_columns_are(capsys):
    assert exit_status(benchmark.main, ["--help"]) == 0
    words = capsys.readouterr().out
    assert all(column in words for column in ("mixed", "document", "per image", "GFLOP", "MB"))


def test_the_shrunk_models_are_built():
    recipe = reference_recipes.shrunk_cgan()
    d_model, g_model = recipe.define_discriminator(), recipe.define_generator()
    recipe.define_gan(g_model, d_model)
    assert g_model.output_shape == (None, 4, 4, 1) and g_model.count_params() < 1000
