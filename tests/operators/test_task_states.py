"""Task states as Airflow's database has them; as tasks and triggers ask for them: tests/cloud/test_reaper.py."""

from __future__ import annotations

from collections.abc import Callable

from airflow_sklearn.airflow_compat import states_in_database
from tests.operators.database import Run

RunDag = Callable[..., Run]
BODY = """
@task
def alone():
    return [1, 2]

@task
def mapped(number):
    return number

mapped.expand(number=alone())
"""


def test_the_database_tells_the_states_of_mapped_tasks_and_of_others(run_dag: RunDag) -> None:
    run = run_dag(BODY)
    assert states_in_database(run.dag_id, "alone", run.run_id) == {-1: "success"}
    assert states_in_database(run.dag_id, "mapped", run.run_id) == {0: "success", 1: "success"}
    assert states_in_database(run.dag_id, "mapped", run.run_id, 1) == {1: "success"}


def test_what_airflow_does_not_know_has_no_states(run_dag: RunDag) -> None:
    run = run_dag(BODY)
    assert states_in_database(run.dag_id, "alone", "no such run") == {}
    assert states_in_database("no such dag", "alone", run.run_id) == {}
