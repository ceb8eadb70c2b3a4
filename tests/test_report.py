"""Reports: what is on the page by hand-computed numbers, nothing unescaped, and nothing raw where that is left out."""

import dataclasses
import html
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from vae_anomaly import NotInstalled, PatchDetector, SpecificationError, VAEDetector
from vae_anomaly.decisions import Calibration, ColumnSample, Decisions, FalseAlarmRate, Selection
from vae_anomaly.decisions.evaluation import average_precision
from vae_anomaly.explain import Patterns
from vae_anomaly.report import Contents, Reading, Report, ReportBuilder
from vae_anomaly.report.blocks import Charts, Facts, Grid, RankedRows, Section
from vae_anomaly.report.builder import bars_of, compared_columns
from vae_anomaly.report.contents import ColumnView, Scored
from vae_anomaly.report.document import fit_text
from vae_anomaly.report.sections import SECTIONS, _precision_recall, _roc, roc_points

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

HOSTILE = "</script><img src=x onerror=alert(1)>"
QUOTES = "\"quoted' & <b>bold\u202eback\x00"


class Decided:
    """A detector of which only the decisions are asked."""

    def __init__(self, decisions: Decisions) -> None:
        self.decisions_ = decisions


def decided(n_calibration: int = 999) -> Decided:
    calibration = Calibration.of("split", [np.arange(1.0, n_calibration + 1)])
    return Decided(Decisions(FalseAlarmRate(0.01).find(calibration), calibration, (), 0.0))


def built(**options: Any) -> Report:
    """Five rows in two batches: scores 1, 999, NaN, 995 and 2, of which two are above 990."""
    builder = ReportBuilder(decided(), title="Five rows", **options)
    builder.add([1.0, 999.0, np.nan], [0.9, 0.002, np.nan], [False, True, False])
    builder.add([995.0, 2.0], [0.006, 0.8], [True, False])
    builder.label(np.array([False, True, True, False, False]))
    return builder.finish(Reading("five.csv", "orders.vae", ("row 3: none",), ("a warning",)), made="today")


def facts_of(section: Section | None) -> dict[str, str]:
    assert section is not None
    (facts,) = (block for block in section.blocks if isinstance(block, Facts))
    return {fact.name: fact.value for fact in facts.facts}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            HOSTILE: rng.normal(size=200),
            QUOTES: rng.choice([HOSTILE, QUOTES], 200),
            "paid": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, 200), "D"),
        },
        index=[f"<i>{row}</i>" for row in range(200)],
    )
    frame.iloc[:3, 0] += 20
    return frame


@pytest.fixture(scope="module")
def detector(rows: pd.DataFrame) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=40, hidden_layer_sizes=(8,), random_state=0).fit(rows.iloc[3:])


def test_builder_ranks_and_counts_over_batches() -> None:
    contents = built().contents
    assert contents.scored is not None
    assert (len(contents.scored), contents.scored.n_scored, contents.scored.n_flagged) == (5, 4, 2)
    facts = facts_of(SECTIONS["summary"](contents))
    # 1 % of 4 normal rows.
    assert facts == {
        "rows scored": "4",
        "flagged": "2",
        "threshold": "990.00 nats",
        "false alarms expected": "0.04",
    }


def test_rows_to_explain_are_the_highest_scores_and_alerts_stay_in_their_order() -> None:
    builder = ReportBuilder(decided(), title="", top=2)
    builder.add([5.0, np.nan, 9.0, 7.0], [0.5, np.nan, 0.1, 0.2], [False, False, True, True])
    assert builder.top_rows().tolist() == [2, 3]
    assert builder.alerts().tolist() == [2, 3]


def test_measures_of_labels_are_those_by_hand() -> None:
    section = SECTIONS["labels"](built().contents)
    assert section is not None
    (grid,) = (block for block in section.blocks if isinstance(block, Grid))
    values = {str(line.cells[0]): line.cells[1] for line in grid.lines}
    # Of the four rows with a score one is an anomaly, and it has the highest.
    assert values["AUROC"] == values["average precision"] == values["recall at the threshold"] == "1.000"
    assert values["precision at 2"] == "0.500"
    assert values["false-alarm rate"] == "0.333"


def test_average_precision_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(1)
    labels, scores = rng.random(300) < 0.2, rng.integers(0, 40, 300).astype(float)
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_roc_curve_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(2)
    labels, scores = rng.random(300) < 0.2, rng.integers(0, 40, 300).astype(float)
    expected = roc_curve(labels, scores, drop_intermediate=False)
    for found, known in zip(roc_points(labels, scores), expected, strict=False):
        np.testing.assert_allclose(found, known)


def test_curves_of_few_anomalies_among_many_rows_are_those_of_all_thresholds() -> None:
    scores = np.arange(100_000.0)
    # The 50 highest but one, which is normal.
    is_anomaly = (scores >= 99_949) & (scores != 99_989)
    axes = Figure().subplots(1, 2)
    _precision_recall([("", is_anomaly, scores)], axes[0])
    recalls, precisions = axes[0].lines[0].get_data()
    drawn = float(np.sum(np.diff(recalls) * precisions[1:]))
    assert drawn == pytest.approx(average_precision(is_anomaly, scores), abs=1e-9)
    _roc([("", is_anomaly, scores)], axes[1])
    assert float(np.trapezoid(*axes[1].lines[0].get_data()[::-1])) == pytest.approx(1.0, abs=1e-4)
    assert max(len(line.get_xdata()) for ax in axes for line in ax.lines) < 1_000


def test_measures_are_those_of_the_rows_that_a_selection_flags() -> None:
    contents = built().contents
    assert contents.scored is not None
    selection = Selection(0.002, 1, 4, 0.1, "benjamini_hochberg", "split", 999, 0.001, is_audited=False)
    scored = dataclasses.replace(contents.scored, flags=np.array([False, True, False, False, False]))
    section = SECTIONS["labels"](dataclasses.replace(contents, scored=scored, selection=selection))
    assert section is not None
    (grid,) = (block for block in section.blocks if isinstance(block, Grid))
    values = {str(line.cells[0]): line.cells[1] for line in grid.lines}
    # The normal row above the threshold is not selected.
    assert values["recall of the selected"] == values["precision at 1"] == "1.000"
    assert values["false-alarm rate"] == "0.000"


def test_few_numbers_beyond_the_training_are_a_difference() -> None:
    views = (ColumnView("a", "continuous", "", is_used=True),)
    before = (ColumnSample.of_values("a", np.arange(1000.0)),)
    now = (ColumnSample.of_values("a", np.append(np.arange(970.0), np.full(30, 77777.0))),)
    (shown,) = compared_columns(views, before, now, None, redact=False)
    assert shown.p_value < 1e-6
    assert shown.change == "above 999, the end of the training, in 3 % of the cells"
    (redacted,) = compared_columns(views, before, now, None, redact=True)
    assert redacted.change == "above all of the training in 3 % of the cells"


@pytest.mark.parametrize(("row_score", "is_elbo"), [("elbo", True), ("reconstruction", False)])
def test_score_that_is_no_bound_is_not_called_one(row_score: Any, is_elbo: bool) -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    options: dict[str, Any] = {"n_estimators": 1, "max_iter": 5, "hidden_layer_sizes": (4,), "calibration": None}
    page = VAEDetector(row_score=row_score, **options).fit(X).report(X[:5]).to_html()
    assert ("negative evidence lower bound" in page) == is_elbo
    assert ("The higher the score, the more anomalous the row." in page) != is_elbo


def test_columns_are_compared_with_the_training() -> None:
    views = (ColumnView("a", "continuous", "", is_used=True), ColumnView("b", "categorical", "", is_used=True))
    before = (
        ColumnSample.of_values("a", np.append(np.arange(99.0), np.nan)),
        ColumnSample.of_levels("b", ["x"] * 75 + ["y"] * 25),
    )
    now = (
        ColumnSample.of_values("a", np.arange(200.0, 300.0)),
        ColumnSample.of_levels("b", ["x"] * 25 + ["z"] * 75),
    )
    nats = pd.DataFrame({"nats_before": [1.0], "nats_now": [9.0]}, index=["a"])
    a, b = compared_columns(views, before, now, nats, redact=False)
    assert (a.missing_before, a.missing_now, a.nats_before, a.nats_now) == (0.01, 0.0, 1.0, 9.0)
    assert a.change == "median 49 → 249.5"
    assert a.p_value < 1e-9
    assert "'z': 0 % → 75 %; 75 cells with levels not seen before" in b.change
    assert b.bars is not None
    assert dict(zip(b.bars.labels, zip(b.bars.before, b.bars.now, strict=True), strict=True)) == {
        "x": (0.75, 0.25),
        "z": (0.0, 0.75),
        "y": (0.25, 0.0),
    }
    assert a.bars is not None
    # All new values are beyond the training, in the last bin.
    assert a.bars.now[-1] == 1.0


def test_bars_of_what_is_always_the_same_are_left_out() -> None:
    same = ColumnSample.of_values("a", np.full(9, 3.0))
    assert bars_of(same, same, redact=False) is None


@pytest.mark.parametrize("name", SECTIONS)
def test_section_has_the_name_of_its_entry_or_is_left_out(name: str, detector: VAEDetector, rows: pd.DataFrame) -> None:
    assert SECTIONS[name](Contents("nothing")) is None
    contents = detector.report(rows, rows.index.isin(rows.index[:3])).contents
    found = SECTIONS[name](contents)
    assert found is None or (found.name == name and found.title and found.blocks)
    if name not in ("comparison", "images"):
        assert found is not None
    again = SECTIONS[name](dataclasses.replace(contents, redacted=True))
    assert (again is None) == (found is None)


def test_page_says_how_many_rows_it_leaves_out(detector: VAEDetector, rows: pd.DataFrame) -> None:
    report = detector.report(rows, top=7)
    section = SECTIONS["rows"](report.contents)
    assert section is not None
    (table,) = (block for block in section.blocks if isinstance(block, RankedRows))
    assert [row.rank for row in table.rows] == list(range(1, 8))
    assert {row.name for row in table.rows[:3]} == {f"<i>{row}</i>" for row in range(3)}
    assert table.rows[0].reasons[0].subject == HOSTILE
    assert "The 7 most anomalous of 200 scored rows are shown" in report.to_html()


def test_scores_are_those_of_the_detector(detector: VAEDetector, rows: pd.DataFrame) -> None:
    contents = detector.report(rows).contents
    assert contents.scored is not None
    decisions = detector.decide(rows)
    np.testing.assert_array_equal(contents.scored.scores, decisions["anomaly_score"])
    np.testing.assert_array_equal(contents.scored.p_values, decisions["p_value"])
    explained = detector.explain(rows.loc[[contents.ranked[0].name]])
    assert contents.ranked[0].reasons[0].nats == pytest.approx(explained.reasons(1)[0][0].nats, abs=1e-6)


def test_same_rows_give_the_same_page(detector: VAEDetector, rows: pd.DataFrame) -> None:
    assert detector.report(rows).to_html() == detector.report(rows).to_html()


@pytest.fixture(scope="module")
def page(detector: VAEDetector, rows: pd.DataFrame) -> str:
    return detector.report(rows, [1] * 3 + [0] * 197, title=HOSTILE).to_html()


def test_nothing_of_the_data_is_markup(page: str) -> None:
    assert HOSTILE not in page
    assert "<img" not in page
    assert "<i>" not in page
    assert html.escape(HOSTILE, quote=False).replace("'", "&#39;") in page
    assert "<b>" not in page
    assert "\x00" not in page
    assert "\u202e" not in page
    # One element each of ours.
    assert page.count("<script") == page.count("</script>") == 1


def test_page_asks_nobody_for_anything(page: str) -> None:
    addresses = re.findall(r'(?:src|href|action|data|poster|srcset)\s*=\s*"([^"]*)"', page)
    assert addresses
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_charts_take_the_colours_of_the_page(page: str) -> None:
    assert "var(--first)" in page
    assert "#0102" not in page
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def redacted_of() -> Any:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "number": rng.normal(70_000, 9_000, 300),
            "whole": rng.integers(61_000, 61_900, 300),
            "level": rng.choice(["SECRETlevel", "SECRETother", "SECRETthird"], 300, p=[0.1, 0.45, 0.45]),
            "date": pd.Timestamp("2031-01-01") + pd.to_timedelta(rng.integers(0, 300, 300), "D"),
            "half": np.where(rng.random(300) < 0.6, 91827.25, rng.normal(90_000, 500, 300)),
            "constant": 48213.5,
            "word": "SECRETconstant",
        },
        index=[f"KEY-{row}" for row in range(300)],
    )
    detector = VAEDetector(n_estimators=2, max_iter=30, hidden_layer_sizes=(8,), random_state=0).fit(frame)
    return detector, frame


def leaked(redacted_of: Any, number: float, whole: int, level: str, day: int) -> list[str]:
    """What of the cells, planted and others, stands on a redacted page, but for the coordinates of drawings."""
    detector, frame = redacted_of
    planted = frame.copy()
    date = pd.Timestamp("2040-01-01") + pd.to_timedelta(day, "D")
    first = planted.index[:3]
    planted.loc[first, "number"] = number
    planted.loc[first, "whole"] = whole
    planted.loc[first, "level"] = level
    planted.loc[first, "date"] = date
    shown = re.sub(r'\b(?:d|x|y|transform|height|viewBox)="[^"]*"', "", detector.report(planted, redact=True).to_html())
    written = [
        *(f"{number:{form}}" for form in (".3f", ",.3f", ",.0f", ".0f")),
        *(f"{whole:{form}}" for form in ("d", ",d")),
        *("91827", "91,827", "48213", "48,213", level, "SECRET", "KEY-"),
        *(f"{date:%Y-%m-%d}", "2031-"),
        *(f"{cell:,.0f}" for cell in frame["number"].tolist()[:50]),
        *(f"{cell:,.0f}" for cell in frame["half"].tolist()[:50]),
    ]
    return [text for text in written if text in shown]


def test_no_raw_value_is_on_a_redacted_page(redacted_of: Any) -> None:
    assert leaked(redacted_of, 777_123.456, 777_131, "QXZJVWQQ", 100) == []


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.floats(200_001, 999_999).map(lambda number: round(number, 3)),
    whole=st.integers(100_001, 999_999).filter(lambda number: number % 1_000 != 0),
    level=st.text("QXZJVW", min_size=8, max_size=12),
    day=st.integers(0, 3_000),
)
def test_no_raw_value_is_on_any_redacted_page(
    redacted_of: Any, number: float, whole: int, level: str, day: int
) -> None:
    assert leaked(redacted_of, number, whole, level, day) == []


def test_what_is_left_out_is_there_otherwise(redacted_of: Any) -> None:
    detector, frame = redacted_of
    shown = detector.report(frame.head(50)).to_html()
    assert "SECRETlevel" in shown
    assert "KEY-0" in shown


def test_redacted_page_keeps_columns_shares_and_nats(redacted_of: Any) -> None:
    detector, frame = redacted_of
    planted = frame.assign(number=frame["number"].where(np.arange(300) > 2, 999_999.0))
    report = detector.report(planted, redact=True)
    assert report.contents.ranked[0].reasons[0].subject == "number"
    assert report.contents.ranked[0].reasons[0].nats > 5
    assert {row.name for row in report.contents.ranked[:3]} == {"0", "1", "2"}
    assert "raw values are left out" in report.to_html()


def test_reasons_for_kinds_may_quote_values_and_are_left_out(redacted_of: Any) -> None:
    detector, frame = redacted_of
    redacted, whole = (detector.report(frame, redact=redact).to_html() for redact in (True, False))
    reasons = {column.reason for column in detector.columns_ if column.reason}
    assert reasons
    assert [reason for reason in reasons if html.escape(reason) in redacted] == []
    assert any(html.escape(reason) in whole for reason in reasons)


def test_messages_are_withheld_from_a_redacted_page() -> None:
    report = built(redact=True)
    assert report.contents.reading.n_withheld == 2
    assert "a warning" not in report.to_html()
    assert "Left out: 2 messages about single cells or levels" in report.to_html()
    assert "a warning" in built().to_html()


def test_letters_that_no_page_can_hold_are_replaced() -> None:
    assert fit_text("a\x00\x1b\udc80\u2066b\n\tc") == "a����b\n\tc"


def test_notebook_gets_a_frame_of_its_own(page: str) -> None:
    shown = built()._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert 'sandbox="allow-scripts"' in shown
    assert shown.count("<script") == 0
    assert repr(built()) == "<Report 'Five rows', 5 rows, 2 flagged; save(path) writes it>"


def test_page_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("before", encoding="utf-8")
    report = built()
    report.save(path)
    assert path.read_text(encoding="utf-8") == report.to_html()
    broken = Report(dataclasses.replace(report.contents, scored=Scored(np.array(["x"]), np.empty(0), np.empty(0))))
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_text(encoding="utf-8") == report.to_html()
    assert list(tmp_path.iterdir()) == [path]


def test_missing_matplotlib_is_said_before_the_work(
    detector: VAEDetector, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    monkeypatch.setattr(VAEDetector, "decide", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(NotInstalled, match=r'python -m pip install "vae-anomaly\[plot\]"'):
        detector.report(rows)


@pytest.mark.parametrize("top", [0, -1, 2_001, 1.5, True])
def test_number_of_rows_is_checked(top: Any, detector: VAEDetector, rows: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match="top is a number of rows from 1 to 2,000"):
        detector.report(rows, top=top)


def test_patterns_name_their_rows() -> None:
    builder = ReportBuilder(decided(), title="")
    builder.add([5.0, 999.0], [0.5, 0.001], [False, True])
    builder.sort(Patterns((), np.array([-2])), [1], ["order 7"])
    contents = builder.finish().contents
    assert contents.patterns is not None
    assert (contents.patterns.n_sorted, contents.patterns.n_other) == (1, 1)


def test_page_of_images_frames_the_flagged_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    images = rng.integers(100, 140, (24, 16, 16)).astype(np.uint8)
    detector = PatchDetector(n_windows=256, max_iter=3, window=8, hidden_layer_sizes=(8,), random_state=0).fit(images)
    images[0, 4:9, 4:9] = 255
    report = detector.report(images)
    assert report.contents.pictures[0].name == "image 0"
    assert report.contents.pictures[0].is_flagged
    assert len(report.contents.pictures) == 24
    page = report.to_html()
    assert page.count("data:image/jpeg;base64,") == 48
    assert 'li class="flagged"' in page
    assert "data:image/jpeg" not in detector.report(images, redact=True).to_html()


def test_scores_without_calibration_are_reported() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    detector = VAEDetector(n_estimators=2, max_iter=5, hidden_layer_sizes=(4,), calibration=None).fit(rows)
    contents = detector.report(rows).contents
    assert SECTIONS["calibration"](contents) is None
    assert facts_of(SECTIONS["summary"](contents))["false alarms expected"] == "unknown"
    scores = SECTIONS["scores"](contents)
    assert scores is not None
    (charts,) = (block for block in scores.blocks if isinstance(block, Charts))
    assert len(charts.charts) == 1
