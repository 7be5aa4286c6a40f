"""Finding saved generators, and what is known of them."""

from pathlib import Path
from typing import NamedTuple

from common import UserError
from common.data.datasets import CLOTHES, DIGITS
from common.data.facades import CLASS_NAMES as FACADE_CLASSES
from common.models import saved_models

MOST_LATENT = 10_000  # as --latent-dim


class Kind(NamedTuple):
    """What the generator of a script draws."""

    class_names: tuple  # empty where it takes no label
    pixel_min: int  # -1 where the generator ends in tanh, 0 where it ends in a sigmoid
    paints: bool = False  # layouts, in colours


KINDS = {
    "cgan_fashion": Kind(CLOTHES, pixel_min=-1),
    "cgan_mnist": Kind(DIGITS, pixel_min=0),
    "gan_fashion": Kind((), pixel_min=-1),
    "wgan_gp_fashion": Kind((), pixel_min=-1),
    "gaugan_facades": Kind((), pixel_min=-1, paints=True),
}
SHORT_NAMES = {
    "cgan": "cgan_fashion",
    "gan": "gan_fashion",
    "wgan_gp": "wgan_gp_fashion",
    "gaugan": "gaugan_facades",
}
NAMES = ", ".join(sorted(KINDS.keys() | SHORT_NAMES.keys()))


def find(name):
    """The path of the generator that is meant by a name or a path, and the script it comes from.

    Quick: TensorFlow is not needed to read the name of the model in a `.keras` file, which says
    what script it comes from. Raises UserError if there is no such generator.
    """
    script = SHORT_NAMES.get(name, name)
    if script in KINDS:
        path = Path("runs", script, "generator.keras")
        if not path.is_file():
            raise UserError(f"there is no {path} yet; train one with: python {script}.py")
    elif name.endswith(".keras"):
        path = Path(name)
    else:
        raise UserError(f"unknown model {name!r}: give {NAMES} or the path of a .keras file")

    found = saved_models.read_config(path)["config"]["name"]
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
    from common.models.steps import quicken

    kind = KINDS[script]
    generator, inputs, output = _load(path)
    draws = (
        _paints(inputs, output)
        if kind.paints
        else _draws(generator, inputs, output, len(kind.class_names))
    )
    if not draws:
        raise UserError(f"{path} is no generator of {script}.py: it makes {output} of {inputs}")
    quicken(generator)
    return generator


def load_encoder(path, generator):
    """Load the encoder that belongs to a generator which paints. Raises UserError as `load`."""
    encoder, inputs, output = _load(path)
    image, latent = (None, *generator.output_shape[1:]), tuple(generator.inputs[0].shape)
    if inputs != {"image": image} or output != (latent, latent):
        raise UserError(
            f"{path} is no encoder for this generator: it makes {output} of {inputs}, "
            f"where {(latent, latent)} of {image} are needed"
        )
    return encoder


def _load(path):
    """A saved model, the shapes of its inputs by name, and the shapes of its output."""
    model = saved_models.load(path)
    try:
        inputs = {tensor.name: tuple(tensor.shape) for tensor in model.inputs}
        return model, inputs, tuple(model.output_shape)
    except Exception as problem:  # such as a description with no inputs
        raise UserError(f"cannot load {path}: {saved_models.one_line(problem)}") from None


def _paints(inputs, output):
    """Whether a model makes square images in colours of latents and one-hot layouts."""
    if list(inputs) != ["latent", "layout"]:
        return False
    latent, layout = inputs.values()
    if len(latent) != 2 or not 1 <= (latent[1] or 0) <= MOST_LATENT:
        return False
    size = layout[1] if len(layout) == 4 else None
    if size is None:
        return False
    return layout == (None, size, size, len(FACADE_CLASSES)) and output == (None, size, size, 3)


def _draws(generator, inputs, output, n_classes):
    """Whether a model makes grey images of latents, and of labels if there are classes."""
    latent, label = inputs.pop("latent", ()), inputs.pop("label", None)
    if inputs or len(latent) != 2 or not 1 <= (latent[1] or 0) <= MOST_LATENT:
        return False
    if output != (None, 28, 28, 1):
        return False
    if not n_classes or label != (None, 1):
        return label == ((None, n_classes) if n_classes else None)
    tables = [layer for layer in generator.layers if hasattr(layer, "embeddings")]
    return [table.input_dim for table in tables] == [n_classes]
