"""Walking through a generator's inputs in small steps: between classes, between latents."""

from common.backend import keras

import numpy as np


def mix_classes(first, last, count, n_classes):
    """Mix two classes linearly: float32 (count, n_classes), from all `first` to all `last`."""
    share = np.linspace(0, 1, count, dtype="float32")[:, np.newaxis]
    one_hot = np.eye(n_classes, dtype="float32")
    return (1 - share) * one_hot[first] + share * one_hot[last]


def slerp(first, last, count):
    """Walk on a great circle between two latent points: float32 (count, latent_dim).

    Points from N(0, 1) in many dimensions lie close to a sphere, and a generator has seen no
    others. A straight line between two of them leaves it (White 2016, "Sampling Generative
    Networks", arXiv 1609.04468, section 2.1).
    """
    cosine = np.dot(first, last) / (np.linalg.norm(first) * np.linalg.norm(last))
    angle = np.arccos(np.clip(cosine, -1, 1))
    share = np.linspace(0, 1, count)[:, np.newaxis]
    if np.sin(angle) < 1e-6:  # on one line with the origin: no great circle, or any
        points = (1 - share) * first + share * last
    else:
        points = np.sin((1 - share) * angle) * first + np.sin(share * angle) * last
        points /= np.sin(angle)
    return points.astype("float32")


def accept_mixed_labels(generator):
    """A generator whose label is a vector of shares, (n, n_classes), whatever it was before.

    Where the labels are integers, there is none between 2 and 6. But the network behind the
    embedding sees vectors, and those can be mixed: the new model enters the graph there.
    """
    latent, label = generator.inputs
    if label.shape[1] != 1:
        return generator
    embedding = next(layer for layer in generator.layers if type(layer) is keras.layers.Embedding)
    after_embedding = keras.Model([latent, embedding.output], generator.output)

    shares = keras.Input((embedding.input_dim,), name="label")
    mix = keras.layers.Dense(embedding.output_dim, use_bias=False, name="mixed_embedding")
    vector = keras.layers.Reshape((1, embedding.output_dim))(mix(shares))
    mix.kernel.assign(embedding.embeddings)
    return keras.Model([latent, shares], after_embedding([latent, vector]), name=generator.name)
