"""Writes scale.md from results.json."""

from __future__ import annotations

from typing import Any

from benchmarks.scale import paper

MIB = 2**20
# Seconds; what is shorter is noise of the start.
MIN_RUNNING = 5.0
HEAD = """# Scale

A lake of {rows:,} rows of 28 mixed columns with holes and an identifier, in {files} Parquet files ({mib:.0f} MiB),
scored with one model by each engine, on one and on two cores of one machine. All processes of an engine keep to these
cores, and compute in one thread each. `python reports/benchmarks/scale/run.py` measures, and writes this page and
`scale/results.json`.

{surroundings}

## Rates, start-up, memory, bytes moved

Start-up is the same command on 1,000 rows. The rate is that of the rows once it runs: seconds without the start-up.
Bytes are those of all processes' system calls for a row: read includes pipes and local sockets, as does written, and
loopback is what went over local TCP. Memory that is shared, as Ray's object store is, counts for each process.
"""


def text(known: dict[str, Any]) -> str:
    """The page."""
    lake = known["lake"]
    head = HEAD.format(
        rows=lake["rows"], files=lake["files"], mib=lake["bytes"] / MIB, surroundings=known["surroundings"]
    )
    return "\n".join([head, _runs(known), _notes(), _faults(known), paper.section(known), _rates(known)])


def _runs(known: dict[str, Any]) -> str:
    n_rows = known["lake"]["rows"]
    heads: tuple[str, ...] = (
        "engine",
        "cores",
        "start-up, s",
        "seconds",
        "rows/s",
        "CPU s",
        "read, B/row",
        "written, B/row",
    )
    heads += ("loopback, B/row", "result, B/row", "processes over 100 MiB, MiB", "all, MiB", "scores")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in known["runs"]:
        name = f"| {row['engine']} | {row['workers']} | "
        if "failed" in row:
            said = " ".join(row["failed"].split()).replace("|", "/")[-120:]
            lines.append(f"{name}failed: {said} | | | | | | | | | | |")
            continue
        running = row["seconds"] - row["start_seconds"]
        rate = f"{n_rows / running:,.0f}" if running > MIN_RUNNING else "too few rows"
        moved = [row[key] / n_rows for key in ("read_bytes", "written_bytes", "loopback_bytes", "out_bytes")]
        memory = ", ".join(f"{mib:.0f}" for mib in row["workers_mib"][:4])
        lines.append(
            f"{name}{row['start_seconds']:.1f} | {row['seconds']:.1f} | {rate} | {row['cpu_seconds']:.0f} | "
            f"{' | '.join(f'{each:.0f}' for each in moved)} | {memory} | {row['peak_mib']:.0f} | "
            f"{row['differs'] or 'equal bits'} |"
        )
    return "\n".join([*lines, ""])


def _notes() -> str:
    return (
        "The command line, its shards and Ray write all columns of the input beside the results, as `score` does;\n"
        "Spark and Daft, by the recipes of [Engines](../../docs/guide/engines.md), the identifier alone. Scores are\n"
        "compared with those of the first line, by identifier.\n"
    )


def _faults(known: dict[str, Any]) -> str:
    if not known.get("faults"):
        return ""
    lines = [
        "## What is lost",
        "",
        f"{known['fault_rows']:,} rows in 4 files on two cores. Killed with SIGKILL after three fifths of the time",
        "that it takes otherwise; the disk has room for two fifths of the results, and more before it runs again. The",
        "command line and Ray run again with `--resume`, the others anew.",
        "",
        "| engine | fault | its exit code | rows there then | again, s | undisturbed, s | in the end |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in known["faults"]:
        if "code" not in row:
            lines.append(f"| {row['engine']} | {row['fault']} | | | | | {row['outcome'].replace('|', '/')} |")
            continue
        again = f"{row['again_seconds']:.1f}" if "again_seconds" in row else "went on by itself"
        fault = row["fault"] if row["hit"] else f"{row['fault']} (it had ended before)"
        lines.append(
            f"| {row['engine']} | {fault} | {row['code']} | {row['rows_there']:,} | {again} | "
            f"{row['plain_seconds']:.1f} | {row['outcome']} |"
        )
    return "\n".join([*lines, ""])


def _rates(known: dict[str, Any]) -> str:
    lines = [
        "## Rates of one core",
        "",
        "CPU seconds, one thread, the best of three.",
        "",
        "| rows | a second |",
        "|---|---|",
    ]
    lines += [f"| {name} | {rate:,.0f} |" for name, rate in known["rates"].items()]
    return "\n".join([*lines, ""])
