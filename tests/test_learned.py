"""`learn`: what reviewed rows teach a detector, and what it leaves as it was."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from vae_anomaly import DataError, FitWarning, SpecificationError, VAEDetector, load, save
from vae_anomaly.errors import NotAvailable

FAST = {"max_iter": 12, "n_estimators": 2, "early_stopping": False, "random_state": 0}
N = 400


def table(seed, n=N):
    """Numbers, counts and levels with missing cells, a constant column; of one row in twenty `a` is high."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": rng.normal(size=n),
            "kind": rng.choice(["x", "y", "z"], n, p=[0.5, 0.4, 0.1]),
            "n": rng.poisson(4, n),
            "same": 1.0,
        }
    )
    frame.loc[::17, "b"] = np.nan
    frame.loc[::23, "kind"] = None
    frame.loc[3::20, "a"] += 6
    frame.loc[5::20, "b"] += 6
    return frame


def is_high(frame):
    """What the reviewer says: a high `a` is what he looks for, a high `b` is not."""
    return (frame["a"] > 3).to_numpy()


def learned_from(detector, frame, y=None, k=60, **options):
    """A copy of a detector that has learned from the rows to look at first."""
    rows = frame.iloc[detector.review(frame, k=k)["row"]]
    other = copy.deepcopy(detector)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        other.learn(rows, is_high(rows) if y is None else y(rows), **options)
    return other


@pytest.fixture(scope="module")
def split():
    """A detector whose calibration rows train nothing."""
    return VAEDetector(calibration="split", max_samples=80, **FAST).fit(table(0))


@pytest.fixture(scope="module")
def crossed():
    """A detector whose members leave folds out."""
    return VAEDetector(calibration="cross", **FAST).fit(table(0))


@pytest.fixture(scope="module", params=["split", "crossed"])
def before(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def learned(before):
    return learned_from(before, table(0))


@pytest.fixture(scope="module")
def rows():
    return table(1)


def test_likelihood_score_is_the_score_of_before_to_the_last_bit(before, learned, rows):
    scores = before.anomaly_score(rows)
    assert np.array_equal(learned.likelihood_score(rows), scores)
    assert np.array_equal(before.likelihood_score(rows), scores)
    assert not np.array_equal(learned.anomaly_score(rows), scores)


def test_forgetting_gives_scores_decisions_and_explanations_of_before(before, learned, rows):
    forgotten = copy.deepcopy(learned).forget_answers()
    assert forgotten.answers_ is None
    assert forgotten.learned_ is None
    pd.testing.assert_frame_equal(forgotten.decide(rows), before.decide(rows), check_exact=True)
    assert forgotten.threshold_ == before.threshold_
    first, second = forgotten.explain(rows.head(9)), before.explain(rows.head(9))
    pd.testing.assert_frame_equal(first.contributions, second.contributions, check_exact=True)


def test_forgetting_gives_the_file_of_before(before, learned, tmp_path):
    save(before, tmp_path / "before.vae")
    save(copy.deepcopy(learned).forget_answers(), tmp_path / "after.vae")
    assert (tmp_path / "after.vae").read_bytes() == (tmp_path / "before.vae").read_bytes()


def test_turning_it_off_and_on_gives_both_again(before, learned, rows):
    other = copy.deepcopy(learned).use_answers(False)
    pd.testing.assert_frame_equal(other.decide(rows), before.decide(rows), check_exact=True)
    assert other.answers_.n_rows == learned.answers_.n_rows
    assert not other.learned_.in_use
    other.use_answers(True)
    pd.testing.assert_frame_equal(other.decide(rows), learned.decide(rows), check_exact=True)
    assert other.threshold_ == learned.threshold_


def test_contributions_add_up_to_the_learned_score(learned, rows):
    found = learned.explain(rows.head(40))
    total = found.contributions.sum(axis=1) + found.kl
    np.testing.assert_allclose(total, learned.anomaly_score(rows.head(40)), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(found.score, learned.anomaly_score(rows.head(40)), rtol=1e-9, atol=1e-8)


def test_contributions_of_a_column_differ_by_what_was_learned_of_it(before, learned, rows):
    """By hand from `frame()`: excess nats times the weight, deviations times the slope, and the level."""
    some = rows.head(40)
    gained = learned.explain(some).contributions - before.explain(some).contributions
    told = learned.learned_.frame().set_index(["column", "kind", "level"])["added"]
    typical = before.explain(some).typical
    for name in ("kind",):
        excess = before.explain(some).contributions[name] - typical[name]
        nats = told.get((name, "nats", ""), 0.0) * excess
        levels = some[name].map(lambda level, name=name: told.get((name, "level", repr(level)), 0.0))
        present = some[name].notna()
        np.testing.assert_allclose(gained[name][present], (nats + levels)[present], rtol=1e-6, atol=1e-6)
        assert (gained[name][~present] == 0).all()


def test_score_of_a_row_depends_on_nothing_but_the_row(learned, rows):
    whole = learned.anomaly_score(rows)
    order = np.random.default_rng(0).permutation(len(rows))
    assert np.array_equal(learned.anomaly_score(rows.iloc[order]), whole[order])
    assert np.array_equal([learned.anomaly_score(rows.iloc[[row]])[0] for row in range(12)], whole[:12])
    parts = [learned.anomaly_score(rows.iloc[start : start + 37]) for start in range(0, len(rows), 37)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_order_of_the_answers_does_not_matter(before, learned, rows):
    frame = table(0)
    reviewed = frame.iloc[before.review(frame, k=60)["row"]]
    order = np.random.default_rng(1).permutation(60)
    other = copy.deepcopy(before).learn(reviewed.iloc[order], is_high(reviewed)[order])
    np.testing.assert_allclose(other.anomaly_score(rows), learned.anomaly_score(rows), rtol=1e-6, atol=1e-5)


def test_learning_again_begins_anew(before, learned, rows):
    again = learned_from(copy.deepcopy(before), table(0))
    reviewed = table(0).iloc[before.review(table(0), k=60)["row"]]
    again.learn(reviewed, is_high(reviewed))
    pd.testing.assert_frame_equal(again.decide(rows), learned.decide(rows), check_exact=True)


@pytest.mark.parametrize(
    "written",
    [
        lambda y: y.astype(int),
        lambda y: y.astype(float),
        lambda y: np.where(y, -1, 1),
        pd.Series,
        lambda y: y.tolist(),
    ],
)
def test_answers_may_be_written_in_several_ways(split, written):
    frame = table(0)
    expected = learned_from(split, frame).anomaly_score(frame)
    assert np.array_equal(
        learned_from(split, frame, lambda rows: written(is_high(rows))).anomaly_score(frame), expected
    )


def test_equal_rows_count_once(split, rows):
    frame = table(0)
    reviewed = frame.iloc[split.review(frame, k=60)["row"]]
    once, twice = copy.deepcopy(split), copy.deepcopy(split)
    once.learn(reviewed, is_high(reviewed))
    doubled = pd.concat([reviewed, reviewed])
    twice.learn(doubled, is_high(doubled))
    assert twice.answers_.n_rows == once.answers_.n_rows == 60
    assert np.array_equal(twice.anomaly_score(rows), once.anomaly_score(rows))


def test_equal_rows_with_different_answers_are_refused_by_name(split):
    reviewed = table(0).head(6).set_axis(list("pqrstu"))
    both = pd.concat([reviewed, reviewed.loc[["r"]].rename(index={"r": "v"})])
    other = copy.deepcopy(split)
    with pytest.raises(DataError, match="rows r and v have equal cells, and one is normal and the other anomalous"):
        other.learn(both, [0, 1, 0, 1, 0, 0, 1])
    assert other.answers_ is None


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 2, 0, 1, 0],
        [0, 1, np.nan, 0, 1, 0],
        [0, 1],
        ["a", "b", "a", "b", "a", "b"],
        [0, 1, None, 0, 1, 0],
        pd.array([True, None, False, True, False, True], dtype="boolean"),
        [[0, 1]] * 6,
        [0, 1, -1, 0, 1, 1],
        None,
        0.5,
    ],
)
def test_other_answers_are_refused_and_leave_the_detector_as_it_was(split, y, rows):
    other = copy.deepcopy(split)
    with pytest.raises((SpecificationError, DataError)):
        other.learn(table(0).head(6), y)
    assert other.answers_ is None
    assert np.array_equal(other.anomaly_score(rows), split.anomaly_score(rows))


@pytest.mark.parametrize("anomalous", [0, 1])
def test_normal_rows_alone_are_moved_below_the_threshold_and_anomalies_alone_move_nothing(split, rows, anomalous):
    reviewed = table(0).iloc[split.review(table(0), k=10)["row"]]
    other = copy.deepcopy(split)
    said = "anomalous: scores stay as they are" if anomalous else "normal: rows like them are moved below"
    with pytest.warns(FitWarning, match=f"all 10 reviewed rows are {said}"):
        other.learn(reviewed, [anomalous] * 10)
    assert (other.answers_.n_rows, other.answers_.n_anomalies) == (10, 10 * anomalous)
    gained = other.anomaly_score(reviewed) - split.anomaly_score(reviewed)
    assert (gained == 0).all() if anomalous else (gained < 0).all()
    assert np.array_equal(other.likelihood_score(rows), split.anomaly_score(rows))
    assert not set(other.review(table(0), k=N)["row"]) & set(split.review(table(0), k=10)["row"])


def test_one_anomaly_and_one_normal_row_are_enough(split, rows):
    other = copy.deepcopy(split).learn(table(0).iloc[[3, 5]], [1, 0])
    assert np.isfinite(other.anomaly_score(rows)).all()


@pytest.mark.parametrize("whole", [False, True])
def test_rows_without_values_and_unseen_levels_have_finite_scores(learned, rows, whole):
    odd = rows.head(8).copy()
    odd["kind"] = "never seen"
    odd.loc[0, ["a", "b", "n", "same"]] = np.nan
    odd.loc[1, "a"] = 1e12
    odd.loc[2, "same"] = 7.0
    odd.loc[3, "b"] = -1e300
    if whole:
        odd = odd.iloc[[1, 2, 3]]
    assert np.isfinite(learned.anomaly_score(odd)).all()
    found = learned.explain(odd)
    total = found.contributions.sum(axis=1) + found.kl
    np.testing.assert_allclose(total, learned.anomaly_score(odd), rtol=1e-9, atol=1e-6)


def test_missing_cell_adds_nothing_of_what_was_learned(before, learned, rows):
    some = rows.head(20).assign(b=np.nan)
    gained = learned.explain(some).contributions["b"] - before.explain(some).contributions["b"]
    assert (gained == 0).all()


def test_other_columns_are_refused(split):
    with pytest.raises(DataError, match="'a'"):
        copy.deepcopy(split).learn(table(0).head(6).drop(columns="a"), [0, 1, 0, 1, 0, 1])
    with pytest.raises(NotFittedError):
        VAEDetector().learn(table(0).head(6), [0, 1, 0, 1, 0, 1])


def test_rows_that_the_model_has_never_seen_teach_too(split, rows):
    reviewed = table(7).head(40)
    other = copy.deepcopy(split).learn(reviewed, is_high(reviewed))
    assert other.answers_.n_rows == 40
    assert not np.array_equal(other.anomaly_score(rows), split.anomaly_score(rows))


def test_copies_learn_by_themselves(split, rows):
    scores = split.anomaly_score(rows)
    learned_from(split, table(0))
    assert split.answers_ is None
    assert np.array_equal(split.anomaly_score(rows), scores)


def test_clones_know_nothing(learned):
    fresh = clone(learned)
    assert fresh.get_params() == learned.get_params()
    assert not hasattr(fresh, "model_")


def test_pickles_and_files_keep_all_of_it(learned, rows, tmp_path):
    save(learned, tmp_path / "m.vae")
    expected = learned.decide(rows)
    for other in (pickle.loads(pickle.dumps(learned)), load(tmp_path / "m.vae")):
        pd.testing.assert_frame_equal(other.decide(rows), expected, check_exact=True)
        assert np.array_equal(other.likelihood_score(rows), learned.likelihood_score(rows))
        assert other.threshold_ == learned.threshold_
        assert other.boundary_ == learned.boundary_
        pd.testing.assert_frame_equal(other.learned_.frame(), learned.learned_.frame(), check_exact=True)
        assert other.learned_.sentences() == learned.learned_.sentences()
        assert other.answers_.n_anomalies == learned.answers_.n_anomalies
        assert other.review(table(0), k=9)["row"].tolist() == learned.review(table(0), k=9)["row"].tolist()
    save(load(tmp_path / "m.vae"), tmp_path / "again.vae")
    assert (tmp_path / "again.vae").read_bytes() == (tmp_path / "m.vae").read_bytes()


def test_files_that_were_turned_off_stay_so_and_forget(before, learned, rows, tmp_path):
    save(copy.deepcopy(learned).use_answers(False), tmp_path / "m.vae")
    other = load(tmp_path / "m.vae")
    pd.testing.assert_frame_equal(other.decide(rows), before.decide(rows), check_exact=True)
    pd.testing.assert_frame_equal(other.use_answers().decide(rows), learned.decide(rows), check_exact=True)
    pd.testing.assert_frame_equal(other.forget_answers().decide(rows), before.decide(rows), check_exact=True)


def test_files_have_no_cell_of_a_reviewed_row(split, tmp_path):
    reviewed = table(7).head(40).assign(kind="secret-level", a=lambda frame: frame["a"] + 1234.5)
    y = np.arange(40) % 2
    save(copy.deepcopy(split).learn(reviewed, y), tmp_path / "m.vae")
    assert b"secret-level" not in (tmp_path / "m.vae").read_bytes()


def test_loaded_models_have_no_p_values_without_calibration_rows(learned, before, tmp_path):
    save(before, tmp_path / "m.vae")
    other = load(tmp_path / "m.vae")
    reviewed = table(0).iloc[before.review(table(0), k=60)["row"]]
    with pytest.warns(FitWarning, match="there are no p-values"):
        other.learn(reviewed, is_high(reviewed))
    assert other.threshold_.score == before.threshold_.score
    assert other.threshold_.expected_rate is None
    with pytest.raises(NotAvailable):
        other.p_values(table(1))
    assert other.decide(table(1))["p_value"].isna().all()
    assert np.array_equal(other.anomaly_score(table(1)), learned.anomaly_score(table(1)))
    other.calibrate(table(9))
    assert (other.p_values(table(1)) > 0).all()


def test_calibration_rows_that_were_trained_on_are_refused(split):
    frame = table(0)
    with pytest.raises(DataError, match="trained on"):
        learned_from(split, frame, calibration=frame)


def test_confirmed_anomalies_are_not_among_the_calibration_rows(split):
    given = table(5)
    other = copy.deepcopy(split)
    reviewed = given.iloc[split.review(given, k=40)["row"]]
    other.learn(reviewed, is_high(reviewed), calibration=given)
    assert other.calibration_.n_rows == N - int(is_high(reviewed).sum())


def test_normal_rows_of_the_review_do_not_vouch_for_themselves(split):
    """A calibration row that was reviewed has the score that it has by the other answers."""
    given = table(5)
    reviewed = given.iloc[split.review(given, k=12)["row"]]
    y = is_high(reviewed)
    other = copy.deepcopy(split).learn(reviewed, y, calibration=given)
    (position,) = np.flatnonzero(~y)[:1]
    left = np.arange(len(y)) != position
    alone = copy.deepcopy(split)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone.learn(reviewed[left], y[left])
    if alone.learned_.shrinkage == other.learned_.shrinkage:
        expected = alone.anomaly_score(reviewed.iloc[[position]])[0]
        assert np.min(np.abs(other.calibration_.pooled.values - expected)) == pytest.approx(0, abs=1e-3)


def test_p_values_of_fresh_normal_rows_are_valid():
    """At most a share a of fresh rows has a p-value of a, though the review chose calibration rows."""

    def normal(rng, n):
        frame = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n)})
        return frame.assign(kind=rng.choice(["x", "y", "z"], n))

    rng = np.random.default_rng(100)
    fitted = VAEDetector(calibration=None, **FAST).fit(normal(rng, 300))
    shares = []
    for _ in range(5):
        given, fresh = normal(rng, 120), normal(rng, 500)
        pool = pd.concat([given, normal(rng, 10).assign(a=6.0)], ignore_index=True)
        detector = copy.deepcopy(fitted).calibrate(given)
        listed = detector.review(pool, k=30)["row"].to_numpy()
        detector.learn(pool.iloc[listed], listed >= 120, calibration=pool)
        p = detector.p_values(fresh)
        shares.append([(p <= level).mean() for level in (0.05, 0.1, 0.2)])
    assert (np.mean(shares, axis=0) <= np.array([0.05, 0.1, 0.2]) + 0.04).all()


def test_next_fit_leaves_confirmed_anomalies_out(split):
    frame = table(0)
    other = learned_from(split, frame)
    n_anomalies = other.answers_.n_anomalies
    assert n_anomalies > 5
    with pytest.warns(FitWarning, match=f"{n_anomalies} of the rows were found anomalous in a review"):
        other.fit(frame)
    assert other.fit_report_.n_rows == N - n_anomalies
    assert other.learned_ is None
    assert other.answers_.n_anomalies == n_anomalies
    kept = frame.iloc[np.setdiff1d(np.arange(N), np.flatnonzero(is_high(frame)))]
    if n_anomalies == is_high(frame).sum():
        fresh = clone(split).fit(kept)
        assert np.array_equal(fresh.anomaly_score(table(1)), other.anomaly_score(table(1)))


def test_fit_after_forgetting_takes_them_in_again(split):
    other = learned_from(split, table(0)).forget_answers().fit(table(0))
    assert other.fit_report_.n_rows == N


def test_partial_fit_forgets_what_was_learned_and_not_what_was_found(learned):
    other = copy.deepcopy(learned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        other.partial_fit(table(0))
    assert np.isfinite(other.anomaly_score(table(1))).all()
    assert other.answers_.n_rows == learned.answers_.n_rows
    assert np.array_equal(other.anomaly_score(table(1)), other.likelihood_score(table(1)))


def test_threshold_keeps_its_rule(split):
    other = copy.deepcopy(split).set_threshold(false_alarm_rate=0.05)
    taught = learned_from(other, table(0))
    assert taught.threshold_.parameters["false_alarm_rate"] == 0.05
    assert taught.threshold_.score != other.threshold_.score
    taught.set_threshold(n_alerts=3, per=100)
    taught.forget_answers()
    assert taught.threshold_ == other.threshold_


def test_decisions_go_by_the_learned_score(learned, rows):
    scores = learned.anomaly_score(rows)
    assert np.array_equal(learned.predict(rows) == -1, scores > learned.threshold_.score)
    found = learned.decide(rows)
    assert found["anomaly_score"].tolist() == scores.tolist()
    assert found["likelihood_score"].tolist() == learned.likelihood_score(rows).tolist()
    assert np.array_equal(learned.score_samples(rows), -scores)
    assert len(learned.audit(5)) == 5
    assert np.isfinite(learned.transform(rows)).all()


def test_frame_without_answers_is_as_it_was(split, rows):
    assert split.decide(rows).columns.tolist() == ["anomaly_score", "p_value", "is_anomaly"]


def test_what_is_looked_for_counts_more_than_what_is_not(before, learned, rows):
    gained = learned.anomaly_score(rows) - learned.likelihood_score(rows)
    plain = (rows["a"] < 3) & ~(rows["b"] > 3)
    assert gained[is_high(rows)].mean() > gained[plain].mean() + 1
    assert gained[(rows["b"] > 3) & (rows["a"] < 3)].mean() < gained[is_high(rows)].mean() - 1


def test_learned_numbers_are_told_largest_first(learned):
    frame = learned.learned_.frame()
    assert frame["added"].abs().is_monotonic_decreasing
    assert (frame.loc[frame["column"] == "same", "added"].abs() < 1e-12).all()
    assert 1 <= len(learned.learned_.sentences()) <= 5
    assert len(learned.learned_.sentences(2)) == 2


def test_scores_that_are_no_sums_say_so():
    detector = VAEDetector(row_score="kl", **FAST).fit(table(0))
    with pytest.raises(NotAvailable, match="no sum over columns"):
        detector.learn(table(0).head(6), [0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize("score", ["elbo", "local_ratio"])
def test_other_sums_learn_too(score, rows):
    detector = VAEDetector(row_score=score, calibration="split", max_samples=80, **FAST).fit(table(0))
    taught = learned_from(detector, table(0))
    assert np.array_equal(taught.likelihood_score(rows), detector.anomaly_score(rows))
    found = taught.explain(rows.head(20))
    total = found.contributions.sum(axis=1) + found.kl
    np.testing.assert_allclose(total, taught.anomaly_score(rows.head(20)), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("preset", ["accurate", "robust"])
def test_presets_learn_too(preset, rows):
    detector = VAEDetector(preset=preset, **FAST).fit(table(0))
    taught = learned_from(detector, table(0))
    assert np.array_equal(taught.likelihood_score(rows), detector.anomaly_score(rows))
    found = taught.explain(rows.head(20))
    total = found.contributions.sum(axis=1) + found.kl
    np.testing.assert_allclose(total, taught.anomaly_score(rows.head(20)), rtol=1e-9, atol=1e-8)


def test_groups_of_the_calibration_stay(rows):
    frame = table(0).fillna({"kind": "x"})
    detector = VAEDetector(calibration_groups="kind", calibration="split", max_samples=80, **FAST).fit(frame)
    taught = learned_from(detector, frame)
    assert set(taught.calibration_.groups) == set(detector.calibration_.groups)
    assert (taught.p_values(rows.fillna({"kind": "x"})) > 0).all()


def test_images_learn_too(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(90, 110, (80, 12, 12)).astype(np.uint8)
    odd = images[:10].copy()
    odd[:5, 2:5, 2:5] = 255
    odd[5:, 8:11, 8:11] = 255
    detector = VAEDetector(max_iter=10, n_estimators=1, early_stopping=False).fit(images)
    scores = detector.anomaly_score(odd)
    assert "reason" not in detector.review(odd, k=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        detector.learn(odd, [1] * 5 + [0] * 5)
    assert np.array_equal(detector.likelihood_score(odd), scores)
    gained = detector.anomaly_score(odd) - scores
    assert gained[:5].mean() > gained[5:].mean()
    assert detector.review(odd, k=4).empty
    save(detector, tmp_path / "m.vae")
    assert np.array_equal(load(tmp_path / "m.vae").anomaly_score(odd), detector.anomaly_score(odd))
    assert np.array_equal(detector.forget_answers().anomaly_score(odd), scores)


def test_answers_of_a_fit_that_learned_before_are_in_the_file(split, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        other = learned_from(split, table(0)).fit(table(0))
    save(other, tmp_path / "m.vae")
    again = load(tmp_path / "m.vae")
    assert again.learned_ is None
    assert again.answers_.n_rows == 60
    assert len(again.review(table(0), k=N)) == N - 60
    assert again.forget_answers().answers_ is None


def test_rows_that_an_audit_dropped_stay_out(split):
    other = copy.deepcopy(split)
    dropped = other.audit(5)["id"].tolist()
    other.confirm(dropped, [True] * 5)
    taught = learned_from(other, table(0))
    assert not set(dropped) & set(taught.calibration_.suspects.ids.tolist())
    assert taught.calibration_.n_rows <= other.calibration_.n_rows
