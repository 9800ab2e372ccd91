"""Comparing a registered model's predictions with those from where it was fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.shown import shown
from airflow_sklearn.models.columns import decoded
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.as_read import as_read
from airflow_sklearn.worker.batches import Batches, relative_difference
from airflow_sklearn.worker.parity import TOLERANCE, predict_outputs

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import RegisterJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.worker.training.description import LearnedTable

_EXAMPLES = 3
_LEAST = 1e-6  # numbers below it are compared absolutely


def check_expected(job: RegisterJob, manifest: ModelManifest, estimator: Any, sample: LearnedTable) -> None:
    """Predict the whole sample, and compare.

    :param manifest: the manifest of the version that is being made.
    :param estimator: the estimator as prediction will load it.
    :raises DataError: predictions differ by more than rounding, or do not exist; the error carries all problems.
    """
    problems = ProblemCollector()
    outputs = {output.name: output for output in manifest.parity.outputs}
    for name in job.expected:
        if name not in outputs:
            problems.add(
                "missing_column",
                f"expected names it, and the model predicts {', '.join(outputs)}.{suggestion(name, outputs)}",
                column=name,
                fix="correct the name.",
            )
    problems.raise_if_any("The predictions cannot be compared:")
    methods = {outputs[name].method for name in job.expected}
    asked = [output for output in manifest.parity.outputs if output.method in methods]
    rows = as_read(sample.table, manifest.feature_schema)
    with users_code():
        found = predict_outputs(
            estimator, rows, manifest.feature_schema, asked, Batches(manifest.batch_rows, manifest.batch_shape)
        )
    answers = {output.name: values for output, values in zip(asked, found, strict=True)}
    for name, column in job.expected.items():
        here, there = answers[name], decoded(sample.table[column]).to_pylist()
        differ = [(x, y) for x, y in zip(there, here, strict=True) if not _same(x, y)]
        if differ:
            problems.add(
                "other_prediction",
                f"predictions that are not those in the column {column!r}",
                column=name,
                count=len(differ),
                examples=[f"{shown(y)} here, {shown(x)} there" for x, y in differ[:_EXAMPLES]],
                fix="register it with an image that has the packages that it was fitted with, and give the features "
                "as it was fitted on them: names, order, types and nulls.",
            )
    problems.raise_if_any("The model does not predict here what it predicted where it was fitted:")


def _same(there: Any, here: Any) -> bool:
    if there is None or isinstance(there, str) or isinstance(here, str):
        return there == here or (there is not None and str(there) == str(here))
    return relative_difference(float(there), float(here), _LEAST) <= TOLERANCE
