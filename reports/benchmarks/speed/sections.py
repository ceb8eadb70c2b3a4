"""The sections of the speed page: tables from the CSVs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import pandas as pd
from benchmarks.foundation_page import markdown
from benchmarks.speed import prose
from benchmarks.speed.figures import MISSING, exponents, percent, ratio, shown, times, upper_half
from benchmarks.speed.fit import WALL
from benchmarks.speed.scaling import AXES
from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD

Parts = dict[str, pd.DataFrame]
Section = Callable[[Parts], str]

METHODS = (OURS, BEFORE, FOREST, PYOD)
NOT_MEASURED = "Not measured.\n"
SCORE, REWRITE = "vae-anomaly score", "pyarrow, read and written again"


def needs(*names: str) -> Callable[[Section], Section]:
    def with_parts(section: Section) -> Section:
        @wraps(section)
        def written(parts: Parts) -> str:
            return section(parts) if all(name in parts for name in names) else NOT_MEASURED

        return written

    return with_parts


@needs("fit")
def fit(parts: Parts) -> str:
    found, rows = parts["fit"], []
    for size in sorted(found["rows"].unique()):
        part = found[found["rows"] == size]
        for method in METHODS:
            own = part[part["method"] == method]
            if own.empty:
                continue
            seconds = own["fit_s"]
            marked = "*" * bool((own["scaled"] > 1).any()) + "†" * bool((own["clock"] == WALL).any())
            marked = marked and f" {marked}"
            spread = f"{shown(seconds.min())} to {shown(seconds.max())}" if len(own) > 1 else MISSING
            against = times(ratio(part, method, OURS, "method", "fit_s"))
            quality = f"{own['auroc'].median():.3f}"
            rows.append((f"{size:,}", method, f"{shown(seconds.median())}{marked}", spread, len(own), against, quality))
    header = ("rows", "method", "fit, CPU s (median)", "least to most", "runs", "time / VAEDetector's", "AUROC")
    return prose.FIT.format(table=markdown(header, rows))


@needs("score", "at_once")
def score(parts: Parts) -> str:
    found, rows = parts["score"], []
    for method in METHODS:
        own = found[found["method"] == method]
        if own.empty:
            continue
        rate = own["rows_s"]
        against = times(ratio(found, OURS, method, "method", "rows_s"))
        rates = (f"{rate.median():,.0f}", f"{rate.min():,.0f} to {rate.max():,.0f}")
        rows.append((method, *rates, against, f"{own['row_ms'].median():.2f}"))
    several = parts["at_once"].groupby("threads").agg({"rows_s": "median", "identical": "all"})
    together = [(n, f"{row['rows_s']:,.0f}", "yes" if row["identical"] else "**no**") for n, row in several.iterrows()]
    header = ("method", "rows a CPU second (median)", "least to most", "VAEDetector's / this", "one row, CPU ms")
    return prose.SCORE.format(
        runs=found.groupby("method").size().min(),
        table=markdown(header, rows),
        threads=markdown(("Python threads", "rows a second, together", "equal to one thread's, bit for bit"), together),
    )


@needs("tables")
def tables(parts: Parts) -> str:
    rows = []
    for name, part in parts["tables"].groupby("table", sort=False):
        first = part.iloc[0]
        rates = (f"{part[part['method'] == method]['rows_s'].median():,.0f}" for method in (OURS, FOREST))
        wide = part.pivot_table(index="run", columns="method", values="rows_s")
        ratios = wide[OURS] / wide[FOREST]
        fits = (shown(part[part["method"] == method]["fit_s"].median()) for method in (OURS, FOREST))
        size = (name, first["kind"], f"{first['rows']:,}", first["columns"])
        spread = f"{shown(ratios.min(), 2)} to {shown(ratios.max(), 2)}"
        rows.append((*size, *rates, f"**{shown(ratios.median(), 2)}**", spread, *fits))
    header = (
        *("table", "kind", "rows", "columns", "VAEDetector, rows a CPU second", "IsolationForest"),
        *("ratio (median)", "least to most", "fit, CPU s", "IsolationForest's fit"),
    )
    return prose.TABLES.format(table=markdown(header, rows))


@needs("start")
def start(parts: Parts) -> str:
    found, rows = parts["start"], []
    methods = [method for method in (OURS, BEFORE) if (found["method"] == method).any()]
    for program, part in found.groupby("program", sort=False):
        own = {method: part[part["method"] == method] for method in methods}
        cpu = own[OURS]["cpu_s"]
        spread = f"{shown(cpu.min())} to {shown(cpu.max())}"
        earlier = [shown(own[BEFORE]["cpu_s"].median())] if BEFORE in own else []
        rows.append((f"`{program}`", shown(cpu.median()), spread, shown(own[OURS]["seconds"].median()), *earlier))
    header = ("program", "CPU s (median)", "least to most", "s by the clock", *(["before, CPU s"] * (len(methods) - 1)))
    return prose.START.format(runs=found.groupby(["program", "method"]).size().min(), table=markdown(header, rows))


@needs("scaling")
def scaling(parts: Parts) -> str:
    found = parts["scaling"]
    slopes, table = [], []
    for axis in (name for name in AXES if (found["axis"] == name).any()):
        median = found[found["axis"] == axis].groupby("value").median(numeric_only=True)
        upper = median.iloc[upper_half(len(median))]
        fitted = (exponents(upper.index, upper[name]) for name in ("fit_s", "rows_s", "peak_mib"))
        over = f"{upper.index[0]:,.0f} to {upper.index[-1]:,.0f}"
        slopes.append((axis, over, *(f"{slope:.2f}" for slope in fitted)))
        for value, row in median.iterrows():
            sizes = (f"{row['data_mib']:,.1f}", f"{row['peak_mib']:,.0f}")
            table.append((axis, f"{value:,}", shown(row["fit_s"]), f"{row['rows_s']:,.0f}", *sizes))
    runs = found.groupby(["axis", "value"]).size()
    return prose.SCALING.format(
        runs=_times(runs.min(), runs.max()),
        idle=found["idle_mib"].median(),
        slopes=markdown(
            ("what grows", "fitted over", "CPU seconds of a fit", "rows scored in one", "peak memory"), slopes
        ),
        table=markdown(
            ("what grows", "value", "fit, CPU s", "rows scored a CPU second", "data, MiB", "peak, MiB"), table
        ),
    )


def _times(least: int, most: int) -> str:
    if least != most:
        return f"{least} to {most} times"
    return "once" if most == 1 else f"{most} times"


@needs("files")
def files(parts: Parts) -> str:
    found, rows = parts["files"], []
    for kind in sorted(found["format"].unique(), reverse=True):
        part = found[found["format"] == kind]
        for method in (REWRITE, SCORE):
            own = part[part["method"] == method]
            seconds, n_rows = own["seconds"].median(), int(own["rows"].iloc[0])
            share = MISSING if method == REWRITE else percent(ratio(part, REWRITE, SCORE, "method", "seconds"))
            size = (f"{n_rows:,}", f"{own['mib'].iloc[0] / 1024:.2f}")
            of_cpu = MISSING if method == REWRITE else percent(ratio(part, REWRITE, SCORE, "method", "cpu_s"))
            taken = (shown(seconds), shown(own["cpu_s"].median()), len(own), f"{n_rows / seconds:,.0f}")
            rows.append((kind, *size, method, *taken, share, of_cpu, f"{own['peak_mib'].max():,.0f}"))
    header = (
        *("format", "rows", "input, GiB", "program", "seconds (median)", "CPU seconds", "runs", "rows a second"),
        *("throughput / pyarrow's", "the same in CPU time", "peak, MiB"),
    )
    return prose.FILES.format(table=markdown(header, rows))


@needs("search")
def search(parts: Parts) -> str:
    found = parts["search"]
    taken = found.groupby("jobs")["seconds"].median()
    gained = ratio(found, 1, 2, "jobs", "seconds") / 2
    same = len(set(found["best"])) == 1
    return prose.SEARCH.format(
        rows=int(found["rows"].iloc[0]),
        runs=found.groupby("jobs").size().min(),
        table=markdown(("n_jobs", "seconds (median)"), [(jobs, shown(value)) for jobs, value in taken.items()]),
        gained=percent(gained),
        lost=percent(1 - gained),
        same="All chose the same latent_dim." if same else "They did not choose the same latent_dim.",
    )


def gpu(parts: Parts) -> str:
    if "gpu" not in parts:
        return prose.NO_GPU
    found, rows = parts["gpu"], []
    cpu = found[found["device"] == "cpu"]
    for device, precision in found[["device", "precision"]].drop_duplicates().itertuples(index=False):
        own = found[(found["device"] == device) & (found["precision"] == precision)]
        figures = (spread(own[name]) for name in ("fit_s", "row_steps_s", "default_fit_s", "rows_s", "row_ms"))
        rows.append((device, precision, *figures, shown(own["score_mib"].median()), shown(own["difference"].median())))
    header = (
        *("device", "products", "large fit, s", "rows of members a second in it", "default fit, s"),
        *("rows scored a second", "one row, ms", "memory in scoring, MiB", "median difference of scores, nats"),
    )
    on_cuda = found[found["device"] == "cuda"].iloc[0]
    first = found[(found["device"] == "cuda") & (found["precision"] == "float32")]
    faster = (
        times(cpu["fit_s"].median() / first["fit_s"].median()),
        times(cpu["default_fit_s"].median() / first["default_fit_s"].median()),
        times(first["rows_s"].median() / cpu["rows_s"].median()),
    )
    return prose.GPU.format(
        rows=int(on_cuda["fitted_rows"]),
        plain_rows=str(on_cuda["fitted_rows"]),
        members=int(on_cuda["members"]),
        gpu=on_cuda["name"],
        cpu=cpu["name"].iloc[0],
        torch=on_cuda["torch"],
        runs=found["run"].nunique(),
        faster=faster,
        table=markdown(header, rows),
    )


def spread(found: pd.Series[float]) -> str:
    return f"{shown(found.median())} ({shown(found.min())} to {shown(found.max())})"


SECTIONS: dict[str, Section] = {
    "score": score,
    "tables": tables,
    "fit": fit,
    "start": start,
    "scaling": scaling,
    "files": files,
    "search": search,
    "gpu": gpu,
}
