"""Running a job from a task: find or submit it, wait with or without a worker slot, and judge its end."""

from __future__ import annotations

import hashlib
import time
from abc import abstractmethod
from datetime import UTC, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow_sklearn.airflow_compat import AirflowException, conf
from airflow_sklearn.contract.arguments import check_all, check_duration, check_flag, check_seconds
from airflow_sklearn.contract.shown import values_shown
from airflow_sklearn.exceptions import DocumentError, NoCapacityError, StorageError, ThrottledError
from airflow_sklearn.operators.base import SklearnOperator, final_errors, own_copy, showing_as_configured, told_once
from airflow_sklearn.operators.links import JobLink, JobLogLink
from airflow_sklearn.runtimes.base import JobHandle, JobState, JobStatus, Runtime
from airflow_sklearn.runtimes.job_log import JobLog
from airflow_sklearn.runtimes.poller import GIVE_UP_AFTER, backoff
from airflow_sklearn.runtimes.registry import check_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.jobs import JobResult, PredictJob, VersionJob
    from airflow_sklearn.runtimes.outcome import JobEnd

_T = TypeVar("_T")

DEFAULT_DEADLINE = timedelta(hours=24)
_GROWTH = 1.3
_LONGEST_SLEEP = 0.5  # seconds between two checks whether the task was killed
_CAPACITY_PAUSE = 5.0  # seconds until a job without capacity is submitted again; doubles, with jitter


class RuntimeOperator(SklearnOperator):
    """Runs one job in a runtime. A subclass makes the job (``work`` ends in ``run_job``) and reads its result.

    Airflow calls ``execute_complete`` with the trigger's event. Nothing else reliably survives a deferral, so that the
    event contains all that is needed to continue.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | None = None,
        deadline: timedelta | None = DEFAULT_DEADLINE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.runtime = own_copy(runtime)
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.deadline = deadline
        self._handle: JobHandle | None = None
        self._bound: Runtime | None = None
        self._waits, self._capacity_refusals, self._asked_since = 0, 0, 0.0
        self._killed = False
        #: Whether the job's log is in this task's log, so that what it says need not be said again.
        self.job_log_was_shown = False

    def check_arguments(self) -> None:
        """See ``SklearnOperator.check_arguments``."""
        check_all(
            super().check_arguments,
            lambda: check_runtime(self.runtime),
            lambda: check_seconds("poll_interval", self.poll_interval),
            lambda: check_duration("deadline", self.deadline),
            lambda: check_flag("deferrable", self.deferrable),
        )

    @abstractmethod
    def finish(self, context: Context, result: JobResult) -> Any:
        """The task's result, made from the result of its job."""

    def done_before(self, context: Context, job: Any) -> Any:
        """The task's result if its work was done before; else None."""
        return None

    def record_end(self, context: Context, job_uri: str, end: JobEnd, handle: JobHandle | None = None) -> None:
        """Record that a job has ended without the result that it should have. Called before the task fails or tries
        another job; it must not raise.

        :param job_uri: the job.
        :param end: how it ended.
        :param handle: its handle; None: it was never submitted.
        """
        return

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Continue after the trigger has seen the end of the job.

        :param event: the trigger's event.
        """
        self.known_links = None
        handle = JobHandle.model_validate(event["handle"])
        status, log = JobStatus.model_validate(event["status"]), JobLog(self.log, event.get("log"))

        def complete() -> Any:
            with showing_as_configured(), final_errors(), self.aws.explained_errors():
                return self._complete(context, handle, status, log)

        return told_once(complete)

    def on_kill(self) -> None:
        """Stop the job with its task. Called in a signal handler; in Airflow 3 the task continues afterwards."""
        self._killed = True
        if self._handle is not None:
            self.log.warning("The task is being killed: stopping its job.")
            self._cancel(self._handle)

    def run_job(self, context: Context, job_uri: str, job: VersionJob | PredictJob) -> Any:
        """Run a job, unless its work was done before: take over a running job or submit it, and wait for its end.

        :param job_uri: where the job is to be stored.
        :param job: the job.
        :return: the result of ``finish`` or ``done_before``.
        """
        if (answer := self.done_before(context, job)) is not None:
            return answer
        runtime = self._bound_runtime
        handle = self._patiently(lambda: runtime.find(job))
        # A job that ended between the two checks has left its result.
        if handle is None and (answer := self.done_before(context, job)) is not None:
            return answer
        if handle is None:
            self._raise_if_killed()
            if not values_shown():
                job = job.model_copy(update={"show_values": False})
            self.storage.write(job_uri, job.to_json())
            handle = self._submit(context, job_uri, job)
            self.log.info("Submitted %s to %r.", job_uri, self.runtime)
        else:
            self.log.info("An earlier attempt submitted this work already: taking over %s.", handle.job_uri)
        self._handle = handle
        try:
            self._raise_if_killed()  # it may have been killed during the submission
            self.store_link(context, JobLink, runtime.job_url(handle))
            self.store_link(context, JobLogLink, runtime.log_url(handle))
            expires_at = self._expires_at(context, handle)
            log = JobLog(self.log)
            status = None if self.deferrable else self._watch(handle, expires_at, log)
        except BaseException:  # a timeout, a kill, Ctrl-C, or an unreachable runtime: leave nothing running
            self._cancel(handle)
            raise
        if status is None:
            return self._defer(context, handle, expires_at)
        return self._complete(context, handle, status, log)

    def _submit(self, context: Context, job_uri: str, job: VersionJob | PredictJob) -> JobHandle:
        submit = partial(self._bound_runtime.submit, job_uri, job, survives_parent=self.deferrable)
        try:
            handle = self._patiently(lambda: submit(capacity_refusals=self._capacity_refusals))
        except Exception as error:
            from airflow_sklearn.runtimes.outcome import JobEnd

            self._abandon(job_uri)
            self.record_end(context, job_uri, JobEnd.of_error(error))
            raise
        except BaseException:  # Airflow 2 kills by an exception, perhaps just after the job was started
            self._cancel_what_was_started(lambda: submit(capacity_refusals=self._capacity_refusals))
            raise
        return handle.model_copy(
            update={
                "job_sha256": job.digest(),
                "capacity_refusals": self._capacity_refusals,
                "asked_since": self._asked_since,
            }
        )

    def _abandon(self, job_uri: str) -> None:
        """Abandon a job. An error here is only logged: it must not hide the first one."""
        try:
            self._bound_runtime.abandon(job_uri)
        except Exception as error:
            self.log.warning("%s could not be taken back: %s", job_uri, error)

    def _cancel_what_was_started(self, submit: Callable[[], JobHandle]) -> None:
        """Cancel a job that may have been started. The same submission again returns its handle.

        Some runtimes list a new job only after a while, so that it could not be found otherwise.
        """
        if not self._bound_runtime.submits_once:
            return
        try:
            self._cancel(submit())
        except Exception as error:
            self.log.warning("Whether a job had been started could not be found out: %s", error)

    def _patiently(self, call: Callable[[], _T]) -> _T:
        """Repeat a call while there is no capacity.

        :raises NoCapacityError: there was none for the runtime's ``capacity_timeout``.
        """
        self._asked_since = self._asked_since or time.time()
        while True:
            try:
                return call()
            except NoCapacityError as error:
                if time.time() > self._asked_since + self.runtime.capacity_timeout:
                    raise
                self._wait_for_room(str(error), throttled=isinstance(error, ThrottledError))

    def _wait_for_room(self, why: str, *, throttled: bool = False) -> None:
        pause = backoff(_CAPACITY_PAUSE, self._waits)
        self._waits += 1
        self._capacity_refusals += not throttled
        self.log.warning("%s Trying again in %.0f s (%d times so far).", why, pause, self._waits)
        self._sleep(pause)
        self._raise_if_killed()

    def _raise_if_killed(self) -> None:
        """Raise an error if the task was killed. Airflow 3 lets it continue for some seconds."""
        if self._killed:
            raise AirflowException("The task was killed.")

    @property
    def _bound_runtime(self) -> Runtime:
        """The bound runtime of this task, with its clients. A signal handler must not have to make new ones."""
        if self._bound is None:
            self._bound = self.runtime.bind(self.aws)
        return self._bound

    @property
    def _interval(self) -> float:
        return self.poll_interval or self.runtime.default_poll_interval

    def _expires_at(self, context: Context, handle: JobHandle) -> float | None:
        """When Airflow stops the job, in seconds since 1970; None: never. The worker stops itself earlier, at its own
        deadline.

        Airflow 3 does not apply ``execution_timeout`` to a deferred task; it is therefore included here.
        """
        limits = []
        if self.deadline is not None:
            longest = self.deadline.total_seconds() * self.runtime.jobs_in_a_row
            limits.append(handle.submitted_at + longest + self.runtime.startup_allowance)
        if self.execution_timeout is not None and (started := context["ti"].start_date) is not None:
            started = started if started.tzinfo else started.replace(tzinfo=UTC)
            limits.append(started.timestamp() + self.execution_timeout.total_seconds())
        return min(limits, default=None)

    def _defer(self, context: Context, handle: JobHandle, expires_at: float | None) -> NoReturn:
        from airflow_sklearn.triggers.job import RuntimeTrigger

        trigger = RuntimeTrigger(
            runtime=self.runtime.described_for_triggers(),
            handle=handle.model_dump(mode="json"),
            poll_interval=self._interval,
            expires_at=expires_at,
            aws_conn_id=self.aws_conn_id,
        )
        self.store_missing_links(context)
        self.defer(trigger=trigger, method_name="execute_complete")

    def _watch(self, handle: JobHandle, expires_at: float | None, log: JobLog) -> JobStatus:
        runtime, failures, good = self._bound_runtime, 0, time.monotonic()
        for pause in _pauses(runtime.first_poll_pause, self._interval):
            try:
                status = runtime.poll([handle])[0]
                failures = 0
                if status.state is not JobState.UNKNOWN:
                    good = time.monotonic()
                elif time.monotonic() - good > GIVE_UP_AFTER:
                    return JobStatus.of_unseen(time.monotonic() - good, status)
            except Exception as error:
                failures += 1
                if time.monotonic() - good > GIVE_UP_AFTER:
                    raise
                self.log.warning("The job's state could not be read (%d times in a row): %s", failures, error)
            else:
                if status.state.finished:
                    return status
                log.forward(runtime, handle)
            self._raise_if_killed()
            if expires_at is not None and time.time() > expires_at:
                runtime.cancel(handle)
                return JobStatus.of_expired()
            self._sleep(backoff(pause, failures) if failures else pause)
        raise AssertionError("the pauses never end")

    def _sleep(self, seconds: float) -> None:
        """Sleep, but return soon after a kill: Airflow 3 then gives the task 5 s before it kills the process."""
        wake = time.monotonic() + seconds
        while not self._killed and (left := wake - time.monotonic()) > 0:
            time.sleep(min(left, _LONGEST_SLEEP))

    def _complete(self, context: Context, handle: JobHandle, status: JobStatus, log: JobLog) -> Any:
        from airflow_sklearn.runtimes.outcome import end_of, raise_unless_succeeded, read_result, was_stopped

        log.drain(self._bound_runtime, handle)
        self.job_log_was_shown = bool(log.tail)
        result = read_result(self.storage, handle.result_uri)
        if result is not None and result.status == "succeeded":
            return self.finish(context, result)
        if (answer := self._done_all_the_same(context, handle)) is not None:
            return answer
        self.record_end(context, handle.job_uri, end_of(result, status, log.tail), handle)
        if handle.taken_over and was_stopped(result, status) and not self._killed:
            self.log.warning("The job that was taken over has been stopped (%s). Starting anew.", status.message)
            return self.work(context)
        if status.state is JobState.NO_CAPACITY and time.time() < handle.asked_since + self.runtime.capacity_timeout:
            # The job was accepted, but then got no capacity. It has never run.
            self._capacity_refusals, self._asked_since = handle.capacity_refusals, handle.asked_since
            self._wait_for_room(status.message)
            return self.work(context)
        self._cancel(handle)
        raise_unless_succeeded(result, status, log.tail)
        raise AssertionError("unreachable: the job succeeded")

    def _done_all_the_same(self, context: Context, handle: JobHandle) -> Any:
        """The task's result if the job was stopped after its work, but before it wrote a result; else None.

        The job's document may have been changed since, and is compared with its digest. Handles of earlier versions
        have no digest: the next attempt then finds the work done.
        """
        from airflow_sklearn.contract.jobs import job_from_json

        if not handle.job_sha256:
            return None
        try:
            data = self.storage.read(handle.job_uri)
            if hashlib.sha256(data).hexdigest() != handle.job_sha256:
                raise DocumentError(f"{handle.job_uri} was changed after it was submitted")
            return self.done_before(context, job_from_json(data, where=handle.job_uri))
        except (StorageError, DocumentError) as error:
            self.log.warning("Whether the work was done all the same could not be found out: %s", error)
            return None

    def _cancel(self, handle: JobHandle) -> None:
        """Cancel a job that may have ended. An error here is only logged: it must not hide the first one."""
        try:
            self._bound_runtime.cancel(handle)
        except Exception as error:
            self.log.warning("The job %s could not be stopped: %s", handle.job_uri, error)


def _pauses(first: float, longest: float) -> Iterator[float]:
    pause = min(first, longest)
    while True:
        yield pause
        pause = min(pause * _GROWTH, longest)
