"""The meaning of ECS's errors: try again at once, try again later, or give up."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_sklearn.aws.errors import Kind, classify, code_of, kind_in, message_of, table
from airflow_sklearn.exceptions import NoCapacityError, ThrottledError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Sources: "API failures messages" and "Errors" of RunTask in the Amazon ECS API reference and developer guide; what
# they do not have is from reports of users.
_LATER_OR_NEVER = (
    # Throttles also come under names that mean something else, those of other services inside of a message.
    (Kind.THROTTLED, r".*(throttl|rate exceeded|request ?limit ?exceeded|too many (concurrent|requests))"),
    # Messages that look like an exhausted quota, but are about the requested size.
    (Kind.INVALID, r".*above your limit"),
)
#: Errors of calls.
OWN = table(
    *_LATER_OR_NEVER,
    (
        Kind.NO_CAPACITY,
        r"LimitExceededException:|.*(capacity is unavailable|limit on the number of|provisioning capacity"
        r"|no container instances were found)",
    ),
    # A missing task or task definition: ECS has no error code of its own for these.
    (
        Kind.NOT_FOUND,
        r"InvalidParameterException:.*not found"
        r"|.*(unable to describe task definition|task definition (does not exist|not found))",
    ),
    # Refusals of the request itself: a repetition would be refused too.
    (
        Kind.INVALID,
        r"(Blocked|Client|ClusterNotFound|Conflict|InvalidParameter|PlatformTaskDefinitionIncompatibility"
        r"|PlatformUnknown|UnsupportedFeature)Exception:",
    ),
)
#: Reasons why RunTask has placed no task.
_NOT_PLACED = table(
    *_LATER_OR_NEVER,
    (Kind.NO_CAPACITY, r"RESOURCE|AGENT\b|INACTIVE$|.*(capacity|limit|no container instances)"),
)


@contextlib.contextmanager
def explained(cluster: str) -> Iterator[None]:
    """Turn errors of the ECS API within the context into the package's own.

    :param cluster: the cluster's name, for messages.
    :raises ThrottledError: the call may be repeated: a throttle, a fault of the service, or no answer.
    :raises NoCapacityError: there is no capacity now.
    :raises UserError: ECS refuses the request for good.
    """
    try:
        yield
    except Exception as error:
        kind, code = classify(error, OWN), code_of(error)
        said = message_of(error) or code or str(error)
        if kind is Kind.UNREACHABLE:
            # ECS may have received it nevertheless. The same call with the same token then gives the same answer.
            raise ThrottledError(f"ECS has not answered: {error}") from error
        if kind is Kind.UNAVAILABLE:
            raise ThrottledError(f"ECS fails, and may not the next time: {code}: {said}") from error
        if kind is Kind.THROTTLED:
            raise ThrottledError(f"ECS asks to come again later: {said}") from error
        if kind is Kind.NO_CAPACITY:
            raise NoCapacityError(f"ECS (cluster {cluster}) has no room now: {said}") from error
        if kind in (Kind.DENIED, Kind.INVALID, Kind.NOT_FOUND):
            where = f"ECS (cluster {cluster}) refuses {getattr(error, 'operation_name', 'a call')}"
            raise UserError(f"{where}: {code}: {said}{_advice(code, said)}") from error
        raise


def raise_failures(cluster: str, failures: Sequence[Mapping[str, Any]]) -> NoReturn:
    """Raise the error for an answer of RunTask that has neither an error nor a task.

    :param cluster: the cluster's name, for messages.
    :param failures: the answer's ``failures``.
    :raises NoCapacityError: there may be capacity later.
    :raises UserError: there will not.
    """
    reasons = [failure.get("reason") or "" for failure in failures]
    details = [f"{failure.get('reason', '')} {failure.get('detail', '')}".strip() for failure in failures]
    why = "; ".join(dict.fromkeys(details)) or "no reason given"
    kinds = [kind_in(_NOT_PLACED, reason) for reason in reasons]
    if Kind.THROTTLED in kinds:
        raise ThrottledError(f"ECS asks to come again later: {why}")
    if not kinds or Kind.NO_CAPACITY in kinds:
        raise NoCapacityError(f"ECS has no room in the cluster {cluster}: {why}")
    raise UserError(f"ECS places no such task in the cluster {cluster}: {why}")


def _advice(code: str, said: str) -> str:
    if "iam:PassRole" in said:
        return "\nAirflow's role must be allowed to pass the task role and the execution role: see docs/guides/iam.md."
    if code == "AccessDeniedException":
        return "\nAirflow's role needs what `python -m airflow_sklearn.iam` prints: see docs/guides/iam.md."
    if code == "ClusterNotFoundException":
        return "\nIs it in another region? EcsRuntime(region_name=...), or the region of the Airflow connection."
    if "network configuration" in said.lower():
        return "\nGive the tasks a network: EcsRuntime(subnets=[...], security_groups=[...])."
    return ""
