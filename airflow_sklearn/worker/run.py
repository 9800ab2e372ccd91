"""Doing one job, from its URI to its result and exit code."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.jobs import JobError, JobResult, PoolWorkerJob, PredictJob, RegisterJob
from airflow_sklearn.contract.shown import showing_values, told, values_shown
from airflow_sklearn.exceptions import AirflowSklearnError, DataError, DeadlineExceededError, with_problems
from airflow_sklearn.storage import Storage
from airflow_sklearn.storage.full_disk import full_disk_error
from airflow_sklearn.system.cgroup import oom_kills
from airflow_sklearn.system.descendants import Descendants
from airflow_sklearn.system.out_of_memory import explained
from airflow_sklearn.system.scratch import remove_own
from airflow_sklearn.system.signals import Stopping
from airflow_sklearn.system.software import prepare_for_prediction, prepare_for_training
from airflow_sklearn.worker.attempts import record_end, record_start
from airflow_sklearn.worker.job_document import UnreadableJobError, read_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_sklearn.contract.jobs import AnyJob

_LOG = logging.getLogger("airflow_sklearn.worker")
_PARENT_INTERVAL = 1.0  # seconds between two checks for the parent process
_HARD_STOP = 60.0  # seconds after the deadline after which a process that did not end itself is killed


def run_job(uri: str, storage: Storage | None = None, *, digest: str = "", plan: str = "") -> int:
    """Do the job whose document is at ``uri``.

    :param uri: the job's URI.
    :param storage: where the job is; None: a new storage with the environment's credentials.
    :param digest: the SHA-256 that the document must have; empty: any.
    :param plan: the URI of the plan that the job must predict a chunk of; empty: the job may be any.
    :return: the exit code, see ``exit_codes``. A ``JobResult`` is written in any case, unless the job cannot be read
        and does not even name a URI for its result.
    """
    storage = storage or Storage()
    try:
        job = read_job(storage, uri, digest=digest, plan=plan)
    except AirflowSklearnError as error:
        result_uri = error.result_uri if isinstance(error, UnreadableJobError) else ""
        return _fail(result_uri, storage, error, time.monotonic())
    with showing_values(job.show_values):
        return _run(job, storage)


def _run(job: AnyJob, storage: Storage) -> int:
    started, kills = time.monotonic(), oom_kills()
    descendants = Descendants()

    def end(error: BaseException) -> None:
        _end_at_once(job, storage, error, started, descendants)

    record_start(job, storage)
    try:
        with descendants.adopting(), Stopping(end).listening() as stopping, _deadline(job, end):
            try:
                with _end_with_parent():
                    output_uri, sha256 = _do(job, storage)
                stopping.close()
            except BaseException as error:
                stopping.close()
                if isinstance(error, exit_codes.Cancelled):
                    descendants.kill()
                told = full_disk_error(error, _places(job)) or explained(error, kills)
                return _fail_job(job, storage, told, started)
            return _succeed(job.result_uri, storage, output_uri, sha256, started)
    except exit_codes.Cancelled as error:  # it arrived between the job and its result
        descendants.kill()
        return _fail_job(job, storage, error, started)


def _places(job: AnyJob) -> list[str]:
    """The URIs to which a job writes."""
    found = [getattr(job, name, None) for name in ("model", "ledger", "folder")]
    return [uri for uri in found if isinstance(uri, str)]


def _do(job: AnyJob, storage: Storage) -> tuple[str, str]:
    # numpy and scikit-learn are imported here, when the number of threads is known
    if isinstance(job, PoolWorkerJob):  # the processes of its tasks import what they need
        from airflow_sklearn.pool.worker.worker import serve_pool

        return serve_pool(job, storage)
    if isinstance(job, PredictJob):
        prepare_for_prediction()
        with no_collections():
            from airflow_sklearn.worker.prediction.predict import predict

        return predict(job, storage)
    prepare_for_training()
    with no_collections():
        from airflow_sklearn.worker.registration.register import register
        from airflow_sklearn.worker.training.train import train

    return register(job, storage) if isinstance(job, RegisterJob) else train(job, storage)


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Disable the garbage collector during imports. It would take 0.1 s, and find hardly any garbage."""
    if "sklearn" in sys.modules or not gc.isenabled():  # do not change a process that has a life before or after this
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _succeed(result_uri: str, storage: Storage, output_uri: str, sha256: str, started: float) -> int:
    result = JobResult(
        status="succeeded", output_uri=output_uri, output_sha256=sha256, seconds=time.monotonic() - started
    )
    if result_uri:
        storage.write(result_uri, result.to_json())
    _LOG.info("Succeeded after %.1f s: %s", result.seconds, output_uri)
    return exit_codes.SUCCESS


def _fail_job(job: AnyJob, storage: Storage, error: BaseException, started: float) -> int:
    code = _fail(job.result_uri, storage, error, started)
    problems = [problem.shown() for problem in error.problems] if isinstance(error, DataError) else []
    message = with_problems(told(error, error.summary if isinstance(error, DataError) else None), problems)
    record_end(job, storage, exit_codes.kind_of(error), message, time.monotonic() - started)
    return code


def _fail(result_uri: str, storage: Storage, error: BaseException, started: float) -> int:
    kind = exit_codes.kind_of(error)
    message, text = told(error, error.summary if isinstance(error, DataError) else None), _traceback(error)
    result = JobResult(
        status="failed",
        error=JobError(
            kind=kind,
            type=type(error).__name__,
            message=message,
            problems=error.problems if isinstance(error, DataError) else (),
            traceback=text,
        ),
        seconds=time.monotonic() - started,
    )
    if kind == "internal" and not isinstance(error, AirflowSklearnError):
        _LOG.error("%s", text)
    elif kind == "user" and error.__cause__ is not None:  # what the user's own code raised, and where
        _LOG.error("%s", _traceback(error.__cause__))
    try:
        if result_uri:
            storage.write(result_uri, result.to_json())
            _LOG.info("%s", exit_codes.ERROR_FOLLOWS)
    except Exception as failure:
        _LOG.error("The result could not be written to %s: %s", result_uri, failure)
    _LOG.error("%s: %s", type(error).__name__, error if isinstance(error, DataError) else message)
    return exit_codes.BY_KIND[kind]


def _traceback(error: BaseException) -> str:
    """The traceback; if values are hidden, its frames only, because errors of libraries quote values."""
    if values_shown():
        return "".join(traceback.format_exception(error))
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__


def _end_at_once(job: AnyJob, storage: Storage, error: BaseException, started: float, descendants: Descendants) -> None:
    """End the process with a result, whatever the job is doing. Called in another thread than the job's."""
    code = _fail_job(job, storage, error, started)
    descendants.kill()
    remove_own()
    _LOG.info("%s", exit_codes.last_line(code))
    os._exit(code)


@contextlib.contextmanager
def _deadline(job: AnyJob, end_at_once: Callable[[BaseException], None]) -> Iterator[None]:
    """End the process at its deadline, whatever it is doing, even if Airflow is gone."""
    if job.deadline_seconds is None:
        yield
        return

    def end() -> None:
        end_at_once(
            DeadlineExceededError(
                f"The job ran past its deadline of {job.deadline_seconds:,.0f} s. Raise 'deadline', cut smaller "
                "chunks, or give the job more cores."
            )
        )

    timer = threading.Timer(job.deadline_seconds, end)
    timer.daemon = True
    timer.start()
    # A thread cannot run while C code holds the interpreter's lock; this one needs no lock.
    faulthandler.dump_traceback_later(job.deadline_seconds + _HARD_STOP, exit=True)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _end_with_parent() -> Iterator[None]:
    """End in an orderly way when the process that started this one is gone, if an environment variable asks for it.

    The variable holds that process's id, so that a process which is gone already is noticed; or 1: the present parent.
    """
    asked = os.environ.get("AIRFLOW_SKLEARN_EXIT_WITH_PARENT", "")
    if not asked.isdecimal() or asked == "0":
        yield
        return
    parent, done = os.getppid() if asked == "1" else int(asked), threading.Event()

    def watch() -> None:
        while os.getppid() == parent:
            if done.wait(_PARENT_INTERVAL):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()
