from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Self

import pytest
from pydantic import Field, model_validator

import airflow_sklearn.contract
from airflow_sklearn import __version__
from airflow_sklearn.contract.data import SourceFiles, SourceObject
from airflow_sklearn.contract.document import UPGRADES, Document, Later, Value, upgrades
from airflow_sklearn.contract.jobs import JobResult, PredictJob, TrainJob, job_from_json
from airflow_sklearn.contract.model import FactoryEstimator, PickledEstimator, PresetEstimator
from airflow_sklearn.contract.plan import Chunk, Piece
from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.exceptions import DataError, DocumentError


def train_job(**changes: object) -> TrainJob:
    fields = {
        "result_uri": "file:///r.json",
        "model": "file:///m",
        "version": "v1",
        "estimator": PresetEstimator(name="sparse_logistic", params={"C": 0.1}),
        "target": "y",
        "source": SourceFiles(uris=("file:///x.csv",), file_format="csv"),
        "objects": (SourceObject(uri="file:///x.csv", etag="e", size=3),),
    }
    return TrainJob(**{**fields, **changes})


def test_a_document_survives_json_and_keeps_its_digest() -> None:
    job = train_job()
    again = job_from_json(job.to_json(), where="x")
    assert again == job
    assert again.digest() == job.digest()


def test_equal_documents_have_equal_bytes_whatever_the_order_of_fields() -> None:
    job = train_job()
    shuffled = dict(reversed(list(job.model_dump(mode="json").items())))
    assert TrainJob.model_validate(shuffled).to_json() == job.to_json()


class Old(Value):
    a: int = 1


class New(Value):
    a: int = 1
    b: Annotated[str, Later()] = "."
    c: Annotated[tuple[int, ...], Later(), Field(max_length=3)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        return self


class Around(Value):
    new: New = New()
    many: tuple[New, ...] = (New(),)


def test_later_fields_are_written_only_where_they_are_used() -> None:
    assert New().model_dump(mode="json") == Old().model_dump(mode="json") == {"a": 1}
    assert New(b=",", c=(1,)).model_dump(mode="json") == {"a": 1, "b": ",", "c": [1]}
    assert Around().model_dump(mode="json") == {"new": {"a": 1}, "many": [{"a": 1}]}
    assert Around.model_validate_json(Around(new=New(b=",")).model_dump_json()) == Around(new=New(b=","))


def test_the_schema_of_a_document_with_later_fields_is_that_of_its_fields() -> None:
    schema = Around.model_json_schema(mode="serialization")["$defs"]["New"]
    assert set(schema["properties"]) == {"a", "b", "c"}
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "spec",
    [
        PresetEstimator(name="sparse_logistic"),
        FactoryEstimator(path="a.b:c", params={"x": [1, None]}),
        PickledEstimator(uri="file:///e.pkl", sha256="0" * 64),
    ],
)
def test_each_kind_of_estimator_is_told_from_the_others(spec: object) -> None:
    assert job_from_json(train_job(estimator=spec).to_json(), where="x").estimator == spec


def test_a_newer_format_says_which_side_to_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    data = JobResult(status="succeeded").to_json().replace(b"job-result/1", b"job-result/2")
    monkeypatch.setitem(sys.modules, "airflow", ModuleType("airflow"))
    with pytest.raises(DocumentError, match=r"s3://b/r\.json .* newer than .* Upgrade .* where Airflow runs"):
        JobResult.from_json(data, where="s3://b/r.json")
    monkeypatch.delitem(sys.modules, "airflow")
    with pytest.raises(DocumentError, match="Upgrade airflow-sklearn in the worker image"):
        JobResult.from_json(data, where="s3://b/r.json")


# --- Versions of a document ---


class Price(Document):
    """A document in its third version; the first two had other names for what it says."""

    FORMAT = "airflow-sklearn/test-price"
    VERSION = 3

    cents: int
    currency: str


class Offer(Value):
    price: Price


@upgrades(Price.FORMAT, 1)
def _rename_amount(stored: dict[str, Any]) -> dict[str, Any]:
    return {"euros" if name == "amount" else name: value for name, value in stored.items()}


@upgrades(Price.FORMAT, 2)
def _count_cents(stored: dict[str, Any]) -> dict[str, Any]:
    return {"cents": stored.pop("euros") * 100, "currency": "EUR", **stored}


@pytest.mark.parametrize(
    "stored",
    [
        {"format": "airflow-sklearn/test-price/1", "amount": 5},
        {"format": "airflow-sklearn/test-price/2", "euros": 5},
        {"format": "airflow-sklearn/test-price/3", "cents": 500, "currency": "EUR"},
    ],
    ids=lambda stored: stored["format"],
)
def test_a_document_of_each_earlier_version_is_upgraded_step_by_step(stored: dict[str, Any]) -> None:
    before = dict(stored)
    assert Price.from_json(json.dumps(stored).encode()) == Price(cents=500, currency="EUR")
    assert Offer.model_validate({"price": stored}).price.format == "airflow-sklearn/test-price/3"
    assert stored == before


@pytest.mark.parametrize("found", ["airflow-sklearn/test-price/4", "airflow-sklearn/test-price/0", "a/3", "3", 3])
def test_a_document_of_no_version_that_is_known_is_refused_also_inside_another_one(found: object) -> None:
    stored = {"format": found, "cents": 500, "currency": "EUR"}
    with pytest.raises(DocumentError, match="has the format"):
        Price.from_json(json.dumps(stored).encode())
    with pytest.raises(ValueError, match="has the format"):
        Offer.model_validate({"price": stored})


def test_each_version_of_a_document_has_a_step_to_the_next() -> None:
    classes, found = [Document], []
    while classes:
        found.append(cls := classes.pop())
        classes += cls.__subclasses__()
    for cls in found:
        if "FORMAT" in vars(cls):
            assert {(cls.FORMAT, version) for version in range(1, cls.VERSION)} <= set(UPGRADES), cls


def test_a_job_says_which_version_of_the_package_wrote_it() -> None:
    stored = json.loads(train_job().to_json())
    assert (stored["format"], stored["written_by"]) == ("airflow-sklearn/train-job/2", __version__)
    del stored["written_by"]
    before = job_from_json(json.dumps(stored | {"format": "airflow-sklearn/train-job/1"}).encode(), where="x")
    assert before == train_job(written_by="")


def test_another_document_is_refused() -> None:
    with pytest.raises(DocumentError, match="'airflow-sklearn/job-result/1' was expected"):
        JobResult.from_json(train_job().to_json(), where="x")


def test_truncated_json_is_named_as_such() -> None:
    with pytest.raises(DocumentError, match=r"is not JSON .* truncated"):
        JobResult.from_json(JobResult(status="succeeded").to_json()[:-5], where="x")


def test_an_unknown_field_is_refused() -> None:
    data = json.loads(train_job().to_json()) | {"taget": "y"}
    with pytest.raises(DocumentError, match="taget"):
        job_from_json(json.dumps(data).encode(), where="x")


def test_a_job_without_kind_is_no_prediction() -> None:
    with pytest.raises(DocumentError):
        job_from_json(b"[]", where="x")
    assert "kind" in PredictJob.model_fields


def test_a_chunk_id_says_what_it_covers_and_not_where_it_stands() -> None:
    first = SourceObject(uri="file:///a", etag="1", size=10)
    piece = Piece(object=first, start=0, end=10)
    changed = Piece(object=first.model_copy(update={"etag": "2"}), start=0, end=10)
    assert Chunk.make_id((piece,)) == Chunk.make_id((piece,))
    assert len({Chunk.make_id((p,)) for p in (piece, changed, piece.model_copy(update={"end": 9}))}) == 3


def test_a_data_error_lists_every_problem() -> None:
    problems = [
        Problem(
            kind="wrong_type",
            message="no number",
            column="age",
            file="a.csv",
            count=3,
            examples=("'x'",),
            fix="mend it",
        ),
        Problem(kind="missing_column", message="is absent", column="income"),
    ]
    text = str(DataError("The chunk cannot be predicted:", problems))
    assert "1. wrong_type: column 'age': no number\n       Where: a.csv\n       How many: 3\n" in text
    assert "For example: 'x'\n       Fix: mend it\n" in text
    assert "column 'income'" in text


def test_the_contract_imports_only_the_standard_library_and_pydantic() -> None:
    folder = Path(airflow_sklearn.contract.__file__).parent
    for path in [*folder.glob("*.py"), folder.parent / "exceptions.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                top = name.partition(".")[0]
                allowed = top in sys.stdlib_module_names or top == "pydantic" or name.startswith("airflow_sklearn")
                assert allowed, f"{path.name} imports {name}"


def test_the_container_side_does_not_import_airflow() -> None:
    code = (
        "import sys, airflow_sklearn.worker.prediction.predict, airflow_sklearn.worker.training.train;"
        "import airflow_sklearn.worker.__main__;"
        "print([m for m in sys.modules if m == 'airflow' or m.startswith('airflow.')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [0, -1, 0.0, 1e300, float("nan")])
def test_a_deadline_that_no_timer_takes_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="deadline_seconds"):
        train_job(deadline_seconds=value)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"kind":' * 100_000,
        b'{"kind": [], "format": "airflow-sklearn/train-job/1"}',
        b'{"kind": {"a": 1}}',
        b'{"format": "airflow-sklearn/train-job/\xc2\xb2"}',
        b'{"format": "airflow-sklearn/train-job/' + b"9" * 5000 + b'"}',
        b'{"kind": "predict", "format": 7}',
        b'"predict"',
        b"7",
        b"null",
        b"\xff\xfe",
        b"",
        b'{"format": "airflow-sklearn/train-job/1", "search": {"runtime": ' + b'{"a":' * 900 + b"1" + b"}" * 902,
    ],
    ids=range(13),
)
def test_odd_documents_are_refused_as_documents(data: bytes) -> None:
    with pytest.raises(DocumentError, match="the job at hand"):
        job_from_json(data, where="the job at hand")
