"""The page of a run: what is written into it, and what a browser makes of it."""

import json
import os
import re
import time
from pathlib import PureWindowsPath
from types import SimpleNamespace

import cgan_fashion
from common import arguments
from common.training import page, resuming
from common.training.progress import Progress

import pytest
from chromium import PROGRAM, Chromium
from conftest import TINY
from PIL import Image
from runs import page_of

EVIL = "</script><img src=http://127.0.0.1:9/x onerror=window.stolen=1>{{name}}&amp;\"'\u2028"
RECORD = {
    "script": "cgan_fashion",
    "versions": {"python": "3.11.7", "keras": "3.15.1"},
    "device": "2 CPU cores",
    "arguments": {"epochs": 8, "limit": None, "jit": False, "checkpoint-minutes": 10, "seed": 1},
    "data": {"source": "sample", "images": 64, "sha256": "0123456789abcdef", "labels": ["a", "b"]},
}


def write(folder, epochs=3, pictures=None, seconds=30.0, record=RECORD, **options):
    """Write a page, and pictures that are told apart by their widths: 10 for epoch 1, then 11, …"""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    for epoch in range(1, epochs + 1) if pictures is None else pictures:
        Image.new("L", (9 + epoch, 20)).save(folder / f"samples/epoch_{epoch:04d}.png")
    history = {"d_loss": [1 / n for n in range(1, epochs + 1)], "g_loss": [2.0] * epochs}
    history, quality = options.pop("history", history), options.pop("quality", {})
    progress = Progress(epochs=epochs, history=history, quality=quality, seconds=seconds)
    page.write(folder, "cgan_fashion.py", record, progress, **options)
    return folder


@pytest.fixture(scope="module")
def browser():
    if PROGRAM is None:
        pytest.skip("there is no chromium (apt install chromium)")
    with Chromium() as one:
        # What a page means to do in a second it does in a twentieth, or at "#still" not at all.
        hurry = "location.hash === '#still' || wait(task, ms / 20)"
        hurry = f"{{const wait = setTimeout; setTimeout = (task, ms) => {hurry}}}"
        one.call("Page.addScriptToEvaluateOnNewDocument", source=hurry)
        yield one


@pytest.fixture
def open_page(browser):
    """Open a page in a window of 1280 x 900. Nothing but files may be asked for by then."""
    browser.resize(1280, 900)
    browser.requests.clear()
    yield lambda run, part="": browser.open((run / "index.html").absolute().as_uri() + part)
    assert all(address.startswith(("file:", "data:", "about:")) for address in browser.requests)
    assert browser.problems == []
    browser.call("Page.navigate", url="about:blank")


def texts(browser, selector):
    return browser.run(f"[...document.querySelectorAll('{selector}')].map(e => e.textContent)")


def test_what_the_page_says(browser, open_page, tmp_path):
    run = write(tmp_path / "run")
    open_page(run, "#still")
    assert browser.run("document.title") == "3/8 cgan_fashion"
    assert texts(browser, "h1, .state") == ["cgan_fashion", "running"]
    assert texts(browser, "#summary") == ["3 of 8 epochs, 30 s spent, about 50 s left."]
    assert texts(browser, "#facts h2") == ["Arguments", "Data", "Versions"]
    names, values = texts(browser, "dt"), texts(browser, "dd")
    assert dict(zip(names, values, strict=True)) == {
        **{"--out": str(run), "--epochs": "8", "--jit": "no"},
        **{"--checkpoint-minutes": "10", "--seed": "1", "source": "sample", "images": "64"},
        **{"sha256": "0123456789ab", "labels": "a, b", "python": "3.11.7", "keras": "3.15.1"},
        "device": "2 CPU cores",
    }
    assert texts(browser, "#commands pre") == [
        f"python cgan_fashion.py --resume --out {run}",
        f"python generate.py --model {run}/generator.keras",
        f"python generate.py --model {run}/generator.keras --learning",
        f"python explore.py --model {run}/generator.keras",
    ]
    # It loads itself anew four times in an epoch, and waits for news for three and two minutes.
    assert browser.run("[reloadAfter, silentAfter]") == [2.5, 150]
    assert abs(page_of(run)["written"] - time.time()) < 60


def test_a_collapse_is_marked(browser, open_page, tmp_path):
    distances = {"frechet_distance": [3.0, 2.0, 5.0]}
    best = {"best": {"epoch": 2, "frechet_distance": 2.0}}
    open_page(write(tmp_path / "run", record=RECORD | best, quality=distances))
    found, collapse = texts(browser, "#remarks p")
    assert "2.000, after epoch 2" in found and "collapsed. generate.py --best draws" in collapse
    open_page(write(tmp_path / "without", quality=distances))  # best.keras is not there
    assert texts(browser, "#remarks p") == []


def test_before_the_first_epoch(browser, open_page, tmp_path):
    open_page(write(tmp_path, epochs=0, history={}, seconds=0.0), "#still")
    assert texts(browser, "#summary") == ["0 of 8 epochs."]
    assert texts(browser, "#commands h2") == ["Resume it, should it stop"]
    words = "There is no picture yet: the first comes at the end of an epoch."
    assert texts(browser, "#samples p") == [words] and not texts(browser, ".plot")


def test_a_page_of_a_run_that_has_ended(browser, open_page, tmp_path):
    for state, words, command in (
        ("finished", "finished", "--resume --epochs 6"),
        ("stopped", "stopped", "--resume"),
        ("failed", "ended by an error", "--resume"),
    ):
        open_page(write(tmp_path, state=state, message="so it is"))
        assert texts(browser, ".state, #message") == [words, "so it is"]
        assert texts(browser, "#summary") == ["3 of 8 epochs, 30 s spent."]
        assert f"cgan_fashion.py {command} --out" in texts(browser, "#commands pre")[0]


def test_commands_on_windows(tmp_path, monkeypatch):
    """Its shells know no single quotes, and a backslash is no reason for any."""
    folder = PureWindowsPath(r"C:\my runs\größe")
    monkeypatch.setattr(arguments, "os", SimpleNamespace(name="nt"))
    said = resuming.command("cgan_fashion.py", folder)
    assert said == r'python cgan_fashion.py --resume --out "C:\my runs\größe"'
    assert resuming.command(r"my\a.py", PureWindowsPath(r"D:\x")).endswith(
        r" my\a.py --resume --out D:\x"
    )


def evil(folder):
    """A page with evil text wherever something comes from outside."""
    record = json.loads(json.dumps(RECORD)) | {"versions": {EVIL: EVIL}}
    record["arguments"]["vgg"] = record["data"]["source"] = EVIL
    record["data"]["class_names"] = [EVIL, EVIL]
    history = {EVIL: [1.0, 2.0, 3.0]}
    options = {"state": "failed", "message": EVIL, "history": history, "record": record}
    return write(folder / EVIL.replace("/", "\\"), **options)


def test_nothing_comes_from_elsewhere(tmp_path):
    """What comes from outside stands in the JSON alone, which has no "<" to end its element."""
    plain, bad = ((run / "index.html").read_text() for run in (write(tmp_path), evil(tmp_path)))
    assert re.findall(r'(?:src|href)="([^"]*)"', plain) == ["data:,", "losses.png"]
    assert set(re.findall(r"[a-z]+://[^\"' ]*", plain)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in plain and "@import" not in plain
    assert bad.count("<") == plain.count("<") and page_of(evil(tmp_path))["message"] == EVIL


def test_names_that_are_no_text(tmp_path):
    """A folder of which the name is bytes in an older encoding."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    assert "caf\\udce9" in (write(folder) / "index.html").read_text(encoding="utf-8")


def test_losses_and_accuracies_are_apart_and_so_is_each_figure_of_quality(
    browser, open_page, tmp_path
):
    names = ("loss", "kl", "val_kl", "accuracy_real", "other")
    history = {name: [1.0, 2.0] for name in names}
    quality = {name: [None, 0.7] for name in ("label_accuracy", "frechet_distance")}
    open_page(write(tmp_path, epochs=2, history=history, quality=quality), "#still")
    legends = "[...document.querySelectorAll('.legend')].map(all => [...all.children].map("
    assert browser.run(f"{legends}one => one.firstChild.nextSibling.data))") == [
        *(["kl", "val_kl"], ["loss", "other"], ["accuracy_real"]),
        *(["label_accuracy"], ["frechet_distance"]),
    ]


def test_only_pictures_that_exist_and_belong_to_finished_epochs(tmp_path):
    write(tmp_path, epochs=12, pictures=[5, 10, 15])
    for name in ("epoch_7.png", "epoch_x.png", "epoch_0006.gif", "other.png"):
        (tmp_path / "samples" / name).touch()
    found = page_of(write(tmp_path, epochs=12, pictures=[]))
    assert found["pictures"] == [5, 10] and found["picture_size"] == [19, 20]
    (tmp_path / "samples/epoch_0010.png").write_bytes(b"")  # no picture, which does no harm
    assert page_of(write(tmp_path, epochs=12, pictures=[]))["picture_size"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index.html", "losses.csv", "losses.png", "epoch_0001.png"])
def test_a_file_that_a_training_can_do_without(tmp_path, monkeypatch, capsys, name):
    """Another program holds it, or there is no room: a warning, and all else is there."""
    original = os.replace

    def replace(temporary, path):
        if path.name == name:
            raise OSError(28, "No space left on device", str(temporary))
        original(temporary, path)

    monkeypatch.setattr(os, "replace", replace)
    cgan_fashion.main([*TINY, "--epochs", "1", "--out", str(tmp_path)])
    warnings = capsys.readouterr().err
    assert f"{name}: No space left on device; the training goes on without this file" in warnings
    assert json.loads((tmp_path / "run.json").read_text())["epochs_finished"] == 1
    assert (tmp_path / "checkpoint.npz").exists() and not list(tmp_path.rglob(name))


# The width tells which picture it is; the slider and the words have to say the same.
SHOWN = "picture.complete && [picture.naturalWidth - 9, run.pictures[slider.value], epoch.value]"


def test_the_slider_moves_the_picture(browser, open_page, tmp_path):
    def shows(number):
        browser.wait_for(f"String({SHOWN}) === '{number},{number},epoch {number}'")

    open_page(write(tmp_path, epochs=12, pictures=[1, 4, 8, 12], state="finished"))
    shows(12)
    for key, number in (("ArrowLeft", 8), ("Home", 1), ("ArrowLeft", 1), ("ArrowRight", 4)):
        browser.press(key)
        shows(number)
    browser.run("slider.value = 2; slider.dispatchEvent(new Event('input'))")
    shows(8)
    assert browser.run("slider.getAttribute('aria-valuetext')") == "epoch 8"
    open_page(tmp_path, "#epoch=5")
    shows(4)
    assert browser.requests[-1].endswith("samples/epoch_0004.png")


def test_the_play_button_plays(browser, open_page, tmp_path):
    open_page(write(tmp_path, epochs=4, state="finished"))
    browser.run("window.seen = []; picture.onload = () => seen.push(picture.naturalWidth - 9)")
    browser.run("play.click()")
    browser.wait_for("seen.length === 4 && play.textContent === 'Play'")
    assert browser.run("seen") == [1, 2, 3, 4]
    browser.press(" ")
    assert browser.run("play.textContent") == "Pause"
    browser.press(" ")
    assert browser.run("play.textContent") == "Play"


def test_curves_show_values_and_choose_the_epoch(browser, open_page, tmp_path):
    history, quality = {"loss": [4.0, 3.0, 2.0, 1.0]}, {"accuracy": [None, 0.25, None, 1.0]}
    options = {"history": history, "quality": quality, "state": "finished"}
    open_page(write(tmp_path, epochs=4, **options))
    values = "[...document.querySelectorAll('.legend b')].map(b => b.textContent).join()"
    assert browser.run(values) == "1.00,1.00"
    box = "document.querySelectorAll('.plot svg')[1].getBoundingClientRect()"
    left, width, y = (browser.run(f"{box}.{side}") for side in ("left", "width", "top"))
    at = [left + width * (epoch - 1) / 3 for epoch in range(1, 5)]
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=at[1], y=y + 20)
    assert browser.run(values) == "3.00,0.250" and browser.run("epoch.value") == "epoch 4"
    browser.mouse("mousePressed", at[2], y + 20)
    browser.mouse("mouseReleased", at[2], y + 20)
    assert browser.run(values) == "2.00,0.250" and browser.run("epoch.value") == "epoch 3"
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=at[0], y=y + 20)
    assert browser.run(values) == "4.00,–"
    lines = browser.run("document.querySelectorAll('.plot path:not([class=grid])').length")
    assert lines == 2 * 3  # of each its line, its dots, and the cursor


def test_a_running_page_loads_itself_anew_and_stays_where_it_was(browser, open_page, tmp_path):
    open_page(write(tmp_path, epochs=8, seconds=0.0))
    browser.resize(1280, 500)
    browser.run("show(1); scrollTo(0, 90); slider.focus(); window.old = true")
    write(tmp_path, epochs=9, seconds=0.0)
    browser.wait_for("!window.old && run.pictures.length === 9 && picture.complete")
    browser.wait_for("scrollY === 90")  # once the page is laid out
    assert browser.run(SHOWN) == [2, 2, "epoch 2"]
    assert browser.run("document.activeElement.id") == "slider"
    browser.run("show(8); setPlaying(true); show(7); window.old = true")
    browser.wait_for("!window.old && epoch.value === 'epoch 9' && play.textContent === 'Play'")
    write(tmp_path, epochs=10, seconds=0.0, state="finished")
    browser.wait_for("run.pictures.length === 10 && epoch.value === 'epoch 10'")  # the newest
    browser.run("window.old = true")
    time.sleep(0.3)
    assert browser.run("window.old") is True


def test_a_page_without_news(browser, open_page, tmp_path, monkeypatch):
    earlier = time.time() - 200
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: earlier)
        path = write(tmp_path, epochs=2, seconds=2.0)
    open_page(path)
    assert browser.run("state.textContent") == "no news"
    assert browser.run("message.textContent").startswith("No news since ")
    assert browser.run("find('age').textContent") in ("Written 3 min ago.", "Written 4 min ago.")
    browser.run("window.old = true")
    time.sleep(0.3)
    assert browser.run("window.old") is True


def test_evil_names_in_a_browser(browser, open_page, tmp_path):
    open_page(evil(tmp_path))
    browser.wait_for("picture.complete && picture.naturalWidth === 12")
    assert browser.run("document.images.length") == 1
    assert browser.run("window.stolen") is None
    # And if something did get in, the page would not load it.
    browser.run("addEventListener('securitypolicyviolation', e => window.refused = e.blockedURI)")
    browser.run("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/y'}))")
    browser.wait_for("window.refused === 'http://127.0.0.1:9/y'")
    browser.requests.remove("http://127.0.0.1:9/y")  # DevTools count what was refused


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone(browser, open_page, tmp_path, dark):
    open_page(write(tmp_path / ("long_name_" * 12), state="finished", message="word" * 40))
    browser.resize(360, 700, dark=dark)
    browser.wait_for("innerWidth === 360")
    assert browser.run("document.documentElement.scrollWidth") == 360
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(21, 22, 25)" if dark else "rgb(247, 246, 243)")
