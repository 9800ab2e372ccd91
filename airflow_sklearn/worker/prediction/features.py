"""Reading the features of a chunk as prediction does, without predicting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.worker.data.registry import read_piece
from airflow_sklearn.worker.prediction.output_columns import columns_to_read
from airflow_sklearn.worker.prediction.schema_validator import SchemaValidator

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import PredictJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.storage import Storage


def read_features(storage: Storage, job: PredictJob, manifest: ModelManifest) -> pa.Table:
    """The features of all rows of a chunk that can be read, in the types in which the model gets them.

    :param storage: where the source is.
    :param job: the chunk's job.
    :param manifest: the model's manifest.
    :return: shape (rows, features). Rows that are set aside are not in it.
    :raises DataError: a file cannot be read; the error carries all problems.
    """
    schema, problems = manifest.feature_schema, ProblemCollector()
    names, (_, columns) = list(schema.feature_names), columns_to_read(storage, job, manifest)
    wanted = [column for column in columns if column.name in schema.feature_names]
    validator, blocks = SchemaValidator(schema.model_copy(update={"primary_key": ()}), problems), list[pa.Table]()
    for piece in job.chunk.pieces:
        reader = read_piece(
            storage,
            job.spec.source,
            piece,
            wanted,
            wrong_types=job.spec.policies.wrong_types,
            problems=problems,
            on_rejected=lambda rows: None,
        )
        blocks += [validator.check(table, piece.object.uri).select(names) for table in reader]
    if not blocks:
        return pa.table({column.name: pa.nulls(0, column.output_type) for column in wanted}).select(names)
    return pa.concat_tables(blocks).unify_dictionaries().combine_chunks()
