"""An input that is scored in parts, by shards or on an engine, is scored as in one run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly.batches import RowScores
from vae_anomaly_cli.distributed import part_work
from vae_anomaly_cli.distributed.engines import ENGINES
from vae_anomaly_cli.distributed.parts import Part, Shard, parts_of
from vae_anomaly_cli.distributed.run_folder import NAME, RunFolder
from vae_anomaly_cli.distributed.tally_file import Record, read_record, read_scores, record_bytes, scores_bytes
from vae_anomaly_cli.errors import CommandError
from vae_anomaly_cli.options import ENGINE_NAMES
from vae_anomaly_cli.sources import open_table
from vae_anomaly_cli.tally import Tally

PARTS = ("--part-rows", "30")


@pytest.fixture(scope="module")
def lake(later_orders: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The later orders in three files, one of which has five row groups, and one no row."""
    folder = tmp_path_factory.mktemp("lake")
    for name, begin, end in (("a", 0, 100), ("b", 100, 130), ("c", 130, 130), ("d", 130, 240)):
        table = pa.Table.from_pandas(later_orders.iloc[begin:end], preserve_index=False)
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=20)
    return folder


@pytest.fixture
def score(run, lake, calibrated) -> Callable[..., str]:
    """Score the lake; returns messages."""

    def score(*arguments, code: int | None = 0) -> str:
        outcome = run("score", lake, "-m", calibrated, "--label", "fraud", *arguments)
        assert code is None or outcome.code == code, outcome.err
        return outcome.err + outcome.text

    return score


def written(folder: Path) -> dict[str, pa.Table]:
    """Results by the file of the input, those of parts one behind the other."""
    found: dict[str, list[pa.Table]] = {}
    for path in sorted(folder.glob("*.parquet")):
        found.setdefault(path.name[0], []).append(pq.read_table(path))
    return {name: pa.concat_tables(tables) for name, tables in found.items()}


def said(text: str, output: Path) -> list[str]:
    """What a command said, but for where it wrote."""
    return [line for line in text.replace(str(output), "OUT").splitlines() if "parts are done" not in line]


def test_parts_are_whole_files_and_row_groups_of_larger_ones(lake: Path) -> None:
    source = open_table([str(lake)], None, None, pytest.fail)
    parts = parts_of(source, 30)
    assert [(part.file, part.groups, str(part.relative), part.n_rows) for part in parts] == [
        (0, (0, 2), "a-00001-of-00004.parquet", 40),
        (0, (2, 3), "a-00002-of-00004.parquet", 20),
        (0, (3, 4), "a-00003-of-00004.parquet", 20),
        (0, (4, 5), "a-00004-of-00004.parquet", 20),
        (1, None, "b.parquet", 30),
        (2, None, "c.parquet", 0),
        (3, (0, 2), "d-00001-of-00004.parquet", 40),
        (3, (2, 3), "d-00002-of-00004.parquet", 20),
        (3, (3, 5), "d-00003-of-00004.parquet", 40),
        (3, (5, 6), "d-00004-of-00004.parquet", 10),
    ]
    assert [part.groups for part in parts_of(source, 1000)] == [None] * 4


@pytest.mark.parametrize("n_shards", [1, 2, 3, 7, 20])
def test_shards_take_each_part_once(n_shards: int) -> None:
    parts = [Part(index, index, None, Path(f"{index}.parquet")) for index in range(10)]
    shares = [Shard(number, n_shards).of_parts(parts) for number in range(1, n_shards + 1)]
    assert [part for share in shares for part in share] == parts
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/2", "1/2/3", "-1/2", "1/0", "²/3", ""])
def test_a_shard_that_is_none_is_refused(score, tmp_path, text: str) -> None:
    found = score("-o", f"{tmp_path}/", "--shard", text, code=2)
    assert "expected a share like 2/4" in found


RULES = {
    "threshold": (),
    "false alarms": ("--false-alarm-rate", "0.05"),
    "fdr": ("--fdr", "0.2"),
    "alerts": ("--alerts", "5"),
    "drift": ("--fail-on-drift", "--explain", "--id", "order"),
}


@pytest.mark.parametrize("rule", RULES)
def test_shards_write_and_say_what_one_run_does(score, tmp_path, rule: str) -> None:
    options = (*RULES[rule], "--json", "--top", "15")
    whole = score("-o", f"{tmp_path}/whole/", *options)
    out = tmp_path / "parts"
    for number in (3, 1, 2):
        shared = [option for option in RULES[rule] if option != "--fail-on-drift"]
        some = score("-o", f"{out}/", "--shard", f"{number}/3", *PARTS, *shared)
        assert ("nothing written yet" in some) == (rule in {"fdr", "alerts"})
    assert (rule in {"fdr", "alerts"}) == (not written(out))
    summed = score("-o", f"{out}/", "--resume", *PARTS, *options)
    assert said(summed, out) == said(whole, tmp_path / "whole")
    assert written(out) == written(tmp_path / "whole")
    assert (out / "b.parquet").read_bytes() == (tmp_path / "whole/b.parquet").read_bytes()
    assert not (out / NAME).exists()


def test_parts_that_are_done_are_left_alone_and_others_done_again(score, tmp_path, monkeypatch) -> None:
    score("-o", f"{tmp_path}/", "--shard", "1/2", *PARTS)
    # Scored, and not noted as done; noted, and lost; noted by a broken file.
    (tmp_path / NAME / "000000.written").unlink()
    (tmp_path / "a-00002-of-00004.parquet").unlink()
    (tmp_path / NAME / "000002.written").write_bytes(b"PK\x03\x04broken")
    done = []
    do = part_work.PartWork.do
    monkeypatch.setattr(
        part_work.PartWork, "do", lambda self, phase, part: (done.append(part.index), do(self, phase, part))[1]
    )
    score("-o", f"{tmp_path}/", "--shard", "1/2", *PARTS)
    assert done == [0, 1, 2]
    score("-o", f"{tmp_path}/", "--resume", *PARTS)
    assert done == [0, 1, 2, 5, 6, 7, 8, 9]
    assert not (tmp_path / NAME).exists()


def test_a_run_that_fails_says_how_to_go_on(score, tmp_path, monkeypatch) -> None:
    do = part_work.PartWork.do

    def fails(self, phase, part):
        if part.index == 4:
            raise CommandError("the disk is full.")
        return do(self, phase, part)

    monkeypatch.setattr(part_work.PartWork, "do", fails)
    found = score("-o", f"{tmp_path}/", "--shard", "1/1", *PARTS, code=1)
    assert "the disk is full. 4 of 10 parts are kept: the same command goes on from there." in found
    assert sorted(path.name for path in tmp_path.glob("*")) == [NAME, *(f"a-0000{i}-of-00004.parquet" for i in "1234")]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--fdr", "0.1"), "the rule that flags rows is another one"),
        (("--id", "order"), "the columns of the output are others"),
        (("--part-rows", "25"), "--part-rows is another number"),
    ],
)
def test_a_folder_that_holds_another_run_is_refused(score, tmp_path, options, text: str) -> None:
    score("-o", f"{tmp_path}/", "--shard", "1/2", *PARTS)
    found = score(
        "-o", f"{tmp_path}/", "--shard", "2/2", *(PARTS if "--part-rows" not in options else ()), *options, code=2
    )
    assert text in found
    assert str(tmp_path / NAME) in found
    plain = score("-o", f"{tmp_path}/", code=2)
    assert "holds a run in parts that is not ended (5 parts are done)" in plain


def test_rows_that_are_there_whole_are_not_written_in_pieces_beside_and_the_other_way_round(score, tmp_path) -> None:
    score("-o", f"{tmp_path}/whole/")
    found = score("-o", f"{tmp_path}/whole/", "--shard", "1/2", *PARTS, code=2)
    assert "a.parquet is there, which holds rows of a.parquet from another run" in found
    assert not list((tmp_path / "whole").glob("*-of-*"))
    score("-o", f"{tmp_path}/parts/", "--shard", "1/1", *PARTS)
    score("-o", f"{tmp_path}/parts/", "--resume", *PARTS)
    found = score("-o", f"{tmp_path}/parts/", code=2)
    assert "a-00001-of-00004.parquet is there" in found
    assert "would count them twice" in found
    found = score("-o", f"{tmp_path}/parts/", "--shard", "1/1", "--part-rows", "60", code=2)
    assert "from another run, cut in another way" in found


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-o", "x.parquet", "--shard", "1/2"), "expected a folder"),
        (("--shard", "1/2"), "expected a folder"),
        (("-o", "out/", "--shard", "1/2", "--engine", "ray"), "give one of them"),
        (("-o", "out/", "--address", "auto"), "name it with --engine ray"),
        (("-o", "out/", "--engine", "hadoop"), "ray"),
        (("-o", "out/", "--part-rows", "5"), "give one of them, too"),
        (("-o", "out/", "--shard", "1/2", "--top", "3", "--only-top"), "--top 3 is about all rows"),
        (("-o", "out/", "--shard", "1/2", "--json"), "--json is about all rows"),
        (("-o", "out/", "--shard", "1/2", "--fail-on-drift"), "--fail-on-drift is about all rows"),
        (("-o", "out/", "--shard", f"1/{'9' * 5000}"), "expected a share like 2/4"),
        (("-o", "out/", "--shard", "1/40"), "this share has none"),
    ],
)
def test_what_cannot_be_done_in_parts_is_refused(score, tmp_path, monkeypatch, arguments, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert text in score(*arguments, code=2)
    assert not list(tmp_path.glob("**/*.parquet"))


def test_parts_need_a_saved_model(run, lake, tmp_path) -> None:
    assert "needs a saved model" in run("score", lake, "-o", f"{tmp_path}/", "--shard", "1/2").error()


def test_a_file_that_lacks_a_column_is_named_before_anything_is_scored(run, lake, calibrated, tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in lake.glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["items"]) if path.name == "d.parquet" else table, folder / path.name)
    found = run("score", folder, "-m", calibrated, "-o", f"{tmp_path}/out/", "--shard", "1/2").error()
    assert "d.parquet lacks column 'items'" in found
    assert not (tmp_path / "out").exists()


def test_a_killed_run_in_parts_goes_on(score, lake, calibrated, tmp_path) -> None:
    slow = (
        "import sys, time; from vae_anomaly import VAEDetector; from vae_anomaly_cli.main import main; "
        "decide = VAEDetector.decide; "
        "VAEDetector.decide = lambda self, frame: (time.sleep(0.2), decide(self, frame))[1]; "
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["score", str(lake), "-m", str(calibrated), "--label", "fraud", "-o", f"{tmp_path}/", "--shard", "1/1"]
    process = subprocess.Popen([sys.executable, "-c", slow, *arguments, *PARTS], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(f"{NAME}/*.written")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    noted = len(list(tmp_path.glob(f"{NAME}/*.written")))
    assert 0 < noted < 10
    again = score("-o", f"{tmp_path}/", "--shard", "1/1", *PARTS)
    assert f"{noted} of 10 parts are done: left alone." in again
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert len(after) == 10
    assert sum(after[name] == done[name] for name in done) >= noted
    assert len(pa.concat_tables(pq.read_table(path) for path in tmp_path.glob("*.parquet"))) == 240
    assert not list(tmp_path.glob(".*part*"))


def test_records_that_are_damaged_or_of_another_run_are_none() -> None:
    judged = RowScores(np.array([1.0, np.nan]), np.array([0.5, np.nan]))
    content = scores_bytes(judged, "this")
    found = read_scores(content, "this")
    assert found is not None
    np.testing.assert_array_equal(found.scores, judged.scores)
    assert read_scores(content, "that") is None
    record = record_bytes(Record(Tally("row"), 3, ("a warning",), 7), "this")
    back = read_record(record, "this", Tally("row"))
    assert back is not None
    assert (back.n_explained, back.warnings, back.n_bytes, back.tally.n_rows) == (3, ("a warning",), 7, 0)
    for place in range(0, len(record), 7):
        broken = bytearray(record)
        broken[place] ^= 0xFF
        assert read_record(bytes(broken), "this", Tally("row")) is None
    for end in range(0, len(record), 50):
        assert read_record(record[:end], "this", Tally("row")) is None


def test_a_folder_is_written_by_one_run(tmp_path: Path) -> None:
    first = RunFolder.open(tmp_path, {"model": "a"}, resume=False)
    assert json.loads(first.read("run.json") or b"") == {"model": "a"}
    assert RunFolder.open(tmp_path, {"model": "a"}, resume=True).identity == first.identity
    first.forget()
    assert not RunFolder.is_there(tmp_path)


def test_the_names_of_engines_are_those_of_options() -> None:
    assert tuple(ENGINES) == ENGINE_NAMES
