"""Calibrations: p-values by hand, for folds and groups, their laws, and what an audit changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.decisions.calibration import MAX_SUSPECTS, Calibration
from vae_anomaly.errors import DataError, SpecificationError

TIED = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=30).map(np.array)


def of(scores, kind="split", **given):
    return Calibration.of(kind, [scores], **given)


def column(*scores):
    return np.array(scores, dtype=float)[:, None]


def test_p_values_by_hand():
    calibration = of([1.0, 2.0, 2.0, 3.0])
    assert calibration.p_values(column(0, 1, 2, 2.5, 3, 4)).tolist() == [1, 1, 0.8, 0.4, 0.4, 0.2]
    assert calibration.smallest_p == 0.2


def test_cross_p_values_compare_fold_by_fold():
    calibration = Calibration.of("cross", [[1.0, 2.0], [10.0, 20.0, 30.0]])
    # 1 of fold 0 and 2 of fold 1 are at least as anomalous, of 5; then none and 3; then 2 and none.
    assert calibration.p_values(np.array([[2.0, 15.0], [3.0, 5.0], [0.0, 31.0]])) == pytest.approx(
        [4 / 6, 4 / 6, 3 / 6]
    )
    assert calibration.n_rows == 5
    assert calibration.pooled.values.tolist() == [1, 2, 10, 20, 30]


def test_p_values_by_group_take_the_rows_of_the_group_alone():
    calibration = of([1.0, 2.0, 3.0, 100.0], group_column="site", groups=[["a", "a", "b", "b"]])
    p = calibration.p_values(column(2.5, 2.5, 2.5, 200), ["a", "b", "c", "b"])
    assert p == pytest.approx([1 / 3, 1, 1, 1 / 3])
    assert calibration.smallest_p == pytest.approx(1 / 3)


def test_p_values_by_group_want_a_group_for_each_row():
    calibration = of([1.0, 2.0], group_column="site", groups=[["a", "b"]])
    with pytest.raises(DataError, match=r"2 rows come with 0 groups; .*'site'"):
        calibration.p_values(column(1, 2))


@given(TIED, TIED)
def test_p_values_fall_with_the_score_and_equal_rows_have_equal_ones(scores, new):
    p = of(scores).p_values(new[:, None])
    order = np.argsort(new, kind="stable")
    assert (np.diff(p[order]) <= 0).all()
    for score in new:
        assert len(set(p[new == score])) == 1


@given(TIED, TIED)
def test_p_values_are_ranks_between_the_smallest_and_one(scores, new):
    calibration = of(scores)
    p = calibration.p_values(new[:, None])
    ranks = p * (len(scores) + 1)
    assert ranks == pytest.approx(np.round(ranks))
    assert ((p >= calibration.smallest_p) & (p <= 1)).all()


@given(TIED, st.data())
def test_p_values_do_not_depend_on_the_other_rows(scores, data):
    new = data.draw(TIED)
    calibration = of(scores)
    together = calibration.p_values(new[:, None])
    assert [calibration.p_values(column(score))[0] for score in new] == together.tolist()


@given(TIED)
def test_exchangeable_rows_have_valid_p_values_also_with_ties(scores):
    # Each row in turn is the new one: at most a share a of them has p <= a.
    p = np.array(
        [of(np.delete(scores, i)).p_values(column(scores[i]))[0] for i in range(len(scores)) if len(scores) > 1]
    )
    for a in np.unique(p):
        assert (p <= a).mean() <= a + 1e-12


def test_compressed_calibration_gives_no_smaller_p_values():
    scores = np.random.default_rng(0).normal(size=30_000)
    new = np.random.default_rng(1).normal(size=(500, 1))
    assert (of(scores, max_exact=11_000).p_values(new) >= of(scores).p_values(new)).all()


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_comparisons_have_a_column_for_each_fold(shape):
    with pytest.raises(DataError, match=r"\(rows, 1\) was expected"):
        of([1.0, 2.0]).p_values(np.zeros(shape))


def test_bad_calibrations_are_refused():
    with pytest.raises(DataError, match="no calibration rows"):
        of([])
    with pytest.raises(DataError, match="NaN"):
        of([1.0, np.nan])
    with pytest.raises(SpecificationError, match="not 'jackknife'"):
        of([1.0], kind="jackknife")
    with pytest.raises(SpecificationError, match="one set of scores, not 2"):
        Calibration.of("split", [[1.0], [2.0]])
    with pytest.raises(DataError, match="2 calibration scores have 1 ids"):
        of([1.0, 2.0], ids=[[7]])
    with pytest.raises(DataError, match="2 calibration scores have 1 groups"):
        of([1.0, 2.0], groups=[["a"]])


def test_suspects_are_the_most_anomalous_first():
    calibration = Calibration.of("cross", [[1.0, 9.0], [5.0, 7.0]], ids=[[10, 11], [12, 13]])
    assert calibration.suspects.ids.tolist() == [11, 13, 12, 10]
    assert calibration.suspects.folds.tolist() == [0, 1, 1, 0]
    assert calibration.suspects.unaudited(2).tolist() == [11, 13]
    assert len(of(np.arange(3.0 * MAX_SUSPECTS)).suspects.ids) == MAX_SUSPECTS


def test_confirmed_anomalies_are_dropped_and_nothing_else_changes():
    calibration = Calibration.of("cross", [[1.0, 9.0], [5.0, 7.0]], ids=[[10, 11], [12, 13]])
    answered = calibration.answered([11, 13], np.array([True, False]))
    assert [one.values.tolist() for one in answered.folds] == [[1], [5, 7]]
    assert answered.suspects.ids.tolist() == [13, 12, 10]
    assert (answered.suspects.n_audited, answered.suspects.n_confirmed) == (2, 1)
    assert answered.suspects.unaudited(5).tolist() == [12, 10]
    assert answered.is_audited
    assert not calibration.is_audited
    assert calibration.n_rows == 4


def test_confirmed_anomalies_leave_their_group():
    calibration = of([1.0, 2.0, 3.0, 3.0], ids=[[4, 5, 6, 7]], groups=[["a", "b", "a", "b"]])
    left = calibration.without([7])
    assert left.groups["b"][0].values.tolist() == [2]
    assert left.groups["a"][0].values.tolist() == [1, 3]
    assert left.n_rows == 3


def test_answers_about_other_rows_are_refused():
    calibration = of([1.0, 2.0])
    with pytest.raises(DataError, match="index 5 is not among the 2 most anomalous"):
        calibration.without([5])
    with pytest.raises(DataError, match="given twice"):
        calibration.without([1, 1])
    with pytest.raises(DataError, match="no calibration row is left"):
        calibration.without([0, 1])
    with pytest.raises(DataError, match="True or False"):
        calibration.answered([0, 1], [0, 1])
