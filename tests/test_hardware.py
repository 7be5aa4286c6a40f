"""What a run says of the devices it trains on."""

import json
import os
import re
from types import SimpleNamespace

import gan_fashion
from common.training import hardware

import pytest
from conftest import TINY
from runs import page_of

TWO_KINDS = "NVIDIA Small, 8192 MiB\nNVIDIA Big, 16160 MiB\nNVIDIA Big, 16160 MiB\n"


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi but that of a test
    monkeypatch.setattr(hardware, "DRIVER_FILES", ())


@pytest.fixture
def big_gpus(monkeypatch, tmp_path):
    """A function that pretends that there are GPUs, and an `nvidia-smi` that prints a text."""

    def pretend(count, printed, status=0):
        config = SimpleNamespace(
            get_visible_devices=lambda _kind: ["GPU"] * count,
            list_physical_devices=lambda _kind: ["GPU"] * count,
            experimental=SimpleNamespace(
                get_device_details=lambda _gpu: {"device_name": "NVIDIA Big"}
            ),
        )
        monkeypatch.setattr(hardware, "tf", SimpleNamespace(config=config))
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho '{printed}'\nexit {status}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return pretend


@pytest.mark.skipif(os.name == "nt", reason="the pretended nvidia-smi is a shell script")
@pytest.mark.parametrize(
    ("gpus", "devices", "printed", "status", "words"),
    [
        (1, 1, TWO_KINDS, 0, "NVIDIA Big (16 GB)"),
        (2, 2, TWO_KINDS, 0, "2 x NVIDIA Big (16 GB)"),
        (1, 4, "Big with another name, 81920 MiB", 0, "4 devices, here NVIDIA Big (80 GB)"),
        (1, 1, "NVIDIA Big, [N/A]", 0, "NVIDIA Big"),
        (1, 1, "NVIDIA-SMI has failed: no driver", 9, "NVIDIA Big"),
        (1, 1, "", 0, "NVIDIA Big"),
    ],
)
def test_a_gpu_and_its_memory(big_gpus, gpus, devices, printed, status, words):
    big_gpus(gpus, printed, status)
    assert hardware.describe(devices) == words


@pytest.mark.parametrize("expected", [r"\d+ CPU cores?|.*NVIDIA.*", r"NVIDIA Big \(16 GB\)"])
def test_the_device_is_in_the_first_line_in_run_json_and_on_the_page(
    big_gpus, capsys, tmp_path, expected
):
    if "Big" in expected:
        big_gpus(1, TWO_KINDS)
    gan_fashion.main([*TINY, "--epochs", "1"])
    first = capsys.readouterr().out.splitlines()[0]
    (device,) = re.findall(r"batches of 16 on (.*), into", first)
    assert re.fullmatch(expected, device)
    folder = tmp_path / "runs/gan_fashion"
    assert json.loads((folder / "run.json").read_text())["device"] == device
    assert page_of(folder)["record"]["device"] == device


@pytest.mark.parametrize("visible", [None, "0", "", "-1"])
def test_a_gpu_that_is_not_used_is_a_warning(monkeypatch, tmp_path, capsys, visible):
    """A driver is there, and TensorFlow without CUDA. A batch system has chosen the GPU 0."""
    if hardware.tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow finds a GPU here")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    hardware.warn_of_unused_gpu()
    assert capsys.readouterr().err == ""
    (tmp_path / "version").touch()
    monkeypatch.setattr(hardware, "DRIVER_FILES", (str(tmp_path / "version"),))
    hardware.warn_of_unused_gpu()
    warning = capsys.readouterr().err
    if visible in ("", "-1"):  # the user wants none
        assert warning == ""
    else:
        assert "finds no GPU: pip install 'tensorflow[and-cuda]'" in warning
        assert warning.count("\n") == 1
