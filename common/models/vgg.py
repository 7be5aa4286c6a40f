"""VGG19 without its classifier: it computes the features that the perceptual loss compares."""

import contextlib
import io
import sys
from pathlib import Path

from common import UserError
from common.backend import keras

LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
WEIGHTS = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"  # what Keras downloads


def add_option(parser):
    """Add --vgg, the `source` of `load`."""
    help = "VGG19 for the perceptual loss: imagenet (from Keras's cache or a download), none, auto "
    help += "(imagenet if possible, else none), or the path of a weights file (default: auto)"
    parser.add_argument("--vgg", default="auto", metavar="WEIGHTS", help=help)


def load(source, image_size):
    """Load VGG19 up to the last of `LAYERS`.

    `source` is "imagenet": Keras's cache, or a download into it; "auto": the same if possible, else
    "none" with a notice; "none": no model; or the path of a weights file.

    Returns the model and the source actually used, or None and "none". The model's input is
    (n, image_size, image_size, 3) in [-1, 1], at least 32 pixels; its outputs are the features of
    each of `LAYERS`. Raises UserError if the weights are missing or not for VGG19.
    """
    if source == "none":
        return None, source
    name = "imagenet" if source in ("auto", "imagenet") else str(Path(source).expanduser())
    shape = (image_size, image_size, 3)
    # Keras shows a download on standard output, which is for the results of a script.
    progress = sys.stderr if sys.stderr and sys.stderr.isatty() else io.StringIO()
    try:
        with contextlib.redirect_stdout(progress):
            vgg = keras.applications.VGG19(include_top=False, weights=name, input_shape=shape)
    except Exception as problem:  # Keras raises nothing more specific
        reason = " ".join(str(problem).split()).split(" -- ")[-1]
        if name != "imagenet":
            if not Path(name).is_file():
                reason = "no such file: give auto, imagenet, none or a file of weights"
            raise UserError(f"cannot read {source}: {reason}") from None
        reason = f"{WEIGHTS} is not in Keras's cache and cannot be downloaded ({reason})"
        if source == "imagenet":
            raise UserError(f"--vgg imagenet: {reason}") from None
        print(f"Training without the VGG loss: {reason}", file=sys.stderr)
        return None, "none"
    features = keras.Model(vgg.input, [vgg.get_layer(name).output for name in LAYERS])

    image = keras.Input(shape, name="image")
    # VGG19 was trained on blue, green, red from 0 to 255, minus the means of ImageNet.
    pixels = keras.applications.vgg19.preprocess_input(127.5 * (image + 1))
    source = "imagenet" if name == "imagenet" else source
    return keras.Model(image, features(pixels), name="vgg19_features"), source
