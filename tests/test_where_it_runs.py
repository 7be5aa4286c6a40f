"""Where the scripts run: versions of Python, settings that Keras refuses, Windows, a GPU."""

import os
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


AREAS = "datasets environment facades files_and_plots generate hardware page resume survival"
AREAS += " training where_it_runs"


@pytest.mark.slow
def test_the_quick_tests_pass_without_what_only_unix_has():
    """As on Windows. All quick tests: PYTHONPATH=tests/without_unix python -m pytest"""
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "tests/without_unix")}
    options = {"cwd": PROJECT, "env": environment, "capture_output": True, "text": True}
    taken = "import os, signal; print(hasattr(os, 'fork'), hasattr(signal, 'SIGHUP')); import fcntl"
    done = subprocess.run([sys.executable, "-c", taken], **options)
    assert done.stdout == "False False\n" and "ModuleNotFoundError" in done.stderr
    files = [f"tests/test_{area}.py" for area in AREAS.split()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", *files], timeout=1200, **options
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 250, done.stdout


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
