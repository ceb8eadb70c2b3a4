"""Selections: the procedures by hand and against scipy, their false share, batches, and the certificate."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.decisions.calibration import Calibration
from vae_anomaly.decisions.false_alarms import CalibrationTooSmall
from vae_anomaly.decisions.selection import FamilyCounts, benjamini_hochberg, select, storey
from vae_anomaly.decisions.thresholds import percent
from vae_anomaly.errors import DataError, DataWarning, SpecificationError

P_VALUES = st.lists(st.integers(1, 200).map(lambda rank: rank / 200), min_size=1, max_size=80).map(np.array)


def of(scores, **given):
    return Calibration.of("split", [scores], **{"declared_normal": True} | given)


def drawn(random, n, m, share, effect, levels=None):
    """Calibration, p-values and labels of m rows; `levels` lumps most of the scores together."""
    scores, new = random.normal(size=n), random.normal(size=m)
    is_anomaly = np.arange(m) < round(share * m)
    new[is_anomaly] += effect
    if levels:
        scores, new = (np.where(one < stats.norm.ppf(levels), 0.0, np.ceil(2 * one)) for one in (scores, new))
    calibration = of(scores)
    return calibration, calibration.p_values(new[:, None]), is_anomaly


def false_share(selected, is_anomaly):
    return (selected & ~is_anomaly).sum() / max(selected.sum(), 1)


def test_procedure_of_benjamini_and_hochberg_by_hand():
    # .05 i / 5 = .01, .02, .03, .04, .05: the third is the last below its line, and takes the second with it.
    p = np.array([0.029, 0.005, 0.021, 0.2, 0.9])
    assert benjamini_hochberg(p, 0.05).tolist() == [True, True, True, False, False]


@given(P_VALUES, st.sampled_from([0.01, 0.05, 0.1, 0.3]))
def test_procedure_of_benjamini_and_hochberg_is_that_of_scipy(p, fdr):
    adjusted = stats.false_discovery_control(p)
    assert benjamini_hochberg(p, fdr).tolist() == (adjusted <= fdr * (1 + 1e-9)).tolist()


def test_storeys_procedure_by_hand():
    # Two above .5: (1 + 2) / .5 = 6 normal rows of 8, so that .1 * 2 / 6 = .033 takes .03 where .1 * 2 / 8 does not.
    p = np.array([0.03, 0.03, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7])
    assert storey(p, 0.1).tolist() == [True, True] + [False] * 6
    assert not benjamini_hochberg(p, 0.1).any()


def test_storeys_procedure_selects_nothing_above_lambda():
    assert storey(np.array([0.2, 0.3, 0.4, 0.45]), 0.9, lambda_=0.3).tolist() == [True, True, False, False]


@given(P_VALUES, st.sampled_from(["benjamini_hochberg", "storey"]), st.data())
def test_batches_do_not_matter(p, method, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(p)), max_size=5)))
    family = FamilyCounts()
    for batch in np.split(p, cuts):
        family.add(batch)
    assert family.cutoff(0.1, method) == FamilyCounts.of(p).cutoff(0.1, method)
    assert family.n_rows == len(p)


@pytest.mark.parametrize("size", [1, 10, 1_000])
def test_selection_of_a_file_does_not_depend_on_its_chunks(size, monkeypatch):
    monkeypatch.setattr("vae_anomaly.decisions.selection.MAX_PENDING", 700)
    calibration, p, _ = drawn(np.random.default_rng(0), 2_000, 3_000, 0.02, 4)
    whole = benjamini_hochberg(p, 0.1)
    family = FamilyCounts()
    for start in range(0, len(p), size):
        family.add(p[start : start + size])
    selection = family.select(calibration, 0.1)
    assert selection == select(calibration, p, 0.1)
    chunks = [selection.selects(p[start : start + size]) for start in range(0, len(p), size)]
    assert np.concatenate(chunks).tolist() == whole.tolist()
    assert selection.n_selected == whole.sum() > 20


@pytest.mark.parametrize("procedure", [benjamini_hochberg, storey])
@pytest.mark.parametrize(
    ("n", "m", "share", "effect", "levels"),
    [
        (1_000, 200, 0.0, 0.0, None),
        (1_000, 200, 0.1, 4.0, None),
        (300, 100, 0.3, 3.0, None),
        (200, 50, 0.1, 4.0, None),
        (1_000, 200, 0.1, 4.0, 0.8),
        (300, 100, 0.0, 0.0, 0.8),
        (100, 20, 0.5, 2.0, 0.8),
    ],
)
def test_false_share_is_kept_on_average(procedure, n, m, share, effect, levels):
    random = np.random.default_rng([n, m])
    shares = np.array(
        [
            false_share(procedure(p, 0.1), is_anomaly)
            for _, p, is_anomaly in (drawn(random, n, m, share, effect, levels) for _ in range(200))
        ]
    )
    assert shares.mean() <= 0.1 + 3 * shares.std() / math.sqrt(len(shares))


def test_selection_in_batches_would_not_keep_the_false_share():
    _, p, is_anomaly = drawn(np.random.default_rng(0), 2_000, 10_000, 0.02, 4)
    by_ten = np.concatenate([benjamini_hochberg(batch, 0.1) for batch in np.split(p, 1_000)])
    assert false_share(by_ten, is_anomaly) > 0.3
    assert false_share(benjamini_hochberg(p, 0.1), is_anomaly) < 0.15


@pytest.mark.parametrize(("n", "m", "share"), [(1_000, 500, 0.05), (300, 300, 0.3), (2_000, 200, 0.0)])
def test_certificate_holds_for_all_cutoffs_at_once(n, m, share):
    # The worst cutoff of each family, chosen with the labels known.
    random = np.random.default_rng(n)
    n_families, missed = 100, 0
    for _ in range(n_families):
        calibration, p, is_anomaly = drawn(random, n, m, share, 3)
        for fdr in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)
                try:
                    selection = select(calibration, p, fdr, confidence=0.8)
                except CalibrationTooSmall:
                    continue
            bound = selection.false_share_bound
            if bound is not None and false_share(selection.selects(p), is_anomaly) > bound:
                missed += 1
                break
    assert missed / n_families <= 0.2 + 3 * math.sqrt(0.16 / n_families)


def test_certificate_says_something_in_a_large_family():
    calibration, p, is_anomaly = drawn(np.random.default_rng(0), 5_000, 5_000, 0.05, 4)
    selection = select(calibration, p, 0.1)
    realised = false_share(selection.selects(p), is_anomaly)
    assert realised <= selection.false_share_bound < 0.25
    assert f"with 95 % confidence, at most {percent(selection.false_share_bound, upwards=True)}" in selection.sentence()
    assert "row" not in selection.sentence("image")


def test_certificate_is_for_split_calibrations_without_groups():
    p = np.array([0.01, 0.01, 0.5])
    cross = Calibration.of("cross", [np.arange(50.0), np.arange(50.0)], declared_normal=True)
    assert select(cross, p, 0.1).false_share_bound is None
    assert "not proved for cross calibration" in select(cross, p, 0.1).sentence()
    unaudited = Calibration.of("cross", [np.arange(50.0), np.arange(50.0)])
    assert "If these are all normal" in select(unaudited, p, 0.1).sentence()
    assert "not proved for cross calibration" in select(unaudited, p, 0.1).sentence()
    grouped = of(np.arange(100.0), groups=[["a", "b"] * 50])
    assert select(grouped, p, 0.1).false_share_bound is None
    assert select(of(np.arange(100.0)), p, 0.1).false_share_bound is not None


def test_rows_that_were_fitted_have_rarity_and_no_false_share():
    selection = select(Calibration.of("training", [np.arange(100.0)]), [0.01, 0.01, 0.5], 0.1)
    assert selection.expected_false_share is None
    assert selection.sentence() == (
        "2 of 3 rows are selected: each is among the most anomalous 1 % of the 100 rows that the model was fitted on. "
        "Nothing is promised about false alarms."
    )


def test_unaudited_calibration_rows_are_named():
    unaudited = of(np.arange(100.0), declared_normal=False)
    assert "If these are all normal" in select(unaudited, [0.01, 0.01, 0.5], 0.1).sentence()
    with pytest.warns(DataWarning, match="nobody has audited the 100 calibration rows"):
        select(unaudited, [0.3, 0.3, 0.5], 0.1)
    assert "If these are" not in select(unaudited.without([99]), [0.01, 0.01, 0.5], 0.1).sentence()


def test_selection_without_power_is_refused_with_numbers():
    # d discoveries among m rows take m / (q d) - 1 calibration rows: 1000 / (.1 * 10) - 1.
    with pytest.raises(CalibrationTooSmall, match="needs at least 999 calibration rows, and there are 100;") as found:
        select(of(np.arange(100.0)), np.full(1_000, 0.5), 0.1)
    assert "with these, 100 rows would have to be" in str(found.value)
    with pytest.raises(CalibrationTooSmall, match=r"a selection of 2 of 2 rows at fdr=0.1 needs at least 9 "):
        select(of(np.arange(8.0)), [1 / 9, 1 / 9], 0.1)
    assert select(of(np.arange(9.0)), [0.1, 0.1], 0.1).n_selected == 2


def test_selection_that_takes_many_rows_warns_where_it_is_empty():
    calibration = of(np.arange(499.0))
    with pytest.warns(DataWarning, match="that takes 20 or more of 1,000 rows"):
        selection = select(calibration, np.full(1_000, 0.5), 0.1)
    assert selection.sentence() == (
        "None of 1,000 rows is selected: it takes 20 or more that are more anomalous than all 499 calibration rows."
    )
    assert select(calibration, np.repeat([0.002, 0.5], [20, 980]), 0.1).n_selected == 20


def test_two_per_cent_of_anomalies_in_the_reference_cost_the_power_and_an_audit_gives_it_back():
    random = np.random.default_rng(0)
    n, m, n_families = 2_000, 1_000, 20
    outcomes = []
    for _ in range(n_families):
        is_anomaly = np.arange(m) < 20
        reference = random.normal(size=n) + 4 * (np.arange(n) < 40)
        new = random.normal(size=m) + 4 * is_anomaly
        calibration = of(reference, declared_normal=False)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            before = select(calibration, calibration.p_values(new[:, None]), 0.1)
        looked_at = calibration.suspects.unaudited(50)
        audited = calibration.answered(looked_at, looked_at < 40)
        p = audited.p_values(new[:, None])
        after = select(audited, p, 0.1).selects(p)
        outcomes.append((before.n_selected, len(said), after[is_anomaly].mean(), false_share(after, is_anomaly)))
    n_before, n_warned, power, false = np.array(outcomes, dtype=float).T
    assert n_before.sum() <= 0.05 * 20 * n_families
    assert ((n_before > 0) | (n_warned == 1)).all()
    assert power.mean() >= 0.8
    assert false.mean() <= 0.1 + 3 * false.std() / math.sqrt(n_families)


def test_empty_family_has_an_empty_selection():
    selection = select(of(np.arange(9.0)), [], 0.1)
    assert (selection.n_rows, selection.n_selected, selection.false_share_bound) == (0, 0, None)
    assert selection.selects([]).tolist() == []


@pytest.mark.parametrize("p", [[0.0], [-0.1], [1.1], [math.nan], [[0.5]]])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(DataError, match=r"p-value"):
        benjamini_hochberg(p, 0.1)


@pytest.mark.parametrize("level", [0, 1, -0.1, math.nan, True, "0.1", None])
def test_levels_that_are_none_are_refused(level):
    for procedure in (benjamini_hochberg, storey):
        with pytest.raises(SpecificationError, match="fdr is a number above 0 and below 1"):
            procedure([0.5], level)
    with pytest.raises(SpecificationError, match="lambda_ is a number above 0 and below 1"):
        storey([0.5], 0.1, level)
    with pytest.raises(SpecificationError, match="confidence is a number above 0 and below 1"):
        select(of([1.0]), [0.5], 0.5, confidence=level)


def test_unknown_method_is_refused():
    with pytest.raises(SpecificationError, match="not 'bonferroni'"):
        select(of([1.0]), [0.5], 0.1, method="bonferroni")
