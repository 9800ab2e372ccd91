"""boto3 clients of a runtime that is bound to an AWS connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import BrokenEnvironmentError

if TYPE_CHECKING:
    from airflow_sklearn.runtimes.base import AwsAccess
    from airflow_sklearn.storage import Storage


@dataclass(frozen=True)
class AwsClients:
    """boto3 clients for the service that runs jobs, and for other services in its region.

    A client is requested each time that it is needed, and not kept: the connection renews its clients, and a poller may
    live for hours.

    :param access: the operator's connection; None: the runtime is not bound.
    :param service: the service that runs jobs, such as ``ecs``.
    :param region_name: the region; None: the connection's.
    :param runtime: the name of the runtime's class, for messages.
    """

    access: AwsAccess | None
    service: str
    region_name: str | None
    runtime: str

    def api(self, **options: int) -> Any:
        """The client of the service that runs jobs.

        :param options: ``attempts``: the largest number of attempts a call.
        :raises BrokenEnvironmentError: the runtime is not bound.
        """
        return self.of(self.service, self.region_name, **options)

    def of(self, service: str, region_name: str | None, **options: int) -> Any:
        """The client of any service.

        :param service: such as ``logs``.
        :param region_name: the region; None: the connection's.
        :param options: ``attempts``: the largest number of attempts a call.
        :raises BrokenEnvironmentError: the runtime is not bound.
        """
        if self.access is None:
            raise BrokenEnvironmentError(f"{self.runtime} has no connection to AWS: bind(...) gives it one.")
        return self.access.client(service, region_name, **options)

    @property
    def region(self) -> str:
        """The name of the region in which jobs run."""
        return str(self.api().meta.region_name)

    def storage(self) -> Storage:
        """The storage, with the connection's current S3 client.

        The client is requested here, in the calling thread: threads that read must not ask Airflow for the connection.
        """
        from airflow_sklearn.storage import Storage

        client = self.of("s3", None)
        return Storage(lambda: client)
