"""`--help` is a page, `--help-all` has all of it; neither breaks a word or is wider than the terminal."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer.main

from vae_anomaly_cli.application import COMMANDS, SECTIONS, application
from vae_anomaly_cli.command import page_of
from vae_anomaly_cli.help_pages import Entry, HelpText, Page

MAX_LINES = 60
NAMES = [each.name for each in COMMANDS]


@pytest.fixture(params=[60, 80, 120])
def width(request, monkeypatch):
    """Columns of the terminal."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help_fits_a_screen_and_two(run, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = run(*filter(None, [name]), "--help")
    assert outcome.code == 0
    assert len(outcome.text.splitlines()) <= MAX_LINES
    assert "--help-all" in outcome.text


@pytest.mark.parametrize("option", ["--help", "--help-all"])
@pytest.mark.parametrize("each", COMMANDS, ids=NAMES)
def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken(run, width, each, option):
    lines = run(each.name, option).text.splitlines()
    assert max(map(len, lines)) <= width
    # What is said of it, and every name of what stands on the page, word by word.
    page = page_of(each, in_full=option == "--help-all")
    entries = [entry for entries in page.entries.values() for entry in entries]
    said = [page.text.sentence, *(f"{entry.name} {entry.meaning}" for entry in entries)]
    words = {word for line in lines for word in line.split()}
    assert {word for text in said for word in text.split()} <= words


@pytest.mark.parametrize("each", COMMANDS, ids=NAMES)
def test_examples_come_first_and_can_be_parsed(run, each):
    lines = run(each.name, "--help").text.splitlines()
    assert lines.index("Examples") < lines.index("Options")
    known = typer.main.get_command(application).commands
    examples = HelpText.of(each.help).examples
    assert examples
    for example in examples:
        _, _, command = example.partition("vae-anomaly ")
        name, *arguments = shlex.split(re.split(r"  | [|>] ", command)[0])
        known[name].make_context(name, arguments)


@pytest.mark.parametrize("each", COMMANDS, ids=NAMES)
def test_common_options_are_some_of_all_and_all_have_the_long_text(run, each):
    short, long = (run(each.name, option).text for option in ("--help", "--help-all"))
    parameters = each.parameters.values()
    common = [parameter for parameter in parameters if parameter.is_common]
    assert len(common) >= min(4, len(parameters) - 1) or each.name == "export"
    assert len(common) <= 18
    for parameter in parameters:
        assert re.search(rf"^  (-\w, )?{parameter.flag}(\.| |$)", long, re.MULTILINE)
        shown = re.search(rf"^  (-\w, )?{parameter.flag}(\.| |$)", short, re.MULTILINE)
        assert bool(shown) is parameter.is_common
    for paragraph in HelpText.of(each.help).details:
        first = re.sub(r"\[/?bold\]|\x08\n", "", paragraph).split()
        assert " ".join(first[:4]) in " ".join(long.split())


def test_options_of_tables_and_of_images_stand_apart(run):
    shown = run("score", "--help").text
    options, tables, images = (
        shown.index(f"\n{heading}\n") for heading in ("Options", "Options, tables only", "Options, images only")
    )
    assert options < shown.index("\n  --label") < tables < shown.index("\n  --explain") < images
    assert images < shown.index("\n  --heatmaps")
    every = run("fit", "--help-all").text
    order = [
        every.index(f"\n{heading}\n")
        for heading in ("Input", "Fitting", "Fitting, tables only", "Fitting, images only", "Output")
    ]
    assert order == sorted(order)
    assert "tables only" not in run("explain", "--help-all").text


def test_top_page_has_every_command_under_what_it_is_for(run):
    shown = run("--help").text
    for section, commands in SECTIONS.items():
        assert f"\n{section}\n" in shown
        for each in commands:
            assert re.search(rf"^  {each.name} +[A-Z]", shown, re.MULTILINE)


def test_top_page_is_the_same_in_full(run):
    assert run("--help-all").text == run("--help").text == run().text


def test_page_of_a_pipe_has_no_colours(run):
    assert "\x1b" not in run("score", "--help").text


def test_example_that_is_too_long_continues_as_a_shell_takes_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = HelpText("Do.", ("vae-anomaly score a.csv b.csv -o scored.csv  both files",), ())
    page = Page("vae-anomaly score DATA", text, {"Options": (Entry("--a-very-long-name-of-an-option X", "What."),)})
    assert page.drawn().splitlines() == [
        "Usage: vae-anomaly score DATA",
        "",
        "Do.",
        "",
        "Examples",
        "  vae-anomaly score a.csv b.csv -o \\",
        "      scored.csv",
        "      # both files",
        "",
        "Options",
        "  --a-very-long-name-of-an-option X",
        "        What.",
    ]


def test_misuse_names_the_help_of_its_command(run):
    assert run("score", "--bogus").error().endswith("See vae-anomaly score --help.")
    assert run("scor").error() == "error: No such command 'scor'. Did you mean 'score'? See vae-anomaly --help."


@pytest.mark.parametrize("words", ["vae-anomaly score --", "vae-anomaly score --heat"])
def test_shell_completion_offers_all_options(words):
    program = "import sys; from vae_anomaly_cli.main import main; sys.exit(main([]))"
    asked = {"_VAE_ANOMALY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True)
    (score,) = (each for each in COMMANDS if each.name == "score")
    offered = set(done.stdout.split())
    beginning = words.rpartition(" ")[2]
    options = [parameter for parameter in score.parameters.values() if not parameter.option.is_argument]
    assert {flag for each in options for flag in each.flags if flag.startswith(beginning)} <= offered
