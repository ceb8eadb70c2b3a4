"""Which of several measured detectors to take: a rule, and its outcome in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vae_anomaly.comparison.intervals import Difference

Outcome = Literal["ahead", "level", "behind", "undecided"]
Standing = Literal["better", "worse", "unclear"]

CONFIDENCE = 0.95
NOTABLE_RATIO = 1.5
OURS = "VAEDetector"
NOTHING = (
    "None of them is clearly better than chance (AUROC 0.5): these columns may not separate these anomalies from "
    "normal rows."
)
NEEDS = "reasons for cells, scores without filled missing values, or a likelihood"


@dataclass(frozen=True)
class Verdict:
    """Which detector to take, and why.

    Parameters
    ----------
    outcome : {"ahead", "level", "behind", "undecided"}
        Of the first detector: clearly better than every other; neither that nor clearly worse than one; clearly worse
        than one at least; or too few labelled rows for a verdict.
    method : str
        The one with the highest mean AUROC among those that the outcome leaves: the first itself ("ahead"), all that
        are not clearly behind it ("level"), those clearly better than it ("behind"), or all.
    text : str
        The same in sentences.
    """

    outcome: Outcome
    method: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Rival:
    """One detector's means over the splits, and how it stands to the first.

    Parameters
    ----------
    method : str
        Its name.
    auroc, average_precision : float
        Means.
    seconds : float
        Mean time of fit and scores together.
    difference : Difference
        Its AUROC less that of the first detector; of the first, zero.
    """

    method: str
    auroc: float
    average_precision: float
    seconds: float
    difference: Difference

    @property
    def standing(self) -> Standing:
        """Better or worse than the first only where the interval leaves 0 out and every split agrees."""
        if self.difference.lower > 0 and min(self.difference.by_split) > 0:
            return "better"
        if self.difference.upper < 0 and max(self.difference.by_split) < 0:
            return "worse"
        return "unclear"

    @property
    def n_ahead(self) -> int:
        """Splits in which it is ahead of the first."""
        return sum(value > 0 for value in self.difference.by_split)

    def __str__(self) -> str:
        return f"{self.method} ({self.auroc:.3f})"


def confidence_of_each(n_rivals: int) -> float:
    """Confidence of each interval with which all of them hold together at 95 % (Bonferroni).

    Parameters
    ----------
    n_rivals : int
        Detectors that are compared with the first.

    Returns
    -------
    float
    """
    return 1 - (1 - CONFIDENCE) / max(n_rivals, 1)


def min_rows_for_verdict(n_rivals: int) -> int:
    """Rows of the smaller class that a verdict needs.

    With fewer, two detectors that are equally good agree on the order for every one of them too often by chance: a
    sign test could not reject at the level of the intervals.

    Parameters
    ----------
    n_rivals : int
        Detectors that are compared with the first.

    Returns
    -------
    int

    Examples
    --------
    >>> min_rows_for_verdict(1), min_rows_for_verdict(5)
    (6, 8)
    """
    return math.ceil(math.log2(2 / (1 - confidence_of_each(n_rivals))))


def verdict_of(first: Rival, rivals: Sequence[Rival], n_smaller: int, *, above_chance: bool = True) -> Verdict:
    """Apply the rule.

    Parameters
    ----------
    first : Rival
        The detector in question.
    rivals : sequence of Rival
        The others, the highest mean AUROC first.
    n_smaller : int
        Rows of the smaller class.
    above_chance : bool, default=True
        Whether any detector finds these anomalies; otherwise none is recommended.

    Returns
    -------
    Verdict
    """
    min_rows = min_rows_for_verdict(len(rivals))
    if n_smaller < min_rows:
        best = max((first, *rivals), key=lambda rival: rival.auroc)
        text = (
            f"No verdict: {n_smaller} rows of the smaller class are too few. Of fewer than {min_rows}, all may be "
            "in favour of one detector by chance."
        )
        return Verdict("undecided", best.method, text)
    better = [rival for rival in rivals if rival.standing == "better"]
    unclear = [rival for rival in rivals if rival.standing == "unclear"]
    if better:
        verdict, advice = _behind(first, better)
    elif unclear:
        verdict, advice = _level(first, unclear, rivals)
    else:
        verdict, advice = _ahead(first, rivals)
    text = f"{verdict.text} {advice if above_chance else NOTHING}".strip()
    return Verdict(verdict.outcome, verdict.method, text)


def _behind(first: Rival, better: Sequence[Rival]) -> tuple[Verdict, str]:
    best = better[0]
    text = (
        f"{best.method} is better than {first.method}: AUROC {best.auroc:.3f} against {first.auroc:.3f}, "
        f"{_interval(best)}, ahead in {_splits(best)}{_time(best, first)}."
    )
    if len(better) > 1:
        text += f" Also better: {_listed(better[1:])}."
    text += _precision_note(best, [first])
    if first.auroc < 0.5:
        text += f" {first.method} is below chance (0.5) here."
    return Verdict("behind", best.method, text), f"Take {best.method}{_unless(first, '')}."


def _level(first: Rival, unclear: Sequence[Rival], rivals: Sequence[Rival]) -> tuple[Verdict, str]:
    near = unclear[0]
    worse = [rival for rival in rivals if rival.standing == "worse"]
    text = (
        f"No clear difference between {first.method} (AUROC {first.auroc:.3f}) and {_listed(unclear)}: {near.method} "
        f"{_interval(near)}, ahead in {near.n_ahead} of {len(near.difference.by_split)} splits."
    )
    if worse:
        text += f" Clearly behind: {_listed(worse)}."
    quicker = first.seconds > NOTABLE_RATIO * near.seconds
    advice = f"Nothing here speaks against {near.method}{_time(near, first)}{_unless(first, ',')}." if quicker else ""
    best = max((first, near), key=lambda rival: rival.auroc)
    return Verdict("level", best.method, text), advice


def _ahead(first: Rival, rivals: Sequence[Rival]) -> tuple[Verdict, str]:
    if not rivals:
        return Verdict("ahead", first.method, f"{first.method} is alone here: AUROC {first.auroc:.3f}."), ""
    second = rivals[0]
    than = "every other" if len(rivals) > 1 else second.method
    text = (
        f"{first.method} is better than {than}: AUROC {first.auroc:.3f}; next {second.method} {second.auroc:.3f}, "
        f"{_interval(second)}, behind in {_splits(second)}.{_precision_note(first, rivals)}"
    )
    quickest = min(rivals, key=lambda rival: rival.seconds)
    ratio = first.seconds / max(quickest.seconds, 1e-9)
    price = f"It takes {ratio:,.0f} times as long as {quickest.method}." if ratio > NOTABLE_RATIO else ""
    return Verdict("ahead", first.method, text), price


def _listed(rivals: Sequence[Rival]) -> str:
    return ", ".join(map(str, rivals))


def _interval(rival: Rival) -> str:
    found = rival.difference
    return f"{found.mean:+.3f} (95 % interval {found.lower:+.3f} to {found.upper:+.3f})"


def _splits(rival: Rival) -> str:
    n_splits = len(rival.difference.by_split)
    return f"each of {n_splits} splits" if n_splits > 1 else "the one split"


def _time(rival: Rival, first: Rival) -> str:
    """How the seconds of one compare with those of the other, where that is worth a word."""
    ratio = first.seconds / max(rival.seconds, 1e-9)
    if ratio > NOTABLE_RATIO:
        return f", in 1/{ratio:,.0f} of the time"
    return f", in {1 / ratio:,.0f} times the time" if ratio < 1 / NOTABLE_RATIO else ""


def _unless(first: Rival, comma: str) -> str:
    return f"{comma} unless you need {NEEDS}" if first.method == OURS and first.auroc >= 0.5 else ""


def _precision_note(best: Rival, others: Sequence[Rival]) -> str:
    """A word where average precision has another order."""
    other = max(others, key=lambda rival: rival.average_precision)
    if other.average_precision <= best.average_precision:
        return ""
    return (
        f" By average precision it is the other way round: {other.method} {other.average_precision:.3f}, "
        f"{best.method} {best.average_precision:.3f}."
    )
