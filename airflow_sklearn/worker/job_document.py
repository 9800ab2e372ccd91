"""The document that says what a worker does: it is compared with what pins it before it is parsed.

A job's document decides what code runs, and whoever can write to its folder can change it. So a container is started
with the URI and the digest of the document: the digest does not travel through storage. An instance that does several
jobs starts before the later jobs exist. It is started with the URI of the plan, which holds the plan's digest, and does
chunks of this plan only. A job in a pool's folder bears the seal of the pool.
"""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from typing import TYPE_CHECKING

from airflow_sklearn import __version__
from airflow_sklearn.contract.jobs import PoolWorkerJob, PredictJob, job_from_json
from airflow_sklearn.exceptions import DocumentError
from airflow_sklearn.pool.folder import PoolFolder
from airflow_sklearn.runs.ledger import Ledger, read_chunk

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import AnyJob
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")


class UnreadableJobError(DocumentError):
    """The job is the one that is meant, or nothing says which is, and does not fit its format.

    :param result_uri: where it says that its result goes; empty: nowhere.
    """

    def __init__(self, message: str, result_uri: str) -> None:
        super().__init__(message)
        self.result_uri = result_uri


def read_job(storage: Storage, uri: str, *, digest: str = "", plan: str = "") -> AnyJob:
    """The job at ``uri``, if it is the one that is meant.

    :param digest: SHA-256 of the job as canonical JSON.
    :param plan: the URI of the plan that the job must be a chunk of.
    :raises DocumentError: it is another job, or none; ``UnreadableJobError`` if it does not fit its format.
    :raises ForgedMessageError: it lies where a pool's jobs do, and bears no seal of the pool.
    """
    data, pool = storage.read(uri), PoolFolder.of_job(storage, uri)
    if pool is not None:
        data = pool.open_job(data)
    elif not (digest or plan):
        _LOG.warning(
            "Nothing pins this job: it was started without --sha256, so whoever can write to %s decides what it does.",
            uri,
        )
    if digest and (found := sha256(data).hexdigest()) != digest:
        raise DocumentError(
            f"The job was changed after it was made: its SHA-256 is {found}, and it was submitted as {digest}. It is "
            f"not read. Fix: find out who else can write there, then clear the task. ({uri})"
        )
    try:
        job = job_from_json(data, where=uri)
    except DocumentError as error:
        raise UnreadableJobError(str(error), "" if plan or pool else _result_uri(data)) from None
    if pool is not None and not (isinstance(job, PoolWorkerJob) and job.folder == pool.uri):
        raise DocumentError(f"The pool {pool.uri} takes only jobs of its own workers, and this is another one. ({uri})")
    if plan:
        _check_chunk(storage, job, plan, uri)
    if job.written_by != __version__:
        writer = job.written_by or "0.1"
        _LOG.info("airflow-sklearn %s wrote this job, and %s does it.", writer, __version__)
    return job


def _result_uri(data: bytes) -> str:
    try:
        found = json.loads(data).get("result_uri")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def _check_chunk(storage: Storage, job: AnyJob, plan_uri: str, uri: str) -> None:
    """:raises DocumentError: the job does something else than to predict a chunk of the plan."""
    planned = read_chunk(storage, plan_uri, job.chunk.id) if isinstance(job, PredictJob) else None
    same = (
        planned is not None
        and isinstance(job, PredictJob)
        and all(getattr(job, name) == getattr(planned, name) for name in ("spec", "fingerprint", "ledger", "chunk"))
        and job.result_uri.startswith(Ledger(storage, planned.ledger).jobs_folder)
        and job.result_uri.endswith(Ledger.RESULT_ENDING)
    )
    if not same:
        raise DocumentError(
            f"This instance does chunks of the plan {plan_uri}, and the job is none of them: it is not done. Fix: find "
            f"out who else can write to the ledger, then clear the task. ({uri})"
        )
