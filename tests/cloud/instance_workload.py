"""The same table and model as ``workload.py``, on EC2 instances of the local cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow_sklearn.runtimes.ec2 import Ec2Runtime
from local_cloud.container_cloud import INSTANCE_PROFILE, ContainerCloud
from tests.cloud.workload import Access, Workload

TYPE = "t3.micro"
_ALIVE = ("pending", "running")


class InstanceWorkload(Workload):
    """Its tasks are instances."""

    def runtime(self, **changes: str) -> str:
        """Source of an Ec2Runtime; ``changes`` are arguments as source."""
        options = {name: repr(value) for name, value in self.options().items()}
        return f"Ec2Runtime({', '.join(f'{name}={value}' for name, value in {**options, **changes}.items())})"

    def options(self) -> dict[str, Any]:
        """Of its Ec2Runtime."""
        return {
            "image": self.local.image,
            "image_id": self.local.ami,
            "instance_types": [TYPE],
            "iam_instance_profile": INSTANCE_PROFILE,
            "env": {"GATE": f"{self.uri}/gate"},
            "tags": {"workload": self.name},
            # One whose container Docker never starts is told before the test gives up.
            "startup_allowance": 300.0,
        }

    def bound(self, **changes: Any) -> Ec2Runtime:
        """An Ec2Runtime that reaches the local cloud."""
        return Ec2Runtime(**{**self.options(), **changes}).bind(Access(self.local))

    def tasks(self, status: str | None = None) -> list[dict[str, Any]]:
        """Instances of this workload, oldest first.

        :param status: RUNNING or STOPPED, as of an ECS task.
        """
        found = self.local.instances(workload=self.name)
        if status is None:
            return found
        return [one for one in found if (one["State"]["Name"] in _ALIVE) == (status == "RUNNING")]

    def log_of(self, task: dict[str, Any]) -> str:
        """All that is on an instance's console, where its jobs' lines are too."""
        client = self.local.direct.client("ec2")
        return str(client.get_console_output(InstanceId=task["InstanceId"]).get("Output", ""))


@contextmanager
def workloads(local: ContainerCloud) -> Iterator[Callable[..., InstanceWorkload]]:
    """``make(chunks=3)``; their instances may go on, and must end, when the block has."""
    made: list[InstanceWorkload] = []

    def make(chunks: int = 2) -> InstanceWorkload:
        made.append(InstanceWorkload(local, chunks))
        return made[-1]

    yield make
    for workload in made:
        workload.open_gate()
    local.wait_until_none_runs()
