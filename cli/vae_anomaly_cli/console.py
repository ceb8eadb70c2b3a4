"""What people read: messages on standard error, one line each, and clean standard output."""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import typer
from rich.console import Console
from rich.text import Text

from vae_anomaly_cli.errors import CommandError

LEFT_OUT = "left out: "


def one_line(text: object) -> str:
    """Squeeze a message into one line and show control characters as escapes."""
    squeezed = " ".join(str(text).split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in squeezed)


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
    console.print(prefix + Text(one_line(text)))


class Messages:
    """Notes and warnings on standard error, silent when the user asked for quiet."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    @property
    def progress(self) -> bool:
        """Whether a progress bar has someone to look at it."""
        return not self.quiet and sys.stderr.isatty()

    def answer(self, text: str) -> None:
        """Say what was asked for by an option, quiet or not."""
        _say(Text(""), text)

    def note(self, text: str) -> None:
        """Say what was done."""
        if not self.quiet:
            _say(Text(""), text)

    def warning(self, text: object) -> None:
        """Say what the user should look at."""
        if not self.quiet:
            _say(Text("warning: ", style="yellow"), text)

    @contextmanager
    def library_warnings(self, left_out: Callable[[str], None] | None = None) -> Iterator[None]:
        """Show each warning of the library once, after the work that raised it.

        Shown afterwards, so that they do not cut through a progress bar. Of several fits' warnings that
        have the same subject, the first is shown.

        Parameters
        ----------
        left_out : callable, optional
            Is told, instead, of every file that a fit leaves out.
        """
        from vae_anomaly import FileLeftOutWarning, VAEAnomalyWarning

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            except KeyboardInterrupt:
                caught.clear()
                raise
            finally:
                shown: dict[tuple[type, str], VAEAnomalyWarning] = {}
                for warning in (one.message for one in caught if isinstance(one.message, VAEAnomalyWarning)):
                    if left_out is not None and isinstance(warning, FileLeftOutWarning):
                        left_out(f"{warning.path}: {warning.reason}")
                        continue
                    shown.setdefault((type(warning), warning.subject or str(warning)), warning)
                for warning in shown.values():
                    self.warning(warning)


@contextmanager
def data_stream() -> Iterator[BinaryIO]:
    """Standard output for bytes; a reader that left early (`| head`) ends the command quietly."""
    try:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(0) from None
    except OSError as error:
        _drop_output()
        raise CommandError(f"standard output cannot be written: {error.strerror or error}.") from error
    except KeyboardInterrupt:
        _drop_output()
        raise


def _drop_output() -> None:
    """Send what is left to nowhere: the interpreter flushes at exit, and would complain again, or wait for ever."""
    with contextlib.suppress(OSError):
        place = sys.stdout.fileno()
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, place)
        os.close(devnull)
