"""Reasons of rows as text for a column of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae_anomaly.explain import Explanation

N_REASONS = 3
# What a cell begins with that spreadsheets take for a formula.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def sentences_of(explanation: Explanation, n: int = N_REASONS) -> list[str]:
    """One text per row: its most anomalous cells, and the combination where that costs much.

    Parameters
    ----------
    explanation : Explanation
        Of the rows.
    n : int
        Cells per row, at most.
    """
    from vae_anomaly.explain import NO_REASON

    return [
        no_formula("; ".join([*map(str, reasons), *combination(float(excess), "the combination as a whole")]))
        or NO_REASON
        for reasons, excess in zip(explanation.reasons(n), explanation.excess_kl, strict=True)
    ]


def combination(excess_kl: float, name: str) -> list[str]:
    """What the combination of the cells of a row costs more than a typical one, in words, where that is much."""
    from vae_anomaly.explain import NOTABLE_KL

    return [f"{name} {excess_kl:+.1f} nats"] if excess_kl >= NOTABLE_KL else []


def no_formula(sentence: str) -> str:
    """Begin a sentence with a word where the name of a column, which it begins with, is a formula to a spreadsheet.

    Examples
    --------
    >>> no_formula("=cmd() is 3, expected 1"), no_formula("age is 3, expected 1")
    ('column =cmd() is 3, expected 1', 'age is 3, expected 1')
    """
    return f"column {sentence}" if sentence.startswith(FORMULAS) else sentence
