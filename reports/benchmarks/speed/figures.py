"""Numbers from the CSVs: medians over runs, and ratios within a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

MISSING = "–"


def read(folder: Path, name: str) -> pd.DataFrame | None:
    """A CSV of this folder, if that part was measured."""
    path = folder / f"{name}.csv"
    return pd.read_csv(path) if path.exists() else None


def processor() -> str:
    """What the system says of it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    wide = next((flag for flag in ("avx512f", "avx2") if flag in flags), "")
    return ", ".join(part for part in (name, wide) if part)


def ratio(found: pd.DataFrame, of: str | int, to: str | int, key: str, value: str) -> float:
    """The median over runs of one's value over the other's in the same run; NaN where one was not measured."""
    wide = found.pivot_table(index="run", columns=key, values=value)
    if of not in wide or to not in wide:
        return float("nan")
    return float((wide[of] / wide[to]).median())


def upper_half(n: int) -> slice:
    """Of so many values that grow; all where they are few."""
    return slice(n // 2 if n > 3 else 0, None)


def exponents(values: Iterable[float], measured: Iterable[float]) -> float:
    """The slope of the logarithms."""
    x, y = (np.log(np.asarray(list(numbers), dtype=np.float64)) for numbers in (values, measured))
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else float("nan")


def shown(value: float, digits: int = 3) -> str:
    """With so many digits that count, and no more."""
    if not np.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = max(digits - 1 - int(np.floor(np.log10(abs(value)))), 0)
    return (
        f"{round(value, decimals):,.{decimals}f}" if decimals or abs(value) < 10**digits else f"{_cut(value, digits):,}"
    )


def _cut(value: float, digits: int) -> int:
    unit = 10 ** (int(np.floor(np.log10(abs(value)))) - digits + 1)
    return int(round(value / unit) * unit)


def times(value: float) -> str:
    return MISSING if not np.isfinite(value) else f"{shown(value, 2)} times"


def percent(value: float) -> str:
    return MISSING if not np.isfinite(value) else f"{100 * value:.0f} %"
