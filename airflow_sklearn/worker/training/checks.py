"""Checks of a training table against what the job asks for. All faults are collected."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.validation import GroupFolds, TimeFolds
from airflow_sklearn.models.columns import kind_of
from airflow_sklearn.worker.data.types import in_words, is_nested, null_count
from airflow_sklearn.worker.training.columns import named_columns, not_learned_from

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import TrainJob, VersionJob
    from airflow_sklearn.contract.problem_collector import ProblemCollector


def check_unloaded(job: VersionJob, problems: ProblemCollector) -> None:
    """Collect a fault if a snapshot has no rows.

    A database writes no files for it, so that there are no columns to check.
    """
    if job.snapshot and not job.snapshot.rows:
        problems.add(
            "too_few_rows", "the query gave no rows", fix=f"check the table, and this query: {job.snapshot.query}"
        )


def check_snapshot(job: VersionJob, table: pa.Table, problems: ProblemCollector) -> None:
    """Collect a fault if the files of a snapshot hold another number of rows than were unloaded."""
    if job.snapshot and table.num_rows != job.snapshot.rows:
        problems.add(
            "changed_snapshot",
            f"the files hold {table.num_rows:,} rows, but {job.snapshot.rows:,} were unloaded into them "
            f"({job.snapshot.manifest_uri})",
            fix="somebody changed these files. Clear this task, so that the table is unloaded again.",
        )


def check_columns(job: TrainJob, table: pa.Table, problems: ProblemCollector) -> None:
    """Collect faults of the columns and their roles."""
    if not set(table.column_names) - not_learned_from(job):
        problems.add(
            "no_features",
            "no column is left to learn from: each is a target, in the primary key, a weight, a group or excluded",
            fix="exclude fewer columns, or read a source with more.",
        )
    for name in job.primary_key:
        if is_nested(kind := value_type(table[name].type)):
            problems.add(
                "wrong_type",
                f"a primary key cannot be of type {kind}",
                column=name,
                fix="name columns of numbers, strings, dates or bytes.",
            )
    others = {name for setting, names in named_columns(job).items() if setting != "target" for name in names}
    for name in job.targets:
        if name in others:
            problems.add(
                "conflicting_roles", "the target is named in another role as well", column=name, fix="name it once."
            )
    if isinstance(job.validation, TimeFolds):
        _check_time(job.validation, value_type(table[job.validation.column].type), problems)


def _check_time(validation: TimeFolds, kind: pa.DataType, problems: ProblemCollector) -> None:
    dates, numbers = kind_of(kind) == "datetime", kind_of(kind) == "numeric"
    if not dates and not numbers:
        problems.add(
            "wrong_type",
            f"TimeFolds needs dates or numbers, and the column holds {in_words(kind)}",
            column=validation.column,
            fix="name another column, or say what the text is: Dataset(..., types={...: 'timestamp[us]'}).",
        )
    elif validation.gap is not None and isinstance(validation.gap, timedelta) != dates:
        wanted = (
            "a timedelta, because the column holds dates" if dates else "a number, because the column holds numbers"
        )
        problems.add("wrong_type", f"gap={validation.gap} is not {wanted}", column=validation.column, fix="correct it.")


def check_rows(job: TrainJob, table: pa.Table, problems: ProblemCollector) -> None:
    """Collect faults of the rows that have a target: too few, keys that are null or repeated, weights."""
    if table.num_rows < 2:
        problems.add(
            "too_few_rows",
            f"{table.num_rows} rows{' with a target' if job.targets else ''}; at least 2 are needed",
            column=", ".join(job.targets) or None,
            fix="check the source.",
        )
    if isinstance(job.validation, GroupFolds | TimeFolds) and (nulls := null_count(table[job.validation.column])):
        what = "group" if isinstance(job.validation, GroupFolds) else "time"
        problems.add(
            f"null_{what}",
            f"rows without a {what}, so that they belong to no fold",
            column=job.validation.column,
            count=nulls,
            fix="fill the column in, or leave these rows out of the source.",
        )
    for name in job.primary_key:
        if nulls := null_count(table[name]):
            problems.add(
                "null_key",
                "rows without a primary key",
                column=name,
                count=nulls,
                fix="give every row a key. In CSV, an empty value is null, and NA and the like among numbers; "
                "null_values says it otherwise.",
            )
    if job.primary_key and job.policies.duplicate_keys == "error":
        repeated, times = _repeated_keys(table.select(list(job.primary_key)))
        if times:
            examples = [", ".join(map(str, row.values())) for row in repeated.slice(0, 5).to_pylist()]
            problems.add(
                "duplicate_key",
                "rows whose primary key occurred before",
                column=", ".join(job.primary_key),
                count=sum(times) - len(times),
                examples=examples,
                fix="remove them or choose a key that is unique; policies={'duplicate_keys': 'count'} lets them pass.",
            )
    if job.sample_weight:
        _check_weight(job.sample_weight, table[job.sample_weight], problems)


def _repeated_keys(keys: pa.Table) -> tuple[pa.Table, list[int]]:
    """The keys that occur more than once, each once, and how often each occurs."""
    by_place = keys.rename_columns([str(place) for place in range(keys.num_columns)])  # the columns may have any names
    groups = by_place.group_by(by_place.column_names).aggregate([([], "count_all")])
    groups = groups.filter(pc.greater(groups["count_all"], 1))
    return groups.select(by_place.column_names).rename_columns(keys.column_names), groups["count_all"].to_pylist()


def _check_weight(name: str, column: pa.ChunkedArray, problems: ProblemCollector) -> None:
    kind = value_type(column.type)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        problems.add(
            "wrong_type", f"sample weights must be numbers, not {kind}", column=name, fix="name a numeric column."
        )
        return
    values = column.cast(pa.float64())
    bad = pc.sum(pc.or_kleene(pc.fill_null(pc.less(values, 0), True), pc.is_nan(pc.fill_null(values, 0)))).as_py() or 0
    if bad:
        problems.add(
            "bad_weight",
            "sample weights that are null or negative",
            column=name,
            count=bad,
            fix="correct them in the source, or leave these rows out of it.",
        )


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, without dictionary encoding."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind
