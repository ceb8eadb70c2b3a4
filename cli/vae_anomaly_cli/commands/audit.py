"""`vae-anomaly audit`: the calibration rows that a person should look at, and what was found."""

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from vae_anomaly_cli.command import INPUT, OUTPUT, Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import (
    STANDARD_OUTPUT,
    Json,
    ReadOptions,
    RunOptions,
    check_model_path,
    check_one_on_standard_output,
)
from vae_anomaly_cli.sources import check_found, kind_of

if TYPE_CHECKING:
    from vae_anomaly import PatchDetector, VAEDetector
    from vae_anomaly_cli.calibration_review import Review
    from vae_anomaly_cli.output.targets import Target

N_ROWS = 50

HELP = """List the calibration rows of MODEL that a person should look at, or take in what was found.

\b
[bold]Examples[/bold]
  vae-anomaly audit orders.vae orders.csv -n 50 -o review.csv   look at these ...
  vae-anomaly audit orders.vae --answers review.csv -o orders.vae   ... and drop the anomalies
  vae-anomaly audit orders.vae                     row numbers and scores alone
  vae-anomaly audit parts.vae good/ -o review.csv  images, by path

New rows are compared with the calibration rows, which should be normal. A few anomalies among them hide others: with \
2 % of them, hardly anything can be selected at a false-discovery rate of 10 %. The most anomalous calibration rows \
are the ones to look at; fifty are often enough.

The review has for each row its number (from 1, through all files), anomaly_score in nats, p_value (the share of the \
calibration rows that are at least as anomalous), and an empty column is_anomaly. With DATA, which is what the model \
was fitted on or calibrated with, it has reasons and the cells of the row as well, or the --id columns alone. Rows \
that were looked at before are not listed again.

Fill in is_anomaly with 1 or 0 (true or false, yes or no), and leave it empty where nobody looked; lines may be \
removed. With --answers, rows with a 1 are taken out of the calibration, and the threshold moves by its own rule. Only \
rows that were looked at may go: dropping the most anomalous ones unseen makes p-values too small.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class AuditOptions:
    """What to look at, or what was found."""

    model: Annotated[str, Option("Model file.", metavar="MODEL", is_argument=True, is_path=True)]
    data: Annotated[
        tuple[str, ...],
        Option(
            "What the model was fitted on, or calibrated with: the review shows the cells, and why.",
            common="What the model was fitted on: the review shows the cells, and why.",
            metavar="DATA",
            is_argument=True,
            is_path=True,
        ),
    ] = ()
    rows: Annotated[
        int | None,
        Option(
            f"List so many rows, 1,000 at most. Default {N_ROWS}.",
            flags=("--rows", "-n"),
            common="List so many rows.",
            metavar="N",
            min=1,
        ),
    ] = None
    answers: Annotated[
        str | None, Option("A review that was filled in.", common=True, metavar="FILE", panel=INPUT, is_path=True)
    ] = None
    id: Annotated[
        tuple[str, ...],
        Option("Columns of DATA to show instead of all. Repeat, or separate by commas.", metavar="COLUMN", panel=INPUT),
    ] = ()
    output: Annotated[
        str | None,
        Option(
            "Where the review goes, in the format of its extension; '-' is standard output. With --answers: where the "
            "changed model goes, which may be MODEL itself.",
            common="Where the review goes; with --answers, the changed model.",
            flags=("--output", "-o"),
            metavar="FILE",
            panel=OUTPUT,
            is_path=True,
        ),
    ] = None
    as_json: Json = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        check_model_path(self.model)
        if self.answers is not None:
            for flag, given in (("DATA", self.data), ("--rows", self.rows), ("--id", self.id)):
                if given:
                    raise InputError(f"{flag} is for the review, and --answers takes one in; leave one of them out.")
            if self.output in (None, STANDARD_OUTPUT):
                raise InputError(
                    "--answers changes the calibration, and --output FILE says where the model goes that has it; "
                    f"-o {self.model} for the same file."
                )
        elif self.id and not self.data:
            raise InputError("--id names columns of DATA, which is not given. Leave it out, or give both.")
        check_one_on_standard_output(self.output, as_json=self.as_json)


@command(HELP)
def audit(auditing: AuditOptions, reading: ReadOptions, run: RunOptions, messages: Messages) -> None:
    """List the calibration rows to look at, or take in what was found."""
    if auditing.answers is not None:
        _take_answers(auditing, auditing.answers, reading, run, messages)
    else:
        _list(auditing, reading, run, messages)


def _list(auditing: AuditOptions, reading: ReadOptions, run: RunOptions, messages: Messages) -> None:
    """Write the calibration rows that somebody should look at."""
    from vae_anomaly_cli.calibration_review import Review, Suspects, review_with_cells
    from vae_anomaly_cli.data import open_data
    from vae_anomaly_cli.models import calibration_of, open_model
    from vae_anomaly_cli.output.targets import choose_target, choose_target_alone

    n_rows = auditing.rows or N_ROWS
    if auditing.data:
        check_found(auditing.data)
        given = replace(reading.of(auditing.data), id=auditing.id)
        data = open_data(kind_of(given.data), given, messages, model=auditing.model, labels="unused")
        target = choose_target(auditing.output, data.source, others={"MODEL": auditing.model})
        model = data.load(auditing.model, run.device, messages)
        detector = model.detector
        with messages.library_warnings():
            suspects = Suspects.of(calibration_of(detector, auditing.model), n_rows)
            review = review_with_cells(data, model, suspects)
    else:
        target = choose_target_alone(auditing.output, others={"MODEL": auditing.model})
        with messages.library_warnings():
            detector = open_model(auditing.model, run.device)
        review = Review(Suspects.of(calibration_of(detector, auditing.model), n_rows))
    _write(auditing, detector, review, target)
    calibration = calibration_of(detector, auditing.model)
    written = "" if target.path is None else f"; written to {target.path}"
    messages.note(
        f"{counted(len(review.suspects), 'calibration row')} to look at of {calibration.n_rows:,}; "
        f"{calibration.suspects.n_audited:,} looked at before, {calibration.suspects.n_confirmed:,} dropped"
        f"{written}"
    )
    if target.path is not None:
        messages.note(
            f"fill in is_anomaly with 1 or 0, then: vae-anomaly audit {auditing.model} --answers {target.path} "
            f"-o {auditing.model}"
        )


def _write(auditing: AuditOptions, detector: "VAEDetector | PatchDetector", review: "Review", target: "Target") -> None:
    """Write the review to a file, to standard output, or for people."""
    from vae_anomaly_cli.output.partial_file import save_table, write_to_standard_output
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.render.drawings import show_drawings
    from vae_anomaly_cli.render.suspects import drawn_suspects

    table = review.table()
    if target.path is not None:
        save_table(table, target, target.path)
    if auditing.as_json:
        suspects = detector.calibration_.suspects
        counts = {"n_audited": suspects.n_audited, "n_confirmed": suspects.n_confirmed}
        about = {"model": auditing.model, "output": auditing.output, "n_calibration": detector.calibration_.n_rows}
        write_summary(about | counts | {"rows": table.to_pylist()})
    elif auditing.output is None and sys.stdout.isatty():
        show_drawings([drawn_suspects(table, None if review.reasons is None else review.reasons.short)])
    elif target.path is None:
        write_to_standard_output(table, target)


def _take_answers(
    auditing: AuditOptions, answers: str, reading: ReadOptions, run: RunOptions, messages: Messages
) -> None:
    """Take confirmed anomalies out of the calibration, and save the model."""
    from vae_anomaly_cli.calibration_review import read_answers
    from vae_anomaly_cli.models import calibration_of, decision_errors, open_model, write_model
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.output.targets import choose_model_path
    from vae_anomaly_cli.render.thresholds import describe_threshold
    from vae_anomaly_cli.sources import open_table

    assert auditing.output is not None
    source = open_table([answers], reading.format, reading.of((answers,)).layout(), messages.warning)
    path = choose_model_path(auditing.output, source)
    with messages.library_warnings():
        detector = open_model(auditing.model, run.device)
    found = read_answers(source, calibration_of(detector, auditing.model), auditing.model)
    if not len(found.rows):
        raise InputError(
            f"{answers}: is_anomaly is empty in all {found.n_open:,} rows, and nothing changes. Fill it in with 1 or 0 "
            "where somebody looked."
        )
    if found.n_without_score:
        messages.warning(
            f"{answers} has no anomaly_score for {counted(found.n_without_score, 'answer')}: whether the rows are "
            f"those of {auditing.model} cannot be checked."
        )
    before = detector.threshold_.score
    more = "give more normal rows with vae-anomaly calibrate"
    with decision_errors(f"{auditing.model} without these rows", more), messages.library_warnings():
        detector.confirm(found.rows.tolist(), found.is_anomaly.tolist())
    write_model(detector, path)
    n_looked_at, n_dropped = len(found.rows), int(found.is_anomaly.sum())
    n_open, threshold = found.n_open, detector.threshold_
    left_open = f", {n_open:,} not looked at (is_anomaly is empty)" if n_open else ""
    messages.note(
        f"{counted(n_looked_at, 'calibration row')} looked at{left_open}; {n_dropped:,} anomalous and dropped, "
        f"{detector.calibration_.n_rows:,} left; threshold moved from {before:,.2f} to {threshold.score:,.2f} nats; "
        f"written to {path}"
    )
    if auditing.as_json:
        counts: dict[str, Any] = {"n_looked_at": n_looked_at, "n_open": n_open, "n_dropped": n_dropped}
        about = {"model": auditing.model, "answers": answers, "output": str(path), "before": before}
        about["n_calibration"] = detector.calibration_.n_rows
        write_summary(about | counts | {"threshold": describe_threshold(threshold)})
    else:
        messages.note(threshold.sentence())
