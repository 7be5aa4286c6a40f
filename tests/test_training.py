"""Runs: the recipe, the folder, resuming, stopping, and what is refused."""

import contextlib
import csv
import importlib
import json
import os
import shutil
import signal
from types import SimpleNamespace

import cgan_fashion
from common import datasets

import keras
import numpy as np
import pytest
from conftest import SCRIPTS, TINY, OneEpoch, exit_status

FILES = {"run.json", "checkpoint.npz", "generator.keras", "losses.csv", "losses.png", "samples"}
GAN_LOSSES = ["d_loss_real", "d_loss_fake", "g_loss", "d_accuracy_real", "d_accuracy_fake"]
LOSSES = {"wgan_gp_fashion": ["wasserstein", "gradient_penalty", "gradient_norm", "g_loss"]}


def contents(folder):
    """The bytes of every file in a run folder but those that hold times and dates."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("run.json", "checkpoint.npz", "generator.keras")
    }


def weights(folder):
    """All arrays of a checkpoint but the one with the times in it."""
    with np.load(folder / "checkpoint.npz") as archive:
        return {name: archive[name] for name in archive.files if name != "state"}


def assert_same_run(one, other):
    assert contents(one) == contents(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    generators = [keras.saving.load_model(run / "generator.keras") for run in (one, other)]
    assert all(map(np.array_equal, *(model.get_weights() for model in generators)))


def test_a_step_is_two_half_batches_and_one_batch(script, monkeypatch):
    d_model, g_model = script.define_discriminator(), script.define_generator(latent_dim=6)
    gan_model = script.define_gan(g_model, d_model)
    calls = []
    for name, model in (("d", d_model), ("gan", gan_model)):

        def recording(inputs, target, name=name, original=model.train_on_batch):
            assert all(len(array) == len(target) for array in keras.tree.flatten(inputs))
            calls.append((name, len(target), set(target.ravel().tolist())))
            return original(inputs, target)

        monkeypatch.setattr(model, "train_on_batch", recording)
    monkeypatch.setattr(g_model, "predict", None)  # slow: not in the loop
    dataset = datasets.load_mnist("sample")
    dataset = dataset._replace(images=dataset.images[:35], labels=dataset.labels[:35])
    run = OneEpoch()
    script.train(g_model, d_model, gan_model, dataset, 6, 10, run)
    real, fake = (0, 1) if script.__name__ == "cgan_mnist" else (1, 0)
    assert calls == [("d", 5, {real}), ("d", 5, {fake}), ("gan", 10, {real})] * 3
    assert [list(losses) for losses in run.logged] == [GAN_LOSSES] * 3


def test_the_run_folder(trained):
    for name in SCRIPTS:
        folder = trained / "runs" / name
        assert {path.name for path in folder.iterdir()} == FILES
        assert [path.name for path in (folder / "samples").iterdir()] == ["epoch_0001.png"]
        record = json.loads((folder / "run.json").read_text())
        assert record["script"] == name and record["epochs_finished"] == 1
        assert record["arguments"]["limit"] == 64 and record["arguments"]["seed"] == 0
        assert record["data"]["source"] == "sample" and record["data"]["images"] == 64
        assert record["versions"].keys() == {"python", "keras", "tensorflow", "numpy"}
        with open(folder / "losses.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 1 and list(rows[0]) == ["epoch", *LOSSES.get(name, GAN_LOSSES)]
        assert all(np.isfinite(float(value)) for value in rows[0].values())


def test_the_saved_generator_is_made_of_stock_layers(trained):
    for name in SCRIPTS:
        path = trained / "runs" / name / "generator.keras"
        generator = keras.saving.load_model(path, safe_mode=True)
        assert all(type(layer).__module__.startswith("keras.") for layer in generator.layers)


def test_the_losses_are_means_over_the_steps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cgan_fashion, "train", lambda *models_and_more: log(models_and_more[-1]))

    def log(run):
        for _epoch in run.epochs(lambda path: path.write_bytes(b"")):
            for step in run.steps(4):
                run.log(g_loss=float(step), d_loss=1.0)

    cgan_fashion.main([*TINY, "--epochs", "2", "--out", str(tmp_path / "run")])
    assert (tmp_path / "run/losses.csv").read_text() == (
        "epoch,g_loss,d_loss\n1,2.500000,1.000000\n2,2.500000,1.000000\n"
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("epoch")] == [
        "epoch 1/2: g_loss 2.500, d_loss 1.000; 0 s left",
        "epoch 2/2: g_loss 2.500, d_loss 1.000; 0 s left",
    ]


def test_resume_is_exact_and_the_seed_decides(any_script, trained, tmp_path):
    """One epoch and then another give the same bits as two in one go."""
    first = trained / "runs" / any_script.__name__
    shutil.copytree(first, tmp_path / "resumed")
    any_script.main(["--resume", "--epochs", "2", "--out", str(tmp_path / "resumed")])
    any_script.main([*TINY, "--epochs", "2", "--out", str(tmp_path / "in one go")])
    assert_same_run(tmp_path / "resumed", tmp_path / "in one go")
    picture = "samples/epoch_0001.png"
    assert (tmp_path / "in one go" / picture).read_bytes() == (first / picture).read_bytes()


def test_another_seed_gives_another_run(trained, tmp_path):
    cgan_fashion.main([*TINY, "--epochs", "1", "--seed", "7", "--out", str(tmp_path)])
    first = weights(trained / "runs/cgan_fashion")
    assert not np.array_equal(first["generator/000"], weights(tmp_path)["generator/000"])


def test_resuming_a_finished_run_changes_nothing(trained, tmp_path, capsys):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    before = contents(tmp_path / "run")
    cgan_fashion.main(["--resume", "--out", str(tmp_path / "run")])
    assert contents(tmp_path / "run") == before
    assert "nothing left to do" in capsys.readouterr().out


@pytest.fixture
def old_run(trained, tmp_path):
    """A copy of a finished run, which has to stay as it is while the test runs."""
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")}
    yield tmp_path / "run"
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")} == before


@pytest.fixture
def old_gan_run(trained, tmp_path):
    """Such a copy that a test may damage first: it is never repaired or overwritten."""
    shutil.copytree(trained / "runs/gan_fashion", tmp_path / "run")
    yield tmp_path / "run"
    generator = tmp_path / "run/generator.keras"
    assert generator.read_bytes() == (trained / "runs/gan_fashion/generator.keras").read_bytes()
    assert len(list((tmp_path / "run/samples").iterdir())) == 1


def test_a_run_is_not_overwritten_silently(old_run, error_of):
    error = error_of(cgan_fashion.main, *TINY, "--out", str(old_run))
    assert "--resume" in error and "--overwrite" in error


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
    np.savez(tmp_path / "other.npz", x_train=images[100:200], y_train=labels[100:200])
    other = str(tmp_path / "other.npz")
    error = error_of(cgan_fashion.main, "--resume", "--out", str(old_run), "--data", other)
    assert "not those that the run" in error


def test_resume_takes_equal_data_from_elsewhere(trained, tmp_path):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    images, labels, *_ = datasets.load_fashion_mnist("sample")
    np.savez(tmp_path / "equal.npz", x_train=images[:64], y_train=labels[:64])
    cgan_fashion.main(["--resume", "--out", f"{tmp_path}/run", "--data", f"{tmp_path}/equal.npz"])


def test_resume_takes_what_auto_found_when_the_run_began(trained, tmp_path, monkeypatch):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    record["arguments"]["data"] = "auto"
    (tmp_path / "run/run.json").write_text(json.dumps(record))
    monkeypatch.setattr(keras.utils, "get_file", None)  # what auto would call first
    cgan_fashion.main(["--resume", "--out", str(tmp_path / "run")])


def test_resume_refuses_a_run_of_another_script(old_run, error_of):
    main = importlib.import_module("cgan_mnist").main
    assert "it is of a run of cgan_fashion.py" in error_of(main, "--resume", "--out", str(old_run))


def test_resume_needs_a_run(tmp_path, error_of):
    error = error_of(cgan_fashion.main, "--resume", "--out", str(tmp_path / "none"))
    assert "holds no run to resume" in error
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"script": "cgan_fashion"}'])
def test_resume_refuses_a_damaged_record(tmp_path, error_of, content):
    (tmp_path / "run.json").write_bytes(content)
    assert "run.json is damaged" in error_of(cgan_fashion.main, "--resume", "--out", str(tmp_path))


def test_resume_refuses_a_damaged_checkpoint(trained, tmp_path, error_of):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    checkpoint = tmp_path / "run/checkpoint.npz"
    good = checkpoint.read_bytes()
    other = (trained / "runs/gan_fashion/checkpoint.npz").read_bytes()
    for content, words in ((good[:9999], "is damaged"), (b"", "is damaged"), (other, "of other")):
        checkpoint.write_bytes(content)
        error = error_of(cgan_fashion.main, "--resume", "--epochs", "2", "--out", f"{tmp_path}/run")
        assert words in error and "checkpoint.npz" in error
        assert checkpoint.read_bytes() == content


def change_state(path, **changes):
    """Change the state in a checkpoint; None takes an entry away."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    state = json.loads(arrays["state"].tobytes()) | changes
    state = {name: value for name, value in state.items() if value is not None}
    np.savez(path, **arrays | {"state": np.frombuffer(json.dumps(state).encode(), "uint8")})


GOOD = {"epochs": 1, "steps": 0, "sums": {}, "history": {"g_loss": [0.5]}, "seconds": 1.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 0}, "checkpoint.npz is a checkpoint of format 0, not of 2"),
        ({"format": None}, "is a checkpoint of format None"),
        ({"rng": {}}, "is damaged"),
        ({"progress": None}, "is damaged"),
        ({"progress": GOOD | {"epochs": []}}, "its progress is damaged"),
        ({"progress": GOOD | {"history": []}}, "its progress is damaged"),
        ({"progress": GOOD | {"seconds": "x"}}, "its progress is damaged"),
        ({"progress": GOOD | {"epochs": 2}}, "the numbers do not fit together"),
        ({"progress": GOOD | {"steps": -1}}, "the numbers do not fit together"),
        ({"script": "cgan_mnist"}, "a run of cgan_mnist.py, not of gan_fashion.py"),
        ({"versions": {"keras": "3.0.1"}}, f"Keras 3.0.1, and this is {keras.__version__}"),
    ],
    ids=str,
)
def test_resume_refuses_a_checkpoint_of_something_else(old_gan_run, error_of, changes, words):
    change_state(old_gan_run / "checkpoint.npz", **changes)
    main = importlib.import_module("gan_fashion").main
    assert words in error_of(main, "--resume", "--epochs", "2", "--out", str(old_gan_run))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 5), "float32"), "is of other models: generator/000 is float32 (5, 5)"),
        (np.zeros((6, 6272), "int32"), "generator/000 is int32 (6, 6272) where float32 (6, 6272)"),
        (np.zeros((7, 6272), "float32"), "generator/000 claims to be (7, 6272)"),
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
    assert "has no checkpoint.npz of its 1 epoch" in error


def test_a_folder_without_record_can_only_be_overwritten(tmp_path, error_of):
    (tmp_path / "generator.keras").write_bytes(b"of another time")
    error = error_of(cgan_fashion.main, *TINY, "--out", str(tmp_path))
    assert "already holds a run: --overwrite deletes it" in error and "--resume" not in error


def test_overwrite_deletes_the_run_and_nothing_else(trained, tmp_path):
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    (tmp_path / "run/samples/epoch_0050.png").write_bytes(b"of the old run")
    (tmp_path / "run/samples/.epoch_0051.writing.png").write_bytes(b"half of one")
    (tmp_path / "run/notes.txt").write_text("mine")
    (tmp_path / "run/samples/favourite.png").write_bytes(b"mine")
    cgan_fashion.main([*TINY, "--epochs", "1", "--overwrite", "--out", str(tmp_path / "run")])
    assert (tmp_path / "run/notes.txt").read_text() == "mine"
    samples = {path.name for path in (tmp_path / "run/samples").iterdir()}
    assert samples == {"epoch_0001.png", "favourite.png"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "--epochs: 0 is not between 1 and"),
        (["--epochs", "many"], "'many' is not a whole number"),
        (["--batch-size", "0"], "--batch-size: 0 is not between 2 and"),
        (["--batch-size", "-1"], "--batch-size: -1 is not"),
        (["--batch-size", "3"], "--batch-size 3 is odd"),
        (["--latent-dim", "0"], "--latent-dim: 0 is not"),
        (["--limit", "5"], "--limit 5 is less than one batch of"),
        (["--seed", "-1"], "--seed: -1 is not"),
        (["--resume", "--overwrite"], "not allowed with"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--data", "nowhere"], "cannot read nowhere: no such file or folder"),
    ],
)
def test_bad_arguments(any_script, tmp_path, monkeypatch, error_of, arguments, words):
    monkeypatch.chdir(tmp_path)
    error = error_of(any_script.main, *arguments)
    assert error.startswith(f"{any_script.__name__}.py: error: ") and words in error
    assert not list(tmp_path.iterdir())


def test_out_must_be_a_folder(tmp_path, error_of):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        assert "file is a file" in error_of(cgan_fashion.main, "--out", str(out))


def test_fewer_images_than_a_batch(tmp_path, error_of):
    images, labels, *_ = datasets.load_fashion_mnist("sample")
    np.savez(tmp_path / "few.npz", x_train=images[:20], y_train=labels[:20])
    error = error_of(cgan_fashion.main, "--data", f"{tmp_path}/few.npz", "--out", f"{tmp_path}/run")
    assert "20 images" in error and "do not fill one batch of 128" in error


def interrupt_after(steps, monkeypatch, script=cgan_fashion, problem=None):
    """Press Ctrl-C in the middle of a training step, or raise a problem there."""
    original, calls = script.generate_latent_points, []

    def generate_latent_points(latent_dim, n_samples, rng=None):
        calls.append(n_samples)
        if calls.count(16) == steps:  # once a step, for the composite's whole batch
            if problem:
                raise problem
            signal.raise_signal(signal.SIGINT)
        return original(latent_dim, n_samples, rng)

    monkeypatch.setattr(script, "generate_latent_points", generate_latent_points)


# 4 steps an epoch: in the first epoch, in the second, and in the last step of the first.
@pytest.mark.parametrize(
    ("steps", "saved", "pictures"),
    [(2, "0 epochs and 2 steps", 0), (5, "1 epoch and 1 step", 1), (4, "1 epoch", 1)],
)
def test_interrupt_saves_and_says_how_to_go_on(
    tmp_path, monkeypatch, capsys, steps, saved, pictures
):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        interrupt_after(steps, patch)
        usual_handler = signal.getsignal(signal.SIGINT)
        assert exit_status(cgan_fashion.main, [*TINY, "--epochs", "2"]) == 130
        assert signal.getsignal(signal.SIGINT) is usual_handler
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"cgan_fashion.py: stopped with {saved} saved in runs/cgan_fashion; "
        "go on with: python cgan_fashion.py --resume"
    )
    assert len(list((tmp_path / "runs/cgan_fashion/samples").iterdir())) == pictures
    cgan_fashion.main(["--resume"])
    assert f"Going on after {saved}." in capsys.readouterr().out
    assert len(list((tmp_path / "runs/cgan_fashion/samples").iterdir())) == 2


def test_interrupted_and_resumed_equals_uninterrupted(any_script, trained, tmp_path, monkeypatch):
    """Stopped by Ctrl-C in one step and by a crash two steps later, and resumed from there."""
    arguments = [*TINY, "--epochs", "1", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        interrupt_after(1, patch, any_script)
        assert exit_status(any_script.main, arguments) == 130
    with monkeypatch.context() as patch:
        interrupt_after(3, patch, any_script, RuntimeError("the power is gone"))
        with pytest.raises(RuntimeError):
            any_script.main(["--resume", "--checkpoint-minutes", "0", "--out", str(tmp_path)])
    with np.load(tmp_path / "checkpoint.npz") as archive:
        state = json.loads(archive["state"].tobytes())
    assert state["progress"]["steps"] == 3 and state["progress"]["epochs"] == 0
    any_script.main(["--resume", "--out", str(tmp_path)])
    assert_same_run(tmp_path, trained / "runs" / any_script.__name__)


def test_a_checkpoint_inside_an_epoch_every_so_many_minutes(tmp_path, monkeypatch):
    """Steps of 4 minutes, and a checkpoint when 10 are over: after steps 3 and 6, and the end."""
    clock, saved = iter(range(0, 10**6, 240)), []
    monkeypatch.setattr("common.training.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        "common.checkpoints.save", lambda *a: saved.append(a[2]["progress"]["steps"])
    )
    monkeypatch.setattr(cgan_fashion, "train", lambda *models_and_more: loop(models_and_more[-1]))

    def loop(run):
        for _epoch in run.epochs(lambda path: path.write_bytes(b"")):
            for step in run.steps(8):
                run.log(g_loss=float(step))

    cgan_fashion.main([*TINY, "--epochs", "1", "--out", str(tmp_path)])
    assert saved == [3, 6, 0]


def test_two_processes_never_train_in_one_folder(tmp_path, error_of, run_script):
    first = run_script("gan_fashion.py", *TINY, "--epochs", "100000", wait=False)
    next(line for line in first.stdout if line.startswith("epoch 1/"))
    main = importlib.import_module("gan_fashion").main
    folder = str(tmp_path / "runs/gan_fashion")
    for arguments in (["--resume"], ["--overwrite", *TINY]):
        assert "another process is training in" in error_of(main, *arguments, "--out", folder)
    first.kill()  # which leaves it no time to tidy up
    first.communicate()
    main(["--resume", "--epochs", "1", "--out", folder])


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


def spoil_weights(model, losses):
    model.trainable_variables[0].assign(model.trainable_variables[0] * np.nan)
    return losses


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_diverged_training_stops_and_keeps_the_last_generator(
    trained, tmp_path, monkeypatch, capsys, value
):
    shutil.copytree(trained / "runs/gan_fashion", tmp_path / "run")
    before = (tmp_path / "run/generator.keras").read_bytes()
    main = importlib.import_module("gan_fashion").main
    diverging(monkeypatch, 2, lambda model, losses: value)
    assert exit_status(main, ["--resume", "--epochs", "9", "--out", f"{tmp_path}/run"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"g_loss {value:g}" in error
    assert "diverged at step 2 of epoch 2: d_loss_real" in error
    assert f"the generator of epoch 1 stays in {tmp_path}/run" in error
    assert (tmp_path / "run/generator.keras").read_bytes() == before


@pytest.mark.parametrize(("step", "minutes"), [(4, "10"), (2, "0")])
def test_weights_that_are_nan_are_never_saved(
    trained, tmp_path, monkeypatch, capsys, step, minutes
):
    """The loss of a step is that before its update, so the loss alone would tell too late."""
    run = tmp_path / "run"
    shutil.copytree(trained / "runs/gan_fashion", run)
    before = (run / "generator.keras").read_bytes(), weights(run)["generator/000"]
    main = importlib.import_module("gan_fashion").main
    diverging(monkeypatch, step, spoil_weights)
    arguments = ["--resume", "--epochs", "2", "--checkpoint-minutes", minutes, "--out", str(run)]
    assert exit_status(main, arguments) == 1
    assert "weights that are NaN; the generator of epoch 1 stays in" in capsys.readouterr().err
    assert (run / "generator.keras").read_bytes() == before[0]
    assert np.isfinite(weights(run)["generator/000"]).all()


def test_values_of_an_epoch_and_fewer_pictures(tmp_path, monkeypatch):
    def loop(*models_and_more):
        run = models_and_more[-1]
        run.arguments.sample_every = 2
        for epoch in run.epochs(lambda path: path.write_bytes(b"")):
            for _step in run.steps(2):
                run.log(g_loss=1.0)
            run.log_epoch(val_g_loss=float(epoch))

    monkeypatch.setattr(cgan_fashion, "train", loop)
    cgan_fashion.main([*TINY, "--epochs", "3", "--out", str(tmp_path)])
    assert (tmp_path / "losses.csv").read_text() == (
        "epoch,g_loss,val_g_loss\n1,1.000000,1.000000\n2,1.000000,2.000000\n3,1.000000,3.000000\n"
    )
    pictures = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert pictures == ["epoch_0002.png", "epoch_0003.png"]


def test_the_sample_picture_is_of_fixed_latents_in_columns_of_classes(script, monkeypatch):
    """The same latents after each epoch; the label of each column; the generator as it is."""
    d_model, g_model = script.define_discriminator(), script.define_generator(latent_dim=6)
    drawn = []

    def save_grid(images, path, columns=10, titles=()):
        drawn.append((images, path, columns, titles))

    class TwoPictures(OneEpoch):
        def epochs(self, draw_samples):
            draw_samples("before.png")
            yield from ()
            draw_samples("after.png")

    monkeypatch.setattr("common.plotting.save_grid", save_grid)
    dataset = datasets.load_mnist("sample")
    script.train(g_model, d_model, None, dataset, 6, 10, TwoPictures())
    (images, *named), (again, *_) = drawn
    labelled = script.__name__ != "gan_fashion"
    assert named == ["before.png", 10, dataset.class_names if labelled else ()]
    np.testing.assert_array_equal(images, again)
    points = script.generate_latent_points(6, 100, np.random.default_rng(1))
    if labelled:
        one_hot = np.tile(np.eye(10, dtype="float32"), (10, 1))
        points[1] = one_hot if points[1].shape[1] == 10 else one_hot.argmax(axis=1)[:, np.newaxis]
    expected = g_model.predict_on_batch(points)
    low = 0 if script.__name__ == "cgan_mnist" else -1
    np.testing.assert_allclose(images, (expected - low) / (1 - low), atol=1e-6)


def test_a_failed_save_leaves_the_files_of_the_last_epoch(trained, tmp_path, monkeypatch, capsys):
    """Each file in turn cannot be written to its end, and what was there stays whole."""
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "run")
    kept = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.*")}

    def half_written(model, path):
        path.write_bytes(b"half of a model")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", half_written)
    resume = ["--resume", "--epochs", "2", "--out", str(tmp_path / "run")]
    assert exit_status(cgan_fashion.main, resume) == 1
    assert "generator.keras: No space left on device" in capsys.readouterr().err
    unchanged = ("generator.keras", "checkpoint.npz", "losses.csv", "losses.png")
    for path, content in kept.items():
        assert path.name not in unchanged or path.read_bytes() == content
    monkeypatch.undo()
    cgan_fashion.main(resume)
    assert json.loads((tmp_path / "run/run.json").read_text())["epochs_finished"] == 2


def test_the_checkpoint_is_saved_after_all_that_it_stands_for(tmp_path, monkeypatch, capsys):
    def no_checkpoint(*_arguments):
        assert (tmp_path / "generator.keras").exists() and (tmp_path / "losses.csv").exists()
        assert (tmp_path / "samples/epoch_0001.png").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("common.checkpoints.save", no_checkpoint)
    assert exit_status(cgan_fashion.main, [*TINY, "--epochs", "2", "--out", str(tmp_path)]) == 130
    assert "stopped with 0 epochs saved" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_stops_the_run(tmp_path, monkeypatch, capsys):
    def no_space(path, *_arguments):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("common.checkpoints.save", no_space)
    assert exit_status(cgan_fashion.main, [*TINY, "--epochs", "1", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    path = tmp_path / "checkpoint.npz"
    assert error == f"cgan_fashion.py: error: {path}: No space left on device\n"


def test_as_a_user_runs_it(run_script, tmp_path):
    """Piped, without internet: one line an epoch, one notice, and no chatter of TensorFlow."""
    tiny = ["--limit", "64", "--batch-size", "16", "--epochs", "2"]
    done = run_script("cgan_fashion.py", *tiny)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Using the embedded sample of 10,000 images: ")
    lines = done.stdout.splitlines()
    assert lines[0] == "cgan_fashion: 64 images (sample), batches of 16, into runs/cgan_fashion"
    assert [line[:10] for line in lines[1:-1]] == ["epoch 1/2:", "epoch 2/2:"]
    assert lines[-1] == (
        "Finished: 2 epochs. Sample it with: "
        "python generate.py --model runs/cgan_fashion/generator.keras"
    )


def test_ctrl_c_as_a_user_presses_it(run_script, tmp_path):
    process = run_script("cgan_fashion.py", *TINY, "--epochs", "100000", wait=False)
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in error
    assert "go on with: python cgan_fashion.py --resume" in error
    folder = tmp_path / "runs/cgan_fashion"
    assert {path.name for path in folder.iterdir()} == FILES
    finished = json.loads((folder / "run.json").read_text())["epochs_finished"]
    assert finished >= 2 and len(list((folder / "samples").iterdir())) == finished


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_a_terminal_gets_a_progress_bar(run_script, tmp_path):
    ours, theirs = os.openpty()
    process = run_script("cgan_fashion.py", *TINY, "--epochs", "2", wait=False, stdout=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # on Linux, that is how the end looks
        while more := os.read(ours, 4096):
            shown += more
    os.close(ours)
    process.communicate()
    text = shown.decode()
    assert "Epoch 1/2\r\n" in text and "Epoch 2/2, " in text and " s left\r\n" in text
    last = text[text.rindex("4/4") :]
    with open(tmp_path / "runs/cgan_fashion/losses.csv", newline="") as file:
        *_, means = csv.DictReader(file)
    assert all(f"{loss}: {float(means[loss]):.4f}" in last for loss in GAN_LOSSES)
