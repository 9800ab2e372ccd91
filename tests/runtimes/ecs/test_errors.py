"""Errors of the ECS API in its own words: those that mean "later" cannot be provoked in a local AWS at will."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_sklearn.exceptions import NoCapacityError, ThrottledError, UserError
from airflow_sklearn.runtimes.ecs.errors import explained, raise_failures


def refuse(code: str, message: str, http_status: int = 400) -> None:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": http_status}}
    with explained("ml"):
        raise ClientError(answer, "RunTask")


@pytest.mark.parametrize(
    ("code", "message", "http_status"),
    [
        ("ThrottlingException", "Rate exceeded", 400),
        ("ClientException", "Rate exceeded", 400),
        ("InvalidParameterException", "Rate exceeded", 400),
        (
            "InvalidParameterException",
            "Error retrieving security group information for [sg-1]: Request limit exceeded. "
            "(ErrorCode: RequestLimitExceeded)",
            400,
        ),
        (
            "ClientException",
            "Too many concurrent attempts to create a new revision of the specified family.",
            400,
        ),
        ("ServerException", "Service Unavailable. Please try again later.", 500),
        ("InternalFailure", "", 503),
    ],
)
def test_throttles_and_faults_of_the_service_say_nothing_of_room(code: str, message: str, http_status: int) -> None:
    with pytest.raises(ThrottledError):
        refuse(code, message, http_status)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ClientException", "Capacity is unavailable at this time. Please try again later."),
        ("ClientException", "You've reached the limit on the number of tasks you can run concurrently"),
        ("ClientException", "You\u2019ve reached the limit on the number of vCPUs you can run concurrently"),
        ("ClientException", "Tasks provisioning capacity limit exceeded."),
        ("InvalidParameterException", "No Container Instances were found in your cluster."),
        ("LimitExceededException", "The limit for the resource was exceeded."),
    ],
)
def test_want_of_room_means_later_whatever_it_is_called(code: str, message: str) -> None:
    with pytest.raises(NoCapacityError) as error:
        refuse(code, message)
    assert message in str(error.value)
    assert not isinstance(error.value, ThrottledError)


@pytest.mark.parametrize("reason", ["RESOURCE:CPU", "RESOURCE:ENI", "AGENT", "Capacity is unavailable at this time"])
def test_what_is_not_placed_for_want_of_room_may_be_later(reason: str) -> None:
    with pytest.raises(NoCapacityError, match=reason) as error:
        raise_failures("ml", [{"arn": "arn", "reason": reason}])
    assert not isinstance(error.value, ThrottledError)


def test_a_size_above_the_accounts_limit_never_passes() -> None:
    said = "The requested CPU configuration is above your limit"
    with pytest.raises(UserError, match=said):
        raise_failures("ml", [{"reason": said}])
    with pytest.raises(UserError, match=said):
        refuse("ClientException", said)


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        ("AccessDeniedException", "User is not authorized to perform: ecs:RunTask", "airflow_sklearn.iam"),
        (
            "AccessDeniedException",
            "User is not authorized to perform: iam:PassRole on resource: r",
            "pass the task role",
        ),
        ("ClusterNotFoundException", "Cluster not found.", "region_name"),
        ("InvalidParameterException", "Network Configuration must be provided when networkMode", "subnets="),
        ("ClientException", "The container images are of an unknown platform", "ClientException"),
    ],
)
def test_refusals_for_good_say_what_to_do(code: str, message: str, advice: str) -> None:
    with pytest.raises(UserError) as error:
        refuse(code, message)
    assert message in str(error.value)
    assert advice in str(error.value)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ClientError, match="OddException"):
        refuse("OddException", "strange")
