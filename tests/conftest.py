"""What the tests share. Nothing here touches the network or the real Keras cache."""

import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

from common.data import facades

import numpy as np
import pytest

os.environ["MPLBACKEND"] = "Agg"  # no windows

PROJECT = Path(__file__).parent.parent
# Where processes find what they import; see without_unix/sitecustomize.py, which may be there.
PYTHONPATH = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
WITH_DISCRIMINATOR = ("cgan_fashion", "cgan_mnist", "gan_fashion")
SCRIPTS = (*WITH_DISCRIMINATOR, "wgan_gp_fashion")
ALL_SCRIPTS = (*SCRIPTS, "gaugan_facades")  # that one takes other data, and has tests of its own
TINY = ["--data", "sample", "--limit", "64", "--batch-size", "16", "--latent-dim", "6"]


@pytest.fixture(params=SCRIPTS)
def any_script(request):
    """Each training script in turn, as a module."""
    return importlib.import_module(request.param)


@pytest.fixture(params=WITH_DISCRIMINATOR)
def script(request):
    """Each training script in turn that has a discriminator, as a module."""
    return importlib.import_module(request.param)


class OneEpoch:
    """Stands for a training.Run: one epoch, nothing saved."""

    def __init__(self):
        self.rng, self.sample_rng = np.random.default_rng(0), np.random.default_rng(1)
        self.logged, self.saved = [], []
        self.arguments = SimpleNamespace(epochs=1, sample_every=5)
        self.average = SimpleNamespace(of=lambda model: model)
        self.sample_labels = np.tile(np.arange(10, dtype="int32"), 10)

    def epochs(self):
        yield 1

    def steps(self, count):
        yield from range(count)

    def log(self, **losses):
        self.logged.append(losses)

    def save_epoch(self, images=None, titles=None, latents=None, **values):
        self.saved.append((images, titles, values))
        self.latents = latents


def state(model):
    """Copies of everything in a model: weights, and the seeds of its dropout."""
    return [np.copy(variable.numpy()) for variable in model.variables]


def same(before, after):
    return all(map(np.array_equal, before, after))


def latent_points(script, latent_dim, count, rng):
    """A script's inputs for its generator, with labels of ten classes where it takes any."""
    classes = (10,) if hasattr(script, "N_CLASSES") else ()
    return script.generate_latent_points(latent_dim, count, *classes, rng)


def fake_samples(script, g_model, latent_dim, count, rng):
    """A script's generated images, of ten classes where it has any, and their target."""
    classes = (10,) if hasattr(script, "N_CLASSES") else ()
    return script.generate_fake_samples(g_model, latent_dim, count, *classes, rng)


def real_samples(script, dataset, count, rng):
    """A script's real images, with one-hot labels where it takes these, and their target."""
    classes = (10,) if script.__name__ == "cgan_mnist" else ()
    return script.generate_real_samples(dataset, count, *classes, rng)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder whose runs/ holds a run of one epoch of each training script."""
    folder = tmp_path_factory.mktemp("trained")
    for name in SCRIPTS:
        arguments = [*TINY, "--epochs", "1", "--out", str(folder / "runs" / name)]
        importlib.import_module(name).main(arguments)
    return folder


@pytest.fixture(scope="session")
def drawn():
    """The drawn facades."""
    return facades.load_facades("drawn")


@pytest.fixture(scope="session")
def few_drawn(tmp_path_factory):
    """A function that returns the path of a zip file of the first drawn facades."""

    def write(count, source=facades.DRAWN):
        path = tmp_path_factory.mktemp("drawn") / "few.zip"
        with zipfile.ZipFile(source) as every, zipfile.ZipFile(path, "w") as few:
            for name in sorted(every.namelist())[: 2 * count]:
                few.writestr(name, every.read(name))
        return path

    return write


@pytest.fixture
def run_script(tmp_path):
    """Start a script as a user would, in an empty folder, with no network and an empty cache."""

    def run(*arguments, wait=True, **options):
        environment = os.environ | {
            "KERAS_HOME": str(tmp_path / "keras-home"),
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
            "PYTHONPATH": PYTHONPATH,
        }
        options = {"cwd": tmp_path, "text": True, "env": environment} | options
        if arguments[0].endswith(".py"):
            arguments = (str(PROJECT / arguments[0]), *arguments[1:])
        command = [sys.executable, *arguments]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        if not wait:
            return subprocess.Popen(command, **options)
        return subprocess.run(command, timeout=120, **options)

    return run


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder in the place of Keras's cache, on a machine without internet."""

    def get_file(name, origin, cache_subdir):
        path = tmp_path / "cache" / cache_subdir / name
        if not path.exists():
            raise Exception(f"URL fetch failure on {origin}: None -- no internet in tests")
        return str(path)

    keras = importlib.import_module("keras")
    monkeypatch.setattr(keras.utils, "get_file", get_file)
    return tmp_path / "cache" / "datasets"


def exit_status(function, *arguments):
    """Call a `main` that is to leave by SystemExit, and return its status."""
    with pytest.raises(SystemExit) as leaving:
        function(*arguments)
    return leaving.value.code


@pytest.fixture
def error_of(capsys):
    """Call a `main` that is to fail with status 2 and one line on stderr; return that line."""

    def call(main, *arguments):
        capsys.readouterr()
        assert exit_status(main, list(arguments)) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and error.endswith("\n"), error
        return error

    return call


@pytest.fixture
def copied(trained, tmp_path):
    """A function that copies the finished run of a script, and returns the copy's folder."""
    return lambda name="cgan_fashion": shutil.copytree(trained / "runs" / name, tmp_path / "run")


@pytest.fixture
def old_run(copied):
    """Such a copy, which has to stay as it is while the test runs."""
    run = copied()
    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    yield run
    assert {path: path.read_bytes() for path in run.rglob("*.*")} == before


@pytest.fixture
def old_gan_run(copied):
    """One that a test may damage first: it is never repaired or overwritten."""
    run = copied("gan_fashion")
    before = (run / "generator.keras").read_bytes()
    yield run
    assert (run / "generator.keras").read_bytes() == before
    assert len(list((run / "samples").iterdir())) == 1
