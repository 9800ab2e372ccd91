"""Running statements in Redshift from a task, and waiting for them without a worker slot if the Data API is used."""

from __future__ import annotations

import contextlib
import pkgutil
from datetime import UTC
from typing import TYPE_CHECKING, Any

from airflow_sklearn.airflow_compat import AirflowException
from airflow_sklearn.exceptions import StatementRunningError
from airflow_sklearn.operators.base import SklearnOperator, clears_of, identity_of, told_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.datasets.base import Attempt


class StatementsOperator(SklearnOperator):
    """An operator that may run statements in Redshift.

    While a statement runs in the Data API, a deferrable task waits in the triggerer, and then starts over. Each
    transaction has a name: one that has run under its name is not run again, and its answers are returned.
    """

    deferrable: bool
    _poll_seconds = 5.0

    _statements: dict[str, str] | None = None
    _state: dict[str, Any] | None = None
    _attempt: Attempt | None = None

    @property
    def state(self) -> dict[str, Any]:
        """The state that this attempt needs when it starts over, as JSON."""
        if self._state is None:
            self._state = {}
        return self._state

    def attempt_in(self, context: Context) -> Attempt:
        """This attempt, for sources and destinations."""
        from airflow_sklearn.datasets.base import Attempt

        if self._attempt is None:
            self._attempt = Attempt(
                storage=self.storage,
                identity=identity_of(context),
                clears=clears_of(context, self.retries),
                aws=self.aws,
                may_wait=not self.deferrable,
                statements=self._statements or {},
            )
        return self._attempt

    def statements_ended(self, context: Context, event: dict[str, Any]) -> Any:
        """Continue after the trigger has seen the end of the statements.

        :param event: the trigger's event.
        """
        self.known_links = None
        if event["expired"]:
            raise AirflowException(f"The task's time is over: the statement {event['statement_id']} was cancelled.")
        self._statements, self._state, self._attempt = dict(event["statements"]), dict(event["state"]), None
        return told_once(lambda: self.attempt(context))

    def attempt(self, context: Context) -> Any:
        """See ``SklearnOperator.attempt``. If statements are running, a deferrable task is deferred."""
        with self.waiting_for_statements(context):
            return super().attempt(context)

    @contextlib.contextmanager
    def waiting_for_statements(self, context: Context) -> Iterator[None]:
        """Defer the task if a statement is still running at the end of the context."""
        try:
            yield
        except StatementRunningError as running:
            self._defer_to_statements(context, running)

    def on_kill(self) -> None:
        """Stop the running statement with its task."""
        if self._attempt is not None:
            self._attempt.cancel()
        super().on_kill()

    def _defer_to_statements(self, context: Context, running: StatementRunningError) -> None:
        started, expires_at = context["ti"].start_date, None
        if self.execution_timeout is not None and started is not None:  # Airflow 3 does not apply it to deferred tasks
            started = started if started.tzinfo else started.replace(tzinfo=UTC)
            expires_at = started.timestamp() + self.execution_timeout.total_seconds()
        trigger = pkgutil.resolve_name(running.trigger)(
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
