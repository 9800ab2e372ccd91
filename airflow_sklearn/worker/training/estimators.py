"""Making the unfitted estimator of a job: from a preset, a factory, or a stored object."""

from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING, Any

from sklearn import get_config, set_config
from sklearn.pipeline import Pipeline

from airflow_sklearn.contract.model import FactoryEstimator, PresetEstimator, SeveralEstimators
from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError
from airflow_sklearn.models.factories import load_factory, with_preprocessing
from airflow_sklearn.models.presets import build_preset
from airflow_sklearn.models.tasks import METHODS, needs_target, task_of
from airflow_sklearn.runs.estimator_objects import check_can_be_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.model import EstimatorSpec, OneEstimatorSpec, PickledEstimator
    from airflow_sklearn.storage import Storage


def make_estimator(storage: Storage, spec: OneEstimatorSpec) -> Any:
    """Make the estimator.

    :return: an unfitted estimator.
    :raises UserError: it cannot be made.
    """
    if isinstance(spec, PresetEstimator):
        estimator = build_preset(spec.name, spec.params)
    elif isinstance(spec, FactoryEstimator):
        estimator = load_factory(spec.path, spec.params)
    else:
        set_config(**{name: value for name, value in spec.sklearn_config.items() if name in get_config()})
        estimator = _unpickle(storage, spec)
    check_can_be_stored(estimator, "no module, but in the DAG file or the program that was run")
    return estimator


def make_estimators(job: TrainJob, storage: Storage) -> dict[str, Any]:
    """Make the estimators of a job with their preprocessing.

    :return: the unfitted estimators by target; without a target, one by an empty name.
    :raises UserError: one cannot be made, or does not fit the targets.
    """
    found = {}
    for name in job.targets or ("",):
        estimator = make_estimator(storage, spec_of(job.estimator, name))
        check_task(estimator, job.targets)
        found[name] = with_preprocessing(
            estimator,
            job.preprocessing,
            transformer=job.transformer and make_estimator(storage, job.transformer),
            params=job.preprocessing_params,
            unseen_level=job.policies.unseen_levels == "level",
        )
    return found


def spec_of(spec: EstimatorSpec, target: str) -> OneEstimatorSpec:
    """What a job says of the estimator of a target."""
    return spec.by_target[target] if isinstance(spec, SeveralEstimators) else spec


def check_task(estimator: Any, targets: Sequence[str]) -> None:
    """Check that an estimator predicts a target if there is one, and that it needs none if there is none.

    :param estimator: the unfitted estimator.
    :param targets: the columns to predict.
    :raises UserError: it does not, or does.
    """
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    name, task = type(final).__name__, task_of(estimator)
    usable = task is not None and (needs_target(task) or any(hasattr(estimator, name) for name in METHODS[task]))
    if not usable:
        raise UserError(
            f"{name} can be fitted, but then neither predict nor transform new rows. Fix: give an estimator that can "
            "(a KMeans instead of a DBSCAN, LocalOutlierFactor(novelty=True))."
        )
    if targets and not needs_target(task):
        raise UserError(
            f"{name} is neither a classifier nor a regressor in scikit-learn's sense (sklearn.base.is_classifier, "
            "is_regressor). Fix: give an estimator that predicts a target; or leave target out, to fit this one "
            "without."
        )
    if not targets and needs_target(task):
        raise UserError(f"{name} predicts a target, and none is given. Fix: name its column, target='churned'.")


def _unpickle(storage: Storage, spec: PickledEstimator) -> Any:
    data = storage.read(spec.uri)
    found = hashlib.sha256(data).hexdigest()
    if found != spec.sha256:
        raise BrokenEnvironmentError(
            f"{spec.uri} has the SHA-256 {found}, not {spec.sha256} as the operator stored it."
        )
    try:
        return pickle.loads(data)
    except Exception as error:
        raise UserError(
            f"The estimator object {spec.description} cannot be unpickled in the worker "
            f"({type(error).__name__}: {error}). "
            "Its classes must be importable there, in the same versions; or give it as 'package.module:factory'."
        ) from error
