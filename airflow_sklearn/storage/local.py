"""Objects as local files. A version is the file's modification time, size and inode."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.exceptions import ObjectChangedError, ObjectExistsError, ObjectNotFoundError, StorageError
from airflow_sklearn.storage.uris import split_scheme

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TEMPORARY = ".tmp-"


class LocalStore:
    """``file://`` URIs and absolute paths. Writes go to a temporary name in the same folder and are then renamed."""

    def stat(self, uri: str) -> SourceObject:
        path = _path(uri)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectNotFoundError(f"No file {uri}") from None
        if not os.path.isfile(path):
            raise ObjectNotFoundError(_is_folder(uri))
        return SourceObject(uri=uri, etag=_etag(status), size=status.st_size)

    def open(self, uri: str, start: int, end: int | None, etag: str | None) -> BinaryIO:
        return cast(BinaryIO, _RangeReader(uri, start, end, etag))

    def write(self, uri: str, data: bytes) -> str:
        with _temporary(uri, data) as temporary:
            etag = _etag(os.stat(temporary))
            os.replace(temporary, _path(uri))
        return etag

    def create(self, uri: str, data: bytes) -> str:
        with _temporary(uri, data) as temporary:
            try:
                os.link(temporary, _path(uri))
            except FileExistsError:
                raise ObjectExistsError(f"{uri} exists already") from None
            return _etag(os.stat(temporary))

    def replace(self, uri: str, data: bytes, etag: str) -> str:
        folder = os.open(os.path.dirname(_path(uri)), os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            try:
                unchanged = self.stat(uri).etag == etag
            except ObjectNotFoundError:
                unchanged = False
            if not unchanged:
                raise ObjectChangedError(f"{uri} is no longer the version {etag}")
            return self.write(uri, data)
        finally:
            os.close(folder)

    def upload(self, path: str, uri: str) -> None:
        with _temporary(uri) as temporary:
            shutil.copyfile(path, temporary)
            os.replace(temporary, _path(uri))

    def write_stream(self, uri: str, stream: Any) -> None:
        with _temporary(uri) as temporary:
            with open(temporary, "wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
            os.replace(temporary, _path(uri))

    def copy(self, source_uri: str, target_uri: str) -> None:
        with _temporary(target_uri) as temporary:
            os.unlink(temporary)
            try:
                os.link(_path(source_uri), temporary)
            except FileNotFoundError:
                raise ObjectNotFoundError(f"No file {source_uri}") from None
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(_path(source_uri), temporary)
            # rename() does nothing when both names are already the same file, and leaves the temporary one to clean up
            os.replace(temporary, _path(target_uri))

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_path(uri))

    def list(self, prefix: str) -> Iterator[SourceObject]:
        path = _path(prefix)
        scheme = prefix[: len(prefix) - len(path)]
        for name in sorted(name for name in _walk(os.path.dirname(path)) if name.startswith(path)):
            with contextlib.suppress(ObjectNotFoundError):  # deleted between the walk and here
                yield self.stat(scheme + name)


class _RangeReader(io.RawIOBase):
    """Bytes of one version of a file: a change while reading is an error, never a mixture."""

    def __init__(self, uri: str, start: int, end: int | None, etag: str | None) -> None:
        try:
            self._file = open(_path(uri), "rb", buffering=0)  # noqa: SIM115 - closed by close()
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectNotFoundError(f"No file {uri}") from None
        except IsADirectoryError:
            raise ObjectNotFoundError(_is_folder(uri)) from None
        status = os.fstat(self._file.fileno())
        self._uri, self._position, self._end = uri, start, status.st_size if end is None else end
        self._etag = etag or _etag(status)
        self._file.seek(start)
        self._check()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: max(0, self._end - self._position)]
        count = self._file.readinto(view) if len(view) else 0
        self._check()
        self._position += count or 0
        return count or 0

    def close(self) -> None:
        self._file.close()
        super().close()

    def _check(self) -> None:
        if _etag(os.fstat(self._file.fileno())) != self._etag:
            self._file.close()
            raise ObjectChangedError(f"{self._uri} has changed: it is no longer the version {self._etag}")


@contextlib.contextmanager
def _temporary(uri: str, data: bytes = b"") -> Iterator[str]:
    """A temporary file beside the target, gone afterwards unless it was renamed."""
    folder = os.path.dirname(_path(uri))
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
    except OSError as error:
        raise StorageError(
            f"Cannot write {uri}: {error}. Does the folder exist, and may this user write there?"
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _is_folder(uri: str) -> str:
    return f"{uri} is a folder. To read all files in it, put a slash at its end."


def _walk(folder: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The files below a folder, through symbolic links too. What cannot be looked into is an error, never left out."""
    try:
        real = os.path.realpath(folder)
        entries = [] if real in seen else list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be listed: {error}") from error
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry.path, seen | {real})
        elif not entry.name.startswith(_TEMPORARY):
            yield entry.path


def _path(uri: str) -> str:
    return split_scheme(uri)[1]


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"
