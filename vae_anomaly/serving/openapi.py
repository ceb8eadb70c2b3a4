"""The schema of the endpoints, with the columns of the model that is served."""

from __future__ import annotations

from typing import Any

from vae_anomaly.serving.engines import Engine

ARROW, JSON = "application/vnd.apache.arrow.stream", "application/json"
NUMBER = {"type": ["number", "null"]}


def row_schema(engine: Engine) -> dict[str, Any]:
    """A row as the model takes it; other keys are ignored."""
    return {
        "type": "object",
        "required": [each.name for each in engine.fields],
        "properties": {each.name: each.schema() for each in engine.fields},
        "additionalProperties": True,
    }


def answer_schema(engine: Engine) -> dict[str, Any]:
    """What is said of a row."""
    p_value = NUMBER | {
        "description": "Share of calibration rows at least as anomalous; null where the model has no calibration."
    }
    if not engine.has_reasons:
        p_value = {"type": "null", "description": "An exported ONNX model has no p-values."}
    reason = {
        "type": "object",
        "properties": {
            "column": {"type": "string"},
            "part": {"type": "string", "description": "Of a date, or 'missing'; empty for the cell itself."},
            "observed": {},
            "expected": {},
            "lower": {},
            "upper": {},
            "nats": {"type": "number"},
            "tail_probability": NUMBER,
            "text": {"type": "string"},
        },
    }
    return {
        "type": "object",
        "properties": {
            "row": {"type": "integer", "minimum": 1},
            "anomaly_score": NUMBER | {"description": "Negative ELBO in nats: higher is more anomalous."},
            "likelihood_score": NUMBER | {"description": "Without what answers taught; only where they taught it."},
            "p_value": p_value,
            "is_anomaly": {"type": ["boolean", "null"]},
            "problem": {"type": ["string", "null"], "description": "Why the row has no score."},
            **({"reasons": {"type": ["array", "null"], "items": reason}} if engine.has_reasons else {}),
        },
    }


def schemas(engine: Engine) -> dict[str, Any]:
    """All that the endpoints refer to, by name."""
    error = {
        "type": "object",
        "required": ["error", "detail"],
        "properties": {
            "error": {"type": "string"},
            "detail": {"type": "string"},
            "column": {"type": ["string", "null"]},
            "row": {"type": ["integer", "null"]},
        },
    }
    return {
        "Row": row_schema(engine),
        "Rows": {
            "type": "object",
            "required": ["rows"],
            "properties": {"rows": {"type": "array", "minItems": 1, "items": _reference("Row")}},
            "additionalProperties": False,
        },
        "ScoredRow": answer_schema(engine),
        "Scores": {
            "type": "object",
            "properties": {
                "rows": {"type": "array", "items": _reference("ScoredRow")},
                "fingerprint": {"type": "string", "description": "SHA-256 of the model file."},
                "ignored_columns": {"type": "array", "items": {"type": "string"}},
            },
        },
        "Refusal": error,
    }


def score_operation() -> dict[str, Any]:
    """What FastAPI does not find out of `/score`, which reads its body itself."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    refused = {
        "400": "The body is no JSON, or no Arrow.",
        "413": "Too many bytes or rows.",
        "415": "Neither JSON nor Arrow, or compressed.",
        "422": "A column is missing, or the rows are none.",
        "503": "Busy, or shutting down: see Retry-After.",
    }
    answers = {
        status: {"description": text, "content": {JSON: {"schema": _reference("Refusal")}}}
        for status, text in refused.items()
    }
    return {
        "parameters": [
            {
                "name": "explain",
                "in": "query",
                "description": "Reasons: of all rows, or of those that are flagged.",
                "schema": {"type": "string", "enum": ["false", "true", "flagged"], "default": "false"},
            }
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": _reference("Rows")}, ARROW: binary}},
        "responses": {
            "200": {
                "description": "One entry for each row, in their order.",
                "content": {JSON: {"schema": _reference("Scores")}, ARROW: binary},
            },
            **answers,
        },
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
