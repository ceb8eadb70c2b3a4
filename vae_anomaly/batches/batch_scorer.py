"""A model as a function of Arrow batches, which any engine can send to its workers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from vae_anomaly.batches.carried_model import CarriedModel
from vae_anomaly.batches.image_kernel import n_images_at_a_time, pieces, pixels_of_cells
from vae_anomaly.batches.result_names import (
    FLAG,
    LIKELIHOOD,
    P_VALUE,
    PROBLEM,
    REASONS,
    SCORE,
    SPARE_NAMES,
    columns_of_earlier_run,
)
from vae_anomaly.batches.row_scores import RowScores, scored_rows
from vae_anomaly.batches.sentences import sentences_of
from vae_anomaly.batches.table_kernel import ModelColumns, TableKernel, check_once, listed
from vae_anomaly.errors import DataError, ModelFileError, SpecificationError
from vae_anomaly.version import __version__

if TYPE_CHECKING:
    from vae_anomaly.detectors import PatchDetector, VAEDetector

# In the order that they have in a result.
TYPES = {
    SCORE: pa.float64(),
    LIKELIHOOD: pa.float64(),
    P_VALUE: pa.float64(),
    FLAG: pa.bool_(),
    PROBLEM: pa.string(),
    REASONS: pa.string(),
}
OUTPUTS = (SCORE, P_VALUE, FLAG, PROBLEM)
DEVICES = ("cpu", "cuda", "mps", "auto")
# Rows that are scored at a time, however large a batch is, and fewer where they are wide.
MAX_ROWS, MAX_CELLS, MIN_ROWS = 1 << 15, 1 << 22, 1 << 8

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


@dataclass(frozen=True)
class BatchScorer:
    """Scores Arrow batches with a model that it carries along; what `scorer` returns.

    It can be pickled, by cloudpickle, too, and knows no engine.  A process loads the model once, however many scorers
    and batches come.  Scores depend on the row and the model alone: any cut into batches has the same bits, those of
    ``detector.decide`` and of ``vae-anomaly score``.

    Attributes
    ----------
    model : CarriedModel
        The model, its `name` and its `fingerprint`: the SHA-256 of the file.
    uses : ModelColumns or None
        Columns that rows have to have; None of images.
    columns : tuple of str or None
        What is kept of the input; all columns by default, but those of an earlier run.
    outputs : tuple of str
        What comes after them.
    device : str
        Where the arithmetic runs.
    image : str or None
        The column of images.
    """

    model: CarriedModel
    uses: ModelColumns | None
    columns: tuple[str, ...] | None = None
    outputs: tuple[str, ...] = OUTPUTS
    device: str = "cpu"
    image: str | None = None

    def __call__(self, batch: Rows) -> Rows:
        """Score a batch.

        Parameters
        ----------
        batch : pyarrow.RecordBatch or Table
            Rows with the columns of the model, in any order and among others.

        Returns
        -------
        pyarrow.RecordBatch or Table
            As many rows, in their order.

        Raises
        ------
        DataError
            If a column is missing, or of a type that no model reads.
        """
        if not isinstance(batch, pa.RecordBatch | pa.Table):
            raise SpecificationError(
                f"the scorer was given a {type(batch).__name__}; expected a pyarrow RecordBatch or Table. "
                "pyarrow.table(x) makes one of what has columns."
            )
        from vae_anomaly.model import one_thread

        schema = self.schema(batch.schema)
        names: list[str] = schema.names[: len(schema) - len(self.outputs)]
        with one_thread():
            found: dict[str, pa.Array] = self._outputs(batch)
        arrays = [*(batch.column(name) for name in names), *(found[name] for name in self.outputs)]
        return type(batch).from_arrays(arrays, schema=schema)

    def schema(self, given: pa.Schema) -> pa.Schema:
        """What columns a scored batch has.

        Parameters
        ----------
        given : pyarrow.Schema
            Of the batches to score.

        Returns
        -------
        pyarrow.Schema

        Raises
        ------
        DataError
            If a column is missing, or of a type that no model reads.
        """
        kept = self._kept(given)
        problem = PROBLEM if PROBLEM not in kept else SPARE_NAMES[PROBLEM]
        if PROBLEM in self.outputs and problem in kept:
            raise DataError(
                f"the batch has columns '{PROBLEM}' and '{problem}', and the result needs one of these names for its "
                "own. Rename one of them, or name the columns to keep with columns=[...]."
            )
        if self.uses is not None:
            self.uses.given(given)
        else:
            self._check_image(given)
        fields = [given.field(name) for name in kept]
        names = {PROBLEM: problem}
        return pa.schema([*fields, *(pa.field(names.get(name, name), TYPES[name]) for name in self.outputs)])

    def iterate(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score one batch after the other, as Spark's ``mapInArrow`` wants it.

        Parameters
        ----------
        batches : iterable of pyarrow.RecordBatch

        Yields
        ------
        pyarrow.RecordBatch
        """
        for batch in batches:
            yield self(batch)

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to a worker: by its version first."""
        return _arrived, (__version__, (self.model, self.uses, self.columns, self.outputs, self.device, self.image))

    def _kept(self, given: pa.Schema) -> list[str]:
        if self.columns is None:
            earlier = columns_of_earlier_run(given.names) | {*self.outputs} - {PROBLEM}
            kept = [name for name in given.names if name not in earlier]
        else:
            kept = list(self.columns)
            missing = [name for name in kept if name not in given.names]
            if missing:
                raise DataError(
                    f"the batch lacks {listed(missing)} of those to keep; it has {listed(given.names)}. Name others "
                    "with columns=[...], or select them before."
                )
        check_once(given, kept)
        return kept

    def _check_image(self, given: pa.Schema) -> None:
        assert self.image is not None
        if self.image not in given.names:
            raise DataError(
                f"the batch lacks column '{self.image}' of images; it has {listed(given.names)}. Name it with image=..."
            )
        check_once(given, [self.image])
        if not _holds_images(given.field(self.image).type):
            raise DataError(
                f"column '{self.image}' is of the type {given.field(self.image).type}; expected paths or addresses "
                "(text), or the bytes of image files (binary)."
            )

    def _outputs(self, batch: pa.RecordBatch | pa.Table) -> dict[str, pa.Array]:
        """Score piece by piece, so that memory does not grow with the batch."""
        detector = self.model.detector(self.device)
        if self.image is not None:
            found = _of_images(detector, batch.column(self.image))
        else:
            found = self._of_tables(cast("VAEDetector", detector), batch)
        judged: list[RowScores] = []
        problems: list[str | None] = []
        reasons: list[str | None] = []
        for scores, problems_of_rows, sentences in found:
            judged.append(scores)
            problems += (problems_of_rows.get(row) for row in range(len(scores)))
            reasons += (sentences.get(row) for row in range(len(scores)))
        scores = RowScores.joined(*judged) if judged else RowScores.nothing()
        without = np.isnan(scores.scores)
        return {
            SCORE: pa.array(scores.scores, mask=without),
            LIKELIHOOD: _numbers(scores.likelihoods, len(scores)),
            P_VALUE: _numbers(scores.p_values, len(scores)),
            FLAG: pa.array(scores.scores > detector.threshold_.score, mask=without),
            PROBLEM: pa.array(problems, pa.string()),
            REASONS: pa.array(reasons, pa.string()),
        }

    def _of_tables(
        self, detector: VAEDetector, batch: pa.RecordBatch | pa.Table
    ) -> Iterator[tuple[RowScores, Mapping[int, str], Mapping[int, str]]]:
        assert self.uses is not None
        kernel = TableKernel(detector, self.uses.given(batch.schema))
        needed = batch.select(list(dict.fromkeys(kernel.given.values())))
        for piece in pieces(batch.num_rows, min(MAX_ROWS, max(MIN_ROWS, MAX_CELLS // len(detector.columns_)))):
            features = kernel.features(needed.slice(piece.start, piece.stop - piece.start))
            scores, problems = scored_rows(features, kernel.score, {})
            sentences: dict[int, str] = {}
            flagged = np.flatnonzero(scores.scores > detector.threshold_.score)
            if REASONS in self.outputs and len(flagged):
                texts = sentences_of(detector.explain(features.frame.iloc[flagged]))
                sentences = dict(zip(flagged.tolist(), texts, strict=True))
            yield scores, problems, sentences


def scorer(
    model: str | os.PathLike[str] | VAEDetector | PatchDetector,
    *,
    columns: Sequence[str] | None = None,
    outputs: Sequence[str] = OUTPUTS,
    key: bytes | None = None,
    device: str = "cpu",
    image: str | None = None,
) -> BatchScorer:
    """A function that scores Arrow batches, to be sent to the workers of any engine.

    The content of a local file travels with it, so that workers need no shared disk; what has an address, such as
    ``s3://bucket/model.vae``, is read there by each worker, and refused if it is another file by then.

    Parameters
    ----------
    model : path-like, str with an address, or detector
        What `save` wrote, or what it would write.
    columns : sequence of str, optional
        Columns of the input to keep, which come first; by default all but those that an earlier run appended.
    outputs : sequence of str
        What comes after them, in this order whatever the order here: ``anomaly_score`` (nats),
        ``likelihood_score`` (where the model has learned from answers: the score without that), ``p_value``,
        ``is_anomaly``, ``problem`` (why a row has no score; ``row_problem`` where a column ``problem`` is kept) and
        ``reasons`` (of flagged rows).
    key : bytes, optional
        What the model file has to be signed with: see `save`.  It is not sent to workers, which know the content.
    device : {"cpu", "cuda", "mps", "auto"}, default="cpu"
        Where workers compute.
    image : str, optional
        Of a model of images: the column with their paths, addresses or bytes.

    Returns
    -------
    BatchScorer

    Raises
    ------
    ModelFileError
        If it is no model file, is damaged, or is not signed with the key.
    SpecificationError
        If an output, the device or the column of images is not known or does not suit the model, or a column to keep
        is named twice.
    NotFittedError
        If the detector is not fitted.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from vae_anomaly import VAEDetector
    >>> from vae_anomaly.batches import scorer
    >>> rows = pa.table({"id": range(100), "x": np.random.default_rng(0).normal(size=100)})
    >>> detector = VAEDetector(max_iter=20, early_stopping=False).fit(rows.select(["x"]))
    >>> score = scorer(detector, columns=["id"], outputs=["anomaly_score", "is_anomaly"])
    >>> score(rows).column_names
    ['id', 'anomaly_score', 'is_anomaly']
    """
    from vae_anomaly.detectors import GroupedDetector

    carried = CarriedModel.of(model, key)
    # Where the scorer is made there need be no such device as workers have.
    detector = carried.detector("cpu")
    wanted = _checked_outputs(outputs, [] if columns is None else columns)
    if device not in DEVICES:
        raise SpecificationError(f"device={device!r} is none that workers have; expected {', '.join(DEVICES)}.")
    if isinstance(detector, GroupedDetector):
        raise SpecificationError(
            f"{carried.name} holds a model for each group of {detector.by_!r}, and a scorer carries one. Score files "
            "with vae-anomaly score, or make a scorer of load(FILE).models_[GROUP] for each group."
        )
    if detector.encoder_.takes_images:
        if image is None:
            raise SpecificationError(
                f"{carried.name} is a model of images: name the column of paths, addresses or bytes with image=..."
            )
        if REASONS in wanted:
            raise SpecificationError("reasons are of rows of a table; images have heat maps: see detector.explain.")
        detector.image_format_  # noqa: B018 - models of floats have none
    elif image is not None:
        raise SpecificationError(f"{carried.name} is a model of tables, and image={image!r} names a column of images.")
    learned = getattr(detector, "learned_", None) if getattr(detector, "answers_", None) is not None else None
    if LIKELIHOOD in wanted and (learned is None or not learned.in_use):
        raise SpecificationError(
            f"{carried.name} has learned nothing from answers, and {LIKELIHOOD} would be {SCORE}; leave it out."
        )
    uses = None if detector.encoder_.takes_images else ModelColumns.of(cast("VAEDetector", detector))
    return BatchScorer(carried, uses, None if columns is None else tuple(columns), wanted, device, image)


def _checked_outputs(outputs: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    if isinstance(outputs, str) or isinstance(columns, str):
        raise SpecificationError("columns and outputs are lists of names; put the name into brackets.")
    unknown = [name for name in outputs if name not in TYPES]
    if unknown or not outputs:
        raise SpecificationError(
            f"outputs={list(outputs)!r} names {unknown[0] if unknown else 'nothing'}; expected some of "
            f"{', '.join(TYPES)}."
        )
    wanted = tuple(name for name in TYPES if name in outputs)
    twice = next((name for name, number in Counter(columns).items() if number > 1), None)
    if twice is not None:
        raise SpecificationError(f"columns names {twice!r} twice; a result has it once.")
    both = [name for name in columns if name in wanted and name != PROBLEM]
    if both:
        raise SpecificationError(f"{both[0]!r} is a column to keep and an output; leave one of them out.")
    return wanted


def _arrived(version: str, state: tuple[Any, ...]) -> BatchScorer:
    """Make the scorer anew in a worker."""
    if version != __version__:
        raise ModelFileError(
            f"the scorer was made by vae-anomaly {version}, and this process has {__version__}, whose scores may "
            f"differ. Install vae-anomaly=={version} on all workers."
        )
    return BatchScorer(*state)


def _numbers(values: Any, n_rows: int) -> pa.Array:
    return pa.nulls(n_rows, pa.float64()) if values is None else pa.array(values, mask=np.isnan(values))


def _holds_images(given: pa.DataType) -> bool:
    type_ = given.value_type if pa.types.is_dictionary(given) else given
    return bool(
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
        or pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_binary_view(type_)
        or pa.types.is_fixed_size_binary(type_)
    )


def _of_images(
    detector: VAEDetector | PatchDetector, cells: pa.Array | pa.ChunkedArray
) -> Iterator[tuple[RowScores, Mapping[int, str], Mapping[int, str]]]:
    image_format = detector.image_format_
    assert image_format is not None
    for piece in pieces(len(cells), n_images_at_a_time(image_format)):
        some = cells.slice(piece.start, piece.stop - piece.start).to_pylist()
        pixels = pixels_of_cells(some, image_format)
        scores = RowScores.nothing(len(some))
        if pixels.rows:
            scores = RowScores.by(detector, pixels.images).spread(list(pixels.rows), len(some))
        yield scores, pixels.problems, {}
