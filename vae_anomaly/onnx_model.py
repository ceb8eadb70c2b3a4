"""Exported detectors: scored with ONNX Runtime and NumPy, without PyTorch."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from vae_anomaly.caching import cached_property
from vae_anomaly.data import NOT_THERE, HashedTexts, KnownColumns, LevelCodes, check_unique, is_hashed
from vae_anomaly.errors import DataError, ModelFileError, NonFiniteScoreError, NotInstalled, SpecificationError

if TYPE_CHECKING:
    # It loads pandas, which arrays do without.
    from vae_anomaly.data import KnownText

Floats: TypeAlias = npt.NDArray[np.float64]
InputKind = Literal["number", "level", "date", "unused"]

FORMAT_VERSION = 1
METADATA = "vae_anomaly"
INPUT, SCORE, IS_ANOMALY = "X", "score", "is_anomaly"
CHUNK_ROWS = 512
QUIET = 3


@dataclass(frozen=True)
class InputColumn:
    """A column of the input of an exported model, as the metadata of the file describes it.

    Parameters
    ----------
    name : str
    kind : {"number", "level", "date", "unused"}
        What the graph takes: the number as it is; of text the index of the level, and anything from the number of
        levels on where it is none; days since 1970, or in the unit that the numbers of training had; or whatever is
        there.  NaN where the cell is missing.
    described : str
        What the detector took the column for: see `Column.kind`.
    levels : tuple of str or of float
        Of a column of levels, in the order of their codes.
    rare : tuple of str
        Text that has the code of the last level.
    hashed : HashedTexts or None
        Levels of which only the hash is known.
    text_format : mapping, optional
        The fields of the `TextFormat` that text is read by.
    missing_texts : tuple of str
        Levels that stand for a missing one.
    numeric : bool
        Whether the levels, written as text, are numbers.
    days_per_unit : float
        Of numbers that stand for dates: how many days one of them is; else 0.
    support : str
        "counts", "unit interval" or "": which numbers it takes.
    takes : str
        The same in words, with who takes them.
    """

    name: str
    kind: InputKind
    described: str
    levels: tuple[str, ...] | tuple[float, ...] = ()
    rare: tuple[str, ...] = ()
    hashed: HashedTexts | None = None
    text_format: Mapping[str, Any] | None = None
    missing_texts: tuple[str, ...] = ()
    numeric: bool = False
    days_per_unit: float = 0.0
    support: str = ""
    takes: str = ""

    @property
    def is_used(self) -> bool:
        """Whether the score depends on it."""
        return self.kind != "unused"

    @cached_property
    def level_codes(self) -> LevelCodes:
        """Its levels of text, and the numbers that stand for them."""
        form = self.text_format
        texts = tuple(level for level in self.levels if isinstance(level, str))
        folded = form is not None and bool(form["fold"])
        return LevelCodes(texts, self.rare, self.hashed, folded=folded, trimmed=form is not None)

    @cached_property
    def known_text(self) -> KnownText:
        """How its text is read."""
        from vae_anomaly.data import KnownText, TextFormat

        form = None
        if self.text_format is not None:
            given = _with_tuples(self.text_format)
            form = TextFormat(**given | {"hashed_missing": _hashes(given["hashed_missing"])})
        elif self.kind == "date":
            form = TextFormat("date", date_format="ISO8601")
        elif self.kind == "number":
            form = TextFormat("boolean" if self.described == "boolean" else "number")
        return KnownText(self.name, form if self.is_used else None, self.level_codes)

    def describe(self) -> dict[str, Any]:
        """The entry of the metadata."""
        entry = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("levels", "rare"):
            entry[name] = [None if is_hashed(level) else level for level in entry[name]]
        return entry | {"hashed": hashes_entry(self.hashed), "text_format": self.text_format}

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> InputColumn:
        """The column that an entry of the metadata describes."""
        hashed = _hashes(entry["hashed"])
        levels, rare = entry["levels"], entry["rare"]
        if hashed is not None:
            named = hashed.filled([*levels, *rare])
            levels, rare = named[: len(levels)], named[len(levels) :]
        return cls(**_with_tuples(entry) | {"hashed": hashed, "levels": tuple(levels), "rare": tuple(rare)})


def _with_tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(part) if isinstance(part, list) else part for name, part in entry.items()}


def hashes_entry(hashed: HashedTexts | None) -> dict[str, Any] | None:
    """Hashed texts as JSON takes them."""
    if hashed is None:
        return None
    digests = base64.b64encode(hashed.digests).decode()
    return {"key": hashed.key.hex(), "digests": digests, "folded": hashed.folded}


def _hashes(entry: Mapping[str, Any] | None) -> HashedTexts | None:
    if entry is None:
        return None
    return HashedTexts(bytes.fromhex(entry["key"]), base64.b64decode(entry["digests"]), entry["folded"])


@dataclass(frozen=True)
class OnnxDescription:
    """What an exported file says of itself.

    Parameters
    ----------
    columns : tuple of InputColumn
        In the order of the input of the graph.
    offset : float
        Rows with a lower score are anomalous; nats.
    score : str
        Name of the score.
    have_names : bool
        Whether the detector was fitted on a DataFrame with names that are text.
    other_columns : tuple of str
        Columns that are no features, and that nobody wonders about.
    library_version : str
    """

    columns: tuple[InputColumn, ...]
    offset: float
    score: str
    have_names: bool
    other_columns: tuple[str, ...]
    library_version: str

    def as_text(self) -> str:
        """The text of the metadata."""
        entry = {field.name: getattr(self, field.name) for field in fields(self)}
        columns = [column.describe() for column in self.columns]
        return json.dumps({"format_version": FORMAT_VERSION, "unit": "nats", **entry, "columns": columns})

    @classmethod
    def of(cls, text: str, source: str) -> OnnxDescription:
        """What the text of the metadata of a file says.

        Raises
        ------
        ModelFileError
            If it was written in a newer format version, or is damaged.
        """
        try:
            entry = json.loads(text)
            version = int(entry.pop("format_version"))
            if version > FORMAT_VERSION:
                raise ModelFileError(
                    f"{source}: written in format version {version}; this version reads up to {FORMAT_VERSION}. "
                    "Upgrade vae-anomaly."
                )
            del entry["unit"]
            columns = tuple(map(InputColumn.of, entry.pop("columns")))
            return cls(columns, **entry | {"other_columns": tuple(entry["other_columns"])})
        except (LookupError, TypeError, ValueError) as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"{source}: what the file says of itself is damaged. Export it again.") from error


class OnnxModel:
    """An exported detector: the same scores as the detector's, without PyTorch.

    Parameters
    ----------
    path : path-like, or bytes
        A file that `export_onnx` wrote, or its content.
    n_threads : int, default=1
        Threads of ONNX Runtime within an operation.

    Attributes
    ----------
    columns : tuple of InputColumn
        In the order of the input of the graph.
    offset_ : float
        Rows with a lower score are anomalous; nats.
    description : OnnxDescription
        What the file says of itself.

    Raises
    ------
    NotInstalled
        Without ONNX Runtime.
    ModelFileError
        If the file was not written by `export_onnx`, is damaged, or is of a newer format version.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from vae_anomaly import OnnxModel, VAEDetector, export_onnx
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(X)
    >>> path = tempfile.mkdtemp() + "/model.onnx"
    >>> export_onnx(detector, path)
    >>> OnnxModel(path).predict([[0.0, 0.0, 0.0], [50.0, 50.0, 50.0]])
    array([ 1, -1])
    """

    def __init__(self, path: str | os.PathLike[str] | bytes, *, n_threads: int = 1) -> None:
        source = "the content" if isinstance(path, bytes) else str(path)
        if not isinstance(path, bytes):
            if not Path(path).exists():
                raise FileNotFoundError(f"{source}: no such file. Give the path of a file written by export_onnx().")
            if Path(path).is_dir():
                raise ModelFileError(f"{source}: this is a folder; an exported model is one file.")
        if not isinstance(n_threads, int) or n_threads < 1:
            raise SpecificationError(f"n_threads is a positive number of threads, not {n_threads!r}.")
        self._session = _session(path if isinstance(path, bytes) else os.fspath(path), source, n_threads)
        held = self._session.get_modelmeta().custom_metadata_map
        if METADATA not in held:
            raise ModelFileError(f"{source}: an ONNX file that export_onnx() did not write. Export the detector again.")
        self.description = OnnxDescription.of(held[METADATA], source)
        self.columns = self.description.columns
        self.offset_ = self.description.offset

    def score_samples(self, X: Any) -> Floats:
        """The score of each row in nats, higher for more normal rows: that of the detector.

        Parameters
        ----------
        X : array-like of shape (rows, columns), DataFrame, Series, dict or list of dicts
            Rows with the columns of the detector: by name, or in their order in an array.  Arrays hold numbers as the
            detector takes them, of text the index of the level, and of dates the days since 1970; NaN where a cell is
            missing.

        Returns
        -------
        ndarray of shape (rows,), float64

        Raises
        ------
        DataError
            If a cell cannot be read, or a column that the model needs is missing.
        NonFiniteScoreError
            If a score is not finite.
        """
        given = self.inputs(X)
        scores = np.empty(len(given))
        for begin in range(0, len(given), CHUNK_ROWS):
            part = slice(begin, begin + CHUNK_ROWS)
            (scores[part],) = self._session.run([SCORE], {INPUT: given[part]})
        wrong = ~np.isfinite(scores)
        if wrong.any():
            raise NonFiniteScoreError(int(wrong.sum()), len(wrong), int(wrong.argmax()))
        return scores

    def anomaly_score(self, X: Any) -> Floats:
        """``-score_samples(X)``: higher for more anomalous rows, in nats.

        Parameters
        ----------
        X : array-like, DataFrame, Series, dict or list of dicts
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (rows,), float64
        """
        return -self.score_samples(X)

    def decision_function(self, X: Any) -> Floats:
        """``score_samples(X) - offset_``: negative for anomalies.

        Parameters
        ----------
        X : array-like, DataFrame, Series, dict or list of dicts
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (rows,), float64
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """-1 for anomalies, +1 for what is normal.

        Parameters
        ----------
        X : array-like, DataFrame, Series, dict or list of dicts
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (rows,), int
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def inputs(self, X: Any) -> Floats:
        """Rows as the graph takes them: (rows, columns), float64; see `InputColumn`.

        Parameters
        ----------
        X : array-like, DataFrame, Series, dict or list of dicts
            What `score_samples` takes.

        Raises
        ------
        DataError
            If a cell cannot be read, or a column that the model needs is missing.
        """
        frame = _as_frame(X)
        given = self._of_array(X) if frame is None else self._of_frame(frame)
        self._check_support(given)
        return given

    def _of_array(self, X: Any) -> Floats:
        """Numbers in the order of the columns."""
        try:
            given = np.array(X, dtype=np.float64, order="C")
        except (TypeError, ValueError) as error:
            raise DataError(
                f"the rows are no numbers ({error})", "give an array of numbers, or a DataFrame."
            ) from error
        if given.ndim != 2 or given.shape[1] != len(self.columns):
            raise DataError(
                f"the rows have the shape {given.shape}; expected two axes, and {len(self.columns)} columns in the "
                f"order of training: {', '.join(repr(column.name) for column in self.columns[:5])}"
                f"{', ...' if len(self.columns) > 5 else ''}."
            )
        used = [position for position, column in enumerate(self.columns) if column.is_used]
        infinite = np.isinf(given[:, used])
        if infinite.any():
            from vae_anomaly.data import Table

            # Says which column, which row, and what to do.
            Table(tuple(column.name for column in self.columns), given).numbers(used[int(infinite.any(0).argmax())])
        for position, column in enumerate(self.columns):
            if column.kind == "level" and column.numeric:
                from vae_anomaly.data import text_of

                texts = np.array([*map(text_of, given[:, position]), None], dtype=object)[:-1]
                given[:, position] = _level_codes(column, texts)
        return given

    def _of_frame(self, frame: Any) -> Floats:
        """Cells of a DataFrame, by the names of its columns."""
        from vae_anomaly.data import Table, read_known_text

        check_unique(frame)
        names = tuple(column.name for column in self.columns)
        needed = frozenset(column.name for column in self.columns if column.is_used)
        known = KnownColumns(names, needed, self.description.have_names, self.description.other_columns)
        places = known.places(frame)
        if places is None and len(frame.columns) != len(names):
            raise DataError(f"the table has {len(frame.columns)} columns; expected {len(names)}, as in training.")
        there = [place for place in (range(len(names)) if places is None else places) if place != NOT_THERE]
        held = [place for place in range(len(names)) if places is None or places[place] != NOT_THERE]
        columns = [self.columns[place] for place in held]
        table = Table(tuple(column.name for column in columns), frame.iloc[:, there], index=frame.index)
        given = np.full((table.n_rows, len(names)), np.nan)
        with table.naming_rows():
            read, unchanged = read_known_text(table, [column.known_text for column in columns])
            forms = tuple(column.known_text.form for column in columns)
            table = table.with_text_read(read, forms, unchanged=unchanged)
            for position, column in enumerate(columns):
                if column.is_used:
                    given[:, held[position]] = _cells(table, position, column)
        return given

    def _check_support(self, given: Floats) -> None:
        for position, column in enumerate(self.columns):
            if not column.support:
                continue
            cells = given[:, position]
            fits = (cells >= 0) & ((cells <= 1) if column.support == "unit interval" else (cells == np.floor(cells)))
            wrong = ~fits & ~np.isnan(cells)
            if wrong.any():
                row = int(wrong.argmax())
                expected = f"{column.takes} or NaN. Rescale the column or choose another likelihood."
                raise DataError(f"column {column.name!r} holds {cells[row]:g}", expected, column=column.name, row=row)


def _session(model: str | bytes, source: str, n_threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotInstalled("onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
    options.log_severity_level = QUIET
    state = onnxruntime.capi.onnxruntime_pybind11_state
    refused = (state.Fail, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented, state.RuntimeException)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except refused as error:
        raise ModelFileError(
            f"{source}: ONNX Runtime cannot use the file ({' '.join(str(error).split())[:200]}). Export it again, or "
            "upgrade onnxruntime."
        ) from error


def _as_frame(X: Any) -> Any:
    """Rows by name, and arrays that hold text, as a DataFrame; None for numbers."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(X, pandas.DataFrame):
        return X
    if pandas is not None and isinstance(X, pandas.Series):
        return X.to_frame().T.infer_objects()
    if hasattr(X, "to_pandas"):
        # Tables of Polars and Arrow have names, too.
        return X.to_pandas()
    if isinstance(X, Mapping):
        import pandas as pd

        of_columns = bool(X) and all(isinstance(cells, list | tuple | np.ndarray) for cells in X.values())
        return pd.DataFrame(dict(X) if of_columns else [dict(X)])
    is_list = isinstance(X, list | tuple)
    if is_list and X and all(isinstance(row, Mapping) for row in X):
        import pandas as pd

        return pd.DataFrame(list(X))
    if (isinstance(X, np.ndarray) and X.dtype.kind in "OUS" and X.ndim == 2) or (is_list and _holds_text(X)):
        import pandas as pd

        return pd.DataFrame(np.array(X, dtype=object)).infer_objects()
    return None


def _holds_text(rows: Any) -> bool:
    return any(isinstance(cell, str) for row in rows if isinstance(row, list | tuple) for cell in row)


def _cells(table: Any, position: int, column: InputColumn) -> Floats:
    """A column of a table as the graph takes it."""
    if column.kind == "level":
        texts, places = table.distinct_levels(position)
        return np.asarray(np.append(_level_codes(column, texts), np.nan)[places])
    if column.kind == "date":
        if not column.days_per_unit:
            return np.asarray(table.days(position))
        if table.content(position) == "number":
            return np.asarray(table.numbers(position))
        return np.asarray(table.days(position) / column.days_per_unit)
    if table.content(position) == "datetime":
        raise DataError(
            f"column {column.name!r} holds dates; it held numbers in training. Convert it to what it was.",
            column=column.name,
        )
    return np.asarray(table.numbers(position))


def _level_codes(column: InputColumn, texts: npt.NDArray[np.object_]) -> Floats:
    codes = column.level_codes.codes(texts)
    if column.missing_texts:
        codes[np.isin(texts.astype(str), column.missing_texts)] = np.nan
    return codes
