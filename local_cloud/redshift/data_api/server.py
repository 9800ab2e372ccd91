"""The Amazon Redshift Data API before the Redshift stand-in: an HTTP server that boto3 takes for AWS.

::

    api = redshift.data_api
    api.client().execute_statement(WorkgroupName=api.workgroup, Database=redshift.database, Sql="select 1")

It is a thread of this process, because the environment of ministack has no redshift_connector. What is real: the
asynchronous life of a statement, one transaction for a batch, parameters, sub-statements, typed and paged results,
idempotency by ClientToken, cancelling, the refusals of ``rules``. What is not: IAM, quotas of calls, sessions,
events, results as CSV.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local_cloud import ministack
from local_cloud.redshift.data_api import rules
from local_cloud.redshift.data_api.statements import ENDED, FINISHED, Connect, FaultError, Statement

ACTIVE_STATEMENTS = 500
PAGE_ROWS = 1000
_TARGET = "RedshiftData."
Answer = dict[str, Any]


class _NoAnswerError(Exception):
    """The connection ends before the answer."""


@dataclass
class _Fault:
    """What the next ``times`` statements, or requests, meet."""

    matches: str
    times: int
    meet: Callable[[Statement | None], None]


class DataApi:
    """A running Redshift Data API, and what tests do to it.

    :param connect: opens connections to the stand-in.
    """

    workgroup, cluster = rules.WORKGROUP, rules.CLUSTER

    def __init__(self, connect: Connect) -> None:
        self.endpoint = ""
        """Its URL."""
        self.active_statements, self.page_rows = ACTIVE_STATEMENTS, PAGE_ROWS
        self.calls: Counter[str] = Counter()
        """How often each operation was called."""
        self._connect = connect
        self._statements: dict[str, Statement] = {}
        self._tokens: dict[str, tuple[Mapping[str, Any], Statement]] = {}
        self._statement_faults: list[_Fault] = []
        self._request_faults: list[_Fault] = []
        self._answer_faults: list[_Fault] = []
        self._lock = threading.RLock()

    # --- How it is reached ---

    def client(self) -> Any:
        """A boto3 client of ``redshift-data``, which tries no call twice."""
        import boto3
        from botocore.config import Config

        kwargs = {**ministack.Cloud(self.endpoint).boto3_kwargs, "config": Config(retries={"total_max_attempts": 1})}
        return boto3.client("redshift-data", **kwargs)

    def connection(self, cloud: ministack.Cloud) -> dict[str, Any]:
        """An Airflow connection as ``cloud.connection``, whose Data API is this one."""
        connection = cloud.connection
        services = connection["extra"].setdefault("service_config", {})
        services["redshift-data"] = {"endpoint_url": self.endpoint}
        return connection

    @property
    def statements(self) -> list[Statement]:
        """All that was executed, in order."""
        with self._lock:
            return list(self._statements.values())

    # --- What tests inject ---

    def delay(self, seconds: float, containing: str = "", times: int = 1) -> None:
        """The next SQL statements with this text in them wait before they run; cancelling ends the wait."""
        self._disturb_statements(containing, times, lambda statement: statement.cancelled.wait(seconds) and None)

    @contextmanager
    def held(self, containing: str = "") -> Iterator[threading.Event]:
        """SQL statements with this text in them wait, STARTED, until the block ends; the event: one waits."""
        waits, go_on = threading.Event(), threading.Event()

        def hold(statement: Statement) -> None:
            waits.set()
            while not (go_on.wait(0.05) or statement.cancelled.is_set()):
                pass

        fault = self._disturb_statements(containing, 1_000_000, hold)
        try:
            yield waits
        finally:
            fault.times = 0
            go_on.set()

    def fail(self, message: str, containing: str = "", times: int = 1) -> None:
        """The next SQL statements with this text in them do not run, and fail with this message of the database."""

        def meet(statement: Statement) -> None:
            raise FaultError(message)

        self._disturb_statements(containing, times, meet)

    def refuse(
        self, operation: str, code: str = "ThrottlingException", message: str = "Rate exceeded", times: int = 1
    ) -> None:
        """The next calls of an operation are answered with an error, and do nothing."""

        def meet(statement: Statement | None) -> None:
            raise rules.RefusedError(code, message)

        self._request_faults.append(_Fault(operation, times, meet))

    def lose_answers(self, operation: str, times: int = 1) -> None:
        """The next calls of an operation are carried out, and the connection ends before the answer."""

        def meet(statement: Statement | None) -> None:
            raise _NoAnswerError

        self._answer_faults.append(_Fault(operation, times, meet))

    def restore(self) -> None:
        """No faults and no counts any more."""
        with self._lock:
            for faults in (self._statement_faults, self._request_faults, self._answer_faults):
                faults.clear()
            self.calls.clear()
            self.active_statements, self.page_rows = ACTIVE_STATEMENTS, PAGE_ROWS

    def _disturb_statements(self, containing: str, times: int, meet: Callable[[Any], None]) -> _Fault:
        fault = _Fault(containing, times, meet)
        self._statement_faults.append(fault)
        return fault

    def _meet(self, faults: list[_Fault], matches: Callable[[str], bool], statement: Statement | None = None) -> None:
        with self._lock:
            fault = next((one for one in faults if one.times > 0 and matches(one.matches)), None)
            if fault is None:
                return
            fault.times -= 1
        fault.meet(statement)

    # --- The operations ---

    def answer(self, operation: str, asked: Mapping[str, Any]) -> Answer:
        """:raises rules.RefusedError: the answer is an error."""
        self.calls[operation] += 1
        self._meet(self._request_faults, lambda name: name == operation)
        method = {
            "ExecuteStatement": self._execute,
            "BatchExecuteStatement": self._execute_batch,
            "DescribeStatement": self._describe,
            "GetStatementResult": self._result,
            "ListStatements": self._list,
            "CancelStatement": self._cancel,
        }.get(operation)
        if method is None:
            raise rules.RefusedError("UnknownOperationException", f"{operation} is not part of this stand-in.")
        answer = method(asked)
        self._meet(self._answer_faults, lambda name: name == operation)
        return answer

    def _execute(self, asked: Mapping[str, Any]) -> Answer:
        rules.check_execute(asked, [asked.get("Sql") or ""])
        return self._start(asked, batch=False)

    def _execute_batch(self, asked: Mapping[str, Any]) -> Answer:
        rules.check_execute(asked, asked.get("Sqls") or [])
        if asked.get("ExecutionMode", "TRANSACTION") != "TRANSACTION":
            raise rules.invalid("ExecutionMode AUTO_COMMIT is not part of this stand-in.")
        return self._start(asked, batch=True)

    def _start(self, asked: Mapping[str, Any], batch: bool) -> Answer:
        token, wanted = asked.get("ClientToken"), {**asked, "ClientToken": None, "WaitTimeSeconds": None}
        with self._lock:
            first, statement = self._tokens.get(token, (wanted, None)) if token else (wanted, None)
            if first != wanted:
                raise rules.invalid("The ClientToken is in use for another request.")
            if statement is None:
                active = sum(one.status not in ENDED for one in self._statements.values())
                if active >= self.active_statements:
                    raise rules.RefusedError(
                        "ActiveStatementsExceededException",
                        f"Active statements exceeded the allowed quota ({self.active_statements}).",
                    )
                statement = Statement(asked, batch)
                self._statements[statement.id] = statement
                if token:
                    self._tokens[token] = (wanted, statement)
                threading.Thread(target=statement.run, args=(self._connect, self._disturb), daemon=True).start()
        _wait(asked, statement)
        return {"Id": statement.id, "CreatedAt": statement.created, "Status": statement.status, **statement.target}

    def _disturb(self, statement: Statement, sql: str) -> None:
        self._meet(self._statement_faults, lambda text: text.lower() in sql.lower(), statement)

    def _describe(self, asked: Mapping[str, Any]) -> Answer:
        statement, number = self._find(asked)
        _wait(asked, statement)
        if number is None:
            return statement.describe()
        return {**statement.target, "Id": asked["Id"], **statement.part(number).describe()}

    def _result(self, asked: Mapping[str, Any]) -> Answer:
        statement, number = self._find(asked)
        if statement.batch and number is None:
            raise rules.invalid("BatchExecuteStatement result can only be retrieved with sub-statement id.")
        _wait(asked, statement)
        part = statement.parts[0] if number is None else statement.part(number)
        if part.status != FINISHED or part.columns is None:
            raise rules.not_found(
                "Query does not have result. Please check query status with DescribeStatement.", asked["Id"]
            )
        start = _page(asked)
        end = start + self.page_rows
        answer = {"Records": part.records[start:end], "ColumnMetadata": part.columns, "TotalNumRows": part.rows}
        return answer | ({"NextToken": str(end)} if end < part.rows else {})

    def _list(self, asked: Mapping[str, Any]) -> Answer:
        wanted = asked.get("Status", FINISHED)
        name = asked.get("StatementName", "")
        same = [key for key in ("Database", "ClusterIdentifier", "WorkgroupName") if asked.get(key)]
        found = [
            one.summary()
            for one in reversed(self.statements)
            if wanted in ("ALL", one.status)
            and one.asked.get("StatementName", "").startswith(name)
            and all(one.asked.get(key) == asked[key] for key in same)
        ]
        start, size = _page(asked), asked.get("MaxResults") or 100
        answer: Answer = {"Statements": found[start : start + size]}
        return answer | ({"NextToken": str(start + size)} if start + size < len(found) else {})

    def _cancel(self, asked: Mapping[str, Any]) -> Answer:
        statement, _ = self._find(asked)
        statement.cancel(self._connect)
        return {"Status": True}

    def _find(self, asked: Mapping[str, Any]) -> tuple[Statement, int | None]:
        rules.check_id(asked.get("Id") or "")
        statement_id, _, number = asked["Id"].partition(":")
        statement = self._statements.get(statement_id)
        if statement is None:
            raise rules.not_found("Query does not exist.", asked["Id"])
        return statement, int(number) if number else None

    @contextmanager
    def serving(self, host: str) -> Iterator[None]:
        """Answer on a free port of an address, and end."""
        server = _Server((host, 0), self)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self.endpoint = f"http://{host}:{server.server_port}"
        try:
            yield
        finally:
            for statement in self.statements:
                statement.cancelled.set()
            server.shutdown()
            server.server_close()


def _wait(asked: Mapping[str, Any], statement: Statement) -> None:
    if asked.get("WaitTimeSeconds"):
        statement.ended.wait(min(30, asked["WaitTimeSeconds"]))


def _page(asked: Mapping[str, Any]) -> int:
    token = asked.get("NextToken") or "0"
    if not token.isdigit():
        raise rules.invalid("NextToken is invalid.")
    return int(token)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], api: DataApi) -> None:
        super().__init__(address, _Handler)
        self.api = api


class _Handler(BaseHTTPRequestHandler):
    """JSON 1.1: the operation is in a header, arguments and answer are bodies."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        operation = self.headers.get("X-Amz-Target", "").removeprefix(_TARGET)
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        try:
            self._send(200, self.server.api.answer(operation, asked))
        except rules.RefusedError as refused:
            self._send(400, {"__type": refused.code, "Message": refused.message, **refused.fields}, refused.code)
        except _NoAnswerError:
            self.close_connection = True

    def _send(self, status: int, answer: Answer, error: str | None = None) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A line for each call is more than a test wants."""
