"""Figures that say how good generated images are, computed from numpy arrays.

Features are the outputs of the last hidden layer of a judge, floats (n, d). Labels and label maps
are integers from 0.
"""

import numpy as np


def moments(features):
    """Mean (d,) and covariance (d, d) of features (n, d), n at least 2."""
    features = features.astype("float64")
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(first, second):
    """Squared Fréchet distance between two normal distributions, each a mean and a covariance.

        |m₁ - m₂|² + trace(C₁ + C₂ - 2 (C₁ C₂)^½)

    Heusel et al. 2017, arXiv 1706.08500, equation 6. It is 0 if both are the same, and larger if
    some kinds of images are missing, or look odd, or are too similar. The fewer images there are,
    the larger it is, so compare only distances of equal numbers of images.

    C₁ C₂ is not symmetric, but it has the same eigenvalues as S C₂ S, where S S = C₁, and that
    matrix is symmetric.
    """
    (mean_1, covariance_1), (mean_2, covariance_2) = first, second
    squares, vectors = np.linalg.eigh(covariance_1)
    root = vectors * np.sqrt(squares.clip(0)) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ covariance_2 @ root)
    distance = ((mean_1 - mean_2) ** 2).sum() + np.trace(covariance_1 + covariance_2)
    distance -= 2 * np.sqrt(eigenvalues.clip(0)).sum()
    return float(max(distance, 0.0))  # rounding errors can make it negative


def spreads(features, found, n_classes):
    """For each class, how far apart the features of two images of that class are: (n_classes,).

    This is the root mean square of the distance between two random images of the class, which is
    the square root of twice the variance. It is 0 for a class with fewer than two images.
    """
    result = np.zeros(n_classes)
    for label in range(n_classes):
        members = features[found == label].astype("float64")
        if len(members) > 1:
            result[label] = np.sqrt(2 * members.var(axis=0, ddof=1).sum())
    return result


def variety(features, found, real_spreads):
    """How varied the images of a class are, compared with real images, which have about 1.

    It is the mean over the classes of the ratio between the `spreads` of generated and of real
    images, where these have any. It is near 0 for a generator that always draws the same image of a
    class (mode collapse), or draws only one of many classes.
    """
    real = real_spreads > 0
    ratios = spreads(features, found, len(real_spreads))[real] / real_spreads[real]
    return float(ratios.mean()) if len(ratios) else float("nan")


def agreement(found, maps):
    """How well classes of pixels agree with label maps, both integers (n, H, W): a dict of floats.

    `pixel_accuracy` is the share of pixels whose class is found. `mean_iou` is the mean over the
    classes of intersection over union: the pixels that belong to the class and are found to belong
    to it, divided by those for which one or both is true. Classes without any such pixel are left
    out. (Long et al. 2015, arXiv 1411.4038, section 5; for generated images Park et al. 2019,
    arXiv 1903.07291, section 4.)
    """
    n_classes = int(max(found.max(), maps.max())) + 1
    pairs = maps.astype("int64").ravel() * n_classes + found.ravel()
    counts = np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)
    intersection = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - intersection
    return {
        "pixel_accuracy": float(intersection.sum() / counts.sum()),
        "mean_iou": float((intersection[union > 0] / union[union > 0]).mean()),
    }


def colour_variation(images, n_maps=1):
    """How much the mean colour varies between images of the same label map, and so by the latent.

    It is the standard deviation, over the images of a label map, of their mean red, green and blue,
    in [-1, 1], averaged over the three colours and the label maps. `images` are (n, H, W, 3), float
    in [0, 1] or uint8: all images of the first label map, then equally many of the second, etc.
    """
    white = 255 if images.dtype == np.uint8 else 1
    colours = 2 * images.mean(axis=(1, 2), dtype="float64") / white
    return float(colours.reshape(n_maps, -1, 3).std(axis=1, ddof=1).mean())
