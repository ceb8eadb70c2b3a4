"""How the rows of an input differ from those of the training, column by column, and a word on it."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.flagging import DRIFT, Decision, Unlike, unlike_calibration
from vae_anomaly_cli.models import Model, library_errors
from vae_anomaly_cli.render.drawings import percent
from vae_anomaly_cli.render.drifts import describe_drift
from vae_anomaly_cli.table_model import TableModel

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column
    from vae_anomaly.decisions import ColumnSample, ColumnShift
    from vae_anomaly_cli.tally import Tally

# Chance of a false alarm of all tests of the columns together.
ALPHA = 0.01
# What is too small to be said, significant or not: shares of cells.
MIN_MISSING, MIN_NEW, MIN_LEVEL = 0.02, 0.01, 0.25
# Of columns that explain a score, and of those besides that differ.
MAX_NAMED = 3
MIN_NATS, MIN_SHARE_OF_NATS = 0.5, 0.1
# A run in which so many rows are flagged, of at least so many, tells nothing apart.
NEARLY_ALL, MIN_ROWS = 0.9, 10
QUARTILES = (0.25, 0.75)
# Stands for all levels of a part of a date that training had.
KNOWN = "(known)"


@dataclass(frozen=True)
class Difference:
    """One way in which a column differs from what it was in training.

    Attributes
    ----------
    column : str
        Its name; that of a part of a date has the part behind it.
    what : str
        "missing" (share of missing cells), "unseen" (levels that training did not have), "below" and "above" (values
        beyond those of the training rows), "values" (median), "levels" (share of a level).
    before, now : float
        In training and in this input: shares, or medians in the column's unit.
    level : str or None
        The level that is meant, or the value that others lie beyond.
    p_adjusted : float
        p-value, adjusted for the number of tests.
    is_large : bool
        Whether it is large enough to be told.
    text : str
        What is different, in a few words.
    """

    column: str
    what: str
    before: float
    now: float
    level: str | None
    p_adjusted: float
    is_large: bool
    text: str

    @property
    def is_told(self) -> bool:
        """Whether it is no chance, and large enough."""
        return self.is_large and self.p_adjusted <= ALPHA

    def describe(self) -> dict[str, Any]:
        """Say it for programs."""
        return {
            "column": self.column,
            "what": self.what,
            "before": self.before,
            "now": self.now,
            "level": self.level,
            "p_adjusted": self.p_adjusted,
            "unusual": self.is_told,
            "sentence": self.text,
        }


@dataclass(frozen=True)
class TrainingCheck:
    """What was found.

    Attributes
    ----------
    lines : tuple of str
        What a person should know, the most useful first; none where nothing is unusual.
    summary : dict
        The same and more for programs.
    drift : object or None
        What `check_drift` found, where it was asked for.
    """

    lines: tuple[str, ...]
    summary: dict[str, Any]
    drift: Any = None

    @property
    def drifted(self) -> bool:
        """Whether `check_drift` was asked for, and gives an alarm."""
        return self.drift is not None and bool(self.drift.drifted)

    def warn(self, messages: Messages) -> None:
        """Say it."""
        for line in self.lines:
            messages.warning(line)
        if self.drifted:
            messages.warning(self.drift.sentence())


def check_against_training(
    model: Model, decision: Decision, tally: "Tally", messages: Messages, *, with_drift: bool = False
) -> TrainingCheck:
    """Compare what was scored with the rows that the model was trained on, and calibrated with.

    Parameters
    ----------
    model : Model
        Scored them.
    decision : Decision
        Flagged them.
    tally : Tally
        Counted them, and kept a sample.
    messages : Messages
        Shows the library's warnings.
    with_drift : bool
        Whether to judge the sample as ``vae-anomaly drift`` does.
    """
    frame = None if tally.sample is None else _usable_frame(model, tally.sample.rows_and_cells()[1])
    found = unlike_calibration(
        decision, model.detector.decisions_.calibration, tally.family, tally.n_flagged, model.noun
    )
    differences: list[Difference] = []
    drift = None
    nats: pd.DataFrame | None = None
    if frame is not None and len(frame):
        with messages.library_warnings(), library_errors(model.source.name):
            detector = model.detector
            now = detector.column_samples(frame)
            parts = parts_of_dates(detector.columns_, detector.decisions_.columns, frame)
            differences = differences_of(
                detector.columns_, [*detector.decisions_.columns, *parts[0]], [*now, *parts[1]]
            )
            if found is not None:
                nats = detector.nats_by_column(frame)
            if with_drift:
                drift = detector.check_drift(frame, ALPHA)
    named = {} if found is None else _explaining(differences, nats)
    expected = decision.threshold.expected_rate if decision.selection is None else None
    lines = lines_of_flags(found, list(named.values()), tally, expected, model.noun)
    rest = [each for each in differences if each.is_told and _column_of(each) not in named]
    if rest:
        lines.append(_unlike_training(rest, " besides" if named else ""))
    summary = {
        "unusual": bool(lines),
        "sentences": lines,
        "flagged_share": tally.n_flagged / tally.n_scored if tally.n_scored else None,
        "expected_share": expected,
        "compared_rows": 0 if frame is None else len(frame),
        "columns": [difference.describe() for difference in differences],
        "nats": [] if nats is None else _nats(nats),
    }
    if drift is not None:
        summary["drift"] = describe_drift(drift)
    return TrainingCheck(tuple(lines), summary, drift)


def differences_of(
    columns: "Sequence[Column]", before: "Sequence[ColumnSample]", now: "Sequence[ColumnSample]"
) -> list[Difference]:
    """Compare what columns hold with what they held in training; what is the least like chance comes first.

    Parameters
    ----------
    columns : sequence of Column
        Of the model.
    before, now : sequence of ColumnSample
        Of the training rows, and of the input.
    """
    from vae_anomaly.decisions import columns_moved, holm

    known = {column.name: column for column in columns}
    old, new = ({sample.name: sample for sample in samples} for samples in (before, now))
    found = [
        _of_shift(shift, known.get(shift.column), old[shift.column], new[shift.column])
        for shift in columns_moved(before, now)
    ]
    for name, sample in new.items():
        if sample.kind == "values" and sample.values.n and name in old and old[name].values.n:
            found += _beyond(old[name], sample)
    adjusted = holm([p_value for p_value, _ in found]).tolist() if found else []
    differences = [
        Difference(part.column, part.what, part.before, part.now, part.level, p_value, part.is_large, part.text)
        for (_, part), p_value in zip(found, adjusted, strict=True)
    ]
    return sorted(differences, key=lambda difference: (not difference.is_told, difference.p_adjusted))


def parts_of_dates(
    columns: "Sequence[Column]", before: "Sequence[ColumnSample]", frame: "pd.DataFrame"
) -> "tuple[list[ColumnSample], list[ColumnSample]]":
    """Hours, weekdays, days and months that a model knows, and those of rows.

    Parameters
    ----------
    columns : sequence of Column
        Of the model.
    before : sequence of ColumnSample
        Of the training rows: how many dates there are.
    frame : DataFrame
        What the detector sees of the rows.

    Returns
    -------
    list of ColumnSample, list of ColumnSample
        In training, where all known levels are one, and now, where unknown ones stand beside that one.
    """
    from vae_anomaly.columns import PERIODS, read_text
    from vae_anomaly.data import Table
    from vae_anomaly.decisions import ColumnSample

    n_dates = {sample.name: sample.n_rows - sample.n_missing for sample in before}
    old, new = [], []
    for column in columns:
        parts = [part for part in column.parts if part.kind in PERIODS and n_dates.get(column.name)]
        if not parts:
            continue
        cells = read_text(Table((column.name,), frame[[column.name]].reset_index(drop=True)), [column])
        for part in parts:
            names = PERIODS[part.kind]
            codes = dataclasses.replace(part, levels=names).encode(cells, 0)
            known = set(map(str, part.levels))
            levels = [names[int(code)] if code == code else None for code in codes.tolist()]
            levels = [KNOWN if level in known else level for level in levels]
            name = f"{column.name} ({part.kind})"
            old.append(ColumnSample(name, "levels", n_dates[column.name], 0, levels={KNOWN: n_dates[column.name]}))
            new.append(ColumnSample.of_levels(name, levels))
    # What is missing is said of the column.
    return old, [dataclasses.replace(sample, n_missing=0) for sample in new]


def _of_shift(
    shift: "ColumnShift", column: "Column | None", old: "ColumnSample", new: "ColumnSample"
) -> tuple[float, Difference]:
    """Put a test of a column in words."""
    name = f"'{shift.column}'"
    level = shift.level if shift.what == "levels" else None
    what, before, now, is_large = str(shift.what), shift.before, shift.now, False
    if shift.what == "missing":
        is_large = abs(now - before) >= MIN_MISSING
        text = f"{name} is missing in {percent(now)} of the rows (training {percent(before)})"
    elif shift.what == "values":
        low, high = (old.values.quantile(share) for share in QUARTILES)
        is_large = not low <= now <= high
        text = f"the median of {name} is {now:.6g} (training {before:.6g})"
    else:
        unseen = _unseen(column, old, new)
        share = sum(unseen.values()) / max(sum(new.levels.values()), 1)
        if share >= MIN_NEW:
            what, before, now, level, is_large = "unseen", 0.0, share, max(unseen, key=lambda key: unseen[key]), True
            others = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
            text = f"{name} is {_quoted(level)}{others} in {percent(share)} of the rows, never in training"
            if len(old.levels) == 1 and KNOWN not in old.levels:
                (only,) = old.levels
                text = (
                    f"{name} is always {_quoted(only)} in training, {_quoted(level)}{others} in {percent(share)} here"
                )
        else:
            is_large = abs(now - before) >= MIN_LEVEL
            text = f"{name} is {_quoted(str(level))} in {percent(now)} of the rows (training {percent(before)})"
    return shift.p_value, Difference(shift.column, what, before, now, level, 1.0, is_large, text)


def _beyond(old: "ColumnSample", new: "ColumnSample") -> list[tuple[float, Difference]]:
    """Values below the lowest and above the highest one of the training rows that are kept."""
    from vae_anomaly.decisions import alerts_moved

    low, high = float(old.values.values[0]), float(old.values.values[-1])
    n_below = int(new.values.counts[new.values.values < low].sum())
    n_above = int(new.values.counts[new.values.values > high].sum())
    found = []
    for what, n_beyond, edge in (("below", n_below, low), ("above", n_above, high)):
        share = n_beyond / new.values.n
        # The chance that so many lie beyond the outermost of so many others.
        p_value = alerts_moved(n_beyond, new.values.n, 1, old.values.n).p_value if n_beyond else 1.0
        text = f"'{new.name}' is {what} {edge:.6g} in {percent(share)} of the rows, and hardly ever in training"
        part = Difference(new.name, what, 1 / (old.values.n + 1), share, f"{edge:.6g}", 1.0, share >= MIN_NEW, text)
        found.append((p_value, part))
    return found


def _unseen(column: "Column | None", old: "ColumnSample", new: "ColumnSample") -> dict[str, int]:
    """Levels that training did not have, and in how many rows they are; the sample of the training has not all."""
    levels = list(new.levels)
    unseen = [level for level, name in zip(levels, old.names_of(levels), strict=True) if name not in old.levels]
    if column is not None and column.textual:
        unseen = [level for level in unseen if not column.is_known(level)]
    elif column is not None:
        known = {str(level) for level in column.levels}
        known |= {str(level != 0) if column.boolean else _whole(level) for level in column.levels}
        unseen = [level for level in unseen if level not in known]
    return {level: new.levels[level] for level in unseen}


def _whole(level: Any) -> str:
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)


class Counted(Protocol):
    """Counts of a run: see `Pipeline`."""

    n_scored: int
    n_flagged: int
    lowest: float
    highest: float


def lines_of_flags(
    found: Unlike | None, named: list[str], run: Counted, expected: float | None, noun: str
) -> list[str]:
    """Say that too much is flagged, and what explains it, or that a run tells no rows apart.

    Parameters
    ----------
    found : Unlike or None
        What is unusual about flags and p-values.
    named : list of str
        The columns that explain it.
    run : Counted
        How many rows were scored and flagged, and their lowest and highest score.
    expected : float or None
        Share of normal rows that is flagged; None where it is not known.
    noun : str
        What a row is.
    """
    lines = []
    n_rows, n_flagged = run.n_scored, run.n_flagged
    nearly_all = n_rows >= MIN_ROWS and n_flagged >= NEARLY_ALL * n_rows and (expected or 0.0) < NEARLY_ALL / 2
    every = f"{'every' if n_flagged == n_rows else 'nearly every'} {noun} is flagged"
    if found is not None:
        why = "; ".join(named) if named else found.guess
        lines.append(f"{f'{every}: ' if nearly_all else ''}{found.fact}: {why}. {DRIFT}.")
    elif nearly_all:
        lines.append(f"{every}: {n_flagged:,} of {counted(n_rows, noun)}.")
    if n_rows >= MIN_ROWS and run.lowest == run.highest:
        lines.append(f"all {counted(n_rows, noun)} have the same score: nothing tells them apart.")
    return lines


def _explaining(differences: list[Difference], nats: "pd.DataFrame | None") -> dict[str, str]:
    """What makes the rows more anomalous than those of the training, by column, the one with the most nats first."""
    if nats is None:
        told = [each for each in differences if each.is_told]
        return {_column_of(each): each.text for each in reversed(told[:MAX_NAMED])}
    excess = (nats["nats_now"] - nats["nats_before"]).sort_values(ascending=False)
    excess = excess[excess >= max(MIN_NATS, MIN_SHARE_OF_NATS * float(excess.clip(lower=0).sum()))]
    named = {}
    for name, more in list(excess.items())[:MAX_NAMED]:
        own = [each for each in differences if _column_of(each) == name and each.p_adjusted <= ALPHA]
        own = [each for each in own if each.is_told] or own
        size = f"{more:+.1f} nats a row"
        named[str(name)] = f"{own[0].text} ({size})" if own else f"'{name}' ({size})"
    return named


def _column_of(difference: Difference) -> str:
    """The column of a part of a date."""
    return difference.column.rpartition(" (")[0] or difference.column


def _unlike_training(told: list[Difference], besides: str) -> str:
    shown = "; ".join(difference.text for difference in told[:MAX_NAMED])
    more = len(told) - MAX_NAMED
    return f"unlike training{besides}: {shown}{f'; and {more} more' if more > 0 else ''}. {DRIFT}."


def _usable_frame(model: Model, cells: pa.Table) -> "pd.DataFrame":
    """What the detector sees of the rows of a sample that it can score."""
    assert isinstance(model, TableModel)
    return model.features_of(cells).usable


def _quoted(level: str) -> str:
    return f"'{level}'"


def _nats(nats: "pd.DataFrame") -> list[dict[str, Any]]:
    """Mean nats by column for programs, the column that has more by the most first."""
    lines = zip(map(str, nats.index), nats["nats_before"].tolist(), nats["nats_now"].tolist(), strict=True)
    found = sorted(lines, key=lambda line: line[1] - line[2])
    return [{"column": name, "nats_before": _finite(before), "nats_now": _finite(now)} for name, before, now in found]


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
