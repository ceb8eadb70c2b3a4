"""The corpus through pandas and DuckDB, with their defaults, judged by the same expectations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from benchmarks.files.judging import FAILED, REFUSED, SAID, WRONG, Case, Verdict, same

Frame = pd.DataFrame
Read = Callable[[Path], Frame]


class NotReadable(Exception):
    """The library has no reader for such a file."""


def by_pandas(path: Path) -> Frame:
    """As a person would who goes by the extension."""
    name = path.name.lower()
    if path.is_dir() or name.endswith(".parquet"):
        return pd.read_parquet(path)
    if name.endswith((".feather", ".arrow")):
        return pd.read_feather(path)
    if name.endswith(".xlsx"):
        return pd.read_excel(path)
    if name.endswith((".jsonl", ".ndjson")):
        return pd.read_json(path, lines=True)
    if name.endswith(".json"):
        return pd.read_json(path)
    if name.endswith(".tsv"):
        return pd.read_table(path)
    if name.endswith((".sqlite", ".xls")):
        raise NotReadable
    return pd.read_csv(path)


def by_duckdb(path: Path) -> Frame:
    name = path.name.lower()
    shown = str(path).replace("'", "''")
    if path.is_dir():
        source = f"read_csv_auto('{shown}/**/*.csv', hive_partitioning = true)"
    elif name.endswith(".parquet"):
        source = f"read_parquet('{shown}')"
    elif name.endswith((".json", ".jsonl", ".ndjson")):
        source = f"read_json_auto('{shown}')"
    elif name.endswith((".feather", ".arrow", ".xlsx", ".xls", ".sqlite", ".zip")):
        raise NotReadable
    else:
        source = f"read_csv_auto('{shown}')"
    with duckdb.connect() as connection:
        read: pd.DataFrame = connection.sql(f"FROM {source}").df()
        return read


READERS: dict[str, Read] = {"pandas": by_pandas, "DuckDB": by_duckdb}


def judge(case: Case, folder: Path, read: Read) -> Verdict:
    verdict = Verdict(case["file"], case["kind"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            frame = read(folder / case["file"])
        except Exception as error:  # noqa: BLE001
            return _refused(case, error, verdict, folder)
    if "refused" in case:
        verdict.differs.append(f"is read as {frame.shape[0]} rows, {frame.shape[1]} columns")
    else:
        _compare(case, frame, verdict)
    if verdict.differs:
        verdict.outcome = SAID if caught else WRONG
    return verdict


def _refused(case: Case, error: Exception, verdict: Verdict, folder: Path) -> Verdict:
    if "refused" not in case and not case.get("refused_or_said"):
        verdict.outcome = FAILED if isinstance(error, MemoryError) else REFUSED
        first = (str(error).splitlines() or [""])[0].replace(f"{folder}/", "")
        verdict.differs.append(f"{type(error).__name__}: {first[:160]}")
    return verdict


def _compare(case: Case, frame: Frame, verdict: Verdict) -> None:
    rows = case["rows"] if isinstance(case["rows"], list) else [case["rows"]]
    if not min(rows) <= len(frame) <= max(rows):
        verdict.differs.append(f"{case['rows']} rows expected, {len(frame)} read")
    names = {str(name).strip(): name for name in frame.columns}
    for column, expected in case["columns"].items():
        if column.strip() not in names:
            verdict.differs.append(f"{column}: is not there")
            continue
        cells = frame[names[column.strip()]]
        fine = expected.split(" or ") if isinstance(expected, str) else list(expected)
        taken = taken_for(cells)
        if not {"levels", "aside", "constant"} & set(fine) and taken not in fine:
            verdict.differs.append(f"{column}: {fine[0]} expected, read as {cells.dtype}")
            continue
        _cells(case, column, cells, taken, verdict)
    _exact_levels(case, frame, names, verdict)


def taken_for(cells: pd.Series[Any]) -> str:
    if pd.api.types.is_bool_dtype(cells):
        return "levels"
    if pd.api.types.is_numeric_dtype(cells):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(cells):
        return "date"
    held = cells.dropna()
    if len(held) and held.map(lambda value: isinstance(value, pd.Timestamp) or hasattr(value, "isoformat")).all():
        return "date"
    if len(held) and held.map(lambda value: type(value).__name__ == "Decimal").all():
        return "number"
    return "text"


def _cells(case: Case, column: str, cells: pd.Series[Any], taken: str, verdict: Verdict) -> None:
    if taken not in ("number", "date"):
        return
    for row, value in case.get("values", {}).get(column, {}).items():
        if int(row) > len(cells):
            continue
        found = cells.iloc[int(row) - 1]
        found = None if pd.isna(found) else found
        if taken == "date" and found is not None:
            found = found.isoformat()
        if not any(same(one, found) for one in (value if isinstance(value, list) else [value])):
            verdict.differs.append(f"{column}: row {row} means {value}, read as {found}")
            return


def _exact_levels(case: Case, frame: Frame, names: dict[str, Any], verdict: Verdict) -> None:
    """Levels that are no longer what the file says: 01067 as 1067, NA as nothing."""
    for column, expected in case.get("levels", {}).items():
        if column.strip() not in names or not isinstance(expected, list):
            continue
        held = {str(level).strip().casefold() for level in frame[names[column.strip()]].dropna().unique()}
        if held != {level.casefold() for level in expected}:
            verdict.differs.append(f"{column}: levels {expected} expected, read as {sorted(held)[:8]}")
