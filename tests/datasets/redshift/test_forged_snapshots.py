"""A snapshot's document lies in staging: what it names elsewhere is neither read nor removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.contract.tables import Snapshot
from airflow_sklearn.datasets.snapshots import delete_snapshot, find_snapshot
from airflow_sklearn.exceptions import DocumentError
from airflow_sklearn.storage import Storage

TASK = "unloads/0123456789abcdef"


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    rows = tmp_path / TASK / "1" / "1" / "fedcba9876543210" / "rows"
    rows.mkdir(parents=True)
    (rows / "0000_part_00.parquet").touch()
    (rows / "manifest").touch()
    (tmp_path / TASK / "1" / "notes.txt").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.joblib").touch()
    return tmp_path


def snapshot(staging: Path, folder: str = f"{TASK}/1", files: str = "") -> Snapshot:
    rows = f"file://{staging}/{TASK}/1/1/fedcba9876543210/rows/"
    return Snapshot(
        query="SELECT 1",
        manifest_uri=f"{rows}manifest",
        files=SourceFiles(uris=(files or f"{rows}*.parquet",), file_format="parquet"),
        rows=1,
        columns=(),
        folder=f"file://{staging}/{folder}",
    )


def left(staging: Path) -> set[str]:
    return {path.name for path in staging.rglob("*") if path.is_file()}


def test_only_what_was_unloaded_is_removed(staging: Path) -> None:
    delete_snapshot(Storage(), snapshot(staging))
    assert left(staging) == {"notes.txt", "model.joblib"}


@pytest.mark.parametrize(
    "folder", ["models", "", "unloads", TASK, f"{TASK}/1/..", f"{TASK}/../../models", f"{TASK}/1/1"]
)
def test_nothing_is_removed_from_a_folder_that_holds_no_task_s_rows(staging: Path, folder: str) -> None:
    before = left(staging)
    delete_snapshot(Storage(), snapshot(staging, folder))
    delete_snapshot(Storage(), snapshot(staging, folder), served="file:///m.json")
    assert left(staging) == before


def test_nothing_is_removed_from_the_folder_of_another_task(staging: Path) -> None:
    before = left(staging)
    delete_snapshot(Storage(), snapshot(staging), folder=f"file://{staging}/unloads/{'0' * 16}/1")
    assert left(staging) == before


@pytest.mark.parametrize("change", [{"folder": "models"}, {"files": "file:///etc/passwd"}])
def test_a_snapshot_that_names_what_lies_elsewhere_is_not_taken_over(staging: Path, change: dict[str, str]) -> None:
    folder = f"file://{staging}/{TASK}/1"
    Storage().write(f"{folder}/snapshot.json", snapshot(staging, **change).to_json())
    with pytest.raises(DocumentError, match="not in its own folder"):
        find_snapshot(Storage(), folder)


def test_a_snapshot_of_the_task_s_own_is_taken_over(staging: Path) -> None:
    folder, own = f"file://{staging}/{TASK}/1", snapshot(staging)
    Storage().write(f"{folder}/snapshot.json", own.to_json())
    assert find_snapshot(Storage(), folder) == own
