"""Make the corpus: small files as they come out of an office, and what a person would read in each.

python tests/files/make.py [FOLDER]

Writes the files beside this one (or into FOLDER) and `expected.json`, which has an entry for each case:

file        the file, or the folder, that is given to the command
given       what the command is given in its place, where that is an address
kind, what  the kind of trouble, and this one in words
options     options that a person would add
rows        rows of data
columns     what each column is: number, date, levels, aside (an identifier, free text, or nothing to learn from) or
            constant; "levels or number" is either. Of a list, the first is right, and another is where standard
            error names the column
values      what some cells mean: row, counted from 1, and the number, the date or null for a missing one, or a list of
            which one is right
levels      the levels of a column, or how many
planted     the row that a person would point at (of a folder, in which file), and the place
            among the most anomalous that it has to reach
said        texts that standard error has to contain, whatever their case; `a|b` is either
also_called other names that a column may have
refused_or_said  a refusal is as good, or to read it with a word about what differs
never_flagged  rows that may not be flagged
refused     the command has to end with an error that contains these texts
next        a later file of the same process, of which at most a share may be flagged
why         why the expectation may be debated
"""

from __future__ import annotations

import bz2
import csv
import datetime as dt
import gzip
import io
import json
import shutil
import sqlite3
import sys
import uuid
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import feather, parquet

HERE = Path(__file__).resolve().parent
NUMBER, DATE, LEVELS, ASIDE, CONSTANT = "number", "date", "levels", "aside", "constant"
SKIPPED = "skipped|skip|title|line 1|lines 1|left out|line|lines"
CASES: list[dict[str, Any]] = []
FILES: dict[str, bytes] = {}
Kinds = str | list[str]
UTC = dt.UTC
# Files hold local times: no zone.
FIRST_OF_MARCH = dt.datetime(2025, 3, 1)  # noqa: DTZ001


@dataclass
class Sheet:
    """What a table means and what its file shows."""

    values: dict[str, list[Any]]
    kinds: dict[str, Kinds]
    planted: int
    shown: dict[str, list[str]] = field(default_factory=dict)
    looked_at: set[int] = field(default_factory=set)
    levels: dict[str, Any] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        return len(next(iter(self.values.values())))

    def add(self, column: str, values: Sequence[Any], kind: Kinds, show: Callable[[Any], str] | None = None) -> Sheet:
        self.values[column] = list(values)
        self.kinds[column] = kind
        return self if show is None else self.show(column, show)

    def first(self, column: str, values: Sequence[Any], kind: Kinds) -> Sheet:
        self.add(column, values, kind)
        for held in (self.values, self.kinds):
            rest = {name: held[name] for name in held if name != column}
            last = held[column]
            held.clear()
            held.update({column: last} | rest)  # type: ignore[arg-type]
        return self

    def show(self, column: str, show: Callable[[Any], str]) -> Sheet:
        self.shown[column] = [show(value) for value in self.values[column]]
        return self

    def cell(self, column: str, row: int, text: str, means: Any = None) -> Sheet:
        """Show `text` in a cell, counted from 0, that means something else, nothing by default."""
        self.shown[column] = self.texts(column)
        self.shown[column][row] = text
        self.values[column][row] = means
        self.looked_at.add(row)
        return self

    def rename(self, **names: str) -> Sheet:
        return self.renamed(names)

    def renamed(self, names: dict[str, str]) -> Sheet:
        for held in (self.values, self.kinds, self.shown, self.levels):
            entries = {names.get(name, name): kept for name, kept in held.items()}
            held.clear()
            held.update(entries)  # type: ignore[arg-type]
        return self

    def texts(self, column: str) -> list[str]:
        if column in self.shown:
            return list(self.shown[column])
        return [plain(value) for value in self.values[column]]

    def records(self) -> list[dict[str, Any]]:
        columns = {
            name: self.shown.get(name, [exact(value) for value in values]) for name, values in self.values.items()
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def rows(self) -> list[list[str]]:
        return [list(row) for row in zip(*(self.texts(column) for column in self.values), strict=True)]

    def csv(self, sep: str = ",", end: str = "\n", header: bool = True, quoting: int = csv.QUOTE_MINIMAL) -> str:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=sep, lineterminator=end, quoting=quoting)
        if header:
            writer.writerow(list(self.values))
        writer.writerows(self.rows())
        return out.getvalue()


def plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def exact(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else value


def case(file: str, kind: str, what: str, sheet: Sheet | None, content: str | bytes | None = None, **more: Any) -> None:
    """Register a file and what a person would read in it; without content, a sheet is written as a plain CSV."""
    encoding, top = more.pop("encoding", "utf-8"), more.pop("top", 3)
    if content is None and file not in FILES and sheet is not None and not more.pop("written", False):
        content = sheet.csv()
    more.pop("written", None)
    if content is not None:
        FILES[file] = content.encode(encoding) if isinstance(content, str) else content
    entry: dict[str, Any] = {"file": file, "kind": kind, "what": what}
    if sheet is not None and "refused" not in more:
        looked_at = sorted({0, sheet.n_rows // 3, sheet.planted, sheet.n_rows - 1, *sheet.looked_at})
        entry["rows"] = sheet.n_rows
        entry["columns"] = sheet.kinds
        entry["values"] = {
            column: {str(row + 1): exact(sheet.values[column][row]) for row in looked_at}
            for column, expected in sheet.kinds.items()
            if expected in (NUMBER, DATE) or (isinstance(expected, list) and expected[0] in (NUMBER, DATE))
        }
        if sheet.levels:
            entry["levels"] = sheet.levels
        if top:
            entry["planted"] = {"row": sheet.planted + 1, "top": top}
    CASES.append(entry | more)


# Tables that mean something


def sales(seed: int, n: int = 120, planted: int = 70) -> Sheet:
    """Amounts that follow from a quantity; one is thirty times what it should be."""
    rng = np.random.default_rng(seed)
    quantity = rng.integers(1, 10, n)
    amount = np.round(quantity * np.exp(rng.normal(np.log(310), 0.25, n)), 2)
    amount[planted] = np.round(30 * amount[planted], 2)
    region = rng.choice(["north", "south", "west"], n)
    return Sheet(
        {
            "region": [str(level) for level in region],
            "quantity": [int(value) for value in quantity],
            "amount": [float(value) for value in amount],
        },
        {"region": LEVELS, "quantity": NUMBER, "amount": NUMBER},
        planted,
    )


def staff(seed: int, n: int = 160, planted: int = 90) -> Sheet:
    """Ages and pay; one person is 455 years old."""
    rng = np.random.default_rng(seed)
    age = rng.integers(19, 66, n)
    pay = np.round(2100 + 38 * (age - 19) + rng.normal(0, 220, n)).astype(int)
    age[planted] = 455
    return Sheet(
        {
            "department": [str(level) for level in rng.choice(["sales", "plant", "office", "lab"], n)],
            "age": [int(value) for value in age],
            "pay": [int(value) for value in pay],
        },
        {"department": LEVELS, "age": NUMBER, "pay": NUMBER},
        planted,
    )


def sensor(seed: int, n: int = 150, planted: int = 101) -> Sheet:
    """Temperature and pressure go together; one pressure does not."""
    rng = np.random.default_rng(seed)
    temperature = np.round(rng.normal(70, 3, n), 2)
    pressure = np.round(0.05 * temperature + rng.normal(0, 0.05, n), 3)
    pressure[planted] = 9.75
    return Sheet(
        {
            "machine": [str(level) for level in rng.choice(["M1", "M2", "M3"], n)],
            "temperature": [float(value) for value in temperature],
            "pressure": [float(value) for value in pressure],
        },
        {"machine": LEVELS, "temperature": NUMBER, "pressure": NUMBER},
        planted,
    )


def days(n: int, begin: dt.date = dt.date(2025, 1, 3), step: float = 1.4) -> list[dt.date]:
    return [begin + dt.timedelta(days=int(step * row)) for row in range(n)]


def moments(n: int, seed: int, begin: dt.datetime = FIRST_OF_MARCH, span: int = 40) -> list[dt.datetime]:
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, span * 86_400, n))
    return [begin + dt.timedelta(seconds=int(value)) for value in seconds]


def dated(seed: int, show: Callable[[Any], str], n: int = 130, values: Sequence[Any] | None = None) -> Sheet:
    sheet = sales(seed, n)
    sheet.first("date", days(n) if values is None else values, DATE)
    return sheet.show("date", show)


# How numbers are shown


def grouped(value: float, thousands: str, decimal: str, digits: int = 2) -> str:
    whole = f"{value:,.{digits}f}"
    return whole.replace(",", "\0").replace(".", decimal).replace("\0", thousands)


def indian(value: float) -> str:
    whole, cents = f"{value:.2f}".split(".")
    head, tail = whole[:-3], whole[-3:]
    pairs = []
    while head:
        head, pair = head[:-2], head[-2:]
        pairs.insert(0, pair)
    return ",".join([*pairs, tail]) + "." + cents


def with_refunds(sheet: Sheet, every: int = 9) -> Sheet:
    """Every ninth amount is paid back."""
    values = sheet.values["amount"]
    for row in range(0, sheet.n_rows, every):
        if row != sheet.planted:
            values[row] = -values[row]
    return sheet


def money() -> None:
    kind = "money"

    def amounts(file: str, what: str, show: Callable[[float], str], sep: str = ",", **more: Any) -> None:
        sheet = sales(len(CASES) + 1)
        if more.pop("refunds", False):
            with_refunds(sheet)
        if more.pop("whole", False):
            sheet.values["amount"] = [float(round(value)) for value in sheet.values["amount"]]
        sheet.show("amount", show)
        sheet.kinds["amount"] = more.pop("amount", NUMBER)
        case(file, kind, what, sheet, sheet.csv(sep), **more)

    amounts("money_us_dollar.csv", "$1,234.50", lambda v: f"${v:,.2f}")
    amounts("money_us_code_before.csv", "USD 1,234.50", lambda v: f"USD {v:,.2f}")
    amounts("money_us_code_after.csv", "1,234.50 USD", lambda v: f"{v:,.2f} USD")
    amounts("money_us_plain.csv", "1,234.50 quoted", lambda v: f"{v:,.2f}")
    amounts("money_german_euro.csv", "1.234,50 €", lambda v: grouped(v, ".", ",") + " €", sep=";")
    amounts("money_german_plain.txt", "1.234,50 between tabs", lambda v: grouped(v, ".", ","), sep="\t")
    amounts("money_german_code.csv", "EUR 1.234,50", lambda v: "EUR " + grouped(v, ".", ","), sep=";")
    amounts(
        "money_french.csv",
        "1 234,50 € with narrow no-break spaces",
        lambda v: grouped(v, "\u202f", ",") + "\u00a0€",
        sep=";",
    )
    amounts("money_french_space.csv", "1 234,50 with plain spaces", lambda v: grouped(v, " ", ","), sep=";")
    amounts("money_swiss.csv", "CHF 1'234.50", lambda v: "CHF " + grouped(v, "'", "."), sep=";")
    amounts("money_swiss_typographic.csv", "1’234.50", lambda v: grouped(v, "’", "."))
    amounts("money_indian.csv", "₹1,23,456.00", lambda v: "₹" + indian(v))
    amounts("money_pound_minus.csv", "-£12.50", lambda v: f"{'-' if v < 0 else ''}£{abs(v):,.2f}", refunds=True)
    amounts("money_sign_after_symbol.csv", "$-12.50", lambda v: f"${v:,.2f}", refunds=True)
    amounts(
        "money_accounting.csv",
        "(1,234.50) is negative",
        lambda v: f"({-v:,.2f})" if v < 0 else f"{v:,.2f}",
        refunds=True,
    )
    amounts(
        "money_accounting_dollar.csv",
        " $ (1,234.50) as Excel's accounting format writes it",
        lambda v: f" $ ({-v:,.2f})" if v < 0 else f" $ {v:,.2f} ",
        refunds=True,
    )
    amounts(
        "money_trailing_minus.csv",
        "1.234,50- as SAP writes it",
        lambda v: grouped(abs(v), ".", ",") + ("-" if v < 0 else ""),
        sep=";",
        refunds=True,
    )
    amounts("money_krona.csv", "1 234,50 kr", lambda v: grouped(v, " ", ",") + " kr", sep=";")
    amounts("money_real.csv", "R$ 1.234,50", lambda v: "R$ " + grouped(v, ".", ","), sep=";")
    amounts("money_yen.csv", "¥12,345", lambda v: f"¥{v:,.0f}", whole=True)
    amounts("money_padded.csv", "amounts right-aligned with spaces", lambda v: f"{v:>14,.2f}")
    amounts("money_cents_missing.csv", "$1,234 or $1,234.5", lambda v: f"${v:,.2f}".rstrip("0").rstrip("."))
    sheet = sales(31)
    sheet.shown["amount"] = [f"{'EUR' if row % 3 else 'USD'} {v:,.2f}" for row, v in enumerate(sheet.values["amount"])]
    sheet.kinds["amount"] = [ASIDE, NUMBER, LEVELS]
    sheet.values["amount"] = list(sheet.shown["amount"])
    case(
        "money_two_currencies.csv",
        kind,
        "USD and EUR in one column",
        sheet,
        top=0,
        why="amounts in two currencies are no one quantity; whatever is done has to be said",
        said=["amount"],
    )
    sheet = sales(32).show("amount", lambda v: f" $ {v:,.2f} ")
    for row in (4, 33, 34, 80, 111):
        sheet.cell("amount", row, " $ -   ", 0.0)
    sheet.looked_at -= {4, 33, 34, 80, 111}
    case("money_dash_for_zero.csv", kind, "' $ -   ' for nothing, as Excel's accounting format writes it", sheet)


def percents_and_units() -> None:
    kind = "percent and units"

    def column(file: str, what: str, name: str, values: Any, planted: float, show: Callable[[float], str], **more: Any):
        rng = np.random.default_rng(len(CASES) + 1)
        sheet = sales(len(CASES) + 1)
        drawn = [float(value) for value in values(rng, sheet.n_rows)]
        drawn[sheet.planted] = planted
        sheet.values["amount"][sheet.planted] = round(sheet.values["amount"][sheet.planted] / 30, 2)
        sheet.add(name, drawn, more.pop("expected", NUMBER), show)
        sep = more.pop("sep", ",")
        case(file, kind, what, sheet, sheet.csv(sep), **more)

    def around(mean: float, sd: float, digits: int = 1) -> Callable[[Any, int], Any]:
        return lambda rng, n: np.round(rng.normal(mean, sd, n), digits)

    scaled = {"why": "a share may be kept as 12 or as 0.12: values of this column are not compared"}
    column("percent_space.csv", "12 %", "margin", around(21, 4, 0), 950, lambda v: f"{v:.0f} %")
    column("percent_close.csv", "12.5%", "margin", around(21, 4), 950, lambda v: f"{v:.1f}%")
    column(
        "percent_comma.csv",
        "12,5 %",
        "margin",
        around(21, 4),
        950,
        lambda v: f"{v:.1f} %".replace(".", ","),
        sep=";",
    )
    column("percent_signed.csv", "+3.2% and -1.1%", "change", around(0, 3), 410, lambda v: f"{v:+.1f}%")
    for entry in CASES[-4:]:
        name = next(name for name in ("margin", "change") if name in entry["columns"])
        del entry["values"][name]
        entry.update(scaled)
    column("unit_kg.csv", "72.5 kg", "weight", around(75, 9), 751, lambda v: f"{v:.1f} kg")
    column("unit_close.csv", "72.5kg", "weight", around(75, 9), 751, lambda v: f"{v:.1f}kg")
    column(
        "unit_comma.csv", "72,5 cm", "length", around(75, 9), 751, lambda v: f"{v:.1f} cm".replace(".", ","), sep=";"
    )
    column("unit_degrees.csv", "21.5 °C", "temperature", around(21, 2), 214, lambda v: f"{v:.1f} °C")
    column("unit_hours.csv", "7.5h", "duration", around(7.5, 0.8), 75, lambda v: f"{v:.1f}h")
    column("unit_square.csv", "84 m²", "area", around(84, 15, 0), 8400, lambda v: f"{v:.0f} m²")
    column("unit_days.csv", "14 days, 1 day", "delay", around(14, 3, 0), 400, lambda v: f"{v:.0f} days")
    column(
        "multiplier_k.csv",
        "950, 3.2k and 1.1M",
        "views",
        lambda rng, n: [float(f"{value:.2g}") for value in np.exp(rng.normal(np.log(4e3), 0.9, n))],
        9.1e8,
        lambda v: f"{v / 1e6:g}M" if v >= 1e6 else f"{v / 1e3:g}k" if v >= 1e3 else f"{v:g}",
    )
    column(
        "multiplier_dollar.csv",
        "$3.2M and $850K",
        "turnover",
        lambda rng, n: [float(f"{value:.3g}") for value in np.exp(rng.normal(np.log(2e6), 0.5, n))],
        8.8e8,
        lambda v: f"${v / 1e6:g}M" if v >= 1e6 else f"${v / 1e3:g}K",
    )
    rng = np.random.default_rng(77)
    sheet = sales(77)
    size = [float(f"{value:.2g}") for value in np.exp(rng.normal(np.log(9e5), 0.6, sheet.n_rows))]
    sheet.add("size", size, [NUMBER, ASIDE, LEVELS], lambda v: f"{v / 1e6:g} MB" if v >= 1e6 else f"{v / 1e3:g} KB")
    case("unit_mixed_bytes.csv", kind, "1.5 MB and 800 KB", sheet, why="two units in one column: converted, or said")
    for entry in CASES[-1:]:
        del entry["values"]["size"]
    sheet = sales(78)
    minutes = rng.integers(5, 55, sheet.n_rows)
    sheet.add("duration", [f"{value // 60:02d}:{value % 60:02d}:{value % 7:02d}" for value in minutes], [NUMBER, ASIDE])
    case(
        "duration_clock.csv",
        kind,
        "durations as 00:41:06",
        sheet,
        why="a number of seconds, or set aside with a word: both are fair",
    )
    del CASES[-1]["values"]["duration"]


def decimal_marks() -> None:
    kind = "decimal marks"

    def comma(value: float) -> str:
        return plain(value).replace(".", ",")

    for file, sep in (("decimal_comma.csv", ";"), ("decimal_comma.tsv", "\t"), ("decimal_comma_quoted.csv", ",")):
        sheet = sensor(len(CASES)).show("temperature", comma).show("pressure", comma)
        case(file, kind, f"decimal comma, separated by {sep!r}", sheet, sheet.csv(sep))

    def weights(
        file: str, what: str, sep: str, weight: Callable[[float], str], other: Callable[[float], str], scale: float
    ):
        rng = np.random.default_rng(len(CASES) + 1)
        sheet = sales(len(CASES) + 1)
        sheet.values["amount"] = [round(value / 100, 2) for value in sheet.values["amount"]]
        sheet.show("amount", other)
        drawn = [float(value) * scale for value in rng.integers(1010, 9990, sheet.n_rows)]
        sheet.add("weight", [round(value, 3) for value in drawn], NUMBER, weight)
        case(file, kind, what, sheet, sheet.csv(sep))

    def two(mark: str) -> Callable[[float], str]:
        return lambda v: f"{v:.2f}".replace(".", mark)

    weights(
        "thousands_decided_german.csv",
        "1.234 is 1234: another column has a decimal comma",
        ";",
        lambda v: grouped(v, ".", ",", 0),
        two(","),
        1,
    )
    weights(
        "thousands_decided_us.csv",
        '"1,234" is 1234: another column has a decimal point',
        ",",
        lambda v: grouped(v, ",", ".", 0),
        two("."),
        1,
    )
    weights(
        "three_decimals_comma.csv",
        "1,234 is 1.234: another column has a decimal comma",
        ";",
        lambda v: f"{v:.3f}".replace(".", ","),
        two(","),
        0.001,
    )
    weights(
        "three_decimals_point.csv",
        "1.234 is 1.234: another column has a decimal point",
        ";",
        lambda v: f"{v:.3f}",
        two("."),
        0.001,
    )
    weights(
        "three_decimals_alone.csv",
        "1.234 between commas",
        ",",
        lambda v: f"{v:.3f}",
        lambda v: f"{v:.0f}",
        0.001,
    )
    for entry in CASES[-1:]:
        del entry["values"]["amount"]
    sheet = sales(90)
    sheet.values["amount"] = [float(round(value)) for value in sheet.values["amount"]]
    sheet.add("rate", [round(0.5 + 0.1 * (row % 7), 1) for row in range(sheet.n_rows)], NUMBER, comma)
    sheet.show("amount", lambda v: grouped(v, ".", ",", 0))
    case("thousands_some_short.csv", kind, "950 and 1.250 beside 0,5", sheet, sheet.csv(";"))
    sheet = sales(91)
    sheet.values["amount"] = [float(round(value)) for value in sheet.values["amount"]]
    sheet.show("amount", lambda v: grouped(v, " ", ".", 0))
    case("thousands_space.csv", kind, "12 345", sheet)
    sheet = sales(92).show("amount", lambda v: grouped(v, "\u00a0", ".", 2))
    case("thousands_no_break_space.csv", kind, "12 345.50 with no-break spaces", sheet)
    sheet = sales(93, n=200).show("amount", lambda v: f"{v:.2f}")
    sheet.cell("amount", 44, '"' + sheet.texts("amount")[44].replace(".", ",") + '"', sheet.values["amount"][44])
    sheet.looked_at.clear()
    content = sheet.csv().replace('"""', '"')
    case("one_decimal_comma.csv", kind, "one amount with a decimal comma among points", sheet, content)


def odd_cells() -> None:
    kind = "one odd cell"
    known = {"n.a.", "-", ".", "#DIV/0!", "unknown", "#N/A", "NULL", "?", "--", "nil", "keine Angabe", "N/A"}
    odd = {
        "na_dots": "n.a.",
        "dash": "-",
        "dot": ".",
        "division": "#DIV/0!",
        "below": "<10",
        "unknown": "unknown",
        "and_older": "18+",
        "not_available": "#N/A",
        "null": "NULL",
        "question": "?",
        "about": "ca. 40",
        "range": "30-39",
        "see_note": "see note",
        "footnote": "41*",
        "letter_o": "4O",
        "two_dashes": "--",
        "german_none": "keine Angabe",
        "excel_reference": "#REF!",
    }
    for name, text in odd.items():
        sheet = staff(len(CASES), n=200).cell("age", 57, text)
        said = {} if text in known else {"said": ["age", text]}
        case(f"odd_{name}.csv", kind, f"an age is {text!r}", sheet, **said)
        if name == "footnote":
            CASES[-1]["values"]["age"]["58"] = [41, None]
            CASES[-1]["said"] = ["age"]
            CASES[-1]["why"] = "a person reads 41, with a footnote: that or missing, and said"
    sheet = sensor(140, n=180).cell("temperature", 40, "sensor failure")
    case(
        "odd_text_decimals.csv",
        kind,
        "a temperature is 'sensor failure'",
        sheet,
        said=["temperature", "sensor failure"],
    )
    sheet = staff(141, n=200)
    rows = sheet.csv().splitlines()
    rows.insert(101, rows[0])
    case("odd_repeated_header.csv", kind, "the header again in line 102", sheet, "\n".join(rows) + "\n")
    CASES[-1]["values"] = {column: {"1": cells["1"]} for column, cells in CASES[-1]["values"].items()}
    CASES[-1].update(rows=[200, 201], planted={"row": [91, 91], "top": 3})
    CASES[-1]["why"] = "whether a repeated header is a row without values or no row does not matter"
    sheet = sensor(142, n=180)
    rows = sheet.csv().splitlines()
    rows.insert(1, ",°C,bar")
    case("odd_units_row.csv", kind, "units below the header", sheet, "\n".join(rows) + "\n")
    CASES[-1].update(rows=[180, 181], planted={"row": [102, 103], "top": 3})
    CASES[-1]["why"] = "whether a row of units is a row without values or no row does not matter"
    del CASES[-1]["values"]
    sheet = dated(143, lambda v: f"{v:%d/%m/%Y}", n=150).cell("date", 61, "31/02/2025")
    case("odd_invalid_date.csv", kind, "31/02/2025 among dates", sheet, said=["date", "31/02/2025"])
    sheet = dated(144, lambda v: f"{v:%Y-%m-%d}", n=150).cell("date", 61, "to be agreed")
    case("odd_text_date.csv", kind, "'to be agreed' among dates", sheet, said=["date", "to be agreed"])
    sheet = dated(145, lambda v: f"{v:%d.%m.%Y}", n=150).cell("date", 61, "00.00.0000")
    case("odd_zero_date.csv", kind, "00.00.0000 among dates, as SAP writes none", sheet, sheet.csv(";"))
    sheet = staff(146, n=200)
    records = sheet.records()
    records[57]["age"] = "unknown"
    sheet.values["age"][57] = None
    sheet.looked_at.add(57)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    case("odd_text_in_records.jsonl", kind, "one age is the text 'unknown' in JSON lines", sheet, lines)
    sheet = staff(147, n=200).cell("age", 57, "abt 40")
    case(
        "odd_text_in_parquet.parquet",
        kind,
        "ages are text in Parquet, and one is 'abt 40'",
        sheet,
        b"",
        said=["age", "abt 40"],
    )
    FILES["odd_text_in_parquet.parquet"] = as_parquet(
        {"department": sheet.values["department"], "age": sheet.texts("age"), "pay": sheet.values["pay"]}
    )
    sheet = staff(148, n=200)
    for row, text in ((12, "n.a."), (57, "-"), (130, "unknown"), (163, "n.a."), (164, "."), (165, "-")):
        sheet.cell("age", row, text)
    sheet.looked_at -= {163, 164, 165}
    case("odd_several_missing.csv", kind, "3 % of ages are n.a., -, unknown or .", sheet)


def sentinels() -> None:
    kind = "sentinels"

    def repeated(file: str, what: str, sheet: Sheet, column: str, text: str, share: int = 17, **more: Any) -> None:
        rows = [row for row in range(5, sheet.n_rows, share) if row not in (sheet.planted, sheet.n_rows // 3)]
        for row in rows:
            sheet.cell(column, row, text)
        sheet.looked_at = set(rows[:2])
        case(file, kind, what, sheet, said=[column, text], **more)

    repeated("sentinel_minus_999.csv", "-999 for no temperature", sensor(201), "temperature", "-999")
    repeated("sentinel_minus_9999.csv", "-9999 for no pressure", sensor(202), "pressure", "-9999")
    repeated("sentinel_minus_999_decimals.csv", "-999.00 for no temperature", sensor(203), "temperature", "-999.00")
    CASES[-1]["said"] = ["temperature", "-999"]
    repeated("sentinel_9999.csv", "9999 for no age", staff(204), "age", "9999")
    repeated("sentinel_999.csv", "999 for no age", staff(205), "age", "999")
    repeated("sentinel_minus_1.csv", "-1 for no age", staff(206), "age", "-1")
    repeated("sentinel_99999.csv", "99999 for no pay", staff(207), "pay", "99999")
    repeated("sentinel_1900.csv", "1900-01-01 for no date", dated(208, plain, 150), "date", "1900-01-01")
    repeated("sentinel_9999_12_31.csv", "9999-12-31 for no end", dated(209, plain, 150), "date", "9999-12-31")
    repeated(
        "sentinel_99_99_9999.csv",
        "99/99/9999 for no date",
        dated(210, lambda v: f"{v:%d/%m/%Y}", 150),
        "date",
        "99/99/9999",
    )
    sheet = sensor(211, n=200)
    for row in (20, 60):
        sheet.cell("temperature", row, "-999")
    case(
        "sentinel_twice.csv",
        kind,
        "-999 twice in 200 rows",
        sheet,
        top=4,
        why="two cells alone are few: said, or missing",
    )
    del CASES[-1]["values"]["temperature"]["21"], CASES[-1]["values"]["temperature"]["61"]


def gross_cells() -> None:
    kind = "one gross cell"

    def gross(file: str, text: str, sheet: Sheet, column: str, why: str | None = None) -> None:
        sheet.cell(column, 44, text, float(text))
        sheet.looked_at.clear()
        more = {} if why is None else {"why": why}
        case(file, kind, f"a {column} of {text}; another anomaly has to be found beside it", sheet, top=4, **more)

    gross("gross_minus_1e6.csv", "-999999", sensor(221, n=200), "temperature")
    gross("gross_1e9.csv", "1000000000", sensor(222, n=200), "temperature")
    gross("gross_minus_1e9.csv", "-1000000000", sensor(223, n=200), "pressure")
    gross("gross_1e30.csv", "1e30", sensor(224, n=200), "temperature")
    gross(
        "gross_1e300.csv",
        "1e300",
        sensor(225, n=200),
        "temperature",
        "beyond single precision; may be refused or missing if said",
    )
    gross("gross_integer.csv", "2147483647", staff(226, n=200), "pay")
    sheet = dated(227, plain, 200).cell("date", 44, "3025-04-01", dt.date(3025, 4, 1))
    sheet.looked_at.clear()
    case("gross_date.csv", kind, "a date in the year 3025", sheet, top=4)
    sheet = sensor(228, n=200).cell("temperature", 44, "inf")
    case(
        "gross_infinite.csv", kind, "an infinite temperature", sheet, said=["temperature"], refused_or_said=True, top=4
    )


def dates() -> None:
    kind = "dates"

    def dates_as(
        file: str, what: str, show: Callable[[Any], str], values: Any = None, sep: str = ",", **more: Any
    ) -> None:
        sheet = dated(len(CASES) + 1, show, values=values)
        sheet.kinds["date"] = more.pop("date", DATE)
        names = more.pop("names", {})
        case(file, kind, what, sheet.renamed(names), sheet.csv(sep), **more)
        if more.pop("uncompared", False):
            CASES[-1].pop("uncompared")
            CASES[-1]["values"].pop(names.get("date", "date"), None)

    times = moments(130, 5)
    exact_times = [moment.replace(second=0) for moment in times]
    dates_as("date_iso.csv", "2025-01-31", lambda v: f"{v:%Y-%m-%d}")
    dates_as("date_iso_t.csv", "2025-01-31T12:30:05", lambda v: f"{v:%Y-%m-%dT%H:%M:%S}", times)
    dates_as("date_iso_z.csv", "2025-01-31T12:30:05Z", lambda v: f"{v:%Y-%m-%dT%H:%M:%S}Z", times)
    dates_as(
        "date_iso_offset.csv",
        "2025-01-31T12:30:05+02:00",
        lambda v: f"{v:%Y-%m-%dT%H:%M:%S}+02:00",
        times,
        uncompared=True,
    )
    dates_as(
        "date_iso_two_offsets.csv",
        "+01:00 and, from 30 March, +02:00",
        lambda v: (
            f"{v:%Y-%m-%dT%H:%M:%S}" + ("+01:00" if v < FIRST_OF_MARCH + dt.timedelta(days=29, hours=2) else "+02:00")
        ),
        times,
        uncompared=True,
    )
    dates_as(
        "date_iso_millis.csv",
        "2025-01-31 12:30:05.123",
        lambda v: f"{v:%Y-%m-%d %H:%M:%S}.{v.second * 16 % 1000:03d}",
        times,
        uncompared=True,
    )
    dates_as(
        "date_iso_micros_z.csv",
        "2025-01-31T12:30:05.123456Z",
        lambda v: f"{v:%Y-%m-%dT%H:%M:%S}.{v.second * 16661 % 1000000:06d}Z",
        times,
        uncompared=True,
    )
    dates_as("date_iso_minutes.csv", "2025-01-31 12:30", lambda v: f"{v:%Y-%m-%d %H:%M}", exact_times)
    dates_as("date_slash_ymd.csv", "2025/01/31", lambda v: f"{v:%Y/%m/%d}")
    dates_as("date_day_first.csv", "31/01/2025", lambda v: f"{v:%d/%m/%Y}")
    dates_as("date_month_first.csv", "01/31/2025", lambda v: f"{v:%m/%d/%Y}")
    dates_as("date_day_first_minutes.csv", "31/12/2025 00:00", lambda v: f"{v:%d/%m/%Y %H:%M}", exact_times)
    dates_as(
        "date_month_first_pm.csv",
        "1/31/2025 3:05 PM",
        lambda v: f"{v.month}/{v.day}/{v.year} {(v.hour - 1) % 12 + 1}:{v:%M} {'AM' if v.hour < 12 else 'PM'}",
        exact_times,
    )
    dates_as("date_unpadded.csv", "1/31/2025", lambda v: f"{v.month}/{v.day}/{v.year}")
    dates_as("date_short_month.csv", "12-Mar-25", lambda v: f"{v:%d-%b-%y}")
    dates_as("date_short_month_year.csv", "12 Mar 2025", lambda v: f"{v:%d %b %Y}")
    dates_as("date_american_words.csv", "Mar 12, 2025", lambda v: f"{v:%b %d, %Y}")
    dates_as("date_dotted.csv", "31.01.2025", lambda v: f"{v:%d.%m.%Y}", sep=";")
    dates_as("date_dotted_time.csv", "31.01.2025 12:30", lambda v: f"{v:%d.%m.%Y %H:%M}", exact_times, sep=";")
    dates_as("date_dotted_short.csv", "31.01.25", lambda v: f"{v:%d.%m.%y}", sep=";")
    months = (
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    )
    dates_as(
        "date_german_words.csv",
        "12. März 2025",
        lambda v: f"{v.day}. {months[v.month - 1]} {v.year}",
        sep=";",
        date=[DATE, ASIDE, LEVELS],
        why="names of months in other languages may be more than can be asked: set aside is fair if said",
        uncompared=True,
    )
    dates_as(
        "date_yyyymmdd.csv",
        "20250131",
        lambda v: f"{v:%Y%m%d}",
        date=[DATE, ASIDE],
        names={"date": "posting_date"},
        why="whole numbers that are times are fairly set aside if said, as seconds since 1970 are",
        uncompared=True,
    )
    dates_as(
        "date_epoch_seconds.csv",
        "seconds since 1970",
        lambda v: f"{v.replace(tzinfo=UTC).timestamp():.0f}",
        times,
        date=[DATE, ASIDE],
        names={"date": "created_at"},
        uncompared=True,
    )
    dates_as(
        "date_epoch_millis.csv",
        "milliseconds since 1970",
        lambda v: f"{1000 * v.replace(tzinfo=UTC).timestamp():.0f}",
        times,
        date=[DATE, ASIDE],
        names={"date": "timestamp"},
        uncompared=True,
    )
    dates_as(
        "date_excel_serial.csv",
        "days since 1900, as Excel keeps dates",
        lambda v: str((v - dt.date(1899, 12, 30)).days),
        date=[DATE, ASIDE, NUMBER],
        why="45688 may be a number: fair if said",
        uncompared=True,
    )
    small = [dt.date(2025, 1 + row * 11 // 130, 1 + row % 12) for row in range(130)]
    dates_as(
        "date_ambiguous.csv",
        "03/04/2025 throughout: no day above 12",
        lambda v: f"{v:%d/%m/%Y}",
        small,
        said=["date"],
        why="nothing in the file tells the order: either is fair if it is said",
        uncompared=True,
    )
    dates_as(
        "date_year_month.csv",
        "2025-03",
        lambda v: f"{v:%Y-%m}",
        date="date or levels",
        uncompared=True,
        why="a month is a date or a level",
    )
    dates_as(
        "date_quarter.csv",
        "2025-Q1",
        lambda v: f"{v.year}-Q{(v.month + 2) // 3}",
        date="levels or date",
        uncompared=True,
    )
    dates_as(
        "date_zone_name.csv",
        "2025-01-31 12:30:05 UTC",
        lambda v: f"{v:%Y-%m-%d %H:%M:%S} UTC",
        times,
        date=[DATE, ASIDE],
        uncompared=True,
    )
    dates_as("date_weekday.csv", "Fri 31/01/2025", lambda v: f"{v:%a %d/%m/%Y}", date=[DATE, ASIDE], uncompared=True)
    dates_as(
        "date_clock.csv",
        "a time of day, 14:05",
        lambda v: f"{v:%H:%M}",
        exact_times,
        date="date or number or levels or aside",
        uncompared=True,
        names={"date": "time"},
        why="a time of day without a day",
    )
    years = [dt.date(2025, 1, 1) if row % 3 else dt.date(2024, 1, 1) for row in range(130)]
    dates_as(
        "date_years.csv",
        "years as numbers",
        lambda v: f"{v:%Y}",
        years,
        date="number or levels or date or constant",
        uncompared=True,
        names={"date": "year"},
    )
    dates_as(
        "date_mixed_time.csv",
        "2025-01-31 with and without a time",
        lambda v: f"{v:%Y-%m-%d}" if v.minute % 5 == 0 else f"{v:%Y-%m-%d %H:%M:%S}",
        times,
        date=[DATE, ASIDE],
        uncompared=True,
    )


def pairs() -> None:
    kind = "next month"

    def both(
        name: str, what: str, make: Callable[[int, int], Sheet], suffix: str = ".csv", write: Any = None, **more: Any
    ) -> None:
        first, second = make(0, 1), make(1, 2)
        later = f"{name}_2{suffix}"
        FILES[later] = (second.csv() if write is None else write(second)).encode() if write is None else write(second)
        content = first.csv() if write is None else write(first)
        share = more.pop("share", 0.15)
        case(f"{name}_1{suffix}", kind, what, first, content, next={"file": later, "flagged_at_most": share}, **more)

    def hourly(part: int, seed: int) -> Sheet:
        sheet = sensor(300 + seed, n=240, planted=120)
        sheet.values["pressure"][120] = sheet.values["pressure"][119] if part else sheet.values["pressure"][120]
        begin = FIRST_OF_MARCH + dt.timedelta(days=30 * part)
        return sheet.first("time", [begin + dt.timedelta(hours=3 * row) for row in range(240)], DATE)

    def daily(part: int, seed: int) -> Sheet:
        sheet = sales(310 + seed, n=240)
        if part:
            sheet.values["amount"][70] /= 30
            sheet.values["amount"][70] = round(sheet.values["amount"][70], 2)
        begin = dt.date(2025, 1, 1) if not part else dt.date(2025, 2, 1)
        return sheet.first("day", [begin + dt.timedelta(days=row * 28 // 240) for row in range(240)], DATE)

    def german(part: int, seed: int) -> Sheet:
        return daily(part, seed).show("day", lambda v: f"{v:%d.%m.%Y}")

    def counting(step: int, name: str) -> Callable[[int, int], Sheet]:
        def make(part: int, seed: int) -> Sheet:
            sheet = daily(part, seed)
            rng = np.random.default_rng(seed)
            numbers = 10_000 + np.cumsum(rng.integers(1, step + 1, 480))[240 * part : 240 * part + 240]
            del sheet.values["day"], sheet.kinds["day"]
            return sheet.first(name, [int(value) for value in numbers], ASIDE)

        return make

    def epoch(part: int, seed: int) -> Sheet:
        sheet = hourly(part, seed)
        sheet.kinds["time"] = [DATE, ASIDE]
        return sheet.show("time", lambda v: f"{v.replace(tzinfo=UTC).timestamp():.0f}")

    def invoices(part: int, seed: int) -> Sheet:
        sheet = daily(part, seed)
        return sheet.first("invoice", [f"2025/{1000 + 240 * part + row}" for row in range(240)], ASIDE)

    def month(part: int, seed: int) -> Sheet:
        return daily(part, seed).add("month", ["January", "February"][part : part + 1] * 240, CONSTANT)

    both("next_hourly", "readings every three hours, and the month after", hourly)
    both("next_daily", "sales of January, and of February", daily)
    both("next_german", "31.01.2025", german)
    both("next_running", "a running number, and how it goes on", counting(1, "number"))
    both("next_gaps", "numbers with gaps, and how they go on", counting(9, "order_no"))
    both("next_epoch", "epoch seconds", epoch)
    both("next_invoice", "invoice numbers as text", invoices)
    both("next_parquet", "timestamps in Parquet", hourly, ".parquet", lambda sheet: as_parquet(sheet.values))
    first, second = month(0, 1), month(1, 2)
    FILES["next_month_name_2.csv"] = second.csv().encode()
    case(
        "next_month_name_1.csv",
        kind,
        "'January' throughout; the next file has 'February' in every row",
        first,
        next={"file": "next_month_name_2.csv", "flagged_at_most": 0.15, "or_said": ["month"]},
        why="that every row differs from training is true: flagging them is fair if the column is named",
    )


def identifiers() -> None:
    kind = "identifiers"

    def ids(file: str, what: str, name: str, values: Any, expected: Kinds = ASIDE, **more: Any) -> None:
        rng = np.random.default_rng(len(CASES) + 1)
        sheet = sales(len(CASES) + 1)
        drawn = values(rng, sheet.n_rows)
        case(file, kind, what, sheet.first(name, drawn, expected), **more)

    def digits(rng: np.random.Generator, n: int) -> str:
        return "".join(str(digit) for digit in rng.integers(0, 10, n))

    ids("id_running.csv", "1, 2, 3, ...", "id", lambda _, n: list(range(1, n + 1)))
    ids("id_from_zero.csv", "0, 1, 2, ...", "Nr", lambda _, n: list(range(n)))
    ids(
        "id_gaps.csv",
        "growing with gaps",
        "order_id",
        lambda rng, n: [int(v) for v in 50_000 + np.cumsum(rng.integers(1, 40, n))],
    )
    ids(
        "id_descending.csv",
        "newest first",
        "ticket",
        lambda rng, n: [int(v) for v in 90_000 - np.cumsum(rng.integers(1, 9, n))],
    )
    ids("id_invoice.csv", "INV-2025-00017", "invoice", lambda _, n: [f"INV-2025-{row + 17:05d}" for row in range(n)])
    ids("id_uuid.csv", "random UUIDs", "key", lambda rng, n: [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(n)])
    ids(
        "id_above_2_53.csv",
        "whole numbers above 2**53 that differ in their last digits",
        "account",
        lambda rng, n: [9_100_000_000_000_000_000 + int(v) for v in rng.permutation(n)],
        [ASIDE, LEVELS],
    )
    ids("id_above_2_64.csv", "22 digits", "reference", lambda rng, n: ["12" + digits(rng, 20) for _ in range(n)])
    ids("id_phone.csv", "+49 89 1234567", "phone", lambda rng, n: [f"+49 89 {digits(rng, 7)}" for _ in range(n)])
    ids(
        "id_phone_zero.csv",
        "0891234567",
        "phone",
        lambda rng, n: [f"089{digits(rng, 7)}" for _ in range(n)],
        [ASIDE, LEVELS],
    )
    codes = ["01067", "04109", "10115", "20095", "80331", "99084"]
    ids(
        "id_zip.csv",
        "postcodes, some with a leading zero",
        "zip",
        lambda rng, n: [str(v) for v in rng.choice(codes, n)],
        LEVELS,
    )
    CASES[-1]["levels"] = {"zip": codes}
    ids(
        "id_zip_many.csv",
        "different postcodes with leading zeros",
        "postcode",
        lambda rng, n: [f"0{rng.integers(1000, 9999)}" for _ in range(n)],
        [ASIDE, LEVELS],
    )
    ids(
        "id_iban.csv",
        "DE89 3704 0044 0532 0130 00",
        "iban",
        lambda rng, n: [
            f"DE{digits(rng, 2)} " + " ".join(digits(rng, 4) for _ in range(4)) + f" {digits(rng, 2)}" for _ in range(n)
        ],
    )
    ids(
        "id_ean.csv",
        "barcodes of 13 digits, each once",
        "ean",
        lambda rng, n: [4_000_000_000_000 + int(v) for v in rng.integers(0, 10**12, n)],
        [ASIDE, NUMBER],
        why="random whole numbers may be quantities; an identifier by its name",
    )
    ids(
        "id_customer.csv",
        "a customer number out of eight",
        "customer",
        lambda rng, n: [
            int(v) for v in rng.choice([10_431, 10_877, 20_155, 20_990, 31_402, 31_403, 40_118, 50_001], n)
        ],
        "levels or number",
    )
    ids("id_email.csv", "e-mail addresses", "mail", lambda _, n: [f"person{row}@example.org" for row in range(n)])
    ids(
        "id_hex.csv",
        "short hashes, some of which look like 1e5",
        "commit",
        lambda rng, n: [rng.bytes(4).hex() if row % 9 else f"{row + 10}e{row % 7 + 2}" for row in range(n)],
    )
    ids(
        "note_free_text.csv",
        "free text",
        "note",
        lambda rng, n: [
            f"Called on {day:%A}, {rng.integers(2, 40)} pieces; box {row}" for row, day in enumerate(days(n))
        ],
    )
    sheet = sales(399)
    rng = np.random.default_rng(399)
    keys = [9_007_199_254_740_993 + int(v) for v in rng.permutation(sheet.n_rows)]
    sheet.first("key", keys, [ASIDE, LEVELS])
    case("id_above_2_53.parquet", kind, "the same as 64-bit integers in Parquet", sheet, as_parquet(sheet.values))


def levels() -> None:
    kind = "levels"

    def flags(
        file: str, what: str, name: str, texts: Sequence[str], expected: Any, kinds: Kinds = LEVELS, **more: Any
    ) -> None:
        rng = np.random.default_rng(len(CASES) + 1)
        sheet = sales(len(CASES) + 1, n=150)
        sheet.add(name, [str(v) for v in rng.choice(list(texts), sheet.n_rows)], kinds)
        if expected is not None:
            sheet.levels[name] = expected
        case(file, kind, what, sheet, **more)

    flags("levels_case.csv", "Yes, yes and YES are one", "paid", ["Yes", "yes", "YES", "no", "No"], 2)
    flags("levels_space.csv", "'Yes ' and 'Yes' are one", "paid", ["Yes", "Yes ", "No", " No"], 2)
    flags("levels_yes_no.csv", "yes and no", "paid", ["yes", "no"], ["yes", "no"])
    flags("levels_y_n.csv", "Y and N", "paid", ["Y", "N"], ["y", "n"])
    flags("levels_true_false.csv", "TRUE and FALSE", "paid", ["TRUE", "FALSE"], 2)
    flags("levels_true_mixed.csv", "TRUE, True and False", "paid", ["TRUE", "True", "False", "FALSE"], 2)
    flags("levels_x_empty.csv", "x, or nothing", "urgent", ["x", "", ""], 2)
    flags("levels_true_empty.csv", "true, or nothing", "urgent", ["true", ""], 2)
    flags("levels_0_1.csv", "0 and 1", "paid", ["0", "1"], 2, [LEVELS, NUMBER])
    CASES[-1]["columns"]["paid"] = "levels or number"
    flags("levels_german.csv", "ja, nein", "bezahlt", ["ja", "nein"], ["ja", "nein"])
    flags(
        "levels_none.csv",
        "'None' is a level of its own",
        "discount",
        ["None", "Staff", "Season"],
        ["none", "staff", "season"],
        why="'None' may be missing: fair if said",
    )
    flags(
        "levels_na.csv",
        "NA is Namibia",
        "country",
        ["NA", "ZA", "BW"],
        ["na", "za", "bw"],
        why="NA may be missing: fair if said",
    )
    flags(
        "levels_numbers_with_units.csv",
        "sizes 500 ml and 1 l",
        "bottle",
        ["500 ml", "1 l", "330 ml"],
        3,
        [LEVELS, NUMBER],
    )
    flags("levels_grades.csv", "1 to 5", "grade", ["1", "2", "3", "4", "5"], 5)
    CASES[-1]["columns"]["grade"] = "levels or number"
    flags("levels_age_groups.csv", "18-29, 30-39, 40+", "group", ["18-29", "30-39", "40+"], ["18-29", "30-39", "40+"])
    flags("levels_months.csv", "names of months", "month", ["Jan", "Feb", "Mar", "Apr"], ["jan", "feb", "mar", "apr"])
    flags("levels_day_month.csv", "1/2, 3/4: fractions of a page", "page", ["1/2", "1/4", "3/4"], ["1/2", "1/4", "3/4"])
    flags(
        "levels_versions.csv",
        "1.2.3, as versions are written",
        "version",
        ["1.2.3", "1.2.4", "1.3.0"],
        ["1.2.3", "1.2.4", "1.3.0"],
    )
    flags("levels_codes_with_zero.csv", "007, 012, 120", "code", ["007", "012", "120"], ["007", "012", "120"])
    flags("levels_umlauts.csv", "Grüße and Größe", "art", ["Größe", "Maß", "Stück"], ["größe", "maß", "stück"])
    rng = np.random.default_rng(450)
    sheet = sales(450, n=150)
    city = {"north": "Kiel", "south": "Ulm", "west": "Trier"}
    sheet.values["amount"][70] = round(sheet.values["amount"][70] / 30, 2)
    sheet.add("city", [city[level] for level in sheet.values["region"]], LEVELS)
    sheet.values["city"][70] = "Kiel" if sheet.values["region"][70] != "north" else "Ulm"
    sheet.levels["city"] = ["Kiel", "Ulm", "Trier"]
    case("levels_combination.csv", kind, "one city is not in its region", sheet)
    sheet = sales(451, n=150)
    sheet.add("colour", [str(v) for v in rng.choice(["红", "蓝", "绿"], sheet.n_rows)], LEVELS)
    sheet.levels["colour"] = ["红", "蓝", "绿"]
    case("levels_chinese.csv", kind, "Chinese levels", sheet)
    sheet = sales(452, n=150)
    sheet.add("mood", [str(v) for v in rng.choice(["🙂", "🙁"], sheet.n_rows)], LEVELS)
    sheet.levels["mood"] = ["🙂", "🙁"]
    case("levels_emoji.csv", kind, "emoji as levels", sheet)


def layouts() -> None:
    kind = "layout"
    sheet = sales(501)
    body = sheet.csv()
    header, rows = body.splitlines()[0], body.splitlines()[1:]
    table = "\n".join(rows)
    total = sum(sheet.values["amount"])

    def laid(file: str, what: str, content: str, **more: Any) -> None:
        case(file, kind, what, more.pop("sheet", sheet), content, **more)

    indexed = sales(502).first("", list(range(120)), ASIDE)
    laid("layout_unnamed_index.csv", "the index that df.to_csv writes", indexed.csv(), sheet=indexed)
    CASES[-1]["columns"] = {name: expected for name, expected in CASES[-1]["columns"].items() if name}
    CASES[-1]["values"] = {name: cells for name, cells in CASES[-1]["values"].items() if name}
    CASES[-1]["unnamed"] = ASIDE
    laid("layout_title.csv", "a title above the header", f"Sales of the second quarter\n\n{body}", said=[SKIPPED])
    laid(
        "layout_title_padded.csv",
        "title lines with empty cells",
        f"Sales of the second quarter,,\nprinted on 3 July,,\n,,\n{body}",
        said=[SKIPPED],
    )
    laid("layout_total.csv", "a total below the data", f"{body}Total,,{total:.2f}\n", said=["total"])
    laid(
        "layout_grand_total_german.csv",
        "Summe below the data",
        f"{body}\nSumme,{sum(sheet.values['quantity'])},{total:.2f}\n",
        said=["summe"],
    )
    laid(
        "layout_title_total_note.csv",
        "a title, a total and a note",
        f"Export 2025-07-03\n\n{body}Total,,{total:.2f}\n\nSource: ledger; amounts in EUR\n",
        said=["total"],
    )
    laid("layout_note_at_end.csv", "a note below the data", f"{body}\n* provisional figures\n", said=["provisional"])
    laid("layout_blank_lines.csv", "blank lines between rows", header + "\n" + "\n\n".join(rows) + "\n\n\n")
    laid("layout_blank_cells.csv", "Excel's empty rows below the data", body + ",,\n" * 12)
    CASES[-1].update(rows=[120, 132])
    CASES[-1]["why"] = "whether rows without any value count does not matter, if none is called anomalous"
    laid("layout_no_header.csv", "no header", table + "\n", said=["header|first line|first row|names"])
    CASES[-1].update(rows=120, columns={}, values={}, refused_or_said=True)
    CASES[-1]["why"] = (
        "a first row read as names is fair if it is said; one row less then, and others are numbered by one less"
    )
    CASES[-1].update(rows=[119, 120], planted={"row": [70, 71], "top": 3})
    twice = Sheet(dict(sheet.values), dict(sheet.kinds), sheet.planted)
    laid(
        "layout_duplicate_names.csv",
        "two columns called amount",
        body.replace(header, header + ",amount")
        .replace("\n", ",5\n")
        .replace(header + ",amount,5", header + ",amount"),
        sheet=twice,
        refused_or_said=True,
        said=["amount"],
    )
    CASES[-1].update(columns={"region": LEVELS, "quantity": NUMBER}, values={}, top=0)
    CASES[-1].pop("planted"), CASES[-1].pop("top")
    CASES[-1]["why"] = "refused by name, or told apart with a word"
    laid(
        "layout_trailing_delimiter.csv",
        "a delimiter at the end of every line",
        "\n".join(line + "," for line in body.splitlines()) + "\n",
    )
    laid(
        "layout_trailing_delimiter_rows.csv",
        "a delimiter at the end of every line but the header",
        header + "\n" + "\n".join(line + "," for line in rows) + "\n",
        refused_or_said=True,
    )
    noted = sales(503)
    noted.add("note", [f"line one\nline two of {row}" if row % 4 == 0 else f"call {row}" for row in range(120)], ASIDE)
    laid("layout_line_break_in_quotes.csv", "line breaks in quoted cells", noted.csv(), sheet=noted)
    stray = list(rows)
    stray[30], stray[80] = '"' + stray[30], stray[80].replace(",", ',"', 1)
    laid(
        "layout_stray_quotes.csv",
        "two stray quotes 50 rows apart",
        header + "\n" + "\n".join(stray) + "\n",
        refused_or_said=True,
        said=[SKIPPED],
    )
    CASES[-1]["why"] = "refused with the line, or 120 rows with a word"
    inches = sales(504)
    inches.add("size", [f'{10 + row % 4}"' for row in range(120)], [LEVELS, NUMBER])
    laid(
        "layout_inch_marks.csv",
        'inches as 12" without quoting',
        "\n".join(",".join(row) for row in [list(inches.values), *inches.rows()]) + "\n",
        sheet=inches,
        refused_or_said=True,
    )
    ragged = list(rows)
    ragged[50] += ",7"
    laid(
        "layout_one_cell_more.csv",
        "a row has a cell too many",
        header + "\n" + "\n".join(ragged) + "\n",
        refused=["52"],
    )
    ragged[50] = ",".join(rows[50].split(",")[:2])
    laid(
        "layout_one_cell_less.csv", "a row has a cell too few", header + "\n" + "\n".join(ragged) + "\n", refused=["52"]
    )
    mixed = "".join(line + ("\r\n" if row % 3 else "\n") for row, line in enumerate(body.splitlines()))
    laid("layout_mixed_line_ends.csv", "lines end with CR LF or LF", mixed)
    laid(
        "layout_carriage_returns.csv",
        "lines end with CR, as on old Macs",
        body.replace("\n", "\r"),
        refused_or_said=True,
    )
    laid("layout_no_last_line_end.csv", "no line end after the last row", body.rstrip("\n"))
    laid("layout_first_line_blank.csv", "the first line is blank", "\n" + body)
    laid(
        "layout_comments.csv",
        "comment lines that begin with #",
        "# exported 2025-07-03\n# by ledger 4.1\n" + body,
        said=[SKIPPED],
    )
    laid("layout_sep_line.csv", "sep=; as Excel asks for it", "sep=;\n" + sheet.csv(";"))
    laid("layout_all_quoted.csv", "every cell in quotes", sheet.csv(quoting=csv.QUOTE_ALL))
    laid("layout_spaces_after_commas.csv", "a space after every comma", body.replace(",", ", "))
    laid(
        "layout_space_before_header.csv",
        "a space before a name and a tab after it",
        body.replace(header, "region , quantity,amount\t"),
    )
    laid("layout_pipe.csv", "cells between | in a .csv", sheet.csv("|"))
    laid("layout_semicolon.csv", "cells between ; in a .csv, decimal points", sheet.csv(";"))
    laid("layout_tab.csv", "cells between tabs in a .csv", sheet.csv("\t"))
    subtotal = list(rows)
    for row in (40, 80):
        subtotal.insert(row, f"Subtotal,,{total / 3:.2f}")
    laid(
        "layout_subtotals.csv",
        "subtotals between the rows",
        header + "\n" + "\n".join(subtotal) + "\n",
    )
    CASES[-1].update(rows=[120, 122], planted={"row": [71, 72], "top": 5}, values={})
    CASES[-1]["why"] = (
        "rows of subtotals are rare levels: kept as anomalous rows that explain themselves, or skipped with a word"
    )
    laid("layout_two_headers.csv", "names over two lines", "Where,How many,How much\n" + body)
    CASES[-1].update(values={}, rows=[120, 121], planted={"row": [71, 72], "top": 3})
    CASES[-1]["also_called"] = {"region": "Where", "quantity": "How many", "amount": "How much"}
    CASES[-1]["why"] = "either line may be the names, if the numbers stay numbers"


def encodings() -> None:
    kind = "encodings"

    def encoded(file: str, what: str, encoding: str, sep: str = ";", mark: bytes = b"", **more: Any) -> None:
        rng = np.random.default_rng(len(CASES) + 1)
        sheet = sales(len(CASES) + 1)
        sheet.add("Straße", [str(v) for v in rng.choice(["Mühlweg", "Höhe", "Süd"], sheet.n_rows)], LEVELS)
        sheet.levels["Straße"] = ["Mühlweg", "Höhe", "Süd"]
        sheet.rename(amount="Höhe")
        if more.pop("euro", False):
            sheet.show("Höhe", lambda v: grouped(v, ".", ",") + " €")
        case(file, kind, what, sheet, mark + sheet.csv(sep, end="\r\n").encode(encoding), **more)

    encoded("encoding_utf8.csv", "UTF-8", "utf-8")
    encoded("encoding_utf8_bom.csv", "UTF-8 with a mark, as Excel writes it", "utf-8-sig")
    encoded(
        "encoding_utf16_le.csv",
        "UTF-16, little end first, with tabs: Excel's Unicode text",
        "utf-16-le",
        "\t",
        b"\xff\xfe",
    )
    encoded("encoding_utf16_be.csv", "UTF-16, big end first", "utf-16-be", ";", b"\xfe\xff")
    encoded("encoding_utf16_no_mark.csv", "UTF-16 without a mark", "utf-16-le", ";")
    encoded("encoding_cp1252.csv", "Windows-1252", "cp1252")
    encoded("encoding_cp1252_euro.csv", "Windows-1252 with the euro sign", "cp1252", euro=True)
    encoded("encoding_latin1.csv", "Latin-1", "latin-1")
    encoded("encoding_utf16.txt", "Excel's Unicode text, .txt", "utf-16-le", "\t", b"\xff\xfe")
    sheet = sales(590)
    sheet.add("ort", ["Köln" if row % 3 else "Bonn" for row in range(120)], LEVELS)
    content = sheet.csv().encode()
    broken = content.replace("Köln".encode(), b"K\xf6ln", 1)
    case("encoding_one_bad_byte.csv", kind, "UTF-8 but for one byte", sheet, broken, refused_or_said=True)
    sheet = sales(591)
    sheet.rename(region="регион")
    case(
        "encoding_cp1251.csv",
        kind,
        "Windows-1251, Cyrillic, with its option",
        sheet,
        sheet.csv(";").encode("cp1251"),
        options=["--encoding", "cp1251"],
    )


def as_parquet(columns: dict[str, Any], schema: pa.Schema | None = None) -> bytes:
    out = io.BytesIO()
    table = columns if isinstance(columns, pa.Table) else pa.table(columns, schema=schema)
    parquet.write_table(table, out, compression="snappy")
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2025, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def workbook(sheets: dict[str, list[list[Any]]]) -> bytes:
    """An .xlsx file; dates get a cell format, texts are written in place."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    names = list(sheets)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{kinds}.styles+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n + 1}.xml" ContentType="{kinds}.worksheet+xml"/>'
            for n in range(len(names))
        )
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n + 1}" r:id="rId{n + 1}"/>' for n, name in enumerate(names))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        + "".join(
            f'<Relationship Id="rId{n + 1}" Type="{office}/worksheet" Target="worksheets/sheet{n + 1}.xml"/>'
            for n in range(len(names))
        )
        + f'<Relationship Id="rId{len(names) + 1}" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><fonts count="1"><font/></fonts><fills count="2"><fill/>'
        '<fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border/></borders>'
        '<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="2"><xf/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
    }
    for n, rows in enumerate(sheets.values()):
        lines = "".join(
            f'<row r="{r + 1}">{"".join(xlsx_cell(r, c, value) for c, value in enumerate(row))}</row>'
            for r, row in enumerate(rows)
        )
        parts[f"xl/worksheets/sheet{n + 1}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
        )
    return zipped({name: (head + text).encode() for name, text in parts.items()})


def xlsx_cell(row: int, column: int, value: Any) -> str:
    where = f"{chr(ord('A') + column)}{row + 1}"
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{where}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, dt.date):
        return f'<c r="{where}" s="1"><v>{(value - dt.date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{where}"><v>{value!r}</v></c>'
    return f'<c r="{where}" t="inlineStr"><is><t>{value}</t></is></c>'


def database(tables: dict[str, Sheet]) -> bytes:
    connection = sqlite3.connect(":memory:")
    for name, sheet in tables.items():
        kinds = {int: "INTEGER", float: "REAL"}
        columns = ", ".join(
            f'"{column}" {kinds.get(type(values[0]), "TEXT")}' for column, values in sheet.values.items()
        )
        connection.execute(f'CREATE TABLE "{name}" ({columns})')
        marks = ", ".join("?" * len(sheet.values))
        rows = [[exact(value) for value in row] for row in zip(*sheet.values.values(), strict=True)]
        connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)
    connection.commit()
    content = connection.serialize()
    connection.close()
    return content


def formats() -> None:
    kind = "formats"

    def text(
        file: str, what: str, write: Callable[[Sheet], str | bytes], sheet: Sheet | None = None, **more: Any
    ) -> None:
        sheet = dated(len(CASES) + 1, plain) if sheet is None else sheet
        case(file, kind, what, sheet, write(sheet), **more)

    text("format_tab.txt", "a .txt with tabs", lambda s: s.csv("\t"))
    text("format_pipe.txt", "a .txt with |", lambda s: s.csv("|"))
    text("format_semicolon.txt", "a .txt with ;", lambda s: s.csv(";"))
    text("format_comma.txt", "a .txt with commas", lambda s: s.csv())
    text("format_tab.tsv", "a .tsv", lambda s: s.csv("\t"))
    text("format_upper.CSV", "an extension in capitals", lambda s: s.csv())
    text("format_records.json", "a list of records", lambda s: json.dumps(s.records(), indent=1))
    text("format_records_compact.json", "a list of records in one line", lambda s: json.dumps(s.records()))
    text(
        "format_records_wrapped.json",
        'records below "data"',
        lambda s: json.dumps({"status": "ok", "data": s.records()}),
        refused_or_said=True,
    )
    text(
        "format_columns.json",
        "a list for each column",
        lambda s: json.dumps({k: [exact(v) for v in vs] for k, vs in s.values.items()}),
        refused_or_said=True,
    )
    text("format_lines.jsonl", "JSON lines", lambda s: "".join(json.dumps(r) + "\n" for r in s.records()))
    text(
        "format_lines.ndjson", "JSON lines called .ndjson", lambda s: "".join(json.dumps(r) + "\n" for r in s.records())
    )
    text(
        "format_lines_named.csv",
        "JSON lines called .csv",
        lambda s: "".join(json.dumps(r) + "\n" for r in s.records()),
        refused_or_said=True,
    )
    text(
        "format_lines_named.json",
        "JSON lines called .json",
        lambda s: "".join(json.dumps(r) + "\n" for r in s.records()),
    )
    text(
        "format_numbers_as_text.jsonl",
        "numbers in quotes in JSON lines",
        lambda s: "".join(json.dumps({k: plain(v) for k, v in r.items()}) + "\n" for r in s.records()),
    )
    text("format_csv.zip", "a CSV in a .zip", lambda s: zipped({"sales.csv": s.csv().encode()}))
    text("format_csv.csv.zip", "a CSV in a .csv.zip", lambda s: zipped({"format_csv.csv": s.csv().encode()}))
    text(
        "format_two_in_one.zip",
        "two CSVs in a .zip",
        lambda s: zipped({"one.csv": s.csv().encode(), "two.csv": s.csv().encode()}),
        refused=["one.csv", "two.csv"],
    )
    text("format_csv.csv.gz", "gzip", lambda s: gzip.compress(s.csv().encode(), mtime=0))
    text("format_csv.csv.bz2", "bzip2", lambda s: bz2.compress(s.csv().encode()))
    text("format_csv.csv.zst", "Zstandard", lambda s: pa.compress(s.csv().encode(), codec="zstd", asbytes=True))
    text(
        "format_gzip_named.csv",
        "gzip called .csv",
        lambda s: gzip.compress(s.csv().encode(), mtime=0),
        refused_or_said=True,
    )
    text(
        "format_german.csv.gz",
        "German numbers in gzip",
        lambda s: gzip.compress(s.csv(";").encode("cp1252"), mtime=0),
        sheet=dated(640, lambda v: f"{v:%d.%m.%Y}").show("amount", lambda v: grouped(v, ".", ",") + " €"),
    )

    sheet = dated(650, plain)
    columns = {"date": sheet.texts("date")} | {k: v for k, v in sheet.values.items() if k != "date"}
    case("parquet_text_dates.parquet", kind, "dates as text in Parquet", sheet, as_parquet(columns))
    sheet = dated(651, lambda v: f"{v:%d/%m/%Y}").show("amount", lambda v: f"${v:,.2f}")
    columns = {
        "date": sheet.texts("date"),
        "region": sheet.values["region"],
        "quantity": sheet.values["quantity"],
        "amount": sheet.texts("amount"),
    }
    case("parquet_text_money.parquet", kind, "$1,234.50 and 31/01/2025 as text in Parquet", sheet, as_parquet(columns))
    sheet = sales(652)
    cents = pa.array([round(100 * value) for value in sheet.values["amount"]], pa.int64()).cast(pa.decimal128(20, 0))
    amounts = pa.array([Decimal(int(value.as_py())).scaleb(-2) for value in cents], pa.decimal128(12, 2))
    case("parquet_decimal.parquet", kind, "decimals", sheet, as_parquet(sheet.values | {"amount": amounts}))
    sheet = sales(653)
    case(
        "parquet_dictionary.parquet",
        kind,
        "a dictionary",
        sheet,
        as_parquet(sheet.values | {"region": pa.array(sheet.values["region"]).dictionary_encode()}),
    )
    sheet = dated(654, plain, values=moments(130, 6))
    zoned = pa.array(sheet.values["date"], pa.timestamp("us", tz="Europe/Berlin"))
    case("parquet_zone.parquet", kind, "time stamps with a zone", sheet, as_parquet(sheet.values | {"date": zoned}))
    del CASES[-1]["values"]["date"]
    sheet = sales(655)
    nested = [{"street": f"No {row}", "floor": row % 4} for row in range(120)]
    sheet.kinds["address"] = ASIDE
    case(
        "parquet_nested.parquet",
        kind,
        "a nested column",
        sheet,
        as_parquet({**sheet.values, "address": nested}),
        said=["address"],
    )
    sheet = sales(656)
    waits = [dt.timedelta(seconds=40 + 13 * (row % 17)) for row in range(120)]
    sheet.kinds["wait"] = [NUMBER, ASIDE]
    sheet.values["wait"] = [int(wait.total_seconds()) for wait in waits]
    case(
        "parquet_duration.parquet",
        kind,
        "a duration",
        sheet,
        as_parquet({**sheet.values, "wait": pa.array(waits, pa.duration("s"))}),
        why="a type that says that it is a duration needs no word where it is read as one",
    )
    sheet = sales(657)
    clock = [dt.time(6 + row % 12, row % 60) for row in range(120)]
    sheet.kinds["clock"] = [ASIDE, NUMBER, DATE]
    case(
        "parquet_time_of_day.parquet",
        kind,
        "a time of day",
        sheet,
        as_parquet({**sheet.values, "clock": pa.array(clock, pa.time32("s"))}),
        said=["clock"],
    )
    sheet = sales(658)
    sheet.kinds["tags"] = ASIDE
    case(
        "parquet_lists.parquet",
        kind,
        "lists in cells",
        sheet,
        as_parquet({**sheet.values, "tags": [["a", "b"][: row % 3] for row in range(120)]}),
        said=["tags"],
    )
    sheet = dated(659, plain)
    case("parquet_date32.parquet", kind, "dates of Parquet's own", sheet, as_parquet(sheet.values))
    sheet = sales(660)
    binary = pa.array([value.encode() for value in sheet.values["region"]], pa.binary())
    case("parquet_bytes.parquet", kind, "texts as bytes", sheet, as_parquet(sheet.values | {"region": binary}))
    CASES[-1]["columns"]["region"] = [LEVELS, ASIDE]
    sheet = dated(661, plain)
    out = io.BytesIO()
    feather.write_feather(pa.table(sheet.values), out)
    case("format_feather.feather", kind, "Feather", sheet, out.getvalue())
    sheet = dated(662, plain)
    stream = io.BytesIO()
    with pa.ipc.new_file(stream, pa.table(sheet.values).schema) as writer:
        writer.write_table(pa.table(sheet.values))
    case("format_arrow.arrow", kind, "Arrow", sheet, stream.getvalue())

    sheet = dated(670, plain)
    grid = [list(sheet.values), *([list(row) for row in zip(*sheet.values.values(), strict=True)])]
    case("excel_plain.xlsx", kind, "a workbook", sheet, workbook({"Sheet1": grid}))
    case(
        "excel_title_total.xlsx",
        kind,
        "a workbook with a title and a total",
        sheet,
        workbook({"Sheet1": [["Sales 2025"], [], *grid, ["Total", None, None, sum(sheet.values["amount"])]]}),
        said=["total"],
    )
    case(
        "excel_second_sheet.xlsx",
        kind,
        "the second sheet of a workbook",
        sheet,
        workbook({"Read me": [["Figures of 2025"]], "Data": grid}),
        options=["--sheet-name", "Data"],
    )
    case(
        "excel_two_sheets.xlsx",
        kind,
        "two sheets, none named",
        sheet,
        workbook({"Data": grid, "Notes": [["Figures of 2025"]]}),
        refused_or_said=True,
        said=["Data"],
    )
    CASES[-1]["why"] = "the first sheet is what most would take; that there are others has to be said"
    odd = dated(671, plain, n=180)
    grid = [list(odd.values), *([list(row) for row in zip(*odd.values.values(), strict=True)])]
    grid[58][3] = "pending"
    odd.values["amount"][57] = None
    odd.looked_at.add(57)
    case(
        "excel_odd_cell.xlsx",
        kind,
        "one amount is 'pending' in a workbook",
        odd,
        workbook({"Sheet1": grid}),
        said=["amount", "pending"],
    )
    sheet = dated(672, plain)
    case(
        "database_one_table.sqlite",
        kind,
        "a database with one table",
        sheet,
        database({"sales": sheet}),
        refused_or_said=True,
    )
    case(
        "database_two_tables.sqlite",
        kind,
        "a table of a database",
        sheet,
        database({"sales": sheet, "other": sales(673)}),
        given="sqlite:///database_two_tables.sqlite",
        options=["--table", "sales"],
    )

    sheet = sales(680, n=160)
    sheet.add("year", [2024 if row < 80 else 2025 for row in range(160)], [NUMBER])
    sheet.add("month", [1 + row // 40 % 2 for row in range(160)], [NUMBER])
    sheet.kinds["year"] = sheet.kinds["month"] = "levels or number"
    for part in range(4):
        rows = slice(40 * part, 40 * part + 40)
        piece = Sheet({name: sheet.values[name][rows] for name in ("region", "quantity", "amount")}, {}, 0)
        FILES[f"partitioned/year={2024 + part // 2}/month={1 + part % 2}/part-0.csv"] = piece.csv().encode()
    case("partitioned", kind, "a folder by year and month", sheet, written=True)
    CASES[-1]["planted"] = {"row": 31, "file": "year=2024/month=2", "top": 3}


def refusals() -> None:
    kind = "no table"
    body = sales(701).csv()

    def refused(file: str, what: str, content: bytes, *words: str) -> None:
        case(file, kind, what, None, content, refused=list(words))

    refused("refused_empty.csv", "an empty file", b"", "empty")
    refused("refused_header_only.csv", "a header and no rows", b"region,quantity,amount\n", "row")
    refused("refused_one_row.csv", "one row", body[: body.index("\n", 25) + 1].encode(), "row")
    refused("refused_cut.csv.gz", "gzip, cut off", gzip.compress(body.encode(), mtime=0)[:-400], "refused_cut.csv.gz")
    refused("refused_cut.parquet", "Parquet, cut off", as_parquet(sales(702).values)[:-300], "refused_cut.parquet")
    refused(
        "refused_pdf.csv",
        "a PDF called .csv",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog>>\nendobj\n" * 30,
        "pdf",
    )
    refused(
        "refused_html.csv",
        "a web page called .csv",
        b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>Please sign in</body></html>\n",
        "html",
    )
    refused(
        "refused_html.xls",
        "a web page called .xls",
        b"<html><body><table><tr><td>region</td></tr></table></body></html>\n",
        "refused_html.xls",
    )
    refused("refused_binary.csv", "zeros called .csv", bytes(4096), "refused_binary.csv")
    refused(
        "refused_png.csv",
        "an image called .csv",
        bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(range(256)) * 8,
        "refused_png.csv",
    )
    refused(
        "refused_words.csv",
        "one column of prose",
        "".join(f"This is sentence number {row} of a letter.\n" for row in range(80)).encode(),
        "column",
    )
    refused(
        "refused_bad_line.jsonl",
        "a broken line of JSON",
        (
            "".join(json.dumps(r) + "\n" for r in sales(703).records()[:40]) + '{"region": "north", "quantity": \n'
        ).encode(),
        "41",
    )
    sheet = sales(704)
    case(
        "workbook_named.csv",
        kind,
        "a workbook called .csv",
        sheet,
        workbook({"Sheet1": [list(sheet.values), *([list(r) for r in zip(*sheet.values.values(), strict=True)])]}),
        refused_or_said=True,
    )
    sheet = sales(705)
    case("parquet_named.csv", kind, "Parquet called .csv", sheet, as_parquet(sheet.values), refused_or_said=True)
    sheet = sales(706)
    case("csv_named.parquet", kind, "a CSV called .parquet", sheet, sheet.csv(), refused_or_said=True)


def missing() -> None:
    kind = "missing cells"
    rng = np.random.default_rng(801)

    def holes(sheet: Sheet, column: str, share: float, text: str = "") -> Sheet:
        for row in np.flatnonzero(rng.random(sheet.n_rows) < share):
            if row != sheet.planted:
                sheet.cell(column, int(row), text)
        sheet.looked_at.clear()
        return sheet

    case("missing_half.csv", kind, "half of a column is empty", holes(sensor(801), "temperature", 0.5))
    case(
        "missing_most.csv",
        kind,
        "95 % of a column is empty",
        holes(sensor(802).add("humidity", [float(40 + row % 13) for row in range(150)], NUMBER), "humidity", 0.95),
    )
    case("missing_words_na.csv", kind, "NA in a tenth of the cells", holes(staff(803), "age", 0.1, "NA"))
    case("missing_words_na_dots.csv", kind, "n.a. in a tenth of the cells", holes(staff(804), "age", 0.1, "n.a."))
    case("missing_words_dash.csv", kind, "- in a tenth of the cells", holes(staff(805), "age", 0.1, "-"))
    case("missing_words_null.csv", kind, "NULL in a tenth of the cells", holes(staff(806), "age", 0.1, "NULL"))
    case("missing_words_hash.csv", kind, "#N/A in a tenth of the cells", holes(sensor(807), "pressure", 0.1, "#N/A"))
    case("missing_words_nan.csv", kind, "NaN in a tenth of the cells", holes(sensor(808), "pressure", 0.1, "NaN"))
    case("missing_words_spaces.csv", kind, "spaces in a tenth of the cells", holes(sensor(809), "pressure", 0.1, "   "))
    case("missing_words_question.csv", kind, "? in a tenth of the cells", holes(staff(810), "age", 0.1, "?"))
    case(
        "missing_words_backslash_n.csv",
        kind,
        "\\N in a tenth of the cells, as MySQL writes it",
        holes(staff(811), "age", 0.1, "\\N"),
    )
    sheet = sensor(812)
    for row in (30, 31, 77):
        for column in sheet.values:
            sheet.cell(column, row, "")
    case("missing_rows.csv", kind, "three rows without any value", sheet)
    CASES[-1]["never_flagged"] = [31, 32, 78]
    sheet = sensor(813)
    sheet.cell("temperature", sheet.planted, "")
    case("missing_beside_planted.csv", kind, "the anomalous row lacks its other number", sheet)
    sheet = sensor(814).add("remark", [None] * 150, ASIDE)
    case("missing_column.csv", kind, "a column without any value", sheet)
    sheet = holes(holes(sensor(815), "temperature", 0.3), "pressure", 0.3)
    case("missing_both.csv", kind, "30 % of both numbers", sheet)
    sheet = dated(816, plain, n=150)
    case("missing_dates.csv", kind, "a third of the dates", holes(sheet, "date", 0.33))


def numbers_as_text() -> None:
    kind = "numbers in odd dress"

    def dressed(file: str, what: str, show: Callable[[float], str], sheet: Sheet | None = None, **more: Any) -> None:
        sheet = with_refunds(sales(len(CASES) + 1)) if sheet is None else sheet
        case(file, kind, what, sheet.show("amount", show), **more)

    dressed("number_plus.csv", "+12.50", lambda v: f"{v:+.2f}")
    dressed("number_scientific.csv", "1.2345E+03", lambda v: f"{v:.8E}")
    dressed("number_unicode_minus.csv", "−12.50 with a true minus sign", lambda v: f"{v:.2f}".replace("-", "−"))
    dressed("number_en_dash.csv", "–12.50 with a dash", lambda v: f"{v:.2f}".replace("-", "–"))
    dressed("number_minus_space.csv", "- 12.50", lambda v: f"{v:.2f}".replace("-", "- "))
    dressed("number_no_break_space.csv", "a no-break space after each", lambda v: f"{v:.2f}\u00a0")
    dressed("number_apostrophe.csv", "'12.50, as Excel marks text", lambda v: f"'{v:.2f}")
    dressed("number_equals.csv", '="12.50", as exports keep Excel from changing it', lambda v: f'="{v:.2f}"')
    dressed("number_zeros.csv", "00012.50, filled with zeros", lambda v: f"{v:010.2f}", sales(861))
    dressed(
        "number_no_zero.csv",
        ".5 and -.25",
        lambda v: f"{v:.2f}".replace("-0.", "-.").removeprefix("0") if abs(v) < 1 else f"{v:.2f}",
        None,
    )
    sheet = sales(862)
    sheet.values["amount"] = [round(value / 1e4, 4) for value in sheet.values["amount"]]
    dressed("number_below_one.csv", ".1234", lambda v: f"{v:.4f}".removeprefix("0"), sheet)
    sheet = sales(863)
    sheet.values["amount"] = [round(value) * 1.0 for value in sheet.values["amount"]]
    dressed("number_final_point.csv", "12.", lambda v: f"{v:.0f}.", sheet)
    dressed(
        "number_wide_digits.csv",
        "full-width digits",
        lambda v: f"{v:.2f}".translate({ord("0") + d: 0xFF10 + d for d in range(10)}),
        sales(864),
    )
    CASES[-1]["columns"]["amount"] = [NUMBER, ASIDE]
    CASES[-1]["why"] = "full-width digits are rare: set aside is fair if said"
    del CASES[-1]["planted"]


def shapes() -> None:
    kind = "shape"
    rng = np.random.default_rng(901)
    n = 150
    factors = rng.normal(size=(n, 3))
    wide = np.round(factors @ rng.normal(size=(3, 60)) + 0.3 * rng.normal(size=(n, 60)), 2)
    wide[71, 10:20] += 8
    wide = np.round(wide, 2)
    sheet = Sheet(
        {f"x{column:02d}": [float(v) for v in wide[:, column]] for column in range(60)},
        {f"x{column:02d}": NUMBER for column in range(60)},
        71,
    )
    case("shape_60_columns.csv", kind, "60 columns", sheet)
    CASES[-1]["values"] = {name: cells for name, cells in CASES[-1]["values"].items() if name in ("x00", "x10", "x59")}
    values = [round(float(v), 1) for v in rng.normal(37, 0.4, 200)]
    values[120] = 73.0
    case("shape_one_column.csv", kind, "one column", Sheet({"temperature": values}, {"temperature": NUMBER}, 120))
    case(
        "shape_one_column.txt",
        kind,
        "one column in a .txt",
        Sheet({"temperature": values}, {"temperature": NUMBER}, 120),
    )
    case("shape_61_rows.csv", kind, "61 rows", sales(902, n=61, planted=40))
    case("shape_30_rows.csv", kind, "30 rows", sales(903, n=30, planted=20))
    sheet = sales(904).add("currency", ["EUR"] * 120, CONSTANT).add("version", [3] * 120, CONSTANT)
    case("shape_constant.csv", kind, "two constant columns", sheet)
    sheet = sales(905).add("currency", ["EUR"] * 120, CONSTANT)
    sheet.values["amount"][70] = round(sheet.values["amount"][70] / 30, 2)
    sheet.values["currency"][70] = "USD"
    sheet.kinds["currency"] = "levels or constant"
    case("shape_nearly_constant.csv", kind, "EUR in all rows but one", sheet)
    sheet = sales(906)
    sheet.add("net", [round(v / 1.19, 2) for v in sheet.values["amount"]], NUMBER)
    sheet.values["amount"][70] = round(sheet.values["amount"][70] / 30, 2)
    sheet.values["net"][70] = round(sheet.values["amount"][70] / 1.19 * 10, 2)
    case("shape_broken_sum.csv", kind, "net and gross do not agree in one row", sheet)
    sheet = sales(907)
    for row in range(0, 120, 4):
        for held in sheet.values.values():
            if row + 1 < 120 and sheet.planted not in (row, row + 1):
                held[row + 1] = held[row]
    case("shape_repeated_rows.csv", kind, "a quarter of the rows twice", sheet)


def names() -> None:
    kind = "names"

    def named(file: str, what: str, names: dict[str, str], seed: int, **more: Any) -> None:
        case(file, kind, what, sales(seed).renamed(names), **more)

    named("names_chinese.csv", "Chinese", {"region": "地区", "quantity": "数量", "amount": "金额"}, 951)
    named("names_arabic.csv", "Arabic", {"region": "منطقة", "quantity": "كمية", "amount": "مبلغ"}, 952)
    named("names_emoji.csv", "emoji", {"region": "🌍", "quantity": "🔢", "amount": "💶"}, 953)
    named("names_spaces.csv", "spaces", {"quantity": "number of pieces", "amount": "net amount (EUR)"}, 954)
    named("names_commas.csv", "commas and quotes", {"quantity": "pieces, boxed", "amount": 'the "net" amount'}, 955)
    named("names_dots.csv", "dots and equals signs", {"quantity": "order.quantity", "amount": "amount=net"}, 956)
    named("names_line_break.csv", "a line break in a name", {"amount": "amount\n(EUR)"}, 957)
    named("names_row.csv", "a column called row", {"quantity": "row"}, 958, refused_or_said=True)
    named("names_score.csv", "a column called anomaly_score", {"quantity": "anomaly_score"}, 959, refused_or_said=True)
    named("names_p_value.csv", "a column called p_value", {"quantity": "p_value"}, 960, refused_or_said=True)
    named("names_label.csv", "a column called label", {"region": "label"}, 961)
    named("names_problem.csv", "a column called problem", {"region": "problem"}, 962, refused_or_said=True)
    named("names_upper.csv", "capitals", {"region": "REGION", "quantity": "QTY", "amount": "AMOUNT"}, 963)
    named("names_long.csv", "a name of 180 characters", {"amount": "amount " + "of the order as invoiced " * 7}, 964)
    named(
        "names_numbers.csv",
        "numbers as names",
        {"region": "1", "quantity": "2", "amount": "3"},
        965,
        refused_or_said=True,
        said=[],
    )
    named(
        "names_umlauts_cp1252.csv",
        "umlauts in Windows-1252",
        {"region": "Außenstelle", "quantity": "Stückzahl", "amount": "Höhe"},
        966,
        encoding="cp1252",
    )
    named(
        "names_brackets.csv",
        "brackets, as rich text would take them",
        {"quantity": "[bold]pieces", "amount": "[/]amount"},
        967,
    )


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for part in (
        money,
        percents_and_units,
        decimal_marks,
        odd_cells,
        sentinels,
        gross_cells,
        dates,
        pairs,
        identifiers,
        levels,
        layouts,
        encodings,
        formats,
        refusals,
        missing,
        numbers_as_text,
        shapes,
        names,
    ):
        part()
    assert len({entry["file"] for entry in CASES}) == len(CASES)
    shutil.rmtree(folder / "partitioned", ignore_errors=True)
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    text = json.dumps(CASES, indent=1, ensure_ascii=False)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
