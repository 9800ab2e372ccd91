"""The receipt: what one chunk did, written once."""

from __future__ import annotations

from pydantic import Field

from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.contract.document import Document, Value
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.schema import Column, Scalar


class Consumed(Value):
    """What was read of one piece, in the units in which its object is cut.

    CSV: ``first`` and ``last`` are the byte offsets at which the first record begins and the last one ends.
    Parquet: row group numbers, half open. ``total`` is the object's size in the same unit.
    """

    object: SourceObject
    first: int = Field(ge=0)
    last: int = Field(ge=0)
    total: int = Field(ge=0)
    rows: int = Field(ge=0)


class OutputPart(Value):
    """One file of predictions, named by its content."""

    uri: str
    sha256: str
    size: int
    rows: int


class KeyHash(Value):
    """An order-free hash of the primary keys: the 64-bit hash of each row's key, summed modulo 2**64.

    Sums add up over chunks, so that a whole run's keys can be compared without reading them again.
    """

    algorithm: str = "pandas-hash64-sum"
    value: int = 0


class FeatureSketch(Value):
    """What one feature looked like in this chunk."""

    nulls: int = 0
    unseen_levels: int = 0
    """Rows whose category training did not have."""
    minimum: Scalar = None
    maximum: Scalar = None


class Timings(Value):
    """Seconds; ``read`` to ``write`` are summed over processes, ``wall`` is the whole job's."""

    start_up: float = 0.0
    read: float = 0.0
    predict: float = 0.0
    write: float = 0.0
    wall: float = 0.0


class Receipt(Document):
    """Created with create-if-absent: of two attempts at a chunk, one wins."""

    FORMAT = "airflow-sklearn/receipt"

    fingerprint: str
    chunk_id: str
    consumed: tuple[Consumed, ...]
    rows_in: int
    rows_out: int
    rows_quarantined: int = 0
    parts: tuple[OutputPart, ...]
    columns: tuple[Column, ...] = ()
    """Of the parts, with their types: the same in all chunks of a run."""
    quarantine: tuple[OutputPart, ...] = ()
    key_hash: KeyHash = KeyHash()
    problems: tuple[Problem, ...] = ()
    """What policies counted and let pass."""
    sketches: dict[str, FeatureSketch] = {}
    prediction_counts: dict[str, int] = {}
    """Method ``predict`` of a classifier: rows by label."""
    timings: Timings = Timings()
    peak_memory_bytes: int = 0
    processes: int = 1
    model_sha256: str
    """Of the artifact that made the predictions."""
    processor: str = ""
    parity_max_relative_difference: float = 0.0
    job: str = ""
    """The identity of the attempt that won."""
