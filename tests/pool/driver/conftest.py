"""Pools whose containers are processes of this machine, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_sklearn.joblib_backend import WorkerPool
from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from tests.waiting import wait_for


class LocalPool:
    """A pool's folder, and its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = LocalRuntime(state_dir=str(folder / "state"))
        self.storage = f"file://{folder}/pools"

    @property
    def parameters(self) -> dict[str, Any]:
        """For ``joblib.parallel_config("containers", ...)`` and ``WorkerPool``; with short waits."""
        return {
            "runtime": self.runtime,
            "storage": self.storage,
            "visibility_timeout": 4,
            "driver_timeout": 20,
            "poll_interval": 0.2,
        }

    def workers(self) -> list[psutil.Process]:
        """First processes of the pools' containers."""
        return [one for one in psutil.process_iter() if f"{self.folder}/pools" in _worker_uri(one)]

    def processes(self) -> list[psutil.Process]:
        """All of them, those that run tasks too."""
        ours = (one for one in psutil.process_iter() if f"{self.folder}/pools" in " ".join(_command(one)))
        return [one for one in ours if "-m airflow_sklearn." in " ".join(_command(one))]

    def running(self) -> list[psutil.Process]:
        """Those that run tasks."""
        return [one for one in self.processes() if "airflow_sklearn.pool.worker.task_process" in _command(one)]

    def remains(self) -> list[str]:
        """Files and folders of pools. Unlike ``rglob``, ``walk`` bears what is removed at the same moment."""
        walk = os.walk(self.folder / "pools")
        return [os.path.join(top, name) for top, folders, files in walk for name in (*folders, *files)]

    def wait_until_gone(self) -> None:
        wait_for(lambda: not self.processes() and not self.remains(), lambda: (self.processes(), self.remains()))


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


def _worker_uri(process: psutil.Process) -> str:
    command = _command(process)
    return command[-1] if command[1:3] == ["-m", "airflow_sklearn.worker"] else ""


@pytest.fixture
def local_pool(tmp_path: Path) -> Iterator[LocalPool]:
    """Nothing of it is left when the test has ended."""
    local = LocalPool(tmp_path)
    yield local
    for process in local.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """One for tests that leave its containers alive: starting some takes a second."""
    local = LocalPool(tmp_path_factory.mktemp("pool"))
    with WorkerPool(**local.parameters) as pool:
        yield pool
    local.wait_until_gone()
