"""Going on with a run: to the bit, or not at all."""

import json
import shutil
from types import SimpleNamespace

import cgan_fashion
import cgan_mnist
import gan_fashion
from common.data import datasets
from common.training import folder

import keras
import numpy as np
import pytest
from conftest import TINY
from runs import assert_same_run, change_state, interrupt_after, replace_training, weights


def change_record(run, **changes):
    """Change entries of run.json, each by a function."""
    record = json.loads((run / "run.json").read_text())
    record |= {name: change(record[name]) for name, change in changes.items()}
    (run / "run.json").write_text(json.dumps(record))


@pytest.mark.slow
def test_resume_is_exact(any_script, trained, tmp_path, monkeypatch):
    """An epoch, a crash inside the next, and the rest give the same bits as two in one go."""
    first = trained / "runs" / any_script.__name__
    resumed, in_one_go = tmp_path / "resumed", tmp_path / "in one go"
    shutil.copytree(first, resumed)
    resume = ["--resume", "--epochs", "2", "--out", str(resumed)]
    with monkeypatch.context() as patch:
        interrupt_after(3, patch, any_script, RuntimeError("the power is gone"))
        with pytest.raises(RuntimeError):
            any_script.main([*resume, "--checkpoint-minutes", "0"])
    with np.load(resumed / "checkpoint.npz") as archive:
        state = json.loads(archive["state"].tobytes())
    assert (state["progress"]["epochs"], state["progress"]["steps"]) == (1, 2)
    any_script.main(resume)
    any_script.main([*TINY, "--epochs", "2", "--out", str(in_one_go)])
    assert_same_run(resumed, in_one_go)
    picture = "samples/epoch_0001.png"
    assert (in_one_go / picture).read_bytes() == (first / picture).read_bytes()


@pytest.mark.parametrize("gone", [[], ["generator.keras", "losses.csv"]], ids=str)
def test_resuming_a_finished_run_changes_nothing(trained, copied, capsys, gone):
    """Files that have been deleted since are written again."""
    run = copied()
    for name in gone:
        (run / name).unlink()
    cgan_fashion.main(["--resume", "--out", str(run)])
    assert "All epochs are finished" in capsys.readouterr().out
    assert_same_run(run, trained / "runs/cgan_fashion")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-size", "32"], "--batch-size 32 (it began with 16); --epochs"),
        (["--embedding-dim", "7"], "--embedding-dim 7 (it began with 50)"),
        (["--deterministic"], "--deterministic True (it began with False)"),
        (["--seed", "1", "--limit", "9"], "--limit 9 (it began with 64), --seed 1 (it began with"),
    ],
)
def test_resume_keeps_the_arguments_of_the_run(old_run, error_of, arguments, words):
    error = error_of(cgan_fashion.main, "--resume", *arguments, "--out", str(old_run))
    assert words in error and "--checkpoint-minutes and the place of the --data may change" in error


def test_resume_refuses_other_data(old_run, error_of, tmp_path):
    images, labels, *_ = datasets.load_fashion_mnist("sample")
    np.savez(tmp_path / "other.npz", x_train=images[1000:2000], y_train=labels[1000:2000])
    other = str(tmp_path / "other.npz")
    error = error_of(cgan_fashion.main, "--resume", "--out", str(old_run), "--data", other)
    assert "not those that the run" in error


def test_resume_takes_equal_data_from_elsewhere(copied, tmp_path, error_of):
    resume = ["--resume", "--out", str(copied()), "--data"]
    images, labels, *_ = datasets.load_fashion_mnist("sample").limited(64, seed=0)
    np.savez(tmp_path / "equal.npz", x_train=images, y_train=labels)
    cgan_fashion.main([*resume, str(tmp_path / "equal.npz")])
    words = "give auto, full, sample or a path; if the images have moved, --data says where to"
    assert words in error_of(cgan_fashion.main, *resume, str(tmp_path / "gone"))


def test_resume_takes_what_auto_found_when_the_run_began(copied, monkeypatch):
    run = copied()
    change_record(run, arguments=lambda arguments: arguments | {"data": "auto"})
    monkeypatch.setattr(keras.utils, "get_file", None)  # what auto would call first
    cgan_fashion.main(["--resume", "--out", str(run)])


def test_resume_refuses_a_run_of_another_script(old_run, error_of):
    error = error_of(cgan_mnist.main, "--resume", "--out", str(old_run))
    assert "belongs to a run of cgan_fashion.py" in error and "with its own script" in error


def test_resume_needs_a_run(tmp_path, error_of):
    error = error_of(cgan_fashion.main, "--resume", "--out", str(tmp_path / "none"))
    assert "holds no run to resume: leave out --resume, or choose the folder with --out" in error
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"script": "cgan_fashion"}'])
def test_resume_refuses_a_damaged_record(tmp_path, error_of, content):
    (tmp_path / "run.json").write_bytes(content)
    error = error_of(cgan_fashion.main, "--resume", "--out", str(tmp_path))
    assert "run.json is damaged" in error and error.rstrip().endswith(folder.START_ANEW)


def test_resume_refuses_a_damaged_checkpoint(old_gan_run, trained, error_of):
    checkpoint = old_gan_run / "checkpoint.npz"
    other = (trained / "runs/cgan_fashion/checkpoint.npz").read_bytes()
    for content, words in (
        (checkpoint.read_bytes()[:9999], "is damaged"),
        (b"", "is damaged"),
        (other, "belongs to a run of cgan_fashion.py"),
        (None, "cannot resume after epoch 1: "),  # never trained again
    ):
        checkpoint.unlink()
        if content is not None:
            checkpoint.write_bytes(content)
        error = error_of(gan_fashion.main, "--resume", "--epochs", "2", "--out", str(old_gan_run))
        assert words in error and "checkpoint.npz" in error
        assert "replace --resume with --overwrite, which deletes this run, or" in error
        assert content is None or checkpoint.read_bytes() == content


GOOD = {"epochs": 1, "steps": 0, "sums": {}, "history": {"g_loss": [0.5]}, "seconds": 1.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 0}, "checkpoint.npz is a checkpoint of format 0, not of 5"),
        ({"rng": {}}, "is damaged"),
        ({"progress": None}, "is damaged"),
        ({"progress": GOOD | {"epochs": []}}, "is damaged"),
        ({"progress": GOOD | {"epochs": 2}}, "the numbers do not fit together"),
        ({"run": None}, "is damaged"),
        ({"script": "cgan_mnist"}, "a run of cgan_mnist.py, not of gan_fashion.py"),
        ({"versions": {"keras": "3.0.1"}}, f"Keras 3.0.1, and this is {keras.__version__}"),
    ],
    ids=str,
)
def test_resume_refuses_a_checkpoint_of_something_else(old_gan_run, error_of, changes, words):
    change_state(old_gan_run / "checkpoint.npz", **changes)
    error = error_of(gan_fashion.main, "--resume", "--epochs", "2", "--out", str(old_gan_run))
    assert words in error and error.rstrip().endswith(folder.START_ANEW)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 5), "float32"), "is of other models: generator/000 is float32 (5, 5)"),
        (np.zeros((6, 6272), "int32"), "generator/000 is int32 (6, 6272) where float32 (6, 6272)"),
        (None, "generator/000 is missing"),
    ],
)
def test_resume_refuses_arrays_of_other_models(old_gan_run, error_of, array, words):
    path = old_gan_run / "checkpoint.npz"
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | {"generator/000": array}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    assert words in error_of(
        gan_fashion.main, "--resume", "--epochs", "2", "--out", str(old_gan_run)
    )


def test_resume_refuses_a_run_of_another_keras(old_gan_run, error_of):
    change_record(old_gan_run, versions=lambda versions: versions | {"keras": "3.0.1"})
    error = error_of(gan_fashion.main, "--resume", "--out", str(old_gan_run))
    assert "saved with Keras 3.0.1, and this is" in error and "pip install keras==3.0.1" in error


def test_a_checkpoint_inside_an_epoch_every_so_many_minutes(tmp_path, monkeypatch):
    """Steps of 4 minutes, and a checkpoint when 10 are over: after step 3, and at the end."""
    clock, saved = iter(range(0, 10**6, 240)), []
    monkeypatch.setattr("common.training.run.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        "common.training.checkpoints.save", lambda *a: saved.append(a[2]["progress"]["steps"])
    )
    replace_training(monkeypatch)
    cgan_fashion.main([*TINY, "--epochs", "2", "--out", str(tmp_path)])
    assert saved == [3, 0, 3, 0]


def test_resume_refuses_a_checkpoint_of_another_run(old_gan_run, error_of, tmp_path):
    """With another seed: other weights, latents of the pictures, and order of the images."""
    gan_fashion.main([*TINY, "--seed", "1", "--epochs", "1", "--out", str(tmp_path / "other")])
    one, other = (weights(run)["generator/000"] for run in (old_gan_run, tmp_path / "other"))
    assert not np.array_equal(one, other)
    shutil.copy(tmp_path / "other/checkpoint.npz", old_gan_run)
    error = error_of(gan_fashion.main, "--resume", "--epochs", "2", "--out", str(old_gan_run))
    assert "is of another run: its seed is 1, but 0 in" in error
