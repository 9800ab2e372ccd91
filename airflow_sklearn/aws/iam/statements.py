"""Building policy statements: resources, conditions, and names of objects in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_sklearn.aws.iam.setting import ObjectName, Place, Setting

Policy = dict[str, Any]
Statement = dict[str, Any]

# Names of the objects in destinations and staging: see ``policies.py``.
ANY_LEDGER = "*_airflow_sklearn/*"
TABLES_LEDGER = "*tables/*/_airflow_sklearn/*"


def below(places: Iterable[Place], *patterns: str) -> list[ObjectName]:
    """Names of objects below any of several folders."""
    return [name for place in places for name in place.below(*patterns)]


def in_ledgers(setting: Setting, *patterns: str) -> list[ObjectName]:
    """Names of objects in ledgers. Destinations and staging hold ledgers in a folder of their own; a given ledger is
    one.
    """
    return [
        *below(setting.destinations, *(f"{ANY_LEDGER}{pattern}" for pattern in patterns)),
        *below(setting.staging, *(f"{TABLES_LEDGER}{pattern}" for pattern in patterns)),
        *below(setting.ledgers, *(f"*{pattern}" for pattern in patterns)),
    ]


def on_objects(setting: Setting, sid: str, action: str | list[str], names: Iterable[ObjectName]) -> Statement:
    """A statement that allows actions on objects in S3."""
    return allow(sid, action, [f"arn:{setting.partition}:s3:::{bucket}/{key}" for bucket, key in names])


def start_workers(setting: Setting, log_group: str) -> Iterator[Statement]:
    """Statements for starting a container: pulling its image and writing its log.

    :param log_group: the name of a log group in CloudWatch Logs.
    """
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    yield allow("LogInToTheRegistry", "ecr:GetAuthorizationToken", ["*"])
    yield allow("PullTheImage", pull, setting.repositories)
    write = ["logs:CreateLogStream", "logs:PutLogEvents"]
    yield allow("WriteLogs", write, [setting.arn("logs", f"log-group:{log_group}:*")])


def widest(patterns: Iterable[str]) -> list[str]:
    """The patterns without those that another one covers."""
    found = sorted(set(patterns))
    return [
        one
        for one in found
        if not any(one != other and other.endswith("*") and one.startswith(other[:-1]) for other in found)
    ]


def allow(
    sid: str, action: str | list[str], resources: Iterable[str], condition: dict[str, Any] | None = None
) -> Statement:
    """A statement that allows actions.

    :param sid: its name, which ``docs/guides/iam.md`` explains.
    :param action: one action or several, such as ``s3:GetObject``.
    :param resources: ARNs, which may contain wild cards.
    :param condition: the statement's condition; None: no condition.
    """
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": action,
        "Resource": widest(resources),
        **({"Condition": condition} if condition else {}),
    }


def policy(*statements: Statement) -> Policy:
    """A policy document. Statements without resources are left out: no such folder was given."""
    return {"Version": "2012-10-17", "Statement": [one for one in statements if one.get("Resource", True)]}


def service_trust(sid: str, service: str | list[str], condition: dict[str, Any] | None = None) -> Policy:
    """A trust policy: an AWS service may assume the role.

    :param sid: the statement's name.
    :param service: the service's principal, such as ``ec2.amazonaws.com``; or several.
    :param condition: the statement's condition; None: no condition.
    """
    return policy(
        {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sts:AssumeRole",
            **({"Condition": condition} if condition else {}),
        }
    )
