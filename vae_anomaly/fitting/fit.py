"""From rows to a fitted model: the steps of `fit`, in order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.columns import (
    BaselineSpecification,
    Batch,
    Declarations,
    Encoder,
    MissingValues,
    References,
    TableEncoder,
    infer_columns,
    learn_baseline,
    learn_channels,
    read_text,
    residual_columns,
    without_codes,
)
from vae_anomaly.data import FloatArray, Images, Table
from vae_anomaly.decisions import (
    NO_THRESHOLD,
    Calibration,
    Contamination,
    Decisions,
    FixedScore,
    chance_of_repeats,
)
from vae_anomaly.errors import NonFiniteScoreError, SpecificationError, TrainingDiverged
from vae_anomaly.fitting.expert_statistics import learn_experts, not_calibrating
from vae_anomaly.fitting.fit_config import FitConfig, NetworkConfig
from vae_anomaly.fitting.fit_report import fit_report
from vae_anomaly.fitting.fitted_model import CalibratingRows, FittedModel
from vae_anomaly.fitting.partition import MAX_VALIDATION_ROWS, IntArray, Partition, TrainingRows, partition
from vae_anomaly.fitting.pixel_maps import map_scale
from vae_anomaly.fitting.predict import row_statistics, score_rows, scores_and_comparisons, scoring_noise
from vae_anomaly.likelihoods import Likelihood
from vae_anomaly.model import (
    VAE,
    OnCheck,
    TrainingStates,
    TrainingTask,
    elbo_terms,
    fit_kernels,
    matmul_precision_of,
    repeatable_convolutions,
    threads_for,
    train_members,
)
from vae_anomaly.scores import LocalRatio, PooledELBO, RelativeScore, pool_of

VALIDATION_DRAWS = 2
MAX_REPORT_DRAWS, REPORT_CELLS = 64, 1 << 22
MIN_REFERENCE_ROWS, MAX_REFERENCE_ROWS, MAX_REFERENCE_CELLS = 32, 4096, 1 << 16
MAX_ROWS_FOR_FENCE = 2048
SEED_OF_KERNELS, SEED_OF_CELLS = 18, 20

EncoderT = TypeVar("EncoderT", bound=Encoder)


def learn_encoder(
    data: Table | Images,
    weights: FloatArray | None,
    likelihood: Likelihood | None,
    declared: Declarations,
    *,
    missing_values: MissingValues = None,
    model_missing: bool,
    baseline: BaselineSpecification | None = None,
) -> tuple[Encoder, References | None]:
    """What the columns of a table or the channels of images are.

    Parameters
    ----------
    data : Table or Images
        Training rows.
    weights : ndarray of shape (rows,) or None
        Their weights.
    likelihood : Likelihood or None
        Of numeric columns or pixels; None chooses by what they hold.
    declared : dict
        What columns are, by name.
    missing_values : optional
        Cells that stand for missing ones, see `infer_columns`.
    model_missing : bool
        Whether it counts which cells are missing.
    baseline : BaselineSpecification, optional
        What numbers are compared by.

    Returns
    -------
    encoder : Encoder
    references : References or None
        What numbers of the training rows are compared with, without their own.
    """
    if not isinstance(data, Images):
        if baseline is not None:
            baseline.check(data.names)
        columns = infer_columns(
            data, likelihood, weights, declared, missing_values=missing_values, model_missing=model_missing
        )
        if baseline is None:
            return TableEncoder(columns), None
        with data.naming_rows():
            rows = without_codes(read_text(data, columns), columns)
            learned = learn_baseline(rows, columns, baseline)
            columns = residual_columns(rows, columns, learned, likelihood, weights, declared)
        return TableEncoder(columns, learned.baseline), learned.references
    if baseline is not None:
        raise SpecificationError(
            "baseline_by and baseline_time name columns of a table, and the rows are images. Leave them out."
        )
    if declared or model_missing:
        name = "columns" if declared else "model_missing"
        raise SpecificationError(f"{name} is about the columns of tables, and the rows are images. Leave it out.")
    return learn_channels(data, likelihood), None


@torch.inference_mode(mode=False)
@torch.enable_grad()
def fit_model(
    encoder: EncoderT,
    rows: TrainingRows,
    config: FitConfig,
    seed: int,
    on_check: OnCheck | None = None,
    initial: VAE | None = None,
    states: TrainingStates | None = None,
    n_jobs: int | None = 1,
) -> FittedModel[EncoderT]:
    """Hold rows out, train, fit the prior, calibrate, find the threshold.

    Parameters
    ----------
    encoder : Encoder
        What the columns are.
    rows : TrainingRows
    config : FitConfig
        What to fit.
    seed : int
        Of everything random.
    on_check : callable, optional
        Called at each check of the training, see `train`.
    initial : VAE, optional
        Whose weights the training starts from; it stays as it is.
    states : TrainingStates, optional
        Keeps the state of the training, see `paused_training`.
    n_jobs : int or None
        How many blocks of a large ensemble train at once, see `train_members`.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    parts = partition(
        rows,
        config.split,
        config.network.n_members,
        rng,
        stops=config.training.early_stopping,
        compares=isinstance(config.score, RelativeScore),
    )
    members = parts.members
    used, positions = np.unique(members, return_inverse=True)
    device = config.device
    batch = rows.encode(used).to(device)
    subsamples = torch.from_numpy(positions.reshape(members.shape)).to(device)
    validation = rows.encode(parts.held_out).to(device) if len(parts.held_out) else None
    row_weights = None
    if rows.weights is not None:
        row_weights = torch.from_numpy((rows.weights[used] / rows.weights[used].mean()).astype(np.float32)).to(device)
    if initial is None:
        mask_input = config.training.hidden_fraction > 0 or not bool(batch.observed.all())
        vae = _untrained(encoder, config.network, generator, mask_input=config.network.mask_input and mask_input)
    else:
        vae = initial.untrained_copy()
    vae = vae.to(device)
    # Constant columns have no gradient; without any other there would be no terms at all.
    n_trained = encoder.n_varying or encoder.n_model_columns
    task = TrainingTask(
        vae=vae,
        batch=batch.leading(n_trained),
        subsamples=subsamples,
        weights=row_weights,
        validation=None if validation is None else validation.leading(n_trained),
        validation_noise=scoring_noise(vae.n_members, VALIDATION_DRAWS, vae.latent_dim, seed).to(device),
        config=config.training,
        seed=seed,
        augment=rows.augment,
        continued=initial is not None,
        matmul_precision=config.matmul_precision,
    )
    exact = config.matmul_precision == "highest"
    with (
        threads_for(task.rows_per_step * vae.largest_matrix),
        matmul_precision_of(config.matmul_precision),
        repeatable_convolutions(device, exact=exact),
    ):
        with _naming_the_column(encoder, batch):
            history = train_members(task, on_check, states, n_jobs)
        vae.requires_grad_(False).eval()

        reported = batch.take(subsamples[:, :MAX_VALIDATION_ROWS]) if validation is None else validation
        n_draws = _report_draws(vae, len(reported))
        terms = elbo_terms(vae, reported, scoring_noise(vae.n_members, n_draws, vae.latent_dim, seed).to(device))
        report = fit_report(vae, terms, batch, validation, history, rows.n_rows, members.shape[1])
        exemplars = batch.take(_exemplars(vae, batch, subsamples, config, seed))
        vae.prior = config.prior.fit(vae.posterior(exemplars), exemplars)
        noise = scoring_noise(vae.n_members, config.score.n_draws, vae.latent_dim, seed).to(device)
        pool = pool_of(config.score)
        if pool is not None:
            _learn_pool(pool, vae, encoder, rows, parts, config, noise, seed)
        if isinstance(config.score, RelativeScore):
            vae.reference_statistics = row_statistics(vae, rows.encode(parts.compared), config.score, noise).to(device)
    n_kept = min(max(MIN_REFERENCE_ROWS, MAX_REFERENCE_CELLS // encoder.n_model_columns), MAX_REFERENCE_ROWS)
    reference = np.sort(rng.choice(rows.n_rows, min(n_kept, rows.n_rows), replace=False))
    reference_rows = rows.encode(reference)
    calibrating = None if encoder.takes_images else _calibrating_rows(rows, parts, config, n_kept, reference, seed)
    grid = encoder.grid
    return FittedModel(
        encoder=encoder,
        vae=vae,
        noise=noise,
        score=config.score,
        decisions=_decisions(vae, rows, parts, config, noise),
        history=history,
        report=report,
        reference_rows=reference_rows,
        reference=None,
        calibrating_rows=calibrating,
        map_scale=None if grid is None else map_scale(vae, grid, reference_rows, noise),
    )


def _learn_pool(
    pool: PooledELBO,
    vae: VAE,
    encoder: Encoder,
    rows: TrainingRows,
    parts: Partition,
    config: FitConfig,
    noise: Tensor,
    seed: int,
) -> None:
    """Kernels and statistics of a pool, from rows that do not calibrate, and what rows are compared with."""
    if pool.kernels:
        rng = np.random.default_rng([seed, SEED_OF_KERNELS])
        candidates = not_calibrating(rows, parts)
        centres = np.sort(rng.choice(candidates, min(pool.n_kernels, len(candidates)), replace=False))
        vae.kernels = fit_kernels(vae, rows.encode(centres).to(noise.device))
    if pool.uses_experts:
        crossed = config.split.calibration == "cross"
        vae.experts = learn_experts(vae, encoder, rows, parts, pool, noise, seed, crossed=crossed)
    if isinstance(config.score, LocalRatio):
        assert vae.kernels is not None
        scores, by_member = scores_and_comparisons(vae, vae.kernels.centres, pool, noise, by_member=True)
        of_all = np.concatenate([scores[:, None], by_member], 1).T
        vae.kernels.scores = torch.from_numpy(np.ascontiguousarray(of_all)).to(noise.device)


def _exemplars(vae: VAE, batch: Batch, subsamples: Tensor, config: FitConfig, seed: int) -> Tensor:
    """Rows of each member that its prior is made of: (members, rows).

    Where the training was trimmed, those that it would have left out are left out here as well: an anomaly among the
    exemplars makes others like it normal, even if it was not learned from.
    """
    max_rows, trimmed = config.prior.max_rows, config.training.trim_fraction
    if not trimmed:
        return subsamples[:, :max_rows]
    candidates = subsamples[:, : math.ceil(max_rows / (1 - trimmed))]
    n_kept = candidates.shape[1] - int(trimmed * candidates.shape[1])
    noise = scoring_noise(vae.n_members, VALIDATION_DRAWS, vae.latent_dim, seed).to(batch.values.device)
    # The prior is still that of the training, N(0, I).
    bound = elbo_terms(vae, batch.take(candidates), noise).elbo
    kept = bound.topk(n_kept, dim=1, sorted=False).indices.sort(dim=1).values
    return candidates.gather(1, kept)


@contextmanager
def _naming_the_column(encoder: Encoder, batch: Batch) -> Iterator[None]:
    """Say which column of a table has the most extreme cell where the training diverges."""
    try:
        yield
    except TrainingDiverged as error:
        if encoder.takes_images:
            raise
        column = encoder.modelled[int(batch.values.abs().amax(0).argmax())]
        raise TrainingDiverged(error.iteration, error.epoch, error.last_finite_loss, column.name) from error


@contextmanager
def _naming_the_row(chosen: npt.NDArray[np.intp]) -> Iterator[None]:
    """Number the row whose score is not finite among all rows of the fit, and not among those that were scored."""
    try:
        yield
    except NonFiniteScoreError as error:
        raise error.with_row(int(chosen[error.row])) from error


def _untrained(encoder: Encoder, network: NetworkConfig, generator: torch.Generator, *, mask_input: bool) -> VAE:
    return VAE(
        encoder.modelled,
        latent_dim=network.latent_dim,
        n_members=network.n_members,
        backbone=network.backbone,
        hidden_layer_sizes=network.hidden_layer_sizes,
        activation=network.activation,
        mask_input=mask_input,
        generator=generator,
        grid=encoder.grid,
    )


def _decisions(vae: VAE, rows: TrainingRows, parts: Partition, config: FitConfig, noise: Tensor) -> Decisions:
    """The calibration, and the threshold that follows from it; from the training rows where nothing calibrates."""
    if not parts.folds and isinstance(config.threshold, FixedScore):
        return NO_THRESHOLD.with_rule(config.threshold)
    crossed = config.split.calibration == "cross" and len(parts.folds) > 0
    shared = np.concatenate([parts.held_out, parts.compared])
    learned = [np.concatenate([shared, own]) for own in (parts.members if crossed else [parts.members.ravel()])]
    influential = np.unique(np.concatenate(learned))
    fingerprints = _fingerprints(rows, influential)
    trained = _with_those_before(
        tuple(np.unique(fingerprints[np.searchsorted(influential, own)]) for own in learned), rows.before
    )
    if not parts.folds:
        step = 1 if isinstance(config.threshold, Contamination) else max(1, rows.n_rows // MAX_ROWS_FOR_FENCE)
        chosen = np.arange(0, rows.n_rows, step)
        with _naming_the_row(chosen):
            scores = -score_rows(vae, rows.encode(chosen), config.score, noise).numpy()
        return Decisions(config.threshold.find(Calibration.of("training", [scores])), None, trained, 0.0)
    chosen = np.concatenate(parts.folds)
    batch = rows.encode(chosen)
    with _naming_the_row(chosen):
        found = -scores_and_comparisons(vae, batch, config.score, noise, by_member=crossed)[1]
    cuts = np.cumsum([len(fold) for fold in parts.folds])[:-1]
    calibration = Calibration.of(
        "cross" if crossed else "split",
        [part[:, number] for number, part in enumerate(np.split(found, cuts))],
        ids=[fold if rows.ids is None else rows.ids[fold] for fold in parts.folds],
        group_column=rows.group_column,
        groups=None if rows.groups is None else [rows.groups[fold].tolist() for fold in parts.folds],
    )
    of_folds = batch.fingerprints().numpy()
    every, where = np.unique(np.concatenate([influential, *parts.folds]), return_index=True)
    _, kind, n_alike = np.unique(
        np.concatenate([fingerprints, of_folds])[where], return_inverse=True, return_counts=True
    )
    repeated = n_alike[kind] > 1
    for fold, own, known in zip(parts.folds, np.split(of_folds, cuts), trained, strict=True):
        repeated[np.searchsorted(every, fold)] |= np.isin(own, known)
    share = chance_of_repeats(repeated)
    return Decisions(config.threshold.find(calibration), calibration, trained, share)


def _with_those_before(
    trained: tuple[npt.NDArray[np.int64], ...], before: Decisions | None
) -> tuple[npt.NDArray[np.int64], ...]:
    """Fingerprints of the rows that were trained on, by the fits too that these weights started from."""
    if before is None or not before.trained:
        return trained
    if len(before.trained) == len(trained):
        return tuple(np.union1d(old, new) for old, new in zip(before.trained, trained, strict=True))
    old = np.concatenate(before.trained)
    return tuple(np.union1d(old, new) for new in trained)


def _fingerprints(rows: TrainingRows, chosen: IntArray) -> npt.NDArray[np.int64]:
    fingerprints: npt.NDArray[np.int64] = rows.encode(chosen).fingerprints().numpy()
    return fingerprints


def _report_draws(vae: VAE, n_rows: int) -> int:
    """Draws for the report: as many as memory allows, because two miss its bound by tenths of a nat to either side."""
    cells = vae.n_members * n_rows * max(vae.n_parameters, vae.n_columns, vae.latent_dim, 64)
    return min(max(REPORT_CELLS // cells, VALIDATION_DRAWS), MAX_REPORT_DRAWS)


def _calibrating_rows(
    rows: TrainingRows, parts: Partition, config: FitConfig, n_kept: int, reference: IntArray, seed: int
) -> CalibratingRows | None:
    """At most `n_kept` of the rows that calibrate, and where they are among the reference rows."""
    if not parts.folds:
        return None
    chosen = np.concatenate(parts.folds)
    folds = np.repeat(np.arange(len(parts.folds)), [len(fold) for fold in parts.folds])
    if n_kept < len(chosen):
        kept = np.random.default_rng([seed, SEED_OF_CELLS]).choice(len(chosen), n_kept, replace=False)
        chosen, folds = chosen[np.sort(kept)], folds[np.sort(kept)]
    places = np.searchsorted(reference, chosen).clip(max=len(reference) - 1)
    n_folds = len(parts.folds) if config.split.calibration == "cross" else 1
    return CalibratingRows(
        rows.encode(chosen),
        torch.from_numpy(folds),
        n_folds,
        torch.from_numpy(np.where(reference[places] == chosen, places, -1)),
    )
