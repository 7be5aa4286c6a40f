"""VGG19 without its classifier: it computes the features that the perceptual loss compares."""

import sys

from common import UserError
from common.backend import keras
from common.data import downloads
from common.data.reading import expand, reporting

LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
# The file that keras.applications.VGG19 downloads, and where from.
_WEIGHTS = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_DOWNLOADS = "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"


def add_option(parser):
    """Add --vgg, the `source` of `load`."""
    parser.add_argument(
        "--vgg",
        default="auto",
        metavar="WEIGHTS",
        help="VGG19 for the perceptual loss: imagenet, from Keras's cache or a download; none; "
        "the path of a weights file; auto: imagenet if possible, else none (default: auto)",
    )


def load(source, image_size):
    """Load VGG19 up to the last of `LAYERS`.

    Args:
        source: where the weights come from. "imagenet": Keras's cache, or a download into it.
            "auto": the same if possible, else "none" with a notice on stderr. "none": no model. Or
            the path of a weights file for `keras.applications.VGG19(include_top=False)`.
        image_size: height and width of the images, at least 32 pixels.

    Returns the model and the source actually used, or None and "none". The model's input is
    (n, image_size, image_size, 3) in [-1, 1]; its outputs are the features of each of `LAYERS`.

    Raises UserError if the weights are missing, cannot be downloaded, or are not for VGG19.
    """
    if source == "none":
        return None, source

    def define(path):
        return _define(path, image_size)

    if source in ("auto", "imagenet"):
        try:
            return downloads.read_cached([_DOWNLOADS + _WEIGHTS], "models", define), "imagenet"
        except UserError as problem:
            if source == "imagenet":
                raise UserError(f"--vgg imagenet: {problem}") from None
            print(f"Training without the VGG loss: {problem}", file=sys.stderr)
            return None, "none"
    return define(expand(source)), source


def _define(path, image_size):
    vgg = keras.applications.VGG19(
        include_top=False, weights=None, input_shape=(image_size, image_size, 3)
    )
    with reporting(path):
        if not path.is_file():
            raise ValueError("no such file: give auto, imagenet, none or a file of weights")
        vgg.load_weights(path)
    features = keras.Model(vgg.input, [vgg.get_layer(name).output for name in LAYERS])

    image = keras.Input((image_size, image_size, 3), name="image")
    # VGG19 was trained on blue, green, red from 0 to 255, minus the means of ImageNet.
    pixels = keras.applications.vgg19.preprocess_input(127.5 * (image + 1))
    return keras.Model(image, features(pixels), name="vgg19_features")
