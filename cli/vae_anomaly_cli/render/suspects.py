"""Calibration rows to look at, for people."""

from collections.abc import Mapping

import pyarrow as pa
from rich.table import Table as RichTable

from vae_anomaly_cli.columns import SCORE
from vae_anomaly_cli.render.drawings import percent, table_of
from vae_anomaly_cli.sources import PATH

ROW, P_VALUE = "row", "p_value"


def drawn_suspects(table: pa.Table, reasons: Mapping[int, list[str]] | None) -> RichTable:
    """Lay out number, score and rank, and why or which file it is."""
    columns = {
        ROW: [f"{row:,}" for row in table[ROW].to_pylist()],
        SCORE: [f"{score:,.2f}" for score in table[SCORE].to_pylist()],
        "as anomalous": [percent(share) for share in table[P_VALUE].to_pylist()],
    }
    if reasons is not None:
        columns["why"] = ["; ".join(reasons[index]) for index in range(table.num_rows)]
    elif PATH in table.column_names:
        columns[PATH] = table[PATH].to_pylist()
    drawn = table_of(list(columns), list(zip(*columns.values(), strict=True)), n_names=0)
    if len(columns) > 3:
        drawn.columns[-1].justify = "left"
    return drawn
