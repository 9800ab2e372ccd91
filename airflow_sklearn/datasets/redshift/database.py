"""``Database``: the interface to a Redshift database. A list of statements is one transaction.

There are two implementations: ``SqlDatabase`` (a connection by Airflow's ``RedshiftSQLHook``) and ``DataApiDatabase``
(the Redshift Data API, which needs no network path).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.tables import TableColumn


@dataclass(frozen=True)
class Statement:
    """One SQL statement.

    :param sql: the text, with ``:name`` for each parameter. Values never become part of it, except where Redshift
        accepts no parameters: in UNLOAD's inner query, COPY, DDL. There ``sql.literal`` writes them.
    :param parameters: texts by name, None for NULL. The SQL sets the type: ``CAST(:day AS DATE)``.
    """

    sql: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The rows of a statement; empty for a statement without rows.

    :param columns: names and Redshift types, without length and precision if the protocol lacks them.
    """

    columns: tuple[TableColumn, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


class Database(ABC):
    """A Redshift database, for one attempt of one task."""

    @abstractmethod
    def run(self, statements: Sequence[Statement], *, step: str) -> list[Answer]:
        """Run statements as one transaction: all of them, or none. After a serialization conflict it is run again.

        :param statements: the statements in order.
        :param step: the name of this transaction within the attempt. A task that has waited in the triggerer starts
            over: a transaction that has run under this name is not run again, and its answers are returned.
        :return: one answer for each statement.
        :raises RedshiftError: Redshift refuses; the message holds the statement and Redshift's message.
        :raises StatementRunningError: the transaction runs, and the task must wait without a worker slot.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Stop the current transaction. Called from a signal handler; never raises."""
