"""The database through a connection of Airflow's ``RedshiftSQLHook``."""

from __future__ import annotations

import contextlib
import logging
import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.tables import TableColumn
from airflow_sklearn.datasets.redshift.database import Answer, Database
from airflow_sklearn.datasets.redshift.sql import replace_parameters
from airflow_sklearn.datasets.redshift.transactions import (
    bounded,
    check_parameters,
    failure,
    session_settings,
    shown,
    wait_after_conflict,
)
from airflow_sklearn.exceptions import RedshiftError, SerializationConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_sklearn.datasets.redshift.database import Statement

log = logging.getLogger(__name__)

#: The driver's parameter styles, and the character with which each marks a parameter.
_STYLES = (("qmark", "?"), ("format", "%"), ("numeric", ":"))
_TYPES = {
    16: "boolean",
    18: '"char"',
    19: "name",
    20: "bigint",
    21: "smallint",
    23: "integer",
    25: "text",
    26: "oid",
    700: "real",
    701: "double precision",
    705: "unknown",
    1042: "char",
    1043: "varchar",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    1186: "interval",
    1188: "interval year to month",
    1190: "interval day to second",
    1266: "timetz",
    1700: "numeric",
    3000: "geometry",
    3001: "geography",
    4000: "super",
    6551: "varbyte",
}
_NUMERIC, _TEXTS = 1700, (1042, 1043)
#: PostgreSQL's type modifier minus the length.
_HEADER = 4
_APPLICATION = "airflow-sklearn"
_CANCELLING = "Cancelling a statement in Redshift"


class SqlDatabase(Database):
    """A database that is reached by an Airflow connection.

    Each transaction opens a connection: one that was idle for an hour, while containers ran, is often dead.

    :param redshift_conn_id: the Airflow connection to the database.
    :param aws_conn_id: the Airflow connection to AWS, for connections with ``iam``.
    :param tag: the query group of the statements, by which an administrator finds them.
    """

    def __init__(self, redshift_conn_id: str, aws_conn_id: str | None, *, tag: str) -> None:
        self._redshift_conn_id, self._aws_conn_id, self._tag = redshift_conn_id, aws_conn_id, tag
        self._backend: int | None = None
        self._cancelled = False

    def run(self, statements: Sequence[Statement], *, step: str) -> list[Answer]:
        """See ``Database.run``. Each transaction gets a new connection."""
        for statement in statements:
            check_parameters(statement)
        attempt = 1
        while True:
            try:
                return self._transaction(statements, step)
            except SerializationConflictError as error:
                wait_after_conflict(error, step, attempt)
                attempt += 1

    def cancel(self) -> None:
        """See ``Database.cancel``."""
        self._cancelled = True
        if self._backend is not None:
            bounded(self._cancel_backend, _CANCELLING)

    def _transaction(self, statements: Sequence[Statement], step: str) -> list[Answer]:
        connection = self._connect()
        try:
            self._begin_session(connection, step)
            answers = []
            for statement in statements:
                if self._cancelled:
                    raise RedshiftError(f"{step} was cancelled; nothing of it is in the database.")
                with _explained(connection, step, statement.sql):
                    answers.append(_execute(connection, statement))
            self._commit(connection, step)
        except RedshiftError:
            with contextlib.suppress(Exception):
                connection.rollback()
            raise
        except BaseException:  # for example the task's timeout: a statement is running, and would continue
            if self._backend is not None:
                bounded(self._cancel_backend, _CANCELLING)
            raise
        finally:
            self._backend = None
            with contextlib.suppress(Exception):
                connection.close()
        return answers

    def _begin_session(self, connection: Any, step: str) -> None:
        """Set up the session before the transaction: a SELECT in it would fix its snapshot before it has its locks."""
        connection.autocommit = True
        with connection.cursor() as cursor:
            for setting in session_settings(self._tag):
                with _explained(connection, step, setting):
                    cursor.execute(setting)
            asked = "SELECT pg_backend_pid()"
            with _explained(connection, step, asked):
                self._backend = int(cursor.execute(asked).fetchone()[0])
        connection.autocommit = False

    def _commit(self, connection: Any, step: str) -> None:
        try:
            connection.commit()
        except Exception as error:
            if said := _response(error):
                raise failure(step, "COMMIT", _message(said), sqlstate=said.get("C", "")) from error
            if not _is_lost(error):
                raise
            raise RedshiftError(
                f"The connection to Redshift broke while {step} was committed ({error}): the transaction may be in the "
                "database, whole, or not. Run the task again: what is there by then is not written twice."
            ) from error

    def _connect(self) -> Any:
        import redshift_connector

        from airflow_sklearn.airflow_compat import AirflowException

        try:
            return self._hook.get_conn()
        except (redshift_connector.Error, OSError, struct.error) as error:
            said = _response(error)
            raise RedshiftError(
                f"No connection to Redshift: {_message(said) if said else _reason(error)}. The Airflow connection "
                f"{self._redshift_conn_id!r} says {self._place()}. Is that right, does the network let this worker "
                "through (security group, VPC), and is the cluster running? Where no network leads to Redshift, use "
                "data_api=RedshiftDataApi(...).",
                sqlstate=said.get("C", ""),
            ) from error
        except (AirflowException, TypeError) as error:  # the driver does not know an argument, or lacks one
            raise RedshiftError(
                f"The Airflow connection {self._redshift_conn_id!r} cannot be used: {error}. Create or correct it, or "
                "name another one with redshift_conn_id."
            ) from error

    @cached_property
    def _hook(self) -> Any:
        from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

        class Hook(RedshiftSQLHook):
            """Names the application, for administrators. Without a name the driver searches all loaded modules for its
            caller at each connection, which takes longer than the connection.
            """

            def _get_conn_params(self) -> dict[str, Any]:
                return {"application_name": _APPLICATION, **super()._get_conn_params()}

        return Hook(redshift_conn_id=self._redshift_conn_id, aws_conn_id=self._aws_conn_id)

    def _place(self) -> str:
        known = self._hook.conn
        return f"host {known.host!r}, port {known.port or 5439}, database {known.schema!r}, user {known.login!r}"

    def _cancel_backend(self) -> None:
        backend = self._backend
        if backend is None:
            return
        connection = self._hook.get_conn()
        try:
            connection.autocommit = True
            connection.cursor().execute(f"SELECT pg_cancel_backend({backend:d})")
            log.info("Cancelled what ran in Redshift (process %d).", backend)
        finally:
            connection.close()


def _execute(connection: Any, statement: Statement) -> Answer:
    with connection.cursor() as cursor:
        if statement.parameters:
            text, values, style = _bound(statement)
            cursor.paramstyle = style
            cursor.execute(text, values)
        else:
            cursor.execute(statement.sql)  # unchanged: no character marks a parameter
        if not cursor.description:
            return Answer()
        names = [column[0] for column in cursor.description]
        columns = [
            TableColumn(name=name, type=_type(described))
            for name, described in zip(names, cursor.ps["row_desc"], strict=True)
        ]
        return Answer(tuple(columns), tuple(tuple(row) for row in cursor.fetchall()))


def _bound(statement: Statement) -> tuple[str, list[str | None], str]:
    """The statement with ``$1`` for its first parameter (as in the protocol), the values, and a parameter style.

    The driver would take colons and per cent signs in our SQL or a user's for parameters. It is therefore given a style
    whose mark does not occur in the statement.
    """
    names: list[str] = []

    def number(name: str) -> str:
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    text = replace_parameters(statement.sql, number)
    style = next((style for style, sign in _STYLES if sign not in text), _STYLES[0][0])
    return text, [statement.parameters[name] for name in names], style


def _type(described: dict[str, Any]) -> str:
    """A column's type, with length or precision if the protocol has it."""
    oid, modifier = int(described["type_oid"]), int(described.get("type_modifier", -1)) - _HEADER
    name = _TYPES.get(oid, f"type number {oid}")
    if modifier < 0:
        return name
    if oid == _NUMERIC:
        return f"{name}({modifier >> 16},{modifier & 0xFFFF})"
    return f"{name}({modifier})" if oid in _TEXTS else name


@contextlib.contextmanager
def _explained(connection: Any, step: str, sql: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except Exception as error:
        if said := _response(error):
            raise failure(step, sql, _message(said), sqlstate=said.get("C", "")) from error
        if not _is_lost(error):
            raise
        last = _response(getattr(connection, "error", None))  # the server's message before it closed the connection
        raise RedshiftError(
            f"The connection to Redshift broke ({step}): {_message(last) if last else _reason(error)}. Nothing of this "
            f"transaction is in the database.\nThe statement: {shown(sql)}"
        ) from error


def _response(error: object) -> dict[str, str]:
    """The fields of the protocol's ErrorResponse; empty if the driver itself raised the error."""
    arguments = error.args if isinstance(error, Exception) else ()
    return arguments[0] if arguments and isinstance(arguments[0], dict) else {}


def _message(said: dict[str, str]) -> str:
    parts = [said.get("M", "no message")]
    parts += [
        f"{name}: {said[field]}" for name, field in (("Detail", "D"), ("Hint", "H"), ("Where", "W")) if field in said
    ]
    return ". ".join(" ".join(part.split()).rstrip(".") for part in parts)


def _reason(error: BaseException) -> str:
    return ": ".join(str(argument) for argument in error.args) or type(error).__name__


def _is_lost(error: Exception) -> bool:
    """Whether an error means that the connection is lost. The driver does not catch errors from unpacking half a
    message.
    """
    import redshift_connector

    return isinstance(error, redshift_connector.Error | OSError | struct.error)
