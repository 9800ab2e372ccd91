"""What ECS says when it does not do what it was asked: at once again, later, or never."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_sklearn.exceptions import NoCapacityError, ThrottledError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from botocore.exceptions import ClientError

# Sources: "API failures messages" and "Errors" of RunTask in the Amazon ECS API reference and developer guide; what
# they do not have is from reports of users.
_THROTTLES = (
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
)
#: Throttles also come under names that mean something else, those of other services inside of a message.
_THROTTLED = re.compile(
    r"throttl|rate exceeded|request limit exceeded|RequestLimitExceeded|too many (concurrent|requests)", re.IGNORECASE
)
#: Want of room, as an error of the call.
_NO_ROOM_NOW = re.compile(
    r"capacity is unavailable|limit on the number of|provisioning capacity|no container instances were found",
    re.IGNORECASE,
)
#: Want of room, as the reason for which nothing was placed.
_NOT_PLACED = re.compile(r"^RESOURCE|^AGENT\b|^INACTIVE$|capacity|limit|no container instances", re.IGNORECASE)
#: Sounds like a quota that others use up, and is about the size that was asked for.
_NEVER_FITS = re.compile(r"above your limit", re.IGNORECASE)
_NO_DEFINITION = re.compile(r"unable to describe task definition|task definition (does not exist|not found)", re.I)
_SERVER_ERROR = 500
#: Refusals of what was asked for: asking again changes nothing.
_FOR_GOOD = (
    "AccessDeniedException",
    "BlockedException",
    "ClientException",
    "ClusterNotFoundException",
    "ConflictException",
    "InvalidParameterException",
    "PlatformTaskDefinitionIncompatibilityException",
    "PlatformUnknownException",
    "UnsupportedFeatureException",
)


@contextlib.contextmanager
def explained(cluster: str) -> Iterator[None]:
    """Turn errors of the ECS API into ours.

    :raises ThrottledError: the call may be repeated as it is: a throttle, a fault of the service, no answer.
    :raises NoCapacityError: nothing free.
    :raises UserError: ECS refuses the request for good.
    """
    from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

    try:
        yield
    except (ConnectionClosedError, ReadTimeoutError) as error:
        # It may have been heard all the same. The same call, with its token, then gives the same answer.
        raise ThrottledError(f"ECS has not answered: {error}") from error
    except ClientError as error:
        code, said = _code(error), _message(error)
        if is_throttle(error):
            raise ThrottledError(f"ECS asks to come again later: {said or code}") from error
        if not _NEVER_FITS.search(said):
            if code == "LimitExceededException" or _NO_ROOM_NOW.search(said):
                raise NoCapacityError(f"ECS (cluster {cluster}) has no room now: {said or code}") from error
            if _is_fault_of_the_service(error):
                raise ThrottledError(f"ECS fails, and may not the next time: {code}: {said}") from error
        if code in _FOR_GOOD:
            where = f"ECS (cluster {cluster}) refuses {error.operation_name}"
            raise UserError(f"{where}: {code}: {said}{_advice(code, said)}") from error
        raise


def raise_refusal(cluster: str, failures: Sequence[Mapping[str, Any]]) -> NoReturn:
    """When RunTask answers without an error and without a task.

    :raises NoCapacityError: there may be room later.
    :raises UserError: there will not.
    """
    reasons = [failure.get("reason") or "" for failure in failures]
    details = [f"{failure.get('reason', '')} {failure.get('detail', '')}".strip() for failure in failures]
    why = "; ".join(dict.fromkeys(details)) or "no reason given"
    if any(_THROTTLED.search(reason) for reason in reasons):
        raise ThrottledError(f"ECS asks to come again later: {why}")
    if not reasons or any(_NOT_PLACED.search(reason) and not _NEVER_FITS.search(reason) for reason in reasons):
        raise NoCapacityError(f"ECS has no room in the cluster {cluster}: {why}")
    raise UserError(f"ECS places no such task in the cluster {cluster}: {why}")


def is_throttle(error: ClientError) -> bool:
    """Too many calls."""
    return _code(error) in _THROTTLES or bool(_THROTTLED.search(_message(error)))


def is_no_definition(error: ClientError) -> bool:
    """DescribeTaskDefinition: there is none of that name. ECS has no error of its own for that."""
    return bool(_NO_DEFINITION.search(_message(error)))


def is_forgotten(error: ClientError) -> bool:
    """StopTask: ECS does not know the task, no more or not yet."""
    return _code(error) == "InvalidParameterException" and "not found" in _message(error)


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))


def _message(error: ClientError) -> str:
    return str(error.response["Error"].get("Message", ""))


def _is_fault_of_the_service(error: ClientError) -> bool:
    metadata = error.response.get("ResponseMetadata") or {}
    return _code(error) == "ServerException" or metadata.get("HTTPStatusCode", 0) >= _SERVER_ERROR


def _advice(code: str, said: str) -> str:
    if "iam:PassRole" in said:
        return "\nAirflow's role must be allowed to pass the task role and the execution role: see docs/iam.md."
    if code == "AccessDeniedException":
        return "\nAirflow's role needs what `python -m airflow_sklearn.iam` prints: see docs/iam.md."
    if code == "ClusterNotFoundException":
        return "\nIs it in another region? EcsRuntime(region_name=...), or the region of the Airflow connection."
    if "network configuration" in said.lower():
        return "\nGive the tasks a network: EcsRuntime(subnets=[...], security_groups=[...])."
    return ""
