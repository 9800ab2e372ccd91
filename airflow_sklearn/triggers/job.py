"""Waiting without a worker slot: for a job, or for statements in Redshift."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_sklearn.airflow_compat import states_of_task
from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus, runtime_from_dict
from airflow_sklearn.runtimes.job_log import JobLog
from airflow_sklearn.runtimes.poller import LONGEST_CALL, SharedPoller, backoff, bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from airflow_sklearn.runtimes.base import Runtime

#: From Airflow 3.3 the triggerer tells a killed task from its own shutdown, and calls ``on_kill``.
_TRIGGERER_CALLS_ON_KILL = hasattr(BaseTrigger, "on_kill")
_DEFERRED = "deferred"
_ENDED = ("FINISHED", "FAILED", "ABORTED")
_FAILURES = 20  # in a row, of looks at a statement
_THREADS = 16
_LONGEST_CANCEL = 60.0  # seconds of one attempt; what hangs must not keep the task waiting after its time
_CANCEL_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds; Airflow 3.3 gives a trigger that is killed 30 in all


class KillableTrigger(BaseTrigger):
    """The base of the package's triggers: what is waited for is stopped when its task is killed."""

    async def on_kill(self) -> None:
        """A person acted on the deferred task (cleared it, marked it), or its DAG run was."""
        await self._cancel_if_killed()

    @abstractmethod
    def cancel(self) -> None:
        """Stop what is waited for. Blocks."""

    async def _cancel_if_killed(self) -> None:
        """Stop unless the task is still deferred: then only the triggerer goes, or another took the trigger."""
        try:
            state = await self._task_state()
        except Exception as error:
            if not _TRIGGERER_CALLS_ON_KILL:
                self.log.info("The trigger was cancelled, the task's state is not known (%s): its work goes on.", error)
                return
            state = None
        if state == _DEFERRED:
            self.log.info("The trigger was cancelled, but its task still waits: its work goes on.")
            return
        self.log.warning("The task was killed (it is now %s): stopping its work.", state)
        await self._cancel()

    async def _cancel(self) -> None:
        """Stop it, trying for a while: when many tasks are killed at once, their calls are throttled."""
        for pause in (*_CANCEL_PAUSES, None):
            try:
                await bounded(_in_thread(self.cancel)(), _LONGEST_CANCEL)
                return
            except Exception as error:
                self.log.warning("The task's work could not be stopped yet: %s", error)
            if pause is not None:
                await asyncio.sleep(pause)

    async def _task_state(self) -> str | None:
        ti = self.task_instance
        if ti is None:
            raise LookupError("the trigger has no task instance")
        map_index = -1 if ti.map_index is None else ti.map_index
        asked = _in_thread(states_of_task)(ti.dag_id, ti.task_id, ti.run_id, map_index)
        states: dict[int, str | None] = await bounded(asked, _LONGEST_CANCEL)
        return states.get(map_index)


class RuntimeTrigger(KillableTrigger):
    """Fires when a job has ended, or when its time is over. Stops the job when its task is killed.

    All triggers of one place share a poller. The event is ``{"handle": ..., "status": ..., "log": ...}``, all as JSON:
    of the log, what the task needs to go on where the trigger stopped copying it.

    :param runtime: ``Runtime.described_for_triggers()``.
    :param handle: a ``JobHandle`` as JSON.
    :param poll_interval: seconds.
    :param expires_at: seconds since the epoch at which the job is stopped; None: never.
    :param aws_conn_id: for the runtime's clients.
    """

    def __init__(
        self,
        *,
        runtime: dict[str, Any],
        handle: dict[str, Any],
        poll_interval: float,
        expires_at: float | None,
        aws_conn_id: str | None,
    ) -> None:
        super().__init__()
        self.runtime = runtime
        self.handle = handle
        self.poll_interval = poll_interval
        self.expires_at = expires_at
        self.aws_conn_id = aws_conn_id
        self._job_log = JobLog(self.log)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "runtime": self.runtime,
                "handle": self.handle,
                "poll_interval": self.poll_interval,
                "expires_at": self.expires_at,
                "aws_conn_id": self.aws_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            status = await self._final_status()
        except asyncio.CancelledError:
            if not _TRIGGERER_CALLS_ON_KILL:
                await self._cancel_if_killed()
            raise
        yield TriggerEvent(
            {"handle": self.handle, "status": status.model_dump(mode="json"), "log": self._job_log.state()}
        )

    async def _final_status(self) -> JobStatus:
        """How the job ended. Never raises: Airflow would go on without the task's own code, and leave the job alone."""
        left = None if self.expires_at is None else max(0.0, self.expires_at - time.time())
        try:
            async with asyncio.timeout(left) as limit:
                return await self._watch()
        except Exception as error:
            if limit.expired():
                await self._cancel()
                return JobStatus.of_expired()
            return JobStatus(state=JobState.LOST, message=f"The job cannot be watched: {error!r}")

    async def _watch(self) -> JobStatus:
        runtime, handle = self._bound_runtime, self._job
        key = f"{self.runtime['class']}|{self.aws_conn_id}|{runtime.poll_key()}"
        poller = SharedPoller.shared(key, _in_thread(runtime.poll), _in_thread(runtime.logs), self.poll_interval)
        seen = JobStatus(state=JobState.PENDING)
        async for sighting in poller.watch(handle):
            if sighting.status is None:
                self._job_log.add(sighting.lines, sighting.cursor)
                continue
            if (sighting.status.state, sighting.status.message) != (seen.state, seen.message):
                self.log.info("%s: %s", sighting.status.state, sighting.status.message or handle.job_uri)
            seen = sighting.status
        return seen

    def cancel(self) -> None:
        self._bound_runtime.cancel(self._job)

    @cached_property
    def _bound_runtime(self) -> Runtime:
        return runtime_from_dict(self.runtime).bind(_connection(self.aws_conn_id))

    @property
    def _job(self) -> JobHandle:
        return JobHandle.model_validate(self.handle)


class RedshiftStatementTrigger(KillableTrigger):
    """Fires when what the Redshift Data API runs has ended, however it ended, or when its time is over.

    The event is ``{"statement_id", "statements", "state", "expired"}``: all that the task needs to go on.

    :param statement_id: the Data API's.
    :param statements: ids by step, of all that the attempt has run.
    :param state: what the task needs besides.
    :param region_name: the Data API's region; None: the connection's.
    :param poll_interval: seconds.
    :param expires_at: seconds since the epoch at which the statement is cancelled; None: never.
    :param aws_conn_id: for the Data API's client.
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
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
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
        try:
            expired = await self._expires()
        except asyncio.CancelledError:
            if not _TRIGGERER_CALLS_ON_KILL:
                await self._cancel_if_killed()
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
        self._client.cancel_statement(Id=self.statement_id)

    async def _expires(self) -> bool:
        """Wait until the statement has ended.

        :return: whether the time was over before.
        """
        left = None if self.expires_at is None else max(0.0, self.expires_at - time.time())
        try:
            async with asyncio.timeout(left):
                failures = 0
                while failures < _FAILURES:
                    try:
                        if await bounded(_in_thread(self._is_over)(), LONGEST_CALL):
                            return False
                        failures = 0
                    except Exception as error:
                        failures += 1
                        self.log.warning("The statement's state could not be read (%d times): %s", failures, error)
                    await asyncio.sleep(backoff(self.poll_interval, failures))
                return False  # the task looks itself, and says what is wrong
        except TimeoutError:
            await self._cancel()
            return True

    def _is_over(self) -> bool:
        return self._client.describe_statement(Id=self.statement_id)["Status"] in _ENDED

    @property
    def _client(self) -> Any:
        return _connection(self.aws_conn_id).client("redshift-data", self.region_name)


@cache
def _connection(aws_conn_id: str | None) -> AwsConnection:
    """One for all triggers of this process: a client costs 10 MB and 0.1 s, and there may be a thousand."""
    return AwsConnection(aws_conn_id)


def _in_thread(call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """A blocking call as a coroutine, in a thread from which Airflow's own calls find back to the event loop: the
    connection's secrets are asked for there.

    The threads are the package's own. The event loop's are few, and the triggerer needs them for its log: calls of ours
    that hang would take every trigger with them.
    """
    return sync_to_async(call, thread_sensitive=False, executor=_threads())


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="airflow-sklearn")
