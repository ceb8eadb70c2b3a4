"""What dates add to the numbers of a column."""

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.columns.dates import date_part
from vae_anomaly.columns.seasons import N_LEVELS, Seasons, learned_seasons, usable_seasons

DAY = 1.0
WEEKDAYS = np.array([-1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0])


def days(start: str, n: int, step: float = DAY) -> np.ndarray:
    first = (pd.Timestamp(start) - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return first + step * np.arange(n)


def seasons_of(residuals: np.ndarray, dates: np.ndarray) -> Seasons:
    effects, slope = learned_seasons(residuals, dates, usable_seasons(dates))
    return Seasons(effects[None], np.array([slope]), float(np.nanmin(dates)), float(np.nanmax(dates)))


def test_seasons_that_the_rows_see_twice_are_used():
    assert usable_seasons(days("2024-01-01", 10, 1 / 24)) == ()
    assert usable_seasons(days("2024-01-01", 24 * 10, 1 / 24)) == ("hour",)
    assert usable_seasons(days("2024-01-01", 200)) == ("weekday",)
    assert usable_seasons(days("2024-01-01", 730)) == ("weekday", "month")
    assert usable_seasons(np.array([np.nan, np.nan])) == ()


def test_effects_of_weekdays_and_a_trend_are_found():
    dates = days("2024-01-01", 1400)
    weekday = date_part(dates, "weekday").astype(int)
    noise = 0.1 * np.random.default_rng(0).normal(size=len(dates))
    found = seasons_of(WEEKDAYS[weekday] + 0.002 * (dates - dates.mean()) + noise, dates)
    assert set(found.used) >= {"weekday", "trend"}
    np.testing.assert_allclose(found.effects[0, 24:31], WEEKDAYS - WEEKDAYS.mean(), atol=0.05)
    assert found.slopes[0] == pytest.approx(0.002, rel=0.05)


def test_outliers_do_not_move_effects():
    dates = days("2024-01-01", 700)
    rng = np.random.default_rng(0)
    left = WEEKDAYS[date_part(dates, "weekday").astype(int)] + 0.1 * rng.normal(size=len(dates))
    left[rng.choice(len(left), 60, replace=False)] = 1000.0
    found = seasons_of(left, dates)
    np.testing.assert_allclose(found.effects[0, 24:31], WEEKDAYS - WEEKDAYS.mean(), atol=0.15)


def test_chance_is_no_season():
    dates = days("2024-01-01", 1400)
    found = seasons_of(np.random.default_rng(3).normal(size=len(dates)), dates)
    assert np.abs(found.effects).max() < 0.1
    assert abs(found.slopes[0]) * 1400 < 0.3


def test_trend_stays_what_it_was_before_and_after_the_training():
    found = Seasons(np.zeros((1, sum(N_LEVELS))), np.array([2.0]), 100.0, 110.0)
    added = found.of(np.array([0.0, 100.0, 105.0, 110.0, 5000.0, np.nan]))[:, 0]
    assert added.tolist() == [-10, -10, 0, 10, 10, 0]


def test_rows_without_a_date_are_average_ones():
    dates = days("2024-01-01", 700)
    left = WEEKDAYS[date_part(dates, "weekday").astype(int)]
    found = seasons_of(left + 0.01 * np.random.default_rng(0).normal(size=len(dates)), dates)
    assert found.of(np.array([np.nan]))[0, 0] == 0
    assert found.of(dates)[:, 0].mean() == pytest.approx(0, abs=0.01)
