"""Saving generators, and loading `.keras` files that cannot be trusted.

A file may come from anywhere, and Keras's safe mode alone has been circumvented more than once. So
only layers and operations of Keras itself are loaded, and of these none that run code from the file
or read other files. No memory is allocated for weights that the file does not contain.
"""

import importlib
import io
import json
import math
import zipfile

from common import UserError
from common.data.reading import one_line
from common.files import replacing

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
ABOUT = "about.json"  # the member that `save` adds; Keras ignores it
MAX_CONFIG_BYTES = 1 << 22
MAX_LAYER_OUTPUT = 1 << 27  # numbers in the output of one layer for one image: 512 MB
# Layers of Keras that run code from the file, or open other files.
REFUSED_LAYERS = {
    *("FlaxLayer", "IndexLookup", "IntegerLookup", "JaxLayer", "Lambda", "StringLookup"),
    *("TFSMLayer", "TextVectorization", "TorchModuleWrapper"),
}


def save(model, path, about):
    """Save a model and, in the same file, what its inputs and outputs mean.

    Args:
        model: a `keras.Model`. If it computes in 16 bits, a float32 copy is saved.
        path: the `.keras` file, replaced in one step.
        about: a dict that JSON can hold, such as `class_names` and `pixel_range`.

    Raises OSError if the file cannot be written.
    """
    with replacing(path) as temporary:
        in_float32(model).save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(ABOUT, json.dumps(about))


def read(path):
    """Read the description of the model in a `.keras` file, without importing TensorFlow.

    Returns two dicts: Keras's config of the model, and the `about` that `save` has stored, empty if
    another program has saved the file. Raises UserError if the file is not a Keras model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path.stat().st_size)
            config = json.loads(archive.read("config.json"))
            config.pop("compile_config", None)  # what it was trained with is not loaded
            about = json.loads(archive.read(ABOUT)) if ABOUT in archive.namelist() else {}
        if len(config["config"]["name"].strip()) > 100:
            raise ValueError("its name is too long")
        return config, about
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except Exception as problem:  # zipfile, zlib and json raise many types of it
        raise UserError(f"{path} is not a Keras model: {one_line(problem)}") from None


def load(path):
    """Load the model in a `.keras` file, not compiled.

    Raises UserError if the file is damaged, or contains anything but layers and operations of Keras
    itself.
    """
    from common.backend import keras

    config, _about = read(path)
    made_by = ""
    try:
        _check_classes(config)
        with zipfile.ZipFile(path) as archive:
            made_by = str(json.loads(archive.read("metadata.json")).get("keras_version"))
            _check_weights(archive.read("model.weights.h5"))
        _check_size(config, path.stat().st_size)
        model = _plain(keras.saving.load_model(path, compile=False, safe_mode=True))
        zeros = [keras.ops.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
        for what, tensors in (("weights", model.weights), ("outputs", model(zeros))):
            if not all(keras.ops.all(keras.ops.isfinite(tensor)) for tensor in tensors):
                raise ValueError(f"some of its {what} are NaN or infinite")
    except UserError as problem:
        raise UserError(f"{path} {problem}") from None
    except Exception as problem:  # a damaged file may cause anything
        reason = one_line(problem)
        if made_by not in ("", keras.__version__):
            reason = f"it was saved by Keras {made_by}, and this is {keras.__version__}: {reason}"
        raise UserError(f"cannot load {path}: {reason}") from None
    return model


def _plain(model):
    """The same functional model with lists of inputs and outputs, whatever structure they had."""
    from common.backend import keras

    return keras.Model(model.inputs, model.outputs, name=model.name)


def in_float32(model):
    """The model itself or, if it computes in 16 bits, a float32 copy with the same weights.

    The weights have 32 bits in any case: --mixed-precision concerns only the computations.
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


def nested_values(value):
    """Yield a JSON value and all values in it, at any depth."""
    yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from nested_values(inner)


def _check_members(archive, size):
    """Raise ValueError unless the file holds the members that Keras writes, not compressed.

    Without compression, a small file cannot expand to a huge one in memory.
    """
    members = archive.infolist()
    names = [member.filename for member in members]
    if set(names) - {ABOUT} != MEMBERS or len(names) != len(set(names)):
        raise ValueError(f"its members are not exactly {', '.join(sorted(MEMBERS))}")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("the sizes of its members add up to more than the file")
    if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
        raise ValueError("its config.json is too large")


def _check_classes(config):
    """Raise UserError for anything in a model's config that is not a class of Keras for models.

    Keras looks up any name in its modules, even that of a function like `keras.utils.get_file`.
    """
    from common.backend import keras

    kinds = (
        *(keras.Layer, keras.Operation, keras.initializers.Initializer, keras.DTypePolicy),
        *(keras.Optimizer, keras.Loss, keras.Metric),  # of a model within the model
        *(keras.regularizers.Regularizer, keras.constraints.Constraint),
    )
    for part in nested_values(config):
        if not isinstance(part, dict) or "class_name" not in part:
            continue
        name, module = str(part["class_name"]), part.get("module")
        # Keras names the tensors, slices and arrays in an operation's arguments `__tensor__` etc.
        if module is None and name.startswith("__") and name != "__lambda__":
            continue
        is_own = part.get("registered_name") not in (None, name)
        if str(module).split(".")[0] != "keras" or is_own or name in REFUSED_LAYERS:
            name = str(part.get("config")) if name == "function" else name
            full = f"{module}.{name}" if module and module != "builtins" else name
            raise UserError(
                f"holds {full!r:.99}: generate.py loads only layers and operations of Keras "
                f"itself, and none that run code or read other files; write {name!r:.99} as a "
                "function of Keras layers"
            )
        found = getattr(importlib.import_module(module), name, None)
        if not isinstance(found, type) or not issubclass(found, kinds):
            raise ValueError(f"{module}.{name} is not a class for models")


def _check_size(config, size):
    """Build the model without allocating its weights. Raise ValueError if it is too large."""
    from common.backend import keras

    try:
        with keras.StatelessScope(initialize_variables=False):
            model = _plain(keras.saving.deserialize_keras_object(config, safe_mode=True))
        n_bytes = sum(math.prod(weight.shape) * 4 for weight in model.weights)
        if n_bytes > size:
            raise ValueError(f"its weights would take {n_bytes} bytes, and the file has {size}")
        tensors = keras.tree.flatten([operation.output for operation in model.operations])
        if max(math.prod(filter(None, tensor.shape)) for tensor in tensors) > MAX_LAYER_OUTPUT:
            raise ValueError(f"one of its layers outputs more than {MAX_LAYER_OUTPUT} numbers")
    except Exception:
        # Else Keras would allocate these weights later, when another model is built.
        keras.backend.clear_session()
        raise


def _sizes(group):
    """Yield the bytes of each array in an HDF5 group. Raises ValueError if one is elsewhere."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"its weights contain links, not only arrays, in {group.name}")
        found = group[name]
        if isinstance(found, h5py.Group):
            yield from _sizes(found)
        elif found.chunks or found.external or found.is_virtual:
            raise ValueError(f"{found.name} in its weights is not stored as one plain array")
        else:
            yield found.nbytes


def _check_weights(content):
    """Raise ValueError for arrays that the HDF5 file declares but does not contain."""
    import h5py

    with h5py.File(io.BytesIO(content)) as file:
        claimed = sum(_sizes(file))
    if claimed > len(content):
        raise ValueError(f"its weights claim to have {claimed} bytes, but have {len(content)}")
