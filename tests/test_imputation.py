"""Missing values filled and errors repaired: in the user's container and types, observed cells left as they are."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vae_anomaly import VAEDetector

N = 240


def complete(seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=N)

    def near():
        return common + 0.2 * rng.normal(size=N)

    return pd.DataFrame(
        {
            "float": near(),
            "integer": pd.array(np.rint(50 + 10 * near()).astype(int), dtype="Int64"),
            "text": np.where(near() > 0, "high", "low"),
            "category": pd.Categorical.from_codes((near() > 0).astype(int), categories=[3, 7]),
            "boolean": pd.array(near() > 0, dtype="boolean"),
            "when": pd.Timestamp("2021-06-01", tz="Europe/Berlin") + pd.to_timedelta(np.rint(near() * 50), unit="D"),
        }
    )


def with_missing_cells(frame, seed=1):
    missing = np.random.default_rng(seed).random(frame.shape) < 0.1
    return frame.mask(missing), missing


@pytest.fixture(scope="module")
def fitted():
    columns = {"when": "datetime+trend"}
    return VAEDetector(n_estimators=2, max_iter=200, early_stopping=False, columns=columns).fit(complete())


def test_missing_cells_are_filled_and_observed_cells_and_types_stay(fitted):
    frame = complete()
    incomplete, missing = with_missing_cells(frame)
    filled = fitted.impute(incomplete)
    assert not filled.isna().to_numpy().any()
    assert (filled.dtypes == incomplete.dtypes).all()
    for position, name in enumerate(frame.columns):
        pd.testing.assert_series_equal(
            filled[name][~missing[:, position]], frame[name][~missing[:, position]], check_dtype=False
        )


def test_filled_cells_are_near_the_hidden_ones(fitted):
    frame = complete(seed=5)
    incomplete, missing = with_missing_cells(frame)
    filled = fitted.impute(incomplete)
    hidden = missing[:, 0]
    error = (filled["float"] - frame["float"])[hidden]
    assert np.sqrt((error**2).mean()) < 0.6 * frame["float"].std()
    for name in ("text", "boolean", "category"):
        hidden = missing[:, list(frame.columns).index(name)]
        assert (filled[name][hidden] == frame[name][hidden]).mean() > 0.75


def test_whole_numbers_are_filled_with_whole_numbers(fitted):
    frame = complete()
    frame["integer"] = frame["integer"].astype(float)
    frame.loc[:50, "integer"] = np.nan
    filled = fitted.impute(frame)["integer"]
    assert (filled == filled.round()).all()


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_arrays_keep_their_dtype(dtype):
    X = (np.random.default_rng(0).normal(size=(80, 3)) * 100).astype(dtype)
    detector = VAEDetector(n_estimators=2, max_iter=5, early_stopping=False).fit(X)
    filled = detector.impute(X)
    assert filled.dtype == X.dtype
    np.testing.assert_array_equal(filled, X)


def test_array_of_objects_gets_numbers_and_text():
    rng = np.random.default_rng(0)
    X = np.empty((80, 2), dtype=object)
    X[:, 0], X[:, 1] = rng.normal(size=80), rng.choice(["a", "b"], 80)
    X[3, 0] = X[4, 1] = None
    filled = VAEDetector(n_estimators=2, max_iter=5, early_stopping=False).fit(X).impute(X)
    assert isinstance(filled[3, 0], float)
    assert filled[4, 1] in {"a", "b"}
    assert X[3, 0] is None


def test_arrow_and_polars_tables_come_back_as_such():
    frame = complete()[["float", "text"]].reset_index(drop=True)
    detector = VAEDetector(n_estimators=2, max_iter=5, early_stopping=False).fit(frame)
    frame.loc[2, "text"] = None
    filled = detector.impute(frame)
    table = detector.impute(pa.Table.from_pandas(frame))
    assert isinstance(table, pa.Table)
    assert table["text"].to_pylist() == filled["text"].tolist()
    pl = pytest.importorskip("polars")
    table = detector.impute(pl.from_pandas(frame))
    assert isinstance(table, pl.DataFrame)
    assert table["text"].to_list() == filled["text"].tolist()


def test_columns_set_aside_stay_empty():
    frame = complete()[["float", "text"]].assign(nothing=np.nan)
    with pytest.warns(UserWarning, match="set aside"):
        detector = VAEDetector(n_estimators=2, max_iter=5, early_stopping=False).fit(frame)
    assert detector.impute(frame)["nothing"].isna().all()
    assert detector.repair(frame)["nothing"].isna().all()


def test_repair_leaves_missing_and_ordinary_cells_alone(fitted):
    frame = complete().iloc[:20].copy()
    frame.loc[4, "float"] = np.nan
    frame.loc[5, "float"] = 40.0
    repaired = fitted.repair(frame)
    assert np.isnan(repaired.loc[4, "float"])
    assert abs(repaired.loc[5, "float"]) < 4
    rest = frame.index.difference([5])
    pd.testing.assert_frame_equal(repaired.loc[rest], frame.loc[rest])
    assert (repaired.dtypes == frame.dtypes).all()


def test_error_does_not_make_its_neighbours_look_wrong(fitted):
    frame = complete().iloc[:20].copy()
    for row in frame.index:
        frame.loc[row, "float"] = 1e6
    repaired = fitted.repair(frame)
    assert (repaired["float"].abs() < 5).all()
    others = frame.columns.drop("float")
    assert (repaired[others] == frame[others]).to_numpy().mean() > 0.9


@pytest.mark.parametrize("share", [0, 1, -0.1, "all"])
def test_share_that_is_no_probability_is_refused(fitted, share):
    with pytest.raises(ValueError, match="max_tail_probability is between"):
        fitted.repair(complete(), max_tail_probability=share)


def test_more_cells_are_repaired_where_more_may_be(fitted):
    frame = complete(seed=9)
    few, many = (
        int((fitted.repair(frame, max_tail_probability=share) != frame).to_numpy().sum()) for share in (1e-4, 0.2)
    )
    assert few < many


@pytest.mark.parametrize("dtype", ["float32", "Float32", "float64", "Float64", "double[pyarrow]"])
def test_every_kind_of_float_column_is_filled_in_kind(dtype):
    frame = complete()[["float", "text"]].astype({"float": dtype})
    frame.loc[3, "float"] = None
    filled = VAEDetector(n_estimators=2, max_iter=5, early_stopping=False).fit(frame).impute(frame)
    assert filled["float"].dtype == frame["float"].dtype
    assert not filled.isna().to_numpy().any()


def test_proposals_that_an_integer_dtype_cannot_hold_widen_it():
    X = np.random.default_rng(0).integers(200, 260, size=(120, 2))
    X[:, 1] = X[:, 0] + np.arange(120) % 3
    detector = VAEDetector(n_estimators=2, max_iter=100, early_stopping=False).fit(X)
    small = np.array([[-100, 120]], dtype=np.int8)
    assert (detector.repair(small, max_tail_probability=0.5) >= -100).all()
    frame = pd.DataFrame(small, columns=["a", "b"])
    named = VAEDetector(n_estimators=2, max_iter=100, early_stopping=False).fit(pd.DataFrame(X, columns=["a", "b"]))
    np.testing.assert_array_equal(named.repair(frame, 0.5), detector.repair(small, 0.5))


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("text", [np.nan] * 3),
        ("when", [np.nan] * 3),
        ("category", pd.Categorical([3, None, 3], categories=[3])),
        ("category", pd.Categorical([None] * 3, categories=[])),
        ("boolean", [1.0, np.nan, 0.0]),
        ("when", ["2021-06-01", None, "2021-07-01"]),
        ("text", pd.Series([None, None, "low"], dtype="string")),
    ],
)
def test_small_batches_whose_dtype_says_little_are_filled(fitted, column, cells):
    batch = complete().iloc[:3].assign(**{column: cells})
    filled = fitted.impute(batch)
    assert not filled.isna().to_numpy().any()
    fitted.repair(batch, max_tail_probability=0.5)


def test_rows_with_repeated_labels_are_filled_each_by_itself(fitted):
    frame = complete().iloc[:6].set_axis(["a"] * 6, axis=0)
    frame.iloc[2, 0] = np.nan
    filled = fitted.impute(frame)
    assert list(filled.index) == ["a"] * 6
    pd.testing.assert_frame_equal(filled.iloc[[0, 1, 3, 4, 5]], frame.iloc[[0, 1, 3, 4, 5]])
    assert np.isfinite(filled.iloc[2, 0])
