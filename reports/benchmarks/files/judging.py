"""What a person expects of each file of the corpus, beside what the command did with it.

An outcome is one of five:

right     read, or refused, as a person would, and what has to be said is said
refused   a clear error where a person would have read the file
said      something differs, and standard error names the column, or the row or line, that it is about
wrong     something differs and nobody is told
failed    an error that does not say what to change in the file, or no end within a time limit
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RIGHT, REFUSED, SAID, WRONG, FAILED = "right", "refused", "said", "wrong", "failed"
OUTCOMES = (RIGHT, REFUSED, SAID, WRONG, FAILED)
NUMBERS = {"continuous", "positive", "bounded", "integer", "count"}
LEVELS = {"categorical", "ordinal", "binary", "boolean"}
ASIDE = {"identifier", "empty", "constant", "set aside"}
SUMMARIES = ("fitted on ", "scored ")
# How text was read is no word about what was read wrongly.
READING = "warning: text is read"
MOST_CELLS = 200
Case = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """How one command ended."""

    code: int
    out: str
    err: str


Command = Callable[[Sequence[str]], Ended]


@dataclass
class Verdict:
    """What became of one file."""

    file: str
    kind: str
    outcome: str = RIGHT
    differs: list[str] = field(default_factory=list)
    err: str = ""


def corpus(folder: Path) -> list[Case]:
    cases: list[Case] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return cases


def judge(
    case: Case, folder: Path, model: Path, command: Command, fit_options: Sequence[str] = (), ranks: bool = True
) -> Verdict:
    """Fit on the file of a case, look at what was read, and at which rows are anomalous."""
    verdict = Verdict(case["file"], case["kind"])
    path, options = given(case, folder), case.get("options", [])
    fitted = command(["fit", path, "-o", str(model), *options, *fit_options])
    verdict.err = fitted.err
    if fitted.code != 0:
        return _stopped(case, fitted, verdict)
    if "refused" in case:
        _differs(verdict, None, f"is read, and should be refused ({', '.join(case['refused'])})", fitted.err)
        return verdict
    info = command(["info", str(model), "--json"])
    explained = _explained(case, path, model, command)
    for ended in (info, explained):
        if ended.code != 0:
            verdict.err += ended.err
            return _stopped(case, ended, verdict)
    verdict.err += explained.err
    read = {column["name"].strip(): column for column in json.loads(info.out)["columns"]}
    _columns(case, read, verdict)
    seen = json.loads(explained.out)
    _rows(case, json.loads(info.out)["n_training_rows"], verdict)
    _values(case, read, seen["explained"], verdict)
    if verdict.outcome == SAID and case.get("refused_or_said"):
        verdict.outcome, verdict.differs = RIGHT, []
    _words(case, verdict)
    if ranks:
        _ranks(case, folder, model, command, verdict)
    return verdict


def _explained(case: Case, path: str, model: Path, command: Command) -> Ended:
    """The rows that hold the cells to look at; a row without a score, for what one of its cells holds, is left out."""
    values = case.get("values", {})
    if not values:
        return Ended(0, '{"explained": []}', "")
    wanted = sorted({int(row) for cells in values.values() for row in cells} | {1})
    odd = {int(row) for cells in values.values() for row, value in cells.items() if value is None}
    ask = ["explain", path, "-m", str(model), "--json", "--cells", str(MOST_CELLS), *case.get("options", [])]
    ended = command([*ask, *_each("--row", wanted)])
    if ended.code == 2 and odd and "no score" in ended.err:
        ended = command([*ask, *_each("--row", [row for row in wanted if row not in odd] or [1])])
    return ended


def given(case: Case, folder: Path) -> str:
    """What the command is given: a path, or an address."""
    return str(case.get("given", folder / case["file"]))


def _each(option: str, values: Sequence[Any]) -> list[str]:
    return [part for value in values for part in (option, str(value))]


def _stopped(case: Case, ended: Ended, verdict: Verdict) -> Verdict:
    last = (ended.err.strip().splitlines() or [""])[-1]
    if ended.code != 2 or "Traceback" in ended.err or not re.search(r"error: ", ended.err):
        verdict.outcome = FAILED
        verdict.differs.append(f"ended with {ended.code}: {last[:300]}")
        return verdict
    lacking = [word for word in case.get("refused", []) if word.casefold() not in ended.err.casefold()]
    if "refused" in case and not lacking:
        verdict.differs = []
    elif lacking:
        verdict.outcome = WRONG
        verdict.differs.append(f"the refusal does not say {', '.join(map(repr, lacking))}: {last[:300]}")
    elif not case.get("refused_or_said"):
        verdict.outcome = REFUSED
        verdict.differs.append(last[:300])
    return verdict


def told(err: str, word: str) -> bool:
    """Whether a line of standard error, other than a summary, has the word by itself; `a|b` is either."""
    words = "|".join(re.escape(part.strip().casefold()) for part in word.split("|"))
    pattern = re.compile(rf"(?<!\w)({words})(?!\w)")
    return any(pattern.search(line.casefold()) for line in err.splitlines() if not line.startswith(SUMMARIES))


def _differs(verdict: Verdict, column: str | None, how: str, err: str | None = None) -> None:
    lines = verdict.err if err is None else err
    lines = "\n".join(line for line in lines.splitlines() if not line.startswith(READING))
    said = told(lines, column) if column else bool(re.search(r"\b(row|line)s? \d", lines))
    verdict.differs.append((f"{column}: " if column else "") + how + (" (said)" if said else ""))
    if verdict.outcome != WRONG:
        verdict.outcome = SAID if said else WRONG


# What columns are


def taken_for(column: dict[str, Any]) -> str:
    """number, date, levels, aside or constant."""
    kind = column["kind"].partition("+")[0]
    if kind in NUMBERS:
        return "number"
    if kind == "datetime":
        return "date"
    if kind == "constant":
        return "constant"
    if kind in LEVELS:
        held = [level for level in (*column["levels"], *column["rare"]) if level is not None]
        numeric = bool(held) and all(isinstance(level, int | float) for level in held)
        return "number" if numeric and not column["boolean"] else "levels"
    return "aside"


def _columns(case: Case, read: dict[str, dict[str, Any]], verdict: Verdict) -> None:
    also_called = case.get("also_called", {})
    for name, expected in case["columns"].items():
        column = read.get(name.strip(), read.get(also_called.get(name, name)))
        if column is None:
            _differs(verdict, name, "is not there")
            continue
        taken = taken_for(column)
        fine = expected.split(" or ") if isinstance(expected, str) else expected[:1]
        if "constant" in fine:
            fine = [*fine, "aside"]
        if taken in fine or (taken == "constant" and "aside" in fine):
            continue
        if isinstance(expected, list) and taken in expected[1:] and told(verdict.err, name):
            continue
        _differs(verdict, name, f"{' or '.join(fine)} expected, read as {taken} ({column['kind']})")
    expected_names = {name.strip() for name in (*case["columns"], *also_called.values())}
    if expected_names and not case.get("more_columns"):
        for name, column in read.items():
            if name not in expected_names and taken_for(column) not in ("aside", "constant"):
                _differs(verdict, name or "unnamed", f"is no column of the table, read as {taken_for(column)}")
    for name, expected in case.get("levels", {}).items():
        _levels(name, expected, read.get(name.strip()), verdict)


def _levels(name: str, expected: int | list[str], column: dict[str, Any] | None, verdict: Verdict) -> None:
    if column is None or column["kind"] not in LEVELS:
        return
    held = [*column["levels"], *column["rare"]]
    if isinstance(expected, int):
        if len(held) != expected:
            _differs(verdict, name, f"{expected} levels expected, read as {held[:8]}")
    elif {_folded(level) for level in held} != {_folded(level) for level in expected}:
        _differs(verdict, name, f"levels {expected} expected, read as {held[:8]}")


def _folded(level: Any) -> str:
    return str(level).strip().casefold()


# What cells are


def _one_of(expected: Any) -> list[int]:
    return list(expected) if isinstance(expected, list) else [expected]


def _rows(case: Case, n_rows: int, verdict: Verdict) -> None:
    low, high = min(_one_of(case["rows"])), max(_one_of(case["rows"]))
    if not low <= n_rows <= high:
        _differs(verdict, None, f"{case['rows']} rows expected, {n_rows} read")


def _values(case: Case, read: dict[str, dict[str, Any]], explained: list[dict[str, Any]], verdict: Verdict) -> None:
    cells: dict[tuple[str, int], tuple[str, Any]] = {}
    costs = {str(row["row"]): row["contributions"] for row in explained}
    for row in explained:
        for reason in row["reasons"]:
            cells[reason["column"].strip(), row["row"]] = reason["part"], reason["observed"]
    for name, expected in case.get("values", {}).items():
        column = read.get(name.strip())
        if column is None or taken_for(column) not in ("number", "date"):
            continue
        for row, value in expected.items():
            # Cells that cost no more than usual are not listed; a number that is missing costs nothing.
            listed = (name.strip(), int(row)) in cells
            if row not in costs or (
                not listed and (taken_for(column) == "date" or costs[row].get(column["name"], 0.0))
            ):
                continue
            part, found = cells.get((name.strip(), int(row)), ("", None))
            fine = any(same(one, found) for one in (value if isinstance(value, list) else [value]))
            if not fine and not (part and value and found in parts_of(value).get(part, (found,))):
                _differs(verdict, name, f"row {row} means {value}, read as {part} {found}")
                break


def same(expected: Any, found: Any) -> bool:
    if expected is None or found is None:
        return expected is None and found is None
    if isinstance(expected, str):
        wanted, seen = moment(expected), moment(found)
        return wanted is not None and seen is not None and abs((wanted - seen).total_seconds()) <= 60
    try:
        return math.isclose(float(expected), float(found), rel_tol=1e-5, abs_tol=1e-6)
    except (TypeError, ValueError):
        return False


def moment(text: Any) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(str(text)).replace(tzinfo=None)
    except ValueError:
        return None


def parts_of(text: str) -> dict[str, tuple[Any, ...]]:
    """What the parts of a date are called where they stand for it."""
    date = dt.datetime.fromisoformat(text)
    return {
        "hour": (f"{date:%H}h", date.hour),
        "weekday": (f"{date:%A}",),
        "day of month": (str(date.day), date.day),
        "month": (f"{date:%B}",),
    }


def _words(case: Case, verdict: Verdict) -> None:
    lacking = [word for word in case.get("said", []) if not told(verdict.err, word)]
    if lacking:
        verdict.outcome = WRONG
        verdict.differs.append(f"not said: {', '.join(map(repr, lacking))}")


# Which rows are anomalous


def _ranks(case: Case, folder: Path, model: Path, command: Command, verdict: Verdict) -> None:
    options = case.get("options", [])
    planted = case.get("planted")
    never = set(case.get("never_flagged", ()))
    if planted is not None:
        top = planted["top"]
        ended = command(
            ["score", given(case, folder), "-m", str(model), "--json", "--top", str(top + len(never)), *options]
        )
        if ended.code != 0:
            verdict.err += ended.err
            _stopped(case, ended, verdict)
            return
        ranked = json.loads(ended.out)["ranked"]
        first = [row["row"] for row in ranked if planted.get("file", "") in row.get("file", "")][:top]
        low, high = min(_one_of(planted["row"])), max(_one_of(planted["row"]))
        if not any(low <= row <= high for row in first):
            _missed(verdict, f"row {planted['row']} is not among the first {top}: {first}")
        flagged = never & {row["row"] for row in ranked if row.get("is_anomaly")}
        if flagged:
            _missed(verdict, f"rows {sorted(flagged)} hold no value and are flagged")
    later = case.get("next")
    if later is not None:
        ended = command(["score", str(folder / later["file"]), "-m", str(model), "--json", "--top", "1", *options])
        if ended.code != 0:
            verdict.err += ended.err
            _stopped(case, ended, verdict)
            return
        seen = json.loads(ended.out)
        share = seen["n_anomalies"] / seen["rows"]
        if share >= later["flagged_at_most"] and not all(
            told(ended.err, word) for word in later.get("or_said", [ended.err and "\0"])
        ):
            _missed(verdict, f"{share:.0%} of {later['file']} are flagged")


def _missed(verdict: Verdict, how: str) -> None:
    """A wrong ranking is told where all that is behind it was told."""
    verdict.differs.append(how)
    if verdict.outcome == RIGHT:
        verdict.outcome = WRONG
