"""The model of windows, and what it says of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.data import FloatArray
from vae_anomaly.detectors.patch.maps import assembled
from vae_anomaly.detectors.patch.window_encoder import WindowEncoder, window_levels
from vae_anomaly.detectors.patch.windows import Surface
from vae_anomaly.explain import expected_cells
from vae_anomaly.fitting import chunk_rows, chunks
from vae_anomaly.model import VAE, elbo_terms, map_in_threads, saturated_terms


@dataclass(frozen=True)
class WindowModel:
    """A model of windows.

    Parameters
    ----------
    vae : VAE
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise.
    encoder : WindowEncoder
    stride : int
        Pixels between windows.
    with_kl : bool
        Whether the KL is part of the nats.
    """

    vae: VAE
    noise: Tensor
    encoder: WindowEncoder
    stride: int
    with_kl: bool

    def look(self, surface: Surface, *, with_expected: bool = False) -> tuple[FloatArray, FloatArray]:
        """Nats per pixel above the least possible, and what was expected.

        Parameters
        ----------
        surface : Surface
            An image in model units.
        with_expected : bool
            Whether to make the second, which costs a second pass.

        Returns
        -------
        nats : ndarray of shape (height, width)
            Over all channels; NaN where the pixel is missing.
        expected : ndarray of shape (channels, height, width)
            Model units; empty unless asked for.
        """
        windows, margin = surface.windows, surface.windows.margin
        height, width = surface.shape
        corners = windows.corners(height, width, self.stride)
        batch = self.encoder.encode((surface, corners))
        lost = self._lost(batch).unflatten(1, (self.encoder.n_channels, windows.n_target)).sum(1)
        nats = assembled(lost.numpy(), corners, windows, (height, width))
        seen = surface.seen[:, margin : margin + height, margin : margin + width].amax(0) > 0
        nats = np.where(seen.numpy(), nats, np.nan)
        if not with_expected:
            return nats, np.empty((0, height, width))
        expected = self._expected(batch, window_levels(surface, corners))
        return nats, np.stack([assembled(one.numpy(), corners, windows, (height, width)) for one in expected.unbind(1)])

    def _lost(self, batch: Batch) -> Tensor:
        """Nats of every target pixel above the least possible: (windows, target pixels), float64."""
        targets = slice(0, self.encoder.n_targets)

        def of_chunk(chunk: tuple[Batch, int]) -> Tensor:
            part, n_real = chunk
            with torch.inference_mode():
                terms = elbo_terms(self.vae, part, self.noise)
                lost = (saturated_terms(self.vae, part).unsqueeze(1) - terms.log_likelihood)[..., targets].mean((0, 1))
                if self.with_kl:
                    lost = lost + terms.kl.mean(0)[:, None] / self.encoder.n_targets
                return lost[:n_real].cpu().double()

        parts = chunks(batch, chunk_rows(self.vae, self.noise.shape[1]), self.noise.device)
        return torch.cat(map_in_threads(of_chunk, parts, on_cpu=self.noise.device.type == "cpu"))

    def _expected(self, batch: Batch, levels: Tensor) -> Tensor:
        """What is expected of the target pixels, in the units of the images' model: (windows, channels, pixels)."""
        encoder = self.encoder
        found = expected_cells(self.vae, batch, self.noise, weighted=False)[:, : encoder.n_targets]
        columns = encoder.columns[: encoder.n_channels]
        scales, locations = (torch.tensor([getattr(c, name) for c in columns]) for name in ("scale", "location"))
        by_channel = found.unflatten(1, (encoder.n_channels, encoder.windows.n_target))
        pixels: Tensor = by_channel * scales.double()[:, None] + locations.double()[:, None] + levels.double()
        return pixels
