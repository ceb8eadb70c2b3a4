"""A model behind an endpoint: the scores of the detector, whatever comes, and whoever comes at the same time."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
import warnings

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fastapi import FastAPI

from vae_anomaly import FitWarning, ModelFileError, NotInstalled, SpecificationError, VAEDetector, export_onnx, save
from vae_anomaly.serving import ServingLimits, scoring_app


class Client:
    """A client of an ASGI application, whose lifespan is the context."""

    def __init__(self, app):
        self.app, self.loop = app, asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")
        self.lifespan = app.router.lifespan_context(app)

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def __enter__(self):
        self.wait(self.lifespan.__aenter__())
        return self

    def __exit__(self, *_):
        self.wait(self.lifespan.__aexit__(None, None, None))
        self.close()

    def close(self):
        self.wait(self.http.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def get(self, path, **options):
        return self.wait(self.http.get(path, **options))

    def post(self, path, **options):
        return self.wait(self.http.post(path, **options))


pytest.importorskip("prometheus_client")
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
SMALL = ServingLimits(max_body_bytes=20_000, max_rows=50, max_explained_rows=5, reload_seconds=0)


def table(n_rows, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(50, 5, n_rows).round(2),
            "items": rng.integers(1, 9, n_rows),
            "shop": rng.choice(["north", "south", "west"], n_rows),
            "paid": rng.choice([True, False], n_rows),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 200_000, n_rows), unit="min"),
        }
    )
    frame.loc[::17, "amount"] = np.nan
    frame.loc[3::29, "shop"] = None
    return frame


def fitted(seed):
    with warnings.catch_warnings():
        # So short a fit is no better than a simpler one.
        warnings.simplefilter("ignore", FitWarning)
        return VAEDetector(max_iter=30, n_estimators=2, random_state=0).fit(table(240, seed))


def as_json(frame):
    """Rows as clients send them."""
    texts = frame.assign(when=frame["when"].dt.strftime("%Y-%m-%dT%H:%M:%S"))
    return json.loads(texts.to_json(orient="records"))


def as_stream(arrow, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, arrow.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(arrow)
    return sink.getvalue().to_pybytes()


ROWS = table(40, seed=1)
ROW = as_json(ROWS[1:2])[0]


@pytest.fixture(scope="module")
def detector():
    return fitted(0)


@pytest.fixture(scope="module")
def path(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "orders.vae"
    save(detector, path)
    return path


@pytest.fixture
def client(path):
    with Client(scoring_app(path, limits=SMALL)) as client:
        yield client


def scored(client, rows, **query):
    answer = client.post("/score", json={"rows": rows}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def refused(answer, status, kind):
    assert (answer.status_code, answer.json()["error"]) == (status, kind), answer.text
    return answer.json()


def test_answer_is_what_the_detector_decides(client, detector):
    expected = detector.decide(ROWS)
    answer = pd.DataFrame(scored(client, as_json(ROWS)))
    assert answer["row"].tolist() == list(range(1, 41))
    assert answer["anomaly_score"].tolist() == expected["anomaly_score"].tolist()
    assert answer["p_value"].tolist() == expected["p_value"].tolist()
    assert answer["is_anomaly"].tolist() == expected["is_anomaly"].tolist()
    assert answer["problem"].isna().all()


def test_rows_alone_in_batches_and_at_once_have_the_same_bits(path):
    app, rows = scoring_app(path, limits=SMALL), as_json(ROWS)

    async def at_once():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await asyncio.gather(*(client.post("/score", json={"rows": [row]}) for row in rows))

    together = [answer.json()["rows"][0]["anomaly_score"] for answer in asyncio.run(at_once())]
    with Client(app) as client:
        alone = [scored(client, [row])[0]["anomaly_score"] for row in rows[:5]]
        batch = [row["anomaly_score"] for row in scored(client, rows)]
        merged = [line for line in client.get("/metrics").text.splitlines() if "batch_rows_count" in line]
    assert together == batch
    assert alone == batch[:5]
    # Five alone, one batch, and what came at once in fewer than forty.
    assert float(merged[0].split()[1]) < 46


def test_many_rows_have_the_bits_of_few(path):
    with Client(scoring_app(path)) as client:
        many = scored(client, as_json(ROWS) * 10)
        few = scored(client, as_json(ROWS))
    assert [row["anomaly_score"] for row in many] == [row["anomaly_score"] for row in few] * 10


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", 400, "not_json"),
        (b"{", 400, "not_json"),
        (b'{"rows": [{"a": 1, "a": 2}]}', 400, "not_json"),
        (b'{"rows": [{"a": "\\ud800"}]}', 400, "not_json"),
        (b"\xff\xfe", 400, "not_json"),
        (b"[" * 5000, 400, "not_json"),
        (b'{"rows": [' + b"[" * 40 + b"]" * 40 + b"]}", 400, "not_json"),
        (b'{"rows": [{"amount": ' + b"9" * 5000 + b"}]}", 400, "not_json"),
        (b"[1, 2]", 422, "not_rows"),
        (b"null", 422, "not_rows"),
        (b'{"amount": 1}', 422, "not_rows"),
        (b'{"rows": {}}', 422, "not_rows"),
        (b'{"rows": [], "threshold": 1}', 422, "not_rows"),
        (b'{"rows": []}', 422, "no_rows"),
        (b'{"rows": [1]}', 422, "not_an_object"),
        (b'{"rows": [null]}', 422, "not_an_object"),
        (b'{"rows": [{}]}', 422, "missing_column"),
    ],
)
def test_body_that_is_no_rows_is_refused(client, body, status, kind):
    said = refused(client.post("/score", content=body, headers={"content-type": JSON}), status, kind)
    assert "\n" not in said["detail"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_body_of_another_type_is_refused_with_the_remedy(client, content_type):
    headers = {"content-type": content_type} if content_type else {}
    said = refused(client.post("/score", content=b'{"rows": []}', headers=headers), 415, "content_type")
    assert "-H 'content-type: application/json'" in said["detail"]


def test_compressed_body_is_refused(client):
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    refused(client.post("/score", content=b"...", headers=headers), 415, "compressed")


def test_column_that_is_missing_is_named_with_the_one_that_was_meant(client):
    row = {**ROW, "amonut": 1}
    del row["amount"]
    said = refused(client.post("/score", json={"rows": [ROW, row]}), 422, "missing_column")
    assert (said["column"], said["row"]) == ("amount", 2)
    assert "Did you mean 'amonut'?" in said["detail"]
    assert "send null" in said["detail"]


def test_columns_that_nobody_asked_for_are_ignored_and_named(client):
    answer = client.post("/score", json={"rows": [{**ROW, "customer": "Anna"}]}).json()
    assert answer["ignored_columns"] == ["customer"]
    assert answer["rows"][0]["anomaly_score"] == scored(client, [ROW])[0]["anomaly_score"]


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [
        ("amount", "a lot", "'amount' holds 'a lot', which is no number"),
        ("amount", [1], "'amount' holds a list, which is no single value"),
        ("shop", {"a": 1}, "'shop' holds an object, which is no single value"),
        pytest.param("items", 10**400, f"'items' holds '{10**59}...', which is no plain number", id="huge"),
        ("when", "soon", "'when' holds 'soon', which is no date"),
        ("when", 5, "'when' holds '5', which is no date like 2026-02-28"),
    ],
)
def test_cell_that_cannot_be_read_is_a_problem_of_its_row_alone(client, name, cell, said):
    bad, good = scored(client, [{**ROW, name: cell}, ROW])
    assert (bad["anomaly_score"], bad["p_value"], bad["is_anomaly"], bad["problem"]) == (None, None, None, said)
    assert good == {**scored(client, [ROW])[0], "row": 2}


def test_row_of_infinity_has_a_problem_and_one_of_nan_a_missing_cell(client):
    body = json.dumps({"rows": [{**ROW, "amount": float("inf")}, {**ROW, "amount": float("nan")}]})
    infinite, missing = client.post("/score", content=body, headers={"content-type": JSON}).json()["rows"]
    assert "holds 'inf'" in infinite["problem"]
    assert missing["anomaly_score"] == scored(client, [{**ROW, "amount": None}])[0]["anomaly_score"]


def test_row_without_a_value_has_a_problem(client):
    (row,) = scored(client, [dict.fromkeys(ROW)])
    assert row["problem"] == "holds no value in any column of the model"


@pytest.mark.parametrize(
    ("name", "cell", "same"),
    [
        ("amount", "51.5", 51.5),
        ("amount", " 51.5 ", 51.5),
        ("amount", "NA", None),
        ("amount", 10**30, 1e30),
        ("items", "3", 3),
        ("items", 3.0, 3),
        ("paid", "true", True),
        ("paid", 1, True),
        ("shop", " north ", "north"),
        ("shop", "n/a", None),
        ("when", "2026-03-01", "2026-03-01T00:00:00"),
    ],
)
def test_cells_that_are_written_differently_are_the_same(client, name, cell, same):
    one, other = scored(client, [{**ROW, name: cell}, {**ROW, name: same}])
    assert one["anomaly_score"] == other["anomaly_score"] is not None


def test_level_that_training_never_saw_is_scored(client):
    (row,) = scored(client, [{**ROW, "shop": "moon"}])
    assert row["anomaly_score"] > scored(client, [ROW])[0]["anomaly_score"]


def test_arrow_in_and_out_is_the_same_as_json(client):
    body = as_stream(pa.Table.from_pandas(ROWS, preserve_index=False))
    headers = {"content-type": ARROW, "accept": ARROW}
    answer = client.post("/score", content=body, headers=headers, params={"explain": "flagged"})
    assert answer.headers["content-type"] == ARROW
    found = pa.ipc.open_stream(answer.content).read_all()
    assert found.schema.names == ["row", "anomaly_score", "p_value", "is_anomaly", "problem", "reasons"]
    expected = scored(client, as_json(ROWS))
    assert found["anomaly_score"].to_pylist() == [row["anomaly_score"] for row in expected]
    as_json_again = client.post("/score", content=body, headers={"content-type": ARROW}).json()["rows"]
    assert as_json_again == expected


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_arrow_is_refused_before_it_is_read(client, compression):
    body = as_stream(pa.table({"amount": np.zeros(10_000)}), compression=compression)
    refused(client.post("/score", content=body, headers={"content-type": ARROW}), 415, "compressed")


def test_arrow_that_is_damaged_is_refused(client):
    body = as_stream(pa.Table.from_pandas(ROWS[:3], preserve_index=False))
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(body)
        for place in rng.integers(0, len(body), 4):
            damaged[place] = rng.integers(0, 256)
        cut = bytes(damaged[: rng.integers(1, len(body))])
        for content in (bytes(damaged), cut):
            answer = client.post("/score", content=content, headers={"content-type": ARROW})
            assert answer.status_code in (200, 400, 413, 415, 422), answer.text


def test_arrow_of_a_type_without_single_values_is_refused(client):
    frame = pa.Table.from_pandas(ROWS[:2], preserve_index=False)
    nested = frame.set_column(0, "amount", pa.array([[1.0], [2.0]]))
    said = refused(client.post("/score", content=as_stream(nested), headers={"content-type": ARROW}), 422, "columns")
    assert said["column"] == "amount"
    lacks = frame.drop_columns("shop")
    answer = client.post("/score", content=as_stream(lacks), headers={"content-type": ARROW})
    assert refused(answer, 422, "missing_column")["column"] == "shop"


def test_reasons_come_for_the_rows_that_are_asked_for(client, detector):
    odd = {**ROW, "amount": 900.0}
    first, second = scored(client, [ROW, odd], explain="true")
    assert first["reasons"] is not None
    (reason, *_) = second["reasons"]
    assert (reason["column"], reason["observed"]) == ("amount", 900.0)
    assert reason["text"].startswith("amount is 900, expected about")
    calm, flagged = scored(client, [ROW, odd], explain="flagged")
    assert calm["reasons"] is None
    assert flagged["reasons"] == second["reasons"]
    assert "reasons" not in scored(client, [ROW])[0]


def test_reasons_are_bounded(client):
    refused(client.post("/score?explain=true", json={"rows": [ROW] * 6}), 413, "too_many_rows")
    odd = [{**ROW, "amount": 900.0 + number} for number in range(8)]
    explained = [row["reasons"] is not None for row in scored(client, odd, explain="flagged")]
    assert sum(explained) == 5
    refused(client.post("/score?explain=maybe", json={"rows": [ROW]}), 422, "query")


def test_too_many_rows_or_bytes_are_refused_whatever_the_headers_say(client):
    refused(client.post("/score", json={"rows": [ROW] * 51}), 413, "too_many_rows")
    refused(client.post("/score", content=b" " * 20_001, headers={"content-type": JSON}), 413, "body_too_large")

    async def chunks():
        for _ in range(30):
            yield b" " * 1000

    refused(client.post("/score", content=chunks(), headers={"content-type": JSON}), 413, "body_too_large")


def test_body_that_does_not_come_is_given_up(path):
    async def nothing():
        yield b"{"
        await asyncio.sleep(1)

    with Client(scoring_app(path, limits=ServingLimits(timeout_seconds=0.05))) as client:
        refused(client.post("/score", content=nothing(), headers={"content-type": JSON}), 408, "slow_body")


@pytest.mark.slow
def test_exported_model_is_served_without_pytorch(detector, tmp_path):
    pytest.importorskip("onnx")
    export_onnx(detector, tmp_path / "orders.onnx")
    program = (
        "import sys; from vae_anomaly.serving import scoring_app; scoring_app(sys.argv[1]);"
        "print({'torch', 'sklearn'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "orders.onnx")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


class Slow:
    """An engine that scores when it is told to, and fails for one amount."""

    def __init__(self, engine):
        self.engine, self.may_go, self.is_asked = engine, threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def judge(self, frame, *, counted=True):
        self.is_asked.set()
        self.may_go.wait(10)
        if (frame["amount"] == 13).any():
            raise RuntimeError("secret cell 13")
        return self.engine.judge(frame, counted=counted)


@pytest.fixture
def slow(path):
    def make(**limits):
        app = scoring_app(path, limits=ServingLimits(reload_seconds=0, **limits))
        engine = Slow(app.state.service.engine)
        app.state.service.file.engine = engine
        return app, engine

    return make


def test_request_that_fails_harms_no_other_and_says_nothing_of_cells(slow, caplog):
    app, engine = slow()

    async def at_once():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            rows = [{**ROW, "amount": amount} for amount in (50.0, 13, 51.0, 52.0)]
            asked = [asyncio.create_task(client.post("/score", json={"rows": [row]})) for row in rows]
            await asyncio.sleep(0.2)
            engine.may_go.set()
            return await asyncio.gather(*asked)

    with caplog.at_level(logging.INFO):
        answers = asyncio.run(at_once())
    assert [answer.status_code for answer in answers] == [200, 500, 200, 200]
    assert "secret" not in answers[1].text
    assert "secret" not in caplog.text
    assert "RuntimeError" in caplog.text


def test_rows_beyond_those_that_may_wait_are_told_to_come_later(slow):
    app, engine = slow(max_waiting_rows=3)

    async def at_once():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            first = asyncio.create_task(client.post("/score", json={"rows": [ROW]}))
            await asyncio.to_thread(engine.is_asked.wait, 10)
            others = [asyncio.create_task(client.post("/score", json={"rows": [ROW] * 2})) for _ in range(3)]
            await asyncio.sleep(0.1)
            health = await client.get("/health/ready")
            engine.may_go.set()
            return health, await asyncio.gather(first, *others)

    _, answers = asyncio.run(at_once())
    codes = [answer.status_code for answer in answers]
    assert sorted(codes) == [200, 200, 503, 503]
    busy = answers[codes.index(503)]
    assert busy.headers["retry-after"] == "1"
    refused(busy, 503, "busy")


def test_rows_that_are_not_scored_in_time_are_given_up(slow):
    app, engine = slow(timeout_seconds=0.1)
    with Client(app) as client:
        refused(client.post("/score", json={"rows": [ROW]}), 503, "timeout")
        engine.may_go.set()


def test_server_that_ends_answers_what_waits(slow):
    app, engine = slow()
    with Client(app) as client:
        found = []
        asking = threading.Thread(target=lambda: found.append(client.post("/score", json={"rows": [ROW]})))
        asking.start()
        engine.is_asked.wait(10)
        engine.may_go.set()
        app.state.service.queue.close()
        asking.join()
        assert found[0].status_code == 200
        refused(client.post("/score", json={"rows": [ROW]}), 503, "closing")
        assert client.get("/health").status_code == client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200


def test_model_and_schema_name_the_columns(client):
    model = client.get("/model").json()
    assert [column["name"] for column in model["columns"]] == list(ROWS.columns)
    assert model["calibration_rows"] > 0
    assert scored(client, model["example"]["rows"])[0]["problem"] is None
    schema = client.get("/openapi.json").json()
    row = schema["components"]["schemas"]["Row"]
    assert row["required"] == list(ROWS.columns)
    assert row["properties"]["amount"]["type"] == ["number", "null"]
    assert row["properties"]["paid"]["type"] == ["boolean", "null"]
    assert sorted(row["properties"]["shop"]["examples"]) == ["north", "south", "west"]
    assert "enum" not in row["properties"]["shop"]
    assert "date" in row["properties"]["when"]["description"]
    assert set(schema["paths"]["/score"]["post"]["requestBody"]["content"]) == {JSON, ARROW}


def value_of(client, name):
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].rsplit(" ", 1)[1])


def test_metrics_count_rows_requests_and_refusals(client):
    scored(client, [ROW, {**ROW, "amount": 900.0}, {**ROW, "amount": "x"}])
    client.post("/score", content=b"{", headers={"content-type": JSON})
    outcomes = {
        outcome: value_of(client, f'vae_anomaly_rows_total{{outcome="{outcome}"}}')
        for outcome in ("normal", "anomalous", "problem")
    }
    assert outcomes == {"normal": 1, "anomalous": 1, "problem": 1}
    assert value_of(client, "vae_anomaly_flagged_share") == 0.5
    assert value_of(client, 'vae_anomaly_requests_total{endpoint="/score",status="400"}') == 1
    assert value_of(client, 'vae_anomaly_errors_total{kind="not_json"}') == 1
    assert value_of(client, "vae_anomaly_request_seconds_count") == 2


def test_health_and_metrics_say_when_rows_have_changed(path):
    with Client(scoring_app(path)) as client:
        scored(client, as_json(table(100, seed=2)))
        assert client.get("/health").json()["drift"]["alarm"] is False
        moved = table(200, seed=3)
        moved["amount"] += 15
        scored(client, as_json(moved))
        drift = client.get("/health").json()["drift"]
        assert drift["alarm"] is True
        assert drift["rows"] == 300
        assert value_of(client, "vae_anomaly_drift_alarm") == 1


def test_replaced_model_is_served_without_a_failed_request(detector, path, tmp_path):
    file = tmp_path / "live.vae"
    save(detector, file)
    other = fitted(5)
    with Client(scoring_app(file, limits=ServingLimits(reload_seconds=0.05))) as client:
        before, expected = scored(client, [ROW])[0]["anomaly_score"], other.anomaly_score(ROWS[1:2])[0]
        seen, until = [], time.monotonic() + 20
        save(other, file)
        while time.monotonic() < until and (not seen or seen[-1] != expected):
            seen.append(scored(client, [ROW])[0]["anomaly_score"])
        assert seen[-1] == expected
        assert set(seen) <= {before, expected}
        assert value_of(client, 'vae_anomaly_model_reloads_total{outcome="loaded"}') == 1


def test_broken_new_file_keeps_the_model_of_before_and_says_so(detector, tmp_path, caplog):
    file = tmp_path / "live.vae"
    save(detector, file)
    app = scoring_app(file, limits=ServingLimits(reload_seconds=0))
    model_file = app.state.service.file
    with Client(app) as client, caplog.at_level(logging.INFO):
        before = scored(client, [ROW])
        whole = file.read_bytes()
        for content, said in ((whole[:-100], "live.vae"), (None, "cannot be read")):
            file.write_bytes(content) if content is not None else file.unlink()
            model_file.look()
            health = client.get("/health")
            assert (health.status_code, health.json()["status"]) == (200, "degraded")
            assert said in health.json()["model"]["problem"]
            assert value_of(client, "vae_anomaly_model_reload_failed") == 1
            assert scored(client, [ROW]) == before
        file.write_bytes(whole)
        model_file.look()
        assert client.get("/health").json()["status"] == "ok"
        assert value_of(client, "vae_anomaly_model_reload_failed") == 0
    assert caplog.text.count("is served on") == 2


def test_replacement_that_is_not_signed_is_refused(detector, tmp_path):
    file, key = tmp_path / "live.vae", b"k" * 32
    save(detector, file, key=key)
    app = scoring_app(file, limits=ServingLimits(reload_seconds=0), key=key)
    save(detector, file)
    app.state.service.file.look()
    assert "sign" in app.state.service.file.problem
    with pytest.raises(ModelFileError, match="sign"):
        scoring_app(file, key=key)


def test_exported_model_gives_the_same_scores_and_neither_p_values_nor_reasons(detector, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    file = tmp_path / "orders.onnx"
    export_onnx(detector, file)
    with Client(scoring_app(file, limits=SMALL)) as client:
        rows = [*as_json(ROWS), {**ROW, "amount": "x"}, {**ROW, "when": "soon"}, dict.fromkeys(ROW)]
        answer = scored(client, rows)
        scores = [row["anomaly_score"] for row in answer[:40]]
        np.testing.assert_allclose(scores, detector.anomaly_score(ROWS), rtol=1e-5)
        assert [row["is_anomaly"] for row in answer[:40]] == (detector.predict(ROWS) == -1).tolist()
        assert {row["p_value"] for row in answer} == {None}
        assert [row["anomaly_score"] for row in answer[40:]] == [None] * 3
        assert "no number" in answer[40]["problem"]
        refused(client.post("/score?explain=true", json={"rows": [ROW]}), 422, "no_reasons")
        schema = client.get("/openapi.json").json()["components"]["schemas"]["ScoredRow"]["properties"]
        assert "reasons" not in schema
        assert client.get("/model").json()["p_values"] is False
        assert client.get("/health").json()["drift"] is None


def test_model_of_images_is_refused_in_one_line(tmp_path):
    images = np.random.default_rng(0).uniform(size=(30, 8, 8))
    save(VAEDetector(max_iter=2, n_estimators=1).fit(images), tmp_path / "i.vae")
    with pytest.raises(ModelFileError, match="a model of images, and only models of tables are served"):
        scoring_app(tmp_path / "i.vae")


def test_missing_library_is_named_with_the_command_that_installs_it(path, monkeypatch):
    monkeypatch.delitem(sys.modules, "vae_anomaly.serving.endpoints", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(NotInstalled, match=r"vae-anomaly\[serve\]"):
        scoring_app(path)


def test_limits_are_positive():
    with pytest.raises(SpecificationError, match="max_rows=0"):
        ServingLimits(max_rows=0)


def test_application_that_is_mounted_in_another_scores(path):
    outer = FastAPI()
    outer.mount("/anomalies", scoring_app(path))
    with Client(outer) as client:
        answer = client.post("/anomalies/score", json={"rows": [ROW]})
        assert answer.status_code == 200
        assert client.get("/anomalies/openapi.json").json()["components"]["schemas"]["Row"]["required"] == list(ROW)


def test_groups_that_calibrate_or_compare_are_columns_of_a_row(tmp_path):
    frame = table(300, seed=0).drop(columns="when")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = VAEDetector(
            max_iter=10, n_estimators=2, random_state=0, calibration_groups="items", baseline_by="shop"
        ).fit(frame)
        expected = detector.decide(frame[:20])
    save(detector, tmp_path / "groups.vae")
    with Client(scoring_app(tmp_path / "groups.vae")) as client:
        found = pd.DataFrame(scored(client, json.loads(frame[:20].to_json(orient="records"))))
    assert found["anomaly_score"].tolist() == expected["anomaly_score"].tolist()
    assert found["p_value"].tolist() == expected["p_value"].tolist()


def test_wrong_paths_and_methods_are_answered_with_the_right_ones(client):
    assert "POST rows to it" in refused(client.get("/score"), 405, "method")["detail"]
    assert "GET /" in refused(client.get("/docs"), 404, "not_found")["detail"]
    assert "/model" in client.get("/").json()["see"]


def test_nothing_is_said_to_browsers_of_other_sites(client):
    answer = client.get("/model", headers={"origin": "http://elsewhere"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
