import numpy as np
import pytest

from vae_anomaly import Calibration, DataError, ThresholdDisplay
from vae_anomaly.decisions import band


def test_expected_rates_are_ranks_over_all_rows():
    display = ThresholdDisplay.from_calibration(Calibration.of("split", [[1.0, 2.0, 2.0, 5.0]]))
    assert display.line_.get_xdata().tolist() == [1.0, 2.0, 5.0]
    assert display.line_.get_ydata().tolist() == [0.8, 0.4, 0.2]
    assert display.line_.get_drawstyle() == "steps-post"
    assert display.ax_.get_yscale() == "log"


def test_bounds_are_those_of_the_band():
    display = ThresholdDisplay.from_calibration(Calibration.of("split", [np.arange(1.0, 100.0)]))
    assert display.rate_bounds[::-1][:3] == pytest.approx(band(99)[:3])
    assert display.band_ is not None


def test_rates_agree_with_the_thresholds_of_the_same_rule():
    calibration = Calibration.of("split", [np.arange(1.0, 1000.0)])
    rates = calibration.false_alarm_rates().set_index("threshold")
    assert rates["expected_rate"][990.0] == pytest.approx(0.01)
    assert (rates["rate_bound"] >= rates["expected_rate"]).all()


def test_a_calibration_of_fitted_rows_promises_nothing():
    display = ThresholdDisplay.from_calibration(Calibration.of("training", [[1.0, 2.0, 3.0, 4.0]]))
    assert display.line_.get_ydata().tolist() == [0.75, 0.5, 0.25, 0.0]
    assert display.band_ is None


def test_rows_given_have_a_curve_and_anomalies_another():
    calibration = Calibration.of("split", [[1.0, 2.0, 3.0]])
    display = ThresholdDisplay.from_calibration(calibration, threshold=2.5, scores=[1.5, 2.5, 2.5, 9.0], y=[0, 0, 0, 1])
    assert display.observed_line_.get_xdata().tolist() == [1.5, 2.5]
    assert display.observed_line_.get_ydata() == pytest.approx([2 / 3, 0])
    assert display.anomaly_line_.get_ydata().tolist() == [0]
    assert display.threshold_line_.get_xdata() == [2.5, 2.5]
    assert display.ax_.get_xlim()[0] < 2.5 < display.ax_.get_xlim()[1]


def test_scores_far_out_do_not_set_the_scale():
    scores = np.append(np.arange(1000.0), 1e6)
    drawn = ThresholdDisplay.from_calibration(Calibration.of("split", [scores]), threshold=2000.0)
    assert 2000 < drawn.ax_.get_xlim()[1] < 4000


def test_many_calibration_rows_are_drawn_with_few_points():
    calibration = Calibration.of("split", [np.arange(50_000.0)])
    assert len(calibration.false_alarm_rates()) < 500


def test_infinite_scores_are_left_out_of_the_figure():
    display = ThresholdDisplay.from_calibration(Calibration.of("split", [[1.0, 2.0, np.inf]]), threshold=np.inf)
    assert display.line_.get_xdata().tolist() == [1.0, 2.0]
    assert display.threshold_line_ is None


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match="not ascending"):
        ThresholdDisplay([2.0, 1.0], [0.1, 0.2])
    with pytest.raises(DataError, match=r"expected rates have the shape \(1,\); \(2,\) was expected"):
        ThresholdDisplay([1.0, 2.0], [0.1])
