"""``WorkerPool``: containers that run functions."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any, Literal

from airflow_sklearn.aws.session import access_to, identity_here
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.pool.driver.session import Session
from airflow_sklearn.pool.driver.settings import PoolSettings, pools_folder
from airflow_sklearn.pool.driver.tasks import PoolFuture
from airflow_sklearn.runtimes.base import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from airflow_sklearn.contract.jobs import JobIdentity

MAX_NBYTES = 1_000_000


class WorkerPool:
    """Containers of one runtime that take functions from a queue. They are started with the first function.

    ``with WorkerPool(runtime=...) as pool, joblib.parallel_config("containers", pool=pool):`` determines exactly how
    long the containers live, and lets several blocks share them.

    :param runtime: where the containers run: ``LocalRuntime``, ``EcsRuntime`` or another runtime.
    :param storage: the folder for arguments, large results, the key and signs of life. Each pool has its own folder in
        it. ``s3://bucket/folder`` (the queue is then in Amazon SQS, in the runtime's region), or ``file:///folder`` for
        a ``LocalRuntime``. Default: the environment variable AIRFLOW_SKLEARN_POOLS, or a folder in the system's
        temporary folder for a ``LocalRuntime``.
    :param aws: access to AWS: a ``boto3.Session`` or the id of an Airflow connection. Default: the connection
        ``aws_default`` in an Airflow task, boto3's own search elsewhere.
    :param processes: the number of tasks that one container runs at the same time, each in a process of its own.
    :param threads: threads of numeric libraries in each task. Default: the container's cores, shared by its processes.
    :param restarts: how often a task is started again after its process or container has ended, before it is given up.
    :param visibility_timeout: seconds after which another container gets a task whose container is lost. Workers renew
        their tasks three times within this time.
    :param idle_timeout: seconds without a task after which a container ends, and after which the pool closes.
    :param driver_timeout: seconds without a sign of life of this process after which the containers end, and remove the
        queues and the folder.
    :param deadline: the most seconds that a container may live; None: no limit. Another container gets the tasks of one
        that ends.
    :param poll_interval: seconds between two polls of the containers; default: the runtime's.
    :param identity: the Airflow task that the containers are tagged with; default: the one that this code runs in.
    :raises UserError: parameters are invalid; the message lists all faults.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        storage: str | None = None,
        aws: Any = None,
        processes: int = 1,
        threads: int | None = None,
        restarts: int = 2,
        visibility_timeout: float = 30.0,
        idle_timeout: float = 300.0,
        driver_timeout: float = 60.0,
        deadline: float | None = 86_400.0,
        poll_interval: float | None = None,
        identity: JobIdentity | None = None,
    ) -> None:
        if not isinstance(runtime, Runtime):
            raise UserError(
                f"runtime={runtime!r}: a pool needs to know where its containers run. Give EcsRuntime(...), "
                "LocalRuntime() or another runtime of airflow_sklearn."
            )
        self.runtime = runtime
        self.settings = PoolSettings(
            processes=processes,
            threads=threads,
            restarts=restarts,
            visibility_timeout=visibility_timeout,
            idle_timeout=idle_timeout,
            driver_timeout=driver_timeout,
            deadline=deadline,
            poll_interval=poll_interval,
        )
        self._folder = pools_folder(storage, runtime)
        self._aws = access_to(aws)
        self._identity = identity or identity_here()
        self._session: Session | None = None
        self._lock = threading.RLock()
        self._unnamed = secrets.token_hex(4)
        """The call of functions that have none; another one when it was cancelled."""

    def submit(
        self,
        function: Callable[[], Any],
        *,
        call: str = "",
        workers: int = 1,
        max_nbytes: int | None = MAX_NBYTES,
        mmap_mode: Literal["r", "c"] | None = "r",
        threads: int | None = None,
        callback: Callable[[PoolFuture], Any] | None = None,
    ) -> PoolFuture:
        """Run a function in a container.

        :param function: a callable without arguments that cloudpickle can pickle. Modules that it uses must be in the
            image.
        :param call: the name of the group of functions that it belongs to, for ``cancel``.
        :param workers: the most containers for this function and those that wait.
        :param max_nbytes: arrays of at least so many bytes are stored once, and mapped into memory in the containers;
            None: none is.
        :param mmap_mode: ``r``: these arrays are read only. ``c``: each process may change its own copy. None: they are
            read into memory.
        :param threads: threads of numeric libraries while the function runs; None: the pool's setting.
        :param callback: called in a thread of the pool with the future when it is done.
        :return: a ``concurrent.futures.Future``.
        """
        future = PoolFuture(secrets.token_hex(8), function, call or self._unnamed, callback)
        future.max_nbytes, future.mmap_mode, future.threads = max_nbytes, mmap_mode, threads
        self._open_session(workers).submit(future, workers)
        return future

    def cancel(self, call: str) -> None:
        """Kill the running functions of a call, and do not start the others.

        :param call: the call's name; empty: the functions submitted without a name.
        """
        if not call:
            call, self._unnamed = self._unnamed, secrets.token_hex(4)
        if (session := self._session) is not None and not session.ended:
            session.cancel(call)

    def forget_arguments(self) -> None:
        """Hash arrays again when they are sent the next time, because they may have been changed."""
        if (session := self._session) is not None:
            session.forget_arguments()

    def close(self) -> None:
        """Stop all containers, and remove the queues and all that the pool has stored. The next function opens it
        again.
        """
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.end()

    def statistics(self) -> dict[str, int]:
        """Counts since the pool was opened: started containers, stored bytes of arguments, bytes that containers
        fetched.
        """
        session = self._session
        if session is None:
            return {"containers_started": 0, "bytes_stored": 0, "bytes_fetched": 0}
        return {
            "containers_started": session.fleet.started,
            "bytes_stored": session.blobs.bytes_stored,
            "bytes_fetched": session.bytes_fetched,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_session(self, workers: int) -> Session:
        with self._lock:
            if self._session is None or self._session.ended:
                self._session = Session(
                    self.runtime, self._folder, self._aws, self.settings, identity=self._identity, workers=workers
                )
            return self._session
