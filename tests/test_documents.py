"""What the documents say can be done: commands run, quotations and figures are what they claim."""

import importlib
import math
import re
import runpy
import shlex
import shutil
import sys
import textwrap
import types

import evaluate
import explore
import generate
from common.data import datasets
from common.sampling import explorer, finding

import documents
import keras
import numpy as np
import pytest
from conftest import ALL_SCRIPTS, PROJECT
from PIL import Image
from runs import replace_training

COURSE, CHANGES = (documents.read(PROJECT / f"docs/{name}.md") for name in ("course", "change_it"))

# Commands that are not run here, and why: the beginning of the command, and the reason.
NOT_RUN = {
    "python3 -m venv": "installs packages; the environment that the tests run in was made so",
    "sudo apt install": "changes the system",
    "mkdir units": "copies figures from a package of the system",
    "python -m pytest": "is what runs",
    "python -m common.data facades": "draws 320 facades; see tests/test_facades.py",
    "python docs/course/plane.py": "trains for half a minute; see tests/test_plane.py",
    "python docs/notebook.py": "writes the notebook; see tests/test_notebook.py",
    "python tests/benchmark.py": "takes minutes; tests/test_benchmark.py runs it with little to do",
    "python gaugan_facades.py --gpus": "needs two GPUs; see tests/test_devices.py",
    "TF_CONFIG=": "needs another process; see tests/test_devices.py",
    "python evaluate.py --model cgan --cas": "trains twelve times; see tests/test_evaluate.py",
}
# Images of the user's, which the documents speak of.
CLASS_FOLDERS = ["my/images/NAME", "my/images/other", "animals/cat", "animals/dog"]
CLASS_FOLDERS += ["units/drakes", "units/saurians", "units/woses"]
# Settings that make a training short. Its steps are left out, for they have tests of their own.
SHORT = ["--limit", "20", "--batch-size", "8", "--epochs", "1", "--evaluate-every", "0"]
SHORT += ["--overwrite"]
GAUGAN = ["--vgg", "none", "--image-size", "64", "--width", "0.05"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder like a clone of the project, with images of the user's."""
    folder = tmp_path_factory.mktemp("clone")
    for path in [*PROJECT.glob("*.py"), PROJECT / "docs", PROJECT / "trained"]:
        (folder / path.name).symlink_to(path)
    rng = np.random.default_rng(0)
    pairs = ["my/pairs", "pairs"]
    for name in [*CLASS_FOLDERS, *pairs]:
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (64, 64, 3), "uint8")
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
            if name in pairs:
                layout = Image.fromarray(rng.integers(0, 3, (64, 64), "uint8"))
                layout.save(folder / name / f"{number}.png")
    layout.save(folder / "drawn.png")
    return folder


class Reader:
    """Someone who types in the commands of the documents, one after the other."""

    def __init__(self, monkeypatch):
        self.monkeypatch, self.copies, self.done = monkeypatch, {}, set()
        self.evaluated = False

    def type(self, command):
        # The commands that follow this one need its run to be the newest, wherever it is repeated.
        done = command in self.done and "--data units" not in command
        if done or any(command.startswith(start) for start in NOT_RUN):
            return
        self.done.add(command)
        program, *words = shlex.split(command)
        if program == "cp":
            source, copy = words
            shutil.copyfile(source, copy)
            self.copies[copy.removesuffix(".py")] = source.removesuffix(".py")
            return
        assert program == "python", command
        if words[0] == "-m":
            getattr(self, words[1].replace(".", "_"))(words[2:])
        elif (name := words[0].removesuffix(".py")) in (*ALL_SCRIPTS, *self.copies):
            self.train(name, words[1:])
        elif name == "generate":
            generate.main(words[1:])
        elif name in ("evaluate", "explore"):
            getattr(self, name)(words[1:])
        else:
            runpy.run_path(words[0])["main"](out="figure.png")

    def train(self, name, words):
        script = importlib.import_module(self.copies.get(name, name))
        if "--resume" in words:
            extra = ["--epochs", "2"] if "--epochs" in words else []
        else:
            gaugan = script.__name__ == "gaugan_facades"
            extra = [*SHORT, *(GAUGAN if gaugan else ())]
            source = words[words.index("--data") + 1] if "--data" in words else ""
            if source.split("/")[0] in ("my", "animals", "units", "pairs"):
                assert "--out" in words  # else the reader's first run would be in the way
            else:
                extra += ["--data", "my/pairs" if gaugan else "sample"]

        with self.monkeypatch.context() as patch:
            replace_training(patch, script=script)
            script.main([*words, *extra])

    def evaluate(self, words):
        arguments = evaluate.define_parser().parse_args(words)
        assert finding.find(arguments.model).is_file()
        if not self.evaluated:  # it takes seconds
            evaluate.main(["--model", arguments.model, "--count", "100", "--data", "sample"])
        self.evaluated = True

    def explore(self, words):
        with self.monkeypatch.context() as patch:
            patch.setattr(explorer, "check_window", lambda: None)
            patch.setattr(explorer.pyplot, "show", lambda: None)
            explore.main(words)
        explorer.pyplot.close("all")

    def common_data(self, words):
        source = [] if "--data" in words else ["--data", "sample"]
        importlib.import_module("common.data.__main__").main([*words, *source])


@pytest.mark.slow
def test_every_command_runs(clone, monkeypatch, capsys):
    """In the order of reading. A run of GauGAN is there from the start, as in a later clone."""
    monkeypatch.chdir(clone)
    reader = Reader(monkeypatch)
    reader.type("python cgan_fashion.py")  # the command that installs everything trains, too
    reader.type("python gaugan_facades.py --data my/pairs --out runs/pairs")
    for path in documents.DOCUMENTS:
        for command in documents.commands(documents.read(path)):
            reader.type(command)
    assert len(reader.done) > 40


@pytest.mark.parametrize("quote", documents.fenced(COURSE, "python"))
def test_quotations_are_in_the_scripts(quote):
    """A block of Python that imports nothing is quoted from a script, or from freezing.py."""
    if quote.startswith("import"):
        return
    names = (*ALL_SCRIPTS, "common/models/freezing")
    scripts = [documents.read(PROJECT / f"{name}.py") for name in names]
    forms = [textwrap.indent(quote, depth * "    ") for depth in range(4)]
    assert any(form in script for form in forms for script in scripts)


@pytest.mark.parametrize("path", documents.DOCUMENTS, ids=lambda path: path.name)
def test_every_figure_names_the_command_that_gave_it(path):
    paragraphs = re.split(r"\n\s*\n", documents.read(path))
    for figure, below in zip(paragraphs, [*paragraphs[1:], ""], strict=True):
        if figure.lstrip().startswith("![") and not below.lstrip().startswith("!["):
            assert re.match(r"\s*\*.*(\.py|plot_model|\.data)\b", below, re.DOTALL), figure


def test_figures_of_the_course_are_small_and_used():
    paths = [path for path in (PROJECT / "docs/course").iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < 1.5e6
    assert all(f"course/{path.name}" in COURSE + CHANGES for path in paths)


def changed(script, pairs):
    """A script as a module, after the edits."""
    code = documents.apply(pairs, documents.read(PROJECT / f"{script}.py"))
    module = types.ModuleType(f"changed_{script}")
    exec(compile(code, module.__name__, "exec"), module.__dict__)
    return module


def one_step_each(script):
    """Define the models and take a step of each, without a graph, which takes seconds to build.

    Returns the discriminator, and how far each step has moved its weights.
    """
    keras.utils.set_random_seed(0)
    d_model, g_model = script.define_discriminator(), script.define_generator()
    gan_model = script.define_gan(g_model, d_model)
    d_model.run_eagerly = gan_model.run_eagerly = True
    rng = np.random.default_rng(0)
    latents = script.generate_latent_points(100, 2, 10, rng)
    inputs, target = script.generate_fake_samples(g_model, 100, 2, 10, rng)
    moved = []
    for model, *batch in ((d_model, inputs, target), (gan_model, latents, np.ones((2, 1)))):
        before = d_model.get_weights()
        assert np.isfinite(model.train_on_batch(*batch)).all()
        after = d_model.get_weights()
        moved.append(max(np.abs(new - old).max() for new, old in zip(after, before, strict=True)))
    return d_model, *moved


BROKEN, *RATES = documents.edits(COURSE)


def test_lesson_3_breaks_the_freeze_and_the_flag_alone_does_not_mend_it():
    script = changed("cgan_fashion", [BROKEN])
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        assert one_step_each(script)[1:] == (0, 0)
    define_gan = script.define_gan

    def and_again(g_model, d_model):
        model = define_gan(g_model, d_model)
        d_model.trainable = True
        return model

    script.define_gan = and_again
    _d_model, by_its_own, by_the_composite = one_step_each(script)
    assert by_its_own > 1e-4 and by_the_composite > 1e-4


def test_the_first_five_epochs_with_the_tutorial_s_embeddings():
    pairs = documents.edits(documents.read(PROJECT / "trained/README.md"), "### The first five")
    for script, deviation in (
        (importlib.import_module("cgan_fashion"), 1.0),
        (changed("cgan_fashion", pairs), 0.1 / math.sqrt(12)),  # uniform from -0.05 to 0.05
    ):
        layers = script.define_generator().layers
        (embedding,) = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
        assert np.std(embedding.embeddings) == pytest.approx(deviation, rel=0.15)


def test_lesson_4_changes_the_learning_rates():
    for pairs, rates in ((RATES[:2], (2e-3, 2e-5)), (RATES[2:], (2e-4, 4e-3))):
        script = changed("gan_fashion", pairs)
        d_model, g_model = script.define_discriminator(), script.define_generator()
        models = d_model, script.define_gan(g_model, d_model)
        np.testing.assert_allclose([model.optimizer.learning_rate for model in models], rates)


def test_python_of_the_course_prints_what_it_says(capsys, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    freeze, critic = (
        code for code in documents.fenced(COURSE, "python") if code.startswith("import")
    )
    for code, printed in (
        (critic, "[0.75 1.  ] 1.25 6.25"),
        (critic.replace("20 *", "200 *").replace("0.02", "0.002"), "[0.615 0.82 ] 1.025 5.125"),
        (critic.replace("20 *", "2 *"), "[2.1 2.8] 3.5 17.5"),
        (critic.replace("20 *", "0 *"), "[61. 80.] 100.603 503.0"),
    ):
        exec(code.replace("1000", "10000") if "0.002" in code else code, {})
        assert capsys.readouterr().out == f"{printed}\n"
    assert "`[0.75 1.  ] 1.25 6.25`" in COURSE and "`[61. 80.] 100.603 503.0`" in COURSE
    exec(freeze, {})
    assert 2e-4 < float(capsys.readouterr().out) < 1e-3


@pytest.mark.parametrize(
    "weight, norm, estimate", [(10, 1.25, 6.25), (100, 1.025, 5.125), (1, 3.5, 17.5)]
)
def test_lesson_5_by_our_own_critic_trainer(weight, norm, estimate):
    """The worked example, with a linear critic of images of two pixels: it stays as it is."""
    wgan = importlib.import_module("wgan_gp_fashion")
    image = keras.Input((1, 2, 1))
    score = keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(image))
    critic = keras.Model(image, score)
    weights = norm * np.array([[0.6], [0.8]])
    critic.set_weights([weights])
    trainer = wgan.define_critic_trainer(critic, weight)
    trainer.run_eagerly, trainer.optimizer = True, keras.optimizers.SGD(1.0)
    pairs = ([[3, 4], [3, 6]], [[0, 0], [0, 2]], [[0], [0]])
    inputs = [np.float32(pair).reshape(2, 1, -1, 1) for pair in pairs]
    ones = np.ones((2, 1))
    targets = {"real_score": -ones, "generated_score": ones, "gradient_norm": ones}
    losses = trainer.train_on_batch(inputs, targets, return_dict=True)
    np.testing.assert_allclose(losses["gradient_norm_mean"], norm, rtol=1e-5)
    found = -losses["real_score_loss"] - losses["generated_score_loss"]
    np.testing.assert_allclose(found, estimate, rtol=1e-5)
    np.testing.assert_allclose(critic.get_weights()[0], weights, rtol=1e-4)


def section(number):
    """The edits of a change in change_it.md."""
    start = CHANGES.index(f"\n## {number}. ")
    end = CHANGES.find("\n## ", start + 1)
    return documents.edits(CHANGES[start : end if end > 0 else None])


@pytest.mark.parametrize("number", range(1, 6))
def test_changes_train(number):
    script = changed("cgan_fashion", section(number))
    d_model, by_its_own, by_the_composite = one_step_each(script)
    assert by_its_own > 1e-4 and by_the_composite == 0
    kinds = [type(layer).__name__ for layer in d_model.layers]
    if number == 1:
        assert kinds.count("ReLU") == 2 and "LeakyReLU" not in kinds
    elif number == 2:
        images, labels = np.zeros((3, 28, 28, 1), "uint8"), np.zeros(3, int)
        dataset = datasets.Dataset(images, labels, ("a",), "here")
        inputs, target = script.generate_real_samples(dataset, 5, np.random.default_rng(0))
        assert np.all(target == np.float32(0.9))
        assert d_model.train_on_batch(inputs, target)[1] == 0  # the accuracy
    elif number == 3:
        assert d_model.loss == "mse" and d_model.layers[-1].activation.__name__ == "linear"
    elif number == 4:
        assert kinds.count("SpectralNormalization") == 3
    else:
        assert "Concatenate" not in kinds and d_model.count_params() == 217_857
        image = np.random.default_rng(0).standard_normal((1, 28, 28, 1))
        first, other = (d_model.predict_on_batch([image, np.array([[k]])]) for k in (0, 1))
        assert first != other
