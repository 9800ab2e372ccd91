"""The AWS permissions that ``EcsRuntime`` needs. ``docs/guides/iam.md`` explains each statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_sklearn.aws.iam.rights import RoleRights, RuntimeRights
from airflow_sklearn.aws.iam.statements import allow, policy, service_trust, start_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.aws.iam.setting import Setting
    from airflow_sklearn.aws.iam.statements import Policy, Statement

_TASKS = "ecs-tasks.amazonaws.com"


class EcsRights(RuntimeRights):
    """Permissions to run tasks in one cluster; the task role, and the execution role that ECS uses before a container
    runs.
    """

    option: ClassVar[str] = "--cluster"
    role_names: ClassVar[tuple[str, ...]] = ("task", "execution")

    def is_used(self, setting: Setting) -> bool:
        """See ``RuntimeRights.is_used``."""
        return bool(setting.cluster)

    def run_jobs(self, setting: Setting) -> Iterator[Statement]:
        """See ``RuntimeRights.run_jobs``."""
        in_cluster = {"ArnEquals": {"ecs:cluster": setting.cluster_arn}}
        tasks = [setting.arn("ecs", f"task/{setting.cluster}/*")]
        definitions = [setting.arn("ecs", f"task-definition/{family}:*") for family in setting.families]
        yield allow("RunTasks", "ecs:RunTask", definitions, in_cluster)
        yield allow("TagTasksThatAreRun", "ecs:TagResource", tasks, {"StringEquals": {"ecs:CreateAction": "RunTask"}})
        yield allow("WatchAndStopTasks", ["ecs:DescribeTasks", "ecs:StopTask"], tasks)
        yield allow("FindTasksOfEarlierAttempts", "ecs:ListTasks", ["*"], in_cluster)
        yield allow("ReadTaskDefinitions", "ecs:DescribeTaskDefinition", ["*"])
        if setting.registers:
            register = {"StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}}
            yield allow("RegisterTaskDefinitions", "ecs:RegisterTaskDefinition", definitions)
            yield allow("TagTaskDefinitions", "ecs:TagResource", definitions, register)
        roles = sorted({setting.task_role, setting.execution_role})
        yield allow("HandRolesToTasks", "iam:PassRole", roles, {"StringEquals": {"iam:PassedToService": _TASKS}})
        yield allow(
            "ReadLogs", "logs:GetLogEvents", [setting.arn("logs", f"log-group:{setting.log_group}:log-stream:*")]
        )

    def roles(self, setting: Setting, worker: Policy) -> dict[str, RoleRights]:
        """See ``RuntimeRights.roles``."""
        # ECS may assume them for tasks of this account and region.
        condition = {
            "ArnLike": {"aws:SourceArn": setting.arn("ecs", "*")},
            "StringEquals": {"aws:SourceAccount": setting.account},
        }
        trust = service_trust("EcsTasksOfThisAccount", _TASKS, condition)
        return {
            "task": RoleRights(setting.task_role, worker, trust),
            "execution": RoleRights(setting.execution_role, policy(*start_workers(setting, setting.log_group)), trust),
        }
