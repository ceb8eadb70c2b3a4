"""Rows to look at, for people."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from rich.table import Table as RichTable

from vae_anomaly.batches import P_VALUE, REASONS, SCORE, WHY
from vae_anomaly_cli.columns import FILE, ROW
from vae_anomaly_cli.render.drawings import percent, table_of
from vae_anomaly_cli.sources import PATH

AS_ANOMALOUS = "as anomalous"


def drawn_suspects(table: pa.Table, reasons: Mapping[int, list[str]] | None) -> RichTable:
    """Lay out number, score and rank, and why or which file it is."""
    columns = {
        ROW: [f"{row:,}" for row in table[ROW].to_pylist()],
        SCORE: [f"{score:,.2f}" for score in table[SCORE].to_pylist()],
        AS_ANOMALOUS: [percent(share) for share in table[P_VALUE].to_pylist()],
    }
    if reasons is not None:
        columns[REASONS] = ["; ".join(reasons[index]) for index in range(table.num_rows)]
    elif PATH in table.column_names:
        columns[PATH] = table[PATH].to_pylist()
    return _drawn(columns, n_right=3)


def drawn_proposals(table: pa.Table, row: str, file: str | None) -> RichTable:
    """Lay out where rows are, score and rank, why they are listed, and reasons or which file it is."""
    columns: dict[str, list[str]] = {} if file is None else {FILE: table[file].to_pylist()}
    columns |= {
        ROW: [f"{number:,}" for number in table[row].to_pylist()],
        SCORE: [f"{score:,.2f}" for score in table[SCORE].to_pylist()],
        AS_ANOMALOUS: [percent(share) for share in table[P_VALUE].to_pylist()],
    }
    n_right = len(columns)
    columns[WHY] = table[WHY].to_pylist()
    columns |= {name: table[name].to_pylist() for name in (REASONS, PATH) if name in table.column_names}
    return _drawn(columns, n_right)


def _drawn(columns: Mapping[str, Sequence[str]], n_right: int) -> RichTable:
    drawn = table_of(list(columns), list(zip(*columns.values(), strict=True)), n_names=0)
    for column in drawn.columns[n_right:]:
        column.justify = "left"
    return drawn
