import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vae_anomaly import DataError, HeatmapDisplay, ImageExplanation, SpecificationError


def explanation(pixels, reconstruction):
    n, _, height, width = pixels.shape
    nats = np.zeros((n, height, width))
    nats[:, 0, 1] = 4.0
    return ImageExplanation(np.full(n, 9.0), 7.0, nats, nats[:, None], np.zeros(n), reconstruction, pixels)


def test_image_expectation_and_nats_are_side_by_side_on_one_scale():
    display = HeatmapDisplay([[0.0, 4.0]], image=[[0, 200]], expected=[[0, 100]]).plot()
    assert len(display.axes_) == 3
    assert display.image_.get_array().tolist() == [[0, 1]]
    assert display.expected_image_.get_array().tolist() == [[0, 0.5]]
    assert display.heatmap_.get_array().tolist() == [[0, 4]]
    assert display.heatmap_.get_clim() == (0, 4)
    assert display.ax_ is display.axes_[2]


def test_on_given_axes_the_nats_are_over_the_image():
    _, ax = plt.subplots()
    display = HeatmapDisplay([[0.0, 2.0, 9.0]], image=np.zeros((1, 3)), scale=(1.0, 3.0)).plot(ax)
    assert display.axes_ == (ax,)
    assert display.heatmap_.get_alpha() == pytest.approx(np.array([[0, 0.375, 0.75]]))
    assert display.heatmap_.get_clim() == (1, 3)


def test_colours_are_drawn_and_other_channels_as_their_mean():
    colours = np.random.default_rng(0).random((2, 2, 3))
    assert HeatmapDisplay(np.zeros((2, 2)), image=colours).plot().image_.get_array().shape == (2, 2, 3)
    assert HeatmapDisplay(np.zeros((2, 2)), image=colours[..., :2]).plot().image_.get_array().shape == (2, 2)


@pytest.mark.parametrize("layout", ["grey", "channels last", "channels first", "flat"])
def test_explanations_of_every_layout_are_drawn(layout):
    n_channels = 1 if layout in ("grey", "flat") else 3
    pixels = np.random.default_rng(0).random((2, n_channels, 2, 4))
    shapes = {
        "grey": pixels[:, 0],
        "channels last": np.moveaxis(pixels, 1, 3),
        "channels first": pixels,
        "flat": pixels.reshape(2, -1),
    }
    display = explanation(pixels, shapes[layout]).plot(1)
    assert display.image == pytest.approx(np.moveaxis(pixels[1], 0, -1))
    assert np.squeeze(display.expected) == pytest.approx(np.squeeze(np.moveaxis(pixels[1], 0, -1)))
    assert display.figure_.get_suptitle() == "9.0 nats, above the threshold of 7.0"


def test_without_the_images_what_was_expected_is_drawn():
    of_images = explanation(np.zeros((1, 1, 2, 2)), np.zeros((1, 2, 2)))
    assert len(dataclasses.replace(of_images, pixels=None).plot().axes_) == 2


def test_missing_pixels_are_drawn():
    HeatmapDisplay([[np.nan, 1.0]], image=[[np.nan, 1.0]]).plot().figure_.canvas.draw()


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match=r"\(height, width\) was expected"):
        HeatmapDisplay([1.0])
    with pytest.raises(DataError, match=r"the image has the shape \(3, 3\)"):
        HeatmapDisplay(np.zeros((2, 2)), image=np.zeros((3, 3)))
    with pytest.raises(SpecificationError, match="no image 2 among 1"):
        explanation(np.zeros((1, 1, 2, 2)), np.zeros((1, 2, 2))).plot(2)
    with pytest.raises(SpecificationError, match="ExplanationDisplay draws explanations of tables"):
        HeatmapDisplay.from_explanation(object())
