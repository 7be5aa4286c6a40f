"""The real images that a generator has learnt from, and others to compare them with."""

import contextlib
import json
from typing import NamedTuple

from common import UserError
from common.data import datasets, facades
from common.models import saved_models

FEWEST = 100  # so that something can be said of a fifth of a fifth of them


class Real(NamedTuple):
    """Two parts of a data set, `Dataset`s or `Facades`."""

    training: tuple
    unseen: tuple  # the judge has not learnt from it
    kept_back: bool  # whether the generator has learnt from `unseen`, too


class _Record(NamedTuple):
    """What run.json says of the images of a run."""

    source: str = "auto"
    sha256: str | None = None
    limit: int | None = None
    seed: int = 0
    layout_from: int | None = None


def load_dataset(generator, source=None):
    """The training images of a generator of images, and its data set's test part.

    Where a data set has no test part, a fifth of the training images takes its place.

    Args:
        generator: a `Generator`.
        source: a source of `datasets`; None for what the run beside the generator says.

    Returns a `Real`. Raises UserError if the images are not to be had, are not those of the run,
    or are none such as the generator makes.
    """
    record = _read_record(generator)
    names = saved_models.read(generator.path)[1].get("class_names")
    load = datasets.load_mnist if names == list(datasets.DIGITS) else datasets.load_fashion_mnist
    height, _width, channels = generator.image_shape
    options = {
        "image_size": height,
        "channels": channels,
        "labels_needed": bool(generator.label_kind),
    }
    everything = dataset = load(source or record.source, **options)
    if source is None:
        dataset = _check(dataset.limited(record.limit, record.seed), record)
    made, found = generator.image_shape, dataset.images.shape[1:]
    if made != found:
        raise UserError(
            f"{generator.path} makes images of {_size(made)}, and those from {dataset.source} are "
            f"{_size(found)}: give its own images with --data"
        )
    if generator.label_kind and len(generator.class_names) != len(dataset.class_names):
        raise UserError(
            f"{generator.path} has {len(generator.class_names)} classes, and the images from "
            f"{dataset.source} have {len(dataset.class_names)}: give its own images with --data"
        )
    if len(dataset.images) < FEWEST:
        raise UserError(
            f"{len(dataset.images)} images from {dataset.source} are too few to compare with: "
            f"at least {FEWEST} are needed"
        )
    if load is datasets.load_fashion_mnist and dataset.source != "sample":
        with contextlib.suppress(UserError):
            unseen = load(dataset.source, "test", **options)
            # A folder that is not divided into parts is read whole, whichever is asked for.
            is_other = unseen.sha256() != everything.sha256()
            if is_other and unseen.class_names == dataset.class_names:
                return Real(dataset, unseen, kept_back=False)
    return Real(*dataset.split(), kept_back=True)


def load_facades(generator, source=None):
    """The training and the validation facades of a generator that takes label maps.

    The arguments are those of `load_dataset`. Returns a `Real`. Raises UserError as that does.
    """
    record = _read_record(generator)
    dataset = facades.load_facades(source or record.source, record.layout_from)
    if source is None:
        dataset = _check(dataset.limited(record.limit, record.seed), record)
    if len(generator.class_names) != len(dataset.class_names):
        raise UserError(
            f"{generator.path} has {len(generator.class_names)} classes, and the label maps from "
            f"{dataset.source} have {len(dataset.class_names)}: give its own with --data"
        )
    if len(dataset.images) < FEWEST // 2:
        raise UserError(
            f"{len(dataset.images)} facades from {dataset.source} are too few to compare with: "
            f"at least {FEWEST // 2} are needed"
        )
    return Real(*facades.split(dataset, record.seed), kept_back=False)


def _read_record(generator):
    path = generator.path.with_name("run.json")
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
    """The data set, if it is that of the run."""
    if record.sha256 not in (None, dataset.sha256()):
        raise UserError(
            f"the images from {dataset.source} are not those of the run any more: "
            "give them with --data"
        )
    return dataset


def _size(shape):
    return " x ".join(map(str, shape))
