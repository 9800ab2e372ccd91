"""The trigger that waits for statements in Redshift without a worker slot."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_sklearn.runtimes.poller import LONGEST_CALL, backoff, bounded
from airflow_sklearn.triggers.base import KillableTrigger, connection, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


_ENDED = ("FINISHED", "FAILED", "ABORTED")
_FAILURES = 20  # failed polls in a row after which the trigger fires


class RedshiftStatementTrigger(KillableTrigger):
    """Fires when a statement of the Redshift Data API has ended, with whatever result, or expired.

    The event is ``{"statement_id", "statements", "state", "expired"}``, with which the task continues.

    :param statement_id: the Data API's id of the statement.
    :param statements: ids, by step, of all statements that the attempt has run.
    :param state: the task's further state, as JSON.
    :param region_name: the Data API's region; None: the connection's.
    :param poll_interval: seconds between two polls.
    :param expires_at: when the statement is cancelled, in seconds since 1970; None: never.
    :param aws_conn_id: the Airflow connection for the Data API's client.
    """

    def __init__(
        self,
        *,
        statement_id: str,
        statements: dict[str, str],
        state: dict[str, Any],
        region_name: str | None,
        poll_interval: float,
        expires_at: float | None,
        aws_conn_id: str | None,
    ) -> None:
        super().__init__()
        self.statement_id = statement_id
        self.statements = statements
        self.state = state
        self.region_name = region_name
        self.poll_interval = poll_interval
        self.expires_at = expires_at
        self.aws_conn_id = aws_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments, which Airflow's database stores."""
        return (
            f"airflow_sklearn.triggers.{type(self).__qualname__}",  # as the database of every version has it
            {
                "statement_id": self.statement_id,
                "statements": self.statements,
                "state": self.state,
                "region_name": self.region_name,
                "poll_interval": self.poll_interval,
                "expires_at": self.expires_at,
                "aws_conn_id": self.aws_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the statement's end, and yield one event."""
        try:
            expired = await self._expires()
        except asyncio.CancelledError:
            await self._on_cancelled()
            raise
        yield TriggerEvent(
            {
                "statement_id": self.statement_id,
                "statements": self.statements,
                "state": self.state,
                "expired": expired,
            }
        )

    def cancel(self) -> None:
        """Cancel the statement. Blocks."""
        self._client.cancel_statement(Id=self.statement_id)

    async def _expires(self) -> bool:
        """Wait until the statement has ended or expired.

        :return: whether it expired.
        """
        left = None if self.expires_at is None else max(0.0, self.expires_at - time.time())
        try:
            async with asyncio.timeout(left):
                failures = 0
                while failures < _FAILURES:
                    try:
                        if await bounded(in_thread(self._is_over)(), LONGEST_CALL):
                            return False
                        failures = 0
                    except Exception as error:
                        failures += 1
                        self.log.warning("The statement's state could not be read (%d times): %s", failures, error)
                    await asyncio.sleep(backoff(self.poll_interval, failures))
                return False  # the task will look at the statement, and raise the error
        except TimeoutError:
            await self._cancel()
            return True

    def _is_over(self) -> bool:
        return self._client.describe_statement(Id=self.statement_id)["Status"] in _ENDED

    @property
    def _client(self) -> Any:
        return connection(self.aws_conn_id).client("redshift-data", self.region_name)
