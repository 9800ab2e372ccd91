"""``sklearn_predict``: a whole prediction run as one task group, plan >> predict (mapped) >> commit."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from airflow_sklearn.airflow_compat import BaseOperator, TaskGroup
from airflow_sklearn.contract.arguments import check_duration, check_flag, check_names, check_seconds
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.base import argument_names, static_outlets
from airflow_sklearn.operators.commit import SklearnCommitOperator
from airflow_sklearn.operators.plan import SklearnPlanOperator
from airflow_sklearn.operators.predict import CHUNK_LABEL, SklearnPredictOperator
from airflow_sklearn.runtimes.registry import check_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow_sklearn.airflow_compat import XComArg
    from airflow_sklearn.contract.arguments import AskedMethod
    from airflow_sklearn.datasets.places import Readable, Writable
    from airflow_sklearn.runtimes.base import Runtime


NOT_GIVEN: Any = ...
"""Leaves an argument to ``default_args`` and the operators' defaults; None means something for some of them."""


_OWN = frozenset({"task_id", "group_id", "chunk", "runtime", "outlets", "task_group"})
"""What the tasks and the group get from ``sklearn_predict`` alone."""


class SklearnPredictGroup(TaskGroup):
    """The task group that ``sklearn_predict`` makes.

    ``output`` is the result of its last task; ``plan``, ``predict`` and ``commit`` are its tasks.
    """

    plan: SklearnPlanOperator
    predict: Any
    commit: SklearnCommitOperator

    @property
    def output(self) -> XComArg:
        """The result of the last task, ``commit``."""
        return self.commit.output


def sklearn_predict(
    group_id: str,
    *,
    model: str | Mapping[str, Any] | XComArg,
    source: Readable | str | Sequence[str] | Mapping[str, Any] | XComArg,
    destination: Writable | str | Mapping[str, Any],
    runtime: Runtime,
    partition: str = NOT_GIVEN,
    method: AskedMethod | str = NOT_GIVEN,
    outputs: str | Sequence[str] = NOT_GIVEN,
    targets: str | Sequence[str] = NOT_GIVEN,
    explain: int = NOT_GIVEN,
    primary_key: str | Sequence[str] | None = NOT_GIVEN,
    passthrough: str | Sequence[str] = NOT_GIVEN,
    chunk_size: float | str = NOT_GIVEN,
    max_chunks: int = NOT_GIVEN,
    policies: Mapping[str, str] | None = NOT_GIVEN,
    ledger: str | None = NOT_GIVEN,
    replace_newer: bool = NOT_GIVEN,
    aws_conn_id: str | None = NOT_GIVEN,
    deferrable: bool = NOT_GIVEN,
    poll_interval: float | None = NOT_GIVEN,
    deadline: timedelta | None = NOT_GIVEN,
    group_kwargs: Mapping[str, Any] | None = None,
    predict_kwargs: Mapping[str, Any] | None = None,
    **task_kwargs: Any,
) -> SklearnPredictGroup:
    """Predict a table of any size: one task plans, one task for each chunk predicts, one task publishes all or none.

    If a chunk fails, the group fails, and nothing is published. When it runs again, only missing chunks are computed.
    Arguments that are not given come from the DAG's ``default_args``, else from the operators' defaults.

    :param group_id: the id of the task group.
    :param model: a model's URI, a manifest's URI, or the ``output`` of a ``SklearnTrainOperator``.
    :param source: see ``SklearnPlanOperator``, also for ``destination``, ``partition``, ``method``, ``outputs``,
        ``targets``, ``explain``, ``primary_key``, ``passthrough``, ``chunk_size``, ``max_chunks``, ``policies`` and
        ``ledger``.
    :param runtime: where the chunks are predicted.
    :param replace_newer: let an older run, whose commit is cleared, replace the rows that a newer one has published.
    :param aws_conn_id: the Airflow connection for S3 and for the runtime.
    :param deferrable: wait in the triggerer, without a worker slot, for chunks and for statements of the Redshift Data
        API.
    :param poll_interval: seconds between two polls of a job; None: the runtime's.
    :param deadline: the longest time for one chunk; None: no limit.
    :param group_kwargs: further arguments of the ``TaskGroup``, such as ``tooltip``.
    :param predict_kwargs: further arguments of the mapped task only: ``pool``, ``max_active_tis_per_dagrun``.
    :param task_kwargs: further arguments of all three tasks, such as ``retries`` or ``queue``.
    :return: the task group. It can be chained (``train >> group``), and has ``output``.
    """
    own = frozenset(inspect.signature(sklearn_predict).parameters) - {"task_kwargs"}
    check_names("sklearn_predict", task_kwargs, own | argument_names(BaseOperator) - _OWN)
    further = argument_names(SklearnPredictOperator) - _OWN
    check_names("sklearn_predict(predict_kwargs=...)", predict_kwargs or {}, further)
    check_names("sklearn_predict(group_kwargs=...)", group_kwargs or {}, argument_names(TaskGroup) - _OWN)
    # Nothing else checks a mapped task's arguments before it runs.
    _check_chunks(group_id, runtime, **_given(deferrable=deferrable, poll_interval=poll_interval, deadline=deadline))
    common = _given(aws_conn_id=aws_conn_id, **task_kwargs)
    group = SklearnPredictGroup(group_id=group_id, **(group_kwargs or {}))
    with group:
        group.plan = SklearnPlanOperator(
            task_id="plan",
            model=cast("Any", model),  # an XComArg is resolved before the task runs
            source=cast("Any", source),
            destination=destination,
            runtime=runtime,
            **_given(
                deferrable=deferrable,
                partition=partition,
                method=method,
                outputs=outputs,
                targets=targets,
                explain=explain,
                primary_key=primary_key,
                passthrough=passthrough,
                chunk_size=chunk_size,
                max_chunks=max_chunks,
                policies=policies,
                ledger=ledger,
            ),
            **common,
        )
        group.predict = SklearnPredictOperator.partial(
            task_id="predict",
            runtime=runtime,
            **{
                "map_index_template": CHUNK_LABEL,
                **common,
                "sla": None,  # Airflow 2 refuses a DAG whose mapped task has one, for example from default_args
                **_given(deferrable=deferrable, poll_interval=poll_interval, deadline=deadline),
                **(predict_kwargs or {}),
            },
        ).expand(chunk=group.plan.output)
        group.commit = SklearnCommitOperator(
            task_id="commit",
            plan=cast("Any", group.plan.output),
            outlets=static_outlets(getattr(destination, "uri", destination)),
            **_given(deferrable=deferrable, replace_newer=replace_newer),
            **common,
        )
        group.predict >> group.commit
    return group


def _check_chunks(group_id: str, runtime: Any, **given: Any) -> None:
    checks = {"deferrable": check_flag, "poll_interval": check_seconds, "deadline": check_duration}
    try:
        check_runtime(runtime)
        for name, value in given.items():
            checks[name](name, value)
    except UserError as error:
        raise UserError(f"sklearn_predict, group {group_id!r}: {error}") from None


def _given(**arguments: Any) -> dict[str, Any]:
    """The arguments that the caller has given. The others are left out, so that the DAG's ``default_args`` apply."""
    return {name: value for name, value in arguments.items() if value is not NOT_GIVEN}
