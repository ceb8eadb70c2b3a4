"""Ways to score rows some of whose cells are missing, all with the weights of one fit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from benchmarks.harness import Array

from vae_anomaly import VAEDetector
from vae_anomaly.columns import Batch
from vae_anomaly.detectors import read_table
from vae_anomaly.fitting import score_rows
from vae_anomaly.model import VAE
from vae_anomaly.scores import PooledELBO

N_DRAWS = 4
EXPECTED = "expected"
PLAIN = PooledELBO(missing="ignored")


def expected(detector: VAEDetector, rows: Array) -> Array:
    """The default: cells at their mean cost, and what is not additive by the share of the cells."""
    return detector.anomaly_score(rows)


def ignored(detector: VAEDetector, rows: Array) -> Array:
    """The plain sum over observed cells."""
    return plain(detector, batch_of(detector, rows))


def cells_only(detector: VAEDetector, rows: Array) -> Array:
    """Cells at their mean cost, nothing else."""
    vae = copy.deepcopy(detector.vae_)
    assert vae.experts is not None
    vae.experts.combination.zero_()
    return plain(detector, batch_of(detector, rows), PooledELBO(), vae)


def per_cell(detector: VAEDetector, rows: Array) -> Array:
    """The plain sum over the number of observed cells, times that of all."""
    batch = batch_of(detector, rows)
    n_observed = batch.observed.sum(-1).clamp(min=1).numpy()
    scaled: Array = plain(detector, batch) / n_observed * batch.n_columns
    return scaled


def imputed(detector: VAEDetector, rows: Array) -> Array:
    """The plain sum after the model's own imputation."""
    return detector.anomaly_score(detector.impute(rows))


def drawn(detector: VAEDetector, rows: Array) -> Array:
    """The expected score under the model: the mean plain sum of rows whose missing cells are drawn from p(x | z)."""
    batch = batch_of(detector, rows)
    vae, generator = detector.vae_, torch.Generator().manual_seed(0)
    total = np.zeros(len(batch))
    with torch.inference_mode():
        posterior = vae.posterior(batch)
        for number in range(N_DRAWS):
            noise = torch.randn(posterior.mean.unsqueeze(1).shape, generator=generator)
            distributions = vae.decode(posterior.draw(noise))
            cells = torch.cat([one.draw(generator) for one in distributions], -1)[number % vae.n_members, 0]
            filled = batch.values.where(batch.observed, cells.float())
            total += plain(detector, Batch(filled, torch.ones_like(batch.observed)))
    return total / N_DRAWS


def plain(detector: VAEDetector, batch: Batch, score: PooledELBO = PLAIN, vae: VAE | None = None) -> Array:
    found: Array = -score_rows(vae or detector.vae_, batch, score, detector.noise_).numpy()
    return found


def batch_of(detector: VAEDetector, rows: Array) -> Batch:
    return detector.encoder_.encode(read_table(detector, rows, fitting=False))


METHODS: dict[str, Callable[[VAEDetector, Array], Array]] = {
    EXPECTED: expected,
    "ignored": ignored,
    "cells only": cells_only,
    "per cell": per_cell,
    "imputed": imputed,
    "drawn": drawn,
}
