"""Launching one instance: which types, zones and markets to try, in which order."""

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
_TOKEN_CHARACTERS = 64  # the limit of ClientToken: RunInstances in the Amazon EC2 API Reference


class Offer(NamedTuple):
    """One acceptable kind of instance. None: the launch template's value, or EC2's default."""

    spot: bool
    instance_type: str | None
    subnet: str | None

    def __str__(self) -> str:
        market = "Spot" if self.spot else "on demand"
        return f"{self.instance_type or 'the type of the launch template'} {market} in {self.subnet or 'any zone'}"


def offers(options: Ec2Options, attempt: int, types: Sequence[str]) -> Iterator[Offer]:
    """All acceptable kinds of instances, the best first: Spot before on demand, then types in order, each in all
    zones.

    :param options: the runtime's options.
    :param attempt: the attempt's number in the job's Airflow task.
    :param types: instance types, the best first.
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
    """EC2 has not answered a request, but may have launched an instance.

    :param offer: the index of the requested kind. The same request again gives the same instance.
    """

    def __init__(self, message: str, offer: int) -> None:
        super().__init__(message)
        self.offer = offer


def launch(
    client: Any, options: Ec2Options, wanted: Sequence[Offer], token: str, request: Mapping[str, Any], *, first: int = 0
) -> str:
    """Launch an instance of the first kind that has capacity. The same call again finds the same instance.

    :param client: a boto3 client for ``ec2``.
    :param options: the runtime's options.
    :param wanted: the acceptable kinds, the best first.
    :param token: identifies the instance, together with its kind (``ClientToken``).
    :param request: the arguments of ``RunInstances`` that do not depend on the kind.
    :param first: the index of the kind to begin with: that of an unanswered request.
    :return: the instance's id.
    :raises NoCapacityError: no kind has capacity now.
    :raises UnansweredError: EC2 has not answered the request.
    :raises SpentTokenError: the instance was launched before, and has ended.
    :raises UserError: EC2 will never accept the request.
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
    """The arguments of ``RunInstances`` that do not depend on the kind of instance.

    :param client: a boto3 client for ``ec2``.
    :param options: the runtime's options.
    :param script: the user data.
    :param tags: the instance's tags.
    :raises UserError: EC2 does not know the AMI.
    """
    request: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "UserData": script,  # boto3 encodes it
        "InstanceInitiatedShutdownBehavior": "terminate",
        # Only version 2 of the metadata service. One hop reaches the worker, which has the host's network, and no more.
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
    """The AMI's root device name. With another name, the settings would apply to a second disk, and the first would
    not be encrypted.
    """
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
