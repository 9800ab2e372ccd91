"""What a worker learns of the container that it runs in."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest

from airflow_sklearn.system import cgroup as container

GIB = 2**30
IMAGE = {"Image": "registry.example/worker:7", "ImageID": "sha256:1234"}


class Metadata(http.server.BaseHTTPRequestHandler):
    """ECS's task metadata endpoint: answers by path, with what a test puts there."""

    answers: dict[str, Any] = {}
    delay = 0.0

    def do_GET(self) -> None:
        time.sleep(self.delay)
        body = self.answers.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Metadata]]:
    answering = type("Answering", (Metadata,), {"answers": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", f"http://127.0.0.1:{server.server_port}/v4/x")
    yield answering
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_SKLEARN_PROCESSES", raising=False)
    monkeypatch.delenv("ECS_CONTAINER_METADATA_URI_V4", raising=False)


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_memory_limit_is_the_control_groups_of_either_version(tmp_path: Path, name: str) -> None:
    assert container.memory_limit(write(tmp_path, name, "536870912\n")) == GIB // 2


@pytest.mark.parametrize(
    ("name", "text"), [("memory.max", "max\n"), ("memory/memory.limit_in_bytes", "9223372036854771712\n"), ("none", "")]
)
def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path, name: str, text: str) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert container.memory_limit(write(tmp_path, name, text)) == machine


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 5\noom_kill 3\noom_group_kill 0\n"),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
    ],
)
def test_kills_are_counted_in_control_groups_of_either_version(tmp_path: Path, name: str, text: str) -> None:
    assert container.oom_kills(write(tmp_path, name, text)) == 3


def test_without_a_count_nothing_was_killed(tmp_path: Path) -> None:
    assert container.oom_kills(tmp_path) == 0


def test_the_variable_sets_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", "37")
    assert container.process_limit() == 37


def test_else_it_is_one_a_core_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    monkeypatch.setattr(container, "memory_limit", lambda: 1000 * GIB)
    assert container.process_limit() == 3


@pytest.mark.parametrize(("quota", "processes"), [(0.25, 1), (1, 1), (1.5, 2), (64, 3)])
def test_the_quota_of_an_ecs_task_counts_rounded_up(
    ecs: type[Metadata], monkeypatch: pytest.MonkeyPatch, quota: float, processes: int
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    monkeypatch.setattr(container, "memory_limit", lambda: 1000 * GIB)
    ecs.answers["/v4/x/task"] = {"Limits": {"CPU": quota, "Memory": 512}}
    assert container.process_limit() == processes


def test_a_small_memory_has_no_room_for_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 16)
    monkeypatch.setattr(container, "memory_of", lambda _: 250_000_000)
    monkeypatch.setattr(container, "memory_limit", lambda: GIB)
    assert container.process_limit() == 5
    monkeypatch.setattr(container, "memory_limit", lambda: GIB // 4)
    assert container.process_limit() == 1


def test_the_image_is_named_with_its_digest(ecs: type[Metadata]) -> None:
    ecs.answers["/v4/x"] = IMAGE
    assert container.image_with_digest("registry.example/worker:7") == "registry.example/worker:7@sha256:1234"
    assert container.image_with_digest("") == "registry.example/worker:7@sha256:1234"


def test_a_digest_that_the_job_names_is_not_asked_for(ecs: type[Metadata]) -> None:
    ecs.answers["/v4/x"] = IMAGE
    assert container.image_with_digest("worker@sha256:5678") == "worker@sha256:5678"


@pytest.mark.parametrize("answer", [None, b"no JSON", [], {}, {"Image": "worker:8", "ImageID": ""}])
def test_an_endpoint_that_does_not_tell_is_no_error(ecs: type[Metadata], answer: Any) -> None:
    ecs.answers["/v4/x"] = answer
    assert container.image_with_digest("worker:8") == "worker:8"
    assert container.image_with_digest("") in ("", "worker:8")


def test_an_endpoint_that_does_not_answer_is_not_waited_for(ecs: type[Metadata]) -> None:
    ecs.delay = 120
    started = time.monotonic()
    assert container.image_with_digest("worker:8") == "worker:8"
    assert time.monotonic() - started < 60


def test_a_proxy_is_not_asked_for_the_endpoint(ecs: type[Metadata], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    ecs.answers["/v4/x"] = IMAGE
    assert container.image_with_digest().endswith("@sha256:1234")


def test_outside_of_ecs_the_image_is_what_the_job_says() -> None:
    assert container.image_with_digest("worker:8") == "worker:8"
