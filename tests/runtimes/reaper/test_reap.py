from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_sklearn.airflow_compat import States
from airflow_sklearn.runtimes.hosts import Host
from airflow_sklearn.runtimes.reaper.reap import Verdict, end_left_behind, judge

GRACE = timedelta(minutes=10)


def host(name: str = "i-1", *, map_index: int | None = 0, minutes: float = 60, ended: list[str] | None = None) -> Host:
    tags = {"airflow_dag_id": "dag", "airflow_task_id": "task", "airflow_run_id": "run"}
    tags |= {} if map_index is None else {"airflow_map_index": str(map_index)}
    started = datetime.now(UTC) - timedelta(minutes=minutes)
    return Host(name, tags, started, lambda: (ended if ended is not None else []).append(name))


def verdict(one: Host, states: States) -> Verdict:
    (judged,) = judge([one], lambda *_: states, GRACE)
    return judged.verdict


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "upstream_failed", "removed"])
def test_what_works_for_a_task_that_has_ended_was_left_behind(state: str) -> None:
    assert verdict(host(), {0: state, 1: "running"}) is Verdict.LEFT_BEHIND


@pytest.mark.parametrize("state", ["running", "deferred", "queued", "scheduled", "restarting", "up_for_retry", None])
def test_a_task_that_has_not_ended_keeps_its_host(state: str | None) -> None:
    """One that waits for its retry too: the next attempt takes it over."""
    assert verdict(host(), {0: state, 1: "failed"}) is Verdict.WORKING


def test_a_mapped_task_that_is_no_more_leaves_its_host_behind() -> None:
    assert verdict(host(map_index=7), {0: "running"}) is Verdict.LEFT_BEHIND


def test_a_host_of_several_mapped_tasks_works_as_long_as_one_of_them() -> None:
    assert verdict(host(map_index=None), {0: "failed", 1: "deferred"}) is Verdict.WORKING
    assert verdict(host(map_index=None), {0: "failed", 1: "success"}) is Verdict.LEFT_BEHIND


def test_what_this_airflow_does_not_know_is_not_touched() -> None:
    assert verdict(host(), {}) is Verdict.UNKNOWN


def test_what_was_started_just_now_is_not_touched() -> None:
    assert verdict(host(minutes=9), {0: "failed"}) is Verdict.YOUNG
    waiting = Host("task", host().tags, None, lambda: None)
    assert verdict(waiting, {0: "failed"}) is Verdict.YOUNG


def test_airflow_is_asked_once_a_task() -> None:
    asked: list[Any] = []

    def states(*who: str) -> States:
        asked.append(who)
        return {0: "failed", 1: "failed"}

    assert len(judge([host("a"), host("b", map_index=1), host("c")], states, GRACE)) == 3
    assert asked == [("dag", "task", "run")]


def test_one_that_cannot_be_ended_keeps_none_of_the_others() -> None:
    ended: list[str] = []

    def refuse() -> None:
        raise RuntimeError("throttled")

    stubborn = Host("b", host().tags, host().started_at, refuse)
    judged = judge([host("a", ended=ended), stubborn, host("c", ended=ended)], lambda *_: {0: "failed"}, GRACE)
    assert end_left_behind(judged, dry_run=False) == (["a", "c"], ["b"])
    assert ended == ["a", "c"]


def test_a_dry_run_ends_nothing() -> None:
    ended: list[str] = []
    judged = judge([host("a", ended=ended)], lambda *_: {0: "failed"}, GRACE)
    assert end_left_behind(judged, dry_run=True) == (["a"], [])
    assert ended == []
