"""The default for images: how rare an image is among training images, in several respects at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model import VAE, Terms, precise
from vae_anomaly.scores.base import RelativeScore
from vae_anomaly.scores.bounds import ELBO
from vae_anomaly.scores.ood import LikelihoodRatio, grid_of
from vae_anomaly.scores.roughness import neighbor_residuals

TAIL = 0.05
MIN_NOISE = 1e-3


@dataclass(frozen=True)
class Surprise(RelativeScore):
    """Minus the largest of three surprises: of the ELBO, of the likelihood ratio, and of the noise in what is left.

    A surprise is the negative logarithm, in nats, of the share of training images that are at least as anomalous;
    beyond the most anomalous twentieth of them, of an exponential tail fitted to that twentieth.

    Parameters
    ----------
    n_draws : int, default=2
        Latent draws per row and member.

    Notes
    -----
    The ELBO finds images with too much in them: other shapes, other contrasts.  It overlooks what is simpler than the
    training images, because little can be wrong with little.  The `LikelihoodRatio` asks how much of what an image
    does hold the model explains beyond smoothness: it finds the simple anomalies, and overlooks noise, which nothing
    can explain.  Noise in turn is seen in the difference between image and reconstruction: the median size, over the
    pixels, of what the mean of four neighbours leaves of it, which strokes and edges hardly move.

    References
    ----------
    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994 (noise from the median
    of fine detail).
    """

    n_draws: int = 2
    n_statistics: ClassVar[int] = 3
    fixed_offset: ClassVar[float | None] = -7.0
    for_images: ClassVar[bool] = True

    def statistics(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        elbo = ELBO(self.n_draws).reduce(terms, vae, batch)
        ratio = LikelihoodRatio(self.n_draws).reduce(terms, vae, batch)
        left = Batch(batch.values - expected_pixels(terms, vae), batch.observed)
        detail = precise(neighbor_residuals(left, grid_of(vae))).abs().where(batch.observed, torch.nan)
        noise = detail.nanmedian(-1).values.nan_to_num().add(MIN_NOISE).log()
        return torch.stack([-elbo, -ratio, noise], -1)

    def compare(self, statistics: Tensor, reference_statistics: Tensor) -> Tensor:
        parts = zip(statistics.unbind(-1), reference_statistics.unbind(-1), strict=True)
        return -torch.stack([upper_tail_surprise(values, known) for values, known in parts]).amax(0)


def expected_pixels(terms: Terms, vae: VAE) -> Tensor:
    """The mean over draws and members of what the decoder expects: (rows, pixels), model units."""
    return torch.cat(
        [distribution.point(distribution.summary().mean((0, 1))) for distribution in vae.decode(terms.z)], -1
    )


def upper_tail_surprise(values: Tensor, known: Tensor) -> Tensor:
    """-log P(at least as large), nats, by known values; beyond their largest twentieth by an exponential tail.

    Continuous and never falling, so that values beyond all known ones still differ.

    Parameters
    ----------
    values : Tensor of shape (rows,)
    known : Tensor of shape (known rows,)

    Returns
    -------
    Tensor of shape (rows,)

    Examples
    --------
    >>> known = torch.arange(1000, dtype=torch.float64)
    >>> upper_tail_surprise(torch.tensor([-5.0, 499.5, 949.05]), known).exp().round().tolist()
    [1.0, 2.0, 20.0]
    """
    ordered = known.sort().values
    n_known = len(ordered)
    border = torch.quantile(ordered, 1 - TAIL)
    beyond = ordered[ordered > border] - border
    mean_excess = beyond.mean().clamp(min=1e-9) if len(beyond) else (ordered.std() / 2 + 1e-9)
    index = torch.searchsorted(ordered, values.contiguous())
    lower, upper = ordered[(index - 1).clamp(min=0)], ordered[index.clamp(max=n_known - 1)]
    within = ((values - lower) / (upper - lower).clamp(min=1e-12)).clamp(0, 1)
    rank = (index - 1 + within).clamp(0, (n_known - 1) * (1 - TAIL))
    inside = -torch.log1p(-rank / max(n_known - 1, 1))
    return torch.where(values > border, -math.log(TAIL) + (values - border) / mean_excess, inside)
