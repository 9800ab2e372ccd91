"""Documents of earlier versions of this package, as they were stored: this one reads them, and means the same by them.

``<version>/`` holds what that version wrote: each document, a model with its manifest, the triggers of deferred tasks.
A file is never changed, and never removed, once its version is released; a version that changes a document adds a
folder of its own, which ``python -m tests.golden.write`` writes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from airflow_sklearn import __version__
from airflow_sklearn.contract.attempt import AttemptEnd, AttemptStart
from airflow_sklearn.contract.document import Document
from airflow_sklearn.contract.explanation import ModelExplanation
from airflow_sklearn.contract.job_queue import JobEnd, Placement, QueueEntry, QueueInstance
from airflow_sklearn.contract.jobs import JobResult, PoolWorkerJob, PredictJob, RegisterJob, TrainJob, job_from_json
from airflow_sklearn.contract.metrics import ModelMetrics
from airflow_sklearn.contract.model import ModelManifest, ModelPointer, StoredParitySample
from airflow_sklearn.contract.plan import Chunk, Plan, PlanIndex, PlannedChunk
from airflow_sklearn.contract.proof import Proof, PublishedManifest, Publishing
from airflow_sklearn.contract.receipt import KeyHash, Receipt
from airflow_sklearn.contract.tables import Snapshot
from airflow_sklearn.runs.ledger import read_chunk, read_plan
from airflow_sklearn.runs.train_job import _version
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.job_document import read_job

DOCUMENTS: tuple[type[Document], ...] = (
    AttemptEnd,
    AttemptStart,
    JobEnd,
    JobResult,
    ModelExplanation,
    ModelManifest,
    ModelMetrics,
    ModelPointer,
    Placement,
    Plan,
    PlanIndex,
    PlannedChunk,
    PoolWorkerJob,
    PredictJob,
    Proof,
    PublishedManifest,
    Publishing,
    Receipt,
    QueueEntry,
    QueueInstance,
    RegisterJob,
    Snapshot,
    StoredParitySample,
    TrainJob,
)
_BEFORE_0_2_0 = set(DOCUMENTS) - {
    AttemptEnd,
    AttemptStart,
    ModelExplanation,
    ModelMetrics,
    PlanIndex,
    PlannedChunk,
    RegisterJob,
    StoredParitySample,
}
_OF_TABLES_POOLS_AND_EC2 = {JobEnd, Placement, PoolWorkerJob, Publishing, QueueEntry, QueueInstance, Snapshot}
#: The documents that earlier versions had. ``before-tables`` is a revision in which keys were hashed otherwise.
EARLIER: dict[str, set[type[Document]]] = {
    "0.1.0": _BEFORE_0_2_0,
    "0.1.0-before-tables": _BEFORE_0_2_0 - _OF_TABLES_POOLS_AND_EC2,
}
HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("*/*.json") if path.name != "triggers.json")
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "plan.json").exists())
NEWEST = HERE / __version__.partition(".dev")[0]


def document_class(path: Path) -> type[Document]:
    name = json.loads(path.read_bytes())["format"].rpartition("/")[0]
    return {cls.FORMAT: cls for cls in DOCUMENTS}[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_stored_document_is_read_with_all_that_it_says(path: Path) -> None:
    stored = json.loads(path.read_bytes())
    found = document_class(path).from_json(path.read_bytes(), where=path.name).model_dump(mode="json")
    assert kept(stored, found) == without_format(stored)


def kept(stored: object, found: object) -> object:
    """Of what was found, that which is stored: later versions add fields."""
    if isinstance(stored, dict) and isinstance(found, dict):
        return {key: kept(value, found.get(key)) for key, value in stored.items() if key != "format"}
    if isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        return [kept(*pair) for pair in zip(stored, found, strict=True)]
    return found


def without_format(stored: object) -> object:
    if isinstance(stored, dict):
        return {key: without_format(value) for key, value in stored.items() if key != "format"}
    return [without_format(value) for value in stored] if isinstance(stored, list) else stored


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_of_a_version_is_here(version: str) -> None:
    found = {document_class(path) for path in FILES if path.parent.name == version}
    assert found == EARLIER.get(version, set(DOCUMENTS))


def test_every_document_that_there_is_has_golden_files() -> None:
    assert {cls.FORMAT for cls in subclasses(Document) if "FORMAT" in vars(cls)} == {cls.FORMAT for cls in DOCUMENTS}


def subclasses(cls: type[Document]) -> list[type[Document]]:
    direct = [found for found in cls.__subclasses__() if found.__module__.startswith("airflow_sklearn.")]
    return direct + [deeper for found in direct for deeper in subclasses(found)]


@pytest.mark.parametrize("path", sorted(NEWEST.glob("*.json")), ids=lambda path: path.stem)
def test_a_document_of_this_version_is_written_as_it_is_stored(path: Path) -> None:
    """Fails when a field is added that is not ``Later``, or renamed, without a new version of the document."""
    cls = document_class(path)
    assert json.loads(path.read_bytes())["format"] == f"{cls.FORMAT}/{cls.VERSION}"
    assert cls.from_json(path.read_bytes(), where=path.name).to_json() == path.read_bytes()


@pytest.mark.parametrize("version", EARLIER)
def test_a_run_that_an_earlier_version_planned_is_finished_by_this_one(tmp_path: Path, version: str) -> None:
    """Its plan has no index, and its jobs no version of the package."""
    data, job_data = ((HERE / version / name).read_bytes() for name in ("plan.json", "predict-job.json"))
    storage, uri = Storage(), f"file://{tmp_path}/plans/{hashlib.sha256(data).hexdigest()[:32]}.json"
    storage.write(uri, data)
    assert read_plan(storage, uri) == Plan.from_json(data)
    job = job_from_json(job_data, where="x")
    assert isinstance(job, PredictJob)
    planned = read_chunk(storage, uri, job.chunk.id)
    assert planned == PlannedChunk(spec=job.spec, fingerprint=job.fingerprint, ledger=job.ledger, chunk=job.chunk)
    storage.write(f"file://{tmp_path}/job.json", job_data)
    assert read_job(storage, f"file://{tmp_path}/job.json", plan=uri) == job


def test_a_stored_training_has_the_version_that_it_had() -> None:
    """A version names what was trained: another name for the same training would fit it again."""
    job = TrainJob.from_json((HERE / "0.1.0" / "train-job.json").read_bytes())
    assert _version(job, "software", ["salt", 1]) == "6e6a19f1cb667811"  # as when jobs had their first version


def test_this_version_s_plan_is_pinned_with_its_chunks_by_its_index() -> None:
    plan = Plan.from_json((NEWEST / "plan.json").read_bytes())
    index = PlanIndex.from_json((NEWEST / "plan-index.json").read_bytes())
    assert index.plan == hashlib.sha256((NEWEST / "plan.json").read_bytes()).hexdigest()
    assert index.chunks == {chunk.id: PlannedChunk.of(plan, chunk).digest() for chunk in plan.chunks}


# Fields that were added before version 0.1.0 was released are part of each fingerprint.
@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "0.1.0-before-tables"])
def test_a_stored_plan_keeps_its_fingerprint_and_its_chunks(version: str) -> None:
    """A new field that is not used must not make another run of a stored one: its receipts would count no more."""
    plan = Plan.from_json((HERE / version / "plan.json").read_bytes())
    assert Plan.make_fingerprint(plan.spec, plan.objects) == plan.fingerprint
    assert [Chunk.make_id(chunk.pieces) for chunk in plan.chunks] == [chunk.id for chunk in plan.chunks]


@pytest.mark.parametrize("path", sorted(HERE.glob("*/*-job.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_stored_job_is_told_from_the_others(path: Path) -> None:
    assert f"airflow-sklearn/{path.stem}" == type(job_from_json(path.read_bytes(), where=path.name)).FORMAT


def test_keys_that_another_algorithm_has_hashed_are_not_added_up() -> None:
    before = Receipt.from_json((HERE / "0.1.0-before-tables" / "receipt.json").read_bytes())
    with pytest.raises(ValueError, match="pandas-hash64-sum"):
        KeyHash.total([before.key_hash])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stored_artifact_is_the_one_of_its_manifest(version: str) -> None:
    manifest = ModelManifest.from_json((HERE / version / "model-manifest.json").read_bytes())
    assert hashlib.sha256((HERE / version / "artifact.joblib").read_bytes()).hexdigest() == manifest.artifact.sha256


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stored_artifact_predicts_what_it_predicted(version: str) -> None:
    import joblib

    from airflow_sklearn.worker.parity import replay

    manifest = ModelManifest.from_json((HERE / version / "model-manifest.json").read_bytes())
    if (stored := HERE / version / "parity-sample.json").exists():
        sample = StoredParitySample.from_json(stored.read_bytes()).sample
        manifest = manifest.model_copy(update={"parity": sample})
    estimator = joblib.load(HERE / version / "artifact.joblib")
    assert replay(estimator, manifest, manifest.parity.outputs) < 1e-12


@pytest.mark.parametrize("version", ["0.1.0"])
def test_a_stored_trigger_is_made_again(version: str) -> None:
    pytest.importorskip("airflow.triggers.base")
    from airflow_sklearn import triggers

    for path, arguments in json.loads((HERE / version / "triggers.json").read_bytes()):
        module, _, name = path.rpartition(".")
        assert module == triggers.__name__
        again = getattr(triggers, name)(**arguments).serialize()
        assert (again[0], kept(arguments, again[1])) == (path, arguments)
