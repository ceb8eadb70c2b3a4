"""Runs that are killed at random moments, and disks that fill up: the old file or the whole new one, and nothing else.

python reports/benchmarks/trust/kill.py --quick
python reports/benchmarks/trust/kill.py --seed 7

Each run is a process. Half of the moments are drawn over the time that the run takes, half over the calls that open,
rename or remove files, which are where damage could be done. After each, a run of the same command (where it scores,
every other time with --resume) has to end with the bytes of a run that was left alone, in a folder with nothing else.
"""

from __future__ import annotations

import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.trust import forked
from benchmarks.trust.trials import Ended, Finding, one_suite, record

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
QUICK, LONG = 3, 16
EVENTS = ("open", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.truncate")
N_ROWS, ROWS_PER_BATCH = 1000, 100
OLD = b"what was there before\n"
FAST = ("--max-iter", "5", "--n-estimators", "1", "-q")
OUT = "{out}"


@dataclass(frozen=True)
class Scenario:
    """A command that writes.

    Attributes
    ----------
    name : str
        What is written, and how.
    arguments : tuple of str
        Those of the command; `OUT` stands for the folder of its own, the others for files of the workshop.
    output : str
        What it writes there: a file, or a folder with a slash at its end.
    before : str
        File of the workshop that is there before, under the same name; OLD for one that is no such file.
    stdin : str
        File of the workshop that is its standard input.
    """

    name: str
    arguments: tuple[str, ...]
    output: str
    before: str = ""
    stdin: str = ""

    @property
    def resumes(self) -> bool:
        return self.arguments[0] == "score" and not self.stdin


def _score(name: str, output: str, data: str = "rows.csv", before: str = "old") -> Scenario:
    return Scenario(f"score to {name}", ("score", data, "-m", "rows.vae", "-o", f"{OUT}/{output}"), output, before)


SCENARIOS = (
    Scenario("fit to a new file", ("fit", "fewer.csv", "-o", f"{OUT}/m.vae", *FAST), "m.vae"),
    Scenario("fit over an old file", ("fit", "fewer.csv", "-o", f"{OUT}/m.vae", *FAST), "m.vae", "old"),
    Scenario(
        "a threshold into its model",
        ("threshold", f"{OUT}/m.vae", "--false-alarm-rate", "0.02", "-o", f"{OUT}/m.vae"),
        "m.vae",
        "rows.vae",
    ),
    Scenario(
        "a calibration into its model",
        ("calibrate", "later.csv", "-m", f"{OUT}/m.vae", "-o", f"{OUT}/m.vae"),
        "m.vae",
        "rows.vae",
    ),
    _score("CSV", "o.csv"),
    _score("compressed CSV", "o.csv.gz"),
    _score("Parquet", "o.parquet"),
    _score("a folder", "scored/", "parts", before=""),
    Scenario(
        "score from standard input", ("score", "-", "-m", "rows.vae", "-o", f"{OUT}/o.csv"), "o.csv", "old", "rows.csv"
    ),
)


class Workshop:
    """Tables and a model, and what each command makes of them when it is left alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _rows(0, N_ROWS).to_csv(folder / "rows.csv", index=False)
        _rows(1, N_ROWS).to_csv(folder / "later.csv", index=False)
        _rows(2, 150).to_csv(folder / "fewer.csv", index=False)
        (folder / "parts").mkdir()
        for number in range(4):
            _rows(3 + number, 250).to_csv(folder / "parts" / f"{number}.csv", index=False)
        (folder / "old").write_bytes(OLD)
        ended = forked.run("fit", folder / "rows.csv", "-o", folder / "rows.vae", *FAST)
        if ended.code:
            raise RuntimeError(ended.err)
        self.events = mmap.mmap(-1, 8)
        self.n_rooms = 0

    @contextmanager
    def room(self, scenario: Scenario) -> Iterator[Room]:
        """A folder for one trial of a command, as it is before it."""
        self.n_rooms += 1
        room = Room(self, scenario, self.folder / f"room {self.n_rooms}")
        try:
            yield room
        finally:
            shutil.rmtree(room.folder, ignore_errors=True)

    def left_alone(self, scenario: Scenario) -> Undisturbed:
        """Run a command to its end."""
        with self.room(scenario) as room:
            child = room.start(counting(self.events))
            ended = child.wait()
            if ended.code:
                raise RuntimeError(f"{scenario.name}: {ended.err}")
            return Undisturbed(room.files(), child.seconds, int.from_bytes(self.events[:8], "little"))


@dataclass(frozen=True)
class Undisturbed:
    """What a run leaves that nobody disturbs, how long it takes, and at how many events it could be killed."""

    files: dict[str, bytes]
    seconds: float
    n_events: int


class Room:
    """The output folder and the temporary folder of one trial."""

    def __init__(self, workshop: Workshop, scenario: Scenario, folder: Path) -> None:
        self.workshop, self.scenario, self.folder = workshop, scenario, folder
        self.out, self.temporary = folder / "out", folder / "tmp"
        self.out.mkdir(parents=True)
        self.temporary.mkdir()

    def furnish(self) -> None:
        """Put there what is there before."""
        if self.scenario.before:
            shutil.copyfile(self.workshop.folder / self.scenario.before, self.out / self.scenario.output)

    def start(self, setup: forked.Setup | None = None, *options: str) -> forked.Child:
        if not any(self.out.iterdir()):
            self.furnish()
        base = self.workshop.folder
        arguments = [str(base / part) if (base / part).exists() else part for part in self.scenario.arguments]

        def prepare() -> None:
            from vae_anomaly_cli.sources import table_source

            table_source.ROWS_PER_BATCH = ROWS_PER_BATCH
            if setup is not None:
                setup()

        return forked.Child(
            [*(part.replace(OUT, str(self.out)) for part in arguments), *options],
            stdin=base / self.scenario.stdin if self.scenario.stdin else None,
            environment={"TMPDIR": str(self.temporary)},
            setup=prepare,
        )

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.out)): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}

    def damage(self, whole: dict[str, bytes]) -> str:
        """What stands under a final name and is neither the old file nor the whole new one; and temporary files."""
        before = (self.workshop.folder / self.scenario.before).read_bytes() if self.scenario.before else None
        found = self.files()
        for name, content in found.items():
            if Path(name).name.startswith("."):
                continue
            if content not in (before, whole.get(name)) and not self._a_model(name):
                return f"{Path(name).suffix} file of {len(content)} bytes, neither old nor whole"
        if before is not None and self.scenario.output not in found:
            return "the old file is gone"
        left = list(self.temporary.iterdir())
        return f"{len(left)} temporary files are left" if left else ""

    def _a_model(self, name: str) -> bool:
        """Whether a model file is whole: a fit that is interrupted saves the best model so far."""
        return name.endswith(".vae") and forked.run("info", self.out / name).code == 0

    def strays(self) -> list[str]:
        """Hidden files, but for the scores that --resume goes on from."""
        return [name for name in self.files() if Path(name).name.startswith(".") and not name.endswith(".scores")]


def counting(events: mmap.mmap, at: int = 0, number: int = 0) -> forked.Setup:
    """Count the events of a process; at one of them it sends itself a signal."""

    def setup() -> None:
        count, own = 0, os.getpid()

        def hear(event: str, _: object) -> None:
            nonlocal count
            if event in EVENTS and os.getpid() == own:
                count += 1
                events[:8] = count.to_bytes(8, "little")
                if count == at:
                    os.kill(own, number)

        sys.addaudithook(hear)

    return setup


def measure(quick: bool, seed: int) -> list[Finding]:
    """Kill each command some times with each signal, and give it too little room."""
    forked.preload()
    rng = np.random.default_rng(seed)
    n_each = QUICK if quick else LONG
    findings = []
    with forked.temporary_folder() as folder:
        workshop = Workshop(folder)
        for scenario in SCENARIOS:
            alone = workshop.left_alone(scenario)
            for number in SIGNALS:
                failures = [wrong for _ in range(n_each) if (wrong := _killed(workshop, scenario, alone, number, rng))]
                findings.append(record("kill", f"{scenario.name}, {number.name}", n_each, failures))
            for case, limited in LIMITS.items():
                failures = [wrong for _ in range(n_each) if (wrong := limited(workshop, scenario, alone, rng))]
                if failures == [NOT_PERMITTED] * n_each:
                    continue
                findings.append(record("kill", f"{scenario.name}, {case}", n_each, failures))
    return findings


def _killed(
    workshop: Workshop, scenario: Scenario, alone: Undisturbed, number: signal.Signals, rng: np.random.Generator
) -> str:
    """Kill one run at a random moment, and look at what it leaves and at the run after it."""
    with workshop.room(scenario) as room:
        if rng.random() < 0.5:
            ended = room.start(counting(workshop.events, int(rng.integers(1, alone.n_events + 1)), number)).wait()
        else:
            child = room.start()
            time.sleep(float(rng.uniform(0, 1.05 * alone.seconds)))
            child.send(number)
            ended = child.wait()
        wrong = _exit_code(ended, number) or room.damage(alone.files)
        if wrong:
            return wrong
        if number != signal.SIGKILL and (strays := room.strays()):
            return f"leaves {strays[0]} behind"
        return _again(room, alone, resume=scenario.resumes and rng.random() < 0.5)


def _exit_code(ended: Ended, number: signal.Signals) -> str:
    # Negative: the signal came before the command could listen, or cannot be listened to.
    if ended.code in (0, -number) or ended.code == 128 + number:
        return ended.trouble((ended.code,))
    return f"exit code {ended.code}; said {ended.err.strip()[-200:]}"


def _again(room: Room, alone: Undisturbed, *, resume: bool) -> str:
    """Run the command again; it has to leave what it leaves when nobody disturbs it."""
    if room.scenario.before == "rows.vae":
        # Its output is its input: what it was given is what it has to be given again.
        room.furnish()
    ended = room.start(None, *(["--resume"] if resume else [])).wait()
    after = "with --resume" if resume else "run again"
    if ended.code:
        return f"{after}: exit code {ended.code}; said {ended.err.strip()[-200:]}"
    if list(room.temporary.iterdir()):
        return f"{after}: temporary files are left"
    found = room.files()
    if found.keys() != alone.files.keys():
        return f"{after}: {min(found.keys() ^ alone.files.keys())} is there or not there"
    differs = [name for name, content in found.items() if content != alone.files[name]]
    return f"{after}: other bytes in {differs[0]}" if differs else ""


NOT_PERMITTED = "not permitted"
Limited = Callable[[Workshop, Scenario, Undisturbed, np.random.Generator], str]


def _largest_file(workshop: Workshop, scenario: Scenario, alone: Undisturbed, rng: np.random.Generator) -> str:
    """No file may be larger than so many bytes."""
    most = int(rng.integers(2000, max(map(len, alone.files.values()))))

    def setup() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    with workshop.room(scenario) as room:
        wrong = _stopped(room, room.start(setup).wait(), alone)
        return wrong or _again(room, alone, resume=scenario.resumes and rng.random() < 0.5)


def _full_disk(workshop: Workshop, scenario: Scenario, alone: Undisturbed, rng: np.random.Generator) -> str:
    """The disk of the output, or for standard input that of temporary files, has so many bytes."""
    with workshop.room(scenario) as room:
        place = room.temporary if scenario.stdin else room.out
        before = (workshop.folder / scenario.before).stat().st_size if scenario.before and not scenario.stdin else 0
        pages = -(-before // 4096) + 1 + int(rng.integers(0, 1 + sum(map(len, alone.files.values())) // 4096))
        mounted = ["mount", "-t", "tmpfs", "-o", f"size={pages * 4096}", "none", str(place)]
        if os.geteuid() or subprocess.run(mounted, capture_output=True, check=False).returncode:
            return NOT_PERMITTED
        try:
            wrong = _stopped(room, room.start().wait(), alone)
            subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
            return wrong or _again(room, alone, resume=scenario.resumes and rng.random() < 0.5)
        finally:
            subprocess.run(["umount", str(place)], check=True)


LIMITS: dict[str, Limited] = {"files of limited size": _largest_file, "a full disk": _full_disk}


def _stopped(room: Room, ended: Ended, alone: Undisturbed) -> str:
    """What is wrong with how a run ended that may have had too little room."""
    wrong = ended.trouble((0, 1)) or room.damage(alone.files)
    if wrong:
        return wrong
    if strays := room.strays():
        return f"leaves {strays[0]} behind"
    whole = room.files() == alone.files or room.scenario.output.endswith(".vae")
    return "" if ended.code or whole else "exit code 0, and the output is not whole"


def _rows(seed: int, n_rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "speed": rng.normal(size=n_rows).round(4),
            "load": rng.gamma(2, size=n_rows).round(4),
            "shop": rng.choice(["north", "south"], n_rows),
        }
    )


if __name__ == "__main__":
    one_suite(__doc__, measure)
