"""Sources of data: what is embedded, what is found, and what is wrong with a file."""

import gzip
import struct
from pathlib import Path

from common import UserError
from common.data import datasets, reading
from common.data.__main__ import main as show

import numpy as np
import pytest

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def small_set(count=30):
    """Clothes, uint8 (N, 28, 28), and their labels 0, 1, ... 9, 0, 1, ..."""
    sample = datasets.load_fashion_mnist("sample")
    chosen = np.argsort(sample.labels, kind="stable").reshape(10, -1).T.ravel()[:count]
    return sample.images[chosen, ..., 0], sample.labels[chosen].astype("uint8")


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_folder(folder, images, labels):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))


@pytest.mark.parametrize("load", [datasets.load_mnist, datasets.load_fashion_mnist])
def test_embedded_samples(load):
    images, labels, class_names, source = load("sample")
    assert source == "sample" and len(class_names) == 10
    assert images.shape == (10_000, 28, 28, 1) and images.dtype == "uint8"
    assert labels.shape == (10_000,) and labels.dtype == "int32"
    assert (images.min(), images.max()) == (0, 255)
    counts = np.bincount(labels)
    if load is datasets.load_fashion_mnist:
        assert counts.tolist() == [1000] * 10
    else:
        assert counts.tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]


def test_embedded_samples_are_small_and_their_licences_are_beside_them():
    folder = Path(datasets.__file__).parent / "samples"
    assert sum(path.stat().st_size for path in folder.glob("*.npz")) < 7_000_000
    text = (folder / "README.md").read_text(encoding="utf-8")
    for words in ("MIT", "Zalando", "CC BY-SA 3.0", "LeCun", "Cortes", "Burges"):
        assert words in text


@pytest.mark.skipif(not DEBIAN.exists(), reason=f"{DEBIAN} is absent: a Debian package has it")
def test_debians_folder_and_the_origin_of_the_sample():
    images, labels, _, source = datasets.load_fashion_mnist(str(DEBIAN))
    assert images.shape == (60_000, 28, 28, 1) and source == str(DEBIAN)
    assert np.bincount(labels).tolist() == [6000] * 10
    first = np.sort(np.concatenate([np.flatnonzero(labels == c)[:1000] for c in range(10)]))
    sample = datasets.load_fashion_mnist("sample")
    assert np.array_equal(sample.images, images[first])
    assert np.array_equal(sample.labels, labels[first])


def test_full_sets_come_from_kerass_cache(cache, capsys):
    images, labels = small_set()
    write_folder(cache / "fashion-mnist", images, labels)
    np.savez(cache / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    for source in ("auto", "full"):
        assert datasets.load_fashion_mnist(source).source == "full"
        assert len(datasets.load_fashion_mnist(source).images) == 30
        assert datasets.load_mnist(source).source == "full"
        assert len(datasets.load_mnist(source).images) == 60  # training and test part
    assert capsys.readouterr().err == ""


def test_auto_falls_back_on_the_sample_and_says_so_in_a_line(cache, capsys):
    for load in (datasets.load_mnist, datasets.load_fashion_mnist):
        assert load("auto").source == "sample"
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1
        assert "embedded sample" in output.err and "no internet in tests" in output.err
        with pytest.raises(UserError, match="cannot be downloaded .*: give --data sample, or"):
            load("full")


def test_auto_says_which_file_in_the_cache_is_damaged(cache, capsys):
    cache.mkdir(parents=True)
    (cache / "mnist.npz").write_bytes(b"half a download")
    assert datasets.load_mnist("auto").source == "sample"
    assert "mnist.npz" in capsys.readouterr().err
    with pytest.raises(UserError, match="cannot read .*; delete .*mnist.npz to have it downloaded"):
        datasets.load_mnist("full")
    assert (cache / "mnist.npz").exists()


def damaged_folders():
    images, labels = small_set()
    good = gzip.compress(idx(images))
    yield "truncated", {"images": good[: len(good) // 2]}
    yield "not gzip", {"images": b"no gzip at all"}
    yield "empty", {"images": b""}
    yield "wrong magic", {"images": gzip.compress(idx(labels))}
    yield "too few", {"images": gzip.compress(idx(images)[:-1])}
    yield "too many", {"images": gzip.compress(idx(images) + b"!")}
    yield (
        "none",
        {"images": gzip.compress(idx(images[:0])), "labels": gzip.compress(idx(labels[:0]))},
    )
    yield "fewer labels", {"labels": gzip.compress(idx(labels[:-1]))}
    huge = struct.pack(">HBB3I", 0, 8, 3, 10**9, 28, 28) + bytes(100)
    yield "a billion images", {"images": gzip.compress(huge)}


@pytest.mark.parametrize("files", [pytest.param(f, id=name) for name, f in damaged_folders()])
def test_damaged_folder(tmp_path, files):
    images, labels = small_set()
    write_folder(tmp_path, images, labels)
    for kind, content in files.items():
        path = tmp_path / f"train-{kind}-idx{3 if kind == 'images' else 1}-ubyte.gz"
        path.write_bytes(content)
    with pytest.raises(UserError, match=str(tmp_path)) as caught:
        datasets.load_fashion_mnist(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_source_that_is_not_there():
    with pytest.raises(UserError, match="cannot read nowhere: no such file or folder: give auto"):
        datasets.load_mnist("nowhere")


def test_looking_at_the_data(tmp_path, monkeypatch, capsys, error_of):
    monkeypatch.chdir(tmp_path)
    show(["fashion", "--data", "sample"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "10,000 images of 28 x 28 from sample"
    assert lines[4].split() == ["3", "dress", "1,000"]
    assert lines[-1] == "generated/fashion_100.png"
    assert Path(lines[-1]).exists()
    show(["mnist", "--data", "sample", "--out", "digits.png"])
    assert Path("digits.png").exists()
    assert "no such file" in error_of(show, "mnist", "--data", "nowhere")
    assert "must end in .png" in error_of(show, "mnist", "--out", "digits.bmp")


def test_files_that_the_system_keeps_in_memory_make_way(tmp_path, monkeypatch):
    """A container's limit counts them as used."""
    files = "anon 100\ninactive_file 300\nactive_file 200\n"
    for name, text in (("max", "1000\n"), ("current", "700\n"), ("stat", files)):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(reading, "_CONTAINER", tmp_path)
    assert reading.free_memory() == 800
    (tmp_path / "memory.max").write_text("max\n")
    assert reading.free_memory() > 1 << 20
