"""--mixed-precision and --jit: for GPUs, and correct on a CPU as well."""

import importlib

import cgan_fashion
from common.models.generators import Generator
from common.models.steps import quicken

import keras
import numpy as np
import pytest
import tensorflow
from conftest import TINY, exit_status, latent_points
from runs import assert_same_run, interrupt_after, weights

SMALL_GAUGAN = ["--data", "drawn", "--limit", "10", "--image-size", "64", "--width", "0.05"]
SMALL_GAUGAN += ["--latent-dim", "6", "--vgg", "none"]


@pytest.fixture
def tiny_run(tmp_path, monkeypatch):
    """Starts a training of one epoch of a script; returns its folder and the models it trained."""
    models, compile_model = {}, keras.Model.compile

    def compile_and_keep(self, **options):
        compile_model(self, **options)
        models[self.name.rpartition("_")[2]] = self

    monkeypatch.setattr(keras.Model, "compile", compile_and_keep)

    def run(name, *arguments):
        script = importlib.import_module(name)
        small = SMALL_GAUGAN if name == "gaugan_facades" else TINY
        folder = tmp_path / "".join(["run", *arguments])
        script.main([*small, "--epochs", "1", "--out", str(folder), *arguments])
        return folder, models

    return run


@pytest.mark.parametrize(
    "name",
    [
        "cgan_fashion",
        pytest.param("wgan_gp_fashion", marks=pytest.mark.slow),
        pytest.param("gaugan_facades", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_mixed_precision_saves_a_float32_generator(name, kind, tiny_run, monkeypatch):
    """bfloat16 here; float16, whose losses need scaling, on GPUs that are too old for it."""
    if kind == "float16":
        monkeypatch.setattr("common.training.run.mixed_precision", lambda: "mixed_float16")
    folder, models = tiny_run(name, "--mixed-precision")
    assert models
    for model in models.values():
        scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert scales == (kind == "float16")
        # Of the outputs, only features may have 16 bits: no loss is computed from them as such.
        assert keras.tree.flatten(model.output)[-1].dtype == "float32"
        assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
        optimizer = model.optimizer.inner_optimizer if scales else model.optimizer
        assert int(optimizer.iterations) > 0  # not every step overflowed
    assert kind in {layer.compute_dtype for layer in models["composite"].layers}

    saved = keras.saving.load_model(folder / "generator.keras")
    assert {layer.dtype_policy.name for layer in saved.layers} == {"float32"}
    assert Generator(folder / "generator.keras").model.dtype_policy.name == "float32"
    _, *averaged = [array for name, array in weights(folder).items() if "average/" in name]
    assert averaged and all(map(np.array_equal, saved.get_weights(), averaged))
    assert keras.config.dtype_policy().name == "float32"  # as it was before the run


@pytest.fixture
def set_policy():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "layer, shape",
    [
        (lambda: keras.layers.Conv2D(2, 3, padding="same"), (64, 28, 28, 1)),
        (lambda: keras.layers.Conv2DTranspose(2, 3, padding="same"), (64, 28, 28, 1)),
        (lambda: keras.layers.Dense(2), (50176, 1)),
    ],
)
def test_the_gradient_of_a_bias_in_bfloat16_is_summed_in_float32(layer, shape, set_policy):
    """In bfloat16 the sum would not get beyond some hundreds."""
    set_policy("mixed_bfloat16")
    image = keras.Input(shape[1:])
    layer = layer()
    model = keras.Model(image, layer(image))
    quicken(model)
    with tensorflow.GradientTape() as tape:
        output = model(np.zeros(shape, "float32"))
    assert output.dtype == "bfloat16"
    gradient = tape.gradient(output, layer.bias.value)  # of the sum of all outputs
    np.testing.assert_array_equal(gradient, [50176, 50176])


def test_the_first_gradients_in_bfloat16_are_close_to_float32(any_script, set_policy, monkeypatch):
    """At the start, generated images hardly differ. Rounding must not hide how they do."""
    monkeypatch.setattr(keras.layers.Dropout, "call", lambda self, inputs, training=False: inputs)
    define = getattr(any_script, "define_discriminator", None) or any_script.define_critic
    inputs = latent_points(any_script, any_script.LATENT_DIM, 64, np.random.default_rng(0))
    target = np.full((64, 1), getattr(any_script, "REAL", 1.0), "float32")
    keras.utils.set_random_seed(0)
    gradients, first_weights = [], []
    for policy in ("float32", "mixed_bfloat16"):
        set_policy(policy)
        d_model, g_model = define(), any_script.define_generator()
        gan_model = any_script.define_gan(g_model, d_model)
        quicken(d_model, g_model)
        first_weights = first_weights or [d_model.get_weights(), g_model.get_weights()]
        d_model.set_weights(first_weights[0])
        g_model.set_weights(first_weights[1])
        with tensorflow.GradientTape() as tape:
            loss = gan_model.compute_loss(y=target, y_pred=gan_model(inputs, training=True))
        kernels = [each for each in g_model.trainable_variables if each.name == "kernel"]
        gradients.append(tape.gradient(loss, [kernel.value for kernel in kernels]))
    for kernel, exact, rounded in zip(kernels, *gradients, strict=True):
        cosine = np.vdot(exact, rounded) / np.linalg.norm(exact) / np.linalg.norm(rounded)
        assert cosine > 0.95, kernel.path


@pytest.mark.slow
def test_resume_is_exact_with_mixed_precision(tmp_path, monkeypatch):
    """The loss scale, too, is part of the checkpoint."""
    stopped, in_one_go = str(tmp_path / "stopped"), str(tmp_path / "in one go")
    arguments = [*TINY, "--epochs", "1", "--mixed-precision", "--out"]
    with monkeypatch.context() as patch:
        interrupt_after(3, patch)
        assert exit_status(cgan_fashion.main, [*arguments, stopped]) == 130
    cgan_fashion.main(["--resume", "--out", stopped])
    cgan_fashion.main([*arguments, in_one_go])
    assert_same_run(tmp_path / "stopped", tmp_path / "in one go")


@pytest.mark.slow
def test_jit_gives_the_same_training(tiny_run, monkeypatch):
    # XLA draws other dropout masks.
    monkeypatch.setattr(keras.layers.Dropout, "call", lambda self, inputs, training=False: inputs)
    plain, models = tiny_run("cgan_fashion")
    assert not any(model.jit_compile for model in models.values())
    compiled, models = tiny_run("cgan_fashion", "--jit")
    assert models and all(model.jit_compile for model in models.values())
    first, second = weights(plain), weights(compiled)
    for key, array in first.items():
        # On average: Adam's first steps have the gradient's sign, even where it is rounding error.
        assert np.abs(second[key] - array).mean() <= 1e-4 * max(1, np.abs(array).mean()), key


def test_jit_is_not_for_deterministic_runs(error_of, tmp_path):
    error = error_of(cgan_fashion.main, "--jit", "--deterministic", "--out", str(tmp_path / "run"))
    assert "leave out --jit or --deterministic" in error and not (tmp_path / "run").exists()
