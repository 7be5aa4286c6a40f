"""The formulas of the figures, on cases whose values follow by hand."""

import math

from common.judges import metrics, scores

import numpy as np
import pytest


def normal(mean, covariance):
    return np.array(mean, float), np.array(covariance, float)


def test_frechet_distance_of_a_shifted_mean_is_its_square():
    features = np.random.default_rng(0).normal(size=(50, 3))
    shifted = metrics.moments(features + [3, 0, -4])
    assert metrics.frechet_distance(metrics.moments(features), shifted) == pytest.approx(25)


def test_frechet_distance_of_diagonal_covariances():
    """The sum of the squared differences of means and of standard deviations."""
    one = normal([0, 1, 2], np.diag([1, 4, 9]))
    other = normal([1, 1, 4], np.diag([4, 4, 0]))
    expected = (1 + 0 + 4) + (1 + 0 + 9)
    assert metrics.frechet_distance(one, other) == pytest.approx(expected)
    assert metrics.frechet_distance(other, one) == pytest.approx(expected)


def test_frechet_distance_of_covariances_that_do_not_commute():
    """For 2 x 2 the trace of the root of M is the root of trace M + 2 root of det M."""
    one, other = np.array([[2, 1], [1, 2]]), np.array([[5, 0], [0, 1]])
    product = one @ other
    root = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    distance = metrics.frechet_distance(normal([0, 0], one), normal([0, 0], other))
    assert distance == pytest.approx(np.trace(one + other) - 2 * root)


def test_spread_of_a_class_is_the_root_mean_square_distance_of_two():
    features = np.array([[0, 0], [3, 4], [9, 9], [9, 9], [7, 7]], float)
    found = np.array([0, 0, 1, 1, 2])
    # The variance divides by n - 1, so that twice it is the mean square over pairs of different.
    assert metrics.spreads(features, found, 3).tolist() == [5, 0, 0]


def test_variety_is_one_for_equal_images_and_zero_for_one_image_a_class():
    rng = np.random.default_rng(0)
    real, found = rng.normal(size=(200, 5)), np.arange(200) % 4
    real_spreads = metrics.spreads(real, found, 4)
    assert metrics.variety(real, found, real_spreads) == pytest.approx(1)
    assert metrics.variety(real / 2, found, real_spreads) == pytest.approx(0.5)
    collapsed = real[found]
    assert metrics.variety(collapsed, found, real_spreads) == pytest.approx(0, abs=1e-9)
    # All of it in one class of four, though as varied there as real images are.
    one_class = real[found == 2]
    alone = metrics.variety(one_class, np.full(len(one_class), 2), real_spreads)
    assert alone == pytest.approx(1 / 4)


def test_a_class_without_real_images_does_not_count():
    real, found = np.random.default_rng(0).normal(size=(20, 2)), np.zeros(20, int)
    spreads = metrics.spreads(real, found, 3)
    assert metrics.variety(real, found, spreads) == pytest.approx(1)
    assert np.isnan(metrics.variety(real, found, np.zeros(3)))


def test_pixel_accuracy_and_mean_iou():
    maps = np.array([[[0, 0], [1, 1]]], np.uint8)
    found = np.array([[[0, 1], [1, 3]]], np.uint8)
    agreement = metrics.agreement(found, maps)
    assert agreement["pixel_accuracy"] == 0.5
    # 0: 1 of 2; 1: 1 of 3; 3: 0 of 1; 2 occurs nowhere.
    assert agreement["mean_iou"] == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)


def test_colour_variation_is_within_each_label_map_on_the_scale_from_minus_one_to_one():
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    red = white * np.array([1, 0, 0], np.uint8)
    one = np.stack([black, white])  # standard deviation, divided by n - 1, of -1 and 1
    assert metrics.colour_variation(one) == pytest.approx(math.sqrt(2))
    assert metrics.colour_variation(one / 255) == pytest.approx(math.sqrt(2))
    assert metrics.colour_variation(np.stack([black, red])) == pytest.approx(math.sqrt(2) / 3)
    two_maps = np.stack([black, black, white, white])
    assert metrics.colour_variation(two_maps, n_maps=2) == 0
    assert metrics.colour_variation(two_maps) > 1


def test_the_spread_is_that_of_five_disjoint_parts():
    values = np.array([1, 2, 3, 4, 5, 11, 12, 13, 14, 15], float)
    seen = []

    def figures_of(part):
        seen.append(values[part].tolist())
        return {"mean": values[part].mean(), "nothing": float("nan")}

    figures = scores.with_spread(figures_of, len(values))
    assert seen == [[1, 11], [2, 12], [3, 13], [4, 14], [5, 15], values.tolist()]
    assert figures["mean"].value == 8
    assert figures["mean"].spread == pytest.approx(np.std([6, 7, 8, 9, 10], ddof=1))
    assert np.isnan(figures["nothing"].spread)


def test_labels_in_proportion():
    real = np.array([2, 0, 0, 5, 0, 0, 2, 5])
    labels = scores.proportional_labels(real, 80)
    assert labels.tolist() == sorted(labels) and np.bincount(labels).tolist() == [
        40,
        0,
        20,
        0,
        0,
        20,
    ]
    # Each of the five parts has as many of each class.
    assert all(np.bincount(labels[k::5]).tolist() == [8, 0, 4, 0, 0, 4] for k in range(5))
