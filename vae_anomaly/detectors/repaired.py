"""Values for missing and for wrong cells, and the changes that make a row normal."""

from __future__ import annotations

import abc
import math
import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from vae_anomaly.columns import Batch, Encoder
from vae_anomaly.data import FloatArray, Table
from vae_anomaly.detectors.calibrated import CalibratedDetectorMixin
from vae_anomaly.detectors.containers import as_cells, fill_cells, pack_like, row_labels
from vae_anomaly.detectors.inputs import read_images, read_table
from vae_anomaly.detectors.known_columns import aligned
from vae_anomaly.errors import DataWarning, NotAvailable, SpecificationError, callers_level
from vae_anomaly.explain import (
    SUSPICIOUS,
    Change,
    PathToNormal,
    cells_needed,
    expected_of_each,
    impute_images,
    impute_table,
    p_values_of_cells,
    without_wrong,
    wrong_by_rarity,
    wrong_cells,
)
from vae_anomaly.fitting import FittedModel
from vae_anomaly.model import own_settings

FDR = 0.1
# Rows on their way at once, and the cells of each that are tried in a step, the most anomalous ones.
MAX_ROWS_AT_ONCE, MAX_TRIED = 256, 32
# A change that saves less is none.
MIN_NATS_SAVED = 0.05
MAX_NAMES_SHOWN = 20
# No proposal says little where it takes more wrong cells than that to have one.
MANY_CELLS = 10

BoolArray = npt.NDArray[np.bool_]
Columns = list[npt.NDArray[Any]]


class RepairedDetectorMixin(CalibratedDetectorMixin):
    """A detector of tables that proposes values for cells."""

    model_: FittedModel[Encoder]
    """Everything that was learned."""

    @abc.abstractmethod
    def _with_reference(self, *, cells: bool = False) -> FittedModel[Encoder]:
        """The model with what cells are compared with."""

    @own_settings()
    def impute(self, X: Any) -> Any:
        """Fill the missing values with values predicted from the row's observed cells.

        Numbers get the mean over draws and members of where the decoder puts them, on the column's own scale; draws
        that explain the observed cells better count more.  Levels get the most probable one.  Observed cells stay as
        they are, and so do columns that were set aside, and dates whose place in time is not modelled.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.

        Returns
        -------
        ndarray, DataFrame or table of the kind of `X`
        """
        check_is_fitted(self)
        if self.model_.takes_images:
            return pack_like(X, impute_images(self.model_, read_images(self, X, self.model_.encoder)))
        rows, places = aligned(self, X)
        table = read_table(self, rows, fitting=False)
        cells, columns = impute_table(self.model_, table)
        return fill_cells(X, cells, table.as_text_again(columns), places)

    @own_settings()
    def repair(self, X: Any, max_tail_probability: float | None = None, *, fdr: float | None = None) -> Any:
        """Propose values for the cells that look wrong.

        A cell looks wrong if it is rare both given the other cells of its row and alone, beyond what
        `max_tail_probability` of training cells are.  Suspicious cells are hidden and the others scored again, so that
        an error does not make its neighbours look wrong; what remains hidden is replaced by what is predicted from the
        row's other cells, dates as a whole and only where their place in time is modelled ("datetime+trend").  Missing
        cells stay missing: see `impute`.

        With `fdr` the cells are those of `proposals`: of these at most that share is expected to be right as it is.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.
        max_tail_probability : float, default=None
            In (0, 1); the larger, the more cells are replaced. None takes 1e-3 where there is no `fdr` either.
        fdr : float, default=None
            In (0, 1), in the place of `max_tail_probability`: the share of the proposals that may be wrong.

        Returns
        -------
        ndarray, DataFrame or table of the kind of `X`

        Raises
        ------
        ValueError
            If `max_tail_probability` or `fdr` is not between 0 and 1, or both are given.
        NotAvailable
            If `fdr` is given, and the model has no calibration cells: see `cell_p_values`.
        """
        check_is_fitted(self)
        if fdr is not None and max_tail_probability is not None:
            raise SpecificationError(
                f"max_tail_probability={max_tail_probability!r} and fdr={fdr!r} both say which cells look wrong; give "
                "one of them."
            )
        limit = (
            SUSPICIOUS if max_tail_probability is None else _checked_share("max_tail_probability", max_tail_probability)
        )
        share = None if fdr is None else _checked_share("fdr", fdr)
        self._check_takes_tables()
        rows, places = aligned(self, X)
        table = read_table(self, rows, fitting=False)
        model = self._with_reference()
        batch = model.encoder.encode(table)
        wrong = wrong_by_rarity(model, batch, limit) if share is None else _proposed(model, batch, share)[1]
        return fill_cells(X, wrong, table.as_text_again(without_wrong(model, batch, wrong)), places)

    @own_settings()
    def cell_p_values(self, X: Any, *, by_column: bool = False) -> pd.DataFrame:
        """How probable it is that a right cell is as anomalous as each cell: conformal p-values.

        A cell is compared with cells of rows that influenced nothing (those of the calibration, or of a cross
        calibration row by row by the member that has not seen it): with how rare they are given the other cells of
        their row and alone, and what the others say against them, while other suspicious cells of the row are hidden.
        By default it is compared with cells of all columns that vary, each measured by the training cells of its own
        column: at most a share t of all right cells, over the columns, has a p-value of at most t, and with some ten
        thousand cells to compare with p-values are small enough to find one wrong cell among thousands.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.
        by_column : bool, default=False
            Compares each cell with those of its own column alone: the same promise for each column, but no p-value
            below 1 / (calibration rows + 1).

        Returns
        -------
        DataFrame of the shape of the rows
            In (0, 1]; NaN where the cell is missing or its column was set aside.

        Raises
        ------
        NotAvailable
            If there are no calibration cells: the fit had ``calibration=None`` or too few rows, the table is wider
            than 512 columns, or the model file is of an earlier version.

        References
        ----------
        Bates, Candes, Lei, Romano and Sesia, "Testing for outliers with conformal p-values", Annals of Statistics 51,
        2023.
        """
        table, model = self._read_cells(X)
        p_values = p_values_of_cells(model, model.encoder.encode(table), by_column=by_column)
        names = [column.name for column in model.table_encoder.columns]
        return pd.DataFrame(p_values, index=row_labels(X, table.n_rows), columns=names)

    @own_settings()
    def proposals(self, X: Any, fdr: float = FDR) -> pd.DataFrame:
        """Which cells look wrong, and what is expected there: at most the share `fdr` of them is expected to be right.

        The procedure of Benjamini and Hochberg chooses them by `cell_p_values`, all cells of `X` being its family: so
        give a whole table, and not the rows that look worst.  No p-value is below 1 / (calibration cells + 1), so that
        in a long table several cells have to look wrong before one is proposed; a warning says so.  The promise is for
        the expected share, over tables, and for right cells beside wrong ones of the same row it is approximate: an
        error can make its neighbours look wrong.  Errors in the training rows make p-values larger, so that fewer cells
        are found, and so do rows that were fitted themselves.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.
        fdr : float, default=0.1
            In (0, 1).

        Returns
        -------
        DataFrame
            Columns row (position, from 0), column, observed, proposed, p_value and nats: by how much the anomaly score
            of the row falls where this cell alone is changed. The most anomalous cell first.

        Raises
        ------
        NotAvailable
            If there are no calibration cells: see `cell_p_values`.
        """
        share = _checked_share("fdr", fdr)
        table, model = self._read_cells(X)
        batch = model.encoder.encode(table)
        p_values, wrong = _proposed(model, batch, share)
        proposed = without_wrong(model, batch, wrong)
        rows, positions = np.nonzero(wrong)
        observed = [table.objects(position) for position in range(wrong.shape[1])]
        lines = pd.DataFrame(
            {
                "row": rows,
                "column": [model.table_encoder.columns[position].name for position in positions],
                "observed": _objects([observed[position][row] for row, position in zip(rows, positions, strict=True)]),
                "proposed": _objects([proposed[position][row] for row, position in zip(rows, positions, strict=True)]),
                "p_value": p_values[rows, positions],
            }
        )
        cells = as_cells(aligned(self, X)[0])
        before = self.anomaly_score(_taken(cells, rows)) if len(rows) else np.empty(0)
        after = self._scores_changed(cells, table.as_text_again(proposed), rows, positions)
        lines["nats"] = before - after
        kept = lines["proposed"].notna() & (lines["proposed"] != lines["observed"])
        return lines[kept].sort_values(["p_value", "nats"], ascending=[True, False], ignore_index=True)

    @own_settings()
    def path_to_normal(
        self,
        X: Any,
        fixed: Iterable[str] = (),
        costs: Mapping[str, float] | None = None,
        max_changes: int = 5,
    ) -> PathToNormal:
        """Which cells of anomalous rows to change, in which order, until the rows are normal.

        In each step every cell that may change is replaced, one at a time, by what is expected there given the row's
        other cells, suspicious ones hidden; the change by which `anomaly_score` falls most, for its cost, is made.  A
        path ends below the threshold, after `max_changes`, or where no change saves 0.05 nats, and then the row stays
        anomalous.  Missing cells, constant columns, those that were set aside and dates without their place in time
        stay as they are.  Each change is the best one after those before, which need not be the fewest changes in all.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data. A row takes a pass for each column and step, so best the
            anomalous ones.
        fixed : iterable of str, default=()
            Columns that cannot change.
        costs : mapping of str to float, optional
            What a change of a column costs, above 0; 1 for those that are not named.
        max_changes : int, default=5
            Per row. In a step the 32 most anomalous cells of a row are tried.

        Returns
        -------
        PathToNormal

        Raises
        ------
        SpecificationError
            If a column is not known, a cost is not a number above 0, or `max_changes` is not a whole number above 0.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(300, 2)) @ [[1.0, 0.9], [0.0, 0.2]]
        >>> path = VAEDetector(max_iter=200, early_stopping=False).fit(X).path_to_normal([[0.0, 5.0], [0.0, 0.0]])
        >>> path.frame()[["row", "step", "column", "is_normal"]].to_numpy().tolist()
        [[0, 1, 'x1', True]]
        """
        table, model = self._read_cells(X, with_p_values=False)
        names = [column.name for column in model.table_encoder.columns]
        kept = frozenset({fixed} if isinstance(fixed, str) else fixed)
        priced = dict(costs or {})
        _check_known("fixed", kept, names)
        _check_known("costs", priced, names)
        for name, cost in priced.items():
            if isinstance(cost, bool) or not (isinstance(cost, Real) and 0 < float(cost) < math.inf):
                raise SpecificationError(f"costs[{name!r}] is {cost!r}; expected a number above 0. See fixed, too.")
        if isinstance(max_changes, bool) or not (isinstance(max_changes, Integral) and int(max_changes) > 0):
            raise SpecificationError(f"max_changes is a whole number above 0, not {max_changes!r}")
        may_change = np.array([name not in kept for name in names])
        cost_of = np.array([float(priced.get(name, 1.0)) for name in names])
        cells = as_cells(aligned(self, X)[0])
        scores = self.anomaly_score(cells)
        changes: list[tuple[Change, ...]] = [()] * len(scores)
        anomalous = np.flatnonzero(scores > -self.offset_)
        for begin in range(0, len(anomalous), MAX_ROWS_AT_ONCE):
            rows = anomalous[begin : begin + MAX_ROWS_AT_ONCE]
            found = self._paths(_taken(cells, rows), table.take(rows), scores[rows], may_change, cost_of, max_changes)
            for row, of_row in zip(rows.tolist(), found, strict=True):
                changes[row] = tuple(of_row)
        index = row_labels(X, table.n_rows)
        return PathToNormal(pd.Series(scores, index=index), float(-self.offset_), tuple(changes))

    def _paths(
        self, cells: Any, table: Table, scores: FloatArray, may_change: BoolArray, cost_of: FloatArray, max_changes: int
    ) -> list[list[Change]]:
        """The changes of anomalous rows."""
        model, threshold = self._with_reference(), -self.offset_
        names = [column.name for column in model.table_encoder.columns]
        observed = [table.objects(position) for position in range(len(names))]
        changed = np.zeros((len(scores), len(names)), dtype=bool)
        paths: list[list[Change]] = [[] for _ in scores]
        # Those that are still on their way; `cells` and `scores` are theirs.
        rows = np.arange(len(scores))
        for _ in range(max_changes):
            present = read_table(self, cells, fitting=False)
            batch = model.encoder.encode(present)
            proposed, usable, anomalous = expected_of_each(model, batch, changed[rows])
            usable &= may_change & ~changed[rows] & ~np.isnan(anomalous)
            ranks = np.where(usable, anomalous, -np.inf).argsort(1, kind="stable").argsort(1, kind="stable")
            tried, positions = np.nonzero(usable & (ranks >= len(names) - MAX_TRIED))
            after = np.full(usable.shape, np.inf)
            written = present.as_text_again(proposed)
            after[tried, positions] = self._scores_changed(cells, written, tried, positions)
            saved = scores[:, None] - after
            best = np.where(saved >= MIN_NATS_SAVED, saved / cost_of, -np.inf).argmax(1)
            scores = after[np.arange(len(best)), best]
            going = np.flatnonzero(saved[np.arange(len(best)), best] >= MIN_NATS_SAVED)
            for place, position in zip(going.tolist(), best[going].tolist(), strict=True):
                row, score, nats = int(rows[place]), float(scores[place]), float(saved[place, position])
                ends = observed[position][row], proposed[position][place]
                paths[row].append(Change(names[position], *ends, nats, score, score <= threshold))
            chosen = np.zeros(usable.shape, dtype=bool)
            chosen[going, best[going]] = True
            changed[rows] |= chosen
            still = going[scores[going] > threshold]
            if not len(still):
                break
            cells, rows, scores = _taken(fill_cells(cells, chosen, written), still), rows[still], scores[still]
        return paths

    def _scores_changed(
        self, cells: Any, written: Columns, rows: npt.NDArray[np.intp], positions: npt.NDArray[np.intp]
    ) -> FloatArray:
        """`anomaly_score` of rows with one cell changed each."""
        found = []
        for begin in range(0, len(rows), MAX_ROWS_AT_ONCE * MAX_TRIED):
            own = slice(begin, begin + MAX_ROWS_AT_ONCE * MAX_TRIED)
            chosen = np.zeros((len(rows[own]), len(written)), dtype=bool)
            chosen[np.arange(len(chosen)), positions[own]] = True
            changed = fill_cells(_taken(cells, rows[own]), chosen, [values[rows[own]] for values in written])
            found.append(self.anomaly_score(changed))
        return np.concatenate([np.empty(0), *found])

    def _check_takes_tables(self) -> None:
        if self.model_.takes_images:
            raise NotAvailable("the model takes images, whose pixels are not repaired one by one; see explain.")

    def _read_cells(self, X: Any, *, with_p_values: bool = True) -> tuple[Table, FittedModel[Encoder]]:
        """Rows as a table, and the model with what their cells are compared with."""
        check_is_fitted(self)
        self._check_takes_tables()
        return read_table(self, X, fitting=False), self._with_reference(cells=with_p_values)


def _proposed(model: FittedModel[Encoder], batch: Batch, fdr: float) -> tuple[FloatArray, BoolArray]:
    """p-values of cells, and which look wrong; says where so few cells could not."""
    p_values = p_values_of_cells(model, batch, by_column=False)
    wrong = wrong_cells(model, p_values, fdr)
    n_needed = cells_needed(model, p_values, fdr)
    if not wrong.any() and n_needed > MANY_CELLS:
        warnings.warn(
            DataWarning(
                f"no cell looks wrong at fdr={fdr:g}, but of so many cells that takes {n_needed:,} that are more "
                "anomalous than every calibration cell. Give fewer rows, a larger fdr, or more rows to fit."
            ),
            stacklevel=callers_level(),
        )
    return p_values, wrong


def _checked_share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not (isinstance(value, Real) and 0 < float(value) < 1):
        raise SpecificationError(f"{name} is between 0 and 1, not {value!r}")
    return float(value)


def _check_known(parameter: str, given: Iterable[str], names: list[str]) -> None:
    """Refuse a name that no column of the model has."""
    for name in given:
        if name not in names:
            shown = ", ".join(names[:MAX_NAMES_SHOWN]) + (", ..." if len(names) > MAX_NAMES_SHOWN else "")
            raise SpecificationError(f"{parameter} names {name!r}, which is no column of the model. It has {shown}.")


def _taken(cells: Any, rows: npt.NDArray[np.intp]) -> Any:
    """Some rows of a DataFrame or an array."""
    return cells.iloc[rows] if isinstance(cells, pd.DataFrame) else cells[rows]


def _objects(values: list[Any]) -> npt.NDArray[np.object_]:
    """Values of any kind as an array of them."""
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects
