"""What was found out about rows, as JSON or as Arrow."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.serving.engines import Engine, Judged
from vae_anomaly.serving.request_rows import RequestRows

ROW, SCORE, LIKELIHOOD, P_VALUE = "row", "anomaly_score", "likelihood_score", "p_value"
FLAG, PROBLEM, REASONS = "is_anomaly", "problem", "reasons"
MAX_PROBLEM_CHARACTERS = 300


def json_answer(engine: Engine, rows: RequestRows, judged: Judged, explain: str) -> bytes:
    """One object for each row, in their order, under ``rows``."""
    columns: dict[str, list[Any]] = {ROW: list(range(1, judged.n_rows + 1)), SCORE: _or_none(judged.scores)}
    if judged.likelihoods is not None:
        columns[LIKELIHOOD] = _or_none(judged.likelihoods)
    columns[P_VALUE] = _or_none(judged.p_values)
    columns[FLAG] = _flags(judged)
    columns[PROBLEM] = [_problem(judged, row) for row in range(judged.n_rows)]
    if explain:
        columns[REASONS] = [judged.reasons.get(row) for row in range(judged.n_rows)]
    names = list(columns)
    listed = [dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    answer: dict[str, Any] = {"rows": listed, "fingerprint": engine.fingerprint}
    if rows.ignored:
        answer["ignored_columns"] = list(rows.ignored)
    return json.dumps(answer, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def arrow_answer(engine: Engine, rows: RequestRows, judged: Judged, explain: str) -> bytes:
    """A stream with one row for each, in their order; the fingerprint of the model is in the metadata."""
    columns = {
        ROW: pa.array(range(1, judged.n_rows + 1), pa.int64()),
        SCORE: _nullable(judged.scores),
        **({} if judged.likelihoods is None else {LIKELIHOOD: _nullable(judged.likelihoods)}),
        P_VALUE: _nullable(judged.p_values),
        FLAG: pa.array(_flags(judged), pa.bool_()),
        PROBLEM: pa.array([_problem(judged, row) for row in range(judged.n_rows)], pa.string()),
    }
    if explain:
        sentences = [_sentence(judged.reasons.get(row)) for row in range(judged.n_rows)]
        columns[REASONS] = pa.array(sentences, pa.string())
    table = pa.table(columns).replace_schema_metadata(
        {"fingerprint": engine.fingerprint, "ignored_columns": json.dumps(rows.ignored)}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _flags(judged: Judged) -> list[bool | None]:
    flags = judged.flags.tolist()
    return [None if math.isnan(score) else flag for score, flag in zip(judged.scores, flags, strict=True)]


def _problem(judged: Judged, row: int) -> str | None:
    text = judged.problems.get(row)
    return text if text is None or len(text) <= MAX_PROBLEM_CHARACTERS else f"{text[:MAX_PROBLEM_CHARACTERS]}..."


def _or_none(numbers: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(number) else number for number in numbers.tolist()]


def _nullable(numbers: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(numbers, mask=np.isnan(numbers))


def _sentence(reasons: list[dict[str, Any]] | None) -> str | None:
    if reasons is None:
        return None
    from vae_anomaly.explain import NO_REASON

    return "; ".join(reason["text"] for reason in reasons) or NO_REASON
