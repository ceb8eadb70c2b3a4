"""The command as a process: exit codes, streams, terminals, signals."""

import contextlib
import importlib.metadata
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vae_anomaly.data import write_png
from vae_anomaly_cli.main import main

COMMAND = [sys.executable, "-m", "vae_anomaly_cli"]
# Shells start background jobs with SIGINT ignored, and children inherit that.
HEARD = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from vae_anomaly_cli.main import main; sys.exit(main(sys.argv[1:]))"
)


def environment(**extra):
    return {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")} | {
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "TERM": "xterm",
        **extra,
    }


def run_process(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, env=environment(), **options)


def shown_on(terminal):
    """Everything that is written to the other side of a pseudo-terminal."""
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65536):
            shown += chunk
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n")


def process_on_a_terminal(*arguments, **extra):
    """Run with standard output and error on one pseudo-terminal; return code and everything shown."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**extra)
    )
    os.close(theirs)
    shown = shown_on(ours)
    return process.wait(), shown


@pytest.fixture
def on_a_terminal(monkeypatch):
    """The same in this process, which has all its imports behind it."""
    pty = pytest.importorskip("pty")

    def run_here(*arguments, **extra):
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment(**extra).items():
            monkeypatch.setenv(name, value)
        ours, theirs = pty.openpty()
        found = []
        reader = threading.Thread(target=lambda: found.append(shown_on(ours)))
        reader.start()
        with (
            io.TextIOWrapper(io.FileIO(theirs, "w"), encoding="utf-8", write_through=True) as terminal,
            contextlib.redirect_stdout(terminal),
            contextlib.redirect_stderr(terminal),
        ):
            code = main([*map(str, arguments)])
        reader.join()
        return code, found[0]

    return run_here


def test_installed_command_is_this_one():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="vae-anomaly")
    assert entry.value == "vae_anomaly_cli.main:main"


def test_installed_script_runs(orders_csv, model):
    script = shutil.which("vae-anomaly", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the package is not installed")
    done = subprocess.run(
        [script, "score", orders_csv, "-m", model, "--drop", "order"], capture_output=True, env=environment()
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"row,order,amount,items,shop,paid,anomaly_score,p_value,is_anomaly,problem\n1,0000,")
    assert done.stderr.startswith(b"scored ")
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stdout + done.stderr
    failed = subprocess.run([script, "score", "no.csv"], capture_output=True, env=environment())
    assert failed.returncode == 2


def test_data_and_messages_keep_apart(run, orders_csv, model):
    done = run("score", "-", "-m", model, "--id", "order", stdin=orders_csv.read_bytes())
    assert done.code == 0
    assert done.out.startswith(b"row,order,anomaly_score,p_value,is_anomaly,problem\n")
    assert done.out.count(b"\n") == 61
    assert done.err.count("\n") == 1
    assert "\x1b" not in done.err


def test_misuse_is_code_2_and_one_line():
    done = run_process("score", "no-such-file.csv")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr == b"error: no-such-file.csv does not exist. Check the path ('-' reads standard input).\n"


def test_failure_is_code_1_and_one_line(orders_csv, model, tmp_path):
    done = run_process("score", orders_csv, "-m", model, "-o", tmp_path / "no" / "out.csv")
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_device_is_code_1_and_one_line(orders_csv, model, capsys):
    with Path("/dev/full").open("w") as full, contextlib.redirect_stdout(full):
        assert main(["score", str(orders_csv), "-m", str(model), "-q"]) == 1
        # The interpreter flushes what is left, at its end.
        full.write("left")
        full.flush()
    assert capsys.readouterr().err == "error: standard output cannot be written: No space left on device.\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["score", "--help"], ["--version"], ["fit", "--help"], ["score", "no.csv"], []]
)
def test_help_version_and_misuse_load_nothing_large(arguments):
    large = "{'torch', 'vae_anomaly.data', 'vae_anomaly.model', 'pandas', 'sklearn', 'scipy'}"
    if arguments[-1:] != ["no.csv"]:
        large = large.replace("}", ", 'numpy', 'pyarrow'}")
    program = (
        "import sys; from vae_anomaly_cli.main import main; main(sys.argv[1:]);"
        f"found = {large} & set(sys.modules); sys.stderr.write(str(found)); sys.exit(bool(found))"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, env=environment())
    assert done.returncode == 0, done.stderr


def test_refusal_of_a_column_loads_no_pandas(orders_csv):
    program = "import sys; from vae_anomaly_cli.main import main; main(sys.argv[1:]); sys.exit('pandas' in sys.modules)"
    arguments = ["score", str(orders_csv), "--drop", "no"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, env=environment())
    assert b"has no such column" in done.stderr
    assert done.returncode == 0


def test_help_begins_with_examples_and_documents_exit_codes(run):
    shown = run("--help").text
    assert shown.index("vae-anomaly score data.csv") < shown.index("Options")
    for line in ("0    done", "1    the work failed", "2    options or input", "130  interrupted"):
        assert line in shown
    for command in ("score", "explain", "fit", "info"):
        assert f"vae-anomaly {command} " in run(command, "--help").text


def test_version():
    assert run_process("--version").stdout.decode() == f"vae-anomaly {importlib.metadata.version('vae-anomaly')}\n"


def test_reader_that_leaves_early_is_no_error(orders, tmp_path, model, capsys):
    path = tmp_path / "long.csv"
    orders.loc[orders.index.repeat(200)].to_csv(path, index=False)
    theirs, ours = os.pipe()

    def read_a_line():
        with os.fdopen(theirs, "rb", buffering=0) as reader:
            found.append(reader.read(6))

    found = []
    reader = threading.Thread(target=read_a_line)
    reader.start()
    with os.fdopen(ours, "w") as pipe, contextlib.redirect_stdout(pipe):
        code = main(["score", str(path), "-m", str(model), "-q"])
        # The interpreter flushes what is left, at its end.
        pipe.write("left")
        pipe.flush()
    reader.join()
    assert (code, found) == (0, [b"row,or"])
    assert capsys.readouterr().err == ""


@pytest.fixture
def plain(on_a_terminal, orders_csv, model):
    code, shown = on_a_terminal("score", orders_csv, "-m", model, "--id", "order", NO_COLOR="1")
    assert code == 0
    return shown


@pytest.mark.slow
def test_process_shows_on_a_terminal_what_this_one_does(plain, orders_csv, model):
    code, shown = process_on_a_terminal("score", orders_csv, "-m", model, "--id", "order", NO_COLOR="1")
    assert code == 0
    found, expected = ([line for line in text.splitlines() if line.startswith("│")] for text in (shown, plain))
    assert found == expected
    assert ": 60 rows; threshold " in " ".join(shown.split())


def test_terminal_gets_a_short_ranking(plain):
    rows = [line for line in plain.splitlines() if line.startswith("│")]
    assert len(rows) == 10
    assert "0040" in rows[0]
    assert "yes" in rows[0]
    assert "anomaly_score" in plain
    assert "60 rows" in plain


def test_terminal_width_hides_columns_and_says_so(on_a_terminal, orders_csv, model):
    _, shown = on_a_terminal("score", orders_csv, "-m", model, "-q", "--top", "2", COLUMNS="50", NO_COLOR="1")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(len(line) for line in lines) <= 50
    assert "more columns with -o FILE" in lines[-1]
    assert len([line for line in lines if line.startswith("│")]) == 2


@pytest.mark.parametrize("width", ["80", "120"])
def test_terminal_shows_reasons_within_its_width(on_a_terminal, orders_csv, model, width):
    arguments = ("score", orders_csv, "-m", model, "--id", "order", "--explain", "-q", "--top", "3")
    code, shown = on_a_terminal(*arguments, COLUMNS=width, NO_COLOR="1")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert code == 0
    assert max(len(line) for line in lines) <= int(width)
    assert "reasons" in lines[1]
    assert lines[3].split("│")[1:3] == ["  41 ", " 0040  "]
    assert re.search(r"(items 900|amount 400) \(expected \d", lines[3])
    assert "shop" not in lines[1]


def test_terminal_shows_a_block_for_each_explained_row(on_a_terminal, orders_csv, model):
    arguments = ("explain", orders_csv, "-m", model, "--id", "order", "-q", "--top", "2")
    code, shown = on_a_terminal(*arguments, COLUMNS="80")
    assert code == 0
    assert "\x1b[1;31m" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert lines[0].startswith("row 41, order 0040: ")
    assert lines.count("") == 1


def test_pipe_gets_explanations_without_escapes(run, orders_csv, model):
    for arguments in (("explain", orders_csv), ("score", orders_csv, "--explain")):
        done = run(*arguments, "-m", model, "--id", "order", "-q")
        assert done.code == 0
        assert done.out
        assert b"\x1b" not in done.out + done.err.encode()


def test_no_color_is_respected(on_a_terminal, orders_csv, model, plain):
    colourful = on_a_terminal("score", orders_csv, "-m", model)[1]
    assert "\x1b[1;31m" in colourful
    assert "\x1b[1;31m" not in plain
    assert ";31m" not in plain


def test_terminal_sees_progress_of_a_fit_unless_quiet(on_a_terminal, orders_csv, tmp_path, fast):
    arguments = ("fit", orders_csv, "-o", tmp_path / "m.vae", "--id", "order", *fast)
    assert "10 steps, ELBO " in on_a_terminal(*arguments)[1]
    assert on_a_terminal(*arguments, "--quiet")[1] == ""


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_terminal_sees_rows_per_second_of_a_score_unless_quiet(on_a_terminal, orders, model, tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    frame = orders.loc[orders.index.repeat(50)].assign(paid=True)
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    arguments = ("score", path, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    shown = on_a_terminal(*arguments)[1]
    assert re.search(r"scoring.*[1-9][0-9,]* rows, [1-9][0-9,]* rows/s", shown)
    assert on_a_terminal(*arguments, "--quiet")[1] == ""


def test_ctrl_c_before_the_result_leaves_no_file(tmp_path):
    target = tmp_path / "out.csv"
    process = subprocess.Popen(
        [sys.executable, "-c", HEARD, "score", "-", "-o", str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        # More than a pipe holds: the write returns only once the command reads.
        process.stdin.write(b"a,b\n" + b"1,2\n" * 100_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"error: interrupted.\n"
    assert process.returncode == 130
    assert not target.exists()


def test_terminal_gets_a_short_ranking_within_its_width(on_a_terminal, image_model, good):
    code, shown = on_a_terminal("score", good, "-m", image_model, NO_COLOR="1", COLUMNS="60")
    assert code == 0
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).splitlines()
    rows = [line for line in lines if line.startswith("│")]
    assert len(rows) == 10
    assert re.match(r"│ +1 │ [0-9]+\.png +│ +[0-9.]+ │", rows[0])
    assert "rank" in shown
    assert "anomaly_score" in shown
    assert max(len(line) for line in lines if line.startswith(("│", "┏", "┃"))) <= 60


def test_terminal_sees_images_per_second_unless_quiet(on_a_terminal, image_model, good, tmp_path):
    arguments = ("score", good, "-m", image_model, "-o", tmp_path / "o.csv", "--sheet", tmp_path / "s.png")
    shown = on_a_terminal(*arguments)[1]
    assert re.search(r"scoring.*[1-9][0-9,]* images, [1-9][0-9,.]* images/s", shown)
    assert "drawing" in shown
    assert on_a_terminal(*arguments, "--quiet")[1] == ""


@pytest.fixture(scope="module")
def many(tmp_path_factory, draw):
    """Three hundred images."""
    folder = tmp_path_factory.mktemp("many") / "in"
    for number in range(300):
        draw(folder / f"{number}.png", number)
    return folder


def test_ctrl_c_while_drawing_leaves_no_half_written_table(run, image_model, good, tmp_path, monkeypatch):
    written = []

    def interrupted(image, path, mark):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write_png(image, path, mark)

    monkeypatch.setattr("vae_anomaly.data.write_png", interrupted)
    arguments = ("score", good, "-m", image_model, "-o", tmp_path / "o.csv", "--heatmaps", tmp_path / "maps")
    outcome = run(*arguments)
    assert (outcome.code, outcome.err) == (130, "error: interrupted.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]
    assert sorted((tmp_path / "maps").iterdir()) == sorted(written)


@pytest.mark.slow
def test_ctrl_c_while_scoring_leaves_no_half_written_table(image_model, many, tmp_path):
    target = tmp_path / "o.csv"
    # Pages take long enough to be interrupted.
    arguments = ("score", many, "-m", image_model, "-o", target, "--heatmaps", tmp_path / "maps")
    process = subprocess.Popen(
        [sys.executable, "-c", HEARD, *map(str, arguments)], stderr=subprocess.PIPE, env=environment()
    )
    with process:
        for _ in range(600):
            if list((tmp_path / "maps").glob("*.png")):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().startswith(b"error: interrupted.")
    assert process.returncode == 130
    assert not target.exists()
    assert not list(tmp_path.glob(".*.part"))
    assert all(path.suffix == ".png" for path in (tmp_path / "maps").iterdir())
