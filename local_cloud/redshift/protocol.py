"""PostgreSQL's wire protocol, version 3, which Redshift's drivers speak too: messages in and out of a socket."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

#: A message's type, and what is in it.
Message = tuple[bytes, bytes]

VERSION = 196608
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102

_HEADER = struct.Struct("!cI")
_LENGTH = struct.Struct("!I")
_COLUMN = struct.Struct("!IHIhih")
_READ_BYTES = 1 << 20


class Wire:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._input = connection.makefile("rb", _READ_BYTES)

    def receive(self) -> Message:
        """The next message.

        :raises ConnectionError: the other side has gone.
        """
        kind, length = _HEADER.unpack(self._exactly(_HEADER.size))
        return kind, self._exactly(length - 4)

    def receive_rows(self, size: int) -> tuple[list[bytes], Message | None]:
        """About ``size`` bytes of CopyData, one a row; and the message that came instead of another one.

        There are millions of them: no call per row but those to read it.
        """
        rows, length = list[bytes](), 0
        read = self._input.read
        while length < size:
            header = read(_HEADER.size)
            if header[:1] != b"d":
                kind, rest = _HEADER.unpack(header) if len(header) == _HEADER.size else (b"", 4)
                return rows, (kind, self._exactly(rest - 4))
            row = read(int.from_bytes(header[1:], "big") - 4)
            rows.append(row)
            length += len(row)
        return rows, None

    def receive_startup(self) -> bytes:
        """The first message of a client, which has no type."""
        (length,) = _LENGTH.unpack(self._exactly(4))
        return self._exactly(length - 4)

    def send(self, data: bytes) -> None:
        """Send messages that are already put together."""
        self._socket.sendall(data)

    def has_answer(self) -> bool:
        """Whether something has come that nobody waited for; only where nothing was left unread before."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        """Hang up, whoever still reads."""
        with contextlib.suppress(OSError):  # the other side was faster
            self._socket.shutdown(socket.SHUT_RDWR)
        self._input.close()
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        data = self._input.read(size)
        if len(data) < size:
            raise ConnectionError("the other side has hung up")
        return data


@dataclass(frozen=True)
class Column:
    """A column of an answer, as RowDescription says it."""

    name: str
    oid: int
    modifier: int


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message as bytes."""
    return _HEADER.pack(kind, len(body) + 4) + body


def string(text: str) -> bytes:
    """A string as the protocol ends it."""
    return text.encode() + b"\0"


def startup(parameters: Mapping[str, str]) -> bytes:
    """A client's first message."""
    body = _LENGTH.pack(VERSION) + b"".join(string(key) + string(value) for key, value in parameters.items()) + b"\0"
    return _LENGTH.pack(len(body) + 4) + body


def startup_parameters(body: bytes) -> tuple[int, dict[str, str]]:
    """The version, or the kind of request, that a client asks for; and its parameters."""
    (version,) = _LENGTH.unpack(body[:4])
    words = [word.decode() for word in body[4:].split(b"\0")] if version == VERSION else []
    return version, {key: value for key, value in zip(words[::2], words[1::2], strict=False) if key}


def fields(body: bytes) -> dict[str, str]:
    """What an error or a notice says, by one-letter name: M is the message, C the SQLSTATE, D the detail."""
    return {part[:1].decode(): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}


def error(said: Mapping[str, str]) -> bytes:
    """An error message of these fields."""
    complete = {"S": "ERROR", "C": "XX000"} | {key: value for key, value in said.items() if value}
    return message(b"E", b"".join(string(key + value) for key, value in complete.items()) + b"\0")


def notice(text: str) -> bytes:
    """What a client may print."""
    return message(b"N", b"".join(string(field) for field in ("SINFO", "C00000", f"M{text}")) + b"\0")


def ready(status: str) -> bytes:
    """The next statement may come; I is for idle, T in a transaction, E in one that has failed."""
    return message(b"Z", status.encode())


def columns(description: bytes) -> list[Column]:
    """The columns of a RowDescription."""
    (count,) = struct.unpack_from("!H", description)
    position, found = 2, []
    for _ in range(count):
        end = description.index(b"\0", position)
        _table, _number, oid, _size, modifier, _format = _COLUMN.unpack_from(description, end + 1)
        found.append(Column(description[position:end].decode(), oid, modifier))
        position = end + 1 + _COLUMN.size
    return found


def with_lower_names(description: bytes) -> bytes:
    """A RowDescription whose names have no capitals."""
    (count,) = struct.unpack_from("!H", description)
    position, parts = 2, [description[:2]]
    for _ in range(count):
        end = description.index(b"\0", position)
        rest = end + 1 + _COLUMN.size
        parts += [description[position:end].decode().lower().encode(), description[end:rest]]
        position = rest
    return b"".join(parts)


def values(row: bytes) -> list[str | None]:
    """The values of a DataRow, as text."""
    (count,) = struct.unpack_from("!H", row)
    position, found = 2, list[str | None]()
    for _ in range(count):
        (length,) = struct.unpack_from("!i", row, position)
        position += 4
        found.append(None if length < 0 else row[position : position + length].decode())
        position += max(length, 0)
    return found
