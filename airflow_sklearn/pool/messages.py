"""Messages between the driver of a pool and its workers: in queues, and the driver's signs of life.

They are no documents: each travels with the pool's signature (``airflow_sklearn.pool.signing``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from airflow_sklearn.contract.document import Value


class Blob(Value):
    """Bytes that are too large for a message, identified by their digest."""

    sha256: str
    size: int
    name: str = ""
    """In the pool's folder; empty: the digest, for bytes that several messages share."""


class Payload(Value):
    """A pickle: in the message itself, or in storage."""

    inline: str = ""
    """Base64."""
    stored: Blob | None = None
    buffers: tuple[Blob, ...] = ()
    """The large arrays of the pickle, in its order."""


class Task(Value):
    """One call of a function without arguments, which returns the results of a batch of joblib's tasks."""

    task: str
    """Its id: 16 hexadecimal digits, another one for each task of a pool."""
    call: str
    """The call of ``joblib.Parallel`` that it belongs to."""
    payload: Payload
    mmap_mode: Literal["r", "c"] | None = "r"
    """How large arrays are mapped into memory; None: they are read."""
    threads: int | None = None
    """Of numeric libraries, while the task runs. None: as the container has it."""


class Done(Value):
    """Report: a task has a result."""

    kind: Literal["done"] = "done"
    task: str
    worker: str
    payload: Payload
    seconds: float
    """That the task ran, without waiting and transport."""
    fetched: int = 0
    """Bytes that its container fetched for it."""


class Failed(Value):
    """Report: a task raised an exception, or could not be unpickled, or its result could not be pickled."""

    kind: Literal["failed"] = "failed"
    task: str
    worker: str
    type: str
    message: str
    traceback: str = ""
    stage: Literal["run", "read", "write", "storage"] = "run"
    """``read``: the task could not be unpickled; ``write``: its result could not be pickled; ``storage``: the pool's
    folder was out of reach."""
    payload: Payload | None = None
    """The exception itself, if it can be pickled."""


class Lost(Value):
    """Report: a task is given up, because each of its starts ended its process or its container."""

    kind: Literal["lost"] = "lost"
    task: str
    worker: str
    attempts: tuple[str, ...]
    """How each start that is known of ended."""


class Refused(Value):
    """Report: a worker takes no tasks, because its software differs from the driver's."""

    kind: Literal["refused"] = "refused"
    worker: str
    problems: tuple[str, ...]


class Ready(Value):
    """Report: a worker has started, its software fits the driver's, and it takes tasks."""

    kind: Literal["ready"] = "ready"
    worker: str
    host: str
    processes: int


Report = Done | Failed | Lost | Refused | Ready
"""What a worker says to its driver."""

REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


class Control(Value):
    """The driver's message to all workers, repeated every few seconds: a sign of life, and the cancelled calls."""

    beat: int
    cancelled: tuple[str, ...] = ()
    """Calls whose tasks nobody waits for."""
    closing: bool = False
