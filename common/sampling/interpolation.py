"""Interpolation between two inputs of a generator: two classes, or two latents."""

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
    lengths = np.linalg.norm(first) * np.linalg.norm(last)
    cosine = np.vdot(first, last) / max(lengths, 1e-12)  # latents scaled by 0 have no length
    angle = np.arccos(np.clip(cosine, -1, 1))
    share = np.linspace(0, 1, count).reshape(-1, *[1] * first.ndim)
    if np.sin(angle) < 1e-6:  # parallel or opposite latents, which define no great circle
        points = (1 - share) * first + share * last
    else:
        points = np.sin((1 - share) * angle) * first + np.sin(share * angle) * last
        points /= np.sin(angle)
    return points.astype("float32")
