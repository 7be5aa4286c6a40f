"""Finding, checking and loading saved generators. Nothing in a file is trusted."""

import json
import zipfile
from pathlib import Path
from typing import NamedTuple

from common import UserError
from common.datasets import CLOTHES, DIGITS


class Kind(NamedTuple):
    """What the generator of a script draws."""

    class_names: tuple  # empty where it takes no label
    darkest: int  # the least value of a pixel: -1 where the generator ends in tanh, 0 in sigmoid


KINDS = {
    "cgan_fashion": Kind(CLOTHES, darkest=-1),
    "cgan_mnist": Kind(DIGITS, darkest=0),
    "gan_fashion": Kind((), darkest=-1),
    "wgan_gp_fashion": Kind((), darkest=-1),
}
SHORT_NAMES = {"cgan": "cgan_fashion", "gan": "gan_fashion", "wgan_gp": "wgan_gp_fashion"}
NAMES = ", ".join(sorted(KINDS.keys() | SHORT_NAMES.keys()))


def find(name):
    """The path of the generator that is meant by a name or a path, and the script it comes from.

    Quick: TensorFlow is not needed to read the name of the model in a `.keras` file, which says
    what script it comes from. Raises UserError if there is no such generator.
    """
    script = SHORT_NAMES.get(name, name)
    if script in KINDS:
        path = Path("runs", script, "generator.keras")
        if not path.exists():
            raise UserError(f"there is no {path} yet; train one with: python {script}.py")
    elif name.endswith(".keras"):
        path = Path(name)
        if not path.exists():
            raise UserError(f"there is no file {path}")
    else:
        raise UserError(f"unknown model {name!r}: give {NAMES} or the path of a .keras file")

    found = _read_model_name(path)
    if found not in [f"{known}_generator" for known in KINDS]:
        raise UserError(f"{path} holds the model {found!r}, not a generator of these scripts")
    if script in KINDS and found != f"{script}_generator":
        raise UserError(f"{path} holds the model {found!r}, not a generator of {script}.py")
    return path, found.removesuffix("_generator")


def find_class(text, script):
    """The number of the class that `text` names or numbers. Raises UserError if there is none."""
    class_names = KINDS[script].class_names
    if not class_names:
        raise UserError(f"{script} has no classes to choose from, so no {text!r}")
    for number, name in enumerate(class_names):
        if text.casefold() in (str(number), name.casefold()):
            return number
    known = ", ".join(f"{number} ({name})" for number, name in enumerate(class_names))
    raise UserError(f"unknown class {text!r}; known are {known}")


def load(path, script):
    """Load the generator of a script. It consists of stock layers, so it brings no code along.

    Raises UserError if the file is damaged, wants code of its own, or is no such generator.
    """
    from common.backend import keras

    try:
        generator = keras.saving.load_model(path, compile=False, safe_mode=True)
        inputs = [tensor.name for tensor in generator.inputs]
        rank = len(generator.output_shape)
    except Exception as problem:  # a damaged file may cause anything
        raise UserError(f"cannot load {path}: {_one_line(problem)}") from None
    if inputs != (["latent", "label"] if KINDS[script].class_names else ["latent"]) or rank != 4:
        raise UserError(f"{path} is no generator of {script}.py: its inputs are {inputs}")
    return generator


def _read_model_name(path):
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > 1 << 24:
                raise ValueError("its config.json is too large")
            return str(json.loads(archive.read("config.json"))["config"]["name"])
    except Exception as problem:  # zipfile, zlib and json each have their own
        raise UserError(f"{path} is not a Keras model: {_one_line(problem)}") from None


def _one_line(problem):
    return " ".join(str(problem).split())[:300]
