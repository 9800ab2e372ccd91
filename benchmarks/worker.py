"""How fast one prediction worker is beside the naive pandas loop, and that its memory does not grow with its chunk.

    python -m benchmarks.worker            # speed: rows a second as ratios in one run, then memory for 1x, 4x, 16x rows
    python -m benchmarks.worker --rows 300000 --repeat 1

Both sides are whole processes, start-up included, and use the same fitted model on the same files. The naive loop reads
in chunks of 100,000 rows, calls ``predict_proba`` and appends with ``to_csv``. A worker's memory is that of all its
processes, shared pages counted once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from airflow_sklearn.contract.data import OutputFiles, SourceFiles
from airflow_sklearn.contract.jobs import PredictJob, TrainJob
from airflow_sklearn.contract.model import FactoryEstimator, PresetEstimator
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.storage import Storage
from benchmarks.tables import write_table

MODELS = {
    "preset": PresetEstimator(name="sparse_logistic"),
    "pipeline": FactoryEstimator(path="benchmarks.models:one_hot_logistic"),
}
TRAIN_ROWS = 50_000
MEMORY_SIZES = (1, 4, 16)
_MEMORY_ROWS = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows to predict (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="counted runs of each (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(".benchmarks"), help="where tables are kept")
    options = parser.parse_args()
    folder = options.folder.resolve()
    models = {name: train(folder, name) for name in MODELS}
    print(f"{options.rows:,} rows, {os.cpu_count()} cores, median of {options.repeat} runs in turn, whole processes")
    print(f"{'model':10}{'files':10}{'naive loop':>16}{'worker':>16}{'ratio':>8}{'naive MB':>10}{'worker MB':>11}")
    for name, manifest in models.items():
        for kind in ("csv", "parquet"):
            speed(folder, name, manifest, kind, options.rows, options.repeat)
    print("\nPeak memory of a worker with one process, MB")
    print(f"{'model':10}{'files':10}" + "".join(f"{f'{size}x':>9}" for size in MEMORY_SIZES) + f"{'16x / 1x':>10}")
    for kind in ("csv", "parquet"):
        memory(folder, "preset", models["preset"], kind)


def train(folder: Path, name: str) -> str:
    """Fit a model on 50,000 rows; its manifest's URI."""
    storage = Storage()
    source = _source(write_table(folder, "train", TRAIN_ROWS, "parquet"))
    job = TrainJob(
        result_uri=f"file://{folder}/{name}.train-result.json",
        model=f"file://{folder}/model-{name}",
        version=str(time.time_ns()),
        estimator=MODELS[name],
        target="y",
        primary_key=("key",),
        source=source,
        objects=storage.expand(source.uris),
        cross_validation=0,
    )
    storage.write(f"file://{folder}/{name}.train.json", job.to_json())
    _run([sys.executable, "-m", "airflow_sklearn.worker", f"file://{folder}/{name}.train.json"])
    return f"{job.model}/versions/{job.version}/manifest.json"


def speed(folder: Path, name: str, manifest: str, kind: str, rows: int, repeat: int) -> None:
    path = write_table(folder, "predict", rows, kind)
    naive, worker, ratios, naive_memory, worker_memory = [], [], [], 0, 0
    for _ in range(repeat):
        started = time.perf_counter()
        naive_memory = max(naive_memory, _run([sys.executable, "-m", "benchmarks.naive", manifest, str(path)]))
        naive.append(rows / (time.perf_counter() - started))
        seconds, receipt, _ = predict(folder, manifest, path)
        worker.append(rows / seconds)
        worker_memory = max(worker_memory, receipt.peak_memory_bytes)
        ratios.append(worker[-1] / naive[-1])
    print(
        f"{name:10}{kind:10}{statistics.median(naive):>10,.0f} row/s{statistics.median(worker):>10,.0f} row/s"
        f"{statistics.median(ratios):>8.2f}{naive_memory / 1e6:>10,.0f}{worker_memory / 1e6:>11,.0f}",
        flush=True,
    )


def memory(folder: Path, name: str, manifest: str, kind: str) -> None:
    """Of one process, whose high-water mark the kernel keeps; that of several is only sampled."""
    os.environ["AIRFLOW_SKLEARN_PROCESSES"] = "1"
    peaks = []
    for size in MEMORY_SIZES:
        _, _, peak = predict(folder, manifest, write_table(folder, "predict", _MEMORY_ROWS * size, kind))
        peaks.append(peak / 1e6)
    print(
        f"{name:10}{kind:10}" + "".join(f"{peak:>9,.0f}" for peak in peaks) + f"{peaks[-1] / peaks[0]:>10.2f}",
        flush=True,
    )


def predict(folder: Path, manifest: str, path: Path) -> tuple[float, Receipt, int]:
    """Predict a file as one chunk; seconds of the whole process, what it did, and its first process's peak memory."""
    storage = Storage()
    kind = "csv" if path.suffix == ".csv" else "parquet"
    plan, _ = make_plan(
        storage,
        model=manifest,
        source=_source(path),
        destination=OutputFiles(uri=f"file://{folder}/out-{time.time_ns()}", file_format=kind),
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
    started = time.perf_counter()
    peak = _run([sys.executable, "-m", "airflow_sklearn.worker", ledger.job_uri(chunk.id, "1")])
    seconds = time.perf_counter() - started
    receipt = ledger.read_receipt(chunk.id, plan.fingerprint)
    assert receipt is not None
    storage.delete(part.uri for part in receipt.parts)
    return seconds, receipt, peak


def _source(path: Path) -> SourceFiles:
    return SourceFiles(uris=(f"file://{path}",), file_format="csv" if path.suffix == ".csv" else "parquet")


def _run(command: list[str]) -> int:
    """Run a command; its peak resident memory in bytes.

    :raises RuntimeError: it failed; with what it printed.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output}")
    return usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
