"""The plots of the detection page."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from benchmarks.detection.figures import by_table, critical_difference, ranks
from benchmarks.detection.methods import OURS_METHODS
from benchmarks.detection.protocol import CLEAN, CONTAMINATED, SETTING_NAMES, SETTINGS
from benchmarks.foundation_page import OURS
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

BLUE, ORANGE, GREY, PALE = "#1f5fa8", "#d1711c", "#555555", "#e4ebf4"
DPI = 110

mpl.use("Agg")
plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})
    plt.close(figure)


def _settings(found: pd.DataFrame) -> list[str]:
    return [setting for setting in SETTINGS if (found["setting"] == setting).any()]


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=7)


def mean_ranks(found: pd.DataFrame, path: Path) -> None:
    """A dot a method; the band holds those that AUROC's ranks do not tell from VAEDetector."""
    shown = _settings(found)
    figure, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 4.3), squeeze=False, layout="constrained")
    for axis, setting in zip(axes[0], shown, strict=True):
        wide = ranks(found, setting, "auroc")
        mean = wide.mean().sort_values(ascending=False)
        ap = ranks(found, setting, "ap").mean()[mean.index]
        positions = np.arange(len(mean))
        colors = [BLUE if name in OURS_METHODS else GREY for name in mean.index]
        width = critical_difference(wide.shape[1], len(wide))
        axis.axvspan(
            mean[OURS] - width, mean[OURS] + width, color=PALE, zorder=0, label="within the critical difference"
        )
        axis.hlines(positions, np.minimum(mean, ap), np.maximum(mean, ap), color="#cccccc", lw=1, zorder=1)
        axis.scatter(mean, positions, c=colors, s=26, zorder=3, label="AUROC")
        axis.scatter(ap, positions, facecolors="white", edgecolors=colors, s=20, zorder=2, label="AP")
        axis.set_yticks(positions, [str(name) for name in mean.index])
        for label, color in zip(axis.get_yticklabels(), colors, strict=True):
            label.set_color(color)
        axis.set_xlim(0.5, wide.shape[1] + 0.5)
        axis.invert_xaxis()
        axis.set_xlabel("mean rank, best at the right")
        axis.set_title(f"{SETTING_NAMES[setting]}, {len(wide)} tables", loc="left")
    _legend(figure, axes[0][0])
    _save(figure, path)


def clean_and_contaminated(found: pd.DataFrame, path: Path) -> None:
    """A dot a method that has both settings; hollow where it failed on a table."""
    clean, contaminated = (by_table(found, setting, "auroc") for setting in (CLEAN, CONTAMINATED))
    both = [name for name in clean.columns if name in contaminated.columns]
    x, y = clean[both].mean(), contaminated[both].mean()
    whole = clean[both].notna().all() & contaminated[both].notna().all()
    figure, axis = plt.subplots(figsize=(5.6, 4.6), layout="constrained")
    colors = [BLUE if name in OURS_METHODS else GREY for name in both]
    faces = [color if whole[name] else "white" for name, color in zip(both, colors, strict=True)]
    axis.scatter(x, y, c=faces, edgecolors=colors, s=30, zorder=3)
    axis.margins(0.13)
    axis.grid(color="#eeeeee", lw=0.8)
    axis.set_axisbelow(True)
    axis.set_xlabel("mean AUROC, clean training rows")
    axis.set_ylabel("mean AUROC, contaminated training rows")
    if not whole.all():
        axis.scatter([], [], facecolors="white", edgecolors=GREY, s=30, label="failed on some tables")
        _legend(figure, axis)
    _label(axis, list(zip(x, y, both, colors, strict=True)))
    _save(figure, path)


def _label(axis: Axes, points: list[tuple[float, float, str, str]]) -> None:
    """Write each name at the nearest free position around its dot, with a line where that is far."""
    figure = axis.figure
    figure.canvas.draw()
    dots = axis.transData.transform([(x, y) for x, y, _, _ in points])
    taken = [Bbox.from_extents(u - 5, v - 5, u + 5, v + 5) for u, v in dots]
    inside = axis.get_window_extent()
    around = [(r * np.cos(a), r * np.sin(a)) for r, a in product((9, 16, 25, 36, 50, 66), np.arange(16) * np.pi / 8)]
    by_crowd = sorted(range(len(points)), key=lambda i: -sum(np.hypot(*(dots[i] - dot)) < 60 for dot in dots))
    for i in sorted(by_crowd, key=lambda i: points[i][2] not in OURS_METHODS):
        x, y, name, color = points[i]
        text = axis.text(x, y, name, color=color, fontsize=7, zorder=4)
        box = text.get_window_extent()
        for dx, dy in around:
            left = dots[i][0] + dx - (0 if dx > 4 else box.width if dx < -4 else box.width / 2)
            low = dots[i][1] + dy - box.height / 2
            spot = Bbox.from_bounds(left, low, box.width, box.height)
            corners = (spot.x0 >= inside.x0, spot.x1 <= inside.x1, spot.y0 >= inside.y0, spot.y1 <= inside.y1)
            if all(corners) and not any(spot.padded(1).overlaps(other) for other in taken):
                break
        # (left, low) is the bottom of the box; text is placed by its centre, which has no descender to correct for.
        center = axis.transData.inverted().transform((left + box.width / 2, low + box.height / 2))
        text.set(position=tuple(center), ha="center", va="center")
        taken.append(spot)
        if np.hypot(dx, dy) > 20:
            axis.plot([x, center[0]], [y, center[1]], color="#bbbbbb", lw=0.6, zorder=1)


def table_by_table(found: pd.DataFrame, path: Path) -> None:
    """AUROC of VAEDetector, of the best peer of the table and of the middle one."""
    shown = _settings(found)
    n_tables = found["table"].nunique()
    size = (4.2 * len(shown), 1.3 + 0.17 * n_tables)
    figure, axes = plt.subplots(1, len(shown), figsize=size, squeeze=False, sharey=True, layout="constrained")
    order: list[str] | None = None
    for axis, setting in zip(axes[0], shown, strict=True):
        wide = by_table(found, setting, "auroc")
        order = order or [str(table) for table in wide[OURS].sort_values().index]
        wide = wide.reindex(order)
        peers = wide.drop(columns=list(OURS_METHODS), errors="ignore")
        positions = np.arange(len(wide))
        best, middle = peers.max(axis=1), peers.median(axis=1)
        axis.hlines(positions, middle, best, color="#cccccc", lw=1, zorder=1)
        axis.scatter(middle, positions, marker="|", c=GREY, s=40, zorder=2, label="median of the peers")
        axis.scatter(best, positions, c=ORANGE, s=18, zorder=2, label="best peer of the table")
        axis.scatter(wide[OURS], positions, c=BLUE, s=26, zorder=3, label=OURS)
        axis.axvline(0.5, color="#999999", lw=0.6, ls=":")
        axis.set_yticks(positions, order)
        axis.set_xlabel("AUROC")
        axis.set_title(SETTING_NAMES[setting], loc="left")
    _legend(figure, axes[0][0])
    _save(figure, path)
