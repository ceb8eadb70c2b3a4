"""Checksum, signature and damage of model files on the command line."""

import copy
import json
import random

import pytest

from vae_anomaly import load, read_manifest, save
from vae_anomaly.store.container import packed, unpacked

KEY_VARIABLE = "VAE_ANOMALY_KEY_FILE"
ODD = (None, True, 0, -1, 1.5, 10**9, 10**400, "", "1", "\ud800", "\x1b[31m", [], [1], {}, {"concept": "score"})


@pytest.fixture
def key(tmp_path):
    (tmp_path / "model.key").write_bytes(bytes(range(32)))
    return tmp_path / "model.key"


@pytest.fixture
def other_key(tmp_path):
    (tmp_path / "other.key").write_bytes(bytes(range(1, 33)))
    return tmp_path / "other.key"


@pytest.fixture
def signed(model, key, tmp_path):
    save(load(model), tmp_path / "signed.vae", key=key.read_bytes())
    return tmp_path / "signed.vae"


def flat(text):
    return "".join(text.split())


# What info says.


def test_info_shows_the_checksum_and_that_it_holds(run, model):
    checksum = read_manifest(model)["integrity"]["sha256"]
    assert f"sha256{checksum}(holds)" in flat(run("info", model).text)
    assert json.loads(run("info", model, "--json").text)["integrity"] == {"sha256": checksum, "signature": "none"}


def test_info_of_an_earlier_version_says_that_there_is_none(run, pytestconfig):
    old = pytestconfig.rootpath / "tests" / "data" / "version_7" / "mixed.vae"
    shown = " ".join(run("info", old).text.split())
    assert "none, written by an earlier version" in shown
    assert "2026-11-26T07:42:35+00:00 by vae-anomaly" in shown


@pytest.mark.parametrize(("given", "said"), [((), "signed, not verified; give --key-file"), (None, "signed, verified")])
def test_info_says_whether_a_signature_was_verified(run, signed, key, given, said):
    shown = run("info", signed, *(("--key-file", key) if given is None else given))
    assert said in " ".join(shown.text.split())


def test_info_does_not_read_a_file_whose_checksum_does_not_hold(run, model, write):
    content = bytearray(model.read_bytes())
    content[-9] ^= 4
    assert "the file is damaged" in run("info", write("m.vae", bytes(content))).error(2)


def mutated(content, draw):
    """Bytes that are flipped, cut or put in, mostly in the header."""
    changed, how = bytearray(content), draw.random()
    place = draw.randrange(len(content) if draw.random() < 0.3 else 3000)
    if how < 0.5:
        changed[place] ^= 1 << draw.randrange(8)
    elif how < 0.75:
        del changed[place : place + draw.choice([1, 8, 100, len(content)])]
    else:
        changed[place:place] = draw.randbytes(draw.choice([1, 8, 100]))
    return bytes(changed)


def edited(manifest, draw):
    """A manifest with something else in one place."""
    changed = copy.deepcopy(manifest)
    holder = changed
    while True:
        name = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not (isinstance(holder[name], dict | list) and holder[name]) or draw.random() < 0.2:
            break
        holder = holder[name]
    if draw.random() < 0.2 and isinstance(holder, dict):
        del holder[name]
    else:
        holder[name] = draw.choice(ODD)
    return changed


@pytest.mark.parametrize("n", [40, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_info_on_damaged_files_is_a_line_or_the_facts(run, model, tmp_path, n, as_json):
    draw, content = random.Random(n), unpacked(model, tensors=True)
    manifest = json.loads(content.manifest)
    path = tmp_path / "m.vae"
    for _ in range(n):
        if draw.random() < 0.5:
            path.write_bytes(mutated(model.read_bytes(), draw))
        else:
            path.write_bytes(packed(json.dumps(edited(manifest, draw)), content.tensors))
        outcome = run("info", path, *as_json)
        assert outcome.code in (0, 2), outcome.err
        if outcome.code:
            assert outcome.err.startswith("error: ")
            assert outcome.err.count("\n") == 1
            assert str(path) in outcome.err
        else:
            assert outcome.err == ""


# Two fits.


def test_two_fits_write_the_same_bytes(run, orders_csv, tmp_path, fast):
    for name in ("a.vae", "b.vae"):
        assert run("fit", orders_csv, "-o", tmp_path / name, "--drop", "order", "--random-state", "7", *fast).code == 0
    assert (tmp_path / "a.vae").read_bytes() == (tmp_path / "b.vae").read_bytes()


# Keys.


def test_fit_signs_and_commands_want_the_signature(run, orders_csv, key, other_key, tmp_path, fast):
    model = tmp_path / "m.vae"
    assert run("fit", orders_csv, "-o", model, "--drop", "order", "--key-file", key, *fast).code == 0
    assert read_manifest(model, key=key.read_bytes())["integrity"]["signature"] == "verified"
    for command in (("score", orders_csv, "-m", model), ("info", model), ("threshold", model)):
        assert run(*command, "--key-file", key).code == 0
        assert run(*command).code == 0
        assert "not signed with this key" in run(*command, "--key-file", other_key).error(2)


def test_file_without_signature_is_refused_where_there_is_a_key(run, orders_csv, model, key, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, str(key))
    for command in (("score", orders_csv, "-m", model), ("info", model), ("explain", orders_csv, "-m", model)):
        assert "not signed, and a key was given" in run(*command).error(2)
    monkeypatch.delenv(KEY_VARIABLE)
    assert run("info", model).code == 0


def test_commands_that_change_a_model_sign_it_again(run, signed, key, later_csv, tmp_path):
    changed = tmp_path / "changed.vae"
    given = ("-o", changed, "--key-file", key)
    data = (later_csv, "--drop", "order,fraud", "-m", signed)
    for command in (("threshold", signed, "--score", "3"), ("calibrate", *data), ("drift", *data)):
        changed.unlink(missing_ok=True)
        outcome = run(*command, *given)
        assert outcome.code == 0, outcome.err
        assert read_manifest(changed, key=key.read_bytes())["integrity"]["signature"] == "verified"
    answers = tmp_path / "answers.csv"
    assert run("audit", changed, "-o", answers, "--rows", "1", "--key-file", key).code == 0
    answers.write_text(answers.read_text(encoding="utf-8").rstrip("\n") + "\n", encoding="utf-8")
    lines = answers.read_text(encoding="utf-8").splitlines()
    place = lines[0].split(",").index("is_anomaly")
    cells = lines[1].split(",")
    cells[place] = "0"
    answers.write_text(f"{lines[0]}\n{','.join(cells)}\n", encoding="utf-8")
    assert run("audit", changed, "--answers", answers, "-o", changed, "--key-file", key).code == 0
    assert read_manifest(changed, key=key.read_bytes())["integrity"]["signature"] == "verified"


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"short", "has 5 bytes"), (None, "No such file")])
@pytest.mark.parametrize("by_environment", [False, True])
def test_key_file_without_a_key_is_refused(run, model, tmp_path, monkeypatch, content, said, by_environment):
    path = tmp_path / "model.key"
    if content is not None:
        path.write_bytes(content)
    given = ()
    if by_environment:
        monkeypatch.setenv(KEY_VARIABLE, str(path))
    else:
        given = ("--key-file", path)
    line = run("info", model, *given).error(2)
    assert said in line
    assert str(path) in line


# Scores that are not finite.


def test_score_that_is_not_finite_ends_the_run_and_names_the_line(run, model, orders_csv, tmp_path):
    content = unpacked(model, tensors=True)
    for name, tensor in content.tensors.items():
        if name.startswith("vae.decoder") and name.endswith("weight"):
            tensor.fill_(1e38)
    (tmp_path / "m.vae").write_bytes(packed(content.manifest, content.tensors))
    output = tmp_path / "scores.csv"
    line = run("score", orders_csv, "-m", tmp_path / "m.vae", "-o", output).error(1)
    assert f"{orders_csv}: " in line
    assert "of 60 rows have a score that is not finite (the first is line 2)" in line
    assert not output.exists()
