"""The estimator's own promises."""

import subprocess
import sys
import warnings

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
    FitWarning,
    Reconstruction,
    SpecificationError,
    TrainingDiverged,
    VAEDetector,
    training,
)
from vae_anomaly_datasets import load_cardiotocography, load_thyroid_sick

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")


def small(**parameters: object) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=60).set_params(**parameters)


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    return load_thyroid_sick()[0].iloc[:700]


@pytest.fixture(scope="module")
def fitted(mixed: pd.DataFrame) -> VAEDetector:
    return VAEDetector(max_iter=60).fit(mixed)


@pytest.fixture(scope="module")
def scores(fitted: VAEDetector, mixed: pd.DataFrame) -> npt.NDArray[np.float64]:
    return fitted.score_samples(mixed)


@settings(max_examples=20)
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


def test_scrambled_rows_are_stranger_than_rows_as_they_are(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    scrambled = mixed.apply(lambda column: column.to_numpy()[rng.permutation(len(column))])
    assert fitted.score(scrambled) < fitted.score(mixed) - 0.5


@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.5])
def test_contamination_flags_exactly_its_share_of_the_training_rows(contamination: float) -> None:
    X = load_cardiotocography()[0].iloc[:400]
    flagged = small(contamination=contamination).fit_predict(X) == -1
    assert flagged.sum() == round(400 * contamination)


def test_automatic_offset_flags_few_clean_rows_and_all_gross_ones() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 5))
    detector = VAEDetector(max_iter=150).fit(X)
    assert (detector.predict(rng.normal(size=(600, 5))) == -1).mean() < 0.05
    assert (detector.predict(rng.normal(size=(50, 5)) + 8) == -1).all()


def test_members_bounds_average_to_the_score(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
    terms = fitted.elbo_terms(mixed)
    assert terms.log_likelihood.shape == (8, 700, mixed.shape[1])
    np.testing.assert_allclose(terms.elbo.mean(0), fitted.score_samples(mixed), rtol=1e-9)
    missing = mixed.isna().to_numpy()
    assert (terms.log_likelihood[:, missing] == 0).all()


def test_reconstruction_and_kl_scores_add_up_to_the_elbo(mixed: pd.DataFrame) -> None:
    def score(row_score: object) -> npt.NDArray[np.float64]:
        return small(row_score=row_score).fit(mixed).score_samples(mixed)

    np.testing.assert_allclose(score(Reconstruction()) + score(KL(n_draws=4)), score(ELBO()), rtol=1e-6)


def test_reconstruct_keeps_container_fills_holes_and_stays_near(fitted: VAEDetector, mixed: pd.DataFrame) -> None:
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_scores_agree_with_the_cpus(mixed: pd.DataFrame) -> None:
    on_device = small(device="cuda").fit(mixed)
    np.testing.assert_allclose(on_device.score(mixed), small(device="cpu").fit(mixed).score(mixed), rtol=0.05)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X.assign(age="n/a"), "column 'age' holds 'n/a' \\(row 0\\)"),
        (lambda X: X.assign(age=np.inf), "column 'age' holds inf"),
        (lambda X: X.drop(columns="age"), "feature names should match"),
        (lambda X: X[X.columns[::-1]], "feature names must be in the same order|Feature names must be in the same"),
        (lambda X: pd.concat([X, X["age"]], axis=1), "occurs more than once"),
    ],
)
def test_unusable_rows_are_refused_with_the_place(
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


def test_moving_constant_is_evidence_but_finite() -> None:
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(300, 3)), np.full(300, 7.0)]
    detector = small().fit(X)
    moved = X.copy()
    moved[:, 3] = 7.001
    far = X.copy()
    far[:, 3] = 1e6
    step = detector.anomaly_score(moved) - detector.anomaly_score(X)
    leap = detector.anomaly_score(far) - detector.anomaly_score(X)
    assert (step > 3).all()
    assert (leap > step).all()
    assert (leap < 100).all()


@pytest.mark.parametrize("value", [1e6, 1e30, 1e300, -1e300])
def test_huge_numbers_are_strange_and_finite(value: float) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    detector = small().fit(X)
    strange = detector.anomaly_score([[value, 0.0, 0.0]])
    assert np.isfinite(strange).all()
    assert strange > detector.anomaly_score(X).max()


def test_interrupt_keeps_the_best_so_far_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    step, calls = training._step, []

    def interrupted(*arguments: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 30:
            raise KeyboardInterrupt
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_step", interrupted)
    with pytest.warns(FitWarning, match="interrupted at iteration 30"):
        detector = small().fit(X)
    assert detector.fit_report_.interrupted
    assert np.isfinite(detector.score_samples(X)).all()


def test_loss_that_is_not_finite_is_rolled_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    step, calls = training._step, []

    def poisoned(vae: torch.nn.Module, *arguments: object) -> torch.Tensor:
        calls.append(1)
        result = step(vae, *arguments)  # type: ignore[arg-type]
        if len(calls) == 20:
            next(vae.parameters()).data.fill_(torch.nan)
        return result

    monkeypatch.setattr(training, "_step", poisoned)
    with pytest.warns(FitWarning, match="not finite"):
        detector = small().fit(X)
    assert detector.fit_report_.rolled_back
    assert np.isfinite(detector.score_samples(X)).all()
    assert detector.history_.learning_rate[-1] < 0.2 * detector.history_.learning_rate[3]


def test_second_divergence_is_raised_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    step, calls = training._step, []

    def poisoned(vae: torch.nn.Module, *arguments: object) -> torch.Tensor:
        calls.append(1)
        result = step(vae, *arguments)  # type: ignore[arg-type]
        if len(calls) >= 20:
            next(vae.parameters()).data.fill_(torch.nan)
        return result

    monkeypatch.setattr(training, "_step", poisoned)
    with pytest.raises(TrainingDiverged, match="Lower learning_rate_init") as caught:
        small().fit(X)
    assert caught.value.iteration > 20
    assert caught.value.epoch >= 1
    assert np.isfinite(caught.value.last_finite_loss)


def test_collapse_is_reported() -> None:
    narrower_than_the_noise = 0.3 * np.random.default_rng(0).normal(size=(400, 3))
    with pytest.warns(FitWarning, match="posterior collapse"):
        detector = small(likelihood="unit_gaussian", max_iter=300).fit(narrower_than_the_noise)
    assert detector.fit_report_.collapsed
    assert detector.fit_report_.active_latents == 0


def test_gaussian_rows_are_reported_as_no_better_than_a_gaussian() -> None:
    X = np.random.default_rng(0).multivariate_normal(np.zeros(4), np.eye(4) + 0.8, size=500)
    with pytest.warns(FitWarning, match="a simpler detector"):
        detector = small(max_iter=20).fit(X)
    assert detector.fit_report_.worse_than_baseline


def test_structured_rows_are_not_reported() -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 2000)
    X = np.c_[np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)] + 0.05 * rng.normal(size=(2000, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        detector = VAEDetector(n_estimators=2, max_iter=500, latent_dim=3).fit(X)
    report = detector.fit_report_
    assert report.baseline_elbo is not None
    assert report.elbo > report.baseline_elbo
    assert not report.collapsed
    assert 1 <= report.active_latents <= 3


def test_progress_bar_is_drawn_on_stderr_only(capfd: pytest.CaptureFixture[str]) -> None:
    small(verbose=True).fit(np.random.default_rng(0).normal(size=(60, 2)))
    captured = capfd.readouterr()
    assert captured.out == ""


def test_library_prints_nothing_and_warns_nothing_by_itself_on_import() -> None:
    code = "import warnings; warnings.simplefilter('error'); import vae_anomaly; print(vae_anomaly.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"
    assert done.stderr == ""
