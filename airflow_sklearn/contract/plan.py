"""The plan of one prediction run: what is predicted, by which model, in which chunks."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from airflow_sklearn.contract.data import CsvOptions, FileFormat, SourceFiles, SourceObject
from airflow_sklearn.contract.document import Document, Later, Value, content_id
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.schema import LARGEST_BATCH, Column, Method, OutputColumn, Policies
from airflow_sklearn.contract.tables import AnyOutput, OutputColumnSpec, Snapshot


class Piece(Value):
    """A range of one object: all CSV records, or all Parquet row groups, whose first byte lies in it.

    ``exact``: ``start`` and ``end`` are known to be ends of records, so that no line break need be searched.
    """

    object: SourceObject
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    """Byte offsets, half open."""
    exact: bool = False


class Chunk(Value):
    """The pieces that one container predicts. Its id depends on the pieces only, not on their storage or order in a
    plan.
    """

    id: str
    label: str
    """The name of the mapped task in Airflow's UI."""
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """The bytes of the source in the chunk."""
        return sum(piece.end - piece.start for piece in self.pieces)

    @staticmethod
    def make_id(pieces: tuple[Piece, ...]) -> str:
        """The id of a chunk of these pieces: 16 hexadecimal digits of a SHA-256."""
        return content_id([piece.model_dump(mode="json") for piece in pieces])


class PredictionSpec(Value):
    """The settings that all chunks of a run share. Equal specs over equal objects give equal bytes."""

    model_manifest_uri: str
    model_manifest_sha256: str
    method: Method
    outputs: tuple[OutputColumn, ...]
    primary_key: tuple[Column, ...]
    passthrough: tuple[str, ...] = ()
    output_types: dict[str, str] = {}
    """Arrow types of columns that are written in another type than they are read or predicted. No value may be lost."""
    source: SourceFiles
    output_format: FileFormat = "parquet"
    output_csv: CsvOptions = CsvOptions()
    batch_rows: int = Field(ge=1, le=LARGEST_BATCH)
    policies: Policies
    trusted_types: Annotated[tuple[str, ...], Later()] = ()
    """The types that a model in the format skops may contain. They come from Airflow's configuration."""


class Plan(Document):
    """One run: the spec, the versions of the source's objects, and the chunks that cover them exactly."""

    FORMAT = "airflow-sklearn/plan"

    spec: PredictionSpec
    objects: tuple[SourceObject, ...]
    chunks: tuple[Chunk, ...]
    fingerprint: str
    """A hash of the spec and the objects, not of the chunks: plans with the same fingerprint share receipts."""
    ledger: str
    """The URI of the folder that holds the run's receipts and parts."""
    destination: AnyOutput
    partition: str
    """The name of the rows that the run owns. A second publication with this name replaces the first, or is refused."""
    table_columns: tuple[OutputColumnSpec, ...] = ()
    """The columns of the parts, in order, if the destination is a table."""
    snapshot: Snapshot | None = None
    """The snapshot to which the objects belong; None: the source is files."""
    planned: Annotated[Planned, Later()] = Planned()
    """Not a part of the fingerprint."""

    @staticmethod
    def make_fingerprint(spec: PredictionSpec, objects: tuple[SourceObject, ...]) -> str:
        """The run's fingerprint: the SHA-256 of the spec and the objects, as 64 hexadecimal digits."""
        return content_id(
            {"spec": spec.model_dump(mode="json"), "objects": [o.model_dump(mode="json") for o in objects]}, length=64
        )


class PlannedChunk(Document):
    """The plan of one chunk: everything that its task and its worker need from the plan."""

    FORMAT = "airflow-sklearn/planned-chunk"

    spec: PredictionSpec
    fingerprint: str
    ledger: str
    chunk: Chunk

    @classmethod
    def of(cls, plan: Plan, chunk: Chunk) -> Self:
        """The plan of one chunk, taken from the whole plan."""
        return cls(spec=plan.spec, fingerprint=plan.fingerprint, ledger=plan.ledger, chunk=chunk)


class PlanIndex(Document):
    """The digests of a plan and of its chunks' plans, so that one chunk can be read without the others."""

    FORMAT = "airflow-sklearn/plan-index"

    plan: str
    """SHA-256 of the whole ``Plan``."""
    chunks: dict[str, str]
    """SHA-256 of each ``PlannedChunk``, by the chunk's id."""
