"""Which columns of the input are features, what kind they are declared, and which go to the output."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vae_anomaly.batches import APPENDED, SPARE_NAMES, columns_of_earlier_run
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.labels import LabelColumn
from vae_anomaly_cli.options import InputOptions
from vae_anomaly_cli.sources import listed

if TYPE_CHECKING:
    from vae_anomaly import ColumnRoles
    from vae_anomaly.columns import Column, MissingValues

ROW, FILE = "row", "file"
GROUP_KINDS = ("categorical", "identifier")
NOTHING = "none"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")

# What a command does with known anomalies: measure by them where there are some, need them, or leave them alone.
LabelUse = Literal["measured", "needed", "unused"]


@dataclass(frozen=True)
class InputColumns:
    """The columns of an input, and which of them are no features.

    Attributes
    ----------
    source : str
        How messages call the input.
    names : tuple of str
        All columns.
    ids : tuple of str
        Columns that name the row; carried to the output.
    label : LabelColumn or None
        Known anomalies; used for measures of quality only.
    dropped : tuple of str
        Columns that are left out.
    remembered : tuple of str
        Columns that a saved model knows to be no features, whatever else is said of them.
    """

    source: str
    names: tuple[str, ...]
    ids: tuple[str, ...] = ()
    label: LabelColumn | None = None
    dropped: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()

    @property
    def label_names(self) -> list[str]:
        """The label column, if there is one."""
        return [] if self.label is None else [self.label.name]

    @property
    def not_features(self) -> set[str]:
        """All columns that options, or a saved model, say are no features."""
        return {*self.ids, *self.dropped, *self.label_names, *self.remembered}

    @property
    def roles(self) -> "ColumnRoles":
        """What a model file keeps of this."""
        from vae_anomaly import ColumnRoles

        label = self.label
        if label is None:
            return ColumnRoles(self.ids, self.dropped)
        return ColumnRoles(self.ids, self.dropped, label.name, label.anomalous, label.normal)

    @property
    def of_earlier_run(self) -> set[str]:
        """Columns that an earlier run of ours appended."""
        return columns_of_earlier_run(self.names)

    @property
    def kept(self) -> list[str]:
        """Columns that go to the output."""
        return list(self.ids) or self.of_input

    @property
    def of_input(self) -> list[str]:
        """All columns but those of an earlier run."""
        return [name for name in self.names if name not in self.of_earlier_run]

    def own_name(self, name: str) -> str:
        """Return what a column of ours is called in the output, where the input may keep one of that name.

        Raises
        ------
        InputError
            If both names are taken.
        """
        spare = SPARE_NAMES[name]
        if name not in self.kept:
            return name
        if spare not in self.kept:
            return spare
        raise InputError(
            f"{self.source} has columns '{name}' and '{spare}', and the output needs one of these names for its own. "
            "Rename one of them, or name the columns to keep with --id."
        )

    def with_roles(
        self, roles: "ColumnRoles", model: str, use: LabelUse, messages: Messages, folder: str | None = None
    ) -> "InputColumns":
        """Treat columns as at the fit of a saved model, where options do not say otherwise.

        Parameters
        ----------
        roles : ColumnRoles
            What the model remembers.
        model : str
            How messages call it.
        use : {"measured", "needed", "unused"}
            What the command does with known anomalies.
        messages : Messages
            Shows notes.
        folder : str, optional
            The column that holds the folders of images.

        Raises
        ------
        InputError
            If known anomalies are needed and there are none.
        """
        from vae_anomaly.data import match_names

        found = match_names(roles.names, self.names)
        _note_matched(self.source, found, messages)
        ids = self.ids or tuple(found[name] for name in roles.ids if name in found)
        if roles.ids and not ids:
            messages.note(f"{self.source} has no {listed(list(roles.ids))}, by which the model names rows.")
        label = self.label
        if label is None and roles.label in found and use != "unused":
            name = found[roles.label]
            label = LabelColumn(name, roles.anomalous, roles.normal, name == folder, by_model=use == "measured")
        if label is None and use == "needed":
            if roles.label is None:
                raise InputError(
                    f"--label is missing: {model} was fitted without one. Name the column of known anomalies."
                )
            raise InputError(
                f"{_lacks(self.source, roles.label, self.names)} {model} was fitted with --label {roles.label}; name "
                "another column of known anomalies with --label."
            )
        return replace(self, ids=ids, label=label, remembered=tuple(found.values()))

    def for_training(self, messages: Messages) -> list[str]:
        """Columns to fit on: all of which nothing else is said.

        Raises
        ------
        InputError
            If no column is left.
        """
        own = [name for name in self.names if name in self.of_earlier_run and name not in self.label_names]
        if own:
            messages.note(f"{self.source} holds {' and '.join(own)} from an earlier run: not used as features.")
        others = self.not_features | {*own}
        names = [name for name in self.names if name not in others and not PANDAS_INDEX.fullmatch(name)]
        if not names:
            raise InputError(
                f"{self.source} has no column left to learn from; name fewer with --id, --label and --drop."
            )
        return names

    def for_scoring(
        self,
        columns: "tuple[Column, ...]",
        messages: Messages,
        group: str | None = None,
        compared_by: Sequence[str] = (),
    ) -> Mapping[str, str]:
        """Columns that a model is to see, of those that it was fitted on, and those that it calibrates or compares by.

        Other columns that the model set aside when it was fitted need not be there.

        Returns
        -------
        mapping of str to str
            The name in the input of each column of the model: another one where case or blanks around it differ.

        Raises
        ------
        InputError
            If a column that the model uses is missing, or is no feature now.
        """
        from vae_anomaly.data import close_name, match_names

        others = {group, *compared_by}
        used = [column.name for column in columns if column.is_used or column.name in others]
        free = [name for name in self.names if name not in self.remembered]
        found = match_names((column.name for column in columns), free)
        missing = [name for name in used if name not in found]
        if missing:
            unnamed = "" if set(used) - set(missing) else " None of the model's columns is there."
            close = close_name(missing[0], (name for name in free if name not in found.values()))
            meant = "" if close is None else f" Did you mean '{close}'? Call it '{missing[0]}' then."
            raise InputError(
                f"{self.source} lacks {listed(missing)} of the {len(used)} columns that the model "
                f"uses.{unnamed}{meant} Add what is missing (empty cells do), or fit a model without them."
            )
        _note_matched(self.source, {name: found[name] for name in used}, messages)
        for name in (found[name] for name in used):
            if name in self.label_names or name in self.dropped:
                option = "--label" if name in self.label_names else "--drop"
                raise InputError(
                    f"{option} {name}: the model uses this column as a feature. Fit a model with "
                    f"{option} {name} to leave it out."
                )
        known = {*found.values()} | self.not_features | self.of_earlier_run
        extra = [name for name in self.names if name not in known and not PANDAS_INDEX.fullmatch(name)]
        if extra:
            messages.warning(f"{self.source} has {listed(extra)} that the model does not know: ignored.")
        return {name: found[name] for name in used}

    def declared_kinds(self, given: Sequence[str]) -> dict[str, str]:
        """Read what the user says columns are, `--column NAME=KIND`; a name may hold '=' itself.

        Raises
        ------
        InputError
            If one names no feature or no kind, or names a column again.
        """
        declared: dict[str, str] = {}
        for text in given:
            name, kind = _name_and_kind(text)
            if name not in self.names:
                raise InputError(f"--column {text}: {_lacks(self.source, name, self.names)}")
            if name in declared:
                raise InputError(f"--column {text}: '{name}' is already declared {declared[name]}; say it once.")
            option = self.option_of(name)
            if option is not None:
                raise InputError(f"--column {text}: {option} says that '{name}' is no feature; leave one of them out.")
            if name in APPENDED:
                raise InputError(f"--column {text}: '{name}' is of an earlier run and no feature; leave it out.")
            declared[name] = kind
        return declared

    def missing_values(self, given: Sequence[str]) -> "MissingValues":
        """Read what stands for missing, `--missing-values VALUE` or `--missing-values NAME=VALUE`; "none" keeps all.

        Raises
        ------
        InputError
            If one names no column, or "none" stands beside other values.
        """
        everywhere: list[str] = []
        by_name: dict[str, list[str]] = {}
        for text in given:
            name, sign, value = text.rpartition("=")
            if not sign:
                everywhere.append(text)
            elif name in self.names:
                by_name.setdefault(name, []).append(value)
            else:
                raise InputError(f"--missing-values {text}: {_lacks(self.source, name, self.names)}")
        for values in (everywhere, *by_name.values()):
            if NOTHING in values and len(values) > 1:
                raise InputError(
                    f"--missing-values {NOTHING} keeps all values, and others are named; leave one of them out."
                )
        every = _codes(everywhere) if everywhere else None
        if not by_name:
            return every
        return {name: _codes(by_name[name]) if name in by_name else every for name in self.names}

    def declared_for_training(self, given: Sequence[str], group: str | None) -> dict[str, str]:
        """Read what the user says columns are; one that rows are calibrated by is categories, or only that.

        Raises
        ------
        InputError
            If one of them is no feature, or is said to be something else.
        """
        declared = self.declared_kinds(given)
        if group is None:
            return declared
        if group not in self.names:
            raise InputError(f"--calibration-groups {group}: {_lacks(self.source, group, self.names)}")
        option = self.option_of(group)
        if option is not None or group in self.of_earlier_run:
            why = f"{option} says that it is none" if option is not None else "it is of an earlier run"
            remedy = f"To group by it alone, give --column {group}=identifier in its place."
            raise InputError(f"--calibration-groups {group}: it takes a column of the model, and {why}. {remedy}")
        if declared.setdefault(group, "categorical") not in GROUP_KINDS:
            raise InputError(
                f"--column {group}={declared[group]}: --calibration-groups reads the column as categories; expected "
                f"{' or '.join(GROUP_KINDS)}."
            )
        return declared

    def option_of(self, name: str) -> str | None:
        """Return the option that says that a column is no feature, if one does."""
        if name in self.label_names:
            return "--label"
        return "--id" if name in self.ids else "--drop" if name in self.dropped else None


def baseline_for_training(
    columns: InputColumns, by: Sequence[str], time: str | None
) -> dict[str, tuple[str, ...] | str]:
    """Columns that numbers are compared by, as parameters of a detector; none of them where none is given.

    Raises
    ------
    InputError
        If one is not there, is no feature, or is named twice.
    """
    keys = [name for text in by for name in ([text] if text in columns.names else map(str.strip, text.split(",")))]
    named = [("--baseline-by", name) for name in keys] + ([] if time is None else [("--baseline-time", time)])
    for given, name in named:
        if name not in columns.names:
            raise InputError(f"{given} {name}: {_lacks(columns.source, name, columns.names)}")
        option = columns.option_of(name)
        if option is not None or name in columns.of_earlier_run:
            why = f"{option} says that it is none" if option is not None else "it is of an earlier run"
            remedy = f" To compare by it alone, give --column {name}=identifier in its place."
            raise InputError(
                f"{given} {name}: it takes a column of the model, and {why}."
                f"{remedy if given == '--baseline-by' else ''}"
            )
        if sum(name == other for _, other in named) > 1:
            raise InputError(f"{given} {name}: the column is named more than once; name each once.")
    found: dict[str, tuple[str, ...] | str] = {"baseline_by": tuple(keys)} if keys else {}
    return found if time is None else found | {"baseline_time": time}


def find_columns(source: str, names: Sequence[str], given: InputOptions, folder: str | None = None) -> InputColumns:
    """Find the columns that options name.

    Parameters
    ----------
    source : str
        How messages call the input.
    names : sequence of str
        Its columns.
    given : InputOptions
        What the user said of them.
    folder : str, optional
        The column that holds the folders of images; these have no features among their columns.

    Raises
    ------
    InputError
        If the input has no such column.
    """
    ids = _named(source, names, "--id", given.id)
    for name in ids:
        if name in APPENDED:
            raise InputError(f"--id {name}: the output has a column of that name; choose another.")
    label = None
    if given.label is not None:
        (name, *_) = _named(source, names, "--label", (given.label,))
        label = LabelColumn(name, given.anomalous, given.normal, name == folder)
        if name in ids and folder is None:
            raise InputError(f"--label {name} is also named by --id; a column is one or the other.")
    return InputColumns(source, tuple(names), ids, label, _named(source, names, "--drop", given.drop))


def _codes(values: list[str]) -> "MissingValues":
    return False if values == [NOTHING] else values


def _named(source: str, names: Sequence[str], option: str, given: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    for text in given:
        found += [text] if text in names else [part.strip() for part in text.split(",")]
    for name in found:
        if name not in names:
            raise InputError(f"{option} {name}: {source} has no such column. {_close_name(name, names)}")
    return tuple(dict.fromkeys(found))


def _lacks(source: str, name: str, names: Sequence[str]) -> str:
    return f"{source} has no column '{name}'. {_close_name(name, names)}"


def _close_name(name: str, names: Sequence[str]) -> str:
    from vae_anomaly.data import close_name

    close = close_name(name, names)
    return f"Did you mean '{close}'?" if close else f"It has {listed(list(names))}."


def _note_matched(source: str, found: Mapping[str, str], messages: Messages) -> None:
    """Say which columns have other names than in the model."""
    others = {name: there for name, there in found.items() if name != there}
    if others:
        messages.note(f"{source}: {listed(list(others.values()))} taken for {listed(list(others))} of the model.")


def _name_and_kind(text: str) -> tuple[str, str]:
    # Loads PyTorch, and so only where a column is declared.
    from vae_anomaly.columns import DECLARABLE

    name, sign, kind = text.rpartition("=")
    if not sign or not name:
        raise InputError(f"--column {text}: expected NAME=KIND, like zip=categorical.")
    if kind not in DECLARABLE:
        raise InputError(f"--column {text}: '{kind}' is no kind; expected one of {', '.join(DECLARABLE)}.")
    return name, kind
