"""Objects in S3, through boto3."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self, cast

from airflow_sklearn.aws.errors import Kind, classify, code_of, table
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
from airflow_sklearn.storage.uris import split_scheme
from airflow_sklearn.system.retry import retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from airflow_sklearn.storage.uris import Selection

#: Seconds before each attempt to open a broken stream again. If all fail without progress, its error is raised.
_RESUME_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
_CONFLICT_PAUSES = (0.1, 0.3, 1.0, 3.0)  # seconds
#: Answers without a body (to HEAD) have the HTTP status as their code.
_OWN = table(
    (Kind.NOT_FOUND, "(NoSuchKey|NoSuchBucket|NotFound|404):"),
    (Kind.CHANGED, "(PreconditionFailed|412):"),
    (Kind.CONFLICT, "(ConditionalRequestConflict|409):"),
)
_DELETE_BATCH = 1000  # the limit of DeleteObjects


class S3Store(Store):
    """Objects at ``s3://bucket/key`` URIs. ``Storage`` documents the methods.

    :param client: makes a boto3 S3 client. It is called again in a forked process, because connections must not be
        shared. None: a default client with up to 8 attempts a call.
    """

    uses_aws: ClassVar[bool] = True

    def __init__(self, client: Callable[[], Any] | None = None) -> None:
        self._make_client = client or _default_client
        self._clients: dict[int, Any] = {}

    @classmethod
    def make(cls, aws_client: Callable[[], Any] | None) -> Self:
        """See ``Store.make``."""
        return cls(aws_client)

    @classmethod
    def check_uri(cls, uri: str, rest: str) -> None:
        """See ``Store.check_uri``. A bucket's name is required."""
        if not rest.partition("/")[0]:
            raise UserError(f"{uri!r} names no bucket. Use s3://bucket/key.")

    @property
    def _client(self) -> Any:
        process = os.getpid()
        if process in self._clients:
            return self._clients[process]
        client = self._make_client()
        if not _has_found_nothing(client):
            self._clients = {process: client}
        return client

    def stat(self, uri: str) -> SourceObject:
        """See ``Storage.stat``."""
        with _errors(uri):
            head = self._client.head_object(**_address(uri))
        return SourceObject(uri=uri, etag=head["ETag"], size=head["ContentLength"])

    def open(self, uri: str, start: int, end: int | None, etag: str | None) -> BinaryIO:
        """See ``Storage.open``. A broken connection is opened again at the byte where it broke."""
        if etag is None:
            body, end, etag = self._get_any_version(uri, start, end)
        else:
            body, end = None, self.stat(uri).size if end is None else end
        stream = _ResumingReader(lambda at: self._get(uri, at, end, etag), start, max(start, end), body)
        return cast(BinaryIO, io.BufferedReader(stream, buffer_size=1 << 20))

    def _get(self, uri: str, start: int, end: int, etag: str) -> Any:
        with _errors(uri, etag):
            return self._client.get_object(**_address(uri), Range=f"bytes={start}-{end - 1}", IfMatch=etag)["Body"]

    def _get_any_version(self, uri: str, start: int, end: int | None) -> tuple[Any, int, str]:
        """Get a range of the current version in one request.

        :return: the body (None if the range is empty), the byte offset of its end in the object, and the version's
            etag.
        """
        wanted = {} if (start, end) == (0, None) else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        if end is not None and end <= start:
            return None, start, self.stat(uri).etag
        with _errors(uri):
            try:
                answer = self._client.get_object(**_address(uri), **wanted)
            except Exception as error:
                if code_of(error) in ("InvalidRange", "416"):  # nothing at or past start
                    return None, start, self.stat(uri).etag
                raise
        return answer["Body"], start + answer["ContentLength"], answer["ETag"]

    def write(self, uri: str, data: bytes) -> str:
        """See ``Storage.write``."""
        with _errors(uri):
            return str(self._client.put_object(**_address(uri), **_shown(uri), Body=data)["ETag"])

    def create(self, uri: str, data: bytes) -> str:
        """See ``Storage.create``. S3 checks it: ``If-None-Match: *``."""
        with _errors(uri, precondition=ObjectExistsError(f"{uri} exists already")):
            return self._put_if(uri, data, IfNoneMatch="*")

    def replace(self, uri: str, data: bytes, etag: str) -> str:
        """See ``Storage.replace``. S3 checks it: ``If-Match``."""
        with _errors(uri, etag):
            try:
                return self._put_if(uri, data, IfMatch=etag)
            except Exception as error:
                if code_of(error) in ("NoSuchKey", "404"):
                    raise ObjectChangedError(f"{uri} is gone; the version {etag} was expected") from error
                raise

    def _put_if(self, uri: str, data: bytes, **condition: str) -> str:
        """Store an object on a condition, and return its etag.

        A repeated request may find the object that its own first try has stored. That counts as success.
        """
        tries = 0

        def put() -> str:
            nonlocal tries
            tries += 1
            return str(self._client.put_object(**_address(uri), Body=data, **condition)["ETag"])

        try:
            # A conflict: another request writes or deletes the object at this moment. S3 asks for a retry.
            return retry(put, _CONFLICT_PAUSES, on=lambda error: classify(error, _OWN) is Kind.CONFLICT)
        except Exception as error:
            if (tries > 1 or _retries(error)) and (etag := self._stored(uri, data, error)):
                return etag
            raise

    def _stored(self, uri: str, data: bytes, error: Exception) -> str | None:
        """The etag of the existing object, if ``error`` says that there is one and its content is ``data``; else
        None.
        """
        if classify(error, _OWN) not in (Kind.CHANGED, Kind.CONFLICT):
            return None
        try:
            answer = self._client.get_object(**_address(uri))
            return str(answer["ETag"]) if answer["Body"].read() == data else None
        except Exception:
            return None

    def upload(self, path: str, uri: str) -> str:
        """See ``Storage.upload``. The version identifies the content."""
        with open(path, "rb") as file:
            self.write_stream(uri, file)
        return self.stat(uri).etag

    def write_stream(self, uri: str, stream: Any) -> None:
        """See ``Storage.write_stream``. Large streams become multipart uploads."""
        address = _address(uri)
        with _errors(uri):
            # Not upload_file: its own error hides S3's answer.
            self._client.upload_fileobj(stream, address["Bucket"], address["Key"])

    def copy(self, source_uri: str, target_uri: str, etag: str | None, sha256: str | None) -> None:
        """See ``Storage.copy``. The object is read only if its version is not ``etag``; the copy itself takes place
        within S3.
        """
        if sha256 and (now := self.stat(source_uri).etag) != etag:
            with self.open(source_uri, 0, None, now) as stream:
                check_digest(stream, sha256, source_uri)
            etag = now
        target = _address(target_uri)
        with _errors(source_uri, etag):
            self._client.copy(
                _address(source_uri),
                target["Bucket"],
                target["Key"],
                ExtraArgs={"CopySourceIfMatch": etag} if etag else None,
            )

    def delete(self, uris: Iterable[str]) -> None:
        """See ``Storage.delete``. One request deletes up to 1,000 objects (the limit of DeleteObjects).

        :raises StorageError: S3 refused to delete some of them.
        """
        by_bucket: dict[str, list[dict[str, str]]] = {}
        for uri in uris:
            address = _address(uri)
            by_bucket.setdefault(address["Bucket"], []).append({"Key": address["Key"]})
        for bucket, keys in by_bucket.items():
            for i in range(0, len(keys), _DELETE_BATCH):
                with _errors(f"s3://{bucket}"):
                    answer = self._client.delete_objects(
                        Bucket=bucket, Delete={"Objects": keys[i : i + _DELETE_BATCH], "Quiet": True}
                    )
                if answer.get("Errors"):
                    raise StorageError(f"Could not delete from s3://{bucket}: {answer['Errors'][:5]}")

    def list(self, selection: Selection) -> Iterator[SourceObject]:
        """See ``Storage.list``."""
        for uri, entry in self._entries(selection):
            yield SourceObject(uri=uri, etag=entry["ETag"], size=entry["Size"])

    def last_change(self, selection: Selection) -> datetime | None:
        """See ``Storage.last_change``."""
        return max((entry["LastModified"] for _, entry in self._entries(selection)), default=None)

    def _entries(self, selection: Selection) -> Iterator[tuple[str, dict[str, Any]]]:
        bucket, _, key = split_scheme(selection.root)[1].partition("/")
        with _errors(selection.root):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
                for entry in page.get("Contents", []):
                    if selection.takes(uri := f"s3://{bucket}/{entry['Key']}"):
                        yield uri, entry


class _ResumingReader(io.RawIOBase):
    """Reads a byte range of one version of an object. A broken connection is opened again at the byte where it
    broke.
    """

    def __init__(self, get: Callable[[int], Any], start: int, end: int, body: Any = None) -> None:
        self._get, self._position, self._end = get, start, end
        self._body = body or (get(start) if start < end else None)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._end - self._position)
        if wanted <= 0:
            return 0
        data = retry(lambda: self._read(wanted), _RESUME_PAUSES, on=lambda error: classify(error) is Kind.UNREACHABLE)
        memoryview(buffer)[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, wanted: int) -> bytes:
        try:
            if self._body is None:
                self._body = self._get(self._position)
            data: bytes = self._body.read(wanted)
            if not data:
                raise ConnectionError(f"the stream ended {self._end - self._position} bytes early")
        except Exception:
            self._drop()
            raise
        return data

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._body is not None:
            with contextlib.suppress(Exception):
                self._body.close()
        self._body = None


def _default_client() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 8}))


def _has_found_nothing(client: Any) -> bool:
    """Whether a client was made while no credentials could be found.

    Such a client never gets any. On a new machine the role's credentials often appear a moment later, so that the next
    call must make a new client.
    """
    signer = getattr(client, "_request_signer", None)
    return signer is not None and getattr(signer, "_credentials", signer) is None


def _address(uri: str) -> dict[str, str]:
    bucket, _, key = split_scheme(uri)[1].partition("/")
    return {"Bucket": bucket, "Key": key}


def _retries(error: Exception) -> int:
    """How often boto3 has repeated the failed request."""
    return int((getattr(error, "response", None) or {}).get("ResponseMetadata", {}).get("RetryAttempts", 0))


@contextlib.contextmanager
def _errors(uri: str, etag: str | None = None, precondition: StorageError | None = None) -> Iterator[None]:
    """Turn S3's errors into the package's own."""
    try:
        yield
    except Exception as error:
        kind = classify(error, _OWN)
        if kind is Kind.NOT_FOUND:
            bucket = code_of(error) == "NoSuchBucket"
            what = f"No bucket for {uri}. Create it, or correct its name." if bucket else f"No object {uri}"
            raise ObjectNotFoundError(what) from error
        if kind in (Kind.CHANGED, Kind.CONFLICT):
            raise precondition or ObjectChangedError(
                f"{uri} has changed: it is no longer the version {etag}"
            ) from error
        if kind is Kind.DENIED:
            raise StorageError(
                f"Access to {uri} is denied ({error}). Check the role's S3 rights (s3:GetObject, s3:PutObject, "
                "s3:DeleteObject, and s3:ListBucket, else what is absent looks denied) and the bucket's policy."
            ) from error
        if code_of(error):
            raise StorageError(f"S3 refuses {uri}: {error}") from error
        raise


def _shown(uri: str) -> dict[str, str]:
    """What lets a browser show an object: pages have their content type."""
    return {"ContentType": "text/html; charset=utf-8"} if uri.endswith(".html") else {}
