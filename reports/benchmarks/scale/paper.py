"""A billion rows of 100 columns, by arithmetic from measured rates."""

from __future__ import annotations

from benchmarks.scale.prose import paragraph, table
from benchmarks.scale.rates import COLUMNS

ROWS = 1_000_000_000
GB = 1e9
# One H100 and 16 CPU threads of its machine, rows of 100 columns of numbers a second, measured apart from this page.
GPU_RATE, THREADS_RATE, THREADS = 840_000, 180_000, 16
N_CORES, MANY_CORES = 64, 1_000
NETWORK_GBIT = 10
NETWORK_BYTES = NETWORK_GBIT * GB / 8


def section(rates: dict[str, float]) -> str:
    """The section of the page.

    Parameters
    ----------
    rates : dict
        As `rates.rates` measured them.
    """
    command, arithmetic, reading = rates["command"], rates["arithmetic"], rates["reading"]
    read, written = rates["bytes_read"], rates["bytes_written"]
    moved = read + written
    # Core seconds of a row that a GPU takes off nobody: to read it, to make numbers of cells, to write results.
    rest = max(1 / command - 1 / arithmetic, 1 / reading)
    core_hours, rest_hours = ROWS / command / 3600, ROWS * rest / 3600
    network_minutes, network_cores = ROWS * moved / NETWORK_BYTES / 60, NETWORK_BYTES / (command * moved)
    gpu_minutes, gpu_gbit = ROWS / GPU_RATE / 60, GPU_RATE * moved * 8 / GB
    with_a_core = min(GPU_RATE, 1 / rest)
    figures = {
        "bytes read": f"{ROWS * read / GB:,.0f} GB, {read:,.0f} a row",
        "bytes written": f"{ROWS * written / GB:,.0f} GB, {written:.0f} a row: identifier and results",
        "bytes between workers": "none: a part is read, scored and written where it is, and the model is read once",
        "CPU workers": (
            f"{core_hours:,.1f} core hours: {core_hours / N_CORES * 60:,.0f} minutes on {N_CORES} cores, "
            f"{core_hours / MANY_CORES * 60:,.1f} on {MANY_CORES:,}"
        ),
        "of these, not in the model's arithmetic": f"{rest_hours:,.1f} core hours",
        f"a network of {NETWORK_GBIT} Gbit/s": f"{network_minutes:,.0f} minutes; {network_cores:,.0f} cores fill it",
        "the model's arithmetic on one H100": f"{gpu_minutes:,.0f} minutes",
        "what keeps that H100 busy": f"{GPU_RATE * rest:,.0f} cores and {gpu_gbit:,.1f} Gbit/s",
        "an H100 with one core": f"{with_a_core:,.0f} rows/s, {ROWS / with_a_core / 3600:,.1f} hours",
    }
    return (
        "## A billion rows of 100 columns, on paper\n\n"
        + paragraph(f"""
            Measured on one core here, in CPU seconds, with {COLUMNS} columns of random numbers, which Parquet cannot
            make
            smaller: the whole command {command:,.0f} rows/s; the model's arithmetic (`score_samples`) alone
            {arithmetic:,.0f}; reading Parquet alone {reading:,.0f}. Measured on an H100 in another run:
            {GPU_RATE:,} rows/s with `score_samples`, and {THREADS_RATE:,} on {THREADS} CPU threads beside it. The rest
            is division, and was not run.
        """)
        + table(["what", "by arithmetic"], figures.items(), left=2)
        + paragraph(f"""
            **On CPU workers the bottleneck** is {"the arithmetic" if 1 / arithmetic > rest else "reading and writing"}:
            of {1e6 / command:.0f} µs of a row it takes {1e6 / arithmetic:.0f}, and the rest {1e6 * rest:.0f}. From
            {network_cores:,.0f} cores on one such network card it is the network. Machines bring their own cards: until
            there are fewer parts than workers, or the store gives no more, twice the workers take half the time.
        """)
        + paragraph(f"""
            **On GPUs the bottleneck** is the core beside the GPU, which reads, makes numbers of cells and writes:
            {1e6 * rest:.0f} µs of a row, where the H100 takes {1e6 / GPU_RATE:.1f}. In arithmetic an H100 is as good as
            {GPU_RATE / arithmetic:,.0f} of these cores; a worker of `--engine ray` has one core beside its GPU, and
            uses {with_a_core / GPU_RATE:.0%} of an H100. A GPU takes away {1 - rest * command:.0%} of the core hours:
            take CPU workers for tables, and GPUs where they are there anyway, or models have many members.
        """)
    )
