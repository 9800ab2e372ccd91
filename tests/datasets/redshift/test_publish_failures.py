"""What dies, sleeps or races on the way into a table: nothing is lost, nothing is doubled, or a clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_sklearn.contract.tables import DataApi
from airflow_sklearn.datasets.redshift import data_api
from airflow_sklearn.datasets.redshift.database import Answer, Statement
from airflow_sklearn.datasets.redshift.publish import TableLoad, publish_table
from airflow_sklearn.datasets.redshift.sql_database import SqlDatabase
from airflow_sklearn.exceptions import PublicationRefusedError, PublishError, RedshiftError, StatementRunningError
from tests.datasets.redshift.publishing import Attempt, Place, each_isolation

DAY = {"day": "2024-01-01"}
MODES: list[dict[str, Any]] = [
    {"if_exists": "append"},
    {"if_exists": "truncate"},
    {"if_exists": "replace"},
    {"if_exists": "replace", "partition": DAY},
    {"if_exists": "replace", "where": "id < 100"},
    {"if_exists": "upsert"},
]
each_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: " ".join(mode))


class KilledError(BaseException):
    """The process ends: nothing is tidied up."""


class Mortal(SqlDatabase):
    """Dies before a step, or after it."""

    def __init__(self, *, before: str = "", after: str = "") -> None:
        super().__init__("redshift_default", None, tag="airflow-sklearn test")
        self._before, self._after = before, after

    def run(self, statements: Sequence[Statement], *, step: str) -> list[Answer]:
        if step == self._before:
            raise KilledError
        answers = super().run(statements, step=step)
        if step == self._after:
            raise KilledError
        return answers


class LosesCommit(SqlDatabase):
    """Of the swap, the server hears the commit or not; the client never hears the answer."""

    def __init__(self, place: Place, when: Any) -> None:
        super().__init__("redshift_default", None, tag="airflow-sklearn test")
        self._place, self._when = place, when

    def run(self, statements: Sequence[Statement], *, step: str) -> list[Answer]:
        if step != "publish: swap":
            return super().run(statements, step=step)
        with self._place.cloud.redshift.drop_connection("^commit", when=self._when) as fault:
            try:
                return super().run(statements, step=step)
            finally:
                assert fault.fired == 1


def paused_before_swap(place: Place, load: TableLoad) -> tuple[Attempt, Any]:
    """A publication that has read, loaded and checked, and sleeps."""
    fault = place.cloud.redshift.pause(f"^LOCK TABLE {place.schema}")
    attempt = Attempt(place, load)
    fault.wait()
    return attempt, fault


@each_mode
@pytest.mark.parametrize("step", ["publish: copy", "publish: check", "publish: swap"])
def test_a_publication_that_dies_before_the_swap_is_taken_up(place: Place, mode: dict[str, Any], step: str) -> None:
    place.publish(
        place.load([200], if_exists="append", run="before") if "partition" not in mode else place.load(**mode)
    )
    before = place.ids()
    with pytest.raises(KilledError):
        publish_table(Mortal(before=step), place.storage, place.load([4, 5], **mode))
    assert place.ids() == before
    assert place.leftovers()
    found = place.publish(place.load([4, 5], **mode, attempt="2"))
    assert found.published
    assert [n for n in place.ids() if n < 100] == [4, 5]
    assert place.leftovers() == []


@each_mode
def test_a_publication_that_dies_after_the_swap_is_not_repeated(place: Place, mode: dict[str, Any]) -> None:
    with pytest.raises(KilledError):
        publish_table(Mortal(after="publish: swap"), place.storage, place.load([4, 5], **mode))
    assert not place.publish(place.load([4, 5], **mode, attempt="2")).published
    assert place.ids() == [4, 5]
    assert place.leftovers() == []


@each_mode
def test_a_commit_whose_answer_is_lost_is_found_in_the_bookkeeping(place: Place, mode: dict[str, Any]) -> None:
    found = publish_table(LosesCommit(place, "after"), place.storage, place.load([4, 5], **mode))
    assert (found.published, found.table_rows) == (True, 2)
    assert place.ids() == [4, 5]
    assert place.leftovers() == []


def test_a_commit_that_does_not_arrive_is_told_and_can_be_repeated(place: Place) -> None:
    load = place.load([4, 5], if_exists="append")
    with pytest.raises(PublishError, match="nothing was changed"):
        publish_table(LosesCommit(place, "before"), place.storage, load)
    assert place.leftovers() == []
    place.publish(load)
    assert place.ids() == [4, 5]


def test_the_connection_breaks_after_copy(place: Place) -> None:
    with place.cloud.redshift.drop_connection("^COPY", when="after"), pytest.raises(RedshiftError):
        place.publish(place.load(if_exists="append"))
    place.publish(place.load(if_exists="append", attempt="2"))
    assert place.ids() == [1, 2, 3]
    assert place.leftovers() == []


@each_isolation
@each_mode
def test_a_zombie_and_a_retry_publish_once(place: Place, mode: dict[str, Any]) -> None:
    zombie, fault = paused_before_swap(place, place.load([1, 2], **mode))
    with fault:
        retry = Attempt(place, place.load([1, 2], **mode, attempt="2"))
        assert retry.result().published
    assert not zombie.result().published
    assert place.ids() == [1, 2]
    assert len(place.books()) == 1
    assert place.leftovers() == []


@each_mode
def test_a_zombie_that_kept_its_staging_table_does_not_publish_again(place: Place, mode: dict[str, Any]) -> None:
    redshift = place.cloud.redshift
    zombie, fault = paused_before_swap(place, place.load([1, 2], **mode))
    with fault, redshift.fail("^DROP TABLE .*airflow_sklearn_staging", "must be owner", sqlstate="42501") as kept:
        assert place.publish(place.load([1, 2], **mode, attempt="2")).published
        assert kept.fired == 1
    assert not zombie.result().published
    assert place.ids() == [1, 2]
    assert len(place.books()) == 1


@each_isolation
def test_attempts_at_the_same_moment_publish_once(place: Place) -> None:
    place.publish(place.load([9], if_exists="append", run="before"))
    attempts = [Attempt(place, place.load([1, 2], if_exists="append", attempt=str(n))) for n in range(4)]
    results = []
    for attempt in attempts:
        try:
            results.append(attempt.result().published)
        except (PublishError, RedshiftError):  # its staging table went to another
            results.append(False)
    place.publish(place.load([1, 2], if_exists="append", attempt="last"))
    assert sum(results) <= 1
    assert place.ids() == [1, 2, 9]


def test_a_zombie_whose_staging_table_is_gone_says_so(place: Place) -> None:
    zombie, fault = paused_before_swap(place, place.load([1, 2], if_exists="append"))
    second = place.load([1, 2], if_exists="append", attempt="2")
    with fault, pytest.raises(KilledError):
        publish_table(Mortal(before="publish: copy"), place.storage, second)
    with pytest.raises(PublicationRefusedError, match="another attempt at this publication has taken over"):
        zombie.result()
    assert place.books() == []


def test_a_publication_whose_staging_table_is_gone_before_it_is_checked_says_so(place: Place) -> None:
    second = place.load([1], if_exists="append", attempt="2")

    class Overtaken(SqlDatabase):
        def run(self, statements: Sequence[Statement], *, step: str) -> list[Answer]:
            if step == "publish: check":
                place.publish(second)
            return super().run(statements, step=step)

    zombie = Overtaken("redshift_default", None, tag="airflow-sklearn test")
    with pytest.raises(PublicationRefusedError, match="another attempt at this publication has taken over"):
        publish_table(zombie, place.storage, place.load([1, 2], if_exists="append"))
    assert place.ids() == [1]


@each_mode
def test_leftovers_of_another_content_of_a_run_are_removed(place: Place, mode: dict[str, Any]) -> None:
    """A run that died after COPY and was cleared from its plan on has other rows."""
    with pytest.raises(KilledError):
        publish_table(Mortal(before="publish: swap"), place.storage, place.load([1], **mode))
    assert len(place.leftovers()) == 2
    place.publish(place.load([2], **mode, attempt="2"))
    assert place.leftovers() == []


@each_isolation
@pytest.mark.parametrize("mode", MODES[1:-1], ids=lambda mode: " ".join(mode))
def test_a_publication_that_slept_does_not_undo_what_was_published_since(place: Place, mode: dict[str, Any]) -> None:
    place.publish(place.load([1], **mode))
    sleeper, fault = paused_before_swap(place, place.load([2], **mode))
    with fault:
        Attempt(place, place.load([3], **mode, run="newer")).result()
    with pytest.raises(PublicationRefusedError, match=r"another run published there: 1 row at .*Nothing was changed"):
        sleeper.result()
    assert place.ids() == [3]
    assert place.leftovers() == []


def test_a_partition_is_not_replaced_when_the_whole_table_was_since(place: Place) -> None:
    place.publish(place.load([1], if_exists="replace", partition=DAY))
    sleeper, fault = paused_before_swap(place, place.load([2], if_exists="replace", partition=DAY))
    with fault:
        Attempt(place, place.load([3], if_exists="truncate")).result()
    with pytest.raises(PublishError, match="another run published there"):
        sleeper.result()
    assert place.ids() == [3]


@each_isolation
def test_runs_of_different_days_publish_at_the_same_time(place: Place) -> None:
    days = [f"2024-01-0{n}" for n in range(1, 6)]
    attempts = [
        Attempt(place, place.load([1, 2], if_exists="replace", partition={"day": day}, run=day)) for day in days
    ]
    assert all(attempt.result().published for attempt in attempts)
    assert place.sql('SELECT day, COUNT(*) FROM {s}."scores" GROUP BY day ORDER BY day') == [(day, 2) for day in days]
    assert place.leftovers() == []


@each_isolation
def test_different_runs_append_at_the_same_time(place: Place) -> None:
    attempts = [Attempt(place, place.load([n], if_exists="append", run=str(n))) for n in range(5)]
    assert all(attempt.result().published for attempt in attempts)
    assert place.ids() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("place", ["snapshot"], indirect=True)
def test_snapshot_isolation_is_what_the_connection_has(place: Place) -> None:
    answer = place.database.run([Statement("SHOW transaction_isolation")], step="look")
    assert answer[0].rows[0][0] == "repeatable read"


def test_a_conflict_with_a_foreign_writer_is_run_again(place: Place) -> None:
    place.publish(place.load([1, 2], if_exists="replace"))
    redshift = place.cloud.redshift
    with redshift.pause('^DELETE FROM .*"scores"') as fault:
        attempt = Attempt(place, place.load([3], if_exists="replace"))
        fault.wait()
        place.sql('UPDATE {s}."scores" SET score = 0 WHERE id = 1')
    assert attempt.result().published
    assert place.ids() == [3]
    swaps = [s.status for s in redshift.statements('^DELETE FROM .*"scores"') if place.schema in s.sql]
    assert len(swaps) == 3, "the first one, one in vain, and one more"


def test_a_table_that_gains_a_column_takes_the_rows_all_the_same(place: Place) -> None:
    place.publish(place.load([1], if_exists="append", run="a"))
    attempt, fault = paused_before_swap(place, place.load([2], if_exists="append", run="b"))
    with fault:
        place.sql('ALTER TABLE {s}."scores" ADD COLUMN note VARCHAR(16)')
    assert attempt.result().published
    assert place.sql('SELECT id, note FROM {s}."scores" ORDER BY 1') == [(1, None), (2, None)]


def test_a_table_that_gains_a_column_that_rows_must_have_is_a_clear_error(place: Place) -> None:
    place.publish(place.load([], if_exists="append", run="a"))
    attempt, fault = paused_before_swap(place, place.load([2], if_exists="append", run="b"))
    with fault:
        place.sql('ALTER TABLE {s}."scores" ADD COLUMN note INTEGER NOT NULL')
    with pytest.raises(PublishError, match="'note' is NOT NULL and has no default"):
        attempt.result()
    assert place.leftovers() == []


def test_a_table_that_is_dropped_in_the_meantime_is_a_clear_error(place: Place) -> None:
    place.publish(place.load([1], if_exists="append", run="a"))
    attempt, fault = paused_before_swap(place, place.load([2], if_exists="append", run="b"))
    with fault:
        place.sql('DROP TABLE {s}."scores"')
    with pytest.raises(PublishError, match="was dropped by somebody else"):
        attempt.result()


def test_a_table_that_appears_in_the_meantime_is_refused_with_fail(place: Place) -> None:
    attempt, fault = paused_before_swap(place, place.load([2]))
    with fault:
        place.sql('CREATE TABLE {s}."scores" (id INTEGER)')
    with pytest.raises(PublicationRefusedError, match="exists, and if_exists is 'fail'"):
        attempt.result()
    assert place.ids() == []


def test_whoever_cannot_use_the_bookkeeping_is_told_what_to_grant(place: Place) -> None:
    place.publish(place.load([1], if_exists="append", run="a"))
    with (
        place.cloud.redshift.fail(f'^SELECT "number".*{place.name[4:16]}', "permission denied", sqlstate="42501"),
        pytest.raises(PublishError, match=r"GRANT SELECT, INSERT, UPDATE, DELETE ON .*airflow_sklearn_publications"),
    ):
        place.publish(place.load([2], if_exists="append", run="b"))


@each_mode
def test_a_task_that_waits_in_the_triggerer_publishes_once(
    place: Place, mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it comes back it starts over; what has run is not run again."""
    monkeypatch.setattr(data_api, "_SHORT_SECONDS", 0.0)
    api = place.cloud.redshift.data_api
    where = DataApi(workgroup_name=api.workgroup, database=place.cloud.redshift.database)
    done: dict[str, str] = {}
    deferrals = 0
    load = place.load([1, 2], **mode)
    while True:
        database = data_api.DataApiDatabase(api.client, where, tag="airflow-sklearn test", statements=done, wait=False)
        try:
            found = publish_table(database, place.storage, load)
            break
        except StatementRunningError as running:
            deferrals += 1
            assert deferrals < 50
            while api.client().describe_statement(Id=running.statement_id)["Status"] in (
                "SUBMITTED",
                "PICKED",
                "STARTED",
            ):
                pass
    assert (found.published, found.table_rows) == (True, 2)
    assert deferrals
    assert place.ids() == [1, 2]
    assert place.leftovers() == []
