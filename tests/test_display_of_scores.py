import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline

from vae_anomaly import DataError, ScoreDisplay, SpecificationError


def heights(bars):
    return [bar.get_height() for bar in bars]


def test_bars_count_rows_between_edges():
    display = ScoreDisplay([0.5, 1.5, 1.6, 2.5]).plot(bins=[0.0, 1.0, 2.0, 3.0])
    assert heights(display.bars_) == [1, 2, 1]
    assert [bar.get_x() for bar in display.bars_] == [0, 1, 2]
    assert display.anomaly_bars_ is None
    assert display.threshold_line_ is None
    assert display.ax_.get_legend().get_texts()[0].get_text() == "4 rows"


def test_labels_have_bars_of_their_own():
    display = ScoreDisplay.from_scores([0.5, 1.5, 1.6, 2.5], [0, 0, 1, 1], bins=[0.0, 1.0, 2.0, 3.0])
    assert heights(display.bars_) == [1, 1, 0]
    assert heights(display.anomaly_bars_) == [0, 1, 1]
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["2 normal rows", "2 anomalies"]


@pytest.mark.parametrize("y", [[1, 1, -1, -1], [False, False, True, True], [0, 0, 1, 1]])
def test_labels_of_either_convention_mean_the_same(y):
    assert ScoreDisplay([1.0, 2.0, 3.0, 4.0], is_anomaly=y).is_anomaly.tolist() == [False, False, True, True]


def test_threshold_is_a_line_that_says_how_many_rows_are_above():
    display = ScoreDisplay([1.0, 2.0, 3.0, 4.0], threshold=2.0).plot()
    assert display.threshold_line_.get_xdata() == [2.0, 2.0]
    assert display.threshold_line_.get_label() == "threshold 2 nats, 2 rows above"


@pytest.mark.parametrize("threshold", [None, np.nan, np.inf])
def test_no_finite_threshold_is_no_line(threshold):
    assert ScoreDisplay([1.0, 2.0], threshold=threshold).plot().threshold_line_ is None


def test_rows_far_out_have_a_bar_of_their_own_with_their_number():
    scores = np.concatenate([np.linspace(0, 1, 101), [1e6, 2e6]])
    display = ScoreDisplay(scores).plot(bins=10)
    assert display.edges_[-1] < 10
    assert heights(display.bars_)[-1] == 2
    assert sum(heights(display.bars_)) == 103
    assert [text.get_text() for text in display.beyond_] == ["2 up to 2e+06"]
    assert display.bars_[-1].get_x() > display.edges_[-1]


def test_rows_far_below_have_a_bar_of_their_own():
    display = ScoreDisplay(np.concatenate([np.linspace(0, 1, 101), [-1e6]])).plot(bins=10)
    assert heights(display.bars_)[0] == 1
    assert [text.get_text() for text in display.beyond_] == ["1 down to -1e+06"]


@pytest.mark.parametrize(("n_normal", "n_far"), [(1000, 39), (60, 14)])
def test_number_of_rows_far_out_is_not_cut_off(n_normal, n_far):
    scores = np.concatenate([np.random.default_rng(0).normal(10, 1, n_normal), np.full(n_far, 61222.37)])
    figure = Figure(figsize=(5.6, 3.3))
    display = ScoreDisplay(scores).plot(ax=figure.subplots())
    FigureCanvasAgg(figure).draw()
    (text,) = display.beyond_
    assert text.get_window_extent().y1 <= display.ax_.get_window_extent().y1


def test_infinite_scores_are_beyond_and_missing_ones_left_out():
    display = ScoreDisplay([0.0, 0.5, 1.0, np.inf, np.nan]).plot(bins=2)
    assert sum(heights(display.bars_)) == 4
    assert [text.get_text() for text in display.beyond_] == ["1 up to inf"]


def test_equal_scores_are_drawn():
    assert sum(heights(ScoreDisplay([3.0, 3.0]).plot().bars_)) == 2


def test_counts_of_different_sizes_are_on_a_logarithmic_scale():
    many = np.concatenate([np.zeros(1000), [1.0]])
    assert ScoreDisplay(many).plot(bins=[-0.5, 0.5, 1.5]).ax_.get_yscale() == "log"
    assert ScoreDisplay([0.0, 1.0]).plot(bins=[-0.5, 0.5, 1.5]).ax_.get_yscale() == "linear"


def test_other_detectors_and_pipelines_are_drawn_with_their_thresholds():
    X = np.random.default_rng(0).normal(size=(60, 3))
    pipeline = make_pipeline(PCA(2), IsolationForest(random_state=0, n_estimators=10)).fit(X)
    display = ScoreDisplay.from_estimator(pipeline, X)
    assert display.scores == pytest.approx(-pipeline.score_samples(X))
    assert display.threshold == 0.5
    assert display.bars_.get_label() == "IsolationForest: 60 rows"


def test_styles_replace_the_defaults():
    display = ScoreDisplay([1.0, 2.0], threshold=1.5).plot(bar_kw={"facecolor": "red"}, threshold_kw={"c": "blue"})
    assert display.bars_[0].get_facecolor() == to_rgba("red")
    assert display.threshold_line_.get_color() == "blue"


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match="no score to draw"):
        ScoreDisplay([np.nan]).plot()
    with pytest.raises(DataError, match=r"scores have the shape \(2, 1\)"):
        ScoreDisplay([[1.0], [2.0]])
    with pytest.raises(SpecificationError, match="1 labels for 2 rows"):
        ScoreDisplay([1.0, 2.0], is_anomaly=[1])
