"""``Storage``: one interface to all storage. A URI's scheme decides which store gets the call."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_sklearn.exceptions import ObjectNotFoundError, UserError
from airflow_sklearn.storage import uris as _uris
from airflow_sklearn.storage.digests import check_digest
from airflow_sklearn.storage.registry import find_store, store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from airflow_sklearn.contract.data import SourceObject
    from airflow_sklearn.storage.base import Store


class Storage:
    """Objects by URI, in every kind of storage that ``registry`` has.

    A *version* of an object is told by its etag: an opaque string that changes when the object does.

    :param s3_client: makes a boto3 S3 client. It is called once a process, and again after a fork. None:
        ``boto3.client("s3")``, which finds a task role's credentials.
    """

    def __init__(self, s3_client: Callable[[], Any] | None = None) -> None:
        self._s3_client = s3_client
        self._stores: dict[str, Store] = {}

    def __reduce__(self) -> tuple[type[Storage], tuple[Callable[[], Any] | None]]:
        return type(self), (self._s3_client,)  # a spawned process makes clients of its own

    def stat(self, uri: str) -> SourceObject:
        """The object's URI, etag and size in bytes.

        :raises ObjectNotFoundError: there is no object.
        """
        return self._store(uri).stat(uri)

    def exists(self, uri: str) -> bool:
        """Whether there is an object at this URI. A folder is not an object."""
        try:
            self.stat(uri)
        except ObjectNotFoundError:
            return False
        return True

    def local_path(self, uri: str) -> str | None:
        """The path of a file of this machine that is the object itself; None: its bytes must be fetched."""
        return self._store(uri).local_path(uri)

    def leads_out(self, uri: str, folder: str) -> bool:
        """Whether an object below a folder in truth lies outside of it, through symbolic links. In S3 this is never
        so.

        :param uri: the object, whose URI is below ``folder``.
        :param folder: the folder's URI.
        """
        return self._store(uri).leads_out(uri, folder)

    def read(self, uri: str, *, start: int = 0, end: int | None = None, etag: str | None = None) -> bytes:
        """Bytes ``[start, end)`` of an object.

        :param start: byte offset of the first byte.
        :param end: byte offset after the last byte; None: the object's end.
        :param etag: the version to read; None: the current one.
        :raises ObjectNotFoundError: there is no object.
        :raises ObjectChangedError: the object is no longer the version ``etag``.
        """
        with self.open(uri, start=start, end=end, etag=etag) as stream:
            return stream.read()

    def open(self, uri: str, *, start: int = 0, end: int | None = None, etag: str | None = None) -> BinaryIO:
        """A stream over bytes ``[start, end)`` of one version of an object, to be read in order.

        A broken connection is opened again at the byte where it broke. The caller closes the stream.

        :param start: byte offset of the first byte.
        :param end: byte offset after the last byte; None: the object's end.
        :param etag: the version to read; None: the current one.
        :raises ObjectNotFoundError: there is no object.
        :raises ObjectChangedError: the object is no longer that version, now or while it is read.
        """
        return self._store(uri).open(uri, start, end, etag)

    def write(self, uri: str, data: bytes) -> str:
        """Store an object, whole or not at all. An object that exists is replaced.

        :return: the etag of the new version.
        """
        return self._store(uri).write(uri, data)

    def create(self, uri: str, data: bytes) -> str:
        """Store an object only if there is none. Of several writers, exactly one succeeds.

        :return: the etag of the new version.
        :raises ObjectExistsError: there is an object.
        """
        return self._store(uri).create(uri, data)

    def replace(self, uri: str, data: bytes, *, etag: str) -> str:
        """Store an object in place of one version.

        :param etag: the version that is replaced.
        :return: the etag of the new version.
        :raises ObjectChangedError: the object has another version, or does not exist.
        """
        return self._store(uri).replace(uri, data, etag)

    def upload(self, path: str, uri: str) -> str:
        """Store a local file as an object, whole or not at all.

        :param path: the local file.
        :return: in S3 the new version's etag, with which ``copy`` need not read the object to check it; for files
            empty.
        """
        return self._store(uri).upload(path, uri)

    def write_stream(self, uri: str, stream: Any) -> None:
        """Store the content of a stream as an object, whole or not at all.

        :param stream: a binary file object that can seek.
        """
        self._store(uri).write_stream(uri, stream)

    def download(self, uri: str, path: str, *, etag: str | None = None) -> None:
        """Write an object's bytes into a local file, replacing it.

        :param path: the local file.
        :param etag: the version to read; None: the current one.
        :raises ObjectNotFoundError: there is no object.
        :raises ObjectChangedError: the object is no longer the version ``etag``.
        """
        with self.open(uri, etag=etag) as stream, open(path, "wb") as target:
            while block := stream.read(1 << 22):
                target.write(block)

    def copy(self, source_uri: str, target_uri: str, *, etag: str | None = None, sha256: str | None = None) -> None:
        """Copy an object within its scheme. S3 copies on its own side; local files share their bytes where that is
        possible.

        :param etag: with ``sha256``: the version in S3 that is known to have this digest, and need not be read. Without
            ``sha256``: the only version that may be copied; local files ignore it. None: any version.
        :param sha256: the digest that the content must have. None: it is not checked.
        :raises ObjectNotFoundError: there is no object.
        :raises ObjectChangedError: the content or the version is another one; nothing is copied.
        :raises UserError: the two URIs have different schemes.
        """
        if _uris.split_scheme(source_uri)[0] != _uris.split_scheme(target_uri)[0]:
            raise UserError(
                f"Cannot copy {source_uri} to {target_uri}: put the ledger and the destination in one kind of storage."
            )
        self._store(source_uri).copy(source_uri, target_uri, etag, sha256)

    def check(self, uri: str, *, sha256: str, etag: str | None = None) -> str:
        """Check that an object has a digest. The object is read unless its version is known.

        :param sha256: the expected digest.
        :param etag: the version that is known to have this digest; None: none is known.
        :return: the etag of the version that was checked.
        :raises ObjectNotFoundError: there is no object.
        :raises ObjectChangedError: the content has another digest.
        """
        now = self.stat(uri).etag
        if now != etag:
            with self.open(uri, etag=now) as stream:
                check_digest(stream, sha256, uri)
        return now

    def remove_abandoned(self, folder: str) -> int:
        """Remove the temporary files that killed writers left in a folder and below it.

        :return: the number of files removed; always 0 in S3, which has no temporary files.
        """
        return self._store(folder).remove_abandoned(folder)

    def delete(self, uris: Iterable[str]) -> None:
        """Delete objects. Objects that do not exist are no error."""
        by_scheme: dict[str, list[str]] = {}
        for uri in uris:
            by_scheme.setdefault(_uris.split_scheme(uri)[0], []).append(uri)
        for scheme, group in by_scheme.items():
            self._store_of(scheme).delete(group)

    def list(self, prefix: str) -> Iterator[SourceObject]:
        """All objects whose URI starts with ``prefix``, in order of their URIs."""
        return self._store(prefix).list(_uris.with_prefix(prefix))

    def last_change(self, prefix: str) -> datetime | None:
        """When an object whose URI starts with ``prefix`` was written last, by the storage's clock; None: there is
        none. What was deleted does not count.
        """
        return self._store(prefix).last_change(_uris.with_prefix(prefix))

    def expand(self, uris: Sequence[str], *, allow_empty: bool = False) -> tuple[SourceObject, ...]:
        """List the objects that URIs, globs and prefixes (ending in ``/``) stand for, each once, in order of their
        URIs.

        Below a prefix or a glob, names that start with ``_`` or ``.`` are left out, and so are S3's empty folder
        markers.

        :param allow_empty: a glob or a prefix may match nothing.
        :raises ObjectNotFoundError: one or more URIs match nothing; the message names all of them.
        """
        found: dict[str, SourceObject] = {}
        missing: list[str] = []
        for uri in uris:
            matches = list(self._matches(uri))
            if not matches and not (allow_empty and (uri.endswith("/") or _uris.is_pattern(uri))):
                missing.append(uri)
            found.update((match.uri, match) for match in matches)
        if missing:
            raise ObjectNotFoundError(
                f"No object matches {', '.join(missing)}. Fix: check the spelling and the date in the template; "
                "a folder is given with a slash at its end."
            )
        return tuple(found[uri] for uri in sorted(found))

    def _matches(self, uri: str) -> Iterator[SourceObject]:
        if not uri.endswith("/"):
            with contextlib.suppress(ObjectNotFoundError):  # an object's name may contain a wild card
                yield self.stat(uri)
                return
            if not _uris.is_pattern(uri):
                return
        yield from self._store(uri).list(_uris.visible_matches(uri))

    def _store(self, uri: str) -> Store:
        return self._store_of(_uris.split_scheme(uri)[0])

    def _store_of(self, scheme: str) -> Store:
        if (found := self._stores.get(scheme)) is None:
            # Of two threads that make one at the same time, the first one's is used by both.
            found = self._stores.setdefault(scheme, store_of(scheme).make(self._s3_client))
        return found


def use_aws(uris: Iterable[str]) -> bool:
    """Whether some of these URIs are of a storage that needs credentials for AWS. Those of no storage do not count."""
    schemes = {uri.partition("://")[0] for uri in uris if "://" in uri}
    return any((store := find_store(scheme)) is not None and store.uses_aws for scheme in schemes)
