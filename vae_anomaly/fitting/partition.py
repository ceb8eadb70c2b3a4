"""Which rows train, which stop the training, and which calibrate: no row does two of these for the same member."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np
import numpy.typing as npt

from vae_anomaly.columns import Batch
from vae_anomaly.data import FloatArray
from vae_anomaly.decisions import Decisions

CalibrationKind = Literal["split", "cross", "none"]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

MAX_VALIDATION_ROWS = 512
MIN_VALIDATION_ROWS = 10
SPLIT_SHARE = 0.2
FOLD_SHARE, MAX_SHARE_OF_FOLDS, MIN_ROWS_OF_FOLDS = 0.1, 0.5, 200
NO_FOLD = -1
MIN_CALIBRATION_ROWS, MAX_CALIBRATION_ROWS = 4, 4096
MAX_TRAINING_SHARE = 0.25


@dataclass(frozen=True)
class TrainingRows:
    """Training rows that are encoded only where they are needed.

    Parameters
    ----------
    n_rows : int
        How many there are.
    encode : callable
        Some of them, by their indices, as a batch.
    weights : ndarray of shape (n_rows,), optional
        Positive weights.
    held_out : bool ndarray of shape (n_rows,), optional
        Rows that no training has seen; by default a share of the rows is drawn.
    folds : int ndarray of shape (n_rows,), optional
        In which fold each row calibrates, -1 for those that do not: see `drawn_folds`.
    before : Decisions, optional
        Of the fit whose weights this one starts from.
    augment : callable, optional
        From rows of a mini-batch and a seed to the changed rows to train on.
    ids : int64 ndarray of shape (n_rows,), optional
        What the rows are called in an audit; their indices by default.
    group_column : str, optional
        What the rows are grouped by for the calibration.
    groups : str ndarray of shape (n_rows,), optional
        The group of each row.
    """

    n_rows: int
    encode: Callable[[IntArray], Batch]
    weights: FloatArray | None = None
    held_out: BoolArray | None = None
    folds: IntArray | None = None
    before: Decisions | None = None
    augment: Callable[[Batch, int], Batch] | None = None
    ids: npt.NDArray[np.int64] | None = None
    group_column: str | None = None
    groups: npt.NDArray[np.object_] | None = None


@dataclass(frozen=True)
class SplitConfig:
    """Which rows are held out, and how many each member trains on.

    Parameters
    ----------
    max_samples : int or float
        Rows per member, without replacement; a float is a share of the rows that are not held out.
    validation_fraction : float
        Share of the rows to hold out for early stopping.
    calibration : {"split", "cross", "none"}
        Whether rows that no member trains on calibrate, or for each member those that it alone leaves out.
    max_share : float
        Largest share of all rows that a member trains on, however many `max_samples` are.
    """

    max_samples: int | float
    validation_fraction: float
    calibration: CalibrationKind
    max_share: float

    def n_validation(self, n_rows: int) -> int:
        """Rows to stop the training by."""
        return min(round(self.validation_fraction * n_rows), MAX_VALIDATION_ROWS, n_rows // 2)

    def n_own(self, n_free: int, n_rows: int) -> int:
        """Rows of a member, out of so many that it may train on, and of all."""
        wanted = self.max_samples
        n_own = int(wanted) if isinstance(wanted, Integral) else round(wanted * n_free)
        return min(max(min(n_own, int(self.max_share * n_rows)), 2), n_free)


@dataclass(frozen=True)
class Partition:
    """The part that every row plays.

    Parameters
    ----------
    held_out : int ndarray
        Rows to stop the training by.
    compared : int ndarray
        Rows whose statistics a relative score compares others with; none for other scores.
    members : int ndarray of shape (members, rows per member)
        Rows that each member trains on.
    folds : tuple of int ndarray
        Rows that calibrate: one fold that no member trains on, or the fold that each member leaves out.
    """

    held_out: IntArray
    compared: IntArray
    members: IntArray
    folds: tuple[IntArray, ...]


def calibration_kind(
    wanted: str | None, n_rows: int, n_members: int, max_samples: int | float, *, by_member: bool
) -> CalibrationKind:
    """How a fit calibrates.

    Where there are at least four times as many rows as a member trains on, setting rows aside costs nothing; where
    there are fewer, each member leaves a fold out, so that all rows train.

    Parameters
    ----------
    wanted : {"auto", "split", "cross"} or None
        What was asked for.
    n_rows, n_members : int
    max_samples : int or float
        Rows per member; a float is a share.
    by_member : bool
        Whether a member has a score alone, and there are members that can leave out what others train on.
    """
    if wanted is None:
        return "none"
    if wanted == "split" or not by_member or n_members < 2:
        return "split"
    if wanted == "cross":
        return "cross"
    per_member = max_samples if isinstance(max_samples, Integral) else max_samples * n_rows
    return "split" if per_member <= MAX_TRAINING_SHARE * n_rows else "cross"


def rows_set_aside(n_rows: int, rng: np.random.Generator) -> BoolArray:
    """A random share of the rows, to calibrate by and nothing else; none where there are too few."""
    n_aside = min(round(SPLIT_SHARE * n_rows), MAX_CALIBRATION_ROWS)
    aside = np.zeros(n_rows, dtype=bool)
    if n_aside >= MIN_CALIBRATION_ROWS:
        aside[rng.choice(n_rows, n_aside, replace=False)] = True
    return aside


def drawn_folds(n_rows: int, split: SplitConfig, n_members: int, rng: np.random.Generator) -> IntArray:
    """In which fold each row calibrates, -1 for those that do not.

    They are drawn before anything is learned, so that what columns are is learned from the other rows, at least half
    of all. Of a cross calibration, every member leaves out a tenth of the rows, because those that it does not see
    are missed; more where they are few, so that p-values have a resolution, or where it would not use them anyway.

    Parameters
    ----------
    n_rows : int
    split : SplitConfig
    n_members : int
    rng : numpy.random.Generator

    Returns
    -------
    int ndarray of shape (n_rows,)
    """
    if split.calibration == "split":
        return np.where(rows_set_aside(n_rows, rng), 0, NO_FOLD)
    folds = np.full(n_rows, NO_FOLD)
    if split.calibration == "none":
        return folds
    n_rest = n_rows - split.n_validation(n_rows)
    n_wanted = max(MIN_ROWS_OF_FOLDS // n_members, round(FOLD_SHARE * n_rest), n_rest - split.n_own(n_rest, n_rows))
    n_left_out = min(n_wanted, min(round(MAX_SHARE_OF_FOLDS * n_rest), MAX_CALIBRATION_ROWS) // n_members)
    if n_left_out * n_members >= MIN_CALIBRATION_ROWS:
        chosen = rng.choice(n_rows, n_left_out * n_members, replace=False)
        folds[chosen] = np.repeat(np.arange(n_members), n_left_out)
    return folds


def partition(
    rows: TrainingRows, split: SplitConfig, n_members: int, rng: np.random.Generator, *, stops: bool, compares: bool
) -> Partition:
    """Draw the part of every row.

    Parameters
    ----------
    rows : TrainingRows
    split : SplitConfig
    n_members : int
    rng : numpy.random.Generator
    stops : bool
        Whether held-out rows stop the training.
    compares : bool
        Whether the score compares rows with training rows; these are then as many as those to stop by and others than
        they, and no member sees them, unless there are too few rows for that.
    """
    order = rng.permutation(rows.n_rows)
    fold_of = np.full(rows.n_rows, NO_FOLD) if rows.folds is None else rows.folds
    folds = tuple(np.flatnonzero(fold_of == number) for number in range(int(fold_of.max()) + 1))
    free = compared = order[fold_of[order] == NO_FOLD]
    n_validation = min(split.n_validation(rows.n_rows), len(free) // 2)
    if rows.held_out is None:
        held_out, rest = free[:n_validation], free[n_validation:]
    else:
        marked = rows.held_out[free]
        held_out, rest = free[marked], free[~marked]
        if compares and len(held_out) >= 2 * MIN_VALIDATION_ROWS:
            compared, held_out = held_out[::2], held_out[1::2]
        held_out = held_out[:MAX_VALIDATION_ROWS]
    if not stops or len(held_out) < MIN_VALIDATION_ROWS:
        held_out, rest = held_out[:0], np.concatenate([held_out, rest])
    if compares and compared is free:
        n_compared = min(n_validation, len(rest) // 2)
        if n_compared >= MIN_VALIDATION_ROWS:
            compared, rest = rest[:n_compared], rest[n_compared:]
    pools = [rest] * n_members
    if split.calibration == "cross" and folds:
        pools = [np.concatenate([rest, *folds[:member], *folds[member + 1 :]]) for member in range(n_members)]
    n_own = split.n_own(min(map(len, pools)), rows.n_rows)
    own = [rng.choice(pool, n_own, replace=False) for pool in pools]
    n_compared = MAX_VALIDATION_ROWS if compares else 0
    return Partition(np.sort(held_out), np.sort(compared[:n_compared]), np.stack(own), _unseen(rows, folds))


def _unseen(rows: TrainingRows, folds: tuple[IntArray, ...]) -> tuple[IntArray, ...]:
    """The folds without rows that the weights were trained on before; none where too few are left."""
    before = rows.before
    if before is None or not folds:
        return folds
    left = tuple(
        fold[before.unseen(rows.encode(fold).fingerprints().numpy(), number)] for number, fold in enumerate(folds)
    )
    return left if sum(map(len, left)) >= MIN_CALIBRATION_ROWS else ()
