"""The discriminator is trained by its own calls only, the generator by the composite's only."""

import warnings

from common.models.freezing import Frozen

import keras
import numpy as np
import pytest
from conftest import fake_samples, latent_points, same, state
from keras import layers


def discriminator_step(script, g_model, d_model, n, rng):
    inputs, target = fake_samples(script, g_model, g_model.inputs[0].shape[1], n, rng)
    return d_model.train_on_batch(inputs, target)


def composite_step(script, g_model, gan_model, n, rng):
    inputs = latent_points(script, g_model.inputs[0].shape[1], n, rng)
    return gan_model.train_on_batch(inputs, np.ones((n, 1), "float32"))


# d: the discriminator's own step; g: the composite's. The order decides what is traced first.
@pytest.mark.parametrize("order", ["dgdg", pytest.param("ggdd", marks=pytest.mark.slow)])
def test_each_call_changes_its_own_model_only(script, order):
    d_model, g_model = script.define_discriminator(), script.define_generator(latent_dim=6)
    gan_model = script.define_gan(g_model, d_model)
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call, n in zip(order, (4, 7, 2, 4), strict=True):
            d_before, g_before = state(d_model), state(g_model)
            own = d_model if call == "d" else g_model
            weights = own.get_weights()
            if call == "d":
                discriminator_step(script, g_model, d_model, n, rng)
            else:
                composite_step(script, g_model, gan_model, n, rng)
            assert same(d_before, state(d_model)) == (call == "g")
            assert same(g_before, state(g_model)) == (call == "d")
            assert not any(map(np.array_equal, weights, own.get_weights()))
    assert [id(v) for v in gan_model.variables] == [id(v) for v in g_model.variables]


def test_composite_sees_what_the_discriminator_has_learned(script):
    d_model, g_model = script.define_discriminator(), script.define_generator(latent_dim=6)
    gan_model = script.define_gan(g_model, d_model)
    rng = np.random.default_rng(0)
    inputs = latent_points(script, 6, 4, rng)
    before = gan_model.predict_on_batch(inputs)
    for _ in range(3):
        discriminator_step(script, g_model, d_model, 8, rng)
    after = gan_model.predict_on_batch(inputs)
    images = g_model.predict_on_batch(inputs)
    labels = inputs[1:] if isinstance(inputs, list) else []
    by_hand = d_model.predict_on_batch([images, *labels] if labels else images)
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after, by_hand, atol=1e-6)


def test_composite_leaves_moving_averages_and_dropout_seeds_alone():
    image = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(8)(image))
    d_model = keras.Model(image, layers.Dense(1)(layers.Dropout(0.5)(x)))
    d_model.compile(loss="mse", optimizer="adam")
    latent = keras.Input((3,))
    g_model = keras.Model(latent, layers.Dense(4)(latent))
    gan_model = keras.Model(latent, Frozen(d_model)(g_model.output))
    gan_model.compile(loss="mse", optimizer="adam")

    before = state(d_model)
    rng = np.random.default_rng(0)
    gan_model.train_on_batch(rng.random((50, 3)), np.ones((50, 1)))
    assert same(before, state(d_model))
    d_model.train_on_batch(rng.random((50, 4)), np.zeros((50, 1)))
    assert not any(map(np.array_equal, before, state(d_model)))


def test_dropout_works_inside_the_composite_while_training():
    image = keras.Input((1000,))
    d_model = keras.Model(image, layers.Dropout(0.5)(image))
    frozen = Frozen(d_model)
    assert np.all(frozen(np.ones((1, 1000))) == 1)
    assert 300 < np.count_nonzero(frozen(np.ones((1, 1000)), training=True)) < 700


def test_the_recipe_of_2019_never_trains_the_discriminator_on_keras_3():
    """What common/models/freezing.py says. Should this fail one day, the text is out of date."""
    image = keras.Input((4,))
    d_model = keras.Model(image, layers.Dense(1, activation="sigmoid")(image))
    d_model.compile(loss="binary_crossentropy", optimizer="adam")
    d_model.trainable = False
    latent = keras.Input((3,))
    g_model = keras.Model(latent, layers.Dense(4)(latent))
    gan_model = keras.Model(latent, d_model(g_model.output))
    gan_model.compile(loss="binary_crossentropy", optimizer="adam")

    before = d_model.get_weights()
    with pytest.warns(UserWarning, match="does not have any trainable weights") as caught:
        for _ in range(3):
            d_model.train_on_batch(np.ones((5, 4)), np.zeros((5, 1)))
    assert len(caught) == 1
    assert all(map(np.array_equal, before, d_model.get_weights()))
