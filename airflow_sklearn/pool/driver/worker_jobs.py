"""The jobs of a pool's workers, as its driver stores them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from joblib import cpu_count

from airflow_sklearn.contract.jobs import PoolWorkerJob
from airflow_sklearn.contract.shown import values_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.pool.driver.settings import PoolSettings
    from airflow_sklearn.pool.folder import PoolFolder
    from airflow_sklearn.pool.signing import Signer


@dataclass(frozen=True)
class WorkerJobs:
    """Makes and stores the jobs of a pool's workers.

    :param tasks: the URI of the queue of tasks.
    :param reports: the URI of the queue of reports.
    :param software: the versions that workers must have.
    :param beside_others: returns the number of workers that share this machine's cores; None: each has cores of its
        own.
    """

    folder: PoolFolder
    signer: Signer
    settings: PoolSettings
    identity: JobIdentity
    tasks: str
    reports: str
    software: Mapping[str, str]
    beside_others: Callable[[], int] | None

    def store(self, worker: str, starts: int, losses: int) -> tuple[str, PoolWorkerJob]:
        """Store the job of a worker.

        :param worker: the worker's name.
        :param starts: the number of containers started before.
        :param losses: the number of containers lost before.
        :return: the job's URI, and the job.
        """
        settings = self.settings
        job = PoolWorkerJob(
            identity=self.identity.model_copy(update={"try_number": losses + 1}),
            deadline_seconds=settings.deadline,
            folder=self.folder.uri,
            worker=worker,
            tasks=self.tasks,
            reports=self.reports,
            software=self.software,
            processes=settings.processes,
            threads=settings.threads or self._threads(),
            restarts=settings.restarts,
            visibility_seconds=settings.visibility_timeout,
            idle_seconds=settings.idle_timeout,
            driver_seconds=settings.driver_timeout,
            key_sha256=self.signer.key_sha256,
            show_values=values_shown(),
        )
        uri = self.folder.job_uri(worker, starts)
        self.folder.write_job(uri, job, self.signer)
        return uri, job

    def _threads(self) -> int | None:
        return None if self.beside_others is None else max(1, cpu_count() // self.beside_others())
