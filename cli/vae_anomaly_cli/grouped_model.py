"""Models of tables of which each group of rows has its own: fitted together, and rows led to theirs."""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.arrow_rows import RowFeatures, as_series, scoring_features
from vae_anomaly.batches import RowScores
from vae_anomaly_cli.columns import InputColumns, baseline_for_training
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.features import training_frame
from vae_anomaly_cli.group_sample import GroupTables, sample_groups
from vae_anomaly_cli.known_anomalies import KnownAnomalies
from vae_anomaly_cli.models import Unusable, library_errors, open_groups
from vae_anomaly_cli.options import Device, FitOptions, GroupOptions
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.sources import Location, RowBatch, TableSource
from vae_anomaly_cli.stores import place_of
from vae_anomaly_cli.table_model import SAMPLE_ROWS, new_detector
from vae_anomaly_cli.tables import Table

if TYPE_CHECKING:
    from vae_anomaly import GroupedDetector, VAEDetector

MAX_NAMED = 20


@dataclass(frozen=True)
class GroupedFit:
    """What a fit of many models came to.

    Attributes
    ----------
    detector : GroupedDetector
        Fitted.
    report : str
        What was done, in a line.
    summary : dict
        The same for programs.
    """

    detector: "GroupedDetector"
    report: str
    summary: dict[str, Any]


def fit_groups(
    source: TableSource,
    columns: InputColumns,
    fitting: FitOptions,
    grouping: GroupOptions,
    device: Device,
    messages: Messages,
    known: KnownAnomalies | None = None,
) -> GroupedFit:
    """Fit a model to rows of each group, and one to rows of all.

    Parameters
    ----------
    source : TableSource
        The table.
    columns : InputColumns
        Which of its columns are features.
    fitting : FitOptions
        What the user said of each fit.
    grouping : GroupOptions
        What the groups are.
    device : Device
        Where the arithmetic runs.
    messages : Messages
        Shows progress and warnings.
    known : KnownAnomalies, optional
        Rows to leave out.

    Raises
    ------
    InputError
        If there is no such column, or no other.
    CommandError
        If no group got a model.
    """
    from vae_anomaly import GroupedDetector

    by = grouping.by
    assert by is not None
    names = _features(columns, by, messages)
    declared = columns.declared_for_training(fitting.column, fitting.calibration_groups)
    baseline = baseline_for_training(columns, fitting.baseline_by, fitting.baseline_time)
    estimator = new_detector(
        fitting, declared, device, missing_values=columns.missing_values(fitting.missing_values), baseline=baseline
    )
    n_jobs = -1 if grouping.n_jobs is None else grouping.n_jobs
    detector = GroupedDetector(estimator, by, n_jobs=n_jobs, verbose=messages.progress)
    if grouping.min_rows is not None:
        detector.set_params(min_rows=grouping.min_rows)
    n_rows = fitting.sample_rows or SAMPLE_ROWS
    with progress_bar(source.size, "reading", "row", messages) as done:
        drawn = sample_groups(
            source,
            names,
            by,
            detector.min_rows,
            n_rows,
            fitting.random_state or 0,
            done,
        )
    start = time.perf_counter()

    def frame(table: Table) -> Any:
        rows = table if known is None else table.without(known.among(table.cells, names))
        return training_frame(rows, names, declared, fitting.calibration_groups, forced=fitting.reads_text)

    def frames() -> Iterator[tuple[str, Any]]:
        for name, table in drawn.groups.items():
            try:
                yield name, frame(table)
            except InputError as error:
                yield name, ValueError(str(error))

    with library_errors(source.name, drawn.pooled.locate), messages.library_warnings(locate=drawn.pooled.locate):
        detector.fit_sampled(frame(drawn.pooled), frames(), drawn.n_rows)
    if not detector.n_groups_:
        raise CommandError(_none(source.name, by, drawn, detector))
    detector.column_roles_ = columns.roles
    seconds = time.perf_counter() - start
    return GroupedFit(
        detector, _report(source.name, drawn, detector, seconds), _summary(source, drawn, detector, seconds)
    )


@dataclass(frozen=True)
class GroupFeatures:
    """What the models of a batch see of its rows.

    Attributes
    ----------
    parts : list of (str or None, ndarray, RowFeatures)
        The group whose model judges them, None for the pooled one, which rows of the batch, and their features.
    problems : mapping of int to str
        Why rows of the batch, from 0, cannot be scored.
    n_rows : int
        Of the batch.
    """

    parts: list[tuple[str | None, npt.NDArray[np.intp], RowFeatures]]
    problems: Mapping[int, str]
    n_rows: int

    @property
    def rows(self) -> npt.NDArray[np.intp]:
        """The rows that can be scored, from 0."""
        usable = np.ones(self.n_rows, dtype=bool)
        usable[list(self.problems)] = False
        return np.flatnonzero(usable)

    @property
    def usable(self) -> Any:
        """Nothing: each model sees features of its own."""
        return None


@dataclass
class Led:
    """Which models judged the rows so far.

    Attributes
    ----------
    n_rows, n_pooled, n_unnamed : int
        Rows; those that the pooled model judged; those of them without a group.
    groups : set of str
        Whose models were used.
    unknown : dict of str to int
        Groups without a model, the first ones, and their rows.
    """

    n_rows: int = 0
    n_pooled: int = 0
    n_unnamed: int = 0
    groups: set[str] = field(default_factory=set)
    unknown: dict[str, int] = field(default_factory=dict)
    has_more: bool = False

    def add(self, names: npt.NDArray[np.object_], judging: npt.NDArray[np.object_]) -> None:
        """Count rows."""
        import pandas as pd

        is_pooled = pd.isna(judging)
        self.n_rows += len(names)
        self.n_pooled += int(is_pooled.sum())
        self.n_unnamed += int(pd.isna(names).sum())
        self.groups.update(pd.unique(judging[~is_pooled]))
        for name, count in pd.Series(names[is_pooled]).value_counts(sort=False).items():
            if name in self.unknown or len(self.unknown) < MAX_NAMED:
                self.unknown[str(name)] = self.unknown.get(str(name), 0) + int(count)
            else:
                self.has_more = True

    def warning(self, by: str) -> str | None:
        """Say which rows the pooled model judged, if any."""
        if not self.n_pooled:
            return None
        of = []
        if self.unknown:
            first = ", ".join(f"'{name}'" for name in list(self.unknown)[:5])
            more = " and others" if len(self.unknown) > 5 else ""
            of.append(f"groups without a model of their own ({first}{more})")
        if self.n_unnamed:
            of.append(f"{self.n_unnamed:,} without a value in '{by}'")
        return (
            f"{self.n_pooled:,} of {counted(self.n_rows, 'row')} judged by the pooled model, which promises nothing of "
            f"groups that it has not seen: {', '.join(of)}."
        )

    def describe(self) -> dict[str, Any]:
        """Say it for programs."""
        return {
            "rows_by_group": self.n_rows - self.n_pooled,
            "rows_pooled": self.n_pooled,
            "rows_without_group": self.n_unnamed,
            "groups_used": len(self.groups),
            "unknown_groups": [{"group": name, "rows": rows} for name, rows in self.unknown.items()],
            "more_unknown_groups": self.has_more,
        }


@dataclass(frozen=True)
class GroupedModel:
    """A detector of groups and the table that it scores; see `models.Model`.

    Attributes
    ----------
    source : TableSource
        The table.
    groups : GroupedDetector
        Fitted.
    given : mapping of str to str
        Columns of the input that models see, by their names there.
    by : str
        The column of the groups, in the input.
    report : str
        How it was loaded, in a line.
    led : Led
        Which models judged the rows so far.
    """

    source: TableSource
    groups: "GroupedDetector"
    given: Mapping[str, str]
    by: str
    report: str
    led: Led = field(default_factory=Led)
    fit_seconds: float | None = None
    left_out: Unusable = field(default_factory=Unusable)
    noun: str = "row"
    n_rows: int | None = None

    @property
    def names(self) -> list[str]:
        """Columns of the input that are read."""
        return list(dict.fromkeys([*self.given.values(), self.by]))

    @property
    def detector(self) -> "VAEDetector":
        """The pooled model."""
        return self.groups.pooled_

    @property
    def threshold(self) -> float:
        """That of the pooled model; each group has its own."""
        return self.detector.threshold_.score

    def batches(self, names: list[str]) -> Iterator[RowBatch]:
        """Read some columns."""
        return self.source.batches(names)

    def features(self, batch: RowBatch) -> GroupFeatures:
        """Return what the models see of a batch."""
        from vae_anomaly.detectors import KnownGroups, group_names, rows_by_group

        cells = batch.cells
        names = group_names(as_series(self.source.cell_reader.cells_of_groups(cells[self.by])))
        judging = KnownGroups(self.groups.models_.keys()).judging(names)
        self.led.add(names, judging)
        parts: list[tuple[str | None, npt.NDArray[np.intp], RowFeatures]] = []
        problems: dict[int, str] = {}
        for name, places in rows_by_group(judging).items():
            found = self._features_of(name, cells.take(pa.array(places)))
            parts.append((name, places, found))
            problems |= {int(places[row]): problem for row, problem in found.problems.items()}
        return GroupFeatures(parts, dict(sorted(problems.items())), cells.num_rows)

    def features_again(self, cells: pa.Table, rows: npt.NDArray[np.int64]) -> GroupFeatures:
        """Not asked for: ranked rows are not explained."""
        raise NotImplementedError

    def score(self, batch: RowBatch, features: GroupFeatures, start: int) -> RowScores:
        """Score the rows of a batch, each by the model of its group; NaN where one has a problem."""
        n_rows = batch.n_rows
        scores, p_values, margins = (np.full(n_rows, np.nan) for _ in range(3))
        judged_by = np.full(n_rows, None, dtype=object)
        for name, places, found in features.parts:
            rows = found.rows
            if not len(rows):
                continue
            model = self._model(name)
            where = places[rows]
            with library_errors(self.source.name, partial(self._locate, batch, where)):
                judged = RowScores.by(model, found.usable)
            scores[where], p_values[where] = judged.scores, judged.p_values
            margins[where] = judged.scores - model.threshold_.score
            judged_by[where] = "pooled" if name is None else "group"
        return RowScores(scores, p_values, None, margins, judged_by).take(slice(start, None))

    def rank_among_fitted(self, messages: Messages) -> None:
        """Nothing: it was fitted on other rows."""

    def values(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the cells of a column with their types."""
        return self.source.cell_reader.values(cells)

    def summary(self, n_rows: int, n_unusable: int) -> dict[str, Any]:
        """Describe table and detector for --json."""
        return {
            "input": self.source.name,
            "rows": n_rows,
            "rows_scored": n_rows - n_unusable,
            "unusable": n_unusable,
            "by": self.groups.by_,
            "groups": self.groups.n_groups_,
            **self.led.describe(),
        }

    def fit_summary(self) -> dict[str, Any]:
        """Describe table and detector for --json."""
        return self.summary(0, 0)

    def _locate(self, batch: RowBatch, where: npt.NDArray[np.intp], row: int) -> Location:
        return self.source.locate(*batch.position(int(where[row])))

    def _model(self, name: str | None) -> "VAEDetector":
        with library_errors(self.source.name):
            return self.groups.pooled_ if name is None else self.groups.models_[name]

    def _features_of(self, name: str | None, cells: pa.RecordBatch) -> RowFeatures:
        model = self._model(name)
        needed = {column.name for column in model.columns_ if column.is_used} | {*model.baseline_columns_}
        lacking = sorted(needed - self.given.keys())
        if lacking:
            raise InputError(
                f"{self.source.name} lacks column '{lacking[0]}', which the model of group '{name}' uses. Add what is "
                "missing (empty cells do)."
            )
        return scoring_features(
            cells,
            model.columns_,
            self.source.cell_reader,
            model.calibration_groups,
            self.given,
            compared_by=model.baseline_columns_,
        )


class GroupDecision:
    """Flags rows above the threshold of the model that judged them."""

    def flags(self, judged: RowScores) -> npt.NDArray[np.bool_]:
        """Which rows are flagged; none that has no score."""
        assert judged.margins is not None
        return judged.margins > 0


def load_grouped_model(
    source: TableSource, columns: InputColumns, model: str, device: Device, messages: Messages
) -> GroupedModel:
    """Load a file with a model for each group, to work on a table.

    Raises
    ------
    InputError
        If the table lacks a column that is needed.
    """
    from vae_anomaly.data import match_names

    with messages.library_warnings():
        groups = open_groups(model, device)
    by = match_names([groups.by_], columns.names).get(groups.by_)
    if by is None:
        raise InputError(
            f"{source.name} lacks column '{groups.by_}', which says which group's model judges a row. Add it; rows "
            "whose cell is empty there are judged by the pooled model."
        )
    others = dataclasses.replace(columns, remembered=(*columns.remembered, by))
    pooled = groups.pooled_
    given = dict(others.for_scoring(pooled.columns_, messages, pooled.calibration_groups, pooled.baseline_columns_))
    names = getattr(groups, "feature_names_in_", [f"x{index}" for index in range(groups.n_features_in_)])
    # What the pooled model set aside may be modelled in a group.
    free = [name for name in columns.names if name not in others.remembered]
    given |= {name: there for name, there in match_names(names, free).items() if name not in given}
    return GroupedModel(source, groups, given, by, f"scored {source.name} with {place_of(model)}")


def _features(columns: InputColumns, by: str, messages: Messages) -> list[str]:
    """Columns to fit on: all but that of the groups."""
    if by not in columns.names:
        raise InputError(f"--by {by}: {columns.source} has no such column.")
    if by in columns.label_names:
        raise InputError(f"--by {by}: --label says that it holds known anomalies; leave one of them out.")
    if by in columns.of_earlier_run:
        raise InputError(f"--by {by}: the column is of an earlier run of score; name another.")
    names = [name for name in columns.for_training(messages) if name != by]
    if not names:
        raise InputError(f"--by {by}: {columns.source} has no other column to learn from.")
    return names


def _left_out(drawn: GroupTables, detector: "GroupedDetector") -> tuple[list[str], dict[str, str]]:
    """Groups with too few rows, and those whose fit failed."""
    failed = detector.failures_
    return [name for name in drawn.n_rows if name not in detector.models_ and name not in failed], failed


def _none(source: str, by: str, drawn: GroupTables, detector: "GroupedDetector") -> str:
    """Say that no group got a model."""
    small, failed = _left_out(drawn, detector)
    if not drawn.n_rows:
        return f"{source}: column '{by}' holds no value; expected the names of groups. Fit without --by."
    if failed:
        name, why = next(iter(failed.items()))
        return f"{source}: none of {len(drawn.n_rows):,} groups of '{by}' could be fitted; the first, '{name}': {why}"
    return (
        f"{source}: none of {counted(len(small), 'group')} of '{by}' has {detector.min_rows:,} rows, which a model of "
        f"its own takes; the largest has {max(drawn.n_rows.values()):,}. Give --min-rows, a column with fewer values, "
        f"or compare rows within their groups in one model: --baseline-by {by}."
    )


def _report(source: str, drawn: GroupTables, detector: "GroupedDetector", seconds: float) -> str:
    small, failed = _left_out(drawn, detector)
    n_groups = len(drawn.n_rows)
    said = f"fitted on {source}: {detector.n_groups_:,} of {counted(n_groups, 'group')} of '{detector.by_}'"
    if small or failed:
        said += f" ({len(small):,} too small, {len(failed):,} failed: judged by the pooled model)"
    return f"{said}, {counted(drawn.pooled.n_input_rows, 'row')}, {seconds:.1f} s"


def _summary(source: TableSource, drawn: GroupTables, detector: "GroupedDetector", seconds: float) -> dict[str, Any]:
    small, failed = _left_out(drawn, detector)
    return {
        "input": source.name,
        "rows": drawn.pooled.n_input_rows,
        "by": detector.by_,
        "min_rows": detector.min_rows,
        "groups": len(drawn.n_rows),
        "fitted": detector.n_groups_,
        "rows_without_group": drawn.n_unnamed,
        "too_small": [{"group": name, "rows": drawn.n_rows[name]} for name in small],
        "failed": [{"group": name, "rows": drawn.n_rows[name], "reason": why} for name, why in failed.items()],
        "pooled_rows": drawn.pooled.n_rows,
        "fit_seconds": round(seconds, 3),
    }
