"""Comparing generated images with the nearest training images, to see whether they are copies."""

import numpy as np

N_NEAREST = 3  # training images to show beside a generated one
GROUPS_PER_ROW = 2  # in the picture; a group is a generated image and its nearest ones
CHUNK = 2000  # training images to convert to floats at a time, to save memory


def find_nearest(images, training_images):
    """Find the training images nearest to each image, by the Euclidean distance of all pixels.

    Distances between features of a classifier would not do: they are small between any two dresses,
    but only a copy has nearly the same pixels.

    Args:
        images: uint8 (n, H, W, C).
        training_images: uint8 (N, H, W, C).

    Returns the indices of the nearest three, int64 (n, 3), the nearest first.
    """
    flat = images.reshape(len(images), -1).astype("float32")
    distances = np.empty((len(flat), len(training_images)), "float32")
    for start in range(0, len(training_images), CHUNK):
        part = training_images[start : start + CHUNK]
        part = part.reshape(len(part), -1).astype("float32")
        # |a - b|² without |a|², which does not change the order.
        distances[:, start : start + len(part)] = (part**2).sum(axis=1) - 2 * flat @ part.T
    return distances.argsort(axis=1, kind="stable")[:, :N_NEAREST]


def draw_nearest(images, training_images, path):
    """Save a picture of the images, uint8, each beside the training images nearest to it."""
    from common import plotting

    nearest = find_nearest(images, training_images)
    rows = np.concatenate([images[:, np.newaxis], training_images[nearest]], axis=1)
    titles = ("generated", "nearest", "second", "third")[: rows.shape[1]]
    plotting.save_grid(
        rows.reshape(-1, *images.shape[1:]).astype("float32") / 255,
        path,
        columns=GROUPS_PER_ROW * len(titles),
        titles=titles * GROUPS_PER_ROW,
    )
