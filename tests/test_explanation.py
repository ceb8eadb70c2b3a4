"""Reasons: they add up, name the cell that was changed, and read as sentences."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import ModelFileError, PooledELBO, SpecificationError, VAEDetector, load, save
from vae_anomaly.detectors import read_table
from vae_anomaly.explain.evidence import evidence_of
from vae_anomaly.explain.explanation import Reason, cell_text, odds
from vae_anomaly.model.elbo import elbo_terms
from vae_anomaly.model.experts import KNOTS

N = 300


def table(seed=0, n=N):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)

    def near():
        return common + 0.3 * rng.normal(size=n)

    frame = pd.DataFrame(
        {
            "size": 20 + 3 * near(),
            "price": np.exp(4 + 2.2 * near()),
            "items": np.rint(40 + 8 * near()),
            "colour": np.where(near() > 0, "red", "blue"),
            "paid": np.where(near() > -0.5, 0.0, 100 + 20 * near()),
            "nothing": np.nan,
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.rint(near() * 60), unit="D"),
        },
        index=[f"row {position}" for position in range(n)],
    )
    frame.loc[frame.index[::9], "items"] = np.nan
    return frame


@pytest.fixture(scope="module")
def fitted():
    detector = VAEDetector(n_estimators=2, max_iter=200, early_stopping=False, columns={"when": "datetime+trend"})
    with pytest.warns(UserWarning, match="'nothing' is set aside"):
        return detector.fit(table())


@pytest.fixture(scope="module")
def explanation(fitted):
    return fitted.explain(table().iloc[:30])


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"model_missing": True},
        {"prior": "standard_normal"},
        {"row_score": "elbo"},
        {"row_score": PooledELBO(independence=0.9)},
        {"row_score": PooledELBO(independence=0.2, kernels=0.4, sharpness=1)},
        {"row_score": PooledELBO(kernels=0.5, sharpness=0, missing="ignored")},
    ],
)
def test_contributions_and_kl_add_up_to_the_anomaly_score(parameters):
    frame = table(seed=1).drop(columns="nothing")
    detector = VAEDetector(n_estimators=2, max_iter=10, early_stopping=False, **parameters).fit(frame)
    explanation = detector.explain(frame.iloc[:20])
    total = explanation.contributions.sum(axis=1) + explanation.kl
    np.testing.assert_allclose(total, detector.anomaly_score(frame.iloc[:20]), rtol=1e-12)
    np.testing.assert_allclose(explanation.score, detector.anomaly_score(frame.iloc[:20]), rtol=1e-12)
    assert explanation.threshold == -detector.offset_


def how_much_experts_count(detector, row):
    """The share of the members and of the columns alone in the soft minimum."""
    model = detector.model_
    batch = model.encoder.encode(read_table(detector, row, fitting=False))
    score = model.score
    bounds = score.bounds(elbo_terms(model.vae, batch, model.noise), model.vae, batch).squeeze(1)
    excess = bounds - model.vae.experts.medians.double()
    weights = np.array([1 - score.independence, score.independence])
    weights *= np.exp(-score.sharpness * np.array([excess[:2].mean(), excess[2]]))
    return weights / weights.sum()


def test_missing_cells_contribute_what_they_are_charged_and_are_no_reason(fitted, explanation):
    assert (explanation.contributions["nothing"] == 0).all()
    experts, score = fitted.vae_.experts, fitted.row_score_
    *of_members, alone = experts.cells.double()
    costs = (1 - score.independence) * sum(of_members) / 2 + score.independence * alone
    position = [column.name for column in fitted.encoder_.modelled].index("items")
    charged = float(costs[position])
    assert explanation.contributions.loc["row 9", "items"] == pytest.approx(charged)
    share = 1 / int(experts.counted.sum())
    combination = [np.interp(share, KNOTS, [0.0, *of_expert]) for of_expert in experts.combination.double().tolist()]
    of_row = how_much_experts_count(fitted, table().loc[["row 9"]]) @ [np.mean(combination[:2]), combination[2]]
    assert explanation.charged["row 9"] == pytest.approx(charged + of_row)
    assert (explanation.charged.drop(explanation.charged.index[::9]) == 0).all()
    assert np.isnan(explanation.tail_probability.loc["row 9", "items"])
    assert "items" not in [reason.column for reason in explanation.reasons(7)[9]]


def test_rows_keep_their_labels_and_columns_their_order(explanation):
    for part in ("contributions", "observed", "expected", "tail_probability", "cell_scores"):
        frame = getattr(explanation, part)
        assert list(frame.columns) == list(table().columns)
        assert list(frame.index) == list(table().index[:30])


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        ("size", 35.0),
        ("price", 1e9),
        ("items", -60.0),
        ("colour", "ultraviolet"),
        ("when", pd.Timestamp("2031-05-05")),
    ],
)
def test_changed_cell_is_the_first_reason_and_is_repaired(fitted, column, wrong):
    frame = table().iloc[10:12].copy()
    frame.loc["row 10", column] = wrong
    reason = fitted.explain(frame).reasons(1)[0][0]
    assert (reason.column, reason.observed) == (column, wrong)
    assert reason.tail_probability < 0.02
    assert reason.nats > 2
    repaired = fitted.repair(frame, max_tail_probability=0.01)
    assert repaired.loc["row 10", column] != wrong
    assert repaired.loc["row 11"].equals(frame.loc["row 11"])


def test_expected_cell_follows_the_other_cells(fitted):
    frame = table()
    explanation = fitted.explain(frame.iloc[:100])
    expected = explanation.expected["size"].astype(float)
    assert np.corrcoef(expected, frame["size"].iloc[:100])[0, 1] > 0.8
    inside = (explanation.lower["size"] < frame["size"].iloc[:100]) & (
        explanation.upper["size"] > frame["size"].iloc[:100]
    )
    assert inside.mean() > 0.85


def test_rows_are_explained_alike_alone_and_together(fitted, explanation):
    alone = fitted.explain(table().iloc[4:5])
    pd.testing.assert_series_equal(alone.cell_scores.iloc[0], explanation.cell_scores.iloc[4])
    assert alone.top(3)[0] == explanation.top(3)[4]


def test_saved_detector_explains_alike(fitted, explanation, tmp_path):
    save(fitted, tmp_path / "m.vae")
    again = load(tmp_path / "m.vae").explain(table().iloc[:30])
    pd.testing.assert_frame_equal(again.cell_scores, explanation.cell_scores)
    assert again.top(2) == explanation.top(2)


def test_detector_from_an_early_file_says_why_it_cannot_explain(fitted, tmp_path):
    save(fitted, tmp_path / "m.vae")
    early = load(tmp_path / "m.vae")
    early.model_ = dataclasses.replace(early.model_, reference=None)
    with pytest.raises(ModelFileError, match="Fit and save the model again"):
        early.explain(table())
    save(early, tmp_path / "again.vae")
    np.testing.assert_array_equal(load(tmp_path / "again.vae").score_samples(table()), fitted.score_samples(table()))


def test_sentence_names_score_threshold_cells_and_the_whole(explanation):
    sentence = explanation.top(2)[3]
    assert sentence.startswith(f"{explanation.score.iloc[3]:.2f} nats, ")
    assert f"the threshold of {explanation.threshold:.2f}: " in sentence
    first, second = explanation.reasons(2)[3]
    assert str(first) in sentence
    assert (str(second) in sentence) == (second.tail_probability < 0.05)
    assert sentence.endswith(".")


def test_long_table_has_a_line_for_each_reason(explanation):
    frame = explanation.to_frame(2)
    assert list(frame.columns)[:3] == ["row", "rank", "column"]
    ranks = frame.groupby("row")["rank"].apply(list).to_dict()
    assert ranks == {row: [*range(1, len(each) + 1)] for row, each in enumerate(explanation.reasons(2)) if each}
    first = explanation.reasons(2)[5][0]
    assert frame[(frame["row"] == 5) & (frame["rank"] == 1)]["column"].tolist() == [first.column]


def test_waterfall_leads_from_a_typical_row_to_the_score(explanation):
    for row in range(len(explanation)):
        parts = explanation.waterfall(row)
        assert explanation.typical.sum() + parts.sum() == pytest.approx(explanation.score.iloc[row])
    assert explanation.waterfall(0).index[-1] == "the combination (KL)"
    assert len(parts) == explanation.contributions.shape[1] + 1


def test_waterfall_of_another_score_ends_at_that_score(explanation):
    other = dataclasses.replace(explanation, score=explanation.score + 7.0)
    assert other.waterfall(0)["other terms of the score"] == pytest.approx(7.0)
    assert other.plot(0).score == pytest.approx(other.score.iloc[0])


def test_waterfall_has_the_units_of_a_group_of_its_own(explanation):
    usual = pd.DataFrame(np.nan, index=explanation.contributions.index, columns=explanation.contributions.columns)
    usual.iloc[:, 0] = 2.0
    parts = dataclasses.replace(explanation, usual=usual).waterfall(0)
    assert parts["units of the group"] == 2.0
    assert parts.iloc[0] == pytest.approx(explanation.waterfall(0).iloc[0] - 2.0)
    assert parts.sum() == pytest.approx(explanation.waterfall(0).sum())


def test_row_that_is_not_there_is_said(explanation):
    with pytest.raises(SpecificationError, match="no row 99 among"):
        explanation.plot(99)


def test_reasons_are_chosen_by_cell_scores_of_cells_that_add_nats_and_sorted_by_nats(explanation):
    nats = explanation.contributions - explanation.typical.iloc[:-1].to_numpy()
    for row, reasons in enumerate(explanation.reasons(2)):
        scores = explanation.cell_scores.iloc[row].where(nats.iloc[row] >= 0.05).dropna()
        assert {reason.column for reason in reasons} == set(scores.sort_values(ascending=False).index[:2])
        found = [reason.nats for reason in reasons]
        assert found == sorted(found, reverse=True)
        assert found == [nats.iloc[row][reason.column] for reason in reasons]


def test_row_without_a_cell_that_adds_nats_says_so(explanation):
    calm = dataclasses.replace(explanation, contributions=explanation.contributions * 0 - 1e3)
    assert calm.reasons(3) == [[]] * len(calm)
    assert calm.top(3)[0].endswith(": no cell adds to the score.")


def test_reason_reads_as_a_phrase():
    number = Reason("age", "", 455.0, 52.3, 18.0, 88.25, 12.3, 0.002)
    assert str(number) == "age is 455, expected about 52.3, plausible 18 to 88.2 (+12.3 nats, 1 in 500 cells)"
    level = Reason("sex", "", "M", "F", None, None, 3.04, 0.25)
    assert str(level) == "sex is 'M', expected 'F' (+3.0 nats, 25% of cells are as far out)"
    part = Reason("paid at", "hour", "03h", "14h", None, None, 5.0, 0.012)
    assert str(part) == "paid at (hour) is 03h, expected 14h (+5.0 nats, 1 in 83 cells)"
    missing = Reason("sex", "missing", "missing", "present", None, None, 4.0, 1e-9)
    assert str(missing) == "sex is missing, expected present (+4.0 nats, fewer than 1 in a million cells)"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (pd.NaT, "missing"),
        (True, "true"),
        (3.0, "3"),
        (1234567.8, "1,234,568"),
        (0.012345, "0.0123"),
        (-0.5, "-0.5"),
        (pd.Timestamp("2024-02-03"), "2024-02-03"),
        (np.datetime64("2024-02-03T04:05:06"), "2024-02-03 04:05:06"),
        ("F", "'F'"),
        ("x" * 60, "'" + "x" * 39 + "...'"),
    ],
)
def test_cells_are_shown_shortly(cell, text):
    assert cell_text(cell) == text


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.5, "50% of cells are as far out"),
        (0.02, "1 in 50 cells"),
        (0.00123, "1 in 800 cells"),
        (float("nan"), "rarity"),
    ],
)
def test_small_probabilities_are_said_as_people_say_them(probability, text):
    assert odds(probability).startswith(text)


def test_missing_cell_is_a_reason_where_missing_cells_are_modelled():
    frame = table(seed=2).drop(columns="nothing")
    frame["items"] = frame["items"].fillna(40.0)
    detector = VAEDetector(n_estimators=2, max_iter=100, early_stopping=False, model_missing=True).fit(frame)
    anomalous = frame.iloc[:2].copy()
    anomalous.iloc[0, anomalous.columns.get_loc("colour")] = None
    reason = detector.explain(anomalous).reasons(1)[0][0]
    assert (reason.column, reason.part, reason.observed, reason.expected) == ("colour", "missing", "missing", "present")
    assert detector.anomaly_score(anomalous)[0] > detector.anomaly_score(frame.iloc[:2])[0]


def test_anomalous_hour_of_a_date_is_named_as_such():
    rng = np.random.default_rng(3)
    days = pd.to_timedelta(rng.integers(0, 200, 600), unit="D") + pd.to_timedelta(rng.integers(9, 17, 600), unit="h")
    frame = pd.DataFrame({"at": pd.Timestamp("2024-01-01") + days, "amount": rng.normal(size=600)})
    detector = VAEDetector(n_estimators=2, max_iter=100, early_stopping=False).fit(frame)
    assert [part.kind for part in detector.columns_[0].parts] == ["hour", "weekday", "day of month"]
    anomalous = pd.DataFrame({"at": [pd.Timestamp("2024-04-10 03:30")], "amount": [0.0]})
    reason = detector.explain(anomalous).reasons(1)[0][0]
    assert (reason.column, reason.part, reason.observed) == ("at", "hour", "03h")
    assert int(reason.expected[:2]) in range(9, 17)


def test_explanation_of_an_array_numbers_its_rows(fitted):
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = VAEDetector(n_estimators=2, max_iter=20, early_stopping=False).fit(X)
    explanation = detector.explain(X[:4])
    assert len(explanation) == 4
    assert explanation.contributions.index.tolist() == [0, 1, 2, 3]
    assert explanation.contributions.columns.tolist() == ["x0", "x1", "x2"]
    assert explanation.observed.loc[1, "x2"] == X[1, 2]


def test_dates_are_reasons_with_a_range(fitted):
    frame = table().iloc[:1].copy()
    frame["when"] = pd.Timestamp("2031-05-05")
    reason = fitted.explain(frame).reasons(1)[0][0]
    assert reason.column == "when"
    assert pd.Timestamp(reason.lower) < pd.Timestamp(reason.upper) < pd.Timestamp(dt.date(2025, 1, 1))


def test_rows_that_are_scored_by_another_score_get_no_verdict():
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = VAEDetector(n_estimators=2, max_iter=20, early_stopping=False, row_score="kl").fit(X)
    explanation = detector.explain(X[:2])
    assert np.isnan(explanation.threshold)
    assert "threshold" not in explanation.top(1)[0]


def test_cell_that_only_contradicts_the_others_is_named_and_argued_against():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 1)) + 0.2 * rng.normal(size=(300, 4))
    detector = VAEDetector(n_estimators=2, max_iter=300, early_stopping=False).fit(X)
    explanation = detector.explain([[1.0, 1.0, -1.0, 1.0]])
    assert explanation.reasons(1)[0][0].column == "x2"
    batch = detector.encoder_.encode(read_table(detector, [[1.0, 1.0, -1.0, 1.0]], fitting=False))
    rarity = evidence_of(detector.model_, batch)
    by_rarity = -np.log(rarity.given_others) - np.log(rarity.alone)
    assert rarity.against[0, 2] > 1
    np.testing.assert_allclose(rarity.cell_scores, by_rarity + rarity.against)
