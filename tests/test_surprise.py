"""Scores beside the ELBO: formulas by hand, and what they promise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from vae_anomaly import VAEDetector
from vae_anomaly.columns.batch import Batch
from vae_anomaly.data.images import Images
from vae_anomaly.errors import SpecificationError
from vae_anomaly.fitting.predict import row_statistics, score_rows
from vae_anomaly.model.elbo import elbo_terms, saturated_terms
from vae_anomaly.scores import (
    ELBO,
    SCORES,
    DebiasedELBO,
    InputComplexity,
    LikelihoodPath,
    LikelihoodRatio,
    LikelihoodRegret,
    Surprise,
)
from vae_anomaly.scores.ood import DEVIANCE_FLOOR, MIN_RIDGE, RESIDUAL_FLOOR
from vae_anomaly.scores.roughness import neighbor_residuals, predictive_residuals
from vae_anomaly.scores.surprise import MIN_NOISE, upper_tail_surprise

FOR_IMAGES_ONLY = ("input_complexity", "likelihood_ratio", "surprise")


def bars(n, seed=0):
    rng = np.random.default_rng(seed)
    across = np.abs(np.arange(10) - rng.uniform(2, 7, (n, 1)))
    images = 200 * np.exp(-(across[:, None, :] ** 2) / 4) * np.ones((1, 8, 1))
    return np.clip(images + rng.normal(0, 5, images.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def detector():
    return VAEDetector(max_iter=100, n_estimators=2, max_samples=120, random_state=1).fit(bars(200))


@pytest.fixture(scope="module")
def batch(detector):
    return detector.encoder_.encode(Images(bars(20, seed=9)[:, None]))


def scored(detector, batch, score):
    return score_rows(detector.vae_, batch, score, detector.noise_)


def test_debiased_elbo_differs_by_a_constant_under_one_noise(detector, batch):
    differences = scored(detector, batch, DebiasedELBO(2)) - scored(detector, batch, ELBO(2))
    assert differences.std() < 1e-4
    scale = float((5 * detector.vae_.raw_noise).exp().mean())
    floor = float(detector.vae_.floor[0])
    by_member = (5 * detector.vae_.raw_noise[:, 0]).double().mul(2).exp().add(floor**2).log().mul(0.5)
    constant = 80 * (by_member.mean() + 0.5 * math.log(2 * math.pi) + math.log(detector.columns_[0].scale))
    assert scale > 0
    assert differences.mean().item() == pytest.approx(constant.item(), abs=1e-3)


def test_input_complexity_adds_the_length_of_a_laplace_code(detector, batch):
    added = scored(detector, batch, InputComplexity(2)) - scored(detector, batch, ELBO(2))
    left = predictive_residuals(batch, (8, 10)).double().abs().mean(1) + RESIDUAL_FLOOR
    length = 80 * (1 + torch.log(2 * left) + math.log(detector.columns_[0].scale))
    torch.testing.assert_close(added, length, atol=1e-3, rtol=1e-6)


def test_likelihood_ratio_compares_the_deviance_with_what_neighbours_leave(detector, batch):
    deviance = -2 * scored(detector, batch, DebiasedELBO(2)) / 80 + DEVIANCE_FLOOR
    smooth = neighbor_residuals(batch, (8, 10)).double().square().mean(1) + RESIDUAL_FLOOR
    torch.testing.assert_close(
        scored(detector, batch, LikelihoodRatio(2)), -40 * torch.log(deviance / smooth), atol=1e-4, rtol=1e-6
    )


def test_regret_is_what_further_fitting_of_the_posterior_gains(detector, batch):
    few, many = (scored(detector, batch, LikelihoodRegret(2, n_steps=steps)) for steps in (1, 40))
    assert (many <= few).all()
    assert (few <= 0).all()
    assert many.mean() < -0.01
    # Steps that are too long lose what was there: the best counts, not the last.
    assert (scored(detector, batch, LikelihoodRegret(2, n_steps=3, learning_rate=20.0)) <= 0).all()


def test_regret_leaves_weights_and_gradients_alone_and_does_not_depend_on_neighbours(detector, batch):
    before = [weights.clone() for weights in detector.vae_.parameters()]
    whole = scored(detector, batch, LikelihoodRegret(2, n_steps=5))
    alone = scored(detector, batch.take(slice(7, 8)), LikelihoodRegret(2, n_steps=5))
    assert whole[7] == alone[0]
    assert all(torch.equal(old, new) for old, new in zip(before, detector.vae_.parameters(), strict=True))
    assert all(weights.grad is None for weights in detector.vae_.parameters())


def test_path_is_a_normal_density_of_its_statistics(detector, batch):
    score = LikelihoodPath(2)
    known = row_statistics(
        detector.vae_, detector.encoder_.encode(Images(bars(60, 3)[:, None])), score, detector.noise_
    )
    statistics = row_statistics(detector.vae_, batch, score, detector.noise_)
    covariance = np.cov(known.numpy().T)
    covariance += MIN_RIDGE * np.trace(covariance) / 4 * np.eye(4)
    expected = multivariate_normal(known.mean(0).numpy(), covariance).logpdf(statistics.numpy())
    np.testing.assert_allclose(score.compare(statistics, known), expected, rtol=1e-8)


def test_statistics_of_a_path_are_those_of_the_terms(detector, batch):
    score = LikelihoodPath(2)
    with torch.inference_mode():
        terms = elbo_terms(detector.vae_, batch, detector.noise_)
        best = saturated_terms(detector.vae_, batch).double().sum(-1).mean(0)
        found = score.statistics(terms, detector.vae_, batch)
    lost = best - terms.log_likelihood.double().sum(-1).mean((0, 1))
    torch.testing.assert_close(found[:, 0], torch.log1p(lost), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found[:, 2].exp(), terms.posterior.mean.double().square().sum(-1).mean(0))
    torch.testing.assert_close(found[:, 3], terms.posterior.log_variance.double().mean((0, 2)))


def test_surprise_is_the_largest_of_its_parts(detector, batch):
    score = Surprise()
    statistics = row_statistics(detector.vae_, batch, score, detector.noise_)
    np.testing.assert_allclose(statistics[:, 0], -scored(detector, batch, ELBO(2)), rtol=1e-6)
    np.testing.assert_allclose(statistics[:, 1], -scored(detector, batch, LikelihoodRatio(2)), rtol=1e-6)
    parts = [upper_tail_surprise(statistics[:, part], detector.vae_.reference_statistics[:, part]) for part in range(3)]
    assert torch.equal(-scored(detector, batch, score), torch.stack(parts).amax(0))


def test_third_part_is_the_median_detail_of_what_the_model_leaves(detector, batch):
    found = row_statistics(detector.vae_, batch, Surprise(), detector.noise_)[:, 2]
    with torch.inference_mode():
        expected = detector.vae_.decode(elbo_terms(detector.vae_, batch, detector.noise_).z)[0].mean.mean((0, 1))
        left = neighbor_residuals(Batch(batch.values - expected, batch.observed), (8, 10)).double().abs()
    # The lower of the two middle values, as PyTorch has the median.
    torch.testing.assert_close(found, (left.sort(1).values[:, 39] + MIN_NOISE).log(), rtol=1e-5, atol=1e-5)


def test_noise_shows_in_the_detail_of_what_is_left(detector):
    rng = np.random.default_rng(0)
    plain = bars(20, seed=4)
    noisy = np.clip(plain + rng.normal(0, 25, plain.shape), 0, 255).astype(np.uint8)
    rough = [
        row_statistics(detector.vae_, detector.encoder_.encode(Images(some[:, None])), Surprise(), detector.noise_)[
            :, 2
        ]
        for some in (plain, noisy)
    ]
    assert rough[1].min() > rough[0].max()


def test_simple_anomalies_and_noise_are_both_surprising(detector):
    normal = detector.anomaly_score(bars(50, seed=5))
    flat = np.full((1, 8, 10), 90, dtype=np.uint8)
    uniform = np.random.default_rng(0).integers(0, 256, (1, 8, 10)).astype(np.uint8)
    assert detector.anomaly_score(np.concatenate([flat, uniform])).min() > np.quantile(normal, 0.95)


def parts_of(parts):
    """Rows by their part, as sets."""
    named = (parts.held_out, parts.compared, parts.members)
    return *(set(np.ravel(rows).tolist()) for rows in named), [set(fold.tolist()) for fold in parts.folds]


def test_reference_statistics_images_are_seen_by_no_member(monkeypatch):
    seen = {}
    import vae_anomaly.fitting.fit as fitting

    partition = fitting.partition

    def spy(*arguments, **options):
        seen["parts"] = partition(*arguments, **options)
        return seen["parts"]

    monkeypatch.setattr(fitting, "partition", spy)
    VAEDetector(max_iter=5, n_estimators=2, max_samples=50).fit(bars(150))
    held_out, compared, members, (fold,) = parts_of(seen["parts"])
    assert len(held_out) == len(compared) == 15
    assert len(fold) == 30
    assert not held_out & compared
    assert not (held_out | compared | fold) & members
    assert not fold & (held_out | compared)


def test_threshold_between_normal_and_anomalous_is_that_of_the_surprise(detector):
    assert detector.offset_ == Surprise.fixed_offset == -7.0
    flagged = VAEDetector(max_iter=5, contamination=0.1, calibration=None).fit(bars(60))
    assert (flagged.predict(bars(60)) == -1).sum() == 6


@pytest.mark.parametrize("name", FOR_IMAGES_ONLY)
def test_scores_of_neighbours_refuse_tables(name):
    with pytest.raises(SpecificationError, match="rows are of a table"):
        VAEDetector(max_iter=2, n_estimators=1, row_score=name).fit(np.random.default_rng(0).normal(size=(60, 3)))


@pytest.mark.parametrize("name", sorted(set(SCORES) - set(FOR_IMAGES_ONLY)))
def test_every_other_score_takes_tables(name):
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = VAEDetector(max_iter=5, n_estimators=1, early_stopping=False, row_score=name).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    assert detector.score_samples(X)[:5].tolist() == detector.score_samples(X[:5]).tolist()


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"n_steps": 0}, "n_steps"), ({"learning_rate": 0.0}, "learning_rate"), ({"n_draws": 0}, "n_draws")],
)
def test_regret_refuses_what_it_cannot_do(fields, message):
    with pytest.raises(ValueError, match=message):
        LikelihoodRegret(**fields)


numbers = st.floats(-1e6, 1e6)


@given(st.lists(numbers, min_size=2, max_size=60), st.lists(numbers, min_size=2, max_size=20))
def test_surprise_of_a_tail_never_falls_and_is_never_negative(known, values):
    known = torch.tensor(known, dtype=torch.float64)
    ordered = torch.tensor(sorted(values), dtype=torch.float64)
    found = upper_tail_surprise(ordered, known)
    assert (found >= 0).all()
    assert (found.diff() >= -1e-9).all()


def test_surprise_of_a_tail_is_the_share_of_known_values_and_exponential_beyond():
    known = torch.from_numpy(np.random.default_rng(0).exponential(size=20_001))
    inside = upper_tail_surprise(known.median().view(1), known)
    assert inside.item() == pytest.approx(math.log(2), abs=1e-3)
    far = upper_tail_surprise(torch.tensor([10.0, 20.0], dtype=torch.float64), known)
    np.testing.assert_allclose(far, [10, 20], rtol=0.1)


def test_reference_statistics_of_a_stream_is_seen_by_no_member_either(monkeypatch):
    import vae_anomaly.fitting.fit as fitting

    partition, seen = fitting.partition, []
    monkeypatch.setattr(
        fitting, "partition", lambda *given, **options: seen.append(partition(*given, **options)) or seen[-1]
    )
    VAEDetector(max_iter=5, n_estimators=1, validation_fraction=0.3).partial_fit(bars(150))
    held_out, compared, members, _ = parts_of(seen[0])
    assert min(len(held_out), len(compared)) >= 10
    assert not held_out & compared
    assert not (held_out | compared) & members
