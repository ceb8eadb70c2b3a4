"""Likelihoods: normalised, equal to references, drawn as stated, and finite where it matters."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from vae_anomaly.errors import SpecificationError
from vae_anomaly.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    ColumnConstants,
    ContinuousBernoulli,
    Gaussian,
    OpenCategorical,
    Poisson,
    StudentT,
    UnitGaussian,
    resolve_likelihood,
)

INF = math.inf


def distribution_of(
    likelihood, outputs, log_noise=0.0, floor=0.0, n_levels=0, unseen=0.0, dtype=torch.float64, n_rows=1
):
    """p(x) of one column from its decoder outputs, which are the same in all rows."""
    constants = ColumnConstants(*(torch.tensor([float(known)], dtype=dtype) for known in (floor, n_levels, unseen)))
    noise = torch.tensor([log_noise] * likelihood.noise_size(1), dtype=dtype)
    outputs = torch.as_tensor(outputs, dtype=dtype).expand(n_rows, 1, -1)
    return likelihood.distribution(outputs, noise, constants)


def log_prob(distribution, value):
    return float(distribution.log_prob(torch.tensor([value], dtype=torch.float64)))


def continuous_bernoulli(logit, cell):
    """Loaiza-Ganem and Cunningham (2019), eq. 8, for logits other than 0."""
    share = 1 / (1 + math.exp(-logit))
    constant = 2 * math.atanh(1 - 2 * share) / (1 - 2 * share)
    return math.log(constant * share**cell * (1 - share) ** (1 - cell))


TWO_LEVELS = {"outputs": [math.log(2), 0.0], "n_levels": 2, "unseen": 0.1}
THREE_LEVELS = {"outputs": [0.0, 0.0, 0.0, -INF], "n_levels": 3, "unseen": 0.25}
# Outputs of the decoder and what else a column has; a cell; its log-probability by another road.
REFERENCES = {
    "gaussian": [
        ({"outputs": [0.3], "log_noise": math.log(0.4), "floor": 0.3}, 1.1, stats.norm.logpdf(1.1, 0.3, 0.5)),
        ({"outputs": [-2.0], "log_noise": -30.0, "floor": 0.05}, -2.2, stats.norm.logpdf(-2.2, -2, 0.05)),
        ({"outputs": [5.0], "log_noise": 1.0}, 0.0, stats.norm.logpdf(0, 5, math.e)),
    ],
    "unit_gaussian": [
        ({"outputs": [0.3]}, 1.1, stats.norm.logpdf(1.1, 0.3)),
        ({"outputs": [-4.0]}, 2.0, stats.norm.logpdf(6.0)),
    ],
    "student_t": [
        ({"outputs": [0.3], "log_noise": math.log(0.4), "floor": 0.3}, 1.1, stats.t.logpdf(1.1, 4, 0.3, 0.5)),
        ({"outputs": [0.0], "log_noise": 1.0}, 300.0, stats.t.logpdf(300, 4, 0, math.e)),
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
    "categorical": [
        (TWO_LEVELS, 0.0, math.log(0.9 * (0.999 * 2 / 3 + 0.0005))),
        (TWO_LEVELS, 3.0, math.log(0.1 / 6)),
        (THREE_LEVELS, 2.0, math.log(0.75 / 3)),
    ],
    "poisson": [
        ({"outputs": [math.log(3.5)]}, 2.0, stats.poisson.logpmf(2, 3.5)),
        ({"outputs": [-4.0]}, 0.0, -math.exp(-4)),
        ({"outputs": [5.0]}, 130.0, stats.poisson.logpmf(130, math.exp(5))),
    ],
}
SUPPORTS = {
    "gaussian": (-INF, INF),
    "unit_gaussian": (-INF, INF),
    "student_t": (-INF, INF),
    "continuous_bernoulli": (0, 1),
    "bernoulli": range(2),
    "categorical": range(5000),
    "poisson": range(1000),
}
CASES = [(name, case) for name in LIKELIHOODS for case in range(len(REFERENCES.get(name, [None])))]
EVERY = pytest.mark.parametrize("name", LIKELIHOODS)
CASE = pytest.mark.parametrize(("name", "case"), CASES)


@CASE
def test_log_probability_equals_the_reference(name, case):
    known, cell, expected = REFERENCES[name][case]
    assert log_prob(distribution_of(LIKELIHOODS[name](), **known), cell) == pytest.approx(expected, abs=1e-9)


@CASE
def test_probabilities_of_the_whole_support_sum_to_1(name, case):
    distribution, support = distribution_of(LIKELIHOODS[name](), **REFERENCES[name][case][0]), SUPPORTS[name]
    if LIKELIHOODS[name].density:
        total = sum(
            integrate.quad(lambda cell: math.exp(log_prob(distribution, cell)), *piece, limit=200)[0]
            for piece in ((support[0], float(distribution.mean)), (float(distribution.mean), support[1]))
        )
    else:
        codes = torch.tensor(support, dtype=torch.float64).unsqueeze(-1)
        total = float(distribution.log_prob(codes).exp().sum())
        if name == "categorical":  # the tail behind the last code: the sum of u / (i (i + 1)) from I + 1 on
            steps = len(support) - int(distribution.n_levels)
            total += float(distribution.unseen) / (steps + 1)
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("df", [1.5, 4.0, 30.0])
def test_student_t_equals_the_reference_for_other_tails(df):
    distribution = distribution_of(StudentT(df=df), [0.7], math.log(0.05))
    for cell in (0.7, -3.0, 1e4):
        assert log_prob(distribution, cell) == pytest.approx(stats.t.logpdf(cell, df, 0.7, 0.05), abs=1e-9)


@pytest.mark.parametrize("logit", [-40.0, -20.0, -0.01, 0.003, 0.05, 4.0, 12.0, 20.0, 40.0])
def test_continuous_bernoulli_is_a_density_in_single_precision(logit):
    distribution = distribution_of(ContinuousBernoulli(), [logit], dtype=torch.float32)
    cells = torch.linspace(0, 1, 20_001).unsqueeze(-1)
    density = distribution.log_prob(cells).double().exp().flatten().numpy()
    assert integrate.simpson(density, dx=1 / 20_000) == pytest.approx(1, abs=2e-3)


def test_bernoulli_of_grey_values_is_the_binary_cross_entropy():
    white, grey = 0.8, 0.25
    expected = grey * math.log(white) + (1 - grey) * math.log(1 - white)
    assert log_prob(distribution_of(Bernoulli(), [math.log(4)]), grey) == pytest.approx(expected)


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_unit_gaussian_is_half_the_squared_error_and_a_constant(mean, cell):
    expected = -0.5 * (cell - mean) ** 2 - 0.5 * math.log(2 * math.pi)
    assert log_prob(distribution_of(UnitGaussian(), [mean]), cell) == pytest.approx(expected)


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT()])
@given(log_noise=st.floats(-100, 5), floor=st.floats(1e-3, 3))
def test_learned_noise_never_falls_below_the_floor(likelihood, log_noise, floor):
    distribution = distribution_of(likelihood, [0.0], log_noise, floor, dtype=torch.float32)
    assert float(distribution.scale) >= floor * (1 - 1e-6)
    assert float(distribution.scale) == pytest.approx(math.hypot(math.exp(log_noise), floor), rel=1e-5)


def test_noise_is_learned_for_each_column_or_once():
    assert [Gaussian().noise_size(7), Gaussian(noise="shared").noise_size(7), StudentT().noise_size(7)] == [7, 1, 7]
    constants = ColumnConstants(torch.zeros(2), torch.zeros(2), torch.zeros(2))
    shared = Gaussian(noise="shared").distribution(torch.zeros(2, 1), torch.tensor([math.log(3)]), constants)
    own = Gaussian().distribution(torch.zeros(2, 1), torch.tensor([0.0, math.log(3)]), constants)
    assert shared.stddev.expand(2).tolist() == pytest.approx([3, 3])
    assert own.stddev.tolist() == pytest.approx([1, 3])


@pytest.mark.parametrize("smoothing", [1e-3, 0.1])
@pytest.mark.parametrize("unseen", [0.0, 0.2])
def test_smoothing_bounds_the_surprise_of_a_seen_level(smoothing, unseen):
    known = {"outputs": [1e4, 0.0, 0.0], "n_levels": 3, "unseen": unseen}
    surprise = -log_prob(distribution_of(Categorical(smoothing=smoothing), **known), 1.0)
    assert surprise == pytest.approx(math.log(3 / smoothing) - math.log1p(-unseen))


@given(st.integers(1, 6), st.integers(1, 1000))
def test_unseen_levels_surprise_more_than_seen_ones_and_more_with_distance(n_levels, n_rows):
    # Where the network says nothing the levels are equally probable.
    distribution = distribution_of(Categorical(), [0.0] * n_levels, n_levels=n_levels, unseen=1 / (n_levels + n_rows))
    codes = torch.arange(float(n_levels + 30), dtype=torch.float64).unsqueeze(-1)
    surprise = -distribution.log_prob(codes).flatten()
    assert torch.isfinite(surprise).all()
    assert (surprise[n_levels:] > surprise[:n_levels].max()).all()
    assert (surprise[n_levels:].diff() > 0).all()


def padded_levels(smoothing):
    """Two columns with 3 and 2 levels in room for 4."""
    logits = torch.tensor([[0.1, 0.2, 0.3, -INF], [1.0, -1.0, -INF, -INF]], requires_grad=True)
    distribution = OpenCategorical(logits, torch.tensor([3.0, 2.0]), torch.tensor([0.1, 0.2]), smoothing)
    return logits, distribution


@pytest.mark.parametrize("smoothing", [0.0, 1e-3])
def test_room_without_a_level_has_probability_0_and_no_nan_gradient(smoothing):
    logits, distribution = padded_levels(smoothing)
    assert distribution.probs[0, 3] == 0
    assert distribution.probs[1, 2:].tolist() == [0, 0]
    torch.testing.assert_close(distribution.probs.sum(-1), torch.ones(2))
    cells = torch.tensor([[0.0, 0.0], [2.0, 1.0], [3.0, 9.0]])
    (distribution.log_prob(cells).sum() + (distribution.probs**2).sum()).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 3] == 0
    assert logits.grad[0, 0] != 0


def test_code_behind_the_levels_is_unseen_even_where_there_is_room():
    _, distribution = padded_levels(1e-3)
    surprises = distribution.log_prob(torch.tensor([3.0, 2.0]))
    assert surprises.tolist() == pytest.approx([math.log(0.1 / 2), math.log(0.2 / 2)])


def test_probabilities_of_levels_are_those_of_the_cells():
    _, distribution = padded_levels(0.05)
    for code in (0.0, 1.0):
        of_cell = distribution.log_prob(torch.tensor([code, code])).exp() / torch.tensor([0.9, 0.8])
        torch.testing.assert_close(of_cell, distribution.probs[:, int(code)])


@pytest.mark.parametrize("log_rate", [-1e4, -200.0, -80.0, 50.0, 1e4])
@pytest.mark.parametrize("count", [0.0, 1.0])
def test_poisson_is_finite_and_trainable_whatever_the_rate(log_rate, count):
    outputs = torch.tensor([log_rate], requires_grad=True)
    nats = distribution_of(Poisson(), outputs, dtype=torch.float32).log_prob(torch.tensor([count]))
    nats.sum().backward()
    assert torch.isfinite(nats).all()
    assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize("count", [1e2, 1e4, 1e6])
def test_poisson_of_large_counts_keeps_its_digits_in_single_precision(count):
    distribution = distribution_of(Poisson(), [math.log(count)], dtype=torch.float32)
    nats = float(distribution.log_prob(torch.tensor([count])))
    assert nats == pytest.approx(stats.poisson.logpmf(count, count), abs=0.01)


N_DRAWS = 20_000


def draws(name, known, seed=0):
    """Many cells of the distribution, and the distribution of one."""
    many = distribution_of(LIKELIHOODS[name](), **known, n_rows=N_DRAWS)
    cells = LIKELIHOODS[name]().draw(many, torch.Generator().manual_seed(seed)).flatten()
    return distribution_of(LIKELIHOODS[name](), **known), cells


@CASE
def test_draws_have_the_stated_distribution(name, case):
    distribution, cells = draws(name, REFERENCES[name][case][0])
    assert LIKELIHOODS[name]().supports(cells).all()
    if LIKELIHOODS[name].density:
        for low, high in ((0.05, 0.5), (0.25, 0.75), (0.5, 0.95)):
            cuts = np.quantile(cells.numpy(), [low, high])
            mass = integrate.quad(lambda cell: math.exp(log_prob(distribution, cell)), *cuts)[0]
            assert mass == pytest.approx(high - low, abs=0.02)
    else:
        # Draws are of seen levels only.
        seen = 1 - float(getattr(distribution, "unseen", 0.0))
        codes = [code for code in SUPPORTS[name][:4] if code < getattr(distribution, "n_levels", INF)]
        for code in codes:
            share = float((cells == code).double().mean())
            assert share == pytest.approx(math.exp(log_prob(distribution, code)) / seen, abs=0.02)
        if name != "poisson":
            assert set(cells.tolist()) <= set(codes)


@EVERY
def test_draws_repeat_with_the_generator_and_leave_global_state_alone(name):
    known = REFERENCES[name][0][0]
    before = torch.get_rng_state()
    first, again, other = (draws(name, known, seed)[1] for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@EVERY
def test_summary_averages_to_the_cell_that_is_expected(name):
    likelihood = LIKELIHOODS[name]()
    for known, _, _ in REFERENCES[name]:
        distribution, cells = draws(name, known)
        point = float(likelihood.point(likelihood.summary(distribution).mean(0, keepdim=True)))
        if name == "categorical":  # the most probable level
            assert (cells == point).double().mean() >= (cells == cells.mode().values).double().mean() - 0.02
        else:
            margin = 6 * float(cells.std()) / math.sqrt(N_DRAWS)
            assert point == pytest.approx(float(cells.mean()), abs=margin + 1e-9)


@EVERY
@pytest.mark.parametrize("width", [2, 4])
def test_shapes_are_those_that_the_specification_promises(name, width):
    likelihood = LIKELIHOODS[name]()
    columns, leading = 3, (2, 4, 5)
    levels = torch.full((columns,), float(width))
    constants = ColumnConstants(torch.full((columns,), 0.05), levels, torch.full((columns,), 0.1))
    outputs = torch.zeros(*leading, columns, likelihood.n_parameters(width))
    log_noise = torch.zeros(2, 1, 1, likelihood.noise_size(columns))
    distribution = likelihood.distribution(outputs, log_noise, constants)
    cells = likelihood.draw(distribution, torch.Generator().manual_seed(0))
    assert cells.shape == (*leading, columns)
    assert distribution.log_prob(cells).shape == (*leading, columns)
    # Rows without the axes of members and draws are broadcast.
    assert distribution.log_prob(cells[0, 0]).shape == (*leading, columns)
    assert likelihood.features(cells, width).shape == (*leading, columns, likelihood.n_features(width))
    assert likelihood.point(likelihood.summary(distribution)).shape == (*leading, columns)


@pytest.mark.parametrize(
    ("likelihood", "mean"), [(UnitGaussian(), -3.0), (Bernoulli(), 0.2), (Poisson(), 7.5), (Gaussian(), 0.0)]
)
def test_decoder_starts_at_the_mean(likelihood, mean):
    distribution = distribution_of(likelihood, list(likelihood.start(mean)))
    assert float(distribution.mean) == pytest.approx(mean)


def test_flag_that_never_changes_starts_at_a_finite_surprise():
    distribution = distribution_of(Bernoulli(), list(Bernoulli().start(0.0)))
    assert -log_prob(distribution, 1.0) == pytest.approx(math.log(1000), abs=1e-6)


@EVERY
def test_specification_is_a_frozen_value(name):
    kind = LIKELIHOODS[name]
    assert dataclasses.is_dataclass(kind)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    assert kind.__dataclass_params__.frozen


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT()])
@given(cell=st.floats(-10, 10, width=32))
def test_features_are_the_cell_itself_within_ten_deviations(likelihood, cell):
    assert likelihood.features(torch.tensor([cell]), 0).item() == pytest.approx(cell, abs=1e-6)


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT()])
@given(cells=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20))
def test_features_are_bounded_odd_and_rise_with_the_cell(likelihood, cells):
    cells = torch.tensor(sorted(cells))
    features = likelihood.features(cells, 0).squeeze(-1)
    assert features.abs().max() <= 10 + math.log(1e6)
    assert (features.diff() >= 0).all()
    torch.testing.assert_close(likelihood.features(-cells, 0).squeeze(-1), -features)


def test_feature_of_a_far_cell_by_hand():
    cells = torch.tensor([10 + math.e - 1, -1e6])
    expected = [11.0, -(10 + math.log(1e6 - 9))]
    assert Gaussian().features(cells, 0).flatten().tolist() == pytest.approx(expected)


def test_features_of_levels_are_one_hot_and_those_of_counts_logarithmic():
    features = Categorical().features(torch.tensor([[0.0, 2.0, 7.0]]), 4)
    assert features.tolist() == [[[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]]
    features = Poisson().features(torch.tensor([0.0, math.e - 1, 1e6]), 0).flatten()
    assert features.tolist() == pytest.approx([0, 1, math.log(1e6 + 1)])


SUPPORTED = [
    *((flag, [0, 0.5, 1], [-0.01, 1.01, INF]) for flag in (Bernoulli(), ContinuousBernoulli())),
    (Poisson(), [0, 1, 1e6], [-1, 0.5, INF]),
    (UnitGaussian(), [-1e9, 0], [INF, -INF]),
]


@pytest.mark.parametrize(("likelihood", "inside", "outside"), SUPPORTED)
def test_support_is_told_cell_by_cell(likelihood, inside, outside):
    assert likelihood.supports(torch.tensor(inside)).all()
    assert not likelihood.supports(torch.tensor(outside)).any()


IMPOSSIBLE = [
    *((Gaussian, {"noise": "row"}), (Gaussian, {"floor": -0.1}), (Gaussian, {"floor": math.nan})),
    *((StudentT, {"df": 1.0}), (StudentT, {"floor": -1})),
    *((Categorical, {"smoothing": 1.0}), (Categorical, {"smoothing": -0.1})),
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
