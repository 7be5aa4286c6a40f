"""Environments as people have them: other settings of Keras and matplotlib, consoles, memory."""

import os
import subprocess
import sys
from types import SimpleNamespace

import cgan_fashion
import generate

import numpy as np
import pytest
import tensorflow
from conftest import PROJECT, PYTHONPATH, TINY, exit_status
from runs import replace_training

CODE = """
import sys
import cgan_fashion, generate
sys.argv = ["cgan_fashion.py"]
cgan_fashion.main(sys.stdin.buffer.read().decode("utf-8").split())
generate.main(["--model", "runs/größe", "--count", "4", "--out", "größe.png", "--show"])
"""


@pytest.mark.slow
def test_settings_for_other_programs_do_no_harm(run_script, tmp_path):
    """Those of a notebook, of keras.json, of another backend, and a console in plain ASCII."""
    (tmp_path / "keras-home").mkdir()
    (tmp_path / "keras-home/keras.json").write_text(
        '{"floatx": "float16", "backend": "jax", "image_data_format": "channels_first"}'
    )
    environment = {
        **{"KERAS_HOME": str(tmp_path / "keras-home"), "PYTHONPATH": PYTHONPATH},
        **{"MPLBACKEND": "module://not_installed.backend_inline", "KERAS_FLOATX": "float64"},
        **{"KERAS_BACKEND": "jax", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=" ".join([*TINY, "--epochs", "1", "--out", "runs/größe"]),
        **{"cwd": tmp_path, "env": os.environ | environment, "text": True, "encoding": "utf-8"},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stderr.splitlines()
    assert first == "These scripts need TensorFlow: KERAS_BACKEND=jax is ignored."
    assert last.startswith("Cannot show gr") and "MPLBACKEND=module://not_installed" in last
    assert done.stdout.splitlines()[-1] == r"gr\xf6\xdfe.png"
    assert (tmp_path / "größe.png").is_file()


def test_common_after_keras_is_a_warning():
    source = (PROJECT / "common/__init__.py").read_text()
    with pytest.warns(UserWarning, match="import common before keras and tensorflow"):
        exec(source, {})  # in this process, which has imported keras


def test_arrays_are_saved_before_anything_is_printed(trained, tmp_path, monkeypatch):
    def no_space(_text):
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=no_space, flush=lambda: None))
    arguments = ["--model", str(trained / "runs/gan_fashion"), "--count", "1"]
    arguments += ["--out", "a.png", "--save-arrays", "a.npz"]
    assert exit_status(generate.main, arguments) == 2
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["images"].shape == (1, 28, 28, 1)


def test_out_of_memory_is_one_line_and_a_run_that_trained_nothing_is_none(
    tmp_path, monkeypatch, capsys
):
    """Starting again needs no option."""

    def no_memory(_run):
        raise tensorflow.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    replace_training(monkeypatch, no_memory)
    arguments = [*TINY, "--epochs", "1", "--out", str(tmp_path)]
    assert exit_status(cgan_fashion.main, arguments) == 1
    assert capsys.readouterr().err == (
        f"cgan_fashion.py: error: out of memory, with 0 epochs saved in {tmp_path}; "
        "give a smaller --batch-size, --image-size or --width\n"
    )
    replace_training(monkeypatch)
    cgan_fashion.main(arguments)


def test_ctrl_c_before_the_folder_is_made_says_so(tmp_path, monkeypatch, capsys):
    def interrupt(*_models, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("common.training.run.quicken", interrupt)
    assert exit_status(cgan_fashion.main, [*TINY, "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err == "cgan_fashion.py: stopped before the training began\n"
    monkeypatch.setattr("keras.utils.set_random_seed", interrupt)
    assert exit_status(cgan_fashion.main, [*TINY, "--out", str(tmp_path / "run")]) == 130
