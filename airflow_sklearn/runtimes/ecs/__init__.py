"""``EcsRuntime``: one Amazon ECS task a job."""

from airflow_sklearn.runtimes.ecs.runtime import EcsRuntime

__all__ = ["EcsRuntime"]
