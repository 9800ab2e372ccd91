"""How a bound runtime reaches AWS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import BrokenEnvironmentError

if TYPE_CHECKING:
    from airflow_sklearn.runtimes.base import AwsAccess
    from airflow_sklearn.storage import Storage


@dataclass(frozen=True)
class AwsClients:
    """boto3's clients for one service in one region, and for what goes with it.

    Each is asked for when it is needed, and not kept: the connection renews its clients, and a poller lives for hours.

    :param access: the operator's connection; None: the runtime is not bound.
    :param service: the service that runs jobs, such as ``ecs``.
    :param region_name: None: the connection's.
    :param runtime: the runtime's class, for messages.
    """

    access: AwsAccess | None
    service: str
    region_name: str | None
    runtime: str

    def api(self, **options: int) -> Any:
        """The client of the service that runs jobs.

        :param options: ``attempts``: how often a call is tried at most.
        :raises BrokenEnvironmentError: the runtime is not bound.
        """
        return self.of(self.service, self.region_name, **options)

    def of(self, service: str, region_name: str | None, **options: int) -> Any:
        """The client of any service.

        :raises BrokenEnvironmentError: the runtime is not bound.
        """
        if self.access is None:
            raise BrokenEnvironmentError(f"{self.runtime} has no connection to AWS: bind(...) gives it one.")
        return self.access.client(service, region_name, **options)

    @property
    def region(self) -> str:
        """The region that jobs run in."""
        return str(self.api().meta.region_name)

    def storage(self) -> Storage:
        """S3, by the connection's client of now.

        The client is asked for here: not all threads that read may ask Airflow for the connection.
        """
        from airflow_sklearn.storage import Storage

        client = self.of("s3", None)
        return Storage(lambda: client)
