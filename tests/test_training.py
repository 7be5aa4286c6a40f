"""Runs: the recipe, the folder, resuming, stopping, and what is refused."""

import contextlib
import csv
import importlib
import json
import os
import shutil
import signal

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


def test_a_run_is_not_overwritten_silently(old_run, error_of):
    error = error_of(cgan_fashion.main, *TINY, "--out", str(old_run))
    assert "--resume" in error and "--overwrite" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-size", "32"], "began with --batch-size 16, not with 32"),
        (["--seed", "1"], "began with --seed 0, not with 1"),
        (["--limit", "100"], "began with --limit 64, not with 100"),
        (["--latent-dim", "7"], "began with --latent-dim 6, not with 7"),
        (["--embedding-dim", "7"], "began with --embedding-dim 50, not with 7"),
    ],
)
def test_resume_keeps_the_arguments_of_the_run(old_run, error_of, arguments, words):
    error = error_of(cgan_fashion.main, "--resume", *arguments, "--out", str(old_run))
    assert words in error


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
    assert "holds a run of cgan_fashion.py" in error_of(main, "--resume", "--out", str(old_run))


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


def state_with(**changes):
    """A change of the state in a checkpoint; None takes an entry away."""

    def change(path):
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        state = json.loads(arrays["state"].tobytes()) | changes
        state = {name: value for name, value in state.items() if value is not None}
        np.savez(path, **arrays | {"state": np.frombuffer(json.dumps(state).encode(), "uint8")})

    return change


@pytest.mark.parametrize(
    "changes",
    [{"epoch": None}, {"epoch": []}, {"rng": {}}, {"history": []}, {"seconds": "x"}, {"format": 0}],
    ids=str,
)
def test_resume_refuses_a_checkpoint_with_a_damaged_state(trained, tmp_path, error_of, changes):
    shutil.copytree(trained / "runs/gan_fashion", tmp_path / "run")
    state_with(**changes)(tmp_path / "run/checkpoint.npz")
    main = importlib.import_module("gan_fashion").main
    error = error_of(main, "--resume", "--epochs", "2", "--out", f"{tmp_path}/run")
    assert "checkpoint.npz is" in error


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


def interrupt_after(steps, monkeypatch):
    """Press Ctrl-C in the middle of a training step."""
    original, calls = cgan_fashion.generate_fake_samples, []

    def generate_fake_samples(*arguments):
        calls.append(1)
        if len(calls) == steps:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(cgan_fashion, "generate_fake_samples", generate_fake_samples)


# 4 steps an epoch: in the first epoch, in the second, and in the last step of the first.
@pytest.mark.parametrize(("steps", "saved"), [(2, 0), (6, 1), (4, 1)])
def test_interrupt_saves_and_says_how_to_go_on(tmp_path, monkeypatch, capsys, steps, saved):
    monkeypatch.chdir(tmp_path)
    interrupt_after(steps, monkeypatch)
    usual_handler = signal.getsignal(signal.SIGINT)
    assert exit_status(cgan_fashion.main, [*TINY, "--epochs", "2"]) == 130
    assert signal.getsignal(signal.SIGINT) is usual_handler
    last_line = capsys.readouterr().err.splitlines()[-1]
    epochs = "1 epoch" if saved == 1 else "0 epochs"
    assert last_line == (
        f"cgan_fashion.py: stopped with {epochs} saved in runs/cgan_fashion; "
        "go on with: python cgan_fashion.py --resume"
    )
    assert len(list((tmp_path / "runs/cgan_fashion/samples").iterdir())) == saved
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    cgan_fashion.main(["--resume"])
    assert len(list((tmp_path / "runs/cgan_fashion/samples").iterdir())) == 2


def test_interrupted_and_resumed_equals_uninterrupted(trained, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(3, patch)
        arguments = [*TINY, "--epochs", "1", "--out", str(tmp_path)]
        assert exit_status(cgan_fashion.main, arguments) == 130
    cgan_fashion.main(["--resume", "--out", str(tmp_path)])
    assert_same_run(tmp_path, trained / "runs/cgan_fashion")


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
