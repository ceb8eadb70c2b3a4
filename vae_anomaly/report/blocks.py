"""What a section of a report is made of: values that the page lays out, whatever they are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Paragraph:
    """A sentence or a few."""

    text: str
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Notice:
    """What should not be overlooked: a line each."""

    lines: tuple[str, ...]
    kind: ClassVar[str] = "notice"


@dataclass(frozen=True)
class Fact:
    """A name, a value, and what the value means."""

    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class Facts:
    """Names with values; `large` ones are the first thing that is read."""

    facts: tuple[Fact, ...]
    large: bool = False
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Chart:
    """A drawing: SVG that is safe to put into the page as it is.

    Parameters
    ----------
    svg : str
        The drawing.
    title : str
        What it shows, in a line; screen readers read it in the place of the drawing.
    caption : str
        What to see in it.
    """

    svg: str
    title: str
    caption: str
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Charts:
    """Drawings beside one another, where there is room."""

    charts: tuple[Chart, ...]
    kind: ClassVar[str] = "charts"


@dataclass(frozen=True)
class Bars:
    """Shares of what a column holds: of the training rows, and of these.

    Parameters
    ----------
    before, now : tuple of float
        From 0 to 1, one for each bin or level.
    labels : tuple of str
        What the bins or levels are; none where that is left out.
    """

    before: tuple[float, ...]
    now: tuple[float, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heading:
    """The head of a column of a table."""

    title: str
    is_number: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a table: its cells, of which one may be bars, and whether it stands out."""

    cells: tuple[str | Bars, ...]
    stands_out: bool = False


@dataclass(frozen=True)
class Grid:
    """A table; `is_long` ones are folded."""

    caption: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    is_long: bool = False
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class ReasonLine:
    """Why one cell makes its row anomalous, in words; empty where raw values are left out.

    Parameters
    ----------
    subject : str
        The column, and the part of the cell.
    observed, expected, plausible, group : str
        What the cell holds, what was expected, within which range, and for which group.
    nats : float
        What it adds to the score.
    rarity : str
        Of how many cells one is as far out.
    """

    subject: str
    observed: str
    expected: str
    plausible: str
    group: str
    nats: float
    rarity: str


@dataclass(frozen=True)
class RankedRow:
    """One of the most anomalous rows.

    Parameters
    ----------
    rank : int
        From 1.
    name : str
        Where the row is: its number, or what the index calls it.
    ids : tuple of str
        Cells that name the row.
    score : float
        Nats.
    p_value : float
        NaN where there is none.
    is_flagged : bool
        Whether it is above the threshold, or selected.
    is_anomaly : bool or None
        Its label; None where it has none.
    pattern : int
        Number of its pattern, from 1; 0 where it has none.
    reasons : tuple of ReasonLine
        Its most anomalous cells.
    combination : float
        What the combination of its cells costs more than that of a typical row, nats; NaN where that is not known.
    """

    rank: int
    name: str
    ids: tuple[str, ...]
    score: float
    p_value: float
    is_flagged: bool
    is_anomaly: bool | None
    pattern: int
    reasons: tuple[ReasonLine, ...]
    combination: float


@dataclass(frozen=True)
class RankedRows:
    """The most anomalous rows, to search, sort, filter and open.

    Parameters
    ----------
    rows : tuple of RankedRow
        The most anomalous first.
    id_names : tuple of str
        Heads of the cells that name rows.
    patterns : tuple of str
        What the patterns are called.
    noun : str
        What a row is.
    with_values : bool
        Whether cells are shown.
    with_labels : bool
        Whether some row has a label.
    """

    rows: tuple[RankedRow, ...]
    id_names: tuple[str, ...]
    patterns: tuple[str, ...]
    noun: str
    with_values: bool
    with_labels: bool
    kind: ClassVar[str] = "ranked_rows"


@dataclass(frozen=True)
class Picture:
    """An image and its heat map, as data that the page holds itself.

    Parameters
    ----------
    name : str
        Of the file, or the number of the image.
    score : float
        Nats.
    is_flagged : bool
        Whether it is above the threshold.
    image, heat_map : str
        Addresses of the scheme ``data:``.
    """

    name: str
    score: float
    is_flagged: bool
    image: str
    heat_map: str


@dataclass(frozen=True)
class Gallery:
    """Images, the most anomalous first."""

    pictures: tuple[Picture, ...]
    kind: ClassVar[str] = "gallery"


Block = Paragraph | Notice | Facts | Charts | Grid | RankedRows | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    name : str
        Of its entry in `SECTIONS`, and its address within the page.
    title : str
        Its heading.
    blocks : tuple of Block
        What it holds.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
