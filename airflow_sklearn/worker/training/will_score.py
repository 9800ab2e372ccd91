"""Checking the training table's columns before fitting: against the table that will be scored, and for columns that
give the target away.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.names import Names
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.leakage import SUSPICIOUS, tell_alone
from airflow_sklearn.worker.data.contents import contents_of
from airflow_sklearn.worker.training.checks import value_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_sklearn.contract.jobs import TrainJob
    from airflow_sklearn.contract.will_score import ScoredTable
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.loading import TargetRows

_LOG = logging.getLogger("airflow_sklearn.worker")

_FIX = (
    "correct the tables, or give will_score=WillScore(..., unfit_columns='exclude') to leave out all such columns, and "
    "keep=[{!r}] to learn from this one nevertheless."
)

_FIX_KEY = (
    "correct the tables, or name another key; WillScore(..., keep=[{!r}]) says that predictions will have a "
    "primary_key of their own."
)

_MEANT = {
    "constant": "it has the same value in all rows of the table that will be scored",
    "null": "it has no value in the table that will be scored",
}


def unfit_columns(
    job: TrainJob, storage: Storage, table: pa.Table, names: Sequence[str], targets: Sequence[TargetRows]
) -> dict[str, str]:
    """Find columns that should not be learned from, if the job asks for it.

    :param table: the training rows.
    :param names: the columns that would be learned from.
    :return: the columns to leave out, each with the reason. The log says them.
    :raises DataError: there are some, and the job does not leave them out, or the primary key is among them; the error
        carries all. Or the table that will be scored cannot be read.
    """
    if job.will_score is None:
        return {}
    judged, key = ([name for name in some if name not in job.will_score.keep] for some in (names, job.primary_key))
    found: dict[str, tuple[str, str]] = {}
    unlike = _unlike(job, storage, table.select([*judged, *key]))
    for column, kind, message in (*unlike, *_telling(table.select(judged), targets)):
        found.setdefault(column, (kind, message))
    problems = ProblemCollector()
    for column in [column for column in found if column in job.primary_key]:
        kind, message = found.pop(column)
        if kind != "constant_column" or len(job.primary_key) == 1:  # the other columns of a key may tell rows apart
            problems.add(kind, f"a column of the primary key: {message}", column=column, fix=_FIX_KEY.format(column))
    if job.will_score.unfit_columns == "error":
        for column, (kind, message) in found.items():
            problems.add(kind, message, column=column, fix=_FIX.format(column))
    problems.raise_if_any(f"Columns do not suit the table that will be scored ({job.will_score.name}):")
    for column, (_, message) in found.items():
        _LOG.warning("Not learned from: column %r: %s", column, message)
    return {column: message for column, (_, message) in found.items()}


def _unlike(job: TrainJob, storage: Storage, table: pa.Table) -> Iterator[tuple[str, str, str]]:
    """Columns that the table which will be scored lacks, or in which it holds nothing to tell rows apart by: column,
    kind and message.
    """
    scored = job.will_score
    if scored is None or not table.num_columns:
        return
    if scored.source is None:
        yield from _unlike_database(scored, table.column_names)
        return
    types = {name: value_type(kind) for name, kind in zip(table.column_names, table.schema.types, strict=True)}
    found = contents_of(
        storage, scored.source, scored.objects, {n: k for n, k in types.items() if not pa.types.is_null(k)}
    )
    if not found.rows:
        raise UserError(f"will_score: {scored.name} has no rows. Fix: name a table with rows as they will be scored.")
    for name, kind in types.items():
        if pa.types.is_null(kind):
            continue  # it has no value in training either, so that it is not used
        if name in found.missing:
            yield name, "missing_column", _lacking(name, found.extra)
        elif name in found.wrong and job.policies.wrong_types == "error":
            yield name, "wrong_type", f"in the table that will be scored, {found.wrong[name]}"
        elif (content := found.of(name)) != "various":
            yield name, f"{content}_column", _MEANT[content]


def _unlike_database(scored: ScoredTable, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    there = Names(scored.contents)
    for name in names:
        if (known := there.find(name)) is None:
            yield name, "missing_column", _lacking(name, scored.contents)
        elif (content := scored.contents[known]) != "various":
            yield name, f"{content}_column", _MEANT[content]


def _lacking(name: str, there: Iterable[str]) -> str:
    hint = suggestion(name, there)
    return f"the table that will be scored lacks it{f'.{hint}' if hint else ''}"


def _telling(table: pa.Table, targets: Sequence[TargetRows]) -> Iterator[tuple[str, str, str]]:
    """Columns that predict a target suspiciously well, each with kind and message."""
    for target in targets:
        rows = table if len(target.rows) == table.num_rows else table.take(pa.array(target.rows))
        measure = "AUC" if target.has_classes else "r2"
        for name, score in tell_alone(rows, target.y, target.has_classes).items():
            if score > SUSPICIOUS:
                yield (
                    name,
                    "suspicious_column",
                    f"it alone predicts the target {target.name!r} suspiciously well ({measure} {score:.4f}): is it "
                    "known before the target is?",
                )
