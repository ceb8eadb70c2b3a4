"""`vae-anomaly serve`: a process that answers as `score` does, and ends when it is told to."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from vae_anomaly_cli.commands import serve as serving

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("uvicorn")
READY = re.compile(r"on (http://127\.0\.0\.1:\d+):")
END_SECONDS = 20


class Server:
    """A process that serves."""

    def __init__(self, *arguments):
        program = "import sys; from vae_anomaly_cli.main import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", program, "serve", *map(str, arguments), "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.said = []
        while True:
            line = self.process.stderr.readline()
            self.said.append(line)
            found = READY.search(line)
            if found or not line:
                break
        assert found, "".join(self.said)
        self.address = found[1]

    def end(self, number=signal.SIGTERM):
        """Exit code, and what was said until then."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, "".join(self.said) + rest


@pytest.fixture(scope="module")
def server(model):
    server = Server(model)
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()


def test_served_rows_are_those_that_score_writes(server, run, model, later_orders, tmp_path):
    rows = json.loads(later_orders.head(60).to_json(orient="records"))
    rows[3]["amount"], rows[4]["amount"], rows[5]["shop"] = "x", None, "moon"
    path, scored = tmp_path / "rows.jsonl", tmp_path / "scored.jsonl"
    # Each file has one type of cell in a column: as text all cells are.
    texts = [{**row, "amount": None if row["amount"] is None else str(row["amount"])} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in texts))
    assert run("score", path, "-m", model, "-o", scored).code == 0
    written = [json.loads(line) for line in scored.read_text().splitlines()]
    names = ("row", "anomaly_score", "p_value", "is_anomaly", "problem")
    for sent in (rows, texts):
        answer = httpx.post(f"{server.address}/score", json={"rows": sent})
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows"] == [{name: row[name] for name in names} for row in written]
    assert answer.json()["ignored_columns"] == ["fraud"]


def test_request_that_comes_in_chunks_is_bounded(server):
    def chunks():
        for _ in range(9 * 16):
            yield b" " * (1 << 16)

    headers = {"content-type": "application/json"}
    try:
        answer = httpx.post(f"{server.address}/score", content=chunks(), headers=headers)
    except httpx.TransportError:
        # The answer came while the body was sent.
        return
    assert answer.status_code == 413


def test_server_ends_when_it_is_told_to_and_says_no_cells(server):
    assert httpx.get(f"{server.address}/health").json()["status"] == "ok"
    httpx.post(f"{server.address}/score", json={"rows": [{"amount": "very secret"}]})
    code, said = server.end()
    assert code == 143
    assert said.endswith("error: terminated.\n")
    assert "secret" not in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_ctrl_c_ends_it_with_the_code_of_an_interruption(model):
    code, said = Server(model).end(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in said


@pytest.mark.slow
def test_replaced_model_is_served_by_the_process(model, run, orders_csv, tmp_path, fast):
    file = tmp_path / "live.vae"
    file.write_bytes(model.read_bytes())
    server = Server(file, "--reload-seconds", "1")
    try:
        before = httpx.get(f"{server.address}/model").json()["fingerprint"]
        assert run("fit", orders_csv, "-o", file, "--drop", "order", "--seed", "9", *fast).code == 0
        until = time.monotonic() + END_SECONDS
        while httpx.get(f"{server.address}/model").json()["fingerprint"] == before:
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        code, said = server.end()
    assert code == 143
    assert "loaded the replaced" in said


def test_port_that_is_taken_is_refused_in_one_line(run, model):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = run("serve", model, "--port", str(port)).error()
    assert f"cannot listen on 127.0.0.1, port {port}: address already in use" in said
    assert "--port" in said


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_port_that_cannot_be_is_refused(run, model, port):
    assert "--port" in run("serve", model, "--port", port).error()


def test_host_that_is_none_is_refused(run, model):
    assert (
        "--host no.such.host.invalid: no such address" in run("serve", model, "--host", "no.such.host.invalid").error()
    )


def test_model_that_is_none_is_refused(run, tmp_path, orders_csv):
    assert "does not exist" in run("serve", tmp_path / "no.vae").error()
    assert str(orders_csv) in run("serve", orders_csv, "--port", "0").error()
    (tmp_path / "no.onnx").write_bytes(b"no")
    assert "no.onnx" in run("serve", tmp_path / "no.onnx", "--port", "0").error()


def test_model_of_images_is_refused(run, tmp_path, fast):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(12):
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / "images" / f"{number}.png")
    assert run("fit", tmp_path / "images", "-o", tmp_path / "i.vae", *fast).code == 0
    assert "only models of tables are served" in run("serve", tmp_path / "i.vae", "--port", "0").error()


def test_library_that_is_missing_is_named(run, model, monkeypatch):
    monkeypatch.setattr(serving, "LIBRARIES", ("no_such_library",))
    said = run("serve", model).error()
    assert 'Install it with: python -m pip install "vae-anomaly[serve]"' in said


def test_address_that_others_reach_comes_with_a_warning(run, model, monkeypatch):
    monkeypatch.setattr(serving, "_serve", lambda *_arguments, **_options: os.getpid())
    outcome = run("serve", model, "--host", "0.0.0.0", "--port", "0")
    assert outcome.code == 0
    assert "warning: --host 0.0.0.0: other machines can reach this address" in outcome.err
    assert "warning" not in run("serve", model, "--port", "0").err
