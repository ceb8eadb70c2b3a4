"""`vae-anomaly compare`: VAEDetector and simpler detectors, where anomalies are known."""

import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from vae_anomaly_cli.command import OUTPUT, Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import STANDARD_OUTPUT, FitOptions, InputOptions, OutputOptions, RunOptions
from vae_anomaly_cli.sources import Kind

if TYPE_CHECKING:
    import pyarrow as pa

    from vae_anomaly import Comparison
    from vae_anomaly.comparison import Setting
    from vae_anomaly_cli.html_report import PageTarget
    from vae_anomaly_cli.labels import Labels
    from vae_anomaly_cli.output.targets import Target
    from vae_anomaly_cli.table_data import TableData

MIN_ANOMALIES, MIN_NORMAL = 2, 4

HELP = """Compare VAEDetector with simpler detectors on rows of DATA whose anomalies are known.

\b
[bold]Examples[/bold]
  vae-anomaly compare data.csv --label fraud
  vae-anomaly compare data.csv --label class --anomalous sick --train clean
  vae-anomaly compare data.csv --label fraud --splits 5 -o measured.csv
  vae-anomaly compare data.csv --label fraud --report compared.html

The others are scikit-learn's: IsolationForest, LOF (20 neighbours), kNN (mean distance to 5), PCA (log-likelihood, \
components with 90 % of the variance) and GaussianMixture (components by BIC). VAEDetector takes the table as it is, \
with defaults or the options below; the others get medians for missing values, standardised numbers, and text one-hot \
with levels in fewer than 10 rows together; --column holds for both. No detector sees the labels.

--train clean fits on a random half of the normal rows, anew in each split, and scores the other half and all \
anomalies; --train all fits on all rows and scores the same ones, where splits differ by the seed alone: VAEDetector \
by its training_scores_, those of the robust preset, which vae-anomaly score takes, too; and a scored training row is \
not its own neighbour. Rows without a label are left out.

Shown are means and standard deviations over the splits of AUROC, average precision, and precision among as many \
rows as there are anomalies; and the AUROC less that of VAEDetector, with intervals that hold together at 95 %: \
DeLong's for paired AUROCs, each row counted once however many splits score it, plus the variance between splits \
(Student's t, Bonferroni). Of two detectors one is called better only if the interval leaves out 0 and it is ahead in \
every split; with fewer than 8 anomalies, or normal rows, there is no verdict. Ctrl-C ends the comparison and writes \
nothing.

Exit codes: see vae-anomaly --help.
"""


class Training(StrEnum):
    """Which rows detectors are fitted on."""

    CLEAN = "clean"
    ALL = "all"
    BOTH = "both"


SETTINGS: "dict[Training, tuple[Setting, ...]]" = {
    Training.CLEAN: ("clean",),
    Training.ALL: ("all",),
    Training.BOTH: ("clean", "all"),
}


@dataclass(frozen=True)
class CompareOptions:
    """How to compare."""

    train: Annotated[Training, Option("Fit on half of the normal rows, on all rows, or each in turn.", common=True)] = (
        Training.BOTH
    )
    splits: Annotated[int, Option("Random splits, and seeds.", common="Random splits.", min=1)] = 3
    n_jobs: Annotated[
        int,
        Option(
            "Fits at a time; -1 is one for each processor. Measures stay the same; fits that share processors take "
            "more seconds.",
            metavar="N",
        ),
    ] = 1

    report: Annotated[
        str | None,
        Option(
            "Page of its own with the tables, what follows from them, and ROC and precision-recall curves.",
            metavar="FILE",
            panel=OUTPUT,
            is_path=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse fewer than one fit at a time, and a page that could not be drawn."""
        if self.report is not None:
            from vae_anomaly_cli.html_report import check_can_draw

            check_can_draw("--report")
        if self.n_jobs < 1 and self.n_jobs != -1:
            raise InputError(f"--n-jobs {self.n_jobs}: expected a number of fits, like 4, or -1 for all processors.")


@command(
    HELP,
    (Kind.TABLES,),
    without=("contamination", "sample_rows", "calibration", "calibration_groups"),
    required=("label",),
)
def compare(
    given: InputOptions,
    comparing: CompareOptions,
    fitting: FitOptions,
    output: OutputOptions,
    run: RunOptions,
    messages: Messages,
) -> None:
    """Compare VAEDetector with simpler detectors on labelled rows."""
    import numpy as np
    import pyarrow as pa

    from vae_anomaly_cli.features import training_frame
    from vae_anomaly_cli.models import library_errors
    from vae_anomaly_cli.output.partial_file import save_table
    from vae_anomaly_cli.output.targets import choose_target
    from vae_anomaly_cli.render.comparison import OURS
    from vae_anomaly_cli.table_data import TableData
    from vae_anomaly_cli.table_model import new_detector
    from vae_anomaly_cli.tables import read_table

    data = TableData.open(given, messages)
    target = choose_target(output.output, data.source)
    page = _plan_page(comparing, target, data)
    table = read_table(data.source)
    labels = data.labels(table, messages)
    assert labels is not None
    rows = np.flatnonzero(labels.known)
    _check_counts(labels)
    declared, missing = data.columns.declared_kinds(fitting.column), data.columns.missing_values(fitting.missing_values)
    names = data.columns.for_training(messages)
    frame = training_frame(table, names, declared).iloc[rows]
    import vae_anomaly

    detector, start = new_detector(fitting, declared, run.device, missing_values=missing), time.perf_counter()
    with library_errors(table.name, lambda row: table.locate(int(rows[row]))), messages.library_warnings():
        comparison = vae_anomaly.compare(
            frame,
            labels.is_anomaly[rows],
            detectors={OURS: detector, **vae_anomaly.simple_detectors(declared)},
            settings=SETTINGS[comparing.train],
            n_splits=comparing.splits,
            random_state=fitting.random_state or 0,
            n_jobs=comparing.n_jobs,
            verbose=messages.progress,
        )
    n_skipped = table.n_rows - len(rows)
    done = (
        f"compared on {table.name}: {counted(len(rows), 'row')}, {counted(frame.shape[1], 'column')}, "
        f"{counted(len(comparison.measures), 'fit')}, {time.perf_counter() - start:.1f} s"
    )
    done += f"; {counted(n_skipped, 'row')} without a label left out" if n_skipped else ""
    measured = pa.Table.from_pandas(comparison.measures, preserve_index=False)
    if target.path is not None:
        save_table(measured, target, target.path)
        done += f"; written to {target.path}"
    if page is not None:
        done += _write_page(page, comparison, table.name, comparing.splits)
    messages.note(done)
    about = {"input": table.name, "rows": table.n_rows, "label": labels.describe(), "seed": fitting.random_state or 0}
    _write(comparison, measured, target, output, about | {"splits": comparing.splits}, messages)


def _plan_page(comparing: CompareOptions, target: "Target", data: "TableData") -> "PageTarget | None":
    """Settle where a page goes before any work is done."""
    if comparing.report is None:
        return None
    from vae_anomaly_cli.html_report import plan_page

    if comparing.report == STANDARD_OUTPUT:
        raise InputError("--report -: the tables go to standard output. Give --report FILE.html.")
    return plan_page(comparing.report, "--report", data.source, {"--output": target.path})


def _write_page(page: "PageTarget", comparison: "Comparison", name: str, n_splits: int) -> str:
    """Write the page, and say where."""
    from vae_anomaly_cli.html_report import comparison_page

    page.write(comparison_page(comparison, name, n_splits))
    return f"; page written to {page.path}"


def _write(
    comparison: "Comparison",
    measured: "pa.Table",
    target: "Target",
    output: OutputOptions,
    about: dict[str, Any],
    messages: Messages,
) -> None:
    """Write to standard output: an object, measures with verdicts beside them, or tables for people."""
    from vae_anomaly_cli.output.partial_file import write_to_standard_output
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.render.comparison import comparison_objects

    if output.as_json:
        path = None if target.path is None else str(target.path)
        write_summary(about | {"output": path, "settings": comparison_objects(comparison)})
    elif output.output == STANDARD_OUTPUT:
        for setting in comparison.settings:
            messages.answer(f"{setting}: {comparison.verdict(setting)}")
        write_to_standard_output(measured, target)
    else:
        _show(comparison)


def _show(comparison: "Comparison") -> None:
    """Write tables of measures to standard output: within the width of a terminal, or as plain text."""
    from rich.console import Console

    from vae_anomaly_cli.render.comparison import show_comparison
    from vae_anomaly_cli.render.drawings import write_plain

    if sys.stdout.isatty():
        show_comparison(comparison, Console(highlight=False))
        return
    write_plain(lambda plain: show_comparison(comparison, plain))


def _check_counts(labels: "Labels") -> None:
    """Refuse labels that nothing can be measured with."""
    n_known = int(labels.known.sum())
    n_anomalies = int(labels.is_anomaly[labels.known].sum())
    if labels.anomaly is None:
        raise InputError(
            f"--label {labels.column.name}: all {counted(n_known, 'row')} have the same label; a comparison needs "
            "normal rows and anomalies. Choose another column, or label some anomalies."
        )
    if n_anomalies < MIN_ANOMALIES or n_known - n_anomalies < MIN_NORMAL:
        raise InputError(
            f"--label {labels.column.name}: {n_anomalies} of {counted(n_known, 'row')} with a label are anomalies "
            f"({labels.anomaly}); a comparison needs at least {MIN_ANOMALIES} anomalies and {MIN_NORMAL} normal rows. "
            "Label more of them."
        )
