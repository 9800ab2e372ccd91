"""How long a worker's container takes from its start to the first predicted row, and where the time goes.

    make image
    python -m benchmarks.startup

Needs Docker. A small model is trained, and a small chunk predicted, in containers of the worker image on a mounted
folder. Beside it, in turns, runs a container of the same image that only imports scikit-learn, pandas and pyarrow: no
worker can be faster than that.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pyarrow.parquet as pq

from airflow_sklearn.contract.data import OutputFiles, SourceFiles
from airflow_sklearn.contract.jobs import PredictJob, TrainJob
from airflow_sklearn.contract.model import PresetEstimator
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.storage import Storage
from benchmarks.tables import make_table

IMAGE = "airflow-sklearn-worker:local"
AIM = 1.5  # seconds to the first row
PHASES = {
    "container": "Docker starts the container, and it Python",
    "documents": "the job's documents: pydantic and ours",
    "libraries": "scikit-learn, pandas, pyarrow",
    "model": "the job, the model, its versions, its parity sample",
    "first row": "the source is opened, read, checked, predicted",
    "end": "the rest of the rows, the receipt; the container is gone",
}
PROBE = Path(__file__).with_name("startup_probe.py")
ROWS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--image", default=IMAGE, help="the worker image (default: %(default)s)")
    parser.add_argument("--estimator", default="sparse_logistic", help="a preset (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=9, help="counted runs of each (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="airflow-sklearn-startup-") as folder:
        job = prepare(Path(folder), options.image, options.estimator)
        runs, bare = [], []
        for number in range(options.repeat + 1):  # the first of each only warms up
            phases, imports = measure(Path(folder), options.image, job), import_only(options.image)
            if number:
                runs.append(phases)
                bare.append(imports)
    report(runs, bare)


def report(runs: list[dict[str, float]], bare: list[float]) -> None:
    print(f"{ROWS:,} rows of Parquet on a mounted folder, {os.cpu_count()} cores, median of {len(runs)} runs\n")
    print(f"{'until':12}{'s':>7}{'+ s':>7}")
    before = 0.0
    for phase, meaning in PHASES.items():
        now = statistics.median(run[phase] for run in runs)
        print(f"{phase:12}{now:>7.2f}{now - before:>7.2f}  {meaning}")
        before = now
    imports, first = statistics.median(bare), statistics.median(run["first row"] for run in runs)
    whole = statistics.median(run["end"] / seconds for run, seconds in zip(runs, bare, strict=True))
    print(f'\ndocker run ... python -c "import sklearn, pandas, pyarrow": {imports:.2f} s')
    print(f"The whole job takes {whole:.2f} times as long; the first row is there after {first:.2f} s (aim: {AIM} s).")


def prepare(folder: Path, image: str, estimator: str) -> str:
    """Train a model in a container; the URI of a job that predicts with it."""
    storage, root = Storage(), f"file://{folder}"
    pq.write_table(make_table(ROWS), folder / "table.parquet")
    source = SourceFiles(uris=(f"{root}/table.parquet",), file_format="parquet")
    job = TrainJob(
        result_uri=f"{root}/train-result.json",
        model=f"{root}/model",
        version="1",
        estimator=PresetEstimator(name=estimator),
        target="y",
        primary_key=("key",),
        source=source,
        objects=storage.expand(source.uris),
        cross_validation=0,
    )
    storage.write(f"{root}/train.json", job.to_json())
    run(folder, image, f"{root}/train.json")
    plan, _ = make_plan(
        storage,
        model=f"{root}/model",
        source=source,
        destination=OutputFiles(uri=f"{root}/out", file_format="parquet"),
        partition="all",
        max_chunks=1,
    )
    predict = PredictJob(
        result_uri=f"{root}/result.json",
        spec=plan.spec,
        fingerprint=plan.fingerprint,
        ledger=plan.ledger,
        chunk=plan.chunks[0],
    )
    storage.write(f"{root}/predict.json", predict.to_json())
    return f"{root}/predict.json"


def measure(folder: Path, image: str, job_uri: str) -> dict[str, float]:
    """Seconds from ``docker run`` to the end of each phase."""
    job = PredictJob.from_json(Storage().read(job_uri))
    again = job.model_copy(update={"ledger": f"file://{folder}/ledgers/{uuid.uuid4()}"})  # nothing is done yet there
    Storage().write(job_uri, again.to_json())
    probe = ["--volume", f"{PROBE}:/probe.py:ro", "--entrypoint", "python"]
    started = time.monotonic()
    output = run(folder, image, "/probe.py", job_uri, options=probe)
    moments = {**json.loads(output.splitlines()[-1]), "end": time.monotonic()}
    assert Ledger(Storage(), again.ledger).read_receipt(again.chunk.id, again.fingerprint) is not None
    return {phase: moment - started for phase, moment in moments.items()}


def import_only(image: str) -> float:
    """Seconds of a container that does nothing else."""
    started = time.monotonic()
    docker("--entrypoint", "python", image, "-c", "import sklearn, pandas, pyarrow")
    return time.monotonic() - started


def run(folder: Path, image: str, *arguments: str, options: list[str] | None = None) -> str:
    """A container of the image, as the user who runs this, with the folder where it is here."""
    user = f"{os.getuid()}:{os.getgid()}"
    return docker("--user", user, "--volume", f"{folder}:{folder}", *(options or []), image, *arguments)


def docker(*arguments: str) -> str:
    """:raises RuntimeError: the container failed."""
    done = subprocess.run(["docker", "run", "--rm", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"docker run {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
