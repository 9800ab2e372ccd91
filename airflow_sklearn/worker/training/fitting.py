"""Fitting and validating the estimator of a job, here or in further containers."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sklearn.base import clone

from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.shown import told, values_shown
from airflow_sklearn.exceptions import AirflowSklearnError
from airflow_sklearn.models.calibration import without_rows
from airflow_sklearn.models.fitting import fit
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.search import results_of
from airflow_sklearn.models.several_targets import SeveralTargets
from airflow_sklearn.models.validation import Validation, cross_validate, rows_of, validate_fitted
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.training.decisions import check_folds, decided
from airflow_sklearn.worker.training.folds import make_folds
from airflow_sklearn.worker.training.held_out import load_held_out
from airflow_sklearn.worker.training.progress import telling_search_steps
from airflow_sklearn.worker.training.search import search_containers, searches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.search import SearchResults
    from airflow_sklearn.models.fitting import FitParams
    from airflow_sklearn.models.splits import Split
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.decisions import Unfitted
    from airflow_sklearn.worker.training.held_out import HeldOutData
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


@dataclass(frozen=True)
class FittedTarget:
    """What fitting has given for one target.

    :param rows: the target's values; None: the estimator has no target.
    :param estimator: the fitted estimator.
    :param threshold: the score from which the last of two classes is predicted; None: the estimator decides.
    :param validated: the validation; None: there was none, or it failed.
    :param search_results: what the search for parameters has found; None: there was none.
    :param seconds: the time of fitting on all rows.
    """

    rows: TargetRows | None
    estimator: Any
    threshold: float | None = None
    validated: Validated | None = None
    search_results: SearchResults | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Fitted:
    """What fitting has given.

    :param targets: the targets in their order.
    :param seconds: the time of fitting on all rows.
    :param not_made: what failed after fitting, with the reason. The model is kept without it.
    """

    targets: tuple[FittedTarget, ...]
    seconds: float
    not_made: dict[str, str] = field(default_factory=dict)

    @property
    def estimator(self) -> Any:
        """The fitted estimator; of several targets a ``SeveralTargets``."""
        if len(self.targets) == 1:
            return self.targets[0].estimator
        return SeveralTargets({one.rows.name: one.estimator for one in self.targets if one.rows})


def keeping_the_model(what: str, make: Callable[[], Any], not_made: dict[str, str]) -> Any:
    """Make a part of a version that the fitted model can do without. If that fails, a warning says so.

    :param what: the part, in words.
    :param not_made: receives the reason of a failure.
    :return: the part; None if it failed.
    :raises AirflowSklearnError: an error that a retry may not meet again.
    """
    try:
        return make()
    except Exception as error:
        if isinstance(error, AirflowSklearnError) and error.retryable:
            raise
        reason = str(error) if isinstance(error, AirflowSklearnError) else f"{type(error).__name__}: {error}"
        if values_shown():  # a traceback quotes values
            _LOG.info("The %s failed:", what, exc_info=True)
        not_made[what] = told(error, reason)
        warnings.warn(f"The model is kept, but without its {what}, which failed: {not_made[what]}", stacklevel=2)
        return None


def fit_and_validate(job: TrainJob, storage: Storage, unfitted: Mapping[str, Unfitted], data: TrainingData) -> Fitted:
    """Fit each target's estimator on all of its rows, and validate copies of it.

    What the validation needs is checked first, so that nothing is fitted in vain. If it fails later, the fitted model
    is kept.

    :param unfitted: the estimators by target; without a target, one by an empty name.
    :raises UserError: an estimator cannot be fitted on these rows, or they have too few rows for the validation.
    :raises DataError: the rows of another source do not fit the training data.
    """
    if not data.targets:
        return _fit_alone(job, unfitted[""].estimator, data)
    folds = [make_folds(job, data.table, target, target.has_classes) for target in data.targets]
    for target, splits in zip(data.targets, folds, strict=True):
        check_folds(job, data.table, target, splits)
    held_out = load_held_out(job, storage, data)
    frame, not_made = to_frame(data.table, data.features), dict[str, str]()
    held_frame = held_out and to_frame(held_out.table, data.features)
    fitted: list[FittedTarget] = []
    with _fitting(job, [one.estimator for one in unfitted.values()]):
        for number, (target, splits) in enumerate(zip(data.targets, folds, strict=True)):
            X, asked = _rows_with(target, frame), unfitted[target.name]
            params = replace(data.params, balanced=asked.balanced).of(target.rows)
            make = _cross_validation(job, asked.estimator, X, data, target, splits, params) if splits else None
            one = _fit_target(job, asked.estimator, X, target, params)
            if held_out:
                make = _held_out_validation(one.estimator, held_frame, held_out, number)
            part = "validation" if len(folds) == 1 else f"validation of {target.name!r}"
            validated = keeping_the_model(part, make, not_made) if make else None
            why = not_made.get(part, "")
            estimator, threshold, validated = decided(job, one.estimator, X, target.y, validated, why)
            fitted.append(replace(one, estimator=estimator, threshold=threshold, validated=validated))
    return Fitted(tuple(fitted), sum(one.seconds for one in fitted), not_made)


@contextlib.contextmanager
def _fitting(job: TrainJob, estimators: Sequence[Any]) -> Iterator[None]:
    """Within the context, user code may be fitted, here or in further containers; searches tell their steps."""
    with search_containers(job, estimators), users_code(), telling_search_steps(here=job.search is None):
        yield


def _fit_target(job: TrainJob, estimator: Any, X: Any, target: TargetRows, params: FitParams) -> FittedTarget:
    """Fit an estimator in place; of a search for parameters, the best one is kept."""
    started, found = time.monotonic(), None
    _LOG.info("Fitting %s for %r on %s", type(estimator).__name__, target.name, counted(len(target.y), "row"))
    fitted = fit(estimator, X, target.y, params)
    seconds = time.monotonic() - started
    _LOG.info("Fitted %s for %r in %.1f s", type(fitted).__name__, target.name, seconds)
    if job.parameter_search:
        found, fitted = results_of(fitted, target.name), fitted.best_estimator_
        _LOG.info("Best of %d combinations: %s", len(found.candidates), found.best_params)
    return FittedTarget(target, without_rows(fitted), seconds=seconds, search_results=found)


def _rows_with(target: TargetRows, frame: Any) -> Any:
    return frame if len(target.rows) == len(frame) else rows_of(frame, target.rows)


def _cross_validation(
    job: TrainJob,
    estimator: Any,
    X: Any,
    data: TrainingData,
    target: TargetRows,
    splits: list[Split],
    params: FitParams,
) -> Callable[[], Validated]:
    estimator = clone(estimator, safe=False)  # before it is fitted
    parallel = job.search is not None and not searches(estimator)  # else the fits of the search are spread

    def make() -> Validated:
        started = time.monotonic()
        found = cross_validate(estimator, X, target.y, splits, params, parallel=parallel)
        _LOG.info("%d-fold cross-validation in %.1f s: %s", len(splits), time.monotonic() - started, _shown(found))
        weight = params.sample_weight
        return Validated(data.table, target, found, None if weight is None else weight[found.rows])

    return make


def _fit_alone(job: TrainJob, estimator: Any, data: TrainingData) -> Fitted:
    """Fit an estimator that has no target, so that nothing can be compared with its predictions."""
    with _fitting(job, [estimator]):
        started = time.monotonic()
        fit(estimator, to_frame(data.table, data.features), None, data.params)
        seconds = time.monotonic() - started
    _LOG.info("Fitted %s in %.1f s, without a target and a validation", type(estimator).__name__, seconds)
    return Fitted((FittedTarget(None, estimator, seconds=seconds),), seconds)


def _held_out_validation(fitted: Any, frame: Any, held_out: HeldOutData, number: int) -> Callable[[], Validated]:
    def make() -> Validated:
        target = held_out.targets[number]
        weight = held_out.params.of(target.rows).sample_weight
        found = validate_fitted(fitted, _rows_with(target, frame), target.y, weight)
        _LOG.info("%s held-out rows: %s", f"{len(target.y):,}", _shown(found))
        return Validated(held_out.table, target, found, weight)

    return make


def _shown(found: Validation) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items() if value is not None)
