"""A driver's access to AWS: by a boto3 session, or by the Airflow connection of the task in which it runs."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from airflow_sklearn.runtimes.base import AwsAccess

#: Airflow sets it, with others, for the code that a task runs.
_IN_A_TASK = "AIRFLOW_CTX_DAG_ID"
_ATTEMPTS = 9


class SessionAccess:
    """Access to AWS by a boto3 session.

    :param session: ``boto3.Session``; None: boto3's own search (environment, profile, role).
    """

    def __init__(self, session: Any = None) -> None:
        self._session = session
        self._clients: dict[tuple[str, str | None, int | None], Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str, region_name: str | None = None, *, attempts: int | None = None) -> Any:
        """A boto3 client, the same one for the same service and region.

        :param service: such as ``sqs``.
        :param region_name: the region; None: the session's.
        :param attempts: the largest number of attempts a call; None: boto3's default.
        """
        from botocore.config import Config

        with self._lock:  # a session is not thread-safe
            key = (service, region_name, attempts)
            if key not in self._clients:
                retries = Config(retries={"mode": "standard", "total_max_attempts": attempts or _ATTEMPTS})
                self._clients[key] = self._boto3.client(service, region_name=region_name, config=retries)
            return self._clients[key]

    def environment(self) -> dict[str, str]:
        """The session's credentials and region as environment variables, for a worker that is a local process."""
        credentials = self._boto3.get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials else None
        values = {
            "AWS_ACCESS_KEY_ID": frozen and frozen.access_key,
            "AWS_SECRET_ACCESS_KEY": frozen and frozen.secret_key,
            "AWS_SESSION_TOKEN": frozen and frozen.token,
            "AWS_DEFAULT_REGION": self._boto3.region_name,
        }
        return {name: value for name, value in values.items() if value}

    @property
    def _boto3(self) -> Any:
        if self._session is None:
            import boto3

            self._session = boto3.Session()
        return self._session


def access_to(aws: Any) -> AwsAccess:
    """The access to AWS for a runtime, a queue and the storage.

    :param aws: a boto3 session, the id of an Airflow connection, or an object with ``client`` and ``environment``.
        None: the connection ``aws_default`` in an Airflow task, boto3's own search elsewhere.
    """
    if aws is None and _IN_A_TASK in os.environ:
        aws = "aws_default"
    if isinstance(aws, str):
        from airflow_sklearn.aws.connection import AwsConnection

        return AwsConnection(aws)
    if hasattr(aws, "client") and hasattr(aws, "environment"):
        found: AwsAccess = aws
        return found
    if aws is None or hasattr(aws, "get_credentials"):
        return SessionAccess(aws)
    raise UserError(f"aws={aws!r}: give a boto3.Session, or the id of an Airflow connection, such as 'aws_default'.")


def identity_here() -> JobIdentity:
    """The Airflow task in which this code runs, for the tags of its containers; empty elsewhere."""
    if _IN_A_TASK not in os.environ:
        return JobIdentity()
    index = os.environ.get("AIRFLOW_CTX_MAP_INDEX", "-1")
    return JobIdentity(
        dag_id=os.environ[_IN_A_TASK],
        task_id=os.environ.get("AIRFLOW_CTX_TASK_ID", ""),
        run_id=os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", ""),
        map_index=int(index) if index.lstrip("-").isdecimal() else -1,
    )
