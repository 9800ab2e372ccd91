"""The database's catalog: the properties of a table that is published into.

Catalog queries are separate statements: Redshift does not allow a statement on user tables to read some catalogs too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.contract.tables import TableColumn
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.datasets.redshift.sql import parameter_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.datasets.redshift.database import Database

_NAME = "VARCHAR(128)"
_KINDS = {"v": "a view", "m": "a materialized view", "f": "an external table", "i": "an index", "S": "a sequence"}

_SCHEMA = f"""
SELECT CASE WHEN HAS_SCHEMA_PRIVILEGE(n.nspname, 'create') THEN 1 ELSE 0 END
FROM pg_catalog.pg_namespace n
WHERE n.nspname = CAST(:publish_schema AS {_NAME})
"""
_TABLE = f"""
SELECT CAST(c.relkind AS VARCHAR(1)), CAST(PG_GET_USERBYID(c.relowner) AS {_NAME}), CAST(CURRENT_USER AS {_NAME}),
  CAST(c.oid AS BIGINT)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = CAST(:publish_schema AS {_NAME}) AND c.relname = CAST(:publish_table AS {_NAME})
"""
_COLUMNS = f"""
SELECT CAST(a.attname AS {_NAME}), FORMAT_TYPE(a.atttypid, a.atttypmod),
  CASE WHEN a.attnotnull AND NOT a.atthasdef THEN 1 ELSE 0 END
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = CAST(:publish_schema AS {_NAME}) AND c.relname = CAST(:publish_table AS {_NAME})
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_VIEWS = f"""
SELECT DISTINCT CAST(vn.nspname AS {_NAME}), CAST(v.relname AS {_NAME})
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
  JOIN pg_catalog.pg_class v ON v.oid = r.ev_class JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
  JOIN pg_catalog.pg_class c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = CAST(:publish_schema AS {_NAME}) AND c.relname = CAST(:publish_table AS {_NAME}) AND v.oid <> c.oid
ORDER BY 1, 2
"""
_TABLE_ID = f"""
SELECT CAST(c.oid AS BIGINT)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = CAST(:publish_schema AS {_NAME}) AND c.relname = CAST(:publish_table AS {_NAME})
"""
_TABLES = f"""
SELECT CAST(c.relname AS {_NAME})
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = CAST(:publish_schema AS {_NAME}) AND c.relkind = 'r'
  AND SUBSTRING(CAST(c.relname AS {_NAME}), 1, CAST(:publish_length AS INTEGER)) = CAST(:publish_prefix AS {_NAME})
ORDER BY 1
"""


@dataclass(frozen=True)
class Target:
    """The present state of a table that is published into.

    :param columns: empty if the table does not exist.
    :param required: columns that are NOT NULL and have no default.
    :param views: views that depend on the table; Redshift then refuses to drop it.
    :param number: the database's number of this table, which no other table has.
    """

    schema: str
    table: str
    has_schema: bool = True
    may_create: bool = True
    kind: str = ""
    owner: str = ""
    user: str = ""
    columns: tuple[TableColumn, ...] = ()
    required: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    number: int = 0

    @property
    def exists(self) -> bool:
        """Whether the table exists."""
        return bool(self.kind)

    @property
    def name(self) -> str:
        """The table's name for people."""
        return f"{self.schema}.{self.table}"

    @property
    def parts(self) -> tuple[str, str]:
        """The names of the schema and the table."""
        return self.schema, self.table

    @property
    def no_table(self) -> str:
        """The kind of the object if it is no table, such as a view; empty for a table."""
        return "" if self.kind in ("", "r") else _KINDS.get(self.kind, "something else")


def statement(sql: str, values: Mapping[str, str | None]) -> Statement:
    """A statement with those of the values that it uses."""
    return Statement(sql, {name: values[name] for name in parameter_names(sql)})


def read_target(database: Database, table: Sequence[str], *, step: str) -> Target:
    """Look up a table.

    :param table: ``(schema, table)``, or the table alone, for the first schema in the user's search path.
    :param step: see ``Database.run``.
    """
    schema = table[0] if len(table) == 2 else _first_schema(database, step)
    values = {"publish_schema": schema, "publish_table": table[-1]}
    queries = [statement(sql, values) for sql in (_SCHEMA, _TABLE, _COLUMNS, _VIEWS)]
    schemas, tables, columns, views = (answer.rows for answer in database.run(queries, step=step))
    kind, owner, user, number = tables[0] if tables else ("", "", "", 0)
    return Target(
        schema=schema,
        table=table[-1],
        has_schema=bool(schemas),
        may_create=bool(schemas) and bool(int(schemas[0][0])),
        kind=kind,
        owner=owner,
        user=user,
        columns=tuple(TableColumn(name=name, type=its_type) for name, its_type, _ in columns),
        required=tuple(name for name, _, is_required in columns if int(is_required)),
        views=tuple(f"{of}.{view}" for of, view in views),
        number=int(number),
    )


def exists(schema: str, table: str) -> Statement:
    """A statement with one row, the table's number in Redshift's logs; no row if there is no such table."""
    return statement(_TABLE_ID, {"publish_schema": schema, "publish_table": table})


def tables_named(schema: str, prefix: str) -> Statement:
    """A statement for the tables of a schema whose names begin with a prefix."""
    return statement(_TABLES, {"publish_schema": schema, "publish_prefix": prefix, "publish_length": str(len(prefix))})


def _first_schema(database: Database, step: str) -> str:
    answer = database.run([Statement(f"SELECT CAST(CURRENT_SCHEMA() AS {_NAME})")], step=f"{step}: schema")[0]
    return str(answer.rows[0][0] or "")
