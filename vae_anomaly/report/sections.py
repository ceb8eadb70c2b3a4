"""The sections of a report, in their order: each makes one of what there is, or none where that is nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from vae_anomaly.data import FloatArray
from vae_anomaly.decisions import Evaluation, percent, threshold_table
from vae_anomaly.display import CalibrationDisplay, ScoreDisplay, ThresholdDisplay
from vae_anomaly.report.blocks import (
    Block,
    Chart,
    Charts,
    Fact,
    Facts,
    Gallery,
    Grid,
    Heading,
    Line,
    Notice,
    Paragraph,
    RankedRows,
    Section,
)
from vae_anomaly.report.charts import INK, chart
from vae_anomaly.report.contents import ALPHA, BoolArray, ColumnView, Contents, IntArray, Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A longer table is folded.
MAX_OPEN_LINES = 30
MAX_POINTS = 400
MAX_WARNINGS = 20
SETTINGS = {"clean": "trained on normal rows", "all": "trained on all rows"}


def summary(contents: Contents) -> Section | None:
    """What a reader in a hurry takes along."""
    scored = contents.scored
    if scored is None:
        return None
    facts = [
        Fact(f"{contents.nouns} scored", f"{scored.n_scored:,}", _without_score(contents, scored)),
        Fact("flagged", f"{scored.n_flagged:,}", _share_flagged(contents, scored)),
        Fact("threshold", *_threshold(contents)),
        Fact("false alarms expected", *_false_alarms(contents, scored)),
    ]
    if contents.patterns is not None and contents.patterns.patterns:
        n_patterns = len(contents.patterns.patterns)
        facts.append(Fact("patterns", f"{n_patterns}", f"kinds of flagged {contents.nouns}"))
    blocks: list[Block] = [Facts(tuple(facts), large=True)]
    decision = contents.threshold if contents.selection is None else contents.selection
    decided = "" if decision is None else decision.sentence(contents.noun)
    means = f"The higher the score, the more anomalous the {contents.noun}."
    if contents.noun == "row" and contents.is_elbo:
        means = (
            "The score of a row is its negative evidence lower bound, in nats: the higher, the more anomalous, and e "
            "times less likely with each nat."
        )
    blocks.append(Paragraph(f"{decided} {means}"))
    moved = [column for column in contents.columns if column.p_value <= ALPHA]
    if moved:
        named = ", ".join(f"'{column.name}'" for column in moved[:5])
        more = f" and {len(moved) - 5} more" if len(moved) > 5 else ""
        blocks.append(Notice((f"Not as in the training: {named}{more}; see the columns.",)))
    return Section("summary", "In short", tuple(blocks))


def reading(contents: Contents) -> Section | None:
    """What was read and how, and what was set aside."""
    read, scored = contents.reading, contents.scored
    if scored is None:
        return None
    facts = [
        Fact("read from", read.source or "rows in memory"),
        Fact(contents.nouns, f"{len(scored):,}", _without_score(contents, scored)),
    ]
    used = [column for column in contents.columns if column.is_used]
    aside = [column for column in contents.columns if not column.is_used]
    if contents.columns:
        of_kinds = {role: sum(column.role == role for column in used) for role in dict.fromkeys(c.role for c in used)}
        kinds = ", ".join(f"{count} {role}" for role, count in of_kinds.items())
        facts.append(Fact("columns used", f"{len(used)}", kinds))
        facts.append(Fact("columns set aside", f"{len(aside)}", "no score depends on them" if aside else ""))
    blocks: list[Block] = [Facts(tuple(facts)), Paragraph(f"The model: {read.model or 'fitted before'}.")]
    lines = [*read.problems, *read.warnings]
    if read.n_withheld:
        said = "1 message" if read.n_withheld == 1 else f"{read.n_withheld:,} messages"
        lines.append(f"Left out: {said} about single cells or levels, which may be quoted there.")
    if len(lines) > MAX_WARNINGS:
        lines = [*lines[:MAX_WARNINGS], f"and {len(lines) - MAX_WARNINGS:,} more"]
    if lines:
        blocks.append(Notice(tuple(lines)))
    if contents.columns:
        headings = (
            Heading("column"),
            Heading("taken for"),
            Heading("used"),
            *(() if contents.redacted else (Heading("why"),)),
        )
        cells = [
            Line(
                (
                    column.name,
                    column.role,
                    "yes" if column.is_used else "set aside",
                    *(() if contents.redacted else (column.why,)),
                )
            )
            for column in (*aside, *used)
        ]
        blocks.append(Grid("What each column was taken for", headings, tuple(cells), is_long=True))
    return Section("reading", "What was read, and how", tuple(blocks))


def scores(contents: Contents) -> Section | None:
    """How scores are distributed, and what a threshold promises."""
    scored = contents.scored
    if scored is None or not scored.n_scored:
        return None
    threshold = contents.threshold
    at = None if threshold is None or contents.selection is not None else threshold.score
    labelled = scored.labelled()
    shown, labels = (scored.known, None) if labelled is None else (labelled[1], labelled[0])
    blocks: list[Block] = []
    charts = [
        chart(
            "scores",
            f"Anomaly scores of {len(shown):,} {contents.nouns}",
            _score_caption(contents, scored),
            lambda ax: _drawn(ScoreDisplay(shown, threshold=at, is_anomaly=labels).plot(ax=ax)),
        )
    ]
    calibration = contents.calibration
    if calibration is not None and calibration.kind != "training":
        table = threshold_table(calibration)
        charts += _threshold_chart(contents)
        known = table[table["threshold"].notna()]
        rates, thresholds, alerts, bounds = (
            np.asarray(numbers, dtype=np.float64).tolist()
            for numbers in (known.index, known["threshold"], known["alerts_per_million"], known["rate_bound"])
        )
        lines = [
            Line(
                (
                    percent(rate),
                    f"{score:,.2f}",
                    f"{n_alerts:,.0f}",
                    percent(bound, upwards=True),
                    f"{int((scored.known > score).sum()):,}",
                )
            )
            for rate, score, n_alerts, bound in zip(rates, thresholds, alerts, bounds, strict=True)
        ]
        blocks.append(
            Grid(
                "Other thresholds, and how many normal rows each would flag, if they are like the "
                f"{calibration.n_rows:,} calibration rows. All bounds hold together with 95 % confidence",
                (
                    Heading("false-alarm rate", is_number=True),
                    Heading("threshold, nats", is_number=True),
                    Heading("alerts in a million", is_number=True),
                    Heading("rate at most", is_number=True),
                    Heading(f"{contents.nouns} flagged here", is_number=True),
                ),
                tuple(lines),
                is_long=True,
            )
        )
    return Section("scores", "Scores and threshold", (Charts(tuple(charts)), *blocks))


def ranked_rows(contents: Contents) -> Section | None:
    """The most anomalous rows with their reasons."""
    if not contents.ranked or contents.scored is None:
        return None
    n_shown, scored = len(contents.ranked), contents.scored
    n_flagged = sum(row.is_flagged for row in contents.ranked)
    nouns = contents.nouns if n_shown > 1 else contents.noun
    which = f"The {n_shown:,} most anomalous of {scored.n_scored:,} scored {contents.nouns} are shown"
    if n_shown == scored.n_scored:
        which = f"All {n_shown:,} scored {nouns} are shown, the most anomalous first"
    rest = f"; {scored.n_flagged - n_flagged:,} flagged ones are not" if scored.n_flagged > n_flagged else ""
    explained = (
        "Open one to see which cells are anomalous: what each holds, what is predicted from the other cells of the "
        "row, the range that holds 95 % of the probability, and what the cell adds to the score, above that of a "
        "typical training row."
    )
    if contents.redacted:
        explained = (
            "Open one to see which cells are anomalous, and what each adds to the score, above that of a typical "
            "training row. What cells hold is left out; ranges are rounded to two digits."
        )
    patterns = () if contents.patterns is None else tuple(pattern.what for pattern in contents.patterns.patterns)
    table = RankedRows(
        contents.ranked,
        contents.id_names,
        patterns,
        contents.noun,
        not contents.redacted,
        any(row.is_anomaly is not None for row in contents.ranked),
    )
    return Section("rows", f"Most anomalous {contents.nouns}", (Paragraph(f"{which}{rest}. {explained}"), table))


def patterns(contents: Contents) -> Section | None:
    """Which kinds of flagged rows there are."""
    found = contents.patterns
    if found is None or contents.scored is None or not found.n_sorted:
        return None
    with_dates = any(pattern.dates for pattern in found.patterns)
    headings = [Heading("pattern", is_number=True), Heading("what is out of place"), Heading("rows", is_number=True)]
    headings += [Heading("share", is_number=True), *([Heading("dates")] if with_dates else [])]
    headings += [Heading("median score, nats", is_number=True), Heading("typical rows")]
    lines = [
        Line(
            (
                f"{number}",
                pattern.what,
                f"{pattern.count:,}",
                f"{100 * pattern.share:.0f} %",
                *([pattern.dates] if with_dates else []),
                f"{pattern.score:,.1f}",
                ", ".join(pattern.typical),
            )
        )
        for number, pattern in enumerate(found.patterns, start=1)
    ]
    n_flagged = contents.scored.n_flagged
    which = f"{found.n_sorted:,} flagged rows"
    if found.n_sorted < n_flagged:
        which = f"The {found.n_sorted:,} most anomalous of {n_flagged:,} flagged rows"
    text = (
        f"{which}, sorted by what is out of place in them: rows of a pattern have the same cells above or below what "
        "is expected, or the same unexpected level."
        f"{f' {found.n_other:,} of them belong to no pattern.' if found.n_other else ''}"
    )
    blocks: tuple[Block, ...] = (Paragraph(text),)
    if lines:
        blocks = (*blocks, Grid("Patterns of flagged rows, the largest first", tuple(headings), tuple(lines)))
    return Section("patterns", "Patterns", blocks)


def columns(contents: Contents) -> Section | None:
    """Each column in the training and now."""
    seen = [column for column in contents.columns if column.is_used and not math.isnan(column.missing_now)]
    if not seen:
        return None
    with_nats = any(not math.isnan(column.nats_now) for column in seen)
    headings = [Heading("column"), Heading("training, and now"), Heading("missing in training", is_number=True)]
    headings += [Heading("missing now", is_number=True), Heading("clearest difference"), Heading("p", is_number=True)]
    if with_nats:
        headings += [Heading("nats in training", is_number=True), Heading("nats now", is_number=True)]
    order = sorted(seen, key=lambda column: (not column.p_value <= ALPHA, -_excess(column)))
    lines = [
        Line(
            (
                column.name,
                column.bars or "",
                _percent(column.missing_before),
                _percent(column.missing_now),
                column.change if column.p_value <= ALPHA else "–",
                "–" if math.isnan(column.p_value) else f"{column.p_value:.2g}",
                *((_nats(column.nats_before), _nats(column.nats_now)) if with_nats else ()),
            ),
            column.p_value <= ALPHA,
        )
        for column in order
    ]
    n_moved = sum(line.stands_out for line in lines)
    text = (
        f"{contents.n_compared:,} {contents.nouns} stand for all, and are compared with what was kept of those of the "
        f"training. {n_moved or 'No'} column{'' if n_moved == 1 else 's'} differ{'s' if n_moved == 1 else ''} by more "
        f"than chance (p at most {ALPHA:g}, adjusted for the number of tests), marked in the table. Bars: the training "
        "above, now below."
    )
    grid = Grid("Columns in training and now", tuple(headings), tuple(lines), len(lines) > MAX_OPEN_LINES)
    return Section("columns", "Columns: training and now", (Paragraph(text), grid))


def calibration(contents: Contents) -> Section | None:
    """Whether p-values are spread as those of normal rows are."""
    scored, known = contents.scored, contents.calibration
    if scored is None or known is None or known.kind == "training":
        return None
    p_values = scored.p_values[~np.isnan(scored.p_values)]
    if not len(p_values):
        return None
    text = (
        f"Of rows like the {known.n_rows:,} calibration rows, a share of at most 1 in 100 has a p-value of 0.01 or "
        "less. A curve above the diagonal at its left end means more anomalous rows than among those; a curve that is "
        "off everywhere means that the rows are others, and that p-values and false-alarm rates do not hold for them."
    )
    drawn = chart(
        "calibration",
        f"Share of {len(p_values):,} {contents.nouns} with p-values up to each level",
        f"{percent(float((p_values <= 0.01).mean()))} have 0.01 or less, {percent(float((p_values <= 0.1).mean()))} "
        "0.1 or less.",
        lambda ax: _drawn(CalibrationDisplay(p_values, n_calibration=known.n_rows).plot(ax=ax)),
    )
    return Section("calibration", "Calibration", (Paragraph(text), Charts((drawn,))))


def labels(contents: Contents) -> Section | None:
    """How well scores agree with labels."""
    labelled = None if contents.scored is None else contents.scored.labelled()
    if labelled is None:
        return None
    is_anomaly, values, flags = labelled
    found = Evaluation.of_flags(is_anomaly, values, flags)
    what_flags = "at the threshold" if contents.selection is None else "of the selected"
    lines = [
        Line(
            (
                measure.name.replace("at the threshold", what_flags),
                f"{measure.value:.3f}",
                f"{measure.lower:.3f} to {measure.upper:.3f}",
                "" if measure.n_rows is None else f"{measure.n_hits:,} of {measure.n_rows:,}",
            )
        )
        for measure in found.all
    ]
    grid = Grid(
        "Measures with intervals of 95 % confidence",
        (Heading("measure"), Heading("value", is_number=True), Heading("interval"), Heading("counted", is_number=True)),
        tuple(lines),
    )
    text = (
        f"{found.n_anomalies:,} of {found.n_rows:,} labelled {contents.nouns} are anomalies"
        f"{f' by the column {contents.label!r}' if contents.label else ''}; labels were used for nothing else."
    )
    roc = chart("roc", "ROC curve", _auroc_caption(found), partial(_roc, [("", is_anomaly, values)]))
    curve = chart(
        "precision-recall",
        "Precision and recall",
        f"Without skill, precision is {percent(found.n_anomalies / found.n_rows)} everywhere.",
        partial(_precision_recall, [("", is_anomaly, values)]),
    )
    return Section("labels", "Against the labels", (Paragraph(text), grid, Charts((roc, curve))))


def images(contents: Contents) -> Section | None:
    """The most anomalous images, and where they are anomalous."""
    if contents.noun != "image" or contents.scored is None:
        return None
    if contents.redacted:
        return Section("images", "Most anomalous images", (Paragraph("Images and their names are left out."),))
    if not contents.pictures:
        return None
    text = (
        f"The {len(contents.pictures):,} most anomalous of {contents.scored.n_scored:,} images, each beside a map of "
        "where it is less likely than expected, all on one scale: from violet over red to yellow. Flagged ones are "
        "framed, and named so."
    )
    return Section("images", "Most anomalous images", (Paragraph(text), Gallery(contents.pictures)))


def fit(contents: Contents) -> Section | None:
    """How training went."""
    report = contents.fit
    if report is None:
        return None
    held_out = "held-out rows" if report.n_validation_rows else "the members' own rows"
    facts = [
        Fact("training rows", f"{report.n_rows:,}", f"{report.n_validation_rows:,} of them held out to stop by"),
        Fact("steps", f"{report.n_iter:,}", "stopped early" if report.stopped_early else "all that were allowed"),
        Fact("ELBO", f"{report.elbo:,.2f} nats", f"mean of {held_out}"),
        Fact("KL", f"{report.kl:,.2f} nats", "its part for the latents"),
        Fact("active latents", f"{report.active_latents:.1f} of {report.latent_dim}", "those that carry something"),
    ]
    if report.baseline_elbo is not None:
        better = report.elbo - report.baseline_elbo
        facts.append(
            Fact("simple model", f"{report.baseline_elbo:,.2f} nats", f"the fit is {better:+,.2f} nats beside it")
        )
    warnings = tuple(str(warning) for warning in report.warnings())
    blocks: tuple[Block, ...] = (Facts(tuple(facts)),)
    blocks += (Notice(warnings),) if warnings else (Paragraph("The diagnosis of the fit found nothing to warn of."),)
    return Section("fit", "The fit", blocks)


def comparison(contents: Contents) -> Section | None:
    """Detectors side by side."""
    found = contents.compared
    if found is None:
        return None
    blocks: list[Block] = []
    first = next((method.method for method in found.methods if method.standing == "first"), "the first")
    for setting, verdict in found.verdicts:
        title = SETTINGS.get(setting, setting)
        lines = [
            Line(
                (
                    method.method,
                    f"{method.auroc:.3f} ± {0.0 if math.isnan(method.auroc_sd) else method.auroc_sd:.3f}",
                    "–" if method.standing == "first" else f"{method.difference:+.3f}",
                    "–" if method.standing == "first" else f"{method.lower:+.3f} to {method.upper:+.3f}",
                    "" if method.standing == "first" else method.standing,
                    f"{method.average_precision:.3f}",
                    f"{method.precision:.3f}",
                    f"{method.seconds:.2f}",
                ),
                method.standing == "first",
            )
            for method in found.methods
            if method.setting == setting
        ]
        headings = (
            Heading("detector"),
            Heading("AUROC ± sd", is_number=True),
            Heading("difference", is_number=True),
            Heading("interval"),
            Heading("standing"),
            Heading("average precision", is_number=True),
            Heading("precision at n", is_number=True),
            Heading("seconds", is_number=True),
        )
        blocks.append(Paragraph(f"{title[0].upper()}{title[1:]}: {verdict}"))
        blocks.append(
            Grid(
                f"Means over {found.n_splits} random splits, {title}; differences of the AUROC to that of "
                f"{first}, with intervals that hold together at 95 %",
                headings,
                tuple(lines),
            )
        )
        curves = [(name, labels_, values) for of, name, labels_, values in found.curves if of == setting]
        if curves:
            blocks.append(
                Charts(
                    (
                        chart(f"roc-{setting}", f"ROC curves, {title}", "Of the first split.", partial(_roc, curves)),
                        chart(
                            f"precision-{setting}",
                            f"Precision and recall, {title}",
                            "Of the first split.",
                            partial(_precision_recall, curves),
                        ),
                    )
                )
            )
    return Section("comparison", "Detectors side by side", tuple(blocks))


# Under the names that links of the page use.
SECTIONS: dict[str, Callable[[Contents], Section | None]] = {
    "summary": summary,
    "comparison": comparison,
    "images": images,
    "rows": ranked_rows,
    "patterns": patterns,
    "scores": scores,
    "labels": labels,
    "columns": columns,
    "calibration": calibration,
    "fit": fit,
    "reading": reading,
}


def _drawn(display: object) -> None:
    """Let the axes alone: what a display returns is not needed."""


def _without_score(contents: Contents, scored: Scored) -> str:
    n_without = len(scored) - scored.n_scored
    return f"{n_without:,} without a score" if n_without else f"all of the {contents.nouns} that were read"


def _share_flagged(contents: Contents, scored: Scored) -> str:
    return f"{percent(scored.n_flagged / max(scored.n_scored, 1))} of the scored {contents.nouns}"


def _threshold(contents: Contents) -> tuple[str, str]:
    if contents.selection is not None:
        return f"p ≤ {contents.selection.cutoff:.3g}", "chosen from all rows together"
    if contents.threshold is None:
        return "–", ""
    return f"{contents.threshold.score:,.2f} nats", "higher scores are flagged"


def _false_alarms(contents: Contents, scored: Scored) -> tuple[str, str]:
    """How many normal rows are expected to be flagged, and at most, where that is known."""
    selection, threshold = contents.selection, contents.threshold
    if selection is not None:
        bound = selection.false_share_bound
        at_most = "" if bound is None else f"; with {percent(selection.confidence)} confidence at most {percent(bound)}"
        return f"≤ {percent(selection.fdr)}", f"of the selected {contents.nouns}, on average over files{at_most}"
    if threshold is None or threshold.expected_rate is None:
        return "unknown", "the model has no calibration rows"
    if threshold.kind == "training":
        return "unknown", f"the {contents.nouns} are ranked among those that were fitted"
    expected, most_expected = threshold.expected_rate * scored.n_scored, ""
    if threshold.rate_bound is not None:
        most = math.ceil(threshold.rate_bound * scored.n_scored)
        most_expected = f"; with {percent(threshold.confidence)} confidence a rate for {most:,} at most"
    return (
        f"{expected:,.0f}" if expected >= 10 else f"{expected:.2g}",
        f"if all {scored.n_scored:,} {contents.nouns} were normal{most_expected}",
    )


def _score_caption(contents: Contents, scored: Scored) -> str:
    known = scored.known
    return (
        f"Median {np.median(known):,.1f} nats, the highest {known.max():,.1f}; {scored.n_flagged:,} of {len(known):,} "
        f"{contents.nouns} are flagged."
    )


def _threshold_chart(contents: Contents) -> list[Chart]:
    """What share of normal rows, and of these, is above each threshold."""
    known, scored, threshold = contents.calibration, contents.scored, contents.threshold
    if known is None or scored is None:
        return []
    at = None if threshold is None or contents.selection is not None else threshold.score
    return [
        chart(
            "threshold",
            f"Share of {contents.nouns} above each threshold",
            "Expected of normal ones, with a band that holds for all thresholds at once, and found in these.",
            lambda ax: _drawn(ThresholdDisplay.from_calibration(known, threshold=at, scores=scored.known, ax=ax)),
        )
    ]


def _auroc_caption(found: Evaluation) -> str:
    (auroc,) = (measure for measure in found.measures if measure.name == "AUROC")
    return f"Area {auroc.value:.3f} ({auroc.lower:.3f} to {auroc.upper:.3f} with 95 % confidence)."


def roc_points(is_anomaly: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """False-alarm rates and recalls of all thresholds, from none flagged to all.

    Examples
    --------
    >>> roc_points(np.array([False, True, True]), np.array([1.0, 1.0, 2.0]))
    (array([0., 0., 1.]), array([0. , 0.5, 1. ]))
    """
    n_false, n_found, _ = _flagged_by_threshold(is_anomaly, scores)
    return n_false / max(n_false[-1], 1), n_found / max(n_found[-1], 1)


def _flagged_by_threshold(is_anomaly: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Normal rows and anomalies above each threshold, from the highest down, and how many rows that is."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    n_found = np.append(0, np.cumsum(is_anomaly[order])[ends]).astype(np.float64)
    n_rows = np.append(0, ends + 1).astype(np.float64)
    return n_rows - n_found, n_found, n_rows


def _thinned(recalls: FloatArray, false_alarms: FloatArray | None = None) -> IntArray:
    """Which points of a curve are drawn: evenly spread over the axes, as few anomalies may lie among very many rows.

    Examples
    --------
    >>> _thinned(np.array([0.0, 0.5, 0.5, 1.0, 1.0, 1.0])).tolist()
    [0, 1, 3, 5]
    """
    levels = np.linspace(0, 1, MAX_POINTS)
    chosen = [np.array([0, len(recalls) - 1]), np.searchsorted(recalls, levels)]
    if false_alarms is not None:
        chosen.append(np.searchsorted(false_alarms, levels, "right") - 1)
    return np.unique(np.concatenate(chosen))


def _roc(curves: list[tuple[str, BoolArray, FloatArray]], ax: Axes) -> None:
    for name, is_anomaly, values in curves:
        false_alarms, recalls = roc_points(is_anomaly, values)
        shown = _thinned(recalls, false_alarms)
        ax.plot(false_alarms[shown], recalls[shown], label=name or None)
    ax.plot([0, 1], [0, 1], linestyle=":", color=INK, linewidth=1)
    ax.set(xlabel="false-alarm rate", ylabel="recall", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    if len(curves) > 1:
        ax.legend(loc="lower right")


def _precision_recall(curves: list[tuple[str, BoolArray, FloatArray]], ax: Axes) -> None:
    for name, is_anomaly, values in curves:
        _, n_found, n_rows = _flagged_by_threshold(is_anomaly, values)
        recalls, precisions = n_found[1:] / max(n_found[-1], 1), n_found[1:] / n_rows[1:]
        shown = _thinned(recalls)
        recalls, precisions = recalls[shown], precisions[shown]
        ax.step(np.append(0.0, recalls), np.append(precisions[0], precisions), where="pre", label=name or None)
    ax.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    if len(curves) > 1:
        ax.legend(loc="upper right")


def _excess(column: ColumnView) -> float:
    excess = column.nats_now - column.nats_before
    return -math.inf if math.isnan(excess) else excess


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.3g} %"


def _nats(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.2f}"
