"""What can happen during a fit, and what it reports."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from vae_anomaly import ELBO, MLP, FitWarning, Gaussian, TrainingDiverged, TrainingPlan, VAEDetector
from vae_anomaly.columns import Column, ImageEncoder, TableEncoder
from vae_anomaly.detectors import fit_config
from vae_anomaly.model.steps import Stepper
from vae_anomaly.model.vae import VAE

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")


Array = npt.NDArray[np.float64]


def small(**parameters: object) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=60, training=TrainingPlan()).set_params(**parameters)


def test_interrupt_keeps_the_best_so_far_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    step, calls = Stepper.step, []

    def interrupted(*arguments: object) -> None:
        calls.append(1)
        if len(calls) > 20:
            raise KeyboardInterrupt
        step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Stepper, "step", interrupted)
    with pytest.warns(FitWarning, match="interrupted at iteration 20"):
        detector = small().fit(X)
    assert detector.fit_report_.interrupted
    assert np.isfinite(detector.score_samples(X)).all()


def test_loss_that_is_not_finite_is_rolled_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    step, calls = Stepper.step, []

    def poisoned(stepper: Stepper, *arguments: object) -> None:
        calls.append(1)
        step(stepper, *arguments)  # type: ignore[arg-type]
        if len(calls) == 20:
            next(stepper.vae.parameters()).data.fill_(torch.nan)

    monkeypatch.setattr(Stepper, "step", poisoned)
    with pytest.warns(FitWarning, match="not finite"):
        detector = small().fit(X)
    assert detector.fit_report_.rolled_back
    assert np.isfinite(detector.score_samples(X)).all()
    assert detector.history_.learning_rate[-1] < 0.2 * detector.history_.learning_rate[3]


def test_weights_are_those_that_were_best_for_held_out_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    step, calls = Stepper.step, []

    def spoiled(stepper: Stepper, *arguments: object) -> None:
        calls.append(1)
        step(stepper, *arguments)  # type: ignore[arg-type]
        if len(calls) > 30:
            for weights in stepper.vae.parameters():
                weights.data.fill_(1.0)

    monkeypatch.setattr(Stepper, "step", spoiled)
    detector = small(calibration=None).fit(X)
    held_out = detector.history_.validation_elbo
    assert held_out[-1] < max(held_out) - 1
    assert detector.elbo_terms(X).elbo.mean() > max(held_out) - 1


def test_divergence_at_the_only_check_is_raised() -> None:
    with pytest.raises(TrainingDiverged):
        small(max_iter=1, learning_rate_init=1e30).fit(np.random.default_rng(0).normal(size=(300, 4)))


@pytest.mark.parametrize("n_rows", [2, 11, 100])
@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.99])
def test_any_validation_fraction_leaves_rows_to_train_on(n_rows: int, fraction: float) -> None:
    X = np.random.default_rng(0).normal(size=(n_rows, 3))
    assert np.isfinite(small(validation_fraction=fraction, max_iter=3).fit(X).score_samples(X)).all()


def test_torch_settings_of_the_caller_do_not_matter() -> None:
    X = np.random.default_rng(0).normal(size=(100, 3))
    expected = small().fit(X).score_samples(X)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            np.testing.assert_array_equal(small().fit(X).score_samples(X), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_concurrent_fits_and_scores_agree_and_give_the_threads_back() -> None:
    X = np.random.default_rng(0).normal(size=(600, 3))
    expected = small().fit(X).score_samples(X)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _: small().fit(X).score_samples(X), range(5)):
                np.testing.assert_array_equal(found, expected)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_second_divergence_is_raised_with_its_position(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    step, calls = Stepper.step, []

    def poisoned(stepper: Stepper, *arguments: object) -> None:
        calls.append(1)
        step(stepper, *arguments)  # type: ignore[arg-type]
        if len(calls) >= 20:
            next(stepper.vae.parameters()).data.fill_(torch.nan)

    monkeypatch.setattr(Stepper, "step", poisoned)
    with pytest.raises(TrainingDiverged, match="or lower learning_rate_init") as caught:
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


@pytest.mark.parametrize("seed", range(2))
def test_report_says_what_many_draws_say(seed: int) -> None:
    X = np.random.default_rng(0).multivariate_normal(np.zeros(4), np.eye(4) + 0.8, size=500)
    detector = small(
        max_iter=60,
        early_stopping=False,
        prior="standard_normal",
        row_score=ELBO(n_draws=512),
        random_state=seed,
        calibration=None,
    ).fit(X)
    own = detector.elbo_terms(X).elbo.mean()
    assert detector.fit_report_.elbo == pytest.approx(own, abs=0.05)


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


@pytest.mark.parametrize("method", ["fit", "score_samples", "transform", "reconstruct", "elbo_terms", "sample"])
def test_small_operations_run_in_one_thread(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    detector = small(max_iter=5).fit(X)
    seen = set()
    decode = VAE.decode

    def observed(self: VAE, z: torch.Tensor) -> object:
        seen.add(torch.get_num_threads())
        return decode(self, z)

    posterior = VAE.posterior

    def encoded(self: VAE, *arguments: object) -> object:
        seen.add(torch.get_num_threads())
        return posterior(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(VAE, "decode", observed)
    monkeypatch.setattr(VAE, "posterior", encoded)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        getattr(detector, method)(*([5] if method == "sample" else [X]))
        assert seen == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def usual_scores() -> Array:
    X = np.random.default_rng(0).normal(size=(200, 3))
    return small(max_iter=20).fit(X).score_samples(X)


@pytest.mark.parametrize(
    "changed",
    [
        {"n_estimators": 3},
        {"max_samples": 100},
        {"latent_dim": 1},
        {"hidden_layer_sizes": (16,)},
        {"activation": "relu"},
        {"backbone": MLP(skip_connection=False)},
        {"likelihood": "gaussian"},
        {"prior": "standard_normal"},
        {"row_score": "reconstruction"},
        {"batch_size": 32},
        {"max_iter": 15},
        {"learning_rate_init": 1e-3},
        {"training__weight_decay": 1.0},
        {"training__max_grad_norm": 1e-3},
        {"training__kl_warmup": 0.0},
        {"training__hidden_fraction": 0.0},
        {"training__trim_fraction": 0.2},
        {"early_stopping": False},
        {"validation_fraction": 0.3},
        {"random_state": 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_parameter_of_the_model_does_something(changed: dict[str, object], usual_scores: Array) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    assert not np.array_equal(small(**{"max_iter": 20} | changed).fit(X).score_samples(X), usual_scores)


def test_patience_decides_when_a_training_without_progress_stops() -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    hasty, patient = (
        small(max_iter=150, training__kl_warmup=0.0, training__n_iter_no_change=n).fit(X) for n in (1, 20)
    )
    assert hasty.fit_report_.stopped_early
    assert hasty.n_iter_ < patient.n_iter_ == 150


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_failed_fit_leaves_the_estimator_as_it_was(method: str) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    fresh = small(max_iter=1, learning_rate_init=1e30)
    with pytest.raises(TrainingDiverged):
        getattr(fresh, method)(np.repeat(X, 5, axis=0))
    assert not hasattr(fresh, "n_features_in_")
    fitted = small(max_iter=5).fit(X)
    before, scores = dict(fitted.__dict__), fitted.score_samples(X)
    with pytest.raises(ValueError, match=r"non-zero|a weight above 0"):
        getattr(fitted, method)(X, sample_weight=np.zeros(60))
    if method == "fit":
        with pytest.raises(TrainingDiverged):
            fitted.set_params(max_iter=1, learning_rate_init=1e30).fit(np.ones((300, 2)) * X[:1, :2] + 1e3)
        fitted.set_params(max_iter=5, learning_rate_init=None)
    assert fitted.__dict__ == before
    np.testing.assert_array_equal(fitted.score_samples(X), scores)


def test_offset_can_be_set_by_hand() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = small(max_iter=5).fit(X)
    scores = detector.score_samples(X)
    detector.offset_ = np.sort(scores)[10]
    assert (detector.predict(X) == -1).sum() == 10
    np.testing.assert_array_equal(detector.score_samples(X), scores)


def test_training_plan_is_searched_and_checked() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    search = GridSearchCV(small(max_iter=20), {"training__weight_decay": [0.0, 100.0]}, cv=2).fit(X)
    first, second = search.cv_results_["mean_test_score"]
    assert first != second
    assert search.best_estimator_.fitted_parameters_["training"] == TrainingPlan(
        weight_decay=search.best_params_["training__weight_decay"]
    )
    with pytest.raises(ValueError, match="The 'trim_fraction' parameter of TrainingPlan must be a float in the range"):
        VAEDetector(training=TrainingPlan(trim_fraction=1.0)).fit(X)
    with pytest.raises(ValueError, match="The 'training' parameter of VAEDetector"):
        VAEDetector(training={"weight_decay": 0.0}).fit(X)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="weight_decay"):
        VAEDetector(weight_decay=0.0)  # type: ignore[call-arg]


def test_plan_that_is_changed_after_the_fit_does_not_change_what_was_fitted() -> None:
    detector = small(max_iter=5).fit(np.random.default_rng(0).normal(size=(60, 3)))
    detector.set_params(training__weight_decay=1.0)
    assert detector.fitted_parameters_["training"] == TrainingPlan()


@pytest.mark.parametrize(("n_columns", "n_steps"), [(1, 700), (32, 700), (33, 711), (64, 990), (5000, 1000)])
def test_wide_tables_get_more_steps_unless_they_are_given(n_columns: int, n_steps: int) -> None:
    encoder = TableEncoder(tuple(Column(f"x{index}", "continuous", Gaussian(), "given") for index in range(n_columns)))
    assert fit_config(VAEDetector(), encoder, "none", 1000).training.max_iter == n_steps
    assert fit_config(VAEDetector(max_iter=30), encoder, "none", 50).training.max_iter == 30


@pytest.mark.parametrize(
    ("n_rows", "fraction", "n_steps"), [(94, 0.1, 100), (95, 0.1, 700), (94, 0.2, 700), (5000, 0.001, 700)]
)
def test_tables_too_small_to_stop_by_held_out_rows_get_few_steps(n_rows: int, fraction: float, n_steps: int) -> None:
    encoder = TableEncoder((Column("x0", "continuous", Gaussian(), "given"),))
    detector = VAEDetector(validation_fraction=fraction)
    assert fit_config(detector, encoder, "none", n_rows).training.max_iter == n_steps


def test_few_images_get_as_many_steps_as_many() -> None:
    encoder = ImageEncoder((Column("c0", "continuous", Gaussian(), "given"),), 8, 8)
    assert fit_config(VAEDetector(), encoder, "none", 40).training.max_iter == 1200
