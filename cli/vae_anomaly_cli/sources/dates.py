"""Dates and durations of typed files: those that nothing can write or reckon with are refused by their row."""

import zoneinfo
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.errors import InputError

SECONDS_PER_DAY = 86_400
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Days from 1970 to the first of January of the year 1, and to the last day of 9999.
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
MAX_DURATION_DAYS = 999_999_999


def check_types(name: str, schema: pa.Schema) -> None:
    """Refuse columns of times in a zone that nobody knows, and of types that only Arrow has.

    Raises
    ------
    InputError
        If there is one.
    """
    for field in schema:
        type_ = _value_type(field.type)
        if pa.types.is_union(type_) or pa.types.is_run_end_encoded(type_) or type_ == pa.month_day_nano_interval():
            raise InputError(f"{name}: column '{field.name}' is {type_}, which is not read; convert or drop it there.")
        zone = type_.tz if pa.types.is_timestamp(type_) else None
        if zone is None or zone[:1] in "+-":
            continue
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InputError(
                f"{name}: column '{field.name}' has times of the zone '{zone}', which is not known; expected one like "
                "Europe/Berlin. Convert it to UTC."
            ) from error


def check_dates(name: str, cells: pa.RecordBatch, where: Callable[[int], str]) -> None:
    """Refuse dates outside of the years 1 to 9999, and durations of the same kind.

    Parameters
    ----------
    name : str
        How messages call the file.
    cells : RecordBatch
        Rows of it.
    where : callable
        Says where a row of them is.

    Raises
    ------
    InputError
        If there is one.
    """
    for column, field in zip(cells.columns, cells.schema, strict=True):
        bounds = _bounds(_value_type(field.type))
        if bounds is None:
            continue
        values = pc.cast(column.dictionary_decode() if pa.types.is_dictionary(field.type) else column, bounds[0])
        ends = pc.min_max(pc.cast(values, pa.int64())).as_py()
        if ends["min"] is None or (bounds[1] <= ends["min"] and ends["max"] <= bounds[2]):
            continue
        numbers = pc.fill_null(pc.cast(values, pa.int64()), 0).to_numpy(zero_copy_only=False)
        row = int(np.flatnonzero((numbers < bounds[1]) | (numbers > bounds[2]))[0])
        kind = "a duration of more than 999,999,999 days" if pa.types.is_duration(_value_type(field.type)) else "a date"
        outside = "" if kind != "a date" else " outside of the years 1 to 9999"
        raise InputError(
            f"{name}: column '{field.name}' holds {kind}{outside} ({where(row)}); replace it, or leave the cell empty "
            "if it stands for no date."
        )


def _bounds(type_: pa.DataType) -> tuple[pa.DataType, int, int] | None:
    """The whole numbers of a type, and the least and the greatest that is a date; None where it has none."""
    if pa.types.is_date32(type_):
        return pa.int32(), FIRST_DAY, LAST_DAY
    if pa.types.is_date64(type_):
        per_day = SECONDS_PER_DAY * 1000
        return pa.int64(), FIRST_DAY * per_day, (LAST_DAY + 1) * per_day - 1
    if pa.types.is_timestamp(type_):
        per_day = SECONDS_PER_DAY * PER_SECOND[type_.unit]
        return pa.int64(), FIRST_DAY * per_day, (LAST_DAY + 1) * per_day - 1
    if pa.types.is_duration(type_):
        per_day = SECONDS_PER_DAY * PER_SECOND[type_.unit]
        return pa.int64(), -MAX_DURATION_DAYS * per_day, MAX_DURATION_DAYS * per_day
    return None


def _value_type(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_
