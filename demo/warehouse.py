"""The demo's flights as a table of the local Redshift, for the table-to-table template."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import pandas as pd

    from local_cloud.container_cloud import ContainerCloud

TABLE = "public.flights"
PREDICTIONS = "public.arrival_delay"
_TYPES = {
    "int64": "bigint",
    "double": "double precision",
    "string": "varchar(64)",
    "large_string": "varchar(64)",
    "bool": "boolean",
    "timestamp[us]": "timestamp",
}


def load(local: ContainerCloud, flights: pd.DataFrame) -> None:
    """Make the table anew, by COPY."""
    schema = pa.Schema.from_pandas(flights, preserve_index=False).remove_metadata()
    moments = {name: pa.timestamp("us") for name in schema.names if pa.types.is_timestamp(schema.field(name).type)}
    table = pa.Table.from_pandas(
        flights, pa.schema([(field.name, moments.get(field.name, field.type)) for field in schema])
    ).replace_schema_metadata()
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    key = "redshift/flights.parquet"
    local.direct.client("s3").put_object(Bucket=local.bucket, Key=key, Body=buffer.getvalue())
    columns = ", ".join(f"{field.name} {_TYPES[str(field.type)]}" for field in table.schema)
    local.redshift.query(
        f"DROP TABLE IF EXISTS {TABLE}, {PREDICTIONS}",
        f"CREATE TABLE {TABLE} ({columns})",
        f"COPY {TABLE} FROM 's3://{local.bucket}/{key}' IAM_ROLE default FORMAT AS PARQUET",
    )
