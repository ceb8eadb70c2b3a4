"""Text in files: what columns are read as, what is said of it, and the same scores as in Python."""

import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import Reading, VAEDetector, read_manifest
from vae_anomaly.arrow_rows import scoring_features
from vae_anomaly.arrow_rows.typed_cells import unreadable_rows
from vae_anomaly_cli.features import training_frame
from vae_anomaly_cli.sources import open_table
from vae_anomaly_cli.tables import read_table

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.DataWarning")
RNG = np.random.default_rng(0)
N = 120


def chosen(*levels):
    return RNG.choice(np.array(levels, dtype=object), N)


def written(form):
    return [form(number) for number in np.exp(RNG.normal(6, 2, N))]


def days(form):
    return [
        (pd.Timestamp("2025-01-01") + pd.Timedelta(hours=int(hour))).strftime(form) for hour in RNG.integers(0, 8000, N)
    ]


def german(number):
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


COLUMNS = {
    "spaces around levels": chosen(" Private", " Gov", "Self "),
    "categories with spaces": pd.Categorical(chosen(" Private", " Gov", "Self ")),
    "levels called missing": chosen("None", "NA", "?", "a", "b"),
    "categories called missing": pd.Categorical(chosen("None", "NA", "?", "null", "a")),
    "levels that are numbers": chosen("1", "2", "30"),
    "categories that are text numbers": pd.Categorical(chosen("1.0", "2", "30")),
    "categories that are numbers": pd.Categorical(RNG.choice([1.0, 2.5, 30.0], N)),
    "numbers and text": chosen(1, 2.0, 2.5, "a"),
    "codes": chosen("007", "7", "08"),
    "booleans": RNG.choice([True, False], N),
    "booleans as text": chosen("true", "False", "TRUE"),
    "booleans and nothing": chosen(True, False, None),
    "upper and lower case": chosen("Yes", "yes", "YES ", "no"),
    "marks and nothing": chosen("x", None, ""),
    "line ends, commas and quotes": chosen("a\nb", "c", "d,e", 'f"g'),
    "Turkish and German case": chosen("straße", "STRASSE", "İ", "i"),
    "dollars": written("${:,.2f}".format),
    "euros": written(lambda number: german(number) + " €"),
    "French": written(lambda number: f"{number:,.2f}".replace(",", "\u202f").replace(".", ",")),
    "percent": written("{:.1f} %".format),
    "by letter": written(lambda number: f"{number / 1000:.1f}k"),
    "accounting": [f"({-number:.2f})" if number < 0 else f"{number:.2f}" for number in RNG.normal(size=N)],
    "dates": days("%d/%m/%Y %H:%M"),
    "dates with a zone": days("%Y-%m-%dT%H:%M:%SZ"),
    "dates with points": days("%d.%m.%y"),
    "one odd cell": [*written("{:.2f}".format)[1:], "<10"],
    "words for missing": [*written("{:.2f}".format)[2:], "n.a.", "-"],
    "an odd letter": [*chosen("27", "31", "45")[1:], "4O"],
    "hours and minutes": chosen("8:30", "11:05", "0:10", ""),
    "minutes and seconds": chosen("59:30.5", "1:02", "n.a."),
    "days and hours": chosen("0 days 00:01:00", "1 days 12:00:00"),
    "days that are none": [*days("%d/%m/%Y")[20:], *["99/99/9999"] * 20],
    "ISO days that are none": [*days("%Y-%m-%d")[20:], *["0000-00-00"] * 20],
    "none among words": chosen("None", "Staff", "Season", ""),
    "NA among countries": chosen("NA", "ZA", "BW", ""),
    "true and nothing": chosen("true", ""),
    "flags and nothing": chosen(True, None),
    "ones and nothing": chosen("1", ""),
    "article codes": RNG.choice(RNG.integers(4 * 10**12, 5 * 10**12, 30), N),
    "codes beyond 64 bits": chosen(*(str(10**21 + number) for number in range(30))),
    "many levels": chosen(*(f"user {number}" for number in range(80))),
}


def small(**parameters):
    return VAEDetector(max_iter=3, n_estimators=1, early_stopping=False, calibration=None, **parameters)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_every_cell_scores_as_in_python_and_the_fits_agree(tmp_path, name, ending):
    frame = pd.DataFrame({"x": np.arange(N) / 7, "v": COLUMNS[name]})
    path = tmp_path / f"t.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif name in ("numbers and text", "booleans and nothing"):
        pytest.skip("Arrow has no such column")
    else:
        frame.to_parquet(path)
    table = read_table(open_table([str(path)], None, None, pytest.fail))
    fitted = small().fit(frame)
    of_file = scoring_features(table.cells, fitted.columns_, table.source.cell_reader).frame
    assert fitted.anomaly_score(of_file).tolist() == fitted.anomaly_score(frame).tolist()
    again = small().fit(training_frame(table, ["x", "v"], {}))
    if name == "numbers and text":
        # What Python has as 2.0 is 2 in its other columns of numbers, and 2.0 in a file.
        return
    if not isinstance(frame["v"].dtype, pd.CategoricalDtype):
        assert again.columns_[1].kind == fitted.columns_[1].kind
        assert again.columns_[1].levels == fitted.columns_[1].levels
    of_file = scoring_features(table.cells, again.columns_, table.source.cell_reader).frame
    assert again.anomaly_score(of_file).tolist() == again.anomaly_score(frame).tolist()


@pytest.fixture
def fit(run, tmp_path, write, fast):
    """Fit on a table of text, and return its columns by name with what was said."""

    def fitted(content, *options, name="t.csv"):
        path = tmp_path / "m.vae"
        outcome = run("fit", write(name, content), "-o", path, "--calibration", "none", *fast, *options)
        assert outcome.code == 0, outcome.err
        return {column["name"]: column for column in read_manifest(path)["columns"]}, outcome.err

    return fitted


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
@pytest.mark.parametrize("thousands", [True, False])
def test_thousands_beside_decimal_commas_are_thousands(fit, delimiter, thousands):
    amounts = RNG.integers(300, 3000 if thousands else 900, 80)
    rows = "".join(
        f'"{18 + number % 40 / 10:.2f}"{delimiter}{amount:,}\n'.replace(".", "!").replace(",", ".").replace("!", ",")
        if delimiter != ","
        else f'"{18 + number % 40 / 10:.2f}",'.replace(".", ",", 1) + f"{amount:,}\n".replace(",", ".")
        for number, amount in enumerate(amounts)
    )
    columns, said = fit(f"temp{delimiter}amount\n" + rows)
    assert columns["temp"]["text_format"]["fields"]["decimal"] == ","
    assert columns["amount"]["text_format"]["fields"]["decimal"] == ","
    assert columns["amount"]["kind"] == "integer"
    assert columns["amount"]["location"] > 100
    assert "two ways" not in said


@pytest.mark.parametrize(
    ("cells", "other", "location", "unsure"),
    [
        ("1.{:03d}", "7", 1.5, True),
        ("1,{:03d}", "7", 1500, True),
        ("1,{:03d}", "7.5", 1500, False),
        ("1.{:03d}", "7.5", 1.5, False),
    ],
)
def test_marks_that_may_be_either(fit, cells, other, location, unsure):
    rows = "".join(f'"{cells.format(300 + number * 37 % 45 * 9)}",{other}\n' for number in range(90))
    columns, said = (
        fit("amount,other\n" + rows, "--column", "other=categorical") if other == "7" else fit("amount,other\n" + rows)
    )
    assert columns["amount"]["location"] == pytest.approx(location, rel=0.1)
    assert ("two ways" in said) is unsure


def test_odd_cell_is_named_with_its_line_and_remembered(run, fit, tmp_path, write):
    rows = "".join(f"{number / 7:.3f},{number % 9}\n" for number in range(150))
    content = "age,x\n" + rows.replace("5.000,", "18+,", 1)
    columns, said = fit(content)
    assert columns["age"]["kind"] == "continuous"
    assert "t.csv: column 'age' holds numbers, and '18+' (line 37): 1 cell of 150" in said
    outcome = run("score", tmp_path / "t.csv", "-m", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err


def test_options_say_how_text_is_read(fit):
    rows = "".join(
        f'"1.{number * 37 % 45 * 2:03d}",0{1 + number % 9}/0{1 + number % 7}/2025,{"Yy"[number % 2]}es\n'
        for number in range(90)
    )
    plain, said = fit("amount,day,paid\n" + rows)
    assert plain["amount"]["location"] == pytest.approx(1, rel=0.1)
    assert plain["day"]["text_format"]["fields"]["date_format"] == "%m/%d/%Y"
    assert plain["paid"]["kind"] == "constant"
    assert "--decimal" in said
    assert "--date-format" in said
    assert "--no-fold-case" in said
    options = ("--decimal", ",", "--date-format", "%d/%m/%Y", "--no-fold-case")
    columns, said = fit("amount,day,paid\n" + rows, *options)
    assert columns["amount"]["location"] == pytest.approx(1044, rel=0.1)
    assert columns["day"]["text_format"]["fields"]["date_format"] == "%d/%m/%Y"
    assert columns["paid"]["levels"] == ["Yes", "yes"]
    assert "two ways" not in said
    columns, _ = fit("amount,day,paid\n" + rows, "--thousands", ".")
    assert columns["amount"]["location"] == pytest.approx(1044, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--decimal", ";"), "--decimal ';': expected one of '.', ','"),
        (("--thousands", "_"), "--thousands '_': expected one of"),
        (("--decimal", ",", "--thousands", ","), "expected different marks"),
        (("--date-format", "%H:%M"), "--date-format '%H:%M': expected a year and a month"),
    ],
)
def test_options_that_cannot_be_are_refused(run, write, tmp_path, options, message):
    outcome = run("fit", write("t.csv", "a,b\n1,2\n3,4\n"), "-o", tmp_path / "m.vae", *options)
    assert message in outcome.error()


def test_declared_kinds_read_such_text(fit):
    rows = "".join(f'"${number:,}.50",31/{1 + number % 12:02d}/2025,"{number:04d}"\n' for number in range(5, 60))
    rows = rows.replace("31/02", "28/02").replace("31/04", "30/04").replace("31/06", "30/06")
    rows = rows.replace("31/09", "30/09").replace("31/11", "30/11")
    options = ("--column", "Amount=continuous", "--column", "Date=datetime", "--column", "Code=integer")
    columns, _ = fit("Amount,Date,Code\n" + rows, *options)
    assert [columns[name]["kind"] for name in ("Amount", "Date", "Code")] == ["continuous", "datetime", "integer"]


def test_info_says_how_text_is_read(run, fit, tmp_path):
    rows = "".join(f'"${number * 37:,}.50",{"YYy"[number % 3]}es,{number % 2}\n' for number in range(60))
    fit("amount,paid,flag\n" + rows)
    shown = " ".join(run("info", tmp_path / "m.vae").text.replace("│", " ").split())
    assert "numbers in '$'" in shown
    described = json.loads(run("info", tmp_path / "m.vae", "--json").text)["columns"]
    assert [column.get("text_read_as") for column in described] == [
        "numbers in '$', with ',' between thousands",
        "levels in upper or lower case",
        None,
    ]


def test_cells_that_cannot_be_read_are_known_by_row(tmp_path):
    frame = pd.DataFrame({"a": np.arange(50) ** 1.5, "d": pd.date_range("2025-01-01", periods=50)})
    fitted = small(columns={"d": "datetime+trend"}, reading=Reading()).fit(frame)
    path = tmp_path / "t.csv"
    path.write_text('a,d\n1.5,2025-01-01\nmuch,soon\n"1,234.5",2025-01-01T10:00Z\n,\n')
    table = read_table(open_table([str(path)], None, None, pytest.fail))
    reader = table.source.cell_reader
    lost = {
        column.name: unreadable_rows(reader.scoring_values(table.cells[column.name], column), column).tolist()
        for column in fitted.columns_
    }
    assert lost == {"a": [False, True, False, False], "d": [False, True, False, False]}


def test_ambiguous_columns_share_a_line(run, write, tmp_path):
    rows = "\n".join(",".join(f"{(i * 37 + 11 * j) % 900 / 100 + 1:.3f}" for j in range(8)) for i in range(100))
    path = write("t.csv", ",".join(f"c{j}" for j in range(8)) + "\n" + rows + "\n")
    err = run("fit", path, "-o", tmp_path / "m.vae", "--max-iter", "5", "--n-estimators", "1").err
    assert err.count("can be read in two ways") == 1
    assert "So it is with 'c1', 'c2', 'c3', 'c4', 'c5' and 2 more." in err


def test_odd_cells_of_many_columns_are_a_handful_of_lines(run, write, tmp_path):
    rows = "\n".join(",".join(f"{(i * 37 + 11 * j) % 900 / 100:.2f}" for j in range(8)) for i in range(300))
    path = write("t.csv", ",".join(f"c{j}" for j in range(8)) + "\n" + rows + "\n" + ",".join(["odd"] * 8) + "\n")
    err = run("fit", path, "-o", tmp_path / "m.vae", "--max-iter", "5", "--n-estimators", "1").err
    assert err.count("'odd' (line 302)") == 5
    assert "3 more columns hold odd cells, which are taken as missing, too." in err
