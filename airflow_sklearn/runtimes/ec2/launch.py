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

    from airflow_sklearn.runtimes.ec2.options import Ec2Options

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


def offers(options: Ec2Options, attempt: int, types: Sequence[str]) -> Iterator[Offer]:
    """All that will do, the best first: Spot before on demand, then the types in their order, each in all zones.

    :param attempt: of the job's Airflow task.
    """
    fallback = options.on_demand_from_attempt
    markets = [False]
    if options.spot:
        late = fallback is not None and attempt >= fallback
        markets = [False] if late else [True] if fallback is None else [True, False]
    any_type: Sequence[str | None] = types or [None]
    any_subnet: Sequence[str | None] = options.subnets or [None]
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
    client: Any, options: Ec2Options, wanted: Sequence[Offer], token: str, request: Mapping[str, Any], *, first: int = 0
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
                    **request, **_of_kind(options, offer), ClientToken=content_id([token, *offer], _TOKEN_CHARACTERS)
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


def common_request(client: Any, options: Ec2Options, script: str, tags: Mapping[str, str]) -> dict[str, Any]:
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
    if options.launch_template:
        name = "LaunchTemplateId" if options.launch_template.startswith("lt-") else "LaunchTemplateName"
        version = {"Version": options.launch_template_version} if options.launch_template_version else {}
        request["LaunchTemplate"] = {name: options.launch_template, **version}
    if options.image_id:
        request["ImageId"] = options.image_id
    if options.iam_instance_profile:
        kind = "Arn" if options.iam_instance_profile.startswith("arn:") else "Name"
        request["IamInstanceProfile"] = {kind: options.iam_instance_profile}
    if options.key_name:
        request["KeyName"] = options.key_name
    if options.volume_size or options.image_id or options.root_device_name:  # else only the template knows the AMI
        disk: dict[str, Any] = {"Encrypted": True, "DeleteOnTermination": True, "VolumeType": "gp3"}
        if options.volume_size:
            disk["VolumeSize"] = options.volume_size
        request["BlockDeviceMappings"] = [{"DeviceName": _root_device(client, options), "Ebs": disk}]
    return {**request, **options.run_instances_kwargs}


def _of_kind(options: Ec2Options, offer: Offer) -> dict[str, Any]:
    kind: dict[str, Any] = {}
    if offer.instance_type:
        kind["InstanceType"] = offer.instance_type
    if offer.spot:
        once = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        kind["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": once}
    if options.assign_public_ip is not None:
        # Only an interface that is described takes this; it then takes the subnet and the groups too.
        interface: dict[str, Any] = {"DeviceIndex": 0, "AssociatePublicIpAddress": options.assign_public_ip}
        if offer.subnet:
            interface["SubnetId"] = offer.subnet
        if options.security_groups:
            interface["Groups"] = list(options.security_groups)
        kind["NetworkInterfaces"] = [interface]
        return kind
    if offer.subnet:
        kind["SubnetId"] = offer.subnet
    if options.security_groups:
        kind["SecurityGroupIds"] = list(options.security_groups)
    return kind


def _root_device(client: Any, options: Ec2Options) -> str:
    """Under another name than the AMI's own, the settings would be of a second disk, and the first not encrypted."""
    if options.root_device_name:
        return options.root_device_name
    image_id = options.image_id or ""
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
