"""Scores and p-values that are done: kept beside an output that is not, for --resume, or for a second pass."""

import contextlib
import hashlib
import importlib.metadata
import json
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from vae_anomaly_cli.console import counted
from vae_anomaly_cli.errors import CommandError, InputError, Interrupted
from vae_anomaly_cli.models import RowScores
from vae_anomaly_cli.output.partial_file import remove_parts, write_errors
from vae_anomaly_cli.output.targets import Target
from vae_anomaly_cli.sources import Source, without_links

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAGIC = b"vae-anomaly scores 2\n"
# Kind, number (of rows, or of the file that is finished), and the sum over both and what was found out about the rows.
RECORD = struct.Struct("<cII")
SCORES, FINISHED = b"s", b"f"
# Larger ones are damage, and not worth the memory to find that out.
MAX_NUMBER = 1 << 26
HASHED_BYTES = 1 << 20
# A score and a p-value.
ROW_BYTES = 16


class KeptRows(Protocol):
    """What was found out about rows, in the order of the input.

    Attributes
    ----------
    n_rows : int
        Rows that can be taken.
    """

    @property
    def n_rows(self) -> int: ...

    def take(self, n: int, /) -> RowScores:
        """Return the next rows, at most `n`."""

    def append(self, judged: RowScores, /) -> None:
        """Keep rows that follow."""

    def rewind(self) -> None:
        """Have all rows be taken again, from the first on."""


class TemporaryRows:
    """Rows in a temporary file, which is gone when it is closed."""

    def __init__(self) -> None:
        self.path = Path(tempfile.gettempdir())
        self.n_rows = self.n_kept = 0
        with write_errors(self.path):
            self._stream = tempfile.TemporaryFile(prefix="vae-anomaly-")  # noqa: SIM115 - closed by whoever opened it

    def take(self, n: int, /) -> RowScores:
        """Return the next rows, at most `n`."""
        n = min(n, self.n_rows)
        self.n_rows -= n
        return _judged(self._stream.read(ROW_BYTES * n))

    def append(self, judged: RowScores, /) -> None:
        """Keep rows that follow."""
        with write_errors(self.path):
            self._stream.write(_bytes(judged))
        self.n_kept += len(judged)

    def rewind(self) -> None:
        """Have all rows be taken again, from the first on."""
        with write_errors(self.path):
            self._stream.seek(0)
        self.n_rows = self.n_kept

    def close(self) -> None:
        """Drop them."""
        with contextlib.suppress(OSError):
            self._stream.close()


def journal_path(target: Target) -> Path:
    """Where the scores stand while a target is written: hidden, beside it or in the directory."""
    assert target.path is not None
    if target.is_directory:
        return target.path / ".vae-anomaly.scores"
    final = without_links(target.path)
    return final.with_name(f".{final.name}.scores")


def identity(model: str, source: Source, rule: Mapping[str, Any]) -> dict[str, Any]:
    """What results depend on: the model, what else flags rows, the files as they are and are read, and our version."""
    digest = hashlib.sha256()
    with Path(model).open("rb") as stream:
        for part in iter(lambda: stream.read(HASHED_BYTES), b""):
            digest.update(part)
    known = source.identity()
    assert known is not None
    return {
        "version": importlib.metadata.version("vae-anomaly"),
        "model": digest.hexdigest(),
        "rule": dict(rule),
    } | known


@contextlib.contextmanager
def kept_scores(target: Target, known: dict[str, Any], noun: str, *, resume: bool) -> Iterator["Journal"]:
    """Keep scores while a target is written, and afterwards if it could not be, but for faults of the input.

    Raises
    ------
    CommandError, Interrupted
        What ended the work, with a word on how to go on.
    """
    if target.is_directory and target.path is not None:
        with write_errors(target.path):
            target.path.mkdir(parents=True, exist_ok=True)
    journal = Journal(journal_path(target), known, noun, resume=resume)
    if resume:
        remove_parts(target)
    keep = True
    try:
        yield journal
        keep = False
    except InputError:
        keep = False
        raise
    except CommandError as error:
        raise CommandError(journal.hint(str(error))) from error
    except KeyboardInterrupt as stop:
        raise Interrupted(journal.hint("interrupted.")) from stop
    finally:
        journal.close(delete=not keep or not journal.n_kept)


class Journal:
    """An append-only file of scores and p-values, row by row in the order of the input.

    Records carry a checksum; what follows the last whole one is ignored, as a crash may leave it.

    Parameters
    ----------
    path : Path
        Where it stands.
    known : dict
        What the scores depend on.
    noun : str
        What a row is: ``row`` or ``image``.
    resume : bool
        Whether to go on with what an interrupted run left; without anything left it just begins.

    Attributes
    ----------
    n_rows : int
        Rows from an interrupted run that have not been taken yet.
    n_kept : int
        All rows whose scores are in the file.
    finished : set of int
        Files of the input whose results are finished.
    """

    def __init__(self, path: Path, known: dict[str, Any], noun: str, *, resume: bool) -> None:
        self.path, self.noun = path, noun
        self.n_rows = 0
        self.finished: set[int] = set()
        self._ahead = RowScores.nothing()
        with contextlib.ExitStack() as opening, write_errors(path):
            self._stream = opening.enter_context(path.open("a+b"))
            _lock(self._stream, path)
            end = self._inspect(known) if resume else 0
            self.n_kept = self.n_rows
            self._stream.truncate(end)
            if not end:
                self._stream.write(MAGIC + json.dumps(known).encode() + b"\n")
                self._stream.flush()
            self._stored = opening.enter_context(path.open("rb"))
            self._records = _records(self._stored)
            opening.pop_all()

    def take(self, n: int, /) -> RowScores:
        """Return the next rows of the interrupted run, or of the first pass, at most `n`."""
        n = min(n, self.n_rows)
        while len(self._ahead) < n:
            kind, _, content = next(self._records)
            if kind == SCORES:
                self._ahead = RowScores.joined(self._ahead, _judged(content))
        taken, self._ahead = self._ahead.take(slice(n)), self._ahead.take(slice(n, None))
        self.n_rows -= n
        return taken

    def append(self, judged: RowScores, /) -> None:
        """Keep the rows that follow."""
        self._write(SCORES, len(judged), _bytes(judged))
        self.n_kept += len(judged)

    def rewind(self) -> None:
        """Have all rows be taken again, from the first on."""
        self._ahead = RowScores.nothing()
        self._records = _records(self._stored)
        self.n_rows = self.n_kept

    def finish(self, file: int) -> None:
        """Note that the result of one file of the input is finished."""
        self._write(FINISHED, file, b"")

    def forget(self) -> None:
        """Keep nothing of this run."""
        self.n_kept = 0

    def hint(self, text: str) -> str:
        """Say how to go on, where there is something to go on with."""
        if not self.n_kept:
            return text
        kept = counted(self.n_kept, self.noun)
        return f"{text} The scores of {kept} are kept: the same command with --resume goes on from there."

    def close(self, *, delete: bool) -> None:
        """Close, and delete when the work is done."""
        self._stored.close()
        # What a full disk did not take is lost; why the work ended has been said.
        with contextlib.suppress(OSError):
            self._stream.close()
        if delete:
            self.path.unlink(missing_ok=True)

    def _write(self, kind: bytes, number: int, content: bytes) -> None:
        with write_errors(self.path):
            self._stream.write(RECORD.pack(kind, number, _checksum(kind, number, content)) + content)
            self._stream.flush()

    def _inspect(self, known: dict[str, Any]) -> int:
        """Compare the header, count what is there, and return where the last whole record ends; 0 without a header."""
        with write_errors(self.path), self.path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                return 0
            try:
                before = json.loads(stream.readline())
            except ValueError:
                return 0
            if not isinstance(before, dict):
                return 0
            self._check(before, json.loads(json.dumps(known)))
            stream.seek(0)
            end = 0
            for kind, number, _ in _records(stream):
                if kind == SCORES:
                    self.n_rows += number
                else:
                    self.finished.add(number)
                end = stream.tell()
        return end

    def _check(self, before: dict[str, Any], known: dict[str, Any]) -> None:
        said = {
            "version": "vae-anomaly is of another version than in",
            "model": "the model is not that of",
            "rule": "the rule that flags rows is not that of",
            "read as": "the format or the delimiter is not that of",
            "input": "the input files are not those of, or changed since,",
        }
        for what, text in said.items():
            if before.get(what) != known[what]:
                raise InputError(f"--resume: {text} the interrupted run. Score again without --resume.")


def _lock(stream: BinaryIO, path: Path) -> None:
    """Refuse to write where another process does; the lock goes with the stream, or with a process that is killed."""
    if fcntl is None:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CommandError(f"{path} is in use: another run writes the same output. Wait for its end.") from error
    except OSError:
        # Not every file system knows locks.
        return


def _records(stream: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield whole records after the header, up to the first that is not."""
    stream.seek(len(MAGIC))
    stream.readline()
    while len(head := stream.read(RECORD.size)) == RECORD.size:
        kind, number, checksum = RECORD.unpack(head)
        if number > MAX_NUMBER:
            return
        content = stream.read(ROW_BYTES * number) if kind == SCORES else b""
        if _checksum(kind, number, content) != checksum or (kind == SCORES and len(content) < ROW_BYTES * number):
            return
        yield kind, number, content


def _checksum(kind: bytes, number: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(kind + number.to_bytes(4, "little")))


def _bytes(judged: RowScores) -> bytes:
    return np.column_stack([judged.scores, judged.p_values]).astype("<f8").tobytes()


def _judged(content: bytes) -> RowScores:
    rows = np.frombuffer(content, dtype="<f8").reshape(-1, 2)
    return RowScores(rows[:, 0].copy(), rows[:, 1].copy())
