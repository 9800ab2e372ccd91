"""A table that is published into: its SQL, and whether it accepts a run's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift import publication_log
from airflow_sklearn.datasets.redshift.partition import partition_values
from airflow_sklearn.datasets.redshift.sql import contained, identifier, inline, qualified
from airflow_sklearn.datasets.redshift.types import is_zone_aware, parse_type, target_faults
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.tables import OutputColumnSpec, OutputTable
    from airflow_sklearn.datasets.redshift.catalog import Target


_TEXT = ("varchar", "char")
_LONGEST_TEXT = 65535


class TargetTable:
    """A table, seen with the rows that are to be published into it.

    :param target: the table in the database.
    :param columns: the columns of the rows.
    :param key: those that identify a row.
    """

    def __init__(
        self, output: OutputTable, target: Target, columns: Sequence[OutputColumnSpec], key: Sequence[str]
    ) -> None:
        self.output, self.target, self.columns, self.key = output, target, tuple(columns), tuple(key)
        self.types = {column.name: column.type for column in target.columns}
        self.partition, self.value_faults = partition_values(output, self.types)

    @property
    def name(self) -> str:
        """The table's name for people."""
        return self.target.name

    @property
    def replaces_all(self) -> bool:
        """Whether none of the present rows stays."""
        output = self.output
        return output.if_exists == "truncate" or (
            output.if_exists == "replace" and not output.where and not output.partition
        )

    @property
    def replaced(self) -> str:
        """The rows that a publication replaces, as an SQL condition; empty: all."""
        if self.output.where:
            return f"({inline(contained(self.output.where, 'where'), self.output.parameters)})"
        return " AND ".join(value.condition for value in self.partition)

    @property
    def values(self) -> dict[str, str | None]:
        """The values of the parameters in ``replaced`` and in ``rows``."""
        return {value.parameter: value.text for value in self.partition if f":{value.parameter}" in value.expression}

    def publication_scope(self, run: str) -> str:
        """The part of the table that a publication replaces, as the table of publications holds it."""
        if self.replaces_all:
            return publication_log.WHOLE
        if self.output.where:
            return publication_log.scope("where", self.replaced)
        if self.partition:
            return publication_log.partition_scope({value.column: value.text for value in self.partition})
        return publication_log.scope("run", run)

    def type_of(self, column: OutputColumnSpec) -> str:
        """The Redshift type of a column in a table that is created."""
        return _spelled(self.output.column_types.get(column.name, column.type))

    def create(self, table: Sequence[str], *, if_not_exists: bool = False) -> str:
        """The CREATE TABLE statement for these rows."""
        output = self.output
        columns = {column.name: self.type_of(column) for column in self.columns}
        columns |= {value.column: _spelled(value.type) for value in self.partition}
        listed = ", ".join(f"{identifier(name)} {kind}" for name, kind in columns.items())
        sql = f"CREATE TABLE {'IF NOT EXISTS ' if if_not_exists else ''}{qualified(table)} ({listed})"
        if output.diststyle or output.distkey:
            sql += f" DISTSTYLE {(output.diststyle or 'key').upper()}"
        if output.distkey:
            sql += f" DISTKEY ({identifier(output.distkey)})"
        if output.sortkey:
            sql += f" SORTKEY ({', '.join(map(identifier, output.sortkey))})"
        return sql

    def rows(self, *, created: bool = False, prefix: str = "") -> dict[str, str]:
        """For each column, quoted, an SQL expression over the staging table.

        :param created: for a table made by ``create``, not for the existing one.
        :param prefix: the staging table's name and a dot, or empty; put before each of its columns.
        """
        expressions = {}
        for column in self.columns:
            name = identifier(column.name)
            kind = self.type_of(column) if created else self.types.get(column.name, self.type_of(column))
            aware = is_zone_aware(kind) and not is_zone_aware(column.staging_type)
            expressions[name] = f"{prefix}{name} AT TIME ZONE 'UTC'" if aware else prefix + name
        return expressions | {identifier(value.column): value.expression for value in self.partition}

    def lacking(self) -> list[str]:
        """Columns of the table that the rows lack."""
        return [name for name in self.types if identifier(name) not in self.rows()]

    def bounded(self) -> dict[str, int]:
        """The text columns that may be too long for the table's column, each with the bytes that the column holds."""
        made, bounds = not self.target.exists or self.is_made_anew(), {}
        for column in self.columns:
            kind = parse_type(self.type_of(column) if made else self.types.get(column.name, self.type_of(column)))
            if kind is not None and kind.base in _TEXT and kind.length and kind.length < _LONGEST_TEXT:
                bounds[column.name] = kind.length
        return bounds

    def unfit(self) -> list[str]:
        """Reasons why the existing table cannot take the rows."""
        target = self.target
        if not target.exists:
            return []
        faults = target_faults(
            self.name,
            self.columns,
            target.columns,
            partition=[value.column for value in self.partition],
            required=target.required,
        )
        keys = [name for name in self.key if self.output.if_exists == "upsert" and name not in self.types]
        return faults + [f"{self.name} has no column {name!r}, which is of the key" for name in keys]

    def is_made_anew(self) -> bool:
        """Whether the table is made again: its columns do not fit, and all its rows are replaced anyway."""
        return self.output.if_exists == "replace" and self.replaces_all and bool(self.unfit())

    def table_faults(self) -> list[str]:
        """Reasons why the existing table does not accept the rows."""
        return self._view_faults() if self.is_made_anew() else self.unfit()

    def exists_already(self) -> str:
        """Why nothing is published with ``if_exists='fail'``."""
        return (
            f"{self.name} exists, and if_exists is 'fail': say what becomes of its rows (append, truncate, replace, "
            f"upsert), or DROP TABLE {qualified(self.target.parts)}"
        )

    def miscount(self) -> str:
        """Why the table, or its replaced part, would not hold exactly the loaded rows."""
        if not self.output.where:
            return "the table would not hold the rows that were loaded, and no others: somebody wrote at the same time"
        return (
            f"once in the table, the rows are not those that {self.output.where!r} finds. Columns that the rows lack "
            f"get their defaults there ({', '.join(self.lacking()) or 'none'}): name in the condition only columns "
            "that the rows have, or let partition give all rows a value"
        )

    def _view_faults(self) -> list[str]:
        target = self.target
        if not target.views:
            return []
        reasons = "; ".join(self.unfit())
        return [
            f"{self.name} would have to be made anew ({reasons}), and Redshift does not drop a table that views depend "
            f"on: {', '.join(target.views)}. Make them late-binding (WITH NO SCHEMA BINDING), or change the table's "
            "columns with ALTER TABLE"
        ]


def _spelled(kind: str) -> str:
    """A type in the form in which it is written into DDL. A user's text is never written itself.

    :raises UserError: it is no type.
    """
    found = parse_type(kind)
    if found is None:
        raise UserError(f"{kind!r} is none of Redshift's types.")
    return str(found)
