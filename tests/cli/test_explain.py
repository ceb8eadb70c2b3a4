"""Reasons of the command are those of the library, wherever they go."""

import io
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly import DataError, VAEDetector, load
from vae_anomaly_cli.repair import _replaced

FIELDS = ["column", "part", "observed", "expected", "lower", "upper", "nats", "tail_probability"]


@pytest.fixture(scope="module")
def frame(orders):
    return orders.drop(columns="order").assign(paid=orders["paid"] == "true")


@pytest.fixture(scope="module")
def explained(run, orders_csv, model):
    outcome = run("explain", orders_csv, "-m", model, "--id", "order", "--json", "--top", "60")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.text)["explained"]


def test_explanation_of_a_saved_model_is_that_of_the_library(explained, frame, model):
    rows = [row["row"] - 1 for row in explained]
    detector = load(model)
    explanation = detector.explain(frame.iloc[rows])
    for row, reasons in zip(explained, explanation.reasons(5), strict=True):
        assert [reason["column"] for reason in row["reasons"]] == [reason.column for reason in reasons]
        for told, reason in zip(row["reasons"], reasons, strict=True):
            assert list(told) == FIELDS
            assert told["nats"] == reason.nats
            assert told["tail_probability"] == reason.tail_probability
            assert told["expected"] == reason.expected
    np.testing.assert_array_equal([row["kl"] for row in explained], explanation.kl)


def test_contributions_and_kl_add_up_to_the_score(explained):
    for row in explained:
        assert sum(row["contributions"].values()) + row["kl"] == pytest.approx(row["anomaly_score"], abs=1e-4)


def test_strangest_rows_come_first_with_ids_and_row_numbers(explained):
    scores = [row["anomaly_score"] for row in explained]
    assert scores == sorted(scores, reverse=True)
    assert explained[0]["row"] == 41
    assert explained[0]["ids"] == {"order": "0040"}
    assert explained[0]["is_anomaly"] is True
    assert explained[0]["reasons"][0]["column"] in ("amount", "items")


def test_reasons_add_nats_and_the_most_come_first(explained):
    for row in explained:
        nats = [reason["nats"] for reason in row["reasons"]]
        assert nats == sorted(nats, reverse=True)
        assert all(more >= 0.05 for more in nats)


def test_row_without_a_reason_says_so(run, orders, write, orders_csv, model):
    calm = run("score", orders_csv, "-m", model, "--id", "order").frame
    place = calm["anomaly_score"].astype(float).idxmin()
    path = write("calm.csv", orders[place : place + 1].to_csv(index=False))
    (row,) = json.loads(run("explain", path, "-m", model, "--id", "order", "--json").text)["explained"]
    reasons = run("score", path, "-m", model, "--id", "order", "--explain", "--top", "1", "--only-top").frame["reasons"]
    shown = run("explain", path, "-m", model, "--id", "order").text
    assert (row["reasons"] == []) is ("no cell adds to the score" in shown)
    assert (row["reasons"] == []) is (reasons[0] == "no cell adds to the score")


def test_rows_are_chosen_by_number_in_the_order_given(run, orders_csv, model):
    outcome = run("explain", orders_csv, "-m", model, "--json", "--row", "7", "--row", "41", "--row", "7")
    assert [row["row"] for row in json.loads(outcome.text)["explained"]] == [7, 41]
    assert "2 rows explained" in outcome.err


def test_blocks_show_score_combination_and_cells(run, orders_csv, model):
    outcome = run("explain", orders_csv, "-m", model, "--id", "order", "--cells", "2")
    blocks = outcome.text.rstrip("\n").split("\n\n")
    assert len(blocks) == 5
    heading, combination, names, *cells = blocks[0].splitlines()
    assert heading.startswith("row 41, order 0040: ")
    assert " nats, above the threshold of " in heading
    assert combination.startswith("the combination of its cells (KL): ")
    assert names.split()[:4] == ["column", "observed", "expected", "plausible"]
    assert len(cells) == 2
    assert cells[0].split()[:2] in (["items", "900"], ["amount", "400"])


def test_without_a_model_it_fits_first(run, orders_csv, tmp_path, fast):
    path = tmp_path / "m.vae"
    robust = ("--preset", "robust", "--calibration", "none")
    assert run("fit", orders_csv, "--id", "order", "-o", path, *robust, *fast).code == 0
    at_once = run("explain", orders_csv, "--id", "order", *fast)
    later = run("explain", orders_csv, "--id", "order", "-m", path)
    assert at_once.out == later.out
    assert "warning" not in at_once.err
    assert at_once.err.startswith("fitted on ")


@pytest.mark.parametrize("name", ["c.csv", "c.tsv", "c.jsonl", "c.parquet", "c.csv.gz"])
def test_long_table_has_a_line_for_each_cell(run, orders_csv, model, explained, tmp_path, name):
    path = tmp_path / name
    outcome = run("explain", orders_csv, "-m", model, "--id", "order", "--cells", "2", "--top", "4", "-o", path)
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    if "parquet" in name:
        cells = pq.read_table(path).to_pandas()
    elif "jsonl" in name:
        cells = pd.read_json(path, lines=True, dtype={"order": str})
    else:
        cells = pd.read_csv(path, sep="\t" if "tsv" in name else ",", dtype={"order": str})
    assert list(cells) == ["row", "order", "anomaly_score", "rank", *FIELDS]
    summary = run("explain", orders_csv, "-m", model, "--id", "order", "--cells", "2", "--top", "4", "--json").text
    rows = json.loads(summary)["explained"]
    assert [row["row"] for row in rows] == [row["row"] for row in explained[:4]]
    assert cells["row"].tolist() == [row["row"] for row in rows for _ in row["reasons"]]
    assert cells["rank"].tolist() == [rank for row in rows for rank, _ in enumerate(row["reasons"], start=1)]
    assert cells["order"][0] == "0040"
    told = [reason["nats"] for row in rows for reason in row["reasons"]]
    np.testing.assert_allclose(cells["nats"], told, rtol=1e-9)
    assert list(tmp_path.iterdir()) == [path]


def test_long_table_on_standard_output(run, orders_csv, model):
    outcome = run("explain", orders_csv, "-m", model, "--row", "41", "--cells", "1", "-o", "-")
    assert outcome.text.splitlines()[0] == "row,anomaly_score,rank," + ",".join(FIELDS)
    assert outcome.text.splitlines()[1].startswith("41,")


@pytest.fixture(scope="module")
def rooms(folder):
    """Rooms whose volume follows from their area, and the same with two volumes mistyped."""
    area = np.random.default_rng(0).uniform(10, 40, 300).round(1)
    frame = pd.DataFrame({"room": [f"{i:03d}" for i in range(300)], "area": area, "volume": (area * 2.5).round(2)})
    frame["floor"] = (np.arange(300) % 3).astype("int64")
    wrong = frame.copy()
    wrong.loc[[7, 9], "volume"] *= 10
    return frame, wrong


@pytest.fixture(scope="module")
def model_of_rooms(run, rooms, folder):
    rooms[0].to_csv(folder / "rooms.csv", index=False)
    path = folder / "rooms.vae"
    assert (
        run("fit", folder / "rooms.csv", "-o", path, "--drop", "room", "--n-estimators", "2", "--max-iter", "300").code
        == 0
    )
    return path


@pytest.mark.parametrize("decimal", [".", ","])
def test_repair_replaces_wrong_cells_of_explained_rows_only(run, rooms, model_of_rooms, tmp_path, decimal):
    source, path = tmp_path / "wrong.csv", tmp_path / "repaired.csv"
    rooms[1].to_csv(source, index=False, decimal=decimal, sep=";")
    outcome = run("explain", source, "-m", model_of_rooms, "--id", "room", "--row", "8", "--repair", path)
    assert outcome.code == 0, outcome.err
    before, after = source.read_text().splitlines(), path.read_text().splitlines()
    assert [line for line, (old, new) in enumerate(zip(before, after, strict=True)) if old != new] == [8]
    found, repaired = before[8].split(";"), after[8].split(";")
    assert repaired[0] == found[0]
    assert decimal in repaired[2]
    assert abs(float(repaired[2].replace(",", ".")) - rooms[0]["volume"][7]) < 20
    n_replaced = sum(old != new for old, new in zip(found, repaired, strict=True))
    assert f"; {n_replaced} cell{'s' * (n_replaced > 1)} replaced in {path}" in outcome.err


def test_repair_keeps_the_types_of_parquet(run, rooms, model_of_rooms, tmp_path):
    source, path = tmp_path / "wrong.parquet", tmp_path / "repaired.parquet"
    rooms[1].to_parquet(source)
    assert run("explain", source, "-m", model_of_rooms, "--drop", "room", "--top", "2", "--repair", path).code == 0
    after = pd.read_parquet(path)
    pd.testing.assert_frame_equal(after.drop(index=[7, 9]), rooms[1].drop(index=[7, 9]))
    assert (after["volume"][[7, 9]] < 120).all()


@pytest.fixture(scope="module")
def model_of_many_rooms(run, tmp_path_factory):
    rng = np.random.default_rng(0)
    width = rng.uniform(2, 6, 800)
    frame = pd.DataFrame({"width": width, "depth": width + rng.normal(0, 0.2, 800)})
    frame["area"] = frame["width"] * frame["depth"] + rng.normal(0, 0.3, 800)
    folder = tmp_path_factory.mktemp("many")
    frame[:600].to_csv(folder / "rooms.csv", index=False)
    options = ("--n-estimators", "2", "--max-iter", "200")
    assert run("fit", folder / "rooms.csv", "-o", folder / "rooms.vae", *options).code == 0
    wrong = frame[600:].reset_index(drop=True)
    wrong.loc[:9, "area"] *= 100
    wrong.to_csv(folder / "wrong.csv", index=False)
    return folder


def test_rate_of_false_proposals_is_kept_over_all_rows(run, model_of_many_rooms, tmp_path):
    folder, path = model_of_many_rooms, tmp_path / "repaired.csv"
    command = ("explain", folder / "wrong.csv", "-m", folder / "rooms.vae", "--row", "150", "--repair", path, "--fdr")
    outcome = run(*command, "0.1")
    assert outcome.code == 0, outcome.err
    before, after = pd.read_csv(folder / "wrong.csv"), pd.read_csv(path)
    changed = (before != after).to_numpy()
    assert changed[:10, 2].all()
    assert f"at most 10 % of the {changed.sum()} proposed cells are expected to be wrong proposals" in outcome.err
    summary = json.loads(run(*command, "0.1", "--json").text)
    assert summary["repair"] == {"output": str(path), "n_cells": int(changed.sum()), "fdr": 0.1}
    detector = load(folder / "rooms.vae")
    assert len(detector.proposals(before, fdr=0.1)) == changed.sum()


def test_paths_are_those_of_the_library(run, model_of_many_rooms):
    folder = model_of_many_rooms
    command = ("explain", folder / "wrong.csv", "-m", folder / "rooms.vae", "--row", "3", "--row", "120", "--path")
    path = load(folder / "rooms.vae").path_to_normal(pd.read_csv(folder / "wrong.csv").iloc[[2, 119]])
    outcome = run(*command)
    for sentence in path.sentences():
        assert f"to be normal: {sentence}" in " ".join(outcome.text.split())
    wrong, right = json.loads(run(*command, "--json").text)["explained"]
    assert [change["column"] for change in wrong["path"]["changes"]] == [change.column for change in path.changes[0]]
    assert wrong["path"]["changes"][0]["nats_saved"] == path.changes[0][0].nats_saved
    assert right["path"] == {"changes": [], "is_normal": True}
    fixed = json.loads(run(*command, "--json", "--fixed", "area").text)["explained"][0]["path"]
    assert "area" not in [change["column"] for change in fixed["changes"]]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--fdr", "0.1"), "--fdr says which cells --repair FILE replaces; give both."),
        (("--fdr", "1.5", "--repair", "r.csv"), "--fdr 1.5: expected a share between 0 and 1, such as 0.1."),
        (("--fixed", "area"), "--fixed says which columns --path leaves as they are; give both."),
        (("--path", "-o", "cells.csv"), "--path is shown, or goes into the summary of --json; leave out --output or"),
        (
            ("--path", "--fixed", "height"),
            "--path: fixed names 'height', which is no column of the model. It has width",
        ),
    ],
)
def test_options_of_cells_that_contradict_themselves(run, model_of_many_rooms, options, line):
    folder = model_of_many_rooms
    outcome = run("explain", folder / "wrong.csv", "-m", folder / "rooms.vae", "--row", "3", *options)
    assert outcome.code == 2
    assert f"error: {line}" in outcome.err


def test_rate_needs_a_saved_model(run, model_of_many_rooms):
    outcome = run("explain", model_of_many_rooms / "wrong.csv", "--repair", "r.csv", "--fdr", "0.1")
    assert outcome.code == 2
    assert "--fdr compares cells with those of rows that influenced nothing" in outcome.err


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize(
    ("value", "written"),
    [(1699999991.145, "1699999991.14"), (0.1 + 0.2, "0.3"), (1 / 3, "0.333333333333"), (12.0, "12")],
)
def test_repair_writes_twelve_digits(run, orders, model, tmp_path, monkeypatch, decimal, value, written):
    def repair(self, frame):
        return frame.assign(amount=value)

    monkeypatch.setattr(VAEDetector, "repair", repair)
    source, path = tmp_path / "wrong.csv", tmp_path / "repaired.csv"
    orders.to_csv(source, index=False, decimal=decimal, sep=";")
    outcome = run("explain", source, "-m", model, "--id", "order", "--row", "41", "--repair", path)
    assert outcome.code == 0, outcome.err
    assert path.read_text().splitlines()[41].split(";")[1] == written.replace(".", decimal)


@pytest.mark.parametrize(
    ("kind", "others", "value", "kept", "cell"),
    [
        (pa.int8(), [1, None], 2.0, pa.int8(), 2),
        (pa.int8(), [1, None], 2.5, pa.float64(), 2.5),
        (pa.int8(), [1, None], 300.0, pa.float64(), 300.0),
        (pa.uint8(), [1, None], np.float64(-1), pa.float64(), -1.0),
        (pa.int64(), [1, None], 1e30, pa.float64(), 1e30),
        (pa.int64(), [1, None], np.int64(2**60 + 1), pa.int64(), 2**60 + 1),
        (pa.decimal128(5, 2), [Decimal("1.20"), None], 19.987, pa.decimal128(5, 2), Decimal("19.99")),
        (pa.decimal128(5, 2), [Decimal("1.20"), None], 3, pa.decimal128(5, 2), Decimal("3.00")),
        (pa.decimal128(5, 2), [Decimal("1.20"), None], 1234.5, pa.float64(), 1234.5),
        (pa.decimal256(50, 40), [Decimal("1.2"), None], 0.3, pa.decimal256(50, 40), Decimal("0.3")),
        (pa.float64(), [1.5, None], 2.5, pa.float64(), 2.5),
        (pa.string(), ["a", None], "b", pa.string(), "b"),
    ],
)
def test_repaired_column_keeps_its_type_where_it_has_room(kind, others, value, kept, cell):
    column = pa.chunked_array([pa.array([*others, others[0]], kind)])
    after = _replaced(column, {2: value})
    assert after.type == kept
    assert after.to_pylist() == [float(others[0]) if kept == pa.float64() else others[0], None, cell]


@pytest.mark.parametrize("second", ["out.csv", "../{0}/out.csv", "link.csv"])
def test_two_outputs_are_never_one_file(run, orders_csv, model, tmp_path, monkeypatch, second):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.csv").symlink_to("out.csv")
    second = second.format(tmp_path.name)
    line = run("explain", orders_csv, "-m", model, "-o", "out.csv", "--repair", second).error()
    assert line == f"error: --repair {second} is also --output out.csv; name a file of its own."
    assert [path.name for path in tmp_path.iterdir()] == ["link.csv"]


def test_failing_repair_leaves_no_file(run, orders_csv, model, tmp_path, monkeypatch):
    def fail(self, frame):
        raise DataError("no repair")

    monkeypatch.setattr(VAEDetector, "repair", fail)
    outcome = run(
        "explain", orders_csv, "-m", model, "-o", tmp_path / "cells.csv", "--repair", tmp_path / "repaired.csv"
    )
    assert outcome.code == 1
    assert "no repair" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_score_explains_the_ranked_rows_in_json(run, orders_csv, model, explained):
    outcome = run("score", orders_csv, "-m", model, "--explain", "--json", "--top", "3")
    ranked = json.loads(outcome.text)["ranked"]
    assert "3 rows explained" in outcome.err
    for row, other in zip(ranked, explained[:3], strict=True):
        # The three most anomalous cells, which need not be the three that add the most nats.
        assert len(row["reasons"]) == min(3, len(other["reasons"]))
        assert all(reason in other["reasons"] for reason in row["reasons"])
        assert sum(row["contributions"].values()) + row["kl"] == pytest.approx(row["anomaly_score"], abs=1e-4)
    plain = run("score", orders_csv, "-m", model, "--json", "--top", "3")
    assert "reasons" not in json.loads(plain.text)["ranked"][0]


def test_piped_table_has_reasons_for_flagged_rows_only(run, orders_csv, model):
    outcome = run("score", orders_csv, "-m", model, "--id", "order", "--explain")
    table = outcome.frame
    assert list(table) == ["row", "order", "anomaly_score", "p_value", "is_anomaly", "problem", "reasons"]
    flagged = table["is_anomaly"] == "true"
    assert ((table["reasons"] != "") == flagged).all()
    assert table["reasons"][40].startswith(("items is 900, expected about ", "amount is 400, expected about "))
    assert f"{flagged.sum()} row" in outcome.err
    assert "explained" in outcome.err


def test_nothing_is_explained_where_no_row_is_flagged(run, orders, orders_csv, write, model, tmp_path):
    flagged = run("score", orders_csv, "-m", model, "--id", "order").frame["is_anomaly"] == "true"
    path = write("calm.csv", orders[~flagged].to_csv(index=False))
    piped = run("score", path, "-m", model, "--id", "order", "--explain")
    assert piped.code == 0, piped.err
    assert list(piped.frame) == ["row", "order", "anomaly_score", "p_value", "is_anomaly", "problem", "reasons"]
    assert len(piped.frame) == (~flagged).sum()
    assert (piped.frame["reasons"] == "").all()
    assert "0 rows flagged, 0 rows explained" in piped.err
    saved = run("score", path, "-m", model, "--explain", "-o", tmp_path / "o.parquet")
    assert "0 rows explained; written to" in saved.err
    written = pq.read_table(tmp_path / "o.parquet")["reasons"]
    assert (written.type, written.null_count) == (pa.string(), len(piped.frame))


def test_written_top_rows_all_have_reasons(run, orders_csv, model, tmp_path):
    path = tmp_path / "o.parquet"
    outcome = run("score", orders_csv, "-m", model, "--explain", "--top", "4", "--only-top", "-o", path)
    assert "4 rows explained; written to" in outcome.err
    assert pq.read_table(path)["reasons"].null_count == 0


def test_json_beside_a_file_explains_ranked_and_flagged_rows_once(run, orders_csv, model, tmp_path):
    path = tmp_path / "o.csv"
    outcome = run("score", orders_csv, "-m", model, "--explain", "--json", "-o", path)
    summary = json.loads(outcome.text)
    assert all("reasons" in row for row in summary["ranked"])
    assert summary["ranked"][0]["reasons"]
    written = pd.read_csv(path)
    assert (written["reasons"].notna() == written["is_anomaly"]).all()
    assert "10 rows explained" in outcome.err


def test_own_output_with_reasons_can_be_scored_again(run, orders_csv, write, fast):
    whole = run("score", orders_csv, "--drop", "order", "--explain", *fast)
    again = run("score", write("again.csv", whole.out), "--drop", "order", "--explain", *fast)
    assert again.out == whole.out
    assert "reasons from an earlier run: not used as features" in again.err


def test_column_of_reasons_that_is_the_users_is_not_overwritten(run, orders, write, fast):
    path = write("t.csv", orders.assign(reasons=orders["shop"]).to_csv(index=False))
    outcome = run("score", path, "--explain")
    assert outcome.code == 2
    assert "has a column 'reasons' of its own" in outcome.err
    kept = run("score", path, "--explain", "--id", "order", "--json", *fast)
    assert sum(json.loads(kept.text)["columns"].values()) == 5


def test_long_work_is_announced(run, orders_csv, model, monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.render.reasons.MANY_ROWS", 2)
    outcome = run("score", orders_csv, "-m", model, "--explain", "--top", "3", "--only-top")
    assert "explaining 3 rows or more of " in outcome.err
    assert "a pass for each of 4 columns" in outcome.err


def test_dates_and_missing_parts_are_explained(run, write, fast):
    rows = "".join(
        f"2026-{i % 12 + 1:02d}-{i % 28 + 1:02d} {8 + i % 9:02d}:30:00,{i % 7}.5,{'' if i == 5 else i % 3}\n"
        for i in range(300)
    )
    path = write("t.csv", "moment,x,y\n" + rows + "2026-06-03 03:30:00,1.5,1\n")
    options = ("--model-missing", "--column", "moment=datetime", *fast, "--row", "301", "--row", "6")
    outcome = run("explain", path, *options, "--json")
    assert outcome.code == 0, outcome.err
    night, incomplete = json.loads(outcome.text)["explained"]
    (moment,) = [reason for reason in night["reasons"] if reason["column"] == "moment"]
    assert moment["part"] == "hour"
    assert moment["observed"] == "03h"
    assert moment["lower"] is None
    (missing,) = [reason for reason in incomplete["reasons"] if reason["part"] == "missing"]
    assert (missing["column"], missing["observed"], missing["expected"]) == ("y", "missing", "present")
    shown = run("explain", path, *options).text
    assert "moment (hour)  03h" in shown
    assert "NaT" not in shown
    assert "missing" in shown
    lines = run("explain", path, *options, "-o", "-").frame
    assert {"hour", "missing"} <= set(lines["part"])


def test_rows_count_through_all_files(run, orders_csv, model, write):
    other = write("more.csv", orders_csv.read_text())
    shown = [
        run("explain", *files, "-m", model, "--row", str(row), "--json").text
        for files, row in (((orders_csv, other), 61), ((orders_csv,), 1))
    ]
    (last,), (first,) = (json.loads(text)["explained"] for text in shown)
    assert last["row"] == 61
    assert last["anomaly_score"] == first["anomaly_score"]


MISUSES = [
    (["--row", "61"], "--row 61", "expected a number from 1 to 60"),
    (["--row", "0"], "'--row'", "1"),
    (["--row", "x"], "'--row'", "valid int"),
    (["--row", "1", "--top", "2"], "--row and --top", "give one of them"),
    (["--top", "0"], "'--top'", "1"),
    (["--cells", "0"], "'--cells'", "1"),
    (["--json", "-o", "-"], "both write to standard output", "choose one"),
    (["-o", "out.xls"], "--output out.xls", "ends in .csv"),
    (["--repair", "out.xls"], "--repair out.xls", "ends in .csv"),
    (["--repair", "-"], "--repair -", "a file of its own"),
    (["--label", "shpo"], "--label shpo", "Did you mean 'shop'?"),
]


@pytest.mark.parametrize(("options", "what", "remedy"), MISUSES, ids=[" ".join(row[0]) for row in MISUSES])
def test_unusable_option_is_one_line(run, orders_csv, model, options, what, remedy):
    outcome = run("explain", orders_csv, "-m", model, *options)
    assert outcome.code == 2
    assert outcome.out == b""
    assert outcome.err.count("\n") == 1
    assert what in outcome.err
    assert remedy in outcome.err


def test_id_of_the_name_of_an_output_column_is_refused(run, orders, write, model):
    path = write("t.csv", orders.rename(columns={"order": "rank"}).to_csv(index=False))
    outcome = run("explain", path, "-m", model, "--id", "rank", "-o", "-")
    assert outcome.code == 2
    assert "--id rank: the output has a column of that name" in outcome.err


def test_text_with_control_characters_is_escaped(run, orders, write, model):
    path = write("t.csv", orders.assign(shop=orders["shop"].where(orders.index != 40, "\x1b[31m")).to_csv(index=False))
    outcome = run("explain", path, "-m", model, "--id", "order", "--row", "41")
    assert "\x1b" not in outcome.text
    assert "\\x1b[31m" in outcome.text


def test_measures_of_a_label_are_said(run, orders, write, model):
    frame = orders.assign(fraud=(orders.index == 40).astype(int))
    outcome = run(
        "explain", write("t.csv", frame.to_csv(index=False)), "-m", model, "--id", "order", "--label", "fraud"
    )
    assert "AUROC 1.000" in outcome.err
    assert io.StringIO(outcome.text).readline().startswith("row 41, ")
