"""Files that are complete or absent, and pictures that show what they should."""

import os

from common import UserError, plotting
from common.files import check_writable, replacing, write_text

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.image import imread


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old" and beside.suffix == ".txt"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="No space left") as caught, replacing(path) as beside:
        beside.write_text("half of the n")
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(path)
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:
        beside.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_on_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    events, replace = [], os.replace
    monkeypatch.setattr("os.fsync", lambda _descriptor: events.append("flushed"))
    monkeypatch.setattr("os.replace", lambda *paths: (events.append("renamed"), replace(*paths)))
    write_text(tmp_path / "file.txt", "new")
    assert events == ["flushed", "renamed", "flushed"]  # the file; then the folder


def test_a_file_that_another_program_holds_is_tried_again(tmp_path, monkeypatch):
    """Excel on losses.csv, or a virus scanner, on Windows."""
    original, calls = os.replace, []

    def replace(*paths):
        calls.append(paths)
        if len(calls) < 3:
            raise PermissionError(13, "Permission denied", str(paths[0]))
        original(*paths)

    monkeypatch.setattr(os, "replace", replace)
    write_text(tmp_path / "losses.csv", "epoch")
    assert (tmp_path / "losses.csv").read_text() == "epoch" and len(calls) == 3


def test_check_writable(tmp_path):
    check_writable(tmp_path / "a.PNG", (".png",))
    check_writable(tmp_path / "new/folder/a.png", (".png",))  # it is made when that is written
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    for path in ("a.txt", "folder.png", "file/a.png"):
        with pytest.raises(UserError, match=path):
            check_writable(tmp_path / path, (".png",))
    with pytest.raises(OSError, match="too long"):  # with what is added while it is written
        check_writable(tmp_path / f"{'a' * 249}.png", (".png",))


def test_grids_are_drawn_dark_on_white(tmp_path):
    images = np.full((4, 28, 28, 1), -0.01, "float32")  # out of range: drawn as the nearest
    images[1] = 1.01  # the upper right one
    plotting.save_grid(images, tmp_path / "plain.png", columns=2)
    shown = imread(tmp_path / "plain.png")[..., 0]
    assert shown.shape == (180, 180)  # 28 pixels and a gap of 2, three dots each
    assert np.all(shown[3:87, 93:177] == 0)
    assert np.all(shown[90:] == 1) and np.all(shown[:, :90] == 1)


def test_titles_and_headings_stand_above_the_grid(tmp_path):
    images = np.zeros((4, 28, 28, 1), "float32")
    plotting.save_grid(images, tmp_path / "a.png", columns=2, titles=("bag", "coat"))
    shown = imread(tmp_path / "a.png")[..., 0]
    assert shown.shape == (204, 180)
    assert shown[:24, :90].min() < 0.5 and shown[:24, 90:].min() < 0.5 and shown[24:].min() == 1
    plotting.save_grid(images, tmp_path / "b.png", columns=2, heading="dress")
    shown = imread(tmp_path / "b.png")[..., 0]
    assert shown[:30].min() < 0.5 and shown[30:].min() == 1


def test_long_titles_and_headings_are_cut_off(tmp_path):
    images = np.zeros((2, 28, 28, 1), "float32")
    names = ("WWWWWWWWWWW" + "i" * 99, "the second of the doors in the house")
    plotting.save_grid(images, tmp_path / "a.png", 2, names, " ".join(names))
    shown = imread(tmp_path / "a.png")[:54, :, 0]
    assert shown[:30, 60:120].min() < 0.5 and shown[:30, [0, 1, -2, -1]].min() == 1
    assert shown[30:, 10:80].min() < 0.5 and shown[30:, 100:170].min() < 0.5
    assert shown[30:, [0, 1, 88, 89, 90, 91, -2, -1]].min() == 1


def test_losses_with_validation_have_a_panel_each(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(plotting, "save_figure", lambda figure, _path: shown.append(figure))
    history = {"d_loss": [3.0, 2.0], "g_loss": [1.0, 4.0], "norm": [5.0, 6.0]}
    history |= {"val_g_loss": [7.0, 8.0], "val_d_loss": [9.0, 1.0]}
    plotting.save_curves(history, plotting.panels(history), tmp_path / "losses.png")
    panels = [
        {line.get_label(): line.get_xydata().T.tolist() for line in axes.lines}
        for axes in shown[0].axes
    ]
    assert panels == [
        {"d_loss": [[1, 2], [3, 2]], "val_d_loss": [[1, 2], [9, 1]]},
        {"g_loss": [[1, 2], [1, 4]], "val_g_loss": [[1, 2], [7, 8]]},
        {"norm": [[1, 2], [5, 6]]},
    ]


def test_colours_are_drawn_as_they_are_on_white(tmp_path):
    images = np.zeros((3, 64, 64, 3), "float32")
    images[1] = (1, 0.2, 0)
    plotting.save_grid(images, tmp_path / "plain.png", columns=2)
    shown = imread(tmp_path / "plain.png")[..., :3]
    assert shown.shape == (396, 396, 3)  # 64 pixels and a gap of 2, three dots each
    assert np.all(shown[3:195, 3:195] == 0) and np.all(shown[:3] == 1)
    np.testing.assert_allclose(shown[3:195, 201:393], np.broadcast_to((1, 0.2, 0), (192, 192, 3)))
    assert np.all(shown[198:, 198:] == 1)


def test_large_images_are_not_enlarged_and_large_grids_stay_within_bounds(tmp_path):
    plotting.save_grid(np.zeros((2, 256, 256, 3), "float32"), tmp_path / "a.png", columns=2)
    assert imread(tmp_path / "a.png").shape[:2] == (258, 516)
    plotting.save_grid(np.zeros((1000, 28, 28, 1), "float32"), tmp_path / "a.png", columns=40)
    assert max(imread(tmp_path / "a.png").shape) <= 4000


def test_names_that_look_like_mathematics_or_have_no_glyph(tmp_path, monkeypatch, capsys):
    """Class names are any text: matplotlib would parse dollars, and warn of missing letters."""
    images = np.zeros((2, 28, 28, 1), "float32")

    def drawn(*names):
        plotting.save_grid(images, tmp_path / "a.png", columns=2, titles=names)
        return (tmp_path / "a.png").read_bytes()

    assert len({drawn("b", "$x_{$"), drawn("$x$", "b"), drawn("b", "Äö")}) == 3
    assert capsys.readouterr().err == ""
    # Where no font has the letters, a number stands for the name, and a line says for which.
    monkeypatch.setattr(plotting.font_manager, "findSystemFonts", list)
    plotting._font_with.cache_clear()
    assert drawn("b", "猫") == drawn("b", "2")
    drawn("犬", "b")
    assert capsys.readouterr().err.splitlines() == [
        f"No font of this machine has all letters of: {name}" for name in ("2 猫", "1 犬")
    ]
    plotting._font_with.cache_clear()


@pytest.mark.skipif(
    not any("CJK" in path for path in font_manager.findSystemFonts()), reason="no such font is here"
)
def test_chinese_names_are_drawn_by_a_font_that_has_them(tmp_path, capsys):
    one, other = (plotting.draw_header(100, (name,)) for name in "猫犬")
    assert not np.array_equal(one, other) and capsys.readouterr().err == ""
