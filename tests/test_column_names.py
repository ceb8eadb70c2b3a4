"""Names of columns match exactly, or but for case and blanks around them where only one can be meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.data import ColumnRoles, close_name, match_names

NAMES = st.lists(st.text("aAbB \ufeff\xa0", min_size=1, max_size=4), max_size=6, unique=True)


@pytest.mark.parametrize("there", [" AGE", "Age", "age ", "\ufeffage", "\xa0AGE\u2009", "\ufeff \ufeffAge"])
def test_case_blanks_and_byte_order_marks_do_not_count(there):
    assert match_names(["age"], [there, "sex"]) == {"age": there}


def test_an_equal_name_is_taken_before_others():
    assert match_names(["age"], ["AGE", "age"]) == {"age": "age"}
    assert match_names(["age", "AGE"], ["AGE", " Age"]) == {"AGE": "AGE", "age": " Age"}


@pytest.mark.parametrize(
    ("wanted", "there"),
    [(["age"], ["Age", "AGE"]), (["age", "Age"], ["AGE"]), (["age"], ["ages"]), (["a ge"], ["age"])],
)
def test_names_that_could_mean_several_columns_match_none(wanted, there):
    assert match_names(wanted, there) == {}


@given(NAMES, NAMES)
def test_each_name_stands_for_one_column_at_most(wanted, there):
    found = match_names(wanted, there)
    assert set(found) <= set(wanted)
    assert len(set(found.values())) == len(found)
    assert {name for name in wanted if name in there} <= {name for name, other in found.items() if name == other}


def test_the_closest_name_is_found_without_case():
    assert close_name("Incom", ["AGE", "INCOME"]) == "INCOME"
    assert close_name("income", ["age", "sex"]) is None


@pytest.mark.parametrize("entry", [{}, {"ids": [1], "dropped": [], "normal": [], "label": None, "anomalous": None}])
def test_an_entry_that_is_none_is_refused(entry):
    with pytest.raises((LookupError, TypeError)):
        ColumnRoles.of(entry)
