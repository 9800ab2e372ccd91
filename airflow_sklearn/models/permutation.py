"""Importances by permutation: how much worse held-out rows are predicted when a feature's values are permuted."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import is_classifier
from sklearn.inspection import permutation_importance

from airflow_sklearn.models.inspection import has_own_importances

_LOG = logging.getLogger(__name__)
_REPEATS = 3
_MOST_ROWS = 1_000
_MOST_VALUES = 100_000  # rows times features: wide tables are permuted on fewer rows
_FEWEST_ROWS = 20
_RANDOM_STATE = 42


@dataclass(frozen=True)
class Importances:
    """Importances by permutation.

    :param values: the mean loss of score by feature.
    :param scoring: the score.
    """

    values: dict[str, float]
    scoring: str


def permuted_importances(fitted: Any, X: Any, y: np.ndarray) -> Importances | None:
    """Permute each feature among held-out rows, three times, and compare the scores (Breiman 2001).

    At most 1,000 rows are used, fewer of wide tables. The score is the log loss where there are probabilities, else the
    accuracy; for numbers it is r2. If it fails, a warning says so: a validation does not fail because of it.

    :param fitted: an estimator that was not fitted on these rows.
    :param X: a DataFrame or an Arrow table of shape (rows, features).
    :param y: shape (rows,).
    :return: None if the estimator says itself how much features count, or there are too few rows.
    """
    if has_own_importances(fitted) or len(y) < _FEWEST_ROWS:
        return None
    X = X.to_pandas() if isinstance(X, pa.Table) else X
    count = min(len(y), _MOST_ROWS, max(_FEWEST_ROWS, _MOST_VALUES // max(1, X.shape[1])))
    rows = np.linspace(0, len(y) - 1, count).astype(int)
    scoring = "r2"
    if is_classifier(fitted):
        scoring = "neg_log_loss" if hasattr(fitted, "predict_proba") else "accuracy"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = permutation_importance(
                fitted, X.iloc[rows], y[rows], scoring=scoring, n_repeats=_REPEATS, random_state=_RANDOM_STATE, n_jobs=1
            )
    except Exception as error:
        warnings.warn(f"There are no importances by permutation: {type(error).__name__}: {error}", stacklevel=2)
        return None
    return Importances(dict(zip(map(str, X.columns), found.importances_mean.tolist(), strict=True)), scoring)
