"""Interpolation between two inputs of a generator: two classes, or two latents."""

from common import UserError
from common.backend import keras

import numpy as np


def mix_classes(first, last, count, n_classes):
    """Mix two classes linearly: float32 (count, n_classes), from only `first` to only `last`."""
    share = np.linspace(0, 1, count, dtype="float32")[:, np.newaxis]
    one_hot = np.eye(n_classes, dtype="float32")
    return (1 - share) * one_hot[first] + share * one_hot[last]


def slerp(first, last, count):
    """Interpolate between two latents along a great circle: float32 (count, *shape).

    Points from N(0, 1) in many dimensions lie close to a sphere, and the generator was trained with
    such points only. A straight line between two of them leaves the sphere (White 2016, "Sampling
    Generative Networks", arXiv 1609.04468, section 2.1).
    """
    cosine = np.vdot(first, last) / (np.linalg.norm(first) * np.linalg.norm(last))
    angle = np.arccos(np.clip(cosine, -1, 1))
    share = np.linspace(0, 1, count).reshape(-1, *[1] * first.ndim)
    if np.sin(angle) < 1e-6:  # parallel or opposite latents, which define no great circle
        points = (1 - share) * first + share * last
    else:
        points = np.sin((1 - share) * angle) * first + np.sin(share * angle) * last
        points /= np.sin(angle)
    return points.astype("float32")


def accept_mixed_labels(model, n_classes):
    """Turn a generator of integer labels into one of class mixtures, float32 (n, n_classes).

    No integer between 2 and 6 stands for a mixture of these two classes. But the embedding of a
    label is a vector, and vectors can be mixed. So in the new model the sum of all embedding
    vectors, each multiplied by the share of its class, takes the place of the embedding.

    Raises UserError if the model has no `Embedding` layer.
    """
    latent, label = sorted(model.inputs, key=lambda tensor: tensor.name != "latent")
    embeddings = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
    if not embeddings:
        raise UserError(f"{model.name} has no embedding of its labels, so they cannot be mixed")
    # A layer has a node for each of its calls; what it is called with may not be the label itself.
    nodes = [node for embedding in embeddings for node in embedding._inbound_nodes]
    embedded = [tensor for node in nodes for tensor in node.output_tensors]
    try:
        behind_embeddings = keras.Model([latent, *embedded], model.output)
    except ValueError:
        raise UserError(
            f"{model.name} uses its labels outside their embedding as well, so they cannot be mixed"
        ) from None
    all_labels = np.arange(n_classes, dtype="int32").reshape(n_classes, *label.shape[1:])
    vectors = keras.tree.flatten(keras.Model(label, embedded)(all_labels))

    shares = keras.Input((n_classes,), name=label.name)
    mixed = []
    for tensor, rows in zip(embedded, vectors, strict=True):
        kernel = np.reshape(rows, (n_classes, -1))
        mix = keras.layers.Dense(kernel.shape[1], use_bias=False)
        mixed.append(keras.layers.Reshape(tensor.shape[1:])(mix(shares)))
        mix.kernel.assign(kernel)
    return keras.Model([latent, shares], behind_embeddings([latent, *mixed]), name=model.name)
