"""How long tests take, as recorded in ``durations.json``: seconds of CPU, which a busy machine hardly changes.

``make test PYTEST_OPTIONS=--record-durations`` records them anew. ``make test-quick`` leaves out all that are recorded,
and modules that take longer begin earlier.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

RECORD = Path(__file__).with_suffix(".json")
#: Seconds. Shorter tests are not recorded: they are those of `make test-quick`.
_LEAST = 0.3
_PROPERTY = "cpu_seconds"


def recorded() -> dict[str, float]:
    """Seconds by the test's id."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def by_module(seconds: dict[str, float]) -> Counter[str]:
    """The sum of each module's tests."""
    found: Counter[str] = Counter()
    for test, value in seconds.items():
        found[test.partition("::")[0]] += value  # type: ignore[assignment]
    return found


class Durations:
    """Measures tests in the process that runs them, and records them in the one that controls it."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._begun = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        self._begun = _cpu()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        if call.when == "teardown":
            item.user_properties.append((_PROPERTY, _cpu() - self._begun))
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._seconds[report.nodeid] = float(str(dict(report.user_properties)[_PROPERTY]))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput"):
            return
        with (Path(tempfile.gettempdir()) / "airflow-sklearn-durations.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # suites end beside each other
            seconds = {**recorded(), **self._seconds}
            long = {name: round(value, 1) for name, value in sorted(seconds.items()) if value >= _LEAST}
            RECORD.write_text(json.dumps(long, indent=0, ensure_ascii=False) + "\n")


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
