"""A runtime as somebody else's package would add it: jobs go to a queue of a batch service.

The service is a stand-in: a folder for each queue, in it a folder for each job, whose process is the real worker.
"""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from airflow_sklearn.aws.iam.rights import RoleRights, RuntimeRights
from airflow_sklearn.aws.iam.setting import Setting
from airflow_sklearn.aws.iam.statements import Policy, Statement, allow, service_trust
from airflow_sklearn.contract.jobs import Job
from airflow_sklearn.runtimes.aws.tags import tags_of
from airflow_sklearn.runtimes.base import (
    JobHandle,
    JobState,
    JobStatus,
    LeftoverOption,
    Runtime,
    job_key,
    worker_arguments,
)
from airflow_sklearn.runtimes.hosts import Host, is_ours
from airflow_sklearn.runtimes.job_data import JobData
from airflow_sklearn.system.processes import Process, run_detached

PATH = f"{__name__}:BatchRuntime"
_ENDS = {0: JobState.SUCCEEDED, 143: JobState.CANCELLED}


class BatchJobData(JobData):
    """A job of the service, by its folder."""

    job_folder: Path


@dataclass
class BatchRuntime(Runtime):
    """:param queue: the queue's folder."""

    template_fields: ClassVar[tuple[str, ...]] = ("queue",)
    default_poll_interval: ClassVar[float] = 0.05
    leftovers: ClassVar[LeftoverOption | None] = LeftoverOption("--job-queue", "NAME", "jobs of BatchRuntime")

    queue: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def submit(self, job_uri: str, job: Job, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        folder = Path(self.queue) / uuid.uuid4().hex
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "airflow_sklearn.worker", *worker_arguments(job_uri, job)]
        environment = {**os.environ, **self.env, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = run_detached(command, environment, log=folder / "log", exit_code=folder / "exit_code")
        record = _Record(process=process.to_dict(), key=job_key(job), tags=tags_of(job, {}), result_uri=job.result_uri)
        (folder / "record.json").write_text(record.model_dump_json())
        return _handle(folder, record, job_uri)

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        return [_status(BatchJobData.of(handle).job_folder) for handle in handles]

    def cancel(self, handle: JobHandle) -> None:
        _end(BatchJobData.of(handle).job_folder)

    def logs(self, handle: JobHandle, cursor: Any = None) -> tuple[list[str], Any]:
        lines = (BatchJobData.of(handle).job_folder / "log").read_text().splitlines()
        return lines[cursor or 0 :], len(lines)

    @classmethod
    def hosts(cls, aws: Any, where: str, *, region_name: str | None, tags: Mapping[str, str]) -> Iterator[Host]:
        for folder in sorted(path.parent for path in Path(where).glob("*/record.json")):
            has, started = _Record.read(folder).tags, datetime.fromtimestamp(folder.stat().st_ctime, UTC)
            if _status(folder).state is JobState.RUNNING and is_ours(has, tags):
                yield Host(f"batch job {folder.name}", has, started, partial(_end, folder))

    @classmethod
    def rights(cls) -> RuntimeRights | None:
        return BatchRights()


class BatchRights(RuntimeRights):
    """Submitting jobs to queues; the role that the jobs have."""

    option: ClassVar[str] = "--runtime batch"
    role_names: ClassVar[tuple[str, ...]] = ("batch",)

    def is_used(self, setting: Setting) -> bool:
        return "batch" in setting.runtimes

    def run_jobs(self, setting: Setting) -> Iterator[Statement]:
        yield allow("SubmitJobs", ["batch:SubmitJob", "batch:TerminateJob"], [setting.arn("batch", "*")])
        yield allow("WatchJobs", ["batch:DescribeJobs", "batch:ListJobs"], ["*"])

    def roles(self, setting: Setting, worker: Policy) -> dict[str, RoleRights]:
        arn = f"arn:{setting.partition}:iam::{setting.account}:role/batch"
        return {"batch": RoleRights(arn, worker, service_trust("Jobs", "ecs-tasks.amazonaws.com"))}


class _Record(JobData):
    """What the service knows of a job."""

    process: dict[str, Any]
    key: str
    tags: dict[str, str]
    result_uri: str

    @classmethod
    def read(cls, folder: Path) -> _Record:
        return cls.model_validate_json((folder / "record.json").read_bytes())


def _handle(folder: Path, record: _Record, job_uri: str) -> JobHandle:
    return JobHandle(
        key=record.key,
        job_uri=job_uri,
        result_uri=record.result_uri,
        submitted_at=folder.stat().st_ctime,
        data=BatchJobData(job_folder=folder).stored(),
    )


def _status(folder: Path) -> JobStatus:
    if (folder / "exit_code").exists():
        code = int((folder / "exit_code").read_text())
        return JobStatus(state=_ENDS.get(code, JobState.FAILED), exit_code=code)
    alive = Process.from_dict(_Record.read(folder).process).is_alive()
    return JobStatus(state=JobState.RUNNING if alive else JobState.LOST)


def _end(folder: Path) -> None:
    Process.from_dict(_Record.read(folder).process).signal_group(signal.SIGTERM)
