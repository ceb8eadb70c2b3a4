"""Input that changes while it is read is an error, and nothing takes its name; what only was touched is none."""

import gzip
import os
import sqlite3

import pandas as pd
import pytest

from vae_anomaly_cli.image_model import ImageModel
from vae_anomaly_cli.sources import file_state
from vae_anomaly_cli.sources.file_state import FileState
from vae_anomaly_cli.sources.table_source import TableSource

FAST = ("--max-iter", "10", "--n-estimators", "1")


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def append(path):
    with path.open("ab") as stream:
        stream.write(path.read_bytes()[-30:])


def overwrite(path):
    """Other bytes, as many as before, and the time of change put back."""
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(before.st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[:-1] + b"7")
    other.replace(path)


def remove(path):
    path.unlink()


CHANGES = {
    cut: "it was cut, from ",
    append: "it was appended to, from ",
    overwrite: "its content was overwritten",
    replace: "another file took its place",
    remove: "it is not there any more",
}


def touch(path):
    os.utime(path)


def copy_over(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def leave(path):
    """Do nothing."""


HARMLESS = (touch, copy_over, leave)


@pytest.fixture(autouse=True)
def old_files(monkeypatch):
    """Have files count as written long ago: what times of change do not tell must not matter."""
    monkeypatch.setattr(file_state, "TICK_NS", -(1 << 62))


@pytest.fixture
def changing(monkeypatch):
    """Change a file when a source of tables or images has read the first batch of it."""

    def begin(change, path, wait=1):
        batches, features = TableSource.batches, ImageModel.features
        n_left = [wait]

        def once():
            n_left[0] -= 1
            if n_left[0] == 0:
                change(path)

        def changed(source, names=None):
            for batch in batches(source, names):
                once()
                yield batch

        def read(model, batch):
            once()
            return features(model, batch)

        monkeypatch.setattr(TableSource, "batches", changed)
        monkeypatch.setattr(ImageModel, "features", read)

    return begin


@pytest.fixture
def data(orders_csv, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(orders_csv.read_bytes())
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_table_that_changes_while_it_is_scored_gives_no_result(run, data, model, tmp_path, changing, change):
    changing(change, data)
    outcome = run("score", data, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    line = outcome.error(1)
    assert line.startswith(f"error: {data} changed while it was read: {CHANGES[change]}")
    assert line.endswith(". Run again when nobody writes to it, or on a copy.")
    assert files_in(tmp_path) == ([] if change is remove else ["t.csv"])


@pytest.mark.parametrize("change", HARMLESS)
def test_table_that_is_touched_or_copied_over_itself_is_scored(run, data, model, tmp_path, changing, change):
    arguments = ("score", data, "-m", model, "--drop", "order")
    expected = run(*arguments).out
    changing(change, data)
    assert run(*arguments, "-o", tmp_path / "o.csv").code == 0
    assert (tmp_path / "o.csv").read_bytes() == expected


@pytest.mark.parametrize("change", [cut, append, overwrite])
@pytest.mark.parametrize("suffix", ["csv.gz", "jsonl", "json", "parquet", "arrow", "xlsx", "db"])
def test_every_format_is_checked(run, orders, model, tmp_path, changing, suffix, change):
    path = tmp_path / f"t.{suffix}"
    frame = orders.drop(columns="order").assign(paid=orders["paid"] == "true")
    if suffix == "csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif suffix == "db":
        with sqlite3.connect(path) as connection:
            frame.to_sql("orders", connection, index=False)
        connection.close()
    elif suffix in ("jsonl", "json"):
        frame.to_json(path, orient="records", lines=suffix == "jsonl")
    else:
        {"parquet": frame.to_parquet, "arrow": frame.to_feather, "xlsx": lambda to: frame.to_excel(to, index=False)}[
            suffix
        ](path)
    known = run("score", path, "-m", model, "-o", tmp_path / "o.csv")
    assert known.code == 0, known.err
    (tmp_path / "o.csv").unlink()
    changing(change, path)
    outcome = run("score", path, "-m", model, "-o", tmp_path / "o.csv")
    assert "changed while it was read: " in outcome.error(1)
    assert files_in(tmp_path) == [f"t.{suffix}"]


def test_rows_that_come_into_a_data_base_while_it_is_read(run, orders, model, tmp_path, changing):
    def insert(path):
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("insert into orders select * from orders limit 5")
        connection.close()

    path = tmp_path / "t.db"
    with sqlite3.connect(path) as connection:
        orders.drop(columns="order").to_sql("orders", connection, index=False)
    connection.close()
    changing(insert, path)
    assert "changed while it was read: " in run("fit", path, "-o", tmp_path / "o.vae", *FAST).error(1)
    assert files_in(tmp_path) == ["t.db"]


@pytest.mark.parametrize("change", ["update orders set amount = amount + 1", "select * from orders"])
@pytest.mark.parametrize("has_log", [True, False])
def test_data_base_that_writes_to_its_log_first(run, orders, model, tmp_path, changing, change, has_log):
    path = tmp_path / "t.db"
    writer = sqlite3.connect(path, check_same_thread=False)
    orders.drop(columns="order").to_sql("orders", writer, index=False)
    writer.execute("pragma journal_mode = wal")
    if has_log:
        writer.execute("update orders set items = items")
        writer.commit()

    def write(_path):
        writer.execute(change)
        writer.commit()

    changing(write, path)
    try:
        outcome = run("score", path, "-m", model, "-o", tmp_path / "o.csv")
        if change.startswith("select"):
            assert outcome.code == 0
        else:
            assert f"sqlite:///{path} changed while it was read: rows were written. Run again" in outcome.error(1)
            assert not (tmp_path / "o.csv").exists()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("fit", ("-o", "o.vae", *FAST)),
        ("fit", ("-o", "o.vae", "--passes", "2", *FAST)),
        ("evaluate", ("-m", "MODEL", "--label", "fraud", "--json")),
        ("calibrate", ("-m", "MODEL", "--label", "fraud", "-o", "o.vae")),
        ("compare", ("--label", "fraud", "--json", *FAST)),
        ("drift", ("-m", "MODEL", "-o", "o.vae")),
        ("explain", ("-m", "MODEL", "-o", "o.csv", "--repair", "p.csv")),
        ("score", ("-m", "MODEL", "--json")),
        ("score", ("-m", "MODEL", "--fdr", "0.5", "-o", "o.csv")),
        ("score", ("-m", "MODEL", "--top", "5", "--only-top", "-o", "o.csv")),
        ("score", ("-o", "o.parquet", *FAST)),
    ],
)
def test_every_command_refuses_input_that_changes(
    run, later_csv, model, tmp_path, changing, monkeypatch, command, options
):
    data = tmp_path / "t.csv"
    data.write_bytes(later_csv.read_bytes())
    monkeypatch.chdir(tmp_path)
    changing(overwrite, data)
    arguments = [str(model) if option == "MODEL" else option for option in options]
    outcome = run(command, data, *arguments, *(() if command in ("fit", "compare") else ("--drop", "order")))
    assert f"{data} changed while it was read: its content was overwritten" in outcome.error(1)
    assert outcome.out == b""
    assert files_in(tmp_path) == ["t.csv"]


def test_what_is_on_standard_output_already_is_followed_by_an_error(run, data, model, changing):
    changing(overwrite, data)
    assert "changed while it was read" in run("score", data, "-m", model, "--drop", "order").error(1)


def test_file_that_changes_in_a_later_pass_is_refused(run, data, tmp_path, changing):
    changing(overwrite, data, wait=2)
    outcome = run("score", data, "-o", tmp_path / "o.csv", "--drop", "order", *FAST)
    assert "changed while it was read: its content was overwritten" in outcome.error(1)
    assert files_in(tmp_path) == ["t.csv"]


def test_file_that_cannot_be_read_because_it_was_cut_is_said_to_have_changed(run, data, model, tmp_path, changing):
    def halve(path):
        with path.open("r+b") as stream:
            stream.truncate(path.read_bytes().rindex(b","))

    changing(halve, data)
    assert "it was cut, from " in run("score", data, "-m", model, "--drop", "order").error(1)


def test_file_of_a_folder_that_changes_gets_no_result(run, orders, model, tmp_path, changing):
    (tmp_path / "in").mkdir()
    for place in range(3):
        orders[20 * place : 20 * place + 20].to_csv(tmp_path / "in" / f"{place}.csv", index=False)
    changing(overwrite, tmp_path / "in" / "1.csv", wait=2)
    outcome = run("score", tmp_path / "in", "-m", model, "--drop", "order", "-o", f"{tmp_path / 'out'}/")
    assert f"{tmp_path / 'in' / '1.csv'} changed while it was read" in outcome.error(1)
    assert [name for name in files_in(tmp_path / "out") if name != "0.csv"] == []


@pytest.mark.parametrize("change", CHANGES)
def test_image_that_changes_gives_no_result(run, image_model, good, draw, tmp_path, changing, change):
    for number in range(4):
        draw(tmp_path / "in" / f"{number}.png", number)
    changing(change, tmp_path / "in" / "2.png")
    outcome = run("score", tmp_path / "in", "-m", image_model, "-o", tmp_path / "o.csv")
    assert f"2.png changed while it was read: {CHANGES[change]}" in outcome.error(1)
    assert files_in(tmp_path) == ["in"]


def test_image_that_changes_while_a_model_is_fitted(run, draw, tmp_path, monkeypatch):
    from vae_anomaly import VAEDetector

    for number in range(30):
        draw(tmp_path / "in" / f"{number}.png", number)
    fit = VAEDetector.fit
    monkeypatch.setattr(
        VAEDetector, "fit", lambda self, X, y=None: (fit(self, X, y), overwrite(tmp_path / "in" / "9.png"))[0]
    )
    outcome = run("fit", tmp_path / "in", "-o", tmp_path / "o.vae", *FAST)
    assert "9.png changed while it was read: its content was overwritten" in outcome.error(1)
    assert files_in(tmp_path) == ["in"]


class TestFileState:
    """Of a file larger than what is compared, blocks from head to tail."""

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "t.bin"
        path.write_bytes(bytes(range(256)) * 4096)
        return path

    def state(self, path, n_compared=4 << 15):
        return FileState.of(path, n_compared)

    def test_blocks_are_equally_far_from_one_another(self, path):
        size, digest = path.stat().st_size, self.state(path).digest
        assert not self.state(path).is_whole
        assert self.state(path, size).is_whole
        # Four blocks of 32 KiB in 1 MiB begin at 0, 338602, 677205 and 1015808.
        for place in (0, 32_767, 338_602, 371_369, 677_205, 709_972, size - 32_768, size - 1):
            content = bytearray(path.read_bytes())
            content[place] ^= 1
            path.write_bytes(content)
            assert self.state(path).digest != digest
            content[place] ^= 1
            path.write_bytes(content)
        content[32_768] ^= 1
        path.write_bytes(content)
        assert self.state(path).digest == digest

    def test_change_between_the_blocks_is_seen_by_its_time(self, path):
        state = self.state(path)
        before = path.stat()
        content = bytearray(path.read_bytes())
        content[40_000] ^= 1
        with path.open("r+b") as stream:
            stream.write(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert state.change() == "its time of change moved, and too large a file is not compared whole"
        assert self.state(path).digest == state.digest

    def test_change_within_a_tick_of_the_clock_is_seen_by_content(self, path, monkeypatch):
        monkeypatch.setattr(file_state, "TICK_NS", 1 << 62)
        state = self.state(path)
        assert state.change() == ""
        monkeypatch.setattr(file_state, "_look", lambda _: (state.size, state.stamp))
        content = bytearray(path.read_bytes())
        content[0] ^= 1
        path.write_bytes(content)
        assert state.change() == "its content was overwritten"

    def test_files_share_what_is_compared(self, tmp_path, monkeypatch):
        monkeypatch.setattr(file_state, "COMPARED_BYTES", 400_000)
        paths = [tmp_path / str(number) for number in range(5)]
        for path in paths:
            path.write_bytes(b"a" * 99_000)
        assert [state.n_compared for state in file_state.states_of(paths[:2])] == [200_000] * 2
        assert [state.is_whole for state in file_state.states_of(paths)] == [False] * 5


class TestResume:
    """An input is known again by what it holds, not by its name or its times."""

    @pytest.fixture
    def stopped(self, run, data, model, tmp_path, monkeypatch):
        from vae_anomaly import VAEDetector

        monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", 7)
        decide, n_left = VAEDetector.decide, [4]

        def stop(detector, frame):
            n_left[0] -= 1
            if n_left[0] == 0:
                raise KeyboardInterrupt
            return decide(detector, frame)

        monkeypatch.setattr(VAEDetector, "decide", stop)
        arguments = ("-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
        assert run("score", data, *arguments).code == 130
        return arguments

    @pytest.mark.parametrize("change", HARMLESS)
    def test_same_content_goes_on(self, run, data, stopped, change):
        change(data)
        assert run("score", data, *stopped, "--resume").code == 0

    def test_copy_goes_on(self, run, data, stopped, tmp_path):
        data.rename(tmp_path / "copy.csv")
        assert run("score", tmp_path / "copy.csv", *stopped, "--resume").code == 0
        assert len(pd.read_csv(tmp_path / "o.csv")) == 60

    def test_other_content_of_the_same_size_and_time_is_refused(self, run, data, stopped):
        overwrite(data)
        line = run("score", data, *stopped, "--resume").error()
        assert "the input files are not those of, or changed since, the interrupted run" in line
