"""A session of the PostgreSQL server behind the stand-in."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from local_cloud.redshift import protocol
from local_cloud.redshift.errors import BackendError, RedshiftError
from local_cloud.redshift.protocol import Column, Message

#: The status of a session that the server has ended.
TERMINATED = "X"
_ROWS_BYTES = 1 << 20


@dataclass
class Result:
    """What one statement gave."""

    rows: list[list[str | None]] = field(default_factory=list)
    tag: str = ""


class Backend:
    """One session, open until it is closed.

    :param parameters: of the start-up message: user, database and settings.
    :raises BackendError: PostgreSQL does not let this user in.
    """

    def __init__(self, address: tuple[str, int], parameters: Mapping[str, str]) -> None:
        self._wire = protocol.Wire(socket.create_connection(address))
        self._wire.send(protocol.startup(parameters))
        self.status = "I"
        #: What the server said until it was ready: a client wants to hear it too.
        self.greeting = [*self._until_ready()]
        if refused := [body for kind, body in self.greeting if kind == b"E"]:
            raise BackendError(protocol.fields(refused[0]))
        key = next(body for kind, body in self.greeting if kind == b"K")
        self.pid = int.from_bytes(key[:4], "big")

    def query(self, sql: str) -> Result:
        """Run a statement, or several.

        :raises BackendError: it failed.
        """
        result, failed = Result(), None
        for kind, body in self.exchange(protocol.message(b"Q", protocol.string(sql))):
            if kind == b"D":
                result.rows.append(protocol.values(body))
            elif kind == b"C":
                result.tag = body[:-1].decode()
            elif kind == b"E":
                failed = BackendError(protocol.fields(body))
        if failed is not None:
            raise failed
        return result

    def describe(self, sql: str) -> list[Column]:
        """The columns of a query, which is not run.

        :raises BackendError: it is wrong.
        """
        parse = protocol.message(b"P", protocol.string("") + protocol.string(sql) + b"\0\0")
        describe = protocol.message(b"D", b"S" + protocol.string(""))
        found, failed = list[Column](), None
        for kind, body in self.exchange(parse + describe + protocol.message(b"S")):
            if kind == b"T":
                found = protocol.columns(body)
            elif kind == b"E":
                failed = BackendError(protocol.fields(body))
        if failed is not None:
            raise failed
        return found

    def copy_out(self, sql: str) -> Generator[list[bytes]]:
        """What ``COPY ... TO STDOUT`` gives, many rows at a time.

        :raises BackendError: it failed, perhaps after many rows.
        """
        self._wire.send(protocol.message(b"Q", protocol.string(sql)))
        failed, ended = None, False
        try:
            while not ended:
                rows, other = self._wire.receive_rows(_ROWS_BYTES)
                if rows:
                    yield rows
                if other is not None:
                    kind, body = other
                    ended = kind == b"Z"
                    if ended:
                        self.status = body.decode()
                    elif kind == b"E":
                        failed = BackendError(protocol.fields(body))
                    elif not kind:
                        raise ConnectionError("PostgreSQL has hung up")
        except GeneratorExit:
            for _ in self._until_ready():
                pass  # what a reader that gave up has left: the session is of use again
            raise
        if failed is not None:
            raise failed

    def copy_in(self, sql: str, chunks: Iterable[bytes]) -> int:
        """Feed ``COPY ... FROM STDIN``; the number of rows.

        An error of ``chunks`` ends the statement and is raised; the transaction has failed then.

        :raises BackendError: PostgreSQL refused.
        """
        self._wire.send(protocol.message(b"Q", protocol.string(sql)))
        kind, body = self._wire.receive()
        if kind != b"G":
            rest = [(kind, body), *self._until_ready()]
            raise BackendError(protocol.fields(next(body for kind, body in rest if kind == b"E")))
        broken: Exception | None = None
        try:
            for chunk in chunks:
                if self._wire.has_answer():
                    break  # refused or cancelled: the rest is for nobody
                self._wire.send(protocol.message(b"d", chunk))
            self._wire.send(protocol.message(b"c"))
        except (RedshiftError, OSError) as error:
            broken = error
            self._wire.send(protocol.message(b"f", protocol.string("the load has failed")))
        answers = dict(self._until_ready())
        if b"E" in answers:
            raise broken or BackendError(protocol.fields(answers[b"E"]))
        return int(answers[b"C"][:-1].split()[-1])

    def exchange(self, messages: bytes) -> Iterator[Message]:
        """Send messages, and give what comes back; ReadyForQuery, which ends it, is not given."""
        self._wire.send(messages)
        return self._until_ready()

    def fail(self) -> None:
        """Make an open transaction a failed one, as after an error of its own."""
        if self.status == "T":
            with contextlib.suppress(BackendError):
                self.query("refused by the stand-in")

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        with contextlib.suppress(OSError):
            self._wire.send(protocol.message(b"X"))
        self._wire.close()

    def _until_ready(self) -> Iterator[Message]:
        while True:
            kind, body = self._wire.receive()
            if kind == b"Z":
                self.status = body.decode()
                return
            yield kind, body
            if kind == b"E" and body.startswith(b"SFATAL"):
                self.status = TERMINATED
                return
