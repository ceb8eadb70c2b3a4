"""Scores and p-values that are done: kept beside an output that is not, for --resume, or for a second pass."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import secrets
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from vae_anomaly.batches import RowScores
from vae_anomaly.files import make_folder, remove_noted_parts, remove_stale_parts
from vae_anomaly_cli.console import counted
from vae_anomaly_cli.errors import CommandError, InputChanged, InputError, Interrupted, Terminated
from vae_anomaly_cli.models import located
from vae_anomaly_cli.output.partial_file import write_errors
from vae_anomaly_cli.output.targets import Target
from vae_anomaly_cli.sources import Source, scheme_of, without_links

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

KIND = b"vae-anomaly scores "
MAGIC = KIND + b"3\n"
DIGEST_BYTES = 16
# Kind, number (of rows, of the file that is finished, or of the bytes of a name), and the digest of the chain so far.
RECORD = struct.Struct(f"<cI{DIGEST_BYTES}s")
SCORES, FINISHED, PART = b"s", b"f", b"p"
# Larger ones are damage, and not worth the memory to find that out.
MAX_NUMBER, MAX_HEADER_BYTES = 1 << 26, 1 << 28
HASHED_BYTES = 1 << 20
# A score and a p-value.
ROW_BYTES = 16
AGAIN = "Score again without --resume."


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
    assert isinstance(target.path, Path)
    if target.is_directory:
        return target.path / ".vae-anomaly.scores"
    final = without_links(target.path)
    return final.with_name(f".{final.name}.scores")


def identity(model: str, source: Source, rule: Mapping[str, Any], *, resizes: bool = False) -> dict[str, Any]:
    """What results depend on: the model, what else flags rows, the files as they are and are read, and our version."""
    known = source.identity()
    assert known is not None
    if resizes:
        known["read as"] = [*known["read as"], "resized"]
    return {
        "version": importlib.metadata.version("vae-anomaly"),
        "model": _digest_of(model),
        "rule": dict(rule),
    } | known


def _digest_of(model: str) -> str:
    if scheme_of(model) is not None:
        from vae_anomaly import read_manifest

        return str(read_manifest(located(model))["integrity"]["sha256"])
    digest = hashlib.sha256()
    with Path(model).open("rb") as stream:
        for part in iter(lambda: stream.read(HASHED_BYTES), b""):
            digest.update(part)
    return digest.hexdigest()


@contextlib.contextmanager
def kept_scores(target: Target, known: dict[str, Any], noun: str, *, resume: bool) -> Iterator["Journal"]:
    """Keep scores while a target is written, and afterwards if it could not be, but for faults of the input.

    Raises
    ------
    CommandError, Interrupted, Terminated
        What ended the work, with a word on how to go on.
    """
    if target.is_directory and isinstance(target.path, Path):
        with write_errors(target.path):
            make_folder(target.path)
    journal = Journal(journal_path(target), known, noun, resume=resume)
    journal.remove_parts(target, resume=resume)
    keep = True
    try:
        yield journal
        keep = False
    except (InputError, InputChanged):
        keep = False
        raise
    except CommandError as error:
        raise CommandError(journal.hint(str(error))) from error
    except KeyboardInterrupt as stop:
        raise Interrupted(journal.hint("interrupted.")) from stop
    except Terminated as stop:
        raise Terminated(stop.number, journal.hint(str(stop))) from stop
    finally:
        journal.close(delete=not keep or not journal.n_kept)


class Journal:
    """An append-only file of scores and p-values, row by row in the order of the input.

    The digest of each record covers all that stands before it: what follows the last record that is as it was written
    is ignored, be it cut, changed, repeated, moved or of another run.

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
    own_parts : set of str
        Names of the unfinished files that this run and earlier ones began, relative to the folder of the journal.
    """

    def __init__(self, path: Path, known: dict[str, Any], noun: str, *, resume: bool) -> None:
        self.path, self.noun = path, noun
        self.n_rows = 0
        self.finished: set[int] = set()
        self.own_parts: set[str] = set()
        self._ahead = RowScores.nothing()
        with contextlib.ExitStack() as opening, write_errors(path):
            self._stream = opening.enter_context(_open_locked(path))
            end = self._inspect(json.loads(json.dumps(known)), resume=resume)
            self.n_kept = self.n_rows
            self._stream.truncate(end)
            if not end:
                self._begin(known)
            self._stored = opening.enter_context(path.open("rb"))
            self._records = _records(self._stored, self._first)
            opening.pop_all()

    def take(self, n: int, /) -> RowScores:
        """Return the next rows of the interrupted run, or of the first pass, at most `n`."""
        n = min(n, self.n_rows)
        while len(self._ahead) < n:
            record = next(self._records, None)
            if record is None:
                raise CommandError(f"{self.path} was changed while it was in use. {AGAIN}")
            if record.kind == SCORES:
                self._ahead = RowScores.joined(self._ahead, _judged(record.content))
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
        self._records = _records(self._stored, self._first)
        self.n_rows = self.n_kept

    def finish(self, file: int) -> None:
        """Note that the result of one file of the input is finished."""
        self._write(FINISHED, file, b"")

    def note_part(self, name: str) -> None:
        """Note the name of an unfinished file before it is begun, so that a later run knows it for one of ours.

        Parameters
        ----------
        name : str
            Relative to the folder of the journal.
        """
        content = name.encode("utf-8", "surrogateescape")
        self._write(PART, len(content), content)
        self.own_parts.add(name)

    def note_file(self, part: Path) -> None:
        """Note where an unfinished file will be, if that is beside the journal or below it."""
        folder = Path(os.path.realpath(self.path.parent))
        if part.is_relative_to(folder):
            self.note_part(str(part.relative_to(folder)))

    def remove_parts(self, target: Target, *, resume: bool) -> None:
        """Remove the unfinished files of runs that were killed.

        With `resume` they are those that this journal names; without, also what only its name gives away.
        """
        remove_noted_parts(Path(os.path.realpath(self.path.parent)), self.own_parts)
        if not resume and isinstance(target.path, Path) and not target.is_directory:
            remove_stale_parts([target.path])

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
        if delete and fcntl is not None:
            # Before the lock goes: afterwards it could be the file of another run.
            self.path.unlink(missing_ok=True)
        # What a full disk did not take is lost; why the work ended has been said.
        with contextlib.suppress(OSError):
            self._stream.close()
        if delete and fcntl is None:
            self.path.unlink(missing_ok=True)

    def _begin(self, known: dict[str, Any]) -> None:
        # The number of the run is in every digest: records of another run do not fit.
        content = MAGIC + json.dumps({"run": secrets.token_hex(8)} | known).encode() + b"\n"
        self._first = self._last = _digest(b"", content)
        self._stream.write(content + self._first.hex().encode() + b"\n")
        self._stream.flush()
        for name in sorted(self.own_parts):
            self.note_part(name)

    def _write(self, kind: bytes, number: int, content: bytes) -> None:
        digest = _digest(self._last, kind + number.to_bytes(4, "little"), content)
        with write_errors(self.path):
            self._stream.write(RECORD.pack(kind, number, digest) + content)
            self._stream.flush()
        self._last = digest

    def _inspect(self, known: dict[str, Any], *, resume: bool) -> int:
        """Compare the header, count what is there, and return where the last whole record ends; 0 to begin anew."""
        with self.path.open("rb") as stream:
            try:
                header = _header(stream, self.path)
            except InputError:
                if resume or not _is_ours(stream):
                    raise
                return 0
            if header is None:
                return 0
            before, self._first = header
            if resume:
                _check(before, known)
            end, self._last = stream.tell(), self._first
            for record in _records(stream, self._first):
                if record.kind == PART:
                    self.own_parts.add(record.content.decode("utf-8", "surrogateescape"))
                elif record.kind == FINISHED and resume:
                    self.finished.add(record.number)
                elif resume:
                    self.n_rows += record.number
                end, self._last = stream.tell(), record.digest
        return end if resume else 0


@dataclass(frozen=True)
class _Record:
    kind: bytes
    number: int
    digest: bytes
    content: bytes


def _check(before: dict[str, Any], known: dict[str, Any]) -> None:
    """Refuse what a run left that is not the same run."""
    said = {
        "version": "vae-anomaly is of another version than in",
        "model": "the model is not that of",
        "rule": "the rule that flags rows is not that of",
        "read as": "the format, the delimiter or --image-shape is not that of",
        "input": "the input files are not those of, or changed since,",
    }
    for what, text in said.items():
        if before.get(what) != known[what]:
            raise InputError(f"--resume: {text} the interrupted run. {AGAIN}")


def _open_locked(path: Path) -> BinaryIO:
    """Open a journal that no other process writes; its scores are nobody else's to read."""
    # A link is not followed: whoever put it there would choose what is overwritten.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        stream = os.fdopen(os.open(path, flags, 0o600), "a+b")
        try:
            _lock(stream, path)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                    return stream
        except BaseException:
            stream.close()
            raise
        # The other run ended between the two: its file has no name any more.
        stream.close()


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


def _is_ours(stream: BinaryIO) -> bool:
    stream.seek(0)
    return stream.read(len(KIND)) == KIND


def _header(stream: BinaryIO, path: Path) -> tuple[dict[str, Any], bytes] | None:
    """Read what scores depend on, and the digest of that; None where a run was killed before it had written all of it.

    Raises
    ------
    InputError
        If there is something else.
    """
    begin = stream.read(len(MAGIC))
    if begin != MAGIC:
        if MAGIC.startswith(begin):
            return None
        if begin.startswith(KIND):
            raise InputError(f"--resume: {path} was left by another version of vae-anomaly. {AGAIN}")
        raise InputError(f"{path} is not a file of vae-anomaly, which keeps scores under that name. Move it away.")
    known = stream.readline(MAX_HEADER_BYTES)
    written = stream.readline(2 * DIGEST_BYTES + 1)
    if not stream.read(1) and not (known.endswith(b"\n") and written.endswith(b"\n")):
        return None
    stream.seek(len(MAGIC) + len(known) + len(written))
    digest = _digest(b"", MAGIC + known)
    if written != digest.hex().encode() + b"\n":
        raise InputError(f"--resume: {path} is damaged at its beginning. {AGAIN}")
    before: dict[str, Any] = json.loads(known)
    return before, digest


def _records(stream: BinaryIO, chain: bytes) -> Iterator[_Record]:
    """Yield the records that follow the header, up to the first that is not as it was written."""
    stream.seek(len(MAGIC))
    stream.readline()
    stream.readline()
    while len(head := stream.read(RECORD.size)) == RECORD.size:
        kind, number, digest = RECORD.unpack(head)
        if kind not in (SCORES, FINISHED, PART) or number > MAX_NUMBER:
            return
        size = {SCORES: ROW_BYTES * number, FINISHED: 0, PART: number}[kind]
        content = stream.read(size)
        chain = _digest(chain, kind + number.to_bytes(4, "little"), content)
        if len(content) < size or chain != digest or (kind == SCORES and not _are_possible(_judged(content))):
            return
        yield _Record(kind, number, digest, content)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _are_possible(judged: RowScores) -> bool:
    """Whether scores are finite or missing, and p-values missing or from 0 to 1."""
    outside = (judged.p_values < 0) | (judged.p_values > 1)
    return not (np.isinf(judged.scores) | outside).any()


def _bytes(judged: RowScores) -> bytes:
    return np.column_stack([judged.scores, judged.p_values]).astype("<f8").tobytes()


def _judged(content: bytes) -> RowScores:
    rows = np.frombuffer(content, dtype="<f8").reshape(-1, 2)
    return RowScores(rows[:, 0].copy(), rows[:, 1].copy())
