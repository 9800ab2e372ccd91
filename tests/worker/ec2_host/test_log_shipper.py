from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_sklearn.worker.ec2_host import log_shipper
from airflow_sklearn.worker.ec2_host.log_shipper import LogShipper, batches
from local_cloud import ministack

GROUP = "/ec2/airflow-sklearn"


@pytest.fixture(scope="module")
def logs(cloud: ministack.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """CloudWatch Logs. (``cloud`` says what is missing if ministack is.)"""
    with ministack.running(tmp_path_factory.mktemp("logs") / "log", services="logs,sts") as running:
        client = running.client("logs")
        client.create_log_group(logGroupName=GROUP)
        yield client


@pytest.fixture
def stream() -> str:
    return f"worker/{uuid.uuid4().hex}"


def read(logs: Any, stream: str) -> list[str]:
    found = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, limit=10_000)
    return [event["message"] for event in found["events"]]


def test_lines_are_in_the_stream_and_on_the_console(logs: Any, stream: str, capsys: pytest.CaptureFixture[str]) -> None:
    with LogShipper(GROUP, stream, client=logs) as shipper:
        for text in ("first", "", "grün", "last"):
            shipper.write(text)
    assert read(logs, stream) == ["first", " ", "grün", "last"], "CloudWatch takes no empty message"
    assert capsys.readouterr().out.splitlines() == ["first", "", "grün", "last"]


def test_lines_are_sent_while_the_job_runs(logs: Any, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_shipper, "_GATHERING", 0.01)
    sent: list[Any] = []
    put = logs.put_log_events
    monkeypatch.setattr(logs, "put_log_events", lambda **asked: sent.append(asked) or put(**asked))
    with LogShipper(GROUP, stream, client=logs) as shipper:
        shipper.write("first")
        while not sent:
            shipper.write("more")
        shipper.write("last")
    assert read(logs, stream)[-1] == "last"
    assert len(sent) > 1


def test_many_lines_come_whole_and_in_order(logs: Any, stream: str) -> None:
    with LogShipper(GROUP, stream, client=logs) as shipper:
        for number in range(3_000):
            shipper.write(str(number))
    assert read(logs, stream) == [str(number) for number in range(3_000)]


def test_a_second_attempt_writes_into_the_same_stream(logs: Any, stream: str) -> None:
    for text in ("one", "two"):
        with LogShipper(GROUP, stream, client=logs) as shipper:
            shipper.write(text)
    assert read(logs, stream) == ["one", "two"]


def test_a_line_that_is_too_long_is_cut_to_what_an_event_holds(logs: Any, stream: str) -> None:
    with LogShipper(GROUP, stream, client=logs) as shipper:
        shipper.write("ü" * 300_000)
    (line,) = read(logs, stream)
    assert len(line.encode()) <= 262_144 - 26
    assert set(line) == {"ü"}


def test_a_group_that_is_not_there_stops_nothing(logs: Any, stream: str, caplog: pytest.LogCaptureFixture) -> None:
    with LogShipper("/no/such", stream, client=logs) as shipper:
        shipper.write("a line")
    assert "No log stream" in caplog.text
    assert "Some lines are missing" in caplog.text


def test_an_outage_is_waited_for(logs: Any, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_shipper, "_PAUSES", (0.0, 0.0))
    put, failures = logs.put_log_events, iter([RuntimeError("503"), RuntimeError("503")])

    def flaky(**asked: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return put(**asked)

    monkeypatch.setattr(logs, "put_log_events", flaky)
    with LogShipper(GROUP, stream, client=logs) as shipper:
        shipper.write("a line")
    assert read(logs, stream) == ["a line"]


def test_without_a_group_lines_are_printed_only(capsys: pytest.CaptureFixture[str]) -> None:
    with LogShipper("", "", client=None) as shipper:
        shipper.write("a line")
    assert capsys.readouterr().out == "a line\n"


def test_calls_hold_what_cloudwatch_takes() -> None:
    few = [(1, "a")] * 3
    assert batches(few) == [few]
    assert batches([]) == []
    assert [len(batch) for batch in batches([(1, "a")] * 10_001)] == [10_000, 1]
    large = [(1, "x" * 262_118)] * 9
    assert [len(batch) for batch in batches(large)] == [4, 4, 1]
