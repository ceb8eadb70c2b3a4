"""Reviews of rows that were filled in: the rows, as a detector sees them, and what they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_anomaly.batches import FLAG, LIKELIHOOD, P_VALUE, REASONS, SCORE, SPARE_NAMES, WHY
from vae_anomaly_cli.answers import AnsweredLines, is_score, read_score
from vae_anomaly_cli.columns import find_columns
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.models import Unusable, library_errors, remembered_roles
from vae_anomaly_cli.options import InputOptions
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.sources import PATH, ImageSource, Location, TableSource, open_images
from vae_anomaly_cli.table_data import TableData
from vae_anomaly_cli.table_model import SAMPLE_ROWS, model_of
from vae_anomaly_cli.tables import sample_table

# What a review has besides the cells of rows.
OWN_COLUMNS = (*SPARE_NAMES, *SPARE_NAMES.values(), SCORE, LIKELIHOOD, P_VALUE, WHY, REASONS, FLAG)

if TYPE_CHECKING:
    from vae_anomaly import PatchDetector, VAEDetector


@dataclass(frozen=True)
class ReviewedRows:
    """Rows that somebody looked at, of one review after the other.

    Attributes
    ----------
    reviews : tuple of AnsweredLines
        Their lines, and what they are.
    seen : object
        What the detector takes: a frame, or paths of images.
    """

    reviews: tuple[AnsweredLines, ...]
    seen: Any

    @property
    def is_anomaly(self) -> npt.NDArray[np.bool_]:
        """What they are."""
        return np.concatenate([review.is_anomaly for review in self.reviews])

    @property
    def n_open(self) -> int:
        """Lines without an answer."""
        return sum(review.n_open for review in self.reviews)

    @property
    def name(self) -> str:
        """How messages call the reviews."""
        n_more = len(self.reviews) - 1
        return self.reviews[0].table.name + (f" and {n_more} more" if n_more else "")

    def place(self, row: int) -> tuple[AnsweredLines, int]:
        """Which review a row is of, and its number there."""
        starts = np.cumsum([0, *(len(review.lines) for review in self.reviews)])
        review = int(np.searchsorted(starts, row, side="right")) - 1
        return self.reviews[review], row - int(starts[review])

    def locate(self, row: int) -> Location:
        """Say where a person finds one of them."""
        review, line = self.place(row)
        return review.locate(line)

    def where(self, row: int) -> str:
        """Say the same in words."""
        review, line = self.place(row)
        return review.where(line)


def reviewed_rows(
    sources: Sequence[TableSource], detector: "VAEDetector", model: str, messages: Messages
) -> ReviewedRows:
    """Read reviews of rows of a table: their cells are in them.

    Parameters
    ----------
    sources : sequence of TableSource
        The reviews.
    detector : VAEDetector
        Is to learn from them.
    model : str
        Its file.
    messages : Messages
        Shows notes and warnings.

    Raises
    ------
    InputError
        If one is no review that was filled in, or a row cannot be read by the model, or has another score.
    """
    import pandas as pd

    reviews, frames = [], []
    for source in sources:
        answered = AnsweredLines.read(source)
        used = {*(column.name for column in detector.columns_), *detector.baseline_columns_}
        own = tuple(name for name in source.names if name in OWN_COLUMNS and name not in used)
        columns = find_columns(source.name, source.names, InputOptions((source.name,), drop=own))
        columns = columns.with_roles(remembered_roles(model), model, "unused", messages)
        read = model_of(source, columns, detector, messages)
        features = read.features_of(answered.table.cells.take(answered.lines))
        for row, problem in features.problems.items():
            raise InputError(
                f"{answered.where(row)}: {problem}. Write the row as the input had it, or leave {FLAG} empty."
            )
        reviews.append(answered)
        frames.append(features.frame)
    found = ReviewedRows(tuple(reviews), frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True))
    _check(found, detector, model, messages)
    return found


def reviewed_images(
    sources: Sequence[TableSource],
    folders: Sequence[str],
    detector: "VAEDetector | PatchDetector",
    model: str,
    messages: Messages,
) -> ReviewedRows:
    """Read reviews of images, and find these.

    Parameters
    ----------
    sources : sequence of TableSource
        The reviews.
    folders : sequence of str
        What was reviewed.
    detector : VAEDetector or PatchDetector
        Is to learn from them.
    model : str
        Its file.
    messages : Messages
        Shows notes and warnings.

    Raises
    ------
    InputError
        If one is no review that was filled in, or an image is not there, or has another score.
    """
    images = open_images(folders)
    by_name = _paths_by_name(images)
    reviews: list[AnsweredLines] = []
    paths: list[Path] = []
    for source in sources:
        if PATH not in source.names:
            raise InputError(
                f"{source.name} has no column '{PATH}'; expected a review of images, as vae-anomaly review -o writes "
                "it."
            )
        answered = AnsweredLines.read(source)
        names = answered.table.cells[PATH].to_pylist()
        for row, line in enumerate(answered.lines.tolist()):
            path = by_name.get(str(names[line]))
            if path is None:
                raise InputError(
                    f"{answered.where(row)}: {images.name} has no image '{names[line]}'; give the folder that was "
                    "reviewed with --images."
                )
            paths.append(path)
        reviews.append(answered)
    found = ReviewedRows(tuple(reviews), paths)
    _check(found, detector, model, messages)
    return found


def calibration_frame(given: tuple[str, ...], detector: "VAEDetector", model: str, messages: Messages) -> Any:
    """Read rows that calibrate what was learned, or a sample where they are many.

    Parameters
    ----------
    given : tuple of str
        Files of a table.
    detector : VAEDetector
        Is to be calibrated.
    model : str
        Its file.
    messages : Messages
        Shows notes and warnings.

    Returns
    -------
    DataFrame
        What the detector sees of them.

    Raises
    ------
    InputError
        If the model cannot read the table.
    CommandError
        If no row can be scored.
    """
    data = TableData.open(InputOptions(given), messages, model=model, labels="unused")
    read = model_of(data.source, data.columns, detector, messages)
    with progress_bar(data.source.size, "reading", data.noun, messages) as done:
        table = sample_table(data.source, read.names, SAMPLE_ROWS, progress=done)
    features = read.features_of(table.cells)
    unusable = Unusable(data.noun)
    for row, problem in features.problems.items():
        unusable.add(partial(table.locate, row), problem)
    unusable.warn(messages, table.n_rows)
    if unusable.count == table.n_rows:
        raise CommandError(unusable.none_of(data.source.name, table.n_rows))
    return features.usable


def _paths_by_name(images: ImageSource) -> dict[str, Path]:
    """Find images by the names that a review has of them."""
    return {
        name: path
        for batch in images.batches([PATH])
        for name, path in zip(batch.cells[PATH].to_pylist(), batch.paths, strict=True)
    }


def _check(found: ReviewedRows, detector: "VAEDetector | PatchDetector", model: str, messages: Messages) -> None:
    """Refuse equal rows with different answers, and rows that have other scores than the reviews say."""
    is_anomaly = found.is_anomaly
    with messages.library_warnings(), library_errors(found.name, found.locate):
        fingerprints = detector.compared(found.seen).fingerprints.tolist()
        scores = np.asarray(detector.likelihood_score(found.seen), dtype=np.float64)
    first: dict[int, int] = {}
    for row, fingerprint in enumerate(fingerprints):
        before = first.setdefault(fingerprint, row)
        if is_anomaly[before] != is_anomaly[row]:
            raise InputError(
                f"{found.where(row)}: {FLAG} is {is_anomaly[row]:d}, and {is_anomaly[before]:d} in "
                f"{found.where(before)}, for an equal row; expected one answer for equal rows."
            )
    start = 0
    for review in found.reviews:
        _check_scores(review, scores[start : start + len(review.lines)], model, messages)
        start += len(review.lines)


def _check_scores(review: AnsweredLines, scores: npt.NDArray[np.float64], model: str, messages: Messages) -> None:
    """Refuse rows to which the model gives other scores, without what it has learned, than the review says."""
    table = review.table
    name = LIKELIHOOD if LIKELIHOOD in table.names else SCORE
    given = table.cells[name].to_pylist() if name in table.names else [None] * table.n_rows
    n_without = 0
    for row, line in enumerate(review.lines.tolist()):
        score = read_score(given[line], review.where(row), name)
        n_without += score is None
        if score is not None and not is_score(score, float(scores[row])):
            raise InputError(
                f"{review.where(row)}: {name} is {score:,.2f}, and {model} gives the row {scores[row]:,.2f} nats: the "
                "review is of another model, or its cells were changed. Write a new one with vae-anomaly review -o."
            )
    if n_without:
        messages.warning(
            f"{table.name} has no {name} for {counted(n_without, 'answer')}: whether the cells are those that were "
            "reviewed cannot be checked."
        )
