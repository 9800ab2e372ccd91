"""The differences between Airflow 2.11 and 3.x: names that have moved, under one name each. No other module knows
them.

The package, the templates and the tests import these names from here. A name is imported when it is first used, because
the scheduler parses DAG files all the time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import DAG, Asset, BaseOperator, BaseOperatorLink, Context, Param, TaskGroup, XComArg, task
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
    from airflow.sdk.execution_time.xcom import XCom

__all__ = [
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "Asset",
    "BaseOperator",
    "BaseOperatorLink",
    "Context",
    "Param",
    "TaskDeferred",
    "TaskGroup",
    "XCom",
    "XComArg",
    "conf",
    "states_in_database",
    "states_of_task",
    "task",
]

#: The modules that may contain each name, in the order in which they are tried: the newest Airflow's first.
_PLACES: dict[str, tuple[str, ...]] = {
    "DAG": ("airflow.sdk", "airflow.models.dag"),
    "AirflowException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowFailException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "Asset": ("airflow.sdk", "airflow.datasets"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "Context": ("airflow.sdk", "airflow.utils.context"),
    "Param": ("airflow.sdk", "airflow.models.param"),
    "TaskDeferred": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "TaskGroup": ("airflow.sdk", "airflow.utils.task_group"),
    "XCom": ("airflow.sdk.execution_time.xcom", "airflow.models.xcom"),
    "XComArg": ("airflow.sdk", "airflow.models.xcom_arg"),
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),
    "task": ("airflow.sdk", "airflow.decorators"),
}
_NAMES_IN_AIRFLOW_2 = {"Asset": "Dataset"}

States = dict[int, str | None]
"""By map index; -1 of a task that is not mapped. None: no status, as after a clear."""


def __getattr__(name: str) -> Any:
    for module in _PLACES.get(name, ()):
        try:
            found = import_module(module)
        except ImportError:
            continue
        # A module may exist without the name, such as airflow.sdk.exceptions in 3.0.
        for name_there in (name, _NAMES_IN_AIRFLOW_2.get(name)):
            if name_there and hasattr(found, name_there):
                globals()[name] = getattr(found, name_there)
                return globals()[name]
    if name in _PLACES:
        raise ImportError(
            f"This Airflow has {name} in none of {', '.join(_PLACES[name])}: airflow-sklearn needs 2.11 or newer."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def states_of_task(dag_id: str, task_id: str, run_id: str, map_index: int | None = None) -> States:
    """The states of task instances, for a task or a trigger. Empty if Airflow knows none of them.

    :param map_index: only the instance with this index; None: all.
    """
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        # In Airflow 2 only the database tells. Workers and the triggerer have access to it.
        return states_in_database(dag_id, task_id, run_id, map_index)
    states = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=map_index
    )
    found = states.get(run_id, {})
    return {_map_index(name, task_id): None if state is None else str(state) for name, state in found.items()}


def states_in_database(dag_id: str, task_id: str, run_id: str, map_index: int | None = None) -> States:
    """The states of task instances, for a command on a machine with access to Airflow's database, such as the
    scheduler's.

    :param map_index: only the instance with this index; None: all.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        query: Any = session.query(TaskInstance.map_index, TaskInstance.state)
        query = query.filter_by(dag_id=dag_id, task_id=task_id, run_id=run_id)
        if map_index is not None:
            query = query.filter_by(map_index=map_index)
        return {index: None if state is None else str(state) for index, state in query}


def _map_index(name: str, task_id: str) -> int:
    """The map index in a task instance's name. Airflow 3 names mapped instances ``<task>_<index>``."""
    return -1 if name == task_id else int(name.removeprefix(f"{task_id}_"))
