"""A lake of Parquet on each engine: rates, start-up, memory, bytes moved, faults, and a billion rows on paper.

pip install -c constraints.txt -e ".[test,ray,engines]" daft
python reports/benchmarks/scale/run.py                    about 12 minutes, 2 million rows
python reports/benchmarks/scale/run.py --quick            200,000 rows, faults of two engines
python reports/benchmarks/scale/run.py --page             only the page, from results.json

Makes about 600 bytes a row in the folder of temporary files (TMPDIR says which) and removes them. Spark needs Java 17.
`results.json` has what was measured; a run replaces the engines that it measures again.
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

import pyarrow as pa
from benchmarks.harness import console, surroundings
from benchmarks.scale import faults, page, rates
from benchmarks.scale.commands import CLI, ENGINES, RAY, SHARDS, command
from benchmarks.scale.lake import ID, block, difference, results, write_lake
from benchmarks.scale.watching import watch

from vae_anomaly import VAEDetector, save

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
FITTED_ROWS, START_ROWS, FAULT_ROWS = 20_000, 1_000, 400_000
N_FILES = 8
WORKERS = (1, 2)
ROOT = HERE.parents[2]
CODE = os.pathsep.join(str(ROOT / part) for part in (".", "cli", "datasets", "reports"))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--quick", action="store_true", help="200,000 rows, faults with 100,000 of two engines")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES), metavar="ENGINE")
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--page", action="store_true", help="only write scale.md")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rows = min(chosen.rows, 200_000)
    return chosen


def measure(chosen: argparse.Namespace, folder: Path, known: dict[str, Any]) -> None:
    """Add to what is known of runs, and of faults."""
    model = folder / "m.vae"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(VAEDetector().fit(block(0, FITTED_ROWS).drop_columns([ID]).to_pandas()), model)
    n_bytes = write_lake(folder / "lake", chosen.rows, N_FILES)
    write_lake(folder / "start", START_ROWS, 1)
    known["lake"] = {"rows": chosen.rows, "files": N_FILES, "bytes": n_bytes}
    expected = _rates(chosen, folder, model, known)
    if not chosen.no_faults:
        _faults(chosen, folder, model, known)
    del expected


def _rates(chosen: argparse.Namespace, folder: Path, model: Path, known: dict[str, Any]) -> pa.Table | None:
    out, expected = folder / "out", None
    for engine in chosen.engines:
        known["runs"] = [row for row in known.get("runs", []) if row["engine"] != engine]
        for n_workers in WORKERS:
            if engine == SHARDS and n_workers == 1:
                continue
            row: dict[str, Any] = {"engine": engine, "workers": n_workers}
            for name in ("start", "lake"):
                asked = command(engine, folder / name, model, out, n_workers)
                found = watch(asked.arguments, asked.environment, n_workers)
                if found.code:
                    row["failed"] = found.said.strip()[-300:]
                    console.log(f"{engine}: ended with {found.code}: {row['failed']}")
                    break
                if name == "start":
                    row["start_seconds"] = found.seconds
                else:
                    row |= asdict(found)
                    row["out_bytes"] = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
                    scored = results(out)
                    expected = scored if expected is None else expected
                    row["differs"] = difference(scored, expected)
                shutil.rmtree(out, ignore_errors=True)
            shutil.rmtree(out, ignore_errors=True)
            known["runs"].append(row)
            console.log(f"{engine}, {n_workers}: {row.get('seconds', 0):.1f} s, {row.get('differs') or 'equal bits'}")
    return expected


def _faults(chosen: argparse.Namespace, folder: Path, model: Path, known: dict[str, Any]) -> None:
    engines = [engine for engine in chosen.engines if engine != SHARDS]
    if chosen.quick:
        engines = [engine for engine in engines if engine in (CLI, RAY)]
    n_rows = min(chosen.rows // 2, FAULT_ROWS)
    write_lake(folder / "faults", n_rows, 4)
    asked = command(CLI, folder / "faults", model, folder / "whole", 2)
    watch(asked.arguments, asked.environment, 2)
    expected = results(folder / "whole")
    known["fault_rows"] = n_rows
    for engine in engines:
        known["faults"] = [row for row in known.get("faults", []) if row["engine"] != engine]
        for row in faults.outcomes(engine, folder / "faults", model, folder / "broken", 2, expected):
            known["faults"].append(row)
            console.log(f"{engine}: {row['fault']}: {row['outcome']}")


def main() -> None:
    chosen = options()
    known: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if not chosen.page:
        os.environ["PYTHONPATH"] = CODE
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            measure(chosen, Path(folder), known)
        known["rates"] = rates.rates()
        known["surroundings"] = surroundings(["torch", "pyarrow"])
        RESULTS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    (HERE.parent / "scale.md").write_text(page.text(known), encoding="utf-8")


if __name__ == "__main__":
    main()
