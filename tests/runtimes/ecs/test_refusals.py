"""Errors of the ECS API in its own words: those that mean "later" cannot be provoked in a local AWS at will."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from airflow_sklearn.exceptions import NoCapacityError, UserError
from airflow_sklearn.runtimes.ecs.refusals import explained


def refuse(code: str, message: str) -> None:
    with explained("ml"):
        raise ClientError({"Error": {"Code": code, "Message": message}}, "RunTask")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ThrottlingException", "Rate exceeded"),
        ("InvalidParameterException", "Rate exceeded"),
        ("ClientException", "Capacity is unavailable at this time. Please try again later."),
        ("ClientException", "You've reached the limit on the number of tasks you can run concurrently"),
        ("LimitExceededException", "The limit for the resource was exceeded."),
    ],
)
def test_throttles_and_want_of_room_mean_later_whatever_they_are_called(code: str, message: str) -> None:
    with pytest.raises(NoCapacityError, match=message[:12]):
        refuse(code, message)


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
    with pytest.raises(ClientError, match="ServerException"):
        refuse("ServerException", "internal")
