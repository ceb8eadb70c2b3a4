"""CPU seconds of programs from start to end: imports, the help, and a small file scored.

python reports/benchmarks/speed/start.py
python reports/benchmarks/speed/start.py --before ../checkout-of-an-earlier-commit --runs 3
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.speed.work import table
from benchmarks.speed.workers import BEFORE, OURS, THREAD_VARIABLES, ledger, parser, with_before

N_ROWS, N_COLUMNS = 500, 10
COLUMNS = ("program", "method", "run", "cpu_s", "seconds")
IMPORTS = ("import vae_anomaly", "import torch", "import sklearn.base", "from vae_anomaly import VAEDetector")
HELP, SCORE, SCORE_WITH_MODEL = "vae-anomaly --help", "vae-anomaly score", "vae-anomaly score --model"


def programs(folder: Path) -> dict[str, list[str]]:
    """Arguments of Python by what the page calls the program; the file and its model are made first."""
    data, model = str(folder / "small.csv"), str(folder / "small.vae")
    cells, _ = table(N_ROWS, N_COLUMNS, 0)
    lines = [
        ",".join(f"x{column}" for column in range(N_COLUMNS)),
        *(",".join(map(repr, row)) for row in cells.tolist()),
    ]
    Path(data).write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["-m", "vae_anomaly_cli"]
    return {
        **{code: ["-c", code] for code in IMPORTS},
        HELP: [*command, "--help"],
        SCORE: [*command, "score", data],
        SCORE_WITH_MODEL: [*command, "score", data, "--model", model],
    }


def run(arguments: list[str], checkout: Path | None) -> tuple[float, float]:
    """CPU seconds, and seconds by the clock, of a program with one thread."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    if checkout is not None:
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (checkout.resolve(), checkout.resolve() / "cli")))
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begin
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds


def main() -> None:
    chosen = with_before(parser(__doc__)).parse_args()
    methods = {OURS: None, **({BEFORE: chosen.before} if chosen.before else {})}
    with (
        ledger(chosen.out, "start", COLUMNS, 3, lambda row: row["method"] in methods) as add,
        tempfile.TemporaryDirectory() as folder,
    ):
        own = programs(Path(folder))
        run([*own[SCORE][:2], "fit", own[SCORE][-1], "--output", own[SCORE_WITH_MODEL][-1]], chosen.before)
        for turn in range(chosen.runs):
            for program, arguments in own.items():
                for method, checkout in methods.items():
                    cpu, seconds = run(arguments, checkout)
                    add({"program": program, "method": method, "run": turn, "cpu_s": cpu, "seconds": seconds})


if __name__ == "__main__":
    main()
