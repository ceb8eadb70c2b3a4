"""What a command is: options as fields of frozen dataclasses, expanded into the signature that typer reads.

An option is written once, as a field::

    @dataclass(frozen=True)
    class FitOptions:
        seed: Annotated[int | None, Option("Seed; the same seed gives the same model.", min=0, panel=FITTING)] = None

A command takes such dataclasses as arguments, and gets them filled::

    @command(HELP, (Kind.TABLES, Kind.IMAGES))
    def fit(given: InputOptions, fitting: FitOptions, messages: Messages, kind: Kind) -> None: ...

`--help` shows the options that are `common`, `--help-all` all of them; every command takes `--config FILE` besides.
"""

import dataclasses
import errno
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from vae_anomaly.caching import cached_property
from vae_anomaly_cli.configuration import Setting, read_configuration
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import CommandError, InputError, ReaderLeft
from vae_anomaly_cli.help_pages import Entry, HelpText, Page
from vae_anomaly_cli.sources import Kind, check_found, kind_of, scheme_of

INPUT, WITH_MODEL, FITTING, FLAGGING, OUTPUT = "Input", "Model", "Fitting", "Flagging", "Output"
IN_PARTS = "Many machines"
OPTIONS, GENERAL = "Options", "General"
# In which order pages have them; others stand where their commands name them, behind OPTIONS.
PANELS = (OPTIONS, INPUT, WITH_MODEL, FITTING, FLAGGING, OUTPUT, IN_PARTS, GENERAL)
DATA, MODEL, QUIET, FAIL_ON_DRIFT, CONFIG = "data", "model", "quiet", "fail_on_drift", "config"
CONTEXT, HELP_ALL = "context", "help_all"
# How typer calls what comes neither from the command line nor from the signature.
FROM_COMMAND_LINE, FROM_FILE = "COMMANDLINE", "DEFAULT_MAP"
# Where an option can be given, each going before the next.
COMMAND_LINE, OWN_TABLE, FOR_ALL, NOWHERE = range(4)
MAX_CHOICES_WIDTH = 24
MAX_EXAMPLES = 8


@dataclass(frozen=True)
class Deprecated:
    """A name that an option had in an earlier version: works, is hidden, and warns.

    Attributes
    ----------
    flag : str
        The name.
    values : mapping of str to str
        Values that have other names now.
    sets : mapping of str to str
        Other fields of the same dataclass that it stands for, with their values.
    """

    flag: str
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sets: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """How a field of a dataclass stands on the command line.

    Attributes
    ----------
    help : str
        What it is for.
    flags : tuple of str
        Its names; by default `--` and the name of the field.
    metavar : str or None
        What stands for its value in the help.
    panel : str or None
        Under which heading the help shows it.
    common : bool or str
        Whether `--help` shows it, by its first sentence or by this one; others stand in `--help-all` alone, unless they
        must be given.
    choices : tuple of str
        The values that it may have; all where there are none.
    min, max : int or None
        Bounds of a number.
    only : Kind or None
        The one kind of data that it is for.
    images : str
        What the help says besides where the command takes images.
    with_model : bool
        Whether it can stand beside --model.
    is_path : bool
        Whether it names a file or directory, so that an empty value is refused.
    is_argument : bool
        Whether it stands without a flag.
    deprecated : Deprecated or None
        Its earlier name.
    """

    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    panel: str | None = None
    common: bool | str = False
    choices: tuple[str, ...] = ()
    min: int | None = None
    max: int | None = None
    only: Kind | None = None
    images: str = ""
    with_model: bool = True
    is_path: bool = False
    is_argument: bool = False
    deprecated: Deprecated | None = None


# Sentences of help end so; names of files and numbers have a point, too.
SENTENCE_END = re.compile(r"(?<=[.]) (?=[A-Z-])")


@dataclass(frozen=True)
class Parameter:
    """An option of one command.

    Attributes
    ----------
    name : str
        Of the field.
    option : Option
        How it stands on the command line.
    type : type
        Of the field.
    default : object
        `dataclasses.MISSING` where it must be given.
    """

    name: str
    option: Option
    type: Any
    default: Any

    @property
    def flag(self) -> str:
        """How messages call it."""
        if self.option.is_argument:
            return self.option.metavar or self.name.upper()
        return self.flags[0]

    @property
    def flags(self) -> tuple[str, ...]:
        """All its names."""
        return self.option.flags or (f"--{self.name.replace('_', '-')}",)

    @property
    def fields(self) -> tuple[str, ...]:
        """What typer knows it by: its name, and its earlier one."""
        return (self.name,) if self.option.deprecated is None else (self.name, self._old_name)

    def nothing(self, field: str) -> Any:
        """Return what typer reads where one of its fields is not given."""
        if field == self._old_name:
            return False if self.value_type is bool else None
        return None if self.repeats else self.default

    def is_given(self, field: str, value: Any) -> bool:
        """Whether a field has another value than it has by itself."""
        return bool(value) if field == self._old_name else self.in_field(value) != self.default

    @property
    def repeats(self) -> bool:
        """Whether it can be given more than once."""
        return get_origin(self.type) is tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it may have; none where all may be."""
        kinds = [kind for kind in (self.type, *get_args(self.type)) if isinstance(kind, type)]
        enumerated = next((tuple(kind) for kind in kinds if issubclass(kind, StrEnum)), ())
        return self.option.choices or tuple(map(str, enumerated))

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is dataclasses.MISSING

    @property
    def is_common(self) -> bool:
        """Whether `--help` shows it."""
        return bool(self.option.common) or self.option.is_argument or self.is_required

    @property
    def value_type(self) -> Any:
        """The type of one value: bool, int, float or str."""
        kinds = [each for each in get_args(self.type) if isinstance(each, type) and each is not NoneType]
        found: Any = kinds[0] if kinds else self.type
        return str if issubclass(found, StrEnum) else found

    def setting(self) -> Setting:
        """Return what a file of options may say of it."""
        bounds = self.option.min, self.option.max
        return Setting(self.name, self.value_type, self.repeats, self.choices, bounds, is_path=self.option.is_path)

    def entry(self, takes: Sequence[Kind], *, in_full: bool) -> Entry:
        """Return how a page of help shows it."""
        option = self.option
        text = option.help
        if not in_full:
            text = option.common if isinstance(option.common, str) else SENTENCE_END.split(text, maxsplit=1)[0]
        if Kind.IMAGES in takes and option.images:
            text = f"{text} {option.images}"
        choices = "|".join(self.choices)
        if in_full and len(choices) > MAX_CHOICES_WIDTH:
            text += f" One of {', '.join(self.choices)}."
        if self.is_required:
            text += " [required]"
        elif in_full and self.default not in (None, False, ()):
            text += f" [default: {self.default}]"
        if option.is_argument:
            name = f"{self.flag}..." if self.repeats else self.flag
            return Entry(name, text)
        value = option.metavar or (choices if len(choices) <= MAX_CHOICES_WIDTH else "")
        value = value or {bool: "", int: "N", float: "X"}.get(self.value_type, "TEXT")
        flags = ", ".join(sorted(self.flags, key=len))
        return Entry(f"{flags} {value}".rstrip(), text)

    def in_field(self, value: Any) -> Any:
        """Return what typer read as the field has it."""
        if self.repeats:
            return tuple(value or ())
        return str(value) if self.option.choices and value is not None else value

    def signature(self, takes: Sequence[Kind]) -> inspect.Parameter:
        """Return the parameter that typer reads."""
        option = self.option
        text = option.help
        if Kind.IMAGES in takes and option.images:
            text = f"{text} {option.images}"
        if option.only is not None and len(takes) > 1:
            text = f"{text} {option.only.capitalize()} only."
        read: Any = self.type
        default: Any = inspect.Parameter.empty if self.default is dataclasses.MISSING else self.default
        if option.choices:
            # Typer knows choices as enumerations.
            choices = _choices(option.choices)
            read = choices if self.default is dataclasses.MISSING else choices | None
        if self.repeats:
            read = list[get_args(self.type)[0]]  # type: ignore[misc]
            if self.default is not dataclasses.MISSING:
                read, default = read | None, None
        if option.is_argument:
            info: Any = typer.Argument(metavar=self.flag, help=text, show_default=False)
        else:
            info = typer.Option(
                *self.flags,
                metavar=option.metavar,
                help=text,
                rich_help_panel=option.panel,
                min=option.min,
                max=option.max,
                show_default=self.default is not dataclasses.MISSING,
            )
        return _keyword(self.name, Annotated[read, info], default)

    def deprecated_signature(self) -> inspect.Parameter | None:
        """Return the parameter of its earlier name."""
        option = self.option
        if option.deprecated is None:
            return None
        read: Any = list[str] if self.repeats else str if self.choices else self.value_type
        info = typer.Option(option.deprecated.flag, hidden=True, min=option.min, max=option.max)
        if read is bool:
            return _keyword(self._old_name, Annotated[bool, info], False)
        return _keyword(self._old_name, Annotated[read | None, info], None)

    def deprecated_setting(self) -> Setting:
        """Return what a file of options may say under its earlier name."""
        return dataclasses.replace(self.setting(), name=self._old_name, choices=())

    def take_deprecated(self, values: dict[str, Any], known: Mapping[str, "Parameter"], messages: Messages) -> None:
        """Move what was given under the earlier name to where it belongs, with a warning."""
        deprecated = self.option.deprecated
        if deprecated is None:
            return
        old = values.pop(self._old_name)
        if old is None or old is False or old == []:
            return
        given = list(old) if self.repeats else [old]
        new = {name: text for name, text in deprecated.sets.items() if name in known}
        for name in (self.name, *new):
            if known[name].in_field(values[name]) != known[name].default:
                other = known[name].flag
                raise InputError(f"{deprecated.flag} is the old name of {self.flag}; leave it or {other} out.")
        values |= new
        now = [deprecated.values.get(each, each) for each in given]
        values[self.name] = now if self.repeats else self._parsed(old, now[0])
        besides = "".join(f"{known[name].flag} {text} " for name, text in new.items())
        for before, after in zip(given, now, strict=True):
            was, becomes = ("" if each is True else f" {each}" for each in (before, after))
            messages.warning(f"{deprecated.flag}{was} is now {besides}{self.flag}{becomes}")

    @property
    def _old_name(self) -> str:
        return f"deprecated_{self.name}"

    def _parsed(self, given: Any, value: Any) -> Any:
        """Read a value as typer reads it where it has its new name."""
        if self.choices and value not in self.choices:
            raise InputError(f"{self.flag} {given}: expected one of {', '.join(self.choices)}.")
        kinds = [kind for kind in (self.type, *get_args(self.type)) if isinstance(kind, type)]
        return next((kind(value) for kind in kinds if issubclass(kind, StrEnum)), value)


CONFIG_FILE = Parameter(
    CONFIG,
    Option(
        "File of options in TOML: long names like top = 20 at its top for all commands, and in tables like [score] for "
        "one. What is given on the command line goes before it.",
        metavar="FILE",
        is_path=True,
    ),
    str | None,
    None,
)


@dataclass(frozen=True)
class Command:
    """A command of `vae-anomaly`.

    Attributes
    ----------
    body : callable
        Does the work; its arguments are dataclasses of options, and may be `Messages` and the `Kind` of the data.
    help : str
        What `--help` shows.
    takes : tuple of Kind
        Which kinds of data; none where it takes no data.
    without : tuple of str
        Fields that are no options of this command: they keep their defaults.
    required : tuple of str
        Fields that must be given here although they have defaults.
    """

    body: Callable[..., None]
    help: str
    takes: tuple[Kind, ...] = ()
    without: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What is typed to run it."""
        return self.body.__name__

    @property
    def sentence(self) -> str:
        """What it does, in short."""
        return str(self.body.__doc__).strip().splitlines()[0]

    @cached_property
    def groups(self) -> dict[str, type[Any]]:
        """The dataclasses of options, by the argument that takes them."""
        found = {name: hint for name, hint in get_type_hints(self.body).items() if hint is not Messages}
        return {name: hint for name, hint in found.items() if isinstance(hint, type) and dataclasses.is_dataclass(hint)}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """All options, by the name of their field."""
        found: dict[str, Parameter] = {}
        for group in self.groups.values():
            for parameter in self._parameters_of(group):
                if parameter.name in found:
                    raise TypeError(f"vae-anomaly {self.name} has two options {parameter.name!r}")
                found[parameter.name] = parameter
        return found

    def callback(self, commands: "Sequence[Command]" = ()) -> Callable[..., None]:
        """Return the function that typer calls, with a parameter for each option.

        Parameters
        ----------
        commands : sequence of Command
            All there are: a file of options may be of several.
        """
        parameters = [parameter.signature(self.takes) for parameter in self.parameters.values()]
        parameters += filter(None, (parameter.deprecated_signature() for parameter in self.parameters.values()))
        parameters += self._general_signatures(commands or (self,))

        def run(**values: Any) -> None:
            context: typer.Context = values.pop(CONTEXT)
            path = values.pop(CONFIG)
            del values[HELP_ALL]
            if path is not None:
                self._take_configured(path, context, values)
            self._run(values)

        run.__name__, run.__doc__ = self.name, self.body.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    def typer_class(self) -> type[TyperCommand]:
        """Return the class of typer's command, which shows our help."""

        class WithHelp(TyperCommand):
            def format_help(_, ctx: Any, formatter: Any) -> None:  # noqa: N805 - self is the command
                formatter.write(page_of(self, in_full=False).drawn())

        return WithHelp

    def settings(self) -> dict[str, Setting]:
        """Return what a file of options may have, by the long names without the dashes in front."""
        found: dict[str, Setting] = {}
        for parameter in self.parameters.values():
            setting = parameter.setting()
            found[setting.name.replace("_", "-")] = setting
            if not parameter.option.is_argument:
                found[max(parameter.flags, key=len).removeprefix("--")] = setting
            old = parameter.option.deprecated
            if old is not None:
                found[old.flag.removeprefix("--")] = parameter.deprecated_setting()
        return found

    def _general_signatures(self, commands: "Sequence[Command]") -> list[inspect.Parameter]:
        """Return the parameters that typer reads for every command."""

        def show_all(wanted: bool) -> None:
            if wanted:
                typer.echo(page_of(self, in_full=True).drawn())
                raise typer.Exit

        def configure(context: typer.Context, path: str | None) -> str | None:
            if path is not None and not context.resilient_parsing:
                _check_name(CONFIG_FILE.flag, path)
                settings = {each.name: each.settings() for each in commands}
                found = read_configuration(path, self.name, settings)
                context.default_map, context.obj = found.values, found
            return path

        option = CONFIG_FILE.option
        config = typer.Option("--config", metavar=option.metavar, help=option.help, is_eager=True, callback=configure)
        text = "All options, and what the command does."
        in_full = typer.Option("--help-all", help=text, is_eager=True, callback=show_all)
        return [
            _keyword(CONTEXT, typer.Context, inspect.Parameter.empty),
            _keyword(CONFIG, Annotated[str | None, config], None),
            _keyword(HELP_ALL, Annotated[bool, in_full], False),
        ]

    def _take_configured(self, path: str, context: typer.Context, values: dict[str, Any]) -> None:
        """Say what comes from a file of options, without what it has for all commands and cannot be used here."""
        kind = kind_of(values[DATA]) if self.takes else None
        used: list[str] = []
        for parameter in self.parameters.values():
            option = parameter.option
            usable = option.only in (None, kind) and (option.with_model or values.get(MODEL) is None)
            places = {field: self._place(field, context) for field in parameter.fields}
            first = min(places.values())
            for field, place in places.items():
                if place in (OWN_TABLE, FOR_ALL) and (place > first or (place == FOR_ALL and not usable)):
                    values[field] = parameter.nothing(field)
            if first in (OWN_TABLE, FOR_ALL) and any(parameter.is_given(field, values[field]) for field in places):
                used.append(parameter.flag)
        said = ", ".join(used) or "nothing that this command takes, or that was not given here"
        Messages(bool(values.get(QUIET))).note(f"{path}: {said}")

    @staticmethod
    def _place(field: str, context: typer.Context) -> int:
        """Return where a value is from."""
        source = getattr(context.get_parameter_source(field), "name", "")
        if source == FROM_FILE:
            return FOR_ALL if field in context.obj.for_all else OWN_TABLE
        return COMMAND_LINE if source == FROM_COMMAND_LINE else NOWHERE

    def _parameters_of(self, group: type[Any]) -> Iterator[Parameter]:
        hints = get_type_hints(group, include_extras=True)
        for field in dataclasses.fields(group):
            kind, option = get_args(hints[field.name])
            other = option.only is not None and option.only not in self.takes
            if field.name in self.without or other:
                continue
            default = dataclasses.MISSING if field.name in self.required else field.default
            yield Parameter(field.name, option, _without_none(kind) if field.name in self.required else kind, default)

    def _run(self, values: dict[str, Any]) -> None:
        """Check what was given, fill the dataclasses, and do the work."""
        messages = Messages(bool(values.get(QUIET)))
        _check_current_directory()
        for parameter in self.parameters.values():
            parameter.take_deprecated(values, self.parameters, messages)
        for name, parameter in self.parameters.items():
            values[name] = parameter.in_field(values[name])
        self._refuse_unusable_names(values)
        arguments: dict[str, Any] = {}
        for name, group in self.groups.items():
            fields = {field.name for field in dataclasses.fields(group)}
            arguments[name] = group(**{name: value for name, value in values.items() if name in fields})
        given = [parameter for name, parameter in self.parameters.items() if values[name] != parameter.default]
        if values.get(MODEL) is not None:
            _refuse_beside_model(given)
        found = {Messages: messages, Kind: self._check_kind(values[DATA], given) if self.takes else None}
        arguments |= {name: found[hint] for name, hint in get_type_hints(self.body).items() if hint in found}
        try:
            self.body(**arguments)
        except ReaderLeft:
            if not values.get(FAIL_ON_DRIFT):
                raise
            # Exit code 0 would say that there was none.
            raise CommandError("whoever read standard output left before all was checked for drift.") from None

    def _refuse_unusable_names(self, values: Mapping[str, Any]) -> None:
        """Refuse names that no file can have; those without a letter would stand for the current directory."""
        paths = [parameter for parameter in self.parameters.values() if parameter.option.is_path]
        empty = [each.flag for each in paths if values[each.name] == "" or (each.repeats and "" in values[each.name])]
        if empty:
            raise InputError(
                f"{', '.join(empty)}: the name is empty, as that of an unset variable is; expected a path."
            )
        for parameter in paths:
            given = values[parameter.name]
            for path in given if parameter.repeats else [given]:
                if path is not None and scheme_of(path) is None:
                    _check_name(parameter.flag, path)

    def _check_kind(self, data: Sequence[str], given: Sequence[Parameter]) -> Kind:
        """Refuse data, and options, of a kind that the command or the data is not of."""
        kind = kind_of(data)
        if kind not in self.takes:
            raise InputError(
                f"vae-anomaly {self.name} takes tables, and {data[0]} holds images; for images there is vae-anomaly "
                "score: --heatmaps DIR shows where each is anomalous, and --label folder --normal NAME measures AUROC."
            )
        others = [parameter for parameter in given if parameter.option.only not in (None, kind)]
        if others:
            check_found(data)
            flags = ", ".join(parameter.flag for parameter in others)
            raise InputError(f"{flags} cannot go with {kind}: only {others[0].option.only} take that. Leave it out.")
        return kind


def page_of(command: "Command", *, in_full: bool) -> Page:
    """Return the help: common options and the first examples, or all of it."""
    text = HelpText.of(command.help)
    parameters = [*command.parameters.values(), CONFIG_FILE]
    shown = [parameter for parameter in parameters if in_full or parameter.is_common]
    entries: dict[str, list[Entry]] = {}
    headings = {parameter.name: _heading(parameter, command.takes, in_full=in_full) for parameter in shown}
    for heading in sorted({*headings.values()}, key=_rank_of_heading):
        entries[heading] = [
            parameter.entry(command.takes, in_full=in_full)
            for parameter in shown
            if headings[parameter.name] == heading
        ]
    arguments = " ".join(
        f"[{name}]" if not parameter.is_required else name
        for parameter in parameters
        if parameter.option.is_argument
        for name in [f"{parameter.flag}..." if parameter.repeats else parameter.flag]
    )
    usage = f"vae-anomaly {command.name} {arguments} [OPTIONS]"
    if in_full:
        entries.setdefault(GENERAL, []).append(Entry("-h, --help", "The common options."))
        entries[GENERAL].append(Entry("--help-all", "This page."))
        return Page(usage, text, entries)
    more = f"All {len(parameters)} options, and what the command does: vae-anomaly {command.name} --help-all"
    return Page(usage, HelpText(text.sentence, text.examples[:MAX_EXAMPLES], ()), entries, more)


def command(
    text: str, takes: tuple[Kind, ...] = (), *, without: tuple[str, ...] = (), required: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Command]:
    """Make a command of a function whose arguments are dataclasses of options; see `Command`."""
    return lambda body: Command(body, text, takes, without, required)


def _check_current_directory() -> None:
    """Refuse to work where the directory is gone: PyTorch's libraries would end the process without a word of ours."""
    try:
        Path.cwd()
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"the current directory cannot be used: {why}. Change to one that is there.") from error


def _check_name(flag: str, path: str) -> None:
    """Refuse a name that no file can have, or that leads nowhere; whether a file is there is asked later."""
    try:
        os.stat(path)  # noqa: PTH116 - a name that ends in a slash is another one
    except ValueError as error:
        raise InputError(f"{flag} {path}: the name has a character that no name can have; expected a path.") from error
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            raise InputError(f"{flag} {path}: {error.strerror or error}; expected a path.") from error
        if error.errno == errno.EACCES:
            raise InputError(f"{flag} {path} cannot be reached: {error.strerror}.") from error


def _refuse_beside_model(given: Sequence[Parameter]) -> None:
    flags = [parameter.flag for parameter in given if not parameter.option.with_model]
    if flags:
        raise InputError(
            f"{', '.join(flags)} cannot go with --model: a saved model keeps what it was fitted with. Fit again "
            "(vae-anomaly fit), or leave --model out."
        )


def _heading(parameter: Parameter, takes: Sequence[Kind], *, in_full: bool) -> str:
    """Return under which heading a page shows an option."""
    option = parameter.option
    panel = OPTIONS if option.is_argument or parameter.is_required else option.panel or GENERAL
    panel = panel if in_full else OPTIONS
    return panel if option.only is None or len(takes) < 2 else f"{panel}, {option.only} only"


def _rank_of_heading(heading: str) -> tuple[float, bool, bool]:
    """Return where a heading stands: what is for one kind of data behind what is for both."""
    panel, _, only = heading.partition(", ")
    rank = PANELS.index(panel) if panel in PANELS else 0.5
    return rank, only != "", only.startswith(Kind.IMAGES)


def _choices(names: tuple[str, ...]) -> Any:
    """Return an enumeration of names."""
    make: Any = StrEnum
    return make("Choices", list(names))


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _without_none(kind: Any) -> Any:
    """Return the type of an option that must be given."""
    (first, *_) = [each for each in get_args(kind) if each is not type(None)] or [kind]
    return first
