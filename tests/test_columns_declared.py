"""What users say columns are: every kind taken at its word, and refused where the data speaks against it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vae_anomaly.columns import DECLARABLE, infer_columns
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataError, DataWarning, SpecificationError
from vae_anomaly.likelihoods import (
    Binary,
    BoundedStudentT,
    Categorical,
    Gaussian,
    Ordinal,
    Poisson,
    RoundedStudentT,
    StudentT,
)

NAN = float("nan")
NORMAL = stats.norm.ppf((np.arange(200) + 0.5) / 200)
SKEWED = np.exp(2 * NORMAL)


def table_of(cells):
    if isinstance(cells, np.ndarray) and cells.dtype == np.float64:
        return Table(("c",), cells[:, None])
    return Table(("c",), pd.DataFrame({"c": cells}))


def declare(cells, kind, likelihood=None):
    return infer_columns(table_of(cells), likelihood, declared={"c": kind})[0]


FLAGS = pd.Series([True, False, True, None] * 10, dtype="boolean")
DATES = pd.Series(pd.date_range("2020", periods=40))
TAKEN = {
    "continuous": (np.repeat([0.0, 1.0], 20), "continuous", StudentT()),
    "positive": (NORMAL + 9, "positive", StudentT()),
    "bounded": (np.abs(NORMAL) / 3, "bounded", BoundedStudentT()),
    "integer": (np.arange(40.0), "integer", RoundedStudentT()),
    "count": (np.repeat([0.0, 1.0, 2.0], 20), "count", RoundedStudentT()),
    "binary": (pd.Series(["yes", "no", None] * 10), "binary", Binary()),
    "boolean": (FLAGS, "boolean", Binary()),
    "categorical": (NORMAL.round(), "categorical", Categorical()),
    "ordinal": (np.repeat([0.0, 1.0, 2.5], 3), "ordinal", Ordinal()),
    "datetime+trend": (pd.Series(["2020-01-01", "2021-06-30T12:00"] * 10), "datetime", StudentT()),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_declared_kind_is_taken_at_its_word(kind):
    cells, expected, likelihood = TAKEN[kind]
    column = declare(cells, kind)
    assert (column.kind, column.likelihood) == (expected, likelihood)
    values = column.encode(table_of(cells), 0)
    np.testing.assert_array_equal(np.isnan(values), pd.Series(cells).isna())


def test_every_kind_that_can_be_declared_is_tested():
    assert {*TAKEN, "datetime", "identifier"} == set(DECLARABLE)


def test_text_declared_dates_gives_their_parts():
    column = declare(pd.Series(DATES.dt.strftime("%Y-%m-%d").tolist() * 2), "datetime")
    assert (column.kind, column.likelihood) == ("datetime", None)
    assert [part.kind for part in column.parts] == ["weekday"]


def test_declared_identifier_is_set_aside():
    table = Table(("c", "d"), np.column_stack([NORMAL, np.roll(SKEWED, 100)]))
    with pytest.warns(DataWarning, match="column 'c' is set aside: declared an identifier"):
        columns = infer_columns(table, declared={"c": "identifier"})
    assert [column.likelihood is None for column in columns] == [True, False]


@pytest.mark.parametrize("likelihood", [Gaussian(), Poisson(), Categorical(smoothing=0.1), Ordinal(floor=0.2)])
def test_declared_likelihood_is_taken(likelihood):
    cells = np.repeat([0.0, 1.0, 4.0], 20)
    assert declare(cells, likelihood).likelihood == likelihood
    assert declare(cells, likelihood, StudentT()).likelihood == likelihood


def test_declared_column_leaves_the_others_to_the_likelihood_for_all():
    table = Table(("c", "d"), np.column_stack([NORMAL, SKEWED]))
    columns = infer_columns(table, Gaussian(), declared={"c": "continuous"})
    assert [column.likelihood for column in columns] == [StudentT(), Gaussian()]


@pytest.mark.parametrize("kind", ["boolean", "binary", "categorical", Categorical(smoothing=0.1)])
def test_flags_stay_flags_whatever_the_likelihood_for_all(kind):
    column = declare(FLAGS, kind, Gaussian())
    assert column.likelihood == (kind if isinstance(kind, Categorical) else Binary())
    decoded = column.decode(np.nan_to_num(column.encode(table_of(FLAGS), 0)))
    assert decoded.dtype == bool


REFUSED = [
    ("integer", np.array([1.0, 2.5]), r"'c' is declared integer and holds 2.5; expected whole.*Declare it continuous"),
    ("count", np.array([1.5, 2.0]), r"'c' is declared count and holds 1.5; expected whole.*Declare it continuous"),
    ("count", np.array([1.0, -2.0]), r"'c' is declared count and holds -2; expected whole numbers from 0 on"),
    ("positive", np.array([1.0, -2.5]), r"'c' is declared positive and holds -2.5.*Declare it continuous"),
    ("binary", np.array([1.0, 2.0, 3.0]), r"'c' is declared binary and holds 3 different.*Declare it categorical"),
    ("boolean", pd.Series(list("abcd")), r"'c' is declared boolean and holds 4 .*'a', 'b', 'c'.*expected two"),
    ("ordinal", pd.Series(["low", "high"]), r"'c' is declared ordinal and holds text without an order.*ordered=True"),
    ("ordinal", np.arange(65.0), r"'c' is declared ordinal and holds 65 different values; expected at most 64"),
    ("datetime", pd.Series(["2020-01-01", "soon"]), r"'c' holds 'soon' .index 1.*ISO dates"),
    (
        "datetime",
        np.array([1.0, 2.0]),
        r"'c' is declared datetime and holds 1; .*since 1970. Convert it with pandas.to_datetime",
    ),
    ("continuous", pd.Series(["1.5", "high"]), r"'c' holds 'high' .index 1.*numbers or NaN. Clean"),
    *(
        (
            kind,
            DATES,
            r"'c' holds dates and is declared .*; expected datetime, datetime.trend, identifier.*Convert it first",
        )
        for kind in ("continuous", "integer", "categorical", "ordinal", Poisson(), Categorical())
    ),
]


@pytest.mark.parametrize(("kind", "cells", "message"), REFUSED)
def test_data_that_speaks_against_the_declaration_is_refused_with_the_remedy(kind, cells, message):
    with pytest.raises(DataError, match=message) as caught:
        declare(cells, kind)
    assert caught.value.column == "c"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"agee": "integer"}, r"columns names 'agee', which is no column of the data; did you mean 'age'\?"),
        ({"zzz": "integer"}, r"columns names 'zzz'.*there are 'age', 'c'"),
        ({"age": "numeric"}, r"columns\['age'\] is one of continuous, .*identifier or a Likelihood, not 'numeric'"),
        ({"age": "constant"}, r"columns\['age'\] is one of"),
    ],
)
def test_declaration_of_no_column_or_no_kind_is_refused(declared, message):
    with pytest.raises(SpecificationError, match=message):
        infer_columns(Table(("age", "c"), np.column_stack([NORMAL, SKEWED])), declared=declared)


def test_numbers_written_as_text_may_be_declared_numbers_or_levels_without_a_warning():
    cells = pd.Series(["1", "2.5", None, "4"] * 20, dtype=object)
    numbers = declare(cells, "continuous")
    np.testing.assert_allclose(numbers.decode(numbers.encode(table_of(cells), 0)[[0, 1, 3]]), [1, 2.5, 4])
    assert declare(cells, "categorical").levels == ("1", "2.5", "4")


def test_dates_take_a_declared_likelihood_for_numbers():
    column = declare(DATES, Gaussian())
    assert (column.kind, column.likelihood) == ("datetime", Gaussian())
    assert column.decode(column.encode(table_of(DATES), 0)).tolist() == DATES.tolist()


def test_numeric_codes_declared_categorical_decode_to_numbers_and_pool_the_rare():
    codes = np.repeat(np.arange(80.0) * 10 + 0.5, np.arange(80, 0, -1))
    column = declare(codes, "categorical")
    assert column.levels[:2] == ("0.5", "10.5")
    assert column.levels[-1] == "(rare)"
    assert len(column.levels) == 64
    assert column.rare == tuple(f"{code * 10}.5" for code in range(63, 80))
    assert column.reason == "declared so, the 17 rarest pooled"
    values = column.encode(table_of(np.array([0.5, 620.5, 630.5, 790.5, 7.0, NAN])), 0)
    np.testing.assert_array_equal(values, [0, 62, 63, 63, 64, NAN])
    decoded = column.decode(values[:3])
    assert decoded.dtype == np.float64
    assert decoded.tolist() == [0.5, 620.5, 630.5]


def test_whole_codes_keep_their_text_whatever_type_they_come_in():
    integers = pd.Series([1, 2, 30] * 20)
    column = declare(integers, "categorical")
    assert column.levels == ("1", "2", "30")
    for same in (integers.astype(float), integers.astype("Int64"), integers.astype(str), integers.astype("category")):
        assert column.encode(table_of(same), 0).tolist() == [0, 1, 2] * 20


def test_ordered_categories_may_be_declared_anything_that_levels_can_be():
    sizes = pd.Series(pd.Categorical(["s", "l", "m"] * 10, ["s", "m", "l"], ordered=True))
    assert declare(sizes, "categorical").levels == ("l", "m", "s")
    assert declare(sizes, Ordinal(floor=0.3)).likelihood == Ordinal(floor=0.3)
    assert declare(sizes, "ordinal").reason == "declared so"


def test_ordinal_numbers_are_coded_by_rank_and_between_them_is_the_unseen():
    column = declare(np.repeat([1.0, 2.0, 5.0], 10), "ordinal")
    values = column.encode(table_of(np.array([5.0, 1.0, 3.5, NAN])), 0)
    np.testing.assert_array_equal(values, [2, 0, 4, NAN])
    assert column.decode(np.array([0.0, 1.0, 2.0])).tolist() == [1, 2, 5]


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        (np.linspace(0.2, 0.9, 50) ** 2, 0, 1),
        (np.linspace(2, 90, 50) ** 1.001, 0, 100),
        (np.linspace(0, 30, 50) ** 2, 0, 900),
        (np.linspace(-3, 30, 50), -3, 30),
    ],
)
def test_bounds_of_a_declared_bounded_column_are_natural_ones_or_those_of_the_data(cells, low, high):
    column = declare(cells, "bounded")
    assert (column.low, column.high) == (pytest.approx(low), pytest.approx(high))


def test_declared_positive_numbers_get_their_median_as_asinh_scale_where_that_does_not_fit_by_itself():
    column = declare(np.append(NORMAL + 9, 0.0), "positive")
    assert column.asinh_scale == pytest.approx(np.median(NORMAL + 9))
