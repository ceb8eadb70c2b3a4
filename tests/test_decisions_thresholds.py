"""Thresholds: every rule by hand, its promise in numbers and words, and what is refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.decisions.calibration import Calibration
from vae_anomaly.decisions.false_alarms import CalibrationTooSmall, band, rate_bound
from vae_anomaly.decisions.sorted_scores import SortedScores
from vae_anomaly.decisions.tail import ParetoTail
from vae_anomaly.decisions.thresholds import (
    RULES,
    AlertBudget,
    Contamination,
    FalseAlarmRate,
    FixedScore,
    LabelledCost,
    RobustFence,
    ThresholdRule,
    score_with_share_above,
    threshold_table,
)
from vae_anomaly.errors import DataError, DataWarning, SpecificationError

N = 999
SPLIT = Calibration.of("split", [np.arange(1.0, N + 1)])
CROSS = Calibration.of("cross", [np.arange(1.0, N + 1, 2), np.arange(2.0, N + 1, 2)])
TRAINING = Calibration.of("training", [np.arange(1.0, N + 1)])
# 999 normal rows and one anomaly beyond them: rows 990 and up would cost 10 false alarms.
LABELS = LabelledCost(np.arange(1.0, 1001.0), np.arange(1000) == 999)

# By rule: an instance, its score on 1, 2, ..., 999, and the number of calibration rows above, plus one.
BY_HAND: dict[str, tuple[ThresholdRule, float, int]] = {
    # Median 500, upper quartile 749.5.
    "auto": (RobustFence(), 500 + 3 * 249.5 / 0.6744897501960817, 1),
    "contamination": (Contamination(0.05), 950.0, 50),
    "false_alarm_rate": (FalseAlarmRate(0.01), 990.0, 10),
    "alerts": (AlertBudget(20, 5_000), 996.0, 4),
    "labels": (LABELS, 999.5, 1),
    "score": (FixedScore(980.5), 980.5, 20),
}

SCORES = st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=60, unique=True).map(np.array)


def fence(scores):
    return RobustFence().find(Calibration.of("training", [scores])).score


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("calibration", [SPLIT, CROSS], ids=["split", "cross"])
def test_rule_finds_its_threshold_by_hand(name, calibration):
    rule, score, rank = BY_HAND[name]
    assert isinstance(rule, RULES[name])
    threshold = rule.find(calibration)
    assert threshold.score == pytest.approx(score)
    assert threshold.rule == name
    assert threshold.expected_rate == pytest.approx(rank / (N + 1))
    assert threshold.flags(np.arange(1.0, N + 1)).sum() == rank - 1
    assert (threshold.n_calibration, threshold.smallest_p, threshold.kind) == (N, 1 / (N + 1), calibration.kind)


@pytest.mark.parametrize("name", RULES)
def test_bound_holds_for_all_ranks_at_once_where_the_scores_choose(name):
    rule, _, rank = BY_HAND[name]
    chosen_before = name in {"contamination", "false_alarm_rate", "alerts", "score"}
    expected = rate_bound(N, rank) if chosen_before else band(N)[rank - 1]
    assert rule.find(SPLIT).rate_bound == expected


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("calibration", [SPLIT, CROSS, TRAINING], ids=["split", "cross", "training"])
def test_sentence_says_the_rate_and_its_limits(name, calibration):
    rule = BY_HAND[name][0]
    if calibration is TRAINING and name == "false_alarm_rate":
        with pytest.raises(SpecificationError, match="no calibration rows: fit it with calibration='auto'"):
            rule.find(calibration)
        return
    sentence = rule.find(calibration).sentence()
    assert sentence.startswith("Rows above ")
    assert {
        "split": "which the model has not seen",
        "cross": "by measurement, not proved",
        "training": "Nothing is promised about new rows",
    }[calibration.kind] in sentence
    assert "  " not in sentence
    # Only for a rank that was chosen before is the average proved.
    proved = name in {"contamination", "false_alarm_rate", "alerts"} and calibration is SPLIT
    assert (rule.find(calibration).proved_rate is not None) == proved
    assert ("on average" in sentence) == proved


@pytest.mark.parametrize("name", RULES)
def test_what_was_asked_for_is_plain_numbers(name):
    parameters = BY_HAND[name][0].find(SPLIT).parameters
    assert json.loads(json.dumps(parameters)) == parameters


@given(st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40), st.floats(0.01, 0.5))
def test_flagged_rows_are_those_with_a_p_value_of_at_most_the_expected_rate(scores, share):
    calibration = Calibration.of("split", [scores])
    if share * (len(scores) + 1) < 1:
        return
    threshold = Contamination(share).find(calibration)
    new = np.linspace(-4, 4, 33)
    p = calibration.p_values(new[:, None])
    assert threshold.flags(new).tolist() == (p <= threshold.expected_rate + 1e-12).tolist()


def test_confidence_takes_a_higher_threshold_and_is_kept():
    threshold = FalseAlarmRate(0.01, confidence=0.95).find(SPLIT)
    assert threshold.score == 995
    assert threshold.rate_bound <= 0.01
    assert threshold.rate_bound == pytest.approx(stats.beta.ppf(0.95, 5, 995))
    assert "with 95 % confidence at most 0.914 % with this model" in threshold.sentence()


@pytest.mark.parametrize("rule", [FixedScore(math.inf), FalseAlarmRate(0.4)])
def test_nothing_is_expected_above_infinity(rule):
    threshold = rule.find(Calibration.of("split", [[1.0, 2.0, math.inf, math.inf]]))
    assert (threshold.score, threshold.expected_rate, threshold.rate_bound) == (math.inf, 0, 0)


def test_rate_of_a_split_calibration_alone_is_proved():
    threshold = FalseAlarmRate(0.01).find(CROSS)
    assert threshold.proved_rate is None
    assert "about 1 % of new normal rows by measurement, not proved" in threshold.sentence()
    assert FalseAlarmRate(0.01).find(SPLIT).proved_rate == 0.01
    assert FixedScore(3.0).find(TRAINING).proved_rate is None


@pytest.mark.parametrize(
    ("rule", "n", "n_needed", "possible"),
    [
        (FalseAlarmRate(0.001), 300, 999, "ask for 0.333 % or more"),
        (FalseAlarmRate(0.01, 0.95), 60, 299, "ask for 4.88 % or more"),
        (FalseAlarmRate(0.001, 0.95), 2_994, 2_995, "ask for 0.101 % or more"),
        (AlertBudget(1, 10_000), 999, 9_999, "allow 10 or more per 10,000 rows"),
        (FalseAlarmRate(0.1), 3, 9, "ask for 25 % or more"),
    ],
)
def test_too_few_calibration_rows_are_refused_with_numbers(rule, n, n_needed, possible):
    with pytest.raises(
        CalibrationTooSmall, match=f"at least {n_needed:,} calibration rows, and there are {n:,}"
    ) as found:
        rule.find(Calibration.of("split", [np.arange(float(n))]))
    assert found.value.n_needed == n_needed
    assert possible in str(found.value)


def test_contamination_below_one_row_takes_the_largest_score_and_warns():
    with pytest.warns(DataWarning, match=r"less than one of 9 calibration rows: .* and 10 % of new normal rows"):
        threshold = Contamination(0.05).find(Calibration.of("split", [np.arange(9.0)]))
    assert (threshold.score, threshold.expected_rate) == (8, 0.1)


@pytest.mark.parametrize("level", [0, 1, -0.1, math.nan, True, "0.1", None])
@pytest.mark.parametrize("rule", [Contamination, FalseAlarmRate, lambda level: FalseAlarmRate(0.1, level or 0)])
def test_levels_that_are_none_are_refused(rule, level):
    with pytest.raises(SpecificationError, match="is a number above 0 and"):
        rule(level)


@pytest.mark.parametrize(
    ("n_alerts", "per", "complaint"),
    [
        (0, 10, "n_alerts is a number above 0, not 0"),
        (True, 10, "n_alerts is a number above 0, not True"),
        (math.nan, 10, "n_alerts is a number above 0, not nan"),
        (1, -5, "per is a number above 0, not -5"),
        (1, math.inf, "per is a number above 0, not inf"),
        (10, 10, "n_alerts=10 is not fewer than per=10 rows"),
    ],
)
def test_budgets_that_are_none_are_refused(n_alerts, per, complaint):
    with pytest.raises(SpecificationError, match=complaint):
        AlertBudget(n_alerts, per)


@pytest.mark.parametrize("score", [math.nan, True, "12", None])
def test_scores_that_are_no_numbers_are_refused(score):
    with pytest.raises(SpecificationError, match="score is a number of nats"):
        FixedScore(score)


def test_score_of_infinity_flags_nothing_and_below_all_flags_everything():
    assert FixedScore(math.inf).find(SPLIT).expected_rate == 0
    assert FixedScore(-math.inf).find(SPLIT).expected_rate == 1
    assert FixedScore(-math.inf).find(SPLIT).rate_bound == 1


def test_rule_may_be_that_of_the_models_score():
    assert FixedScore(0.0, "fixed").find(SPLIT).rule == "fixed"


@pytest.mark.parametrize(
    ("missed_cost", "score"),
    # Normal rows at 1, 2, 4, 6; anomalies at 3, 5, 7: flag 7; then 5, 6, 7; then 3 to 7.
    [(0.5, 6.5), (2.0, 2.5), (1.0, 6.5)],
)
def test_labels_take_the_cheapest_threshold(missed_cost, score):
    labelled = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    is_anomaly = [False, False, True, False, True, False, True]
    assert LabelledCost(labelled, is_anomaly, missed_cost).find(SPLIT).score == score


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30), st.sampled_from([0.1, 1, 7]))
def test_no_other_threshold_costs_less_on_the_labelled_rows(rows, missed_cost):
    scores, labels = np.array([score for score, _ in rows], dtype=float), np.array([label for _, label in rows])
    if labels.all() or not labels.any():
        return

    def cost(threshold):
        flagged = scores > threshold
        return (flagged & ~labels).sum() + missed_cost * (~flagged & labels).sum()

    found = LabelledCost(scores, labels, missed_cost).find(SPLIT).score
    assert cost(found) == pytest.approx(min(cost(other) for other in [*(scores - 0.5), 9]))


def test_labels_that_decide_nothing_are_refused():
    with pytest.raises(DataError, match="all labels are False; a threshold needs"):
        LabelledCost([1.0, 2.0], [False, False])
    with pytest.raises(DataError, match="True or False each"):
        LabelledCost([1.0, 2.0], [0, 1])
    with pytest.raises(SpecificationError, match="missed_cost is a number above 0"):
        LabelledCost([1.0, 2.0], [False, True], math.nan)


def test_table_by_hand():
    table = threshold_table(SPLIT)
    assert table.index.tolist() == [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]
    assert table.threshold.iloc[3:].tolist() == [999, 998, 995, 990, 980, 950, 900]
    assert table.alerts_per_million.iloc[3:].tolist() == pytest.approx([1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5])
    assert table.rate_bound.iloc[3:].tolist() == band(N)[[0, 1, 4, 9, 19, 49, 99]].tolist()
    assert table.threshold.iloc[:3].isna().all()
    assert table.note.iloc[0] == "needs 9,999 calibration rows, there are 999"
    assert not table.model_based.any()


def test_table_of_rows_that_were_fitted_has_no_bounds():
    table = threshold_table(TRAINING)
    assert table.rate_bound.isna().all()
    assert table.threshold.notna().sum() == 7


def test_extrapolated_rates_are_labelled_and_close_for_exponential_scores():
    scores = np.random.default_rng(0).exponential(2.0, 2_000)
    table = threshold_table(Calibration.of("split", [scores]), extrapolate=True)
    assert table.model_based.tolist() == [True, True] + [False] * 8
    assert table.threshold[0.0001] == pytest.approx(2 * math.log(1e4), rel=0.2)
    assert (np.diff(table.threshold) < 0).all()
    assert "no guarantee" in table.note[0.0001]


def test_extrapolated_thresholds_are_not_below_the_calibration_scores():
    scores = np.append(np.linspace(0, 1, 300), 50.0)
    table = threshold_table(Calibration.of("split", [scores]), extrapolate=True)
    assert (np.diff(table.threshold) <= 0).all()
    assert (table.threshold[table.model_based] >= 50).all()


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
def test_tail_finds_the_distribution_that_the_scores_came_from(shape):
    scores = stats.genpareto.rvs(shape, scale=2, size=50_000, random_state=0)
    tail = ParetoTail.of(SortedScores.of(scores))
    assert tail.shape == pytest.approx(shape, abs=0.06)
    assert tail.threshold(1e-4) == pytest.approx(stats.genpareto.isf(1e-4, shape, scale=2), rel=0.15)


@pytest.mark.parametrize("scores", [np.arange(100.0), np.ones(1_000), np.append(np.arange(999.0), np.inf)])
def test_there_is_no_tail_of_few_equal_or_infinite_scores(scores):
    assert ParetoTail.of(SortedScores.of(scores)) is None
    assert math.isnan(threshold_table(Calibration.of("split", [scores]), extrapolate=True).threshold.iloc[0])


@given(SCORES, st.data())
def test_share_of_whole_rows_is_above_exactly(scores, data):
    n_flagged = data.draw(st.integers(1, max(1, len(scores) // 2)))
    threshold = Contamination(n_flagged / len(scores)).find(Calibration.of("training", [scores]))
    assert threshold.flags(scores).sum() == n_flagged
    assert threshold.expected_rate == n_flagged / len(scores)


@given(SCORES, st.floats(0.001, 0.5))
def test_share_is_rounded_to_the_nearest_number_of_rows(scores, contamination):
    n_flagged = (scores > score_with_share_above(SortedScores.of(scores), contamination)).sum()
    wanted = contamination * len(scores)
    assert abs(n_flagged - wanted) <= 0.5 + 1e-9 or (wanted < 0.5 and n_flagged == 1)


@pytest.mark.parametrize(
    ("contamination", "n_flagged"), [(0.1, 1), (0.24, 2), (0.25, 3), (0.26, 3), (0.5, 5), (0.001, 1)]
)
def test_half_a_row_is_rounded_up_and_at_least_one_is_flagged(contamination, n_flagged):
    scores = np.arange(10.0)
    assert (scores > score_with_share_above(SortedScores.of(scores), contamination)).sum() == n_flagged


def test_threshold_is_halfway_between_the_last_inside_and_the_first_outside():
    assert score_with_share_above(SortedScores.of([-10.0, 4.0, -3.0, 0.0, 1.0]), 0.4) == 0.5


def test_neighbouring_floats_are_distinguished():
    scores = np.array([1.0, np.nextafter(1.0, 2)])
    assert (scores > score_with_share_above(SortedScores.of(scores), 0.5)).tolist() == [False, True]


@given(st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=40).map(np.array), st.floats(0.01, 0.5))
def test_tied_scores_are_flagged_together_and_never_too_many(scores, contamination):
    flagged = scores > score_with_share_above(SortedScores.of(scores), contamination)
    assert flagged.sum() <= max(1, np.floor(contamination * len(scores) + 0.5))
    for score in np.unique(scores):
        assert len(set(flagged[scores == score])) == 1


def test_equal_scores_are_never_flagged():
    scores = np.full(20, 3.5)
    assert not (scores > score_with_share_above(SortedScores.of(scores), 0.3)).any()
    assert not (scores > fence(scores)).any()


def test_order_of_the_rows_does_not_matter():
    scores = np.random.default_rng(0).normal(size=101)
    shuffled = np.random.default_rng(1).permutation(scores)
    for rule in (RobustFence(), Contamination(0.2)):
        found = [rule.find(Calibration.of("training", [one])).score for one in (scores, shuffled)]
        assert found[0] == found[1]


def test_fence_by_hand():
    # Median 10, upper quartile 12: 10 + 3 * 2 / 0.67449.
    assert fence([-30.0, 9.0, 10.0, 12.0, 14.0]) == pytest.approx(10 + 6 / 0.6744897501960817)


def test_fence_of_normal_scores_is_three_deviations_above_the_mean():
    scores = np.random.default_rng(0).normal(-5, 2, 200_000)
    assert fence(scores) == pytest.approx(1, abs=0.05)
    assert (scores > fence(scores)).mean() == pytest.approx(0.00135, abs=0.0005)


def test_tied_scores_take_the_root_mean_square_of_the_upper_half():
    assert fence(np.array([1.4] * 20 + [0.0] * 80)) == pytest.approx(3 * 1.4 * np.sqrt(0.4))
    assert fence(np.array([10.0] + [0.0] * 999)) == pytest.approx(1.5)


def test_rows_less_than_four_times_rarer_than_the_median_are_not_flagged():
    assert fence(np.full(10, -7.0)) == -5.5
    assert fence(np.linspace(0, 0.1, 50)) == pytest.approx(0.05 + 1.5)


def test_fence_is_set_by_the_upper_half_alone():
    scores = -5 * np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    stretched = -5 * np.array([1.0, 2.0, 3.0, 400.0, 5000.0])
    assert fence(stretched) == fence(scores)


@given(st.floats(1, 100), st.floats(-1e3, 1e3))
def test_fence_moves_and_stretches_with_the_scores(factor, shift):
    scores = -10 * np.random.default_rng(0).gumbel(size=50)
    assert fence(factor * scores + shift) == pytest.approx(factor * fence(scores) + shift, abs=1e-6)


def test_one_far_row_is_flagged_and_does_not_move_the_fence():
    scores = np.append(np.linspace(-1, 1, 99), 1e6)
    assert (scores > fence(scores)).sum() == 1
    assert fence(scores) == pytest.approx(fence(np.append(scores[:-1], 1.0)), abs=1e-9)


def test_infinite_scores_take_no_part_in_the_fence():
    scores = np.linspace(-1, 1, 99)
    assert fence(np.append(scores, [np.inf, -np.inf])) == fence(scores)
    with pytest.raises(DataError, match="no calibration score is finite"):
        fence([np.inf])


@pytest.mark.parametrize("kind", ["split", "cross", "training"])
def test_sentence_of_images_names_no_rows(kind):
    calibration = Calibration.of(kind, [np.arange(1.0, 200.0)] * (2 if kind == "cross" else 1))
    said = Contamination(0.05).find(calibration).sentence("image")
    assert said.startswith("Images above ")
    assert "row" not in said
    assert replace(Contamination(0.05).find(calibration), expected_rate=None).sentence("image").count("image") == 2
