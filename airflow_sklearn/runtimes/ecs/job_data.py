"""The content of the handle of an ECS task."""

from __future__ import annotations

from airflow_sklearn.runtimes.aws.runtime import AwsJobData


class EcsJobData(AwsJobData):
    """One ECS task. It holds all that a poll needs, because another runtime object for the same cluster may poll."""

    task_arn: str
    container: str = ""
    """The name of the container that runs the worker."""
    memory_bound: int | None = None
    """MiB that the job may grow to after it ran out of memory; None: not known."""
    on_fargate: bool = False
    """Whether only Fargate's sizes will do."""

    @property
    def task_id(self) -> str:
        """The task's id: the last part of its ARN."""
        return self.task_arn.rpartition("/")[2]
