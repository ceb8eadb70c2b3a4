"""`vae-anomaly impute`: missing cells are filled, all else stays as it is, and what could not be filled is said."""

import datetime as dt
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly_cli.imputation import as_in_column


@pytest.fixture(scope="module")
def holes(orders):
    """The orders with a date, an empty row and a column that no model uses."""
    frame = orders.copy()
    frame["day"] = [f"2026-03-{1 + number % 28:02d}" for number in range(len(frame))]
    frame.loc[9] = None
    frame.loc[9, "order"] = "0009"
    frame.loc[11, "day"] = None
    return frame


@pytest.fixture(scope="module")
def holes_csv(holes, tmp_path_factory):
    path = tmp_path_factory.mktemp("holes") / "holes.csv"
    holes.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def holes_model(run, holes_csv, fast, tmp_path_factory):
    path = tmp_path_factory.mktemp("holes_model") / "holes.vae"
    outcome = run("fit", holes_csv, "-o", path, "--id", "order", *fast)
    assert outcome.code == 0, outcome.err
    return path


def cells(text):
    return [line.split(",") for line in text.splitlines()]


def test_missing_cells_are_filled_and_others_stay_as_they_are(run, holes_csv, holes_model):
    outcome = run("impute", holes_csv, "-m", holes_model)
    assert outcome.code == 0, outcome.err
    before, after = cells(holes_csv.read_text()), cells(outcome.text)
    assert len(before) == len(after)
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        for name, was, now in zip(before[0], old, new, strict=True):
            if was or name == "day" or row == 10:
                assert now == was
            else:
                assert now, (row, name)
    # As fine as the column has its numbers: amounts to a cent, whole items.
    assert 0 < len(after[4][1].partition(".")[2]) <= 2
    assert after[6][2].isdigit()
    assert after[8][3] in ("north", "south")


def test_what_was_filled_and_what_was_not_is_said(run, holes_csv, holes_model, tmp_path):
    outcome = run("impute", holes_csv, "-m", holes_model, "-o", tmp_path / "f.csv", "--json")
    summary = json.loads(outcome.text)
    assert summary["filled"] == {"amount": 2, "items": 1, "shop": 1}
    assert summary["n_filled"] == 4
    assert summary["rows"] == 60
    assert summary["rows_without_value"] == 1
    assert summary["not_filled"]["day"]["cells"] == 2
    assert summary["not_filled"]["day"]["why"].startswith("set aside: dates with 21 distinct values")
    assert "warning: 2 missing values could not be filled: day 2 (set aside: dates with" in outcome.err
    assert "1 row without a value in any column of the model stayed as it is." in outcome.err
    assert "4 missing values filled (amount 2, items 1, shop 1); written to" in outcome.err.splitlines()[-1]


def test_fit_on_the_data_itself_is_that_of_score(run, holes_csv, tmp_path, fast):
    outcome = run("impute", holes_csv, "--drop", "order", "-o", tmp_path / "filled.csv", *fast)
    assert outcome.code == 0, outcome.err
    frame = pd.read_csv(tmp_path / "filled.csv", dtype={"order": str})
    assert frame["amount"].isna().sum() == 1
    assert frame["order"].tolist() == [f"{number:04d}" for number in range(60)]


def test_types_of_columns_stay(run, tmp_path, fast):
    rng = np.random.default_rng(0)
    n = 80
    table = pa.table(
        {
            "whole": pa.array([None if row % 9 == 1 else int(rng.integers(0, 90)) for row in range(n)], pa.int16()),
            "price": pa.array(
                [None if row % 7 == 2 else decimal.Decimal(f"{rng.normal(20, 3):.2f}") for row in range(n)],
                pa.decimal128(7, 2),
            ),
            "when": pa.array(
                [
                    None if row % 8 == 3 else dt.date(2026, 1, 1) + dt.timedelta(int(rng.integers(0, 200)))
                    for row in range(n)
                ],
                pa.date32(),
            ),
            "open": pa.array([None if row % 5 == 4 else bool(rng.integers(0, 2)) for row in range(n)]),
            "speed": pa.array([None if row % 6 == 5 else rng.normal() for row in range(n)], pa.float32()),
            "city": pa.array([None if row % 10 == 6 else rng.choice(["Ulm", "Bonn"]) for row in range(n)]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    outcome = run(
        "impute", tmp_path / "t.parquet", "-o", tmp_path / "f.parquet", "--column", "when=datetime+trend", *fast
    )
    assert outcome.code == 0, outcome.err
    filled = pq.read_table(tmp_path / "f.parquet")
    assert filled.schema.types == table.schema.types
    assert filled.column_names == table.column_names
    for name in table.column_names:
        assert filled[name].null_count == 0, name
        for was, now in zip(table[name].to_pylist(), filled[name].to_pylist(), strict=True):
            assert was is None or was == now


def test_text_becomes_typed_where_the_output_has_types(run, holes_csv, holes_model, tmp_path):
    assert run("impute", holes_csv, "-m", holes_model, "-o", tmp_path / "f.parquet").code == 0
    schema = pq.read_schema(tmp_path / "f.parquet")
    assert [str(kind) for kind in schema.types] == ["string", "double", "int64", "string", "bool", "string"]


@pytest.mark.parametrize("name", ["f.csv", "f.csv.gz", "f.tsv", "f.jsonl", "f.arrow"])
def test_every_format_has_all_rows_and_columns(run, holes_csv, holes_model, tmp_path, name):
    assert run("impute", holes_csv, "-m", holes_model, "-o", tmp_path / name).code == 0
    summary = json.loads(run("impute", tmp_path / name, "-m", holes_model, "--json").text)
    assert summary["rows"] == 60
    assert summary["n_filled"] == 0


def test_files_of_a_folder_are_filled_file_by_file(run, holes_csv, holes_model, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "in" / name).write_bytes(holes_csv.read_bytes())
    assert run("impute", tmp_path / "in", "-m", holes_model, "-o", f"{tmp_path}/out/").code == 0
    alone = run("impute", holes_csv, "-m", holes_model).out
    assert (tmp_path / "out" / "a.csv").read_bytes() == (tmp_path / "out" / "b.csv").read_bytes() == alone


def test_batches_make_no_difference(run, holes_csv, holes_model, monkeypatch):
    whole = run("impute", holes_csv, "-m", holes_model).out
    monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", 7)
    assert run("impute", holes_csv, "-m", holes_model).out == whole


def test_cells_are_written_as_the_file_writes_them(run, write, fast):
    rng = np.random.default_rng(0)
    lines = [
        f"{rng.normal(20, 3):.2f};{'Ja' if row % 2 else 'Nein'};{'TRUE' if row % 3 else 'FALSE'}".replace(".", ",")
        for row in range(80)
    ]
    lines[5], lines[6] = ";Ja;TRUE", "19,50;Nein;"
    path = write("german.csv", "\n".join(["preis;da;ok", *lines, ""]))
    outcome = run("impute", path, *fast)
    assert outcome.code == 0, outcome.err
    after = outcome.text.splitlines()
    assert "," in after[6].split(";")[0]
    assert after[7].split(";")[2] in ("TRUE", "FALSE")
    assert [line for row, line in enumerate(after[1:]) if row not in (5, 6)] == [
        line for row, line in enumerate(lines) if row not in (5, 6)
    ]


def test_decimal_commas_with_units_and_thousands_stay_commas(run, write, fast):
    rng = np.random.default_rng(0)
    amounts = rng.uniform(100, 900, 80)
    lines = [f"{value:.2f} €;1.{value:.2f}".replace(".", ",").replace(";1,", ";1.") for value in amounts]
    lines[5], lines[6] = ";1.250,55", "300,25 €;"
    outcome = run("impute", write("money.csv", "\n".join(["preis;summe", *lines, ""])), *fast)
    assert outcome.code == 0, outcome.err
    after = outcome.text.splitlines()
    for filled in (after[6].split(";")[0], after[7].split(";")[1]):
        assert "," in filled
        assert "." not in filled


@pytest.mark.parametrize(("zone", "written"), [("+02:00", "+02:00"), ("Z", "+00:00")])
def test_times_with_zones_get_them(run, write, fast, zone, written):
    rng = np.random.default_rng(0)
    first = pd.Timestamp("2026-03-01T23:00:00")
    moments = [(first + pd.Timedelta(hours=row)).isoformat() + zone for row in range(80)]
    lines = [f"{moment},{row + rng.normal():.1f}" for row, moment in enumerate(moments)]
    lines[40] = ",40.0"
    path = write("times.csv", "\n".join(["time,level", *lines, ""]))
    outcome = run("impute", path, "--column", "time=datetime+trend", *fast)
    assert outcome.code == 0, outcome.err
    filled = outcome.text.splitlines()[41].split(",")[0]
    assert filled.endswith(written)
    assert "T" in filled
    moment = dt.datetime.fromisoformat(filled)
    assert dt.datetime.fromisoformat(moments[0]) <= moment <= dt.datetime.fromisoformat(moments[-1])


def test_codes_for_missing_are_filled_and_unreadable_cells_stay(run, write, orders, fast, model):
    frame = orders.astype(object)
    frame.loc[20, "items"] = "many"
    outcome = run("impute", write("odd.csv", frame.to_csv(index=False)), "-m", model)
    assert outcome.frame.loc[20, "items"] == "many"
    assert "1 cell could not be read as what the model has there, and stayed" in outcome.err
    frame = orders.copy()
    frame.loc[[20, 21], "amount"] = -999
    path = write("coded.csv", frame.to_csv(index=False))
    filled = run("impute", path, "--drop", "order", "--missing-values", "-999", *fast).frame
    assert (filled["amount"].astype(float) > 0).all()


def test_expected_values_are_as_fine_as_their_column():
    from vae_anomaly import VAEDetector

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"cents": rng.normal(50, 5, 60).round(2), "whole": rng.integers(0, 90, 60), "any": rng.normal(size=60)}
    )
    cents, whole, fine = VAEDetector(max_iter=1, n_estimators=2).fit(frame).columns_
    assert as_in_column(49.8372, cents) == 49.84
    assert as_in_column(3.7, whole) == 4
    assert as_in_column(np.float64(0.123456789), fine) == pytest.approx(0.123456789, abs=fine.resolution)


def test_images_are_refused(run, good, image_model):
    assert "vae-anomaly impute takes tables, and" in run("impute", good).error()
    assert "images" in run("impute", good, "-m", image_model).error()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "out.xls"), "ends in .csv"),
        (("--json", "-o", "-"), "both write to standard output"),
        (("--drop", "nothing"), "has no such column"),
        (("-m", "none.vae"), "does not exist"),
        (("--contamination", "0.1"), "No such option"),
    ],
)
def test_misuse_is_refused(run, orders_csv, arguments, message):
    assert message in run("impute", orders_csv, *arguments).error()


def test_input_is_not_replaced(run, holes_csv, holes_model):
    assert "--output" in run("impute", holes_csv, "-m", holes_model, "-o", holes_csv).error()
    assert "is also --model" in run("impute", holes_csv, "-m", holes_model, "-o", holes_model).error()


def test_dates_whose_place_in_time_is_not_modelled_are_said(run, write, fast):
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, 120), "D")
    frame = pd.DataFrame({"day": days.strftime("%Y-%m-%d"), "speed": rng.normal(size=120)})
    frame.loc[4, "day"] = None
    path = write("days.csv", frame.to_csv(index=False))
    said = " ".join(run("impute", path, *fast).err.split())
    assert "day 1 (its place in time is not modelled: --column day=datetime+trend)" in said
    filled = run("impute", path, "--column", "day=datetime+trend", *fast).frame["day"]
    assert filled.str.fullmatch(r"20\d\d-\d\d-\d\d").sum() >= 119
    assert pd.to_datetime(filled[4]).year in (2024, 2025)
