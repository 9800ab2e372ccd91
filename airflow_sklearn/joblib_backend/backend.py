"""A joblib backend whose tasks run in a pool of containers."""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal, cast

from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase, SequentialBackend
from joblib.parallel import get_active_backend

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.pool.driver.pool import MAX_NBYTES, WorkerPool
from airflow_sklearn.pool.driver.settings import PoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.pool.driver.tasks import PoolFuture
    from airflow_sklearn.runtimes.base import Runtime

_POOL_PARAMETERS = frozenset({"storage", "aws"}) | PoolSettings.names()
_SHORTEST = 1e-6  # seconds; to joblib, 0 means that a batch was not measured
_CLOSE_SECONDS = 20.0


def _close_apart(pool: WorkerPool) -> None:
    """Close a pool that nothing refers to any more, in a thread of its own.

    The garbage collector may call this in any thread, also in one that holds a lock that closing needs. The thread is
    therefore waited for, but only for a limited time.
    """
    thread = threading.Thread(target=pool.close, name="pool-close")
    try:
        thread.start()
    except RuntimeError:  # Python is about to end; some versions then start no thread
        pool.close()
    else:
        thread.join(_CLOSE_SECONDS)


class ContainerBackend(AutoBatchingMixin, ParallelBackendBase):
    """Runs joblib's tasks in containers: ``joblib.parallel_config("containers", n_jobs=20, runtime=...)``.

    The containers start with the first task. They end with the ``parallel_config`` block, or after ``idle_timeout``
    seconds without a task.

    ``n_jobs`` is the number of tasks that run at the same time. ``n_jobs=-1`` means the block's number, or ``max_jobs``
    if the block has none; -2 means one less, and so on. With ``n_jobs=1`` joblib runs the tasks in this process. Calls
    of ``Parallel`` within a task run in threads of its container; calls within those run one task after the other.
    joblib's own processes do the same.

    :param runtime: where the containers run.
    :param pool: a ``WorkerPool`` that outlives the block. It replaces ``runtime`` and ``pool_parameters``.
    :param max_jobs: the meaning of ``n_jobs=-1`` if the block has no number.
    :param pool_parameters: ``storage``, ``aws``, ``processes``, ``restarts`` and the time-outs; see ``WorkerPool``.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1
    uses_threads = False
    supports_sharedmem = False

    # A message to a container takes longer than one to a local process, so that batches pay off earlier.
    MIN_IDEAL_BATCH_DURATION = 0.5
    MAX_IDEAL_BATCH_DURATION = 3.0

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        *,
        runtime: Runtime | None = None,
        pool: WorkerPool | None = None,
        max_jobs: int = 8,
        **pool_parameters: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        if unknown := sorted(set(pool_parameters) - _POOL_PARAMETERS):
            raise UserError(
                f"The backend has no parameter {', '.join(unknown)}. It has runtime, pool, max_jobs, "
                f"{', '.join(sorted(_POOL_PARAMETERS))}."
            )
        if pool is not None and (runtime is not None or pool_parameters):
            raise UserError("pool= brings its own runtime and settings: give those to WorkerPool(...).")
        if not isinstance(max_jobs, int) or max_jobs < 1:
            raise UserError(f"max_jobs={max_jobs!r}: give a whole number, 1 or more.")
        self.max_jobs = max_jobs
        self._owns_pool = pool is None
        self.pool = pool or WorkerPool(runtime=cast("Runtime", runtime), **pool_parameters)
        if self._owns_pool:
            # When joblib leaves the block, nothing refers to this backend any more; at the latest, when Python ends.
            weakref.finalize(self, _close_apart, self.pool)
        self._jobs = 1
        self._max_nbytes: int | None = MAX_NBYTES
        self._mmap_mode: Literal["r", "c"] | None = "r"
        self._parallel: weakref.ref[Any] | None = None
        self._calls: dict[str, weakref.ref[Any]] = {}
        self._settled = threading.local()

    @property
    def parallel(self) -> Any:
        """The ``Parallel`` that was configured last; None if it is gone. The reference is weak: ``Parallel`` refers to
        this backend.
        """
        return self._parallel and self._parallel()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """The number of tasks that run at the same time, for an ``n_jobs`` that may be negative or None.

        :raises ValueError: ``n_jobs`` is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(self._all_jobs() + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        max_nbytes: int | None = MAX_NBYTES,
        mmap_mode: Any = "r",
        temp_folder: str | None = None,
        verbose: int = 0,
        context: Any = None,
        **others: Any,
    ) -> int:
        """Take over the arguments of ``Parallel``. joblib calls it before the first task.

        ``temp_folder`` and ``context`` are ignored: they mean nothing in containers.

        :return: the number of tasks that run at the same time.
        :raises UserError: an argument that this backend does not support.
        :raises FallbackToBackend: ``n_jobs`` is 1, so that joblib runs the tasks in this process.
        """
        if others:
            raise UserError(f"Parallel({', '.join(others)}=...) is nothing that a pool of containers can do.")
        if mmap_mode not in ("r", "c", None):
            raise UserError(
                f"mmap_mode={mmap_mode!r}: what a container writes into an array cannot come back. "
                "Use 'r', 'c' or None."
            )
        jobs = self.effective_n_jobs(n_jobs)
        if jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self._jobs, self._max_nbytes, self._mmap_mode = jobs, max_nbytes, mmap_mode
        self._parallel = weakref.ref(parallel) if parallel is not None else None
        return jobs

    def start_call(self) -> None:
        """A call of ``Parallel`` begins: arrays may have been changed since the last one, and are hashed again."""
        self.pool.forget_arguments()

    def stop_call(self) -> None:
        """A call of ``Parallel`` has ended. Calls whose ``Parallel`` is gone are forgotten."""
        self.pool.forget_arguments()
        self._calls = {call: parallel for call, parallel in self._calls.items() if parallel() is not None}

    def submit(self, func: Callable[[], Any], callback: Any = None) -> PoolFuture:
        """Run a batch of tasks in a container.

        :param func: the batch: a callable without arguments.
        :param callback: joblib's callback, called with the future when it is done.
        """
        call = getattr(callback, "parallel_call_id", "")
        if callback is not None and call not in self._calls:
            self._calls[call] = weakref.ref(callback.parallel)
        return self.pool.submit(
            func,
            call=call,
            workers=self._jobs,
            max_nbytes=self._max_nbytes,
            mmap_mode=self._mmap_mode,
            threads=self.inner_max_num_threads,
            callback=callback,
        )

    def retrieve_result_callback(self, out: PoolFuture) -> Any:
        """The results of a finished batch, or its exception. joblib calls it in its callback."""
        self._settled.seconds = out.seconds
        return out.result()

    def batch_completed(self, batch_size: int, duration: float) -> None:
        """Tell joblib how long a batch has run, so that it can choose the size of the next ones.

        The time that the task ran is used instead of joblib's ``duration``, because the first batch also waits for its
        container. joblib calls this right after ``retrieve_result_callback`` of the same batch, in the same thread.
        """
        super().batch_completed(batch_size, max(getattr(self._settled, "seconds", duration), _SHORTEST))

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Kill the tasks of calls that have failed. The pool stays open, unless this process is about to end."""
        for call, reference in list(self._calls.items()):
            parallel = reference()
            if parallel is None or parallel._aborting:  # other calls in the same block continue
                self.pool.cancel(call)
                self._calls.pop(call, None)
        error = sys.exception()
        if self._owns_pool and error is not None and not isinstance(error, Exception | GeneratorExit):
            self.pool.close()  # Ctrl-C, or Airflow kills its task: this process may end at any moment

    def terminate(self) -> None:
        """A ``Parallel`` has ended. The containers wait for the next one in the block."""
        self.reset_batch_stats()

    def _all_jobs(self) -> int:
        active, n_jobs = get_active_backend()
        said = n_jobs if active is self and isinstance(n_jobs, int) else 0
        return said if said > 0 else self.max_jobs
