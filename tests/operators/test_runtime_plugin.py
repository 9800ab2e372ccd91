"""A runtime that is registered from outside of the package does all that the package's own do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_sklearn.aws.iam.__main__ import main as print_policies
from airflow_sklearn.contract.jobs import JobIdentity, PredictJob
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.reap import SklearnReapOperator
from airflow_sklearn.runtimes import registry
from airflow_sklearn.runtimes.base import JobState, runtime_from_dict
from airflow_sklearn.runtimes.reaper import __main__ as command
from airflow_sklearn.runtimes.reaper.reap import Verdict, find_hosts, judge
from airflow_sklearn.triggers.job import RuntimeTrigger
from tests.operators.conftest import train
from tests.operators.database import Run
from tests.operators.fakes import task_context
from tests.plugins import batch_runtime
from tests.plugins.batch_runtime import BatchRuntime
from tests.runtimes.conftest import make_job
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RUNTIMES", dict(registry._RUNTIMES))
    registry.register("batch", batch_runtime.PATH)


@pytest.fixture
def runtime(tmp_path: Path) -> BatchRuntime:
    return BatchRuntime(queue=f"{tmp_path}/queue")


@pytest.fixture
def waiting(runtime: BatchRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchRuntime]:
    """Runs a job whose worker does not end by itself."""
    worker = tmp_path / "worker"
    worker.write_text(f"#!{sys.executable}\nimport time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    worker.chmod(0o755)
    monkeypatch.setattr(batch_runtime, "sys", SimpleNamespace(executable=str(worker), path=sys.path))
    handle = runtime.submit("job", job_of(tmp_path), survives_parent=True)
    yield runtime
    runtime.cancel(handle)


def job_of(folder: Path) -> PredictJob:
    identity = JobIdentity(dag_id="dag", task_id="task", run_id="run", map_index=3)
    return make_job(folder).model_copy(update={"identity": identity})


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_it_runs_a_job_from_an_operator_to_its_end(run_dag: Callable[..., Run], table: Path, deferrable: bool) -> None:
    runtime = f"BatchRuntime(queue='{table}/queue')"
    imports = "from tests.plugins.batch_runtime import BatchRuntime\n"
    run = run_dag(imports + train(table, runtime=runtime, deferrable=str(deferrable)))
    assert run.state == "success"
    assert run.xcom("train")["rows"] > 0
    (record,) = (table / "queue").glob("*/record.json")
    assert json.loads(record.read_bytes())["tags"]["airflow_task_id"] == "train"
    assert (record.parent / "exit_code").read_text().strip() == "0"


def test_it_survives_a_deferral_by_the_name_of_its_class(waiting: BatchRuntime, tmp_path: Path) -> None:
    described = waiting.described_for_triggers()
    assert described["class"] == "tests.plugins.batch_runtime:BatchRuntime"
    assert runtime_from_dict(json.loads(json.dumps(waiting.to_dict())), env={}) == waiting
    handle = waiting.submit("other", job_of(tmp_path), survives_parent=True)
    made = RuntimeTrigger(
        runtime=described,
        handle=handle.model_dump(mode="json"),
        poll_interval=0.05,
        expires_at=None,
        aws_conn_id=None,
    )
    _, arguments = made.serialize()
    again = RuntimeTrigger(**json.loads(json.dumps(arguments)))
    wait_for(lambda: waiting.logs(handle)[0], "the worker to begin")  # before that, a signal may be lost in its shell
    again.cancel()

    async def event() -> Any:
        return await anext(again.run())

    assert asyncio.run(event()).payload["status"]["state"] == JobState.CANCELLED


def test_the_reaper_finds_what_it_has_left_behind(waiting: BatchRuntime) -> None:
    def found(**tags: str) -> list[Any]:
        return list(find_hosts(None, {"batch": [waiting.queue]}, region_name=None, tags=tags))  # type: ignore[arg-type]

    (host,) = found(airflow_run_id="run")
    assert (host.task, host.map_index) == (("dag", "task", "run"), 3)
    assert found(airflow_run_id="another") == []
    (judged,) = judge([host], lambda *_: {3: "failed"}, timedelta(0))
    assert judged.verdict is Verdict.LEFT_BEHIND


def test_the_reapers_operator_and_command_take_it(
    waiting: BatchRuntime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("airflow_sklearn.airflow_compat.states_of_task", lambda *_: {3: "failed"})
    monkeypatch.setattr(command, "states_in_database", lambda *_: {3: "failed"})
    operator = SklearnReapOperator(
        task_id="reap", ec2=False, runtimes={"batch": [waiting.queue]}, grace=timedelta(0), report_only=True
    )
    assert len(operator.execute(task_context())) == 1
    assert command.main(["--job-queue", waiting.queue, "--grace", "0", "--dry-run"]) == 0
    assert "1 found, 1 would be ended" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main([])
    assert "give --cluster NAME or --ec2 or --job-queue NAME" in capsys.readouterr().err


def test_the_policies_have_its_rights_and_its_role(capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--region", "eu-west-1", "--account", "111122223333", "--model", "s3://acme/models"]
    assert print_policies([*where, "--runtime", "batch"]) == 0
    policies = json.loads(capsys.readouterr().out)
    assert set(policies) == {"airflow", "batch", "batch-trust"}
    assert "SubmitJobs" in {one["Sid"] for one in policies["airflow"]["Statement"]}
    assert "WriteModelsResultsReceiptsAndParts" in {one["Sid"] for one in policies["batch"]["Statement"]}
    assert print_policies([*where, "--ec2", "--policy", "batch"]) == 2
    assert "--policy batch needs --runtime batch" in capsys.readouterr().err


def test_a_package_registers_it_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RUNTIMES", {"local": "airflow_sklearn.runtimes.local:LocalRuntime"})
    info = tmp_path / "somebody-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[airflow_sklearn.runtimes]\nbatch = {batch_runtime.PATH}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._from_entry_points.cache_clear()
    try:
        assert registry.names() == ["local", "batch"]
        assert registry.load("batch") is BatchRuntime
    finally:
        registry._from_entry_points.cache_clear()


def test_a_name_that_nobody_registered_is_refused() -> None:
    with pytest.raises(UserError, match="There is no runtime 'slurm': there are local, ecs, ec2, batch"):
        registry.load("slurm")
    registry.register("none", "airflow_sklearn.runtimes.base:JobHandle")
    with pytest.raises(UserError, match="that is no Runtime"):
        registry.load("none")
