"""What columns of a result are called, and which columns of an input an earlier run appended."""

from __future__ import annotations

from collections.abc import Sequence

SCORE, LIKELIHOOD, P_VALUE, FLAG = "anomaly_score", "likelihood_score", "p_value", "is_anomaly"
PROBLEM, REASONS, JUDGED_BY = "problem", "reasons", "judged_by"
# Why a review wants a row looked at.
WHY = "why"
APPENDED = (SCORE, P_VALUE, FLAG)
# What these are called where the input keeps a column of that name.
SPARE_NAMES = {"row": "row_number", "file": "file_name", PROBLEM: "row_problem"}


def columns_of_earlier_run(columns: Sequence[str]) -> set[str]:
    """Columns that an earlier run of ours appended.

    Examples
    --------
    >>> sorted(columns_of_earlier_run(["age", "anomaly_score", "is_anomaly", "problem"]))
    ['anomaly_score', 'is_anomaly', 'problem']
    >>> columns_of_earlier_run(["age", "problem"])
    set()
    """
    names = set(columns)
    found = {*APPENDED} & names
    if not {SCORE, FLAG} <= found:
        return found
    # A column of reasons, or of rows, alone may be anyone's; results have problems besides, reviews say why.
    found |= {REASONS, LIKELIHOOD, WHY, JUDGED_BY} & names
    if not names & {PROBLEM, SPARE_NAMES[PROBLEM], WHY}:
        return found
    return found | {spare if spare in names else name for name, spare in SPARE_NAMES.items()} & names
