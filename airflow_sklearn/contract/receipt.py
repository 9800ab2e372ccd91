"""The receipt: what one chunk did, written once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.contract.document import Document, Later, Value
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.schema import Column, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

KEY_HASH_ALGORITHM = "fnv1a-64-sum"


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
    size: int = Field(ge=0)
    rows: int = Field(ge=0)
    etag: Annotated[str, Later()] = ""
    """In S3, the version that was stored: its content needs no reading to be known. Version 0.1.0 did not note it."""


class KeyHash(Value):
    """An order-free hash of the primary keys: the 64-bit hash of each row's key, summed modulo 2**64.

    Sums add up over chunks, so that a whole run's keys can be compared without reading them again. The hash of a row is
    FNV-1a over the bytes of the key's columns, one after another: a database can compute it as well.
    ``airflow_sklearn.worker.prediction.keys`` says which bytes.
    """

    algorithm: str = KEY_HASH_ALGORITHM
    """Of the version that wrote it: hashes of different algorithms have no sum."""
    value: int = 0

    @classmethod
    def total(cls, hashes: Iterable[KeyHash]) -> Self:
        """The hash of all rows of several parts.

        :raises ValueError: they are of different algorithms, or of one that this version does not compute.
        """
        hashes = list(hashes)
        if others := {found.algorithm for found in hashes} - {KEY_HASH_ALGORITHM}:
            raise ValueError(f"Key hashes by {sorted(others)} have no sum here, where {KEY_HASH_ALGORITHM} is used.")
        return cls(value=sum(found.value for found in hashes) % 2**64)


class FeatureSketch(Value):
    """What one feature looked like in this chunk."""

    nulls: int = 0
    unseen_levels: int = 0
    """Rows whose category training did not have."""
    minimum: Scalar = None
    maximum: Scalar = None

    def merge(self, other: FeatureSketch) -> FeatureSketch:
        """The sketch of the rows of both."""
        return FeatureSketch(
            nulls=self.nulls + other.nulls,
            unseen_levels=self.unseen_levels + other.unseen_levels,
            minimum=_pick(min, self.minimum, other.minimum),
            maximum=_pick(max, self.maximum, other.maximum),
        )


def _pick(choose: Callable[[list[Any]], Any], *values: Any) -> Any:
    present = [value for value in values if value is not None]
    return choose(present) if present else None


class Timings(Value):
    """Seconds; ``read`` to ``write`` are summed over processes, ``wall`` is the whole job's."""

    start_up: float = 0.0
    read: float = 0.0
    predict: float = 0.0
    write: float = 0.0
    wall: float = 0.0

    @classmethod
    def total(cls, timings: Sequence[Timings]) -> Self:
        """The sum of each."""
        return cls(**{name: sum(getattr(each, name) for each in timings) for name in cls.model_fields})


class Tally(Value):
    """What each process of a chunk notes of its own rows. The chunk's receipt has it of all rows.

    To add something: a field here, how ``total`` adds it up, and in ``SliceResult`` what a process measures.
    """

    rows_in: int = Field(ge=0)
    rows_quarantined: int = Field(default=0, ge=0)
    parts: tuple[OutputPart, ...]
    quarantine: tuple[OutputPart, ...] = ()
    key_hash: KeyHash = KeyHash()
    sketches: dict[str, FeatureSketch] = {}
    prediction_counts: dict[str, int] = {}
    """Method ``predict`` of a classifier: rows by label."""

    @staticmethod
    def total(tallies: Sequence[Any]) -> dict[str, Any]:
        """The fields of a tally of all rows.

        :param tallies: objects with the attributes of a tally, in the order of their rows.
        """
        sketches: dict[str, FeatureSketch] = {}
        for tally in tallies:
            for name, sketch in tally.sketches.items():
                sketches[name] = sketches[name].merge(sketch) if name in sketches else sketch
        return {
            "rows_in": sum(tally.rows_in for tally in tallies),
            "rows_quarantined": sum(tally.rows_quarantined for tally in tallies),
            "parts": tuple(part for tally in tallies for part in tally.parts),
            "quarantine": tuple(part for tally in tallies for part in tally.quarantine),
            "key_hash": KeyHash.total(tally.key_hash for tally in tallies),
            "sketches": sketches,
            "prediction_counts": dict(sum((Counter(tally.prediction_counts) for tally in tallies), Counter())),
        }


class Receipt(Tally, Document):
    """Created with create-if-absent: of two attempts at a chunk, one wins."""

    FORMAT = "airflow-sklearn/receipt"

    fingerprint: str
    chunk_id: str
    consumed: tuple[Consumed, ...]
    rows_out: int = Field(ge=0)
    columns: tuple[Column, ...] = ()
    """Of the parts, with their types: the same in all chunks of a run."""
    problems: tuple[Problem, ...] = ()
    """What policies counted and let pass."""
    timings: Timings = Timings()
    peak_memory_bytes: int = Field(default=0, ge=0)
    processes: int = Field(default=1, ge=1)
    model_sha256: str
    """Of the artifact that made the predictions."""
    processor: str = ""
    parity_max_relative_difference: float = 0.0
    job: str = ""
    """The identity of the attempt that won."""
