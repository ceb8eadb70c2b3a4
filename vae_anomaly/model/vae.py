"""The one module with weights: encoders and decoders of all members, member axis first."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vae_anomaly.columns import Batch, Column
from vae_anomaly.likelihoods import CellDistribution, Constants, single
from vae_anomaly.model.backbones import Backbone
from vae_anomaly.model.column_groups import Group, group_columns
from vae_anomaly.model.experts import Experts
from vae_anomaly.model.independence import IndependenceModel
from vae_anomaly.model.kernels import Kernels
from vae_anomaly.model.learned_offset import LearnedOffset
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
        Modelled columns, in the model's order: those that were constant in training come last.
    latent_dim : int
        Latent variables per member.
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
        N(0, I) until a prior fitted to the training rows replaces it.
    min_log_variance : float
        Where the posteriors' log-variances stop, so that the KL to the exemplars of a wide table stays in proportion.
    reference_statistics : Tensor of shape (training rows, statistics)
        What a score that compares a row with training rows compares it with; else empty.
    experts : Experts or None
        What a score that pools several bounds knows of each of them; else None.
    kernels : Kernels or None
        Kernels at training rows, where the score pools their bound; else None.
    learned : LearnedOffset or None
        What reviewed rows taught; None before.
    same_bits : dict of tuple to list of int
        By what is computed, the sizes of chunks that were seen to give rows the same bits.
    """

    feature_columns: Tensor
    floor: Tensor
    n_levels: Tensor
    unseen: Tensor
    location: Tensor
    scale: Tensor
    asinh_scale: Tensor
    slope_at_0: Tensor
    log_jacobian: Tensor
    rounded: Tensor
    on_asinh_scale: Tensor
    anchor: Tensor
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
            raise ValueError("columns that were constant in training come after all others")
        self.latent_dim = latent_dim
        self.n_members = n_members
        self.mask_input = mask_input
        self.grid = grid
        self.of_pixels = any(column.kind == "pixel" for column in columns)
        self.backbone = backbone
        self.hidden_layer_sizes = tuple(hidden_layer_sizes)
        self.min_log_variance = MIN_LOG_VARIANCE
        self.constant_names: dict[int, tuple[str, ...]] = {}
        self._constants: dict[int, Constants] = {}
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

        def per_cell(numbers: Sequence[float]) -> Tensor:
            """What is said once for a column, for each of its cells."""
            return single(numbers).repeat_interleave(n_cells, 0)

        facts = [column.facts for column in columns]
        self.register_buffer("floor", per_cell([column.floor for column in columns]))
        self.register_buffer("n_levels", per_cell([known.n_levels for known in facts]))
        self.register_buffer("unseen", per_cell([known.unseen for known in facts]))
        self.register_buffer("log_jacobian", per_cell([column.log_jacobian for column in columns]))
        for name in ("location", "scale", "asinh_scale"):
            self.register_buffer(name, per_cell([getattr(known, name) for known in facts]), persistent=False)
        self.register_buffer("slope_at_0", per_cell([_log_slope_at_0(column) for column in columns]), persistent=False)
        rounded = [column.likelihood is not None and column.likelihood.rounded for column in columns]
        self.register_buffer("rounded", torch.tensor(rounded).repeat_interleave(n_cells), persistent=False)
        self.register_buffer("on_asinh_scale", self.asinh_scale.nonzero().squeeze(1), persistent=False)
        self.register_buffer("anchor", per_cell([column.anchor for column in columns]), persistent=False)
        starts = []
        stops = n_cells.cumsum(0).tolist()
        for number, group in enumerate(self.groups):
            own = [index for index, stop in enumerate(stops) if group.columns.start < stop <= group.columns.stop]
            constants = group.likelihood.constants([facts[index] for index in own])
            self.constant_names[number] = tuple(constants)
            for name, tensor in constants.items():
                of_cells = tensor.repeat_interleave(n_cells[own], 0)
                self.register_buffer(f"group_{number}_{name}", of_cells, persistent=False)
            starts.append(torch.cat([single(columns[index].start).expand(columns[index].n_cells, -1) for index in own]))
        self.register_buffer("start", torch.cat([start.T.flatten() for start in starts]))
        with torch.no_grad():
            self.decoder.offset.copy_(self.start.expand_as(self.decoder.offset))
        self.prior: FittedPrior = FittedStandardNormal(n_members, latent_dim)
        self.register_buffer("reference_statistics", torch.empty(0, 0, dtype=torch.float64), persistent=False)
        self.experts: Experts | None = None
        self.kernels: Kernels | None = None
        self.learned: LearnedOffset | None = None
        self._independence: IndependenceModel | None = None
        self.same_bits: dict[tuple[object, ...], list[int]] = {}

    @property
    def n_parameters(self) -> int:
        """Decoder outputs per row."""
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
        features = self.features(batch) if features is None else features
        shown = visible[..., : self.n_varying].to(features.dtype)
        # A cell that the encoder may not see becomes 0 in every feature, whatever its value.
        seen = shown if features.shape == shown.shape else shown.index_select(-1, self.feature_columns)
        inputs = features * seen
        return torch.cat([inputs, shown], -1) if self.mask_input else inputs

    def encode(self, inputs: Tensor) -> Posterior:
        """q(z | x) of every member, from what `inputs` gives: the same for all members, or with their axis in front."""
        if inputs.dim() == 2:
            inputs = inputs.expand(self.n_members, -1, -1)
        return self._stated(self.encoder(inputs))

    def _stated(self, outputs: Tensor) -> Posterior:
        """The posterior that the outputs of the encoder state."""
        mean, log_variance = outputs.chunk(2, -1)
        return Posterior(mean, log_variance.clamp(self.min_log_variance, MAX_LOG_VARIANCE))

    def posterior(self, batch: Batch, visible: Tensor | None = None, features: Tensor | None = None) -> Posterior:
        """q(z | x) of every member; the parameters are those of `inputs`."""
        if not (batch.is_complete and visible is None and self.mask_input):
            return self.encode(self.inputs(batch, visible, features))
        features = self.features(batch) if features is None else features
        if features.dim() == 2:
            features = features.expand(self.n_members, -1, -1)
        return self._stated(self.encoder.followed_by_ones(features, self.n_varying))

    def decode(self, z: Tensor) -> list[CellDistribution]:
        """p(x | z), one distribution for each group of columns.

        Parameters
        ----------
        z : Tensor of shape (members, draws, rows, latents)

        Returns
        -------
        list of CellDistribution
            Batch shapes (members, draws, rows, columns of the group), in the order of ``groups``.
        """
        members, draws, rows, _ = z.shape
        outputs = self.decoder(z.reshape(members, draws * rows, -1)).reshape(members, draws, rows, -1)
        log_noise = NOISE_GAIN * self.raw_noise[:, None, None, :]
        return [
            group.likelihood.distribution(group.arrange(outputs), log_noise[..., group.noise], self.constants(group))
            for group in self.groups
        ]

    def marginals(self) -> list[CellDistribution]:
        """p(x_j) of each column by itself, in the order of ``groups``: what training data taught before any training.

        Returns
        -------
        list of CellDistribution
            Batch shapes (1, columns of the group).
        """
        return [
            group.likelihood.marginal(group.arrange(self.start.unsqueeze(0)), self.constants(group))
            for group in self.groups
        ]

    @property
    def independence(self) -> IndependenceModel:
        """p(x_j) of each column by itself, arranged on first use."""
        if self._independence is None:
            constants = [self.constants(group) for group in self.groups]
            anchors = [self.anchor[group.columns] for group in self.groups]
            with torch.no_grad():
                groups = zip(self.groups, constants, self.marginals(), anchors, strict=True)
                self._independence = IndependenceModel(list(groups))
        return self._independence

    def decode_columns(self, z: Tensor, positions: Sequence[int]) -> list[CellDistribution]:
        """p(x_j | z) of single columns or parts, each of batch shape (members, draws, rows, 1).

        Parameters
        ----------
        z : Tensor of shape (members, draws, rows, latents)
        positions : sequence of int
            In the model's order.
        """
        members, draws, rows, _ = z.shape
        outputs = self.decoder(z.reshape(members, draws * rows, -1)).reshape(members, draws, rows, -1)
        log_noise = NOISE_GAIN * self.raw_noise[:, None, None, :]
        distributions = []
        for position in positions:
            group = self.group_of(position)
            own = slice(position - group.columns.start, position - group.columns.start + 1)
            noise = log_noise[..., group.noise]
            distributions.append(
                group.likelihood.distribution(
                    group.arrange(outputs)[..., own, :],
                    noise[..., own] if noise.shape[-1] == group.n_columns else noise,
                    {name: constant[own] for name, constant in self.constants(group).items()},
                )
            )
        return distributions

    def group_of(self, position: int) -> Group:
        """The group of a column, by its position in the model's order."""
        return next(group for group in self.groups if group.columns.start <= position < group.columns.stop)

    def constants(self, group: Group) -> Constants:
        """What stays the same for the columns of a group in all rows."""
        start = group.columns.start
        if start not in self._constants:
            number = self.groups.index(group)
            common = {name: getattr(self, name)[group.columns] for name in ("floor", "n_levels", "unseen")}
            own = {name: getattr(self, f"group_{number}_{name}") for name in self.constant_names[number]}
            self._constants[start] = common | own
        return self._constants[start]

    def untrained_copy(self) -> VAE:
        """The same weights, to be trained further against N(0, I)."""
        return self.of_members(slice(None))

    def of_members(self, members: slice) -> VAE:
        """Some of the members by themselves, to be trained further against N(0, I)."""
        known = {id(weights): nn.Parameter(weights.detach()[members].clone()) for weights in self.parameters()}
        other = copy.deepcopy(self, known).requires_grad_(True).train()
        other.n_members = len(other.raw_noise)
        other.prior = FittedStandardNormal(other.n_members, self.latent_dim)
        other.experts = other.kernels = other.learned = None
        return other

    def of_member(self, number: int) -> VAE:
        """One of the members by itself, as it was trained, against N(0, I)."""
        return self.of_members(slice(number, number + 1)).requires_grad_(False).eval()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VAE:
        # The buffers are replaced, on another device for instance.
        self._constants.clear()
        self._independence, self.same_bits = None, {}
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_constants": {}, "_independence": None, "same_bits": {}}

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._independence, self.same_bits = None, {}
        super()._load_from_state_dict(*arguments)

    def in_data_units(self, log_likelihood: Tensor, values: Tensor) -> Tensor:
        """Log-likelihoods of cells in model units to the units of the data.

        Parameters
        ----------
        log_likelihood : Tensor of shape (..., columns)
        values : Tensor that broadcasts to the same shape
            The cells, in model units; constant columns may be left out of both.
        """
        given = slice(values.shape[-1])
        if len(self.on_asinh_scale) == 0:
            return log_likelihood + self.log_jacobian[given]
        return log_likelihood + torch.where(self.rounded[given], self.log_jacobian[given], self.log_slope(values))

    def log_slope(self, values: Tensor) -> Tensor:
        """log of d(model units) / d(data units) at cells in model units, also for rounded columns."""
        # log cosh of the cell on the asinh scale, without overflow.
        size = (
            values[..., self.on_asinh_scale] * self.scale[self.on_asinh_scale] + self.location[self.on_asinh_scale]
        ).abs()
        log_cosh = size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
        return self.slope_at_0[: values.shape[-1]].expand(values.shape).index_add(-1, self.on_asinh_scale, -log_cosh)


def _log_slope_at_0(column: Column) -> float:
    """log of d(model units) / d(data units) at 0; for parts of dates, what counts instead."""
    if column.likelihood is None or not column.likelihood.rounded:
        return column.log_jacobian
    return -math.log(column.scale) - (math.log(column.asinh_scale) if column.asinh_scale else 0.0)
