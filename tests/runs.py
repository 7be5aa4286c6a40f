"""Looking into run folders, and getting in the way of a training."""

import json
import re
import signal

import cgan_fashion

import keras
import numpy as np

FILES = {"run.json", "checkpoint.npz", "generator.keras", "losses.csv", "losses.png"}
FILES |= {"index.html", "samples"}


def contents(folder):
    """The bytes of every file in a run folder but those that hold times and dates."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".png", ".csv")
    }


def page_of(folder):
    """All that the page of a run says: the JSON in it."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="run">(.*?)</script>', text)
    return json.loads(found)


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


def interrupt_after(steps, monkeypatch, script=cgan_fashion, problem=None):
    """Press Ctrl-C in the middle of a training step, or raise a problem there."""
    original, calls = script.generate_latent_points, []

    def generate_latent_points(latent_dim, n_samples, *more):
        calls.append(n_samples)
        if calls.count(16) == steps:  # once a step, for the composite's whole batch
            if problem:
                raise problem
            signal.raise_signal(signal.SIGINT)
        return original(latent_dim, n_samples, *more)

    monkeypatch.setattr(script, "generate_latent_points", generate_latent_points)


def quick_loop(run):
    """A training that computes nothing: four steps an epoch, with a loss of 1, 2, 3 and 4."""
    for _epoch in run.epochs():
        for step in run.steps(4):
            run.log(g_loss=float(step))
        run.save_epoch()


def replace_training(monkeypatch, loop=quick_loop, script=cgan_fashion):
    """Have a script train by `loop`, a function of its run, which takes much less time."""
    monkeypatch.setattr(script, "train", lambda *models_and_more: loop(models_and_more[-1]))


def change_state(path, **changes):
    """Change the state in a checkpoint; None takes an entry away."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    state = json.loads(arrays["state"].tobytes()) | changes
    state = {name: value for name, value in state.items() if value is not None}
    np.savez(path, **arrays | {"state": np.frombuffer(json.dumps(state).encode(), "uint8")})
