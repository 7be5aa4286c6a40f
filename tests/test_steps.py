"""common/models/steps.py: quicker, and the same."""

import os
import platform
from pathlib import Path

import cgan_fashion
from common.models.steps import quicken

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((12, 6, 6, 1), dtype="float32"), RNG.integers(0, 3, (12, 1))
TARGETS = RNG.integers(0, 2, (12, 1)).astype("float32")


def twins(define):
    """The same model twice, the second one quickened."""
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        models.append(define())
    quicken(models[1])
    return models


def define_model(optimizer):
    """Two inputs, and all that has a state: dropout, moving averages, a metric, an embedding."""
    image, label = keras.Input((6, 6, 1)), keras.Input((1,), dtype="int32")
    x = layers.BatchNormalization()(layers.Conv2D(2, 3)(image))
    x = layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(layers.Embedding(3, 4)(label))])
    x = layers.Dropout(0.4)(x)
    model = keras.Model([image, label], layers.Dense(1, activation="sigmoid", name="score")(x))
    accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=0.4)
    model.compile(loss="binary_crossentropy", optimizer=optimizer(), metrics=[accuracy])
    return model


def sgd():
    return keras.optimizers.SGD(0.1)


def assert_close(one, other):
    np.testing.assert_allclose(one, other, atol=2e-6)


def assert_same_state(one, other):
    for a, b in zip(one.variables, other.variables, strict=True):
        assert_close(a.numpy(), b.numpy())


def test_calls_with_a_batch_return_what_keras_returns():
    usual, quick = twins(lambda: define_model(sgd))
    for part in (slice(4), slice(4, 8), slice(5, 12), slice(8, 12)):
        batch = [IMAGES[part], LABELS[part]], TARGETS[part]
        assert_close(usual.train_on_batch(*batch), quick.train_on_batch(*batch))
        batch = [IMAGES[:5], LABELS[:5]], TARGETS[:5]
        assert_close(usual.train_on_batch(*batch), quick.train_on_batch(*batch))
        assert_close(usual.test_on_batch(*batch), quick.test_on_batch(*batch))
        assert_close(usual.predict_on_batch(batch[0]), quick.predict_on_batch(batch[0]))
    named, expected = (m.train_on_batch(*batch, return_dict=True) for m in (quick, usual))
    assert named == pytest.approx(expected, rel=1e-5) and list(named) == ["accuracy", "loss"]
    weighted = [
        model.train_on_batch(*batch, sample_weight=np.arange(5)) for model in (usual, quick)
    ]
    assert_close(*weighted)
    assert weighted[0][0] != pytest.approx(named["loss"], rel=0.01)
    assert_same_state(usual, quick)


def test_a_quick_model_still_has_fit_evaluate_and_predict():
    """Where Keras's metrics are means over many batches."""
    usual, quick = twins(lambda: define_model(sgd))
    losses, others = [], []
    for model in (usual, quick):
        data = tf.data.Dataset.from_tensor_slices(((IMAGES, LABELS), TARGETS)).batch(5)
        history = model.fit(data, epochs=2, validation_data=data, verbose=0, shuffle=False).history
        measured = model.evaluate([IMAGES, LABELS], TARGETS, batch_size=5, verbose=0)
        drawn = model.predict([IMAGES, LABELS], batch_size=5, verbose=0)
        losses.append([*history.values()])
        others.append([*measured, *drawn[:, 0]])
    assert_close(*losses)
    assert_close(*others)
    assert_same_state(usual, quick)


def test_compiling_anew_gives_back_keras_s_functions():
    model = define_model(sgd)
    quicken(model)
    batch = [IMAGES, LABELS], TARGETS
    model.test_on_batch(*batch)
    model.compile(loss="mse", optimizer=sgd(), metrics=["mae"])
    for _ in range(2):  # the second time not as a mean with the first
        loss, mean_error = model.test_on_batch(*batch)
        errors = model.predict_on_batch(batch[0]) - TARGETS
        assert_close([loss, mean_error], [np.mean(errors**2), np.mean(np.abs(errors))])
        model.train_on_batch(*batch)


@pytest.mark.parametrize("scaled", [False, True])
def test_adam_in_one_operation_is_adam(scaled):
    def adam():
        optimizer = keras.optimizers.Adam(0.02, beta_1=0.4, beta_2=0.7, epsilon=0.001)
        return keras.optimizers.LossScaleOptimizer(optimizer, 8.0) if scaled else optimizer

    usual, quick = twins(lambda: define_model(adam))
    before = usual.get_weights()
    for n in (12, 5, 12, 12, 3):
        for model in (usual, quick):
            model.train_on_batch([IMAGES[:n], LABELS[:n]], TARGETS[:n])
    assert_same_state(usual, quick)
    assert_same_state(usual.optimizer, quick.optimizer)
    assert max(np.abs(a - b).max() for a, b in zip(before, usual.get_weights(), strict=True)) > 0.05


def test_another_kind_of_adam_stays_as_it_is():
    usual, quick = twins(lambda: define_model(lambda: keras.optimizers.Adam(0.02, amsgrad=True)))
    for model in (usual, quick):
        model.train_on_batch([IMAGES, LABELS], TARGETS)
    assert_same_state(usual, quick)


def one_channel(side, kernel_size, **options):
    def define():
        image = keras.Input((side, side, 5))
        options_ = {"activation": "tanh", "bias_initializer": "normal", "padding": "same"} | options
        drawn = layers.Conv2DTranspose(1, kernel_size, **options_)(image)
        model = keras.Model(image, drawn)
        model.compile(loss="mse", optimizer=sgd())
        return model

    return define


@pytest.mark.parametrize(
    ("side", "kernel_size", "options"),
    [
        (28, 7, {}),
        (8, (3, 5), {}),
        (4, 1, {}),
        (28, 7, {"dtype": "mixed_bfloat16"}),
        (10, 7, {}),  # no whole number of blocks
        (8, 4, {}),
        (8, 3, {"strides": 2}),
        (8, 3, {"use_bias": False}),
        (8, 3, {"padding": "valid"}),
    ],
)
def test_a_convolution_to_one_channel_is_the_same_in_blocks(side, kernel_size, options):
    usual, quick = twins(one_channel(side, kernel_size, **options))
    tolerance = 0.02 if "dtype" in options else 1e-5  # bfloat16 has 8 significant bits
    images = RNG.standard_normal((3, side, side, 5), dtype="float32")
    drawn, losses = [], []
    for model in (usual, quick):
        for _ in range(3):
            target = np.zeros((3, *model.output_shape[1:]))
            losses.append(model.train_on_batch(images, target))
        with tf.GradientTape() as tape:
            inputs = tf.convert_to_tensor(images)
            tape.watch(inputs)
            outputs = tf.cast(model(inputs), tf.float32)
            loss = tf.reduce_sum(outputs**3)
        drawn.append([outputs, tape.gradient(loss, inputs), *model.get_weights()])
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=tolerance)
    for one, other in zip(*drawn, strict=True):
        scale = max(1.0, np.abs(one).max())
        np.testing.assert_allclose(one, other, atol=tolerance * scale)


@pytest.mark.parametrize("n_gpus", [0, 1])
def test_the_convolution_of_a_generator_is_computed_in_blocks_where_there_is_no_gpu(
    n_gpus, monkeypatch
):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _kind: ["a GPU"] * n_gpus)
    generator = cgan_fashion.define_generator(latent_dim=6)
    quicken(generator)

    def graph(*inputs):
        return generator(list(inputs))

    inputs = cgan_fashion.generate_latent_points(6, 3, 0)
    operations = tf.function(graph).get_concrete_function(*inputs).graph.get_operations()
    kinds = [operation.type for operation in operations]
    assert kinds.count("DepthToSpace") == 1 - n_gpus
    assert kinds.count("Conv2DBackpropInput") == 2 + n_gpus


@pytest.mark.parametrize(("side", "n_products"), [(4, 1), (8, 1), (9, 0)])
def test_a_convolution_with_a_large_kernel_on_a_small_map_is_a_matrix_product(side, n_products):
    image = keras.Input((side, side, 342))
    options = {"padding": "same", "activation": "tanh", "bias_initializer": "normal"}
    model = keras.Model(image, layers.Conv2D(342, 3, **options)(image))
    images = tf.constant(RNG.standard_normal((2, side, side, 342), dtype="float32"))
    sources = [images, *[weight.value for weight in model.trainable_weights]]

    def outputs_and_gradients():
        with tf.GradientTape() as outer, tf.GradientTape() as tape:
            outer.watch(images)
            tape.watch(images)
            outputs = model(images)
            # A gradient penalty is differentiated twice.
            gradients = tape.gradient(outputs, sources)
            penalty = sum(tf.reduce_mean(gradient**2) for gradient in gradients)
        return [outputs, *gradients, *outer.gradient(penalty, sources)]

    usual = outputs_and_gradients()
    quicken(model)
    for quick in (outputs_and_gradients(), tf.function(outputs_and_gradients)()):
        for one, other in zip(usual, quick, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(one).max())
    operations = tf.function(model.call).get_concrete_function(images).graph.get_operations()
    kinds = [operation.type for operation in operations]
    assert (kinds.count("MatMul"), kinds.count("Conv2D")) == (n_products, 1 - n_products)


def test_a_quick_generator_is_saved_as_stock_layers(tmp_path):
    generator = cgan_fashion.define_generator(latent_dim=6)
    quicken(generator)
    inputs = cgan_fashion.generate_latent_points(6, 3, 0)
    drawn = generator.predict_on_batch(inputs)
    generator.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict_on_batch(inputs), drawn, atol=1e-5)


@pytest.mark.slow
def test_a_run_is_the_same_without_it_but_for_rounding(tmp_path, monkeypatch):
    def losses(name):
        arguments = ["--data", "sample", "--limit", "64", "--batch-size", "16", "--epochs", "1"]
        cgan_fashion.main([*arguments, "--latent-dim", "6", "--out", str(tmp_path / name)])
        text = (tmp_path / name / "losses.csv").read_text()
        return np.array(text.splitlines()[-1].split(","), float)

    quick = losses("quick")
    monkeypatch.setattr("common.training.run.quicken", lambda *models: None)
    np.testing.assert_allclose(quick, losses("usual"), rtol=1e-3)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_the_memory_of_a_step_is_kept_for_the_next():
    quicken()

    def resident_bytes():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    buffer = np.ones(200_000_000, np.uint8)
    before = resident_bytes()
    del buffer
    assert resident_bytes() > before - 20_000_000


def test_quicken_needs_no_mallopt(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    quicken()
