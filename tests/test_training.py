"""The recipe of a step, the run folder, the command line, what is shown."""

import contextlib
import csv
import json
import os
from pathlib import Path

import cgan_fashion
from common.data import datasets

import keras
import numpy as np
import pytest
from conftest import SCRIPTS, TINY, OneEpoch, latent_points
from runs import FILES, replace_training

GAN_LOSSES = ["d_loss_real", "d_loss_fake", "g_loss", "d_accuracy_real", "d_accuracy_fake"]
LOSSES = {"wgan_gp_fashion": ["wasserstein", "gradient_penalty", "gradient_norm", "g_loss"]}


def test_the_recipe_and_the_sample_picture(script, monkeypatch):
    """A step is two half batches and one batch; the picture is of the same latents each time."""
    d_model, g_model = script.define_discriminator(), script.define_generator(latent_dim=6)
    gan_model, calls = script.define_gan(g_model, d_model), []
    for name, model in (("d", d_model), ("gan", gan_model)):

        def recording(inputs, target, name=name):
            assert all(len(array) == len(target) for array in keras.tree.flatten(inputs))
            calls.append((name, len(target), set(target.ravel().tolist())))
            return 0.7 if name == "gan" else [0.6, 0.5]

        monkeypatch.setattr(model, "train_on_batch", recording)
    predict = g_model.predict  # slow, so it is called for the picture only
    monkeypatch.setattr(g_model, "predict", lambda *a, **o: calls.append("") or predict(*a, **o))
    dataset = datasets.load_mnist("sample")
    dataset = dataset._replace(images=dataset.images[:35], labels=dataset.labels[:35])
    real, fake = (0, 1) if script.__name__ == "cgan_mnist" else (1, 0)
    for _ in range(2):
        calls.clear()
        run = OneEpoch()
        script.train(g_model, d_model, gan_model, dataset, 6, 10, run)
        assert calls == [("d", 5, {real}), ("d", 5, {fake}), ("gan", 10, {real})] * 3 + [""]
        assert [list(losses) for losses in run.logged] == [GAN_LOSSES] * 3
        ((images, *rest),) = run.saved
        assert rest == [None, {}]
        points = latent_points(script, 6, 100, np.random.default_rng(1))
        if isinstance(points, list):  # a column for each class
            one_hot = np.tile(np.eye(10, dtype="float32"), (10, 1))
            points[1] = one_hot if points[1].shape[1] == 10 else one_hot.argmax(axis=1)[:, None]
        np.testing.assert_allclose(images, g_model.predict_on_batch(points), atol=1e-6)


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
        generator = keras.saving.load_model(folder / "generator.keras", safe_mode=True)
        assert all(type(layer).__module__.startswith("keras.") for layer in generator.layers)


def test_losses_are_means_of_whatever_is_logged(tmp_path, monkeypatch, capsys):
    """Twice in a step, in every second step, in even epochs, at the end of an epoch."""

    def loop(run):
        for epoch in run.epochs():
            for step in run.steps(4):
                run.log(g_loss=float(step))
                run.log(g_loss=float(step + 1))
                if step % 2 == 0:
                    run.log(second=float(step))
                if epoch % 2 == 0:
                    run.log(even=3.0)
            run.save_epoch(val=float(epoch))

    replace_training(monkeypatch, loop)
    cgan_fashion.main([*TINY, "--epochs", "2", "--out", str(tmp_path / "run")])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("epoch")] == [
        "epoch 1/2: g_loss 3.000, second 3.000, val 1.000; 0 s left",
        "epoch 2/2: g_loss 3.000, second 3.000, val 2.000, even 3.000; 0 s left",
    ]
    cgan_fashion.main(["--resume", "--epochs", "3", "--out", str(tmp_path / "run")])
    assert (tmp_path / "run/losses.csv").read_text().splitlines() == [
        "epoch,g_loss,second,val,even",
        "1,3.000000,3.000000,1.000000,",
        "2,3.000000,3.000000,2.000000,3.000000",
        "3,3.000000,3.000000,3.000000,",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "--epochs: 0 is not between 1 and"),
        (["--epochs", "many"], "'many' is not a whole number"),
        (["--batch-size", "-1"], "--batch-size: -1 is not between 2 and"),
        (["--batch-size", "3"], "--batch-size 3 is odd"),
        (["--latent-dim", "0"], "--latent-dim: 0 is not"),
        (["--limit", "5"], "--limit 5 is less than one batch of"),
        (["--seed", "-1"], "--seed: -1 is not"),
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


def test_an_epoch_that_is_not_saved_is_a_mistake(tmp_path, monkeypatch):
    replace_training(monkeypatch, lambda run: list(run.epochs()))
    with pytest.raises(RuntimeError, match=r"an epoch ended without run.save_epoch\(\)"):
        cgan_fashion.main([*TINY, "--epochs", "3", "--out", str(tmp_path)])


def test_as_a_user_runs_it(run_script, tmp_path):
    """Piped, without internet: one line an epoch, one notice, and no chatter of TensorFlow."""
    tiny = ["--limit", "64", "--batch-size", "16", "--epochs", "2"]
    done = run_script("cgan_fashion.py", *tiny)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Using the embedded sample of 10,000 images: ")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("cgan_fashion: 64 images (sample), batches of 16 on ")
    assert lines[0].endswith(", into runs/cgan_fashion")
    assert lines[1] == f"To watch the training, open {Path('runs/cgan_fashion/index.html')}"
    assert [line[:10] for line in lines[2:-1]] == ["epoch 1/2:", "epoch 2/2:"]
    assert lines[-1] == (
        "Finished: 2 epochs. Generate images with: "
        "python generate.py --model runs/cgan_fashion/generator.keras"
    )


@pytest.mark.slow
def test_a_minute_of_training_teaches_the_classes(tmp_path):
    """The judge of evaluate.py finds the class asked for far more often than by chance, 0.1."""
    arguments = ["--data", "sample", "--limit", "4000", "--batch-size", "32", "--epochs", "4"]
    cgan_fashion.main([*arguments, "--evaluate-every", "4", "--out", str(tmp_path)])
    with open(tmp_path / "losses.csv", newline="") as file:
        *_, last = csv.DictReader(file)
    assert float(last["label_accuracy"]) > 0.25  # 0.43 when this was written


@pytest.mark.slow
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


def test_an_image_size_that_does_not_go_is_told_before_anything_is_read(script, error_of, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(b"never looked at")
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--image-size", "48"]
    error = error_of(script.main, *arguments)
    assert "images of 48 x 48 cannot be halved" in error and "32 or 56 (--image-size)" in error
