"""What of the training data a model file contains."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vae_anomaly_cli.console import counted


@dataclass(frozen=True)
class DataContents:
    """What a model file contains of the data that it was fitted on.

    Attributes
    ----------
    levels : dict of str to int
        By column, how many levels of text, or of numbers, can be read.
    hashed_levels : dict of str to int
        By column, how many levels of text are known by keyed hashes alone.
    hashed_cells : dict of str to int
        By column, how many odd cells that stand for missing ones are known so.
    groups : int
        Names of calibration groups that can be read.
    hashed_groups : int
        Those that are known by hashes.
    numbers : list of str
        Columns of which the file has location, scale and limits.
    sampled_numbers : dict of str to int
        By column, how many different numbers of calibration rows there are, sorted, without their rows.
    exemplars : int
        Training rows as places in the space of the latent variables.
    kernels : int
        Training rows whose cells can be read, because the score compares rows with them.
    fingerprints : bool
        Whether there are fingerprints of training rows.
    min_level_count : int or None
        Training rows that a text needs to be readable; None where all are.
    baseline_groups : int
        Groups of which the file has median and spread, without their names.
    """

    levels: dict[str, int]
    hashed_levels: dict[str, int]
    hashed_cells: dict[str, int]
    groups: int
    hashed_groups: int
    numbers: list[str]
    sampled_numbers: dict[str, int]
    exemplars: int
    kernels: int
    fingerprints: bool
    min_level_count: int | None
    baseline_groups: int = 0

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "DataContents":
        """Read it off a manifest."""
        columns, decisions = manifest["columns"], manifest["decisions"]
        calibration, rule = decisions["calibration"] or {}, manifest.get("level_rule")
        readable = {column["name"]: _n_readable(column) for column in columns}
        odd = {column["name"]: _n_odd((column.get("text_format") or {}).get("fields", {})) for column in columns}
        groups = list(calibration.get("groups", ()))
        n_exemplars = max(_n_exemplars(part) for part in (manifest, *manifest.get("windows", ())))
        return cls(
            {name: count for name, count in readable.items() if count},
            {column["name"]: column["hashed"]["n"] for column in columns if column.get("hashed")},
            {name: count for name, count in odd.items() if count},
            sum(group is not None for group in groups),
            groups.count(None),
            [column["name"] for column in columns if column["likelihood"] is not None and not column.get("levels")],
            {sample["name"]: sample["n_values"] for sample in decisions["columns"] if sample["n_values"]},
            n_exemplars,
            manifest.get("n_kernels", 0),
            decisions["n_trained"] > 0 or n_exemplars > 0,
            rule["min_count"] if rule else None,
            sum((manifest.get("baseline") or {"n_groups": ()})["n_groups"]),
        )

    def describe(self) -> dict[str, Any]:
        """Describe it for --json."""
        return asdict(self)

    def facts(self, item: str) -> dict[str, str]:
        """Describe it for people; an item is a row or an image."""
        return {
            "text in the file": self._text(),
            "numbers in the file": self._numbers(item),
            f"{item}s in the file": self._rows(item),
        }

    def _text(self) -> str:
        n_readable, n_hashed = sum(self.levels.values()), sum(self.hashed_levels.values())
        parts = []
        if n_readable:
            parts.append(f"{counted(n_readable, 'level')} of {counted(len(self.levels), 'column')} as they are")
        if n_hashed:
            why = f" (fewer than {self.min_level_count} rows, long, or pooled)" if n_readable else ""
            parts.append(f"{n_hashed:,} of {counted(len(self.hashed_levels), 'column')} as keyed hashes{why}")
        if self.hashed_cells:
            parts.append(f"{counted(sum(self.hashed_cells.values()), 'odd cell')} as keyed hashes")
        if self.groups or self.hashed_groups:
            n_groups = counted(self.groups + self.hashed_groups, "group")
            parts.append(f"names of {n_groups}, {self.hashed_groups:,} hashed")
        if self.min_level_count is None and n_readable:
            parts.append("rare ones too, as an earlier version wrote it")
        return "; ".join(parts) or "none"

    def _numbers(self, item: str) -> str:
        if item == "image":
            return "scales of the channels"
        parts = [f"scale and limits of {counted(len(self.numbers), 'column')}"] if self.numbers else []
        if self.sampled_numbers:
            most = max(self.sampled_numbers.values())
            parts.append(f"up to {most:,} sorted cells of {counted(len(self.sampled_numbers), 'column')}, for drift")
        if self.baseline_groups:
            parts.append(f"median and spread of {counted(self.baseline_groups, 'group')}, by hashes of their names")
        return "; ".join(parts) or "none"

    def _rows(self, item: str) -> str:
        parts = [f"{self.kernels:,} with all their cells, as kernels" if self.kernels else "none"]
        if self.exemplars:
            parts[0] += f"{',' if self.kernels else ', but'} {self.exemplars:,} as latent variables"
        if self.fingerprints:
            parts.append(f"64-bit fingerprints, which tell whether a {item} was in training")
        return "; ".join(parts)


def _n_exemplars(model: Mapping[str, Any]) -> int:
    """Training rows in the prior of a model: none where it is a mixture, whose components stand for many."""
    prior = model.get("prior")
    name = prior.get("name") if isinstance(prior, Mapping) else prior
    return 0 if name == "mixture" else int(model.get("n_components", model.get("n_exemplars", 0)))


def _n_readable(column: Mapping[str, Any]) -> int:
    texts = [*column.get("levels", ()), *column.get("rare", ())]
    return sum(text is not None for text in texts) - bool(column.get("rare"))


def _n_odd(fields: Mapping[str, Any]) -> int:
    hashed = fields.get("hashed_missing")
    return len(hashed["fields"]["digests"]) * 3 // 4 // 16 if hashed else 0
