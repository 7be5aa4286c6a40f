"""Draw pictures with a trained generator.

    python generate.py --model cgan --class 3     # or --class dress
    python generate.py --model cgan               # ten images of each class, a column for each
    python generate.py --model some/generator.keras --count 1000 --save-arrays images.npz

Prints the path of each file that it writes.
"""

import json
import math
import os
import sys
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

from common import UserError
from common.arguments import ArgumentParser
from common.datasets import CLOTHES
from common.files import replacing

import numpy as np


class Kind(NamedTuple):
    """What the generator of a script draws."""

    class_names: tuple
    darkest: int  # the least value of a pixel: -1 where the generator ends in tanh


KINDS = {"cgan_fashion": Kind(CLOTHES, darkest=-1)}
SHORT_NAMES = {"cgan": "cgan_fashion"}
MOST_DRAWN = 10_000  # images in one picture; an arrays file takes any number
BATCH = 250


def define_parser():
    parser = ArgumentParser(prog="generate.py", description=__doc__)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME|PATH.keras",
        help=f"{known_models()}, for the one in runs/; or the path of a saved generator",
    )
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="CLASS",
        help="number or name of a class (default: all classes)",
    )
    parser.add_integer("--count", 1, 1_000_000, 100, "how many images")
    parser.add_integer("--seed", 0, 2**32 - 1, 0, "another seed, other images")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.png", help="the picture (default: named in generated/)"
    )
    parser.add_argument(
        "--save-arrays",
        type=Path,
        metavar="FILE.npz",
        help="also write `images`, float32 in [0, 1], (N, H, W, C), and `labels` if there are any",
    )
    parser.add_argument("--show", action="store_true", help="also open the picture in a window")
    return parser


def known_models():
    return ", ".join(sorted(KINDS.keys() | SHORT_NAMES.keys()))


def find_model(name):
    """The path of the generator that --model names."""
    if name.endswith(".keras"):
        return Path(name)
    script = SHORT_NAMES.get(name, name)
    if script not in KINDS:
        raise UserError(f"unknown model {name!r}: give {known_models()} or a path to a .keras file")
    path = Path("runs", script, "generator.keras")
    if not path.exists():
        raise UserError(f"there is no {path} yet; train one with: python {script}.py")
    return path


def read_script(path, name):
    """Which script trained a saved generator: the name of the model inside the file says it."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > 1 << 24:
                raise ValueError("its config.json is too large")
            model_name = str(json.loads(archive.read("config.json"))["config"]["name"])
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except Exception as problem:  # zipfile, zlib and json each have their own
        raise UserError(f"{path} is not a Keras model: {one_line(problem)}") from None
    script = model_name.removesuffix("_generator")
    if script == model_name or script not in KINDS:
        raise UserError(f"{path} holds the model {model_name!r}, not a generator of these scripts")
    expected = SHORT_NAMES.get(name, name)
    if expected in KINDS and expected != script:
        raise UserError(f"{path} holds a generator of {script}.py, not of {expected}.py")
    return script


def find_class(text, class_names):
    """The number of the class that --class names or numbers; None for all classes."""
    if text is None:
        return None
    for number, name in enumerate(class_names):
        if text.casefold() in (str(number), name.casefold()):
            return number
    known = ", ".join(f"{number} ({name})" for number, name in enumerate(class_names))
    raise UserError(f"unknown class {text!r}; known are {known}")


def default_out(script, label, class_names, seed):
    """A name that says what is drawn, in a folder of its own."""
    folder = Path("generated")
    folder.mkdir(exist_ok=True)
    what = "all" if label is None else class_names[label].replace("/", "-").replace(" ", "-")
    return folder / f"{script}_{what}_seed{seed}.png"


def check_writable(path, suffix):
    """Raise UserError where a file could not be written, before the slow part begins."""
    if path.suffix.lower() != suffix:
        raise UserError(f"{path} must end in {suffix}")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: no permission in the folder {path.parent}")


def load_generator(path):
    """Load a saved generator. It consists of stock layers, so none of its code has to be trusted.

    Raises UserError if the file is damaged, asks for code of its own, or is no generator.
    """
    from common.backend import keras

    try:
        generator = keras.saving.load_model(path, compile=False, safe_mode=True)
        names = [tensor.name for tensor in generator.inputs]
        rank = len(generator.output_shape)
    except Exception as problem:  # a damaged file may cause anything
        raise UserError(f"cannot load {path}: {one_line(problem)}") from None
    if names != ["latent", "label"] or rank != 4:
        raise UserError(f"{path} is not a generator: its inputs are {', '.join(names)}")
    return generator


def generate_images(generator, labels, seed, darkest):
    """Draw an image for each label: float32 (N, H, W, C) in [0, 1].

    The first images of a seed are the same, however many follow.
    """
    latent_dim = generator.inputs[0].shape[1]
    rng = np.random.default_rng(seed)
    images = np.empty((len(labels), *generator.output_shape[1:]), "float32")
    for start in range(0, len(labels), BATCH):
        batch = labels[start : start + BATCH]
        latents = rng.standard_normal((len(batch), latent_dim), dtype="float32")
        drawn = generator.predict_on_batch([latents, batch.reshape(-1, 1)])
        images[start : start + BATCH] = (drawn - darkest) / (1 - darkest)
    return images


def save_picture(images, label, class_names, out):
    """Write the images as a PNG: in columns by class, or all of one class under its name."""
    from common import plotting

    if len(images) > MOST_DRAWN:
        print(f"generate.py: the picture shows the first {MOST_DRAWN:,} images", file=sys.stderr)
        images = images[:MOST_DRAWN]
    if label is None:
        columns = len(class_names) * math.ceil(math.sqrt(len(images) / len(class_names) ** 2))
        titles = class_names if columns == len(class_names) else ()
        plotting.save_grid(images, out, columns, titles)
    else:
        columns = min(len(images), max(10, math.ceil(math.sqrt(len(images)))))
        plotting.save_grid(images, out, columns, heading=class_names[label])


def show(path):
    """Open a picture in a window and wait until it is closed."""
    from matplotlib import pyplot

    pyplot.imshow(pyplot.imread(path))
    pyplot.axis("off")
    with warnings.catch_warnings(record=True) as problems:
        pyplot.show()
    if problems:  # matplotlib warns where it has no display
        print(f"generate.py: there is no display to show {path} on", file=sys.stderr)


def one_line(problem):
    return " ".join(str(problem).split())[:300]


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    try:
        # TensorFlow takes seconds to import, so all that can be wrong is found before.
        path = find_model(arguments.model)
        script = read_script(path, arguments.model)
        class_names, darkest = KINDS[script]
        label = find_class(arguments.class_name, class_names)
        out = arguments.out or default_out(script, label, class_names, arguments.seed)
        check_writable(out, ".png")
        if arguments.save_arrays:
            check_writable(arguments.save_arrays, ".npz")

        generator = load_generator(path)
        if label is None:
            labels = np.arange(arguments.count, dtype="int32") % len(class_names)
        else:
            labels = np.full(arguments.count, label, "int32")
        images = generate_images(generator, labels, arguments.seed, darkest)
        save_picture(images, label, class_names, out)
        print(out)
        if arguments.save_arrays:
            with replacing(arguments.save_arrays) as beside:
                np.savez(beside, images=images, labels=labels)
            print(arguments.save_arrays)
        if arguments.show:
            show(out)
    except UserError as problem:
        parser.error(problem)
    except OSError as problem:
        parser.error(f"cannot write {problem.filename}: {problem.strerror}")
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    sys.exit(main())
