"""Encoder, posterior, decoder and terms of the ELBO as nodes of a graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from vae_anomaly.caching import cached_property
from vae_anomaly.errors import SpecificationError
from vae_anomaly.export.expressions import DOUBLE, FLOAT, Array, Graph, Value, as_array
from vae_anomaly.export.fingerprints import fingerprints_graph
from vae_anomaly.export.likelihood_table import graph_of
from vae_anomaly.export.noise_graphs import CellGraph
from vae_anomaly.export.prior_graphs import kl_graph
from vae_anomaly.model import ACTIVATIONS, MAX_LOG_VARIANCE, NOISE_GAIN, VAE, MLPBody

ACTIVATION_GRAPHS: dict[str, Callable[[Value], Value]] = {
    "silu": lambda x: x * x.unary("Sigmoid"),
    "relu": lambda x: x.unary("Relu"),
    "tanh": lambda x: x.unary("Tanh"),
    "gelu": lambda x: x * 0.5 * ((x * math.sqrt(0.5)).unary("Erf") + 1.0),
    "softplus": lambda x: x.unary("Softplus"),
    "identity": lambda x: x,
}

NAMES = {function: name for name, function in ACTIVATIONS.items()}


class TermsGraph:
    """Terms of the ELBO, and of the independence model, as nodes that are made when they are asked for.

    Parameters
    ----------
    vae : VAE
        On the CPU.
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise.
    values, observed : Value of shape (rows, columns)
        Cells in model units, float32, and which of them are observed.
    copied : Value of shape (rows, columns)
        The cells that rows are compared with training rows by.
    """

    def __init__(self, vae: VAE, noise: Tensor, values: Value, observed: Value, copied: Value) -> None:
        self.graph: Graph = values.graph
        self.vae, self.noise, self.observed = vae, noise, observed
        self.values, self._copied = values, copied
        self._cells = self.graph.split(values, [group.n_columns for group in vae.groups], 1)
        self._likelihoods = [
            graph_of(
                group.likelihood,
                group.width,
                {name: as_array(constant) for name, constant in vae.constants(group).items()},
            )
            for group in vae.groups
        ]

    @cached_property
    def log_likelihood(self) -> Value:
        """log p(x | z) in the units of the data, the mean over members and draws: (rows,), float64, nats."""
        log_noise = NOISE_GAIN * as_array(self.vae.raw_noise)[:, None, None, :]
        parts = self._decoded
        distributions = [
            likelihood.distribution(own, log_noise[..., group.noise])
            for group, likelihood, own in zip(self.vae.groups, self._likelihoods, parts, strict=True)
        ]
        drawn = [place for place, each in enumerate(distributions) if each.of_latents]
        fixed = [place for place, each in enumerate(distributions) if not each.of_latents]
        n_draws = float(self.noise.shape[0] * self.noise.shape[1])
        of_rows = []
        if drawn:
            of_rows.append(self._by_cell(distributions, drawn).sum(-1).sum(0, 1) / n_draws)
        if fixed:
            of_rows.append(self._by_cell(distributions, fixed).sum(-1))
        return of_rows[0] if len(of_rows) == 1 else of_rows[0] + of_rows[1]

    @cached_property
    def kl(self) -> Value:
        """KL(q(z | x) || p(z)), the mean over members: (rows,), float64, nats."""
        of_members = kl_graph(self.vae.prior, *self.posterior, self.fingerprints).to(DOUBLE)
        return of_members.sum(0) / float(self.vae.n_members)

    @cached_property
    def marginal(self) -> Value:
        """log p(x) of the independence model: (rows,), float64, nats."""
        return self.marginal_cells.sum(-1)

    @cached_property
    def marginal_cells(self) -> Value:
        """log p(x_j) of the independence model, 0 where the cell is missing: (rows, columns), float64, nats."""
        start = as_array(self.vae.start)
        distributions = []
        for group, likelihood in zip(self.vae.groups, self._likelihoods, strict=True):
            # (parameters, columns)
            outputs = start[group.parameters].reshape(-1, group.n_columns)
            parts, begin = [], 0
            for size in likelihood.parts:
                part = outputs[begin : begin + max(size, 1)].T
                parts.append(self.graph.constant(part if size else part[:, 0]))
                begin += max(size, 1)
            distributions.append(likelihood.marginal(parts))
        return self._by_cell(distributions, range(len(distributions)))

    @cached_property
    def posterior(self) -> tuple[Value, Value]:
        """Means and log-variances of the latents: (members, rows, latents)."""
        vae = self.vae
        features = [
            likelihood.features(cells) for likelihood, cells in zip(self._likelihoods, self._cells, strict=True)
        ]
        visible = self.observed.to(FLOAT)
        owners = as_array(vae.feature_columns).tolist()
        seen = self.graph.concat([part for part in features if part is not None], 1)
        inputs = seen * visible.columns(owners, vae.n_columns)
        if vae.mask_input:
            inputs = self.graph.concat([inputs, visible.columns(range(vae.n_varying), vae.n_columns)], 1)
        outputs = mlp_graph(vae.encoder, inputs)
        mean, log_variance = self.graph.split(outputs, [vae.latent_dim] * 2, -1)
        return mean, log_variance.at_least(vae.min_log_variance).at_most(MAX_LOG_VARIANCE)

    @cached_property
    def fingerprints(self) -> Value:
        """Equal for equal rows: (rows, 1), int64."""
        return fingerprints_graph(self._copied, self.observed, self.vae.n_columns)

    @cached_property
    def missing(self) -> Value:
        """1 where a cell is missing: (rows, columns), float64."""
        return (~self.observed).to(DOUBLE)

    @property
    def _decoded(self) -> list[list[Value]]:
        """Outputs of the decoder for each group of columns, in the parts that its likelihood asks for."""
        mean, log_variance = self.posterior
        z = mean.with_axis(1) + (log_variance * 0.5).exp().with_axis(1) * as_array(self.noise)
        order: list[int] = []
        sizes: list[int] = []
        for group, likelihood in zip(self.vae.groups, self._likelihoods, strict=True):
            numbers = np.arange(group.parameters.start, group.parameters.stop).reshape(-1, group.n_columns)
            begin = 0
            for size in likelihood.parts:
                # The numbers of a column side by side, where sums over levels are quick.
                part = numbers[begin : begin + max(size, 1)].T
                order += part.reshape(-1).tolist()
                sizes.append(part.size)
                begin += max(size, 1)
        if not sizes:
            return [[] for _ in self.vae.groups]
        outputs = iter(self.graph.split(mlp_graph(self.vae.decoder, z, order, draws=True), sizes, -1))
        return [
            [
                next(outputs).reshaped((0, 0, 0, group.n_columns, size)) if size else next(outputs)
                for size in likelihood.parts
            ]
            for group, likelihood in zip(self.vae.groups, self._likelihoods, strict=True)
        ]

    def _by_cell(self, distributions: Sequence[CellGraph], places: Sequence[int]) -> Value:
        """Log-probabilities of some groups of columns in the units of the data, 0 where a cell is missing; float64."""
        groups = [self.vae.groups[place] for place in places]
        columns = [column for group in groups for column in range(group.columns.start, group.columns.stop)]
        terms = self.graph.concat([distributions[place].log_prob(self._cells[place]) for place in places], -1)
        n_columns = self.vae.n_columns
        in_units = terms + self._log_jacobian.columns(columns, n_columns)
        return self.observed.columns(columns, n_columns).where(in_units, 0.0).to(DOUBLE)

    @cached_property
    def _log_jacobian(self) -> Value:
        """What turns log-likelihoods of cells into those in the units of the data: `VAE.in_data_units`."""
        fixed = self.graph.constant(as_array(self.vae.log_jacobian)).with_axis(0)
        return self.graph.constant(as_array(self.vae.rounded)).where(fixed, self.log_slope)

    @cached_property
    def log_slope(self) -> Value:
        """log of d(model units) / d(data units) at the cells: `VAE.log_slope`."""
        slope_at_0 = self.graph.constant(as_array(self.vae.slope_at_0)).with_axis(0)
        curved = as_array(self.vae.asinh_scale) > 0
        if not curved.any():
            return slope_at_0
        # log cosh of the cell on the asinh scale, without overflow; 0 elsewhere.
        scale, location = (
            np.where(curved, as_array(part), np.float32(0)) for part in (self.vae.scale, self.vae.location)
        )
        size = (self.values * scale + location).abs()
        return slope_at_0 - (size + ((size * -2.0).exp() + 1.0).log() - math.log(2))


def mlp_graph(body: object, inputs: Value, order: Sequence[int] | None = None, *, draws: bool = False) -> Value:
    """Fully connected layers of all members.

    Parameters
    ----------
    body : MLPBody
    inputs : Value of shape (rows, inputs), or (members, draws, rows, inputs)
    order : sequence of int, optional
        Which outputs, in which order; all by default.
    draws : bool, default=False
        Whether there is an axis of draws.

    Raises
    ------
    SpecificationError
        If it is another body.
    """
    if not isinstance(body, MLPBody):
        raise SpecificationError(
            f"{type(body).__name__} has no ONNX graph; expected fully connected layers, backbone='mlp'. Fit with that, "
            "or score with the model file."
        )

    def weights(tensor: Tensor, *, last: bool) -> Array:
        array = as_array(tensor)
        array = array[..., list(order)] if last and order is not None else array
        return array[:, None] if draws else array

    hidden = inputs
    layers = list(body.layers)
    layer: Any
    activation: Any
    for layer, activation in zip(layers[:-1:2], layers[1::2], strict=True):
        hidden = hidden.matmul(weights(layer.weight, last=False)) + weights(layer.bias, last=False)
        hidden = ACTIVATION_GRAPHS[NAMES[type(activation.function)]](hidden)
    outputs = hidden.matmul(weights(body.head.weight, last=True)) + weights(body.offset, last=True)
    return outputs if body.skip is None else outputs + inputs.matmul(weights(body.skip.weight, last=True))
