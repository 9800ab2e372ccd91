"""A runtime that does what a test says, and an operator whose job no worker reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from airflow_sklearn.contract.jobs import JobError, JobResult, PredictJob
from airflow_sklearn.operators.jobs import RuntimeOperator
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus, Runtime, job_key
from airflow_sklearn.storage import Storage
from tests.runtimes.conftest import make_job


class Script:
    """What the scripted runtimes of one test do, and what was asked of them."""

    def __init__(self) -> None:
        self.polls: list[JobStatus | Exception] = []
        """One a poll; the last one stays."""
        self.found: JobHandle | None = None
        self.lines: list[str] = []
        self.submitted: list[str] = []
        self.capacity_refusals: list[int] = []
        self.cancelled: list[str] = []
        self.polled = 0
        self.on_submit: Any = lambda: None
        self.on_poll: Any = lambda: None


@dataclass
class ScriptedRuntime(Runtime):
    """:param name: of its script in ``scripts``, because a runtime's fields are JSON."""

    scripts: ClassVar[dict[str, Script]] = defaultdict(Script)
    startup_allowance: ClassVar[float] = 0.0
    default_poll_interval: ClassVar[float] = 0.01

    name: str = ""

    @property
    def script(self) -> Script:
        return self.scripts[self.name]

    def submit(self, job_uri: str, job: Any, *, survives_parent: bool, capacity_refusals: int = 0) -> JobHandle:
        self.script.submitted.append(job_uri)
        self.script.capacity_refusals.append(capacity_refusals)
        self.script.on_submit()
        return JobHandle(
            key=job_key(job),
            job_uri=job_uri,
            result_uri=job.result_uri,
            submitted_at=datetime.now(UTC).timestamp(),
            data={"detached": survives_parent},
        )

    def poll(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        script = self.script
        step = script.polls[min(script.polled, len(script.polls) - 1)]
        script.polled += 1
        script.on_poll()
        if isinstance(step, Exception):
            raise step
        return [step for _ in handles]

    def cancel(self, handle: JobHandle) -> None:
        self.script.cancelled.append(handle.job_uri)

    def logs(self, handle: JobHandle, cursor: Any = None) -> tuple[list[str], Any]:
        start = cursor or 0
        return self.script.lines[start:], len(self.script.lines)

    def find(self, job: Any) -> JobHandle | None:
        found, self.script.found = self.script.found, None
        return found


class ScriptedOperator(RuntimeOperator):
    """Runs a job whose result the test writes."""

    def __init__(self, *, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder

    def work(self, context: Any) -> Any:
        return self.run_job(context, f"file://{self.folder}/job.json", make_job(Path(self.folder)))

    def finish(self, context: Any, result: JobResult) -> Any:
        return result.output_uri


def status(state: JobState, **more: Any) -> JobStatus:
    return JobStatus(state=state, **more)


def store_result(job: PredictJob, kind: str | None = None, **error: Any) -> None:
    """What the worker leaves: success, or an error of a kind."""
    result = JobResult(status="succeeded", output_uri="the receipt")
    if kind:
        failure = JobError(kind=kind, type="SomeError", message="why", **error)  # type: ignore[arg-type]
        result = JobResult(status="failed", error=failure)
    Storage().write(job.result_uri, result.to_json())


def task_context(**more: Any) -> dict[str, Any]:
    """As much of Airflow's context as the operators use."""
    ti = SimpleNamespace(
        dag_id="dag",
        task_id="task",
        run_id="run",
        map_index=-1,
        try_number=1,
        max_tries=0,
        start_date=datetime.now(UTC),
        xcom_push=lambda key, value: None,
    )
    return {"ti": ti, "outlet_events": defaultdict(lambda: SimpleNamespace(extra={})), **more}
