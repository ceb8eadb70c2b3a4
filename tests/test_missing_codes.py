"""Codes that stand for missing cells: recognised by what they are, how often and how far out; or named."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import SpecificationError, VAEDetector, load, save
from vae_anomaly.columns import TableEncoder, infer_columns
from vae_anomaly.columns.missing_codes import date_codes_of, number_codes_of
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataWarning, MissingCodeWarning

RNG = np.random.default_rng(0)
N = 300
WARM = RNG.normal(20, 8, N)
AGES = RNG.integers(18, 90, N)
RECOGNISED = {
    "-999 among temperatures": (WARM, [-999.0] * 3, (-999.0,)),
    "-1 among ages": (AGES, [-1.0] * 9, (-1.0,)),
    "99 among small counts": (RNG.integers(0, 15, N), [99.0] * 4, (99.0,)),
    "two codes": (WARM, [-9999.0] * 3 + [9999.0] * 3, (-9999.0, 9999.0)),
    "a gross cell beside it": (WARM, [-999.0] * 3 + [1e12], (-999.0,)),
    "a slip of the pen between": (AGES, [999.0] * 9 + [455.0], (999.0,)),
    "most of the column": (AGES, [-999.0] * 3 * N, (-999.0,)),
}
KEPT = {
    "it occurs twice": (WARM, [-999.0] * 2),
    "no code": (WARM, [-998.0] * 9),
    "the top of percentages": (RNG.integers(0, 101, N), [99.0] * 9),
    "days from 1 on": (RNG.integers(1, 800, N), [-1.0] * 99),
    "the minimum of scaled data": (RNG.uniform(-1, 1, N), [-1.0] * 9),
    "among balances": (RNG.normal(0, 2000, N), [-999.0] * 4),
    "the top of a tail": (np.minimum(RNG.lognormal(7, 1.5, N).round(), 9999), [9999.0] * 4),
    "as rare as what lies between": (AGES, [999.0] * 3 + [455.0, 456.0]),
    "a long tail that is cut off": (np.minimum(RNG.lognormal(3, 2, 9 * N).round(), 9999), [9999.0] * 9),
    "few levels": (RNG.integers(1, 6, N), [-999.0] * 4),
}


@pytest.mark.parametrize("case", RECOGNISED)
def test_code_is_recognised(case):
    others, coded, codes = RECOGNISED[case]
    assert number_codes_of(np.append(others, coded).astype(float)) == codes


@pytest.mark.parametrize("case", KEPT)
def test_value_is_kept(case):
    assert number_codes_of(np.append(*KEPT[case]).astype(float)) == ()


def test_dates_far_from_all_others_are_codes():
    days = RNG.uniform(18_000, 19_000, N)
    assert date_codes_of(np.append(days, [-25_567.0] * 3 + [2_932_896.5] * 3)) == (-25_567.0, 2_932_896.5)
    births = RNG.uniform(-14_000, 12_000, N)
    assert date_codes_of(np.append(births, [0.0] * 5)) == ()


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    warm = np.append(WARM, [-999.0] * 20)
    start = pd.Timestamp("2024-01-01")
    when = pd.Series(start + pd.to_timedelta(np.arange(N + 20) * 7, unit="h")).where(np.arange(N + 20) % 50 > 0)
    return pd.DataFrame(
        {
            "warm": warm,
            "when": when.fillna(pd.Timestamp("1900-01-01")),
            "word": rng.choice(["a", "b", "unknown"], N + 20),
            "x": rng.normal(size=N + 20),
        }
    )


def table_of(cells: pd.DataFrame) -> Table:
    return Table(tuple(cells.columns), cells)


def test_codes_are_missing_in_training_and_in_scoring_and_said_once():
    with pytest.warns(MissingCodeWarning) as caught:
        encoder = TableEncoder(infer_columns(table_of(frame())))
    assert [str(warning.message).split(" is taken")[0] for warning in caught] == [
        "column 'warm': -999 in 20 cells",
        "column 'when': 1900-01-01 in 7 cells",
    ]
    warm = encoder.columns[0]
    assert (warm.missing_values, warm.scale) == ((-999.0,), pytest.approx(WARM.std()))
    assert warm.reason.endswith("; missing where -999")
    batch = encoder.encode(table_of(frame().iloc[[0, 1, -1]]))
    positions = [index for index, position in enumerate(encoder.order) if position == 0]
    assert batch.observed[:, positions[0]].tolist() == [True, True, False]
    dates = [index for index, position in enumerate(encoder.order) if position == 1]
    assert batch.observed[:, dates].any(1).tolist() == [False, True, True]


def test_matrix_and_integers_lose_their_codes_too():
    numbers = np.append(AGES, [-999] * 5)
    for cells in (numbers.astype(float)[:, None], pd.DataFrame({"c": numbers})):
        with pytest.warns(MissingCodeWarning, match="-999 in 5 cells"):
            (column,) = infer_columns(Table(("c",), cells))
        encoder = TableEncoder((column,))
        assert encoder.encode(Table(("c",), cells)).observed.sum() == N


@pytest.mark.parametrize("kept", [False, [], (), {"c": False}, {"c": []}])
def test_codes_can_be_kept(kept):
    table = Table(("c",), np.append(WARM, [-999.0] * 20)[:, None])
    (column,) = infer_columns(table, missing_values=kept)
    assert column.missing_values == ()
    assert TableEncoder((column,)).encode(table).observed.all()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (7.0, {"a": (7.0,), "b": ("7",), "t": ()}),
        ("unknown", {"a": (), "b": ("unknown",), "t": ()}),
        (dt.date(2024, 1, 2), {"a": (), "b": ("2024-01-02",), "t": (19724.0,)}),
        ([7, "unknown", "2024-01-02"], {"a": (7.0,), "b": ("7", "unknown", "2024-01-02"), "t": (19724.0,)}),
        ({"a": [7, 8]}, {"a": (7.0, 8.0), "b": (), "t": ()}),
    ],
)
def test_named_values_are_missing_without_a_warning(given, expected):
    cells = pd.DataFrame(
        {
            "a": np.random.default_rng(0).permutation(np.arange(100) % 30),
            "b": ["x", "unknown", "7", "y"] * 25,
            "t": pd.date_range("2024-01-01", periods=100),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        columns = infer_columns(table_of(cells), missing_values=given)
    assert {column.name: column.missing_values for column in columns} == expected
    encoder = TableEncoder(columns)
    batch = encoder.encode(table_of(cells))
    for name, codes in expected.items():
        indices = encoder.model_indices_of(list(cells.columns).index(name))
        n_hidden = sum((cells[name].astype(str) == (str(code) if name == "b" else f"{code:g}")).sum() for code in codes)
        assert (~batch.observed[:, indices[0]]).sum() == (1 if name == "t" and codes else n_hidden)


@pytest.mark.parametrize("given", [True, [None], [[1, 2]], {"c": [True]}, object()])
def test_what_is_no_value_is_refused(given):
    with pytest.raises(SpecificationError, match=r"missing_values holds .*; expected numbers, text or dates"):
        VAEDetector(missing_values=given).fit(np.random.default_rng(0).normal(size=(30, 2)))


@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
def test_codes_survive_a_model_file(tmp_path):
    X = frame().drop(columns=["when", "word"])
    given = {"x": [123.0], "warm": [-999.0, dt.date(2020, 1, 1)]}
    detector = VAEDetector(n_estimators=1, max_iter=5, missing_values=given).fit(X)
    save(detector, tmp_path / "m.vae")
    again = load(tmp_path / "m.vae")
    assert [column.missing_values for column in again.columns_] == [(-999.0,), (123.0,)]
    np.testing.assert_array_equal(again.score_samples(X), detector.score_samples(X))
    gone = X.assign(warm=X["warm"].replace(-999.0, np.nan))
    np.testing.assert_array_equal(again.score_samples(gone), detector.score_samples(X))


def test_codes_of_a_column_that_is_not_there_are_refused() -> None:
    table = Table(("temperature",), WARM[:, None])
    with pytest.raises(SpecificationError, match=r"missing_values names 'temprature', .*did you mean 'temperature'"):
        infer_columns(table, missing_values={"temprature": -1})


@pytest.mark.parametrize(
    ("cells", "code", "values"),
    [
        ([f"${price:.2f}" for price in AGES] + ["$0.00"] * 9, "$0.00", (0.0,)),
        ([f"{price:.2f}".replace(".", ",") for price in WARM] + ["0,50"] * 9, "0,50", (0.5,)),
        ([f"{1 + row % 28:02d}/02/2026" for row in range(N)] + ["31/12/2030"] * 9, "31/12/2030", (22279.0,)),
        (["a", "b", "UNK "] * 100, "unk", ("unk", "UNK")),
    ],
)
def test_codes_are_read_as_the_text_of_their_column(cells: list[str], code: str, values: tuple[object, ...]) -> None:
    table = Table(("c", "x"), pd.DataFrame({"c": cells, "x": RNG.normal(size=len(cells))}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        column = infer_columns(table, missing_values={"c": code})[0]
    assert column.missing_values == values
    assert "UNK" not in column.levels
