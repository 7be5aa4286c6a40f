"""What a machine does to a training: signals of a batch system, and a terminal that is gone."""

import json
import signal
import time

import pytest
from conftest import TINY

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
def test_a_signal_that_ends_a_process_saves_its_step(run_script, tmp_path, name, status):
    """SLURM and `docker stop` send SIGTERM, a closed SSH connection SIGHUP."""
    if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as nohup has it, and a training ignores it, too")
    folder = tmp_path / "runs/gan_fashion"
    process = run_script("gan_fashion.py", *TINY, "--epochs", "100000", wait=False)
    next(line for line in process.stdout if line.startswith("epoch 2/"))
    process.send_signal(getattr(signal, name))
    _, error = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in error
    assert "go on with: python gan_fashion.py --resume" in error
    assert '"state":"stopped"' in (folder / "index.html").read_text()
    finished = json.loads((folder / "run.json").read_text())["epochs_finished"]
    done = run_script("gan_fashion.py", "--resume", "--epochs", str(finished + 1))
    assert done.returncode == 0 and "Resuming after " in done.stdout


def test_training_goes_on_when_standard_output_is_gone(run_script, tmp_path):
    """As after `| head -1`."""
    process = run_script("gan_fashion.py", *TINY, "--epochs", "4", wait=False)
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        error = process.stderr.read()
    assert process.wait(timeout=60) == 0
    assert "Standard output cannot be written (Broken pipe): the training goes on" in error
    assert error.count("\n") == 1
    record = json.loads((tmp_path / "runs/gan_fashion/run.json").read_text())
    assert record["epochs_finished"] == 4


def test_a_pause_is_not_time_of_training(run_script, tmp_path):
    """A process that is stopped and continued, or a laptop that sleeps."""
    process = run_script("gan_fashion.py", *TINY, "--epochs", "6", wait=False)
    began = time.monotonic()
    next(line for line in process.stdout if line.startswith("epoch 2/"))
    process.send_signal(signal.SIGSTOP)
    time.sleep(10)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    seconds = json.loads((tmp_path / "runs/gan_fashion/run.json").read_text())["seconds"]
    assert 0 < seconds < time.monotonic() - began - 10
