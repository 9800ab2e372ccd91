"""Estimator objects: what cannot be stored, and what no process changes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import types
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.estimator_objects import EstimatorObject, check_can_be_stored, description, digest


class Holds(ClassifierMixin, BaseEstimator):
    def __init__(self, what: Any = None) -> None:
        self.what = what


def _of_a_dag_file() -> type:
    """A class as Airflow makes it of a DAG file."""
    module = types.ModuleType("unusual_prefix_0a1b_scores")
    exec("class Ratio:\n    pass", module.__dict__)
    sys.modules[module.__name__] = module
    return module.Ratio  # type: ignore[no-any-return]


def test_a_lambda_is_named_with_its_place() -> None:
    estimator = make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression())
    with pytest.raises(UserError, match=r"Pipeline\.steps\[0\]\[1\]\.func is a lambda\. Fix: "):
        check_can_be_stored(estimator)


def test_a_class_of_the_dag_file_is_named_and_what_to_do() -> None:
    with pytest.raises(UserError, match=r"Holds\.what: `Ratio` is defined in your DAG file\. Fix: move it to a module"):
        check_can_be_stored(Holds(_of_a_dag_file()()))


def test_all_that_is_wrong_is_said_at_once() -> None:
    def local() -> None:
        pass

    with tempfile.TemporaryFile() as file, pytest.raises(UserError) as error:
        check_can_be_stored(VotingClassifier([("a", Holds(local)), ("b", Holds([threading.Lock(), {"x": file}]))]))
    text = str(error.value)
    assert "the function `local` is defined within a function" in text
    assert ".what[0] is a lock, which cannot be pickled" in text
    assert ".what[1]['x'] is a " in text


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(FunctionTransformer(load_iris), StandardScaler(), LogisticRegression()),
        RandomForestClassifier(random_state=np.random.RandomState(0)),
        Holds({"a": {1, 2}, "b": np.array(["x", None], dtype=object), "c": np.log, "d": [].append, "e": int}),
        RandomizedSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, random_state=np.random.default_rng(0)),
    ],
)
def test_what_can_be_stored_is_let_pass(estimator: Any) -> None:
    check_can_be_stored(estimator)


SHOW = """
import sys
import numpy as np
from scipy.stats import uniform
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from airflow_sklearn.runs.estimator_objects import description, digest
padding = [object() for _ in range(int(sys.argv[1]))]
words = {"alpha", "beta", "gamma", "delta", "epsilon"}
for estimator in (
    make_pipeline(FunctionTransformer(load_iris, kw_args={"a": words, "b": frozenset(words)}), LogisticRegression()),
    RandomForestClassifier(random_state=np.random.RandomState(0)),
    RandomizedSearchCV(LogisticRegression(), {"C": uniform(0, 1)}, random_state=np.random.default_rng(3)),
):
    print(digest(estimator), description(estimator))
"""


def test_digests_and_descriptions_are_the_same_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", SHOW, padding],
            env={"PYTHONHASHSEED": padding, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for padding in ("1", "5000")
    }
    assert len(found) == 1
    assert " at 0x" not in found.pop()


def test_other_parameters_have_another_digest() -> None:
    pairs = [
        (LogisticRegression(C=1.0), LogisticRegression(C=2.0)),
        (Holds({"a"}), Holds({"b"})),
        (Holds([1, 2]), Holds([2, 1])),
        (Holds(np.array([1.0])), Holds(np.array([2.0]))),
        (Holds(np.random.RandomState(0)), Holds(np.random.RandomState(1))),
        (Holds(np.log), Holds(np.exp)),
        (Holds(load_iris), Holds(check_can_be_stored)),
    ]
    for one, other in pairs:
        assert digest(one) != digest(other)


def test_the_description_names_what_was_set() -> None:
    assert description(EstimatorObject(LogisticRegression(C=0.5)).estimator) == "LogisticRegression(C=0.5)"
    assert repr(EstimatorObject(Holds({"b", "a"}))) == "Holds(what={'a', 'b'})"
