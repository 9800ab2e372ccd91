"""Publishing a model's out-of-sample scores, which are always stored beside the model, into a folder or a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.datasets.base import ProvenRows
from airflow_sklearn.exceptions import DocumentError, UserError
from airflow_sklearn.runs.model_store import manifest_uri_of, version_folder
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.datasets.base import Attempt, Destination


def check_out_of_sample(attempt: Attempt, destination: Destination, cross_validation: int) -> None:
    """Find out before the model is fitted what would be refused after it, as far as it can be known.

    :raises UserError: there will be no scores, or they cannot go there; all faults are named.
    """
    faults = [] if cross_validation else ["cross_validation=0 makes no out-of-sample scores: give 2 or more folds"]
    if faults := [*faults, *destination.out_of_sample_faults(attempt)]:
        raise UserError("out_of_sample cannot be:\n" + "\n".join(f"  - {fault}" for fault in faults))


def publish_out_of_sample(
    attempt: Attempt, manifest: ModelManifest, destination: Destination, *, run: str, folder: str = ""
) -> str:
    """Publish once what cross-validation predicted for each training row.

    :param run: whose scores these are, where they are appended.
    :param folder: of the model's version; default: the one that the manifest says.
    :return: where they are now.
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
    rows = ProvenRows(
        files=scores.parts,
        rows=scores.rows,
        fingerprint=manifest.version,
        partition=destination.out_of_sample_partition(manifest.version, run),
        columns=destination.columns_of(scores.columns),
        key=tuple(column.name for column in manifest.feature_schema.primary_key),
        key_hash=scores.key_hash,
        proof_uri=manifest_uri_of(manifest.model, manifest.version),
    )
    if faults := destination.rows_faults(attempt, rows):
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise UserError(f"The out-of-sample scores cannot go into {destination.name}:\n{listed}")
    destination.publish(attempt, rows)
    return destination.place(rows.partition)
