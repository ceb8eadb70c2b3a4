"""Values of the library show themselves in short, and in a notebook as a table in which everything is escaped."""

import pickle
import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import sklearn

from vae_anomaly import PatchDetector, VAEDetector, compare
from vae_anomaly.columns import Columns
from vae_anomaly.display import html_table

MAX_CHARACTERS = 1_000
EVIL = "<script>alert('x & y')</script>"
N_COLUMNS = 30


def table(n=400):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({EVIL: rng.choice([f"{EVIL}{level}" for level in range(40)], n)})
    for place in range(N_COLUMNS - 3):
        frame[f"column_{place}"] = rng.normal(size=n)
    frame["when"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 2000, n), "h")
    frame["<b>count</b>"] = rng.poisson(3, n)
    return frame.set_index(pd.Index([f"<i>{row}</i>" for row in range(n)]))


@pytest.fixture(scope="module")
def detector():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = VAEDetector(max_iter=60, n_estimators=2, latent_dim=2).fit(table())
        return detector.learn(changed(), [1] * 6 + [0] * 34)


def changed():
    frame = table().head(40).copy()
    frame.iloc[:6, 0] = EVIL
    frame.iloc[:6, 1] = 50.0
    return frame


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(100, 5, (80, 8, 8))


@pytest.fixture(scope="module")
def of_images(images):
    return VAEDetector(max_iter=20, early_stopping=False).fit(images)


# What people get of a detector: each with a short text, and those with a table in a notebook.
TABLES = {
    "columns_": lambda detector: detector.columns_,
    "fit_report_": lambda detector: detector.fit_report_,
    "history_": lambda detector: detector.history_,
    "threshold_": lambda detector: detector.threshold_,
    "calibration_": lambda detector: detector.calibration_,
    "learned_": lambda detector: detector.learned_,
    "explain": lambda detector: detector.explain(changed().head(12)),
    "path_to_normal": lambda detector: detector.path_to_normal(changed().head(3)),
    "patterns": lambda detector: detector.patterns(changed()),
    "sensitivity": lambda detector: detector.sensitivity(table().head(60)),
    "check_drift": lambda detector: detector.check_drift(changed()),
}
TEXTS = {
    "detector": lambda detector: detector,
    "column": lambda detector: detector.columns_[0],
    "reason": lambda detector: detector.explain(changed().head(1)).reasons()[0][0],
    "model_": lambda detector: detector.model_,
    "encoder_": lambda detector: detector.encoder_,
    "decisions_": lambda detector: detector.decisions_,
    "suspects": lambda detector: detector.calibration_.suspects,
    "pooled": lambda detector: detector.calibration_.pooled,
    "answers_": lambda detector: detector.answers_,
    "row_score_": lambda detector: detector.row_score_,
    "column_roles_": lambda detector: detector.column_roles_,
    "elbo_terms": lambda detector: detector.elbo_terms(changed()),
    "compared": lambda detector: detector.compared(changed()),
    "stream": lambda detector: detector.check_drift(changed()).stream,
    "pattern": lambda detector: detector.patterns(changed()).patterns[0],
}


class Tags(HTMLParser):
    """Which tags a page has, each closed, and what it says."""

    def __init__(self):
        super().__init__()
        self.seen, self.open, self.text = set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def checked_html(value):
    tags = Tags()
    tags.feed(value._repr_html_())
    assert tags.open == []
    assert tags.seen <= {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert not re.search(r"color|style=|background", value._repr_html_().split("<table")[1].split(">")[0])
    return tags.text


@pytest.mark.parametrize("name", [*TABLES, *TEXTS])
def test_text_is_short_and_says_what_it_is(detector, name):
    value = {**TABLES, **TEXTS}[name](detector)
    text = repr(value)
    assert len(text) <= MAX_CHARACTERS
    assert text.startswith(f"{type(value).__name__}(")
    assert text.endswith(")")
    assert "array(" not in text


@pytest.mark.parametrize("name", TABLES)
def test_notebook_shows_a_table_with_everything_escaped(detector, name):
    value = TABLES[name](detector)
    assert checked_html(value)
    assert len(value._repr_html_()) < 20_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("columns_", EVIL),
        ("explain", "<i>0</i>"),
        ("explain", f"{EVIL} is"),
        ("path_to_normal", "<i>0</i>"),
        ("patterns", "<i>"),
        ("sensitivity", EVIL),
        ("check_drift", EVIL),
    ],
)
def test_names_and_cells_are_shown_as_they_are(detector, name, text):
    assert text in checked_html(TABLES[name](detector))


def test_fitted_detector_shows_what_it_learned_below_its_diagram(detector):
    bundle = detector._repr_mimebundle_()
    assert bundle["text/plain"] == repr(detector)
    diagram, _, shown = bundle["text/html"].rpartition("<div><p><strong>")
    assert "sk-container" in diagram
    assert "<script>alert" not in shown
    for name in ("columns_", "fit_report_", "threshold_", "calibration_"):
        assert f"<td>{name}</td>" in shown
    unfitted = VAEDetector()._repr_mimebundle_()["text/html"]
    assert "columns_" not in unfitted


def test_in_plain_display_there_is_no_html(detector):
    with sklearn.config_context(display="text"):
        assert "text/html" not in detector._repr_mimebundle_()


def test_comparison_shows_its_methods():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(120, 2)), rng.normal(size=(12, 2)) + 5])
    from sklearn.ensemble import IsolationForest

    detectors = {EVIL: IsolationForest(n_estimators=5, random_state=0), "b": IsolationForest(n_estimators=6)}
    found = compare(X, np.arange(132) >= 120, detectors=detectors)
    assert len(repr(found)) <= MAX_CHARACTERS
    assert EVIL in checked_html(found)


def test_explanation_of_images_shows_the_pixels(of_images, images):
    shown = images[:3].copy()
    shown[1, 2, 5] = 250
    explanation = of_images.explain(shown)
    assert repr(explanation).startswith("ImageExplanation(3 images, 8x8 pixels, ")
    assert "(2, 5)" in checked_html(explanation)
    assert repr(of_images.encoder_) == "ImageEncoder(8x8 pixels, 1 channel)"
    for value in (of_images.columns_, of_images.model_, of_images.fit_report_, of_images.calibration_):
        assert len(repr(value)) <= MAX_CHARACTERS


def test_parts_of_a_patch_detector_are_short(images):
    patches = PatchDetector(max_iter=10).fit(images[:20])
    for value in (patches, patches.encoder_, patches.explain(images[:2]), patches.decisions_, patches.models_[0]):
        assert len(repr(value)) <= MAX_CHARACTERS


def test_columns_stay_a_tuple(detector):
    columns = detector.columns_
    plain = detector.model_.encoder.columns
    assert isinstance(columns, tuple)
    assert columns == plain
    assert hash(columns) == hash(plain)
    assert columns[0] is plain[0]
    assert list(columns[-2:]) == list(plain[-2:])
    assert pickle.loads(pickle.dumps(columns)) == plain
    assert len(columns) == N_COLUMNS
    assert columns.frame()["column"].tolist() == [column.name for column in plain]
    assert repr(Columns()) == "Columns(0)"
    title = columns._repr_html_().split("</strong>")[0]
    assert title.endswith("Columns(30: 27 continuous, 2 categorical, 1 datetime)")


def test_table_says_how_many_rows_it_leaves_out():
    text = html_table("title", pd.DataFrame({"n": range(100)}))
    assert text.count("<tr>") == 31
    assert text.endswith("<p>and 70 more</p></div>")


def test_duplicate_and_missing_names_are_shown():
    frame = pd.DataFrame([[1.0, None, np.nan]], columns=["a", "a", None])
    assert html_table("", frame).count("<td>") == 3
