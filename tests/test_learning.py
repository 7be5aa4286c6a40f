"""The animation of the pictures of a training."""

import shutil

import generate
from common import UserError
from common.sampling import learning

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A folder of one's own, with a trained model in runs/."""
    shutil.copytree(trained / "runs/cgan_fashion", tmp_path / "runs/cgan_fashion")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_pictures(folder, grey_by_epoch):
    (folder / "samples").mkdir(exist_ok=True)
    for epoch, grey in grey_by_epoch.items():
        Image.new("L", (90, 60), grey).save(folder / f"samples/epoch_{epoch:04d}.png")


def frames_of(path):
    """Grey values and durations of the frames of an animation."""
    with Image.open(path) as animation:
        for number in range(animation.n_frames):
            animation.seek(number)
            yield np.asarray(animation.convert("L")), animation.info["duration"]


def test_pictures_in_order_with_their_epochs(tmp_path):
    write_pictures(tmp_path, {5: 50, 10: 100, 15: 150, 20: 200})
    learning.draw(tmp_path, tmp_path / "a.gif", 8)
    frames, durations = zip(*frames_of(tmp_path / "a.gif"), strict=True)
    assert durations == (120, 120, 120, 3000)  # 125, in the hundredths of a second of a GIF
    assert [frame.shape for frame in frames] == [(90, 90)] * 4
    assert [np.unique(frame[30:]).tolist() for frame in frames] == [[50], [100], [150], [200]]
    headings = [frame[:30] for frame in frames]
    assert all(heading.min() < 100 and heading.max() == 255 for heading in headings)
    assert not np.array_equal(headings[0], headings[1])


@pytest.mark.parametrize("count", [1, 2, 60, 61, 1000])
def test_no_more_than_sixty_and_more_from_the_beginning(count):
    chosen = learning.log_spaced(count, 60)
    assert len(chosen) <= 60 and chosen[0] == 0 and chosen[-1] == count - 1
    steps = np.diff(chosen)
    assert np.all(steps > 0) and (count > 60 or len(chosen) == count)
    if count == 1000:
        assert chosen[:8] == list(range(8)) and steps[-1] > 80


def test_large_pictures_become_smaller(tmp_path):
    (tmp_path / "samples").mkdir()
    Image.new("RGB", (1200, 900), (200, 0, 0)).save(tmp_path / "samples/epoch_0001.png")
    learning.draw(tmp_path, tmp_path / "a.gif", 1)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.size == (600, 480)
        assert animation.convert("RGB").getpixel((300, 200)) == (200, 0, 0)


def test_generate_writes_it(here, capsys):
    write_pictures(here / "runs/cgan_fashion", {1: 10, 2: 20})
    generate.main(["--model", "cgan", "--learning"])
    assert capsys.readouterr().out == "generated/cgan_fashion_learning.gif\n"
    assert [wait for _, wait in frames_of("generated/cgan_fashion_learning.gif")] == [160, 3000]
    path = "runs/cgan_fashion/generator.keras"
    generate.main(["--model", path, "--learning", "--fps", "2", "--out", "a.GIF"])
    assert [wait for _, wait in frames_of("a.GIF")] == [500, 3000]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--class", "3"], "--class does not go with --learning: leave out --class"),
        (["--interpolate-latent"], "does not go with --learning: leave out"),
        (["--out", "a.png"], "a.png must end in .gif"),
    ],
)
def test_what_does_not_go_with_it(here, error_of, arguments, words):
    assert words in error_of(generate.main, "--model", "cgan", "--learning", *arguments)


def test_no_pictures_or_damaged_ones(here, error_of):
    shutil.copy("runs/cgan_fashion/generator.keras", "alone.keras")
    error = error_of(generate.main, "--model", "alone.keras", "--learning", "--out", "a.gif")
    assert "there are no sample pictures of a training run in samples: give a run" in error
    picture = here / "runs/cgan_fashion/samples/epoch_0001.png"
    picture.write_bytes(picture.read_bytes()[:200])
    error = error_of(generate.main, "--model", "cgan", "--learning", "--out", "a.gif")
    assert "cannot read runs/cgan_fashion/samples/epoch_0001.png: " in error
    with pytest.raises(UserError, match="no sample pictures"):
        learning.draw(here / "nowhere", here / "a.gif", 1)
    assert not (here / "a.gif").exists()
