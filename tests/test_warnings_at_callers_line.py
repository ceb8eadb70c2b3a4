"""A warning names the line of the user that led to it, however deep in the library or scikit-learn it is made."""

import ast
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from vae_anomaly import VAEDetector
from vae_anomaly.deprecation import RenamedAttribute

# Each line with a mark warns, and is the line that the warning names.
SCRIPT = """\
import json, sys, threading, warnings
import numpy as np, pandas as pd
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from vae_anomaly import ScoreDisplay, VAEDetector

found = []
def keep(message, category, filename, lineno, file=None, line=None):
    found.append((category.__name__, filename, lineno))
warnings.showwarning = keep
warnings.simplefilter("always")

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
X["empty"] = np.nan
more = X.assign(other=1.0)
new = VAEDetector(max_iter=5, early_stopping=False, n_estimators=1)

class Wrapped:
    def __init__(self, detector):
        self.detector = detector
    def rate(self, rows):
        return self.detector.anomaly_score(rows)  # rate

detector = new.fit(X)  # fit
detector.score_samples(more)  # score_samples
detector.predict(more)  # predict
detector.decide(more)  # decide
detector.explain(more.head(2))  # explain
detector.p_values(more)  # p_values
detector.transform(more)  # transform
Wrapped(detector).rate(more)
pipeline = make_pipeline(FunctionTransformer(), new)
pipeline.fit(X)  # pipeline fit
pipeline.score_samples(more)  # pipeline score
Pipeline([("inner", pipeline)]).predict(more)  # nested pipeline
ScoreDisplay.from_estimator(detector, more)  # display
GridSearchCV(new, {"max_iter": [4]}, cv=2).fit(X)  # search
cross_val_score(new, X, cv=2)  # cross validation
[detector.score_samples(rows) for rows in [more]]  # comprehension
(lambda rows: detector.score_samples(rows))(more)  # lambda
detector.set_threshold(
    contamination=1e-9
)  # several lines
def work():
    detector.score_samples(more)  # thread
thread = threading.Thread(target=work)
thread.start()
thread.join()
json.dump(found, sys.stdout)
"""
LINES = {line.rpartition("# ")[2]: number for number, line in enumerate(SCRIPT.splitlines(), start=1) if "  # " in line}


@pytest.fixture(scope="module")
def warned(tmp_path_factory):
    script = tmp_path_factory.mktemp("script") / "of_user.py"
    script.write_text(SCRIPT)
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return script, json.loads(run.stdout)


@pytest.mark.slow
def test_every_warning_is_at_a_line_of_the_script(warned):
    script, found = warned
    assert {Path(file) for _, file, _ in found} == {script}


@pytest.mark.slow
@pytest.mark.parametrize("mark", LINES)
def test_marked_line_is_named(warned, mark):
    _, found = warned
    # A call over several lines may be named by any of them.
    lines = range(LINES[mark] - 2, LINES[mark] + 1) if mark == "several lines" else (LINES[mark],)
    assert any(line in lines for *_, line in found), sorted({line for *_, line in found})


@pytest.mark.slow
def test_no_other_line_is_named(warned):
    _, found = warned
    assert {line for *_, line in found} <= {*LINES.values(), LINES["several lines"] - 2, LINES["several lines"] - 1}


def line_of(call):
    """The line of this file that the first warning of a call names, counted from where the call begins."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    assert found[0].filename == __file__
    return found[0].lineno - call.__code__.co_firstlineno


def test_line_of_the_caller_is_named_through_scikit_learn():
    X = np.column_stack([np.random.default_rng(0).normal(size=60), np.full(60, np.nan)])
    pipeline = make_pipeline(FunctionTransformer(), VAEDetector(max_iter=2, early_stopping=False, n_estimators=1))

    def call():
        values = X * 2
        return pipeline.fit(values)

    assert line_of(call) == 2


def test_line_that_asks_for_an_old_name_is_named():
    def from_the_package():
        from vae_anomaly import PictureExplanation

        return PictureExplanation

    def from_a_value():
        return VAEDetector.__name__, Old().before

    assert line_of(from_the_package) == 1
    assert line_of(from_a_value) == 1


class Old:
    before = RenamedAttribute("now")
    now = 1


def test_library_warns_at_the_callers_level_everywhere(root):
    """One place finds the line of the user; old names are asked for by the user alone."""
    wrong = []
    for path in sorted((root / "vae_anomaly").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                levels = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "stacklevel"]
                if levels != ["callers_level()"] and path.name != "deprecation.py":
                    wrong.append(f"{path.name}:{node.lineno}")
    assert wrong == []
