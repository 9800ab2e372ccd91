"""What the driver and the workers of a pool ask of S3 and SQS is what the generated policies allow them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

from airflow_sklearn.aws.iam.policies import all_policies
from airflow_sklearn.aws.iam.setting import read_setting
from airflow_sklearn.joblib_backend import WorkerPool
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.pool.messages import Task
from airflow_sklearn.pool.queues import open_queue
from airflow_sklearn.pool.worker import processes, worker
from airflow_sklearn.pool.worker.task_process import TaskRunner
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus, Runtime, job_key
from airflow_sklearn.storage import Storage
from local_cloud import ministack
from tests.aws.iam.test_iam import Recorder
from tests.rights import Need, Role, refused, s3_needs
from tests.waiting import PATIENCE

ACCOUNT = "000000000000"
_OF_BATCH = {
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "SendMessageBatch": "SendMessage",
}


@dataclass
class ThreadRuntime(Runtime):
    """Workers as threads of this process, so that what they ask of AWS can be recorded."""

    default_poll_interval = 0.2
    name: str = "threads"
    started: list[threading.Thread] = field(default_factory=list, repr=False)
    recorder: Any = field(default=None, repr=False)

    def submit(self, job_uri: str, job: Any, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        storage = Storage(self.recorder.client)
        thread = threading.Thread(target=worker.serve_pool, args=(job, storage), daemon=True)
        thread.start()
        self.started.append(thread)
        return JobHandle(key=job_key(job), job_uri=job_uri, result_uri="", submitted_at=time.time(),
                         data={"thread": len(self.started) - 1})  # fmt: skip

    def poll(self, handles: Any) -> list[JobStatus]:
        alive = [self.started[int(handle.data["thread"])].is_alive() for handle in handles]
        return [JobStatus(state=JobState.RUNNING if one else JobState.SUCCEEDED) for one in alive]

    def cancel(self, handle: JobHandle) -> None:
        """They see that the pool closes."""

    def to_dict(self) -> dict[str, Any]:
        return {"class": "threads", "arguments": {}}


class InProcess(processes.TaskProcess):
    """Runs tasks where what they ask of storage is recorded too."""

    recorder: Recorder

    def start(self) -> None:
        folder = PoolFolder(Storage(self.recorder.client), self._job.folder)
        self._runner = TaskRunner(folder, self._job.worker, self._cache)

    def run(self, task: bytes) -> bytes:
        return self._runner.run(Task.model_validate_json(task)).model_dump_json().encode()


def needs(operation: str, params: dict[str, Any]) -> Iterator[Need]:
    queue = params.get("QueueName") or params.get("QueueUrl", "").rpartition("/")[2]
    if not queue:
        yield from s3_needs(operation, params)
        return
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{queue}"
    yield f"sqs:{_OF_BATCH.get(operation, operation)}", arn, {}
    if params.get("tags"):
        yield "sqs:TagQueue", arn, {}


@pytest.mark.usefixtures("aws_environment")
def test_a_pools_driver_and_workers_are_allowed_what_they_ask_for(
    cloud: ministack.Cloud, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, container = Recorder(cloud), Recorder(cloud)
    InProcess.recorder = container
    monkeypatch.setattr("airflow_sklearn.pool.worker.slot.TaskProcess", InProcess)
    monkeypatch.setattr(worker, "open_queue", lambda uri: open_queue(uri, container.client))
    storage = f"s3://{bucket}/pools"
    with (
        WorkerPool(runtime=ThreadRuntime(recorder=container), storage=storage, aws=driver, driver_timeout=20) as pool,
        parallel_config("containers", pool=pool, n_jobs=2),
    ):
        large = np.ones(2_000_000)
        assert Parallel()(delayed(np.sum)(large) for _ in range(4)) == [large.sum()] * 4
        assert len(pool.submit(lambda: b"x" * 9_000_000).result(PATIENCE)) == 9_000_000  # more than one piece
        runtime = pool.runtime
    for thread in runtime.started:  # type: ignore[attr-defined]
        thread.join(PATIENCE)
    where = {"cluster": "ml", "region": "us-east-1", "account": ACCOUNT}
    of_pool = all_policies(read_setting(**where, pools=[storage]))
    for policy in ("airflow", "pool-driver"):
        assert not refused(Role(of_pool[policy]), driver.calls, needs)
    assert not refused(Role(of_pool["task"]), container.calls, needs)
    assert {"CreateQueue", "SendMessageBatch", "UploadPart", "DeleteQueue", "DeleteObjects"} <= driver.operations
    assert {"ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch", "UploadPart"} <= container.operations

    # A train job's container is the driver of its pool, below its model.
    searching = all_policies(read_setting(**where, models=[f"s3://{bucket}"], search_containers=True))["task"]
    assert not refused(Role(searching), [*driver.calls, *container.calls], needs)
    assert Role(searching).may(
        "ecs:RunTask",
        f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/airflow-sklearn:1",
        ecs__cluster=f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/ml",
    )

    # Without the options there are no such rights.
    plain = all_policies(read_setting(**where, models=[f"s3://{bucket}"]))
    assert "pool-driver" not in plain
    assert not [one for one in plain["task"]["Statement"] if "sqs" in str(one["Action"]) or "ecs" in str(one["Action"])]
    assert len(refused(Role(plain["airflow"]), driver.calls, needs)) > 4
