"""Images of one's own: pictures in folders, arrays, IDX files and tables as people have them."""

import contextlib
import gzip
import io
import itertools
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

from common import UserError
from common.data import datasets, pictures, reading
from common.data.__main__ import main as show

import documents
import h5py
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms, PngImagePlugin
from test_datasets import idx, small_set

GREYS = (np.arange(40 * 60) % 251).astype("uint8").reshape(40, 60)
COLOURS = np.stack([GREYS, GREYS.T.reshape(40, 60), 255 - GREYS], axis=-1)


def save(path, image, **options):
    """Write a picture, from an array or a PIL image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)


def plain(colour, size=(9, 9)):
    return Image.new("RGB", size, colour)


def load(path, **options):
    return datasets.load_fashion_mnist(str(path), **options)


# ---- one picture, of any kind


def pictures_of_one_red():
    """The same red square with a white half, in every mode and format: name, image, options."""
    red = Image.new("RGB", (20, 20), (250, 0, 0))
    red.paste((255, 255, 255), (0, 0, 10, 20))
    clear = red.convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 10, 20))
    palette = red.quantize(4)
    hole = Image.fromarray(np.repeat(np.uint8([[0, 1]] * 20), 10, axis=1))
    hole.putpalette([0, 200, 0, 250, 0, 0])
    yield "rgb.png", red, {}
    yield "rgb.bmp", red, {}
    yield "rgb.tiff", red, {}
    yield "rgb.ppm", red, {}
    yield "rgb.tga", red, {}
    yield "rgb.webp", red, {"lossless": True}
    yield "rgb.jpg", red, {"quality": 100, "subsampling": 0}
    yield "progressive.JPEG", red, {"quality": 100, "subsampling": 0, "progressive": True}
    yield "cmyk.jpg", red.convert("CMYK"), {"quality": 100, "subsampling": 0}
    yield "palette.png", palette, {}
    yield "palette.gif", palette, {}
    yield "hole.gif", hole, {"transparency": 0}
    yield "hole.png", hole, {"transparency": 0}
    yield "alpha.png", clear, {}
    yield "alpha.webp", clear, {"lossless": True}
    yield "alpha.tiff", clear, {}
    yield "several.gif", palette, {"save_all": True, "append_images": [plain("blue", (20, 20))]}
    yield "no_suffix", red, {"format": "png"}


@pytest.mark.parametrize(("name", "image", "options"), pictures_of_one_red(), ids=str)
def test_every_mode_and_format_is_the_same_picture(tmp_path, name, image, options):
    save(tmp_path / name, image, **options)
    square = pictures.read_square((tmp_path / name).read_bytes(), 20)
    square = np.asarray(square.convert("RGB")).astype(int)
    assert np.abs(square[:, :8] - 255).max() <= 6
    assert np.abs(square[:, 12:] - (250, 0, 0)).max() <= 6


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("1.png", np.array([[False, True]]), [0, 255]),
        ("l.png", np.array([[7, 200]], "uint8"), [7, 200]),
        ("l.jpg", np.full((8, 8), 77, "uint8"), [77]),
        ("i16.png", np.array([[0x2121, 0xFFFF, 0]], "uint16"), [0x21, 255, 0]),
        ("i16.tiff", np.array([[0x2121, 0xFFFF, 0]], "uint16"), [0x21, 255, 0]),
        ("i32.tiff", np.array([[3, 255, 0]], "int32"), [3, 255, 0]),
        ("f.tiff", np.array([[0.2, 1.0, 0.0]], "float32"), [51, 255, 0]),
        ("f255.tiff", np.array([[51.4, 255, 0]], "float32"), [51, 255, 0]),
    ],
)
def test_greys_of_any_depth(tmp_path, name, values, expected):
    save(tmp_path / name, values)
    with pictures.opened((tmp_path / name).read_bytes()) as image:
        flat = pictures.flattened(image)
    assert flat.mode == "L" and np.asarray(flat)[0, : len(expected)].tolist() == expected


def test_grey_with_alpha_lies_on_white(tmp_path):
    image = Image.merge("LA", [Image.new("L", (4, 4), 100), Image.new("L", (4, 4), 0)])
    image.putpixel((3, 0), (100, 255))
    save(tmp_path / "la.png", image)
    photo, _ = pictures.read_photo((tmp_path / "la.png").read_bytes())
    assert photo[0, 0].tolist() == [255] * 3 and photo[0, 3].tolist() == [100] * 3


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, orientation, suffix):
    upright = np.zeros((32, 48), "uint8")
    upright[:16, :16], upright[:16, 32:], upright[16:, :16] = 255, 150, 60
    # How a picture lies that is to be turned so; each but 6 and 8 is its own opposite.
    ways = (None, "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90")
    way = (*ways, "TRANSVERSE", "ROTATE_270")[orientation - 1]
    stored = Image.fromarray(upright)
    stored = stored.transpose(Image.Transpose[way]) if way else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / f"photo{suffix}", stored, exif=exif)
    photo, size = pictures.read_photo((tmp_path / f"photo{suffix}").read_bytes())
    assert size == (48, 32) and photo.shape == (32, 48, 3)
    assert np.abs(photo[..., 0].astype(int) - upright).mean() < 3


def test_large_photos_are_scaled_down_as_they_are_read():
    for size, expected in (
        ((4000, 3000), (768, 1024)),
        ((1024, 1024), (1024, 1024)),
        ((2000, 600), (512, 1707)),
        ((5000, 300), (300, 5000)),
    ):
        content = io.BytesIO()
        plain((10, 20, 30), size).save(content, "JPEG")
        photo, before = pictures.read_photo(content.getvalue())
        assert before == size and photo.shape == (*expected, 3)
        assert np.abs(photo.astype(int) - (10, 20, 30)).max() <= 3


def test_what_a_phone_appends_to_a_jpeg_is_no_scan():
    content = io.BytesIO()
    plain("green").save(content, "JPEG", progressive=True)
    film = content.getvalue() + b"\x00\x00ftypmp42" + b"\xff\xda\x00\x08" * 100
    assert pictures.read_photo(film)[1] == (9, 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in a format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture in a format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC format, which cannot be read: convert it to JPEG"),
        (b"", "it is empty"),
    ],
)
def test_what_is_no_picture(content, message):
    with pytest.raises(ValueError, match=message):
        pictures.read_photo(content)


# ---- folders with a folder for each class


@pytest.fixture
def shapes(tmp_path):
    """Three classes, whose names sort by their numbers, of colours that tell them apart."""
    folder = tmp_path / "shapes"
    for name, colour in (("Tür 10", (200, 0, 0)), ("Tür 2", (0, 200, 0)), ("Ü", (0, 0, 200))):
        for i in range(3):
            image = plain(tuple(channel + i for channel in colour), (40 + i, 30))
            save(folder / name / f"{10 - i}.png", image)
    return folder


def test_class_folders_in_colour(shapes, capsys):
    found = load(shapes)
    assert found.class_names == ("Tür 2", "Tür 10", "Ü") and found.source == str(shapes)
    assert found.images.shape == (9, 32, 32, 3) and found.images.dtype == "uint8"
    assert found.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 and found.labels.dtype == "int32"
    assert found.images[:, 5, 5].tolist()[:4] == [
        [2, 202, 2],
        [1, 201, 1],
        [0, 200, 0],
        [202, 2, 2],
    ]
    assert capsys.readouterr() == (
        "",
        f"{shapes}: 9 colour images of 32 x 32 in 3 classes: Tür 2, Tür 10, Ü\n",
    )
    assert load(shapes).sha256() == found.sha256()


def test_size_and_channels_are_what_one_says(shapes):
    grey = load(shapes, channels=1, image_size=16)
    assert grey.images.shape == (9, 16, 16, 1) and grey.images[2, 3, 3, 0] == round(0.587 * 200)
    save(shapes.parent / "grey/a/1.png", GREYS)
    save(shapes.parent / "grey/a/2.jpg", np.stack([GREYS] * 3, axis=-1))
    assert load(shapes.parent / "grey").images.shape == (2, 28, 28, 1)
    assert load(shapes.parent / "grey", channels=3).images.shape == (2, 32, 32, 3)
    save(shapes.parent / "grey/b/1.png", COLOURS)  # one in colour, and all are
    found = load(shapes.parent / "grey")
    assert found.images.shape == (3, 32, 32, 3)
    assert np.ptp(found.images[:2], axis=-1).max() == 0 and np.ptp(found.images[2]) > 100


def test_names_that_look_the_same_are_one_class(tmp_path):
    save(tmp_path / "set/Tür/1.png", GREYS)  # one letter
    save(tmp_path / "set/Tu\u0308r/2.png", GREYS.T.copy())  # u and two dots, as macOS has it
    found = load(tmp_path / "set")
    assert found.class_names == ("Tür",) and len(found.images) == 2


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_what_systems_and_programs_leave_is_passed_over(shapes, capsys):
    hidden = ".DS_Store Thumbs.db desktop.ini Ü/Thumbs.db Ü/.hidden.png __MACOSX/Ü/._1.png"
    for name in (*hidden.split(), ".ipynb_checkpoints/1.png", "Ü/.ipynb_checkpoints/8.png"):
        (shapes / name).parent.mkdir(parents=True, exist_ok=True)
        (shapes / name).write_bytes(b"?")
    (shapes / "empty").mkdir()
    assert load(shapes).class_names == ("Tür 2", "Tür 10", "Ü")
    assert "passed over" not in capsys.readouterr().err
    save(shapes / "cover.png", GREYS)
    for name in ("IMG_1.AAE", "IMG_1.MOV", "labels.txt"):
        (shapes / "Ü" / name).write_bytes(b"?")
    assert len(load(shapes).images) == 9
    passed_over = "passed over: cover.png, Ü/IMG_1.AAE, Ü/IMG_1.MOV and 1 more\n"
    assert capsys.readouterr().err.endswith(passed_over)
    (shapes / "Ü/broken.png").symlink_to("nowhere.png")
    names = "8.png:Zone.Identifier 8.png\uf03aZone.Identifier 1.png.part 2.crdownload 3.tmp"
    for name in f"{names} README LICENSE vgg.h5 x.pt x.cache x.parquet x.tar.gz".split():
        (shapes / "Ü" / name).write_bytes(b"?")
    assert len(load(shapes).images) == 9 and "and 14 more\n" in capsys.readouterr().err
    with zipfile.ZipFile(shapes.parent / "shapes.zip", "w") as archive:
        for path in filter(Path.is_file, shapes.rglob("*")):
            archive.write(path, str(path.relative_to(shapes)).replace("/", "\\"))
    assert load(shapes.parent / "shapes.zip").sha256() == load(shapes).sha256()


@pytest.mark.parametrize("name", ["Ü/8.png", "Ü/broken.heic"])
def test_a_file_that_cannot_be_read_is_named(shapes, name):
    content = (shapes / "Ü/8.png").read_bytes()
    (shapes / name).write_bytes(content[:-30] if name.endswith("png") else b"\0\0\0\x18ftypheic")
    with pytest.raises(UserError, match=f"cannot read {shapes}: {name}: it is ") as caught:
        load(shapes)
    assert "\n" not in str(caught.value)


def test_folders_around_the_classes_and_within(shapes, capsys):
    outer = shapes.parent / "a" / "b"
    outer.mkdir(parents=True)
    shapes.rename(outer / "shapes")
    (outer / "shapes/Ü/deeper").mkdir()
    (outer / "shapes/Ü/8.png").rename(outer / "shapes/Ü/deeper/8.png")
    assert load(outer.parent).class_names == ("Tür 2", "Tür 10", "Ü")
    assert len(load(outer.parent).images) == 9

    (outer / "shapes").rename(outer / "train")
    save(outer / "test/Ü/1.png", COLOURS)
    assert len(load(outer).images) == 9
    assert "passed over: test/Ü/1.png" in capsys.readouterr().err
    found = datasets.load_mnist(str(outer))
    assert len(found.images) == 10 and found.class_names == ("Tür 2", "Tür 10", "Ü")


def test_parts_without_classes_are_for_scripts_without_labels(tmp_path):
    save(tmp_path / "set/train/1.png", COLOURS)
    save(tmp_path / "set/test/1.png", COLOURS.transpose(1, 0, 2).copy())
    save(tmp_path / "set/test/2.png", COLOURS)
    with pytest.raises(UserError, match="it holds 1 pictures, and no folder of pictures for each"):
        load(tmp_path / "set")
    assert len(load(tmp_path / "set", labels_needed=False).images) == 1
    assert len(load(tmp_path / "set", part="test", labels_needed=False).images) == 2
    (tmp_path / "set/train").rename(tmp_path / "set/lorry")  # a class, and "test" is another
    assert load(tmp_path / "set").class_names == ("lorry", "test")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_links_are_followed_but_not_in_circles(shapes):
    (shapes / "Ü/again").symlink_to(shapes)
    (shapes / "linked").symlink_to(shapes.parent / "elsewhere")
    (shapes / "Ü too").symlink_to(shapes / "Ü")  # two names are two classes
    save(shapes.parent / "elsewhere/1.png", COLOURS)
    found = load(shapes)
    assert found.class_names == ("linked", "Tür 2", "Tür 10", "Ü", "Ü too")
    assert len(found.images) == 13


def folder_of(root, *names, write=None):
    """A folder of pictures of these names, red ones if there is an "r" in the last part."""
    for number, name in enumerate(names):
        is_red = "r" in name.rpartition("/")[2]
        save(root / name, plain((200, 0, number) if is_red else (0, 200, number)))
    for name, text in (write or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def of_parts(*folders):
    return [f"{folder}/{kind}/{n}.png" for folder in folders for kind in "ab" for n in range(3)]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            [*of_parts("Training", "Test"), "test-multiple_fruits/1.png"],
            "of the folders Test, test-multiple_fruits, Training, Training is used",
        ),
        (
            of_parts(*(f"{x}xray/{part}" for x in ("", "xray/") for part in ("train", "val"))),
            "of the folders train, val, xray, train is used",
        ),
        (of_parts("seg_train/seg_train", "seg_test/seg_test"), "seg_test, seg_train, seg_train is"),
        (of_parts("Final_Training/Images", "Final_Test/Images"), "Final_Training is used"),
        (of_parts("train", "valid", "test"), "of the folders test, train, valid, train is used"),
        ([f"fold{n}/{kind}/{n}.png" for n in (1, 2, 3) for kind in "ab"], "fold3 hold the same"),
    ],
)
def test_folders_of_parts_are_no_classes(tmp_path, capsys, names, said):
    found = load(folder_of(tmp_path / "set", *names))
    assert found.class_names == ("a", "b") and len(found.images) == 6
    error = capsys.readouterr().err
    assert said in error and "warning" not in error


RED_AND_GREEN = [f"{'rg'[n % 2]}{n}.png" for n in range(8)]
ROWS = [(name, ("red", "green")[n % 2]) for n, name in enumerate(RED_AND_GREEN)]
TABLE = "\n".join(["filename,label", *map(",".join, ROWS)])


@pytest.mark.parametrize(
    ("place", "table", "text"),
    [
        ("images/", "labels.csv", TABLE),
        ("", "metadata.csv", TABLE.replace("filename", "file_name")),
        ("images/", "x/train.tsv", TABLE.replace(",", "\t")),
        ("a/", "labels.csv", TABLE.replace(",", ";")),
        ("a/", "labels.csv", "id,w,breed" + "".join(f"\n{f[:-4]},9,{label}" for f, label in ROWS)),
        (
            "a/",
            "l.csv",
            "n,kind,path" + "".join(f"\n{i},{r[1]},D:\\x\\{r[0]}" for i, r in enumerate(ROWS)),
        ),
        ("00000/", "dataset.json", json.dumps({"labels": [[f"00000/{f}", y] for f, y in ROWS]})),
    ],
)
def test_labels_in_a_table_beside_the_pictures(tmp_path, capsys, place, table, text):
    names = [place + name for name in RED_AND_GREEN]
    folder = folder_of(tmp_path / "set", *names, write={table: text})
    found = load(folder)
    assert found.class_names == ("green", "red") and len(found.images) == 8
    assert (found.images[:, 5, 5, 0] > 100).tolist() == found.labels.tolist()
    error = capsys.readouterr().err
    assert f"the labels are those in {table}" in error and "passed over" not in error


def test_other_tables_are_passed_over(tmp_path, capsys):
    tables = {"a/GT-a.csv": "Filename;ClassId\n0.png;0\n", "b.csv": "x\n1\n", "dataset.json": "{}"}
    found = load(folder_of(tmp_path / "set", *of_parts("set"), write=tables))
    assert found.class_names == ("a", "b")
    assert "passed over: a/GT-a.csv, b.csv, dataset.json\n" in capsys.readouterr().err


def test_one_class_is_a_warning(tmp_path, capsys):
    folder = folder_of(
        tmp_path / "set", *(f"train/{kind}.{n}.png" for kind in ("cat", "dog") for n in (0, 1))
    )
    assert load(folder).class_names == ("train",)
    error = capsys.readouterr().err
    assert "their names tell kinds apart: make a folder for each of cat, dog" in error
    assert "warning: all images are of one class, train: labels will teach the model no" in error
    load(folder, labels_needed=False)
    assert "one class" not in capsys.readouterr().err
    with pytest.raises(
        UserError, match="sort the pictures into a folder for each class of cat, dog"
    ):
        load(folder / "train")


def test_a_limit_chooses_before_pictures_are_read(shapes, capsys):
    everything = load(shapes)
    for seed in range(3):
        few = load(shapes, limit=4, seed=seed)
        assert few.sha256() == everything.limited(4, seed).sha256()
        assert few.class_names == everything.class_names and few.limited(4, seed) is few
    (shapes / "Ü/8.png").write_bytes(b"?")
    read = 0
    for seed in range(40):
        with contextlib.suppress(UserError):
            read += len(load(shapes, limit=1, seed=seed).images)
    assert 20 <= read < 40
    capsys.readouterr()
    load(shapes, limit=2, seed=0)
    error = capsys.readouterr().err
    assert "2 colour images of 32 x 32 in 3 classes" in error and "chosen from 9" in error
    assert "warning: 2 images hold none of " in error
    path = save_npz(shapes.parent / "set.npz", x_train=IMAGES, y_train=LABELS)
    assert load(path, limit=7, seed=1).sha256() == load(path).limited(7, 1).sha256()


def test_transparent_white_several_pages_and_twelve_bits(tmp_path, capsys):
    white = Image.new("RGBA", (30, 30), (255, 255, 255, 0))
    white.paste((255, 255, 255, 255), (10, 10, 20, 20))
    twelve = np.linspace(0, 4095, 900).reshape(30, 30).astype("uint16")
    grey, pages = Image.new("L", (30, 30), 128), [Image.new("L", (30, 30), 9)]
    many = {"save_all": True, "append_images": pages}
    first = "of pictures with several pages or frames, the first is taken"
    for name, image, options, said, values in (
        ("white.png", white, {}, "white figures on transparent ground are put on black", (0, 255)),
        ("12.tiff", Image.fromarray(twelve), {}, "pixels of 12 bits are scaled to 8", (0, 255)),
        ("frames.gif", grey, many, first, (128, 128)),
        ("pages.tiff", grey, many, first, (128, 128)),
    ):
        for kind in "ab":
            save(tmp_path / name / kind / name, image, **options)
        images = load(tmp_path / name, image_size=30).images
        assert f"; {said}" in capsys.readouterr().err
        assert (images.min(), images.max()) == values


def test_colours_are_converted_as_an_icc_profile_says(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = profile.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")
    other = other.replace("sRGB".encode("utf-16-be"), "sBGR".encode("utf-16-be"))
    for embedded, expected in (
        (profile, [200, 100, 50]),
        (b"damaged", [200, 100, 50]),
        (other, [50, 100, 200]),
    ):
        save(tmp_path / "x.png", plain((200, 100, 50)), icc_profile=embedded)
        photo, _ = pictures.read_photo((tmp_path / "x.png").read_bytes())
        assert np.abs(photo[0, 0].astype(int) - expected).max() <= 1


def test_a_png_with_megabytes_of_text(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("log", "x" * (2 << 20), zip=True)
    save(tmp_path / "x.png", plain("red"), pnginfo=text)
    assert pictures.read_photo((tmp_path / "x.png").read_bytes())[1] == (9, 9)


def test_zip_files_that_are_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    for words, name, place, value in (
        ("password required for extraction: unpack it", "a/1.png", 8, b"\x01"),
        ("compression method is not supported", "a/1.png", 10, b"\x63"),
        ("its files would take 4.0 GB of the disk", "a/1.png", 24, b"\xf0" * 4),
        ("train.zip is a zip file: unpack it", "train.zip", 0, b""),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"PK\3\4" if "zip" in name else png_of(GREYS))
        content = path.read_bytes()
        start = content.index(b"PK\1\2") + place  # in the entry of the directory
        path.write_bytes(content[:start] + value + content[start + len(value) :])
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8 * 10**9))
        with pytest.raises(UserError, match=f"cannot read .*a.zip: .*{words}"):
            load(path)


def test_a_flat_folder_is_for_scripts_without_labels(shapes):
    flat = shapes / "Ü"
    with pytest.raises(
        UserError, match="it holds 3 pictures, and no folder of pictures for each"
    ) as problem:
        load(flat)
    assert str(problem.value).endswith(
        "nor arrays of images: sort the pictures into a folder for each class"
    )
    found = load(flat, labels_needed=False)
    assert found.images.shape == (3, 32, 32, 3)
    assert found.class_names == () and found.labels.tolist() == [0, 0, 0]
    save(shapes / "loose.png", COLOURS)
    assert len(load(shapes, labels_needed=False).images) == 10
    for folder in ("empty", "empty/er"):
        (shapes.parent / folder).mkdir()
    with pytest.raises(UserError, match="it holds no pictures"):
        load(shapes.parent / "empty", labels_needed=False)
    (shapes.parent / "empty/fashion.csv").touch()
    with pytest.raises(UserError, match="give the file itself, .*/empty/fashion.csv$"):
        load(shapes.parent / "empty")


def test_small_classes_and_few_steps_cause_a_warning(shapes, capsys):
    save(shapes / "Ü/one_more.png", COLOURS)
    load(shapes, n_batch=8)
    error = capsys.readouterr().err
    assert "classes of fewer images than half a batch (4): Tür 2 (3), Tür 10 (3)\n" in error
    assert "warning: few steps in an epoch (1, each of 8 images): give a smaller --batch" in error
    load(shapes, n_batch=100)  # an error later, which is to be one line
    assert capsys.readouterr().err == ""
    for number in range(10):
        save(shapes / f"Ü/more{number}.png", COLOURS)
    load(shapes, n_batch=2)
    assert "warning" not in capsys.readouterr().err


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(shapes, monkeypatch):
    (shapes / "Ü/8.png").write_bytes(b"never looked at")
    monkeypatch.setattr(reading, "free_memory", lambda: 9 * 64 * 64 * 3 - 1)
    with pytest.raises(UserError, match="9 images of 64 x 64 would take"):
        load(shapes, image_size=64)


def test_progress_where_it_takes_long(shapes, monkeypatch, capsys):
    seconds = itertools.count()
    monkeypatch.setattr(reading, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    load(shapes, channels=3)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["3 of 9 images are read", "8 of 9 images are read"] and len(lines) == 3


# ---- arrays


def save_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


IMAGES, LABELS = small_set()


@pytest.mark.parametrize(
    ("x", "y"),
    [("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("X", "y")]
    + [("arr_0", "arr_1")],
)
def test_names_of_arrays(tmp_path, x, y):
    found = load(save_npz(tmp_path / "set.npz", **{x: IMAGES, y: LABELS}))
    assert np.array_equal(found.images[..., 0], IMAGES) and found.class_names == datasets.CLOTHES


def test_other_names_of_arrays_are_told(tmp_path):
    path = save_npz(tmp_path / "set.npz", pictures=IMAGES, y_train=LABELS)
    with pytest.raises(
        UserError, match="holds the arrays pictures, y_train: name them x_train and"
    ):
        load(path)
    path = save_npz(tmp_path / "set.npz", pictures=IMAGES)  # the only array
    with pytest.raises(UserError, match="it holds images and no labels"):
        load(path)
    assert load(path, labels_needed=False).class_names == ()


@pytest.mark.parametrize(
    ("change", "shape", "said"),
    [
        (lambda x: x[..., None], (30, 28, 28, 1), ""),
        (lambda x: x[:, None], (30, 28, 28, 1), "channels came first"),
        (lambda x: x.reshape(30, -1), (30, 28, 28, 1), ""),
        (lambda x: np.stack([x, x, 255 - x], axis=-1), (30, 28, 28, 3), "colour"),
        (lambda x: np.stack([x, x, 255 - x], axis=1), (30, 28, 28, 3), "channels came first"),
        (lambda x: x[:, :, 4:24], (30, 20, 20, 1), "cut to squares and scaled from 28 x 20"),
        (lambda x: x[:, :9, :9], (30, 9, 9, 1), "30 grey images of 9 x 9 in 10 classes"),
    ],
)
def test_shapes_of_arrays(tmp_path, capsys, change, shape, said):
    found = load(save_npz(tmp_path / "set.npz", x_train=change(IMAGES), y_train=LABELS))
    error = capsys.readouterr().err
    assert found.images.shape == shape and found.images.dtype == "uint8"
    corner = 4 if shape[1] == 20 else 0
    expected = IMAGES[:, corner : corner + 9, corner : corner + 9]
    assert np.array_equal(found.images[:, :9, :9, 0], expected)
    assert said in error and error.count("\n") == bool(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x, ""),
        (lambda x: x.astype("int64"), ""),
        (lambda x: x.astype("uint16"), ""),
        (lambda x: x / 255, "taken to be in [0, 1]"),
        (lambda x: (x / 255).astype("float16").astype("float32"), "taken to be in [0, 1]"),
        (lambda x: x / 127.5 - 1, "taken to be in [-1, 1]"),
        (lambda x: x.astype("float32"), "taken to be in [0, 255]"),
        (lambda x: x.astype("uint16") * 257, "16 bits"),
    ],
)
def test_ranges_of_pixels(tmp_path, capsys, change, said):
    found = load(save_npz(tmp_path / "set.npz", x_train=change(IMAGES), y_train=LABELS))
    assert np.array_equal(found.images[..., 0], IMAGES)
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == bool(said)


def test_pixels_of_zero_and_one_are_scaled_and_other_ranges_refused(tmp_path, capsys):
    for dtype in ("uint8", "bool", "int32"):
        ones = (IMAGES > 100).astype(dtype)
        found = load(save_npz(tmp_path / "set.npz", x_train=ones, y_train=LABELS))
        assert np.array_equal(found.images[..., 0], ones.astype("uint8") * 255)
        assert "pixels that are 0 or 1 are scaled to 0 and 255" in capsys.readouterr().err
    for low in (-0.5, 0.0):
        path = save_npz(tmp_path / "set.npz", x_train=IMAGES * 1.5 + low, y_train=LABELS)
        with pytest.raises(UserError, match="pixels go from .* to 382"):
            load(path)


@pytest.mark.parametrize(
    ("images", "warning"),
    [
        (np.full((30, 28, 28), 200, "uint8"), "warning: all images are identical"),
        (IMAGES // 16, "warning: the brightest pixel of all images is 15 of 255"),
    ],
)
def test_images_that_look_like_a_mistake(tmp_path, capsys, images, warning):
    load(save_npz(tmp_path / "set.npz", x_train=images, y_train=LABELS))
    error = capsys.readouterr().err
    assert warning in error and error.count("warning") == 1


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (LABELS[:, None].astype("i8"), datasets.CLOTHES),
        (LABELS.astype("float32"), datasets.CLOTHES),
        (np.eye(10)[LABELS], datasets.CLOTHES),
        (np.eye(10, dtype=bool)[LABELS % 3], ("0", "1", "2")),
        (LABELS % 2 * 3, ("0", "3")),
        (LABELS.astype(int) % 3 * 50 - 50, ("-50", "0", "50")),
        (LABELS % 2 == 0, ("0", "1")),
        (np.array(["b10", "b2", "a", "Tür"] * 8)[:30], ("a", "b2", "b10", "Tür")),
        (np.array(["b10", "b2", "a"] * 10).astype("S"), ("a", "b2", "b10")),
        (np.array([["no"], ["yes"]] * 15), ("no", "yes")),
    ],
)
def test_labels_of_any_kind(tmp_path, capsys, labels, names):
    found = load(save_npz(tmp_path / "set.npz", x_train=IMAGES, y_train=labels))
    assert found.class_names == names
    assert found.labels.dtype == "int32" and found.labels.shape == (30,)
    assert set(found.labels.tolist()) == set(range(len(names)))
    assert ("do not occur" in capsys.readouterr().err) == (set(names) < set(datasets.CLOTHES))
    if labels.dtype.kind == "U" and labels.ndim == 1:
        assert [names[label] for label in found.labels] == labels.tolist()


def test_class_names_in_the_file(tmp_path):
    names = np.array([f"thing {number}" for number in range(10)])
    path = save_npz(tmp_path / "set.npz", images=IMAGES, labels=LABELS, class_names=names)
    assert load(path).class_names == tuple(names)


# ---- IDX files and tables


@pytest.mark.parametrize(
    ("images_name", "labels_name"),
    [
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("train-images-idx3-ubyte/train-images-idx3-ubyte", "b/train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),  # and yet not gzipped
        ("emnist-train-images-idx3-ubyte", "emnist-train-labels-idx1-ubyte"),
        ("Train-Images-IDX3-ubyte", "TRAIN-LABELS-IDX1-UBYTE"),
    ],
)
def test_names_of_idx_files(tmp_path, images_name, labels_name):
    for name, array in ((images_name, IMAGES), (labels_name, LABELS)):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(idx(array))
    for path in (tmp_path / "set", tmp_path / "set" / images_name, tmp_path / "set" / labels_name):
        found = load(path)
        assert np.array_equal(found.images[..., 0], IMAGES)
        assert np.array_equal(found.labels, LABELS)


def test_parts_of_idx_files(tmp_path):
    for part, images in (("train", IMAGES), ("t10k", IMAGES[:3])):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(LABELS[: len(images)]))
    assert len(load(tmp_path).images) == 30
    assert len(datasets.load_mnist(str(tmp_path)).images) == 33
    assert len(load(tmp_path / "t10k-images-idx3-ubyte").images) == 3
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="it holds images and no labels"):
        load(tmp_path)
    assert len(load(tmp_path, labels_needed=False).images) == 30
    (tmp_path / "emnist-train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(
        UserError, match="several sets, emnist-train-images, train-images: give the file of one"
    ):
        load(tmp_path)


def csv(header, rows):
    return "\n".join([*header, *(",".join(map(str, row)) for row in rows)]) + "\n"


FLAT = IMAGES.reshape(30, -1)
PIXELS = [f"pixel{number}" for number in range(784)]


LABEL_FIRST = [(y, *x) for x, y in zip(FLAT, LABELS, strict=True)]
LABEL_LAST = [(*x, y) for x, y in zip(FLAT, LABELS, strict=True)]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ([",".join(["label", *PIXELS])], LABEL_FIRST),
        ([], LABEL_FIRST),
        ([",".join([*PIXELS, "Label"])], LABEL_LAST),
        ([",".join(["label", *map(str, range(784))])], LABEL_FIRST),
        # With the numbers of the rows, as pandas writes them; as spreadsheets do.
        ([",".join(["", "label", *PIXELS])], [(n, *row) for n, row in enumerate(LABEL_FIRST)]),
        ([";".join([*PIXELS, "label"])], [[";".join(map(str, row))] for row in LABEL_LAST]),
        (['"label",' + ",".join(PIXELS)], [(f'"{y}"', *x) for y, *x in LABEL_FIRST]),
    ],
)
def test_tables(tmp_path, capsys, header, rows):
    (tmp_path / "set.csv").write_text("\ufeff" + csv(header, rows), encoding="utf-8")
    found = load(tmp_path / "set.csv")
    assert np.array_equal(found.images[..., 0], IMAGES) and np.array_equal(found.labels, LABELS)
    assert found.class_names == datasets.CLOTHES
    assert capsys.readouterr().err == ""


def test_tables_of_other_kinds(tmp_path):
    path = tmp_path / "set.csv"
    for index in ((), ("Unnamed: 0",)):  # which is no label
        path.write_text(csv([",".join([*index, *PIXELS])], [(*index, *x) for x in FLAT]))
        with pytest.raises(UserError, match="it holds images and no labels"):
            load(path)
        assert np.array_equal(load(path, labels_needed=False).images[..., 0], IMAGES)
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3))
    path.write_text(csv([], [("ab"[i % 2], *x) for i, x in enumerate(colours.reshape(4, -1))]))
    found = load(path)
    assert np.array_equal(found.images, colours) and found.class_names == ("a", "b")
    path.write_text(csv([], FLAT[:, :12]))
    with pytest.raises(UserError, match="it has 12 columns, where a label and the pixels of a sq"):
        load(path)
    path.write_text(csv([",".join(["label", *PIXELS])], []))
    with pytest.raises(UserError, match="there are no images"):
        load(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"?",
            "its format is not known: give an .npz or .npy file, IDX files",
        ),
        (b"\x80\x04K\x01.", "it is a pickle: docs/own_images.md shows how to make an .npz of it"),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file: docs/own_images.md shows how"),
        (b"PAR1", "it is a parquet file: docs/own_images.md shows how"),
        (b"MATLAB 5.0 MAT-file", "it is a MAT file: docs/own_images.md shows how"),
        (b"\x10\0\0\0\0\0\0\0abcd\n\x0e", "it is a TFRecord file: docs/own_images.md shows how"),
        (bytes(128) + b"DICM", "it is a DICOM file: convert it to PNG"),
        (bytes(257) + b"ustar", "it is an archive: unpack it, and give the folder"),
        (b"\x1f\x8b\x08", "it is an archive: unpack it"),
        (b"version https://git-lfs.github.com/", "it is a pointer of Git LFS: git lfs pull"),
        (b"../pictures/x.png", "it is a text with a path, as some systems store a link"),
        (b"\n<!DOCTYPE html>", "it is an HTML page: download the file itself"),
        (
            b'{"shapes": []}',
            "it is JSON: outlines of objects are no pictures .labelme2voc",
        ),
    ],
)
def test_a_file_gets_its_name_by_its_first_bytes(shapes, content, words):
    (shapes / "Ü/8.png").write_bytes(content)
    with pytest.raises(UserError, match=words):
        load(shapes / "Ü/8.png")
    if content != b"?":
        with pytest.raises(UserError, match=f"cannot read {shapes}: Ü/8.png: {words}"):
            load(shapes)


def write_hdf5(folder):
    with h5py.File(folder / "data.h5", "w") as file:
        file["images"], file["labels"] = IMAGES, LABELS


def write_cifar(folder):
    (folder / "cifar-10-batches-py").mkdir()
    for n in range(5):
        rows = np.stack([IMAGES[6 * n : 6 * n + 6]] * 3, axis=1)
        batch = {b"data": np.pad(rows, [(0, 0)] * 2 + [(2, 2)] * 2).reshape(6, 3072)}
        batch[b"labels"] = LABELS[6 * n : 6 * n + 6].tolist()
        path = folder / f"cifar-10-batches-py/data_batch_{n + 1}"
        path.write_bytes(pickle.dumps(batch))


def write_tfrecord(folder):
    with tf.io.TFRecordWriter(str(folder / "data.tfrecord")) as file:
        for image, label in zip(IMAGES, LABELS, strict=True):
            png = tf.io.encode_png(image[..., np.newaxis]).numpy()
            values = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            row = tf.train.Example(features=tf.train.Features(feature=values))
            file.write(row.SerializeToString())


def write_parquet(folder):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pictures_ = [{"bytes": png_of(image)} for image in IMAGES]
    pandas.DataFrame({"image": pictures_, "label": LABELS}).to_parquet(folder / "data.parquet")


def png_of(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_fer2013(folder):
    rows = (
        f"{y},{' '.join(map(str, x.ravel()))},Training" for x, y in zip(IMAGES, LABELS, strict=True)
    )
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))


def write_medmnist(folder):
    labels = (LABELS % 2).astype(int)[:, np.newaxis]
    np.savez(folder / "pneumoniamnist.npz", train_images=IMAGES, train_labels=labels)


RECIPES = [write_hdf5, write_cifar, write_parquet, write_tfrecord, write_fer2013, write_medmnist]


@pytest.mark.parametrize(
    ("write", "result", "size"),
    [
        (write_hdf5, "data.npz", 28),
        (write_cifar, "cifar.npz", 32),
        (write_parquet, "data.npz", 32),
        (write_tfrecord, "data.npz", 28),
        (write_fer2013, "fer2013.npz", 28),
        (write_medmnist, "pneumonia.npz", 28),
    ],
)
def test_the_recipes_for_data_sets_in_other_files(tmp_path, monkeypatch, write, result, size):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = documents.read(documents.PROJECT / "docs/own_images.md")
    recipes = documents.fenced(text[text.index("## Data sets in other files") :], "python")
    exec(recipes[RECIPES.index(write)], {})
    found = load(result)
    assert found.images.shape[:3] == (30, size, size)
    margin = (size - 28) // 2
    inner = found.images[:, margin : 28 + margin, margin : 28 + margin, 0]
    if write is write_medmnist:
        assert found.class_names == ("normal", "pneumonia")
        assert load("pneumoniamnist.npz").class_names == ("0", "1")
    if write is not write_parquet:  # which scales them
        order = inner.reshape(30, -1).astype(int) @ np.arange(784)
        own = IMAGES.reshape(30, -1).astype(int) @ np.arange(784)
        assert sorted(order) == sorted(own)
    assert len(found.labels) == 30


# ---- paths, choices, downloads


def test_the_home_folder_is_expanded(tmp_path, monkeypatch, error_of):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_npz(tmp_path / "set.npz", x_train=IMAGES, y_train=LABELS)
    assert load("~/set.npz").source == "~/set.npz"
    with pytest.raises(UserError, match="cannot read ~nobody-of-that-name/set.npz"):
        load("~nobody-of-that-name/set.npz")
    error = error_of(show, "mnist", "--data", "sample", "--out", "~nobody-of-that-name/x.png")
    assert "--out: ~nobody-of-that-name/x.png: Could not determine home directory" in error


def test_a_limit_takes_some_of_all_classes():
    labels = np.repeat(np.arange(10), 100)
    images = labels.astype("uint8").reshape(-1, 1, 1, 1)
    found = datasets.Dataset(images, labels, datasets.DIGITS, "test")
    few = found.limited(200, seed=1)
    assert np.bincount(few.labels).min() > 8 and (np.diff(few.labels) >= 0).all()
    assert np.array_equal(few.images.ravel(), few.labels)
    assert few.sha256() == found.limited(200, seed=1).sha256()
    assert few.sha256() != found.limited(200, seed=2).sha256()
    for count in (None, 1000, 5000):
        assert found.limited(count, seed=1).sha256() == found.sha256()
    assert found.limited(2, seed=0).labels.tolist() == [2, 4]


def test_looking_at_ones_own_images(shapes, monkeypatch, capsys):
    monkeypatch.chdir(shapes.parent)
    show(["fashion", "--data", "shapes", "--image-size", "16"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "9 images of 16 x 16 in colour from shapes"
    assert lines[1].split() == ["0", "Tür", "2", "3"]
    with Image.open(lines[-1]) as picture:
        assert picture.getpixel((8, picture.height - 8)) != (255, 255, 255)


def test_grey_pictures_of_16_bits_with_a_transparent_value(tmp_path):
    shades = np.linspace(0, 65535, 28 * 28).reshape(28, 28).astype("uint16")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(shades).save(tmp_path / name / "0.png", transparency=65535)
    images = datasets.load_fashion_mnist(str(tmp_path)).images
    assert abs(images[0].mean() - 127.5) < 2


def test_numbers_are_names_of_clothes_only_where_the_images_are_clothes(tmp_path, capsys):
    others = np.arange(20) % 10
    for images, labels, names in (
        (IMAGES, LABELS, datasets.CLOTHES),
        (IMAGES[::-1], LABELS, "0123456789"),
        (np.full((20, 28, 28), 200, "uint8"), others, "0123456789"),
        (
            datasets.load_mnist("sample").images[:500],
            datasets.load_mnist("sample").labels[:500],
            "0123456789",
        ),
    ):
        capsys.readouterr()
        assert load(save_npz(tmp_path / "a.npz", images=images, labels=labels)).class_names == (
            *names,
        )
        assert (capsys.readouterr().err == "") == (names == datasets.CLOTHES)
