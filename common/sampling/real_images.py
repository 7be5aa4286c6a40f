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
    seen_by_judge: bool  # whether a judge that comes with this code may have learnt from it


class _Record(NamedTuple):
    """What run.json says about the training images of a run."""

    source: str = "auto"
    sha256: str | None = None
    limit: int | None = None
    seed: int = 0
    layout_from: int | None = None


def load_dataset(generator, source=None):
    """Load the training images of a generator, and the test part of the same data set.

    If the data set has no test part, a fifth of the training images is held out in its place.

    Args:
        generator: a `Generator`.
        source: a source of `datasets`; None for the one in the run.json beside the generator.

    Returns a `Real`. Raises UserError if the images cannot be loaded, if they have changed since
    the run, or if they have another shape or other classes than those of the generator.
    """
    record = _read_record(generator)
    names = generator.stored_names
    if source is None and record.sha256 is None:
        _check_known(generator, (datasets.CLOTHES, datasets.DIGITS))
    loaders = [datasets.load_fashion_mnist, datasets.load_mnist]
    load = loaders.pop(names == datasets.DIGITS)
    height, _width, channels = generator.image_shape
    options = {
        "image_size": height,
        "channels": channels,
        "labels_needed": bool(generator.label_kind),
        "from_user": False,
    }
    everything = dataset = _load(load, generator, source, record, **options)
    if source is None:
        dataset = dataset.limited(record.limit, record.seed)
        if record.sha256 not in (None, dataset.sha256()):  # the other loader takes other parts
            (load,) = loaders
            everything = load(record.source, **options)
            dataset = _check(everything.limited(record.limit, record.seed), record)
    made, found = generator.image_shape, dataset.images.shape[1:]
    if made != found:
        raise UserError(
            f"{generator.path} makes images of {_size(made)}, and those from {dataset.source} are "
            f"{_size(found)}: {_HINT}"
        )
    _check_fits(generator, dataset, MIN_IMAGES)
    if load is datasets.load_fashion_mnist:
        held_out = datasets.load_test_part(everything, **options)
        if held_out:
            parts = (_in_order_of(generator, part) for part in (dataset, held_out))
            return Real(*parts, seen_by_generator=False, seen_by_judge=False)
    # The judge of digits has learnt from four fifths of the embedded ones, divided as below.
    seen_by_judge = names != datasets.DIGITS or (record.limit, dataset.source) != (None, "sample")
    parts = _in_order_of(generator, dataset).split()
    return Real(*parts, seen_by_generator=True, seen_by_judge=seen_by_judge)


def load_facades(generator, source=None):
    """Load the training and validation facades of a generator that takes label maps.

    Arguments, result and errors are those of `load_dataset`.
    """
    record = _read_record(generator)
    if source is None and record.sha256 is None:
        _check_known(generator, (facades.CLASS_NAMES,))
    dataset = _load(facades.load_facades, generator, source, record, first=record.layout_from)
    if source is None:
        dataset = _check(dataset.limited(record.limit, record.seed), record)
    _check_fits(generator, dataset, MIN_IMAGES // 2)
    # The judge of the drawn facades has learnt from those that seed 0 chooses for training.
    seen_by_judge = (record.limit, record.seed) != (None, 0)
    parts = facades.split(dataset, record.seed)
    return Real(*parts, seen_by_generator=False, seen_by_judge=seen_by_judge)


def load_validation_facades(generator):
    """The validation facades of a generator's run. Raises UserError if they cannot be loaded."""
    record = _read_record(generator)
    if record.sha256 is None:
        raise UserError(f"{_record_path(generator)}, which names the run's images, is missing")
    dataset = facades.load_facades(record.source, record.layout_from)
    dataset = dataset.limited(record.limit, record.seed)
    if dataset.sha256() != record.sha256:
        raise UserError(f"the facades from {record.source} are not those of the run any more")
    return facades.split(dataset, record.seed)[1]


def _check_known(generator, known):
    """Raise UserError if the names of the classes do not tell the data set."""
    if generator.stored_names not in known:
        raise UserError(
            f"nothing says what images {generator.path} was trained on: give them with --data"
        )


def _load(load, generator, source, record, **options):
    try:
        return load(record.source if source is None else source, **options)
    except UserError as problem:
        if source is not None or record.sha256 is None:
            raise
        raise UserError(
            f"{problem}; {_record_path(generator)} names it, and --data may name another place"
        ) from None


def _record_path(generator):
    return generator.path.with_name("run.json")


def _read_record(generator):
    path = _record_path(generator)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        limit, first = record["arguments"]["limit"], record["arguments"].get("layout-from")
        return _Record(
            str(record["data"]["source"]),
            str(record["data"]["sha256"]),
            None if limit is None else int(limit),
            int(record["arguments"]["seed"]),
            None if first is None else int(first),
        )
    except FileNotFoundError:
        return _Record()
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as problem:
        raise UserError(f"{path}, which names the run's images, is damaged: {problem}") from None


def _check(dataset, record):
    """Return the data set. Raises UserError if it is not the one that the run was trained on."""
    if record.sha256 not in (None, dataset.sha256()):
        raise UserError(
            f"the images from {dataset.source} are not those of the run any more: "
            "give them with --data"
        )
    return dataset


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
    """Raise UserError if a data set has other classes than a generator, or too few images."""
    names = generator.stored_names
    if generator.label_kind and len(generator.class_names) != len(dataset.class_names):
        raise UserError(
            f"{generator.path} has {len(generator.class_names)} classes, and the images from "
            f"{dataset.source} have {len(dataset.class_names)}: {_HINT}"
        )
    is_same = sorted if generator.label_kind != "label map" else tuple
    if generator.label_kind and names and is_same(names) != is_same(dataset.class_names):
        raise UserError(
            f"{generator.path} has the classes {listed(names)}, and the images from "
            f"{dataset.source} have {listed(dataset.class_names)}: {_HINT}"
        )
    if len(dataset.images) < min_images:
        raise UserError(
            f"{len(dataset.images)} images from {dataset.source} are too few to compare with: "
            f"at least {min_images} are needed"
        )


def _size(shape):
    return " x ".join(map(str, shape))
