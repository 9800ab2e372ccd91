"""Blobs: bytes that are stored beside messages, once by their content, fetched once a container, and mapped into
memory.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import io
import mmap
import os
import threading
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from airflow_sklearn.pool.messages import Blob, Payload
from airflow_sklearn.pool.signing import check_content
from airflow_sklearn.storage.uris import split_scheme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.pool.folder import PoolFolder

INLINE_BYTES = 60_000
"""A pickle up to this size is in its message: two of them fit into one call of SQS with the smaller ones."""


class BlobWriter:
    """Stores bytes below a pool's folder. Several threads may use it."""

    def __init__(self, folder: PoolFolder) -> None:
        self._folder = folder
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()
        self.bytes_stored = 0

    def store(self, data: memoryview, digest: str) -> Blob:
        """Store bytes that several messages may share.

        :param data: the bytes.
        :param digest: their SHA-256.
        """
        blob = Blob(sha256=digest, size=len(data))
        with self._lock:
            upload = self._uploads.setdefault(digest, _Upload())
        with upload.lock:  # only a task with the same array waits for its upload
            if not upload.done:
                self._write(blob, data)
                upload.done = True
        return blob

    def payload(self, data: bytes, buffers: tuple[Blob, ...] = (), *, name: str) -> Payload:
        """A pickle as a payload: in the message if it is small, else stored.

        :param data: the pickle.
        :param buffers: the blobs that it refers to.
        :param name: the name under which it is stored.
        """
        if len(data) <= INLINE_BYTES:
            return Payload(inline=base64.b64encode(data).decode(), buffers=buffers)
        blob = Blob(sha256=sha256(data).hexdigest(), size=len(data), name=name)
        self._write(blob, data)
        return Payload(stored=blob, buffers=buffers)

    def _write(self, blob: Blob, data: bytes | memoryview) -> None:
        self._folder.storage.write_stream(self._folder.blob_uri(blob), BytesReader(data))
        with self._lock:
            self.bytes_stored += blob.size


@dataclass
class _Upload:
    """The upload of one digest. Its lock is held while the bytes are stored."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    done: bool = False


class BlobReader:
    """Reads the bytes that a ``BlobWriter`` has stored.

    :param cache: a folder of this container, shared by all its processes. Files of a ``file://`` pool are read in
        place.
    """

    def __init__(self, folder: PoolFolder, cache: str) -> None:
        self._folder, self._cache = folder, cache
        self.bytes_fetched = 0

    def data(self, payload: Payload) -> bytes:
        """The pickle of a payload.

        :raises ForgedMessageError: it does not have the digest in the message.
        """
        if payload.stored is None:
            return base64.b64decode(payload.inline)
        return self._read(payload.stored)

    def buffers(self, payload: Payload, mmap_mode: Literal["r", "c"] | None) -> list[Any]:
        """The bytes of a payload's arrays.

        :param mmap_mode: ``r``: mapped into memory, read only. ``c``: mapped, and changes are this process's own. None:
            read.
        :raises ForgedMessageError: bytes do not have the digest in the message.
        """
        if mmap_mode is None:
            return [bytearray(self._read(blob)) for blob in payload.buffers]
        access = mmap.ACCESS_READ if mmap_mode == "r" else mmap.ACCESS_COPY
        found = []
        for blob in payload.buffers:
            with open(self._file(blob), "rb") as file:
                found.append(mmap.mmap(file.fileno(), 0, access=access))
        return found

    def _read(self, blob: Blob) -> bytes:
        uri = self._folder.blob_uri(blob)
        data = self._folder.storage.read(uri)
        self.bytes_fetched += len(data)
        check_content(data, blob.sha256, uri)
        return data

    def _file(self, blob: Blob) -> str:
        """A local file with a blob's content. The content has been checked once."""
        uri = self._folder.blob_uri(blob)
        scheme, path = split_scheme(uri)
        checked = os.path.join(self._cache, blob.sha256)
        if not os.path.exists(checked):
            with _alone(f"{checked}.lock"):
                if not os.path.exists(checked):  # another process of this container may have fetched it
                    if scheme == "file":
                        _check_file(path, blob, uri)
                        os.symlink(path, checked)
                    else:
                        self._fetch(uri, blob, checked)
        return checked

    def _fetch(self, uri: str, blob: Blob, path: str) -> None:
        self._folder.storage.download(uri, f"{path}.part")
        self.bytes_fetched += blob.size
        _check_file(f"{path}.part", blob, uri)
        os.rename(f"{path}.part", path)


class BytesReader(io.RawIOBase):
    """A binary file over bytes that does not copy them as a whole, for uploads by boto3."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data, self._position = memoryview(data), 0

    def readable(self) -> bool:
        """Always True."""
        return True

    def seekable(self) -> bool:
        """Always True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Copy the next bytes into a buffer, and return their number."""
        found = self._data[self._position : self._position + len(buffer)]
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another position, and return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._data)}[whence]
        self._position = max(0, start + offset)
        return self._position


def _check_file(path: str, blob: Blob, where: str) -> None:
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        check_content(view, blob.sha256, where)


@contextlib.contextmanager
def _alone(path: str) -> Iterator[None]:
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
