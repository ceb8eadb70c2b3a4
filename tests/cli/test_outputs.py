"""Where results go: nothing is lost, nobody else's is touched, and what is no file stays what it is."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import sqlite3
import stat
import threading

import pandas as pd
import pytest

from vae_anomaly import load

DROP = ("--drop", "order")


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def mode_of(path):
    return path.stat().st_mode & 0o777


@pytest.fixture
def own_model(model, tmp_path):
    """A model that may be written over."""
    return shutil.copy(model, tmp_path / "own.vae")


@pytest.fixture
def commands(orders_csv, model, fast, normal_csv):
    """Every way to write a file, by the name of its option: the arguments before the name."""
    scored = ("score", orders_csv, "-m", model, *DROP)
    return {
        "score -o": (*scored, "-o"),
        "score --only-top -o": (*scored, "--top", "3", "--only-top", "-o"),
        "score without -m -o": ("score", orders_csv, *DROP, *fast, "-o"),
        "explain -o": ("explain", orders_csv, "-m", model, *DROP, "-o"),
        "explain --repair": ("explain", orders_csv, "-m", model, *DROP, "--repair"),
        "audit -o": ("audit", model, "-o"),
        "fit -o": ("fit", orders_csv, *DROP, *fast, "-o"),
        "threshold -o": ("threshold", model, "--contamination", "0.1", "-o"),
        "calibrate -o": ("calibrate", normal_csv, "-m", model, *DROP, "-o"),
    }


TABLES = ("score -o", "score --only-top -o", "score without -m -o", "explain -o", "explain --repair", "audit -o")
MODELS = ("fit -o", "threshold -o", "calibrate -o")
EVERY = [*((name, "t.csv") for name in TABLES), *((name, "m.vae") for name in MODELS)]
ONE_OF_EACH = [("score -o", "t.csv"), ("score --only-top -o", "t.parquet"), ("explain --repair", "t.csv.gz"), EVERY[-2]]


@pytest.mark.parametrize(("command", "name"), [*EVERY, *(("score -o", f"t.{end}") for end in ("parquet", "csv.gz"))])
def test_mode_is_kept_a_link_stays_and_killed_runs_leave_nothing(run, commands, tmp_path, command, name):
    (tmp_path / "deep").mkdir()
    for left in (f".{name}.0123abcd.part", f".{name}.89abcdef.part", f".{name}.other.part"):
        (tmp_path / "deep" / left).write_bytes(b"half")
    target, link = tmp_path / "deep" / name, tmp_path / name
    target.write_bytes(b"earlier")
    target.chmod(0o600)
    link.symlink_to(target)
    outcome = run(*commands[command], link)
    assert outcome.code == 0, outcome.err
    assert link.is_symlink()
    assert mode_of(target) == 0o600
    assert target.read_bytes() != b"earlier"
    assert names_in(tmp_path) == [f"deep/.{name}.other.part", f"deep/{name}", name]


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_links_in_a_circle_are_refused_before_the_work(run, commands, tmp_path, command, name):
    (tmp_path / name).symlink_to(name)
    line = run(*commands[command], tmp_path / name).error()
    option = commands[command][-1]
    option = "--output" if option == "-o" else option
    assert line == f"error: {option} {tmp_path / name}: {os.strerror(errno.ELOOP)}; expected a path."
    assert (tmp_path / name).is_symlink()
    assert names_in(tmp_path) == [name]


def test_directories_in_a_circle_are_refused_before_the_work(run, orders_csv, model, image_model, good, tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "orders.csv").symlink_to("orders.csv")
    for arguments in (
        ("score", orders_csv, "-m", model, *DROP, "-o", f"{tmp_path / 'circle'}/"),
        ("score", orders_csv, "-m", model, *DROP, "-o", tmp_path / "out"),
        ("score", good, "-m", image_model, "--heatmaps", tmp_path / "circle"),
        ("score", good, "-m", image_model, "--sheet", tmp_path / "circle" / "sheet.png"),
    ):
        line = run(*arguments).error()
        assert os.strerror(errno.ELOOP) in line or "lead in a circle" in line
    assert all((tmp_path / name).is_symlink() for name in ("circle", "out/orders.csv"))


@pytest.mark.parametrize(("command", "name"), [*ONE_OF_EACH, ("audit -o", ""), ("fit -o", "")])
def test_pipe_is_written_through_and_stays(run, commands, tmp_path, command, name):
    pipe = tmp_path / f"pipe{name}"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    outcome = run(*commands[command], pipe)
    reader.join()
    assert outcome.code == 0, outcome.err
    assert pipe.is_fifo()
    assert len(found[0]) > 100
    assert names_in(tmp_path) == [pipe.name]


@pytest.mark.parametrize("command", ["score -o", "explain -o", "fit -o", "threshold -o"])
def test_device_is_written_through_and_stays(run, commands, tmp_path, command):
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_bytes(b"")
    except (OSError, AttributeError):
        pytest.skip("no device can be made here")
    outcome = run(*commands[command], device)
    assert outcome.code == 0, outcome.err
    assert device.is_char_device()
    assert names_in(tmp_path) == ["null"]


def test_standard_output_by_its_name_is_not_replaced(run, commands, tmp_path, capfd):
    outcome = run(*commands["score -o"], "/dev/stdout", "-q")
    assert (outcome.code, outcome.err) == (0, "")
    assert capfd.readouterr().out.count("\n") == 61
    with (tmp_path / "log.txt").open("ab") as log:
        log.write(b"before\n")
        log.flush()
        assert run(*commands["score -o"], f"/dev/fd/{log.fileno()}", "-q").code == 0
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert lines[0] == "before"
    assert len(lines) == 62
    assert names_in(tmp_path) == ["log.txt"]


@pytest.mark.parametrize("command", ["score -o", "explain -o", "fit -o", "calibrate -o"])
def test_object_and_file_never_share_standard_output(run, commands, command, capfd):
    line = run(*commands[command], "/dev/stdout", "--json").error()
    assert line == "error: --json and --output /dev/stdout both write to standard output; choose one."
    assert capfd.readouterr().out == ""


@pytest.fixture
def other_name(tmp_path, monkeypatch):
    """Another name of a file, made in one of several ways."""

    def make(way, path, name):
        if way == "same":
            return path
        if way == "relative":
            monkeypatch.chdir(path.parent)
            return f"../{path.parent.name}/{path.name}"
        link = tmp_path / name
        if way == "link":
            link.symlink_to(path)
        else:
            link.hardlink_to(path)
        return link

    return make


WAYS = ("same", "relative", "link", "hard link")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "command", ["score", "explain -o", "explain --repair", "audit", "audit with data", "directory"]
)
def test_model_is_never_replaced_by_a_table(run, orders_csv, model, tmp_path, other_name, way, command):
    (tmp_path / "in").mkdir()
    saved = tmp_path / "in" / "m.csv"
    shutil.copy(model, saved)
    before = saved.read_bytes()
    if command == "directory":
        (tmp_path / "data").mkdir()
        data = shutil.copy(orders_csv, tmp_path / "data" / "m.csv")
        output = saved.parent
        if way != "same":
            output = tmp_path / "out"
            output.mkdir()
            other_name("link" if way == "relative" else way, saved, "out/m.csv")
        arguments = ("score", data, "-m", saved, *DROP, "-o", output)
    else:
        output = other_name(way, saved, "other.csv")
        arguments = {
            "score": ("score", orders_csv, "-m", saved, *DROP, "-o", output),
            "explain -o": ("explain", orders_csv, "-m", saved, *DROP, "-o", output),
            "explain --repair": ("explain", orders_csv, "-m", saved, *DROP, "--repair", output),
            "audit": ("audit", saved, "-o", output),
            "audit with data": ("audit", saved, orders_csv, "-o", output),
        }[command]
    line = run(*arguments).error()
    option = "--repair" if "repair" in command else "--output"
    model_option = "MODEL" if "audit" in command else "--model"
    assert re.fullmatch(
        rf"error: {option} \S*(m|other)\.csv is also {model_option} {saved}; name a file of its own\.", line
    )
    assert saved.read_bytes() == before


@pytest.mark.parametrize("way", WAYS)
def test_input_is_never_replaced(run, orders_csv, model, normal_csv, tmp_path, fast, other_name, way):
    data = tmp_path / "data.csv"
    shutil.copy(orders_csv, data)
    before = data.read_bytes()
    table = other_name(way, data, "t.csv")
    for arguments in (
        ("score", data, "-m", model, *DROP, "-o", table),
        ("explain", data, "-m", model, *DROP, "-o", table),
        ("explain", data, "-m", model, *DROP, "--repair", table),
        ("audit", model, data, "-o", table),
    ):
        assert "is the input file itself" in run(*arguments).error()
    if way in ("link", "hard link"):
        other = other_name(way, data, "m.vae")
        for arguments in (
            ("fit", data, *DROP, *fast, "-o", other),
            ("calibrate", data, "-m", model, *DROP, "-o", other),
            ("threshold", model, "--labels", data, "--label", "paid", "-o", other),
        ):
            assert "is the input file itself" in run(*arguments).error()
    assert data.read_bytes() == before


@pytest.mark.parametrize("way", ["link", "hard link"])
@pytest.mark.parametrize("address", ["{}", "sqlite:///{}"])
def test_data_base_that_is_read_is_never_replaced(run, orders, fast, tmp_path, other_name, way, address):
    data = tmp_path / "orders.db"
    with contextlib.closing(sqlite3.connect(data)) as connection:
        orders.astype(object).to_sql("orders", connection, index=False)
        connection.commit()
    before = data.read_bytes()
    output = other_name(way, data, "t.csv")
    line = run("score", address.format(data), *DROP, *fast, "-o", output).error()
    assert line == f"error: --output {output} is the input file itself; name another file."
    assert data.read_bytes() == before


@pytest.mark.parametrize("way", ["link", "hard link"])
def test_image_that_is_read_is_never_replaced(run, good, image_model, tmp_path, other_name, way):
    image = next(path for path in sorted(good.rglob("*.png")))
    before = image.read_bytes()
    for option, name in (("--sheet", "sheet.png"), ("-o", "t.csv")):
        output = other_name(way, image, name)
        line = run("score", good, "-m", image_model, option, output).error()
        assert f"{output} is an input file itself" in line or f"{output} lies in the input folder" in line
    assert image.read_bytes() == before


def test_what_standard_input_reads_is_never_replaced(run, orders_csv, model, tmp_path):
    data = tmp_path / "data.csv"
    shutil.copy(orders_csv, data)
    kept = os.dup(0)
    try:
        with data.open("rb") as stream:
            os.dup2(stream.fileno(), 0)
        line = run("score", "-", "-m", model, *DROP, "-o", data, stdin=data.read_bytes()).error()
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    assert line == f"error: --output {data} is what standard input reads; name another file."
    assert data.read_bytes() == orders_csv.read_bytes()


def test_key_is_never_replaced(run, orders_csv, model, fast, tmp_path, monkeypatch):
    key = tmp_path / "m.vae"
    key.write_bytes(bytes(range(32)))
    line = run("fit", orders_csv, *DROP, *fast, "--key-file", key, "-o", key).error()
    assert line == f"error: --output {key} is also --key-file {key}; name a file of its own."
    link = tmp_path / "t.csv"
    link.symlink_to(key)
    monkeypatch.setenv("VAE_ANOMALY_KEY_FILE", str(key))
    assert f"{link} is also --key-file {key}" in run("score", orders_csv, *DROP, *fast, "-o", link).error()
    assert key.read_bytes() == bytes(range(32))


@pytest.mark.parametrize("way", WAYS)
def test_two_outputs_of_a_command_are_two_files(run, orders_csv, model, tmp_path, other_name, way):
    first = tmp_path / "a.csv"
    first.write_bytes(b"earlier")
    second = other_name(way, first, "b.csv")
    line = run("explain", orders_csv, "-m", model, *DROP, "-o", first, "--repair", second).error()
    assert line == f"error: --repair {second} is also --output {first}; name a file of its own."
    assert first.read_bytes() == b"earlier"


def test_files_of_a_directory_that_are_one_file_are_refused(run, orders_csv, model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("a.csv", "b.csv"):
        shutil.copy(orders_csv, tmp_path / "in" / name)
    (tmp_path / "out" / "a.csv").symlink_to("b.csv")
    arguments = ("score", tmp_path / "in", "-m", model, *DROP, "-o", tmp_path / "out")
    assert "would become one file" in run(*arguments).error()
    (tmp_path / "out" / "a.csv").unlink()
    os.mkfifo(tmp_path / "out" / "a.csv")
    assert "a.csv is there, and is no file; name another directory" in run(*arguments).error()


def test_sheet_is_neither_the_model_nor_the_table(run, good, image_model, tmp_path, write):
    sheet = tmp_path / "s.png"
    shutil.copy(image_model, sheet)
    line = run("score", good, "-m", sheet, "--sheet", sheet).error()
    assert line == f"error: --sheet {sheet} is also --model {sheet}; name a file of its own."
    table = tmp_path / "t.csv"
    table.hardlink_to(sheet)
    line = run("score", good, "-m", image_model, "--sheet", sheet, "-o", table).error()
    assert line == f"error: --output {table} is also --sheet {sheet}; name a file of its own."


def failing(monkeypatch, name, number):
    real = getattr(os, name)

    def fail(*arguments, **options):
        # The folder of the journal and others are ours, too.
        if name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode):
            return real(*arguments, **options)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize(
    ("command", "name", "step", "number"),
    [
        *((command, name, "fsync", errno.ENOSPC) for command, name in EVERY),
        *((command, name, "replace", errno.EROFS) for command, name in (EVERY[0], EVERY[-2])),
        *((command, name, "fsync", errno.EIO) for command, name in (EVERY[0], EVERY[-2])),
    ],
)
def test_disk_that_fails_leaves_the_old_file_and_no_part(
    run, commands, tmp_path, monkeypatch, command, name, step, number
):
    target = tmp_path / name
    target.write_bytes(b"earlier")
    failing(monkeypatch, step, number)
    line = run(*commands[command], target).error(code=1)
    assert line.startswith(f"error: {target} cannot be written: {os.strerror(number)}.")
    assert target.read_bytes() == b"earlier"
    kept = [".t.csv.scores"] if command.startswith("score") and "without" not in command else []
    assert names_in(tmp_path) == [*kept, name]


def test_full_disk_leaves_the_old_files_and_no_part(run, fast, model, orders, small_disk, tmp_path):
    many = tmp_path / "many.csv"
    orders.loc[orders.index.repeat(20)].to_csv(many, index=False)
    (small_disk / "rest").write_bytes(bytes(1_000_000))
    for name in ("t.csv", "m.vae"):
        (small_disk / name).write_bytes(b"earlier")
    table = run("score", many, "-m", model, *DROP, "-o", small_disk / "t.csv").error(code=1)
    assert "cannot be written: No space left on device." in table
    fitted = run("fit", many, *DROP, *fast, "-o", small_disk / "m.vae").error(code=1)
    assert fitted == f"error: {small_disk / 'm.vae'} cannot be written: No space left on device."
    assert {(small_disk / name).read_bytes() for name in ("t.csv", "m.vae")} == {b"earlier"}
    assert set(names_in(small_disk)) - {".t.csv.scores"} == {"m.vae", "rest", "t.csv"}


def test_image_files_keep_mode_and_links_and_leave_nothing(run, good, image_model, tmp_path, monkeypatch):
    arguments = ("score", good, "-m", image_model, "--heatmaps", tmp_path / "maps", "--sheet", tmp_path / "s.png")
    assert run(*arguments, "--top", "2").code == 0
    first = next(path for path in sorted((tmp_path / "maps").rglob("*.png")))
    for path in (first, tmp_path / "s.png"):
        path.chmod(0o600)
    left = first.with_name(f".{first.name}.0123abcd.part")
    left.write_bytes(b"half")
    (tmp_path / ".s.png.0123abcd.part").write_bytes(b"half")
    other = first.with_name(".holiday.png.part")
    other.write_bytes(b"of somebody else")
    assert run(*arguments, "--top", "2").code == 0
    assert {mode_of(path) for path in (first, tmp_path / "s.png")} == {0o600}
    assert [name for name in names_in(tmp_path) if name.endswith(".part")] == [other.relative_to(tmp_path).as_posix()]
    before = names_in(tmp_path)
    failing(monkeypatch, "replace", errno.ENOSPC)
    assert "cannot be written: No space left on device" in run(*arguments, "--top", "2").error(code=1)
    assert names_in(tmp_path) == before


def test_page_that_is_no_file_is_refused(run, good, image_model, tmp_path):
    (tmp_path / "maps").mkdir()
    name = next(path for path in sorted(good.rglob("*.png")))
    page = tmp_path / "maps" / name.relative_to(good)
    page.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(page)
    line = run("score", good, "-m", image_model, "--heatmaps", tmp_path / "maps").error()
    assert f"{page} is there, and is no file; name another directory" in line


OTHERS = (".holiday.mp4.part", ".p.csv.0123abcd.part", ".o.csv.part", ".o.csv.1.part", ".o.csv.csv.0123abcd.part")


@pytest.fixture
def stopped(run, orders_csv, model, tmp_path, monkeypatch):
    """A run that could not be finished, what it noted of unfinished files, and its arguments."""

    def stop(output):
        arguments = ("score", orders_csv, "-m", model, *DROP, "-o", f"{tmp_path}/{output}")
        with monkeypatch.context() as patched:
            failing(patched, "replace", errno.EIO)
            assert run(*arguments).code == 1
        (journal,) = tmp_path.rglob(".*.scores")
        (name,) = re.findall(rb"[.](?:o|orders)[.]csv[.][0-9a-f]{8}[.]part", journal.read_bytes())
        return arguments, journal.with_name(name.decode())

    return stop


@pytest.mark.parametrize("output", ["o.csv", "out/"])
def test_resume_removes_only_what_its_own_journal_notes(run, stopped, tmp_path, output):
    arguments, part = stopped(output)
    name = part.name.split(".csv")[0][1:]
    others = [part.with_name(other.replace(".o.", f".{name}.")) for other in (*OTHERS, ".o.csv.89abcdef.part")]
    for path in (part, *others):
        path.write_bytes(b"half")
    outcome = run(*arguments, "--resume")
    assert outcome.code == 0, outcome.err
    assert names_in(part.parent) == sorted([*(path.name for path in others), f"{name}.csv"])


def test_plain_run_removes_what_killed_runs_of_the_same_output_left(run, stopped, tmp_path):
    arguments, part = stopped("o.csv")
    for path in (part, *(tmp_path / name for name in (*OTHERS, ".o.csv.89abcdef.part"))):
        path.write_bytes(b"half")
    assert run(*arguments).code == 0
    assert names_in(tmp_path) == sorted([*OTHERS, "o.csv"])


@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_part_of_a_running_writer_stays(run, stopped, tmp_path, options):
    arguments, part = stopped("o.csv")
    part.write_bytes(b"half")
    with part.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert run(*arguments, *options).code == 0
    assert names_in(tmp_path) == [part.name, "o.csv"]


def test_files_of_a_directory_keep_their_mode_and_leave_no_part(run, orders_csv, fast, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep").mkdir(parents=True)
    target = tmp_path / "out" / "deep" / "a.csv"
    shutil.copy(orders_csv, tmp_path / "in" / "deep" / "a.csv")
    target.write_bytes(b"earlier")
    target.chmod(0o600)
    target.with_name(".a.csv.0123abcd.part").write_bytes(b"half")
    assert run("score", tmp_path / "in", *DROP, *fast, "-o", f"{tmp_path / 'out'}/").code == 0
    assert names_in(tmp_path / "out") == ["deep/a.csv"]
    assert mode_of(target) == 0o600
    assert len(pd.read_csv(target)) == 60


def test_model_that_is_rewritten_in_place_keeps_its_mode(run, own_model):
    own_model.chmod(0o600)
    before = load(own_model).threshold_.score
    assert run("threshold", own_model, "--contamination", "0.2", "-o", own_model).code == 0
    assert mode_of(own_model) == 0o600
    assert load(own_model).threshold_.score != before
