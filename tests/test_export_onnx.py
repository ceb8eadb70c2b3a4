"""An exported detector has the scores of the detector."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vae_anomaly import (
    DataError,
    ExportError,
    ExtraColumnsWarning,
    ModelFileError,
    NonFiniteScoreError,
    NotInstalled,
    OnnxModel,
    PatchDetector,
    PooledELBO,
    SpecificationError,
    VAEDetector,
    export_onnx,
    load,
    save,
)
from vae_anomaly.columns import PERIODS, Batch, LevelRule
from vae_anomaly.export.expressions import FLAG, FLOAT, Graph
from vae_anomaly.export.fingerprints import fingerprints_graph
from vae_anomaly.export.likelihood_table import LIKELIHOOD_GRAPHS
from vae_anomaly.export.network import ACTIVATION_GRAPHS
from vae_anomaly.export.onnx_export import onnx_content
from vae_anomaly.export.prior_graphs import PRIOR_GRAPHS
from vae_anomaly.export.score_graphs import SCORE_GRAPHS
from vae_anomaly.likelihoods import (
    LIKELIHOOD_CLASSES,
    Bernoulli,
    Binary,
    Bounded,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    InputOnly,
    Ordinal,
    OutputOnly,
    Poisson,
    Rounded,
    Spiked,
    StudentT,
    UnitGaussian,
)
from vae_anomaly.model import ACTIVATIONS, PRIORS
from vae_anomaly.scores import SCORES
from vae_anomaly_datasets import load_cardiotocography, load_thyroid_sick, load_wine

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

N_ROWS = 240
QUICK = {"max_iter": 12, "n_estimators": 2, "hidden_layer_sizes": (16,), "latent_dim": 3, "early_stopping": False}
# Nats, and a share of scores that single precision holds no better.
TOLERANCE, RELATIVE = 2e-5, 2e-6

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.VAEAnomalyWarning")


def cells(kind: str, generator: np.random.Generator) -> np.ndarray:
    """Cells of a column of each kind."""
    normal = generator.normal(size=N_ROWS)
    return {
        "normal": 3 + 2 * normal,
        "whole": np.rint(20 + 5 * normal),
        "skewed": np.rint(np.exp(3 + 2 * normal)),
        "long": np.exp(8 * normal),
        "share": np.where(normal > 1, 1.0, 1 / (1 + np.exp(-normal))),
        "inside": 0.01 + 0.98 / (1 + np.exp(-normal)),
        "mostly zero": np.where(normal > 0.8, np.rint(100 * normal), 0.0),
        "spiked": np.where(normal > 0.8, 7.5 * normal, 0.0),
        "flag": (normal > 0.3).astype(float),
        "five": np.clip(np.rint(normal * 1.2 + 2), 0, 4),
        "count": generator.poisson(np.exp(2 + 0.5 * normal)).astype(float),
    }[kind]


LIKELIHOODS = {
    "gaussian": (Gaussian(), "normal"),
    "shared gaussian": (Gaussian(noise="shared"), "normal"),
    "unit_gaussian": (UnitGaussian(), "normal"),
    "student_t": (StudentT(), "normal"),
    "student_t of other degrees": (StudentT(df=7.5), "normal"),
    "rounded_student_t": (Rounded(StudentT()), "whole"),
    "rounded gaussian": (Rounded(Gaussian()), "whole"),
    "rounded gaussian of wide steps": (Rounded(Gaussian(floor=0.01)), "five"),
    "bounded_student_t": (Bounded(StudentT()), "share"),
    "bounded gaussian": (Bounded(Gaussian()), "share"),
    "spiked_student_t": (Spiked(StudentT()), "spiked"),
    "spiked gaussian": (Spiked(Gaussian()), "spiked"),
    "spiked_rounded_student_t": (Spiked(Rounded(StudentT())), "mostly zero"),
    "spiked rounded gaussian": (Spiked(Rounded(Gaussian())), "mostly zero"),
    "spiked_bounded_student_t": (Spiked(Bounded(StudentT())), "share"),
    "continuous_bernoulli": (ContinuousBernoulli(), "inside"),
    "bernoulli": (Bernoulli(), "flag"),
    "binary": (Binary(), "flag"),
    "binary without smoothing": (Binary(smoothing=0.0), "flag"),
    "categorical": (Categorical(), "five"),
    "categorical without smoothing": (Categorical(smoothing=0.0), "five"),
    "ordinal": (Ordinal(), "five"),
    "poisson": (Poisson(), "count"),
    "discretized_logistic": (DiscretizedLogistic(), "whole"),
    "mixture of logistic": (DiscretizedLogistic(n_components=3), "whole"),
    "input_only": (InputOnly(), "normal"),
    "output_only": (OutputOnly(StudentT()), "normal"),
    "output_only categorical": (OutputOnly(Categorical()), "five"),
    "an asinh scale": ("positive", "long"),
    "rounded on an asinh scale": ("count", "skewed"),
    "an integer": ("integer", "whole"),
    "a percentage": ("bounded", "share"),
}


def assert_equal_scores(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float64
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=RELATIVE)


def with_holes(X: pd.DataFrame, share: float, seed: int = 1) -> pd.DataFrame:
    return X.mask(np.random.default_rng(seed).random(X.shape) < share)


def exported(detector: VAEDetector) -> OnnxModel:
    return OnnxModel(onnx_content(detector))


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """A table of all kinds of columns that are recognised."""
    generator = np.random.default_rng(5)
    n = 800
    normal = generator.normal(size=(n, 4))
    days = generator.integers(0, 2400, n)
    return pd.DataFrame(
        {
            "height": 170 + 9 * normal[:, 0],
            "age": np.rint(45 + 12 * normal[:, 1]),
            "income": np.exp(5 * normal[:, 1] + 2),
            "visits": np.rint(np.exp(2 * normal[:, 2] + 2)),
            "gain": np.where(normal[:, 3] > 1, np.rint(500 * normal[:, 3]), 0.0),
            "share": np.where(normal[:, 2] > 0.5, 100.0, 100 / (1 + np.exp(-normal[:, 2]))),
            "smoker": normal[:, 0] > 0.5,
            "grade": generator.choice([1.0, 2.0, 3.0], n),
            "city": generator.choice(["Bonn", "Köln", "Ulm"], n, p=[0.6, 0.3, 0.1]),
            "id": [f"row {row}" for row in range(n)],
            "street": generator.choice([f"street {k}" for k in range(90)], n),
            "only": "same",
            "fixed": 4.25,
            "seen": pd.Timestamp("2020-03-01 06:00") + pd.to_timedelta(days * 24 + generator.integers(0, 9, n), "h"),
            "weight": [f"{value:.1f} kg" for value in 70 + 8 * normal[:, 3]],
            "code": np.where(normal[:, 1] > 1.3, -999.0, 10 + normal[:, 1]),
        }
    )


@pytest.fixture(scope="module")
def fitted(mixed) -> VAEDetector:
    return VAEDetector(**QUICK, model_missing=True).fit(with_holes(mixed, 0.05))


@pytest.fixture(scope="module")
def runner(fitted) -> OnnxModel:
    return exported(fitted)


def test_every_likelihood_has_a_graph():
    assert set(LIKELIHOOD_GRAPHS) == set(LIKELIHOOD_CLASSES.values())


def test_every_prior_has_a_graph():
    assert set(PRIOR_GRAPHS) == {type(make().empty(1, 2, 4)) for make in PRIORS.values()}


def test_every_score_has_a_graph_or_is_refused():
    without = {
        *("local_ratio", "importance_weighted", "debiased_elbo", "input_complexity", "likelihood_ratio"),
        *("likelihood_regret", "likelihood_path", "surprise"),
    }
    assert set(SCORE_GRAPHS) == {score for name, score in SCORES.items() if name not in without}


def test_every_activation_has_a_graph():
    assert set(ACTIVATION_GRAPHS) == set(ACTIVATIONS)


def test_every_likelihood_is_compared():
    compared = {type(one) for one, _ in LIKELIHOODS.values()}
    assert {kind.__name__ for kind in set(LIKELIHOOD_CLASSES.values()) - compared} == {"Constant"}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihood_has_the_scores_of_the_detector(name):
    likelihood, kind = LIKELIHOODS[name]
    generator = np.random.default_rng(3)
    X = pd.DataFrame({"a": cells(kind, generator), "b": cells("normal", generator)})
    detector = VAEDetector(**QUICK, columns={"a": likelihood}).fit(X)
    model = exported(detector)
    assert_equal_scores(model.score_samples(X), detector.score_samples(X))
    holes = with_holes(X, 0.3)
    assert_equal_scores(model.score_samples(holes), detector.score_samples(holes))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_cells_beyond_those_of_training_have_the_scores_of_the_detector(name):
    likelihood, kind = LIKELIHOODS[name]
    generator = np.random.default_rng(3)
    X = pd.DataFrame({"a": cells(kind, generator), "b": cells("normal", generator)})
    detector = VAEDetector(**QUICK, columns={"a": likelihood}).fit(X)
    beyond = [-3.0, -0.5, 0.25, 0.0, 1.0, 2.0, 3.5, 77.0, 1e4, 1e9, -1e9, 1e300, -1e300]
    if kind in ("inside", "flag") and isinstance(likelihood, ContinuousBernoulli | Bernoulli):
        beyond = [0.0, 0.1, 0.9, 1.0]
    elif isinstance(likelihood, Poisson):
        beyond = [0.0, 1.0, 2.0, 19.0, 20.0, 21.0, 300.0, 1e5]
    elif isinstance(likelihood, UnitGaussian):
        beyond = beyond[:9]
    rows = pd.DataFrame({"a": beyond, "b": np.linspace(-2, 6, len(beyond))})
    assert_equal_scores(exported(detector).score_samples(rows), detector.score_samples(rows))


@pytest.mark.parametrize("load_table", [load_wine, load_cardiotocography, load_thyroid_sick], ids=lambda f: f.__name__)
def test_tables_that_ship_have_the_scores_of_the_detector(load_table):
    X, _ = load_table()
    X = X.iloc[:1000]
    detector = VAEDetector(max_iter=40).fit(X)
    model = exported(detector)
    for rows in (X, with_holes(X, 0.4)):
        assert_equal_scores(model.score_samples(rows), detector.score_samples(rows))
        np.testing.assert_array_equal(model.predict(rows), detector.predict(rows))
    assert model.offset_ == detector.offset_


def test_table_of_all_kinds_has_the_scores_of_the_detector(mixed, fitted, runner):
    kinds = {column.kind for column in fitted.columns_}
    assert {"continuous", "integer", "positive", "bounded", "boolean", "categorical", "identifier", "constant"} <= kinds
    assert {part.kind for column in fitted.columns_ for part in column.parts} == {*PERIODS, "missing"}
    assert_equal_scores(runner.score_samples(mixed), fitted.score_samples(mixed))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_missing_cells_have_the_scores_of_the_detector(mixed, fitted, runner, share):
    rows = with_holes(mixed, share)
    assert_equal_scores(runner.score_samples(rows), fitted.score_samples(rows))


def test_rows_without_any_cell_have_the_score_of_the_detector(mixed, fitted, runner):
    rows = with_holes(mixed.head(2), 1.1)
    assert_equal_scores(runner.score_samples(rows), fitted.score_samples(rows))


def test_codes_of_missing_values_are_missing_cells(mixed, runner):
    assert mixed["code"].eq(-999).any()
    coded = mixed.head(1).assign(code=-999.0)
    assert runner.score_samples(coded) == runner.score_samples(coded.assign(code=np.nan))


def test_levels_that_training_never_saw_cost_what_they_cost_the_detector(mixed, fitted, runner):
    rows = mixed.head(3).assign(city=["Oslo", "bonn ", None], street="lane", only="other", grade=[4.0, 2.5, 900.0])
    rows["fixed"] = [4.25, 4.26, np.nan]
    assert_equal_scores(runner.score_samples(rows), fitted.score_samples(rows))


def test_gross_numbers_have_the_scores_of_the_detector(mixed, fitted, runner):
    rows = mixed.head(6).copy()
    rows["age"] = [1e3, -1e3, 44.4, 1e9, 1e300, -1e300]
    rows["income"] = [0.0, -5.0, 1e12, 1e200, 1e-9, 3.0]
    rows["visits"] = [0.0, -1.0, -700.0, 1e12, 2.5, 1e5]
    rows["height"] = [1e6, -1e6, 1e15, 0.0, 170.0, 1e308]
    rows["share"] = [-1.0, 101.0, 1e5, 100.0, 0.0, 50.0]
    assert_equal_scores(runner.score_samples(rows), fitted.score_samples(rows))


def test_dates_of_other_years_have_the_scores_of_the_detector(mixed, fitted, runner):
    rows = pd.concat([mixed.head(1)] * 300, ignore_index=True)
    days = np.linspace(-80_000, 90_000, 300)
    rows["seen"] = np.datetime64("1970-01-01", "us") + (days * 86_400_000_000).astype("timedelta64[us]")
    assert_equal_scores(runner.score_samples(rows), fitted.score_samples(rows))


def test_dates_as_text_are_read(mixed, fitted, runner):
    rows = mixed.head(20).assign(seen=mixed["seen"].head(20).astype(str))
    assert_equal_scores(runner.score_samples(rows), fitted.score_samples(mixed.head(20)))


def test_place_in_time_and_epochs_have_the_scores_of_the_detector():
    generator = np.random.default_rng(8)
    seconds = 1.6e9 + generator.uniform(0, 9e7, 400)
    moments = pd.to_datetime(seconds, unit="s")
    X = pd.DataFrame({"epoch": seconds, "moment": moments, "x": generator.normal(size=400)})
    columns = {"epoch": "datetime+trend", "moment": "datetime+trend"}
    detector = VAEDetector(**QUICK, columns=columns).fit(X)
    model = exported(detector)
    assert_equal_scores(model.score_samples(X), detector.score_samples(X))
    as_dates = X.assign(epoch=moments)
    assert_equal_scores(model.score_samples(as_dates), detector.score_samples(as_dates))


def test_score_of_a_row_depends_on_the_row_alone(mixed, runner):
    together = runner.score_samples(mixed)
    alone = np.concatenate([runner.score_samples(mixed.iloc[[row]]) for row in range(40)])
    np.testing.assert_allclose(alone, together[:40], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(runner.score_samples(mixed[::-1])[::-1], together, atol=TOLERANCE, rtol=0)


def test_no_rows_have_no_scores(mixed, runner):
    assert runner.score_samples(mixed.head(0)).shape == (0,)
    assert runner.predict(mixed.head(0)).shape == (0,)


def test_graph_says_which_rows_are_anomalous(mixed, runner, tmp_path, fitted):
    given = runner.inputs(mixed)
    path = tmp_path / "model.onnx"
    export_onnx(fitted, path)
    import onnxruntime

    score, is_anomaly = onnxruntime.InferenceSession(path).run(["score", "is_anomaly"], {"X": given})
    assert_equal_scores(score, fitted.score_samples(mixed))
    np.testing.assert_array_equal(is_anomaly, fitted.predict(mixed) == -1)


@pytest.fixture(scope="module")
def of_numbers() -> tuple[VAEDetector, OnnxModel]:
    """A detector of columns on every scale, with codes for missing cells."""
    generator = np.random.default_rng(11)
    X = np.c_[tuple(cells(kind, generator) for kind in ("normal", "whole", "skewed", "long", "share", "five"))]
    X[::20, 0] = -9999.0
    detector = VAEDetector(**QUICK).fit(X)
    return detector, exported(detector)


@given(rows=arrays(np.float64, st.tuples(st.integers(1, 4), st.just(6)), elements=st.floats(allow_infinity=False)))
def test_any_numbers_have_the_scores_of_the_detector(of_numbers, rows):
    detector, model = of_numbers
    assert_equal_scores(model.score_samples(rows), detector.score_samples(rows))


def test_arrays_hold_what_the_graph_takes(mixed, runner):
    np.testing.assert_array_equal(runner.score_samples(runner.inputs(mixed)), runner.score_samples(mixed))


def test_rows_may_be_dicts(mixed, runner):
    records = mixed.head(3).to_dict("records")
    np.testing.assert_array_equal(runner.score_samples(records), runner.score_samples(mixed.head(3)))
    np.testing.assert_array_equal(runner.score_samples(records[0]), runner.score_samples(mixed.head(1)))
    columns = mixed.head(3).to_dict("list")
    np.testing.assert_array_equal(runner.score_samples(columns), runner.score_samples(mixed.head(3)))
    np.testing.assert_array_equal(runner.score_samples(mixed.iloc[0]), runner.score_samples(mixed.head(1)))


def test_tables_of_polars_are_taken_by_name(mixed, runner):
    polars = pytest.importorskip("polars")
    rows = mixed[["height", *mixed.columns.drop("height")[::-1]]].drop(columns="smoker").assign(smoker=1.0)
    np.testing.assert_array_equal(runner.score_samples(polars.from_pandas(rows)), runner.score_samples(rows))


def test_arrays_with_text_are_read_in_the_order_of_the_columns(mixed, runner):
    as_text = mixed.head(3).astype(str).to_numpy(dtype=object)
    np.testing.assert_array_equal(runner.score_samples(as_text), runner.score_samples(mixed.head(3)))
    np.testing.assert_array_equal(runner.score_samples(as_text.tolist()), runner.score_samples(mixed.head(3)))


def test_what_holds_no_numbers_is_refused(runner):
    with pytest.raises(DataError, match="the rows are no numbers"):
        runner.score_samples([[object()] * 16])


def test_columns_are_taken_by_name(mixed, runner):
    rows = mixed[mixed.columns[::-1]].drop(columns="id").assign(more=1)
    with pytest.warns(ExtraColumnsWarning):
        np.testing.assert_array_equal(runner.score_samples(rows), runner.score_samples(mixed))


def test_missing_column_is_named(mixed, runner):
    with pytest.raises(DataError, match="lack column 'height'"):
        runner.score_samples(mixed.drop(columns="height"))


def test_text_in_a_column_of_numbers_is_named_with_its_row(mixed, runner):
    rows = mixed.astype({"height": object})
    rows.loc[17, "height"] = "tall"
    with pytest.raises(DataError, match=r"column 'height' holds 'tall' \(index 17\)"):
        runner.score_samples(rows)


def test_infinity_is_named_with_its_row():
    X = np.random.default_rng(0).normal(size=(200, 2))
    model = exported(VAEDetector(**QUICK).fit(X))
    with pytest.raises(DataError, match=r"column 'x1' holds inf \(index 1\)"):
        model.score_samples([[0.0, 1.0], [0.0, np.inf]])


def test_array_of_another_width_is_refused(runner):
    with pytest.raises(DataError, match=r"shape \(2, 3\); expected two axes, and 16 columns"):
        runner.score_samples(np.zeros((2, 3)))


def test_cells_outside_of_the_support_are_refused():
    generator = np.random.default_rng(0)
    X = pd.DataFrame({"n": generator.poisson(4, 200), "x": generator.normal(size=200)})
    model = exported(VAEDetector(**QUICK, columns={"n": Poisson()}).fit(X))
    with pytest.raises(DataError, match=r"column 'n' holds -1 \(index 1\); Poisson takes counts"):
        model.score_samples(pd.DataFrame({"n": [3.0, -1.0], "x": 0.0}))


def test_numbers_that_are_declared_levels_are_taken_as_numbers():
    generator = np.random.default_rng(1)
    X = np.c_[generator.choice([10, 20, 35], 300), generator.normal(size=300)]
    detector = VAEDetector(**QUICK, columns={"x0": "categorical"}).fit(X)
    rows = np.array([[10.0, 0.0], [35.0, 0.0], [11.0, 0.0], [np.nan, 0.0]])
    assert_equal_scores(exported(detector).score_samples(rows), detector.score_samples(rows))


@pytest.mark.parametrize("score", ["elbo", "elbo_per_cell", "reconstruction", "kl", "pooled_elbo"])
def test_scores_have_the_numbers_of_the_detector(mixed, score):
    X = with_holes(mixed[["height", "city", "visits"]], 0.1)
    detector = VAEDetector(**QUICK, row_score=score).fit(X)
    model = exported(detector)
    assert model.description.score == score
    assert_equal_scores(model.score_samples(X), detector.score_samples(X))


@pytest.mark.parametrize(
    "score",
    [
        PooledELBO(missing="ignored"),
        PooledELBO(sharpness=0.0),
        PooledELBO(sharpness=0.0, missing="ignored"),
        PooledELBO(independence=0.0),
    ],
    ids=repr,
)
def test_pools_have_the_numbers_of_the_detector(mixed, score):
    X = with_holes(mixed[["height", "city", "visits"]], 0.1)
    detector = VAEDetector(**QUICK, row_score=score).fit(X)
    assert_equal_scores(exported(detector).score_samples(X), detector.score_samples(X))


@pytest.mark.parametrize("prior", PRIORS)
def test_priors_have_the_numbers_of_the_detector(mixed, prior):
    X = with_holes(mixed[["height", "city", "visits"]], 0.1)
    # Rows of the training twice, which an exemplar prior counts otherwise than new ones.
    X = pd.concat([X, X.head(50)], ignore_index=True)
    detector = VAEDetector(**QUICK, prior=prior).fit(X)
    assert_equal_scores(exported(detector).score_samples(X), detector.score_samples(X))
    assert_equal_scores(exported(detector).score_samples(mixed[X.columns]), detector.score_samples(mixed[X.columns]))


@pytest.mark.parametrize("preset", ["accurate", "robust"])
def test_presets_have_the_numbers_of_the_detector(mixed, preset):
    X = with_holes(mixed[["height", "city", "visits"]], 0.1)
    detector = VAEDetector(**QUICK, preset=preset).fit(X)
    assert_equal_scores(exported(detector).score_samples(X), detector.score_samples(X))


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softplus", "identity"])
def test_activations_have_the_numbers_of_the_detector(activation):
    X = np.random.default_rng(2).normal(size=(200, 3))
    detector = VAEDetector(**QUICK, activation=activation).fit(X)
    assert_equal_scores(exported(detector).score_samples(X), detector.score_samples(X))


def test_score_without_a_graph_is_named():
    X = np.random.default_rng(2).normal(size=(200, 3))
    detector = VAEDetector(**QUICK, row_score="importance_weighted").fit(X)
    with pytest.raises(SpecificationError, match="the score ImportanceWeighted has no ONNX graph; expected one of"):
        onnx_content(detector)


@pytest.fixture(scope="module")
def with_kernels(mixed) -> tuple[VAEDetector, OnnxModel]:
    X = with_holes(mixed[["height", "age", "income", "city", "smoker", "seen", "only"]], 0.05)
    score = PooledELBO(kernels=0.2, n_kernels=64)
    detector = VAEDetector(**QUICK, row_score=score).fit(X)
    return detector, exported(detector)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_kernels_have_the_numbers_of_the_detector(mixed, with_kernels, share):
    detector, model = with_kernels
    rows = with_holes(mixed[[column.name for column in detector.columns_]], share)
    assert_equal_scores(model.score_samples(rows), detector.score_samples(rows))


def test_training_row_does_not_raise_its_own_density_by_a_kernel():
    X = np.random.default_rng(2).normal(size=(200, 3))
    X[100:] = X[:100]
    score = PooledELBO(kernels=0.2, n_kernels=150)
    detector = VAEDetector(**QUICK, row_score=score).fit(X)
    model = exported(detector)
    assert_equal_scores(model.score_samples(X), detector.score_samples(X))
    in_single = X.astype(np.float32).astype(np.float64)
    assert_equal_scores(model.score_samples(in_single), detector.score_samples(in_single))


def test_kernels_of_many_levels_have_the_numbers_of_the_detector(mixed, monkeypatch):
    monkeypatch.setattr("vae_anomaly.model.kernels.MAX_SLOTS", 2)
    X = with_holes(mixed[["height", "city", "smoker"]], 0.05)
    score = PooledELBO(kernels=0.2, n_kernels=64)
    detector = VAEDetector(**QUICK, row_score=score).fit(X)
    assert len(detector.vae_.kernels.arranged().many) == 1
    assert_equal_scores(exported(detector).score_samples(mixed[X.columns]), detector.score_samples(mixed[X.columns]))


def test_kernels_are_refused_without_raw_values():
    X = np.random.default_rng(2).normal(size=(200, 3))
    score = PooledELBO(kernels=0.2, n_kernels=8)
    detector = VAEDetector(**QUICK, row_score=score).fit(X)
    detector.level_rule_ = LevelRule(raw_values=False)
    with pytest.raises(SpecificationError, match="8 training rows, whose cells the file has to hold"):
        onnx_content(detector)


@given(
    values=arrays(np.float32, st.tuples(st.integers(1, 3), st.just(4)), elements=st.floats(width=32, allow_nan=False)),
    data=st.data(),
)
def test_fingerprints_are_those_of_batches(fingerprints_of, values, data):
    values = np.nan_to_num(values, posinf=3.4e38, neginf=-3.4e38)
    observed = data.draw(arrays(np.bool_, values.shape))
    expected = Batch(torch.from_numpy(values), torch.from_numpy(observed)).fingerprints().numpy()
    np.testing.assert_array_equal(fingerprints_of(values, observed), expected)


@pytest.fixture(scope="module")
def fingerprints_of() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A graph that is nothing but fingerprints."""
    import onnxruntime

    graph = Graph(18)
    values, observed = graph.input("values", FLOAT, ("rows", 4)), graph.input("observed", FLAG, ("rows", 4))
    content = graph.serialized({"found": (fingerprints_graph(values, observed, 4), ("rows", 1))}, {})
    session = onnxruntime.InferenceSession(content)
    return lambda values, observed: session.run(None, {"values": values, "observed": observed})[0][:, 0]


def test_model_of_images_is_refused():
    X = np.random.default_rng(2).uniform(size=(30, 6, 6))
    detector = VAEDetector(max_iter=2, hidden_layer_sizes=(8,), row_score="elbo").fit(X)
    with pytest.raises(SpecificationError, match="images have no ONNX graph"):
        onnx_content(detector)
    with pytest.raises(SpecificationError, match="not PatchDetector"):
        onnx_content(PatchDetector())


def test_graph_with_other_scores_is_not_written(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(OnnxModel, "score_samples", lambda _, X: fitted.score_samples(X) + 0.1)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    with pytest.raises(ExportError, match=r"0\.1 nats from that of the detector"):
        export_onnx(fitted, path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_file_of_somebody_else_is_refused(tmp_path, fitted):
    path = tmp_path / "other.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="ONNX Runtime cannot use the file"):
        OnnxModel(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        OnnxModel(tmp_path / "none.onnx")
    with pytest.raises(ModelFileError, match="a folder"):
        OnnxModel(tmp_path)
    other = onnx.load_from_string(onnx_content(fitted))
    entry = json.loads(other.metadata_props[0].value)
    other.metadata_props[0].value = json.dumps(entry | {"format_version": 99})
    with pytest.raises(ModelFileError, match="format version 99"):
        OnnxModel(other.SerializeToString())
    other.metadata_props[0].value = "{"
    with pytest.raises(ModelFileError, match="says of itself is damaged"):
        OnnxModel(other.SerializeToString())
    del other.metadata_props[:]
    with pytest.raises(ModelFileError, match="did not write"):
        OnnxModel(other.SerializeToString())


def test_score_that_is_not_finite_is_an_error(runner, monkeypatch, mixed):
    class Broken:
        def run(self, names, given):
            return [np.full(len(given["X"]), np.nan)]

    monkeypatch.setattr(runner, "_session", Broken())
    with pytest.raises(NonFiniteScoreError, match="2 of 2 rows"):
        runner.score_samples(mixed.head(2))


def test_text_that_few_rows_hold_is_not_in_the_file(mixed, fitted, tmp_path):
    path = tmp_path / "model.onnx"
    rare = [f"street {k}" for k in range(90) if (mixed["street"] == f"street {k}").sum() < 10]
    export_onnx(fitted, path)
    content = path.read_bytes()
    assert rare
    assert not any(f'"{name}"'.encode() in content for name in rare)
    assert b'"Bonn"' in content


def test_loaded_detector_is_exported_alike(mixed, fitted, runner, tmp_path):
    save(fitted, tmp_path / "model.vae")
    model = exported(load(tmp_path / "model.vae"))
    np.testing.assert_array_equal(model.score_samples(mixed), runner.score_samples(mixed))


def test_same_detector_gives_the_same_bytes(fitted):
    assert onnx_content(fitted) == onnx_content(fitted)


def test_library_that_is_missing_is_named_with_the_command(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(NotInstalled, match=r'pip install "vae-anomaly\[onnx\]"'):
        onnx_content(fitted)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NotInstalled, match="onnxruntime is not installed"):
        OnnxModel(b"")


def test_scoring_loads_neither_torch_nor_pandas(tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 3))
    path = tmp_path / "model.onnx"
    detector = VAEDetector(**QUICK).fit(X)
    export_onnx(detector, path)
    code = (
        "import sys; from vae_anomaly.onnx_model import OnnxModel\n"
        f"print(repr(float(OnnxModel({os.fspath(path)!r}).score_samples([[0.5, 1.0, -0.5]])[0])))\n"
        "print([name for name in ('torch', 'pandas', 'scipy', 'sklearn', 'onnx') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    score, loaded = run.stdout.splitlines()
    assert loaded == "[]"
    assert_equal_scores(np.array([float(score)]), detector.score_samples([[0.5, 1.0, -0.5]]))


def test_scores_of_tables_load_no_torch(mixed, fitted, tmp_path):
    export_onnx(fitted, tmp_path / "model.onnx")
    mixed.head(5).to_pickle(tmp_path / "rows.pkl")
    code = (
        "import sys; import pandas as pd; from vae_anomaly import OnnxModel\n"
        f"folder = {os.fspath(tmp_path)!r}\n"
        "print(OnnxModel(folder + '/model.onnx').score_samples(pd.read_pickle(folder + '/rows.pkl')).tolist())\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    scores, loaded = run.stdout.splitlines()
    assert loaded == "False"
    assert_equal_scores(np.array(json.loads(scores)), fitted.score_samples(mixed.head(5)))
