"""Scripts and generators unknown to the project: what Keras can express, `common` carries."""

import zipfile
from pathlib import Path

import generate
from common.models import saved_models
from common.models.generators import Generator

import keras
import numpy as np
import pytest
import sixth_script
from keras import layers, ops
from PIL import Image
from runs import assert_same_run, interrupt_after


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arrays(*arguments):
    """What generate.py saves in an arrays file."""
    generate.main([*arguments, "--save-arrays", "arrays.npz", "--out", "picture.png"])
    with np.load("arrays.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.slow
def test_a_sixth_script_trains_resumes_and_is_sampled(here, monkeypatch):
    sixth_script.main(["--out", "in one go"])
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as leaving:
        interrupt_after(8, patch, sixth_script)
        sixth_script.main([])
    assert leaving.value.code == 130
    sixth_script.main(["--resume"])
    assert_same_run(here / "runs/sixth_script", here / "in one go")

    saved = arrays("--model", "sixth", "--class", "gre", "--count", "4")
    assert saved["images"].shape == (4, 32, 32, 3) and saved["labels"].tolist() == [1] * 4
    model = keras.saving.load_model("runs/sixth_script/generator.keras")
    latents = np.random.default_rng(0).standard_normal((4, 5), dtype="float32")
    drawn = model.predict_on_batch([latents, np.eye(3, dtype="float32")[[1] * 4]])
    np.testing.assert_allclose(saved["images"], drawn, atol=1e-6)

    generate.main(["--model", "runs/sixth_script", "--out", "all.png"])
    with Image.open("all.png") as picture:
        assert picture.mode == "RGB" and picture.width == 12 * 34 * 3  # twelve columns
    walk = arrays("--model", "sixth", "--interpolate", "red", "blue", "--frames", "3")
    assert walk["labels"].tolist() == [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]]


def save(name, **options):
    """Save a generator of three classes as anybody might, without a run."""
    latent = keras.Input((2, 2, 4), name="latent")
    label = keras.Input((), dtype="int64", name="label")
    vector = layers.Reshape((1, 1, 4))(layers.Embedding(3, 4)(label))
    x = layers.SpectralNormalization(layers.Conv2D(8, 3, padding="same"))(latent * vector)
    x = keras.Sequential([layers.UpSampling2D((8, 12)), layers.Conv2D(3, 1)])(x)
    shared = layers.Activation("tanh")
    x = shared(shared(x)) * np.full((3,), 0.5, "float32")
    keras.Model([label, latent], x, name="any_name", **options).save(name)


def test_a_generator_without_a_run():
    save("mine.keras")
    generator = Generator("mine.keras")
    assert (generator.name, generator.label_kind) == ("any_name", "integer")
    assert generator.class_names == ("0", "1", "2") and generator.pixel_range == (-1, 1)
    assert generator.latent_shape == (2, 2, 4) and generator.image_shape == (16, 24, 3)
    saved = arrays("--model", "mine.keras", "--class", "2", "--count", "3")
    latents = np.random.default_rng(0).standard_normal((3, 2, 2, 4), dtype="float32")
    drawn = keras.saving.load_model("mine.keras").predict_on_batch([np.full(3, 2), latents])
    np.testing.assert_allclose(saved["images"], (drawn + 1) / 2, atol=1e-6)
    walk = arrays("--model", "mine.keras", "--interpolate", "1", "2", "--frames", "3")
    assert walk["images"].shape == (3, 16, 24, 3)
    np.testing.assert_allclose(walk["images"][-1], saved["images"][0], atol=1e-6)


@keras.saving.register_keras_serializable(package="student")
class OwnLayer(layers.Layer):
    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable(package="student")
def own_activation(x):
    return x


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (OwnLayer(), "test_sixth_script.OwnLayer"),
        (layers.Lambda(lambda x: x), "keras.layers.Lambda"),
        (layers.Dense(1, activation=own_activation), "own_activation"),
    ],
    ids=["own", "lambda", "function"],
)
@pytest.mark.filterwarnings("ignore:.*saving.*:UserWarning")
def test_what_is_not_kerass_own_is_refused(error_of, layer, words):
    latent = keras.Input((4, 4, 1), name="latent")
    keras.Model(latent, layer(latent)).save("own.keras")
    error = error_of(generate.main, "--model", "own.keras", "--out", "own.png")
    assert "own.keras: it holds" in error and words in error
    assert "generate.py loads only layers and operations of Keras itself" in error


def test_a_file_of_a_newer_keras_names_both_versions(error_of):
    save("mine.keras")
    with zipfile.ZipFile("mine.keras") as archive, zipfile.ZipFile("newer.keras", "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "metadata.json":
                content = content.replace(keras.__version__.encode(), b"99.1.0")
            if name == "config.json":
                content = content.replace(b'"interpolation"', b'"what_comes_later"')
            copy.writestr(name, content)
    error = error_of(generate.main, "--model", "newer.keras")
    assert f"it was saved by Keras 99.1.0, and this is {keras.__version__}" in error


def test_label_maps_need_classes_of_ones_own(here):
    latent = keras.Input((3,), name="latent")
    label_map = keras.Input((8, 8, 4), name="segmentation")
    x = layers.Dense(1)(latent)[:, None, None] + label_map
    keras.Model([latent, label_map], ops.tanh(layers.Conv2D(3, 1)(x))).save("maps.keras")
    generator = Generator("maps.keras")
    assert generator.label_kind == "label map" and generator.class_names == ("0", "1", "2", "3")
    images = generator.draw(np.zeros((2, 3), "float32"), np.full((2, 8, 8), 3))
    assert images.shape == (2, 8, 8, 3) and 0 <= images.min() <= images.max() <= 1


LATENT = keras.Input((5,), name="latent")
LABEL = keras.Input((1,), dtype="int32", name="label")


def image(x):
    return layers.Reshape((4, 4, 3))(layers.Dense(48, activation="tanh")(x))


@pytest.mark.parametrize(
    "define",
    [
        lambda: keras.Model(
            {"latent": LATENT, "label": LABEL},
            image(layers.Flatten()(layers.Embedding(3, 5)(LABEL)) * LATENT),
        ),
        lambda: keras.Model(LATENT, {"image": image(LATENT)}),
        lambda: keras.Sequential([LATENT, layers.Dense(48), layers.Reshape((4, 4, 3))]),
    ],
    ids=["dict of inputs", "dict of outputs", "sequential"],
)
def test_models_as_students_save_them(define):
    model = define()
    model.compile("adam", "mse")
    model.save("mine.keras")
    generator = Generator("mine.keras")
    latents = np.ones((2, 5), "float32")
    labels = np.array([2, 0]) if generator.label_kind else None
    assert generator.class_names == (("0", "1", "2") if generator.label_kind else ())
    named = {"latent": latents, "label": np.array([[2], [0]])}
    inputs = [named[tensor.name] for tensor in model.inputs]
    expected = keras.Model(model.inputs, model.outputs[0]).predict_on_batch(inputs)
    drawn = generator.draw(latents, labels)
    np.testing.assert_allclose(drawn, ((expected + 1) / 2).clip(0, 1), atol=1e-6)


def save_labelled(x):
    model = keras.Model([LATENT, LABEL], image(x))
    saved_models.save(model, Path("labels.keras"), {"class_names": ["a", "b", "c"]})
    return Generator("labels.keras")


@pytest.mark.parametrize("shifted", [False, True])
def test_mixtures_of_classes_whose_embedding_is_called_twice_or_with_other_numbers(shifted):
    """The ends of a walk are the classes; halves draw what half of each vector gives."""
    embedding, label = layers.Embedding(4, 5), LABEL + 1 if shifted else LABEL
    x = layers.Flatten()(embedding(label))
    x = x * LATENT if shifted else x * LATENT + layers.Flatten()(embedding(label))
    generator = save_labelled(x)
    latents = np.random.default_rng(0).standard_normal((1, 5), dtype="float32")
    one, other = (generator.draw(latents, np.array([label])) for label in (0, 1))
    for shares, expected in (([1, 0, 0], one), ([0, 1, 0], other)):
        shares = np.array([shares, [0, 0, 1]], "float32")  # two, so that it is a mixture
        drawn = generator.draw(np.repeat(latents, 2, axis=0), shares)
        np.testing.assert_allclose(drawn[:1], expected, atol=1e-6)
    half = generator.draw(latents, np.array([[0.5, 0.5, 0]], "float32"))
    assert min(np.abs(half - one).max(), np.abs(half - other).max()) > 1e-4


def test_labels_that_cannot_be_mixed(error_of):
    one_hot = layers.CategoryEncoding(3)(LABEL)
    vector = layers.Flatten()(layers.Embedding(3, 5)(LABEL))
    save_labelled(layers.Concatenate()([vector * LATENT, one_hot]))
    assert arrays("--model", "labels.keras", "--class", "b", "--count", "2")["images"].any()
    error = error_of(generate.main, "--model", "labels.keras", "--interpolate", "a", "c")
    assert "uses its labels outside their embedding as well" in error


def test_a_number_of_classes_that_is_guessed_wrongly_is_one_line(error_of):
    x = layers.Flatten()(layers.Embedding(4, 5)(LABEL + 1)) * LATENT
    keras.Model([LATENT, LABEL], image(x)).save("guess.keras")
    error = error_of(generate.main, "--model", "guess.keras", "--out", "guess.png")
    assert "cannot draw, though it seems to have 4 classes" in error
