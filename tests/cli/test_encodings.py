"""Text of any encoding is read as it was meant, with a word, or refused with its line; results are UTF-8."""

import pytest

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import GivenLayout, open_table
from vae_anomaly_cli.tables import read_table

TEXT = "stadt,größe\n" + "".join(f"{name},{size}\n" for size, name in enumerate(["Köln", "Zürich", "Ulm"] * 5))
CITIES = ["Köln", "Zürich", "Ulm"] * 5


def read(path, encoding=None):
    said = []
    return read_table(open_table([str(path)], None, GivenLayout(encoding=encoding), said.append)), said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode(), ()),
        (TEXT.encode("utf-8-sig"), ()),
        (TEXT.encode("utf-16"), ("is read as UTF-16; results are written as UTF-8",)),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), ("is read as UTF-16; results",)),
        (TEXT.encode("utf-16-le"), ("is read as UTF-16-LE",)),
        (TEXT.encode("utf-16-be"), ("is read as UTF-16-BE",)),
        (TEXT.encode("utf-32"), ("is read as UTF-32",)),
        (TEXT.encode("cp1252"), ("(line 1); read as cp1252", "where that is 'größe'", "--encoding names another")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encoding_is_told_by_the_bytes_and_said(content, said, end, write):
    content = content if end == "\n" else content.replace(b"\n", b"\r\n") if b"\0" not in content else content
    table, messages = read(write("t.csv", content))
    assert table.names == ["stadt", "größe"]
    assert table.cells["stadt"].to_pylist() == CITIES
    assert len(messages) == bool(said)
    assert all(part in messages[0] for part in said)


def test_first_accent_may_stand_far_below(write):
    rows = "Ulm,1\n" * 200_000
    table, messages = read(write("t.csv", f"city,n\n{rows}Köln,2\n".encode("cp1252")))
    assert table.cells["city"][-1].as_py() == "Köln"
    assert "is not UTF-8 (line 200002); read as cp1252" in messages[0]


@pytest.mark.parametrize("encoding", ["cp1251", "latin-1", "utf-16", "koi8_r", "utf8", "UTF-8-SIG"])
def test_encoding_can_be_stated(encoding, write):
    text = "имя,x\nмир,2\nдом,4\n" if encoding in ("cp1251", "koi8_r") else TEXT
    table, messages = read(write("t.csv", text.encode(encoding)), encoding)
    assert table.names == text.split("\n")[0].split(",")
    assert table.cells[0].to_pylist() == [line.split(",")[0] for line in text.splitlines()[1:]]
    assert messages == []


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        ("имя,x\nПривет,2\n".encode("cp1251"), None, "byte 0xe8 on line 1 (offset 0). Name its encoding, like"),
        (f"region,amount\n{'север,1200.50' * 3}\n".encode("cp1251"), None, "byte 0xf1 on line 2"),
        (b"%PDF-1.7\n%\xe2\xe3\n", None, "is a PDF by its content"),
        ("a,b\nKöln,1\n".encode() + b"K\xf6ln,2\n", None, "byte 0xf6 on line 3 (offset 13)"),
        (b"a,b\n1,\x81\n", None, "byte 0x81 on line 2"),
        (b"a,b\n1,\x01\xe9\n", None, "byte 0xe9 on line 2"),
        ("a,b\n1,é\n".encode("cp1252"), "utf-16", "is not UTF-16"),
        ("a,b\n1,2\nK\xf6ln,3\n".encode("cp1252"), "ascii", "is not ASCII: byte 0xf6 on line 3"),
        (b"a,b\n1,2\n", "no-such", "there is no text encoding of that name"),
        (b"a,b\n1,2\n", "base64", "there is no text encoding of that name"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], None, "is not UTF-16"),
    ],
)
def test_what_cannot_be_decoded_is_refused(content, encoding, message, write):
    with pytest.raises(InputError) as caught:
        read(write("t.csv", content), encoding)
    assert message in str(caught.value)


def test_json_lines_and_documents_may_be_of_any_encoding(write):
    line = '{"city": "Köln", "n": 1}\n'
    for name, content in (("t.jsonl", line * 2), ("t.json", f"[{line},{line}]")):
        for encoding in ("cp1252", "utf-16"):
            table, messages = read(write(name, content.encode(encoding)))
            assert table.cells["city"].to_pylist() == ["Köln"] * 2
            assert encoding in messages[0].lower()


def test_results_are_utf8_and_piped_results_hold_no_messages(run, write, fast):
    outcome = run("score", write("t.csv", TEXT.encode("cp1252")), "--drop", "stadt", *fast)
    assert outcome.code == 0, outcome.err
    assert outcome.frame["stadt"].tolist() == CITIES
    assert "read as cp1252" in outcome.err
    assert b"cp1252" not in outcome.out
    assert run("score", write("t.csv", TEXT.encode("cp1252")), "--drop", "stadt", "-q", *fast).err == ""
