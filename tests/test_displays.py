"""What every figure keeps to: scikit-learn's Display convention."""

import inspect
import io
import re
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import vae_anomaly
from vae_anomaly import (
    CalibrationDisplay,
    ComparisonDisplay,
    ExplanationDisplay,
    HeatmapDisplay,
    LatentDisplay,
    ScoreDisplay,
    SpecificationError,
    ThresholdDisplay,
    TrainingDisplay,
    VAEDetector,
    display,
)
from vae_anomaly.errors import NotAvailable

# Of each figure one that was not drawn yet.
MADE = {
    CalibrationDisplay: lambda: CalibrationDisplay([0.2, 0.5, 1.0], is_anomaly=[1, 0, 0]),
    ComparisonDisplay: lambda: ComparisonDisplay(
        ["a", "b"], [0.5, 0.6], reference="a", lower=[0, 0], upper=[0, 0.2], by_split=[[0.5], [0.6]]
    ),
    ExplanationDisplay: lambda: ExplanationDisplay(["a", "b"], [2.0, -1.0], typical=1.0, threshold=1.5),
    HeatmapDisplay: lambda: HeatmapDisplay(np.eye(3), image=np.eye(3), expected=np.zeros((3, 3)), title="title"),
    LatentDisplay: lambda: LatentDisplay(np.eye(3), [1.0, 2.0, 3.0], is_anomaly=[0, 0, 1]),
    ScoreDisplay: lambda: ScoreDisplay([1.0, 2.0, 99.0], threshold=1.5, is_anomaly=[0, 0, 1]),
    ThresholdDisplay: lambda: ThresholdDisplay(
        [1.0, 2.0], [0.5, 0.1], rate_bounds=[0.6, 0.2], threshold=1.5, scores=[1.0, 3.0], is_anomaly=[0, 1]
    ),
    TrainingDisplay: lambda: TrainingDisplay([1, 2], [-3.0, -2.0], [0.1, 0.2], [-3.0, -2.5]),
}
# A comparison is of several estimators.
WITHOUT_ESTIMATOR = {ComparisonDisplay}
# Images alone.
OF_TABLES = [kind for kind in MADE if kind not in WITHOUT_ESTIMATOR | {HeatmapDisplay}]
EVERY = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(240, 3))


@pytest.fixture(scope="module")
def fitted(rows):
    return VAEDetector(max_iter=60, early_stopping=False, n_estimators=2).fit(rows)


@pytest.fixture(scope="module")
def piped(rows):
    detector = VAEDetector(max_iter=60, early_stopping=False, n_estimators=2)
    return make_pipeline(StandardScaler(), detector).fit(rows * 100)


def test_every_figure_is_here():
    named = {getattr(vae_anomaly, name) for name in vae_anomaly.__all__ if name.endswith("Display")}
    assert named == set(MADE) == {getattr(display, name) for name in display.__all__ if name.endswith("Display")}


@EVERY
def test_plot_returns_the_display_with_what_was_drawn(kind):
    made = MADE[kind]()
    assert not any(name.endswith("_") and not name.startswith("_") for name in vars(made))
    assert made.plot() is made
    assert made.ax_.figure is made.figure_
    documented = inspect.getdoc(kind).split("Attributes\n")[1].split("Examples\n")[0]
    drawn = {name for name in vars(made) if name.endswith("_")}
    assert {name for name in drawn if name not in documented} == set()
    assert {name for name in kind.__annotations__ if name.endswith("_")} == drawn


@EVERY
def test_given_axes_are_used_and_no_figure_is_made(kind):
    figure, ax = plt.subplots()
    made = MADE[kind]().plot(ax=ax)
    assert made.ax_ is ax
    assert made.figure_ is figure
    assert plt.get_fignums() == [figure.number]


@EVERY
def test_settings_of_matplotlib_stay_as_they_are(kind):
    before = dict(mpl.rcParams)
    MADE[kind]().plot()
    assert dict(mpl.rcParams) == before


@EVERY
def test_figures_take_their_colours_from_the_style(kind):
    """A report can put others in their place: no colour is written into the code."""
    sentinels = {
        "text.color": "#010101",
        "axes.labelcolor": "#010101",
        "axes.titlecolor": "#010101",
        "axes.edgecolor": "#020202",
        "xtick.color": "#020202",
        "ytick.color": "#020202",
        "hatch.color": "#020202",
        "legend.edgecolor": "#020202",
        "figure.facecolor": "#030303",
        "axes.facecolor": "#030303",
        "axes.prop_cycle": mpl.cycler(color=["#040404", "#050505", "#060606"]),
        "svg.fonttype": "none",
    }
    with mpl.rc_context(sentinels):
        stream = io.StringIO()
        made = MADE[kind]().plot()
        made.figure_.savefig(stream, format="svg")
    known = {"#010101", "#020202", "#030303", "#040404", "#050505", "#060606"}
    images = {HeatmapDisplay, LatentDisplay}
    colours = set(re.findall(r"#[0-9a-f]{6}", stream.getvalue()))
    assert colours <= known or kind in images


@EVERY
def test_figure_of_many_rows_is_small(kind, rows):
    many = np.random.default_rng(0).random(100_000)
    made = {
        CalibrationDisplay: lambda: CalibrationDisplay(many),
        ScoreDisplay: lambda: ScoreDisplay(many),
        ThresholdDisplay: lambda: ThresholdDisplay(np.sort(many)[::200], np.linspace(1, 0.001, 500), scores=many),
    }.get(kind, MADE[kind])()
    stream = io.BytesIO()
    made.plot().figure_.savefig(stream, format="svg")
    assert len(stream.getvalue()) < 150_000


@EVERY
def test_parameters_are_those_of_the_convention(kind):
    plot = inspect.signature(kind.plot).parameters
    assert list(plot)[:2] == ["self", "ax"]
    if kind not in WITHOUT_ESTIMATOR:
        made = inspect.signature(kind.from_estimator).parameters
        assert list(made)[:3] == ["estimator", "X", "y"]
        assert made["ax"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("kind", OF_TABLES, ids=lambda kind: kind.__name__)
def test_estimators_pipelines_and_searches_are_drawn(kind, rows, fitted, piped):
    search = GridSearchCV(fitted, {"latent_dim": [1]})
    search.best_estimator_ = fitted
    search.refit, search.multimetric_ = True, False
    own = kind.from_estimator(fitted, rows)
    assert own.ax_.figure is own.figure_
    kind.from_estimator(search, rows)
    y = np.arange(len(rows)) % 7 == 0
    figure, ax = plt.subplots()
    assert kind.from_estimator(piped, rows * 100, y, ax=ax).figure_ is figure


def test_pipelines_hand_their_rows_through_their_steps(rows, piped):
    X = rows * 100
    detector, scaled = piped[-1], piped[:-1].transform(X)
    assert ScoreDisplay.from_estimator(piped, X).scores == pytest.approx(detector.anomaly_score(scaled))
    assert CalibrationDisplay.from_estimator(piped, X).p_values == pytest.approx(detector.p_values(scaled))
    assert ThresholdDisplay.from_estimator(piped, X).scores == pytest.approx(detector.anomaly_score(scaled))
    assert LatentDisplay.from_estimator(piped, X).scores == pytest.approx(detector.anomaly_score(scaled))
    explained = ExplanationDisplay.from_estimator(piped, X, row=3)
    assert explained.score == pytest.approx(detector.anomaly_score(scaled[3:4])[0])


def test_threshold_is_that_of_the_detector(rows, fitted):
    assert ScoreDisplay.from_estimator(fitted, rows).threshold == fitted.threshold_.score
    assert ThresholdDisplay.from_estimator(fitted).threshold == fitted.threshold_.score
    explained = ExplanationDisplay.from_estimator(fitted, rows, row=-1)
    assert explained.threshold == pytest.approx(fitted.threshold_.score)


def test_latents_are_those_of_one_member(rows, fitted):
    n_latents = fitted.vae_.latent_dim
    drawn = LatentDisplay.from_estimator(fitted, rows, member=1)
    assert drawn.means == pytest.approx(fitted.transform(rows)[:, n_latents:])
    assert drawn.is_anomaly.tolist() == (fitted.predict(rows) == -1).tolist()
    with pytest.raises(SpecificationError, match="no member 2 among 2"):
        LatentDisplay.from_estimator(fitted, rows, member=2)


def test_what_has_no_latents_or_rows_says_so(rows, fitted):
    with pytest.raises(NotAvailable, match="GridSearchCV has no latent space"):
        LatentDisplay.from_estimator(GridSearchCV(object(), {}), rows)
    with pytest.raises(SpecificationError, match="no row 240 among 240"):
        ExplanationDisplay.from_estimator(fitted, rows, row=240)


def test_images_are_drawn_in_the_colours_of_the_model():
    images = np.random.default_rng(0).normal(100, 5, (60, 4, 4))
    images[:, 1:3, 1:3] += 50
    detector = VAEDetector(max_iter=30, early_stopping=False).fit(images)
    drawn = HeatmapDisplay.from_estimator(detector, images, row=2)
    assert drawn.heatmap_.get_clim() == pytest.approx(detector.map_scale_)
    assert np.squeeze(drawn.image) == pytest.approx(images[2])
    assert drawn.nats == pytest.approx(detector.explain(images[2:3]).excess[0])


def test_without_matplotlib_the_command_that_installs_it_is_said():
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.pyplot'] = None\n"
        "from vae_anomaly import NotInstalled, ScoreDisplay\n"
        "try: ScoreDisplay([1.0]).plot()\n"
        "except NotInstalled as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == ('matplotlib is not installed; install it with: python -m pip install "vae-anomaly[plot]"\n')


def test_figures_load_matplotlib_when_they_are_drawn():
    code = "import sys, vae_anomaly.display; print('matplotlib' in sys.modules, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False False\n"


@pytest.mark.parametrize("kind", [CalibrationDisplay, ScoreDisplay, ThresholdDisplay])
def test_dollar_signs_in_the_name_of_a_detector_are_no_mathematics(kind):
    figure = MADE[kind]().plot(name="$x^{$").figure_
    figure.savefig(io.BytesIO(), format="svg")
    plt.close(figure)
