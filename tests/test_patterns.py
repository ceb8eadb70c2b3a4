"""Patterns: alerts with the same cells out of place in the same way."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from vae_anomaly import DataError, SpecificationError, VAEDetector, load, save
from vae_anomaly.columns import Column
from vae_anomaly.errors import NotAvailable
from vae_anomaly.explain import patterns as module
from vae_anomaly.explain.patterns import (
    NO_ALERT,
    OTHER,
    Pattern,
    PatternCell,
    Patterns,
    clustered,
    profiles_of,
)
from vae_anomaly.likelihoods import Categorical, Gaussian

N_TRAINED = 400
START = pd.Timestamp("2026-05-03")


def orders(n, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": rng.normal(50, 5, n),
            "weight": rng.normal(3, 0.5, n),
            "shop": rng.choice(["north", "south", "west"], n),
            "placed": START + pd.to_timedelta(rng.integers(0, 24 * 40, n), unit="h"),
        },
        index=[f"order {number}" for number in range(n)],
    )


@pytest.fixture(scope="module")
def detector():
    return VAEDetector(max_iter=60, early_stopping=False, n_estimators=2, columns={"placed": "datetime+trend"}).fit(
        orders(N_TRAINED, 0)
    )


@pytest.fixture(scope="module")
def planted():
    """Sixty orders: the first ten with large amounts, then six of small weight, then four from a shop never seen."""
    frame = orders(60, 1)
    frame.iloc[:10, 0] += 300
    frame.iloc[10:16, 1] -= 20
    frame.iloc[16:20, 2] = "moon"
    return frame


@pytest.fixture(scope="module")
def found(detector, planted):
    return detector.patterns(planted, np.arange(60) < 20)


def test_each_kind_of_error_is_a_pattern_and_the_largest_is_the_first(found):
    assert found.labels.tolist() == [0] * 10 + [1] * 6 + [2] * 4 + [NO_ALERT] * 40
    assert [pattern.count for pattern in found.patterns] == [10, 6, 4]
    assert [pattern.share for pattern in found.patterns] == [0.5, 0.3, 0.2]
    assert [(cell.column, cell.direction) for pattern in found.patterns for cell in pattern.cells] == [
        ("amount", "above"),
        ("weight", "below"),
        ("shop", "level"),
    ]
    assert (len(found), found.n_alerts, found.n_other) == (3, 20, 0)


def test_sentence_says_what_is_out_of_place_how_often_and_when(found, planted):
    (cell,) = found.patterns[0].cells
    dates = planted["placed"].iloc[:10]
    assert cell.typical == sorted(planted["amount"].iloc[:10])[4]
    assert cell.expected == pytest.approx(50, abs=2)
    assert cell.share == 1.0
    assert found.sentences()[0] == (
        f"amount far above expected (typically {cell.typical:,.0f}; expected about {cell.expected:.3g}): 10 rows, 50 % "
        f"of the alerts, {dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}"
    )
    assert found.sentences()[2].startswith("shop is 'moon' (expected '")


def test_frame_has_a_line_for_each_pattern(found):
    frame = found.frame()
    assert frame["pattern"].tolist() == [0, 1, 2]
    assert frame["count"].tolist() == [10, 6, 4]
    assert frame["what"].tolist() == [pattern.what for pattern in found.patterns]
    assert (frame["first"] <= frame["last"]).all()


def test_typical_rows_are_of_the_pattern_and_named_by_the_index(found, planted):
    for number, pattern in enumerate(found.patterns):
        assert len(pattern.typical_rows) == 3
        assert all(found.labels[row] == number for row in pattern.typical_rows)
        assert pattern.typical_labels == tuple(planted.index[list(pattern.typical_rows)])


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_order_of_the_rows_makes_no_difference(detector, planted, found, seed):
    order = np.random.default_rng(seed).permutation(60)
    moved = detector.patterns(planted.iloc[order], order < 20)
    assert moved.labels.tolist() == found.labels[order].tolist()
    assert moved.sentences() == found.sentences()
    assert [one.typical_labels for one in moved.patterns] == [one.typical_labels for one in found.patterns]


@given(seed=st.integers(0, 2**32 - 1), n_clustered=st.sampled_from([5, 2_000]))
def test_partition_is_the_same_in_any_order_also_where_some_rows_stand_for_all(seed, n_clustered):
    rng = np.random.default_rng(seed)
    profiles = rng.integers(0, 3, (40, 4)).astype(float)
    lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
    profiles = np.round(profiles / np.where(lengths > 0, lengths, 1), 6)
    order = rng.permutation(40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_CLUSTERED", n_clustered)
        labels, moved = clustered(csr_array(profiles)), clustered(csr_array(profiles[order]))
    assert moved.tolist() == labels[order].tolist()
    sizes = np.bincount(labels[labels >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert (labels[lengths[:, 0] == 0] == OTHER).all()


def test_rows_go_together_by_the_cosine_of_their_profiles():
    # The cosine of the last two with the first is .8, and .6: not above the cut at .7.
    rows = [[1, 0, 0], [0.8, 0.6, 0], [0.6, 0, 0.8]]
    assert clustered(csr_array(rows)).tolist() == [0, 0, 1]


def test_pattern_of_fewer_than_one_in_a_hundred_is_none_and_its_rows_join_what_is_near():
    rows = np.zeros((402, 3))
    rows[:400, 0] = 1
    rows[400] = [0, 1, 0]
    rows[401] = [0.55, 0, (1 - 0.55**2) ** 0.5]
    assert clustered(csr_array(rows)).tolist() == [0] * 400 + [OTHER, 0]


def test_profile_is_half_the_side_and_half_the_size_of_a_cell():
    column = Column("x", "continuous", Gaussian(), "")
    nats = np.array([[np.e - 1], [np.e**2 - 1], [0.0]])
    values = np.array([[3.0], [-7.0], [0.0]])
    profiles = profiles_of([column], values, np.zeros((3, 1)), nats, np.zeros(3)).toarray()
    half = round(0.5**0.5, 6)
    # The combination, above, below, and the sizes in doublings, here -3 and 2, with the next ones.
    assert profiles.tolist() == [[0, half, 0, 0, 0, half, 0], [0, 0, half, half, 0, 0, 0], [0] * 7]


def test_cells_of_nearly_the_same_size_are_nearly_alike():
    column = Column("x", "continuous", Gaussian(), "")
    values = np.array([[2.99], [3.01], [6.0]])
    profiles = profiles_of([column], values, np.zeros((3, 1)), np.full((3, 1), 9.0), np.zeros(3)).toarray()
    assert profiles[0] @ profiles[1] > 0.98
    assert 0.5 < profiles[0] @ profiles[2] < 0.85


def test_profile_of_levels_is_half_the_column_and_half_the_level():
    column = Column("x", "categorical", Categorical(), "", levels=("a", "b"))
    nats = np.array([[4.0], [4.0]])
    profiles = profiles_of([column], np.array([[1.0], [2.0]]), np.zeros((2, 1)), nats, np.zeros(2)).toarray()
    assert profiles[0] @ profiles[1] == pytest.approx(0.5, abs=1e-5)


def test_combination_counts_where_no_cell_is_out_of_place():
    column = Column("x", "continuous", Gaussian(), "")
    nats = np.array([[0.0], [5.0]])
    profiles = profiles_of([column], np.ones((2, 1)), np.zeros((2, 1)), nats, np.array([6.0, 6.0])).toarray()
    assert profiles[0, 0] == 1
    assert profiles[1, 0] == 0


def test_default_alerts_are_the_rows_that_are_flagged(detector, planted):
    found = detector.patterns(planted)
    assert ((found.labels != NO_ALERT) == (detector.predict(planted) == -1)).all()


def test_number_of_rows_takes_the_most_anomalous_ones(detector, planted):
    found = detector.patterns(planted, 7)
    top = np.argsort(-detector.anomaly_score(planted), kind="stable")[:7]
    assert sorted(np.flatnonzero(found.labels != NO_ALERT)) == sorted(top)


@pytest.mark.parametrize("n", [1, 2])
def test_few_alerts_are_patterns_too(detector, planted, n):
    found = detector.patterns(planted, np.isin(np.arange(60), [0, 10][:n]))
    assert [pattern.count for pattern in found.patterns] == [1] * n
    assert "1 row, " in found.sentences()[0]
    assert found.patterns[0].typical_rows in ((0,), (10,))


def test_no_alerts_are_no_patterns(detector, planted):
    found = detector.patterns(planted, np.zeros(60, dtype=bool))
    assert len(found) == found.n_alerts == 0
    assert found.sentences() == ["No row is an alert."]
    assert found.frame().empty


@pytest.mark.parametrize(
    "rows", [0, -3, True, np.ones(59, dtype=bool), np.arange(60), "flagged", [0.5] * 60, np.ones((60, 1), dtype=bool)]
)
def test_other_choices_of_rows_are_refused(detector, planted, rows):
    with pytest.raises(SpecificationError, match="rows is a boolean for each of the 60 rows"):
        detector.patterns(planted, rows)


@pytest.mark.parametrize("n_typical", [0, 1.5, None])
def test_number_of_typical_rows_is_a_positive_integer(detector, planted, n_typical):
    with pytest.raises(SpecificationError, match="n_typical is a positive integer"):
        detector.patterns(planted, n_typical=n_typical)


def test_dates_are_those_of_any_column_or_given(detector, planted):
    rows = np.arange(60) < 10
    shipped = pd.date_range("2027-01-01", periods=60, tz="Europe/Berlin")
    by_name = detector.patterns(planted.assign(shipped=shipped), rows, date="shipped").patterns[0]
    assert (by_name.first, by_name.last) == (pd.Timestamp("2026-12-31 23:00"), pd.Timestamp("2027-01-09 23:00"))
    given_ones = detector.patterns(planted, rows, date=[f"2027-01-{day % 28 + 1:02d}" for day in range(60)]).patterns[0]
    assert given_ones.dates == "2027-01-01 to 2027-01-10"
    of_model = detector.patterns(planted, rows, date="placed").patterns[0]
    assert of_model.first == planted["placed"].iloc[:10].min()


def test_missing_dates_are_left_out(detector, planted):
    dates = pd.Series(pd.NaT, index=planted.index)
    first = detector.patterns(planted, np.arange(60) < 10, date=dates).patterns[0]
    assert (first.first, first.dates) == (None, "")


@pytest.mark.parametrize(
    ("date", "error", "match"),
    [
        ("when", SpecificationError, "date='when' is no column of X"),
        ("shop", DataError, "'shop' holds '(north|south|west)' and others that are no dates"),
        ("amount", DataError, "'amount' holds .* and others that are no dates"),
        (["2026-01-01"], SpecificationError, "date has 1 dates for 60 rows"),
    ],
)
def test_dates_that_are_none_are_refused(detector, planted, date, error, match):
    with pytest.raises(error, match=match):
        detector.patterns(planted, date=date)


def test_cells_below_expected_and_missing_ones_are_told_apart():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(300, 2)), columns=["a", "b"])
    rows.loc[0, "b"] = np.nan
    detector = VAEDetector(max_iter=60, early_stopping=False, n_estimators=2, model_missing=True).fit(rows)
    new = pd.DataFrame(rng.normal(size=(8, 2)), columns=["a", "b"])
    new.loc[:3, "b"] = np.nan
    new.loc[4:6, "a"] = -30.0
    found = detector.patterns(new, np.arange(8) < 7)
    assert [str(pattern.cells[0]) for pattern in found.patterns] == [
        "b is missing",
        f"a far below expected (typically -30; expected about {found.patterns[1].cells[0].expected:.3g})",
    ]


def test_loaded_model_has_the_same_patterns(detector, planted, found, tmp_path):
    path = tmp_path / "m.vae"
    save(detector, path)
    again = load(path).patterns(planted, np.arange(60) < 20)
    assert again.sentences() == found.sentences()
    assert again.labels.tolist() == found.labels.tolist()


def test_images_have_no_patterns():
    images = np.random.default_rng(0).random((20, 4, 4))
    detector = VAEDetector(max_iter=2, calibration=None).fit(images)
    with pytest.raises(NotAvailable, match="the model takes images"):
        detector.patterns(images)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (
            PatternCell("bytes", "", "above", 54540, 232, 40.0, 1.0),
            "bytes far above expected (typically 54,540; expected about 232)",
        ),
        (PatternCell("x", "", "below", 0.5, 2.0, 2.0, 0.6), "x below expected (typically 0.5; expected about 2)"),
        (
            PatternCell("x", "", "off", 1, 2, 2.0, 0.6),
            "x away from what is expected (typically 1; expected about 2)",
        ),
        (PatternCell("service", "", "level", "ftp", "http", 3.0, 1.0), "service is 'ftp' (expected 'http')"),
        (
            PatternCell("city", "", "unseen", "a", "c", 3.0, 1.0, ("a", "b")),
            "city has levels that training did not have ('a', 'b')",
        ),
        (
            PatternCell("city", "", "levels", "a", "d", 3.0, 1.0, ("a", "b", "c")),
            "city has levels that are not expected ('a', 'b', 'c', ...)",
        ),
        (PatternCell("placed", "hour", "level", "03h", "15h", 3.0, 1.0), "placed (hour) is 03h (expected 15h)"),
        (PatternCell("age", "missing", "level", "missing", "present", 3.0, 1.0), "age is missing"),
        (PatternCell("", "", "combination", None, None, 7.14, 1.0), "cells that do not go together (+7.1 nats)"),
    ],
)
def test_cell_in_words(cell, text):
    assert str(cell) == text


def test_pattern_in_words():
    cells = tuple(PatternCell(name, "", "above", 3, 1, 2.0, 1.0) for name in "abc")
    noon, night = pd.Timestamp("2026-05-03 12:00"), pd.Timestamp("2026-05-03 23:30")
    said = "above expected (typically 3; expected about 1)"
    pattern = Pattern(cells, 312, 0.41, noon, night, (0,), (0,), 30.0)
    assert str(pattern) == (
        f"a {said}, b {said} and c {said}: 312 rows, 41 % of the alerts, 2026-05-03 12:00:00 to 2026-05-03 23:30:00"
    )
    others = Patterns((pattern,), np.array([0] * 312 + [OTHER]))
    assert others.sentences()[1] == "of no pattern: 1 row, 0.32 % of the alerts"


def test_large_and_wide_input_stays_sparse():
    rng = np.random.default_rng(0)
    columns = [Column(f"x{index}", "continuous", Gaussian(), "") for index in range(200)]
    nats = np.where(rng.random((3_000, 200)) < 0.01, 9.0, 0.0)
    profiles = profiles_of(columns, rng.normal(size=nats.shape), np.zeros(nats.shape), nats, np.zeros(3_000))
    assert profiles.nnz <= 3 * (nats > 0).sum()
