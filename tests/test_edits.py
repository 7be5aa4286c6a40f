"""Edits as students make them: each happens, or is refused before the first step.

An edit is a small change of a script, applied in a temporary folder to a copy with another name.
"""

import csv
import importlib.util
import json

from common.models.generators import Generator

import keras
import numpy as np
import pytest
from conftest import PROJECT, TINY, exit_status
from PIL import Image
from runs import replace_training

LAST = 'x = layers.Conv2DTranspose(image_shape[-1], 7, padding="same")(x)'
OWN_LAYER = """

class Shift(layers.Layer):
    def call(self, x):
        return x + 0.1


def adam("""


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Write a script with some of its lines replaced, and import it."""
    monkeypatch.chdir(tmp_path)

    def edit(script, *changes, name="edited"):
        text = (PROJECT / f"{script}.py").read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return edit


def train(module, *more, epochs=1):
    module.main([*TINY, "--epochs", str(epochs), *more])


def losses(folder="runs/edited"):
    with open(f"{folder}/losses.csv", newline="") as file:
        return list(csv.DictReader(file))


CHANGES_THAT_HAPPEN = {
    "another convolution": (
        "gan_fashion",
        (LAST, LAST.replace("7, ", "5, ").replace(")(x)", ', activation="linear")(x)')),
    ),
    "dilation": ("gan_fashion", (LAST, LAST.replace(")(x)", ", dilation_rate=2)(x)"))),
    "a convolution with a call of its own in the critic": (
        "wgan_gp_fashion",
        (
            "\n\ndef leaky_relu(",
            "\n\nclass Twice(layers.Conv2D):\n"
            "    def call(self, x):\n        return 2 * super().call(x)\n"
            "\n\ndef leaky_relu(",
        ),
        ("x = layers.Conv2D(min(", "x = Twice(min("),
    ),
    "spectral normalisation": (
        "cgan_fashion",
        (
            'layers.Conv2D(128, 3, strides=2, padding="same")(x)',
            'layers.SpectralNormalization(layers.Conv2D(128, 3, 2, padding="same"))(x)',
        ),
    ),
    "label smoothing": (
        "cgan_fashion",
        (
            'return [images, labels], np.ones((n_samples, 1), "float32")',
            'return [images, labels], np.full((n_samples, 1), 0.9, "float32")',
        ),
    ),
    "another activation": (
        "cgan_mnist",
        ("        x = layers.LeakyReLU(0.2)(x)\n", '        x = layers.Activation("gelu")(x)\n'),
    ),
    "latents of another distribution": (
        "gan_fashion",
        (
            'rng.standard_normal((n_samples, latent_dim), dtype="float32")',
            'rng.uniform(-1, 1, (n_samples, latent_dim)).astype("float32")',
        ),
    ),
    "class-conditional batch normalisation": (
        "cgan_fashion",
        (
            '    x = layers.Conv2DTranspose(image_shape[-1], 7, padding="same")(x)',
            "    x = layers.BatchNormalization(center=False, scale=False)(x)\n"
            "    scale = layers.Embedding(n_classes, 128)(label)\n"
            "    x = x * (1 + layers.Reshape((1, 1, 128))(scale))\n    " + LAST,
        ),
    ),
    "hinge loss": (
        "wgan_gp_fashion",
        ("    return sign * score\n", "    return ops.relu(1 + sign * score)\n"),
    ),
    "a layer of one's own in the discriminator": (
        "gan_fashion",
        ("\n\ndef adam(", OWN_LAYER),
        ("x = layers.Dropout(0.4)(x)", "x = Shift()(layers.Dropout(0.4)(x))"),
    ),
    "another optimizer": (
        "gan_fashion",
        (
            "keras.optimizers.Adam(learning_rate=2e-4, beta_1=0.5)",
            "keras.optimizers.RMSprop(keras.optimizers.schedules.CosineDecay(1e-3, 100))",
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES_THAT_HAPPEN)
def test_a_change_that_happens(edited, name):
    """It trains, with the same losses as with Keras's own steps, and can be drawn."""
    script, *changes = CHANGES_THAT_HAPPEN[name]
    module = edited(script, *changes)
    train(module)
    train(module, "--plain", "--out", "runs/plain")
    for found, plain in zip(losses(), losses("runs/plain"), strict=True):
        assert found.keys() == plain.keys()
        for key in found:
            assert float(found[key]) == pytest.approx(float(plain[key]), rel=2e-3, abs=2e-3), key
    generator = Generator("runs/edited/generator.keras")
    latents = generator.random_latents(2, np.random.default_rng(0))
    labels = np.array([0, 1]) if generator.label_kind else None
    assert generator.draw(latents, labels).shape == (2, 28, 28, 1)


REFUSED = {
    "a layer of one's own": (
        (("\n\ndef adam(", OWN_LAYER), ("    " + LAST, "    x = Shift()(x)\n    " + LAST)),
        "Shift",
    ),
    "a Lambda": (
        (("    " + LAST, "    x = layers.Lambda(lambda y: 2 * y)(x)\n    " + LAST),),
        "Lambda",
    ),
    "an input of another name": (
        (('Input((latent_dim,), name="latent")', 'Input((latent_dim,), name="noise")'),),
        "its inputs are noise, but one must be named latent",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*saving.*:UserWarning")
def test_a_generator_that_could_not_be_drawn_is_refused_at_once(edited, error_of, tmp_path, name):
    changes, words = REFUSED[name]
    module = edited("gan_fashion", *changes)
    error = error_of(module.main, *TINY, "--epochs", "1")
    assert error.startswith("edited.py: error: generate.py could not draw with this generator: ")
    assert words in error and not (tmp_path / "runs").exists()


def test_the_average_moves_by_itself(edited):
    """A script never asks for it: `generator.keras` has learned, as have the current weights."""
    module = edited("gan_fashion")
    train(module)
    saved = keras.saving.load_model("runs/edited/generator.keras").get_weights()
    keras.utils.set_random_seed(0)
    module.define_discriminator()
    initial = module.define_generator(6).get_weights()
    assert all(np.abs(one - other).max() > 1e-5 for one, other in zip(initial, saved, strict=True))


def test_a_copy_has_a_name_of_its_own(edited, tmp_path, monkeypatch, capsys, error_of):
    (tmp_path / "mine").mkdir()
    module = edited("gan_fashion", name="mine/smooth")
    replace_training(monkeypatch, script=module)
    train(module)
    shown = capsys.readouterr().out
    assert shown.startswith("smooth: 64 images (sample), batches of 16 on ")
    assert ", into runs/smooth\n" in shown
    assert json.loads((tmp_path / "runs/smooth/run.json").read_text())["script"] == "smooth"
    page = (tmp_path / "runs/smooth/index.html").read_text()
    assert "python mine/smooth.py --resume --epochs 2" in page and "gan_fashion" not in page
    original = edited("gan_fashion", name="gan_fashion")
    error = error_of(original.main, "--resume", "--out", "runs/smooth")
    assert "belongs to a run of smooth.py, not of gan_fashion.py" in error


@pytest.mark.parametrize("told", [False, True])
def test_another_range_of_pixels(edited, monkeypatch, capsys, told):
    changes = [('layers.Activation("tanh"', 'layers.Activation("sigmoid"')]
    changes += [("pixel_range=(-1, 1)", "pixel_range=(0, 1)")] if told else []
    module = edited("gan_fashion", *changes)
    replace_training(monkeypatch, script=module)
    train(module)
    warning = (
        "Warning: the generator ends in sigmoid, from 0 to 1, and run.begin is told "
        "pixel_range=(-1, 1): its pictures will look wrong\n"
    )
    assert capsys.readouterr().err == ("" if told else warning)
    generator = Generator("runs/edited/generator.keras")
    assert generator.pixel_range == ((0, 1) if told else (-1, 1))


@pytest.mark.slow
def test_another_learning_rate_holds_when_a_run_is_resumed(edited, capsys):
    train(edited("gan_fashion"))
    rate = "learning_rate=2e-4"
    slower = edited("gan_fashion", (rate, "learning_rate=1e-5"))
    weights = keras.saving.load_model("runs/edited/generator.keras").get_weights()
    capsys.readouterr()
    slower.main(["--resume", "--epochs", "2", "--average-decay", "0.999"])
    shown = capsys.readouterr().out
    for model in ("discriminator", "gan"):
        assert f"The learning rate of `{model}` is now 1e-05; it was 0.0002." in shown
    after = keras.saving.load_model("runs/edited/generator.keras").get_weights()
    # Adam moves a weight by about its learning rate in a step, and there are four.
    moved = max(np.abs(one - other).max() for one, other in zip(weights, after, strict=True))
    assert 0 < moved < 5e-4
    slower.main(["--resume", "--epochs", "3"])
    assert "The learning rate" not in capsys.readouterr().out


def test_options_of_any_kind(edited, tmp_path, monkeypatch, capsys):
    """A path, two values, a switch that is on: in run.json, and the same with --resume."""
    module = edited(
        "gan_fashion",
        (
            "    with Run(parser, argv) as run:\n",
            '    parser.add_path("--notes", "FILE", "notes")\n'
            '    parser.add_argument("--range", nargs=2, type=float, default=[0.0, 1.0])\n'
            '    parser.add_argument("--no-flip", dest="flip", action="store_false")\n'
            "    with Run(parser, argv) as run:\n"
            "        print(run.arguments.notes, run.arguments.range, run.arguments.flip)\n",
        ),
    )
    replace_training(monkeypatch, script=module)
    train(module, "--notes", "a/b.txt", "--range", "2", "3", "--no-flip")
    module.main(["--resume", "--epochs", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("a/b.txt [2.0, 3.0] False") == 2
    stored = json.loads((tmp_path / "runs/edited/run.json").read_text())["arguments"]
    assert (stored["notes"], stored["range"], stored["flip"]) == ("a/b.txt", [2.0, 3.0], False)
    assert exit_status(module.main, ["--resume", "--range", "2", "4"]) == 2


@pytest.mark.slow
def test_pictures_of_many_classes_stay_small(edited, tmp_path):
    """200 classes: twenty are shown, spread over all."""
    images = np.random.default_rng(0).integers(0, 255, (400, 28, 28), dtype="uint8")
    names = np.array([f"class {number:03d}" for number in range(200)])
    np.savez(tmp_path / "many.npz", x_train=images, y_train=names[np.arange(400) % 200])
    train(edited("cgan_fashion"), "--data", "many.npz")
    with Image.open("runs/edited/samples/epoch_0001.png") as picture:
        assert picture.width == 20 * 30 * 3


@pytest.mark.slow
def test_one_optimizer_with_an_update_of_its_own(edited):
    """A subclass of Adam whose update does nothing: no weight moves."""
    module = edited(
        "gan_fashion",
        (
            "\n\ndef adam(",
            "\n\nclass Still(keras.optimizers.Adam):\n"
            "    def update_step(self, gradient, variable, learning_rate):\n        pass\n"
            "\n\ndef adam(",
        ),
        ("keras.optimizers.Adam(learning", "Still(learning"),
    )
    train(module, epochs=2)
    one, other = losses()
    assert float(one["d_loss_real"]) == pytest.approx(float(other["d_loss_real"]), abs=0.05)
    generator = Generator("runs/edited/generator.keras")
    latents = generator.random_latents(1, np.random.default_rng(0))
    keras.utils.set_random_seed(0)
    module.define_discriminator((28, 28, 1))
    fresh = module.define_generator(6, (28, 28, 1)).predict_on_batch(latents)
    np.testing.assert_allclose(generator.draw(latents), (fresh + 1) / 2, atol=1e-6)
