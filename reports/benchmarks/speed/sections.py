"""The sections of the speed page: tables from the CSVs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import pandas as pd
from benchmarks.foundation_page import markdown
from benchmarks.speed import prose
from benchmarks.speed.figures import MISSING, exponents, percent, ratio, shown, times, upper_half
from benchmarks.speed.scaling import AXES
from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD

Parts = dict[str, pd.DataFrame]
Section = Callable[[Parts], str]

METHODS = (OURS, BEFORE, FOREST, PYOD)
WORK = {
    "step": "a step of the training",
    "chunk": "a chunk of the scoring",
    "fit": "a fit of 10,000 rows",
}
NOT_MEASURED = "Not measured.\n"
SCORE, REWRITE = "vae-anomaly score", "pyarrow, read and written again"


def needs(*names: str) -> Callable[[Section], Section]:
    def with_parts(section: Section) -> Section:
        @wraps(section)
        def written(parts: Parts) -> str:
            return section(parts) if all(name in parts for name in names) else NOT_MEASURED

        return written

    return with_parts


def limit(found: pd.DataFrame) -> pd.DataFrame:
    """With the seconds that products and copies alone would take, and the greater of both."""
    copies = found["bytes_needed"] / found["copy_bytes_s"]
    # Filling up to whole registers is our choice, not a need: the limit is the products at their rate without it.
    products = found["product_s"] * found["flops_needed"] / found["flops"]
    found = found.assign(possible_s=pd.concat([copies, products], axis=1).max(axis=1)).sort_values("threads")
    # Who may use two threads may also leave one idle.
    found["possible_s"] = found.groupby(["work", "run"])["possible_s"].cummin()
    return found.assign(achieved=found["possible_s"] / found["seconds"])


@needs("limits", "shares")
def limits(parts: Parts) -> str:
    found = limit(parts["limits"])
    one = found[found["threads"] == 1].groupby("work").median(numeric_only=True)
    counted = []
    for work in ("training", "scoring"):
        row = one.loc[work]
        each = (row[name] / row["n_rows"] for name in ("flops_needed", "flops", "bytes_needed", "bytes_moved"))
        equal = "equal" if row["flops"] == row["flops_by_layers"] else f"{row['flops'] / row['flops_by_layers']:.4f}"
        needed, done, needed_bytes, moved = (f"{value:,.0f}" for value in each)
        counted.append((work, needed, done, equal, needed_bytes, moved, f"{row['operations']:.0f}"))
    rows = []
    for work in ("training", "scoring"):
        for threads, part in found[found["work"] == work].groupby("threads"):
            middle = part.median(numeric_only=True)
            achieved, alone = (f"{middle['flops'] / middle[name] / 1e9:.1f}" for name in ("seconds", "product_s"))
            copies = f"{middle['copy_bytes_s'] / 1e9:.1f}"
            a_row = (f"{1e6 * middle[name] / middle['n_rows']:.2f}" for name in ("possible_s", "seconds"))
            rows.append((work, threads, achieved, alone, copies, *a_row, percent(part["achieved"].median())))
    step = one.loc["training"]
    return prose.LIMITS.format(
        counted=markdown(
            (
                *("work", "FLOPs needed, per row", "FLOPs done", "done / by layers"),
                *("bytes needed, per row", "bytes moved", "operations per step or chunk"),
            ),
            counted,
        ),
        rates=markdown(
            (
                *("work", "threads", "GFLOP/s achieved", "GFLOP/s, products alone", "copy, GB/s"),
                *("possible, µs a row", "achieved, µs a row", "achieved / possible"),
            ),
            rows,
        ),
        empty=1e3 * step["no_work_s"],
        whole=1e3 * step["seconds"],
        operations=step["operations"],
    )


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
            marked = " *" if (own["scaled"] > 1).any() else ""
            spread = f"{shown(seconds.min())} to {shown(seconds.max())}" if len(own) > 1 else MISSING
            against = times(ratio(part, method, OURS, "method", "fit_s"))
            quality = f"{own['auroc'].median():.3f}"
            rows.append((f"{size:,}", method, f"{shown(seconds.median())}{marked}", spread, len(own), against, quality))
    header = ("rows", "method", "fit, s (median)", "least to most", "runs", "seconds / VAEDetector's", "AUROC")
    return prose.FIT.format(table=markdown(header, rows))


@needs("score", "at_once", "terms")
def score(parts: Parts) -> str:
    found, rows = parts["score"], []
    for method in METHODS:
        for threads, own in found[found["method"] == method].groupby("threads"):
            rate = own["rows_s"]
            against = ratio(found[found["threads"] == threads], OURS, method, "method", "rows_s")
            rates = (f"{rate.median():,.0f}", f"{rate.min():,.0f} to {rate.max():,.0f}")
            rows.append((method, threads, *rates, times(against), f"{own['row_ms'].median():.2f}"))
    several = parts["at_once"].groupby("threads").agg({"rows_s": "median", "identical": "all"})
    together = [(n, f"{row['rows_s']:,.0f}", "yes" if row["identical"] else "**no**") for n, row in several.iterrows()]
    terms = parts["terms"].groupby("term", sort=False)["us_row"].median()
    header = (
        *("method", "threads", "rows a second (median)", "least to most"),
        *("VAEDetector's with as many threads / this", "one row, ms"),
    )
    return prose.SCORE.format(
        runs=found.groupby(["method", "threads"]).size().min(),
        table=markdown(header, rows),
        threads=markdown(("Python threads", "rows a second, together", "equal to one thread's, bit for bit"), together),
        terms=markdown(("term", "µs a row"), [(name, f"{value:.2f}") for name, value in terms.items()]),
    )


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
        slopes=markdown(("what grows", "fitted over", "fit seconds", "rows scored a second", "peak memory"), slopes),
        table=markdown(("what grows", "value", "fit, s", "rows scored a second", "data, MiB", "peak, MiB"), table),
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
            rate = f"{n_rows / seconds:,.0f}"
            rows.append((kind, *size, method, shown(seconds), len(own), rate, share, f"{own['peak_mib'].max():,.0f}"))
    header = (
        *("format", "rows", "input, GiB", "program", "seconds (median)", "runs", "rows a second"),
        *("throughput / pyarrow's", "peak, MiB"),
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
    "limits": limits,
    "fit": fit,
    "score": score,
    "scaling": scaling,
    "files": files,
    "search": search,
    "gpu": gpu,
}
