"""What share of a chunk's time counting rows on training's bins takes.

    python -m benchmarks.bin_counts
    python -m benchmarks.bin_counts --rows 300000 --repeat 1

Each run predicts one chunk in a process of its own, with one predicting process. All seconds are of the processor, and
are measured in that process: ``chunk`` is all that it did, ``work`` is that without its start (imports). The clock runs
around each call that counts; looking for unseen levels is a part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.jobs import PredictJob, TrainJob
from airflow_sklearn.contract.model import PresetEstimator
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.prediction.bin_counts import EdgeCounts, LevelCounts
from airflow_sklearn.worker.run import run_job
from benchmarks.tables import write_table
from benchmarks.worker import TRAIN_ROWS, _source

MODELS = ("sparse_logistic", "hist_gradient_boosting_classifier")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=170_000, help="64 MB of CSV, a usual chunk (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, in turn (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(".benchmarks"), help="where tables are kept")
    parser.add_argument("--probe", nargs=2, metavar=("MANIFEST", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["AIRFLOW_SKLEARN_PROCESSES"] = "1"
    storage, folder = Storage(), options.folder.resolve()
    if options.probe:
        return probe(storage, folder, *options.probe)
    models = {name: train(storage, folder, name) for name in MODELS}
    cases = [(name, kind) for name in MODELS for kind in ("csv", "parquet")]
    found: dict[tuple[str, str], list[list[float]]] = {case: [] for case in cases}
    for _ in range(options.repeat):
        for name, kind in cases:
            path = write_table(folder, "predict", options.rows, kind)
            command = [sys.executable, "-m", "benchmarks.bin_counts", "--folder", str(folder)]
            out = subprocess.run([*command, "--probe", models[name], str(path)], check=True, capture_output=True)
            found[name, kind].append(json.loads(out.stdout.splitlines()[-1]))
    print(f"{options.rows:,} rows, 26 numbers, 4 categories; median of {options.repeat} runs in turn")
    print(f"{'model':36}{'files':10}{'counting':>12}{'work':>10}{'of work':>9}{'of chunk':>10}")
    for (name, kind), runs in found.items():
        counting, work, _ = (statistics.median(values) for values in zip(*runs, strict=True))
        of_work = statistics.median(a / b for a, b, _ in runs)
        of_chunk = statistics.median(a / c for a, _, c in runs)
        print(f"{name:36}{kind:10}{counting * 1e3:>9.0f} ms{work:>8.2f} s{of_work:>9.1%}{of_chunk:>10.1%}")
    return None


def probe(storage: Storage, folder: Path, manifest: str, path: str) -> None:
    """Predict a file as one chunk. Prints the seconds of counting, of the work, and of this process."""
    clock, started = Clock(), time.process_time()
    predict(storage, folder, manifest, Path(path))
    print(json.dumps([clock.seconds, time.process_time() - started, time.process_time()]))


class Clock:
    """Sums the seconds of all calls that count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for cls in (EdgeCounts, LevelCounts):
            cls.add = self._timed(cls.add)  # type: ignore[method-assign]

    def _timed(self, add: Callable[..., Any]) -> Any:
        def timed(counts: Any, values: Any) -> Any:
            started = time.thread_time()
            try:
                return add(counts, values)
            finally:
                self.seconds += time.thread_time() - started

        return timed


def train(storage: Storage, folder: Path, name: str) -> str:
    """Fit a preset; its manifest's URI."""
    source = _source(write_table(folder, "train", TRAIN_ROWS, "parquet"))
    job = TrainJob(
        result_uri=f"file://{folder}/{name}.train-result.json",
        model=f"file://{folder}/model-{name}",
        version=str(time.time_ns()),
        estimator=PresetEstimator(name=name),
        target="y",
        primary_key=("key",),
        source=source,
        objects=storage.expand(source.uris),
        cross_validation=0,
    )
    storage.write(f"file://{folder}/{name}.train.json", job.to_json())
    if run_job(f"file://{folder}/{name}.train.json", storage):
        raise RuntimeError(f"{name} could not be trained")
    return f"{job.model}/versions/{job.version}/manifest.json"


def predict(storage: Storage, folder: Path, manifest: str, path: Path) -> None:
    """Predict a file as one chunk."""
    plan, _ = make_plan(
        storage,
        model=manifest,
        source=_source(path),
        destination=OutputFiles(uri=f"file://{folder}/out-{time.time_ns()}", file_format="parquet"),
        partition="all",
        max_chunks=1,
    )
    ledger, chunk = Ledger(storage, plan.ledger), plan.chunks[0]
    job = PredictJob(
        result_uri=ledger.result_uri(chunk.id, "1"),
        spec=plan.spec,
        fingerprint=plan.fingerprint,
        ledger=plan.ledger,
        chunk=chunk,
    )
    storage.write(ledger.job_uri(chunk.id, "1"), job.to_json())
    run_job(ledger.job_uri(chunk.id, "1"), storage)
    receipt = ledger.read_receipt(chunk.id, plan.fingerprint)
    assert receipt is not None
    storage.delete(part.uri for part in receipt.parts)


if __name__ == "__main__":
    main()
