"""Writes scale.md from results.json."""

from __future__ import annotations

from typing import Any

from benchmarks.scale import paper
from benchmarks.scale.commands import CLI, MEANING, RAY, RAY_DATA, SHARDS, SPARK
from benchmarks.scale.faults import SHARE
from benchmarks.scale.prose import paragraph, points, table

MIB = 2**20
# Seconds; what is shorter is noise of the start.
MIN_RUNNING = 3.0
NAMES = {CLI: "command line", SHARDS: "two shards", RAY: "`--engine ray`", RAY_DATA: "Ray Data", SPARK: "Spark"}
Row = dict[str, Any]


def text(known: dict[str, Any]) -> str:
    """The page."""
    found = "# Scale\n\n    python reports/benchmarks/scale/run.py\n\n"
    if known.get("runs"):
        found += _head(known) + _choice(known) + _rates(known) + _moved(known)
    if known.get("faults"):
        found += _faults(known)
    if known.get("rates"):
        found += paper.section(known["rates"]) + paragraph(known["surroundings"]["rates"])
    return found.rstrip() + "\n"


def _head(known: dict[str, Any]) -> str:
    lake = known["lake"]
    return paragraph(f"""
        A lake of {lake["rows"]:,} rows of 28 mixed columns with holes and an identifier, in {lake["files"]} Parquet
        files
        ({lake["bytes"] / MIB:.0f} MiB), is scored with one model on one machine: by `vae-anomaly score`, and by the
        recipes of `docs/guide/engines.md` as they stand there. All write the identifier and the results
        to Parquet. With one worker an engine has one core for all its processes, with two it has two.
    """) + paragraph(known["surroundings"]["runs"])


def _name(engine: str) -> str:
    return NAMES.get(engine, engine.capitalize())


def _whole(row: Row) -> bool:
    return "lake" in row and row["lake"]["code"] == 0


def _rate(row: Row, n_rows: int) -> float | None:
    """Rows a second once it runs; None where it failed, or was over before that could be told."""
    if not _whole(row):
        return None
    running = row["lake"]["seconds"] - row["start"]["seconds"]
    return n_rows / running if running > MIN_RUNNING else None


def _reference(known: dict[str, Any]) -> str | None:
    """What scores of the command line come to."""
    return next((row["digest"] for row in known["runs"] if row["engine"] == CLI and _whole(row)), None)


def _choice(known: dict[str, Any]) -> str:
    n_rows = known["lake"]["rows"]
    runs = [row for row in known["runs"] if _whole(row)]
    same = [row for row in runs if row["digest"] == _reference(known) and row["rows"] == n_rows]
    two = {row["engine"]: row for row in runs if row["workers"] == max(each["workers"] for each in runs)}
    rates = {engine: rate for engine, row in two.items() if (rate := _rate(row, n_rows))}
    said = []
    if CLI in rates:
        shares = {engine: f"{_name(engine)} {rate / rates[CLI]:.0%}" for engine, rate in rates.items() if engine != CLI}
        engines = ", ".join(share for engine, share in shares.items() if engine != SHARDS)
        said.append(f"""
            **One machine, rows in files: the command line.** It starts in {two[CLI]["start"]["seconds"]:.0f} s and
            scores
            {rates[CLI]:,.0f} rows/s on two cores{f" ({shares[SHARDS]} of that)" if SHARDS in shares else ""}.
        """)
        said.append(f"""
            **A cluster: the engine that runs there already.** On the same two cores, beside the command line's rate:
            {engines}. All do the same arithmetic, and an engine is worth its start where it has more machines than one.
        """)
        starts = ", ".join(f"{_name(engine)} {row['start']['seconds']:.0f} s" for engine, row in two.items())
        said.append(f"**Few rows: no engine.** A thousand rows took: {starts}.")
    said.append("""
        **Runs that take hours: the command line, with or without `--engine ray`.** Killed, they go on with
        `--resume`; the
        recipes begin anew, in an empty folder.
    """)
    said.append(f"""
        **Scores** and p-values were those of the command line, bit for bit, with no row lost or doubled, in {len(same)}
        of {len(runs)} runs that ended, of {len(known["runs"])}.
    """)
    return "## What to take\n\n" + points(said)


def _rates(known: dict[str, Any]) -> str:
    n_rows, reference = known["lake"]["rows"], _reference(known)
    heads = ["engine", "workers", "start-up, s", "all, s", "rows/s", "CPU, s", "scores"]
    rows: list[list[object]] = []
    for row in known["runs"]:
        name = [_name(row["engine"]), row["workers"]]
        if not _whole(row):
            found = row.get("lake", row["start"])
            rows.append([*name, "", "", "", "", f"failed with {found['code']}: {_short(found['said'])}"])
            continue
        rate, same = _rate(row, n_rows), row["digest"] == reference
        rows.append(
            [
                *name,
                f"{row['start']['seconds']:.1f}",
                f"{row['lake']['seconds']:.1f}",
                f"{rate:,.0f}" if rate else "too few rows",
                f"{row['lake']['cpu_seconds']:.0f}",
                ("equal bits" if same else "others") + (", at the second try" if row.get("failures") else ""),
            ]
        )
    engines = dict.fromkeys(row["engine"] for row in known["runs"])
    return (
        "## Rates and start-up\n\n"
        + paragraph("""
            Start-up is the same command on 1,000 rows in as many files. The rate is that of the rows once it runs:
            by the
            seconds without the start-up. CPU seconds are those of all processes, the start included.
        """)
        + table(heads, rows)
        + "Workers are\n\n"
        + points(f"{_name(each)}: {MEANING[each]}." for each in engines)
    )


def _short(said: str) -> str:
    return " ".join(said.split()).replace("|", "/").replace("<", "").replace(">", "")[-120:]


def _moved(known: dict[str, Any]) -> str:
    lake_rows = known["lake"]["rows"]
    heads = ["engine", "workers", "each worker, MiB", "all, MiB", "read, B", "written, B", "loopback, B", "results, B"]
    rows = []
    for row in filter(_whole, known["runs"]):
        start, lake = row["start"], row["lake"]
        keys = ("read_bytes", "written_bytes", "loopback_bytes")
        rows.append(
            [
                _name(row["engine"]),
                row["workers"],
                ", ".join(f"{mib:,.0f}" for mib in lake["workers_mib"][: row["workers"]]),
                f"{lake['peak_mib']:,.0f}",
                *(f"{max(lake[key] - start[key], 0) / lake_rows:,.0f}" for key in keys),
                f"{row['out_bytes'] / lake_rows:.0f}",
            ]
        )
    return (
        "## Memory, and bytes moved\n\n"
        + paragraph(f"""
            Memory is the largest that was resident, looked at ten times a second: of each process that scores, and
            of all
            together, where what they share, as Ray's object store, counts for each. Bytes are by row, without those of
            the start. *Read* and *written* are by read and write calls of all processes, to files and pipes; *loopback*
            is what they sent to each other over TCP. What Ray Data passes on in shared memory is not seen. A row of the
            lake has {known["lake"]["bytes"] / lake_rows:.0f} bytes in Parquet.
        """)
        + table(heads, rows)
    )


def _faults(known: dict[str, Any]) -> str:
    n_rows, n_files = known["fault_lake"]["rows"], known["fault_lake"]["files"]
    heads = [
        "engine",
        "fault",
        "exit code",
        "rows there then",
        "kept",
        "scored twice, about",
        "cost, s",
        "in the end",
    ]
    rows: list[list[object]] = []
    for row in known["faults"]:
        fault = row["fault"]
        if "code" not in row:
            rows.append([_name(row["engine"]), fault, "", "", "", "", "", _short(row["outcome"])])
            continue
        fault += "" if row["hit"] else " (it had ended before)"
        outcome = row["outcome"]
        if row.get("again_code"):
            outcome += f"; the next run ended with {row['again_code']}: {_short(row['again_said'])}"
        kept = row.get("kept")
        twice = n_rows // n_files if kept is None else max(int(n_rows * SHARE), row["rows_there"]) - kept
        cost = row["seconds"] + row.get("again_seconds", 0.0) - row["plain_seconds"]
        there, stays = f"{row['rows_there']:,}", "went on by itself" if kept is None else f"{kept:,}"
        rows.append([_name(row["engine"]), fault, row["code"], there, stays, f"{twice:,}", f"{cost:.0f}", outcome])
    return (
        "## What is lost\n\n"
        + paragraph(f"""
            {n_rows:,} rows in {n_files} files, two workers, hit when {SHARE:.0%} of the files of results are begun
            (Daft: when {SHARE:.0%} of the seconds of its scoring are over): SIGKILL for a process that scores, or for
            all processes at once; or a disk with room for {SHARE:.0%} of the results, and for all before the next run.
            The command line and `--engine ray` run again with `--resume`, the others anew into an empty folder.
            Measured last: {known["surroundings"]["faults"]}
        """)
        + paragraph("""
            *Rows there then* are those in whole files that a reader of the folder finds after the fault. *Kept* are
            rows in files that the next run left as they were, *scored twice* what was scored and not kept: where the
            engine went on by itself, at most the rows of a file. *Cost* is the seconds of both runs beyond the
            undisturbed one.
        """)
        + table(heads, rows, left=2)
        + paragraph("""
            A file of results has its name when it is whole, with the command line and with Spark. Whether the folder is
            whole Spark says by `_SUCCESS`. Daft and Ray Data, by their documentation, add to a folder that is there: a
            recipe that is run again without emptying it has rows twice.
        """)
    )
