"""What scores rows: a detector with all that it knows, or an exported one with its scores alone."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.arrow_rows import EMPTY, RowFeatures, as_series
from vae_anomaly.batches import Numbers, RowScores, TableKernel, scored_rows
from vae_anomaly.caching import cached_property
from vae_anomaly.errors import ModelFileError, SpecificationError, VAEAnomalyWarning
from vae_anomaly.serving.drift_state import DriftState, ServedStream
from vae_anomaly.serving.fields import Field, field_of, field_of_input

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.detectors import VAEDetector
    from vae_anomaly.onnx_model import OnnxModel

ONNX_SUFFIX = ".onnx"
N_REASONS = 3
REASON_FIELDS = ("column", "part", "observed", "expected", "lower", "upper", "nats", "tail_probability")


@dataclass(frozen=True)
class Judged:
    """What was found out about rows.

    Attributes
    ----------
    scores, p_values : ndarray of shape (rows,)
        Anomaly scores, nats; NaN where there is none.
    flags : ndarray of bool, shape (rows,)
        Which are above the threshold.
    likelihoods : ndarray of shape (rows,) or None
        Scores without what the model learned from answers.
    problems : mapping of int to str
        Why rows, from 0, have no score.
    reasons : mapping of int to list of dict
        Why rows are anomalous, where somebody asked.
    """

    scores: Numbers
    p_values: Numbers
    flags: npt.NDArray[np.bool_]
    likelihoods: Numbers | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    reasons: Mapping[int, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """How many rows."""
        return len(self.scores)

    def take(self, begin: int, end: int) -> Judged:
        """Some of the rows."""
        part = slice(begin, end)
        likelihoods = None if self.likelihoods is None else self.likelihoods[part]
        problems = {row - begin: text for row, text in self.problems.items() if begin <= row < end}
        return Judged(self.scores[part], self.p_values[part], self.flags[part], likelihoods, problems)


class Engine(Protocol):
    """A model that rows are scored with."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """What every row has to have."""

    @property
    def known(self) -> frozenset[str]:
        """Other columns of the training rows."""

    @property
    def has_reasons(self) -> bool:
        """Whether it can say why."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content of the file."""

    def features(self, cells: pa.Table) -> RowFeatures:
        """Return what it sees of rows, and which of them cannot be scored."""

    def judge(self, frame: pd.DataFrame, *, counted: bool = True) -> RowScores:
        """Score rows that can be; `counted` says whether they are of the stream that is tested for drift."""

    def flags(self, scores: Numbers) -> npt.NDArray[np.bool_]:
        """Which scores are above the threshold; none that is NaN."""

    def explain(self, frame: pd.DataFrame) -> list[list[dict[str, Any]]]:
        """Say of each row why it is anomalous."""

    def describe(self) -> dict[str, Any]:
        """What `/model` says."""

    def example(self) -> dict[str, Any]:
        """A row that it could meet, as JSON takes it."""

    def drift(self) -> DriftState | None:
        """Whether rows have changed; None where nothing is known."""


@dataclass(frozen=True)
class DetectorEngine:
    """A detector from a model file."""

    detector: VAEDetector
    manifest: Mapping[str, Any]
    stream: ServedStream | None
    has_reasons: bool = True

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """What every row has to have."""
        group, compared_by = self.detector.calibration_groups, self.detector.baseline_columns_
        return tuple(
            field_of(column, as_text=column.name == group or not column.is_used)
            for column in self.detector.columns_
            if column.is_used or column.name == group or column.name in compared_by
        )

    @property
    def known(self) -> frozenset[str]:
        """Other columns of the training rows."""
        return frozenset((*self.detector.column_roles_.names, *(column.name for column in self.detector.columns_)))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content of the file."""
        return str(self.manifest["integrity"]["sha256"] or "")

    def features(self, cells: pa.Table) -> RowFeatures:
        """Return what it sees of rows, and which of them cannot be scored."""
        return TableKernel(self.detector).features(cells)

    def judge(self, frame: pd.DataFrame, *, counted: bool = True) -> RowScores:
        """Score rows that can be, and note them in the stream."""
        from vae_anomaly.detectors import decisions_frame

        with quietly():
            compared = self.detector.compared(frame)
            found = decisions_frame(compared, self.detector.decisions_, frame.index)
        if self.stream is not None and counted:
            self.stream.add(compared.comparisons)
        return RowScores.of(found)

    def flags(self, scores: Numbers) -> npt.NDArray[np.bool_]:
        """Which scores are above the threshold."""
        return scores > self.detector.threshold_.score

    def explain(self, frame: pd.DataFrame) -> list[list[dict[str, Any]]]:
        """Say of each row why it is anomalous."""
        with quietly():
            reasons = self.detector.explain(frame).reasons(N_REASONS)
        return [
            [
                {name: _plain(getattr(reason, name)) for name in REASON_FIELDS}
                | ({"group": {name: _plain(cell) for name, cell in reason.group}} if reason.group else {})
                | {"text": str(reason)}
                for reason in of_row
            ]
            for of_row in reasons
        ]

    def describe(self) -> dict[str, Any]:
        """What `/model` says."""
        threshold, calibration = self.detector.threshold_, self.detector.decisions_.calibration
        return {
            "kind": type(self.detector).__name__,
            "preset": self.detector.preset,
            "fingerprint": self.fingerprint,
            "signature": self.manifest["integrity"]["signature"],
            "library_version": self.manifest.get("library_version"),
            "format_version": self.manifest.get("format_version"),
            "threshold": threshold.score,
            "expected_flagged_share": threshold.expected_rate,
            "calibration_rows": None if calibration is None else calibration.n_rows,
            "p_values": calibration is not None,
            "reasons": True,
        }

    def example(self) -> dict[str, Any]:
        """A row that the model draws, as JSON takes it."""
        with quietly():
            (row,) = self.detector.sample(1, random_state=0).to_dict(orient="records")
        return {each.name: each.example(_plain(row.get(each.name))) for each in self.fields}

    def drift(self) -> DriftState | None:
        """Whether rows have changed; None without a calibration."""
        return None if self.stream is None else self.stream.state()


@dataclass(frozen=True)
class OnnxEngine:
    """An exported detector: scores and flags, without p-values and reasons."""

    model: OnnxModel
    fingerprint: str
    has_reasons: bool = False

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """What every row has to have."""
        return tuple(field_of_input(column) for column in self.model.columns if column.is_used)

    @property
    def known(self) -> frozenset[str]:
        """Other columns of the training rows."""
        return frozenset((*self.model.description.other_columns, *(column.name for column in self.model.columns)))

    def features(self, cells: pa.Table) -> RowFeatures:
        """Return what it sees of rows, and which of them cannot be scored."""
        import pandas as pd

        columns: dict[str, Any] = {}
        problems: dict[int, str] = {}
        present = np.zeros(cells.num_rows, dtype=bool)
        for each in self.fields:
            values = as_series(cells[each.name])
            lost = np.zeros(len(values), dtype=bool)
            if each.type == "number" and pd.api.types.is_float_dtype(values.dtype):
                lost = np.isinf(values.to_numpy(dtype=np.float64, na_value=np.nan))
            elif each.type != "text" and pd.api.types.infer_dtype(values, skipna=True) == "string":
                there = values.notna().to_numpy()
                lost[there] = each.read_numbers(values[there].tolist())[1]
            for row in np.flatnonzero(lost).tolist():
                problems.setdefault(row, each.explain_cell(str(values.iloc[row])))
            values = values.mask(lost)
            present |= values.notna().to_numpy()
            columns[each.name] = values
        problems |= {row: EMPTY for row in np.flatnonzero(~present).tolist() if row not in problems}
        return RowFeatures(pd.DataFrame(columns), dict(sorted(problems.items())))

    def judge(self, frame: pd.DataFrame, *, counted: bool = True) -> RowScores:  # noqa: ARG002 - there is no stream
        """Score rows that can be."""
        with quietly():
            scores = self.model.anomaly_score(frame)
        return RowScores(scores, np.full(len(scores), math.nan))

    def flags(self, scores: Numbers) -> npt.NDArray[np.bool_]:
        """Which scores are above the threshold."""
        return -scores < self.model.offset_

    def explain(self, frame: pd.DataFrame) -> list[list[dict[str, Any]]]:
        """No reasons: the graph has the score alone."""
        return [[] for _ in range(len(frame))]

    def describe(self) -> dict[str, Any]:
        """What `/model` says."""
        description = self.model.description
        return {
            "kind": "ONNX",
            "fingerprint": self.fingerprint,
            "library_version": description.library_version,
            "threshold": -description.offset,
            "p_values": False,
            "reasons": False,
        }

    def example(self) -> dict[str, Any]:
        """A row of the first levels, and of zeros."""
        return {each.name: each.example(each.levels[0] if each.levels else 0) for each in self.fields}

    def drift(self) -> DriftState | None:
        """Nothing is known: the file has no calibration."""
        return None


def open_engine(path: str | os.PathLike[str], *, key: bytes | None = None, device: str = "cpu") -> Engine:
    """Load what scores rows.

    Parameters
    ----------
    path : path-like
        A model file of tables, or one that `export_onnx` wrote, whose name ends in ``.onnx``.
    key : bytes, optional
        What the model file has to be signed with.
    device : str
        Where the arithmetic runs; not of ONNX.

    Raises
    ------
    ModelFileError
        If it is none of them, is damaged, is of images, or not signed with the key.
    SpecificationError
        If a key is given with an ONNX file, which has no signature, or the device is not there.
    NotInstalled
        If ONNX Runtime is not.
    OSError
        If it cannot be read.
    """
    if Path(path).suffix.lower() == ONNX_SUFFIX:
        if key is not None:
            raise SpecificationError(
                f"{path}: an ONNX file has no signature, and a key is given. Serve the model file, or give no key."
            )
        return _open_onnx(path)
    from vae_anomaly.detectors import GroupedDetector, VAEDetector
    from vae_anomaly.store import load, read_manifest

    manifest = read_manifest(path, key=key)
    detector = load(path, device=device, key=key)
    if isinstance(detector, GroupedDetector):
        raise ModelFileError(
            f"{path}: a model for each group of {detector.by_!r}, and single models are served. Score files with "
            "vae-anomaly score, or save the model of a group alone: save(load(FILE).models_[GROUP], NEW_FILE)."
        )
    if not isinstance(detector, VAEDetector) or detector.encoder_.takes_images:
        raise ModelFileError(
            f"{path}: a model of images, and only models of tables are served. Score images with vae-anomaly score."
        )
    calibration = detector.decisions_.calibration
    return DetectorEngine(detector, manifest, None if calibration is None else ServedStream(calibration))


def _open_onnx(path: str | os.PathLike[str]) -> OnnxEngine:
    from vae_anomaly.onnx_model import OnnxModel

    return OnnxEngine(OnnxModel(path), hashlib.sha256(Path(path).read_bytes()).hexdigest())


def judged_rows(engine: Engine, cells: pa.Table, known: Mapping[int, str]) -> tuple[Judged, RowFeatures]:
    """Score all rows that can be, whatever is wrong with the others.

    Parameters
    ----------
    engine : Engine
    cells : pyarrow.Table
    known : mapping of int to str
        Problems of rows that are known already.

    Returns
    -------
    Judged
        Of every row.
    RowFeatures
        What the engine saw of them.

    Raises
    ------
    DataError
        If no row is to blame, or too many are.
    NonFiniteScoreError
        If too many rows have no finite score.
    """
    features = engine.features(cells)
    found, problems = scored_rows(features, engine.judge, known)
    judged = Judged(found.scores, found.p_values, engine.flags(found.scores), found.likelihoods, problems)
    return judged, RowFeatures(features.frame, problems)


@contextmanager
def quietly() -> Iterator[None]:
    """Drop warnings of the library: they can quote cells, and are of no use to those who sent them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VAEAnomalyWarning)
        yield


def explained_rows(
    engine: Engine, features: RowFeatures, judged: Judged, rows: Sequence[int]
) -> dict[int, list[dict[str, Any]]]:
    """Reasons for some rows, by row from 0; none for those without a score."""
    chosen = [row for row in rows if row not in judged.problems]
    if not chosen:
        return {}
    return dict(zip(chosen, engine.explain(features.frame.iloc[chosen]), strict=True))


def _plain(value: Any) -> Any:
    """A cell as JSON knows it: missing is None, dates are ISO 8601 text."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if hasattr(value, "isoformat"):
        text = value.isoformat()
        return None if text == "NaT" else text
    return value if isinstance(value, str | bool | int | float) else str(value)
