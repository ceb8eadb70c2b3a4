"""Scoring images and showing the result, from options to exit."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vae_anomaly_cli.console import Messages, counted, data_stream
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.images.inputs import ImageInput, Problems, find_input
from vae_anomaly_cli.images.learning import LearnedImages, learn_images, recall_images
from vae_anomaly_cli.images.maps import Pages, check_sheet, make_folder, write_sheet
from vae_anomaly_cli.images.results import (
    SCHEMA,
    Folders,
    ScoredFile,
    as_batch,
    folder_line,
    ranked_files,
    show_ranked_files,
)
from vae_anomaly_cli.images.streaming import ImageStream
from vae_anomaly_cli.options import Device, FitOptions
from vae_anomaly_cli.outputs import Target, check_writable, save_table, write_table
from vae_anomaly_cli.overlap import stopped_by_signals
from vae_anomaly_cli.sinks import Nowhere, OneFile, Pipe, Sink
from vae_anomaly_cli.sources import EXTENSIONS, FORMATS, dumps, format_of_name

SHOWN_FILES = 10
ON_SHEET = 24
MAX_ON_SHEET = 240


@dataclass(frozen=True)
class WantedOfImages:
    """What the user wants of the scores of images.

    Attributes
    ----------
    output : str or None
        Where the table goes.
    top : int or None
        Only so many of the most anomalous; None wants all.
    as_json : bool
        Whether one JSON object is wanted.
    heatmaps, sheet : str or None
        Where pages and the contact sheet go.
    good : tuple of str
        Sub-folders with normal images.
    """

    output: str | None
    top: int | None
    as_json: bool
    heatmaps: str | None
    sheet: str | None
    good: tuple[str, ...]

    @property
    def drawn(self) -> bool:
        """Whether a terminal shows a ranking."""
        return self.output is None and not self.as_json and sys.stdout.isatty()

    @property
    def n_ranked(self) -> int:
        """How many of the most anomalous go to the table, the terminal, or JSON."""
        return self.top or (SHOWN_FILES if self.drawn or self.as_json else 0)

    @property
    def n_on_sheet(self) -> int:
        """How many of the most anomalous go on the contact sheet."""
        return 0 if self.sheet is None else min(self.top or ON_SHEET, MAX_ON_SHEET)


def score_images(
    data: list[str],
    fit_options: FitOptions,
    wanted: WantedOfImages,
    model: str | None,
    device: Device,
    messages: Messages,
) -> None:
    """Fit or load, score every image, and write or show what is wanted."""
    source = find_input(data)
    folders = Folders(wanted.good, source)
    pages = None if wanted.heatmaps is None else Pages(Path(wanted.heatmaps), source)
    sheet = None if wanted.sheet is None else check_sheet(wanted.sheet, source, pages)
    if pages is not None:
        make_folder(pages.folder)
    if sheet is not None:
        check_writable(sheet, "--sheet")
    target = _target(wanted.output, source)
    if model is None:
        learned = learn_images(source, fit_options, device, messages, _ignore)
    else:
        learned = recall_images(source, model, device, messages)

    written = target.path is not None or not (wanted.drawn or wanted.as_json)
    problems = Problems(messages)
    stream = ImageStream(source, learned, folders, problems, messages)
    with contextlib.ExitStack() as closing:
        closing.enter_context(stopped_by_signals())
        sink = _sink(target, closing) if written and wanted.top is None else Nowhere()
        closing.callback(sink.discard)
        stream.run(
            sink,
            pages if wanted.top is None else None,
            n_top=max(wanted.n_ranked, wanted.n_on_sheet),
            aside=target.is_file,
        )
        problems.tell()
        if not stream.n_scored:
            first = problems.first[0] if problems.first else "no image"
            raise CommandError(f"none of {counted(len(source), 'file')} of {source.name} could be scored; {first}")
        ranked = stream.top[: wanted.n_ranked]
        sink.finish()
        if written and wanted.top is not None:
            _write_ranking(ranked, target)
        _draw(stream, wanted, pages, sheet)

    done = learned.done if model is None else f"{learned.done}: {counted(stream.n_scored, 'image')}"
    done += f"; threshold {learned.threshold:,.2f} nats, {counted(stream.n_anomalies, 'image')} flagged"
    outputs = [str(path) for path in (target.path, wanted.heatmaps, sheet) if path is not None]
    messages.note(f"{done}; written to {', '.join(outputs)}" if outputs else done)
    measures = folders.measure()
    if measures is not None:
        messages.answer(folder_line(measures))
    if wanted.as_json:
        summary = _summary(stream, learned, wanted, target, measures) | {"model": model, "ranked": ranked_files(ranked)}
        with data_stream() as out:
            out.write(f"{dumps(summary, indent=2)}\n".encode())
    elif wanted.drawn:
        show_ranked_files(ranked)


def _ignore(_problem: str) -> None:
    """Files that a fit leaves out are told of when they are scored."""


def _summary(
    stream: ImageStream,
    learned: LearnedImages,
    wanted: WantedOfImages,
    target: Target,
    measures: dict[str, Any] | None,
) -> dict[str, Any]:
    summary = learned.summary(stream.source) | {
        "images": stream.n_scored,
        "unusable": stream.problems.count,
        "n_anomalies": stream.n_anomalies,
        "output": None if target.path is None else str(target.path),
        "heatmaps": wanted.heatmaps,
        "sheet": wanted.sheet,
    }
    return summary if measures is None else summary | {"good": measures}


def _target(output: str | None, source: ImageInput) -> Target:
    """Settle where the table goes before any work is done."""
    if output is None or output == "-":
        return Target(None, FORMATS["csv"], FORMATS["csv"].delimiter)
    path = Path(output)
    source.check_apart("--output", path, images=False)
    check_writable(path)
    if path.exists() and not path.is_file():
        return Target(path, FORMATS["csv"], FORMATS["csv"].delimiter)
    chosen, gzipped = format_of_name(path)
    if chosen is None:
        raise InputError(f"--output {output}: expected a name that ends in {EXTENSIONS}.")
    return Target(path, chosen, chosen.delimiter, gzipped)


def _sink(target: Target, closing: contextlib.ExitStack) -> Sink:
    if target.path is None:
        return Pipe(target, closing.enter_context(data_stream()), SCHEMA)
    return OneFile(target, target.path, SCHEMA)


def _write_ranking(files: list[ScoredFile], target: Target) -> None:
    cells = pa.Table.from_batches([as_batch(files)])
    if target.path is not None:
        save_table(cells, target, target.path)
        return
    with data_stream() as out:
        write_table(cells, target, out)


def _draw(stream: ImageStream, wanted: WantedOfImages, pages: Pages | None, sheet: Path | None) -> None:
    """Read the most anomalous images again, and draw what is wanted of them."""
    n_pages = wanted.top if pages is not None and wanted.top is not None else 0
    n_drawn = max(n_pages, wanted.n_on_sheet)
    if not n_drawn:
        return
    scale = stream.learned.detector.map_scale_
    entries = []
    with contextlib.closing(stream.explained(stream.top[:n_drawn])) as drawn:
        for rank, (file, shown) in enumerate(drawn):
            if pages is not None and rank < n_pages:
                pages.write(file.place, shown, scale, stream.learned.threshold)
            if rank < wanted.n_on_sheet:
                entries.append((file.path, shown))
    if sheet is not None and entries:
        write_sheet(entries, scale, sheet)
