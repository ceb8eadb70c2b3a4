import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly import load
from vae_anomaly_cli.columns import InputColumns
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.features import training_frame
from vae_anomaly_cli.sources import open_table
from vae_anomaly_cli.tables import read_table

APPENDED = ["anomaly_score", "p_value", "is_anomaly", "problem"]


@pytest.fixture(scope="module")
def scored(run, orders_csv, model):
    outcome = run("score", orders_csv, "-m", model, "--id", "order")
    assert outcome.code == 0, outcome.err
    return outcome.frame


def test_without_a_model_it_fits_on_the_file_and_says_so_in_one_line(run, orders_csv, orders, fast):
    outcome = run("score", orders_csv, *fast)
    assert outcome.code == 0
    assert list(outcome.frame) == ["row", *orders.columns, *APPENDED]
    assert outcome.frame["order"].tolist() == orders["order"].tolist()
    told = [line for line in outcome.err.splitlines() if not line.startswith("warning: ")]
    assert len(told) == 1
    assert told[0].startswith(f"fitted on {orders_csv}: 60 rows, 4 columns (1 continuous, 1 integer, 1 binary, ")
    assert "1 set aside" in told[0]
    assert " nats, " in told[0]


def test_strange_row_has_the_highest_score_and_is_flagged(scored):
    scores = scored["anomaly_score"].astype(float)
    assert scored["order"][scores.argmax()] == "0040"
    assert scored["is_anomaly"][40] == "true"
    assert set(scored["is_anomaly"]) == {"true", "false"}


def test_scores_and_flags_are_those_of_the_library(scored, orders, model):
    detector = load(model)
    frame = orders.drop(columns="order").assign(paid=orders["paid"] == "true")
    assert scored["anomaly_score"].astype(float).tolist() == detector.anomaly_score(frame).tolist()
    assert (scored["is_anomaly"] == "true").tolist() == (detector.predict(frame) == -1).tolist()


def test_same_seed_gives_the_same_scores_and_another_seed_others(run, orders_csv, fast):
    first, again, other = (run("score", orders_csv, *fast, "--random-state", seed).out for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


def test_id_columns_replace_the_other_columns(run, orders_csv, model):
    outcome = run("score", orders_csv, "-m", model, "--id", "shop,order")
    assert list(outcome.frame) == ["row", "shop", "order", *APPENDED]


def test_id_is_not_a_feature(run, write, fast):
    path = write("t.csv", "key,x\n" + "".join(f"{i},{i % 7}.5\n" for i in range(30)))
    summary = json.loads(run("score", path, "--id", "key", *fast, "--json").text)
    assert sum(summary["columns"].values()) == 1


def test_top_gives_the_strangest_rows_rank_descending(run, orders_csv, model, scored):
    outcome = run("score", orders_csv, "-m", model, "--id", "order", "--top", "3", "--only-top")
    ranked = scored.assign(value=scored["anomaly_score"].astype(float)).sort_values("value", ascending=False)
    assert outcome.frame["order"].tolist() == ranked["order"].tolist()[:3]
    assert outcome.frame["anomaly_score"].tolist() == ranked["anomaly_score"].tolist()[:3]
    assert outcome.frame["row"].tolist() == ranked["row"].tolist()[:3]


def test_top_alone_does_not_cut_the_table(run, orders_csv, model, scored, tmp_path):
    outcome = run("score", orders_csv, "-m", model, "--id", "order", "--top", "3")
    assert outcome.frame.equals(scored)
    assert "--top 3 chooses what is shown, and nothing is: the table has all rows" in outcome.err
    written = run("score", orders_csv, "-m", model, "--id", "order", "--top", "3", "--json", "-o", tmp_path / "o.csv")
    assert len(json.loads(written.text)["ranked"]) == 3
    assert len(pd.read_csv(tmp_path / "o.csv")) == 60
    assert "--top" not in written.err


def test_only_top_needs_top(run, orders_csv, model):
    line = run("score", orders_csv, "-m", model, "--only-top").error()
    assert line == "error: --only-top writes the --top rows alone; say how many with --top N."


def test_top_may_exceed_the_number_of_rows(run, orders_csv, model):
    assert len(run("score", orders_csv, "-m", model, "--top", "1000", "--only-top").frame) == 60


def test_other_column_order_gives_the_same_scores(run, orders, write, model, scored):
    path = write("t.csv", orders[orders.columns[::-1]].to_csv(index=False))
    assert run("score", path, "-m", model, "--id", "order").frame.equals(scored)


def test_extra_columns_are_ignored_with_a_warning(run, orders, write, model, scored):
    path = write("t.csv", orders.assign(colour="red", size=1).to_csv(index=False))
    outcome = run("score", path, "-m", model, "--id", "order")
    assert outcome.frame.equals(scored)
    assert "warning: " in outcome.err
    assert "columns 'colour', 'size' that the model does not know: ignored" in outcome.err


def test_column_that_the_model_set_aside_need_not_come_again(run, orders, write, tmp_path, fast):
    with_hole = write("missing value.csv", orders.assign(empty="").to_csv(index=False))
    fitted = tmp_path / "missing value.vae"
    assert "'empty' is set aside" in run("fit", with_hole, "-o", fitted, "--id", "order", *fast).err
    first = run("score", with_hole, "-m", fitted, "--id", "order")
    second = run("score", write("t.csv", orders.to_csv(index=False)), "-m", fitted, "--id", "order")
    assert second.code == 0, second.err
    assert first.out == second.out


def test_one_row_can_be_scored_with_a_model(run, orders, write, model, scored):
    path = write("one.csv", orders[40:41].to_csv(index=False))
    outcome = run("score", path, "-m", model, "--id", "order")
    assert outcome.frame["anomaly_score"].tolist() == [scored["anomaly_score"][40]]


def test_text_only_level_of_a_category_may_look_like_a_number(run, write, tmp_path, fast):
    rows = "".join(f"{i / 7:.3f},{'A1'[i % 2]}\n" for i in range(40))
    fitted = tmp_path / "codes.vae"
    assert run("fit", write("t.csv", "x,code\n" + rows), "-o", fitted, *fast).code == 0
    mixed = run("score", write("m.csv", "x,code\n0.5,1\n0.5,A\n"), "-m", fitted)
    alone = run("score", write("a.csv", "x,code\n0.5,1\n"), "-m", fitted)
    assert alone.frame["anomaly_score"][0] == mixed.frame["anomaly_score"][0]


def test_own_output_can_be_scored_again_with_the_same_result(run, orders_csv, write, fast):
    first = run("score", orders_csv, "--id", "order", *fast)
    whole = run("score", orders_csv, "--drop", "order", *fast)
    again = run("score", write("again.csv", whole.out), "--drop", "order", *fast)
    assert again.out == whole.out
    assert again.frame["anomaly_score"].tolist() == first.frame["anomaly_score"].tolist()
    assert "from an earlier run: not used as features" in again.err


def test_contamination_flags_that_share_of_the_rows(run, orders_csv, fast):
    outcome = run("score", orders_csv, "--id", "order", "--contamination", "0.1", *fast)
    assert (outcome.frame["is_anomaly"] == "true").sum() == 6
    assert "6 rows flagged" in outcome.err


def test_drop_takes_repeats_commas_and_names_with_commas(run, write, fast):
    rows = "".join(f"{i % 5}.5,{i},{i},{i}\n" for i in range(30))
    path = write("t.csv", 'x,a,b,"c,d"\n' + rows)
    summary = json.loads(run("score", path, "--drop", "a,b", "--drop", "c,d", *fast, "--json").text)
    assert sum(summary["columns"].values()) == 1


def test_dates_become_features(run, write, fast, tmp_path):
    days = pd.date_range("2026-01-01", periods=300, freq="D").strftime("%Y-%m-%d")
    rows = "".join(f"{day},{i * 37 % 101 / 3:.2f}\n" for i, day in enumerate(days))
    path = write("t.csv", "day,x\n" + rows)
    assert json.loads(run("score", path, *fast, "--json").text)["columns"]["datetime"] == 1
    assert run("fit", path, "-o", tmp_path / "d.vae", *fast).code == 0
    bad = write("bad.csv", "day,x\n2026-01-03,1\nyesterday,2\n")
    outcome = run("score", bad, "-m", tmp_path / "d.vae")
    assert outcome.frame["problem"].tolist() == ["", "'day' holds 'yesterday', which is no date"]
    assert f"warning: 1 of 2 rows without a score; {bad}, line 3: 'day' holds 'yesterday'" in outcome.err


def test_quiet_leaves_only_data_and_the_auroc_line(run, orders, write, fast):
    path = write("t.csv", orders.assign(fraud=(orders.index == 40).astype(int)).to_csv(index=False))
    outcome = run("score", path, "--drop", "order", "--label", "fraud", "-q", *fast)
    assert len(outcome.frame) == 60
    (line,) = outcome.err.splitlines()
    assert line.startswith("label 'fraud' (1 = anomaly, 1 of 60 rows): AUROC 1.000, average precision 1.000")


def test_json_is_strict_and_ranks_rows(run, orders_csv, model, scored):
    def refuse(name):
        raise AssertionError(name)

    outcome = run("score", orders_csv, "-m", model, "--json", "--top", "60")
    summary = json.loads(outcome.text, parse_constant=refuse)
    assert summary["rows"] == len(summary["ranked"]) == 60
    assert summary["model"] == str(model)
    assert summary["n_anomalies"] == (scored["is_anomaly"] == "true").sum()
    top = summary["ranked"][0]
    assert top["rank"] == 1
    assert top["row"] == 41
    assert top["is_anomaly"] is True
    assert top["anomaly_score"] == float(scored["anomaly_score"][40])
    assert top["cells"]["order"] == "0040"
    assert top["cells"]["items"] == 900
    assert next(row for row in summary["ranked"] if row["row"] == 4)["cells"]["amount"] is None


def test_json_goes_to_standard_output_while_the_table_goes_to_the_file(run, orders_csv, model, tmp_path):
    target = tmp_path / "out.csv"
    summary = json.loads(run("score", orders_csv, "-m", model, "--json", "-o", target).text)
    assert summary["output"] == str(target)
    assert len(summary["ranked"]) == 10
    assert len(pd.read_csv(target)) == 60


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_every_format_in_gives_the_same_scores(run, orders, tmp_path, model, scored, name):
    frame = orders.assign(paid=orders["paid"] == "true")
    path = tmp_path / name
    if ".csv" in name:
        frame.to_csv(path, index=False)
    elif ".tsv" in name:
        frame.to_csv(path, index=False, sep="\t")
    elif ".jsonl" in name:
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    outcome = run("score", path, "-m", model, "--id", "order", "-o", tmp_path / "out.csv")
    assert outcome.code == 0, outcome.err
    written = pd.read_csv(tmp_path / "out.csv", dtype=str)
    assert written["anomaly_score"].tolist() == scored["anomaly_score"].tolist()
    assert written["order"].tolist() == scored["order"].tolist()


@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz", "o.tsv", "o.jsonl", "o.jsonl.gz", "o.parquet"])
def test_every_format_out_holds_the_same_table(run, orders, orders_csv, tmp_path, model, scored, name):
    path = tmp_path / name
    outcome = run("score", orders_csv, "-m", model, "--drop", "order", "-o", path)
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    if ".csv" in name or ".tsv" in name:
        written = pd.read_csv(path, sep="," if "csv" in name else "\t", dtype={"order": str})
    elif ".jsonl" in name:
        written = pd.read_json(path, lines=True, dtype={"order": str})
    else:
        written = pq.read_table(path).to_pandas()
    assert list(written) == ["row", *orders.columns, *APPENDED]
    assert written["order"].tolist() == orders["order"].tolist()
    np.testing.assert_allclose(written["anomaly_score"], scored["anomaly_score"].astype(float), rtol=1e-12)
    assert written["is_anomaly"].dtype == bool
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["csv", "gzipped csv", "tsv", "jsonl", "parquet"])
def test_standard_input_is_recognised_by_its_bytes(run, orders, model, scored, kind, tmp_path):
    content = {
        "csv": lambda: orders.to_csv(index=False).encode(),
        "gzipped csv": lambda: gzip.compress(orders.to_csv(index=False).encode()),
        "tsv": lambda: orders.to_csv(index=False, sep="\t").encode(),
        "jsonl": lambda: orders.assign(paid=orders["paid"] == "true").to_json(orient="records", lines=True).encode(),
        "parquet": lambda: orders.assign(paid=orders["paid"] == "true").to_parquet(),
    }[kind]()
    path = tmp_path / "o.parquet"
    outcome = run("score", "-", "-m", model, "--id", "order", "-o", path, stdin=content)
    assert outcome.code == 0, outcome.err
    np.testing.assert_array_equal(
        pq.read_table(path)["anomaly_score"].to_numpy(), scored["anomaly_score"].astype(float)
    )
    assert "standard input" in outcome.err


def test_format_option_overrules_the_name(run, orders_csv, write, model, scored):
    path = write("orders.data", orders_csv.read_bytes())
    assert run("score", path, "-m", model, "--id", "order", "--format", "csv").frame.equals(scored)


def test_piped_jsonl_stays_jsonl_and_piped_parquet_becomes_csv(run, orders, tmp_path, model):
    frame = orders.assign(paid=orders["paid"] == "true")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "t.parquet")
    first = json.loads(run("score", tmp_path / "t.jsonl", "-m", model, "--drop", "order").text.splitlines()[0])
    assert list(first) == ["row", *orders.columns, *APPENDED]
    assert list(run("score", tmp_path / "t.parquet", "-m", model, "--drop", "order").frame) == list(first)


def test_parquet_types_reach_the_library_whole(tmp_path):
    table = pa.table(
        {
            "category": pa.array(["a", "b", None]).dictionary_encode(),
            "size": pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), ["low", "high"], ordered=True),
            "moment": pa.array([0, 1, None], pa.timestamp("us")),
            "price": pa.array([1, 2, 3], pa.decimal128(10, 2)),
            "count": pa.array([1, None, 3], pa.int64()),
            "flag": pa.array([True, None, False]),
            "__index_level_0__": pa.array([5, 6, 7]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    quiet = Messages(quiet=True)
    source = open_table([str(tmp_path / "t.parquet")], None, None, pytest.fail)
    names = InputColumns(source.name, tuple(source.names)).for_training(quiet)
    frame = training_frame(read_table(source), names, {})
    kinds = [str(dtype) for dtype in frame.dtypes]
    # pandas 2 holds text as objects.
    assert kinds[0] in ("str", "object")
    assert kinds[1:] == ["category", "datetime64[us]", "float64", "Int64", "boolean"]
    assert frame["size"].cat.ordered


def test_output_dash_is_standard_output(run, orders_csv, model, scored):
    assert run("score", orders_csv, "-m", model, "--id", "order", "-o", "-").frame.equals(scored)


def test_existing_output_is_replaced_whole_and_kept_when_writing_fails(run, orders_csv, model, tmp_path, monkeypatch):
    target = tmp_path / "out.csv"
    target.write_text("earlier")
    monkeypatch.setattr("vae_anomaly_cli.sources.delimited.DelimitedWriter.write", _fail)
    outcome = run("score", orders_csv, "-m", model, "-o", target)
    assert outcome.code == 1
    assert "cannot be written: No space left on device" in outcome.err
    assert "The scores of 60 rows are kept: the same command with --resume goes on" in outcome.err
    assert target.read_text() == "earlier"
    assert set(tmp_path.iterdir()) == {target, tmp_path / ".out.csv.scores"}
    monkeypatch.undo()
    assert run("score", orders_csv, "-m", model, "-o", target).code == 0
    assert len(pd.read_csv(target)) == 60
    assert list(tmp_path.iterdir()) == [target]


def _fail(self, batch):
    self.stream.write(b"half")
    raise OSError(28, "No space left on device")
