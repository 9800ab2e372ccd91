"""The one interface: a URI goes to the store of its scheme."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_sklearn.exceptions import ObjectNotFoundError, UserError
from airflow_sklearn.storage import uris as _uris
from airflow_sklearn.storage.digests import check_digest
from airflow_sklearn.storage.local import LocalStore
from airflow_sklearn.storage.s3 import S3Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_sklearn.contract.data import SourceObject


class Storage:
    """Objects by URI, in local files and in S3.

    :param s3_client: makes a boto3 S3 client; called at most once a process, and again after a fork. Default:
        ``boto3.client("s3")``, which finds a task role's credentials.
    """

    def __init__(self, s3_client: Callable[[], Any] | None = None) -> None:
        self._s3_client = s3_client
        self._stores: dict[str, LocalStore | S3Store] = {"file": LocalStore(), "s3": S3Store(s3_client)}

    def __reduce__(self) -> tuple[type[Storage], tuple[Callable[[], Any] | None]]:
        return type(self), (self._s3_client,)  # a process that is spawned makes connections of its own

    def stat(self, uri: str) -> SourceObject:
        """The object's version and size.

        :raises ObjectNotFoundError: no object there.
        """
        return self._store(uri).stat(uri)

    def exists(self, uri: str) -> bool:
        try:
            self.stat(uri)
        except ObjectNotFoundError:
            return False
        return True

    def leads_out(self, uri: str, folder: str) -> bool:
        """Whether something in a folder lies elsewhere in truth: symbolic links lead there. Never so in S3."""
        return self._store(uri).leads_out(uri, folder)

    def read(self, uri: str, *, start: int = 0, end: int | None = None, etag: str | None = None) -> bytes:
        """Bytes ``[start, end)`` of an object.

        :param etag: the version that is meant.
        :raises ObjectNotFoundError: no object there.
        :raises ObjectChangedError: the object is no longer that version.
        """
        with self.open(uri, start=start, end=end, etag=etag) as stream:
            return stream.read()

    def open(self, uri: str, *, start: int = 0, end: int | None = None, etag: str | None = None) -> BinaryIO:
        """A sequential stream over bytes ``[start, end)``. A broken connection is resumed where it broke."""
        return self._store(uri).open(uri, start, end, etag)

    def write(self, uri: str, data: bytes) -> str:
        """Store an object, whole or not at all, over whatever is there. Returns its etag."""
        return self._store(uri).write(uri, data)

    def create(self, uri: str, data: bytes) -> str:
        """Store an object only if none is there: of many writers, one wins.

        :raises ObjectExistsError: an object is there.
        """
        return self._store(uri).create(uri, data)

    def replace(self, uri: str, data: bytes, *, etag: str) -> str:
        """Store an object over the version ``etag``.

        :raises ObjectChangedError: another version is there, or none.
        """
        return self._store(uri).replace(uri, data, etag)

    def upload(self, path: str, uri: str) -> str:
        """Store a local file as an object, whole or not at all.

        :return: in S3 its etag, by which ``copy`` knows the content again without reading it; empty for files.
        """
        return self._store(uri).upload(path, uri)

    def write_stream(self, uri: str, stream: Any) -> None:
        """Store what is read from a file object that can seek, whole or not at all."""
        self._store(uri).write_stream(uri, stream)

    def download(self, uri: str, path: str, *, etag: str | None = None) -> None:
        """Write an object's bytes into a local file."""
        with self.open(uri, etag=etag) as stream, open(path, "wb") as target:
            while block := stream.read(1 << 22):
                target.write(block)

    def copy(self, source_uri: str, target_uri: str, *, etag: str | None = None, sha256: str | None = None) -> None:
        """Copy an object within its scheme: on the server's side in S3; files share their bytes where that is possible.

        :param sha256: what the object must hold; its bytes are then read, where ``etag`` does not say enough.
        :param etag: the version in S3 that is known to hold that. Without ``sha256``: the only version that is copied.
        :raises ObjectNotFoundError: no object there.
        :raises ObjectChangedError: it holds something else; then nothing is copied.
        """
        if _uris.split_scheme(source_uri)[0] != _uris.split_scheme(target_uri)[0]:
            raise UserError(
                f"Cannot copy {source_uri} to {target_uri}: put the ledger and the destination in one kind of storage."
            )
        self._store(source_uri).copy(source_uri, target_uri, etag, sha256)

    def check(self, uri: str, *, sha256: str, etag: str | None = None) -> str:
        """Make sure that an object holds what was stored there. Its bytes are read, unless its version is known.

        :param etag: the version that is known to hold that.
        :return: the version that does.
        :raises ObjectNotFoundError: no object there.
        :raises ObjectChangedError: it holds something else.
        """
        now = self.stat(uri).etag
        if now != etag:
            with self.open(uri, etag=now) as stream:
                check_digest(stream, sha256, uri)
        return now

    def remove_abandoned(self, folder: str) -> int:
        """Remove what writers that were killed left in a folder and below it. Returns how many files that were.

        Objects in S3 appear whole or not at all.
        """
        return self._store(folder).remove_abandoned(folder)

    def delete(self, uris: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        by_scheme: dict[str, list[str]] = {}
        for uri in uris:
            by_scheme.setdefault(_uris.split_scheme(uri)[0], []).append(uri)
        for scheme, group in by_scheme.items():
            self._stores[scheme].delete(group)

    def list(self, prefix: str) -> Iterator[SourceObject]:
        """All objects whose URI starts with ``prefix``, in order of their URIs."""
        return self._store(prefix).list(_uris.with_prefix(prefix))

    def expand(self, uris: Sequence[str], *, allow_empty: bool = False) -> tuple[SourceObject, ...]:
        """The objects that URIs, globs and prefixes (ending in ``/``) stand for, each once, in order of their URIs.

        Below a prefix or a glob, names that start with ``_`` or ``.`` are left out, as are empty folder markers.

        :raises ObjectNotFoundError: one or more match nothing (all are named), unless ``allow_empty`` and they are
            globs or prefixes.
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
            with contextlib.suppress(ObjectNotFoundError):  # a name may hold what is a wild card elsewhere
                yield self.stat(uri)
                return
            if not _uris.is_pattern(uri):
                return
        yield from self._store(uri).list(_uris.visible_matches(uri))

    def _store(self, uri: str) -> LocalStore | S3Store:
        return self._stores[_uris.split_scheme(uri)[0]]
