"""The figures that say how good generated images are. All of them are formulas on numpy arrays.

Features are what a judge sees in images, (n, d) floats; labels and label maps are integers from 0.
"""

import numpy as np


def moments(features):
    """Mean (d,) and covariance (d, d) of features (n, d), n at least 2."""
    features = features.astype("float64")
    return features.mean(axis=0), np.cov(features, rowvar=False, ddof=1).reshape(
        features.shape[1], features.shape[1]
    )


def frechet_distance(first, second):
    """Squared Fréchet distance between two normal distributions, each a mean and a covariance.

        |m₁ - m₂|² + trace(C₁ + C₂ - 2 (C₁ C₂)^½)

    Heusel et al. 2017, arXiv 1706.08500, equation 6. It is 0 where mean and covariance of the
    features are the same, and grows as images are missing, odd, or too much alike. The fewer
    images, the larger it is: compare distances of equally many.

    C₁ C₂ is not symmetric, but has the eigenvalues of S C₂ S, where S S = C₁, which is.
    """
    (mean_1, covariance_1), (mean_2, covariance_2) = first, second
    root = square_root(covariance_1)
    eigenvalues = np.linalg.eigvalsh(root @ covariance_2 @ root)
    trace_of_root = np.sqrt(eigenvalues.clip(0)).sum()
    distance = ((mean_1 - mean_2) ** 2).sum()
    distance += np.trace(covariance_1) + np.trace(covariance_2) - 2 * trace_of_root
    return float(max(distance, 0.0))  # rounding can take it below


def square_root(matrix):
    """The symmetric S with S S = matrix, for a symmetric matrix without negative eigenvalues."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(eigenvalues.clip(0)) @ vectors.T


def label_accuracy(found, asked):
    """Share of images in which the judge finds the class that was asked for; both (n,)."""
    return float(np.mean(found == asked))


def class_accuracies(found, asked, n_classes):
    """The same for each class: (n_classes,), NaN for one that was not asked for."""
    right = np.bincount(asked[found == asked], minlength=n_classes)
    with np.errstate(invalid="ignore"):
        return right / np.bincount(asked, minlength=n_classes)


def class_shares(found, n_classes):
    """Share of each class among labels (n,): (n_classes,)."""
    return np.bincount(found, minlength=n_classes) / len(found)


def spreads(features, found, n_classes):
    """How far apart two images of a class are, in the features: (n_classes,).

    It is the root mean square of the distance between two that are drawn at random, which is the
    square root of twice the variance. 0 for a class with fewer than two images.
    """
    result = np.zeros(n_classes)
    for label in range(n_classes):
        members = features[found == label].astype("float64")
        if len(members) > 1:
            result[label] = np.sqrt(2 * members.var(axis=0, ddof=1).sum())
    return result


def variety(features, found, real_spreads):
    """Variety within a class, where real images have 1: the mean of the ratios of `spreads`.

    A generator that draws one image of each class, however good, or leaves out every class but
    one of many, comes near 0. Classes that have no spread among the real images do not count.
    """
    real = real_spreads > 0
    ratios = spreads(features, found, len(real_spreads))[real] / real_spreads[real]
    return float(ratios.mean()) if len(ratios) else float("nan")


def confusion(found, maps, n_classes):
    """How many pixels of each class in `maps` are found to be of each: (n_classes, n_classes)."""
    pairs = maps.astype("int64").ravel() * n_classes + found.ravel()
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def pixel_accuracy(counts):
    """Share of pixels found to be what the label map says. `counts` is what `confusion` returns."""
    return float(np.trace(counts) / counts.sum())


def mean_iou(counts):
    """Mean over the classes of intersection over union, of the classes that occur in either.

    The intersection is the pixels that are of a class and found to be; the union is those that
    are of it or found to be (Long et al. 2015, arXiv 1411.4038, section 5; for generated images
    Park et al. 2019, arXiv 1903.07291, section 4).
    """
    intersection = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - intersection
    return float((intersection[union > 0] / union[union > 0]).mean())


def colour_variation(images, n_maps=1):
    """How much the mean colour varies over images of one label map.

    The mean red, green and blue of each image on the scale of [-1, 1]; of these the standard
    deviation over the images of a label map; the mean of those over the three colours and the
    label maps. For images that differ in their latent only, it says how much that changes.

    Args:
        images: (n, H, W, 3), float in [0, 1] or uint8.
        n_maps: so many label maps, for each of which equally many images follow each other.
    """
    most = 255 if images.dtype == np.uint8 else 1
    colours = 2 * images.mean(axis=(1, 2), dtype="float64") / most
    return float(colours.reshape(n_maps, -1, 3).std(axis=1, ddof=1).mean())
