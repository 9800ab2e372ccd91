"""Run joblib's own tests of parallel backends with containers in the place of joblib's processes.

::

    python -m tests.joblib_backend.joblib_suite

The tests come from the joblib that is installed (``joblib/test/test_parallel.py``). The backend that they call
``loky``, and joblib's default, is then a pool of worker processes (``LocalRuntime``): every test that uses it runs with
the pool. What is left out is printed, with the reason.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from typing import Any

import joblib
import joblib._parallel_backends
import joblib.parallel
import pytest
from joblib.parallel import BACKENDS

from airflow_sklearn.joblib_backend import ContainerBackend, WorkerPool
from airflow_sklearn.runtimes.local.runtime import LocalRuntime

#: Regular expressions over names of tests, and why they are left out.
LEFT_OUT = {
    r"test_nested_parallel_warnings": "tells that joblib's processes start no further ones; containers may",
    r"multiprocessing-loky": "in a process that multiprocessing has forked, where joblib's own processes do not start",
    r"test_error_capture": "looks at joblib's processes by a private attribute: they are to be others after an error",
    r"test_dispatch_multiprocessing": "tasks talk to a multiprocessing.Manager, which lives on one machine",
    r"test_auto_memmap_on_arrays_from_generator|test_memmapping_leaks": (
        "asks for numpy.memmap and joblib's temp_folder; arrays are mapped here too, as plain arrays (tested here)"
    ),
    r"test_multiple_generator_call_separated_gc": (
        "one call's end must break another call; with containers it does not (tested here)"
    ),
    r"test_initializer": "initializer=, which only joblib's processes have",
    r"test_threadpool_limitation_in_child_override": (
        "sets a variable of the driver's environment, which containers do not have: EcsRuntime(env=...) gives them some"
    ),
    r"test_loky_reuse_workers": "counts joblib's processes on this machine",
}


def main(arguments: list[str]) -> int:
    plugin = _Selection()
    with (
        tempfile.TemporaryDirectory(prefix="joblib-suite-") as folder,
        WorkerPool(runtime=LocalRuntime(), storage=f"file://{folder}", visibility_timeout=10) as pool,
    ):
        _take_the_place_of_loky(pool)
        import joblib.test.test_parallel as suite

        quiet = ("-c", "/dev/null", "--rootdir", folder, "-p", "no:cacheprovider", "-q", "--tb=short", "-W", "ignore")
        code = pytest.main([str(suite.__file__), *quiet, "--timeout=120", *arguments], plugins=[plugin])
    plugin.print()
    return int(code)


class _Selection:
    """Which tests are run."""

    def __init__(self) -> None:
        self.run = 0
        self.left_out: Counter[tuple[str, str]] = Counter()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept, dropped = [], []
        for item in items:
            reason = _reason(item)
            if reason:
                self.left_out[item.name.partition("[")[0], reason] += 1
                dropped.append(item)
            else:
                kept.append(item)
        items[:] = kept
        self.run = len(kept)
        config.hook.pytest_deselected(items=dropped)

    def print(self) -> None:
        print(f"\njoblib {joblib.__version__}: {self.run} of its tests ran with containers.")
        print(f"{self.left_out.total()} were left out:")
        by_reason: dict[str, list[str]] = {}
        for (name, reason), count in sorted(self.left_out.items()):
            by_reason.setdefault(reason, []).append(name if count == 1 else f"{name} ({count} times)")
        for reason, names in by_reason.items():
            print(f"- {reason}:")
            for name in names:
                print(f"    {name}")


def _reason(item: Any) -> str:
    for pattern, reason in LEFT_OUT.items():
        if re.search(pattern, item.name):
            return reason
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    backends = [value for name, value in parameters.items() if "backend" in name and not name.startswith("backend_n")]
    if backends and not any(_is_ours(backend) for backend in backends):
        return "of another backend: threads, multiprocessing, none, or one that the test brings"
    return ""


def _is_ours(backend: Any) -> bool:
    """None stands for joblib's default."""
    return backend in (None, "loky") or isinstance(backend, ContainerBackend)


def _take_the_place_of_loky(pool: WorkerPool) -> None:
    class LokyBackend(ContainerBackend):
        """Under the name that joblib's tests know, and print."""

        def __init__(self, nesting_level: int | None = None, inner_max_num_threads: int | None = None) -> None:
            super().__init__(nesting_level, inner_max_num_threads, pool=pool, max_jobs=2)

        default_n_jobs = 1  # as joblib's own, which it stands for

    for name in ("containers", "ecs", "ec2"):  # joblib's tests make one of each backend, with no argument
        BACKENDS.pop(name)
    BACKENDS["loky"] = LokyBackend
    joblib._parallel_backends.LokyBackend = LokyBackend


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
