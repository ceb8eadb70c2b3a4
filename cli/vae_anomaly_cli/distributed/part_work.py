"""The work on one part of an input, wherever it is done."""

import dataclasses
import io
from dataclasses import dataclass
from typing import Self

from vae_anomaly.batches import RowScores
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.distributed.parts import Part
from vae_anomaly_cli.distributed.run_folder import SCORED, SCORES, WRITTEN, Phase, RunFolder
from vae_anomaly_cli.distributed.tally_file import Record, read_record, read_scores, record_bytes, scores_bytes
from vae_anomaly_cli.flagging import Decision
from vae_anomaly_cli.labels import LabelColumn
from vae_anomaly_cli.output import places
from vae_anomaly_cli.output.partial_file import write_errors
from vae_anomaly_cli.output.places import Place
from vae_anomaly_cli.output.sinks import NoOutput, OneFile
from vae_anomaly_cli.output.targets import Target
from vae_anomaly_cli.pipeline import Layout, Pipeline
from vae_anomaly_cli.render.reasons import RowExplainer
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.tally import Tally


class PartRows:
    """Scores of the rows of a part, in memory; see `KeptRows`.

    Parameters
    ----------
    judged : RowScores, optional
        Those that are known.
    """

    def __init__(self, judged: RowScores | None = None) -> None:
        self._judged = RowScores.nothing() if judged is None else judged
        self._more: list[RowScores] = []
        self._taken = 0

    @property
    def n_rows(self) -> int:
        """Rows that can be taken."""
        return len(self._judged) - self._taken

    def take(self, n: int, /) -> RowScores:
        """Return the next rows, at most `n`."""
        n = min(n, self.n_rows)
        self._taken += n
        return self._judged.take(slice(self._taken - n, self._taken))

    def append(self, judged: RowScores, /) -> None:
        """Keep rows that follow."""
        self._more.append(judged)

    def rewind(self) -> None:
        """Have all rows be taken again, from the first on."""
        self._judged, self._more, self._taken = self.all(), [], 0

    def all(self) -> RowScores:
        """Return all rows."""
        return RowScores.joined(self._judged, *self._more)


@dataclass(frozen=True)
class PartWork:
    """What is done with each part; it can be pickled, for another process to do it.

    Attributes
    ----------
    model : TableModel
        Scores the rows.
    names : tuple of str
        Columns to read.
    layout : Layout
        Columns of the result.
    target : Target
        The folder of results.
    decision : Decision
        Flags rows.
    folder : RunFolder
        Where notes on the parts are.
    n_top : int
        How many of the most anomalous rows to keep of each.
    explain : bool
        Whether flagged rows get reasons.
    label : LabelColumn or None
        What scores are compared with.
    sampled : tuple of str
        Columns of which some rows are kept.
    """

    model: TableModel
    names: tuple[str, ...]
    layout: Layout
    target: Target
    decision: Decision
    folder: RunFolder
    n_top: int = 0
    explain: bool = False
    label: LabelColumn | None = None
    sampled: tuple[str, ...] = ()

    def path_of(self, part: Part) -> Place:
        """Where the results of a part go."""
        assert self.target.path is not None
        return self.target.path / part.relative

    def do(self, phase: str, part: Part) -> bytes:
        """Score a part, and write it unless all parts have to be scored first; note that it is done.

        Parameters
        ----------
        phase : {"scored", "written"}
            Which of both.
        part : Part
            The part.

        Returns
        -------
        bytes
            The record.
        """
        kept = None
        path = self.path_of(part)
        if phase == SCORED:
            kept = PartRows()
        elif (content := self.folder.read(_name(part, SCORES))) is not None:
            known = read_scores(content, self.folder.identity)
            kept = None if known is None else PartRows(known)
        messages = Messages(quiet=True)
        explainer = RowExplainer(self.model, messages, streamed=True) if self.explain and phase == WRITTEN else None
        gzipped = path.name.lower().endswith(".gz")
        target = dataclasses.replace(self.target, path=path, gzipped=gzipped, is_directory=False)
        if phase == WRITTEN:
            with write_errors(path):
                places.make_folder_of(path)
        sink = NoOutput() if phase == SCORED else OneFile(target, path, self.layout.schema, None)
        pipeline = Pipeline(
            dataclasses.replace(self.model, source=self.model.source.part(part.file, *(part.groups or ()), first=0)),
            list(self.names),
            self.layout,
            sink,
            messages,
            decision=self.decision,
            kept=kept,
            explainer=explainer,
            label=self.label,
            n_top=self.n_top,
            sampled=self.sampled,
        )
        try:
            pipeline.run()
            sink.finish()
        finally:
            sink.discard()
        if kept is not None and phase == SCORED:
            self.folder.write(_name(part, SCORES), scores_bytes(kept.all(), self.folder.identity))
        with write_errors(path):
            n_bytes = (places.size_of(path) or 0) if phase == WRITTEN else 0
        n_explained = 0 if explainer is None else explainer.n_rows
        record = Record(pipeline.tally, n_explained, messages.warned, n_bytes)
        content = record_bytes(record, self.folder.identity)
        self.folder.write(_name(part, phase), content)
        return content

    def on_device(self, device: str) -> Self:
        """Return the same work with the model elsewhere."""
        from vae_anomaly import VAEDetector, load, save

        content = io.BytesIO()
        save(self.model.detector, content)
        detector = load(content.getvalue(), device=device)
        assert isinstance(detector, VAEDetector)
        return dataclasses.replace(self, model=dataclasses.replace(self.model, detector=detector))

    def record(self, content: bytes) -> Record | None:
        """Read what `do` returned; None where it is damaged or of another run."""
        label = None if self.label is None else self.label.name
        empty = Tally(self.model.noun, n_top=self.n_top, sampled=self.sampled, label=label)
        return read_record(content, self.folder.identity, empty)

    def known(self, phase: Phase, part: Part) -> Record | None:
        """What is left of a part that was done before; None where it has to be done."""
        content = self.folder.read(_name(part, phase))
        record = None if content is None else self.record(content)
        if record is None or phase == SCORED:
            return record
        # The results of an ended run may have been moved away.
        path = self.path_of(part)
        return record if places.size_of(path) == record.n_bytes else None


def _name(part: Part, what: str) -> str:
    return f"{part.index:06d}.{what}"
