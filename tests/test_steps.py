"""common/models/steps.py: quicker, and the same. common/models/internals.py: or plainly."""

import importlib

import cgan_fashion
from common.models import internals
from common.models.averaging import MovingAverage
from common.models.steps import quicken

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ALL_SCRIPTS, TINY, latent_points
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


def define_model(optimizer, kind=keras.Model, **options):
    """Two inputs, and all that has a state: dropout, moving averages, a metric, an embedding."""
    image, label = keras.Input((6, 6, 1)), keras.Input((1,), dtype="int32")
    x = layers.BatchNormalization()(layers.Conv2D(2, 3)(image))
    x = layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(layers.Embedding(3, 4)(label))])
    x = layers.Dropout(0.4)(x)
    model = kind([image, label], layers.Dense(1, activation="sigmoid", name="score")(x))
    accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=0.4)
    model.compile("sgd", "binary_crossentropy", metrics=[accuracy], **options)
    model.optimizer = optimizer()
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


class OwnStep(keras.Model):
    """Of a gradient, takes the sign."""

    def train_step(self, data):
        with tf.GradientTape() as tape:
            score = self(data[0], training=True)
            loss = self.compute_loss(y=data[1], y_pred=score)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply(list(map(tf.sign, gradients)), self.trainable_weights)
        return self.compute_metrics(*data, score) | {"own": loss}


@pytest.mark.parametrize(
    "options", [{}, {"run_eagerly": True}, {"steps_per_execution": 2}, {"kind": OwnStep}], ids=str
)
def test_a_quick_model_still_has_fit_evaluate_and_predict(options):
    """Where Keras's metrics are means over many batches. Special models step as they did."""
    usual, quick = twins(lambda: define_model(sgd, **options))
    results = []
    for model in (usual, quick):
        data = tf.data.Dataset.from_tensor_slices(((IMAGES, LABELS), TARGETS)).batch(5)
        history = model.fit(data, epochs=2, validation_data=data, verbose=0, shuffle=False).history
        assert ("own" in history) == ("kind" in options)
        measured = model.evaluate([IMAGES, LABELS], TARGETS, batch_size=5, verbose=0)
        drawn = model.predict([IMAGES, LABELS], batch_size=5, verbose=0)
        results.append([*sum(history.values(), []), *measured, *drawn[:, 0]])
    assert_close(*results)
    assert_same_state(usual, quick)


def test_an_averaged_copy_predicts():
    model = define_model(sgd)
    quicken(model)
    average = MovingAverage(model, decay=0.9)
    copy = average.of(model)
    quicken(copy)
    for _ in range(2):
        before = copy.predict([IMAGES, LABELS], batch_size=5, verbose=0)
        assert_close(before, copy([IMAGES, LABELS]))
        model.train_on_batch([IMAGES, LABELS], TARGETS)
        average.update()
    assert np.abs(copy.predict([IMAGES, LABELS], verbose=0) - before).max() > 1e-4


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


class Halting(keras.optimizers.Adam):
    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, 0.01 * tf.convert_to_tensor(gradient) / 3)


ADAMS = [{}, {"weight_decay": 0.1}, {"clipnorm": 0.1, "epsilon": 0.1}, {"amsgrad": True}]
ADAMS += [{"use_ema": True, "ema_overwrite_frequency": 2}, {"gradient_accumulation_steps": 2}]
ADAMS += [{"kind": Halting}, {"scale": 8.0}]


@pytest.mark.parametrize("options", ADAMS, ids=str)
def test_an_optimizer_is_what_it_was(options):
    options = {"learning_rate": 0.02, "beta_1": 0.4, "beta_2": 0.7, "epsilon": 0.001} | options
    kind, scale = options.pop("kind", keras.optimizers.Adam), options.pop("scale", None)

    def adam():
        optimizer = kind(**options)
        return keras.optimizers.LossScaleOptimizer(optimizer, scale) if scale else optimizer

    usual, quick = twins(lambda: define_model(adam))
    before = usual.get_weights()
    for n in (12, 5, 12, 12, 3):
        for model in (usual, quick):
            model.train_on_batch([IMAGES[:n], LABELS[:n]], TARGETS[:n])
    assert_same_state(usual, quick)
    assert_same_state(usual.optimizer, quick.optimizer)
    assert max(np.abs(a - b).max() for a, b in zip(before, usual.get_weights(), strict=True)) > 1e-4


class Doubled(layers.Conv2DTranspose):
    def call(self, inputs):
        return 2 * super().call(inputs)


class DoubledConvolution(layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return 2 * super().convolution_op(inputs, kernel)


def case(side, layer, *arguments, channels=5, **options):
    options = {"bias_initializer": "normal", "activation": "tanh"} | options
    if layer is not layers.Dense:
        options = {"padding": "same"} | options
    return pytest.param(
        side,
        channels,
        lambda: layer(*arguments, **options),
        id=f"{layer.__name__} {side} {options}",
    )


@pytest.mark.parametrize(
    ("side", "channels", "define"),
    [
        case(28, layers.Conv2DTranspose, 1, 7),
        case(8, layers.Conv2DTranspose, 1, (3, 5), use_bias=False),
        case(10, layers.Conv2DTranspose, 1, 7),  # no whole number of blocks
        case(8, layers.Conv2DTranspose, 1, 4),
        case(8, layers.Conv2DTranspose, 1, 3, strides=2),
        case(8, layers.Conv2DTranspose, 1, 3, padding="valid"),
        case(28, layers.Conv2DTranspose, 1, 7, dilation_rate=2),
        case(28, Doubled, 1, 7),
        case(28, layers.Conv2DTranspose, 1, 7, dtype="mixed_bfloat16"),
        case(10, layers.Conv2DTranspose, 2, 3, strides=2, dtype="mixed_bfloat16"),
        case(8, layers.Dense, 3, dtype="mixed_bfloat16"),
        case(8, layers.Conv2D, 3, 3, dilation_rate=2, dtype="mixed_bfloat16"),
        case(4, layers.Conv2D, 342, 3, channels=342),  # as a product
        case(9, layers.Conv2D, 342, 3, channels=342),
        case(4, layers.Conv2D, 342, 3, channels=684, groups=2, use_bias=False),
        case(4, DoubledConvolution, 342, 3, channels=342),
    ],
)
def test_a_layer_is_the_same(side, channels, define):
    """Outputs, gradients, and the gradients of a gradient penalty, which is derived twice."""
    keras.utils.set_random_seed(0)
    image = keras.Input((side, side, channels))
    layer = define()
    model = keras.Model(image, layer(image))
    images = tf.constant(RNG.standard_normal((2, side, side, channels), dtype="float32"))
    sources = [images, *[weight.value for weight in model.trainable_weights]]

    @tf.function
    def outputs_and_gradients():
        with tf.GradientTape() as outer, tf.GradientTape() as tape:
            outer.watch(images)
            tape.watch(images)
            outputs = model(images)
            gradients = tape.gradient(outputs, sources)
            penalty = sum(tf.reduce_mean(gradient**2) for gradient in gradients)
        return [outputs, *gradients, *outer.gradient(penalty, sources)]

    usual = outputs_and_gradients()
    quicken(model)
    quick = tf.function(outputs_and_gradients.python_function)()
    tolerance, count = 1e-5, len(usual)
    if layer.compute_dtype == "bfloat16":  # which has 8 significant bits; Keras's bias gradients
        tolerance, count = 0.03, 3  # are wrong
    for one, other in zip(usual[:count], quick, strict=False):
        one, other = (np.asarray(tf.cast(array, "float32")) for array in (one, other))
        np.testing.assert_allclose(one, other, atol=tolerance * max(1e-3, np.abs(one).max()))


@pytest.mark.parametrize("name", ALL_SCRIPTS)
def test_the_losses_of_a_script_are_the_same_but_for_rounding(name, tmp_path, few_drawn):
    arguments = [*TINY, "--limit", "32"]
    if name == "gaugan_facades":
        arguments = ["--data", str(few_drawn(10)), "--image-size", "64", "--width", "0.02"]
        arguments += ["--latent-dim", "6", "--vgg", "none"]
    runs = []
    for plain in ([], ["--plain"]):
        out = tmp_path / f"run{len(plain)}"
        epochs = "--epochs", "1", "--evaluate-every", "0"
        importlib.import_module(name).main([*arguments, *epochs, "--out", str(out), *plain])
        names, values = (out / "losses.csv").read_text().splitlines()
        row = dict(zip(names.split(","), map(float, values.split(",")), strict=True))
        runs.append({name: value for name, value in row.items() if "accuracy" not in name})
    assert runs[0] == pytest.approx(runs[1], rel=2e-3, abs=1e-4)
    assert len(set(runs[0].values())) > 2


def test_a_quick_generator_is_saved_as_stock_layers(tmp_path):
    generator = cgan_fashion.define_generator(latent_dim=6)
    quicken(generator)
    inputs = latent_points(cgan_fashion, 6, 3, np.random.default_rng(0))
    drawn = generator.predict_on_batch(inputs)
    generator.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict_on_batch(inputs), drawn, atol=1e-5)


def missing_functions(monkeypatch):
    monkeypatch.setattr(keras, "Sequential", lambda name: object())


def missing_coordination(monkeypatch):
    kind = type(internals.context.context())
    monkeypatch.delattr(kind, "configure_coordination_service")


@pytest.mark.parametrize(
    ("take_away", "words"),
    [(missing_functions, "has no train_function: "), (missing_coordination, "has no configure_c")],
)
def test_what_is_missing_in_another_version_is_done_without(take_away, words, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        take_away(patch)
        importlib.reload(internals)
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
        if take_away is missing_coordination:
            internals.set_patience(20)
        usual, quick = twins(lambda: define_model(keras.optimizers.Adam))
        assert (quick.train_function is None) == ("train_function" in words)
        for _ in range(2):
            batch = [IMAGES, LABELS], TARGETS
            assert_close(usual.train_on_batch(*batch), quick.train_on_batch(*batch))
        with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
            quicken(define_model(sgd))
    importlib.reload(internals)
    assert internals.HAS_FUNCTIONS and capsys.readouterr().err == ""
