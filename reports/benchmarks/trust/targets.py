"""What is fuzzed: for each kind of file the examples, and what may not happen to them."""

from __future__ import annotations

import gzip
import io
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from benchmarks.trust.mutations import VALUES, damaged, damaged_text, edits, forged_manifest
from benchmarks.trust.trials import EXCEPTION_NAME, Ended, Peak, TooLong, at_most, command
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from PIL import Image
from safetensors.torch import load as tensors_of
from safetensors.torch import save as serialize

from vae_anomaly import VAEAnomalyError, VAEDetector, load
from vae_anomaly.store.container import METADATA_KEY, NAMES, packed

OLD = Path(__file__).resolve().parents[3] / "tests" / "data"
FAST = ("--max-iter", "4", "--n-estimators", "2", "-q")
READING = ("--max-iter", "1", "--n-estimators", "1", "--calibration", "none", "-q")
MAX_SECONDS, MAX_MIB = 20.0, 600.0
N_ROWS, ROWS_PER_BATCH, N_INTERRUPTED = 60, 8, 24
IMAGE_FORMATS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "bmp": "BMP", "gif": "GIF", "webp": "WEBP"}


@dataclass(frozen=True)
class Target:
    """Examples of a kind, and what is wrong with how one was taken: nothing, or a sentence."""

    name: str
    examples: SearchStrategy[Any]
    trouble: Callable[[Any], str]

    def judge(self, example: Any) -> str:
        """What is wrong, the time and the memory that it took included."""
        peak = Peak()
        try:
            with peak, at_most(MAX_SECONDS):
                wrong = self.trouble(example)
        except TooLong as stop:
            return str(stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the fuzzer looks for
            return f"raises {type(error).__name__}: {error}"
        return wrong or (f"takes {peak.mib:.0f} MiB" if peak.mib > MAX_MIB else "")


class Workbench:
    """A small table, images, a model of each and an interrupted run, in a folder that is gone at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = _table()
        self.contents = {"csv": self.table.to_csv(index=False).encode()}
        self.contents["jsonl"] = self.table.to_json(orient="records", lines=True, date_format="iso").encode()
        self.contents["json"] = self.table.to_json(orient="records", date_format="iso").encode()
        self.contents["parquet"] = _parquet(self.table)
        self.model = self._fitted(self._written("rows.csv", self.contents["csv"]), "rows.vae", "--label", "label")
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        for number in range(24):
            _picture(number).save(self.pictures / f"{number}.png")
        self.image_model = self._fitted(self.pictures, "pictures.vae", "--method", "image")

    def _written(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _fitted(self, data: Path, name: str, *options: str) -> Path:
        ended = command("fit", data, "-o", self.folder / name, *FAST, *options)
        if ended.code:
            raise RuntimeError(ended.err)
        return self.folder / name

    @contextmanager
    def room(self) -> Iterator[Path]:
        """An empty folder for one example."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)

    def targets(self) -> list[Target]:
        """All kinds of examples."""
        pixels = np.stack([np.asarray(_picture(number)) for number in range(4)])
        return [
            *(self._model(name, path, rows) for name, path, rows in self._models(pixels)),
            *(self._forged(name, path, rows) for name, path, rows in self._models(pixels)),
            *(self._old_model(next(iter(sorted(version.glob("*.vae"))))) for version in sorted(OLD.glob("version_*"))),
            *(self._table(extension) for extension in self.contents),
            *(self._image(extension) for extension in IMAGE_FORMATS),
            *(self._journal(kind) for kind in ("file", "folder")),
        ]

    def _models(self, pixels: Any) -> list[tuple[str, Path, Any]]:
        return [
            ("model of a table", self.model, self.table.drop(columns="label")),
            ("model of images", self.image_model, pixels),
        ]

    def _model(self, name: str, path: Path, rows: Any) -> Target:
        """Damaged model files: refused in our words, or scores that are equal to the last bit."""
        content, expected = path.read_bytes(), _scores(load(path), rows)

        def trouble(example: bytes) -> str:
            with self.room() as folder:
                damaged_file = folder / "model.vae"
                damaged_file.write_bytes(example)
                wrong = command("info", damaged_file).trouble((0, 2)) or command(
                    "info", damaged_file, "--json"
                ).trouble((0, 2))
                try:
                    scores = _scores(load(damaged_file), rows)
                except VAEAnomalyError as error:
                    return wrong or _says_no_exception(error)
            return wrong or ("" if np.array_equal(scores, expected) else "loads, and scores otherwise")

        return Target(f"{name}, damaged", damaged(content), trouble)

    def _old_model(self, path: Path) -> Target:
        """Damaged files of earlier versions, which have no checksum: refused in our words, or loaded."""

        def trouble(example: bytes) -> str:
            with self.room() as folder:
                damaged_file = folder / "model.vae"
                damaged_file.write_bytes(example)
                wrong = command("info", damaged_file).trouble((0, 2))
                with suppress(VAEAnomalyError):
                    load(damaged_file)
            return wrong

        return Target(f"model of {path.parent.name.replace('_', ' ')}, damaged", damaged(path.read_bytes()), trouble)

    def _forged(self, name: str, path: Path, rows: Any) -> Target:
        """Files whose checksum is right and whose manifest or tensors lie: refused, or finite scores in bounds."""
        manifest, tensors = _unpacked(path)

        def trouble(example: tuple[str, str | None, Any]) -> str:
            changed, tensor, change = example
            with self.room() as folder:
                forged = folder / "model.vae"
                kept = dict(tensors)
                if tensor is not None:
                    kept = _with_tensor(kept, tensor, change)
                forged.write_bytes(_packed(changed, kept))
                wrong = command("info", forged).trouble((0, 2))
                try:
                    scores = _scores(load(forged), rows)
                except VAEAnomalyError as error:
                    return wrong or _says_no_exception(error)
            return wrong or ("" if np.isfinite(scores).all() else "loads, and gives scores that are not finite")

        change = st.sampled_from(list(TENSOR_CHANGES))
        lies = st.one_of(
            st.tuples(forged_manifest(manifest), st.none(), st.none()),
            st.tuples(st.just(manifest), st.sampled_from(sorted(tensors)), change),
        )
        return Target(f"{name}, forged", lies, trouble)

    def _table(self, extension: str) -> Target:
        """Damaged tables: refused in our words with nothing written, or read, and the same when compressed."""
        content = self.contents[extension]
        examples = damaged(content) if extension == "parquet" else damaged_text(content)

        def trouble(example: tuple[bytes, str]) -> str:
            table, verb = example
            with self.room() as folder:
                path, out = folder / f"rows.{extension}", folder / "out.csv"
                path.write_bytes(table)
                if verb == "fit":
                    ended = command("fit", path, "-o", folder / "m.vae", *READING)
                    return ended.trouble() or _kept_whole(ended, folder / "m.vae")
                ended = command("score", path, "-m", self.model, "-o", out, "-q")
                wrong = ended.trouble() or _kept_whole(ended, out)
                if wrong or extension == "parquet" or table[:2] == b"\x1f\x8b":
                    return wrong
                zipped, again = folder / f"rows.{extension}.gz", folder / "again.csv"
                zipped.write_bytes(gzip.compress(table, 1, mtime=0))
                second = command("score", zipped, "-m", self.model, "-o", again, "-q")
                if second.code != ended.code:
                    return f"exit code {ended.code}, and {second.code} where it is compressed; said {second.err}"
                if ended.code == 0 and out.read_bytes() != again.read_bytes():
                    return "other results where it is compressed"
            return ""

        return Target(f"{extension} table", st.tuples(examples, st.sampled_from(["score", "score", "fit"])), trouble)

    def _image(self, extension: str) -> Target:
        """A damaged image among good ones: left out in our words or read; the others keep their scores."""
        stream = io.BytesIO()
        _picture(100).save(stream, IMAGE_FORMATS[extension])

        def trouble(example: bytes) -> str:
            with self.room() as folder:
                inspected, out = folder / "inspected", folder / "out.csv"
                inspected.mkdir()
                for number in range(2):
                    shutil.copy(self.pictures / f"{number}.png", inspected)
                (inspected / f"damaged.{extension}").write_bytes(example)
                ended = command("score", inspected, "-m", self.image_model, "-o", out, "-q")
                return ended.trouble() or _kept_whole(ended, out)

        return Target(f"{extension} image", damaged(stream.getvalue()), trouble)

    def _journal(self, kind: str) -> Target:
        """A damaged journal: --resume ends with the bytes of a run without one, or refuses and writes nothing."""
        room = self.folder / f"journal of a {kind}"
        data = room / "data"
        data.mkdir(parents=True)
        n_files = 3 if kind == "folder" else 1
        for number in range(n_files):
            self.table.drop(columns="label").iloc[number::n_files].to_csv(data / f"{number}.csv", index=False)
        given, name = (data, "out/") if kind == "folder" else (data / "0.csv", "out.csv")

        def run(folder: Path, *options: str) -> Ended:
            with mock.patch("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", ROWS_PER_BATCH):
                return command("score", given, "-m", self.model, "-o", f"{folder}/{name}", "-q", *options)

        whole, stopped = room / "whole", room / "stopped"
        for folder in (whole, stopped):
            folder.mkdir()
        run(whole)
        with _interrupted():
            run(stopped)
        expected = _files(whole)
        (journal,) = stopped.rglob("*.scores")

        def trouble(example: bytes) -> str:
            with self.room() as folder:
                resumed = folder / "resumed"
                shutil.copytree(stopped, resumed)
                (resumed / journal.relative_to(stopped)).write_bytes(example)
                ended = run(resumed, "--resume")
                wrong = ended.trouble()
                if wrong or ended.code == 0:
                    return wrong or ("" if _files(resumed) == expected else "ends with other bytes")
                others = {name: kept for name, kept in _files(resumed).items() if not Path(name).name.startswith(".")}
                return "" if others.items() <= expected.items() else "refuses, and leaves what is not whole"

        content = journal.read_bytes()
        return Target(f"journal of a {kind}", st.one_of(damaged(content), _shuffled(content)), trouble)


def _shuffled(content: bytes) -> SearchStrategy[bytes]:
    """A journal whose header stays and whose records are moved, dropped or doubled."""
    end = content.index(b"\n", content.index(b"\n") + 1) + 1
    return edits(len(content) - end).map(
        lambda drawn: content[:end] + _moved(content[end:], [(kind, place, length) for kind, place, length, _ in drawn])
    )


def _moved(records: bytes, moves: list[tuple[str, int, int]]) -> bytes:
    size = max(1, len(records) // 4)
    parts = [records[at : at + size] for at in range(0, len(records), size)]
    for kind, place, length in moves:
        at, to = place % len(parts), length % len(parts)
        parts[at], parts[to] = (parts[to], parts[at]) if kind in ("swap", "flip") else (parts[to], parts[to])
    return b"".join(parts)


@contextmanager
def _interrupted() -> Iterator[None]:
    """Stop, as Ctrl-C does, when some rows are scored."""
    scored, decide = 0, VAEDetector.decide

    def decide_some(detector: VAEDetector, frame: Any) -> Any:
        nonlocal scored
        if scored >= N_INTERRUPTED:
            raise KeyboardInterrupt
        scored += len(frame)
        return decide(detector, frame)

    with mock.patch.object(VAEDetector, "decide", decide_some):
        yield


def _table() -> pd.DataFrame:
    """Columns of several kinds, with missing cells."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "number": rng.normal(50, 5, N_ROWS).round(2),
            "count": rng.integers(0, 30, N_ROWS),
            "level": rng.choice(["north", "south, low", 'the "east"', "été"], N_ROWS),
            "flag": rng.choice([True, False], N_ROWS),
            "day": pd.date_range("2024-01-01", periods=N_ROWS, freq="D").strftime("%Y-%m-%d"),
            "label": np.arange(N_ROWS) % 20 == 0,
        }
    )
    table.loc[[3, 30], "number"] = np.nan
    table.loc[7, "level"] = None
    return table


def _parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream, index=False)
    return stream.getvalue()


def _picture(number: int, size: int = 8) -> Image.Image:
    rng = np.random.default_rng(number)
    levels = 120 + 60 * np.sin(np.arange(size) + rng.normal()) + rng.normal(0, 4, (size, size))
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def _scores(detector: Any, rows: Any) -> Any:
    return np.asarray(detector.score_samples(rows))


def _says_no_exception(error: VAEAnomalyError) -> str:
    text = str(error)
    return f"names an exception: {text}" if EXCEPTION_NAME.search(text) or not text.strip() else ""


def _kept_whole(ended: Ended, output: Path) -> str:
    if output.exists() != (ended.code == 0):
        return f"exit code {ended.code}, and the output is {'there' if output.exists() else 'not there'}"
    left = [path.name for path in output.parent.glob(".*")]
    return f"leaves {left[0]} behind" if left and ended.code != 1 else ""


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _nothing(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:0] if tensor.ndim else tensor.reshape(1)[:0]


TENSOR_CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor | None]] = {
    "dropped": lambda _: None,
    "empty": _nothing,
    "doubled": lambda tensor: torch.cat([tensor.reshape(-1)] * 2),
    "flat": lambda tensor: tensor.reshape(-1),
    "one axis more": lambda tensor: tensor[None],
    "of halves": lambda tensor: tensor.to(torch.float16),
    "of bytes": lambda tensor: tensor.to(torch.uint8),
    "of integers": lambda tensor: tensor.to(torch.int64),
    "NaN": lambda tensor: torch.full_like(tensor, math.nan) if tensor.is_floating_point() else None,
    "infinite": lambda tensor: torch.full_like(tensor, math.inf) if tensor.is_floating_point() else None,
    "huge": lambda tensor: torch.full_like(tensor, 1e30 if tensor.is_floating_point() else 100),
    "negative": lambda tensor: torch.full_like(tensor, -1) if tensor.dtype != torch.uint8 else None,
    "zero": torch.zeros_like,
    "backwards": lambda tensor: tensor.flip(0) if tensor.ndim else tensor,
}


def _with_tensor(tensors: dict[str, torch.Tensor], name: str, change: str) -> dict[str, torch.Tensor]:
    changed = TENSOR_CHANGES[change](tensors[name])
    others = {other: tensor for other, tensor in tensors.items() if other != name}
    return others if changed is None else {**others, name: changed.contiguous()}


def _unpacked(path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"][METADATA_KEY], tensors_of(content)


def _packed(manifest: str, tensors: dict[str, torch.Tensor]) -> bytes:
    """A model file whose checksum is right; types of tensors that no such file has are written without one."""
    if all(tensor.dtype in NAMES for tensor in tensors.values()):
        return packed(manifest, tensors)
    return serialize(tensors, {METADATA_KEY: manifest})


__all__ = ["VALUES", "Target", "Workbench"]
