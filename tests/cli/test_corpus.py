"""Files as offices export them are read as a person would read them, or refused, and nothing is wrong without a word.

The files, and what a person expects of each, are in `tests/files`; `tests/files/make.py` says what an entry means.
The quick tests train next to nothing and look at what is read in every other file, 0.3 s each; slow ones take half of
the others, and look at ranks in every ninth. `reports/benchmarks/files/run.py` looks at all files and ranks.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("benchmarks", reason="reports are no part of a source distribution")
from benchmarks.files import judging

FOLDER = Path(__file__).resolve().parents[1] / "files"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
LITTLE = ("--max-iter", "1", "--n-estimators", "1", "--calibration", "none")
READ: list[Any] = [
    pytest.param(case, id=case["file"], marks=[pytest.mark.slow] if place % 2 else [])
    for place, case in enumerate(CASES)
    if place % 4 != 3
]
NOT_FOUND = {
    "levels_combination.csv": "read right, but two levels that never went together are not among the first of 150 rows"
}
RANKED: list[Any] = [
    pytest.param(
        case,
        id=case["file"],
        marks=[pytest.mark.xfail(reason=NOT_FOUND[case["file"]])] if case["file"] in NOT_FOUND else [],
    )
    for place, case in enumerate(each for each in CASES if "planted" in each or "next" in each)
    if place % 9 == 0 or case["file"] in NOT_FOUND
]


@pytest.fixture
def command(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(FOLDER)

    def ended(arguments: list[str]) -> Any:
        outcome = run(*arguments)
        return judging.Ended(outcome.code, outcome.text, outcome.err)

    return ended


def assert_right(verdict: Any) -> None:
    assert verdict.outcome == judging.RIGHT, f"{verdict.outcome}: {'; '.join(verdict.differs)}\n{verdict.err}"


@pytest.mark.parametrize("case", READ)
def test_a_file_is_read_as_a_person_would_read_it(case, command, tmp_path):
    assert_right(judging.judge(case, Path(), tmp_path / "model.vae", command, LITTLE, ranks=False))


@pytest.mark.slow
@pytest.mark.parametrize("case", RANKED)
def test_the_anomaly_that_a_person_would_see_is_among_the_first(case, command, tmp_path):
    assert_right(judging.judge(case, Path(), tmp_path / "model.vae", command))


def test_the_corpus_has_a_hundred_and_twenty_cases_and_every_file_is_in_one():
    assert len(CASES) >= 120
    named = {case["file"] for case in CASES} | {case["next"]["file"] for case in CASES if "next" in case}
    there = {path.name for path in FOLDER.iterdir()} - {"expected.json", "make.py", "__pycache__"}
    assert there == named
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 2_500_000
