import numpy as np
import pytest
from scipy.stats import binom

from vae_anomaly import CalibrationDisplay, DataError, SpecificationError
from vae_anomaly.display.calibration_display import band_of_normal_rows


def test_curve_is_the_share_of_rows_with_at_most_each_p_value():
    display = CalibrationDisplay([0.2, 0.2, 0.6, np.nan, 1.0]).plot()
    assert display.line_.get_xdata().tolist() == [0, 0.2, 0.6, 1.0, 1.0]
    assert display.line_.get_ydata().tolist() == [0, 0.5, 0.75, 1.0, 1.0]
    assert display.line_.get_drawstyle() == "steps-post"
    assert display.line_.get_label() == "4 rows"


def test_anomalies_have_a_curve_of_their_own():
    display = CalibrationDisplay.from_p_values([0.1, 0.5, 1.0], [1, 0, 0])
    assert display.line_.get_label() == "2 normal rows"
    assert display.anomaly_line_.get_xdata().tolist() == [0, 0.1, 1.0]
    assert display.anomaly_line_.get_ydata().tolist() == [0, 1, 1]
    assert display.line_.get_linestyle() != display.anomaly_line_.get_linestyle()


def test_band_is_that_of_a_binomial_share():
    at = np.array([0.1, 0.5, 0.9])
    low, high = band_of_normal_rows(at, 1000, None)
    assert low == pytest.approx(binom.ppf(0.025, 1000, at) / 1000, abs=0.002)
    assert high == pytest.approx(binom.ppf(0.975, 1000, at) / 1000, abs=0.002)


def test_band_holds_nineteen_of_twenty_curves_of_normal_rows():
    rng = np.random.default_rng(0)
    calibration, rows = rng.random((4000, 199)), rng.random((4000, 100))
    tenth = np.sort(calibration, axis=1)[:, 19]
    shares = (rows <= tenth[:, None]).mean(axis=1)
    low, high = band_of_normal_rows(np.array([0.1]), 100, 199)
    assert ((shares >= low) & (shares <= high)).mean() == pytest.approx(0.95, abs=0.02)


def test_few_calibration_rows_widen_the_band():
    at = np.array([0.5])
    narrow, wide = (np.subtract(*band_of_normal_rows(at, 1000, n)[::-1]) for n in (None, 100))
    assert wide > 2 * narrow


def test_logarithmic_scale_shows_small_p_values():
    display = CalibrationDisplay([0.01, 0.5, 1.0]).plot(scale="log")
    assert (display.ax_.get_xscale(), display.ax_.get_yscale()) == ("log", "log")
    assert display.ax_.get_xlim()[0] <= 0.01


def test_many_rows_are_drawn_with_few_points():
    assert len(CalibrationDisplay(np.linspace(0, 1, 100_000)).plot().line_.get_xdata()) <= 1002


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match="below 0 or above 1"):
        CalibrationDisplay([1.5])
    with pytest.raises(DataError, match="no p-value of a normal row"):
        CalibrationDisplay([np.nan]).plot()
    with pytest.raises(SpecificationError, match="'linear' or 'log', not 'cubic'"):
        CalibrationDisplay([0.5]).plot(scale="cubic")
