"""The trigger that waits for a job without a worker slot."""

from __future__ import annotations

import asyncio
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus, runtime_from_dict
from airflow_sklearn.runtimes.job_log import JobLog
from airflow_sklearn.runtimes.poller import SharedPoller
from airflow_sklearn.triggers.base import KillableTrigger, connection, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_sklearn.runtimes.base import Runtime


class RuntimeTrigger(KillableTrigger):
    """Fires when a job has ended or expired. Stops the job when its task is killed.

    All triggers with the same poll key share a poller. The event is ``{"handle": ..., "status": ..., "log": ...}``, all
    as JSON. ``log`` is the state with which the task continues to copy the job's log.

    :param runtime: the result of ``Runtime.described_for_triggers()``.
    :param handle: a ``JobHandle`` as JSON.
    :param poll_interval: seconds between two polls.
    :param expires_at: when the job is stopped, in seconds since 1970; None: never.
    :param aws_conn_id: the Airflow connection for the runtime's clients.
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
        """The class path and the arguments, which Airflow's database stores."""
        return (
            f"airflow_sklearn.triggers.{type(self).__qualname__}",  # as the database of every version has it
            {
                "runtime": self.runtime,
                "handle": self.handle,
                "poll_interval": self.poll_interval,
                "expires_at": self.expires_at,
                "aws_conn_id": self.aws_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the job's end, and yield one event."""
        try:
            status = await self._final_status()
        except asyncio.CancelledError:
            await self._on_cancelled()
            raise
        yield TriggerEvent(
            {"handle": self.handle, "status": status.model_dump(mode="json"), "log": self._job_log.state()}
        )

    async def _final_status(self) -> JobStatus:
        """The status of the ended job. It never raises: Airflow would fail the task without calling its code, and
        leave the job.
        """
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
        poller = SharedPoller.shared(key, in_thread(runtime.poll), in_thread(runtime.logs))
        seen = JobStatus(state=JobState.PENDING)
        async for sighting in poller.watch(handle, self.poll_interval):
            if sighting.status is None:
                self._job_log.add(sighting.lines, sighting.cursor)
                continue
            if (sighting.status.state, sighting.status.message) != (seen.state, seen.message):
                self.log.info("%s: %s", sighting.status.state, sighting.status.message or handle.job_uri)
            seen = sighting.status
        return seen

    def cancel(self) -> None:
        """Stop the job. Blocks."""
        self._bound_runtime.cancel(self._job)

    @cached_property
    def _bound_runtime(self) -> Runtime:
        return runtime_from_dict(self.runtime).bind(connection(self.aws_conn_id))

    @property
    def _job(self) -> JobHandle:
        return JobHandle.model_validate(self.handle)
