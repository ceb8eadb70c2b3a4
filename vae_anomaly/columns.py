"""Columns: what each one is, and what the training data taught about it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from vae_anomaly.errors import DataError, DataWarning
from vae_anomaly.likelihoods import Categorical, Likelihood, StudentT
from vae_anomaly.tables import FloatArray, ObjectArray, Table

Kind = Literal["continuous", "datetime", "categorical", "constant", "empty", "identifier"]

FEW_VALUES = 10
ROWS_A_VALUE = 10
MAX_LEVELS = 64
MIN_IDENTIFIERS = 20
SAMPLE_ROWS = 10_000
VALUE_LIMIT = 1e6
RAW_LIMIT = 1e15
MICROSECOND = 1 / 86_400_000_000
SMALLEST_STEP, LARGEST_STEP = 1e-300, 1e300
RARE = "(rare)"


@dataclass(frozen=True)
class Column:
    """One column of the training data.

    Parameters
    ----------
    name : str
        Its name, or ``x0``, ``x1``, ... for arrays.
    kind : {"continuous", "datetime", "categorical", "constant", "empty", "identifier"}
        What it was taken for; the last two are set aside.
    likelihood : Likelihood or None
        How its cells are distributed given the latent variables; None if set aside.
    reason : str
        Why it was taken for that.
    location, scale : float
        Model units are ``(cell - location) / scale``.
    resolution : float
        Smallest step between two values, in data units.
    levels : tuple of str or of float
        Levels in the order of their codes.
    rare : tuple of str
        Levels that were pooled into the last one, ``"(rare)"``.
    unseen : float
        Probability reserved for what training never saw.
    boolean : bool
        Whether its dtype was boolean.
    frequencies : tuple of float
        Smoothed relative frequencies of the levels.
    mean : float
        Mean in model units.
    """

    name: str
    kind: Kind
    likelihood: Likelihood | None
    reason: str
    location: float = 0.0
    scale: float = 1.0
    resolution: float = 0.0
    levels: tuple[str, ...] | tuple[float, ...] = ()
    rare: tuple[str, ...] = ()
    unseen: float = 0.0
    boolean: bool = False
    frequencies: tuple[float, ...] = ()
    mean: float = 0.0

    @property
    def width(self) -> int:
        """Room for its levels in a tensor that it shares with columns of other sizes: a power of two, or 0."""
        return 1 << max(1, (len(self.levels) - 1).bit_length()) if self.levels else 0

    @property
    def textual(self) -> bool:
        """Whether its levels are text."""
        return bool(self.levels) and isinstance(self.levels[0], str)

    @property
    def start(self) -> tuple[float, ...]:
        """Outputs of the decoder before training, with which it states the column's marginal distribution."""
        if self.levels:
            empty = self.width - len(self.levels)
            return tuple(math.log(frequency) for frequency in self.frequencies) + (-math.inf,) * empty
        assert self.likelihood is not None
        return self.likelihood.start(self.mean)

    @property
    def log_jacobian(self) -> float:
        """What turns a log-density in model units into one in the units of the data, in nats."""
        return -math.log(self.scale)

    @property
    def floor(self) -> float:
        """Smallest standard deviation of the noise, in model units, from the likelihood and the resolution."""
        own = float(getattr(self.likelihood, "floor", 0.0))
        return math.hypot(own, self.resolution / self.scale / math.sqrt(12))

    def encode(self, table: Table, position: int) -> FloatArray:
        """Cells in model units, NaN where missing.

        Raises
        ------
        DataError
            If a cell has no likelihood: text in a numeric column, infinity, a value outside the support.
        """
        if self.textual:
            return self._text_codes(table.texts(position))
        if self.kind != "datetime" and table.content(position) == "datetime":
            raise DataError(
                f"column {self.name!r} holds dates; it held numbers in training. Convert it to what it was.",
                column=self.name,
            )
        numbers = table.days(position) if self.kind == "datetime" else table.numbers(position)
        if self.levels:
            return self._number_codes(numbers)
        assert self.likelihood is not None
        if not self.likelihood.standardize:
            outside = ~np.isnan(numbers) & ~self.likelihood.supports(torch.from_numpy(numbers.copy())).numpy()
            if outside.any():
                row = int(outside.argmax())
                raise DataError(
                    f"column {self.name!r} holds {numbers[row]:g} (row {row}); {type(self.likelihood).__name__} takes "
                    f"{self.likelihood.support} or NaN. Rescale the column or choose another likelihood.",
                    column=self.name,
                    row=row,
                )
        with np.errstate(over="ignore"):
            scaled = (numbers - self.location) / self.scale
        limit = VALUE_LIMIT if self.likelihood.standardize else RAW_LIMIT
        return np.clip(scaled, -limit, limit)

    def decode(self, values: FloatArray) -> npt.NDArray[Any]:
        """Cells in data units from model units: numbers, text, booleans or dates, as training had them."""
        if self.kind == "datetime":
            microseconds = np.rint((values * self.scale + self.location) / MICROSECOND)
            return microseconds.astype(np.int64).astype("datetime64[us]")
        if not self.levels:
            return values * self.scale + self.location
        levels = np.array(self.levels, dtype=object if self.textual else np.float64)
        decoded: npt.NDArray[Any] = levels[np.clip(values, 0, len(levels) - 1).astype(np.intp)]
        return decoded.astype(bool) if self.boolean else decoded

    def _text_codes(self, texts: ObjectArray) -> FloatArray:
        code_of = {level: float(code) for code, level in enumerate(self.levels)}
        code_of |= dict.fromkeys(self.rare, float(len(self.levels) - 1))
        unseen = float(len(self.levels))
        return np.array([np.nan if text is None else code_of.get(text, unseen) for text in texts])

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


def infer_columns(
    table: Table,
    likelihood: Likelihood | None = None,
    weights: FloatArray | None = None,
) -> tuple[Column, ...]:
    """Learn from training rows what every column is.

    Parameters
    ----------
    table : Table
        Training rows.
    likelihood : Likelihood, optional
        For all numeric columns; by default Student-t noise for columns with many values and levels for
        columns with at most ten values and at least ten rows a value.
    weights : ndarray of shape (rows,), optional
        Weights of the rows, for means and standard deviations.

    Returns
    -------
    tuple of Column
        In the user's order.

    Raises
    ------
    DataError
        If a column cannot be read, or if no column is left.

    Warns
    -----
    DataWarning
        For each column that is set aside.

    Examples
    --------
    >>> import numpy as np
    >>> table = Table(("x",), np.linspace(0.0, 1.0, 50)[:, None])
    >>> infer_columns(table)[0].kind
    'continuous'
    """
    columns = tuple(_infer(table, position, likelihood, weights) for position in range(len(table.names)))
    for column in columns:
        if column.likelihood is None:
            warnings.warn(f"column {column.name!r} is set aside: {column.reason}", DataWarning, stacklevel=3)
    if all(column.likelihood is None for column in columns):
        reasons = "; ".join(f"{column.name!r}: {column.reason}" for column in columns[:3])
        raise DataError(f"no column is left to model ({reasons}). Give at least one column with observed values.")
    return columns


def _infer(table: Table, position: int, likelihood: Likelihood | None, weights: FloatArray | None) -> Column:
    name, content = table.names[position], table.content(position)
    if content == "text":
        return _infer_text(name, table.texts(position))
    numbers = table.numbers(position)
    observed = ~np.isnan(numbers)
    present = numbers[observed]
    if len(present) == 0:
        return Column(name, "empty", None, "it holds no value in any training row")
    few = isinstance(likelihood, Categorical) or (likelihood is None and content != "datetime")
    if few:
        column = _infer_levels(name, present, content == "boolean", likelihood)
        if column is not None:
            return column
    chosen = StudentT() if likelihood is None else likelihood
    return _infer_continuous(
        name,
        "datetime" if content == "datetime" else "continuous",
        chosen,
        present,
        None if weights is None else weights[observed],
    )


def _infer_levels(name: str, present: FloatArray, boolean: bool, likelihood: Likelihood | None) -> Column | None:
    sample = present[:: max(1, len(present) // SAMPLE_ROWS)]
    if likelihood is None and not boolean and len(np.unique(sample)) > FEW_VALUES:
        return None
    values, counts = np.unique(present, return_counts=True)
    n_levels, n = len(values), len(present)
    if likelihood is None and not boolean and n_levels > 1 and (n_levels > FEW_VALUES or n < ROWS_A_VALUE * n_levels):
        return None
    if n_levels == 1:
        only = float(values[0])
        step = max(abs(only) / 100, SMALLEST_STEP) if only else 1.0
        reason, kind = f"the only value in {n} rows is {only:g}", "constant"
    else:
        with np.errstate(over="ignore"):
            step = float(np.diff(values).clip(SMALLEST_STEP, LARGEST_STEP).min())
        reason, kind = f"{n_levels} distinct values in {n} rows", "categorical"
    return Column(
        name,
        "constant" if kind == "constant" else "categorical",
        likelihood or Categorical(),
        "its dtype is boolean" if boolean else reason,
        resolution=step,
        levels=tuple(float(value) for value in values),
        unseen=1 / (n + 1),
        boolean=boolean,
        frequencies=_frequencies(counts),
    )


def _infer_text(name: str, texts: ObjectArray) -> Column:
    present = texts[np.array([text is not None for text in texts], dtype=bool)]
    if len(present) == 0:
        return Column(name, "empty", None, "it holds no value in any training row")
    counted = pd.Series(present, dtype=object).value_counts()
    levels = sorted(counted.index, key=lambda level: (-counted[level], level))
    n = len(present)
    if len(levels) > MIN_IDENTIFIERS and len(levels) > n / 2:
        return Column(
            name,
            "identifier",
            None,
            f"{len(levels)} distinct texts in {n} rows look like identifiers; encode it to use it",
        )
    kept, rare, pool = levels, [], RARE
    while pool in levels:
        pool = f"({pool})"
    if len(levels) > MAX_LEVELS:
        kept, rare = levels[: MAX_LEVELS - 1], levels[MAX_LEVELS - 1 :]
    counts = np.array([counted[level] for level in kept] + ([sum(counted[level] for level in rare)] if rare else []))
    pooled = f", the {len(rare)} rarest pooled" if rare else ""
    return Column(
        name,
        "constant" if len(levels) == 1 else "categorical",
        Categorical(),
        f"text with {len(levels)} distinct values in {n} rows{pooled}",
        levels=tuple(kept) + ((pool,) if rare else ()),
        rare=tuple(rare),
        unseen=1 / (n + 1),
        frequencies=_frequencies(counts),
    )


def _infer_continuous(
    name: str,
    kind: Kind,
    likelihood: Likelihood,
    present: FloatArray,
    weights: FloatArray | None,
) -> Column:
    # Divided by the largest magnitude first, so that squares of huge values do not overflow.
    magnitude = float(np.abs(present).max()) or 1.0
    shrunk = present / magnitude
    center = float(np.average(shrunk, weights=weights))
    mean = center * magnitude
    deviation = math.sqrt(float(np.average((shrunk - center) ** 2, weights=weights))) * magnitude
    sample = np.unique(present[:: max(1, len(present) // SAMPLE_ROWS)])
    gaps = np.diff(sample)
    gaps = gaps[gaps > 1e-9 * magnitude]
    resolution = float(gaps.min()) if len(gaps) else 0.0
    if likelihood.standardize:
        return Column(
            name,
            kind,
            likelihood,
            f"{len(sample)} distinct values in a sample of {min(len(present), SAMPLE_ROWS)} rows",
            location=mean,
            scale=deviation if deviation > 1e-12 * magnitude else magnitude,
            resolution=resolution,
        )
    return Column(
        name,
        kind,
        likelihood,
        f"{type(likelihood).__name__} was asked for",
        mean=mean,
    )


def _frequencies(counts: npt.NDArray[np.int_]) -> tuple[float, ...]:
    return tuple(float(count) for count in (counts + 1) / (counts.sum() + len(counts)))
