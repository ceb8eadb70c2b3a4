"""Text columns: what their cells stand for, learned from all of them, in training and in scoring."""

import dataclasses
import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly import Reading, VAEDetector, load, read_manifest, save
from vae_anomaly.columns import Column, infer_columns, read_text, read_training_text, unreadable
from vae_anomaly.data import TextFormat, TextRules
from vae_anomaly.data.table import Table
from vae_anomaly.errors import (
    AmbiguousTextWarning,
    DataError,
    DataWarning,
    DecimalMarkWarning,
    LevelsMergedWarning,
    MissingCodeWarning,
    NumericTextWarning,
    OddCellsWarning,
    SpecificationError,
    TextReadWarning,
)
from vae_anomaly.likelihoods import StudentT

NAN = float("nan")
NONE = TextRules()


def table_of(**columns: Any) -> Table:
    """Columns of text as a table."""
    return Table(
        tuple(columns), pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    )


def read(cells: Any, rules: TextRules = NONE, declared: Any = None, **others: Any) -> tuple[Any, TextFormat | None]:
    """What the cells of one column are read as beside others, and how; without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        table = read_training_text(table_of(c=cells, **others), {} if declared is None else {"c": declared}, rules)
    assert isinstance(table.cells, pd.DataFrame)
    assert table.formats is not None
    column: Any = table.cells.iloc[:, 0]
    if column.dtype.kind == "M":
        return [None if pd.isna(cell) else cell.isoformat() for cell in column], table.formats[0]
    return [None if pd.isna(cell) else cell for cell in column], table.formats[0]


def said(cells: Any, rules: TextRules = NONE, **others: Any) -> list[Warning]:
    """The warnings about a column."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_training_text(table_of(c=cells, **others), {}, rules)
    return [entry.message for entry in caught if isinstance(entry.message, Warning)]


# name: cells, and what they are read as.
NUMBERS: dict[str, tuple[list[str | None], list[float | None]]] = {
    "plain": (["1", "2.5", "-3"], [1, 2.5, -3]),
    "signs": (["+5", "-7", "\u22129", "\u2013 2"], [5, -7, -9, -2]),
    "scientific": (["1e5", "2.5E-3", "1"], [1e5, 2.5e-3, 1]),
    "scientific with a comma": (["1,5e3", "2,25"], [1500, 2.25]),
    "spaces around": ([" 1 ", "2\u00a0", "\t3"], [1, 2, 3]),
    "dollars": (["$457.48", "$1,234.56", "$12"], [457.48, 1234.56, 12]),
    "dollars with a minus": (["-$5.10", "$-6.20", "$7.30-"], [-5.1, -6.2, -7.3]),
    "euros": (["1.234,56 \u20ac", "12,30 \u20ac", "7 \u20ac"], [1234.56, 12.3, 7]),
    "euros before": (["\u20ac 1.000,00", "\u20ac2,50"], [1000, 2.5]),
    "pounds and pence": (["\u00a31,000.50", "\u00a32"], [1000.5, 2]),
    "currency code before": (["USD 5.25", "USD 1,000.00"], [5.25, 1000]),
    "currency code behind": (["5,25 EUR", "1.000,00 EUR"], [5.25, 1000]),
    "US dollars": (["US$5.25", "US$6"], [5.25, 6]),
    "rupees": (["Rs. 500.5", "Rs. 12,34,567"], [500.5, 1234567]),
    "kroner": (["12,50 kr", "1 234,50 kr"], [12.5, 1234.5]),
    "zloty": (["12,50 z\u0142", "3 z\u0142"], [12.5, 3]),
    "some without the currency": (["$5.25", "6.75", "$8"], [5.25, 6.75, 8]),
    "English thousands": (["1,234.56", "12.5", "1,234,567"], [1234.56, 12.5, 1234567]),
    "German thousands": (["1.234,56", "12,5", "1.234.567"], [1234.56, 12.5, 1234567]),
    "French thousands": (["1 234,5", "12,5", "1 234 567"], [1234.5, 12.5, 1234567]),
    "no-break spaces": (["1\u00a0234,5", "12,5"], [1234.5, 12.5]),
    "thin spaces": (["1\u2009234,5", "1\u202f234,75"], [1234.5, 1234.75]),
    "Swiss thousands": (["1'234.50", "12.5", "1\u2019234\u2019567.00"], [1234.5, 12.5, 1234567]),
    "Indian thousands": (["12,34,567.5", "1,234"], [1234567.5, 1234]),
    "thousands without decimals": (["1,234,567", "1,234", "12"], [1234567, 1234, 12]),
    "points between thousands": (["1.234.567", "1.234", "12"], [1234567, 1234, 12]),
    "accounting with a currency": (["$ (1,868.29)", "$ 1,429.97", "$(5)"], [-1868.29, 1429.97, -5]),
    "text marks of Excel": (["'-3885.74", '="12.50"', "7"], [-3885.74, 12.5, 7]),
    "accounting": (["(300)", "1,200.50", "(1,234.50)"], [-300, 1200.5, -1234.5]),
    "accounting with dollars": (["($300.25)", "$5"], [-300.25, 5]),
    "minus behind": (["300-", "5.5", "-300-"], [-300, 5.5, -300]),
    "percent": (["12 %", "7.5%", "-3 %"], [12, 7.5, -3]),
    "percent with comma": (["12,5 %", "7 %"], [12.5, 7]),
    "per mille": (["12\u2030", "3\u2030"], [12, 3]),
    "kilograms": (["12 kg", "7.5kg", "80 KG"], [12, 7.5, 80]),
    "square metres": (["12 m\u00b2", "7,5 m\u00b2"], [12, 7.5]),
    "speed": (["12 km/h", "30 km/h"], [12, 30]),
    "degrees": (["12.5 \u00b0C", "-3 \u00b0C"], [12.5, -3]),
    "metres": (["12 m", "30 m", "2.5 m"], [12, 30, 2.5]),
    "bytes": (["12 MB", "30 MB"], [12, 30]),
    "thousands and millions by letter": (["3.2k", "1.5M", "900"], [3200, 1.5e6, 900]),
    "lower case millions beside thousands": (["3.2k", "1.5m"], [3200, 1.5e6]),
    "billions": (["$3.2B", "$900M", "$1.5M"], [3.2e9, 9e8, 1.5e6]),
    "German millions": (["3,4 Mio \u20ac", "12 Mio \u20ac"], [3.4e6, 12e6]),
    "no digit before the point": ([".5", "-.25", ",5"], [0.5, -0.25, 0.5]),
    "no digit after the point": (["5.", "7.", "1.5"], [5, 7, 1.5]),
    "zero with decimals": (["0,123", "1,5"], [0.123, 1.5]),
    "three decimals and a zero before": (["0.123", "1.234"], [0.123, 1.234]),
    "three decimals and four digits before": (["1234.567", "1.234"], [1234.567, 1.234]),
    "leading zeros before decimals": (["007.5", "1.25"], [7.5, 1.25]),
    "both marks, each certain": (["1.5", "2,5"], [1.5, 2.5]),
    "no value": (["1.5", "", None, "NA", "null", "?"], [1.5, None, None, None, None, None]),
    "words for no value": (["1.5", "n.a.", "-", ".", "unknown", "2"], [1.5, None, None, None, None, 2]),
    "errors of spreadsheets": (["1.5", "#DIV/0!", "#N/A", "#VALUE!", "2.5"], [1.5, None, None, None, 2.5]),
    "letters for digits": (["27"] * 198 + ["4O", "3l"], [27] * 198 + [None, None]),
    "litres": (["27 l", "3 l", "5"], [27, 3, 5]),
    "a unit of one cell": (["27"] * 30 + ["4 kg"], [27] * 30 + [None]),
    "a factor of one cell": (["27"] * 30 + ["3.2k"], [27] * 30 + [3200]),
    "hours and minutes": (["8:30", "11:00", "-0:10"], [30_600, 39_600, -600]),
    "times of day": (["08:30", "8:30 pm", "12:15 am", None], [30_600, 73_800, 900, None]),
    "hours, minutes and seconds": (["00:32:04", "100:00:00", "0:00:01.5"], [1924, 360_000, 1.5]),
    "minutes and seconds": (["59:30", "1:02:03"], [3570, 3723]),
    "minutes, seconds and fractions": (["01:02.125", "59:30"], [62.125, 3570]),
    "days": (
        ["0 days 00:01:00", "1 day, 2:00:00", "-1 days +23:59:00", "-1 day, 22:00:00", "2 days"],
        [60, 93_600, -60, -7200, 172_800],
    ),
    "days by themselves are a unit": (["3 days", "12 days", "400 days"], [3, 12, 400]),
    "durations and no value": (["0:10", "n.a.", "", "1:00"], [600, None, None, 3600]),
    "None among numbers": (["1.5", "None", "2"], [1.5, None, 2]),
    "words in German": (["1,5", "k.A.", "keine Angabe", "2,5"], [1.5, None, None, 2.5]),
}
DATES: dict[str, tuple[list[str | None], list[str | None]]] = {
    "ISO": (["2025-12-31", "2026-01-02"], ["2025-12-31T00:00:00", "2026-01-02T00:00:00"]),
    "ISO with a time": (["2025-12-31 10:30", "2026-01-02T11:00:05"], ["2025-12-31T10:30:00", "2026-01-02T11:00:05"]),
    "ISO in UTC": (["2025-12-31T10:30:00Z", "2026-01-02T11:00:05Z"], ["2025-12-31T10:30:00", "2026-01-02T11:00:05"]),
    "ISO with offsets": (
        ["2025-12-31T10:30:00+02:00", "2026-01-02T11:00:05-0100"],
        ["2025-12-31T08:30:00", "2026-01-02T12:00:05"],
    ),
    "ISO with fractions": (
        ["2025-12-31T10:30:00.5", "2026-01-02T11:00:05.123456789"],
        ["2025-12-31T10:30:00.500000", "2026-01-02T11:00:05.123456"],
    ),
    "ISO, some without a time": (["2025-12-31", "2026-01-02 11:00"], ["2025-12-31T00:00:00", "2026-01-02T11:00:00"]),
    "months": (["2025-12", "2026-01"], ["2025-12-01T00:00:00", "2026-01-01T00:00:00"]),
    "years and slashes": (["2025/12/31", "2026/01/02"], ["2025-12-31T00:00:00", "2026-01-02T00:00:00"]),
    "day first, decided": (["31/12/2025 00:00", "02/01/2026 10:30"], ["2025-12-31T00:00:00", "2026-01-02T10:30:00"]),
    "month first, decided": (["12/31/2025", "01/02/2026"], ["2025-12-31T00:00:00", "2026-01-02T00:00:00"]),
    "nothing decides beside slashes": (["03/04/2025", "05/06/2025"], ["2025-03-04T00:00:00", "2025-05-06T00:00:00"]),
    "nothing decides beside hyphens": (["03-04-2025", "05-06-2025"], ["2025-04-03T00:00:00", "2025-06-05T00:00:00"]),
    "points": (["12.03.2025", "01.02.2024"], ["2025-03-12T00:00:00", "2024-02-01T00:00:00"]),
    "points and a time": (["31.12.2025 10:30", "01.02.2024 11:00"], ["2025-12-31T10:30:00", "2024-02-01T11:00:00"]),
    "two digits for the year": (["31.12.25", "01.02.24"], ["2025-12-31T00:00:00", "2024-02-01T00:00:00"]),
    "short month": (["12-Mar-25", "1-Apr-25"], ["2025-03-12T00:00:00", "2025-04-01T00:00:00"]),
    "short month and four digits": (["12 Mar 2025", "01 Apr 2025"], ["2025-03-12T00:00:00", "2025-04-01T00:00:00"]),
    "long month": (["12 March 2025", "13 April 2025"], ["2025-03-12T00:00:00", "2025-04-13T00:00:00"]),
    "months by name": (["Jan 2025", "Feb 2026"], ["2025-01-01T00:00:00", "2026-02-01T00:00:00"]),
    "long months and a hyphen": (["March-2025", "April-2026"], ["2025-03-01T00:00:00", "2026-04-01T00:00:00"]),
    "ISO in UTC by name": (
        ["2025-12-31 10:30 UTC", "2026-01-02 11:00 UTC"],
        ["2025-12-31T10:30:00", "2026-01-02T11:00:00"],
    ),
    "American": (["Mar 12, 2025", "Apr 1, 2025"], ["2025-03-12T00:00:00", "2025-04-01T00:00:00"]),
    "am and pm": (["12/31/2025 1:05 PM", "1/2/2026 11:00 AM"], ["2025-12-31T13:05:00", "2026-01-02T11:00:00"]),
    "web server": (
        ["01/Jan/2025:10:00:00 +0200", "02/Feb/2025:11:00:00 +0200"],
        ["2025-01-01T08:00:00", "2025-02-02T09:00:00"],
    ),
    "beyond nanoseconds": (["9999-12-31", "0001-01-01"], ["9999-12-31T00:00:00", "0001-01-01T00:00:00"]),
    "no value": (["2025-12-31", "", "n.a.", "-", None], ["2025-12-31T00:00:00", None, None, None, None]),
    "nines among days": (["31/12/2025", "99/99/9999", "99/99/9999"], ["2025-12-31T00:00:00", None, None]),
    "zeros among points": (["31.12.2025", "00.00.0000", "99.99.9999"], ["2025-12-31T00:00:00", None, None]),
    "zeros among ISO": (
        ["2025-12-31", "0000-00-00", "9999-99-99", "0000-00-00 00:00:00"],
        ["2025-12-31T00:00:00", None, None, None],
    ),
    "days of nines that are days": (["9/9/99", "8/9/99"], ["1999-09-09T00:00:00", "1999-08-09T00:00:00"]),
    "None among dates": (["2025-12-31", "None"], ["2025-12-31T00:00:00", None]),
}
LEVELS: dict[str, tuple[list[str | None], list[str | None]]] = {
    "words": (["a", "b", None], ["a", "b", None]),
    "trimmed": ([" a", "a ", "b\u00a0"], ["a", "a", "b"]),
    "folded to the most frequent spelling": (["yes", "Yes ", "Yes", "no"], ["Yes", "Yes", "Yes", "no"]),
    "usual signs for missing": (["a", "NA", "null", "None", "?", "", "b"], ["a", None, None, "None", None, None, "b"]),
    "none among words": (["Season", "none", "None", "None", None], ["Season", "None", "None", "None", None]),
    "None among codes": (["007", "012", "None"], ["007", "012", None]),
    "nothing but None": (["None", "None", None], [None, None, None]),
    "NA among countries": (["ZA", "NA", "BW", "NA", None], ["ZA", "NA", "BW", "NA", None]),
    "NA among names of countries": (["Botswana", "NA", "ZA"], ["Botswana", None, "ZA"]),
    "NA beside one code": (["OK", "OK", "OK", "NA"], ["OK", "OK", "OK", None]),
    "true and empty cells": (["true", None, "", "true"], ["true", "(empty)", "(empty)", "true"]),
    "ones and empty cells": (["1", None, "", "1.0"], ["1", "(empty)", "(empty)", "1"]),
    "flags and nothing": ([True, None, True, None], ["True", "(empty)", "True", "(empty)"]),
    "words for no value are levels": (["a", "unknown", "-"], ["a", "unknown", "-"]),
    "codes": (["007", "12", "013"], ["007", "12", "013"]),
    "codes of one length": (["01234", "98765", "10115"], ["01234", "98765", "10115"]),
    "numbers longer than floats": (["9007199254740993", "9007199254740995"], ["9007199254740993", "9007199254740995"]),
    "telephone numbers": (["+49 170 123", "+49 30 456"], ["+49 170 123", "+49 30 456"]),
    "telephone numbers in threes": (["555 123 456", "555 987 654"], ["555 123 456", "555 987 654"]),
    "versions": (["1.2.3", "1.10.0"], ["1.2.3", "1.10.0"]),
    "hexadecimal": (["0x1F", "0x2A"], ["0x1F", "0x2A"]),
    "IP addresses": (["192.168.1.1", "10.0.0.12"], ["192.168.1.1", "10.0.0.12"]),
    "screens": (["16:9", "4:3"], ["16:9", "4:3"]),
    "times beside words": (["10:30", "closed", "11:00"], ["10:30", "closed", "11:00"]),
    "ranges": (["10-20", "20-30"], ["10-20", "20-30"]),
    "bounds": (["<10", ">20"], ["<10", ">20"]),
    "ages": (["18+", "65+"], ["18+", "65+"]),
    "letters before digits": (["A123", "B77"], ["A123", "B77"]),
    "several units": (["12 kg", "30 lb"], ["12 kg", "30 lb"]),
    "several currencies": (["$5", "\u20ac6"], ["$5", "\u20ac6"]),
    "half numbers": (["1", "2", "x", "y"], ["1", "2", "x", "y"]),
    "words of time": (["today", "now"], ["today", "now"]),
    "one number and a dash": (["1", "-", "1"], ["1", "-", "1"]),
    "wrong groups": (["1,2,3", "4,5,6"], ["1,2,3", "4,5,6"]),
    "yes and no": (["yes", "no"], ["yes", "no"]),
    "underscores": (["1_000", "2_000"], ["1_000", "2_000"]),
    "marks and empty cells": (["x", None, "", "x"], ["x", "(empty)", "(empty)", "x"]),
    "rare word and empty cells": (["late", None, "", None], ["late", "(empty)", "(empty)", "(empty)"]),
    "constant with a hole": (["EUR", "EUR", None, "EUR"], ["EUR", "EUR", None, "EUR"]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_read(name: str) -> None:
    cells, expected = NUMBERS[name]
    found, form = read(cells)
    assert form is not None
    assert form.kind == "number"
    wanted = np.array([NAN if number is None else number for number in expected])
    np.testing.assert_allclose(np.array(found, dtype=np.float64), wanted, rtol=1e-15)
    present = [cell for cell in cells if cell is not None]
    np.testing.assert_allclose(form.numbers(present), wanted[[cell is not None for cell in cells]], rtol=1e-15)


@pytest.mark.parametrize("name", DATES)
def test_dates_are_read(name: str) -> None:
    cells, expected = DATES[name]
    found, form = read(cells)
    assert form is not None
    assert form.kind == "date"
    assert found == expected


@pytest.mark.parametrize("name", LEVELS)
def test_other_text_is_levels(name: str) -> None:
    cells, expected = LEVELS[name]
    found, form = read(cells)
    assert form is not None
    assert form.kind == "level"
    assert found == expected


def test_dates_that_are_none_are_said_and_missing_in_scoring() -> None:
    cells = ["31/12/2025", "01/02/2025", "99/99/9999"] * 9
    (warning,) = (each for each in said(cells) if isinstance(each, MissingCodeWarning))
    assert (warning.codes, warning.count) == (("99/99/9999",), 9)
    assert "99/99/9999 in 9 cells is no date and taken as missing" in str(warning)
    form = read(cells)[1]
    assert form is not None
    assert form.read(["99/99/9999", "30/12/2025", "98/98/9898"])[1].tolist() == [False, False, True]


def test_unit_of_one_cell_is_said_and_refused_in_scoring() -> None:
    (warning,) = said(["27"] * 30 + ["4O"])
    assert isinstance(warning, OddCellsWarning)
    assert "'4O'" in str(warning)
    form = read(["27"] * 30 + ["4O"])[1]
    assert form is not None
    assert form.read(["5O", "27"])[1].tolist() == [True, False]


def test_durations_are_written_as_they_are_read() -> None:
    for cells in (["59:30.5", "01:02"], ["8:30", "11:00"], ["0 days 00:01:00", "12 days 02:00:00"]):
        numbers, form = read(cells)
        assert form is not None
        assert form.numbers(form.write(np.array(numbers)).tolist()).tolist() == numbers
    (warning,) = said(["8:30", "11:00"])
    assert "durations or times of day, in seconds, like '8:30'" in str(warning)


@pytest.mark.parametrize("ones", [["true", "true"], ["1", "1"], [True, True]])
def test_empty_cells_that_are_a_level_are_one_in_any_rows_and_types(ones: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        table = read_training_text(table_of(c=ones * 9 + [None] * 9), {}, NONE)
        (column,) = infer_columns(table)
    assert set(column.levels) == {str(ones[0]), "(empty)"}
    for cells in ([None, None], [*ones, None], ["", str(ones[0])], np.array([np.nan, np.nan])):
        read_again = read_text(table_of(c=cells), [column])
        codes = column.encode(read_again, 0).tolist()
        expected = ["(empty)" if cell in (None, "") or cell != cell else str(ones[0]) for cell in cells]
        assert [column.levels[int(code)] for code in codes] == expected


@pytest.mark.parametrize("cells", [["true", "FALSE", " True ", "n.a.", None]])
def test_true_and_false_are_booleans(cells: list[str]) -> None:
    found, form = read(cells)
    assert form is not None
    assert (form.kind, found) == ("boolean", [True, False, True, None, None])


# What the column holds, what another one holds, and what 1.234 or 1,234 is.
MARKS = {
    "nothing tells, a point": ("1.234", "7", 1.234, True),
    "nothing tells, a comma": ("1,234", "7", 1234, True),
    "decimal comma elsewhere": ("1.234", "7,5", 1234, False),
    "decimal point elsewhere": ("1,234", "7.5", 1234, False),
    "a comma beside decimal commas elsewhere": ("1,234", "7,5", 1.234, False),
    "a point beside decimal points elsewhere": ("1.234", "7.5", 1.234, False),
    "thousands elsewhere": ("1.234", "1.234.567", 1234, False),
    "money elsewhere": ("1.234", "5,25 EUR", 1234, False),
    "words elsewhere": ("1.234", "a,b", 1.234, True),
}


@pytest.mark.parametrize("name", MARKS)
def test_marks_that_may_be_either_go_by_the_table(name: str) -> None:
    cell, other, number, unsure = MARKS[name]
    cells, others = [cell, "12", "7"] * 10, [other] * 30
    assert read(cells, other=others)[0][0] == number
    found = [warning for warning in said(cells, other=others) if isinstance(warning, AmbiguousTextWarning)]
    assert bool(found) is unsure
    if found:
        assert f"holds '{cell}'" in str(found[0])
        assert f"read as {number:.15g}" in str(found[0])
        assert "--decimal" in str(found[0])


def test_cells_of_the_column_come_before_those_of_the_table() -> None:
    assert read(["1.234", "0.5"], other=["7,5", "8,25"])[0] == [1.234, 0.5]
    assert read(["1,234", "0,5"], other=["7.5", "8.25"])[0] == [1.234, 0.5]


@pytest.mark.parametrize(
    ("rules", "cells", "expected"),
    [
        (TextRules(decimal=","), ["1.234", "7"], [1234, 7]),
        (TextRules(decimal="."), ["1,234", "7"], [1234, 7]),
        (TextRules(decimal="."), ["1.234", "7"], [1.234, 7]),
        (TextRules(thousands="."), ["1.234", "7"], [1234, 7]),
        (TextRules(thousands=","), ["1.234", "7"], [1.234, 7]),
        (TextRules(decimal=","), [*["1,5"] * 30, "2.5"], [*[1.5] * 30, None]),
    ],
)
def test_marks_that_are_said_are_the_only_ones(rules: TextRules, cells: list[str], expected: list[float]) -> None:
    assert read(cells, rules)[0] == expected
    assert not [warning for warning in said(cells, rules) if isinstance(warning, AmbiguousTextWarning)]


def test_date_format_that_is_said_is_the_only_one() -> None:
    found, _ = read(["03/04/2025", "05/06/2025"], TextRules(date_format="%d/%m/%Y"))
    assert found == ["2025-04-03T00:00:00", "2025-06-05T00:00:00"]


@pytest.mark.parametrize(("cells", "reading"), [(["03/04/2025"], "%m/%d/%Y"), (["3-4-25", "5-6-25"], "%d-%m-%y")])
def test_day_and_month_that_no_cell_tells_are_announced(cells: list[str], reading: str) -> None:
    (warning,) = [each for each in said(cells) if isinstance(each, AmbiguousTextWarning)]
    assert f"read as {reading}. Where it is the other" in str(warning)
    assert "--date-format" in str(warning)


@pytest.mark.parametrize(
    ("training", "cells", "doubtful"),
    [
        (["1.5", "2.25"], ["1,5", "1,234"], ("1,234", "1234", "1,5")),
        (["1.5", "2.25"], ["1,234", "2,345"], ("1,234", "1234", "")),
        (["1,5", "2,25"], ["1.5", "1.234"], ("1.234", "1234", "1.5")),
        (["1.5", "2.25"], ["1,5", "1.234"], ("1.234", "1.234", "1,5")),
        (["1,234.5", "2.25"], ["1,234", "2.5"], None),
        (["1,234.5", "2.25"], ["1,234"], None),
        (["1.5", "2.25"], ["1,234", "1,234.5"], None),
        (["1.5", "2.25"], ["1,5", "2,75"], None),
        (["1.5", "2.25"], ["1.234"], None),
    ],
)
def test_marks_that_contradict_training_are_announced(
    training: list[str], cells: list[str], doubtful: tuple[str, str, str] | None
) -> None:
    _, form = read(training)
    column = Column("c", "continuous", StudentT(), "so", text_format=form)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_text(table_of(c=cells), (column,))
    found = [each.message for each in caught if isinstance(each.message, DecimalMarkWarning)]
    assert [(each.found, each.reading, each.sure) for each in found] == ([] if doubtful is None else [doubtful])


def test_year_of_two_digits_may_come_first() -> None:
    days = pd.date_range("2024-01-01", periods=90, freq="5D")
    for form in ("%y-%m-%d", "%y/%m/%d %H:%M", "%d-%m-%y", "%d.%m.%y", "%m/%d/%y"):
        found, _ = read(days.strftime(form).tolist())
        assert found == [day.isoformat() for day in days], form
        assert not [each for each in said(days.strftime(form).tolist()) if isinstance(each, AmbiguousTextWarning)]
    # Two days tell nothing.
    (warning,) = [each for each in said(["24-03-01", "24-03-02"]) if isinstance(each, AmbiguousTextWarning)]
    assert "read as %d-%m-%y" in str(warning)


def test_day_and_month_go_by_other_columns_where_their_own_cells_do_not_tell() -> None:
    found, form = read(["03/04/2025", "05/06/2025"], other=["25/12/2025", "01/02/2025"])
    assert found == ["2025-04-03T00:00:00", "2025-06-05T00:00:00"]
    assert form is not None
    assert not [each for each in said(["03/04/2025"], other=["25/12/2025"]) if isinstance(each, AmbiguousTextWarning)]


def test_date_format_that_is_said_leaves_dates_of_another_form_alone() -> None:
    found, _ = read(["2025-12-31", "2026-01-01"], TextRules(date_format="%d/%m/%Y"))
    assert found == ["2025-12-31T00:00:00", "2026-01-01T00:00:00"]


def test_cell_that_decides_day_and_month_is_named() -> None:
    cells = ["03/04/2025"] * 3 + ["25/04/2025"]
    (warning,) = said(cells)
    assert isinstance(warning, TextReadWarning)
    assert "'c' as dates as %d/%m/%Y, by '25/04/2025'" in str(warning)


@pytest.mark.parametrize("odd", ["<10", "18+", "temp", "abc", "kg", "#"])
def test_one_odd_cell_does_not_make_numbers_text(odd: str) -> None:
    cells = [f"{number / 7:.2f}" for number in range(200)]
    cells[17] = odd
    found, form = read(cells)
    assert found[17] is None
    assert found[16] == pytest.approx(16 / 7, abs=0.01)
    (warning,) = said(cells)
    assert isinstance(warning, OddCellsWarning)
    assert (warning.column, warning.found, warning.row, warning.count) == ("c", odd, 17, 1)
    assert f"column 'c' holds numbers, and '{odd}' (index 17): 1 cell of 200" in str(warning)
    assert "(line 19)" in warning.text(row="line 19")
    assert form is not None
    assert np.isnan(form.numbers([odd])[0])
    assert form.read([odd])[1].tolist() == [False]
    assert form.read(["quite another"])[1].tolist() == [True]


@pytest.mark.parametrize(("n_odd", "kind"), [(1, "number"), (2, "number"), (3, "level"), (100, "level")])
def test_up_to_one_percent_is_odd(n_odd: int, kind: str) -> None:
    cells = [f"{number % 40 / 8}" for number in range(200)]
    cells[:n_odd] = ["<10"] * n_odd
    assert getattr(read(cells)[1], "kind", None) == kind
    mostly = [warning for warning in said(cells) if isinstance(warning, NumericTextWarning)]
    assert bool(mostly) is (kind == "level")


def test_numbers_that_would_be_lost_as_identifiers_stay_numbers() -> None:
    cells = [f"{number / 7:.4f}" for number in range(200)]
    cells[::20] = ["<10"] * 10
    found, form = read(cells)
    assert form is not None
    assert form.kind == "number"
    assert found.count(None) == 10


def test_one_invalid_date_does_not_make_dates_text() -> None:
    cells = [f"2025-{1 + number % 12:02d}-{1 + number % 28:02d}" for number in range(150)]
    cells[3] = "2025-02-30"
    found, form = read(cells)
    assert form is not None
    assert (form.kind, found[3]) == ("date", None)
    (warning,) = said(cells)
    assert "holds dates, and '2025-02-30' (index 3)" in str(warning)


def test_units_that_differ_are_not_guessed() -> None:
    cells = [f"{number} {'kg' if number % 2 else 'lb'}" for number in range(60)]
    (warning,) = said(cells)
    assert isinstance(warning, NumericTextWarning)
    assert "several units ('lb', 'kg')" in str(warning)


def test_spellings_that_are_merged_are_named_and_can_be_kept() -> None:
    cells = ["Yes", "yes", "Yes", "no"]
    (warning,) = said(cells)
    assert isinstance(warning, LevelsMergedWarning)
    assert "column 'c': 'yes' is taken for 'Yes'" in str(warning)
    assert read(cells, TextRules(fold_case=False))[0] == cells
    assert said(cells, TextRules(fold_case=False)) == []


def test_plain_text_is_read_without_a_word() -> None:
    assert said(["1", "2.5", "3"], d=["2025-01-01", "2025-01-02", None], t=["true", "false", "true"]) == []


@pytest.mark.parametrize(
    ("declared", "cells", "expected"),
    [
        ("continuous", ["007", "8", "9"], [7, 8, 9]),
        ("integer", ["$1,000", "$7", "$8"], [1000, 7, 8]),
        ("categorical", ["1.0", "2.0", "NA"], ["1.0", "2.0", None]),
        ("binary", ["1", "2"], ["1", "2"]),
        ("datetime", ["31/12/2025", "01/01/2026"], ["2025-12-31T00:00:00", "2026-01-01T00:00:00"]),
        ("datetime+trend", ["2025-12-31", "2026-01-01"], ["2025-12-31T00:00:00", "2026-01-01T00:00:00"]),
        ("ordinal", ["01", "02", "03"], [1, 2, 3]),
        ("identifier", [" a ", "b"], [" a ", "b"]),
    ],
)
def test_declarations_decide(declared: str, cells: list[str], expected: list[Any]) -> None:
    assert read(cells, declared=declared)[0] == expected


@pytest.mark.parametrize(
    ("declared", "cell", "message"),
    [
        ("continuous", "much", r"column 'c' holds 'much' \(index 1\); numeric columns take numbers"),
        ("datetime", "soon", r"column 'c' holds 'soon' \(index 1\); expected dates"),
    ],
)
def test_text_that_speaks_against_its_declaration_is_refused(declared: str, cell: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_training_text(table_of(c=["2025-01-01" if declared == "datetime" else "1", cell]), {"c": declared}, NONE)


AMOUNTS = st.floats(-1e9, 1e9).map(lambda number: round(number, 2))
LOCALES = {
    "English": (",", "."),
    "German": (".", ","),
    "French": ("\u202f", ","),
    "Swiss": ("\u2019", "."),
    "none": ("", "."),
}
AFFIXES = ["{}", "${}", "{} EUR", "{} %", "{} kg", "CHF {}", "({})"]


@given(st.lists(AMOUNTS, min_size=1, max_size=12), st.sampled_from(sorted(LOCALES)), st.sampled_from(AFFIXES))
def test_numbers_written_in_a_locale_are_read_back(numbers: list[float], locale: str, affix: str) -> None:
    thousands, decimal = LOCALES[locale]
    numbers = [abs(number) for number in numbers]
    texts = [
        affix.format(f"{number:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands))
        for number in numbers
    ]
    found, form = read(texts)
    assert form is not None
    assert form.kind == "number"
    assert found == [-number if affix == "({})" else number for number in numbers]


MOMENTS = st.datetimes(pd.Timestamp("1950-01-01").to_pydatetime(), pd.Timestamp("2049-12-31").to_pydatetime())
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%d.%m.%Y %H:%M", "%d %B %Y", "%Y/%m/%d %H:%M"]


@given(st.lists(MOMENTS, min_size=1, max_size=12), st.sampled_from(FORMATS))
def test_dates_written_in_a_format_are_read_back(moments: list[Any], form: str) -> None:
    texts = [moment.strftime(form) for moment in moments]
    expected = [pd.to_datetime(text, format=form).isoformat() for text in texts]
    assert read(texts)[0] == expected


@given(st.lists(st.text(max_size=6), min_size=2, max_size=12))
def test_any_text_is_read_the_same_in_training_and_in_scoring(cells: list[str]) -> None:
    table = table_of(c=cells, other=[str(number) for number in range(len(cells))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        training = read_training_text(table, {}, NONE)
        columns = infer_columns(training)
    if columns[0].likelihood is None:
        return
    scored = read_text(table, columns)
    assert isinstance(training.cells, pd.DataFrame)
    assert isinstance(scored.cells, pd.DataFrame)
    pd.testing.assert_frame_equal(training.cells, scored.cells)


def test_format_is_kept_by_the_column_and_its_model_file(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "price": [f"{number:.2f} \u20ac".replace(".", ",") for number in rng.uniform(1, 900, 80)],
            "paid": rng.choice(["Yes", "yes", "no"], 80),
            "when": [f"{1 + number % 28:02d}.{1 + number % 12:02d}.2025" for number in range(80)],
        }
    )
    frame.loc[5, "price"] = "gratis"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        detector = VAEDetector(
            max_iter=5, n_estimators=1, calibration=None, early_stopping=False, reading=Reading(decimal=",")
        ).fit(frame)
    price, paid, when = (column.text_format for column in detector.columns_)
    assert price is not None
    assert (price.kind, price.decimal, price.unit, price.missing, price.strict) == (
        "number",
        ",",
        "\u20ac",
        ("gratis",),
        True,
    )
    assert paid is not None
    assert (paid.kind, paid.fold) == ("level", True)
    assert when is not None
    assert (when.kind, when.date_format) == ("date", "%d.%m.%Y")
    save(detector, tmp_path / "m.vae", min_level_count=1)
    again = load(tmp_path / "m.vae")
    # Cells of training that stand for missing ones are hashed.
    (price, *others), (before, *others_before) = again.columns_, detector.columns_
    assert others == others_before
    assert price.text_format is not None
    assert price.text_format.missing == ()
    assert np.isnan(price.text_format.numbers(["gratis"])).all()
    assert dataclasses.replace(price, text_format=before.text_format) == before
    assert again.reading == Reading(decimal=",")
    assert np.array_equal(again.score_samples(frame), detector.score_samples(frame))
    manifest = read_manifest(tmp_path / "m.vae")
    assert json.loads(json.dumps(manifest["columns"]))[0]["text_format"]["fields"]["description"].startswith(
        "numbers in"
    )
    # 1.234,50 was in no training row.
    shown = frame.assign(price="1.234,50 \u20ac", paid="YES ")
    typed = frame.assign(price=1234.5, paid="Yes")
    assert np.array_equal(again.score_samples(shown), again.score_samples(typed))
    with pytest.raises(DataError, match=r"column 'price' holds 'viel' \(index 3\)"):
        again.score_samples(frame.assign(price=["1,5"] * 3 + ["viel"] * 77))


@pytest.mark.parametrize(
    ("form", "texts", "lost"),
    [
        (None, ["1", "1,234.5", "n.a.", "", "12 kg", "x"], [False, False, False, False, True, True]),
        (TextFormat("number", unit="kg"), ["1", "2 KG", "3 lb", "4 %"], [False, False, True, True]),
        (TextFormat("date", date_format="%d/%m/%Y"), ["31/12/2025", "12/31/2025", "-"], [False, True, False]),
        (TextFormat("boolean"), ["true", "0", "maybe"], [False, False, True]),
    ],
)
def test_cells_that_a_column_cannot_read_are_found(form: TextFormat | None, texts: list[str], lost: list[bool]) -> None:
    (column,) = infer_columns(Table(("c",), np.arange(0.0, 50.0, 0.5)[:, None] ** 2))
    column = Column("c", column.kind, column.likelihood, "", text_format=form)
    assert unreadable(column, np.array(texts, dtype=object)).tolist() == lost
    assert not unreadable(column, pd.Series([1.0, 2.0])).any()


@pytest.mark.parametrize(
    ("reading", "error", "message"),
    [
        (Reading(decimal=";"), ValueError, "decimal"),
        (Reading(thousands="_"), ValueError, "thousands"),
        (Reading(decimal=",", thousands=","), SpecificationError, "different marks"),
        (Reading(date_format="%H:%M"), SpecificationError, "a year and a month"),
    ],
)
def test_readings_that_cannot_be_are_refused(reading: Reading, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        VAEDetector(reading=reading, max_iter=1).fit(np.arange(8.0).reshape(4, 2))


def test_readings_are_searched_and_compared() -> None:
    detector = VAEDetector().set_params(reading__decimal=",", reading__fold_case=False)
    assert detector.reading == Reading(decimal=",", fold_case=False)
    assert detector.reading != Reading()
    assert detector.get_params()["reading__decimal"] == ","
