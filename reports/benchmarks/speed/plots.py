"""The plots of the speed page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.detection.plots import BLUE, DPI, GREY, ORANGE
from benchmarks.speed.scaling import AXES
from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = {OURS: BLUE, BEFORE: "#8fb4dc", FOREST: GREY, PYOD: ORANGE}
MARKS = {OURS: "o", BEFORE: "s", FOREST: "^", PYOD: "D"}


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})
    plt.close(figure)


def fits(found: pd.DataFrame, finer: pd.DataFrame | None, path: Path) -> None:
    """Seconds over rows, every method; VAEDetector also at the sizes of the scaling."""
    figure, axis = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for method, color in COLORS.items():
        part = found[found["method"] == method]
        if part.empty:
            continue
        seconds = part.groupby("rows")["fit_s"].median()
        axis.plot(seconds.index, seconds, marker=MARKS[method], ms=5, color=color, label=method)
        scaled = part[part["scaled"] > 1].groupby("rows")["fit_s"].median()
        if len(scaled):
            label = f"{method}, 3 epochs times ten"
            axis.plot(scaled.index, scaled, MARKS[method], ms=5, color=color, mfc="white", label=label)
    if finer is not None:
        seconds = finer[finer["axis"] == "rows"].groupby("value")["fit_s"].median()
        axis.plot(seconds.index, seconds, color=BLUE, lw=0.8, ls=":", label=f"{OURS}, float32, a process a size")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("rows of 30 columns")
    axis.set_ylabel("CPU seconds of a fit")
    axis.grid(which="major", color="#eeeeee", zorder=0)
    axis.legend(frameon=False, fontsize=7)
    save(figure, path)


def rates(found: pd.DataFrame, path: Path) -> None:
    """A bar a method, with the range of the runs."""
    by = found.groupby("method")["rows_s"]
    middle = by.median().sort_values()
    figure, axis = plt.subplots(figsize=(6.4, 0.42 * len(middle) + 0.9), layout="constrained")
    positions = np.arange(len(middle))
    least, most = by.min()[middle.index], by.max()[middle.index]
    axis.barh(positions, middle, color=[COLORS[method] for method in middle.index], height=0.65)
    axis.hlines(positions, least, most, color="black", lw=1)
    for spot, (value, end) in enumerate(zip(middle, most, strict=True)):
        axis.text(end + 0.01 * most.max(), spot, f"{value:,.0f}", va="center", fontsize=7)
    axis.set_yticks(positions, list(middle.index))
    axis.set_xlim(0, 1.13 * most.max())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_xlabel("rows of 30 columns a CPU second, median; line: all runs")
    save(figure, path)


def scaling(found: pd.DataFrame, path: Path) -> None:
    """Three rows of panels: fit, scoring, memory; a column for what grows."""
    axes_there = [name for name in AXES if (found["axis"] == name).any()]
    names = {"fit_s": "fit, CPU seconds", "rows_s": "rows a CPU second", "peak_mib": "peak memory, MiB"}
    figure, panels = plt.subplots(
        len(names), len(axes_there), figsize=(2.2 * len(axes_there), 5.4), squeeze=False, sharey="row", sharex="col"
    )
    for row, (value, name) in enumerate(names.items()):
        for spot, axis_name in enumerate(axes_there):
            panel: Axes = panels[row][spot]
            median = found[found["axis"] == axis_name].groupby("value")[value].median()
            panel.plot(median.index, median, marker="o", ms=3, color=BLUE)
            if value == "peak_mib":
                data = found[found["axis"] == axis_name].groupby("value")["data_mib"].median()
                if data.max() > 0.1 * median.max():
                    panel.plot(data.index, data, color=GREY, lw=0.8, ls=":", label="the data, float32")
                    panel.legend(frameon=False, fontsize=6)
            panel.set_xscale("log")
            panel.set_yscale("log")
            if value == "peak_mib":
                panel.set_ylim(100, 2 * found[value].max())
            panel.grid(which="major", color="#eeeeee")
            if spot == 0:
                panel.set_ylabel(name)
            if row == len(names) - 1:
                panel.set_xlabel(axis_name)
    figure.tight_layout()
    save(figure, path)
