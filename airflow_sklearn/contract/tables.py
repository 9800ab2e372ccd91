"""Tables of Amazon Redshift as documents: access, unloaded snapshots, and tables to load.

Only Airflow's side talks to the database. A container sees the files and these names, which contain no secret.
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
    """Arguments of the Redshift Data API, under AWS's names."""

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
    """How Airflow's side reaches the database, and how the database reaches S3."""

    redshift_conn_id: str = "redshift_default"
    """The Airflow connection; not looked up when ``data_api`` is given."""
    data_api: DataApi | None = None
    iam_role: str = "default"
    """For UNLOAD and COPY: ``default``, or one or several role ARNs joined by commas, as Redshift takes them."""

    @property
    def name(self) -> str:
        """The database's name for people."""
        if self.data_api is None:
            return self.redshift_conn_id
        return f"{self.data_api.workgroup_name or self.data_api.cluster_identifier}/{self.data_api.database}"

    def uri_of(self, table: tuple[str, ...]) -> str:
        """The URI of a table for assets.

        The scheme ``redshift`` belongs to Airflow's amazon provider, and needs host and database. These are unknown
        here, because a connection is not looked up when a DAG is parsed.
        """
        return f"x-redshift://{self.name}/{'/'.join(quote(part, safe='') for part in table)}"


class TableColumn(Value):
    """A column of a table or a query."""

    name: str
    type: str
    """The type as Redshift spells it, with length or precision: ``varchar(64)``, ``numeric(18,2)``."""


class UnloadSource(Value):
    """A table or a query whose rows are unloaded for a run. Exactly one of ``table`` and ``sql`` is set."""

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
    """Keep the unloaded files after the run was published, or the model was fitted."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.table) == bool(self.sql):
            raise ValueError("give a table or a query")
        return self

    @property
    def name(self) -> str:
        """The table's or query's name for people."""
        return ".".join(self.table) if self.table else f"the query {self.sql[:60]!r}"


class Snapshot(Document):
    """The files of one UNLOAD in S3: the source of a run, which later changes of the table do not affect."""

    FORMAT = "airflow-sklearn/snapshot"

    query: str
    """The unloaded query, as SQL."""
    request: str = ""
    """A digest of the request: the source, and the roles of columns. It is known before the table's columns are."""
    manifest_uri: str
    """Redshift's own manifest of the files."""
    files: SourceFiles
    rows: int = Field(ge=0)
    columns: tuple[TableColumn, ...]
    """The columns in the order of the files."""
    folder: str
    """The files to delete after the snapshot was used."""
    keep: bool = False
    served: str = ""
    """The URI of the result made of the rows, after they were deleted; empty before."""


class OutputColumnSpec(Value):
    """One column of a table that is loaded.

    ``arrow_type`` is its type in the Parquet file, ``staging_type`` in the staging table, ``type`` in a table that is
    created.
    """

    name: str
    arrow_type: str
    staging_type: str
    type: str


class OutputTable(Value):
    """A table into which rows are published."""

    kind: ClassVar[str] = "redshift"

    table: tuple[str, ...] = Field(min_length=1, max_length=2)
    """``(schema, table)``, or the table alone for the first schema of the user's search path."""
    if_exists: IfTableExists = "fail"
    where: str = ""
    """With ``replace``: the rows of the table that are replaced, as a condition with ``:name`` parameters."""
    parameters: dict[str, Scalar] = {}
    partition: dict[str, Scalar] = {}
    """Columns that get these values in every row. With ``replace``, the rows with these values are replaced."""
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
        """The table's name for people."""
        return ".".join(self.table)

    @property
    def uri(self) -> str:
        """The table's URI for assets."""
        return self.access.uri_of(self.table)

    @property
    def ledger_root(self) -> str:
        """The default folder for ledgers of runs into this table."""
        return f"{self.staging}/tables/{content_id([self.access.model_dump(mode='json'), self.table])}"

    @property
    def part_format(self) -> FileFormat:
        """The format of the parts that workers write."""
        return "parquet"

    @property
    def part_csv(self) -> CsvOptions:
        """The dialect of the parts; not used, because they are Parquet."""
        return CsvOptions()


class OutputStore(Value):
    """A destination of a kind that another package has registered."""

    kind: str
    """The name under which the kind is registered."""
    uri: str
    """The destination's URI for people, links and asset events. It must hold no secret."""
    ledger_root: str
    """The URI of the folder below which ledgers of runs into this destination lie."""
    options: dict[str, JsonValue] = {}
    """The options with which the kind publishes. They must hold no secret."""

    @property
    def part_format(self) -> FileFormat:
        """The format of the parts that workers write."""
        return "parquet"

    @property
    def part_csv(self) -> CsvOptions:
        """The dialect of the parts; not used, because they are Parquet."""
        return CsvOptions()


AnyOutput = OutputFiles | OutputTable | OutputStore
