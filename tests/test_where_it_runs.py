"""Where the scripts run: versions of Python, settings that Keras refuses, Windows, a GPU."""

import re
import subprocess
import sys
import tomllib

import benchmark
import gpu_check
import pytest
from conftest import PROJECT, TINY

REQUIREMENTS = (PROJECT / "requirements.txt").read_text()


def test_the_versions_of_python_are_the_same_everywhere():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11,<3.14"
    assert project["tool"]["setuptools"]["dynamic"] == {
        "dependencies": {"file": "requirements.txt"}
    }
    assert 'python_version < "3.11" or python_version >= "3.14"' in REQUIREMENTS
    for readme in [PROJECT / "README.md", *PROJECT.glob("docs/*/README.md")]:
        assert re.search(r"3\.11\D{1,4}3\.13\D", readme.read_text(encoding="utf-8")), readme
    assert (3, 11) <= sys.version_info[:2] <= (3, 13)


def test_pip_says_which_python_is_needed(tmp_path):
    """The line of requirements.txt for other versions, taken for this one."""
    line = next(line for line in REQUIREMENTS.splitlines() if "file:///" in line)
    (tmp_path / "requirements.txt").write_text(line.partition(" ; ")[0])
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--dry-run", "-r"]
    done = subprocess.run(
        [*pip, "requirements.txt"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    if "No module named pip" in done.stderr:
        pytest.skip("there is no pip in this environment")
    assert done.returncode == 1 and "needed-is-Python-3.11-to-3.13" in done.stderr


def test_a_python_without_the_packages_is_named(run_script):
    done = run_script("-S", str(PROJECT / "cgan_fashion.py"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"keras is not installed for {sys.executable}, Python 3.1")
    assert done.stderr.endswith("pip install -r requirements.txt, with Python 3.11 to 3.13\n")


@pytest.mark.parametrize("settings", ['{"floatx": "bfloat16"}', '{"epsilon": 1}', "[]"])
def test_settings_that_keras_refuses_are_one_line(settings, run_script, tmp_path):
    (tmp_path / "keras-home").mkdir()
    (tmp_path / "keras-home/keras.json").write_text(settings)
    done = run_script("cgan_fashion.py", *TINY)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"{tmp_path / 'keras-home/keras.json'}: ")
    assert done.stderr.endswith("; correct the file, or delete it\n")


WINDOWS = """
import os, signal, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for module, names in ((signal, ("SIGHUP", "SIGKILL")), (os, ("fork", "sched_getaffinity"))):
    for name in names:
        delattr(module, name)
import cgan_fashion, generate
sys.argv = ["cgan_fashion.py"]
cgan_fashion.main([*sys.argv_of_the_test, "--epochs", "1"])
cgan_fashion.main(["--resume", "--epochs", "2"])
generate.main(["--model", "cgan", "--count", "4"])
"""


def test_a_training_without_what_only_unix_has(run_script, tmp_path):
    """As on Windows: modules, signals and functions that are not there."""
    done = run_script("-c", WINDOWS.replace("sys.argv_of_the_test", repr(TINY)))
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "runs/cgan_fashion/losses.csv").read_text().count("\n") == 3
    assert list(tmp_path.glob("generated/*.png"))


@pytest.mark.slow
def test_the_gpu_check_runs_through(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "MODES", ([], ["--gpus", "all"], ["--no-such-option"]))
    benchmark.main(["--gpu-check", "cgan_mnist"])
    *_, device, head, plain, gpus, failed, end = capsys.readouterr().out.splitlines()
    assert head == gpu_check.HEAD and end == "```" and "TensorFlow 2." in device
    name, mode, repeats, *numbers = plain.split()
    assert (name, mode, repeats) == ("cgan_mnist", "float32", "yes")
    assert len(numbers) == 4 and all(float(number) > 0 for number in numbers)
    assert "FAILS: status 2, " in failed
    if device.startswith("no GPU: "):
        assert gpus.endswith("not tried: no GPU")
