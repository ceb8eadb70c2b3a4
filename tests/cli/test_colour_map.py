"""The colours of heat maps."""

import numpy as np
import pytest

from vae_anomaly_cli.render.colour_map import N_COLOURS, heat_colours


def test_hotter_colours_are_lighter():
    # Luma of ITU-R BT.601: what a grey print shows.
    luma = heat_colours() @ [0.299, 0.587, 0.114]
    assert luma.shape == (N_COLOURS,)
    assert (np.diff(luma) >= 0).all()
    assert luma[-1] > luma[0] + 100


def test_every_colour_is_one_that_no_grey_image_holds():
    assert np.ptp(heat_colours(), axis=1).min() > 80


def test_colours_are_those_of_inferno():
    colormaps = pytest.importorskip("matplotlib").colormaps
    np.testing.assert_array_equal(heat_colours(), 255 * colormaps["inferno"](np.linspace(0.30, 0.88, 256))[:, :3])
