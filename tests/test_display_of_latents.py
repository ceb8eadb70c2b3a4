import numpy as np
import pytest

from vae_anomaly import DataError, LatentDisplay


def test_two_latents_are_drawn_as_they_are_the_most_anomalous_on_top():
    display = LatentDisplay([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [9.0, 1.0, 5.0]).plot()
    assert display.points_.get_offsets().tolist() == [[2, 3], [4, 5], [0, 1]]
    assert display.points_.get_array().tolist() == [1, 5, 9]
    assert display.anomaly_points_ is None
    assert display.ax_.get_xlabel() == "posterior mean of latent 0"


def test_of_more_latents_the_two_largest_components_are_drawn():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(500, 3)) * [1.0, 10.0, 5.0]
    plane = LatentDisplay(means, np.zeros(500)).plot().plane_
    assert abs(np.corrcoef(plane[:, 0], means[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(plane[:, 1], means[:, 2])[0, 1]) > 0.99


def test_of_one_latent_the_second_axis_is_the_score():
    display = LatentDisplay([[0.5], [1.5]], [3.0, 7.0]).plot()
    assert display.plane_.tolist() == [[0.5, 3.0], [1.5, 7.0]]
    assert display.ax_.get_ylabel() == "anomaly score (nats)"


def test_anomalies_have_a_shape_of_their_own():
    display = LatentDisplay([[0.0, 1.0], [2.0, 3.0]], [1.0, 9.0], is_anomaly=[1, -1]).plot()
    assert display.anomaly_points_.get_offsets().tolist() == [[2, 3]]
    assert display.points_.get_offsets().tolist() == [[0, 1]]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["1 rows", "1 anomalies"]


def test_one_row_is_drawn():
    assert LatentDisplay([[0.0, 1.0, 2.0]], [1.0]).plot().plane_.tolist() == [[0.0, 0.0]]


def test_colours_end_before_the_few_scores_that_are_far_out():
    scores = np.append(np.linspace(0, 1, 200), 1e6)
    assert LatentDisplay(np.zeros((201, 2)), scores).plot().points_.get_clim()[1] <= 1


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match=r"\(rows, latents\) was expected"):
        LatentDisplay([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(DataError, match=r"scores have the shape \(1,\); \(2,\)"):
        LatentDisplay([[1.0], [2.0]], [1.0])
