"""The soft minimum of bounds: by hand, as a bound, as a sum of shares, and whatever else is missing."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV

from vae_anomaly import ModelFileError, PooledELBO, SpecificationError, VAEDetector, load, save
from vae_anomaly.columns import Batch, Column
from vae_anomaly.detectors import read_table
from vae_anomaly.fitting.chunks import chunk_rows
from vae_anomaly.fitting.predict import score_rows, score_shares, scoring_noise
from vae_anomaly.likelihoods import Categorical, Gaussian, Poisson, StudentT
from vae_anomaly.model import VAE, Experts, Terms, elbo_terms
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.experts import KNOTS
from vae_anomaly.model.kernel_bounds import fit_kernels
from vae_anomaly.store.container import packed, unpacked

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

FAST = {"n_estimators": 2, "max_iter": 10, "hidden_layer_sizes": (8,), "latent_dim": 2}
THREE = PooledELBO(independence=0.3, kernels=0.2, sharpness=0.5)


def column(likelihood, n_levels=0, **known):
    levels = tuple(float(level) for level in range(n_levels))
    return Column(
        "c", "continuous", likelihood, "", levels=levels, frequencies=(1 / max(n_levels, 1),) * n_levels, **known
    )


COLUMNS = (
    column(Gaussian(), location=3.0, scale=0.1),
    column(StudentT(), scale=2.0),
    column(Categorical(), 3, unseen=0.01),
    column(Poisson(), mean=2.0),
)


def batch_of(n_rows, seed=0, missing=0.3):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n_rows, 4, generator=generator)
    values[:, 2:] = torch.randint(0, 3, (n_rows, 2), generator=generator).float()
    observed = torch.rand(values.shape, generator=generator) >= missing
    return Batch(values * observed, observed)


def experts_of(n_experts, medians=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Experts(
        torch.randn(n_experts, 4, generator=generator),
        torch.randn(n_experts, len(KNOTS) - 1, generator=generator),
        -5 * torch.rand(n_experts, generator=generator) if medians is None else torch.tensor(medians).float(),
        torch.tensor([True, True, True, False]),
    )


def model_of(score, medians=None):
    """Two members, and what the score needs beside them."""
    vae = VAE(
        COLUMNS,
        latent_dim=2,
        n_members=2,
        backbone=MLP(),
        hidden_layer_sizes=(5,),
        activation="tanh",
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
    ).requires_grad_(False)
    vae.experts = experts_of(score.n_experts(2), medians)
    vae.kernels = fit_kernels(vae, batch_of(40, seed=9)) if score.kernels else None
    return vae


def pooled(score, bounds, medians):
    """The soft minimum of bounds, (experts, rows), the first of both members together."""
    vae = SimpleNamespace(experts=experts_of(4, [medians[0] - 1, medians[0] + 1, *medians[1:]]), n_members=2)
    first, *others = torch.as_tensor(bounds, dtype=torch.float64).unsqueeze(1)
    members, others = first.expand(2, -1), torch.cat(others)
    return score._pooled(members, others, None, vae)[0], score._share(members, others, None, vae)


def test_soft_minimum_by_hand():
    bounds = [[-1.0, -1.0, 4.0], [-2.0, -12.0, -2.0], [-3.0, -3.0, 2.0]]
    found, share = pooled(THREE, bounds, [-1.0, -2.0, -3.0])
    # At its medians every expert counts by its weight; ten nats below, the second counts exp(5) times as much.
    middle = -0.5 * 1 - 0.3 * 2 - 0.2 * 3
    second = middle - 2 * math.log(0.7 + 0.3 * math.exp(5))
    third = middle - 2 * math.log(0.7 * math.exp(-2.5) + 0.3)
    assert found.tolist() == pytest.approx([middle, second, third], rel=1e-12)
    assert share[:, 0].tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert share[1, 1].item() == pytest.approx(0.3 * math.exp(5) / (0.7 + 0.3 * math.exp(5)))


numbers = st.lists(st.floats(-300, 300), min_size=3, max_size=3)


@given(bounds=numbers, medians=numbers, sharpness=st.floats(1e-3, 5))
def test_soft_minimum_lies_between_the_lowest_and_the_mean(bounds, medians, sharpness):
    score = PooledELBO(independence=0.3, kernels=0.2, sharpness=sharpness)
    found, share = pooled(score, [[bound] for bound in bounds], medians)
    weights = np.array([0.5, 0.3, 0.2])
    middle, excess = float(weights @ np.float32(medians)), np.array(bounds) - np.float32(medians)
    mean, _ = pooled(PooledELBO(independence=0.3, kernels=0.2, sharpness=0), [[bound] for bound in bounds], medians)
    assert middle + excess.min() - 1e-3 < float(found) < float(mean) + 1e-3
    assert float(share.sum()) == pytest.approx(1)


@given(bounds=numbers, medians=numbers, other=st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_soft_minimum_is_the_least_of_all_weighted_means_with_their_price(bounds, medians, other):
    found, share = pooled(THREE, [[bound] for bound in bounds], medians)
    weights = np.array([0.5, 0.3, 0.2])
    middle, excess = float(weights @ np.float32(medians)), np.array(bounds) - np.float32(medians)

    def with_price(shares):
        price = sum(share * math.log(share / weight) for share, weight in zip(shares, weights, strict=True) if share)
        return middle + float(np.dot(shares, excess)) + price / THREE.sharpness

    assert float(found) == pytest.approx(with_price(share.flatten().tolist()), rel=1e-6, abs=1e-3)
    assert float(found) <= with_price(np.array(other) / sum(other)) + 1e-3


@pytest.mark.parametrize("score", [PooledELBO(sharpness=0), PooledELBO(2, 0.2, 0.3, 0), PooledELBO(2, 0, 0, 0)])
def test_without_sharpness_it_is_the_mean_of_the_bounds_whatever_the_medians(score):
    vae, batch, noise = model_of(score), batch_of(20, missing=0), scoring_noise(2, 2, 2, seed=0)
    bounds = score.bounds(elbo_terms(vae, batch, noise), vae, batch)
    mean = score.weights[0] * bounds[:2].mean(0) + torch.tensor(score.weights[1:], dtype=torch.float64) @ bounds[2:]
    torch.testing.assert_close(score_rows(vae, batch, score, noise), mean)


@given(bounds=numbers, medians=numbers, sharpness=st.sampled_from([0.05, 0.5, 3.0]))
def test_soft_minimum_is_below_the_mixture_that_the_docstring_says(bounds, medians, sharpness):
    score = PooledELBO(independence=0.3, kernels=0.2, sharpness=sharpness)
    found, _ = pooled(score, [[bound] for bound in bounds], medians)
    medians = torch.tensor(medians).double()
    logs = torch.tensor([0.5, 0.3, 0.2]).double().log() + sharpness * medians
    log_total = logs.logsumexp(0)
    constant = log_total / sharpness - torch.tensor([0.5, 0.3, 0.2]).double() @ medians
    mixture = (logs - log_total + torch.tensor(bounds).double()).logsumexp(0)
    assert float(found) + float(constant) <= float(mixture) + 1e-3


COMBINATIONS = [
    PooledELBO(2, independence, kernels, sharpness, missing=missing)
    for independence, kernels, sharpness, missing in itertools.product(
        (0, 0.4), (0, 0.4), (0, 0.1), ("expected", "ignored")
    )
]


@pytest.mark.parametrize("score", COMBINATIONS)
def test_shares_add_up_to_the_score(score):
    vae, noise = model_of(score), scoring_noise(2, 2, 2, seed=0)
    empty = Batch(torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.bool))
    batch = batch_of(30).followed_by(batch_of(10, seed=1, missing=0)).followed_by(empty)
    scores, shares = score_rows(vae, batch, score, noise), score_shares(vae, batch, score, noise)
    torch.testing.assert_close(shares.cells.sum(1) - shares.of_row, scores, rtol=1e-12, atol=1e-12)
    weights = torch.tensor(score.weights, dtype=torch.float64)
    costs = vae.experts.cells.double()
    expected = weights @ torch.cat([costs[:2].mean(0, keepdim=True), costs[2:]])
    charged = score.missing == "expected"
    missing = (-expected * charged).expand(len(batch), -1)[~batch.observed]
    torch.testing.assert_close(shares.cells[~batch.observed], missing, rtol=1e-12, atol=1e-12)
    whole = batch.observed.all(1)
    assert not shares.charged[whole].any()
    assert bool((shares.charged[~whole] != 0).all()) == charged
    plain = score_rows(vae, batch.at(whole), PooledELBO(2, score.independence, score.kernels, score.sharpness), noise)
    torch.testing.assert_close(scores[whole], plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sharpness", [0, 0.1, 3])
def test_expert_that_counts_more_shifts_no_typical_cell(sharpness, monkeypatch):
    """Cells that cost each expert what it expects of them have the same share in every row."""
    score = PooledELBO(sharpness=sharpness)
    vae = model_of(score, [0.0, 0.0, 0.0])
    batch = batch_of(3, missing=0)
    costs = vae.experts.cells.double()
    kl = torch.tensor([0.0, 30.0, 300.0])
    of_members = -costs[:2].mean(0).float().expand(1, 1, 3, -1)
    other = [(-costs[2].expand(3, -1), torch.tensor([300.0, 30.0, 0.0]).double())]
    monkeypatch.setattr(PooledELBO, "other_terms", lambda *_: other)
    cells = score.by_cell(Terms(of_members, kl.expand(1, -1), None, None), vae, batch).cells
    expected = -(0.6 * costs[:2].mean(0) + 0.4 * costs[2])
    torch.testing.assert_close(cells, expected.expand(3, -1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("score", [PooledELBO(), PooledELBO(independence=0.1, kernels=0.45), PooledELBO(kernels=0.5)])
def test_scores_with_kernels_do_not_depend_on_other_rows(score):
    vae, noise = model_of(score), scoring_noise(2, 2, 2, seed=0)
    vae.experts = experts_of(score.n_experts(2))
    n_rows = chunk_rows(vae, 2)
    batch = batch_of(n_rows + 44).followed_by(batch_of(6, seed=9))
    expected = score_rows(vae, batch, score, noise)
    shares = score_shares(vae, batch, score, noise).cells
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    assert torch.equal(score_rows(vae, batch.take(order), score, noise), expected[order])
    assert torch.equal(score_rows(vae, batch.take(slice(n_rows - 5, None)), score, noise), expected[n_rows - 5 :])
    assert torch.equal(score_shares(vae, batch.take(order), score, noise).cells, shares[order])
    for row in (0, n_rows, len(batch) - 1):
        assert torch.equal(score_rows(vae, batch.take(slice(row, row + 1)), score, noise), expected[row : row + 1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sharpness": -0.1}, "sharpness is a number from 0 to 1000, not -0.1"),
        ({"sharpness": 1001}, "sharpness is a number from 0 to 1000, not 1001"),
        ({"sharpness": math.nan}, "sharpness is a number from 0 to 1000, not nan"),
        ({"kernels": 1.0}, "kernels is a number from 0 to below 1, not 1.0"),
        ({"kernels": math.nan}, "kernels is a number from 0 to below 1, not nan"),
        ({"kernels": 0.5, "independence": 0.5}, "independence and kernels add up to less than 1, not to 1.0"),
        ({"n_kernels": 1}, "n_kernels is an integer from 2 to 16,384, not 1"),
        ({"n_kernels": 20_000}, "n_kernels is an integer from 2 to 16,384, not 20000"),
    ],
)
def test_impossible_parameters_are_refused(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        PooledELBO(**wrong)


def correlated(n, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 2))
    weights = np.array([[1.0, 0.9, 0.5, 0.0, 0.3, -0.7], [0.0, 0.4, -0.8, 1.0, 0.3, 0.7]])
    return common @ weights + 0.3 * rng.normal(size=(n, 6))


def mixed(n, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "amount": np.exp(3 + common + 0.3 * rng.normal(size=n)),
            "visits": rng.poisson(np.exp(2 + 0.4 * common)),
            "colour": np.where(common + rng.normal(size=n) > 0.5, "red", "blue"),
            "paid": common + 0.5 * rng.normal(size=n) > 0,
            "grade": pd.Categorical(np.array(["a", "b", "c"])[(common > 0) + 0], ["a", "b", "c"], ordered=True),
            "unit": 7.0,
        }
    )
    return frame.mask(rng.random(frame.shape) < 0.1)


KERNELS = PooledELBO(independence=0.1, kernels=0.45)


@pytest.fixture(scope="module")
def fitted():
    return VAEDetector(row_score=KERNELS, **FAST).fit(mixed(500))


def without(rows, share, seed=9):
    return np.where(np.random.default_rng(seed).random(rows.shape) < share, np.nan, rows)


def test_bound_of_kernels_is_neutral_where_training_rows_have_one():
    """Every row that teaches what missing cells cost has a kernel of its own here, which may not count for it."""
    detector = VAEDetector(row_score=KERNELS, **FAST).fit(correlated(300))
    model, new = detector.model_, correlated(1000, 1)

    def bounds(rows):
        batch = model.encoder.encode(read_table(detector, rows, fitting=False))
        return model.score.bounds(elbo_terms(model.vae, batch, model.noise), model.vae, batch)[-1]

    hidden = new.copy()
    hidden[np.arange(1000), np.random.default_rng(2).integers(0, 6, 1000)] = np.nan
    shift = float(bounds(hidden).mean() - bounds(new).mean())
    # Where its own kernel counts for a row, a missing cell is charged .6 nats too much.
    assert abs(shift) < 0.2, shift


@pytest.mark.filterwarnings("ignore::vae_anomaly.EmptyRowWarning")
def test_mean_score_with_kernels_does_not_depend_on_the_missing_share():
    detector = VAEDetector(row_score=KERNELS, **FAST | {"max_iter": 80}).fit(correlated(2000))
    new = correlated(1500, 1)
    whole = detector.anomaly_score(new)
    for share in (0.1, 0.25, 0.5):
        shift = (detector.anomaly_score(without(new, share)).mean() - whole.mean()) / whole.std()
        assert abs(shift) < 0.1, (share, shift)


def test_detector_with_kernels_sees_a_gap_between_normal_rows():
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 600)
    ring = np.c_[np.cos(angle), np.sin(angle)] + 0.05 * np.random.default_rng(1).normal(size=(600, 2))
    ranks = []
    for score in (PooledELBO(), PooledELBO(independence=0.1, kernels=0.8)):
        detector = VAEDetector(row_score=score, **FAST).fit(ring)
        ranks.append((detector.anomaly_score(ring) < detector.anomaly_score([[0.0, 0.0]])).mean())
    assert ranks[0] < ranks[1]
    assert ranks[1] > 0.95


def test_saved_detector_with_kernels_scores_to_the_bit(fitted, tmp_path):
    save(fitted, tmp_path / "m.vae")
    loaded, new = load(tmp_path / "m.vae"), mixed(80, 1)
    assert np.array_equal(loaded.score_samples(new), fitted.score_samples(new))
    assert np.array_equal(loaded.p_values(new), fitted.p_values(new))
    pd.testing.assert_frame_equal(loaded.explain(new).contributions, fitted.explain(new).contributions)
    save(loaded, tmp_path / "again.vae")
    assert np.array_equal(load(tmp_path / "again.vae").score_samples(new), fitted.score_samples(new))


@pytest.mark.parametrize("sharpness", [0, 0.1])
def test_explanation_with_kernels_adds_up(sharpness):
    rows, new = mixed(300), mixed(40, 1)
    score = PooledELBO(independence=0.1, kernels=0.45, sharpness=sharpness)
    detector = VAEDetector(row_score=score, **FAST).fit(rows)
    for some in (new, rows.iloc[:40]):
        explanation = detector.explain(some)
        total = explanation.contributions.sum(axis=1) + explanation.kl
        np.testing.assert_allclose(total, detector.anomaly_score(some), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("vae.kernels.values"), "holds 0 kernels, the manifest says 300"),
        (lambda t: t.pop("vae.kernels.widths"), "vae.kernels.widths"),
        (lambda t: t.pop("vae.kernels.bandwidths"), "vae.kernels.bandwidths"),
        (lambda t: t.pop("vae.kernels.fingerprints"), "inconsistent"),
        (lambda t: t.update({"vae.kernels.values": t["vae.kernels.values"][:, :2].clone()}), "kernels have shape"),
        (lambda t: t.update({"vae.kernels.values": t["vae.kernels.values"][:0]}), "holds 0 kernels"),
        (lambda t: t.update({"vae.kernels.values": t["vae.kernels.values"][0]}), "holds 6 kernels"),
        (lambda t: t.update({"vae.kernels.values": torch.tensor(1.0)}), "inconsistent"),
        (lambda t: t.update({"vae.kernels.scores": torch.ones(1, 300).double()}), "scores of kernels have shape"),
        (lambda t: t.update({"vae.kernels.widths": torch.ones(3)}), "inconsistent"),
        (lambda t: t["vae.kernels.values"].fill_(torch.nan), "not finite"),
        (lambda t: t["vae.kernels.widths"].fill_(0.0), "not all above 0"),
        (lambda t: t["vae.kernels.widths"].fill_(torch.nan), "not all above 0"),
        (lambda t: t["vae.kernels.min_deviations"].fill_(-1.0), "not all above 0"),
        (lambda t: t["vae.kernels.bandwidths"].fill_(-1.0), "not all at least 0"),
        (lambda t: t["vae.kernels.bandwidths"].fill_(torch.inf), "not finite"),
    ],
)
def test_manipulated_kernels_are_refused(fitted, tmp_path, change, message):
    file = tmp_path / "m.vae"
    save(fitted, file)
    content = unpacked(file, tensors=True)
    change(content.tensors)
    file.write_bytes(packed(content.manifest, content.tensors))
    with pytest.raises(ModelFileError, match=message):
        load(file)


@pytest.mark.parametrize("number", [-1.0, 0.5, 70.0, -1e30, 1e30])
def test_levels_that_are_none_do_not_stop_the_scoring(fitted, tmp_path, number):
    file = tmp_path / "m.vae"
    save(fitted, file)
    content = unpacked(file, tensors=True)
    content.tensors["vae.kernels.values"][:, fitted.vae_.kernels.bandwidths == 0] = number
    file.write_bytes(packed(content.manifest, content.tensors))
    assert np.isfinite(load(file).score_samples(mixed(20, 1))).all()


def test_kernels_of_a_score_without_them_are_refused(fitted, tmp_path):
    file = tmp_path / "m.vae"
    save(VAEDetector(**FAST).fit(mixed(300)), file)
    kernels = {f"vae.kernels.{name}": tensor for name, tensor in fitted.vae_.kernels.state_dict().items()}
    content = unpacked(file, tensors=True)
    file.write_bytes(packed(content.manifest, content.tensors | kernels))
    with pytest.raises(ModelFileError, match="holds 300 kernels, the manifest says 0"):
        load(file)


def test_search_chooses_among_scores():
    grid = {"row_score": ["elbo", PooledELBO(), KERNELS]}
    search = GridSearchCV(VAEDetector(random_state=0, **FAST), grid, cv=2).fit(correlated(200))
    assert search.best_params_["row_score"] in grid["row_score"]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_images_have_kernels_too(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(200, 1, 1)) + 0.3 * rng.normal(size=(200, 5, 5))
    detector = VAEDetector(row_score=KERNELS, max_iter=10, max_samples=100).fit(images)
    images[:20][rng.random((20, 5, 5)) < 0.3] = np.nan
    scores = detector.anomaly_score(images[:20])
    explanation = detector.explain(images[:20])
    np.testing.assert_allclose(explanation.contributions.sum((1, 2, 3)) + explanation.kl, scores, rtol=1e-9)
    save(detector, tmp_path / "m.vae")
    assert np.array_equal(load(tmp_path / "m.vae").anomaly_score(images[:20]), scores)


def test_file_without_raw_values_is_refused_where_the_score_needs_training_rows(fitted, tmp_path):
    n = fitted.vae_.kernels.n_centres
    with pytest.raises(SpecificationError, match=f"^the score compares rows with {n:,} training rows"):
        save(fitted, tmp_path / "m.vae", raw_values=False)
    assert not (tmp_path / "m.vae").exists()


def test_further_fits_have_kernels_of_their_own():
    detector = VAEDetector(row_score=KERNELS, **FAST)
    kept = []
    for seed in range(2):
        detector.partial_fit(correlated(300, seed))
        kept.append(detector.vae_.kernels)
    detector.set_params(warm_start=True).fit(correlated(300, 5))
    kept.append(detector.vae_.kernels)
    assert not any(torch.equal(one.values, other.values) for one, other in itertools.combinations(kept, 2))
    assert np.isfinite(detector.score_samples(correlated(20, 6))).all()


def test_fit_of_two_rows_has_finite_scores():
    detector = VAEDetector(row_score=KERNELS, **FAST).fit([[1.0], [2.5]])
    assert np.isfinite(detector.score_samples([[1.0], [2.5], [9.0]])).all()
