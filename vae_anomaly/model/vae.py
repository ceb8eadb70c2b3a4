"""The one module with weights: encoders and decoders of all members, member axis first."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_anomaly.columns import Batch, Column
from vae_anomaly.likelihoods import FAR, ColumnConstants, Ordinal, SpikedStudentT
from vae_anomaly.model.backbones import Backbone
from vae_anomaly.model.column_groups import Group, group_columns
from vae_anomaly.model.priors import FittedPrior, FittedStandardNormal, Posterior

# The logarithm of the noise is stored at a fifth of its value: with Adam's steps of equal size it then moves five times
# as fast as a weight, and does not lag behind the falling error.
NOISE_GAIN = 5.0
MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -6.0, 6.0


class VAE(nn.Module):
    """An ensemble of variational autoencoders that are trained and scored at once.

    Parameters
    ----------
    columns : sequence of Column
        Modelled columns, in the model's order: those that were constant in training stand last.
    latent_dim : int
        Latent variables a member.
    n_members : int
        Members of the ensemble.
    backbone : Backbone
        Bodies of encoder and decoder.
    hidden_layer_sizes : sequence of int
        Of the encoder; the decoder has them in reverse.
    activation : str
        Between layers.
    mask_input : bool
        Whether the encoder also sees which cells are visible.
    grid : (int, int), optional
        Height and width where rows are images.
    generator : torch.Generator
        Source of the initial weights.

    Attributes
    ----------
    prior : FittedPrior
        N(0, I) until a prior fitted to the training rows takes its place.
    min_log_variance : float
        Where the posteriors' log-variances stop, so that the KL to the exemplars of a wide table stays in proportion.
    reference_statistics : Tensor of shape (training rows, statistics)
        What a score that compares a row with training rows compares it with; else empty.
    """

    feature_columns: Tensor
    floor: Tensor
    n_levels: Tensor
    unseen: Tensor
    location: Tensor
    scale: Tensor
    asinh_scale: Tensor
    step: Tensor
    straight_slope: Tensor
    low: Tensor
    high: Tensor
    cuts: Tensor
    spikes: Tensor
    log_jacobian: Tensor
    rounded: Tensor
    bent: Tensor
    start: Tensor
    reference_statistics: Tensor

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        latent_dim: int,
        n_members: int,
        backbone: Backbone,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        mask_input: bool,
        generator: torch.Generator,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.groups = group_columns(columns)
        if any(group.columns.start > self.n_varying and not group.is_constant for group in self.groups):
            raise ValueError("columns that were constant in training stand behind all others")
        self.latent_dim = latent_dim
        self.n_members = n_members
        self.mask_input = mask_input
        self.grid = grid
        self.of_pixels = any(column.kind == "pixel" for column in columns)
        self.backbone = backbone
        self.hidden_layer_sizes = tuple(hidden_layer_sizes)
        self.min_log_variance = MIN_LOG_VARIANCE
        self._constants: dict[int, ColumnConstants] = {}
        n_features = [group.likelihood.n_features(group.width) for group in self.groups]
        widths = torch.tensor([group.n_columns for group in self.groups])
        owners = torch.arange(self.n_columns).repeat_interleave(torch.tensor(n_features).repeat_interleave(widths))
        self.register_buffer("feature_columns", owners, persistent=False)
        n_inputs = len(owners) + (self.n_varying if mask_input else 0)
        layers = self.hidden_layer_sizes, activation, generator, grid
        self.encoder = backbone.encoder(n_members, n_inputs, 2 * latent_dim, *layers)
        self.decoder = backbone.decoder(n_members, latent_dim, self.n_parameters, *layers)
        self.raw_noise = nn.Parameter(torch.zeros(n_members, self.groups[-1].noise.stop, dtype=torch.float32))
        n_cells = torch.tensor([column.n_cells for column in columns])

        def per_cell(numbers: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
            """What is said once for a column, for each of its cells."""
            return _single(numbers).repeat_interleave(n_cells, 0)

        self.register_buffer("floor", per_cell([column.floor for column in columns]))
        self.register_buffer("n_levels", per_cell([len(column.levels) for column in columns]))
        self.register_buffer("unseen", per_cell([column.unseen for column in columns]))
        self.register_buffer("log_jacobian", per_cell([column.log_jacobian for column in columns]))
        # In units of the asinh_scale or of the scale, which alone may lie beyond single precision.
        units = {
            "location": [column.location if column.asinh_scale else 0.0 for column in columns],
            "scale": [column.scale if column.asinh_scale else 1.0 for column in columns],
            "asinh_scale": [1.0 if column.asinh_scale else 0.0 for column in columns],
            "step": [column.step / (column.asinh_scale or column.scale) for column in columns],
            "straight_slope": [_log_slope_at_0(column) for column in columns],
        }
        for name, numbers in units.items():
            self.register_buffer(name, per_cell(numbers), persistent=False)
        for name, none in (("low", -math.inf), ("high", math.inf)):
            ends = [_in_model_units(column, getattr(column, name), none) for column in columns]
            self.register_buffer(name, per_cell(ends), persistent=False)
        room = max(len(column.cuts) for column in columns)
        cuts = [
            (*column.cuts, *[FAR * (room + extra) for extra in range(room - len(column.cuts))]) for column in columns
        ]
        self.register_buffer("cuts", per_cell(cuts), persistent=False)
        room = max(column.width if column.spikes else 0 for column in columns)
        spikes = [
            (*column.model_units(np.array(column.spikes)).tolist(), *[math.nan] * (room - len(column.spikes)))
            for column in columns
        ]
        self.register_buffer("spikes", per_cell(spikes), persistent=False)
        rounded = [column.likelihood is not None and column.likelihood.rounded for column in columns]
        self.register_buffer("rounded", torch.tensor(rounded).repeat_interleave(n_cells), persistent=False)
        self.register_buffer("bent", self.asinh_scale.nonzero().squeeze(1), persistent=False)
        places = n_cells.cumsum(0)
        starts = [
            torch.cat(
                [
                    _single(column.start).expand(column.n_cells, -1)
                    for column, stop in zip(columns, places.tolist(), strict=True)
                    if group.columns.start < stop <= group.columns.stop
                ]
            )
            for group in self.groups
        ]
        self.register_buffer("start", torch.cat([start.T.flatten() for start in starts]))
        with torch.no_grad():
            self.decoder.offset.copy_(self.start.expand_as(self.decoder.offset))
        self.prior: FittedPrior = FittedStandardNormal(n_members, latent_dim)
        self.register_buffer("reference_statistics", torch.empty(0, 0, dtype=torch.float64), persistent=False)

    @property
    def n_parameters(self) -> int:
        """Decoder outputs a row."""
        return int(self.groups[-1].parameters.stop)

    @property
    def n_columns(self) -> int:
        """Modelled columns."""
        return int(self.groups[-1].columns.stop)

    @property
    def n_varying(self) -> int:
        """Columns that the network models: all before the first that was constant in training."""
        return next((group.columns.start for group in self.groups if group.is_constant), self.n_columns)

    @property
    def largest_matrix(self) -> int:
        """Weights of a member's largest layer."""
        return max(parameter[0].numel() for parameter in self.parameters())

    def features(self, batch: Batch) -> Tensor:
        """What the encoder reads of fully visible rows, before anything is hidden: (..., rows, features), finite."""
        parts = [
            group.likelihood.features(batch.values[..., group.columns], group.width, self.constants(group)).flatten(-2)
            for group in self.groups
        ]
        return (torch.cat(parts, -1) if len(parts) > 1 else parts[0]).nan_to_num()

    def inputs(self, batch: Batch, visible: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """What the encoder reads: features of the visible cells, and which these are.

        Parameters
        ----------
        batch : Batch
            Of shape (rows, columns), the same for all members, or (..., members, rows, columns).
        visible : bool Tensor, optional
            Cells that the encoder may see; by default all observed ones.
        features : Tensor of shape (..., rows, features), optional
            What `features` gives for these rows, where it is at hand.

        Returns
        -------
        Tensor of shape (..., rows, inputs)
        """
        visible = batch.observed if visible is None else visible & batch.observed
        visible = visible[..., : self.n_varying]
        features = self.features(batch) if features is None else features
        # A cell that the encoder may not see becomes 0 in every feature, whatever its value.
        shown = visible if features.shape == visible.shape else visible[..., self.feature_columns]
        inputs = features * shown
        return torch.cat([inputs, visible.to(inputs.dtype)], -1) if self.mask_input else inputs

    def encode(self, inputs: Tensor) -> Posterior:
        """q(z | x) of every member, from what `inputs` gives: the same for all members, or with their axis in front."""
        if inputs.dim() == 2:
            inputs = inputs.expand(self.n_members, -1, -1)
        mean, log_variance = self.encoder(inputs).chunk(2, -1)
        return Posterior(mean, log_variance.clamp(self.min_log_variance, MAX_LOG_VARIANCE))

    def posterior(self, batch: Batch, visible: Tensor | None = None, features: Tensor | None = None) -> Posterior:
        """q(z | x) of every member; the parameters are those of `inputs`."""
        return self.encode(self.inputs(batch, visible, features))

    def decode(self, z: Tensor) -> list[Distribution]:
        """p(x | z), one distribution for each group of columns.

        Parameters
        ----------
        z : Tensor of shape (members, draws, rows, latents)

        Returns
        -------
        list of Distribution
            Batch shapes (members, draws, rows, columns of the group), in the order of ``groups``.
        """
        members, draws, rows, _ = z.shape
        outputs = self.decoder(z.reshape(members, draws * rows, -1)).reshape(members, draws, rows, -1)
        log_noise = NOISE_GAIN * self.raw_noise[:, None, None, :]
        distributions = []
        for group in self.groups:
            noise = log_noise[..., group.noise]
            parameters = group.arrange(outputs)
            distributions.append(group.likelihood.distribution(parameters, noise, self.constants(group)))
        return distributions

    def marginals(self) -> list[Distribution]:
        """p(x_j) of each column by itself, in the order of ``groups``: what training data taught before any training.

        Returns
        -------
        list of Distribution
            Batch shapes (1, columns of the group).
        """
        return [
            group.likelihood.marginal(group.arrange(self.start.unsqueeze(0)), self.constants(group))
            for group in self.groups
        ]

    def decode_columns(self, z: Tensor, places: Sequence[int]) -> list[Distribution]:
        """p(x_j | z) of single columns or parts, each of batch shape (members, draws, rows, 1).

        Parameters
        ----------
        z : Tensor of shape (members, draws, rows, latents)
        places : sequence of int
            In the model's order.
        """
        members, draws, rows, _ = z.shape
        outputs = self.decoder(z.reshape(members, draws * rows, -1)).reshape(members, draws, rows, -1)
        log_noise = NOISE_GAIN * self.raw_noise[:, None, None, :]
        distributions = []
        for place in places:
            group = self.group_of(place)
            own = slice(place - group.columns.start, place - group.columns.start + 1)
            noise = log_noise[..., group.noise]
            distributions.append(
                group.likelihood.distribution(
                    group.arrange(outputs)[..., own, :],
                    noise[..., own] if noise.shape[-1] == group.n_columns else noise,
                    self.constants(group).take(own),
                )
            )
        return distributions

    def group_of(self, place: int) -> Group:
        """The group of a column, by its place in the model's order."""
        return next(group for group in self.groups if group.columns.start <= place < group.columns.stop)

    def constants(self, group: Group) -> ColumnConstants:
        """What training data taught about the columns of a group."""
        place = group.columns.start
        if place not in self._constants:
            self._constants[place] = self._taught(group)
        return self._constants[place]

    def untrained_copy(self) -> VAE:
        """The same weights, to be trained further against N(0, I)."""
        other = copy.deepcopy(self).requires_grad_(True).train()
        other.prior = FittedStandardNormal(self.n_members, self.latent_dim)
        return other

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VAE:
        # The buffers are replaced, on another device for instance.
        self._constants.clear()
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_constants": {}}

    def _taught(self, group: Group) -> ColumnConstants:
        places = group.columns
        room = group.width + 1 if isinstance(group.likelihood, Ordinal) else 0
        return ColumnConstants(
            self.floor[places],
            self.n_levels[places],
            self.unseen[places],
            self.location[places],
            self.scale[places],
            self.asinh_scale[places],
            self.step[places],
            self.low[places],
            self.high[places],
            self.cuts[places, :room],
            self.spikes[places, : group.width if isinstance(group.likelihood, SpikedStudentT) else 0],
        )

    def in_data_units(self, log_likelihood: Tensor, values: Tensor) -> Tensor:
        """Log-likelihoods of cells in model units to the units of the data.

        Parameters
        ----------
        log_likelihood : Tensor of shape (..., columns)
        values : Tensor that broadcasts to the same shape
            The cells, in model units; constant columns may be left out of both.
        """
        given = slice(values.shape[-1])
        if len(self.bent) == 0:
            return log_likelihood + self.log_jacobian[given]
        return log_likelihood + torch.where(self.rounded[given], self.log_jacobian[given], self.log_slope(values))

    def log_slope(self, values: Tensor) -> Tensor:
        """log of d(model units) / d(data units) at cells in model units, also for rounded columns."""
        # log cosh of the bent cell, without overflow.
        size = (values[..., self.bent] * self.scale[self.bent] + self.location[self.bent]).abs()
        log_cosh = size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
        return self.straight_slope[: values.shape[-1]].expand(values.shape).index_add(-1, self.bent, -log_cosh)


def _log_slope_at_0(column: Column) -> float:
    """log of d(model units) / d(data units) at 0; for parts of dates, what counts instead."""
    if column.likelihood is None or not column.likelihood.rounded:
        return column.log_jacobian
    return -math.log(column.scale) - (math.log(column.asinh_scale) if column.asinh_scale else 0.0)


def _in_model_units(column: Column, bound: float | None, none: float) -> float:
    return none if bound is None else float(column.model_units(np.array(bound)))


def _single(numbers: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
    """Single precision, whatever PyTorch's default is."""
    return torch.tensor(numbers, dtype=torch.float32)
