"""Validating and fitting the estimator of a job, here or in further containers."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sklearn.base import is_classifier

from airflow_sklearn.models.fitting import fit
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.validation import Validation, cross_validate, validate_fitted
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.training.folds import make_folds
from airflow_sklearn.worker.training.held_out import load_held_out
from airflow_sklearn.worker.training.search import search_containers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.models.fitting import FitParams
    from airflow_sklearn.models.splits import Split
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.loading import TargetRows, TrainingData

_LOG = logging.getLogger("airflow_sklearn.worker")


@dataclass(frozen=True)
class Validated:
    """The validation of a target.

    :param table: the table with the scored rows.
    :param target: the target's values in this table.
    :param validation: the scores. The numbers of rows are those among the target's rows.
    :param weight: the weights of the scored rows, of shape (scored,); None: no weights.
    """

    table: pa.Table
    target: TargetRows
    validation: Validation
    weight: np.ndarray | None

    @property
    def scored_rows(self) -> np.ndarray:
        """The numbers of the table's rows that are scored."""
        return self.target.rows[self.validation.rows]


def _validated(table: pa.Table, target: TargetRows, validation: Validation, params: FitParams) -> Validated:
    """:param params: the parameters of ``fit`` for all rows of the table."""
    weight = params.sample_weight
    return Validated(table, target, validation, None if weight is None else weight[target.rows[validation.rows]])


@dataclass(frozen=True)
class Fitted:
    """What fitting has given.

    :param estimator: the fitted estimator.
    :param validated: the validation of each target; empty: there was none.
    :param seconds: the time of fitting on all rows.
    """

    estimator: Any
    validated: tuple[Validated, ...]
    seconds: float


def fit_and_validate(job: TrainJob, storage: Storage, estimator: Any, data: TrainingData) -> Fitted:
    """Fit the estimator in place on all rows, and validate copies of it.

    What the validation needs is checked first, so that nothing is fitted in vain.

    :raises UserError: the estimator cannot be fitted or validated on these rows.
    :raises DataError: the rows of another source do not fit the training data.
    """
    if not data.targets:
        return _fit_alone(job, estimator, data)
    target = data.targets[0]
    splits = make_folds(job, data.table, target, is_classifier(estimator))
    held_out = load_held_out(job, storage, data)
    frame = to_frame(data.table, data.features)
    with search_containers(job, estimator), users_code():
        started = time.monotonic()
        fit(estimator, frame, target.y, data.params)
        seconds = time.monotonic() - started
        _LOG.info("Fitted %s in %.1f s", type(estimator).__name__, seconds)
        validated = []
        if splits:
            found = _cross_validate(estimator, frame, data, target, splits)
            validated.append(_validated(data.table, target, found, data.params))
        elif held_out:
            frame = to_frame(held_out.table, data.features)
            there = held_out.targets[0]
            found = validate_fitted(estimator, frame, there.y, held_out.params.sample_weight)
            _LOG.info("%s held-out rows: %s", f"{len(there.y):,}", _shown(found))
            validated.append(_validated(held_out.table, there, found, held_out.params))
    return Fitted(estimator, tuple(validated), seconds)


def _fit_alone(job: TrainJob, estimator: Any, data: TrainingData) -> Fitted:
    """Fit an estimator that has no target, so that nothing can be compared with its predictions."""
    with search_containers(job, estimator), users_code():
        started = time.monotonic()
        fit(estimator, to_frame(data.table, data.features), None, data.params)
        seconds = time.monotonic() - started
    _LOG.info("Fitted %s in %.1f s, without a target and a validation", type(estimator).__name__, seconds)
    return Fitted(estimator, (), seconds)


def _cross_validate(
    estimator: Any, frame: Any, data: TrainingData, target: TargetRows, splits: list[Split]
) -> Validation:
    started = time.monotonic()
    found = cross_validate(estimator, frame, target.y, splits, data.params)
    _LOG.info("%d-fold cross-validation in %.1f s: %s", len(splits), time.monotonic() - started, _shown(found))
    return found


def _shown(found: Validation) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items() if value is not None)
