"""Fitting with sample weights, and errors of an estimator's own code."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from airflow_sklearn.contract.shown import shown_text
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


def fit(estimator: Any, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
    """Fit an estimator in place, and return it.

    :param X: the result of ``estimator_input``, of shape (rows, features).
    :param y: shape (rows,).
    :param sample_weight: shape (rows,), not negative; passed to the last step of a Pipeline. None: no weights.
    :raises UserError: there are weights but the estimator takes none, all columns are empty, or the estimator raises.
    """
    weights = {} if sample_weight is None else {_weight_parameter(estimator): sample_weight}
    with asking(estimator, "fit"):
        try:
            return estimator.fit(X, y, **weights)
        except ValueError as error:
            if "0 feature(s)" not in str(error):
                raise
            raise UserError(
                f"There is nothing to learn from: no column has a value in the {len(y):,} rows that are fitted, or all "
                "that have are dates that never vary. Fix: give the model another column."
            ) from error


@contextlib.contextmanager
def asking(estimator: Any, method: str) -> Iterator[None]:
    """Turn errors that an estimator raises within the context into errors for its user.

    :param method: the estimator's method that is called, for the message.
    :raises UserError: the estimator raised; its own error is the cause.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{type(estimator).__name__}.{method} raised {type(error).__name__}: {shown_text(error)}"
        ) from error


def _weight_parameter(estimator: Any) -> str:
    if isinstance(estimator, Pipeline):
        name, final = estimator.steps[-1]
        return f"{name}__{_weight_parameter(final)}"
    if isinstance(estimator, BaseSearchCV):
        return _weight_parameter(estimator.estimator)
    if isinstance(estimator, TransformedTargetRegressor) and estimator.regressor is not None:
        return _weight_parameter(estimator.regressor)
    parameters = inspect.signature(estimator.fit).parameters
    if "sample_weight" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return "sample_weight"
    raise UserError(f"{type(estimator).__name__} takes no sample weights: leave sample_weight out, or use another.")
