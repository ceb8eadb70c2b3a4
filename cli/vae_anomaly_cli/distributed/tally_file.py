"""Tallies as files: what a part of an input leaves for the sum of all parts."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from vae_anomaly.batches import Numbers, RowScores
from vae_anomaly_cli.tally import Tally
from vae_anomaly_cli.top_k import Ranked

DIGEST_BYTES = 32
COUNTS = ("n_rows", "n_scored", "n_flagged", "n_written")


@dataclass(frozen=True)
class Record:
    """What is left of a part that is done.

    Attributes
    ----------
    tally : Tally
        Of its rows.
    n_explained : int
        Rows whose cells were explained.
    warnings : sequence of str
        What was warned of.
    n_bytes : int
        Of its file of results; 0 where none was written.
    """

    tally: Tally
    n_explained: int = 0
    warnings: Sequence[str] = field(default_factory=tuple)
    n_bytes: int = 0


def record_bytes(record: Record, identity: str) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    record : Record
        What it holds.
    identity : str
        Of the run.
    """
    tally = record.tally
    said = {name: getattr(tally, name) for name in COUNTS} | {
        "identity": identity,
        "lowest": tally.lowest,
        "highest": tally.highest,
        "unusable": [tally.unusable.count, tally.unusable.first],
        "n_seen": 0 if tally.sample is None else tally.sample.n_seen,
        "n_top": tally.top.k,
        "n_explained": record.n_explained,
        "warnings": list(record.warnings),
        "n_bytes": record.n_bytes,
    }
    values, counts = tally.family.counts()
    tables = {"family": pa.table({"p_value": values, "rows": counts})}
    if len(top := tally.top.kept()):
        tables["top"] = top.cells
        places = {"row": top.rows, "file": top.files, "row_in_file": top.rows_in_file}
        tables["top_places"] = pa.table(places | _columns_of(top.judged))
    if tally.sample is not None and tally.sample.n_seen:
        rows, cells = tally.sample.rows_and_cells()
        tables["sample"] = cells
        tables["sample_places"] = pa.table({"row": rows, "key": np.concatenate(tally.sample.keys)})
    if tally.labels:
        tables["labels"] = pa.table({"label": pa.chunked_array(tally.labels)})
        tables["label_scores"] = pa.table({"score": np.concatenate(tally.scores)})
    return _zipped({"record.json": json.dumps(said).encode()}, tables)


def read_record(content: bytes, identity: str, empty: Tally) -> Record | None:
    """Read what `record_bytes` made; None where it is damaged, of another run, or keeps fewer rows than are wanted.

    Parameters
    ----------
    content : bytes
        Of the file.
    identity : str
        Of the run.
    empty : Tally
        Without rows, for what the command keeps of them.
    """
    found = _unzipped(content, identity)
    if found is None:
        return None
    said, tables = found
    from vae_anomaly.decisions import FamilyCounts

    tally = empty
    if said["n_top"] < tally.top.k:
        return None
    for name in COUNTS:
        setattr(tally, name, said[name])
    tally.lowest, tally.highest = said["lowest"], said["highest"]
    family = tables["family"]
    tally.family = FamilyCounts.of_counts(family["p_value"].to_numpy(), family["rows"].to_numpy())
    tally.unusable.count, tally.unusable.first = said["unusable"]
    if "top" in tables:
        places = tables["top_places"]
        rows, files, rows_in_file = (places[name].to_numpy() for name in ("row", "file", "row_in_file"))
        tally.top.restore(Ranked(_scores_of(places), rows, files, rows_in_file, tables["top"]))
    if tally.sample is not None and "sample" in tables:
        places = tables["sample_places"]
        tally.sample.restore(
            places["row"].to_numpy(), places["key"].to_numpy(), tables["sample"].combine_chunks(), said["n_seen"]
        )
    if "labels" in tables:
        tally.labels = list(tables["labels"]["label"].chunks)
        tally.scores = [tables["label_scores"]["score"].to_numpy()]
    return Record(tally, said["n_explained"], tuple(said["warnings"]), said["n_bytes"])


def scores_bytes(judged: RowScores, identity: str) -> bytes:
    """Return scores of all rows of a part as a file."""
    said = json.dumps({"identity": identity}).encode()
    return _zipped({"record.json": said}, {"scores": pa.table(_columns_of(judged))})


def read_scores(content: bytes, identity: str) -> RowScores | None:
    """Read what `scores_bytes` made; None where it is damaged, or of another run."""
    found = _unzipped(content, identity)
    return None if found is None else _scores_of(found[1]["scores"])


def _columns_of(judged: RowScores) -> dict[str, Numbers]:
    columns = {"score": judged.scores, "p_value": judged.p_values}
    return columns if judged.likelihoods is None else columns | {"likelihood": judged.likelihoods}


def _scores_of(table: pa.Table) -> RowScores:
    likelihoods = table["likelihood"].to_numpy() if "likelihood" in table.column_names else None
    return RowScores(table["score"].to_numpy(), table["p_value"].to_numpy(), likelihoods)


def _zipped(texts: Mapping[str, bytes], tables: Mapping[str, pa.Table]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text)
        for name, table in tables.items():
            stream = io.BytesIO()
            with pa.ipc.new_stream(stream, table.schema) as writer:
                writer.write_table(table)
            archive.writestr(zipfile.ZipInfo(f"{name}.arrow"), stream.getvalue())
    found = content.getvalue()
    return hashlib.sha256(found).digest() + found


def _unzipped(content: bytes, identity: str) -> tuple[dict[str, Any], dict[str, pa.Table]] | None:
    """Read what `_zipped` made; None where it is damaged, or of another run."""
    digest, zipped = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(zipped).digest() != digest:
        return None
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        said = json.loads(archive.read("record.json"))
        names = [name for name in archive.namelist() if name.endswith(".arrow")]
        tables = {name.removesuffix(".arrow"): pa.ipc.open_stream(archive.read(name)).read_all() for name in names}
    return (said, tables) if said["identity"] == identity else None
