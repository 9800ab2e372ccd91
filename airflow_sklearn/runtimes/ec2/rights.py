"""The rights in AWS that ``Ec2Runtime`` needs. ``docs/iam.md`` explains each statement."""

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
#: What an instance says of the jobs that it does, beside what the jobs write: see ``job_queue.py``.
_JOB_QUEUES = "/jobs/pools/*"


class Ec2Rights(RuntimeRights):
    """Launching instances; the role of their instance profile."""

    option: ClassVar[str] = "--ec2"
    role_names: ClassVar[tuple[str, ...]] = ("instance",)

    def is_used(self, setting: Setting) -> bool:
        return bool(setting.instance_role)

    def run_jobs(self, setting: Setting) -> Iterator[Statement]:
        """Instances that have the package's tag, and can be had only with it; nothing may be done to any other."""
        instances, volumes = setting.arn("ec2", "instance/*"), setting.arn("ec2", "volume/*")
        tagged = {"StringLike": {f"aws:RequestTag/{QUEUE_TAG}": "*"}}
        ours = {"StringLike": {f"aws:ResourceTag/{QUEUE_TAG}": "*"}}
        secured = {"StringEquals": {"ec2:MetadataHttpTokens": "required"}, **tagged}
        kinds = ("key-pair", "launch-template", "network-interface", "spot-instances-request")
        parts = [setting.arn("ec2", f"{kind}/*") for kind in kinds]
        # Subnets may be shared by another account, whose they then are.
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
        """What a task role and an execution role have together, and the job queue. Nothing tells the container from the
        machine that it runs on.

        Who may take the role is EC2, for its instances. The service sends no account with it.
        """
        queues = [*below(setting.models, f"*versions/*{_JOB_QUEUES}"), *in_ledgers(setting, _JOB_QUEUES)]
        rights = policy(
            *worker["Statement"],
            on_objects(setting, "KeepRosters", "s3:PutObject", queues),
            *start_workers(setting, setting.instance_log_group),
        )
        trust = service_trust("Instances", _INSTANCES)
        return {"instance": RoleRights(setting.instance_role, rights, trust, has_instance_profile=True)}
