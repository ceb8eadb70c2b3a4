"""A line is in memory as a whole: one that is too long is refused before it is there, with its place and length."""

import gzip
import io
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.table_source import open_table

LIMIT = 1000


@pytest.fixture
def limited(monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.sources.delimited.MAX_BLOCK_BYTES", LIMIT)
    monkeypatch.setattr("vae_anomaly_cli.sources.delimited.BLOCK_BYTES", LIMIT)
    monkeypatch.setattr("vae_anomaly_cli.sources.jsonl.MAX_LINE_BYTES", LIMIT)


def opened(path):
    return open_table([str(path)], None, None, lambda _: None)


ROWS = "1,2\n" * 20
LONG = {
    "a cell": ("t.csv", f"a,b\n{ROWS}1,{'x' * 1500}\n1,2\n", 22, 1502),
    "a quoted cell": ("t.csv", f'a,b\n{ROWS}1,"{"x" * 1500}"\n1,2\n', 22, 1504),
    "the header": ("t.csv", f"a,{'b' * 1500}\n{ROWS}", 1, 1502),
    "no line end": ("t.csv", "x" * 5000, 1, 5000),
    "the last line": ("t.tsv", "a\tb\n" + "1\t2\n" * 20 + "1\t" + "x" * 999, 22, 1001),
    "JSON": ("t.jsonl", '{"a": 1}\n' * 7 + '{"a": "' + "x" * 1500 + '"}\n', 8, 1509),
    "letters of several bytes": ("t.csv", f"a,b\n{ROWS}1,{'ß' * 500}\n", 22, 1002),
}


@pytest.mark.parametrize("what", LONG)
@pytest.mark.parametrize("packed", [False, True])
def test_long_line_is_named_with_its_length(limited, tmp_path, what, packed):
    name, text, line, length = LONG[what]
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(InputError) as error:
        opened(path)
    assert str(error.value) == (
        f"{path} line {line} has {length:,} bytes; expected lines of at most 1,000 bytes, as one is in memory as a "
        "whole. Look there for line ends that are lost, or leave out the column that is so long."
    )


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_long_line_in_another_encoding_is_refused(limited, tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(f"a,b\n{ROWS}1,{'café du coin ' * 100}\n".encode(encoding))
    with pytest.raises(InputError, match="line 22 has 1,402 bytes" if encoding == "utf-16" else "line 22 has 1,302"):
        opened(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_up_to_the_limit_are_read(limited, tmp_path, end):
    path = tmp_path / "t.csv"
    lines = ["a,b", *(f"1,{'x' * (998 - row)}" for row in range(10)), "1,2"]
    path.write_bytes(end.join(lines).encode())
    cells = [cell for batch in opened(path).batches() for cell in batch.cells["b"].to_pylist()]
    assert [len(cell) for cell in cells] == [*(998 - row for row in range(10)), 1]


def test_memory_is_bounded_while_a_long_line_is_looked_for(tmp_path):
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(b"a,b\n" + b"1,2\n" * 20 + b"1,")
        for _ in range(80):
            stream.write(b"x" * (1 << 20))
    opened_before = path.stat().st_size
    assert opened_before < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="line 22 has 83,886,082 bytes; expected lines of at most 67,108,864"):
            opened(path)
        # The head of a file is a line of 64 MiB at most; here it ends early.
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_more_columns_than_anybody_means_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.sources.delimited.MAX_COLUMNS", 100)
    path = tmp_path / "t.csv"
    path.write_text("a," * 100 + "b\n" + "1," * 100 + "2\n")
    with pytest.raises(InputError, match="line 1 has 101 cells; expected at most 100 columns"):
        opened(path)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_packed_binary_file_is_not_unpacked_beyond_memory(orders, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("vae_anomaly_cli.sources.byte_source.MAX_UNPACKED_BYTES", 100)
    plain = tmp_path / f"t.{suffix}"
    (orders.to_parquet if suffix == "parquet" else orders.to_feather)(plain)
    assert len(opened(plain).names) == 5
    packed = tmp_path / f"packed.{suffix}"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(InputError, match=r"which would be unpacked into memory as a whole.*Unpack it first"):
        opened(packed)


def test_workbook_that_unpacks_to_far_more_than_one_has_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.sources.excel.MAX_UNPACKED_BYTES", 1 << 20)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "x")
        archive.writestr("xl/sharedStrings.xml", "x" * (1 << 21))
    path = tmp_path / "t.xlsx"
    path.write_bytes(content.getvalue())
    with pytest.raises(InputError, match="unpacks to 2,097,153 bytes, and is read as a whole"):
        opened(path)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the peak of memory")
def test_line_of_a_gigabyte_takes_little_memory(tmp_path):
    import subprocess

    path = tmp_path / "t.csv"
    with path.open("wb") as stream:
        stream.write(b"a,b\n" + b"1,2\n" * 20 + b"1,")
        for _ in range(1 << 10):
            stream.write(b"x" * (1 << 20))
    # Not ru_maxrss, which begins with what the process had that started this one.
    run = (
        "import re, sys; from vae_anomaly_cli.main import main; code = main(sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]); sys.exit(code)"
    )
    command = [sys.executable, "-c", run, "fit", str(path), "-o", str(tmp_path / "o.vae")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert b"line 22 has 1,073,741,826 bytes" in done.stderr
    assert done.returncode == 2
    # 3.2 GB before.
    assert int(done.stdout) < 600_000


def test_source_without_a_limit_reads_any_line(tmp_path):
    (tmp_path / "t").write_bytes(b"x" * 5000)
    with ByteSource("t", tmp_path / "t").open() as stream:
        assert len(stream.read()) == 5000
