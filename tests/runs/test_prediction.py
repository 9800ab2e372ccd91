from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from airflow_sklearn.contract.data import OutputFiles, SourceFiles
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.schema import METHODS_BEST_FIRST, best_first
from airflow_sklearn.exceptions import BrokenEnvironmentError, DocumentError, ObjectNotFoundError, UserError
from airflow_sklearn.runs.ledger import read_plan
from airflow_sklearn.runs.model_store import resolve_model
from airflow_sklearn.storage import Storage
from tests.factories import csv_plan, stored_model


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


def test_a_plan_pins_the_model_and_the_objects(root: str) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    stored_model(storage, f"{root}/model", version="v2")
    assert plan.spec.model_manifest_uri == f"{root}/model/versions/v1/manifest.json"
    assert plan.objects == storage.expand([f"{root}/in/x.csv"])
    assert plan.spec.method == "predict_proba"
    assert [output.name for output in plan.spec.outputs] == ["y_proba_0", "y_proba_1"]
    assert read_plan(storage, uri) == plan


def test_the_fingerprint_changes_with_what_changes_rows_and_with_nothing_else(root: str) -> None:
    storage = Storage()
    plan, _ = csv_plan(storage, root)
    same, _ = csv_plan(storage, root, chunks=2, partition="day=2")
    other_method, _ = csv_plan(storage, root, method="predict")
    storage.write(f"{root}/in/x.csv", b"0001,1234\n" * 100)
    other_source, _ = csv_plan(storage, root)
    stored_model(storage, f"{root}/model", version="v2")
    other_model, _ = csv_plan(storage, root)
    assert same.fingerprint == plan.fingerprint
    assert len({p.fingerprint for p in (plan, other_method, other_source, other_model)}) == 4
    assert same.ledger == plan.ledger


def test_a_plan_of_a_retry_is_the_same_plan_but_for_its_time(root: str) -> None:
    first, again = csv_plan(Storage(), root)[0], csv_plan(Storage(), root)[0]
    assert first.planned.is_older_than(again.planned)
    assert first.model_copy(update={"planned": again.planned}) == again
    planned = Planned(at="2026-01-01T00:00:00.000000+00:00")
    assert csv_plan(Storage(), root, planned=planned)[1] == csv_plan(Storage(), root, planned=planned)[1]


def test_an_empty_source_is_planned(root: str) -> None:
    storage = Storage()
    source = SourceFiles(uris=(f"{root}/in/2013-*.csv",), file_format="csv")
    plan, _ = csv_plan(storage, root, source=source)
    assert plan.objects == ()
    assert len(plan.chunks) == 1


def test_ten_thousand_objects_are_planned(root: str) -> None:
    storage = Storage()
    for number in range(10_000):
        path = Path(root.removeprefix("file://")) / "many" / f"{number:05d}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1,2\n" * 10)
    plan, _ = csv_plan(storage, root, source=SourceFiles(uris=(f"{root}/many/",), file_format="csv"), chunk_size=4_000)
    assert (len(plan.objects), len(plan.chunks)) == (10_000, 100)


def test_a_model_is_found_by_its_uri_its_manifest_or_what_training_returned(root: str) -> None:
    storage = Storage()
    uri = stored_model(storage, f"{root}/model")
    by_uri = resolve_model(storage, f"{root}/model")
    assert by_uri[1] == uri
    assert resolve_model(storage, uri) == by_uri
    assert resolve_model(storage, {"manifest_uri": uri, "manifest_sha256": by_uri[2], "metrics": {}}) == by_uri


def test_no_model_there_is_said_with_what_to_do(root: str) -> None:
    with pytest.raises(ObjectNotFoundError, match=r"No model at .*/model .*Fix: train one"):
        resolve_model(Storage(), f"{root}/model")
    with pytest.raises(UserError, match="manifest_uri"):
        resolve_model(Storage(), {"uri": "x"})


def test_a_manifest_that_was_overwritten_after_training_is_refused(root: str) -> None:
    storage = Storage()
    uri = stored_model(storage, f"{root}/model")
    with pytest.raises(BrokenEnvironmentError, match="overwritten"):
        resolve_model(storage, {"manifest_uri": uri, "manifest_sha256": "0" * 64})


def test_a_manifest_of_a_newer_format_is_refused(root: str) -> None:
    storage = Storage()
    uri = stored_model(storage, f"{root}/model")
    storage.write(uri, storage.read(uri).replace(b"model-manifest/1", b"model-manifest/2"))
    with pytest.raises(DocumentError, match="Upgrade airflow-sklearn"):
        csv_plan(storage, root, model=uri)


def test_a_method_that_the_model_lacks_names_those_it_has(root: str) -> None:
    with pytest.raises(UserError, match="no method 'decision_function'; it has predict_proba, predict"):
        csv_plan(Storage(), root, method="decision_function")


def test_auto_chooses_in_the_one_order_whatever_order_a_manifest_names_methods_in(root: str) -> None:
    storage = Storage()
    for number, methods in enumerate(permutations(METHODS_BEST_FIRST[:3])):
        stored_model(storage, f"{root}/{number}", methods=methods)
        plan, _ = csv_plan(storage, root, model=f"{root}/{number}")
        assert plan.spec.method == "predict_proba"
    assert best_first({"decision_function", "predict", "fit_predict"}) == ("predict", "decision_function")


def test_all_contradictions_are_named_at_once(root: str) -> None:
    with pytest.raises(UserError) as caught:
        csv_plan(
            Storage(),
            root,
            passthrough=["id", "y_proba_1"],
            partition="../elsewhere",
            destination=OutputFiles(uri=f"{root}/in"),
            chunk_size=0,
        )
    for part in ("'id'", "'y_proba_1'", "'../elsewhere'", "lies below the destination", "chunk_size (0)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("partition", ["", "a//b", "_x", "a/.b", "a\nb", "a*"])
def test_an_unsafe_partition_is_refused(root: str, partition: str) -> None:
    with pytest.raises(UserError, match="partition"):
        csv_plan(Storage(), root, partition=partition)


def test_policies_can_be_overridden_and_typing_errors_are_named(root: str) -> None:
    plan, _ = csv_plan(Storage(), root, policies={"unseen_levels": "error"})
    assert plan.spec.policies.unseen_levels == "error"
    with pytest.raises(UserError, match=r"Did you mean 'unseen_levels'\? The policies are missing_columns"):
        csv_plan(Storage(), root, policies={"unseen_level": "error"})


@pytest.mark.parametrize("source", ["data/", "data/**/*.parquet", "data/scores/*/*.parquet"])
def test_a_source_that_would_find_the_predictions_is_refused(root: str, source: str) -> None:
    with pytest.raises(UserError, match="lies below"):
        csv_plan(
            Storage(),
            root,
            source=SourceFiles(uris=(f"{root}/{source}",), file_format="parquet"),
            destination=OutputFiles(uri=f"{root}/data/scores"),
        )


def test_a_source_beside_the_predictions_is_planned(root: str) -> None:
    storage = Storage()
    source = SourceFiles(uris=(f"{root}/data/*.parquet", f"{root}/data/in/"), file_format="parquet")
    plan, _ = csv_plan(storage, root, source=source, destination=OutputFiles(uri=f"{root}/data/scores"))
    assert plan.objects == ()


def test_a_ledger_in_another_kind_of_storage_is_refused_before_anything_is_computed(root: str) -> None:
    with pytest.raises(UserError, match="another kind of storage"):
        csv_plan(Storage(), root, ledger="s3://bucket/ledgers")


def test_columns_that_the_source_lacks_are_faults_of_the_plan_together_with_all_others(root: str) -> None:
    storage = Storage()
    storage.write(f"{root}/in/named.csv", b"ID,x\n1,2\n")
    source = SourceFiles(uris=(f"{root}/in/named.csv",), file_format="csv")
    with pytest.raises(UserError) as caught:
        csv_plan(storage, root, source=source, passthrough=["zip"], partition="../up", look_at_columns=True)
    text = str(caught.value)
    assert "column 'zip' (passthrough) is not in named.csv. It has: ID, x." in text
    assert "(primary key) is not in named.csv" in text
    assert "not a safe path" in text
