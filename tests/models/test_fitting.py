from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import with_preprocessing
from airflow_sklearn.models.fitting import FitParams, fit


@pytest.mark.parametrize(
    "estimator",
    [
        with_preprocessing(LogisticRegression(max_iter=500)),
        make_pipeline(with_preprocessing(LogisticRegression(max_iter=500))),
        GridSearchCV(with_preprocessing(LogisticRegression(max_iter=500)), {}, cv=2),
    ],
    ids=["pipeline", "nested", "search"],
)
def test_weights_reach_the_last_step(estimator: Any, table: pa.Table, labels: np.ndarray) -> None:
    if isinstance(estimator, GridSearchCV):
        table = table.to_pandas()  # a search cuts frames, not Arrow
    weights = np.where(labels, 20.0, 1.0)
    plain = fit(estimator, table, labels).predict(table).mean()
    weighted = fit(estimator, table, labels, FitParams({"sample_weight": weights})).predict(table).mean()
    assert weighted > plain + 0.1


def test_an_estimator_without_weights_is_named(table: pa.Table, labels: np.ndarray) -> None:
    with pytest.raises(UserError, match="KNeighborsClassifier takes no sample weights"):
        fit(
            with_preprocessing(KNeighborsClassifier()),
            table,
            labels,
            FitParams({"sample_weight": np.ones(len(labels))}),
        )


@pytest.mark.parametrize("estimator", [LogisticRegression(), HistGradientBoostingClassifier(max_iter=2)])
def test_columns_without_values_are_nothing_to_learn_from(estimator: Any) -> None:
    table = pa.table({"a": pa.nulls(4, pa.string()), "b": pa.nulls(4, pa.float64())})
    with pytest.warns(UserWarning, match="not used"), pytest.raises(UserError, match="nothing to learn from"):
        fit(with_preprocessing(estimator), table, np.array([0, 1, 0, 1]))


def test_weights_reach_the_pipeline_within_a_transformed_target(table: pa.Table, labels: np.ndarray) -> None:
    estimator = TransformedTargetRegressor(with_preprocessing(Ridge()))
    frame, y = table.to_pandas(), labels.astype(float)
    weighted = fit(estimator, frame, y, FitParams({"sample_weight": np.where(labels, 20.0, 1.0)})).predict(frame).mean()
    assert weighted > fit(estimator, frame, y).predict(frame).mean() + 0.1
