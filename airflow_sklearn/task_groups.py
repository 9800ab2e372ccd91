"""``sklearn_predict``: a whole prediction run as one task group, plan >> predict (mapped) >> commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import TaskGroup

from airflow_sklearn.operators.base import static_outlets
from airflow_sklearn.operators.commit import SklearnCommitOperator
from airflow_sklearn.operators.plan import SklearnPlanOperator
from airflow_sklearn.operators.predict import CHUNK_LABEL, SklearnPredictOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import XComArg

    from airflow_sklearn.datasets import Destination, Source
    from airflow_sklearn.runtimes.base import Runtime


class SklearnPredictGroup(TaskGroup):
    """The task group that ``sklearn_predict`` makes.

    ``output`` is what its last task, ``commit``, returns; ``plan``, ``predict`` and ``commit`` are its tasks.
    """

    plan: SklearnPlanOperator
    predict: Any
    commit: SklearnCommitOperator

    @property
    def output(self) -> XComArg:
        return self.commit.output


def sklearn_predict(
    group_id: str,
    *,
    model: str | Mapping[str, Any] | XComArg,
    source: Source | str | Sequence[str] | Mapping[str, Any] | XComArg,
    destination: Destination | str | Mapping[str, Any],
    runtime: Runtime,
    partition: str = "",
    method: str = "auto",
    passthrough: Sequence[str] = (),
    chunk_size: int | str = "64MB",
    max_chunks: int = 256,
    policies: Mapping[str, str] | None = None,
    ledger: str | None = None,
    aws_conn_id: str | None = "aws_default",
    deferrable: bool | None = None,
    poll_interval: float | None = None,
    deadline: timedelta | None = None,
    group_kwargs: Mapping[str, Any] | None = None,
    predict_kwargs: Mapping[str, Any] | None = None,
    **task_kwargs: Any,
) -> SklearnPredictGroup:
    """Predict a table of any size: one task plans, one task a chunk predicts, one task publishes all or nothing.

    A chunk that fails fails the group, and nothing is published. Run again, only what is missing is computed.

    :param group_id: the id of the task group.
    :param model: a model's URI, a manifest's URI, or the ``output`` of a ``SklearnTrainOperator``.
    :param source: see ``SklearnPlanOperator``; as are ``destination``, ``partition``, ``method``, ``passthrough``,
        ``chunk_size``, ``max_chunks``, ``policies`` and ``ledger``.
    :param runtime: where the chunks are predicted.
    :param aws_conn_id: the Airflow connection for S3 and for the runtime.
    :param deferrable: wait for chunks in the triggerer; default: Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds between looks at a job; default: the runtime's.
    :param deadline: the longest that one chunk may take; default: that of ``SklearnPredictOperator``.
    :param group_kwargs: further arguments of the ``TaskGroup``, such as ``tooltip``.
    :param predict_kwargs: further arguments of the mapped task alone: ``pool``, ``max_active_tis_per_dagrun``.
    :param task_kwargs: further arguments of all three tasks, such as ``retries`` or ``queue``.
    :return: the task group: it can be chained (``train >> group``), and has ``output``.
    """
    common = {"aws_conn_id": aws_conn_id, **task_kwargs}
    waiting = {"deferrable": deferrable, "poll_interval": poll_interval, "deadline": deadline}
    group = SklearnPredictGroup(group_id=group_id, **(group_kwargs or {}))
    with group:
        group.plan = SklearnPlanOperator(
            task_id="plan",
            model=cast("Any", model),  # an XComArg is resolved before the task runs
            source=cast("Any", source),
            destination=destination,
            partition=partition,
            method=method,
            passthrough=passthrough,
            chunk_size=chunk_size,
            max_chunks=max_chunks,
            policies=policies,
            ledger=ledger,
            **common,
        )
        group.predict = SklearnPredictOperator.partial(
            task_id="predict",
            runtime=runtime,
            **{
                "map_index_template": CHUNK_LABEL,
                **common,
                **{name: value for name, value in waiting.items() if value is not None},
                **(predict_kwargs or {}),
            },
        ).expand(chunk=group.plan.output)
        group.commit = SklearnCommitOperator(
            task_id="commit",
            plan=cast("Any", group.plan.output),
            outlets=static_outlets(getattr(destination, "uri", destination)),
            **common,
        )
        group.predict >> group.commit
    return group
