"""Sensitivity: the smallest change of each column that is noticed."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from vae_anomaly import DataError, SpecificationError, VAEDetector
from vae_anomaly.columns import Column
from vae_anomaly.data import Table
from vae_anomaly.decisions import FalseAlarmRate
from vae_anomaly.errors import NotAvailable
from vae_anomaly.explain import sensitivity as module
from vae_anomaly.explain.sensitivity import (
    CAVEAT,
    MAX_DOUBLINGS,
    N_HALVINGS,
    SMALLEST,
    PlantedChange,
    Sensitivity,
    amount_text,
    find_sensitivity,
    shifted,
    spread,
)
from vae_anomaly.likelihoods import Categorical, Gaussian

# The last doubling is halved so often, on the scale of logarithms.
PRECISION = 2 ** (2.0**-N_HALVINGS)
NUMBER = Column("x0", "continuous", Gaussian(), "")


def numbers(n=300, n_columns=3, seed=0):
    return Table(
        tuple(f"x{index}" for index in range(n_columns)), np.random.default_rng(seed).normal(size=(n, n_columns))
    )


def half_squares(table):
    """The anomaly score of independent standard normal columns but for a constant; a missing cell costs nothing."""
    return 0.5 * (np.nan_to_num(table.cells) ** 2).sum(1)


def normal_rows(table, threshold):
    return table.take(np.flatnonzero(half_squares(table) <= threshold))


def smallest_by_hand(cells, column, sign, threshold, power):
    """The shift at which so large a share of rows crosses, solved from |x|^2 - x_j^2 + (x_j + a)^2 = 2 t."""
    own = sign * cells[:, column]
    crossing = -own + np.sqrt(2 * threshold - (cells**2).sum(1) + own**2)
    return np.sort(crossing)[math.ceil(power * len(cells)) - 1]


def changes_of(table, threshold, power=0.5, columns=None, pool=None, score=half_squares):
    columns = columns or [dataclasses.replace(NUMBER, name=name) for name in table.names]
    rng = np.random.default_rng(0)
    found = find_sensitivity(columns, table, pool or table, score, threshold, power, rng)
    return {(change.column, change.kind): change for change in found}


@pytest.mark.parametrize("power", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_smallest_shift_of_normal_columns_is_that_by_hand(power, rate):
    threshold = 0.5 * chi2.isf(rate, 3)
    table = normal_rows(numbers(), threshold)
    found = changes_of(table, threshold, power)
    for column in range(3):
        for kind, sign in (("above", 1), ("below", -1)):
            change = found[f"x{column}", kind]
            by_hand = smallest_by_hand(table.cells, column, sign, threshold, power)
            assert change.noticed
            assert by_hand <= change.amount <= by_hand * PRECISION * (1 + 1e-9)
            moved = table.cells.copy()
            moved[:, column] += sign * change.amount
            assert change.share == (half_squares(table.with_cells(moved)) > threshold).mean() >= power


def test_amounts_are_in_the_units_of_the_column():
    threshold = 0.5 * chi2.isf(0.01, 1)
    table = normal_rows(numbers(n_columns=1), threshold)
    metres = changes_of(table, threshold)["x0", "above"]

    def in_metres(rows):
        return half_squares(rows.with_cells(rows.cells * 1000))

    kilometres = changes_of(table.with_cells(table.cells / 1000), threshold, score=in_metres)["x0", "above"]
    assert kilometres.amount == pytest.approx(metres.amount / 1000)
    assert kilometres.amount / kilometres.spread == pytest.approx(metres.amount / metres.spread)


def test_shift_of_a_rounded_column_is_in_whole_steps():
    threshold = 0.5 * chi2.isf(0.01, 1)
    rounded = np.rint(4 * np.random.default_rng(0).normal(size=(200, 1))) / 4
    table = normal_rows(Table(("x0",), rounded), threshold)
    column = dataclasses.replace(NUMBER, step=0.25, resolution=0.25)
    change = changes_of(table, threshold, columns=[column])["x0", "above"]
    assert change.amount % 0.25 == 0
    by_hand = smallest_by_hand(table.cells, 0, 1, threshold, 0.5)
    assert by_hand - 0.25 <= change.amount <= by_hand * PRECISION + 0.25


def test_shift_stops_at_the_bounds_of_a_column_which_may_be_a_blind_spot():
    table = Table(("x0",), np.linspace(0, 1, 50)[:, None])
    column = dataclasses.replace(NUMBER, low=0.0, high=1.0)
    found = changes_of(table, 2.0, columns=[column])
    assert not found["x0", "above"].noticed
    assert math.isnan(found["x0", "above"].amount)
    assert found["x0", "above"].largest == pytest.approx(spread(table.cells[:, 0]) * SMALLEST * 2**MAX_DOUBLINGS)
    assert shifted(column, table, 0, 0.75).max() == 1.0
    assert shifted(column, table, 0, -0.75).min() == 0.0


def test_share_of_what_is_not_noticed_is_the_largest_of_any_size():
    """Rows are odd from 1 to 2 alone: a large shift passes by."""

    def window(table):
        return ((table.cells[:, 0] > 1) & (table.cells[:, 0] < 2)).astype(float)

    table = Table(("x0",), np.concatenate([np.zeros(60), np.full(40, -3.0)])[:, None])
    change = changes_of(table, 0.5, 0.7, score=window)["x0", "above"]
    assert not change.noticed
    assert change.share == 0.6


def test_missing_cell_and_permutation_are_planted():
    """A row is odd where its cells are not equal, or one of them is missing."""

    def unequal(table):
        return (table.cells[:, 0] != table.cells[:, 1]).astype(float)

    cells = np.repeat(np.arange(100.0)[:, None], 2, axis=1)
    found = changes_of(Table(("x0", "x1"), cells), 0.5, score=unequal)
    permutation = found["x0", "permuted"]
    assert permutation.noticed
    assert 0.95 <= permutation.share <= 1
    assert found["x1", "missing"].share == 1


def test_levels_are_replaced_by_other_ones_and_by_one_never_seen():
    column = Column("x0", "categorical", Categorical(), "", levels=("a", "b", "c"))
    frame = pd.DataFrame({"x0": ["a"] * 30 + ["b"] * 10 + [None] * 2})
    seen = []

    def noted(table):
        cells = table.cells["x0"]
        seen.append(cells.tolist())
        return (~cells.isin(["a", "b"])).astype(float).to_numpy()

    found = changes_of(Table(("x0",), frame), 0.5, columns=[column], score=noted)
    assert [kind for _, kind in found] == ["level", "unseen level", "missing", "permuted"]
    assert found["x0", "level"].share == 0
    assert found["x0", "unseen level"].share == found["x0", "missing"].share == 1
    swapped = seen[0][:42]
    assert swapped[:30] == ["b"] * 30
    assert swapped[30:40] == ["a"] * 10
    assert set(swapped[40:]) <= {"a", "b"}


def test_columns_that_were_set_aside_are_left_out():
    aside = Column("x1", "identifier", None, "declared an identifier")
    table = numbers(40, 2)
    assert {name for name, _ in changes_of(table, 5.0, columns=[NUMBER, aside])} == {"x0"}


def test_probes_are_scored_in_portions(monkeypatch):
    table = normal_rows(numbers(50), 5.0)
    whole = changes_of(table, 5.0)
    monkeypatch.setattr(module, "MAX_PLANTED", 1)
    largest = []

    def counting(rows):
        largest.append(rows.n_rows)
        return half_squares(rows)

    assert str(changes_of(table, 5.0, score=counting)) == str(whole)
    assert max(largest) == table.n_rows


@pytest.mark.parametrize(
    ("cells", "expected"),
    [([0.0, 1.0, 2.0, 3.0, 4.0], 2 / 1.3489795), ([0.0] * 9 + [10.0], 3.0), ([7.0, 7.0], 0.0), ([math.nan], 0.0)],
)
def test_spread_is_that_of_the_middle_half_or_the_standard_deviation(cells, expected):
    assert spread(np.array(cells)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("amount", "kind", "text"),
    [
        (1 / 24, "later", "1 hour"),
        (1.0, "later", "1 day"),
        (36 / 24, "earlier", "36 hours"),
        (400.0, "earlier", "400 days"),
        (3650.0, "later", "3,650 days"),
        (0.0125, "above", "0.0125"),
    ],
)
def test_amounts_in_words(amount, kind, text):
    assert amount_text(amount, kind) == text


def test_sentences_name_what_is_noticed_and_what_is_not():
    nan = math.nan
    changes = (
        PlantedChange("load", "above", 25.0, 0.52, True, 10.0, 1e6),
        PlantedChange("load", "below", nan, 0.3, False, 10.0, 1e6),
        PlantedChange("load", "missing", nan, 0.0, False, nan, nan),
        PlantedChange("shop", "unseen level", nan, 1.0, True, nan, nan),
        PlantedChange("shop", "missing", nan, 0.0, False, nan, nan),
        PlantedChange("note", "missing", nan, 0.0, False, nan, nan),
    )
    found = Sensitivity(changes, 12.5, 0.01, by_calibration=True, alarm_rate=0.02, power=0.5, n_rows=200)
    heading, *others = found.sentences()
    assert heading == (
        "Smallest changes of one cell that are noticed in at least 50 % of 200 normal rows, at a false-alarm rate of "
        "1 % (threshold 12.5 nats, by the calibration)."
    )
    assert others == [
        "load: noticed if 25 above.",
        "shop: noticed if an unseen level.",
        "Would not be noticed, whatever is changed: note.",
        "Would not be noticed: up to 1,000,000 below or missing, of load.",
        "Would not be noticed: missing, of shop.",
        CAVEAT,
    ]
    assert [str(change) for change in changes[:3]] == [
        "load above by 25 is noticed in 52 % of the rows",
        "load below: no shift up to 1,000,000 is noticed in more than 30 % of the rows",
        "load missing is noticed in 0 % of the rows",
    ]
    frame = found.frame()
    assert frame["spreads"].iloc[0] == 2.5
    assert frame["noticed"].tolist() == [True, False, False, True, False, False]
    assert [change.column for change in found.not_noticed] == ["load", "load", "shop", "note"]


def measurements(n, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "speed": rng.normal(size=n),
            "load": 100 * rng.normal(size=n),
            "kind": rng.choice(["a", "b"], n),
            "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 24 * 60, n), unit="h"),
        }
    )


@pytest.fixture(scope="module")
def detector():
    return VAEDetector(max_iter=100, early_stopping=False, n_estimators=2).fit(measurements(600, 0))


@pytest.fixture(scope="module")
def others():
    return measurements(200, 1)


@pytest.fixture(scope="module")
def found(detector, others):
    return detector.sensitivity(others, n_rows=60)


def test_detector_has_every_change_of_every_column(found):
    assert found.frame().groupby("column")["change"].agg(list).to_dict() == {
        "speed": ["above", "below", "missing", "permuted"],
        "load": ["above", "below", "missing", "permuted"],
        "kind": ["level", "unseen level", "missing", "permuted"],
        "at": ["later", "earlier", "missing", "permuted"],
    }


def test_threshold_is_that_of_the_calibration_and_the_models_own_stays(detector, others, found):
    before = detector.threshold_
    again = detector.sensitivity(others, n_rows=60)
    assert found.by_calibration
    assert found.threshold == FalseAlarmRate(0.01).find(detector.calibration_).score
    assert detector.threshold_ == before
    assert str(again) == str(found)
    assert found.alarm_rate == (detector.anomaly_score(others) > found.threshold).mean()
    assert found.n_rows == 60


def test_reported_shift_is_noticed_in_as_many_rows_as_said(detector, others, found):
    scores = detector.anomaly_score(others)
    rows = others[scores <= found.threshold]
    change = next(one for one in found.changes if (one.column, one.kind) == ("load", "above"))
    moved = detector.anomaly_score(rows.assign(load=rows["load"] + change.amount))
    less = detector.anomaly_score(rows.assign(load=rows["load"] + change.amount / 2))
    assert (moved > found.threshold).mean() == pytest.approx(change.share, abs=0.15)
    assert (less > found.threshold).mean() < 0.25


def test_higher_false_alarm_rates_and_less_power_notice_smaller_changes(detector, others, found):
    def amounts(**settings):
        return detector.sensitivity(others, n_rows=60, **settings).frame().set_index(["column", "change"])["amount"]

    own = found.frame().set_index(["column", "change"])["amount"]
    for other in (amounts(false_alarm_rate=0.1), amounts(power=0.1)):
        assert other["speed", "above"] < own["speed", "above"]
        assert other["load", "below"] < own["load", "below"]


def test_array_of_numbers_has_the_same_changes_as_its_frame():
    rows = np.random.default_rng(0).normal(size=(400, 2))
    detector = VAEDetector(max_iter=30, early_stopping=False, n_estimators=2).fit(rows[:300])
    of_array = detector.sensitivity(rows[300:], 0.1, n_rows=30)
    of_frame = detector.sensitivity(rows[300:].tolist(), 0.1, n_rows=30)
    assert str(of_array) == str(of_frame)


@pytest.mark.parametrize("rate", [0, 1, -0.1, math.nan, "0.1"])
def test_false_alarm_rate_is_a_share(detector, others, rate):
    with pytest.raises(SpecificationError, match="false_alarm_rate"):
        detector.sensitivity(others, rate)


@pytest.mark.parametrize("power", [0, 1.5, math.nan, True, "half"])
def test_power_is_a_share(detector, others, power):
    with pytest.raises(SpecificationError, match="power is a share of rows, above 0 and up to 1"):
        detector.sensitivity(others, power=power)


@pytest.mark.parametrize("n_rows", [0, -1, 2.5, True])
def test_number_of_rows_is_positive(detector, others, n_rows):
    with pytest.raises(SpecificationError, match="n_rows is a positive integer"):
        detector.sensitivity(others, n_rows=n_rows)


def test_too_few_calibration_rows_for_the_rate(detector, others):
    with pytest.raises(SpecificationError, match="needs at least 99,999 calibration rows"):
        detector.sensitivity(others, 0.00001)


def test_rows_that_are_alerts_already_are_refused(detector, others):
    with pytest.raises(DataError, match="all 200 rows are alerts before anything is changed"):
        detector.sensitivity(others.assign(load=1e6))


def test_no_rows_and_other_columns_are_refused(detector, others):
    with pytest.raises(ValueError, match="0 sample"):
        detector.sensitivity(others.iloc[:0])
    with pytest.raises(ValueError, match="load"):
        detector.sensitivity(others.drop(columns="load"))


def test_without_a_calibration_the_rows_given_set_the_threshold(others):
    detector = VAEDetector(max_iter=30, early_stopping=False, n_estimators=2, calibration=None).fit(
        measurements(300, 0)
    )
    found = detector.sensitivity(others, 0.05, n_rows=20)
    assert not found.by_calibration
    assert found.threshold == np.sort(detector.anomaly_score(others))[-10]
    assert "by the rows given" in found.sentences()[0]
    with pytest.raises(SpecificationError, match="needs at least 99"):
        detector.sensitivity(others[:50], 0.01)


def test_images_have_no_columns_to_change():
    images = np.random.default_rng(0).random((20, 4, 4))
    detector = VAEDetector(max_iter=2, calibration=None).fit(images)
    with pytest.raises(NotAvailable, match="the model takes images"):
        detector.sensitivity(images)
