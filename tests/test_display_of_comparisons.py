import pandas as pd
import pytest

from vae_anomaly import ComparisonDisplay, DataError, SpecificationError


def display(**changed):
    given = {"auroc": [0.8, 0.9], "reference": "ours", "lower": [0.0, 0.05], "upper": [0.0, 0.15]}
    return ComparisonDisplay(["ours", "other"], **{**given, **changed}).plot()


def test_best_method_is_on_top():
    drawn = display()
    assert drawn.methods_ == ("other", "ours")
    assert drawn.points_.get_xdata().tolist() == [0.9, 0.8]
    assert drawn.points_.get_ydata().tolist() == [0, 1]
    assert drawn.ax_.get_ylim() == (1.6, -0.6)


def test_intervals_are_those_of_the_difference_from_the_reference():
    drawn = display()
    (bars,) = drawn.intervals_.lines[2]
    ((start, end),) = bars.get_segments()
    assert start == pytest.approx([0.85, 0])
    assert end == pytest.approx([0.95, 0])
    assert drawn.reference_line_.get_xdata() == [0.8, 0.8]


def test_splits_are_drawn_below_their_means():
    drawn = display(by_split=[[0.7, 0.9], [0.88, 0.92]])
    assert drawn.split_points_.get_xdata().tolist() == [0.88, 0.92, 0.7, 0.9]
    assert drawn.split_points_.get_ydata().tolist() == [0.22, 0.22, 1.22, 1.22]


class OfTwoSettings:
    methods = ("a", "b")
    settings = ("clean", "all")
    summary = pd.DataFrame(
        {
            "setting": ["clean", "clean", "all", "all"],
            "method": ["b", "a", "a", "b"],
            "auroc": [0.9, 0.8, 0.7, 0.6],
            "lower": [0.0, 0.0, 0.0, -0.3],
            "upper": [0.2, 0.0, 0.0, 0.1],
        }
    )
    measures = pd.DataFrame(
        {
            "setting": ["clean"] * 4 + ["all"] * 2,
            "method": ["a", "b", "a", "b", "a", "b"],
            "split": [0, 0, 1, 1, 0, 0],
            "auroc": [0.75, 0.85, 0.85, 0.95, 0.7, 0.6],
        }
    )


def test_a_setting_of_a_comparison_is_drawn():
    drawn = ComparisonDisplay.from_comparison(OfTwoSettings())
    assert drawn.methods_ == ("b", "a")
    assert drawn.by_split.tolist() == [[0.85, 0.95], [0.75, 0.85]]
    assert drawn.ax_.get_title() == "setting: clean"
    assert ComparisonDisplay.from_comparison(OfTwoSettings(), "all").auroc.tolist() == [0.7, 0.6]


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(SpecificationError, match="reference='x' is none of 'ours', 'other'"):
        display(reference="x")
    with pytest.raises(DataError, match=r"\(2, splits\) was expected"):
        display(by_split=[0.1, 0.2])
    with pytest.raises(SpecificationError, match="setting='new' is none of 'clean', 'all'"):
        ComparisonDisplay.from_comparison(OfTwoSettings(), "new")
