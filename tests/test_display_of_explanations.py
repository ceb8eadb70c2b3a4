import numpy as np
import pytest
from matplotlib.colors import to_rgba

from vae_anomaly import DataError, ExplanationDisplay, SpecificationError


def test_bars_lead_from_the_typical_score_to_that_of_the_row():
    display = ExplanationDisplay(["a", "b", "c"], [1.0, 5.0, -2.0], typical=10.0).plot()
    assert display.steps_ == (("b", 5.0), ("c", -2.0), ("a", 1.0))
    assert [bar.get_x() for bar in display.bars_] == [10, 15, 13]
    assert [bar.get_width() for bar in display.bars_] == [5, -2, 1]
    assert display.score == 14
    assert display.typical_line_.get_xdata() == [10, 10]
    assert display.score_line_.get_xdata() == [14, 14]
    assert [text.get_text() for text in display.texts_] == ["+5.0", "-2.0", "+1.0"]
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["b", "c", "a"]


def test_what_takes_nats_away_is_told_by_colour_and_by_hatching():
    up, down = ExplanationDisplay(["a", "b"], [2.0, -1.0], typical=0.0).plot().bars_
    assert (up.get_facecolor(), up.get_hatch()) == (to_rgba("C1"), "")
    assert (down.get_facecolor(), down.get_hatch()) == (to_rgba("C0"), "////")


def test_small_parts_are_one_bar():
    nats = np.append(np.arange(20.0, 0.0, -1.0), 0.01)
    display = ExplanationDisplay([f"c{i}" for i in range(21)], nats, typical=0.0).plot(max_steps=4)
    assert display.steps_ == (("c0", 20.0), ("c1", 19.0), ("c2", 18.0), ("18 other parts", pytest.approx(153.01)))


def test_nothing_but_small_parts_is_drawn():
    display = ExplanationDisplay(["a", "b"], [0.001, 0.0], typical=1.0, threshold=np.nan).plot()
    assert display.steps_[0] == ("a", 0.001)
    assert display.threshold_line_ is None


def test_names_with_dollar_signs_are_no_mathematics():
    display = ExplanationDisplay(["price $ in $", r"$\frac{$"], [2.0, 1.0], typical=0.0, title=r"row $\x$").plot()
    display.figure_.canvas.draw()
    assert display.ax_.get_yticklabels()[0].get_text() == "price $ in $"


def test_threshold_is_within_the_axes():
    display = ExplanationDisplay(["a"], [2.0], typical=0.0, threshold=50.0).plot()
    assert display.ax_.get_xlim()[1] > 50
    assert display.threshold_line_.get_label() == "threshold"


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match="no parts"):
        ExplanationDisplay([], [], typical=0.0)
    with pytest.raises(DataError, match="not finite"):
        ExplanationDisplay(["a"], [np.nan], typical=0.0)
    with pytest.raises(SpecificationError, match="max_steps is 2 or more"):
        ExplanationDisplay(["a"], [1.0], typical=0.0).plot(max_steps=1)
    with pytest.raises(SpecificationError, match="HeatmapDisplay draws explanations of images"):
        ExplanationDisplay.from_explanation(object())
