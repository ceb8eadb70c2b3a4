"""Explanations in words and as values: for cells of a table, for a terminal, for a program."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vae_anomaly.explain import Explanation, Reason

N_REASONS = 3
NOT_RARE = 0.05
FIELDS = ("column", "part", "observed", "expected", "lower", "upper", "nats", "tail_probability")

T = TypeVar("T")


class Reasons:
    """Why some rows of a table are anomalous, by row.

    Parameters
    ----------
    rows : ndarray of int
        The rows (from 0) that were explained.
    explanation : Explanation
        Of these rows, in this order.
    n : int
        Cells a row, at most.
    """

    def __init__(self, rows: npt.NDArray[np.intp], explanation: "Explanation", n: int) -> None:
        self.rows = [int(row) for row in rows]
        self.explanation = explanation
        self.n = n

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def of_row(self) -> Mapping[int, "list[Reason]"]:
        """The most anomalous cells of each row, the most anomalous first."""
        return self._by_row(self.explanation.reasons(self.n))

    @cached_property
    def excess(self) -> Mapping[int, float]:
        """What the combination of its cells costs each row more than a typical one, nats."""
        # By position: a column may be called KL, too.
        typical = float(self.explanation.typical.iloc[-1])
        return self._by_row([float(kl) - typical for kl in self.explanation.kl])

    @cached_property
    def sentences(self) -> Mapping[int, str]:
        """One text a row: its most anomalous cells, and the combination where that costs much."""
        return {
            row: "; ".join([*map(str, reasons), *self._combination(row, "the combination as a whole")])
            for row, reasons in self.of_row.items()
        }

    @cached_property
    def short(self) -> Mapping[int, list[str]]:
        """A few words for each of the most anomalous cells of each row; all but the first only where they are rare."""
        return {
            row: [
                *(
                    f"{subject_of(reason)} {shown_cell(reason, 'observed')} "
                    f"({'' if place else 'expected '}{shown_cell(reason, 'expected')})"
                    for place, reason in enumerate(reasons)
                    if place == 0 or reason.tail_probability < NOT_RARE
                ),
                *self._combination(row, "combination"),
            ]
            for row, reasons in self.of_row.items()
        }

    @cached_property
    def objects(self) -> Mapping[int, dict[str, Any]]:
        """Rows for programs: the score is the sum of `contributions` and `kl`."""
        # Adding 0 makes 0 of the -0 of a column that was set aside.
        contributions = (self.explanation.contributions + 0.0).to_dict(orient="records")
        return self._by_row(
            [
                {
                    "reasons": [{field: plain(getattr(reason, field)) for field in FIELDS} for reason in reasons],
                    "kl": float(kl),
                    "contributions": cells,
                }
                for reasons, kl, cells in zip(self.of_row.values(), self.explanation.kl, contributions, strict=True)
            ]
        )

    def _combination(self, row: int, name: str) -> list[str]:
        from vae_anomaly.explain import NOTABLE_KL

        excess = self.excess[row]
        return [f"{name} {excess:+.1f} nats"] if excess >= NOTABLE_KL else []

    def _by_row(self, values: list[T]) -> dict[int, T]:
        return dict(zip(self.rows, values, strict=True))


def subject_of(reason: "Reason") -> str:
    """Name the column, with the part of a date that is meant."""
    return reason.column if reason.part in ("", "missing") else f"{reason.column} ({reason.part})"


def shown_cell(reason: "Reason", field: str) -> str:
    """Write a cell of a reason for people."""
    from vae_anomaly.explain import shown

    value = getattr(reason, field)
    return str(value) if reason.part else shown(value)


def plausible(reason: "Reason") -> str:
    """Write the range of a reason for people; empty for columns without an order."""
    return "" if plain(reason.lower) is None else f"{shown_cell(reason, 'lower')} to {shown_cell(reason, 'upper')}"


def rarity(reason: "Reason") -> str:
    """Write a tail probability for people, in short."""
    return reason.rarity


def plain(value: Any) -> Any:
    """Return a cell as JSON knows it: missing is None, dates are ISO 8601 text."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if hasattr(value, "isoformat"):
        text = value.isoformat()
        return None if text == "NaT" else text
    return value


def text_of(value: Any) -> str | None:
    """Return a cell as a table of text has it: whole numbers without a decimal point."""
    known = plain(value)
    if isinstance(known, bool):
        return "true" if known else "false"
    if isinstance(known, float) and known.is_integer():
        known = int(known)
    return None if known is None else str(known)
