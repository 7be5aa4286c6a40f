"""--mixed-precision and --jit: for GPUs, and correct on a CPU as well."""

import importlib

import cgan_fashion
from common.drawing import generators

import keras
import numpy as np
import pytest
from conftest import TINY, exit_status
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
    assert generators.Generator(folder / "generator.keras").model.dtype_policy.name == "float32"
    _, *averaged = [array for name, array in weights(folder).items() if "average/" in name]
    assert averaged and all(map(np.array_equal, saved.get_weights(), averaged))
    assert keras.config.dtype_policy().name == "float32"  # as it was before the run


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
