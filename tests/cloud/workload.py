"""What the container tests run: a table in the local S3, a model that waits at a gate, and DAGs over them."""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from airflow_sklearn.runtimes.ecs import EcsRuntime
from airflow_sklearn.storage import Storage
from local_cloud.container_cloud import EXECUTION_ROLE, TASK_ROLE, ContainerCloud
from tests.operators.conftest import HEADER, plain_train_job, rows
from tests.waiting import wait_for

CHUNK_ROWS = 300
GATED_MODEL = "gated-model"


class Access:
    """The local cloud, as an Airflow connection would give it to a runtime."""

    def __init__(self, local: ContainerCloud) -> None:
        self._local = local

    def client(self, service: str, region_name: str | None = None, *, attempts: int | None = None) -> Any:
        return self._local.cloud.client(service, attempts)

    def environment(self) -> dict[str, str]:
        raise AssertionError("a container gets no keys")


@dataclass
class Workload:
    """One table of ``chunks`` files below a prefix of its own, and the tasks and containers that work on it."""

    local: ContainerCloud
    chunks: int = 2
    name: str = field(default_factory=lambda: f"w{uuid.uuid4().hex[:10]}")

    def __post_init__(self) -> None:
        for number in range(self.chunks):
            self.put(f"new/part-{number:02}.csv", HEADER + rows(number * CHUNK_ROWS, (number + 1) * CHUNK_ROWS))

    @property
    def uri(self) -> str:
        return f"s3://{self.local.bucket}/{self.name}"

    @property
    def rows(self) -> list[int]:
        """The keys that there are."""
        return list(range(self.chunks * CHUNK_ROWS))

    def put(self, key: str, body: str) -> None:
        self.local.direct.client("s3").put_object(
            Bucket=self.local.bucket, Key=f"{self.name}/{key}", Body=body.encode()
        )

    def open_gate(self) -> None:
        """Let the predictions go on."""
        self.put("gate", "open")

    # --- DAGs, as source ---

    def runtime(self, **changes: str) -> str:
        """Source of an EcsRuntime; ``changes`` are arguments as source."""
        arguments = {
            "cluster": repr(self.local.cluster),
            "task_definition": repr(task_definition(self.local)),
            "subnets": repr(list(self.local.subnets)),
            "env": repr({"GATE": f"{self.uri}/gate"}),
            "tags": repr({"workload": self.name}),
            **changes,
        }
        return f"EcsRuntime({', '.join(f'{name}={value}' for name, value in arguments.items())})"

    def predict(self, model: str, *, runtime: str = "", **changes: str) -> str:
        """Source of a prediction group, a chunk a file."""
        arguments = {
            "group_id": "'score'",
            "model": f"'{model}'",
            "source": f"'{self.uri}/new/*.csv'",
            "destination": f"'{self.uri}/scores'",
            "partition": "'p'",
            "chunk_size": "1",
            "max_chunks": str(self.chunks),
            "runtime": runtime or self.runtime(),
            "poll_interval": "2",
            "retry_delay": "timedelta(seconds=0)",
            **changes,
        }
        return f"sklearn_predict({', '.join(f'{name}={value}' for name, value in arguments.items())})\n"

    # --- What became of it ---

    def tasks(self, status: str | None = None) -> list[dict[str, Any]]:
        """ECS tasks of this workload, oldest first, whatever became of them."""
        return [
            task
            for task in self.local.tasks()
            if {"key": "workload", "value": self.name} in task["tags"] and status in (None, task["lastStatus"])
        ]

    def running(self) -> list[dict[str, Any]]:
        """ECS tasks whose worker waits at the gate."""
        return [task for task in self.tasks("RUNNING") if "Waiting at the gate" in self.log_of(task)]

    def log_of(self, task: dict[str, Any]) -> str:
        """All that a task's container has logged."""
        stream = f"worker/worker/{task['taskArn'].rpartition('/')[2]}"
        client = self.local.direct.client("logs")
        try:
            events = client.get_log_events(logGroupName=self.local.log_group, logStreamName=stream, startFromHead=True)[
                "events"
            ]
        except client.exceptions.ResourceNotFoundException:
            return ""
        return "\n".join(event["message"] for event in events)

    def published(self) -> list[int]:
        """The keys of the published rows, in order."""
        import pyarrow.parquet as pq

        storage = Storage(lambda: self.local.direct.client("s3"))
        manifest = json.loads(storage.read(f"{self.uri}/scores/p/_manifest.json"))
        parts = [pq.read_table(io.BytesIO(storage.read(part["uri"]))) for part in manifest["files"]]
        return sorted(key for part in parts for key in part["id"].to_pylist())


def task_definition(local: ContainerCloud, memory: int = 512) -> dict[str, Any]:
    """What a user would hand to EcsRuntime for this cluster."""
    log = {"awslogs-group": local.log_group, "awslogs-region": local.cloud.region, "awslogs-stream-prefix": "worker"}
    return {
        "family": "airflow-sklearn",
        "cpu": 256,
        "memory": memory,
        "executionRoleArn": EXECUTION_ROLE,
        "taskRoleArn": TASK_ROLE,
        "containerDefinitions": [
            {"image": local.image, "logConfiguration": {"logDriver": "awslogs", "options": log}},
        ],
    }


def train_gated_model(local: ContainerCloud) -> None:
    """Train a model that waits at the gate, in a container."""
    workload = Workload(local, chunks=1, name="gated")
    storage = Storage(lambda: local.cloud.client("s3"))
    source, model = f"{workload.uri}/new/*.csv", f"s3://{local.bucket}/{GATED_MODEL}"
    job, uri = plain_train_job(storage, "gated_models:gated", source, model)
    storage.write(uri, job.to_json())
    runtime = EcsRuntime(
        cluster=local.cluster, task_definition=task_definition(local), subnets=list(local.subnets)
    ).bind(Access(local))
    handle = runtime.submit(uri, job, survives_parent=True)
    wait_for(lambda: runtime.poll([handle])[0].state.finished, "the gated model's training", pause=0.2)
    status = runtime.poll([handle])[0]
    assert status.exit_code == 0, (status, runtime.logs(handle))
