"""Whose rows a publication into a table may replace."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.datasets.redshift import publish
from airflow_sklearn.datasets.redshift.publication_log import Record
from airflow_sklearn.exceptions import ObjectChangedError, PublicationRefusedError
from tests.datasets.redshift.publishing import BOOKS, Place

TASK = {"dag_id": "d", "task_id": "a.plan", "run_id": "r", "map_index": -1}
DAY = {"day": "2024-01-01"}


def planned(second: int, **changes: Any) -> dict[str, Planned]:
    return {"planned": Planned(at=f"2026-01-01T00:00:{second:02d}.000000+00:00", **{**TASK, **changes})}


@pytest.mark.parametrize(
    "how",
    [
        {"if_exists": "replace"},
        {"if_exists": "truncate"},
        {"if_exists": "replace", "partition": DAY},
        {"if_exists": "replace", "where": '"id" < 100'},
    ],
)
def test_an_older_run_does_not_replace_a_newer_one(
    place: Place, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(publish.log, "info", lambda text, *values: said.append(text % values))
    older = place.load([1], changes=planned(1), **how)
    place.publish(older)
    place.publish(place.load([2, 3], changes=planned(2, run_id="r2"), **how))
    assert any("Replaced in" in line and ": 1 row at" in line for line in said)
    with pytest.raises(PublicationRefusedError) as caught:
        place.publish(older)
    for word in ("2 rows at", "00:00:01", "00:00:02", "dag.task run", "replace_newer=True", "clear the plan task"):
        assert word in str(caught.value)
    assert place.ids() == [2, 3]
    assert place.leftovers() == []
    place.publish(place.load([1], changes={**planned(1), "replace_newer": True}, **how))
    assert place.ids() == [1]


def test_two_tasks_of_a_run_do_not_replace_each_others_table(place: Place) -> None:
    place.publish(place.load([1], if_exists="replace", changes=planned(1)))
    with pytest.raises(PublicationRefusedError, match=r"another task: 1 row.*a destination of its own"):
        place.publish(place.load([2], if_exists="replace", changes=planned(2, task_id="b.plan")))
    assert place.ids() == [1]
    place.publish(place.load([2], if_exists="replace", changes=planned(2)))  # cleared, with its plan
    place.publish(place.load([3], if_exists="replace", changes=planned(3, task_id="b.plan", run_id="r2")))
    assert place.ids() == [3]


def test_runs_of_other_partitions_do_not_matter(place: Place) -> None:
    place.publish(place.load([1], if_exists="replace", partition=DAY, changes=planned(2)))
    other = {"day": "2024-01-02"}
    place.publish(place.load([2], if_exists="replace", partition=other, changes=planned(1, task_id="b.plan")))
    assert place.ids() == [1, 2]
    with pytest.raises(PublicationRefusedError, match="newer run"):
        place.publish(place.load([3], if_exists="replace", changes=planned(1, run_id="r0")))


def test_rows_that_are_added_replace_none(place: Place) -> None:
    place.publish(place.load([1], if_exists="append", changes=planned(2)))
    place.publish(place.load([2], if_exists="append", run="run 2", changes=planned(1, run_id="r0")))
    assert place.ids() == [1, 2]


def test_the_newest_run_that_found_its_rows_published_counts(place: Place) -> None:
    place.publish(place.load([1], if_exists="replace", changes=planned(1)))
    assert not place.publish(place.load([1], if_exists="replace", changes=planned(3, run_id="r3"))).published
    with pytest.raises(PublicationRefusedError, match="00:00:03"):
        place.publish(place.load([2], if_exists="replace", changes=planned(2, run_id="r2")))


def test_where_no_order_is_known_rows_are_replaced(place: Place) -> None:
    place.publish(place.load([1], if_exists="replace"))
    place.publish(place.load([2], if_exists="replace", changes=planned(1)))
    place.publish(place.load([3], if_exists="replace"))
    assert place.ids() == [3]
    assert place.sql(f'SELECT "published_by" FROM {{s}}.{BOOKS}') == [("dag.task run",)]


def test_a_part_that_is_not_what_its_digest_says_is_not_loaded(place: Place) -> None:
    place.publish(place.load([1], if_exists="replace"))
    load = place.load([2], if_exists="replace")
    place.storage.write(load.files[0].uri, place.storage.read(place.load([3]).files[0].uri))
    with pytest.raises(ObjectChangedError, match="damaged or overwritten"):
        place.publish(load)
    assert place.ids() == [1]
    assert place.leftovers() == []


@pytest.mark.parametrize("author", ["", "dag.task run", "a; planned at x", "ä" * 1000])
def test_the_author_that_is_kept_says_when_the_run_was_planned(author: str) -> None:
    from airflow_sklearn.datasets.redshift.publication_log import _record

    record = Record(1, "table", "p", "f", "replace", 2, "2026-01-01", table=3)
    for at in (Planned(), Planned(at="2026-01-01T00:00:00.000000+00:00"), planned(1)["planned"]):
        kept = record.by(author, at)
        assert len(kept.author.encode()) <= 1000
        row = (1, "table", "p", "f", "replace", 2, "2026-01-01", kept.author, 3)
        found = _record(row)
        assert (found.planned_at, found.task, found.run) == (kept.planned_at, kept.task, kept.run)
        assert found.published_by == author or hashlib.sha256(author.encode()).hexdigest() in found.published_by
