"""`vae-anomaly score`: how anomalous is each row, or each image."""

import contextlib
import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vae_anomaly_cli.command import FLAGGING, OUTPUT, Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import DRIFTED, CommandError, InputChanged, InputError
from vae_anomaly_cli.options import (
    STANDARD_OUTPUT,
    FitOptions,
    FlagOptions,
    InputOptions,
    ModelOptions,
    OutputOptions,
    PartsOptions,
    RunOptions,
)
from vae_anomaly_cli.sources import Kind
from vae_anomaly_cli.stores import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from vae_anomaly_cli.data import Data
    from vae_anomaly_cli.flagging import Decision
    from vae_anomaly_cli.html_report import PageRows, PageTarget
    from vae_anomaly_cli.labels import Measures
    from vae_anomaly_cli.models import Model
    from vae_anomaly_cli.output.journal import Journal, KeptRows
    from vae_anomaly_cli.output.targets import Target
    from vae_anomaly_cli.pipeline import Explainer, Layout
    from vae_anomaly_cli.render.alert_patterns import AlertPatterns
    from vae_anomaly_cli.render.ranking import Ranking
    from vae_anomaly_cli.render.reasons import Reasons
    from vae_anomaly_cli.tally import Tally
    from vae_anomaly_cli.top_k import Ranked
    from vae_anomaly_cli.training_check import TrainingCheck

MAX_SHOWN_ROWS = 10
# Cells of so many flagged rows are kept, for their patterns.
MAX_SORTED_ROWS = 20_000
MORE_ROWS = "give the model more calibration rows with vae-anomaly calibrate"

HELP = """Score every row, or every image, of DATA.

\b
[bold]Examples[/bold]
  vae-anomaly score data.csv --explain        anomalous rows, and why
  vae-anomaly score data.csv -o scored.csv    every row with its score
  vae-anomaly score data.csv --label outlier --drop comment --top 20
  vae-anomaly score new.csv -m orders.vae --id order_id -o scored.parquet
  vae-anomaly score new.csv -m orders.vae --false-alarm-rate 0.001
  vae-anomaly score photos/                   the most anomalous images
  vae-anomaly score new/ -m parts.vae -o scores.csv --heatmaps maps/
  vae-anomaly score data.csv --show | less    ranked, and not the table
  vae-anomaly score data.csv --top 20 --only-top -o worst.csv
  vae-anomaly score data.csv --explain --column zip=categorical
  vae-anomaly score new.csv -m orders.vae --patterns -o scored.csv
  vae-anomaly score new.csv -m orders.vae --alerts 20 -o scored.csv
  vae-anomaly score new.csv -m orders.vae --fdr 0.1 -o scored.csv
  vae-anomaly score new.csv -m orders.vae --fail-on-drift -o scored.csv
  vae-anomaly score new.csv -m orders.vae -o scored.csv --report report.html
  vae-anomaly score big.parquet -m orders.vae -o scored.parquet --resume
  vae-anomaly score 'parts/day=*/*.csv.gz' -m orders.vae -o scored/
  vae-anomaly score lake/ -m orders.vae -o scored/ --engine ray
  vae-anomaly score lake/ -m orders.vae -o scored/ --shard 2/4
  zcat big.csv.gz | vae-anomaly score - --random-state 1 > scored.csv
  vae-anomaly score test/ -m parts.vae --label folder --normal good
  vae-anomaly score new/ -m parts.vae --top 50 --sheet sheet.png
  vae-anomaly score 'line1/**/*.png' line2/ -m parts.vae

Appends anomaly_score (the negative ELBO in nats, higher is more anomalous), p_value, is_anomaly and problem to the \
columns of the input, or to the --id columns alone. The first column is row, the number of the row in its file from 1, \
and beside it file where rows of several files stand in one table; where the input keeps columns of these names, ours \
are row_number, file_name and row_problem. Rows stay in their order, all of them, unless --only-top writes the --top \
rows alone. Without -o, a terminal shows the most anomalous rows, ranked, and a pipe or a file gets the table, as text \
in the input's format (CSV for binary formats); --show gives the ranking in any case, -o - the table. With -o a \
directory (or a name that ends in '/') gets a file for each table of DATA.

A row with a cell that its column of numbers or dates cannot read has no score, and problem says why; so has a row \
without a value in any column of the model. A warning says how many there are and where the first is; the others are \
scored. Without --model such a cell is missing, as in the fit.

In CSV and TSV the cells ? NA N/A NULL None NaN and empty ones count as missing, and columns of dates like \
2026-02-28 are read as dates; --column says otherwise. Columns of \
an earlier run are replaced.

[bold]Which rows are flagged[/bold]

p_value is the share of the calibration rows that are at least as anomalous, the row itself counted: of normal rows, \
at most 1 in 100 has 0.01 or less. The model holds the scores of the calibration rows, by VAEs that have not seen \
them. p_value is empty where a model has none: see vae-anomaly calibrate. Without --model the rows are ranked among \
themselves, which promises nothing of others; the fit expects anomalies among them (--preset robust), so that scores \
are not those of a model that vae-anomaly fit makes for other rows.

A model that has learned from a review (vae-anomaly learn) gives likelihood_score beside anomaly_score: the score \
without what it has learned.

Rows above the threshold of the model are flagged; the last line says how many normal rows that is. Other rules hold \
for one run and leave the model as it is. --false-alarm-rate 0.01 flags at most 1 % of normal rows, on average over \
fits; with --confidence 0.95 this very model keeps to it, with that probability. --alerts 20 flags 20 rows where all \
rows of DATA are normal, and anomalies besides; --per 5000 says that the 20 are among 5,000 rows. vae-anomaly \
threshold puts a rule into the model.

--fdr 0.1 flags as many rows as can be with at most 10 % of them false alarms, on average over files: a single file \
can have more, and the last line says what is known of it. All rows of DATA are judged together, and so they are read \
twice and scored once. Many rows take many calibration rows: where too few are in the model, the command says how \
many.

All this holds for rows like the calibration rows. Where many more are flagged than expected, or p-values are spread \
in another way, a warning says so and names the columns that explain it. Columns of 2,048 rows, drawn from the file, \
are compared with the training: missing cells, levels and values that it did not have. With --fail-on-drift the exit \
code is 3, after all is written, where vae-anomaly drift would find drift in these rows.

DATA may be larger than memory: it is read, scored and written batch by batch. Without --model a first pass draws \
the rows to fit on. Several files need the same columns. Text becomes typed Parquet, JSON Lines or --json in one more \
pass, because all rows decide what a column is.

A file takes its name when it is whole, and has the mode and owner of the one that it replaces; links are followed, \
devices and pipes written through. With --model the scores so far are kept beside it: after Ctrl-C, a kill or a \
full disk the same command with --resume goes on where it stopped, if model and input are as they were. Ctrl-C while \
it trains a model of its own ends the training, and it goes on with the best model so far.

[bold]Many machines[/bold]

With -o FOLDER/ and --model the parts of DATA can be scored apart: its files, and the row groups of Parquet files of \
more than --part-rows rows, whose results are numbered, like orders-00001-of-00004.parquet. With --engine ray the \
workers of a cluster take them; with --shard 2/4 this machine takes its share of them, and others theirs, from files \
and into a folder that they share. Results, messages and the summary are those of one run, bit for bit, also where all \
rows decide together (--fdr, --alerts): they are scored first, and written then. What is done is noted in \
FOLDER/.vae-anomaly: after a kill the same command goes on there (--engine with --resume), and a worker that is lost \
costs its part, which is scored again. When all shards are done the same command with --resume instead of --shard sums \
them up: --json, --top, --show, --patterns and --fail-on-drift are for that one.

With --explain each row that is shown comes with its most anomalous cells and what is predicted from the row's other \
cells instead. A table gets a column of reasons, filled for the rows that are flagged, or for all with --only-top: \
explaining takes a pass for each column.

With --report FILE.html the run has a page, too, to look at and to send: see vae-anomaly report.

With --patterns flagged rows come sorted by what is out of place in them: rows with the same cells above or below what \
is expected, or with the same unexpected level, make one pattern. Of more than 20,000 flagged rows the most anomalous \
are sorted.

[bold]Images[/bold]

Images of up to 4096 pixels, or with a side below 16, get a model of whole images, others one of overlapping patches, \
which finds anomalous spots: each patch's middle is predicted from what surrounds it. --method says otherwise.

DATA holds images if its names say so; where folders hold tables, too, a pattern such as 'folder/*.png' chooses. \
Without --model the images are their own training data. The output has the columns row, path (in the folder given, or \
in the one that several arguments share), folder (the part before the name), anomaly_score, p_value, is_anomaly and \
problem: why a file could not be used, where the three are empty. Such files are warned of, and the others scored.

So are images of another size than in the fit, unless they are resized: by --image-shape, here or in the fit. Where \
all have another size, none is scored, and the exit code is 2.

Pages of --heatmaps show the image, what the model expects, and the nats by which each pixel is less likely than it \
could be, all on the scale of the model, so that pages can be compared. They keep names and sub-folders. With --top N \
only the N most anomalous get one, and are the ones on the --sheet.

With --label folder --normal NAME, images in that sub-folder are the normal ones, and AUROC and average precision say \
how well the scores separate the others from them.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class ScoreOptions:
    """What to do with scores besides writing them."""

    top: Annotated[
        int | None,
        Option(
            "How many of the most anomalous rows are shown: on a terminal, and with --json (default 10). The table "
            "has all rows all the same; see --only-top.",
            common="How many of the most anomalous rows are shown (default 10).",
            images="Of images, also the heat maps, and the sheet (default 24).",
            min=1,
            panel=OUTPUT,
        ),
    ] = None
    only_top: Annotated[
        bool, Option("Write the --top rows alone to the table, ranked, and not all rows in their order.", panel=OUTPUT)
    ] = False
    show: Annotated[
        bool,
        Option(
            "Show the most anomalous rows on standard output, as on a terminal, wherever it goes: to a pipe or a file "
            "it has the table otherwise, which -o FILE takes besides.",
            common="Show the most anomalous rows, also where standard output is no terminal.",
            panel=OUTPUT,
        ),
    ] = False
    explain: Annotated[
        bool,
        Option(
            "Say why: the most anomalous cells of the rows that are shown; in a table, those of the flagged or --top "
            "rows.",
            common="Say why: the most anomalous cells of rows.",
            panel=OUTPUT,
            only=Kind.TABLES,
        ),
    ] = False
    patterns: Annotated[
        bool,
        Option(
            "Sort the flagged rows into patterns: which cells are out of place, and how, with typical rows. On a "
            "terminal, beside a table that -o FILE takes, or with --json, which has the rows of each.",
            panel=OUTPUT,
            only=Kind.TABLES,
        ),
    ] = False
    date: Annotated[
        str | None,
        Option(
            "With --patterns: the column of dates that says from when to when. Default: the first of the model.",
            metavar="COLUMN",
            panel=OUTPUT,
            only=Kind.TABLES,
        ),
    ] = None
    resume: Annotated[
        bool,
        Option(
            "Go on with an interrupted run of the same command, which had --model and --output FILE: what was scored "
            "is not scored again.",
            panel=OUTPUT,
        ),
    ] = False
    fail_on_drift: Annotated[
        bool,
        Option(
            "End with exit code 3, after all is written, where the rows are no longer like those that the model was "
            "trained on and calibrated with: see vae-anomaly drift.",
            panel=FLAGGING,
            only=Kind.TABLES,
        ),
    ] = False
    heatmaps: Annotated[
        str | None,
        Option(
            "Directory for a page per image that shows where it is anomalous.",
            common=True,
            metavar="DIR",
            panel=OUTPUT,
            only=Kind.IMAGES,
            is_path=True,
        ),
    ] = None
    sheet: Annotated[
        str | None,
        Option(
            "Contact sheet of the most anomalous images.",
            metavar="FILE.png",
            panel=OUTPUT,
            only=Kind.IMAGES,
            is_path=True,
        ),
    ] = None

    report: Annotated[
        str | None,
        Option(
            "Page of its own about the run: scores, reasons, patterns, columns. See vae-anomaly report.",
            metavar="FILE",
            panel=OUTPUT,
            is_path=True,
        ),
    ] = None
    redact: Annotated[
        bool,
        Option(
            "Leave raw values out of the --report: cells, levels, dates, names of rows, images.",
            panel=OUTPUT,
        ),
    ] = False

    def __post_init__(self) -> None:
        """Refuse to cut where nobody says how."""
        if self.only_top and self.top is None:
            raise InputError("--only-top writes the --top rows alone; say how many with --top N.")
        if self.date is not None and not self.patterns:
            raise InputError("--date belongs to --patterns, which is not given. Leave it out, or give both.")
        if self.redact and self.report is None:
            raise InputError("--redact is for the page of --report, which is not given. Leave it out, or give both.")
        if self.report is not None:
            from vae_anomaly_cli.html_report import check_can_draw

            check_can_draw("--report")


@dataclass(frozen=True)
class Plan:
    """Where scores go.

    Attributes
    ----------
    target : Target
        Of the table.
    top : int or None
        How many of the most anomalous rows are shown.
    only_top : bool
        Whether the table has these alone.
    as_json, shows_ranking : bool
        Whether a summary is wanted instead of a table, or people see a ranking.
    with_patterns : bool
        Whether flagged rows are sorted into patterns.
    date : str or None
        The column of dates of these.
    page : PageTarget or None
        Where a page about the run goes.
    page_alone : bool
        Whether that is all that is wanted.
    """

    target: "Target"
    top: int | None
    only_top: bool
    as_json: bool
    shows_ranking: bool
    with_patterns: bool = False
    date: str | None = None
    page: "PageTarget | None" = None
    page_alone: bool = False

    @property
    def n_kept(self) -> int:
        """How many of the most anomalous rows are kept, cells and all."""
        return max(self.n_ranked, MAX_SORTED_ROWS if self.with_patterns else 0)

    @property
    def is_written(self) -> bool:
        """Whether there is a table."""
        return self.target.path is not None or not (self.shows_ranking or self.as_json or self.page_alone)

    @property
    def shows_nothing(self) -> bool:
        """Whether --top has nothing to choose, as the table has all rows."""
        shown = self.shows_ranking or self.as_json or self.page is not None
        return self.top is not None and self.is_streamed and not shown

    @property
    def is_streamed(self) -> bool:
        """Whether the table has all rows, and is written as they are scored."""
        return self.is_written and not self.only_top

    @property
    def n_ranked(self) -> int:
        """How many of the most anomalous rows are wanted, wherever they go."""
        shown = self.shows_ranking or self.as_json or self.only_top
        return (self.top or MAX_SHOWN_ROWS) if shown else 0


@dataclass(frozen=True)
class Result:
    """What is left when all rows are scored.

    Attributes
    ----------
    tally : Tally
        What is known of all rows.
    measures : Measures or None
        How well the scores agree with labels.
    ranked : Ranked
        The most anomalous rows.
    flags : ndarray of bool
        Which of these are above the threshold.
    reasons : Reasons or None
        Why they are anomalous.
    decision : Decision
        What flagged rows.
    patterns : AlertPatterns or None
        The flagged rows by what is out of place in them.
    page : PageRows or None
        What a page shows of them.
    end : callable
        Removes what a run in parts left to go on with, when all is said.
    """

    tally: "Tally"
    measures: "Measures | None"
    ranked: "Ranked"
    flags: "npt.NDArray[np.bool_]"
    reasons: "Reasons | None"
    decision: "Decision"
    patterns: "AlertPatterns | None" = None
    page: "PageRows | None" = None
    end: "Callable[[], None]" = lambda: None


@dataclass(frozen=True)
class Work:
    """What is to be scored, by what, and where that goes.

    Attributes
    ----------
    data : Data
        The input.
    model : Model
        Scores it.
    plan : Plan
        Where scores go.
    layout : Layout
        Columns of the table.
    flagging : FlagOptions
        What flags rows.
    explainer : Explainer or None
        Explains them.
    saved : str or None
        The file of the model.
    resume : bool
        Whether to go on with an interrupted run.
    """

    data: "Data"
    model: "Model"
    plan: Plan
    layout: "Layout"
    flagging: FlagOptions
    explainer: "Explainer | None"
    saved: str | None
    resume: bool

    @property
    def decides_on_all(self) -> bool:
        """Whether all rows have to be scored before one of them is flagged."""
        flagging = self.flagging
        counts = flagging.alerts is not None and flagging.rows_of(self.model.n_rows) is None
        return flagging.fdr is not None or counts


@command(HELP, (Kind.TABLES, Kind.IMAGES))
def score(
    given: InputOptions,
    saved: ModelOptions,
    fitting: FitOptions,
    flagging: FlagOptions,
    output: OutputOptions,
    scoring: ScoreOptions,
    parts: PartsOptions,
    run: RunOptions,
    messages: Messages,
    kind: Kind,
) -> None:
    """Score every row, or every image, of DATA."""
    run_score(given, saved, fitting, flagging, output, scoring, parts, run, messages, kind)


def run_score(
    given: InputOptions,
    saved: ModelOptions,
    fitting: FitOptions,
    flagging: FlagOptions,
    output: OutputOptions,
    scoring: ScoreOptions,
    parts: PartsOptions,
    run: RunOptions,
    messages: Messages,
    kind: Kind,
    *,
    page_option: str = "--report",
    title: str | None = None,
) -> None:
    """Score rows or images, and do what was asked for with the scores.

    Parameters
    ----------
    given, saved, fitting, flagging, output, scoring, parts, run, messages, kind
        Options, as commands take them.
    page_option : str
        What the option is called that names a page; all but "--report" want that page alone.
    title : str, optional
        Of the page.
    """
    _check_rules(saved, fitting, flagging, with_drift=scoring.fail_on_drift)
    from vae_anomaly_cli.pipeline import Layout, OwnColumns
    from vae_anomaly_cli.training_check import check_against_training

    data = _open_data(kind, given, saved, scoring, messages)
    plan = _plan(data, output, scoring, messages, saved.model, page_option, title)
    _check_patterns(data, plan, scoring)
    if _is_of_groups(saved, kind):
        _check_folder(data, plan)
        _score_groups(data, plan, saved, given, flagging, scoring, parts, run, messages)
        return
    in_parts = _check_parts(data, plan, saved, output, scoring, parts)
    own = data.own_columns(explain=scoring.explain, by_file=plan.target.is_directory)
    is_kept = not in_parts and _keeps_scores(data, plan.target, saved.model, scoring)
    model = _open_model(data, saved, fitting, flagging, run, messages, with_drift=scoring.fail_on_drift)
    kept = data.columns.kept
    needs_types = output.as_json or (plan.is_written and plan.target.format.typed)
    types = data.infer_types(kept, messages) if needs_types else {}
    own = dataclasses.replace(own, likelihood=_likelihood_name(data, model))
    layout = Layout(data.source.schema, kept, types if plan.target.format.typed else {}, own)
    explainer = data.explainer(model, messages, explain=scoring.explain, streamed=plan.is_streamed)
    work = Work(data, model, plan, layout, flagging, explainer, saved.model, resume=scoring.resume)
    in_pieces = partial(_score_parts, work, parts, run, messages, explain=scoring.explain)
    result = in_pieces() if in_parts else _score_whole(work, messages, is_kept=is_kept)
    if result is None:
        return
    if plan.with_patterns:
        result = dataclasses.replace(result, patterns=_patterns(data, model, result, plan.date, messages))

    check = check_against_training(model, result.decision, result.tally, messages, with_drift=scoring.fail_on_drift)
    if result.page is not None:
        result.page.finish(result.tally, saved.model, check.lines, messages)
    messages.note(_done(work, result, explain=scoring.explain))
    if flagging.rules and saved.model is not None:
        messages.note(result.decision.sentence)
    check.warn(messages)
    if result.measures is not None:
        messages.answer(result.measures.line(data.noun))
    listed = OwnColumns(likelihood=own.likelihood if output.as_json else None)
    shown = Layout(data.source.schema, kept, types if output.as_json else {}, listed)
    _show(data, model, plan, result, shown, saved.model, check)
    result.end()
    if check.drifted:
        raise typer.Exit(DRIFTED)


def _is_of_groups(saved: ModelOptions, kind: Kind) -> bool:
    """Whether each group of rows is judged by a model of its own."""
    from vae_anomaly_cli.models import is_grouped

    return kind is Kind.TABLES and is_grouped(saved.model)


def _score_groups(
    data: "Data",
    plan: Plan,
    saved: ModelOptions,
    given: InputOptions,
    flagging: FlagOptions,
    scoring: ScoreOptions,
    parts: PartsOptions,
    run: RunOptions,
    messages: Messages,
) -> None:
    """Score rows by the model of their group, and refuse what takes a single one."""
    from vae_anomaly_cli.grouped_score import score_groups
    from vae_anomaly_cli.table_data import TableData

    assert isinstance(data, TableData)
    assert saved.model is not None
    options = {
        "--explain": scoring.explain,
        "--patterns": scoring.patterns,
        "--report": plan.page is not None,
        "--fail-on-drift": scoring.fail_on_drift,
        "--resume": scoring.resume,
        "--label": given.label is not None,
        parts.named if parts.is_used else "": parts.is_used,
    }
    refused = [option for option, is_given in options.items() if is_given]
    score_groups(data, plan, saved.model, flagging, run, refused, messages)


def _show(
    data: "Data",
    model: "Model",
    plan: Plan,
    result: Result,
    shown: "Layout",
    saved: str | None,
    check: "TrainingCheck",
) -> None:
    """Show the most anomalous rows and the patterns, to people or to programs."""
    if plan.n_ranked and (plan.as_json or plan.shows_ranking):
        ranking = data.ranking(shown.table(result.ranked, result.flags, {}), result.ranked, result.reasons)
        if plan.shows_ranking:
            ranking.show()
        else:
            _write_json(data, model, plan, result, saved, ranking, check)
    if result.patterns is not None and not plan.as_json:
        from vae_anomaly_cli.render.drawings import show_drawings

        show_drawings(result.patterns.drawn())


def _plan(
    data: "Data",
    output: OutputOptions,
    scoring: ScoreOptions,
    messages: Messages,
    model: str | None,
    page_option: str,
    title: str | None,
) -> Plan:
    """Settle where scores go, and warn where --top would choose nothing."""
    from vae_anomaly.files import descriptor_of
    from vae_anomaly_cli.output.targets import check_apart, choose_target

    goes_out = output.output is not None and descriptor_of(output.output) == 1
    if scoring.show and (output.as_json or output.output == STANDARD_OUTPUT or goes_out):
        other = "--json" if output.as_json else f"--output {output.output}"
        raise InputError(f"--show and {other} both write to standard output; choose one.")

    if scoring.sheet is not None:
        check_apart("--sheet", Path(scoring.sheet), {"--model": model})
    others = {"--model": model, "--sheet": scoring.sheet}
    target = choose_target(output.output, data.source, parts=data.parts, others=others)
    page, page_alone = None, page_option != "--report"
    if scoring.report is not None:
        from vae_anomaly_cli.html_report import plan_page

        if scoring.report == STANDARD_OUTPUT and not page_alone and target.path is None:
            raise InputError("--report -: scores go to standard output. Give -o FILE for them, or --report FILE.html.")
        apart = {**others, "--output": target.path}
        page = plan_page(
            scoring.report, page_option, data.source, apart, top=scoring.top, redact=scoring.redact, title=title
        )
    shows = output.output is None or (scoring.top is not None and target.path is not None)
    shows_ranking = scoring.show or (shows and not output.as_json and not page_alone and sys.stdout.isatty())
    plan = Plan(
        target,
        scoring.top,
        scoring.only_top,
        output.as_json,
        shows_ranking,
        scoring.patterns,
        scoring.date,
        page,
        page_alone,
    )
    if plan.shows_nothing and not any(data.figures.values()):
        messages.warning(
            f"--top {plan.top} chooses what is shown, and nothing is: the table has all rows. --only-top cuts it; "
            "--show or --json lists the most anomalous rows, as a terminal does."
        )
    return plan


def _score_whole(work: Work, messages: Messages, *, is_kept: bool) -> Result:
    """Score all rows in one go."""
    from vae_anomaly_cli.output.journal import identity, kept_scores

    with contextlib.ExitStack() as closing:
        journal = None
        if is_kept and work.saved is not None:
            resizes = work.model.detector.image_shape is not None
            known = identity(work.saved, work.data.source, dataclasses.asdict(work.flagging), resizes=resizes)
            journal = closing.enter_context(kept_scores(work.plan.target, known, work.data.noun, resume=work.resume))
        return _score_all(work, journal, messages, closing)


def _score_all(work: Work, journal: "Journal | None", messages: Messages, closing: contextlib.ExitStack) -> Result:
    """Score all rows, write them, and rank and draw the most anomalous ones."""
    from vae_anomaly_cli.flagging import Decision
    from vae_anomaly_cli.output.sinks import NoOutput, open_sink
    from vae_anomaly_cli.pipeline import Pipeline

    data, model, plan, layout = work.data, work.model, work.plan, work.layout
    kept: KeptRows | None = journal
    n_decided = None
    decision = Decision(model.detector.threshold_)
    if work.decides_on_all:
        decision, kept, n_decided = _decide_on_all(work, journal, messages, closing)
    sink = NoOutput() if not plan.is_streamed else open_sink(plan.target, data.parts, layout.schema, journal, closing)
    closing.callback(sink.discard)
    names = data.read_columns(model)
    page = None
    if plan.page is not None:
        from vae_anomaly_cli.html_report import PageRows

        page = PageRows(plan.page, data, model, decision)
    pipeline = Pipeline(
        model,
        [*names, plan.date] if plan.date is not None and plan.date not in names else names,
        layout,
        sink,
        messages,
        decision=decision,
        kept=kept,
        explainer=work.explainer,
        label=data.columns.label,
        n_top=max(plan.n_kept, data.n_drawn, 0 if page is None else page.n_kept),
        also=() if page is None else (page,),
        sampled=data.sampled_columns(model),
    )
    pipeline.run(separate_writer=plan.target.is_resumable)
    tally = pipeline.tally
    result = _result(work, tally, decision, journal, messages, n_decided)
    if tally.n_written != tally.n_rows:
        raise CommandError(
            f"{tally.n_written:,} of {counted(tally.n_rows, data.noun)} that were read were written; this is a "
            "fault of vae-anomaly. Report it, please."
        )
    sink.finish()
    if plan.is_written and not plan.is_streamed:
        reasons = {} if result.reasons is None else result.reasons.sentences
        _write(layout.table(result.ranked, result.flags, reasons), plan.target, journal)
    if data.n_drawn:
        data.draw(tally.top.ranked(data.n_drawn), model, messages)
    return dataclasses.replace(result, page=page)


def _result(
    work: Work,
    tally: "Tally",
    decision: "Decision",
    journal: "Journal | None",
    messages: Messages,
    n_decided: int | None = None,
) -> Result:
    """Sum up what was scored."""
    data, model = work.data, work.model
    tally.unusable.warn(messages, tally.n_rows)
    _check_scored(data, tally, journal, n_decided)
    measures = tally.measures(model, data.columns.label, messages)
    ranked = tally.top.ranked(work.plan.n_ranked)
    flags = decision.flags(ranked.judged)
    explained = work.explainer is not None and len(ranked)
    reasons = work.explainer.reasons(ranked, flags) if explained and work.explainer is not None else None
    return Result(tally, measures, ranked, flags, reasons, decision)


def _score_parts(
    work: Work, parts: PartsOptions, run: RunOptions, messages: Messages, *, explain: bool
) -> Result | None:
    """Score the parts of an input; None where only some of them were, whose sum another command makes."""
    from vae_anomaly_cli.distributed.scoring import score_parts
    from vae_anomaly_cli.table_data import TableData
    from vae_anomaly_cli.table_model import TableModel

    data, model, plan = work.data, work.model, work.plan
    assert isinstance(data, TableData)
    assert isinstance(model, TableModel)
    assert work.saved is not None

    def decide(tally: "Tally") -> "Decision":
        _check_scored(data, tally, None)
        return _decide(work, tally, messages)

    scored = score_parts(
        data,
        model,
        plan.target,
        work.layout,
        work.flagging,
        parts,
        run.device,
        messages,
        saved=work.saved,
        resume=work.resume,
        explain=explain,
        n_top=plan.n_kept,
        decide=decide if work.decides_on_all else None,
    )
    if parts.shard is not None:
        scored.warn(messages)
        messages.note(scored.line)
        return None
    result = _result(work, scored.tally, scored.decision, None, messages)
    if work.explainer is not None and explain:
        work.explainer.note(scored.n_explained)
    return dataclasses.replace(result, end=scored.run.end)


def _likelihood_name(data: "Data", model: "Model") -> str | None:
    """Return what the score without what was learned is called; None where nothing was."""
    from vae_anomaly.batches import LIKELIHOOD
    from vae_anomaly_cli.render.taught import Taught

    if not Taught.of(model.detector).is_in_use:
        return None
    if LIKELIHOOD in data.columns.kept:
        raise InputError(
            f"{data.source.name} has a column '{LIKELIHOOD}' of its own, and the output gets one: the model has "
            "learned from answers. Rename it, or name the columns to keep with --id."
        )
    return LIKELIHOOD


def _done(work: Work, result: Result, *, explain: bool) -> str:
    """Say what was done: rows read and scored, what flags them, and where they are."""
    data, model, target = work.data, work.model, work.plan.target
    tally, noun, is_saved = result.tally, data.noun, work.saved is not None
    n_without = tally.n_rows - tally.n_scored
    rows = counted(tally.n_scored, noun)
    if n_without:
        rows = f"{counted(tally.n_rows, noun)} read, {tally.n_scored:,} scored, {n_without:,} with a problem"
    done = f"{model.report}: {rows}" if is_saved else f"{model.report}{f'; {rows}' if n_without else ''}"
    done += f"; {result.decision.line(noun)}, {counted(tally.n_flagged, noun)} flagged"
    done += "" if is_saved else f", p_value is the rank among the {noun}s fitted"
    done += f", {counted(work.explainer.n_rows, 'row')} explained" if explain and work.explainer is not None else ""
    page = None if result.page is None else result.page.target.path
    outputs = [str(path) for path in (target.path, page) if path is not None]
    outputs += [*filter(None, data.figures.values())]
    return f"{done}; written to {', '.join(outputs)}" if outputs else done


def _decide_on_all(
    work: Work, journal: "Journal | None", messages: Messages, closing: contextlib.ExitStack
) -> "tuple[Decision, KeptRows, int]":
    """Score all rows in a pass of its own, and decide by all of them; they are kept for the next pass, and counted."""
    from vae_anomaly_cli.flagging import Decision
    from vae_anomaly_cli.output.journal import TemporaryRows
    from vae_anomaly_cli.output.sinks import NoOutput
    from vae_anomaly_cli.pipeline import Pipeline

    kept: KeptRows = journal if journal is not None else closing.enter_context(contextlib.closing(TemporaryRows()))
    data, model = work.data, work.model
    threshold = Decision(model.detector.threshold_)
    names = data.read_columns(model)
    first = Pipeline(model, names, work.layout, NoOutput(), messages, decision=threshold, kept=kept)
    first.run(separate_writer=journal is not None)
    _check_scored(data, first.tally, journal)
    kept.rewind()
    return _decide(work, first.tally, messages), kept, first.tally.n_rows


def _decide(work: Work, tally: "Tally", messages: Messages) -> "Decision":
    """Decide by all rows together what flags them."""
    from vae_anomaly_cli.flagging import Decision, select_from
    from vae_anomaly_cli.models import decision_errors

    detector, flagging = work.model.detector, work.flagging
    with decision_errors("the model", MORE_ROWS), messages.library_warnings():
        if flagging.fdr is None:
            flagging.check_alerts(tally.n_rows)
            detector.set_threshold(n_alerts=flagging.alerts, per=tally.n_rows)
            return Decision(detector.threshold_)
        selection, score = select_from(detector.calibration_, tally.family, flagging.fdr)
        if score is not None:
            # Maps of images are drawn with the threshold of the detector.
            detector.set_threshold(score=score)
    return Decision(detector.threshold_, selection, score)


def _check_folder(data: "Data", plan: Plan) -> None:
    """Refuse to write whole files into a folder that holds a run in parts, or pieces of them."""
    from vae_anomaly_cli.distributed.scoring import is_in_parts
    from vae_anomaly_cli.output.pieces import check_no_other_pieces

    if plan.target.is_directory and plan.target.path is not None:
        is_in_parts(PartsOptions(), plan.target, resume=False)
        names = [part.relative for part in data.parts]
        check_no_other_pieces(plan.target.path, names, names, "--output")


def _check_parts(
    data: "Data", plan: Plan, saved: ModelOptions, output: OutputOptions, scoring: ScoreOptions, parts: PartsOptions
) -> bool:
    """Say whether the input is scored in parts, and refuse what cannot be then."""
    from vae_anomaly_cli.distributed.scoring import is_in_parts

    if not is_in_parts(parts, plan.target, resume=scoring.resume):
        if parts.part_rows is not None:
            raise InputError("--part-rows cuts files for --engine or --shard; give one of them, too.")
        _check_folder(data, plan)
        return False
    of_all = {
        "--json": output.as_json,
        "--fail-on-drift": scoring.fail_on_drift,
        "--patterns": scoring.patterns,
        "--show": scoring.show,
        f"--top {scoring.top}": scoring.top is not None,
    }
    refused = next((option for option, is_given in of_all.items() if is_given and parts.shard is not None), None)
    if refused is not None:
        raise InputError(
            f"{refused} is about all rows, and --shard {parts.shard} about some. Give it to the command that sums up "
            "the shards, with --resume in the place of --shard."
        )
    named = parts.named if parts.is_used else "--resume of a run in parts"
    if saved.model is None:
        raise InputError(
            f"{named} needs a saved model, so that all parts are scored by the same one. Fit one first "
            "(vae-anomaly fit DATA -o m.vae), and give it with -m."
        )
    if not plan.target.is_directory:
        raise InputError(
            f"{named} writes a file of results for each part; expected a folder, like --output scored/, whose name "
            "ends in '/' or that is there."
        )
    if data.source.identity() is None:
        raise InputError(f"{named}: {data.source.name} cannot be read by others; name files that all machines share.")
    for is_given, option in ((plan.only_top, "--only-top"), (plan.page is not None, "--report")):
        if is_given:
            raise InputError(f"{option} and {named} do not go together. Score the results' input again without parts.")
    if data.source.format.text and plan.target.format.typed:
        raise InputError(f"{named}: text becomes typed columns only when all of it is read; write it as text.")
    return True


def _check_scored(data: "Data", tally: "Tally", journal: "Journal | None", n_decided: int | None = None) -> None:
    """Refuse to go on where no file could be scored, or other rows were decided by."""
    if n_decided not in (None, tally.n_rows):
        raise InputChanged(
            f"{data.source.name} changed while it was read: it had {counted(n_decided or 0, data.noun)} and then "
            f"{tally.n_rows:,}. Score a copy of it."
        )
    if journal is not None and journal.n_rows:
        raise InputError(
            f"--resume: {journal.path} holds scores of {counted(journal.n_rows, data.noun)} more than "
            f"{data.source.name} has. Score again without --resume."
        )
    if tally.n_scored:
        return
    if journal is not None:
        journal.forget()
    raise CommandError(tally.unusable.none_of(data.source.name, tally.n_rows))


def _check_patterns(data: "Data", plan: Plan, scoring: ScoreOptions) -> None:
    """Refuse patterns that nobody would see, and dates that are in no column."""
    if not scoring.patterns:
        return
    if plan.target.path is None and not (plan.shows_ranking or plan.as_json):
        raise InputError(
            "--patterns: the table goes to standard output, where patterns would stand in it. Give -o FILE for the "
            "table, --show, or --json."
        )
    if scoring.date is not None and scoring.date not in data.source.schema.names:
        raise InputError(f"--date {scoring.date}: {data.source.name} has no such column.")


def _patterns(data: "Data", model: "Model", result: Result, date: str | None, messages: Messages) -> "AlertPatterns":
    """Sort the flagged rows among the most anomalous ones into patterns."""
    import numpy as np

    from vae_anomaly_cli.render.alert_patterns import AlertPatterns
    from vae_anomaly_cli.table_data import TableData
    from vae_anomaly_cli.table_model import TableModel

    assert isinstance(data, TableData)
    assert isinstance(model, TableModel)
    ranked = result.tally.top.ranked(MAX_SORTED_ROWS)
    flagged = np.flatnonzero(result.decision.flags(ranked.judged))
    # In the order of the input.
    flagged = flagged[np.argsort(ranked.rows[flagged])]
    return AlertPatterns(
        model.patterns(ranked.cells.take(flagged), date, messages),
        data.numbers(ranked.files[flagged], ranked.rows_in_file[flagged]),
        result.tally.n_flagged,
    )


def _check_rules(saved: ModelOptions, fitting: FitOptions, flagging: FlagOptions, *, with_drift: bool) -> None:
    """Refuse rules that contradict one another, or promise what nothing is known of."""
    if with_drift and saved.model is None:
        raise InputError(
            "--fail-on-drift compares rows with those that a model was trained on, and without --model it is fitted "
            "on the rows that it scores. Fit on reference rows first: vae-anomaly fit reference.csv -o m.vae."
        )
    if flagging.rules and fitting.contamination is not None:
        raise InputError(f"--contamination and {flagging.rules[0]} each say which rows are flagged; give one of them.")
    if flagging.promises is not None and saved.model is None:
        raise InputError(
            f"{flagging.promises} promises something of rows that the model has not seen, and without --model it is "
            "fitted on the rows that it scores. Fit on reference rows first (vae-anomaly fit reference.csv -o m.vae), "
            "then score others with -m m.vae; --alerts and --top take the most anomalous rows of one file."
        )


def _open_data(
    kind: Kind, given: InputOptions, saved: ModelOptions, scoring: ScoreOptions, messages: Messages
) -> "Data":
    """Find the input, and what options or the model say of it."""
    from vae_anomaly_cli.data import open_data

    heatmaps, sheet, top = scoring.heatmaps, scoring.sheet, scoring.top
    return open_data(kind, given, messages, model=saved.model, heatmaps=heatmaps, sheet=sheet, top=top)


def _open_model(
    data: "Data",
    saved: ModelOptions,
    fitting: FitOptions,
    flagging: FlagOptions,
    run: RunOptions,
    messages: Messages,
    *,
    with_drift: bool,
) -> "Model":
    """Load the model, or fit one; its threshold is that of this run."""
    from vae_anomaly_cli.models import calibration_of, decision_errors

    if saved.model is None:
        model = data.fit_own_rows(fitting, run.device, messages)
    else:
        model = data.load(saved.model, run.device, messages, size=fitting.size)
        if flagging.rules or with_drift:
            calibration_of(model.detector, saved.model)
        elif model.detector.decisions_.calibration is None:
            messages.warning(
                f"{saved.model} has no calibration: p_value is empty, and how many normal {data.noun}s are flagged is "
                f"not known. Calibrate it with normal {data.noun}s that it has not seen: vae-anomaly calibrate."
            )
    with decision_errors(saved.model or "the fit", MORE_ROWS), messages.library_warnings():
        if flagging.false_alarm_rate is not None:
            model.detector.set_threshold(false_alarm_rate=flagging.false_alarm_rate, confidence=flagging.confidence)
        elif flagging.alerts is not None and (per := flagging.rows_of(model.n_rows)) is not None:
            flagging.check_alerts(per)
            model.detector.set_threshold(n_alerts=flagging.alerts, per=per)
    return model


def _keeps_scores(data: "Data", target: "Target", model: str | None, scoring: ScoreOptions) -> bool:
    """Refuse what cannot go together, and say whether an interrupted run can be gone on with."""
    if scoring.only_top and target.is_directory:
        raise InputError(f"--only-top ranks the rows of all files; expected the name of one file, not {target.path}.")
    if scoring.resume and isinstance(target.path, Address):
        raise InputError(
            f"--resume: scores are kept in a file beside the output, and {target.path} is in a store, whose objects "
            "are neither appended to nor locked. Score in parts, which are kept in a folder there: --shard 1/1 and -o "
            "with a name that ends in '/'; or to a local file."
        )
    is_kept = model is not None and target.is_resumable and data.source.identity() is not None
    if scoring.resume and not is_kept:
        raise InputError(
            "--resume goes on with a run that had --model, files as input, and --output FILE; without these nothing "
            "is kept. Leave it out."
        )
    return is_kept


def _write(cells: "pa.Table", target: "Target", journal: "Journal | None") -> None:
    from vae_anomaly_cli.output.partial_file import save_table, write_to_standard_output

    if target.path is not None:
        save_table(cells, target, target.path, None if journal is None else journal.note_file)
        return
    write_to_standard_output(cells, target)


def _write_json(
    data: "Data",
    model: "Model",
    plan: Plan,
    result: Result,
    saved: str | None,
    ranking: "Ranking",
    check: "TrainingCheck",
) -> None:
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.stores import place_of

    summary = model.summary(result.tally.n_rows, result.tally.unusable.count)
    path = plan.target.path
    summary |= {
        "model": None if saved is None else str(place_of(saved)),
        "threshold": result.decision.score,
        "decision": result.decision.describe(),
        "n_anomalies": result.tally.n_flagged,
        "problems": result.tally.unusable.first,
        "output": None if path is None else str(path),
        "against_training": check.summary,
        **data.figures,
    }
    if result.measures is not None:
        summary["label"] = result.measures.describe()
    if result.patterns is not None:
        summary["patterns"] = result.patterns.describe()
    write_summary(summary | {"ranked": ranking.objects()})
