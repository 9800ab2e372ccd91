"""How statements of policies are written: their resources, conditions, and objects in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_sklearn.aws.iam.setting import ObjectName, Place, Setting

Policy = dict[str, Any]
Statement = dict[str, Any]

# Names of what lies in destinations and staging: see ``policies.py``.
ANY_LEDGER = "*_airflow_sklearn/*"
TABLES_LEDGER = "*tables/*/_airflow_sklearn/*"


def below(places: Iterable[Place], *patterns: str) -> list[ObjectName]:
    """Objects below any of several folders."""
    return [name for place in places for name in place.below(*patterns)]


def in_ledgers(setting: Setting, *patterns: str) -> list[ObjectName]:
    """Below a destination, and in staging, ledgers have a folder of their own; one that is given as ledger is one."""
    return [
        *below(setting.destinations, *(f"{ANY_LEDGER}{pattern}" for pattern in patterns)),
        *below(setting.staging, *(f"{TABLES_LEDGER}{pattern}" for pattern in patterns)),
        *below(setting.ledgers, *(f"*{pattern}" for pattern in patterns)),
    ]


def on_objects(setting: Setting, sid: str, action: str | list[str], names: Iterable[ObjectName]) -> Statement:
    """A right on objects in S3."""
    return allow(sid, action, [f"arn:{setting.partition}:s3:::{bucket}/{key}" for bucket, key in names])


def start_workers(setting: Setting, log_group: str) -> Iterator[Statement]:
    """Before a container runs, and beside it: its image, and its log.

    :param log_group: in CloudWatch Logs.
    """
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    yield allow("LogInToTheRegistry", "ecr:GetAuthorizationToken", ["*"])
    yield allow("PullTheImage", pull, setting.repositories)
    write = ["logs:CreateLogStream", "logs:PutLogEvents"]
    yield allow("WriteLogs", write, [setting.arn("logs", f"log-group:{log_group}:*")])


def widest(patterns: Iterable[str]) -> list[str]:
    """Without those that another one covers."""
    found = sorted(set(patterns))
    return [
        one
        for one in found
        if not any(one != other and other.endswith("*") and one.startswith(other[:-1]) for other in found)
    ]


def allow(
    sid: str, action: str | list[str], resources: Iterable[str], condition: dict[str, Any] | None = None
) -> Statement:
    """A right.

    :param sid: its name, which ``docs/iam.md`` explains.
    """
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": action,
        "Resource": widest(resources),
        **({"Condition": condition} if condition else {}),
    }


def policy(*statements: Statement) -> Policy:
    """Without statements about folders of which none were given."""
    return {"Version": "2012-10-17", "Statement": [one for one in statements if one.get("Resource", True)]}


def service_trust(sid: str, service: str | list[str], condition: dict[str, Any] | None = None) -> Policy:
    """Who may take a role: a service of AWS.

    :param service: its principal, such as ``ec2.amazonaws.com``.
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
