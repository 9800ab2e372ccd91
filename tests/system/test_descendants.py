"""What a process has started, and what ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_sklearn.system.descendants import Descendants, children_of
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def orphan() -> int:
    """A process in a session of its own, whose parent has ended."""
    command = "setsid sleep 600 > /dev/null & echo $!"
    return int(subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=True).stdout)


@pytest.fixture
def older() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_process_without_its_parent_is_adopted_and_killed_and_older_ones_live(
    older: subprocess.Popen[bytes],
) -> None:
    descendants = Descendants()
    with descendants.adopting():
        lost = orphan()
        wait_for(lambda: lost in children_of(os.getpid()), "the process to be adopted")
        child = subprocess.Popen(["/bin/sh", "-c", "sleep 600; true"])
        wait_for(lambda: children_of(child.pid), "a grandchild")
        grandchild = children_of(child.pid)[0]
        descendants.kill()
    assert not any(map(is_running, (lost, child.pid, grandchild)))
    assert older.poll() is None
    child.wait()
    os.waitpid(lost, 0)


def test_orphans_go_elsewhere_again_afterwards() -> None:
    with Descendants().adopting():
        pass
    lost = orphan()
    try:
        assert lost not in children_of(os.getpid())
    finally:
        os.kill(lost, 9)


def test_other_jobs_and_resource_trackers_live_on() -> None:
    descendants = Descendants()
    wait = "import time; print(flush=True); time.sleep(600)"
    tracker = [f"from multiprocessing.resource_tracker import main; {wait}"]
    job = [wait, "-m", "airflow_sklearn.worker", "file:///job.json"]
    others = [
        subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE) for arguments in (tracker, job)
    ]
    try:
        for process in others:  # before it runs, /proc does not tell its command
            assert process.stdout is not None
            process.stdout.readline()
        descendants.kill()
        assert [process.poll() for process in others] == [None, None]
    finally:
        for process in others:
            process.kill()
            process.communicate()
