from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.datasets.base import Attempt, WantedColumns
from airflow_sklearn.datasets.files import Dataset
from airflow_sklearn.datasets.registry import as_source
from airflow_sklearn.exceptions import StorageError, UserError
from airflow_sklearn.storage import Storage


def unloaded(folder: Path, **changes: Any) -> str:
    """What UNLOAD leaves: two files without endings, one of an earlier run, and the manifest."""
    entries = []
    for name in ("rows_0000_part_00", "rows_0001_part_00", "rows_of_earlier"):
        (folder / name).write_text("id,x\n1,2\n")
        entries.append({"url": f"file://{folder}/{name}", "meta": {"content_length": 9}})
    entries = [{**entry, **changes} for entry in entries[:2]]
    (folder / "rows_manifest").write_text(json.dumps({"entries": entries}))
    return f"{folder}/rows_manifest"


def resolved(uri: str) -> tuple[str, ...]:
    source = as_source(Dataset(uri, manifest=True, file_format="csv"))
    return source.resolve(Attempt(Storage(), JobIdentity()), WantedColumns({})).files.uris


def test_a_manifest_names_the_files_and_those_beside_them_are_not_read(tmp_path: Path) -> None:
    uri = unloaded(tmp_path)
    assert [name.rpartition("/")[2] for name in resolved(uri)] == ["rows_0000_part_00", "rows_0001_part_00"]


def test_files_that_are_not_as_they_were_unloaded_are_told(tmp_path: Path) -> None:
    uri = unloaded(tmp_path)
    (tmp_path / "rows_0000_part_00").unlink()
    (tmp_path / "rows_0001_part_00").write_text("id,x\n")
    with pytest.raises(StorageError, match=r"part_00 is missing; .*rows_0001_part_00 has 5 bytes, the manifest says 9"):
        resolved(uri)


def test_a_file_that_is_not_mandatory_may_be_missing(tmp_path: Path) -> None:
    uri = unloaded(tmp_path, mandatory=False)
    (tmp_path / "rows_0000_part_00").unlink()
    assert len(resolved(uri)) == 1


def test_a_manifest_cannot_make_jobs_read_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "unload").mkdir()
    uri = unloaded(tmp_path / "unload", url=f"file://{tmp_path}/secrets.csv")
    with pytest.raises(UserError, match="outside of its folder"):
        resolved(uri)


@pytest.mark.parametrize("text", ["id,x\n1,2\n", '{"files": []}', '{"entries": [1]}'])
def test_what_is_no_manifest_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows").write_text(text)
    with pytest.raises(UserError, match="is no manifest of UNLOAD"):
        resolved(f"{tmp_path}/rows")


def test_the_format_of_its_files_must_be_said() -> None:
    with pytest.raises(UserError, match="need file_format='parquet' or 'csv'"):
        Dataset("s3://b/rows_manifest", manifest=True).to_source()
