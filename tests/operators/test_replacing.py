"""Whose rows a commit replaces: what the plan tells it of the task, the run and the time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_sklearn import Dataset, LocalRuntime, SklearnCommitOperator, SklearnPlanOperator, sklearn_predict
from airflow_sklearn.airflow_compat import DAG, AirflowFailException
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.ledger import Ledger, read_plan
from airflow_sklearn.storage import Storage
from tests.factories import receipt, stored_model
from tests.operators.fakes import task_context


class Runs:
    """Plans and commits of tasks of one model, into one destination."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.storage, self.count = folder, Storage(), 0
        stored_model(self.storage, f"file://{folder}/model")

    def plan(self, task: str, run: str = "r", *, dag: str = "d", rows: int = 10, **options: Any) -> str:
        """Plan over a new source. :return: the plan's URI."""
        self.count += 1
        source = f"{self.folder}/in-{self.count}/x.csv"
        self.storage.write(f"file://{source}", b"0001,1234\n" * rows)
        operator = SklearnPlanOperator(
            task_id=f"{task}.plan-{self.count}",
            model=f"{self.folder}/model",
            source=source,
            destination=Dataset(f"{self.folder}/out", file_format="csv"),
            aws_conn_id=None,
            **options,
        )
        context = task_context()
        context["ti"] = SimpleNamespace(
            **{**vars(context["ti"]), "dag_id": dag, "task_id": f"{task}.plan", "run_id": run}
        )
        uri = operator.attempt(context)[0]["plan"]
        plan = read_plan(self.storage, uri)
        for number in range(len(plan.chunks)):
            Ledger(self.storage, plan.ledger).record(receipt(self.storage, plan, number))
        return str(uri)

    def commit(self, plan: str, **options: Any) -> dict[str, Any]:
        self.count += 1
        operator = SklearnCommitOperator(task_id=f"commit-{self.count}", plan=plan, aws_conn_id=None, **options)
        return operator.attempt(task_context())


@pytest.fixture
def runs(tmp_path: Path) -> Any:
    with DAG("dag", start_date=datetime(2026, 1, 1), schedule=None):
        yield Runs(tmp_path)


@pytest.mark.parametrize("options", [{}, {"partition": "day=1"}])
def test_the_second_of_two_groups_with_one_destination_fails_and_names_the_first(
    runs: Runs, options: dict[str, Any]
) -> None:
    first, second = runs.plan("a", **options), runs.plan("b", **options)
    place = Path(runs.commit(first)["uri"].removeprefix("file://"))
    with pytest.raises(AirflowFailException, match=r"another task: 10 rows.*a\.plan of d.*Fix: give each task a part"):
        runs.commit(second)
    assert runs.commit(first)["published"] is False
    assert len(list(place.glob("part-*"))) == 1


def test_a_group_that_comes_after_the_other_is_told_before_anything_is_computed(runs: Runs) -> None:
    runs.commit(runs.plan("a"))
    with pytest.raises(AirflowFailException, match="holds the rows of another task"):
        runs.plan("b")
    runs.commit(runs.plan("b", partition="b"))
    runs.commit(runs.plan("a"))  # cleared with its plan: its own rows


def test_two_dags_whose_runs_have_one_name_do_not_share_a_partition_that_nobody_chose(runs: Runs) -> None:
    run = "scheduled__2026-01-01T00:00:00+00:00"
    runs.commit(runs.plan("a", run))
    with pytest.raises(AirflowFailException, match="another task"):
        runs.plan("a", run, dag="e")


def test_a_partition_that_two_dags_were_given_is_replaced(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    runs.commit(runs.plan("a", partition="day=1"))
    assert runs.commit(runs.plan("a", dag="e", partition="day=1"))["published"]


def test_an_older_run_that_is_cleared_fails_unless_it_is_to_replace_the_newer_one(runs: Runs) -> None:
    older, newer = (runs.plan("a", run, partition="latest") for run in ("monday", "tuesday"))
    runs.commit(newer)
    with pytest.raises(
        AirflowFailException, match=r"newer run: .* in the run tuesday.* in the run monday.*replace_newer"
    ):
        runs.commit(older)
    assert runs.commit(older, replace_newer=True)["published"]


def test_a_group_passes_on_whether_newer_rows_may_be_replaced() -> None:
    where: dict[str, Any] = {"model": "/m", "source": "/a.csv", "destination": "/d", "runtime": LocalRuntime()}
    with DAG("d", start_date=datetime(2026, 1, 1), schedule=None, default_args={"replace_newer": True}):
        assert sklearn_predict("plain", **where).commit.replace_newer is True
        assert sklearn_predict("other", replace_newer=False, **where).commit.replace_newer is False
        with pytest.raises(UserError, match="replace_newer='yes': give True or False"):
            sklearn_predict("wrong", replace_newer="yes", **where)  # type: ignore[arg-type]


@pytest.mark.parametrize("native", [True, False])
def test_a_text_stays_the_text_that_its_template_makes(native: bool) -> None:
    texts = {"partition": "{{ ds_nodash }}", "ledger": "/l/{{ '1e5' }}", "method": "{{ 'auto' }}"}
    with DAG("d", start_date=datetime(2026, 1, 1), schedule=None, render_template_as_native_obj=native):
        task = SklearnPlanOperator(
            task_id="t", model="/m", source="{{ ['/a.csv'] }}", destination="/d", chunk_size="{{ 5 }}", **texts
        )
        other = SklearnPlanOperator(
            task_id="u", model="/m", source="/s.csv", destination="/d", partition="{{ '1_000' }}", ledger="{{ none }}"
        )
    for one in (task, other):
        one.render_template_fields({"ds_nodash": "20260105"})  # type: ignore[typeddict-item]
    assert (task.partition, task.ledger, task.method) == ("20260105", "/l/1e5", "auto")
    assert other.partition == "1_000"
    if native:
        assert (task.source, task.chunk_size, other.ledger) == (["/a.csv"], 5, None)
