"""Snapshots of tables: what they hold, who takes them over, and what becomes of their files."""

from __future__ import annotations

import pytest

from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.contract.tables import Snapshot, UnloadSource
from airflow_sklearn.datasets.redshift.unload import describe, unload
from airflow_sklearn.datasets.snapshots import delete_snapshot, find_snapshot, snapshot_folder
from airflow_sklearn.exceptions import StorageError, UserError
from tests.datasets.redshift.publishing import Place

ROWS = 500


@pytest.fixture
def source(place: Place) -> UnloadSource:
    place.sql(
        "CREATE TABLE {s}.t (id bigint, name varchar(8), paid numeric(12,3), seen timestamptz)",
        f"INSERT INTO {{s}}.t SELECT i, 'n', i, GETDATE() FROM generate_series(1, {ROWS}) AS g(i)",
    )
    return UnloadSource(table=(place.name, "t"), staging=f"s3://{place.cloud.bucket}/{place.name.split()[1]}")


def take(place: Place, source: UnloadSource, clears: int = 1, attempt: str = "1") -> Snapshot:
    folder = snapshot_folder(source.staging, JobIdentity(dag_id="d", task_id="t", run_id="r"), clears)
    columns = describe(place.database, source)
    return unload(place.database, place.storage, source, columns, folder=folder, attempt=attempt)


def files(place: Place, snapshot: Snapshot) -> list[str]:
    return [obj.uri for obj in place.storage.expand(snapshot.files.uris, allow_empty=True)]


def test_a_snapshot_says_how_many_rows_and_of_which_types(place: Place, source: UnloadSource) -> None:
    snapshot = take(place, source)
    assert snapshot.rows == ROWS
    assert [column.type for column in snapshot.columns] == ["bigint", "varchar(8)", "numeric(12,3)", "timestamptz"]
    assert files(place, snapshot)


def test_a_retry_takes_the_snapshot_of_an_earlier_attempt_over(place: Place, source: UnloadSource) -> None:
    first = take(place, source)
    place.sql("DELETE FROM {s}.t")
    assert take(place, source, attempt="2") == first


def test_a_task_that_is_cleared_takes_a_new_snapshot_and_removes_the_old_one(
    place: Place, source: UnloadSource
) -> None:
    first = take(place, source)
    place.sql("DELETE FROM {s}.t WHERE id > 10")
    second = take(place, source, clears=2, attempt="2")
    assert (second.rows, files(place, first)) == (10, [])
    assert files(place, second)


def test_an_attempt_from_before_a_clear_leaves_the_newer_snapshot_alone(place: Place, source: UnloadSource) -> None:
    newer = take(place, source, clears=2)
    take(place, source, clears=1)
    assert files(place, newer)
    assert find_snapshot(place.storage, newer.folder) == newer


def test_rows_that_changed_in_what_is_asked_for_are_unloaded_anew(place: Place, source: UnloadSource) -> None:
    first = take(place, source)
    second = take(place, source.model_copy(update={"where": "id <= :most", "parameters": {"most": 3}}), attempt="2")
    assert (first.rows, second.rows) == (ROWS, 3)


def test_what_has_served_is_removed_and_says_what_was_made_of_it(place: Place, source: UnloadSource) -> None:
    snapshot = take(place, source)
    delete_snapshot(place.storage, snapshot, served="s3://models/m.json")
    assert files(place, snapshot) == []
    left = find_snapshot(place.storage, snapshot.folder)
    assert left is not None
    assert left.served == "s3://models/m.json"
    delete_snapshot(place.storage, snapshot)
    assert find_snapshot(place.storage, snapshot.folder) is None


def test_files_of_a_snapshot_that_is_to_be_kept_stay(place: Place, source: UnloadSource) -> None:
    snapshot = take(place, source.model_copy(update={"keep_unloaded": True}))
    delete_snapshot(place.storage, snapshot)
    assert files(place, snapshot)


def test_no_rows_make_no_files(place: Place, source: UnloadSource) -> None:
    place.sql("DELETE FROM {s}.t")
    snapshot = take(place, source)
    assert (snapshot.rows, files(place, snapshot)) == (0, [])


def test_files_that_are_not_those_that_redshift_lists_are_refused(
    place: Place, source: UnloadSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(place.storage).list

    def with_a_stranger(storage: object, prefix: str) -> list[object]:
        found = list(real(place.storage, prefix))
        return [*found, found[0].model_copy(update={"uri": f"{prefix}stranger.parquet"})] if found else []

    monkeypatch.setattr(type(place.storage), "list", with_a_stranger)
    with pytest.raises(StorageError, match=r"stranger\.parquet is not in Redshift's manifest"):
        take(place, source)


def test_columns_of_the_same_name_are_refused(place: Place, source: UnloadSource) -> None:
    query = UnloadSource(sql="SELECT 1 AS a, 2 AS a", staging=source.staging)
    with pytest.raises(UserError, match=r"several columns named \['a'\].*AS"):
        describe(place.database, query)
