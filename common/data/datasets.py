"""MNIST and Fashion-MNIST: the full data sets, embedded samples of them, or your own images.

    python -m common.data fashion    # or mnist: prints the classes, draws 100 images

The source of the images is one of
    auto      the full set from Keras's cache, or downloaded into it; if that fails, the embedded
              sample, with a notice
    full      the same, but an error if that fails
    sample    10,000 images that come with this code; the network is not used
    a path    your own images with their labels (own_images.py lists the formats)
"""

import contextlib
import hashlib
import io
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from common import UserError
from common.data import own_images
from common.data.reading import one_line

import numpy as np

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker")
CLOTHES += ("bag", "ankle boot")
_SAMPLES = Path(__file__).parent / "samples"
_DOWNLOADS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


class Dataset(NamedTuple):
    """Images uint8 (N, H, W, C), labels int32 (N,) in 0 to K - 1, K class names, and the source."""

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    source: str

    def limited(self, count, seed):
        """A `Dataset` of `count` of the images, chosen at random; of all if `count` is None."""
        if count is None or count >= len(self.images):
            return self
        chosen = choose(len(self.images), count, seed)
        return self._replace(images=self.images[chosen], labels=self.labels[chosen])

    def sha256(self):
        """The SHA-256 of images and labels, hexadecimal. It tells whether two sets are the same."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images))
        digest.update(np.ascontiguousarray(self.labels))
        return digest.hexdigest()

    def split(self):
        """Split into four fifths and one fifth, at random, but always in the same way."""
        shuffled = np.random.default_rng(0).permutation(len(self.images))
        parts = np.split(shuffled, [len(shuffled) * 4 // 5])
        return [self._replace(images=self.images[p], labels=self.labels[p]) for p in parts]


def choose(total, count, seed):
    """The sorted indices of `count` of `total` images at random; of all if `count` is None or more.

    The first `count` images would not do, since they may all be of one class.
    """
    if count is None or count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def load_mnist(source="auto", **options):
    """Load handwritten digits. The full set has 70,000, as it includes the test part.

    Args:
        source: "auto", "full", "sample", or a path.
        image_size: height and width to scale images to. If it is None, arrays keep their size, and
            pictures in folders are scaled to 28 if all are grey, else to 32.
        channels: 1 for grey, 3 for colour. If it is None, arrays keep their channels, and pictures
            in folders get 1 if all are grey, else 3.
        n_batch: images in a batch. A warning is printed if a class has fewer than half of that.
        limit, seed: as `Dataset.limited` chooses them, but before they are read or converted.
        labels_needed: False if none are needed: then all may be 0, and the class names ().

    Returns a `Dataset`; its classes are those that occur in the source. Raises UserError if the
    source is missing or damaged, or if its images or labels cannot be converted.
    """
    return _load("mnist", ["mnist.npz"], source, DIGITS, ("train", "test"), **options)


def load_fashion_mnist(source="auto", part="train", **options):
    """Load pictures of clothes. The full set has 60,000 for training and 10,000 for testing.

    `part` is "train" or "test"; for the rest see `load_mnist`. UserError is also raised if the
    source does not have that part: the embedded sample has no test part.
    """
    prefix = {"train": "train", "test": "t10k"}[part]
    files = [f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"]
    return _load("fashion-mnist", files, source, CLOTHES, (part,), **options)


def load_test_part(dataset, **options):
    """Load the test part of a data set that `load_fashion_mnist` has returned for these options.

    Returns a `Dataset`, or None if the source is not divided into parts.
    """
    if dataset.source == "sample":
        return None
    # What was read has been reported once already.
    with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()):
        test = load_fashion_mnist(dataset.source, "test", **options)
        # If a source is not divided into parts, loading a part may load all of it.
        if test.class_names == dataset.class_names and test.sha256() != dataset.sha256():
            return test
    return None


def _load(name, files, source, class_names, parts, *, limit=None, seed=0, n_batch=None, **options):
    def read(path, **more):
        return own_images.read(
            path, parts, class_names, lambda total: choose(total, limit, seed), **options | more
        )

    folder = "datasets" if len(files) == 1 else f"datasets/{name}"
    addresses = [_DOWNLOADS + file for file in files]
    otherwise = "the embedded sample of 10,000 images", "give --data sample, or the path of files"
    if found := read_cached(str(source), addresses, folder, read, *otherwise):
        return Dataset(*found, "full")
    sample = _SAMPLES / f"{name}.npz"
    if str(source) in ("auto", "sample"):
        return Dataset(*read(sample), "sample")
    known = sample if class_names == CLOTHES else None  # digits are named by their numbers
    return Dataset(*read(source, n_batch=n_batch, standard=known), str(source))


def read_cached(source, addresses, folder, read, instead, hint):
    """Read files in Keras's cache. Those that are not there are downloaded first.

    `addresses` are the URLs of the files, and `folder` is theirs in the cache. `read` is called
    with the path of the last one. If that fails, UserError is raised with a `hint` if the source is
    "full"; if it is "auto", a line on stderr says what is used `instead`.

    Returns what `read` returns; None if it has failed, or if the source is another.
    """
    if source not in ("auto", "full"):
        return None
    paths = []
    try:
        paths += [_get(address, folder) for address in addresses]
        return read(paths[-1])
    except UserError as problem:
        if paths:
            again = f"delete {' and '.join(map(str, paths))} to have it downloaded again"
            problem = UserError(f"{problem}; {again}")
        if source == "full":
            raise UserError(f"{problem}: {hint}") from None
        print(f"Using {instead}: {problem}", file=sys.stderr)
        return None


def _get(address, folder):
    from common.backend import keras

    # Keras sets no time limit, so a firewall that drops packets would make us wait for minutes.
    time_limit = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    # Keras prints a progress bar on standard output, which is for the results of a script. So show
    # it on stderr, and only if a person is reading.
    progress = sys.stderr if sys.stderr and sys.stderr.isatty() else io.StringIO()
    name = address.rpartition("/")[2]
    try:
        with contextlib.redirect_stdout(progress):
            return Path(keras.utils.get_file(name, address, cache_subdir=folder))
    except Exception as problem:  # get_file raises nothing more specific
        reason = f"cannot be downloaded ({one_line(problem).split(' -- ')[-1]})"
        raise UserError(f"{name} is not in Keras's cache and {reason}") from None
    finally:
        socket.setdefaulttimeout(time_limit)
