"""Images to batches and back: a pixel is a column, and the pixels of a channel are columns of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from vae_anomaly.columns.augmentation import augmented
from vae_anomaly.columns.batch import Batch
from vae_anomaly.columns.cell_units import CellUnits
from vae_anomaly.columns.column import VALUE_LIMIT, Column
from vae_anomaly.columns.encoder import Encoder
from vae_anomaly.columns.named_augmentation import Augment, Augmentation, Levels
from vae_anomaly.columns.scales import single_tells_apart
from vae_anomaly.data import FloatArray, ImageFormat, Images, arranged
from vae_anomaly.display import counted
from vae_anomaly.errors import DataError, NotAvailable, SpecificationError
from vae_anomaly.likelihoods import LIKELIHOODS, Bernoulli, Gaussian, Likelihood

NOISE_FLOOR, FAR_BEYOND = 0.01, 16
LEVELS_OF_DEPTH = {1: 1, 8: 255, 16: 65_535}
BLOCK_PIXELS = 1 << 20
MAX_PIXEL = 1e30

GreyLevels: TypeAlias = tuple[float | None, float | None, float]


@dataclass(frozen=True, repr=False)
class ImageEncoder(Encoder):
    """Images to rows of pixels, channel after channel and line by line.

    Parameters
    ----------
    columns : tuple of Column
        The channels.
    height, width : int
        Of every image.
    channels_last, channel_axis : bool
        Whether `decode` puts the channels last, and whether it keeps the axis of a single channel that comes first.
    depth : int, optional
        Bits of a grey level in the files that training images came from.
    """

    columns: tuple[Column, ...]
    height: int
    width: int
    channels_last: bool = False
    channel_axis: bool = False
    depth: int | None = None

    def _summary(self) -> str:
        return f"{self.width}x{self.height} pixels, {counted(len(self.columns), 'channel')}"

    @property
    def modelled(self) -> tuple[Column, ...]:
        return self.columns

    @property
    def n_varying(self) -> int:
        return self.n_model_columns

    @property
    def n_model_columns(self) -> int:
        return len(self.columns) * self.height * self.width

    @property
    def grid(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def image_format(self) -> ImageFormat:
        """The format in which image files are read.

        Raises
        ------
        NotAvailable
            If training had floats, which files do not hold.
        """
        if not all(column.resolution for column in self.columns):
            raise NotAvailable(
                "the model was fitted on floats, and image files hold grey levels. Fit it on files or on integers."
            )
        top = max(column.high or 0.0 for column in self.columns)
        depth = self.depth or next((depth for depth, levels in LEVELS_OF_DEPTH.items() if top == levels), 8)
        return ImageFormat(self.height, self.width, len(self.columns), depth)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return len(self.columns), self.height, self.width

    def encode(self, data: Images, *, fingerprints: bool = True) -> Batch:
        if data.shape != self.shape:
            raise DataError(
                f"images have {_worded(data.shape)}; the model takes {_worded(self.shape)}. Resize or convert them."
            )
        self._check_range(data.pixels)
        return self._encoded(data, fingerprints=fingerprints)

    def _encoded(self, data: Images, *, fingerprints: bool = True) -> Batch:
        values = self._in_model_units(data.pixels)
        infinite = np.isinf(data.pixels).reshape(data.n_rows, -1).any(1) if data.pixels.dtype.kind == "f" else None
        if infinite is not None and infinite.any():
            raise DataError(
                "an image holds infinite pixels",
                "expected finite numbers, or NaN where a pixel is missing.",
                row=int(infinite.argmax()),
                item="image",
            )
        observed = ~np.isnan(values)
        self._check_support(values, observed)
        values[~observed] = 0
        np.clip(values, -VALUE_LIMIT, VALUE_LIMIT, out=values)
        known = self._fingerprints(data.pixels, observed) if fingerprints else None
        return Batch(torch.from_numpy(values), torch.from_numpy(observed), known)

    def _fingerprints(self, pixels: npt.NDArray[Any], observed: npt.NDArray[np.bool_]) -> torch.Tensor | None:
        """Of the images with pixels in single precision; None where they are in no higher precision."""
        if pixels.dtype != np.float64 or not all(column.copies_in_single for column in self.columns):
            return None
        with np.errstate(over="ignore"):
            copies = self._in_model_units(pixels.astype(np.float32))
        np.clip(copies, -VALUE_LIMIT, VALUE_LIMIT, out=copies)
        return Batch(torch.from_numpy(copies), torch.from_numpy(observed)).fingerprints()

    def augmented(self, batch: Batch, augment: Augment | tuple[Augmentation, ...], seed: int) -> Batch:
        """Rows of changed images in place of those of a batch, (..., rows, model columns).

        Raises
        ------
        SpecificationError
            If `augment` makes something of them that the model does not take.
        """
        given = self.in_data_units(batch.values.flatten(0, -2).cpu().numpy())
        given[~batch.observed.flatten(0, -2).cpu().numpy().reshape(given.shape)] = np.nan
        dtype: type[np.integer[Any]] | None = None
        if all(column.resolution for column in self.columns):
            given = np.rint(given)
            dtype = np.uint8 if all(_are_bytes(column) for column in self.columns) else np.int32
        levels = Levels.of((column.low, column.high) for column in self.columns)
        changed = augmented(Images(given), augment, seed, dtype, levels)
        if callable(augment) and 0 < np.nanmax(changed.pixels, initial=0) <= 1 < np.nanmax(given, initial=0):
            raise SpecificationError("augment left no pixel above 1. Leave the units of the images as they are.")
        try:
            rows = self._encoded(changed)
        except DataError as error:
            raise SpecificationError(f"augment made images that the model does not take: {error}") from error
        rows = rows.to(batch.values.device)
        return Batch(rows.values.view(batch.values.shape), rows.observed.view(batch.values.shape))

    def by_column(self, terms: FloatArray) -> FloatArray:
        return terms

    def decode(self, values: FloatArray, units: CellUnits | None = None) -> npt.NDArray[Any]:
        """Images in the units of the data, with the axes of the training images."""
        pixels = self.in_data_units(values)
        return arranged(pixels, channels_last=self.channels_last, channel_axis=self.channel_axis)

    def in_data_units(self, values: FloatArray) -> FloatArray:
        """From model units to images in the units of the data, (rows, channels, height, width)."""
        pixels = values.reshape(len(values), *self.shape).astype(np.float64)
        for channel, column in enumerate(self.columns):
            pixels[:, channel] = pixels[:, channel] * column.scale + column.location
            if column.likelihood is not None and column.likelihood.rounded:
                pixels[:, channel] = np.rint(pixels[:, channel] / column.step) * column.step
            if column.low is not None and column.high is not None:
                pixels[:, channel] = pixels[:, channel].clip(column.low, column.high)
        return pixels

    def _in_model_units(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """(rows, model columns); in double precision by blocks, so that the lowest level meets the column's bound."""
        values = np.empty(pixels.shape, dtype=np.float32)
        n_rows = max(1, BLOCK_PIXELS // (self.height * self.width))
        with np.errstate(over="ignore"):
            for channel, column in enumerate(self.columns):
                for begin in range(0, len(pixels), n_rows):
                    block = pixels[begin : begin + n_rows, channel].astype(np.float64)
                    values[begin : begin + n_rows, channel] = (block - column.location) / column.scale
        return values.reshape(len(values), self.n_model_columns)

    def _check_range(self, pixels: npt.NDArray[Any]) -> None:
        """Refuse images in other units than those of training, each by itself."""
        top = max(column.high or 0.0 for column in self.columns)
        if not pixels.size or not top:
            return
        if pixels.dtype == np.uint8 and top > LEVELS_OF_DEPTH[8]:
            raise DataError(
                "the images have 8 bits, and training had more. Give them with the levels of training, as a wider type."
            )
        largest = np.nanmax(pixels, axis=(1, 2, 3), initial=0)
        # Brighter images than any in training may be anomalies; much brighter ones are in other units.
        beyond = FAR_BEYOND * top if top > 1 else top
        for row in np.flatnonzero((largest > beyond) | ((largest > 0) & (largest <= 1) & (top > 1))):
            whole = _is_whole(pixels[row])
            if largest[row] <= 1 and (not whole or pixels.dtype.kind == "b"):
                raise DataError(
                    "no pixel of an image is above 1",
                    f"training had grey levels up to {top:g}. Multiply the images by {top:g}.",
                    row=int(row),
                    item="image",
                )
            if beyond < largest[row] < np.inf and whole:
                raise DataError(
                    f"pixels of an image go up to {largest[row]:g}",
                    f"training had none above {top:g}. Divide the images by the largest possible pixel"
                    f"{f', and multiply by {top:g}' if top > 1 else ''}.",
                    row=int(row),
                    item="image",
                )

    def _check_support(self, values: npt.NDArray[np.float32], observed: npt.NDArray[np.bool_]) -> None:
        for channel, column in enumerate(self.columns):
            assert column.likelihood is not None
            if column.likelihood.standardize:
                continue
            cells = slice(channel * column.n_cells, (channel + 1) * column.n_cells)
            wrong = observed[:, cells] & ~column.likelihood.supports(torch.from_numpy(values[:, cells])).numpy()
            if not wrong.any():
                continue
            row, pixel = np.argwhere(wrong)[0]
            given = float(values[row, cells][pixel] * column.scale + column.location)
            raise DataError(
                f"a pixel of channel {column.name!r} is {given:g}",
                f"{column.likelihood.title} takes pixels from {column.location:g} to "
                f"{column.location + column.scale:g}, or NaN. Rescale the images or choose another likelihood.",
                column=column.name,
                row=int(row),
                item="image",
            )


def learn_channels(images: Images, likelihood: Likelihood | None) -> ImageEncoder:
    """What the channels of images are.

    Parameters
    ----------
    images : Images
        Training images.
    likelihood : Likelihood, optional
        p(pixel | z); by default `Bernoulli` where pixels have two values, and `Gaussian` with one learned noise for all
        pixels elsewhere.

    Raises
    ------
    DataError
        If no pixel is observed, or the likelihood does not take them.
    """
    if likelihood is not None and not likelihood.traits.for_pixels:
        suitable = [known.title for known in (make() for make in LIKELIHOODS.values()) if known.traits.for_pixels]
        raise SpecificationError(
            f"likelihood={likelihood.title} is not one for pixels; take one of {', '.join(suitable)}."
        )
    _, height, width = images.shape
    sample = images.sample()
    seen = []
    for channel, name in enumerate(images.channel_names):
        pixels = sample[:, channel].ravel()
        present = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
        if not present.size:
            raise DataError(f"channel {name!r} holds no finite pixel in any training image.", column=name)
        _check_magnitude(name, images.pixels[:, channel], present)
        seen.append(present)
    reason = "given"
    if likelihood is None:
        two = all(_has_two_values(present) for present in seen)
        likelihood = Bernoulli() if two else Gaussian("shared", NOISE_FLOOR)
        reason = "its pixels have two values" if two else "its pixels have many values"
    columns = tuple(
        _channel(
            name,
            present,
            _grey_levels(images.pixels[:, channel], present, images.depth),
            likelihood,
            reason,
            height * width,
        )
        for channel, (name, present) in enumerate(zip(images.channel_names, seen, strict=True))
    )
    return ImageEncoder(columns, height, width, images.channels_last, images.channel_axis, images.depth)


def _check_magnitude(name: str, pixels: npt.NDArray[Any], present: npt.NDArray[Any]) -> None:
    """Refuse pixels whose squares may be infinite."""
    if present.dtype.kind != "f" or float(np.abs(present).max()) <= MAX_PIXEL:
        return
    far = (np.abs(pixels) > MAX_PIXEL) & np.isfinite(pixels)
    image = int(far.any((1, 2)).argmax())
    raise DataError(
        f"an image holds {float(pixels[image][far[image]][0]):g} in channel {name!r}",
        f"expected pixels up to {MAX_PIXEL:g}. Rescale the images, or replace the pixel with NaN if it stands for a "
        "missing one.",
        column=name,
        row=image,
        item="image",
    )


def _channel(
    name: str, present: npt.NDArray[Any], levels: GreyLevels, likelihood: Likelihood, reason: str, n_cells: int
) -> Column:
    low, high, step = levels
    numbers = present.astype(np.float64)
    location, scale = 0.0, 1.0
    if likelihood.standardize:
        location = float(numbers.mean())
        scale = float(numbers.std()) or step or 1.0
    elif likelihood.traits.in_unit_interval:
        if _has_two_values(present):
            low, high = float(numbers.min()), float(numbers.max())
        elif low is None or high is None:
            low, high = 0.0, 1.0
        if numbers.min() < low or numbers.max() > high:
            raise DataError(
                f"channel {name!r} holds pixels from {numbers.min():g} to {numbers.max():g}; "
                f"{likelihood.title} takes {low:g} to {high:g}. Rescale the images or choose another "
                "likelihood.",
                column=name,
            )
        location, scale = low, high - low
    if likelihood.rounded and not step:
        raise DataError(
            f"channel {name!r} holds fractions; {likelihood.title} takes whole grey levels. Give the images "
            "as integers.",
            column=name,
        )
    return Column(
        name,
        "pixel",
        likelihood,
        reason,
        location=location,
        scale=scale,
        resolution=step,
        step=step,
        low=low,
        high=high,
        unseen=1 / (len(numbers) + 1) if likelihood.rounded else 0.0,
        mean=(float(numbers.mean()) - location) / scale,
        n_cells=n_cells,
        copies_in_single=single_tells_apart(location, scale, 0.0),
    )


def _are_bytes(column: Column) -> bool:
    """Whether the levels of a channel are whole numbers from 0 to 255."""
    return column.low is not None and column.low >= 0 and (column.high or np.inf) <= LEVELS_OF_DEPTH[8]


def _has_two_values(pixels: npt.NDArray[Any]) -> bool:
    few = np.unique(pixels[:: max(1, pixels.size // (1 << 16))])
    return len(few) <= 2 and len(np.unique(pixels)) == 2


def _is_whole(pixels: npt.NDArray[Any]) -> bool:
    """Whether there are no fractions among the pixels, whatever their dtype."""
    return pixels.dtype.kind != "f" or bool((np.isnan(pixels) | (pixels == np.rint(pixels))).all())


def _grey_levels(pixels: npt.NDArray[Any], sample: npt.NDArray[Any], depth: int | None) -> GreyLevels:
    """Lowest and highest possible grey level and their distance, as far as they are known: else None, None and 0.

    The numbers decide and not the dtype, so that images that were flattened or have missing pixels keep their levels.
    """
    if depth is not None:
        return 0.0, float(LEVELS_OF_DEPTH[depth]), 1.0
    lowest, highest = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    if pixels.dtype.kind == "b":
        return 0.0, 1.0, 1.0
    if pixels.dtype.kind == "f" and (highest <= 1 or not _is_whole(sample)):
        return (0.0, 1.0, 0.0) if lowest >= 0 and highest <= 1 else (None, None, 0.0)
    top = next((float(top) for top in LEVELS_OF_DEPTH.values() if top > 1 and highest <= top), None)
    return (None, None, 1.0) if top is None or lowest < 0 else (0.0, top, 1.0)


def _worded(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{height}x{width} pixels (height x width) and {channels} channel{'s' if channels > 1 else ''}"
