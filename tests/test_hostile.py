"""Files that nobody vouches for: a clean error or a correct result, quickly, in little memory.

Only a `.keras` file may ask for more memory than there is: Keras itself looks for most of that.
The fuzz tests change good files at random, from a seed. What once got through has a test of its
own: `python -m pytest tests/test_hostile.py -k "not fuzz"`.
"""

import copy
import io
import json
import sys
import time
import zipfile

import cgan_fashion
import generate
from common import UserError
from common.data import datasets, facades

import h5py
import numpy as np
import pytest
from conftest import SCRIPTS
from test_facades import cmp_files, keras_io_files

try:
    import resource
except ImportError:  # Windows
    resource = None

SECONDS, BYTES = 20, 2 << 30
ODD_VALUES = (0, -1, 1, 3, 10, 100, 0.5, float("nan"), None, "", "x", [], {}, True)
ODD_CLASSES = (
    ("keras.layers", "Lambda"),
    ("keras.layers", "TorchModuleWrapper"),
    ("keras.layers", "StringLookup"),
    ("keras.layers", "Dense"),
    ("keras.utils", "get_file"),
    ("os", "system"),
    ("builtins", "eval"),
)


def memory_peak():
    """The greatest memory of this process so far, bytes."""
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def truncated(content, random):
    return content[: random.integers(0, len(content))]


def bits_flipped(content, random):
    changed = bytearray(content)
    for _ in range(random.integers(1, 20)):
        changed[random.integers(len(changed))] ^= 1 << random.integers(8)
    return bytes(changed)


def repacked(members, compression=zipfile.ZIP_STORED):
    """A zip file, with checksums that are right, of a dict of contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def unpacked(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def places(part):
    """All (container, key) within a JSON value."""
    if isinstance(part, dict | list):
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            yield part, key
            yield from places(part[key])


def any_place(part, random):
    found = list(places(part))
    return found[random.integers(len(found))]


def description_changed(content, random):
    """Another value, another class or nothing somewhere in the config.json of a .keras file."""
    members = unpacked(content)
    config = json.loads(members["config.json"])
    for _ in range(random.integers(1, 4)):
        container, key = any_place(config, random)
        choice = random.integers(4)
        if choice == 0 and isinstance(container, dict):
            del container[key]
        elif choice == 1 and isinstance(
            container.get("class_name") if isinstance(container, dict) else None, str
        ):
            container["module"], container["class_name"] = ODD_CLASSES[
                random.integers(len(ODD_CLASSES))
            ]
        elif choice == 2:
            other, other_key = list(places(config))[random.integers(sum(1 for _ in places(config)))]
            container[key] = copy.deepcopy(other[other_key])
        else:
            container[key] = ODD_VALUES[random.integers(len(ODD_VALUES))]
    return repacked(members | {"config.json": json.dumps(config)})


def weights_changed(content, random):
    """Flipped bits within the HDF5 file of the weights, or its beginning only."""
    members = unpacked(content)
    change = (bits_flipped, truncated)[random.integers(2)]
    weights = members["model.weights.h5"]
    # Most of the file is plain numbers; what there is of structure is at its beginning.
    head = int(random.choice([4096, 65_536, len(weights)]))
    changed = change(weights[:head], random) + (weights[head:] if change is bits_flipped else b"")
    return repacked(members | {"model.weights.h5": changed})


def with_weights(content, change):
    """The same .keras file after `change(h5py.File)` of its weights."""
    members = unpacked(content)
    file = io.BytesIO(members["model.weights.h5"])
    with h5py.File(file, "r+") as weights:
        change(weights)
    return repacked(members | {"model.weights.h5": file.getvalue()})


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_fuzzed_generators(trained, tmp_path, capsys, script):
    good = (trained / "runs" / script / "generator.keras").read_bytes()
    random = np.random.default_rng(SCRIPTS.index(script))
    changes = (truncated, bits_flipped, description_changed, weights_changed)
    before = memory_peak()
    refused = 0
    for trial in range(25):
        content = changes[trial % len(changes)](good, random)
        refused += not draws(content, tmp_path, capsys)
    assert refused >= 12
    assert memory_peak() - before < BYTES


def draws(content, folder, capsys):
    """Whether a .keras file of this content draws a picture; if not, the error is a clean one."""
    path, picture = folder / "it.keras", folder / "it.png"
    path.write_bytes(content)
    started = time.monotonic()
    try:
        generate.main(["--model", str(path), "--count", "3", "--out", str(picture)])
    except SystemExit as leaving:
        error = capsys.readouterr().err
        assert leaving.code == 2 and error.count("\n") == 1, error
        assert str(path) in error
    assert time.monotonic() - started < SECONDS
    drawn = picture.exists()
    picture.unlink(missing_ok=True)
    assert [found.name for found in folder.iterdir()] == ["it.keras"]
    return drawn


def refusal(content, folder, error_of):
    """The error of generate.py about a .keras file of this content."""
    path = folder / "it.keras"
    path.write_bytes(content)
    before, started = memory_peak(), time.monotonic()
    error = error_of(generate.main, "--model", str(path), "--out", str(folder / "it.png"))
    assert time.monotonic() - started < SECONDS and memory_peak() - before < BYTES
    assert [found.name for found in folder.iterdir()] == ["it.keras"]
    return error


@pytest.fixture
def good(trained):
    return (trained / "runs/gan_fashion/generator.keras").read_bytes()


def with_description(content, change):
    members = unpacked(content)
    config = json.loads(members["config.json"])
    change(config["config"])
    return repacked(members | {"config.json": json.dumps(config)})


def test_a_generator_that_is_whole_draws(good, tmp_path, capsys):
    """So that the refusals here are for what was changed, and not for how."""
    assert draws(repacked(unpacked(good)), tmp_path, capsys)
    assert draws(with_description(good, lambda config: None), tmp_path, capsys)
    assert draws(with_weights(good, lambda weights: None), tmp_path, capsys)


def convolution(**options):
    """Another last convolution: a plain one."""

    def change(config):
        last = [inner for inner in config["layers"] if "Conv2D" in inner["class_name"]][-1]
        last["class_name"] = last["registered_name"] = "Conv2D"
        last["config"].pop("output_padding")
        last["config"].update(options)

    return change


def other_class(module, name):
    def change(config):
        config["layers"][1].update({"module": module, "class_name": name, "registered_name": name})

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (convolution(kernel_size=[64, 64]), "cannot load"),
        (convolution(dilation_rate=[10**9, 1]), "cannot load"),
        (convolution(dilation_rate=[1, 0]), "cannot load"),
        (other_class("keras.layers", "Lambda"), "holds 'keras.layers.Lambda'"),
        (other_class("keras.layers", "TorchModuleWrapper"), "holds 'keras.layers.TorchModule"),
        (other_class("os", "system"), "holds 'os.system'"),
        (other_class("keras.layers", ["Dense"]), "only layers and operations of Keras"),
        (other_class("keras.utils", "get_file"), "keras.utils.get_file is not a class for models"),
        (lambda config: config.pop("layers"), "cannot be sampled"),
        (lambda config: config.update(output_layers=[]), "cannot load"),
        (lambda config: config.update(name=7), "cannot load"),
    ],
)
def test_descriptions_that_are_refused(good, tmp_path, error_of, change, words):
    assert words in refusal(with_description(good, change), tmp_path, error_of)


def dataset_names(weights):
    found = []
    weights.visititems(lambda name, what: found.append(name) if hasattr(what, "shape") else None)
    return found


def elsewhere(weights):
    name = dataset_names(weights)[0]
    del weights[name]
    weights[name] = h5py.ExternalLink("/etc/passwd", "/")


def external(weights):
    name = dataset_names(weights)[0]
    del weights[name]
    weights.create_dataset(name, (64,), "uint8", external=[("/etc/passwd", 0, 64)])


def not_a_number(weights):
    weights[dataset_names(weights)[0]][...] = np.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (elsewhere, "cannot load"),
        (external, "cannot load"),
        (not_a_number, "some of its weights are NaN or infinite"),
    ],
)
def test_weights_that_are_refused(good, tmp_path, error_of, change, words):
    assert words in refusal(with_weights(good, change), tmp_path, error_of)


def idx(shape, content=b""):
    """An IDX file of unsigned bytes that promises a shape."""
    return bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes() + content


def npy(shape, descr="|u1", content=b""):
    """An array file that promises a shape."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.slow
def test_fuzzed_data(tmp_path):
    random = np.random.default_rng(0)
    images, labels, *_ = datasets.load_fashion_mnist("sample").limited(20, seed=0)
    arrays = io.BytesIO()
    np.savez(arrays, x_train=images, y_train=labels)
    idx_images = idx((20, 28, 28), images.tobytes())
    idx_labels = idx((20,), labels.astype("uint8").tobytes())
    files = {
        "data.npz": arrays.getvalue(),
        "train-images-idx3-ubyte": idx_images[: 16 + 784],
        "data.csv": b"\n".join(b",".join(b"%d" % x for x in image.ravel()) for image in images),
    }
    before, started = memory_peak(), time.monotonic()
    outcomes = []
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_labels)
    for trial in range(150):
        change = (truncated, bits_flipped)[trial % 2]
        path = tmp_path / list(files)[trial % 3]
        rest = idx_images[16 + 784 :] if "idx" in path.name else b""
        path.write_bytes(change(files[path.name], random) + rest)
        try:
            found = datasets.load_fashion_mnist(str(path), labels_needed=False)
        except UserError as problem:
            assert str(path) in str(problem) and "\n" not in str(problem)
            outcomes.append("refused")
        else:
            _, height, width, channels = found.images.shape
            assert found.images.dtype == np.uint8 and height == width and channels in (1, 3)
            assert len(found.images) == len(found.labels) > 0
            assert found.labels.max() < max(1, len(found.class_names))
            outcomes.append("read")
    assert set(outcomes) == {"refused", "read"}
    assert time.monotonic() - started < 60 and memory_peak() - before < BYTES


@pytest.mark.slow
def test_fuzzed_facades(tmp_path):
    """Archives, folders and single pictures: .zip, .jpg, .png and .bmp."""
    random = np.random.default_rng(1)
    before = memory_peak()
    outcomes = []
    for trial in range(240):
        change = (truncated, bits_flipped)[trial % 2]
        files = (cmp_files, keras_io_files)[trial % 4 // 2](2)
        name = list(files)[random.integers(len(files))]
        started = time.monotonic()
        try:
            if trial % 3 == 0:
                path = tmp_path / "facades.zip"
                path.write_bytes(change(repacked(files, zipfile.ZIP_DEFLATED), random))
                found = facades.load_facades(path).label_maps
            elif trial % 3 == 1:  # with checksums that are right
                path = tmp_path / "facades.zip"
                path.write_bytes(repacked(files | {name: change(files[name], random)}))
                found = facades.load_facades(path).label_maps
            else:
                path = tmp_path / name.rpartition("/")[2]
                path.write_bytes(change(files[name], random))
                reads_layout = path.suffix != ".jpg"
                found = [(facades.read_label_map if reads_layout else facades.read_photo)(path)]
        except UserError as problem:
            assert str(path) in str(problem) and "\n" not in str(problem)
            outcomes.append("refused")
        else:
            assert all(array.dtype == np.uint8 and array.size for array in found)
            assert trial % 3 == 2 or max(map(np.max, found)) <= 11
            outcomes.append("read")
        assert time.monotonic() - started < SECONDS
    assert set(outcomes) == {"refused", "read"} and memory_peak() - before < BYTES
    assert len({found.suffix for found in tmp_path.iterdir()}) == 5  # nothing else was written


IMAGES, LABELS = npy((4, 28, 28), "|u1", bytes(4 * 784)), npy((4,), "|u1", bytes(4))


@pytest.mark.parametrize(
    ("x_train", "y_train", "words"),
    [
        (npy((10**9, 28, 28)), LABELS, "Unable to allocate 730. GiB"),
        (npy((4, 28, 28), "|O", b"cos\nsystem\n(S'false'\ntR."), LABELS, "Python objects"),
        (npy((4, 28, 28), "<f4", b"\xff" * 4 * 784 * 4), LABELS, "pixels go from nan to nan"),
        (npy((4, 28, 28), "<c8", bytes(4 * 784 * 8)), LABELS, "pixels are complex64"),
        (npy((4, 28, 28), "|u1", bytes(4 * 28 * 27)), LABELS, "cannot read"),
        (npy((4, 28, 28, 5), "|u1", bytes(4 * 784 * 5)), LABELS, "images are uint8 (4, 28, 28, 5)"),
        (npy((4, 783), "|u1", bytes(4 * 783)), LABELS, "images are uint8 (4, 783)"),
        (npy((4, 0, 28), "|u1"), LABELS, "there are no images"),
        (IMAGES, npy((3,), "|u1", bytes(3)), "the labels is (3,), but there are 4 images"),
        (IMAGES, npy((4, 2), "|u1", bytes(8)), "but not one-hot"),
        (IMAGES, npy((4,), "<M8[D]", bytes(32)), "neither integers nor names"),
        (IMAGES, npy((4,), "<f2", b"\x00\x38" * 4), "labels are fractions, such as 0.5"),
    ],
)
def test_arrays_that_are_refused(tmp_path, error_of, x_train, y_train, words):
    members = {"x_train.npy": x_train, "y_train.npy": y_train}
    (tmp_path / "data.npz").write_bytes(repacked(members, zipfile.ZIP_DEFLATED))
    before = memory_peak()
    run = "--data", f"{tmp_path}/data.npz", "--out", f"{tmp_path}/run"
    assert words in error_of(cgan_fashion.main, *run)
    assert memory_peak() - before < BYTES and not (tmp_path / "run").exists()
