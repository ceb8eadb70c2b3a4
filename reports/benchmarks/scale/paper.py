"""A billion rows of 100 columns, by arithmetic from measured rates."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from benchmarks.scale.rates import READ, READ_BYTES

ROWS, COLUMNS = 1_000_000_000, 100
GB = 1e9
GPU = Path(__file__).resolve().parents[1] / "speed" / "gpu.csv"
N_CORES = 64
# Of a node; what one stream of an object store or a network card gives.
NETWORK_BYTES = 10e9 / 8


def gpu_rate() -> float:
    """Rows of 30 columns a second that a GPU scored, with 16 members."""
    measured = pd.read_csv(GPU)
    return float(median(measured.loc[(measured.device == "cuda") & (measured.precision == "float32"), "rows_s"]))


def section(known: dict[str, Any]) -> str:
    """The lines of the page."""
    rates = known["rates"]
    wide, narrow, read = rates["100 numbers"], rates["30 numbers"], rates[READ]
    lean = [row["out_bytes"] / known["lake"]["rows"] for row in known.get("runs", []) if "out_bytes" in row]
    result = min(lean, default=40.0)
    moved = ROWS * (rates[READ_BYTES] + result)
    core_hours = ROWS * (1 / wide + 1 / read) / 3600
    gpu = gpu_rate() * wide / narrow
    fed = read * N_CORES
    figures = {
        "bytes read": f"{ROWS * rates[READ_BYTES] / GB:,.0f} GB: {rates[READ_BYTES]:,.0f} a row in this Parquet",
        "bytes written": f"{ROWS * result / GB:,.0f} GB: identifier and results, {result:.0f} a row",
        "scored by a core": f"{wide:,.0f} rows/s; {ROWS / wide / 3600:,.1f} core hours",
        "read by a core": f"{read:,.0f} rows/s; {ROWS / read / 3600:,.1f} core hours",
        f"on {N_CORES} cores": f"{core_hours:,.1f} core hours, {core_hours / N_CORES * 60:,.0f} minutes",
        "network of 10 Gbit/s": f"{moved / NETWORK_BYTES / 60:,.0f} minutes for all of it",
        "scored by a GPU": f"{gpu:,.0f} rows/s, if width costs it what it costs a core; {ROWS / gpu / 60:,.0f} minutes",
        f"{N_CORES} cores that read for it": f"{fed:,.0f} rows/s; {ROWS / fed / 60:,.0f} minutes",
    }
    network = moved / NETWORK_BYTES
    of_cores = {"scoring": ROWS / wide / N_CORES, "reading": ROWS / read / N_CORES, "the network": network}
    of_gpu = {"the GPU": ROWS / gpu, "reading": ROWS / fed, "the network": network}
    lines = [f"| {name} | {figure} |" for name, figure in figures.items()]
    return "\n".join(
        [
            "## A billion rows of 100 columns, on paper",
            "",
            "| what | by arithmetic |",
            "|---|---|",
            *lines,
            "",
            f"A row costs a core {1e6 / wide:.1f} µs to score and {1e6 / read:.1f} to read. On a node of {N_CORES}",
            "cores and one such network card the bottleneck is",
            f"{max(of_cores, key=of_cores.__getitem__)}, on one with a GPU besides",
            f"{max(of_gpu, key=of_gpu.__getitem__)}; on {wide * moved / ROWS / 1e6:,.0f} MB/s of network a core is",
            "busy. Nothing is sent between workers: a part is read, scored and written where it is. The GPU's rate is",
            "that of an H100 at 30 columns and 16 members ([Speed](speed.md)); the default has 4.",
            "",
        ]
    )
