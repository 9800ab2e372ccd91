"""When and by which task a run was planned. It tells older runs from newer ones, and one task's rows from another's."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_sklearn.contract.document import Value


class Planned(Value):
    """The time of planning and the Airflow task. Empty in documents of version 0.1.0, so that their order is
    unknown.
    """

    at: str = ""
    """The time of planning: ISO 8601, UTC, with microseconds, by the clock of the machine. Texts sort by time."""
    dag_id: str = ""
    task_id: str = ""
    """The DAG of the task that planned. Like the following fields, it is empty outside of Airflow."""
    run_id: str = ""
    map_index: int = -1
    by_default: bool = False
    """Whether the partition is named after the DAG run, because nobody has chosen one."""

    @classmethod
    def now(cls, *, dag_id: str = "", task_id: str = "", run_id: str = "", map_index: int = -1) -> Planned:
        """The current time, and a task.

        :param map_index: the index of a mapped task; -1: not mapped.
        """
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        return cls(at=at, dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)

    def is_older_than(self, other: Planned) -> bool:
        """Whether this run was planned before the other one. False if a time is unknown."""
        return bool(self.at and other.at) and self.at < other.at

    def is_rival_of(self, other: Planned) -> bool:
        """Whether two tasks would replace each other's rows in turn, which cannot be intended.

        Two tasks of one DAG run do. So do two tasks of any DAGs if nobody has chosen the partition: it is then named
        after the DAG run, and DAGs with the same schedule have runs of the same name.
        """
        if not (self.task_id and other.task_id) or self._task() == other._task():
            return False
        return self.by_default or (self.dag_id, self.run_id) == (other.dag_id, other.run_id)

    def _task(self) -> tuple[str, str, int]:
        return self.dag_id, self.task_id, self.map_index

    def __str__(self) -> str:
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        task = f"the task {self.task_id}{index} of {self.dag_id} in the run {self.run_id}" if self.task_id else ""
        time = f"planned at {self.at}" if self.at else ""
        return ", ".join(part for part in (task, time) if part)
