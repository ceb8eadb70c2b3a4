"""What numbers of rows are compared with: groups, their parents, and rows of training without their own numbers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly import DataError, SmallGroupsWarning, SpecificationError
from vae_anomaly.columns import BaselineSpecification, ComparedColumn, infer_columns, learn_baseline
from vae_anomaly.columns.baseline import digest_of, key_digests, key_text
from vae_anomaly.columns.baseline_learning import _levels, _nested, left_out_estimates
from vae_anomaly.data import Table

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.DataWarning")


def table_of(**cells) -> Table:
    frame = pd.DataFrame(cells)
    return Table(tuple(frame.columns), frame)


def learned(table: Table, *keys: str, time: str | None = None):
    columns = infer_columns(table)
    return columns, learn_baseline(table, columns, BaselineSpecification(keys, time))


@pytest.fixture(scope="module")
def sales() -> Table:
    rng = np.random.default_rng(0)
    store, product = (part.ravel() for part in np.meshgrid(range(8), ["a", "b", "c"], indexing="ij"))
    means = rng.lognormal(5, 1, len(store))
    rows = np.repeat(np.arange(len(store)), 40)
    return table_of(
        store=store[rows],
        product=product[rows],
        volume=means[rows] * np.exp(0.1 * rng.normal(size=len(rows))),
        degrees=3.0 * store[rows] - 12 + rng.normal(size=len(rows)),
    )


def test_location_of_a_large_group_is_near_its_median(sales):
    _, found = learned(sales, "store", "product")
    baseline = found.baseline
    frame = sales.cells
    by_name = {sales.names[column.position]: place for place, column in enumerate(baseline.columns)}
    assert set(by_name) == {"volume", "degrees"}
    for name, place in by_name.items():
        column = baseline.columns[place]
        compared = pd.Series(column.compared(frame[name].to_numpy()))
        medians = compared.groupby([frame["store"], frame["product"]]).median()
        digests = [digest_of((str(store), product)) for store, product in medians.index]
        level = baseline.levels[1]
        places = level.places(np.array(digests), np.ones(len(digests), dtype=bool))
        np.testing.assert_allclose(
            level.locations[places, place], medians, atol=1.3 * level.scales[places, place].max() / 40**0.5
        )


def test_scale_is_the_one_on_which_rows_are_more_probable(sales):
    _, found = learned(sales, "store", "product")
    scales = {sales.names[column.position]: column.asinh_scale for column in found.baseline.columns}
    assert scales["volume"] > 0
    assert scales["degrees"] == 0


def test_non_negative_numbers_with_equal_spread_stay_as_they_are():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), 100)
    _, found = learned(table_of(group=group, x=(20.0 + 8 * rng.normal(size=1000)).clip(0)), "group")
    assert found.baseline.columns[0].asinh_scale == 0


def test_new_groups_and_missing_keys_have_what_the_group_around_them_has(sales):
    columns, found = learned(sales, "store", "product")
    baseline = found.baseline
    rows = table_of(store=[3.0, 3, np.nan, 99, 3], product=["a", "z", "a", "a", None], volume=1.0, degrees=1.0)
    references = baseline.references(rows, columns)
    assert references.n_known_keys.tolist() == [2, 1, 0, 0, 1]
    store = baseline.levels[0].places(np.array([digest_of(("3",))]), np.array([True]))[0]
    for row in (1, 4):
        assert references.locations[row].tolist() == baseline.levels[0].locations[store].tolist()
        assert references.scales[row].tolist() == baseline.levels[0].scales[store].tolist()
    for row in (2, 3):
        assert references.locations[row].tolist() == baseline.locations.tolist()


def test_keys_are_one_whether_numbers_or_text():
    columns = infer_columns(table_of(key=["7", "8"] * 30, x=np.random.default_rng(0).normal(size=60)))
    written: list[list[object]] = [[7, 7], [7.0, np.nan], ["7", "7.0"], [" 7 ", None]]
    digests = []
    for cells in written:
        (found, known), *_ = key_digests(table_of(key=cells, x=[1.0, 2.0]), columns, (0,))
        digests += found[known].tolist()
    assert set(digests) == {digest_of(("7",))}


def test_codes_with_leading_zeros_are_not_the_numbers():
    assert key_text("007", folded=False) == "007"
    assert key_text("Nord", folded=True) == key_text("nord", folded=True)


def test_keys_do_not_run_together():
    assert digest_of(("ab", "c")) != digest_of(("a", "bc"))


NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, st.floats(-10, 10), st.floats(0.01, 100), st.sampled_from([0.0, 0.5, 1.0]))
def test_residuals_give_back_the_cell(cell, location, scale, asinh_scale):
    column = ComparedColumn(0, asinh_scale)
    left = (column.compared(np.array([cell])) - location) / scale
    back = column.cells(location + left * scale)
    np.testing.assert_allclose(back, [cell], rtol=1e-8, atol=1e-8)


@given(st.floats(-1e4, 1e4), st.sampled_from([0.0, 0.5, 1.0, 20.0]))
def test_log_slope_is_that_of_the_scale(cell, asinh_scale):
    column = ComparedColumn(0, asinh_scale)
    step = 1e-4 * (1 + abs(cell))
    low, high = column.compared(np.array([cell - step, cell + step]))
    slope = column.log_slopes(column.compared(np.array([cell])))[0]
    assert np.exp(slope) == pytest.approx((high - low) / (2 * step), rel=1e-3)


def test_cells_of_whole_numbers_are_whole_and_within_the_ends():
    column = ComparedColumn(0, 1.0, step=1.0, low=0.0)
    assert column.cells(np.array([np.arcsinh(6.6), -3.0])).tolist() == [7, 0]


def test_training_rows_are_compared_without_their_own_number():
    rng = np.random.default_rng(1)
    store, product = rng.integers(0, 6, 70), rng.integers(0, 4, 70)
    table = table_of(store=store, product=product, x=rng.normal(size=70) + store)
    columns = infer_columns(table)
    values = table.numbers(2)
    compared = ComparedColumn(2)
    levels = _levels(key_digests(table, columns, (0, 1)), 70)
    nest = _nested(values, levels, compared, 1e-9)
    found = left_out_estimates(values, levels, nest, compared, 1e-9)
    for row in range(70):
        without = values.copy()
        without[row] = np.nan
        others = _nested(without, levels, compared, 1e-9)
        # How groups differ among one another is learned from all rows.
        others = dataclasses.replace(others, spreads=nest.spreads, root=nest.root)
        expected = left_out_estimates(without, levels, others, compared, 1e-9)
        np.testing.assert_allclose(found.locations[row], expected.locations[row])
        np.testing.assert_allclose(found.scales[row], expected.scales[row])


def test_row_alone_in_its_group_is_compared_with_the_group_around():
    rng = np.random.default_rng(0)
    group = np.append(np.repeat(np.arange(5), 80), 99)
    table = table_of(group=group, x=np.append(rng.normal(size=400) + 10 * group[:-1], 5000.0))
    _, found = learned(table, "group")
    assert found.references.locations[-1, 0] == found.baseline.locations[0]
    assert found.references.scales[-1, 0] == found.baseline.scales[0]


def test_columns_of_one_value_in_half_of_the_rows_stay_as_they_are(sales):
    rng = np.random.default_rng(0)
    mostly_zero = np.where(rng.random(sales.n_rows) < 0.6, 0.0, rng.lognormal(size=sales.n_rows))
    frame = sales.cells.assign(mostly_zero=mostly_zero)
    _, found = learned(Table(tuple(frame.columns), frame), "store")
    assert [column.position for column in found.baseline.columns] == [2, 3]


@pytest.mark.parametrize(
    ("keys", "time", "words"),
    [
        (("shop",), None, "baseline_by names 'shop', which is no column of the data; there are"),
        (("stroe",), None, "did you mean 'store'?"),
        (("store", "store"), None, "name 'store' more than once"),
        (("store",), "when", "baseline_time names 'when'"),
    ],
)
def test_what_names_no_column_is_refused(sales, keys, time, words):
    with pytest.raises(SpecificationError, match=words.replace("?", r"\?")):
        BaselineSpecification(keys, time).check(sales.names)


def test_key_that_is_the_only_number_is_refused():
    table = table_of(store=np.arange(60.0) ** 1.5, name=["x", "y", "z"] * 20)
    with pytest.raises(SpecificationError, match=r"baseline_by compares numbers, and beside store no column"):
        learned(table, "store")


def test_time_without_dates_is_refused(sales):
    with pytest.raises((SpecificationError, DataError), match=r"baseline_time='degrees' is continuous, not dates"):
        learned(sales, time="degrees")


def test_small_groups_are_warned_of():
    rng = np.random.default_rng(0)
    with pytest.warns(SmallGroupsWarning, match=r"200 of 200 rows are in groups of fewer than 5 rows \(100 groups\)"):
        learned(table_of(group=np.repeat(np.arange(100), 2), x=rng.normal(size=200)), "group")
