"""The contract of every likelihood: equal to references, normalised, drawn as stated, averaged, shaped, named."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from vae_anomaly.errors import SpecificationError
from vae_anomaly.likelihoods import (
    LIKELIHOODS,
    Categorical,
    Gaussian,
    OrderedLikelihood,
    SpikedStudentT,
    StudentT,
    resolve_likelihood,
)

INF = math.inf
FAR = 1e4
N_DRAWS = 20_000


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


def bent(number):
    """Model units of `BENT`."""
    return (math.asinh(number / 2) - 1) / 0.5


NOISE = {"log_noise": math.log(0.4), "floor": 0.3}  # scale 0.5
TWO_LEVELS = {"outputs": [math.log(2), 0.0], "n_levels": 2, "unseen": 0.1}
FLAG = {"outputs": [-math.log(2)], "n_levels": 2, "unseen": 0.1}
THREE_LEVELS = {"outputs": [0.0, 0.0, 0.0, -INF], "n_levels": 3, "unseen": 0.25}
# Whole numbers n at (n - 2) / 4.
WHOLE = {"outputs": [0.3], **NOISE, "location": 2.0, "scale": 4.0, "step": 1.0}
BENT = {"location": 1.0, "scale": 0.5, "asinh_scale": 2.0, "step": 1.0, "low": bent(0), "unseen": 0.01}
FROM_0 = WHOLE | {"low": -0.5, "unseen": 0.01}
COUNTS = {"outputs": [0.1], **NOISE, **BENT}
WIDE = {"outputs": [0.3], **NOISE, "low": -1.0, "high": 2.0, "unseen": 0.01}
NARROW = {"outputs": [0.3], "log_noise": -9.0, "floor": 0.05, "low": -1.0, "high": 2.0, "unseen": 0.01}
ORDERED = {
    "outputs": [0.4],
    "log_noise": math.log(0.8),
    "n_levels": 3,
    "unseen": 0.25,
    "cuts": [-FAR, float(stats.t.ppf(0.2, 4)), float(stats.t.ppf(0.7, 4)), FAR, 2 * FAR],
}
# Shares 1/2 of noise, 1/4 of each spike; then 1/2, 1/3 and 1/6, and no third spike.
HALVES = [0.3, math.log(2), 0.0, 0.0]
SIXTHS = [0.3, math.log(3), math.log(2), 0.0, -INF, -INF]
SPIKES = {**NOISE, "spikes": [0.0, 1.5]}
HEIGHT = 1 / (math.sqrt(2 * math.pi) * 0.05)
SPIKED = {"outputs": HALVES, **SPIKES}
PADDED = {"outputs": SIXTHS, **NOISE, "spikes": [0.0, 1.5, math.nan, math.nan]}
SPIKED_WHOLE = {**WHOLE, "outputs": HALVES, "spikes": [0.0, 1.5]}
SPIKED_COUNTS = {**COUNTS, "outputs": [0.1, math.log(2), 0.0, 0.0], "spikes": [bent(0), bent(40)]}
SPIKED_WIDE = {**WIDE, "outputs": HALVES, "spikes": [-1.0, 2.0]}
# Levels a quarter apart from -2 to 2; the scale is 0.5, of which a twentieth of a step is the smallest possible.
GREY = {"outputs": [0.3, math.log(0.4875)], "step": 0.25, "low": -2.0, "high": 2.0}
LOGISTIC = stats.logistic(0.3, 0.5)
T = stats.t(4, 0.3, 0.5)
OUTSIDE = T.cdf(-1) + T.sf(2)
INSIDE = math.log1p(-0.01) - math.log1p(-OUTSIDE)
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
        (COUNTS, bent(7), math.log(0.99 * t_mass(bent(6.5), bent(7.5), 0.1, 0.5))),
        (COUNTS, bent(0), math.log(0.99) + stats.t.logcdf(bent(0.5), 4, 0.1, 0.5)),
        # One and four steps below the lowest possible.
        (COUNTS, bent(-1), math.log(0.01 / 2)),
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
            bent(0),
            math.log((0.25 + 0.495 * stats.t.cdf(bent(0.5), 4, 0.1, 0.5)) * min(1, 2 * HEIGHT * (bent(0.5) - bent(0)))),
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
}
CODES = dict.fromkeys(("bernoulli", "constant"), range(2))
CODES |= {"binary": range(5000), "categorical": range(5000), "ordinal": range(5000), "poisson": range(1000)}
CASES = [(name, case) for name in LIKELIHOODS for case in range(len(REFERENCES[name]))]
EVERY = pytest.mark.parametrize("name", LIKELIHOODS)
CASE = pytest.mark.parametrize(("name", "case"), CASES)


def lattice(known):
    """Model units of the cells of a rounded column, and between which numbers they lie."""
    numbers = np.arange(-20_000, 20_001)
    if known.get("asinh_scale"):
        return (np.arcsinh(numbers / 2) - 1) / 0.5, (-INF, bent(20_000.5))
    return (numbers - 2) / 4, (-20_002.5 / 4 if "low" not in known else -INF, 19_998.5 / 4)


def integral(distribution, known):
    """Of a density over the real line, piece by piece."""
    bounds = [known[name] for name in ("low", "high") if name in known]
    inner = sorted({*bounds, known["outputs"][0], *[spike for spike in known.get("spikes", []) if spike == spike]})
    ends = [-INF, inner[0] - 1, *inner, inner[-1] + 1, INF]
    return sum(
        integrate.quad(lambda cell: math.exp(log_prob(distribution, cell)), low, high, limit=200)[0]
        for low, high in itertools.pairwise(ends)
    )


@CASE
def test_log_probability_equals_the_reference(name, case, distribution_of):
    known, cell, expected = REFERENCES[name][case]
    assert log_prob(distribution_of(LIKELIHOODS[name](), **known), cell) == pytest.approx(expected, abs=1e-9)


@CASE
def test_probabilities_of_the_whole_support_sum_to_1(name, case, distribution_of):
    likelihood, known = LIKELIHOODS[name](), REFERENCES[name][case][0]
    distribution = distribution_of(likelihood, **known)
    if name == "discretized_logistic":
        total = float(distribution.log_prob(torch.arange(-2, 2.25, 0.25).unsqueeze(-1)).exp().sum())
    elif likelihood.rounded:
        cells, (low, high) = lattice(known)
        total = float(distribution.log_prob(torch.from_numpy(cells).unsqueeze(-1)).exp().sum())
        noise = stats.t(4, known["outputs"][0], 0.5)
        share = float(distribution.log_shares.exp()[..., 0]) if isinstance(likelihood, SpikedStudentT) else 1.0
        unseen = known.get("unseen", 0.0)
        total += share * (float(noise.cdf(low) + noise.sf(high)) * (1 - unseen) + unseen / 20_001)
        if isinstance(likelihood, SpikedStudentT):  # a spike of height h is a point of weight 1 / h
            heights = distribution.log_heights.exp().flatten().tolist()
            for spike, height in zip(known["spikes"], heights, strict=True):
                total += math.exp(log_prob(distribution, spike)) * (1 / height - 1)
    elif name in CODES:
        codes = torch.tensor(CODES[name], dtype=torch.float64).unsqueeze(-1)
        total = float(distribution.log_prob(codes).exp().sum())
        if len(codes) == 5000:  # the tail behind the last code: the sum of u / (i (i + 1)) from I + 1 on
            total += known["unseen"] / (len(codes) - known["n_levels"] + 1)
    elif name == "continuous_bernoulli":
        total = integrate.quad(lambda cell: math.exp(log_prob(distribution, cell)), 0, 1)[0]
    else:
        total = integral(distribution, known)
        for spike in known.get("spikes", []):
            if spike == spike:
                total += math.exp(log_prob(distribution, spike)) / HEIGHT
    assert total == pytest.approx(1, abs=1e-5)


def draws(name, known, distribution_of, seed=0):
    """Many cells of the distribution, those of rounded columns as they decode, and the distribution of one."""
    likelihood = LIKELIHOODS[name]()
    many = distribution_of(likelihood, **known, n_rows=N_DRAWS)
    cells = likelihood.draw(many, torch.Generator().manual_seed(seed)).flatten()
    if likelihood.rounded and known.get("asinh_scale"):
        numbers = (2 * torch.sinh(cells * 0.5 + 1)).round()
        cells = (torch.asinh(numbers / 2) - 1) / 0.5
    elif likelihood.rounded:
        cells = ((cells * 4 + 2).round() - 2) / 4
    return distribution_of(likelihood, **known), cells


@CASE
def test_draws_have_the_stated_distribution(name, case, distribution_of):
    known, likelihood = REFERENCES[name][case][0], LIKELIHOODS[name]()
    distribution, cells = draws(name, known, distribution_of)
    assert likelihood.supports(cells).all()
    if isinstance(likelihood, OrderedLikelihood):
        for cell in {*np.quantile(cells.numpy(), [0.05, 0.3, 0.5, 0.95]).tolist(), float(cells.mode().values)}:
            cell = float(cells[(cells - cell).abs().argmin()])
            lower, upper = likelihood.tails(distribution, torch.tensor([[cell]], dtype=torch.float64))
            assert (cells <= cell + 1e-9).double().mean() == pytest.approx(float(lower), abs=0.02)
            assert (cells >= cell - 1e-9).double().mean() == pytest.approx(float(upper), abs=0.02)
    if name in ("binary", "categorical", "constant", "ordinal", "bernoulli"):
        # Draws are of seen levels only.
        codes = range(known.get("n_levels", 2))
        assert set(cells.tolist()) <= set(codes)
        for code in codes:
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
    likelihood = LIKELIHOODS[name]()
    for known, _, _ in REFERENCES[name]:
        distribution, cells = draws(name, known, distribution_of)
        point = float(likelihood.point(likelihood.summary(distribution).mean(0, keepdim=True)))
        if name in ("binary", "categorical"):  # the most probable level
            assert (cells == point).double().mean() >= (cells == cells.mode().values).double().mean() - 0.02
        elif name == "ordinal":
            assert point == float(cells.median())
        elif name == "spiked_student_t":
            shares = torch.tensor(known["outputs"][1:]).softmax(0).tolist()
            assert point == pytest.approx(0.3 * shares[0] + 1.5 * shares[2])
        elif "student_t" in name:  # where the noise is centred
            center = known["outputs"][0]
            expected = center if "spiked" not in name else 0.5 * center + 0.25 * sum(known["spikes"])
            assert point == pytest.approx(expected)
        else:
            margin = 6 * float(cells.std()) / math.sqrt(N_DRAWS)
            assert point == pytest.approx(float(cells.mean()), abs=margin + 1e-9)


@EVERY
@pytest.mark.parametrize("width", [2, 4])
def test_shapes_are_those_that_the_specification_promises(name, width, constants_of):
    likelihood = LIKELIHOODS[name]()
    columns, leading = 3, (2, 4, 5)
    known = {"floor": 0.05, "n_levels": width, "unseen": 0.1}
    known["low"], known["high"] = -2.0, 2.0
    known["cuts"] = [-FAR, *range(1, width), FAR] if name == "ordinal" else []
    known["spikes"] = [float(spike) for spike in range(width)] if "spiked" in name else []
    constants = constants_of(columns, torch.float32, **known)
    outputs = torch.zeros(*leading, columns, likelihood.n_parameters(width))
    log_noise = torch.zeros(2, 1, 1, likelihood.noise_size(columns))
    distribution = likelihood.distribution(outputs, log_noise, constants)
    cells = likelihood.draw(distribution, torch.Generator().manual_seed(0))
    assert cells.shape == (*leading, columns)
    assert distribution.log_prob(cells).shape == (*leading, columns)
    # Rows without the axes of members and draws are broadcast.
    rows, weights = cells[0, 0], torch.full((2, 4, 5, 1), 1 / 8)
    assert distribution.log_prob(rows).shape == (*leading, columns)
    assert likelihood.features(cells, width, constants).shape == (*leading, columns, likelihood.n_features(width))
    assert likelihood.point(likelihood.summary(distribution)).shape == (*leading, columns)
    assert likelihood.tail_probability(distribution, rows, weights).shape == rows.shape
    if isinstance(likelihood, OrderedLikelihood):
        assert [tail.shape for tail in likelihood.tails(distribution, rows)] == [(*leading, columns)] * 2
        assert likelihood.quantile(distribution, 0.9, weights).shape == rows.shape


@EVERY
def test_specification_is_a_frozen_value(name):
    kind = LIKELIHOODS[name]
    assert dataclasses.is_dataclass(kind)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    assert kind.__dataclass_params__.frozen


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


@EVERY
def test_name_resolves_to_the_default_and_an_instance_to_itself(name):
    resolved = resolve_likelihood(name)
    assert resolved == LIKELIHOODS[name]()
    assert resolve_likelihood(resolved) is resolved


@pytest.mark.parametrize("wrong", ["normal", "", 3, None, Gaussian, ["gaussian"]])
def test_unknown_likelihood_is_refused_with_the_names_there_are(wrong):
    with pytest.raises(SpecificationError, match=r"poisson.*student_t"):
        resolve_likelihood(wrong)
