"""`vae-anomaly review`: which rows, or images, a person should look at next."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from vae_anomaly_cli.command import Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.options import InputOptions, OutputOptions, RunOptions, SavedModelOptions
from vae_anomaly_cli.sources import Kind

if TYPE_CHECKING:
    from vae_anomaly_cli.models import Model
    from vae_anomaly_cli.output.targets import Target
    from vae_anomaly_cli.proposals import Proposals

N_ROWS = 20

HELP = """List the rows, or the images, of DATA that a person should look at next, so that the model can learn.

\b
[bold]Examples[/bold]
  vae-anomaly review new.csv -m orders.vae -n 20 -o todo.csv   look at these ...
  vae-anomaly learn orders.vae todo.csv -o orders.vae   ... and let it learn
  vae-anomaly review new.csv -m orders.vae -n 20 -o todo2.csv  the next ones
  vae-anomaly review new/ -m parts.vae -o todo.csv      images, by path

Most are the most anomalous rows; a few are uncertain: of them an answer tells the most. Rows that were answered \
before are not listed again, nor are rows that are equal to them.

The table has for each row its number (from 1), beside file where DATA has several, anomaly_score in nats, p_value, \
why it is listed, reasons, all its cells, and an empty column is_anomaly. A model that has learned before gives \
likelihood_score, too: the score without what was learned.

Fill in is_anomaly with 1 or 0 (true or false, yes or no), and leave it empty where nobody looked; lines and columns \
that the model does not use may be removed, the cells of the others are what vae-anomaly learn learns from. A row that \
is rare but of no interest is a 0: the model learns to mind that kind less.

DATA may be larger than memory.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class ReviewOptions:
    """How many rows to list."""

    rows: Annotated[
        int | None,
        Option(
            f"List so many rows. Default {N_ROWS}.",
            flags=("--rows", "-n"),
            common="List so many rows.",
            metavar="N",
            min=1,
        ),
    ] = None


@command(HELP, (Kind.TABLES, Kind.IMAGES), without=("id", "label", "anomalous", "normal"))
def review(
    given: InputOptions,
    saved: SavedModelOptions,
    reviewing: ReviewOptions,
    output: OutputOptions,
    run: RunOptions,
    messages: Messages,
    kind: Kind,
) -> None:
    """List the rows or images of DATA to look at next."""
    from vae_anomaly_cli.data import open_data
    from vae_anomaly_cli.output.targets import choose_target
    from vae_anomaly_cli.proposals import propose
    from vae_anomaly_cli.render.taught import check_learns

    data = open_data(kind, given, messages, model=saved.model, labels="unused")
    target = choose_target(output.output, data.source, others={"--model": saved.model})
    model = data.load(saved.model, run.device, messages, size=saved.size)
    check_learns(model.detector, saved.model)
    found = propose(data, model, reviewing.rows or N_ROWS, messages)
    _write(found, model, saved.model, output, target)
    n_listed = found.table.num_rows
    listed = f"{counted(n_listed, data.noun)} to look at of {found.n_scored:,}"
    listed += f", {found.n_uncertain:,} of them uncertain" if found.n_uncertain else ""
    listed += f"; {found.n_answered:,} answered before" if found.n_answered else ""
    messages.note(listed if target.path is None else f"{listed}; written to {target.path}")
    if target.path is not None and n_listed:
        images = "" if kind is Kind.TABLES else f" --images {given.data[0]}"
        messages.note(
            f"fill in is_anomaly with 1 or 0, then: vae-anomaly learn {saved.model} {target.path}{images} "
            f"-o {saved.model}{', with the reviews before it' if found.n_answered else ''}; p-values stay where "
            "--calibrate names rows that the model was not fitted on, as these if they are new"
        )


def _write(found: "Proposals", model: "Model", path: str, output: OutputOptions, target: "Target") -> None:
    """Write the review to a file, to standard output, or for people."""
    from vae_anomaly_cli.output.partial_file import save_table, write_to_standard_output
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.render.drawings import show_drawings
    from vae_anomaly_cli.render.suspects import drawn_proposals

    if target.path is not None:
        save_table(found.table, target, target.path)
    if output.as_json:
        counts = {
            "n_scored": found.n_scored,
            "n_listed": found.table.num_rows,
            "n_uncertain": found.n_uncertain,
            "n_answered": found.n_answered,
        }
        about = {"input": model.source.name, "model": path, "output": output.output}
        write_summary(about | counts | {"rows": found.table.to_pylist()})
    elif output.output is None and sys.stdout.isatty():
        show_drawings([drawn_proposals(found.table, found.row_name, found.file_name)])
    elif target.path is None:
        write_to_standard_output(found.table, target)
