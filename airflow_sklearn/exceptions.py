"""The package's own errors. Each message says what is wrong, where, and what to do. Standard library only.

An error's ``kind`` decides what follows from it: the operators' retries, a worker's exit code, and what the end of its
job means all read it, so that both sides judge the same error the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.jobs import ErrorKind
    from airflow_sklearn.contract.problems import Problem

#: Kinds of errors that the same work would meet again.
FINAL_KINDS = frozenset({"user", "data", "environment"})
_FINAL_SQLSTATES = ("0A", "3F", "42")  # not supported; no such thing, no right, no valid SQL


def with_problems(summary: str, problems: Sequence[Problem]) -> str:
    """A line that says what could not be done, then each problem in full: numbered where there are several."""
    text = [summary]
    for number, problem in enumerate(problems, 1):
        first, *more = problem.lines()
        text += [f"  {f'{number}. ' if len(problems) > 1 else ''}{first}", *(f"       {line}" for line in more)]
    return "\n".join(text)


class AirflowSklearnError(Exception):
    """The base of every error that this package raises on purpose.

    :ivar kind: a subclass that sets none has its base's.
    :ivar retryable: whether the same work may succeed later; follows from the kind.
    """

    kind: ErrorKind = "internal"
    retryable: bool = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.retryable = cls.kind not in FINAL_KINDS


class UserError(AirflowSklearnError):
    """What the user asked for cannot be done: an unknown preset, a factory that raises, parameters that contradict."""

    kind = "user"


class DataError(AirflowSklearnError):
    """The data break a stated policy. Carries every problem found, not only the first.

    :param summary: one line that says what was being read.
    :param problems: all that is wrong, most frequent first.
    """

    kind = "data"

    def __init__(self, summary: str, problems: Sequence[Problem] = ()) -> None:
        self.summary = summary
        self.problems = tuple(problem.shown() for problem in problems)
        super().__init__(with_problems(summary, self.problems))

    def __reduce__(self) -> tuple[type[DataError], tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.summary, self.problems)  # crosses from forked processes with its problems


class BrokenEnvironmentError(AirflowSklearnError):
    """The worker's environment cannot give right results: versions differ, the artifact changed, parity fails."""

    kind = "environment"


class DocumentError(AirflowSklearnError):
    """A stored document cannot be read: no JSON, another format, or a newer one."""

    kind = "environment"


class DeadlineExceededError(AirflowSklearnError):
    """The job ran past its deadline and ended itself."""

    kind = "deadline"


class StorageError(AirflowSklearnError):
    """Bytes could not be read or written."""


class DiskFullError(AirflowSklearnError):
    """A disk is full: of the worker, or of the machine that Airflow's task runs on."""


class ObjectNotFoundError(StorageError):
    """No object at that URI. Retryable: a source may come later."""


class ObjectExistsError(StorageError):
    """Create-if-absent found an object already there."""


class ObjectChangedError(StorageError):
    """The object is no longer the version that was asked for (If-Match)."""

    kind = "data"


class IncompleteRunError(AirflowSklearnError):
    """The receipts of a run do not tile its plan, so nothing is published."""

    kind = "data"


class PublishError(AirflowSklearnError):
    """The destination refuses the publication, or holds something else than the receipts say."""


class PublicationRefusedError(PublishError):
    """The destination refuses the publication, and would again: only a person can say whose rows shall stay."""

    kind = "user"


class NoCapacityError(AirflowSklearnError):
    """A job cannot start now: nothing is free, a quota, or a throttle. Later there may be room."""


class ThrottledError(NoCapacityError):
    """A throttle: the same call may be repeated as it is. It says nothing of room."""


class JobFailedError(AirflowSklearnError):
    """A job ended without its result, for a cause that a retry would not mend."""

    kind = "user"


class JobLostError(AirflowSklearnError):
    """A job vanished (host gone, process killed); a retry is right."""


class PoolError(AirflowSklearnError):
    """A pool of workers cannot go on: its containers do not start, or do not fit the driver."""


class TaskLostError(PoolError):
    """A task ended its process or its container each time that it was started, and is given up."""


class MessageRefusedError(PoolError):
    """The queue will never take this message: it is too large, or has characters that a queue may not hold."""


class RemoteTaskError(AirflowSklearnError):
    """Stands for what a task raised in a container and could not be sent, or for a task or result that could not."""


class ForgedMessageError(AirflowSklearnError):
    """A message or a payload is not what the pool's own driver or worker wrote."""


class QueueGoneError(AirflowSklearnError):
    """The queue is not there, or no longer."""


class RedshiftError(AirflowSklearnError):
    """Redshift refuses a statement.

    :param sqlstate: PostgreSQL's code of the error, where there is one, such as ``42P01``.
    """

    def __init__(self, message: str, *, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        if sqlstate.startswith(_FINAL_SQLSTATES):
            self.kind, self.retryable = "user", False


class SerializationConflictError(RedshiftError):
    """Another transaction changed the same table: Redshift's error 1023. The transaction can be run again."""


class LoadError(RedshiftError):
    """COPY could not load a file; the message holds the rows of Redshift's load-error table."""

    kind = "data"


class StatementRunningError(AirflowSklearnError):
    """Not a failure: statements run in a database, and a deferrable task is to wait for them in the triggerer.

    :param statement_id: the database's id of what runs.
    :param statements: ids by step, of this one and of all that ran before in this attempt.
    :param region_name: where it runs; None: in the connection's region.
    """

    trigger = "airflow_sklearn.triggers.statement:RedshiftStatementTrigger"
    """What waits: a class that takes the arguments of this one."""

    def __init__(self, statement_id: str, statements: dict[str, str], region_name: str | None = None) -> None:
        super().__init__(f"The statement {statement_id} runs")
        self.statement_id = statement_id
        self.statements = statements
        self.region_name = region_name
