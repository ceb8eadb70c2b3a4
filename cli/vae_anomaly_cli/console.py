"""What people read: messages on standard error, one line each, and clean standard output."""

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from vae_anomaly_cli.errors import Terminated

HALF_CHARACTER = re.compile("[\ud800-\udfff]")
# With the % of a number.
WORD = re.compile(r"\S+( %\S*)?\s*")
MAX_SHOWN_FILES = 20
MAX_SHOWN_ODD = 5
MAX_NAMED = 5


def one_line(text: object) -> str:
    """Squeeze a message into one line and show control characters as escapes."""
    return escaped(" ".join(str(text).split()))


def escaped(text: str, kept: str = "") -> str:
    r"""Show characters that are no signs on paper as escapes: they could steer a terminal, or not be written at all.

    Parameters
    ----------
    text : str
        What is shown.
    kept : str
        Such characters that stay.

    Examples
    --------
    >>> escaped("\x1b[31mred \udcff")
    '\\x1b[31mred \\xff'
    """
    text = writable(text)
    return text if text.isprintable() else "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in text)


def writable(text: str) -> str:
    r"""Text that can be written anywhere: bytes of names that are no UTF-8, and halves of characters, as escapes.

    Examples
    --------
    >>> writable(b"\xff.png".decode("utf-8", "surrogateescape"))
    '\\xff.png'
    """
    return text if text.isascii() else HALF_CHARACTER.sub(_half_character, text)


def _half_character(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def report_error(text: object) -> None:
    """Say on standard error why the command stops."""
    _say(Text("error: ", style="bold red"), text)


def _say(prefix: Text, text: object) -> None:
    # Built on use: tests and callers may have replaced sys.stderr since the import.
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    said = prefix + Text(one_line(text))
    # A pipe gets one line a message; a terminal would break lines within words.
    for line in wrapped(said, console.width) if console.is_terminal else [said]:
        console.print(line)


def wrapped(text: Text, width: int) -> list[Text]:
    """Break a text between words, and not between a number and its %; a word that is longer than a line stays whole.

    Examples
    --------
    >>> [line.plain for line in wrapped(Text("at most 10 % of 2,000 rows"), 10)]
    ['at most', '10 % of', '2,000 rows']
    """
    breaks: list[int] = []
    used = 0
    for word in WORD.finditer(text.plain):
        size = cell_len(word[0].rstrip())
        if used and used + size > width >= size:
            breaks.append(word.start())
            used = 0
        used += cell_len(word[0])
    lines = list(text.divide(breaks))
    for line in lines:
        line.rstrip()
    return lines


class Place(Protocol):
    """Where a person finds a row."""

    @property
    def file(self) -> str: ...

    @property
    def where(self) -> str: ...


@dataclass(frozen=True)
class Messages:
    """Notes and warnings on standard error, silent when the user asked for quiet."""

    quiet: bool
    # Data are read more than once: what was said of them is not said again.
    _said: set[tuple[type, str]] = field(default_factory=set, repr=False, compare=False)
    # What was warned of so far, quiet or not.
    warned: list[str] = field(default_factory=list, repr=False, compare=False)

    @property
    def progress(self) -> bool:
        """Whether someone sees a progress bar."""
        return not self.quiet and sys.stderr.isatty()

    def answer(self, text: str) -> None:
        """Say what was asked for by an option, quiet or not."""
        _say(Text(""), text)

    def note(self, text: str) -> None:
        """Say what was done."""
        if not self.quiet:
            _say(Text(""), text)

    def warning(self, text: object) -> None:
        """Say what the user should know."""
        self.warned.append(str(text))
        if not self.quiet:
            _say(Text("warning: ", style="yellow"), text)

    @contextmanager
    def library_warnings(
        self,
        on_left_out: Callable[[str, str], None] | None = None,
        locate: Callable[[int], Place] | None = None,
    ) -> Iterator[None]:
        """Show each warning of the library once, after the work that raised it.

        Shown afterwards, so that they do not cut through a progress bar. Of several fits' warnings about the same
        subject, the first is shown.

        Parameters
        ----------
        on_left_out : callable, optional
            Gets, instead, the name of every file that a fit leaves out, and the reason.
        locate : callable, optional
            Says where a person finds a row that the library was given.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            except (KeyboardInterrupt, Terminated):
                caught.clear()
                raise
            finally:
                if caught:
                    self._show([warning.message for warning in caught], on_left_out, locate)

    def _show(
        self,
        caught: list[Warning | str],
        on_left_out: Callable[[str, str], None] | None,
        locate: Callable[[int], Place] | None,
    ) -> None:
        # Whoever warns has loaded the library.
        from vae_anomaly.errors import (
            AmbiguousTextWarning,
            DataWarning,
            FileLeftOutWarning,
            OddCellsWarning,
            PagesLeftOutWarning,
            VAEAnomalyWarning,
        )

        shown: dict[tuple[type, str], VAEAnomalyWarning] = {}
        n_with_pages = 0
        for warning in caught:
            if on_left_out is not None and isinstance(warning, FileLeftOutWarning):
                on_left_out(str(warning.path), warning.reason)
            elif isinstance(warning, VAEAnomalyWarning):
                about = type(warning), warning.subject or str(warning)
                if about in self._said:
                    continue
                if isinstance(warning, DataWarning):
                    self._said.add(about)
                n_with_pages += isinstance(warning, PagesLeftOutWarning)
                if n_with_pages <= MAX_SHOWN_FILES or not isinstance(warning, PagesLeftOutWarning):
                    shown.setdefault(about, warning)
        alike: dict[str, list[str]] = {}
        said: set[str] = set()
        for first in shown.values():
            if isinstance(first, AmbiguousTextWarning):
                alike.setdefault(first.remedy, []).append(first.column)
        n_odd = 0
        for first in shown.values():
            if isinstance(first, OddCellsWarning):
                n_odd += 1
                if n_odd <= MAX_SHOWN_ODD:
                    place = None if locate is None else locate(first.row)
                    self.warning(first if place is None else f"{place.file}: {first.text(row=place.where)}")
            elif isinstance(first, AmbiguousTextWarning):
                # What holds of one column mostly holds of all that a program wrote: one line for those of a remedy.
                _, *others = alike.pop(first.remedy, [""])
                if others or first.remedy not in said:
                    self.warning(f"{first}{_and_so(others)}")
                said.add(first.remedy)
            else:
                self.warning(first)
        if n_odd > MAX_SHOWN_ODD:
            self.warning(f"{n_odd - MAX_SHOWN_ODD:,} more columns hold odd cells, which are taken as missing, too.")
        if n_with_pages > MAX_SHOWN_FILES:
            self.warning(f"{n_with_pages - MAX_SHOWN_FILES:,} more files have several pages: the first is read.")


def _and_so(others: list[str]) -> str:
    """Name the other columns of which a line holds; empty if there are none."""
    if not others:
        return ""
    names, more = ", ".join(map(repr, others[:MAX_NAMED])), len(others) - MAX_NAMED
    return f" So it is with {names}{f' and {more} more' if more > 0 else ''}."


@contextmanager
def data_stream() -> Iterator[BinaryIO]:
    """Standard output for bytes, all of them written at the end."""
    sys.stdout.flush()
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
