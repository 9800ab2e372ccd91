"""Calibrated probabilities: a wrapper that learns them from rows that its estimator was not fitted on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold

from airflow_sklearn.contract.shown import shown
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.row_folds import RowFolds
from airflow_sklearn.models.splits import RANDOM_STATE

if TYPE_CHECKING:
    import numpy as np

#: The folds whose predictions the calibration is learned from.
FOLDS = 5
_NEWEST_METHOD, _ITS_VERSION = "temperature", (1, 8)


def calibrated(estimator: Any, method: str, folds: Any = None) -> CalibratedClassifierCV:
    """An estimator whose probabilities are calibrated on the predictions of five folds.

    The estimator itself is fitted on all rows, once more than there are folds. See Niculescu-Mizil and Caruana,
    "Predicting good probabilities with supervised learning" (2005).

    :param method: ``sigmoid``, ``isotonic`` or ``temperature``.
    :param folds: a splitter; None: shuffled and stratified ones.
    :raises UserError: the installed scikit-learn does not have the method.
    """
    version = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
    if method == _NEWEST_METHOD and version < _ITS_VERSION:
        raise UserError(
            f"calibration={method!r} needs scikit-learn 1.8 or newer, and the worker has {sklearn.__version__}. Fix: "
            "use 'sigmoid' or 'isotonic', or an image with a newer one."
        )
    return CalibratedClassifierCV(estimator, method=method, cv=folds or _shuffled(), ensemble=False)


def without_rows(estimator: Any) -> Any:
    """A fitted estimator, which no longer knows the groups or times of the rows that it was calibrated on."""
    if isinstance(estimator, CalibratedClassifierCV) and isinstance(estimator.cv, RowFolds):
        estimator.cv = _shuffled()
    return estimator


def _shuffled() -> StratifiedKFold:
    return StratifiedKFold(FOLDS, shuffle=True, random_state=RANDOM_STATE)


def check_calibration(y: np.ndarray) -> None:
    """Check that all classes have rows in each fold.

    :param y: the classes that are fitted on, of shape (rows,).
    :raises UserError: a class is too rare; the message says the classes with their rows.
    """
    if rare := {label: count for label, count in Counter(y.tolist()).items() if count < FOLDS}:
        raise UserError(
            f"calibration needs {FOLDS} rows of each class to fit on, in each fold of the validation too (class: "
            f"rows): {shown(rare)}. Fix: leave calibration out, or merge or drop these classes."
        )
