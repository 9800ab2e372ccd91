from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import is_classifier
from sklearn.metrics import r2_score, roc_auc_score

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.presets import PRESETS, build_preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_learns_from_a_real_table(name: str, table: pa.Table, labels: np.ndarray) -> None:
    pipeline = build_preset(name)
    pipeline.fit(table.slice(0, 400), labels[:400])
    held = table.slice(400)
    if is_classifier(pipeline):
        assert roc_auc_score(labels[400:], pipeline.predict_proba(held)[:, 1]) > 0.85
    else:
        assert r2_score(labels[400:], pipeline.predict(held)) > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_fitting_twice_gives_the_same_model(name: str, table: pa.Table, labels: np.ndarray) -> None:
    first, second = (build_preset(name).fit(table, labels).predict(table) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_parameters_go_to_the_final_step() -> None:
    assert build_preset("sparse_logistic", {"C": 0.1})[-1].C == 0.1


def test_presets_are_built_anew() -> None:
    build_preset("sparse_logistic", {"C": 0.1})
    assert build_preset("sparse_logistic")[-1].C == 1.0


def test_an_unknown_preset_lists_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'sparse_logistic'.*hist_gradient_boosting_classifier"):
        build_preset("sparse_logistics")


def test_an_unknown_parameter_lists_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"'max_iters'.*Did you mean 'max_iter'.*'solver'"):
        build_preset("sparse_logistic", {"max_iters": 3})
