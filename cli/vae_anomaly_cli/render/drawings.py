"""Lines and tables on standard output: as wide as a terminal, or as plain text for a pipe."""

import io
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.console import data_stream, escaped, one_line

WIDE = 200


@dataclass(frozen=True)
class Escaped:
    """What is drawn, with control characters of the data, which could steer a terminal, as escapes."""

    drawing: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Draw it."""
        for segment in console.render(self.drawing, options):
            yield segment if segment.control else Segment(escaped(segment.text, kept="\n"), segment.style)


def show(*drawings: RenderableType) -> None:
    """Write drawings one below the other, as wide as the terminal, or as a pipe is said to be."""
    draw(Console(highlight=False), *drawings)


def draw(console: Console, *drawings: RenderableType) -> None:
    """Write drawings one below the other; markup in texts is text."""
    console.print(*(Escaped(Text(each) if isinstance(each, str) else each) for each in drawings), sep="\n")


def show_drawings(drawings: Sequence[str | RichTable]) -> None:
    """Write texts and tables one below the other."""
    if sys.stdout.isatty():
        show(*drawings)
        return
    write_plain(lambda plain: draw(plain, *drawings))


def write_plain(draw_on: Callable[[Console], None]) -> None:
    """Write to standard output what is drawn on a console without colours that is wider than terminals."""
    plain = Console(file=io.StringIO(), width=WIDE, highlight=False, soft_wrap=True, color_system=None)
    with plain.capture() as captured:
        draw_on(plain)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    with data_stream() as stream:
        stream.write(f"{text}\n".encode())


def table_of(headings: Sequence[str], rows: Sequence[Sequence[str]], n_names: int = 1) -> RichTable:
    """Lay out a table without borders; all columns but the first few are set to the right."""
    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for position, heading in enumerate(headings):
        justify = "left" if position < n_names else "right"
        drawn.add_column(heading, justify=justify, overflow="fold", vertical="bottom")  # type: ignore[arg-type]
    for row in rows:
        drawn.add_row(*(Text(one_line(cell)) for cell in row))
    return drawn


def percent(share: float | None, *, upwards: bool = False) -> str:
    """Write a share in per cent with three digits, a bound rounded upwards; nothing where there is none.

    Examples
    --------
    >>> percent(0.0271858), percent(0.0001), percent(None)
    ('2.72 %', '0.01 %', '')
    >>> percent(0.02761, upwards=True), percent(0.05, upwards=True)
    ('2.77 %', '5 %')
    """
    if share is None or math.isnan(share):
        return ""
    if upwards and share > 0:
        digit = 10.0 ** (math.floor(math.log10(share)) - 2)
        share = math.ceil(share / digit * (1 - 1e-12)) * digit
    return f"{100 * share:.3g} %"
