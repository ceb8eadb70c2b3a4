"""The typer application of `vae-anomaly`: its commands, and what it says of itself."""

import importlib.metadata
from typing import Annotated

import typer

from vae_anomaly_cli.command import Command
from vae_anomaly_cli.commands.audit import audit
from vae_anomaly_cli.commands.calibrate import calibrate
from vae_anomaly_cli.commands.compare import compare
from vae_anomaly_cli.commands.drift import drift
from vae_anomaly_cli.commands.evaluate import evaluate
from vae_anomaly_cli.commands.explain import explain
from vae_anomaly_cli.commands.export import export
from vae_anomaly_cli.commands.fit import fit
from vae_anomaly_cli.commands.info import info
from vae_anomaly_cli.commands.learn import learn
from vae_anomaly_cli.commands.report import report
from vae_anomaly_cli.commands.review import review
from vae_anomaly_cli.commands.score import score
from vae_anomaly_cli.commands.sensitivity import sensitivity
from vae_anomaly_cli.commands.serve import serve
from vae_anomaly_cli.commands.threshold import threshold

COMMANDS: tuple[Command, ...] = (
    score,
    report,
    explain,
    fit,
    info,
    compare,
    evaluate,
    threshold,
    calibrate,
    audit,
    review,
    learn,
    drift,
    sensitivity,
    export,
    serve,
)

HELP = """Find the anomalous rows of a table, or the anomalous images of a folder.

\b
[bold]Examples[/bold]
  vae-anomaly score data.csv                  the most anomalous rows, ranked
  vae-anomaly score data.csv -o scored.csv    every row with its score
  vae-anomaly fit orders.csv -o orders.vae    fit once ...
  vae-anomaly score new.csv -m orders.vae     ... and score what comes later
  vae-anomaly score parts/ -m orders.vae -o scored/   file by file
  vae-anomaly report new.csv -m orders.vae -o report.html      a page to send
  vae-anomaly explain new.csv -m orders.vae   why rows are anomalous
  vae-anomaly info orders.vae                 what the model was fitted on
  vae-anomaly fit good/ -o parts.vae          images of normal parts ...
  vae-anomaly score new/ -m parts.vae --heatmaps maps/   heat maps of others
  vae-anomaly compare data.csv --label fraud  beside simpler detectors
  vae-anomaly evaluate known.csv -m orders.vae --label fraud   a model of yours
  vae-anomaly threshold orders.vae            false alarms to expect, and others
  vae-anomaly calibrate normal.csv -m orders.vae -o orders.vae
  vae-anomaly audit orders.vae orders.csv -o review.csv        what to look at
  vae-anomaly review new.csv -m orders.vae -o todo.csv         what to look at next
  vae-anomaly learn orders.vae todo.csv -o orders.vae          what was found
  vae-anomaly drift new.csv -m orders.vae     are new rows like those before
  vae-anomaly sensitivity orders.vae new.csv  what it would not notice
  vae-anomaly export orders.vae orders.onnx   to score without PyTorch
  vae-anomaly serve orders.vae                scores over HTTP

The score of a row is its negative ELBO under variational autoencoders, in nats; that of a small image how rare its \
ELBO and two companions are among training images, in nats; that of a large one its most anomalous patch, in nats per \
pixel. Higher is more anomalous.

\b
[bold]Exit codes[/bold]
  0    done, or the reader of standard output left (| head)
  1    the work failed: training diverged, output could not be written
  2    options or input that cannot be used
  3    drift --fail-on-drift or score --fail-on-drift found some
  130  interrupted with Ctrl-C: score --resume goes on from there, and fit has
       saved the best model so far, but never over a file that was there.
       In their own training, score and explain go on with that model instead
  143  ended by SIGTERM, 129 by SIGHUP: nothing half done is left, and score
       --resume goes on from there
"""

application = typer.Typer(
    help=HELP,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for _command in COMMANDS:
    application.command(_command.name, help=_command.help)(_command.callback())


def _show_version(wanted: bool) -> None:
    if wanted:
        # Asked of the installation: importing the library would load PyTorch.
        typer.echo(f"vae-anomaly {importlib.metadata.version('vae-anomaly')}")
        raise typer.Exit


@application.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
