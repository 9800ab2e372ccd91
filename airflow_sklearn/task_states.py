"""How Airflow's task instances stand, asked from a task, from a trigger, or where its database is at hand."""

from __future__ import annotations

from typing import Any

States = dict[int, str | None]
"""By map index; -1 of a task that is not mapped. None: no status, as after a clear."""


def states_of_task(dag_id: str, task_id: str, run_id: str, map_index: int | None = None) -> States:
    """As a task or a trigger may ask. Empty if Airflow knows no such task instances.

    :param map_index: only that one; None: all.
    """
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        # Airflow 2 has no other way than its database; workers and the triggerer have it open.
        return states_in_database(dag_id, task_id, run_id, map_index)
    states = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=map_index
    )
    found = states.get(run_id, {})
    return {_map_index(name, task_id): None if state is None else str(state) for name, state in found.items()}


def states_in_database(dag_id: str, task_id: str, run_id: str, map_index: int | None = None) -> States:
    """As commands may ask that run where Airflow's database is configured: beside its scheduler, for example."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        query: Any = session.query(TaskInstance.map_index, TaskInstance.state)
        query = query.filter_by(dag_id=dag_id, task_id=task_id, run_id=run_id)
        if map_index is not None:
            query = query.filter_by(map_index=map_index)
        return {index: None if state is None else str(state) for index, state in query}


def _map_index(name: str, task_id: str) -> int:
    """Airflow 3 names mapped task instances ``<task>_<index>``."""
    return -1 if name == task_id else int(name.removeprefix(f"{task_id}_"))
