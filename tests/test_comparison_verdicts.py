"""What is said of measured detectors: intervals against closed forms, and the rule of the verdict."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from vae_anomaly.comparison import Comparison
from vae_anomaly.comparison.intervals import Difference, ScoredRows, auroc, auroc_difference, placements
from vae_anomaly.comparison.verdicts import Rival, confidence_of_each, verdict_of


def noisy(n_anomalies=30, n_normal=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n_anomalies + n_normal) < n_anomalies
    signal = labels + rng.normal(size=len(labels))
    # Rounded, so that there are ties.
    first, second = ((signal + 0.5 * rng.normal(size=len(labels))).round(1) for _ in range(2))
    return ScoredRows(np.arange(len(labels)), labels, first, second)


def kernel_of(scored):
    """Of each anomaly and each normal row: which detector has them in order, 1 for the first, -1 for the second."""
    in_order = []
    for scores in (scored.first, scored.second):
        gaps = scores[scored.is_anomaly][:, None] - scores[~scored.is_anomaly]
        in_order.append((gaps > 0) + (gaps == 0) / 2)
    return in_order[0] - in_order[1]


def delong(scored):
    """Mean and standard error of the difference by equations 4 and 5, pair by pair."""
    kernel = kernel_of(scored)
    of_anomalies, of_normal = kernel.mean(axis=1), kernel.mean(axis=0)
    variance = of_anomalies.var(ddof=1) / len(of_anomalies) + of_normal.var(ddof=1) / len(of_normal)
    return kernel.mean(), variance**0.5


def test_area_is_that_of_scikit_learn_with_ties():
    scored = noisy()
    assert auroc(scored.is_anomaly, scored.first) == pytest.approx(roc_auc_score(scored.is_anomaly, scored.first))
    assert placements(scored.is_anomaly, scored.first)[~scored.is_anomaly].mean() == pytest.approx(
        auroc(scored.is_anomaly, scored.first)
    )


def test_interval_of_one_split_is_delongs_with_students_quantile():
    scored = noisy()
    mean, error = delong(scored)
    found = auroc_difference([scored], 0.9)
    assert found.mean == pytest.approx(mean)
    assert found.by_split == (found.mean,)
    assert found.upper - found.mean == pytest.approx(stats.t.ppf(0.95, 29) * error)
    assert found.mean - found.lower == pytest.approx(found.upper - found.mean)


def test_row_that_is_scored_again_is_no_further_row():
    scored = noisy()
    once, thrice = auroc_difference([scored]), auroc_difference([scored] * 3)
    assert (thrice.lower, thrice.upper) == (pytest.approx(once.lower), pytest.approx(once.upper))


def test_variance_between_splits_is_added():
    scored = noisy()
    swapped = ScoredRows(scored.rows, scored.is_anomaly, scored.second, scored.first)
    found = auroc_difference([scored, swapped])
    # What rows contribute cancels, and the two differences are d and -d: a variance of 2 d² over 2 splits.
    assert found.mean == pytest.approx(0)
    assert found.upper == pytest.approx(stats.t.ppf(0.975, 29) * abs(delong(scored)[0]))


def test_interval_over_splits_is_that_of_a_paired_bootstrap_of_the_rows():
    whole = noisy(40, 120, seed=1)
    normal = np.flatnonzero(~whole.is_anomaly)
    halves = [normal[::2], normal[1::2], normal[:60]]
    rows_of = [np.r_[:40, half] for half in halves]
    splits = [ScoredRows(rows, whole.is_anomaly[rows], whole.first[rows], whole.second[rows]) for rows in rows_of]
    rng = np.random.default_rng(0)
    counts = np.hstack([rng.multinomial(n, np.full(n, 1 / n), size=4000) for n in (40, 120)])
    drawn = np.zeros(4000)
    for split, half in zip(splits, halves, strict=True):
        anomalies, others = counts[:, :40], counts[:, half]
        drawn += np.einsum("ra,an,rn->r", anomalies, kernel_of(split), others, optimize=True) / 40 / others.sum(axis=1)
    drawn /= 3
    found = auroc_difference(splits)
    between = np.var(found.by_split, ddof=1) / 3
    expected = stats.t.ppf(0.975, 39) * (np.var(drawn) + between) ** 0.5
    assert found.upper - found.mean == pytest.approx(expected, rel=0.06)


def compared(columns, n_normal=40, n_anomalies=10, n_splits=3):
    """A comparison of known scores: functions of the label and the index of a row."""
    y = np.repeat([False, True], [n_normal, n_anomalies])
    scores, measures = [], []
    for split in range(n_splits):
        frame = pd.DataFrame({"setting": "all", "split": split, "row": np.arange(len(y)), "is_anomaly": y})
        for method, score in columns.items():
            frame[method] = np.asarray(score(y.astype(float), np.arange(len(y))), dtype=float)
            area = roc_auc_score(y, frame[method])
            counts = {"n_fitted": len(y), "n_scored": len(y), "n_anomalies": n_anomalies}
            row = {"method": method, "setting": "all", "split": split, **counts, "auroc": area}
            row["scored_by"] = "score_samples"
            seconds = {"fit_seconds": 2.0 if method == "VAEDetector" else 0.1, "score_seconds": 0.0}
            measures.append(row | {"average_precision": area / 2, "precision_at_n": area} | seconds)
        scores.append(frame)
    return Comparison(tuple(columns), pd.DataFrame(measures), pd.concat(scores, ignore_index=True))


def perfect(y, index):
    return y


def coin(y, index):
    return index % 10


def inverted(y, index):
    return -y


def test_perfect_detector_beats_ours_and_the_verdict_says_so():
    verdict = compared({"VAEDetector": coin, "kNN": perfect, "PCA": inverted}).verdict("all")
    assert (verdict.outcome, verdict.method) == ("behind", "kNN")
    assert verdict.text.startswith("kNN is better than VAEDetector: AUROC 1.000 against 0.500, +0.500 (95 % interval +")
    assert "ahead in each of 3 splits, in 1/20 of the time." in verdict.text
    assert verdict.text.endswith(
        "Take kNN unless you need reasons for cells, scores without filled missing values, or a likelihood."
    )
    assert "Also better" not in verdict.text


def test_reasons_for_ours_are_not_offered_where_it_is_below_chance():
    text = compared({"VAEDetector": inverted, "kNN": perfect, "LOF": coin}).verdict("all").text
    assert "Also better: LOF (0.500)." in text
    assert text.endswith("VAEDetector is below chance (0.5) here. Take kNN.")


def test_perfect_detector_of_ours_leads_and_its_price_is_named():
    verdict = compared({"VAEDetector": perfect, "kNN": inverted, "LOF": coin}).verdict("all")
    assert (verdict.outcome, verdict.method) == ("ahead", "VAEDetector")
    assert "better than every other: AUROC 1.000; next LOF 0.500, -0.500 (95 %" in verdict.text
    assert verdict.text.endswith("It takes 20 times as long as LOF.")


def test_equal_detectors_have_no_clear_difference():
    verdict = compared({"VAEDetector": perfect, "kNN": perfect, "LOF": coin}).verdict("all")
    assert verdict.outcome == "level"
    assert "No clear difference between VAEDetector (AUROC 1.000) and kNN (1.000): kNN +0.000 (95 %" in verdict.text
    assert "ahead in 0 of 3 splits. Clearly behind: LOF (0.500)." in verdict.text
    assert "Nothing here speaks against kNN, in 1/20 of the time, unless you need" in verdict.text


def test_lead_by_one_anomaly_of_ten_is_within_the_noise():
    def almost(y, index):
        return np.where(index == 45, -1.0, y)

    verdict = compared({"VAEDetector": perfect, "kNN": almost}).verdict("all")
    assert verdict.outcome == "level"
    assert "kNN -0.100 (95 % interval -0.3" in verdict.text


def test_few_anomalies_give_no_verdict_however_clear():
    six, five = (compared({"a": inverted, "b": perfect}, n_anomalies=n).verdict("all") for n in (6, 5))
    assert six.outcome == "behind"
    assert (five.outcome, five.method) == ("undecided", "b")
    assert compared({"a": inverted, "b": perfect}, n_normal=5).verdict("all").outcome == "undecided"
    assert "No verdict: 5 rows of the smaller class are too few. Of fewer than 6," in five.text


def test_detectors_that_find_nothing_are_reported_so():
    nothing = compared({"a": coin, "b": inverted}).verdict("all")
    assert nothing.text.endswith("may not separate these anomalies from normal rows.")
    assert "chance" not in compared({"a": coin, "b": perfect}).verdict("all").text
    assert "Nothing here speaks" not in compared({"VAEDetector": coin, "b": coin}).verdict("all").text
    assert "Take b" not in verdict_of(FIRST, [rival("b", 0.9, (0.1,), 0.05, 0.15)], 50, above_chance=False).text


def test_limits_are_differences_of_areas():
    labels = np.array([True, True, False, False])
    one, other = np.array([4.0, 1.0, 2.0, 3.0]), np.array([1.0, 4.0, 2.0, 3.0])
    found = auroc_difference([ScoredRows(np.arange(4), labels, one, other)], 0.99)
    assert (found.lower, found.upper) == (-1, 1)


def rival(method, auroc, by_split, lower, upper, precision=0.5, seconds=1.0):
    return Rival(method, auroc, precision, seconds, Difference(float(np.mean(by_split)), lower, upper, by_split))


FIRST = rival("a", 0.8, (0.0, 0.0), 0.0, 0.0)


@pytest.mark.parametrize(
    ("by_split", "lower", "upper", "standing"),
    [
        ((0.1, 0.2), 0.05, 0.25, "better"),
        ((0.4, -0.1), 0.05, 0.25, "unclear"),
        ((0.1, 0.2), -0.01, 0.31, "unclear"),
        ((0.0, 0.3), 0.05, 0.25, "unclear"),
        ((-0.1, -0.2), -0.25, -0.05, "worse"),
        ((-0.4, 0.1), -0.25, -0.05, "unclear"),
    ],
)
def test_better_needs_the_interval_and_every_split(by_split, lower, upper, standing):
    assert rival("b", 0.9, by_split, lower, upper).standing == standing


def test_other_order_by_average_precision_is_reported():
    better = rival("b", 0.9, (0.1, 0.1), 0.05, 0.15, precision=0.3)
    assert "By average precision it is the other way round: a 0.500, b 0.300." in verdict_of(FIRST, [better], 50).text
    worse = rival("b", 0.7, (-0.1, -0.1), -0.15, -0.05, precision=0.6)
    assert "By average precision it is the other way round: b 0.600, a 0.500." in verdict_of(FIRST, [worse], 50).text
    agreeing = rival("b", 0.9, (0.1, 0.1), 0.05, 0.15, precision=0.6)
    assert "precision" not in verdict_of(FIRST, [agreeing], 50).text


def test_intervals_hold_together_over_all_rivals():
    assert confidence_of_each(5) == pytest.approx(0.99)
    assert confidence_of_each(0) == pytest.approx(0.95)
    two = compared({"a": coin, "b": perfect}).difference("all", "b", "a")
    three = compared({"a": coin, "b": perfect, "c": perfect}).difference("all", "b", "a")
    wider = stats.t.ppf(1 - 0.0125, 9) / stats.t.ppf(1 - 0.025, 9)
    assert three.upper - three.mean == pytest.approx(wider * (two.upper - two.mean))


def test_summary_is_ranked_with_means_and_deviations():
    comparison = compared({"a": coin, "b": perfect, "c": inverted})
    assert comparison.summary["method"].tolist() == ["b", "a", "c"]
    assert comparison.summary["standing"].tolist() == ["better", "first", "worse"]
    assert comparison.summary["auroc"].tolist() == [1.0, 0.5, 0.0]
    assert comparison.summary["auroc_sd"].tolist() == [0.0, 0.0, 0.0]
    assert comparison.summary["n_ahead"].tolist() == [3, 0, 0]
