"""What operators, plans and commits know of sources and destinations. No other folder asks of which kind one is.

A kind is two classes, a ``Source`` and a ``Destination``, and a line in ``registry``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.receipt import KeyHash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_sklearn.aws.connection import AwsConnection
    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.receipt import OutputPart
    from airflow_sklearn.contract.schema import Column
    from airflow_sklearn.contract.tables import OutputColumnSpec, Snapshot
    from airflow_sklearn.runs.prediction import UnresolvedPlan
    from airflow_sklearn.storage import Storage


class Connection(Protocol):
    """What is open while an attempt works, and is to be stopped with it."""

    def cancel(self) -> None:
        """Stop what runs now. Called from a signal handler; never raises."""


_C = TypeVar("_C", bound=Connection)


@dataclass
class Attempt:
    """One attempt of one task instance.

    :param clears: how often the task instance was cleared, and one: the same for all attempts that follow by retries.
    :param aws: for credentials; None outside of Airflow.
    :param may_wait: False in a deferrable task: what runs long elsewhere raises ``StatementRunningError``, and the task
        starts over in the same attempt when that has ended.
    :param statements: ids by step of what ran before the task was deferred; grows with each submission.
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
        """This attempt's own, the same when a deferred task starts over."""
        return content_id(self.identity.model_dump(mode="json"))

    @property
    def tag(self) -> str:
        """For people: who it is. An administrator finds statements in a database by it."""
        who = self.identity
        place = f"{who.dag_id}.{who.task_id}" + (f"[{who.map_index}]" if who.map_index >= 0 else "")
        return f"airflow-sklearn {place} {who.run_id} try {who.try_number}"

    def connect(self, key: str, connect: Callable[[], _C]) -> _C:
        """The connection of this key; made when it is first asked for."""
        if key not in self._connections:
            self._connections[key] = connect()
        found: _C = self._connections[key]
        return found

    def cancel(self) -> None:
        """Stop what runs now."""
        for connection in self._connections.values():
            connection.cancel()


@dataclass(frozen=True)
class WantedColumns:
    """Which columns of a source a run reads.

    :param roles: columns by the argument that names them.
    :param excluded: columns that are not learned from.
    :param with_others: whether those are read too that no role names and that are not excluded.
    """

    roles: Mapping[str, Sequence[str]]
    excluded: Sequence[str] = ()
    with_others: bool = False

    def chosen(self, there: Sequence[str]) -> list[str]:
        """Those of the columns there that are read, in their order."""
        named = {name for names in self.roles.values() for name in names}
        return [name for name in there if name in named or (self.with_others and name not in self.excluded)]

    def faults(self, there: Sequence[str]) -> list[str]:
        """A line for each column that is named and not there."""
        return [
            f"{argument}={name!r}: there is no such column; there are {', '.join(there)}"
            for argument, names in {**self.roles, "excluded_columns": self.excluded}.items()
            for name in names
            if name not in there
        ]

    def request_of(self, source: Mapping[str, Any]) -> str:
        """A digest of what training asks of a source: an attempt that comes after knows by it what is there already."""
        return content_id([source, self.roles, list(self.excluded)])


@dataclass(frozen=True)
class Resolved:
    """What a run reads: files, and what they were exported from.

    :param excluded: columns that training must leave out still.
    """

    files: SourceFiles
    snapshot: Snapshot | None = None
    excluded: tuple[str, ...] = ()

    @property
    def served(self) -> str:
        """The URI of what an earlier attempt has made of the rows, which are gone since."""
        return self.snapshot.served if self.snapshot else ""


class Source(ABC):
    """What a run reads. Made anew by each attempt."""

    is_in_place: ClassVar[bool] = False
    """Whether resolving costs nothing, so that its faults are told together with those of the request."""

    def check(self, attempt: Attempt, plan: UnresolvedPlan) -> list[str]:
        """Why a model cannot be asked for these rows, as far as it is known before they are read."""
        return []

    @abstractmethod
    def column_types(self, plan: UnresolvedPlan) -> dict[str, str]:
        """Arrow types of the columns, as far as they are known before they are read. Called after ``check``."""

    def untyped_fault(self, name: str) -> str:
        """What to tell where a destination must know the type of a column and ``column_types`` does not have it. Empty:
        ``check`` has told."""
        return ""

    @abstractmethod
    def resolve(self, attempt: Attempt, columns: WantedColumns, *, file_size: int | None = None) -> Resolved:
        """The files to read. A table's rows are exported first, once for all attempts that follow by retries.

        :param file_size: bytes of a file, about, where files are written.
        :raises UserError: the columns are not there, or cannot be read; all are named.
        :raises StatementRunningError: they are being exported; the task is to wait without a worker slot.
        """

    def discard(self, attempt: Attempt, snapshot: Snapshot | None, *, served: str) -> None:
        """Remove what was exported for training. Files that were read where they are stay.

        :param served: the URI of what was made of it.
        """
        return

    @abstractmethod
    def emptiness(self, plan: Plan) -> str:
        """What to warn of when there are no rows to read; else empty."""


@dataclass(frozen=True)
class ProvenRows:
    """Rows that are published.

    :param columns: of the files, in order, as the destination's ``output_columns`` or ``columns_of`` gave them.
    :param key: of them, those that identify a row; may be empty.
    :param key_hash: of all rows' keys.
    :param fingerprint: of the content: what is published already under the same one is left as it is.
    :param partition: whose rows these are, see ``Destination.partition``.
    :param proof_uri: where it is written what the files are.
    :param planned: when and by whom: an older run does not replace the rows of a newer one.
    :param replace_newer: it does all the same.
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
    """What is at the destination now.

    :param rows: that the publication holds.
    :param published: False: these very rows had been published before, and nothing was changed.
    :param proof_uri: of the run that published them first.
    :param warnings: for people.
    """

    rows: int
    published: bool
    proof_uri: str
    warnings: tuple[str, ...] = ()


class Destination(ABC):
    """Where rows go.

    :param document: what a plan keeps of it; ``registry.destination_of`` makes a destination of it again.
    """

    def __init__(self, document: Any) -> None:
        self.document = document

    @property
    def name(self) -> str:
        """For people."""
        return str(self.document.uri)

    @abstractmethod
    def partition(self, given: str, run_id: str) -> str:
        """Whose rows a run publishes. A second publication of one partition replaces the first, or is refused.

        :param given: what the user says; may be empty.
        :param run_id: of the DAG run.
        """

    def place(self, partition: str) -> str:
        """Where the rows are, for people and links."""
        return str(self.document.uri)

    def request_faults(self, partition: str, ledger: str | None) -> list[str]:
        """What of a request cannot be, without a look at anything."""
        return []

    def check(self, attempt: Attempt, plan: UnresolvedPlan, source: Source) -> list[str]:
        """Why it would not take the rows of a run, as far as it is known before they are computed."""
        return []

    def overlap_faults(self, source: SourceFiles, partition: str) -> list[str]:
        """Why the files that are read and what is written would get in each other's way."""
        return []

    def output_columns(
        self, plan: UnresolvedPlan, source: Source, snapshot: Snapshot | None
    ) -> tuple[OutputColumnSpec, ...]:
        """The columns of the parts, in order, where the destination must know them. Called after ``check``."""
        return ()

    def replacement_faults(self, attempt: Attempt, plan: Plan) -> list[str]:
        """Why ``publish`` would not replace what the partition holds: better known before anything is computed."""
        return []

    @abstractmethod
    def publish(self, attempt: Attempt, rows: ProvenRows) -> Publication:
        """Make proven rows the content of the destination, or of their partition: all of them, or none.

        Attempts of the same publication may run at the same time, and after one another.

        :raises PublicationRefusedError: what is there is not to be replaced. Nothing was changed.
        :raises PublishError: it does not take the rows. Nothing was changed.
        :raises StatementRunningError: it goes on elsewhere; the task is to wait without a worker slot.
        """

    # --- a model's out-of-sample scores ---

    def out_of_sample_faults(self, attempt: Attempt) -> list[str]:
        """Why a model's out-of-sample scores cannot go there, as far as it is known before training."""
        return []

    def out_of_sample_partition(self, version: str, run: str) -> str:
        """Whose rows the scores of a model's version are.

        :param run: the task and its DAG run.
        """
        return f"version={version}"

    def columns_of(self, columns: Sequence[Column]) -> tuple[OutputColumnSpec, ...]:
        """As ``output_columns``, of files that are there already."""
        return ()

    def rows_faults(self, attempt: Attempt, rows: ProvenRows) -> list[str]:
        """Why it does not take these rows."""
        return []
