"""Launching one instance: which types, zones and markets are asked for, in which order, and with what."""

from __future__ import annotations

import logging
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.exceptions import NoCapacityError, ThrottledError, UserError
from airflow_sklearn.runtimes.ec2.errors import NotHereError, explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.runtimes.ec2.runtime import Ec2Runtime

_LOG = logging.getLogger(__name__)
_TOKEN_CHARACTERS = 64  # from RunInstances' page in the Amazon EC2 API reference


class Offer(NamedTuple):
    """One kind of instance that will do. None: what the launch template says, or EC2's default."""

    spot: bool
    instance_type: str | None
    subnet: str | None

    def __str__(self) -> str:
        market = "Spot" if self.spot else "on demand"
        return f"{self.instance_type or 'the type of the launch template'} {market} in {self.subnet or 'any zone'}"


def offers(runtime: Ec2Runtime, attempt: int, types: Sequence[str]) -> Iterator[Offer]:
    """All that will do, the best first: Spot before on demand, then the types in their order, each in all zones.

    :param attempt: of the job's Airflow task.
    """
    fallback = runtime.on_demand_from_attempt
    markets = [False]
    if runtime.spot:
        late = fallback is not None and attempt >= fallback
        markets = [False] if late else [True] if fallback is None else [True, False]
    any_type: Sequence[str | None] = types or [None]
    any_subnet: Sequence[str | None] = runtime.subnets or [None]
    for spot, instance_type, subnet in product(markets, any_type, any_subnet):
        yield Offer(spot, instance_type, subnet)


class UnansweredError(ThrottledError):
    """EC2 has not judged a request; it may have launched an instance all the same.

    :param offer: the place of what was asked for among what is wanted: asked for again, it is the same instance.
    """

    def __init__(self, message: str, offer: int) -> None:
        super().__init__(message)
        self.offer = offer


def launch(
    client: Any, runtime: Ec2Runtime, wanted: Sequence[Offer], token: str, request: Mapping[str, Any], *, first: int = 0
) -> str:
    """Launch an instance of the first kind of which there is one. Called again with equal arguments, it finds it.

    :param client: boto3's, of ``ec2``.
    :param token: stands for the instance, with the kind that it becomes.
    :param request: of ``RunInstances``, what does not depend on the kind.
    :param first: the kind to begin with: that of an unanswered request.
    :return: its id.
    :raises NoCapacityError: there is none of any kind now.
    :raises UnansweredError: EC2 has not judged the request.
    :raises SpentTokenError: it has been launched, and has ended.
    :raises UserError: EC2 will never launch it like this.
    """
    refused: list[tuple[Offer, NotHereError]] = []
    for number, offer in enumerate(wanted):
        if number < first:
            continue
        try:
            with explained():
                answer = client.run_instances(
                    **request, **_of_kind(runtime, offer), ClientToken=content_id([token, *offer], _TOKEN_CHARACTERS)
                )
        except NotHereError as error:
            _LOG.info("EC2 has no %s: %s", offer, error)
            refused.append((offer, error))
            continue
        except ThrottledError as error:
            raise UnansweredError(str(error), number) from error
        return str(answer["Instances"][0]["InstanceId"])
    said = "\n".join(f"  - {offer}: {error}" for offer, error in refused)
    if all(error.for_good for _, error in refused):
        raise UserError(f"EC2 has none of these here, nor will have:\n{said}")
    raise NoCapacityError(f"EC2 has no room now:\n{said}")


def common_request(client: Any, runtime: Ec2Runtime, script: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """What does not depend on the kind of instance.

    :raises UserError: EC2 does not know the AMI.
    """
    request: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "UserData": script,  # boto3 encodes it
        "InstanceInitiatedShutdownBehavior": "terminate",
        # Version 2 of the metadata service only. One hop: the worker has the host's network, nothing else gets there.
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            for kind in ("instance", "volume")
        ],
    }
    if runtime.launch_template:
        name = "LaunchTemplateId" if runtime.launch_template.startswith("lt-") else "LaunchTemplateName"
        version = {"Version": runtime.launch_template_version} if runtime.launch_template_version else {}
        request["LaunchTemplate"] = {name: runtime.launch_template, **version}
    if runtime.image_id:
        request["ImageId"] = runtime.image_id
    if runtime.iam_instance_profile:
        kind = "Arn" if runtime.iam_instance_profile.startswith("arn:") else "Name"
        request["IamInstanceProfile"] = {kind: runtime.iam_instance_profile}
    if runtime.key_name:
        request["KeyName"] = runtime.key_name
    if runtime.volume_size or runtime.image_id or runtime.root_device_name:  # else only the template knows the AMI
        disk: dict[str, Any] = {"Encrypted": True, "DeleteOnTermination": True, "VolumeType": "gp3"}
        if runtime.volume_size:
            disk["VolumeSize"] = runtime.volume_size
        request["BlockDeviceMappings"] = [{"DeviceName": _root_device(client, runtime), "Ebs": disk}]
    return {**request, **runtime.run_instances_kwargs}


def _of_kind(runtime: Ec2Runtime, offer: Offer) -> dict[str, Any]:
    kind: dict[str, Any] = {}
    if offer.instance_type:
        kind["InstanceType"] = offer.instance_type
    if offer.spot:
        once = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        kind["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": once}
    if runtime.assign_public_ip is not None:
        # Only an interface that is described takes this; it then takes the subnet and the groups too.
        interface: dict[str, Any] = {"DeviceIndex": 0, "AssociatePublicIpAddress": runtime.assign_public_ip}
        if offer.subnet:
            interface["SubnetId"] = offer.subnet
        if runtime.security_groups:
            interface["Groups"] = list(runtime.security_groups)
        kind["NetworkInterfaces"] = [interface]
        return kind
    if offer.subnet:
        kind["SubnetId"] = offer.subnet
    if runtime.security_groups:
        kind["SecurityGroupIds"] = list(runtime.security_groups)
    return kind


def _root_device(client: Any, runtime: Ec2Runtime) -> str:
    """Under another name than the AMI's own, the settings would be of a second disk, and the first not encrypted."""
    if runtime.root_device_name:
        return runtime.root_device_name
    image_id = runtime.image_id or ""
    if not image_id.startswith("ami-"):
        raise UserError(
            f"Ec2Runtime(image_id={image_id!r}): of an AMI that is not named by its id, the name of the root device "
            "must be given: root_device_name='/dev/xvda' for Amazon Linux."
        )
    with explained():
        found = client.describe_images(ImageIds=[image_id])["Images"]
    if not found:
        raise UserError(f"There is no AMI {image_id} in the region {client.meta.region_name}.")
    return str(found[0]["RootDeviceName"])
