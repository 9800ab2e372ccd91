"""Fitting with sample weights and other parameters, and errors of an estimator's own code."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.shown import shown_text
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.imbalance import balanced_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

#: What scikit-learn says of a matrix, or a frame, without columns.
_NO_COLUMNS = ("0 feature(s)", "at least one array or dtype is required")


@dataclass(frozen=True)
class FitParams:
    """What an estimator is fitted with beside the rows and the target.

    :param values: parameters of ``fit`` by name, each of shape (rows,). They reach the last step of a Pipeline.
    :param balanced: whether rows are weighted in fitting so that each class counts the same.
    """

    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    balanced: bool = False

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
    params = params or FitParams()
    values = dict(params.values)
    if params.balanced and y is not None:
        values["sample_weight"] = balanced_weights(y, params.sample_weight)
    names = {name: _parameters(estimator, name, for_classes=params.balanced) for name in values}
    given = {inner: values[name] for name, inners in names.items() for inner in inners}
    with asking(estimator, "fit"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Since .* does not appear to accept sample_weight")  # it gets them by name
        try:
            return estimator.fit(X, y, **given)
        except ValueError as error:
            if not any(text in str(error) for text in _NO_COLUMNS):
                raise
            raise UserError(
                f"There is nothing to learn from: no column has a value in the {len(X):,} rows that are fitted, or all "
                "that have never vary. Fix: give the model another column."
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
        listed = type(error).__name__ == "InvalidParameterError" and "Got [" in str(error)
        hint = " Fix: values to choose from belong in search={'name': [...]}." if listed else ""
        raise UserError(
            f"{type(estimator).__name__}.{method} raised {type(error).__name__}: {shown_text(error)}{hint}"
        ) from error


def _parameters(estimator: Any, wanted: str, *, for_classes: bool = False) -> list[str]:
    """The names by which ``fit`` of an estimator hands a parameter to the final estimator in it.

    :param for_classes: the parameter is the weights that make classes count the same, for the message.
    :raises UserError: the final estimator takes no such parameter.
    """
    if isinstance(estimator, Pipeline):
        name, final = estimator.steps[-1]
        return [f"{name}__{inner}" for inner in _parameters(final, wanted, for_classes=for_classes)]
    if isinstance(estimator, BaseSearchCV):
        return _parameters(estimator.estimator, wanted, for_classes=for_classes)
    if isinstance(estimator, TransformedTargetRegressor) and estimator.regressor is not None:
        return _parameters(estimator.regressor, wanted)
    if isinstance(estimator, CalibratedClassifierCV) and estimator.estimator is not None:
        own = ["sample_weight"] if wanted == "sample_weight" else []  # the calibration's own
        return [*own, *_parameters(estimator.estimator, wanted, for_classes=for_classes)]
    parameters = inspect.signature(estimator.fit).parameters
    if wanted in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return [wanted]
    name = type(estimator).__name__
    if for_classes:
        raise UserError(f"{name} has no class_weight and takes no sample weights: leave class_weight out.")
    if wanted == "sample_weight":
        raise UserError(f"{name} takes no sample weights: leave sample_weight out, or use another.")
    known = [one for one in parameters if one not in ("X", "y")]
    takes = f"It takes {', '.join(known)}." if known else "It takes none."
    raise UserError(f"fit_params: {name}.fit takes no {wanted!r}.{suggestion(wanted, known)} {takes}")
