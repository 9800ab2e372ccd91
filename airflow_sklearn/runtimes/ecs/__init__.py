"""``EcsRuntime``: one Amazon ECS task for each job."""

from airflow_sklearn.runtimes.ecs.runtime import EcsRuntime

__all__ = ["EcsRuntime"]
