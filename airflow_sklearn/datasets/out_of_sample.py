"""Publishing a model's out-of-sample scores, which always lie beside the model, into a folder or a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.exceptions import DocumentError, UserError
from airflow_sklearn.runs.model_store import version_folder
from airflow_sklearn.runs.verify import FileLoad, publish_files
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.contract.model import ModelManifest, OutOfSample
    from airflow_sklearn.contract.tables import OutputColumnSpec, OutputTable, RedshiftAccess
    from airflow_sklearn.datasets.redshift.database import Database
    from airflow_sklearn.storage import Storage


@dataclass(frozen=True)
class PublishedScores:
    """Where scores are now."""

    uri: str
    rows: int


def check_scores(
    destination: OutputFiles | OutputTable, cross_validation: int, database: Callable[[RedshiftAccess], Database]
) -> None:
    """Find out before the model is fitted what would be refused after it, as far as it can be known.

    :raises UserError: there will be no scores, or they cannot go there; all faults are named.
    """
    faults = [] if cross_validation else ["cross_validation=0 makes no out-of-sample scores: give 2 or more folds"]
    if isinstance(destination, OutputFiles):
        if destination.file_format != "parquet":
            faults.append(f"scores are Parquet files; {destination.uri} is to be {destination.file_format}")
    elif destination.if_exists == "fail":
        from airflow_sklearn.datasets.redshift.publish import destination_faults

        plain = destination.model_copy(update={"diststyle": None, "distkey": None, "sortkey": (), "column_types": {}})
        faults += destination_faults(database(destination.access), plain, (), ())
    if faults:
        raise UserError("out_of_sample cannot be:\n" + "\n".join(f"  - {fault}" for fault in faults))


def publish_scores(
    storage: Storage,
    manifest: ModelManifest,
    destination: OutputFiles | OutputTable,
    *,
    database: Callable[[RedshiftAccess], Database],
    run: str,
    published_by: str,
    attempt: str,
    folder: str = "",
) -> PublishedScores:
    """Publish once what cross-validation predicted for each training row.

    :param destination: a folder, which gets a partition ``version=...`` for each version of the model; or a table.
    :param database: opens a database.
    :param run: whose scores these are, where they are appended.
    :param published_by: the task, for people.
    :param attempt: a name of this attempt's own.
    :param folder: of the model's version; default: the one that the manifest says.
    :raises DocumentError: the manifest, which containers write, names files that are not the version's own.
    :raises UserError: there are no scores, or they cannot go there.
    :raises PublishError: the destination refuses them.
    """
    scores = manifest.out_of_sample
    if scores is None:
        raise UserError(
            f"The model {manifest.model} was trained without validation, so it has no out-of-sample scores. "
            "Set cross_validation to 2 or more, or leave out_of_sample away."
        )
    own = join(folder or version_folder(manifest.model, manifest.version), "out_of_sample", "")
    if elsewhere := [part.uri for part in scores.parts if not part.uri.startswith(own)]:
        raise DocumentError(
            f"{len(elsewhere)} of the files with out-of-sample scores are not in {own}, first {elsewhere[0]}: the "
            "manifest was changed, or copied from another place. Nothing is published. Fix: train again."
        )
    if isinstance(destination, OutputFiles):
        return _into_folder(storage, manifest, scores, destination)
    from airflow_sklearn.datasets.redshift.planning import whose_rows
    from airflow_sklearn.datasets.redshift.publish import TableLoad, destination_faults, publish_table

    columns, key = _table_columns(scores), tuple(column.name for column in manifest.feature_schema.primary_key)
    connection = database(destination.access)
    load = TableLoad(
        table=destination,
        columns=columns,
        key=key,
        files=scores.parts,
        rows=scores.rows,
        key_hash=scores.key_hash,
        fingerprint=manifest.version,
        run=whose_rows(destination, "", run),
        published_by=published_by,
        attempt=attempt,
    )
    faults = destination_faults(connection, destination, columns, key, run=load.run, fingerprint=load.fingerprint)
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise UserError(f"The out-of-sample scores cannot go into {destination.name}:\n{listed}")
    publish_table(connection, storage, load)
    return PublishedScores(destination.uri, scores.rows)


def _into_folder(
    storage: Storage, manifest: ModelManifest, scores: OutOfSample, destination: OutputFiles
) -> PublishedScores:
    partition = f"version={manifest.version}"
    proof = join(version_folder(manifest.model, manifest.version), "manifest.json")
    load = FileLoad(destination, partition, scores.parts, scores.rows, manifest.version, proof)
    publish_files(storage, load)
    return PublishedScores(join(destination.uri, partition, ""), scores.rows)


def _table_columns(scores: OutOfSample) -> tuple[OutputColumnSpec, ...]:
    """The scores are written in portable types: there is a column in Redshift for each."""
    from airflow_sklearn.datasets.redshift.types import output_column

    columns = [output_column(column.name, column.arrow_type) for column in scores.columns]
    return tuple(column for column in columns if column is not None)
