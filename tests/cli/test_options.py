"""Options are fields of dataclasses, written once; every command has them in its help, and old names warn."""

import re
from dataclasses import dataclass
from typing import Annotated

import pytest

from vae_anomaly_cli import options
from vae_anomaly_cli.application import COMMANDS
from vae_anomaly_cli.command import Command, Deprecated, Option, command
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import Method
from vae_anomaly_cli.sources import Kind

EACH = [
    pytest.param(each, parameter, id=f"{each.name} {parameter.flag}")
    for each in COMMANDS
    for parameter in each.parameters.values()
]
SHARED = (
    options.InputOptions,
    options.ModelOptions,
    options.FitOptions,
    options.OutputOptions,
    options.RunOptions,
)


@pytest.fixture(scope="module")
def shown(run):
    """All the help of each command, an option a line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae_anomaly_cli.help_pages.MAX_WIDTH", 1000)
        patch.setenv("COLUMNS", "1000")
        return {each.name: run(each.name, "--help-all").text for each in COMMANDS}


@pytest.mark.parametrize(("each", "parameter"), EACH)
def test_every_option_is_in_the_help_of_its_command_with_what_it_is_for(each, parameter, shown):
    lines = shown[each.name].splitlines()
    (found,) = [index for index, line in enumerate(lines) if re.match(rf"  (-\w, )?{parameter.flag}( |\.|$)", line)]
    assert parameter.option.help[:40] in " ".join(lines[found : found + 2])
    assert parameter.option.help.endswith(".")


@pytest.mark.parametrize("each", COMMANDS, ids=lambda each: each.name)
def test_options_of_a_command_have_different_names(each):
    flags = [flag for parameter in each.parameters.values() for flag in parameter.flags]
    old = [parameter.option.deprecated.flag for parameter in each.parameters.values() if parameter.option.deprecated]
    assert len({*flags, *old}) == len(flags) + len(old)


@pytest.mark.parametrize("each", COMMANDS, ids=lambda each: each.name)
def test_old_names_are_hidden(each, shown):
    for parameter in each.parameters.values():
        if parameter.option.deprecated:
            assert f"{parameter.option.deprecated.flag} " not in shown[each.name]


def test_same_flag_is_the_same_option_in_every_command():
    seen = {}
    for each in COMMANDS:
        for group in each.groups.values():
            if group in SHARED:
                continue
            for parameter in each._parameters_of(group):
                before = seen.setdefault(parameter.flag, (parameter.name, parameter.option.metavar))
                assert before == (parameter.name, parameter.option.metavar)


@pytest.mark.parametrize("kind", Kind)
def test_options_of_one_kind_are_no_options_of_commands_for_the_other(kind):
    for each in COMMANDS:
        for parameter in each.parameters.values():
            assert parameter.option.only is None or parameter.option.only in each.takes
    (explain,) = (each for each in COMMANDS if each.name == "explain")
    assert "image_shape" not in explain.parameters


@dataclass(frozen=True)
class Planted:
    """Options for these tests."""

    data: Annotated[tuple[str, ...], Option("What to read.", metavar="DATA", is_argument=True, is_path=True)]
    model: Annotated[str | None, Option("A model.", is_path=True)] = None
    often: Annotated[tuple[int, ...], Option("Numbers.", min=1)] = ()
    kind_of_tea: Annotated[str | None, Option("Which tea.", choices=("green", "black"), with_model=False)] = None
    method: Annotated[Method | None, Option("How.", deprecated=Deprecated("--how", {"whole": "image"}))] = None
    place: Annotated[str | None, Option("Where.", is_path=True)] = None
    normal: Annotated[tuple[str, ...], Option("Which.", deprecated=Deprecated("--good", sets={"place": "here"}))] = ()
    cell: Annotated[bool, Option("Cells.", only=Kind.TABLES)] = False
    pixel: Annotated[bool, Option("Pixels.", only=Kind.IMAGES)] = False


@pytest.fixture
def planted(orders_csv, good):
    """Run a command with planted options; returns what its body got, and what was said."""
    import typer

    got = []

    def pour(given: Planted, kind: Kind) -> None:
        got.append((given, kind))

    made: Command = command("Pour.", (Kind.TABLES, Kind.IMAGES))(pour)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(made.callback())

    def run_with(*arguments, data=orders_csv):
        app([str(data), *arguments], standalone_mode=False)
        return got[-1]

    return run_with


def test_body_gets_the_filled_dataclass_and_the_kind(planted, orders_csv, good):
    given, kind = planted("--often", "2", "--often", "3", "--kind-of-tea", "green", "--cell")
    assert given == Planted((str(orders_csv),), often=(2, 3), kind_of_tea="green", cell=True)
    assert kind is Kind.TABLES
    given, kind = planted("--method", "patch", data=good)
    assert given == Planted((str(good),), method=Method.PATCH)
    assert kind is Kind.IMAGES


def test_values_out_of_bounds_and_choices_are_refused(planted):
    for arguments in (("--often", "0"), ("--kind-of-tea", "herbal"), ("--method", "whole")):
        with pytest.raises(Exception, match=r"equal to 1|not in the range|one of|should be") as refused:
            planted(*arguments)
        assert arguments[0] in refused.value.format_message()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pixel",), "--pixel cannot go with tables: only images take that"),
        (("--model", "m", "--kind-of-tea", "green"), "--kind-of-tea cannot go with --model"),
        (("--model", "", "--place", ""), "--model, --place: the name is empty"),
        (("--how", "upside-down"), "--method upside-down: expected one of auto, image, patch"),
        (("--how", "whole", "--method", "image"), "--how is the old name of --method; leave it or --method out"),
        (("--good", "a", "--place", "there"), "--good is the old name of --normal; leave it or --place out"),
    ],
)
def test_misuse_is_refused_as_options_declare_it(planted, arguments, message):
    with pytest.raises(InputError, match=message.replace("(", "\\(")):
        planted(*arguments)


def test_option_of_tables_is_refused_for_images(planted, good):
    with pytest.raises(InputError, match="--cell cannot go with images: only tables take that"):
        planted("--cell", data=good)


def test_old_name_sets_the_new_options_and_warns(planted, capsys):
    given, _ = planted("--how", "whole", "--good", "a", "--good", "b")
    assert (given.method, given.normal, given.place) == (Method.IMAGE, ("a", "b"), "here")
    assert capsys.readouterr().err.splitlines() == [
        "warning: --how whole is now --method image",
        "warning: --good a is now --place here --normal a",
        "warning: --good b is now --place here --normal b",
    ]


def test_two_options_of_one_name_are_a_fault_of_ours():
    @dataclass(frozen=True)
    class Again:
        model: Annotated[str | None, Option("A model.")] = None

    def pour(given: Planted, again: Again) -> None:
        """Do nothing."""

    pour.__annotations__ = {"given": Planted, "again": Again}
    with pytest.raises(TypeError, match="two options 'model'"):
        command("Pour.")(pour).callback()
