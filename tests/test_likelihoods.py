"""The contract of every likelihood: equal to references, normalised, drawn as stated, trainable, saved, shaped, named.

A new likelihood needs an entry in `LIKELIHOODS` and one in `REFERENCES` below.
"""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.errors import SpecificationError
from vae_anomaly.likelihoods import (
    LIKELIHOODS,
    Bounded,
    Categorical,
    Gaussian,
    Likelihood,
    OutputOnly,
    Rounded,
    Spiked,
    StudentT,
    resolve_likelihood,
)
from vae_anomaly.likelihoods.noise import OUTERMOST
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import elbo_terms
from vae_anomaly.model.vae import VAE
from vae_anomaly.store.values import decode, encode

INF = math.inf
N_DRAWS = 20_000
# Every name that users may give, and the wrappers over another base.
SUBJECTS = {name: make() for name, make in LIKELIHOODS.items()} | {
    "rounded_gaussian": Rounded(Gaussian()),
    "bounded_gaussian": Bounded(Gaussian()),
    "spiked_gaussian": Spiked(Gaussian()),
    "spiked_rounded_gaussian": Spiked(Rounded(Gaussian())),
    "spiked_bounded_gaussian": Spiked(Bounded(Gaussian())),
}


def log_prob(distribution, value):
    return float(distribution.log_prob(torch.tensor([value], dtype=torch.float64)))


def continuous_bernoulli(logit, cell):
    """Loaiza-Ganem and Cunningham (2019), eq. 8, for logits other than 0."""
    share = 1 / (1 + math.exp(-logit))
    constant = 2 * math.atanh(1 - 2 * share) / (1 - 2 * share)
    return math.log(constant * share**cell * (1 - share) ** (1 - cell))


def t_mass(low, high, center, scale):
    noise = stats.t(4, center, scale)
    return noise.sf(low) - noise.sf(high) if low > center else noise.cdf(high) - noise.cdf(low)


def on_asinh_scale(number):
    """Model units of `ASINH`."""
    return (math.asinh(number / 2) - 1) / 0.5


NOISE = {"log_noise": math.log(0.4), "floor": 0.3}  # scale 0.5
TWO_LEVELS = {"outputs": [math.log(2), 0.0], "n_levels": 2, "unseen": 0.1}
FLAG = {"outputs": [-math.log(2)], "n_levels": 2, "unseen": 0.1}
THREE_LEVELS = {"outputs": [0.0, 0.0, 0.0, -INF], "n_levels": 3, "unseen": 0.25}
# Whole numbers n at (n - 2) / 4.
WHOLE = {"outputs": [0.3], **NOISE, "location": 2.0, "scale": 4.0, "step": 1.0}
ASINH = {"location": 1.0, "scale": 0.5, "asinh_scale": 2.0, "step": 1.0, "low": on_asinh_scale(0), "unseen": 0.01}
FROM_0 = WHOLE | {"low": -0.5, "unseen": 0.01}
COUNTS = {"outputs": [0.1], **NOISE, **ASINH}
WIDE = {"outputs": [0.3], **NOISE, "low": -1.0, "high": 2.0, "unseen": 0.01}
NARROW = {"outputs": [0.3], "log_noise": -9.0, "floor": 0.05, "low": -1.0, "high": 2.0, "unseen": 0.01}
ORDERED = {
    "outputs": [0.4],
    "log_noise": math.log(0.8),
    "n_levels": 3,
    "unseen": 0.25,
    "cuts": [-OUTERMOST, float(stats.t.ppf(0.2, 4)), float(stats.t.ppf(0.7, 4)), OUTERMOST, 2 * OUTERMOST],
}
# Shares 1/2 of noise, 1/4 of each spike; then 1/2, 1/3 and 1/6, and no third spike.
HALVES = [0.3, math.log(2), 0.0, 0.0]
SIXTHS = [0.3, math.log(3), math.log(2), 0.0, -INF, -INF]
SPIKES = {**NOISE, "spikes": [0.0, 1.5]}
HEIGHT = 1 / (math.sqrt(2 * math.pi) * 0.05)
SPIKED = {"outputs": HALVES, **SPIKES}
PADDED = {"outputs": SIXTHS, **NOISE, "spikes": [0.0, 1.5, math.nan, math.nan]}
SPIKED_WHOLE = {**WHOLE, "outputs": HALVES, "spikes": [0.0, 1.5]}
SPIKED_COUNTS = {**COUNTS, "outputs": [0.1, math.log(2), 0.0, 0.0], "spikes": [on_asinh_scale(0), on_asinh_scale(40)]}
SPIKED_WIDE = {**WIDE, "outputs": HALVES, "spikes": [-1.0, 2.0]}
# Levels a quarter apart from -2 to 2; the scale is 0.5, of which a twentieth of a step is the smallest possible.
GREY = {"outputs": [0.3, math.log(0.4875)], "step": 0.25, "low": -2.0, "high": 2.0}
LOGISTIC = stats.logistic(0.3, 0.5)
T, NORMAL = stats.t(4, 0.3, 0.5), stats.norm(0.3, 0.5)
OUTSIDE, NORMAL_OUTSIDE = (noise.cdf(-1) + noise.sf(2) for noise in (T, NORMAL))
INSIDE, NORMAL_INSIDE = (math.log1p(-min(0.01, out)) - math.log1p(-out) for out in (OUTSIDE, NORMAL_OUTSIDE))
# Outputs of the decoder and what else a column has; a cell; its log-probability by another road.
REFERENCES = {
    "gaussian": [
        ({"outputs": [0.3], **NOISE}, 1.1, stats.norm.logpdf(1.1, 0.3, 0.5)),
        ({"outputs": [-2.0], "log_noise": -30.0, "floor": 0.05}, -2.2, stats.norm.logpdf(-2.2, -2, 0.05)),
        ({"outputs": [5.0], "log_noise": 1.0}, 0.0, stats.norm.logpdf(0, 5, math.e)),
    ],
    "unit_gaussian": [
        ({"outputs": [0.3]}, 1.1, stats.norm.logpdf(1.1, 0.3)),
        ({"outputs": [-4.0]}, 2.0, stats.norm.logpdf(6.0)),
    ],
    "student_t": [
        ({"outputs": [0.3], **NOISE}, 1.1, T.logpdf(1.1)),
        ({"outputs": [0.0], "log_noise": 1.0}, 300.0, stats.t.logpdf(300, 4, 0, math.e)),
    ],
    "rounded_student_t": [
        (WHOLE, 0.5, math.log(t_mass(0.375, 0.625, 0.3, 0.5))),
        (WHOLE, 99.5, math.log(t_mass(99.375, 99.625, 0.3, 0.5))),
        (COUNTS, on_asinh_scale(7), math.log(0.99 * t_mass(on_asinh_scale(6.5), on_asinh_scale(7.5), 0.1, 0.5))),
        (COUNTS, on_asinh_scale(0), math.log(0.99) + stats.t.logcdf(on_asinh_scale(0.5), 4, 0.1, 0.5)),
        # One and four steps below the lowest possible.
        (COUNTS, on_asinh_scale(-1), math.log(0.01 / 2)),
        (FROM_0, -1.5, math.log(0.01 / 20)),
    ],
    "bounded_student_t": [
        (WIDE, 1.1, T.logpdf(1.1) + INSIDE),
        (WIDE, 2.0, T.logpdf(2.0) + INSIDE),
        (WIDE, 2.5, T.logpdf(2.5) + math.log(0.01 / OUTSIDE)),
        # What leaks over the bounds is less than the unseen, and stays where it is.
        (NARROW, -1.2, stats.t.logpdf(-1.2, 4, 0.3, math.hypot(0.05, math.exp(-9)))),
    ],
    "spiked_student_t": [
        (SPIKED, 1.0, math.log(0.5) + T.logpdf(1.0)),
        (SPIKED, 1.5, math.log(0.25 * HEIGHT)),
        (PADDED, 0.0, math.log(HEIGHT / 3)),
    ],
    "spiked_rounded_student_t": [
        (SPIKED_WHOLE, 0.5, math.log(0.5 * t_mass(0.375, 0.625, 0.3, 0.5))),
        (SPIKED_WHOLE, 1.5, math.log(0.25 + 0.5 * t_mass(1.375, 1.625, 0.3, 0.5))),
        (
            SPIKED_COUNTS,
            on_asinh_scale(0),
            math.log(
                (0.25 + 0.495 * stats.t.cdf(on_asinh_scale(0.5), 4, 0.1, 0.5))
                * min(1, 2 * HEIGHT * (on_asinh_scale(0.5) - on_asinh_scale(0)))
            ),
        ),
    ],
    "spiked_bounded_student_t": [
        (SPIKED_WIDE, 1.1, math.log(0.5) + T.logpdf(1.1) + INSIDE),
        (SPIKED_WIDE, 2.0, math.log(0.25 * HEIGHT)),
        (SPIKED_WIDE, 2.5, math.log(0.5) + T.logpdf(2.5) + math.log(0.01 / OUTSIDE)),
    ],
    "continuous_bernoulli": [
        ({"outputs": [1.5]}, 0.8, continuous_bernoulli(1.5, 0.8)),
        ({"outputs": [-9.0]}, 0.0, continuous_bernoulli(-9.0, 0.0)),
        ({"outputs": [0.0]}, 0.3, 0.0),
    ],
    "bernoulli": [
        ({"outputs": [1.5]}, 1.0, stats.bernoulli.logpmf(1, 1 / (1 + math.exp(-1.5)))),
        ({"outputs": [-3.0]}, 0.0, stats.bernoulli.logpmf(0, 1 / (1 + math.exp(3)))),
    ],
    # 0.999 of softmax (2/3, 1/3) and 0.001 of one half each, of which 0.9 is for seen levels; then 0.1 / (2 * 3).
    "binary": [
        (FLAG, 0.0, math.log(0.9 * (0.999 * 2 / 3 + 0.0005))),
        (FLAG, 1.0, math.log(0.9 * (0.999 / 3 + 0.0005))),
        (FLAG, 3.0, math.log(0.1 / 6)),
    ],
    "categorical": [
        (TWO_LEVELS, 0.0, math.log(0.9 * (0.999 * 2 / 3 + 0.0005))),
        (TWO_LEVELS, 3.0, math.log(0.1 / 6)),
        (THREE_LEVELS, 2.0, math.log(0.75 / 3)),
    ],
    "constant": [
        ({"outputs": [], "n_levels": 1, "unseen": 0.25}, 0.0, math.log(0.75)),
        ({"outputs": [], "n_levels": 1, "unseen": 0.25}, 1.0, math.log(0.25)),
    ],
    "ordinal": [
        (ORDERED, 1.0, math.log(0.75 * t_mass(*ORDERED["cuts"][1:3], 0.4, 0.8))),
        (ORDERED, 0.0, math.log(0.75) + stats.t.logcdf(ORDERED["cuts"][1], 4, 0.4, 0.8)),
        (ORDERED, 4.0, math.log(0.25 / 6)),
        # Without a word of the network the levels have the frequencies of training.
        (ORDERED | {"outputs": [0.0], "log_noise": 0.0, "unseen": 0.0}, 2.0, math.log(0.3)),
    ],
    "discretized_logistic": [
        (GREY, 0.5, math.log(LOGISTIC.cdf(0.625) - LOGISTIC.cdf(0.375))),
        (GREY, -2.0, LOGISTIC.logcdf(-1.875)),
        (GREY, 2.0, LOGISTIC.logsf(1.875)),
    ],
    "poisson": [
        ({"outputs": [math.log(3.5)]}, 2.0, stats.poisson.logpmf(2, 3.5)),
        ({"outputs": [-4.0]}, 0.0, -math.exp(-4)),
        ({"outputs": [5.0]}, 130.0, stats.poisson.logpmf(130, math.exp(5))),
    ],
    "rounded_gaussian": [
        (WHOLE, 0.5, math.log(NORMAL.cdf(0.625) - NORMAL.cdf(0.375))),
        (WHOLE, 9.5, NORMAL.logsf(9.375) + math.log1p(-math.exp(NORMAL.logsf(9.625) - NORMAL.logsf(9.375)))),
        (COUNTS, on_asinh_scale(0), math.log(0.99) + stats.norm.logcdf(on_asinh_scale(0.5), 0.1, 0.5)),
        (FROM_0, -1.5, math.log(0.01 / 20)),
    ],
    "bounded_gaussian": [
        (WIDE, 1.1, NORMAL.logpdf(1.1) + NORMAL_INSIDE),
        (WIDE, 2.5, NORMAL.logpdf(2.5) + math.log(min(0.01, NORMAL_OUTSIDE) / NORMAL_OUTSIDE)),
    ],
    "spiked_gaussian": [
        (SPIKED, 1.0, math.log(0.5) + NORMAL.logpdf(1.0)),
        (SPIKED, 1.5, math.log(0.25 * HEIGHT)),
    ],
    "spiked_rounded_gaussian": [
        (SPIKED_WHOLE, 0.5, math.log(0.5 * (NORMAL.cdf(0.625) - NORMAL.cdf(0.375)))),
        (SPIKED_WHOLE, 1.5, math.log(0.25 + 0.5 * (NORMAL.cdf(1.625) - NORMAL.cdf(1.375)))),
    ],
    "spiked_bounded_gaussian": [
        (SPIKED_WIDE, 1.1, math.log(0.5) + NORMAL.logpdf(1.1) + NORMAL_INSIDE),
        (SPIKED_WIDE, 2.0, math.log(0.25 * HEIGHT)),
    ],
}


def lattice(known):
    """Model units of the cells of a rounded column."""
    if "scale" not in known:
        return np.arange(known["low"], known["high"] + 1e-9, known["step"])
    numbers = np.arange(-200_000, 200_001)
    return (np.arcsinh(numbers / 2) - 1) / 0.5 if known.get("asinh_scale") else (numbers - 2) / 4


def integral(distribution, low, high):
    """Of a density over an interval."""
    return integrate.quad(lambda cell: math.exp(log_prob(distribution, cell)), low, high, limit=200)[0]


def codes(known):
    """Cells of levels, flags and counts."""
    return np.arange(5000.0 if "n_levels" in known else 1000.0)


def is_continuous(likelihood):
    return likelihood.density or (likelihood.traits.spiked and not likelihood.rounded)


def heights(distribution):
    """How often the density at a spike counts the probability of the spike."""
    found = distribution.log_heights
    return [HEIGHT] * distribution.spikes.shape[-1] if found is None else found.exp().flatten().tolist()


def neighbours(likelihood, known):
    """Two cells beside each other, both possible and neither a spike."""
    if known.get("asinh_scale"):
        return on_asinh_scale(6), on_asinh_scale(7)
    return (0.5, 0.75) if likelihood.rounded else (0.0, 1.0)


def test_every_likelihood_has_a_reference_value():
    missing = SUBJECTS.keys() - REFERENCES.keys()
    assert not missing, f"REFERENCES in tests/test_likelihoods.py wants entries for {sorted(missing)}"


# Nats by which other outputs may be better: the ends of logistic intervals are half a step, ten scales, away;
# probabilities of flags end a little below 1.
SATURATION = {"discretized_logistic": 1e-4, "bernoulli": 2e-6, "poisson": 2e-6}
CASES = [(name, case) for name in SUBJECTS for case in range(len(REFERENCES.get(name, ())))]
EVERY = pytest.mark.parametrize("name", [name for name in SUBJECTS if name in REFERENCES])
ORDERED_ONES = pytest.mark.parametrize("name", [n for n in SUBJECTS if n in REFERENCES and SUBJECTS[n].ordered])
CASE = pytest.mark.parametrize(("name", "case"), CASES)


@CASE
def test_log_probability_equals_the_reference(name, case, distribution_of):
    known, cell, expected = REFERENCES[name][case]
    assert log_prob(distribution_of(SUBJECTS[name], **known), cell) == pytest.approx(expected, abs=1e-9)


@CASE
def test_probabilities_of_the_whole_support_sum_to_1(name, case, distribution_of):
    likelihood, known = SUBJECTS[name], REFERENCES[name][case][0]
    distribution = distribution_of(likelihood, **known)

    def density(cell):
        return math.exp(log_prob(distribution, cell))

    spikes = [spike for spike in known.get("spikes", []) if spike == spike]
    if name == "constant" or name == "bernoulli":
        total = density(0.0) + density(1.0)
    elif is_continuous(likelihood):
        in_unit = likelihood.traits.in_unit_interval
        ends = [0.0, 1.0] if in_unit else [known[name] for name in ("low", "high") if name in known]
        inner = sorted({*ends, *known["outputs"][:1], *spikes} if not in_unit else ends)
        outer = inner if in_unit else [-INF, inner[0] - 1, *inner, inner[-1] + 1, INF]
        total = sum(integral(distribution, *piece) for piece in itertools.pairwise(outer))
        total += sum(density(spike) / HEIGHT for spike in spikes)
    else:
        cells = lattice(known) if likelihood.rounded else codes(known)
        total = float(distribution.log_prob(torch.from_numpy(cells).unsqueeze(-1)).exp().sum())
        if "n_levels" in known:  # the tail behind the last code: the sum of u / (i (i + 1)) from I + 1 on
            total += known["unseen"] / (len(cells) - known["n_levels"] + 1)
        if spikes:  # a spike of height h is a point of weight 1 / h
            for spike, height in zip(spikes, heights(distribution), strict=True):
                total += density(spike) * (1 / height - 1)
    assert total == pytest.approx(1, abs=2e-5)


@ORDERED_ONES
def test_tails_are_sums_of_the_probabilities(name, distribution_of):
    likelihood = SUBJECTS[name]
    for known, _, _ in REFERENCES[name]:
        distribution = distribution_of(likelihood, **known, n_rows=2)
        low, high = (0.35, 0.9) if is_continuous(likelihood) else neighbours(likelihood, known)
        below, above = distribution.tails(torch.tensor([[low], [high]], dtype=torch.float64))
        (below_low, below_high), (above_low, above_high) = below.flatten().tolist(), above.flatten().tolist()
        # The tails of seen values do not count the probability of the unseen.
        seen = 1 - (known.get("unseen", 0.0) if "low" in known or "n_levels" in known else 0.0)
        if is_continuous(likelihood):
            inside = integral(distribution_of(likelihood, **known), low, high)
            expected = inside, inside
            seen = 1.0
        else:
            by_cell = distribution.log_prob(torch.tensor([[high], [low]], dtype=torch.float64))
            expected = tuple(by_cell.exp().flatten().tolist())
        found = seen * (below_high - below_low), seen * (above_low - above_high)
        # Of bounded noise the tails leave out what leaks over the bounds, at most 0.01.
        tolerance = 0.011 if likelihood.traits.bounded else 1e-6
        assert found == pytest.approx(expected, rel=tolerance, abs=1e-9)


@ORDERED_ONES
@pytest.mark.parametrize("probability", [0.01, 0.3, 0.5, 0.9])
def test_quantile_inverts_the_tails(name, probability, distribution_of):
    likelihood, weights = SUBJECTS[name], torch.ones(1, 1, 1, 1, dtype=torch.float64)
    for known, _, _ in REFERENCES[name]:
        if known.get("n_levels"):
            known = known | {"unseen": 0.0}
        distribution = distribution_of(likelihood, **known, leading=(1, 1))
        quantile = distribution.quantile(probability, weights)
        step = 1.0 if likelihood.traits.levels == "ordered" else 1e-4
        assert float(distribution.tails(quantile)[0]) >= probability - 1e-3 or float(quantile) == known.get("high")
        assert float(distribution.tails(quantile - step)[0]) <= probability + 1e-3 or float(quantile) == known.get(
            "low"
        )


def draws(name, known, distribution_of, seed=0):
    """Many cells of the distribution, those of rounded columns as they decode, and the distribution of one."""
    likelihood = SUBJECTS[name]
    many = distribution_of(likelihood, **known, n_rows=N_DRAWS)
    cells = many.draw(torch.Generator().manual_seed(seed)).flatten()
    if likelihood.rounded and known.get("asinh_scale"):
        numbers = (2 * torch.sinh(cells * 0.5 + 1)).round()
        cells = (torch.asinh(numbers / 2) - 1) / 0.5
    elif likelihood.rounded:
        cells = ((cells * 4 + 2).round() - 2) / 4
    return distribution_of(likelihood, **known), cells


@CASE
def test_draws_have_the_stated_distribution(name, case, distribution_of):
    known, likelihood = REFERENCES[name][case][0], SUBJECTS[name]
    distribution, cells = draws(name, known, distribution_of)
    assert likelihood.supports(cells).all()
    if likelihood.ordered:
        for cell in {*np.quantile(cells.numpy(), [0.05, 0.3, 0.5, 0.95]).tolist(), float(cells.mode().values)}:
            cell = float(cells[(cells - cell).abs().argmin()])
            lower, upper = distribution.tails(torch.tensor([[cell]], dtype=torch.float64))
            assert (cells <= cell + 1e-9).double().mean() == pytest.approx(float(lower), abs=0.02)
            assert (cells >= cell - 1e-9).double().mean() == pytest.approx(float(upper), abs=0.02)
    if likelihood.traits.levels != "none" or name == "bernoulli":
        # Draws are of seen levels only.
        levels = range(known.get("n_levels", 2))
        assert set(cells.tolist()) <= set(levels)
        for code in levels:
            expected = math.exp(log_prob(distribution, code)) / (1 - known.get("unseen", 0.0))
            assert (cells == code).double().mean() == pytest.approx(expected, abs=0.02)


@EVERY
def test_draws_repeat_with_the_generator_and_leave_global_state_alone(name, distribution_of):
    known = REFERENCES[name][0][0]
    before = torch.get_rng_state()
    first, again, other = (draws(name, known, distribution_of, seed)[1] for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "constant")


@EVERY
def test_summary_averages_to_the_cell_that_is_expected(name, distribution_of):
    likelihood = SUBJECTS[name]
    for known, _, _ in REFERENCES[name]:
        distribution, cells = draws(name, known, distribution_of)
        point = float(distribution.point(distribution.summary().mean(0, keepdim=True)))
        if likelihood.traits.levels == "unordered":  # the most probable level
            assert (cells == point).double().mean() >= (cells == cells.mode().values).double().mean() - 0.02
        elif likelihood.traits.levels == "ordered":
            assert point == float(cells.median())
        elif likelihood.traits.spiked:  # shares of where the noise is centred and of the spikes
            shares = torch.tensor(known["outputs"][1:]).softmax(0).tolist()
            spikes = torch.tensor(known["spikes"]).nan_to_num().tolist()
            centers = [known["outputs"][0], *spikes]
            assert point == pytest.approx(sum(map(math.prod, zip(shares, centers, strict=True))))
        elif isinstance(likelihood, Rounded | Bounded):
            assert point == pytest.approx(known["outputs"][0])
        else:
            margin = 6 * float(cells.std()) / math.sqrt(N_DRAWS)
            assert point == pytest.approx(float(cells.mean()), abs=margin + 1e-9)


@CASE
@pytest.mark.parametrize("log_noise", [-40.0, 0.0, 6.0])
def test_gradient_is_finite_in_single_precision(name, case, log_noise, distribution_of):
    known, cell, _ = REFERENCES[name][case]
    outputs = torch.tensor(known["outputs"], requires_grad=True)
    varied = known | {"outputs": outputs, "log_noise": log_noise, "floor": 0.05, "unseen": 0.01}
    distribution = distribution_of(SUBJECTS[name], **varied, dtype=torch.float32)
    nats = distribution.log_prob(torch.tensor([[cell], [cell + 1]]))
    assert torch.isfinite(nats).all()
    if outputs.numel():
        nats.sum().backward()
        assert torch.isfinite(outputs.grad[~torch.isinf(outputs)]).all()


@CASE
def test_no_outputs_are_better_than_the_saturated_ones(name, case, constants_of):
    likelihood, (known, cell, _) = SUBJECTS[name], REFERENCES[name][case]
    width = len(known.get("spikes", ())) or (
        len(known["outputs"]) if name == "categorical" else known.get("n_levels", 0)
    )
    constants = constants_of(**{key: value for key, value in known.items() if key not in ("outputs", "log_noise")})
    noise = torch.full((likelihood.noise_size(1),), known.get("log_noise", 0.0), dtype=torch.float64)
    cells = torch.tensor([[cell]], dtype=torch.float64)
    best = likelihood.saturated(cells, width, constants)
    assert best.shape == (1, 1, likelihood.n_parameters(width))
    generator = torch.Generator().manual_seed(0)
    others = 5 * torch.randn((2000, *best.shape[1:]), generator=generator, dtype=torch.float64)
    if others.numel():
        others[:1000, :, 0] = cell + 0.1 * others[:1000, :, 0]
    found, highest = (
        float(likelihood.distribution(outputs, noise, constants).log_prob(cells).amax()) for outputs in (best, others)
    )
    # Between bounds the noise is centred at the cell; beyond them and for what training never saw nothing is promised.
    outside = cell < known.get("low", -INF) or cell > known.get("high", INF)
    # On an asinh scale intervals are longer on one side of the cell.
    tolerance = 0.47 if likelihood.traits.bounded else 1e-4 if "asinh_scale" in known else SATURATION.get(name, 1e-9)
    assert outside or highest <= found + tolerance


@EVERY
@pytest.mark.parametrize("width", [2, 4])
def test_shapes_are_those_that_the_likelihood_promises(name, width, constants_of):
    likelihood = SUBJECTS[name]
    columns, leading = 3, (2, 4, 5)
    known = {"floor": 0.05, "n_levels": width, "unseen": 0.1}
    known["low"], known["high"] = -2.0, 2.0
    known["cuts"] = [-OUTERMOST, *range(1, width), OUTERMOST] if likelihood.traits.levels == "ordered" else []
    known["spikes"] = [float(spike) for spike in range(width)] if likelihood.traits.spiked else []
    constants = constants_of(columns, torch.float32, **known)
    outputs = torch.zeros(*leading, columns, likelihood.n_parameters(width))
    log_noise = torch.zeros(2, 1, 1, likelihood.noise_size(columns))
    for distribution in (
        likelihood.distribution(outputs, log_noise, constants),
        likelihood.marginal(outputs, constants),
    ):
        assert distribution.batch_shape == (*leading, columns)
        cells = distribution.draw(torch.Generator().manual_seed(0))
        assert cells.shape == (*leading, columns)
        assert distribution.log_prob(cells).shape == (*leading, columns)
        # Rows without the axes of members and draws are broadcast.
        rows, weights = cells[0, 0], torch.full((2, 4, 5, 1), 1 / 8)
        assert distribution.log_prob(rows).shape == (*leading, columns)
        assert likelihood.features(cells, width, constants).shape == (*leading, columns, likelihood.n_features(width))
        assert distribution.point(distribution.summary()).shape == (*leading, columns)
        for found in (distribution.tail_probability(rows, weights), distribution.position(rows, weights)):
            assert found.shape == rows.shape
            assert torch.isfinite(found).all()
        quantile = distribution.quantile(0.9, weights)
        assert quantile.shape == rows.shape
        assert quantile.isnan().all() != likelihood.ordered


def column_of(likelihood):
    """A column that knows all that any likelihood may need."""
    traits = likelihood.traits
    n_levels = min(traits.max_levels or 3, 3) if traits.levels != "none" else 0
    n = n_levels or (3 if traits.spiked else 0)
    return Column(
        "c",
        "continuous",
        likelihood,
        "a test",
        step=0.25,
        low=-2.0,
        high=2.0,
        spikes=(0.0, 1.0) if traits.spiked else (),
        levels=tuple(float(level) for level in range(n_levels)),
        frequencies=(1 / n,) * n if n else (),
        unseen=0.01,
        mean=0.5,
    )


@EVERY
@torch.no_grad()
def test_missing_cell_costs_nothing_and_has_no_influence(name):
    vae = VAE(
        [column_of(SUBJECTS[name])] * 2,
        latent_dim=2,
        n_members=2,
        backbone=MLP(),
        hidden_layer_sizes=(3,),
        activation="tanh",
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
    )
    observed = torch.tensor([[True, False], [True, True]])
    terms = [
        elbo_terms(vae, Batch(torch.tensor([[1.0, beneath], [0.0, 1.0]]), observed), torch.zeros(2, 1, 1, 2))
        for beneath in (0.0, 1.0)
    ]
    assert torch.equal(terms[0].log_likelihood, terms[1].log_likelihood)
    assert torch.equal(terms[0].kl, terms[1].kl)
    assert (terms[0].log_likelihood[..., 0, 1] == 0).all()
    assert (terms[0].log_likelihood[..., 1, :] != 0).all() or name == "continuous_bernoulli"


@EVERY
def test_model_file_gives_the_likelihood_back(name):
    likelihood = SUBJECTS[name]
    for saved in (likelihood, OutputOnly(likelihood)):
        assert decode(json.loads(json.dumps(encode(saved)))) == saved


@EVERY
def test_specification_is_a_frozen_value(name):
    likelihood = SUBJECTS[name]
    assert type(likelihood).__dataclass_params__.frozen
    twin = dataclasses.replace(likelihood)
    assert twin == likelihood
    assert hash(twin) == hash(likelihood)


def all_classes(kind):
    return [kind, *(grandchild for child in kind.__subclasses__() for grandchild in all_classes(child))]


def test_nothing_concrete_is_overridden():
    overridden = [
        f"{kind.__name__}.{name}"
        for kind in all_classes(Likelihood)
        if kind.__module__.startswith("vae_anomaly.")
        for parent in kind.__mro__[1:]
        if parent.__module__.startswith("vae_anomaly.")
        for name, member in vars(parent).items()
        if name in vars(kind) and not name.startswith("_") and callable(getattr(member, "fget", member))
        if not getattr(member, "__isabstractmethod__", False)
    ]
    assert not overridden


IMPOSSIBLE = [
    *((Gaussian, {"noise": "row"}), (Gaussian, {"floor": -0.1}), (Gaussian, {"floor": math.nan})),
    *((StudentT, {"df": 1.0}), (StudentT, {"floor": -1})),
    *((Categorical, {"smoothing": 1.0}), (Categorical, {"smoothing": -0.1})),
    *((LIKELIHOODS[name], {"floor": -0.1}) for name in ("rounded_student_t", "bounded_student_t", "ordinal")),
    *((LIKELIHOODS[name], {"floor": -0.1}) for name in LIKELIHOODS if name.startswith("spiked")),
]


@pytest.mark.parametrize(("kind", "wrong"), IMPOSSIBLE)
def test_impossible_parameters_are_refused_by_name(kind, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name} "):
        kind(**wrong)


@pytest.mark.parametrize("wrapper", [Rounded, Bounded, Spiked])
def test_wrapper_refuses_what_it_cannot_wrap(wrapper):
    for wrong in ("student_t", None, StudentT, Categorical(), Spiked(StudentT())):
        with pytest.raises(TypeError, match=f"^{wrapper.__name__} wraps a "):
            wrapper(wrong)
    with pytest.raises(ValueError, match=r"df=3.*cannot be rounded, bounded or spiked.*Take df=4 or Gaussian"):
        wrapper(StudentT(df=3.0))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_name_resolves_to_the_default_and_an_instance_to_itself(name):
    resolved = resolve_likelihood(name)
    assert resolved == LIKELIHOODS[name]()
    assert resolve_likelihood(resolved) is resolved


@pytest.mark.parametrize("wrong", ["normal", "", 3, None, Gaussian, ["gaussian"]])
def test_unknown_likelihood_is_refused_with_the_names_there_are(wrong):
    with pytest.raises(SpecificationError, match=r"poisson.*student_t"):
        resolve_likelihood(wrong)
