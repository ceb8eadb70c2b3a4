"""From batches of scored rows to a report: what is kept on the way is bounded, but for the scores."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.columns import Column
from vae_anomaly.data import FloatArray
from vae_anomaly.decisions import (
    ColumnSample,
    ColumnShift,
    Selection,
    Threshold,
    alerts_moved,
    columns_moved,
    holm,
)
from vae_anomaly.errors import NotAvailable
from vae_anomaly.explain import Explanation, Patterns, Reason
from vae_anomaly.fitting import FitReport
from vae_anomaly.report.blocks import Bars, Picture, RankedRow, ReasonLine
from vae_anomaly.report.contents import (
    ALPHA,
    BoolArray,
    ColumnView,
    Contents,
    IntArray,
    PatternView,
    PatternViews,
    Reading,
    Scored,
    without_values,
)
from vae_anomaly.report.document import Report, check_can_draw
from vae_anomaly.report.pictures import picture_of
from vae_anomaly.scores import ELBO, ImportanceWeighted, PooledELBO

TOP = 200
MAX_TOP = 2_000
MAX_PICTURES = 48
# Flagged rows that are sorted into patterns: finding these takes a pass for each column.
MAX_SORTED = 1_000
# Rows that stand for all where columns are compared with the training.
MAX_COMPARED = 2_048
N_REASONS = 5
N_BINS, MAX_LEVELS = 12, 8
MIN_LEVEL_SHARE = 0.01
# Scores that are negative evidence lower bounds.
BOUNDS = ELBO, ImportanceWeighted, PooledELBO
# What is shown of the end of a range where raw values are left out.
RANGE_DIGITS = 2


class ReportBuilder:
    """Takes scored rows batch by batch, and what is found of some of them, and makes a report.

    Parameters
    ----------
    detector : estimator
        Fitted; its public methods alone are used.
    title : str
        Of the page.
    noun : {"row", "image"}
        What a row is.
    top : int
        How many of the most anomalous rows are shown.
    redact : bool
        Whether raw values of the data are left out.
    numbered_from : int
        The number of the first row, where rows have no names.

    Raises
    ------
    NotInstalled
        If what draws is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = VAEDetector(max_iter=50, early_stopping=False).fit(X)
    >>> builder = ReportBuilder(detector, title="Two batches")
    >>> for batch in (X[:200], X[200:]):
    ...     found = detector.decide(batch)
    ...     builder.add(found["anomaly_score"], found["p_value"], found["is_anomaly"])
    >>> top = builder.top_rows()
    >>> builder.explain(X[top], top)
    >>> "Two batches" in builder.finish().to_html()
    True
    """

    def __init__(
        self,
        detector: Any,
        *,
        title: str,
        noun: str = "row",
        top: int = TOP,
        redact: bool = False,
        numbered_from: int = 1,
    ) -> None:
        check_can_draw()
        self._numbered_from = numbered_from
        self.detector, self.title, self.noun, self.top, self.redact = detector, title, noun, top, redact
        self._parts: list[tuple[FloatArray, FloatArray, BoolArray]] = []
        self._labels: tuple[BoolArray, BoolArray] | None = None
        self._label = ""
        self._ranked: tuple[RankedRow, ...] = ()
        self._id_names: tuple[str, ...] = ()
        self._patterns: PatternViews | None = None
        self._pattern_of: dict[int, int] = {}
        self._positions: IntArray = np.empty(0, dtype=np.intp)
        self._columns = columns_without_rows(detector, redact=redact)
        self._n_compared = 0
        self._pictures: tuple[Picture, ...] = ()

    def add(self, scores: npt.ArrayLike, p_values: npt.ArrayLike, flags: npt.ArrayLike) -> None:
        """Take a batch: anomaly scores (nats, NaN where there is none), p-values, and which rows are flagged."""
        self._parts.append(
            (
                np.asarray(scores, dtype=np.float64),
                np.asarray(p_values, dtype=np.float64),
                np.asarray(flags, dtype=np.bool_),
            )
        )

    def label(self, is_anomaly: BoolArray, is_labelled: BoolArray | None = None, name: str = "") -> None:
        """Take what all rows are, and which of them are labelled: by default all."""
        known = np.ones(len(is_anomaly), dtype=np.bool_) if is_labelled is None else is_labelled
        self._labels, self._label = (is_anomaly, known), name

    @property
    def scored(self) -> Scored:
        """All rows so far."""
        nothing = np.empty(0)
        parts = self._parts or [(nothing, nothing, nothing.astype(np.bool_))]
        scores, p_values, flags = (np.concatenate(part) for part in zip(*parts, strict=True))
        is_anomaly, is_labelled = self._labels or (None, None)
        return Scored(scores, p_values, flags, is_anomaly, is_labelled)

    def top_rows(self) -> IntArray:
        """Positions of the most anomalous rows, the most anomalous first: those to explain."""
        scores = self.scored.scores
        order = np.argsort(-scores, kind="stable")
        return order[: min(self.top, int((~np.isnan(scores)).sum()))]

    def alerts(self) -> IntArray:
        """Positions of the flagged rows, or of the most anomalous of them where they are many: those to sort."""
        scored = self.scored
        flagged = np.flatnonzero(scored.flags)
        order = np.argsort(-scored.scores[flagged], kind="stable")[:MAX_SORTED]
        return np.sort(flagged[order])

    def explain(
        self,
        rows: Any,
        positions: npt.ArrayLike,
        *,
        names: Sequence[str] | None = None,
        ids: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Take the most anomalous rows of a table, and find out why they are.

        Parameters
        ----------
        rows : array-like or DataFrame of shape (rows, columns)
            The most anomalous first.
        positions : int array-like of shape (rows,)
            Which of all rows they are.
        names : sequence of str, optional
            Where they are, for people; by default their number.
        ids : mapping of str to sequence of str, optional
            Columns that name rows, and their cells.
        """
        self._positions = np.asarray(positions, dtype=np.intp)
        if not len(self._positions):
            return
        explanation: Explanation = self.detector.explain(rows)
        reasons, combinations = explanation.reasons(N_REASONS), explanation.excess_kl.to_numpy()
        if names is None or self.redact:
            names = self._numbers(self._positions)
        shown = {} if ids is None or self.redact else dict(ids)
        self._id_names = tuple(shown)
        cells = zip(*shown.values(), strict=True) if shown else [()] * len(self._positions)
        self._ranked = tuple(
            RankedRow(
                rank,
                name,
                tuple(own),
                math.nan,
                math.nan,
                is_flagged=False,
                is_anomaly=None,
                pattern=0,
                reasons=tuple(reason_line(reason, redact=self.redact) for reason in found),
                combination=float(combination),
            )
            for rank, (name, own, found, combination) in enumerate(
                zip(names, cells, reasons, combinations, strict=True), start=1
            )
        )

    def sort(self, patterns: Patterns, positions: npt.ArrayLike, names: Sequence[str] | None = None) -> None:
        """Take the patterns of flagged rows.

        Parameters
        ----------
        patterns : Patterns
            Of these rows.
        positions : int array-like of shape (rows,)
            Which of all rows they are.
        names : sequence of str, optional
            Where they are; by default their number.
        """
        places = np.asarray(positions, dtype=np.intp)
        if names is None or self.redact:
            names = self._numbers(places)
        views = [
            PatternView(
                "; ".join(map(without_values, pattern.cells)) if self.redact else pattern.what,
                pattern.count,
                pattern.share,
                "" if self.redact else pattern.dates,
                tuple(names[row] for row in pattern.typical_rows),
                pattern.score,
            )
            for pattern in patterns.patterns
        ]
        self._patterns = PatternViews(tuple(views), patterns.n_alerts, patterns.n_other)
        numbers = zip(places.tolist(), patterns.labels.tolist(), strict=True)
        self._pattern_of = {place: label + 1 for place, label in numbers if label >= 0}

    def compare(self, rows: Any) -> None:
        """Take some rows, drawn at random, that stand for all, and compare their columns with the training."""
        now: tuple[ColumnSample, ...] = self.detector.column_samples(rows)
        if not now:
            return
        nats: pd.DataFrame | None = self.detector.nats_by_column(rows)
        self._columns = compared_columns(self._columns, self.detector.decisions_.columns, now, nats, redact=self.redact)
        self._n_compared = now[0].n_rows

    def show(
        self,
        image: npt.NDArray[Any],
        excess: FloatArray,
        scale: tuple[float, float],
        *,
        name: str,
        score: float,
        is_flagged: bool,
    ) -> None:
        """Take one of the most anomalous images, and where it is anomalous; left out where raw values are.

        Parameters
        ----------
        image : ndarray of shape (channels, height, width)
            As the model reads it.
        excess : ndarray of shape (height, width)
            Nats per pixel above what is expected.
        scale : (float, float)
            From how many nats on, and up to how many, it is coloured.
        name : str
            Of the file, or its number.
        score : float
            Nats.
        is_flagged : bool
            Whether it is above the threshold.
        """
        if self.redact or len(self._pictures) >= MAX_PICTURES:
            return
        picture = picture_of(image, excess, scale, name=name, score=score, is_flagged=is_flagged)
        self._pictures = (*self._pictures, picture)

    def finish(
        self,
        reading: Reading | None = None,
        *,
        threshold: Threshold | None = None,
        selection: Selection | None = None,
        made: str = "",
    ) -> Report:
        """Return the report.

        Parameters
        ----------
        reading : Reading, optional
            What was read, and how.
        threshold : Threshold, optional
            What flagged rows; by default that of the detector.
        selection : Selection, optional
            What chose them in its place.
        made : str
            When, for people.
        """
        scored = self.scored
        return Report(
            Contents(
                self.title,
                self.noun,
                self.redact,
                made,
                withheld(reading or Reading()) if self.redact else reading or Reading(),
                scored,
                threshold or self.detector.decisions_.threshold,
                selection,
                self.detector.decisions_.calibration,
                self.top,
                tuple(
                    self._judged(row, scored, int(at)) for row, at in zip(self._ranked, self._positions, strict=True)
                ),
                self._id_names,
                self._patterns,
                self._columns,
                self._n_compared,
                fit_report_of(self.detector),
                self._label,
                self._pictures,
                is_elbo=isinstance(
                    getattr(self.detector, "row_score_", ELBO()), ELBO | ImportanceWeighted | PooledELBO
                ),
            )
        )

    def _numbers(self, positions: IntArray) -> list[str]:
        return [str(position + self._numbered_from) for position in positions.tolist()]

    def _judged(self, row: RankedRow, scored: Scored, at: int) -> RankedRow:
        is_anomaly = None
        if scored.is_anomaly is not None and scored.is_labelled is not None and scored.is_labelled[at]:
            is_anomaly = bool(scored.is_anomaly[at])
        return replace(
            row,
            score=float(scored.scores[at]),
            p_value=float(scored.p_values[at]),
            is_flagged=bool(scored.flags[at]),
            is_anomaly=is_anomaly,
            pattern=self._pattern_of.get(at, 0),
        )


def withheld(reading: Reading) -> Reading:
    """What was read, without texts that may quote cells."""
    n_texts = len(reading.problems) + len(reading.warnings)
    return replace(reading, problems=(), warnings=(), n_withheld=n_texts)


def reason_line(reason: Reason, *, redact: bool) -> ReasonLine:
    """A reason in words; where raw values are left out, with a rounded range of numbers and no cell."""
    if redact:
        return ReasonLine(reason.subject, "", "", rounded_range(reason), "", reason.nats, reason.rarity)
    observed = "missing" if reason.part == "missing" else reason.observed_text
    return ReasonLine(
        reason.subject,
        observed,
        reason.expected_text,
        reason.range_text,
        reason.group_text,
        reason.nats,
        reason.rarity,
    )


def rounded_range(reason: Reason) -> str:
    """The plausible range of a number with two digits, outwards; empty where its ends would be cells.

    Examples
    --------
    >>> (
    ...     rounded_range(Reason("pay", "", 0.0, 0.0, 1234.5, 1891.0, 3.0, 0.1)),
    ...     rounded_range(Reason("sex", "", "f", "m", None, None, 3.0, 0.1)),
    ... )
    ('1,200 to 1,900', '')
    """
    ends = reason.lower, reason.upper
    if reason.part or not all(isinstance(end, int | float | np.number) and math.isfinite(end) for end in ends):
        return ""
    low, high = (_rounded(float(end), up) for end, up in zip(ends, (False, True), strict=True))
    return "" if low >= high else f"{low:,.10g} to {high:,.10g}"


def _rounded(number: float, up: bool) -> float:
    if not number:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(number))) - RANGE_DIGITS + 1)
    return float(f"{(math.ceil if up else math.floor)(number / unit) * unit:.6g}")


def fit_report_of(detector: Any) -> FitReport | None:
    """How training went; None where the detector does not say."""
    try:
        report: FitReport | None = getattr(detector, "fit_report_", None)
    except NotAvailable:
        return None
    return report if isinstance(report, FitReport) else None


def columns_without_rows(detector: Any, *, redact: bool) -> tuple[ColumnView, ...]:
    """What the columns of a detector were taken for; none of images."""
    columns: tuple[Column, ...] = getattr(detector, "columns_", ())
    if getattr(getattr(detector, "model_", None), "takes_images", False):
        return ()
    return tuple(
        ColumnView(column.name, column.kind, "" if redact else column.reason, column.is_used) for column in columns
    )


def compared_columns(
    views: tuple[ColumnView, ...],
    before: Sequence[ColumnSample],
    now: Sequence[ColumnSample],
    nats: pd.DataFrame | None,
    *,
    redact: bool,
) -> tuple[ColumnView, ...]:
    """Columns with what they hold, in the training and now.

    Parameters
    ----------
    views : tuple of ColumnView
        All columns.
    before, now : sequence of ColumnSample
        What was kept of the training, and what these rows hold.
    nats : DataFrame or None
        The mean part of each column in the score, before and now.
    redact : bool
        Whether levels and values are left out.
    """
    old, new = ({sample.name: sample for sample in samples} for samples in (before, now))
    tests = [(shift.column, shift.p_value, change_text(shift, redact=redact)) for shift in columns_moved(before, now)]
    n_moved = len(tests)
    tests += [test for name, sample in new.items() if name in old for test in _beyond(old[name], sample, redact=redact)]
    adjusted = holm([p_value for _, p_value, _ in tests]).tolist() if tests else []
    clearest: dict[str, tuple[float, str]] = {}
    for place, (p_value, (name, _, text)) in enumerate(zip(adjusted, tests, strict=True)):
        known = clearest.get(name, (math.inf, ""))[0]
        # Of a column that has moved as a whole its median says more than how much of it is beyond the training.
        if p_value < known and (place < n_moved or known > ALPHA):
            clearest[name] = (p_value, text)
    spent: list[dict[str, float]] = [{}, {}]
    if nats is not None:
        names = [str(name) for name in nats.index]
        spent = [dict(zip(names, nats[when].tolist(), strict=True)) for when in ("nats_before", "nats_now")]
    found = []
    for view in views:
        earlier, present = old.get(view.name), new.get(view.name)
        if present is None:
            found.append(view)
            continue
        p_value, change = math.nan, ""
        if view.name in clearest:
            p_value, change = clearest[view.name]
        found.append(
            replace(
                view,
                missing_before=math.nan
                if earlier is None or not earlier.n_rows
                else earlier.n_missing / earlier.n_rows,
                missing_now=present.n_missing / max(present.n_rows, 1),
                bars=None if earlier is None else bars_of(earlier, present, redact=redact),
                change=change,
                p_value=p_value,
                nats_before=spent[0].get(view.name, math.nan),
                nats_now=spent[1].get(view.name, math.nan),
            )
        )
    return tuple(found)


def change_text(shift: ColumnShift, *, redact: bool) -> str:
    """What differs most in a column, in words.

    Examples
    --------
    >>> shift = ColumnShift("pay", "levels", 0.001, 0.5, 0.25, "cash", 3)
    >>> change_text(shift, redact=False)
    "'cash': 50 % → 25 %; 3 cells with levels not seen before"
    >>> change_text(shift, redact=True)
    'a level: 50 % → 25 %; 3 cells with levels not seen before'
    """
    if shift.what == "values":
        return "other values" if redact else f"median {shift.before:,.4g} → {shift.now:,.4g}"
    name = "missing" if shift.what == "missing" else "a level" if redact else repr(str(shift.level))
    unseen = f"; {shift.n_unseen:,} cells with levels not seen before" if shift.n_unseen else ""
    return f"{name}: {100 * shift.before:.3g} % → {100 * shift.now:.3g} %{unseen}"


def _beyond(before: ColumnSample, now: ColumnSample, *, redact: bool) -> list[tuple[str, float, str]]:
    """Tests of how many numbers lie outside those of the training, which a few among many do not show elsewhere."""
    if before.kind != "values" or not before.values.n or not now.values.n:
        return []
    low, high = float(before.values.values[0]), float(before.values.values[-1])
    tests = []
    for side, edge, outside in (
        ("below", low, now.values.values < low),
        ("above", high, now.values.values > high),
    ):
        n_outside = int(now.values.counts[outside].sum())
        p_value = alerts_moved(n_outside, now.values.n, 1, before.values.n).p_value if n_outside else 1.0
        where = f"{side} all of the training" if redact else f"{side} {edge:,.6g}, the end of the training,"
        tests.append((now.name, p_value, f"{where} in {100 * n_outside / now.values.n:.3g} % of the cells"))
    return tests


def bars_of(before: ColumnSample, now: ColumnSample, *, redact: bool) -> Bars | None:
    """Shares of the cells of a column, by bins of equal width or by levels; None where there is nothing to see.

    Bins lie between the 1st and the 99th percentile of the training, and the outermost hold what is beyond.

    Examples
    --------
    >>> old, new = (ColumnSample.of_levels("sex", list(cells)) for cells in ("mmmf", "mf"))
    >>> bars_of(old, new, redact=False)
    Bars(before=(0.75, 0.25), now=(0.5, 0.5), labels=('m', 'f'))
    """
    if before.kind == "values" and before.values.n and now.values.n:
        low, high = before.values.quantile(0.01), before.values.quantile(0.99)
        if not low < high:
            return None
        edges = np.linspace(low, high, N_BINS + 1)
        shares = [
            np.bincount(
                np.clip(np.searchsorted(edges, sample.values.values, "right") - 1, 0, N_BINS - 1),
                weights=sample.values.counts,
                minlength=N_BINS,
            )
            / sample.values.n
            for sample in (before, now)
        ]
        labels = () if redact else tuple(f"{left:.4g} to {right:.4g}" for left, right in itertools.pairwise(edges))
        return Bars(tuple(shares[0].tolist()), tuple(shares[1].tolist()), labels)
    if before.kind == "levels" and before.levels and now.levels:
        counts = dict(zip(now.levels, before.names_of(list(now.levels)), strict=True))
        present: dict[str, int] = {}
        for level, name in counts.items():
            present[name] = present.get(name, 0) + now.levels[level]
        n_before, n_now = sum(before.levels.values()), sum(present.values())
        names = sorted(
            {*before.levels, *present},
            key=lambda name: -max(before.levels.get(name, 0) / n_before, present.get(name, 0) / n_now),
        )
        names = names[:MAX_LEVELS]
        return Bars(
            tuple(before.levels.get(name, 0) / n_before for name in names),
            tuple(present.get(name, 0) / n_now for name in names),
            () if redact else tuple(map(str, names)),
        )
    return None
