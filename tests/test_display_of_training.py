import numpy as np
import pytest

from vae_anomaly import DataError, TrainingDisplay
from vae_anomaly.model import History


def test_lines_are_those_of_the_history():
    history = History([20, 40, 60], [-9.0, -5.0, -4.0], [0.5, 1.5, 1.0], [-8.0, -6.0, -7.0])
    display = TrainingDisplay.from_history(history)
    assert display.elbo_line_.get_ydata().tolist() == [-9, -5, -4]
    assert display.validation_line_.get_ydata().tolist() == [-8, -6, -7]
    assert display.kl_line_.get_ydata().tolist() == [0.5, 1.5, 1.0]
    assert display.kl_line_.axes is display.kl_ax_
    assert display.best_marker_.get_xdata().tolist() == [40]
    assert len({line.get_linestyle() for line in (display.elbo_line_, display.validation_line_, display.kl_line_)}) == 3
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["ELBO of mini-batches", "ELBO of held-out rows", "best: -6.00 nats", "KL"]


@pytest.mark.parametrize("held_out", [None, []])
def test_without_held_out_rows_there_is_no_line_of_theirs(held_out):
    display = TrainingDisplay([1, 2], [-2.0, -1.0], [0.0, 0.1], held_out).plot()
    assert display.validation_line_ is None
    assert display.best_marker_ is None


def test_first_checks_do_not_set_the_scale():
    elbo = np.concatenate([[-1e6], np.linspace(-10, -5, 19)])
    display = TrainingDisplay(np.arange(20), elbo, np.ones(20)).plot()
    low, high = display.ax_.get_ylim()
    assert -12 < low < high < 0


def test_losses_that_are_not_finite_are_drawn_around():
    display = TrainingDisplay([1, 2, 3], [-2.0, np.nan, -1.0], [0.1] * 3, [np.nan, -3.0, -2.0]).plot()
    assert display.best_marker_.get_xdata().tolist() == [3]


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match="no check to draw"):
        TrainingDisplay([], [], [])
    with pytest.raises(DataError, match="ELBOs have the shape"):
        TrainingDisplay([1, 2], [0.0], [0.0, 0.0])
