"""Rows of many requests, scored together by one thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from vae_anomaly.arrow_rows import RowFeatures
from vae_anomaly.serving.engines import Engine, Judged, explained_rows, judged_rows
from vae_anomaly.serving.limits import ServingLimits
from vae_anomaly.serving.refusals import busy, closing
from vae_anomaly.serving.request_rows import RequestRows

ALL, FLAGGED = "true", "flagged"
THREAD = "vae-anomaly scoring"


@dataclass(frozen=True, eq=False)
class Job:
    """Rows of one request, and who waits for them.

    Attributes
    ----------
    engine : Engine
        That they were read for.
    rows : RequestRows
    explain : {"", "true", "flagged"}
        Which rows get reasons.
    done : Future of Judged
    """

    engine: Engine
    rows: RequestRows
    explain: str = ""
    done: Future[Judged] = field(default_factory=Future)

    def goes_with(self, other: Job) -> bool:
        """Whether they can be scored together."""
        return self.engine is other.engine and self.rows.cells.schema.equals(other.rows.cells.schema)


class ScoringQueue:
    """Scores rows of requests in one thread: what waits together is scored together.

    Parameters
    ----------
    limits : ServingLimits
    on_batch : callable
        Told how many rows were scored together.
    """

    def __init__(self, limits: ServingLimits, on_batch: Callable[[int], None]) -> None:
        self._limits, self._on_batch = limits, on_batch
        self._jobs: deque[Job] = deque()
        self._n_rows = 0
        self._changed = threading.Condition()
        self._is_closed = False
        # Whether the last ones were scored together.
        self._are_several = False
        self._thread: threading.Thread | None = None

    @property
    def n_waiting(self) -> int:
        """Rows that wait."""
        return self._n_rows

    @property
    def is_open(self) -> bool:
        """Whether it takes more."""
        return not self._is_closed and self._n_rows < self._limits.max_waiting_rows

    def put(self, job: Job) -> None:
        """Let rows wait for their turn.

        Raises
        ------
        Refusal
            If too many wait, or the server ends.
        """
        n_rows = job.rows.n_rows
        with self._changed:
            if self._is_closed:
                raise closing()
            if self._n_rows and self._n_rows + n_rows > self._limits.max_waiting_rows:
                raise busy()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
                self._thread.start()
            self._jobs.append(job)
            self._n_rows += n_rows
            self._changed.notify()

    def close(self) -> None:
        """Score what waits, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(self._limits.timeout_seconds)

    def _run(self) -> None:
        while jobs := self._next():
            self._score(jobs)

    def _next(self) -> list[Job]:
        """Wait for jobs that go together; none once the queue is closed and empty."""
        with self._changed:
            while not self._jobs and not self._is_closed:
                self._changed.wait()
            until = time.monotonic() + (self._limits.max_wait_seconds if self._are_several else 0)
            while not self._is_closed and self._n_rows < self._limits.max_batch_rows:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            taken = self._taken()
            self._are_several = len(taken) > 1
            return taken

    def _taken(self) -> list[Job]:
        """The first job, and those right behind it that it can be scored with."""
        taken: list[Job] = []
        n_rows = 0
        while self._jobs and (not taken or self._fits(self._jobs[0], taken[0], n_rows)):
            taken.append(self._jobs.popleft())
            n_rows += taken[-1].rows.n_rows
        self._n_rows -= n_rows
        return taken

    def _fits(self, job: Job, first: Job, n_rows: int) -> bool:
        small = n_rows + job.rows.n_rows <= self._limits.max_batch_rows
        return small and not (job.explain or first.explain) and job.goes_with(first)

    def _score(self, jobs: list[Job]) -> None:
        jobs = [job for job in jobs if job.done.set_running_or_notify_cancel()]
        if not jobs:
            return
        try:
            parts, features = _judged_together(jobs)
            self._on_batch(sum(job.rows.n_rows for job in jobs))
            if jobs[0].explain:
                parts = [_explained(jobs[0], features, parts[0], self._limits.max_explained_rows)]
        except Exception as error:  # noqa: BLE001 - whoever waits gets it; the thread goes on
            self._score_apart(jobs, error)
            return
        for job, part in zip(jobs, parts, strict=True):
            job.done.set_result(part)

    def _score_apart(self, jobs: list[Job], error: Exception) -> None:
        """Score each request by itself, so that one that fails harms no other."""
        if len(jobs) == 1:
            jobs[0].done.set_exception(error)
            return
        for job in jobs:
            try:
                (part,), _ = _judged_together([job])
                self._on_batch(job.rows.n_rows)
                job.done.set_result(part)
            except Exception as own:  # noqa: BLE001 - whoever waits gets it
                job.done.set_exception(own)


def _judged_together(jobs: list[Job]) -> tuple[list[Judged], RowFeatures]:
    cells = jobs[0].rows.cells if len(jobs) == 1 else pa.concat_tables([job.rows.cells for job in jobs])
    ends = np.cumsum([job.rows.n_rows for job in jobs]).tolist()
    begins = [0, *ends[:-1]]
    problems = {
        begin + row: text for job, begin in zip(jobs, begins, strict=True) for row, text in job.rows.problems.items()
    }
    judged, features = judged_rows(jobs[0].engine, cells, problems)
    return [judged.take(begin, end) for begin, end in zip(begins, ends, strict=True)], features


def _explained(job: Job, features: RowFeatures, judged: Judged, most: int) -> Judged:
    """Reasons for the rows that are asked for; of too many flagged ones for the most anomalous."""
    rows = np.arange(judged.n_rows) if job.explain == ALL else np.flatnonzero(judged.flags)
    chosen = rows[np.argsort(-judged.scores[rows], kind="stable")][:most]
    reasons = explained_rows(job.engine, features, judged, chosen.tolist())
    return Judged(judged.scores, judged.p_values, judged.flags, judged.likelihoods, judged.problems, reasons)
