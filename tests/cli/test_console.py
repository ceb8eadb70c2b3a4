"""Messages: a pipe gets one line for each, a terminal lines that break between words."""

import sys

import pytest
from rich.text import Text

from vae_anomaly_cli.console import Messages, wrapped

LONG = (
    "held-out rows have an ELBO of -15.65 nats, and -14.79 under a plain Gaussian with full covariance; at most 14.4 % "
    "of 2,000 rows are in 'a-very-long-name-of-a-column-that-is-wider-than-a-terminal', and 3 % of 分布外の行 elsewhere"
)


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_lines_break_between_words(width):
    lines = [line.plain for line in wrapped(Text(LONG), width)]
    assert " ".join(lines) == LONG
    for line in lines:
        words = line.split()
        assert Text(line).cell_len <= width or len(words) == 1 or Text(words[-1]).cell_len > width
        assert words[0] != "%"


def test_style_stays():
    assert {line.style for line in wrapped(Text(LONG, style="yellow"), 40)} == {"yellow"}


def test_pipe_gets_a_message_in_one_line(capsys):
    Messages(False).warning(LONG)
    assert capsys.readouterr().err == f"warning: {LONG}\n"


def test_terminal_gets_whole_words(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    Messages(False).warning(LONG)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert " ".join(lines) == f"warning: {LONG}"
