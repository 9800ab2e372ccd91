"""That the local cloud's instances boot, end and are refused as Amazon EC2's are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from local_cloud.container_cloud import ContainerCloud
from local_cloud.waiting import wait_for

Launch = Callable[..., str]
WAIT = "#!/bin/sh\necho booted\nsleep 600\n"


@pytest.fixture(scope="module")
def ec2(container_cloud: ContainerCloud) -> Any:
    """A client that does not try again."""
    return container_cloud.cloud.client("ec2", attempts=1)


@pytest.fixture
def launch(container_cloud: ContainerCloud, ec2: Any) -> Launch:
    """Start an instance with these user data; its id."""

    def start(user_data: str, **more: Any) -> str:
        request = {"ImageId": container_cloud.ami, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, **more}
        return ec2.run_instances(UserData=user_data, **request)["Instances"][0]["InstanceId"]

    return start


def described(ec2: Any, instance: str) -> dict[str, Any]:
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]


def ended(ec2: Any, instance: str) -> dict[str, Any]:
    """An instance that has terminated by now."""
    wait_for(lambda: described(ec2, instance)["State"]["Name"] == "terminated", f"{instance} to end", pause=0.1)
    return described(ec2, instance)


def printed(ec2: Any, instance: str, text: str) -> None:
    """Waits until an instance's console has the text."""
    wait_for(lambda: text in ec2.get_console_output(InstanceId=instance).get("Output", ""), text, pause=0.1)


def test_user_data_run_and_may_shut_the_instance_down(ec2: Any, launch: Launch) -> None:
    instance = launch("#!/bin/sh\necho booted\nshutdown -h now\n", InstanceInitiatedShutdownBehavior="terminate")
    assert ended(ec2, instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    printed(ec2, instance, "booted")


def test_an_instance_is_terminated(container_cloud: ContainerCloud, ec2: Any, launch: Launch) -> None:
    instance = launch(WAIT)
    printed(ec2, instance, "booted")
    ec2.terminate_instances(InstanceIds=[instance])
    assert ended(ec2, instance)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    container_cloud.wait_until_none_runs()


def test_a_spot_instance_is_taken_back(container_cloud: ContainerCloud, ec2: Any, launch: Launch) -> None:
    instance = launch(WAIT, InstanceMarketOptions={"MarketType": "spot"})
    printed(ec2, instance, "booted")
    container_cloud.spot_instance_interruption(instance)
    assert ended(ec2, instance)["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_a_type_is_refused_as_often_as_a_test_wants(container_cloud: ContainerCloud, ec2: Any, launch: Launch) -> None:
    container_cloud.refuse_run_instances("t3.micro", times=1)
    with pytest.raises(botocore.exceptions.ClientError, match="InsufficientInstanceCapacity"):
        launch(WAIT)
    instance = launch("#!/bin/sh\nshutdown -h now\n", InstanceInitiatedShutdownBehavior="terminate")
    assert ended(ec2, instance)


def test_one_client_token_makes_one_instance(ec2: Any, launch: Launch) -> None:
    instance = launch(WAIT, ClientToken="once")
    assert launch(WAIT, ClientToken="once") == instance
    with pytest.raises(botocore.exceptions.ClientError, match="IdempotentParameterMismatch"):
        launch("#!/bin/sh\n", ClientToken="once")
    ec2.terminate_instances(InstanceIds=[instance])
    assert ended(ec2, instance)
