"""The score is a log-density: closed forms, integrals and the densities that others estimate."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from vae_anomaly import ELBO, Gaussian, ImportanceWeighted, TrainingPlan, VAEDetector
from vae_anomaly.data.table import Table
from vae_anomaly.model.elbo import elbo_terms

UNITS = np.array([1.0, 100.0])


def two_groups(n: int, seed: int) -> npt.NDArray[np.float64]:
    """Rows of a known mixture in two columns of very different units."""
    rng = np.random.default_rng(seed)
    near, far = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) * [0.7, 1.2] + [5.0, 2.0]
    rows: npt.NDArray[np.float64] = np.where(rng.random((n, 1)) < 0.6, near, far) * UNITS
    return rows


def true_log_density(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    def log_normal(center: list[float], scale: list[float]) -> npt.NDArray[np.float64]:
        z = (rows / UNITS - center) / scale
        result: npt.NDArray[np.float64] = -0.5 * (z**2).sum(1) - np.log(2 * np.pi * np.prod(scale))
        return result

    near, far = log_normal([0.0, 0.0], [1.0, 1.0]), log_normal([5.0, 2.0], [0.7, 1.2])
    return np.logaddexp(np.log(0.6) + near, np.log(0.4) + far) - np.log(UNITS.prod())


def careful(row_score: ELBO | ImportanceWeighted, max_iter: int = 1_000) -> VAEDetector:
    return VAEDetector(
        n_estimators=4,
        max_samples=1.0,
        likelihood="gaussian",
        prior="standard_normal",
        training=TrainingPlan(hidden_fraction=0.0),
        max_iter=max_iter,
        row_score=row_score,
    )


def test_linear_vae_with_shared_noise_reaches_probabilistic_pca() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(1000, 6))
    X = rows * [1.0, 10.0, 0.1, 3.0, 5.0, 2.0] + 7.0
    Z = (X - X.mean(0)) / X.std(0)
    closed_form = PCA(2).fit(Z).score(Z) - np.log(X.std(0)).sum()
    detector = VAEDetector(
        n_estimators=1,
        max_samples=1.0,
        latent_dim=2,
        hidden_layer_sizes=(),
        likelihood=Gaussian(noise="shared", floor=1e-3),
        prior="standard_normal",
        row_score=ELBO(n_draws=1024),
        training=TrainingPlan(hidden_fraction=0.0),
        early_stopping=False,
        learning_rate_init=1e-2,
        max_iter=1_500,
        calibration=None,
    ).fit(X)
    assert detector.score(X) == pytest.approx(closed_form, abs=0.01)


@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
def test_exp_of_a_tight_bound_integrates_to_one_in_the_units_of_the_data() -> None:
    X = two_groups(1500, seed=0)
    detector = careful(ImportanceWeighted(n_draws=64), max_iter=400).set_params(n_estimators=2).fit(X)
    steps = 60
    a = np.linspace(X[:, 0].min() - 2.5, X[:, 0].max() + 2.5, steps)
    b = np.linspace(X[:, 1].min() - 250, X[:, 1].max() + 250, steps)
    grid = np.stack(np.meshgrid(a, b), -1).reshape(-1, 2)
    integral = np.exp(detector.score_samples(grid)).sum() * (a[1] - a[0]) * (b[1] - b[0])
    assert integral == pytest.approx(1.0, abs=0.03)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
def test_held_out_log_density_comes_near_the_true_one_and_its_neighbours() -> None:
    X, held_out = two_groups(1500, seed=1), two_groups(3000, seed=2)
    true = true_log_density(held_out).mean()
    mixture = GaussianMixture(2, random_state=0).fit(X / UNITS).score(held_out / UNITS) - np.log(UNITS.prod())
    search = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.05, 1.0, 10)}).fit(X / UNITS)
    kernel = search.score_samples(held_out / UNITS).mean() - np.log(UNITS.prod())
    tight = careful(ImportanceWeighted(n_draws=128)).fit(X).score(held_out)
    bound = careful(ELBO()).fit(X).score(held_out)
    assert bound < tight < true + 0.05
    assert tight > true - 0.25
    assert tight > kernel - 0.2
    assert tight > mixture - 0.25


@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
@pytest.mark.parametrize("prior", ["standard_normal", "exemplar"])
def test_importance_weighted_bound_rises_with_the_number_of_draws(prior: str) -> None:
    X = two_groups(600, seed=3)
    detector = careful(ELBO()).set_params(max_iter=300, n_estimators=1, prior=prior).fit(X)
    vae, batch = detector.vae_, detector.encoder_.encode(Table(("a", "b"), X))
    noise = torch.randn(1, 64, len(X), vae.latent_dim, generator=torch.Generator().manual_seed(0))
    bounds = [
        float(ImportanceWeighted(k).reduce(elbo_terms(vae, batch, noise[:, :k]), vae, batch).mean()) for k in (1, 8, 64)
    ]
    elbo = float(ELBO().reduce(elbo_terms(vae, batch, noise), vae, batch).mean())
    assert bounds == sorted(bounds)
    assert bounds[1] > elbo
    assert bounds[2] - bounds[1] < bounds[1] - bounds[0]


@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
def test_rescaling_a_column_shifts_the_score_by_its_log_scale() -> None:
    X = np.random.default_rng(4).normal(size=(400, 3))
    detector = VAEDetector(n_estimators=2, max_iter=60)
    before = detector.fit(X).score_samples(X)
    after = detector.fit(X * [1.0, 1024.0, 0.5]).score_samples(X * [1.0, 1024.0, 0.5])
    np.testing.assert_allclose(after, before - np.log(1024.0 * 0.5), atol=2e-3)
