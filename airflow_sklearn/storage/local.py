"""Objects as local files. A version is the file's modification time, size, inode and change time."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.exceptions import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    UserError,
)
from airflow_sklearn.storage.base import Store
from airflow_sklearn.storage.digests import check_digest
from airflow_sklearn.storage.temporary import is_temporary, remove_abandoned, rename_if_absent, temporary_file
from airflow_sklearn.storage.uris import Selection, split_scheme

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK = 1 << 22  # bytes


class LocalStore(Store):
    """Objects at ``file://`` URIs and absolute paths. ``Storage`` documents the methods.

    A write goes to a temporary file in the same folder, which is then renamed.
    """

    @classmethod
    def check_uri(cls, uri: str, rest: str) -> None:
        """See ``Store.check_uri``. The path must be absolute."""
        if not rest.startswith("/"):
            raise UserError(f"{uri!r} has no absolute path. A file URI has three slashes: file:///data/table.csv.")

    def stat(self, uri: str) -> SourceObject:
        """See ``Storage.stat``. A folder, a pipe, a socket or a device is not an object."""
        path = _path(uri)
        with _errors(uri):
            status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ObjectNotFoundError(_is_folder(uri))
        if not stat.S_ISREG(status.st_mode):
            raise ObjectNotFoundError(f"{uri} is neither a file nor a folder (a pipe, a socket or a device).")
        return SourceObject(uri=uri, etag=_etag(status), size=status.st_size)

    def open(self, uri: str, start: int, end: int | None, etag: str | None) -> BinaryIO:
        """See ``Storage.open``. A change of the file while it is read raises ``ObjectChangedError``."""
        return cast(BinaryIO, _RangeReader(uri, start, end, etag))

    def write(self, uri: str, data: bytes) -> str:
        """See ``Storage.write``. Missing folders are made."""
        with _writing(uri) as (temporary, file):
            file.write(data)
            return _put_in_place(temporary, file, uri)

    def create(self, uri: str, data: bytes) -> str:
        """See ``Storage.create``. Missing folders are made."""
        with _writing(uri) as (temporary, file):
            file.write(data)
            file.flush()
            try:
                rename_if_absent(temporary, _path(uri))
            except FileExistsError:
                raise ObjectExistsError(f"{uri} exists already") from None
            return _etag(os.fstat(file.fileno()))

    def replace(self, uri: str, data: bytes, etag: str) -> str:
        """See ``Storage.replace``. A lock on the folder keeps two writers apart."""
        try:
            folder = os.open(os.path.dirname(_path(uri)), os.O_RDONLY)
        except FileNotFoundError:
            raise ObjectChangedError(f"{uri} is gone; the version {etag} was expected") from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            try:
                unchanged = _is_version(os.stat(_path(uri)), etag)
            except FileNotFoundError:
                unchanged = False
            if not unchanged:
                raise ObjectChangedError(f"{uri} is no longer the version {etag}")
            return self.write(uri, data)
        finally:
            os.close(folder)

    def write_stream(self, uri: str, stream: Any) -> None:
        """See ``Storage.write_stream``."""
        with _writing(uri) as (temporary, file):
            shutil.copyfileobj(stream, file, _BLOCK)
            _put_in_place(temporary, file, uri)

    def copy(self, source_uri: str, target_uri: str, etag: str | None, sha256: str | None) -> None:
        """See ``Storage.copy``. ``etag`` is ignored: a folder that was moved or restored has other versions."""
        with _writing(target_uri) as (temporary, file):
            with _errors(source_uri):
                source = open(_path(source_uri), "rb", buffering=0)  # noqa: SIM115 - closed by the next line
            with source:
                _copy_content(source, file)
            if sha256:
                with open(temporary, "rb", buffering=0) as written:
                    check_digest(written, sha256, source_uri)
            _put_in_place(temporary, file, target_uri)

    def delete(self, uris: Iterable[str]) -> None:
        """See ``Storage.delete``."""
        for uri in uris:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(_path(uri))

    def list(self, selection: Selection) -> Iterator[SourceObject]:
        """See ``Storage.list``. Symbolic links are followed.

        :raises StorageError: a folder cannot be listed, or a symbolic link has no target.
        """
        root = _path(selection.root)
        scheme = selection.root[: len(selection.root) - len(root)]
        for name in sorted(_walk(os.path.dirname(root), scheme, selection)):
            uri = scheme + name
            if not selection.takes(uri):
                continue
            try:
                yield self.stat(uri)
            except ObjectNotFoundError as error:
                if os.path.lexists(name):  # a file deleted since the walk is fine, one that would be left out is not
                    raise StorageError(
                        f"{error} It was found while {selection.what} was listed. "
                        "Fix: mount what it points to, or remove it."
                    ) from None

    def last_change(self, selection: Selection) -> datetime | None:
        """See ``Storage.last_change``."""
        times = []
        for obj in self.list(selection):
            with contextlib.suppress(FileNotFoundError):
                times.append(os.stat(_path(obj.uri)).st_mtime)
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def local_path(self, uri: str) -> str:
        """See ``Store.local_path``: the object's own path."""
        return _path(uri)

    def leads_out(self, uri: str, folder: str) -> bool:
        """See ``Storage.leads_out``. Symbolic links are resolved."""
        return not f"{os.path.realpath(_path(uri))}/".startswith(f"{os.path.realpath(_path(folder)).rstrip('/')}/")

    def remove_abandoned(self, folder: str) -> int:
        """See ``Storage.remove_abandoned``."""
        return remove_abandoned(_path(folder))


class _RangeReader(io.RawIOBase):
    """Reads bytes of one version of a file. If the file changes meanwhile, reading raises ``ObjectChangedError``."""

    def __init__(self, uri: str, start: int, end: int | None, etag: str | None) -> None:
        with _errors(uri):
            self._file = open(_path(uri), "rb", buffering=0)  # noqa: SIM115 - closed by close()
        status = os.fstat(self._file.fileno())
        self._uri, self._position, self._end = uri, start, status.st_size if end is None else end
        self._etag, self._names = etag or _etag(status), status.st_nlink
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
        status = os.fstat(self._file.fileno())
        # If the name was deleted or given to another file, the change time changed, but not the content of this one.
        etag = self._etag if status.st_nlink == self._names else _without_change_time(self._etag)
        if not _is_version(status, etag):
            self._file.close()
            raise ObjectChangedError(f"{self._uri} has changed: it is no longer the version {self._etag}")


@contextlib.contextmanager
def _writing(uri: str) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the name and the file object of a new temporary file beside the target. It is removed unless it was
    renamed.
    """
    path = _path(uri)
    if path.endswith("/"):
        raise StorageError(f"Cannot write {uri}: it names a folder.")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        opened = temporary_file(os.path.dirname(path))
    except OSError as error:
        raise StorageError(
            f"Cannot write {uri}: {error}. Does the folder exist, and may this user write there?"
        ) from error
    with opened as (name, file):
        yield name, file


def _put_in_place(temporary: str, file: BinaryIO, uri: str) -> str:
    """Rename a temporary file to its target, replacing a file there. Return the new version."""
    file.flush()
    os.replace(temporary, _path(uri))
    return _etag(os.fstat(file.fileno()))


def _copy_content(source: Any, target: BinaryIO) -> None:
    """Copy all bytes, by the kernel's ``copy_file_range`` where it works: some file systems then share the bytes."""
    size, copied = os.fstat(source.fileno()).st_size, 0
    with contextlib.suppress(AttributeError, OSError):  # two file systems, or no support (macOS)
        while count := os.copy_file_range(source.fileno(), target.fileno(), 1 << 30):
            copied += count
        if copied == size:
            return
    source.seek(0)
    target.seek(0)
    target.truncate()
    shutil.copyfileobj(source, target, _BLOCK)
    target.flush()


@contextlib.contextmanager
def _errors(uri: str) -> Iterator[None]:
    """Turn the operating system's errors from reading a file into the package's own."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        path = _path(uri)
        link = f": it is a symbolic link to {os.readlink(path)}, which is not there." if os.path.islink(path) else ""
        raise ObjectNotFoundError(f"No file {uri}{link}") from None
    except IsADirectoryError:
        raise ObjectNotFoundError(_is_folder(uri)) from None
    except OSError as error:  # for example no permission, or links in a circle
        raise StorageError(f"{uri} cannot be read: {error.strerror or error}.") from error


def _is_folder(uri: str) -> str:
    return f"{uri} is a folder. To read all files in it, put a slash at its end."


def _walk(folder: str, scheme: str, selection: Selection, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the paths of the files below a folder that a selection may take. Symbolic links are followed.

    A folder that cannot be listed is an error; it is never skipped. A link without a target is an error if the
    selection could take it, or something below it.
    """
    try:
        real = os.path.realpath(folder)
        entries = [] if real in seen else list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be listed: {error}") from error
    for entry in entries:
        if is_temporary(entry.name):
            continue
        try:
            is_folder, is_there = entry.is_dir(), not entry.is_symlink() or os.path.exists(entry.path)
        except OSError:  # links in a circle
            is_folder, is_there = False, False
        if is_folder:
            if selection.enters(f"{scheme}{entry.path}/"):
                yield from _walk(entry.path, scheme, selection, seen | {real})
        elif is_there or not selection.enters(f"{scheme}{entry.path}/"):
            yield entry.path
        else:
            raise StorageError(
                f"{scheme}{entry.path} is a symbolic link to {os.readlink(entry.path)}, which is not there. It was "
                f"found while {selection.what} was listed. Fix: mount what it points to, or remove it."
            )


def _path(uri: str) -> str:
    return split_scheme(uri)[1]


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}-{status.st_ctime_ns:x}"


def _is_version(status: os.stat_result, etag: str) -> bool:
    """Whether a file is the version ``etag``. Etags of package version 0.1.0 lack the change time."""
    now = _etag(status)
    return etag in (now, _without_change_time(now))


def _without_change_time(etag: str) -> str:
    return "-".join(etag.split("-")[:3])
