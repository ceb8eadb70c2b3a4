"""The estimator on a table that has every kind of column, from pandas, Polars and Arrow, and through a file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vae_anomaly import DataError, PooledELBO, SpecificationError, VAEDetector, load, save
from vae_anomaly.detectors import read_table
from vae_anomaly.likelihoods import LIKELIHOODS
from vae_anomaly.model.elbo import marginal_terms

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

N = 400
DECLARED = {"code": "categorical", "grade": "ordinal", "when": "datetime+trend", "key": "identifier"}
KINDS = {
    "height": "continuous",
    "income": "positive",
    "share": "bounded",
    "year": "integer",
    "visits": "count",
    "hours": "integer",
    "sex": "binary",
    "flag": "boolean",
    "city": "categorical",
    "code": "categorical",
    "grade": "ordinal",
    "size": "ordinal",
    "when": "datetime",
    "unit": "constant",
    "none": "empty",
    "key": "identifier",
}


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    z = rng.normal(size=N)
    frame = pd.DataFrame(
        {
            "height": 170 + 9 * z + rng.normal(size=N),
            "income": np.exp(8 + 1.6 * (z + rng.normal(size=N))),
            "share": np.minimum(1, rng.beta(3, 1, N) * 1.1),
            "year": rng.integers(1950, 2020, N),
            "visits": np.round(np.exp(1.5 + 2.6 * rng.normal(size=N))),
            "hours": np.where(rng.random(N) < 0.4, 40, rng.integers(10, 80, N)),
            "sex": rng.choice(["f", "m"], N),
            "flag": z > 0,
            "city": rng.choice(["Bern", "Rome", "Oslo"], N),
            "code": rng.choice([11.0, 17.5, 40.0, 44.0], N),
            "grade": rng.integers(1, 7, N).astype(float),
            "size": pd.Categorical(rng.choice(["s", "m", "l"], N), ["s", "m", "l"], ordered=True),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700 * 24, N), unit="h"),
            "unit": np.full(N, 7.0),
            "none": np.full(N, np.nan),
            "key": [f"k{position}" for position in range(N)],
        }
    )
    for name in ("height", "visits", "city", "grade", "size", "when"):
        frame[name] = frame[name].mask(rng.random(N) < 0.1)
    return frame


def detector_of(**parameters: object) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=10, columns=DECLARED, calibration=None).set_params(**parameters)


@pytest.fixture(scope="module", params=[False, True], ids=["missing values ignored", "missing values modelled"])
def fitted(request: pytest.FixtureRequest, mixed: pd.DataFrame) -> VAEDetector:
    return detector_of(model_missing=request.param).fit(mixed)


def test_every_kind_is_recognised(fitted: VAEDetector) -> None:
    assert {column.name: column.kind for column in fitted.columns_} == KINDS


def test_scores_are_finite_also_for_cells_that_training_never_saw(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    assert np.isfinite(fitted.score_samples(mixed)).all()
    anomalous = mixed.iloc[:1].copy()
    usual = fitted.anomaly_score(anomalous)[0]
    for name, value in {
        "height": -1e9,
        "income": -1e6,
        "share": 1.5,
        "year": 10**9,
        "visits": -3.0,
        "hours": -500,
        "sex": "x",
        "city": "Mars",
        "code": 12.0,
        "grade": 99.0,
        "size": "xxl",
        "when": pd.Timestamp("1700-01-01"),
        "unit": 8.0,
    }.items():
        row = anomalous.astype({name: object})
        row.loc[row.index[0], name] = value
        surprise = fitted.anomaly_score(row)[0]
        assert np.isfinite(surprise)
        assert surprise > usual + 2


def test_reconstruction_and_samples_have_the_kinds_of_the_columns(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    for frame in (fitted.reconstruct(mixed.iloc[:50]), fitted.sample(50, random_state=0)):
        assert isinstance(frame, pd.DataFrame)
        assert list(frame.columns) == list(mixed.columns)
        assert set(frame["sex"]) <= {"f", "m"}
        assert set(frame["city"]) <= {"Bern", "Rome", "Oslo"}
        assert set(frame["size"]) <= {"s", "m", "l"}
        assert set(frame["code"]) <= {11.0, 17.5, 40.0, 44.0}
        assert set(frame["grade"]) <= {1, 2, 3, 4, 5, 6}
        assert set(frame["unit"]) == {7.0}
        assert frame["flag"].dtype == bool
        assert pd.api.types.is_datetime64_any_dtype(frame["when"])
        for name in ("year", "visits", "hours"):
            np.testing.assert_array_equal(frame[name], np.rint(frame[name]))
        assert (frame["income"] >= 0).all()
        assert (frame["visits"] >= 0).all()
        assert frame["share"].between(0, 1).all()
        assert frame[["none", "key"]].isna().all(axis=None)


def test_terms_of_a_columns_parts_add_up_to_its_term(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    terms = fitted.elbo_terms(mixed)
    assert terms.log_likelihood.shape == (2, N, len(mixed.columns))
    batch = fitted.encoder_.encode(read_table(fitted, mixed, fitting=False))
    alone = marginal_terms(fitted.vae_, batch).double().sum(1)
    score, experts = PooledELBO(), fitted.vae_.experts
    charges = sum(experts.charges(batch))
    assert (charges.numpy()[:, mixed["height"].isna()] != 0).all()
    bounds = np.stack([terms.elbo.mean(0) - charges[:2].mean(0).numpy(), alone - charges[2]])
    medians = np.array([experts.medians[:2].double().mean(), experts.medians[2]])[:, None]
    weights = np.array([[1 - score.independence], [score.independence]])
    mean = (weights * np.exp(-score.sharpness * (bounds - medians))).sum(0)
    pooled = (weights * medians).sum() - np.log(mean) / score.sharpness
    np.testing.assert_allclose(fitted.score_samples(mixed), pooled, rtol=1e-6)
    of_missing = terms.log_likelihood[:, mixed["height"].isna(), 0]
    assert (of_missing != 0).all() if fitted.model_missing else (of_missing == 0).all()


def test_loaded_detector_is_the_saved_one(fitted: VAEDetector, mixed: pd.DataFrame, tmp_path: Path) -> None:
    save(fitted, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.columns_ == fitted.columns_
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.score_samples(mixed), fitted.score_samples(mixed))
    pd.testing.assert_frame_equal(loaded.reconstruct(mixed), fitted.reconstruct(mixed))
    pd.testing.assert_frame_equal(loaded.sample(9, random_state=0), fitted.sample(9, random_state=0))


def test_arrow_table_has_the_scores_of_the_frame(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    arrow = pa.Table.from_pandas(mixed, preserve_index=False)
    np.testing.assert_array_equal(fitted.score_samples(arrow), fitted.score_samples(mixed))
    again = detector_of(model_missing=fitted.model_missing).fit(arrow)
    np.testing.assert_array_equal(again.score_samples(mixed), fitted.score_samples(mixed))
    assert isinstance(fitted.reconstruct(arrow), pa.Table)


def test_polars_frame_has_the_scores_of_the_pandas_frame(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.from_pandas(mixed)
    np.testing.assert_array_equal(fitted.score_samples(frame), fitted.score_samples(mixed))
    # Polars' categories have no order, unless they are an enumeration.
    frame = frame.with_columns(polars.col("size").cast(polars.String).cast(polars.Enum(["s", "m", "l"])))
    declared = DECLARED | {"size": "categorical"}
    again = detector_of(model_missing=fitted.model_missing, columns=declared).fit(frame)
    assert [column.kind for column in again.columns_][:11] == list(KINDS.values())[:11]
    reference = detector_of(model_missing=fitted.model_missing, columns=declared).fit(mixed)
    np.testing.assert_array_equal(again.score_samples(frame), reference.score_samples(mixed))
    reconstruction = fitted.reconstruct(frame)
    assert isinstance(reconstruction, polars.DataFrame)
    assert reconstruction.columns == list(mixed.columns)


def test_frame_in_another_unit_has_scores_that_are_shifted(mixed: pd.DataFrame) -> None:
    numbers = mixed[["height", "income"]]
    detector, other = detector_of(columns=None), detector_of(columns=None)
    before = detector.fit(numbers).score_samples(numbers)
    after = other.fit(numbers * 1000).score_samples(numbers * 1000)
    # A missing cell is charged in the same units, so all rows move alike.
    shift = np.log(1000) * numbers.shape[1]
    np.testing.assert_allclose(after, before - shift, atol=0.1)


def test_missing_cells_that_depend_on_another_cell_are_anomalous_where_they_are_modelled() -> None:
    rng = np.random.default_rng(0)
    married = rng.random(600) < 0.5
    frame = pd.DataFrame({"married": married, "spouse": rng.normal(size=600)})
    frame.loc[~married, "spouse"] = np.nan
    detector = VAEDetector(n_estimators=2, max_iter=300, model_missing=True, row_score="elbo", calibration=None).fit(
        frame
    )
    rows = pd.DataFrame({"married": [True, True], "spouse": [0.1, np.nan]})
    usual, anomalous = detector.anomaly_score(rows)
    assert anomalous > usual + 1


@pytest.mark.parametrize("likelihood", [name for name in LIKELIHOODS if "student_t" in name or name == "gaussian"])
def test_every_likelihood_for_numbers_may_be_asked_for_all(likelihood: str, mixed: pd.DataFrame) -> None:
    frame = mixed[["height", "year", "sex", "when"]]
    detector = VAEDetector(n_estimators=1, max_iter=10, likelihood=likelihood).fit(frame)
    assert detector.columns_[0].likelihood == LIKELIHOODS[likelihood]()
    assert np.isfinite(detector.score_samples(frame)).all()


def test_wrong_declarations_are_refused_before_the_fit(mixed: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match=r"columns names 'heigt'.*did you mean 'height'"):
        detector_of(columns={"heigt": "continuous"}).fit(mixed)
    with pytest.raises(SpecificationError, match=r"columns\['height'\] is one of"):
        detector_of(columns={"height": "number"}).fit(mixed)
    with pytest.raises(DataError, match=r"'income' is declared count"):
        detector_of(columns={"income": "count"}).fit(mixed)


def test_columns_of_a_matrix_are_declared_by_their_positions() -> None:
    cells = np.random.default_rng(0).normal(size=(60, 2)).round(1)
    detector = VAEDetector(n_estimators=1, max_iter=5, columns={"x1": "categorical"}).fit(cells)
    assert detector.columns_[1].kind == "categorical"
    assert np.isfinite(detector.sample(5, random_state=0).astype(float)).all()
