"""What may happen to a run, and what is never lost by it."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import cgan_fashion
import gan_fashion
from common.models.generators import Generator

import keras
import numpy as np
import pytest
from conftest import TINY, exit_status
from runs import assert_same_run, interrupt_after, page_of, replace_training, weights

try:
    import resource
except ImportError:  # Windows
    resource = None


# 4 steps an epoch: in the first epoch; in its last step; in the second epoch.
@pytest.mark.parametrize(
    ("epochs", "step", "saved"),
    [
        (1, 3, "0 epochs and 3 steps"),
        pytest.param(2, 4, "1 epoch", marks=pytest.mark.slow),
        pytest.param(2, 5, "1 epoch and 1 step", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_and_resume(trained, tmp_path, monkeypatch, capsys, epochs, step, saved):
    """The step is finished and saved, the last line says how to go on, and the bits are the same
    as without."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs/cgan_fashion"
    with monkeypatch.context() as patch:
        interrupt_after(step, patch)
        usual_handler = signal.getsignal(signal.SIGINT)
        assert exit_status(cgan_fashion.main, [*TINY, "--epochs", str(epochs)]) == 130
        assert signal.getsignal(signal.SIGINT) is usual_handler
    shown = capsys.readouterr()
    assert f"\nTo watch the training, open {Path('runs/cgan_fashion/index.html')}\n" in shown.out
    assert shown.err.splitlines()[-1] == (
        f"cgan_fashion.py: stopped with {saved} saved in runs/cgan_fashion; "
        "go on with: python cgan_fashion.py --resume"
    )
    page = page_of(run)
    assert (page["state"], page["message"]) == ("stopped", f"Stopped with {saved} saved.")
    assert len(list((run / "samples").iterdir())) == (step >= 4)
    cgan_fashion.main(["--resume"])
    assert f"Resuming after {saved}." in capsys.readouterr().out
    assert page_of(run)["state"] == "finished"
    assert len(list((run / "samples").iterdir())) == epochs
    if epochs == 1:
        assert_same_run(run, trained / "runs/cgan_fashion")


@pytest.mark.slow
def test_two_processes_never_train_in_one_folder(tmp_path, error_of, run_script):
    first = run_script("gan_fashion.py", *TINY, "--epochs", "100000", wait=False)
    next(line for line in first.stdout if line.startswith("epoch 1/"))
    folder = str(tmp_path / "runs/gan_fashion")
    for arguments in (["--resume"], ["--overwrite", *TINY]):
        error = error_of(gan_fashion.main, *arguments, "--out", folder)
        assert "another process is training in" in error
    first.kill()  # which leaves it no time to tidy up
    first.communicate()
    gan_fashion.main(["--resume", "--epochs", "1", "--out", folder])


def diverging(monkeypatch, at_step, spoil):
    """Let the composite's `train_on_batch` spoil something in one step."""
    original, calls = keras.Model.train_on_batch, []

    def train_on_batch(model, *arguments, **options):
        losses = original(model, *arguments, **options)
        if model.name.endswith("_composite"):
            calls.append(1)
            if len(calls) == at_step:
                return spoil(model, losses)
        return losses

    monkeypatch.setattr(keras.Model, "train_on_batch", train_on_batch)


def weights_are_nan(model, losses):
    model.trainable_variables[0].assign(model.trainable_variables[0] * np.nan)
    return losses


# The loss of a step is that before its update, so the loss alone would tell of weights too late.
@pytest.mark.parametrize(
    ("spoil", "step", "minutes", "words"),
    [
        (lambda *_: np.nan, 2, "10", "g_loss nan"),
        pytest.param(lambda *_: -np.inf, 2, "10", "g_loss -inf", marks=pytest.mark.slow),
        pytest.param(weights_are_nan, 4, "10", "weights are NaN", marks=pytest.mark.slow),
        pytest.param(weights_are_nan, 2, "0", "weights are NaN", marks=pytest.mark.slow),
    ],
)
def test_diverged_training_stops_and_keeps_the_last_generator(
    copied, monkeypatch, capsys, spoil, step, minutes, words
):
    run = copied("gan_fashion")
    before = (run / "generator.keras").read_bytes()
    diverging(monkeypatch, step, spoil)
    arguments = ["--resume", "--epochs", "9", "--checkpoint-minutes", minutes, "--out", str(run)]
    assert exit_status(gan_fashion.main, arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
    assert "weights" in words or "diverged at step 2 of epoch 2: d_loss_real" in error
    assert f"the generator of epoch 1 stays in {run}" in error
    assert page_of(run)["state"] == "failed" and words in page_of(run)["message"]
    assert (run / "generator.keras").read_bytes() == before
    assert np.isfinite(weights(run)["generator/000"]).all()


@pytest.mark.parametrize(
    ("problem", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "stopped with 0 epochs saved"),
        (OSError(28, "No space left on device", "checkpoint.npz"), 1, "checkpoint.npz: No space"),
    ],
)
def test_the_checkpoint_is_saved_after_all_that_it_stands_for(
    tmp_path, monkeypatch, capsys, problem, status, words
):
    def no_checkpoint(*_arguments):
        assert (tmp_path / "generator.keras").exists() and (tmp_path / "losses.csv").exists()
        raise problem

    replace_training(monkeypatch)
    monkeypatch.setattr("common.training.checkpoints.save", no_checkpoint)
    arguments = [*TINY, "--epochs", "2", "--out", str(tmp_path)]
    assert exit_status(cgan_fashion.main, arguments) == status
    assert words in capsys.readouterr().err


def test_a_run_is_not_overwritten_silently(old_run, error_of):
    error = error_of(cgan_fashion.main, *TINY, "--out", str(old_run))
    assert "--resume" in error and "--overwrite" in error
    error = error_of(cgan_fashion.main, "--resume", "--overwrite", "--out", str(old_run))
    assert "--overwrite is not allowed with --resume" in error


def test_a_folder_without_record_can_only_be_overwritten(tmp_path, error_of):
    (tmp_path / "generator.keras").write_bytes(b"of another time")
    error = error_of(cgan_fashion.main, *TINY, "--out", str(tmp_path))
    assert "already holds a run: --overwrite deletes it" in error and "--resume" not in error


def test_overwrite_deletes_the_run_and_nothing_else(copied, monkeypatch):
    run = copied()
    (run / "samples/epoch_0050.png").write_bytes(b"of the old run")
    (run / "samples/.epoch_0051.writing.png").write_bytes(b"half of one")
    (run / "notes.txt").write_text("mine")
    (run / "samples/favourite.png").write_bytes(b"mine")
    replace_training(monkeypatch)
    cgan_fashion.main([*TINY, "--epochs", "1", "--overwrite", "--out", str(run)])
    assert (run / "notes.txt").read_text() == "mine"
    assert {path.name for path in (run / "samples").iterdir()} == {"favourite.png"}


@pytest.mark.slow
def test_killed_at_any_moment(run_script, tmp_path):
    """SIGKILL at 20 random moments, most of them while a file is being written."""
    moments = np.random.default_rng(0)
    folder = tmp_path / "runs/gan_fashion"

    def prepare(*arguments):
        """A process that has imported everything and begins when it reads a line."""
        begin = "import sys, gan_fashion; sys.stdin.readline(); gan_fashion.main()"
        arguments = [*arguments, "--checkpoint-minutes", "0"]
        return run_script("-c", begin, *arguments, wait=False, stdin=subprocess.PIPE)

    process = prepare(*TINY, "--epochs", "1000")
    for _trial in range(20):
        following = prepare("--resume")
        print(file=process.stdin, flush=True)
        assert "gan_fashion: 64 images" in process.stdout.readline(), process.stderr.read()
        time.sleep(moments.uniform(0, 3))
        process.kill()
        process.communicate()
        if (folder / "generator.keras").exists():
            generator = Generator(folder / "generator.keras").model
            assert np.isfinite(generator.predict_on_batch(np.zeros((1, 6), "float32"))).all()
        half_written = [path.name for path in folder.rglob("*.writing.*")]
        assert len(half_written) <= 1, half_written
        process = following
    print(file=process.stdin, flush=True)
    assert any(line.startswith("epoch ") for line in process.stdout), process.stderr.read()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert not list(folder.rglob("*.writing.*"))
    finished = json.loads((folder / "run.json").read_text())["epochs_finished"]
    gan_fashion.main(["--resume", "--epochs", str(finished + 1), "--out", str(folder)])
    in_one_go = tmp_path / "in one go"
    gan_fashion.main([*TINY, "--epochs", str(finished + 1), "--out", str(in_one_go)])
    assert_same_run(folder, in_one_go)


@pytest.mark.slow
@pytest.mark.skipif(resource is None, reason="this system has no limits on the size of a file")
@pytest.mark.parametrize(
    ("most_bytes", "failing"),
    [(100, "run.json"), (10**6, "generator.keras"), (4 * 10**6, "checkpoint.npz")],
)
def test_no_room_for_a_file(copied, capsys, most_bytes, failing):
    """A file system that takes only so many bytes in a file, much like a full disk or a quota."""
    run = copied("gan_fashion")
    before = {path.name: path.read_bytes() for path in run.rglob("*.*")}
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, usual[1]))
    try:
        status = exit_status(gan_fashion.main, ["--resume", "--epochs", "2", "--out", str(run)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert status == 1
    error = capsys.readouterr().err
    assert error.startswith(f"gan_fashion.py: error: {run}") and error.count("\n") == 1
    assert error.endswith(f"{failing}: File too large\n")
    assert not list(run.rglob("*.writing.*"))
    assert failing not in before or (run / failing).read_bytes() == before[failing]
    assert (run / "checkpoint.npz").read_bytes() == before["checkpoint.npz"]
    Generator(run / "generator.keras").load()
    if failing == "checkpoint.npz":  # the last one of all
        gan_fashion.main(["--resume", "--epochs", "2", "--out", str(run)])


@pytest.mark.slow
@pytest.mark.parametrize("becomes", ["nothing", "a file", "a folder"])
def test_the_folder_vanishes(tmp_path, monkeypatch, capsys, becomes):
    """Perhaps it is the folder of another training by now: nothing is written there."""
    run, moved = tmp_path / "run", tmp_path / "moved"
    original = cgan_fashion.generate_fake_samples

    def generate_fake_samples(*arguments):
        if not moved.exists():
            run.rename(moved)
            if becomes == "a file":
                run.write_text("mine")
            if becomes == "a folder":
                run.mkdir()
        return original(*arguments)

    monkeypatch.setattr(cgan_fashion, "generate_fake_samples", generate_fake_samples)
    assert exit_status(cgan_fashion.main, [*TINY, "--epochs", "1", "--out", str(run)]) == 1
    problem = "another folder has taken its place"
    if becomes == "nothing":
        problem = "No such file or directory"
    assert capsys.readouterr().err == f"cgan_fashion.py: error: {run}: {problem}\n"
    assert becomes != "a folder" or not list(run.iterdir())


@pytest.mark.slow
def test_deterministic(run_script):
    """The option has TensorFlow refuse whatever would not repeat, and training goes through."""
    program = (
        "import gan_fashion, sys; from tensorflow.python.framework import config; "
        "gan_fashion.main(sys.argv[1:]); print(config.is_op_determinism_enabled())"
    )
    done = run_script("-c", program, *TINY, "--epochs", "1", "--deterministic")
    assert done.stdout.splitlines()[-1] == "True", done.stderr


def test_overwrite_looks_before_it_deletes(copied, error_of):
    run = copied("gan_fashion")
    shutil.rmtree(run / "samples")
    (run / "samples").write_text("mine")
    error = error_of(gan_fashion.main, *TINY, "--overwrite", "--out", str(run))
    assert "samples is a file" in error and (run / "generator.keras").exists()
