"""Facades: where they come from, what is wrong with a file, crops that stay aligned."""

import hashlib
import io
import json
import os
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

from common import UserError
from common.data import datasets, facades, reading
from common.data.__main__ import main as show

import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image

ARCHIVE = "CMP_facade_DB_base.zip"
_beside = next(PROJECT.parent.glob(f"*/data/{ARCHIVE}"), Path(ARCHIVE))
REAL = Path(os.environ.get("CMP_FACADES", _beside))
needs_the_real_set = pytest.mark.skipif(
    not REAL.exists(), reason=f"{ARCHIVE} is absent: CMP_FACADES says where it is"
)


def encoded(array, kind):
    """The bytes of a PNG, JPEG or BMP. Two dimensions and PNG: a palette as the CMP's."""
    image = Image.fromarray(array)
    if array.ndim == 2 and kind == "PNG":
        image.putpalette([0, 0, 0, *facades.colours(np.arange(12)).ravel().tolist()])
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


def random_labels(seed, height=40, width=50):
    """Classes 0 to 11, all of them."""
    rng = np.random.default_rng(seed)
    label_map = rng.integers(0, 12, (height, width), dtype="uint8")
    label_map[0, :12] = range(12)
    return label_map


def cmp_files(count=3):
    """The names and contents of a small set like the CMP's."""
    files = {}
    for number in range(1, count + 1):
        label_map = random_labels(number)
        photo = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype="uint8")
        files[f"base/cmp_b{number:04d}.jpg"] = encoded(photo, "JPEG")
        files[f"base/cmp_b{number:04d}.png"] = encoded(label_map + 1, "PNG")
        files[f"base/cmp_b{number:04d}.xml"] = b"<object/>"
    return files


def keras_io_files(count=3):
    """The same named as in the document on GauGAN."""
    files = {}
    for number in range(1, count + 1):
        label_map = random_labels(number)
        files[f"{number}_images.jpg"] = encoded(facades.colours(label_map), "JPEG")
        files[f"{number}_segmentation_map.png"] = encoded(facades.colours(label_map), "PNG")
        files[f"{number}_segmentation_labels.bmp"] = encoded(label_map, "BMP")
    return files


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def write_folder(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder)


@pytest.fixture
def three_drawn(monkeypatch, few_drawn):
    monkeypatch.setattr(facades, "DRAWN", few_drawn(3))


# ---- sources


@pytest.mark.slow
@needs_the_real_set
def test_the_real_set():
    found = facades.load_facades(str(REAL))
    assert len(found.images) == len(found.label_maps) == 378
    assert sum(min(label_map.shape) < 256 for label_map in found.label_maps) == 3
    pixels = sum(np.bincount(label_map.ravel(), minlength=12) for label_map in found.label_maps)
    # Counted in the archive's own label maps, where the values are 1 to 12.
    assert pixels.tolist()[:4] == [37_578_512, 93_790_650, 32_795_646, 3_229_531]
    assert all(
        image.shape == (*label_map.shape, 3)
        for image, label_map in zip(found.images, found.label_maps, strict=True)
    )
    training, validation = facades.split(found, seed=0)
    assert (len(training.images), len(validation.images)) == (302, 76)
    fitted = facades.fit(found, 64)
    photos, label_maps = facades.centre_crops(fitted, 64)
    assert photos.shape == (378, 64, 64, 3) and label_maps.shape == (378, 64, 64)


def test_a_zip_file_and_folders_of_it(tmp_path):
    files = cmp_files()
    folder = write_folder(tmp_path / "folder", files)
    sources = [write_zip(tmp_path / "set.zip", files), folder, str(Path(folder, "base"))]
    for source in sources:
        found = facades.load_facades(source)
        assert found.source == source and len(found.images) == 3
        for number, (image, label_map) in enumerate(
            zip(found.images, found.label_maps, strict=True), 1
        ):
            assert image.shape == (40, 50, 3) and image.dtype == label_map.dtype == "uint8"
            assert np.array_equal(label_map, random_labels(number))
    assert len({facades.load_facades(source).sha256() for source in sources}) == 1
    assert sorted(Path(folder).iterdir()) == [Path(folder, "base")]  # nothing was unpacked


def test_full_and_auto_come_from_kerass_cache(cache, capsys):
    cache.mkdir(parents=True)
    write_zip(cache / "CMP_facade_DB_base.zip", cmp_files())
    for source in ("auto", "full"):
        found = facades.load_facades(source)
        assert found.source == "full" and len(found.images) == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no internet in tests"), (b"half a download", "not a zip file")]
)
def test_auto_takes_drawn_facades_where_there_is_no_archive(
    cache, capsys, three_drawn, content, words
):
    cache.mkdir(parents=True)
    if content:
        (cache / ARCHIVE).write_bytes(content)
    assert facades.load_facades("auto").source == "drawn"
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert "drawn facades" in output.err and ARCHIVE in output.err and words in output.err
    with pytest.raises(UserError, match=f"{ARCHIVE}.*{words}"):
        facades.load_facades("full")


# ---- what is wrong with a file


def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def huge_png(width, height):
    """A PNG of a few kilobytes that claims to be of any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


PHOTO, MAP = "base/cmp_b0002.jpg", "base/cmp_b0002.png"


def damaged_sets():
    good, label_map = cmp_files(), random_labels(2)
    wrong = label_map + 1
    wrong[3, 4] = 13
    foreign = facades.colours(label_map)
    foreign[2, 3] = (0, 255, 0)
    yield "black", {MAP: encoded(label_map, "PNG")}, f"{MAP}: it is in colours, such as 0 0 0, wh"
    yield "label 13", {MAP: encoded(wrong, "BMP")}, f"{MAP}: label 13 is not between 1 and 12; it"
    yield "green", {MAP: encoded(foreign, "PNG")}, f"{MAP}: it is in colours, such as 0 255 0"
    yield "JPEG map", {MAP: encoded(label_map, "JPEG")}, f"{MAP}: it is a JPEG, whose compression"
    yield "other size", {MAP: encoded(label_map[1:] + 1, "PNG")}, f"{MAP}: it is 50 x 39, its"
    yield "half a photo", {PHOTO: good[PHOTO][: len(good[PHOTO]) // 2]}, f"{PHOTO}: .*truncated"
    yield "end of photo", {PHOTO: good[PHOTO][:-2]}, f"{PHOTO}: .*truncated"
    yield "half a map", {MAP: good[MAP][: len(good[MAP]) // 2]}, f"{MAP}: .*truncated"
    yield "end of map", {MAP: good[MAP][:-6]}, f"{MAP}: .*truncated"
    yield "empty photo", {PHOTO: b""}, f"{PHOTO}: it is empty"
    yield "no picture", {MAP: b"GIF89a, perhaps"}, f"{MAP}: "
    yield "huge map", {MAP: huge_png(12_000, 12_000)}, f"{MAP}: .*exceeds limit of 120000000 pix"
    yield "large file", {PHOTO: good[PHOTO] + bytes(1 << 26)}, f"{PHOTO}:? .*more than 67108864 b"


@pytest.mark.parametrize(
    ("changes", "message"), [pytest.param(*rest, id=name) for name, *rest in damaged_sets()]
)
def test_damaged_set(tmp_path, changes, message):
    source = write_zip(tmp_path / "set", cmp_files() | changes)
    with pytest.raises(UserError, match=message) as caught:
        facades.load_facades(source)
    assert str(caught.value).startswith(f"cannot read {source}: ")
    assert "\n" not in str(caught.value)


def test_not_a_set(tmp_path):
    (tmp_path / "file.zip").write_bytes(b"no archive")
    (tmp_path / "empty").mkdir()
    write_zip(tmp_path / "other.zip", {"readme.txt": b"?"})
    half = Path(write_zip(tmp_path / "half.zip", cmp_files()))
    half.write_bytes(half.read_bytes()[:2000])
    for source, message in (
        ("file.zip", "not a zip file"),
        ("half.zip", "not a zip file"),
        ("empty", "holds no photos"),
        ("other.zip", "holds no photos"),
        ("nowhere", "no such file or folder: give auto, full, drawn or a path"),
    ):
        with pytest.raises(UserError, match=f"cannot read {tmp_path / source}: .*{message}"):
            facades.load_facades(str(tmp_path / source))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    readers = facades.read_label_map, facades.read_photo, datasets.load_mnist
    for read in (facades.load_facades, *readers):
        with pytest.raises(UserError, match="neither a file nor a folder"):
            read(str(tmp_path / "pipe"))


# ---- hostile archives


@pytest.mark.parametrize("name", ["../evil.png", "b/../../evil.png", "/evil.png", "C:\\evil.png"])
def test_members_are_not_written_outside_the_folder(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    source = write_zip(tmp_path / "set.zip", cmp_files() | {name: b"evil"})
    facades.load_facades(source)
    assert {path.name for path in tmp_path.iterdir()} == {"set.zip", "temporary"}
    assert not list((tmp_path / "temporary").iterdir()) and not Path("/evil.png").exists()


def test_more_than_memory_holds_is_refused_after_the_first_photo(tmp_path, monkeypatch):
    source = write_zip(tmp_path / "set.zip", cmp_files(12))
    monkeypatch.setattr(reading, "free_memory", lambda: 12 * 4 * 40 * 50)
    assert len(facades.load_facades(source).images) == 12
    monkeypatch.setattr(reading, "free_memory", lambda: 12 * 4 * 40 * 50 - 1)
    with pytest.raises(UserError, match="12 photos and label maps would take 0.0 GB"):
        facades.load_facades(source)


# ---- single pictures


def test_a_label_map_counts_from_0_or_from_1(tmp_path):
    label_map = random_labels(0)
    path = tmp_path / "labels.png"
    for values in (label_map, label_map + 1):
        for image in (Image.fromarray(values), Image.fromarray(values.astype("uint16"))):
            image.save(path)
            assert np.array_equal(facades.read_label_map(str(path)), label_map)
            assert facades.read_label_map(path).dtype == "uint8"
    # None of the CMP's label maps has a 0, and many have no shop, which is 12.
    without_shop = np.where(label_map == 11, 1, label_map)
    path.write_bytes(encoded(without_shop + 1, "PNG"))
    assert np.array_equal(facades.read_label_map(path), without_shop)


@pytest.mark.parametrize(
    ("bits", "row", "values"),
    [(1, b"\x40", [0, 1]), (2, b"\x1b", [0, 1, 2, 3]), (4, b"\x01\x9b", [0, 1, 9, 11])],
)
def test_a_label_map_with_few_bits_for_a_pixel(tmp_path, bits, row, values):
    """PIL makes 0, 85, 170, 255 of the grey levels 0, 1, 2, 3."""
    header = struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + row))
    path = tmp_path / "labels.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b""))
    assert facades.read_label_map(path).tolist() == [values]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([0, 3, 12], "label 12 is not between 0 and 11; its values are 0, 3, 12"),
        ([1, 13], "label 13 is not between 1 and 12; its values are 1, 13"),
        ([0, 255], "label 255 is none of the classes"),
        (range(0, 200, 10), "label 20 is not between 0 and 11; .* 0, 10, 20, .* 110 and 8 more"),
    ],
)
def test_a_label_map_with_other_values(tmp_path, values, named):
    path = tmp_path / "labels.png"
    Image.fromarray(np.array([list(values)], "uint8")).save(path)
    with pytest.raises(UserError, match=f"cannot read {path}: {named}"):
        facades.read_label_map(path)


@pytest.mark.parametrize("read", [facades.read_label_map, facades.read_photo])
def test_pictures_that_cannot_be_read(tmp_path, read):
    (tmp_path / "text.png").write_text("no picture")
    for name, message in (
        ("text.png", "it is not a picture in a format that can be read"),
        ("absent.png", "no such file"),
        (".", "it is a folder"),
    ):
        with pytest.raises(UserError, match=message):
            read(tmp_path / name)


# ---- splitting, fitting, cropping


def painted(sizes):
    """Facades whose photos are their label_maps in colours."""
    label_maps = [
        np.kron(
            np.random.default_rng(i).integers(0, 12, (-(-h // 8), -(-w // 8))), np.ones((8, 8))
        )[:h, :w].astype("uint8")
        for i, (h, w) in enumerate(sizes)
    ]
    return facades.Facades([facades.colours(one) for one in label_maps], label_maps, "test")


@pytest.mark.parametrize(("count", "training"), [(378, 302), (2, 1), (5, 4), (9, 7)])
def test_split(count, training):
    every = facades.Facades(list(range(count)), list(range(count)), "test")
    first, second = facades.split(every, seed=3)
    assert len(first.images) == training and first.source == "test"
    assert sorted(first.images + second.images) == list(range(count))
    assert first.images == first.label_maps
    assert facades.split(every, seed=3) == (first, second)
    if count > 5:
        assert facades.split(every, seed=4)[1] != second
    with pytest.raises(UserError, match="of 1 facades from test, 0 are for training"):
        facades.split(every.first(1), seed=0)


@pytest.mark.parametrize(
    ("size", "image_size", "fitted"),
    [
        ((500, 400), 256, (500, 400)),
        ((500, 400), 128, (250, 200)),
        ((500, 400), 64, (125, 100)),
        ((256, 256), 64, (64, 64)),
        ((512, 128), 256, (1024, 256)),
        ((512, 128), 64, (256, 64)),
        ((100, 207), 256, (256, 530)),
    ],
)
def test_fit(size, image_size, fitted):
    found = facades.fit(painted([size]), image_size)
    assert found.label_maps[0].shape == fitted and found.images[0].shape == (*fitted, 3)
    assert found.label_maps[0].dtype == found.images[0].dtype == "uint8"
    assert found.label_maps[0].max() < 12


def test_photos_are_averaged_over_areas_when_scaled_down():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    striped = facades.Facades([stripes], [stripes[..., 0]], "test")
    assert facades.fit(striped, 256).images[0] is stripes
    fitted = facades.fit(striped, 64)
    assert np.abs(fitted.images[0][:, 2:-2].astype(int) - 127.5).max() < 10


def test_a_facade_that_would_fill_the_memory_when_scaled_up():
    photo, label_map = np.zeros((1, 2_000_000, 3), "uint8"), np.zeros((1, 2_000_000), "uint8")
    thin = facades.Facades([photo], [label_map], "test")
    with pytest.raises(
        UserError, match="from test, scaled to hold crops of 256 pixels, would take 524.3 GB"
    ):
        facades.fit(thin, 256)


@pytest.mark.parametrize("image_size", [64, 128, 256])
def test_photo_and_label_map_stay_aligned(image_size):
    """Of a photo painted from its own label_map, every crop has to be painted from its own, too."""
    found = facades.fit(painted([(300, 400), (256, 256), (150, 300), (420, 207)]), image_size)
    chosen = np.array([0, 1, 2, 3, 0, 0])
    photos, label_maps = facades.random_crops(found, chosen, image_size, np.random.default_rng(0))
    assert photos.shape == (6, image_size, image_size, 3) and photos.dtype == "uint8"
    assert label_maps.shape == (6, image_size, image_size) and label_maps.dtype == "uint8"
    middle_photos, middle_maps = facades.centre_crops(found, image_size)
    assert len(middle_photos) == len(middle_maps) == 4
    exact = (photos[:1], label_maps[:1]) if image_size == 256 else (photos[:0], label_maps[:0])
    assert np.array_equal(exact[0], facades.colours(exact[1]))
    for photo, label_map in zip(
        (*photos, *middle_photos), (*label_maps, *middle_maps), strict=True
    ):
        expected = facades.colours(label_map).astype(int)
        error = np.abs(expected - photo).mean()
        # Edges are blurred where it was scaled; one pixel aside is much worse.
        for axis in (0, 1):
            for step in (-1, 1):
                assert error < 0.7 * np.abs(np.roll(expected, step, axis) - photo).mean()


def test_random_crops_are_everywhere_and_come_from_the_generator_alone():
    y, x = np.mgrid[:70, :67].astype("uint8")
    found = facades.Facades([np.stack([y, x, x], axis=-1)], [x % 12], "test")

    def crop(seed):
        return facades.random_crops(found, [0] * 200, 64, np.random.default_rng(seed))

    photos, label_maps = crop(0)
    corners = {(int(top), int(left)) for top, left, _ in photos[:, 0, 0]}
    assert corners == {(top, left) for top in range(7) for left in range(4)}
    assert np.array_equal(label_maps, photos[..., 1] % 12)
    assert np.array_equal(crop(0)[0], photos) and not np.array_equal(crop(1)[0], photos)
    middle, _ = facades.centre_crops(found, 64)
    assert middle[0, 0, 0].tolist() == [3, 1, 1]


def test_colours():
    shown = facades.colours(np.array([[[0, 11], [3, 1]]], "uint8"))
    assert shown.shape == (1, 2, 2, 3) and shown.dtype == "uint8"
    assert shown[0].tolist() == [[[0, 0, 170], [170, 0, 0]], [[0, 170, 255], [0, 0, 255]]]
    for outside in (np.array([12]), np.array([255])):
        with pytest.raises(IndexError):
            facades.colours(outside)


@needs_the_real_set
def test_the_colours_are_those_of_the_real_label_maps():
    with zipfile.ZipFile(REAL) as archive:
        image = Image.open(io.BytesIO(archive.read("base/cmp_b0001.png")))
        values, drawn = np.asarray(image), np.asarray(image.convert("RGB"))
    assert np.array_equal(facades.colours(values - 1), drawn)


def test_first_and_digest():
    found = painted([(40, 50), (50, 40), (30, 30)])
    assert len(found.first(2).images) == 2 and len(found.first(2).label_maps) == 2
    assert len(found.first(None).images) == len(found.first(9).images) == 3
    assert found.sha256() == painted([(40, 50), (50, 40), (30, 30)]).sha256()
    assert found.sha256() != found.first(2).sha256()
    for changed in ("images", "label_maps"):
        other = painted([(40, 50), (50, 40), (30, 30)])
        getattr(other, changed)[1][3, 4] ^= 1
        assert other.sha256() != found.sha256()


# ---- drawn facades


def test_drawn_facades(drawn):
    assert len(drawn.images) == len(drawn.label_maps) == 320
    assert drawn.class_names == facades.CLASS_NAMES and drawn.numbered_from is None
    # The label maps are those that the shipped generator and judge have learnt from.
    digest = hashlib.sha256(b"".join(label_map.tobytes() for label_map in drawn.label_maps))
    assert digest.hexdigest() == "1d43965b94eccf3aec334bbd70dcb9055c66bd8bd9cd4726a735391cb075832a"
    record = json.loads((PROJECT / "trained/gaugan_facades/run.json").read_text())
    assert drawn.sha256() == record["data"]["sha256"]
    assert np.array_equal(facades.drawn_label_map(320), drawn.label_maps[-1])
    for photo, label_map in zip(drawn.images, drawn.label_maps, strict=True):
        height, width = label_map.shape
        assert 340 <= height <= 520 and 380 <= width <= 460 and photo.shape == (height, width, 3)


def test_looking_at_the_data(tmp_path, monkeypatch, capsys, error_of, three_drawn):
    monkeypatch.chdir(tmp_path)
    show(["facades", "--data", "drawn"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 facades, ") and lines[0].endswith("wide, from drawn")
    assert [line.split()[1] for line in lines[1:13]] == list(facades.CLASS_NAMES)
    assert lines[-1] == "generated/facades_first_3.png" and Path(lines[-1]).exists()
    show(["facades", "--data", "drawn", "--count", "1", "--out", "one.png"])
    three = np.asarray(Image.open("generated/facades_first_3.png"))
    one = np.asarray(Image.open("one.png"))  # a label map, and its photo beside it
    assert three.shape == (258, 1548, 3) and np.array_equal(three[:, :516], one)
    first = facades.load_facades("drawn").label_maps[0]
    top, left = ((side - 256) // 2 for side in first.shape)
    square = first[top : top + 256, left : left + 256]
    assert np.array_equal(one[1:257, 1:257], facades.colours(square))
    assert "no such file" in error_of(show, "facades", "--data", "nowhere")
    assert "must end in .png" in error_of(show, "facades", "--out", "facades.bmp")
