"""The sample of a fit, drawn by whoever reads the parts of the input."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from vae_anomaly_cli.distributed.engine import Engine
from vae_anomaly_cli.distributed.parts import PART_ROWS, Part, parts_of
from vae_anomaly_cli.distributed.run import DonePart
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import Batch, TableSource
from vae_anomaly_cli.tables import SmallestKeys, Table


@dataclass(frozen=True)
class SampleWork:
    """Draws the rows of each part that may be in the sample.

    Attributes
    ----------
    source : TableSource
        The input.
    names : tuple of str
        Columns to read.
    n_rows : int or None
        Rows of the whole sample at most; None keeps all.
    seed : tuple of int
        Of the draw.
    """

    source: TableSource
    names: tuple[str, ...]
    n_rows: int | None
    seed: tuple[int, ...]

    def do(self, phase: str, part: Part) -> bytes:
        """Read a part, and return the rows with the smallest keys."""
        sample = SmallestKeys(self.n_rows, self.seed)
        for batch in self.source.part(part.file, *(part.groups or ()), first=0).batches(list(self.names)):
            sample.append(batch.cells, *batch.position(0))
        stream = io.BytesIO()
        schema = pa.schema([self.source.schema.field(name) for name in self.names])
        cells, rows, keys = schema.empty_table(), np.empty(0, dtype=np.int64), np.empty(0)
        if sample.n_seen:
            rows, cells = sample.rows_and_cells()
            keys = np.concatenate(sample.keys)
        # Beside the cells, whose names are the user's.
        for table in (cells, pa.table({"row": rows, "key": keys}), pa.table({"n_seen": [sample.n_seen]})):
            with pa.ipc.new_stream(stream, table.schema) as writer:
                writer.write_table(table)
        return stream.getvalue()

    def on_device(self, device: str) -> Self:
        """Nothing is computed."""
        return self

    def read(self, content: bytes) -> SmallestKeys:
        """Read what `do` returned."""
        stream = pa.BufferReader(content)
        cells, places, seen = (pa.ipc.open_stream(stream).read_all() for _ in range(3))
        sample = SmallestKeys(self.n_rows, self.seed)
        sample.restore(places["row"].to_numpy(), places["key"].to_numpy(), cells, seen["n_seen"][0].as_py())
        return sample


@dataclass(frozen=True)
class DistributedSampler:
    """Draws the sample that `sample_table` draws, part by part on an engine.

    Attributes
    ----------
    engine : Engine
        Reads the parts.
    """

    engine: Engine

    def __call__(
        self,
        source: TableSource,
        names: list[str],
        n_rows: int | None,
        seed: tuple[int, ...] = (0,),
        progress: Callable[[Batch], None] = lambda _: None,
    ) -> Table:
        """Read rows in one pass; see `sample_table`."""
        if source.identity() is None:
            raise InputError(f"--engine: {source.name} cannot be read by others; name files that all machines share.")
        work = SampleWork(source, tuple(names), n_rows, seed)
        parts = parts_of(source, PART_ROWS)
        found: dict[int, SmallestKeys] = {}

        def done(part: Part, content: bytes) -> None:
            found[part.index] = work.read(content)
            progress(DonePart(found[part.index].n_seen, part.n_rows or 0))

        self.engine.run(work, "sampled", parts, done)
        sample = SmallestKeys(n_rows, seed)
        n_rows_of = np.zeros(source.n_files, dtype=np.int64)
        for part in parts:
            n_rows_of[part.file] += found[part.index].n_seen
            sample.merge(found.pop(part.index))
        if not sample.n_seen:
            raise InputError(f"{source.name} has column names but no rows; nothing to fit or score.")
        rows, cells = sample.rows_and_cells()
        starts = (np.cumsum(n_rows_of) - n_rows_of).tolist()
        return Table(source, cells, tuple(starts), sample.n_seen, None if len(rows) == sample.n_seen else rows)
