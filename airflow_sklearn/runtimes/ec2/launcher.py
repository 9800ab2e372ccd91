"""Launching an instance for each job, or for a few jobs, with requests that can be repeated."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.job_queue import Placement, QueueInstance
from airflow_sklearn.runtimes.aws.cloudwatch import LogStream
from airflow_sklearn.runtimes.aws.tags import tags_of
from airflow_sklearn.runtimes.base import job_key
from airflow_sklearn.runtimes.ec2.errors import SpentTokenError
from airflow_sklearn.runtimes.ec2.instances import terminate
from airflow_sklearn.runtimes.ec2.job_queue import queue_of
from airflow_sklearn.runtimes.ec2.larger_types import count_oom_attempts, next_type, type_after
from airflow_sklearn.runtimes.ec2.launch import UnansweredError, common_request, launch, offers
from airflow_sklearn.runtimes.ec2.ownership import QUEUE_TAG, is_alive, queue_id
from airflow_sklearn.runtimes.ec2.scheduling import pool_of, record, schedule
from airflow_sklearn.runtimes.ec2.user_data import HostOptions, user_data
from airflow_sklearn.storage import parent

if TYPE_CHECKING:
    from typing import Any

    from airflow_sklearn.contract.jobs import Job
    from airflow_sklearn.runtimes.aws.clients import AwsClients
    from airflow_sklearn.runtimes.ec2.launch import Offer
    from airflow_sklearn.runtimes.ec2.options import Ec2Options

_SPARE_LIFE = 300.0  # seconds that an instance may live longer than its jobs' deadlines add up to


class Request(NamedTuple):
    """The request for a job's instance."""

    placement: Placement
    wanted: tuple[Offer, ...]
    larger: str | None
    """The type that its next attempt gets, should it run out of memory."""


class Launcher:
    """Finds or launches the instances of jobs.

    It remembers its requests: the same request for the same job gives the same instance.
    """

    def __init__(self, options: Ec2Options, clients: AwsClients, described: dict[str, Any]) -> None:
        self._options, self._clients, self._described = options, clients, described
        self._requests: dict[str, Request] = {}
        """By the jobs' URIs."""
        self._unanswered: dict[str, int] = {}
        """By tokens of instances: which offer was asked for when no answer came. It may have been launched."""

    def instance_for(self, job_uri: str, job: Job) -> tuple[Request, str]:
        """The request for a job's instance, and the instance's id.

        :raises NoCapacityError: EC2 has no capacity for any type in any zone now.
        :raises ThrottledError: EC2 has not answered the request.
        :raises UserError: EC2 will never accept the request.
        """
        if job_uri not in self._requests:
            self._requests[job_uri] = self._request(job_uri, job)
        while not (instance_id := self._launched(self._requests[job_uri], job)):
            gone = self._requests[job_uri].placement  # its instance has ended, and does no more jobs
            queue_of(self._clients.storage(), gone).close()
            self._requests[job_uri] = self._request(job_uri, job, after=gone.number)
        return self._requests[job_uri], instance_id

    def abandon(self, job_uri: str) -> None:
        """Make sure that an instance which comes later does not do the job. A job that was never requested is no
        error.
        """
        if request := self._requests.get(job_uri):
            queue_of(self._clients.storage(), request.placement).cancel(request.placement.slot)

    def log_stream(self, key: str, job_uri: str) -> LogStream | None:
        """A job's log stream; None: its log is on the instance's console only.

        :param key: the job's ``job_key``.
        """
        options = self._options
        if not options.awslogs_group:
            return None
        stream = f"{options.awslogs_stream_prefix}/{key}/{content_id([job_uri])}"
        return LogStream(group=options.awslogs_group, stream=stream, region=self._log_region)

    def _request(self, job_uri: str, job: Job, after: str | None = None) -> Request:
        """Take a slot for the job.

        :param after: the number of a queue that cannot be used; a later one is taken.
        """
        options, storage, folder = self._options, self._clients.storage(), parent(job_uri)
        oom_attempts = count_oom_attempts(storage, job, folder)
        larger = type_after(oom_attempts, options.larger_instance_types)
        types = [larger] if larger else options.instance_types
        wanted = tuple(offers(options, job.identity.try_number, types))
        # The pool's name contains all settings of an instance, so that all of its jobs make the same request.
        kind = content_id([self._described, options.env, job.deadline_seconds, wanted, job.shared_plan])
        pool, stream = pool_of(job, folder, kind), self.log_stream(job_key(job), job_uri)
        placement = schedule(
            storage, pool, self._slots(job), job, job_uri, stream.stream if stream else "", after=after
        )
        record(storage, job_key(job), placement)
        return Request(placement, wanted, next_type(oom_attempts, options.larger_instance_types))

    def _launched(self, request: Request, job: Job) -> str:
        """The id of the job's instance, which is launched if necessary. Empty: the instance has ended."""
        placement, client = request.placement, self._clients.api()
        queue = queue_of(self._clients.storage(), placement)
        if known := queue.instance():
            alive = is_alive(client, placement, known)
            return known.instance_id if placement.slots == 1 or alive else ""
        token = queue_id(placement)
        tags = {**tags_of(job, self._options.tags, shared=placement.slots > 1), QUEUE_TAG: token}
        script = user_data(
            self._options.image, self._host_options(placement, job), self._variables, lifetime=self._lifetime(job)
        )
        asked = common_request(client, self._options, script, tags)
        # To boto3, a lack of capacity is a fault of the service: it would repeat the request for the same type.
        once = self._clients.api(attempts=1)
        try:
            launched = launch(once, self._options, request.wanted, token, asked, first=self._unanswered.pop(token, 0))
        except UnansweredError as error:
            self._unanswered[token] = error.offer
            raise
        except SpentTokenError:
            return ""
        first = queue.set_instance(QueueInstance(instance_id=launched, launched_at=time.time()))
        if first.instance_id != launched:
            terminate(client, launched, is_young=True)  # another process launched one of another kind
            is_alive(client, placement, first)
        return first.instance_id

    def _host_options(self, placement: Placement, job: Job) -> HostOptions:
        """The options of the instance, with the digest or plan of its jobs: user data cannot be changed through
        storage.
        """
        return HostOptions(
            pool=placement.pool,
            number=placement.number,
            slots=placement.slots,
            idle_timeout=self._options.idle_timeout,
            log_group=self._options.awslogs_group,
            log_region=self._log_region,
            job_sha256=job.digest() if placement.slots == 1 else "",
            plan=job.shared_plan if placement.slots > 1 else "",
        )

    @property
    def _variables(self) -> dict[str, str]:
        """The worker's environment variables.

        Containers do not learn the region from the instance. Each process asks the instance for the role's credentials;
        one attempt of one second would not be enough.
        """
        ours = {
            "AWS_DEFAULT_REGION": self._clients.region,
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5",
            "AWS_METADATA_SERVICE_TIMEOUT": "5",
        }
        return {**ours, **{name: str(value) for name, value in self._options.env.items()}}

    @property
    def _log_region(self) -> str:
        return self._options.awslogs_region or self._clients.region

    def _lifetime(self, job: Job) -> float | None:
        """Seconds after which the instance ends itself in any case; None: never."""
        if job.deadline_seconds is None:
            return None
        longest = self._slots(job) * (job.deadline_seconds + self._options.idle_timeout)
        return self._options.startup_allowance + longest + _SPARE_LIFE

    def _slots(self, job: Job) -> int:
        """The number of jobs on the job's instance. A pool's worker is alone, because no job would ever follow it."""
        return self._options.jobs_per_instance if job.result_uri else 1
