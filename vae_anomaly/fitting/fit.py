"""From rows to a trained model: the steps of `fit`, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.columns import (
    MAX_SEEDS,
    Augment,
    Batch,
    Encoder,
    ImageEncoder,
    TableEncoder,
    infer_columns,
    learn_channels,
)
from vae_anomaly.data import FloatArray, Images, Table
from vae_anomaly.errors import SpecificationError
from vae_anomaly.fitting.fit_config import Specification
from vae_anomaly.fitting.fit_report import FitReport, fit_report
from vae_anomaly.fitting.predict import row_statistics, scoring_noise
from vae_anomaly.model import VAE, History, Redraw, elbo_terms, matmul_precision_of, threads_for, train
from vae_anomaly.scores import RelativeScore

MAX_VALIDATION_ROWS = 512
MIN_VALIDATION_ROWS = 10
VALIDATION_DRAWS = 2
MAX_REPORT_DRAWS, REPORT_CELLS = 64, 1 << 22
MIN_REFERENCE_ROWS, MAX_REFERENCE_ROWS, MAX_REFERENCE_CELLS = 32, 4096, 1 << 16


@dataclass(frozen=True)
class Rows:
    """Training rows that are encoded only where they are needed.

    Parameters
    ----------
    n_rows : int
        How many there are.
    encode : callable
        Some of them, by their numbers, as a batch.
    weights : ndarray of shape (n_rows,), optional
        Positive weights.
    held_out : bool ndarray of shape (n_rows,), optional
        Rows that no training has seen; by default a share of the rows is drawn.
    """

    n_rows: int
    encode: Callable[[npt.NDArray[np.intp]], Batch]
    weights: FloatArray | None = None
    held_out: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class FittedModel:
    """What a fit leaves behind."""

    encoder: Encoder
    vae: VAE
    noise: Tensor
    history: History
    report: FitReport
    reference_rows: Batch


def learn_encoder(data: Table | Images, weights: FloatArray | None, specification: Specification) -> Encoder:
    """What the columns of a table or the channels of images are."""
    if isinstance(data, Images):
        if specification.declared or specification.model_missing:
            name = "columns" if specification.declared else "model_missing"
            raise SpecificationError(f"{name} is about the columns of tables, and the rows are images. Leave it out.")
        return learn_channels(data, specification.likelihood)
    return TableEncoder(
        infer_columns(
            data,
            specification.likelihood,
            weights,
            specification.declared,
            model_missing=specification.model_missing,
        )
    )


@torch.inference_mode(mode=False)
@torch.enable_grad()
def fit_model(
    encoder: Encoder,
    rows: Rows,
    specification: Specification,
    seed: int,
    on_check: Callable[[History], None] | None = None,
    before: VAE | None = None,
) -> FittedModel:
    """Set rows aside, train, fit the prior.

    Parameters
    ----------
    encoder : Encoder
        What the columns are.
    rows : Rows
        Training rows.
    specification : Specification
        What to fit.
    seed : int
        Of everything random.
    on_check : callable, optional
        Called with the history after each check of the training.
    before : VAE, optional
        Whose weights the training starts from; it stays as it is.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    held_out, compared, members = _split(rows, specification, rng)
    used, places = np.unique(members, return_inverse=True)
    device = specification.device
    batch = rows.encode(used).to(device)
    subsamples = torch.from_numpy(places.reshape(members.shape)).to(device)
    validation = rows.encode(held_out).to(device) if len(held_out) else None
    row_weights = None
    if rows.weights is not None:
        row_weights = torch.from_numpy((rows.weights[used] / rows.weights[used].mean()).astype(np.float32)).to(device)

    plan = specification.plan
    latent_dim, hidden_layer_sizes = specification.latent_dim, specification.hidden_layer_sizes
    backbone = specification.backbone
    assert backbone is not None
    assert latent_dim is not None
    assert hidden_layer_sizes is not None
    masked = specification.mask_input
    if masked is None:
        masked = plan.hidden_fraction > 0 or not bool(batch.observed.all())
    if before is None:
        vae = VAE(
            encoder.modelled,
            latent_dim=latent_dim,
            n_members=specification.n_estimators,
            backbone=backbone,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=specification.activation,
            mask_input=masked,
            generator=generator,
            grid=encoder.grid,
        ).to(device)
    else:
        vae = before.untrained_copy().to(device)
    largest_product = members.shape[0] * min(plan.batch_size, members.shape[1]) * vae.largest_matrix
    with threads_for(largest_product), matmul_precision_of(specification.matmul_precision):
        check_noise = scoring_noise(vae.n_members, VALIDATION_DRAWS, latent_dim, seed).to(device)
        local = torch.Generator(device).manual_seed(seed + 1)
        # Constant columns have no gradient; without any other there would be no terms at all.
        trained = encoder.n_varying or encoder.n_model_columns
        seen = None if validation is None else validation.leading(trained)
        history = train(
            vae,
            batch.leading(trained),
            subsamples,
            row_weights,
            seen,
            check_noise,
            plan,
            local,
            on_check,
            continued=before is not None,
            redraw=_redraw(encoder, specification.augment, seed),
        )
        vae.requires_grad_(False).eval()

        judged = batch.take(subsamples[:, :MAX_VALIDATION_ROWS]) if validation is None else validation
        n_draws = _report_draws(vae, len(judged))
        terms = elbo_terms(vae, judged, scoring_noise(vae.n_members, n_draws, latent_dim, seed).to(device))
        report = fit_report(vae, terms, batch, validation, history, rows.n_rows, members.shape[1])
        exemplars = batch.take(subsamples[:, : specification.prior.max_rows])
        vae.prior = specification.prior.fit(vae.posterior(exemplars), exemplars)
        noise = scoring_noise(vae.n_members, specification.score.n_draws, latent_dim, seed).to(device)
        if isinstance(specification.score, RelativeScore):
            vae.reference_statistics = row_statistics(vae, rows.encode(compared), specification.score, noise).to(device)
    n_reference = min(
        rows.n_rows, max(MIN_REFERENCE_ROWS, MAX_REFERENCE_CELLS // encoder.n_model_columns), MAX_REFERENCE_ROWS
    )
    reference_rows = rows.encode(np.sort(rng.choice(rows.n_rows, n_reference, replace=False)))
    return FittedModel(encoder, vae, noise, history, report, reference_rows)


def _redraw(encoder: Encoder, augment: Augment | None, seed: int) -> Redraw | None:
    """What puts changed images in the place of those of a mini-batch."""
    if augment is None or not isinstance(encoder, ImageEncoder):
        return None
    rng = np.random.default_rng(seed)
    return lambda batch: encoder.augmented(batch, augment, int(rng.integers(MAX_SEEDS)))


def _report_draws(vae: VAE, n_rows: int) -> int:
    """Draws for the report: as many as memory allows, because two miss its bound by tenths of a nat to either side."""
    cells = vae.n_members * n_rows * max(vae.n_parameters, vae.n_columns, vae.latent_dim, 64)
    return min(max(REPORT_CELLS // cells, VALIDATION_DRAWS), MAX_REPORT_DRAWS)


def _split(
    rows: Rows, specification: Specification, rng: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows to stop by, rows to compare with, and each member's own rows without replacement, (members, rows a member).

    Where the score compares rows with training rows, these are as many as those to stop by and others than they, and
    no member sees them; where there are too few rows for that, they are training rows like all.
    """
    order = rng.permutation(rows.n_rows)
    compares, compared = isinstance(specification.score, RelativeScore), order
    if rows.held_out is None:
        n_held_out = min(round(specification.validation_fraction * rows.n_rows), MAX_VALIDATION_ROWS, rows.n_rows // 2)
        held_out, rest = order[:n_held_out], order[n_held_out:]
    else:
        marked = rows.held_out[order]
        held_out, rest = order[marked], order[~marked]
        if compares and len(held_out) >= 2 * MIN_VALIDATION_ROWS:
            compared, held_out = held_out[::2], held_out[1::2]
        held_out = held_out[:MAX_VALIDATION_ROWS]
    if not specification.plan.early_stopping or len(held_out) < MIN_VALIDATION_ROWS:
        held_out, rest = held_out[:0], np.concatenate([held_out, rest])
    if compares and compared is order:
        n_compared = min(round(specification.validation_fraction * rows.n_rows), MAX_VALIDATION_ROWS, len(rest) // 2)
        if n_compared >= MIN_VALIDATION_ROWS:
            compared, rest = rest[:n_compared], rest[n_compared:]
    wanted = specification.max_samples
    n_own = int(wanted) if isinstance(wanted, Integral) else round(wanted * len(rest))
    n_own = min(max(n_own, 2), len(rest))
    own = [rng.choice(rest, n_own, replace=False) for _ in range(specification.n_estimators)]
    return np.sort(held_out), np.sort(compared[:MAX_VALIDATION_ROWS]), np.stack(own)
