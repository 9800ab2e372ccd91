"""The folder of one pool in storage: the URIs in it, and its removal."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import ObjectNotFoundError
from airflow_sklearn.pool.signing import Signer, check_content
from airflow_sklearn.storage import join, parent
from airflow_sklearn.storage.uris import split_scheme

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import PoolWorkerJob
    from airflow_sklearn.pool.messages import Blob
    from airflow_sklearn.storage import Storage

_SIGNED = ".sealed.json"  # the ending of signed jobs' names, the same as in earlier versions


class PoolFolder:
    """The folder for all of a pool's objects that do not go through its queues.

    :param uri: ``s3://bucket/pools/<id>`` or ``file:///pools/<id>``.
    """

    def __init__(self, storage: Storage, uri: str) -> None:
        self.storage, self.uri = storage, uri

    def make(self, key: bytes) -> None:
        """Make the folder with the key. Only this user, or whoever has permissions for the bucket's prefix, can read
        it.
        """
        scheme, path = split_scheme(self.uri)
        if scheme == "file":
            os.makedirs(path, mode=0o700)
        self.storage.create(self._key_uri, key)

    def signer(self, key_sha256: str = "") -> Signer:
        """A signer with the key in this folder.

        :param key_sha256: the SHA-256 of the driver's key; empty: unknown.
        :raises ObjectNotFoundError: the pool does not exist any more.
        :raises ForgedMessageError: the key has been replaced.
        """
        key = self.storage.read(self._key_uri)
        if key_sha256:
            check_content(key, key_sha256, self._key_uri)
        return Signer(key, self.uri)

    def blob_uri(self, blob: Blob) -> str:
        """The URI of a blob."""
        return join(self.uri, "blobs", blob.name or blob.sha256)

    @property
    def control_uri(self) -> str:
        """The URI of the driver's control message to all workers."""
        return join(self.uri, "control")

    def job_uri(self, worker: str, attempt: int) -> str:
        """The URI of a worker's job. Its ending shows that the job must have the pool's signature."""
        return join(self.uri, "workers", f"{worker}-{attempt}{_SIGNED}")

    @classmethod
    def of_job(cls, storage: Storage, uri: str) -> PoolFolder | None:
        """The pool to which the worker's job at ``uri`` belongs; None if it is no pool's."""
        folder = parent(uri)
        return cls(storage, parent(folder)) if uri.endswith(_SIGNED) and folder.endswith("/workers") else None

    def write_job(self, uri: str, job: PoolWorkerJob, signer: Signer) -> None:
        """Store a worker's job with the pool's signature."""
        self.storage.write(uri, signer.sign("job", job.to_json().decode()).encode())

    def open_job(self, data: bytes) -> bytes:
        """The document of a job that was stored with the pool's signature.

        :raises ForgedMessageError: the signature is missing or wrong.
        """
        return self.signer().verify("job", data.decode(errors="replace")).encode()

    def starts_uri(self, task: str, start: str = "") -> str:
        """The URI of the notes on repeated starts of a task; with ``start`` that of one note."""
        return join(self.uri, "starts", task, start)

    def remove(self) -> None:
        """Remove all that the pool has stored. Several machines may call it, and more than once."""
        self.storage.delete([found.uri for found in self.storage.list(self.uri + "/")])
        scheme, path = split_scheme(self.uri)
        if scheme == "file":
            for folder, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):  # another process removes it too, or has just written into it
                    os.rmdir(folder)

    def exists(self) -> bool:
        """Whether the pool exists: its key does."""
        try:
            self.storage.stat(self._key_uri)
        except ObjectNotFoundError:
            return False
        return True

    @property
    def _key_uri(self) -> str:
        return join(self.uri, "key")
