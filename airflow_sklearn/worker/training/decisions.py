"""How a classifier learns rare classes, gives probabilities and decides, as a job asks for it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_sklearn.contract.model import PresetEstimator
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.calibration import FOLDS, calibrated, check_calibration
from airflow_sklearn.models.imbalance import with_balanced_classes
from airflow_sklearn.models.search import make_search
from airflow_sklearn.models.threshold import fixed_threshold, scores_of, with_threshold, with_tuned_threshold
from airflow_sklearn.models.validation import rows_of
from airflow_sklearn.worker.training.estimators import spec_of
from airflow_sklearn.worker.training.folds import inner_folds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.models.row_folds import RowFolds
    from airflow_sklearn.models.splits import Split
    from airflow_sklearn.worker.training.fitting import Validated
    from airflow_sklearn.worker.training.loading import TargetRows, TrainingData

_FEW_ROWS = 1000  # of those that a wrapper is shown


@dataclass(frozen=True)
class Unfitted:
    """An estimator that is to be fitted.

    :param estimator: the unfitted estimator.
    :param balanced: whether rows must be weighted so that each class counts the same.
    """

    estimator: Any
    balanced: bool = False


def as_asked(job: TrainJob, estimators: Mapping[str, Any], data: TrainingData) -> dict[str, Unfitted]:
    """The estimators with class weights, calibration and the search for parameters, as far as the job asks for them.

    :param estimators: the unfitted estimators by target. Those of numbers stay as they are.
    :raises UserError: the targets do not allow it; the message lists all faults.
    """
    _check_targets(job, data.targets, estimators)
    found = {}
    for name, estimator in estimators.items():
        balanced, has_classes = False, any(one.name == name and one.has_classes for one in data.targets)
        if has_classes:
            if job.class_weight:
                estimator, balanced = with_balanced_classes(estimator)
            if job.calibration:
                within = inner_folds(job, data.table, FOLDS, True, all_scored=True)
                estimator = calibrated(estimator, job.calibration, within)
        asked = job.parameter_search
        within = inner_folds(job, data.table, asked.cv, has_classes) if asked else None
        found[name] = Unfitted(searched(job, estimator, name, within), balanced)
    return found


def searched(job: TrainJob, estimator: Any, target: str, folds: RowFolds | None = None) -> Any:
    """The search over an estimator that the job asks for; the estimator itself if it asks for none.

    :param folds: the folds of the search; None: shuffled ones.
    :raises UserError: there is nothing to search, or no target.
    """
    if job.parameter_search is None:
        return estimator
    if not job.targets:
        raise UserError("search compares predictions with a target, and there is none. Fix: leave search out.")
    spec = spec_of(job.estimator, target)
    return make_search(estimator, job.parameter_search, spec.name if isinstance(spec, PresetEstimator) else None, folds)


def check_folds(job: TrainJob, table: pa.Table, target: TargetRows, splits: Sequence[Split]) -> None:
    """Check that calibration and search find enough rows, groups or moments of each class in all rows and in each fold.

    :param table: the training table.
    :raises UserError: a class is too rare, or there are too few groups or moments.
    """
    fitted = [np.arange(len(target.y)), *(split.train for split in splits)]
    calibrates = bool(job.calibration and target.has_classes)
    asked = [(FOLDS, True)] if calibrates else []
    asked += [(job.parameter_search.cv, False)] if job.parameter_search else []
    for rows in fitted:
        if calibrates:
            check_calibration(target.y[rows])
    for folds, all_scored in asked:
        within = inner_folds(job, table, folds, target.has_classes, all_scored=all_scored)
        if within is None:
            return
        for rows in fitted:
            with _saying_for("calibration" if all_scored else "search", folds):
                within.splits(target.rows[rows], target.y[rows])


@contextlib.contextmanager
def _saying_for(setting: str, folds: int) -> Iterator[None]:
    """Say in errors of folds whose folds they are."""
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{setting} fits in {folds} folds of its own, which keep to groups or time as the validation does. {error}"
        ) from None


def decided(
    job: TrainJob, estimator: Any, X: Any, y: Any, one: Validated | None, why: str = ""
) -> tuple[Any, float | None, Validated | None]:
    """The fitted estimator with the threshold that the job asks for.

    :param X: the rows that it was fitted on.
    :param y: their classes.
    :param one: the validation of the target; None: there is none.
    :param why: why there is none; empty: none was asked for.
    :return: the estimator, the threshold, and the validation with the classes that thresholds give.
    :raises UserError: the estimator has no scores, or there are none to tune the threshold on.
    """
    if job.threshold is None or len(getattr(estimator, "classes_", ())) != 2:
        return estimator, None, one
    if not any(hasattr(estimator, name) for name in ("predict_proba", "decision_function")):
        raise UserError(
            f"threshold={job.threshold!r}: {type(estimator).__name__} has neither probabilities nor decision values. "
            "Fix: leave threshold out, or use another estimator."
        )
    if one is None or scores_of(one.validation) is None:
        if isinstance(job.threshold, str):
            raise UserError(
                f"threshold={job.threshold!r} cannot be tuned, because {why or 'the folds have given no scores'}. Fix: "
                "give a number, or leave threshold out."
            )
        threshold = job.threshold
    else:
        y_scored = one.target.y[one.validation.rows]
        if isinstance(job.threshold, str):
            threshold, found = with_tuned_threshold(one.validation, y_scored, one.weight, job.threshold)
        else:
            threshold = job.threshold
            found = with_threshold(one.validation, threshold, y_scored, one.weight)
        one = replace(one, validation=found)
    few, few_y = _few_rows_of_both(X, y)
    return fixed_threshold(estimator, threshold, few, few_y), threshold, one


def _few_rows_of_both(X: Any, y: Any) -> tuple[Any, Any]:
    """Some rows, with both classes among them."""
    first = [int(np.flatnonzero(y == label)[0]) for label in np.unique(y)]
    rows = np.unique([*first, *range(min(len(y), _FEW_ROWS))])
    return rows_of(X, rows), y[rows]


def _check_targets(job: TrainJob, targets: Sequence[TargetRows], estimators: Mapping[str, Any]) -> None:
    faults = []
    asked = {"class_weight": job.class_weight, "calibration": job.calibration, "threshold": job.threshold}
    if not any(target.has_classes for target in targets):
        faults += [
            f"{name}={value!r} is for classes, and the estimator predicts numbers. Fix: leave it out."
            for name, value in asked.items()
            if value is not None
        ]
    counts = {target.name: len(set(target.y.tolist())) for target in targets if target.has_classes}
    if job.threshold is not None and counts and 2 not in counts.values():  # of several targets it is for those of two
        said = ", ".join(f"{name!r} has {count} classes" for name, count in counts.items())
        faults.append(
            f"threshold={job.threshold!r}: the target {said}, and a threshold decides between two. Fix: leave it out."
        )
    gives_probabilities = job.calibration or any(hasattr(one, "predict_proba") for one in estimators.values())
    if isinstance(job.threshold, float) and gives_probabilities and not 0 <= job.threshold <= 1:
        faults.append(f"threshold={job.threshold!r} is compared with probabilities. Fix: give a number from 0 to 1.")
    if isinstance(job.threshold, str) and not job.cross_validation:
        faults.append(
            f"threshold={job.threshold!r} is tuned on the rows of the validation, and there is none. Fix: validate, or "
            "give a number."
        )
    if faults:
        raise UserError(faults[0] if len(faults) == 1 else "".join(f"\n  - {fault}" for fault in faults))
