"""Playing with a generator: through matplotlib's own events, with no window or in a real one."""

import functools
import math
import os
import shutil
import subprocess
import sys

import cgan_fashion
import cgan_mnist
import explore
import gan_fashion
import gaugan_facades
import generate
from common import UserError
from common.data import facades
from common.data.datasets import CLOTHES
from common.models import saved_models
from common.models.generators import Generator
from common.sampling import explorer, inputs

import keras
import numpy as np
import pytest
from keras import layers
from matplotlib import pyplot
from matplotlib.backend_bases import MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image


def own_generator(n_classes, image_shape):
    """Another generator than those of the scripts."""
    latent, label = keras.Input((2, 3), name="latent"), keras.Input((n_classes,), name="label")
    x = layers.Concatenate()([layers.Flatten()(latent), label])
    image = layers.Reshape(image_shape)(layers.Dense(math.prod(image_shape), "sigmoid")(x))
    return keras.Model([latent, label], image, name="own")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with generators that have learned nothing, but are all different."""
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    clothes, digits = {"class_names": CLOTHES}, {"pixel_range": [0, 1]}
    maps = {"class_names": facades.CLASS_NAMES, "script": "gaugan_facades"}
    for name, model, about in (
        ("cgan", cgan_fashion.define_generator(6), clothes),
        ("mnist", cgan_mnist.define_generator(6), digits),
        ("gan", gan_fashion.define_generator(6), {}),
        ("own", own_generator(25, (8, 12, 3)), {}),
        ("one", own_generator(1, (8, 8, 1)), {}),
        ("many", own_generator(70, (4, 4, 1)), {}),
        ("gaugan", gaugan_facades.define_generator(64, 8, 0.05), maps),
    ):
        saved_models.save(model, folder / f"{name}.keras", about)
    return folder


@pytest.fixture(scope="module")
def load(models):
    """Load a model, once."""
    return functools.cache(lambda name: Generator(models / f"{name}.keras"))


@pytest.fixture
def open_one(load, tmp_path, monkeypatch):
    """Explore one of the models, as `explore.main` does, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    # Without a window it would draw the whole figure at once, whenever a slider moves.
    monkeypatch.setattr(FigureCanvasAgg, "draw_idle", lambda _canvas: None)
    yield lambda name, seed=0, layout=None: explore.define_explorer(load(name), seed, layout)
    pyplot.close("all")


def mouse(axes, kind, x, y):
    """An event of the mouse at a place in axes, where both sides are from 0 to 1."""
    canvas = axes.figure.canvas
    at = axes.transAxes.transform((x, y))
    event = MouseEvent(f"{kind}_event", canvas, *at, button=1)
    canvas.callbacks.process(f"{kind}_event", event)


def click(axes, x=0.5, y=0.5):
    for kind in ("motion_notify", "button_press", "button_release"):
        mouse(axes, kind, x, y)


def drag(axes, *places):
    mouse(axes, "button_press", *places[0])
    for place in places[1:]:
        mouse(axes, "motion_notify", *place)
    mouse(axes, "button_release", *places[-1])


def press(one, name):
    """Click on a button."""
    (button,) = [button for button in one.buttons if button.label.get_text() == name]
    click(button.ax)


def status(one):
    return one._status.get_text()


@pytest.mark.parametrize("name", ["cgan", "mnist", "own"])
def test_a_class_turns_into_another(open_one, name):
    one = open_one(name, seed=3)
    chosen = generate.choose_images(one.generator, [0], 1, 3)
    images = one.generator.draw(chosen.latents, chosen.labels)
    np.testing.assert_allclose(one.image, images[0], atol=1e-6)
    slider = one.class_sliders[7]
    drag(slider.ax, (0.02, 0.5), (0.25, 0.5), (0.5, 0.5))
    shares = np.zeros((1, len(one.generator.class_names)), "float32")
    shares[0, [0, 7]] = 0.5
    np.testing.assert_allclose(one.label, shares, atol=1e-6)
    assert [one.class_sliders[number].val for number in (0, 1, 7)] == pytest.approx([0.5, 0, 0.5])
    expected = one.generator.draw(one.latent, shares)[0]
    np.testing.assert_allclose(one.image, expected, atol=1e-6)
    np.testing.assert_allclose(one._image_shown.get_array(), expected.squeeze(), atol=1e-6)
    assert np.abs(expected - images[0]).max() > 1e-4
    drag(slider.ax, (0.5, 0.5), (1.2, 0.5))
    chosen = generate.choose_images(one.generator, [7], 1, 3)
    images = one.generator.draw(chosen.latents, chosen.labels)
    np.testing.assert_allclose(one.image, images[0], atol=1e-6)


def test_directions_lead_to_other_latents(open_one):
    one = open_one("gan", seed=4)
    latents = np.random.default_rng(4).standard_normal((6, 6), dtype="float32")
    np.testing.assert_array_equal(one.latent, latents[:1])
    one.directions[0].set_val(90)
    np.testing.assert_allclose(one.latent, latents[1:2], atol=1e-6)
    one.directions[0].set_val(30)
    half = 3**0.5 / 2 * latents[:1] + latents[1:2] / 2
    np.testing.assert_allclose(one.latent, half, atol=1e-6)
    np.testing.assert_allclose(one.image, one.generator.draw(half)[0], atol=1e-6)
    one.directions[1].set_val(-90)
    np.testing.assert_allclose(one.latent, -latents[2:3], atol=1e-6)
    press(one, "Another latent")
    assert [slider.val for slider in one.directions] == [0, 0]
    np.testing.assert_array_equal(one.latent, latents[3:4])
    np.testing.assert_allclose(one.image, one.generator.draw(latents[3:4])[0], atol=1e-6)


def test_any_number_of_classes(open_one):
    one = open_one("own")
    assert len(one.class_sliders) == 25
    one.class_sliders[0].set_val(0.25)  # it alone had a share, so the others get equal ones
    np.testing.assert_allclose(one.shares, [0.25, *[0.75 / 24] * 24])
    one = open_one("one")
    one.class_sliders[0].set_val(0.3)
    assert one.label.tolist() == [[1]] and one.class_sliders[0].val == 1
    many = open_one("many")
    assert len(many.class_sliders) == 30 and many.label.shape == (1, 70)
    assert status(many) == "Only the first 30 of 70 classes have sliders."


@pytest.mark.parametrize("name", ["cgan", "gan", "own", "gaugan"])
def test_what_is_saved_can_be_drawn_again(open_one, models, tmp_path, capsys, name):
    one = open_one(name, seed=2)
    one.directions[1].set_val(40)
    if name in ("cgan", "own"):
        one.class_sliders[2].set_val(0.3)
    for number in (1, 2):
        press(one, "Save")
        path = f"generated/{one.generator.name}_explored_{number}"
        command = f"python generate.py --model {models / name}.keras --latent {path}.npz\n"
        assert capsys.readouterr().out == command
        assert status(one) == f"Saved {path}.png; the command in the terminal draws it again."
    generate.main([*command.split()[2:], "--out", "again.png", "--save-arrays", "a.npz"])
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / f"{path}.png").read_bytes()
    with np.load("a.npz") as arrays:
        np.testing.assert_allclose(arrays["images"][0], one.image, atol=1e-6)


def test_a_file_of_inputs_names_the_picture(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    inputs.save(tmp_path / "mine.npz", np.zeros((12, 6), "float32"))
    generate.main(["--model", str(models / "gan.keras"), "--latent", "mine.npz"])
    assert capsys.readouterr().out == "generated/gan_fashion_generator_gan_mine.png\n"


def test_what_cannot_be_saved_is_said(open_one, tmp_path):
    (tmp_path / "generated").write_text("in the way")
    one = open_one("gan")
    press(one, "Save")
    assert status(one).startswith("cannot write generated") and "exists" in status(one)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"label": np.ones((1, 10))}, "it holds no array 'latent'"),
        ({"latent": np.zeros((1, 6))}, "it holds no array 'label'"),
        (
            {"latent": np.zeros((1, 5)), "label": np.ones((1, 10))},
            "takes numbers of shape ('n', 6)",
        ),
        ({"latent": np.zeros((0, 6)), "label": np.ones((0, 10))}, "float64 (0, 6)"),
        ({"latent": np.zeros((2, 6)), "label": np.ones((1, 10))}, "2 latents and 1 labels"),
        ({"latent": np.zeros((1, 6)), "label": np.ones((1, 10), int)}, "takes numbers of shape"),
        ({"latent": np.full((1, 6), np.nan), "label": np.ones((1, 10))}, "holds NaN"),
        ({"latent": np.zeros((1001, 6)), "label": np.ones((1001, 10))}, "at most 1000"),
        ({"latent": np.array([None]), "label": np.ones((1, 10))}, "Object arrays cannot be loaded"),
        (None, "no such file"),
        (b"no zip file", "not a zip file"),
    ],
)
def test_files_that_cannot_be_drawn(models, tmp_path, error_of, arrays, words):
    path = tmp_path / "a.npz"
    if isinstance(arrays, bytes):
        path.write_bytes(arrays)
    elif arrays:
        np.savez(path, **arrays)
    model = ["--model", str(models / "cgan.keras"), "--latent", str(path)]
    error = error_of(generate.main, *model, "--out", str(tmp_path / "a.png"))
    assert words in error and "a.npz" in error and not (tmp_path / "a.png").exists()


def test_label_maps_of_other_classes_are_refused(load, tmp_path):
    latents, generator = np.zeros((1, 8), "float32"), load("gaugan")
    for layout in (np.zeros((1, 32, 64), int), np.zeros((1, 64, 64))):
        inputs.save(tmp_path / "a.npz", latents, layout)
        with pytest.raises(UserError, match="takes integers of shape"):
            inputs.load(tmp_path / "a.npz", generator)
    for number in (12, -1):
        inputs.save(tmp_path / "a.npz", latents, np.full((1, 64, 64), number))
        chosen = inputs.load(tmp_path / "a.npz", generator)
        with pytest.raises(UserError, match=f"no class {number}: its classes are 0 to 11"):
            generator.draw(chosen.latents, chosen.labels)


def test_painting_a_label_map(open_one):
    one = open_one("gaugan", layout=np.zeros((64, 64), "uint8"))
    before = one.image
    map_axes = one._map_shown.axes
    one.figure.canvas.draw()
    click(one.palette.ax, 0.45, one.palette.labels[7].get_position()[1])
    assert one.palette.value_selected == facades.CLASS_NAMES[7]
    click(one.brushes.ax, 0.3, one.brushes.labels[0].get_position()[1])
    assert one.brushes.value_selected == "Fine"
    y = 1 - 20.5 / 64
    mouse(map_axes, "button_press", 10.5 / 64, y)
    mouse(map_axes, "motion_notify", 30.5 / 64, y)
    expected = np.zeros((64, 64))
    expected[20, 10:31] = 7
    np.testing.assert_array_equal(one.layout, expected)
    shown = facades.colours(one.layout)
    np.testing.assert_array_equal(one._map_shown.get_array(), shown)
    assert one.image is before  # until the button is released
    mouse(map_axes, "button_release", 30.5 / 64, y)
    drawn = one.generator.draw(one.latent, one.layout[np.newaxis])[0]
    np.testing.assert_allclose(one.image, drawn, atol=1e-6)
    assert np.abs(drawn - before).max() > 1e-4
    mouse(map_axes, "motion_notify", 0.9, 0.9)  # no button is pressed
    np.testing.assert_array_equal(one.layout, expected)

    one.brushes.set_active(2)
    click(map_axes, 0.5, 0.5)
    assert np.count_nonzero(one.layout == 7) - 21 == 80  # about π 5.12²
    press(one, "Undo")
    np.testing.assert_array_equal(one.layout, expected)
    press(one, "Undo")
    press(one, "Undo")
    assert not one.layout.any()
    np.testing.assert_allclose(one.image, before, atol=1e-6)


def test_label_maps_are_saved_and_loaded(open_one, tmp_path):
    one = open_one("gaugan", seed=1)
    drawn = one.layout.copy()
    assert drawn.shape == (64, 64) and len(np.unique(drawn)) > 4
    press(one, "Save")
    path = "generated/gaugan_facades_explored_1_map.png"
    assert one.file.text == path
    np.testing.assert_array_equal(facades.read_label_map(tmp_path / path), drawn)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), facades.colours(drawn))

    Image.fromarray(np.full((128, 200), 3, "uint8")).save(tmp_path / "grey.png")
    one.file.set_val(" grey.png ")
    press(one, "Load")
    assert np.all(one.layout == 2) and status(one) == "Loaded grey.png."  # 1 to 12 in the file
    press(one, "Undo")
    np.testing.assert_array_equal(one.layout, drawn)
    for text, words in (("", "cannot read"), ("none.png", "no such file")):
        one.file.set_val(text)
        press(one, "Load")
        assert words in status(one)
        np.testing.assert_array_equal(one.layout, drawn)


def test_without_a_window(models, error_of, run_script):
    model = ["--model", str(models / "gan.keras")]
    error = error_of(explore.main, *model)
    assert error.startswith("explore.py: error: matplotlib's backend agg opens no window: ")
    for option in (["--layout", "a.png"], ["--layout-from", "1"]):
        error = error_of(explore.main, *model, *option)
        assert f"takes no label maps: leave out {option[0]}" in error
    assert "no such file" in error_of(
        explore.main, "--model", str(models / "gaugan.keras"), "--layout", "none.png"
    )
    done = run_script("explore.py", *model, env=os.environ | {"MPLBACKEND": "module://mine"})
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "matplotlib's backend module://mine opens no window" in done.stderr
    assert done.stderr.endswith(": unset MPLBACKEND\n")


def test_it_opens_the_right_window_and_waits(open_one, models, monkeypatch):
    shown = []
    monkeypatch.setattr(explorer, "check_window", lambda: None)
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(pyplot.gcf().explorer.label))
    for name in ("gan", "cgan", "gaugan"):
        assert explore.main(["--model", str(models / f"{name}.keras")]) is None
    assert [label is None or label.shape for label in shown] == [True, (1, 10), (1, 64, 64)]

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(pyplot, "show", interrupted)
    with pytest.raises(SystemExit) as leaving:
        explore.main(["--model", str(models / "gan.keras")])
    assert leaving.value.code == 130


@pytest.fixture
def display(tmp_path):
    """A screen that nobody sees."""
    pytest.importorskip("tkinter", reason="this Python has no tkinter (apt install python3-tk)")
    if not shutil.which("Xvfb"):
        pytest.skip("there is no Xvfb (apt install xvfb)")
    ours, theirs = os.pipe()
    # -noreset: without it the server starts anew when a client leaves, and refuses the next one.
    command = ["Xvfb", "-noreset", "-displayfd", str(theirs), "-screen", "0", "1300x800x24"]
    server = subprocess.Popen(command, pass_fds=[theirs], stderr=subprocess.DEVNULL)
    os.close(theirs)
    with os.fdopen(ours) as file:
        yield f":{file.readline().strip()}"
    server.kill()
    server.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs an X server")
def test_a_real_window(models, display, run_script, monkeypatch):
    """It opens, answers, and ends cleanly when it is closed."""
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("MPLBACKEND", "tkagg")
    code = """
import sys, explore
from common.sampling import explorer
show = explorer.pyplot.show
def show_and_act():
    figure = explorer.pyplot.gcf()
    timer = figure.canvas.new_timer(300)
    timer.add_callback(act, figure)
    timer.start()
    show()
def act(figure):
    before = figure.explorer.image
    figure.explorer.class_sliders[7].set_val(1)
    print("open", (figure.explorer.image != before).any(), flush=True)
    explorer.pyplot.close(figure)
    return False
explorer.pyplot.show = show_and_act
explore.main(["--model", sys.argv[1]])
"""
    done = run_script("-c", code, str(models / "cgan.keras"))
    if "cannot be reached" in done.stderr:
        pytest.skip(f"the X server does not answer: {done.stderr}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "open True\n", "")
