"""A fitted detector of tables as one ONNX graph."""

from __future__ import annotations

import dataclasses
import os
import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from vae_anomaly.columns import EPOCH_UNITS, Column, TableEncoder
from vae_anomaly.data import TextFormat
from vae_anomaly.detectors import VAEDetector
from vae_anomaly.errors import ExportError, SpecificationError
from vae_anomaly.export.cell_encoding import CellEncoding
from vae_anomaly.export.expressions import DOUBLE, Graph
from vae_anomaly.export.network import TermsGraph
from vae_anomaly.export.score_graphs import score_graph
from vae_anomaly.files import OutputFile, remove_stale_parts
from vae_anomaly.model import own_settings
from vae_anomaly.onnx_model import (
    INPUT,
    IS_ANOMALY,
    METADATA,
    SCORE,
    InputColumn,
    InputKind,
    OnnxDescription,
    OnnxModel,
    hashes_entry,
)
from vae_anomaly.scores import SCORES
from vae_anomaly.store import with_level_hashes
from vae_anomaly.version import __version__

OPSET = 18
CHECKED_ROWS = 256
HIDDEN_SHARE = 0.2
SEED = 19
# Between the two ways to a score: nats, and as a share of the score. Single precision explains a tenth of it.
TOLERANCE, RELATIVE_TOLERANCE = 1e-4, 1e-5


@own_settings()
def export_onnx(detector: VAEDetector, path: str | os.PathLike[str]) -> None:
    """Write the scorer of a fitted detector of tables as an ONNX file, which has its name when it is whole.

    The graph takes cells as the user has them, float64 of shape (rows, columns) in the order of training, NaN where
    missing: numbers in their units, of text the index of its level, of dates the days since 1970.  It returns
    ``score``, what `score_samples` returns, and ``is_anomaly``, whether it is below ``offset_``.  `OnnxModel` runs it
    and reads tables and text; any other runtime for ONNX may run it, too.  What the columns are is in the metadata of
    the file.

    Before it is written, the graph scores rows that the detector draws, some of whose cells are missing, and the scores
    are compared with the detector's.

    Text of training rows is in the file as `save` would have it: what few rows hold is known by its hash.

    Parameters
    ----------
    detector : VAEDetector
        A fitted one of tables, with ``backbone="mlp"`` and a score that has a graph: "pooled_elbo" (with kernels,
        the file holds their training rows), "elbo", "elbo_per_cell", "reconstruction" or "kl".
    path : path-like
        The file; an existing one is replaced only when the new one is complete.

    Raises
    ------
    NotInstalled
        Without onnx and ONNX Runtime: ``python -m pip install "vae-anomaly[onnx]"``.
    NotFittedError
        If the detector is not fitted.
    SpecificationError
        If it takes images, or something of it has no graph; the text says what.
    ExportError
        If the scores of the graph differ from the detector's.
    OSError
        If the file cannot be written.
    """
    content = onnx_content(detector)
    remove_stale_parts([path])
    with OutputFile(path) as file:
        file.stream.write(content)


def onnx_content(detector: VAEDetector) -> bytes:
    """The bytes of the file, checked; see `export_onnx`."""
    if not isinstance(detector, VAEDetector):
        raise SpecificationError(
            f"an ONNX file holds a VAEDetector of tables, not {type(detector).__name__}. Save it with save()."
        )
    check_is_fitted(detector)
    if not isinstance(detector.model_.encoder, TableEncoder):
        raise SpecificationError("models of images have no ONNX graph here. Save it with save(), and load() it.")
    if detector.learned_ is not None and detector.learned_.in_use:
        raise SpecificationError(
            "what reviewed rows taught has no ONNX graph. Save it with save(), or export the score without it: "
            "detector.use_answers(False)."
        )
    if detector.model_.encoder.baseline is not None:
        raise SpecificationError(
            "rows are compared with their group (baseline_by, baseline_time), which has no graph. Save it with save(), "
            "and load() it."
        )
    if detector.vae_.kernels is not None and not detector.level_rule_.raw_values:
        raise SpecificationError(
            f"the score compares rows with {detector.vae_.kernels.n_centres:,} training rows, whose cells the file has "
            "to hold, and the detector is from a file without raw values. Fit with preset='default' or 'robust'."
        )
    detector = with_level_hashes(detector, detector.level_rule_)
    with np.errstate(all="ignore"):
        content = _graph_of(detector, detector.model_.table_encoder)
    _check_scores(detector, OnnxModel(content))
    return content


def _graph_of(detector: VAEDetector, encoder: TableEncoder) -> bytes:
    graph = Graph(OPSET)
    given = graph.input(INPUT, DOUBLE, ("rows", len(encoder.columns)))
    values, observed = CellEncoding(graph, encoder, given).encoded()
    copied, _ = CellEncoding(graph, encoder, given, as_copied=True).encoded()
    terms = TermsGraph(detector.vae_, detector.noise_, values, observed, copied)
    score = score_graph(detector.row_score_, terms)
    # What has no score is not normal.
    is_anomaly = ~(score - detector.offset_ >= 0.0)
    outputs = {SCORE: (score, ("rows",)), IS_ANOMALY: (is_anomaly, ("rows",))}
    return graph.serialized(outputs, {METADATA: _description_of(detector, encoder).as_text()})


def _description_of(detector: VAEDetector, encoder: TableEncoder) -> OnnxDescription:
    return OnnxDescription(
        tuple(map(_input_column, encoder.columns)),
        float(detector.offset_),
        next(name for name, score in SCORES.items() if type(detector.row_score_) is score),
        hasattr(detector, "feature_names_in_"),
        detector.column_roles_.names,
        __version__,
    )


def _input_column(column: Column) -> InputColumn:
    kind: InputKind = "number"
    if not column.is_used:
        return InputColumn(column.name, "unused", column.kind)
    if column.is_date:
        kind = "date"
    elif column.textual:
        kind = "level"
    days_per_unit = EPOCH_UNITS[column.date_unit][0] if column.date_unit else 0.0
    support, takes = "", ""
    if column.likelihood is not None and not column.likelihood.standardize and not column.levels:
        traits = column.likelihood.traits
        support = "counts" if traits.counts else "unit interval" if traits.in_unit_interval else ""
        takes = f"{column.likelihood.title} takes {traits.support}" if support else ""
    return InputColumn(
        column.name,
        "date" if days_per_unit else kind,
        column.kind,
        levels=column.levels,
        rare=column.rare,
        hashed=column.hashed,
        text_format=None if column.text_format is None else _text_entry(column.text_format),
        missing_texts=tuple(code for code in column.missing_values if isinstance(code, str)),
        numeric=column.numeric,
        days_per_unit=days_per_unit,
        support=support,
        takes=takes,
    )


def _text_entry(form: TextFormat) -> dict[str, Any]:
    """How text is read, without examples of it."""
    entry = {field.name: getattr(form, field.name) for field in dataclasses.fields(form)}
    del entry["examples"]
    return entry | {"hashed_missing": hashes_entry(form.hashed_missing)}


def _check_scores(detector: VAEDetector, exported: OnnxModel) -> None:
    """Compare the scores of rows that the detector draws, of which some cells are missing in every other row.

    Raises
    ------
    ExportError
        If they differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = detector.sample(CHECKED_ROWS, random_state=SEED)
        hidden = np.random.default_rng(SEED).random((len(rows), len(detector.columns_))) < HIDDEN_SHARE
        hidden[::2] = False
        rows = rows.mask(hidden) if isinstance(rows, pd.DataFrame) else np.where(hidden, np.nan, rows)
        expected, found = detector.score_samples(rows), exported.score_samples(rows)
    difference = np.abs(found - expected)
    allowed = TOLERANCE + RELATIVE_TOLERANCE * np.abs(expected)
    if not (difference <= allowed).all():
        worst = int((difference - allowed).argmax())
        raise ExportError(float(difference[worst]), float(expected[worst]), float(allowed[worst]))
