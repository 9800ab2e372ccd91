"""The options of an ``Ec2Runtime``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.runtimes.aws.options import AwsOptions, taken_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Arguments of RunInstances that the runtime sets, and the options for them.
_TAKEN = {
    "ClientToken": "",
    "IamInstanceProfile": "iam_instance_profile=",
    "ImageId": "image_id=",
    "InstanceInitiatedShutdownBehavior": "",
    "InstanceMarketOptions": "spot=",
    "InstanceType": "instance_types=",
    "KeyName": "key_name=",
    "LaunchTemplate": "launch_template=, launch_template_version=",
    "MaxCount": "",
    "MetadataOptions": "",
    "MinCount": "",
    "NetworkInterfaces": "subnets=, security_groups=, assign_public_ip=",
    "SecurityGroupIds": "security_groups=",
    "SubnetId": "subnets=",
    "TagSpecifications": "tags=",
    "UserData": "",
}


@dataclass(repr=False)
class Ec2Options(AwsOptions):
    """How instances are launched, and how many jobs each does.

    :param image: the worker's container image, with its registry. (templated)
    :param image_id: the AMI: its id, or ``resolve:ssm:<parameter>``. Linux with cloud-init; Docker is installed if it
        is missing. An AMI with Docker and the worker image starts soonest. (templated)
    :param instance_types: acceptable types, the best first: if one has no capacity, the next is tried. (templated)
    :param larger_instance_types: types with more and more memory, for attempts after one that ran out of memory.
        (templated)
    :param launch_template: name or id of a launch template, for all that is not set here. (templated)
    :param launch_template_version: its version; None: the template's default version.
    :param subnets: ids of subnets, best one in each zone: each type is tried in all of them. Default: the default
        VPC's. (templated)
    :param security_groups: ids of security groups. They must allow outgoing traffic to S3, CloudWatch Logs and the
        image's registry, and need not allow incoming traffic. (templated)
    :param assign_public_ip: whether instances get a public address; None: the subnet's setting. They need one in a
        subnet without NAT or endpoints.
    :param iam_instance_profile: name or ARN of the instance profile; its role is the worker's. (templated)
    :param key_name: the key pair for SSH; None: nobody can log in.
    :param volume_size: GiB of the root volume, which is encrypted; None: the AMI's.
    :param root_device_name: the root volume's device name; None: the AMI's, which EC2 is asked for.
    :param spot: try Spot instances first.
    :param on_demand_from_attempt: from this attempt of its Airflow task on, and whenever there are no Spot instances, a
        job runs on demand. Airflow continues to count attempts when a task is cleared. None: never.
    :param jobs_per_instance: how many jobs an instance does, one after another. More than one is useful if a job takes
        no longer than an instance's start. They are jobs of one task of one run, such as the chunks of a prediction. As
        many instances are launched as these jobs fill.
    :param idle_timeout: seconds that an instance with free slots waits for the next job before it ends itself.
    :param env: further environment variables for the worker. They must hold no secrets: the instance's user data show
        them. (templated)
    :param tags: further tags for instances and volumes, beside those that lead back to DAG, task, run and chunk.
        (templated)
    :param region_name: the region; None: the connection's.
    :param awslogs_group: the log group, which must exist; empty: the log is on the instance's console only.
    :param awslogs_region: the log group's region; None: the instances' region.
    :param awslogs_stream_prefix: the prefix of log streams. Each job has a stream of its own.
    :param capacity_timeout: seconds that a task waits while EC2 has no capacity, or throttles.
    :param startup_allowance: seconds from the launch of an instance to the first heartbeat of its worker, for boot, the
        installation of Docker if it is missing, and the pull of the image. After that the job is lost, and the instance
        is terminated.
    :param run_instances_kwargs: arguments of RunInstances for which there is no parameter, such as ``Placement`` or
        ``BlockDeviceMappings`` (which must then ask for encryption themselves).
    """

    whole_numbers: ClassVar[tuple[str, ...]] = ("volume_size", "jobs_per_instance", "on_demand_from_attempt")
    numbers: ClassVar[tuple[str, ...]] = ("idle_timeout", "capacity_timeout", "startup_allowance")
    lists: ClassVar[tuple[str, ...]] = ("instance_types", "larger_instance_types", "subnets", "security_groups")
    shown: ClassVar[tuple[str, ...]] = ("image", "launch_template", "instance_types")
    template_fields: ClassVar[tuple[str, ...]] = (
        "image",
        "image_id",
        "instance_types",
        "larger_instance_types",
        "launch_template",
        "subnets",
        "security_groups",
        "iam_instance_profile",
        "env",
        "tags",
    )
    submit_only: ClassVar[tuple[str, ...]] = ("env", "tags", "run_instances_kwargs")

    image: str = ""
    image_id: str | None = None
    instance_types: list[str] = field(default_factory=list)
    larger_instance_types: list[str] = field(default_factory=list)
    launch_template: str | None = None
    launch_template_version: str | None = None
    subnets: list[str] = field(default_factory=list)
    security_groups: list[str] = field(default_factory=list)
    assign_public_ip: bool | None = None
    iam_instance_profile: str | None = None
    key_name: str | None = None
    volume_size: int | None = None
    root_device_name: str | None = None
    spot: bool = False
    on_demand_from_attempt: int | None = 2
    jobs_per_instance: int = 1
    idle_timeout: float = 60.0
    env: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    region_name: str | None = None
    awslogs_group: str = "/ec2/airflow-sklearn"
    awslogs_region: str | None = None
    awslogs_stream_prefix: str = "worker"
    capacity_timeout: float = 900.0
    startup_allowance: float = 900.0
    run_instances_kwargs: dict[str, Any] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """See ``AwsOptions.problems``."""
        if not self.image:
            example = "1234.dkr.ecr.<region>.amazonaws.com/name:tag"
            yield f"image= is missing: the worker's container image, such as {example}"
        if not (self.launch_template or self.image_id):
            yield "image_id= is missing (the AMI), or launch_template=, which has one"
        if not (self.launch_template or self.instance_types):
            yield "instance_types= is missing, or launch_template=, which has one"
        if self.launch_template_version and not self.launch_template:
            yield "launch_template_version goes with launch_template"
        if self.jobs_per_instance < 1:
            yield f"jobs_per_instance={self.jobs_per_instance}: it is 1 or more"
        if self.volume_size is not None and self.volume_size < 1:
            yield f"volume_size={self.volume_size}: it is in GiB, 1 or more"
        for name in ("idle_timeout", "capacity_timeout"):
            if not getattr(self, name) >= 0:  # nor is NaN
                yield f"{name}={getattr(self, name)}: it is in seconds, 0 or more"
        if not self.startup_allowance > 0:
            said = f"startup_allowance={self.startup_allowance}"
            yield f"{said}: it is in seconds, more than 0; an instance takes minutes"
        yield from taken_problems("run_instances_kwargs", self.run_instances_kwargs, _TAKEN, "instance")
