"""An Airflow connection as AWS clients, for the storage and for runtimes. No other module reads AWS connections."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from airflow_sklearn.aws.errors import Kind, classify
from airflow_sklearn.exceptions import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT_SECONDS = 900.0  # for which clients are kept; then the connection is read again, since its keys may have changed


class AwsConnection:
    """An Airflow connection to AWS. It is read when it is first needed, never for ``file://`` URIs.

    :param aws_conn_id: the connection's id; None: boto3's own search for credentials.
    """

    def __init__(self, aws_conn_id: str | None) -> None:
        self.aws_conn_id = aws_conn_id
        self._clients: dict[tuple[str, str | None, int | None], tuple[float, Any]] = {}

    def __reduce__(self) -> tuple[type[AwsConnection], tuple[str | None]]:
        return type(self), (self.aws_conn_id,)  # a copy makes clients of its own

    def client(self, service: str, region_name: str | None = None, *, attempts: int | None = None) -> Any:
        """A boto3 client with the connection's credentials and endpoint.

        Clients are kept for 15 minutes, because a poller asks for one every few seconds for hours.

        :param service: such as ``s3``.
        :param region_name: the region; None: the connection's.
        :param attempts: the largest number of attempts a call; None: the connection's setting, else boto3's.
        """
        key = (service, region_name, attempts)
        kept = self._clients.get(key)
        if kept is None or time.monotonic() - kept[0] > _KEPT_SECONDS:
            # Without a lock: Airflow may never answer, and one thread that waits must not block all others. Two threads
            # may make a client each; the last one is kept.
            kept = self._clients[key] = (time.monotonic(), self._hook(service, region_name, attempts).get_conn())
        return kept[1]

    def environment(self) -> dict[str, str]:
        """The connection as the environment variables that boto3 reads. Empty values are left out."""
        hook = self._hook("s3")
        session = hook.get_session()
        # get_credentials also masks the secrets in Airflow's logs.
        credentials = hook.get_credentials() if session.get_credentials() else None
        values = {
            "AWS_ACCESS_KEY_ID": credentials and credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials and credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials and credentials.token,
            "AWS_DEFAULT_REGION": hook.region_name or session.region_name,
            "AWS_ENDPOINT_URL_S3": hook.conn_config.get_service_endpoint_url("s3"),
            "AWS_ENDPOINT_URL_SQS": hook.conn_config.get_service_endpoint_url("sqs"),
            "AWS_CA_BUNDLE": hook.verify if isinstance(hook.verify, str) else None,
        }
        return {name: value for name, value in values.items() if value}

    @contextlib.contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Turn boto3's error about missing credentials into one that says where they were looked for.

        :raises StorageError: no credentials were found.
        """
        try:
            yield
        except Exception as error:
            if classify(error) is not Kind.NO_CREDENTIALS:
                raise
            raise StorageError(
                f"There are no credentials for AWS ({error}). They were looked for in the Airflow connection "
                f"{self.aws_conn_id!r}, then in the environment and the machine's role. Add credentials or a role to "
                "the connection, or name another one with aws_conn_id."
            ) from error

    def _hook(self, service: str, region_name: str | None = None, attempts: int | None = None) -> Any:
        from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

        options: dict[str, Any] = {"aws_conn_id": self.aws_conn_id, "client_type": service, "region_name": region_name}
        hook: Any = AwsGenericHook(**options)
        if attempts is None:
            return hook
        from botocore.config import Config

        # A configuration that is given takes the place of the connection's.
        return AwsGenericHook(**options, config=hook.config.merge(Config(retries={"total_max_attempts": attempts})))
