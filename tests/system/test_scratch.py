"""Scratch folders, and those of killed jobs."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from airflow_sklearn.system.scratch import remove_abandoned, scratch_folder

HOLD = """
import sys, time
from airflow_sklearn.system.scratch import scratch_folder
with scratch_folder() as path:
    open(path + "/rows", "w").write("rows")
    print(path, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_scratch_folder_is_its_users_own_and_ends_with_the_job(temporary: Path) -> None:
    with scratch_folder() as path:
        assert os.stat(path).st_mode & 0o077 == 0
        Path(path, "rows").write_text("rows")
        assert remove_abandoned(str(temporary)) == []
    assert list(temporary.iterdir()) == []


def test_what_a_killed_job_left_is_removed_by_the_next_one_and_what_a_living_one_has_is_not(temporary: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(temporary)}
    jobs = [
        subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    killed, living = (str(job.stdout.readline().strip()) for job in jobs if job.stdout)
    jobs[0].send_signal(signal.SIGKILL)
    jobs[0].wait()
    try:
        with scratch_folder():
            assert not os.path.exists(killed)
            assert os.path.exists(f"{living}/rows")
    finally:
        jobs[1].kill()
        jobs[1].wait()


def test_a_link_or_another_folder_is_left_alone(temporary: Path) -> None:
    (temporary / "elsewhere").mkdir()
    (temporary / "airflow-sklearn-scratch-link").symlink_to(temporary / "elsewhere")
    (temporary / "airflow-sklearn-other").mkdir()
    assert remove_abandoned(str(temporary)) == []
    assert (temporary / "elsewhere").exists()


def test_a_folder_that_another_job_takes_for_abandoned_before_it_is_locked_is_made_again(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real, real_lock = [], tempfile.mkdtemp, fcntl.flock

    def mkdtemp(**options: str) -> str:
        made.append(real(**options))
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    def flock(descriptor: int, operation: int) -> None:
        if len(made) == 2:
            os.rmdir(made[1])
        real_lock(descriptor, operation)

    monkeypatch.setattr("tempfile.mkdtemp", mkdtemp)
    monkeypatch.setattr("fcntl.flock", flock)
    with scratch_folder() as path:
        assert path == made[2]
