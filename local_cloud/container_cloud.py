"""AWS on this machine, with real containers: ECS tasks and EC2 instances run in the Docker engine, S3 and CloudWatch
are ministack's, Redshift is a stand-in before PostgreSQL.

::

    with container_cloud.running(folder) as local:
        ecs = local.cloud.client("ecs")
        ecs.run_task(cluster=local.cluster, ...)

What is real: images, containers, their memory limits, signals and exit codes, log lines, credentials that come from
the task role only, the errors of the ECS API. What is not: IAM's permissions, Fargate's start-up times, placement.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from local_cloud import docker_engine, faults, ministack, postgres, processes
from local_cloud.aws_server.ecs.task_endpoint import ADDRESS
from local_cloud.redshift import standin
from local_cloud.redshift.standin import Redshift
from local_cloud.waiting import PATIENCE, wait_for

#: Another one where several checkouts of this repository share a Docker engine.
TAG = os.environ.get("AIRFLOW_SKLEARN_IMAGE_TAG", "local")
WORKER_IMAGE = f"airflow-sklearn-worker:{TAG}"
CLUSTER = "ml"
LOG_GROUP = "/ecs/airflow-sklearn"
BUCKET = "airflow-sklearn"
EXECUTION_ROLE = "arn:aws:iam::000000000000:role/airflow-sklearn-execution"
TASK_ROLE = "arn:aws:iam::000000000000:role/airflow-sklearn-task"
SUBNETS = ("subnet-0123456789abcdef0",)
SERVICES = "s3,sqs,sts,iam,ec2,ecs,ecs-metadata,logs,imds"
INSTANCE_LOG_GROUP = "/ec2/airflow-sklearn"
INSTANCE_PROFILE = "airflow-sklearn-instance"
SOCKET = "/var/run/docker.sock"
DOCKER_ON_INSTANCES = "/usr/local/lib/local-cloud/docker"

#: Between SIGTERM and SIGKILL; ECS's own default of 30 seconds is long for a test.
STOP_SECONDS = 5
#: Of an instance that waits for its shutdown (``shutdown -h +1``), in seconds.
MINUTE_SECONDS = 3
_LOCK = Path(tempfile.gettempdir()) / "airflow-sklearn-local-cloud.lock"


@dataclass(frozen=True)
class ContainerCloud:
    """A running local AWS with containers.

    :param cloud: how this machine reaches it: through the proxy that makes faults.
    :param direct: the same without the proxy. Containers use this one.
    :param faults: throttles and outages of single operations.
    :param postgres: a PostgreSQL server that containers reach too.
    :param redshift: the stand-in for Amazon Redshift; its files are in ``direct``'s S3.
    :param ami: of EC2 instances that have Docker.
    :param image: of the tasks that :meth:`task_definition` describes, by its id.
    """

    cloud: ministack.Cloud
    direct: ministack.Cloud
    faults: faults.Faults
    postgres: postgres.Postgres
    redshift: Redshift
    ami: str
    image: str
    cluster: str = CLUSTER
    log_group: str = LOG_GROUP
    bucket: str = BUCKET
    subnets: tuple[str, ...] = SUBNETS

    def refuse_run_task(self, reason: str, times: int, error: str | None = None) -> None:
        """The next RunTask calls start nothing.

        :param reason: for example ``RESOURCE:MEMORY``, in the list of failures.
        :param times: how many calls; 0 takes an earlier refusal back.
        :param error: answer with an error of this name instead, and ``reason`` for its message.
        """
        self._call("RefuseRunTask", reason=reason, times=times, error=error)

    def spot_interruption(self, task_arn: str) -> None:
        """AWS takes the task's Spot capacity back: SIGTERM, then SIGKILL."""
        self._call("Interrupt", task=task_arn)

    def forget(self, task_arn: str) -> None:
        """As an hour after a task has stopped: DescribeTasks says MISSING."""
        self._call("Forget", task=task_arn)

    def refuse_run_instances(self, *types: str, times: int, market: str = "", code: str = "") -> None:
        """The next RunInstances calls for one of the types launch nothing.

        :param times: how many calls.
        :param market: only ``spot``, or only ``on-demand``.
        :param code: default: ``InsufficientInstanceCapacity``.
        """
        code = code or "InsufficientInstanceCapacity"
        self._call_ec2("RefuseRunInstances", Types=",".join(types), Times=str(times), Market=market, Code=code)

    def launch_blank(self, instance_type: str) -> None:
        """The next instance of a type runs, and does nothing: its user data are not run."""
        self._call_ec2("LaunchBlank", Type=instance_type)

    def spot_instance_interruption(self, instance_id: str) -> None:
        """AWS takes a Spot instance back."""
        self._call_ec2("InterruptInstance", InstanceId=instance_id)

    def task_definition(self, family: str, cpu: int = 256, memory: int = 512, **container: Any) -> dict[str, Any]:
        """For ``register_task_definition(**...)``: one container of the worker image on Fargate, with its log.

        :param container: what else, or instead, is in the container definition.
        """
        log = {"awslogs-group": self.log_group, "awslogs-region": self.cloud.region, "awslogs-stream-prefix": family}
        definition = {
            "name": "worker",
            "image": self.image,
            "essential": True,
            "logConfiguration": {"logDriver": "awslogs", "options": log},
        }
        return {
            "family": family,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": str(cpu),
            "memory": str(memory),
            "executionRoleArn": EXECUTION_ROLE,
            "taskRoleArn": TASK_ROLE,
            "containerDefinitions": [definition | container],
        }

    def containers(self, running_only: bool = True) -> list[str]:
        """The ids of this cloud's own containers."""
        return docker_engine.containers(*self._labels, running_only=running_only)

    def container_of(self, task_arn: str) -> str:
        """The id of a task's container, for ``docker kill``.

        :raises ValueError: it has none, or more than one.
        """
        (found,) = docker_engine.containers(f"com.amazonaws.ecs.task-arn={task_arn}")
        return found

    def tasks(self) -> list[dict[str, Any]]:
        """ECS tasks with their tags, oldest first, whatever became of them."""
        client = self.direct.client("ecs")
        arns = [
            arn
            for desired in ("RUNNING", "STOPPED")
            for page in client.get_paginator("list_tasks").paginate(cluster=self.cluster, desiredStatus=desired)
            for arn in page["taskArns"]
        ]
        found: list[dict[str, Any]] = []
        for start in range(0, len(arns), 100):
            batch = arns[start : start + 100]
            found += client.describe_tasks(cluster=self.cluster, tasks=batch, include=["TAGS"])["tasks"]
        return sorted(found, key=lambda task: task["createdAt"])

    def instances(self, **tags: str) -> list[dict[str, Any]]:
        """EC2 instances that have all ``tags``, oldest first, ended ones too. Tags are as of ECS tasks too."""
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
        pages = self.direct.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        found = [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]
        for one in found:
            one["tags"] = [{"key": tag["Key"], "value": tag["Value"]} for tag in one.get("Tags", ())]
        return sorted(found, key=lambda one: one["LaunchTime"])

    def alive(self) -> list[str]:
        """Containers that run, and the tasks and instances that the APIs do not call ended.

        A container has ended a moment before its task has; a task that starts has none yet.
        """
        return [
            *self.containers(),
            *(task["taskArn"] for task in self.tasks() if task["lastStatus"] != "STOPPED"),
            *(one["InstanceId"] for one in self.instances() if one["State"]["Name"] not in ("stopped", "terminated")),
        ]

    def wait_until_none_runs(self) -> None:
        """Neither in the engine nor by what the APIs say.

        :raises AssertionError: some do after a long time.
        """
        wait_for(lambda: not self.alive(), lambda: f"{self.alive()} to end: {docker_engine.docker('ps')}", pause=0.5)

    def remove_containers(self) -> None:
        """End and remove this cloud's own containers."""
        docker_engine.remove_containers(*self._labels)

    @property
    def _labels(self) -> tuple[str]:
        return (f"{docker_engine.LABEL}={self.direct.endpoint.removeprefix('http://')}",)

    def container_of_instance(self, instance_id: str) -> str:
        """The id of the container that is an instance, for ``docker kill``."""
        (found,) = docker_engine.containers(f"instance_id={instance_id}")
        return found

    def workers_of_instance(self, instance_id: str) -> list[str]:
        """The ids of the containers that an instance has started and that run."""
        return docker_engine.containers(f"local-cloud.instance={instance_id}", running_only=True)

    def _call(self, operation: str, **asked: Any) -> None:
        target = f"AmazonEC2ContainerServiceV20141113.LocalCloud{operation}"
        self._post(json.dumps(asked).encode(), {"X-Amz-Target": target})

    def _call_ec2(self, operation: str, **asked: str) -> None:
        scope = f"Credential=test/20260101/{self.direct.region}/ec2/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}", "Content-Type": "application/x-www-form-urlencoded"}
        self._post(urllib.parse.urlencode({"Action": f"LocalCloud{operation}", **asked}).encode(), headers)

    def _post(self, data: bytes, headers: dict[str, str]) -> None:
        request = urllib.request.Request(self.direct.endpoint, data=data, headers=headers)
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from error


@contextmanager
def running(folder: Path, image: str | None = None) -> Iterator[ContainerCloud]:
    """Start the local cloud, and end it with all its containers. Images stay, so that the next start is quick.

    :param folder: for logs and temporary files.
    :param image: of tasks; default: the worker image, which is built.
    :raises docker_engine.NoEngineError: containers cannot be run here.
    """
    docker_engine.check()
    image = image or build_worker_image()
    host = docker_engine.bridge_address()
    port = processes.free_port(host)
    with ExitStack() as stack:
        stack.enter_context(_task_endpoint_address())
        settings = {
            "LOCAL_CLOUD_ENDPOINT": f"http://{host}:{port}",
            "LOCAL_CLOUD_STOP_SECONDS": str(STOP_SECONDS),
            "MINISTACK_DOCKER_TIMEOUT": "120",  # seconds; fifty containers at once are slow to start
            "MINISTACK_HOSTNAME": host,  # part of the label of its containers
            "MINISTACK_IMDS_V2_REQUIRED": "true",
            "LOCAL_CLOUD_MINUTE": str(MINUTE_SECONDS),
            # Instances use this machine's Docker engine: see aws_server/ec2/machines.py.
            "EC2_DOCKER_FLAGS": f"-v {SOCKET}:{SOCKET} -v {shutil.which('docker')}:{DOCKER_ON_INSTANCES}:ro",
        }
        log = folder / "ministack.log"
        direct = stack.enter_context(ministack.serving(host, port, log, SERVICES, "local_cloud.aws_server", settings))
        proxy = stack.enter_context(faults.proxy(direct.endpoint, host, folder / "microburst.log"))
        database = stack.enter_context(postgres.running(host, folder / "postgres.log"))
        redshift = stack.enter_context(standin.running(database, direct.endpoint, folder / "redshift.log"))
        ami = direct.client("ec2").register_image(
            Name="airflow-sklearn",
            ImageLocation=docker_engine.BASE_IMAGE,
            RootDeviceName="/dev/xvda",
            Architecture="x86_64",
        )["ImageId"]
        local = ContainerCloud(ministack.Cloud(proxy.endpoint), direct, proxy, database, redshift, ami, image)
        stack.callback(local.remove_containers)
        direct.client("ecs").create_cluster(clusterName=CLUSTER)
        for group in (LOG_GROUP, INSTANCE_LOG_GROUP):
            direct.client("logs").create_log_group(logGroupName=group)
        direct.client("s3").create_bucket(Bucket=BUCKET)
        yield local


def build_worker_image() -> str:
    """The worker image, from ``images/Dockerfile``.

    :return: its id.
    """
    root = processes.REPOSITORY
    return docker_engine.build(
        WORKER_IMAGE, root, root / "images" / "Dockerfile", PYTHON_IMAGE=docker_engine.BASE_IMAGE
    )


@contextmanager
def _task_endpoint_address() -> Iterator[None]:
    """The address of the task role's credentials, on the loopback interface; and nothing left of a killed run.

    Several local clouds may run at once. Each holds the lock with the others; one that has it alone knows that all
    containers, databases and the address are leftovers.
    """
    with _LOCK.open("w") as lock:
        if _alone(lock):
            docker_engine.remove_containers(docker_engine.LABEL)
            postgres.remove_leftovers()
        fcntl.flock(lock, fcntl.LOCK_SH)
        _address("replace")
        try:
            yield
        finally:
            if _alone(lock):
                _address("del")


def _address(action: str) -> None:
    # Of no more than this host: else it becomes the source address of connections that have nothing to do with it.
    options = ["address", action, f"{ADDRESS}/32", "dev", "lo", "scope", "host"]
    subprocess.run(["ip", *options], check=action != "del", capture_output=True)


def _alone(lock: IO[str]) -> bool:
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
