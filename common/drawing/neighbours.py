"""Generated images beside the training images nearest to them: does the generator only copy?"""

import numpy as np

NEAREST = 3
SIDE_BY_SIDE = 2  # generated images in a row of the picture
AT_A_TIME = 2000  # training images in memory as floats


def find_nearest(images, training_images, count=NEAREST):
    """The training images nearest to each image, by the Euclidean distance of all pixels.

    In the features of a classifier any two dresses may be near; a copy is near in its pixels.

    Args:
        images: uint8 (n, H, W, C).
        training_images: uint8 (N, H, W, C).
        count: so many for each.

    Returns their numbers, int64 (n, count), the nearest first.
    """
    flat = images.reshape(len(images), -1).astype("float32")
    distances = np.empty((len(flat), len(training_images)), "float32")
    for start in range(0, len(training_images), AT_A_TIME):
        part = training_images[start : start + AT_A_TIME]
        part = part.reshape(len(part), -1).astype("float32")
        # |a - b|² without |a|², which is the same for all of them.
        distances[:, start : start + len(part)] = (part**2).sum(axis=1) - 2 * flat @ part.T
    return distances.argsort(axis=1, kind="stable")[:, :count]


def draw_nearest(images, training_images, path):
    """Write a picture of images, uint8, each with those of the training nearest to it."""
    from common import plotting

    nearest = find_nearest(images, training_images)
    rows = np.concatenate([images[:, np.newaxis], training_images[nearest]], axis=1)
    titles = ("generated", "nearest", "second", "third")[: rows.shape[1]]
    plotting.save_grid(
        rows.reshape(-1, *images.shape[1:]).astype("float32") / 255,
        path,
        columns=SIDE_BY_SIDE * len(titles),
        titles=titles * SIDE_BY_SIDE,
    )
