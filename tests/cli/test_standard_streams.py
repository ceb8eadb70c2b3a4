"""Whatever the streams, the names and the surroundings of a process are: our words and exit code, nothing else."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly import VAEDetector, load, save
from vae_anomaly_cli.main import main
from vae_anomaly_cli.render.drawings import Escaped
from vae_anomaly_cli.sources.json_values import MAX_NESTING

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="streams are given to a child of a fork")

# Runs the command in children that have all imports behind them, with streams as the interpreter would make them.
SERVER = Path(__file__).with_name("warm_server.py")
PYTHONS_WORDS = re.compile(r"Traceback|Exception ignored|\b[A-Z]\w*(Error|Exception|Invalid)\b|VAE_ANOMALY_DEBUG")
NULL, FULL = "/dev/null", "/dev/full"
CLOSED = "standard output cannot be written: it is closed.\n"
NO_SPACE = "standard output cannot be written: No space left on device.\n"


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what stood in its streams."""

    code: int
    out: bytes
    err: str


class Processes:
    """Runs the command again and again."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        self.server = subprocess.Popen([sys.executable, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, *arguments, streams=("in", "out", "err"), given=b"", uid=0, timeout=40, **environment):
        self.n += 1
        here = self.folder / str(self.n)
        here.mkdir()
        for name, content in (("in", given), ("out", b""), ("err", b"")):
            (here / name).write_bytes(content)
            (here / name).chmod(0o666)
        request = {
            "arguments": [os.fsencode(argument).decode("latin-1") for argument in map(str, arguments)],
            "streams": [None if one is None else one if "/" in one else str(here / one) for one in streams],
            "environment": {"OMP_NUM_THREADS": "1", "COLUMNS": "100"} | environment,
            "folder": str(here),
            "uid": uid,
        }
        self.server.stdin.write(json.dumps(request).encode() + b"\n")
        self.server.stdin.flush()
        process = json.loads(self.server.stdout.readline())
        timer = threading.Timer(timeout, os.kill, (process, signal.SIGKILL))
        timer.start()
        code = json.loads(self.server.stdout.readline())
        timer.cancel()
        ended = Ended(code, (here / "out").read_bytes(), (here / "err").read_text("utf-8", "backslashreplace"))
        assert code in (0, 1, 2, 3), (arguments, code, ended.err)
        assert not PYTHONS_WORDS.search(ended.err), (arguments, ended.err)
        return ended

    def close(self):
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    processes = Processes(tmp_path_factory.mktemp("streams"))
    yield processes
    processes.close()


@pytest.fixture(scope="module")
def commands(orders_csv, later_csv, normal_csv, model, calibrated, folder, fast):
    """Every command, and whether it writes to standard output."""
    return {
        "score": (("score", normal_csv, "-m", model), True),
        "score to a file": (("score", normal_csv, "-m", model, "-o", folder / "stream.csv"), False),
        "score in JSON": (("score", normal_csv, "-m", model, "--json"), True),
        "fit": (("fit", orders_csv, "-o", folder / "stream.vae", *fast), False),
        "info": (("info", model), True),
        "explain": (("explain", normal_csv, "-m", model), True),
        "evaluate": (("evaluate", later_csv, "-m", calibrated, "--label", "fraud"), True),
        "threshold": (("threshold", calibrated), True),
        "calibrate": (("calibrate", normal_csv, "-m", model, "-o", folder / "again.vae"), False),
        "audit": (("audit", calibrated, normal_csv), True),
        "drift": (("drift", normal_csv, "-m", calibrated), True),
        "help": (("--help",), True),
        "help of a command": (("fit", "--help"), True),
        "version": (("--version",), True),
        "nothing": ((), True),
    }


NAMES = (
    "score",
    "score to a file",
    "score in JSON",
    "fit",
    "info",
    "explain",
    "evaluate",
    "threshold",
    "calibrate",
    "audit",
    "drift",
    "help",
    "help of a command",
    "version",
    "nothing",
)
QUICK = ("score", "fit", "info", "help", "version")
EVERY = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES]


@pytest.mark.parametrize("name", EVERY)
def test_closed_streams_end_in_our_words(process, commands, name):
    arguments, writes = commands[name]
    done = process(*arguments, streams=("in", None, "err"))
    assert done.code == int(writes)
    assert done.err.endswith(CLOSED) is writes
    assert process(*arguments, streams=(None, None, None)).code == int(writes)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("messages", [None, FULL])
def test_messages_that_nobody_reads_change_nothing(process, commands, name, messages):
    arguments, writes = commands[name]
    done = process(*arguments, streams=("in", "out", messages))
    assert (done.code, bool(done.out)) == (0, writes)


@pytest.mark.parametrize("name", EVERY)
def test_full_standard_output_is_a_failure(process, commands, name):
    arguments, writes = commands[name]
    done = process(*arguments, streams=("in", FULL, "err"))
    assert done.code == int(writes)
    assert done.err.endswith(NO_SPACE) is writes


def test_closed_streams_leave_data_and_model_alone(process, orders_csv, model, tmp_path):
    before = orders_csv.read_bytes(), model.read_bytes()
    process("score", orders_csv, "-m", model, streams=(None, None, None))
    process("score", orders_csv, "-m", model, "-o", tmp_path / "o.csv", streams=(None, None, None))
    assert before == (orders_csv.read_bytes(), model.read_bytes())
    assert len(pd.read_csv(tmp_path / "o.csv")) == 60


def test_closed_standard_input_is_said(process, model):
    done = process("score", "-", "-m", model, streams=(None, "out", "err"))
    assert (done.code, done.err) == (
        2,
        "error: standard input cannot be read: it is closed. Name a file, or pipe the table.\n",
    )


@pytest.mark.parametrize("arguments", [("--help",), ("info", "MODEL"), ("score", "TABLE", "-m", "MODEL")])
def test_reader_that_leaves_ends_every_command_quietly(process, model, many, tmp_path, arguments):
    table, of_many = many
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def read():
        with pipe.open("rb", buffering=0) as stream:
            stream.read(1)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    named = [{"MODEL": of_many, "TABLE": table}.get(each, each) for each in arguments]
    quiet = ("-q",) if "score" in arguments else ()
    done = process(*named, *quiet, streams=("in", str(pipe), "err"))
    reader.join()
    assert (done.code, done.err) == (0, "")


def test_reader_that_leaves_is_no_proof_that_nothing_drifted(process, calibrated, normal_csv, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: pipe.open("rb").close(), daemon=True)
    reader.start()
    arguments = ("score", normal_csv, "-m", calibrated, "--fail-on-drift", "-q")
    done = process(*arguments, streams=("in", str(pipe), "err"))
    reader.join()
    assert (done.code, "left before all was checked for drift" in done.err) == (1, True)


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1", "utf-8:strict"])
def test_encoding_that_lacks_characters_is_no_failure(process, encoding, tmp_path, fast):
    table = tmp_path / "größe\u202e.csv"
    rows = {"größe": np.arange(40.0) % 7, "läge": ["süd", "nörd"] * 20, "名前": ["\U0001f600", "x"] * 20}
    pd.DataFrame(rows).to_csv(table, index=False)
    done = process("fit", table, "-o", tmp_path / "m.vae", *fast, PYTHONIOENCODING=encoding)
    assert done.code == 0
    for arguments in (("info", tmp_path / "m.vae"), ("explain", table, "-m", tmp_path / "m.vae"), ("score", "nö.csv")):
        assert process(*arguments, PYTHONIOENCODING=encoding).code == (2 if "nö.csv" in arguments else 0)


@pytest.fixture(scope="module")
def odd(tmp_path_factory, model):
    """Paths that lead to no file, by what they are."""
    folder = tmp_path_factory.mktemp("odd")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "loop").symlink_to(folder / "pool")
    (folder / "pool").symlink_to(folder / "loop")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(folder):
        listening.bind("socket")
    return folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pipe", "is a pipe; expected a model file"),
        ("folder", "is a directory; expected a model file"),
        ("socket", "is a socket; expected a model file"),
        ("empty", "not a model file"),
        ("loop", "Too many levels of symbolic links"),
        ("a" * 300, "File name too long"),
        ("nul\0", "nul\\x00: the name has a character that no name can have"),
        ("no", "does not exist"),
        ("empty/no", "does not exist"),
        ("/dev/zero", "is a device; expected a model file"),
        (os.fsdecode(b"\xff\x1b[31m"), "\\xff\\x1b[31m does not exist"),
    ],
)
def test_path_that_is_no_model_is_said_by_every_command(run, odd, normal_csv, name, said):
    for before in (("info",), ("threshold",), ("score", normal_csv, "-m"), ("drift", normal_csv, "-m")):
        error = run(*before, os.path.join(odd, name)).error()  # noqa: PTH118 - a name with NUL is no path
        assert said in error
        assert not PYTHONS_WORDS.search(error)


@pytest.mark.skipif(getattr(os, "getuid", lambda: 1)() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(
    any(not folder.stat().st_mode & 0o001 for folder in (Path(sys.prefix), *Path(sys.prefix).parents)),
    reason="somebody else cannot import what is installed here",
)
def test_model_without_permission_is_said_as_such(process, model, orders_csv):
    with contextlib.ExitStack() as closing:
        folder = Path("/tmp") / f"vae-anomaly-{os.getpid()}"
        folder.mkdir()
        closing.callback(folder.rmdir)
        path = folder / "m.vae"
        path.write_bytes(model.read_bytes())
        closing.callback(path.unlink)
        path.chmod(0)
        done = process("info", path, uid=65534)
    assert (done.code, done.err) == (2, f"error: {path} cannot be read: Permission denied; expected a model file.\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("socket", "cannot be read: No such device or address"),
        ("loop", "Too many levels of symbolic links"),
        ("/dev/zero", "is a device, which may have no end; expected a file or a pipe"),
        ("/dev/null", "is empty"),
        ("a" * 300 + ".csv", "File name too long"),
        ("nul\0.csv", "the name has a character that no name can have"),
        (os.fsdecode(b"\xff.csv"), "\\xff.csv does not exist"),
    ],
)
def test_path_that_is_no_table_is_said(run, odd, model, name, said):
    error = run("score", os.path.join(odd, name), "-m", model).error()  # noqa: PTH118 - a name with NUL is no path
    assert said in error
    assert not PYTHONS_WORDS.search(error)


def test_endless_device_as_standard_input_is_refused(process, model):
    done = process("score", "-", "-m", model, streams=("/dev/zero", "out", "err"))
    assert (done.code, "standard input is a device, which may have no end" in done.err) == (2, True)


def test_pipe_is_read_and_waited_for_with_a_word(process, orders_csv, model, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said = process.folder / str(process.n + 1) / "err"

    def write_when_waited_for():
        while not (said.exists() and said.stat().st_size):
            time.sleep(0.02)
        pipe.write_bytes(orders_csv.read_bytes())

    writer = threading.Thread(target=write_when_waited_for, daemon=True)
    writer.start()
    done = process("score", pipe, "-m", model, "-q")
    writer.join()
    assert (done.code, done.out.count(b"\n")) == (0, 61)
    assert done.err == f"waiting for {pipe}: a pipe to which nothing has been written; Ctrl-C ends this\n"


def test_pipe_among_images_is_left_out(process, draw, tmp_path, fast):
    folder = tmp_path / "in"
    for number in range(12):
        draw(folder / f"{number}.png", number)
    os.mkfifo(folder / "pipe.png")
    done = process("score", folder / "pipe.png", *fast)
    assert (done.code, "no regular file but a pipe or a device" in done.err) == (2, True)


def lines_with(value):
    rows = [{"a": number / 7, "b": f"{number % 3}"} for number in range(40)]
    lines = [json.dumps(row) for row in rows]
    lines[5] = f'{{"a": 1.0, "b": "1", "c": {value}}}'
    return lines


@pytest.mark.parametrize("depth", [MAX_NESTING, 900, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"k":', "}")])
@pytest.mark.parametrize("name", ["t.jsonl", "t.json"])
def test_deep_json_is_refused_by_its_line(run, write, fast, depth, left, right, name):
    lines = lines_with(left * depth + "1" + right * depth)
    content = "\n".join(lines) if name == "t.jsonl" else f"[{','.join(lines)}]"
    error = run("score", write(name, content), *fast).error()
    assert f"it nests deeper than {MAX_NESTING} levels" in error
    assert ("line 6" in error) is (name == "t.jsonl")


@pytest.mark.parametrize("value", ['"[[[[{{{{' + "[{" * 50 + '"', "[" * 20 + "1" + "]" * 20])
def test_brackets_that_do_not_nest_deeply_are_read(run, write, fast, value):
    assert run("score", write("t.jsonl", "\n".join(lines_with(value))), *fast).code == 0


def test_number_of_very_many_digits_is_refused_by_its_line(run, write, fast):
    error = run("score", write("t.jsonl", "\n".join(lines_with("9" * 5000))), *fast).error()
    assert "line 6 is not a JSON object (a number has 5,000 digits)" in error


@pytest.mark.parametrize("name", ["t.jsonl", "t.json"])
@pytest.mark.parametrize("value", ['"\\ud800"', '{"\\udc00": 1}'])
def test_half_of_a_character_is_refused(run, write, fast, name, value):
    lines = lines_with(value)
    content = "\n".join(lines) if name == "t.jsonl" else f"[{','.join(lines)}]"
    assert "is half of a character" in run("score", write(name, content), *fast).error()


FAR = "holds a date outside of the years 1 to 9999 (row 1)"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (pa.array([2**62] * 20, pa.timestamp("ms")), FAR),
        (pa.array([-(2**62)] * 20, pa.timestamp("us")), FAR),
        (pa.array([2**31 - 1] * 20, pa.date32()), FAR),
        (pa.array([2**62] * 20, pa.timestamp("us")).dictionary_encode(), FAR),
        (pa.array([0] * 20, pa.timestamp("s", "Mars/Olympus")), "the zone 'Mars/Olympus', which is not known"),
        (pa.array([2**62] * 20, pa.duration("s")), "holds a duration of more than 999,999,999 days (row 1)"),
    ],
)
def test_date_that_nothing_can_write_is_refused_by_its_row(run, tmp_path, fast, cells, said):
    pq.write_table(pa.table({"a": np.arange(20.0), "when": cells}), tmp_path / "t.parquet", store_schema=True)
    error = run("score", tmp_path / "t.parquet", *fast).error()
    assert "column 'when'" in error
    assert said in error


@pytest.mark.parametrize("year", ["0001-01-01", "9999-12-31"])
def test_first_and_last_date_are_read_and_written(run, tmp_path, fast, year):
    cells = pa.array([np.datetime64(year, "us")] * 20, pa.timestamp("us"))
    pq.write_table(pa.table({"a": np.arange(20.0), "when": cells}), tmp_path / "t.parquet")
    for name in ("o.jsonl", "o.csv", "o.parquet"):
        assert run("score", tmp_path / "t.parquet", *fast, "-o", tmp_path / name).code == 0


def test_text_that_is_no_utf8_is_refused(run, tmp_path, fast):
    stored = pa.array([b"\xff"] * 20)
    text = pa.StringArray.from_buffers(20, stored.buffers()[1], stored.buffers()[2])
    pq.write_table(pa.table({"a": np.arange(20.0), "b": text}), tmp_path / "t.parquet")
    assert "is not a readable Parquet file" in run("score", tmp_path / "t.parquet", *fast).error()


STEERING = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae")


@pytest.fixture(scope="module")
def steering(tmp_path_factory, fast):
    """A table whose names and levels would steer a terminal, or be markup, and a model of it."""
    folder = tmp_path_factory.mktemp("steering")
    table = folder / "[bold]\x1b[31mt.csv"
    rows = {
        "\x1b[31mred\x9b": np.arange(40.0) % 7,
        "[bold]b[/bold]": ["\x1b]0;title\x07", "[link=http://x]l[/link]"] * 20,
        "c\u202e": [f"\x1b[2J{number % 3}" for number in range(40)],
    }
    pd.DataFrame(rows).to_csv(table, index=False)
    assert main(["fit", str(table), "-o", str(folder / "m.vae"), *fast, "-q"]) == 0
    return table, folder / "m.vae"


@pytest.mark.parametrize("command", ["info", "explain", "score", "drift"])
def test_names_and_levels_steer_no_terminal(process, steering, command):
    pty = pytest.importorskip("pty")
    table, fitted = steering
    ours, theirs = pty.openpty()
    shown = []

    def read():
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65536):
                shown.append(part)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    arguments = ("info", fitted) if command == "info" else (command, table, "-m", fitted)
    terminal = os.ttyname(theirs)
    done = process(*arguments, streams=("in", terminal, terminal), NO_COLOR="1", TERM="dumb")
    os.close(theirs)
    reader.join()
    os.close(ours)
    # With -vv of rich, styles remain; of a dumb terminal none do.
    text = b"".join(shown).replace(b"\r\n", b"\n")
    assert done.code == 0
    assert text
    assert STEERING.search(text) is None
    if command in ("info", "explain", "score"):
        assert b"\\x1b[31m" in text


def test_drawing_escapes_what_steers_and_keeps_lines():
    from rich.console import Console

    console = Console(width=40)
    with console.capture() as captured:
        console.print(Escaped("a\x1bb"), Escaped("[red]\n"))
    assert "\\x1b" in captured.get()


@pytest.mark.parametrize("columns", ["1", "0", "20", "", "x", "100000"])
def test_width_of_any_kind_is_drawn(process, model, columns):
    assert process("info", model, COLUMNS=columns, TERM="dumb").code == 0


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.json", "o.parquet", "o.arrow"])
def test_name_that_is_no_utf8_is_read_and_written(run, orders_csv, model, tmp_path, name):
    data = tmp_path / os.fsdecode(b"\xff.csv")
    data.write_bytes(orders_csv.read_bytes())
    (tmp_path / os.fsdecode(b"m\xff.vae")).write_bytes(model.read_bytes())
    output = tmp_path / os.fsdecode(b"\xfe" + name.encode())
    done = run("score", data, orders_csv, "-m", tmp_path / os.fsdecode(b"m\xff.vae"), "-o", output)
    assert done.code == 0, done.err
    assert "\\xfe" in done.err
    assert output.stat().st_size
    shown = run("score", data, orders_csv, "-m", model, "--json")
    assert shown.code == 0, shown.err
    json.loads(shown.text)


def test_directory_that_is_gone_is_said(run, orders_csv, model, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    with contextlib.chdir(gone):
        gone.rmdir()
        error = run("score", orders_csv, "-m", model).error()
        assert run("--version").code == 0
    assert error == (
        "error: the current directory cannot be used: No such file or directory. Change to one that is there."
    )


SURROUNDINGS = {
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONHASHSEED": "1",
    "HOME": "/no/such",
    "TMPDIR": "/no/such",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
}


@pytest.mark.slow
def test_surroundings_change_no_score(run, orders_csv, model, tmp_path):
    """All at once, against this process, which has none of them."""
    # Modules of these names would be found first where the current directory is searched.
    for name in ("torch.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit(9)")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vae_anomaly_cli", "score", orders_csv, "-m", model, "-q"],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | SURROUNDINGS,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == run("score", orders_csv, "-m", model, "-q").text


def test_sentences_of_ours_are_no_formulas(run, write, fast):
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=60) for name in ("=cmd()", "+a", "-b", "@c")} | {"d": ["=cmd()", "+1"] * 30}
    table = pd.DataFrame(rows)
    for row, name in enumerate(rows):
        if name != "d":
            table.loc[row, name] = 1e3
    done = run("score", write("t.csv", table.to_csv(index=False)), *fast, "--explain", "--top", "4", "--only-top")
    assert done.code == 0
    assert done.frame["reasons"].str.match("column [=+@-]").all()
    # Cells of the input are as they came.
    assert set(done.frame["d"]) <= {"=cmd()", "+1"}


def test_nothing_is_asked_of_the_network(monkeypatch, run, orders, orders_csv, tmp_path, fast):
    def refused(*_arguments, **_named):
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refused)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refused)
    rows = orders[["amount", "items", "shop"]]
    detector = VAEDetector(max_iter=5, n_estimators=1).fit(rows)
    save(detector, tmp_path / "m.vae")
    again = load(tmp_path / "m.vae")
    assert np.array_equal(again.score_samples(rows), detector.score_samples(rows))
    again.explain(rows.head(2))
    assert run("fit", orders_csv, "-o", tmp_path / "n.vae", *fast).code == 0
    assert run("score", orders_csv, "-m", tmp_path / "n.vae", "-o", tmp_path / "o.csv", "--explain").code == 0
    with pytest.raises(AssertionError, match="the network"):
        socket.create_connection(("localhost", 1))
