"""Windows to batches: target pixels first, then what is given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.columns import VALUE_LIMIT, Batch, CellUnits, Column, Encoder
from vae_anomaly.data import FloatArray
from vae_anomaly.detectors.patch.windows import IntArray, PaddedImage, Windows
from vae_anomaly.display import counted
from vae_anomaly.likelihoods import Gaussian, InputOnly, Likelihood, OutputOnly

NOISE_FLOOR = 0.01


@dataclass(frozen=True, repr=False)
class WindowEncoder(Encoder):
    """Windows of prepared images to rows: the target pixels, channel after channel, then the given numbers.

    Where surroundings are given, all numbers are differences from the mean of the ring around the target: what is
    bright or dark as a whole is known.

    Parameters
    ----------
    columns : tuple of Column
        Targets of every channel, then what is given of every channel.
    windows : Windows
    """

    columns: tuple[Column, ...]
    windows: Windows

    def _summary(self) -> str:
        return f"{self.windows!r}, {counted(self.n_channels, 'channel')}"

    @property
    def modelled(self) -> tuple[Column, ...]:
        return self.columns

    @property
    def n_channels(self) -> int:
        """Channels of the images."""
        return len(self.columns) // 2 if self.windows.n_given else len(self.columns)

    @property
    def n_targets(self) -> int:
        """Target pixels of all channels."""
        return self.n_channels * self.windows.n_target

    @property
    def n_varying(self) -> int:
        return self.n_model_columns

    @property
    def n_model_columns(self) -> int:
        return sum(column.n_cells for column in self.columns)

    @property
    def grid(self) -> None:
        return None

    @property
    def image_format(self) -> None:
        return None

    def encode(self, data: tuple[PaddedImage, IntArray], *, fingerprints: bool = True) -> Batch:
        image, corners = data
        target, target_seen, given, given_seen = level_free(image, corners)
        scaled = [
            (part[:, channel] - column.location) / column.scale
            for (part, channel), column in zip(_channels(target, given), self.columns, strict=True)
        ]
        seen = [part[:, channel] > 0 for part, channel in _channels(target_seen, given_seen)]
        values, observed = torch.cat(scaled, 1).clamp(-VALUE_LIMIT, VALUE_LIMIT), torch.cat(seen, 1)
        return Batch(torch.where(observed, values, 0.0), observed)

    def by_column(self, terms: FloatArray) -> FloatArray:
        return terms

    def decode(self, values: FloatArray, units: CellUnits | None = None) -> npt.NDArray[Any]:
        return values


def level_free(image: PaddedImage, corners: IntArray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Windows less the mean of their ring, where they have one."""
    target, target_seen, given, given_seen = image.cut(corners)
    level = _level(image, given, given_seen)
    return target - level, target_seen, given - level, given_seen


def window_levels(image: PaddedImage, corners: IntArray) -> Tensor:
    """The mean of every window's ring, by channel: (windows, channels, 1); 0 where there is no ring."""
    _, _, given, given_seen = image.cut(corners)
    return _level(image, given, given_seen)


def _level(image: PaddedImage, given: Tensor, given_seen: Tensor) -> Tensor:
    ring = slice(0, len(image.windows.ring))
    sums = (given[..., ring] * given_seen[..., ring]).sum(-1, keepdim=True)
    return sums / given_seen[..., ring].sum(-1, keepdim=True).clamp(min=1)


def learn_windows(
    sample: list[tuple[PaddedImage, IntArray]], names: tuple[str, ...], windows: Windows
) -> WindowEncoder:
    """What the channels of windows are, from some of them.

    Parameters
    ----------
    sample : list of (PaddedImage, corners)
    names : tuple of str
        Names of the channels.
    windows : Windows
    """
    cut = [level_free(image, corners) for image, corners in sample]
    target, target_seen, given, given_seen = (torch.cat(parts) for parts in zip(*cut, strict=True))
    noise = Gaussian("shared", NOISE_FLOOR)
    likelihood: Likelihood = OutputOnly(noise) if windows.n_given else noise
    columns = [
        _column(name, likelihood, target[:, channel][target_seen[:, channel] > 0], windows.n_target)
        for channel, name in enumerate(names)
    ]
    if windows.n_given:
        columns += [
            _column(f"{name} around", InputOnly(), given[:, channel][given_seen[:, channel] > 0], windows.n_given)
            for channel, name in enumerate(names)
        ]
    return WindowEncoder(tuple(columns), windows)


def _channels(*parts: Tensor) -> list[tuple[Tensor, int]]:
    return [(part, channel) for part in parts if part.shape[-1] for channel in range(part.shape[1])]


def _column(name: str, likelihood: Likelihood, pixels: Tensor, n_cells: int) -> Column:
    numbers = pixels.double().numpy()
    location = float(np.mean(numbers)) if len(numbers) else 0.0
    scale = float(np.std(numbers)) if len(numbers) else 1.0
    return Column(
        name,
        "pixel",
        likelihood,
        "a channel of windows",
        location=location,
        scale=scale if scale > 0 and math.isfinite(scale) else 1.0,
        n_cells=n_cells,
    )
