from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from airflow_sklearn.exceptions import ThrottledError, UserError
from airflow_sklearn.runtimes.ec2.errors import NotHereError, explained


def raised(code: str, message: str = "said", status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "RunInstances")  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded", "SpotMaxPriceTooLow"])
def test_want_of_one_kind_leaves_others(code: str) -> None:
    with pytest.raises(NotHereError, match=code) as caught, explained():
        raise raised(code, status=500)
    assert not caught.value.for_good


def test_a_zone_that_never_has_a_type_is_told_apart() -> None:
    with pytest.raises(NotHereError) as caught, explained():
        raise raised("Unsupported", "Your requested instance type is not supported in your requested zone")
    assert caught.value.for_good


def test_without_ec2s_own_role_there_is_no_spot_and_the_message_says_how_to_make_it() -> None:
    with pytest.raises(NotHereError, match="create-service-linked-role") as caught, explained():
        raise raised("AuthFailure.ServiceLinkedRoleCreationNotPermitted")
    assert caught.value.for_good, "on demand there may be some"


@pytest.mark.parametrize(
    "error",
    [
        raised("RequestLimitExceeded", status=503),
        raised("InternalError", status=500),
        raised("Unavailable", status=503),
        ReadTimeoutError(endpoint_url="ec2"),
        EndpointConnectionError(endpoint_url="ec2"),
    ],
    ids=["throttle", "internal", "unavailable", "no answer", "no way"],
)
def test_what_says_nothing_of_the_request_may_be_asked_again(error: Exception) -> None:
    with pytest.raises(ThrottledError), explained():
        raise error


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        ("UnauthorizedOperation", "You are not authorized to perform this operation", "decode-authorization-message"),
        ("UnauthorizedOperation", "... perform: iam:PassRole on resource", "pass the instances' role"),
        ("InvalidParameterValue", "Value (x) for parameter iamInstanceProfile.name is invalid", "not of a role"),
        ("InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist", "region_name"),
        (
            "InvalidParameterCombination",
            "Network interfaces and an instance-level subnet ID may not",
            "assign_public_ip",
        ),
        ("InvalidSubnetID.NotFound", "The subnet ID 'subnet-1' does not exist", "RunInstances"),
    ],
)
def test_what_ec2_refuses_for_good_comes_with_advice(code: str, message: str, advice: str) -> None:
    with pytest.raises(UserError, match=code) as caught, explained():
        raise raised(code, message)
    assert advice in str(caught.value)
    assert message in str(caught.value)
