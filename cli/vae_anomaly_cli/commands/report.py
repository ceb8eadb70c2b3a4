"""`vae-anomaly report`: a page about rows or images, for people who do not run commands."""

from dataclasses import dataclass
from typing import Annotated

from vae_anomaly_cli.command import OUTPUT, Option, command
from vae_anomaly_cli.commands.score import ScoreOptions, run_score
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.options import (
    FitOptions,
    FlagOptions,
    InputOptions,
    ModelOptions,
    OutputOptions,
    PartsOptions,
    RunOptions,
)
from vae_anomaly_cli.sources import Kind

MAX_SHOWN = 2_000

HELP = """Score every row, or every image, of DATA, and make a page of what was found.

\b
[bold]Examples[/bold]
  vae-anomaly report data.csv -o report.html
  vae-anomaly report new.csv -m orders.vae -o report.html
  vae-anomaly report new.csv -m orders.vae --redact -o to_send.html
  vae-anomaly report data.csv --label fraud --id order_id -o report.html
  vae-anomaly report new.csv -m orders.vae --fdr 0.1 --top 500 -o report.html
  vae-anomaly report photos/ -m parts.vae -o report.html
  vae-anomaly report new.csv -m orders.vae -o - > report.html

The page is one HTML file that needs nothing besides: no network, no program but a browser. It has the scores and the \
threshold with the false alarms to expect and their bound; the most anomalous rows with their reasons, to search, \
sort, filter and open; patterns of flagged rows; each column beside what it was in training; calibration; the \
diagnosis of the fit; what was read and how. With --label also ROC and precision-recall curves and precision with \
intervals; of images the most anomalous with heat maps.

It shows the --top most anomalous rows (default 200), or 48 images, and says how many there are. Patterns are those \
of the 1,000 most anomalous flagged rows.

With --redact no raw value of DATA is on it: no cell, level, date, name of a row or image, and no message that may \
quote one. Names of columns, counts, shares, nats and ranges rounded to two digits stay.

Without --model it is fitted on DATA, whose rows are ranked among themselves: see vae-anomaly score, of which this is \
the page, with the same options. score --report writes it beside a table.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class PageOptions:
    """What the page shows, and where it goes."""

    output: Annotated[
        str,
        Option(
            "Where the page goes, like report.html; '-' is standard output.",
            flags=("--output", "-o"),
            metavar="FILE",
            panel=OUTPUT,
            is_path=True,
            common=True,
        ),
    ]
    top: Annotated[
        int | None,
        Option(
            "How many of the most anomalous rows it shows. Default 200.",
            min=1,
            max=MAX_SHOWN,
            panel=OUTPUT,
            common=True,
        ),
    ] = None
    redact: Annotated[
        bool, Option("Leave raw values out: cells, levels, dates, names of rows, images.", panel=OUTPUT, common=True)
    ] = False
    title: Annotated[str | None, Option("Title of the page.", metavar="TEXT", panel=OUTPUT)] = None


@command(HELP, (Kind.TABLES, Kind.IMAGES))
def report(
    given: InputOptions,
    saved: ModelOptions,
    fitting: FitOptions,
    flagging: FlagOptions,
    paging: PageOptions,
    run: RunOptions,
    messages: Messages,
    kind: Kind,
) -> None:
    """Score DATA, and make a page of what was found."""
    scoring = ScoreOptions(top=paging.top, report=paging.output, redact=paging.redact)
    run_score(
        given,
        saved,
        fitting,
        flagging,
        OutputOptions(),
        scoring,
        PartsOptions(),
        run,
        messages,
        kind,
        page_option="--output",
        title=paging.title,
    )
