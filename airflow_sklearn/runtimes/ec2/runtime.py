"""``Ec2Runtime``: each job, or a few of them, on an instance of its own that ends itself."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from airflow_sklearn.aws.console import console_of
from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.job_queue import Placement, QueueInstance
from airflow_sklearn.exceptions import BrokenEnvironmentError, DocumentError, StorageError, UserError
from airflow_sklearn.runtimes.aws.cloudwatch import LogStream, stream_of
from airflow_sklearn.runtimes.aws.options import check_rendered, raise_problems, read_numbers
from airflow_sklearn.runtimes.aws.tags import tags_of
from airflow_sklearn.runtimes.base import JobHandle, JobStatus, Runtime, job_key
from airflow_sklearn.runtimes.ec2.errors import SpentTokenError, explained
from airflow_sklearn.runtimes.ec2.heartbeats import Hearing
from airflow_sklearn.runtimes.ec2.instance_status import is_gone
from airflow_sklearn.runtimes.ec2.instances import by_tag, describe, has_tag, terminate, terminate_silent
from airflow_sklearn.runtimes.ec2.job_queue import JobQueue
from airflow_sklearn.runtimes.ec2.launch import UnansweredError, common_request, launch, offers
from airflow_sklearn.runtimes.ec2.options import LISTS, NUMBERS, WHOLE_NUMBERS, problems
from airflow_sklearn.runtimes.ec2.scheduling import pool_of, record, recorded, schedule
from airflow_sklearn.runtimes.ec2.status import (
    describe_jobs,
    instance_id_of,
    is_young_since,
    lost_in_silence,
    placement_of,
)
from airflow_sklearn.runtimes.ec2.user_data import HostOptions, user_data
from airflow_sklearn.storage import parent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.runtimes.ec2.launch import Offer
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger(__name__)

_SPARE_LIFE = 300.0  # seconds that an instance may live beyond what its jobs may take
QUEUE_TAG = "airflow_sklearn_roster"


@dataclass(repr=False)
class Ec2Runtime(Runtime):
    """Runs each job on a fresh EC2 instance, which pulls the worker image, does the job, and ends itself.

    Nothing needs to be there before but a network, an AMI and an instance profile: no cluster, no agent. The container
    holds no keys: it reads and writes S3 with the role of the instance profile. AWS is reached through the operator's
    ``aws_conn_id``. A retry looks for the instance of the attempt before, and takes its job over.

    :param image: the worker's container image, with its registry. (templated)
    :param image_id: the AMI: its id, or ``resolve:ssm:<parameter>``. Linux, with cloud-init; Docker is installed if it
        has none. An AMI with Docker and the worker image in it starts soonest. (templated)
    :param instance_types: types that will do, the best first: where one has no capacity, the next is tried. (templated)
    :param larger_instance_types: types with more and more memory, for the attempts after one that ran out of it.
        (templated)
    :param launch_template: name or id of one that has what is not said here. (templated)
    :param launch_template_version: default: the template's own default.
    :param subnets: each type is tried in all of them: give one a zone. Default: the default VPC's. (templated)
    :param security_groups: ids. They need no way in, and a way out to S3, CloudWatch Logs and the image's registry.
        (templated)
    :param assign_public_ip: whether instances get a public address; default: what the subnet says. In a subnet without
        NAT or endpoints they need one.
    :param iam_instance_profile: name or ARN; its role is the worker's. (templated)
    :param key_name: of a key pair, for SSH; default: none, nobody can log in.
    :param volume_size: GiB of the root volume, which is encrypted; default: the AMI's.
    :param root_device_name: default: the AMI's own, which EC2 is asked for.
    :param spot: ask for Spot instances first.
    :param on_demand_from_attempt: from this attempt of its Airflow task on, and whenever there are no Spot instances,
        a job runs on demand. Airflow counts attempts on when a task is cleared. None: never.
    :param jobs_per_instance: how many jobs an instance does, one after another: worth it where a job takes no longer
        than the start of an instance. They are jobs of one task of one run, such as the chunks of a prediction; as
        many instances are launched as they fill.
    :param idle_timeout: seconds for which an instance with free slots waits for a next job before it ends itself.
    :param env: further environment variables for the worker; no place for secrets, the instance's user data shows them.
        (templated)
    :param tags: further tags for instances and volumes, beside those that lead back to DAG, task, run and chunk.
        (templated)
    :param region_name: default: the connection's.
    :param awslogs_group: the log group, which must be there; empty: the log is on the instance's console only.
    :param awslogs_region: the log group's region, where it is another than the instances'.
    :param awslogs_stream_prefix: of the log streams; each job has one of its own.
    :param capacity_timeout: seconds for which a task waits while EC2 has no capacity, or throttles.
    :param startup_allowance: seconds from the launch of an instance until its worker must have been heard of: boot,
        installation of Docker where it is missing, pull of the image. Then the job is lost, and the instance is ended.
    :param run_instances_kwargs: what RunInstances takes and no other parameter is for, such as ``Placement`` or
        ``BlockDeviceMappings`` (which then say themselves that they are encrypted).
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "image",
        "image_id",
        "instance_types",
        "larger_instance_types",
        "launch_template",
        "subnets",
        "security_groups",
        "iam_instance_profile",
        "env",
        "tags",
    )
    default_poll_interval: ClassVar[float] = 10.0
    first_poll_pause: ClassVar[float] = 1.0
    log_delay: ClassVar[float] = 5.0
    submits_once: ClassVar[bool] = True
    submit_only: ClassVar[tuple[str, ...]] = ("env", "tags", "run_instances_kwargs")

    image: str = ""
    image_id: str | None = None
    instance_types: list[str] = field(default_factory=list)
    larger_instance_types: list[str] = field(default_factory=list)
    launch_template: str | None = None
    launch_template_version: str | None = None
    subnets: list[str] = field(default_factory=list)
    security_groups: list[str] = field(default_factory=list)
    assign_public_ip: bool | None = None
    iam_instance_profile: str | None = None
    key_name: str | None = None
    volume_size: int | None = None
    root_device_name: str | None = None
    spot: bool = False
    on_demand_from_attempt: int | None = 2
    jobs_per_instance: int = 1
    idle_timeout: float = 60.0
    env: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    region_name: str | None = None
    awslogs_group: str = "/ec2/airflow-sklearn"
    awslogs_region: str | None = None
    awslogs_stream_prefix: str = "worker"
    capacity_timeout: float = 900.0
    startup_allowance: float = 900.0
    run_instances_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        read_numbers(self, whole=WHOLE_NUMBERS, others=NUMBERS)
        raise_problems(self, problems(self))

    def __repr__(self) -> str:
        """Names the variables of ``env``, never their values: Airflow stores and shows this text."""
        said = {
            "image": self.image,
            "launch_template": self.launch_template,
            "instance_types": self.instance_types,
            "env": sorted(self.env),
        }
        return f"Ec2Runtime({', '.join(f'{name}={value!r}' for name, value in said.items() if value)})"

    def submit(self, job_uri: str, job: Job, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        """Called again with equal arguments, it makes the same requests, and EC2 gives the same instance.

        :raises NoCapacityError: EC2 has no instance of any of the types in any of the zones now.
        :raises ThrottledError: it has not judged the request.
        :raises UserError: EC2 will never launch it like this.
        """
        check_rendered(self, LISTS)
        if not job_uri.startswith("s3://"):
            raise UserError(f"An instance cannot reach {job_uri}: with Ec2Runtime, all data are in S3.")
        if job_uri not in self._requests:
            self._requests[job_uri] = self._request(job_uri, job)
        while not (instance_id := self._instance_for(self._requests[job_uri], job)):
            gone = self._requests[job_uri].placement  # its instance has ended, and does no more jobs
            self._queue(gone).close()
            self._requests[job_uri] = self._request(job_uri, job, after=gone.number)
        request = self._requests[job_uri]
        return self._handle(request.placement, job_key(job), instance_id, request.larger, taken_over=False)

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        statuses = describe_jobs(self._ec2, self._storage, handles, self._hearing)
        for handle in lost_in_silence(handles, statuses, self._hearing):
            terminate_silent(self._ec2, self._queue(placement_of(handle)), instance_id_of(handle))
        return statuses

    def cancel(self, handle: JobHandle) -> None:
        """Ends the instance; one that has other jobs to do leaves out, or stops, this one."""
        placement = placement_of(handle)
        queue = self._queue(placement)
        if placement.slots > 1 and queue.withdraw(placement.slot):
            return  # the instance has other jobs, or ends by itself
        terminate(self._ec2, instance_id_of(handle), is_young=is_young_since(handle.submitted_at))
        try:
            queue.cancel(placement.slot)  # no later attempt shall take it over
        except StorageError as error:  # the instance ends all the same
            _LOG.warning("That %s was stopped could not be written down: %s", handle.job_uri, error)

    def logs(self, handle: JobHandle, cursor: JsonValue = None) -> tuple[list[str], JsonValue]:
        stream = stream_of(handle)
        return stream.read(self._client("logs", stream.region), cursor) if stream else ([], cursor)

    def find(self, job: Job) -> JobHandle | None:
        for placement in reversed(recorded(self._storage, parent(job.result_uri), job_key(job))):
            queue = self._queue(placement)
            if queue.end(placement.slot) is not None or queue.is_cancelled(placement.slot):
                continue
            instance = queue.instance() or self._launched_for(placement)
            if instance and self._is_alive(placement, instance):
                larger = self._next_larger(self._oom_attempts(job, parent(job.result_uri)))
                return self._handle(placement, job_key(job), instance.instance_id, larger, taken_over=True)
            queue.cancel(placement.slot)  # should an instance come for it after all
        return None

    def abandon(self, job_uri: str) -> None:
        if request := self._requests.get(job_uri):
            self._queue(request.placement).cancel(request.placement.slot)

    def software_fingerprint(self, module: str = "") -> str:
        """The image's name: in it is all the software. A tag that is moved to another image is not noticed."""
        return f"image {self.image}"

    def poll_key(self) -> str:
        return f"ec2:{self.region_name or ''}"

    def job_url(self, handle: JobHandle) -> str:
        region = str(handle.data["region"])
        return f"{console_of(region)}/ec2/home?region={region}#InstanceDetails:instanceId={instance_id_of(handle)}"

    def log_url(self, handle: JobHandle) -> str:
        stream = stream_of(handle)
        return stream.url if stream else ""

    def described_for_jobs(self) -> dict[str, Any]:
        return dataclasses.replace(self, region_name=self._region).to_dict()

    @property
    def jobs_in_a_row(self) -> int:
        return self.jobs_per_instance

    # --- what is asked for ---

    @cached_property
    def _requests(self) -> dict[str, _Request]:
        """By the jobs' URIs: what was asked for once is asked for in the same way again."""
        return {}

    @cached_property
    def _unanswered(self) -> dict[str, int]:
        """By tokens of instances: which offer was asked for when no answer came. It may have been launched."""
        return {}

    def _request(self, job_uri: str, job: Job, after: str | None = None) -> _Request:
        """Take a slot for the job.

        :param after: the number of the job queue before it, which is of no use.
        """
        folder = parent(job_uri)
        oom_attempts = self._oom_attempts(job, folder)
        types = [self._larger(oom_attempts)] if oom_attempts and self.larger_instance_types else self.instance_types
        wanted = tuple(offers(self, job.identity.try_number, types))
        # Whatever may differ between jobs of one instance is in the pool's name: they all ask for it in the same words.
        pool = pool_of(
            job, folder, content_id([self.to_dict(), self.env, job.deadline_seconds, wanted, job.shared_plan])
        )
        stream = self._log_stream(job_key(job), job_uri)
        placement = schedule(
            self._storage, pool, self._places(job), job, job_uri, stream.stream if stream else "", after=after
        )
        record(self._storage, job_key(job), placement)
        return _Request(placement, wanted, self._next_larger(oom_attempts))

    def _instance_for(self, request: _Request, job: Job) -> str:
        """The id of the instance that does the job; it is launched if it was not yet. Empty: it has ended."""
        placement = request.placement
        queue = self._queue(placement)
        if known := queue.instance():
            alive = self._is_alive(placement, known)
            return known.instance_id if placement.slots == 1 or alive else ""
        tags = {**tags_of(job, self.tags, shared=placement.slots > 1), QUEUE_TAG: queue_id(placement)}
        script = user_data(
            self.image, self._host_options(placement, job), self._variables, lifetime=self._lifetime(job)
        )
        asked = common_request(self._ec2, self, script, tags)
        # boto3 takes want of capacity for a fault of the service, and would ask again and again for the same type.
        client = self._client("ec2", self.region_name, attempts=1)
        token = queue_id(placement)
        try:
            launched = launch(client, self, request.wanted, token, asked, first=self._unanswered.pop(token, 0))
        except UnansweredError as error:
            self._unanswered[token] = error.offer
            raise
        except SpentTokenError:
            return ""
        first = queue.set_instance(QueueInstance(instance_id=launched, launched_at=time.time()))
        if first.instance_id != launched:
            terminate(self._ec2, launched, is_young=True)  # somebody launched one of another kind at the same moment
            self._is_alive(placement, first)
        return first.instance_id

    def _host_options(self, placement: Placement, job: Job) -> HostOptions:
        """With what pins the jobs: user data do not lead through storage."""
        return HostOptions(
            pool=placement.pool,
            number=placement.number,
            slots=placement.slots,
            idle_timeout=self.idle_timeout,
            log_group=self.awslogs_group,
            log_region=self.awslogs_region or self._region,
            job_sha256=job.digest() if placement.slots == 1 else "",
            plan=job.shared_plan if placement.slots > 1 else "",
        )

    @property
    def _variables(self) -> dict[str, str]:
        """Of the worker. Containers do not learn from the instance where it is; and its role's credentials, which each
        process asks the instance for, are worth more than one attempt of a second."""
        ours = {
            "AWS_DEFAULT_REGION": self._region,
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5",
            "AWS_METADATA_SERVICE_TIMEOUT": "5",
        }
        return {**ours, **{name: str(value) for name, value in self.env.items()}}

    def _lifetime(self, job: Job) -> float | None:
        """Seconds after which the instance ends itself, though nobody tells it to."""
        if job.deadline_seconds is None:
            return None
        longest = self._places(job) * (job.deadline_seconds + self.idle_timeout)
        return self.startup_allowance + longest + _SPARE_LIFE

    def _places(self, job: Job) -> int:
        """Jobs on the instance of this one. Nothing comes after a job that lives as long as others need it."""
        return self.jobs_per_instance if job.result_uri else 1

    def _oom_attempts(self, job: Job, folder: str) -> int:
        """How many earlier attempts ran out of memory.

        :param folder: that of the job's document.
        """
        if job.identity.try_number == 1:
            return 0
        placements = recorded(self._storage, folder, job_key(job))
        ends = [self._queue(placement).end(placement.slot) for placement in placements]
        return sum(end.out_of_memory for end in ends if end)

    def _larger(self, oom_attempts: int) -> str:
        """The type after so many attempts that ran out of memory. Of the last type's memory it gets as much again: its
        data may have changed."""
        return self.larger_instance_types[min(oom_attempts, len(self.larger_instance_types)) - 1]

    def _next_larger(self, oom_attempts: int) -> str | None:
        """The type of the next attempt, should this one run out of memory too; None: no larger one than this one's."""
        return self._larger(oom_attempts + 1) if oom_attempts < len(self.larger_instance_types) else None

    # --- what is found ---

    @cached_property
    def _hearing(self) -> Hearing:
        return Hearing()

    def _is_alive(self, placement: Placement, instance: QueueInstance) -> bool:
        """:raises DocumentError: it is not the job queue's: nothing may be done to it."""
        instances, errors = describe(self._ec2, [instance.instance_id])
        with explained():
            if errors:
                raise errors[0]
        found = instances[instance.instance_id]
        # Not known: it is new, or it ended long ago.
        if found is None:
            return is_young_since(instance.launched_at)
        if not is_gone(found) and not has_tag(found, QUEUE_TAG, queue_id(placement)):
            raise DocumentError(
                f"The instance {instance.instance_id} was not launched for the jobs in {placement.pool}, whoever has "
                "written down there that it was. Fix: find out who can write there, and remove instances/ below it."
            )
        return not is_gone(found)

    def _launched_for(self, placement: Placement) -> QueueInstance | None:
        """The instance whose launch nobody lived to write down; None if there was none."""
        found = by_tag(self._ec2, QUEUE_TAG, queue_id(placement))
        return QueueInstance(instance_id=found, launched_at=placement.submitted_at) if found else None

    def _queue(self, placement: Placement) -> JobQueue:
        return JobQueue(self._storage, placement.pool, placement.number, placement.slots)

    def _handle(
        self, placement: Placement, key: str, instance_id: str, larger: str | None, *, taken_over: bool
    ) -> JobHandle:
        stream = self._log_stream(key, placement.job_uri)
        return JobHandle(
            key=key,
            job_uri=placement.job_uri,
            result_uri=placement.result_uri,
            submitted_at=placement.submitted_at,
            taken_over=taken_over,
            data={
                "instance_id": instance_id,
                "region": self._region,
                "placement": placement.model_dump(mode="json"),
                "larger": larger,
                "startup_allowance": self.startup_allowance,
                "log": stream.model_dump() if stream else None,
            },
        )

    def _log_stream(self, key: str, job_uri: str) -> LogStream | None:
        if not self.awslogs_group:
            return None
        stream = f"{self.awslogs_stream_prefix}/{key}/{content_id([job_uri])}"
        return LogStream(group=self.awslogs_group, stream=stream, region=self.awslogs_region or self._region)

    @property
    def _storage(self) -> Storage:
        """With the connection's client of now: a poller lives as long as somebody watches.

        It is asked for here: not all threads that read may ask Airflow for the connection.
        """
        from airflow_sklearn.storage import Storage

        client = self._client("s3", None)
        return Storage(lambda: client)

    @property
    def _region(self) -> str:
        return str(self._ec2.meta.region_name)

    @property
    def _ec2(self) -> Any:
        return self._client("ec2", self.region_name)

    def _client(self, service: str, region_name: str | None, **options: int) -> Any:
        if self._aws is None:
            raise BrokenEnvironmentError("Ec2Runtime has no connection to AWS: bind(...) gives it one.")
        return self._aws.client(service, region_name, **options)


class _Request(NamedTuple):
    """What was asked for on behalf of a job."""

    placement: Placement
    wanted: tuple[Offer, ...]
    larger: str | None
    """The type that its next attempt gets, should it run out of memory."""


def queue_id(placement: Placement) -> str:
    return content_id([placement.pool, placement.number], length=32)
