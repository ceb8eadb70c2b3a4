"""The page of a run: what is kept of the rows while they are scored, and where it goes."""

from __future__ import annotations

import datetime as dt
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.batches import RowScores
from vae_anomaly_cli.console import Messages, data_stream
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.image_model import ImageModel
from vae_anomaly_cli.models import CellBatch, Model, library_errors
from vae_anomaly_cli.options import STANDARD_OUTPUT
from vae_anomaly_cli.output.partial_file import write_errors
from vae_anomaly_cli.output.places import Place, place_of, remove_stale, write
from vae_anomaly_cli.output.targets import Others, check_apart, check_writable
from vae_anomaly_cli.render.reasons import text_of
from vae_anomaly_cli.sources import Source, as_text
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.top_k import Ranked

if TYPE_CHECKING:
    from vae_anomaly import Comparison
    from vae_anomaly.report import Report, ReportBuilder
    from vae_anomaly_cli.data import Data
    from vae_anomaly_cli.flagging import Decision
    from vae_anomaly_cli.tally import Tally

INSTALL = 'python -m pip install "vae-anomaly[plot]"'
SUFFIXES = (".html", ".htm")
# More lines in one chart are told apart no longer.
MAX_CURVES = 4


@dataclass(frozen=True)
class PageTarget:
    """Where a page goes, and how much of the data it may show.

    Attributes
    ----------
    path : Path or Address or None
        The file, or the object of a store; None for standard output.
    top : int or None
        How many rows it shows.
    redact : bool
        Whether raw values are left out.
    title : str or None
        Of the page.
    """

    path: Place | None
    top: int | None = None
    redact: bool = False
    title: str | None = None

    def write(self, report: Report) -> None:
        """Write the page, whole or not at all."""
        page = report.to_html().encode("utf-8")
        if self.path is None:
            with data_stream() as stream:
                stream.write(page)
            return
        with write_errors(self.path):
            remove_stale([self.path])
            write(self.path, page)


def plan_page(
    output: str,
    option: str,
    source: Source,
    others: Others,
    *,
    top: int | None = None,
    redact: bool = False,
    title: str | None = None,
) -> PageTarget:
    """Settle where a page goes before any work is done.

    Parameters
    ----------
    output : str
        What the user names; `-` is standard output.
    option : str
        Which option it is.
    source : Source
        The input, which a page must not replace.
    others : mapping of str to path-like or None
        By option, what it must not be besides.
    top, redact, title
        Of the `PageTarget`.

    Raises
    ------
    InputError
        If matplotlib is missing, or the file is the input, another output, or not named like a page.
    CommandError
        If nothing can be written there.
    """
    check_can_draw(option)
    if output == STANDARD_OUTPUT:
        return PageTarget(None, top, redact, title)
    path = place_of(output)
    source.check_output(option, path)
    check_apart(option, path, others)
    check_writable(path, option)
    is_named = not isinstance(path, Path) or path.is_file() or not path.exists()
    if path.suffix.lower() not in SUFFIXES and is_named:
        raise InputError(f"{option} {path}: expected a name that ends in .html.")
    return PageTarget(path, top, redact, title)


def check_can_draw(option: str) -> None:
    """Refuse to begin work whose result could not be drawn.

    Raises
    ------
    InputError
        If matplotlib is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(f"{option}: matplotlib is not installed, and pages need it. Install it with: {INSTALL}")


def comparison_page(comparison: Comparison, name: str, n_splits: int) -> Report:
    """Return a page about detectors side by side.

    Parameters
    ----------
    comparison : Comparison
        As `vae_anomaly.compare` measured them.
    name : str
        What they were compared on.
    n_splits : int
        Random splits.
    """
    from vae_anomaly.report import Compared, ComparedMethod, Contents, Report

    records: Any = comparison.summary.to_dict("records")
    methods = [
        ComparedMethod(
            setting=line["setting"],
            method=line["method"],
            auroc=line["auroc"],
            auroc_sd=line["auroc_sd"],
            average_precision=line["average_precision"],
            precision=line["precision_at_n"],
            difference=line["difference"],
            lower=line["lower"],
            upper=line["upper"],
            standing=line["standing"],
            seconds=line["fit_seconds"] + line["score_seconds"],
        )
        for line in records
    ]
    scores, curves = comparison.scores, []
    for setting in comparison.settings:
        of_setting = scores[scores["setting"] == setting]
        first = of_setting[of_setting["split"] == of_setting["split"].iloc[0]]
        names = [each.method for each in methods if each.setting == setting]
        first_name = comparison.methods[0]
        others = [name for name in names if name != first_name][: MAX_CURVES - 1]
        for method in [first_name, *others]:
            known = first[first[method].notna()]
            curves.append(
                (setting, method, known["is_anomaly"].to_numpy(dtype=bool), known[method].to_numpy(dtype=np.float64))
            )
    verdicts = tuple((setting, str(comparison.verdict(setting))) for setting in comparison.settings)
    made = f"{dt.datetime.now().astimezone():%Y-%m-%d %H:%M}"
    compared = Compared(tuple(methods), verdicts, n_splits, tuple(curves))
    return Report(Contents(f"Detectors compared on {name_of(name)}", made=made, compared=compared))


class PageRows:
    """Keeps what a page shows of the rows that are scored.

    Parameters
    ----------
    target : PageTarget
        Where it goes, and what it may show.
    data : Data
        The input.
    model : Model
        Scores it.
    decision : Decision
        Flags rows.
    """

    def __init__(self, target: PageTarget, data: Data, model: Model, decision: Decision) -> None:
        from vae_anomaly.report import MAX_SORTED, TOP, ReportBuilder

        self.target, self.data, self.model, self.decision = target, data, model, decision
        top = target.top or TOP
        self.n_kept = max(top, MAX_SORTED) if isinstance(model, TableModel) else top
        self.builder: ReportBuilder = ReportBuilder(
            model.detector,
            title=target.title or f"Anomalous {data.noun}s of {name_of(data.source.name)}",
            noun=data.noun,
            top=top,
            redact=target.redact,
        )

    def add(self, batch: CellBatch, judged: RowScores) -> None:
        """Keep the scores of a batch."""
        self.builder.add(judged.scores, judged.p_values, self.decision.flags(judged))

    def finish(self, tally: Tally, saved: str | None, lines: Sequence[str], messages: Messages) -> None:
        """Find out what the page says of the rows, and write it.

        Parameters
        ----------
        tally : Tally
            Scored the rows, and kept the most anomalous of them.
        saved : str or None
            The file of the model; None where it was fitted on the rows.
        lines : sequence of str
            What the rows have that those of the training have not.
        messages : Messages
            What was warned of so far is on the page, too.
        """
        from vae_anomaly.report import Reading

        said = [self._without_folders(line) for line in (*messages.warned, *lines)]
        measures = tally.measures(self.model, self.data.columns.label, messages)
        if measures is not None:
            self.builder.label(measures.labels.is_anomaly, measures.labels.known, measures.labels.column.name)
        ranked = tally.top.ranked(self.n_kept)
        with messages.library_warnings(), library_errors(self.data.source.name):
            if isinstance(self.model, TableModel):
                self._explain(self.model, ranked, messages)
                self._compare(self.model, tally)
            elif isinstance(self.model, ImageModel):
                self._show(self.model, ranked)
        decision = self.decision
        report = self.builder.finish(
            Reading(
                name_of(self.data.source.name),
                self._without_folders(self.model.report) if saved is None else f"{name_of(saved)}, fitted before",
                # The first stands in a warning; files have one each.
                tuple(map(self._without_folders, tally.unusable.first[1:])) if self.data.noun == "row" else (),
                tuple(said),
            ),
            threshold=decision.threshold,
            selection=decision.selection,
            made=f"{dt.datetime.now().astimezone():%Y-%m-%d %H:%M}",
        )
        self.target.write(report)

    def _explain(self, model: TableModel, ranked: Ranked, messages: Messages) -> None:
        top = ranked.first(self.builder.top)
        if not len(top):
            return
        ids = {
            name: [text_of(cell) or "" for cell in model.values(top.cells[name]).to_pylist()]
            for name in self.data.columns.ids
        }
        frame = model.features_of(top.cells).frame
        self.builder.explain(frame, top.rows, names=self._names(top), ids=ids)
        flagged = np.flatnonzero(self.decision.flags(ranked.judged))[: self._n_sorted]
        if len(flagged):
            alerts = ranked.take(flagged[np.argsort(ranked.rows[flagged])])
            self.builder.sort(model.patterns(alerts.cells, None, messages), alerts.rows, self._names(alerts))

    def _compare(self, model: TableModel, tally: Tally) -> None:
        if tally.sample is None:
            return
        frame = model.features_of(tally.sample.rows_and_cells()[1]).usable
        if len(frame):
            self.builder.compare(frame)

    def _show(self, model: ImageModel, ranked: Ranked) -> None:
        from vae_anomaly.report import MAX_PICTURES

        indices = ranked.rows[:MAX_PICTURES].tolist()
        flags = dict(zip(ranked.rows.tolist(), self.decision.flags(ranked.judged).tolist(), strict=True))
        found: dict[int, Any] = {}
        if not self.target.redact and indices:
            for batch in model.source.batches_of(sorted(indices), model.n_per_batch):
                found |= {batch.indices[row]: drawn for row, drawn in model.features(batch).heat_maps.items()}
        for index in indices:
            if index in found:
                drawn = found[index]
                self.builder.show(
                    drawn.image,
                    drawn.surprise,
                    model.detector.map_scale_,
                    name=as_text(model.source.relative(model.source.paths[index])),
                    score=drawn.score,
                    is_flagged=flags[index],
                )

    @property
    def _n_sorted(self) -> int:
        from vae_anomaly.report import MAX_SORTED

        return MAX_SORTED

    def _without_folders(self, text: str) -> str:
        """A message that names the input by its last name alone."""
        name = self.data.source.name
        return text.replace(name, name_of(name))

    def _names(self, ranked: Ranked) -> list[str]:
        """Where rows are: their number, and in which file where there are several."""
        rows = (ranked.rows_in_file + 1).tolist()
        if self.data.source.n_files == 1:
            return [str(row) for row in rows]
        files = [as_text(part.relative) for part in self.data.parts]
        return [f"{files[file]}, row {row}" for file, row in zip(ranked.files.tolist(), rows, strict=True)]


def name_of(path: str) -> str:
    """The name of a file without the folders that it is in, nor what an address says of who reads it.

    Examples
    --------
    >>> name_of("/home/me/secret/orders.csv"), name_of("orders.csv")
    ('orders.csv', 'orders.csv')
    >>> name_of("s3://bucket/orders.csv?signature=0a1b"), name_of("postgresql://me:***@host")
    ('orders.csv', 'host')
    """
    if "://" in path:
        scheme, _, rest = path.partition("://")
        path = f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"
    return path.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or path
