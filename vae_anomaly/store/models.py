"""A fitted model as an entry of a manifest and tensors, and back, distrusting them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from vae_anomaly.columns import Column, Encoder
from vae_anomaly.decisions import Decisions
from vae_anomaly.fitting import CellReference, Cells, FitReport, FittedModel
from vae_anomaly.model import (
    MAX_KERNELS,
    VAE,
    Backbone,
    Experts,
    History,
    Kernels,
    LearnedOffset,
    OffsetFeatures,
    Prior,
    resolve_backbone,
    resolve_prior,
)
from vae_anomaly.scores import (
    LikelihoodRegret,
    LocalRatio,
    RelativeScore,
    Score,
    likelihood_score_of,
    pool_of,
    resolve_score,
)
from vae_anomaly.store.manifest import modelled_parts
from vae_anomaly.store.sizes import check_columns, check_network
from vae_anomaly.store.values import decode, encode, encode_column, finite

NOISE = "noise"
REFERENCE = "reference."
REFERENCE_STATISTICS = "reference_statistics"
WEIGHTS = "vae."
EXPERTS, KERNELS = f"{WEIGHTS}experts.cells", f"{WEIGHTS}kernels.values"
SCORES_OF_KERNELS = f"{WEIGHTS}kernels.scores"
LEARNED = f"{WEIGHTS}learned."

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
        "n_components": vae.prior.n_components,
        "n_kernels": 0 if vae.kernels is None else vae.kernels.n_centres,
        "score": encode(likelihood_score_of(model.score)),
        "fit_report": finite(dataclasses.asdict(model.report)),
        "history": _history_entry(model.history),
    }


def model_tensors(model: FittedModel[Encoder]) -> dict[str, Tensor]:
    """Weights, noise and what rows are compared with."""
    tensors = {WEIGHTS + name: tensor.cpu().contiguous() for name, tensor in model.vae.state_dict().items()}
    tensors[NOISE] = model.noise.cpu().contiguous()
    if model.vae.reference_statistics.numel():
        tensors[REFERENCE_STATISTICS] = model.vae.reference_statistics.cpu().contiguous()
    if model.reference is not None:
        held = {field.name: getattr(model.reference, field.name) for field in dataclasses.fields(model.reference)}
        tensors |= {REFERENCE + name: tensor for name, tensor in held.items() if tensor is not None}
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
    vae.prior = shape.prior.empty(shape.n_members, shape.latent_dim, shape.n_components)
    if EXPERTS in tensors:
        vae.experts = Experts.empty(len(tensors[EXPERTS]), Cells.of(encoder).counted)
    if KERNELS in tensors:
        n_centres, n_cells = tensors[KERNELS].shape
        vae.kernels = Kernels.empty(n_centres, n_cells, len(tensors[SCORES_OF_KERNELS]))
    if any(name.startswith(LEARNED) for name in tensors):
        vae.learned = LearnedOffset.empty(OffsetFeatures.of(encoder))
    state = without_prefix(tensors, WEIGHTS)
    _check_numbers(vae, state)
    vae.load_state_dict(state)
    if not bool(tensors[NOISE].isfinite().all()):
        raise ValueError("the noise is not finite")
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
        reference=_reference(tensors, encoder, shape.n_members),
        calibrating_rows=None,
        map_scale=map_scale,
    )


def check_sizes(
    entry: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    columns: Sequence[Column],
    grid: tuple[int, int] | None = None,
) -> None:
    """Compare the sizes that an entry asks for with those in the file, before anything of that size is made.

    Parameters
    ----------
    entry : dict
        Of a model.
    tensors : dict of Tensor
        Of the model.
    columns : sequence of Column
        Of the entry.
    grid : (int, int), optional
        Height and width where rows are images.

    Raises
    ------
    LookupError, TypeError or ValueError
        If they do not agree.
    """
    shape = _Shape.of(entry)
    noise, wanted_noise = tensors[NOISE], (shape.n_members, shape.score.n_draws, 1, shape.latent_dim)
    if noise.dtype != torch.float32 or noise.shape != wanted_noise:
        raise ValueError(f"the noise has shape {tuple(noise.shape)}, the manifest says {wanted_noise}")
    modelled = modelled_parts(columns)
    if not modelled:
        raise ValueError("no column is modelled")
    check_columns(modelled, tensors)
    check_network(
        modelled,
        tensors,
        backbone=shape.backbone,
        hidden_layer_sizes=shape.hidden_layer_sizes,
        latent_dim=shape.latent_dim,
        n_members=shape.n_members,
        n_draws=shape.score.n_draws,
        n_components=shape.n_components,
        n_steps=shape.score.n_steps if isinstance(shape.score, LikelihoodRegret) else 1,
        mask_input=entry["mask_input"],
        grid=grid,
    )
    _check_statistics(tensors.get(REFERENCE_STATISTICS), shape.score)
    _check_pool(
        tensors, shape.score, shape.n_members, sum(part.n_cells for part in modelled), entry.get("n_kernels", 0)
    )


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
    n_components: int
    score: Score

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Shape:
        return cls(
            int(entry["n_members"]),
            int(entry["latent_dim"]),
            resolve_backbone(decode(entry["backbone"])),
            tuple(int(size) for size in entry["hidden_layer_sizes"]),
            resolve_prior(decode(entry["prior"])),
            int(entry["n_components"]),
            resolve_score(decode(entry["score"])),
        )


def _history_entry(history: History) -> dict[str, Any]:
    entry: dict[str, Any] = finite(dataclasses.asdict(history))
    if not history.stopped_by:
        del entry["stopped_by"]
    return entry


def _reference(tensors: Mapping[str, Tensor], encoder: Encoder, n_members: int) -> CellReference | None:
    """What explanations compare cells with; a file of the first format version does not say it."""
    held = without_prefix(tensors, REFERENCE)
    if not held:
        return None
    reference = CellReference(**{name: tensor.clone() for name, tensor in held.items()})
    n_model_columns = encoder.n_model_columns
    shapes = reference.given_others.shape[1:], reference.alone.shape[1:], reference.typical.shape
    if shapes != ((n_model_columns,), (n_model_columns,), (n_model_columns + 1,)):
        raise ValueError(f"the reference for explanations has shapes {shapes} for {n_model_columns} columns")
    if reference.given_others.isinf().any() or reference.alone.isinf().any() or not reference.typical.isfinite().all():
        raise ValueError("the reference for explanations is not finite")
    if reference.cells is not None:
        _check_cells(reference.cells, n_members, len(encoder.columns))
    return reference


def _check_cells(cells: Tensor, n_members: int, n_columns: int) -> None:
    """Refuse scores of cells that p-values could not be computed with."""
    if cells.dtype != torch.float32 or cells.dim() != 3 or cells.shape[0] not in (1, n_members):
        raise ValueError(f"the reference for cells has shape {tuple(cells.shape)} and type {cells.dtype}")
    if cells.shape[2] != n_columns or not cells.shape[1]:
        raise ValueError(f"the reference for cells has shape {tuple(cells.shape)} for {n_columns} columns")
    # NaN, of missing cells, come last.
    if bool(cells.isinf().any()) or not torch.equal(cells.sort(1).values.nan_to_num(-1.0), cells.nan_to_num(-1.0)):
        raise ValueError("the reference for cells is not finite and sorted")


def _check_statistics(statistics: Tensor | None, score: Score) -> None:
    if (statistics is not None) != isinstance(score, RelativeScore):
        raise ValueError(
            "only a score that compares rows with training rows has reference statistics, and it needs them"
        )
    if statistics is not None and (statistics.dtype != torch.float64 or statistics.dim() != 2 or not len(statistics)):
        raise ValueError(f"the reference statistics have shape {tuple(statistics.shape)}")
    if statistics is not None and isinstance(score, RelativeScore) and statistics.shape[1] != score.n_statistics:
        raise ValueError(f"the reference statistics have shape {tuple(statistics.shape)}")
    if statistics is not None and not bool(statistics.isfinite().all()):
        raise ValueError("the reference statistics are not finite")


def _check_pool(tensors: Mapping[str, Tensor], score: Score, n_members: int, n_cells: int, said: int) -> None:
    """Compare what a pool needs with what the file holds."""
    pool = pool_of(score)
    wanted = None if pool is None or not pool.uses_experts else (pool.n_experts(n_members), n_cells)
    if (held := tuple(tensors[EXPERTS].shape) if EXPERTS in tensors else None) != wanted:
        raise ValueError(f"the statistics of experts have shape {held}, and the score asks for {wanted}")
    n_kernels = len(tensors[KERNELS]) if KERNELS in tensors else 0
    if (n_kernels > 0) != (pool is not None and pool.kernels > 0) or n_kernels != said:
        raise ValueError(f"the file holds {n_kernels:,} kernels, the manifest says {said:,}; its score {score}")
    if KERNELS in tensors:
        shape = tuple(tensors[KERNELS].shape)
        if len(shape) != 2 or not 1 <= shape[0] <= MAX_KERNELS or shape[1] != n_cells:
            raise ValueError(f"the kernels have shape {shape}; expected up to {MAX_KERNELS:,} of {n_cells:,} cells")
        n_scores = 1 + n_members if isinstance(score, LocalRatio) else 0
        if (held := tuple(tensors[SCORES_OF_KERNELS].shape)) != (n_scores, shape[0]):
            raise ValueError(f"the scores of kernels have shape {held}; expected {(n_scores, shape[0])}")
        positive = (f"{WEIGHTS}kernels.widths", f"{WEIGHTS}kernels.min_deviations")
        if not all(bool((tensors[name] > 0).all()) for name in positive):
            raise ValueError("the widths of kernels are not all above 0")
        if bool((tensors[f"{WEIGHTS}kernels.observed"] > 1).any()):
            raise ValueError("which cells of kernels are missing is not said by 0 and 1")
        if not bool((tensors[f"{WEIGHTS}kernels.bandwidths"] >= 0).all()):
            raise ValueError("the bandwidths of kernels are not all at least 0")


def _check_numbers(vae: VAE, state: Mapping[str, Tensor]) -> None:
    """Refuse numbers that are not finite; levels that a column has not, to fill the axis, have logits of -inf.

    Parameters
    ----------
    vae : VAE
        As the manifest has it, with its own starting values.
    state : dict of Tensor
        From the file, for it.
    """
    absent = vae.start.isneginf()
    offset = next(name for name, part in vae.named_parameters() if part is vae.decoder.offset)
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        usable = tensor.isfinite()
        if name in ("start", offset) and tensor.shape[-1:] == absent.shape:
            usable = usable ^ (tensor.isneginf() & absent)
        if not bool(usable.all()):
            raise ValueError(f"{WEIGHTS}{name} holds numbers that are not finite")
