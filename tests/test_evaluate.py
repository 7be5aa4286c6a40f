"""evaluate.py: exact figures of generators whose figures are known, what is written and refused."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import evaluate
from common.data import datasets, facades
from common.judges import networks
from common.models import saved_models
from common.models.generators import Generator
from common.sampling import evaluation, real_images

import keras
import numpy as np
import pytest
from conftest import exit_status
from keras import layers
from PIL import Image

N_TRAINING, N_TEST = 300, 150


@pytest.fixture(scope="module")
def clothes():
    """Prototypes, one of each class that the judge gets right, and images to compare with."""
    dataset = datasets.load_fashion_mnist("sample")
    images, labels, *_ = dataset
    _features, found = networks.classify(networks.load_judge(dataset), images[:N_TRAINING])
    right = np.flatnonzero(found == labels[:N_TRAINING])
    chosen = [next(i for i in right if labels[i] == label) for label in range(10)]
    return images, labels, chosen


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, clothes):
    """A folder with real images, training and test part."""
    images, labels, _ = clothes
    monkeypatch.chdir(tmp_path)
    test = slice(N_TRAINING, N_TRAINING + N_TEST)
    np.savez(
        "real.npz",
        x_train=images[:N_TRAINING],
        y_train=labels[:N_TRAINING],
        x_test=images[test],
        y_test=labels[test],
        class_names=datasets.CLOTHES,
    )
    return tmp_path


def save_copier(path, images, label_dtype="int32", with_label=True, names=datasets.CLOTHES):
    """Save a generator that knows ten images by heart: it copies the one that is asked for.

    Without labels it is always the first.
    """
    shape = images.shape[1:]
    latent = keras.Input((2,), name="latent")
    if label_dtype == "int32":
        label = keras.Input((1,), dtype="int32", name="label")
        table = layers.Embedding(len(images), int(np.prod(shape)))
    else:
        label = keras.Input((len(images),), name="label")
        table = layers.Dense(int(np.prod(shape)), use_bias=False)
    nothing = layers.Dense(int(np.prod(shape)), kernel_initializer="zeros", use_bias=False)
    if with_label:
        x = layers.Reshape(shape)(table(label)) + layers.Reshape(shape)(nothing(latent))
        model = keras.Model([latent, label], x)
        table.set_weights([images.reshape(len(images), -1) / 127.5 - 1])
    else:
        bias = layers.Dense(int(np.prod(shape)), kernel_initializer="zeros")
        model = keras.Model(latent, layers.Reshape(shape)(bias(latent)))
        zeros = np.zeros((2, int(np.prod(shape))))
        bias.set_weights([zeros, images[0].ravel() / 127.5 - 1])
    about = {"script": "copier", "class_names": names, "pixel_range": [-1, 1]}
    saved_models.save(model, path, about)


@pytest.fixture
def copier(here, clothes):
    images, _labels, chosen = clothes
    save_copier(here / "copier.keras", images[chosen])
    return "copier.keras"


def figures(*arguments):
    """What evaluate.py writes to --json."""
    evaluate.main([*arguments, "--json", "scores.json"])
    with open("scores.json", encoding="utf-8") as file:
        return json.load(file)


@pytest.mark.parametrize("label_dtype", ["int32", "float32"])
def test_a_generator_that_copies_one_image_of_each_class(here, clothes, capsys, label_dtype):
    images, _labels, chosen = clothes
    save_copier(here / "copier.keras", images[chosen], label_dtype)
    found = figures("--model", "copier.keras", "--data", "real.npz", "--count", "200")
    assert found["model"] == "copier" and found["data"] == "real.npz" and found["seed"] == 0
    assert (found["samples"]["count"], found["real"]["count"]) == (200, N_TEST)
    of_samples = found["samples"]["figures"]
    perfect = {"value": 1.0, "spread": 0.0}
    assert of_samples["label_accuracy"] == perfect
    for name in datasets.CLOTHES:
        assert of_samples[f"label_accuracy/{name}"] == perfect
    assert of_samples["variety"]["value"] == pytest.approx(0, abs=1e-6)
    of_real = found["real"]["figures"]
    assert of_real.keys() == of_samples.keys()
    assert of_real["label_accuracy"]["value"] > 0.9  # the judge has learnt from these
    assert of_real["variety"]["value"] == pytest.approx(1, abs=0.15)
    assert 0 < 3 * of_real["frechet_distance"]["value"] < of_samples["frechet_distance"]["value"]

    *lines, picture, written = capsys.readouterr().out.splitlines()
    assert (picture, written) == ("generated/copier_nearest_seed0.png", "scores.json")
    assert lines[0] == "copier from copier.keras, seed 0"
    assert lines[1].startswith("The judge finds the class of 9")
    assert lines[1].endswith(" of the 150 real images, which are the test part.")
    assert lines[2].split() == ["200", "samples", "150", "real", "images"]
    assert lines[3].split()[:5] == ["label", "accuracy", "1.000", "±", "0.000"]
    assert lines[4].startswith("  T-shirt/top ") and len(lines) == 16
    # The nearest is the image itself.
    with Image.open(picture) as image:
        pixels = np.asarray(image)[-5 * 90 :].reshape(5, 90, 2, 4, 90, 3)
    assert np.array_equal(pixels[:, :, :, 0], pixels[:, :, :, 1])
    assert not np.array_equal(pixels[:, :, :, 0], pixels[:, :, :, 2])


def test_a_generator_without_classes(here, clothes, capsys, error_of):
    images, labels, chosen = clothes
    save_copier(here / "copier.keras", images[chosen[3:]], with_label=False)
    arguments = ["--model", "copier.keras", "--data", "real.npz", "--count", "100"]
    found = figures(*arguments)
    of_samples, of_real = found["samples"]["figures"], found["real"]["figures"]
    shares = {name: figure["value"] for name, figure in of_samples.items() if "share" in name}
    assert shares == {f"class_share/{name}": float(name == "dress") for name in datasets.CLOTHES}
    assert sum(of_real[name]["value"] for name in shares) == pytest.approx(1)
    assert "label_accuracy" not in of_samples
    assert "\nshare of each class\n  T-shirt/top " in capsys.readouterr().out
    assert "has no classes" in error_of(evaluate.main, *arguments, "--cas")


def test_a_fifth_is_kept_back_where_there_is_no_test_part(here, clothes, copier, capsys):
    images, labels, _ = clothes
    np.savez("real.npz", x_train=images[:N_TRAINING], y_train=labels[:N_TRAINING])
    found = figures("--model", copier, "--data", "real.npz", "--count", "100")
    assert found["real"]["count"] == N_TRAINING // 5
    # The judge of clothes has learnt from all of Fashion-MNIST, and so, perhaps, from these.
    assert "of the 60 real images, which are a fifth of the training images; the judge may" in (
        capsys.readouterr().out
    )
    one_bag = np.flatnonzero((labels != 8) | (np.cumsum(labels == 8) == 1))[:N_TRAINING]
    names = {"class_names": datasets.CLOTHES}
    np.savez("real.npz", x_train=images[one_bag], y_train=labels[one_bag], **names)
    figures("--model", copier, "--data", "real.npz", "--count", "100")
    assert "warning: there are too few images of bag to learn from" in capsys.readouterr().err
    # That of digits has not learnt from the fifth that is kept back.
    save_copier(here / "digits.keras", images[:10], names=datasets.DIGITS)
    real = real_images.load(Generator(here / "digits.keras"), "sample")
    assert real.seen_by_generator and evaluation.find_judge(real)[1] is False


def test_classes_are_compared_by_their_names(here, clothes, capsys, error_of):
    """A folder sorts them, and a file of arrays may have them in any other order."""
    images, labels, chosen = clothes
    save_copier(here / "copier.keras", images[chosen])
    order = np.arange(10)[::-1]
    arrays = {"images": images[:N_TRAINING], "labels": order[labels[:N_TRAINING]]}
    np.savez("turned.npz", **arrays, class_names=np.array(datasets.CLOTHES)[order])
    found = figures("--model", "copier.keras", "--data", "turned.npz", "--count", "100")
    assert found["samples"]["figures"]["label_accuracy"]["value"] == 1
    assert found["real"]["figures"]["label_accuracy"]["value"] > 0.8

    np.savez("animals.npz", **arrays, class_names=[f"animal {number}" for number in range(10)])
    assert exit_status(evaluate.main, ["--model", "copier.keras", "--data", "animals.npz"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "has the classes T-shirt/top, trouser" in error and "animals.npz have animal 0" in error
    save_copier(here / "copier.keras", images[chosen], names=list("abcdefghij"))
    error = error_of(evaluate.main, "--model", "copier.keras")
    assert "nothing says what images copier.keras was trained on" in error


def test_no_judge_can_learn_from_images_without_classes(here, clothes, capsys):
    images, _labels, chosen = clothes
    save_copier(here / "copier.keras", images[chosen], with_label=False)
    (here / "pictures").mkdir()
    for number, image in enumerate(images[:100]):
        Image.fromarray(image[..., 0]).save(here / f"pictures/{number}.png")
    arguments = ["--model", "copier.keras", "--data", "pictures"]
    assert exit_status(evaluate.main, arguments) == 2
    assert "have no labels or are all of one class, but" in capsys.readouterr().err


def test_folders_of_classes_are_not_their_own_test_part(here, clothes, capsys, monkeypatch):
    images, labels, chosen = clothes
    wanted = [i for i in range(600) if labels[i] in (3, 8)]
    for i in wanted:
        folder = here / "pictures" / ("dress" if labels[i] == 3 else "bag")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i, ..., 0]).save(folder / f"{i}.png")
    save_copier(here / "copier.keras", images[[chosen[8], chosen[3]]], names=("bag", "dress"))
    usual = networks.train_classifier
    monkeypatch.setattr(networks, "train_classifier", lambda *given, **_: usual(*given, epochs=8))
    found = figures("--model", "copier.keras", "--data", "pictures", "--count", "100")
    assert found["real"]["count"] == len(wanted) - len(wanted) * 4 // 5
    assert f"training one on {len(wanted) * 4 // 5} of them\n" in capsys.readouterr().err
    of_samples = found["samples"]["figures"]
    assert of_samples["label_accuracy/bag"]["value"] == 1 and len(of_samples) == 5


def test_classification_accuracy_score(copier, monkeypatch):
    """Trained on one image of each class and on real ones, tested on the same real ones."""
    counts = []

    def train(images, labels, n_classes, seed, epochs):
        counts.append(len(images))
        assert np.ptp(np.bincount(labels)) <= 20 and seed == 4
        return networks.define_classifier(images.shape[1:], n_classes)

    monkeypatch.setattr("common.sampling.evaluation.MIN_PER_CLASS", 5)
    monkeypatch.setattr(networks, "train_classifier", train)
    arguments = ["--model", copier, "--data", "real.npz", "--count", "200", "--cas", "--seed", "4"]
    found = figures(*arguments)
    assert counts == ([40] * 5 + [200]) * 2
    for part in ("samples", "real"):
        assert 0 <= found[part]["figures"]["cas"]["value"] < 0.5  # untrained


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "99"], "--count: 99 is not between 100 and"),
        (["--data", "none.npz"], "cannot read none.npz"),
        (["--out", "a.txt"], "a.txt must end in .png"),
        (["--json", "a.txt"], "a.txt must end in .json"),
        (["--json", "copier.keras/a.json"], "copier.keras is a file"),
        (
            ["--cas", "--count", "400"],
            "at least 500 samples and as many real images for 10 classes",
        ),
        (["--cas"], "there are 10,000 samples and 300"),
        (["--model", "none"], "there is no model 'none'"),
    ],
)
def test_what_is_refused(here, copier, error_of, monkeypatch, arguments, words):
    monkeypatch.setattr(networks, "load_judge", None)  # before any slow work
    before = sorted(path.name for path in here.iterdir())
    arguments = ["--data", "real.npz", "--model", copier, *arguments]
    error = error_of(evaluate.main, *arguments)
    assert error.startswith("evaluate.py: error: ") and words in error
    assert sorted(path.name for path in here.iterdir()) == before


def test_images_that_are_no_numbers_are_not_scored(here, error_of):
    latent = keras.Input((2,), name="latent")
    x = layers.Reshape((1, 1, 2))(keras.ops.sqrt(latent))  # NaN where a number is negative
    model = keras.Model(latent, layers.Conv2D(1, 1)(layers.UpSampling2D(28)(x)))
    saved_models.save(model, "root.keras", {"class_names": datasets.CLOTHES})
    error = error_of(evaluate.main, "--model", "root.keras", "--data", "real.npz")
    assert "root.keras draws images in which pixels are NaN" in error


def test_real_images_have_the_size_that_the_generator_makes(here, clothes, capsys, monkeypatch):
    images, _, chosen = clothes
    save_copier(here / "small.keras", images[chosen][:, ::2, ::2])
    monkeypatch.setattr(
        networks,
        "train_classifier",
        lambda images, *_, **_options: networks.define_classifier(images.shape[1:], 10),
    )
    found = figures("--model", "small.keras", "--data", "real.npz", "--count", "100")
    assert found["samples"]["count"] == 100
    assert "There is no judge for these images" in capsys.readouterr().err


def test_images_of_another_shape_or_with_other_classes(here, clothes, capsys):
    images, _, chosen = clothes
    for made, names, words in (
        (images[chosen][:, 4:24], datasets.CLOTHES, "makes images of 20 x 28 x 1, and those from"),
        (images[chosen[:7]], "abcdefg", "has the classes a, b, c, d, e, f, g, and the images from"),
    ):
        save_copier(here / "other.keras", made, names=list(names))
        arguments = ["--model", "other.keras", "--data", "real.npz"]
        assert exit_status(evaluate.main, arguments) == 2
        assert words in capsys.readouterr().err


def test_the_data_of_the_run(here, copier, capsys):
    """What run.json says, if it is still the same, with the --limit of the run."""
    run = here / "run"
    run.mkdir()
    (here / copier).rename(run / "generator.keras")
    dataset = datasets.load_fashion_mnist("real.npz")

    def write(limit, source="real.npz", sha256=None):
        data = {"source": source, "sha256": sha256 or dataset.limited(limit, 0).sha256()}
        record = {"data": data, "arguments": {"limit": limit, "seed": 0}}
        (run / "run.json").write_text(json.dumps(record))

    def error(*arguments):
        assert exit_status(evaluate.main, ["--model", "run", *arguments]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    write(200)
    found = figures("--model", "run", "--count", "100")
    assert found["data"] == "real.npz" and found["real"]["count"] == N_TEST
    write(99)
    assert "99 images from real.npz are too few" in error()
    write(99, sha256="0")
    assert "are not those of the run any more" in error()
    write(99, "moved.npz")
    assert "cannot read moved.npz" in error()
    assert "run.json of the generator names it, and --data may name another place" in error()
    assert "the path is empty" in error("--data", "")
    (run / "run.json").write_text("{}")
    assert "run.json, which names the run's images, is damaged" in error()


def test_the_nearest_by_pixels(clothes):
    images, _, _ = clothes
    brighter = np.minimum(images[[5, 70]].astype(int) + 20, 255).astype("uint8")
    nearest = evaluation.find_nearest(brighter, images[:2500])
    assert nearest[:, 0].tolist() == [5, 70]
    distances = ((images[:2500].astype(int) - brighter[:1].astype(int)) ** 2).sum((1, 2, 3))
    assert nearest[0].tolist() == np.argsort(distances)[:3].tolist()


def save_painter(path, spread):
    """Save a generator that paints the classes in their colours, tinted by the latent.

    `spread` is the standard deviation of the tint, the same for red, green and blue.
    """
    latent = keras.Input((1,), name="latent")
    layout = keras.Input((64, 64, 12), name="layout")
    paint, tint = layers.Conv2D(3, 1, use_bias=False), layers.Dense(3, use_bias=False)
    x = paint(layout) + layers.Reshape((1, 1, 3))(tint(latent))
    model = keras.Model([latent, layout], x)
    paint.set_weights([(facades.colours(np.arange(12))[None, None] / 255.0 - 0.5)])
    tint.set_weights([np.full((1, 3), spread)])
    about = {"class_names": facades.CLASS_NAMES, "pixel_range": [-1, 1]}
    saved_models.save(model, path, about)


@pytest.fixture
def few_facades(monkeypatch, drawn):
    """Sixty drawn facades in the place of all; what their judge sees are the true colours."""
    few = drawn.first(60)
    monkeypatch.setattr(facades, "load_facades", lambda *_, **__: few)

    def segment(_judge, images):
        colours = facades.colours(np.arange(12)).astype(int)
        tinted = images[:, ::1, ::1, np.newaxis].astype(int) * 2 - 255 - (colours - 127)
        return np.ptp(tinted, axis=-1).argmin(axis=-1).astype("uint8")

    monkeypatch.setattr(networks, "segment", segment)


@pytest.mark.slow
def test_a_generator_of_label_maps(here, few_facades, capsys, error_of, monkeypatch):
    save_painter(here / "painter.keras", 0.1)
    found = figures("--model", "painter.keras", "--data", "drawn")
    assert (found["samples"]["count"], found["real"]["count"]) == (12 * 20, 12)
    of_samples = found["samples"]["figures"]
    assert of_samples["colour_variation"]["value"] == pytest.approx(0.1, rel=0.1)
    assert of_samples.keys() == found["real"]["figures"].keys()
    assert "12 label maps that were not used in training, 20 samples of each; 12 photos" in (
        capsys.readouterr().out
    )
    save_painter(here / "painter.keras", 0.0)
    arguments = ["--model", "painter.keras", "--data", "drawn", "--count", "100"]
    found = figures(*arguments)
    assert found["samples"]["figures"]["colour_variation"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["samples"]["count"] == 10 * 10
    assert "has no classes" in error_of(evaluate.main, *arguments, "--cas")
    few = facades.load_facades()._replace(class_names=("wall", "window"))
    monkeypatch.setattr(facades, "load_facades", lambda *_, **__: few)
    error = error_of(evaluate.main, *arguments)
    assert "and the images from drawn have wall, window" in error


@pytest.mark.slow
def test_what_the_judge_of_facades_may_have_learnt_from(here, monkeypatch, drawn):
    """The validation facades of another split or of fewer are not those that it has not seen."""
    monkeypatch.setattr(facades, "load_facades", lambda *_, **__: drawn)
    save_painter(here / "painter.keras", 0.1)
    for seed, limit, seen in ((0, None, False), (5, None, True), (0, 120, True)):
        data = {"source": "drawn", "sha256": drawn.limited(limit, seed).sha256()}
        record = {"data": data, "arguments": {"limit": limit, "seed": seed}}
        (here / "run.json").write_text(json.dumps(record))
        real = real_images.load(Generator(here / "painter.keras"))
        assert evaluation.find_judge(real)[1] is seen


def test_all_is_written_before_anything_is_printed(copier, monkeypatch):
    def no_space(_text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=no_space, flush=lambda: None))
    arguments = ["--model", copier, "--data", "real.npz", "--count", "100", "--out", "a.png"]
    assert exit_status(evaluate.main, [*arguments, "--json", "a.json"]) == 2
    assert Path("a.png").stat().st_size > 0 and json.loads(Path("a.json").read_text())["samples"]
