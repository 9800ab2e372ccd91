"""The meaning of EC2's errors: try another type or zone, try again later, or give up.

Source: "Error codes for the Amazon EC2 API" in the Amazon EC2 API Reference.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from airflow_sklearn.aws.errors import Kind, classify, code_of, message_of, table
from airflow_sklearn.exceptions import AirflowSklearnError, ThrottledError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The zone never has this type, or the account has no Spot instances.
_NOT_HERE = ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", "Unsupported", "UnsupportedOperation")
#: The instance that the token stands for has ended.
_SPENT = "IdempotentInstanceTerminated"
OWN = table(
    # Of this type, in this zone, on this market; of another one there may be.
    (
        Kind.NO_CAPACITY,
        r"(Insufficient(AddressCapacity|Capacity|FreeAddressesInSubnet|HostCapacity|InstanceCapacity)"
        r"|(Instance|NetworkInterface|Vcpu|Volume)LimitExceeded|MaxSpot(Instance|FleetRequest)CountExceeded"
        r"|SpotMaxPriceTooLow):",
    ),
    (Kind.NOT_FOUND, r"InvalidInstanceID\.NotFound:"),
)


class NotHereError(AirflowSklearnError):
    """EC2 gives no instance of this type in this zone on this market now.

    :param for_good: the zone never has this type.
    """

    def __init__(self, message: str, *, for_good: bool) -> None:
        super().__init__(message)
        self.for_good = for_good


class SpentTokenError(AirflowSklearnError):
    """The instance that was launched with this client token has ended."""


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn errors of the EC2 API within the context into the package's own.

    :raises NotHereError: another type or zone may have capacity.
    :raises SpentTokenError: the instance of this client token has ended.
    :raises ThrottledError: the call may be repeated: a throttle, a fault of the service, or no answer.
    :raises UserError: EC2 refuses the request for good.
    """
    try:
        yield
    except Exception as error:
        kind, code, said = classify(error, OWN), code_of(error), message_of(error)
        if kind is Kind.UNREACHABLE:
            # EC2 may have received it nevertheless. The same call with the same token then gives the same answer.
            raise ThrottledError(f"EC2 has not answered: {error}") from error
        if not code:
            raise
        if code == _SPENT:
            raise SpentTokenError(said) from error
        text = f"{code}: {said}{_advice(code, said)}"
        if kind is Kind.NO_CAPACITY or code in _NOT_HERE:
            raise NotHereError(text, for_good=code in _NOT_HERE) from error
        if kind is Kind.THROTTLED:
            raise ThrottledError(f"EC2 asks to come again later: {said or code}") from error
        if kind is Kind.UNAVAILABLE:
            raise ThrottledError(f"EC2 fails, and may not the next time: {code}: {said}") from error
        raise UserError(f"EC2 refuses {getattr(error, 'operation_name', 'a call')}: {text}") from error


def _advice(code: str, said: str) -> str:
    if "iam:PassRole" in said:
        return "\nAirflow's role must be allowed to pass the instances' role: see docs/guides/iam.md."
    if code in ("UnauthorizedOperation", "AccessDenied", "AuthFailure"):
        return (
            "\nAirflow's role needs what `python -m airflow_sklearn.iam --ec2` prints: see docs/guides/iam.md. "
            "`aws sts decode-authorization-message` says which right was missing."
        )
    if "iamInstanceProfile" in said or "IAM Instance Profile" in said:
        return "\nIt is the name of an instance profile, not of a role: Ec2Runtime(iam_instance_profile=...)."
    if code.startswith("InvalidAMIID"):
        return "\nAMIs are of one region: is it another than that of the connection? Ec2Runtime(region_name=...)."
    if code.startswith("AuthFailure.ServiceLinkedRole"):
        return (
            "\nSpot takes a role of EC2's own, once in an account: "
            "`aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`."
        )
    if "etwork interface" in said:
        return (
            "\nThe launch template has network interfaces: subnets and groups then go into them. Say "
            "Ec2Runtime(assign_public_ip=...), or take them out of the template."
        )
    if code == "MissingParameter" or code.startswith("InvalidParameterCombination"):
        return "\nA launch template may lack it: give it to Ec2Runtime, or to the template."
    if code in ("VPCIdNotSpecified", "MissingInput"):
        return "\nThere is no default VPC: give Ec2Runtime(subnets=[...])."
    return ""
