"""Running statements in Redshift from a task, and waiting for them without a worker slot where the way in allows it."""

from __future__ import annotations

import contextlib
from datetime import UTC
from typing import TYPE_CHECKING, Any

from airflow_sklearn.airflow_compat import AirflowException
from airflow_sklearn.contract.document import content_id
from airflow_sklearn.exceptions import StatementRunningError
from airflow_sklearn.operators.base import SklearnOperator, identity_of, told_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.tables import RedshiftAccess
    from airflow_sklearn.datasets.redshift.database import Database


class StatementsOperator(SklearnOperator):
    """An operator that may run statements in Redshift.

    While a statement runs in the Data API, a deferrable task waits in the triggerer. Then it starts over: every
    transaction has a name, and one that has run by then gives its answers again.
    """

    deferrable: bool
    _poll_seconds = 5.0

    _statements: dict[str, str] | None = None
    _state: dict[str, Any] | None = None
    _databases: dict[str, Database] | None = None

    @property
    def state(self) -> dict[str, Any]:
        """What this attempt must know when it starts over, as JSON."""
        if self._state is None:
            self._state = {}
        return self._state

    def database(self, context: Context, access: RedshiftAccess) -> Database:
        """The database, with the statements tagged by who runs them."""
        from airflow_sklearn.datasets.redshift.access import open_database

        if self._databases is None or self._statements is None:
            self._databases, self._statements = {}, self._statements or {}
        key = access.model_dump_json()
        if key not in self._databases:
            self._databases[key] = open_database(
                access, self.aws, tag=tag_of(context), statements=self._statements, wait=not self.deferrable
            )
        return self._databases[key]

    def statements_ended(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when the trigger has seen the statements end."""
        self.known_links = None
        if event["expired"]:
            raise AirflowException(f"The task's time is over: the statement {event['statement_id']} was cancelled.")
        self._statements, self._state = dict(event["statements"]), dict(event["state"])
        return told_once(lambda: self.attempt(context))

    def attempt(self, context: Context) -> Any:
        with self.waiting_for_statements(context):
            return super().attempt(context)

    @contextlib.contextmanager
    def waiting_for_statements(self, context: Context) -> Iterator[None]:
        """Wait in the triggerer for what runs."""
        try:
            yield
        except StatementRunningError as running:
            self._defer_to_statements(context, running)

    def on_kill(self) -> None:
        """Stop the statement that runs with its task."""
        for database in (self._databases or {}).values():
            database.cancel()
        super().on_kill()

    def _defer_to_statements(self, context: Context, running: StatementRunningError) -> None:
        from airflow_sklearn.triggers.statement import RedshiftStatementTrigger

        started, expires_at = context["ti"].start_date, None
        if self.execution_timeout is not None and started is not None:  # Airflow 3 does not apply it to deferred tasks
            started = started if started.tzinfo else started.replace(tzinfo=UTC)
            expires_at = started.timestamp() + self.execution_timeout.total_seconds()
        trigger = RedshiftStatementTrigger(
            statement_id=running.statement_id,
            statements=running.statements,
            state=self.state,
            region_name=running.region_name,
            poll_interval=self._poll_seconds,
            expires_at=expires_at,
            aws_conn_id=self.aws_conn_id,
        )
        self.log.info("Waiting in the triggerer for the statement %s.", running.statement_id)
        self.store_missing_links(context)
        self.defer(trigger=trigger, method_name="statements_ended")


def attempt_of(context: Context) -> str:
    """A name of this attempt's own, the same when a deferred task starts over."""
    return content_id(identity_of(context).model_dump(mode="json"))


def tag_of(context: Context) -> str:
    """The query group of a task's statements: how an administrator finds whose they are."""
    who = identity_of(context)
    place = f"{who.dag_id}.{who.task_id}" + (f"[{who.map_index}]" if who.map_index >= 0 else "")
    return f"airflow-sklearn {place} {who.run_id} try {who.try_number}"
