"""Loading the rows of another source on which a model is validated."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.shown import shown
from airflow_sklearn.contract.validation import HeldOutRows
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.worker.data.training import read_table
from airflow_sklearn.worker.training.checks import value_type
from airflow_sklearn.worker.training.columns import used_columns
from airflow_sklearn.worker.training.loading import TargetRows, fit_params, target_rows, with_target

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.models.fitting import FitParams
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.loading import TrainingData

_LOG = logging.getLogger("airflow_sklearn.worker")


@dataclass(frozen=True)
class HeldOutData:
    """Rows that a model is scored on.

    :param table: the rows with a target.
    :param targets: the targets' values.
    :param params: the parameters of ``fit``, of which scoring uses the weights.
    """

    table: pa.Table
    targets: tuple[TargetRows, ...]
    params: FitParams


def load_held_out(job: TrainJob, storage: Storage, data: TrainingData) -> HeldOutData | None:
    """Read the rows of the other source, with the types of the training table.

    :return: None if the job validates in another way.
    :raises DataError: the source lacks columns, its values have other types, or no row has a target.
    :raises UserError: a row has a class that the training rows lack.
    """
    way = job.validation
    if not isinstance(way, HeldOutRows):
        return None
    problems = ProblemCollector()
    features = [feature.name for feature in data.features]
    roles = used_columns(job) - set(job.fit_params.values())
    named = [*features, *(name for name in data.table.column_names if name in roles and name not in features)]
    types = {name: str(value_type(data.table[name].type)) for name in named}
    known = {name: kind for name, kind in types.items() if kind != "null"}
    read = read_table(
        storage,
        way.source.model_copy(update={"types": {**known, **way.source.types}}),
        way.objects,
        expected={"validation": named},
        keys=job.primary_key,
        labels=[target.name for target in data.targets if target.has_classes],
        problems=problems,
    )
    problems.raise_if_any("The held-out rows cannot be read:")
    table = with_target(job.targets, read.table)
    if not table.num_rows:
        problems.add("too_few_rows", "no held-out row has a target", fix="check the source of HeldOut(...).")
    problems.raise_if_any("The held-out rows cannot be scored:")
    _LOG.info("Read %s to validate on.", counted(table.num_rows, "row"))
    targets = tuple(target_rows(table, one.name, one.has_classes, held_out=True) for one in data.targets)
    for trained, found in zip(data.targets, targets, strict=True):
        _check_classes(trained, found)
    return HeldOutData(table, targets, fit_params(job, table, only_weights=True))


def _check_classes(trained: TargetRows, found: TargetRows) -> None:
    """Check that the held-out rows have no classes that training lacks.

    :raises UserError: they have; the message says them with their rows.
    """
    new = sorted(set(found.y.tolist()) - set(trained.y.tolist()), key=str) if trained.has_classes else []
    if new:
        rows = {label: int(np.sum(found.y == label)) for label in new}
        raise UserError(
            f"HeldOut: the target {found.name!r} has classes that no training row has (class: rows): {shown(rows)}. "
            "Fix: correct them, or leave these rows out."
        )
