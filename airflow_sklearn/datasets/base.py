"""``Source`` and ``Destination``: the interfaces that operators, plans and commits use. No other folder asks for the
kind.

A kind consists of two classes, a ``Source`` and a ``Destination``, and a line in ``registry``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.receipt import KeyHash
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_sklearn.aws.connection import AwsConnection
    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.receipt import OutputPart
    from airflow_sklearn.contract.schema import Column
    from airflow_sklearn.contract.tables import OutputColumnSpec, Snapshot
    from airflow_sklearn.contract.will_score import ColumnContent
    from airflow_sklearn.runs.prediction import UnresolvedPlan
    from airflow_sklearn.storage import Storage


class Connection(Protocol):
    """A connection that an attempt has opened, and that must be stopped with it."""

    def cancel(self) -> None:
        """Stop the current work. Called from a signal handler; never raises."""


_C = TypeVar("_C", bound=Connection)


@dataclass
class Attempt:
    """One attempt of one task instance.

    :param clears: how often the task instance was cleared, plus one: the same for all attempts that follow by retries.
    :param aws: the AWS connection; None outside of Airflow.
    :param may_wait: whether to wait for long work elsewhere. False in a deferrable task: such work raises
        ``StatementRunningError``, and the task starts over in the same attempt when the work has ended.
    :param statements: ids, by step, of the statements that ran before the task was deferred. Each submission is added.
    """

    storage: Storage
    identity: JobIdentity
    clears: int = 1
    aws: AwsConnection | None = None
    may_wait: bool = True
    statements: dict[str, str] = field(default_factory=dict)
    _connections: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A unique name of this attempt. It is the same when a deferred task starts over."""
        return content_id(self.identity.model_dump(mode="json"))

    @property
    def tag(self) -> str:
        """The task's name for people. An administrator finds the task's statements in a database by it."""
        who = self.identity
        place = f"{who.dag_id}.{who.task_id}" + (f"[{who.map_index}]" if who.map_index >= 0 else "")
        return f"airflow-sklearn {place} {who.run_id} try {who.try_number}"

    def connect(self, key: str, connect: Callable[[], _C]) -> _C:
        """The connection with this key. ``connect`` makes it when it is first needed."""
        if key not in self._connections:
            self._connections[key] = connect()
        found: _C = self._connections[key]
        return found

    def cancel(self) -> None:
        """Stop the current work of all connections."""
        for connection in self._connections.values():
            connection.cancel()


@dataclass(frozen=True)
class WantedColumns:
    """The columns of a source that a run reads.

    :param roles: columns by the argument that names them.
    :param excluded: columns that are not learned from.
    :param with_others: whether to read also the columns that have no role and are not excluded.
    """

    roles: Mapping[str, Sequence[str]]
    excluded: Sequence[str] = ()
    with_others: bool = False

    def chosen(self, there: Sequence[str]) -> list[str]:
        """The columns to read, in the order of the source.

        :param there: the columns of the source.
        """
        named = {name for names in self.roles.values() for name in names}
        return [name for name in there if name in named or (self.with_others and name not in self.excluded)]

    def faults(self, there: Sequence[str]) -> list[str]:
        """A sentence for each column that is named, but not in the source.

        :param there: the columns of the source.
        """
        return [
            f"{argument}={name!r}: there is no such column; there are {', '.join(there)}"
            for argument, names in {**self.roles, "excluded_columns": self.excluded}.items()
            for name in names
            if name not in there
        ]

    def request_of(self, source: Mapping[str, Any]) -> str:
        """A digest of a training's request. A later attempt recognises by it that its rows were exported already."""
        return content_id([source, self.roles, list(self.excluded)])


@dataclass(frozen=True)
class Resolved:
    """The files that a run reads, and the snapshot to which they belong.

    :param excluded: columns that training must still leave out.
    """

    files: SourceFiles
    snapshot: Snapshot | None = None
    excluded: tuple[str, ...] = ()

    @property
    def served(self) -> str:
        """The URI of the result that an earlier attempt has made of the rows, which have been removed since; empty:
        none.
        """
        return self.snapshot.served if self.snapshot else ""


class Source(ABC):
    """A source of rows. Each attempt makes a new object."""

    is_in_place: ClassVar[bool] = False
    """Whether resolving costs nothing, so that its faults are told together with those of the request."""

    @property
    def name(self) -> str:
        """The source's name for people."""
        return type(self).__name__

    def check(self, attempt: Attempt, plan: UnresolvedPlan) -> list[str]:
        """Faults because of which a model cannot predict these rows, as far as they are known before the rows are
        read.
        """
        return []

    @abstractmethod
    def column_types(self, plan: UnresolvedPlan) -> dict[str, str]:
        """The Arrow types of the columns, as far as they are known before the rows are read. Called after ``check``."""

    def untyped_fault(self, name: str) -> str:
        """The fault if a destination needs a column's type, and ``column_types`` lacks it. Empty: ``check`` has
        reported it.
        """
        return ""

    @abstractmethod
    def resolve(self, attempt: Attempt, columns: WantedColumns, *, file_size: int | None = None) -> Resolved:
        """The files to read. A table's rows are exported first, once for all attempts that follow by retries.

        :param attempt: the attempt.
        :param columns: the columns to read.
        :param file_size: the approximate bytes of a file, if files are written; None: a default.
        :raises UserError: columns do not exist or cannot be read; the message lists all of them.
        :raises StatementRunningError: the rows are being exported; the task must wait without a worker slot.
        """

    def contents(self, attempt: Attempt) -> dict[str, ColumnContent]:
        """What each column holds, found without exporting rows. Not called for files.

        :raises UserError: this kind of source cannot say so, or has no rows.
        """
        raise UserError(f"will_score: a {self.name} cannot be looked at. Fix: write some of its rows to a file.")

    def discard(self, attempt: Attempt, snapshot: Snapshot | None, *, served: str) -> None:
        """Remove files that were exported for a training. Files that are read in place stay.

        :param served: the URI of the training's result.
        """
        return

    @abstractmethod
    def emptiness(self, plan: Plan) -> str:
        """A warning if there are no rows to read; else empty."""


@dataclass(frozen=True)
class ProvenRows:
    """Rows to publish.

    :param columns: the columns of the files, in order, from the destination's ``output_columns`` or ``columns_of``.
    :param key: the columns that identify a row; may be empty.
    :param key_hash: the hash of all rows' keys.
    :param fingerprint: identifies the content. If it is published already, nothing is changed.
    :param partition: the name of the rows that this publication owns; see ``Destination.partition``.
    :param proof_uri: the URI of the proof for the files.
    :param planned: when and by which task the run was planned: an older run does not replace the rows of a newer one.
    :param replace_newer: let it do so.
    """

    files: tuple[OutputPart, ...]
    rows: int
    fingerprint: str
    partition: str
    columns: tuple[OutputColumnSpec, ...] = ()
    key: tuple[str, ...] = ()
    key_hash: KeyHash = field(default_factory=KeyHash)
    proof_uri: str = ""
    planned: Planned = field(default_factory=Planned)
    replace_newer: bool = False


@dataclass(frozen=True)
class Publication:
    """The content of the destination after a publication.

    :param rows: the number of the publication's rows.
    :param published: whether anything was changed. False: the same rows had been published before.
    :param proof_uri: the URI of the proof of the run that published them first.
    :param warnings: texts for people.
    """

    rows: int
    published: bool
    proof_uri: str
    warnings: tuple[str, ...] = ()


class Destination(ABC):
    """A destination of rows.

    :param document: the destination's document, which a plan stores. ``registry.destination_of`` makes a destination of
        it.
    """

    def __init__(self, document: Any) -> None:
        self.document = document

    @property
    def name(self) -> str:
        """The destination's name for people."""
        return str(self.document.uri)

    @abstractmethod
    def partition(self, given: str, run_id: str) -> str:
        """The name of the rows that a run owns. A second publication with this name replaces the first, or is refused.

        :param given: the user's partition; may be empty.
        :param run_id: the id of the DAG run.
        """

    def place(self, partition: str) -> str:
        """The place of the rows, for people and links."""
        return str(self.document.uri)

    def request_faults(self, partition: str, ledger: str | None) -> list[str]:
        """Faults of a request, without looking at anything."""
        return []

    def check(self, attempt: Attempt, plan: UnresolvedPlan, source: Source) -> list[str]:
        """Faults because of which the destination would refuse a run's rows, as far as they are known before
        computing.
        """
        return []

    def overlap_faults(self, source: SourceFiles, partition: str) -> list[str]:
        """Faults because of files that are both read and written."""
        return []

    def output_columns(
        self, plan: UnresolvedPlan, source: Source, snapshot: Snapshot | None
    ) -> tuple[OutputColumnSpec, ...]:
        """The columns of the parts, in order, if the destination must know them. Called after ``check``."""
        return ()

    def replacement_faults(self, attempt: Attempt, plan: Plan) -> list[str]:
        """Reasons why ``publish`` would not replace the content of the partition, known before anything is computed."""
        return []

    @abstractmethod
    def publish(self, attempt: Attempt, rows: ProvenRows) -> Publication:
        """Make proven rows the content of the destination, or of their partition: all of them, or none.

        Attempts at the same publication may run at the same time, and one after another.

        :raises PublicationRefusedError: the present content must not be replaced. Nothing was changed.
        :raises PublishError: the destination does not accept the rows. Nothing was changed.
        :raises StatementRunningError: the work goes on elsewhere; the task must wait without a worker slot.
        """

    # --- a model's out-of-sample scores ---

    def out_of_sample_faults(self, attempt: Attempt) -> list[str]:
        """Faults because of which a model's out-of-sample scores cannot be published here, as far as known before
        training.
        """
        return []

    def out_of_sample_partition(self, version: str, run: str) -> str:
        """The name of the rows that a version's out-of-sample scores own.

        :param version: the model's version.
        :param run: the task and its DAG run.
        """
        return f"version={version}"

    def columns_of(self, columns: Sequence[Column]) -> tuple[OutputColumnSpec, ...]:
        """The columns of files that exist already, in order, if the destination must know them. See
        ``output_columns``.
        """
        return ()

    def rows_faults(self, attempt: Attempt, rows: ProvenRows) -> list[str]:
        """Faults because of which the destination refuses these rows."""
        return []
