"""A lake of Parquet on each engine: rates, start-up, memory, bytes moved, faults, and a billion rows on paper.

pip install -c constraints.txt -e ".[test,ray,engines]" daft
python reports/benchmarks/scale/run.py                    2 million rows, about half an hour
python reports/benchmarks/scale/run.py --quick            200,000 rows, faults of two engines
python reports/benchmarks/scale/run.py --engines spark --parts runs
python reports/benchmarks/scale/run.py --page             only the page, from results.json

Makes about 400 bytes a row in the folder of temporary files (TMPDIR says which) and removes them. Spark needs Java 17.
`results.json` has what was measured, is written after each engine, and keeps the engines that are not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.harness import console, surroundings
from benchmarks.scale import faults, page
from benchmarks.scale.commands import ALONE, CLI, DAFT, ENGINES, OTHERS, RAY, SHARDS, SPARK, command
from benchmarks.scale.lake import ID, block, digest, results, write_lake
from benchmarks.scale.rates import rates
from benchmarks.scale.watching import watch

from vae_anomaly import VAEDetector, save

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
FITTED_ROWS, START_ROWS, FAULT_ROWS = 20_000, 1_000, 240_000
N_FILES = 8
WORKERS = (1, 2)
TRIES = 2
FAULTS, QUICK_FAULTS = (CLI, RAY, SPARK, DAFT), (CLI, RAY)
PARTS = ("runs", "faults", "rates")
ROOT = HERE.parents[2]
CODE = os.pathsep.join(str(ROOT / part) for part in (".", "cli", "datasets", "reports"))
Known = dict[str, Any]


def options() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--quick", action="store_true", help="200,000 rows, faults of two engines")
    parser.add_argument("--engines", nargs="+", choices=ENGINES + OTHERS, default=list(ENGINES), metavar="ENGINE")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--page", action="store_true", help="only write scale.md")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rows = min(chosen.rows, 200_000)
    return chosen


def measure(chosen: argparse.Namespace, folder: Path, known: Known) -> None:
    """Add to what is known of runs, faults and rates, and write it after each."""
    model = folder / "m.vae"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(VAEDetector(random_state=0).fit(block(0, FITTED_ROWS).drop_columns([ID]).to_pandas()), model)
    write_lake(folder / "start", START_ROWS, N_FILES)
    if "runs" in chosen.parts:
        n_bytes = write_lake(folder / "lake", chosen.rows, N_FILES)
        lake = {"rows": chosen.rows, "files": N_FILES, "bytes": n_bytes}
        if known.get("lake") != lake:
            known |= {"lake": lake, "runs": []}
        for engine in chosen.engines:
            _measure_runs(engine, folder, model, known)
        shutil.rmtree(folder / "lake")
    if "rates" in chosen.parts:
        known["rates"] = rates(folder / "wide")
        write(known, "rates")
        shutil.rmtree(folder / "wide")
    if "faults" in chosen.parts:
        engines = [engine for engine in chosen.engines if engine in (QUICK_FAULTS if chosen.quick else FAULTS)]
        _measure_faults(engines, min(chosen.rows, FAULT_ROWS), folder, model, known)


def write(known: Known, part: str) -> None:
    """Keep what is known, and where a part of it was measured."""
    known.setdefault("surroundings", {})[part] = surroundings(["torch", "pyarrow"])
    RESULTS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def _measure_runs(engine: str, folder: Path, model: Path, known: Known) -> None:
    known["runs"] = [row for row in known["runs"] if row["engine"] != engine]
    for n_workers in WORKERS:
        if (engine == SHARDS and n_workers == 1) or (engine in ALONE and n_workers > 1):
            continue
        row: Known = {"engine": engine, "workers": n_workers}
        known["runs"].append(row)
        for name in ("start", "lake"):
            out = folder / "out"
            asked = command(engine, folder / name, model, out, n_workers)
            for _ in range(TRIES):
                found = watch(asked.arguments, asked.environment, n_workers, asked.worker)
                if not found.code:
                    break
                # What it leaves, as that of a cluster that did not begin in time, is no part of the next.
                for path in out.glob("*"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                row["failures"] = row.get("failures", 0) + 1
            row[name] = asdict(found)
            if found.code:
                console.log(f"{engine}: ended with {found.code}: {found.said}")
                break
            scored = results(out)
            row["digest"] = digest(scored)
            row["out_bytes"] = sum(path.stat().st_size for path in out.rglob("*.parquet"))
            row["rows"] = len(np.unique(scored[ID].to_numpy()))
            shutil.rmtree(out)
            console.log(f"{engine}, {n_workers}, {name}: {found.seconds:.1f} s, {row['rows']:,} rows, {row['digest']}")
        shutil.rmtree(folder / "out", ignore_errors=True)
        write(known, "runs")


def _measure_faults(engines: list[str], n_rows: int, folder: Path, model: Path, known: Known) -> None:
    write_lake(folder / "faults", n_rows, N_FILES)
    asked = command(CLI, folder / "faults", model, folder / "whole", 2)
    watch(asked.arguments, asked.environment, 2, asked.worker)
    expected = results(folder / "whole")
    if known.get("fault_lake") != {"rows": n_rows, "files": N_FILES}:
        known |= {"fault_lake": {"rows": n_rows, "files": N_FILES}, "faults": []}
    for engine in engines:
        known["faults"] = [row for row in known["faults"] if row["engine"] != engine]
        for row in faults.outcomes(engine, folder / "faults", model, folder / "broken", 2, expected):
            known["faults"].append(row)
            console.log(f"{engine}: {row['fault']}: {row['outcome']} {row.get('said', '')}")
            write(known, "faults")


def main() -> None:
    """Measure, and write the page."""
    chosen = options()
    known: Known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if not chosen.page:
        os.environ["PYTHONPATH"] = CODE
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            measure(chosen, Path(folder), known)
    (HERE.parent / "scale.md").write_text(page.text(known), encoding="utf-8")


if __name__ == "__main__":
    main()
