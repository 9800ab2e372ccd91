"""What a kind of storage must do: one class a scheme, see ``registry``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_sklearn.contract.data import SourceObject
    from airflow_sklearn.storage.uris import Selection


class Store(ABC):
    """Objects by URI. ``Storage`` says what each method means; here it is called with URIs of the one scheme."""

    uses_aws: ClassVar[bool] = False
    """Whether it needs the credentials of the Airflow connection to AWS."""

    @classmethod
    def make(cls, aws_client: Callable[[], Any] | None) -> Self:
        """A store for one ``Storage``.

        :param aws_client: makes a boto3 S3 client; None: boto3's own search for credentials.
        """
        return cls()

    @classmethod
    @abstractmethod
    def check_uri(cls, uri: str, rest: str) -> None:
        """:param rest: the URI without its scheme.

        :raises UserError: no object can have this URI.
        """

    @abstractmethod
    def stat(self, uri: str) -> SourceObject: ...

    @abstractmethod
    def open(self, uri: str, start: int, end: int | None, etag: str | None) -> BinaryIO: ...

    @abstractmethod
    def write(self, uri: str, data: bytes) -> str: ...

    @abstractmethod
    def create(self, uri: str, data: bytes) -> str: ...

    @abstractmethod
    def replace(self, uri: str, data: bytes, etag: str) -> str: ...

    @abstractmethod
    def write_stream(self, uri: str, stream: Any) -> None: ...

    @abstractmethod
    def copy(self, source_uri: str, target_uri: str, etag: str | None, sha256: str | None) -> None: ...

    @abstractmethod
    def delete(self, uris: Iterable[str]) -> None: ...

    @abstractmethod
    def list(self, selection: Selection) -> Iterator[SourceObject]: ...

    def upload(self, path: str, uri: str) -> str:
        """Returns nothing, unless a version says what an object holds."""
        with open(path, "rb") as stream:
            self.write_stream(uri, stream)
        return ""

    def local_path(self, uri: str) -> str | None:
        """The path of a file of this machine that is the object itself; None: its bytes must be fetched."""
        return None

    def leads_out(self, uri: str, folder: str) -> bool:
        """Never, where there are no links."""
        return False

    def remove_abandoned(self, folder: str) -> int:
        """Nothing, where an object appears whole or not at all."""
        return 0
