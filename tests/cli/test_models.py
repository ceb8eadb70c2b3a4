import json
import os
import threading

from vae_anomaly import read_manifest


def test_fit_tells_what_it_did_and_leaves_standard_output_empty(run, orders_csv, tmp_path, fast):
    path = tmp_path / "m.vae"
    outcome = run("fit", orders_csv, "-o", path, "--id", "order", *fast)
    assert outcome.code == 0
    assert outcome.out == b""
    assert outcome.err.splitlines()[-1].startswith(f"fitted on {orders_csv}: 60 rows, 4 columns (")
    assert outcome.err.endswith(f"written to {path}\n")
    assert list(tmp_path.iterdir()) == [path]


def test_model_is_written_through_a_pipe_and_never_takes_its_place(run, orders_csv, tmp_path, fast):
    pipe, copy = tmp_path / "pipe", tmp_path / "copy.vae"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: copy.write_bytes(pipe.read_bytes()))
    reader.start()
    outcome = run("fit", orders_csv, "-o", pipe, *fast)
    reader.join()
    assert outcome.code == 0, outcome.err
    assert pipe.is_fifo()
    assert len(read_manifest(copy)["columns"]) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.vae", "pipe"]


def test_fit_options_reach_the_model(run, orders_csv, tmp_path, fast):
    path = tmp_path / "m.vae"
    options = (
        "--contamination",
        "0.1",
        "--random-state",
        "3",
        "--latent-dim",
        "2",
        "--max-samples",
        "40",
        "--device",
        "cpu",
    )
    summary = json.loads(run("fit", orders_csv, "-o", path, "--json", *fast, *options).text)
    parameters = read_manifest(path)["parameters"]
    assert summary["model"] == str(path)
    assert parameters["contamination"] == 0.1
    assert parameters["random_state"] == 3
    assert parameters["latent_dim"] == 2
    assert parameters["max_samples"] == 40
    assert parameters["max_iter"] == int(fast[1])
    assert parameters["n_estimators"] == 2


def test_scoring_with_the_model_equals_scoring_while_fitting(run, orders_csv, model, fast):
    at_once = run("score", orders_csv, "--id", "order", "--calibration", "auto", "--preset", "default", *fast)
    later = run("score", orders_csv, "--id", "order", "-m", model)
    assert at_once.frame["anomaly_score"].equals(later.frame["anomaly_score"])
    assert "p_value is the rank among the rows fitted" in at_once.err


def test_label_is_measured_at_the_fit(run, orders, write, tmp_path, fast):
    path = write("t.csv", orders.assign(fraud=orders.index == 40).to_csv(index=False))
    outcome = run("fit", path, "-o", tmp_path / "m.vae", "--id", "order", "--label", "fraud", "-q", *fast)
    assert outcome.err.startswith("label 'fraud' (true = anomaly, 1 of 60 rows): AUROC 1.000")
    assert "fraud" not in [column["name"] for column in read_manifest(tmp_path / "m.vae")["columns"]]


def test_info_shows_rows_threshold_and_every_column(run, model):
    outcome = run("info", model)
    assert outcome.code == 0
    assert outcome.err == ""
    manifest = read_manifest(model)
    for shown in ("training rows", "60", f"{-manifest['offset']:.2f} nats", "2 members", "amount", "shop"):
        assert shown in outcome.text


def test_info_json_is_the_manifest(run, model):
    shown = json.loads(run("info", model, "--json").text)
    assert set(shown.pop("contents")) >= {"exemplars", "fingerprints", "groups"}
    for column in shown["columns"]:
        column.pop("text_read_as", None)
    assert shown == read_manifest(model)


def test_info_does_not_build_the_model(run, model, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("the model was built")

    monkeypatch.setattr("vae_anomaly.model.VAE.__init__", refuse)
    assert run("info", model).code == 0
