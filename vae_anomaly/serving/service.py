"""What one server does, whatever its endpoints look like."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

from vae_anomaly.errors import DataError, NonFiniteScoreError, SpecificationError
from vae_anomaly.serving.counts import Metrics
from vae_anomaly.serving.engines import Engine, Judged
from vae_anomaly.serving.limits import ServingLimits
from vae_anomaly.serving.model_file import LOG, ModelFile
from vae_anomaly.serving.refusals import Refusal, timed_out
from vae_anomaly.serving.request_rows import RequestRows, rows_of_arrow, rows_of_json
from vae_anomaly.serving.scoring_queue import Job, ScoringQueue

# Above it, rows are read in a thread, so that the loop goes on.
MAX_QUICK_BYTES = 1 << 14


class ScoringService:
    """A model, the queue in front of it, and what is counted.

    Parameters
    ----------
    path : path-like
        The model.
    limits : ServingLimits
    key : bytes or None
        What it has to be signed with.
    device : str
        Where the arithmetic runs.
    """

    def __init__(self, path: str | os.PathLike[str], limits: ServingLimits, key: bytes | None, device: str) -> None:
        self.limits = limits
        self.file = ModelFile(path, key, device, self._reloaded)
        self._counted = self.file.engine
        self.metrics = Metrics(self._counted)
        self.queue = ScoringQueue(limits, self.metrics.batches.observe)
        self.began_at = time.time()

    @property
    def engine(self) -> Engine:
        """The model that is served now."""
        return self.file.engine

    def begin(self) -> None:
        """Look after the file; done with the first request, too, where an application is mounted in another."""
        self.file.watch(self.limits.reload_seconds)

    def close(self) -> None:
        """Score what waits, and end."""
        self.file.close()
        self.queue.close()

    async def scored(self, body: bytes, *, as_arrow: bool, explain: str) -> tuple[Engine, RequestRows, Judged]:
        """Read rows and score them.

        Raises
        ------
        Refusal
            If they cannot be read, too many wait, or it takes too long.
        """
        self.begin()
        engine, limits = self.engine, self.limits
        if explain and not engine.has_reasons:
            raise Refusal(
                422, "an exported ONNX model gives no reasons; serve the .vae file that it was made from.", "no_reasons"
            )
        read = rows_of_arrow if as_arrow else rows_of_json
        if len(body) <= MAX_QUICK_BYTES:
            rows = read(body, engine.fields, engine.known, limits.max_rows)
        else:
            rows = await asyncio.to_thread(read, body, engine.fields, engine.known, limits.max_rows)
        if explain == "true" and rows.n_rows > limits.max_explained_rows:
            raise Refusal(
                413,
                f"explain=true gives reasons for at most {limits.max_explained_rows:,} rows, and the request has "
                f"{rows.n_rows:,}; send fewer, or ask for explain=flagged.",
                "too_many_rows",
            )
        job = Job(engine, rows, explain)
        self.queue.put(job)
        judged = await self._result(job)
        self.metrics.answered(judged)
        return engine, rows, judged

    async def _result(self, job: Job) -> Judged:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job.done), self.limits.timeout_seconds)
        except TimeoutError as error:
            raise timed_out(self.limits.timeout_seconds) from error
        except NonFiniteScoreError as error:
            raise Refusal(422, "too many rows have no finite score.", "no_score", row=error.row + 1) from error
        except (DataError, SpecificationError) as error:
            row = getattr(error, "row", None)
            column = getattr(error, "column", None)
            raise Refusal(422, str(error), "unreadable", column=column, row=None if row is None else row + 1) from error
        except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, MemoryError) as error:
            # Not its text, which may quote cells.
            LOG.error("a request of %d rows failed: %s", job.rows.n_rows, type(error).__name__)
            raise Refusal(500, "the rows could not be scored; this is a fault of the server.", "failed") from error

    def health(self) -> dict[str, Any]:
        """What is to be said of the server and its model."""
        ready = self.queue.is_open
        drift = self.engine.drift()
        status = "ok" if ready and not self.file.problem else "degraded" if ready else "not ready"
        return {
            "status": status,
            "live": True,
            "ready": ready,
            "seconds_up": round(time.time() - self.began_at, 1),
            "waiting_rows": self.queue.n_waiting,
            "model": {
                "file": self.file.path.name,
                "fingerprint": self.engine.fingerprint,
                "loaded_at": _moment(self.file.loaded_at),
                "problem": self.file.problem or None,
            },
            "drift": None
            if drift is None
            else {
                "alarm": drift.alarm,
                "rows": drift.n_rows,
                "wealth": drift.wealth,
                "largest_wealth": drift.largest_wealth,
                "alarm_at": 1 / drift.alpha,
            },
        }

    def model(self) -> Mapping[str, Any]:
        """What is to be said of the model."""
        described = {"file": self.file.path.name, "loaded_at": _moment(self.file.loaded_at)} | self.engine.describe()
        return described | {
            "unit": "nats",
            "example": {"rows": [self.file.example]},
            "columns": [each.describe() for each in self.engine.fields],
            "other_columns": sorted(self.engine.known - {each.name for each in self.engine.fields}),
        }

    def _reloaded(self, engine: Engine | None) -> None:
        self.metrics.reload_failed.set(engine is None)
        if engine is None:
            self.metrics.reloads.labels("refused").inc()
        elif engine is not self._counted:
            self._counted = engine
            self.metrics.reloads.labels("loaded").inc()
            self.metrics.begin(engine)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
