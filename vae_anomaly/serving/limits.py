"""How much one server takes on at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from vae_anomaly.errors import SpecificationError

MAY_BE_ZERO = ("max_wait_seconds", "reload_seconds")


@dataclass(frozen=True)
class ServingLimits:
    """How much one server takes on at once; more is refused with an answer that says so.

    Parameters
    ----------
    max_body_bytes : int, default=8 MiB
        Of one request.
    max_rows : int, default=10,000
        Of one request.
    max_explained_rows : int, default=100
        Rows of one request that get reasons, which take a pass for each column.
    max_batch_rows : int, default=2,048
        Rows of several requests that are scored together.
    max_wait_seconds : float, default=0.002
        How long a request waits for others to be scored with, where the last ones were scored together: who asks alone
        does not wait.  With 0 only those are merged that came while others were being scored.
    max_waiting_rows : int, default=40,000
        Rows that wait; a request that would make them more is told to come later.
    timeout_seconds : float, default=30
        For a body to arrive, and for its rows to be scored.
    reload_seconds : float, default=2
        How often to look whether the model file was replaced; 0 never.

    Raises
    ------
    SpecificationError
        If one of them is not a positive number.

    Examples
    --------
    >>> ServingLimits(max_rows=100).max_batch_rows
    2048
    """

    max_body_bytes: int = 8 << 20
    max_rows: int = 10_000
    max_explained_rows: int = 100
    max_batch_rows: int = 2_048
    max_wait_seconds: float = 0.002
    max_waiting_rows: int = 40_000
    timeout_seconds: float = 30.0
    reload_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Refuse limits that nothing keeps to."""
        for field in fields(self):
            value = getattr(self, field.name)
            positive = value >= 0 if field.name in MAY_BE_ZERO else value > 0
            if not (positive and math.isfinite(value)):
                raise SpecificationError(f"{field.name}={value!r}; expected a positive number.")
