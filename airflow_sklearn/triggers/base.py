"""What triggers share: killed tasks stop what they wait for, one connection and a few threads serve them all."""

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


#: From Airflow 3.3 the triggerer tells a killed task from its own shutdown, and calls ``on_kill``.
_TRIGGERER_CALLS_ON_KILL = hasattr(BaseTrigger, "on_kill")
_DEFERRED = "deferred"
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

    async def _on_cancelled(self) -> None:
        """What a trigger does when its coroutine is cancelled: in older Airflows that is all that tells of a kill."""
        if not _TRIGGERER_CALLS_ON_KILL:
            await self._cancel_if_killed()

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
    """One for all triggers of this process: a client costs 10 MB and 0.1 s, and there may be a thousand."""
    return AwsConnection(aws_conn_id)


def in_thread(call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """A blocking call as a coroutine, in a thread from which Airflow's own calls find back to the event loop: the
    connection's secrets are asked for there.

    The threads are the package's own. The event loop's are few, and the triggerer needs them for its log: calls of ours
    that hang would take every trigger with them.
    """
    return sync_to_async(call, thread_sensitive=False, executor=_threads())


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="airflow-sklearn")
