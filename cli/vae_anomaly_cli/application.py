"""The typer application of `vae-anomaly`: its commands, and what it says of itself."""

import functools
import importlib.metadata
from itertools import chain
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from vae_anomaly_cli.command import Command
from vae_anomaly_cli.commands.audit import audit
from vae_anomaly_cli.commands.calibrate import calibrate
from vae_anomaly_cli.commands.compare import compare
from vae_anomaly_cli.commands.drift import drift
from vae_anomaly_cli.commands.evaluate import evaluate
from vae_anomaly_cli.commands.explain import explain
from vae_anomaly_cli.commands.export import export
from vae_anomaly_cli.commands.fit import fit
from vae_anomaly_cli.commands.impute import impute
from vae_anomaly_cli.commands.info import info
from vae_anomaly_cli.commands.learn import learn
from vae_anomaly_cli.commands.report import report
from vae_anomaly_cli.commands.review import review
from vae_anomaly_cli.commands.sample import sample
from vae_anomaly_cli.commands.score import score
from vae_anomaly_cli.commands.sensitivity import sensitivity
from vae_anomaly_cli.commands.serve import serve
from vae_anomaly_cli.commands.threshold import threshold
from vae_anomaly_cli.help_pages import Entry, HelpText, Page

# By what people want to do: the order of the help.
SECTIONS: dict[str, tuple[Command, ...]] = {
    "Find anomalies": (score, report, explain, fit, info),
    "Decide what is one": (threshold, calibrate, evaluate, compare, drift, sensitivity),
    "Look at rows, and teach the model": (review, learn, audit),
    "Use the model for more": (serve, impute, sample, export),
}
COMMANDS = tuple(chain.from_iterable(SECTIONS.values()))

HELP = """Find the anomalous rows of a table, or the anomalous images of a folder, and say why.

\b
[bold]Examples[/bold]
  vae-anomaly score data.csv --explain        anomalous rows, and why
  vae-anomaly score data.csv -o scored.csv    every row with its score
  vae-anomaly fit orders.csv -o orders.vae    fit once ...
  vae-anomaly score new.csv -m orders.vae     ... and score what comes later
  vae-anomaly report new.csv -m orders.vae -o report.html      a page to send
  vae-anomaly fit good/ -o parts.vae          images of normal parts ...
  vae-anomaly score new/ -m parts.vae         ... and of others

The score is the negative ELBO of variational autoencoders, in nats: higher is more anomalous.

\b
[bold]Exit codes[/bold]
  0    done, or the reader of standard output left (| head)
  1    the work failed: training diverged, output could not be written
  2    options or input that cannot be used
  3    drift --fail-on-drift or score --fail-on-drift found some
  130  interrupted with Ctrl-C: score --resume goes on from there, and fit has
       saved the best model so far, but never over a file that was there
  143  ended by SIGTERM, 129 by SIGHUP: nothing half done is left
"""
OPTIONS = (
    Entry("-h, --help", "This page; after a command, its common options."),
    Entry("--help-all", "After a command: all its options, and what it does."),
    Entry("--version", "Show the version and exit."),
    Entry("--install-completion", "Let the shell complete commands and options."),
)


class WithSections(TyperGroup):
    """Shows the commands by what they are for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        entries = {
            section: [Entry(each.name, each.sentence) for each in commands] for section, commands in SECTIONS.items()
        }
        usage = "vae-anomaly COMMAND [ARGUMENTS] [OPTIONS]"
        formatter.write(Page(usage, HelpText.of(HELP), {**entries, "Options": OPTIONS}).drawn())


application = typer.Typer(
    cls=WithSections,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for _command in COMMANDS:
    application.command(_command.name, cls=_command.typer_class(), short_help=_command.sentence)(
        _command.callback(COMMANDS)
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        # Asked of the installation: importing the library would load PyTorch.
        typer.echo(f"vae-anomaly {importlib.metadata.version('vae-anomaly')}")
        raise typer.Exit


def _show_page(context: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(context.get_help())
        raise typer.Exit


@application.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
    help_all: Annotated[bool, typer.Option("--help-all", hidden=True, callback=_show_page, is_eager=True)] = False,
) -> None:
    """Take the options that stand before a command."""


@functools.cache
def command_line() -> Any:
    """Return what reads arguments and runs a command: made once, for making it takes longer than to read them."""
    return get_command(application)
