"""Hosts: instances or containers that do jobs, with the Airflow task that they work for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

# Tags that lead from a host back to its Airflow task.
DAG_TAG, TASK_TAG, RUN_TAG = "airflow_dag_id", "airflow_task_id", "airflow_run_id"
MAP_INDEX_TAG = "airflow_map_index"


@dataclasses.dataclass(frozen=True)
class Host:
    """One host, as the reaper sees it."""

    name: str
    """For people."""
    tags: Mapping[str, str]
    started_at: datetime | None
    """None: it waits to start."""
    end: Callable[[], None] = dataclasses.field(repr=False)

    @property
    def task(self) -> tuple[str, str, str]:
        """The ids of DAG, task and DAG run."""
        return self.tags[DAG_TAG], self.tags[TASK_TAG], self.tags[RUN_TAG]

    @property
    def map_index(self) -> int | None:
        """The map index of the task instance; None: the host does jobs of several mapped instances."""
        text = self.tags.get(MAP_INDEX_TAG)
        return int(text) if text else None


def is_ours(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a host's tags name its Airflow task, and include the wanted tags.

    :param tags: the host's tags.
    :param wanted: the tags that it must have.
    """
    return {DAG_TAG, TASK_TAG, RUN_TAG} <= set(tags) and wanted.items() <= tags.items()
