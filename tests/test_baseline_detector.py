"""A detector that compares numbers with those of the row's own group."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid
from sklearn.base import clone

from vae_anomaly import (
    DataError,
    ImportanceWeighted,
    NewGroupsWarning,
    SpecificationError,
    VAEDetector,
    export_onnx,
)
from vae_anomaly.data import Table
from vae_anomaly.detectors.vae_detector import _Training
from vae_anomaly.errors import NotAvailable

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

FAST = {"n_estimators": 2, "max_iter": 40}
QUICK = {"n_estimators": 2, "max_iter": 3}
KEYS = ["store", "product"]
IDENTIFIERS = {"store": "identifier", "product": "identifier"}
MEANS = np.array([[20.0, 60], [2_000, 9_000], [150, 600]])


def sales(n_days: int = 120, seed: int = 0) -> pd.DataFrame:
    """Six groups of very different size; a number that knows no group, and dates."""
    rng = np.random.default_rng(seed)
    store, product = (part.ravel() for part in np.meshgrid(range(3), range(2), indexing="ij"))
    rows = np.tile(np.arange(6), n_days)
    return pd.DataFrame(
        {
            "store": store[rows],
            "product": np.array(["A", "B"], dtype=object)[product[rows]],
            "volume": MEANS.ravel()[rows] * np.exp(0.08 * rng.normal(size=len(rows))),
            "degrees": 15 + 5 * rng.normal(size=len(rows)),
            "date": np.repeat(pd.date_range("2024-01-01", periods=n_days), 6),
        }
    )


def row(**cells) -> pd.DataFrame:
    usual = {"store": 1, "product": "A", "volume": 2000.0, "degrees": 15.0, "date": pd.Timestamp("2024-03-05")}
    return pd.DataFrame([usual | cells])


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return sales()


@pytest.fixture(scope="module")
def detector(frame: pd.DataFrame) -> VAEDetector:
    return VAEDetector(baseline_by=KEYS, **FAST).fit(frame)


@pytest.fixture(scope="module")
def by_group_alone(frame: pd.DataFrame) -> VAEDetector:
    """Keys are keys and nothing else, so that groups differ in their units alone."""
    return VAEDetector(baseline_by=KEYS, columns=IDENTIFIERS, **FAST).fit(frame)


def units_of(detector: VAEDetector, rows: pd.DataFrame):
    return detector.encoder_.encode(Table(tuple(rows.columns), rows)).units


def test_row_that_fell_in_its_group_is_the_most_anomalous(detector):
    last = sales(1, seed=5)
    last.loc[2, "volume"] *= 0.2
    assert detector.anomaly_score(last).argmax() == 2
    default = VAEDetector(**FAST).fit(sales())
    assert default.anomaly_score(last).argmax() != 2


@pytest.mark.parametrize("group", [(0, "A"), (1, "B")])
def test_density_of_a_cell_integrates_to_1_in_the_units_of_the_data(by_group_alone, group):
    mean = float(MEANS[group[0], "AB".index(group[1])])
    grid = np.linspace(0.02 * mean, 6 * mean, 400)
    rows = pd.concat([row(store=group[0], product=group[1])] * len(grid), ignore_index=True).assign(volume=grid)
    density = np.exp(by_group_alone.explain(rows).log_likelihood["volume"].to_numpy())
    assert trapezoid(density, grid) == pytest.approx(1, abs=0.02)


def test_rows_as_their_groups_expect_differ_by_the_units_of_these_alone(by_group_alone):
    baseline = by_group_alone.encoder_.baseline
    groups = [(store, product) for store in range(3) for product in "AB"]
    rows = pd.concat([row(store=store, product=product) for store, product in groups], ignore_index=True)
    units = units_of(by_group_alone, rows)
    place = [column.position for column in baseline.columns].index(2)
    rows["volume"] = baseline.columns[place].cells(units.locations[:, place].numpy())
    # What is compared of the degrees is the same, too.
    place = 1 - place
    rows["degrees"] = baseline.columns[place].cells(units.locations[:, place].numpy())
    scores, typical = by_group_alone.score_samples(rows), units_of(by_group_alone, rows).typical.sum(1).numpy()
    np.testing.assert_allclose(scores - typical, (scores - typical)[0], atol=1e-4)
    assert np.ptp(typical) > 4


def test_missing_cell_is_neutral_in_groups_of_all_sizes(by_group_alone):
    groups = [(store, product) for store in range(3) for product in "AB"]
    rows = pd.concat([row(store=store, product=product) for store, product in groups], ignore_index=True)
    rows[["volume", "degrees"]] = np.nan
    scores, typical = by_group_alone.score_samples(rows), units_of(by_group_alone, rows).typical.sum(1).numpy()
    # As rows that hold what is expected: the units of the group, and nothing else.
    np.testing.assert_allclose(scores - typical, (scores - typical)[0], atol=1e-9)
    usual = sales(200, seed=3)
    without = usual.assign(volume=np.nan)
    more = by_group_alone.score_samples(without) - by_group_alone.score_samples(usual)
    by_group = pd.Series(more).groupby([usual["store"], usual["product"]]).mean()
    assert np.abs(by_group).max() < 0.6


def test_units_of_the_group_shift_rows_by_what_their_group_takes(frame):
    own = VAEDetector(baseline_by=KEYS, **QUICK).fit(frame)
    alike = VAEDetector(baseline_by=KEYS, baseline_units="group", **QUICK).fit(frame)
    rows = sales(3, seed=9)
    added = units_of(own, rows).log_jacobians.sum(1).numpy()
    constant = alike.encoder_.baseline.typical_log_jacobians.sum()
    np.testing.assert_allclose(own.score_samples(rows) - added, alike.score_samples(rows) - constant, atol=1e-9)


@pytest.mark.parametrize("row_score", ["pooled_elbo", "elbo", ImportanceWeighted(4), "reconstruction"], ids=str)
def test_scores_that_are_log_densities_are_in_the_units_of_the_data(frame, row_score):
    small = VAEDetector(baseline_by=KEYS, row_score=row_score, **QUICK).fit(frame)
    # The same in thousandths is as probable in an interval of the same length.
    thousandths = frame.assign(volume=1000 * frame["volume"])
    large = VAEDetector(baseline_by=KEYS, row_score=row_score, **QUICK).fit(thousandths)
    rows = sales(2, seed=4)
    expected = small.score_samples(rows) - np.log(1000)
    np.testing.assert_allclose(large.score_samples(rows.assign(volume=1000 * rows["volume"])), expected, atol=0.01)


def test_contributions_add_up_to_the_score(detector):
    rows = pd.concat([sales(2, seed=8), row(volume=np.nan), row(store=77)], ignore_index=True)
    explanation = detector.explain(rows)
    total = explanation.contributions.sum(axis=1) + explanation.kl
    np.testing.assert_allclose(total, explanation.score, atol=1e-8)
    np.testing.assert_allclose(total, detector.anomaly_score(rows), atol=1e-8)


def test_terms_of_the_elbo_are_in_the_units_of_the_data(frame):
    plain = VAEDetector(baseline_by=KEYS, row_score="elbo", **QUICK).fit(frame)
    rows = pd.concat([sales(2, seed=8), row(volume=np.nan)], ignore_index=True)
    np.testing.assert_allclose(plain.elbo_terms(rows).elbo.mean(0), plain.score_samples(rows), atol=1e-4)


def test_reason_names_the_group_and_its_units(detector):
    explanation = detector.explain(row(volume=463.0))
    (reason,) = explanation.reasons(1)[0]
    assert reason.column == "volume"
    assert reason.group == (("store", 1), ("product", "A"))
    assert reason.expected == pytest.approx(2000, rel=0.1)
    assert 0 < reason.lower < reason.expected < reason.upper
    words = f"volume is 463, expected about {reason.expected:,.0f} for store 1 / product A, plausible "
    assert str(reason).startswith(words)
    # The units of its group are no reason: a usual cell adds about as much as a typical one.
    usual = detector.explain(row(volume=reason.expected))
    assert all(abs(other.nats) < 3 for other in usual.reasons(5)[0])


def test_new_group_is_named_as_far_as_it_is_known(detector):
    explanation = detector.explain(row(product="Z", volume=90_000.0))
    assert explanation.groups.iloc[0] == (("store", 1),)
    assert detector.explain(row(store=5, product="Z")).groups.iloc[0] == ()


def test_new_group_is_scored_with_the_units_of_the_group_around(detector):
    known, new = units_of(detector, row(product="Z")), units_of(detector, row(product=None))
    assert (known.locations == new.locations).all()
    assert known.n_known_keys.tolist() == new.n_known_keys.tolist() == [1]


def test_most_rows_of_new_groups_are_warned_of(detector):
    rows = sales(2).assign(store=9)
    with pytest.warns(NewGroupsWarning, match="12 of 12 rows are of groups without a baseline"):
        detector.score_samples(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NewGroupsWarning)
        detector.score_samples(sales(2))


def test_expected_values_are_those_of_the_group(detector):
    rows = sales(1, seed=2)
    holed = rows.assign(volume=np.nan)
    np.testing.assert_allclose(detector.impute(holed)["volume"], MEANS.ravel(), rtol=0.15)
    np.testing.assert_allclose(detector.reconstruct(rows)["volume"], MEANS.ravel(), rtol=0.15)
    wrong = rows.copy()
    wrong.loc[3, "volume"] = 20.0
    repaired = detector.repair(wrong)
    assert repaired.loc[3, "volume"] == pytest.approx(9_000, rel=0.15)
    np.testing.assert_array_equal(repaired.drop(3)["volume"], wrong.drop(3)["volume"])


def test_drawn_rows_have_the_numbers_of_the_group_that_was_drawn(detector):
    drawn = detector.sample(200, random_state=0)
    medians = drawn.groupby(["store", "product"])["volume"].median()
    for (store, product), median in medians.items():
        assert median == pytest.approx(MEANS[int(store), "AB".index(product)], rel=0.2)


def test_scores_depend_on_the_row_alone(detector):
    rows = sales(20, seed=6)
    scores = detector.score_samples(rows)
    np.testing.assert_array_equal(detector.score_samples(rows.iloc[::-1])[::-1], scores)
    np.testing.assert_array_equal(detector.score_samples(rows.iloc[[7]]), scores[[7]])
    shuffled = rows[["date", "volume", "product", "degrees", "store"]]
    np.testing.assert_array_equal(detector.score_samples(shuffled), scores)


def test_rows_of_the_fit_are_judged_without_their_own_numbers():
    rng = np.random.default_rng(0)
    pairs = np.repeat(np.arange(60), 2)
    rows = pd.DataFrame({"pair": pairs, "x": 5 * rng.normal(size=60)[pairs] + rng.normal(size=120)})
    rows.loc[10, "x"] = 100.0
    detector = VAEDetector(baseline_by="pair", columns={"pair": "identifier"}, calibration=None, **QUICK).fit(rows)
    training: _Training = detector._training(Table(tuple(rows.columns), rows), None, np.ones(120, bool), None, None)
    own, plain = training.encoded(), detector.encoder_.encode(training.data)
    assert own.units is not None
    assert plain.units is not None
    # With its own number the group of two moves towards it.
    assert own.units.locations[10, 0] < 8 < 12 < plain.units.locations[10, 0]
    # A row is known again as what it is when it comes.
    assert own.fingerprints().tolist() == plain.fingerprints().tolist()
    judged = detector.training_scores_
    assert judged.argmin() in (10, 11)


def test_rows_that_calibrate_are_in_no_baseline(frame):
    detector = VAEDetector(baseline_by=KEYS, calibration="split", **FAST)
    data = Table(tuple(frame.columns), frame)
    training = detector._training(data, None, np.ones(len(frame), bool), None, None)
    chosen = np.flatnonzero(training.folds >= 0)
    plain = training.encoder.encode(data.take(chosen))
    assert (training.encoded(chosen).values == plain.values).all()


def test_time_is_compared_as_well(frame):
    weekday = frame["date"].dt.day_of_week.to_numpy()
    weekly = frame.assign(volume=frame["volume"] * np.where(weekday >= 5, 0.3, 1.0))
    detector = VAEDetector(baseline_by=KEYS, baseline_time="date", **FAST).fit(weekly)
    assert "weekday" in detector.encoder_.baseline.seasons.used
    sunday, monday = pd.Timestamp("2024-04-07"), pd.Timestamp("2024-04-08")
    rows = pd.concat([row(volume=600.0, date=sunday), row(volume=600.0, date=monday)], ignore_index=True)
    of_sunday, of_monday = detector.anomaly_score(rows)
    assert of_monday > of_sunday + 10
    assert detector.explain(rows).expected["volume"][0] == pytest.approx(600, rel=0.2)


def test_time_alone_compares_with_all_rows(frame):
    detector = VAEDetector(baseline_time="date", **QUICK).fit(frame)
    assert detector.baseline_columns_ == ("date",)
    (reason, *_) = detector.explain(row(volume=1e7)).reasons(1)[0]
    assert reason.group == ()
    assert " for " not in str(reason)


def test_kernels_know_rows_of_the_fit_again(frame):
    detector = VAEDetector(preset="accurate", baseline_by=KEYS, **QUICK).fit(frame[:300])
    assert np.isfinite(detector.score_samples(frame)).all()


def test_parameters_are_those_of_scikit_learn(frame, detector):
    assert clone(detector).get_params()["baseline_by"] == KEYS
    changed = clone(detector).set_params(baseline_by=None, baseline_time="date")
    assert changed.set_params(max_iter=3).fit(frame).baseline_columns_ == ("date",)
    assert detector.baseline_columns_ == ("store", "product")


def test_warm_start_keeps_the_baseline(frame):
    detector = VAEDetector(baseline_by=KEYS, warm_start=True, **QUICK).fit(frame)
    baseline = detector.encoder_.baseline
    assert detector.fit(frame).encoder_.baseline is baseline
    with pytest.raises(SpecificationError, match="baseline_by is None and was"):
        detector.set_params(baseline_by=None).fit(frame)


@pytest.mark.parametrize("row_score", ["kl", "elbo_per_cell", "local_ratio"])
def test_scores_without_units_are_refused(frame, row_score):
    with pytest.raises(SpecificationError, match="is no log-density"):
        VAEDetector(baseline_by=KEYS, row_score=row_score, **FAST).fit(frame)


def test_what_cannot_be_is_refused_in_a_line(frame):
    with pytest.raises(SpecificationError, match="partial_fit has no baseline_by"):
        VAEDetector(baseline_by=KEYS, **FAST).partial_fit(frame)
    with pytest.raises(SpecificationError, match="the rows are images"):
        VAEDetector(baseline_by=KEYS, **FAST).fit(np.random.default_rng(0).normal(size=(30, 4, 4)))
    with pytest.raises(SpecificationError, match="baseline_by names columns by text, not 3"):
        VAEDetector(baseline_by=[3], **FAST).fit(frame)
    with pytest.raises(SpecificationError, match="'volume' is to be Poisson"):
        VAEDetector(baseline_by=KEYS, likelihood="poisson", **FAST).fit(
            frame.assign(volume=frame["volume"].round(), degrees=1.0 + frame["store"])
        )


def test_likelihood_that_was_asked_for_stays(frame):
    detector = VAEDetector(baseline_by=KEYS, likelihood="gaussian", **QUICK).fit(frame)
    assert type(detector.columns_[2].likelihood).__name__ == "Gaussian"


@pytest.mark.parametrize("columns", [None, IDENTIFIERS])
def test_key_that_is_missing_at_score_time_is_named(frame, detector, by_group_alone, columns):
    fitted = detector if columns is None else by_group_alone
    with pytest.raises(DataError, match="'store'"):
        fitted.score_samples(frame.drop(columns="store"))


def test_groups_of_one_row_work():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"id": np.arange(200), "x": rng.normal(size=200), "y": rng.normal(size=200)})
    detector = VAEDetector(baseline_by="id", columns={"id": "identifier"}, **QUICK).fit(rows)
    assert np.isfinite(detector.score_samples(rows)).all()


def test_arrays_have_keys_by_number():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 4, 400)
    rows = np.column_stack([group, 100.0 * group + rng.normal(size=400)])
    detector = VAEDetector(baseline_by="x0", **FAST).fit(rows)
    usual, moved = detector.anomaly_score([[2, 200.0], [2, 100.0]])
    assert moved > usual + 10


def test_graph_is_refused(detector, tmp_path):
    with pytest.raises(SpecificationError, match="compared with their group"):
        export_onnx(detector, tmp_path / "d.onnx")


def test_numbers_before_and_now_are_in_the_same_units(detector, frame):
    report = detector.check_drift(sales(100, seed=7)).frame()
    volume = report[report["column"] == "volume"].iloc[0]
    assert volume["nats_now"] == pytest.approx(volume["nats_before"], abs=0.3)


def test_training_rows_are_let_go(detector):
    assert detector.forget_training_rows() is detector
    with pytest.raises(NotAvailable):
        _ = detector.training_scores_
