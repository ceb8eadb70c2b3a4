"""Requests that cannot be answered, and what they are told."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is not answered as it wishes; the text says what was wrong and what to do.

    Parameters
    ----------
    status : int
        Of HTTP.
    detail : str
        For people.
    kind : str
        For programs and for metrics.
    column : str, optional
        Which column it is about.
    row : int, optional
        Which row of the request, from 1.
    retry_after : int, optional
        Seconds after which to come again.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        kind: str,
        *,
        column: str | None = None,
        row: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(status, detail, kind)
        self.status, self.detail, self.kind = status, detail, kind
        self.column, self.row, self.retry_after = column, row, retry_after

    def describe(self) -> dict[str, Any]:
        """The answer, as JSON takes it."""
        return {"error": self.kind, "detail": self.detail, "column": self.column, "row": self.row}


def too_large(n_bytes: int) -> Refusal:
    """A body of more bytes than are taken."""
    return Refusal(
        413, f"the body has more than {n_bytes:,} bytes; send the rows in several requests.", "body_too_large"
    )


def too_many_rows(found: str, most: int) -> Refusal:
    """A request of more rows than are taken."""
    return Refusal(
        413, f"the request has {found} rows, more than {most:,}; send them in several requests.", "too_many_rows"
    )


def busy() -> Refusal:
    """More rows wait than are taken on."""
    return Refusal(503, "too many rows are waiting to be scored; send the request again later.", "busy", retry_after=1)


def closing() -> Refusal:
    """The server ends."""
    return Refusal(503, "the server is shutting down; send the request again later.", "closing", retry_after=5)


def timed_out(seconds: float) -> Refusal:
    """Rows that were not scored in time."""
    return Refusal(
        503, f"the rows were not scored within {seconds:g} s; send fewer, or send them later.", "timeout", retry_after=1
    )
