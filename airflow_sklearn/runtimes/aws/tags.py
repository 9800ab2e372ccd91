"""Tags on AWS resources that lead back to the Airflow task."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.hosts import DAG_TAG, MAP_INDEX_TAG, RUN_TAG, TASK_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_sklearn.contract.jobs import Job

# Limits from "Tag" in the Amazon ECS and Amazon EC2 API references.
_CHARACTERS = 255
_TAGS = 50


def tags_of(job: Job, more: Mapping[str, str], *, shared: bool = False) -> dict[str, str]:
    """The tags of the host of a job.

    :param job: the job.
    :param more: the user's own tags.
    :param shared: the host does other jobs of the same Airflow task too. It gets only the tags that they have in
        common.
    :raises UserError: there are too many tags.
    """
    who, chunk = job.identity, getattr(job, "chunk", None)
    ours = {DAG_TAG: who.dag_id, TASK_TAG: who.task_id, RUN_TAG: who.run_id}
    if not shared:
        ours |= {
            MAP_INDEX_TAG: str(who.map_index),
            "airflow_try_number": str(who.try_number),
            "airflow_sklearn_chunk": f"{chunk.label} {chunk.id}" if chunk else "",
        }
    tags = {key: _text(value) for key, value in {**ours, **more}.items() if value}
    if len(tags) > _TAGS:
        raise UserError(f"The job would have {len(tags)} tags, AWS takes {_TAGS}: give the runtime fewer (tags=).")
    return tags


def _text(value: str) -> str:
    """A text without characters that tags may not have."""
    return re.sub(r"[^\w .:/=+@-]", "_", str(value))[:_CHARACTERS]
