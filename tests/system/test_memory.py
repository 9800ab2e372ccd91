from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from airflow_sklearn.system.memory import PeakMemory, memory_of
from tests.waiting import wait_for


@pytest.fixture
def child() -> Iterator[int]:
    """Holds 50 MB more than Python itself."""
    source = "held = b'x' * 50_000_000; print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_the_memory_of_child_processes_counts(child: int) -> None:
    alone = memory_of(os.getpid())
    with PeakMemory() as peak:
        pass
    assert peak.bytes > alone + 40_000_000


def test_a_child_that_ends_while_it_is_counted_is_no_error(child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.listdir

    def ended(path: str) -> list[str]:
        if path == f"/proc/{child}/task":
            raise ProcessLookupError(3, "No such process", path)
        return listed(path)

    alone = memory_of(os.getpid())
    monkeypatch.setattr(os, "listdir", ended)
    with PeakMemory() as peak:
        wait_for(lambda: peak.bytes)
    assert peak.bytes > alone + 40_000_000  # it counts until it has ended
