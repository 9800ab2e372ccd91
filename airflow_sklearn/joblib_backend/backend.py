"""What joblib asks of a backend, asked of a pool of containers."""

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
_SHORTEST = 1e-6  # seconds; joblib takes 0 for a batch that was not measured
_CLOSE_SECONDS = 20.0


def _close_apart(pool: WorkerPool) -> None:
    """Close a pool that nothing refers to, in a thread of its own.

    Garbage is collected in whichever thread, which may hold a lock that closing needs. So it is waited for, but not for
    ever.
    """
    thread = threading.Thread(target=pool.close, name="pool-close")
    try:
        thread.start()
    except RuntimeError:  # Python ends, and some versions start no thread then
        pool.close()
    else:
        thread.join(_CLOSE_SECONDS)


class ContainerBackend(AutoBatchingMixin, ParallelBackendBase):
    """Runs joblib's tasks in containers: ``joblib.parallel_config("containers", n_jobs=20, runtime=...)``.

    The containers start with the first task and live as long as the ``parallel_config`` block, or until they have had
    nothing to do for ``idle_timeout`` seconds. ``n_jobs`` is the number of tasks that run at the same time.
    ``n_jobs=-1`` means what the block says, and where it says no number, ``max_jobs``; -2 is one less, and so on. With
    ``n_jobs=1`` joblib runs tasks in this process. Calls of ``Parallel`` within a task run in threads of its
    container, and calls within those one task after the other, as in joblib's own processes.

    :param runtime: where the containers run.
    :param pool: a ``WorkerPool`` that lives on after the block, in the place of ``runtime`` and all below.
    :param max_jobs: what ``n_jobs=-1`` means where the block says no number.
    :param pool_parameters: ``storage``, ``aws``, ``processes``, ``restarts`` and the time-outs, see ``WorkerPool``.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1
    uses_threads = False
    supports_sharedmem = False

    # The way to a container and back is longer than to a process of this machine: batches pay off earlier.
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
        """The ``Parallel`` that was configured last. Not kept alive: it refers to this backend."""
        return self._parallel and self._parallel()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """:raises ValueError: ``n_jobs=0``."""
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
        """Take over what ``Parallel`` was given. ``temp_folder`` and ``context`` mean nothing in containers.

        :raises UserError: an argument that this backend does not have.
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
        self.pool.forget_arguments()

    def stop_call(self) -> None:
        self.pool.forget_arguments()
        self._calls = {call: parallel for call, parallel in self._calls.items() if parallel() is not None}

    def submit(self, func: Callable[[], Any], callback: Any = None) -> PoolFuture:
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
        self._settled.seconds = out.seconds
        return out.result()

    def batch_completed(self, batch_size: int, duration: float) -> None:
        """Sizes of batches go by the time that they ran: the first one also waited for its container to start.

        joblib calls it right after ``retrieve_result_callback`` of the same batch, in the same thread.
        """
        super().batch_completed(batch_size, max(getattr(self._settled, "seconds", duration), _SHORTEST))

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Kill the tasks of calls that have failed. The pool stays, unless this process is about to end."""
        for call, reference in list(self._calls.items()):
            parallel = reference()
            if parallel is None or parallel._aborting:  # other calls of the same block go on
                self.pool.cancel(call)
                self._calls.pop(call, None)
        error = sys.exception()
        if self._owns_pool and error is not None and not isinstance(error, Exception | GeneratorExit):
            self.pool.close()  # Ctrl-C, or a task of Airflow's that is killed: what comes next may be the end

    def terminate(self) -> None:
        """The end of one ``Parallel``. The containers wait for the next one of the block."""
        self.reset_batch_stats()

    def _all_jobs(self) -> int:
        active, n_jobs = get_active_backend()
        said = n_jobs if active is self and isinstance(n_jobs, int) else 0
        return said if said > 0 else self.max_jobs
