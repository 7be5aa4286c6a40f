"""Photos with label maps of one's own: how the files are named, and what a pixel of a map means."""

import io
import json
import re
import zipfile
from types import SimpleNamespace

from common import UserError
from common.data import facades
from common.data.__main__ import main as show
from common.sampling import label_maps, real_images

import numpy as np
import pytest
from PIL import Image

SHAPE = (24, 36)
OWN = np.array([(10, 200, 30), (200, 40, 90), (0, 0, 0), (128, 128, 128), (250, 250, 0)], "uint8")


def encoded(image, kind="PNG", **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def labels(n_classes=5, seed=0):
    """Classes 0 to n - 1, all of them, in blocks."""
    blocks = np.random.default_rng(seed).integers(0, n_classes, (SHAPE[0] // 4, SHAPE[1] // 4))
    blocks.flat[:n_classes] = range(n_classes)
    return blocks.repeat(4, axis=0).repeat(4, axis=1).astype("uint8")


def photo(seed=0):
    """A photo of the classes, brighter with each."""
    return np.repeat((labels(seed=seed) * 50 + 10)[..., np.newaxis], 3, axis=2)


def palette_map(values, colours):
    image = Image.fromarray(values)
    image.putpalette(np.asarray(colours, "uint8").ravel().tolist())
    return image


def reordered(label_map, colours, seed):
    """A map in these colours whose palette has been renumbered, as editors do."""
    order = np.random.default_rng(seed).permutation(len(colours))
    return palette_map(np.argsort(order).astype("uint8")[label_map], colours[order])


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else encoded(content))
    return folder


def pairs(count=3, to_map=lambda one, _seed: one, name="{}.png", photo_name="{}.jpg"):
    """Files of a set in which each photo belongs to its own map."""
    files = {}
    for seed in range(count):
        kind = "PNG" if photo_name.endswith("png") else "JPEG"
        files[photo_name.format(seed)] = encoded(photo(seed), kind)
        files[name.format(seed)] = to_map(labels(seed=seed), seed)
    return files


def check(found, count=3):
    """That classes are 0 to 4, and fit their photos."""
    assert len(found.images) == count
    for seed, (image, label_map) in enumerate(zip(found.images, found.label_maps, strict=True)):
        assert label_map.dtype == image.dtype == "uint8"
        assert np.array_equal(label_map, labels(seed=seed))
        assert np.abs(image.astype(int) - photo(seed)).mean() < 8


# ---- names of files


def lossless(label_map, name):
    """A label map in the format that the name of its file says."""
    kind = {"bmp": "BMP", "gif": "GIF", "tif": "TIFF", "tiff": "TIFF"}.get(name.lower()[-3:], "PNG")
    return encoded(label_map, kind)


@pytest.mark.parametrize(
    ("photo_name", "map_name"),
    [
        ("{}.jpg", "{}.png"),
        ("IMG_{}.JPG", "img_{}.png"),
        ("Tür_{}.Jpeg", "TÜR_{}.BMP"),
        ("outer/inner/{}.webp", "outer/inner/{}.png"),
        ("{}.jpg", "{}_mask.png"),
        ("a {}.png", "a {}-mask.png"),
        ("{}_images.png", "{}_segmentation_labels.bmp"),
        ("train_img/{}.jpg", "train_label/{}.png"),  # SPADE
        ("my set/train_img/{}.JPG", "my set/train_label/{}.png"),
        ("images/{}.jpg", "annotations/trimaps/{}.png"),  # pets of Oxford
        ("images/training/{}.jpg", "annotations/training/{}.png"),  # ADE20K
        ("VOC/JPEGImages/{}.jpg", "VOC/SegmentationClass/{}.png"),  # Pascal VOC
        (
            "leftImg8bit/train/aachen/{}_leftImg8bit.png",
            "gtFine/train/aachen/{}_gtFine_labelIds.png",
        ),
        ("train/00{}.png", "train_labels/00{}_L.png"),  # CamVid
        ("train/{}_1.jpg", "train_masks/{}_1_mask.gif"),  # Carvana
        ("train/{}.jpg", "trainannot/{}.tif"),
        ("trainA/{}.jpg", "trainB/{}.png"),
        ("scene 1/rgb/{}.jpg", "scene 1/semantic/{}.tiff"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_names_of_files(tmp_path, capsys, photo_name, map_name, zipped):
    files = pairs(11, lambda one, _: lossless(one, map_name), map_name, photo_name)
    files["readme.md"] = b"not looked at"
    files[".ipynb_checkpoints/0-checkpoint.jpg"] = files["__MACOSX/._0.jpg"] = b"?"
    source = write(tmp_path / "set", files)
    if zipped:
        source = tmp_path / "set.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in files.items():
                archive.writestr(name.replace("/", "\\"), content)
    found = facades.load_facades(source)
    check(found, 11)  # 10 after 9
    assert found.class_names == tuple("01234") and found.numbered_from == 0
    assert "passed over" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("photo_name", "map_name", "others", "said"),
    [
        ("{}.jpg", "{}.png", ["a.jpg", "b.webp"], "photos without a label map: 2"),
        ("{}.png", "{}_mask.png", ["7.png"], "photos without a label map: 1"),
        ("{}_images.jpg", "{}_segmentation_labels.bmp", ["{}_segmentation_map.png"], "3 *_map.png"),
        ("train_img/{}.jpg", "train_label/{}.png", ["train_inst/{}.png"], "3 train_inst/*.png"),
        ("train_img/{}.jpg", "train_label/{}.png", ["test_img/{}.jpg"], "3 test_img/*.jpg"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", ["SegmentationObject/{}.png"], "3 Seg"),
        ("a/{}_rgb.png", "b/{}_gt_labelIds.png", ["b/{}_gt_color.png"], "3 b/*_color.png"),
        ("a/{}_rgb.png", "b/{}_gt_labelIds.png", ["b/{}_gt_labelTrainIds.png"], "3 b/*_labelTrain"),
        ("train/{}.jpg", "train_labels/{}_L.png", ["val/{}.jpg", "val_labels/{}_L.png"], "3 val/"),
        ("s{}/rgb/1.jpg", "s{}/semantic/1.png", ["s{}/depth/1.png"], "1 s0/depth/*.png"),
    ],
)
def test_what_is_passed_over(tmp_path, capsys, photo_name, map_name, others, said):
    files = pairs(3, lambda one, _: lossless(one, map_name), map_name, photo_name)
    for seed in range(3):
        files |= {name.format(seed): lossless((labels() + seed) * 9, name) for name in others}
    source = write(tmp_path / "set", files)
    found = facades.load_facades(source)
    check(found)
    error = capsys.readouterr().err
    assert error.startswith(f"{source}: 5 classes: 0, 1, 2, 3, 4; passed over: ") and said in error


def test_a_map_that_is_missing_does_not_let_others_win(tmp_path):
    files = pairs(4, photo_name="{}_images.jpg", name="{}_segmentation_labels.png")
    files |= {f"{seed}_segmentation_map.png": OWN[labels(seed=seed)] for seed in range(4)}
    del files["3_segmentation_labels.png"]
    check(facades.load_facades(write(tmp_path / "set", files)))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["1.jpg", "2.png"], "agree (2 pictures): images/1.jpg and masks/1.png, or 1.jpg and 1_"),
        (["trainA/1.jpg", "trainB/1.jpg"], "agree (2 pictures): images/1.jpg"),  # JPEGs are no maps
        (
            ["1.jpg", "1.json"],
            "1.json is JSON: outlines of objects are no pictures (labelme2voc.py",
        ),
        (["train.zip"], "train.zip is a zip file: unpack it, and give the folder"),
    ],
)
def test_names_that_do_not_agree(tmp_path, files, words):
    contents = {name: encoded(photo(), "JPEG") for name in files}
    contents |= {
        name: {"json": b"{", ".zip": b"PK\3\4"}.get(name[-4:], contents[name]) for name in files
    }
    with pytest.raises(UserError, match=re.escape(words)):
        facades.load_facades(write(tmp_path / "set", contents))


def test_the_half_that_is_the_map_can_be_given(tmp_path, monkeypatch, capsys):
    """Where both halves have the colours of the classes; by the command line, and from run.json."""
    maps = [facades.COLOURS[labels(12, seed)] for seed in range(6)]
    files = {f"{i}.png": np.hstack([maps[i], maps[i - 1]]) for i in range(6)}
    source = write(tmp_path / "set", files)
    with pytest.raises(
        UserError, match="0.png: either half may be the label map: --pairs left or right"
    ):
        facades.load_facades(source)
    for side, shift in (("left", 0), ("right", -1)):
        found = facades.load_facades(source, pairs=side)
        for i, (image, label_map) in enumerate(zip(found.images, found.label_maps, strict=True)):
            assert np.array_equal(label_map, labels(12, i + shift if i + shift >= 0 else 5))
            assert np.array_equal(image, maps[i - 1 - shift])
    monkeypatch.chdir(tmp_path)
    assert not show(["facades", "--data", str(source), "--pairs", "right"])
    assert capsys.readouterr().out.startswith("6 facades, 24 to 24 high and 36 to 36 wide")
    few = found.limited(5, seed=3)
    arguments = {"limit": 5, "seed": 3, "layout-from": None, "pairs": "right"}
    data = {"source": str(source), "sha256": few.sha256()}
    (tmp_path / "run.json").write_text(json.dumps({"arguments": arguments, "data": data}))
    about = {"label_kind": "label map", "stored_names": facades.CLASS_NAMES}
    about |= {"label_shape": (64, 64, 12), "image_shape": (64, 64, 3)}
    generator = SimpleNamespace(path=tmp_path / "generator.keras", **about)
    again = real_images.load_validation_facades(generator)
    assert again.sha256() == facades.split(few, 3)[1].sha256()


def test_a_limit_chooses_before_pictures_are_read(tmp_path):
    source = write(tmp_path / "set", pairs(9))
    every = facades.load_facades(source)
    few = facades.load_facades(source, limit=4, seed=3)
    assert few.sha256() == every.limited(4, seed=3).sha256()
    left_out = set(range(9)) - {
        i for i in range(9) for one in few.label_maps if np.array_equal(one, labels(seed=i))
    }
    for number in left_out:
        (source / f"{number}.jpg").write_bytes(b"not read")
    assert facades.load_facades(source, limit=4, seed=3).sha256() == few.sha256()


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pairs_side_by_side(tmp_path, left, own, kind):
    """As pix2pix has them: JPEG changes the colours of the maps a little."""
    files = {}
    for seed in range(3):
        label_map = (OWN if own else CMP)[labels(seed=seed)]
        halves = (label_map, photo(seed)) if left else (photo(seed), label_map)
        files[f"train/{seed}.jpg"] = encoded(np.hstack(halves), kind)
        files[f"val/{seed}.jpg"] = b"not read"
    source = write(tmp_path / "set", files)
    if own:
        with pytest.raises(UserError, match="train/0.jpg: it looks like a photo beside its label"):
            facades.load_facades(source)
        lines = [f"c{number} {r} {g} {b}" for number, (r, g, b) in enumerate(OWN)]
        (source / "colours.txt").write_text("\n".join(lines))
    found = facades.load_facades(source)
    assert found.class_names == (tuple(f"c{i}" for i in range(5)) if own else facades.CLASS_NAMES)
    for seed, (image, label_map) in enumerate(zip(found.images, found.label_maps, strict=True)):
        assert np.mean(label_map == labels(seed=seed)) > (0.9 if kind == "JPEG" else 0.999)
        assert np.abs(image.astype(int) - photo(seed)).mean() < 8


def test_a_photo_is_turned_upright_before_it_meets_its_map(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = pairs()
    turned = Image.fromarray(photo(1)).transpose(Image.Transpose.ROTATE_90)
    files["1.jpg"] = encoded(turned, "JPEG", exif=exif)
    check(facades.load_facades(write(tmp_path / "set", files)))
    assert facades.read_photo(tmp_path / "set/1.jpg").shape == (*SHAPE, 3)


@pytest.mark.parametrize(("bits", "said"), [(16, "16 bits are"), (12, "12 bits are")])
def test_photos_of_16_and_12_bits(tmp_path, capsys, bits, said):
    files = pairs(photo_name="{}_images.png", name="{}_segmentation_labels.png")
    for seed in range(3):
        shades = photo(seed)[..., 0] * (2**bits - 1.0) / 255
        files[f"{seed}_images.png"] = encoded(shades.round().astype("uint16"))
    files["4_images.png.part"] = b"?"
    check(facades.load_facades(write(tmp_path / "set", files)))
    error = capsys.readouterr().err
    assert f"pixels of {said} scaled to 8; passed over: 4_images.png.part\n" in error


def test_large_photos_and_their_maps_are_scaled_down(tmp_path):
    label_map = labels().repeat(64, axis=0).repeat(64, axis=1)
    grey = (label_map * 50 + 10).astype("uint8")
    files = {"0.tiff": encoded(grey, "TIFF"), "0.png": label_map}
    found = facades.load_facades(write(tmp_path / "set", files))
    assert found.label_maps[0].shape == (683, 1024) and found.images[0].shape == (683, 1024, 3)
    error = np.abs(found.images[0][..., 0].astype(int) - (found.label_maps[0] * 50.0 + 10))
    assert error.mean() < 2


# ---- classes by their numbers


@pytest.mark.parametrize(
    ("to_map", "numbered_from", "said"),
    [
        (lambda one, _: one, 0, ""),
        (lambda one, _: one + np.uint8(1), 1, "numbered from 1"),
        (lambda one, _: np.stack([one] * 3, axis=-1), 0, ""),
        (lambda one, _: Image.merge("LA", [Image.fromarray(one)] * 2), 0, ""),
        (lambda one, _: palette_map(one, OWN), 0, ""),
        (
            lambda one, _: palette_map(one + np.uint8(1), [(0, 0, 0), *OWN[::-1]]),
            1,
            "from 1",
        ),
        (
            lambda one, seed: reordered(one, np.arange(5)[:, None].repeat(3, 1), seed),
            0,
            "",
        ),
    ],
)
def test_numbers(tmp_path, capsys, to_map, numbered_from, said):
    source = write(tmp_path / "set", pairs(to_map=to_map))
    found = facades.load_facades(source)
    check(found)
    assert found.class_names == tuple(str(numbered_from + i) for i in range(5))
    assert found.numbered_from == numbered_from
    error = capsys.readouterr().err
    assert error.startswith(f"{source}: 5 classes: ") and error.count("\n") == 1
    assert said in error and ("numbered" in error) == bool(said)
    assert found.colours.shape == (5, 3) and found.colours.dtype == "uint8"
    assert len(np.unique(found.colours, axis=0)) == 5


def test_where_the_numbers_begin_is_decided_over_the_whole_set(tmp_path, capsys):
    files = pairs() | {"1.png": np.maximum(labels(seed=1), 1)}
    found = facades.load_facades(write(tmp_path / "set", files))
    assert found.numbered_from == 0 and found.label_maps[1].min() == 1
    assert "numbered" not in capsys.readouterr().err


def test_where_the_numbers_begin_can_be_said(tmp_path, capsys):
    source = write(tmp_path / "set", pairs(to_map=lambda one, _: one + np.uint8(1)))
    found = facades.load_facades(source, first=0)
    assert found.class_names == tuple("012345") and found.numbered_from == 0
    assert np.array_equal(found.label_maps[0], labels() + 1)
    assert "numbered" not in capsys.readouterr().err
    write(source, pairs())
    with pytest.raises(UserError, match="0.png: label 0 is not between 1 and 4"):
        facades.load_facades(source, first=1)


def test_255_is_a_class_of_its_own(tmp_path, capsys):
    def to_map(label_map, _seed):
        return np.where(label_map == 4, 255, label_map).astype("uint8")

    found = facades.load_facades(write(tmp_path / "set", pairs(to_map=to_map)))
    check(found)
    assert found.class_names == ("0", "1", "2", "3", "none") and len(found.colours) == 5
    assert "255 is taken for a class of its own, none" in capsys.readouterr().err
    path = tmp_path / "set/1.png"
    label_map = facades.read_label_map(path, found.class_names, colours=found.colours)
    assert np.array_equal(label_map, labels(seed=1))
    with pytest.raises(UserError, match="label 255 is none of the classes"):
        facades.read_label_map(path, found.class_names[:4])


def test_names_of_classes(tmp_path, capsys):
    names = ["sky", "grass", "a tree", "Straße", "path"]
    files = pairs() | {"Classes.txt": "\ufeff# mine\n\n".encode() + "\n".join(names).encode()}
    found = facades.load_facades(write(tmp_path / "set", files))
    check(found)
    assert found.class_names == tuple(names)
    files["classes.txt"] = b"sky\ngrass\n"
    files.pop("Classes.txt")
    with pytest.raises(UserError, match=r"0.png: label 2 is not between 0 and 1; its values are 0"):
        facades.load_facades(write(tmp_path / "other", files))
    files["classes.txt"] = b"a\nb\nc\nd\ne\nf"  # one more than occurs, which is numbered from 0
    assert facades.load_facades(write(tmp_path / "third", files)).class_names == tuple("abcdef")


@pytest.mark.parametrize(("n_names", "first"), [(12, 0), (9, 1)])
def test_more_names_than_numbers(tmp_path, capsys, n_names, first):
    """Numbers count from 0, unless the largest is the number of the last name."""
    files = pairs(to_map=lambda one, _: one + np.uint8(5))
    files["classes.txt"] = "\n".join(f"c{number}" for number in range(n_names)).encode()
    found = facades.load_facades(write(tmp_path / "set", files))
    assert found.numbered_from == first and np.array_equal(
        found.label_maps[0], labels() + 5 - first
    )
    assert ("there is no 0 in it" in capsys.readouterr().err) == (first == 0)


@pytest.mark.parametrize("alpha", [True, False])
def test_label_maps_of_one_class(tmp_path, capsys, alpha):
    def to_map(label_map, _seed):
        black = np.zeros((*SHAPE, 3), "uint8")
        return np.dstack([black, label_map * 50]) if alpha else black

    found = facades.load_facades(write(tmp_path / "set", pairs(to_map=to_map)))
    assert found.class_names == ("0",) and np.max(found.label_maps) == 0
    assert "warning: all pixels of its label maps have the same class" in capsys.readouterr().err


def test_numbers_with_gaps_ask_for_names(tmp_path):
    files = pairs(to_map=lambda one, _: one * np.uint8(40))
    with pytest.raises(UserError, match="160: .* colours.txt, .* classes.txt"):
        facades.load_facades(write(tmp_path / "set", files))


def test_twelve_classes_are_the_cmps(tmp_path, capsys):
    files = {}
    for seed in range(2):
        files |= {f"{seed}.jpg": encoded(photo(seed), "JPEG"), f"{seed}.png": labels(12, seed) + 1}
    found = facades.load_facades(write(tmp_path / "set", files))
    assert found.class_names == facades.CLASS_NAMES and found.numbered_from == 1
    assert np.array_equal(found.label_maps[1], labels(12, 1))
    assert "twelve classes are taken to be the CMP's" in capsys.readouterr().err


# ---- classes by their colours


CMP = facades.colours(np.arange(12))


def cmp_maps():
    yield "palette reordered", reordered
    yield "RGB", lambda one, colours, _: colours[one]
    yield "RGBA", lambda one, colours, _: Image.fromarray(colours[one]).convert("RGBA")
    yield "quantized", lambda one, colours, _: Image.fromarray(colours[one]).quantize(9)
    yield "nearly", lambda one, colours, seed: reordered(one, colours // 2 * 2, seed)
    yield "from 1", lambda one, colours, _: palette_map(one + 1, [(0, 0, 0), *colours])


@pytest.mark.parametrize("to_map", [pytest.param(f, id=name) for name, f in cmp_maps()])
def test_the_cmps_colours_decide(tmp_path, capsys, to_map):
    files = pairs(to_map=lambda one, seed: to_map(one, CMP, seed))
    found = facades.load_facades(write(tmp_path / "set", files))
    check(found)
    assert found.class_names == facades.CLASS_NAMES and found.numbered_from is None
    assert np.array_equal(found.colours, CMP) and capsys.readouterr().err == ""
    for first in (None, 0, 1):
        label_map = facades.read_label_map(tmp_path / "set/2.png", first=first)
        assert np.array_equal(label_map, labels(seed=2))
    assert capsys.readouterr().err == ""


def test_the_cmps_colours_decide_for_all_maps_of_a_set(tmp_path):
    files = pairs(to_map=lambda one, _: one + np.uint8(1))
    files["1.png"] = CMP[labels(seed=1)]
    found = facades.load_facades(write(tmp_path / "set", files))
    check(found)
    assert found.class_names == facades.CLASS_NAMES and found.numbered_from == 1
    only_two = np.where(labels() > 2, 1, 10).astype("uint8")  # red and blue, as anybody's
    Image.fromarray(CMP[only_two]).save(tmp_path / "two.png")
    assert np.array_equal(facades.read_label_map(tmp_path / "two.png"), only_two)


@pytest.mark.parametrize(
    "palette",
    [
        [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)],
        [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)],
        [(255, 0, 0), (255, 255, 0), (0, 0, 255), (0, 255, 255), (9, 9, 9)],
    ],
)
def test_other_palettes_are_ones_own(tmp_path, palette):
    files = pairs(to_map=lambda one, _: palette_map(one, palette))
    found = facades.load_facades(write(tmp_path / "set", files))
    check(found)
    assert found.class_names == tuple("01234") and found.colours.tolist() == [*map(list, palette)]
    # A generator that has learned them reads its maps by these colours.
    path = tmp_path / "labels.png"
    for image in (reordered(labels(), found.colours, 1), Image.fromarray(labels())):
        image.save(path)
        label_map = facades.read_label_map(path, found.class_names, colours=found.colours)
        assert np.array_equal(label_map, labels())


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("colours.txt", "{name} {0} {1} {2}"),
        ("colors.txt", "{0} {1} {2}\t{name}"),
        ("colors.txt", "{name}: {0},{1},{2}"),
        ("labelmap.txt", "{name}:{0},{1},{2}::"),  # CVAT
        ("class_dict.csv", "{name},{0},{1},{2}"),  # CamVid
    ],
)
@pytest.mark.parametrize(
    "to_map",
    [
        lambda one, _: OWN[one],
        lambda one, seed: reordered(one, OWN, seed),
        lambda one, _: one,
    ],
)
def test_colours_of_ones_own(tmp_path, capsys, file, line, to_map):
    names = ("sky", "a tree", "void", "road 1", "x")
    lines = [line.format(*rgb, name=name) for rgb, name in zip(OWN, names, strict=True)]
    lines.insert(0, "name,r,g,b" if file == "class_dict.csv" else "# label:color_rgb:parts:actions")
    files = pairs(to_map=to_map) | {file: "\r\n".join(lines).encode()}
    found = facades.load_facades(write(tmp_path / "set", files))
    check(found)
    assert found.class_names == names and np.array_equal(found.colours, OWN)


def test_grey_colours_of_ones_own(tmp_path):
    files = pairs(to_map=lambda one, _: one * np.uint8(60))
    files["colours.txt"] = "\n".join(f"c{i} {60 * i} {60 * i} {60 * i}" for i in range(5)).encode()
    check(facades.load_facades(write(tmp_path / "set", files)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sky 1 2", "colours.txt: the line 'sky 1 2' does not have the form: name red green blue"),
        (b"sky 1 2 256", "the line 'sky 1 2 256' does not have"),
        (b"\n", "it lists 0 classes"),
        (b"B\xe4ume 1 2 3", "colours.txt: it is not in UTF-8: save it anew"),
        ("sky 1 2 3".encode("utf-16"), "colours.txt: it is not in UTF-8"),
        (b"sky 10 200 30", "0.png: it is in colours, such as 0 0 0, which is none of the known"),
    ],
)
def test_files_of_colours_that_are_wrong(tmp_path, content, message):
    files = pairs(to_map=lambda one, _: OWN[one]) | {"colours.txt": content}
    with pytest.raises(UserError, match=message) as caught:
        facades.load_facades(write(tmp_path / "set", files))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("to_map", "message"),
    [
        (lambda one, _: OWN[one], "such as 0 0 0, .*; if they are those of your own classes, list"),
        (lambda one, seed: reordered(one, OWN, seed), "its palette differs from another map's"),
        (
            lambda one, _: np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), "uint8"),
            "it has more than 256 colours: it is a photo, or",
        ),
    ],
)
def test_colours_that_nobody_has_named(tmp_path, to_map, message):
    source = write(tmp_path / "set", pairs(to_map=to_map))
    with pytest.raises(UserError, match=message):
        facades.load_facades(source)


def test_a_map_in_nearly_all_of_the_cmps_colours(tmp_path):
    label_map = labels()
    Image.fromarray(np.where(label_map[..., None] == 2, 0, CMP[label_map])).save(
        tmp_path / "labels.png"
    )
    with pytest.raises(UserError, match="such as 0 0 0, which is none of the known ones"):
        facades.read_label_map(tmp_path / "labels.png")
    shifted = palette_map(label_map, [(0, 0, 0), *CMP])  # as if from 1, and yet from 0
    shifted.save(tmp_path / "labels.png")
    with pytest.raises(UserError, match="such as 0 0 0, which is none"):
        facades.read_label_map(tmp_path / "labels.png")
    assert np.array_equal(facades.read_label_map(tmp_path / "labels.png", first=0), label_map)


# ---- one label map


def test_where_the_numbers_of_one_map_begin(tmp_path, capsys):
    path = tmp_path / "labels.png"
    label_map = np.maximum(labels(), 1)  # from 0, and no 0 in it
    Image.fromarray(label_map).save(path)
    assert np.array_equal(facades.read_label_map(path), label_map - 1)
    assert f"{path}: there is no 0 in it" in capsys.readouterr().err
    assert np.array_equal(facades.read_label_map(path, first=0), label_map)
    assert np.array_equal(facades.read_label_map(path, first=1), label_map - 1)
    names = ("a", "b", "c", "d")  # 4 is the last of these only if they are numbered from 1
    assert np.array_equal(facades.read_label_map(path, names), label_map - 1)
    assert capsys.readouterr().err == ""
    Image.fromarray(labels() + np.uint8(9)).save(path)
    with pytest.raises(UserError, match="label 13 is not between 1 and 12; its values are 9, 10"):
        facades.read_label_map(path)


def test_a_label_map_is_numbered_as_those_of_the_training(tmp_path):
    label_map = np.maximum(labels(), 1)
    Image.fromarray(label_map).save(tmp_path / "labels.png")
    for trained, asked, first in ((0, None, 0), (1, None, 1), (0, 1, 1), (None, None, 0)):
        generator = SimpleNamespace(
            class_names=tuple("abcdef"), colours=(), numbered_from=trained, label_shape=(24, 24, 6)
        )
        found = label_maps.read(generator, tmp_path / "labels.png", asked)
        assert np.array_equal(found, label_map[:, 6:30] - first)


def test_colours_are_far_from_each_other():
    colours = facades.distinct_colours(40, CMP[:2]).astype(int)
    assert colours[:2].tolist() == CMP[:2].tolist()
    distances = np.abs(colours[:, None] - colours).max(axis=2)
    assert distances[~np.eye(40, dtype=bool)].min() >= 51
    assert np.ptp(colours, axis=1).min() > 0


# ---- sets


def test_choices_keep_what_classes_are(tmp_path):
    files = pairs(10) | {"classes.txt": b"a\nb\nc\nd\ne"}
    found = facades.load_facades(write(tmp_path / "set", files))
    few = found.limited(4, seed=3)
    assert len(few.images) == 4
    assert few.sha256() == found.limited(4, seed=3).sha256() != found.limited(4, seed=4).sha256()
    for count in (None, 10, 99):
        assert found.limited(count, seed=3).sha256() == found.sha256()
    parts = (few, found.first(2), *facades.split(found, seed=0), facades.fit(found, 64))
    for part in parts:
        assert part.class_names == tuple("abcde") and part.colours is found.colours
    crops = facades.centre_crops(facades.fit(found, 64), 64)[1]
    _, _, one_hot = facades.to_inputs(crops[..., None].repeat(3, -1), crops, found.colours)
    assert one_hot.shape == (10, 64, 64, 5) and np.array_equal(one_hot.argmax(-1), crops)
    assert np.array_equal(facades.colours(crops, found.colours), found.colours[crops])


def test_looking_at_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set", pairs(to_map=lambda one, _: one + np.uint8(1)))
    show(["facades", "--data", "set", "--layout-from", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 facades, 24 to 24 high and 36 to 36 wide, from set"
    assert [line.split()[1] for line in lines[1:6]] == list("12345") and len(lines) == 7
