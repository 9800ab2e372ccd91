"""What the chunks of a run read of its plan: each only its own document, not all of them the whole plan.

    python -m benchmarks.plan_bytes                           # 10,000 files in 256 chunks
    python -m benchmarks.plan_bytes --files 1000 --chunks 64

Stores one plan in both ways, as version 0.1 did (whole) and with its index and a document per chunk, and reads chunks
as a mapped task does: once to submit the job and once to finish. Every read is counted. Of the whole plan each chunk
reads the same, so that a few chunks are measured there. Ends with an error if the chunks together read more than a
tenth of what they read of a whole plan.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence

from airflow_sklearn.contract.data import OutputFiles, SourceFiles, SourceObject
from airflow_sklearn.contract.plan import Plan, PredictionSpec
from airflow_sklearn.contract.schema import Column, OutputColumn, Policies
from airflow_sklearn.runs.chunking import make_chunks
from airflow_sklearn.runs.ledger import Ledger, read_chunk
from airflow_sklearn.storage import Storage

_READS_A_TASK = 2
_LEAST_RATIO = 10


class CountingStorage(Storage):
    """Counts the bytes that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def read(self, uri: str, *, etag: str | None = None) -> bytes:
        data = super().read(uri, etag=etag)
        self.bytes += len(data)
        return data


def make_plan(ledger: str, files: int, chunks: int) -> Plan:
    """The plan of a run over Parquet files of 6.4 MB in S3."""
    source = SourceFiles(uris=("s3://acme/customers/2026-01-01/",), file_format="parquet")
    objects = tuple(
        SourceObject(
            uri=f"s3://acme/customers/2026-01-01/part-{number:05d}-c000.snappy.parquet",
            etag=hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest(),
            size=6_400_000,
        )
        for number in range(files)
    )
    outputs = (OutputColumn(name="churned_proba_yes", arrow_type="double", method="predict_proba", index=1),)
    spec = PredictionSpec(
        model_manifest_uri="s3://acme/models/churn/versions/0123456789abcdef/manifest.json",
        model_manifest_sha256="0" * 64,
        method="predict_proba",
        outputs=outputs,
        primary_key=(Column(name="customer_id", arrow_type="int64"),),
        source=source,
        batch_rows=16384,
        policies=Policies(),
    )
    return Plan(
        spec=spec,
        objects=objects,
        chunks=make_chunks(Storage(), source, objects, chunk_size=1, max_chunks=chunks),
        fingerprint=Plan.make_fingerprint(spec, objects),
        ledger=ledger,
        destination=OutputFiles(uri="s3://acme/scores"),
        partition="date=2026-01-01",
    )


def measure(uri: str, chunk_ids: Sequence[str]) -> tuple[float, float]:
    """Bytes and seconds that one chunk takes on average."""
    storage, started = CountingStorage(), time.perf_counter()
    for chunk_id in chunk_ids:
        for _ in range(_READS_A_TASK):
            if read_chunk(storage, uri, chunk_id) is None:
                raise SystemExit(f"{uri} has no chunk {chunk_id}")
    return storage.bytes / len(chunk_ids), (time.perf_counter() - started) / len(chunk_ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--chunks", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(f"file://{folder}", options.files, options.chunks)
        ids = [chunk.id for chunk in plan.chunks]
        whole = f"{plan.ledger}/whole/{plan.digest()}.json"
        Storage().write(whole, plan.to_json())
        started = time.perf_counter()
        indexed = Ledger(Storage(), plan.ledger).write_plan(plan)
        writing = time.perf_counter() - started
        before, seconds_before = measure(whole, ids[:4])
        after, seconds_after = measure(indexed, ids)
    print(f"{len(plan.objects):,} files in {len(ids):,} chunks; a plan of {len(plan.to_json()) / 1e6:.2f} MB")
    print(f"{'':24}{'a chunk':>14}{'all chunks':>14}{'seconds a chunk':>18}")
    for name, count, seconds in (("the whole plan", before, seconds_before), ("a chunk's own", after, seconds_after)):
        print(f"{name:24}{count / 1e3:>11,.1f} kB{count * len(ids) / 1e6:>11,.1f} MB{seconds:>18.4f}")
    print(f"ratio: {before / after:,.0f} times fewer bytes; stored in {writing:.2f} s")
    if before < _LEAST_RATIO * after:
        sys.exit(f"Each chunk reads more than 1/{_LEAST_RATIO} of what it read of the whole plan.")


if __name__ == "__main__":
    main()
