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
from conftest import SCRIPTS, TINY, OneEpoch
from runs import FILES, weights

GAN_LOSSES = ["d_loss_real", "d_loss_fake", "g_loss", "d_accuracy_real", "d_accuracy_fake"]


LOSSES = {"wgan_gp_fashion": ["wasserstein", "gradient_penalty", "gradient_norm", "g_loss"]}


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
        for _epoch in run.epochs():
            for step in run.steps(4):
                run.log(g_loss=float(step), d_loss=1.0)
            run.save_epoch()

    cgan_fashion.main([*TINY, "--epochs", "2", "--out", str(tmp_path / "run")])
    assert (tmp_path / "run/losses.csv").read_text() == (
        "epoch,g_loss,d_loss\n1,2.500000,1.000000\n2,2.500000,1.000000\n"
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("epoch")] == [
        "epoch 1/2: g_loss 2.500, d_loss 1.000; 0 s left",
        "epoch 2/2: g_loss 2.500, d_loss 1.000; 0 s left",
    ]


def test_another_seed_gives_another_run(trained, tmp_path):
    cgan_fashion.main([*TINY, "--epochs", "1", "--seed", "7", "--out", str(tmp_path)])
    first = weights(trained / "runs/cgan_fashion")
    assert not np.array_equal(first["generator/000"], weights(tmp_path)["generator/000"])


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
        (["--limit", "5"], "give a smaller --batch-size as well"),
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


def test_values_of_an_epoch(tmp_path, monkeypatch):
    def loop(*models_and_more):
        run = models_and_more[-1]
        for epoch in run.epochs():
            for _step in run.steps(2):
                run.log(g_loss=1.0)
            run.save_epoch(val_g_loss=float(epoch))

    monkeypatch.setattr(cgan_fashion, "train", loop)
    cgan_fashion.main([*TINY, "--epochs", "3", "--out", str(tmp_path)])
    assert (tmp_path / "losses.csv").read_text() == (
        "epoch,g_loss,val_g_loss\n1,1.000000,1.000000\n2,1.000000,2.000000\n3,1.000000,3.000000\n"
    )


def test_an_epoch_that_is_not_saved_is_a_mistake(tmp_path, monkeypatch):
    def loop(*models_and_more):
        for _epoch in models_and_more[-1].epochs():
            pass

    monkeypatch.setattr(cgan_fashion, "train", loop)
    with pytest.raises(RuntimeError, match=r"an epoch ended without run.save_epoch\(\)"):
        cgan_fashion.main([*TINY, "--epochs", "3", "--out", str(tmp_path)])


def test_the_sample_picture_is_of_fixed_latents_in_columns_of_classes(script):
    """The same latents after each epoch; the label of each column; the generator as it is."""
    d_model, g_model = script.define_discriminator(), script.define_generator(latent_dim=6)
    dataset = datasets.load_mnist("sample")
    dataset = dataset._replace(images=dataset.images[:5])  # no full batch, so no step
    drawn = []
    for _ in range(2):
        run = OneEpoch()
        script.train(g_model, d_model, None, dataset, 6, 10, run)
        drawn.append(run.saved)
    ((images, *rest),), ((again, *_),) = drawn
    assert rest == [None, {}]
    np.testing.assert_array_equal(images, again)
    rng = np.random.default_rng(1)
    if script.__name__ == "gan_fashion":
        points = script.generate_latent_points(6, 100, rng)
    else:
        points = script.generate_latent_points(6, 100, 10, rng)
        one_hot = np.tile(np.eye(10, dtype="float32"), (10, 1))
        points[1] = one_hot if points[1].shape[1] == 10 else one_hot.argmax(axis=1)[:, np.newaxis]
    np.testing.assert_allclose(images, g_model.predict_on_batch(points), atol=1e-6)


def test_as_a_user_runs_it(run_script, tmp_path):
    """Piped, without internet: one line an epoch, one notice, and no chatter of TensorFlow."""
    tiny = ["--limit", "64", "--batch-size", "16", "--epochs", "2"]
    done = run_script("cgan_fashion.py", *tiny)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Using the embedded sample of 10,000 images: ")
    lines = done.stdout.splitlines()
    assert lines[0] == "cgan_fashion: 64 images (sample), batches of 16, into runs/cgan_fashion"
    assert lines[1] == f"To watch the training, open {Path('runs/cgan_fashion/index.html')}"
    assert [line[:10] for line in lines[2:-1]] == ["epoch 1/2:", "epoch 2/2:"]
    assert lines[-1] == (
        "Finished: 2 epochs. Generate images with: "
        "python generate.py --model runs/cgan_fashion/generator.keras"
    )


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
