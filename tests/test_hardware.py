"""What a run says of the devices it trains on."""

import json
import re

import gan_fashion
from common.training import hardware

import pytest
from conftest import TINY


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hardware.shutil, "which", lambda _program: None)
    monkeypatch.setattr(hardware, "DRIVER_FILES", ())


def test_the_device_is_in_the_first_line_in_run_json_and_on_the_page(capsys, tmp_path):
    gan_fashion.main([*TINY, "--epochs", "1"])
    first = capsys.readouterr().out.splitlines()[0]
    (device,) = re.findall(r"batches of 16 on (.*), into", first)
    assert re.fullmatch(r"\d+ CPU cores?|.*NVIDIA.*", device)
    folder = tmp_path / "runs/gan_fashion"
    assert json.loads((folder / "run.json").read_text())["device"] == device
    assert f'"device":"{device}"' in (folder / "index.html").read_text()


def test_a_gpu_that_is_not_used_is_a_warning(monkeypatch, tmp_path, capsys):
    """A driver is there, and TensorFlow without CUDA."""
    if hardware.tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow finds a GPU here")
    hardware.warn_of_unused_gpu()
    assert capsys.readouterr().err == ""
    (tmp_path / "version").touch()
    monkeypatch.setattr(hardware, "DRIVER_FILES", (str(tmp_path / "version"),))
    hardware.warn_of_unused_gpu()
    warning = capsys.readouterr().err
    assert "finds no GPU: pip install 'tensorflow[and-cuda]'" in warning
    assert warning.count("\n") == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the user wants none
    hardware.warn_of_unused_gpu()
    assert capsys.readouterr().err == ""
