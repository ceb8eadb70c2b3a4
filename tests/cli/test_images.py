"""Images through the command: fits, scores and tables."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vae_anomaly import load, read_manifest
from vae_anomaly.columns.named_augmentation import AUGMENTATIONS
from vae_anomaly.model.steps import Stepper
from vae_anomaly_cli.options import Augmentation

COLUMNS = ["row", "path", "folder", "anomaly_score", "p_value", "is_anomaly", "problem"]


def test_fit_says_what_it_was_fitted_on(run, good, tmp_path, fast_images):
    outcome = run("fit", good, "-o", tmp_path / "m.vae", *fast_images)
    assert outcome.code == 0
    assert outcome.out == b""
    line = outcome.err.splitlines()[-1]
    assert line.startswith(f"fitted on {good}: 40 images as 16x16 pixels, grey with 8 bits, ")
    assert line.endswith(f"; written to {tmp_path / 'm.vae'}")
    assert read_manifest(tmp_path / "m.vae")["images"]["height"] == 16


def test_fit_changes_images_by_name_and_the_model_says_so(run, good, inspected, tmp_path, fast_images):
    changes = ("--augment", "flips", "--augment", "shifts")
    outcome = run("fit", good, "-o", tmp_path / "m.vae", *changes, *fast_images)
    assert outcome.code == 0, outcome.err
    assert read_manifest(tmp_path / "m.vae")["parameters"]["augment"] == ["flips", "shifts"]
    assert "augmented by flips, shifts" in " ".join(run("info", tmp_path / "m.vae").text.split())
    assert run("fit", good, "-o", tmp_path / "plain.vae", *fast_images).code == 0
    changed, plain = (run("score", inspected, "-m", tmp_path / name).out for name in ("m.vae", "plain.vae"))
    assert changed != plain


@pytest.mark.usefixtures("few_windows")
def test_patches_are_of_changed_images(run, good, tmp_path, fast_images):
    few = [option for option in fast_images if option != "--max-samples"]
    outcome = run("fit", good, "-o", tmp_path / "m.vae", "--method", "patch", "--augment", "rotations", *few)
    assert outcome.code == 0, outcome.err
    manifest = read_manifest(tmp_path / "m.vae")
    assert (manifest["kind"], manifest["parameters"]["augment"]) == ("patches", ["rotations"])


def test_a_change_without_a_name_is_refused(run, good, orders_csv, tmp_path):
    error = run("fit", good, "-o", tmp_path / "m.vae", "--augment", "mirror").error()
    assert "'mirror' is not one of 'flips', 'rotations', 'shifts', 'brightness'" in error
    error = run("fit", good, "-o", tmp_path / "m.vae", "--augment", "rotations", "--image-shape", "8x16").error()
    assert "rotations" in error
    assert "8x16 pixels" in error
    error = run("fit", orders_csv, "-o", tmp_path / "m.vae", "--augment", "flips").error()
    assert "--augment cannot go with tables" in error
    config = tmp_path / "options.toml"
    config.write_text('augment = ["flips", "mirror"]\n')
    assert "expected one of flips, rotations" in run("fit", good, "-o", tmp_path / "m.vae", "--config", config).error()


def test_changes_are_those_of_the_library():
    assert tuple(Augmentation) == tuple(AUGMENTATIONS)


def test_fit_summary_as_json(run, good, tmp_path, fast_images):
    outcome = run(
        "fit", good, "-o", tmp_path / "m.vae", "--image-shape", "8x12", "--random-state", "3", "--json", *fast_images
    )
    summary = json.loads(outcome.text)
    assert (summary["height"], summary["width"], summary["channels"], summary["depth"]) == (8, 12, 1, 8)
    assert summary["fitted_images"] == summary["files"] == 40
    assert summary["unusable"] == 0
    assert read_manifest(tmp_path / "m.vae")["parameters"]["random_state"] == 3


def test_table_has_a_row_for_each_image_in_natural_order(run, image_model, inspected, tmp_path):
    outcome = run("score", inspected, "-m", image_model, "-o", tmp_path / "o.csv")
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    table = pd.read_csv(tmp_path / "o.csv", keep_default_na=False)
    assert list(table) == COLUMNS
    expected = [f"good/{number}.png" for number in range(6)] + [f"scratch/deep/{number}.png" for number in range(3)]
    assert table["path"].tolist() == expected
    assert table["folder"].tolist() == ["good"] * 6 + ["scratch/deep"] * 3
    assert set(table["problem"]) == {""}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "test"]
    assert outcome.err.splitlines()[-1].startswith(f"scored {inspected} with {image_model}: 9 images; threshold ")


def test_scores_and_flags_are_those_of_the_library(run, image_model, inspected):
    table = run("score", inspected, "-m", image_model).frame
    detector = load(image_model)
    paths = [inspected / path for path in table["path"]]
    assert table["anomaly_score"].astype(float).tolist() == detector.anomaly_score(paths).tolist()
    assert (table["is_anomaly"] == "true").tolist() == (detector.predict(paths) == -1).tolist()


def test_scores_do_not_depend_on_how_many_are_read_at_once(run, image_model, inspected, monkeypatch):
    whole = run("score", inspected, "-m", image_model)
    monkeypatch.setattr("vae_anomaly.batches.image_kernel.MAX_PER_BATCH", 4)
    assert run("score", inspected, "-m", image_model).out == whole.out


def test_without_a_model_it_fits_on_the_folder_itself_and_ranks(run, good, fast_images):
    outcome = run("score", good, "--top", "3", "--only-top", *fast_images)
    assert outcome.code == 0, outcome.err
    scores = outcome.frame["anomaly_score"].astype(float)
    assert len(scores) == 3
    assert scores.is_monotonic_decreasing
    assert f"fitted on {good}: 40 images" in outcome.err


@pytest.mark.parametrize("name", ["o.csv", "o.csv.gz", "o.tsv", "o.jsonl", "o.parquet"])
def test_every_format_holds_the_same_table(run, image_model, inspected, tmp_path, name):
    (inspected / "good" / "broken.png").write_bytes(b"none")
    path = tmp_path / name
    assert run("score", inspected, "-m", image_model, "-o", path).code == 0
    if ".csv" in name or ".tsv" in name:
        table = pd.read_csv(path, sep="," if "csv" in name else "\t")
    else:
        table = pd.read_json(path, lines=True) if "jsonl" in name else pq.read_table(path).to_pandas()
    assert list(table) == COLUMNS
    assert table["path"].tolist()[6] == "good/broken.png"
    assert table["anomaly_score"].isna().tolist() == [False] * 6 + [True] + [False] * 3
    assert table["problem"].isna().sum() == 9


@pytest.mark.parametrize("options", [("--label", "folder", "--normal", "good/"), ("--good", "good/")])
def test_normal_folders_give_auroc_and_average_precision(run, image_model, inspected, options):
    outcome = run("score", inspected, "-m", image_model, *options, "--json")
    measures = json.loads(outcome.text)["label"]
    assert measures == {
        "column": "folder",
        "anomaly_value": None,
        "normal_values": ["good/"],
        "n_anomalies": 3,
        "n_labelled": 9,
        "auroc": 1.0,
        "average_precision": 1.0,
    }
    said = outcome.err.splitlines()
    assert said[-1] == ("label 'folder' (not good/ = anomaly, 3 of 9 images): AUROC 1.000, average precision 1.000")
    warned = ["warning: --good good/ is now --label folder --normal good/"] if options[0] == "--good" else []
    assert [line for line in said if line.startswith("warning")] == warned


def test_normal_folder_includes_those_below_it_and_the_folder_itself_is_a_dot(run, image_model, inspected, draw):
    draw(inspected / "top.png", 300)
    folders = ("--label", "folder", "--normal", "scratch", "--normal", ".")
    summary = json.loads(run("score", inspected, "-m", image_model, *folders, "--json").text)
    assert summary["label"]["n_anomalies"] == 6
    outcome = run("score", inspected, "-m", image_model, *folders, "--normal", "good")
    assert "label 'folder': all images have the same label, nothing to measure" in outcome.err


def test_anomalous_folder_is_the_other_way_to_say_it(run, image_model, inspected):
    outcome = run("score", inspected, "-m", image_model, "--label", "folder", "--anomalous", "scratch", "-q")
    assert outcome.err.startswith("label 'folder' (scratch = anomaly, 3 of 9 images): AUROC 1.000")


def test_files_without_a_score_are_not_measured(run, image_model, inspected):
    (inspected / "good" / "2.png").write_bytes(b"")
    outcome = run("score", inspected, "-m", image_model, "--label", "folder", "--normal", "good", "-q")
    assert outcome.err == ("label 'folder' (not good = anomaly, 3 of 8 images): AUROC 1.000, average precision 1.000\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--good", "fine"),
            "--normal fine: column 'folder' has no such value; expected one of 'good', 'scratch/deep'",
        ),
        (
            ("--label", "folder"),
            "--label folder: the images lie in 'good', 'scratch/deep'; name the folders of normal ones with --normal.",
        ),
        (
            ("--label", "shape", "--normal", "x"),
            "--label shape: {} has no such column. It has columns 'path', 'folder'",
        ),
        (("--normal", "good"), "--normal good says what a label means; name the column with --label, too"),
        (("--label", "folder", "--normal", "good", "--anomalous", "scratch"), "--anomalous and --normal both say"),
        (("--good", "good", "--label", "folder"), "--good is the old name of --normal; leave it or --label out"),
    ],
)
def test_label_that_says_nothing_is_refused_before_the_work(run, inspected, options, message):
    assert message.format(inspected) in run("score", inspected, *options).error()


def test_label_is_measured_at_the_fit(run, inspected, tmp_path, fast_images):
    options = ("--label", "folder", "--normal", "good", "-q", *fast_images)
    outcome = run("fit", inspected, "-o", tmp_path / "m.vae", *options, "--json")
    assert outcome.err.startswith("label 'folder' (not good = anomaly, 3 of 9 images): AUROC ")
    assert json.loads(outcome.text)["label"]["n_labelled"] == 9


@pytest.mark.parametrize(("ids", "columns"), [("path", ["path"]), ("folder", ["folder"]), ("folder,path", None)])
def test_id_chooses_the_columns_of_the_output(run, image_model, inspected, ids, columns):
    frame = run("score", inspected, "-m", image_model, "--id", ids).frame
    assert list(frame) == ["row", *(columns or ids.split(",")), *COLUMNS[3:]]
    summary = json.loads(run("score", inspected, "-m", image_model, "--id", ids, "--json").text)
    assert list(summary["ranked"][0])[1:-3] == (columns or ids.split(","))


def test_json_ranks_images(run, image_model, inspected):
    summary = json.loads(run("score", inspected, "-m", image_model, "--json", "--top", "4").text)
    assert summary["images"] == 9
    assert summary["unusable"] == 0
    assert [entry["rank"] for entry in summary["ranked"]] == [1, 2, 3, 4]
    assert {entry["folder"] for entry in summary["ranked"][:3]} == {"scratch/deep"}
    assert set(summary["ranked"][0]) == {"rank", "path", "folder", "anomaly_score", "p_value", "is_anomaly"}


def test_single_files_patterns_and_several_arguments(run, image_model, inspected):
    def paths(*data):
        outcome = run("score", *data, "-m", image_model)
        assert outcome.code == 0, outcome.err
        return outcome.frame["path"].tolist()

    assert paths(inspected / "good" / "1.png") == ["1.png"]
    assert paths(inspected / "good" / "1.png", inspected / "good" / "0.png") == ["1.png", "0.png"]
    assert paths(f"{inspected}/**/1.png") == ["good/1.png", "scratch/deep/1.png"]
    assert paths(inspected / "good", inspected / "scratch")[5:8] == [
        "good/5.png",
        "scratch/deep/0.png",
        "scratch/deep/1.png",
    ]
    assert len(paths(inspected, inspected / "good")) == 9


def test_two_arguments_with_equal_relative_names_keep_apart(run, image_model, tmp_path, draw):
    for name in "ab":
        draw(tmp_path / name / "1.png", ord(name))
    maps = tmp_path / "maps"
    outcome = run("score", tmp_path / "a", tmp_path / "b", "-m", image_model, "--heatmaps", maps)
    assert outcome.frame["path"].tolist() == ["a/1.png", "b/1.png"]
    assert outcome.frame["folder"].tolist() == ["a", "b"]
    assert sorted(path.relative_to(maps).as_posix() for path in maps.rglob("*.png")) == ["a/1.png", "b/1.png"]


def test_relative_arguments_never_lead_out_of_the_folder_of_pages(run, image_model, tmp_path, monkeypatch, draw):
    for name in "ab":
        draw(tmp_path / name / "1.png", ord(name))
    monkeypatch.chdir(tmp_path / "b")
    outcome = run("score", "../a", ".", "-m", image_model, "--heatmaps", tmp_path / "maps")
    assert outcome.frame["path"].tolist() == ["a/1.png", "b/1.png"]


def test_names_with_spaces_umlauts_and_newlines(run, image_model, tmp_path, draw):
    names = ["a b.png", "größe.png", "two\nlines.png", 'quote",comma.png']
    for number, name in enumerate(names):
        draw(tmp_path / "in" / "sub folder" / name, number)
    outcome = run(
        "score", tmp_path / "in", "-m", image_model, "--heatmaps", tmp_path / "maps", "--sheet", tmp_path / "s.png"
    )
    assert outcome.code == 0, outcome.err
    assert set(outcome.frame["path"]) == {f"sub folder/{name}" for name in names}
    assert {path.name for path in (tmp_path / "maps" / "sub folder").iterdir()} == set(names)


def test_name_that_is_no_text_is_escaped(run, image_model, tmp_path, draw):
    draw(tmp_path / "in" / "a.png")
    try:
        draw(tmp_path / "in" / b"\xff.png".decode("utf-8", "surrogateescape"), 1)
    except OSError:
        pytest.skip("the file system takes text alone")
    outcome = run("score", tmp_path / "in", "-m", image_model, "--heatmaps", tmp_path / "maps")
    assert outcome.code == 0, outcome.err
    assert outcome.frame["path"].tolist() == ["a.png", "\\xff.png"]


def test_one_broken_file_among_many_is_a_warning_and_a_row(run, image_model, inspected, tmp_path):
    (inspected / "good" / "2.png").write_bytes(b"")
    outcome = run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "maps")
    assert outcome.code == 0
    warned = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert warned == [
        f"warning: left out: {inspected / 'good' / '2.png'}: the file is empty; copy it again or leave it out."
    ]
    row = outcome.frame.iloc[2]
    assert row.tolist() == ["3", "good/2.png", "good", "", "", "", "the file is empty; copy it again or leave it out."]
    assert len(outcome.frame) == 9
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 8


def test_broken_files_of_a_fit_are_told_of_once_and_counted_beyond_twenty(run, good, tmp_path, fast_images, draw):
    for number in range(30):
        draw(tmp_path / "in" / f"{number}.png", number)
    for number in range(25):
        (tmp_path / "in" / f"broken{number}.png").write_bytes(b"none")
    for command in (("fit", tmp_path / "in", "-o", tmp_path / "m.vae"), ("score", tmp_path / "in")):
        outcome = run(*command, *fast_images)
        assert outcome.code == 0, outcome.err
        warned = [line for line in outcome.err.splitlines() if line.startswith("warning: left out: ")]
        assert len(warned) == 21
        assert warned[-1] == "warning: left out: 5 more files that cannot be used."
        assert "30 of 55 files" in outcome.err


def test_no_usable_image_is_a_failure_without_a_table(run, image_model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"none")
    line = run("score", tmp_path / "in", "-m", image_model, "-o", tmp_path / "o.csv").error(code=1)
    assert "none of 1 file of" in line
    assert "a.png: no image by its first bytes" in line
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_colour_images_do_not_fit_a_grey_model(run, image_model, tmp_path, draw):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "in" / "red.png")
    line = run("score", tmp_path / "in", "-m", image_model).error(code=1)
    assert "colour image where the model takes grey ones" in line
    draw(tmp_path / "in" / "grey.png")
    outcome = run("score", tmp_path / "in", "-m", image_model)
    assert outcome.code == 0
    assert outcome.frame["anomaly_score"][1] == ""


def test_colour_images_are_fitted_scored_and_drawn(run, tmp_path, fast_images, levels_of):
    for number in range(30):
        levels = np.stack([levels_of(number + shift) for shift in range(3)], -1)
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(levels).save(tmp_path / "in" / f"{number}.png")
    outcome = run("score", tmp_path / "in", "--sheet", tmp_path / "s.png", *fast_images)
    assert outcome.code == 0, outcome.err
    assert "16x16 pixels, colour with 8 bits" in outcome.err
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.mode == "RGB"


def test_images_of_several_sizes_need_a_size(run, tmp_path, fast_images, draw):
    for number in range(30):
        draw(tmp_path / "in" / f"{number}.png", number, size=16 + number % 2)
    line = run("fit", tmp_path / "in", "-o", tmp_path / "m.vae", *fast_images).error()
    assert "--image-shape" in line
    assert not (tmp_path / "m.vae").exists()
    outcome = run("score", tmp_path / "in", "--image-shape", "12x10", *fast_images)
    assert outcome.code == 0, outcome.err
    assert "12x10 pixels" in outcome.err


def test_images_of_another_size_are_an_error_where_all_are(run, image_model, tmp_path, draw):
    for number in range(3):
        draw(tmp_path / "in" / f"{number}.png", number, size=20)
    outputs = ("-o", tmp_path / "o.csv", "--heatmaps", tmp_path / "maps")
    line = run("score", tmp_path / "in", "-m", image_model, *outputs).error()
    assert "none of 3 images has the size that the model takes" in line
    assert f"{tmp_path / 'in' / '0.png'}: 20x20 pixels (height x width) where the model takes 16x16" in line
    assert "--image-shape 16x16" in line
    assert not (tmp_path / "o.csv").exists()
    one = run("score", tmp_path / "in" / "1.png", "-m", image_model).error()
    assert "1.png: 20x20 pixels" in one
    assert "none of" not in one


def test_one_image_of_another_size_among_others_is_warned_of_and_has_a_problem(run, image_model, inspected, draw):
    before = run("score", inspected, "-m", image_model).frame
    draw(inspected / "good" / "other.png", 7, size=20)
    outcome = run("score", inspected, "-m", image_model)
    assert outcome.code == 0, outcome.err
    assert "other.png: 20x20 pixels (height x width) where the model takes 16x16" in outcome.err
    table = outcome.frame
    (odd,) = np.flatnonzero(table["path"] == "good/other.png")
    assert table["problem"][odd].startswith("20x20 pixels")
    assert (table.loc[odd, ["anomaly_score", "p_value", "is_anomaly"]].fillna("") == "").all()
    others = table.drop(index=odd)
    assert others["anomaly_score"].tolist() == before["anomaly_score"].tolist()


@pytest.mark.parametrize("command", ["score", "evaluate", "calibrate"])
def test_size_has_images_of_another_size_resized(run, image_model, tmp_path, draw, command):
    for number in range(30):
        draw(tmp_path / "in" / f"{number}.png", 300 + number, size=16 + 4 * (number % 2))
    needed = {"evaluate": ("--label", "folder", "--normal", "."), "calibrate": ("-o", tmp_path / "m.vae")}
    draw(tmp_path / "in" / "scratch" / "0.png", 400, size=20, anomalous=True)
    options = ("-m", image_model, *needed.get(command, ()))
    without = run(command, tmp_path / "in", *options)
    assert "20x20 pixels" in without.err
    outcome = run(command, tmp_path / "in", *options, "--image-shape", "16x16")
    assert outcome.code == 0, outcome.err
    assert "20x20 pixels" not in outcome.err


def test_a_fit_with_a_size_has_images_of_other_sizes_resized_when_they_are_scored(
    run, good, tmp_path, fast_images, draw
):
    resized = ("--image-shape", "16x16")
    assert run("fit", good, "-o", tmp_path / "m.vae", *resized, *fast_images).code == 0
    for number in range(3):
        draw(tmp_path / "in" / f"{number}.png", number, size=20)
    outcome = run("score", tmp_path / "in", "-m", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    assert set(outcome.frame["problem"].fillna("")) == {""}
    assert outcome.out == run("score", tmp_path / "in", "-m", tmp_path / "m.vae", *resized).out


def test_info_describes_a_model_of_images(run, image_model):
    outcome = run("info", image_model)
    assert outcome.code == 0, outcome.err
    manifest = read_manifest(image_model)
    wanted = ("training images", "40", "16x16 pixels (height x width), grey with 8 bits", "1 member,", "channel")
    for shown in (*wanted, manifest["backbone"]["name"], manifest["score"]["name"]):
        assert shown in outcome.text
    shown = json.loads(run("info", image_model, "--json").text)
    assert shown.pop("contents")["exemplars"] > 0
    assert shown == manifest


@pytest.fixture
def interrupted_fits(monkeypatch):
    """Press Ctrl-C in the tenth step of a training."""
    step = Stepper.step
    n_steps = 0

    def interrupted(*arguments):
        nonlocal n_steps
        n_steps += 1
        if n_steps == 10:
            raise KeyboardInterrupt
        step(*arguments)

    monkeypatch.setattr(Stepper, "step", interrupted)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.usefixtures("interrupted_fits")
def test_ctrl_c_while_training_keeps_the_best_model_so_far(run, good, orders_csv, tmp_path, fast_images, table):
    path = tmp_path / "m.vae"
    outcome = run("fit", orders_csv if table else good, "-o", path, "--json", *fast_images)
    assert outcome.code == 130, outcome.err
    assert "warning: interrupted at iteration" in outcome.err
    assert outcome.err.splitlines()[-1] == f"error: interrupted: {path} holds the best model so far."
    assert json.loads(outcome.text)["model"] == str(path)
    assert load(path).fit_report_.interrupted


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.usefixtures("interrupted_fits")
def test_ctrl_c_while_training_leaves_a_model_that_is_there(run, good, orders_csv, write, fast_images, table):
    path = write("m.vae", b"trained for a night")
    outcome = run("fit", orders_csv if table else good, "-o", path, "--json", *fast_images)
    assert f"{path}, where the best model so far would have gone, stays as it was" in outcome.error(130)
    assert path.read_bytes() == b"trained for a night"
    assert outcome.out == b""


@pytest.mark.usefixtures("interrupted_fits")
def test_ctrl_c_while_training_to_score_goes_on_with_the_best_model_so_far(run, good, fast_images):
    outcome = run("score", good, *fast_images)
    assert outcome.code == 0, outcome.err
    assert len(outcome.frame) == 40
