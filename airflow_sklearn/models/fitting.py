"""Fitting with sample weights and other parameters, and errors of an estimator's own code."""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from airflow_sklearn.contract.shown import shown_text
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np


@dataclass(frozen=True)
class FitParams:
    """What an estimator is fitted with beside the rows and the target.

    :param values: parameters of ``fit`` by name, each of shape (rows,). They reach the last step of a Pipeline.
    """

    values: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def sample_weight(self) -> np.ndarray | None:
        """The rows' weights, not negative; None: no weights."""
        return self.values.get("sample_weight")

    def of(self, rows: np.ndarray) -> FitParams:
        """The parameters of some rows.

        :param rows: the rows' numbers, of shape (rows,).
        """
        return replace(self, values={name: values[rows] for name, values in self.values.items()})


def fit(estimator: Any, X: Any, y: np.ndarray | None, params: FitParams | None = None) -> Any:
    """Fit an estimator in place, and return it.

    :param X: the result of ``estimator_input``, of shape (rows, features).
    :param y: shape (rows,); None: the estimator has no target.
    :param params: further parameters of ``fit``; None: there are none.
    :raises UserError: the estimator does not take a parameter, all columns are empty, or the estimator raises.
    """
    given = {_parameter(estimator, name): values for name, values in (params or FitParams()).values.items()}
    with asking(estimator, "fit"):
        try:
            return estimator.fit(X, y, **given)
        except ValueError as error:
            if "0 feature(s)" not in str(error):
                raise
            raise UserError(
                f"There is nothing to learn from: no column has a value in the {len(X):,} rows that are fitted, or all "
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


def _parameter(estimator: Any, wanted: str) -> str:
    """The name by which ``fit`` of an estimator hands a parameter to the final estimator in it."""
    if isinstance(estimator, Pipeline):
        name, final = estimator.steps[-1]
        return f"{name}__{_parameter(final, wanted)}"
    if isinstance(estimator, BaseSearchCV):
        return _parameter(estimator.estimator, wanted)
    if isinstance(estimator, TransformedTargetRegressor) and estimator.regressor is not None:
        return _parameter(estimator.regressor, wanted)
    parameters = inspect.signature(estimator.fit).parameters
    if wanted in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return wanted
    raise UserError(
        f"{type(estimator).__name__} takes no {wanted.replace('_', ' ')}s: leave {wanted} out, or use another."
    )
