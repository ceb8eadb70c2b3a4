"""The plot of the guarantees page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from benchmarks.detection.plots import BLUE, DPI, GREY, ORANGE
from benchmarks.guarantees.real import BEFORE, NONCONFORM, OURS, RATES, TABLES
from matplotlib import pyplot as plt

mpl.use("Agg")
LOWEST = 2e-3


def flagged(found: pd.DataFrame, path: Path) -> None:
    """A panel a rate: shares of new normal rows that are flagged, a dot a split."""
    tables = [name for name in TABLES if (found["table"] == name).any()]
    shown = ((BEFORE, ORANGE, 0.2), (OURS, BLUE, 0.0), (NONCONFORM, GREY, -0.2))
    figure, axes = plt.subplots(1, len(RATES), figsize=(10, 3.6), sharey=True, layout="constrained")
    for axis, rate in zip(axes, RATES, strict=True):
        axis.axvline(rate, color="#888888", lw=0.8, ls=":")
        for method, color, offset in shown:
            part = found[found["method"] == method]
            heights = np.array([len(tables) - 1 - tables.index(name) for name in part["table"]]) + offset
            values = part[f"flagged_{100 * rate:g}"].clip(lower=LOWEST)
            axis.scatter(values, heights, s=14, color=color, alpha=0.75, lw=0, label=method)
        axis.set_xscale("log")
        axis.set_xlim(LOWEST * 0.8, 1.2)
        axis.set_xticks([0.002, 0.01, 0.05, 0.1, 0.5, 1], ["≤ .2", "1", "5", "10", "50", "100"])
        axis.minorticks_off()
        axis.set_title(f"nominal {100 * rate:g} %", fontsize=9)
        axis.set_xlabel("new normal rows flagged, %")
        axis.grid(axis="y", color="#eeeeee", lw=0.6)
        axis.set_axisbelow(True)
    axes[0].set_yticks(range(len(tables)), tables[::-1])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(path, dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})
    plt.close(figure)


PLOTS: dict[str, Callable[[pd.DataFrame, Path], None]] = {"real": flagged}
