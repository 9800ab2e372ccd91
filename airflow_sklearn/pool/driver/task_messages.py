"""The messages by which a pool's driver sends tasks to its workers."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import AirflowSklearnError
from airflow_sklearn.pool.messages import Task
from airflow_sklearn.pool.retry_budget import is_out_of_reach

if TYPE_CHECKING:
    from airflow_sklearn.pool.driver.arguments import Arguments
    from airflow_sklearn.pool.driver.tasks import OpenTasks, PoolFuture
    from airflow_sklearn.pool.signing import Signer


class TaskMessages:
    """Makes the messages of tasks.

    :param open_tasks: the tasks without a result so far.
    """

    def __init__(self, arguments: Arguments, signer: Signer, open_tasks: OpenTasks) -> None:
        self._arguments, self._signer, self._open = arguments, signer, open_tasks

    def of(self, future: PoolFuture) -> str | None:
        """The message of a task; None if the task was cancelled, or cannot be pickled."""
        function = future.function
        if function is None or future.task_id not in self._open:
            return None
        try:
            payload = self._arguments.payload(function, future.max_nbytes, name=f"task-{future.task_id}")
        except Exception as error:
            if isinstance(error, AirflowSklearnError) or is_out_of_reach(error):
                raise
            self._open.pop(future.task_id)
            unpicklable = pickle.PicklingError(f"Could not pickle the task to send it to a container: {error}")
            unpicklable.__cause__ = error
            future.finish(error=unpicklable)
            return None
        task = Task(
            task=future.task_id,
            call=future.call,
            payload=payload,
            mmap_mode=future.mmap_mode,
            threads=future.threads,
        )
        return self._signer.sign("task", task.model_dump_json())
