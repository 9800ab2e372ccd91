"""A folder of files as a destination. Each partition is a folder below it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.datasets.base import Destination, Publication
from airflow_sklearn.datasets.publish_files import FileLoad, publish_files, replacement_faults
from airflow_sklearn.storage import join
from airflow_sklearn.storage.uris import pattern_regex, split_scheme

if TYPE_CHECKING:
    from airflow_sklearn.contract.data import OutputFiles, SourceFiles
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.datasets.base import Attempt, ProvenRows


class FileDestination(Destination):
    """A folder into which partitions are published."""

    document: OutputFiles

    def partition(self, given: str, run_id: str) -> str:
        """See ``Destination.partition``: a folder's name, by default made of the run's id."""
        return given.strip("/") or path_safe(run_id)

    def place(self, partition: str) -> str:
        """See ``Destination.place``: the partition's folder."""
        return join(self.document.uri, partition, "")

    def request_faults(self, partition: str, ledger: str | None) -> list[str]:
        """See ``Destination.request_faults``."""
        faults = _partition_faults(partition)
        if ledger and split_scheme(ledger)[0] != split_scheme(self.document.uri)[0]:
            faults.append(f"the ledger {ledger} is in another kind of storage than the destination {self.document.uri}")
        return faults

    def overlap_faults(self, source: SourceFiles, partition: str) -> list[str]:
        """See ``Destination.overlap_faults``. Neither folder may contain the other one's files."""
        destination = self.document
        root = join(destination.uri, "")
        published = join(destination.uri, partition, f"part-00000-{'0' * 16}.{destination.file_format}")
        faults = []
        for uri in source.uris:
            if uri.startswith(root):
                faults.append(f"the source {uri} lies below the destination {destination.uri}")
            elif published.startswith(uri) if uri.endswith("/") else pattern_regex(uri).fullmatch(published):
                faults.append(
                    f"the destination {destination.uri} lies below the source {uri}: the next run would read this "
                    "run's predictions. Write elsewhere, or name the source more narrowly"
                )
        return faults

    def replacement_faults(self, attempt: Attempt, plan: Plan) -> list[str]:
        """See ``Destination.replacement_faults``."""
        load = FileLoad(self.document, plan.partition, (), 0, plan.fingerprint, "", plan.planned)
        return replacement_faults(attempt.storage, load)

    def publish(self, attempt: Attempt, rows: ProvenRows) -> Publication:
        """See ``Destination.publish`` and ``publish_files``."""
        load = FileLoad(
            destination=self.document,
            partition=rows.partition,
            files=rows.files,
            rows=rows.rows,
            fingerprint=rows.fingerprint,
            proof_uri=rows.proof_uri,
            planned=rows.planned,
            replace_newer=rows.replace_newer,
        )
        manifest, published = publish_files(attempt.storage, load)
        return Publication(manifest.rows, published, manifest.proof_uri)

    def out_of_sample_faults(self, attempt: Attempt) -> list[str]:
        """See ``Destination.out_of_sample_faults``. Scores are Parquet files."""
        destination = self.document
        if destination.file_format == "parquet":
            return []
        return [f"scores are Parquet files; {destination.uri} is to be {destination.file_format}"]


def path_safe(run_id: str) -> str:
    """A run's id as a folder's name. A digest distinguishes ids that differ only in characters that are not allowed."""
    safe = re.sub(r"[^A-Za-z0-9=.-]+", "-", run_id).strip("-.")
    return f"run={safe}-{content_id(run_id, 6)}"


def _partition_faults(partition: str) -> list[str]:
    parts = partition.split("/")
    if not partition:
        return ["the partition is empty: give one, such as 'date={{ ds }}'"]
    if any(not part or part.startswith((".", "_")) or re.search(r"[\x00-\x1f\x7f\\*?\[\]]", part) for part in parts):
        return [
            f"the partition {partition!r} is not a safe path: no part may be empty, start with '.' or '_', "
            "or hold \\ * ? [ ]"
        ]
    return []
