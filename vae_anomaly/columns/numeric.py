"""Columns of many numbers, and of dates."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vae_anomaly.columns.column import Column, Kind, smoothed
from vae_anomaly.columns.dates import MICROSECOND, PERIOD_DAYS, counted_levels, periods_of
from vae_anomaly.columns.levels import DECLARED, level_column
from vae_anomaly.columns.scales import (
    choose_asinh_scale,
    granularity_of,
    gross_cells,
    is_coarse,
    natural_top,
    sample_of,
    single_tells_apart,
    spikes_of,
)
from vae_anomaly.data import FloatArray
from vae_anomaly.errors import DataError
from vae_anomaly.likelihoods import Bounded, Categorical, Likelihood, Rounded, Spiked, StudentT, WrappableLikelihood

SECOND = 1 / 86_400
# Of the scale by cells out of all proportion: with it the smallest noise is a tenth of the standard deviation.
MAX_WIDENING = 2.0


def number_column(name: str, present: FloatArray, weights: FloatArray | None, declared: str | None) -> Column:
    """A column of many numbers: on an asinh scale or not, rounded or not, bounded or not.

    A few cells out of all proportion teach nothing but that such cells occur.
    """
    if declared in ("integer", "count"):
        wrong = (present != np.floor(present)) | ((present < 0) & (declared == "count"))
        if wrong.any():
            raise DataError(
                f"column {name!r} is declared {declared} and holds {present[wrong.argmax()]:g}; "
                f"expected whole numbers{' from 0 on' if declared == 'count' else ''}. Declare it continuous.",
                column=name,
            )
    if declared == "positive" and present.min() < 0:
        raise DataError(
            f"column {name!r} is declared positive and holds {present.min():g}; expected numbers from 0 on. "
            "Declare it continuous.",
            column=name,
        )
    n_cells = len(present)
    present, weights, has_gross = without_gross(present, weights)
    granularity = granularity_of(present)
    top = natural_top(present)
    spikes = spikes_of(present) if declared in (None, "bounded", "count", "integer", "positive") else present[:0]
    at_spike = np.isin(present, spikes)
    others = present[~at_spike] if len(spikes) else present
    kind: Kind = "continuous"
    asinh_scale, low, high = 0.0, None, None
    if declared == "bounded" or (declared is None and top is not None):
        kind, low, high = "bounded", min(0.0, float(present.min())), top or float(present.max())
        if high <= low:
            high = low + (abs(low) or 1.0)
        if declared and top is None and present.min() >= 0:
            high = next((limit for limit in (1.0, 100.0) if present.max() <= limit), high)
    elif declared in (None, "positive", "count"):
        asinh_scale = choose_asinh_scale(others)
        if declared == "positive" and not asinh_scale:
            asinh_scale = float(np.quantile(present[present > 0], 0.5)) if (present > 0).any() else 1.0
    if kind != "bounded":
        if declared is not None:
            kind = declared  # type: ignore[assignment]
        elif granularity.whole:
            kind = "count" if asinh_scale else "integer"
        elif asinh_scale:
            kind = "positive"
    location, scale = _location_and_scale(
        np.arcsinh(others / asinh_scale) if asinh_scale else others, None if weights is None else weights[~at_spike]
    )
    if has_gross and not asinh_scale and kind != "bounded":
        scale *= MAX_WIDENING
    rounded = (
        kind != "bounded"
        and declared != "continuous"
        and granularity.step > 0
        and is_coarse(others, granularity.step, scale, asinh_scale)
    )
    n_values = len(np.unique(sample_of(present)))
    reason = {
        "continuous": f"{n_values} distinct values",
        "integer": f"{n_values} distinct whole numbers",
        "count": f"{n_values} distinct whole numbers from {present.min():g} on, skewed",
        "positive": f"{n_values} distinct values from {present.min():g} on, skewed",
        "bounded": f"between {low} and {high}",
    }[kind]
    if kind == "bounded":
        reason += f", with {(present == high).mean():.0%} at the top"
    if rounded:
        reason += f", in steps of {granularity.step:g}"
    if len(spikes):
        first = ", ".join(f"{spike:g}" for spike in spikes[:3]) + (", ..." if len(spikes) > 3 else "")
        reason += f", {at_spike.mean():.0%} of them {first}"
    if has_gross:
        reason += f"; {n_cells - len(present)} more out of all proportion"
    noise = StudentT()
    beside: WrappableLikelihood = Bounded(noise) if kind == "bounded" else Rounded(noise) if rounded else noise
    return Column(
        name,
        kind,
        Spiked(beside) if len(spikes) else beside,
        reason if declared is None else DECLARED,
        location=location,
        scale=scale,
        asinh_scale=asinh_scale,
        spikes=tuple(float(spike) for spike in spikes),
        frequencies=_spiked_frequencies(present, spikes),
        copies_in_single=single_tells_apart(location, scale, asinh_scale),
        resolution=granularity.resolution,
        step=granularity.step if rounded or (granularity.whole and kind in ("integer", "count")) else 0.0,
        origin=granularity.origin if rounded else 0.0,
        low=0.0 if kind in ("count", "positive") else low,
        high=high,
        unseen=1 / (len(present) + 1),
    )


def without_gross(present: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, FloatArray | None, bool]:
    """Cells and their weights without those that are out of all proportion, and whether there are any.

    All cells stay where the scale of all is at most `MAX_WIDENING` times that of the others.
    """
    gross = gross_cells(present)
    if gross.any():
        others, of_others = present[~gross], None if weights is None else weights[~gross]
        if _location_and_scale(present, weights)[1] > MAX_WIDENING * _location_and_scale(others, of_others)[1]:
            return others, of_others, True
    return present, weights, False


def asked_column(name: str, likelihood: Likelihood, present: FloatArray, weights: FloatArray | None) -> Column:
    """A numeric column with the likelihood that the user chose."""
    traits = likelihood.traits
    if traits.levels != "none":
        column = level_column(name, present, boolean=False, likelihood=likelihood)
        assert column is not None
        return column
    reason, has_gross = f"{likelihood.title} was asked for", False
    if likelihood.standardize:
        present, weights, has_gross = without_gross(present, weights)
    location, scale = _location_and_scale(present, weights)
    scale *= MAX_WIDENING if has_gross else 1.0
    granularity = granularity_of(present)
    if not likelihood.standardize:
        return Column(name, "continuous", likelihood, reason, mean=location)
    low, high = float(present.min()), float(present.max())
    if high <= low:
        high = low + (abs(low) or 1.0)
    spikes = spikes_of(present) if traits.spiked else present[:0]
    if traits.spiked and not len(spikes):
        values, counts = np.unique(present, return_counts=True)
        spikes = values[counts.argmax()][None]
    return Column(
        name,
        "continuous",
        likelihood,
        reason,
        location=location,
        scale=scale,
        spikes=tuple(float(spike) for spike in spikes),
        frequencies=_spiked_frequencies(present, spikes),
        copies_in_single=single_tells_apart(location, scale, 0.0),
        resolution=granularity.resolution,
        step=(granularity.step or granularity.resolution or scale) if traits.rounded else 0.0,
        origin=granularity.origin if traits.rounded else 0.0,
        low=low if traits.bounded else None,
        high=high if traits.bounded else None,
        unseen=1 / (len(present) + 1),
    )


def date_column(
    name: str,
    days: FloatArray,
    likelihood: Likelihood | None,
    weights: FloatArray | None,
    *,
    trend: bool,
    unit: str = "",
) -> Column:
    """A column of dates: the parts that its dates are many and long enough for, and the place in time if asked for.

    Without the place in time, and without any part, it is set aside.

    Parameters
    ----------
    name : str
    days : ndarray of shape (rows,)
        Since 1970, NaN where missing.
    likelihood : Likelihood or None
        Of the place in time.
    weights : ndarray of shape (rows,) or None
    trend : bool
        Whether the place in time is modelled.
    unit : str
        Where cells are numbers: what they count since 1970, see `EPOCH_UNITS`.
    """
    observed = ~np.isnan(days)
    usual = without_gross(days[observed], None)[0]
    periods = periods_of(usual)
    parts = tuple(_part_of_date(name, usual, period, unit) for period in periods)
    n_values = len(np.unique(sample_of(usual)))
    described = f"dates with {n_values} distinct values" if not unit else f"times since 1970 ({unit})"
    if not trend:
        used = f"{described}: {', '.join(periods)}; the place in time does not count, {name}=datetime+trend makes it"
        unused = (
            f"{described}, too few or over too short a time for hours, weekdays or months to recur; "
            "declare it datetime+trend to use the place in time"
        )
        return Column(name, "datetime", None, used if periods else unused, parts=parts, date_unit=unit)
    chosen = likelihood if likelihood is not None and likelihood.standardize else StudentT()
    column = asked_column(name, chosen, days[observed], None if weights is None else weights[observed])
    if np.ptp(usual) == 0:
        # The distance to 1970 says nothing of how much dates differ.
        column = replace(column, location=float(usual[0]), scale=1.0)
    return replace(
        column,
        kind="datetime",
        reason=f"{described}, with {', '.join(('the place in time', *periods))}",
        step=column.step or _date_step(usual),
        coarseness=max((PERIOD_DAYS[period] / 2 for period in periods), default=0.0),
        parts=parts,
        date_unit=unit,
        copies_in_single=False,
    )


def _part_of_date(name: str, days: FloatArray, period: str, unit: str) -> Column:
    """What recurs in dates."""
    counts = counted_levels(days, period)
    return Column(
        f"{name} {period}",
        period,  # type: ignore[arg-type]
        Categorical(),
        "part of a date",
        levels=tuple(counts),
        frequencies=smoothed(np.array(list(counts.values()))),
        date_unit=unit,
    )


def _date_step(days: FloatArray) -> float:
    """A day or a second where all dates are whole ones, else 0."""
    for step in (1.0, SECOND):
        if np.abs(days - np.rint(days / step) * step).max() < MICROSECOND:
            return step
    return 0.0


def _spiked_frequencies(present: FloatArray, spikes: FloatArray) -> tuple[float, ...]:
    """Of all other values and of each spike; empty without spikes."""
    if not len(spikes):
        return ()
    counts = [int((present == spike).sum()) for spike in spikes]
    return smoothed(np.array([len(present) - sum(counts), *counts]))


def _location_and_scale(numbers: FloatArray, weights: FloatArray | None) -> tuple[float, float]:
    """Mean and standard deviation, or the magnitude where that is 0."""
    # Divided by the largest magnitude first, so that squares of huge values do not overflow.
    magnitude = float(np.abs(numbers).max()) or 1.0
    shrunk = numbers / magnitude
    center = float(np.average(shrunk, weights=weights))
    deviation = math.sqrt(float(np.average((shrunk - center) ** 2, weights=weights))) * magnitude
    return center * magnitude, deviation if deviation > 1e-12 * magnitude else magnitude
