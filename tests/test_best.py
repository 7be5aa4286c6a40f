"""The generator of the best score, and those that --keep-every keeps."""

import contextlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import cgan_fashion
import evaluate
import explore
import generate
from common import files
from common.models import saved_models
from common.sampling import finding
from common.training import quality
from common.training.quality import Quality

import numpy as np
import pytest
from conftest import TINY
from runs import assert_same_run, page_of, replace_training

DISTANCES = [9.0, 3.0, 3.0, 7.0]
OUT = Path("runs/mine")
START = [*TINY, "--average-decay", "0", "--epochs", "4", "--keep-every", "2", "--out", str(OUT)]


def numbered_loop(run):
    """A training that computes nothing: a weight of the generator is the number of the epoch."""
    weight = run._models["generator"].trainable_variables[0]
    for epoch in run.epochs():
        for step in run.steps(2):
            run.log(g_loss=float(step))
        weight.assign(np.full(weight.shape, epoch))
        run.save_epoch()


def epoch_of(path):
    return saved_models.load(path).trainable_variables[0].numpy().flat[0]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of one's own, in which each training has the distances above."""
    replace_training(monkeypatch, numbered_loop)
    scores = dict(enumerate(DISTANCES, start=1))
    monkeypatch.setattr(
        Quality, "after", lambda self, epoch, model: {"frechet_distance": scores[epoch]}
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Such a run that was never stopped, for comparison."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        here.__wrapped__(folder, patch)
        cgan_fashion.main(START)
        yield folder / OUT


@pytest.fixture
def run(whole, here):
    return shutil.copytree(whole, here / OUT)


def test_best_and_kept_generators_and_what_is_said_of_them(here, capsys):
    cgan_fashion.main(START)
    (run,) = here.glob("runs/*")
    assert [epoch_of(run / f"{name}.keras") for name in ("best", "generator")] == [2, 4]
    kept = ["epoch_0002.keras", "epoch_0004.keras"]
    assert sorted(path.name for path in (run / "kept").iterdir()) == kept
    assert [epoch_of(run / "kept" / name) for name in kept] == [2, 4]
    record = json.loads((run / "run.json").read_text())
    assert record["best"] == {"epoch": 2, "frechet_distance": 3.0}
    best, collapse = page_of(run)["remarks"]
    assert best == "Best Fréchet distance: 3.000, after epoch 2; that generator is best.keras."
    assert collapse.startswith("Since then it has doubled, 7.000 now: ")
    assert "--best draws with that of epoch 2" in collapse
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:-1] == [best, collapse] and lines[-1].startswith("Finished: 4 epochs.")


@pytest.mark.parametrize(
    ("figures", "epoch", "how"),
    [
        ({}, None, ""),
        ({"frechet_distance": [None, None]}, None, ""),
        ({"label_accuracy": [0.9, 0.1], "frechet_distance": [2.0, 3.9]}, 1, ""),
        ({"frechet_distance": [None, 2.0, 4.0, None]}, 2, "doubled, 4.000 now"),
        ({"frechet_distance": [8.0, 2.0, 7.0, 3.0]}, 2, ""),  # it has recovered
        ({"frechet_distance": [0.0, 0.0]}, 1, ""),
        ({"pixel_accuracy": [0.1, 0.9], "mean_iou": [0.5, 0.4]}, 1, ""),
        ({"pixel_accuracy": [0.1, 0.9], "mean_iou": [0.5, 0.25]}, 1, "fallen to half, 0.250 now"),
    ],
)
def test_which_epoch_is_the_best_and_what_a_collapse_is(figures, epoch, how):
    assert (quality.best(figures) or [None])[0] == epoch
    lines = quality.remarks(figures)
    assert len(lines) == (epoch is not None) + bool(how) and how in "".join(lines)


class Killed(BaseException):
    pass


def run_until(name, number, monkeypatch, arguments):
    """Train until a file has been written, but not yet renamed, for the nth time."""
    replace, targets = os.replace, []

    def replace_or_die(source, target):
        targets.append(Path(target).name)
        if targets.count(name) == number and targets[-1] == name:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(files.os, "replace", replace_or_die)
        cgan_fashion.main(arguments)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("checkpoint.npz", 2),
        ("best.keras", 2),
        pytest.param("epoch_0002.keras", 1, marks=pytest.mark.slow),
        pytest.param("run.json", 3, marks=pytest.mark.slow),
        pytest.param("generator.keras", 3, marks=pytest.mark.slow),
    ],
)
def test_killed_between_two_files_and_resumed(here, whole, monkeypatch, name, number):
    run_until(name, number, monkeypatch, START)
    if name in ("checkpoint.npz", "best.keras"):
        assert epoch_of(OUT / "best.keras") == 1 and not (OUT / "kept").exists()
    cgan_fashion.main(["--resume", "--out", str(OUT)])
    assert_same_run(OUT, whole)
    for path in ("best.keras", "kept/epoch_0002.keras", "kept/epoch_0004.keras"):
        assert epoch_of(OUT / path) == epoch_of(whole / path)
    assert not list(OUT.rglob(".*"))


def test_what_never_got_into_a_checkpoint_is_not_the_best(here, monkeypatch):
    """Killed in epoch 2, and then nothing is measured any more: epoch 1 stays the best."""
    run_until("checkpoint.npz", 2, monkeypatch, START)
    monkeypatch.setattr(Quality, "after", lambda *_: {})
    options = ["--evaluate-every", "0", "--keep-every", "3", "--epochs", "3"]
    cgan_fashion.main(["--resume", *options, "--out", str(OUT)])
    assert epoch_of(OUT / "best.keras") == 1
    assert json.loads((OUT / "run.json").read_text())["best"]["epoch"] == 1
    assert [path.name for path in (OUT / "kept").iterdir()] == ["epoch_0003.keras"]


def test_overwrite_deletes_them_and_only_then(run, error_of, monkeypatch):
    (run / "kept/mine.keras").write_bytes(b"mine")
    (run / "kept/.epoch_0009.writing.keras").write_bytes(b"half of one")
    monkeypatch.setattr(Quality, "after", lambda *_: {})
    arguments = [*TINY, "--epochs", "1", "--out", str(OUT)]
    assert "already holds a run" in error_of(cgan_fashion.main, *arguments)
    cgan_fashion.main([*arguments, "--overwrite"])
    assert not (run / "best.keras").exists()
    assert [path.name for path in (run / "kept").iterdir()] == ["mine.keras"]
    shutil.rmtree(run)
    (run / "kept").mkdir(parents=True)
    (run / "kept/epoch_0010.keras").write_bytes(b"of another time")
    assert "already holds a run" in error_of(cgan_fashion.main, *arguments)
    cgan_fashion.main([*arguments, "--overwrite"])
    assert not (run / "kept").exists()


def drawn(*arguments):
    generate.main([*arguments, "--count", "3", "--save-arrays", "drawn.npz"])
    with np.load("drawn.npz") as arrays:
        return arrays["images"]


def test_drawing_with_the_best_and_with_what_was_kept(run, capsys):
    newest, best = drawn("--model", "mine"), drawn("--model", "mine", "--best")
    assert not np.array_equal(newest, best)
    for model in (f"{OUT}/generator.keras", f"{OUT}/kept/epoch_0004.keras", str(OUT), "cgan"):
        assert np.array_equal(drawn("--model", model, "--best"), best)
    for model in (f"{OUT}/best.keras", f"{OUT}/kept/epoch_0002.keras"):
        assert np.array_equal(drawn("--model", model), best)
    pictures = capsys.readouterr().out.split()[::2]
    names = ("mine", "mine_best", "mine_epoch_0002")
    expected = {f"generated/cgan_fashion_{name}_3_seed0.png" for name in names}
    assert set(pictures) == expected


def test_evaluating_and_exploring_the_best(run, error_of, capsys, monkeypatch):
    """The images that the run was trained on are found for each of its generators."""
    change = json.loads((run / "run.json").read_text())
    change["data"]["sha256"] = "0"
    (run / "run.json").write_text(json.dumps(change))
    for model in (["mine", "--best"], [f"{OUT}/kept/epoch_0002.keras"]):
        error = error_of(evaluate.main, "--model", *model)
        assert "the images from sample are not those of the run any more" in error
    monkeypatch.setattr("common.sampling.explorer.check_window", lambda: None)
    seen = []
    monkeypatch.setattr(explore, "define_explorer", lambda generator, *_: seen.append(generator))
    with contextlib.suppress(AttributeError):
        explore.main(["--model", "mine", "--best"])
    assert [epoch_of(generator.path) for generator in seen] == [2]


def test_the_pictures_of_the_training_are_those_of_the_run(run, error_of):
    for model in (["mine", "--best"], [f"{OUT}/kept/epoch_0002.keras"]):
        error = error_of(generate.main, "--model", *model, "--learning")
        assert "there are no sample pictures of a training run in" in error
        assert f"{OUT / 'samples'}" in error


def test_no_best_generator(run, error_of, monkeypatch):
    (run / "best.keras").unlink()
    for main in (generate.main, evaluate.main, explore.main):
        error = error_of(main, "--model", "mine", "--best")
        assert f"{OUT / 'best.keras'} is not there: no quality was measured" in error
        assert "leave out --best" in error
    monkeypatch.setattr(finding, "FOLDERS", (Path("none"), Path("runs")))  # of those in trained/
    assert "leave out --best" in error_of(generate.main, "--model", "cgan", "--best")
    cgan_fashion.main(["--resume", "--out", str(OUT)])
    assert json.loads((run / "run.json").read_text())["best"] is None
    assert page_of(run)["remarks"] == []


def broken(content):
    with zipfile.ZipFile(OUT / "best.keras") as archive:
        info = archive.getinfo("model.weights.h5")
    place = info.header_offset + info.file_size // 2
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[:-100], lambda content: b"x", broken]
)
def test_a_damaged_best_generator(run, error_of, damage):
    path = run / "best.keras"
    path.write_bytes(damage(path.read_bytes()))
    for main in (generate.main, evaluate.main, explore.main):
        error = error_of(main, "--model", "mine", "--best")
        assert "best.keras is damaged: " in error and "leave out --best for the newest" in error


def test_keep_every_is_at_least_one(error_of):
    error = error_of(cgan_fashion.main, *TINY, "--keep-every", "0")
    assert "--keep-every: 0 is not between 1 and 1000000" in error
    assert not Path("runs").exists()
