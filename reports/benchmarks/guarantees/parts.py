"""The parts of the page by name."""

from __future__ import annotations

from benchmarks.guarantees.drifting import DRIFT
from benchmarks.guarantees.fixed import AUDIT, BANDS, BETA, FALSE_DISCOVERIES, IN_CHUNKS, STREAMS, SURE
from benchmarks.guarantees.leak import LEAK
from benchmarks.guarantees.real import REAL
from benchmarks.guarantees.studies import Study

PARTS: dict[str, Study] = {
    "beta": BETA,
    "fdr": FALSE_DISCOVERIES,
    "sure": SURE,
    "chunks": IN_CHUNKS,
    "streams": STREAMS,
    "audit": AUDIT,
    "band": BANDS,
    "leak": LEAK,
    "real": REAL,
    "drift": DRIFT,
}
