"""Saving generators, and opening `.keras` files that nobody vouches for.

A file may come from anywhere, and Keras's safe mode alone has been got round more than once. So
nothing but layers and operations of Keras itself is built, none of those that run code or read
other files, and no more weights than the file holds.
"""

import io
import json
import math
import zipfile

from common import UserError
from common.files import replacing

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
ABOUT = "about.json"  # a member of our own, which Keras passes over
MAX_CONFIG_BYTES = 1 << 22
MAX_NUMBERS = 1 << 27  # in what one layer makes of one image: 512 MB
# Layers of Keras that run code of the file's choice, or open files that it names.
REFUSED = {
    *("FlaxLayer", "IndexLookup", "IntegerLookup", "JaxLayer", "Lambda", "StringLookup"),
    *("TFSMLayer", "TextVectorization", "TorchModuleWrapper"),
}


def save(model, path, about):
    """Save a model, and beside it in the same file what its inputs and outputs mean.

    Args:
        model: a `keras.Model`. One that computes in 16 bits is saved as a float32 one.
        path: the `.keras` file, replaced in one step.
        about: a dict for JSON, such as `class_names` and `pixel_range`; `read` returns it.

    Raises OSError if the file cannot be written.
    """
    with replacing(path) as beside:
        in_float32(model).save(beside)
        with zipfile.ZipFile(beside, "a") as archive:
            archive.writestr(ABOUT, json.dumps(about))


def read(path):
    """The description of the model in a `.keras` file, and what `save` was told about it.

    Returns two dicts, Keras's config of the model, and what is empty where nothing was told.
    Quick: TensorFlow is not needed. Raises UserError if the file is no model, or one that asks for
    more than Keras's own layers.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path.stat().st_size)
            config = json.loads(archive.read("config.json"))
            about = json.loads(archive.read(ABOUT)) if ABOUT in archive.namelist() else {}
        if not isinstance(about, dict):
            raise ValueError(f"its {ABOUT} holds no table")
        if len(config["config"]["name"].strip()) > 100:
            raise ValueError("its name is too long")
        _check_classes(config)
        return config, about
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except UserError as problem:
        raise UserError(f"{path} {one_line(problem)}") from None
    except Exception as problem:  # zipfile, zlib and json each have their own
        raise UserError(f"{path} is not a Keras model: {one_line(problem)}") from None


def load(path):
    """Load the model in a `.keras` file, without anything that it might need for training.

    Raises UserError if the file is damaged, or wants more than Keras's own layers.
    """
    from common.backend import keras

    config, _about = read(path)
    try:
        with zipfile.ZipFile(path) as archive:
            made_by = str(json.loads(archive.read("metadata.json")).get("keras_version"))
            _check_weights(archive.read("model.weights.h5"))
        _check_size(config, path.stat().st_size)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        _check_output(model)
    except Exception as problem:  # a damaged file may cause anything
        reason = one_line(problem)
        with_version = ""
        if _version(made_by) > _version(keras.__version__):
            with_version = f"it was saved by Keras {made_by}, and this is {keras.__version__}: "
        raise UserError(f"cannot load {path}: {with_version}{reason}") from None
    return model


def in_float32(model):
    """The model itself, or a float32 one with the same weights if it computes in 16 bits.

    With --mixed-precision only the computing is in 16 bits; the weights always have 32.
    """
    from common.backend import keras

    description = model.to_json()
    if '"mixed_' not in description:
        return model
    for name in ("mixed_bfloat16", "bfloat16", "mixed_float16", "float16"):
        description = description.replace(f'"{name}"', '"float32"')
    copy = keras.models.model_from_json(description)
    copy.set_weights(model.get_weights())
    return copy


def one_line(problem):
    """What an exception says, on one line and not too long."""
    return " ".join(str(problem).split())[:300]


def _version(text):
    return [int(part) if part.isdecimal() else 0 for part in text.split(".")[:3]]


def _check_members(archive, size):
    """Keras writes three members and compresses none, so nothing in them can swell."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if set(names) - {ABOUT} != MEMBERS or len(names) != len(set(names)):
        raise ValueError(f"it does not hold just {', '.join(sorted(MEMBERS))}")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("it claims to hold more than it does")
    if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
        raise ValueError("its config.json is too large")


def _check_classes(config):
    """Raise UserError for anything in a description that is not Keras's own."""
    for part in _parts(config):
        if not isinstance(part, dict) or "class_name" not in part:
            continue
        name, module = str(part["class_name"]), part.get("module")
        # Tensors, slices and arrays among the arguments of an operation.
        if module is None and name.startswith("__") and name != "__lambda__":
            continue
        own = str(module).split(".")[0] == "keras" and part.get("registered_name") in (None, name)
        if not own or name in REFUSED:
            what = part.get("config") if name == "function" else f"{module}.{name}"
            raise UserError(
                f"holds {what!r:.99}: only layers and operations of Keras itself "
                "are loaded, and none that run code or read other files"
            )


def _parts(part):
    yield part
    if isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _parts(inner)


def _check_types(config):
    """Each name must be that of a class of Keras for parts of models, not of a function.

    Keras looks up whatever a description names in its modules, `keras.utils.get_file` included.
    """
    import importlib

    from common.backend import keras

    kinds = (
        *(keras.Layer, keras.Operation, keras.initializers.Initializer, keras.DTypePolicy),
        *(keras.regularizers.Regularizer, keras.constraints.Constraint),
    )
    for part in _parts(config):
        if isinstance(part, dict) and part.get("module"):
            found = getattr(importlib.import_module(part["module"]), part["class_name"], None)
            if not isinstance(found, type) or not issubclass(found, kinds):
                raise ValueError(f"{part['module']}.{part['class_name']} is no part of a model")


def _check_size(config, size):
    """Build the model without memory for its weights, and see whether they are in the file."""
    from common.backend import keras

    _check_types(config)
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        n_bytes = sum(math.prod(weight.shape) * 4 for weight in model.weights)
        if n_bytes > size:
            raise ValueError(f"its weights would be {n_bytes} bytes, more than the file holds")
        tensors = keras.tree.flatten([operation.output for operation in model.operations])
        if max(math.prod(filter(None, tensor.shape)) for tensor in tensors) > MAX_NUMBERS:
            raise ValueError(f"a layer of it makes more than {MAX_NUMBERS} numbers of one image")
    except Exception:
        # Keras would provide for the weights later, with whatever is built next.
        keras.backend.clear_session()
        raise


def _check_output(model):
    """Draw one image, which shows what no look at the description would."""
    from common.backend import keras

    if not all(bool(keras.ops.all(keras.ops.isfinite(weight))) for weight in model.weights):
        raise ValueError("there are weights that are NaN or infinite")
    inputs = [keras.ops.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    output = model(inputs if len(inputs) > 1 else inputs[0])
    if not all(bool(keras.ops.all(keras.ops.isfinite(o))) for o in keras.tree.flatten(output)):
        raise ValueError("what it draws is NaN or infinite")


def _check_weights(content):
    """HDF5 can promise arrays that it does not hold, or that are in other files."""
    import h5py

    sizes = []

    def check(name, found):
        if isinstance(found, h5py.Group):
            links = [found.get(inner, getlink=True) for inner in found]
            if not all(isinstance(link, h5py.HardLink) for link in links):
                raise ValueError(f"{name} in its weights links to elsewhere")
        elif found.chunks or found.external or found.is_virtual:
            raise ValueError(f"{name} in its weights is not stored plainly")
        else:
            sizes.append(found.nbytes)

    with h5py.File(io.BytesIO(content)) as file:
        check("/", file)
        file.visititems(check)
    if sum(sizes) > len(content):
        raise ValueError(f"its weights claim to be {sum(sizes)} bytes, and are {len(content)}")
