"""MNIST and Fashion-MNIST: the full sets, the embedded samples, or images of your own.

    python -m common.data fashion    # or mnist: what is in it, and a picture of 100 images

A source is one of
    auto      Keras's cache, or a download into it, or else the embedded sample with a notice
    full      Keras's cache, or a download into it, or else an error
    sample    10,000 embedded images; never the network
    a path    images of any kind with their labels (common/data/own_images.py says which)
"""

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

from common import UserError
from common.data import downloads, own_images
from common.data.reading import listed

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
_SAMPLES = Path(__file__).parent / "samples"
_DOWNLOADS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


class Dataset(NamedTuple):
    """Images uint8 (N, H, W, C), labels int32 (N,) in 0 to K - 1, K class names; the source."""

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    source: str

    def limited(self, count, seed):
        """The same with `count` of the images, chosen by a seed; None, or too many, for all."""
        chosen = choose(len(self.images), count, seed)
        few = self._replace(images=self.images[chosen], labels=self.labels[chosen])
        counts = np.bincount(few.labels, minlength=len(self.class_names))
        missing = [name for name, n in zip(self.class_names, counts, strict=False) if not n]
        if missing:
            print(f"warning: {len(chosen)} images hold none of {listed(missing)}", file=sys.stderr)
        return few

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


def choose(total, count, seed):
    """Indices of `count` of `total` images in order, chosen by a seed; None for all.

    Not the first ones, which may all be of one class.
    """
    if count is None or count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def load_mnist(source="auto", **options):
    """Handwritten digits, 70,000 where the full set is there (training and test part).

    Args:
        source: "auto", "full", "sample", or a path.
        image_size: height and width to scale images to; None for the size that they have, and for
            pictures in folders 28 if all are grey, else 32.
        channels: 1 for grey, 3 for colour; None for what arrays have, and for pictures in folders
            1 if all are grey, else 3.
        n_batch: images in a batch; a class with fewer than half of that causes a warning.
        labels_needed: False if images without labels will do; then all labels may be 0, and the
            class names ().

    Returns a `Dataset`, which has the classes that occur. Raises UserError if the source is missing
    or damaged, or holds no images that can be made so.
    """
    return _load("mnist", ["mnist.npz"], source, DIGITS, ("train", "test"), **options)


def load_fashion_mnist(source="auto", part="train", **options):
    """Pictures of clothes, 60,000 where the full set is there; 10,000 others in the part "test".

    Takes, returns and raises what `load_mnist` does. Raises UserError also where a source has no
    such part, as the embedded sample has no test part.
    """
    prefix = {"train": "train", "test": "t10k"}[part]
    files = [f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"]
    return _load("fashion-mnist", files, source, CLOTHES, (part,), **options)


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


def _load(name, files, source, class_names, parts, *, n_batch=None, **options):
    def read(path):
        return own_images.read(path, parts, class_names, **options)

    used = str(source)
    if used in ("auto", "full"):
        folder = "datasets" if len(files) == 1 else f"datasets/{name}"
        try:
            found = downloads.read_cached([_DOWNLOADS + file for file in files], folder, read)
            used = "full"
        except UserError as problem:
            if used == "full":
                raise
            print(f"Using the embedded sample of 10,000 images: {problem}", file=sys.stderr)
            used = "sample"
    if used == "sample":
        found = read(_SAMPLES / f"{name}.npz")
    elif used != "full":
        found = own_images.read(source, parts, class_names, n_batch=n_batch, **options)
    return Dataset(*found, used)
