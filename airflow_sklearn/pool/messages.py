"""What the driver of a pool and its workers tell each other: messages of a queue, and the driver's signs of life.

None of them is stored as a document: each travels with the pool's signature (``airflow_sklearn.pool.signing``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from airflow_sklearn.contract.document import Value


class Blob(Value):
    """Bytes that are too large for a message, by their content."""

    sha256: str
    size: int
    name: str = ""
    """In the pool's folder; empty: the digest, for bytes that several messages share."""


class Payload(Value):
    """A pickle: in the message itself, or beside it in storage."""

    inline: str = ""
    """Base64."""
    stored: Blob | None = None
    buffers: tuple[Blob, ...] = ()
    """The large arrays of the pickle, in its order."""


class Task(Value):
    """One call of a function without arguments, which gives the results of a batch of joblib's tasks."""

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
    """A task has its result."""

    kind: Literal["done"] = "done"
    task: str
    worker: str
    payload: Payload
    seconds: float
    """That the task ran, without waiting and transport."""
    fetched: int = 0
    """Bytes that its container fetched for it."""


class Failed(Value):
    """A task has raised, or could not be unpickled, or its result could not be pickled."""

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
    """A task is given up: it was started so often, and each time its process or its container ended."""

    kind: Literal["lost"] = "lost"
    task: str
    worker: str
    attempts: tuple[str, ...]
    """How each start that is known of ended."""


class Refused(Value):
    """A worker cannot work for this driver: its software is another one. It takes no task."""

    kind: Literal["refused"] = "refused"
    worker: str
    problems: tuple[str, ...]


class Ready(Value):
    """A worker has started, fits its driver, and takes tasks."""

    kind: Literal["ready"] = "ready"
    worker: str
    host: str
    processes: int


Report = Done | Failed | Lost | Refused | Ready
"""What a worker says to its driver."""

REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


class Control(Value):
    """What the driver says to all workers, again every few seconds: that it lives, and what is no longer wanted."""

    beat: int
    cancelled: tuple[str, ...] = ()
    """Calls whose tasks nobody waits for."""
    closing: bool = False
