"""From cells to model units and back: round trips of every scale, Jacobians, densities in the units of the data."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from vae_anomaly.columns import Column, TableEncoder, infer_columns
from vae_anomaly.columns.batch import Batch
from vae_anomaly.columns.dates import PERIODS
from vae_anomaly.data.table import Table
from vae_anomaly.likelihoods import Categorical, Gaussian, RoundedStudentT, StudentT
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import elbo_terms
from vae_anomaly.model.vae import VAE

NORMAL = stats.norm.ppf((np.arange(300) + 0.5) / 300)
SKEWED = np.exp(2 * NORMAL)
THIRD = np.arange(300) % 3 == 0
SCALES = {
    "straight": NORMAL * 3 + 7,
    "lattice": np.round(NORMAL * 2) / 4 + 0.1,
    "whole": np.round(NORMAL * 10),
    "asinh": SKEWED,
    "asinh lattice": np.round(SKEWED * 20) / 20,
    "count": np.round(SKEWED * 3),
    "large count": np.round(SKEWED * 1e6),
    "bounded": np.minimum(1, stats.beta.ppf((np.arange(300) + 0.5) / 300, 3, 1) * 1.02),
    "bounded with a spike": np.minimum(100, stats.beta.ppf((np.arange(300) + 0.5) / 300, 3, 1) * 103),
    "spike": np.where(THIRD, 0.0, NORMAL),
    "spike in a lattice": np.where(THIRD, 40.0, np.round(NORMAL * 10 + 40)),
    "levels": np.round(NORMAL),
}


def vae_of(columns):
    """Untrained, with one member whose output does not depend on the latent variables."""
    vae = VAE(
        TableEncoder(columns).modelled,
        latent_dim=1,
        n_members=1,
        backbone=MLP(),
        hidden_layer_sizes=(),
        activation="silu",
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
    ).requires_grad_(False)
    vae.decoder.head.weight.data.zero_()
    return vae


def column_of(cells, **options):
    return infer_columns(Table(("c",), np.asarray(cells, dtype=np.float64)[:, None]), **options)


def log_densities(columns, cells, vae=None):
    """log p of each row's cells and parts in data units, under the marginals."""
    encoder = TableEncoder(columns)
    table = cells if isinstance(cells, Table) else Table(("c",), np.asarray(cells, dtype=np.float64)[:, None])
    batch = encoder.encode(table)
    terms = elbo_terms(vae_of(columns) if vae is None else vae, batch, torch.zeros(1, 1, 1, 1))
    return terms.log_likelihood[0, 0].double().numpy()


@pytest.mark.parametrize("scale", SCALES)
def test_numbers_survive_encoding_and_decoding_in_single_precision(scale):
    cells = SCALES[scale]
    columns = column_of(cells)
    encoder = TableEncoder(columns)
    (decoded,) = encoder.decode(encoder.encode(Table(("c",), cells[:, None])).values.double().numpy())
    if columns[0].likelihood.rounded or columns[0].levels:
        np.testing.assert_allclose(decoded, cells, rtol=1e-12, atol=1e-12 * np.abs(cells).max())
    else:
        np.testing.assert_allclose(decoded, cells, rtol=3e-6, atol=1e-6 * cells.std())


@pytest.mark.parametrize("scale", [scale for scale in SCALES if scale != "levels"])
def test_noise_decodes_to_what_the_column_can_hold(scale):
    (column,) = column_of(SCALES[scale])
    decoded = column.decode(np.linspace(-50, 50, 1001))
    assert np.isfinite(decoded).all()
    if column.step:
        steps = (decoded - column.origin) / column.step
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    if column.low is not None:
        assert decoded.min() >= column.low
    if column.high is not None:
        assert decoded.max() <= column.high


def test_codes_of_ordered_levels_dates_and_parts_survive():
    dates = pd.Series(pd.date_range("2020-01-01T03:00", periods=3000, freq="7h"))
    sizes = pd.Categorical(["s", "l", "m"] * 1000, ["s", "m", "l"], ordered=True)
    table = Table(("when", "size"), pd.DataFrame({"when": dates, "size": sizes}))
    encoder = TableEncoder(infer_columns(table, declared={"when": "datetime+trend"}))
    values = encoder.encode(table).values.double().numpy()
    when, size = encoder.decode(values)
    assert size.tolist() == list(sizes)
    assert np.abs(pd.Series(when) - dates).max() < pd.Timedelta("10min")
    parts = {encoder.modelled[index].kind: values[:, index] for index in encoder.model_indices_of(0)}
    assert set(parts) == {"datetime", "hour", "weekday", "day of month"}
    np.testing.assert_array_equal(parts["hour"], dates.dt.hour)
    np.testing.assert_array_equal(parts["weekday"], dates.dt.day_of_week)
    np.testing.assert_array_equal(parts["day of month"], dates.dt.day - 1)


def test_months_of_dates_before_and_after_1970_are_those_of_the_calendar():
    dates = pd.Series(pd.date_range("1960-01-31", periods=300, freq="ME"))
    table = Table(("c",), pd.DataFrame({"c": dates}))
    (column,) = infer_columns(table)
    (month,) = (part for part in column.parts if part.kind == "month")
    np.testing.assert_array_equal(month.encode(table, 0), dates.dt.month - 1)
    assert month.levels[0] == "January"


def test_hours_are_right_to_the_last_microsecond():
    dates = pd.Series(
        pd.to_datetime(["2020-05-05T00:00:00", "2020-05-05T13:00:00", "2020-05-05T12:59:59.9999"], format="ISO8601")
    )
    part = Column("c hour", "hour", Categorical(), "", levels=PERIODS["hour"])
    assert part.encode(Table(("c",), pd.DataFrame({"c": dates})), 0).tolist() == [0, 13, 12]


def test_part_of_a_date_is_a_density_over_its_period():
    # Uniform hours say nothing: log(24) for the level's share of a day, and minus log(24) for its probability.
    part = Column("c hour", "hour", Categorical(), "", levels=("x",) * 24)
    assert part.log_jacobian == pytest.approx(math.log(24))


@pytest.mark.parametrize("scale", ["straight", "asinh", "bounded"])
def test_density_in_data_units_integrates_to_1(scale):
    columns = column_of(SCALES[scale])
    vae = vae_of(columns)

    def density(cell):
        return math.exp(log_densities(columns, [cell], vae)[0, 0])

    ends = {
        "straight": (-300.0, 7.0, 300.0),
        "asinh": (-1e5, -200.0, -1.0, 0.0, 0.01, 0.1, 1.0, 5.0, 2000.0, 1e6),
        "bounded": (0.0, 0.5, 1.0),
    }[scale]
    total = sum(integrate.quad(density, low, high, limit=60, epsabs=1e-4)[0] for low, high in itertools.pairwise(ends))
    # Bounded columns keep 1 / (n + 1) for cells beyond their bounds; tails are cut.
    assert total == pytest.approx(1 - columns[0].unseen if scale == "bounded" else 1, abs=2e-3)


@pytest.mark.parametrize("scale", ["whole", "lattice", "count", "asinh lattice", "spike in a lattice"])
def test_probabilities_of_steps_sum_to_1_and_are_densities_over_a_step(scale):
    columns = column_of(SCALES[scale])
    column = columns[0]
    lattice = column.origin + column.step * np.arange(-3000, 30_000)
    lattice = lattice[lattice >= (-math.inf if column.low is None else column.low - 1e-9)]
    total = np.exp(log_densities(columns, lattice)).sum() * column.step
    assert total == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("scale", ["straight", "asinh", "lattice", "asinh lattice", "spike"])
@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e60])
def test_another_unit_shifts_the_log_likelihood_by_the_log_of_the_factor(scale, factor):
    cells = SCALES[scale]
    if scale.endswith("lattice") and factor != 1e60:
        factor *= math.pi / 3  # whole numbers would have a step of their own
    before, after = (log_densities(column_of(numbers), numbers) for numbers in (cells, cells * factor))
    np.testing.assert_allclose(after, before - math.log(factor), atol=2e-3)


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT()])
def test_log_density_of_a_straight_column_is_that_of_scipy(likelihood):
    columns = column_of(NORMAL * 3 + 7, likelihood=likelihood)
    cells = np.array([7.0, 0.0, 20.0])
    scale = NORMAL.std() * 3 * math.hypot(1, columns[0].floor)
    expected = (stats.norm(7, scale) if likelihood == Gaussian() else stats.t(4, 7, scale)).logpdf(cells)
    np.testing.assert_allclose(log_densities(columns, cells)[:, 0], expected, atol=1e-5)


def test_log_density_of_a_column_on_an_asinh_scale_is_that_of_scipy_with_the_jacobian():
    (column,) = columns = column_of(SKEWED)
    cells = np.array([0.0, 0.01, 1.0, 30.0, 1e4])
    units = (np.arcsinh(cells / column.asinh_scale) - column.location) / column.scale
    jacobian = -0.5 * np.log1p((cells / column.asinh_scale) ** 2) - math.log(column.asinh_scale * column.scale)
    expected = stats.t.logpdf(units, 4, 0, math.hypot(1, column.floor)) + jacobian
    np.testing.assert_allclose(log_densities(columns, cells)[:, 0], expected, atol=1e-4)


def test_slope_of_the_scale_is_also_known_where_cells_are_rounded():
    columns = (*column_of(SCALES["count"]), *column_of(SCALES["whole"]))
    vae = vae_of(columns)
    slopes = vae.log_slope(torch.zeros(1, 2)).flatten().tolist()
    for modelled, slope in zip(TableEncoder(columns).modelled, slopes, strict=True):
        nearby = modelled.decode(np.zeros(1))[0] if not modelled.asinh_scale else None
        angle = modelled.location
        expected = -math.log(modelled.scale)
        if modelled.asinh_scale:
            expected -= math.log(modelled.asinh_scale) + math.log(math.cosh(angle))
        assert nearby is None or math.isfinite(nearby)
        assert slope == pytest.approx(expected, abs=1e-5)
    assert all(column.likelihood == RoundedStudentT() for column in columns)


@pytest.mark.parametrize("factor", [1e-300, 1e-50, 1e50, 1e290])
@pytest.mark.parametrize("scale", [scale for scale in SCALES if not scale.startswith(("bounded", "levels"))])
def test_numbers_of_any_magnitude_have_finite_likelihoods(scale, factor):
    cells = SCALES[scale] * 1.1 * factor
    columns = column_of(cells)
    assert np.isfinite(log_densities(columns, cells)).all()
    extremes = log_densities(columns, [1e300, -1e300, 0.0, 1e-300])
    assert np.isfinite(extremes).all()


def mixed_table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.permutation(cells) for name, cells in SCALES.items()})
    frame["when"] = pd.date_range("2020", periods=300, freq="47h")
    frame["size"] = pd.Categorical(["s", "l", "m"] * 100, ["s", "m", "l"], ordered=True)
    frame["flag"] = [True, False] * 150
    frame["text"] = ["u", "v", "w"] * 100
    for index in range(frame.shape[1]):
        frame.isetitem(index, frame.iloc[:, index].mask(rng.random(300) < 0.1))
    return Table(tuple(frame.columns), frame)


TABLE = mixed_table()
ENCODERS = {missing: TableEncoder(infer_columns(TABLE, model_missing=missing)) for missing in (False, True)}
VAES = {missing: vae_of(encoder.columns) for missing, encoder in ENCODERS.items()}


@pytest.mark.parametrize("model_missing", [False, True])
@given(column=st.integers(0, len(TABLE.names) - 1), row=st.integers(0, 20), value=st.floats(-1e6, 1e6, width=32))
def test_value_under_a_missing_cell_has_no_influence(model_missing, column, row, value):
    encoder, vae = ENCODERS[model_missing], VAES[model_missing]
    batch = encoder.encode(TABLE.take(slice(0, 21)))
    indices = [index for index in encoder.model_indices_of(column) if encoder.modelled[index].kind != "missing"]
    observed, values = batch.observed.clone(), batch.values.clone()
    observed[row, indices] = False
    values[row, indices] = value
    noise = torch.full((1, 1, 1, 1), 0.3)
    found = elbo_terms(vae, Batch(values, observed), noise)
    expected = elbo_terms(vae, Batch(batch.values * observed, observed), noise)
    assert torch.equal(found.log_likelihood, expected.log_likelihood)
    assert torch.equal(found.kl, expected.kl)
    assert (found.log_likelihood[..., row, indices] == 0).all()


def test_whether_a_cell_is_missing_has_an_influence_only_where_that_is_modelled():
    for model_missing, encoder in ENCODERS.items():
        batch = encoder.encode(TABLE.take(slice(0, 50)))
        parts = [index for index, column in enumerate(encoder.modelled) if column.kind == "missing"]
        assert len(parts) == (len(TABLE.names) if model_missing else 0)
        assert batch.observed[:, parts].all()
        if model_missing:
            codes = {encoder.order[index]: batch.values[:, index].numpy() for index in parts}
            for position, code in codes.items():
                np.testing.assert_array_equal(code, TABLE.missing(position)[:50])
            terms = elbo_terms(VAES[True], batch, torch.zeros(1, 1, 1, 1))
            nats = terms.log_likelihood[0, 0][:, parts[0]]
            n_missing = int(TABLE.missing(encoder.order[parts[0]]).sum())
            share = 0.999 * np.array([301 - n_missing, n_missing + 1]) / 302 + 0.0005
            torch.testing.assert_close(
                nats, torch.from_numpy(np.log(share)).float()[batch.values[:, parts[0]].long()], atol=1e-5, rtol=0
            )


def test_empty_column_set_aside_has_no_missing_part():
    frame = pd.DataFrame({"x": np.roll(NORMAL, 150), "none": np.full(300, np.nan)})
    with pytest.warns(match="'none' is set aside"):
        columns = infer_columns(Table(("x", "none"), frame), model_missing=True)
    assert [[part.kind for part in column.parts] for column in columns] == [["missing"], []]
