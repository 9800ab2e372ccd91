"""What errors of AWS mean, also those of services that cannot be reached: a closed port, and servers that say nothing,
hang up, or fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError

from airflow_sklearn.aws import retry as aws_retry
from airflow_sklearn.aws.errors import PASSING, Kind, classify, table
from airflow_sklearn.aws.retry import retry_ending
from airflow_sklearn.contract.exit_codes import is_final
from airflow_sklearn.contract.tables import DataApi
from airflow_sklearn.datasets.redshift import data_api
from airflow_sklearn.datasets.redshift.data_api import DataApiDatabase
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.exceptions import RedshiftError, ThrottledError
from airflow_sklearn.pool.queues.sqs import SqsQueue
from airflow_sklearn.pool.retry_budget import RetryBudget, is_out_of_reach
from airflow_sklearn.runtimes.ec2.errors import explained as ec2_explained
from airflow_sklearn.runtimes.ecs.errors import explained as ecs_explained
from airflow_sklearn.storage import Storage

SECONDS = 0.3


def refusal(code: str, message: str = "said", *, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "RunTask")


class Server:
    """A port of this machine.

    :param listens: else it is closed.
    :param answer: what every connection gets before it is closed; None: nothing, and it stays open.
    """

    def __init__(self, *, listens: bool, answer: bytes | None = None) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._answer = answer
        if not listens:
            self._socket.close()
        elif answer is not None:
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                if self._answer:
                    connection.sendall(self._answer)

    def close(self) -> None:
        self._socket.close()

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="eu-west-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=SECONDS, read_timeout=SECONDS),
        )


SERVERS: dict[str, Callable[[], Server]] = {
    "closed": lambda: Server(listens=False),
    "silent": lambda: Server(listens=True),
    "hangs up": lambda: Server(listens=True, answer=b""),
    "fails": lambda: Server(listens=True, answer=b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = SERVERS[request.param]()
    yield server
    server.close()


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("ecs", lambda client: client.describe_tasks(tasks=["a"])),
        ("ec2", lambda client: client.describe_instances()),
        ("redshift-data", lambda client: client.describe_statement(Id="a")),
        ("s3", lambda client: client.get_object(Bucket="acme", Key="a")),
        ("sqs", lambda client: client.get_queue_url(QueueName="a")),
        ("logs", lambda client: client.describe_log_groups()),
    ],
)
def test_a_service_that_is_out_of_reach_says_nothing_of_the_call(
    server: Server, service: str, call: Callable[[Any], Any]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call(server.client(service))
    assert classify(caught.value) in PASSING


def test_a_host_that_does_not_take_connections_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(*_: Any, **__: Any) -> None:
        raise TimeoutError("timed out")

    server = Server(listens=False)
    monkeypatch.setattr("urllib3.util.connection.create_connection", time_out)
    with pytest.raises(ThrottledError, match="ECS has not answered: Connect timeout"), ecs_explained("ml"):
        server.client("ecs").list_tasks()


def test_ecs_is_waited_for(server: Server) -> None:
    with pytest.raises(ThrottledError, match="ECS"), ecs_explained("ml"):
        server.client("ecs").run_task(taskDefinition="t")


def test_ec2_is_waited_for(server: Server) -> None:
    with pytest.raises(ThrottledError, match="EC2"), ec2_explained():
        server.client("ec2").run_instances(MinCount=1, MaxCount=1)


def test_the_data_api_is_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = server.client("redshift-data")
    database = DataApiDatabase(lambda: client, DataApi(workgroup_name="acme", database="dev"), tag="t")
    attempts: list[int] = []

    def pause_before(attempt: int) -> float:
        attempts.append(attempt)
        if attempt == 2:
            database.cancel()
        return 0.0

    monkeypatch.setattr(data_api, "pause_before", pause_before)
    with pytest.raises(RedshiftError, match=r"Redshift Data API.*acme, database dev") as caught:
        database.run([Statement("SELECT 1")], step="load")
    assert attempts == [1, 2]
    assert not is_final(caught.value)


def test_storage_is_out_of_reach_which_a_retry_may_mend(server: Server) -> None:
    client = server.client("s3")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        Storage(lambda: client).read("s3://acme/a")
    assert is_out_of_reach(caught.value)
    assert not is_final(caught.value)


def test_a_pool_bears_a_queue_that_is_out_of_reach(server: Server) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        SqsQueue("tasks", server.client("sqs")).send(["a"])
    RetryBudget("It could not be sent").failed(caught.value)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("Throttling", 400, Kind.THROTTLED),
        ("ThrottlingException", 400, Kind.THROTTLED),
        ("EC2ThrottledException", 400, Kind.THROTTLED),
        ("RequestLimitExceeded", 503, Kind.THROTTLED),
        ("SlowDown", 503, Kind.THROTTLED),
        ("Odd", 429, Kind.THROTTLED),
        ("InternalServerException", 400, Kind.UNAVAILABLE),
        ("Unavailable", 400, Kind.UNAVAILABLE),
        ("Odd", 502, Kind.UNAVAILABLE),
        ("AccessDenied", 403, Kind.DENIED),
        ("403", 403, Kind.DENIED),
        ("UnauthorizedOperation", 403, Kind.DENIED),
        ("Odd", 400, Kind.OTHER),
    ],
)
def test_codes_that_all_services_share_have_a_kind(code: str, status: int, kind: Kind) -> None:
    assert classify(refusal(code, status=status)) is kind


def test_a_services_own_table_comes_first() -> None:
    own = table((Kind.NO_CAPACITY, "Full:"), (Kind.NOT_FOUND, "Throttling: .*no such thing"))
    assert classify(refusal("Full", status=500), own) is Kind.NO_CAPACITY
    assert classify(refusal("Throttling", "there is\nno such thing"), own) is Kind.NOT_FOUND
    assert classify(refusal("Throttling"), own) is Kind.THROTTLED


def test_missing_credentials_and_errors_of_others_are_told_apart() -> None:
    assert classify(NoCredentialsError()) is Kind.NO_CREDENTIALS
    assert classify(ValueError("why")) is Kind.OTHER
    assert classify(ConnectionResetError()) is Kind.UNREACHABLE


OWN = table((Kind.NOT_FOUND, "Gone:"))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_retry, "_PAUSES", (0.0, 0.0))


def failing(*errors: Exception) -> Callable[[], None]:
    left = list(errors)

    def call() -> None:
        if left:
            raise left.pop(0)

    return call


@pytest.mark.usefixtures("no_pauses")
def test_what_is_to_be_ended_is_ended_though_the_service_does_not_hear_at_once() -> None:
    retry_ending(failing(refusal("Throttling"), ConnectionResetError()), OWN, is_young=False)
    with pytest.raises(ConnectionResetError):
        retry_ending(failing(*[ConnectionResetError()] * 3), OWN, is_young=False)


@pytest.mark.usefixtures("no_pauses")
def test_what_is_not_known_has_ended_unless_it_is_young() -> None:
    retry_ending(failing(*[refusal("Gone")] * 9), OWN, is_young=False)
    retry_ending(failing(*[refusal("Gone")] * 2), OWN, is_young=True)
    with pytest.raises(ClientError, match="Gone"):
        retry_ending(failing(*[refusal("Gone")] * 3), OWN, is_young=True)


@pytest.mark.usefixtures("no_pauses")
def test_a_refusal_is_raised_at_once() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        retry_ending(failing(refusal("AccessDenied"), refusal("Odd")), OWN, is_young=True)
