"""``AwsRuntime``: the common part of the AWS runtimes."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.aws.console import console_of
from airflow_sklearn.runtimes.aws.clients import AwsClients
from airflow_sklearn.runtimes.aws.cloudwatch import LogStream
from airflow_sklearn.runtimes.base import Runtime
from airflow_sklearn.runtimes.job_data import JobData

if TYPE_CHECKING:
    from pydantic import JsonValue

    from airflow_sklearn.runtimes.base import JobHandle


class AwsJobData(JobData):
    """The content of all AWS runtimes' handles."""

    region: str = ""
    """That the job runs in."""
    log: LogStream | None = None
    """The job's stream in CloudWatch Logs; None: its log goes elsewhere."""


class AwsRuntime(Runtime):
    """A runtime that starts containers by an AWS service. The containers log to CloudWatch, and have a role of their
    own.

    A subclass sets ``service``, and says where the console shows a job (``console_path``).
    """

    service: ClassVar[str]
    """boto3's name of the service that runs jobs."""
    first_poll_pause: ClassVar[float] = 1.0
    log_delay: ClassVar[float] = 5.0
    submits_once: ClassVar[bool] = True

    region_name: str | None
    """Default: the connection's."""

    @abstractmethod
    def console_path(self, handle: JobHandle) -> str:
        """The path and query of a job's page in the AWS console, beginning with ``/``."""

    def job_url(self, handle: JobHandle) -> str:
        """See ``Runtime.job_url``: the job's page in the AWS console."""
        return f"{console_of(AwsJobData.of(handle).region)}{self.console_path(handle)}"

    def log_url(self, handle: JobHandle) -> str:
        """See ``Runtime.log_url``: the log stream's page in the AWS console."""
        stream = AwsJobData.of(handle).log
        return stream.url if stream else ""

    def logs(self, handle: JobHandle, cursor: JsonValue = None) -> tuple[list[str], JsonValue]:
        """See ``Runtime.logs``. The lines come from CloudWatch Logs."""
        stream = AwsJobData.of(handle).log
        return stream.read(self.clients.of("logs", stream.region), cursor) if stream else ([], cursor)

    def software_fingerprint(self, module: str = "") -> str:
        """The image's name, because the image holds all software. A tag that was moved to another image is not
        noticed.
        """
        return f"image {self.image}"

    def described_for_jobs(self) -> dict[str, Any]:
        """See ``Runtime.described_for_jobs``. The region is added: a container's own region may be another one."""
        described = self.to_dict()
        return {**described, "arguments": {**described["arguments"], "region_name": self.clients.region}}

    @property
    def clients(self) -> AwsClients:
        """The clients of the connection that the runtime is bound to."""
        return AwsClients(self._aws, self.service, self.region_name, type(self).__name__)

    @property
    def _api(self) -> Any:
        return self.clients.api()
