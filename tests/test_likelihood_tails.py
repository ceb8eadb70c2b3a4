"""How extreme a cell is: tails, quantiles and tail probabilities of mixtures against known distributions."""

import math

import pytest
import torch
from scipy import optimize, stats

from vae_anomaly.likelihoods import (
    LIKELIHOODS,
    Categorical,
    Poisson,
    StudentT,
)
from vae_anomaly.likelihoods.noise import OUTERMOST

NAN = math.nan
T = stats.t(4, 0.3, 0.5)
NOISE = {"log_noise": math.log(0.4), "floor": 0.3}  # scale 0.5


def on_asinh_scale(number):
    return (math.asinh(number / 2) - 1) / 0.5


def share_below(cell):
    """Of T between -1 and 2."""
    return (T.cdf(cell) - T.cdf(-1)) / (T.cdf(2) - T.cdf(-1))


def grey(cell):
    """Of a continuous Bernoulli variable with logit 1.5, by integrating exp(1.5 x)."""
    return math.expm1(1.5 * cell) / math.expm1(1.5)


WHOLE = {"outputs": [0.3], **NOISE, "location": 2.0, "scale": 4.0, "step": 1.0}
ASINH = {"location": 1.0, "scale": 0.5, "asinh_scale": 2.0, "step": 1.0, "low": on_asinh_scale(0), "unseen": 0.01}
WIDE = {"outputs": [0.3], **NOISE, "low": -1.0, "high": 2.0, "unseen": 0.01}
HALVES = [0.3, math.log(2), 0.0, 0.0]
CUTS = [-OUTERMOST, -0.8, 0.6, OUTERMOST, 2 * OUTERMOST]
ORDERED = {"outputs": [0.4], "log_noise": math.log(0.8), "n_levels": 3, "unseen": 0.25, "cuts": CUTS}
FLAG = {"outputs": [math.log(4)]}
GREY = {"outputs": [0.3, math.log(0.4875)], "step": 0.25, "low": -2.0, "high": 2.0}
LOGISTIC = stats.logistic(0.3, 0.5)
# What a column has; a cell; P(X <= x) and P(X >= x) by another road.
TAILS = {
    "gaussian": [
        ({"outputs": [0.3], **NOISE}, 1.1, stats.norm.cdf(1.6), stats.norm.sf(1.6)),
        ({"outputs": [0.0]}, -20.0, stats.norm.cdf(-20), 1.0),
    ],
    "unit_gaussian": [({"outputs": [0.3]}, 9.3, stats.norm.cdf(9), stats.norm.sf(9))],
    "student_t": [
        ({"outputs": [0.3], **NOISE}, 1.1, T.cdf(1.1), T.sf(1.1)),
        ({"outputs": [0.3], **NOISE}, -900.0, T.cdf(-900), 1.0),
    ],
    "rounded_student_t": [
        (WHOLE, 0.5, T.cdf(0.625), T.sf(0.375)),
        (WHOLE, -99.5, T.cdf(-99.375), T.sf(-99.625)),
        (ASINH | {"outputs": [0.3], **NOISE}, on_asinh_scale(7), T.cdf(on_asinh_scale(7.5)), T.sf(on_asinh_scale(6.5))),
        (ASINH | {"outputs": [0.3], **NOISE}, on_asinh_scale(0), T.cdf(on_asinh_scale(0.5)), 1.0),
        (ASINH | {"outputs": [0.3], **NOISE}, on_asinh_scale(-3), 0.0, 1.0),
    ],
    "bounded_student_t": [
        (WIDE, 1.1, share_below(1.1), 1 - share_below(1.1)),
        (WIDE, -1.0, 0.0, 1.0),
        # Beyond the bounds: the density there, at most the probability of the unseen.
        (WIDE, 3.0, 1.0, min(0.01, T.pdf(3) * 0.01 / (T.cdf(-1) + T.sf(2)))),
    ],
    "spiked_student_t": [
        ({"outputs": HALVES, **NOISE, "spikes": [0.0, 1.5]}, 0.7, 0.25 + 0.5 * T.cdf(0.7), 0.25 + 0.5 * T.sf(0.7)),
        ({"outputs": HALVES, **NOISE, "spikes": [0.0, 1.5]}, 1.5, 0.5 + 0.5 * T.cdf(1.5), 0.25 + 0.5 * T.sf(1.5)),
        ({"outputs": HALVES[:3], **NOISE, "spikes": [0.0]}, -1.0, 2 / 3 * T.cdf(-1), 1 / 3 + 2 / 3 * T.sf(-1)),
        (
            {"outputs": [*HALVES[:3], -math.inf], **NOISE, "spikes": [0.0, NAN]},
            9.0,
            1 - 2 / 3 * T.sf(9),
            2 / 3 * T.sf(9),
        ),
    ],
    "spiked_rounded_student_t": [
        (WHOLE | {"outputs": HALVES, "spikes": [0.0, 1.5]}, 1.5, 0.5 + 0.5 * T.cdf(1.625), 0.25 + 0.5 * T.sf(1.375)),
    ],
    "spiked_bounded_student_t": [
        (WIDE | {"outputs": HALVES, "spikes": [-1.0, 2.0]}, -1.0, 0.25, 1.0),
        (WIDE | {"outputs": HALVES, "spikes": [-1.0, 2.0]}, 1.0, 0.25 + share_below(1) / 2, 0.75 - share_below(1) / 2),
    ],
    "continuous_bernoulli": [
        ({"outputs": [1.5]}, 0.2, grey(0.2), 1 - grey(0.2)),
        ({"outputs": [-1.5]}, 0.2, 1 - grey(0.8), grey(0.8)),
        ({"outputs": [0.0]}, 0.2, 0.2, 0.8),
    ],
    "bernoulli": [(FLAG, 0.0, 0.2, 1.0), (FLAG, 1.0, 1.0, 0.8), (FLAG, 0.4, 0.2, 0.8)],
    "ordinal": [
        (ORDERED, 1.0, stats.t.cdf(0.6, 4, 0.4, 0.8), stats.t.sf(-0.8, 4, 0.4, 0.8)),
        (ORDERED, 0.0, stats.t.cdf(-0.8, 4, 0.4, 0.8), 1.0),
        (ORDERED, 3.0, 0.25, 0.25),
    ],
    "discretized_logistic": [
        (GREY, 0.5, LOGISTIC.cdf(0.625), LOGISTIC.sf(0.375)),
        (GREY, -2.0, LOGISTIC.cdf(-1.875), 1.0),
        (GREY, 2.0, 1.0, LOGISTIC.sf(1.875)),
    ],
    "poisson": [
        ({"outputs": [math.log(3.5)]}, 6.0, stats.poisson.cdf(6, 3.5), stats.poisson.sf(5, 3.5)),
        ({"outputs": [math.log(3.5)]}, 0.0, math.exp(-3.5), 1.0),
        ({"outputs": [math.log(3.5)]}, 40.0, 1.0, stats.poisson.sf(39, 3.5)),
    ],
}
ORDERED_NAMES = list(TAILS)
CASES = [(name, case) for name in ORDERED_NAMES for case in range(len(TAILS[name]))]
ONE = torch.ones(1, 1, 1, 1, dtype=torch.float64)


ONE_ROW = {"leading": (1, 1)}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_tails_equal_the_reference(name, case, distribution_of):
    known, cell, below, above = TAILS[name][case]
    likelihood, cells = LIKELIHOODS[name](), torch.tensor([[cell]], dtype=torch.float64)
    distribution = distribution_of(likelihood, **known, **ONE_ROW)
    found = [float(tail) for tail in distribution.tails(cells)]
    assert found == [pytest.approx(expected, rel=1e-6, abs=1e-12) for expected in (below, above)]
    probability = float(distribution.tail_probability(cells, ONE))
    assert probability == pytest.approx(min(1, 2 * min(below, above)), rel=1e-6, abs=1e-12)


QUANTILES = {
    "gaussian": [({"outputs": [0.3], **NOISE}, 0.975, 0.3 + 0.5 * stats.norm.ppf(0.975))],
    "unit_gaussian": [({"outputs": [-300.0]}, 0.01, -300 + stats.norm.ppf(0.01))],
    "student_t": [({"outputs": [0.3], **NOISE}, 0.001, T.ppf(0.001)), ({"outputs": [0.3], **NOISE}, 0.5, 0.3)],
    # Where the upper end of the interval reaches the quantile of the noise.
    "rounded_student_t": [
        (WHOLE, 0.9, T.ppf(0.9) - 0.125),
        (ASINH | {"outputs": [0.3], **NOISE}, 0.9, on_asinh_scale(2 * math.sinh(T.ppf(0.9) * 0.5 + 1) - 0.5)),
        (ASINH | {"outputs": [-2.5], **NOISE}, 0.3, on_asinh_scale(0)),
    ],
    "bounded_student_t": [
        (WIDE, 0.3, T.ppf(T.cdf(-1) + 0.3 * (T.cdf(2) - T.cdf(-1)))),
        (WIDE | {"outputs": [50.0]}, 1 - 1e-9, 2.0),
    ],
    "spiked_student_t": [
        ({"outputs": HALVES, **NOISE, "spikes": [0.0, 1.5]}, 0.3, 0.0),
        ({"outputs": HALVES, **NOISE, "spikes": [0.0, 1.5]}, 0.9, 1.5),
        ({"outputs": HALVES, **NOISE, "spikes": [-9.0, 9.0]}, 0.5, 0.3),
    ],
    "spiked_rounded_student_t": [(WHOLE | {"outputs": HALVES, "spikes": [-9.0, 9.0]}, 0.5, 0.3 - 0.125)],
    "spiked_bounded_student_t": [(WIDE | {"outputs": HALVES, "spikes": [-1.0, 2.0]}, 0.2, -1.0)],
    "continuous_bernoulli": [({"outputs": [1.5]}, 0.3, math.log1p(0.3 * math.expm1(1.5)) / 1.5)],
    "bernoulli": [(FLAG, 0.1, 0.0), (FLAG, 0.3, 1.0)],
    "ordinal": [(ORDERED, 0.05, 0.0), (ORDERED, 0.5, 1.0), (ORDERED, 0.9, 2.0)],
    "discretized_logistic": [(GREY, 0.9, LOGISTIC.ppf(0.9) - 0.125), (GREY, 0.001, -2.0), (GREY, 0.999, 2.0 - 0.0625)],
    "poisson": [({"outputs": [math.log(3.5)]}, 0.9, float(stats.poisson.ppf(0.9, 3.5)))],
}


@pytest.mark.parametrize("name", ORDERED_NAMES)
def test_quantiles_equal_the_reference(name, distribution_of):
    likelihood = LIKELIHOODS[name]()
    for known, probability, expected in QUANTILES[name]:
        distribution = distribution_of(likelihood, **known, **ONE_ROW)
        found = float(distribution.quantile(probability, ONE))
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("likelihood", [StudentT(), Poisson()])
def test_mixture_of_members_and_draws_is_weighed_before_sides_are_compared(likelihood, constants_of):
    centers = torch.tensor([[-1.0, 0.5], [2.0, 3.0]], dtype=torch.float64)[:, :, None, None, None]
    weights = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float64)[:, :, None, None]
    noise = torch.zeros(likelihood.noise_size(1), dtype=torch.float64)
    distribution = likelihood.distribution(centers, noise, constants_of())
    components = [
        stats.t(likelihood.df, center, math.hypot(1, 0))
        if likelihood == StudentT()
        else stats.poisson(math.exp(center))
        for center in centers.flatten().tolist()
    ]
    shares = weights.flatten().tolist()

    def below(cell):
        return sum(share * part.cdf(cell) for share, part in zip(shares, components, strict=True))

    cell = 4.0
    upper = 1 - below(cell - 1) if likelihood == Poisson() else 1 - below(cell)
    found = distribution.tail_probability(torch.tensor([[cell]], dtype=torch.float64), weights)
    assert float(found) == pytest.approx(min(1, 2 * min(below(cell), upper)), rel=1e-6)
    if likelihood == StudentT():
        expected = optimize.brentq(lambda x: below(x) - 0.8, -50, 50)
        assert float(distribution.quantile(0.8, weights)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        # Of the seen, 0.9: levels that are at most as probable as the own one, and the unseen.
        (0.0, 1.0),
        (1.0, 0.9 * (0.3 + 0.2) + 0.1),
        (2.0, 0.9 * 0.2 + 0.1),
        # One and three steps beyond: sums of 0.1 / (i (i + 1)) from i on.
        (3.0, 0.1),
        (5.0, 0.1 / 3),
    ],
)
def test_tail_probability_of_a_level_is_that_of_all_at_most_as_probable(cell, expected, distribution_of):
    likelihood = Categorical(smoothing=0.0)
    outputs = [math.log(0.5), math.log(0.3), math.log(0.2), -math.inf]
    distribution = distribution_of(likelihood, outputs, n_levels=3, unseen=0.1, **ONE_ROW)
    found = distribution.tail_probability(torch.tensor([[cell]], dtype=torch.float64), ONE)
    assert float(found) == pytest.approx(expected)


def test_equally_probable_levels_are_not_extreme(distribution_of):
    known = {"outputs": [0.0] * 4, "n_levels": 4, "unseen": 0.1}
    distribution = distribution_of(Categorical(), **known, **ONE_ROW)
    cells = torch.tensor([[2.0]], dtype=torch.float64)
    assert float(distribution.tail_probability(cells, ONE)) == pytest.approx(1)


@pytest.mark.parametrize("name", ORDERED_NAMES)
def test_tails_are_probabilities_that_rise_and_fall_in_single_precision(name, distribution_of):
    likelihood, known = LIKELIHOODS[name](), TAILS[name][0][0]
    steps = torch.arange(5.0) if name in ("bernoulli", "ordinal", "poisson") else torch.linspace(-6, 6, 4001)
    if name == "ordinal":
        steps = steps[:3]
    distribution = distribution_of(likelihood, **known, dtype=torch.float32, n_rows=len(steps))
    below, above = (tail.flatten() for tail in distribution.tails(steps[:, None]))
    if "bounded" in name or name == "continuous_bernoulli":
        inside = (steps >= known.get("low", 0.0)) & (steps <= known.get("high", 1.0))
        below, above = below[inside], above[inside]
    for tail in (below, above):
        assert ((tail >= 0) & (tail <= 1 + 1e-6)).all()
    assert (below.diff() >= -1e-6).all()
    assert (above.diff() <= 1e-6).all()
