"""generate.py with a GauGAN: which label maps, which latents, and what is refused."""

import json
import shutil

import gaugan_facades as gaugan
import generate
from common.data import facades
from common.models import saved_models
from common.sampling import finding

import keras
import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

SIZE, LATENT_DIM = 64, 6


@pytest.fixture(scope="module")
def trained_gaugan(tmp_path_factory, few_drawn):
    """A folder whose runs/ holds a GauGAN that has not learned anything, of 30 drawn facades."""

    def train(*models_and_more):
        run = models_and_more[-1]
        for _epoch in run.epochs():
            for _step in run.steps(1):
                run.log(d_loss=1.0)
            run.save_epoch()

    folder = tmp_path_factory.mktemp("label_maps")
    arguments = ["--data", "drawn", "--limit", "30", "--image-size", "64", "--width", "0.02"]
    arguments += ["--latent-dim", "6", "--vgg", "none", "--seed", "3", "--epochs", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facades, "DRAWN", few_drawn(31))
        patch.setattr(gaugan, "train", train)
        gaugan.main([*arguments, "--out", str(folder / "runs/gaugan_facades")])
        yield folder


@pytest.fixture(autouse=True)
def here(trained_gaugan, tmp_path, monkeypatch):
    """A folder of one's own with a trained model in runs/, a label map and a photo."""
    (tmp_path / "runs").symlink_to(trained_gaugan / "runs")
    monkeypatch.chdir(tmp_path)
    layout = np.ones((100, 160), "uint8")
    layout[20:60, 40:80], layout[20:60, 90:120] = 3, 12
    Image.fromarray(layout).save("labels.png")
    photo = np.full((90, 300, 3), 40, "uint8")
    photo[:, 105:195] = (200, 100, 50)
    Image.fromarray(photo).save("photo.png")
    return tmp_path


@pytest.fixture(scope="module")
def models(trained_gaugan):
    folder = trained_gaugan / "runs/gaugan_facades"
    return [saved_models.load(folder / f"{name}.keras") for name in ("generator", "encoder")]


@pytest.fixture(autouse=True)
def loaded_once(trained_gaugan, models, monkeypatch):
    """Loading takes longer than drawing, and most tests load the same two models."""
    load, folder = saved_models.load, trained_gaugan / "runs/gaugan_facades"
    loaded = {folder / "generator.keras": models[0], folder / "encoder.keras": models[1]}
    monkeypatch.setattr(saved_models, "load", lambda path: loaded.get(path.resolve()) or load(path))


def images(*arguments):
    """What generate.py saves in an arrays file."""
    arguments = ["--model", "gaugan", *arguments, "--save-arrays", "arrays.npz"]
    generate.main([*arguments, "--out", "picture.png"])
    with np.load("arrays.npz") as archive:
        assert archive.files == ["images"]
        return archive["images"]


def by_hand(g_model, latents, label_maps):
    label_maps = np.broadcast_to(label_maps, (len(latents), SIZE, SIZE))
    drawn = g_model.predict_on_batch([latents, np.eye(12, dtype="float32")[label_maps]])
    return (drawn + 1) / 2


def random_latents(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, LATENT_DIM), dtype="float32")


def own_layout():
    """The middle square of labels.png, at the size of the generator."""
    with Image.open("labels.png") as picture:
        square = picture.crop((30, 0, 130, 100)).resize((SIZE, SIZE), Image.Resampling.NEAREST)
        return np.asarray(square) - 1


def style_of_the_photo(encoder):
    """The middle square of photo.png has one colour."""
    photo = np.full((1, SIZE, SIZE, 3), (200, 100, 50), "float32") / 127.5 - 1
    return encoder.predict_on_batch(photo)


def test_validation_layouts_of_the_run_are_drawn(models, capsys):
    drawn = images()
    assert capsys.readouterr().out == "picture.png\narrays.npz\n"
    assert drawn.shape == (24, SIZE, SIZE, 3) and drawn.dtype == "float32"
    assert drawn.min() >= 0 and drawn.max() <= 1
    everything = facades.load_facades("drawn").limited(30, seed=3)
    _, validation = facades.split(everything, 3)
    photos, label_maps = facades.centre_crops(facades.fit(validation, SIZE), SIZE)
    assert len(label_maps) == 6
    for number, layout in enumerate(label_maps):
        expected = by_hand(models[0], random_latents(4), layout)
        np.testing.assert_allclose(drawn[4 * number : 4 * number + 4], expected, atol=1e-5)

    picture = imread("picture.png")[..., :3]  # three dots for each pixel and for the gaps
    cells = [
        picture[-6 * 198 :][3 + 198 * row :, 3 + 198 * column :][:192:3, :192:3]
        for row, column in ((1, 0), (1, 1), (1, 2), (1, 5))
    ]
    expected = [facades.colours(label_maps[1]) / 255, photos[1] / 255, drawn[4], drawn[7]]
    np.testing.assert_allclose(cells, expected, atol=1 / 255)


def test_a_layout_of_ones_own(models):
    drawn = images("--layout", "labels.png", "--seed", "5")
    np.testing.assert_allclose(
        drawn, by_hand(models[0], random_latents(8, seed=5), own_layout()), atol=1e-5
    )
    few = images("--layout", "labels.png", "--seed", "5", "--count", "3")
    np.testing.assert_allclose(few, drawn[:3], atol=1e-5)


def test_values_from_0_are_the_same_as_values_from_1():
    layout = own_layout()
    layout[0, 0] = 0  # background, so that it is clear where the values begin
    Image.fromarray(layout.astype("uint8")).save("from_0.png")
    Image.fromarray(layout.astype("uint8") + np.uint8(1)).save("from_1.png")
    one, other = (images("--layout", f"from_{i}.png", "--count", "1") for i in (0, 1))
    np.testing.assert_array_equal(one, other)


def test_a_layout_in_the_style_of_a_photo(models):
    g_model, encoder = models
    mean, log_variance = style_of_the_photo(encoder)
    drawn = images("--layout", "labels.png", "--style", "photo.png")
    np.testing.assert_allclose(drawn, by_hand(g_model, mean, own_layout()), atol=1e-5)

    several = images("--layout", "labels.png", "--style", "photo.png", "--count", "3")
    noise = random_latents(3)
    noise[0] = 0
    latents = mean + np.exp(log_variance / 2) * noise
    np.testing.assert_allclose(several, by_hand(g_model, latents, own_layout()), atol=1e-5)


def test_validation_layouts_in_the_style_of_a_photo(models):
    g_model, encoder = models
    drawn = images("--style", "photo.png")
    assert drawn.shape == (6, SIZE, SIZE, 3)
    _, validation = facades.split(facades.load_facades("drawn").limited(30, seed=3), 3)
    _, label_maps = facades.centre_crops(facades.fit(validation, SIZE), SIZE)
    latents = np.tile(style_of_the_photo(encoder)[0], (6, 1))
    np.testing.assert_allclose(drawn, by_hand(g_model, latents, label_maps), atol=1e-5)


def test_latents_are_scaled(models):
    drawn = images("--layout", "labels.png", "--latent-scale", "2", "--count", "2")
    expected = by_hand(models[0], 2 * random_latents(2), own_layout())
    np.testing.assert_allclose(drawn, expected, atol=1e-5)


def test_a_walk_between_latents(here):
    walk = images("--interpolate-latent", "--layout", "labels.png", "--frames", "5")
    plain = images("--layout", "labels.png", "--count", "2")
    assert walk.shape == (5, SIZE, SIZE, 3)
    np.testing.assert_allclose(walk[[0, -1]], plain, atol=1e-5)
    with Image.open("picture.gif") as animation:
        assert (animation.size, animation.n_frames) == ((256, 256), 5)
    of_validation = images("--interpolate-latent", "--frames", "2")
    np.testing.assert_allclose(of_validation, images("--count", "2"), atol=1e-5)


def test_the_picture_is_named_after_what_it_shows(capsys):
    for arguments, name in (
        ([], "gaugan_facades_seed0"),
        (["--layout", "labels.png", "--style", "photo.png"], "gaugan_facades_labels_photo_seed0"),
        (["--count", "2", "--latent-scale", "2"], "gaugan_facades_2_scale2_seed0"),
    ):
        generate.main(["--model", "gaugan_facades", *arguments])
        assert capsys.readouterr().out == f"generated/{name}.png\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--class", "3"], "has no classes to choose from: leave out --class"),
        (["--interpolate", "1", "2"], "gaugan_facades has no classes"),
        (["--layout", "nowhere.png"], "cannot read nowhere.png: no such file"),
        (["--layout", "photo.png"], "it is in colours"),
        (["--style", "nowhere.jpg"], "cannot read nowhere.jpg: no such file"),
        (["--style", "broken.jpg"], "cannot read broken.jpg"),
        (["--layout", "wild.png"], "label 77 is not between 0 and 11; its values are 0, 77, 200"),
        (["--interpolate-latent", "--style", "photo.png"], "leave out --style"),
        (["--interpolate-latent", "--count", "2"], "leave out --count"),
        (["--count", "25"], "--count 25 is more than 4 for each of the 6 validation facades"),
        (["--count", "7", "--style", "photo.png"], "more than 1 for each of the 6"),
        (
            ["--count", "1001", "--layout", "labels.png"],
            "is more than 1000, the most for label maps",
        ),
        (["--latent-scale", "-1"], "--latent-scale: -1 is not between 0 and"),
        (["--latent", "a.npz", "--latent-scale", "0"], "leave out --latent-scale"),
        (["--latent", "a.npz", "--latent-scale", "1"], "leave out --latent-scale"),
        (["--layout-from", "0"], "--layout-from needs --layout"),
    ],
)
def test_bad_arguments(here, error_of, arguments, words):
    (here / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    Image.fromarray(np.array([[0, 77], [200, 0]], "uint8")).save("wild.png")
    before = sorted(here.iterdir())
    error = error_of(generate.main, "--model", "gaugan", *arguments)
    assert error.startswith("generate.py: error: ") and words in error
    assert sorted(here.iterdir()) == before


@pytest.fixture
def own_run(here, trained_gaugan):
    """A copy of the run that may be damaged."""
    (here / "runs").unlink()
    shutil.copytree(trained_gaugan / "runs", here / "runs")
    return here / "runs/gaugan_facades"


def test_validation_facades_that_are_not_to_be_had(own_run, error_of, monkeypatch):
    record = json.loads((own_run / "run.json").read_text())

    def error_with(data):
        (own_run / "run.json").write_text(json.dumps(record | {"data": data}))
        error = error_of(generate.main, "--model", "gaugan")
        assert "--layout FILE.png" in error
        return error

    gone = error_with(record["data"] | {"source": "gone.zip"})
    assert "the run's facades cannot be read again: cannot read gone.zip" in gone
    assert "are not those of the run" in error_with(record["data"] | {"sha256": "0"})
    assert "run.json, which names the run's images, is damaged" in error_with({})
    (own_run / "run.json").unlink()
    error = error_of(generate.main, "--model", "gaugan")
    assert "is missing" in error and "--layout FILE.png" in error
    assert images("--layout", "labels.png", "--count", "1").shape == (1, SIZE, SIZE, 3)


def test_the_best_and_the_kept_generators_have_encoders_of_their_own(own_run, error_of):
    arguments = ["--layout", "labels.png", "--style", "photo.png"]
    newest = images(*arguments)
    (own_run / "kept").mkdir()
    for place in ("best", "kept/epoch_0010"):
        shutil.copy(own_run / "generator.keras", own_run / f"{place}.keras")
        shutil.copy(own_run / "encoder.keras", own_run / f"{place}_encoder.keras")
    (own_run / "encoder.keras").unlink()
    for options in (["--best"], ["--model", str(own_run / "kept/epoch_0010.keras")]):
        assert np.array_equal(images(*arguments, *options), newest)
        assert images(*options, "--count", "1").shape == (1, SIZE, SIZE, 3)  # of the run's facades
    (own_run / "best_encoder.keras").unlink()
    error = error_of(generate.main, "--model", "gaugan", "--best", *arguments)
    assert "there is no" in error and "best_encoder.keras" in error


def test_the_encoder_has_to_be_the_generators(own_run, error_of):
    arguments = ["--model", "gaugan", "--layout", "labels.png", "--style", "photo.png"]
    shutil.copy(own_run / "generator.keras", own_run / "encoder.keras")
    assert "is not an encoder for this generator" in error_of(generate.main, *arguments)
    gaugan.define_encoder(SIZE, LATENT_DIM + 1, 0.02).save(own_run / "encoder.keras")
    assert "is not an encoder for this generator" in error_of(generate.main, *arguments)
    (own_run / "encoder.keras").unlink()
    assert "--style needs the encoder of the run" in error_of(generate.main, *arguments)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((6,), (64, 64, 3), 3), "its values are 1, 3, 12"),
        (((6,), (32, 64, 12), 3), "images of 64 x 64 from label maps of 32 x 64"),
        (((6,), (64, 64, 12), 2), "grey or colour images"),
        (((6,), (64, 64), 3), "other.keras cannot be sampled"),
    ],
    ids=str,
)
def test_something_else_than_a_generator_of_label_maps(here, error_of, shapes, words):
    latent_shape, layout_shape, channels = shapes
    latent = keras.Input(latent_shape, name="latent")
    layout = keras.Input(layout_shape, name="layout")
    x = layout if len(layout_shape) == 3 else keras.layers.Reshape((64, 64, 1))(layout)
    x = keras.layers.UpSampling2D((64 // x.shape[1], 1))(x)
    image = keras.layers.Conv2D(channels, 1)(x)
    keras.Model([latent, layout], image, name="gaugan_facades_generator").save("other.keras")
    error = error_of(generate.main, "--model", "other.keras", "--layout", "labels.png")
    assert words in error


def test_short_and_long_name():
    assert finding.find("gaugan") == finding.find("gaugan_facades")
