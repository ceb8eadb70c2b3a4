"""How delimited text is laid out: what separates cells, which line has the names, and what is no part of the table."""

import csv
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vae_anomaly_cli.sources.given import NO_HEADER, GivenLayout

# The csv module's own limit is 128 KiB a cell.
MAX_CELL_BYTES = 1 << 26
csv.field_size_limit(MAX_CELL_BYTES)

MAX_TITLE_LINES, MAX_FOOTER_LINES = 40, 20
LOOKED_AT = 200
# Fewer rows say nothing of the range of a column.
MIN_ROWS = 3
SHOWN_CELLS, SHOWN_CHARACTERS = 4, 40

NUMBER_LIKE = re.compile(r"[\s(+\-−$€£¥]*(\d[\d.,'’\s\u00a0\u202f]*|\.\d+)(e[+-]?\d+)?\s*[%)€$£¥]*", re.IGNORECASE)
DATE_LIKE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}[-. ][A-Za-z]{3,9}[-. ]\d{2,4}|\d{1,2}:\d{2}(:\d{2}.*)?"
)
CAPITALS, SMALL, DIGITS = re.compile(r"[A-ZÀ-ÖØ-Þ]+"), re.compile(r"[a-zß-öø-ÿ]+"), re.compile(r"[0-9]+")
WHOLE_NUMBER = re.compile(r"\s*[+-]?\d+\s*")
# How pandas calls a column without a name, when it reads one back.
UNNAMED_INDEX = re.compile(r"(Unnamed: 0(\.\d+)?)?")
TOTAL_WORD = (
    r"(?:grand\s+|sub\s*-?|overall\s+)?totals?|total\s+g[eé]n[eé]ral|sum|summe|gesamt(?:summe)?|insgesamt|somme|totale"
    r"|totaal|suma|summa|toplam|razem|итого|всего|合計|合计|总计"
)
TOTAL = re.compile(rf"\s*(?:{TOTAL_WORD})\s*(?:\([^)]*\))?\s*[:=.]?\s*", re.IGNORECASE)
BEGINS_WITH_TOTAL = re.compile(rf"\s*(?:{TOTAL_WORD})\b", re.IGNORECASE)
CLOSING_WORDS = re.compile(
    r"\s*[-=*_#]{3,}|\x1a|.*\b(rows?|records?|lines?|entries|zeilen)\b\s*(affected|selected|returned|exported)?"
    r"|\s*\(?\d+ rows?.*|\s*(end of|sources?|quelle|generated|created|exported|printed|notes?|page \d|stand|"
    r"copyright|©|erstellt|disclaimer|confidential)\b.*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Record:
    """One record of delimited text.

    Attributes
    ----------
    cells : list of str
        What it holds.
    line : int
        On which line it starts, from 1.
    start, end : int
        Offsets of its bytes.
    """

    cells: list[str]
    line: int
    start: int
    end: int

    @property
    def n_filled(self) -> int:
        """Cells that are not blank."""
        return sum(1 for cell in self.cells if cell.strip())

    def fills(self, width: int) -> bool:
        """Whether more than half of so many cells are filled, or all but the first: a row index has no name."""
        return 2 * self.n_filled > width or (self.n_filled == width - 1 == len(self.cells) - 1 and not self.cells[0])

    @property
    def shown(self) -> str:
        """Its cells, for people."""
        return shown_cells(self.cells)


@dataclass(frozen=True)
class TextLayout:
    """How a file of delimited text is laid out.

    Attributes
    ----------
    delimiter : str
        What separates cells.
    cells : tuple of str
        The header as it stands; empty where there is none.
    names : tuple of str or None
        Name of each column; None for those that are left out.
    start : int
        Offset of the first byte below the header.
    first_line : int
        Line of the file that begins there, from 1.
    index : str or None
        Which column numbers rows and has no name of its own in the file.
    blank : frozenset of int
        Positions of columns that are left out because they are without a name or a cell.
    said : tuple of str
        What the user should know.
    """

    delimiter: str
    cells: tuple[str, ...]
    names: tuple[str | None, ...]
    start: int
    first_line: int
    index: str | None = None
    blank: frozenset[int] = frozenset()
    said: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of cells of a row."""
        return len(self.names)


def shown_cells(cells: Sequence[str]) -> str:
    """Write some cells for people."""
    filled = [cell.strip()[:SHOWN_CHARACTERS] for cell in cells if cell.strip()]
    return f"'{', '.join(filled[:SHOWN_CELLS])}{', ...' if len(filled) > SHOWN_CELLS else ''}'"


def records_of(text: bytes, delimiter: str, start: int = 0, line: int = 1) -> Iterator[Record]:
    """Yield the records of text that begins at an offset, on a line; blank lines are none."""
    lines = text.splitlines(keepends=True)
    ends = [start]
    for each in lines:
        ends.append(ends[-1] + len(each))
    reader = csv.reader((each.decode("utf-8", errors="replace") for each in lines), delimiter=delimiter)
    n_before = 0
    for cells in reader:
        if cells:
            yield Record(cells, line + n_before, ends[n_before], ends[reader.line_num])
        n_before = reader.line_num


def find_layout(head: bytes, delimiters: str, given: GivenLayout, *, is_whole: bool) -> TextLayout:
    """Find out how a file is laid out.

    Parameters
    ----------
    head : bytes
        How it begins, in UTF-8.
    delimiters : str
        What may separate cells, the usual one first.
    given : GivenLayout
        What the user says of it.
    is_whole : bool
        Whether that is all of it.
    """
    start, line = _after_lines(head, max(given.skip_rows, (given.header_row or 1) - 1))
    is_free = given.skip_rows == 0 and given.header_row is None
    is_said = given.header_row == NO_HEADER
    best: tuple[tuple[bool, float, int], _Found] | None = None
    fallback: TextLayout | None = None
    for delimiter in delimiters:
        try:
            records = list(records_of(head[start:], delimiter, start, line))
        except csv.Error:
            continue
        if not is_whole and len(records) > 1:
            # It may be cut off.
            records.pop()
        found = _Found.of(records[:LOOKED_AT], delimiter, is_free=is_free, header=given.header_row != NO_HEADER)
        if found.width > 1 and (best is None or found.quality > best[0]) and not found.is_doubtful:
            best = (found.quality, found)
        if fallback is None or (fallback.width <= 1 and records and len(records[0].cells) > 1):
            fallback = found.layout(start, line)
    layout = fallback if best is None else best[1].layout(start, line)
    if layout is not None and is_said:
        layout = dataclasses.replace(layout, said=())
    return layout or TextLayout(delimiters[0], (), (), start, line)


def lay_out(records: list[Record], given: GivenLayout) -> TextLayout:
    """Find out how rows that are already cells are laid out, as those of a sheet are."""
    is_free = given.skip_rows == 0 and given.header_row is None
    found = _Found.of(records[:LOOKED_AT], "", is_free=is_free, header=given.header_row != NO_HEADER)
    layout = found.layout(records[0].start, records[0].line)
    return dataclasses.replace(layout, said=()) if given.header_row == NO_HEADER else layout


@dataclass(frozen=True)
class _Found:
    """What one delimiter makes of the first records."""

    delimiter: str
    records: list[Record]
    width: int
    header: int | None
    titles: list[Record]

    @classmethod
    def of(cls, records: list[Record], delimiter: str, *, is_free: bool, header: bool) -> "_Found":
        widths = Counter(len(record.cells) for record in records)
        width = max(widths, key=lambda each: (widths[each], each), default=0)
        if not records or not header:
            return cls(delimiter, records, width, None, [])
        at = _header_at(records, width) if is_free else 0
        rows = records[at + 1 :]
        if is_free and looks_like_data(records[at].cells, rows):
            return cls(delimiter, records[at:], width, None, records[:at])
        return cls(delimiter, rows, width, at, records[: at + 1])

    @property
    def names(self) -> list[str]:
        """The header as it stands."""
        return [] if self.header is None else self.titles[-1].cells

    @property
    def quality(self) -> tuple[bool, float, int]:
        """Whether the header is as wide as the rows, the share of rows of that width, and how few titles there are."""
        n_titles = len(self.titles) - (self.header is not None)
        if not self.records:
            return True, 1.0, -n_titles
        share = sum(len(record.cells) == self.width for record in self.records) / len(self.records)
        return self.header is None or _header_fits(self.names, self.records, self.width), round(share, 2), -n_titles

    @property
    def is_doubtful(self) -> bool:
        """Whether spaces would separate cells, and not everywhere alike."""
        return self.delimiter == " " and (self.quality[:2] < (True, 1.0) or len(self.records) < 2)

    def layout(self, start: int, line: int) -> TextLayout:
        """Name the columns."""
        said = [*self._said_of_titles()]
        cells = list(self.names)
        below = [record for record in self.records if len(record.cells) == self.width]
        if self.header is None:
            first = self.records[0] if self.records else None
            names: list[str | None] = [f"x{position}" for position in range(self.width)]
            layout = TextLayout(self.delimiter, (), tuple(names), *_begin(first, start, line))
            return dataclasses.replace(layout, said=tuple(said))
        header = self.titles[-1]
        layout = TextLayout(self.delimiter, tuple(cells), (), header.end, header.line + _lines_in(header))
        cells = _fitted(cells, below, self.width)
        return _named(layout, cells, [record for record in below if len(record.cells) == len(cells)], said)

    def _said_of_titles(self) -> Iterator[str]:
        titles = self.titles if self.header is None else self.titles[:-1]
        if titles:
            lines = (
                f"lines {titles[0].line} to {titles[-1].line} are" if len(titles) > 1 else f"line {titles[0].line} is"
            )
            yield (
                f"{lines} above the table and no part of it ({titles[0].shown}); it begins with line "
                f"{(self.titles[-1].line if self.header is not None else self.records[0].line)}."
            )
        if self.header is None and self.records:
            last = max(0, self.width - 1)
            yield (
                f"there is no header: line {self.records[0].line}, {self.records[0].shown}, holds data like the lines "
                f"below. The columns are named x0 to x{last}. If that line has their names, give --header-row "
                f"{self.records[0].line}; --header-row none keeps this message away."
            )


def _begin(first: Record | None, start: int, line: int) -> tuple[int, int]:
    return (start, line) if first is None else (first.start, first.line)


def _lines_in(record: Record) -> int:
    return 1 + sum(cell.count("\n") for cell in record.cells)


def _after_lines(head: bytes, n_lines: int) -> tuple[int, int]:
    """Offset behind so many lines, and the number of the next; behind a byte-order mark in any case."""
    start = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    lines = head[start:].splitlines(keepends=True)[:n_lines]
    return start + sum(map(len, lines)), 1 + len(lines)


def _header_at(records: list[Record], width: int) -> int:
    """Find which record has the names: the first, unless titles unmistakably stand above the table."""
    has_comments = _has_comments_above_names(records, width)
    if width < 2 or (not has_comments and _may_be_header(records[0], records[1:], width)):
        return 0
    for at, record in enumerate(records[: MAX_TITLE_LINES + 1]):
        rows = records[at + 1 :]
        is_above = at == 0 or (has_comments and _is_comment(record))
        if is_above or len(record.cells) != width or not record.fills(width) or not rows:
            continue
        is_text = [bool(cell.strip()) and not _is_value(cell) for cell in record.cells]
        if not any(is_text) or looks_like_data(record.cells, rows):
            return 0
        above = _names_above_values(record.cells, rows)
        wide = [title for title in records[:at] if not _is_comment(title) and title.n_filled > 1]
        return at if not wide or (above and all(title.n_filled < width for title in wide)) else 0
    return 0


def _has_comments_above_names(records: list[Record], width: int) -> bool:
    """Whether comments come first, and names below them; a comment may itself have the names."""
    if not _is_comment(records[0]):
        return False
    at = next((at for at, record in enumerate(records) if not _is_comment(record)), None)
    if at is None or len(records[at].cells) != width:
        return False
    return not any(map(_is_value, records[at].cells)) or _names_above_values(records[at].cells, records[at + 1 :])


def _may_be_header(record: Record, rows: list[Record], width: int) -> bool:
    return record.fills(width) and _header_fits(record.cells, rows, width)


def _is_comment(record: Record) -> bool:
    return record.cells[0].lstrip().startswith(("#", "//"))


def _header_fits(names: Sequence[str], rows: list[Record], width: int) -> bool:
    return len(_fitted(list(names), [row for row in rows if len(row.cells) == width], width)) == width


def _fitted(names: list[str], rows: list[Record], width: int) -> list[str]:
    """Make the names as many as the cells, where one of both only has blank cells more; or return them as they are."""
    extra = len(names) - width
    if extra > 0 and not any(name.strip() for name in names[width:]):
        return names[:width]
    if extra < 0 and rows:
        if not any(cell.strip() for row in rows for cell in row.cells[extra:]):
            return names + [""] * -extra
        if extra == -1 and len(rows) > 1 and _counts_rows([row.cells[0] for row in rows]):
            # As R writes row names.
            return ["", *names]
    return names


def _named(layout: TextLayout, cells: list[str], rows: list[Record], said: list[str]) -> TextLayout:
    """Name the columns without a name, or leave them out."""
    names: list[str | None] = list(cells)
    blank = set()
    for position in reversed(range(len(cells))):
        if cells[position].strip() or position == 0 or any(row.cells[position].strip() for row in rows):
            break
        names[position] = None
        blank.add(position)
    if blank:
        what = "the last column has" if len(blank) == 1 else f"the last {len(blank)} columns have"
        said.append(f"{what} no name and no value: left out.")
    index = None
    if cells and UNNAMED_INDEX.fullmatch(cells[0].strip()) and len(cells) > 1:
        column = [row.cells[0] for row in rows]
        if _counts_rows(column):
            names[0] = None
            said.append("the first column has no name and counts the rows: left out, as a row index is.")
        else:
            names[0] = index = _free_name("index", cells)
            if not _numbers_rows(column):
                index = None
            role = "; it numbers rows, and is no feature" if index is not None else ""
            said.append(f"the first column has no name: called '{names[0]}'{role}.")
    for position, name in enumerate(names):
        if name is not None and not name.strip():
            names[position] = _free_name(f"column {position + 1}", cells)
            said.append(f"column {position + 1} has no name: called '{names[position]}'.")
    return dataclasses.replace(
        layout, names=tuple(names), index=index, blank=frozenset(blank), said=(*layout.said, *said)
    )


def _free_name(name: str, taken: Sequence[str]) -> str:
    return name if name not in taken else _free_name(f"{name}_", taken)


def _counts_rows(cells: list[str]) -> bool:
    """Whether cells are whole numbers, each one more than that before."""
    if not cells or not all(WHOLE_NUMBER.fullmatch(cell) for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    first = numbers[0]
    if numbers != list(range(first, first + len(numbers))):
        return False
    return first in (0, 1) or len(numbers) > 2


def _numbers_rows(cells: list[str]) -> bool:
    """Whether cells are whole numbers, all of them different."""
    return len(cells) > 2 and all(map(WHOLE_NUMBER.fullmatch, cells)) and len(set(cells)) == len(cells)


def _is_value(cell: str) -> bool:
    """Whether a cell is written like a number, a date or a time."""
    text = cell.strip()
    return bool(NUMBER_LIKE.fullmatch(text) or DATE_LIKE.fullmatch(text))


def _names_above_values(names: Sequence[str], rows: list[Record]) -> bool:
    """Whether a column has values under a name that is none."""
    return any(
        name.strip() and not _is_value(name) and _holds_values(rows, position) for position, name in enumerate(names)
    )


def _holds_values(rows: list[Record], position: int) -> bool:
    """Whether most cells of a column are numbers or dates."""
    cells = [row.cells[position] for row in rows if position < len(row.cells) and row.cells[position].strip()]
    return bool(cells) and sum(map(_is_value, cells)) >= 0.8 * len(cells)


def looks_like_data(names: Sequence[str], rows: list[Record]) -> bool:
    """Whether what should be names is a row like those below: a file without a header."""
    rows = [row for row in rows if len(row.cells) == len(names)]
    if not rows or not any(name.strip() for name in names):
        return False
    values, texts = [], []
    for position, name in enumerate(names):
        if _holds_values(rows, position):
            if name.strip() and not _is_value(name):
                return False
            values += [position] if name.strip() else []
        elif any(row.cells[position].strip() for row in rows):
            texts.append(position)
    if any(_has_other_shape(names[position], [row.cells[position] for row in rows]) for position in texts):
        return False
    again = [
        any(row.cells[position] == names[position] for row in rows if row.cells != list(names)) for position in texts
    ]
    if not values:
        # All is text: words that come again below are no names.
        return len(rows) > 2 and len(texts) > 1 and all(again)
    cells = [names[position] for position in values]
    if _number_their_columns(cells, [rows[0].cells[position] for position in values]):
        return False
    if len(values) > 1 and _far_from_cells(names, values, rows):
        return False
    is_fraction = [WHOLE_NUMBER.fullmatch(cell) is None for cell in cells]
    return not texts or any(again) or len(values) > 1 or is_fraction[0]


def _has_other_shape(name: str, cells: list[str]) -> bool:
    """Whether a name is not written like the cells below: other sorts of characters follow one another."""
    shapes = {_shape(cell) for cell in cells if cell.strip()}
    return len(cells) > 2 and bool(name.strip()) and _shape(name) not in shapes


def _shape(text: str) -> str:
    return SMALL.sub("a", DIGITS.sub("0", CAPITALS.sub("A", text.strip())))


def _number_their_columns(cells: list[str], below: list[str]) -> bool:
    """Whether names are 0, 1, 2, or years one after the other, and the row below is not."""
    return len(cells) > 1 and _is_progression(cells) and not _is_progression(below)


def _is_progression(cells: list[str]) -> bool:
    if not all(WHOLE_NUMBER.fullmatch(cell) for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _far_from_cells(names: Sequence[str], positions: list[int], rows: list[Record]) -> bool:
    """Whether names are numbers that grow to the right, each far outside of those below it."""
    try:
        numbers = [float(names[position]) for position in positions]
        columns = [
            [float(row.cells[position]) for row in rows if row.cells[position].strip()] for position in positions
        ]
    except ValueError:
        return False
    if numbers != sorted(set(numbers)) or len(rows) < MIN_ROWS:
        return False
    return all(
        number < 2 * min(column) - max(column) or number > 2 * max(column) - min(column)
        for number, column in zip(numbers, columns, strict=True)
    )


@dataclass(frozen=True)
class Footer:
    """Lines below a table.

    Attributes
    ----------
    n_bytes : int
        How many bytes they are, to the end of the file.
    n_lines : int
        How many lines have text.
    shown : str
        The first of them.
    """

    n_bytes: int
    n_lines: int
    shown: str


def find_footer(tail: bytes, layout: TextLayout) -> Footer | None:
    """Find what unmistakably is no row at the end of a table: a total, or notes.

    Parameters
    ----------
    tail : bytes
        Whole lines from the end of the file, none of them above the table.
    layout : TextLayout
        How the table is laid out.
    """
    if layout.width < 2:
        return None
    lines = tail.splitlines(keepends=True)
    found: list[list[str]] = []
    n_lines = n_blank = 0
    for line in reversed(lines):
        cells = _cells_of(line, layout.delimiter)
        if cells is None or len(found) > MAX_FOOTER_LINES:
            return None
        is_blank = not any(cell.strip() for cell in cells)
        if not is_blank and len(cells) >= layout.width and not is_total(cells, layout.width):
            break
        n_lines += 1
        n_blank = n_blank + 1 if is_blank else 0
        if not is_blank:
            found.append(cells)
    rows = lines[: len(lines) - n_lines]
    if not found or not rows:
        return None
    first_cells = [cells[0] for line in rows[-LOOKED_AT:] if (cells := _cells_of(line, layout.delimiter))]
    is_cut = not tail.endswith((b"\n", b"\r"))
    is_apart = n_blank > 0 and all(line.strip() for line in rows[-LOOKED_AT:])
    if not all(_is_below(cells, layout.width, first_cells, is_apart=is_apart, is_cut=is_cut) for cells in found):
        return None
    # Blank lines between the rows and what is below stay with the latter; rows of blank cells do too.
    return Footer(sum(map(len, lines[len(rows) :])), len(found), shown_cells(found[-1]))


def _cells_of(line: bytes, delimiter: str) -> list[str] | None:
    if line.count(b'"') % 2:
        return None
    return next(csv.reader([line.decode("utf-8", errors="replace")], delimiter=delimiter), [])


def is_total(cells: Sequence[str], width: int) -> bool:
    """Whether a row is a sum of those above, by its first word."""
    first = next(cell for cell in cells if cell.strip())
    if len(cells) >= width:
        return bool(TOTAL.fullmatch(first)) and len(cells) == width
    return bool(BEGINS_WITH_TOTAL.match(first))


def _is_below(cells: list[str], width: int, first_cells: list[str], *, is_apart: bool, is_cut: bool) -> bool:
    """Whether a line is a total or a note, and no row that lacks cells."""
    filled = [cell for cell in cells if cell.strip()]
    if is_total(cells, width):
        return filled[0] not in first_cells
    if len(cells) >= width or len(filled) > max(1, width // 2):
        return False
    if CLOSING_WORDS.fullmatch(filled[0]) or is_apart:
        return True
    is_prose = len(filled) == 1 and not _is_value(filled[0]) and " " in filled[0].strip()
    return is_prose and not is_cut and not any(" " in cell.strip() for cell in first_cells)
