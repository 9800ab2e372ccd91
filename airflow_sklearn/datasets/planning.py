"""Planning a prediction run over any source, into any destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.datasets.base import Attempt, WantedColumns
from airflow_sklearn.datasets.file_source import FileSource
from airflow_sklearn.datasets.registry import destination_of
from airflow_sklearn.runs.prediction import DEFAULT_CHUNK_SIZE, DEFAULT_MAX_CHUNKS, draft_plan, finish_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.data import OutputFiles, SourceFiles
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.planned import Planned
    from airflow_sklearn.datasets.base import Destination, Source
    from airflow_sklearn.runs.prediction import UnresolvedPlan
    from airflow_sklearn.storage import Storage


def plan_prediction(
    attempt: Attempt,
    source: Source,
    destination: Destination,
    *,
    partition: str,
    chunk_size: int,
    ledger: str | None = None,
    finish: dict[str, Any],
    **asked: Any,
) -> tuple[Plan, str]:
    """Compare the request with the model, the source and the destination; resolve the source; store the plan.

    :param partition: the result of ``Destination.partition``.
    :param chunk_size: the approximate bytes of source in a chunk.
    :param ledger: the folder for ledgers; None: the destination's default.
    :param finish: arguments of ``finish_plan``.
    :param asked: arguments of ``draft_plan``.
    :return: the plan, and its URI.
    :raises UserError: they do not fit; the message lists all differences.
    """
    plan = draft_plan(
        attempt.storage,
        destination=destination.document,
        partition=partition,
        ledger=ledger,
        faults=destination.request_faults(partition, ledger),
        **asked,
    )
    faults = [*source.check(attempt, plan), *destination.check(attempt, plan, source)]
    if not source.is_in_place:
        plan.check(faults)
    resolved = source.resolve(attempt, wanted_columns(plan), file_size=chunk_size)
    return finish_plan(
        attempt.storage,
        plan,
        resolved.files,
        snapshot=resolved.snapshot,
        table_columns=destination.output_columns(plan, source, resolved.snapshot),
        chunk_size=chunk_size,
        faults=[*faults, *destination.overlap_faults(resolved.files, partition)],
        **finish,
    )


def wanted_columns(plan: UnresolvedPlan) -> WantedColumns:
    """The columns that prediction reads: the key, the features, and the columns that are passed through."""
    schema = plan.schema
    return WantedColumns(
        {
            "feature": tuple(schema.feature_names),
            "primary_key": tuple(column.name for column in schema.primary_key),
            "passthrough": plan.passthrough,
        }
    )


def make_plan(
    storage: Storage,
    *,
    source: SourceFiles,
    destination: OutputFiles,
    partition: str,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    max_chunks: int = DEFAULT_MAX_CHUNKS,
    planned: Planned | None = None,
    look_at_columns: bool = True,
    trusted_types: Sequence[str] = (),
    **asked: Any,
) -> tuple[Plan, str]:
    """Plan a run over files into a folder, outside of Airflow.

    :param asked: arguments of ``plan_prediction``. The others are those of ``finish_plan``.
    :return: the plan, and its URI.
    """
    return plan_prediction(
        Attempt(storage, JobIdentity()),
        FileSource(source),
        destination_of(destination),
        partition=partition.strip("/"),
        chunk_size=chunk_size,
        finish={
            "max_chunks": max_chunks,
            "planned": planned,
            "look_at_columns": look_at_columns,
            "trusted_types": trusted_types,
        },
        **asked,
    )
