"""Reading a job's document. It is compared with its digest or plan before it is parsed.

A job's document decides which code runs, and whoever can write to its folder can change it. Therefore a container is
started with the URI and the digest of the document: the digest does not come from storage. An instance for several jobs
starts before the later jobs exist. It is started with the URI of the plan, which contains the plan's digest, and only
does chunks of this plan. A job in a pool's folder has the pool's signature.
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
    """The job matches its digest, or there is none to compare with, but does not fit its format.

    :param result_uri: the URI of the result that the document names; empty: none.
    """

    def __init__(self, message: str, result_uri: str) -> None:
        super().__init__(message)
        self.result_uri = result_uri


def read_job(storage: Storage, uri: str, *, digest: str = "", plan: str = "") -> AnyJob:
    """Read a job, and check that it is the intended one.

    :param storage: where the job is.
    :param uri: the job's URI.
    :param digest: the SHA-256 of the job as canonical JSON; empty: none is known.
    :param plan: the URI of the plan that the job must predict a chunk of; empty: none is known.
    :raises DocumentError: it is another job, or none; ``UnreadableJobError`` if it does not fit its format.
    :raises ForgedMessageError: it is in a pool's folder, but lacks the pool's signature.
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
    """Check that a job predicts a chunk of a plan.

    :raises DocumentError: it does not.
    """
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
