from __future__ import annotations

from pathlib import Path

from airflow_sklearn.runs.model_store import find_version, make_latest, resolve_model, store_version, version_folder
from airflow_sklearn.storage import Storage
from tests.factories import manifest, stored_model


def test_what_a_killed_training_was_writing_is_removed_by_the_next_one(tmp_path: Path) -> None:
    model = f"file://{tmp_path}/model"
    left = f"{version_folder(model, 'v1')}/.airflow-sklearn-0123456789abcdef.tmp"
    Storage().write(left, b"half an artifact")
    assert store_version(Storage(), manifest(model))
    assert not Storage().exists(left)


def test_looking_for_a_version_changes_nothing_and_making_it_the_latest_does(tmp_path: Path) -> None:
    storage, model = Storage(), f"file://{tmp_path}/model"
    for version in ("v1", "v2"):
        stored_model(storage, model, version=version)
    storage.write(manifest(model).artifact.uri, b"x" * manifest(model).artifact.size)
    before = storage.read(f"{model}/latest.json")
    assert find_version(storage, model, "v1")
    assert storage.read(f"{model}/latest.json") == before
    assert make_latest(storage, model, "v1") == find_version(storage, model, "v1")
    assert resolve_model(storage, model)[0].version == "v1"


def test_a_version_that_is_not_whole_does_not_become_the_latest(tmp_path: Path) -> None:
    storage, model = Storage(), f"file://{tmp_path}/model"
    stored_model(storage, model)
    assert make_latest(storage, model, "v2") is None
    assert resolve_model(storage, model)[0].version == "v1"
