"""What a prediction run needs of a table, and what it will put into one, compared before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.tables import OutputTable, UnloadSource
from airflow_sklearn.datasets.redshift.publish import destination_faults
from airflow_sklearn.datasets.redshift.sql import inline
from airflow_sklearn.datasets.redshift.types import arrow_type, feature_faults, output_column
from airflow_sklearn.datasets.redshift.unload import describe, unload, unload_folder
from airflow_sklearn.exceptions import RedshiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.contract.tables import OutputColumnSpec, RedshiftAccess, Snapshot, TableColumn
    from airflow_sklearn.datasets.redshift.database import Database
    from airflow_sklearn.runs.prediction import Draft
    from airflow_sklearn.storage import Storage


_CLASS_OF_NAMES_AND_RIGHTS = ("42", "3F")  # of SQLSTATE


class TableRun:
    """A prediction run whose source, destination, or both may be tables. Of files alone it does nothing.

    :param source: what is predicted.
    :param database: opens a database.
    """

    def __init__(
        self, draft: Draft, source: SourceFiles | UnloadSource, database: Callable[[RedshiftAccess], Database]
    ) -> None:
        self._draft, self._source, self._database = draft, source, database
        self._columns: tuple[TableColumn, ...] = ()

    def check(self) -> None:
        """Compare the model with the tables, before anything is unloaded.

        :raises UserError: they do not fit; all differences are named.
        """
        draft, faults = self._draft, list[str]()
        schema = draft.manifest.feature_schema
        if isinstance(self._source, UnloadSource):
            faults += self._source_faults(self._source)
        if isinstance(draft.destination, OutputTable):
            columns, unknown = self._outputs(())
            faults += unknown
            key = tuple(column.name for column in schema.primary_key)
            faults += destination_faults(self._database(draft.destination.access), draft.destination, columns, key)
        draft.check(faults)

    def _source_faults(self, source: UnloadSource) -> list[str]:
        draft = self._draft
        try:
            self._columns = describe(self._database(source.access), source)
        except RedshiftError as error:
            if not error.sqlstate.startswith(_CLASS_OF_NAMES_AND_RIGHTS):
                raise
            return [
                f"{source.name} cannot be read: {error}. Check the names (without a schema they are looked for in the "
                "user's search path), and that the user has USAGE on the schema and SELECT on the table"
            ]
        types = {column.name: column.arrow_type for column in draft.manifest.columns}
        return feature_faults(
            source.name, self._columns, draft.manifest.feature_schema, draft.passthrough, draft.policies, types
        )

    def unload(self, storage: Storage, identity: JobIdentity, clears: int, chunk_size: int) -> Snapshot | None:
        """Unload what prediction reads of the table: the key, the features, what is carried."""
        if not isinstance(self._source, UnloadSource):
            return None
        schema = self._draft.manifest.feature_schema
        needed = {*schema.feature_names, *(column.name for column in schema.primary_key), *self._draft.passthrough}
        return unload(
            self._database(self._source.access),
            storage,
            self._source,
            [column for column in self._columns if column.name in needed],
            folder=unload_folder(self._source, identity, clears),
            attempt=str(identity.try_number),
            file_size=chunk_size,
        )

    def output_columns(self, snapshot: Snapshot | None) -> tuple[OutputColumnSpec, ...]:
        """The columns of the parts, for a destination that is a table; a carried column is created with the type that
        it has in its own table."""
        if not isinstance(self._draft.destination, OutputTable):
            return ()
        return self._outputs(snapshot.columns if snapshot else ())[0]

    def _outputs(self, unloaded: Sequence[TableColumn]) -> tuple[tuple[OutputColumnSpec, ...], list[str]]:
        """The columns of the parts, and why some cannot be loaded."""
        draft, faults = self._draft, []
        carried, hints = self._carried_types(), {column.name: column.type for column in unloaded}
        wanted = {column.name: column.arrow_type for column in draft.manifest.feature_schema.primary_key}
        for name in draft.passthrough:
            if name in carried:
                wanted[name] = carried[name]
            elif not isinstance(self._source, UnloadSource):  # what a table lacks has been named
                faults.append(
                    f"the type of the passthrough column {name!r} is not known before the files are read: say it, "
                    f"Dataset(..., types={{{name!r}: 'string'}})"
                )
        wanted |= {column.name: column.arrow_type for column in draft.outputs}
        columns = []
        for name, kind in wanted.items():
            column = output_column(name, kind, type=hints.get(name, ""))
            if column is None:
                faults.append(
                    f"the column {name!r} is of type {kind}, which no column of Redshift can hold: leave it out of "
                    "passthrough, or give it another type in the source"
                )
            else:
                columns.append(column)
        return tuple(columns), faults

    def _carried_types(self) -> dict[str, str]:
        """Arrow types of the source's columns, as far as they are known before it is read."""
        if isinstance(self._source, UnloadSource):
            types = {column.name: arrow_type(column.type) for column in self._columns}
            return {name: kind for name, kind in types.items() if kind is not None}
        trained = {column.name: column.arrow_type for column in self._draft.manifest.columns}
        return {**trained, **self._source.types}


def whose_rows(destination: OutputTable, given: str, run_id: str) -> str:
    """Which rows of a table a run publishes, as a text: what says that a second run is of the same rows.

    :param given: the operator's ``partition``.
    """
    if given:
        return given
    if destination.partition:
        return ", ".join(f"{name}={value}" for name, value in sorted(destination.partition.items()))
    if destination.where:
        return f"where {inline(destination.where, destination.parameters)}"
    return run_id if destination.if_exists in ("append", "upsert") else ""
