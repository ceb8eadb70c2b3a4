"""`vae-anomaly report`, `score --report` and `compare --report`: what is on their pages, and what they refuse."""

import html
import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest


def text_of(path: Path) -> str:
    """What a person reads of a page, without its drawings."""
    page = re.sub(r"<(svg|style|script)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


def ranked(path: Path) -> list[str]:
    """Names of the rows of a page, the most anomalous first."""
    page = path.read_text(encoding="utf-8")
    return re.findall(r'<th scope="row" data-key="name"[^>]*><span class="opener"><bdi>([^<]*)</bdi>', page)


def test_page_ranks_rows_and_says_why(run, calibrated, later_csv, later_orders, tmp_path):
    path = tmp_path / "report.html"
    outcome = run("report", later_csv, "-m", calibrated, "--label", "fraud", "--id", "order", "--top", "20", "-o", path)
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    assert f"written to {path}" in outcome.err
    text = text_of(path)
    # The same rows as score ranks, by their numbers.
    scored = run("score", later_csv, "-m", calibrated).frame
    first = scored["anomaly_score"].astype(float).sort_values(ascending=False, kind="stable").index[:20]
    assert ranked(path) == [str(row + 1) for row in first]
    assert f"The 20 most anomalous of {len(later_orders)} scored rows are shown" in text
    assert "n0239" in text
    for part in ("Patterns", "Scores and threshold", "Against the labels", "Calibration", "The fit", "later.csv"):
        assert part in text
    n_flagged = int((scored["is_anomaly"] == "true").sum())
    assert f"flagged {n_flagged} " in text


def test_columns_stand_beside_those_of_the_training(run, model, later_orders, tmp_path):
    data, path = tmp_path / "drifted.csv", tmp_path / "report.html"
    later_orders.drop(columns="fraud").assign(items=lambda rows: rows["items"] + 500).to_csv(data, index=False)
    assert run("report", data, "-m", model, "-o", path).code == 0
    text = text_of(path)
    assert "Not as in the training: 'items'" in text
    assert re.search(r"items .* median [0-9.]+ → 5[0-9.]+", text)
    # What score warns of.
    assert "See vae-anomaly drift" in text


def test_page_of_rows_that_were_fitted_promises_nothing(run, orders_csv, fast, tmp_path):
    path = tmp_path / "report.html"
    assert run("report", orders_csv, "--drop", "order", "-o", path, *fast).code == 0
    text = text_of(path)
    assert ranked(path)[0] == "41"
    assert "false alarms expected unknown the rows are ranked among those that were fitted" in text
    assert "fitted on" in text


def test_page_stands_beside_a_table(run, calibrated, later_csv, tmp_path):
    page, table, again = tmp_path / "report.html", tmp_path / "scored.csv", tmp_path / "again.csv"
    outcome = run("score", later_csv, "-m", calibrated, "-o", table, "--report", page)
    assert outcome.code == 0, outcome.err
    assert f"written to {table}, {page}" in outcome.err
    run("score", later_csv, "-m", calibrated, "-o", again)
    assert table.read_bytes() == again.read_bytes()
    assert len(ranked(page)) == 200


def test_selected_rows_are_flagged(run, calibrated, later_csv, tmp_path):
    path = tmp_path / "report.html"
    outcome = run("report", later_csv, "-m", calibrated, "--fdr", "0.3", "-o", path)
    assert outcome.code == 0, outcome.err
    assert "chosen from all rows together" in text_of(path)
    assert "on average over files" in text_of(path)


def test_files_in_parts_have_one_page(run, calibrated, later_orders, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, part in enumerate((later_orders[:120], later_orders[120:])):
        part.drop(columns="fraud").to_csv(folder / f"{number}.csv", index=False)
    path = tmp_path / "report.html"
    assert run("report", folder, "-m", calibrated, "-o", path).code == 0
    # The most anomalous is the last of the second file.
    assert ranked(path)[0] == "1.csv, row 120"
    assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_redacted_page_has_nothing_of_the_cells(run, model, later_orders, tmp_path):
    data, path = tmp_path / "later.csv", tmp_path / "report.html"
    rows = later_orders.drop(columns="fraud")
    rows.loc[7, ["amount", "shop"]] = [987654.25, "QXZJ"]
    cells = rows.astype(object)
    cells.loc[9, "amount"] = "QXZJ-odd"
    cells.to_csv(data, index=False)
    outcome = run("report", data, "-m", model, "--id", "order", "--redact", "-o", path)
    assert outcome.code == 0, outcome.err
    assert "QXZJ-odd" in outcome.err
    page = path.read_text(encoding="utf-8")
    written = ["987654", "987,654", "QXZJ", "n0007", "north", "south", "order</"]
    assert [text for text in written if text in page] == []
    assert ranked(path)[0] == "8"
    assert "about single cells or levels, which may be quoted there" in page
    run("report", data, "-m", model, "--id", "order", "-o", path)
    assert "QXZJ-odd" in path.read_text(encoding="utf-8")


def test_page_goes_to_standard_output(run, calibrated, later_csv):
    outcome = run("report", later_csv, "-m", calibrated, "-o", "-")
    assert outcome.code == 0
    assert outcome.text.startswith("<!doctype html>")
    assert outcome.text.rstrip().endswith("</html>")


def test_title_is_that_of_the_page(run, calibrated, later_csv, tmp_path):
    path = tmp_path / "report.html"
    run("report", later_csv, "-m", calibrated, "--title", "<March>", "-o", path)
    assert "<title>&lt;March&gt;</title>" in path.read_text(encoding="utf-8")


def test_images_are_shown_with_flagged_ones_framed(run, image_model, inspected, tmp_path):
    path = tmp_path / "report.html"
    (inspected / "good" / "broken.png").write_bytes(b"no image")
    outcome = run("report", inspected, "-m", image_model, "--label", "folder", "--normal", "good", "-o", path)
    assert outcome.code == 0, outcome.err
    page = path.read_text(encoding="utf-8")
    names = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]+)"', page)[::2]
    assert len(names) == 9
    assert set(names[:3]) == {f"scratch/deep/{number}.png" for number in range(3)}
    assert "broken.png" in page
    assert "Against the labels" in page
    run("report", inspected, "-m", image_model, "--redact", "-o", path)
    page = path.read_text(encoding="utf-8")
    assert "data:image/jpeg" not in page
    assert "deep/0.png" not in page


def test_comparison_has_a_page(run, tmp_path, later_csv):
    path = tmp_path / "compared.html"
    quick = ("--max-iter", "5", "--n-estimators", "1", "--splits", "2", "--train", "clean")
    outcome = run("compare", later_csv, "--label", "fraud", "--drop", "order", *quick, "--report", path)
    assert outcome.code == 0, outcome.err
    assert f"page written to {path}" in outcome.err
    text = text_of(path)
    for method in ("VAEDetector", "IsolationForest", "LOF", "kNN", "PCA", "GaussianMixture"):
        assert method in text
    assert "Trained on normal rows: " in text
    assert "intervals that hold together at 95 %" in text
    assert path.read_text(encoding="utf-8").count("<svg") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "{data}"), "--output"),
        (("report", "{data}", "-o", "{folder}/report.csv"), "expected a name that ends in .html"),
        (("report", "{data}", "-o", "{data}"), "input"),
        (("report", "{data}", "-m", "{model}", "-o", "{model}"), "is also --model"),
        (("report", "{data}", "-o", "{folder}"), "is a directory"),
        (("report", "{data}", "-o", "{folder}/a.html", "--top", "0"), "--top"),
        (("score", "{data}", "--redact"), "--redact is for the page of --report"),
        (("score", "{data}", "--report", "-"), "--report -: scores go to standard output"),
        (("score", "{data}", "-o", "{folder}/a.html", "--report", "{folder}/a.html"), "expected a name"),
        (("compare", "{data}", "--label", "fraud", "--report", "-"), "--report -: the tables go to standard output"),
    ],
)
def test_misuse_is_refused_before_the_work(arguments, said, run, model, later_csv, tmp_path):
    before = later_csv.read_bytes(), model.read_bytes()
    given = [part.format(data=later_csv, model=model, folder=tmp_path) for part in arguments]
    outcome = run(*given)
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    assert said in " ".join(outcome.err.split())
    assert (later_csv.read_bytes(), model.read_bytes()) == before
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there_is_a_failure(run, later_csv, tmp_path):
    error = run("report", later_csv, "-o", tmp_path / "none" / "report.html").error(1)
    assert "does not exist" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "-o", "{page}"),
        ("score", "--report", "{page}"),
        ("compare", "--report", "{page}", "--label", "fraud"),
    ],
)
def test_missing_matplotlib_is_said_with_the_command_that_installs_it(arguments, run, later_csv, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else found(name, *rest)
    )
    command, *rest = (part.format(page=tmp_path / "report.html") for part in arguments)
    error = run(command, later_csv, *rest).error(2)
    assert 'python -m pip install "vae-anomaly[plot]"' in error


def test_page_is_there_whole_or_not_at_all(run, calibrated, later_csv, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before", encoding="utf-8")
    from vae_anomaly.report import Report

    def broken(self: Report) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Report, "to_html", broken)
    assert run("report", later_csv, "-m", calibrated, "-o", path).code == 1
    assert path.read_text(encoding="utf-8") == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_hostile_cells_and_columns_are_text(run, tmp_path, fast, orders):
    hostile = "</script><img src=x onerror=alert(1)>"
    data, path = tmp_path / "hostile.csv", tmp_path / "report.html"
    frame = orders.rename(columns={"amount": hostile})
    frame.loc[40, "shop"] = hostile
    frame.to_csv(data, index=False)
    assert run("report", data, "--id", "order", "-o", path, *fast).code == 0
    page = path.read_text(encoding="utf-8")
    assert "<img" not in page
    assert page.count("</script>") == 1
    assert "&lt;/script&gt;&lt;img" in page


def test_rows_that_are_larger_than_a_batch_are_all_on_the_page(run, many, tmp_path):
    data, model = many
    path = tmp_path / "report.html"
    assert run("report", data, "-m", model, "--top", "3", "-o", path).code == 0
    assert len(ranked(path)) == 3
    assert "The 3 most anomalous of 1,500 scored rows are shown" in text_of(path)


def test_parquet_is_read_as_well(run, calibrated, later_orders, tmp_path):
    data, path = tmp_path / "later.parquet", tmp_path / "report.html"
    later_orders.drop(columns="fraud").to_parquet(data)
    assert run("report", data, "-m", calibrated, "-o", path).code == 0
    assert pd.read_parquet(data).shape == (240, 5)
    assert len(ranked(path)) == 200
