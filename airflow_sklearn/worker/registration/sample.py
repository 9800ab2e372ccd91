"""Reading the sample of a registration, and learning the features and the target from it and from the estimator."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sklearn.base import is_classifier

from airflow_sklearn.contract.faults import counted, suggestion
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.columns import kind_of
from airflow_sklearn.models.frames import accepts_arrow
from airflow_sklearn.models.schema import learn_features, learn_target
from airflow_sklearn.models.tasks import needs_target, task_of, untargeted
from airflow_sklearn.worker.data.training import read_table
from airflow_sklearn.worker.registration.fitted import load_signature
from airflow_sklearn.worker.training.checks import check_snapshot, check_unloaded, value_type
from airflow_sklearn.worker.training.description import LearnedTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.jobs import RegisterJob
    from airflow_sklearn.contract.schema import Target
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")
#: Types of MLflow's signatures, and the kinds of columns that they mean.
_SIGNED = {**dict.fromkeys(("integer", "long", "float", "double"), "numeric"), "string": "string"}
_SUMMARY = "The sample does not fit the model:"


def load_sample(job: RegisterJob, storage: Storage, estimator: Any) -> LearnedTable:
    """Read the sample, and learn its features in the order in which the estimator takes them.

    :param estimator: the fitted estimator.
    :raises DataError: the sample cannot be read, or lacks columns; the error carries all problems.
    :raises UserError: the estimator was fitted on another number of columns.
    """
    problems = ProblemCollector()
    check_unloaded(job, problems)
    problems.raise_if_any(_SUMMARY)
    read = read_table(
        storage,
        job.source,
        job.objects,
        exclude=set(job.excluded_columns) - {job.target, *job.primary_key},
        expected={
            "primary_key": job.primary_key,
            "features": job.features,
            "excluded_columns": job.excluded_columns,
            "expected": tuple(job.expected.values()),
        },
        keys=job.primary_key,
        labels=(job.target,) if is_classifier(estimator) else (),
        problems=problems,
    )
    table = read.table
    check_snapshot(job, table, problems)
    if not table.num_rows:
        problems.add("too_few_rows", "the sample has no rows", fix="give at least one row, better a few hundred.")
    signature = load_signature(job.estimator, storage)
    names = _feature_names(job, estimator, signature, table.column_names)
    _check_names(names, table.column_names, job, problems)
    _check_types(signature, table.select([name for name in names if name in table.column_names]), problems)
    problems.raise_if_any(_SUMMARY)
    _check_count(names, estimator, job)
    _LOG.info("Checking on %s with %s", counted(table.num_rows, "row"), counted(len(names), "feature"))
    if not job.primary_key:
        warnings.warn(
            "There is no primary_key: predictions will have nothing that says which row they belong to.", stacklevel=2
        )
    features = learn_features(table.select(names), as_pandas=not accepts_arrow(estimator))
    return LearnedTable(table, read.output_columns, features)


def target_of(job: RegisterJob, estimator: Any, sample: LearnedTable) -> Target:
    """The description of what the estimator predicts. Its type is that of the sample's column, if it has one.

    :raises UserError: the estimator predicts a target, and the job does not name it; or it predicts none.
    """
    classifier, task = is_classifier(estimator), task_of(estimator)
    if task is not None and not needs_target(task):
        if job.target:
            raise UserError(
                f"{type(estimator).__name__} predicts no target, and target={job.target!r} was given. Fix: leave it "
                "out; or excluded_columns, if the sample has such a column."
            )
        return untargeted(task)
    if not job.target:
        raise UserError(
            f"{type(estimator).__name__} predicts a target, whose name begins the names of the predictions. Fix: give "
            "target=..., such as target='churned'."
        )
    classes = np.asarray(estimator.classes_).tolist() if classifier else []
    there = job.target in sample.table.column_names
    column = sample.table[job.target] if there else pa.array(classes if classifier else [0.0])
    return learn_target(column, job.target, classifier, classes)


def _feature_names(job: RegisterJob, estimator: Any, signature: Mapping[str, str], there: Sequence[str]) -> list[str]:
    if job.features:
        return list(job.features)
    fitted_on = getattr(estimator, "feature_names_in_", None)
    if fitted_on is not None:
        return [str(name) for name in fitted_on]
    if signature and len(signature) == getattr(estimator, "n_features_in_", len(signature)):
        return list(signature)
    roles = {job.target, *job.primary_key, *job.excluded_columns, *job.expected.values()}
    return [name for name in there if name not in roles]


def _check_names(names: Sequence[str], there: Sequence[str], job: RegisterJob, problems: ProblemCollector) -> None:
    for name in names:
        if name not in there:
            problems.add(
                "missing_column",
                f"the model was fitted on it, and the sample has no such column.{suggestion(name, there)}",
                column=name,
                fix="add or rename the column in the sample.",
            )
    for name in sorted(set(names) & {*job.excluded_columns, *job.primary_key, job.target}):
        problems.add(
            "conflicting_roles",
            "a feature of the model, and named in another role as well",
            column=name,
            fix="leave it out of target, primary_key and excluded_columns.",
        )


def _check_types(signature: Mapping[str, str], table: pa.Table, problems: ProblemCollector) -> None:
    """Collect columns that hold text where the model's signature says numbers, or the reverse."""
    for name in table.column_names:
        said, kind = _SIGNED.get(signature.get(name, "")), kind_of(value_type(table[name].type))
        if said is not None and kind in _SIGNED.values() and said != kind:
            problems.add(
                "wrong_type",
                f"the signature of the model says {signature[name]}, and the sample has values of type "
                f"{value_type(table[name].type)}",
                column=name,
                fix="correct the sample, or say its type: Dataset(..., types={...}).",
            )


def _check_count(names: Sequence[str], estimator: Any, job: RegisterJob) -> None:
    count = getattr(estimator, "n_features_in_", len(names))
    if count != len(names):
        raise UserError(
            f"{type(estimator).__name__} was fitted on {counted(count, 'column')}, and there "
            f"{'is' if len(names) == 1 else 'are'} {len(names)}: {', '.join(names)}. Fix: name the columns in the "
            "order in which it was fitted, features=[...]"
            + ("." if job.features else ", or leave others out by excluded_columns=[...].")
        )
