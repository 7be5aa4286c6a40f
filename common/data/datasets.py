"""MNIST and Fashion-MNIST: the full sets, the embedded samples, or files of your own.

    python -m common.data fashion    # or mnist: what is in it, and a picture of 100 images

A source is one of
    auto      Keras's cache, or a download into it, or else the embedded sample with a notice
    full      Keras's cache, or a download into it, or else an error
    sample    10,000 embedded images; never the network
    a path    an .npz file with x_train and y_train (the layout of Keras's mnist.npz), or a folder
              with train-images-idx3-ubyte and train-labels-idx1-ubyte, each plain or .gz;
              the test part is x_test and y_test, or t10k-… in the place of train-…
"""

import contextlib
import gzip
import hashlib
import math
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from common import UserError
from common.data import downloads
from common.data.npz_files import read_array

import numpy as np

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
MOST_BYTES = 1 << 28  # of an array, 340,000 images, whatever the header of a file promises

_PREFIXES = {"train": "train", "test": "t10k"}  # of IDX files
_SAMPLES = Path(__file__).parent / "samples"
_DOWNLOADS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


class Dataset(NamedTuple):
    """Images uint8 (N, 28, 28, 1), labels int32 (N,), class names, the source actually used."""

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    source: str

    def first(self, count):
        """The same with the first `count` images only, or all of them for None."""
        return self._replace(images=self.images[:count], labels=self.labels[:count])

    def sha256(self):
        """A fingerprint of images and labels, hexadecimal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images))
        digest.update(np.ascontiguousarray(self.labels))
        return digest.hexdigest()

    def split(self):
        """Two parts, four fifths and one fifth, always the same ones of the same images."""
        shuffled = np.random.default_rng(0).permutation(len(self.images))
        parts = np.split(shuffled, [len(shuffled) * 4 // 5])
        return [self._replace(images=self.images[p], labels=self.labels[p]) for p in parts]


def load_mnist(source="auto", image_size=None, channels=None, labels_needed=True):
    """Handwritten digits, 70,000 where the full set is there (training and test part).

    Returns a `Dataset`. Raises UserError if the source is missing, damaged, or not MNIST-like.
    """
    return _load("mnist", source, DIGITS, parts=("train", "test"))


def load_fashion_mnist(source="auto", image_size=None, channels=None, labels_needed=True):
    """Pictures of clothes, 60,000 where the full set is there (training part only).

    Returns a `Dataset`. Raises UserError if the source is missing, damaged, or not MNIST-like.
    """
    return _load("fashion-mnist", source, CLOTHES, parts=("train",))


def load_fashion_mnist_test(source):
    """The test part of a source: 10,000 other pictures of clothes, where the full set is there.

    Returns a `Dataset`. Raises UserError if there is none, as in the embedded sample.
    """
    return _load("fashion-mnist", source, CLOTHES, parts=("test",))


def check_labels(labels, n_classes):
    """Return integer `labels` unchanged; raise ValueError unless all are in 0 to n_classes - 1.

    An embedding looks a label up in a table. Out of range, that is a row of zeros on a GPU, and
    nobody notices.
    """
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels are {labels.dtype}, not integers")
    outside = labels[(labels < 0) | (labels >= n_classes)]
    if len(outside):
        raise ValueError(f"label {outside[0]} is not between 0 and {n_classes - 1}")
    return labels


def _load(name, source, class_names, parts):
    if source in ("auto", "full"):
        try:
            images, labels = _read_full(name, parts)
            used = "full"
        except UserError as problem:
            if source == "full":
                raise
            print(f"Using the embedded sample of 10,000 images: {problem}", file=sys.stderr)
            used = "sample"
    else:
        used = str(source)

    if used == "sample":
        images, labels = _read(_SAMPLES / f"{name}.npz", parts)
    elif used != "full":
        images, labels = _read(Path(source), parts)
    return Dataset(images, labels, class_names, used)


def _read_full(name, parts):
    if name == "mnist":
        return _read(_download("mnist.npz", "datasets"), parts)
    for part in parts:
        _download(f"{_PREFIXES[part]}-images-idx3-ubyte.gz", "datasets/fashion-mnist")
        labels = _download(f"{_PREFIXES[part]}-labels-idx1-ubyte.gz", "datasets/fashion-mnist")
    return _read(labels.parent, parts)


def _download(name, folder):
    return downloads.fetch(name, _DOWNLOADS + name, folder)


def _read(path, parts):
    """Images and labels of the parts that are there; the first part has to be."""
    try:
        if not path.is_file() and not path.is_dir():
            raise ValueError("no such file or folder: give auto, full, sample or a path")
        read_part = _read_idx_part if path.is_dir() else _read_npz_part
        found = [read_part(path, parts[0])]
        for part in parts[1:]:
            with contextlib.suppress(FileNotFoundError):
                found.append(read_part(path, part))
    except Exception as problem:  # zipfile, zlib, lzma, tokenize: a damaged file can cause any
        raise UserError(f"cannot read {path}: {' '.join(str(problem).split())}") from None
    if len(found) == 1:
        return found[0]
    images, labels = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return images, labels


def _checked(images, labels):
    """Images as (N, 28, 28, 1) and labels as int32 (N,), or a ValueError."""
    if images.dtype != np.uint8 or images.shape[1:] not in ((28, 28), (28, 28, 1)):
        raise ValueError(
            f"images are {images.dtype} {images.shape} where uint8 (N, 28, 28) is expected"
        )
    if labels.shape not in ((len(images),), (len(images), 1)):
        raise ValueError(f"labels are {labels.shape} where {len(images)} are expected")
    if len(images) == 0:
        raise ValueError("there are no images")
    check_labels(labels.ravel(), n_classes=10)
    return images.reshape(-1, 28, 28, 1), labels.ravel().astype("int32")


def _read_npz_part(path, part):
    with zipfile.ZipFile(path) as archive:
        return _checked(*(read_array(archive, f"{name}_{part}", MOST_BYTES) for name in "xy"))


def _read_idx_part(folder, part):
    """Read two files in the format of http://yann.lecun.com/exdb/mnist, plain or gzipped."""
    prefix = _PREFIXES[part]
    return _checked(
        _read_idx(folder, f"{prefix}-images-idx3-ubyte", dimensions=3),
        _read_idx(folder, f"{prefix}-labels-idx1-ubyte", dimensions=1),
    )


def _read_idx(folder, name, dimensions):
    plain, zipped = folder / name, folder / f"{name}.gz"
    if not plain.is_file() and not zipped.is_file():
        raise FileNotFoundError(f"it holds neither {name} nor {name}.gz")
    with open(plain, "rb") if plain.is_file() else gzip.open(zipped) as file:
        header = file.read(4 + 4 * dimensions)
        # Two zero bytes, 8 for unsigned bytes, the number of dimensions; then each dimension.
        if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError(f"{name} is not an IDX file of {dimensions} dimensions")
        shape = [int(size) for size in np.frombuffer(header, ">u4", offset=4)]
        size = math.prod(shape)
        if size > MOST_BYTES:
            raise ValueError(f"{name} claims to be {shape}, more than {MOST_BYTES} bytes")
        content = file.read(size)
        if len(content) < size or file.read(1):
            raise ValueError(f"{name} does not hold the {size} values that its header promises")
    return np.frombuffer(content, np.uint8).reshape(shape)
