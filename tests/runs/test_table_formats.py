from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.table_formats import refuse_table_formats
from airflow_sklearn.storage import Storage
from tests.factories import csv_plan
from tests.operators.conftest import plain_train_job

DELTA = ("_delta_log/00000000000000000000.json",)
ICEBERG = ("metadata/v1.metadata.json", "metadata/snap-1.avro", "metadata/version-hint.text")
HUDI = (".hoodie/hoodie.properties",)


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.services)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}" if request.param == "file" else f"s3://{request.getfixturevalue('bucket')}"


@pytest.fixture
def storage(request: pytest.FixtureRequest, root: str) -> Storage:
    return Storage(request.getfixturevalue("cloud").client) if root.startswith("s3") else Storage()


def refuse(storage: Storage, root: str, names: tuple[str, ...], *uris: str, file_format: str = "parquet") -> None:
    for name in names:
        storage.write(f"{root}/{name}", b"{}")
    source = SourceFiles(uris=tuple(f"{root}/{uri}" for uri in uris), file_format=file_format)  # type: ignore[arg-type]
    refuse_table_formats(storage, source, storage.expand(source.uris))


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        (("t/a.parquet",), "t/"),
        (("t/a.parquet",), "t/*.parquet"),
        (("t/a.parquet", "u/b.parquet"), ""),
        (("t/day=1/kind=x/a.parquet",), "t/"),
        (("t/day=1/kind=x/a.parquet",), "t/day=1/kind=x/"),
        (("t/day=1/a.parquet",), "t/day=*/*.parquet"),
        (("t/data/day=1/a.parquet",), "t/"),
        (("t/data/a.parquet",), "t/data/"),
        (("t/data/day=1/a.parquet",), "t/data/day=1/*"),
        (("t/2024/01/01/a.parquet",), "t/"),
    ],
)
@pytest.mark.parametrize(("name", "metadata"), [("Delta", DELTA), ("Iceberg", ICEBERG), ("Hudi", HUDI)])
def test_a_table_is_told_by_its_metadata_wherever_it_is_entered(
    storage: Storage, root: str, files: tuple[str, ...], asked: str, name: str, metadata: tuple[str, ...]
) -> None:
    with pytest.raises(UserError, match=rf"/t/ is part of a table in the {name} format.*rows that were deleted.*Fix:"):
        refuse(storage, root, (*files, *(f"t/{one}" for one in metadata)), asked)


def test_a_partition_of_hudi_says_so_itself(storage: Storage, root: str) -> None:
    with pytest.raises(UserError, match="Hudi"):
        refuse(storage, root, ("t/2024/01/a.parquet", "t/2024/01/.hoodie_partition_metadata"), "t/2024/01/")


def test_all_tables_are_named(storage: Storage, root: str) -> None:
    with pytest.raises(UserError, match=r"(?s)/t/ is .*Delta.*/u/ is .*Hudi"):
        refuse(storage, root, ("t/a.parquet", f"t/{DELTA[0]}", "u/a.parquet", f"u/{HUDI[0]}"), "")


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("t/a.parquet", f"t/{DELTA[0]}"), "t/a.parquet"),  # named one by one: meant
        (("t/a.parquet", "t/_SUCCESS", "t/_metadata", "t/metadata/readme.json"), "t/"),
        (("t/a.parquet", f"u/{DELTA[0]}"), "t/"),
        (("t/a/a.parquet", f"t/{DELTA[0]}"), "t/a/"),  # no folder that Delta makes
        (("t/a.parquet", f"{DELTA[0]}"), "t/"),
    ],
)
def test_other_folders_are_read(storage: Storage, root: str, names: tuple[str, ...], asked: str) -> None:
    refuse(storage, root, names, asked)


def test_files_of_csv_are_none_of_such_a_table(storage: Storage, root: str) -> None:
    refuse(storage, root, ("t/a.csv", f"t/{DELTA[0]}"), "t/", file_format="csv")


@pytest.mark.parametrize(("name", "is_refused"), [(DELTA[0], True), (HUDI[0], True), (ICEBERG[0], False)])
def test_metadata_that_may_not_be_looked_into_counts_where_its_name_says_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_refused: bool
) -> None:
    scandir = os.scandir

    def refuse_metadata(path: str) -> Any:
        if str(path).endswith(name.partition("/")[0]):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_metadata)
    with pytest.raises(UserError) if is_refused else contextlib.nullcontext():
        refuse(Storage(), f"file://{tmp_path}", ("t/a.parquet", f"t/{name}"), "t/*.parquet")


def test_neither_a_plan_nor_a_training_takes_one(tmp_path: Path) -> None:
    storage, root = Storage(), f"file://{tmp_path}"
    for name in ("t/a.parquet", f"t/{DELTA[0]}"):
        storage.write(f"{root}/{name}", b"{}")
    with pytest.raises(UserError, match="Delta"):
        csv_plan(storage, root, source=SourceFiles(uris=(f"{root}/t/",), file_format="parquet"))
    with pytest.raises(UserError, match="Delta"):
        plain_train_job(storage, "sparse_logistic", f"{root}/t/*.parquet", f"{root}/model")
