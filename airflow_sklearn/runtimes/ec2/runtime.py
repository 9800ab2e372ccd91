"""``Ec2Runtime``: each job, or a few jobs, on an instance of its own that ends itself."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from airflow_sklearn.exceptions import StorageError, UserError
from airflow_sklearn.runtimes.aws.runtime import AwsRuntime
from airflow_sklearn.runtimes.base import JobHandle, LeftoverOption, job_key
from airflow_sklearn.runtimes.ec2.heartbeats import HeartbeatMonitor
from airflow_sklearn.runtimes.ec2.instances import terminate, terminate_silent
from airflow_sklearn.runtimes.ec2.job_data import Ec2JobData, instance_id_of, placement_of
from airflow_sklearn.runtimes.ec2.job_queue import queue_of
from airflow_sklearn.runtimes.ec2.larger_types import count_oom_attempts, next_type
from airflow_sklearn.runtimes.ec2.launcher import Launcher
from airflow_sklearn.runtimes.ec2.options import Ec2Options
from airflow_sklearn.runtimes.ec2.ownership import is_alive, is_young_since, launched_for
from airflow_sklearn.runtimes.ec2.scheduling import recorded
from airflow_sklearn.runtimes.ec2.status import describe_jobs, lost_in_silence
from airflow_sklearn.storage import parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.aws.iam.rights import RuntimeRights
    from airflow_sklearn.contract.job_queue import Placement
    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.runtimes.base import AwsAccess, JobStatus
    from airflow_sklearn.runtimes.hosts import Host

_LOG = logging.getLogger(__name__)


@dataclass(repr=False)
class Ec2Runtime(Ec2Options, AwsRuntime):
    """Runs each job on a new EC2 instance, which pulls the worker image, does the job, and ends itself.

    Only a network, an AMI and an instance profile must exist before: no cluster, no agent. The container has no keys:
    it reads and writes S3 with the role of the instance profile. AWS is reached through the operator's ``aws_conn_id``.
    A retry looks for the instance of the earlier attempt, and takes over its job.

    The arguments are those of ``Ec2Options``.
    """

    service: ClassVar[str] = "ec2"
    leftovers: ClassVar[LeftoverOption | None] = LeftoverOption("--ec2", None, "instances of Ec2Runtime")

    def submit(self, job_uri: str, job: Job, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        """See ``Runtime.submit``. The same call again makes the same requests, to which EC2 gives the same instance.

        :raises NoCapacityError: EC2 has no capacity for any type in any zone now.
        :raises ThrottledError: EC2 has not answered the request.
        :raises UserError: EC2 will never accept the request.
        """
        self.check_rendered()
        if not job_uri.startswith("s3://"):
            raise UserError(f"An instance cannot reach {job_uri}: with Ec2Runtime, all data are in S3.")
        request, instance_id = self._launcher.instance_for(job_uri, job)
        return self._handle(request.placement, job_key(job), instance_id, request.larger, taken_over=False)

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """See ``Runtime.poll``. Instances without heartbeats are terminated."""
        storage = self.clients.storage()
        statuses = describe_jobs(self._api, storage, handles, self._monitor)
        for handle in lost_in_silence(handles, statuses, self._monitor):
            terminate_silent(self._api, queue_of(storage, placement_of(handle)), instance_id_of(handle))
        return statuses

    def cancel(self, handle: JobHandle) -> None:
        """See ``Runtime.cancel``. The instance is terminated; if it has other jobs, it skips or stops this one."""
        placement = placement_of(handle)
        queue = queue_of(self.clients.storage(), placement)
        if placement.slots > 1 and queue.withdraw(placement.slot):
            return  # the instance has other jobs, or ends by itself
        terminate(self._api, instance_id_of(handle), is_young=is_young_since(handle.submitted_at))
        try:
            queue.cancel(placement.slot)  # so that no later attempt takes it over
        except StorageError as error:  # the instance is terminated nevertheless
            _LOG.warning("That %s was stopped could not be written down: %s", handle.job_uri, error)

    def find(self, job: Job) -> JobHandle | None:
        """See ``Runtime.find``. Placements are recorded beside the job."""
        storage, folder = self.clients.storage(), parent(job.result_uri)
        for placement in reversed(recorded(storage, folder, job_key(job))):
            queue = queue_of(storage, placement)
            if queue.end(placement.slot) is not None or queue.is_cancelled(placement.slot):
                continue
            instance = queue.instance() or launched_for(self._api, placement)
            if instance and is_alive(self._api, placement, instance):
                larger = next_type(count_oom_attempts(storage, job, folder), self.larger_instance_types)
                return self._handle(placement, job_key(job), instance.instance_id, larger, taken_over=True)
            queue.cancel(placement.slot)  # in case that an instance is launched for it later
        return None

    def abandon(self, job_uri: str) -> None:
        """See ``Runtime.abandon``."""
        self._launcher.abandon(job_uri)

    def poll_key(self) -> str:
        """See ``Runtime.poll_key``: the region."""
        return f"ec2:{self.region_name or ''}"

    def console_path(self, handle: JobHandle) -> str:
        """See ``AwsRuntime.console_path``: the instance's page."""
        data = Ec2JobData.of(handle)
        return f"/ec2/home?region={data.region}#InstanceDetails:instanceId={data.instance_id}"

    @property
    def jobs_in_a_row(self) -> int:
        """See ``Runtime.jobs_in_a_row``."""
        return self.jobs_per_instance

    @classmethod
    def hosts(cls, aws: AwsAccess, where: str, *, region_name: str | None, tags: Mapping[str, str]) -> Iterator[Host]:
        """See ``Runtime.hosts``: instances."""
        from airflow_sklearn.runtimes.ec2.hosts import instances

        return instances(aws.client("ec2", region_name), tags)

    @classmethod
    def rights(cls) -> RuntimeRights | None:
        """See ``Runtime.rights``."""
        from airflow_sklearn.runtimes.ec2.rights import Ec2Rights

        return Ec2Rights()

    @cached_property
    def _launcher(self) -> Launcher:
        return Launcher(self, self.clients, self.to_dict())

    @cached_property
    def _monitor(self) -> HeartbeatMonitor:
        return HeartbeatMonitor()

    def _handle(
        self, placement: Placement, key: str, instance_id: str, larger: str | None, *, taken_over: bool
    ) -> JobHandle:
        data = Ec2JobData(
            instance_id=instance_id,
            region=self.clients.region,
            placement=placement,
            larger=larger,
            startup_allowance=self.startup_allowance,
            log=self._launcher.log_stream(key, placement.job_uri),
        )
        return JobHandle(
            key=key,
            job_uri=placement.job_uri,
            result_uri=placement.result_uri,
            submitted_at=placement.submitted_at,
            taken_over=taken_over,
            data=data.stored(),
        )
