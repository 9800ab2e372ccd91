"""Tables of Amazon Redshift, as documents: how they are reached, what was unloaded from one, what is loaded into one.

Only Airflow's side talks to the database. A container sees the files, and these names, which hold no secret.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self
from urllib.parse import quote

from pydantic import Field, JsonValue, model_validator

from airflow_sklearn.contract.data import CsvOptions, FileFormat, OutputFiles, SourceFiles
from airflow_sklearn.contract.document import Document, Value, content_id
from airflow_sklearn.contract.schema import Scalar

IfTableExists = Literal["fail", "append", "truncate", "replace", "upsert"]


class DataApi(Value):
    """The Redshift Data API's own arguments, under AWS's names."""

    workgroup_name: str | None = None
    cluster_identifier: str | None = None
    database: str
    db_user: str | None = None
    secret_arn: str | None = None
    region_name: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.workgroup_name is None) == (self.cluster_identifier is None):
            raise ValueError("give workgroup_name (serverless) or cluster_identifier, and not both")
        return self


class RedshiftAccess(Value):
    """How the database is reached, and how it reaches S3."""

    redshift_conn_id: str = "redshift_default"
    """The Airflow connection; not looked up when ``data_api`` is given."""
    data_api: DataApi | None = None
    iam_role: str = "default"
    """For UNLOAD and COPY: ``default``, or one or several role ARNs joined by commas, as Redshift takes them."""

    @property
    def name(self) -> str:
        """For people: which database is meant."""
        if self.data_api is None:
            return self.redshift_conn_id
        return f"{self.data_api.workgroup_name or self.data_api.cluster_identifier}/{self.data_api.database}"

    def uri_of(self, table: tuple[str, ...]) -> str:
        """A table as an asset's URI.

        The scheme ``redshift``, which Airflow's amazon provider claims, wants host and database: a connection is not
        looked up when a DAG is parsed.
        """
        return f"x-redshift://{self.name}/{'/'.join(quote(part, safe='') for part in table)}"


class TableColumn(Value):
    """A column of a table or a query."""

    name: str
    type: str
    """As Redshift spells it, with length or precision where it has one: ``varchar(64)``, ``numeric(18,2)``."""


class UnloadSource(Value):
    """A table or a query whose rows are unloaded for a run. Exactly one of ``table`` and ``sql``."""

    kind: ClassVar[str] = "redshift"

    table: tuple[str, ...] = ()
    sql: str = ""
    where: str = ""
    parameters: dict[str, Scalar] = {}
    """Values of the ``:name`` parameters in ``where`` or ``sql``."""
    limit: int | None = Field(default=None, ge=1)
    access: RedshiftAccess = RedshiftAccess()
    staging: str
    """The URI of a folder in S3 below which the rows are unloaded."""
    keep_unloaded: bool = False
    """Leave the unloaded files when the run has been published, or the model fitted."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.table) == bool(self.sql):
            raise ValueError("give a table or a query")
        return self

    @property
    def name(self) -> str:
        """For people."""
        return ".".join(self.table) if self.table else f"the query {self.sql[:60]!r}"


class Snapshot(Document):
    """What one UNLOAD left in S3: the source of a run, which no later change of the table reaches."""

    FORMAT = "airflow-sklearn/snapshot"

    query: str
    """What was unloaded, as SQL."""
    request: str = ""
    """A digest of what was asked for: of a source with its roles. Known before the table's columns are."""
    manifest_uri: str
    """Redshift's own manifest of the files."""
    files: SourceFiles
    rows: int = Field(ge=0)
    columns: tuple[TableColumn, ...]
    """In the files' order."""
    folder: str
    """What is deleted when the snapshot has served."""
    keep: bool = False
    served: str = ""
    """The URI of what was made of the rows, once they are gone."""


class OutputColumnSpec(Value):
    """One column of a table that is loaded.

    The Parquet file has Arrow's ``arrow_type``; the staging table ``staging_type``; a table that is created ``type``.
    """

    name: str
    arrow_type: str
    staging_type: str
    type: str


class OutputTable(Value):
    """A table that rows are published into."""

    kind: ClassVar[str] = "redshift"

    table: tuple[str, ...] = Field(min_length=1, max_length=2)
    """``(schema, table)``, or the table alone for the first schema of the user's search path."""
    if_exists: IfTableExists = "fail"
    where: str = ""
    """With ``replace``: the rows of the table that are replaced, as a condition with ``:name`` parameters."""
    parameters: dict[str, Scalar] = {}
    partition: dict[str, Scalar] = {}
    """Columns that every row gets with these values. With ``replace``: the rows that have them are replaced."""
    diststyle: Literal["auto", "even", "all", "key"] | None = None
    distkey: str | None = None
    sortkey: tuple[str, ...] = ()
    column_types: dict[str, str] = {}
    """Redshift types by column, for a table that is created."""
    access: RedshiftAccess = RedshiftAccess()
    staging: str
    """The URI of a folder in S3 for ledgers and manifests."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.where or self.partition) and self.if_exists != "replace":
            raise ValueError(
                f"where and partition say which rows are replaced: they go with if_exists='replace', not "
                f"{self.if_exists!r}"
            )
        if self.where and self.partition:
            raise ValueError("give where or partition, not both")
        return self

    @property
    def name(self) -> str:
        """For people."""
        return ".".join(self.table)

    @property
    def uri(self) -> str:
        """The table as an asset's URI."""
        return self.access.uri_of(self.table)

    @property
    def ledger_root(self) -> str:
        """The folder below which ledgers of runs into this table lie."""
        return f"{self.staging}/tables/{content_id([self.access.model_dump(mode='json'), self.table])}"

    @property
    def part_format(self) -> FileFormat:
        """Of the parts that workers write."""
        return "parquet"

    @property
    def part_csv(self) -> CsvOptions:
        return CsvOptions()


class OutputStore(Value):
    """A destination of a kind that comes from outside of this package."""

    kind: str
    """The name under which the kind is registered."""
    uri: str
    """For people, links and asset events. No secret may be in it."""
    ledger_root: str
    """The URI of the folder below which ledgers of runs into this destination lie."""
    options: dict[str, JsonValue] = {}
    """Whatever the kind needs to publish. No secret may be in them."""

    @property
    def part_format(self) -> FileFormat:
        """Of the parts that workers write."""
        return "parquet"

    @property
    def part_csv(self) -> CsvOptions:
        return CsvOptions()


AnyOutput = OutputFiles | OutputTable | OutputStore
