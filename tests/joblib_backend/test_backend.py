"""What joblib and scikit-learn can do with containers."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from multiprocessing import TimeoutError as JoblibTimeoutError
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

import airflow_sklearn.joblib_backend  # noqa: F401 - registers the backends
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.joblib_backend import WorkerPool
from airflow_sklearn.runtimes.ecs import EcsRuntime
from airflow_sklearn.runtimes.local.runtime import LocalRuntime
from tests.pool.driver.conftest import LocalPool
from tests.waiting import wait_for


@pytest.fixture
def two(shared_pool: WorkerPool) -> Iterator[None]:
    with parallel_config("containers", pool=shared_pool, n_jobs=2):
        yield


def square(number: float) -> float:
    return number**2


# --- The block ---


def test_containers_live_for_the_block_and_leave_nothing(local_pool: LocalPool) -> None:
    with parallel_config("containers", n_jobs=2, **local_pool.parameters):
        assert not local_pool.processes()  # none before there is work
        processes = set(Parallel()(delayed(os.getpid)() for _ in range(20)))
        assert os.getpid() not in processes
        first = {one.pid for one in local_pool.workers()}
        assert Parallel()(delayed(square)(number) for number in range(5)) == [0, 1, 4, 9, 16]
        assert {one.pid for one in local_pool.workers()} >= first
    assert not local_pool.processes()
    assert not local_pool.remains()


def test_a_block_that_is_left_by_an_error_leaves_nothing(local_pool: LocalPool) -> None:
    def fail() -> None:
        with parallel_config("containers", n_jobs=2, **local_pool.parameters):
            Parallel()(delayed(divide)(1, number) for number in (2, 1, 0))

    with pytest.raises(ZeroDivisionError):
        fail()
    local_pool.wait_until_gone()


def divide(a: float, b: float) -> float:
    return a / b


def test_containers_that_are_idle_end_and_the_pool_closes_and_opens_again(local_pool: LocalPool) -> None:
    with parallel_config("containers", n_jobs=2, idle_timeout=1, **local_pool.parameters):
        assert Parallel()(delayed(square)(number) for number in range(4)) == [0, 1, 4, 9]
        local_pool.wait_until_gone()
        assert Parallel()(delayed(square)(number) for number in range(4)) == [0, 1, 4, 9]


def test_the_pool_needs_a_runtime_and_names_go_with_theirs() -> None:
    with pytest.raises(UserError, match="where its containers run"), parallel_config("containers", n_jobs=2):
        pass
    with pytest.raises(UserError, match="by EcsRuntime, not by LocalRuntime"):
        parallel_config("ecs", runtime=LocalRuntime())
    with pytest.raises(UserError, match="by Ec2Runtime, not by EcsRuntime"):
        parallel_config("ec2", runtime=EcsRuntime(subnets=["subnet-1"]))


def test_what_is_wrong_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_SKLEARN_POOLS", raising=False)
    ecs = EcsRuntime(subnets=["subnet-1"])
    with pytest.raises(UserError, match="Say storage='s3://bucket/folder'"):
        parallel_config("ecs", runtime=ecs)
    with pytest.raises(UserError, match="cannot reach this machine's files"):
        parallel_config("ecs", runtime=ecs, storage="file:///tmp/pools")
    with pytest.raises(UserError, match=r"(?s)processes=0.*restarts=0.*idle_timeout=-1"):
        parallel_config("containers", runtime=LocalRuntime(), processes=0, restarts=0, idle_timeout=-1)
    with pytest.raises(UserError, match="no parameter tiemout"):
        parallel_config("containers", runtime=LocalRuntime(), tiemout=3)


# --- What Parallel can be asked for ---


def test_n_jobs_minus_one_means_what_the_block_says_else_max_jobs(shared_pool: WorkerPool) -> None:
    with parallel_config("containers", pool=shared_pool, n_jobs=3):
        assert joblib.effective_n_jobs(-1) == 3
        assert joblib.effective_n_jobs(-2) == 2
        assert joblib.effective_n_jobs(7) == 7
    with parallel_config("containers", pool=shared_pool, max_jobs=5):
        assert joblib.effective_n_jobs(-1) == 5
        assert Parallel()._effective_n_jobs() == 5


@pytest.mark.usefixtures("two")
def test_pre_dispatch_takes_from_the_iterator_only_what_it_says() -> None:
    taken: list[int] = []

    def produce() -> Iterator[Any]:
        for number in range(12):
            taken.append(number)
            yield delayed(square)(number)

    results = Parallel(pre_dispatch=3, batch_size=1, return_as="generator")(produce())
    assert next(results) == 0
    assert list(results) == [square(number) for number in range(1, 12)]
    taken.clear()
    with pytest.raises(ZeroDivisionError):
        Parallel(pre_dispatch=3, batch_size=1)(_fails_at_first(taken))
    assert len(taken) < 100


def _fails_at_first(taken: list[int]) -> Iterator[Any]:
    for number in range(1000):
        taken.append(number)
        yield delayed(divide)(1, number)


@pytest.mark.usefixtures("two")
def test_batches_grow_where_tasks_are_short(capfd: pytest.CaptureFixture[str]) -> None:
    assert Parallel(batch_size="auto", verbose=51)(delayed(square)(n) for n in range(300)) == [n**2 for n in range(300)]
    shown = capfd.readouterr().out
    assert "Using backend ContainerBackend with 2 concurrent workers." in shown
    assert "Setting batch_size=" in shown
    assert "Done 300 out of 300" in shown
    assert "finished" in shown


@pytest.mark.usefixtures("two")
def test_generators_give_results_in_order_or_as_they_come(tmp_path: Path) -> None:
    assert list(Parallel(return_as="generator")(delayed(square)(n) for n in range(6))) == [0, 1, 4, 9, 16, 25]
    arrived = tmp_path / "arrived"
    tasks = (delayed(one_after_the_other)(arrived, number) for number in (1, 2))
    results = Parallel(return_as="generator_unordered", batch_size=1)(tasks)
    assert next(results) == 2
    arrived.touch()
    assert list(results) == [1]


def one_after_the_other(arrived: Path, number: int) -> int:
    """The first one ends when the second one has arrived."""
    if number == 1:
        wait_for(arrived.exists, "the other result")
    return number


@pytest.mark.usefixtures("two")
def test_the_end_of_one_generator_leaves_other_calls_of_the_block_alone() -> None:
    abandoned = Parallel(return_as="generator", batch_size=1)(delayed(time.sleep)(60) for _ in range(8))
    reference = weakref.ref(abandoned)
    second = Parallel(return_as="generator", batch_size=1)(delayed(square)(n) for n in range(6))
    with pytest.warns(UserWarning, match="cancelled"):
        del abandoned
    assert reference() is None
    assert list(second) == [0, 1, 4, 9, 16, 25]


@pytest.mark.usefixtures("two")
def test_a_timeout_is_raised_and_the_tasks_are_killed() -> None:
    with pytest.raises(JoblibTimeoutError):
        Parallel(timeout=0.5, batch_size=1)(delayed(time.sleep)(120) for _ in range(2))
    assert Parallel()(delayed(square)(number) for number in range(4)) == [0, 1, 4, 9]  # they do not hold the processes


@pytest.mark.usefixtures("two")
def test_nested_calls_run_in_threads_of_the_container() -> None:
    for outer, inner in Parallel()(delayed(nested)() for _ in range(3)):
        assert outer == ("ThreadingBackend", 1)
        assert set(inner) == {("SequentialBackend", 2)}


def nested() -> Any:
    backend = joblib.parallel.get_active_backend()[0]
    inner = Parallel(n_jobs=2)(delayed(active_backend)() for _ in range(2))
    return (type(backend).__name__, backend.nesting_level), inner


def active_backend() -> tuple[str, int | None]:
    backend = joblib.parallel.get_active_backend()[0]
    return type(backend).__name__, backend.nesting_level


def test_inner_max_num_threads_limits_numeric_libraries(shared_pool: WorkerPool) -> None:
    with parallel_config("containers", pool=shared_pool, n_jobs=2, inner_max_num_threads=1):
        assert set(Parallel()(delayed(threads_of_blas)() for _ in range(4))) == {1}


def threads_of_blas() -> int:
    from threadpoolctl import threadpool_info

    np.ones((64, 64)) @ np.ones((64, 64))
    return max(info["num_threads"] for info in threadpool_info())


@pytest.mark.usefixtures("two")
def test_joblibs_memory_works_in_tasks(tmp_path: Path) -> None:
    memory = joblib.Memory(tmp_path / "cache", verbose=0)
    note = tmp_path / "calls"
    cached = memory.cache(noted)
    for _ in range(2):
        assert Parallel()(delayed(cached)(n, str(note)) for n in range(3)) == [0, 1, 4]
    assert sorted(note.read_text().split()) == ["0", "1", "2"]


def noted(number: int, path: str) -> int:
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return number**2


@pytest.mark.usefixtures("two")
def test_what_a_pool_cannot_do_is_an_error() -> None:
    with pytest.raises(UserError, match="initializer"):
        Parallel(initializer=print)(delayed(square)(n) for n in range(2))
    with pytest.raises(UserError, match="mmap_mode='w\\+'"):
        Parallel(mmap_mode="w+")(delayed(square)(n) for n in range(2))
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0)(delayed(square)(n) for n in range(2))


@pytest.mark.usefixtures("two")
def test_functions_of_a_notebook_travel_with_the_task() -> None:
    offset = 10
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def helper(x): return x + 1\ndef of_a_cell(x): return helper(x) * 2", namespace)
    assert Parallel()(delayed(lambda n: n + offset)(n) for n in range(3)) == [10, 11, 12]
    assert Parallel()(delayed(namespace["of_a_cell"])(n) for n in range(3)) == [2, 4, 6]


def test_threads_may_share_a_pool(shared_pool: WorkerPool) -> None:
    found: dict[int, list[float]] = {}

    def work(number: int) -> None:
        with parallel_config("containers", pool=shared_pool, n_jobs=2):
            found[number] = Parallel()(delayed(square)(number + n) for n in range(10))

    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {start: [(start + n) ** 2 for n in range(10)] for start in (0, 100, 200)}


def test_a_container_may_run_several_tasks_at_the_same_time(local_pool: LocalPool) -> None:
    with parallel_config("containers", n_jobs=2, processes=2, **local_pool.parameters):
        meetings = Parallel(batch_size=1)(delayed(meet)(str(local_pool.folder), n) for n in range(2))
        assert len(local_pool.workers()) == 1
    assert len(set(meetings)) == 2


def meet(folder: str, number: int) -> int:
    """Ends only if another task runs at the same time, in another process."""
    Path(folder, f"met-{number}").touch()
    wait_for(Path(folder, f"met-{1 - number}").exists, "the other task")
    return os.getpid()
