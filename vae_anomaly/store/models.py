"""A fitted model as an entry of a manifest and tensors, and back, distrusting them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from vae_anomaly.columns import Column, Encoder
from vae_anomaly.decisions import Decisions
from vae_anomaly.fitting import CellReference, Cells, FitReport, FittedModel
from vae_anomaly.likelihoods import Likelihood
from vae_anomaly.model import (
    VAE,
    Backbone,
    Convolutional,
    History,
    MissingCosts,
    Prior,
    resolve_backbone,
    resolve_prior,
)
from vae_anomaly.scores import RelativeScore, Score, charges_missing, resolve_score
from vae_anomaly.store.manifest import modelled_parts
from vae_anomaly.store.values import decode, encode, encode_column, finite

NOISE = "noise"
REFERENCE = "reference."
REFERENCE_STATISTICS = "reference_statistics"
WEIGHTS = "vae."
MISSING_COSTS = f"{WEIGHTS}missing_costs.cells"

EncoderT = TypeVar("EncoderT", bound=Encoder)


def model_entry(model: FittedModel[Encoder], activation: str, prior: Prior) -> dict[str, Any]:
    """What a manifest says of a fitted model, ready for JSON.

    Parameters
    ----------
    model : FittedModel
    activation : str
        Between the layers of its networks.
    prior : Prior
        What the model's prior was fitted as.
    """
    vae = model.vae
    return {
        "columns": [encode_column(column) for column in model.encoder.columns],
        "n_members": vae.n_members,
        "latent_dim": vae.latent_dim,
        "backbone": encode(vae.backbone),
        "hidden_layer_sizes": list(vae.hidden_layer_sizes),
        "activation": activation,
        "mask_input": vae.mask_input,
        "min_log_variance": vae.min_log_variance,
        "prior": encode(prior),
        "n_exemplars": vae.prior.n_kernels,
        "score": encode(model.score),
        "fit_report": finite(dataclasses.asdict(model.report)),
        "history": finite(dataclasses.asdict(model.history)),
    }


def model_tensors(model: FittedModel[Encoder]) -> dict[str, Tensor]:
    """Weights, noise and what rows are compared with."""
    tensors = {WEIGHTS + name: tensor.cpu().contiguous() for name, tensor in model.vae.state_dict().items()}
    tensors[NOISE] = model.noise.cpu().contiguous()
    if model.vae.reference_statistics.numel():
        tensors[REFERENCE_STATISTICS] = model.vae.reference_statistics.cpu().contiguous()
    if model.reference is not None:
        fields = dataclasses.fields(model.reference)
        tensors |= {REFERENCE + field.name: getattr(model.reference, field.name) for field in fields}
    return tensors


def rebuilt_model(
    entry: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    encoder: EncoderT,
    device: torch.device,
    *,
    decisions: Decisions,
    map_scale: tuple[float, float] | None,
) -> FittedModel[EncoderT]:
    """The fitted model that an entry and tensors describe, whose sizes `check_sizes` found to agree.

    Raises
    ------
    LookupError, TypeError, ValueError, RuntimeError, AttributeError or ArithmeticError
        If they do not agree.
    """
    shape = _Shape.of(entry)
    vae = VAE(
        encoder.modelled,
        latent_dim=shape.latent_dim,
        n_members=shape.n_members,
        backbone=shape.backbone,
        hidden_layer_sizes=shape.hidden_layer_sizes,
        activation=entry["activation"],
        mask_input=entry["mask_input"],
        generator=torch.Generator().manual_seed(0),
        grid=encoder.grid,
    )
    vae.min_log_variance = float(entry["min_log_variance"])
    vae.prior = shape.prior.empty(shape.n_members, shape.latent_dim, shape.n_exemplars)
    if MISSING_COSTS in tensors:
        vae.missing_costs = MissingCosts.empty(shape.n_members, Cells.of(encoder).counted)
    vae.load_state_dict(without_prefix(tensors, WEIGHTS))
    if vae.missing_costs is not None and not vae.missing_costs.is_finite:
        raise ValueError("what missing cells cost is not finite")
    if REFERENCE_STATISTICS in tensors:
        vae.reference_statistics = tensors[REFERENCE_STATISTICS].clone()
    return FittedModel(
        encoder=encoder,
        vae=vae.requires_grad_(False).eval().to(device),
        # A tensor of the file is a view of it; the model must not depend on the file any more.
        noise=tensors[NOISE].clone().to(device),
        score=shape.score,
        decisions=decisions,
        history=History(**entry["history"]),
        report=FitReport(**entry["fit_report"]),
        reference_rows=None,
        reference=_reference(tensors, encoder.n_model_columns),
        map_scale=map_scale,
    )


def check_sizes(entry: Mapping[str, Any], tensors: Mapping[str, Tensor], columns: Sequence[Column]) -> None:
    """Compare the sizes that an entry asks for with those in the file, before anything of that size is made.

    Parameters
    ----------
    entry : dict
        Of a model.
    tensors : dict of Tensor
        Of the model.
    columns : sequence of Column
        Of the entry.

    Raises
    ------
    LookupError, TypeError or ValueError
        If they do not agree.
    """
    shape = _Shape.of(entry)
    noise, wanted_noise = tensors[NOISE], (shape.n_members, shape.score.n_draws, 1, shape.latent_dim)
    if noise.dtype != torch.float32 or noise.shape != wanted_noise:
        raise ValueError(f"the noise has shape {tuple(noise.shape)}, the manifest says {wanted_noise}")
    if not all(math.isfinite(column.location) and 0 < column.scale < math.inf for column in columns):
        raise ValueError("a column has no usable location and scale")
    modelled = modelled_parts(columns)
    held = tensors[f"{WEIGHTS}floor"].numel(), tensors[f"{WEIGHTS}start"].numel()
    n_outputs = sum(part.n_cells * _likelihood(part).n_parameters(part.width) for part in modelled)
    if (sum(part.n_cells for part in modelled), n_outputs) != held:
        raise ValueError(f"the manifest has other columns or decoder outputs than the file, which has {held}")
    if min([*wanted_noise, *shape.hidden_layer_sizes]) < 1:
        raise ValueError("the members, draws, latents and hidden units are not all positive")
    n_wanted = shape.n_members * max(_min_weights(shape, modelled), shape.latent_dim * shape.n_exemplars)
    n_held = sum(tensor.numel() for tensor in tensors.values())
    if n_wanted > n_held:
        raise ValueError(f"the manifest asks for {n_wanted} numbers, the file holds {n_held}")
    _check_statistics(tensors.get(REFERENCE_STATISTICS), shape.score)
    if (MISSING_COSTS in tensors) != charges_missing(shape.score):
        raise ValueError("only a score that charges for missing cells has costs of missing cells, and it needs them")


def prefixed(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The same tensors with a prefix before their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@dataclasses.dataclass(frozen=True)
class _Shape:
    """What the entry of a model says of its sizes."""

    n_members: int
    latent_dim: int
    backbone: Backbone
    hidden_layer_sizes: tuple[int, ...]
    prior: Prior
    n_exemplars: int
    score: Score

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Shape:
        return cls(
            int(entry["n_members"]),
            int(entry["latent_dim"]),
            resolve_backbone(decode(entry["backbone"])),
            tuple(int(size) for size in entry["hidden_layer_sizes"]),
            resolve_prior(decode(entry["prior"])),
            int(entry["n_exemplars"]),
            resolve_score(decode(entry["score"])),
        )


def _reference(tensors: Mapping[str, Tensor], n_model_columns: int) -> CellReference | None:
    """What explanations compare cells with; a file of the first format version does not say it."""
    held = without_prefix(tensors, REFERENCE)
    if not held:
        return None
    reference = CellReference(**{name: tensor.clone() for name, tensor in held.items()})
    shapes = reference.given_others.shape[1:], reference.alone.shape[1:], reference.typical.shape
    if shapes != ((n_model_columns,), (n_model_columns,), (n_model_columns + 1,)):
        raise ValueError(f"the reference for explanations has shapes {shapes} for {n_model_columns} columns")
    return reference


def _check_statistics(statistics: Tensor | None, score: Score) -> None:
    if (statistics is not None) != isinstance(score, RelativeScore):
        raise ValueError(
            "only a score that compares rows with training rows has reference statistics, and it needs them"
        )
    if statistics is not None and (statistics.dtype != torch.float64 or statistics.dim() != 2 or not len(statistics)):
        raise ValueError(f"the reference statistics have shape {tuple(statistics.shape)}")


def _min_weights(shape: _Shape, modelled: Sequence[Column]) -> int:
    """A lower bound of the weights of a member's encoder."""
    n_inputs = sum(
        (1 if isinstance(shape.backbone, Convolutional) else part.n_cells) * _likelihood(part).n_features(part.width)
        for part in modelled
    )
    sizes = [max(n_inputs, 1), *shape.hidden_layer_sizes, 2 * shape.latent_dim]
    if not isinstance(shape.backbone, Convolutional):
        return sum(a * b for a, b in itertools.pairwise(sizes))
    kernels = sum(9 * (a * b + 2 * b * b) for a, b in itertools.pairwise(sizes[:-1]))
    return kernels + sizes[-2] * sizes[-1]


def _likelihood(column: Column) -> Likelihood:
    assert column.likelihood is not None
    return column.likelihood
