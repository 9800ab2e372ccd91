from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa
import pytest

from airflow_sklearn.exceptions import PublicationRefusedError, PublishError
from tests.datasets.redshift.publishing import BOOKS, Place, scores

DAY = {"day": "2024-01-01"}


def test_a_table_is_created_with_the_rows_types(place: Place) -> None:
    found = place.publish(place.load(files=2))
    assert found.published
    assert found.rows == found.table_rows == 3
    assert place.sql('SELECT * FROM {s}."scores" ORDER BY id') == [(1, "l1", 0.5), (2, "l2", 0.5), (3, "l3", 0.5)]
    assert place.leftovers() == []


@pytest.mark.parametrize("mode", ["fail", "append", "truncate", "replace", "upsert"])
def test_a_run_that_is_cleared_after_it_published_changes_nothing(place: Place, mode: str) -> None:
    place.publish(place.load(if_exists=mode))
    again = place.publish(place.load(if_exists=mode, attempt="2"))
    assert (again.published, again.rows, again.table_rows) == (False, 3, 3)
    assert again.published_at
    assert place.ids() == [1, 2, 3]


@pytest.mark.parametrize(
    ("mode", "more", "after"),
    [
        ("append", {}, [7]),
        ("truncate", {}, []),
        ("replace", {}, []),
        ("upsert", {}, [7]),
    ],
)
def test_no_rows_are_published_in_every_mode(place: Place, mode: str, more: dict[str, Any], after: list[int]) -> None:
    place.publish(place.load([7], if_exists="append", run="before"))
    found = place.publish(place.load([], if_exists=mode, **more))
    assert (found.published, found.rows) == (True, 0)
    assert place.ids() == after


def test_no_rows_make_an_empty_table(place: Place) -> None:
    assert place.publish(place.load([])).published
    assert place.ids() == []


def test_a_table_that_exists_is_refused_with_fail(place: Place) -> None:
    place.publish(place.load())
    other = place.load([9])
    assert "exists, and if_exists is 'fail'" in place.faults(other)[0]
    with pytest.raises(PublicationRefusedError, match="exists, and if_exists is 'fail'"):
        place.publish(other)
    assert place.ids() == [1, 2, 3]


def test_appending_keeps_the_rows_of_other_runs(place: Place) -> None:
    place.publish(place.load([1, 2], if_exists="append", run="a"))
    place.publish(place.load([2, 3], if_exists="append", run="b"))
    assert place.ids() == [1, 2, 2, 3]


def test_other_rows_of_the_same_run_are_not_appended(place: Place) -> None:
    place.publish(place.load([1, 2], if_exists="append"))
    with pytest.raises(PublicationRefusedError, match=r"would double its rows.*delete the run's row: DELETE FROM"):
        place.publish(place.load([1, 2, 3], if_exists="append"))
    assert place.ids() == [1, 2]
    assert place.leftovers() == []


def test_a_run_appends_again_when_another_has_replaced_the_table(place: Place) -> None:
    place.publish(place.load([1], if_exists="append"))
    place.publish(place.load([5], if_exists="replace", run="b"))
    assert place.publish(place.load([1], if_exists="append")).published
    assert place.ids() == [1, 5]


def test_a_run_appends_again_to_a_table_that_was_dropped(place: Place) -> None:
    place.publish(place.load([1], if_exists="append"))
    place.publish(place.load([2], if_exists="append", run="b"))
    place.sql('DROP TABLE {s}."scores"')
    assert place.publish(place.load([1], if_exists="append")).published
    assert place.ids() == [1]
    assert place.books() == [("run: run 1",)]


def test_rows_that_somebody_deleted_are_not_taken_for_published(place: Place) -> None:
    place.publish(place.load([1, 2], if_exists="append"))
    place.sql('DELETE FROM {s}."scores"')
    with pytest.raises(PublicationRefusedError, match="somebody deleted some"):
        place.publish(place.load([1, 2], if_exists="append"))


@pytest.mark.parametrize("mode", ["truncate", "replace"])
def test_a_table_that_somebody_changed_is_replaced_again(place: Place, mode: str) -> None:
    place.publish(place.load(if_exists=mode))
    place.sql('DELETE FROM {s}."scores" WHERE id = 2')
    assert place.publish(place.load(if_exists=mode, attempt="2")).published
    assert place.ids() == [1, 2, 3]


@pytest.mark.parametrize("mode", ["truncate", "replace"])
def test_all_rows_are_replaced(place: Place, mode: str) -> None:
    place.publish(place.load([1, 2], if_exists=mode, run="a"))
    place.publish(place.load([3], if_exists=mode, run="b"))
    assert place.ids() == [3]
    assert place.publish(place.load([1, 2], if_exists=mode, run="a")).published
    assert place.ids() == [1, 2]


def test_replacing_keeps_the_table_its_grants_its_comment_and_its_other_columns(place: Place) -> None:
    place.publish(place.load(if_exists="replace"))
    place.sql(
        'ALTER TABLE {s}."scores" ADD COLUMN note VARCHAR(16)',
        'GRANT SELECT ON {s}."scores" TO PUBLIC',
        "COMMENT ON TABLE {s}.\"scores\" IS 'mine'",
    )
    look = (
        "SELECT c.oid, obj_description(c.oid), array_to_string(c.relacl, ',') FROM pg_class c "
        f"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{place.name}' AND c.relname = 'scores'"
    )
    before = place.sql(look)
    place.publish(place.load([9], if_exists="replace"))
    assert place.sql(look) == before
    assert place.sql('SELECT id, note FROM {s}."scores"') == [(9, None)]


def test_a_partition_is_replaced_and_no_other(place: Place) -> None:
    for day, ids in (("2024-01-01", [1, 2]), ("2024-01-02", [1, 2, 3]), ("2024-01-01", [4])):
        found = place.publish(place.load(ids, if_exists="replace", partition={"day": day}, run=day))
        assert found.table_rows == len(ids)
    assert place.sql('SELECT id, day FROM {s}."scores" ORDER BY 2, 1') == [
        (4, "2024-01-01"),
        *((n, "2024-01-02") for n in (1, 2, 3)),
    ]


def test_a_second_run_of_a_partition_that_is_cleared_replaces_what_came_in_between(place: Place) -> None:
    first = place.load([1], if_exists="replace", partition=DAY)
    place.publish(first)
    place.publish(place.load([2], if_exists="replace", partition=DAY))
    assert place.publish(first).published
    assert place.ids() == [1]


@pytest.mark.parametrize(("kind", "one", "other"), [("integer", "1", "01"), ("boolean", True, "true")])
def test_two_spellings_of_a_value_are_one_partition(place: Place, kind: str, one: Any, other: Any) -> None:
    more: dict[str, Any] = {"if_exists": "replace", "column_types": {"part": kind}}
    first = place.load([1, 2], score=0.1, partition={"part": one}, **more)
    place.publish(first)
    place.publish(place.load([1, 2], score=0.9, partition={"part": other}, **more))
    assert len(place.books()) == 1
    assert place.publish(first).published
    assert place.sql('SELECT DISTINCT score FROM {s}."scores"') == [(0.1,)]


def test_a_value_is_spelled_by_the_type_of_a_table_that_is_there(place: Place) -> None:
    place.sql('CREATE TABLE {s}."scores" (id BIGINT, label VARCHAR(9), score DOUBLE PRECISION, part NUMERIC(9, 2))')
    for value in ("1", "1.0", 1):
        place.publish(place.load([1], if_exists="replace", partition={"part": value}, fingerprint=repr(value)))
    assert place.books() == [('partition: {"part": "1.00"}',)]


def test_rows_that_a_condition_has_replaced_since_are_published_again(place: Place) -> None:
    first = place.load([1, 2], score=0.1, if_exists="replace", partition={"n": 1})
    place.publish(first)
    data = scores([1, 2], 0.9).append_column("n", pa.array([1, 1]))
    place.publish(place.load(data=data, if_exists="replace", where="n = 1"))
    assert place.publish(first).published
    assert place.sql('SELECT DISTINCT score FROM {s}."scores"') == [(0.1,)]


def test_another_partition_that_came_since_leaves_the_rows_published(place: Place) -> None:
    first = place.load([1], if_exists="replace", partition=DAY)
    place.publish(first)
    place.publish(place.load([1], if_exists="replace", partition={"day": "2024-01-02"}))
    place.publish(place.load([5], if_exists="append", run="another"))
    assert not place.publish(first).published


def test_appended_rows_that_were_replaced_since_are_not_taken_for_published(place: Place) -> None:
    first = place.load([1, 2], if_exists="append")
    place.publish(first)
    place.publish(place.load([1, 2, 3], if_exists="replace", where="id < 10", run="another"))
    with pytest.raises(PublicationRefusedError, match=r"were replaced since this run has published[\s\S]*DELETE FROM"):
        place.publish(first)
    place.sql(f"DELETE FROM {{s}}.{BOOKS} WHERE partition = 'run: run 1'")
    assert place.publish(first).published


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_table_that_was_dropped_and_made_anew_is_noticed(place: Place, mode: str) -> None:
    first = place.load([1, 2], if_exists=mode)
    place.publish(first)
    place.sql(
        'DROP TABLE {s}."scores"',
        'CREATE TABLE {s}."scores" (id BIGINT, label VARCHAR(9), score DOUBLE PRECISION)',
        'INSERT INTO {s}."scores" (id) VALUES (7), (8), (9)',
    )
    with pytest.raises(PublicationRefusedError, match="was dropped and made anew by somebody"):
        place.publish(first)
    assert place.ids() == [7, 8, 9]


@pytest.mark.parametrize("made", ["created", "there already", "made anew"])
def test_the_bookkeeping_knows_the_tables_number(place: Place, made: str) -> None:
    if made != "created":
        place.sql(f'CREATE TABLE {{s}}."scores" (id {"BIGINT" if made == "there already" else "DATE"})')
    data = pa.table({"id": pa.array([1])})
    place.publish(place.load(data=data, if_exists="replace"))
    assert place.books("table_id") == place.cloud.redshift.query(
        "SELECT CAST(c.oid AS BIGINT) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = :schema AND c.relname = 'scores'",
        parameters={"schema": place.name},
    )


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("date", "2024-02-29", "2024-02-29"),
        ("timestamptz", "2024-02-29T01:00:00+01:00", "2024-02-29 00:00:00+00"),
        ("timestamp", "2024-02-29T01:00:00", "2024-02-29 01:00:00"),
        ("numeric(9,2)", "1.5", "1.50"),
        ("smallint", 7, "7"),
        ("double precision", 0.1, "0.1"),
        ("boolean", True, "true"),
        ("boolean", "False", "false"),
        ("varchar(16)", "it's; -- \\ é", "it's; -- \\ é"),
        ("varchar(16)", "", ""),
        ("varchar(16)", None, None),
    ],
)
def test_a_partitions_value_is_stored_found_and_replaced_by_its_columns_type(
    place: Place, kind: str, value: Any, stored: str | None
) -> None:
    more: dict[str, Any] = {"if_exists": "replace", "partition": {"part": value}, "column_types": {"part": kind}}
    place.publish(place.load([1, 2], **more))
    assert place.publish(place.load([3], **more)).table_rows == 1
    shown = "part" if kind.startswith("varchar") else "CAST(part AS VARCHAR(64))"
    assert place.sql(f'SELECT id, {shown} FROM {{s}}."scores"') == [(3, stored)]


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("varchar(3)", "abcd", "it has 4 bytes"),
        ("varchar(3)", "éé", "it has 4 bytes"),
        ("date", "2024-01-01 13:00", "give it as 2026-01-31"),
        ("timestamp", "2024-01-01T00:00:00+01:00", "without an offset"),
        ("timestamptz", "2024-01-01", "with an offset"),
        ("numeric(9,2)", "1.234", "fewer decimals"),
        ("smallint", 40000, "does not reach so far"),
        ("integer", "x", "the column is integer"),
        ("integer", True, "the column is integer"),
        ("super", "x", "no partition goes by"),
    ],
)
def test_a_partitions_value_that_its_column_would_change_is_refused(
    place: Place, kind: str, value: Any, reason: str
) -> None:
    load = place.load(if_exists="replace", partition={"part": value}, column_types={"part": kind})
    assert any(reason in fault and "'part'" in fault for fault in place.faults(load))
    with pytest.raises(PublishError, match=reason):
        place.publish(load)


def test_the_rows_of_a_condition_are_replaced(place: Place) -> None:
    place.publish(place.load([1, 2, 11, 12], if_exists="append", run="a"))
    more: dict[str, Any] = {"if_exists": "replace", "where": "id >= :first", "parameters": {"first": 10}}
    found = place.publish(place.load([13], **more))
    assert (place.ids(), found.table_rows) == ([1, 2, 13], 1)
    assert not place.publish(place.load([13], **more, attempt="2")).published


def test_rows_outside_of_the_condition_that_they_replace_are_refused(place: Place) -> None:
    place.publish(place.load([1, 11], if_exists="append", run="a"))
    with pytest.raises(PublishError, match="2 rows are not among those that they are to replace"):
        place.publish(place.load([1, 2, 12], if_exists="replace", where="id >= 10"))
    assert place.ids() == [1, 11]
    assert place.leftovers() == []


def test_columns_that_the_rows_lack_are_told_when_a_condition_names_them(place: Place) -> None:
    place.sql("CREATE TABLE {s}.\"scores\" (id BIGINT, region VARCHAR(4) DEFAULT 'eu')")
    data = pa.table({"id": pa.array([1, 2])})
    with pytest.raises(PublishError, match=r"2 rows are not among.*rows lack count as null there: region"):
        place.publish(place.load(data=data, if_exists="replace", where="region = 'eu'"))
    with pytest.raises(PublishError, match=r"rows lack get their defaults there \(region\)"):
        place.publish(place.load(data=data, if_exists="replace", where="region IS NULL"))
    assert place.ids() == []


def test_rows_of_which_a_condition_says_nothing_are_refused(place: Place) -> None:
    data = pa.table({"id": pa.array([1, 2]), "region": pa.array(["x", None])})
    with pytest.raises(PublishError, match="1 rows are not among"):
        place.publish(place.load(data=data, if_exists="replace", where="region = 'x'"))


def test_rows_with_the_same_key_are_updated_and_others_are_added(place: Place) -> None:
    place.publish(place.load([1, 2], if_exists="upsert", score=0.1, run="a"))
    place.publish(place.load([2, 3], if_exists="upsert", score=0.9, run="b"))
    assert place.sql('SELECT id, score FROM {s}."scores" ORDER BY 1') == [(1, 0.1), (2, 0.9), (3, 0.9)]


def test_an_older_upsert_that_is_cleared_does_not_undo_a_newer_one(place: Place) -> None:
    older = place.load([1, 2], if_exists="upsert", score=0.1, run="a")
    place.publish(older)
    place.publish(place.load([2, 3], if_exists="upsert", score=0.9, run="b"))
    assert not place.publish(older).published
    assert place.sql('SELECT score FROM {s}."scores" WHERE id = 2') == [(0.9,)]


def test_a_key_of_several_columns_with_strange_names_is_updated(place: Place) -> None:
    def data(value: int) -> pa.Table:
        return pa.table(
            {'My "Key"': pa.array([1, 1]), "select": pa.array(["a", "b'; --"]), "Ünï cödé": pa.array([value] * 2)}
        )

    for value in (1, 2):
        load = place.load(data=data(value), table='Order "by"', key=('My "Key"', "select"), if_exists="upsert")
        place.publish(load)
    assert place.sql('SELECT * FROM {s}."Order ""by""" ORDER BY 2') == [(1, "a", 2), (1, "b'; --", 2)]


def test_a_key_that_comes_twice_is_refused_by_an_upsert_and_told_with_examples(place: Place) -> None:
    with pytest.raises(PublishError, match=r"1 key \(id\) more than once, such as 2 \(2 times\)"):
        place.publish(place.load([1, 2, 2], if_exists="upsert"))
    assert place.leftovers() == []


def test_a_key_that_comes_twice_is_a_warning_elsewhere(place: Place) -> None:
    found = place.publish(place.load([1, 2, 2]))
    assert "more than once" in found.warnings[0]
    assert place.ids() == [1, 2, 2]


def test_moments_and_times_on_a_clock_arrive_in_utc(place: Place) -> None:
    import datetime as dt

    data = pa.table(
        {"id": pa.array([1]), "at": pa.array([dt.datetime(2024, 7, 1, 12)], pa.timestamp("us")), "score": [0.5]}
    )
    place.sql('CREATE TABLE {s}."scores" (id BIGINT, at TIMESTAMPTZ, score DOUBLE PRECISION)')
    place.publish(place.load(data=data, if_exists="append"))
    assert place.sql('SELECT CAST(at AS VARCHAR(64)) FROM {s}."scores"') == [("2024-07-01 12:00:00+00",)]


def test_a_table_made_with_keys_is_distributed_and_sorted_by_them(place: Place) -> None:
    place.publish(place.load(distkey="id", sortkey=("label", "score"), column_types={"label": "varchar(32)"}))
    [create] = [s.sql for s in place.cloud.redshift.statements('^CREATE TABLE "My .*"scores"') if place.schema in s.sql]
    assert create.endswith('DISTSTYLE KEY DISTKEY ("id") SORTKEY ("label", "score")')
    assert '"label" varchar(32)' in create


def test_the_first_schema_of_the_search_path_is_meant_when_none_is_given(place: Place) -> None:
    table = f"t_{uuid.uuid4().hex}"
    here = place.output(if_exists="replace").model_copy(update={"table": (table,)})
    try:
        place.publish(place.load(changes={"table": here}))
        assert place.sql(f"SELECT COUNT(*) FROM public.{table}") == [(3,)]
    finally:
        place.sql(f"DROP TABLE IF EXISTS public.{table}", "DELETE FROM public.airflow_sklearn_publications")


def test_the_bookkeeping_says_who_published_what(place: Place) -> None:
    place.publish(place.load(if_exists="append"))
    assert place.books("destination, number, partition, mode, row_count, published_by") == [
        (f'{place.schema}."scores"', 1, "run: run 1", "append", 3, "dag.task run")
    ]


def test_a_long_run_name_fits_the_bookkeeping_and_stays_its_own(place: Place) -> None:
    for end in "ab":
        place.publish(place.load([1], if_exists="append", run="é" * 1000 + end))
    assert place.ids() == [1, 1]
    with pytest.raises(PublishError, match="would double"):
        place.publish(place.load([1, 2], if_exists="append", run="é" * 1000 + "a"))


def test_a_thousand_files_are_one_copy(place: Place) -> None:
    load = place.load(range(2000), files=1000)
    assert len(load.files) == 1000
    assert place.publish(load).table_rows == 2000
    assert len([s for s in place.cloud.redshift.statements("^COPY") if place.schema in s.sql]) == 1


def test_files_without_rows_are_left_out(place: Place) -> None:
    load = place.load([1])
    empty = place.part(scores([]))
    place.publish(place.load([1], changes={"files": (empty, *load.files)}))
    assert place.ids() == [1]
