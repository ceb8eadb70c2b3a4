"""Flat memory: thousands of calls, and files fifty times larger, take no more than a few, or a small one.

python reports/benchmarks/trust/memory.py --quick

A day of a service in miniature: each loop runs in a process of its own, which tells after every twentieth of its calls
its resident memory, Python objects, file descriptors, threads, and the files of its temporary folder. After the first
half, which warms caches and allocators up, the least of the last quarter may not be above that of the third by more
than noise.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.trust import forked
from benchmarks.trust.trials import Ended, Finding, command, one_suite, record, status_of

Call = Callable[[int], object]
QUICK, LONG = 0.1, 1.0
N_POINTS = 20
# A rise that a thousand calls may leave, and one of a whole half that is noise of allocators.
MAX_KIB_PER_THOUSAND, NOISE_KIB = 256.0, 6 * 1024.0
MAX_NEW_OBJECTS = 200
N_ROWS, TIMES = 40_000, 50
# What a file that is TIMES larger may take on top, in all: allocators warm up over the first million rows. And by how
# much the last third of its run may be above the middle third.
MAX_MORE_MIB, MAX_RISE_MIB = 192.0, 24.0
FAST: dict[str, Any] = {"max_iter": 4, "n_estimators": 2, "random_state": 0}


def _frame(seed: int, n_rows: int) -> pd.DataFrame:
    """A new one each time: pandas keeps a list of all that ever looked at one, and clears it now and then."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "speed": rng.normal(size=n_rows).round(4),
            "load": rng.gamma(2, size=n_rows).round(4),
            "shop": rng.choice(["north", "south"], n_rows),
        }
    )


def _fitted() -> Any:
    from vae_anomaly import VAEDetector

    return VAEDetector(**FAST).fit(_frame(0, 200))


def _scoring(_: Path) -> Call:
    detector = _fitted()
    return lambda call: detector.score_samples(_frame(1 + call % 10, 50))


def _partial_fit(_: Path) -> Call:
    detector = _fitted()
    return lambda call: detector.partial_fit(_frame(1 + call % 10, 50))


def _explaining(_: Path) -> Call:
    detector = _fitted()
    return lambda call: detector.explain(_frame(1 + call % 10, 3))


def _fitting(_: Path) -> Call:
    from vae_anomaly import VAEDetector

    return lambda call: VAEDetector(**FAST).fit(_frame(call % 10, 60))


def _saving(folder: Path) -> Call:
    from vae_anomaly import load, save

    detector = _fitted()

    def call(_: int) -> object:
        save(detector, folder / "model.vae")
        return load(folder / "model.vae")

    return call


def _images(_: Path) -> Call:
    from vae_anomaly import VAEDetector

    pixels = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    detector = VAEDetector(**FAST).fit(pixels)
    return lambda call: detector.score_samples(pixels[call % 50 : call % 50 + 10])


def _commands(folder: Path) -> Call:
    _frame(0, 200).to_csv(folder / "rows.csv", index=False)
    _must(command("fit", folder / "rows.csv", "-o", folder / "m.vae", "--max-iter", "4", "--n-estimators", "2"))
    score = ("score", folder / "rows.csv", "-m", folder / "m.vae", "-o", folder / "o.csv", "-q")
    return lambda _: _must(command(*score))


def _piped_commands(folder: Path) -> Call:
    _commands(folder)
    rows = (folder / "rows.csv").read_bytes()
    score = ("score", "-", "-m", folder / "m.vae", "-o", folder / "o.csv", "-q")
    return lambda _: _must(command(*score, stdin=rows))


def _refused_commands(folder: Path) -> Call:
    """Failures: what they leave in tracebacks and open files."""
    _commands(folder)
    (folder / "bad.csv").write_text("speed,load,shop\n1,2,north\n3,4\n", encoding="utf-8")
    score = ("score", folder / "bad.csv", "-m", folder / "m.vae", "-o", folder / "o.csv", "-q")
    return lambda _: command(*score)


LOOPS: dict[str, tuple[Callable[[Path], Call], int]] = {
    "score_samples": (_scoring, 5000),
    "partial_fit": (_partial_fit, 2000),
    "explain": (_explaining, 1000),
    "fit": (_fitting, 200),
    "save and load": (_saving, 1000),
    "score_samples of images": (_images, 3000),
    "the command score": (_commands, 1000),
    "the command score of standard input": (_piped_commands, 1000),
    "the command score, refused": (_refused_commands, 1000),
}


def _must(ended: Ended) -> Ended:
    if ended.code:
        raise RuntimeError(ended.err)
    return ended


def _state(temporary: Path) -> dict[str, int]:
    gc.collect()
    return {
        "KiB": status_of("VmRSS"),
        "objects": len(gc.get_objects()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": status_of("Threads"),
        "files": len(list(temporary.iterdir())),
    }


def _run_loop(loop: Callable[[Path], Call], n_calls: int, result: Path) -> None:
    """What the process of a loop does: write its states to a file."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    temporary = result.with_suffix(".tmp")
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = None
    folder = result.with_suffix(".work")
    folder.mkdir()
    call = loop(folder)
    states = []
    for number in range(n_calls):
        call(number)
        if (number + 1) % max(1, n_calls // N_POINTS) == 0:
            states.append(_state(temporary))
    result.write_text(json.dumps(states), encoding="utf-8")


def _judged(states: list[dict[str, int]], n_calls: int) -> tuple[list[str], str]:
    """What grew, and the slope in words."""
    half = states[len(states) // 2 :]
    # What is lost stays: allocators come and go, and the least of some states tells.
    quarter = len(half) // 2
    rise = min(state["KiB"] for state in half[quarter:]) - min(state["KiB"] for state in half[:quarter])
    slope = 1000 * rise / (n_calls * quarter / len(states))
    grown = []
    if slope > MAX_KIB_PER_THOUSAND and rise > NOISE_KIB:
        grown.append(f"memory grows by {slope:.0f} KiB per 1,000 calls")
    for what, allowed in (("objects", MAX_NEW_OBJECTS), ("descriptors", 0), ("threads", 0), ("files", 0)):
        more = half[-1][what] - half[0][what]
        if more > allowed:
            grown.append(f"{more} more {what}")
    if half[-1]["files"]:
        grown.append(f"{half[-1]['files']} temporary files")
    last = half[-1]
    note = f"{n_calls:,} calls: {rise / 1024:+.1f} MiB in the last quarter, of {last['KiB'] // 1024}; "
    note += f"{last['objects'] - half[0]['objects']:+,} objects, {last['descriptors']} descriptors, "
    note += f"{last['threads']} threads"
    return grown, note


def _loops(folder: Path, share: float) -> list[Finding]:
    findings = []
    for number, (name, (loop, n_calls)) in enumerate(LOOPS.items()):
        n_calls = max(N_POINTS, int(share * n_calls) // N_POINTS * N_POINTS)
        result = folder / f"loop_{number}.json"
        said = forked.call(lambda: _run_loop(loop, n_calls, result))  # noqa: B023 - it ends within this turn
        if said:
            findings.append(record("memory", name, 1, [said]))
            continue
        grown, note = _judged(json.loads(result.read_text(encoding="utf-8")), n_calls)
        findings.append(record("memory", name, 1, ["; ".join(grown)] if grown else [], note))
    return findings


def _watched(child: forked.Child) -> list[float]:
    """Resident memory of a process until it ends, in MiB, at even intervals."""
    seen = []
    while child.alive():
        with contextlib.suppress(OSError, StopIteration):
            seen.append(status_of("VmRSS", child.pid) / 1024)
        time.sleep(0.05)
    return seen


def _sizes(folder: Path) -> list[Finding]:
    """The most memory that `score` takes for a file, and for one that is TIMES larger."""
    part = _frame(0, N_ROWS)
    findings = []
    small, large = folder / "small.csv", folder / "large.csv"
    part.to_csv(small, index=False)
    rows = small.read_bytes().split(b"\n", 1)[1]
    with large.open("wb") as stream:
        stream.write(small.read_bytes())
        for _ in range(TIMES - 1):
            stream.write(rows)
    model = folder / "model.vae"
    _must(forked.run("fit", small, "-o", model, "--max-iter", "2", "--n-estimators", "1", "--latent-dim", "1", "-q"))
    for name, output in (("CSV to CSV", "o.csv"), ("CSV to Parquet", "o.parquet")):
        peaks = []
        for data in (small, large):
            child = forked.Child(["score", data, "-m", model, "-o", folder / output, "-q"])
            seen = _watched(child)
            _must(child.wait(600))
            peaks.append(child.usage.ru_maxrss / 1024)
        more, third = peaks[1] - peaks[0], len(seen) // 3
        rise = max(seen[2 * third :]) - max(seen[third : 2 * third])
        note = (
            f"{N_ROWS:,} rows {peaks[0]:.0f} MiB, {TIMES} times as many {peaks[1]:.0f} MiB; {rise:+.0f} MiB at the end"
        )
        failures = [note] if more > MAX_MORE_MIB or rise > MAX_RISE_MIB else []
        findings.append(record("memory", f"a file {TIMES} times larger, {name}", 1, failures, note))
    return findings


def measure(quick: bool, seed: int) -> list[Finding]:
    """Run each loop, and score a small and a large file; nothing here is random, whatever the seed."""
    del seed
    forked.preload()
    with forked.temporary_folder() as folder:
        return [*_loops(folder, QUICK if quick else LONG), *_sizes(folder)]


if __name__ == "__main__":
    one_suite(__doc__, measure)
