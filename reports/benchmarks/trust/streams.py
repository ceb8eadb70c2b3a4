"""What the command says and does where its streams, paths and surroundings are not as they should be.

Every command is run as a process of its own under every condition of `STREAMS` and `SURROUNDINGS`, and on every path
of `ODD`. A case holds if the process ends in time with an exit code of ours, and says nothing in Python's words.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SUITE = "streams"
COMMAND = [sys.executable, "-m", "vae_anomaly_cli"]
FAST = ("--max-iter", "5", "--n-estimators", "1")
TIMEOUT_SECONDS = 120
# Of the whole table, so many cases are run where it has to be quick.
N_QUICK = 24
CODES = (0, 1, 2, 3)
PYTHONS_WORDS = re.compile(r"Traceback|Exception ignored|\b[A-Z]\w*(Error|Exception|Invalid)\b|VAE_ANOMALY_DEBUG")
CLOSED, FULL = "closed", "/dev/full"
STREAMS: dict[str, tuple[str, str, str]] = {
    "standard input closed": (CLOSED, "", ""),
    "standard output closed": ("", CLOSED, ""),
    "standard error closed": ("", "", CLOSED),
    "all three closed": (CLOSED, CLOSED, CLOSED),
    "standard output full": ("", FULL, ""),
    "standard error full": ("", "", FULL),
    "both full": ("", FULL, FULL),
}
SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "LC_ALL=C": {"LC_ALL": "C"},
    "LC_ALL=C, no coercion": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "LC_ALL=POSIX": {"LC_ALL": "POSIX"},
    "no locale": {"LC_ALL": None, "LANG": None, "LC_CTYPE": None},
    "a locale that does not exist": {"LC_ALL": "xx_YY.UTF-8"},
    "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
    "PYTHONUTF8=0": {"PYTHONUTF8": "0"},
    "TERM=dumb, COLUMNS=1": {"TERM": "dumb", "COLUMNS": "1"},
    "COLUMNS=0": {"COLUMNS": "0"},
    "NO_COLOR": {"NO_COLOR": "1"},
    "no HOME": {"HOME": None},
    "HOME that does not exist": {"HOME": "/no/such/folder"},
    "TMPDIR that does not exist": {"TMPDIR": "/no/such/folder"},
    "PYTHONOPTIMIZE=2": {"PYTHONOPTIMIZE": "2"},
    "PYTHONHASHSEED=1": {"PYTHONHASHSEED": "1"},
    "PYTHONDONTWRITEBYTECODE": {"PYTHONDONTWRITEBYTECODE": "1"},
}


@dataclass(frozen=True)
class Case:
    """A run of the command, and where it runs."""

    group: str
    name: str
    arguments: tuple[str, ...]
    streams: tuple[str, str, str] = ("", "", "")
    environment: dict[str, str | None] = field(default_factory=dict)


def measure(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Run the table, or some of it drawn at random; a row for each group of cases with how many were tried and held."""
    with tempfile.TemporaryDirectory(prefix="vae-anomaly-streams-") as folder:
        cases = list(_cases(Path(folder)))
        if quick:
            cases = random.Random(seed).sample(cases, N_QUICK)
        failures: dict[str, list[str]] = {case.group: [] for case in cases}
        for case in cases:
            fault = _fault(case, Path(folder))
            if fault:
                failures[case.group].append(f"{case.name}: {fault}")
    return [
        {
            "suite": SUITE,
            "case": group,
            "tried": sum(case.group == group for case in cases),
            "held": sum(case.group == group for case in cases) - len(failed),
            "note": "; ".join(failed)[:1000],
        }
        for group, failed in failures.items()
    ]


def _cases(folder: Path) -> Iterator[Case]:
    commands = _commands(folder)
    for condition, streams in STREAMS.items():
        for name, arguments in commands.items():
            yield Case(condition, name, arguments, streams)
    for condition, environment in SURROUNDINGS.items():
        for name in ("score", "fit", "info", "explain", "help"):
            yield Case(condition, name, commands[name], environment=environment)
    for name, path in _odd_paths(folder).items():
        model = str(folder / "m.vae")
        yield Case("no model", name, ("info", path))
        yield Case("no model", f"{name}, score", ("score", str(folder / "new.csv"), "-m", path))
        yield Case("no table", name, ("score", path, "-m", model))
        yield Case("no place for a table", name, ("score", str(folder / "new.csv"), "-m", model, "-o", path))


def _commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """Make a table and models, and return every command on them."""
    rng = np.random.default_rng(0)

    def rows(n: int) -> pd.DataFrame:
        shops = rng.choice(["nord", "süd"], n)
        return pd.DataFrame({"größe": rng.normal(50, 5, n).round(3), "items": rng.integers(1, 40, n), "shop": shops})

    table, new, known, model, calibrated = (
        str(folder / name) for name in ("t.csv", "new.csv", "known.csv", "m.vae", "c.vae")
    )
    rows(80).to_csv(table, index=False)
    rows(120).to_csv(new, index=False)
    rows(120).assign(fraud=np.arange(120) % 10 == 0).to_csv(known, index=False)
    for arguments in (("fit", table, "-o", model, *FAST), ("calibrate", new, "-m", model, "-o", calibrated)):
        subprocess.run([*COMMAND, *arguments], check=True, capture_output=True)
    return {
        "score": ("score", new, "-m", model),
        "score to a file": ("score", new, "-m", model, "-o", str(folder / "o.csv")),
        "score --json": ("score", new, "-m", model, "--json"),
        "fit": ("fit", table, "-o", str(folder / "f.vae"), *FAST),
        "info": ("info", model),
        "info --json": ("info", model, "--json"),
        "explain": ("explain", new, "-m", model),
        "evaluate": ("evaluate", known, "-m", calibrated, "--label", "fraud"),
        "compare": ("compare", known, "--label", "fraud", "--splits", "1", *FAST),
        "threshold": ("threshold", calibrated),
        "calibrate": ("calibrate", new, "-m", model, "-o", str(folder / "k.vae")),
        "audit": ("audit", calibrated, new),
        "drift": ("drift", new, "-m", calibrated),
        "help": ("--help",),
        "version": ("--version",),
        "nothing": (),
        "misuse": ("score", "--no-such-option"),
    }


def _odd_paths(folder: Path) -> dict[str, str]:
    odd = folder / "odd"
    odd.mkdir()
    (odd / "empty.csv").touch()
    (odd / "loop.csv").symlink_to(odd / "pool.csv")
    (odd / "pool.csv").symlink_to(odd / "loop.csv")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(odd / "socket.csv"))
    listening.close()
    return {
        "a folder": str(odd),
        "an empty file": str(odd / "empty.csv"),
        "a loop of links": str(odd / "loop.csv"),
        "a socket": str(odd / "socket.csv"),
        "a device without end": "/dev/zero",
        "a long name": str(odd / f"{'a' * 300}.csv"),
        "a name with a line feed": str(odd / "a\nb" / "c.csv"),
        "a name that is no UTF-8": os.fsdecode(os.fsencode(odd) + b"/\xff/\xff.csv"),
        "a name with an escape sequence": str(odd / "\x1b[31m" / "c.csv"),
        "a tilde": "~/no/such.csv",
        "below a file": str(odd / "empty.csv" / "x.csv"),
    }


def _fault(case: Case, folder: Path) -> str:
    """Run a case, and say what does not hold; empty if all does."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, value in case.environment.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    redirections = " ".join(
        f"{number}{sign}{'&-' if to == CLOSED else to}"
        for number, (sign, to) in enumerate(zip("<>>", case.streams, strict=True))
        if to
    )
    # The shell gives the streams, as people do.
    line = ["sh", "-c", f'exec "$@" {redirections}', "sh", *COMMAND, *case.arguments]
    try:
        done = subprocess.run(
            line,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no end in {TIMEOUT_SECONDS} s"
    said = done.stderr.decode("utf-8", "backslashreplace")
    if done.returncode not in CODES:
        return f"exit code {done.returncode}"
    found = PYTHONS_WORDS.search(said)
    return "" if found is None else f"said '{found[0]}'"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what was tried and what held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="draw some of the cases")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    given = parser.parse_args(arguments)
    sys.stdout.write(f"{pd.DataFrame(measure(given.quick, given.seed)).to_string(index=False)}\n")


if __name__ == "__main__":
    main()
