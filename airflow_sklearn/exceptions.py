"""The package's errors. Each message says what is wrong, where, and what to do. Standard library only.

An error's ``kind`` decides the consequences: whether an operator retries, a worker's exit code, and the meaning of a
job's end. Both sides therefore judge the same error the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.jobs import ErrorKind
    from airflow_sklearn.contract.problems import Problem

#: The kinds of errors that a retry of the same work would meet again.
FINAL_KINDS = frozenset({"user", "data", "environment"})
_FINAL_SQLSTATES = ("0A", "3F", "42")  # classes: not supported; no such object, no privilege, invalid SQL


def with_problems(summary: str, problems: Sequence[Problem]) -> str:
    """An error message: a summary, then each problem in full; several problems are numbered."""
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
    """The user's request cannot be fulfilled: an unknown preset, a factory that raises, parameters that contradict
    each other.
    """

    kind = "user"


class DataError(AirflowSklearnError):
    """The data violate a policy. The error carries all problems, not only the first one.

    :param summary: one line that says what was being read.
    :param problems: all problems, the most frequent one first.
    """

    kind = "data"

    def __init__(self, summary: str, problems: Sequence[Problem] = ()) -> None:
        self.summary = summary
        self.problems = tuple(problem.shown() for problem in problems)
        super().__init__(with_problems(summary, self.problems))

    def __reduce__(self) -> tuple[type[DataError], tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.summary, self.problems)  # so that pickling keeps the problems


class BrokenEnvironmentError(AirflowSklearnError):
    """The worker's environment cannot give correct results: versions differ, the artifact has changed, or parity
    fails.
    """

    kind = "environment"


class DocumentError(AirflowSklearnError):
    """A stored document cannot be read: it is no JSON, or has another or a newer format."""

    kind = "environment"


class DeadlineExceededError(AirflowSklearnError):
    """The job ran past its deadline and ended itself."""

    kind = "deadline"


class StorageError(AirflowSklearnError):
    """Bytes could not be read or written."""


class DiskFullError(AirflowSklearnError):
    """A disk is full, on the worker or on the machine of Airflow's task."""


class ObjectNotFoundError(StorageError):
    """There is no object at this URI. Retryable, because a source may appear later."""


class ObjectExistsError(StorageError):
    """Create-if-absent found an existing object."""


class ObjectChangedError(StorageError):
    """The object is no longer the requested version (If-Match)."""

    kind = "data"


class IncompleteRunError(AirflowSklearnError):
    """The receipts of a run do not cover its plan exactly. Nothing is published."""

    kind = "data"


class PublishError(AirflowSklearnError):
    """The destination refuses the publication, or holds other rows than the receipts say."""


class PublicationRefusedError(PublishError):
    """The destination refuses the publication, and would refuse a retry: a person must decide whose rows stay."""

    kind = "user"


class NoCapacityError(AirflowSklearnError):
    """A job cannot start now, for lack of capacity or because of a quota or a throttle. It may start later."""


class ThrottledError(NoCapacityError):
    """There were too many calls. The same call may be repeated. It does not mean that capacity is missing."""


class JobFailedError(AirflowSklearnError):
    """A job ended without its result, for a reason that a retry would meet again."""

    kind = "user"


class JobLostError(AirflowSklearnError):
    """A job disappeared: its host is gone, or its process was killed. A retry is useful."""


class PoolError(AirflowSklearnError):
    """A pool of containers cannot continue: its containers do not start, or do not fit the driver."""


class TaskLostError(PoolError):
    """A task is given up, because each of its starts ended its process or its container."""


class MessageRefusedError(PoolError):
    """The queue never accepts this message: it is too large, or has characters that are not allowed."""


class RemoteTaskError(AirflowSklearnError):
    """Stands for an exception in a container that could not be pickled, or for a task or a result that could not."""


class ForgedMessageError(AirflowSklearnError):
    """A message or a payload was not written by the pool's own driver or worker."""


class QueueGoneError(AirflowSklearnError):
    """The queue does not exist, or no longer."""


class RedshiftError(AirflowSklearnError):
    """Redshift refuses a statement.

    :param sqlstate: PostgreSQL's error code, such as ``42P01``; empty: unknown.
    """

    def __init__(self, message: str, *, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        if sqlstate.startswith(_FINAL_SQLSTATES):
            self.kind, self.retryable = "user", False


class SerializationConflictError(RedshiftError):
    """Another transaction changed the same table: Redshift's error 1023. The transaction can be run again."""


class LoadError(RedshiftError):
    """COPY could not load a file. The message holds rows of Redshift's table of load errors."""

    kind = "data"


class StatementRunningError(AirflowSklearnError):
    """No failure: statements are running in Redshift, and a deferrable task must wait for them in the triggerer.

    :param statement_id: the Data API's id of the running statement.
    :param statements: ids by step, of this statement and of all that have run in this attempt.
    :param region_name: its region; None: the connection's.
    """

    trigger = "airflow_sklearn.triggers.statement:RedshiftStatementTrigger"
    """What waits: a class that takes the arguments of this one."""

    def __init__(self, statement_id: str, statements: dict[str, str], region_name: str | None = None) -> None:
        super().__init__(f"The statement {statement_id} runs")
        self.statement_id = statement_id
        self.statements = statements
        self.region_name = region_name
