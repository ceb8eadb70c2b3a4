"""What `--help` and `--help-all` show: a page of text, as wide as the terminal, that breaks no word."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

MIN_WIDTH, MAX_WIDTH = 40, 100
# A longer name stands on a line of its own, above what it is for.
MAX_NAME_WIDTH = 24
MIN_MEANING_WIDTH = 32
HEADING = re.compile(r"\[bold\](.*)\[/bold\]")
VERBATIM = "\b\n"
EXAMPLES = "Examples"
COMMENT = re.compile(r"\s{2,}")


@dataclass(frozen=True)
class Entry:
    """An option, an argument or a command, and what it is for."""

    name: str
    meaning: str


@dataclass(frozen=True)
class HelpText:
    """What a module says of its command.

    Attributes
    ----------
    sentence : str
        What it does.
    examples : tuple of str
        Commands, each with what is to be said of it two spaces behind.
    details : tuple of str
        The paragraphs of the long text; those that begin with VERBATIM keep their lines.
    """

    sentence: str
    examples: tuple[str, ...]
    details: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "HelpText":
        """Take a text apart: a sentence, examples under their heading, and the rest."""
        sentence, *paragraphs = text.strip().split("\n\n")
        first = f"{VERBATIM}[bold]{EXAMPLES}[/bold]\n"
        examples = [each for each in paragraphs if each.startswith(first)]
        lines = [line.strip() for each in examples for line in each.removeprefix(first).splitlines()]
        return cls(sentence, tuple(lines), tuple(each for each in paragraphs if each not in examples))


@dataclass(frozen=True)
class Page:
    """A page of help.

    Attributes
    ----------
    usage : str
        How the command is called.
    text : HelpText
        What is said of it.
    entries : mapping of str to sequence of Entry
        What it takes, by heading.
    more : str
        Where there is more to read.
    """

    usage: str
    text: HelpText
    entries: Mapping[str, Sequence[Entry]]
    more: str = ""

    def drawn(self) -> str:
        """Lay it out, with the colours that standard output has."""
        console = Console(highlight=False, soft_wrap=True)
        width = max(MIN_WIDTH, min(console.width, MAX_WIDTH))
        with console.capture() as captured:
            for line in self._lines(width):
                console.print(line)
        return captured.get().rstrip("\n")

    def _lines(self, width: int) -> Iterator[Text]:
        yield from _wrapped(f"Usage: {self.usage}", width, hanging=7)
        yield Text()
        yield from _wrapped(self.text.sentence, width)
        if self.text.examples:
            yield from _heading(EXAMPLES)
            yield from _examples(self.text.examples, width)
        for heading, entries in self.entries.items():
            yield from _heading(heading)
            yield from _entries(entries, width)
        for paragraph in self.text.details:
            yield from _paragraph(paragraph, width)
        if self.more:
            yield Text()
            yield from _wrapped(self.more, width)


def _heading(text: str) -> Iterator[Text]:
    yield Text()
    yield Text(text, style="bold")


def _paragraph(text: str, width: int) -> Iterator[Text]:
    lines = text.removeprefix(VERBATIM).splitlines()
    heading = HEADING.fullmatch(lines[0])
    if heading is not None:
        yield from _heading(heading[1])
        lines = lines[1:]
    else:
        yield Text()
    if text.startswith(VERBATIM):
        for line in lines:
            indent = len(line) - len(line.lstrip())
            yield from _wrapped(line, width, hanging=indent)
    elif lines:
        yield from _wrapped(" ".join(lines), width)


def _examples(examples: Sequence[str], width: int) -> Iterator[Text]:
    """Commands that can be copied, with comments below one another where there is room for them."""
    parts = [COMMENT.split(example, maxsplit=1) for example in examples]
    beside = [len(each[0]) for each in parts if len(each) > 1 and len(each[0]) + len(each[1]) + 6 <= width]
    column = max(beside, default=0)
    for command, *comments in parts:
        *lines, last = _wrapped(command, width - 2, first=2, hanging=6)
        yield from (Text(f"{line.plain} \\") for line in lines)
        notes = [f"# {comment}" for comment in comments]
        if notes and not lines and len(command) + len(notes[0]) + 4 <= width:
            place = column if column + len(notes[0]) + 4 <= width else len(command)
            last.append(f"{' ' * (place - len(command))}  {notes.pop()}", style="dim")
        yield last
        for note in notes:
            yield from (Text(line.plain, style="dim") for line in _wrapped(note, width, first=6, hanging=8))


def _entries(entries: Sequence[Entry], width: int) -> Iterator[Text]:
    """Names, and beside them what they are for."""
    column = (
        max((len(entry.name) for entry in entries if len(entry.name) <= MAX_NAME_WIDTH), default=MAX_NAME_WIDTH) + 4
    )
    if width - column < MIN_MEANING_WIDTH:
        column = 8
    for entry in entries:
        name = Text(f"  {entry.name}")
        name.highlight_regex(r"(?<![\w-])--?[a-z][\w-]*", "bold cyan")
        meaning = list(_wrapped(entry.meaning, width, first=column, hanging=column))
        if meaning and len(name) + 2 <= column:
            name.append(meaning.pop(0).plain[len(name) :])
        yield name
        yield from meaning


def _wrapped(text: str, width: int, *, first: int = 0, hanging: int = 0) -> Iterator[Text]:
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=" " * first,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return (Text(line) for line in lines)
