"""The images that a generator was trained on, and other real images."""

import json
from typing import NamedTuple

from common import UserError
from common.data import datasets, facades
from common.data.reading import listed

import numpy as np

MIN_IMAGES = 100  # a fifth is held out, and the spread is computed from fifths of that


class Real(NamedTuple):
    """Real images in two parts, each a `Dataset` or `Facades`."""

    training: tuple
    held_out: tuple  # not used if a judge is trained now
    seen_by_generator: bool  # whether the generator was trained on `held_out`
    split_sha256: str | None  # of the data set, if `held_out` is what a judge's split leaves over


def load(generator, source=None, least=MIN_IMAGES):
    """Load the `Real` images of a generator: those that it was trained on, and others.

    The others are the validation part of facades, or the test part of the data set. If it has none,
    a fifth of the training images is held out in its place. `source` is one of the loader; None for
    that in the run.json beside the generator. `least` images are needed, or half as many facades.

    Raises UserError if the images cannot be loaded, if they have changed since the run, or if they
    have another shape or other classes than those of the generator.
    """
    record, names = _read_record(generator), generator.stored_names
    known = (datasets.CLOTHES, datasets.DIGITS, facades.CLASS_NAMES)
    if source is None and not record and names not in known:
        raise UserError(
            f"nothing says what images {generator.path} was trained on: give them with --data"
        )
    if generator.label_kind == "label map":
        options = {"first": record.get("layout-from"), "pairs": record.get("pairs")}
        if source is None:  # the numbers of the classes may depend on which label maps are read
            options |= {"limit": record.get("limit"), "seed": record.get("seed", 0)}
        dataset = _load(facades.load_facades, record, source, options)[1]
        _check_fits(generator, dataset, least // 2)
        seed = record.get("seed", 0)
        return Real(*facades.split(dataset, seed), False, None if seed else dataset.sha256())

    named = record.get("loader")
    is_digits = named == "load_mnist" or (named is None and names == datasets.DIGITS)
    loader = datasets.load_mnist if is_digits else datasets.load_fashion_mnist
    height, _width, channels = generator.image_shape
    options = {"image_size": height, "channels": channels}
    options["labels_needed"] = bool(generator.label_kind)
    everything, dataset = _load(loader, record, source, options)
    _check_fits(generator, dataset, least)
    training = _in_order_of(generator, dataset)
    test = None if is_digits else datasets.load_test_part(everything, **options)
    if test:
        return Real(training, _in_order_of(generator, test), False, None)
    return Real(*training.split(), True, dataset.sha256())


def load_validation_facades(generator):
    """The validation facades of a generator's run. Raises UserError if they cannot be loaded."""
    if not _read_record(generator):
        raise UserError(f"the run.json beside {generator.path}, which names them, is missing")
    return load(generator, least=0).held_out


def _load(load, record, source, options):
    """Load all images, and those of them that --limit has left for the run, if it is known.

    With a `source`, no limit applies.
    """
    if source is not None or not record:
        everything = load("auto" if source is None else source, **options)
        return everything, everything
    try:
        everything = load(record["source"], **options)
    except UserError as problem:
        hint = "the run.json of the generator names it, and --data may name another place"
        raise UserError(f"{problem}; {hint}") from None
    dataset = everything.limited(record["limit"], record["seed"])
    if record["sha256"] != dataset.sha256():
        problem = f"the images from {dataset.source} are not those of the run any more"
        raise UserError(f"{problem}: give them with --data")
    return everything, dataset


def _read_record(generator):
    """What run.json says of the training images: a dict, empty if there is no such file."""
    path = generator.path.with_name("run.json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        arguments = {"layout-from": None} | record["arguments"]
        numbers = {name: arguments[name] for name in ("limit", "seed", "layout-from")}
        if not all(isinstance(number, int | None) for number in numbers.values()):
            raise ValueError(f"its arguments are {arguments}")
        texts = {name: str(record["data"][name]) for name in ("source", "sha256")}
        texts |= {"loader": record["data"].get("loader"), "pairs": arguments.get("pairs")}
        return numbers | texts
    except FileNotFoundError:
        return {}
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


def _check_fits(generator, dataset, least):
    """Raise UserError if images have another shape or other classes, or if they are too few."""
    names, found, kind = generator.stored_names, dataset.class_names, generator.label_kind
    hint = "give the images that it was trained on with --data"
    shapes = generator.image_shape, dataset.images[0].shape
    if kind != "label map" and shapes[0] != shapes[1]:
        made, here = (" x ".join(map(str, shape)) for shape in shapes)
        problem = f"makes images of {made}, and those from {dataset.source} are {here}"
        raise UserError(f"{generator.path} {problem}: {hint}")
    comparable = tuple if kind == "label map" else sorted  # a number is a class in a label map
    fits = comparable(names) == comparable(found)
    if kind and not (fits if names else len(generator.class_names) == len(found)):
        raise UserError(
            f"{generator.path} has the classes {listed(generator.class_names)}, and the images "
            f"from {dataset.source} have {listed(found)}: {hint}"
        )
    if len(dataset.images) < least:
        problem = f"{len(dataset.images)} images from {dataset.source} are too few to compare with"
        raise UserError(f"{problem}: at least {least} are needed")
