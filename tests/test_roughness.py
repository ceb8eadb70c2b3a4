"""What neighbouring pixels leave of an image, by hand."""

import pytest
import torch

from vae_anomaly.columns.batch import Batch
from vae_anomaly.scores.roughness import neighbor_residuals, predictive_residuals

IMAGE = [[1.0, 2.0, 4.0], [3.0, 8.0, 5.0]]


def rows(*images, missing=()):
    values = torch.tensor(images)
    observed = torch.ones_like(values, dtype=torch.bool)
    for index in missing:
        observed[index] = False
    return Batch((values * observed).flatten(1), observed.flatten(1))


def test_residuals_are_pixels_less_the_mean_of_their_neighbours():
    left = neighbor_residuals(rows(IMAGE), (2, 3)).reshape(2, 3)
    expected = [[1 - 2.5, 2 - 13 / 3, 4 - 3.5], [3 - 4.5, 8 - 10 / 3, 5 - 6]]
    torch.testing.assert_close(left, torch.tensor(expected))


def test_missing_pixels_are_neither_neighbours_nor_residuals():
    left = neighbor_residuals(rows(IMAGE, missing=[(0, 0, 1)]), (2, 3)).reshape(2, 3)
    expected = [[1 - 3.0, 0, 4 - 5], [3 - 4.5, 8 - 4, 5 - 6]]
    torch.testing.assert_close(left, torch.tensor(expected))


def test_pixel_without_any_neighbour_leaves_nothing():
    assert neighbor_residuals(rows([[7.0]]), (1, 1)).tolist() == [[0.0]]


def test_prediction_is_the_median_of_left_above_and_their_plane():
    left = predictive_residuals(rows(IMAGE), (2, 3)).reshape(2, 3)
    # At (1, 1): left 3, above 2, corner 1 below both, so the larger; at (1, 2): left 8, above 4, corner 2, the larger.
    expected = [[1, 2 - 1, 4 - 2], [3 - 1, 8 - 3, 5 - 8]]
    torch.testing.assert_close(left, torch.tensor(expected, dtype=torch.float32))


def test_prediction_takes_the_plane_between_and_the_smaller_at_an_edge():
    left = predictive_residuals(rows([[2.0, 4.0], [1.0, 0.0]], [[9.0, 4.0], [1.0, 0.0]]), (2, 2))
    assert left[:, 3].tolist() == [0 - 3.0, 0 - 1.0]


def test_constant_images_leave_nothing():
    flat = rows([[3.0] * 3] * 3)
    assert neighbor_residuals(flat, (3, 3)).abs().max() == 0


@pytest.mark.parametrize("function", [neighbor_residuals, predictive_residuals])
def test_channels_do_not_see_each_other(function):
    other = [[0.0, -5.0, 2.0], [1.0, 1.0, 0.0]]
    both = torch.cat([rows(IMAGE).values, rows(other).values], 1)
    left = function(Batch(both, torch.ones_like(both, dtype=torch.bool)), (2, 3))
    alone = torch.cat([function(rows(IMAGE), (2, 3)), function(rows(other), (2, 3))], 1)
    torch.testing.assert_close(left, alone)
