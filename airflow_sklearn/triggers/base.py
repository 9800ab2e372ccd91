"""The common part of the triggers: a killed task stops its work, and all triggers share a connection and a few
threads.
"""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger
from asgiref.sync import sync_to_async

from airflow_sklearn.airflow_compat import states_of_task
from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.runtimes.poller import bounded
from airflow_sklearn.system.retry import retry_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


#: From Airflow 3.3 on, the triggerer distinguishes a killed task from its own shutdown, and calls ``on_kill``.
_TRIGGERER_CALLS_ON_KILL = hasattr(BaseTrigger, "on_kill")
_DEFERRED = "deferred"
_THREADS = 16
_LONGEST_CANCEL = 60.0  # seconds of one attempt to cancel; a hanging call must not delay the task
_CANCEL_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds; Airflow 3.3 gives a killed trigger 30 in all


class KillableTrigger(BaseTrigger):
    """The base of the package's triggers. When the task is killed, its job or statement is stopped."""

    async def on_kill(self) -> None:
        """Called by Airflow 3.3 and later when a person has cleared or marked the deferred task or its DAG run."""
        await self._cancel_if_killed()

    @abstractmethod
    def cancel(self) -> None:
        """Stop the job or statement. Blocks."""

    async def _on_cancelled(self) -> None:
        """Handle the cancellation of the coroutine. In older versions of Airflow it is the only sign of a killed
        task.
        """
        if not _TRIGGERER_CALLS_ON_KILL:
            await self._cancel_if_killed()

    async def _cancel_if_killed(self) -> None:
        """Stop the job or statement unless the task is still deferred: then only the triggerer ends, or another has
        the trigger.
        """
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
        """Stop the job or statement, with retries: if many tasks are killed at once, their calls are throttled."""
        try:
            await retry_async(
                lambda: bounded(in_thread(self.cancel)(), _LONGEST_CANCEL),
                _CANCEL_PAUSES,
                on_retry=lambda error, _: self.log.warning("The task's work could not be stopped yet: %s", error),
            )
        except Exception as error:
            self.log.warning("The task's work could not be stopped: %s", error)

    async def _task_state(self) -> str | None:
        ti = self.task_instance
        if ti is None:
            raise LookupError("the trigger has no task instance")
        map_index = -1 if ti.map_index is None else ti.map_index
        asked = in_thread(states_of_task)(ti.dag_id, ti.task_id, ti.run_id, map_index)
        states: dict[int, str | None] = await bounded(asked, _LONGEST_CANCEL)
        return states.get(map_index)


@cache
def connection(aws_conn_id: str | None) -> AwsConnection:
    """The AWS connection, shared by all triggers of this process: a client takes 10 MB and 0.1 s, and there may be a
    thousand.
    """
    return AwsConnection(aws_conn_id)


def in_thread(call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """A blocking function as a coroutine that runs it in a thread of the package's own pool.

    Airflow's calls work in these threads: they find back to the event loop, as is needed to look up connections. The
    event loop's own threads are not used: there are few, and the triggerer needs them for its log. If our calls hung
    there, all triggers would stop.
    """
    return sync_to_async(call, thread_sensitive=False, executor=_threads())


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="airflow-sklearn")
