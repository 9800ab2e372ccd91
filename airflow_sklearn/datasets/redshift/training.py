"""What training needs of a table, compared before anything is unloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift.types import unload_faults
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.tables import TableColumn


def training_columns(
    source: str, columns: Sequence[TableColumn], roles: Mapping[str, Sequence[str]], excluded: Sequence[str]
) -> tuple[TableColumn, ...]:
    """The columns to unload: all but those that are excluded from learning and have no other role.

    :param source: the table or query, for people.
    :param roles: columns by the argument that names them.
    :raises UserError: columns that the table does not have, or that cannot be unloaded; all are named.
    """
    there = [column.name for column in columns]
    faults = [
        f"{argument}={name!r}: there is no such column; there are {', '.join(there)}"
        for argument, names in {**roles, "excluded_columns": excluded}.items()
        for name in names
        if name not in there
    ]
    named = {name for names in roles.values() for name in names}
    chosen = [column for column in columns if column.name in named or column.name not in excluded]
    faults += unload_faults(source, chosen)
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise UserError(f"{source} cannot be learned from as it is asked for:\n{listed}")
    return tuple(chosen)
