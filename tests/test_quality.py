"""Figures of the averaged generator while it learns: when, where they are kept, and no traces."""

import csv
import random
from types import SimpleNamespace

import cgan_fashion
import gan_fashion
from common import UserError
from common.data import datasets
from common.judges import networks
from common.training import quality
from common.training.quality import Quality

import keras
import numpy as np
import pytest
from conftest import TINY
from keras import layers
from PIL import Image
from runs import assert_same_run, contents, interrupt_after, weights


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(quality, "N_SAMPLES", 50)


@pytest.fixture(scope="module")
def clothes():
    return datasets.load_fashion_mnist("sample")


def rows(folder):
    with open(folder / "losses.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def with_figures(tmp_path_factory):
    """A run of three epochs that are judged every second."""
    folder = tmp_path_factory.mktemp("judged") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "N_SAMPLES", 50)
        cgan_fashion.main([*TINY, "--epochs", "3", "--evaluate-every", "2", "--out", str(folder)])
    return folder


def test_the_training_is_the_same_to_the_bit_with_and_without(with_figures, tmp_path):
    cgan_fashion.main([*TINY, "--epochs", "3", "--evaluate-every", "0", "--out", str(tmp_path)])
    judged, not_judged = weights(with_figures), weights(tmp_path)
    assert judged.keys() == not_judged.keys()
    assert all(np.array_equal(judged[name], not_judged[name]) for name in judged)
    pictures = {name: content for name, content in contents(tmp_path).items() if "samples" in name}
    assert len(pictures) == 3 and pictures.items() <= contents(with_figures).items()
    losses = (tmp_path / "losses.png").read_bytes()
    assert (with_figures / "losses.png").read_bytes() == losses  # no figures of quality in it
    assert not (tmp_path / "quality.png").exists()
    figures = {"label_accuracy", "frechet_distance"}
    for one, other in zip(rows(with_figures), rows(tmp_path), strict=True):
        assert {name: value for name, value in one.items() if name not in figures} == other


def test_the_figures_are_in_the_table_and_in_a_picture(with_figures):
    first, second, third = rows(with_figures)
    assert list(first)[-2:] == ["label_accuracy", "frechet_distance"]
    for row in (first, third):
        assert row["label_accuracy"] == row["frechet_distance"] == ""
    assert 0 <= float(second["label_accuracy"]) < 0.5 and float(second["frechet_distance"]) > 10
    with Image.open(with_figures / "quality.png") as image:
        assert image.size == (900, 320)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_figures(with_figures, tmp_path, monkeypatch):
    arguments = [*TINY, "--epochs", "3", "--evaluate-every", "2", "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        interrupt_after(10, patch)  # in the third epoch
        cgan_fashion.main(arguments)
    cgan_fashion.main(["--resume", "--out", str(tmp_path / "run")])
    assert_same_run(tmp_path / "run", with_figures)


@pytest.mark.slow
def test_figures_that_begin_or_end_with_a_resumed_run(tmp_path):
    """The cells of the epochs before are empty, those after as well, and the picture stays."""
    out = ["--out", str(tmp_path)]
    gan_fashion.main([*TINY, "--epochs", "1", *out])
    gan_fashion.main(["--resume", "--epochs", "2", "--evaluate-every", "1", *out])
    picture = (tmp_path / "quality.png").read_bytes()
    gan_fashion.main(["--resume", "--epochs", "3", "--evaluate-every", "0", *out])
    distances = [row["frechet_distance"] for row in rows(tmp_path)]
    assert distances[0] == distances[2] == "" and float(distances[1]) > 10
    assert "label_accuracy" not in rows(tmp_path)[0]  # there are no labels to ask for
    assert (tmp_path / "quality.png").read_bytes() != picture  # the axis is one epoch longer
    gan_fashion.main([*TINY, "--epochs", "1", "--overwrite", *out])
    assert not (tmp_path / "quality.png").exists()


def quality_of(dataset, every=None, seed=0, pixel_range=(-1, 1)):
    about = {"pixel_range": pixel_range}
    for name in ("class_names", "colours"):
        if hasattr(dataset, name):
            about[name] = np.asarray(getattr(dataset, name)).tolist()
    return Quality(dataset, about, SimpleNamespace(seed=seed, evaluate_every=every))


def test_how_often_by_default(clothes, monkeypatch):
    monkeypatch.setattr(quality, "N_SAMPLES", 2000)

    def every(count, class_names=datasets.CLOTHES, shape=(28, 28, 1)):
        images = np.broadcast_to(np.uint8(0), (count, *shape))
        labels = np.zeros(count, "int32")
        return quality_of(datasets.Dataset(images, labels, class_names, "full")).every

    assert [every(count) for count in (70_000, 60_000, 40_000, 39_999, 10_000)] == [1, 1, 1, 2, 4]
    assert every(60_000, datasets.DIGITS) == 1
    assert every(60_000, ("cat", "dog")) == every(60_000, shape=(32, 32, 3)) == 0
    assert every(60_000, ()) == 0


def test_without_a_judge_it_cannot_be_asked_for(clothes, tmp_path, monkeypatch, error_of):
    monkeypatch.setattr(networks, "judge_path", lambda *_: None)
    arguments = [*TINY, "--epochs", "1", "--out", str(tmp_path / "run")]
    error = error_of(cgan_fashion.main, *arguments, "--evaluate-every", "3")
    assert "--evaluate-every 3: no judge for images such as those from sample" in error
    assert not (tmp_path / "run").exists()


def test_a_judge_measures_only_images_such_as_it_has_learnt_from(clothes):
    """Labels without names are taken for those of clothes, whatever the images show."""
    few = clothes.limited(500, 0)._replace(source="own.npz")
    others = few._replace(labels=(few.labels + 1) % 10)
    assert quality_of(few).every and not quality_of(others).every
    with pytest.raises(UserError, match="--evaluate-every 1: no judge for images such as those"):
        quality_of(others, 1)


def generator(labels=True, tanh=True):
    """Grey images, as bright as the first number of the latent, and the label in the corner."""
    latent = keras.Input((2,), name="latent")
    x = layers.Reshape((1, 1, 2))(latent)
    x = layers.UpSampling2D(28)(x)
    image = layers.Conv2D(1, 1, activation="tanh" if tanh else "sigmoid")(x)
    if not labels:
        return keras.Model(latent, image)
    label = keras.Input((1,), dtype="int32", name="label")
    embedded = layers.Reshape((28, 28, 1))(layers.Embedding(10, 28 * 28)(label))
    return keras.Model([label, latent], image + embedded)  # in the other order, too


def test_the_figures_depend_on_the_generator_alone(clothes):
    model = generator()
    measure = quality_of(clothes.limited(200, 0), 2, seed=5)
    python_random = random.getstate()
    assert measure.after(1, model) == {}
    first = measure.after(2, model)
    assert list(first) == ["label_accuracy", "frechet_distance"]
    assert measure.after(4, model) == first
    assert random.getstate() == python_random
    assert quality_of(clothes.limited(200, 0), 1, seed=5).after(7, model) == first
    scaled = quality_of(clothes.limited(200, 0), 1, seed=5, pixel_range=(0, 1))
    assert scaled.after(7, model) != first


def test_label_maps(drawn):
    few = drawn.first(10)
    latent = keras.Input((1,), name="latent")
    layout = keras.Input((64, 64, 12), name="layout")
    image = layers.Conv2D(3, 1, activation="tanh")(layout)
    model = keras.Model([latent, layout], image + layers.Reshape((1, 1, 1))(latent) * 0)
    measure = quality_of(few)
    assert measure.every == 4  # 2 maps of 10 facades
    figures = measure.after(4, model)
    assert figures.keys() == {"pixel_accuracy", "mean_iou"}
    assert 0 < figures["mean_iou"] < figures["pixel_accuracy"] < 0.9
    assert quality_of(few._replace(source="full")).every == 0
