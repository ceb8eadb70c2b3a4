"""Detectors that decide by rows that influenced nothing: p-values, thresholds, selections, audits, drift."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vae_anomaly import (
    DataError,
    DataWarning,
    FeatureMapDetector,
    FitWarning,
    PatchDetector,
    PooledELBO,
    SpecificationError,
    VAEDetector,
    load,
    save,
)
from vae_anomaly.data import Table
from vae_anomaly.decisions import CalibrationTooSmall
from vae_anomaly.errors import NotAvailable
from vae_anomaly.fitting import scores_and_comparisons

pytestmark = pytest.mark.filterwarnings("ignore:(held-out|posterior):vae_anomaly.FitWarning")

FAST: dict[str, Any] = {"max_iter": 20, "early_stopping": False, "hidden_layer_sizes": (16,)}


def normal(n_rows: int, seed: int = 0, n_columns: int = 3) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=(n_rows, n_columns))


def mixed(n_rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(50, 10, n_rows),
            "site": rng.choice(["north", "south", "east"], n_rows, p=[0.5, 0.4, 0.1]),
            "age": rng.integers(18, 90, n_rows).astype(float),
        }
    )
    frame.loc[rng.random(n_rows) < 0.1, "age"] = np.nan
    return frame


@pytest.fixture(scope="module")
def split() -> VAEDetector:
    return VAEDetector(calibration="split", **FAST).fit(normal(500))


@pytest.fixture(scope="module")
def cross() -> VAEDetector:
    return VAEDetector(calibration="cross", **FAST).fit(normal(300))


@pytest.fixture(scope="module")
def of_table() -> VAEDetector:
    return VAEDetector(calibration_groups="site", **FAST).fit(mixed(600))


@pytest.fixture(scope="module")
def uncalibrated() -> VAEDetector:
    return VAEDetector(calibration=None, **FAST).fit(normal(300))


@pytest.fixture
def changeable(split: VAEDetector) -> VAEDetector:
    return copy.copy(split)


def test_rows_set_aside_influence_nothing() -> None:
    X = mixed(300)
    detector = VAEDetector(calibration="split", **FAST).fit(X)
    aside = detector.calibration_.suspects.ids
    assert len(aside) == detector.calibration_.n_rows == 60
    other = X.copy()
    other.loc[aside, "amount"] *= 7
    other.loc[aside, "site"] = "nowhere"
    other.loc[aside, "age"] = np.nan
    again = VAEDetector(calibration="split", **FAST).fit(other)
    assert sorted(again.calibration_.suspects.ids) == sorted(aside)
    assert again.columns_ == detector.columns_
    before, after = detector.vae_.state_dict(), again.vae_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    kept = X.drop(index=aside)
    assert np.array_equal(detector.score_samples(kept), again.score_samples(kept))


def test_p_values_of_a_split_calibration_are_ranks_of_the_score(split: VAEDetector) -> None:
    X = normal(50, 1)
    (fold,) = split.calibration_.folds
    known = np.repeat(fold.values, fold.counts)
    expected = [(1 + (known >= score).sum()) / (len(known) + 1) for score in split.anomaly_score(X)]
    assert split.p_values(X).tolist() == expected


def test_p_values_of_a_cross_calibration_compare_by_the_member_that_left_the_fold_out(cross: VAEDetector) -> None:
    X = normal(40, 1)
    model, calibration = cross.model_, cross.calibration_
    batch = model.encoder.encode(Table(("x0", "x1", "x2"), X))
    _, by_member = scores_and_comparisons(model.vae, batch, model.score, model.noise, by_member=True)
    n_at_least = sum(fold.n_at_least(-by_member[:, member]) for member, fold in enumerate(calibration.folds))
    assert calibration.n_rows == 132
    assert cross.p_values(X).tolist() == ((1 + n_at_least) / 133).tolist()


def test_scores_of_the_members_average_to_the_score(cross: VAEDetector) -> None:
    model = cross.model_
    batch = model.encoder.encode(Table(("x0", "x1", "x2"), normal(20, 1)))
    assert isinstance(model.score, PooledELBO)
    mean = dataclasses.replace(model.score, sharpness=0.0)
    score, by_member = scores_and_comparisons(model.vae, batch, mean, model.noise, by_member=True)
    np.testing.assert_allclose(by_member.mean(1), score, rtol=1e-12)


def test_p_value_depends_on_the_row_alone(split: VAEDetector, cross: VAEDetector) -> None:
    X = normal(30, 2)
    for detector in (split, cross):
        together = detector.p_values(X)
        assert np.concatenate([detector.p_values(X[:1]), detector.p_values(X[1:])]).tolist() == together.tolist()
        assert detector.p_values(X[::-1])[::-1].tolist() == together.tolist()


def test_p_value_falls_with_the_score(split: VAEDetector) -> None:
    X = normal(200, 3) * 2
    order = np.argsort(split.anomaly_score(X))
    assert (np.diff(split.p_values(X)[order]) <= 0).all()


def test_decide_has_scores_p_values_and_flags(of_table: VAEDetector) -> None:
    X = mixed(30, 1).set_index(pd.Index(range(100, 130)))
    found = of_table.decide(X)
    assert found.columns.tolist() == ["anomaly_score", "p_value", "is_anomaly"]
    assert found.index.equals(X.index)
    assert found["anomaly_score"].tolist() == of_table.anomaly_score(X).tolist()
    assert found["p_value"].tolist() == of_table.p_values(X).tolist()
    assert (found["is_anomaly"] == (of_table.predict(X) == -1)).all()


def test_groups_have_p_values_of_their_own(of_table: VAEDetector) -> None:
    groups = of_table.calibration_.groups
    assert sorted(groups) == ["east", "north", "south"]
    X = pd.DataFrame({"amount": [1e6] * 3, "site": ["east", "north", "moon"], "age": [20.0] * 3})
    n_rows = {name: sum(fold.n for fold in folds) for name, folds in groups.items()}
    with pytest.warns(DataWarning, match="no calibration row has site='moon'"):
        p_values = of_table.p_values(X)
    assert p_values.tolist() == [1 / (n_rows["east"] + 1), 1 / (n_rows["north"] + 1), 1.0]


def test_group_column_has_to_be_there() -> None:
    with pytest.raises(SpecificationError, match="calibration_groups names column 'moon'"):
        VAEDetector(calibration_groups="moon", **FAST).fit(mixed(100))
    with pytest.raises(SpecificationError, match="the rows are images"):
        VAEDetector(calibration_groups="x0", **FAST).fit(normal(30 * 16).reshape(30, 6, 8))


def test_contamination_is_the_share_of_rows_to_come(split: VAEDetector) -> None:
    detector = VAEDetector(contamination=0.1, calibration="split", **FAST).fit(normal(2000))
    assert detector.threshold_.expected_rate == pytest.approx(0.1, abs=1 / 401)
    assert (detector.predict(normal(4000, 1)) == -1).mean() == pytest.approx(0.1, abs=0.045)


def test_threshold_moves_without_a_fit(changeable: VAEDetector) -> None:
    X = normal(300, 4)
    changeable.set_threshold(false_alarm_rate=0.05)
    assert changeable.threshold_.expected_rate == 5 / 101
    assert changeable.offset_ == -changeable.threshold_.score
    assert (changeable.predict(X) == -1).tolist() == (changeable.p_values(X) <= 5 / 101).tolist()
    changeable.set_threshold(n_alerts=2, per=100)
    assert changeable.threshold_.expected_rate == 2 / 101
    changeable.set_threshold(score=3.5)
    assert changeable.offset_ == -3.5
    changeable.offset_ = -4.0
    assert changeable.threshold_.score == 4.0
    changeable.set_threshold(labels=(np.array([[0.0] * 3, [9.0] * 3]), [0, 1]))
    assert changeable.predict([[0.0] * 3, [9.0] * 3]).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "takes one of false_alarm_rate, n_alerts, contamination, labels, score; none was given"),
        ({"score": 1.0, "contamination": 0.1}, "contamination and score was given"),
        ({"score": 1.0, "per": 10}, "per belongs to n_alerts"),
        ({"contamination": 0.1, "confidence": 0.9}, "confidence belongs to false_alarm_rate"),
        ({"false_alarm_rate": 0.1, "cost": 2}, "cost belongs to labels"),
        ({"n_alerts": 3}, "n_alerts needs per"),
        ({"false_alarm_rate": 0.0}, "false_alarm_rate"),
        ({"false_alarm_rate": 1.0}, "false_alarm_rate"),
        ({"false_alarm_rate": -0.1}, "false_alarm_rate"),
        ({"false_alarm_rate": float("nan")}, "false_alarm_rate"),
        ({"false_alarm_rate": 0.1, "confidence": 1.0}, "confidence"),
        ({"contamination": 0.6}, "contamination"),
        ({"score": float("nan")}, "score is a number"),
        ({"labels": [1, 2, 3]}, "labels is a pair"),
        ({"labels": (np.zeros((2, 3)), [0, 7])}, "labels are 0 and 1"),
        ({"labels": (np.zeros((2, 3)), [0, 1, 1])}, "3 labels for 2 rows"),
    ],
)
def test_threshold_refuses_what_it_cannot_do(changeable: VAEDetector, given: Any, message: str) -> None:
    before = changeable.threshold_
    with pytest.raises((SpecificationError, DataError), match=message):
        changeable.set_threshold(**given)
    assert changeable.threshold_ is before


def test_too_few_calibration_rows_are_counted(changeable: VAEDetector) -> None:
    with pytest.raises(CalibrationTooSmall, match=r"needs at least 299 calibration rows, and there are 100"):
        changeable.set_threshold(false_alarm_rate=0.01, confidence=0.95)
    with pytest.warns(DataWarning, match="less than one of 100 calibration rows"):
        changeable.set_threshold(contamination=0.001)
    assert changeable.threshold_.expected_rate == 1 / 101


def test_threshold_table_has_rates_and_bounds(split: VAEDetector) -> None:
    table = split.threshold_table()
    assert table.loc[0.1, "threshold"] == split.calibration_.folds[0].kth_largest(10)
    assert table["threshold"].isna().tolist() == [rate < 1 / 101 for rate in table.index]


def test_table_below_the_resolution_is_filled_by_a_model_that_says_so(changeable: VAEDetector) -> None:
    table = changeable.calibrate(normal(998, 7)).threshold_table(extrapolate=True)
    assert table["model_based"].tolist() == [rate < 1 / 999 for rate in table.index]
    assert table.loc[0.0005, "threshold"] >= changeable.calibration_.folds[0].kth_largest(1)


def test_calibration_is_replaced_by_other_normal_rows(changeable: VAEDetector) -> None:
    changeable.set_threshold(false_alarm_rate=0.05)
    changeable.calibrate(normal(999, 7))
    assert (changeable.calibration_.n_rows, changeable.calibration_.smallest_p) == (999, 0.001)
    assert changeable.threshold_.expected_rate == 0.05
    assert (changeable.predict(normal(999, 7)) == -1).sum() == 49


@pytest.mark.parametrize("kind", ["split", "cross"])
def test_rows_that_were_trained_on_do_not_calibrate(kind: str, request: pytest.FixtureRequest) -> None:
    detector = copy.copy(request.getfixturevalue(kind))
    trained = normal(500 if kind == "split" else 300)
    with pytest.raises(DataError, match="rows were trained on"):
        detector.calibrate(trained)
    with pytest.raises(DataError, match=r"\d of 560 rows"):
        detector.calibrate(np.concatenate([normal(500, 9), trained[:60]]))


def test_copies_of_rows_calibrate_where_tables_have_copies() -> None:
    X = np.random.default_rng(0).integers(0, 2, (400, 4)).astype(float)
    detector = VAEDetector(calibration="split", **FAST).fit(X)
    detector.calibrate(np.random.default_rng(1).integers(0, 2, (300, 4)).astype(float))
    assert detector.calibration_.n_rows == 300


def test_copies_of_continuous_rows_are_warned_of() -> None:
    X = normal(150)
    with pytest.warns(FitWarning, match="calibration rows are equal to rows that were trained on"):
        VAEDetector(calibration="split", **FAST).fit(np.concatenate([X, X]))


def test_model_without_a_calibration_says_what_to_do(uncalibrated: VAEDetector) -> None:
    detector = copy.copy(uncalibrated)
    for ask in (
        lambda: detector.p_values(normal(3)),
        lambda: detector.select(normal(3)),
        detector.threshold_table,
        detector.audit,
        lambda: detector.check_drift(normal(3)),
        lambda: detector.set_threshold(contamination=0.1),
    ):
        with pytest.raises(NotAvailable, match=r"no calibration.*calibrate\(X\)"):
            ask()
    assert detector.decide(normal(3))["p_value"].isna().all()
    detector.set_threshold(score=2.0)
    assert detector.offset_ == -2.0
    detector.calibrate(normal(100, 5))
    assert detector.p_values(normal(3, 6)).min() >= 1 / 101


def test_few_rows_cannot_be_set_aside() -> None:
    with pytest.warns(FitWarning, match="12 rows are too few to set any aside"):
        detector = VAEDetector(calibration="split", **FAST).fit(normal(12))
    with pytest.raises(NotAvailable):
        detector.p_values(normal(2))


@pytest.mark.parametrize(("n_rows", "n_calibration"), [(9, 4), (20, 8), (60, 24)])
def test_small_tables_are_cross_fitted(n_rows: int, n_calibration: int) -> None:
    detector = VAEDetector(**FAST).fit(normal(n_rows))
    assert detector.calibration_.n_rows == n_calibration
    assert detector.p_values([[50.0] * 3]).tolist() == [1 / (n_calibration + 1)]


@pytest.mark.parametrize("kind", ["split", "cross"])
def test_what_columns_are_is_not_learned_from_rows_that_calibrate(kind: str) -> None:
    X = mixed(300)
    detector = VAEDetector(calibration=kind, **FAST).fit(X)
    other = X.copy()
    calibrating = detector.calibration_.suspects.ids
    other.loc[calibrating, "amount"] *= 1000
    other.loc[calibrating, "site"] = "nowhere"
    again = VAEDetector(calibration=kind, **FAST).fit(other)
    assert again.columns_ == detector.columns_
    assert torch.equal(again.vae_.start, detector.vae_.start)


def test_selection_is_that_of_the_whole_table(split: VAEDetector) -> None:
    X = np.concatenate([normal(60, 1), np.full((12, 3), 9.0)])
    chosen = split.select(X, fdr=0.2)
    p = np.sort(split.p_values(X))
    passing = np.flatnonzero(p <= 0.2 * np.arange(1, len(p) + 1) / len(p))
    assert chosen.sum() == passing[-1] + 1
    selection, same = split.selection(X, fdr=0.2)
    assert same.tolist() == chosen.tolist()
    assert "72 rows are selected" in selection.sentence()


def test_selection_without_power_is_refused_with_numbers(split: VAEDetector) -> None:
    with pytest.raises(SpecificationError, match="calibration rows"):
        split.select(normal(20_000, 1), fdr=0.01)


def test_audit_lists_the_most_anomalous_calibration_rows_with_reasons() -> None:
    X = mixed(600)
    X.loc[[5, 17], "amount"] = 900.0
    X.index = pd.Index(range(1000, 1600))
    detector = VAEDetector(**FAST).fit(X)
    listed = detector.audit(4, X)
    assert len(listed) == 4
    assert listed["anomaly_score"].is_monotonic_decreasing
    assert listed["p_value"].iloc[0] == 1 / detector.calibration_.n_rows
    assert listed["id"].isin(X.index).all()
    # The score of an ordinary row may be that of the combination alone.
    assert all(" is " in reason or reason == "no cell adds to the score" for reason in listed["reason"])
    assert " is " in listed["reason"].iloc[0]
    first = listed["id"].iloc[0]
    n_before = detector.calibration_.n_rows
    detector.confirm([first, listed["id"].iloc[1]], [True, False])
    assert detector.calibration_.n_rows == n_before - 1
    assert not detector.audit(50)["id"].isin(listed["id"][:2]).any()
    with pytest.raises(DataError):
        detector.confirm([first], [True])
    with pytest.raises(SpecificationError, match="has not the rows"):
        detector.audit(3, X.iloc[:10])
    for n_rows in (0, -1, True, 2.5):
        with pytest.raises(SpecificationError, match="n_rows is a positive integer"):
            detector.audit(n_rows)  # type: ignore[arg-type]


def test_rows_of_weight_0_do_not_calibrate_and_the_others_keep_their_names() -> None:
    X, weights = normal(300), np.ones(300)
    weights[::3] = 0
    detector = VAEDetector(**FAST).fit(X, sample_weight=weights)
    ids = detector.calibration_.suspects.ids
    assert (ids % 3 > 0).all()
    assert ids.max() > 200
    named = VAEDetector(**FAST).fit(pd.DataFrame(X, index=range(900, 1200)), sample_weight=weights)
    assert named.calibration_.suspects.ids.tolist() == (ids + 900).tolist()


def test_drift_names_the_column_that_moved_in_its_unit(of_table: VAEDetector) -> None:
    detector = copy.copy(of_table)
    moved = mixed(300, 5)
    moved["amount"] += 12
    report = detector.check_drift(moved)
    assert report.drifted
    assert report.moved[0].column == "amount"
    assert report.moved[0].before == pytest.approx(50, abs=3)
    assert report.moved[0].now == pytest.approx(62, abs=3)
    assert "'amount': median" in report.sentence()
    frame = report.frame()
    assert frame.iloc[0]["column"] == "amount"
    assert frame.iloc[0]["nats_now"] > frame.iloc[0]["nats_before"]


def test_drift_sees_new_levels_and_missing_cells(of_table: VAEDetector) -> None:
    detector = copy.copy(of_table)
    other = mixed(300, 6)
    other.loc[::8, "site"] = "moon"
    other.loc[::3, "age"] = np.nan
    found = {(shift.column, shift.what): shift for shift in detector.check_drift(other).moved}
    assert found["site", "levels"].n_unseen == 38
    assert found["age", "missing"].now == pytest.approx(0.4, abs=0.05)


def test_rows_as_before_do_not_drift(of_table: VAEDetector) -> None:
    report = copy.copy(of_table).check_drift(mixed(300, 8))
    assert not report.drifted
    assert report.sentence().startswith("No drift in 300 rows")
    with pytest.raises(SpecificationError, match="alpha"):
        of_table.check_drift(mixed(30), alpha=1.0)


def test_stream_goes_on_in_the_model_file_as_if_it_had_not_stopped(of_table: VAEDetector, tmp_path: Path) -> None:
    one, other = copy.copy(of_table), copy.copy(of_table)
    one.check_drift(mixed(100, 1))
    save(one, tmp_path / "model.vae")
    loaded = load(tmp_path / "model.vae")
    last, again = loaded.check_drift(mixed(100, 2)), other.check_drift(pd.concat([mixed(100, 1), mixed(100, 2)]))
    assert last.stream.capital == again.stream.capital
    assert last.stream.n_seen == 200


def test_calibration_is_in_the_model_file(of_table: VAEDetector, cross: VAEDetector, tmp_path: Path) -> None:
    for detector, X in ((of_table, mixed(50, 3)), (cross, normal(50, 3))):
        save(detector, tmp_path / "model.vae")
        loaded = load(tmp_path / "model.vae")
        assert loaded.p_values(X).tolist() == detector.p_values(X).tolist()
        assert loaded.threshold_ == detector.threshold_
        pd.testing.assert_frame_equal(loaded.audit(20), detector.audit(20))
        with pytest.raises(DataError, match="trained on"):
            loaded.calibrate(mixed(600) if detector is of_table else normal(300))


def test_fit_that_goes_on_does_not_calibrate_with_rows_of_the_fit_before() -> None:
    detector = VAEDetector(calibration="cross", warm_start=True, **FAST).fit(normal(200))
    folds = [fold.n for fold in detector.calibration_.folds]
    detector.fit(normal(200))
    assert [fold.n for fold in detector.calibration_.folds] == folds
    detector.fit(normal(200)[::-1])
    assert sum(fold.n for fold in detector.calibration_.folds) < sum(folds)


def test_stream_of_batches_sets_rows_aside() -> None:
    detector = VAEDetector(**FAST)
    for part in np.split(normal(400), 4):
        detector.partial_fit(part)
    assert detector.calibration_.kind == "split"
    assert detector.calibration_.n_rows == 80
    assert detector.check_drift(normal(200, 1) + np.array([0.0, 3.0, 0.0])).moved[0].column == "x1"


def test_column_that_rows_set_aside_make_text_is_text() -> None:
    frame = mixed(300)
    aside = VAEDetector(calibration="split", **FAST).fit(frame).calibration_.suspects.ids
    frame = frame.astype({"amount": object})
    frame.loc[aside[:40], "amount"] = "much"
    with pytest.warns(DataWarning) as caught:
        detector = VAEDetector(calibration="split", **FAST).fit(frame)
    assert any("'amount' is set aside: 240 distinct texts" in str(warning.message) for warning in caught)
    assert detector.columns_[0].kind == "identifier"


def test_row_that_is_wrong_has_the_number_that_it_was_given_with() -> None:
    frame = mixed(300).astype({"age": float})
    frame.iloc[250, frame.columns.get_loc("age")] = np.inf
    with pytest.raises(DataError, match="index 250"):
        VAEDetector(calibration="split", **FAST).fit(frame)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cross", "split"])
def test_p_values_of_new_rows_are_not_too_small_in_small_wide_tables(kind: str) -> None:
    shares = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        detector = VAEDetector(calibration=kind, random_state=seed).fit(rng.normal(size=(60, 20)))
        shares.append([(detector.p_values(rng.normal(size=(300, 20))) <= level).mean() for level in (0.02, 0.05, 0.1)])
    mean, error = np.mean(shares, axis=0), np.std(shares, axis=0) / np.sqrt(len(shares))
    assert (mean <= np.array([0.02, 0.05, 0.1]) + 3 * error).all()


@pytest.fixture(scope="module")
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(90, 160, (60, 16, 16)).astype(np.uint8)


@pytest.mark.parametrize(
    "detector",
    [
        VAEDetector(max_iter=5),
        PatchDetector(max_iter=5, hidden_layer_sizes=(8,), n_windows=256, window=8),
        FeatureMapDetector(torch.nn.AvgPool2d(4), calibration="split"),
    ],
    ids=["VAEDetector", "PatchDetector", "FeatureMapDetector"],
)
@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
def test_detectors_of_images_calibrate(detector: Any, images: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    detector.fit(images)
    assert (detector.calibration_.kind, detector.calibration_.n_rows) == ("split", 12)
    odd = images[:3].copy()
    odd[:, 4:12, 4:12] = 255
    assert detector.p_values(odd).tolist() == [1 / 13] * 3
    assert detector.set_threshold(false_alarm_rate=0.2).threshold_.expected_rate == 2 / 13
    assert detector.predict(odd).tolist() == [-1] * 3
    with pytest.raises(DataError, match="trained on"):
        detector.calibrate(images)
    others = np.random.default_rng(1).integers(90, 160, (30, 16, 16)).astype(np.uint8)
    assert detector.calibrate(others).calibration_.n_rows == 30
    assert not detector.check_drift(np.random.default_rng(2).integers(90, 160, (30, 16, 16)).astype(np.uint8)).moved


def test_level_that_only_a_calibration_row_has_is_new_to_the_members_that_judge_it() -> None:
    frame = mixed(200)
    row = VAEDetector(calibration="cross", **FAST).fit(frame).calibration_.suspects.ids[0]
    frame.loc[row, "site"] = "west"
    detector = VAEDetector(calibration="cross", **FAST).fit(frame)
    suspects = detector.calibration_.suspects
    (at,) = np.flatnonzero(suspects.ids == row)
    other = frame.loc[[row]].assign(site="of no row")
    assert suspects.scores[at] == detector.compared(other).comparisons[0, suspects.folds[at]]


@pytest.mark.slow
def test_new_levels_are_not_more_anomalous_than_those_of_calibration_rows() -> None:
    def drawn(rng: np.random.Generator, n_rows: int) -> pd.DataFrame:
        return pd.DataFrame(
            {name: [f"level {level}" for level in rng.zipf(1.5, n_rows).clip(max=400)] for name in "abc"}
        )

    shares = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        detector = VAEDetector(calibration="cross", **FAST | {"random_state": seed}).fit(drawn(rng, 200))
        shares.append((detector.p_values(drawn(rng, 300)) <= 0.1).mean())
    assert np.mean(shares) <= 0.1 + 3 * np.std(shares) / np.sqrt(len(shares))


def test_rows_of_every_fit_before_are_known_and_do_not_calibrate() -> None:
    first, second = normal(200), normal(200, 1)
    warm = VAEDetector(calibration="split", warm_start=True, **FAST).fit(first).fit(second)
    stream = VAEDetector(max_samples=20, **FAST)
    for seed in range(6):
        stream.partial_fit(normal(200, seed))
    for detector in (warm, stream):
        with pytest.raises(DataError, match="were trained on"):
            detector.calibrate(first)
        detector.calibrate(normal(200, 9))


def test_groups_are_the_same_whichever_dtype_holds_them() -> None:
    frame = mixed(400).assign(line=np.arange(400) % 2)
    detector = VAEDetector(calibration="split", calibration_groups="line", **FAST).fit(frame)
    new = mixed(50, 1).assign(line=np.arange(50) % 2)
    with_a_gap = new.astype({"line": float})
    with_a_gap.loc[0, "line"] = np.nan
    assert set(detector.calibration_.groups) == {"0", "1"}
    with pytest.warns(DataWarning, match="no calibration row has line='missing'"):
        found = detector.p_values(with_a_gap)
    assert np.array_equal(detector.p_values(new)[1:], found[1:])


def test_groups_are_those_of_the_calibration_whatever_the_parameter_became() -> None:
    frame, new = mixed(400), mixed(50, 1)
    detector = VAEDetector(calibration="split", calibration_groups="site", **FAST).fit(frame)
    expected = detector.p_values(new)
    for name in (None, "age", "of no column"):
        assert np.array_equal(detector.set_params(calibration_groups=name).p_values(new), expected)
    assert detector.calibrate(mixed(400, 2)).calibration_.group_column == "site"


def test_stream_has_no_groups_and_says_so() -> None:
    with pytest.raises(SpecificationError, match="partial_fit has no calibration_groups"):
        VAEDetector(calibration_groups="site", **FAST).partial_fit(mixed(200))


@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
def test_images_set_aside_do_not_scale_the_pixels_of_patches() -> None:
    images = np.random.default_rng(0).normal(size=(30, 16, 16))
    parameters: dict[str, Any] = {"n_windows": 256, "max_iter": 5, "hidden_layer_sizes": (16,), "top_pixels": 10}
    first = PatchDetector(**parameters).fit(images)
    changed = images.copy()
    changed[first.calibration_.suspects.ids] *= 3
    second = PatchDetector(**parameters).fit(changed)
    kept = np.setdiff1d(np.arange(30), first.calibration_.suspects.ids)
    assert second.encoder_.columns == first.encoder_.columns
    assert np.array_equal(second.score_samples(images[kept]), first.score_samples(images[kept]))


def test_audit_refuses_other_rows_than_it_lists(changeable: VAEDetector) -> None:
    for others in (normal(500) + 1, normal(500)[:0], normal(20)):
        with pytest.raises(SpecificationError, match="has not the rows of the audit"):
            changeable.audit(3, others)
    assert changeable.audit(3, normal(500)).id.tolist() == changeable.audit(3).id.tolist()
    listed = changeable.audit(1_000)
    changeable.confirm(listed["id"], np.zeros(len(listed), dtype=bool))
    assert changeable.audit(3, normal(500)).columns.tolist() == ["id", "anomaly_score", "p_value", "reason"]


def test_audit_takes_ids_as_it_lists_them(changeable: VAEDetector) -> None:
    before = changeable.decisions_
    listed = changeable.audit(2)["id"]
    for ids in (listed + 0.5, listed.astype(str), listed * np.nan):
        with pytest.raises(DataError, match="whole numbers"):
            changeable.confirm(ids, [True, True])
    assert changeable.decisions_ is before
    assert changeable.confirm([], []).calibration_.n_rows == before.calibration.n_rows
    frame = pd.DataFrame(normal(400), index=np.arange(400, dtype=np.uint64) + np.uint64(2**63))
    assert (VAEDetector(calibration="split", **FAST).fit(frame).audit(5)["id"] >= 0).all()


def test_stream_starts_with_a_fold_that_has_rows() -> None:
    detector = VAEDetector(calibration="cross", **FAST).fit(normal(20))
    suspects = detector.calibration_.suspects
    detector.confirm(suspects.ids[suspects.folds == 0], [True] * 2)
    assert [fold.n for fold in detector.calibration_.folds] == [0, 2, 2, 2]
    assert detector.check_drift(normal(20, 1)).stream.n_reference == 2


def test_another_dtype_is_no_drift() -> None:
    def flags(n_rows: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        return pd.DataFrame({"x": rng.normal(size=n_rows), "on": rng.random(n_rows) < 0.3})

    detector = VAEDetector(calibration="split", **FAST).fit(flags(300, 0))
    new = flags(100, 1)
    expected = detector.column_samples(new)[1].levels
    assert set(expected) == {"True", "False"}
    for dtype in ("int64", "float32", "boolean", object):
        assert detector.column_samples(new.astype({"on": dtype}))[1].levels == expected


@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.FileLeftOutWarning")
def test_files_cut_short_leave_the_names_of_the_others_as_they_are(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(90, 160, (40, 32, 32)).astype(np.uint8)
    paths = [tmp_path / f"{number:02}.png" for number in range(40)]
    for path, pixels in zip(paths, images, strict=True):
        Image.fromarray(pixels).save(path)
    for path in paths[3:9]:
        path.write_bytes(path.read_bytes()[:400])
    for seed in range(3):
        detector = FeatureMapDetector(torch.nn.AvgPool2d(4), random_state=seed, calibration="split").fit(paths)
        suspects = detector.calibration_.suspects
        assert np.array_equal(detector.anomaly_score(images[suspects.ids]), suspects.scores)
        crossed = FeatureMapDetector(torch.nn.AvgPool2d(4), random_state=seed).fit(paths)
        suspects = crossed.calibration_.suspects
        assert len(suspects.ids) == 34
        assert np.array_equal(crossed.compared(images[suspects.ids]).fingerprints, suspects.fingerprints)


def test_trained_rows_among_a_few_new_ones_are_no_chance_where_no_row_is_like_another() -> None:
    rows = normal(60)
    detector = VAEDetector(calibration="split", **FAST).fit(rows)
    trained = np.setdiff1d(np.arange(60), detector.calibration_.suspects.ids)[:12]
    with pytest.raises(DataError, match="12 of 60 rows were trained on"):
        detector.calibrate(np.concatenate([rows[trained], normal(48, 1)]))
    detector.calibrate(normal(48, 1))


@pytest.mark.parametrize(("prior", "tells"), [("exemplar", True), ("standard_normal", False)])
def test_fingerprints_are_there_for_who_asks_whether_scores_need_them_or_not(prior: str, tells: bool) -> None:
    detector = VAEDetector(prior=prior, calibration="split", **FAST).fit(normal(200))
    assert detector.model_.tells_copies == tells
    rows = normal(5, 1)
    expected = detector.model_.encoder.encode(Table(("x0", "x1", "x2"), rows)).fingerprints().numpy()
    assert np.array_equal(detector.compared(rows).fingerprints, expected)
    assert np.array_equal(detector.compared(rows).take(np.array([3])).fingerprints, expected[[3]])
