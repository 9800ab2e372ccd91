from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_sklearn.runtimes import poller
from airflow_sklearn.runtimes.base import JobHandle, JobState
from airflow_sklearn.triggers import base
from airflow_sklearn.triggers.job import RuntimeTrigger
from tests.operators.fakes import Script, ScriptedRuntime, status
from tests.waiting import PATIENCE


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "GATHERING", 0.01)


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Script:
    return ScriptedRuntime.scripts[request.node.name]


@pytest.fixture
def trigger(request: pytest.FixtureRequest) -> RuntimeTrigger:
    return make_trigger(request.node.name)


def make_trigger(name: str, number: int = 0, expires_at: float | None = None) -> RuntimeTrigger:
    handle = JobHandle(key="key", job_uri=f"job-{number}", result_uri="", submitted_at=0.0)
    made = RuntimeTrigger(
        runtime=ScriptedRuntime(name=name).to_dict(),
        handle=handle.model_dump(mode="json"),
        poll_interval=0.01,
        expires_at=expires_at,
        aws_conn_id=None,
    )
    made.task_instance = SimpleNamespace(  # type: ignore[assignment]
        dag_id="dag", task_id="task", run_id="run", map_index=number, task=None
    )
    return made


async def events(trigger: RuntimeTrigger) -> list[TriggerEvent]:
    return [event async for event in trigger.run()]


def test_it_is_made_again_from_what_it_serializes(trigger: RuntimeTrigger) -> None:
    path, arguments = trigger.serialize()
    assert path == "airflow_sklearn.triggers.RuntimeTrigger"
    assert RuntimeTrigger(**arguments).serialize() == (path, arguments)


def test_it_fires_once_when_the_job_has_ended(trigger: RuntimeTrigger, script: Script) -> None:
    script.polls = [status(JobState.RUNNING), status(JobState.FAILED, exit_code=65)]
    (event,) = asyncio.run(events(trigger))
    assert event.payload["handle"] == trigger.handle
    assert event.payload["status"]["state"] == "failed"
    assert event.payload["status"]["exit_code"] == 65
    assert script.cancelled == []


def test_many_triggers_poll_together(request: pytest.FixtureRequest, script: Script) -> None:
    script.polls = [status(JobState.RUNNING), status(JobState.SUCCEEDED)]

    async def run() -> list[list[TriggerEvent]]:
        return await asyncio.gather(*(events(make_trigger(request.node.name, number)) for number in range(200)))

    fired = asyncio.run(run())
    assert [event.payload["handle"]["job_uri"] for (event,) in fired] == [f"job-{number}" for number in range(200)]
    assert script.polled == 2


def test_a_job_past_its_time_is_stopped(request: pytest.FixtureRequest, script: Script) -> None:
    script.polls = [status(JobState.RUNNING)]
    (event,) = asyncio.run(events(make_trigger(request.node.name, expires_at=time.time() + 0.1)))
    assert event.payload["status"]["expired"] is True
    assert script.cancelled == ["job-0"]


async def cancel_while_waiting(trigger: RuntimeTrigger) -> None:
    task = asyncio.create_task(events(trigger))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("state", "stopped"), [("deferred", False), ("failed", True), ("success", True), ("scheduled", True), (None, True)]
)
def test_without_on_kill_the_tasks_state_tells_a_kill_from_a_shutdown(
    trigger: RuntimeTrigger, script: Script, monkeypatch: pytest.MonkeyPatch, state: str | None, stopped: bool
) -> None:
    monkeypatch.setattr(base, "_TRIGGERER_CALLS_ON_KILL", False)
    monkeypatch.setattr(base, "states_of_task", lambda *who: {who[-1]: state})
    script.polls = [status(JobState.RUNNING)]
    asyncio.run(cancel_while_waiting(trigger))
    assert script.cancelled == (["job-0"] if stopped else [])


def test_without_on_kill_a_job_goes_on_when_the_state_cannot_be_read(
    trigger: RuntimeTrigger, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> str:
        raise OSError("the database is gone")

    monkeypatch.setattr(base, "_TRIGGERER_CALLS_ON_KILL", False)
    monkeypatch.setattr(base, "states_of_task", fail)
    script.polls = [status(JobState.RUNNING)]
    asyncio.run(cancel_while_waiting(trigger))
    assert script.cancelled == []


def test_with_on_kill_a_cancelled_trigger_alone_stops_nothing(
    trigger: RuntimeTrigger, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_TRIGGERER_CALLS_ON_KILL", True)
    script.polls = [status(JobState.RUNNING)]
    asyncio.run(cancel_while_waiting(trigger))
    assert script.cancelled == []


@pytest.mark.parametrize(("state", "stopped"), [("failed", True), (None, True), ("deferred", False)])
def test_on_kill_stops_the_job_unless_the_task_waits_for_it_again(
    trigger: RuntimeTrigger, script: Script, monkeypatch: pytest.MonkeyPatch, state: str | None, stopped: bool
) -> None:
    monkeypatch.setattr(base, "states_of_task", lambda *who: {who[-1]: state})
    asyncio.run(trigger.on_kill())
    assert script.cancelled == (["job-0"] if stopped else [])


def test_a_runtime_that_cannot_be_made_is_told_to_the_task() -> None:
    trigger = make_trigger("unused")
    trigger.runtime = {"class": "pathlib:Path", "arguments": {}}
    (event,) = asyncio.run(events(trigger))
    assert event.payload["status"]["state"] == "lost"
    assert "no Runtime" in event.payload["status"]["message"]


def test_a_job_past_its_time_is_told_to_the_task_even_if_it_cannot_be_stopped(
    request: pytest.FixtureRequest, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(self: ScriptedRuntime, handle: JobHandle) -> None:
        self.script.cancelled.append(handle.job_uri)
        raise OSError("Rate exceeded")

    monkeypatch.setattr(base, "_CANCEL_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(ScriptedRuntime, "cancel", throttled)
    script.polls = [status(JobState.RUNNING)]
    (event,) = asyncio.run(events(make_trigger(request.node.name, expires_at=time.time() + 0.1)))
    assert event.payload["status"]["expired"] is True
    assert script.cancelled == ["job-0"] * 3


def test_a_job_past_its_time_is_told_to_the_task_even_if_stopping_it_never_comes_back(
    request: pytest.FixtureRequest, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()
    monkeypatch.setattr(base, "_CANCEL_PAUSES", ())
    monkeypatch.setattr(base, "_LONGEST_CANCEL", 0.05)
    monkeypatch.setattr(ScriptedRuntime, "cancel", lambda *_: forever.wait(PATIENCE))
    script.polls = [status(JobState.RUNNING)]
    began = time.monotonic()
    try:
        (event,) = asyncio.run(events(make_trigger(request.node.name, expires_at=time.time() + 0.1)))
    finally:
        forever.set()
    assert event.payload["status"]["expired"] is True
    assert time.monotonic() - began < PATIENCE / 2


def test_calls_that_hang_leave_the_event_loops_threads_alone(
    request: pytest.FixtureRequest, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The triggerer logs in them: it could not end a trigger."""
    forever = threading.Event()
    monkeypatch.setattr(ScriptedRuntime, "poll", lambda *_: forever.wait(PATIENCE))

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        waiting = asyncio.create_task(events(make_trigger(request.node.name)))
        await asyncio.sleep(0.2)
        async with asyncio.timeout(PATIENCE / 2):
            assert await asyncio.to_thread(lambda: "still there") == "still there"
        waiting.cancel()
        forever.set()

    try:
        asyncio.run(run())
    finally:
        forever.set()


def test_a_poll_that_times_out_is_no_deadline(
    request: pytest.FixtureRequest, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller.SharedPoller, "watch", _raise_timeout)
    (event,) = asyncio.run(events(make_trigger(request.node.name, expires_at=time.time() + 60)))
    assert event.payload["status"]["state"] == "lost"
    assert event.payload["status"]["expired"] is False


async def _raise_timeout(*_: Any) -> Any:
    raise TimeoutError("the connection timed out")
    yield


def test_many_triggers_share_one_connection() -> None:
    places = {id(make_trigger("unused", number)._bound_runtime._aws) for number in range(200)}
    assert len(places) == 1


def test_the_lines_of_the_log_travel_to_the_task(trigger: RuntimeTrigger, script: Script) -> None:
    script.lines = ["INFO 5 rows"]
    script.polls = [status(JobState.RUNNING), status(JobState.SUCCEEDED)]
    (event,) = asyncio.run(events(trigger))
    assert event.payload["log"] == {"cursor": 1, "tail": ["INFO 5 rows"], "in_error": False}
