from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo.local_airflow import LocalAirflow, LocalAirflowError, only_one
from tests.waiting import PATIENCE, wait_for

REPOSITORY = Path(__file__).parents[2]
#: A stand-in for Airflow's services: each starts a child and waits.
SERVICE = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""
RUN_SERVICES = f"""
import sys, time
from pathlib import Path
from demo import local_airflow
from demo.local_airflow import LocalAirflow, ended_by_signals
local_airflow.AIRFLOW = (sys.executable, "-c", {SERVICE!r})
LocalAirflow._migrate = lambda self: None
LocalAirflow.call = lambda self, *_: {{"access_token": "-"}}
with ended_by_signals(), LocalAirflow(Path(sys.argv[1]), Path("dags"), {{"MARK": sys.argv[1]}}):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_demo_ends_its_services_and_their_children(tmp_path: Path, how: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", RUN_SERVICES, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    assert demo.stdout.readline() == "ready\n"
    wait_for(lambda: len(_processes_of(tmp_path)) == 2 * 3)
    demo.send_signal(how)
    assert demo.wait(PATIENCE) == 128 + how
    wait_for(lambda: not _processes_of(tmp_path), lambda: _processes_of(tmp_path))  # SIGKILL takes its time


def test_a_port_that_is_taken_is_not_used(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not LocalAirflow(tmp_path, tmp_path, {}, port=port).url.endswith(f":{port}")


def test_the_users_own_airflow_settings_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")
    environment = LocalAirflow(tmp_path, tmp_path, {"FLIGHTS_ROOT": "file:///flights"}).environment
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_AWS_DEFAULT" not in environment
    assert environment["FLIGHTS_ROOT"] == "file:///flights"


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with only_one(lock), pytest.raises(LocalAirflowError, match="running already"), only_one(lock):
        pytest.fail("a second one was let in")
    with only_one(lock):
        pass  # when the first has ended


def _processes_of(mark: Path) -> list[str]:
    """The processes whose environment holds the mark, this test's own aside."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if f"MARK={mark}\0" in (entry / "environ").read_text(errors="replace"):
                    found.append(entry.name)
            except OSError:
                continue
    return found
