"""p-values beside scores, what flags rows in one run, and warnings where rows are not what was promised about."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from vae_anomaly import VAEDetector, load
from vae_anomaly.decisions import Calibration, FalseAlarmRate, FamilyCounts, RobustFence, benjamini_hochberg
from vae_anomaly_cli.flagging import Decision, unlike_calibration

DROP = ("--drop", "order")


@pytest.fixture(scope="module")
def model(run, fast, tmp_path_factory):
    """A model of other orders, so many that sixty of them calibrate."""
    rng, n = np.random.default_rng(5), 134
    frame = pd.DataFrame(
        {
            "order": [f"m{number}" for number in range(n)],
            "amount": rng.normal(50, 5, n).round(2),
            "items": rng.integers(1, 40, n),
            "shop": rng.choice(["north", "south"], n),
            "paid": rng.choice(["true", "false"], n),
        }
    )
    frame.loc[::30, "amount"] = np.nan
    folder = tmp_path_factory.mktemp("many")
    frame.to_csv(folder / "many.csv", index=False)
    outcome = run("fit", folder / "many.csv", "-o", folder / "orders.vae", "--drop", "order", *fast)
    assert outcome.code == 0, outcome.err
    return folder / "orders.vae"


@pytest.fixture(scope="module")
def mixed(orders):
    """The sixty orders, and twenty that are further off than any of them."""
    strange = orders[:20].assign(order=[f"s{number}" for number in range(20)], amount=4000.0, items=9000)
    return pd.concat([strange[:7], orders, strange[7:]], ignore_index=True)


@pytest.fixture(scope="module")
def mixed_csv(mixed, folder):
    path = folder / "mixed.csv"
    mixed.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def features(mixed):
    return mixed.drop(columns="order").assign(paid=mixed["paid"] == "true")


def numbers(frame, name):
    return pd.to_numeric(frame[name]).tolist()


def flags(frame):
    return (frame["is_anomaly"].astype(str).str.lower() == "true").tolist()


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pandas()
    if path.suffix == ".jsonl":
        return pd.read_json(path, lines=True, dtype={"order": str})
    return pd.read_csv(path)


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.jsonl", "o.parquet"])
def test_every_format_has_the_p_values_of_the_library(run, mixed_csv, features, model, tmp_path, name):
    outcome = run("score", mixed_csv, "-m", model, *DROP, "-o", tmp_path / name)
    assert outcome.code == 0, outcome.err
    frame = pd.read_csv(tmp_path / name, sep="\t") if name.endswith("tsv") else read(tmp_path / name)
    assert list(frame)[-4:] == ["anomaly_score", "p_value", "is_anomaly", "problem"]
    expected = load(model).decide(features)
    np.testing.assert_allclose(frame["p_value"], expected["p_value"], rtol=1e-12)
    assert flags(frame) == expected["is_anomaly"].tolist()


def test_rankings_have_p_values(run, mixed_csv, model):
    first = json.loads(run("score", mixed_csv, "-m", model, *DROP, "--json").text)["ranked"][0]
    assert list(first)[2:5] == ["anomaly_score", "p_value", "is_anomaly"]
    assert first["p_value"] == load(model).calibration_.smallest_p
    top = run("score", mixed_csv, "-m", model, *DROP, "--top", "3", "--only-top").frame
    assert numbers(top, "p_value") == [first["p_value"]] * 3


def test_columns_of_an_earlier_run_are_replaced(run, mixed_csv, model, write, fast):
    first = run("score", mixed_csv, "-m", model)
    again = run("score", write("again.csv", first.out), "-m", model)
    assert again.out == first.out
    noted = run("score", write("again.csv", first.out), *fast).err
    assert (
        "row and anomaly_score and p_value and is_anomaly and problem from an earlier run: not used as features"
        in noted
    )
    line = run("score", write("again.csv", first.out), "-m", model, "--id", "p_value").error()
    assert line == "error: --id p_value: the output has a column of that name; choose another."


def test_without_a_model_p_value_is_the_rank_among_the_rows_fitted(run, orders_csv, fast):
    outcome = run("score", orders_csv, *DROP, *fast)
    scores, p_values = (np.array(numbers(outcome.frame, name)) for name in ("anomaly_score", "p_value"))
    assert p_values.tolist() == [(1 + np.count_nonzero(scores >= score)) / 61 for score in scores]
    assert "p_value is the rank among the rows fitted" in outcome.err
    described = json.loads(run("score", orders_csv, *DROP, *fast, "--json").text)["decision"]
    assert (described["kind"], described["n_calibration"], described["rule"]) == ("training", 60, "auto")


def test_alerts_without_a_model_are_so_many_rows_of_the_file(run, orders_csv, fast):
    outcome = run("score", orders_csv, *DROP, "--alerts", "7", *fast)
    assert sum(flags(outcome.frame)) == 7


def test_summary_says_what_to_expect_of_the_threshold(run, orders_csv, model):
    outcome = run("score", orders_csv, "-m", model, *DROP)
    threshold = load(model).threshold_
    assert f"threshold {threshold.score:,.2f} nats ({100 * threshold.expected_rate:.3g} % of normal rows" in outcome.err
    assert "; 60 calibration rows, p-values from 0.016), " in outcome.err
    decision = json.loads(run("score", orders_csv, "-m", model, *DROP, "--json").text)["decision"]
    assert decision["sentence"] == threshold.sentence()
    assert decision["expected_rate"] == threshold.expected_rate
    assert decision["rate_bound"] == threshold.rate_bound
    assert (decision["n_calibration"], decision["smallest_p"]) == (60, 1 / 61)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--false-alarm-rate", "0.1"), {"false_alarm_rate": 0.1}),
        (("--false-alarm-rate", "0.2", "--confidence", "0.9"), {"false_alarm_rate": 0.2, "confidence": 0.9}),
        (("--alerts", "30", "--per", "200"), {"n_alerts": 30, "per": 200}),
        (("--alerts", "12"), {"n_alerts": 12, "per": 80}),
    ],
)
def test_rule_of_one_run_is_that_of_the_library_and_leaves_the_model_as_it_is(
    run, mixed_csv, features, model, options, rule
):
    before = model.read_bytes()
    outcome = run("score", mixed_csv, "-m", model, *DROP, *options)
    assert outcome.code == 0, outcome.err
    detector = load(model).set_threshold(**rule)
    assert flags(outcome.frame) == (detector.predict(features) == -1).tolist()
    assert detector.threshold_.sentence() in outcome.err.splitlines()
    assert model.read_bytes() == before


@pytest.mark.parametrize("n_rows", [3, 11, 1000])
@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet"])
def test_fdr_selects_what_the_library_selects_of_the_whole_table(
    run, mixed_csv, features, model, tmp_path, monkeypatch, n_rows, name
):
    monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", n_rows)
    outcome = run("score", mixed_csv, "-m", model, *DROP, "--fdr", "0.2", "-o", tmp_path / name)
    assert outcome.code == 0, outcome.err
    selection, selected = load(model).selection(features, fdr=0.2)
    assert flags(read(tmp_path / name)) == selected.tolist()
    assert selected.sum() >= 20
    assert selection.sentence() in outcome.err.splitlines()
    assert f"p-values up to {selection.cutoff:.3g} (60 calibration rows), {selected.sum()} rows flagged" in outcome.err


def test_fdr_is_what_the_procedure_says_of_the_p_values(run, mixed_csv, model):
    frame = run("score", mixed_csv, "-m", model, *DROP, "--fdr", "0.1").frame
    assert flags(frame) == benjamini_hochberg(numbers(frame, "p_value"), 0.1).tolist()


def test_fdr_takes_a_pipe_and_reasons_and_a_summary(run, mixed_csv, model, folder):
    options = ("-m", model, *DROP, "--fdr", "0.1")
    at_once = run("score", mixed_csv, *options)
    assert run("score", "-", *options, stdin=mixed_csv.read_bytes()).out == at_once.out
    summary = json.loads(run("score", mixed_csv, *options, "--json").text)
    assert summary["n_anomalies"] == sum(flags(at_once.frame))
    assert summary["threshold"] is None
    assert (summary["decision"]["rule"], summary["decision"]["expected_false_share"]) == ("fdr", 0.1)
    explained = run("score", mixed_csv, *options, "--explain").frame
    assert (explained["reasons"] != "").tolist() == flags(at_once.frame)


def test_fdr_goes_through_all_files_of_a_directory(run, mixed, mixed_csv, model, tmp_path):
    parts = tmp_path / "in"
    parts.mkdir()
    for number in range(4):
        mixed[20 * number : 20 * (number + 1)].to_csv(parts / f"{number}.csv", index=False)
    outcome = run("score", parts, "-m", model, *DROP, "--fdr", "0.1", "-o", f"{tmp_path / 'out'}/")
    assert outcome.code == 0, outcome.err
    written = pd.concat([pd.read_csv(tmp_path / "out" / f"{number}.csv") for number in range(4)])
    assert flags(written) == flags(run("score", mixed_csv, "-m", model, *DROP, "--fdr", "0.1").frame)


def test_fdr_without_power_is_refused_with_numbers(run, mixed_csv, model, tmp_path):
    arguments = ("score", mixed_csv, "-m", model, *DROP, "--fdr", "0.001", "-o", tmp_path / "o.csv")
    line = run(*arguments).error()
    assert "a selection of 10 of 80 rows at fdr=0.001 needs at least 7,999 calibration rows" in line
    assert "the model has 60" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fail_after", [28, 80])
def test_fdr_can_be_gone_on_with(run, mixed_csv, model, tmp_path, monkeypatch, fail_after):
    arguments = ("score", mixed_csv, "-m", model, *DROP, "--fdr", "0.1")
    whole = run(*arguments).out
    n_scored = 0
    decide, monkey = VAEDetector.decide, pytest.MonkeyPatch()
    monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", 7)

    def counted(self, rows):
        nonlocal n_scored
        if n_scored >= fail_after:
            raise KeyboardInterrupt
        n_scored += len(rows)
        return decide(self, rows)

    def full(*_):
        raise KeyboardInterrupt

    with monkey.context() as patch:
        patch.setattr(VAEDetector, "decide", counted)
        # With all rows scored the second pass is interrupted, as it writes.
        patch.setattr("vae_anomaly_cli.output.sinks.OneFile.write", full)
        stopped = run(*arguments, "-o", tmp_path / "o.csv")
    assert stopped.code == 130
    assert "the same command with --resume goes on from there" in stopped.err
    other = run(*arguments[:-1], "0.2", "-o", tmp_path / "o.csv", "--resume").error()
    assert "the rule that flags rows is not that of the interrupted run" in other
    n_before, n_scored, fail_after = n_scored, 0, 1000
    with monkey.context() as patch:
        patch.setattr(VAEDetector, "decide", counted)
        assert run(*arguments, "-o", tmp_path / "o.csv", "--resume").code == 0
    assert (tmp_path / "o.csv").read_bytes() == whole
    assert n_scored <= 80 - n_before + 21


def test_file_that_shrinks_between_the_passes_is_refused(run, orders_csv, model, write, monkeypatch):
    from vae_anomaly_cli.output.journal import TemporaryRows

    data = write("t.csv", orders_csv.read_bytes())
    rewind = TemporaryRows.rewind

    def cut(self):
        data.write_bytes(b"".join(data.read_bytes().splitlines(keepends=True)[:-1]))
        rewind(self)

    monkeypatch.setattr(TemporaryRows, "rewind", cut)
    line = run("score", data, "-m", model, *DROP, "--alerts", "5", "--top", "3").error(1)
    assert "changed while it was read: it was cut, from " in line


MISUSE = [
    (("--fdr", "0.1", "--alerts", "3"), "--alerts and --fdr each say which rows are flagged; give one of them."),
    (("--confidence", "0.9"), "--confidence belongs to --false-alarm-rate, which is not given."),
    (("--alerts", "3", "--confidence", "0.9"), "--confidence belongs to --false-alarm-rate"),
    (("--per", "9"), "--per belongs to --alerts, which is not given."),
    (("--alerts", "9", "--per", "9"), "--alerts 9 is not fewer than --per 9 rows"),
    (("--alerts", "0"), "--alerts 0: expected a number above 0."),
    (("--alerts", "nan"), "--alerts nan: expected a number above 0."),
    *(
        ((flag, value), f"{flag} {value}: expected a share above 0 and below 1")
        for flag, value in (
            ("--fdr", "0"),
            ("--fdr", "1"),
            ("--false-alarm-rate", "-0.1"),
            ("--false-alarm-rate", "nan"),
        )
    ),
]


@pytest.mark.parametrize(("options", "said"), MISUSE)
def test_misuse_is_one_line_before_the_work(run, orders_csv, model, options, said):
    assert said in run("score", orders_csv, "-m", model, *options).error()


@pytest.mark.parametrize("options", [("--fdr", "0.1"), ("--false-alarm-rate", "0.1")])
def test_promises_about_new_rows_need_a_model(run, orders_csv, options):
    line = run("score", orders_csv, *options).error()
    assert f"{options[0]} promises something of rows that the model has not seen" in line
    assert "Fit on reference rows first (vae-anomaly fit reference.csv -o m.vae)" in line


def test_contamination_and_alerts_are_two_rules(run, orders_csv):
    line = run("score", orders_csv, "--contamination", "0.1", "--alerts", "3").error()
    assert line == "error: --contamination and --alerts each say which rows are flagged; give one of them."


def test_rates_below_the_resolution_are_refused_with_numbers(run, orders_csv, model):
    line = run("score", orders_csv, "-m", model, *DROP, "--false-alarm-rate", "0.01").error()
    assert "a false-alarm rate of 1 % needs at least 99 calibration rows" in line
    assert "has 60" in line
    assert "vae-anomaly calibrate" in line
    line = run("score", orders_csv, "-m", model, *DROP, "--alerts", "0.1").error()
    assert "a budget of 0.1 alerts per 60 rows needs at least 599 calibration rows, and the model has 60" in line


@pytest.mark.parametrize("options", [("-m",), ()])
def test_more_alerts_than_rows_are_refused_in_the_words_of_the_command(run, orders_csv, model, fast, options):
    options = ("-m", model) if options else fast
    line = run("score", orders_csv, *DROP, *options, "--alerts", "60").error()
    assert line == "error: --alerts 60 is not fewer than the 60 rows of DATA; expected fewer."


@pytest.fixture(scope="module")
def uncalibrated(run, orders_csv, folder, fast):
    path = folder / "uncalibrated.vae"
    assert run("fit", orders_csv, "-o", path, *DROP, "--calibration", "none", *fast).code == 0
    return path


def test_model_without_calibration_says_how_to_get_one(run, orders_csv, uncalibrated):
    outcome = run("score", orders_csv, "-m", uncalibrated, *DROP)
    assert outcome.code == 0
    assert set(outcome.frame["p_value"]) == {""}
    assert outcome.err.count("warning: ") == 1
    assert "has no calibration: p_value is empty" in outcome.err
    assert "vae-anomaly calibrate" in outcome.err
    assert run("score", orders_csv, "-m", uncalibrated, *DROP, "-q").err == ""
    for options in (("--fdr", "0.1"), ("--alerts", "3"), ("--false-alarm-rate", "0.1")):
        line = run("score", orders_csv, "-m", uncalibrated, *DROP, *options).error()
        assert "has no calibration" in line
        assert "vae-anomaly calibrate normal.csv -m" in line


def test_model_of_an_earlier_version_scores_without_p_values(run, root):
    folder = root / "tests" / "data" / "version_5"
    outcome = run("score", folder / "mixed.csv", "-m", folder / "mixed.vae")
    assert outcome.code == 0, outcome.err
    assert set(outcome.frame["p_value"]) == {""}
    assert "has no calibration" in outcome.err


@pytest.mark.parametrize(("kind", "found"), [("split", "split"), ("cross", "cross"), ("auto", "cross")])
def test_fit_calibrates_as_it_is_told(run, orders_csv, tmp_path, kind, found):
    path = tmp_path / "m.vae"
    outcome = run("fit", orders_csv, "-o", path, *DROP, "--calibration", kind, "--max-iter", "2", "-q")
    assert outcome.code == 0, outcome.err
    assert load(path).calibration_.kind == found


def test_group_has_its_own_p_values_whatever_the_format(run, orders, write, tmp_path, fast):
    lines = orders.assign(line=np.arange(60) % 2 + 1)
    path = tmp_path / "m.vae"
    data = write("t.csv", lines.to_csv(index=False))
    outcome = run("fit", data, "-o", path, *DROP, "--calibration-groups", "line", *fast)
    assert outcome.code == 0, outcome.err
    assert sorted(load(path).calibration_.groups) == ["1", "2"]
    outcome = run("score", data, "-m", path, *DROP)
    assert outcome.code == 0, outcome.err
    first = outcome.frame
    assert min(numbers(first, "p_value")) >= 1 / 31
    lines.assign(paid=lines["paid"] == "true").to_parquet(tmp_path / "t.parquet", index=False)
    typed = run("score", tmp_path / "t.parquet", "-m", path, *DROP).frame
    assert numbers(typed, "p_value") == numbers(first, "p_value")
    other = run("score", write("o.csv", lines.assign(line=3).to_csv(index=False)), "-m", path, *DROP).frame
    assert set(numbers(other, "p_value")) == {1.0}


def test_group_may_be_no_feature(run, orders, write, tmp_path, fast):
    data = write("t.csv", orders.assign(line=np.arange(60) % 2 + 1).to_csv(index=False))
    path = tmp_path / "m.vae"
    options = (*DROP, "--calibration-groups", "line", "--column", "line=identifier")
    assert run("fit", data, "-o", path, *options, *fast).code == 0
    detector = load(path)
    assert sorted(detector.calibration_.groups) == ["1", "2"]
    assert [column.name for column in detector.columns_ if column.likelihood is None] == ["line"]
    assert min(numbers(run("score", data, "-m", path, *DROP).frame, "p_value")) >= 1 / 31
    line = run("score", write("o.csv", orders.to_csv(index=False)), "-m", path, *DROP).error()
    assert "lacks column 'line'" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--calibration-groups", "shops"), "has no column 'shops'. Did you mean 'shop'?"),
        (("--calibration-groups", "order"), "--drop says that it is none"),
        (("--calibration-groups", "items", "--column", "items=count"), "expected categorical or identifier"),
        (("--calibration-groups", "shop", "--calibration", "none"), "leave one of them out"),
    ],
)
def test_groups_that_cannot_be_are_refused(run, orders_csv, tmp_path, options, said):
    assert said in run("fit", orders_csv, "-o", tmp_path / "m.vae", *DROP, *options).error()


def test_groups_need_other_rows_than_those_fitted(run, orders_csv):
    assert (
        "--calibration-groups belongs to models of other rows"
        in run("score", orders_csv, "--calibration-groups", "shop").error()
    )


def test_rows_of_a_sample_have_the_numbers_of_the_file(run, orders_csv, tmp_path, fast):
    path = tmp_path / "m.vae"
    assert run("fit", orders_csv, "-o", path, "--id", "order", "--sample-rows", "40", *fast).code == 0
    detector = load(path)
    suspects = detector.calibration_.suspects
    rows = pd.read_csv(orders_csv).drop(columns="order").iloc[suspects.ids[:5]]
    assert suspects.ids.max() >= 40
    compared = detector._compared(rows).comparisons
    found = compared[np.arange(5), suspects.folds[:5]]
    np.testing.assert_allclose(found, suspects.scores[:5], rtol=1e-6)


def test_images_have_p_values_and_rules(run, image_model, inspected, tmp_path):
    outcome = run("score", inspected, "-m", image_model)
    detector = load(image_model)
    paths = [inspected / path for path in outcome.frame["path"]]
    assert numbers(outcome.frame, "p_value") == detector.p_values(paths).tolist()
    maps = run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "maps")
    assert numbers(maps.frame, "p_value") == numbers(outcome.frame, "p_value")
    strict = run("score", inspected, "-m", image_model, "--false-alarm-rate", "0.3")
    assert flags(strict.frame) == (detector.set_threshold(false_alarm_rate=0.3).predict(paths) == -1).tolist()


def test_fdr_of_images_leaves_broken_files_out(run, image_model, inspected, tmp_path):
    (inspected / "good" / "2.png").write_bytes(b"none")
    options = ("-m", image_model, "--fdr", "0.5")
    outcome = run("score", inspected, *options, "--heatmaps", tmp_path / "maps")
    assert outcome.code == 0, outcome.err
    frame = outcome.frame
    known = frame["p_value"] != ""
    expected = benjamini_hochberg(numbers(frame[known], "p_value"), 0.5)
    assert flags(frame[known]) == expected.tolist()
    assert expected.any()
    assert frame["is_anomaly"].tolist().count("") == 1
    summary = json.loads(run("score", inspected, *options, "--json").text)
    assert summary["threshold"] is not None
    assert summary["n_anomalies"] == expected.sum()


def test_cross_calibration_of_images_is_refused(run, good, tmp_path):
    line = run("fit", good, "-o", tmp_path / "m.vae", "--calibration", "cross").error()
    assert "expected --calibration split, or none" in line


def test_images_without_a_model_are_ranked_among_themselves(run, inspected, fast_images):
    outcome = run("score", inspected, *fast_images)
    assert outcome.code == 0, outcome.err
    scores = np.array(numbers(outcome.frame, "anomaly_score"))
    ranks = [(1 + np.count_nonzero(scores >= score)) / 10 for score in scores]
    assert numbers(outcome.frame, "p_value") == ranks
    assert "p_value is the rank among the images fitted" in outcome.err


def test_many_more_flags_than_expected_are_told_of(run, orders, write, model):
    data = write("far.csv", orders.assign(amount=9000.0).to_csv(index=False))
    outcome = run("score", data, "-m", model, *DROP)
    expected = f"{100 * load(model).threshold_.expected_rate:.3g} %"
    (line,) = (line for line in outcome.err.splitlines() if line.startswith("warning: every row is flagged"))
    assert f"60 of 60 rows flagged; {expected} of normal ones expected: " in line
    assert "'amount'" in line
    assert line.endswith(" nats a row). See vae-anomaly drift.")


def rows_with(calibration, scores):
    family = FamilyCounts()
    family.add(calibration.p_values(np.asarray(scores)[:, None]))
    return family


@pytest.fixture(scope="module")
def thousand():
    return Calibration.of("split", [np.arange(1.0, 1000.0)])


def test_rows_like_the_calibration_are_not_warned_of(thousand):
    decision = Decision(FalseAlarmRate(0.01).find(thousand))
    warned = 0
    for seed in range(50):
        scores = np.random.default_rng(seed).uniform(0, 1000, 500)
        n_flagged = int((scores > decision.threshold.score).sum())
        warned += unlike_calibration(decision, thousand, rows_with(thousand, scores), n_flagged, "row") is not None
    assert warned == 0


@pytest.mark.parametrize(("n_anomalies", "warns"), [(40, False), (120, True)])
def test_some_anomalies_are_no_reason_to_warn(thousand, n_anomalies, warns):
    decision = Decision(FalseAlarmRate(0.002).find(thousand))
    normal = np.random.default_rng(0).uniform(0, 999, 1000 - n_anomalies)
    family = rows_with(thousand, np.append(normal, np.full(n_anomalies, 5000.0)))
    warning = unlike_calibration(decision, thousand, family, n_anomalies, "row")
    assert (warning is not None) is warns


def test_tied_scores_are_no_difference():
    ties = Calibration.of("split", [np.repeat([1.0, 2.0], 300)])
    decision = Decision(FalseAlarmRate(0.01).find(ties))
    scores = np.random.default_rng(0).choice([1.0, 2.0], 2000)
    assert unlike_calibration(decision, ties, rows_with(ties, scores), 0, "row") is None


@pytest.mark.parametrize(("factor", "said"), [(1.5, "more anomalous"), (0.5, "less anomalous")])
def test_other_distributions_are_told_of_where_few_rows_are_flagged(thousand, factor, said):
    decision = Decision(FalseAlarmRate(0.01).find(thousand))
    scores = np.random.default_rng(0).uniform(0, 1000 * factor, 800)
    warning = unlike_calibration(decision, thousand, rows_with(thousand, scores), 0, "row")
    assert said in str(warning)
    assert "vae-anomaly drift" in str(warning)


def test_rows_ranked_among_themselves_are_not_warned_of():
    training = Calibration.of("training", [np.arange(100.0)])
    decision = Decision(RobustFence().find(training))
    assert unlike_calibration(decision, training, rows_with(training, np.full(50, 200.0)), 50, "row") is None


def test_new_csv_of_one_run_can_be_read_as_numbers(run, mixed_csv, model):
    frame = pd.read_csv(io.BytesIO(run("score", mixed_csv, "-m", model).out))
    assert frame["p_value"].between(1 / 61, 1).all()


def test_rows_of_unknown_groups_are_not_said_to_be_less_anomalous_alone():
    scores, levels = np.arange(1000.0), ["a"] * 1000
    calibration = Calibration.of("split", [scores], group_column="shop", groups=[levels])
    family = FamilyCounts()
    family.add(calibration.p_values(scores[::2, None], ["new"] * 250 + ["a"] * 250))
    decision = Decision(FalseAlarmRate(0.01).find(calibration))
    warning = unlike_calibration(decision, calibration, family, 0, "row")
    assert "or have a 'shop' that the calibration has not, and so a p-value of 1" in str(warning)
