"""Opening `.keras` files that nobody vouches for.

Keras's own safe mode keeps code out. What is left is a file that asks for more memory than there
is, or for layers that look at other files; so everything is checked before it is built.
"""

import io
import json
import math
import zipfile

from common import UserError

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
MOST_BYTES_OF_CONFIG = 1 << 22
# What the generators and encoders of these scripts are made of.
STOCK = {
    "keras.src.models.functional": {"Functional"},
    "keras": {"DTypePolicy"},
    "keras.initializers": {"GlorotNormal", "GlorotUniform", "Ones", "RandomNormal", "Zeros"},
    "keras.layers": {
        *("Activation", "BatchNormalization", "Concatenate", "Conv2D", "Conv2DTranspose"),
        *("Cropping2D", "Dense", "Embedding", "Flatten", "GroupNormalization", "InputLayer"),
        *("LeakyReLU", "Reshape", "UpSampling2D"),
    },
    "keras.src.ops.image": {"Resize"},
    "keras.src.ops.numpy": {"Add", "Less", "Multiply", "Where"},
    None: {"__keras_tensor__"},
}
MOST_WITHIN = 256  # the numbers in a layer's output, as a multiple of those that go in or come out
MOST_ACROSS = 64  # the size, stride, dilation and the like of a layer
MOST_OUTSIDE = 1 << 20  # the numbers of one image, or of what it is drawn from
MOST_LAYERS = 1000


def read_config(path):
    """The description of the model in a `.keras` file, a dict. Quick: TensorFlow is not needed.

    Raises UserError if there is none, or one that asks for other than stock layers.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path.stat().st_size)
            config = json.loads(archive.read("config.json"))
        if len(config["config"]["name"].strip()) > 100:
            raise ValueError("its name is too long")
        _check_classes(config)
        return config
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except UserError as problem:
        raise UserError(f"{path} {one_line(problem)}") from None
    except Exception as problem:  # zipfile, zlib and json each have their own
        raise UserError(f"{path} is not a Keras model: {one_line(problem)}") from None


def load(path):
    """Load the model in a `.keras` file, without anything that it might need for training.

    Raises UserError if the file is damaged, or of a model that these scripts do not save.
    """
    from common.backend import keras

    read_config(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(json.loads(archive.read("config.json")), path.stat().st_size)
            _check_weights(archive.read("model.weights.h5"))
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        _try(model)
    except Exception as problem:  # a damaged file may cause anything
        raise UserError(f"cannot load {path}: {one_line(problem)}") from None
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


def _check_members(archive, size):
    """Keras writes three members and compresses none, so nothing in them can swell."""
    members = archive.infolist()
    if {member.filename for member in members} != MEMBERS or len(members) != len(MEMBERS):
        raise ValueError(f"it does not hold just {', '.join(sorted(MEMBERS))}")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("it claims to hold more than it does")
    if archive.getinfo("config.json").file_size > MOST_BYTES_OF_CONFIG:
        raise ValueError("its config.json is too large")


def _check_classes(config):
    """Raise UserError for anything in a description that is not one of the stock classes."""
    for part in _parts(config):
        if isinstance(part, dict) and "class_name" in part:
            name, module = part["class_name"], part.get("module")
            if name not in STOCK.get(module, ()) or part.get("registered_name") not in (None, name):
                raise UserError(
                    f"holds {f'{module}.{name}'!r:.99}, which no generator of these scripts does"
                )
        # A layer that is called again and again takes time for which no weights are in the file.
        if isinstance(part, dict) and len(part.get("inbound_nodes", ())) > 1:
            raise UserError("calls a layer twice, which no generator of these scripts does")
    if len(config["config"]["layers"]) > MOST_LAYERS:
        raise UserError(f"has more than {MOST_LAYERS} layers")


def _parts(part):
    yield part
    if isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _parts(inner)


def _check_size(config, size):
    """Build the model without memory for its weights, and see whether they are in the file."""
    from common.backend import keras

    try:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        n_bytes = sum(math.prod(weight.shape) * 4 for weight in model.weights)
        if n_bytes > size:
            raise ValueError(f"its weights would be {n_bytes} bytes, more than the file holds")
        for layer in model.layers:
            names = ["kernel_size", "strides", "dilation_rate", "size", "cropping", "groups"]
            if isinstance(layer, keras.layers.GroupNormalization):
                names.remove("groups")  # one for each channel
            for name in names:
                if max(keras.tree.flatten(getattr(layer, name, 1))) > MOST_ACROSS:
                    raise ValueError(f"{layer.name} has {name} {getattr(layer, name)}")
        tensors = keras.tree.flatten([operation.output for operation in model.operations])
        most = max(math.prod(tensor.shape[1:]) for tensor in tensors)
        outside = max(math.prod(tensor.shape[1:]) for tensor in (*model.inputs, *model.outputs))
        if outside > MOST_OUTSIDE:
            raise ValueError(f"it takes or makes {outside} numbers for one image")
        if most > MOST_WITHIN * outside:
            raise ValueError(f"a layer of it makes {most} numbers of one image")
    except Exception:
        # Keras would provide for the weights later, with whatever is built next.
        keras.backend.clear_session()
        raise


def _try(model):
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
