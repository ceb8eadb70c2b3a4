"""`vae-anomaly compare`: what it writes, and what it refuses."""

import io
import json
import re
import warnings
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import vae_anomaly
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.labels import LabelColumn
from vae_anomaly_cli.render.comparison import show_comparison
from vae_anomaly_cli.sources import open_table
from vae_anomaly_cli.tables import read_table

METHODS = ["VAEDetector", "IsolationForest", "LOF", "kNN", "PCA", "GaussianMixture"]
QUICK = ("--max-iter", "5", "--n-estimators", "1", "--splits", "2")


@pytest.fixture(scope="module")
def visits():
    """Sixty visits and ten frauds that stand out, with text, dates, missing values, and labels of several kinds."""
    rng = np.random.default_rng(1)
    n = 70
    fraud = np.arange(n) >= 60
    frame = pd.DataFrame(
        {
            "visit": [f"v{number}" for number in range(n)],
            "amount": np.where(fraud, 500, 50) + rng.normal(0, 5, n).round(2),
            "shop": rng.choice(["north", "south"], n),
            "day": rng.choice(["2026-01-02", "2026-02-03", "2026-03-04"], n),
            "zip": rng.choice([101, 202, 303], n),
            "fraud": fraud.astype(int),
            "outcome": np.where(fraud, "sick", "well"),
        }
    )
    frame.loc[::7, "amount"] = np.nan
    frame.loc[::9, "shop"] = None
    return frame


@pytest.fixture(scope="module")
def visits_csv(visits, tmp_path_factory):
    path = tmp_path_factory.mktemp("visits") / "visits.csv"
    visits.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def compared(run, visits_csv):
    """Run with both settings, a file and JSON; returns the outcome, the object and the file."""
    path = visits_csv.with_name("measured.csv")
    outcome = run("compare", visits_csv, "--label", "fraud", "--drop", "outcome,visit", *QUICK, "--json", "-o", path)
    assert outcome.code == 0, outcome.err
    return outcome, json.loads(outcome.text), pd.read_csv(path)


def test_file_has_a_row_for_each_method_setting_and_split(compared):
    outcome, _, measured = compared
    keys = measured[["setting", "split", "method"]].to_numpy().tolist()
    assert keys == [[setting, split, method] for setting in ("clean", "all") for split in (0, 1) for method in METHODS]
    assert set(measured["n_fitted"]) == {30, 70}
    assert measured["auroc"].between(0, 1).all()
    assert "70 rows, 4 columns, 24 fits, " in outcome.err
    assert outcome.err.endswith("measured.csv\n")


def test_json_has_means_deviations_and_a_verdict(compared):
    _, told, measured = compared
    assert told["label"] == {"column": "fraud", "anomaly_value": "1", "n_anomalies": 10, "n_labelled": 70}
    assert list(told["settings"]) == ["clean", "all"]
    for setting, described in told["settings"].items():
        assert described["verdict"]["outcome"] in ("ahead", "level", "behind")
        assert {row["method"] for row in described["methods"]} == set(METHODS)
        assert [row["auroc"] for row in described["methods"]] == sorted(
            (row["auroc"] for row in described["methods"]), reverse=True
        )
        for row in described["methods"]:
            part = measured[(measured["setting"] == setting) & (measured["method"] == row["method"])]
            for name in ("auroc", "average_precision", "precision_at_n", "fit_seconds", "score_seconds"):
                assert row[name] == pytest.approx(part[name].mean())
                assert row[f"{name}_sd"] == pytest.approx(part[name].std(), abs=1e-12)
            assert isinstance(row["n_ahead"], int)
    clean = {row["method"]: row for row in told["settings"]["clean"]["methods"]}
    assert clean["kNN"]["auroc"] > 0.9
    assert (clean["VAEDetector"]["standing"], clean["VAEDetector"]["difference"]) == ("first", 0)


def test_pipe_gets_plain_aligned_text_and_the_verdict(run, visits_csv):
    outcome = run("compare", visits_csv, "--label", "fraud", "--drop", "outcome,visit", *QUICK, "--train", "clean")
    assert outcome.code == 0, outcome.err
    lines = outcome.text.splitlines()
    assert lines[0] == "clean: fitted on half of the normal rows (30), scored 40 others with 10 anomalies; 2 splits"
    assert "AUROC" in lines[2]
    assert {line.split()[0] for line in lines[3:9]} == set(METHODS)
    assert len({line.index("±") for line in lines[3:9]}) == 1
    assert "VAEDetector" in lines[9]
    assert "\x1b" not in outcome.text
    assert "all: fitted" not in outcome.text
    assert not any(line.endswith(" ") for line in lines)


def test_heading_and_measures_say_what_scored_the_rows_of_the_fit(run, visits_csv, compared):
    _, told, measured = compared
    by = measured.set_index(["setting", "method"])["scored_by"]
    assert set(by.loc["clean"]) == {"score_samples"}
    assert set(by.loc["all", "VAEDetector"]) == {"training_scores_"}
    assert set(by.loc["all", "kNN"]) == {"score_training_rows"}
    (ours,) = (row for row in told["settings"]["all"]["methods"] if row["method"] == "VAEDetector")
    assert ours["scored_by"] == "training_scores_"
    plain = run("compare", visits_csv, "--label", "fraud", "--drop", "outcome,visit", *QUICK, "--train", "all")
    heading = "all: fitted on all 70 rows, 10 anomalies among them, and scored the same; VAEDetector by its"
    assert " ".join(plain.text.split()).startswith(f"{heading} training_scores_; 2 seeds")


def test_named_label_is_the_same_as_a_label_of_0_and_1(run, visits_csv, compared):
    arguments = ("--label", "outcome", "--anomalous", "sick", "--drop", "fraud", "--id", "visit", *QUICK, "--json")
    arguments += ("--train", "clean")
    told = json.loads(run("compare", visits_csv, *arguments).text)
    assert told["label"]["anomaly_value"] == "sick"
    assert areas(told)
    assert areas(told).items() <= areas(compared[1]).items()


def areas(told):
    return {
        (setting, row["method"]): row["auroc"]
        for setting, described in told["settings"].items()
        for row in described["methods"]
    }


def test_seed_reaches_all_detectors(run, visits_csv, compared):
    arguments = ("--label", "fraud", "--drop", "outcome,visit", *QUICK, "--json", "--random-state", "8")
    seeded, before = areas(json.loads(run("compare", visits_csv, *arguments).text)), areas(compared[1])
    assert seeded["all", "IsolationForest"] != before["all", "IsolationForest"]
    assert seeded["all", "VAEDetector"] != before["all", "VAEDetector"]
    assert seeded["clean", "kNN"] != before["clean", "kNN"]
    assert seeded["all", "kNN"] == before["all", "kNN"]


def test_fits_at_a_time_reach_the_library_and_give_the_same_measures(run, visits_csv, compared, tmp_path, monkeypatch):
    compare, given, path = vae_anomaly.compare, [], tmp_path / "measured.csv"

    def noted(*arguments, n_jobs, **options):
        given.append(n_jobs)
        return compare(*arguments, n_jobs=n_jobs, **options)

    monkeypatch.setattr(vae_anomaly, "compare", noted)
    command = ("compare", visits_csv, "--label", "fraud", "--drop", "outcome,visit", *QUICK, "--n-jobs", "2")
    with joblib.parallel_config(backend="threading"):
        assert run(*command, "-o", path).code == 0
    assert given == [2]
    seconds = ["fit_seconds", "score_seconds"]
    pd.testing.assert_frame_equal(pd.read_csv(path).drop(columns=seconds), compared[2].drop(columns=seconds))


def test_declared_columns_reach_all_detectors(run, visits_csv, compared):
    arguments = ("compare", visits_csv, "--label", "fraud", *QUICK, "--json", "--train", "all", "--splits", "1")
    declared = areas(json.loads(run(*arguments, "--drop", "outcome,visit", "--column", "zip=identifier").text))
    dropped = areas(json.loads(run(*arguments, "--drop", "outcome,visit,zip").text))
    assert declared == dropped
    assert declared["all", "kNN"] != areas(compared[1])["all", "kNN"]


def test_standard_output_can_have_the_table_and_then_messages_have_the_verdict(run, visits_csv):
    options = (
        "--label",
        "fraud",
        "--drop",
        "outcome,visit",
        *QUICK,
        "--splits",
        "1",
        "--train",
        "all",
        "-o",
        "-",
        "-q",
    )
    outcome = run("compare", visits_csv, *options)
    assert outcome.frame["method"].tolist() == METHODS
    assert outcome.err.startswith("all: ")
    assert outcome.err.count("\n") == 1


def test_rows_without_a_label_are_left_out(run, visits, write):
    frame = visits.astype({"fraud": object})
    frame.loc[:9, "fraud"] = None
    path = write("t.csv", frame.to_csv(index=False))
    outcome = run("compare", path, "--label", "fraud", "--drop", "outcome", *QUICK, "--splits", "1", "--json")
    told = json.loads(outcome.text)
    assert told["settings"]["all"]["n_fitted"] == 60
    assert told["label"]["n_labelled"] == 60
    assert "10 rows without a label left out" in outcome.err


def test_table_and_verdict_fit_the_terminal(compared, visits_csv):
    from vae_anomaly import Comparison

    _, _, measured = compared
    rows = np.arange(70)
    scores = pd.DataFrame({"setting": "all", "split": np.repeat([0, 1], 70), "row": np.tile(rows, 2)})
    scores = pd.concat([scores, scores.assign(setting="clean")]).assign(is_anomaly=lambda frame: frame["row"] >= 60)
    for method in METHODS:
        scores[method] = scores["row"] * 1.0
    comparison = Comparison(tuple(METHODS), measured, scores)
    for width, columns in ((100, 7), (80, 4)):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
        with console.capture() as captured:
            show_comparison(comparison, console)
        lines = captured.get().splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in captured.get()
        (ours, *_) = (line for line in lines if line.startswith("PCA "))
        # Cells are two spaces apart at least; those of a mean and its deviation one.
        assert len(re.split(r"  +", ours.rstrip())) == columns


LABELS = {
    "one class": ("0", "0", "all 30 rows have the same label"),
    "one anomaly": ("0", "0 " * 28 + "1", "1 of 30 rows with a label are anomalies (1)"),
    "three normal rows": ("1", "1 " * 26 + "0 0 0", "needs at least 2 anomalies and 4 normal rows"),
    "words": ("ok", "fraud", "expected 0 and 1 or true and false"),
    "three values": ("0", "1 2", "the column holds 0, 1, 2"),
}


@pytest.mark.parametrize(("first", "others", "said"), LABELS.values(), ids=LABELS)
def test_labels_that_cannot_be_used_are_refused(run, write, first, others, said):
    cells = (others.split() + [first] * 30)[:30]
    path = write("t.csv", "x,y\n" + "".join(f"{i}.5,{label}\n" for i, label in enumerate(cells)))
    outcome = run("compare", path, "--label", "y")
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.err.startswith("error: --label y: ")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing option '--label'"),
        (("--label", "fruad"), "--label fruad: "),
        (("--label", "outcome"), "with --anomalous, or normal values with --normal."),
        (("--label", "outcome", "--anomalous", "ill"), "--anomalous ill: column 'outcome' holds 'well', 'sick'"),
        (("--label", "day", "--anomalous", "2026-01-02"), "expected two values, one of them '2026-01-02'"),
        (("--label", "fraud", "--train", "some"), "'--train'"),
        (("--label", "fraud", "--splits", "0"), "'--splits'"),
        (("--label", "fraud", "--n-jobs", "0"), "--n-jobs 0: expected a number of fits, like 4, or -1"),
        (("--label", "fraud", "--id", "fraud"), "is also named by --id"),
        (("--label", "fraud", "--column", "fraud=count"), "--label says that 'fraud' is no feature"),
        (("--label", "fraud", "--json", "-o", "-"), "choose one"),
        (("--label", "fraud", "-o", "out.xls"), "--output out.xls"),
        (("--label", "fraud", "--drop", "visit,amount,shop,day,zip,outcome"), "no column left to learn from"),
    ],
)
def test_misuse_is_code_2_and_one_line(run, visits_csv, arguments, said):
    outcome = run("compare", visits_csv, *arguments)
    assert (outcome.code, outcome.out) == (2, b"")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("cells", "named"),
    [("1 2", "2"), ("1.0 2.0", "2"), ("true false", "False"), ("-1 1", "1"), ("01 02", "02"), ("a b", "b")],
)
def test_any_of_two_values_can_be_named(write, cells, named):
    labels = cells.split()
    path = write("t.csv", "x,y\n" + "".join(f"1,{label}\n" for label in labels))
    table = read_table(open_table([str(path)], None, None, pytest.fail))
    found = LabelColumn("y", named).read(table.values("y"))
    assert found.anomaly == named
    assert found.known.tolist() == [True, True]
    assert found.is_anomaly.tolist() == [label.lower() == named.lower() or label == f"{named}.0" for label in labels]
    assert found.is_anomaly.sum() == 1


def test_cell_that_no_detector_takes_is_found_by_its_line(run, visits, write):
    frame = visits.astype({"fraud": object, "amount": object})
    frame.loc[:4, "fraud"] = None
    frame.loc[20, "amount"] = "inf"
    outcome = run("compare", write("t.csv", frame.to_csv(index=False)), "--label", "fraud", *QUICK)
    assert outcome.code == 2
    assert "column 'amount' holds inf (line 22)" in outcome.err


def test_divergence_is_a_failure_of_the_work(run, visits_csv, monkeypatch, tmp_path):
    from vae_anomaly import TrainingDiverged, VAEDetector

    def diverge(self, frame):
        raise TrainingDiverged(7, 2, 1.5)

    monkeypatch.setattr(VAEDetector, "fit", diverge)
    outcome = run("compare", visits_csv, "--label", "fraud", "-o", tmp_path / "out.csv")
    assert outcome.code == 1
    assert "error: training diverged at iteration 7" in outcome.err
    assert not list(tmp_path.iterdir())


def test_ctrl_c_during_training_ends_with_130_and_writes_nothing(run, visits_csv, monkeypatch, tmp_path):
    from vae_anomaly import FitWarning, VAEDetector

    fits = []

    class Interrupted:
        interrupted = True

    def interrupt(self, frame):
        fits.append(frame)
        warnings.warn("the best weights so far are kept", FitWarning, stacklevel=1)
        self.model_ = SimpleNamespace(report=Interrupted)
        return self

    monkeypatch.setattr(VAEDetector, "fit", interrupt)
    outcome = run("compare", visits_csv, "--label", "fraud", "-o", tmp_path / "out.csv")
    assert (outcome.code, outcome.out, outcome.err) == (130, b"", "error: interrupted.\n")
    assert len(fits) == 1
    assert not list(tmp_path.iterdir())


def test_warnings_of_several_fits_about_the_same_are_shown_once(capsys):
    from vae_anomaly import ColumnSetAsideWarning, DataWarning, FitWarning

    with Messages(quiet=False).library_warnings():
        for nats in ("-21.3", "1,022"):
            warnings.warn(FitWarning(f"held-out rows have {nats} nats", "worse_than_baseline"), stacklevel=1)
        for column in ("x1", "x2"):
            for count in (90, 80):
                warnings.warn(ColumnSetAsideWarning(column, f"{count} distinct texts"), stacklevel=1)
        for text in ("3 rows", "4 rows"):
            warnings.warn(text, DataWarning, stacklevel=1)
    shown = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("warning: ") for line in shown] == [
        "held-out rows have -21.3 nats",
        "column 'x1' is set aside: 90 distinct texts",
        "column 'x2' is set aside: 90 distinct texts",
        "3 rows",
        "4 rows",
    ]


@pytest.mark.parametrize("command", [("score",), ("fit", "-o", "m.vae"), ("explain",)])
def test_other_commands_know_named_labels_too(run, visits_csv, tmp_path, monkeypatch, fast, command):
    monkeypatch.chdir(tmp_path)
    options = ("--label", "outcome", "--anomalous", "sick", "--drop", "fraud,visit", *fast)
    outcome = run(command[0], visits_csv, *command[1:], *options)
    assert outcome.code == 0, outcome.err
    assert "label 'outcome' (sick = anomaly, 10 of 70 rows): AUROC " in outcome.err
    alone = run(command[0], visits_csv, *command[1:], "--anomalous", "sick")
    assert alone.code == 2
    assert "--anomalous sick says what a label means; name the column with --label, too." in alone.err


def test_help_begins_with_examples_and_states_the_rule(run):
    shown = run("compare", "--help-all").text
    assert shown.index("vae-anomaly compare data.csv --label fraud") < shown.index("--anomalous")
    assert "ahead in every split" in " ".join(shown.split())
    assert "  compare " in run("--help").text
