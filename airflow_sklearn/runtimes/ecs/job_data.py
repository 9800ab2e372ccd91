"""What the handle of an ECS task says."""

from __future__ import annotations

from airflow_sklearn.runtimes.aws.runtime import AwsJobData


class EcsJobData(AwsJobData):
    """One ECS task. All that a poll needs is here: the runtime that polls may be another one, of the same cluster."""

    task_arn: str
    container: str = ""
    """The name of the container that runs the worker."""
    memory_bound: int | None = None
    """MiB that the job may grow to after it ran out of memory; None: not known."""
    on_fargate: bool = False
    """Whether only Fargate's sizes will do."""

    @property
    def task_id(self) -> str:
        """The last part of the ARN."""
        return self.task_arn.rpartition("/")[2]
