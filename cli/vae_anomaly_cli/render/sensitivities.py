"""What a model notices, for people and for programs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.table import Table as RichTable

from vae_anomaly_cli.render.drawings import percent, table_of
from vae_anomaly_cli.render.reasons import plain

if TYPE_CHECKING:
    from vae_anomaly.explain import PlantedChange, Sensitivity

# Changes that stand in one column of the table.
HEADINGS = {
    "shift up,\nor later": ("above", "later"),
    "shift down,\nor earlier": ("below", "earlier"),
    "other\nlevel": ("level",),
    "unseen\nlevel": ("unseen level",),
    "missing": ("missing",),
    "value of\nanother row": ("permuted",),
}


def describe_sensitivity(found: "Sensitivity") -> dict[str, Any]:
    """Describe it for programs: the threshold, each change, and the sentences."""
    changes = [{name: plain(value) for name, value in line.items()} for line in found.frame().to_dict("records")]
    return {
        "false_alarm_rate": found.false_alarm_rate,
        "threshold": found.threshold,
        "by_calibration": found.by_calibration,
        "alarm_rate": found.alarm_rate,
        "power": found.power,
        "rows": found.n_rows,
        "changes": changes,
        "not_noticed": [{"column": change.column, "change": change.kind} for change in found.not_noticed],
        "sentences": found.sentences(),
    }


def cells_of(found: "Sensitivity") -> pa.Table:
    """Return the changes as a table to be written."""
    return pa.Table.from_pandas(found.frame(), preserve_index=False)


def drawn_sensitivity(found: "Sensitivity") -> list[str | RichTable]:
    """Lay it out: a line for each column, then what would not be noticed."""
    heading, *others = found.sentences()
    by_column: dict[str, dict[str, PlantedChange]] = {}
    for change in found.changes:
        by_column.setdefault(change.column, {})[change.kind] = change
    rows = [[name, *(_shown(changes, kinds) for kinds in HEADINGS.values())] for name, changes in by_column.items()]
    columns = [["column", *HEADINGS]]
    # What no column has is left out.
    kept = [place for place in range(len(HEADINGS) + 1) if any(row[place] for row in rows)]
    headings, *lines = ([line[place] for place in kept] for line in (*columns, *rows))
    blind = [sentence for sentence in others if not sentence.partition(": ")[2].startswith("noticed if ")]
    return [f"{heading}\n", table_of(headings, lines), "", *blind]


def _shown(changes: Mapping[str, "PlantedChange"], kinds: Sequence[str]) -> str:
    found = [changes[kind] for kind in kinds if kind in changes]
    if not found:
        return ""
    (change,) = found
    if change.is_shift:
        return change.amount_text or "no"
    return f"{'' if change.noticed else 'no, '}{percent(change.share)}"
