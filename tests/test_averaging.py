"""The moving average of the generator: its formula, and that the training does not notice it."""

import importlib

from common.models.averaging import MovingAverage

import keras
import numpy as np
import pytest
from conftest import SCRIPTS, TINY
from keras import layers
from runs import weights


def test_the_average_by_hand():
    """After steps 1 and 2 the decay is 2/11 and 3/12, and never more than what was asked for."""
    image = keras.Input((1,))
    model = keras.Model(image, layers.Dense(1)(image))
    (kernel, bias), average = model.weights, MovingAverage(model, decay=0.24)
    kernel.assign([[3.0]])  # from here on: the average began with the weights before
    copy = average.of(model)
    before = copy.get_weights()[0][0, 0]
    average.update()
    expected = 2 / 11 * before + 9 / 11 * 3
    np.testing.assert_allclose(copy.get_weights()[0], [[expected]], rtol=1e-6)
    kernel.assign([[5.0]])
    bias.assign([1.0])
    average.update()
    expected = 0.24 * expected + 0.76 * 5
    np.testing.assert_allclose(copy.get_weights()[0], [[expected]], rtol=1e-6)
    np.testing.assert_allclose(copy.get_weights()[1], [0.76], rtol=1e-6)
    assert kernel.numpy() == [[5.0]]  # the model itself is not touched


def test_moving_statistics_are_averaged_and_seeds_are_copied():
    image = keras.Input((2,))
    model = keras.Model(image, layers.Dropout(0.5)(layers.BatchNormalization()(image)))
    average = MovingAverage(model, decay=0.999)
    model(np.ones((4, 2), "float32"), training=True)
    average.update()
    statistics, seed = model.layers[1].moving_mean, model.layers[2].seed_generator.state
    copy = average.of(model)
    np.testing.assert_allclose(copy.layers[1].moving_mean, 9 / 11 * statistics.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(copy.layers[2].seed_generator.state, seed)


def test_without_decay_the_average_is_the_model():
    model = keras.Sequential([layers.Input((2,)), layers.Dense(1)])
    average = MovingAverage(model, decay=0)
    average.update()
    assert average.of(model) is model and average.variables == []


@pytest.mark.parametrize(
    "name", [SCRIPTS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in SCRIPTS[1:])]
)
def test_training_is_the_same_with_and_without(trained, tmp_path, name):
    """`trained` has the default decay. Losses and raw weights are equal to the bit."""
    arguments = [*TINY, "--epochs", "1", "--average-decay", "0", "--out", str(tmp_path)]
    importlib.import_module(name).main(arguments)
    first, second = trained / "runs" / name, tmp_path
    assert (first / "losses.csv").read_bytes() == (second / "losses.csv").read_bytes()
    averaged, raw = weights(first), weights(second)
    assert {key for key in averaged if not key.startswith("average/")} == raw.keys()
    assert all(np.array_equal(averaged[key], raw[key]) for key in raw)
    saved = [
        keras.saving.load_model(run / "generator.keras").get_weights() for run in (first, second)
    ]
    np.testing.assert_array_equal(saved[1][0], raw["generator/000"])
    assert not np.array_equal(saved[0][0], saved[1][0])
