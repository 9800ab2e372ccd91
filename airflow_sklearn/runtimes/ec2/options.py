"""What is wrong with the options of an ``Ec2Runtime``, whatever its templates will say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.runtimes.aws.options import list_problems, taken_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.runtimes.ec2.runtime import Ec2Runtime

WHOLE_NUMBERS = ("volume_size", "jobs_per_instance", "on_demand_from_attempt")
NUMBERS = ("idle_timeout", "capacity_timeout", "startup_allowance")
LISTS = ("instance_types", "larger_instance_types", "subnets", "security_groups")
#: What RunInstances is asked beside ``run_instances_kwargs``, and where a user says it.
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


def problems(runtime: Ec2Runtime) -> Iterator[str]:
    """One sentence each."""
    if not runtime.image:
        yield "image= is missing: the worker's container image, such as 1234.dkr.ecr.<region>.amazonaws.com/name:tag"
    if not (runtime.launch_template or runtime.image_id):
        yield "image_id= is missing (the AMI), or launch_template=, which has one"
    if not (runtime.launch_template or runtime.instance_types):
        yield "instance_types= is missing, or launch_template=, which has one"
    if runtime.launch_template_version and not runtime.launch_template:
        yield "launch_template_version goes with launch_template"
    if runtime.jobs_per_instance < 1:
        yield f"jobs_per_instance={runtime.jobs_per_instance}: it is 1 or more"
    if runtime.volume_size is not None and runtime.volume_size < 1:
        yield f"volume_size={runtime.volume_size}: it is in GiB, 1 or more"
    for name in ("idle_timeout", "capacity_timeout"):
        if not getattr(runtime, name) >= 0:  # nor is NaN
            yield f"{name}={getattr(runtime, name)}: it is in seconds, 0 or more"
    if not runtime.startup_allowance > 0:
        yield f"startup_allowance={runtime.startup_allowance}: it is in seconds, more than 0; an instance takes minutes"
    yield from list_problems(runtime, LISTS)
    yield from taken_problems("run_instances_kwargs", runtime.run_instances_kwargs, _TAKEN, "instance")
