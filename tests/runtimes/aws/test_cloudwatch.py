"""Reading a log stream: pages, and what becomes of them when the service does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_sklearn.runtimes.aws.cloudwatch import LogStream

STREAM = LogStream(group="/ecs/acme", stream="jobs/worker/1", region="eu-west-1")


class NotFoundError(ClientError):
    pass


class InvalidError(ClientError):
    pass


def refusal(kind: type[ClientError]) -> ClientError:
    return kind({"Error": {"Code": kind.__name__, "Message": "no"}}, "GetLogEvents")


class Logs:
    """A service with one line a page, whose token is the number of the next page."""

    class exceptions:  # noqa: N801 (boto3's name)
        ResourceNotFoundException = NotFoundError
        InvalidParameterException = InvalidError

    def __init__(self, lines: int, errors: dict[int, Exception] | None = None) -> None:
        self.lines, self.errors = lines, errors or {}
        self.asked: list[dict[str, Any]] = []

    def get_log_events(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if (error := self.errors.pop(len(self.asked), None)) is not None:
            raise error
        number = int(request.get("nextToken") or request.get("startTime", 0))
        if number >= self.lines:
            return {"events": [], "nextForwardToken": request.get("nextToken", str(number))}
        return {"events": [{"message": f"line {number}\n", "timestamp": number}], "nextForwardToken": str(number + 1)}


def read_all(logs: Logs) -> list[list[str]]:
    looks, cursor = [], None
    while not looks or looks[-1]:
        lines, cursor = STREAM.read(logs, cursor)
        looks.append(lines)
    return looks[:-1]


def test_a_long_log_is_read_a_few_pages_a_look_and_each_line_once() -> None:
    looks = read_all(Logs(12))
    assert [line for look in looks for line in look] == [f"line {number}" for number in range(12)]
    assert max(len(look) for look in looks) == 5


def test_what_was_read_before_a_failure_is_kept() -> None:
    logs = Logs(3, {3: refusal(ClientError)})
    assert read_all(logs) == [["line 0", "line 1"], ["line 2"]]


def test_a_look_that_reads_nothing_fails() -> None:
    with pytest.raises(ClientError):
        STREAM.read(Logs(3, {1: refusal(ClientError)}))


def test_an_expired_token_goes_on_after_the_last_line_that_was_read() -> None:
    logs = Logs(2)
    _, cursor = STREAM.read(logs)
    logs.lines, logs.errors = 4, {len(logs.asked) + 1: refusal(InvalidError)}
    assert STREAM.read(logs, cursor)[0] == ["line 2", "line 3"]


def test_a_stream_that_is_not_there_yet_has_no_lines() -> None:
    assert STREAM.read(Logs(0, {1: refusal(NotFoundError)})) == ([], None)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_each_partition_has_its_own_console(region: str, host: str) -> None:
    assert STREAM.model_copy(update={"region": region}).url.startswith(f"https://{host}/cloudwatch/home?")
