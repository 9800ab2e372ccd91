"""The columns that are read: the model's features, and those that are copied into the output."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_sklearn.contract.data import NULL_SPELLINGS
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.schema import read_columns
from airflow_sklearn.worker.data.parquet.file import NotParquetError, read_footer
from airflow_sklearn.worker.data.registry import ReadColumn
from airflow_sklearn.worker.data.types import canonical, with_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.jobs import PredictJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.plan import Piece
    from airflow_sklearn.contract.schema import Feature
    from airflow_sklearn.storage import Storage

_READ_TWICE = "\0output:"  # prefix of columns that are read twice: for the model and for the output


def columns_to_read(
    storage: Storage, job: PredictJob, manifest: ModelManifest
) -> tuple[list[tuple[str, str]], list[ReadColumn]]:
    """The columns to read, and which of them are copied into the output.

    A feature that is also copied is read twice: as the model needs it, and unchanged.

    :param storage: where the source is.
    :param job: the job.
    :param manifest: the model's manifest.
    :return: the output's columns, the key's first, as pairs of the name read and the name in the output; and all
        columns to read.
    :raises UserError: a column's type is unknown.
    """
    schema, policies = manifest.feature_schema, job.spec.policies
    required = policies.missing_columns == "error"
    nulls = {feature.name: _null_spellings(feature) for feature in schema.features}
    unused = {feature.name for feature in schema.features if feature.is_unused}
    read = [
        ReadColumn(name, pa.string(), required=False, unused=True)
        if name in unused
        else ReadColumn(name, parse_type(kind), dictionary=dictionary, required=required, null_spellings=nulls[name])
        for name, kind, dictionary in read_columns(schema)
    ]
    features = frozenset(schema.feature_names)
    declared = {**manifest.source.files.types, **job.spec.source.types}
    output_columns = []
    for name, kind in _types_of_output_columns(storage, job, manifest).items():
        read_name = _READ_TWICE + name if name in features else name
        output_columns.append((read_name, name))
        guessed = name not in declared  # a type that the user declared is meant
        read.append(
            ReadColumn(read_name, kind, is_output=True, keep_spelling=guessed, null_spellings=("",), source_name=name)
        )
    return output_columns, read


def output_name(read_name: str) -> str:
    """The name in the output of a column that is read under ``read_name``."""
    return read_name.removeprefix(_READ_TWICE)


def _null_spellings(feature: Feature) -> tuple[str, ...]:
    """The texts that are null in a feature, without those that training had as values, such as ``NA`` from Parquet."""
    levels = frozenset(feature.levels or ())
    if feature.null_count:  # some rows have an empty text and others nothing: CSV does not tell them apart
        levels -= {""}
    return tuple(spelling for spelling in NULL_SPELLINGS if spelling not in levels)


def _types_of_output_columns(storage: Storage, job: PredictJob, manifest: ModelManifest) -> dict[str, pa.DataType]:
    """The keys and passthrough columns, in order, with the types of training, or those that the source declares.

    Whole numbers and times get the widest type, for files with wider types. A column that training did not have, or of
    a nested type, gets its type from the chunk's first file; in CSV it stays text.
    """
    recorded = {column.name: column.arrow_type for column in manifest.columns} | job.spec.source.types
    keys = manifest.feature_schema.primary_key
    recorded |= {column.name: column.arrow_type for column in keys if column.arrow_type}
    names = [*(column.name for column in manifest.feature_schema.primary_key), *job.spec.passthrough]
    types: dict[str, pa.DataType] = {}
    for name in names:
        with contextlib.suppress(UserError):  # nested
            types |= {name: parse_type(recorded[name])} if name in recorded else {}
    if set(names) - set(types) and job.spec.source.file_format == "parquet":
        types = _types_of_first_file(storage, job.chunk.pieces) | types
    return {name: with_room(types.get(name, pa.string())) for name in names}


def _types_of_first_file(storage: Storage, pieces: Sequence[Piece]) -> dict[str, pa.DataType]:
    for piece in pieces:
        with contextlib.suppress(NotParquetError):  # reading it will say so
            return {field.name: canonical(field.type) for field in read_footer(storage, piece.object).schema}
    return {}
