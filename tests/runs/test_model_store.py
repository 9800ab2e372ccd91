from __future__ import annotations

from pathlib import Path

from airflow_sklearn.runs.model_store import store_version, version_folder
from airflow_sklearn.storage import Storage
from tests.factories import manifest


def test_what_a_killed_training_was_writing_is_removed_by_the_next_one(tmp_path: Path) -> None:
    model = f"file://{tmp_path}/model"
    left = f"{version_folder(model, 'v1')}/.airflow-sklearn-0123456789abcdef.tmp"
    Storage().write(left, b"half an artifact")
    assert store_version(Storage(), manifest(model))
    assert not Storage().exists(left)
