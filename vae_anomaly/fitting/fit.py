"""From rows to a fitted model: the steps of `fit`, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from vae_anomaly.columns import MAX_SEEDS, Batch, Declarations, Encoder, TableEncoder, infer_columns, learn_channels
from vae_anomaly.data import FloatArray, Images, Table
from vae_anomaly.errors import SpecificationError
from vae_anomaly.fitting.fit_config import FitConfig, NetworkConfig
from vae_anomaly.fitting.fit_report import fit_report
from vae_anomaly.fitting.fitted_model import FittedModel
from vae_anomaly.fitting.pixel_maps import map_scale
from vae_anomaly.fitting.predict import row_statistics, score_rows, scoring_noise
from vae_anomaly.likelihoods import Likelihood
from vae_anomaly.model import VAE, History, Redraw, elbo_terms, matmul_precision_of, threads_for, train
from vae_anomaly.scores import RelativeScore

MAX_VALIDATION_ROWS = 512
MIN_VALIDATION_ROWS = 10
VALIDATION_DRAWS = 2
MAX_REPORT_DRAWS, REPORT_CELLS = 64, 1 << 22
MIN_REFERENCE_ROWS, MAX_REFERENCE_ROWS, MAX_REFERENCE_CELLS = 32, 4096, 1 << 16

IntArray = npt.NDArray[np.intp]
EncoderT = TypeVar("EncoderT", bound=Encoder)
OnCheck = Callable[[History], None]


@dataclass(frozen=True)
class TrainingRows:
    """Training rows that are encoded only where they are needed.

    Parameters
    ----------
    n_rows : int
        How many there are.
    encode : callable
        Some of them, by their indices, as a batch.
    weights : ndarray of shape (n_rows,), optional
        Positive weights.
    held_out : bool ndarray of shape (n_rows,), optional
        Rows that no training has seen; by default a share of the rows is drawn.
    augment : callable, optional
        From rows of a mini-batch and a seed to the changed rows to train on.
    """

    n_rows: int
    encode: Callable[[IntArray], Batch]
    weights: FloatArray | None = None
    held_out: npt.NDArray[np.bool_] | None = None
    augment: Callable[[Batch, int], Batch] | None = None


def learn_encoder(
    data: Table | Images,
    weights: FloatArray | None,
    likelihood: Likelihood | None,
    declared: Declarations,
    *,
    model_missing: bool,
) -> Encoder:
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
    model_missing : bool
        Whether it counts which cells are missing.
    """
    if not isinstance(data, Images):
        return TableEncoder(infer_columns(data, likelihood, weights, declared, model_missing=model_missing))
    if declared or model_missing:
        name = "columns" if declared else "model_missing"
        raise SpecificationError(f"{name} is about the columns of tables, and the rows are images. Leave it out.")
    return learn_channels(data, likelihood)


@torch.inference_mode(mode=False)
@torch.enable_grad()
def fit_model(
    encoder: EncoderT,
    rows: TrainingRows,
    config: FitConfig,
    seed: int,
    on_check: OnCheck | None = None,
    initial: VAE | None = None,
) -> FittedModel[EncoderT]:
    """Hold rows out, train, fit the prior, find the threshold.

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
        Called with the history after each check of the training.
    initial : VAE, optional
        Whose weights the training starts from; it stays as it is.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    held_out, compared, members = _split(rows, config, rng)
    used, positions = np.unique(members, return_inverse=True)
    device = config.device
    batch = rows.encode(used).to(device)
    subsamples = torch.from_numpy(positions.reshape(members.shape)).to(device)
    validation = rows.encode(held_out).to(device) if len(held_out) else None
    row_weights = None
    if rows.weights is not None:
        row_weights = torch.from_numpy((rows.weights[used] / rows.weights[used].mean()).astype(np.float32)).to(device)
    if initial is None:
        mask_input = config.training.hidden_fraction > 0 or not bool(batch.observed.all())
        vae = _untrained(encoder, config.network, generator, mask_input=config.network.mask_input and mask_input)
    else:
        vae = initial.untrained_copy()
    vae = vae.to(device)
    largest_product = members.shape[0] * min(config.training.batch_size, members.shape[1]) * vae.largest_matrix
    with threads_for(largest_product), matmul_precision_of(config.matmul_precision):
        # Constant columns have no gradient; without any other there would be no terms at all.
        n_trained = encoder.n_varying or encoder.n_model_columns
        history = train(
            vae,
            batch.leading(n_trained),
            subsamples,
            row_weights,
            None if validation is None else validation.leading(n_trained),
            scoring_noise(vae.n_members, VALIDATION_DRAWS, vae.latent_dim, seed).to(device),
            config.training,
            torch.Generator(device).manual_seed(seed + 1),
            on_check,
            continued=initial is not None,
            redraw=_redraw(rows, seed),
        )
        vae.requires_grad_(False).eval()

        reported = batch.take(subsamples[:, :MAX_VALIDATION_ROWS]) if validation is None else validation
        n_draws = _report_draws(vae, len(reported))
        terms = elbo_terms(vae, reported, scoring_noise(vae.n_members, n_draws, vae.latent_dim, seed).to(device))
        report = fit_report(vae, terms, batch, validation, history, rows.n_rows, members.shape[1])
        exemplars = batch.take(subsamples[:, : config.prior.max_rows])
        vae.prior = config.prior.fit(vae.posterior(exemplars), exemplars)
        noise = scoring_noise(vae.n_members, config.score.n_draws, vae.latent_dim, seed).to(device)
        if isinstance(config.score, RelativeScore):
            vae.reference_statistics = row_statistics(vae, rows.encode(compared), config.score, noise).to(device)
    reference_rows = rows.encode(_reference_rows(rows.n_rows, encoder.n_model_columns, rng))
    offset = config.threshold.offset(
        rows.n_rows, lambda indices: score_rows(vae, rows.encode(indices), config.score, noise).numpy()
    )
    grid = encoder.grid
    return FittedModel(
        encoder=encoder,
        vae=vae,
        noise=noise,
        score=config.score,
        offset=offset,
        history=history,
        report=report,
        reference_rows=reference_rows,
        reference=None,
        map_scale=None if grid is None else map_scale(vae, grid, reference_rows, noise),
    )


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


def _redraw(rows: TrainingRows, seed: int) -> Redraw | None:
    """What replaces the rows of a mini-batch by changed ones."""
    augment = rows.augment
    if augment is None:
        return None
    rng = np.random.default_rng(seed)
    return lambda batch: augment(batch, int(rng.integers(MAX_SEEDS)))


def _report_draws(vae: VAE, n_rows: int) -> int:
    """Draws for the report: as many as memory allows, because two miss its bound by tenths of a nat to either side."""
    cells = vae.n_members * n_rows * max(vae.n_parameters, vae.n_columns, vae.latent_dim, 64)
    return min(max(REPORT_CELLS // cells, VALIDATION_DRAWS), MAX_REPORT_DRAWS)


def _reference_rows(n_rows: int, n_columns: int, rng: np.random.Generator) -> IntArray:
    """Rows that the model keeps to compare with."""
    n_reference = min(n_rows, max(MIN_REFERENCE_ROWS, MAX_REFERENCE_CELLS // n_columns), MAX_REFERENCE_ROWS)
    return np.sort(rng.choice(n_rows, n_reference, replace=False))


def _split(rows: TrainingRows, config: FitConfig, rng: np.random.Generator) -> tuple[IntArray, IntArray, IntArray]:
    """Rows to stop by, rows to compare with, and the rows of each member: (members, rows per member).

    Where the score compares rows with training rows, these are as many as those to stop by and others than they, and
    no member sees them; where there are too few rows for that, they are training rows like all.
    """
    order = rng.permutation(rows.n_rows)
    compares, compared = isinstance(config.score, RelativeScore), order
    fraction = config.split.validation_fraction
    if rows.held_out is None:
        n_held_out = min(round(fraction * rows.n_rows), MAX_VALIDATION_ROWS, rows.n_rows // 2)
        held_out, rest = order[:n_held_out], order[n_held_out:]
    else:
        marked = rows.held_out[order]
        held_out, rest = order[marked], order[~marked]
        if compares and len(held_out) >= 2 * MIN_VALIDATION_ROWS:
            compared, held_out = held_out[::2], held_out[1::2]
        held_out = held_out[:MAX_VALIDATION_ROWS]
    if not config.training.early_stopping or len(held_out) < MIN_VALIDATION_ROWS:
        held_out, rest = held_out[:0], np.concatenate([held_out, rest])
    if compares and compared is order:
        n_compared = min(round(fraction * rows.n_rows), MAX_VALIDATION_ROWS, len(rest) // 2)
        if n_compared >= MIN_VALIDATION_ROWS:
            compared, rest = rest[:n_compared], rest[n_compared:]
    wanted = config.split.max_samples
    n_own = int(wanted) if isinstance(wanted, Integral) else round(wanted * len(rest))
    n_own = min(max(n_own, 2), len(rest))
    own = [rng.choice(rest, n_own, replace=False) for _ in range(config.network.n_members)]
    return np.sort(held_out), np.sort(compared[:MAX_VALIDATION_ROWS]), np.stack(own)
