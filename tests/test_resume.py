"""Going on with a run: to the bit, or not at all."""

import importlib
import json
import shutil
from types import SimpleNamespace

import cgan_fashion
from common.arguments import training_parser
from common.data import datasets
from common.training import folder, resuming

import keras
import numpy as np
import pytest
from conftest import TINY, exit_status
from runs import assert_same_run, change_state, contents, interrupt_after


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


def test_resuming_a_finished_run_changes_nothing(trained, tmp_path, capsys):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    before = contents(tmp_path / "run")
    cgan_fashion.main(["--resume", "--out", str(tmp_path / "run")])
    assert contents(tmp_path / "run") == before
    assert "All epochs are finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-size", "32"], "--batch-size 32 (it began with 16); --epochs"),
        (["--seed", "1"], "--seed 1 (it began with 0)"),
        (["--limit", "100"], "--limit 100 (it began with 64)"),
        (["--latent-dim", "7"], "--latent-dim 7 (it began with 6)"),
        (["--embedding-dim", "7"], "--embedding-dim 7 (it began with 50)"),
        (["--deterministic"], "--deterministic True (it began with False)"),
        (
            ["--seed", "1", "--limit", "99"],
            "--limit 99 (it began with 64), --seed 1 (it began with",
        ),
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


def test_resume_takes_equal_data_from_elsewhere(trained, tmp_path):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    images, labels, *_ = datasets.load_fashion_mnist("sample").limited(64, seed=0)
    np.savez(tmp_path / "equal.npz", x_train=images, y_train=labels)
    cgan_fashion.main(["--resume", "--out", f"{tmp_path}/run", "--data", f"{tmp_path}/equal.npz"])


def test_resume_says_how_to_go_on_with_images_that_have_moved(trained, tmp_path, error_of):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    resume = ["--resume", "--out", str(tmp_path / "run"), "--data", str(tmp_path / "gone")]
    words = "give auto, full, sample or a path; if the images have moved, --data says where to"
    assert words in error_of(cgan_fashion.main, *resume)


def test_resume_takes_what_auto_found_when_the_run_began(trained, tmp_path, monkeypatch):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    record["arguments"]["data"] = "auto"
    (tmp_path / "run/run.json").write_text(json.dumps(record))
    monkeypatch.setattr(keras.utils, "get_file", None)  # what auto would call first
    cgan_fashion.main(["--resume", "--out", str(tmp_path / "run")])


def test_resume_refuses_a_run_of_another_script(old_run, error_of):
    main = importlib.import_module("cgan_mnist").main
    error = error_of(main, "--resume", "--out", str(old_run))
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


def test_resume_refuses_a_damaged_checkpoint(trained, tmp_path, error_of):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    checkpoint = tmp_path / "run/checkpoint.npz"
    good = checkpoint.read_bytes()
    other = (trained / "runs/gan_fashion/checkpoint.npz").read_bytes()
    for content, words in (
        (good[:9999], "is damaged"),
        (b"", "is damaged"),
        (other, "belongs to a run of gan_fashion.py"),
    ):
        checkpoint.write_bytes(content)
        error = error_of(cgan_fashion.main, "--resume", "--epochs", "2", "--out", f"{tmp_path}/run")
        assert words in error and "checkpoint.npz" in error
        assert "replace --resume with --overwrite, which deletes this run, or" in error
        assert checkpoint.read_bytes() == content


GOOD = {"epochs": 1, "steps": 0, "sums": {}, "history": {"g_loss": [0.5]}, "seconds": 1.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 0}, "checkpoint.npz is a checkpoint of format 0, not of 4"),
        ({"format": None}, "is a checkpoint of format None"),
        ({"rng": {}}, "is damaged"),
        ({"progress": None}, "is damaged"),
        ({"progress": GOOD | {"epochs": []}}, "is damaged"),
        ({"progress": GOOD | {"history": []}}, "is damaged"),
        ({"progress": GOOD | {"seconds": "x"}}, "is damaged"),
        ({"progress": GOOD | {"epochs": 2}}, "the numbers do not fit together"),
        ({"progress": GOOD | {"steps": -1}}, "the numbers do not fit together"),
        ({"run": None}, "is damaged"),
        ({"script": "cgan_mnist"}, "a run of cgan_mnist.py, not of gan_fashion.py"),
        ({"versions": {"keras": "3.0.1"}}, f"Keras 3.0.1, and this is {keras.__version__}"),
    ],
    ids=str,
)
def test_resume_refuses_a_checkpoint_of_something_else(old_gan_run, error_of, changes, words):
    change_state(old_gan_run / "checkpoint.npz", **changes)
    main = importlib.import_module("gan_fashion").main
    error = error_of(main, "--resume", "--epochs", "2", "--out", str(old_gan_run))
    assert words in error and error.rstrip().endswith(folder.START_ANEW)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 5), "float32"), "is of other models: generator/000 is float32 (5, 5)"),
        (np.zeros((6, 6272), "int32"), "generator/000 is int32 (6, 6272) where float32 (6, 6272)"),
        (
            np.zeros((7, 6272), "float32"),
            "generator/000 is float32 (7, 6272) where float32 (6, 6272) is expected",
        ),
        (None, "generator/000 is missing"),
    ],
)
def test_resume_refuses_arrays_of_other_models(old_gan_run, error_of, array, words):
    path = old_gan_run / "checkpoint.npz"
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | {"generator/000": array}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    main = importlib.import_module("gan_fashion").main
    assert words in error_of(main, "--resume", "--epochs", "2", "--out", str(old_gan_run))


def test_resume_refuses_a_run_of_another_keras(old_gan_run, error_of):
    record = json.loads((old_gan_run / "run.json").read_text())
    record["versions"]["keras"] = "3.0.1"
    (old_gan_run / "run.json").write_text(json.dumps(record))
    main = importlib.import_module("gan_fashion").main
    error = error_of(main, "--resume", "--out", str(old_gan_run))
    assert "saved with Keras 3.0.1, and this is" in error and "pip install keras==3.0.1" in error


def test_resume_does_not_train_again_what_was_finished(trained, tmp_path, error_of):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    (tmp_path / "run/checkpoint.npz").unlink()
    error = error_of(cgan_fashion.main, "--resume", "--epochs", "2", "--out", f"{tmp_path}/run")
    assert "cannot resume after epoch 1: " in error and "has no checkpoint.npz; for a" in error


def test_interrupted_and_resumed_equals_uninterrupted(trained, tmp_path, monkeypatch):
    """Stopped by Ctrl-C in the first epoch."""
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        arguments = [*TINY, "--epochs", "1", "--out", str(tmp_path)]
        assert exit_status(cgan_fashion.main, arguments) == 130
    cgan_fashion.main(["--resume", "--out", str(tmp_path)])
    assert_same_run(tmp_path, trained / "runs/cgan_fashion")


def test_a_checkpoint_inside_an_epoch_every_so_many_minutes(tmp_path, monkeypatch):
    """Steps of 4 minutes, and a checkpoint when 10 are over: after steps 3 and 6, and the end."""
    clock, saved = iter(range(0, 10**6, 240)), []
    monkeypatch.setattr("common.training.run.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        "common.training.checkpoints.save", lambda *a: saved.append(a[2]["progress"]["steps"])
    )
    monkeypatch.setattr(cgan_fashion, "train", lambda *models_and_more: loop(models_and_more[-1]))

    def loop(run):
        for _epoch in run.epochs():
            for step in run.steps(8):
                run.log(g_loss=float(step))
            run.save_epoch()

    cgan_fashion.main([*TINY, "--epochs", "1", "--out", str(tmp_path)])
    assert saved == [3, 6, 0]


def test_resume_refuses_a_checkpoint_of_another_run(old_gan_run, error_of, tmp_path):
    """The models are the same, but not the latents of the pictures, nor the order of the images."""
    main = importlib.import_module("gan_fashion").main
    main([*TINY, "--seed", "1", "--epochs", "1", "--out", str(tmp_path / "other")])
    shutil.copy(tmp_path / "other/checkpoint.npz", old_gan_run)
    error = error_of(main, "--resume", "--epochs", "2", "--out", str(old_gan_run))
    assert "is of another run: its seed is 1, but 0 in" in error


def test_resuming_a_finished_run_brings_back_what_has_gone(trained, tmp_path):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    for name in ("generator.keras", "losses.csv"):
        (tmp_path / "run" / name).unlink()
    cgan_fashion.main(["--resume", "--out", str(tmp_path / "run")])
    assert_same_run(tmp_path / "run", trained / "runs/cgan_fashion")


@pytest.mark.parametrize("name", ["set=True", "set=False"])
def test_resume_goes_by_data_of_any_name(trained, tmp_path, name):
    record = json.loads((trained / "runs/gan_fashion/run.json").read_text())
    record |= {"epochs_finished": 0, "data": record["data"] | {"source": name}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    parser = training_parser("gan_fashion", "", epochs=1, batch_size=2, latent_dim=1)
    arguments = resuming.arguments_of(folder.read_record(tmp_path, "gan_fashion"), parser, [])
    assert arguments.data == name and not arguments.jit
