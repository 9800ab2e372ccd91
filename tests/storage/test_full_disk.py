from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from airflow_sklearn.exceptions import StorageError
from airflow_sklearn.storage import full_disk
from airflow_sklearn.storage.full_disk import full_disk_error


@pytest.fixture(autouse=True)
def disks(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Free bytes by folder; the others have 50 GB."""
    free: dict[str, int] = {}

    def disk_usage(folder: str) -> object:
        return type("Usage", (), {"total": 100_000_000_000, "free": free.get(folder, 50_000_000_000)})

    monkeypatch.setattr(full_disk.shutil, "disk_usage", disk_usage)
    return free


def no_space(filename: str | None = None) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), filename)


def test_the_folder_its_size_and_what_to_do_are_named(tmp_path: Path, disks: dict[str, int]) -> None:
    disks[str(tmp_path)] = 1_000_000
    text = str(full_disk_error(no_space(f"{tmp_path}/scores/part.parquet")))
    assert text.startswith(f"The disk of {tmp_path} is full: 1.0 MB of 100.0 GB are free. Fix: ")
    for way in ("ephemeralStorage", "volume_size", "TMPDIR", "chunk_size"):
        assert way in text


def test_where_no_file_is_named_the_fullest_of_the_folders_written_to_is(tmp_path: Path, disks: dict[str, int]) -> None:
    disks[str(tmp_path)] = 0
    assert f"The disk of {tmp_path} is full: 0.0 MB" in str(full_disk_error(no_space(), [f"file://{tmp_path}/model"]))
    assert "is full: 50.0 GB of" in str(full_disk_error(no_space(), ["s3://acme/model"]))


def test_it_is_found_among_the_causes_and_by_its_words() -> None:
    told = StorageError("cannot be written")
    told.__cause__ = no_space()
    assert full_disk_error(told) is not None
    assert full_disk_error(OSError("Error writing bytes to file. Detail: No space left on device")) is not None


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no such file"), ValueError("No space left"), StorageError("x")]
)
def test_other_errors_are_no_full_disk(error: Exception) -> None:
    assert full_disk_error(error) is None
