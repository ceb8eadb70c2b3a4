"""What a run in parts leaves in its folder of results until all parts are done: who goes on knows what is there."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.output import places
from vae_anomaly_cli.output.partial_file import write_errors
from vae_anomaly_cli.output.places import Place

NAME = ".vae-anomaly"
DESCRIPTION = "run.json"
# Of parts: their scores, where all of them decide; what is left of a part that is scored, or scored and written.
SCORES = "scores"
Phase = Literal["scored", "written"]
SCORED: Final = "scored"
WRITTEN: Final = "written"
DIFFERENCES = {
    "version": "vae-anomaly is of another version",
    "model": "the model is another one",
    "rule": "the rule that flags rows is another one",
    "read as": "the format, the delimiter, or how the input is read is another one",
    "input": "the input files are others, or changed since",
    "output": "the columns of the output are others",
    "parts": "--part-rows is another number",
}


@dataclass(frozen=True)
class RunFolder:
    """A folder in the folder of results.

    Parameters
    ----------
    path : Path or Address
        Where it is.
    identity : str
        Of the run: a digest of what its results depend on.
    """

    path: Place
    identity: str

    @classmethod
    def open(cls, results: Place, known: Mapping[str, Any], *, resume: bool) -> "RunFolder":
        """Begin a run, or go on with one.

        Parameters
        ----------
        results : Path or Address
            The folder of results.
        known : mapping
            What the results depend on.
        resume : bool
            Whether to go on with what is there.

        Raises
        ------
        InputError
            If another run is there.
        CommandError
            If it cannot be written.
        """
        said = json.dumps(dict(known), sort_keys=True, indent=1)
        folder = cls(results / NAME, hashlib.sha256(said.encode()).hexdigest())
        before = folder.read(DESCRIPTION)
        if before is not None and resume:
            folder._check(before, json.loads(said))
        elif before is not None:
            cls.refuse(results)
        if before is None:
            folder.write(DESCRIPTION, said.encode())
        return folder

    @classmethod
    def is_there(cls, results: Place) -> bool:
        """Whether a run in parts is in a folder of results."""
        with write_errors(results):
            return places.is_there(results / NAME / DESCRIPTION)

    @classmethod
    def refuse(cls, results: Place) -> NoReturn:
        """Refuse to begin where a run is.

        Raises
        ------
        InputError
            Always.
        """
        with write_errors(results):
            names = places.names_in(results / NAME)
        n_done = len({name.partition(".")[0] for name in names if "." in name and name != DESCRIPTION})
        raise InputError(
            f"{results} holds a run in parts that is not ended ({n_done:,} parts are done). Go on with it by "
            f"--resume, name another folder, or delete {results / NAME}."
        )

    @property
    def is_begun(self) -> bool:
        """Whether anything is noted of a part."""
        return any(name != DESCRIPTION for name in places.names_in(self.path))

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None where there is none."""
        try:
            return places.read(self.path / name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CommandError(f"{self.path / name} cannot be read: {error.strerror or error}.") from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        path = self.path / name
        with write_errors(path):
            places.write(path, content)

    def remove(self, name: str) -> None:
        """Remove a file, where it is there."""
        with write_errors(self.path / name):
            places.delete(self.path / name)

    def forget(self) -> None:
        """Remove all of it: the run is over."""
        with contextlib.suppress(OSError):
            places.delete_folder(self.path)

    def _check(self, before: bytes, known: Mapping[str, Any]) -> None:
        try:
            found = json.loads(before)
            differences = [text for name, text in DIFFERENCES.items() if found.get(name) != known.get(name)]
        except (ValueError, AttributeError):
            differences = [f"{DESCRIPTION} is damaged"]
        if differences:
            raise InputError(
                f"{self.path.parent} holds another run in parts: {differences[0]}. Give the command that began it, "
                f"name another folder, or delete {self.path}."
            )
