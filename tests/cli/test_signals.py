"""Requests to end: the exit code says which it was, and nothing that was begun stays behind, killed or not."""

import io
import os
import select
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from vae_anomaly import VAEDetector
from vae_anomaly_cli.errors import Terminated
from vae_anomaly_cli.signals import terminated_by_signals
from vae_anomaly_cli.sources.byte_source import Spool, open_bytes

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no such signals")
ENDINGS = [(signal.SIGTERM, 143), (signal.SIGHUP, 129)]
# Memory keeps a hundred bytes of what is piped.
SMALL = """
import sys, vae_anomaly_cli.sources.byte_source
vae_anomaly_cli.sources.byte_source.SPOOLED_BYTES = 100
from vae_anomaly_cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def heard():
    """Hear SIGHUP although the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize(("number", "code"), ENDINGS)
def test_fit_that_is_told_to_end_says_so_and_leaves_nothing(run, orders_csv, tmp_path, monkeypatch, number, code):
    def told(detector, frame, y=None):
        os.kill(os.getpid(), number)
        time.sleep(1)

    monkeypatch.setattr(VAEDetector, "fit", told)
    outcome = run("fit", orders_csv, "-o", tmp_path / "o.vae")
    assert (outcome.code, outcome.err) == (code, "error: terminated.\n")
    assert files_in(tmp_path) == []
    assert signal.getsignal(number) is signal.SIG_DFL


def test_training_does_not_take_a_request_to_end_for_ctrl_c(run, orders_csv, tmp_path, monkeypatch):
    from vae_anomaly.model import training

    class Told(training.Stepper):
        n_steps = 0

        def step(self, batch, rate, kl_weight):
            type(self).n_steps += 1
            if self.n_steps == 150:
                os.kill(os.getpid(), signal.SIGTERM)
            super().step(batch, rate, kl_weight)

    monkeypatch.setattr(training, "Stepper", Told)
    outcome = run("fit", orders_csv, "-o", tmp_path / "o.vae", "--max-iter", "400", "--n-estimators", "1")
    assert outcome.error(143) == "error: terminated."
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(("number", "code"), ENDINGS)
def test_piped_data_do_not_stay_behind(run, orders_csv, model, tmp_path, temporary, monkeypatch, number, code):
    monkeypatch.setattr("vae_anomaly_cli.sources.byte_source.SPOOLED_BYTES", 100)

    def told(detector, frame):
        os.kill(os.getpid(), number)
        time.sleep(1)

    monkeypatch.setattr(VAEDetector, "decide", told)
    arguments = ("score", "-", "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    outcome = run(*arguments, stdin=orders_csv.read_bytes())
    assert (outcome.code, outcome.err) == (code, "error: terminated.\n")
    assert files_in(temporary) == []
    assert files_in(tmp_path) == ["temporary"]


@pytest.mark.parametrize("has_proc", [True, False])
def test_piped_data_are_for_their_owner_alone_and_go_with_their_last_user(temporary, monkeypatch, tmp_path, has_proc):
    if not has_proc:
        monkeypatch.setattr("vae_anomaly_cli.sources.byte_source.OPEN_FILES", tmp_path / "no")
    spool = Spool()
    spool.stream.write(b"secret")
    spool.stream.flush()
    assert spool.path.read_bytes() == b"secret"
    assert stat.S_IMODE(spool.path.stat().st_mode) & 0o077 == 0 or not has_proc
    for folder in temporary.iterdir():
        assert not has_proc
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    del spool
    assert files_in(temporary) == []


def test_ignored_request_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminated_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_repeated_request_does_not_cut_the_clean_up_short():
    cleaned = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            cleaned.append(True)

    with pytest.raises(Terminated) as stop, terminated_by_signals():
        work()
    assert (stop.value.exit_code, cleaned) == (143, [True])


@pytest.mark.skipif(not hasattr(select, "poll"), reason="the system cannot wait for a pipe and a signal")
@pytest.mark.parametrize("name", ["-", "named"])
def test_signal_that_no_read_hears_ends_the_wait_for_a_pipe(tmp_path, monkeypatch, name):
    # Another thread gets the signal, as if it came just before the read: no system call is interrupted.
    path = tmp_path / "named"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    os.write(both, b"a,b\n")

    def tell():
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(3)
        os.close(both)

    def wait():
        other.start()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        try:
            open_bytes(str(path) if name == "named" else "-")
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    other = threading.Thread(target=tell)
    with path.open("rb") as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        start = time.monotonic()
        with pytest.raises(Terminated), terminated_by_signals():
            wait()
        seconds = time.monotonic() - start
        other.join()
    assert seconds < 2


class Deaf:
    """Python drops what is raised while an object goes."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_request_that_was_dropped_is_heard_in_the_end():
    with pytest.raises(Terminated) as stop, terminated_by_signals():
        Deaf()
    assert stop.value.exit_code == 129


def piped(folder, *arguments, ignored=()):
    """Start a command that reads standard input, and wait until it has some of it."""

    def ignore():
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    process = subprocess.Popen(
        [sys.executable, "-c", SMALL, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(folder)},
        preexec_fn=ignore,  # noqa: PLW1509 - as nohup does
    )
    # More than a pipe holds: the writes return only once the command reads.
    process.stdin.write(b"a,b\n" + b"1,2\n" * 100_000)
    process.stdin.flush()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("command", ["score", "fit"])
@pytest.mark.parametrize(("number", "code"), [*ENDINGS, (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_process_that_is_told_to_end_while_it_is_piped_to_leaves_nothing(tmp_path, number, code, command):
    arguments = (command, "-", "-o", tmp_path / ("o.vae" if command == "fit" else "o.csv"))
    with piped(tmp_path, *arguments) as process:
        process.send_signal(number)
        said = process.stderr.read()
        process.stdin.close()
        assert process.wait() == code
    word = b"interrupted" if number == signal.SIGINT else b"terminated"
    assert said == (b"" if number == signal.SIGKILL else b"error: %s.\n" % word)
    assert files_in(tmp_path) == []


@pytest.mark.slow
def test_nohup_is_respected(tmp_path):
    arguments = ("fit", "-", "-o", tmp_path / "o.vae", "--max-iter", "10", "--sample-rows", "100")
    with piped(tmp_path, *arguments, ignored=[signal.SIGHUP]) as process:
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert files_in(tmp_path) == ["o.vae"]
