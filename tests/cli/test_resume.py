"""An interrupted run can be gone on with, and leaves nothing half done under a final name."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vae_anomaly import VAEDetector
from vae_anomaly_cli.image_model import ImageModel
from vae_anomaly_cli.output.journal import SCORES, _header, _records

COMMAND = [sys.executable, "-m", "vae_anomaly_cli"]
# Shells start background jobs with SIGINT ignored, and children inherit that; slow, to be hit on the way.
SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import vae_anomaly.batches.image_kernel
import vae_anomaly_cli.sources.table_source
from vae_anomaly import VAEDetector
from vae_anomaly_cli.main import main
vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH = 100
vae_anomaly.batches.image_kernel.MAX_PER_BATCH = 4
score = VAEDetector.decide
VAEDetector.decide = lambda self, frame: (time.sleep(0.2), score(self, frame))[1]
sys.exit(main(sys.argv[1:]))
"""


class Counter:
    """Counts the rows that are scored, and fails when told to."""

    def __init__(self, score):
        self.score = score
        self.n_rows = 0
        self.fail_after = None
        self.failure = KeyboardInterrupt

    def __call__(self, detector, frame):
        if self.fail_after is not None and self.n_rows >= self.fail_after:
            raise self.failure
        self.n_rows += len(frame)
        return self.score(detector, frame)


@pytest.fixture
def counter(monkeypatch):
    counter = Counter(VAEDetector.decide)
    monkeypatch.setattr(VAEDetector, "decide", lambda self, frame: counter(self, frame))  # noqa: PLW0108 - binds
    monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", 7)
    return counter


@pytest.fixture
def interrupted(run, orders_csv, model, tmp_path, counter):
    """A run that was stopped when 28 rows were scored, and the scores of 14 to 28 of them kept."""

    def start(*options, output="o.csv", data=orders_csv):
        counter.fail_after, counter.n_rows = 28, 0
        outcome = run("score", data, "-m", model, "--drop", "order", "-o", tmp_path / output, *options)
        counter.fail_after, counter.n_rows = None, 0
        return outcome

    return start


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("output", "options"),
    [
        *((output, ()) for output in ("o.csv", "o.csv.gz", "o.jsonl", "o.parquet")),
        *((output, ("--explain",)) for output in ("o.csv", "o.parquet")),
        ("o.jsonl", ("--json",)),
    ],
)
def test_resumed_run_gives_the_same_result_without_rescoring(
    run, interrupted, orders_csv, model, tmp_path, counter, output, options
):
    arguments = ("score", orders_csv, "-m", model, "--drop", "order", *options)
    at_once = run(*arguments, "-o", tmp_path / output)
    expected = (tmp_path / output).read_bytes()
    (tmp_path / output).unlink()
    stopped = interrupted(*options, output=output)
    assert stopped.code == 130
    assert stopped.out == b""
    assert stopped.err.endswith("are kept: the same command with --resume goes on from there.\n")
    assert files_in(tmp_path) == [f".{output}.scores"]
    resumed = run(*arguments, "-o", tmp_path / output, "--resume")
    assert resumed.code == 0, resumed.err
    assert (tmp_path / output).read_bytes() == expected
    assert resumed.out == at_once.out
    # Of the four batches that were scored at most two still waited to be written.
    assert counter.n_rows in (32, 39, 46)
    assert files_in(tmp_path) == [output]


def test_resumed_run_can_be_interrupted_again(run, interrupted, orders_csv, model, tmp_path, counter):
    interrupted()
    counter.fail_after = 14
    arguments = ("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv", "--resume")
    assert run(*arguments).code == 130
    counter.fail_after, counter.n_rows = None, 0
    assert run(*arguments).code == 0
    # Of the four and of the two batches that were scored at most two each still waited to be written.
    assert counter.n_rows in (18, 25, 32, 39, 46)
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 61


def test_batches_may_have_another_size_when_resumed(run, interrupted, orders_csv, model, tmp_path, monkeypatch):
    interrupted()
    monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", 11)
    arguments = ("score", orders_csv, "-m", model, "--drop", "order")
    assert run(*arguments, "-o", tmp_path / "o.csv", "--resume").code == 0
    assert (tmp_path / "o.csv").read_bytes() == run(*arguments).out


@pytest.mark.parametrize("n_bytes", [1, 20, 60])
def test_half_a_record_is_ignored(run, interrupted, orders_csv, model, tmp_path, n_bytes, counter):
    interrupted()
    journal = tmp_path / ".o.csv.scores"
    journal.write_bytes(journal.read_bytes()[:-n_bytes])
    arguments = ("score", orders_csv, "-m", model, "--drop", "order")
    assert run(*arguments, "-o", tmp_path / "o.csv", "--resume").code == 0
    assert counter.n_rows in (39, 46, 53)
    assert (tmp_path / "o.csv").read_bytes() == run(*arguments).out


def test_damaged_records_are_scored_again(run, interrupted, orders_csv, model, tmp_path, counter):
    interrupted()
    journal = tmp_path / ".o.csv.scores"
    content = bytearray(journal.read_bytes())
    content[-30] ^= 1
    journal.write_bytes(content)
    arguments = ("score", orders_csv, "-m", model, "--drop", "order")
    assert run(*arguments, "-o", tmp_path / "o.csv", "--resume").code == 0
    assert (tmp_path / "o.csv").read_bytes() == run(*arguments).out


@pytest.mark.parametrize("n_bytes", [0, 5, 21, 30, 400])
def test_journal_of_a_run_that_was_killed_while_it_began_is_begun_anew(
    run, interrupted, orders_csv, model, tmp_path, n_bytes
):
    interrupted()
    journal = tmp_path / ".o.csv.scores"
    journal.write_bytes(journal.read_bytes()[:n_bytes])
    arguments = ("score", orders_csv, "-m", model, "--drop", "order")
    assert run(*arguments, "-o", tmp_path / "o.csv", "--resume").code == 0
    assert files_in(tmp_path) == ["o.csv"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"vae-anomaly scores 2\n{}\ns\x00", "was left by another version of vae-anomaly"),
        (b"vae-anomaly scores 3\n{}\n" + b"0" * 32 + b"\ns\x00", "is damaged at its beginning"),
    ],
)
def test_journal_of_another_version_or_with_a_damaged_header_is_not_resumed(
    run, orders_csv, model, tmp_path, content, said
):
    (tmp_path / ".o.csv.scores").write_bytes(content)
    arguments = ("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    line = run(*arguments, "--resume").error()
    assert line == f"error: --resume: {tmp_path}/.o.csv.scores {said}. Score again without --resume."
    assert files_in(tmp_path) == [".o.csv.scores"]
    assert run(*arguments).code == 0
    assert files_in(tmp_path) == ["o.csv"]


@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_file_of_somebody_else_under_the_name_of_the_journal_stays(run, orders_csv, model, tmp_path, options):
    (tmp_path / ".o.csv.scores").write_bytes(b"goals: 3, 2, 1\n")
    outcome = run("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv", *options)
    assert "is not a file of vae-anomaly, which keeps scores under that name. Move it away." in outcome.error()
    assert (tmp_path / ".o.csv.scores").read_bytes() == b"goals: 3, 2, 1\n"
    assert files_in(tmp_path) == [".o.csv.scores"]


def test_what_changed_since_is_refused(run, interrupted, orders_csv, model, write, tmp_path, fast):
    data = write("t.csv", orders_csv.read_bytes())
    interrupted(data=data)
    other = tmp_path / "other.vae"
    assert run("fit", orders_csv, "-o", other, "--id", "order", "--random-state", "5", *fast).code == 0
    arguments = ("--drop", "order", "-o", tmp_path / "o.csv", "--resume")
    changed = run("score", data, "-m", other, *arguments)
    assert changed.code == 2
    assert changed.err == (
        "error: --resume: the model is not that of the interrupted run. Score again without --resume.\n"
    )
    data.write_text(orders_csv.read_text() + "60,50.0,3,north,true\n")
    changed = run("score", data, "-m", model, *arguments)
    assert changed.code == 2
    assert "the input files are not those of, or changed since, the interrupted run" in changed.err
    assert ".o.csv.scores" in files_in(tmp_path)


def change_in_place(path, content):
    """Change a file as an editor does: other bytes, as many as before, and a later time."""
    before = path.stat()
    assert path.read_bytes() != content
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 2_000_000_000))
    assert path.stat().st_size == before.st_size


def test_table_that_changed_without_changing_its_size_is_refused(run, interrupted, orders_csv, model, write, tmp_path):
    data = write("t.csv", orders_csv.read_bytes())
    interrupted(data=data)
    change_in_place(data, data.read_bytes().replace(b"north", b"south"))
    line = run("score", data, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv", "--resume").error()
    assert "the input files are not those of, or changed since, the interrupted run" in line


def test_new_run_begins_anew(run, interrupted, orders_csv, model, tmp_path, counter):
    interrupted()
    assert run("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv").code == 0
    assert counter.n_rows == 60


def test_resume_without_anything_left_just_begins(run, orders_csv, model, tmp_path):
    assert run("score", orders_csv, "-m", model, "-o", tmp_path / "o.csv", "--resume").code == 0
    assert files_in(tmp_path) == ["o.csv"]


def test_resume_needs_a_model_a_file_and_files(run, orders_csv, model, tmp_path):
    for arguments in (
        (orders_csv, "-o", tmp_path / "o.csv"),
        (orders_csv, "-m", model),
        (orders_csv, "-m", model, "-o", "-"),
        (orders_csv, "-m", model, "-o", "/dev/null"),
        ("-", "-m", model, "-o", tmp_path / "o.csv"),
    ):
        outcome = run("score", *arguments, "--resume", stdin=orders_csv.read_bytes())
        assert outcome.code == 2
        assert "--resume goes on with a run that had --model" in outcome.err


def test_existing_result_stays_until_the_new_one_is_whole(interrupted, tmp_path):
    (tmp_path / "o.csv").write_text("earlier")
    interrupted()
    assert (tmp_path / "o.csv").read_text() == "earlier"


def test_ranking_can_be_resumed(run, interrupted, orders_csv, model, tmp_path, counter):
    arguments = ("score", orders_csv, "-m", model, "--drop", "order", "--top", "5", "--only-top")
    assert interrupted("--top", "5", "--only-top").code == 130
    assert run(*arguments, "-o", tmp_path / "o.csv", "--resume").code == 0
    assert counter.n_rows in (32, 39, 46)
    assert (tmp_path / "o.csv").read_bytes() == run(*arguments).out


def test_directory_keeps_files_that_were_finished(run, orders, model, tmp_path, counter):
    (tmp_path / "in").mkdir()
    for place in range(6):
        orders[10 * place : 10 * place + 10].to_csv(tmp_path / "in" / f"{place}.csv", index=False)
    arguments = ("score", tmp_path / "in", "-m", model, "--drop", "order", "-o", f"{tmp_path / 'out'}/")
    counter.fail_after = 45
    assert run(*arguments).code == 130
    left = files_in(tmp_path / "out")
    assert left[0] == ".vae-anomaly.scores"
    assert left[1:] in (["0.csv", "1.csv"], ["0.csv", "1.csv", "2.csv"], ["0.csv", "1.csv", "2.csv", "3.csv"])
    (tmp_path / "out" / "0.csv").write_text("looked at")
    (tmp_path / "out" / "1.csv").unlink()
    counter.fail_after, counter.n_rows = None, 0
    assert run(*arguments, "--resume").code == 0
    assert counter.n_rows <= 30
    assert files_in(tmp_path / "out") == [f"{place}.csv" for place in range(6)]
    assert (tmp_path / "out" / "0.csv").read_text() == "looked at"
    for place in range(1, 6):
        alone = run("score", tmp_path / "in" / f"{place}.csv", "-m", model, "--drop", "order")
        assert (tmp_path / "out" / f"{place}.csv").read_bytes() == alone.out


def test_full_disk_keeps_the_scores(run, orders_csv, model, tmp_path, monkeypatch, counter):
    def fail(self, batch):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("vae_anomaly_cli.sources.delimited.DelimitedWriter.write", fail)
        outcome = run("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    assert outcome.code == 1
    assert "o.csv cannot be written: No space left on device." in outcome.err
    assert "--resume goes on from there" in outcome.err
    assert files_in(tmp_path) == [".o.csv.scores"]
    counter.n_rows = 0
    assert run("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv", "--resume").code == 0
    assert counter.n_rows < 60


def test_fault_of_ours_keeps_the_scores_too(run, orders_csv, model, tmp_path, counter):
    counter.fail_after, counter.failure = 28, RuntimeError("broken")
    outcome = run("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    assert outcome.code == 1
    assert files_in(tmp_path) == [".o.csv.scores"]


def test_journal_holds_the_scores_as_they_are(run, interrupted, orders_csv, model, tmp_path):
    interrupted()
    with (tmp_path / ".o.csv.scores").open("rb") as stream:
        _, first = _header(stream, tmp_path)
        contents = [record.content for record in _records(stream, first) if record.kind == SCORES]
    kept = np.concatenate([np.frombuffer(content).reshape(-1, 2) for content in contents])
    whole = run("score", orders_csv, "-m", model, "--id", "order").frame[["anomaly_score", "p_value"]].astype(float)
    assert kept.tolist() == whole[: len(kept)].to_numpy().tolist()


def test_every_batch_is_on_the_disk_before_the_next_is_scored(run, orders_csv, model, tmp_path, counter):
    sizes, score = [], counter.score

    def measured(detector, frame):
        sizes.append((tmp_path / ".o.csv.scores").stat().st_size)
        return score(detector, frame)

    counter.score = measured
    assert run("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv").code == 0
    assert len(sizes) == 9
    # Up to two scored batches wait to be written while the next one is scored.
    assert all(later > earlier for earlier, later in zip(sizes[:-3], sizes[3:], strict=True))


def test_request_to_terminate_is_heard(run, orders_csv, model, tmp_path, counter):
    def terminated(detector, frame):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        return np.zeros(len(frame))

    counter.score = terminated
    outcome = run("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert (outcome.code, outcome.err) == (143, "error: terminated.\n")
    assert files_in(tmp_path) == []


def records(journal):
    """How many bytes of scores a journal holds behind its header."""
    content = journal.read_bytes() if journal.exists() else b""
    return len(b"".join(content.split(b"\n", 3)[3:]))


@pytest.fixture(params=["table", "images"])
def long_run(request, orders, model, image_model, draw, tmp_path):
    """A command that takes some seconds, how many rows it scores, and after how many bytes of scores to stop it."""
    if request.param == "table":
        data = tmp_path / "data.csv"
        orders.loc[orders.index.repeat(150)].to_csv(data, index=False)
        return ["score", str(data), "-m", str(model), "--drop", "order"], 9_000, 1_000
    for number in range(60):
        draw(tmp_path / "data.csv" / f"{number}.png", number)
    (tmp_path / "data.csv" / "7.png").write_bytes(b"none")
    return ["score", str(tmp_path / "data.csv"), "-m", str(image_model)], 60, 200


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_killed_process_leaves_no_result_and_can_be_resumed(run, long_run, tmp_path, number):
    command, n_rows, enough = long_run
    arguments = [*command, "-o", str(tmp_path / "o.csv"), "-q"]
    journal = tmp_path / ".o.csv.scores"
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE)
    with process:
        while records(journal) < enough:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        said = process.stderr.read().decode()
    assert not (tmp_path / "o.csv").exists()
    if number != signal.SIGKILL:
        code, word = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}[number]
        assert process.returncode == code
        assert said.startswith(f"error: {word}. The scores of ")
        assert files_in(tmp_path) == [".o.csv.scores", "data.csv"]
    # Batch by batch: a buffer of Python's holds more.
    assert enough <= records(journal) < 4 * enough
    assert run(*arguments, "--resume").code == 0
    assert (tmp_path / "o.csv").read_text().count("\n") == n_rows + 1
    assert files_in(tmp_path) == ["data.csv", "o.csv"]
    assert (tmp_path / "o.csv").read_bytes() == run(*command).out


@pytest.fixture
def many(tmp_path, draw):
    """Thirty images in sub-folders, two of which cannot be used."""
    folder = tmp_path / "in"
    for number in range(30):
        draw(folder / f"{number // 10}" / f"{number}.png", number)
    for number in (3, 25):
        (folder / f"{number // 10}" / f"{number}.png").write_bytes(b"none")
    return folder


@pytest.fixture
def image_counter(monkeypatch):
    """Counts the images that are scored, four at a time."""
    counter = Counter(ImageModel.score)

    def score(model, batch, features, start):
        if counter.fail_after is not None and counter.n_rows >= counter.fail_after:
            raise counter.failure
        counter.n_rows += batch.n_rows - start
        return counter.score(model, batch, features, start)

    monkeypatch.setattr(ImageModel, "score", score)
    monkeypatch.setattr("vae_anomaly.batches.image_kernel.MAX_PER_BATCH", 4)
    return counter


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize("output", ["o.csv", "o.parquet"])
@pytest.mark.parametrize("options", [(), ("--json",), ("--top", "5"), ("--label", "folder", "--normal", "0")])
def test_images_can_be_resumed_without_rescoring(run, image_model, many, tmp_path, image_counter, output, options):
    arguments = ("score", many, "-m", image_model, *options, "-o", tmp_path / output)
    at_once = run(*arguments)
    expected = (tmp_path / output).read_bytes()
    (tmp_path / output).unlink()
    image_counter.fail_after, image_counter.n_rows = 16, 0
    stopped = run(*arguments)
    assert re.search(r"The scores of (8|12|16) images are kept: the same command with --resume", stopped.error(130))
    assert files_in(tmp_path) == sorted([f".{output}.scores", "in"])
    image_counter.fail_after, image_counter.n_rows = None, 0
    resumed = run(*arguments, "--resume")
    assert resumed.code == 0, resumed.err
    assert (tmp_path / output).read_bytes() == expected
    assert (resumed.out, resumed.err) == (at_once.out, at_once.err)
    assert image_counter.n_rows in (14, 18, 22)
    assert files_in(tmp_path) == sorted(["in", output])


def test_resumed_run_draws_the_pages_that_are_not_there(run, image_model, many, tmp_path, image_counter):
    arguments = ("score", many, "-m", image_model, "-o", tmp_path / "o.csv", "--heatmaps")
    assert run(*arguments, tmp_path / "whole").code == 0
    image_counter.fail_after = 45
    assert run(*arguments, tmp_path / "maps").code == 130
    drawn = tree(tmp_path / "maps")
    assert 8 <= len(drawn) <= 16
    (tmp_path / "maps" / min(drawn)).unlink()
    image_counter.fail_after = None
    assert run(*arguments, tmp_path / "maps", "--resume").code == 0
    assert tree(tmp_path / "maps") == tree(tmp_path / "whole")


@pytest.mark.parametrize("change", ["another file", "other bytes, as many as before"])
def test_images_that_changed_since_are_refused(run, image_model, many, tmp_path, image_counter, draw, change):
    arguments = ("score", many, "-m", image_model, "-o", tmp_path / "o.csv")
    image_counter.fail_after = 16
    assert run(*arguments).code == 130
    image_counter.fail_after = None
    image = many / "0" / "1.png"
    if change == "another file":
        draw(image.with_name("new.png"), 99)
    else:
        change_in_place(image, image.read_bytes()[::-1])
    line = run(*arguments, "--resume").error()
    assert "the input files are not those of, or changed since, the interrupted run" in line


def test_nothing_is_kept_where_no_image_can_be_used(run, image_model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"none")
    line = run("score", tmp_path / "in", "-m", image_model, "-o", tmp_path / "o.csv").error(1)
    assert "--resume" not in line
    assert files_in(tmp_path) == ["in"]


def test_table_that_the_format_cannot_hold_leaves_no_file(run, orders, model, tmp_path):
    path = tmp_path / "t.jsonl"
    frame = orders.assign(paid=orders["paid"] == "true", nothing=[{} for _ in range(60)])
    frame.to_json(path, orient="records", lines=True)
    outcome = run("score", path, "-m", model, "--drop", "order,nothing", "-o", tmp_path / "o.parquet")
    assert outcome.code == 1
    assert files_in(tmp_path) == ["t.jsonl"]


def test_second_run_into_the_same_output_is_refused(run, interrupted, orders_csv, model, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    interrupted()
    before = (tmp_path / ".o.csv.scores").read_bytes()
    (part,) = _noted_parts(tmp_path / ".o.csv.scores")
    part.write_text("of the other run")
    arguments = ("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    with (tmp_path / ".o.csv.scores").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for options in ((), ("--resume",)):
            outcome = run(*arguments, *options)
            assert outcome.code == 1
            assert outcome.err.endswith("is in use: another run writes the same output. Wait for its end.\n")
    assert (tmp_path / ".o.csv.scores").read_bytes() == before
    assert files_in(tmp_path) == sorted([part.name, ".o.csv.scores"])
    assert run(*arguments, "--resume").code == 0
    assert files_in(tmp_path) == ["o.csv"]


def _noted_parts(journal):
    """Where unfinished files are that a journal names."""
    names = re.findall(rb"[.]o[.]csv[.][0-9a-f]{8}[.]part", journal.read_bytes())
    return [journal.with_name(name.decode()) for name in names]


def test_what_a_killed_run_left_is_not_in_the_way_of_the_same_process_number(run, orders_csv, model, tmp_path):
    (tmp_path / f".o.csv.{os.getpid()}.part").write_text("left")
    assert run("score", orders_csv, "-m", model, "-o", tmp_path / "o.csv").code == 0
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 61


@pytest.mark.slow
def test_stop_is_heard_while_nobody_reads_the_pipe(orders, model, tmp_path):
    data = tmp_path / "long.csv"
    orders.loc[orders.index.repeat(500)].to_csv(data, index=False)
    arguments = [*COMMAND, "score", str(data), "-m", str(model), "--drop", "order", "-q"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(1) == b"r"
        time.sleep(1)
        process.terminate()
        assert process.wait(20) == 143
        assert process.stderr.read() == b"error: terminated.\n"


def test_images_that_are_resized_now_are_not_those_of_before(run, image_model, many, tmp_path, image_counter):
    arguments = ("score", many, "-m", image_model, "-o", tmp_path / "o.csv")
    image_counter.fail_after = 16
    run(*arguments).error(130)
    image_counter.fail_after = None
    line = run(*arguments, "--image-shape", "16x16", "--resume").error()
    assert "--resume: the format, the delimiter or --image-shape is not that of the interrupted run" in line
