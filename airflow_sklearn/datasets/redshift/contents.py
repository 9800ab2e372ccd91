"""What the columns of a table hold, found by the database itself in one pass: no rows are unloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.datasets.redshift.sql import identifier
from airflow_sklearn.datasets.redshift.types import arrow_type
from airflow_sklearn.datasets.redshift.unload import relation
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.tables import TableColumn, UnloadSource
    from airflow_sklearn.contract.will_score import ColumnContent
    from airflow_sklearn.datasets.redshift.database import Database

_CONTENTS: tuple[ColumnContent, ...] = ("null", "constant", "various")
_COLUMNS = 400  # of a statement; Redshift allows 1,600 in a result


def contents(database: Database, source: UnloadSource, columns: Sequence[TableColumn]) -> dict[str, ColumnContent]:
    """What each column holds.

    :param columns: the columns, the result of ``unload.describe``.
    :raises UserError: the table has no rows.
    :raises RedshiftError: Redshift cannot read the table.
    """
    found: dict[str, ColumnContent] = {}
    for first in range(0, len(columns), _COLUMNS):
        some = columns[first : first + _COLUMNS]
        items = ", ".join(["COUNT(*)", *(_item(column) for column in some)])
        sql = f"SELECT {items} FROM ({relation(source)}) AS source"
        rows, *numbers = database.run([Statement(sql)], step=f"contents {content_id(sql)}")[0].rows[0]
        if not int(rows):
            raise UserError(
                f"will_score: {source.name} has no rows. Fix: name a table with rows as they will be scored."
            )
        found |= {column.name: _CONTENTS[int(number)] for column, number in zip(some, numbers, strict=True)}
    return found


def _item(column: TableColumn) -> str:
    """0 for a column without values, 1 for one value in all rows, 2 for several, or for nulls among them. Values of a
    type that is not learned from are not compared.
    """
    name, kind = identifier(column.name), arrow_type(column.type)
    value = f"CAST({name} AS INTEGER)" if kind == "bool" else name  # MIN takes no booleans
    same = f"WHEN COUNT({name}) = COUNT(*) AND MIN({value}) = MAX({value}) THEN 1 "
    one = same if kind is not None else ""
    return f"CASE WHEN COUNT({name}) = 0 THEN 0 {one}ELSE 2 END"
