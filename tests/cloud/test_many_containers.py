"""Fifty containers at once, as many as a run of a large table has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cloud.observing import containers_by_chunk, finish
from tests.cloud.workload import CHUNK_ROWS, Workload
from tests.operators.real_airflow import RealAirflow


@pytest.mark.timeout(1800)
def test_a_triggerer_that_restarts_loses_none_of_fifty_chunks_at_once(
    airflow: RealAirflow, workload_of: Callable[..., Workload], gated_model: str
) -> None:
    workload = workload_of(chunks=50)
    run = airflow.run("fifty", workload.predict(gated_model, deferrable="True", retries="0", poll_interval="5"))
    airflow.wait_for(
        "all chunks to be deferred",
        lambda: list(run.states("score.predict").values()).count("deferred") == 50,
        seconds=600,
    )
    airflow.wait_for("50 containers at the gate", lambda: len(workload.running()) == 50, pause=5)
    assert len(workload.local.containers()) == 50
    with airflow.without_triggerer():
        assert len(workload.tasks("RUNNING")) == 50, "its end stops no container"
    finish(airflow, workload, run, seconds=600)
    assert len(workload.published()) == 50 * CHUNK_ROWS
    assert set(containers_by_chunk(workload).values()) == {1}
