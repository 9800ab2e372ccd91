"""Stored documents: a format and a version, canonical JSON, a digest, strict reading.

To change the shape of a document, raise its ``VERSION`` and register the step from the version before::

    @upgrades("airflow-sklearn/example", 1)
    def _example_1_to_2(stored: dict[str, Any]) -> dict[str, Any]:
        return {**stored, "new_name": stored.pop("old_name")}

Documents of all earlier versions are then upgraded step by step when they are read. An optional field needs no new
version: mark it ``Later``.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from airflow_sklearn import __version__
from airflow_sklearn.contract.faults import explain, sentences
from airflow_sklearn.exceptions import DocumentError

_VERSION = re.compile(r"[0-9]{1,9}")

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]

#: Functions that upgrade a stored document to the next version, by format and version. ``upgrades`` registers them.
UPGRADES: dict[tuple[str, int], Upgrade] = {}


def upgrades(name: str, version: int) -> Callable[[Upgrade], Upgrade]:
    """Register a function that upgrades stored documents from one version to the next.

    :param name: the document's ``FORMAT``.
    :param version: the version that the function takes.
    """

    def register(step: Upgrade) -> Upgrade:
        UPGRADES[name, version] = step
        return step

    return register


class Later:
    """Marks an optional field that was added after the document's first version.

    Usage: ``decimal: Annotated[str, Later()] = "."``. The field is not written while it has its default. Fingerprints,
    digests and ids made before the field existed stay the same, and older workers can read documents without it.
    """


class Value(BaseModel):
    """An immutable part of a document. Unknown fields are refused, so that a misspelled field never becomes a
    default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        for name, default in _later_fields(type(self)).items():
            if name in written and getattr(self, name) == default:
                del written[name]
        return written

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The JSON schema of the fields. Without this method it would be that of ``_write``: any dict."""
        reference: dict[str, Any] = handler(_without_writer(core_schema))
        schema = handler.resolve_ref_schema(reference)
        if "required" in schema:
            schema["required"] = [name for name in schema["required"] if name not in _later_fields(cls)]
        return reference


def _without_writer(core_schema: Any) -> Any:
    """pydantic's schema of a class, also inside of its validators, without the function that writes it."""
    schema = {key: value for key, value in core_schema.items() if key != "serialization"}
    if schema["type"].startswith("function-"):
        schema["schema"] = _without_writer(schema["schema"])
    return schema


@functools.cache
def _later_fields(cls: type[Value]) -> dict[str, Any]:
    """The fields marked ``Later``, with their defaults."""
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in cls.model_fields.items()
        if any(isinstance(mark, Later) for mark in field.metadata)
    }


class Document(Value):
    """A part that is stored alone, with the name and the version of its format.

    Subclasses set ``FORMAT`` (``"airflow-sklearn/<name>"``) and ``VERSION``. The field ``format`` holds both.
    """

    FORMAT: ClassVar[str]
    VERSION: ClassVar[int] = 1

    format: str = ""

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, data: Any) -> Any:
        """Upgrade stored data to this version.

        :raises ValueError: the data have another format, or a version that cannot be read here.
        """
        if not isinstance(data, dict):
            return data
        if found := data.get("format"):
            if (version := _version_of(cls, found)) is None:
                raise ValueError(_wrong_format(cls, data))
            for step in range(version, cls.VERSION):
                data = UPGRADES[cls.FORMAT, step](dict(data))
        return {**data, "format": f"{cls.FORMAT}/{cls.VERSION}"}

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, no white space, UTF-8. Equal documents have equal bytes."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, data: bytes, *, where: str = "the document") -> Self:
        """Read a document of this version or an earlier one, which is upgraded.

        :param data: the JSON text.
        :param where: the document's URI, for messages.
        :raises DocumentError: the bytes are no JSON, have another or a newer format, or do not fit the format.
        """
        try:
            raw = json.loads(data)
        except ValueError as error:
            raise DocumentError(f"{where} is not JSON ({error}). Was it truncated or overwritten?") from error
        except RecursionError:
            raise DocumentError(f"{where} is nested too deeply for a document of this package.") from None
        found = raw.get("format") if isinstance(raw, dict) else None
        if _version_of(cls, found) is None:
            raise DocumentError(f"{where} {_wrong_format(cls, raw)}")
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            faults = sentences(explain(error, cls.model_fields))
            raise DocumentError(f"{where} does not fit the format {found}: {faults}{_other_writer(raw)}") from None
        except RecursionError:
            raise DocumentError(f"{where} is nested too deeply for a document of this package.") from None


def canonical_json(data: Any) -> bytes:
    """JSON bytes that depend on the content only: sorted keys, no white space, UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_id(data: Any, length: int = 16) -> str:
    """The first hexadecimal digits of the SHA-256 of ``data`` as canonical JSON.

    :param length: the number of digits.
    """
    return hashlib.sha256(canonical_json(data)).hexdigest()[:length]


def _version_of(cls: type[Document], found: object) -> int | None:
    """The version in a document's ``format``; None if this class cannot read it."""
    name, _, text = str(found).rpartition("/")
    if name != cls.FORMAT or not _VERSION.fullmatch(text):
        return None
    version = int(text)
    steps = range(version, cls.VERSION)
    return version if version <= cls.VERSION and all((name, step) in UPGRADES for step in steps) else None


def _wrong_format(cls: type[Document], raw: object) -> str:
    """The fault of a document's format, as the end of a sentence about the document."""
    found = raw.get("format") if isinstance(raw, dict) else None
    expected = f"{cls.FORMAT}/{cls.VERSION}"
    name, _, version = str(found).rpartition("/")
    if name == cls.FORMAT and _VERSION.fullmatch(version) and int(version) > cls.VERSION:
        return (
            f"has the format {found}, newer than {expected}, the newest that airflow-sklearn {__version__} reads. "
            f"Upgrade airflow-sklearn {_here()}, to the version that wrote it{_writer(raw, ' ({})')} or a newer one."
        )
    return f"has the format {found!r}, but {expected!r} was expected. Does the URI point at another document?"


def _other_writer(raw: object) -> str:
    """A sentence that says which package version wrote the document; empty if that is this version or unknown."""
    if _writer(raw) in ("", __version__):
        return ""
    return (
        f" It was written by airflow-sklearn {_writer(raw)}, and {__version__} reads it. If that is the older one, "
        f"upgrade airflow-sklearn {_here()}."
    )


def _writer(raw: object, template: str = "{}") -> str:
    """The package version that wrote a document; empty if the document does not tell."""
    found = raw.get("written_by") if isinstance(raw, dict) else None
    return template.format(found) if isinstance(found, str) and found else ""


def _here() -> str:
    """Where to upgrade the package for this process. A process that has not imported Airflow is a worker."""
    return "where Airflow runs" if "airflow" in sys.modules else "in the worker image"
