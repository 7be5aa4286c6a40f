"""What a machine does to a training: signals of a batch system, and a terminal that is gone."""

import json
import os
import signal
import time

import pytest
from conftest import TINY
from runs import FILES, page_of

pytestmark = pytest.mark.slow
TERMINALS = pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
def test_a_signal_that_ends_a_process_saves_its_step(run_script, tmp_path, name):
    """Ctrl-C; SLURM and `docker stop`; a closed SSH connection; SLURM's `--signal=USR1@60`."""
    number = getattr(signal, name)
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as nohup has it, and a training ignores it, too")
    folder = tmp_path / "runs/gan_fashion"
    process = run_script("gan_fashion.py", *TINY, "--epochs", "100000", wait=False)
    next(line for line in process.stdout if line.startswith("epoch 2/"))
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in error
    assert "go on with: python gan_fashion.py --resume" in error
    assert page_of(folder)["state"] == "stopped"
    assert {path.name for path in folder.iterdir()} == FILES
    finished = json.loads((folder / "run.json").read_text())["epochs_finished"]
    done = run_script("gan_fashion.py", "--resume", "--epochs", str(finished + 1))
    assert done.returncode == 0 and "Resuming after " in done.stdout


@pytest.mark.parametrize("output", ["a pipe", pytest.param("a terminal", marks=TERMINALS)])
def test_training_goes_on_when_standard_output_is_gone(run_script, tmp_path, output):
    """As after `| head -1`, or when the window is closed of a process that is to stay."""
    reader, writer = os.pipe() if output == "a pipe" else os.openpty()
    process = run_script("gan_fashion.py", *TINY, "--epochs", "4", wait=False, stdout=writer)
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)
    with process.stderr:
        error = process.stderr.read()
    assert process.wait(timeout=60) == 0, error
    assert "Standard output cannot be written (" in error
    assert error.endswith("): the training goes on without it.\n") and error.count("\n") == 1
    record = json.loads((tmp_path / "runs/gan_fashion/run.json").read_text())
    assert record["epochs_finished"] == 4


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system has no such signal")
def test_a_pause_is_not_time_of_training(run_script, tmp_path):
    """A process that is stopped and continued, or a laptop that sleeps."""
    process = run_script("gan_fashion.py", *TINY, "--epochs", "6", wait=False)
    began = time.monotonic()
    next(line for line in process.stdout if line.startswith("epoch 2/"))
    process.send_signal(signal.SIGSTOP)
    time.sleep(6)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    seconds = json.loads((tmp_path / "runs/gan_fashion/run.json").read_text())["seconds"]
    assert 0 < seconds < time.monotonic() - began - 6
