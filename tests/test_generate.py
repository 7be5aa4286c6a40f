"""Sampling a saved generator: what is drawn, what is written, what is refused."""

import os
import shutil
from pathlib import Path

import cgan_fashion
import generate
from common.data.datasets import CLOTHES
from common.models.generators import Generator
from common.sampling import finding, inputs

import keras
import numpy as np
import pytest
from conftest import PROJECT
from keras import layers


@pytest.fixture(autouse=True)
def here(trained, tmp_path, monkeypatch):
    """A folder of one's own, with trained models in runs/."""
    (tmp_path / "runs").symlink_to(trained / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arrays(*arguments):
    """What generate.py saves in an arrays file."""
    generate.main([*arguments, "--save-arrays", "arrays.npz", "--out", "picture.png"])
    with np.load("arrays.npz") as archive:
        return {name: archive[name] for name in archive.files}


def picture(*arguments):
    generate.main([*arguments, "--out", "picture.png"])
    with open("picture.png", "rb") as file:
        return file.read()


def test_a_class_by_number_and_by_name(here, capsys):
    generate.main(["--model", "cgan", "--class", "3"])
    path = here / capsys.readouterr().out.strip()
    assert path == here / "generated/cgan_fashion_dress_seed0.png"
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    for model, name in (("cgan_fashion", "dress"), ("runs/cgan_fashion/generator.keras", "DRESS")):
        assert picture("--model", model, "--class", name) == content


@pytest.mark.parametrize("model", ["cgan", "cgan_mnist"])
def test_arrays_of_a_class(model):
    name = {"cgan": "ankle boot", "cgan_mnist": "9"}[model]
    saved = arrays("--model", model, "--class", name, "--count", "7")
    assert saved["images"].shape == (7, 28, 28, 1) and saved["images"].dtype == "float32"
    assert saved["labels"].tolist() == [9] * 7
    generator = keras.saving.load_model(finding.find(model))
    latents = np.random.default_rng(0).standard_normal((7, 6), dtype="float32")
    if model == "cgan":
        drawn = (generator.predict_on_batch([latents, np.full((7, 1), 9)]) + 1) / 2
    else:  # from one-hot labels, with pixels from 0
        drawn = generator.predict_on_batch([latents, np.eye(10)[[9] * 7]])
    np.testing.assert_allclose(saved["images"], drawn, atol=1e-6)


def test_all_classes_in_columns():
    for model in ("cgan", "cgan_mnist"):
        saved = arrays("--model", model)
        assert saved["images"].shape == (100, 28, 28, 1)
        assert saved["labels"].tolist() == list(range(10)) * 10


def test_a_generator_without_classes(error_of):
    saved = arrays("--model", "gan", "--count", "3")
    assert saved.keys() == {"images"} and saved["images"].shape == (3, 28, 28, 1)
    assert "has no classes" in error_of(generate.main, "--model", "gan", "--class", "3")


def test_seed_and_count():
    few = arrays("--model", "cgan", "--class", "3", "--count", "4", "--seed", "5")["images"]
    many = arrays("--model", "cgan", "--class", "3", "--count", "260", "--seed", "5")["images"]
    np.testing.assert_allclose(few, many[:4], atol=1e-6)
    assert len(np.unique(many.round(4), axis=0)) == 260
    other = arrays("--model", "cgan", "--class", "3", "--count", "4", "--seed", "6")["images"]
    assert np.abs(few - other).max() > 1e-3


def test_a_very_large_count_is_saved_whole_and_drawn_in_part(capsys):
    saved = arrays("--model", "gan", "--count", "1001")
    assert len(saved["images"]) == 1001
    output = capsys.readouterr()
    assert output.out.split() == ["picture.png", "arrays.npz"]
    assert output.err == "generate.py: the picture shows the first 1000 images\n"


def test_without_a_display_show_says_so(capsys):
    generate.main(["--model", "gan", "--count", "1", "--out", "picture.png", "--show"])
    output = capsys.readouterr()
    assert output.out == "picture.png\n" and "no display" in output.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "cgan", "--class", "hat"], "unknown class 'hat'; known are 0 (T-shirt/top), "),
        (["--model", "cgan", "--class", "-1"], "unknown class '-1'"),
        (["--model", "cgan", "--class", "t"], "class 't' may be T-shirt/top or trouser or coat"),
        (["--model", "cgan", "--out", "a.bmp"], "a.bmp must end in .png or .jpg or .jpeg or .webp"),
        (["--model", "cgan", "--out", "runs/gan_fashion/run.json/b.png"], "run.json is a file"),
        (["--model", "cgan", "--save-arrays", "a.npy"], "a.npy must end in .npz"),
        (["--model", "dcgan"], "there is no model 'dcgan': give the path of a .keras file or run"),
        (["--model", "none.keras"], "there is no file none.keras"),
        (
            ["--model", "gan", "--interpolate", "2", "6"],
            "no classes to choose from: leave out --in",
        ),
        (["--model", "cgan", "--latent", "a.npz", "--count", "2"], "leave out --count"),
        (["--model", "cgan", "--interpolate", "2", "6", "--class", "1"], "leave out --class"),
        (["--model", "cgan", "--interpolate", "2", "6", "--frames", "1"], "--frames: 1 is not"),
        (["--model", "cgan", "--interpolate", "2", "pullover"], "give two classes"),
        (["--model", "runs"], "there is no generator.keras in the folder runs"),
        (["--model", f"{'x' * 300}.keras"], "File name too long"),
        (["--model", "gan", "--out", "two\nlines"], "two lines must end in .png"),
        (
            ["--model", "cgan", "--fps", "2"],
            "--fps needs --learning or --interpolate or --interpolate-latent",
        ),
        (
            ["--model", "cgan", "--interpolate", "2", "6", "--interpolate-latent"],
            "does not go with --interpolate",
        ),
        (
            ["--model", "cgan", "--layout", "a.png"],
            "cgan_fashion takes no label maps: leave out --layout",
        ),
        ([], "required: --model"),
    ],
)
def test_bad_arguments(here, error_of, arguments, words):
    error = error_of(generate.main, *arguments)
    assert error.startswith("generate.py: error: ") and words in error
    assert [path.name for path in here.iterdir()] == ["runs"]


def test_no_model_yet(here, error_of, monkeypatch):
    (here / "runs").unlink()
    monkeypatch.setattr(finding, "FOLDERS", (Path("runs"), Path("trained")))
    error = error_of(generate.main, "--model", "cgan")
    assert "there is no model 'cgan'" in error and "a script that has been trained" in error


def test_a_run_comes_before_what_is_trained_already(here, trained, monkeypatch, capsys):
    """By script, by folder or by the beginning of a name; the newest run of a script."""
    monkeypatch.setattr(finding, "FOLDERS", (Path("own"), Path("runs")))
    assert finding.find("cgan") == Path("runs/cgan_fashion/generator.keras")
    assert capsys.readouterr().err == "Using the trained generator cgan_fashion.\n"
    shutil.copytree(trained / "runs/cgan_mnist", here / "own/cgan_mnist")
    assert finding.find("cgan") == Path("own/cgan_mnist/generator.keras")
    # A script comes before a folder, even where the folder is the first in the alphabet.
    times = {"first": 2000, "second": 3000, "third": 1000, "cgan_a": 1}
    for name, time in times.items():
        shutil.copytree(trained / "runs/cgan_fashion", here / "own" / name)
        os.utime(here / "own" / name / "generator.keras", (time, time))
    for name in ("cgan", "cgan_fashion", "second", "own/second", "own/second/generator.keras"):
        assert finding.find(name) == Path("own/second/generator.keras")
    for name in ("third", "cgan_a"):
        assert finding.find(name) == Path(f"own/{name}/generator.keras")
    assert capsys.readouterr().err == ""
    assert finding.find("gan") == Path("runs/gan_fashion/generator.keras")
    # And from any folder, the path of a trained generator is one.
    assert finding.find("trained/gan_fashion") == PROJECT / "trained/gan_fashion/generator.keras"


def test_what_is_drawn_differently_has_another_name(here, trained, capsys):
    shutil.copytree(trained / "runs/cgan_fashion", here / "a")
    walk = ["--interpolate", "2", "6"]
    for arguments in (
        ["--model", "cgan"],
        ["--model", "a"],
        ["--model", "cgan", "--count", "4"],
        ["--model", "cgan", "--count", "100"],
        ["--model", "cgan", *walk],
        ["--model", "cgan", *walk, "--frames", "2"],
        ["--model", "cgan", *walk, "--fps", "2"],
        ["--model", "cgan", *walk, "--frame-size", "32"],
    ):
        generate.main(arguments)
    printed = capsys.readouterr().out.split()
    assert len(set(printed)) == len(printed) == 12
    assert printed[:2] == [f"generated/cgan_fashion{run}_seed0.png" for run in ("", "_a")]


def test_of_many_classes_twenty_are_drawn_spread_over_all(here):
    latent, label = keras.Input((2,), name="latent"), keras.Input((200,), name="label")
    image = layers.Dense(4)(layers.Concatenate()([latent, label]))
    keras.Model([latent, label], layers.Reshape((2, 2, 1))(image)).save("many.keras")
    labels = arrays("--model", "many.keras")["labels"]
    assert len(labels) == 100 and labels[:20].tolist() == labels[80:].tolist()
    assert labels[[0, 1, 10, 19]].tolist() == [0, 10, 105, 199]
    walk = arrays("--model", "many.keras", "--interpolate-latent", "--frames", "2")
    assert walk["labels"].argmax(axis=1)[::2].tolist() == labels[:20].tolist()


def test_help_and_errors_come_without_importing_tensorflow(run_script):
    code = """
import importlib, sys
try:
    importlib.import_module(sys.argv[1]).main(sys.argv[2:])
finally:
    print("tensorflow" in sys.modules, "matplotlib" in sys.modules, file=sys.stderr)
"""
    for arguments in (
        ["generate", "--help"],
        ["evaluate", "--help"],
        ["explore", "--help"],
        ["generate", "--model", "cgan", "--class", "hat"],
        ["generate", "--model", "cgan", "--out", "a.bmp"],
        ["generate", "--model", "gaugan", "--layout", "nowhere.png"],
        ["evaluate", "--model", "cgan", "--count", "0"],
    ):
        done = run_script("-c", code, *arguments)
        assert done.returncode == (0 if arguments[-1] == "--help" else 2)
        assert done.stderr.splitlines()[-1] == "False False"


def write_bytes(content):
    def write(path):
        path.write_bytes(content)

    return write


def cut(path):
    content = path.parent.joinpath("runs/cgan_fashion/generator.keras").read_bytes()
    path.write_bytes(content[: len(content) // 2])


def discriminator(path):
    cgan_fashion.define_discriminator().save(path)


def model_of(latent_shape=(6,), label_shape=(1,), channels=1, classes=10):
    def save(path):
        latent = keras.Input(latent_shape, name="latent")
        label = keras.Input(label_shape, dtype="int32", name="label")
        x = layers.Embedding(classes, 4)(label) if classes else label
        x = layers.Flatten()(layers.Flatten()(x) + 0)
        x = layers.Concatenate()([layers.Flatten()(latent), keras.ops.cast(x, "float32")])
        image = layers.Reshape((2, 2, channels))(layers.Dense(4 * channels)(x))
        keras.Model([latent, label], image, name="cgan_fashion_generator").save(path)

    save.__name__ = f"{latent_shape} {label_shape} {channels} {classes}"
    return save


def with_code_of_its_own(path):
    latent, label = keras.Input((6,), name="latent"), keras.Input((1,), name="label")
    image = layers.Lambda(lambda x: print("the file's code was run") or x[:, :, None, None])
    keras.Model([latent, label], image(latent), name="cgan_fashion_generator").save(path)


@pytest.mark.parametrize(
    "make",
    [
        write_bytes(b""),
        write_bytes(b"no zip file"),
        cut,
        discriminator,
        with_code_of_its_own,
        model_of(label_shape=(5,)),
        model_of(label_shape=(10, 2)),
        model_of(channels=2),
        model_of(classes=None),
    ],
    ids=lambda make: make.__name__,
)
@pytest.mark.filterwarnings("ignore:.*saving.*Lambda:UserWarning")
def test_something_else_than_a_generator(here, error_of, capsys, make):
    make(here / "other.keras")
    capsys.readouterr()
    error = error_of(generate.main, "--model", "other.keras", "--out", "picture.png")
    assert "other.keras" in error and len(error) < 500
    assert "the file's code was run" not in capsys.readouterr().out
    assert {path.name for path in here.iterdir()} == {"runs", "other.keras"}


def test_an_animation_that_could_not_be_written_is_known_before(here, error_of):
    (here / "walk.gif").mkdir()
    arguments = ["--model", "cgan", "--interpolate", "2", "6", "--out", "walk.png"]
    assert "walk.gif: it is a folder" in error_of(generate.main, *arguments)
    assert not (here / "walk.png").exists()


def test_the_ending_of_a_name_may_be_in_capitals(here):
    generate.main(["--model", "gan", "--count", "1", "--save-arrays", "a.NPZ", "--out", "a.PNG"])
    assert {path.name for path in here.iterdir()} == {"runs", "a.PNG", "a.NPZ"}


def test_an_output_that_cannot_be_written(here, error_of, monkeypatch):
    def no_space(file, **_arrays):
        file.write(b"the beginning")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", no_space)
    arguments = ["--model", "gan", "--count", "1", "--save-arrays", "a.npz", "--out", "a.png"]
    error = error_of(generate.main, *arguments)
    assert error == "generate.py: error: a.npz: No space left on device\n"
    assert {path.name for path in here.iterdir()} == {"runs", "a.png"}


@pytest.mark.parametrize("model", ["cgan", "cgan_mnist"])
def test_a_walk_between_classes_ends_at_the_plain_classes(here, model):
    walk = arrays("--model", model, "--interpolate", "2", "6", "--frames", "5", "--seed", "3")
    assert walk["images"].shape == (5, 28, 28, 1)
    shares = np.zeros((5, 10))
    shares[:, 2], shares[:, 6] = [1, 0.75, 0.5, 0.25, 0], [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(walk["labels"], shares, atol=1e-7)
    for frame, label in ((0, "2"), (-1, "6")):
        plain = arrays("--model", model, "--class", label, "--count", "1", "--seed", "3")
        np.testing.assert_allclose(walk["images"][frame], plain["images"][0], atol=1e-6)
    steps = np.abs(np.diff(walk["images"], axis=0)).max(axis=(1, 2, 3))
    assert np.all(steps > 1e-5)


def test_a_walk_writes_an_animation_and_a_strip(here, capsys):
    generate.main(["--model", "cgan_mnist", "--interpolate", "2", "6"])
    gif, strip = capsys.readouterr().out.split()
    assert (gif, strip) == (
        "generated/cgan_mnist_2_6_seed0.gif",
        "generated/cgan_mnist_2_6_seed0.png",
    )
    from PIL import Image  # matplotlib's own dependency, which writes the GIF

    with Image.open(gif) as animation:
        assert (animation.size, animation.n_frames) == ((96, 96), 9)
        assert animation.info["duration"] == 1000 and animation.info["loop"] == 0
    generate.main(
        ["--model", "cgan", "--interpolate", "bag", "coat", "--out", "walk.png"]
        + ["--frames", "4", "--frame-size", "50", "--fps", "5"]
    )
    generate.main(["--model", "cgan", "--interpolate", "2", "6", "--out", "new/walk.gif"])
    assert {path.name for path in Path("new").iterdir()} == {"walk.gif", "walk.png"}
    with Image.open("walk.gif") as animation:
        assert (animation.size, animation.n_frames) == ((50, 50), 4)
        assert animation.info["duration"] == 200


@pytest.mark.parametrize("model", ["cgan", "cgan_mnist", "gan"])
def test_a_walk_between_latents(model):
    labelled = [] if model == "gan" else ["--class", "1"]
    walk = arrays("--model", model, "--interpolate-latent", *labelled, "--frames", "4")["images"]
    plain = arrays("--model", model, *labelled, "--count", "2")["images"]
    assert walk.shape == (4, 28, 28, 1)
    np.testing.assert_allclose(walk[[0, -1]], plain, atol=1e-6)


def test_latents_on_the_way_are_on_a_great_circle():
    first, last = np.array([2.0, 0.0], "float32"), np.array([0.0, 2.0], "float32")
    expected = [[2, 0], [3**0.5, 1], [1, 3**0.5], [0, 2]]
    np.testing.assert_allclose(inputs.slerp(first, last, 4), expected, atol=1e-6)
    np.testing.assert_allclose(inputs.slerp(first, 3 * first, 3), [[2, 0], [4, 0], [6, 0]])


def test_a_class_by_a_part_of_its_name():
    generator = Generator(Path("runs/cgan_fashion/generator.keras"))
    assert generator.class_names == CLOTHES and CLOTHES[3] == "dress"
    for number, name in enumerate(CLOTHES):
        assert generator.find_class(name) == generator.find_class(str(number)) == number
    assert [generator.find_class(text) for text in ("BOOT", "t-shirt", "sneak")] == [9, 0, 7]
    assert generator.find_class("shirt") == 6  # the whole name of one, a part of another
    generator.class_names = ("A", "a", "b")  # letters, each in a folder of its own
    assert [generator.find_class(text) for text in ("A", "a", "B")] == [0, 1, 2]
