"""A run in parts: those that are done are left alone, and the sum of all is that of one run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.distributed.engine import Engine
from vae_anomaly_cli.distributed.part_work import PartWork
from vae_anomaly_cli.distributed.parts import Part, Shard
from vae_anomaly_cli.distributed.run_folder import SCORED, WRITTEN, Phase
from vae_anomaly_cli.distributed.tally_file import Record
from vae_anomaly_cli.errors import CommandError, InputChanged, InputError, Interrupted, Terminated
from vae_anomaly_cli.output import places
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.tally import Tally


@dataclass(frozen=True)
class DonePart:
    """A part that is done, as progress bars take it."""

    n_rows: int
    size: int
    first: int = 0

    def position(self, row: int) -> tuple[int, int]:
        """Of its first row."""
        return 0, row


@dataclass(frozen=True)
class PartsRun:
    """A run in parts.

    Attributes
    ----------
    work : PartWork
        What is done with each.
    parts : sequence of Part
        Those of the whole input.
    engine : Engine
        Does it.
    messages : Messages
        Shows progress and warnings.
    shard : Shard or None
        Which of the parts are done here; None for all.
    decide : callable or None
        Says what flags rows when all of them are scored, from their sum; None where each row is flagged by itself.
    """

    work: PartWork
    parts: Sequence[Part]
    engine: Engine
    messages: Messages
    shard: Shard | None = None
    decide: Callable[[Tally], Any] | None = None

    @property
    def chosen(self) -> Sequence[Part]:
        """The parts that are done here."""
        return self.parts if self.shard is None else self.shard.of_parts(self.parts)

    def do(self) -> "tuple[PartWork, Tally, int]":
        """Do what is left to do.

        Returns
        -------
        PartWork
            What was done in the end.
        Tally
            Of the parts that were chosen, in their order.
        int
            How many rows were explained.
        """
        work = self.work
        if not self.chosen:
            raise InputError(
                f"--shard {self.shard}: the input has {len(self.parts):,} parts, and this share has none. Take fewer "
                "shards, or smaller parts with --part-rows."
            )
        try:
            if self.decide is not None:
                records = self._phase(work, SCORED, self.chosen)
                if self.shard is not None:
                    return work, *self._sum(records)
                decision = self.decide(self._sum(records)[0])
                work = replace(work, decision=decision)
            return work, *self._sum(self._phase(work, WRITTEN, self.chosen))
        except (InputError, InputChanged):
            # There is nothing to go on with: what was done is of another input.
            raise
        except CommandError as error:
            raise type(error)(self._hint(str(error))) from error
        except KeyboardInterrupt as stop:
            raise Interrupted(self._hint("interrupted.")) from stop
        except Terminated as stop:
            raise Terminated(stop.number, self._hint(str(stop))) from stop

    def end(self) -> None:
        """Remove the notes on parts, where all of them are done."""
        if self.shard is None:
            self.work.folder.forget()

    def n_missing(self) -> int:
        """How many parts of the whole input are not done yet."""
        phase: Phase = WRITTEN if self.decide is None else SCORED
        return sum(self.work.known(phase, part) is None for part in self.parts)

    def _phase(self, work: PartWork, phase: Phase, parts: Sequence[Part]) -> list[Record]:
        records: dict[int, Record] = {}
        for part in parts:
            known = work.known(phase, part)
            if known is not None:
                records[part.index] = known
        left = [part for part in parts if part.index not in records]
        if records and left:
            self.messages.note(f"{len(records):,} of {len(parts):,} parts are done: left alone.")
        sizes = {part.index: part.n_rows or 1 for part in parts}
        doing = "scoring" if phase == SCORED or self.decide is None else "writing"
        with progress_bar(sum(sizes.values()), doing, work.model.noun, self.messages) as advance:
            for index, record in records.items():
                advance(DonePart(record.tally.n_rows, sizes[index]))

            def done(part: Part, content: bytes) -> None:
                record = work.record(content)
                if record is None or (phase == WRITTEN and not places.is_there(work.path_of(part))):
                    raise CommandError(
                        f"{work.path_of(part)} was written by a worker, and is not there for this machine. Name a "
                        "folder that all machines share."
                    )
                records[part.index] = record
                advance(DonePart(record.tally.n_rows, sizes[part.index]))

            self.engine.run(work, phase, left, done)
        return [records[part.index] for part in parts]

    def _sum(self, records: Sequence[Record]) -> tuple[Tally, int]:
        first, *others = records
        tally, n_explained = first.tally, first.n_explained
        for record in others:
            tally.merge(record.tally)
            n_explained += record.n_explained
        for warning in dict.fromkeys(text for record in records for text in record.warnings):
            self.messages.warning(warning)
        if tally.n_rows == 0 and self.shard is None:
            source = self.work.model.source
            raise InputError(f"{source.name} has column names but no rows; nothing to fit or score.")
        return tally, n_explained

    def _hint(self, text: str) -> str:
        phase: Phase = SCORED if self.decide is not None else WRITTEN
        n_done = sum(self.work.known(phase, part) is not None for part in self.chosen)
        if not n_done:
            return text
        again = "the same command" if self.shard is not None else "the same command with --resume"
        return f"{text} {n_done:,} of {len(self.chosen):,} parts are kept: {again} goes on from there."


def known_of(identity: Mapping[str, Any], output: Sequence[str], part_rows: int) -> dict[str, Any]:
    """Return what the results of a run in parts depend on.

    Parameters
    ----------
    identity : mapping
        Of model, rule and input; see `journal.identity`.
    output : sequence of str
        Columns of the results.
    part_rows : int
        About how many rows make a part.
    """
    return {**identity, "output": list(output), "parts": part_rows}
