"""The model of windows, and the map of nats that it gives an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.data import FloatArray
from vae_anomaly.detectors.patch.maps import MapSums
from vae_anomaly.detectors.patch.window_encoder import WindowEncoder, window_levels
from vae_anomaly.detectors.patch.windows import PaddedImage, Windows
from vae_anomaly.explain import expected_cells
from vae_anomaly.fitting import FittedModel, finite_scores, map_chunks
from vae_anomaly.model import VAE, elbo_terms, saturated_terms

# Of the windows that are scored at a time, so that memory does not grow with their number.
MAX_BLOCK_NUMBERS = 1 << 24


@dataclass(frozen=True)
class WindowModel:
    """A fitted model of windows, and how an image is covered with them.

    Parameters
    ----------
    model : FittedModel
        Of windows.
    stride : int
        Pixels between windows.
    with_kl : bool
        Whether the KL is part of the nats.
    """

    model: FittedModel[WindowEncoder]
    stride: int
    with_kl: bool

    @property
    def windows(self) -> Windows:
        """Their sizes."""
        return self.model.encoder.windows

    def maps(self, image: PaddedImage, *, with_expected: bool = False) -> tuple[FloatArray, FloatArray]:
        """Nats per pixel above the least possible, and what was expected.

        Parameters
        ----------
        image : PaddedImage
            In model units.
        with_expected : bool
            Whether to make the second, which costs a second pass.

        Returns
        -------
        nats : ndarray of shape (height, width)
            Over all channels; NaN where the pixel is missing.
        expected : ndarray of shape (channels, height, width)
            Model units; empty unless asked for.
        """
        encoder, windows, margin = self.model.encoder, image.windows, image.windows.margin
        height, width = image.shape
        corners = windows.corners(height, width, self.stride)
        n_channels = encoder.n_channels
        sums = MapSums(windows, (height, width), n_channels + 1 if with_expected else 1)
        n_block = max(1, MAX_BLOCK_NUMBERS // (n_channels * (windows.n_target + windows.n_given)))
        for begin in range(0, len(corners), n_block):
            block = corners[begin : begin + n_block]
            batch = encoder.encode((image, block))
            excess = finite_scores(self._excess(batch)).unflatten(1, (n_channels, windows.n_target)).sum(1)
            expected = self._expected(batch, window_levels(image, block)).unbind(1) if with_expected else ()
            sums.add([part.numpy() for part in (excess, *expected)], block)
        seen = image.seen[:, margin : margin + height, margin : margin + width].amax(0) > 0
        means = sums.means()
        return np.where(seen.numpy(), means[0], np.nan), means[1:]

    def _excess(self, batch: Batch) -> Tensor:
        """Nats of every target pixel above the least possible: (windows, target pixels), float64."""
        function = partial(_excess_of_chunk, self.model.encoder.n_targets, self.with_kl)
        return map_chunks(function, self.model.vae, self.model.noise, batch)[0]

    def _expected(self, batch: Batch, levels: Tensor) -> Tensor:
        """What is expected of the target pixels, in the units of the images' model: (windows, channels, pixels)."""
        encoder = self.model.encoder
        found = expected_cells(self.model.vae, batch, self.model.noise, weighted=False)[:, : encoder.n_targets]
        columns = encoder.columns[: encoder.n_channels]
        scales, locations = (torch.tensor([getattr(c, name) for c in columns]) for name in ("scale", "location"))
        by_channel = found.unflatten(1, (encoder.n_channels, encoder.windows.n_target))
        pixels: Tensor = by_channel * scales.double()[:, None] + locations.double()[:, None] + levels.double()
        return pixels


def _excess_of_chunk(n_targets: int, with_kl: bool, vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    terms = elbo_terms(vae, part, noise)
    excess = (saturated_terms(vae, part).unsqueeze(1) - terms.log_likelihood)[..., :n_targets].mean((0, 1))
    return (excess + terms.kl.mean(0)[:, None] / n_targets if with_kl else excess,)
