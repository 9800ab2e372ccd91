"""What ECS says when it does not do what it was asked: come again later, or never."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_sklearn.exceptions import NoCapacityError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Sources: "API failures messages" and "Errors" of RunTask in the Amazon ECS API reference and developer guide.
_THROTTLES = (
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
)
#: Throttles and want of room also come under names that mean something else.
_PASSES = re.compile(
    r"rate exceeded|capacity is unavailable|limit on the number of tasks|too many concurrent|provisioning capacity",
    re.IGNORECASE,
)
_NO_ROOM = re.compile(r"^RESOURCE|^AGENT\b|^INACTIVE$|capacity|limit|throttl|rate exceeded", re.IGNORECASE)
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

    :raises NoCapacityError: a throttle, or nothing free.
    :raises UserError: ECS refuses the request for good.
    """
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        code, said = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if code in _THROTTLES or _PASSES.search(said):
            raise NoCapacityError(f"ECS asks to come again later: {said or code}") from error
        if code in _FOR_GOOD:
            raise UserError(f"ECS (cluster {cluster}) refuses: {code}: {said}{_advice(code, said)}") from error
        raise


def raise_refusal(cluster: str, failures: Sequence[Mapping[str, Any]]) -> NoReturn:
    """When RunTask answers without an error and without a task.

    :raises NoCapacityError: there may be room later.
    :raises UserError: there will not.
    """
    reasons = [failure.get("reason") or "" for failure in failures]
    details = [f"{failure.get('reason', '')} {failure.get('detail', '')}".strip() for failure in failures]
    why = "; ".join(dict.fromkeys(details)) or "no reason given"
    if not reasons or any(_NO_ROOM.search(reason) for reason in reasons):
        raise NoCapacityError(f"ECS has no room in the cluster {cluster}: {why}")
    raise UserError(f"ECS places no such task in the cluster {cluster}: {why}")


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
