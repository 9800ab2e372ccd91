"""``doctor`` says what will fail: models, places of this machine, and ECS as a local AWS has it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.model import Versions
from airflow_sklearn.storage import Storage
from local_cloud import ministack
from tests.cli.conftest import Call
from tests.factories import stored_model
from tests.runtimes.ecs.conftest import DEFINITION


def by_name(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {check["name"]: (check["status"], check["message"] + check["fix"]) for check in found["checks"]}


def test_a_folder_that_cannot_be_written_and_a_source_that_is_not_there_will_fail(here: Path, called: Call) -> None:
    (here / "file").write_text("this is no folder")
    found = by_name(called("doctor", "--destination", "file", "--source", "gone.csv", "--model", "none", code=1))
    assert (found["destination"][0], found["source"][0], found["model"][0]) == ("fail", "fail", "warn")
    assert "No object matches" in found["source"][1]
    assert "if it is yet to be trained" in found["model"][1]


def test_a_folder_is_tried_and_left_as_it_was(here: Path, called: Call) -> None:
    found = by_name(called("doctor", "--destination", "out"))
    assert found["destination"][0] == "ok"
    assert not [path for path in here.rglob("*") if path.is_file()]


def test_a_model_that_is_not_whole_or_was_fitted_with_other_software_will_fail(here: Path, called: Call) -> None:
    versions = Versions(python="2.7.18", packages={"numpy": "0.1.0"})
    stored_model(Storage(), f"file://{here}/model", versions=versions)  # its artifact was never stored
    found = by_name(called("doctor", "--model", "model", code=1))
    assert "train again" in found["model"][1]
    assert "2.7.18 at training" in found["versions"][1]
    assert "0.1.0 at training" in found["versions"][1]


@pytest.fixture(scope="module")
def ecs(cloud: ministack.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack.Cloud]:
    """A local AWS with a cluster and two task definitions."""
    with ministack.running(tmp_path_factory.mktemp("ecs") / "log", services="ecs,s3,sts") as running:
        client = running.client("ecs")
        client.create_cluster(clusterName="ml")
        good: dict[str, Any] = copy.deepcopy(DEFINITION)
        good["containerDefinitions"][0]["name"] = "worker"
        good |= {"cpu": "1024", "memory": "2048"}
        client.register_task_definition(family="good", taskRoleArn="arn:aws:iam::000000000000:role/task", **good)
        del good["containerDefinitions"][0]["logConfiguration"]
        good["containerDefinitions"][0]["image"] = "acme/worker:latest"
        client.register_task_definition(family="poor", **good)
        yield running


@pytest.fixture
def in_ecs(ecs: ministack.Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ecs.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("in_ecs")
def test_a_cluster_and_a_task_definition_with_all_that_jobs_need_are_fine(called: Call) -> None:
    found = by_name(called("doctor", "--cluster", "ml", "--task-definition", "good"))
    assert [found[name][0] for name in ("credentials", "cluster", "image", "log", "task role")] == ["ok"] * 5
    assert "acme/worker:7" in found["image"][1]


@pytest.mark.usefixtures("in_ecs")
def test_what_a_task_definition_lacks_is_said(called: Call) -> None:
    found = by_name(called("doctor", "--cluster", "gone", "--task-definition", "poor", code=1))
    assert {name: found[name][0] for name in ("cluster", "image", "log", "task role")} == {
        "cluster": "fail",
        "image": "warn",
        "log": "warn",
        "task role": "fail",
    }
    unknown = by_name(called("doctor", "--task-definition", "none", code=1))
    assert "there is no such task definition" in unknown["image"][1]
