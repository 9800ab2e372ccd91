"""``Dataset``: files as an operator's ``source`` or ``destination``, with options that a plain URI cannot hold."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.contract.arguments import checked
from airflow_sklearn.contract.data import CsvOptions, OutputFiles, SourceFiles
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.storage.uris import absolute_uri, split_scheme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CSV_ENDINGS = (".csv", ".tsv", ".txt")
_PARQUET_ENDINGS = (".parquet", ".parq", ".pq")
_COMPRESSED_ENDINGS = (".gz", ".zst", ".bz2")


def short_repr(self: Any) -> str:
    """A dataclass's text with only the fields that differ from the defaults. Equal objects have equal texts."""
    said = [f"{f.name}={value!r}" for f in dataclasses.fields(self) if (value := getattr(self, f.name)) != _default(f)]
    return f"{type(self).__name__}({', '.join(said)})"


@dataclass(repr=False)
class Dataset:
    """Files that are read or written as one table.

    ``uri``, ``file_format``, ``column_names``, ``compression``, ``encoding``, ``types`` and ``if_exists`` may be Jinja
    templates. The others hold characters and words that rendering would change.

    :param uri: for reading, one or several of: an object, a glob (``s3://acme/scores/*.parquet``), a prefix ending in
        ``/``. For writing, one folder. ``s3://bucket/key``, ``file:///absolute/path``, an absolute local path, or an
        ``ObjectStoragePath`` of Airflow, whose own connection is not used: give ``aws_conn_id`` to the operator.
    :param file_format: ``csv`` or ``parquet``. Default for reading: by the ending of ``uri``; with a prefix it must be
        given. Default for writing: ``parquet``.
    :param delimiter: CSV: the character between values.
    :param quote: CSV: the quote character; an empty string if values are never quoted.
    :param header: CSV: whether each file begins with the column names.
    :param column_names: CSV without a header: the names in file order.
    :param compression: CSV: ``infer`` (by the ending of each file), ``none``, ``gzip``, ``zstd``, ``bz2``.
    :param newlines_in_values: CSV: whether quoted values may hold line breaks. If so, planning reads the files once.
    :param null_values: CSV: the texts that are null, for every column. Default, by the kind of column: in numbers,
        booleans and dates those of pandas (``NA``, ``n/a``, ``NaN``, ``None``, ...), and so in features of text, except
        texts that training had as values; in keys, classes and passthrough columns of text only the empty text.
    :param encoding: CSV: the text encoding, by Python's name.
    :param decimal: CSV: the decimal point, such as ``","`` for ``1,25``.
    :param thousands: CSV: the separator between groups of digits, such as ``"."`` for ``1.234,5``. Default: none.
    :param types: Arrow types by column, such as ``{"zip": "string"}``. For training, they replace the inferred ones.
        For prediction, they are the types of passthrough columns that training excluded or lacked; default: text.
    :param hive_partitions: whether folders named ``column=value`` become columns.
    :param manifest: for reading: whether ``uri`` names manifests that UNLOAD has written, whose files are read.
        ``file_format`` must be given then.
    :param if_exists: for writing, if the partition was published before: ``replace`` its rows, or ``fail``.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "uri",
        "file_format",
        "column_names",
        "compression",
        "encoding",
        "types",
        "if_exists",
    )

    uri: str | Sequence[str]
    file_format: str | None = None
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    column_names: Sequence[str] = ()
    compression: str = "infer"
    newlines_in_values: bool = False
    null_values: Sequence[str] | None = None
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    hive_partitions: bool = False
    manifest: bool = False
    if_exists: str = "replace"

    def __post_init__(self) -> None:
        """Take paths of Airflow as URIs."""
        self.uri = plain_uris(self.uri)

    __repr__ = short_repr

    def to_source(self) -> SourceFiles:
        """The files as a source.

        :raises UserError: a URI is relative, or the format is neither given nor clear from the file names' endings.
        """
        uris = tuple(_stored(uri) for uri in ([self.uri] if isinstance(self.uri, str) else self.uri))
        if self.manifest and self.file_format is None:
            raise UserError(f"The files of the manifest {self.uri} need file_format='parquet' or 'csv'.")
        if not uris:
            raise UserError("A source needs at least one URI; the list is empty.")
        return checked(
            SourceFiles,
            f"The dataset {self.uri}",
            uris=uris,
            file_format=self.file_format or _format_of(uris),
            csv=self._csv(),
            hive_partitions=self.hive_partitions,
            manifest=self.manifest,
            types=dict(self.types),
        )

    def to_output(self) -> OutputFiles:
        """The folder as a destination.

        :raises UserError: there are several URIs, or a relative one.
        """
        if not isinstance(self.uri, str):
            raise UserError(f"A destination is one folder, but this one has {len(self.uri)} URIs: {list(self.uri)}.")
        return checked(
            OutputFiles,
            f"The dataset {self.uri}",
            uri=_stored(self.uri).rstrip("/"),
            file_format=self.file_format or "parquet",
            csv=self._csv(),
            if_exists=self.if_exists,
        )

    def _csv(self) -> CsvOptions:
        return checked(
            CsvOptions,
            f"The dataset {self.uri}",
            delimiter=self.delimiter,
            quote=self.quote,
            header=self.header,
            column_names=tuple(self.column_names),
            compression=self.compression,
            newlines_in_values=self.newlines_in_values,
            null_values=None if self.null_values is None else tuple(self.null_values),
            encoding=self.encoding,
            decimal=self.decimal,
            thousands=self.thousands,
        )


def plain_uris(value: Any) -> Any:
    """A value in which each ``ObjectStoragePath`` of Airflow is its URI. Other values are returned as they are."""
    if isinstance(value, list | tuple):
        return type(value)(map(plain_uris, value)) if any(map(_is_path, value)) else value
    return _uri_of(value) if _is_path(value) else value


def _is_path(value: Any) -> bool:
    """Whether a value is an ``ObjectStoragePath``. Its class is not imported, because DAG files are parsed often."""
    return not isinstance(value, type) and all(hasattr(type(value), name) for name in ("conn_id", "bucket", "key"))


def _uri_of(path: Any) -> str:
    """The URI of an ``ObjectStoragePath``, without the name of its connection."""
    return f"{path.protocol}://{path.bucket}/{path.key}" if path.bucket else f"{path.protocol}://{path.path}"


def _stored(uri: str) -> str:
    """A URI in the form that the storage uses.

    :raises UserError: the scheme is unknown, or the path is relative.
    """
    found = absolute_uri(uri)
    split_scheme(found)
    return found


def _format_of(uris: Sequence[str]) -> str:
    formats = {_format_by_ending(uri) for uri in uris}
    if {"csv", "parquet"} <= formats:
        raise UserError(
            f"{', '.join(uris)} are CSV and Parquet, and a source has one format. Fix: give the files of one of them; "
            "or say Dataset(uri, file_format='csv') or 'parquet', if the endings mislead."
        )
    if len(formats) == 1 and (found := formats.pop()):
        return found
    raise UserError(
        f"The format of {', '.join(uris)} is not clear from the endings (known: "
        f"{', '.join((*_CSV_ENDINGS, *_PARQUET_ENDINGS))}; CSV also with {', '.join(_COMPRESSED_ENDINGS)}). "
        "Fix: say Dataset(uri, file_format='csv') or 'parquet'. Put a slash at the end of a folder. Other formats are "
        "not read."
    )


def _format_by_ending(uri: str) -> str | None:
    name = uri.lower()
    if name.endswith(_PARQUET_ENDINGS):
        return "parquet"
    for ending in _COMPRESSED_ENDINGS:
        name = name.removesuffix(ending)
    return "csv" if name.endswith(_CSV_ENDINGS) else None


def _default(f: dataclasses.Field[Any]) -> Any:
    return f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
