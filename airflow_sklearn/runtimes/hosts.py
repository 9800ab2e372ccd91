"""What runs jobs outside of Airflow, an instance or a container, and whose work it does."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

# Tags that lead from a host back to the Airflow task that asked for it.
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
        """DAG, task and run."""
        return self.tags[DAG_TAG], self.tags[TASK_TAG], self.tags[RUN_TAG]

    @property
    def map_index(self) -> int | None:
        """None: it does jobs of several mapped instances of the task."""
        text = self.tags.get(MAP_INDEX_TAG)
        return int(text) if text else None


def is_ours(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether it can be told whose work a host does, and it is one of those that are meant.

    :param tags: the host's.
    :param wanted: tags that it must have, too.
    """
    return {DAG_TAG, TASK_TAG, RUN_TAG} <= set(tags) and wanted.items() <= tags.items()
