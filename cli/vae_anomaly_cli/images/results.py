"""What is said of scored images: a table, a ranking, and how well the scores agree with folders."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.console import counted, one_line
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.images.inputs import HERE, ImageInput, as_text
from vae_anomaly_cli.roles import FLAG, SCORE

SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "folder": pa.string(),
        SCORE: pa.float64(),
        FLAG: pa.bool_(),
        "problem": pa.string(),
    }
)


@dataclass(frozen=True)
class ScoredFile:
    """One file, with its score or with what is wrong with it.

    Attributes
    ----------
    place : int
        In the input, from 0.
    path : str
        Its name under the root.
    folder : str
        The sub-folder that it lies in.
    score : float or None
        Higher is more anomalous, nats; None if it cannot be used.
    flag : bool or None
        Whether the score is above the threshold.
    problem : str or None
        Why it cannot be used.
    """

    place: int
    path: str
    folder: str
    score: float | None = None
    flag: bool | None = None
    problem: str | None = None

    @property
    def cell_scores(self) -> tuple[float, int]:
        """What the most anomalous has most of; of equal scores the first has."""
        assert self.score is not None
        return self.score, -self.place


def as_batch(files: list[ScoredFile]) -> pa.RecordBatch:
    """Files as rows of the output."""
    columns = [
        [file.path for file in files],
        [file.folder for file in files],
        [file.score for file in files],
        [file.flag for file in files],
        [file.problem for file in files],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def ranked_files(files: list[ScoredFile]) -> list[dict[str, Any]]:
    """Describe the most anomalous images, for --json."""
    return [
        {"rank": rank, "path": file.path, "folder": file.folder, SCORE: file.score, FLAG: file.flag}
        for rank, file in enumerate(files, start=1)
    ]


def show_ranked_files(files: list[ScoredFile]) -> None:
    """Draw the most anomalous images on standard output."""
    drawn = RichTable()
    drawn.add_column("rank", justify="right", style="dim")
    drawn.add_column("file", overflow="fold")
    drawn.add_column(SCORE, justify="right", no_wrap=True)
    drawn.add_column("anomaly", no_wrap=True)
    for rank, file in enumerate(files, start=1):
        style = "bold red" if file.flag else ""
        flag = Text("yes" if file.flag else "", style=style)
        drawn.add_row(f"{rank}", Text(one_line(file.path)), Text(f"{file.score:,.2f}", style=style), flag)
    Console(highlight=False).print(drawn)


class Folders:
    """Sub-folders with normal images, against which the others are measured.

    Parameters
    ----------
    good : tuple of str
        Their names; what lies below them is normal, too.
    source : ImageInput
        The images.

    Raises
    ------
    InputError
        If there is no such sub-folder.
    """

    def __init__(self, good: tuple[str, ...], source: ImageInput) -> None:
        self.good = tuple(as_text(PurePath(name)) for name in good)
        for given, name in zip(good, self.good, strict=True):
            if not any(_is_in(folder, name) for folder in source.subfolders):
                there = ", ".join(f"'{folder or HERE}'" for folder in source.subfolders[:5])
                more = ", ..." if len(source.subfolders) > 5 else ""
                raise InputError(
                    f"--good {given}: {source.name} has no such sub-folder with images; expected one of {there}{more}."
                )
        self._scores: list[float] = []
        self._is_anomaly: list[bool] = []

    def see(self, files: list[ScoredFile]) -> None:
        """Note the scores of files."""
        for file in files:
            if self.good and file.score is not None:
                self._scores.append(file.score)
                self._is_anomaly.append(not any(_is_in(file.folder, name) for name in self.good))

    def measure(self) -> dict[str, Any] | None:
        """AUROC and average precision, None each if all images are of one kind; None without normal sub-folders."""
        if not self.good:
            return None
        is_anomaly: npt.NDArray[np.bool_] = np.array(self._is_anomaly, dtype=bool)
        measures: dict[str, Any] = {
            "folders": list(self.good),
            "n_anomalies": int(is_anomaly.sum()),
            "n_images": len(is_anomaly),
            "auroc": None,
            "average_precision": None,
        }
        if 0 < is_anomaly.sum() < len(is_anomaly):
            from sklearn.metrics import average_precision_score, roc_auc_score

            scores = np.array(self._scores)
            measures["auroc"] = float(roc_auc_score(is_anomaly, scores))
            measures["average_precision"] = float(average_precision_score(is_anomaly, scores))
        return measures


def folder_line(measures: dict[str, Any]) -> str:
    """Say in one line how well the scores tell the folders apart."""
    names = ", ".join(f"'{name}'" for name in measures["folders"])
    if measures["auroc"] is None:
        return f"good {names}: all images are of one kind, nothing to measure"
    return (
        f"good {names} ({measures['n_anomalies']:,} of {counted(measures['n_images'], 'image')} in other folders): "
        f"AUROC {measures['auroc']:.3f}, average precision {measures['average_precision']:.3f}"
    )


def _is_in(folder: str, name: str) -> bool:
    """Whether a sub-folder is that of a name, or lies below it; the root holds only what lies in it directly."""
    return folder == "" if name == HERE else folder == name or folder.startswith(f"{name}/")
