"""Which instance does a job queue's jobs is written down below a destination: one of somebody else is left alone."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_sklearn.contract.job_queue import Placement, QueueInstance
from airflow_sklearn.exceptions import DocumentError
from airflow_sklearn.runtimes.ec2 import ownership

PLACEMENT = Placement(
    pool="s3://acme/jobs/pools/0123456789abcdef",
    number="000000",
    slot=0,
    slots=1,
    job_uri="s3://acme/jobs/a.json",
    result_uri="s3://acme/jobs/a.result.json",
    submitted_at=0.0,
)
OURS = [{"Key": "airflow_sklearn_roster", "Value": ownership.queue_id(PLACEMENT)}]


def alive(monkeypatch: pytest.MonkeyPatch, instance: dict[str, Any] | None, launched_at: float = 0.0) -> bool:
    monkeypatch.setattr(ownership, "describe", lambda client, ids: ({"i-1": instance}, []))
    return ownership.is_alive(None, PLACEMENT, QueueInstance(instance_id="i-1", launched_at=launched_at))


def instance(tags: list[dict[str, str]], state: str = "running") -> dict[str, Any]:
    return {"InstanceId": "i-1", "State": {"Name": state}, "Tags": tags}


def test_the_queue_s_own_instance_is_known_by_its_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    assert alive(monkeypatch, instance(OURS))
    assert not alive(monkeypatch, instance(OURS, "shutting-down"))


@pytest.mark.parametrize("tags", [[], [{"Key": "airflow_sklearn_roster", "Value": "another"}]])
def test_another_instance_is_neither_taken_over_nor_ended(
    monkeypatch: pytest.MonkeyPatch, tags: list[dict[str, str]]
) -> None:
    with pytest.raises(DocumentError, match="was not launched for the jobs in"):
        alive(monkeypatch, instance(tags))


def test_an_instance_that_has_ended_or_is_not_known_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not alive(monkeypatch, instance([], "terminated"))
    assert not alive(monkeypatch, None)
    assert alive(monkeypatch, None, time.time())
