"""Deciding which hosts are left behind, and ending them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from airflow_sklearn.runtimes import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import timedelta

    from airflow_sklearn.airflow_compat import States
    from airflow_sklearn.runtimes.base import AwsAccess
    from airflow_sklearn.runtimes.hosts import Host

_LOG = logging.getLogger(__name__)
#: The states of ended task instances. In other states a task may still look for its host, or take it over.
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


class Verdict(StrEnum):
    """Whether a host is left behind, and if not, why it stays."""

    WORKING = "works for a task that has not ended"
    YOUNG = "was started just now"
    UNKNOWN = "belongs to a run that this Airflow does not know: left alone"
    LEFT_BEHIND = "was left behind"


class Judged(NamedTuple):
    """A host and its verdict."""

    host: Host
    verdict: Verdict


def find_hosts(
    aws: AwsAccess, where: Mapping[str, Iterable[str]], *, region_name: str | None, tags: Mapping[str, str]
) -> Iterator[Host]:
    """All hosts that run for Airflow tasks.

    :param aws: access to AWS.
    :param where: the places to look for hosts, such as ECS clusters, by the runtime's name. One empty text for a
        runtime that has only one place.
    :param region_name: the region; None: the connection's.
    :param tags: tags that a host must have.
    :raises UserError: there is no such runtime.
    """
    for name, places in where.items():
        runtime = registry.load(name)
        for place in places:
            yield from runtime.hosts(aws, place, region_name=region_name, tags=tags)


def judge(hosts: Iterable[Host], states_of: Callable[[str, str, str], States], grace: timedelta) -> list[Judged]:
    """Decide for each host whether it is left behind.

    :param states_of: returns the states of a task's instances, by DAG, task and run; empty if Airflow knows none.
    :param grace: younger hosts stay.
    """
    known: dict[tuple[str, str, str], States] = {}
    judged = []
    for host in hosts:
        if host.task not in known:
            known[host.task] = states_of(*host.task)
        judged.append(Judged(host, _verdict(host, known[host.task], grace)))
    return judged


def end_left_behind(judged: Iterable[Judged], *, dry_run: bool) -> tuple[list[str], list[str]]:
    """End the hosts that are left behind.

    :param dry_run: only log what would be ended.
    :return: the names of hosts that were ended, and of those that could not be.
    """
    ended, failed = [], []
    for host, verdict in judged:
        dag_id, task_id, run_id = host.task
        _LOG.info("%s (DAG %s, task %s, run %s) %s.", host.name, dag_id, task_id, run_id, verdict.value)
        if verdict is not Verdict.LEFT_BEHIND:
            continue
        try:
            if not dry_run:
                host.end()
        except Exception as error:  # go on with the others
            _LOG.error("%s could not be ended: %s", host.name, error)
            failed.append(host.name)
        else:
            ended.append(host.name)
    return ended, failed


def _verdict(host: Host, states: States, grace: timedelta) -> Verdict:
    if not states:
        return Verdict.UNKNOWN
    # A mapped instance that does not exist any more was removed when its task was expanded again.
    mine = list(states.values()) if host.map_index is None else [states.get(host.map_index, "removed")]
    if any(state not in _ENDED for state in mine):
        return Verdict.WORKING
    if host.started_at is None or datetime.now(UTC) - host.started_at < grace:
        return Verdict.YOUNG
    return Verdict.LEFT_BEHIND
