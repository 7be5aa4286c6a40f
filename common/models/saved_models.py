"""Saving generators, and loading `.keras` files that cannot be trusted.

A file may come from anywhere, and Keras's safe mode alone has been circumvented more than once. So
only layers and operations of Keras itself are loaded, and of these none that run code from the file
or read other files. Keras refuses links to other files among the weights.
"""

import importlib
import json
import zipfile

from common import UserError
from common.data.reading import one_line
from common.files import replacing

ABOUT = "about.json"  # the member that `save` adds; Keras ignores it
# Layers of Keras that run code from the file, or open other files.
REFUSED_LAYERS = {
    *("FlaxLayer", "IndexLookup", "IntegerLookup", "JaxLayer", "Lambda", "StringLookup"),
    *("TFSMLayer", "TextVectorization", "TorchModuleWrapper"),
}


def save(model, path, about):
    """Save a model, in float32, and in the same file what its inputs and outputs mean.

    `about` is a dict that JSON can hold, with `class_names`, `pixel_range` etc. Raises OSError if
    the file cannot be written.
    """
    with replacing(path) as temporary:
        in_float32(model).save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(ABOUT, json.dumps(about))


def read(path):
    """Read Keras's config of the model in a `.keras` file, and `about`, without TensorFlow.

    `about` is what `save` has stored, {} if another program has saved the file. Raises UserError if
    the file is not a Keras model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            config.pop("compile_config", None)  # what it was trained with is not loaded
            return config, json.loads(archive.read(ABOUT) if ABOUT in archive.namelist() else "{}")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except Exception as problem:  # zipfile, zlib and json raise many types of it
        raise UserError(f"{path} is not a Keras model: {one_line(problem)}") from None


def load(path):
    """Load the model in a `.keras` file, not compiled, with lists of inputs and outputs.

    Raises UserError if the file is damaged, or contains anything but layers and operations of Keras
    itself.
    """
    from common.backend import keras

    config, _about = read(path)
    made_by = keras.__version__
    try:
        _check_classes(config)
        with zipfile.ZipFile(path) as archive:
            made_by = json.loads(archive.read("metadata.json"))["keras_version"]
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        model = keras.Model(model.inputs, model.outputs, name=model.name)
        if not all(keras.ops.all(keras.ops.isfinite(weight)) for weight in model.weights):
            raise ValueError("some of its weights are NaN or infinite")
        # Now is the time for an error of a layer that cannot compute.
        model([keras.ops.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs])
    except Exception as problem:  # a damaged file may cause anything
        reason = one_line(problem)
        if made_by != keras.__version__:
            reason = f"it was saved by Keras {made_by}, and this is {keras.__version__}: {reason}"
        raise UserError(f"cannot load {path}: {reason}") from None
    return model


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


def _check_classes(value):
    """Raise ValueError for a class anywhere in a model's config that is not one of `_check_class`.

    `value` is the config, or a part of it, of any type.
    """
    if isinstance(value, dict) and "class_name" in value:
        _check_class(value)
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_classes(inner)


def _check_class(value):
    """Raise ValueError unless a dict names a class of Keras for models.

    Keras looks up any name in its modules, even that of a function like `keras.utils.get_file`.
    """
    from common.backend import keras

    name, module = str(value["class_name"]), value.get("module")
    # Keras names the tensors, slices and arrays in an operation's arguments `__tensor__` etc.
    if module is None and name.startswith("__") and name != "__lambda__":
        return
    is_own = value.get("registered_name") not in (None, name)
    if str(module).split(".")[0] != "keras" or is_own or name in REFUSED_LAYERS:
        name = str(value.get("config")) if name == "function" else name
        full = f"{module}.{name}" if module and module != "builtins" else name
        raise ValueError(
            f"it holds {full!r:.99}, and generate.py loads only layers and operations of Keras "
            "itself, and none that run code or read other files: write it as a function of these"
        )
    found = getattr(importlib.import_module(module), name, None)
    kinds = (
        *(keras.Layer, keras.Operation, keras.initializers.Initializer, keras.DTypePolicy),
        *(keras.Optimizer, keras.Loss, keras.Metric),  # of a model within the model
        *(keras.regularizers.Regularizer, keras.constraints.Constraint),
    )
    if not isinstance(found, type) or not issubclass(found, kinds):
        raise ValueError(f"{module}.{name} is not a class for models")
