"""The AWS permissions that ``Ec2Runtime`` needs. ``docs/guides/iam.md`` explains each statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_sklearn.aws.iam.rights import RoleRights, RuntimeRights
from airflow_sklearn.aws.iam.statements import (
    allow,
    below,
    in_ledgers,
    on_objects,
    policy,
    service_trust,
    start_workers,
)
from airflow_sklearn.runtimes.ec2.ownership import QUEUE_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.aws.iam.setting import Setting
    from airflow_sklearn.aws.iam.statements import Policy, Statement

_INSTANCES = "ec2.amazonaws.com"
#: Objects that an instance writes about its jobs, beside those that the jobs write: see ``job_queue.py``.
_JOB_QUEUES = "/jobs/pools/*"


class Ec2Rights(RuntimeRights):
    """Permissions to launch instances, and the role of their instance profile."""

    option: ClassVar[str] = "--ec2"
    role_names: ClassVar[tuple[str, ...]] = ("instance",)

    def is_used(self, setting: Setting) -> bool:
        """See ``RuntimeRights.is_used``."""
        return bool(setting.instance_role)

    def run_jobs(self, setting: Setting) -> Iterator[Statement]:
        """See ``RuntimeRights.run_jobs``. Instances can be launched only with the package's tag; no other instance is
        touched.
        """
        instances, volumes = setting.arn("ec2", "instance/*"), setting.arn("ec2", "volume/*")
        tagged = {"StringLike": {f"aws:RequestTag/{QUEUE_TAG}": "*"}}
        ours = {"StringLike": {f"aws:ResourceTag/{QUEUE_TAG}": "*"}}
        secured = {"StringEquals": {"ec2:MetadataHttpTokens": "required"}, **tagged}
        kinds = ("key-pair", "launch-template", "network-interface", "spot-instances-request")
        parts = [setting.arn("ec2", f"{kind}/*") for kind in kinds]
        # A subnet may be shared by another account; its ARN then has that account.
        parts += [f"arn:{setting.partition}:ec2:{setting.region}:*:{kind}/*" for kind in ("security-group", "subnet")]
        yield allow("LaunchInstances", "ec2:RunInstances", [instances], secured)
        yield allow("LaunchWithVolumes", "ec2:RunInstances", [volumes], tagged)
        images = f"arn:{setting.partition}:ec2:{setting.region}::image/*"
        yield allow("LaunchWithNetworkAndImage", "ec2:RunInstances", [*parts, images])
        made = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
        yield allow("TagWhatIsLaunched", "ec2:CreateTags", [instances, volumes], made)
        yield allow("WatchInstances", ["ec2:DescribeImages", "ec2:DescribeInstances"], ["*"])
        yield allow(
            "ReadConsolesAndEndInstances", ["ec2:GetConsoleOutput", "ec2:TerminateInstances"], [instances], ours
        )
        parameters = f"arn:{setting.partition}:ssm:{setting.region}::parameter/aws/service/*"
        yield allow("FindAmisByParameter", "ssm:GetParameters", [parameters])
        passed = {"StringEquals": {"iam:PassedToService": _INSTANCES}}
        yield allow("HandTheRoleToInstances", "iam:PassRole", [setting.instance_role], passed)
        streams = setting.arn("logs", f"log-group:{setting.instance_log_group}:log-stream:*")
        yield allow("ReadLogsOfInstances", "logs:GetLogEvents", [streams])

    def roles(self, setting: Setting, worker: Policy) -> dict[str, RoleRights]:
        """See ``RuntimeRights.roles``. One role has the permissions of a task role, an execution role and for the job
        queue.

        There is no way to distinguish the container from its instance. EC2 may assume the role for its instances; it
        sends no account that a condition could check.
        """
        queues = [*below(setting.models, f"*versions/*{_JOB_QUEUES}"), *in_ledgers(setting, _JOB_QUEUES)]
        rights = policy(
            *worker["Statement"],
            on_objects(setting, "KeepRosters", "s3:PutObject", queues),
            *start_workers(setting, setting.instance_log_group),
        )
        trust = service_trust("Instances", _INSTANCES)
        return {"instance": RoleRights(setting.instance_role, rights, trust, has_instance_profile=True)}
