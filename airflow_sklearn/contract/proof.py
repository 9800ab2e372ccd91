"""Documents of a commit: the proof of the run, and the manifest of the published folder."""

from __future__ import annotations

from typing import Annotated

from airflow_sklearn.contract.document import Document, Later, Value
from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.receipt import FeatureSketch, KeyHash, OutputPart


class Proof(Document):
    """The proof of a run: receipts cover the source exactly, counts and key hashes agree, and the destination matches
    them.
    """

    FORMAT = "airflow-sklearn/proof"

    plan_uri: str
    fingerprint: str
    model_manifest_uri: str
    destination: str
    partition: str
    objects: int
    source_bytes: int
    chunks: int
    rows_in: int
    rows_out: int
    rows_quarantined: int
    key_hash: KeyHash
    files: tuple[OutputPart, ...]
    quarantine: tuple[OutputPart, ...] = ()
    problems: tuple[Problem, ...] = ()
    """The problems of all chunks, with counts added up."""
    seconds_in_chunks: float = 0.0
    """Seconds of wall time, summed over chunks."""
    sketches: Annotated[dict[str, FeatureSketch], Later()] = {}
    """Of each feature in the whole run."""
    feature_counts: Annotated[dict[str, str], Later()] = {}
    """Rows by feature and bin; see ``Tally.feature_counts``."""
    score_counts: Annotated[dict[str, str], Later()] = {}
    """Rows by output column and bin; see ``Tally.score_counts``."""
    prediction_counts: Annotated[dict[str, int], Later()] = {}
    """The number of rows by label; see ``Tally.prediction_counts``."""


class Publication(Value):
    """One publication into a folder: an earlier one, or one that is about to be made."""

    fingerprint: str
    rows: int
    published_at: str
    """ISO 8601, UTC."""
    planned: Annotated[Planned, Later()] = Planned()

    def __str__(self) -> str:
        by = " by " if self.planned.task_id else ", " if self.planned.at else ""
        return f"{counted(self.rows, 'row')}, published at {self.published_at}{by}{self.planned}"


class PublishedManifest(Document):
    """``_manifest.json`` in a published folder: the files that are its content now."""

    FORMAT = "airflow-sklearn/published"

    fingerprint: str
    partition: str
    published_at: str
    """ISO 8601, UTC."""
    proof_uri: str
    rows: int
    files: tuple[OutputPart, ...]
    planned: Annotated[Planned, Later()] = Planned()
    """The newest run that published these rows."""
    replaced: Annotated[Publication | None, Later()] = None
    """The publication before this one."""
    earlier: Annotated[tuple[str, ...], Later()] = ()
    """Ids of publications whose files are no longer part of the folder. A file of theirs that shows up was written by
    a process that should have been dead, and is removed."""

    def publication(self) -> Publication:
        """The publication that made this content."""
        return Publication(
            fingerprint=self.fingerprint, rows=self.rows, published_at=self.published_at, planned=self.planned
        )


class Publishing(Document):
    """``_publishing.json``: the lock that a publication holds on its folder, and all files that it may have to
    remove.
    """

    FORMAT = "airflow-sklearn/publishing"

    fingerprint: str
    owner: str
    """Identifies the attempt: the locks of two attempts of a run differ."""
    started_at: str
    """ISO 8601, UTC."""
    files: tuple[OutputPart, ...]
    """The new files, the files that are replaced, and those of abandoned publications."""
    planned: Annotated[Planned, Later()] = Planned()
