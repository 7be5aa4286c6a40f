"""The judges: how good the shipped ones are, how they are trained, what they make of images."""

from pathlib import Path

from common.data import datasets, facades
from common.judges import __main__ as command
from common.judges import networks, scores
from common.models import saved_models

import keras
import numpy as np
import pytest
from conftest import exit_status
from test_datasets import DEBIAN

FOLDER = Path(networks.__file__).parent


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
    judge = networks.load_judge(digits)
    accuracy = networks.accuracy(judge, unseen.images, unseen.labels)
    assert accuracy == pytest.approx(0.992, abs=0.002)


@pytest.mark.skipif(not DEBIAN.exists(), reason=f"{DEBIAN} is absent: a Debian package has it")
def test_the_judge_of_clothes_knows_the_test_part():
    test = datasets.load_fashion_mnist(str(DEBIAN), "test")
    assert test.images.shape == (10_000, 28, 28, 1)
    accuracy = networks.accuracy(networks.load_judge(test), test.images, test.labels)
    assert accuracy == pytest.approx(0.9266, abs=0.001)


@pytest.mark.slow
def test_the_judge_of_facades_finds_the_classes_of_the_validation_photos(drawn):
    _training, validation = facades.split(drawn, 0)
    photos, label_maps = facades.centre_crops(facades.fit(validation, 64), 64)
    figures = scores.label_map_accuracy(networks.load_judge(drawn), photos, label_maps)
    assert figures["pixel_accuracy"] == pytest.approx(0.9125, abs=0.002)
    assert figures["mean_iou"] == pytest.approx(0.781, abs=0.005)


def test_a_shipped_judge_is_for_its_classes_and_size_only(digits, drawn):
    def judge_of(class_names, shape):
        images = np.zeros((20, *shape), "uint8")
        return networks.judge_path(digits._replace(images=images, class_names=class_names))

    assert judge_of(datasets.CLOTHES, (28, 28, 1)) == FOLDER / "clothes.keras"
    assert judge_of(list(datasets.DIGITS), (28, 28, 1)) == FOLDER / "digits.keras"
    assert judge_of(datasets.CLOTHES, (32, 32, 1)) is None
    assert judge_of(datasets.CLOTHES, (28, 28, 3)) is None
    assert judge_of(datasets.CLOTHES[:9], (28, 28, 1)) is judge_of((), (28, 28, 1)) is None
    assert networks.judge_path(drawn) == FOLDER / "facades.keras"
    assert networks.load_judge(drawn._replace(source="full")) is None


def test_looking_at_images_of_8_bits_or_floats_in_batches_of_any_size(digits, monkeypatch):
    judge = networks.load_judge(digits)
    features, found = networks.classify(judge, digits.images[:30])
    assert features.shape == (30, 96) and found.shape == (30,)
    monkeypatch.setattr("common.models.generators.MAX_PIXELS", 7 * 28 * 28)  # 7, 7, 7, 7 and 2
    floats = digits.images[:30].astype("float32") / 255
    again, found_again = networks.classify(judge, floats)
    np.testing.assert_allclose(again, features, rtol=1e-4, atol=1e-5)
    assert np.array_equal(found_again, found)


@pytest.mark.parametrize("shape", [(28, 28, 1), (16, 24, 3), (64, 64, 3), (7, 7, 1)])
def test_a_classifier_of_images_of_any_shape(shape):
    model = networks.define_classifier(shape, 3)
    assert [output.shape[1:] for output in model.outputs] == [(3,), (model.outputs[1].shape[1],)]
    images = np.random.default_rng(0).random((2, *shape), dtype="float32")
    features, found = networks.classify(model, images)
    assert features.shape[1] <= 96 and set(found) <= {0, 1, 2}


def test_training_a_classifier_is_the_same_for_the_same_seed(digits):
    def weights(seed):
        model = networks.train_classifier(
            digits.images[:60], digits.labels[:60], 10, seed, epochs=1
        )
        return model.get_weights()

    first = weights(3)
    assert all(map(np.array_equal, first, weights(3)))
    assert not np.array_equal(first[0], weights(4)[0])


def test_a_segmenter_looks_at_other_sizes_too():
    """An image of 128 pixels is halved; so is its label map."""
    keras.utils.set_random_seed(0)
    judge = networks.define_segmenter(12)
    blocks = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype="uint8")
    small, large = (blocks.repeat(n, axis=1).repeat(n, axis=2) for n in (16, 32))
    assert (networks.segment(judge, small) == networks.segment(judge, large)).mean() > 0.9
    label_maps = np.random.default_rng(0).integers(0, 12, (2, 64, 64), dtype="uint8")
    assert np.array_equal(networks.scaled(label_maps), label_maps)
    assert np.array_equal(
        networks.scaled(label_maps.repeat(2, axis=1).repeat(2, axis=2)), label_maps
    )


def test_a_segmenter_is_trained_on_crops():
    photos = [np.full((70, 80, 3), 255 * (number % 2), np.uint8) for number in range(8)]
    label_maps = [np.full((70, 80), number % 2, np.uint8) for number in range(8)]
    training = facades.Facades(photos, label_maps, "test")
    judge = networks.train_segmenter(training, 2, steps=12)
    found = networks.segment(judge, np.stack([photo[:64, :64] for photo in photos]))
    assert (found == np.arange(8)[:, None, None] % 2).mean() > 0.99


def test_the_command_trains_tests_and_writes_a_judge(tmp_path, monkeypatch, capsys, digits):
    few = digits._replace(images=digits.images[:100], labels=digits.labels[:100])
    monkeypatch.setattr(datasets, "load_mnist", lambda source: few)
    usual = networks.train_classifier
    monkeypatch.setattr(
        networks, "train_classifier", lambda *given, report: usual(*given, epochs=1, report=report)
    )
    out = tmp_path / "judge.keras"
    command.main(["digits", "--data", "sample", "--seed", "5", "--out", str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 1/1: loss ") and lines[2] == str(out)
    assert lines[1].endswith(" on 20 images not used in training")
    assert saved_models.read(out)[1] == {
        "class_names": list("0123456789"),
        "image_shape": [28, 28, 1],
        "split_sha256": few.sha256(),
    }
    model = keras.saving.load_model(out)
    expected = usual(*(array[:80] for array in few.split()[0][:2]), 10, 5, epochs=1)
    assert all(map(np.array_equal, model.get_weights(), expected.get_weights()))


def test_the_command_keeps_the_judges_that_come_with_the_code(tmp_path, capsys):
    images = np.zeros((20, 28, 28), "uint8")
    np.savez(tmp_path / "own.npz", images=images, labels=["cat", "dog"] * 10)
    assert exit_status(command.main, ["clothes", "--data", str(tmp_path / "own.npz")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "clothes.keras is a judge of other images, and would be replaced" in error
    assert "give another file with --out" in error


def test_the_command_trains_a_judge_of_facades(tmp_path, monkeypatch, capsys, drawn):
    monkeypatch.setattr(facades, "load_facades", lambda _source: drawn.first(12))
    usual = networks.train_segmenter
    monkeypatch.setattr(networks, "train_segmenter", lambda *given, report: usual(*given, steps=2))
    command.main(["facades", "--data", "drawn", "--out", str(tmp_path / "judge.keras")])
    assert "images not used in training" in capsys.readouterr().out
    about = networks.images_of(drawn)
    assert about.items() <= saved_models.read(tmp_path / "judge.keras")[1].items()


def test_half_a_file_beside_the_judges_is_passed_over(monkeypatch, tmp_path):
    """A process that is killed while it writes a judge leaves one."""
    (tmp_path / ".clothes.writing.keras").write_bytes(b"PK half")
    (tmp_path / "clothes.keras").write_bytes((FOLDER / "clothes.keras").read_bytes())
    monkeypatch.setattr(networks, "__file__", str(tmp_path / "networks.py"))
    found = networks.judge_path(datasets.load_fashion_mnist("sample"))
    assert found == tmp_path / "clothes.keras"


def test_the_command_says_what_is_wrong(error_of, tmp_path):
    assert "must end in .keras" in error_of(command.main, "digits", "--out", "judge.h5")
    assert "no such file" in error_of(command.main, "clothes", "--data", str(tmp_path / "none"))
    assert "invalid choice" in error_of(command.main, "cats")
