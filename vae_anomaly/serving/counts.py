"""What Prometheus is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from vae_anomaly.serving.engines import Engine, Judged

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
PREFIX = "vae_anomaly"


class Metrics:
    """Counts of one server, since it began.

    Parameters
    ----------
    engine : Engine
        The model that it begins with.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            f"{PREFIX}_requests", "Requests, by endpoint and status.", ["endpoint", "status"], registry=registry
        )
        self.errors = Counter(
            f"{PREFIX}_errors", "Requests that were refused or failed, by kind.", ["kind"], registry=registry
        )
        self.rows = Counter(
            f"{PREFIX}_rows", "Rows by outcome: normal, anomalous, or problem.", ["outcome"], registry=registry
        )
        self.seconds = Histogram(
            f"{PREFIX}_request_seconds", "From the first byte to the answer of /score.", registry=registry,
            buckets=SECONDS,
        )  # fmt: skip
        self.batches = Histogram(
            f"{PREFIX}_batch_rows", "Rows that were scored together.", registry=registry, buckets=BATCHES
        )
        self.waiting = Gauge(f"{PREFIX}_waiting_rows", "Rows that wait to be scored.", registry=registry)
        self.flagged = Gauge(
            f"{PREFIX}_flagged_share", "Share of the scored rows that were flagged, of this model.", registry=registry
        )
        self.expected = Gauge(
            f"{PREFIX}_expected_flagged_share", "Share of normal rows that the threshold flags.", registry=registry
        )
        self.drift_rows = Gauge(f"{PREFIX}_drift_rows", "Rows in the test of drift.", registry=registry)
        self.drift_wealth = Gauge(f"{PREFIX}_drift_wealth", "Wealth of the test martingale.", registry=registry)
        self.drift_largest = Gauge(
            f"{PREFIX}_drift_largest_wealth", "The most that it ever was; 100 is an alarm.", registry=registry
        )
        self.drift_alarm = Gauge(
            f"{PREFIX}_drift_alarm", "1 once rows are no longer like the calibration rows.", registry=registry
        )
        self.reloads = Counter(
            f"{PREFIX}_model_reloads", "Replaced model files: loaded, or refused.", ["outcome"], registry=registry
        )
        self.reload_failed = Gauge(
            f"{PREFIX}_model_reload_failed", "1 while the file is not the model that is served.", registry=registry
        )
        self.loaded = Gauge(f"{PREFIX}_model_loaded_timestamp_seconds", "When it was loaded.", registry=registry)
        self.model = Info(f"{PREFIX}_model", "The model that is served.", registry=registry)
        self._n_flagged = self._n_scored = 0
        for outcome in ("normal", "anomalous", "problem"):
            self.rows.labels(outcome)
        for outcome in ("loaded", "refused"):
            self.reloads.labels(outcome)
        self.begin(engine)

    def begin(self, engine: Engine) -> None:
        """Count for a model that was loaded now."""
        described = engine.describe()
        self._n_flagged = self._n_scored = 0
        self.flagged.set(0)
        expected = described.get("expected_flagged_share")
        self.expected.set(float("nan") if expected is None else expected)
        self.loaded.set(time.time())
        self.model.info(
            {
                "fingerprint": engine.fingerprint,
                "kind": str(described["kind"]),
                "library_version": str(described["library_version"]),
            }
        )

    def answered(self, judged: Judged) -> None:
        """Count rows that were answered for."""
        n_flagged, n_problems = int(judged.flags.sum()), len(judged.problems)
        n_scored = judged.n_rows - n_problems
        self.rows.labels("anomalous").inc(n_flagged)
        self.rows.labels("normal").inc(n_scored - n_flagged)
        self.rows.labels("problem").inc(n_problems)
        self._n_flagged += n_flagged
        self._n_scored += n_scored
        if self._n_scored:
            self.flagged.set(self._n_flagged / self._n_scored)

    def text(self, engine: Engine, n_waiting: int) -> bytes:
        """Everything, as Prometheus reads it."""
        self.waiting.set(n_waiting)
        state = engine.drift()
        if state is not None:
            self.drift_rows.set(state.n_rows)
            self.drift_wealth.set(state.wealth)
            self.drift_largest.set(state.largest_wealth)
            self.drift_alarm.set(int(state.alarm))
        return generate_latest(self.registry)
