from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_sklearn.contract.jobs import JobIdentity, PredictJob
from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus
from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from airflow_sklearn.runtimes.local.state_folder import default_state_dir
from tests.runtimes.conftest import make_job
from tests.waiting import wait_for

RuntimeOf = Callable[..., LocalRuntime]
SLEEP = "print('at work', flush=True); time.sleep(600)"


def wait_for_end(runtime: LocalRuntime, handle: JobHandle) -> JobStatus:
    wait_for(lambda: runtime.poll([handle])[0].state.finished, "the job to end")
    return runtime.poll([handle])[0]


def wait_for_line(runtime: LocalRuntime, handle: JobHandle, line: str) -> None:
    wait_for(lambda: line in runtime.logs(handle)[0], lambda: runtime.logs(handle))


def first_line(runtime: LocalRuntime, handle: JobHandle) -> str:
    return wait_for(lambda: runtime.logs(handle)[0], "a line")[0]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(params=[False, True], ids=["attached", "detached"])
def survives_parent(request: pytest.FixtureRequest) -> bool:
    return request.param


def test_a_worker_that_ends_well_has_succeeded(runtime_of: RuntimeOf, job: PredictJob, survives_parent: bool) -> None:
    runtime = runtime_of("print(*sys.argv[1:])")
    handle = runtime.submit("file:///job.json", job, survives_parent=survives_parent)
    assert wait_for_end(runtime, handle).state is JobState.SUCCEEDED
    assert runtime.logs(handle)[0] == [f"-m airflow_sklearn.worker --sha256 {job.digest()} file:///job.json"]
    assert handle.job_sha256 == job.digest()


@pytest.mark.parametrize(
    ("source", "state", "message"),
    [
        ("sys.exit(65)", JobState.FAILED, "exit code 65"),
        ("os.kill(os.getpid(), signal.SIGKILL)", JobState.LOST, "memory"),
        ("os.kill(os.getpid(), signal.SIGTERM)", JobState.LOST, "SIGTERM"),
    ],
)
def test_how_a_worker_ended_is_known(
    runtime_of: RuntimeOf, job: PredictJob, survives_parent: bool, source: str, state: JobState, message: str
) -> None:
    runtime = runtime_of(source)
    status = wait_for_end(runtime, runtime.submit("job", job, survives_parent=survives_parent))
    assert status.state is state
    assert message in status.message


def test_cancel_stops_a_worker_and_what_it_started(
    runtime_of: RuntimeOf, job: PredictJob, survives_parent: bool
) -> None:
    runtime = runtime_of("if not os.fork():\n    print(os.getpid(), flush=True)\ntime.sleep(600)")
    handle = runtime.submit("job", job, survives_parent=survives_parent)
    child = int(first_line(runtime, handle))
    runtime.cancel(handle)
    assert wait_for_end(runtime, handle).state is JobState.CANCELLED
    wait_for(lambda: is_gone(child), "the child to end")
    runtime.cancel(handle)  # once more is no error


def test_cancel_kills_a_worker_that_does_not_listen(
    runtime_of: RuntimeOf, job: PredictJob, survives_parent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_sklearn.runtimes.local.runtime.SECONDS_TO_END", 0.3)
    runtime = runtime_of(f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}")
    handle = runtime.submit("job", job, survives_parent=survives_parent)
    wait_for_line(runtime, handle, "at work")
    runtime.cancel(handle)
    assert wait_for_end(runtime, handle).state is JobState.CANCELLED


def test_a_worker_may_use_its_time_to_end_in_order(
    runtime_of: RuntimeOf, job: PredictJob, survives_parent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_sklearn.runtimes.local.runtime.SECONDS_TO_END", 60.0)
    tidy = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), print('tidy'), sys.exit(143)))"
    runtime = runtime_of(f"{tidy}\n{SLEEP}")
    handle = runtime.submit("job", job, survives_parent=survives_parent)
    wait_for_line(runtime, handle, "at work")
    runtime.cancel(handle)
    assert runtime.poll([handle])[0].exit_code == 143
    assert runtime.logs(handle)[0][-1] == "tidy"


def test_a_lost_process_is_lost(runtime_of: RuntimeOf, job: PredictJob) -> None:
    runtime = runtime_of(SLEEP)
    handle = runtime.submit("job", job, survives_parent=True)
    wait_for_line(runtime, handle, "at work")
    os.killpg(int(handle.data["group"]), signal.SIGKILL)  # type: ignore[arg-type]
    status = wait_for_end(runtime, handle)
    assert status.state is JobState.LOST
    assert "no exit code" in status.message


def test_another_process_with_the_same_number_is_not_taken_for_the_worker(
    runtime_of: RuntimeOf, job: PredictJob
) -> None:
    runtime = runtime_of(SLEEP)
    handle = runtime.submit("job", job, survives_parent=True)
    later = {**handle.data, "pid": os.getpid(), "group": os.getpgid(0), "started": handle.data["started"] - 3600}  # type: ignore[operator]
    impostor = handle.model_copy(update={"data": later})
    assert runtime.poll([impostor])[0].state is JobState.LOST
    runtime.cancel(impostor)  # must not end the test
    runtime.cancel(handle)


def test_log_lines_come_once_and_whole(
    runtime_of: RuntimeOf, job: PredictJob, survives_parent: bool, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    runtime = runtime_of(
        "print('one', flush=True); print('two, half', end='', flush=True)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
        "print('.')"
    )
    handle = runtime.submit("job", job, survives_parent=survives_parent)
    wait_for_line(runtime, handle, "one")
    lines, cursor = runtime.logs(handle)
    assert lines == ["one"]
    go.touch()
    wait_for_end(runtime, handle)
    assert runtime.logs(handle, cursor)[0] == ["two, half."]


def test_a_running_detached_job_is_found_by_a_later_attempt(runtime_of: RuntimeOf, job: PredictJob) -> None:
    runtime = runtime_of(SLEEP)
    handle = runtime.submit("job", job, survives_parent=True)
    found = runtime.find(job.model_copy(update={"identity": job.identity.model_copy(update={"try_number": 2})}))
    assert found == handle.model_copy(update={"taken_over": True})
    runtime.cancel(handle)
    wait_for_end(runtime, handle)
    assert runtime.find(job) is None


def test_other_work_of_the_same_task_is_not_found(runtime_of: RuntimeOf, job: PredictJob, tmp_path: Path) -> None:
    runtime = runtime_of(SLEEP)
    handle = runtime.submit("job", job, survives_parent=True)
    assert runtime.find(make_job(tmp_path, chunk="another chunk")) is None
    runtime.cancel(handle)


@pytest.mark.parametrize("source", ["", "sys.exit(65)"], ids=["well", "with an error"])
def test_a_job_that_has_ended_is_not_found(
    runtime_of: RuntimeOf, job: PredictJob, survives_parent: bool, source: str
) -> None:
    """What it made may be gone from storage since; if not, it is found there."""
    runtime = runtime_of(source)
    wait_for_end(runtime, runtime.submit("job", job, survives_parent=survives_parent))
    assert runtime.find(job) is None


@pytest.mark.parametrize("content", ["", '{"key": "ab', "[]"])
def test_a_stored_handle_that_cannot_be_read_is_passed_over(
    runtime_of: RuntimeOf, job: PredictJob, content: str
) -> None:
    runtime = runtime_of(SLEEP)
    first, second = (runtime.submit("job", job, survives_parent=True) for _ in range(2))
    (Path(str(second.data["folder"])) / "handle.json").write_text(content)
    found = runtime.find(job)
    assert found
    assert found.data == first.data
    for handle in (first, second):
        runtime.cancel(handle)


def test_a_handle_is_stored_whole_or_not_at_all(
    runtime_of: RuntimeOf, job: PredictJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    runtime = runtime_of("")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        runtime.submit("job", job, survives_parent=False)
    assert not list(Path(str(runtime.state_dir)).glob("*/handle.json"))


def test_only_an_attached_worker_is_told_which_process_to_end_with(
    runtime_of: RuntimeOf, job: PredictJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_SKLEARN_EXIT_WITH_PARENT", "1")  # as in a worker that submits jobs of its own
    runtime = runtime_of("print(os.environ.get('AIRFLOW_SKLEARN_EXIT_WITH_PARENT'))")
    for survives_parent, expected in ((False, str(os.getpid())), (True, "None")):
        handle = runtime.submit("job", job, survives_parent=survives_parent)
        wait_for_end(runtime, handle)
        assert runtime.logs(handle)[0] == [expected]


def test_an_interpreter_that_is_not_there_is_the_users_error(job: PredictJob, tmp_path: Path) -> None:
    runtime = LocalRuntime(python="/nowhere/python", state_dir=str(tmp_path))
    with pytest.raises(UserError, match="no such program"):
        runtime.submit("job", job, survives_parent=True)
    with pytest.raises(UserError, match="no such program"):
        runtime.software_fingerprint()


def test_an_interpreter_without_the_package_is_told_what_to_install(
    runtime_of: RuntimeOf, job: PredictJob, survives_parent: bool
) -> None:
    runtime = runtime_of("sys.exit('Error while finding module: No module named airflow_sklearn')")
    status = wait_for_end(runtime, runtime.submit("job", job, survives_parent=survives_parent))
    assert status.state is JobState.FAILED
    assert status.exit_code is None, "a retry would not mend it"
    assert "Install airflow-sklearn[worker]" in status.message
    with pytest.raises(BrokenEnvironmentError, match="No module named airflow_sklearn\nInstall"):
        runtime.software_fingerprint()


def test_a_job_whose_task_is_gone_is_not_taken_over(runtime_of: RuntimeOf, job: PredictJob) -> None:
    runtime = runtime_of(SLEEP)
    handle = runtime.submit("job", job, survives_parent=False)
    assert runtime.find(job), "its task, this process, is alive"
    folder = Path(str(handle.data["folder"]))
    orphan = handle.model_copy(update={"data": {**handle.data, "parent_started": 1.0}})
    (folder / "handle.json").write_text(orphan.model_dump_json())
    assert runtime.find(job) is None
    runtime.cancel(handle)


def test_airflows_secrets_stay_out_of_the_worker(
    runtime_of: RuntimeOf, job: PredictJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://hunter2")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://hunter2")
    monkeypatch.setenv("HARMLESS", "yes")
    runtime = runtime_of("import json; print(json.dumps(dict(os.environ)))", env={"MINE": "1"}, processes=3)
    handle = runtime.submit("job", job, survives_parent=False)
    wait_for_end(runtime, handle)
    environment = json.loads(runtime.logs(handle)[0][0])
    assert "hunter2" not in json.dumps(environment)
    assert {k: environment.get(k) for k in ("HARMLESS", "MINE", "AIRFLOW_SKLEARN_PROCESSES")} == {
        "HARMLESS": "yes",
        "MINE": "1",
        "AIRFLOW_SKLEARN_PROCESSES": "3",
    }


class FakeAws:
    def client(self, service: str) -> Any:
        raise AssertionError("not asked for")

    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": "from the connection"}


@pytest.mark.parametrize(
    ("change", "is_given"),
    [
        ({"ledger": "s3:///somewhere"}, True),
        ({"result_uri": "s3:///somewhere/result.json"}, True),
        ({"ledger": "file:///somewhere"}, False),
        ({"identity": JobIdentity(dag_id="from s3://somewhere")}, False),
    ],
    ids=["ledger", "result", "file", "a word of the job"],
)
def test_the_connection_is_passed_on_only_to_jobs_that_use_s3(
    runtime_of: RuntimeOf, job: PredictJob, change: dict[str, Any], is_given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    runtime = runtime_of("print(os.environ.get('AWS_ACCESS_KEY_ID'))").bind(FakeAws())
    handle = runtime.submit("job", job.model_copy(update=change), survives_parent=False)
    wait_for_end(runtime, handle)
    assert runtime.logs(handle)[0] == ["from the connection" if is_given else "None"]
    stored = (Path(str(handle.data["folder"])) / "handle.json").read_text()
    assert "from the connection" not in stored


def test_the_repr_names_variables_but_not_their_values() -> None:
    text = repr(LocalRuntime(env={"TOKEN": "hunter2"}))
    assert text == "LocalRuntime(env=['TOKEN'])"


def test_the_environment_is_that_of_the_interpreter() -> None:
    text = LocalRuntime().software_fingerprint()
    assert text.startswith(f"python {sys.version.split()[0]}, ")
    assert "scikit-learn" in text
    assert LocalRuntime(python=sys.executable).software_fingerprint().partition(",")[0] == text.partition(",")[0]


def test_the_environment_tells_a_modules_source_as_the_worker_has_it(tmp_path: Path) -> None:
    package = tmp_path / "my_code"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    runtime = LocalRuntime(env={"PYTHONPATH": os.pathsep.join([str(tmp_path), *(p for p in sys.path if p)])})
    texts = []
    for source in ("depth = 1", "depth = 2", "depth = 1"):
        (package / "models.py").write_text(source)
        texts.append(runtime.software_fingerprint("my_code.models"))
    assert "my_code.models " in texts[0]
    assert texts[0] != texts[1]
    assert texts[0] == texts[2]
    assert runtime.software_fingerprint("my_code.nowhere") == runtime.software_fingerprint()


def test_the_default_interpreter_sees_the_modules_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    environment = LocalRuntime()._base_environment()
    subprocess.run([sys.executable, "-c", "import only_here"], env=environment, check=True)


def test_a_job_watched_from_another_machine_is_refused(runtime_of: RuntimeOf, job: PredictJob) -> None:
    runtime = runtime_of("")
    handle = runtime.submit("job", job, survives_parent=True)
    elsewhere = handle.model_copy(update={"data": {**handle.data, "host": "elsewhere"}})
    status = runtime.poll([elsewhere])[0]
    assert status.state is JobState.FAILED
    assert "one machine" in status.message


def test_old_job_folders_are_removed(runtime_of: RuntimeOf, job: PredictJob, tmp_path: Path) -> None:
    runtime = runtime_of("")
    handle = runtime.submit("job", job, survives_parent=True)
    wait_for_end(runtime, handle)
    first = Path(str(handle.data["folder"]))
    for path in (*first.iterdir(), first, tmp_path / "state" / "cleaned"):
        os.utime(path, (1, 1))
    second = Path(str(runtime.submit("job", job, survives_parent=True).data["folder"]))
    assert not first.exists()
    assert second.exists()


def test_a_state_folder_of_another_user_is_refused(
    runtime_of: RuntimeOf, job: PredictJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = runtime_of("")
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(Exception, match="belongs to another user"):
        runtime.submit("job", job, survives_parent=False)


def test_folders_that_this_package_did_not_make_are_never_removed(
    runtime_of: RuntimeOf, job: PredictJob, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    thesis = state / "my-thesis"
    thesis.mkdir(parents=True)
    (thesis / "handle.json").write_text("{}")
    (state / "a-link").symlink_to(tmp_path)
    for path in (thesis / "handle.json", thesis):
        os.utime(path, (1, 1))
    runtime_of("").submit("job", job, survives_parent=True)
    assert (thesis / "handle.json").exists()
    assert (state / "a-link").exists()


def test_the_folder_of_a_silent_job_that_runs_still_is_kept(
    runtime_of: RuntimeOf, job: PredictJob, tmp_path: Path
) -> None:
    runtime = runtime_of("import time; time.sleep(60)")
    handle = runtime.submit("job", job, survives_parent=True)
    folder = Path(str(handle.data["folder"]))
    elsewhere = tmp_path / "state" / "other-host"
    elsewhere.mkdir()
    of_another_machine = handle.model_copy(
        update={"data": {**handle.data, "folder": str(elsewhere), "host": "elsewhere"}}
    )
    (elsewhere / "handle.json").write_text(of_another_machine.model_dump_json())
    for path in (*folder.iterdir(), folder, elsewhere / "handle.json", elsewhere, tmp_path / "state" / "cleaned"):
        os.utime(path, (1, 1))
    second = runtime.submit("job", job, survives_parent=True)
    try:
        assert folder.exists()
        assert elsewhere.exists()
    finally:
        runtime.cancel(handle)
        runtime.cancel(second)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_state_folder_that_others_can_write_to_is_refused(
    runtime_of: RuntimeOf, job: PredictJob, tmp_path: Path, mode: int
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    for use in (lambda: runtime_of("").submit("job", job, survives_parent=False), lambda: runtime_of("").find(job)):
        with pytest.raises(UserError, match=r"written to by others\. Fix: chmod go-w"):
            use()


def test_a_state_folder_that_is_a_link_or_a_file_is_refused(
    runtime_of: RuntimeOf, job: PredictJob, tmp_path: Path
) -> None:
    (tmp_path / "state").symlink_to(tmp_path)
    with pytest.raises(UserError, match="symbolic link"):
        runtime_of("").submit("job", job, survives_parent=False)
    (tmp_path / "state").unlink()
    (tmp_path / "state").write_text("")
    with pytest.raises(UserError, match="no folder"):
        runtime_of("").submit("job", job, survives_parent=False)


def test_the_default_state_folder_is_in_airflows_home_where_only_this_user_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, home = tmp_path / "tmp", tmp_path / "home"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    assert Path(default_state_dir()).parent == temporary  # there is no home
    home.mkdir(mode=0o755)
    assert Path(default_state_dir()).parent == home
    home.chmod(0o777)
    assert Path(default_state_dir()).parent == temporary
    monkeypatch.delenv("AIRFLOW_HOME")
    assert Path(default_state_dir()).parent == temporary


def test_the_real_worker_dies_with_its_task(tmp_path: Path) -> None:
    """The process that submits is killed hard; the worker, which waits for a job to appear, notices."""
    script = tmp_path / "task.py"
    script.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from airflow_sklearn.runtimes.local.runtime import LocalRuntime\n"
        "from tests.runtimes.conftest import make_job\n"
        "runtime = LocalRuntime(python=sys.argv[1], state_dir=sys.argv[2])\n"
        "handle = runtime.submit('job', make_job(Path(sys.argv[3])), survives_parent=False)\n"
        "print(handle.data['pid'], flush=True)\n"
        "time.sleep(600)\n"
    )
    worker = tmp_path / "worker"
    worker.write_text(
        f"#!{sys.executable}\n"
        "import time\n"
        "from pathlib import Path\n"
        "from airflow_sklearn.worker.run import _end_with_parent\n"
        "with _end_with_parent():\n"
        f"    Path({str(tmp_path / 'begun')!r}).touch()\n"
        "    time.sleep(600)\n"
    )
    worker.chmod(0o700)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    task = subprocess.Popen(
        [sys.executable, str(script), str(worker), str(tmp_path / "state"), str(tmp_path)],
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert task.stdout
    pid = int(task.stdout.readline())
    wait_for((tmp_path / "begun").exists, "the worker to begin")
    task.kill()
    task.wait()
    wait_for(lambda: is_gone(pid), "the worker to end")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"processes": "4"}, "processes='4': give a whole number, 1 or more"),
        ({"processes": 0}, "1 or more"),
        ({"env": ["A=1"]}, "env is a dict of texts"),
        ({"env": {"A": 1}}, "env is a dict of texts"),
        ({"state_dir": 5}, "state_dir=5: give a path"),
    ],
)
def test_arguments_that_cannot_be_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        LocalRuntime(**arguments)


def test_templates_are_let_pass() -> None:
    LocalRuntime(env={"A": "{{ ds }}"}, state_dir="{{ var.value.state }}")
