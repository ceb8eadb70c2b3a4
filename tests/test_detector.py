"""The estimator's own promises."""

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly import (
    ELBO,
    KL,
    DataError,
    DataWarning,
    Reconstruction,
    SpecificationError,
    VAEDetector,
)
from vae_anomaly_datasets import load_cardiotocography, load_thyroid_sick

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")


def small(**parameters: object) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=20).set_params(**parameters)


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    return load_thyroid_sick()[0].iloc[:700]


@pytest.fixture(scope="module")
def fitted(mixed: pd.DataFrame) -> VAEDetector:
    return VAEDetector(n_estimators=8, max_iter=60).fit(mixed)


@pytest.fixture(scope="module")
def scores(fitted: VAEDetector, mixed: pd.DataFrame) -> npt.NDArray[np.float64]:
    return fitted.score_samples(mixed)


@settings(max_examples=12)
@given(rows=st.lists(st.integers(0, 699), min_size=1, max_size=300))
def test_score_of_a_row_does_not_depend_on_its_company(
    rows: list[int], fitted: VAEDetector, mixed: pd.DataFrame, scores: npt.NDArray[np.float64]
) -> None:
    np.testing.assert_array_equal(fitted.score_samples(mixed.iloc[rows]), scores[rows])


def test_rows_scored_one_at_a_time_keep_their_score(
    fitted: VAEDetector, mixed: pd.DataFrame, scores: npt.NDArray[np.float64]
) -> None:
    alone = [fitted.score_samples(mixed.iloc[[row]])[0] for row in range(0, 700, 23)]
    np.testing.assert_array_equal(alone, scores[::23])


def test_thread_count_does_not_change_scores(
    fitted: VAEDetector, mixed: pd.DataFrame, scores: npt.NDArray[np.float64]
) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        np.testing.assert_array_equal(fitted.score_samples(mixed), scores)
    finally:
        torch.set_num_threads(before)


def test_two_fits_agree_bit_for_bit_and_another_seed_does_not(mixed: pd.DataFrame) -> None:
    first = small().fit(mixed).score_samples(mixed)
    np.testing.assert_array_equal(small().fit(mixed).score_samples(mixed), first)
    assert not np.array_equal(small(random_state=1).fit(mixed).score_samples(mixed), first)


def test_signs_are_scikit_learns(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    elbo = fitted.score_samples(mixed)
    np.testing.assert_array_equal(fitted.anomaly_score(mixed), -elbo)
    np.testing.assert_array_equal(fitted.decision_function(mixed), elbo - fitted.offset_)
    np.testing.assert_array_equal(fitted.predict(mixed), np.where(elbo < fitted.offset_, -1, 1))
    assert fitted.score(mixed) == pytest.approx(elbo.mean())


def test_scrambled_rows_are_more_anomalous_than_rows_as_they_are(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    scrambled = mixed.apply(lambda column: column.to_numpy()[rng.permutation(len(column))])
    assert fitted.score(scrambled) < fitted.score(mixed) - 0.5


@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.5])
def test_contamination_without_a_calibration_flags_exactly_its_share_of_the_training_rows(contamination: float) -> None:
    X = load_cardiotocography()[0].iloc[:400]
    flagged = small(contamination=contamination, calibration=None).fit_predict(X) == -1
    assert flagged.sum() == round(400 * contamination)


def test_automatic_offset_flags_few_clean_rows_and_all_gross_ones() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 5))
    detector = VAEDetector(max_iter=150).fit(X)
    assert (detector.predict(rng.normal(size=(600, 5))) == -1).mean() < 0.05
    assert (detector.predict(rng.normal(size=(50, 5)) + 8) == -1).all()


def test_members_bounds_average_to_the_score(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    terms = fitted.elbo_terms(mixed)
    assert terms.log_likelihood.shape == (fitted.vae_.n_members, 700, mixed.shape[1])
    score = VAEDetector(n_estimators=8, max_iter=60, row_score=ELBO(n_draws=1)).fit(mixed).score_samples(mixed)
    np.testing.assert_allclose(terms.elbo.mean(0), score, rtol=1e-9)
    missing = mixed.isna().to_numpy()
    assert (terms.log_likelihood[:, missing] == 0).all()


def test_reconstruction_and_kl_scores_add_up_to_the_elbo(mixed: pd.DataFrame) -> None:
    def score(row_score: object) -> npt.NDArray[np.float64]:
        return small(row_score=row_score).fit(mixed).score_samples(mixed)

    np.testing.assert_allclose(score(Reconstruction()) + score(KL(n_draws=4)), score(ELBO()), rtol=1e-6)


def test_reconstruct_keeps_container_fills_cells_and_stays_near(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    expected = fitted.reconstruct(mixed)
    assert isinstance(expected, pd.DataFrame)
    assert list(expected.columns) == list(mixed.columns)
    assert expected.index.equals(mixed.index)
    assert expected.drop(columns="TBG").notna().all().all()
    assert set(expected["sex"]) <= {"F", "M"}
    both = mixed["TT4"].notna()
    assert np.corrcoef(expected["TT4"][both], mixed["TT4"][both])[0, 1] > 0.5
    assert isinstance(small().fit(np.eye(30)).reconstruct(np.eye(30)), np.ndarray)


def test_samples_resemble_the_training_rows(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    drawn = fitted.sample(2000, random_state=0)
    assert isinstance(drawn, pd.DataFrame)
    assert list(drawn.columns) == list(mixed.columns)
    pd.testing.assert_frame_equal(drawn, fitted.sample(2000, random_state=0))
    assert (drawn["sex"] == "F").mean() == pytest.approx((mixed["sex"].dropna() == "F").mean(), abs=0.1)
    assert drawn["TT4"].median() == pytest.approx(mixed["TT4"].median(), rel=0.1)


@pytest.mark.parametrize("prior", ["standard_normal", "exemplar"])
def test_sampling_needs_a_positive_number(prior: str) -> None:
    detector = small(prior=prior).fit(np.random.default_rng(0).normal(size=(60, 2)))
    assert detector.sample(3).shape == (3, 2)
    with pytest.raises(ValueError, match="positive integer"):
        detector.sample(0)


def test_rows_of_weight_zero_might_as_well_be_absent() -> None:
    X = np.random.default_rng(0).normal(size=(120, 3))
    weights = np.r_[np.ones(80), np.zeros(40)]
    np.testing.assert_array_equal(
        small().fit(X, sample_weight=weights).score_samples(X), small().fit(X[:80]).score_samples(X)
    )


def test_heavier_rows_count_for_more() -> None:
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(150, 2)), rng.normal(size=(150, 2)) + 6]
    weights = np.r_[np.full(150, 20.0), np.ones(150)]
    even = small(max_iter=150).fit(X)
    tilted = small(max_iter=150).fit(X, sample_weight=weights)
    gap = lambda detector: detector.score(X[:150]) - detector.score(X[150:])  # noqa: E731
    assert gap(tilted) > gap(even)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"contamination": 0.7}, "contamination"),
        ({"likelihood": "normal"}, "likelihood is one of"),
        ({"prior": "gmm"}, "prior is one of"),
        ({"backbone": "cnn"}, "backbone is one of"),
        ({"row_score": "auc"}, "row_score is one of"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
        ({"max_samples": 1.5}, "max_samples"),
        ({"activation": "sigmoid"}, "activation"),
    ],
)
def test_wrong_parameter_is_named(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        small(**parameters).fit(np.eye(20))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_absent_device_is_named() -> None:
    with pytest.raises(SpecificationError, match="device='cuda'"):
        small(device="cuda").fit(np.eye(20))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X.assign(age="much"), "column 'age' holds 'much' \\(index 0\\)"),
        (lambda X: X.assign(age=np.inf), "column 'age' holds inf"),
        (lambda X: X.drop(columns="age"), "lack column 'age'"),
        (lambda X: pd.concat([X, X["age"]], axis=1), "occurs more than once"),
    ],
)
def test_unusable_rows_are_refused_with_the_position(
    spoil: object, message: str, fitted: VAEDetector, mixed: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match=message):
        fitted.score_samples(spoil(mixed))  # type: ignore[operator]


def test_table_without_a_usable_column_is_refused() -> None:
    with pytest.raises(DataError, match="no column is left"):
        small().fit(pd.DataFrame({"a": [np.nan] * 30}))


def test_column_set_aside_is_announced_and_ignored(mixed: pd.DataFrame, fitted: VAEDetector) -> None:
    with pytest.warns(DataWarning, match="'TBG' is set aside"):
        small().fit(mixed)
    other = mixed.assign(TBG=1.0)
    np.testing.assert_array_equal(fitted.score_samples(other), fitted.score_samples(mixed))


@pytest.mark.parametrize("value", [1e6, 1e30, 1e300, -1e300])
def test_huge_numbers_are_anomalous_and_finite(value: float) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    detector = small().fit(X)
    anomalous = detector.anomaly_score([[value, 0.0, 0.0]])
    assert np.isfinite(anomalous).all()
    assert anomalous > detector.anomaly_score(X).max()


def test_automatic_offset_does_not_flag_a_common_minority_level() -> None:
    X = (np.random.default_rng(0).random((1000, 1)) < 0.2).astype(float)
    assert (small().fit_predict(X) == 1).all()


def test_rows_as_lists_keep_numbers_and_missing_cells() -> None:
    rows = [[float(value), "a" if value % 3 else "b"] for value in range(60)]
    rows[5][0] = np.nan
    detector = small().fit(rows)
    assert [column.kind for column in detector.columns_] == ["integer", "binary"]
    assert detector.elbo_terms(rows).log_likelihood[0, 5, 0] == 0


def test_score_per_observed_cell_divides_the_elbo(mixed: pd.DataFrame) -> None:
    whole = small(row_score="elbo").fit(mixed).score_samples(mixed)
    each = small(row_score="elbo_per_cell").fit(mixed).score_samples(mixed)
    np.testing.assert_allclose(each, whole / mixed.drop(columns="TBG").notna().sum(axis=1), rtol=1e-6)


def test_dates_and_booleans_come_back_as_what_they_were() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"when": pd.date_range("2024-01-01", periods=200), "flag": rng.random(200) < 0.3, "x": rng.normal(size=200)}
    )
    detector = small().fit(X)
    for frame in (detector.reconstruct(X), detector.sample(10, random_state=0)):
        assert isinstance(frame, pd.DataFrame)
        assert pd.api.types.is_datetime64_any_dtype(frame["when"])
        assert frame["flag"].dtype == bool


def test_progress_bar_is_drawn_on_stderr_only_and_only_when_asked(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    X = np.random.default_rng(0).normal(size=(60, 2))
    small(verbose=True).fit(X)
    drawn = capfd.readouterr()
    assert drawn.out == ""
    assert "20 steps, ELBO " in drawn.err
    small().fit(X)
    assert capfd.readouterr() == ("", "")


def test_library_prints_nothing_and_warns_nothing_by_itself_on_import() -> None:
    code = "import warnings; warnings.simplefilter('error'); import vae_anomaly; print(vae_anomaly.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"
    assert done.stderr == ""
