"""What a commit leaves behind: the proof of the run, and the manifest of the published folder."""

from __future__ import annotations

from airflow_sklearn.contract.document import Document
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.contract.receipt import KeyHash, OutputPart


class Proof(Document):
    """The receipts tile the source, counts and key hashes agree, and the destination holds what they say."""

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
    """Of all chunks, counts added up."""
    seconds_in_chunks: float = 0.0
    """Wall seconds summed over chunks."""


class PublishedManifest(Document):
    """``_manifest.json`` in a published folder: the files that are its content now, and nothing else."""

    FORMAT = "airflow-sklearn/published"

    fingerprint: str
    partition: str
    published_at: str
    """ISO 8601, UTC."""
    proof_uri: str
    rows: int
    files: tuple[OutputPart, ...]


class Publishing(Document):
    """``_publishing.json``: the lock that a publication holds on its folder, and the files it brings."""

    FORMAT = "airflow-sklearn/publishing"

    fingerprint: str
    owner: str
    """Of one attempt: two attempts of a run have locks that differ."""
    started_at: str
    """ISO 8601, UTC."""
    files: tuple[OutputPart, ...]
