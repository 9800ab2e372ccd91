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
    """Check before the model is fitted whether its out-of-sample scores can be published, as far as that is known.

    :param attempt: the attempt.
    :param destination: where the scores go.
    :param cross_validation: the number of folds.
    :raises UserError: there will be no scores, or they cannot be published there; the message lists all faults.
    """
    faults = [] if cross_validation else ["cross_validation=0 makes no out-of-sample scores: give 2 or more folds"]
    if faults := [*faults, *destination.out_of_sample_faults(attempt)]:
        raise UserError("out_of_sample cannot be:\n" + "\n".join(f"  - {fault}" for fault in faults))


def publish_out_of_sample(
    attempt: Attempt, manifest: ModelManifest, destination: Destination, *, run: str, folder: str = ""
) -> str:
    """Publish a model's out-of-sample scores, once.

    :param attempt: the attempt.
    :param manifest: the model's manifest.
    :param destination: where the scores go.
    :param run: the name of the rows if they are appended.
    :param folder: the folder of the model's version; empty: the one in the manifest.
    :return: the place of the scores.
    :raises DocumentError: the manifest, which containers write, names files outside of the version's folder.
    :raises UserError: there are no scores, or they cannot be published there.
    :raises PublishError: the destination refuses them.
    """
    scores = manifest.out_of_sample
    if scores is None:
        failed = [why for what, why in manifest.not_made.items() if what.startswith(("validation", "out-of-sample"))]
        if failed:
            raise UserError(
                f"The model {manifest.model} is fitted, but has no out-of-sample scores to publish, because its "
                f"validation failed: {failed[0]}"
            )
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
