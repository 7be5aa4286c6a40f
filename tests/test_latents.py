"""Latents that a script gives to `save_epoch`: generate.py draws others distributed alike."""

import gan_fashion
import generate
from common.models.generators import Generator

import keras
import numpy as np
from conftest import TINY, exit_status

LATENT_DIM = 3


def train_with(monkeypatch, latents, *arguments):
    """Train for one step, and save these latents."""

    def train(*models_and_more):
        run = models_and_more[-1]
        for _epoch in run.epochs():
            for _step in run.steps(1):
                run.log(d_loss=1.0)
            run.save_epoch(latents=latents)

    monkeypatch.setattr(gan_fashion, "train", train)
    gan_fashion.main([*arguments, "--out", "runs/own"])


def test_latents_have_the_mean_and_covariance_of_those_that_were_learnt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    learnt = rng.standard_normal((50, LATENT_DIM)) @ [[1, 2, 0], [0, 1, 0], [0, 0.5, 3]] + [
        0,
        5,
        -1,
    ]
    options = [*TINY, "--latent-dim", str(LATENT_DIM), "--epochs", "1"]
    train_with(monkeypatch, learnt, *options)
    train_with(monkeypatch, learnt, "--resume")  # saves the generator once more
    mean, covariance = learnt.mean(axis=0), np.cov(learnt, rowvar=False)
    many = Generator("runs/own/generator.keras").random_latents(100_000, rng)
    np.testing.assert_allclose(many.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(many, rowvar=False), covariance, atol=0.2)

    generate.main(["--model", "runs/own", "--count", "4", "--save-arrays", "a.npz"])
    noise = np.random.default_rng(0).standard_normal((4, LATENT_DIM), dtype="float32")
    latents = mean + noise @ np.linalg.cholesky(covariance).T
    expected = keras.saving.load_model("runs/own/generator.keras").predict(latents, verbose=0)
    np.testing.assert_allclose(np.load("a.npz")["images"], (expected + 1) / 2, atol=1e-4)


def test_latents_that_are_no_numbers_end_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    learnt = np.full((50, LATENT_DIM), np.nan)
    options = monkeypatch, learnt, *TINY, "--epochs", "1"
    assert exit_status(train_with, *options) == 1
    assert "diverged at the end of epoch 1: mean latent nan" in capsys.readouterr().err
