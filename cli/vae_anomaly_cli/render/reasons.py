"""Explanations of rows: for cells of a table, for a terminal, for a program."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from vae_anomaly.arrow_rows import RowFeatures
from vae_anomaly.batches import N_REASONS, combination, sentences_of
from vae_anomaly.caching import cached_property
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.sources import RowBatch
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.top_k import Ranked

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.explain import Explanation, Reason

MANY_ROWS = 1000
FIELDS = ("column", "part", "observed", "expected", "lower", "upper", "nats", "tail_probability")

T = TypeVar("T")


@dataclass(frozen=True)
class Reasons:
    """Why some rows of a table are anomalous, by row.

    Parameters
    ----------
    rows : tuple of int
        The rows (from 0) that were explained.
    explanation : Explanation
        Of these rows, in this order.
    n : int
        Cells per row, at most.
    """

    rows: tuple[int, ...]
    explanation: "Explanation"
    n: int

    @classmethod
    def of(cls, model: TableModel, rows: npt.NDArray[np.intp], frame: "pd.DataFrame", n: int = N_REASONS) -> "Reasons":
        """Explain rows whose features are given."""
        return cls(tuple(rows.tolist()), model.detector.explain(frame), n)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def of_row(self) -> Mapping[int, "list[Reason]"]:
        """The most anomalous cells of each row, the most anomalous first."""
        return self._by_row(self.explanation.reasons(self.n))

    @cached_property
    def excess_kl(self) -> Mapping[int, float]:
        """What the combination of its cells costs each row more than a typical one, nats."""
        return self._by_row([float(excess) for excess in self.explanation.excess_kl])

    @cached_property
    def sentences(self) -> Mapping[int, str]:
        """One text per row: its most anomalous cells, and the combination where that costs much."""
        return self._by_row(sentences_of(self.explanation, self.n))

    @cached_property
    def short(self) -> Mapping[int, list[str]]:
        """A few words for each of the most anomalous cells of each row; all but the first only where they are rare."""
        from vae_anomaly.explain import NO_REASON

        return {
            row: [
                *(
                    f"{reason.subject} {reason.observed_text} ({'' if rank else 'expected '}{reason.expected_text})"
                    for rank, reason in enumerate(reasons)
                    if rank == 0 or reason.is_rare
                ),
                *combination(self.excess_kl[row], "combination"),
            ]
            or [NO_REASON]
            for row, reasons in self.of_row.items()
        }

    @cached_property
    def objects(self) -> Mapping[int, dict[str, Any]]:
        """Rows for programs: the score is the sum of `contributions` and `kl`, `charged` for missing cells of it.

        Where numbers are compared with those of a group, `contributions_by_group` is what its units alone add.
        """
        # Adding 0 makes 0 of the -0 of a column that was set aside.
        contributions = (self.explanation.contributions + 0.0).to_dict(orient="records")
        usual = self.explanation.usual
        added = [{}] * len(self) if usual is None else usual.dropna(axis=1).to_dict(orient="records")
        return self._by_row(
            [
                {
                    "reasons": [_object_of(reason) for reason in reasons],
                    "kl": float(kl),
                    "charged": float(charged),
                    "contributions": cells,
                }
                | ({"contributions_by_group": of_group} if of_group else {})
                for reasons, kl, charged, cells, of_group in zip(
                    self.of_row.values(),
                    self.explanation.kl,
                    self.explanation.charged,
                    contributions,
                    added,
                    strict=True,
                )
            ]
        )

    def _by_row(self, values: list[T]) -> dict[int, T]:
        return dict(zip(self.rows, values, strict=True))


def _object_of(reason: "Reason") -> dict[str, Any]:
    """Return a reason for programs; the group that a number is compared with where it is with one."""
    fields = {field: plain(getattr(reason, field)) for field in FIELDS}
    return fields | {"group": {name: plain(cell) for name, cell in reason.group}} if reason.group else fields


@dataclass(frozen=True)
class ExplainedRows:
    """Sentences for rows of a batch, by row from 0."""

    texts: Mapping[int, str]


class RowExplainer:
    """Explains the flagged rows of a table as they are scored, if they are streamed, and the ranked ones.

    Parameters
    ----------
    model : TableModel
        Explains them.
    messages : Messages
        Says where that takes long.
    streamed : bool
        Whether the scored rows become a table with a column of reasons.

    Attributes
    ----------
    n_rows : int
        Rows that were explained so far.
    """

    def __init__(self, model: TableModel, messages: Messages, *, streamed: bool) -> None:
        self.model, self.messages, self.streamed = model, messages, streamed
        self.n_rows = 0

    def note(self, n_rows: int) -> None:
        """Count rows that were explained elsewhere."""
        self.n_rows += n_rows

    def needs(self, batch: RowBatch) -> bool:
        """Whether rows with known scores are explained: reasons are not kept beside them."""
        return self.streamed

    def explain(self, batch: RowBatch, features: RowFeatures, flags: npt.NDArray[np.bool_]) -> ExplainedRows:
        """Explain the flagged rows."""
        rows = np.flatnonzero(flags)
        if not self.streamed or not len(rows):
            return ExplainedRows({})
        self._count(len(rows))
        return ExplainedRows(Reasons.of(self.model, rows, features.frame.iloc[rows]).sentences)

    def write(self, explained: ExplainedRows, stopped: threading.Event) -> None:
        """Write nothing: the sentences go into the result."""

    def reasons(self, ranked: Ranked, flags: npt.NDArray[np.bool_]) -> Reasons:
        """Explain ranked rows."""
        # Flagged rows of a streamed table have been explained there.
        self._count(len(ranked) - int(flags.sum() if self.streamed else 0))
        with self.messages.library_warnings():
            return Reasons.of(self.model, np.arange(len(ranked)), self.model.features_of(ranked.cells).frame)

    def _count(self, n_rows: int) -> None:
        before, self.n_rows = self.n_rows, self.n_rows + n_rows
        if before <= MANY_ROWS < self.n_rows:
            self.messages.note(
                f"explaining {counted(self.n_rows, 'row')} or more of {self.model.source.name}, with a pass for each "
                f"of {counted(len(self.model.detector.columns_), 'column')}; --top explains fewer"
            )


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
