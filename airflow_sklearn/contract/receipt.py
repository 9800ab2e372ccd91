"""The receipt: what one chunk did, written once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from airflow_sklearn.contract.attempt import Host
from airflow_sklearn.contract.bins import total_packed
from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.contract.document import Document, Later, Value
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.schema import Column, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

KEY_HASH_ALGORITHM = "fnv1a-64-sum"


class Consumed(Value):
    """What was read of one piece, in the unit in which its object is cut.

    CSV: the byte offsets at which the first record begins (``first``) and the last one ends (``last``). Parquet: the
    numbers of row groups, half open. ``total`` is the object's size in the same unit.
    """

    object: SourceObject
    first: int = Field(ge=0)
    last: int = Field(ge=0)
    total: int = Field(ge=0)
    rows: int = Field(ge=0)


class OutputPart(Value):
    """One file of predictions. Its name holds the hash of its content."""

    uri: str
    sha256: str
    size: int = Field(ge=0)
    rows: int = Field(ge=0)
    etag: Annotated[str, Later()] = ""
    """In S3 the etag of the stored version, whose content need not be read to be checked. Empty for version 0.1.0."""


class KeyHash(Value):
    """A hash of all primary keys that does not depend on their order: the sum of 64-bit hashes, one a row, modulo
    2**64.

    Hashes of chunks add up to the run's hash, so that keys are compared without reading them again. A row's hash is
    FNV-1a (Fowler, Noll, Vo) over the bytes of the key's columns; a database can compute it as well.
    ``airflow_sklearn.worker.prediction.keys`` defines the bytes.
    """

    algorithm: str = KEY_HASH_ALGORITHM
    """The algorithm. Hashes of different algorithms cannot be added."""
    value: int = 0

    @classmethod
    def total(cls, hashes: Iterable[KeyHash]) -> Self:
        """The hash of all rows of several chunks.

        :raises ValueError: the hashes have different algorithms, or one that this version does not know.
        """
        hashes = list(hashes)
        if others := {found.algorithm for found in hashes} - {KEY_HASH_ALGORITHM}:
            raise ValueError(f"Key hashes by {sorted(others)} have no sum here, where {KEY_HASH_ALGORITHM} is used.")
        return cls(value=sum(found.value for found in hashes) % 2**64)


class FeatureSketch(Value):
    """The distribution of one feature in this chunk."""

    nulls: int = 0
    unseen_levels: int = 0
    """The number of rows with a category that training did not have."""
    minimum: Scalar = None
    maximum: Scalar = None

    @classmethod
    def total(cls, sketches: Sequence[FeatureSketch]) -> Self:
        """The sketch of the rows of all."""
        return cls(
            nulls=sum(sketch.nulls for sketch in sketches),
            unseen_levels=sum(sketch.unseen_levels for sketch in sketches),
            minimum=_pick(min, [sketch.minimum for sketch in sketches]),
            maximum=_pick(max, [sketch.maximum for sketch in sketches]),
        )


def _pick(choose: Callable[[list[Any]], Any], values: Iterable[Any]) -> Any:
    present = [value for value in values if value is not None]
    return choose(present) if present else None


class Timings(Value):
    """Times in seconds. ``read`` to ``write`` are sums over processes; ``wall`` is the whole job's time."""

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
    """The counts of a process for its own rows. The chunk's receipt has them for all rows.

    To add a count, add a field here, its sum in ``total``, and its measurement in ``SliceResult``.
    """

    rows_in: int = Field(ge=0)
    rows_quarantined: int = Field(default=0, ge=0)
    parts: tuple[OutputPart, ...]
    quarantine: tuple[OutputPart, ...] = ()
    key_hash: KeyHash = KeyHash()
    sketches: dict[str, FeatureSketch] = {}
    prediction_counts: dict[str, int] = {}
    """The number of rows by label, for the method ``predict`` of a classifier."""
    feature_counts: Annotated[dict[str, str], Later()] = {}
    """Rows by feature and by the bins of ``airflow_sklearn.contract.bins``. Texts are not counted."""
    score_counts: Annotated[dict[str, str], Later()] = {}
    """The same by output column, for columns of numbers."""

    @staticmethod
    def total(tallies: Sequence[Any]) -> dict[str, Any]:
        """The sum of several tallies, as the fields of one.

        :param tallies: objects with a tally's attributes, in the order of their rows.
        """
        return {
            "rows_in": sum(tally.rows_in for tally in tallies),
            "rows_quarantined": sum(tally.rows_quarantined for tally in tallies),
            "parts": tuple(part for tally in tallies for part in tally.parts),
            "quarantine": tuple(part for tally in tallies for part in tally.quarantine),
            "key_hash": KeyHash.total(tally.key_hash for tally in tallies),
            **total_counts(tallies),
        }


def total_counts(tallies: Iterable[Any]) -> dict[str, Any]:
    """The sums of ``sketches``, ``feature_counts``, ``score_counts`` and ``prediction_counts`` of several tallies, by
    these names.
    """
    tallies = list(tallies)
    totals = {
        name: {key: total(found) for key, found in _by_key(getattr(tally, name) for tally in tallies).items()}
        for name, total in _TOTALS.items()
    }
    return {
        **totals,
        "prediction_counts": dict(sum((Counter(tally.prediction_counts) for tally in tallies), Counter())),
    }


_TOTALS: dict[str, Callable[[list[Any]], Any]] = {
    "sketches": FeatureSketch.total,
    "feature_counts": total_packed,
    "score_counts": total_packed,
}


def _by_key(mappings: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            found.setdefault(key, []).append(value)
    return found


class Receipt(Tally, Document):
    """The receipt of one chunk. It is stored by create-if-absent: of two attempts at a chunk, the first one counts."""

    FORMAT = "airflow-sklearn/receipt"

    fingerprint: str
    chunk_id: str
    consumed: tuple[Consumed, ...]
    rows_out: int = Field(ge=0)
    columns: tuple[Column, ...] = ()
    """The columns of the parts with their types. They are the same in all chunks of a run."""
    problems: tuple[Problem, ...] = ()
    """The problems that the policies permitted."""
    timings: Timings = Timings()
    peak_memory_bytes: int = Field(default=0, ge=0)
    processes: int = Field(default=1, ge=1)
    model_sha256: str
    """Of the artifact that made the predictions."""
    processor: str = ""
    parity_max_relative_difference: float = 0.0
    job: str = ""
    """The task instance whose attempt was first."""
    attempt: Annotated[str, Later()] = ""
    """The name of that attempt's documents in the ledger's folder ``attempts``."""
    started_at: Annotated[str, Later()] = ""
    """When its worker started: ISO 8601, UTC."""
    host: Annotated[Host, Later()] = Host()
    """Where it ran."""
