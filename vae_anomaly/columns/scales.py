"""How the numbers of a column are spread: on an asinh scale or not, on a lattice or not, between bounds or not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.likelihoods import DF

SAMPLE_ROWS = 10_000
ASINH_QUANTILES = (0.5, 0.1, 0.01)
ASINH_GAIN = 0.1
SQUEEZED = 0.2
MIN_ROWS = 50
N_EM_STEPS = 10
COARSE = 0.05
MAX_STEPS = 1e6
MIN_LATTICE_VALUES = 8
MAX_WHOLE = 2.0**53
MIN_SHARE_AT_TOP = 0.01
COLLAPSE_SHARE = 0.8
SPIKE_SHARE, SPIKE_HEIGHT, MAX_SPIKES, MIN_SPIKE_CELLS = 0.05, 5.0, 8, 20
MIN_OTHER_VALUES, MIN_OTHER_CELLS = 5, 20
TOPS = (1.0, 100.0)
MIN_WINDOW_CELLS, MAX_GROSS_SHARE, MAX_GROSS_CELLS = 20, 0.02, 2
# Quantiles, the lengths between them that a window reaches beyond them, and the same on an asinh scale.
WINDOW, WINDOW_BESIDE_MEDIAN = (0.05, 10.0, 1.0), (0.25, 25.0, 2.5)
QUARTILES_OF_NORMAL = 1.349
MAX_ANGLE = 600.0
# Beyond it the distance of two numbers, and sums of several, may be infinite.
MAX_MAGNITUDE = 1e300
# Single precision steps by at most 6e-5 of the scale of a column whose location is as many scales from 0.
MAX_SCALES_FROM_0, SINGLE_RANGE = 1024.0, (1e-30, 1e30)
SHORTER_SIDE = 0.1


@dataclass(frozen=True)
class Granularity:
    """The lattice that numbers are on.

    Parameters
    ----------
    resolution : float
        Smallest distance between two values.
    step, origin : float
        The numbers are whole multiples of `step` from `origin` on; 0 if they are not.
    whole : bool
        Whether all are whole numbers.
    """

    resolution: float
    step: float
    origin: float
    whole: bool


def sample_of(numbers: FloatArray) -> FloatArray:
    """Every k-th number, so that at most twice `SAMPLE_ROWS` are left."""
    return numbers[:: max(1, len(numbers) // SAMPLE_ROWS)]


def gross_cells(numbers: FloatArray) -> npt.NDArray[np.bool_]:
    """Which cells are so far from nearly all others that a mean or a smallest step would be theirs alone.

    Those beyond ten times the distance of the 5 % and 95 % quantiles from these, and also beyond that distance on an
    asinh scale around the median, which long tails that go on do not reach.  Where the quantiles coincide, the
    quartiles of the cells beside the median stand for them.  None where they are more than one in fifty, and more than
    two: then they are a part of what the column holds.

    Parameters
    ----------
    numbers : ndarray of shape (cells,)
        Without missing ones.

    Returns
    -------
    bool ndarray of shape (cells,)

    Examples
    --------
    >>> numbers = np.r_[np.arange(100.0), 1e9]
    >>> np.flatnonzero(gross_cells(numbers)).tolist()
    [100]
    """
    none = np.zeros(len(numbers), dtype=bool)
    if len(numbers) < MIN_WINDOW_CELLS:
        return none
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = window_of(numbers)
    gross = (numbers < low) | (numbers > high)
    return gross if gross.sum() <= max(MAX_GROSS_CELLS, MAX_GROSS_SHARE * len(numbers)) else none


def window_of(numbers: FloatArray) -> tuple[float, float]:
    """Lowest and highest number that is not out of all proportion; infinite where the numbers say nothing of it.

    Each side by its own distance from the median, so that skewed columns end soon where they have no tail.
    """
    share, linear, curved = WINDOW
    last = len(numbers) - 1
    middle = (last // 2, last - last // 2)
    outer, inner = _inner_places(len(numbers), share), _inner_places(len(numbers), 0.25)
    ordered = np.partition(numbers, sorted({*outer, *inner, *middle}))
    (low, high), (lower, upper), both = (ordered[list(places)].tolist() for places in (outer, inner, middle))
    median = float(np.mean(both))
    if low == high:
        share, linear, curved = WINDOW_BESIDE_MEDIAN
        beside = numbers[numbers != median]
        if len(beside) < MIN_WINDOW_CELLS:
            return -math.inf, math.inf
        places = list(_inner_places(len(beside), share))
        lower, upper = np.partition(beside, places)[places].tolist()
        if lower == upper:
            return -math.inf, math.inf
        low, high = min(lower, median), max(upper, median)
    sides = np.array([median - low, high - median])
    sides = np.maximum(sides, SHORTER_SIDE * sides.max())
    unit = (upper - lower) / QUARTILES_OF_NORMAL or float(sides.sum())
    angles = np.arcsinh(sides / unit)
    curve = unit * np.sinh(np.minimum((1 + 2 * curved) * angles, MAX_ANGLE))
    reach = np.maximum((1 + 2 * linear) * sides, curve)
    return median - float(reach[0]), median + float(reach[1])


def _inner_places(n_numbers: int, share: float) -> tuple[int, int]:
    """Where two quantiles are in order, of which the outermost ones are neither."""
    last = n_numbers - 1
    return math.ceil(share * last), math.floor((1 - share) * last)


def granularity_of(numbers: FloatArray) -> Granularity:
    """Resolution and lattice of observed numbers."""
    magnitude = float(np.abs(numbers).max()) or 1.0
    values = np.unique(sample_of(numbers))
    gaps = np.diff(values)
    gaps = gaps[gaps > 1e-9 * magnitude]
    resolution = float(gaps.min()) if len(gaps) else 0.0
    whole = bool((numbers == np.floor(numbers)).all() and magnitude < MAX_WHOLE)
    if whole:
        return Granularity(resolution, 1.0, 0.0, whole)
    if resolution <= 0 or np.ptp(values) > MAX_STEPS * resolution:
        return Granularity(resolution, 0.0, 0.0, whole)
    # The mean of many gaps, each rounded to its multiple, is free of the rounding of any single one.
    multiples = np.rint(gaps / resolution)
    step = float(gaps.sum() / multiples.sum())
    steps = (numbers - values[0]) / step
    if len(values) < MIN_LATTICE_VALUES or np.abs(steps - np.rint(steps)).max() > 1e-5:
        return Granularity(resolution, 0.0, 0.0, whole)
    return Granularity(resolution, step, float(values[0]), whole)


def choose_asinh_scale(numbers: FloatArray) -> float:
    """The asinh scale on which non-negative numbers are most like a Student-t variable, or 0 for none.

    Only where a linear scale is of no use: where its standard deviation is that of a few huge numbers, and half of
    all cells are within a fifth of it, four times the smallest noise.  Milder skews stay on the linear scale: on an
    asinh scale they had a better likelihood and hid anomalies that are large numbers.

    Compared by the log-likelihood of a Student-t distribution fitted to ``asinh(x / asinh_scale)``, with the Jacobian;
    an asinh scale has to gain a tenth of a nat per row over the linear scale.

    References
    ----------
    Box and Cox, "An analysis of transformations", JRSS B 26, 1964, section 3 (the profile likelihood).
    """
    if len(numbers) < MIN_ROWS or numbers.min() < 0:
        return 0.0
    # In units of the largest, so that squares neither overflow nor vanish.
    unit = float(numbers.max()) or 1.0
    sample = sample_of(numbers) / unit
    positive = sample[sample > 0]
    if len(positive) < MIN_ROWS:
        return 0.0
    lower, upper = np.quantile(sample, (0.25, 0.75))
    if upper - lower > SQUEEZED * sample.std():
        return 0.0
    best, gain = 0.0, _student_t_fit(sample) + ASINH_GAIN
    for asinh_scale in sorted({float(q) for q in np.quantile(positive, ASINH_QUANTILES)}, reverse=True):
        transformed = np.arcsinh(sample / asinh_scale)
        jacobian = -math.log(asinh_scale) - float(np.log(np.cosh(np.minimum(transformed, 300.0))).mean())
        fit = _student_t_fit(transformed) + jacobian
        if fit > gain:
            best, gain = asinh_scale * unit, fit
    return best


def _student_t_fit(numbers: FloatArray) -> float:
    """Mean log-likelihood, up to a constant, of a Student-t distribution fitted by expectation maximisation."""
    center, deviation = float(np.median(numbers)), float(numbers.std()) or 1.0
    scale = deviation
    for _ in range(N_EM_STEPS):
        weights = (DF + 1) / (DF + ((numbers - center) / scale) ** 2)
        center = float((weights * numbers).sum() / weights.sum())
        scale = max(math.sqrt(float((weights * (numbers - center) ** 2).mean())), COARSE * deviation)
    squares = ((numbers - center) / scale) ** 2
    return -math.log(scale) - (DF + 1) / 2 * float(np.log1p(squares / DF).mean())


def spikes_of(numbers: FloatArray) -> FloatArray:
    """Values that at least one cell in twenty repeats, and five times as many as the values beside them.

    None where no value holds four fifths of the cells: below that one Student-t does not collapse onto it, and
    spikes found fewer anomalies.  None either where that would leave too few of the other cells to learn how they
    are distributed.
    """
    # A value that so many cells share has itself as a neighbour but for two neighbours of every other cell.
    n_others = (1 - COLLAPSE_SHARE) * len(numbers)
    if (numbers[1:] != numbers[:-1]).sum() > 2 * n_others + 1:
        return numbers[:0]
    # It is the median, which is found without sorting.
    middle = len(numbers) // 2
    if (numbers == np.partition(numbers, middle)[middle]).mean() < COLLAPSE_SHARE:
        return numbers[:0]
    values, counts = np.unique(numbers, return_counts=True)
    if len(values) < MIN_OTHER_VALUES:
        return values[:0]
    beside = np.convolve(counts, [1, 0, 1], mode="same") / np.r_[1, np.full(len(values) - 2, 2), 1]
    often = (counts >= SPIKE_SHARE * len(numbers)) & (counts >= MIN_SPIKE_CELLS) & (counts >= SPIKE_HEIGHT * beside)
    if not (often & (counts >= COLLAPSE_SHARE * len(numbers))).any():
        return values[:0]
    enough = (~often).sum() >= MIN_OTHER_VALUES and counts[~often].sum() >= MIN_OTHER_CELLS
    return values[often] if enough and often.sum() <= MAX_SPIKES else values[:0]


def is_coarse(numbers: FloatArray, step: float, scale: float, asinh_scale: float) -> bool:
    """Whether a step is as long as a twentieth of the scale, for a tenth of the numbers or more."""
    if not asinh_scale:
        return step >= COARSE * scale
    lowest = np.quantile(np.abs(numbers), 0.1)
    return bool(np.arcsinh((lowest + step) / asinh_scale) - np.arcsinh(lowest / asinh_scale) >= COARSE * scale)


def largest_number(numbers: FloatArray) -> float | None:
    """The number beyond `MAX_MAGNITUDE` that is furthest from 0, with none so far out apart from others; else None."""
    if not len(numbers) or float(np.abs(numbers).max()) <= MAX_MAGNITUDE:
        return None
    usual = numbers[~gross_cells(numbers)]
    furthest = float(usual[np.abs(usual).argmax()])
    return furthest if abs(furthest) > MAX_MAGNITUDE else None


def single_tells_apart(location: float, scale: float, asinh_scale: float) -> bool:
    """Whether single precision tells the cells of a column apart: what of a copy in it is still the same row."""
    low, high = SINGLE_RANGE
    if asinh_scale:
        return low < asinh_scale < high
    return low < scale < high and abs(location) <= MAX_SCALES_FROM_0 * scale


def natural_top(numbers: FloatArray) -> float | None:
    """1 or 100 where numbers between 0 and that pile up there as only shares and percentages do."""
    if len(numbers) < MIN_ROWS or numbers.min() < 0:
        return None
    top = float(numbers.max())
    return top if top in TOPS and (numbers == top).mean() >= MIN_SHARE_AT_TOP else None
