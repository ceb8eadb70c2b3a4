"""A scorer of Arrow batches: the bits of the detector for any cut, wherever it is sent, and plain refusals."""

import io
import pickle
import subprocess
import sys
import warnings
from decimal import Decimal

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from vae_anomaly import (
    DataError,
    FitWarning,
    GroupedDetector,
    ModelFileError,
    PatchDetector,
    SpecificationError,
    VAEDetector,
    batches,
    load,
    save,
)
from vae_anomaly.batches import BatchScorer, batch_scorer, carried_model, scorer

OUTPUTS = ["anomaly_score", "p_value", "is_anomaly", "problem"]


def orders(n_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "id": pa.array(np.arange(n_rows)),
            "amount": pa.array(rng.normal(50, 5, n_rows).round(2), mask=rng.random(n_rows) < 0.05),
            "items": pa.array(rng.integers(1, 9, n_rows)),
            "shop": pa.array(rng.choice(["north", "south"], n_rows)),
            "when": pa.array(np.datetime64("2026-01-01", "us") + rng.integers(0, 10**7, n_rows).astype("m8[s]")),
        }
    )


@pytest.fixture(scope="module")
def detector():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return VAEDetector(n_estimators=2, max_iter=40, random_state=0).fit(orders().drop(["id"]).to_pandas())


@pytest.fixture(scope="module")
def path(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "orders.vae"
    save(detector, path)
    return path


@pytest.fixture
def forgotten():
    """No model is loaded yet."""
    carried_model._LOADED.clear()
    yield carried_model._LOADED
    carried_model._LOADED.clear()


def cut(table, *sizes):
    begin, parts = 0, []
    for size in sizes:
        parts += table.slice(begin, size).combine_chunks().to_batches()
        begin += size
    return parts


def test_scores_are_those_of_the_detector(detector, path):
    rows = orders(seed=1)
    expected = detector.decide(rows.drop(["id"]).to_pandas())
    for model in (path, str(path), detector):
        scored = scorer(model, columns=["id"])(rows)
        assert scored.column_names == ["id", *OUTPUTS]
        for name in OUTPUTS[:3]:
            assert np.array_equal(scored[name].to_numpy(), expected[name].to_numpy())
        assert scored["problem"].null_count == len(rows)


def test_any_cut_has_the_same_bits(path, monkeypatch):
    rows = orders(seed=1)
    score = scorer(path, columns=["id"])
    whole = score(rows).combine_chunks()
    parts = pa.Table.from_batches(score.iterate(cut(rows, 1, 7, 250, 42)))
    assert parts.combine_chunks().equals(whole)
    monkeypatch.setattr(batch_scorer, "MAX_ROWS", 64)
    assert score(rows).combine_chunks().equals(whole)
    shuffled = np.random.default_rng(0).permutation(len(rows))
    assert score(rows.take(pa.array(shuffled))).sort_by("id").combine_chunks().equals(whole)


def test_pieces_are_narrow_where_rows_are_wide(path, monkeypatch):
    sizes = []
    features = batches.TableKernel.features
    monkeypatch.setattr(
        batches.TableKernel, "features", lambda self, cells: (sizes.append(cells.num_rows), features(self, cells))[1]
    )
    monkeypatch.setattr(batch_scorer, "MAX_CELLS", 400)
    monkeypatch.setattr(batch_scorer, "MIN_ROWS", 1)
    scorer(path)(orders(250))
    assert sizes == [100, 100, 50]


def test_schema_is_that_of_what_is_scored(path):
    rows = orders()
    for columns in (None, ["when", "id"], []):
        score = scorer(path, columns=columns)
        batch = rows.to_batches()[0]
        assert score(batch).schema == score(rows).schema == score.schema(rows.schema)
        assert isinstance(score(batch), pa.RecordBatch)
        assert score.schema(rows.schema).names == [*(rows.column_names if columns is None else columns), *OUTPUTS]
        empty = score(rows.slice(0, 0))
        assert empty.schema == score.schema(rows.schema)
        assert len(empty) == 0
        assert score(batch.slice(0, 0)).num_rows == 0


def test_outputs_are_in_the_order_of_the_command_line(path):
    score = scorer(path, columns=[], outputs=["reasons", "is_anomaly", "anomaly_score"])
    assert score(orders()).column_names == ["anomaly_score", "is_anomaly", "reasons"]


def test_columns_of_an_earlier_run_are_replaced_and_a_problem_of_ones_own_is_kept(path):
    score = scorer(path)
    once = score(orders())
    assert score(once).equals(once)
    own = orders().append_column("problem", pa.array(["late"] * 300))
    assert score(own).column_names[-5:] == ["problem", "anomaly_score", "p_value", "is_anomaly", "row_problem"]


def test_cells_that_cannot_be_read_are_a_problem_of_their_row(detector, path):
    rows = orders(5)
    amounts = pa.array(["51.5", "many", None, "49", "inf"])
    empty = pa.array([None] * 5, pa.null())
    scored = scorer(path)(rows.set_column(1, "amount", amounts)).to_pydict()
    assert scored["problem"][1] == "'amount' holds 'many', which is no number"
    assert scored["problem"][4].startswith("'amount' holds 'inf'")
    assert [score is None for score in scored["anomaly_score"]] == [False, True, False, False, True]
    assert [scored[name][1] for name in ("p_value", "is_anomaly")] == [None, None]
    plain = rows.set_column(1, "amount", pa.array([51.5, None, None, 49.0, None])).drop(["id"]).to_pandas()
    assert scored["anomaly_score"][0] == detector.decide(plain)["anomaly_score"][0]
    nothing = pa.table(dict.fromkeys(rows.column_names, empty))
    assert set(scorer(path)(nothing)["problem"].to_pylist()) == {"holds no value in any column of the model"}


def test_rows_that_only_scoring_finds_fault_with_have_a_problem(path, monkeypatch):
    score = scorer(path, columns=["id"])
    expected = score(orders()).to_pydict()
    decide = VAEDetector.decide

    def refuses(self, frame):
        found = np.flatnonzero(frame.index.to_numpy() == 3)
        if len(found):
            raise DataError("is odd", row=int(found[0]), column="amount")
        return decide(self, frame)

    monkeypatch.setattr(VAEDetector, "decide", refuses)
    found = score(orders()).to_pydict()
    assert found["problem"][3] is not None
    assert [row for row in range(300) if found["anomaly_score"][row] != expected["anomaly_score"][row]] == [3]


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("shop", lambda cells: cells.dictionary_encode()),
        ("shop", lambda cells: cells.cast(pa.large_string())),
        ("shop", lambda cells: cells.cast(pa.string_view())),
        ("items", lambda cells: cells.cast(pa.int8())),
        ("items", lambda cells: cells.cast(pa.string())),
        ("items", lambda cells: pa.array([Decimal(cell) for cell in cells.to_pylist()], pa.decimal128(10, 2))),
        ("when", lambda cells: cells.cast(pa.timestamp("ns"))),
        ("when", lambda cells: cells.cast(pa.timestamp("us", "UTC"))),
        ("when", lambda cells: cells.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "Asia/Tokyo"))),
        ("when", lambda cells: cells.cast(pa.string())),
    ],
)
def test_other_types_of_the_same_cells_have_the_same_scores(path, column, other):
    rows = orders()
    score = scorer(path, columns=[])
    place = rows.column_names.index(column)
    changed = rows.set_column(place, column, other(rows[column].combine_chunks()))
    assert score(changed).equals(score(rows))


def test_reasons_are_those_of_flagged_rows_alone(path):
    rows = orders().set_column(1, "amount", pa.array([5000.0] + [50.0] * 299))
    scored = scorer(path, columns=[], outputs=["is_anomaly", "reasons"])(rows).to_pydict()
    assert scored["reasons"][0].startswith("amount is 5,000, expected about")
    assert [reason is not None for reason in scored["reasons"]] == scored["is_anomaly"]


def test_score_without_what_was_learned_is_there_where_something_was(detector, path):
    with pytest.raises(SpecificationError, match="has learned nothing from answers"):
        scorer(path, outputs=["anomaly_score", "likelihood_score"])


def test_names_match_but_for_case_and_blanks(path):
    rows = orders()
    renamed = rows.rename_columns(["id", " Amount", "items", "SHOP", "when"])
    score = scorer(path, columns=["id"])
    assert score(renamed).equals(score(rows))


def test_what_is_missing_is_named_with_a_remedy(path):
    score = scorer(path, columns=["id"])
    with pytest.raises(
        DataError, match=r"lacks column 'shop' of the 4 columns that the model uses.*Add what is missing"
    ):
        score(orders().drop(["shop"]))
    with pytest.raises(DataError, match="Did you mean 'shopp'"):
        score.schema(orders().rename_columns(["id", "amount", "items", "shopp", "when"]).schema)
    with pytest.raises(DataError, match=r"lacks column 'id' of those to keep"):
        score(orders().drop(["id"]))
    with pytest.raises(DataError, match="2 columns 'shop'; rename"):
        score(orders().append_column("shop", pa.array(["north"] * 300)))
    with pytest.raises(DataError, match="'amount' is of the type list<item: double>"):
        score(orders(2).set_column(1, "amount", pa.array([[1.0], [2.0]])))
    with pytest.raises(SpecificationError, match="was given a DataFrame; expected a pyarrow"):
        score(pd.DataFrame())


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"outputs": ["scores"]}, "names scores; expected some of anomaly_score"),
        ({"outputs": []}, "names nothing"),
        ({"outputs": "problem"}, "lists of names"),
        ({"columns": ["p_value"]}, "a column to keep and an output"),
        ({"columns": ["id", "shop", "id"]}, "columns names 'id' twice"),
        ({"device": "foo"}, "device='foo' is none that workers have; expected cpu, cuda"),
        ({"image": "path"}, "is a model of tables"),
    ],
)
def test_misuse_is_refused_when_the_scorer_is_made(path, given, complaint):
    with pytest.raises(SpecificationError, match=complaint):
        scorer(path, **given)


def test_files_that_are_no_models_are_refused_by_name(tmp_path):
    (tmp_path / "no.vae").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=r"no\.vae"):
        scorer(tmp_path / "no.vae")
    with pytest.raises(FileNotFoundError, match=r"none\.vae"):
        scorer(tmp_path / "none.vae")


def test_signed_files_are_checked_and_the_key_stays_here(detector, tmp_path):
    key = b"0123456789abcdef"
    save(detector, tmp_path / "signed.vae", key=key)
    assert key not in pickle.dumps(scorer(tmp_path / "signed.vae", key=key))
    with pytest.raises(ModelFileError, match="sign"):
        scorer(tmp_path / "signed.vae", key=b"another key of 16")


def test_content_of_a_file_travels_with_the_scorer(detector, tmp_path, forgotten):
    path = tmp_path / "gone.vae"
    save(detector, path)
    score = scorer(path, columns=["id"])
    expected, sent = score(orders()), pickle.dumps(score)
    path.unlink()
    forgotten.clear()
    arrived = pickle.loads(sent)
    assert isinstance(arrived, BatchScorer)
    assert arrived == score
    assert arrived(orders()).equals(expected)
    assert next(pickle.loads(pickle.dumps(score.iterate))(orders().to_batches())).num_rows == 300


@pytest.mark.slow
def test_another_process_has_the_same_bits(path):
    score = scorer(path, columns=["id"])
    program = (
        "import pickle, sys; score, rows = pickle.load(sys.stdin.buffer);"
        "sys.stdout.buffer.write(pickle.dumps(score(rows)))"
    )
    run = subprocess.run([sys.executable, "-c", program], input=pickle.dumps((score, orders())), capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    assert pickle.loads(run.stdout).equals(score(orders()))


def test_a_process_loads_a_model_once_and_keeps_few(detector, path, forgotten, monkeypatch):
    loads = []
    monkeypatch.setattr("vae_anomaly.store.load", lambda *given: loads.append(given) or load(*given))
    score = scorer(path)
    for sent in [pickle.dumps(score)] * 3:
        pickle.loads(sent)(orders(3))
    scorer(str(path), columns=["id"])(orders(3))
    assert len(loads) == len(forgotten) == 1
    for number in range(carried_model.MAX_LOADED + 2):
        carried_model.CarriedModel("m", score.model.fingerprint, score.model.content).detector(f"cpu:{number}")
    assert len(forgotten) == carried_model.MAX_LOADED


def test_model_at_an_address_stays_there_and_has_to_be_the_same(detector, path, forgotten):
    store = fsspec.filesystem("memory")
    content = path.read_bytes()
    store.pipe_file("/batches/orders.vae", content)
    score = scorer("memory://batches/orders.vae", columns=["id"])
    sent = pickle.dumps(score)
    assert len(sent) < 2000 < len(content)
    assert score(orders()).equals(scorer(path, columns=["id"])(orders()))
    other = io.BytesIO()
    save(VAEDetector(n_estimators=1, max_iter=2, early_stopping=False).fit(orders().drop(["id"]).to_pandas()), other)
    store.pipe_file("/batches/orders.vae", other.getvalue())
    forgotten.clear()
    with pytest.raises(ModelFileError, match=r"memory://batches/orders\.vae: the file has another content"):
        pickle.loads(sent)(orders())
    store.rm("/batches/orders.vae")
    with pytest.raises(FileNotFoundError, match="orders"):
        pickle.loads(sent)(orders())


def test_another_version_on_a_worker_is_refused(path, monkeypatch):
    sent = pickle.dumps(scorer(path))
    monkeypatch.setattr(batch_scorer, "__version__", "9.9")
    with pytest.raises(ModelFileError, match=r"made by vae-anomaly .*, and this process has 9\.9.*Install"):
        pickle.loads(sent)


def pictures(n_images=12, side=8):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (side, side), dtype=np.uint8)) for _ in range(n_images)]


def png(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, image in enumerate(pictures(16, 16)):
        (folder / f"{number:02}.png").write_bytes(png(image))
    return folder


@pytest.mark.parametrize(
    "untrained",
    [
        VAEDetector(n_estimators=1, max_iter=3, early_stopping=False, random_state=0),
        PatchDetector(window=8, n_windows=256, max_iter=2, random_state=0),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_images_come_as_paths_addresses_and_bytes(untrained, folder, monkeypatch):
    paths = sorted(folder.glob("*.png"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = untrained.fit(paths)
    expected = detector.decide(paths)["anomaly_score"].to_numpy()
    addresses = [f"memory://pictures/{path.name}" for path in paths]
    for path, address in zip(paths, addresses, strict=True):
        fsspec.filesystem("memory").pipe_file(address.removeprefix("memory:/"), path.read_bytes())
    score = scorer(detector, columns=[], image="image")
    for cells in ([str(path) for path in paths], addresses, [path.read_bytes() for path in paths]):
        table = pa.table({"image": pa.array(cells)})
        assert np.array_equal(score(table)["anomaly_score"].to_numpy(), expected)
        monkeypatch.setattr("vae_anomaly.batches.image_kernel.MAX_PER_BATCH", 4)
        assert np.array_equal(score(table)["anomaly_score"].to_numpy(), expected)
        monkeypatch.undo()
    odd = [str(paths[0]), str(folder / "none.png"), None, str(folder)]
    scored = score(pa.table({"image": pa.array(odd)})).to_pydict()
    assert scored["anomaly_score"] == [expected[0], None, None, None]
    assert scored["problem"][0] is None
    assert "No such file" in scored["problem"][1]
    assert scored["problem"][2] == "names no image"
    bad = score(pa.table({"image": pa.array([b"no image", b"", png(pictures(1, 16)[0])[:60]])})).to_pydict()
    assert bad["anomaly_score"] == [None] * 3
    assert bad["problem"][0].startswith("no image by its first bytes")
    other = score(pa.table({"image": pa.array([png(pictures(1, 24)[0]), paths[0].read_bytes()])})).to_pydict()
    assert other["anomaly_score"] == [None, expected[0]]
    assert other["problem"][0].startswith("24x24 pixels (height x width) where the model takes 16x16; leave it out")
    assert score(pa.table({"image": pa.array([], pa.binary())})).num_rows == 0
    with pytest.raises(SpecificationError, match="name the column of paths"):
        scorer(detector)
    with pytest.raises(DataError, match=r"lacks column 'image' of images"):
        score(pa.table({"path": odd}))
    with pytest.raises(DataError, match="expected paths or addresses"):
        score(pa.table({"image": [1]}))
    with pytest.raises(SpecificationError, match="reasons are of rows"):
        scorer(detector, image="image", outputs=["reasons"])


def test_models_of_groups_are_refused():
    rows = orders().drop(["id"]).to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = GroupedDetector(VAEDetector(n_estimators=1, max_iter=2), by="shop", min_rows=10).fit(rows)
    with pytest.raises(SpecificationError, match="a model for each group of 'shop', and a scorer carries one"):
        scorer(groups)
