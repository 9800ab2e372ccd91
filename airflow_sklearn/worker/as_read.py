"""Tables that training has read, as prediction reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.columns import contiguous
from airflow_sklearn.models.schema import read_columns
from airflow_sklearn.worker.data.convert import convert

if TYPE_CHECKING:
    from airflow_sklearn.contract.schema import FeatureSchema


def as_read(table: pa.Table, schema: FeatureSchema) -> pa.Table:
    """The features of a table in the types in which prediction reads them.

    :param table: shape (rows, at least the features).
    :param schema: the feature schema.
    :return: shape (rows, features).
    """
    columns = [
        convert(contiguous(table[name]), pa.dictionary(pa.int32(), pa.string()) if dictionary else parse_type(kind))
        for name, kind, dictionary in read_columns(schema)
    ]
    return pa.table([column.values for column in columns], names=list(schema.feature_names))
