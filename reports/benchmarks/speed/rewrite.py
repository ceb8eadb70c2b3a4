"""Reads a file by the batch with pyarrow and writes it again: python rewrite.py SOURCE TARGET."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq


def rewrite(source: Path, target: Path) -> None:
    if source.suffix == ".parquet":
        with pq.ParquetFile(source) as file, pq.ParquetWriter(target, file.schema_arrow) as writer:
            for batch in file.iter_batches():
                writer.write_batch(batch)
        return
    with pc.open_csv(source) as reader, pc.CSVWriter(target, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


if __name__ == "__main__":
    rewrite(*map(Path, sys.argv[1:3]))
