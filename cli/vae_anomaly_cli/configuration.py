"""`--config FILE`: options from a file in TOML, where the command line does not give them."""

import contextlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_anomaly_cli.errors import InputError

# What TOML calls its types.
SPOKEN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
MAX_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Setting:
    """What a file may say of an option.

    Attributes
    ----------
    name : str
        Of its field.
    type : type
        Of a value: bool, int, float or str.
    repeats : bool
        Whether it takes a list.
    choices : tuple of str
        The values that it may have; all where there are none.
    bounds : (int or None, int or None)
        The least and the largest number.
    is_path : bool
        Whether it names a file, so that a number is none.
    """

    name: str
    type: type
    repeats: bool = False
    choices: tuple[str, ...] = ()
    bounds: tuple[int | None, int | None] = (None, None)
    is_path: bool = False

    def read(self, value: Any, where: str) -> Any:
        """Return a value as the command line takes it.

        Raises
        ------
        InputError
            If it is of another type, or out of bounds.
        """
        if not self.repeats:
            return self._read_one(value, where)
        return [self._read_one(each, where) for each in (value if isinstance(value, list) else [value])]

    def _read_one(self, value: Any, where: str) -> Any:
        read = self._typed(value)
        if read is None:
            expected = f"{SPOKEN[self.type]}{', or a list of these' if self.repeats else ''}"
            raise InputError(f"{where} = {_shown(value)}: expected {expected}.")
        if self.choices and read not in self.choices:
            raise InputError(f"{where} = {_shown(value)}: expected one of {', '.join(self.choices)}.")
        least, most = self.bounds
        if (least is not None and read < least) or (most is not None and read > most):
            wanted = [*([] if least is None else [f"at least {least}"]), *([] if most is None else [f"at most {most}"])]
            raise InputError(f"{where} = {_shown(value)}: expected a number of {' and '.join(wanted)}.")
        return read

    def _typed(self, value: Any) -> Any:
        """Return a value of the type; None if it is of another one."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.type is str:
            # As on the command line, where all is text: a share or 'auto', a line or 'none'.
            return str(value) if isinstance(value, str) or (is_number and not self.is_path) else None
        if self.type is float:
            return float(value) if is_number else None
        return value if type(value) is self.type else None


# By command, the options of all, by their long names without the dashes in front.
Settings = Mapping[str, Mapping[str, Setting]]


@dataclass(frozen=True)
class Configuration:
    """What a file says of the options of a command.

    Attributes
    ----------
    values : dict of str to object
        By field.
    for_all : frozenset of str
        The fields that the file sets for all commands, so that they hold where they can be used.
    """

    values: dict[str, Any]
    for_all: frozenset[str]


def read_configuration(path: str, command: str, settings: Settings) -> Configuration:
    """Read what a file says of the options of a command: at its top for all commands, in a table for one.

    Parameters
    ----------
    path : str
        The file.
    command : str
        The command that runs.
    settings : mapping of str to mapping of str to Setting
        The options of all commands.

    Returns
    -------
    Configuration
        The table of the command goes before what holds for all.

    Raises
    ------
    InputError
        If it is no such file, or says what no option can be.
    """
    content = _content_of(path)
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    for table, values in tables.items():
        if table not in settings:
            raise InputError(f"--config {path}: [{table}] is no command.{_meant(table, settings, '[{}]')}")
        for key in values:
            _check_option(path, table, key, settings)
    for_all = {key: value for key, value in content.items() if key not in tables}
    for key, value in for_all.items():
        _check_for_all(path, key, value, settings)
    found = _values(f"--config {path}: ", for_all, settings[command])
    own = _values(f"--config {path}: [{command}] ", tables.get(command, {}), settings[command])
    return Configuration(found | own, frozenset(found) - frozenset(own))


def _content_of(path: str) -> dict[str, Any]:
    try:
        # Editors of Windows put a mark in front.
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise InputError(f"--config {path} is no file of options: it nests too deeply.") from error
    except FileNotFoundError as error:
        raise InputError(f"--config {path} does not exist; expected a file of options in TOML.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, tomllib.TOMLDecodeError | UnicodeDecodeError):
            raise InputError(f"--config {path} is no TOML: {error}.") from error
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"--config {path} cannot be read: {why}.") from error


def _check_option(path: str, table: str, key: str, settings: Settings) -> None:
    """Refuse a key of a table that is no option of its command."""
    name = _name_of(key)
    if name in settings[table]:
        return
    said = f"--config {path}: [{table}] {key} is no option of vae-anomaly {table}"
    owners = [command for command, options in settings.items() if name in options]
    if owners:
        raise InputError(f"{said}, but of {', '.join(owners)}. Move it to [{owners[0]}], or to the top of the file.")
    raise InputError(f"{said}.{_meant(name, settings[table])}")


def _check_for_all(path: str, key: str, value: Any, settings: Settings) -> None:
    """Refuse a key for all commands that none has, and a value that is none."""
    name = _name_of(key)
    meant = [options[name] for options in settings.values() if name in options]
    if not meant:
        every = {each for options in settings.values() for each in options}
        raise InputError(f"--config {path}: {key} is no option of any command.{_meant(name, sorted(every))}")
    for option in meant[:-1]:
        # What one command refuses may be meant for another.
        with contextlib.suppress(InputError):
            option.read(value, "")
            return
    meant[-1].read(value, f"--config {path}: {key}")


def _values(where: str, given: Mapping[str, Any], options: Mapping[str, Setting]) -> dict[str, Any]:
    """Read what is said of the options of one command."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        option = options.get(_name_of(key))
        if option is None:
            continue
        if option.name in found:
            raise InputError(f"{where}{key} is there twice, with dashes and with underscores. Leave one out.")
        found[option.name] = option.read(value, f"{where}{key}")
    return found


def _name_of(key: str) -> str:
    return key.replace("_", "-")


def _meant(name: str, names: Iterable[str], form: str = "{}") -> str:
    """Say which name may be meant."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(names), 1)
    return f" Did you mean {form.format(close[0])}?" if close else " Leave it out; --help-all lists what there is."


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."
