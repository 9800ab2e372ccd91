"""A table or a query of Redshift as a source: its rows are unloaded into files once for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.datasets.base import Resolved, Source, WantedColumns
from airflow_sklearn.datasets.redshift.access import connect
from airflow_sklearn.datasets.redshift.contents import contents
from airflow_sklearn.datasets.redshift.types import arrow_type, feature_faults, unload_faults
from airflow_sklearn.datasets.redshift.unload import DEFAULT_FILE_SIZE, describe, unload
from airflow_sklearn.datasets.snapshots import delete_snapshot, find_snapshot, snapshot_folder
from airflow_sklearn.exceptions import RedshiftError, UserError

if TYPE_CHECKING:
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.tables import Snapshot, TableColumn, UnloadSource
    from airflow_sklearn.contract.will_score import ColumnContent
    from airflow_sklearn.datasets.base import Attempt
    from airflow_sklearn.runs.prediction import UnresolvedPlan

_CLASS_OF_NAMES_AND_RIGHTS = ("42", "3F")  # of SQLSTATE


class RedshiftSource(Source):
    """A table or a query whose rows are unloaded."""

    def __init__(self, document: UnloadSource) -> None:
        self._document = document
        self._described: tuple[TableColumn, ...] | None = None

    @property
    def name(self) -> str:
        """See ``Source.name``."""
        return self._document.name

    def check(self, attempt: Attempt, plan: UnresolvedPlan) -> list[str]:
        """See ``Source.check``. The columns are compared with the model's features."""
        name = self._document.name
        try:
            columns = self._columns(attempt)
        except RedshiftError as error:
            if not error.sqlstate.startswith(_CLASS_OF_NAMES_AND_RIGHTS):
                raise
            self._described = ()
            return [
                f"{name} cannot be read: {error}. Check the names (without a schema they are looked for in the "
                "user's search path), and that the user has USAGE on the schema and SELECT on the table"
            ]
        types = {column.name: column.arrow_type for column in plan.manifest.columns}
        return feature_faults(name, columns, plan.schema, plan.passthrough, plan.policies, types)

    def column_types(self, plan: UnresolvedPlan) -> dict[str, str]:
        """See ``Source.column_types``: the Arrow types that UNLOAD writes."""
        types = {column.name: arrow_type(column.type) for column in self._described or ()}
        return {name: kind for name, kind in types.items() if kind is not None}

    def resolve(self, attempt: Attempt, columns: WantedColumns, *, file_size: int | None = None) -> Resolved:
        """See ``Source.resolve``. The rows are unloaded."""
        folder, request = self._folder(attempt), ""
        if columns.with_others:
            request = columns.request_of(self._document.model_dump(mode="json"))
            if (found := find_snapshot(attempt.storage, folder)) is not None and found.request == request:
                return Resolved(found.files, found)
        there = self._columns(attempt)
        chosen = columns.chosen([column.name for column in there])
        wanted = [column for column in there if column.name in chosen]
        if columns.with_others:
            self._check_training(columns, there, wanted)
        snapshot = unload(
            connect(attempt, self._document.access),
            attempt.storage,
            self._document,
            wanted,
            folder=folder,
            attempt=str(attempt.identity.try_number),
            request=request,
            file_size=file_size or DEFAULT_FILE_SIZE,
        )
        return Resolved(snapshot.files, snapshot)

    def contents(self, attempt: Attempt) -> dict[str, ColumnContent]:
        """See ``Source.contents``. Redshift looks at all rows; none are unloaded."""
        return contents(connect(attempt, self._document.access), self._document, self._columns(attempt))

    def discard(self, attempt: Attempt, snapshot: Snapshot | None, *, served: str) -> None:
        """See ``Source.discard``."""
        delete_snapshot(attempt.storage, snapshot, folder=self._folder(attempt), served=served)

    def emptiness(self, plan: Plan) -> str:
        """See ``Source.emptiness``."""
        if plan.snapshot is None or plan.snapshot.rows:
            return ""
        return f"No rows were unloaded ({plan.snapshot.query}): the result will be empty."

    def _folder(self, attempt: Attempt) -> str:
        return snapshot_folder(self._document.staging, attempt.identity, attempt.clears)

    def _columns(self, attempt: Attempt) -> tuple[TableColumn, ...]:
        if self._described is None:
            self._described = describe(connect(attempt, self._document.access), self._document)
        return self._described

    def _check_training(
        self, columns: WantedColumns, there: tuple[TableColumn, ...], wanted: list[TableColumn]
    ) -> None:
        """Check that the table has all named columns, and that the wanted ones can be unloaded.

        :raises UserError: it has not, or they cannot; the message lists all faults.
        """
        name = self._document.name
        faults = [*columns.faults([column.name for column in there]), *unload_faults(name, wanted)]
        if faults:
            listed = "\n".join(f"  - {fault}" for fault in faults)
            raise UserError(f"{name} cannot be learned from as it is asked for:\n{listed}")
