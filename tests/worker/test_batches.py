"""What training finds out about calls of an estimator."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import with_preprocessing
from airflow_sklearn.models.outputs import shortest_row, usable_outputs
from airflow_sklearn.models.schema import learn_features, learn_target
from airflow_sklearn.worker.batches import Batches, learn_batches

ROWS = 300


def _table() -> pa.Table:
    random = np.random.default_rng(0)
    numbers = random.normal(size=(ROWS, 6))
    columns: dict[str, Any] = {f"x{i}": numbers[:, i] for i in range(6)}
    return pa.table({**columns, "city": [["Rome", "Oslo", "Bern"][i % 3] for i in range(ROWS)]})


def _learn(estimator: Any, *, text: bool = False) -> Batches:
    table = _table() if text else _table().drop_columns(["city"])
    y = np.arange(ROWS) % 2 if is_classifier(estimator) else np.arange(ROWS) * 0.5
    estimator.fit(table.to_pandas(), y)
    features = learn_features(table)
    target = learn_target(
        pa.chunked_array([y]), "y", hasattr(estimator, "classes_"), getattr(estimator, "classes_", ())
    )
    rows = table.take(list(range(0, ROWS, 5)))
    return learn_batches(estimator, rows, features, usable_outputs(estimator, target, rows, features), fit_seconds=0.1)


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), SVC()),
        with_preprocessing(RandomForestClassifier(5, random_state=0)),
    ],
    ids=["forest", "svm", "preset-like"],
)
def test_an_estimator_that_adds_up_row_by_row_takes_any_number_of_rows(estimator: Any) -> None:
    assert _learn(estimator).shape == "any"


def test_a_linear_model_on_sparse_rows_takes_any_number_of_rows() -> None:
    encoded = make_column_transformer((OneHotEncoder(), ["city"]), sparse_threshold=1.0)
    assert _learn(make_pipeline(encoded, LogisticRegression()), text=True).shape == "any"


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        Ridge(),
        MLPClassifier((20, 10), max_iter=3, random_state=0),
        KNeighborsClassifier(),
        make_pipeline(PCA(3), RandomForestClassifier(5, random_state=0)),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_that_multiplies_matrices_is_called_with_a_fixed_number_of_rows(estimator: Any) -> None:
    assert _learn(estimator).shape == "fixed"


def _centered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame - frame.mean()


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rank()


def _after_the_row_before(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.shift(1).fillna(0)


def _by_place(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(place=np.arange(len(frame)))


def _by_count(frame: pd.DataFrame) -> pd.DataFrame:
    return frame / len(frame)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_centered, r"The step 'functiontransformer' \(FunctionTransformer\) answers by the other rows of the batch"),
        (_ranked, r"The step 'functiontransformer' \(FunctionTransformer\) answers by the other rows of the batch"),
        (_after_the_row_before, "answers by the other rows of the batch"),
        (_by_place, "answers by the place of a row in the batch"),
        (_by_count, "answers by the number of rows in the batch"),
    ],
)
def test_an_estimator_whose_answer_depends_on_the_batch_is_refused(
    function: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        _learn(make_pipeline(FunctionTransformer(function), StandardScaler(), Ridge()))


def test_the_step_is_named_inside_of_wrappers_and_column_transformers() -> None:
    chosen = make_column_transformer((FunctionTransformer(_centered), ["x1", "x2"]), remainder="passthrough")
    search = GridSearchCV(make_pipeline(StandardScaler().set_output(transform="pandas"), chosen, Ridge()), {}, cv=2)
    with pytest.raises(UserError, match=r"'functiontransformer' .* in 'columntransformer'"):
        _learn(search)


class Noisy(RegressorMixin, BaseEstimator):
    def __init__(self, size: float = 1.0) -> None:
        self.size = size

    def fit(self, X: Any, y: Any) -> Noisy:
        self.calls_ = itertools.count(1)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.asarray(X)[:, 0] * (1 + self.size * next(self.calls_))


@pytest.mark.parametrize("estimator", [Noisy(), DummyClassifier(strategy="stratified")])
def test_an_estimator_that_answers_randomly_is_refused(estimator: Any) -> None:
    with pytest.raises(UserError, match="answers randomly"):
        _learn(estimator)


def test_numbers_drawn_from_a_seed_are_answers_by_the_place_of_a_row() -> None:
    with pytest.raises(UserError, match=r"of the batch|place of a row"):
        _learn(DummyClassifier(strategy="uniform", random_state=0))


class OnlyMany(RandomForestRegressor):
    def predict(self, X: Any) -> np.ndarray:
        if len(X) < 10:
            raise ValueError("too few rows")
        return super().predict(X)


def test_an_estimator_that_refuses_few_rows_gets_a_fixed_number_of_them() -> None:
    assert _learn(OnlyMany(5)).shape == "fixed"


class Slow(RegressorMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Slow:
        self.asked_: list[int] = []
        self.coef_ = np.full(X.shape[1], 0.1)
        return self

    def predict(self, X: Any) -> np.ndarray:
        self.asked_.append(len(X))
        np.linalg.svd(np.ones((20, 20)))
        for _ in range(len(X)):
            sum(range(3000))
        return np.asarray(X) @ self.coef_


def test_a_slow_estimator_gets_small_batches_and_is_not_asked_for_large_ones() -> None:
    estimator = Slow()
    assert _learn(estimator).rows < 16_384
    assert max(estimator.asked_) < 16_384


def test_the_shortest_row_is_the_one_with_the_shortest_texts_together() -> None:
    rows = pa.table({"a": ["long text", "x", None], "b": pa.array(["y", "yy", "also a long text"]).dictionary_encode()})
    assert shortest_row(rows).to_pylist() == [{"a": "x", "b": "yy"}]
