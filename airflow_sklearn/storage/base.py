"""``Store``: the interface of one kind of storage. Each scheme has a subclass; see ``registry``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_sklearn.contract.data import SourceObject
    from airflow_sklearn.storage.uris import Selection


class Store(ABC):
    """Objects by URI. ``Storage`` documents the methods; here they are called with URIs of one scheme only."""

    uses_aws: ClassVar[bool] = False
    """Whether it needs the credentials of the Airflow connection to AWS."""

    @classmethod
    def make(cls, aws_client: Callable[[], Any] | None) -> Self:
        """Make the store for one ``Storage``.

        :param aws_client: makes a boto3 S3 client; None: boto3's own search for credentials.
        """
        return cls()

    @classmethod
    @abstractmethod
    def check_uri(cls, uri: str, rest: str) -> None:
        """Check the form of a URI.

        :param uri: the URI.
        :param rest: the URI without its scheme.
        :raises UserError: no object can have this URI.
        """

    @abstractmethod
    def stat(self, uri: str) -> SourceObject:
        """See ``Storage.stat``."""

    @abstractmethod
    def open(self, uri: str, start: int, end: int | None, etag: str | None) -> BinaryIO:
        """See ``Storage.open``."""

    @abstractmethod
    def write(self, uri: str, data: bytes) -> str:
        """See ``Storage.write``."""

    @abstractmethod
    def create(self, uri: str, data: bytes) -> str:
        """See ``Storage.create``."""

    @abstractmethod
    def replace(self, uri: str, data: bytes, etag: str) -> str:
        """See ``Storage.replace``."""

    @abstractmethod
    def write_stream(self, uri: str, stream: Any) -> None:
        """See ``Storage.write_stream``."""

    @abstractmethod
    def copy(self, source_uri: str, target_uri: str, etag: str | None, sha256: str | None) -> None:
        """See ``Storage.copy``. Both URIs have this store's scheme."""

    @abstractmethod
    def delete(self, uris: Iterable[str]) -> None:
        """See ``Storage.delete``."""

    @abstractmethod
    def list(self, selection: Selection) -> Iterator[SourceObject]:
        """Yield the selected objects, in order of their URIs."""

    def last_change(self, selection: Selection) -> datetime | None:
        """See ``Storage.last_change``. A store that cannot tell when objects were written says: just now."""
        return datetime.now(UTC) if any(True for _ in self.list(selection)) else None

    def upload(self, path: str, uri: str) -> str:
        """See ``Storage.upload``. The result is empty, unless the store's versions identify an object's content."""
        with open(path, "rb") as stream:
            self.write_stream(uri, stream)
        return ""

    def local_path(self, uri: str) -> str | None:
        """The path of a local file that is the object itself; None: its bytes must be fetched."""
        return None

    def leads_out(self, uri: str, folder: str) -> bool:
        """See ``Storage.leads_out``. False for storage without links."""
        return False

    def remove_abandoned(self, folder: str) -> int:
        """See ``Storage.remove_abandoned``. 0 for storage without temporary files."""
        return 0
