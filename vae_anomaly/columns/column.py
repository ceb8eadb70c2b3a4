"""Column: what one column is, and what the training data taught about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from vae_anomaly.caching import cached_property
from vae_anomaly.columns.dates import EPOCH_UNITS, PERIODS, moments, part_codes
from vae_anomaly.data import FloatArray, HashedTexts, LevelCodes, ObjectArray, Table, TextFormat, is_hashed
from vae_anomaly.display import Described, counted, shortened
from vae_anomaly.errors import DataError
from vae_anomaly.likelihoods import Binary, ColumnFacts, Likelihood

Kind = Literal[
    "continuous",
    "positive",
    "bounded",
    "integer",
    "count",
    "binary",
    "boolean",
    "categorical",
    "ordinal",
    "datetime",
    "constant",
    "empty",
    "identifier",
    "unusable",
    "hour",
    "weekday",
    "day of month",
    "month",
    "missing",
    "pixel",
]

VALUE_LIMIT = 1e6
# Numbers that differ by less are equal: whole ones exactly but for sums, others as in single precision.
WHOLE_MARGIN, MARGIN = 1e-9, 1e-7
RAW_LIMIT = 1e15
SPIKE_MARGIN = 2e-6


@dataclass(frozen=True, repr=False)
class Column(Described):
    """One column of the training data.

    Parameters
    ----------
    name : str
        Its name, or ``x0``, ``x1``, ... for arrays.
    kind : str
        What it was taken for: "continuous", "positive" (skewed, on a logarithmic scale), "bounded", "integer",
        "count", "binary", "boolean", "categorical", "ordinal", "datetime", "constant" (text or numbers with one
        value in training); "empty", "identifier" and "unusable" (lists, bytes, ...) are set aside.  Of the `parts`:
        "hour", "weekday", "day of month", "month" and "missing".  "pixel" is a channel of images.
    likelihood : Likelihood or None
        How its cells are distributed given the latent variables; None if it is set aside, or if its parts are all that
        is modelled of it.
    reason : str
        Why it was taken for that.
    location, scale, asinh_scale : float
        Model units are ``(cell - location) / scale``, or ``(asinh(cell / asinh_scale) - location) / scale`` where
        `asinh_scale` is not 0.
    resolution : float
        Smallest distance between two values, in data units.
    step, origin : float
        The cells are whole multiples of `step` from `origin` on; 0 if they are not.
    low, high : float or None
        Lowest and highest possible value, in data units.
    spikes : tuple of float
        Values that many cells of a numeric column repeat.
    levels : tuple of str or of float
        Levels in the order of their codes; `HashedText` where only the hash is known.
    rare : tuple of str
        Levels that were pooled into the last one, ``"(rare)"``, the most frequent first; of a model file the first.
    unseen : float
        Probability reserved for what training never saw.
    boolean, numeric : bool
        Whether its dtype was boolean; whether the levels, written as text, are numbers.
    frequencies : tuple of float
        Smoothed relative frequencies of the levels; with spikes, of all other values and of each spike.
    mean : float
        Mean in model units.
    coarseness : float
        Smallest standard deviation of the noise that its parts allow, in data units.
    parts : tuple of Column
        What else of its cells is modelled: parts of a date, or whether the cell is missing.
    n_cells : int
        Cells of a row that it describes, which stand side by side: the pixels of a channel, else 1.
    text_format : TextFormat or None
        How its text is read; None where training had no text.
    missing_values : tuple of float or str
        Cells that stand for a missing one; of dates in days since 1970.
    date_unit : str
        Of dates that are numbers: what they count since 1970, "s", "ms", "us" or "ns".
    copies_in_single : bool
        Whether a cell and the same in single precision are equal where rows are compared with training rows: see
        `Batch.fingerprints`.  Files of versions up to 7 compare in model units alone.
    counts : tuple of int
        Training rows that hold each of the levels of text; of those that were pooled, the first.  Empty where it is not
        known.
    hashed : HashedTexts or None
        Of a model file the levels that are known by hashes alone: those among `levels` in their order, then those that
        were pooled.
    """

    name: str
    kind: Kind
    likelihood: Likelihood | None
    reason: str
    location: float = 0.0
    scale: float = 1.0
    asinh_scale: float = 0.0
    resolution: float = 0.0
    step: float = 0.0
    origin: float = 0.0
    low: float | None = None
    high: float | None = None
    spikes: tuple[float, ...] = ()
    levels: tuple[str, ...] | tuple[float, ...] = ()
    rare: tuple[str, ...] = ()
    unseen: float = 0.0
    boolean: bool = False
    numeric: bool = False
    frequencies: tuple[float, ...] = ()
    mean: float = 0.0
    coarseness: float = 0.0
    parts: tuple[Column, ...] = ()
    n_cells: int = 1
    text_format: TextFormat | None = None
    missing_values: tuple[float, ...] | tuple[str, ...] = ()
    date_unit: str = ""
    copies_in_single: bool = False
    counts: tuple[int, ...] = ()
    hashed: HashedTexts | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Without what is made of the fields when it is first asked for: levels would be kept twice.
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _summary(self) -> str:
        likelihood = "" if self.likelihood is None else f", {type(self.likelihood).__name__}"
        levels = f", {counted(len(self.levels), 'level')}" if self.levels else ""
        parts = "".join(f", {part.kind}" for part in self.parts)
        return f"{shortened(self.name)!r}, {self.kind!r}{likelihood}{levels}{parts}, {shortened(self.reason, 200)!r}"

    @property
    def modelled(self) -> tuple[Column, ...]:
        """What the model sees of it: itself, unless it is set aside or has parts alone, and its parts."""
        return self.parts if self.likelihood is None else (self, *self.parts)

    @property
    def is_used(self) -> bool:
        """Whether the model sees anything of it."""
        return bool(self.modelled)

    @property
    def is_date(self) -> bool:
        """Whether its cells are dates, and not numbers that stand for them."""
        return self.kind == "datetime" and not self.date_unit

    @property
    def width(self) -> int:
        """Size of a tensor axis of levels or spikes shared with columns of other sizes: a power of two, or 0."""
        if self.spikes:
            return 1 << (len(self.spikes) - 1).bit_length()
        return 1 << max(1, (len(self.levels) - 1).bit_length()) if self.levels else 0

    @property
    def textual(self) -> bool:
        """Whether its levels are text."""
        return bool(self.levels) and isinstance(self.levels[0], str)

    @property
    def is_constant(self) -> bool:
        """Whether it held one value in training, so that it takes nothing from the network."""
        return self.likelihood is not None and self.likelihood.is_constant

    @property
    def start(self) -> tuple[float, ...]:
        """Outputs of the decoder before training, with which it states the column's marginal distribution."""
        assert self.likelihood is not None
        return self.likelihood.start(self.facts)

    @property
    def log_jacobian(self) -> float:
        """What turns the log-likelihood of a cell into a log-density in the units of the data, in nats.

        On an asinh scale it is this minus ``log cosh(asinh(cell / asinh_scale))``.
        """
        assert self.likelihood is not None
        if self.kind in PERIODS:
            return math.log(len(self.levels))
        if self.likelihood.rounded:
            return -math.log(self.step)
        if self.kind == "pixel" and not self.likelihood.density:
            return 0.0
        return -math.log(self.scale) - (math.log(self.asinh_scale) if self.asinh_scale else 0.0)

    @property
    def floor(self) -> float:
        """Smallest standard deviation of the noise, in model units, from the likelihood and the resolution."""
        assert self.likelihood is not None
        return self.likelihood.noise_floor(self.facts)

    @property
    def facts(self) -> ColumnFacts:
        """What its likelihood may know of it."""
        low, high = (
            none if bound is None else float(self.model_units(np.array(bound)))
            for bound, none in ((self.low, -math.inf), (self.high, math.inf))
        )
        return ColumnFacts(
            width=self.width,
            n_levels=len(self.levels),
            unseen=self.unseen,
            frequencies=self.frequencies,
            mean=self.mean,
            resolution=0.0 if self.asinh_scale else self.resolution / self.scale,
            coarseness=self.coarseness / self.scale,
            # In units of the asinh scale or of the scale, which alone may be beyond single precision.
            location=self.location if self.asinh_scale else 0.0,
            scale=self.scale if self.asinh_scale else 1.0,
            asinh_scale=1.0 if self.asinh_scale else 0.0,
            step=self.step / (self.asinh_scale or self.scale),
            low=low,
            high=high,
            spikes=tuple(self.model_units(np.array(self.spikes)).tolist()),
        )

    @property
    def anchor(self) -> float:
        """Where multiples of the step are counted from, near 0, in the unit of the step of `facts`."""
        if not self.step:
            return 0.0
        unit = self.asinh_scale or self.scale
        return math.remainder((self.origin - (0.0 if self.asinh_scale else self.location)) / unit, self.step / unit)

    def model_units(self, numbers: FloatArray) -> FloatArray:
        """Numbers in data units to model units."""
        with np.errstate(over="ignore"):
            scaled = np.arcsinh(numbers / self.asinh_scale) if self.asinh_scale else numbers
            units: FloatArray = (scaled - self.location) / self.scale
        return units

    def encode(self, table: Table, position: int) -> FloatArray:
        """Cells in model units, NaN where missing.

        Raises
        ------
        DataError
            If a cell has no likelihood: text in a numeric column, infinity, a value outside the support.
        """
        if self.kind == "missing":
            return table.missing(position).astype(np.float64)
        if self.kind in PERIODS:
            return part_codes(days_of(table, position, self.date_unit), self.kind, self.levels)
        if self.textual:
            texts, places = table.distinct_levels(position)
            return np.append(self.level_codes.codes(texts), np.nan)[places]
        numbers = self.numbers(table, position)
        assert self.likelihood is not None
        if self.likelihood.is_constant:
            return self._constant_codes(numbers)
        if self.levels:
            return self._number_codes(numbers)
        return self.encode_numbers(numbers)

    def numbers(self, table: Table, position: int) -> FloatArray:
        """Cells as numbers, or as days since 1970, NaN where missing.

        Raises
        ------
        DataError
            If a cell is neither.
        """
        if self.kind == "datetime":
            return days_of(table, position, self.date_unit)
        if table.content(position) == "datetime":
            raise DataError(
                f"column {self.name!r} holds dates; it held numbers in training. Convert it to what it was.",
                column=self.name,
            )
        return table.numbers(position)

    def encode_numbers(self, numbers: FloatArray) -> FloatArray:
        """Numbers or days in model units, NaN where missing; of a column without levels.

        Raises
        ------
        DataError
            If one is outside the support.
        """
        assert self.likelihood is not None
        if not self.likelihood.standardize:
            outside = ~np.isnan(numbers) & ~self.likelihood.supports(torch.from_numpy(numbers.copy())).numpy()
            if outside.any():
                row = int(outside.argmax())
                raise DataError(
                    f"column {self.name!r} holds {numbers[row]:g}",
                    f"{self.likelihood.title} takes {self.likelihood.traits.support} or NaN. Rescale the column or "
                    "choose another likelihood.",
                    column=self.name,
                    row=row,
                )
        limit = VALUE_LIMIT if self.likelihood.standardize else RAW_LIMIT
        return np.clip(self.model_units(numbers), -limit, limit)

    def decode(self, values: FloatArray) -> npt.NDArray[Any]:
        """Cells in data units from model units: numbers, text, booleans or dates, as training had them."""
        if self.kind == "datetime":
            days = values * self.scale + self.location
            days = np.rint(days / self.step) * self.step if self.step else days
            return np.rint(days / EPOCH_UNITS[self.date_unit][0]) if self.date_unit else moments(days)
        if not self.levels:
            straight = values * self.scale + self.location
            with np.errstate(over="ignore"):
                numbers = np.sinh(np.clip(straight, -600, 600)) * self.asinh_scale if self.asinh_scale else straight
            for spike in self.spikes:
                # Single precision does not give a spike back exactly.
                at_spike = float(self.model_units(np.array(spike)))
                numbers = np.where(np.abs(values - at_spike) <= SPIKE_MARGIN * (1 + abs(at_spike)), spike, numbers)
            if self.step:
                numbers = np.rint((numbers - self.origin) / self.step) * self.step + self.origin
            return np.clip(numbers, self.low, self.high) if (self.low, self.high) != (None, None) else numbers
        decoded = self._decoded_levels(values)
        if self.numeric:
            return np.array([np.nan if is_hashed(level) else level for level in decoded], dtype=np.float64)
        return decoded.astype(bool) if self.boolean else decoded

    def shown(self, values: FloatArray) -> ObjectArray:
        """Cells in data units from model units, for people: levels that only a hash is known of have a stand-in."""
        decoded = self.decode(values).astype(object)
        if self.numeric:
            hidden = self.is_hashed(values)
            decoded[hidden] = self._decoded_levels(values)[hidden]
        return decoded

    def is_hashed(self, values: FloatArray) -> npt.NDArray[np.bool_]:
        """Which cells in model units are levels of which only the hash is known."""
        if self.hashed is None:
            return np.zeros(len(values), dtype=bool)
        return np.array([is_hashed(level) for level in self._decoded_levels(values)], dtype=bool)

    def _decoded_levels(self, values: FloatArray) -> npt.NDArray[Any]:
        names = (*self.levels[:-1], self.rare[0]) if self.rare else self.levels
        levels = np.array(names, dtype=object if self.textual else np.float64)
        decoded: npt.NDArray[Any] = levels[np.clip(values, 0, len(levels) - 1).astype(np.intp)]
        return decoded

    def with_missing_part(self, n_missing: int, n_rows: int) -> Column:
        """The same column, with whether its cells are missing as a further part."""
        counts = np.array([n_rows - n_missing, n_missing])
        part = Column(
            f"{self.name} missing",
            "missing",
            Binary(),
            f"missing in {n_missing} of {n_rows} rows",
            levels=("present", "missing"),
            frequencies=smoothed(counts),
        )
        return replace(self, parts=(*self.parts, part))

    @cached_property
    def level_codes(self) -> LevelCodes:
        """Its levels of text, and the numbers that stand for them."""
        form = self.text_format
        levels = tuple(level for level in self.levels if isinstance(level, str))
        folded = form is not None and form.fold
        return LevelCodes(levels, self.rare, self.hashed, folded=folded, trimmed=form is not None)

    def is_known(self, text: str) -> bool:
        """Whether a text is a level of training."""
        return bool(self.level_codes.codes(np.array([text], dtype=object))[0] < len(self.levels))

    def _constant_codes(self, numbers: FloatArray) -> FloatArray:
        (level,) = np.array(self.levels, dtype=np.float64)
        margin = (WHOLE_MARGIN if level.is_integer() else MARGIN) * abs(level)
        with np.errstate(over="ignore"):
            codes = (np.abs(numbers - level) > margin).astype(np.float64)
        return np.where(np.isnan(numbers), np.nan, codes)

    def _number_codes(self, numbers: FloatArray) -> FloatArray:
        levels = np.array(self.levels, dtype=np.float64)
        after = np.searchsorted(levels, numbers).clip(0, len(levels) - 1)
        before = (after - 1).clip(min=0)
        with np.errstate(over="ignore"):
            to_after, to_before = np.abs(levels[after] - numbers), np.abs(numbers - levels[before])
            steps = np.minimum(to_after, to_before) / self.resolution
        nearest = np.where(to_before < to_after, before, after)
        unseen = len(levels) - 1 + np.ceil(np.minimum(steps, VALUE_LIMIT))
        codes = np.where(steps < 1e-3, nearest, unseen)
        return np.where(np.isnan(numbers), np.nan, codes)


def days_of(table: Table, position: int, unit: str) -> FloatArray:
    """A column of dates as days since 1970, NaN where missing; numbers count `unit` since then."""
    if unit and table.content(position) == "number":
        return table.numbers(position) * EPOCH_UNITS[unit][0]
    return table.days(position)


def smoothed(counts: npt.NDArray[np.int_]) -> tuple[float, ...]:
    """Relative frequencies with one more of each."""
    return tuple(float(count) for count in (counts + 1) / (counts.sum() + len(counts)))
