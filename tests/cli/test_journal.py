"""What an interrupted run left is believed as far as it is as it was written, and only by one run at a time."""

import itertools
import json
import os
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.batches import RowScores
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.output import journal as module
from vae_anomaly_cli.output.journal import FINISHED, RECORD, SCORES, Journal, _digest

KNOWN = {"version": "1", "model": "m", "rule": {}, "read as": ["csv"], "input": [["", 3, "d"]]}
# Rows of the records, and what stands between them.
COUNTS = (3, 1, 5, 2)


def scores(n_rows, first=0):
    values = np.arange(first, first + n_rows, dtype=float)
    return RowScores(values, np.full(n_rows, 0.5))


def opened(path, *, resume=True, known=KNOWN):
    return Journal(path, known, "row", resume=resume)


def write(path, n_rows=COUNTS, known=KNOWN):
    path.unlink(missing_ok=True)
    journal = opened(path, resume=False, known=known)
    for number, (count, first) in enumerate(zip(n_rows, np.cumsum((0, *n_rows)), strict=False)):
        journal.append(scores(count, int(first)))
        journal.finish(number)
        journal.note_part(f".o.csv.{number}.part")
    journal.close(delete=False)
    return path.read_bytes()


def kept(path):
    """Scores that a run would go on with; the file is closed afterwards."""
    journal = opened(path)
    try:
        return journal.take(journal.n_rows).scores.tolist()
    finally:
        journal.close(delete=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("journal")


@pytest.fixture(scope="module")
def content(place):
    return write(place / "written")


def parts_of(content):
    """The header, and the records behind it."""
    header = b"".join(line + b"\n" for line in content.split(b"\n", 3)[:3])
    records, rest = [], content[len(header) :]
    while rest:
        kind, number, _ = RECORD.unpack(rest[: RECORD.size])
        size = RECORD.size + {SCORES: 16 * number, FINISHED: 0}.get(kind, number)
        records.append(rest[:size])
        rest = rest[size:]
    return header, records


def test_all_that_was_written_is_there_again(place, content):
    path = place / "whole"
    path.write_bytes(content)
    journal = opened(path)
    assert journal.n_rows == journal.n_kept == 11
    assert journal.finished == {0, 1, 2, 3}
    assert journal.own_parts == {f".o.csv.{number}.part" for number in range(4)}
    assert journal.take(4).scores.tolist() == [0, 1, 2, 3]
    assert journal.take(100).scores.tolist() == [4, 5, 6, 7, 8, 9, 10]
    journal.append(scores(1, 11))
    journal.close(delete=False)
    assert kept(path) == [*map(float, range(12))]


def test_first_digest_is_worked_out_by_hand(content):
    import hashlib

    header, (first, *_) = parts_of(content)
    magic, known, written, _ = header.split(b"\n")
    assert magic == b"vae-anomaly scores 3"
    assert {name: json.loads(known)[name] for name in KNOWN} == KNOWN
    chain = hashlib.blake2b(magic + b"\n" + known + b"\n", digest_size=16)
    assert written == chain.hexdigest().encode()
    rows = np.array([[0, 0.5], [1, 0.5], [2, 0.5]]).tobytes()
    digest = hashlib.blake2b(chain.digest() + b"s\3\0\0\0" + rows, digest_size=16).digest()
    assert first == b"s\3\0\0\0" + digest + rows


def believed(path, content, n_same):
    """Check what is believed of a changed journal: the scores of the records that are as they were, or a refusal."""
    path.write_bytes(content)
    try:
        found = kept(path)
    except InputError:
        return None
    assert found == [*map(float, range(sum(COUNTS[: (n_same + 2) // 3])))]
    return found


@given(data=st.data())
def test_changed_byte_ends_what_is_believed(place, content, data):
    header, records = parts_of(content)
    offset = data.draw(st.integers(0, len(content) - 1), label="offset")
    changed = bytearray(content)
    changed[offset] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    ends = list(itertools.accumulate(map(len, records), initial=len(header)))
    n_same = sum(end <= offset for end in ends[1:])
    found = believed(place / "flipped", bytes(changed), n_same)
    assert (found is None) == (offset < len(header))


@given(order=st.lists(st.integers(0, 11), max_size=14))
def test_records_that_are_repeated_dropped_or_moved_end_what_is_believed(place, content, order):
    header, records = parts_of(content)
    n_same = next((at for at, number in enumerate([*order, -1]) if number != at), 0)
    assert believed(place / "moved", header + b"".join(records[number] for number in order), n_same) is not None


@given(n_same=st.integers(0, 12))
def test_records_of_another_run_are_not_believed(place, content, n_same):
    header, records = parts_of(content)
    _, others = parts_of(write(place / "other"))
    assert others[0] != records[0]
    assert others[0][RECORD.size :] == records[0][RECORD.size :]
    mixed = header + b"".join(records[:n_same]) + b"".join(others[n_same:])
    assert believed(place / "mixed", mixed, n_same) is not None


@pytest.mark.parametrize(("score", "p_value"), [(np.inf, 0.5), (-np.inf, 0.5), (1.0, -0.1), (1.0, 1.5), (1.0, np.inf)])
def test_scores_that_no_model_gives_are_not_believed(tmp_path, score, p_value):
    path = tmp_path / "j"
    journal = opened(path)
    journal.append(scores(2))
    journal.append(RowScores(np.array([score]), np.array([p_value])))
    journal.append(scores(2, 2))
    journal.close(delete=False)
    assert kept(path) == [0, 1]


def test_rows_without_a_score_are_kept(tmp_path):
    path = tmp_path / "j"
    journal = opened(path)
    journal.append(RowScores.nothing(3))
    journal.close(delete=False)
    assert np.isnan(kept(path)).all()
    assert len(kept(path)) == 3


def test_record_that_claims_more_than_memory_holds_is_not_read(tmp_path):
    path = tmp_path / "j"
    write(path)
    with path.open("ab") as stream:
        stream.write(RECORD.pack(SCORES, 2**32 - 1, bytes(16)))
    assert len(kept(path)) == 11


def test_plain_run_forgets_scores_and_keeps_the_names_of_parts(tmp_path):
    path = tmp_path / "j"
    write(path)
    journal = opened(path, resume=False)
    assert (journal.n_rows, journal.finished) == (0, set())
    assert journal.own_parts == {f".o.csv.{number}.part" for number in range(4)}
    journal.note_part("größe\udcff.part")
    journal.close(delete=False)
    journal = opened(path)
    assert "größe\udcff.part" in journal.own_parts
    assert len(journal.own_parts) == 5
    journal.close(delete=True)
    assert not path.exists()


def test_file_is_for_its_owner_alone_and_no_link_is_followed(tmp_path):
    path = tmp_path / "j"
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    (tmp_path / "theirs").write_text("keep")
    path.symlink_to(tmp_path / "theirs")
    with pytest.raises(CommandError, match="cannot be written"):
        opened(path)
    assert (tmp_path / "theirs").read_text() == "keep"


def test_one_run_at_a_time(tmp_path):
    path = tmp_path / "j"
    journal = opened(path)
    journal.append(scores(2))
    for resume in (False, True):
        with pytest.raises(CommandError, match=r"is in use: another run writes the same output. Wait for its end."):
            opened(path, resume=resume)
    journal.close(delete=False)
    assert kept(path) == [0, 1]


def test_run_that_waited_for_the_end_of_another_does_not_lock_a_file_without_a_name(tmp_path, monkeypatch):
    path = tmp_path / "j"
    first = opened(path)
    lock, n_calls = module._lock, []

    def ends_before(stream, path):
        # The other run ends between the opening of its file and the lock on it.
        if not n_calls:
            first.close(delete=True)
        n_calls.append(stream)
        lock(stream, path)

    monkeypatch.setattr(module, "_lock", ends_before)
    second = opened(path)
    second.append(scores(1))
    assert len(n_calls) == 2
    assert os.path.samestat(os.fstat(second._stream.fileno()), path.stat())
    second.close(delete=False)
    assert kept(path) == [0]


def test_journal_that_is_cut_while_it_is_in_use_is_an_error(tmp_path):
    path = tmp_path / "j"
    write(path)
    journal = opened(path)
    os.truncate(path, 0)
    with pytest.raises(CommandError, match="was changed while it was in use"):
        journal.take(5)
    journal.close(delete=True)


def test_more_scores_than_rows_are_refused(run, orders_csv, model, tmp_path, monkeypatch):
    arguments = ("score", orders_csv, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    path = tmp_path / ".o.csv.scores"

    def full(self, **_):
        raise CommandError("full")

    with monkeypatch.context() as patch:
        patch.setattr("vae_anomaly_cli.output.sinks.OneFile.finish", full)
        assert "The scores of 60 rows are kept" in run(*arguments).error(1)
    _, records = parts_of(path.read_bytes())
    last = records[-1][5:21]
    rows = np.array([[1, 0.5]]).tobytes()
    with path.open("ab") as stream:
        stream.write(RECORD.pack(SCORES, 1, _digest(last, b"s\1\0\0\0", rows)) + rows)
    line = run(*arguments, "--resume").error()
    assert f"--resume: {path} holds scores of 1 row more than {orders_csv} has. Score again" in line
    assert sorted(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["o.csv", "o.csv.gz", "o.parquet", "o.jsonl", "out/"])
@pytest.mark.parametrize("options", [(), ("--resume",), ("--alerts", "5"), ("--top", "5", "--only-top")])
def test_every_kind_of_output_has_one_writer(run, orders_csv, model, tmp_path, output, options):
    fcntl = pytest.importorskip("fcntl")
    if output == "out/" and "--only-top" in options:
        pytest.skip("a folder takes no ranking")
    path = tmp_path / "out" / ".vae-anomaly.scores" if output == "out/" else tmp_path / f".{output}.scores"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        outcome = run("score", orders_csv, "-m", model, "--drop", "order", "-o", f"{tmp_path}/{output}", *options)
    assert outcome.error(1).endswith("is in use: another run writes the same output. Wait for its end.")
    assert list(tmp_path.rglob("*o.csv")) == []


@pytest.mark.parametrize("options", [(), ("--alerts", "5")])
def test_run_that_begins_during_another_ends_at_once_and_the_other_is_whole(
    run, orders_csv, model, tmp_path, monkeypatch, options
):
    from vae_anomaly import VAEDetector

    arguments = ("score", orders_csv, "-m", model, "--drop", "order", *options)
    expected = run(*arguments).out
    decide, outcomes = VAEDetector.decide, []

    def interfere(detector, frame):
        if not outcomes:
            outcomes.extend(run(*arguments, "-o", tmp_path / "o.csv", *more) for more in ((), ("--resume",)))
        return decide(detector, frame)

    monkeypatch.setattr(VAEDetector, "decide", interfere)
    assert run(*arguments, "-o", tmp_path / "o.csv").code == 0
    assert all("is in use" in outcome.error(1) for outcome in outcomes)
    assert (tmp_path / "o.csv").read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv"]
