"""The judges: how good the shipped ones are, how they are trained, what they make of images."""

from pathlib import Path

from common import UserError
from common.data import datasets, facades
from common.judges import __main__ as command
from common.judges import classifier, metrics, segmenter
from common.models import saved_models

import keras
import numpy as np
import pytest
from conftest import exit_status
from test_datasets import DEBIAN

FOLDER = Path(classifier.__file__).parent


@pytest.fixture(scope="module")
def digits():
    return datasets.load_mnist("sample")


def test_the_shipped_judges_are_small_and_plain():
    paths = sorted(FOLDER.glob("*.keras"))
    assert [path.stem for path in paths] == ["clothes", "digits", "facades"]
    for path in paths:
        assert path.stat().st_size < 2_000_000
        model = saved_models.load(path)  # stock layers, finite weights
        assert model.count_params() < 450_000 and not model.compiled
        assert {variable.dtype for variable in model.variables} == {"float32"}


def test_the_judge_of_digits_knows_those_that_it_has_not_seen(digits):
    _seen, unseen = digits.split()
    judge = classifier.load_judge(datasets.DIGITS, (28, 28, 1))
    assert judge.accuracy(unseen.images, unseen.labels) == pytest.approx(0.992, abs=0.002)


@pytest.mark.skipif(not DEBIAN.exists(), reason=f"{DEBIAN} is absent: a Debian package has it")
def test_the_judge_of_clothes_knows_the_test_part():
    test = datasets.load_fashion_mnist(str(DEBIAN), "test")
    assert test.images.shape == (10_000, 28, 28, 1)
    judge = classifier.load_judge(datasets.CLOTHES, (28, 28, 1))
    assert judge.accuracy(test.images, test.labels) == pytest.approx(0.9266, abs=0.001)


@pytest.mark.slow
def test_the_judge_of_facades_finds_the_classes_of_the_validation_photos(drawn):
    _training, validation = facades.split(drawn, 0)
    photos, label_maps = facades.centre_crops(facades.fit(validation, 64), 64)
    counts = metrics.confusion(segmenter.load_judge("drawn").segment(photos), label_maps, 12)
    assert metrics.pixel_accuracy(counts) == pytest.approx(0.9125, abs=0.002)
    assert metrics.mean_iou(counts) == pytest.approx(0.781, abs=0.005)


def test_a_shipped_judge_is_for_its_classes_and_size_only():
    assert classifier.judge_path(datasets.CLOTHES, (28, 28, 1)) == FOLDER / "clothes.keras"
    assert classifier.judge_path(list(datasets.DIGITS), (28, 28, 1)) == FOLDER / "digits.keras"
    for class_names, shape in (
        (datasets.CLOTHES, (32, 32, 1)),
        (datasets.CLOTHES, (28, 28, 3)),
        (datasets.CLOTHES[:9], (28, 28, 1)),
        ((), (28, 28, 1)),
    ):
        assert classifier.load_judge(class_names, shape) is None
    assert segmenter.judge_path("drawn") == FOLDER / "facades.keras"
    assert segmenter.load_judge("full") is None


def test_looking_at_images_of_8_bits_or_floats_in_batches_of_any_size(digits, monkeypatch):
    judge = classifier.load_judge(datasets.DIGITS, (28, 28, 1))
    features, found = judge.classify(digits.images[:30])
    assert features.shape == (30, 96) and found.shape == (30,)
    monkeypatch.setattr("common.models.generators.MAX_PIXELS", 7 * 28 * 28)  # 7, 7, 7, 7 and 2
    again, found_again = judge.classify(digits.images[:30].astype("float32") / 255)
    np.testing.assert_allclose(again, features, rtol=1e-4, atol=1e-5)
    assert np.array_equal(found_again, found)


@pytest.mark.parametrize("shape", [(28, 28, 1), (16, 24, 3), (64, 64, 3), (7, 7, 1)])
def test_a_classifier_of_images_of_any_shape(shape):
    model = classifier.define_classifier(shape, 3)
    assert [output.shape[1:] for output in model.outputs] == [(3,), (model.outputs[1].shape[1],)]
    images = np.random.default_rng(0).random((2, *shape), dtype="float32")
    features, found = classifier.Judge(model).classify(images)
    assert features.shape[1] <= 96 and set(found) <= {0, 1, 2}


def test_parameters_at_28_pixels():
    assert classifier.define_classifier((28, 28, 1), 10).count_params() == 157_954
    assert segmenter.define_segmenter(12).count_params() == 206_972


def test_training_a_classifier_is_the_same_for_the_same_seed(digits):
    def weights(seed):
        model = classifier.train(digits.images[:60], digits.labels[:60], 10, seed, epochs=1)
        return model.get_weights()

    first = weights(3)
    assert all(map(np.array_equal, first, weights(3)))
    assert not np.array_equal(first[0], weights(4)[0])


def test_a_classifier_learns(digits):
    """Dark images from bright ones takes no more than a few steps."""
    labels = np.arange(256) % 2
    images = np.where(labels, 200, 50).astype("uint8")[:, None, None, None].repeat(16, 1)
    images = images.repeat(16, 2)
    judge = classifier.Judge(classifier.train(images, labels, 2, epochs=10))
    assert judge.accuracy(images, labels) == 1


def test_shifting_moves_images_by_at_most_a_28th():
    image = np.zeros((1, 28, 28, 1), np.uint8)
    image[0, 10, 20] = 9
    shifted = classifier.shift(np.repeat(image, 300, axis=0), np.random.default_rng(0))
    places = np.argwhere(shifted)[:, 1:3]
    assert len(places) == 300
    assert {tuple(place) for place in places} == {(y, x) for y in (9, 10, 11) for x in (19, 20, 21)}


def test_a_segmenter_looks_at_other_sizes_too():
    """An image of 128 pixels is halved; so is its label map."""
    judge = segmenter.Judge(segmenter.define_segmenter(12))
    blocks = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype="uint8")
    small, large = (blocks.repeat(n, axis=1).repeat(n, axis=2) for n in (16, 32))
    assert (judge.segment(small) == judge.segment(large)).mean() > 0.95
    label_maps = np.random.default_rng(0).integers(0, 12, (2, 64, 64), dtype="uint8")
    assert np.array_equal(judge.scaled(label_maps), label_maps)
    assert np.array_equal(judge.scaled(label_maps.repeat(2, axis=1).repeat(2, axis=2)), label_maps)


def test_a_segmenter_is_trained_on_crops():
    photos = [np.full((70, 80, 3), 255 * (number % 2), np.uint8) for number in range(8)]
    label_maps = [np.full((70, 80), number % 2, np.uint8) for number in range(8)]
    names = tuple(map(str, range(8)))
    training = facades.Facades(photos, label_maps, names, "test")
    judge = segmenter.Judge(segmenter.train(training, 2, steps=12))
    found = judge.segment(np.stack([photo[:64, :64] for photo in photos]))
    assert (found == np.arange(8)[:, None, None] % 2).mean() > 0.99


def test_the_command_trains_tests_and_writes_a_judge(tmp_path, monkeypatch, capsys, digits):
    few = digits._replace(images=digits.images[:100], labels=digits.labels[:100])
    monkeypatch.setattr(datasets, "load_mnist", lambda source: few)
    usual = classifier.train
    monkeypatch.setattr(
        classifier, "train", lambda *given, report: usual(*given, epochs=1, report=report)
    )
    out = tmp_path / "judge.keras"
    command.main(["digits", "--data", "sample", "--seed", "5", "--out", str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 1/1: loss ") and lines[2] == str(out)
    assert lines[1].endswith(" on 20 images not used in training")
    assert saved_models.read(out)[1] == {
        "class_names": list("0123456789"),
        "image_shape": [28, 28, 1],
    }
    model = keras.saving.load_model(out)
    expected = usual(*(array[:80] for array in few.split()[0][:2]), 10, 5, epochs=1)
    assert all(map(np.array_equal, model.get_weights(), expected.get_weights()))


def test_the_command_holds_out_a_fifth_of_images_without_a_test_part(tmp_path, monkeypatch, capsys):
    images, labels, *_ = datasets.load_fashion_mnist("sample")
    np.savez(tmp_path / "own.npz", images=images[:50], labels=labels[:50])
    usual = classifier.train
    monkeypatch.setattr(classifier, "train", lambda *given, report: usual(*given, epochs=1))
    arguments = ["clothes", "--data", str(tmp_path / "own.npz")]
    command.main([*arguments, "--out", str(tmp_path / "judge.keras")])
    assert "on 10 images not used in training" in capsys.readouterr().out


def test_the_command_keeps_the_judges_that_come_with_the_code(tmp_path, capsys):
    images = np.zeros((20, 28, 28), "uint8")
    np.savez(tmp_path / "own.npz", images=images, labels=["cat", "dog"] * 10)
    assert exit_status(command.main, ["clothes", "--data", str(tmp_path / "own.npz")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "clothes.keras is a judge of other images, and would be replaced" in error
    assert "give another file with --out" in error
    for name, dataset in (
        ("clothes", datasets.load_fashion_mnist("sample")),
        ("digits", datasets.load_mnist("sample")),
    ):  # which may be trained anew
        command.check_replaced(FOLDER / f"{name}.keras", command.description(dataset))


def test_the_command_trains_a_judge_of_facades(tmp_path, monkeypatch, capsys, drawn):
    monkeypatch.setattr(facades, "load_facades", lambda _source: drawn.first(12))
    usual = segmenter.train
    monkeypatch.setattr(segmenter, "train", lambda *given, report: usual(*given, steps=2))
    command.main(["facades", "--data", "drawn", "--out", str(tmp_path / "judge.keras")])
    assert "photos not used in training" in capsys.readouterr().out
    about = saved_models.read(tmp_path / "judge.keras")[1]
    assert about == saved_models.read(FOLDER / "facades.keras")[1]
    command.check_replaced(FOLDER / "facades.keras", about)
    with pytest.raises(UserError, match="is a judge of other images"):
        command.check_replaced(FOLDER / "facades.keras", about | {"facades": "full"})


def test_half_a_file_beside_the_judges_is_passed_over(monkeypatch, tmp_path):
    """A process that is killed while it writes a judge leaves one."""
    (tmp_path / ".clothes.writing.keras").write_bytes(b"PK half")
    (tmp_path / "clothes.keras").write_bytes((FOLDER / "clothes.keras").read_bytes())
    monkeypatch.setattr(classifier, "__file__", str(tmp_path / "classifier.py"))
    found = classifier.judge_path(datasets.CLOTHES, (28, 28, 1))
    assert found == tmp_path / "clothes.keras"


def test_the_command_says_what_is_wrong(error_of, tmp_path):
    assert "must end in .keras" in error_of(command.main, "digits", "--out", "judge.h5")
    assert "no such file" in error_of(command.main, "clothes", "--data", str(tmp_path / "none"))
    assert "invalid choice" in error_of(command.main, "cats")
