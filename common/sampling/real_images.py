"""The images that a generator was trained on, and other real images."""

import json
from typing import NamedTuple

from common import UserError
from common.data import datasets, facades
from common.data.reading import listed

import numpy as np

MIN_IMAGES = 100  # a fifth is held out, and the spread is computed from fifths of that
_HINT = "give the images that it was trained on with --data"


class Real(NamedTuple):
    """Real images in two parts, each a `Dataset` or `Facades`."""

    training: tuple
    held_out: tuple  # not used if a judge is trained now
    seen_by_generator: bool  # whether the generator was trained on `held_out`
    split_sha256: str | None  # of the data set, if `held_out` is what a judge's split leaves over


class _Record(NamedTuple):
    """What run.json says about the training images of a run."""

    source: str = "auto"
    sha256: str | None = None
    limit: int | None = None
    seed: int = 0
    layout_from: int | None = None
    pairs: str | None = None
    loader: str | None = None


def load(generator, source=None):
    """Load the training images of a generator, and others of the same data set.

    The others are the validation part of facades, or the test part of the data set. If it has none,
    a fifth of the training images is held out in its place.

    Args:
        generator: a `Generator`.
        source: a source of its loader; None for the one in the run.json beside the generator.

    Returns a `Real`. Raises UserError if the images cannot be loaded, if they have changed since
    the run, or if they have another shape or other classes than those of the generator.
    """
    record, names = _read_record(generator), generator.stored_names
    known = (datasets.CLOTHES, datasets.DIGITS, facades.CLASS_NAMES)
    if source is None and record.sha256 is None and names not in known:
        raise UserError(
            f"nothing says what images {generator.path} was trained on: give them with --data"
        )
    if generator.label_kind == "label map":
        dataset = _load_facades(record, source)
        _check_fits(generator, dataset, MIN_IMAGES // 2)
        split_sha256 = dataset.sha256() if record.seed == 0 else None
        return Real(*facades.split(dataset, record.seed), False, split_sha256)

    loader = datasets.load_fashion_mnist
    if record.loader == "load_mnist" or (
        record.loader != "load_fashion_mnist" and names == datasets.DIGITS
    ):
        loader = datasets.load_mnist
    height, _width, channels = generator.image_shape
    options = {
        "image_size": height,
        "channels": channels,
        "labels_needed": bool(generator.label_kind),
    }
    everything, dataset = _load(loader, record, source, **options)
    _check_fits(generator, dataset, MIN_IMAGES)
    held_out = None
    if loader is datasets.load_fashion_mnist:
        held_out = datasets.load_test_part(everything, **options)
    if held_out:
        parts = (_in_order_of(generator, part) for part in (dataset, held_out))
        return Real(*parts, False, None)
    return Real(*_in_order_of(generator, dataset).split(), True, dataset.sha256())


def load_validation_facades(generator):
    """The validation facades of a generator's run. Raises UserError if they cannot be loaded."""
    record = _read_record(generator)
    if record.sha256 is None:
        raise UserError(f"the run.json beside {generator.path}, which names them, is missing")
    dataset = _load_facades(record)
    return facades.split(dataset, record.seed)[1]


def _load_facades(record, source=None):
    options = {"first": record.layout_from, "pairs": record.pairs}
    if source is None:  # the numbers of the classes may depend on which label maps are read
        options |= {"limit": record.limit, "seed": record.seed}
    return _load(facades.load_facades, record, source, **options)[1]


def _load(load, record, source, **options):
    """Load the images of a run: the whole data set, and that with the --limit of the run.

    With a `source`, no limit applies.
    """
    if source is not None or record.sha256 is None:
        everything = load(record.source if source is None else source, **options)
        return everything, everything
    try:
        everything = load(record.source, **options)
    except UserError as problem:
        raise UserError(
            f"{problem}; the run.json of the generator names it, and --data may name another place"
        ) from None
    dataset = everything.limited(record.limit, record.seed)
    if record.sha256 != dataset.sha256():
        raise UserError(
            f"the images from {dataset.source} are not those of the run any more: give them with "
            "--data"
        )
    return everything, dataset


def _read_record(generator):
    path = generator.path.with_name("run.json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        data, arguments = record["data"], record["arguments"]
        numbers = arguments["limit"], arguments["seed"], arguments.get("layout-from")
        if not all(isinstance(number, int | None) for number in numbers):
            raise ValueError(f"its arguments are {arguments}")
        pairs = arguments.get("pairs")
        loader = data.get("loader")
        return _Record(str(data["source"]), str(data["sha256"]), *numbers, pairs, loader)
    except FileNotFoundError:
        return _Record()
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as problem:
        raise UserError(f"{path}, which names the run's images, is damaged: {problem}") from None


def _in_order_of(generator, dataset):
    """A `Dataset` whose classes have the numbers that they have in the generator.

    The numbers depend on the source: folders, for example, are sorted by their names.
    """
    names = generator.stored_names
    if not generator.label_kind or sorted(names) != sorted(dataset.class_names):
        return dataset
    numbers = np.array([names.index(name) for name in dataset.class_names], "int32")
    return dataset._replace(labels=numbers[dataset.labels], class_names=names)


def _check_fits(generator, dataset, min_images):
    """Raise UserError if images have another shape or other classes, or if they are too few."""
    names, found, kind = generator.stored_names, dataset.class_names, generator.label_kind
    shapes = generator.image_shape, dataset.images[0].shape
    if kind != "label map" and shapes[0] != shapes[1]:
        made, here = (" x ".join(map(str, shape)) for shape in shapes)
        raise UserError(
            f"{generator.path} makes images of {made}, and those from {dataset.source} are {here}: "
            f"{_HINT}"
        )
    comparable = tuple if kind == "label map" else sorted  # a number is a class in a label map
    n_classes = len(generator.class_names)
    fits = comparable(names) == comparable(found) if names else n_classes == len(found)
    if kind and not fits:
        raise UserError(
            f"{generator.path} has the classes {listed(generator.class_names)}, and the images "
            f"from {dataset.source} have {listed(found)}: {_HINT}"
        )
    if len(dataset.images) < min_images:
        raise UserError(
            f"{len(dataset.images)} images from {dataset.source} are too few to compare with: "
            f"at least {min_images} are needed"
        )
