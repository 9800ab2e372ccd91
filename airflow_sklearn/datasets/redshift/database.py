"""One small interface to the database: a list of statements is one transaction.

Two implementations stand behind it, ``SqlDatabase`` (a connection of Airflow's ``RedshiftSQLHook``) and
``DataApiDatabase`` (the Redshift Data API, no network path needed).
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

    :param sql: with ``:name`` where a parameter is bound. Values never become part of it, except in what Redshift
        binds nothing in: UNLOAD's inner query, COPY, DDL. There ``sql.literal`` writes them.
    :param parameters: text by name, None for NULL; the SQL says the type: ``CAST(:day AS DATE)``.
    """

    sql: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a statement returned; empty for one that returns no rows.

    :param columns: names and Redshift types, without length and precision where the protocol does not say them.
    """

    columns: tuple[TableColumn, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


class Database(ABC):
    """A Redshift database, for one attempt of one task."""

    @abstractmethod
    def run(self, statements: Sequence[Statement], *, step: str) -> list[Answer]:
        """Run statements as one transaction: all of them, or none. Serialization conflicts are tried again.

        :param step: names this transaction within the attempt. A task that waits in the triggerer starts over when it
            comes back; what has run under this name by then is not run again, its answers are returned.
        :return: an answer a statement.
        :raises RedshiftError: Redshift refuses; the message holds the statement and what Redshift says.
        :raises StatementRunningError: the transaction runs, and is to be waited for without a worker slot.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Stop what runs now. Called from a signal handler; never raises."""
