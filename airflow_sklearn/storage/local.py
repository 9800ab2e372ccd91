"""Objects as local files. A version is the file's modification time, size, inode and change time."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.exceptions import ObjectChangedError, ObjectExistsError, ObjectNotFoundError, StorageError
from airflow_sklearn.storage.digests import check_digest
from airflow_sklearn.storage.temporary import is_temporary, remove_abandoned, rename_if_absent, temporary_file
from airflow_sklearn.storage.uris import Selection, split_scheme

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK = 1 << 22  # bytes


class LocalStore:
    """``file://`` URIs and absolute paths. Writes go to a temporary name in the same folder and are then renamed."""

    def stat(self, uri: str) -> SourceObject:
        path = _path(uri)
        with _errors(uri):
            status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ObjectNotFoundError(_is_folder(uri))
        if not stat.S_ISREG(status.st_mode):
            raise ObjectNotFoundError(f"{uri} is neither a file nor a folder (a pipe, a socket or a device).")
        return SourceObject(uri=uri, etag=_etag(status), size=status.st_size)

    def open(self, uri: str, start: int, end: int | None, etag: str | None) -> BinaryIO:
        return cast(BinaryIO, _RangeReader(uri, start, end, etag))

    def write(self, uri: str, data: bytes) -> str:
        with _writing(uri) as (temporary, file):
            file.write(data)
            return _put_in_place(temporary, file, uri)

    def create(self, uri: str, data: bytes) -> str:
        with _writing(uri) as (temporary, file):
            file.write(data)
            file.flush()
            try:
                rename_if_absent(temporary, _path(uri))
            except FileExistsError:
                raise ObjectExistsError(f"{uri} exists already") from None
            return _etag(os.fstat(file.fileno()))

    def replace(self, uri: str, data: bytes, etag: str) -> str:
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

    def upload(self, path: str, uri: str) -> str:
        """Returns nothing: a file's version says where it lies, not what it holds."""
        with open(path, "rb") as stream:
            self.write_stream(uri, stream)
        return ""

    def write_stream(self, uri: str, stream: Any) -> None:
        with _writing(uri) as (temporary, file):
            shutil.copyfileobj(stream, file, _BLOCK)
            _put_in_place(temporary, file, uri)

    def copy(self, source_uri: str, target_uri: str, etag: str | None, sha256: str | None) -> None:
        """The etag is not looked at: a digest says more, and a folder that was moved or restored has other versions."""
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
        for uri in uris:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(_path(uri))

    def list(self, selection: Selection) -> Iterator[SourceObject]:
        root = _path(selection.root)
        scheme = selection.root[: len(selection.root) - len(root)]
        for name in sorted(_walk(os.path.dirname(root), scheme, selection)):
            uri = scheme + name
            if not selection.takes(uri):
                continue
            try:
                yield self.stat(uri)
            except ObjectNotFoundError as error:
                if os.path.lexists(name):  # deleted between the walk and here is fine; left out is not
                    raise StorageError(
                        f"{error} It was found while {selection.what} was listed. "
                        "Fix: mount what it points to, or remove it."
                    ) from None

    def leads_out(self, uri: str, folder: str) -> bool:
        return not f"{os.path.realpath(_path(uri))}/".startswith(f"{os.path.realpath(_path(folder)).rstrip('/')}/")

    def remove_abandoned(self, folder: str) -> int:
        return remove_abandoned(_path(folder))


class _RangeReader(io.RawIOBase):
    """Bytes of one version of a file: a change while reading is an error, never a mixture."""

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
        # Another file has taken its name, or it was deleted: that changes the change time, and not what was opened.
        etag = self._etag if status.st_nlink == self._names else _without_change_time(self._etag)
        if not _is_version(status, etag):
            self._file.close()
            raise ObjectChangedError(f"{self._uri} has changed: it is no longer the version {self._etag}")


@contextlib.contextmanager
def _writing(uri: str) -> Iterator[tuple[str, BinaryIO]]:
    """A temporary file beside the target, and its name; gone afterwards unless it was renamed."""
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
    """Give a temporary file its name, over whatever has it. Returns its version."""
    file.flush()
    os.replace(temporary, _path(uri))
    return _etag(os.fstat(file.fileno()))


def _copy_content(source: Any, target: BinaryIO) -> None:
    """All bytes; by the kernel where it can, which shares them on file systems that know how."""
    size, copied = os.fstat(source.fileno()).st_size, 0
    with contextlib.suppress(AttributeError, OSError):  # two file systems, or one that cannot; macOS has no such call
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
    """The system's errors on a file that is looked for, as the package's own."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        path = _path(uri)
        link = f": it is a symbolic link to {os.readlink(path)}, which is not there." if os.path.islink(path) else ""
        raise ObjectNotFoundError(f"No file {uri}{link}") from None
    except IsADirectoryError:
        raise ObjectNotFoundError(_is_folder(uri)) from None
    except OSError as error:  # no right to enter a folder on the way, links in a circle
        raise StorageError(f"{uri} cannot be read: {error.strerror or error}.") from error


def _is_folder(uri: str) -> str:
    return f"{uri} is a folder. To read all files in it, put a slash at its end."


def _walk(folder: str, scheme: str, selection: Selection, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The files below a folder that a selection may take, through symbolic links too.

    What cannot be looked into is an error, never left out. A link that leads nowhere counts as what it may have led to.
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
    """Whether a file is that version. Version 0.1.0 did not look at the change time."""
    now = _etag(status)
    return etag in (now, _without_change_time(now))


def _without_change_time(etag: str) -> str:
    return "-".join(etag.split("-")[:3])
