"""The database through the Redshift Data API. It needs no network path, and its statements outlive the task."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import logging
import re
import time
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_sklearn.aws.errors import Kind, classify, code_of, message_of, table
from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.tables import TableColumn
from airflow_sklearn.datasets.redshift.database import Answer, Database
from airflow_sklearn.datasets.redshift.sql import literal, replace_parameters
from airflow_sklearn.datasets.redshift.transactions import (
    bounded,
    check_parameters,
    failure,
    pause_before,
    presumed_class,
    session_settings,
    shown,
    wait_after_conflict,
)
from airflow_sklearn.exceptions import RedshiftError, SerializationConflictError, StatementRunningError
from airflow_sklearn.system.retry import retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_sklearn.contract.tables import DataApi
    from airflow_sklearn.datasets.redshift.database import Statement

log = logging.getLogger(__name__)

# Limits: "Considerations when calling the Amazon Redshift Data API" in the Redshift management guide.
_MOST_STATEMENTS = 40
_LONGEST_STATEMENT = 100_000
_LONGEST_NAME = 500

_ENDED = ("FINISHED", "FAILED", "ABORTED")
_FIRST_POLL, _LONGEST_POLL, _POLL_GROWTH = 0.1, 5.0, 1.5
#: A deferral costs seconds: short statements are waited for.
_SHORT_SECONDS = 1.5
#: Seconds for which the service may be busy, or out of reach, before that is an error.
_PATIENCE = {Kind.THROTTLED: 600.0, Kind.UNAVAILABLE: 600.0, Kind.UNREACHABLE: 120.0}
_OWN = table(
    (Kind.THROTTLED, r"Active(Sessions|Statements|WaitingRequests)ExceededException:"),
    (Kind.NOT_FOUND, r"ResourceNotFoundException:"),
    (Kind.INVALID, r"ValidationException:"),
)
_ADVICE = {
    Kind.DENIED: "Does the role of aws_conn_id have the redshift-data rights that the documentation lists?",
    Kind.NOT_FOUND: "Statements and their results are kept for 24 hours: run the task again.",
    Kind.INVALID: "Look at data_api: workgroup_name or cluster_identifier, database, region_name.",
}
_PREFIX = re.compile(r"^(Query #\d+ failed with )?\s*(ERROR:\s*)?")


class DataApiDatabase(Database):
    """A database whose statements are submitted to the Redshift Data API, and polled.

    :param client: returns the boto3 client.
    :param api: identifies the database.
    :param tag: the query group of the statements, by which an administrator finds them.
    :param statements: ids of submitted statements by step. A statement that is in it is not run again; its answers are
        returned. Several databases may share it. Each submission is added.
    :param wait: whether to wait for the end. If not, ``StatementRunningError`` is raised after a short time.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        api: DataApi,
        *,
        tag: str,
        statements: dict[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        self._client, self._api, self._tag, self._wait = client, api, tag, wait
        self._statements = {} if statements is None else statements
        self._salt = uuid.uuid4().hex
        self._running: str | None = None
        self._cancelled = False

    def run(self, statements: Sequence[Statement], *, step: str) -> list[Answer]:
        """See ``Database.run``."""
        for statement in statements:
            check_parameters(statement)
        settings = session_settings(self._tag)
        texts, parameters = _bound(statements)
        _check_limits([*settings, *texts], step)
        key = f"{step} {content_id([self._api.model_dump(mode='json'), texts, parameters])}"
        attempt = 1
        while True:
            name = key if attempt == 1 else f"{key} {attempt}"
            if name not in self._statements:
                self._statements[name] = self._submit([*settings, *texts], parameters, step, name)
            try:
                ended = self._ended(self._statements[name], step)
                return self._answers(ended, len(settings), len(statements), step)
            except SerializationConflictError as error:
                attempt += 1
                if f"{key} {attempt}" not in self._statements:  # else it was run again before the task was deferred
                    wait_after_conflict(error, step, attempt - 1)

    def cancel(self) -> None:
        """See ``Database.cancel``."""
        self._cancelled = True
        if self._running is not None:
            statement_id = self._running
            bounded(lambda: self._client().cancel_statement(Id=statement_id), "Cancelling a statement in Redshift")

    def _submit(self, sqls: list[str], parameters: dict[str, str], step: str, name: str) -> str:
        if self._cancelled:
            raise RedshiftError(f"{step} was cancelled; nothing of it is in the database.")
        api = self._api
        where = {
            "Database": api.database,
            "WorkgroupName": api.workgroup_name,
            "ClusterIdentifier": api.cluster_identifier,
            "DbUser": api.db_user,
            "SecretArn": api.secret_arn,
            "Parameters": [{"name": name, "value": value} for name, value in parameters.items()],
        }
        asked = {argument: value for argument, value in where.items() if value}
        # The same token in every try of this call, so that it is carried out once; another one in another attempt.
        token = content_id([self._salt, name])
        with self._explained(step):
            answer = self._call(
                "batch_execute_statement",
                Sqls=sqls,
                StatementName=f"{self._tag} {step}"[:_LONGEST_NAME],
                ClientToken=token,
                **asked,
            )
        return str(answer["Id"])

    def _ended(self, statement_id: str, step: str) -> dict[str, Any]:
        """Wait for a transaction.

        :return: the answer of DescribeStatement.
        :raises StatementRunningError: it is still running, and this database does not wait.
        :raises RedshiftError: it failed.
        """
        self._running = statement_id
        pause, began = _FIRST_POLL, time.monotonic()
        try:
            while True:
                with self._explained(step):
                    described = self._call("describe_statement", Id=statement_id)
                if described["Status"] in _ENDED:
                    break
                if not self._wait and time.monotonic() - began >= _SHORT_SECONDS:
                    raise StatementRunningError(statement_id, dict(self._statements), self._api.region_name)
                time.sleep(pause)
                pause = min(_LONGEST_POLL, pause * _POLL_GROWTH)
        except StatementRunningError:
            self._running = None  # the trigger of a deferred task looks after the statement
            raise
        self._running = None
        if described["Status"] != "FINISHED":
            raise _failure(described, step)
        return described

    def _answers(self, described: dict[str, Any], settings: int, expected: int, step: str) -> list[Answer]:
        parts = sorted(described.get("SubStatements", []), key=lambda part: int(part["Id"].rpartition(":")[2]))
        if len(parts) != settings + expected:
            raise RedshiftError(
                f"The Data API says that {step} ran {len(parts)} statements, not {settings + expected}: "
                f"statement {described['Id']}."
            )
        with self._explained(step):
            return [self._answer(part["Id"]) if part.get("HasResultSet") else Answer() for part in parts[settings:]]

    def _answer(self, part_id: str) -> Answer:
        columns: tuple[TableColumn, ...] = ()
        rows: list[tuple[Any, ...]] = []
        page: dict[str, str] = {}
        while True:
            result = self._call("get_statement_result", Id=part_id, **page)
            described = result.get("ColumnMetadata", [])
            if not columns:
                columns = tuple(TableColumn(name=_name(column), type=_type(column)) for column in described)
            kinds = [column.type.partition("(")[0] for column in columns]
            rows += [tuple(map(_value, record, kinds)) for record in result["Records"]]
            if not result.get("NextToken"):
                return Answer(columns, tuple(rows))
            page = {"NextToken": result["NextToken"]}

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call the API; wait while it is busy or does not answer."""
        began = time.monotonic()

        def call() -> dict[str, Any]:
            answer: dict[str, Any] = getattr(self._client(), operation)(**arguments)
            return answer

        def may_pass(error: Exception) -> bool:
            longest = _PATIENCE.get(classify(error, _OWN), 0.0)
            return not self._cancelled and time.monotonic() - began < longest

        return retry(
            call,
            map(pause_before, itertools.count(1)),
            on=may_pass,
            on_retry=lambda error, pause: log.warning(
                "The Redshift Data API is busy (%s); asking again in %.1f s.", error, pause
            ),
        )

    @contextlib.contextmanager
    def _explained(self, step: str) -> Iterator[None]:
        api = self._api
        place = f"{api.workgroup_name or api.cluster_identifier}, database {api.database}"
        try:
            yield
        except Exception as error:
            kind, code = classify(error, _OWN), code_of(error)
            if kind is Kind.UNREACHABLE:
                raise RedshiftError(f"The Redshift Data API does not answer ({step}, {place}): {error}") from error
            if not code:
                raise
            operation = getattr(error, "operation_name", "a call")
            raise RedshiftError(
                f"The Redshift Data API refuses {operation} ({step}, {place}): {code}: {message_of(error)} "
                f"{_ADVICE.get(kind, '')}"
            ) from error


def _bound(statements: Sequence[Statement]) -> tuple[list[str], dict[str, str]]:
    """The SQL and common parameter values of statements. If a parameter has two values, one of them gets another name.

    The API accepts neither NULL nor an empty text as a value; these are written into the SQL.
    """
    values: dict[str, str] = {}

    def place(name: str, value: str | None) -> str:
        if not value:
            return literal(value)
        shared, number = name, 1
        while values.get(shared, value) != value:
            number += 1
            shared = f"{name}_{number}"
        values[shared] = value
        return f":{shared}"

    texts = [
        replace_parameters(statement.sql, lambda name, given=statement.parameters: place(name, given[name]))  # type: ignore[misc]
        for statement in statements
    ]
    return texts, values


def _check_limits(sqls: Sequence[str], step: str) -> None:
    faults = [
        f"a statement has {len(sql.encode()):,} bytes, and {_LONGEST_STATEMENT:,} is the most (make a view of a long "
        f"query): {shown(sql)}"
        for sql in sqls
        if len(sql.encode()) > _LONGEST_STATEMENT
    ]
    if len(sqls) > _MOST_STATEMENTS:
        faults.append(f"it has {len(sqls)} statements, and {_MOST_STATEMENTS} is the most")
    if faults:
        raise RedshiftError(
            f"The Redshift Data API cannot run {step}: {'; '.join(faults)}. A connection (redshift_conn_id, without "
            "data_api) has no such limits."
        )


def _failure(described: dict[str, Any], step: str) -> RedshiftError:
    failed: dict[str, Any] = next(
        (part for part in described.get("SubStatements", []) if part.get("Status") == "FAILED"), {}
    )
    message = failed.get("Error") or described.get("Error") or ""
    if described["Status"] == "ABORTED":
        return RedshiftError(
            f"{step} was cancelled in Redshift; nothing of it is in the database (statement {described['Id']}). "
            f"{message}"
        )
    sql = (
        failed.get("QueryString") or described.get("QueryString") or f"number {described['Id']}, before its first line"
    )
    said = " ".join(_PREFIX.sub("", message).split())
    return failure(step, sql, said or "no message", sqlstate=presumed_class(said))


def _name(column: dict[str, Any]) -> str:
    return str(column.get("label") or column.get("name") or "")


def _type(column: dict[str, Any]) -> str:
    kind, precision = str(column["typeName"]), column.get("precision") or 0
    if kind == "numeric" and precision:
        return f"numeric({precision},{column.get('scale') or 0})"
    length = column.get("length") or precision
    return f"{kind}({length})" if kind in ("varchar", "bpchar", "char") and 0 < length <= 65535 else kind


def _value(field: dict[str, Any], kind: str) -> Any:
    """A typed field of the API as the value that the driver would return."""
    if field.get("isNull"):
        return None
    value = next(iter(field.values()), None)
    if not isinstance(value, str):
        return value
    with contextlib.suppress(ValueError, ArithmeticError):  # a date BC stays text
        if kind == "numeric":
            return Decimal(value)
        if kind == "date":
            return datetime.date.fromisoformat(value)
        if kind in ("timestamp", "timestamptz"):
            return datetime.datetime.fromisoformat(value)
    return value
