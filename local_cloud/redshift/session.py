"""One client's connection: what it sends is translated, done by the stand-in or passed on, and answered."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from local_cloud.redshift import protocol
from local_cloud.redshift.backend import TERMINATED, Backend
from local_cloud.redshift.dialect import Translation, translate
from local_cloud.redshift.errors import BackendError, LoadError, RedshiftError, in_redshifts_words
from local_cloud.redshift.faults import Faults, Rule
from local_cloud.redshift.journal import Journal, Seen
from local_cloud.redshift.lexer import joined, statements, tokens
from local_cloud.redshift.protocol import Message, message

#: Only these start-up parameters are PostgreSQL's too.
_STARTUP = ("user", "database", "application_name", "client_encoding")
_SETTINGS = {
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    # As in PostgreSQL 8: a backslash escapes in every string.
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "backslash_quote": "on",
}
#: Redshift's isolation levels belong to a database; here a connection can have its own, by this application's name.
SNAPSHOT_ISOLATION = "snapshot isolation"
#: The notice that CREATE TABLE IF NOT EXISTS had nothing to do.
_ALREADY_EXISTS = "42P07"
_BUFFER = 1 << 16


class DroppedError(Exception):
    """A rule wants the connection to end here."""


@dataclass
class Work:
    """What a statement that the stand-in does itself needs.

    :param seen: its entry in the history.
    """

    backend: Backend
    translation: Translation
    case_sensitive: bool
    seen: Seen
    #: What a client is told beside the answer.
    notices: list[str] = field(default_factory=list)
    #: What ``pg_last_copy_id()`` and its like say after it, whether it succeeds or not.
    last: dict[str, int] = field(default_factory=dict)


#: Does one kind of statement.
Worker = Callable[[Work], None]


@dataclass
class Server:
    """What all sessions share.

    :param address: PostgreSQL's.
    :param workers: who does the statements that PostgreSQL does not know, by the name of the command.
    """

    address: tuple[str, int]
    journal: Journal
    faults: Faults
    workers: dict[str, Worker]


@dataclass
class _Prepared:
    sql: str
    translation: Translation


class Session:
    """From a client's first message to its last.

    :param connection: the client's.
    """

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self._server = server
        self._client = protocol.Wire(connection)
        self._backend: Backend
        self._user = ""
        self._prepared: dict[bytes, _Prepared] = {}
        self._portals: dict[bytes, _Prepared | None] = {}
        self._settings: dict[str, str] = {}
        self._settings_before: dict[str, str] = {}
        self._last: dict[str, int] = {}

    def run(self) -> None:
        """Serve the client until one of the two hangs up."""
        try:
            if self._start():
                while self._batch(self._read_batch()):
                    pass
        except (ConnectionError, DroppedError):
            pass  # the client has gone, or shall believe that the server has
        finally:
            self._client.close()
            if hasattr(self, "_backend"):
                self._backend.close()

    def _start(self) -> bool:
        while True:
            version, parameters = protocol.startup_parameters(body := self._client.receive_startup())
            if version == protocol.CANCEL_REQUEST:
                self._cancel(body)
                return False
            if version == protocol.VERSION:
                break
            self._client.send(b"N")  # no encryption
        self._user = parameters["user"]
        wanted = {key: value for key, value in parameters.items() if key in _STARTUP} | _SETTINGS
        snapshot = parameters.get("application_name") == SNAPSHOT_ISOLATION
        wanted["default_transaction_isolation"] = "repeatable read" if snapshot else "serializable"
        try:
            self._backend = Backend(self._server.address, {"client_encoding": "UTF8"} | wanted)
        except BackendError as error:
            self._client.send(protocol.error(error.fields))
            return False
        for kind, content in self._backend.greeting:
            if kind == b"S" and content.startswith(b"server_version\0"):
                content = b"server_version\08.0.2\0"
            self._client.send(message(kind, content))
        version_of_protocol = protocol.string("server_protocol_version") + protocol.string("0")
        self._client.send(message(b"S", version_of_protocol) + protocol.ready("I"))
        return True

    def _cancel(self, request: bytes) -> None:
        """A client that has no connection free for it wants the statement of another connection ended."""
        with socket.create_connection(self._server.address) as connection:
            connection.sendall((len(request) + 4).to_bytes(4, "big") + request)

    def _read_batch(self) -> list[Message]:
        """Messages up to the one that wants an answer. Flush wants one too, but every driver sends Sync after it."""
        batch: list[Message] = []
        while not batch or batch[-1][0] not in b"SQX":
            received = self._client.receive()
            if received[0] != b"H":
                batch.append(received)
        return batch

    def _batch(self, batch: list[Message]) -> bool:
        """Answer; False when the client says goodbye."""
        if batch[-1][0] == b"X":
            return False
        if batch[-1][0] == b"Q":
            self._simple(batch[-1][1][:-1].decode())
        else:
            self._extended(batch)
        if self._backend.status == TERMINATED:
            return False
        self._client.send(protocol.ready(self._backend.status))
        return True

    def _simple(self, sql: str) -> None:
        """Statement by statement: psql sends several at once."""
        parts = statements(tokens(sql))
        texts = [sql] if len(parts) < 2 else [joined(part) for part in parts]
        for text in texts:
            try:
                prepared = self._prepare(text)
                ran = self._execute(prepared, message(b"Q", protocol.string(prepared.translation.sql)))
            except RedshiftError as error:
                self._refuse(error.fields)
                ran = False
            if not ran:
                return

    def _extended(self, batch: list[Message]) -> None:
        """Parse, Bind, Describe, Execute: prepared statements are translated when they are parsed."""
        executed: _Prepared | None = None
        passed_on = []
        for kind, body in batch:
            try:
                if kind == b"P":
                    name, sql, rest = body.split(b"\0", 2)
                    prepared = self._prepared[name] = self._prepare(sql.decode())
                    body = name + b"\0" + protocol.string(prepared.translation.sql) + rest
                elif kind == b"B":
                    portal, name, _ = body.split(b"\0", 2)
                    self._portals[portal] = self._prepared.get(name)
                elif kind == b"E":
                    executed = self._portals.get(body.split(b"\0", 1)[0])
            except RedshiftError as error:
                self._refuse(error.fields)
                return
            passed_on.append(message(kind, body))
        if executed is None:
            self._relay(b"".join(passed_on), None)
        else:
            self._execute(executed, b"".join(passed_on))

    def _prepare(self, sql: str) -> _Prepared:
        return _Prepared(sql, translate(sql, case_sensitive=self._case_sensitive))

    @property
    def _case_sensitive(self) -> bool:
        return self._settings.get("enable_case_sensitive_identifier", "false").lower() in ("true", "on", "1")

    def _execute(self, prepared: _Prepared, messages: bytes) -> bool:
        """Run one statement, with what tests want to go wrong around it; whether it succeeded."""
        group = self._settings.get("query_group", "default")
        seen = self._server.journal.begin(prepared.sql, group, self._user, self._backend.pid)
        rules = self._server.faults.matching(prepared.sql.strip())
        try:
            error = self._with_faults(prepared.translation, messages, seen, rules)
        except (ConnectionError, DroppedError):
            self._backend.close()
            self._server.journal.end(seen, "lost")
            raise
        self._server.journal.end(seen, "failed" if error else "success", error)
        return not error

    def _with_faults(self, translation: Translation, messages: bytes, seen: Seen, rules: list[Rule]) -> str:
        for rule in rules:
            if rule.action == "pause" and (error := self._wait_at_gate(rule)):
                return error
            if rule.action == "drop before":
                raise DroppedError
            if rule.action == "fail":
                return self._refuse(rule.error.fields)
        error = self._statement(translation, messages, seen, silent=any(rule.action == "drop after" for rule in rules))
        if any(rule.action == "drop after" for rule in rules):
            raise DroppedError
        return error

    def _wait_at_gate(self, rule: Rule) -> str:
        """In the backend, so that the session can be found and cancelled there."""
        idle, gate = self._backend.status == "I", Journal.gate(rule.number)
        try:
            self._backend.query(f"BEGIN; {gate}" if idle else gate)
        except BackendError as error:
            return self._refuse(error.fields)
        finally:
            if idle:
                self._backend.query("ROLLBACK")
        return ""

    def _statement(self, translation: Translation, messages: bytes, seen: Seen, *, silent: bool) -> str:
        """:return: what went wrong."""
        if self._backend.status == "I":
            self._settings_before = dict(self._settings)
        work = None
        if translation.special and self._backend.status != "E":
            work = Work(self._backend, translation, self._case_sensitive, seen)
            try:
                self._server.workers[translation.special](work)
            except LoadError as error:
                self._server.journal.load_error(seen, error)
                return self._refuse(error.fields)
            except (RedshiftError, BackendError) as error:
                return self._refuse(error.fields)
            except ConnectionError:
                raise
            except Exception as error:  # of the stand-in: the test that met it shall see it
                traceback.print_exc()
                return self._refuse({"M": f"the stand-in is at fault: {error!r}"})
            finally:
                self._last |= work.last
                self._tell_last()
        return self._relay(messages, translation, work, silent=silent)

    def _tell_last(self) -> None:
        """The backend's functions read these settings, which a rollback takes back with all others."""
        if self._last and self._backend.status != "E":
            self._backend.query("; ".join(f"SET redshift.{name} TO {value}" for name, value in self._last.items()))

    def _refuse(self, fields: dict[str, str]) -> str:
        """Tell the client, and let the transaction fail as after an error of PostgreSQL's."""
        self._backend.fail()
        self._client.send(protocol.error(in_redshifts_words(fields, self._backend.pid)))
        return fields["M"]

    def _relay(
        self, messages: bytes, translation: Translation | None, work: Work | None = None, *, silent: bool = False
    ) -> str:
        """Pass messages on, and the answers back, but for ReadyForQuery.

        :param silent: the client shall not hear of it.
        :return: what went wrong.
        """
        answers, failed, tag, was_there = bytearray(), "", "", False
        for notice in work.notices if work else ():
            answers += protocol.notice(notice)
        for kind, body in self._backend.exchange(messages):
            if kind == b"T" and not self._case_sensitive:
                body = protocol.with_lower_names(body)
            elif kind == b"E":
                said = in_redshifts_words(protocol.fields(body), self._backend.pid)
                failed = said["M"]
                answers += protocol.error(said)
                continue
            elif kind == b"N":
                was_there = was_there or protocol.fields(body).get("C") == _ALREADY_EXISTS
            elif kind == b"C":
                tag = body[:-1].decode()
                body = protocol.string(_tag(tag, work))
            answers += message(kind, body)
            if len(answers) > _BUFFER and not silent:
                self._client.send(bytes(answers))
                answers.clear()
        if translation is not None and not failed:
            self._remember(translation, tag)
            if translation.follow_up and self._backend.status != "E" and not was_there:
                self._backend.query(translation.follow_up)
        if not silent:
            self._client.send(bytes(answers))
        return failed

    def _remember(self, translation: Translation, tag: str) -> None:
        """The settings that a translation depends on, as they are after this statement."""
        if tag == "ROLLBACK":
            self._settings = dict(self._settings_before)
            self._tell_last()
        if translation.setting is None:
            return
        name, value = translation.setting
        if value is None:
            self._settings.pop(name, None)
        else:
            self._settings[name] = value


def _tag(tag: str, work: Work | None) -> str:
    """What Redshift calls a command that has ended. It does not say how many rows were selected."""
    if work is not None:
        return work.translation.special
    return "SELECT" if tag.startswith(("SELECT", "CREATE TABLE AS")) else tag
